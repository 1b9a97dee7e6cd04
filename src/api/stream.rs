//! `/events/stream`: server-sent events.
//!
//! Each event's `id:` is its cursor and its `data:` the envelope. A client that comes back with `Last-Event-ID`
//! (or `?since=`) goes on after it, without gap or double. A cursor that is no longer, or not yet, there is
//! answered by an event `reset` without id that says where the stream goes on. A comment every 10 seconds
//! keeps the connection alive and tells how far it has come.
//!
//! Nothing is queued for a client: it is written to when it takes more, from its cursor on.

use std::fmt::Write;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, HeaderName};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::Stream;
use tokio::time::Instant;

use super::State;
use super::auth::Caller;
use super::error::{Problem, ProblemBody};
use super::feed::{Feed, Reset};
use super::filter::Filter;
use super::input::Params;
use super::subscriber::{Next, Place, StreamQuery, Subscriber};
use crate::storage::Published;

/// How often a quiet stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(10);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Events as they happen, as server-sent events.
#[utoipa::path(get, path = "/api/v1/events/stream", tag = "events",
    params(StreamQuery, ("Last-Event-ID" = Option<String>, Header, description = "the id of the last event that was received")),
    responses((status = 200, content_type = "text/event-stream", body = String,
            description = "`id:` is the cursor, `data:` an EventEnvelope; `event: reset` says that the cursor is not there"),
        (status = 400, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn stream(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    Params(query): Params<StreamQuery>,
) -> Result<HttpResponse, Problem> {
    // A browser that reconnects repeats its first URL, so the header is the later word.
    let header = request.headers().get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let since = header.filter(|id| !id.is_empty()).or(query.since.as_deref());
    let filter = Filter::new(&state, caller, &query.wish())?;
    let place = Place::take(&state, "sse")?;
    let (feed, reset) = Feed::resume(&state, since, filter).await?;
    let first = opening(feed.cursor(), reset);
    let subscriber = Subscriber::new(state, feed, place);
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        // A proxy that gathers answers would keep the events from the client.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(chunks(subscriber, first)))
}

fn opening(cursor: u64, reset: Option<Reset>) -> Bytes {
    let mut text = format!("retry: 2000\n: cursor {cursor}\n\n");
    if let Some(reset) = reset {
        let json = serde_json::to_string(&reset).unwrap_or_default();
        // A String takes whatever is written.
        let _ = write!(text, "event: reset\ndata: {json}\n\n");
    }
    text.into()
}

/// One chunk for all events that are there at a time.
fn chunks(subscriber: Subscriber, first: Bytes) -> impl Stream<Item = Result<Bytes, Problem>> {
    let start = (Some(subscriber), Some(first));
    futures_util::stream::unfold(start, |(subscriber, first)| async move {
        let mut subscriber = subscriber?;
        if let Some(first) = first {
            return Some((Ok(first), (Some(subscriber), None)));
        }
        let next = subscriber.next(Instant::now() + HEARTBEAT).await;
        if !subscriber.may_go_on().await {
            return None;
        }
        match next {
            Ok(Next::Items(items)) => Some((Ok(chunk(&items)), (Some(subscriber), None))),
            Ok(Next::Quiet) => {
                let comment = format!(": cursor {}\n\n", subscriber.feed.cursor());
                Some((Ok(comment.into()), (Some(subscriber), None)))
            }
            Ok(Next::Ending) => None,
            Err(error) => Some((Err(error.into()), (None, None))),
        }
    })
}

/// An envelope is one line: JSON has no line ends of its own.
fn chunk(items: &[Published]) -> Bytes {
    let length: usize = items.iter().map(|item| item.json_len() + 40).sum();
    let mut text = String::with_capacity(length);
    for item in items {
        // A String takes whatever is written.
        let _ = write!(text, "id: {}\ndata: ", item.cursor);
        item.write_json(&mut text);
        text.push_str("\n\n");
    }
    text.into()
}
