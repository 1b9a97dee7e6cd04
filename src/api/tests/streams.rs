//! Server-sent events: what comes, from where, and when it ends.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{ADMIN, RINGING, Service, client};

/// A message of a stream.
#[derive(Debug, Default, Clone, PartialEq)]
struct Message {
    id: Option<u64>,
    event: Option<String>,
    data: Value,
}

/// A client's side of a stream.
struct Client {
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: String,
}

impl Client {
    async fn open(service: &Service, query: &str, last: Option<u64>) -> Self {
        let url = service.url(&format!("/api/v1/events/stream{query}"));
        // A client of its own, so that closing one stream closes its connection.
        let mut request = client().get(url).bearer_auth(ADMIN);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { bytes: response.bytes_stream().boxed(), buffer: String::new() }
    }

    /// The next block of lines; none at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let rest = self.buffer.split_off(end + 2);
                return Some(std::mem::replace(&mut self.buffer, rest));
            }
            let next = tokio::time::timeout(Duration::from_secs(20), self.bytes.next()).await;
            let bytes = next.expect("a stream shows that it lives")?.expect("it can be read");
            self.buffer.push_str(std::str::from_utf8(&bytes).expect("text"));
        }
    }

    /// The next message that is not a comment.
    async fn next(&mut self) -> Option<Message> {
        loop {
            let block = self.block().await?;
            let mut message = Message::default();
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => message.id = id.parse().ok(),
                    Some(("event", name)) => message.event = Some(name.to_owned()),
                    Some(("data", data)) => message.data = serde_json::from_str(data).expect("JSON"),
                    _ => {}
                }
            }
            if !message.data.is_null() {
                return Some(message);
            }
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.len() < count {
            messages.push(self.next().await.expect("more events"));
        }
        messages
    }
}

fn extensions(messages: &[Message]) -> Vec<usize> {
    let number =
        |message: &Message| message.data["data"]["extension"].as_str().and_then(|text| text.parse().ok());
    messages.iter().map(|message| number(message).expect("an extension")).collect()
}

const CHANGES: &str = "?kind=extension.state_changed";

#[actix::test]
async fn a_stream_that_breaks_goes_on_without_gap_or_double() {
    let service = Service::start().await;
    service.add_device("om").await;
    let mut stream = Client::open(&service, CHANGES, None).await;
    let (mut seen, mut last) = (Vec::new(), None);
    let reports = service.busy("om", 1000, 400);
    let reads = async {
        while seen.len() < 400 {
            // Every now and then the connection breaks, with events on their way.
            let messages = stream.take(37.min(400 - seen.len())).await;
            last = messages.last().and_then(|message| message.id);
            for message in &messages {
                assert_eq!(message.data["cursor"], message.id.expect("an id").to_string());
            }
            seen.extend(extensions(&messages));
            stream = Client::open(&service, CHANGES, last).await;
        }
    };
    tokio::join!(reports, reads);
    assert_eq!(seen, (1000..1400).collect::<Vec<_>>());

    // The same events are in the store, for whom comes after a restart.
    let service = service.restart().await;
    let mut stream = Client::open(&service, &format!("{CHANGES}&since=0"), None).await;
    let all = stream.take(400).await;
    assert_eq!(extensions(&all), (1000..1400).collect::<Vec<_>>());
    service.busy("om", 2000, 3).await;
    assert_eq!(
        extensions(&stream.take(3).await),
        [2000, 2001, 2002],
        "from the store it goes on to what is new"
    );
    service.app.stop().await;
}

#[actix::test]
async fn a_stream_begins_now_and_is_narrowed() {
    let service = Service::start().await;
    for device in ["om", "other"] {
        service.add_device(device).await;
    }
    service.busy("om", 300, 3).await;
    service.until("/api/v1/devices/om/extensions", |page| !page["items"][2].is_null()).await;
    service.until("/api/v1/events?extension=302", |page| !page["items"][0].is_null()).await;
    let mut all = Client::open(&service, "", None).await;
    let mut of_other = Client::open(&service, "?device=other", None).await;
    let mut calls = Client::open(&service, "?kind=call.*,queue.*&extension=200,201", None).await;
    service.busy("om", 400, 1).await;
    service.busy("other", 500, 1).await;
    service.event("om", "RING", RINGING).await;
    assert_eq!(all.next().await.expect("an event").data["data"]["extension"], "400");
    let first = of_other.next().await.expect("an event");
    assert_eq!(first.data["source"], "/devices/other");
    let call = calls.next().await.expect("an event").data;
    assert_eq!(
        (&call["type"], &call["data"]["extension"]),
        (&json!("switchroom.call.ringing"), &json!("200"))
    );
    let open = service.get("/metrics").await.text;
    assert!(open.contains("switchroom_event_clients{transport=\"sse\"} 3"), "{open}");
    service.app.stop().await;
}

#[actix::test]
async fn a_cursor_that_is_not_there_is_said_to_be_so() {
    let service = Service::start().await;
    service.add_device("om").await;
    let mut ahead = Client::open(&service, "?since=999999", None).await;
    let reset = ahead.next().await.expect("a message");
    assert_eq!((reset.id, reset.event.as_deref()), (None, Some("reset")));
    assert_eq!(reset.data, json!({"reason": "unknown", "cursor": "0"}));
    service.busy("om", 300, 1).await;
    assert_eq!(ahead.next().await.expect("an event").data["data"]["device"], "om");

    // The beginning of the log was dropped: the device's first event, and the telephone's.
    service.until("/api/v1/events?extension=300", |page| !page["items"][0].is_null()).await;
    service.busy("om", 301, 1).await;
    service.until("/api/v1/events?extension=301", |page| !page["items"][0].is_null()).await;
    let service = service.restart().await;
    let sql = "DELETE FROM log WHERE last_event <= 2";
    let drop = service.app.services.store.run(|connection| Ok(connection.execute_batch(sql)?)).await;
    drop.expect("it is changed");
    let mut behind = Client::open(&service, "?since=1", None).await;
    let reset = behind.next().await.expect("a message");
    assert_eq!((reset.id, reset.data), (None, json!({"reason": "expired", "cursor": "2"})));
    assert_eq!(behind.next().await.expect("an event").id, Some(3));
    service.get("/api/v1/events?since=1").await.problem(410, "cursor-expired");
    service.get("/api/v1/events/stream?since=x").await.problem(400, "bad-cursor");
    service.app.stop().await;
}

#[actix::test]
async fn streams_are_bounded_and_freed() {
    let service = Service::start_with(|config| config.api.streams = 2).await;
    let first = Client::open(&service, "", None).await;
    let second = Client::open(&service, "", None).await;
    let full = service.get("/api/v1/events/stream").await;
    full.problem(503, "unavailable");
    assert_eq!(full.header("retry-after"), "10");
    drop((first, second));
    let free = |text: &str| text.contains("switchroom_event_clients{transport=\"sse\"} 0");
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while !free(&service.get("/metrics").await.text) {
        assert!(std::time::Instant::now() < deadline, "the streams were never freed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    service.app.stop().await;
}

#[actix::test]
async fn a_stream_is_told_everything_before_the_service_stops() {
    let service = Service::start().await;
    service.add_device("om").await;
    let mut stream = Client::open(&service, CHANGES, None).await;
    service.busy("om", 1000, 50).await;
    let stop = service.app.stop();
    let read = async {
        let mut seen = Vec::new();
        while let Some(message) = stream.next().await {
            seen.push(message);
        }
        seen
    };
    let ((), seen) = tokio::join!(stop, read);
    assert_eq!(extensions(&seen), (1000..1050).collect::<Vec<_>>());
}

#[actix::test]
async fn a_stream_ends_with_its_token() {
    let service = Service::start().await;
    let made = service.post("/api/v1/tokens", json!({"name": "x", "role": "viewer"})).await.json();
    let url = service
        .url(&format!("/api/v1/events/stream?access_token={}", made["token"].as_str().expect("a token")));
    let response = client().get(&url).send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().expect("an id"));
    assert_eq!(service.call(Method::DELETE, &path, ADMIN, None).await.status, 204);
    assert_eq!(client().get(&url).send().await.expect("an answer").status(), 401);
    let ended = tokio::time::timeout(Duration::from_secs(20), response.text()).await;
    assert!(ended.is_ok(), "the stream goes on without a token");
    service.app.stop().await;
}
