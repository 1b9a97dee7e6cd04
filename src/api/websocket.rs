//! `/events/ws`: the events over WebSocket, an envelope a message.
//!
//! The query takes what `/events/stream` takes. Later the client may send `{"since": cursor}` to go on from
//! another place (back in time gives events again) and `{"filter": {"device", "kind", "extension"}}` to narrow
//! or widen; both may be in one message. What is not understood is answered `{"error": {…}}` and changes
//! nothing; a cursor that is not there is answered `{"reset": {"reason", "cursor"}}`.
//!
//! | close code | why |
//! | --- | --- |
//! | 1000 | the client closed |
//! | 1001 | the service is stopping: connect again with `since` |
//! | 1009 | a message of the client was larger than 16 KiB |
//! | 1011 | the store could not be read |
//! | 4001 | the token is no longer good |
//! | 4008 | the client took nothing for 30 seconds |
//! | 4009 | the client did not answer pings for 45 seconds |

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, ProtocolError, Session};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::State;
use super::auth::Caller;
use super::error::{Kind, Problem, ProblemBody};
use super::feed::{Feed, Reset};
use super::filter::{Filter, Wish};
use super::input::Params;
use super::subscriber::{Next, Place, StreamQuery, Subscriber};
use crate::privacy;
use crate::storage::Published;

/// How often the server pings.
const PING: Duration = Duration::from_secs(15);
/// A client that is not heard of for so long has gone.
const SILENCE: Duration = Duration::from_secs(45);
/// A client that takes nothing for so long is cut off; it resumes from its cursor.
const SLOW: Duration = Duration::from_secs(30);
/// The largest message of a client, in bytes.
const MESSAGE_BYTES: usize = 16 * 1024;

/// Events as they happen, over WebSocket.
#[utoipa::path(get, path = "/api/v1/events/ws", tag = "events", params(StreamQuery),
    responses((status = 101, description = "an EventEnvelope a message"), (status = 400, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(super) async fn open(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
    Params(query): Params<StreamQuery>,
) -> Result<HttpResponse, Problem> {
    let filter = Filter::new(&state, caller, &query.wish())?;
    let place = Place::take(&state, "websocket")?;
    let (feed, reset) = Feed::resume(&state, query.since.as_deref(), filter).await?;
    let (response, session, messages) = actix_ws::handle(&request, payload).map_err(|error| {
        let detail = format!("this is a WebSocket; connect with an upgrade request ({error})");
        Problem::new(Kind::BadRequest, detail)
    })?;
    let messages = messages.max_frame_size(MESSAGE_BYTES).aggregate_continuations();
    let messages = messages.max_continuation_size(MESSAGE_BYTES);
    let subscriber = Subscriber::new(state, feed, place);
    let connection = Connection { session, subscriber, heard: Instant::now() };
    actix_rt::spawn(connection.run(messages, reset));
    Ok(response)
}

/// What a client may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    since: Option<Cursor>,
    filter: Option<Wish>,
}

/// Cursors are strings; a number is taken as well.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Cursor {
    Text(String),
    Number(u64),
}

/// Why a connection ends.
enum End {
    /// The client has gone: nobody is left to tell.
    Gone,
    /// With this code and reason.
    Close(CloseCode, &'static str),
}

const fn close(code: u16, reason: &'static str) -> End {
    End::Close(CloseCode::Other(code), reason)
}

const SLOW_CLIENT: End = close(4008, "the client took nothing for 30 seconds");

struct Connection {
    session: Session,
    subscriber: Subscriber,
    heard: Instant,
}

impl Connection {
    async fn run(mut self, mut messages: AggregatedMessageStream, reset: Option<Reset>) {
        let end = match self.say_reset(reset).await {
            Ok(()) => self.serve(&mut messages).await,
            Err(end) => end,
        };
        if let End::Close(code, reason) = end {
            let reason = CloseReason { code, description: Some(reason.to_owned()) };
            // A client that does not take even this is left alone.
            let _ = timeout(Duration::from_secs(1), self.session.close(Some(reason))).await;
        }
    }

    async fn serve(&mut self, messages: &mut AggregatedMessageStream) -> End {
        let mut ping_at = Instant::now() + PING;
        loop {
            let step = tokio::select! {
                message = messages.next() => self.hear(message).await,
                next = self.subscriber.next(ping_at) => match next {
                    Ok(Next::Items(items)) => self.give(&items).await,
                    Ok(Next::Quiet) => {
                        ping_at = Instant::now() + PING;
                        self.check().await
                    }
                    Ok(Next::Ending) => Err(End::Close(CloseCode::Away, "the service is stopping")),
                    Err(error) => {
                        tracing::error!(%error, "a WebSocket cannot be served");
                        Err(End::Close(CloseCode::Error, "the store could not be read"))
                    }
                },
            };
            if let Err(end) = step {
                return end;
            }
            // A stream that is never quiet is pinged as well.
            if Instant::now() >= ping_at {
                ping_at = Instant::now() + PING;
                if let Err(end) = self.check().await {
                    return end;
                }
            }
        }
    }

    async fn say(&mut self, text: String) -> Result<(), End> {
        let is_masked = self.subscriber.feed.filter().caller().is_masked();
        let text = if is_masked { privacy::masked_json(&text) } else { text };
        match timeout(SLOW, self.session.text(text)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(SLOW_CLIENT),
        }
    }

    async fn give(&mut self, items: &[Published]) -> Result<(), End> {
        for item in items {
            let mut text = String::with_capacity(item.json_len());
            item.write_json(&mut text);
            self.say(text).await?;
        }
        Ok(())
    }

    async fn say_reset(&mut self, reset: Option<Reset>) -> Result<(), End> {
        let Some(reset) = reset else { return Ok(()) };
        self.say(serde_json::json!({ "reset": reset }).to_string()).await
    }

    /// Is the client there, and may it still be?
    async fn check(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > SILENCE {
            return Err(close(4009, "the client did not answer pings for 45 seconds"));
        }
        if !self.subscriber.may_go_on().await {
            return Err(close(4001, "the token is no longer good"));
        }
        match timeout(SLOW, self.session.ping(b"")).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(SLOW_CLIENT),
        }
    }

    async fn hear(&mut self, message: Option<Result<AggregatedMessage, ProtocolError>>) -> Result<(), End> {
        self.heard = Instant::now();
        match message {
            None => Err(End::Gone),
            Some(Err(ProtocolError::Overflow)) => {
                Err(End::Close(CloseCode::Size, "a message was larger than 16 KiB"))
            }
            Some(Err(_)) => Err(End::Close(CloseCode::Protocol, "that was not WebSocket")),
            Some(Ok(AggregatedMessage::Close(_))) => Err(End::Close(CloseCode::Normal, "")),
            Some(Ok(AggregatedMessage::Ping(bytes))) => {
                match timeout(SLOW, self.session.pong(&bytes)).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) => Err(End::Gone),
                    Err(_) => Err(SLOW_CLIENT),
                }
            }
            Some(Ok(AggregatedMessage::Pong(_))) => Ok(()),
            Some(Ok(AggregatedMessage::Binary(_))) => {
                self.say_error(&Problem::new(Kind::BadBody, "send JSON as a text message")).await
            }
            Some(Ok(AggregatedMessage::Text(text))) => match self.obey(&text).await {
                Ok(reset) => self.say_reset(reset).await,
                Err(problem) => self.say_error(&problem).await,
            },
        }
    }

    async fn say_error(&mut self, problem: &Problem) -> Result<(), End> {
        let kind = problem.kind();
        let error = serde_json::json!({
            "error": { "type": kind.type_uri(), "title": kind.title(), "detail": problem.detail() }
        });
        self.say(error.to_string()).await
    }

    /// Does what the client says, all of it or nothing.
    async fn obey(&mut self, text: &str) -> Result<Option<Reset>, Problem> {
        let said: Said = serde_json::from_str(text).map_err(|error| {
            let detail = format!("{error}; send {{\"since\": cursor}} or {{\"filter\": {{…}}}}");
            Problem::new(Kind::BadBody, detail)
        })?;
        let state = self.subscriber.state().clone();
        let current = self.subscriber.feed.filter();
        let filter = match &said.filter {
            Some(wish) => Filter::new(&state, current.caller().clone(), wish)?,
            None => current.clone(),
        };
        let Some(since) = said.since else {
            self.subscriber.feed.set_filter(filter);
            return Ok(None);
        };
        let since = match since {
            Cursor::Text(text) => text,
            Cursor::Number(number) => number.to_string(),
        };
        let (feed, reset) = Feed::resume(&state, Some(&since), filter).await?;
        self.subscriber.feed = feed;
        Ok(reset)
    }
}
