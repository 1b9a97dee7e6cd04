//! Whatever fails, and whenever the service is killed: every report of a device reaches its target at least once, in the
//! order of the device, and the target's ledger says so.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchroom::storage::block;
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
    let fleet = Fleet::start(FleetConfig {
        devices: DEVICES,
        extensions: 10,
        calls_per_minute: 120.0,
        report_to: format!("http://{reports}"),
        talk: Duration::from_secs(1),
        phones_fail_every: None,
        ..FleetConfig::default()
    });
    let fleet = fleet.await.expect("the fleet starts");
    let (began, whole) = (Instant::now(), Duration::from_secs(seconds(30)));
    let until = async |time: Duration| {
        assert!(eventually(Duration::from_secs(3600), async || began.elapsed() >= time).await);
    };
    for part in 1..=2_u32 {
        until(whole * part / 3).await;
        process.kill();
        process.start(&client).await;
    }
    until(whole).await;
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
    let location = store::url(folder.path()).parse().expect("an URL");
    let connection = switchroom::storage::open(&location).expect("it opens");
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(0, |last: &block::Received| last.cursor);
        let (page, next) = block::reports(&connection, after, 1000).expect("it is read");
        all.extend(page);
        if next.is_none() {
            break;
        }
    }
    process.start(&client).await;
    let mut sum = (0, 0);
    for (device, path, receiver) in &lines {
        let of = all.iter().filter(|received| received.device.as_str() == device);
        let logged: Vec<String> =
            of.map(|received| String::from_utf8_lossy(&received.report.body).into_owned()).collect();
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
