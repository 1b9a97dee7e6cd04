//! A fleet with nothing on its lines, somebody who takes its reports, and clients of all manners.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchroom_simulator::{DeviceTruth, Fleet, FleetConfig, Mix};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// Everything here happens within this time, or it does not happen.
const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Scene {
    pub(crate) fleet: Fleet,
    pub(crate) reports: Arc<Mutex<Vec<String>>>,
}

pub(crate) fn quiet() -> FleetConfig {
    FleetConfig {
        devices: 1,
        calls_per_minute: 0.0,
        mix: Mix::none(),
        talk: Duration::from_secs(12),
        speed: 20.0,
        phones_fail_every: None,
        boot_reports: false,
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ..FleetConfig::default()
    }
}

impl Scene {
    pub(crate) async fn new(config: FleetConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let report_to = format!("http://{}", listener.local_addr().unwrap());
        let reports = Arc::new(Mutex::new(Vec::new()));
        let all = reports.clone();
        tokio::spawn(async move {
            // One after another: reports keep their order.
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                let mut buffer = [0; 4096];
                while !whole(&bytes) {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => break,
                        Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                    }
                }
                all.lock().unwrap().push(String::from_utf8(bytes).unwrap());
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        });
        let fleet = Fleet::start(FleetConfig { report_to, ..config }).await.unwrap();
        Self { fleet, reports }
    }

    /// Where nobody hangs up by himself while a test looks.
    pub(crate) async fn patient(config: FleetConfig) -> Self {
        Self::new(FleetConfig { talk: Duration::from_secs(3600), ..config }).await
    }

    pub(crate) async fn quiet() -> Self {
        Self::new(quiet()).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.fleet.command_address("sim-1").unwrap()
    }

    pub(crate) fn truth(&self) -> DeviceTruth {
        self.fleet.truth().devices["sim-1"].clone()
    }

    /// A command as the document prints it; the body of the answer.
    pub(crate) async fn command(&self, root: &str, attribute: &str, inside: &str) -> String {
        let body = format!("<{root} attribute=\"{attribute}\">{inside}</{root}>");
        let answer = self.post(&body).await;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) async fn connect(&self, inside: &str) -> String {
        self.command("Transfer", "Connect", inside).await
    }

    pub(crate) async fn query(&self, what: &str) -> String {
        self.command("Control", "Query", what).await
    }

    pub(crate) async fn post(&self, body: &str) -> String {
        let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n{body}\n");
        let head = format!("POST /xml HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
        talk(self.address(), &(head + &body)).await
    }

    pub(crate) async fn web(&self, query: &str) -> String {
        let answer = talk(self.address(), &format!("GET /xml?{query}&pass=admin HTTP/1.1\r\n\r\n")).await;
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// The attributes of the events and the types of the records so far, with the extension named first.
    pub(crate) fn told(&self) -> Vec<String> {
        self.reports.lock().unwrap().iter().map(|report| short(report)).collect()
    }

    /// Waits until something is true.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "never: {what}\n{:#?}\n{:?}", self.told(), self.truth().calls);
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn until_told(&self, report: &str) {
        self.until(report, |scene| scene.told().iter().any(|told| told == report)).await;
    }

    pub(crate) async fn until_state(&self, state: &str) {
        self.until(state, |scene| scene.truth().calls.iter().any(|call| call.state == state)).await;
    }

    pub(crate) async fn until_quiet(&self) {
        self.until("no call is left", |scene| {
            let truth = scene.truth();
            truth.calls.is_empty() && truth.reports_pending == 0
        })
        .await;
    }

    /// A call comes in; its visitor id.
    pub(crate) fn visitor(&self, trunk: &str) -> u32 {
        self.fleet.place_call("sim-1", "13012345678", trunk).unwrap();
        self.truth().calls.iter().filter_map(|call| call.visitor).max().unwrap()
    }
}

fn whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
}

/// `RING 200 208`, `Cdr LO/IC`
fn short(report: &str) -> String {
    let between = |open: &str, close: &str| {
        report.split_once(open).and_then(|(_, rest)| rest.split_once(close)).map(|(value, _)| value.trim())
    };
    if let (Some(kind), Some(route)) = (between("<Type>", "<"), between("<Route>", "<")) {
        return format!("Cdr {kind}/{route}");
    }
    let ids = report.split("<ext id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut text = between("<Event attribute=\"", "\"").unwrap_or("").to_owned();
    for id in ids {
        text += " ";
        text += id;
    }
    text
}

/// Sends bytes and reads to the end.
pub(crate) async fn talk(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}
