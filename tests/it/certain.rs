//! What is certain about commands when the disk stalls, the service stops, or two settings say the same thing.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use switchroom_simulator::{CommandFault, DeviceAction, DeviceFault};
use switchroom_test_support::store::Stall;
use switchroom_test_support::{Service, TOKEN, eventually, store};
use tokio::io::AsyncWriteExt;

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
    let stall = Stall::begin(house.service.folder());
    let path = format!("/commands/{}", waits.as_str().expect("an id"));
    let called = eventually(Duration::from_secs(20), async || house.rings("204") > 0).await;
    assert!(called, "an emergency number was kept waiting");
    // The other's turn comes, the disk does not take it, it waits on, and its turn comes again.
    let mut turns = BTreeSet::new();
    let twice = eventually(Duration::from_secs(20), async || {
        turns.extend(house.get(&path).await["sent_at"].as_str().map(str::to_owned));
        turns.len() >= 2
    });
    assert!(twice.await, "{turns:?}: {}", house.get(&path).await);
    assert_eq!((house.rings("201"), house.rings("203")), (1, 0), "after a crash it would ring twice");
    stall.end();
    let done = eventually(Duration::from_secs(20), async || house.get(&path).await["state"] == "succeeded");
    assert!(done.await, "{}", house.get(&path).await);
    assert_eq!((house.rings("201"), house.rings("203"), house.rings("204")), (1, 1, 1));
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
    let database = store::bytes(folder.path());
    // A dump shows bytes as hexadecimal digits.
    let digits: String = "n3wpassw0rd".bytes().map(|byte| format!("{byte:02x}")).collect();
    for password in ["n3wpassw0rd", &digits] {
        let holds = database.windows(password.len()).any(|part| part == password.as_bytes());
        assert!(!holds, "the database holds the password");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_client_went_away_is_still_the_one_of_its_key() {
    let house = House::start(|_| {}).await;
    let body = dial("200", json!({"extension": "201"})).to_string();
    let stall = Stall::begin(house.service.folder());
    let mut socket = tokio::net::TcpStream::connect(house.service.api).await.expect("it connects");
    let head = format!(
        "POST /api/v1/calls HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nIdempotency-Key: gone\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.expect("it is sent");
    let taken = eventually(Duration::from_secs(10), async || house.service.services.keys_under_way() > 0);
    assert!(taken.await, "it was never taken");
    drop(socket);
    let again = async {
        let key = [("Idempotency-Key", "gone"), ("Prefer", "wait=10")];
        house.send("POST", "/calls", Some(serde_json::from_str(&body).expect("JSON")), &key).await
    };
    let unlock = async {
        // The second request waits for the first, which waits for the disk.
        let waits = eventually(Duration::from_secs(10), async || house.service.services.keys_under_way() > 0);
        assert!(waits.await);
        stall.end();
    };
    let (again, ()) = tokio::join!(again, unlock);
    assert_eq!(again.status, 200, "{}", again.body);
    assert_eq!(again.headers["idempotent-replayed"], "true", "{}", again.body);
    assert!(eventually(Duration::from_secs(10), async || house.rings("201") > 0).await);
    assert_eq!(house.rings("201"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_hang_up_is_answered_as_the_first_was() {
    let house = House::start(|_| {}).await;
    let call = house.call_of(&house.dial("200", "201").await).await;
    let key = [("Idempotency-Key", "away"), ("Prefer", "wait=10")];
    let path = format!("/calls/{call}");
    let first = house.send("DELETE", &path, None, &key).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert!(eventually(Duration::from_secs(10), async || house.state_of_call(&call).await == "ended").await);
    let again = house.send("DELETE", &path, None, &key).await;
    assert_eq!((again.status, &again.body["id"]), (200, &first.body["id"]), "{}", again.body);
    assert_eq!(again.headers["idempotent-replayed"], "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_refuses_or_whose_web_interface_is_away_is_not_taken_for_silent() {
    let house = House::start(|config| config.api_password = Some("s3cret".into())).await;
    let wrong = json!({"command_password": "wrong", "web_address": "http://127.0.0.1:1"});
    assert_eq!(house.send("PATCH", "/devices/sim-1", Some(wrong), &[]).await.status, 200);
    for _ in 0..4 {
        let assign =
            json!({"command": "assign_extension", "line_id": "IPPhone 1", "settings": {"record": true}});
        let refused = house.command("sim-1", assign).await;
        assert_eq!(refused["error"]["kind"], "unauthorized", "{refused}");
        let read = json!({"command": "read_parameter", "name": "API_RESPONSE_TO"});
        let away = house.command("sim-1", read).await;
        assert_eq!(away["error"]["kind"], "not_sent", "{away}");
    }
    assert_ne!(house.get("/devices/sim-1").await["state"], "down");
    let right = json!({"command_password": "s3cret"});
    assert_eq!(house.send("PATCH", "/devices/sim-1", Some(right), &[]).await.status, 200);
    assert_eq!(house.dial("200", "201").await["state"], "succeeded");
}
