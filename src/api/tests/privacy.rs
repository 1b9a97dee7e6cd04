//! Numbers masked for who may not see them; who did what, and who heard what.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use switchroom_domain::time::Millis;

use super::support::{RINGING, Service};
use crate::keeping;
use crate::storage::block;
use crate::storage::db::{Connection, ValueRef};
use crate::storage::migrations::tables;
use crate::storage::tokens::Role;

/// A call from outside that is over, with its record.
pub(super) const RECORD: &str = r#"<Cdr id="45620170607164812-0"><callid>45087</callid><TimeStart>20170607164801</TimeStart>
<Type>IN</Type><Route>IP</Route><CPN>13012345678</CPN><CDPN>200</CDPN><TimeEnd>20170607164812</TimeEnd>
<Duration>11</Duration><TrunkNumber>02161208234</TrunkNumber></Cdr>"#;

#[actix::test]
async fn numbers_are_masked_for_the_roles_that_are_said() {
    let service = Service::start_with(|config| {
        config.privacy.mask_numbers_for = vec![Role::Viewer, Role::Operator];
    })
    .await;
    service.add_device("om").await;
    service.busy("om", 200, 1).await;
    service.event("om", "RING", RINGING).await;
    service.report("om", RECORD).await;
    service.until("/api/v1/cdrs", |page| page["items"][0]["from"] == "13012345678").await;
    let viewer = service.token("viewer", &[], &[]).await;
    let paths =
        ["/api/v1/cdrs", "/api/v1/cdrs.csv", "/api/v1/events?limit=1000", "/api/v1/devices/om/reports"];
    let operator = service.token("operator", &[], &[]).await;
    for path in paths {
        let seen = service.get(path).await.text;
        assert!(seen.contains("13012345678"), "{path}: {seen}");
        let masked = service.call(Method::GET, path, &operator, None).await.text;
        assert!(masked.contains("130****5678") && !masked.contains("13012345678"), "{path}: {masked}");
    }
    for path in [
        "/api/v1/cdrs?number=13012345678",
        "/api/v1/cdrs?number_prefix=1",
        "/api/v1/conversations?number_suffix=8",
        "/api/v1/events?extension=13012345678",
        "/api/v1/events/stream?extension=13012345678",
    ] {
        let problem = service.call(Method::GET, path, &viewer, None).await.problem(403, "forbidden");
        assert!(!problem.to_string().contains("13012345678"), "{problem}");
    }
    // A webhook gives no more than who made it may see.
    let body = json!({"url": "http://127.0.0.1:9/", "kinds": ["call.*"], "mask_numbers": false});
    let answer = service.call(Method::POST, "/api/v1/webhooks", &operator, Some(body)).await;
    assert_eq!(answer.problem(422, "invalid")["field"], "url", "no address of our own");
    service.app.stop().await;
}

#[actix::test]
async fn what_is_done_is_noted_and_the_chain_is_whole() {
    let service = Service::start().await;
    service.add_device("om").await;
    let operator = service.token("operator", &[], &[]).await;
    let change = json!({"name": "House", "site": "north"});
    service.call(Method::PATCH, "/api/v1/devices/om", &operator, Some(change)).await;
    let denied = json!({"command_password": "very-secret"});
    service.call(Method::PATCH, "/api/v1/devices/om", &operator, Some(denied)).await;
    service.call(Method::GET, "/api/v1/devices/om", &operator, None).await;
    service.call(Method::GET, "/api/v1/cdrs.csv", &operator, None).await;
    let page = service.get("/api/v1/audit").await.json();
    let seen: Vec<_> = page["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (entry["action"].as_str().expect("text"), entry["status"].as_u64().expect("a number")))
        .collect();
    assert_eq!(
        seen[..3],
        [
            ("GET /api/v1/cdrs.csv", 200),
            ("PATCH /api/v1/devices/{device}", 403),
            ("PATCH /api/v1/devices/{device}", 200)
        ]
    );
    let entry = &page["items"][2];
    assert_eq!((entry["role"].as_str(), entry["device"].as_str()), (Some("operator"), Some("om")));
    assert_eq!(entry["details"]["body"]["site"], "north");
    assert!(!page.to_string().contains("very-secret"), "{page}");
    assert_eq!(
        service.get("/api/v1/audit?action=cdrs").await.json()["items"].as_array().map(Vec::len),
        Some(1)
    );
    let verdict = service.get("/api/v1/audit/verify").await.json();
    assert_eq!(verdict["intact"], true, "{verdict}");
    let noted = format!(
        "/api/v1/audit/verify?seq={}&hash={}",
        verdict["last"],
        verdict["hash"].as_str().expect("a hash")
    );
    assert_eq!(service.get(&noted).await.json()["intact"], true);
    service.call(Method::GET, "/api/v1/audit", &operator, None).await.problem(403, "forbidden");
    service.app.stop().await;
}

/// Where the number stands in the database, whatever the table.
async fn places(service: &Service, number: &'static str) -> Vec<String> {
    let look = move |connection: &Connection| {
        let mut found = Vec::new();
        for table in tables(connection)? {
            let mut statement = connection.prepare(&format!("SELECT * FROM {table}"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                for column in 0..row.columns() {
                    let bytes = match row.get_ref(column)? {
                        ValueRef::Text(text) => text.as_bytes(),
                        ValueRef::Blob(bytes) => bytes,
                        ValueRef::Null | ValueRef::Integer(_) => continue,
                    };
                    let reversed: String = number.chars().rev().collect();
                    if memchr::memmem::find(bytes, number.as_bytes()).is_some()
                        || memchr::memmem::find(bytes, reversed.as_bytes()).is_some()
                    {
                        found.push(format!("{table}.{column}"));
                    }
                }
            }
        }
        let in_log = block::look(connection, 0, 1_000_000, number)?.places;
        if in_log > 0 {
            found.push(format!("log, {in_log} times"));
        }
        Ok(found)
    };
    service.app.services.reader.query(look).await.expect("it is read")
}

#[actix::test]
async fn a_number_that_is_erased_is_nowhere_any_more_and_the_rest_is_as_it_was() {
    let service = Service::start().await;
    service.add_device("om").await;
    service.busy("om", 200, 1).await;
    let other = RECORD.replace("13012345678", "13099999999").replace("4562017", "4572017");
    for record in [RECORD, other.as_str()] {
        service.report("om", record).await;
    }
    service.until("/api/v1/cdrs", |page| !page["items"][1].is_null()).await;
    let ringing = RINGING.replace("13012345678", "13077777777");
    service.event("om", "RING", &ringing).await;
    service.until("/api/v1/calls", |page| !page["items"][0].is_null()).await;
    let number = "13012345678";
    // The call is told of once it is on disk, a moment after it is there.
    let rings = |page: &serde_json::Value| page.to_string().contains("switchroom.call.ringing");
    let before = service.until("/api/v1/events?limit=1000", rings).await;
    let erase = |number: &str| service.post("/api/v1/erasures", json!({"number": number, "reason": "asked"}));
    let busy = "13077777777";
    erase(busy).await.problem(409, "conflict");
    erase("200").await.problem(422, "invalid");
    assert!(!places(&service, number).await.is_empty());
    let erasure = erase("+130-1234 5678").await.json();
    let path = format!("/api/v1/erasures/{}", erasure["id"].as_str().expect("an id"));
    let done = service.until(&path, |erasure| erasure["state"] == "done").await;
    assert_eq!(places(&service, number).await, Vec::<String>::new(), "{done}");
    // Nor is it in the files, where nothing shows it; what was kept while there were readers goes with the next copy.
    let in_files = || {
        let all = switchroom_test_support::store::bytes(service.folder());
        memchr::memmem::find(&all, number.as_bytes()).is_some()
    };
    let is_gone = switchroom_test_support::eventually(Duration::from_secs(10), async || !in_files()).await;
    assert!(is_gone, "it is still in the database's files");
    assert_eq!(done["number"], "130****5678");
    assert_eq!(done["erased"]["cdrs"], 1, "{done}");
    assert!(done["erased"]["log"].as_u64() > Some(1), "{done}");
    // The rest is as it was: the live call, the other record, every event under its id.
    let cdrs = service.get("/api/v1/cdrs").await.json();
    let mut from: Vec<_> =
        cdrs["items"].as_array().expect("a list").iter().map(|cdr| cdr["from"].clone()).collect();
    from.sort_by_key(ToString::to_string);
    assert_eq!(from, ["13099999999", "xxxxxxxxxxx"]);
    assert_eq!(service.get("/api/v1/cdrs?number=13012345678").await.json()["items"], json!([]));
    assert_eq!(
        service.get("/api/v1/cdrs?number=13099999999").await.json()["items"][0]["from"],
        "13099999999"
    );
    service.until("/api/v1/calls", |page| page["items"][0]["from"] == busy).await;
    let after = service.get("/api/v1/events?limit=1000").await.json();
    let ids = |page: &serde_json::Value| {
        page["items"].as_array().expect("a list").iter().map(|event| event["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&after)[..ids(&before).len()], ids(&before));
    assert_eq!(after.to_string(), before.to_string().replace(number, "xxxxxxxxxxx"));
    assert_eq!(service.get("/api/v1/audit/verify").await.json()["intact"], true);
    // What comes later is taken as ever.
    service.event("om", "BUSY", "<ext id=\"200\"/>").await;
    let service = service.restart().await;
    service.until("/api/v1/devices/om/extensions/200", |extension| extension["number"] == "200").await;
    assert_eq!(places(&service, number).await, Vec::<String>::new());
    service.app.stop().await;
}

#[actix::test]
async fn what_is_too_old_goes_and_the_live_stays() {
    let service = Service::start_with(|config| {
        config.retention.reports_days = 30;
        config.retention.records_days = 100;
    })
    .await;
    service.add_device("om").await;
    service.report("om", RECORD).await;
    // Before another call has the number, which the record could be of.
    service.until("/api/v1/conversations", |page| !page["items"][0].is_null()).await;
    service.event("om", "RING", RINGING).await;
    let calls = service.until("/api/v1/calls", |page| !page["items"][0].is_null()).await;
    // Until the cells are written down, their log is needed.
    service.app.services.write_down().await;
    let services = &service.app.services;
    let count = |table: &'static str| async move {
        let sql = format!("SELECT count(*) FROM {table}");
        let read =
            move |connection: &Connection| Ok(connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?);
        services.reader.query(read).await.expect("it is read")
    };
    let in_days = |days: i64| crate::clock::now().plus(Millis::from_secs(days * 86_400));
    let before = count("log").await;
    assert!(before > 1, "{before}");
    for (days, log, cdrs) in [(29, before, 1), (31, 1, 1), (99, 1, 1), (101, 1, 0)] {
        keeping::remove_all_old(services, in_days(days)).await.expect("it is removed");
        assert_eq!((count("log").await, count("cdr").await), (log, cdrs), "after {days} days");
        assert_eq!(count("conversation").await, cdrs, "after {days} days");
    }
    for table in ["cdr_party", "cdr_party_end", "conversation_party", "conversation_party_end"] {
        assert_eq!(count(table).await, 0, "{table}");
    }
    let metrics = service.get("/metrics").await.text;
    assert!(metrics.contains("switchroom_retention_removed_total{kind=\"cdrs\"} 1"), "{metrics}");
    let service = service.restart().await;
    let call = format!("/api/v1/calls/{}", calls["items"][0]["id"].as_str().expect("an id"));
    let live = service.until(&call, |call| call["from"] == "13012345678").await;
    assert_ne!(live["state"], "ended");
    service.app.stop().await;
}
