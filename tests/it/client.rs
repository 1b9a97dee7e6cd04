//! The command-line client that acts: the program itself, against a service with simulated OMs.

use std::time::Duration;

use serde_json::{Value, json};
use switchroom_test_support::{TOKEN, eventually, store};

use crate::support::House;

/// What the program did: its exit status, stdout, stderr.
struct Ran {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn done(&self) -> &str {
        assert_eq!(self.status, Some(0), "{}{}", self.out, self.err);
        &self.out
    }

    /// It failed, and one line on stderr says why.
    #[track_caller]
    fn failed(&self) -> &str {
        assert_eq!(self.status, Some(1), "{}{}", self.out, self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        &self.err
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

async fn run(house: &House, words: &[&str]) -> Ran {
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_switchroom"));
    program.args(words).env("SWITCHROOM_SERVER", format!("http://{}", house.service.api));
    program.env("SWITCHROOM_TOKEN", TOKEN).stdin(std::process::Stdio::null());
    let output = tokio::task::spawn_blocking(move || program.output());
    let output = output.await.expect("it is waited for").expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_made_and_hung_up_from_the_command_line() {
    let house = House::start(|config| config.devices = 1).await;
    // The only device need not be named, but is told.
    let dialled = run(&house, &["dial", "200", "201", "--json"]).await;
    dialled.done();
    assert_eq!(dialled.err, "on sim-1, the only device that takes commands\n");
    let command = dialled.json();
    assert_eq!((&command["state"], &command["command"]), (&json!("succeeded"), &json!("connect")));
    let call = command["call"].as_str().expect("its call").to_owned();
    let busy = run(&house, &["dial", "202", "201", "--device", "sim-1"]).await;
    assert!(busy.failed().contains("connect was not done on sim-1: the device refused"), "{}", busy.err);
    let held_before =
        run(&house, &["send", "sim-1", r#"{"command": "hold", "extension": "209"}"#, "--json"]).await;
    assert_eq!(held_before.json()["state"], "failed", "a program gets the outcome too");
    held_before.failed();
    let hung_up = run(&house, &["hangup", &call]).await;
    assert!(hung_up.done().contains("clear") && hung_up.out.contains("succeeded"), "{}", hung_up.out);
    let idle = || house.fleet.truth().devices["sim-1"].calls.is_empty();
    assert!(eventually(Duration::from_secs(10), async || idle()).await);
    let again = run(&house, &["hangup", &call]).await;
    assert!(again.failed().contains("the call is over"), "{}", again.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_extensions_if_the_device_has_them_and_outside_numbers_if_not() {
    let house = House::start(|_| {}).await;
    let which = run(&house, &["dial", "200", "201"]).await;
    assert!(which.failed().contains("2 devices take commands (sim-1, sim-2): say which with --device"));
    let on = |words: &[&str]| {
        let mut all = vec!["dial"];
        all.extend_from_slice(words);
        all.extend_from_slice(&["--device", "sim-1", "--json"]);
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    for (words, to) in [
        // No report has named 204 yet: the device is asked.
        (on(&["203", "204"]), json!({"extension": "204"})),
        (on(&["205", "110"]), json!({"number": "110"})),
        (on(&["206", "13012345678", "--trunk", "889"]), json!({"number": "13012345678", "trunk": "889"})),
        (on(&["207", "out:208"]), json!({"number": "208"})),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = run(&house, &words).await;
        ran.done();
        assert_eq!(ran.json()["request"]["to"], to, "{words:?}");
    }
    let pointless = run(&house, &["dial", "208", "ext:209", "--trunk", "888", "--device", "sim-1"]).await;
    assert!(pointless.failed().contains("--trunk is for outside numbers"));
    let denied = run(&house, &["dial", "208", "0044123456", "--device", "sim-1"]).await;
    assert!(denied.failed().contains("deny_numbers"), "{}", denied.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_command_is_sent_as_json() {
    let house = House::start(|_| {}).await;
    let asked =
        run(&house, &["send", "sim-2", r#"{"command": "query", "target": {"extension": "200"}}"#]).await;
    assert!(asked.done().contains("\"line_id\": \"Phone 1\""), "{}", asked.out);
    let wrong = run(&house, &["send", "sim-2", "hold 200"]).await;
    assert!(wrong.failed().contains("no JSON"), "{}", wrong.err);
    let unknown = run(&house, &["send", "sim-2", r#"{"command": "dance"}"#]).await;
    assert!(unknown.failed().contains("dance"), "{}", unknown.err);
    let nowhere = run(&house, &["send", "sim-9", r#"{"command": "query_voice_files"}"#]).await;
    assert!(nowhere.failed().contains("404"), "{}", nowhere.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_made_beside_the_server_is_good_at_once_and_noted() {
    let house = House::start(|config| config.devices = 1).await;
    let config = house.service.folder().join("switchroom.toml");
    std::fs::write(&config, store::section(house.service.folder())).expect("it is written");
    let config = config.display().to_string();
    let words =
        ["token", "create", "--name", "wall", "--role", "viewer", "--device", "sim-1", "--config", &config];
    let made = run(&house, &words).await;
    let token = made.done().trim().to_owned();
    let url = format!("http://{}/api/v1/devices", house.service.api);
    let answer = reqwest::Client::new().get(url).bearer_auth(&token).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let audit = house.get("/audit?limit=1").await;
    let entry = &audit["items"][0];
    assert_eq!(
        (&entry["action"], &entry["token"]),
        (&json!("switchroom token create"), &json!("command-line"))
    );
    assert!(entry["details"].to_string().contains("wall") && !audit.to_string().contains(&token), "{audit}");
    // One for a device that is not there, or beside no store, would be good for nothing.
    let nowhere =
        ["token", "create", "--name", "x", "--role", "viewer", "--device", "nope", "--config", &config];
    let nowhere = run(&house, &nowhere).await;
    assert!(
        nowhere.failed().contains("no device \"nope\"") && nowhere.err.contains("sim-1"),
        "{}",
        nowhere.err
    );
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (config, database) = (elsewhere.path().join("s.toml"), elsewhere.path().join("none.db"));
    std::fs::write(&config, format!("[store]\nurl = \"sqlite://{}\"\n", database.display()))
        .expect("it is written");
    let config = config.display().to_string();
    let none =
        run(&house, &["token", "create", "--name", "x", "--role", "viewer", "--config", &config]).await;
    let said = none.failed();
    assert!(said.contains(&database.display().to_string()) && said.contains("--config"), "{said}");
    assert!(!database.exists());
    // The server goes on with the chain.
    let body = json!({"name": "x", "role": "viewer"});
    assert_eq!(house.send("POST", "/tokens", Some(body), &[]).await.status, 201);
    let verdict = house.get("/audit/verify").await;
    assert_eq!((&verdict["intact"], &verdict["entries"]), (&json!(true), &json!(2)), "{verdict}");
}

/// What the environment gave is not said to be missing, and a page of JSON is told from what can be run again.
#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_on_the_command_line_names_what_is_missing() {
    let house = House::start(|config| config.devices = 1).await;
    for (words, usage) in [
        (&["hangup"][..], "switchroom hangup [OPTIONS] <CALL>"),
        (&["dial", "200"], "switchroom dial [OPTIONS] <FROM> <TO>"),
        (&["send", "sim-1"], "switchroom send [OPTIONS] <DEVICE> <JSON>"),
    ] {
        let ran = run(&house, words).await;
        assert_eq!(ran.status, Some(2), "{words:?}");
        assert!(ran.err.contains(usage) && !ran.err.contains("--token"), "{}", ran.err);
    }
    let page = house.service.folder().join("page.json");
    let reports = house.get("/devices/sim-1/reports").await;
    std::fs::write(&page, reports.to_string()).expect("it is written");
    let ran = run(&house, &["replay", &page.display().to_string()]).await;
    assert!(ran.failed().contains("Accept: application/x-ndjson"), "{}", ran.err);
}
