//! Live state, calls, records, past events.

use serde_json::json;

use super::support::{RINGING, Service};

#[actix::test]
async fn extensions_show_what_was_reported() {
    let service = Service::start().await;
    service.add_device("om").await;
    assert_eq!(
        service.get("/api/v1/devices/om/extensions").await.json(),
        json!({"items": [], "next_cursor": null})
    );
    service.get("/api/v1/devices/om/extensions/200").await.problem(404, "not-found");
    for number in ["1000", "200", "201"] {
        service.event("om", "BUSY", &format!("<ext id=\"{number}\"/>")).await;
    }
    service.event("om", "IDLE", "<ext id=\"200\"/>").await;
    let one = "/api/v1/devices/om/extensions/200";
    let extension = service.until(one, |extension| extension["state"] == "idle").await;
    assert_eq!(extension["basis"], "observed");
    assert_eq!((&extension["calls"], &extension["waiting"]), (&json!([]), &json!([])));
    let page = service.get("/api/v1/devices/om/extensions?limit=2").await.json();
    assert_eq!((&page["items"][0]["number"], &page["items"][1]["number"]), (&json!("200"), &json!("201")));
    let next = page["next_cursor"].as_str().expect("there is more");
    let rest = service.get(&format!("/api/v1/devices/om/extensions?limit=2&cursor={next}")).await.json();
    assert_eq!(rest["items"][0]["number"], "1000");
    assert!(rest["next_cursor"].is_null());
    service.get("/api/v1/devices/none/extensions").await.problem(404, "not-found");

    let detail = service.get("/metrics/devices/om").await.text;
    assert!(detail.contains("switchroom_device_extensions{device=\"om\",state=\"busy\"} 2"), "{detail}");
    let line = "switchroom_extension_state{device=\"om\",extension=\"200\",state=\"idle\"} 1";
    assert!(detail.contains(line), "{detail}");
    service.app.stop().await;
}

#[actix::test]
async fn a_call_is_live_and_then_found_by_its_id() {
    let service = Service::start().await;
    service.add_device("om").await;
    service.event("om", "RING", RINGING).await;
    let live = service.until("/api/v1/calls", |page| page["items"][0]["state"] == "ringing").await;
    let call = &live["items"][0];
    assert_eq!(
        (&call["device"], &call["direction"], &call["from"]),
        (&json!("om"), &json!("inbound"), &json!("13012345678"))
    );
    let path = format!("/api/v1/calls/{}", call["id"].as_str().expect("an id"));
    assert_eq!(service.get(&path).await.json()["state"], "ringing");
    for (filter, found) in [
        ("device=om", 1),
        ("direction=inbound&state=ringing", 1),
        ("extension=200", 1),
        ("extension=201", 0),
        ("state=talking", 0),
        ("direction=outbound", 0),
    ] {
        let page = service.get(&format!("/api/v1/calls?{filter}")).await.json();
        assert_eq!(page["items"].as_array().map(Vec::len), Some(found), "{filter}: {page}");
    }
    let of_device = service.get("/api/v1/devices/om/calls").await.json();
    assert_eq!(of_device["items"][0]["id"], call["id"]);
    service.get("/api/v1/calls?device=none").await.problem(404, "not-found");

    service.event("om", "ANSWER", RINGING).await;
    service.until(&path, |call| call["state"] == "talking").await;
    service.event("om", "BYE", RINGING).await;
    let ended = service.until(&path, |call| call["state"] == "ended").await;
    assert!(ended["ended_at"].is_string() && ended["answered_at"].is_string());
    assert_eq!(service.get("/api/v1/calls").await.json()["items"], json!([]));

    // Who was removed takes its live model along; what is recorded stays.
    let service = service.restart().await;
    assert_eq!(service.get(&path).await.json()["state"], "ended");
    service.get("/api/v1/calls/not-an-id").await.problem(404, "not-found");
    service.get("/api/v1/calls/01890000-0000-7000-8000-000000000000").await.problem(404, "not-found");
    service.app.stop().await;
}

fn record(i: u32, from: &str, to: &str) -> String {
    format!(
        "<Cdr id=\"{i}20170309162713-0\"><callid>{i}</callid><TimeStart>20170309162708</TimeStart><Type>IN</Type>\
         <Route>IP</Route><CPN>{from}</CPN><CDPN>{to}</CDPN><TimeEnd>20170309162713</TimeEnd><Duration>2</Duration>\
         <TrunkNumber>888</TrunkNumber></Cdr>"
    )
}

#[actix::test]
async fn records_are_paged_filtered_and_exported() {
    let service = Service::start().await;
    service.add_device("om").await;
    service.add_device("other").await;
    for i in 0..25 {
        service.report("om", &record(i, &format!("1301234{i:04}"), "200")).await;
    }
    service.report("other", &record(99, "=1+1", "201")).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = service.get(&format!("/api/v1/cdrs?device=om&limit=10{cursor}")).await.json();
        seen.extend(page["items"].as_array().expect("a list").iter().map(|cdr| cdr["from"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<_> = (0..25).rev().map(|i| json!(format!("1301234{i:04}"))).collect();
    assert_eq!(seen, expected, "the newest first");
    for (filter, found) in [
        ("number=13012340007", 1),
        ("number_prefix=1301234001", 10),
        ("number_suffix=0007", 1),
        ("extension=201", 1),
        ("trunk=888", 26),
        ("type=OU", 0),
        ("since=2000-01-01T00:00:00Z", 26),
        ("until=2000-01-01T00:00:00Z", 0),
        ("device=other", 1),
    ] {
        let page = service.get(&format!("/api/v1/cdrs?{filter}")).await.json();
        assert_eq!(page["items"].as_array().map(Vec::len), Some(found), "{filter}: {page}");
    }
    service.get("/api/v1/cdrs?since=yesterday").await.problem(400, "bad-parameter");
    service.get("/api/v1/cdrs?device=none").await.problem(404, "not-found");
    let csv = service.get("/api/v1/cdrs.csv").await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<&str> = csv.text.lines().collect();
    assert_eq!(lines.len(), 27);
    assert!(
        lines[0].starts_with("id,device,wire_id,") && lines[1].contains(",'=1+1,201,888,"),
        "{}",
        csv.text
    );
    service.app.stop().await;
}

#[actix::test]
async fn past_events_are_read_by_cursor() {
    let service = Service::start().await;
    service.add_device("om").await;
    service.add_device("other").await;
    service.busy("om", 200, 40).await;
    service.busy("other", 300, 2).await;
    let changes = "kind=extension.state_changed";
    let of_both = |page: &serde_json::Value| page["items"].as_array().map_or(0, Vec::len) == 42;
    service.until(&format!("/api/v1/events?{changes}&limit=1000"), of_both).await;
    let (mut seen, mut since) = (Vec::new(), String::new());
    loop {
        let page = service.get(&format!("/api/v1/events?{changes}&device=om&limit=7{since}")).await.json();
        for event in page["items"].as_array().expect("a list") {
            assert_eq!(event["type"], "switchroom.extension.state_changed");
            assert_eq!(event["data"]["device"], "om");
            seen.push(event["cursor"].as_str().and_then(|text| text.parse::<u64>().ok()).expect("a cursor"));
        }
        match page["next_cursor"].as_str() {
            Some(next) => since = format!("&since={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 40);
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "without double, in order");
    let by_extension = service.get("/api/v1/events?extension=300,301&kind=extension.*,call.*").await.json();
    assert_eq!(by_extension["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        service.get("/api/v1/events?kind=colour").await.problem(400, "bad-parameter")["field"],
        "kind"
    );
    service.get("/api/v1/events?device=none").await.problem(404, "not-found");
    service.get("/api/v1/events?since=x").await.problem(400, "bad-cursor");
    service.get("/api/v1/events?since=99999").await.problem(400, "bad-cursor");

    // A reader that has everything waits for the next one.
    let end = by_extension["cursor"].as_str().expect("a cursor").to_owned();
    assert_eq!(service.get(&format!("/api/v1/events?since={end}&wait=0")).await.json()["items"], json!([]));
    let path = format!("/api/v1/events?since={end}&wait=20&kind=call.*");
    let (answer, ()) = tokio::join!(service.get(&path), async {
        service.busy("om", 290, 1).await;
        service.event("om", "RING", RINGING).await;
    });
    let first = answer.json()["items"][0].clone();
    assert_eq!(first["type"], "switchroom.call.ringing", "{}", answer.text);

    // The same from the store, after a restart.
    let service = service.restart().await;
    let stored = service.get("/api/v1/events?extension=300,301&kind=extension.*").await.json();
    assert_eq!(stored["items"], by_extension["items"]);
    let of_device = "/api/v1/events?device=other,om&extension=301&kind=extension.state_changed";
    assert_eq!(service.get(of_device).await.json()["items"][0], by_extension["items"][1]);
    service.app.stop().await;
}
