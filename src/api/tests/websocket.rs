//! Events over WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::support::{ADMIN, Service};

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn open(service: &Service, query: &str) -> Self {
        let url = format!("ws://{}/api/v1/events/ws{query}", service.app.api_address);
        let mut request = url.into_client_request().expect("a request");
        let token = format!("Bearer {ADMIN}").parse().expect("a header");
        request.headers_mut().insert("authorization", token);
        Self(tokio_tungstenite::connect_async(request).await.expect("it connects").0)
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("it is sent");
    }

    async fn message(&mut self) -> Message {
        let next = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await;
        next.expect("something comes in time").expect("the connection lives").expect("it can be read")
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.message().await {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    }

    async fn extensions(&mut self, count: usize) -> Vec<usize> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let event = self.next().await;
            let number = event["data"]["extension"].as_str().and_then(|text| text.parse().ok());
            seen.push(number.unwrap_or_else(|| panic!("no extension: {event}")));
        }
        seen
    }
}

const CHANGES: &str = "?kind=extension.state_changed";

#[actix::test]
async fn a_socket_goes_on_where_it_is_told_to() {
    let service = Service::start().await;
    service.add_device("om").await;
    let mut first = Client::open(&service, CHANGES).await;
    service.busy("om", 1000, 100).await;
    let mut last = Value::Null;
    for expected in 1000..1060 {
        let event = first.next().await;
        assert_eq!(event["data"]["extension"], expected.to_string());
        last = event["cursor"].clone();
    }
    drop(first);
    let query = format!("{CHANGES}&since={}", last.as_str().expect("a cursor"));
    let mut second = Client::open(&service, &query).await;
    assert_eq!(second.extensions(40).await, (1060..1100).collect::<Vec<_>>());
    second.say(json!({"since": last})).await;
    assert_eq!(second.extensions(40).await, (1060..1100).collect::<Vec<_>>(), "back again");
    second.say(json!({"since": "999999"})).await;
    let reset = second.next().await;
    assert_eq!(reset["reset"]["reason"], "unknown");
    service.busy("om", 3000, 1).await;
    assert_eq!(second.extensions(1).await, [3000]);
    service.app.stop().await;
}

#[actix::test]
async fn a_socket_is_narrowed_and_says_what_it_does_not_understand() {
    let service = Service::start().await;
    service.add_device("om").await;
    let mut socket = Client::open(&service, CHANGES).await;
    let message = |error: &Value| error["error"]["type"].as_str().unwrap_or_default().to_owned();
    socket.say(json!({"sinse": "1"})).await;
    assert_eq!(message(&socket.next().await), "/problems/bad-body");
    socket.say(json!({"since": "x"})).await;
    assert_eq!(message(&socket.next().await), "/problems/bad-cursor");
    socket.say(json!({"filter": {"kind": "colour"}})).await;
    assert_eq!(message(&socket.next().await), "/problems/bad-parameter");
    socket.say(json!({"filter": {"device": "none"}})).await;
    assert_eq!(message(&socket.next().await), "/problems/not-found");
    socket.say(json!({"filter": {"kind": "extension.*", "extension": "1001"}})).await;
    // The answer to this one comes after the filter is in force.
    socket.say(json!({})).await;
    socket.say(json!({"since": null, "x": 1})).await;
    assert_eq!(message(&socket.next().await), "/problems/bad-body");
    service.busy("om", 1000, 3).await;
    assert_eq!(socket.extensions(1).await, [1001]);
    service.busy("om", 2000, 1).await;
    socket.say(json!({"filter": {"kind": "extension.state_changed"}, "since": "0"})).await;
    assert_eq!(socket.extensions(4).await, [1000, 1001, 1002, 2000]);
    service.app.stop().await;
}

#[actix::test]
async fn a_socket_is_told_that_the_service_stops() {
    let service = Service::start().await;
    let mut socket = Client::open(&service, "").await;
    let stop = service.app.stop();
    let close = async {
        loop {
            if let Message::Close(frame) = socket.message().await {
                return frame.map(|frame| u16::from(frame.code));
            }
        }
    };
    let ((), code) = tokio::join!(stop, close);
    assert_eq!(code, Some(1001));
}

#[actix::test]
async fn without_an_upgrade_or_a_token_there_is_no_socket() {
    let service = Service::start().await;
    service.get("/api/v1/events/ws").await.problem(400, "bad-request");
    let url = format!("ws://{}/api/v1/events/ws", service.app.api_address);
    let refused = tokio_tungstenite::connect_async(url.as_str()).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("401")));
    let token = format!("{url}?access_token={ADMIN}");
    assert!(tokio_tungstenite::connect_async(token.as_str()).await.is_ok());
    let mut foreign = url.as_str().into_client_request().expect("a request");
    let cookie = format!("switchroom_token={ADMIN}").parse().expect("a header");
    foreign.headers_mut().insert("cookie", cookie);
    foreign.headers_mut().insert("origin", "http://evil.example".parse().expect("a header"));
    let refused = tokio_tungstenite::connect_async(foreign).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("403")));
    service.app.stop().await;
}
