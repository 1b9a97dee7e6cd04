//! What is certain about commands when the disk stalls, the service stops, or two settings say the same thing.

use std::time::Duration;

use serde_json::{Value, json};
use switchroom_simulator::{CommandFault, DeviceAction, DeviceFault};
use switchroom_test_support::{Service, eventually};

use crate::support::House;

fn dial(from: &str, to: Value) -> Value {
    json!({"device": "sim-1", "from": {"extension": from}, "to": to})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restart_would_repeat_is_not_sent_while_the_disk_stalls_but_an_emergency_is() {
    let house = House::start(|_| {}).await;
    let slow = DeviceFault { command: CommandFault::Slow, delay_ms: 1500, count: 1 };
    house.fleet.set_device_fault("sim-1", slow).expect("a fault");
    let mut waits = Value::Null;
    for (from, to) in [("200", "201"), ("202", "203")] {
        let posted = house.send("POST", "/calls", Some(dial(from, json!({"extension": to}))), &[]).await;
        assert_eq!(posted.status, 202, "{}", posted.body);
        waits = posted.body["id"].clone();
    }
    let emergency = dial("204", json!({"number": "110"}));
    assert_eq!(house.send("POST", "/calls", Some(emergency), &[]).await.status, 202);
    // The second dial is in the log as one that waits. From here on the disk takes nothing.
    let path = house.service.folder().join("switchroom.db");
    let database = rusqlite::Connection::open(path).expect("the database");
    database.busy_timeout(Duration::from_secs(5)).expect("a wait");
    database.execute_batch("BEGIN IMMEDIATE").expect("it is locked");
    let path = format!("/commands/{}", waits.as_str().expect("an id"));
    let mut now = Value::Null;
    let settled = eventually(Duration::from_secs(20), async || {
        now = house.get(&path).await;
        now["state"] == "failed"
    });
    assert!(settled.await, "after a crash it would ring twice: {now}");
    assert_eq!((&now["error"]["kind"], house.rings("203")), (&json!("not_sent"), 0));
    assert_eq!((house.rings("201"), house.rings("204")), (1, 1), "an emergency number was kept waiting");
    database.execute_batch("ROLLBACK").expect("it is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_was_under_way_is_sent_again_after_a_restart_and_its_password_is_not_readable() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_in(folder.path(), |_| {}).expect("the service starts");
    let mut house = House::with(service, |_| {}).await;
    house.fleet.act("sim-1", DeviceAction::Hang).expect("it hangs");
    let write = json!({"command": "write_parameter", "name": "API_PASSWORD", "value": "n3wpassw0rd"});
    let mut ids = Vec::new();
    // The first is sent, the other waits.
    for _ in 0..2 {
        let posted = house.send("POST", "/devices/sim-1/commands", Some(write.clone()), &[]).await;
        assert_eq!(posted.status, 202, "{}", posted.body);
        assert_eq!(posted.body["request"]["value"], "********");
        ids.push(posted.body["id"].as_str().expect("an id").to_owned());
    }
    house.service.stop();
    for file in std::fs::read_dir(folder.path()).expect("the folder") {
        let file = file.expect("a file").path();
        let bytes = std::fs::read(&file).expect("it can be read");
        let holds = bytes.windows(11).any(|part| part == b"n3wpassw0rd");
        assert!(!holds, "{} holds the password", file.display());
    }
    house.service = Service::start_in(folder.path(), |_| {}).expect("it starts again");
    house.fleet.act("sim-1", DeviceAction::Resume).expect("it resumes");
    for id in ids {
        let path = format!("/commands/{id}");
        let mut last = Value::Null;
        let done = eventually(Duration::from_secs(20), async || {
            last = house.get(&path).await;
            last["state"] == "succeeded"
        });
        assert!(done.await, "{last}");
        assert_eq!(last["request"]["value"], "********");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_extensions_say_the_same_of_who_is_in_which_group() {
    let house = House::start(|_| {}).await;
    let put = async |method: &str, path: &str, body: Value| {
        let wait = [("Prefer", "wait=10")];
        let answer = house.send(method, &format!("/devices/sim-1{path}"), Some(body), &wait).await;
        assert_eq!(answer.body["state"], "succeeded", "{path}: {}", answer.body);
    };
    let said = async || {
        let desired = house.get("/devices/sim-1/desired").await;
        let items = desired["items"].as_array().expect("items").clone();
        let of = |kind: &str, key: &str, field: &str| {
            let item = items.iter().find(|item| item["kind"] == kind && item["key"] == key);
            item.map_or(Value::Null, |item| item["command"].pointer(field).cloned().unwrap_or_default())
        };
        (of("group", "7", "/members"), of("extension", "IPPhone 4", "/settings/groups"))
    };
    put("PUT", "/groups/7", json!({"members": ["200", "201"]})).await;
    put("PATCH", "/extensions/203", json!({"groups": [7]})).await;
    put("PATCH", "/extensions/201", json!({"groups": []})).await;
    let wanted = (json!(["200", "203"]), json!([7]));
    let mut now = said().await;
    assert!(
        eventually(Duration::from_secs(10), async || {
            now = said().await;
            now == wanted
        })
        .await,
        "{now:?}"
    );
    put("PUT", "/groups/7", json!({"members": ["200", "204"]})).await;
    let wanted = (json!(["200", "204"]), json!([]));
    assert!(
        eventually(Duration::from_secs(10), async || {
            now = said().await;
            now == wanted
        })
        .await,
        "{now:?}"
    );
}
