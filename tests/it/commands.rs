//! Commands, from REST to the simulated devices and back: what they do, and what becomes of them when things go wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use switchroom_protocol::Dialect;
use switchroom_simulator::{CommandFault, DeviceAction, DeviceFault};
use switchroom_test_support::{Service, eventually};

use crate::support::House;

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_rings_is_answered_and_is_hung_up_by_the_calls_own_id() {
    let house = House::start(|_| {}).await;
    let command = house.dial("200", "201").await;
    assert_eq!((&command["state"], &command["command"]), (&json!("succeeded"), &json!("connect")));
    let call = house.call_of(&command).await;
    assert!(
        eventually(Duration::from_secs(20), async || house.state_of_call(&call).await == "talking").await
    );
    assert_eq!(house.rings("201"), 1);
    // Whatever happened in the call carries the command's id.
    let events = house.get("/events?kind=call.*&limit=1000").await;
    let of_call: Vec<&Value> = events["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter(|e| e["data"]["call"] == json!(call))
        .collect();
    assert!(
        of_call.len() >= 2 && of_call.iter().all(|event| event["data"]["command"] == command["id"]),
        "{events}"
    );
    let hung_up = house.send("DELETE", &format!("/calls/{call}"), None, &[("Prefer", "wait=10")]).await;
    assert_eq!((hung_up.status, &hung_up.body["state"]), (200, &json!("succeeded")), "{}", hung_up.body);
    assert!(eventually(Duration::from_secs(10), async || house.state_of_call(&call).await == "ended").await);
    assert!(house.fleet.truth().devices["sim-1"].calls.is_empty());
    // The event comes when it is on disk, which is after the answer.
    let mut ids = Vec::new();
    let told = eventually(Duration::from_secs(10), async || {
        let completed = house.get("/events?kind=command.completed").await;
        let items = completed["items"].as_array().expect("items");
        ids = items.iter().map(|event| event["data"]["command"].clone()).collect();
        ids.len() >= 2
    });
    assert!(told.await, "{ids:?}");
    assert_eq!(ids, [command["id"].clone(), hung_up.body["id"].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_command_and_another_request_under_it_is_refused() {
    let house = House::start(|_| {}).await;
    let body = json!({"device": "sim-1", "from": {"extension": "200"}, "to": {"extension": "201"}});
    let key = [("Idempotency-Key", "one"), ("Prefer", "wait=10")];
    let first = house.send("POST", "/calls", Some(body.clone()), &key).await;
    let again = house.send("POST", "/calls", Some(body.clone()), &key).await;
    assert_eq!((first.status, again.status), (200, 200), "{}", again.body);
    assert_eq!(first.body["id"], again.body["id"]);
    assert!(first.headers.get("idempotent-replayed").is_none());
    assert_eq!(again.headers["idempotent-replayed"], "true");
    // At the same moment too: whoever comes second waits until the first is on disk.
    let key = [("Idempotency-Key", "at once"), ("Prefer", "wait=10")];
    let query = json!({"command": "query", "target": {"extension": "200"}});
    let at_once = || house.send("POST", "/devices/sim-1/commands", Some(query.clone()), &key);
    let answers = futures_util::future::join_all((0..16).map(|_| at_once())).await;
    let ids: BTreeSet<_> = answers.iter().map(|answer| answer.body["id"].to_string()).collect();
    assert_eq!((answers.iter().filter(|answer| answer.status == 200).count(), ids.len()), (16, 1), "{ids:?}");
    let taken = answers.iter().filter(|answer| answer.headers.get("idempotent-replayed").is_none());
    assert_eq!(taken.count(), 1);
    assert!(eventually(Duration::from_secs(10), async || house.rings("201") == 1).await);
    let other = json!({"device": "sim-1", "from": {"extension": "200"}, "to": {"extension": "202"}});
    let refused = house.send("POST", "/calls", Some(other), &[("Idempotency-Key", "one")]).await;
    assert_eq!((refused.status, &refused.body["type"]), (422, &json!("/problems/idempotency-key-used")));
    let new = house.send("POST", "/calls", Some(body), &[("Idempotency-Key", "two")]).await;
    assert_eq!(new.status, 202);
    let location = new.headers["location"].to_str().expect("text").to_owned();
    assert_eq!(location, format!("/api/v1/commands/{}", new.body["id"].as_str().expect("an id")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_with_the_reason() {
    let house = House::start(|config| config.firmware = "Rev 2.1.5.100".into()).await;
    // The device's own refusal.
    let nobody = house
        .command(
            "sim-1",
            json!({"command": "connect", "from": {"extension": "999"}, "to": {"extension": "201"}}),
        )
        .await;
    assert_eq!((&nobody["state"], &nobody["error"]["code"]), (&json!("failed"), &json!(7)), "{nobody}");
    // Ours, before anything is sent. The firmware is known once the device was asked.
    house.command("sim-1", json!({"command": "query", "target": {"device": true}})).await;
    assert_eq!(house.get("/devices/sim-1").await["firmware"], "Rev 2.1.5.100");
    let refusals = [
        (json!({"command": "talk", "extension": "200"}), 422, "incapable", "119"),
        (json!({"command": "query_voice_files"}), 422, "incapable", "124"),
        (json!({"command": "hold"}), 400, "bad-body", "extension"),
        (json!({"command": "clear", "party": {"menu": 1}}), 422, "invalid", "party"),
        (
            json!({"command": "connect", "from": {"extension": "200"}, "to": {"number": "0044123456"}}),
            403,
            "number-denied",
            "deny_numbers",
        ),
    ];
    let sent = || {
        let mut kinds = house.fleet.truth().devices["sim-1"].commands_by_kind.clone();
        kinds.retain(|kind, _| !kind.ends_with("Query"));
        kinds
    };
    let before = sent();
    for (body, status, kind, word) in refusals {
        let answer = house.send("POST", "/devices/sim-1/commands", Some(body.clone()), &[]).await;
        assert_eq!(
            (answer.status, &answer.body["type"]),
            (status, &json!(format!("/problems/{kind}"))),
            "{body}: {}",
            answer.body
        );
        assert!(
            answer.body["detail"].as_str().is_some_and(|detail| detail.contains(word)),
            "{}",
            answer.body
        );
    }
    assert_eq!(sent(), before, "nothing was sent");
    house.service.add("dumb", Dialect::Om).await.expect("a device");
    let nowhere = house
        .send(
            "POST",
            "/devices/dumb/commands",
            Some(json!({"command": "query", "target": {"device": true}})),
            &[],
        )
        .await;
    assert_eq!((nowhere.status, &nowhere.body["type"]), (409, &json!("/problems/conflict")));
}

/// What became of a dial whose exchange went wrong in this way, and how often the telephone was rung.
async fn dial_under(fault: CommandFault) -> (Value, u64) {
    let house = House::start(|_| {}).await;
    let fault = DeviceFault { command: fault, delay_ms: 0, count: 1 };
    house.fleet.set_device_fault("sim-1", fault).expect("a fault");
    let command = house.dial("200", "201").await;
    let rang = eventually(Duration::from_secs(3), async || house.rings("201") > 0).await;
    let rings = house.rings("201");
    assert_eq!(rang, rings > 0);
    (command, rings)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_that_was_cut_off_is_never_sent_again_and_its_outcome_is_found_out() {
    for (fault, state, rings) in [
        (CommandFault::ResetBefore, "failed", 0),
        (CommandFault::ResetAfter, "succeeded", 1),
        (CommandFault::ResetMid, "succeeded", 1),
    ] {
        let (command, rang) = dial_under(fault).await;
        assert_eq!((command["state"].as_str(), rang), (Some(state), rings), "{fault:?}: {command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_hangs_is_left_alone_until_it_answers_and_costs_the_others_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_in(folder.path(), |config| {
        config.commands.timeout_seconds = 1;
        config.commands.find_out_seconds = 1;
    });
    switchroom::link::tls::install_provider();
    let house = House::with(service.expect("the service starts"), |_| {}).await;
    house.fleet.act("sim-1", DeviceAction::Hang).expect("it hangs");
    let query = json!({"command": "query", "target": {"device": true}});
    let mut refused = None;
    let opened = eventually(Duration::from_secs(20), async || {
        let path = "/devices/sim-1/commands";
        let answer = house.send("POST", path, Some(query.clone()), &[("Prefer", "wait=5")]).await;
        refused = Some(answer);
        refused.as_ref().is_some_and(|answer| answer.status == 503)
    });
    assert!(opened.await, "it was asked again and again");
    let refused = refused.expect("an answer");
    assert_eq!(refused.body["type"], "/problems/device-silent");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(house.command("sim-2", query.clone()).await["state"], "succeeded");
    house.fleet.act("sim-1", DeviceAction::Resume).expect("it resumes");
    let healed = eventually(Duration::from_secs(20), async || {
        let path = "/devices/sim-1/commands";
        let answer = house.send("POST", path, Some(query.clone()), &[("Prefer", "wait=5")]).await;
        answer.status == 200 && answer.body["state"] == "succeeded"
    });
    assert!(healed.await, "it never came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_groups_menus_files_and_parameters_are_set_and_read() {
    let house = House::start(|config| config.api_password = Some("s3cret".into())).await;
    let truth = || house.fleet.truth().devices.remove("sim-1").expect("a device");
    let wait = [("Prefer", "wait=10")];
    let put = async |method: &str, path: &str, body: Value| {
        let answer = house.send(method, &format!("/devices/sim-1{path}"), Some(body), &wait).await;
        assert_eq!(
            (answer.status, &answer.body["state"]),
            (200, &json!("succeeded")),
            "{path}: {}",
            answer.body
        );
        answer.body
    };
    // A group is a set: who is not named leaves it.
    put("PUT", "/groups/5", json!({"members": ["200", "201", "202"], "distribution": "sequential"})).await;
    assert_eq!(truth().groups["5"], ["200", "201", "202"]);
    put("PUT", "/groups/5", json!({"members": ["201", "203"]})).await;
    assert_eq!(truth().groups["5"], ["201", "203"]);
    // Settings keep their groups.
    put(
        "PATCH",
        "/extensions/201",
        json!({"do_not_disturb": true, "forward": {"type": "all", "number": "200"}}),
    )
    .await;
    let mut members = truth().groups.remove("5").expect("the group");
    members.sort();
    assert_eq!(members, ["201", "203"], "a setting took it out of its group");
    let settings = &truth().settings["201"];
    assert!(format!("{settings:?}").to_lowercase().contains("on"), "{settings:?}");
    put("PUT", "/groups/5", json!({"members": []})).await;
    assert!(truth().groups.get("5").is_none_or(Vec::is_empty));
    put("PUT", "/menus/2", json!({"voice_file": "welcome", "repeat": 3, "info_length": 5, "exit": "#"}))
        .await;
    let menu = house.get("/devices/sim-1/menus/2").await;
    assert_eq!(
        (&menu["voice_file"], &menu["repeat"], &menu["exit"]),
        (&json!("welcome"), &json!(3), &json!("#"))
    );
    put("DELETE", "/menus/2", json!({})).await;
    let files = house.get("/devices/sim-1/voice-files").await;
    let name = files["items"][0]["name"].as_str().expect("a file").to_owned();
    put("DELETE", &format!("/voice-files/{name}"), json!({})).await;
    let files = house.get("/devices/sim-1/voice-files").await;
    assert!(files["items"].as_array().expect("items").iter().all(|file| file["name"] != json!(name)));
    put("PUT", "/parameters/API_RESPONSE_TO", json!({"value": "9"})).await;
    assert_eq!(house.get("/devices/sim-1/parameters/API_RESPONSE_TO").await["value"], "9");
    assert_eq!(house.get("/devices/sim-1/parameters/API_PASSWORD").await["value"], "********");
    // Nor is a password in the command log, however it was asked for or set.
    let write = json!({"command": "write_parameter", "name": "API_PASSWORD", "value": "s3cret"});
    let read = json!({"command": "read_parameter", "name": "1089"});
    for command in [house.command("sim-1", write).await, house.command("sim-1", read).await] {
        let path = format!("/commands/{}", command["id"].as_str().expect("an id"));
        let kept = [command, house.get(&path).await, house.get("/devices/sim-1/commands").await];
        assert!(kept.iter().all(|shown| !shown.to_string().contains("s3cret")), "{kept:?}");
    }
    let wrong = house
        .send("PUT", "/devices/sim-1/parameters/API_RESPONSE_TO", Some(json!({"value": "900"})), &wait)
        .await;
    assert_eq!(wrong.status, 422, "{}", wrong.body);
    assert_eq!(house.get("/devices/sim-1/parameters").await["items"].as_array().map(Vec::len), Some(17));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_a_group_that_rings_all_is_one_call_with_whoever_answers_first() {
    let house = House::start(|config| config.trunk_api = Some(0x27)).await;
    let succeeds = async |body: Value| {
        let command = house.command("sim-1", body).await;
        assert_eq!(command["state"], "succeeded", "{command}");
    };
    succeeds(json!({"command": "write_parameter", "name": "API_RESPONSE_TO", "value": "120"})).await;
    let members = ["203", "205", "206"];
    succeeds(json!({"command": "assign_group", "group": 7, "members": members, "distribution": "group"}))
        .await;
    house.fleet.place_call("sim-1", "13012345678", "888").expect("a call");
    let truth = || house.fleet.truth().devices.remove("sim-1").expect("a device");
    let visitor = truth().calls[0].visitor.expect("a visitor").to_string();
    succeeds(json!({"command": "queue", "visitor": visitor, "to": {"group": 7}})).await;
    // They ring for some three seconds.
    let agrees = async |state: &str, members: &[&str]| {
        let calls = house.get("/calls").await;
        let legs = calls["items"][0]["legs"].as_array().cloned().unwrap_or_default();
        let of_state = |leg: &&Value| leg["kind"] == "extension" && leg["state"] == state;
        let mut numbers: Vec<&str> =
            legs.iter().filter(of_state).filter_map(|leg| leg["number"].as_str()).collect();
        numbers.sort_unstable();
        numbers == members && calls["items"].as_array().map(Vec::len) == Some(1)
    };
    let all = eventually(Duration::from_secs(10), async || agrees("ringing", &members).await).await;
    assert!(all, "{:#}", house.get("/calls").await);
    let answered = eventually(Duration::from_secs(30), async || truth().calls[0].answered_by.is_some()).await;
    assert!(answered, "{:?}", truth().calls);
    let who = truth().calls[0].answered_by.clone().expect("somebody");
    let agreed = eventually(Duration::from_secs(10), async || agrees("talking", &[&who]).await).await;
    assert!(agreed, "{who}: {:#}", house.get("/calls").await);
    for number in members {
        let state = async || house.get(&format!("/devices/sim-1/extensions/{number}")).await;
        let expected = if number == who { "busy" } else { "idle" };
        let so = eventually(Duration::from_secs(10), async || state().await["state"] == expected).await;
        assert!(so, "{:#}", state().await);
        assert_eq!((truth().extensions[number].as_str(), house.rings(number)), (expected, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_starts_again_is_given_back_what_it_forgot() {
    // A boot within three seconds of another would be that one, told twice.
    let house = House::start(|config| config.boot_reports = false).await;
    let truth = || house.fleet.truth().devices.remove("sim-1").expect("a device");
    let put = async |method: &str, path: &str, body: Value| {
        let answer =
            house.send(method, &format!("/devices/sim-1{path}"), Some(body), &[("Prefer", "wait=10")]).await;
        assert_eq!(answer.body["state"], "succeeded", "{path}: {}", answer.body);
    };
    put("PUT", "/groups/7", json!({"members": ["200", "201"]})).await;
    put("PUT", "/menus/3", json!({"voice_file": "welcome", "info_length": 4})).await;
    put("PATCH", "/extensions/203", json!({"do_not_disturb": true})).await;
    put("PATCH", "/extensions/203", json!({"fork": "13012345678"})).await;
    let before = (truth().groups["7"].clone(), truth().menus["3"].clone(), truth().settings["203"].clone());
    house.fleet.act("sim-1", DeviceAction::Reboot).expect("it reboots");
    let forgot = eventually(Duration::from_secs(10), async || !truth().groups.contains_key("7")).await;
    assert!(forgot, "the device kept what it should forget: {:?}", truth().groups);
    let after = || {
        let truth = truth();
        Some((
            truth.groups.get("7")?.clone(),
            truth.menus.get("3")?.clone(),
            truth.settings.get("203")?.clone(),
        ))
    };
    let given_back = eventually(Duration::from_secs(40), async || after().as_ref() == Some(&before)).await;
    assert!(given_back, "{:?} is not {before:?}", after());
    let desired = house.get("/devices/sim-1/desired").await;
    let kinds: Vec<&Value> =
        desired["items"].as_array().expect("items").iter().map(|item| &item["kind"]).collect();
    assert_eq!(kinds, ["extension", "group", "menu"]);
    assert!(
        desired["items"].as_array().expect("items").iter().all(|item| item["error"].is_null()),
        "{desired}"
    );
}
