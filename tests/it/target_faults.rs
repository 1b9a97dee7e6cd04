//! Whatever fails, and whenever the service is killed: every report of a device reaches its target at least once, in the
//! order of the device, and the target's ledger says so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchroom::storage::block::{self, Received};
use switchroom_simulator::{Fleet, FleetConfig};
use switchroom_test_support::raw::{Act, Message, RawReceiver};
use switchroom_test_support::{eventually, store};

use crate::webhook_faults::{Process, TOKEN, dice, free_port, seconds};

const DEVICES: usize = 4;
/// From 0.1 to 5 s.
const SCHEDULE: &str = "[\"100ms\", \"100ms\", \"200ms\", \"500ms\", \"1s\", \"2s\", \"5s\", \"5s\", \"5s\", \"5s\", \"5s\", \"5s\"]";

/// Fails in every way it knows, a third of the time.
pub(crate) fn unreliable(seed: u64) -> impl Fn(&Message) -> Act + Send + Sync {
    let state = Mutex::new(seed);
    move |_| match dice(&state) {
        0..=9 => Act::Answer(500),
        10..=14 => Act::Answer(503),
        15..=20 => Act::Reset,
        21 => Act::Silent,
        22 => Act::Slow(Duration::from_millis(1500), 200),
        23..=32 => Act::Slow(Duration::from_millis(30), 200),
        33..=36 => Act::Close,
        37 => Act::Answer(429),
        _ => Act::Answer(200),
    }
}

/// Compares what came with what was logged; says how much came more than once.
fn check_order(device: &str, logged: &[String], messages: &[Message]) -> usize {
    let mut taken = 0;
    for (n, message) in messages.iter().enumerate() {
        let body = message.body();
        match logged.get(taken) {
            Some(next) if *next == body => taken += usize::from(message.taken),
            _ => assert!(
                logged[..taken].contains(&body),
                "{device}: message {n} came before {} others that come first:\n{body}",
                logged.len() - taken
            ),
        }
    }
    assert_eq!(taken, logged.len(), "{device}: not everything was taken");
    messages.len() - logged.len()
}

/// All reports that a service has logged; it is not running.
fn logged(folder: &Path) -> Vec<Received> {
    let location = store::url(folder).parse().expect("an URL");
    let connection = switchroom::storage::open(&location).expect("it opens");
    let mut all: Vec<Received> = Vec::new();
    loop {
        let after = all.last().map_or(0, |last| last.cursor);
        let (page, next) = block::reports(&connection, after, 1000).expect("it is read");
        all.extend(page);
        if next.is_none() {
            return all;
        }
    }
}

fn text(received: &Received) -> String {
    String::from_utf8_lossy(&received.report.body).into_owned()
}

async fn fleet(reports: SocketAddr, calls_per_minute: f64) -> Fleet {
    let fleet = Fleet::start(FleetConfig {
        devices: DEVICES,
        extensions: 10,
        calls_per_minute,
        report_to: format!("http://{reports}"),
        talk: Duration::from_secs(1),
        phones_fail_every: None,
        ..FleetConfig::default()
    });
    fleet.await.expect("the fleet starts")
}

/// Lets calls be made for as long as is wanted, and kills the service twice meanwhile.
async fn go_on(process: &mut Process, client: &reqwest::Client) {
    let (began, whole) = (Instant::now(), Duration::from_secs(seconds(30)));
    let until = async |time: Duration| {
        assert!(eventually(Duration::from_secs(3600), async || began.elapsed() >= time).await);
    };
    for part in 1..=2_u32 {
        until(whole * part / 3).await;
        process.kill();
        process.start(client).await;
    }
    until(whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_report_comes_at_least_once_in_order_whatever_fails() {
    switchroom::link::tls::install_provider();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
    let folder = tempfile::tempdir().expect("a folder");
    let (api, reports) = (free_port(), free_port());
    let more = format!("[targets]\nretry_schedule = {SCHEDULE}\ntimeout_seconds = 1\n");
    let mut process = Process::new(folder.path(), api, reports, DEVICES, &more);
    process.start(&client).await;
    let url = |path: &str| format!("http://{api}/api/v1{path}");
    let mut lines = Vec::new();
    for n in 1..=DEVICES {
        let receiver = RawReceiver::start().await.expect("it listens");
        receiver.act(unreliable(0x5EED_0B57 + n as u64));
        let connection = if n % 2 == 0 { "long" } else { "short" };
        let body =
            json!({"url": receiver.url("om"), "devices": [format!("sim-{n}")], "connection": connection});
        let made =
            client.post(url("/targets")).bearer_auth(TOKEN).json(&body).send().await.expect("an answer");
        assert_eq!(made.status().as_u16(), 201);
        let made: Value = made.json().await.expect("a target");
        lines.push((
            format!("sim-{n}"),
            format!("/targets/{}", made["id"].as_str().expect("an id")),
            receiver,
        ));
    }
    let fleet = fleet(reports, 120.0).await;
    go_on(&mut process, &client).await;
    fleet.stop().await;

    // Nothing more comes in, and everything is passed on.
    let view = async |path: &str| -> Value {
        let answer = client.get(url(path)).bearer_auth(TOKEN).send().await.expect("an answer");
        answer.json().await.expect("a target")
    };
    for (device, path, receiver) in &lines {
        let mut now = Value::Null;
        let mut before = 0;
        let done = eventually(Duration::from_secs(120), async || {
            now = view(path).await;
            let quiet = now["pending"] == 0 && receiver.count() == before;
            before = receiver.count();
            quiet
        });
        assert!(done.await, "{device}: {now}");
    }
    // Everything is written down, also what became of the last ones.
    for (_, path, _) in &lines {
        let path = format!("{path}/deliveries?limit=1");
        view(&path).await;
    }
    process.kill();
    let all = logged(folder.path());
    process.start(&client).await;
    let mut sum = (0, 0);
    for (device, path, receiver) in &lines {
        let of = all.iter().filter(|received| received.device.as_str() == device);
        let logged: Vec<String> = of.map(text).collect();
        assert!(logged.len() as u64 > seconds(30) * 2, "{device}: too little happened: {}", logged.len());
        let mut ledger = Value::Null;
        let told = eventually(Duration::from_secs(20), async || {
            ledger = view(path).await;
            (&ledger["delivered"], &ledger["pending"]) == (&json!(logged.len()), &json!(0))
        });
        assert!(told.await, "{device}: {} reports, and {ledger}", logged.len());
        assert_eq!((&ledger["failed"], &ledger["lost"]), (&json!(0), &json!(0)), "{device}: {ledger}");
        let again = check_order(device, &logged, &receiver.messages());
        sum = (sum.0 + logged.len(), sum.1 + again);
        assert_eq!(ledger["lag_seconds"], 0.0);
    }
    println!("{} reports to {DEVICES} targets, {} attempts more than that", sum.0, sum.1);
}

const SUCCESS: Act = Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsuccess");

/// Says `success` two times of three, and notes to what; else it does whatever is none.
fn hesitant(seed: u64, said: Arc<Mutex<Vec<String>>>) -> impl Fn(&Message) -> Act + Send + Sync {
    let state = Mutex::new(seed);
    move |message| match dice(&state) {
        0..=9 => Act::Answer(500),
        10..=17 => Act::Reset,
        18..=22 => Act::Answer(200),
        23..=25 => Act::Close,
        26 => Act::Silent,
        27 => Act::Slow(Duration::from_millis(3500), 200),
        28..=31 => Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfail"),
        _ => {
            said.lock().expect("nobody panicked").push(message.body());
            SUCCESS
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_acknowledged_or_in_a_file_whatever_fails() {
    switchroom::link::tls::install_provider();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
    let folder = tempfile::tempdir().expect("a folder");
    let (api, reports, forward) = (free_port(), free_port(), free_port());
    let more = format!("[cdr_forward]\nlisten = \"{forward}\"\nretry_schedule = [\"100ms\"]\n");
    let mut process = Process::new(folder.path(), api, reports, DEVICES, &more);
    process.start(&client).await;
    let receiver = RawReceiver::start().await.expect("it listens");
    let said = Arc::new(Mutex::new(Vec::new()));
    receiver.act(hesitant(0x5EED_0B57, Arc::clone(&said)));
    let get = async |url: String| {
        let answer = client.get(url).bearer_auth(TOKEN).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        answer.text().await.expect("text")
    };
    let set = format!("api_server_addr={}&url=cdr&cdr=1&wait=1&pass={TOKEN}", receiver.address);
    assert_eq!(get(format!("http://{forward}/Auth?method=gw.config.set&{set}")).await, "ok");
    let fleet = fleet(reports, 300.0).await;
    go_on(&mut process, &client).await;
    fleet.stop().await;
    let view = async || -> Value {
        serde_json::from_str(&get(format!("http://{api}/api/v1/cdr-forwarding")).await).expect("JSON")
    };
    // Whatever is logged until it is killed again comes to its end after that.
    process.kill();
    let records: Vec<Received> =
        logged(folder.path()).into_iter().filter(|received| received.report.name == "Cdr").collect();
    assert!(records.len() as u64 > seconds(30) * 2, "too little happened: {}", records.len());
    process.start(&client).await;
    let mut ledger = Value::Null;
    let told = eventually(Duration::from_secs(180), async || {
        ledger = view().await;
        let settled = ledger["delivered"].as_u64().unwrap_or(0) + ledger["kept"].as_u64().unwrap_or(0);
        settled == records.len() as u64 && ledger["pending"] == 0
    });
    assert!(told.await, "{} records, and {ledger}", records.len());
    assert_eq!(
        (&ledger["lost"], &ledger["failed"], &ledger["lag_seconds"]),
        (&json!(0), &json!(0), &json!(0.0))
    );

    let mut filed: BTreeSet<String> = BTreeSet::new();
    for name in get(format!("http://{forward}/APICdr/")).await.lines() {
        let file = get(format!("http://{forward}/APICdr/{name}")).await;
        filed.extend(file.split_inclusive("</Cdr>\n").map(str::to_owned));
    }
    assert_eq!(json!(filed.len()), ledger["kept"], "what the ledger has is in the files");
    let said = said.lock().expect("nobody panicked");
    let mut acknowledged: BTreeMap<&str, usize> = BTreeMap::new();
    for (n, body) in said.iter().enumerate() {
        acknowledged.entry(body).or_insert(n);
    }
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for received in &records {
        let (body, device) = (text(received), received.device.as_str());
        match acknowledged.get(body.as_str()) {
            _ if filed.contains(&body) => {}
            // In the order of the device, and so of each call.
            Some(at) => {
                let before = last.insert(device, *at).unwrap_or(0);
                assert!(*at >= before, "{device}: a record came before one that comes first:\n{body}");
            }
            None => panic!("{device}: this is neither acknowledged nor in a file:\n{body}"),
        }
    }
    println!("{} records: {} attempts, {} in files", records.len(), receiver.count(), filed.len());
}
