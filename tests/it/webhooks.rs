//! Webhooks: retries, refusals, redelivery, isolation, secrets, gaps.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchroom::config::{Config, Span};
use switchroom_protocol::Dialect;
use switchroom_simulator::FleetConfig;
use switchroom_test_support::{Heard, Receiver, Reply, Service, eventually, store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, House};
use crate::webhook_faults::check;

const PATIENCE: Duration = Duration::from_secs(10);

fn config(config: &mut Config, steps_ms: &[u64]) {
    config.outward.allow = vec!["127.0.0.0/8".parse().expect("a range")];
    config.webhooks.retry_schedule = steps_ms.iter().map(|ms| Span(Duration::from_millis(*ms))).collect();
    config.webhooks.timeout_seconds = 1;
    // Reports follow each other as fast as they are sent.
    config.model.overtake_ms = 0;
}

async fn house_in(folder: &Path, steps_ms: &[u64]) -> House {
    switchroom::link::tls::install_provider();
    let service = Service::start_in(folder, |all| config(all, steps_ms)).expect("it starts");
    // No telephone but those of a test says anything.
    let quiet = |fleet: &mut FleetConfig| (fleet.devices, fleet.boot_reports) = (1, false);
    House::with(service, quiet).await
}

/// A house, a receiver and a webhook between them.
struct Line {
    house: House,
    receiver: Receiver,
    id: String,
    secret: String,
    folder: tempfile::TempDir,
}

impl Line {
    async fn start(steps_ms: &[u64], body: Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let house = house_in(folder.path(), steps_ms).await;
        let receiver = Receiver::start().await.expect("it listens");
        let (id, secret) = subscribe(&house, &receiver, body).await;
        Self { house, receiver, id, secret, folder }
    }

    async fn view(&self) -> Value {
        self.house.get(&format!("/webhooks/{}", self.id)).await
    }

    async fn deliveries(&self, query: &str) -> Vec<Value> {
        let page = self.house.get(&format!("/webhooks/{}/deliveries{query}", self.id)).await;
        page["items"].as_array().expect("items").clone()
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.house.send("POST", &format!("/webhooks/{}{path}", self.id), Some(body), &[]).await
    }

    async fn patch(&self, body: Value) -> Value {
        let path = format!("/webhooks/{}", self.id);
        let answer = self.house.send("PATCH", &path, Some(body), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Waits until so many deliveries are in this state.
    async fn wait_for(&self, state: &str, count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        let there = eventually(PATIENCE, async || {
            found = self.deliveries(&format!("?state={state}")).await;
            found.len() >= count
        });
        assert!(there.await, "{} of {count} are {state}", found.len());
        found
    }

    /// Waits until so many came in.
    async fn hear(&self, count: usize) -> Vec<Heard> {
        let there = eventually(PATIENCE, async || self.receiver.count() >= count);
        assert!(there.await, "{} of {count} came", self.receiver.count());
        self.receiver.heard()
    }

    /// A telephone is picked up, or put down: one event.
    async fn telephone(&self, number: &str, state: &str) {
        report(&self.house.service, &event(state, &format!("<ext id=\"{number}\" />"))).await;
    }
}

async fn subscribe(house: &House, receiver: &Receiver, mut body: Value) -> (String, String) {
    body["url"] = receiver.url().into();
    let made = house.send("POST", "/webhooks", Some(body), &[]).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let text = |name: &str| made.body[name].as_str().expect("text").to_owned();
    (text("id"), text("secret"))
}

fn event(kind: &str, inner: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"{kind}\">{inner}</Event>\n")
}

async fn report(service: &Service, body: &str) {
    let mut stream = TcpStream::connect(service.reports).await.expect("it connects");
    let bytes = format!("POST /sim-1 HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(bytes.as_bytes()).await.expect("it writes");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("it answers");
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

fn extensions() -> Value {
    json!({"kinds": ["extension.state_changed"]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_tried_again_under_its_id_until_it_is_taken() {
    let line = Line::start(&[300, 300, 300, 300], extensions()).await;
    let replies = std::sync::Mutex::new(vec![
        Reply::status(204),
        Reply::Status(503, vec![("Retry-After", "1".to_owned())]),
        Reply::Hang,
        Reply::Reset,
        Reply::Status(302, vec![("Location", line.receiver.url())]),
    ]);
    let next = move |_: &Heard| replies.lock().expect("nobody panicked").pop().expect("a reply");
    line.receiver.reply(next);
    line.telephone("201", "BUSY").await;
    let heard = line.hear(5).await;
    let done = line.wait_for("delivered", 1).await;
    let attempts = done[0]["attempts"].as_array().expect("attempts");
    let statuses: Vec<&Value> = attempts.iter().map(|attempt| &attempt["status"]).collect();
    assert_eq!(statuses, [&json!(302), &Value::Null, &Value::Null, &json!(503), &json!(204)]);
    assert!(attempts[2]["error"].as_str().expect("an error").contains("in time"), "{attempts:?}");
    assert_eq!(done[0]["event"], heard[0].id);
    assert_eq!(done[0]["kind"], "extension.state_changed");
    for delivery in &heard {
        check(delivery, &line.secret);
        assert_eq!(delivery.id, heard[0].id);
        assert_eq!(delivery.path, "/hook", "no redirect is followed");
    }
    let waited = |from: usize| heard[from + 1].at - heard[from].at;
    assert!(waited(0) >= Duration::from_millis(230), "{:?}", waited(0));
    assert!(waited(2) >= Duration::from_millis(1000 + 230), "it hung for a second: {:?}", waited(2));
    assert!(waited(3) >= Duration::from_secs(1), "Retry-After: {:?}", waited(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_an_overloaded_receiver_gets_is_no_longer_than_that() {
    let line = Line::start(&[500, 60_000], extensions()).await;
    line.receiver.reply(|heard| Reply::status(if heard.body.contains("\"201\"") { 429 } else { 204 }));
    line.telephone("201", "BUSY").await;
    line.hear(2).await;
    // That one is tried again after a minute; what comes meanwhile goes out when the pause is over.
    line.telephone("202", "BUSY").await;
    let heard = line.hear(3).await;
    assert!(heard[2].body.contains("\"202\""), "{}", heard[2].body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_holds_nothing_and_is_delivered_again_when_asked_for() {
    let line = Line::start(&[50, 50, 10_000], extensions()).await;
    line.receiver.reply(|heard| Reply::status(if heard.body.contains("\"201\"") { 400 } else { 200 }));
    line.house.service.services.webhooks.configure(&switchroom::config::WebhooksConfig {
        retry_schedule: vec![Span(Duration::from_millis(50)); 2],
        ..Default::default()
    });
    line.telephone("201", "BUSY").await;
    let failed = line.wait_for("failed", 1).await;
    assert_eq!(failed[0]["attempts"].as_array().map(Vec::len), Some(3));
    // Another entity is not held up, and neither is what follows once it is given up.
    line.telephone("202", "BUSY").await;
    line.wait_for("delivered", 1).await;
    line.telephone("201", "IDLE").await;
    line.wait_for("failed", 2).await;
    assert_eq!(line.view().await["state"], "enabled");

    line.receiver.reply(|_| Reply::status(200));
    let before = line.receiver.count();
    let answer = line.post("/deliveries/redeliver", json!({"event": failed[0]["event"]})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    line.wait_for("delivered", 2).await;
    let heard = line.hear(before + 1).await;
    assert_eq!(failed[0]["event"], heard[before].id.as_str(), "under its id");
    check(&heard[before], &line.secret);
    let row = line.deliveries("?state=delivered").await.pop().expect("the oldest");
    assert_eq!(row["attempts"].as_array().map(Vec::len), Some(4), "what was before is kept: {row}");

    // And everything of a time.
    let answer = line.post("/deliveries/redeliver", json!({"since": failed[0]["time"]})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let heard = line.hear(before + 4).await;
    let ids = |heard: &[Heard]| heard.iter().map(|h| h.id.clone()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ids(&heard[before + 1..]).len(), 3);
    let ended = eventually(PATIENCE, async || line.view().await["redelivering"] == false);
    assert!(ended.await);
    for (body, status) in [
        (json!({"event": "01a1fe07-1b8a-7002-9d3a-5bc3355a76d8"}), 404),
        (json!({"event": "x"}), 404),
        (json!({}), 422),
        (json!({"since": "yesterday"}), 422),
        (json!({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}), 422),
        (json!({"since": "2026-01-02T00:00:00Z", "event": "x"}), 422),
    ] {
        assert_eq!(line.post("/deliveries/redeliver", body.clone()).await.status, status, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_left_alone_until_it_is_enabled_again() {
    let line = Line::start(&[100, 100], extensions()).await;
    line.receiver.reply(|_| Reply::status(410));
    line.telephone("201", "BUSY").await;
    let disabled = eventually(PATIENCE, async || line.view().await["state"] == "disabled");
    assert!(disabled.await);
    let view = line.view().await;
    assert!(view["reason"].as_str().expect("a reason").contains("410"), "{view}");
    line.telephone("201", "IDLE").await;
    line.telephone("202", "BUSY").await;
    // It stays so over a restart.
    let Line { mut house, receiver, id, secret, folder } = line;
    house.service.stop();
    drop(house);
    let line = Line { house: house_in(folder.path(), &[100, 100]).await, receiver, id, secret, folder };
    assert_eq!(line.view().await["state"], "disabled");
    assert_eq!(line.receiver.count(), 1);
    line.receiver.reply(|_| Reply::status(200));
    let ping = line.post("/ping", json!({})).await;
    assert_eq!(
        (ping.status, &ping.body["delivered"], &ping.body["status"]),
        (200, &json!(true), &json!(200))
    );
    let heard = line.hear(2).await;
    check(&heard[1], &line.secret);
    assert_eq!(heard[1].json()["type"], "switchroom.webhook.ping");
    assert_eq!(line.patch(json!({"state": "enabled"})).await["state"], "enabled");
    line.wait_for("delivered", 3).await;
    let states: Vec<Value> = line.receiver.heard()[2..].iter().map(Heard::json).collect();
    let of = |number: &str| -> Vec<String> {
        let of = states.iter().filter(|event| event["data"]["extension"] == number);
        of.map(|event| event["data"]["state"].as_str().expect("a state").to_owned()).collect()
    };
    assert_eq!(
        (&of("201")[..2], &of("202")[..1]),
        (&["busy".to_owned(), "idle".into()][..], &["busy".to_owned()][..])
    );
    // And somebody may disable it.
    let view = line.patch(json!({"state": "disabled", "description": "moving"})).await;
    assert_eq!((&view["state"], &view["description"]), (&json!("disabled"), &json!("moving")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_takes_anything_is_disabled() {
    let line = Line::start(&[50, 50], extensions()).await;
    line.receiver.reply(|_| Reply::status(500));
    let disabled = eventually(PATIENCE, async || {
        line.telephone("201", "BUSY").await;
        line.telephone("201", "IDLE").await;
        line.view().await["state"] == "disabled"
    });
    assert!(disabled.await);
    assert!(line.view().await["reason"].as_str().expect("a reason").contains("500"));
    let text = line.house.send("GET", "/../../metrics", None, &[]).await.body;
    let text = text.as_str().expect("text");
    for series in [
        "switchroom_webhook_deliveries_total{outcome=\"disabled\"} 1".to_owned(),
        format!("switchroom_webhook_pending{{webhook=\"{}\"}}", line.id),
        format!("switchroom_webhook_lag_seconds{{webhook=\"{}\"}}", line.id),
        "switchroom_webhook_deliveries_total{outcome=\"delivered\"} 0".to_owned(),
    ] {
        assert!(text.contains(&series), "{series} is missing");
    }
    let path = format!("/webhooks/{}", line.id);
    assert_eq!(line.house.send("DELETE", &path, None, &[]).await.status, 204);
    assert_eq!(line.house.send("GET", &path, None, &[]).await.status, 404);
    let text = line.house.send("GET", "/../../metrics", None, &[]).await.body;
    assert!(!text.as_str().expect("text").contains(&line.id), "its series have ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_delays_nobody_else() {
    let line = Line::start(&[60_000], extensions()).await;
    let mut others = Vec::new();
    for _ in 0..5 {
        let receiver = Receiver::start().await.expect("it listens");
        subscribe(&line.house, &receiver, extensions()).await;
        others.push(receiver);
    }
    line.receiver.reply(|_| Reply::Hang);
    let began = Instant::now();
    for number in 300..400 {
        line.telephone(&number.to_string(), "BUSY").await;
    }
    let reported = began.elapsed();
    let there = eventually(PATIENCE, async || others.iter().all(|receiver| receiver.count() >= 100));
    assert!(there.await, "{:?}", others.iter().map(Receiver::count).collect::<Vec<_>>());
    let late = began.elapsed() - reported;
    println!("100 events in {reported:?}, the last delivery to 5 others {late:?} later");
    assert!(late < Duration::from_secs(1), "{late:?}");
    // It reads ahead only as far as there is something to do with it.
    let pending = line.view().await["pending"].as_u64().expect("a count");
    assert!((8..=100).contains(&pending), "{pending}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_looked_at_with_every_delivery_and_little_is_read_of_an_answer() {
    let line = Line::start(&[100; 8], extensions()).await;
    let outward = &line.house.service.services.outward;
    outward.allow(&switchroom::config::OutwardConfig::default());
    line.telephone("201", "BUSY").await;
    let mut attempts = Value::Null;
    let refused = eventually(PATIENCE, async || {
        attempts = line.wait_for("pending", 1).await[0]["attempts"].clone();
        attempts.as_array().is_some_and(|attempts| attempts.len() > 1)
    });
    assert!(refused.await);
    assert!(attempts[0]["error"].as_str().is_some_and(|error| error.contains("outward.allow")), "{attempts}");
    assert_eq!(line.receiver.count(), 0, "nobody was called");
    line.receiver.reply(|_| Reply::Endless);
    outward.allow(&line.house.service.services.config.outward);
    let done = line.wait_for("delivered", 1).await;
    let last =
        done[0]["attempts"].as_array().and_then(|attempts| attempts.last()).expect("an attempt").clone();
    assert!(last["duration_ms"].as_u64().expect("a duration") < 1000, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_both_secrets_sign() {
    let line = Line::start(&[1000], extensions()).await;
    let answer = line.post("/rotate-secret", json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let new = answer.body["secret"].as_str().expect("a secret").to_owned();
    assert_ne!(new, line.secret);
    line.telephone("201", "BUSY").await;
    let heard = line.hear(1).await;
    assert_eq!(heard[0].header("webhook-signature").split(' ').count(), 2);
    check(&heard[0], &new);
    check(&heard[0], &line.secret);
    assert!(line.view().await.get("secret").is_none());
    let listed = line.house.get("/webhooks").await.to_string();
    assert!(!listed.contains("whsec_"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_left_the_log_are_noted_as_a_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = house_in(folder.path(), &[1000]).await;
    let receiver = Receiver::start().await.expect("it listens");
    let (id, secret) = subscribe(&house, &receiver, extensions()).await;
    let mut line = Line { house, receiver, id, secret, folder };
    line.patch(json!({"state": "disabled"})).await;
    // In several commits, so that some can be cut off.
    for number in 300..303 {
        line.telephone(&number.to_string(), "BUSY").await;
        let logged = eventually(PATIENCE, async || {
            line.house.get("/events?kind=extension.*").await.to_string().contains(&format!("\"{number}\""))
        });
        assert!(logged.await);
    }
    line.house.service.stop();
    let cut = "DELETE FROM log WHERE last_event < (SELECT max(last_event) FROM log WHERE events > 0)";
    assert!(store::execute(line.folder.path(), cut) > 0);
    line.house = house_in(line.folder.path(), &[1000]).await;
    line.patch(json!({"state": "enabled"})).await;
    let gaps = line.wait_for("gap", 1).await;
    assert!(
        gaps[0]["event"].is_null()
            && gaps[0]["note"].as_str().is_some_and(|note| note.contains("left the log"))
    );
    line.hear(1).await;
    line.telephone("207", "BUSY").await;
    let there = eventually(PATIENCE, async || {
        line.receiver.heard().iter().any(|heard| heard.body.contains("\"207\""))
    });
    assert!(there.await, "it goes on after the gap");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused() {
    switchroom::link::tls::install_provider();
    let service = Service::start().expect("it starts");
    service.add("other", Dialect::Om).await.expect("a device");
    let house = House::with(service, |fleet: &mut FleetConfig| fleet.devices = 1).await;
    let public = "https://1.1.1.1/hook";
    for (body, field, word) in [
        (json!({"kinds": ["call.*"]}), "url", "missing"),
        (json!({"url": public}), "kinds", "missing"),
        (json!({"url": public, "kinds": []}), "kinds", "call.ended"),
        (json!({"url": public, "kinds": ["call.endet"]}), "kinds", "call.ended"),
        (json!({"url": public, "kinds": ["webhook.ping"]}), "kinds", "call.ended"),
        (json!({"url": "http://127.0.0.1:9/", "kinds": ["*"]}), "url", "outward.allow"),
        (json!({"url": "http://localhost:9/", "kinds": ["*"]}), "url", "outward.allow"),
        (json!({"url": "http://[::ffff:10.0.0.1]/", "kinds": ["*"]}), "url", "outward.allow"),
        (json!({"url": "http://169.254.169.254/", "kinds": ["*"]}), "url", "outward.allow"),
        (json!({"url": "http://a:b@1.1.1.1/", "kinds": ["*"]}), "url", "user"),
        (json!({"url": "ftp://1.1.1.1/", "kinds": ["*"]}), "url", "https"),
        (json!({"url": "http://no-such-host.invalid/", "kinds": ["*"]}), "url", "resolved"),
    ] {
        let answer = house.send("POST", "/webhooks", Some(body.clone()), &[]).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.body);
        assert_eq!(answer.body["field"], field, "{body}");
        assert!(answer.body["detail"].as_str().expect("a detail").contains(word), "{body}: {}", answer.body);
    }
    let body = json!({"url": public, "kinds": ["*"], "devices": ["nowhere"]});
    assert_eq!(house.send("POST", "/webhooks", Some(body), &[]).await.status, 404);

    // Who is limited to devices gets no more than these, and sees no others' webhooks.
    let token = |role: &str, devices: &[&str]| {
        let body = json!({"name": "t", "role": role, "devices": devices});
        let house = &house;
        async move {
            let made = house.send("POST", "/tokens", Some(body), &[]).await;
            format!("Bearer {}", made.body["token"].as_str().expect("a token"))
        }
    };
    let allow = vec!["127.0.0.0/8".parse().expect("a range")];
    house.service.services.outward.allow(&switchroom::config::OutwardConfig { allow });
    let nobody = "http://127.0.0.1:9/";
    let viewer = token("viewer", &[]).await;
    let scoped = token("operator", &["sim-1"]).await;
    let as_ = |method: &'static str, path: String, token: String, body: Option<Value>| {
        let client = reqwest::Client::new();
        let url = format!("http://{}/api/v1{path}", house.service.api);
        async move {
            let request =
                client.request(method.parse().expect("a method"), url).header("Authorization", token);
            let request = match body {
                Some(body) => request.header("Content-Type", "application/json").body(body.to_string()),
                None => request,
            };
            let answer = request.send().await.expect("an answer");
            let status = answer.status().as_u16();
            let text = answer.text().await.expect("a body");
            (status, serde_json::from_str::<Value>(&text).unwrap_or_default())
        }
    };
    let wish = json!({"url": nobody, "kinds": ["call.*"], "extensions": [200, "201"]});
    assert_eq!(as_("POST", "/webhooks".into(), viewer.clone(), Some(wish.clone())).await.0, 403);
    assert_eq!(as_("GET", "/webhooks".into(), viewer, None).await.0, 403);
    let (status, made) = as_("POST", "/webhooks".into(), scoped.clone(), Some(wish.clone())).await;
    assert_eq!((status, &made["devices"]), (201, &json!(["sim-1"])));
    assert_eq!(made["extensions"], json!(["200", "201"]));
    let mut other = wish;
    other["devices"] = json!(["other"]);
    assert_eq!(as_("POST", "/webhooks".into(), scoped.clone(), Some(other.clone())).await.0, 404);
    let made = house.send("POST", "/webhooks", Some(other), &[]).await;
    let path = format!("/webhooks/{}", made.body["id"].as_str().expect("an id"));
    assert_eq!(as_("GET", path.clone(), scoped.clone(), None).await.0, 404);
    assert_eq!(as_("POST", format!("{path}/rotate-secret"), scoped.clone(), None).await.0, 404);
    let (_, listed) = as_("GET", "/webhooks".into(), scoped, None).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(house.get("/webhooks").await["items"].as_array().map(Vec::len), Some(2));
}
