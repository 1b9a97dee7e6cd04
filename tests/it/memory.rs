//! What is remembered: over a stop in order, and over the loss of the process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use switchroom::storage::Reader;
use switchroom::storage::records::{Kind, Query};
use switchroom_actors::device::messages::{GetCalls, GetExtensions};
use switchroom_domain::id::DeviceId;
use switchroom_domain::view::CdrView;
use switchroom_domain::view::{CallView, ExtensionView};
use switchroom_protocol::Dialect;
use switchroom_test_support::{Service, eventually, store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PASSWORD: &str = "only-in-memory-77";

/// Sends a report and says whether it was answered with 200.
pub(crate) async fn report(address: SocketAddr, path: &str, body: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let bytes = format!("GET /{path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    if stream.write_all(bytes.as_bytes()).await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    // A process that is killed may cut its answer off: what counts is what arrived of it.
    drop(read);
    answer.starts_with(b"HTTP/1.1 200")
}

pub(crate) fn event(kind: &str, inner: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"{kind}\">{inner}</Event>\n")
}

pub(crate) fn cdr(n: usize) -> String {
    format!(
        "<Cdr id=\"{n}20170309162713-0\"><callid>32818</callid><visitor id=\"48\" /><TimeStart>20170309162708</TimeStart>\
         <Type>IN</Type><Route>IP</Route><CPN>18201008888</CPN><CDPN>200</CDPN><TimeEnd>20170309162713</TimeEnd>\
         <Duration>2</Duration><TrunkNumber>888</TrunkNumber></Cdr>\n"
    )
}

async fn state(service: &Service, device: &str) -> (Vec<CallView>, Vec<ExtensionView>) {
    let device = service.services.registry.get(&DeviceId::new(device).expect("an id")).expect("it is there");
    let addr = device.handle.addr().expect("it lives");
    let calls = addr.send(GetCalls(None)).await.expect("it answers");
    (calls, addr.send(GetExtensions(None)).await.expect("it answers"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_order_keeps_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut service = Service::start_in(folder.path(), |_| {}).expect("it starts");
    let secrets =
        switchroom::devices::DeviceSecrets { report_password: Some(PASSWORD.into()), ..Default::default() };
    service.add_with("om", Dialect::Om, secrets, |_| {}).await.expect("a device");
    let visitor = r#"<visitor id="22" from="13012345678" to="888" callid="16408" />"#;
    for body in [
        event("BUSY", "<ext id=\"201\" />"),
        event("RING", &format!("<ext id=\"200\" />{visitor}")),
        event("ANSWER", &format!("<ext id=\"200\" />{visitor}")),
    ] {
        assert!(report(service.reports, "om", &body).await);
    }
    assert!(eventually(Duration::from_secs(5), async || state(&service, "om").await.0.len() == 1).await);
    let (calls, extensions) = state(&service, "om").await;
    service.stop();
    let database = store::bytes(folder.path());
    let hex: String = PASSWORD.bytes().map(|byte| format!("{byte:02x}")).collect();
    for password in [PASSWORD, &hex] {
        let lies = database.windows(password.len()).any(|w| w == password.as_bytes());
        assert!(!lies, "a password lies in the database");
    }

    let again = Service::start_in(folder.path(), |_| {}).expect("it starts again");
    let (calls_after, extensions_after) = state(&again, "om").await;
    assert_eq!(calls[0].id, calls_after[0].id);
    let states = |all: &[ExtensionView]| all.iter().map(|e| (e.number.clone(), e.state)).collect::<Vec<_>>();
    assert_eq!(states(&extensions), states(&extensions_after));
    let secrets =
        &again.services.registry.get(&DeviceId::new("om").expect("an id")).expect("it is there").secrets;
    assert_eq!(secrets.report_password.as_deref(), Some(PASSWORD));
}

struct Process {
    child: Child,
    reports: SocketAddr,
}

impl Process {
    /// The program itself, with ports of its own choice.
    fn start(folder: &Path) -> Self {
        let config = folder.join("switchroom.toml");
        if !config.exists() {
            let text = format!(
                "[api]\nlisten = \"127.0.0.1:0\"\nadmin_token = \"0123456789abcdef\"\n[reports]\nlisten = \"127.0.0.1:0\"\n\
                 {}[[device]]\nid = \"om\"\ndialect = \"om\"\nreport_path = \"om\"\n",
                store::section(folder)
            );
            std::fs::write(&config, text).expect("it writes");
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_switchroom"))
            .args(["serve", "--config"])
            .arg(&config)
            .env("SWITCHROOM_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let address = |line: &str| line.split("http://").nth(1)?.split('/').next()?.parse().ok();
        let reports = lines.by_ref().map_while(Result::ok).find(|line| line.contains("report"));
        let reports = reports.as_deref().and_then(address);
        // Its further lines must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, reports: reports.expect("it says where it takes reports") }
    }

    fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it is gone");
    }
}

/// `kill -9` under load, twice: no answered record is missing, none is double, the live call keeps its id.
#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_the_process_loses_no_answered_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut answered: BTreeMap<String, ()> = BTreeMap::new();
    let mut next = 0;
    for round in 0..2 {
        let process = Process::start(folder.path());
        let address = process.reports;
        if round == 0 {
            let ring = r#"<ext id="200" /><visitor id="22" from="13012345678" to="888" callid="16408" />"#;
            assert!(report(address, "om", &event("RING", ring)).await);
        }
        let (done, mut results) = tokio::sync::mpsc::unbounded_channel();
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                let done = done.clone();
                tokio::spawn(async move {
                    for n in (0..100_000).map(|i| next + i * 8 + sender + 1000) {
                        let answered = report(address, "om", &cdr(n)).await;
                        // Sent again, as a forwarder would.
                        if !answered || done.send(n).is_err() {
                            return;
                        }
                        report(address, "om", &cdr(n)).await;
                    }
                })
            })
            .collect();
        drop(done);
        // Killed in full flight, once enough has been answered.
        let mut count = 0;
        while count < 300 {
            let n = results.recv().await.expect("the senders go on");
            answered.insert(format!("{n}20170309162713-0"), ());
            count += 1;
        }
        process.kill();
        while let Some(n) = results.recv().await {
            answered.insert(format!("{n}20170309162713-0"), ());
        }
        for sender in senders {
            sender.await.expect("a sender ends");
        }
        next += 1_000_000;
    }
    let process = Process::start(folder.path());
    let location = store::url(folder.path()).parse().expect("an URL");
    let reader = Reader::new(&location, None).expect("it opens");
    let mut stored: BTreeMap<String, usize> = BTreeMap::new();
    let mut before = None;
    loop {
        let query = Query { before, limit: 1000, ..Query::default() };
        let (page, next) = reader.records::<CdrView>(Kind::Cdr, query, None).await.expect("it reads");
        for (_, cdr) in page {
            *stored.entry(cdr.wire_id.to_string()).or_default() += 1;
        }
        before = next;
        if before.is_none() {
            break;
        }
    }
    let missing: Vec<_> = answered.keys().filter(|id| !stored.contains_key(*id)).collect();
    let double: Vec<_> = stored.iter().filter(|(_, count)| **count > 1).collect();
    println!(
        "{} answered, {} stored, {} missing, {} double",
        answered.len(),
        stored.len(),
        missing.len(),
        double.len()
    );
    assert!(missing.is_empty() && double.is_empty(), "missing {missing:?}, double {double:?}");
    process.kill();

    // The call that was live all the time is the one that it was at first.
    let (first, _) = reader
        .events(switchroom::storage::EventQuery { after: 0, limit: 1000, device: None })
        .await
        .expect("it reads");
    let id = first.iter().find_map(|past| {
        let event: serde_json::Value = serde_json::from_str(&past.sealed.envelope).ok()?;
        event["data"]["call"]
            .as_str()
            .filter(|_| event["type"] == "switchroom.call.ringing")
            .map(str::to_owned)
    });
    // The device is the file's: without its table it would be removed.
    let table = "[[device]]\nid = \"om\"\ndialect = \"om\"\nreport_path = \"om\"\n";
    let file: switchroom::config::Config = toml::from_str(table).expect("it parses");
    let service = Service::start_in(folder.path(), |config| config.device = file.device).expect("it starts");
    let (calls, _) = state(&service, "om").await;
    assert_eq!(calls.len(), 1);
    assert_eq!(Some(calls[0].id.to_string()), id);
    drop(service);

    // Its table is gone, and so is it; added again it begins anew.
    let service = Service::start_in(folder.path(), |_| {}).expect("it starts");
    assert!(service.services.registry.all().is_empty());
    service.add("om", Dialect::Om).await.expect("it is added");
    assert!(state(&service, "om").await.0.is_empty());
}
