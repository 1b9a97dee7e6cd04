//! The forwarding of call records: set up by the vendor's URL, acknowledged, kept in files; and the way back.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use switchroom::config::{Config, Span};
use switchroom_protocol::Dialect;
use switchroom_test_support::raw::{Act, Message, RawReceiver};
use switchroom_test_support::{Service, TOKEN, eventually, store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);
const SUCCESS: Act = Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsuccess");
const PASS: &str = "a-forwarding-password";

fn config(config: &mut Config) {
    config.outward.allow = vec!["127.0.0.0/8".parse().expect("a range")];
    config.cdr_forward.listen = Some("127.0.0.1:0".parse().expect("an address"));
    config.cdr_forward.password = Some(PASS.to_owned());
    config.cdr_forward.retry_schedule = vec![Span(Duration::from_millis(100))];
    config.commands.reconcile = false;
}

struct House {
    service: Service,
    client: reqwest::Client,
}

impl House {
    async fn start(folder: &Path) -> Self {
        switchroom::link::tls::install_provider();
        let service = Service::start_in(folder, config).expect("it starts");
        for id in ["om", "other"] {
            let zone = |settings: &mut switchroom::devices::DeviceSettings| {
                settings.timezone = "Asia/Shanghai".to_owned();
            };
            service.add_with(id, Dialect::Om, Default::default(), zone).await.expect("it is added");
        }
        Self { service, client: reqwest::Client::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.service.forward.expect("it listens"))
    }

    /// Status and text.
    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.client.get(self.url(path)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    async fn set(&self, query: &str) {
        let answer = self.get(&format!("/Auth?method=gw.config.set&{query}&pass={PASS}")).await;
        assert_eq!(answer, (200, "ok".to_owned()), "{query}");
    }

    /// A file that may be fetched with the password.
    async fn file(&self, name: &str) -> String {
        let (status, text) = self.get(&format!("/APICdr/{name}?pass={PASS}")).await;
        assert_eq!(status, 200, "{name}: {text}");
        text
    }

    async fn api(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("http://{}/api/v1{path}", self.service.api);
        let mut request = self.client.request(method, url).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = match body {
                Value::String(text) => request.header("Content-Type", "text/plain").body(text),
                body => request.json(&body),
            };
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn view(&self) -> Value {
        self.api(Method::GET, "/cdr-forwarding", None).await.1
    }

    /// Waits until the forwarding's ledger says so.
    async fn wait_for(&self, name: &str, count: u64) {
        let mut view = Value::Null;
        let there = eventually(PATIENCE, async || {
            view = self.view().await;
            view[name] == count && view["pending"] == 0
        });
        assert!(there.await, "{name} is not {count}: {view}");
    }

    /// Sends a report as a device does; gives what it is answered.
    async fn report(&self, device: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.service.reports).await.expect("it connects");
        let bytes = format!("GET /{device} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(bytes.as_bytes()).await.expect("it writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    async fn records(&self) -> BTreeSet<String> {
        let (_, page) = self.api(Method::GET, "/cdrs?limit=1000", None).await;
        let items = page["items"].as_array().expect("items");
        items.iter().map(|cdr| cdr["wire_id"].as_str().expect("an id").to_owned()).collect()
    }
}

fn cdr(id: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Cdr id=\"{id}\">\n  <callid>4{id}</callid>\n  \
         <TimeStart>20261121081201</TimeStart>\n  <Type>IN</Type>\n  <Route>IP</Route>\n  <CPN>13012345678</CPN>\n  \
         <CDPN>200</CDPN>\n  <TimeEnd>20261121081212</TimeEnd>\n  <Duration>11</Duration>\n</Cdr>\n"
    )
}

fn event(kind: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"{kind}\">\n  <ext id=\"200\" />\n</Event>\n"
    )
}

/// Today, as the device's clock says it.
fn today() -> String {
    jiff::Timestamp::now().in_tz("Asia/Shanghai").expect("a zone").strftime("%Y%m%d").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_set_up_by_the_vendors_url_and_by_nobody_without_the_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::start(folder.path()).await;
    assert_eq!(house.view().await["state"], "off");
    // The manual's example.
    house.set("api_server_addr=127.0.0.1:8888&&url=api/call.html&cdr=1&online=1&offline=1").await;
    let view = house.view().await;
    assert_eq!((&view["state"], &view["listens"]), (&json!("forwarding"), &json!(true)));
    assert_eq!(
        view["setting"],
        json!({"api_server_addr": "127.0.0.1:8888", "url": "api/call.html", "cdr": true, "online": true, "offline": true,
            "all": false, "wait": false, "voicekey": "*88", "savecall": false, "callday": 30, "filemin": 60})
    );
    for (query, status, word) in [
        (format!("method=gw.config.set&cdr=2&pass={PASS}"), 400, "cdr is 1 or 0"),
        (format!("method=gw.config.get&pass={PASS}"), 400, "gw.config.set"),
        (format!("method=gw.config.set&api_server_addr=10.9.9.9:1&pass={PASS}"), 400, "outward.allow"),
        ("method=gw.config.set&savecall=1".to_owned(), 401, "pass"),
    ] {
        let (got, text) = house.get(&format!("/Auth?{query}")).await;
        assert!(got == status && text.contains(word), "{query}: {got} {text}");
    }
    assert_eq!(house.view().await["setting"], view["setting"], "what was refused changed nothing");
    // It goes on after a restart, and an admin's token is a password, too.
    let House { mut service, client } = house;
    service.stop();
    drop((service, client));
    let house = House::start(folder.path()).await;
    assert_eq!(house.view().await["setting"], view["setting"]);
    let by_token = house.get(&format!("/Auth?method=gw.config.set&savecall=1&callday=7&pass={TOKEN}")).await;
    assert_eq!(by_token, (200, "ok".to_owned()));
    assert_eq!(house.view().await["state"], "keeping");
    house.set("").await;
    assert_eq!(house.view().await["state"], "off");
    let (_, audit) = house.api(Method::GET, "/audit?action=Auth", None).await;
    let audit = audit.to_string();
    assert!(
        audit.contains("api_server_addr") && !audit.contains(PASS),
        "who set it is noted, and how: {audit}"
    );
    // Who guesses has ten guesses a minute.
    let guess = || house.get("/Auth?method=gw.config.set&pass=admin");
    for _ in 0..10 {
        assert_eq!(guess().await.0, 401);
    }
    assert_eq!(guess().await.0, 429);
    let right = house.get(&format!("/Auth?method=gw.config.set&savecall=1&pass={PASS}")).await;
    assert_eq!(right.0, 429, "not even with the right one");
    assert_eq!(house.get("/nothing").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_taken_with_success_sent_twice_and_then_kept_in_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::start(folder.path()).await;
    let receiver = RawReceiver::start().await.expect("it listens");
    house.set(&format!("api_server_addr={}&url=api/call.html&cdr=1&wait=1", receiver.address)).await;
    receiver.act(|_| SUCCESS);
    assert!(house.report("om", &cdr("ok-0")).await.ends_with("\r\n\r\nsuccess"), "and so we answer a device");
    house.report("om", &event("BUSY")).await;
    house.wait_for("delivered", 1).await;
    let first = &receiver.messages()[0];
    assert_eq!(first.body(), cdr("ok-0"));
    let head = format!(
        "GET /api/call.html HTTP/1.1\r\nHost: 127.0.0.1\r\nCache-Control: no-cache\r\nContent-Length: {}\r\n\r\n",
        first.body().len()
    );
    assert!(first.text().starts_with(&head), "as a device sends it: {}", first.text());
    // It is bare, or comes at the second time.
    receiver.act(|_| Act::Say("success\n"));
    house.report("om", &cdr("bare-0")).await;
    house.wait_for("delivered", 2).await;
    let before = receiver.count();
    let tries = std::sync::atomic::AtomicUsize::new(0);
    receiver.act(move |_| match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => Act::Answer(200),
        _ => SUCCESS,
    });
    house.report("om", &cdr("second-0")).await;
    house.wait_for("delivered", 3).await;
    assert_eq!(receiver.count(), before + 2, "once more, and no more");
    // Whatever is not `success` is not.
    let file = format!("cdr_{}.txt", today());
    let mut expected = String::new();
    let refusals = [
        Act::Answer(200),
        Act::Answer(500),
        Act::Reset,
        Act::Close,
        Act::Silent,
        Act::Say("HTTP/1.1 200 OK\r\n\r\nfail"),
    ];
    for (n, act) in refusals.into_iter().enumerate() {
        let before = receiver.count();
        receiver.act(move |_| act);
        house.report(if n % 2 == 0 { "om" } else { "other" }, &cdr(&format!("no-{n}"))).await;
        house.wait_for("kept", n as u64 + 1).await;
        assert_eq!(receiver.count(), before + 2, "{act:?}: sent once more");
        expected.push_str(&cdr(&format!("no-{n}")));
    }
    assert_eq!(house.file(&file).await, expected);
    let of_other = house.get(&format!("/APICdr/{file}?device=other&pass={PASS}")).await.1;
    assert_eq!(of_other, [cdr("no-1"), cdr("no-3"), cdr("no-5")].concat());
    assert_eq!(house.file("").await, format!("{file}\n"));
    let (_, page) = house.api(Method::GET, "/cdr-forwarding/deliveries?state=kept", None).await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(6), "{page}");
    let (_, failed) = house.api(Method::GET, "/cdr-forwarding/deliveries?state=failed", None).await;
    assert_eq!(failed["items"], json!([]));
    let last = &page["items"][0];
    assert_eq!(last["note"], format!("kept in APICdr/{file}"), "{last}");
    assert_eq!(last["attempts"].as_array().map(Vec::len), Some(2), "{last}");
    // The application server itself may fetch it without a password; whoever else may not.
    assert_eq!(house.get(&format!("/APICdr/{file}")).await.0, 200);
    house.set("savecall=1").await;
    // Nor an admin who is limited to a device: files are of all.
    let limited = json!({"name": "x", "role": "admin", "devices": ["om"]});
    let limited = house.api(Method::POST, "/tokens", Some(limited)).await.1;
    let pass = limited["token"].as_str().expect("a token");
    let refused = house.get(&format!("/APICdr/{file}?pass={pass}")).await;
    assert!(refused.0 == 401 && refused.1.contains("not limited"), "{refused:?}");
    for path in [format!("/APICdr/{file}"), "/APICdr/".to_owned(), format!("/APICdr/{file}?pass=wrong")] {
        assert_eq!(house.get(&path).await.0, 401, "{path}");
    }
    for path in ["cdr_20250101.txt", "20250101/cdr_08.txt", "../switchroom.db", "cdr_x.txt"] {
        assert_eq!(house.get(&format!("/APICdr/{path}?pass={PASS}")).await.0, 404, "{path}");
    }
    // A number that is erased is in no file any more.
    let erasure = house.api(Method::POST, "/erasures", Some(json!({"number": "13012345678"}))).await.1;
    let path = format!("/erasures/{}", erasure["id"].as_str().expect("an id"));
    let mut done = Value::Null;
    let erased = eventually(PATIENCE, async || {
        done = house.api(Method::GET, &path, None).await.1;
        done["state"] == "done"
    });
    assert!(erased.await, "{done}");
    assert_eq!(done["erased"]["kept_cdrs"], 6, "{done}");
    assert_eq!(house.file(&file).await, expected.replace("13012345678", "xxxxxxxxxxx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_wait_nothing_is_waited_for_and_only_what_is_wanted_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::start(folder.path()).await;
    let receiver = RawReceiver::start().await.expect("it listens");
    receiver.act(|_| Act::Silent);
    let reports = [event("ONLINE"), event("OFFLINE"), event("BUSY"), cdr("a")];
    let mut before = 0;
    for (wanted, expected) in [
        ("cdr=1", vec![3]),
        ("online=1", vec![0]),
        ("offline=1&cdr=1", vec![1, 3]),
        ("all=1", vec![0, 1, 2, 3]),
        ("cdr=0", vec![0, 1, 2, 3]),
    ] {
        house.set(&format!("api_server_addr={}&{wanted}", receiver.address)).await;
        // A record that was there is known again, and not passed on.
        let last = cdr(wanted);
        // What is wanted comes last: when it is there, all was read by this setting and not by the next.
        let (mut all, mut last_ones) = (Vec::new(), Vec::new());
        for (n, report) in reports[..3].iter().chain([&last]).enumerate() {
            if expected.contains(&n) { last_ones.push(report) } else { all.push(report) }
        }
        all.append(&mut last_ones);
        for report in all {
            house.report("om", report).await;
        }
        let mut expected: Vec<String> =
            expected.into_iter().map(|n| if n == 3 { last.clone() } else { reports[n].clone() }).collect();
        expected.sort();
        let there = eventually(PATIENCE, async || receiver.count() >= before + expected.len());
        assert!(there.await, "{wanted}: {} came", receiver.count() - before);
        let mut got: Vec<String> = receiver.messages()[before..].iter().map(Message::body).collect();
        // Nobody waits for a word: each is on a connection of its own, and one may be read before another.
        got.sort();
        assert_eq!(got, expected, "{wanted}");
        before = receiver.count();
    }
    // Reports that are no records are given up, and are in no file.
    let address = receiver.address;
    drop(receiver);
    house.set(&format!("api_server_addr={address}&all=1")).await;
    house.report("om", &event("BUSY")).await;
    house.report("om", &cdr("z")).await;
    house.wait_for("failed", 1).await;
    house.wait_for("kept", 1).await;
    assert_eq!(house.file(&format!("cdr_{}.txt", today())).await, cdr("z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn savecall_keeps_every_record_in_files_of_the_minutes_and_for_the_days_that_are_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::start(folder.path()).await;
    house.set("savecall=1").await;
    let hour = || jiff::Timestamp::now().in_tz("Asia/Shanghai").expect("a zone");
    // The hour must not end in between.
    let names =
        |at: jiff::Zoned| (at.strftime("%Y%m%d").to_string(), at.strftime("%Y%m%d/cdr_%H.txt").to_string());
    let (mut day, mut name) = names(hour());
    for id in ["a", "b"] {
        house.report("om", &cdr(id)).await;
    }
    house.report("om", &event("BUSY")).await;
    house.wait_for("kept", 2).await;
    if names(hour()) == (day.clone(), name.clone()) {
        assert_eq!(house.file(&name).await, [cdr("a"), cdr("b")].concat());
        let (_, in_folder) = name.split_once('/').expect("a folder");
        assert_eq!(house.file(&format!("{day}/")).await, format!("{in_folder}\n"));
        let of_failed = format!(
            "INSERT INTO kept_cdr (cursor, device, day, minute, span, body) VALUES (-7, 'om', {day}, 0, NULL, 'x')"
        );
        assert_eq!(store::execute(folder.path(), &of_failed), 1);
        assert_eq!(house.file(&format!("{day}/")).await, format!("{in_folder}\n"), "not in the folder");
        assert_eq!(house.file("").await, format!("cdr_{day}.txt\n{name}\n"));
        let answer = house.get(&format!("/APICdr/{day}/?pass={PASS}&foo=x")).await;
        assert!(answer.0 == 400 && answer.1.contains("foo"), "{answer:?}");
        let (_, page) = house.api(Method::GET, "/cdr-forwarding/deliveries", None).await;
        assert_eq!(page["items"][0]["state"], "kept", "{page}");
        assert_eq!(store::execute(folder.path(), "DELETE FROM kept_cdr WHERE cursor = -7"), 1);
    }
    house.set("savecall=1&filemin=10&callday=2").await;
    house.report("om", &cdr("c")).await;
    house.wait_for("kept", 3).await;
    let of_ten = house.file("").await;
    let of_ten = of_ten
        .lines()
        .find(|line| line.len() == "20261121/cdr_0810.txt".len())
        .expect("a file of ten minutes");
    assert_eq!(house.file(of_ten).await, cdr("c"));
    assert!(of_ten.ends_with("0.txt"), "{of_ten}");
    // Files go with their days, and nothing else does.
    let old = |days: i64| {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
        at.in_tz("Asia/Shanghai")
            .expect("a zone")
            .strftime("%Y%m%d")
            .to_string()
            .parse::<i64>()
            .expect("a number")
    };
    for days in [1, 4] {
        let day = old(days);
        let sql = format!(
            "INSERT INTO kept_cdr (cursor, device, day, minute, span, body) VALUES (-{day}, 'om', {day}, 0, NULL, 'x')"
        );
        assert_eq!(store::execute(folder.path(), &sql), 1);
    }
    let House { mut service, client } = house;
    service.stop();
    drop((service, client));
    // Looked at when it starts.
    let house = House::start(folder.path()).await;
    let gone = eventually(PATIENCE, async || {
        (day, name) = (old(4).to_string(), house.file("").await);
        !name.contains(&day)
    });
    assert!(gone.await, "{name}");
    assert!(name.contains(&format!("cdr_{}.txt", old(1))), "{name}");
    assert!(name.contains(of_ten), "{name}");
}

/// One service is the device of another: what that misses is imported from the files of the first, and the report says so.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_forwarded_and_what_is_in_files_is_all_there_was() {
    let (near, far) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let device = House::start(near.path()).await;
    let house = House::start(far.path()).await;
    // The way between them breaks now and then.
    let wire = RawReceiver::before(house.service.reports).await.expect("it listens");
    let target = |address| format!("api_server_addr={address}&url=om&cdr=1&wait=1");
    device.set(&target(wire.address)).await;
    for n in 0..5 {
        device.report("om", &cdr(&format!("there-{n}"))).await;
    }
    device.wait_for("delivered", 5).await;
    let address = wire.address;
    drop(wire);
    for n in 0..4 {
        device.report("om", &cdr(&format!("lost-{n}"))).await;
    }
    device.wait_for("kept", 4).await;
    let wire = RawReceiver::before(house.service.reports).await.expect("it listens");
    assert_ne!(wire.address, address);
    device.set(&target(wire.address)).await;
    device.report("om", &cdr("back-0")).await;
    device.wait_for("delivered", 6).await;
    let all = device.records().await;
    assert_eq!(all.len(), 10);
    let arrived = eventually(PATIENCE, async || house.records().await.len() == 6);
    assert!(arrived.await, "{:?}", house.records().await);

    // The calls of today that never came, from the file; twice, and with those that came.
    let name = format!("cdr_{}.txt", today());
    let url = device.url(&format!("/APICdr/{name}?pass={PASS}"));
    let path = "/devices/om/cdr-files";
    let (status, view) = house.api(Method::POST, path, Some(json!({ "url": url }))).await;
    assert_eq!(status, 200, "{view}");
    let counts = |view: &Value| {
        let count = |name: &str| view[name].as_u64().expect("a count");
        (count("records"), count("known"), count("taken"), count("unreadable"))
    };
    assert_eq!(counts(&view), (4, 0, 4, 0), "{view}");
    assert_eq!(house.records().await, all);
    let (_, view) = house.api(Method::POST, path, Some(json!({ "url": url }))).await;
    assert_eq!(counts(&view), (4, 4, 0, 0), "{view}");
    let text = format!("{}{}<Cdr id=\"cut\">", cdr("there-0"), cdr("there-0"));
    let (_, view) = house.api(Method::POST, path, Some(Value::String(text))).await;
    assert_eq!(counts(&view), (1, 1, 0, 1), "{view}");
    let (_, page) =
        house.api(Method::GET, "/devices/om/completeness?since=2026-11-21&until=2026-11-21", None).await;
    let day = &page["items"][0];
    let expected =
        json!({"day": "2026-11-21", "filed": 5, "arrived": 1, "imported": 4, "missing": 0, "complete": true});
    for (name, value) in expected.as_object().expect("fields") {
        assert_eq!(&day[name], value, "{name}: {day}");
    }
    let (_, page) = house.api(Method::GET, "/devices/om/completeness?since=2026-11-22", None).await;
    assert_eq!(page["items"], json!([]));
    // Each is there once, and stands for a call.
    let (_, page) = house.api(Method::GET, "/cdrs?limit=1000", None).await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(10));
    assert!(page["items"].as_array().expect("items").iter().all(|cdr| cdr["received_at"].is_string()));
    for (path, body, status) in [
        ("/devices/om/cdr-files", json!({}), 422),
        ("/devices/om/cdr-files", json!({"url": "http://10.9.9.9/x"}), 422),
        ("/devices/om/cdr-files", json!({"url": device.url("/APICdr/cdr_20200101.txt")}), 422),
        ("/devices/nobody/cdr-files", json!({"url": url}), 404),
    ] {
        assert_eq!(house.api(Method::POST, path, Some(body.clone())).await.0, status, "{path} {body}");
    }
}

/// A record of yesterday that no report told of: when its call was, how long they talked, and what explains it.
#[tokio::test(flavor = "multi_thread")]
async fn an_imported_record_stands_for_a_call_of_its_own_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::start(folder.path()).await;
    let yesterday =
        jiff::Timestamp::now().in_tz("Asia/Shanghai").expect("a zone").yesterday().expect("a day");
    let (day, local) = (yesterday.date(), yesterday.strftime("%Y%m%d"));
    let file = format!(
        "<Cdr id=\"y-0\"><callid>9</callid><TimeStart>{local}150000</TimeStart><Type>IN</Type><Route>IP</Route>\
         <CPN>13012345678</CPN><CDPN>200</CDPN><TimeEnd>{local}150100</TimeEnd><Duration>45</Duration></Cdr>"
    );
    let at = |hour: i8, minute: i8, second: i8| {
        let local = day.at(hour, minute, second, 0).in_tz("Asia/Shanghai").expect("a time");
        local.timestamp()
    };
    let (status, view) =
        house.api(Method::POST, "/devices/om/cdr-files", Some(Value::String(file.clone()))).await;
    assert_eq!((status, &view["known"], &view["taken"]), (200, &json!(0), &json!(1)), "{view}");
    let mut page = Value::Null;
    let told = eventually(PATIENCE, async || {
        page = house.api(Method::GET, "/conversations", None).await.1;
        page["items"].as_array().is_some_and(|items| !items.is_empty())
    });
    assert!(told.await, "{page}");
    let conversation = &page["items"][0];
    let time = |name: &str| conversation[name].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    assert_eq!(time("started_at"), Some(at(15, 0, 0)), "{conversation}");
    assert_eq!(time("answered_at"), Some(at(15, 0, 15)), "{conversation}");
    assert_eq!(time("ended_at"), Some(at(15, 1, 0)), "{conversation}");
    assert_eq!(conversation["talk_seconds"], 45.0, "{conversation}");
    // The sums of that hour, and nothing of today.
    let (since, until) = (at(15, 0, 0), at(16, 0, 0));
    let sums = house.api(Method::GET, &format!("/statistics?since={since}&until={until}"), None).await.1;
    let line = &sums["items"][0];
    assert_eq!((&line["answered"], &line["talk_seconds"]), (&json!(1), &json!(45.0)), "{sums}");
    let call = conversation["id"].as_str().expect("an id");
    let timeline = house.api(Method::GET, &format!("/calls/{call}/timeline"), None).await.1;
    assert_eq!(timeline["conversation"]["id"], call, "{timeline}");
    let entries = timeline["entries"].as_array().expect("entries");
    let names: Vec<&str> = entries.iter().filter_map(|entry| entry["report"]["name"].as_str()).collect();
    let kinds: Vec<&str> = entries.iter().filter_map(|entry| entry["event"]["type"].as_str()).collect();
    assert_eq!(names, ["cdr_filed"], "{timeline}");
    assert_eq!(kinds, ["switchroom.cdr.recorded", "switchroom.conversation.completed"], "{timeline}");

    // As it is to who is in it, and to nobody else.
    for (extension, status) in [("200", 200), ("205", 404)] {
        let agent = json!({"name": "x", "role": "agent", "extensions": [extension]});
        let token = house.api(Method::POST, "/tokens", Some(agent)).await.1["token"].clone();
        let url = format!("http://{}/api/v1/calls/{call}/timeline", house.service.api);
        let request = house.client.get(url).bearer_auth(token.as_str().expect("a token"));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{extension}");
        let text = answer.text().await.expect("text");
        assert_eq!(text.contains("cdr_filed"), status == 200, "{text}");
    }
    // Once more it is known here, and the day says that it came from a file.
    let (_, view) = house.api(Method::POST, "/devices/om/cdr-files", Some(Value::String(file))).await;
    assert_eq!((&view["known"], &view["taken"]), (&json!(1), &json!(0)), "{view}");
    let day = &view["days"][0];
    assert_eq!((&day["arrived"], &day["imported"]), (&json!(0), &json!(1)), "{view}");
}

/// What holds no record is refused, and by which types a file can be sent is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_records_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::start(folder.path()).await;
    let path = "/devices/om/cdr-files";
    for text in ["", "hello", "<!doctype html><html><body>404</body></html>"] {
        let (status, problem) = house.api(Method::POST, path, Some(Value::String(text.to_owned()))).await;
        assert_eq!(status, 422, "{text}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("<Cdr")), "{problem}");
    }
    let timeless = "<Cdr id=\"a\"><callid>2</callid><TimeStart>xx</TimeStart><Type>OU</Type></Cdr>";
    let (status, view) = house.api(Method::POST, path, Some(Value::String(timeless.to_owned()))).await;
    assert_eq!((status, &view["taken"], &view["unreadable"]), (200, &json!(0), &json!(1)), "{view}");
    let send = async |kind: &str, body: String| {
        let url = format!("http://{}/api/v1{path}", house.service.api);
        let request = house.client.post(url).bearer_auth(TOKEN).header("Content-Type", kind).body(body);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    for (kind, status) in [
        ("application/xml", 200),
        ("text/xml; charset=utf-8", 200),
        ("application/octet-stream", 200),
        ("image/png", 400),
        ("application/json", 400),
    ] {
        let answer = send(kind, cdr("x-0")).await;
        assert_eq!(answer.0, status, "{kind}: {}", answer.1);
    }
    assert!(send("image/png", cdr("x-0")).await.1.contains("application/octet-stream"));
}
