//! Every request of the vendor's manual, chapters 2.1 to 2.4, and every parameter of its chapter 6: from REST through
//! the supervisor, the link and a proxy that keeps the bytes to a simulated OM, and back.
//!
//! The table is in [`rows`]. A row has a device of its own, so rows run beside each other and leave nothing behind.

mod docs;
mod rows;

#[path = "../../crates/protocol/tests/support/requests.rs"]
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use switchroom_domain::command::Command;
use switchroom_protocol::om::parameters;
use switchroom_simulator::DeviceTruth;
use switchroom_test_support::{Service, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::House;

/// What commands are signed with, so that every row is signed and every signature is checked.
const PASSWORD: &str = "s3cret";
/// Everything here happens within this time, or it does not happen.
const SOON: Duration = Duration::from_secs(20);
/// Rows that run beside each other.
const BESIDE: usize = 8;

/// A request of the manual, or a variant that it describes.
pub(crate) struct Row {
    /// The manual's chapter.
    pub(crate) chapter: &'static str,
    /// What it is about; with the chapter it names the row.
    pub(crate) title: &'static str,
    /// The command as REST takes it.
    command: &'static str,
    /// What makes it possible.
    before: &'static [&'static [Step]],
    /// What the device must get, request by request: a document without declaration and blanks, or a path.
    wire: &'static [&'static str],
    /// What of the reply must be so.
    reply: &'static str,
    /// What follows.
    after: &'static [Step],
}

/// What is done around a row's command. In all texts `{visitor}`, `{first_visitor}`, `{outer}` and `{callid}` stand for
/// ids of the calls that live then.
enum Step {
    /// `FT_API_1` of all trunks, 0x17 or 0x27: a caller waits for the application, before or after the answer.
    Api(u8),
    /// A parameter.
    Set(&'static str, &'static str),
    /// A call comes in over a trunk.
    CallIn(&'static str),
    /// A command that succeeds.
    Send(&'static str),
    /// A command whose reply is this.
    Asked(&'static str, &'static str),
    /// The device comes to know this of itself.
    Until(&'static str),
}

impl Row {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.chapter, self.title)
    }

    /// The command's name, `hold`.
    fn kind(&self) -> &'static str {
        let name = self.command.split('"').nth(3);
        name.expect("a command begins with its name")
    }
}

/// A device, and a proxy before it that keeps what the link sends.
struct Stage<'a> {
    house: &'a House,
    device: String,
    sent: Sent,
}

type Sent = Arc<Mutex<Vec<Vec<u8>>>>;

impl<'a> Stage<'a> {
    async fn set(house: &'a House, number: usize) -> Self {
        let device = format!("sim-{number}");
        let behind = house.fleet.command_address(&device).expect("an OM takes commands");
        let (address, sent) = proxy(behind).await;
        let patch = json!({"address": format!("http://{address}")});
        let answer = house.send("PATCH", &format!("/devices/{device}"), Some(patch), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Self { house, device, sent }
    }

    fn truth(&self) -> DeviceTruth {
        self.house.fleet.truth().devices.remove(&self.device).expect("a device")
    }

    /// The ids of the calls that live now, put into a text.
    fn filled(&self, text: &str) -> String {
        if !text.contains("{visitor}")
            && !["{first_visitor}", "{outer}", "{callid}"].iter().any(|id| text.contains(id))
        {
            return text.to_owned();
        }
        let calls = self.truth().calls;
        let visitors: BTreeSet<u32> = calls.iter().filter_map(|call| call.visitor).collect();
        let number = |id: Option<u32>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
        text.replace("{visitor}", &number(visitors.last().copied()))
            .replace("{first_visitor}", &number(visitors.first().copied()))
            .replace("{outer}", &number(calls.iter().find_map(|call| call.outer.first().copied())))
            .replace("{callid}", &number(calls.iter().find_map(|call| call.callid)))
    }

    async fn step(&self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Api(api) => {
                self.house.fleet.set_trunk_api(&self.device, api).map_err(|error| error.to_string())
            }
            Step::Set(name, value) => {
                let command = json!({"command": "write_parameter", "name": name, "value": value});
                self.asked(&command.to_string(), "{}").await
            }
            Step::CallIn(trunk) => {
                let placed = self.house.fleet.place_call(&self.device, "13012345678", trunk);
                placed.map_err(|error| error.to_string())
            }
            Step::Send(command) => self.asked(command, "{}").await,
            Step::Asked(command, reply) => self.asked(command, reply).await,
            Step::Until(state) => self.until(state).await,
        }
    }

    /// Gives a command by REST, which must succeed with this reply.
    async fn asked(&self, command: &str, reply: &str) -> Result<(), String> {
        let command = self.filled(command);
        let body = json_of(&command);
        let path = format!("/devices/{}/commands", self.device);
        let answer = self.house.send("POST", &path, Some(body), &[("Prefer", "wait=20")]).await;
        if (answer.status, &answer.body["state"]) != (200, &json!("succeeded")) {
            return Err(format!("{command} was answered {} {:#}", answer.status, answer.body));
        }
        let expected = self.filled(reply);
        if !includes(&answer.body["reply"], &json_of(&expected)) {
            return Err(format!(
                "the reply to {command}\nis     {}\nnot as {expected}",
                answer.body["reply"]
            ));
        }
        Ok(())
    }

    async fn until(&self, state: &str) -> Result<(), String> {
        let expected = json_of(&self.filled(state));
        let truth = || serde_json::to_value(self.truth()).expect("truth is JSON");
        if eventually(SOON, async || includes(&truth(), &expected)).await {
            return Ok(());
        }
        let mut seen = truth();
        if let (Value::Object(seen), Value::Object(expected)) = (&mut seen, &expected) {
            seen.retain(|field, _| expected.contains_key(field));
        }
        Err(format!("it never came to\n       {expected}\nbut is {seen}"))
    }

    /// What the link has sent since the last time.
    fn sent(&self) -> Result<Vec<String>, String> {
        let all = std::mem::take(&mut *self.sent.lock().expect("not poisoned"));
        all.iter().map(|bytes| plain(bytes)).collect()
    }

    async fn run(&self, row: &Row) -> Result<(), String> {
        for step in row.before.iter().copied().flatten() {
            self.step(step).await.map_err(|why| format!("before: {why}"))?;
        }
        let _before = self.sent()?;
        let expected: Vec<String> = row.wire.iter().map(|document| self.filled(document)).collect();
        self.asked(row.command, row.reply).await?;
        let sent = self.sent()?;
        if sent != expected {
            return Err(format!("the device got {sent:#?}\nnot {expected:#?}"));
        }
        for step in row.after {
            self.step(step).await.map_err(|why| format!("after: {why}"))?;
        }
        Ok(())
    }
}

/// Passes connections on to a device, and keeps what comes from the link.
async fn proxy(device: SocketAddr) -> (SocketAddr, Sent) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let sent = Sent::default();
    let kept = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((link, _)) = listener.accept().await {
            // A failure breaks the connection, which the row then tells.
            tokio::spawn(pass_on(link, device, Arc::clone(&kept)));
        }
    });
    (address, sent)
}

async fn pass_on(link: TcpStream, device: SocketAddr, kept: Sent) -> std::io::Result<()> {
    let device = TcpStream::connect(device).await?;
    let (mut from_link, mut to_link) = link.into_split();
    let (mut from_device, mut to_device) = device.into_split();
    let place = {
        let mut kept = kept.lock().expect("not poisoned");
        kept.push(Vec::new());
        kept.len() - 1
    };
    let out = async {
        let mut buffer = vec![0; 4096];
        loop {
            let read = from_link.read(&mut buffer).await?;
            if read == 0 {
                return std::future::pending::<std::io::Result<()>>().await;
            }
            kept.lock().expect("not poisoned")[place].extend_from_slice(&buffer[..read]);
            to_device.write_all(&buffer[..read]).await?;
        }
    };
    tokio::select! {
        broken = out => broken,
        answered = tokio::io::copy(&mut from_device, &mut to_link) => answered.map(drop),
    }
}

/// A request without what is the same in all of them: of a POST the document without declaration, signature and blanks, of
/// a GET its path. What is the same is checked here.
fn plain(request: &[u8]) -> Result<String, String> {
    let text = String::from_utf8(request.to_vec()).map_err(|error| error.to_string())?;
    let odd = |what: &str| format!("{what} in {text:?}");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| odd("no head"))?;
    let (line, fields) = head.split_once("\r\n").ok_or_else(|| odd("no fields"))?;
    let fields: BTreeMap<&str, &str> = fields.lines().filter_map(|field| field.split_once(": ")).collect();
    if fields.get("Connection") != Some(&"close") {
        return Err(odd("devices take short connections only, which must be said"));
    }
    if let Some(path) = line.strip_prefix("GET ") {
        return path.strip_suffix(" HTTP/1.0").map(str::to_owned).ok_or_else(|| odd("no HTTP/1.0"));
    }
    if line != "POST /xml HTTP/1.0" {
        return Err(odd("an unexpected request line"));
    }
    if fields.get("Content-Length") != Some(&body.len().to_string().as_str()) {
        return Err(odd("a wrong Content-Length"));
    }
    let declaration = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>";
    let document: String = body.lines().map(str::trim).collect();
    let document = document.strip_prefix(declaration).ok_or_else(|| odd("no declaration"))?;
    let signed = document.strip_prefix("<Auth>").and_then(|rest| rest.split_once("</Auth>"));
    let (_, document) = signed.ok_or_else(|| odd("no signature"))?;
    Ok(document.replace(" />", "/>"))
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Is everything that is expected there? Objects may have more fields, lists may not have more items unless the last one
/// expected is "…". What is expected to be null, false or empty may be absent.
fn includes(seen: &Value, expected: &Value) -> bool {
    match (seen, expected) {
        (Value::Null, Value::Null | Value::Bool(false)) => true,
        (Value::Null, Value::Array(expected)) => expected.is_empty(),
        (Value::Object(seen), Value::Object(expected)) => expected
            .iter()
            .all(|(field, expected)| includes(seen.get(field).unwrap_or(&Value::Null), expected)),
        (_, Value::Object(expected)) => expected.is_empty(),
        (Value::Array(seen), Value::Array(expected)) => {
            let more = expected.last() == Some(&json!("…"));
            let count = expected.len() - usize::from(more);
            (seen.len() == count || more && seen.len() > count)
                && seen.iter().zip(&expected[..count]).all(|(seen, expected)| includes(seen, expected))
        }
        (seen, expected) => seen == expected,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_the_manual_reaches_a_device_and_does_what_it_says() {
    switchroom::link::tls::install_provider();
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_in(folder.path(), |config| {
        config.commands.dials_per_minute = 10_000;
        config.commands.timeout_seconds = 20;
        // Only what a row sends is to be seen.
        config.commands.reconcile = false;
    });
    let rows: Vec<&Row> = rows::all().collect();
    let house = House::with(service.expect("the service starts"), |config| {
        config.devices = rows.len();
        config.extensions = 20;
        config.calls_per_minute = 0.0;
        config.boot_reports = false;
        config.api_password = Some(PASSWORD.to_owned());
        config.trunk_api = Some(0x27);
        // Nobody hangs up by himself; telephones ring for some 300 ms; callers wait 12 s for the application.
        config.talk = Duration::from_secs(86_400);
        config.speed = 10.0;
    })
    .await;
    let runs = futures_util::stream::iter(rows.iter().enumerate()).map(async |(index, row)| {
        let stage = Stage::set(&house, index + 1).await;
        let run = stage.run(row).await;
        run.err().map(|why| format!("\n--- {} (on {})\n{why}", row.name(), stage.device))
    });
    let runs: Vec<Option<String>> = runs.buffer_unordered(BESIDE).collect().await;
    let failed: Vec<String> = runs.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{} of {} rows failed:{}", failed.len(), rows.len(), failed.concat());
}

/// What a command has, without what it says: the names of its fields.
fn shape(command: &Value) -> Value {
    match command {
        Value::Object(fields) => {
            let kept = |name: &str| matches!(name, "command");
            let shape = |(name, value): (&String, &Value)| {
                (name.clone(), if kept(name) { value.clone() } else { shape(value) })
            };
            Value::Object(fields.iter().map(shape).collect())
        }
        _ => Value::Null,
    }
}

#[test]
fn every_example_of_the_manual_has_a_row() {
    let shapes: BTreeSet<(&str, String)> =
        rows::all().map(|row| (row.chapter, shape(&json_of(row.command)).to_string())).collect();
    let mut examples = 0;
    for (chapter, document, command) in requests::REQUESTS {
        // Chapters 3 and 4 use the same requests for what they explain.
        if !["2.1", "2.2", "2.3", "2.4"].iter().any(|of| chapter.starts_with(of)) {
            continue;
        }
        examples += 1;
        let shape = shape(&json_of(command)).to_string();
        assert!(shapes.contains(&(*chapter, shape)), "no row for {chapter}: {document}");
    }
    assert!(examples > 50, "{examples}");
    for parameter in parameters::ALL {
        for kind in ["read_parameter", "write_parameter"] {
            let has = |row: &Row| row.kind() == kind && json_of(row.command)["name"] == parameter.name;
            assert!(rows::all().any(has), "no row for {kind} {}", parameter.name);
        }
    }
    let kinds: BTreeSet<&str> = rows::all().map(Row::kind).collect();
    assert_eq!(kinds, BTreeSet::from(Command::NAMES), "every command has a row");
    let names: BTreeSet<String> = rows::all().map(Row::name).collect();
    assert_eq!(names.len(), rows::all().count(), "two rows have one name");
}
