//! `/calls/{call}/timeline` and `/devices/{device}/reports`: what came in, what was made of it, what was done.

use std::collections::{BTreeSet, HashSet};

use actix_web::http::header::{ACCEPT, CONTENT_DISPOSITION};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use switchroom_actors::ports::{Entry, INTERNAL, RawReport};
use switchroom_domain::conversation::Conversation;
use switchroom_domain::id::{CallId, CommandId, IdSeed, Minter, ReportId};
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_domain::view::{CallView, CdrView, CommandView};
use utoipa::{IntoParams, ToSchema};

use super::State;
use super::auth::{Caller, Role};
use super::calls::find;
use super::error::{Kind, Problem, ProblemBody};
use super::input::{self, Page, Params, bad_cursor, cursor, limit, place};
use super::view::device;
use crate::commands::shown;
use crate::storage::Published;
use crate::storage::block::Stretch;
use crate::storage::deliveries::{Attempt, Delivery, State as DeliveryState};
use crate::storage::records;

/// How long before its first event a call's reports may have come.
const BEFORE: Millis = Millis::from_secs(2);
/// How long after a call's end its records and the rest of it come.
const AFTER: Millis = Millis::from_secs(60);
/// How long after a record that came late what was made of it is told.
const TOLD: Millis = Millis::from_secs(10);
/// The name of the note of a record that came from a file.
pub(super) const FILED: &str = "cdr_filed";
/// How many deliveries of its events, and of its reports, a timeline tells at most.
const DELIVERIES: usize = 2_000;
/// How many inputs of its device a timeline looks through.
const LOOKED_AT: usize = 200_000;

/// A report as it came in, passwords and signatures struck out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReportView {
    /// Its id: what events name as `report`. A note of time that passed has none.
    #[schema(value_type = Option<String>)]
    pub(crate) id: Option<ReportId>,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
    /// The randomness that it was given: ids are made of it.
    #[schema(value_type = String)]
    #[serde(with = "as_text")]
    pub(crate) entropy: u64,
    /// `om`, `yeastar`, `zycoo`; `switchroom` for a note of our own. Null: time passed.
    pub(crate) dialect: Option<String>,
    /// The dialect's name of it.
    pub(crate) name: Option<String>,
    /// From which address.
    pub(crate) source: Option<String>,
    /// Its content type, where it is needed to read it.
    pub(crate) content_type: Option<String>,
    /// Its body; what is no UTF-8 is in `body_base64`, or is decoded for those who are given numbers masked.
    pub(crate) body: Option<String>,
    /// Its body, if that is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body_base64: Option<String>,
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl From<&Entry> for ReportView {
    fn from(entry: &Entry) -> Self {
        let IdSeed { at, entropy } = entry.seed();
        let nothing = Self {
            id: None,
            at,
            entropy,
            dialect: None,
            name: None,
            source: None,
            content_type: None,
            body: None,
            body_base64: None,
        };
        let Entry::Report(RawReport { seed, source, dialect, name, content_type, body }) = entry else {
            return nothing;
        };
        let text = std::str::from_utf8(body).ok().map(str::to_owned);
        let encoded = || base64::Engine::encode(&base64::engine::general_purpose::STANDARD, body);
        Self {
            id: Some(Minter::report_id(*seed)),
            dialect: Some((*dialect).to_owned()),
            name: Some(name.to_string()),
            source: Some(source.to_string()),
            content_type: content_type.as_ref().map(ToString::to_string),
            body_base64: text.is_none().then(encoded),
            body: text,
            ..nothing
        }
    }
}

/// Everything that is known of one call, in the order in which it happened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Timeline {
    /// The call.
    call: CallView,
    /// What happened.
    entries: Vec<Item>,
    /// Its conversation, once it is complete.
    conversation: Option<Conversation>,
}

/// One thing that happened; exactly one of its fields beside `at` and `kind` is there.
#[derive(Debug, Serialize, ToSchema)]
struct Item {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `report` (what came in), `note` (what we noted ourselves: a command that was sent, a correction by asking),
    /// `event` (what was made of it), `command`, `delivery` (of an event to a webhook, of a report to a target).
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<ReportView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    event: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<CommandView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<Delivered>,
}

/// What became of an event or report at one of the places that get them; for operators and admins.
#[derive(Debug, Serialize, ToSchema)]
struct Delivered {
    /// The webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<String>,
    /// The target.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The event's or report's id.
    #[schema(value_type = Option<String>)]
    item: Option<uuid::Uuid>,
    /// Its kind.
    #[serde(rename = "of")]
    #[schema(value_type = String, example = "call.ended")]
    name: switchroom_domain::Text,
    /// What became of it.
    state: DeliveryState,
    /// The last attempts, the oldest first.
    attempts: Vec<Attempt>,
}

impl ReportView {
    /// As this caller may see it: where numbers are masked, they are to be in text.
    fn of(entry: &Entry, caller: &Caller) -> Self {
        Self::shown(entry, caller.is_masked())
    }

    fn shown(entry: &Entry, is_masked: bool) -> Self {
        let mut view = Self::from(entry);
        if let (true, Some(_), Entry::Report(RawReport { body, .. })) = (is_masked, &view.body_base64, entry)
        {
            view.body_base64 = None;
            view.body = Some(switchroom_protocol::decode_body(body).into_owned());
        }
        view
    }
}

impl Item {
    fn report(entry: &Entry, caller: &Caller) -> Self {
        let report = ReportView::of(entry, caller);
        let is_note = report.dialect.as_deref().is_none_or(|dialect| dialect == INTERNAL);
        let kind = if is_note { "note" } else { "report" };
        Self { at: report.at, kind, report: Some(report), event: None, command: None, delivery: None }
    }

    fn event(published: &Published) -> Result<Self, Problem> {
        let mut text = String::new();
        published.write_json(&mut text);
        let event = RawValue::from_string(text).map_err(|error| Problem::internal(&error))?;
        let at = published.sealed.event.at;
        Ok(Self { at, kind: "event", report: None, event: Some(event), command: None, delivery: None })
    }

    fn command(view: CommandView) -> Self {
        let at = view.created_at;
        let command = Some(shown(view));
        Self { at, kind: "command", report: None, event: None, command, delivery: None }
    }

    fn delivery(webhook: Option<String>, target: Option<String>, delivery: Delivery) -> Self {
        let body = delivery.body;
        let at = body.attempts.last().map_or(delivery.at, |attempt| attempt.at);
        let delivery = Delivered {
            webhook,
            target,
            item: delivery.item,
            name: body.kind,
            state: delivery.state,
            attempts: body.attempts,
        };
        Self { at, kind: "delivery", report: None, event: None, command: None, delivery: Some(delivery) }
    }
}

/// Explains one call: every raw report of it, what was made of each, the commands about it, with times.
#[utoipa::path(get, path = "/api/v1/calls/{call}/timeline", tag = "calls", params(("call" = String, Path)),
    responses((status = 200, body = Timeline), (status = 404, body = ProblemBody)))]
pub(super) async fn timeline(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<Timeline>, Problem> {
    let none = || {
        let id: String = path.chars().take(80).collect();
        Problem::new(Kind::NotFound, format!("there is no call {id:?} that this token may see"))
    };
    let id: CallId = path.parse().map_err(|_| none())?;
    let found = find(&state, &caller, id).await?;
    let call = found.filter(|call| caller.sees_call(call)).ok_or_else(none)?;
    let reader = &state.services.reader;
    let conversation: Option<Conversation> = reader.record(records::Kind::Conversation, id.0).await?;
    let until = call.ended_at.map_or(Timestamp(i64::MAX), |ended| ended.plus(AFTER));
    let mut spans = vec![(call.started_at.minus(BEFORE), until)];
    // Records of a file come long after their call.
    for cdr in conversation.iter().flat_map(|conversation| &conversation.cdrs) {
        let cdr: Option<CdrView> = reader.record(records::Kind::Cdr, cdr.0).await?;
        let Some(at) = cdr.map(|cdr| cdr.received_at) else { continue };
        if !spans.iter().any(|(since, until)| *since <= at && at <= *until) {
            spans.push((at.minus(Millis(1)), at.plus(TOLD)));
        }
    }
    let mut stretch = Stretch::default();
    for span in apart(spans) {
        let left = LOOKED_AT.saturating_sub(stretch.inputs.len()).max(1);
        let more = reader.stretch(call.device.clone(), span, 0, left).await?.unwrap_or_default();
        stretch.inputs.extend(more.inputs);
        stretch.events.extend(more.events);
    }
    let entries = entries_of(&state, &caller, &call, &stretch).await?;
    Ok(web::Json(Timeline { call, entries, conversation }))
}

/// The same times, each once.
fn apart(mut spans: Vec<(Timestamp, Timestamp)>) -> Vec<(Timestamp, Timestamp)> {
    spans.sort_unstable();
    let mut apart: Vec<(Timestamp, Timestamp)> = Vec::new();
    for (since, until) in spans {
        match apart.last_mut() {
            Some((_, last)) if since <= *last => *last = until.max(*last),
            _ => apart.push((since, until)),
        }
    }
    apart
}

async fn entries_of(
    state: &State,
    caller: &Caller,
    call: &CallView,
    stretch: &Stretch,
) -> Result<Vec<Item>, Problem> {
    let data = |published: &Published| published.sealed.event.data.clone();
    let mine: Vec<&Published> = stretch.events.iter().filter(|p| data(p).call == Some(call.id)).collect();
    let reports: HashSet<ReportId> = mine.iter().filter_map(|p| data(p).report).collect();
    let commands: BTreeSet<CommandId> = mine.iter().filter_map(|p| data(p).command?.parse().ok()).collect();
    let mut items: Vec<Item> = Vec::new();
    let mut places: Vec<u64> = Vec::new();
    // Events name no note of ours, but were made with it.
    let made_with = |seed: IdSeed| {
        let at_once =
            mine.iter().map(|published| &published.sealed.event).filter(|event| event.at == seed.at);
        at_once.into_iter().any(|event| Minter::has_minted(seed, event.id.0))
    };
    for (place, entry) in &stretch.inputs {
        let is_its = match entry {
            // What a device said when it was asked may name others' calls, too.
            Entry::Report(report) if report.dialect == INTERNAL => {
                let is_of_one = caller.extensions().is_none() || report.name == FILED;
                is_of_one && made_with(report.seed)
            }
            Entry::Report(report) => reports.contains(&Minter::report_id(report.seed)),
            _ => false,
        };
        if is_its {
            items.push(Item::report(entry, caller));
            places.push(place.cast_unsigned());
        }
    }
    if caller.require(&[Role::Admin, Role::Operator]).is_ok() {
        let cursors: Vec<u64> = mine.iter().map(|published| published.cursor).collect();
        let deliveries = state.services.reader.query(move |connection| {
            let webhooks = crate::webhooks::TABLES.of_cursors(connection, &cursors, DELIVERIES)?;
            Ok((webhooks, crate::targets::TABLES.of_cursors(connection, &places, DELIVERIES)?))
        });
        let (webhooks, targets) = deliveries.await?;
        items.extend(webhooks.into_iter().map(|(id, delivery)| Item::delivery(Some(id), None, delivery)));
        items.extend(targets.into_iter().map(|(id, delivery)| Item::delivery(None, Some(id), delivery)));
    }
    for published in mine {
        items.push(Item::event(published)?);
    }
    let commands = state.services.reader.commands(commands.into_iter().collect()).await?;
    items.extend(commands.into_iter().map(Item::command));
    // What came in stands before what was made of it.
    let rank = |kind: &str| match kind {
        "command" => 0,
        "event" => 2,
        "delivery" => 3,
        _ => 1,
    };
    items.sort_by_key(|item| (item.at, rank(item.kind)));
    Ok(items)
}

/// Which reports are wanted.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReportQuery {
    /// At or after this time (RFC 3339).
    since: Option<String>,
    /// Before this time (RFC 3339).
    until: Option<String>,
    /// About how many items a page has: 1 to 1000, 100 if not given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A device's raw reports, the oldest first. With `Accept: application/x-ndjson` all of them, with the events that they
/// caused, as `switchroom replay` takes them.
#[utoipa::path(get, path = "/api/v1/devices/{device}/reports", tag = "records",
    params(("device" = String, Path), ReportQuery),
    responses((status = 200, body = Page<ReportView>), (status = 403, body = ProblemBody)))]
pub(super) async fn reports(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    Params(query): Params<ReportQuery>,
) -> Result<HttpResponse, Problem> {
    let device = device(&state, &caller, &path)?;
    caller.require(&[Role::Operator, Role::Admin])?;
    caller.require_all_extensions()?;
    let (since, until) = input::times(query.since.as_deref(), query.until.as_deref())?;
    let since = since.unwrap_or_default();
    let until = until.map_or(Timestamp(i64::MAX), |until| until.minus(Millis(1)));
    let after = query.cursor.as_deref().map(|text| place("reports", text)).transpose()?;
    let after: i64 = after.map(|place| place.parse().map_err(|_| bad_cursor())).transpose()?.unwrap_or(0);
    let (id, span) = (device.settings.id.clone(), (since, until));
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("application/x-ndjson") {
        let model = &state.services.config.model;
        let head = serde_json::json!({
            "device": id,
            "timezone": device.settings.timezone,
            "overtake_ms": model.overtake_ms,
            "release_ms": model.release_ms,
        });
        let name = format!("attachment; filename=\"{id}.ndjson\"");
        let first = web::Bytes::from(format!("{head}\n"));
        return Ok(HttpResponse::Ok()
            .content_type("application/x-ndjson")
            .insert_header((CONTENT_DISPOSITION, name))
            .streaming(lines(state, id, span, after, first, caller.is_masked())));
    }
    let limit = limit(query.limit)?;
    let stretch = state.services.reader.stretch(id, span, after, limit).await?.unwrap_or_default();
    let items: Vec<ReportView> =
        stretch.inputs.iter().map(|(_, entry)| ReportView::of(entry, &caller)).collect();
    let next_cursor = stretch.next.map(|next| cursor("reports", &next.to_string()));
    Ok(HttpResponse::Ok().json(Page { items, next_cursor }))
}

fn lines(
    state: web::Data<State>,
    device: switchroom_domain::id::DeviceId,
    span: (Timestamp, Timestamp),
    after: i64,
    first: web::Bytes,
    is_masked: bool,
) -> impl futures_util::Stream<Item = Result<web::Bytes, Problem>> {
    let start = (Some(after), Some(first));
    futures_util::stream::unfold(start, move |(after, first)| {
        let (state, device) = (state.clone(), device.clone());
        async move {
            if let Some(first) = first {
                return Some((Ok(first), (after, None)));
            }
            let stretch = match state.services.reader.stretch(device, span, after?, 1000).await {
                Ok(stretch) => stretch.unwrap_or_default(),
                Err(error) => return Some((Err(error.into()), (None, None))),
            };
            let mut text = String::new();
            for (_, entry) in &stretch.inputs {
                text.push_str(
                    &serde_json::to_string(&ReportView::shown(entry, is_masked)).unwrap_or_default(),
                );
                text.push('\n');
            }
            for published in &stretch.events {
                text.push_str("{\"event\":");
                text.push_str(&published.sealed.envelope);
                text.push_str("}\n");
            }
            Some((Ok(text.into()), (stretch.next, None)))
        }
    })
}
