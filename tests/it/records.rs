//! What is on record of calls: conversations, one call explained, and its reports run again.

use std::collections::HashSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use switchroom_simulator::Mix;
use switchroom_test_support::{TOKEN, eventually};

use crate::support::House;

/// A house with calls of its own, once so many conversations are there.
async fn busy_house(conversations: usize) -> House {
    let house = House::start(|config| {
        config.calls_per_minute = 240.0;
        config.mix = Mix::default();
        config.talk = Duration::from_secs(1);
        config.speed = 2.0;
    })
    .await;
    let enough = eventually(Duration::from_secs(60), async || {
        let page = house.get("/conversations?limit=1000").await;
        page["items"].as_array().expect("items").len() >= conversations
    });
    assert!(enough.await, "no conversations");
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_explained_by_its_reports_events_commands_and_conversation() {
    let house = House::start(|_| {}).await;
    let command = house.dial("200", "201").await;
    let call = house.call_of(&command).await;
    assert!(
        eventually(Duration::from_secs(20), async || house.state_of_call(&call).await == "talking").await
    );
    house.send("DELETE", &format!("/calls/{call}"), None, &[]).await;
    let path = format!("/calls/{call}/timeline");
    let mut timeline = Value::Null;
    let told = eventually(Duration::from_secs(20), async || {
        timeline = house.get(&path).await;
        !timeline["conversation"].is_null()
    });
    assert!(told.await, "{timeline}");
    let of = |kind: &str| -> Vec<&Value> {
        let entries = timeline["entries"].as_array().expect("entries");
        entries.iter().filter(|entry| entry["kind"] == kind).map(|entry| &entry[kind]).collect()
    };
    let names: Vec<&str> = of("report").iter().filter_map(|report| report["name"].as_str()).collect();
    for name in ["RING", "ANSWER", "BYE", "Cdr"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert!(
        of("report").iter().all(|report| report["body"].as_str().is_some_and(|body| body.contains("20")))
    );
    let kinds: Vec<&str> = of("event").iter().filter_map(|event| event["type"].as_str()).collect();
    for kind in ["call.ringing", "call.answered", "call.ended", "conversation.completed"] {
        assert!(kinds.contains(&format!("switchroom.{kind}").as_str()), "{kind} is not in {kinds:?}");
    }
    let commands: Vec<&Value> = of("command").iter().map(|command| &command["command"]).collect();
    assert_eq!(commands, ["connect", "clear"]);
    let conversation = &timeline["conversation"];
    assert_eq!(
        (&conversation["from"], &conversation["to"], &conversation["outcome"], &conversation["answered_by"]),
        (&json!("200"), &json!("201"), &json!("answered"), &json!("201"))
    );
    assert_eq!(house.get(&format!("/conversations/{call}")).await, *conversation);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_reported_leads_to_the_same_when_it_is_run_again() {
    let house = busy_house(20).await;
    let url = format!("http://{}/api/v1/devices/sim-1/reports", house.service.api);
    let request = reqwest::Client::new().get(url).bearer_auth(TOKEN).header("Accept", "application/x-ndjson");
    let text = request.send().await.expect("an answer").text().await.expect("a body");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sim-1.ndjson");
    std::fs::write(&file, &text).expect("it is written");
    let run = |file: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchroom"));
        command.args(["replay", "--json"]).arg(file).stdin(Stdio::null()).output().expect("it runs")
    };
    let again = run(&file);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success() && said.contains("the same as was recorded"), "{said}");
    let lines = String::from_utf8(again.stdout).expect("text");
    let events = text.lines().filter(|line| line.starts_with("{\"event\"")).count();
    assert_eq!(lines.lines().filter(|line| line.starts_with("{\"specversion\"")).count(), events);
    assert!(lines.lines().any(|line| line.starts_with("{\"conversation\"")));
    // A report that is gone is seen.
    let gone = text.lines().position(|line| line.contains("\"name\":\"ANSWER\"")).expect("somebody answered");
    let less: Vec<&str> =
        text.lines().enumerate().filter(|(n, _)| *n != gone).map(|(_, line)| line).collect();
    std::fs::write(&file, less.join("\n")).expect("it is written");
    let other = run(&file);
    assert_eq!(other.status.code(), Some(1), "{}", String::from_utf8_lossy(&other.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_found_by_whatever_they_are_asked_for_and_exported() {
    let house = busy_house(40).await;
    let all = house.get("/conversations?limit=1000").await["items"].as_array().expect("items").clone();
    let newest = all.iter().map(|one| one["started_at"].as_str().expect("a time")).collect::<Vec<_>>();
    assert!(newest.is_sorted_by(|a, b| a >= b), "the newest first");
    let at = all[0]["started_at"].as_str().expect("a time").to_owned();
    // Calls go on: one that began before may be over since.
    let ids: HashSet<String> = all.iter().map(|one| one["id"].to_string()).collect();
    let known = |id: &String| ids.contains(id);
    let found = async |query: &str| -> Vec<String> {
        let page = house.get(&format!("/conversations?limit=1000&until={at}&{query}")).await;
        let ids = page["items"].as_array().expect("items").iter().map(|one| one["id"].to_string());
        ids.filter(known).collect()
    };
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    let expected = |fits: &dyn Fn(&Value) -> bool| -> Vec<String> {
        let before = all.iter().filter(|one| text(one, "started_at") < at);
        before.filter(|one| fits(one)).map(|one| one["id"].to_string()).collect()
    };
    let named = |one: &Value, fits: &dyn Fn(&str) -> bool| {
        let transfers = one["transfers"].as_array().expect("transfers").iter();
        let passed = transfers.flat_map(|transfer| [text(transfer, "by"), text(transfer, "to")]);
        let parties = ["from", "to", "answered_by"].map(|field| text(one, field));
        parties.into_iter().chain(passed).any(|number| !number.is_empty() && fits(&number))
    };
    for one in all.iter().take(10) {
        for field in ["device", "direction", "outcome", "trunk"] {
            let wanted = text(one, field);
            if !wanted.is_empty() {
                let same = expected(&|other| text(other, field) == wanted);
                assert_eq!(found(&format!("{field}={wanted}")).await, same, "{field}={wanted}");
            }
        }
        let number = text(one, "from");
        if number.len() >= 3 {
            let (start, end) = (&number[..2], &number[number.len() - 2..]);
            assert_eq!(found(&format!("number={number}")).await, expected(&|o| named(o, &|n| n == number)));
            assert_eq!(
                found(&format!("extension={number}")).await,
                expected(&|o| named(o, &|n| n == number))
            );
            assert_eq!(
                found(&format!("number_prefix={start}")).await,
                expected(&|o| named(o, &|n| n.starts_with(start)))
            );
            let by_end = format!("number_suffix={end}&direction={}", text(one, "direction"));
            let same = expected(&|o| named(o, &|n| n.ends_with(end)) && o["direction"] == one["direction"]);
            assert_eq!(found(&by_end).await, same, "{by_end}");
        }
    }
    let get = async |accept: &str| {
        let url = format!("http://{}/api/v1/conversations?until={at}", house.service.api);
        let request = reqwest::Client::new().get(url).bearer_auth(TOKEN).header("Accept", accept);
        request.send().await.expect("an answer").text().await.expect("a body")
    };
    let before = expected(&|_| true);
    let lines = get("application/x-ndjson").await;
    let ids: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["id"].to_string())
        .filter(known)
        .collect();
    assert_eq!(ids, before);
    let csv = get("text/csv").await;
    assert!(csv.starts_with("id,device,direction,from,to,answered_by"), "{csv}");
    let cell = |line: &str| json!(line.split(',').next()).to_string();
    assert_eq!(csv.lines().skip(1).map(cell).filter(known).collect::<Vec<_>>(), before);
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = house.get(&format!("/conversations?limit=7&until={at}{cursor}")).await;
        let ids = page["items"].as_array().expect("items").iter().map(|one| one["id"].to_string());
        paged.extend(ids.filter(known));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, before);
    let wrong = house.send("GET", "/conversations?outcome=lost", None, &[]).await;
    assert_eq!((wrong.status, &wrong.body["type"]), (400, &json!("/problems/bad-parameter")));
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_are_the_sums_of_the_conversations() {
    let house = busy_house(40).await;
    house.fleet.pause();
    let until = "2100-01-01T00:00:00Z";
    let sums = async |group: &str| -> Vec<Value> {
        let path = format!("/statistics?since=2020-01-01T00:00:00Z&until={until}&group_by={group}");
        house.get(&path).await["items"].as_array().expect("items").clone()
    };
    let mut seen = (Vec::new(), Vec::new());
    let still = eventually(Duration::from_secs(30), async || {
        let all = house.get("/conversations?limit=1000").await["items"].as_array().expect("items").clone();
        let before = std::mem::replace(&mut seen, (all, sums("").await));
        seen == before
    });
    assert!(still.await, "conversations still come");
    let (all, total) = seen;
    let count = |fits: &dyn Fn(&Value) -> bool| all.iter().filter(|one| fits(one)).count();
    assert_eq!(total.len(), 1);
    assert_eq!(total[0]["calls"], all.len());
    assert_eq!(total[0]["answered"], count(&|one| one["outcome"] == "answered"));
    assert_eq!(total[0]["abandoned"], count(&|one| one["outcome"] == "abandoned"));
    let talk: f64 = all.iter().filter_map(|one| one["talk_seconds"].as_f64()).sum();
    assert!(
        (total[0]["talk_seconds"].as_f64().expect("seconds") - talk).abs() < 0.01,
        "{total:?} is not {talk}"
    );
    for (group, field) in
        [("direction", "direction"), ("device", "device"), ("trunk", "trunk"), ("queue", "queue")]
    {
        for line in sums(group).await {
            let same = count(&|one| one[field] == line[group]);
            assert_eq!(line["calls"], same, "{group}: {line}");
        }
    }
    let by_hour: i64 = sums("hour,direction").await.iter().filter_map(|line| line["calls"].as_i64()).sum();
    assert_eq!(by_hour, i64::try_from(all.len()).expect("few"));
    let by_extension = sums("device,extension").await;
    let inbound =
        |one: &Value, line: &Value| one["answered_by"] == line["extension"] && one["direction"] == "inbound";
    for line in &by_extension {
        let answered = count(&|one| one["device"] == line["device"] && inbound(one, line));
        assert!(line["calls"].as_u64() >= Some(answered as u64), "{line}");
    }
    let wrong = house.send("GET", "/statistics?group_by=trunk,queue", None, &[]).await;
    assert_eq!((wrong.status, &wrong.body["type"]), (400, &json!("/problems/bad-parameter")));
}
