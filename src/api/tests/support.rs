//! A service with its store in a temporary folder, a device's side and a client's side.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::App;
use crate::config::Config;

pub(super) const ADMIN: &str = "an-admin-token-for-tests";
/// How long a condition may take to come true; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Service {
    pub(super) app: App,
    pub(super) client: reqwest::Client,
    folder: tempfile::TempDir,
}

/// An answer: status, headers, and the body as JSON or text.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Checks that it is a problem of this type, and gives its detail.
    #[track_caller]
    pub(super) fn problem(&self, status: u16, name: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["type"], format!("/problems/{name}"), "{body}");
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"], self.header("x-request-id"));
        assert!(!body["detail"].as_str().unwrap_or_default().is_empty());
        body
    }
}

pub(super) fn client() -> reqwest::Client {
    crate::link::tls::install_provider();
    let none = reqwest::redirect::Policy::none();
    reqwest::Client::builder().redirect(none).no_proxy().build().expect("a client")
}

impl Service {
    pub(super) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(super) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), change).await
    }

    pub(super) async fn start_in(folder: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.api.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.api.admin_token = Some(ADMIN.to_owned());
        config.reports.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        // On one thread reports are applied in the order in which they are sent.
        config.reports.threads = 1;
        config.store.url = switchroom_test_support::store::url(folder.path());
        config.store.key_file = Some(folder.path().join("switchroom.key"));
        config.recordings.path = Some(folder.path().join("recordings"));
        change(&mut config);
        let app = App::start(config).await.expect("the service starts");
        Self { app, client: client(), folder }
    }

    /// Stops it and starts it anew on the same store.
    pub(super) async fn restart(self) -> Self {
        let Self { app, folder, .. } = self;
        app.stop().await;
        Self::start_in(folder, |_| {}).await
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app.api_address)
    }

    pub(super) async fn call(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Answer {
        let mut request = self.client.request(method, self.url(path));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, ADMIN, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, ADMIN, Some(body)).await
    }

    /// Adds an OM that reports to a path of its own name.
    pub(super) async fn add_device(&self, id: &str) {
        let answer =
            self.post("/api/v1/devices", json!({"id": id, "dialect": "om", "report_path": id})).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    pub(super) async fn token(&self, role: &str, devices: &[&str], extensions: &[&str]) -> String {
        let body = json!({"name": role, "role": role, "devices": devices, "extensions": extensions});
        let answer = self.post("/api/v1/tokens", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    /// Reports as a device does: one message, one connection.
    pub(super) async fn report(&self, path: &str, body: &str) {
        self.report_bytes(path, body.as_bytes()).await;
    }

    /// The same, in whatever encoding.
    pub(super) async fn report_bytes(&self, path: &str, body: &[u8]) {
        let mut stream = TcpStream::connect(self.app.reports_address).await.expect("it connects");
        let head = format!("POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat()).await.expect("it writes");
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("it answers");
        assert_eq!(&status, b"HTTP/1.1 200");
    }

    /// An event of an OM.
    pub(super) async fn event(&self, path: &str, attribute: &str, content: &str) {
        self.report(path, &format!("<Event attribute=\"{attribute}\">{content}</Event>")).await;
    }

    /// So many extensions, from this number on, become busy one after the other: a state change each.
    pub(super) async fn busy(&self, path: &str, first: usize, count: usize) {
        for number in first..first + count {
            self.event(path, "BUSY", &format!("<ext id=\"{number}\"/>")).await;
        }
    }

    /// Asks again until the answer is as wanted.
    pub(super) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await;
            let body = serde_json::from_str(&answer.text).unwrap_or_default();
            if answer.status.is_success() && wanted(&body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{path} never came to what was wanted: {}", answer.text);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(super) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("a body") }
}

/// A call that comes in from outside and rings extension 200.
pub(super) const RINGING: &str =
    r#"<visitor id="22" from="13012345678" to="02161208234" callid="16408"/><ext id="200"/>"#;
