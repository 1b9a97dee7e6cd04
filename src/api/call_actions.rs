//! What can be done to a call: `POST /calls` dials, `DELETE /calls/{call}` hangs up, `POST /calls/{call}/{action}` does
//! the rest. The call's own id is enough; which of the device's ids it has now is found here.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::Value;
use switchroom_domain::Text;
use switchroom_domain::command::{Command, PartyRef};
use switchroom_domain::id::CallId;
use switchroom_domain::view::{CallState, CallView, CommandView, LegKind, LegView};
use utoipa::ToSchema;

use super::State;
use super::auth::Caller;
use super::calls::find;
use super::commands::{Act, may, replayed, take};
use super::error::{Kind, Problem, ProblemBody};
use super::view::device;
use crate::devices::Device;

/// A call to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dial {
    /// The device that makes it.
    #[schema(example = "sim-1")]
    device: String,
    /// Who calls: `{"extension": "200"}`, a menu, or an outside number that is called first.
    #[schema(value_type = Object, example = json!({"extension": "200"}))]
    from: PartyRef,
    /// Who is called: an extension or an outside number.
    #[schema(value_type = Object, example = json!({"number": "13012345678"}))]
    to: PartyRef,
    /// An IP telephone answers by itself.
    #[serde(default)]
    auto_answer: bool,
    /// Played instead of the usual announcement.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    voice_file: Vec<Text>,
}

/// Makes a call.
#[utoipa::path(post, path = "/api/v1/calls", tag = "calls", request_body = Dial,
    params(("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 202, body = CommandView), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(super) async fn dial(
    state: web::Data<State>,
    caller: Caller,
    act: Act<Dial>,
) -> Result<HttpResponse, Problem> {
    let Dial { device: id, from, to, auto_answer, voice_file } = act.body;
    let device = device(&state, &caller, &id)?;
    let command = Command::Connect { from, to, voice_file, auto_answer };
    may(&caller, &command)?;
    take(&state, &caller, &device, command, act.how).await
}

/// Hangs up.
#[utoipa::path(delete, path = "/api/v1/calls/{call}", tag = "calls", params(("call" = String, Path)),
    responses((status = 202, body = CommandView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(super) async fn hang_up(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    act: Act<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = act.body;
    if let Some(answer) = replayed(&state, &caller, &act.how).await? {
        return Ok(answer);
    }
    let live = Live::find(&state, &caller, &path).await?;
    let party = live.anybody()?;
    act_on(&state, &caller, &live, Command::Clear { party }, act.how).await
}

/// A body without fields.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    to: PartyRef,
    #[serde(default)]
    voice_file: Vec<Text>,
    #[serde(default)]
    auto_answer: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueTo {
    to: PartyRef,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Side {
    extension: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByWhom {
    by: Text,
    extension: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Announce {
    to: Text,
    voice_file: Vec<Text>,
}

/// Does something to a call: `accept`, `reject`, `transfer`, `queue`, `hold`, `unhold`, `mute`, `unmute`, `monitor`,
/// `talk`, `listen`, `barge`, `conference`, `announce`.
#[utoipa::path(post, path = "/api/v1/calls/{call}/{action}", tag = "calls",
    params(("call" = String, Path), ("action" = String, Path)),
    request_body(content = Object, example = json!({"to": {"extension": "201"}})),
    responses((status = 202, body = CommandView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(super) async fn act(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(String, String)>,
    act: Act<Value>,
) -> Result<HttpResponse, Problem> {
    let (call, action) = path.into_inner();
    let Some(plan) = plan_of(&action) else {
        let detail = format!(
            "there is no action {:?}; there are accept, reject, transfer, queue, hold, unhold, mute, unmute, monitor, talk, \
             listen, barge, conference, announce",
            action.chars().take(40).collect::<String>()
        );
        return Err(Problem::new(Kind::NotFound, detail));
    };
    if let Some(answer) = replayed(&state, &caller, &act.how).await? {
        return Ok(answer);
    }
    let live = Live::find(&state, &caller, &call).await?;
    let command = plan(&live, act.body)?;
    act_on(&state, &caller, &live, command, act.how).await
}

type Plan = fn(&Live, Value) -> Result<Command, Problem>;

fn plan_of(action: &str) -> Option<Plan> {
    Some(match action {
        "accept" => |live, body| {
            let Nothing {} = read(body)?;
            Ok(Command::Accept { visitor: live.visitor()? })
        },
        "reject" => |live, body| {
            let Nothing {} = read(body)?;
            Ok(Command::Clear { party: PartyRef::Visitor { visitor: live.visitor()? } })
        },
        "transfer" => |live, body| {
            let To { to, voice_file, auto_answer } = read(body)?;
            Ok(Command::Connect { from: live.outside()?, to, voice_file, auto_answer })
        },
        "queue" => |live, body| {
            let QueueTo { to } = read(body)?;
            Ok(Command::Queue { visitor: live.visitor()?, to })
        },
        "hold" => |live, body| Ok(Command::Hold { extension: live.side(body)? }),
        "unhold" => |live, body| Ok(Command::Unhold { extension: live.side(body)? }),
        "mute" => |live, body| Ok(Command::Mute { extension: live.side(body)? }),
        "unmute" => |live, body| Ok(Command::Unmute { extension: live.side(body)? }),
        "conference" => |live, body| Ok(Command::Conference { extension: live.side(body)? }),
        // Who talks or listens is beside the call, not in it.
        "talk" => |_, body| Ok(Command::Talk { extension: whose(body)? }),
        "listen" => |_, body| Ok(Command::Listen { extension: whose(body)? }),
        "monitor" => |live, body| {
            let ByWhom { by, extension } = read(body)?;
            Ok(Command::Monitor { extension: by, target: live.extension(extension)? })
        },
        "barge" => |live, body| {
            let ByWhom { by, extension } = read(body)?;
            Ok(Command::Barge { extension: by, target: live.extension(extension)? })
        },
        "announce" => |live, body| {
            let Announce { to, voice_file } = read(body)?;
            let party = match to.as_str() {
                "extension" => PartyRef::Extension { extension: live.extension(None)? },
                "visitor" => PartyRef::Visitor { visitor: live.visitor()? },
                "outer" => PartyRef::Outer { outer: live.outer()? },
                _ => return Err(invalid("to", "\"extension\", \"visitor\" or \"outer\"")),
            };
            Ok(Command::Announce { party, voice_file })
        },
        _ => return None,
    })
}

fn whose(body: Value) -> Result<Text, Problem> {
    let Side { extension } = read(body)?;
    extension.ok_or_else(|| invalid("extension", "whose telephone talks or listens"))
}

fn read<T: serde::de::DeserializeOwned>(body: Value) -> Result<T, Problem> {
    serde_json::from_value(body).map_err(|error| Problem::new(Kind::BadBody, error.to_string()))
}

fn invalid(field: &'static str, detail: &str) -> Problem {
    Problem::new(Kind::Invalid, format!("{field}: {detail}")).field(field)
}

async fn act_on(
    state: &State,
    caller: &Caller,
    live: &Live,
    command: Command,
    how: super::commands::How,
) -> Result<HttpResponse, Problem> {
    match caller.extensions() {
        // Whoever has extensions of their own may act on the calls that these are in now, whoever of a call is named; a
        // call that asks to come in is theirs that it is for.
        Some(own) if caller.role == super::auth::Role::Agent => {
            let is_own = |number: Option<&Text>| number.is_some_and(|number| own.contains(number.as_str()));
            let in_it = live.legs(LegKind::Extension).any(|leg| is_own(leg.number.as_ref()));
            let comes_in = matches!(live.call.state, CallState::Invited | CallState::Incoming);
            if !(in_it || comes_in && is_own(live.call.to.as_ref())) {
                let detail = "none of this token's extensions is in the call any more";
                return Err(Problem::new(Kind::Forbidden, detail));
            }
            if matches!(
                command,
                Command::Monitor { .. }
                    | Command::Barge { .. }
                    | Command::Talk { .. }
                    | Command::Listen { .. }
            ) {
                may(caller, &command)?;
            }
        }
        _ => may(caller, &command)?,
    }
    take(state, caller, &live.device, command, how).await
}

/// A live call that the caller may act on.
struct Live {
    device: Arc<Device>,
    call: CallView,
}

impl Live {
    async fn find(state: &State, caller: &Caller, id: &str) -> Result<Self, Problem> {
        let none = || {
            let id: String = id.chars().take(80).collect();
            Problem::new(Kind::NotFound, format!("there is no call {id:?} that this token may see"))
        };
        let wanted: CallId = id.parse().map_err(|_| none())?;
        let found = find(state, caller, wanted).await?.filter(|call| caller.sees_call(call));
        let call = found.ok_or_else(none)?;
        if call.state == CallState::Ended {
            return Err(Problem::new(Kind::Conflict, "the call is over; nothing can be done to it any more"));
        }
        let device = device(state, caller, call.device.as_str())?;
        Ok(Self { device, call })
    }

    fn legs(&self, kind: LegKind) -> impl Iterator<Item = &LegView> {
        self.call.legs.iter().filter(move |leg| leg.kind == kind && leg.state != CallState::Ended)
    }

    fn wire_id(&self, kind: LegKind, what: &str) -> Result<Text, Problem> {
        let mut legs = self.legs(kind).peekable();
        if legs.peek().is_none() {
            return Err(Problem::new(Kind::Conflict, format!("nobody in this call is {what}")));
        }
        legs.find_map(|leg| leg.wire_id.clone()).ok_or_else(|| {
            let detail = "the device has not told its id of the outside party, so it cannot be named; switch the API of the \
                          trunk on (4.6)";
            Problem::new(Kind::Conflict, detail)
        })
    }

    fn visitor(&self) -> Result<Text, Problem> {
        self.wire_id(LegKind::Visitor, "an outside caller")
    }

    fn outer(&self) -> Result<Text, Problem> {
        self.wire_id(LegKind::Outer, "an outside party that was called")
    }

    /// The outside party that can be passed on.
    fn outside(&self) -> Result<PartyRef, Problem> {
        if self.legs(LegKind::Visitor).next().is_some() {
            return Ok(PartyRef::Visitor { visitor: self.visitor()? });
        }
        if self.legs(LegKind::Outer).next().is_some() {
            return Ok(PartyRef::Outer { outer: self.outer()? });
        }
        let detail = "a call between two extensions cannot be transferred from here: the device passes on outside parties only";
        Err(Problem::new(Kind::Conflict, detail))
    }

    /// Whoever can be hung up: both sides go.
    fn anybody(&self) -> Result<PartyRef, Problem> {
        if let Ok(outside) = self.outside() {
            return Ok(outside);
        }
        Ok(PartyRef::Extension { extension: self.extension(None)? })
    }

    /// The extension that is named, or that talks, or the only one.
    fn extension(&self, named: Option<Text>) -> Result<Text, Problem> {
        let numbers = || self.legs(LegKind::Extension).filter_map(|leg| leg.number.as_ref());
        if let Some(named) = named {
            return numbers().find(|number| **number == named).cloned().ok_or_else(|| {
                let there: Vec<&str> = numbers().map(Text::as_str).collect();
                invalid(
                    "extension",
                    &format!("{named:?} is not in this call; there are: {}", there.join(", ")),
                )
            });
        }
        let talks = self.legs(LegKind::Extension).find(|leg| leg.state == CallState::Talking);
        let talks = talks.and_then(|leg| leg.number.clone());
        talks
            .or_else(|| numbers().next().cloned())
            .ok_or_else(|| Problem::new(Kind::Conflict, "no extension is in this call"))
    }

    /// The extension whose side is meant; it must be named when two are in the call.
    fn side(&self, body: Value) -> Result<Text, Problem> {
        let Side { extension } = read(body)?;
        if extension.is_none() && self.legs(LegKind::Extension).count() > 1 {
            return Err(invalid("extension", "two extensions are in this call; name the one that is meant"));
        }
        self.extension(extension)
    }
}
