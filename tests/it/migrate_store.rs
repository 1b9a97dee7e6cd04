//! A store that is moved from SQLite to PostgreSQL and back: what is asked is answered as before, and life goes on.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use switchroom_protocol::Dialect;
use switchroom_simulator::Mix;
use switchroom_test_support::postgres::Server;
use switchroom_test_support::{Receiver, Service, TOKEN, eventually, store};

use crate::memory::{cdr, report};
use crate::support::House;

fn service(folder: &Path, url: &str) -> Service {
    let start = Service::start_in(folder, |config| {
        config.store.url = url.to_owned();
        config.outward.allow = vec!["127.0.0.0/8".parse().expect("a range")];
        config.commands.reconcile = false;
    });
    start.expect("the service starts")
}

async fn migrate(from: &str, to: &str) -> Output {
    let (from, to) = (from.to_owned(), to.to_owned());
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_switchroom"))
            .args(["migrate-store", "--from", &from, "--to", &to])
            .env_remove("SWITCHROOM_LOG")
            .stdin(Stdio::null())
            .output()
            .expect("the program runs")
    };
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn get(service: &Service, path: &str) -> Value {
    let url = format!("http://{}/api/v1{path}", service.api);
    let answer = reqwest::Client::new().get(url).bearer_auth(TOKEN).send().await.expect("it answers");
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("JSON")
}

async fn items(service: &Service, path: &str) -> Vec<Value> {
    get(service, path).await["items"].as_array().expect("items").clone()
}

/// What the API says of all that is kept.
struct Answers {
    /// What is the same as long as nothing is done.
    fixed: Vec<(String, Value)>,
    /// The events and each device's reports, the oldest first: a start, and time that passes, may add some.
    logs: Vec<(String, Vec<Value>)>,
    /// The audit log, the newest first: who takes away reports is noted.
    audit: Vec<Value>,
}

async fn answers(service: &Service) -> Answers {
    let audit = items(service, "/audit?limit=1000").await;
    let mut fixed = Vec::new();
    let (mut paths, mut logs) = (Vec::new(), Vec::new());
    for mut device in items(service, "/devices").await {
        let id = device["id"].as_str().expect("an id").to_owned();
        paths.extend(["commands?limit=1000", "desired"].map(|what| format!("/devices/{id}/{what}")));
        let reports = format!("/devices/{id}/reports?limit=1000");
        logs.push((reports.clone(), items(service, &reports).await));
        // The live state of a device that cannot be reached is not compared.
        let kept = ["id", "dialect", "address", "report_path", "timezone", "proof", "created_at"];
        device.as_object_mut().expect("an object").retain(|name, _| kept.contains(&name.as_str()));
        fixed.push((format!("the device {id}"), device));
    }
    for kind in ["webhooks", "targets"] {
        for hook in items(service, &format!("/{kind}")).await {
            let id = hook["id"].as_str().expect("an id");
            paths.push(format!("/{kind}/{id}/deliveries?limit=1000"));
        }
    }
    let record = &items(service, "/cdrs?limit=1").await[0];
    let number = record["to"].as_str().expect("a number");
    paths.push(format!("/cdrs?number={number}"));
    paths.push(format!("/conversations?number=*{}", &number[number.len() - 2..]));
    paths.extend(
        [
            "/cdrs?limit=1000",
            "/conversations?limit=1000",
            "/webhooks",
            "/targets",
            "/tokens",
            "/erasures",
            "/quarantine",
            "/recordings?limit=1000",
            "/statistics?since=2020-01-01T00:00:00Z&until=2030-01-01T00:00:00Z&group_by=device,direction",
        ]
        .map(str::to_owned),
    );
    for path in paths {
        let mut answer = get(service, &path).await;
        for item in answer["items"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            // It grows while time passes.
            item.remove("lag_seconds");
        }
        fixed.push((path, answer));
    }
    let events = events(service).await;
    let middle = events[events.len() / 2]["cursor"].as_str().expect("a cursor").to_owned();
    let path = format!("/events?limit=20&cursor={middle}");
    fixed.push((path.clone(), get(service, &path).await));
    logs.push(("the events".to_owned(), events));
    Answers { fixed, logs, audit }
}

/// All of them, by pages.
async fn events(service: &Service) -> Vec<Value> {
    let mut events = items(service, "/events?limit=500").await;
    loop {
        let cursor = events[events.len() - 1]["cursor"].as_str().expect("a cursor");
        let more = items(service, &format!("/events?limit=500&cursor={cursor}")).await;
        if more.is_empty() {
            return events;
        }
        events.extend(more);
    }
}

/// Is nothing under way any more? Conversations come some seconds after their calls' ends.
async fn is_settled(service: &Service) -> bool {
    let mut ended = BTreeSet::new();
    for event in events(service).await {
        if event["type"] == "switchroom.call.ended" {
            ended.insert(event["data"]["call"].to_string());
        }
    }
    for conversation in items(service, "/conversations?limit=1000").await {
        ended.remove(&conversation["id"].to_string());
    }
    // A record whose call nobody heard of is a call of its own after a while.
    let joined = items(service, "/cdrs?limit=1000").await.iter().all(|cdr| !cdr["call"].is_null());
    joined && ended.is_empty() && items(service, "/erasures").await[0]["state"] == "done"
}

async fn same(before: &Answers, service: &Service) {
    let after = answers(service).await;
    for ((path, before), (other, after)) in before.fixed.iter().zip(&after.fixed) {
        assert_eq!(path, other);
        let each = |page: &Value| page["items"].as_array().cloned().unwrap_or_default();
        for (before, after) in each(before).iter().zip(&each(after)) {
            assert_eq!(before, after, "{path}");
        }
        assert_eq!(before, after, "{path}");
    }
    assert_eq!(before.fixed.len(), after.fixed.len());
    for ((path, before), (other, after)) in before.logs.iter().zip(&after.logs) {
        assert_eq!(path, other);
        assert!(!before.is_empty() && after.starts_with(before), "{path}");
    }
    assert_eq!(before.logs.len(), after.logs.len());
    assert!(after.audit.ends_with(&before.audit), "the audit log is another");
    let noted = &before.audit[0];
    let (seq, hash) = (&noted["seq"], noted["hash"].as_str().expect("a hash"));
    let verdict = get(service, &format!("/audit/verify?seq={seq}&hash={hash}")).await;
    assert_eq!(verdict["intact"], true, "{verdict}");
}

/// New things get keys of their own, and what is new is told of after what was.
async fn goes_on(service: &Service, name: &str) {
    let latest = service.services.store.hub().latest();
    service.add(name, Dialect::Om).await.expect("a device is added");
    assert!(report(service.reports, name, &cdr(7)).await);
    // It gets a conversation, and is found by it.
    let joined = eventually(Duration::from_secs(40), async || {
        let records = items(service, &format!("/cdrs?device={name}")).await;
        let conversations = items(service, &format!("/conversations?device={name}")).await;
        records.iter().any(|record| !record["call"].is_null()) && !conversations.is_empty()
    });
    assert!(joined.await, "its record stays alone");
    let url = format!("http://{}/api/v1/webhooks", service.api);
    let webhook = json!({"url": "http://127.0.0.1:1/", "kinds": ["device.booted"]});
    let answer = reqwest::Client::new().post(url).bearer_auth(TOKEN).json(&webhook).send().await;
    assert_eq!(answer.expect("it answers").status(), 201);
    assert!(service.services.store.hub().latest() > latest);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_moved_is_answered_as_before_and_life_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let server = Server::shared();
    let at_first = format!("sqlite://{}", folder.join("first.db").display());
    let moved_to = server.schema("moved");
    let at_last = format!("sqlite://{}", folder.join("last.db").display());

    switchroom::link::tls::install_provider();
    let house = House::with(service(folder, &at_first), |config| {
        config.calls_per_minute = 300.0;
        // Calls that fail become conversations only when it is certain that nothing more of them comes.
        config.mix = Mix::plain(1, 1, 1);
        config.talk = Duration::from_secs(1);
        config.speed = 2.0;
    });
    let house = house.await;
    let receiver = Receiver::start().await.expect("it listens");
    for body in [
        json!({"url": receiver.url(), "kinds": ["call.*"]}),
        json!({"url": receiver.url(), "kinds": ["cdr.*"], "devices": ["sim-1"]}),
    ] {
        let made = house.send("POST", "/webhooks", Some(body), &[]).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }
    let target = json!({"url": "http://127.0.0.1:1/om", "devices": ["sim-1"]});
    assert_eq!(house.send("POST", "/targets", Some(target), &[]).await.status, 201);
    let token = json!({"name": "desk", "role": "viewer"});
    assert_eq!(house.send("POST", "/tokens", Some(token), &[]).await.status, 201);
    house.command("sim-1", json!({"command": "query", "target": {"device": true}})).await;
    let enough = eventually(Duration::from_secs(60), async || {
        let page = house.get("/conversations?limit=1000").await;
        page["items"].as_array().is_some_and(|items| items.len() >= 40)
    });
    assert!(enough.await, "too few conversations");
    let erase = house.send("POST", "/erasures", Some(json!({"number": "13000000000"})), &[]).await;
    assert_eq!(erase.status, 202, "{}", erase.body);
    let House { service: running, fleet, .. } = house;
    // A service that runs keeps its store.
    let refused = migrate(&at_first, &moved_to).await;
    assert!(!refused.status.success() && said(&refused).contains("stop the service"), "{}", said(&refused));
    drop(fleet);
    drop(running);
    // Once more alone, so that calls whose devices have gone are settled before it is asked.
    let alone = service(folder, &at_first);
    for kind in ["webhooks", "targets"] {
        for hook in items(&alone, &format!("/{kind}")).await {
            let url = format!("http://{}/api/v1/{kind}/{}", alone.api, hook["id"].as_str().expect("an id"));
            let off =
                reqwest::Client::new().patch(url).bearer_auth(TOKEN).json(&json!({"state": "disabled"}));
            assert_eq!(off.send().await.expect("it answers").status(), 200);
        }
    }
    let settled = eventually(Duration::from_secs(40), async || is_settled(&alone).await);
    assert!(settled.await, "something is under way for ever");
    let before = answers(&alone).await;
    // Its readers go with it.
    drop(alone);
    let lengths: Vec<_> = before.logs.iter().map(|(_, log)| log.len()).collect();
    println!("{lengths:?} reports and events, {} entries of the audit log", before.audit.len());

    let moved = migrate(&at_first, &moved_to).await;
    assert!(moved.status.success(), "{}", said(&moved));
    assert!(!said(&moved).contains("not-asked-for"), "{}", said(&moved));
    let on_server = service(folder, &moved_to);
    same(&before, &on_server).await;
    let refused = migrate(&moved_to, &at_last).await;
    assert!(!refused.status.success() && said(&refused).contains("another Switchroom"), "{}", said(&refused));
    goes_on(&on_server, "on-server").await;
    let before = answers(&on_server).await;
    drop(on_server);

    // It has something now, and takes nothing more; and what went is still where it was.
    let refused = migrate(&at_first, &moved_to).await;
    assert!(!refused.status.success() && said(&refused).contains("is not empty"), "{}", said(&refused));
    let moved = migrate(&moved_to, &at_last).await;
    assert!(moved.status.success(), "{}", said(&moved));
    let back = service(folder, &at_last);
    same(&before, &back).await;
    goes_on(&back, "back-again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_url_is_refused_without_showing_its_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = store::sqlite(folder.path());
    let nowhere = "postgres://u:s3cret@127.0.0.1:1/x";
    let secret = folder.path().join("url");
    std::fs::write(&secret, format!("{nowhere}\n")).expect("it writes");
    let from_file = format!("file:{}", secret.display());
    for (from, to, status, word) in [
        ("mysql://u:s3cret@db/x", here.as_str(), 2, "neither sqlite://PATH nor postgres://"),
        ("postgres://u:s3cr@et@db/x", &here, 2, "%40"),
        (&here, nowhere, 1, "no such file"),
        (nowhere, &here, 1, "refused"),
        (&from_file, &here, 1, "refused"),
        ("file:/nowhere/url", &here, 1, "/nowhere/url"),
        (nowhere, "postgres://u:s3cret@127.0.0.1:1/x", 1, "the same store"),
    ] {
        let output = migrate(from, to).await;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(status), "{text}");
        assert!(text.contains(word) && !text.contains("s3cr"), "{text}");
        assert!(!folder.path().join("switchroom.db").exists(), "a file was made: {text}");
    }
}
