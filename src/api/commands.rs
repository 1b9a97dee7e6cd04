//! `/commands`: what a device is told to do, and what became of it.
//!
//! A command is answered 202 at once, with its place in `Location`; `Prefer: wait=5` waits for its end and answers 200.
//! `Idempotency-Key` makes a request safe to repeat: the same key is the same command.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderName, HeaderValue, LOCATION};
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use serde::de::DeserializeOwned;
use switchroom_actors::command::state::Refusal;
use switchroom_domain::command::Command;
use switchroom_domain::id::CommandId;
use switchroom_domain::view::CommandView;
use utoipa::IntoParams;

use super::State;
use super::auth::{Caller, Role};
use super::entities::Paging;
use super::error::{Kind, Problem, ProblemBody};
use super::input::{Page, Params, body_problem, cursor, limit, place, read_body};
use super::view::device;
use crate::commands::policy::Denied;
use crate::commands::{By, NotTaken, Posted, shown};
use crate::devices::Device;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// Longest time that a request waits for a command's end.
const LONGEST_WAIT: u64 = 30;
/// Longest `Idempotency-Key`.
const LONGEST_KEY: usize = 255;

/// Who may call.
const CALLERS: &[Role] = &[Role::Agent, Role::Operator, Role::Supervisor, Role::Admin];
/// Who may configure devices.
pub(super) const KEEPERS: &[Role] = &[Role::Operator, Role::Admin];
/// Who may listen in.
const LISTENERS: &[Role] = &[Role::Supervisor, Role::Admin];

/// A request that acts on a device: its body, and how it is to be treated.
pub(super) struct Act<T> {
    /// The body.
    pub(super) body: T,
    /// How it is to be treated.
    pub(super) how: How,
}

/// How a request that acts is to be treated.
#[derive(Debug, Clone, Default)]
pub(super) struct How {
    key: Option<(String, [u8; 32])>,
    wait: Option<Duration>,
}

impl How {
    /// Waits for the end in any case.
    pub(super) fn waiting(mut self) -> Self {
        self.wait = self.wait.or(Some(Duration::from_secs(LONGEST_WAIT)));
        self
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Act<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let bytes = web::Bytes::from_request(&request, payload);
        Box::pin(async move {
            let bytes = bytes.await.map_err(|error| body_problem(&error))?;
            let body = read_body(&request, &bytes)?;
            let key = idempotency_key(&request, &bytes)?;
            Ok(Self { body, how: How { key, wait: preferred_wait(&request)? } })
        })
    }
}

/// The key, and a hash of what was asked under it.
fn idempotency_key(request: &HttpRequest, body: &[u8]) -> Result<Option<(String, [u8; 32])>, Problem> {
    let Some(key) = request.headers().get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = key.to_str().ok().map(|text| text.trim().trim_matches('"'));
    let key = text.filter(|text| !text.is_empty() && text.len() <= LONGEST_KEY).ok_or_else(|| {
        let detail =
            format!("Idempotency-Key is 1 to {LONGEST_KEY} printable characters, a UUID for example");
        Problem::new(Kind::BadRequest, detail).field("Idempotency-Key")
    })?;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for part in [request.method().as_str().as_bytes(), request.path().as_bytes(), body] {
        digest.update(&(part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.finish().as_ref());
    Ok(Some((key.to_owned(), hash)))
}

/// `Prefer: wait=5`; other preferences are not for us.
fn preferred_wait(request: &HttpRequest) -> Result<Option<Duration>, Problem> {
    let values = request.headers().get_all(PREFER).filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split([',', ';'])).map(str::trim);
    let Some(wait) = preferences.find_map(|preference| preference.strip_prefix("wait=")) else {
        return Ok(None);
    };
    let seconds: u64 = wait.trim_matches('"').parse().map_err(|_| {
        let detail = format!("`Prefer: wait=` is followed by seconds, 0 to {LONGEST_WAIT}");
        Problem::new(Kind::BadRequest, detail).field("Prefer")
    })?;
    Ok(Some(Duration::from_secs(seconds.min(LONGEST_WAIT))))
}

impl From<NotTaken> for Problem {
    fn from(not_taken: NotTaken) -> Self {
        let text = not_taken.to_string();
        match not_taken {
            NotTaken::Bad(bad) => Self::new(Kind::Invalid, text).field(bad.field),
            NotTaken::Denied(Denied::Number { .. }) => Self::new(Kind::NumberDenied, text),
            NotTaken::Denied(Denied::TooMany { seconds, .. }) => {
                Self::new(Kind::TooMany, text).retry_after(u32::try_from(seconds).unwrap_or(60))
            }
            NotTaken::Held(held) => {
                Self::new(Kind::Conflict, text).retry_after(u32::try_from(held.seconds).unwrap_or(60))
            }
            NotTaken::Incapable(_) => Self::new(Kind::Incapable, text),
            NotTaken::Refused(Refusal::Full { .. }) => Self::new(Kind::Unavailable, text).retry_after(1),
            NotTaken::Refused(Refusal::Silent { again, .. }) => {
                Self::new(Kind::DeviceSilent, text).retry_after(u32::try_from(again).unwrap_or(1).max(1))
            }
            NotTaken::Refused(Refusal::NoAddress) => Self::new(Kind::Conflict, text),
            NotTaken::KeyUsed => Self::new(Kind::KeyUsed, text),
            NotTaken::KeyInUse => Self::new(Kind::Conflict, text).retry_after(1),
            NotTaken::Internal(_) => Self::internal(&text),
        }
    }
}

/// Refuses who may not do this.
///
/// # Errors
/// 403, naming who may.
pub(super) fn may(caller: &Caller, command: &Command) -> Result<(), Problem> {
    let roles = match command {
        Command::Monitor { .. } | Command::Barge { .. } | Command::Talk { .. } | Command::Listen { .. } => {
            LISTENERS
        }
        Command::ReadParameter { .. } | Command::WriteParameter { .. } => &[Role::Admin],
        Command::AssignExtension { .. }
        | Command::AssignGroup { .. }
        | Command::AssignMenu { .. }
        | Command::RemoveVoiceFiles { .. } => KEEPERS,
        Command::Query { .. } | Command::QueryVoiceFiles {} => {
            &[Role::Operator, Role::Supervisor, Role::Admin]
        }
        _ => CALLERS,
    };
    caller.require(roles)?;
    let Some(own) = caller.extensions() else { return Ok(()) };
    let of = command.extensions();
    if !of.is_empty() && of.iter().all(|extension| own.contains(extension.as_str())) {
        return Ok(());
    }
    let detail =
        "this token may act for its own extensions only; name one of them, or act on a call of theirs";
    Err(Problem::new(Kind::Forbidden, detail))
}

/// Takes a command that the caller may give, and answers.
///
/// # Errors
/// Says why it was not taken.
pub(super) async fn take(
    state: &State,
    caller: &Caller,
    device: &Arc<Device>,
    command: Command,
    how: How,
) -> Result<HttpResponse, Problem> {
    let posted = post_command(state, caller, device, command, &how).await?;
    Ok(answer(&shown(posted.view), posted.again, how.wait.is_some()))
}

/// The answer to a request that came before under the same key. What it was about may be gone by now.
///
/// # Errors
/// When the key was used for another request.
pub(super) async fn replayed(
    state: &State,
    caller: &Caller,
    how: &How,
) -> Result<Option<HttpResponse>, Problem> {
    let Some((key, request)) = &how.key else { return Ok(None) };
    let known = state.services.known_by_key(caller.token_hash(), key, *request, how.wait).await?;
    Ok(known.map(|view| answer(&shown(view), true, how.wait.is_some())))
}

/// Takes a command and waits for its end.
///
/// # Errors
/// Says why it was not taken.
pub(super) async fn carry_out(
    state: &State,
    caller: &Caller,
    device: &Arc<Device>,
    command: Command,
    how: How,
) -> Result<CommandView, Problem> {
    Ok(post_command(state, caller, device, command, &how.waiting()).await?.view)
}

/// Posts it on a task of its own: a client that goes away leaves no half of it behind.
async fn post_command(
    state: &State,
    caller: &Caller,
    device: &Arc<Device>,
    command: Command,
    how: &How,
) -> Result<Posted, Problem> {
    let (services, device) = (Arc::clone(&state.services), Arc::clone(device));
    let (by, wait) = (By { token: caller.token_hash(), key: how.key.clone() }, how.wait);
    let posting = actix_rt::spawn(async move { services.post_command(&device, command, &by, wait).await });
    let posted = posting.await.map_err(|error| Problem::internal(&error))?;
    Ok(posted?)
}

fn answer(view: &CommandView, again: bool, waited: bool) -> HttpResponse {
    let settled = view.state.is_settled();
    let mut response = if settled && waited { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    response.insert_header((LOCATION, format!("/api/v1/commands/{}", view.id)));
    if waited {
        response.insert_header((APPLIED, HeaderValue::from_static("wait")));
    }
    if again {
        response.insert_header((REPLAYED, HeaderValue::from_static("true")));
    }
    response.json(view)
}

/// Tells a device to do something.
///
/// Answers 202 with `Location` of the command; with `Prefer: wait=5` it waits for the end and answers 200.
#[utoipa::path(post, path = "/api/v1/devices/{device}/commands", tag = "commands",
    params(("device" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    request_body(content = Object, example = json!({"command": "connect", "from": {"extension": "200"}, "to": {"extension": "201"}})),
    responses((status = 202, body = CommandView), (status = 200, body = CommandView),
        (status = 403, body = ProblemBody), (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn post(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    act: Act<Command>,
) -> Result<HttpResponse, Problem> {
    let device = device(&state, &caller, &path)?;
    if matches!(act.body, Command::Verbatim { .. }) {
        let detail = "there is no such command; one in a device's own words is only taken at the OM-compatible endpoint";
        return Err(Problem::new(Kind::BadBody, detail).field("command"));
    }
    may(&caller, &act.body)?;
    take(&state, &caller, &device, act.body, act.how).await
}

/// How long to wait for a command's end.
#[derive(Debug, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Nothing {}

/// A command and what became of it. `Prefer: wait=5` waits for its end.
#[utoipa::path(get, path = "/api/v1/commands/{command}", tag = "commands", params(("command" = String, Path)),
    responses((status = 200, body = CommandView), (status = 404, body = ProblemBody)))]
pub(super) async fn one(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    Params(Nothing {}): Params<Nothing>,
) -> Result<web::Json<CommandView>, Problem> {
    let none = || {
        let id: String = path.chars().take(80).collect();
        Problem::new(Kind::NotFound, format!("there is no command {id:?} that this token may see"))
    };
    let id: CommandId = path.parse().map_err(|_| none())?;
    let view = state.services.command(id).await?.filter(|view| caller.sees(&view.device)).ok_or_else(none)?;
    // An agent sees what it has done, and what it may do itself.
    if caller.extensions().is_some() && may(&caller, &view.request).is_err() {
        let own = move |connection: &crate::storage::db::Connection| {
            crate::storage::commands::token_of(connection, id)
        };
        let token = state.services.reader.query(own).await?;
        if token != Some(caller.token_hash()) {
            return Err(none());
        }
    }
    let wait = preferred_wait(&request)?;
    match state.services.registry.get(&view.device) {
        Some(device) => Ok(web::Json(shown(state.services.when_settled(&device, view, wait).await))),
        None => Ok(web::Json(shown(view))),
    }
}

/// A device's commands, the newest first.
#[utoipa::path(get, path = "/api/v1/devices/{device}/commands", tag = "commands",
    params(("device" = String, Path), Paging),
    responses((status = 200, body = Page<CommandView>), (status = 404, body = ProblemBody)))]
pub(super) async fn of_device(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Params(query): Params<Paging>,
) -> Result<web::Json<Page<CommandView>>, Problem> {
    let limit = limit(query.limit)?;
    let device = device(&state, &caller, &path)?;
    caller.require(&[Role::Viewer, Role::Operator, Role::Supervisor, Role::Admin])?;
    let before = match query.cursor.as_deref() {
        Some(text) => Some(place("commands", text)?.parse().map_err(|_| super::input::bad_cursor())?),
        None => None,
    };
    let id = device.settings.id.clone();
    let find = move |connection: &crate::storage::db::Connection| {
        crate::storage::commands::of_device(connection, &id, before, limit + 1)
    };
    let mut items = state.services.reader.query(find).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(|last| cursor("commands", &last.id.to_string()));
    let items = items.into_iter().map(shown).collect();
    Ok(web::Json(Page { items, next_cursor }))
}
