//! `/events`: past events by cursor, and waiting for the next ones.

use std::time::Duration;

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};

use super::State;
use super::auth::Caller;
use super::error::{Problem, ProblemBody};
use super::feed::{Feed, expired, oldest, parse_cursor};
use super::filter::{Filter, Wish};
use super::input::{Params, bad_cursor, limit};
use crate::storage::Published;

/// The longest wait, in seconds.
const WAIT_MAX: u32 = 60;
/// How long one request may look through events that are not wanted; then it gives its place so far.
const LOOKING: Duration = Duration::from_secs(2);

/// Which events are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PastQuery {
    /// After this cursor; without it from the oldest event that is kept.
    since: Option<String>,
    /// The same as `since`.
    cursor: Option<String>,
    /// How many events at most: 1 to 1000, 100 if not given.
    limit: Option<usize>,
    /// Only of these devices, comma-separated.
    device: Option<String>,
    /// Only of these kinds, comma-separated; `call.*` is all of a family.
    #[param(example = "call.*,queue.entered")]
    kind: Option<String>,
    /// Only those that concern these extensions, comma-separated: as `extension`, `from` or `to`.
    extension: Option<String>,
    /// When there is none yet, wait up to so many seconds for one: at most 60.
    wait: Option<u32>,
}

/// An event as everyone is told of it: CloudEvents 1.0 JSON. Envelopes are written where they happen; this is
/// their schema.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "EventEnvelope")]
pub(super) struct EventEnvelope {
    /// Its place in commit order; opaque.
    cursor: String,
    /// Always `1.0`.
    specversion: String,
    /// Who sees an id twice has seen the event.
    #[schema(value_type = String)]
    id: String,
    /// The device, `/devices/{device}`.
    #[schema(example = "/devices/hotel-1")]
    source: String,
    /// The kind of event.
    #[serde(rename = "type")]
    #[schema(example = "switchroom.call.ringing")]
    type_name: String,
    /// When the report came in that caused it.
    #[schema(format = DateTime)]
    time: String,
    /// What it is about.
    #[schema(example = "extensions/200")]
    subject: String,
    /// The device's own count, without holes.
    sequence: u64,
    /// Always `application/json`.
    datacontenttype: String,
    /// What it says: always `device` and `basis`, and what else applies.
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

/// Events of the past.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventPage {
    /// The events, the oldest first.
    items: Vec<EventEnvelope>,
    /// `since` for the next page; null when there is no more for now.
    next_cursor: Option<String>,
    /// How far the events were looked through, wanted or not: `since` for the next time.
    cursor: String,
}

/// Past events, the oldest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(PastQuery),
    responses((status = 200, body = EventPage), (status = 400, body = ProblemBody),
        (status = 410, body = ProblemBody)))]
pub(super) async fn past(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<PastQuery>,
) -> Result<HttpResponse, Problem> {
    let limit = limit(query.limit)?;
    let wait = Duration::from_secs(query.wait.unwrap_or(0).min(WAIT_MAX).into());
    let since = match (&query.since, &query.cursor) {
        (Some(_), Some(_)) => {
            return Err(Problem::new(super::error::Kind::BadParameter, "give since or cursor, not both")
                .field("since"));
        }
        (since, cursor) => since.as_ref().or(cursor.as_ref()).map(|text| parse_cursor(text)).transpose()?,
    };
    let wish = Wish { device: query.device, kind: query.kind, extension: query.extension };
    let filter = Filter::new(&state, caller, &wish)?;
    let start = start(&state, since).await?;
    let mut feed = Feed::new(start, filter);
    let items = collect(&state, &mut feed, limit, Instant::now() + wait).await?;
    let more = !feed.is_at_end(&state);
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body(&items, feed.cursor(), more)))
}

async fn start(state: &State, since: Option<u64>) -> Result<u64, Problem> {
    let oldest = oldest(state).await?;
    match since {
        None => Ok(oldest),
        Some(since) if since < oldest => Err(expired(oldest)),
        Some(since) if since > state.services.store.hub().latest() => Err(bad_cursor().field("since")),
        Some(since) => Ok(since),
    }
}

/// Fills a page; when nothing is there yet, waits for something until the deadline.
async fn collect(
    state: &State,
    feed: &mut Feed,
    limit: usize,
    deadline: Instant,
) -> Result<Vec<Published>, Problem> {
    let mut latest = state.services.store.hub().watch();
    let mut ending = state.ending.subscribe();
    let mut items = Vec::new();
    let enough = Instant::now() + LOOKING;
    loop {
        latest.mark_unchanged();
        while items.len() < limit && !feed.is_at_end(state) {
            items.extend(feed.next(state, limit - items.len()).await?);
            if Instant::now() >= enough.max(deadline) {
                return Ok(items);
            }
        }
        if !items.is_empty() || *ending.borrow() {
            return Ok(items);
        }
        tokio::select! {
            changed = timeout_at(deadline, latest.changed()) => match changed {
                Ok(Ok(())) => {}
                _ => return Ok(items),
            },
            _ = ending.changed() => {}
        }
    }
}

/// The envelopes are JSON already.
fn body(items: &[Published], cursor: u64, more: bool) -> String {
    let length: usize = items.iter().map(|item| item.json_len() + 1).sum();
    let mut body = String::with_capacity(length + 80);
    body.push_str("{\"items\":[");
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            body.push(',');
        }
        item.write_json(&mut body);
    }
    let next = if more { format!("\"{cursor}\"") } else { "null".to_owned() };
    body.push_str(&format!("],\"next_cursor\":{next},\"cursor\":\"{cursor}\"}}"));
    body
}
