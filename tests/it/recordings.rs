//! Recordings, from a simulated device's call to the ears of those who may hear it.

use std::path::Path;
use std::time::Duration;

use reqwest::header::HeaderMap;
use ring::digest;
use serde_json::{Value, json};
use switchroom::config::{Config, S3Config};
use switchroom_simulator::RecordingFault;
use switchroom_test_support::s3::Bucket;
use switchroom_test_support::{Service, TOKEN, eventually, store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::House;

const PATIENCE: Duration = Duration::from_secs(20);

/// Recordings on, and tried soon.
fn recording(config: &mut Config) {
    config.recordings.enabled = true;
    config.recordings.first_after_seconds = 0;
    config.recordings.retry_after_seconds = vec![1; 5];
}

async fn house(folder: &Path, change: impl FnOnce(&mut Config)) -> House {
    switchroom::link::tls::install_provider();
    let service = Service::start_in(folder, |config| {
        recording(config);
        change(config);
    });
    let soon = |config: &mut switchroom_simulator::FleetConfig| {
        config.talk = Duration::from_secs(1);
        config.recordings.ready_after = Duration::from_secs(1);
    };
    House::with(service.expect("the service starts"), soon).await
}

/// A call inside of a house that was talked in for a moment; it leaves two records with a recording each.
async fn call(house: &House) -> String {
    let command = house.dial("200", "201").await;
    let call = house.call_of(&command).await;
    let over = eventually(PATIENCE, async || house.state_of_call(&call).await == "ended");
    assert!(over.await, "the call did not end");
    call
}

/// The recordings of a call once there are so many in this state.
async fn recordings(house: &House, call: &str, state: &str, count: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let path = format!("/recordings?call={call}&state={state}");
    let enough = eventually(PATIENCE, async || {
        items = house.get(&path).await["items"].as_array().expect("items").clone();
        items.len() >= count
    });
    let enough = enough.await;
    assert!(enough, "not {state}: {} of {}", house.get("/recordings").await, house.get("/cdrs").await);
    items
}

/// The events of a kind, by recording, once there are so many.
async fn events(house: &House, kind: &str, count: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let path = format!("/events?kind={kind}&limit=1000");
    let told = eventually(PATIENCE, async || {
        items = house.get(&path).await["items"].as_array().expect("items").clone();
        items.len() >= count
    });
    assert!(told.await, "{items:?}");
    items
}

struct Heard {
    status: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

async fn hear(house: &House, method: &str, id: &str, token: &str, headers: &[(&str, &str)]) -> Heard {
    let url = format!("http://{}/api/v1/recordings/{id}", house.service.api);
    let method = method.parse().expect("a method");
    let mut request = reqwest::Client::new().request(method, url).bearer_auth(token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("the API answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Heard { status, headers, bytes: response.bytes().await.expect("a body").to_vec() }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

async fn token(house: &House, role: &str, extensions: &[&str]) -> String {
    let body = json!({"name": role, "role": role, "extensions": extensions});
    let made = house.send("POST", "/tokens", Some(body), &[]).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.body["token"].as_str().expect("a token").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_fetched_checked_and_played_to_those_who_may_hear_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = house(folder.path(), |_| {}).await;
    let call = call(&house).await;
    let found = recordings(&house, &call, "available", 2).await;
    let cdrs = house.get("/cdrs").await;
    for recording in &found {
        let id = &recording["id"];
        let cdr = cdrs["items"].as_array().expect("items").iter().find(|cdr| cdr["id"] == *id);
        let cdr = cdr.expect("its id is its record's");
        assert_eq!((&recording["file"], &recording["from"]), (&cdr["recording"], &cdr["from"]));
        assert_eq!(recording["matches_duration"], true, "{recording}");
        let seconds = recording["seconds"].as_f64().expect("seconds");
        let size = recording["size"].as_u64().expect("a size");
        assert_eq!((seconds * 8000.0).round() as u64 / 2, (size - 44) / 2, "{recording}");
        let stored = folder.path().join("recordings").join(recording["stored_as"].as_str().expect("a name"));
        let file = std::fs::read(stored).expect("it is on disk");
        assert_eq!(sha256(&file), recording["sha256"].as_str().expect("a hash"));
    }
    // Played, whole and in part.
    let (id, size) = (found[0]["id"].as_str().expect("an id"), found[0]["size"].as_u64().expect("a size"));
    let whole = hear(&house, "GET", id, TOKEN, &[]).await;
    assert_eq!((whole.status, &whole.headers["content-type"]), (200, &"audio/wav".parse().expect("a value")));
    assert_eq!(sha256(&whole.bytes), found[0]["sha256"].as_str().expect("a hash"));
    assert!(whole.headers["content-disposition"].to_str().is_ok_and(|name| name.contains(".wav\"")));
    // Who has it already is not given it again.
    let etag = whole.headers["etag"].to_str().expect("text").to_owned();
    for (tags, status) in [
        (etag.clone(), 304),
        (format!("\"other\", W/{etag}"), 304),
        ("*".to_owned(), 304),
        ("\"other\"".to_owned(), 200),
    ] {
        let again = hear(&house, "GET", id, TOKEN, &[("If-None-Match", &tags)]).await;
        assert_eq!((again.status, again.bytes.is_empty()), (status, status == 304), "{tags}");
        assert_eq!(again.headers["etag"], etag, "{tags}");
    }
    let part = hear(&house, "GET", id, TOKEN, &[("Range", "bytes=10-59")]).await;
    assert_eq!((part.status, part.bytes.as_slice()), (206, &whole.bytes[10..60]));
    assert_eq!(part.headers["content-range"], format!("bytes 10-59/{size}"));
    let beyond = hear(&house, "GET", id, TOKEN, &[("Range", &format!("bytes={size}-"))]).await;
    assert_eq!(
        (beyond.status, &beyond.headers["content-range"]),
        (416, &format!("bytes */{size}").parse().expect("a value"))
    );
    let head = hear(&house, "HEAD", id, TOKEN, &[]).await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    assert_eq!(head.headers["content-length"], size.to_string());
    // Who may hear it, and who may only know of it.
    let own = token(&house, "agent", &["200"]).await;
    let other = token(&house, "agent", &["205"]).await;
    let statuses = [
        (token(&house, "supervisor", &[]).await, 200),
        (own, 200),
        (other.clone(), 404),
        (token(&house, "viewer", &[]).await, 403),
        (token(&house, "operator", &[]).await, 403),
        ("no token".to_owned(), 401),
    ];
    for (token, status) in statuses {
        assert_eq!(hear(&house, "GET", id, &token, &[]).await.status, status, "{token}");
    }
    let meta = hear(&house, "GET", &format!("{id}/meta"), &other, &[]).await;
    assert_eq!(meta.status, 404, "what an agent may not hear of is not there");
    // Told, once each, in its device's order.
    let told = events(&house, "recording.available", 2).await;
    let ids: Vec<&Value> = told.iter().map(|event| &event["data"]["cdr"]).collect();
    assert!(ids.len() == 2 && found.iter().all(|recording| ids.contains(&&recording["id"])), "{told:?}");
    assert_eq!((&told[0]["data"]["call"], &told[0]["source"]), (&json!(call), &json!("/devices/sim-1")));
    // It is here: it is not fetched again.
    let again = house.send("POST", &format!("/recordings/{id}/fetch"), None, &[]).await;
    assert_eq!(again.status, 409, "{}", again.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_kept_in_a_bucket_and_wait_for_it() {
    switchroom::link::tls::install_provider();
    let mut bucket = Bucket::start().await.expect("an S3 service");
    let folder = tempfile::tempdir().expect("a folder");
    let house = house(folder.path(), |config| {
        config.recordings.s3 = Some(S3Config {
            bucket: "calls".to_owned(),
            prefix: "hotel".to_owned(),
            endpoint: Some(bucket.endpoint()),
            access_key_id: Some("id".to_owned()),
            secret_access_key: Some("secret".to_owned()),
            region: None,
        });
    })
    .await;
    let first = call(&house).await;
    let found = recordings(&house, &first, "available", 2).await;
    for recording in &found {
        // It is in the bucket under its name, for whoever else reads it there, and nowhere here.
        let name = recording["stored_as"].as_str().expect("a name");
        let object = bucket.get(&format!("hotel/{name}")).await.expect("it is there");
        assert_eq!(sha256(&object), recording["sha256"].as_str().expect("a hash"));
        assert!(!folder.path().join("recordings").join(name).exists());
    }
    let parts = std::fs::read_dir(folder.path().join("recordings/.parts")).expect("the folder of parts");
    assert_eq!(parts.count(), 0, "nothing is left here");
    let id = found[0]["id"].as_str().expect("an id");
    let whole = hear(&house, "GET", id, TOKEN, &[]).await;
    assert_eq!(
        (whole.status, sha256(&whole.bytes).as_str()),
        (200, found[0]["sha256"].as_str().expect("a hash"))
    );
    let part = hear(&house, "GET", id, TOKEN, &[("Range", "bytes=100-")]).await;
    assert_eq!((part.status, part.bytes.as_slice()), (206, &whole.bytes[100..]));

    // The bucket is away: what is fetched meanwhile is not given up, however often it was tried.
    bucket.stop();
    assert_eq!(hear(&house, "GET", id, TOKEN, &[]).await.status, 503);
    let second = call(&house).await;
    let is_kept_waiting = |recording: &Value| {
        recording["error"].as_str().is_some_and(|error| error.contains("cannot be written here"))
    };
    let mut waiting = Vec::new();
    let tried = eventually(PATIENCE, async || {
        waiting = recordings(&house, &second, "announced", 0).await;
        waiting.len() == 2 && waiting.iter().all(is_kept_waiting)
    });
    assert!(tried.await, "{waiting:?}");
    bucket.resume().await.expect("it is there again");
    for recording in &waiting {
        let path = format!("/recordings/{}/fetch", recording["id"].as_str().expect("an id"));
        assert_eq!(house.send("POST", &path, None, &[]).await.status, 202);
    }
    recordings(&house, &second, "available", 2).await;
    // It began empty.
    assert_eq!(hear(&house, "GET", id, TOKEN, &[]).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_missing_after_the_last_try_and_can_be_asked_for_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = house(folder.path(), |config| config.recordings.retry_after_seconds = vec![1, 1]).await;
    house.fleet.set_recording_fault("sim-1", RecordingFault::Missing, 0).expect("a device");
    let call = call(&house).await;
    let found = recordings(&house, &call, "missing", 2).await;
    assert!(found.iter().all(|recording| recording["tries"] == 3), "{found:?}");
    let told = events(&house, "recording.missing", 2).await;
    assert!(
        told[0]["data"]["reason"].as_str().is_some_and(|why| why.contains("does not have it")),
        "{told:?}"
    );
    let id = found[0]["id"].as_str().expect("an id");
    assert_eq!(hear(&house, "GET", id, TOKEN, &[]).await.status, 404);
    // The device has it after all.
    house.fleet.set_recording_fault("sim-1", RecordingFault::None, 0).expect("a device");
    let viewer = token(&house, "viewer", &[]).await;
    assert_eq!(hear(&house, "POST", &format!("{id}/fetch"), &viewer, &[]).await.status, 403);
    let asked = house.send("POST", &format!("/recordings/{id}/fetch"), None, &[]).await;
    assert_eq!(asked.status, 202, "{}", asked.body);
    recordings(&house, &call, "available", 1).await;
    assert_eq!(hear(&house, "GET", id, TOKEN, &[]).await.status, 200);
    events(&house, "recording.available", 1).await;
    let metrics = reqwest::get(format!("http://{}/metrics", house.service.api)).await.expect("metrics");
    let metrics = metrics.text().await.expect("text");
    for line in [
        "switchroom_recordings_total{outcome=\"available\"} 1",
        "switchroom_recordings_total{outcome=\"missing\"} 2",
        "switchroom_recordings_pending 0",
    ] {
        assert!(metrics.contains(line), "{line} is missing");
    }
    // Of one whose name was erased with a number nothing can be fetched.
    let erased =
        "UPDATE recording SET body = replace(body, '.wav', 'xxxxxxxxxxx.wav') WHERE state = 'missing'";
    assert_eq!(store::execute(folder.path(), erased), 1);
    let other = found[1]["id"].as_str().expect("an id");
    let answer = house.send("POST", &format!("/recordings/{other}/fetch"), None, &[]).await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert!(
        answer.body["detail"].as_str().is_some_and(|detail| detail.contains("erased")),
        "{}",
        answer.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_is_fetched_on_after_a_restart_and_not_from_its_beginning() {
    let folder = tempfile::tempdir().expect("a folder");
    // Until the restart nothing is tried a second time.
    let mut house = house(folder.path(), |config| {
        config.recordings.first_after_seconds = 2;
        config.recordings.retry_after_seconds = vec![5, 1, 1];
    })
    .await;
    house.fleet.set_recording_fault("sim-1", RecordingFault::Cut, 2).expect("a device");
    let call = call(&house).await;
    let cut = eventually(PATIENCE, async || {
        let page = house.get(&format!("/recordings?call={call}&state=announced")).await;
        let items = page["items"].as_array().expect("items");
        items.iter().filter(|item| item["error"].as_str().is_some_and(|why| why.contains("bytes of"))).count()
            == 2
    });
    assert!(cut.await, "{}", house.get("/recordings").await);
    house.service.stop();
    // What is kept of it is told from what the device sends by one changed byte.
    let parts = std::fs::read_dir(folder.path().join("recordings/.parts")).expect("parts");
    let parts: Vec<_> = parts.map(|part| part.expect("a part").path()).collect();
    assert_eq!(parts.len(), 2, "{parts:?}");
    for part in &parts {
        let mut bytes = std::fs::read(part).expect("it is read");
        let last = bytes.len() - 1;
        assert!(last > 44, "something came before it was cut off");
        bytes[last] = 0x11;
        std::fs::write(part, bytes).expect("it is written");
    }
    let restarted = Service::start_in(folder.path(), recording).expect("the service starts");
    house.service = restarted;
    let found = recordings(&house, &call, "available", 2).await;
    for recording in &found {
        let heard = hear(&house, "GET", recording["id"].as_str().expect("an id"), TOKEN, &[]).await;
        assert_eq!(sha256(&heard.bytes), recording["sha256"].as_str().expect("a hash"));
        assert_eq!(heard.bytes.iter().filter(|byte| **byte == 0x11).count(), 1, "it was fetched on");
        assert_eq!(recording["matches_duration"], true, "{recording}");
    }
    assert_eq!(house.fleet.downloads("sim-1").expect("a device"), 4);
    events(&house, "recording.available", 2).await;
}

/// Reports a record with such a recording, as a device would.
async fn report(service: &Service, number: usize, file: &str) {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Cdr id=\"{number}20171116163556-0\"><callid>85</callid>\
         <TimeStart>20171116163549</TimeStart><Type>IN</Type><Route>IP</Route><CPN>18201008888</CPN>\
         <CDPN>200</CDPN><TimeEnd>20171116163556</TimeEnd><Duration>6</Duration><TrunkNumber></TrunkNumber>\
         <Recording>{file}</Recording></Cdr>\n"
    );
    let mut stream = tokio::net::TcpStream::connect(service.reports).await.expect("it listens");
    let head = format!("GET /sim-1 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await.expect("it is sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_leave_their_folder_are_never_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = house(folder.path(), |config| config.recordings.retry_after_seconds = Vec::new()).await;
    let names = ["../../etc/passwd", "/etc/passwd", "20171116/../../x.wav", "a\\..\\b", "a//b"];
    for (number, name) in names.into_iter().enumerate() {
        report(&house.service, number, name).await;
    }
    // One that is as it should be, and not there.
    report(&house.service, names.len(), "20171116/+8618201008888_200_85_cd.wav").await;
    let told = events(&house, "recording.missing", names.len() + 1).await;
    let of =
        |file: &str| told.iter().find(|event| event["data"]["recording"] == file).expect("it is told of");
    for name in names {
        let why = of(name)["data"]["reason"].as_str().expect("a reason").to_owned();
        assert!(why.contains("its name is none that a device gives"), "{name}: {why}");
    }
    let good = of("20171116/+8618201008888_200_85_cd.wav")["data"]["reason"].clone();
    assert_eq!(good, "the device does not have it, or not yet");
    assert_eq!(house.fleet.downloads("sim-1").expect("a device"), 0);
    // Devices that are left out have none.
    let left_out = house.send("PATCH", "/devices/sim-1", Some(json!({"fetch_recordings": false})), &[]).await;
    assert_eq!(left_out.body["fetch_recordings"], false, "{}", left_out.body);
    report(&house.service, 77, "20171116/late_cd.wav").await;
    let told = events(&house, "cdr.recorded", names.len() + 2).await;
    let last =
        told.iter().find(|event| event["data"]["recording"] == "20171116/late_cd.wav").expect("it came");
    let id = last["data"]["cdr"].as_str().expect("an id");
    assert_eq!(house.send("GET", &format!("/recordings/{id}/meta"), None, &[]).await.status, 404);
    // Unless somebody asks for that one.
    let asked = house.send("POST", &format!("/recordings/{id}/fetch"), None, &[]).await;
    assert_eq!(asked.status, 202, "{}", asked.body);
    events(&house, "recording.missing", names.len() + 2).await;
}
