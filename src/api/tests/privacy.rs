//! Numbers masked for who may not see them; who did what, and who heard what.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use switchroom_domain::id::CdrId;
use switchroom_domain::time::Millis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::support::{RINGING, Service};
use crate::keeping;
use crate::storage::block;
use crate::storage::db::{Connection, ValueRef};
use crate::storage::migrations::tables;
use crate::storage::recordings::{self, Recording, RecordingState};
use crate::storage::tokens::Role;

/// A call from outside that is over, with its record.
pub(super) const RECORD: &str = r#"<Cdr id="45620170607164812-0"><callid>45087</callid><TimeStart>20170607164801</TimeStart>
<Type>IN</Type><Route>IP</Route><CPN>13012345678</CPN><CDPN>200</CDPN><TimeEnd>20170607164812</TimeEnd>
<Duration>11</Duration><TrunkNumber>02161208234</TrunkNumber></Cdr>"#;

#[actix::test]
async fn numbers_are_masked_for_the_roles_that_are_said() {
    let service = Service::start_with(|config| {
        config.privacy.mask_numbers_for = vec![Role::Viewer, Role::Operator];
        config.numbers.everywhere.country_code = "86".to_owned();
        config.numbers.everywhere.area_code = "21".to_owned();
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
        "/api/v1/cdrs?number=130.1234.5678",
        "/api/v1/cdrs?number=%2B86%20(130)%201234/5678",
        "/api/v1/conversations?extension=130-1234%205678",
        "/api/v1/cdrs?number=612082",
        "/api/v1/cdrs?trunk=021.6120.8234",
        "/api/v1/conversations?trunk=02161208234",
        "/api/v1/cdrs?number_prefix=1",
        "/api/v1/conversations?number_suffix=8",
        "/api/v1/events?extension=13012345678",
        "/api/v1/events/stream?extension=13012345678",
    ] {
        let problem = service.call(Method::GET, path, &viewer, None).await.problem(403, "forbidden");
        assert!(!problem.to_string().contains("13012345678"), "{problem}");
    }
    let found = service.call(Method::GET, "/api/v1/cdrs?extension=200&trunk=8001", &viewer, None).await;
    assert_eq!(found.status, 200, "{}", found.text);
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

/// Asks for an erasure and waits until it is done.
async fn erased(service: &Service, body: serde_json::Value) -> serde_json::Value {
    let erasure = service.post("/api/v1/erasures", body).await;
    assert_eq!(erasure.status, 202, "{}", erasure.text);
    let path = format!("/api/v1/erasures/{}", erasure.json()["id"].as_str().expect("an id"));
    service.until(&path, |erasure| erasure["state"] == "done").await
}

#[actix::test]
async fn what_asks_for_an_erasure_is_noted_without_the_number() {
    let service = Service::start().await;
    let asked = json!({"number": "130 9999 5678", "reason": "asked by 130 9999 5678 on 2026-11-20"});
    let erasure = erased(&service, asked).await;
    assert_eq!(erasure["reason"], "asked by 130 **** 5678 on 2026-11-20");
    // Also of what is refused.
    let body = json!({"number": "call 130 9999 5678", "reason": "130-9999-5678"});
    service.post("/api/v1/erasures?number=13099995678", body).await.problem(422, "invalid");
    service.post("/api/v1/%65rasures", json!({"number": 13_099_995_678_u64})).await;
    let page = service.get("/api/v1/audit").await.json();
    let bodies: Vec<_> =
        page["items"].as_array().expect("a list").iter().map(|entry| entry["details"].clone()).collect();
    let path = "/api/v1/erasures";
    assert_eq!(bodies[1], json!({"path": path, "body": {"bytes": 56}}));
    assert_eq!(bodies[2], json!({"path": path, "body": {"number": "130****5678"}}));
    assert!(!page.to_string().contains("9999"), "{page}");
    assert_eq!(places(&service, "13099995678").await, Vec::<String>::new());
    assert_eq!(places(&service, "130 9999 5678").await, Vec::<String>::new());
    service.app.stop().await;
}

#[actix::test]
async fn a_number_is_erased_however_it_was_written() {
    let service = Service::start().await;
    service.add_device("om").await;
    for (n, written) in
        ["0592-23678757", "(0592) 2367 8757", "059223678757", "0592-236787579"].iter().enumerate()
    {
        let record = RECORD.replace("13012345678", written).replace("4562017", &format!("458{n}2017"));
        service.report("om", &record).await;
    }
    service.until("/api/v1/cdrs", |page| !page["items"][3].is_null()).await;
    service.until("/api/v1/conversations", |page| !page["items"][0].is_null()).await;
    for number in ["0592-23678757", "0592%202367+8757"] {
        let page = service.get(&format!("/api/v1/cdrs.csv?number={number}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
    }
    let done = erased(&service, json!({"number": "0592.2367.8757"})).await;
    for written in ["0592-23678757\"", "0592) 2367 8757", "\"059223678757\"", "|059223678757|"] {
        assert_eq!(places(&service, written).await, Vec::<String>::new(), "{done}");
    }
    assert_eq!((&done["erased"]["cdrs"], &done["erased"]["audit"]), (&json!(3), &json!(2)), "{done}");
    let cdrs = service.get("/api/v1/cdrs").await.json();
    let items = cdrs["items"].as_array().expect("a list");
    let mut from: Vec<_> = items.iter().map(|cdr| cdr["from"].as_str().expect("text")).collect();
    from.sort_unstable();
    assert_eq!(from, ["(xxxx) xxxx xxxx", "0592-236787579", "xxxx-xxxxxxxx", "xxxxxxxxxxxx"]);
    // What records are found by has the other number as before, and no more.
    let index = |connection: &Connection| {
        let mut found = Vec::new();
        for table in ["cdr_party", "cdr_party_end", "conversation_party", "conversation_party_end"] {
            let mut statement = connection.prepare(&format!("SELECT number FROM {table}"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let number: String = row.get(0)?;
                if number.contains("2367") || number.contains("7632") {
                    found.push(number);
                }
            }
        }
        found.dedup();
        Ok(found)
    };
    let left = service.app.services.reader.query(index).await.expect("it is read");
    assert_eq!(left, ["0592-236787579", "0592236787579", "975787632-2950", "9757876322950"]);
    // Sums stay, and name nobody.
    let by_trunk = "/api/v1/statistics?group_by=trunk";
    let before = service.get(by_trunk).await.json();
    assert_eq!(before["items"][0]["trunk"], "02161208234", "{before}");
    let done = erased(&service, json!({"number": "02161208234"})).await;
    assert_eq!(done["erased"]["statistics"], 1, "{done}");
    let after = service.get(by_trunk).await.json();
    let struck = before["items"].to_string().replace("02161208234", "xxxxxxxxxxx");
    assert_eq!(after["items"].to_string(), struck);
    assert_eq!(places(&service, "02161208234").await, Vec::<String>::new());
    assert_eq!(service.get("/api/v1/audit/verify").await.json()["intact"], true);
    service.app.stop().await;
}

#[actix::test]
async fn erasures_are_paged_from_the_newest_on() {
    let service = Service::start().await;
    let mut asked = Vec::new();
    for n in 0..5 {
        let erasure =
            service.post("/api/v1/erasures", json!({"number": format!("1309999567{n}")})).await.json();
        asked.push(erasure["id"].as_str().expect("an id").to_owned());
    }
    asked.reverse();
    let (mut seen, mut path) = (Vec::new(), "/api/v1/erasures?limit=2".to_owned());
    loop {
        let page = service.get(&path).await.json();
        let items = page["items"].as_array().expect("a list").iter();
        seen.extend(items.map(|erasure| erasure["id"].as_str().expect("an id").to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/erasures?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, asked);
    service.app.stop().await;
}

/// A device's server of recordings: it says when it is asked, and gives a file once it may.
async fn recorder() -> (String, UnboundedReceiver<()>, UnboundedSender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (asked, is_asked) = unbounded_channel();
    let (give, mut is_given) = unbounded_channel();
    actix_rt::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a request"));
            }
            if asked.send(()).is_err() || is_given.recv().await.is_none() {
                return;
            }
            let samples = [0xD5; 88_000];
            let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", samples.len());
            stream.write_all(&[answer.as_bytes(), &samples].concat()).await.expect("it is sent");
        }
    });
    (address, is_asked, give)
}

async fn with_recorder(masked: Vec<Role>) -> (Service, UnboundedReceiver<()>, UnboundedSender<()>) {
    let service = Service::start_with(|config| {
        config.recordings.enabled = true;
        config.recordings.first_after_seconds = 0;
        config.privacy.mask_numbers_for = masked;
    })
    .await;
    service.add_device("om").await;
    let (address, asked, give) = recorder().await;
    let change = json!({ "recording_address": address });
    let changed =
        service.call(Method::PATCH, "/api/v1/devices/om", super::support::ADMIN, Some(change)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    (service, asked, give)
}

/// The recordings that are kept.
fn audio(service: &Service) -> Vec<std::path::PathBuf> {
    let (mut folders, mut files) = (vec![service.folder().join("recordings")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry").path();
            match entry.is_dir() {
                // What is being fetched is no recording yet.
                true if entry.ends_with(".parts") => {}
                true => folders.push(entry),
                false => files.push(entry),
            }
        }
    }
    files
}

#[actix::test]
async fn a_recording_that_is_erased_while_it_is_fetched_does_not_come_back() {
    let (service, mut asked, give) = with_recorder(Vec::new()).await;
    let recorded = RECORD.replace("</Cdr>", "<Recording>20170607/a.wav</Recording></Cdr>");
    service.report("om", &recorded).await;
    asked.recv().await.expect("it is fetched");
    let done = erased(&service, json!({"number": "13012345678"})).await;
    assert_eq!(done["erased"]["recordings"], 1, "{done}");
    let page = service.until("/api/v1/recordings", |page| page["items"][0]["state"] == "missing").await;
    let id = page["items"][0]["id"].as_str().expect("an id").to_owned();
    give.send(()).expect("it waits");
    let ended = async || service.get("/metrics").await.text.contains("\nswitchroom_recordings_pending 0\n");
    let ended = switchroom_test_support::eventually(std::time::Duration::from_secs(10), ended).await;
    assert!(ended, "the try goes on");
    assert_eq!(audio(&service), Vec::<std::path::PathBuf>::new());
    let meta = service.get(&format!("/api/v1/recordings/{id}/meta")).await.json();
    assert_eq!((&meta["state"], &meta["from"]), (&json!("missing"), &json!("xxxxxxxxxxx")), "{meta}");
    // Its name on the device is erased, too.
    let again = service.post(&format!("/api/v1/recordings/{id}/fetch"), json!({})).await;
    again.problem(409, "conflict");
    let events = service.get("/api/v1/events?limit=1000").await.text;
    assert!(!events.contains("recording.available"), "{events}");
    assert_eq!(places(&service, "13012345678").await, Vec::<String>::new());
    service.app.stop().await;
}

#[actix::test]
async fn what_came_of_a_recording_that_nobody_waits_for_goes_with_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let parts = folder.path().join("recordings/.parts");
    std::fs::create_dir_all(&parts).expect("a folder");
    let [waits, settled, unknown] = [1, 2, 3].map(|n| CdrId(uuid::Uuid::from_u64_pair(7, n)));
    let device = switchroom_domain::id::DeviceId::new("om").expect("an id");
    let later = crate::clock::now().plus(Millis::from_secs(3600));
    let recording = |id| Recording::new(id, device.clone(), "a.wav".into(), later);
    let missing = Recording { state: RecordingState::Missing, next_try_at: None, ..recording(settled) };
    let service = Service::start_in(folder, |_| {}).await;
    let all = [recording(waits), missing];
    let keep = move |connection: &mut Connection| {
        all.iter().try_for_each(|one| recordings::announce(connection, one))
    };
    service.app.services.store.run(keep).await.expect("they are kept");
    let part = |id: CdrId| parts.join(format!("{id}.part"));
    for id in [waits, settled, unknown] {
        std::fs::write(part(id), "half of it").expect("it is written");
    }
    let service = service.restart().await;
    let is_swept = async || !part(settled).exists() && !part(unknown).exists();
    assert!(switchroom_test_support::eventually(Duration::from_secs(10), is_swept).await);
    assert!(part(waits).exists(), "it is fetched on");
    service.app.stop().await;
}

#[actix::test]
async fn nothing_around_a_recording_or_a_report_tells_who_may_not_see_numbers() {
    let (service, mut asked, give) = with_recorder(vec![Role::Supervisor, Role::Operator]).await;
    let file = "20170607/13012345678_200_20170607_164801_85_cd.wav";
    service.report("om", &RECORD.replace("</Cdr>", &format!("<Recording>{file}</Recording></Cdr>"))).await;
    asked.recv().await.expect("it is fetched");
    give.send(()).expect("it waits");
    let page = service.until("/api/v1/recordings", |page| page["items"][0]["state"] == "available").await;
    let id = page["items"][0]["id"].as_str().expect("an id");
    let path = format!("/api/v1/recordings/{id}");
    let supervisor = service.token("supervisor", &[], &[]).await;
    let heard =
        service.client.get(service.url(&path)).bearer_auth(supervisor).send().await.expect("an answer");
    assert_eq!(heard.status(), 200);
    assert_eq!(heard.headers()["content-disposition"], format!("inline; filename=\"{id}.wav\""));
    let heard = service.client.get(service.url(&path)).bearer_auth(super::support::ADMIN).send().await;
    let heard = heard.expect("an answer");
    assert_eq!(
        heard.headers()["content-disposition"],
        "inline; filename=\"13012345678_200_20170607_164801_85_cd.wav\""
    );
    // A report that is no UTF-8: with the name of who calls, as GB2312 has it.
    let (head, tail) = RINGING.split_once("callid").expect("a caller");
    let report = [
        b"<Event attribute=\"RING\">".as_slice(),
        head.as_bytes(),
        b"name=\"\xD5\xC5\xC8\xFD\" callid",
        tail.as_bytes(),
        b"</Event>",
    ];
    service.report_bytes("om", &report.concat()).await;
    let calls = service.until("/api/v1/calls", |page| !page["items"][0].is_null()).await;
    let call = calls["items"][0]["id"].as_str().expect("an id");
    let operator = service.token("operator", &[], &[]).await;
    let timeline = format!("/api/v1/calls/{call}/timeline");
    service.until(&timeline, |timeline| timeline.to_string().contains("body_base64")).await;
    for path in [timeline.as_str(), "/api/v1/devices/om/reports"] {
        let seen = service.call(Method::GET, path, &operator, None).await.text;
        assert!(seen.contains("张三") && seen.contains("130****5678"), "{path}: {seen}");
        assert!(!seen.contains("body_base64") && !seen.contains("13012345678"), "{path}: {seen}");
        assert!(service.get(path).await.text.contains("body_base64"), "{path}");
    }
    let lines = service.client.get(service.url("/api/v1/devices/om/reports")).bearer_auth(operator);
    let lines = lines.header("Accept", "application/x-ndjson").send().await.expect("an answer");
    let lines = lines.text().await.expect("text");
    assert!(lines.contains("张三") && !lines.contains("body_base64"), "{lines}");
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
