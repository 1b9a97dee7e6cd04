//! Whatever fails, and whenever the service is killed: every event comes at least once, signed, in the order of its call.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cloudevents::AttributesReader;
use serde_json::{Value, json};
use switchroom_simulator::{Fleet, FleetConfig};
use switchroom_test_support::{Heard, Receiver, Reply, eventually, store};

pub(crate) const TOKEN: &str = "0123456789abcdef";
const DEVICES: usize = 3;

/// How long calls are made: a few seconds with every test, ten minutes for the measure.
pub(crate) fn seconds(usually: u64) -> u64 {
    std::env::var("WEBHOOK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usually)
}

pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

/// The program itself, on ports that stay; what it logs is kept.
pub(crate) struct Process {
    config: PathBuf,
    pub(crate) log: PathBuf,
    api: SocketAddr,
    child: Option<Child>,
}

impl Process {
    /// With so many devices, and this of the configuration.
    pub(crate) fn new(
        folder: &Path,
        api: SocketAddr,
        reports: SocketAddr,
        devices: usize,
        more: &str,
    ) -> Self {
        let config = folder.join("switchroom.toml");
        let mut text = format!(
            "[api]\nlisten = \"{api}\"\nadmin_token = \"{TOKEN}\"\n[reports]\nlisten = \"{reports}\"\n\
             [outward]\nallow = [\"127.0.0.0/8\"]\n\
{more}\
             [commands]\nreconcile = false\n{}",
            store::section(folder)
        );
        for n in 1..=devices {
            text.push_str(&format!(
                "[[device]]\nid = \"sim-{n}\"\ndialect = \"om\"\nreport_path = \"sim-{n}\"\n"
            ));
        }
        std::fs::write(&config, text).expect("it writes");
        Self { config, log: folder.join("log"), api, child: None }
    }

    pub(crate) async fn start(&mut self, client: &reqwest::Client) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).expect("it opens");
        let child = Command::new(env!("CARGO_BIN_EXE_switchroom"))
            .args(["serve", "--config"])
            .arg(&self.config)
            .env("SWITCHROOM_LOG", "switchroom=trace,reqwest=trace,hyper_util=trace,info")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the program starts"));
        let url = format!("http://{}/readyz", self.api);
        let ready = eventually(Duration::from_secs(20), async || {
            client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success())
        });
        assert!(ready.await, "it does not start: {}", std::fs::read_to_string(&self.log).unwrap_or_default());
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is killed");
        child.wait().expect("it is gone");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Random enough, and the same every time.
pub(crate) fn dice(state: &Mutex<u64>) -> u64 {
    let mut state = state.lock().expect("nobody panicked");
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % 100
}

/// Fails in every way it knows, a third of the time.
fn unreliable() -> impl Fn(&Heard) -> Reply + Send + Sync {
    let state = Mutex::new(0x5EED_0B57);
    move |_| match dice(&state) {
        0..=7 => Reply::status(500),
        8..=12 => Reply::Close,
        13..=18 => Reply::Reset,
        19 => Reply::Hang,
        20..=21 => Reply::Status(503, vec![("Retry-After", "1".to_owned())]),
        22 => Reply::Slow(Duration::from_millis(1500), 200),
        23..=30 => Reply::Slow(Duration::from_millis(30), 202),
        31 => Reply::Status(302, vec![("Location", "/elsewhere".to_owned())]),
        32 => Reply::status(502),
        _ => Reply::status(204),
    }
}

/// All events of these kinds after a cursor.
async fn events(client: &reqwest::Client, api: SocketAddr, kinds: &str, since: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), since.to_owned());
    loop {
        let url = format!("http://{api}/api/v1/events?kind={kinds}&limit=1000&since={cursor}");
        let answer = client.get(url).bearer_auth(TOKEN).send().await.expect("an answer");
        let page: Value = answer.json().await.expect("a page");
        all.extend(page["items"].as_array().expect("items").clone());
        cursor = page["cursor"].as_str().expect("a cursor").to_owned();
        if page["next_cursor"].is_null() {
            return all;
        }
    }
}

/// Checks that a delivery is signed and is a CloudEvent.
pub(crate) fn check(heard: &Heard, secret: &str) {
    let verifier = standardwebhooks::Webhook::new(secret).expect("a secret");
    let mut headers = reqwest::header::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, heard.header(name).parse().expect("a header"));
    }
    // In a long run it may have come longer ago than the library allows.
    let sent: i64 = heard.header("webhook-timestamp").parse().expect("seconds");
    if switchroom::clock::now().0 / 1000 - sent < 240 {
        verifier.verify(heard.body.as_bytes(), &headers).expect("it is signed");
    } else {
        let signature =
            verifier.sign(heard.header("webhook-id"), sent, heard.body.as_bytes()).expect("a signature");
        assert!(heard.header("webhook-signature").split(' ').any(|one| one == signature));
    }
    assert_eq!(heard.header("content-type"), "application/cloudevents+json");
    let event: cloudevents::Event = serde_json::from_str(&heard.body).expect("a CloudEvent");
    assert_eq!(event.id(), heard.id);
    assert!(event.ty().starts_with("switchroom."));
}

fn call_of(event: &Value) -> Option<&str> {
    event["data"]["call"].as_str()
}

/// When an event of a call comes in, all earlier ones of that call that are wanted have been taken.
fn check_order(heard: &[Heard], events: &[Value]) {
    let mut calls: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in events {
        if let Some(call) = call_of(event) {
            calls.entry(call).or_default().push(event["id"].as_str().expect("an id"));
        }
    }
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for delivery in heard {
        let event = delivery.json();
        if let Some(order) = call_of(&event).and_then(|call| calls.get(call)) {
            for earlier in order.iter().take_while(|id| **id != delivery.id) {
                assert!(
                    taken.contains(earlier),
                    "{} came before {earlier}, which is of the same call",
                    delivery.id
                );
            }
        }
        if delivery.taken {
            taken.insert(&delivery.id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_comes_at_least_once_in_order_whatever_fails() {
    const KINDS: &str = "call.*,queue.*,cdr.*,extension.*";
    switchroom::link::tls::install_provider();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
    let folder = tempfile::tempdir().expect("a folder");
    let (api, reports) = (free_port(), free_port());
    let steps = vec!["\"150ms\""; 30].join(", ");
    let more = format!("[webhooks]\nretry_schedule = [{steps}]\ntimeout_seconds = 1\n");
    let mut process = Process::new(folder.path(), api, reports, DEVICES, &more);
    process.start(&client).await;
    let receiver = Receiver::start().await.expect("it listens");
    receiver.reply(unreliable());
    let url = |path: &str| format!("http://{api}/api/v1{path}");
    let body = json!({"url": receiver.url(), "kinds": KINDS.split(',').collect::<Vec<_>>()});
    let made = client.post(url("/webhooks")).bearer_auth(TOKEN).json(&body).send().await.expect("an answer");
    assert_eq!(made.status().as_u16(), 201);
    let made: Value = made.json().await.expect("a webhook");
    let (id, secret) = (made["id"].as_str().expect("an id"), made["secret"].as_str().expect("a secret"));

    let fleet = Fleet::start(FleetConfig {
        devices: DEVICES,
        extensions: 10,
        calls_per_minute: 400.0,
        report_to: format!("http://{reports}"),
        talk: Duration::from_secs(1),
        phones_fail_every: None,
        ..FleetConfig::default()
    });
    let fleet = fleet.await.expect("the fleet starts");
    let began = Instant::now();
    for part in 1..=2_u32 {
        let until = Duration::from_secs(seconds(9)) * part / 3;
        let due = eventually(Duration::from_secs(3600), async || began.elapsed() >= until);
        assert!(due.await);
        process.kill();
        process.start(&client).await;
    }
    let due =
        eventually(Duration::from_secs(3600), async || began.elapsed() >= Duration::from_secs(seconds(9)));
    assert!(due.await);
    fleet.stop().await;

    // Nothing more comes in, and everything is delivered.
    let path = format!("/webhooks/{id}");
    let mut all = Vec::new();
    let done = eventually(Duration::from_secs(60), async || {
        let Ok(answer) = client.get(url(&path)).bearer_auth(TOKEN).send().await else { return false };
        let view: Value = answer.json().await.unwrap_or_default();
        assert_eq!(view["state"], "enabled", "{view}");
        if view["pending"] != 0 {
            return false;
        }
        all = events(&client, api, KINDS, "0").await;
        let taken: BTreeSet<String> =
            receiver.heard().into_iter().filter(|heard| heard.taken).map(|heard| heard.id).collect();
        all.iter().all(|event| taken.contains(event["id"].as_str().expect("an id")))
    });
    let done = done.await;
    let heard = receiver.heard();
    let taken = heard.iter().filter(|heard| heard.taken).count();
    println!(
        "{} events, {} deliveries, {taken} taken, {} twice or more",
        all.len(),
        heard.len(),
        taken.saturating_sub(all.len())
    );
    assert!(done, "not everything was delivered");
    assert!(all.len() > 100 && heard.len() > all.len(), "too little happened");
    check_order(&heard, &all);
    // A call that nobody ended ends by itself a while later: what was heard may be newer than what was read.
    let all = events(&client, api, KINDS, "0").await;
    let known: BTreeMap<&str, &Value> =
        all.iter().map(|event| (event["id"].as_str().expect("an id"), event)).collect();
    for delivery in &heard {
        check(delivery, secret);
        assert_eq!(Some(&&delivery.json()), known.get(delivery.id.as_str()), "it is the event as it is read");
    }

    // Nobody else learns the secret.
    let plain = secret.trim_start_matches("whsec_");
    for file in ["log", "switchroom.db", "switchroom.db-wal"] {
        let bytes = std::fs::read(folder.path().join(file)).unwrap_or_default();
        assert!(
            !bytes.windows(plain.len()).any(|window| window == plain.as_bytes()),
            "the secret is in {file}"
        );
    }
    assert!(std::fs::metadata(&process.log).expect("it logs").len() > 1000);
}
