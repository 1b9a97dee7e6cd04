//! The fleet: adding, changing, removing, adopting.

use reqwest::Method;
use serde_json::json;

use super::support::{ADMIN, Service};

#[actix::test]
async fn a_device_is_added_read_changed_and_removed() {
    let service = Service::start().await;
    let new = json!({"id": "hotel-1", "dialect": "om", "timezone": "Asia/Shanghai", "mac": "000ea93d000c",
        "command_password": "secret-1", "web_password": "secret-2"});
    let created = service.post("/api/v1/devices", new.clone()).await;
    assert_eq!((created.status.as_u16(), created.header("location")), (201, "/api/v1/devices/hotel-1"));
    let device = created.json();
    assert_eq!(device["state"], "unknown");
    assert_eq!(device["mac"], "00:0E:A9:3D:00:0C");
    assert_eq!(device["proof"], json!({"kind": "path", "strict": false, "max_age": 300}));
    assert_eq!(device["connection"], "auto");
    assert!(device["report_path"].as_str().is_some_and(|path| path.len() >= 22));
    assert!(device["last_report_at"].is_null() && device["model"].is_null() && device["address"].is_null());
    assert!(!created.text.contains("secret-"), "{}", created.text);

    let again = service.post("/api/v1/devices", new).await;
    assert_eq!(again.problem(409, "conflict")["field"], "id");
    let other = json!({"id": "b", "dialect": "om", "mac": "00:0E:A9:3D:00:0C"});
    assert_eq!(service.post("/api/v1/devices", other).await.problem(409, "conflict")["field"], "mac");

    let change = json!({"name": "Hotel Seaview", "site": "sea", "mac": null});
    let changed = service.call(Method::PATCH, "/api/v1/devices/hotel-1", ADMIN, Some(change)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.json()["name"], "Hotel Seaview");
    assert!(changed.json()["mac"].is_null());
    assert_eq!(changed.json()["report_path"], device["report_path"], "what is not given stays");

    let service = service.restart().await;
    let found = service.get("/api/v1/devices/hotel-1").await.json();
    assert_eq!((found["site"].as_str(), found["timezone"].as_str()), (Some("sea"), Some("Asia/Shanghai")));

    let removed = service.call(Method::DELETE, "/api/v1/devices/hotel-1", ADMIN, None).await;
    assert_eq!(removed.status, 204);
    service.get("/api/v1/devices/hotel-1").await.problem(404, "not-found");
    service.app.stop().await;
}

#[actix::test]
async fn what_cannot_be_is_refused_by_its_name() {
    let service = Service::start().await;
    let post = |body| service.post("/api/v1/devices", body);
    assert_eq!(post(json!({"dialect": "om"})).await.problem(422, "invalid")["field"], "id");
    assert_eq!(post(json!({"id": "a"})).await.problem(422, "invalid")["field"], "dialect");
    assert_eq!(post(json!({"id": "a/b", "dialect": "om"})).await.problem(422, "invalid")["field"], "id");
    let zone = json!({"id": "a", "dialect": "om", "timezone": "Mars/Olympus"});
    assert_eq!(post(zone).await.problem(422, "invalid")["field"], "timezone");
    let unknown = json!({"id": "a", "dialect": "om", "colour": "red"});
    assert_eq!(post(unknown).await.problem(400, "bad-body")["field"], "colour");
    let huge = json!({"id": "a", "dialect": "om", "name": "x".repeat(300_000)});
    post(huge).await.problem(413, "too-large");
    let garbage = service.client.post(service.url("/api/v1/devices")).bearer_auth(ADMIN).body("{");
    super::support::answer(garbage).await.problem(400, "bad-body");

    let unknown = service.get("/api/v1/devices?colour=red").await;
    assert_eq!(unknown.problem(400, "bad-parameter")["field"], "colour");
    service.get("/api/v1/devices?limit=0").await.problem(400, "bad-parameter");
    service.get("/api/v1/devices?limit=1001").await.problem(400, "bad-parameter");
    service.get("/api/v1/devices?state=asleep").await.problem(400, "bad-parameter");
    service.get("/api/v1/devices?cursor=garbage").await.problem(400, "bad-cursor");
    service.get("/api/v1/devices/..%2f").await.problem(404, "not-found");
    service.app.stop().await;
}

#[actix::test]
async fn the_fleet_is_listed_in_pages_and_by_filter() {
    let service = Service::start().await;
    for i in 1..=12 {
        service.add_device(&format!("om-{i}")).await;
    }
    let change = json!({"site": "north"});
    let path = "/api/v1/devices/om-3";
    assert_eq!(service.call(Method::PATCH, path, ADMIN, Some(change)).await.status, 200);
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = service.get(&format!("/api/v1/devices?limit=5{cursor}")).await.json();
        let items = page["items"].as_array().expect("a list");
        assert!(items.len() <= 5);
        ids.extend(items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(ids, (1..=12).map(|i| format!("om-{i}")).collect::<Vec<_>>());

    service.busy("om-7", 200, 1).await;
    let up = service.until("/api/v1/devices?state=up", |page| !page["items"][0].is_null()).await;
    assert_eq!(up["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(up["items"][0]["id"], "om-7");
    assert!(up["items"][0]["last_report_at"].as_str().is_some_and(|time| time.ends_with('Z')));
    let north = service.get("/api/v1/devices?site=north&state=unknown").await.json();
    assert_eq!(north["items"][0]["id"], "om-3");
    let metrics = service.get("/metrics").await.text;
    assert!(metrics.contains("switchroom_device_up{device=\"om-7\"} 1"), "{metrics}");
    assert!(metrics.contains("switchroom_device_up{device=\"om-3\"} 0"), "{metrics}");
    service.app.stop().await;
}

#[actix::test]
async fn a_stranger_is_adopted_with_one_call() {
    let service = Service::start().await;
    service.busy("lobby", 200, 1).await;
    let list = "/api/v1/devices?state=unadopted";
    let seen = service.until(list, |page| !page["items"][0].is_null()).await["items"][0].clone();
    assert_eq!((seen["state"].as_str(), seen["path"].as_str()), (Some("unadopted"), Some("/lobby")));
    let id = seen["id"].as_str().expect("an id");
    assert_eq!(service.get(&format!("/api/v1/devices/{id}")).await.json()["reports"], 1);
    service.get("/api/v1/devices/lobby").await.problem(404, "not-found");

    let adopt = format!("/api/v1/devices/{id}/adopt");
    let bad = service.post(&adopt, json!({"id": "lobby", "timezone": "x"})).await;
    assert_eq!(bad.problem(422, "invalid")["field"], "timezone");
    let adopted = service.post(&adopt, json!({"id": "lobby", "name": "Lobby"})).await;
    assert_eq!(adopted.status, 201, "{}", adopted.text);
    assert_eq!((&adopted.json()["dialect"], &adopted.json()["name"]), (&json!("om"), &json!("Lobby")));
    assert_eq!(service.get(list).await.json()["items"], json!([]));
    service.post(&adopt, json!({"id": "lobby"})).await.problem(404, "not-found");

    service.busy("lobby", 200, 1).await;
    service.until("/api/v1/devices/lobby", |device| device["state"] == "up").await;
    service.app.stop().await;
}

#[actix::test]
async fn who_names_a_mac_is_found_by_it_on_a_path_that_is_shared() {
    let service = Service::start().await;
    let body = |mac: &str| format!("<Event attribute=\"BUSY\"><MAC>{mac}</MAC><ext id=\"200\"/></Event>");
    let macs = ["00:0E:A9:3D:00:01", "00:0E:A9:3D:00:02"];
    let list = "/api/v1/devices?state=unadopted";
    for (i, mac) in macs.iter().enumerate() {
        // The two are adopted one after the other, behind one address and on one path.
        let id = format!("om-{i}");
        let body = if i == 0 { body(mac) } else { continue };
        service.report("app.php", &body).await;
        let seen = service.until(list, |page| !page["items"][0].is_null()).await["items"][0].clone();
        assert_eq!(seen["mac"], *mac, "{seen}");
        let adopt = format!("/api/v1/devices/{}/adopt", seen["id"].as_str().expect("an id"));
        let adopted = service.post(&adopt, json!({"id": id})).await;
        assert_eq!(adopted.status, 201, "{}", adopted.text);
        assert_eq!(adopted.json()["proof"]["kind"], "source");
        assert_ne!(adopted.json()["report_path"], "app.php");
        service.report("app.php", &body).await;
        service.until(&format!("/api/v1/devices/{id}"), |device| device["state"] == "up").await;
    }
    service.app.stop().await;
}

#[actix::test]
async fn a_device_of_the_file_is_changed_in_the_file() {
    let service = Service::start_with(|config| {
        let text = "[[device]]\nid = \"fixed\"\ndialect = \"om\"\nreport_path = \"fixed\"";
        let file: crate::config::Config = toml::from_str(text).expect("a configuration");
        config.device = file.device;
    })
    .await;
    assert_eq!(service.get("/api/v1/devices/fixed").await.json()["from_file"], true);
    let path = "/api/v1/devices/fixed";
    service.call(Method::DELETE, path, ADMIN, None).await.problem(409, "conflict");
    service.call(Method::PATCH, path, ADMIN, Some(json!({"name": "x"}))).await.problem(409, "conflict");
    service.app.stop().await;
}
