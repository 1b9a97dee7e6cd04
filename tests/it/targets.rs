//! Targets: receivers of devices' reports see no difference to the device itself; order, outages, refusals, redelivery.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchroom::config::{Config, Span, TargetsConfig};
use switchroom::storage::block;
use switchroom_protocol::Dialect;
use switchroom_simulator::{Connection, Dialect as Vendor, Fleet, FleetConfig, Method};
use switchroom_test_support::raw::{Act, Message, RawReceiver};
use switchroom_test_support::{Service, eventually, store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, House};

const PATIENCE: Duration = Duration::from_secs(10);

fn steps(ms: &[u64]) -> Vec<Span> {
    ms.iter().map(|ms| Span(Duration::from_millis(*ms))).collect()
}

fn config(config: &mut Config) {
    config.outward.allow = vec!["127.0.0.0/8".parse().expect("a range")];
    config.targets.retry_schedule = steps(&[50, 50, 50]);
    config.targets.timeout_seconds = 1;
    config.commands.reconcile = false;
}

async fn house_in(folder: &Path) -> House {
    switchroom::link::tls::install_provider();
    let service = Service::start_in(folder, config).expect("it starts");
    let house = House::with(service, |fleet| fleet.boot_reports = false).await;
    for (id, dialect) in [("yeastar", Dialect::Yeastar), ("zycoo", Dialect::Zycoo)] {
        house.service.add(id, dialect).await.expect("it is added");
    }
    house
}

/// A house, a receiver and a target between them.
struct Line {
    house: House,
    receiver: RawReceiver,
    id: String,
    folder: tempfile::TempDir,
}

impl Line {
    async fn start(body: Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let house = house_in(folder.path()).await;
        let receiver = RawReceiver::start().await.expect("it listens");
        let id = target(&house, &receiver.url("app"), body).await;
        Self { house, receiver, id, folder }
    }

    async fn view(&self) -> Value {
        self.house.get(&format!("/targets/{}", self.id)).await
    }

    async fn patch(&self, body: Value) -> Value {
        let answer = self.house.send("PATCH", &format!("/targets/{}", self.id), Some(body), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    async fn redeliver(&self, body: Value) -> Answer {
        let path = format!("/targets/{}/deliveries/redeliver", self.id);
        self.house.send("POST", &path, Some(body), &[]).await
    }

    /// Waits until so many deliveries are in this state.
    async fn wait_for(&self, state: &str, count: usize) -> Vec<Value> {
        let path = format!("/targets/{}/deliveries?state={state}", self.id);
        let mut found = Vec::new();
        let there = eventually(PATIENCE, async || {
            found = self.house.get(&path).await["items"].as_array().expect("items").clone();
            found.len() >= count
        });
        assert!(there.await, "{} of {count} are {state}: {found:?}", found.len());
        found
    }

    /// Waits until so many came in.
    async fn hear(&self, count: usize) -> Vec<Message> {
        let there = eventually(PATIENCE, async || self.receiver.count() >= count);
        assert!(there.await, "{} of {count} came", self.receiver.count());
        self.receiver.messages()
    }

    async fn report(&self, device: &str, body: &str) {
        report(&self.house.service, device, body).await;
    }
}

async fn target(house: &House, url: &str, mut body: Value) -> String {
    body["url"] = url.into();
    let made = house.send("POST", "/targets", Some(body), &[]).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.body["id"].as_str().expect("an id").to_owned()
}

/// An OM's report of an extension.
fn busy(number: u32) -> String {
    event("BUSY", number)
}

fn event(kind: &str, number: u32) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"{kind}\">\n  <ext id=\"{number}\" />\n</Event>\n"
    )
}

async fn report(service: &Service, device: &str, body: &str) {
    let mut stream = TcpStream::connect(service.reports).await.expect("it connects");
    let bytes = format!(
        "POST /{device} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(bytes.as_bytes()).await.expect("it writes");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("it answers");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

/// What a message would be at the same place: path and address of a receiver are its own.
fn shape(message: &Message) -> String {
    let text = message.text();
    let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
    let lines: Vec<String> = head
        .split("\r\n")
        .enumerate()
        .map(|(n, line)| match line.split_once(' ') {
            Some((method, rest)) if n == 0 => {
                format!("{method} PATH {}", rest.rsplit_once(' ').expect("a version").1)
            }
            Some(("Host:", host)) => {
                format!("Host: {}", if host.contains(':') { "HOST:PORT" } else { "HOST" })
            }
            _ => line.to_owned(),
        })
        .collect();
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}

/// What devices send, what reaches us and what a target gets, side by side.
async fn same_bytes(vendor: Vendor, dialect: Dialect, method: Method, connection: Connection) {
    switchroom::link::tls::install_provider();
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_in(folder.path(), config).expect("it starts");
    let wire = RawReceiver::before(service.reports).await.expect("it listens");
    let receiver = RawReceiver::start().await.expect("it listens");
    for n in 1..=2 {
        service.add(&format!("sim-{n}"), dialect).await.expect("it is added");
    }
    let word = |long: bool| if long { "long" } else { "short" };
    let body = json!({"url": receiver.url("app"), "connection": word(connection == Connection::Long),
        "method": if method == Method::Post { "post" } else { "get" }});
    let client = reqwest::Client::new();
    let url = format!("http://{}/api/v1/targets", service.api);
    let made = client
        .post(url)
        .bearer_auth(switchroom_test_support::TOKEN)
        .json(&body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(made.status().as_u16(), 201);
    let fleet = Fleet::start(FleetConfig {
        dialect: vendor,
        devices: 2,
        extensions: 10,
        calls_per_minute: 1200.0,
        report_to: format!("http://{}", wire.address),
        talk: Duration::from_millis(300),
        phones_fail_every: None,
        method: Some(method),
        connection,
        ..FleetConfig::default()
    });
    let fleet = fleet.await.expect("it starts");
    let enough = eventually(PATIENCE, async || wire.count() > 150);
    assert!(enough.await, "{} reports", wire.count());
    fleet.stop().await;
    let count = |messages: &[Message]| {
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for message in messages {
            *found.entry(shape(message)).or_default() += 1;
        }
        found
    };
    // The last of them may still be on their way when the fleet has stopped.
    let same = async || count(&wire.messages()) == count(&receiver.messages());
    eventually(PATIENCE, same).await;
    let (sent, received) = (count(&wire.messages()), receiver.messages());
    let got = count(&received);
    for (message, times) in &sent {
        assert_eq!(
            got.get(message),
            Some(times),
            "{message}\n--- but of the like came\n{:?}",
            got.keys().next()
        );
    }
    let connections: std::collections::BTreeSet<usize> =
        received.iter().map(|message| message.connection).collect();
    let most = if connection == Connection::Long { 1 } else { received.len() };
    assert_eq!(connections.len(), most, "connections");
    assert!(received.iter().all(|message| message.text().contains(" /app HTTP/1.1\r\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_om_receiver_notices_no_difference() {
    for method in [Method::Get, Method::Post] {
        for connection in [Connection::Short, Connection::Long] {
            same_bytes(Vendor::Om, Dialect::Om, method, connection).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_of_other_vendors_notice_none() {
    for (vendor, dialect) in [(Vendor::Yeastar, Dialect::Yeastar), (Vendor::Zycoo, Dialect::Zycoo)] {
        same_bytes(vendor, dialect, Method::Post, Connection::Short).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_gets_what_it_wants_and_no_more() {
    let line = Line::start(json!({"devices": ["sim-1"], "kinds": ["busy"]})).await;
    let all = RawReceiver::start().await.expect("it listens");
    target(&line.house, &all.url(""), json!({})).await;
    for (device, body) in
        [("sim-1", busy(200)), ("sim-1", event("IDLE", 200)), ("sim-2", busy(201)), ("sim-1", busy(202))]
    {
        line.report(device, &body).await;
    }
    line.report("yeastar", r#"{"event":"BootUp"}"#).await;
    let there = eventually(PATIENCE, async || all.count() == 5);
    assert!(there.await, "{}", all.count());
    let bodies: Vec<String> = line.hear(2).await.iter().map(Message::body).collect();
    assert_eq!(bodies, [busy(200), busy(202)]);
    line.wait_for("delivered", 2).await;
    let view = line.view().await;
    assert_eq!(
        (&view["delivered"], &view["pending"], &view["lag_seconds"]),
        (&json!(2), &json!(0), &json!(0.0))
    );
    // What is changed counts from the next report on.
    line.patch(json!({"kinds": ["IDLE"], "devices": []})).await;
    line.report("sim-2", &busy(203)).await;
    line.report("sim-2", &event("IDLE", 203)).await;
    assert_eq!(line.hear(3).await[2].body(), event("IDLE", 203));
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_answer_in_every_way_or_not_at_all() {
    let line = Line::start(json!({})).await;
    let taking = [
        Act::Answer(204),
        Act::Close,
        Act::Say("HTTP/1.0 200 OK\r\n\r\nok"),
        Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
        Act::Say("this is no HTTP"),
        Act::Answer(404),
        Act::Answer(302),
    ];
    for (n, act) in taking.into_iter().enumerate() {
        line.receiver.act(move |_| act);
        line.report("sim-1", &busy(200)).await;
        let done = line.wait_for("delivered", n + 1).await;
        assert_eq!(done[0]["attempts"].as_array().map(Vec::len), Some(1), "{act:?}: {}", done[0]);
    }
    assert_eq!(line.receiver.count(), taking.len(), "nothing came twice");
    // One that neither answers nor closes.
    line.receiver.act(|_| Act::Silent);
    line.report("sim-1", &busy(201)).await;
    let mut attempts = Value::Null;
    let hint = eventually(PATIENCE, async || {
        attempts = line.wait_for("pending", 1).await[0]["attempts"].clone();
        attempts[0]["error"].as_str().is_some_and(|error| error.contains("\"confirm\": \"written\""))
    });
    assert!(hint.await, "{attempts}");
    line.patch(json!({"confirm": "written"})).await;
    line.wait_for("delivered", taking.len() + 1).await;
    let before = line.receiver.count();
    line.report("sim-1", &busy(202)).await;
    assert_eq!(line.hear(before + 1).await[before].body(), busy(202));
    // And one that does the same on a kept connection.
    line.patch(json!({"connection": "long"})).await;
    for number in 203..206 {
        line.report("sim-1", &busy(number)).await;
    }
    let messages = line.hear(before + 4).await;
    let connections: Vec<usize> = messages[before + 1..].iter().map(|message| message.connection).collect();
    assert_eq!(connections, [connections[0]; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_closes_is_not_waited_for() {
    let line = Line::start(json!({"confirm": "written"})).await;
    line.receiver.act(|_| Act::Silent);
    let began = Instant::now();
    for number in 0..200 {
        line.report("sim-1", &busy(200 + number % 10)).await;
    }
    line.hear(200).await;
    // Connections that are left open are few, and the oldest of them goes when there is none left.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // A page has so many.
    line.wait_for("delivered", 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_made_again_and_a_refused_report_is_given_up() {
    let line = Line::start(json!({})).await;
    // So often a report is not taken before it is: nobody is there, or it is refused for a while.
    for (n, act) in [Act::Reset, Act::Answer(503), Act::Answer(408), Act::Answer(429), Act::Answer(500)]
        .into_iter()
        .enumerate()
    {
        let before = line.receiver.count();
        let tries = std::sync::atomic::AtomicUsize::new(0);
        line.receiver.act(move |_| match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 | 1 => act,
            _ => Act::Answer(200),
        });
        line.report("sim-1", &busy(200)).await;
        line.report("sim-1", &event("IDLE", 200)).await;
        let messages = line.hear(before + 4).await;
        let bodies: Vec<String> = messages[before..].iter().map(Message::body).collect();
        let (busy, idle) = (busy(200), event("IDLE", 200));
        assert_eq!(bodies, [busy.as_str(), &busy, &busy, &idle], "{act:?}: in the order of the device");
        line.wait_for("delivered", 2 * (n + 1)).await;
    }
    // A report that is refused for as long as the schedule is given up, and what comes after it goes on.
    line.receiver.act(|message| Act::Answer(if message.body().contains("300") { 500 } else { 200 }));
    line.report("sim-1", &busy(300)).await;
    line.report("sim-1", &busy(301)).await;
    let failed = line.wait_for("failed", 1).await;
    assert_eq!(failed[0]["attempts"].as_array().map(Vec::len), Some(4), "{}", failed[0]);
    assert_eq!((&failed[0]["kind"], &failed[0]["device"]), (&json!("BUSY"), &json!("sim-1")));
    line.wait_for("delivered", 11).await;
    assert_eq!(line.view().await["failed"], 1);
    // It is given again when asked for, alone or with those of its time.
    line.receiver.act(|_| Act::Answer(200));
    let before = line.receiver.count();
    let answer = line.redeliver(json!({"report": failed[0]["report"]})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(line.hear(before + 1).await[before].body(), busy(300));
    let answer = line.redeliver(json!({"since": failed[0]["time"]})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let messages = line.hear(before + 3).await;
    let bodies: Vec<String> = messages[before + 1..].iter().map(Message::body).collect();
    assert_eq!(bodies, [busy(300), busy(301)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_receiver_is_away_is_passed_on_in_order_also_over_a_restart() {
    let line = Line::start(json!({"connection": "long"})).await;
    let address = line.receiver.address;
    line.report("sim-1", &busy(199)).await;
    line.wait_for("delivered", 1).await;
    let Line { mut house, receiver, id, folder } = line;
    drop(receiver);
    for number in 200..300 {
        report(&house.service, if number % 2 == 0 { "sim-1" } else { "sim-2" }, &busy(number)).await;
    }
    let path = format!("/targets/{id}");
    let mut view = Value::Null;
    let lags = eventually(PATIENCE, async || {
        view = house.get(&path).await;
        view["lag_seconds"].as_f64() > Some(0.3) && view["pending"].as_u64() > Some(0)
    });
    assert!(lags.await, "{view}");
    assert_eq!(view["state"], "enabled", "it is waited for");
    assert!(view["failing_since"].is_string(), "{view}");
    house.service.stop();
    drop(house);
    let house = house_in(folder.path()).await;
    let receiver = RawReceiver::at(address).await.expect("it is back");
    let line = Line { house, receiver, id, folder };
    let messages = line.hear(100).await;
    for parity in [0, 1] {
        let of = |body: &String| {
            let digits: String =
                body.split("id=\"").nth(1)?.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u32>().ok().filter(|number| number % 2 == parity)
        };
        let mut numbers: Vec<u32> = messages.iter().map(Message::body).filter_map(|body| of(&body)).collect();
        // What was under way when the service stopped may come twice.
        numbers.dedup();
        assert_eq!(numbers, (200..300).filter(|number| number % 2 == parity).collect::<Vec<_>>());
    }
    let caught_up = eventually(PATIENCE, async || {
        view = line.view().await;
        view["lag_seconds"] == 0.0 && view["delivered"] == 101
    });
    assert!(caught_up.await, "{view}");
    let text = line.house.send("GET", "/../../metrics", None, &[]).await.body;
    let text = text.as_str().expect("text");
    for series in ["pending", "lag_seconds", "lost"] {
        assert!(
            text.contains(&format!("switchroom_target_{series}{{target=\"{}\"}} 0", line.id)),
            "{series}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_counted_as_lost_and_so_is_what_left_the_log() {
    let line = Line::start(json!({})).await;
    line.patch(json!({"state": "disabled"})).await;
    for number in 200..210 {
        line.report("sim-1", &busy(number)).await;
    }
    let mut view = Value::Null;
    let waits = eventually(PATIENCE, async || {
        view = line.view().await;
        view["lag_seconds"].as_f64() > Some(1.2)
    });
    assert!(waits.await, "it says that something waits: {view}");
    let services = &line.house.service.services;
    let defaults = TargetsConfig { retry_schedule: steps(&[50]), ..TargetsConfig::default() };
    services.targets.configure(&TargetsConfig { max_age: Span(Duration::from_secs(1)), ..defaults.clone() });
    line.patch(json!({"state": "enabled"})).await;
    let gap = line.wait_for("gap", 1).await;
    assert!(gap[0]["note"].as_str().expect("a note").starts_with("10 waited"), "{}", gap[0]);
    assert_eq!(line.view().await["lost"], 10);
    assert_eq!(line.receiver.count(), 0);
    // Retention does not wait for a target, and what a target loses by it is counted as well.
    line.patch(json!({"state": "disabled"})).await;
    services.targets.configure(&defaults);
    for number in 210..215 {
        line.report("sim-1", &busy(number)).await;
    }
    let logged = eventually(PATIENCE, async || {
        let reports = services.reader.query(|connection| block::reports(connection, 0, 1000)).await;
        let (reports, _) = reports.expect("it is read");
        reports.iter().any(|received| *received.report.body == *busy(214).as_bytes())
    });
    assert!(logged.await, "a report that is answered is soon in the log");
    services.store.run(|connection| Ok(connection.execute("DELETE FROM log", [])?)).await.expect("it is cut");
    line.report("sim-1", &busy(220)).await;
    line.patch(json!({"state": "enabled"})).await;
    assert_eq!(line.hear(1).await[0].body(), busy(220));
    let gaps = line.wait_for("gap", 2).await;
    assert!(gaps[0]["note"].as_str().expect("a note").contains("left the log"), "{}", gaps[0]);
    assert!(line.view().await["lost"].as_u64() >= Some(15), "{}", line.view().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_signed_with_the_targets_own_password() {
    let line = Line::start(json!({"password": "123456"})).await;
    let signed = format!(
        "{}<Auth>\n  <nonce>2E8E52C6</nonce>\n  <timestamp>1498542290</timestamp>\n  \
         <signature>24fe6019c3f284789f8cfacc3446e7ed</signature>\n</Auth>\n",
        busy(200)
    );
    line.report("sim-1", &signed).await;
    let body = line.hear(1).await[0].body();
    let field = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>")).expect("a field");
        rest.split('<').next().expect("text").to_owned()
    };
    let (nonce, timestamp) = (field("nonce"), field("timestamp"));
    assert_eq!(field("signature"), switchroom_protocol::sign::sign("123456", &nonce, &timestamp));
    assert_ne!(nonce, "2E8E52C6", "it is signed anew");
    assert_eq!(body.split("<Auth>").next(), Some(busy(200).as_str()));
    line.patch(json!({"password": null})).await;
    line.report("sim-1", &signed).await;
    assert_eq!(line.hear(2).await[1].body(), busy(200), "the device's own signature is not for others");
    let (bytes, plain) = (store::bytes(line.folder.path()), "\"password\":\"123456\"".as_bytes());
    assert!(!bytes.windows(plain.len()).any(|window| window == plain), "the password is in the database");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_delays_nobody_else() {
    let line = Line::start(json!({})).await;
    line.receiver.act(|_| Act::Silent);
    let mut others = Vec::new();
    for _ in 0..3 {
        let receiver = RawReceiver::start().await.expect("it listens");
        target(&line.house, &receiver.url("app"), json!({"connection": "long"})).await;
        others.push(receiver);
    }
    for number in 300..400 {
        line.report("sim-1", &busy(number)).await;
    }
    let reported = Instant::now();
    let there = eventually(PATIENCE, async || others.iter().all(|receiver| receiver.count() >= 100));
    assert!(there.await, "{:?}", others.iter().map(RawReceiver::count).collect::<Vec<_>>());
    assert!(reported.elapsed() < Duration::from_secs(2), "{:?}", reported.elapsed());
    assert!(line.view().await["pending"].as_u64() > Some(0));
}
