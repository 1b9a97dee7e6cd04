//! A PostgreSQL that fails: connections that end, commits of which nobody hears, a server that is away for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use switchroom::storage::records::{Kind, Query};
use switchroom::storage::{EventQuery, Location, Reader};
use switchroom_domain::event::EventKind;
use switchroom_domain::view::CdrView;
use switchroom_protocol::Dialect;
use switchroom_test_support::postgres::Server;
use switchroom_test_support::postgres_between::{Between, Cut};
use switchroom_test_support::{Service, TOKEN, eventually};

use crate::memory::{cdr, event, report};

/// Senders of call records, each of which sends the next one once the last was answered.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    senders: Vec<tokio::task::JoinHandle<Vec<usize>>>,
}

impl Load {
    fn start(reports: SocketAddr, senders: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let senders = (0..senders).map(|sender| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut taken = Vec::new();
                for n in (0..).map(|i| 1_000 + i * senders + sender) {
                    // As a device does it: the same again until it is answered.
                    while !report(reports, "om", &cdr(n)).await {
                        if stop.load(SeqCst) {
                            return taken;
                        }
                    }
                    taken.push(n);
                    answered.fetch_add(1, SeqCst);
                    report(reports, "om", &event("BUSY", "<ext id=\"201\" />")).await;
                    report(reports, "om", &event("IDLE", "<ext id=\"201\" />")).await;
                    if stop.load(SeqCst) {
                        return taken;
                    }
                }
                taken
            })
        });
        let senders = senders.collect();
        Self { stop, answered, senders }
    }

    /// Waits until so many more are answered.
    async fn goes_on(&self, count: usize) {
        let goal = self.answered.load(SeqCst) + count;
        let goes = eventually(Duration::from_secs(40), async || self.answered.load(SeqCst) >= goal);
        assert!(goes.await, "nothing is answered any more");
    }

    /// The ids of all that were answered.
    async fn end(self) -> BTreeSet<String> {
        self.stop.store(true, SeqCst);
        let mut all = BTreeSet::new();
        for sender in self.senders {
            let taken = sender.await.expect("a sender ends");
            all.extend(taken.into_iter().map(|n| format!("{n}20170309162713-0")));
        }
        all
    }
}

/// What was answered is there once, and the events have neither a hole nor a double.
async fn whole(url: &str, answered: &BTreeSet<String>) {
    let location: Location = url.parse().expect("an URL");
    let reader = Reader::new(&location, None).expect("it opens");
    let mut stored: BTreeMap<String, usize> = BTreeMap::new();
    let mut before = None;
    loop {
        let query = Query { before, limit: 1000, ..Query::default() };
        let (page, next) = reader.records::<CdrView>(Kind::Cdr, query, None).await.expect("it reads");
        for (_, cdr) in page {
            *stored.entry(cdr.wire_id.to_string()).or_default() += 1;
        }
        before = next;
        if before.is_none() {
            break;
        }
    }
    let missing: Vec<_> = answered.iter().filter(|id| !stored.contains_key(*id)).collect();
    let double: Vec<_> = stored.iter().filter(|(_, count)| **count > 1).collect();
    println!("{} answered, {} stored", answered.len(), stored.len());
    assert!(missing.is_empty() && double.is_empty(), "missing {missing:?}, double {double:?}");

    let (mut after, mut sequence, mut ids) = (0, 0, BTreeSet::new());
    let mut recorded = 0;
    loop {
        let (page, next) =
            reader.events(EventQuery { after, limit: 1000, device: None }).await.expect("it reads");
        for published in page {
            after += 1;
            assert_eq!(published.cursor, after, "cursors have no hole");
            let event = &published.sealed.event;
            sequence += 1;
            assert_eq!(event.sequence, sequence, "the device's count has no hole");
            assert!(ids.insert(event.id), "an event is there twice");
            recorded += usize::from(event.kind == EventKind::CdrRecorded);
        }
        match next {
            Some(next) => assert_eq!(next, after),
            None => break,
        }
    }
    println!("{} events", ids.len());
    assert_eq!(recorded, stored.len(), "each record is told of once");
}

async fn get(service: &Service, path: &str) -> (StatusCode, Value) {
    let url = format!("http://{}{path}", service.api);
    let answer = reqwest::Client::new().get(url).bearer_auth(TOKEN).send().await.expect("it answers");
    let status = answer.status();
    (status, answer.json().await.expect("JSON"))
}

async fn start(folder: &Path, url: &str) -> Service {
    switchroom::link::tls::install_provider();
    let url = url.to_owned();
    let service = Service::start_in(folder, |config| config.store.url = url).expect("it starts");
    service.add("om", Dialect::Om).await.expect("a device");
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_which_nobody_heard_is_neither_lost_nor_done_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::shared();
    let between = Between::start(&server.socket());
    let url = server.schema_at(&between.address.to_string(), "in_doubt", "sslmode=disable&");
    let mut service = start(folder.path(), &url).await;
    let load = Load::start(service.reports, 6);
    for round in 0..12 {
        load.goes_on(20).await;
        between.cut_next(if round % 3 == 0 { Cut::Commit } else { Cut::Answer });
        let cut = eventually(Duration::from_secs(20), async || between.cuts() > round);
        assert!(cut.await, "no commit was cut");
    }
    load.goes_on(50).await;
    let answered = load.end().await;
    service.stop();
    whole(&url, &answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_connections_and_is_away_for_a_while_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start();
    let url = server.schema("faults");
    let mut service = start(folder.path(), &url).await;
    let load = Load::start(service.reports, 6);
    for _ in 0..8 {
        load.goes_on(25).await;
        assert_eq!(get(&service, "/api/v1/cdrs?limit=5").await.0, StatusCode::OK);
        let all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'switchroom'";
        let ended: usize = server.psql("postgres", all).expect("it is done").parse().expect("a number");
        assert!(ended > 0);
    }
    load.goes_on(25).await;
    for _ in 0..2 {
        server.stop();
        // Who reads is told, and what needs no database goes on.
        let (status, problem) = get(&service, "/api/v1/cdrs").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains("readyz")), "{problem}");
        let unready = eventually(Duration::from_secs(10), async || {
            get(&service, "/readyz").await.0 == StatusCode::SERVICE_UNAVAILABLE
        });
        assert!(unready.await, "it calls itself ready");
        assert_eq!(get(&service, "/healthz").await.0, StatusCode::OK);
        assert_eq!(get(&service, "/api/v1/devices").await.0, StatusCode::OK);
        assert_eq!(get(&service, "/api/v1/devices/om/extensions").await.0, StatusCode::OK);
        server.run();
        let ready = eventually(Duration::from_secs(20), async || {
            get(&service, "/readyz").await.0 == StatusCode::OK
                && get(&service, "/api/v1/cdrs?limit=5").await.0 == StatusCode::OK
        });
        assert!(ready.await, "it does not recover");
        load.goes_on(25).await;
    }
    let answered = load.end().await;
    service.stop();
    whole(&url, &answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_stops_although_its_server_is_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start();
    let url = server.schema("stops");
    let mut service = start(folder.path(), &url).await;
    let load = Load::start(service.reports, 4);
    load.goes_on(50).await;
    server.stop();
    let unready = eventually(Duration::from_secs(10), async || {
        get(&service, "/readyz").await.0 == StatusCode::SERVICE_UNAVAILABLE
    });
    assert!(unready.await, "it calls itself ready");
    let stopped = tokio::task::spawn_blocking(move || service.stop());
    tokio::time::timeout(Duration::from_secs(60), stopped).await.expect("it stops").expect("in order");
    let answered = load.end().await;
    server.run();
    // Its start puts into the tables what was only in the log.
    let service = Service::start_in(folder.path(), |config| config.store.url = url.clone());
    let service = service.expect("it starts again");
    whole(&url, &answered).await;
    assert!(report(service.reports, "om", &cdr(9_999_999)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_service_finds_its_server_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start();
    let service = start(folder.path(), &server.schema("idle")).await;
    let url = format!("http://{}/api/v1/tokens", service.api);
    let client = reqwest::Client::new();
    let wanted = serde_json::json!({"name": "wall", "role": "viewer"});
    let made = client.post(url).bearer_auth(TOKEN).json(&wanted).send().await.expect("it answers");
    let made: Value = made.json().await.expect("JSON");
    let wall = made["token"].as_str().expect("a token");
    let calls = async || {
        let url = format!("http://{}/api/v1/calls", service.api);
        let answer = reqwest::Client::new().get(url).bearer_auth(wall).send().await.expect("it answers");
        answer.status().as_u16()
    };
    assert_eq!(calls().await, 200);
    let known = std::time::Instant::now();
    server.stop();
    let ready = async || get(&service, "/readyz").await.0 == StatusCode::OK;
    assert!(eventually(Duration::from_secs(10), async || !ready().await).await, "it calls itself ready");
    // What is in memory is given to whose token was good, also when it would have to be asked for again.
    while known.elapsed() < Duration::from_secs(7) {
        assert_eq!(calls().await, 200, "after {:?}", known.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    server.run();
    assert!(eventually(Duration::from_secs(20), ready).await, "it does not recover");
    let body = event("BUSY", "<ext id=\"201\" />");
    assert!(report(service.reports, "om", &body).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_do_not_write_to_one_database() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let server = Server::shared();
    let url = server.schema("one_writer");
    let mut service = start(folder.path(), &url).await;
    let second = {
        let url = url.clone();
        let start = move || Service::start_in(other.path(), |config| config.store.url = url).map(drop);
        tokio::task::spawn_blocking(start).await.expect("it ends")
    };
    let error = format!("{:#}", second.expect_err("it is refused"));
    assert!(error.contains("another Switchroom writes to this database (process "), "{error}");
    assert!(!error.contains("not-asked-for"), "{error}");
    // The first one does not mind, and another schema of the database is another database.
    assert!(report(service.reports, "om", &cdr(1)).await);
    drop(start(tempfile::tempdir().expect("a folder").path(), &server.schema("another_writer")).await);
    service.stop();
    let service = Service::start_in(folder.path(), |config| config.store.url = url).expect("it starts");
    assert_eq!(get(&service, "/api/v1/cdrs").await.1["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_used_is_named_without_its_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::shared();
    let nowhere = "postgres://nobody:s3cret@127.0.0.1:1/x".to_owned();
    let no_database =
        server.schema("x").replace("/postgres?", "/nothing?").replace("not-asked-for", "s3cret");
    let no_user = server.schema("x").replace("switchroom:not-asked-for", "nobody:s3cret");
    let no_tls = server.schema("x").replace("not-asked-for", "s3cret") + "&sslmode=require";
    for (url, word) in [
        (nowhere, "refused"),
        (no_database, "docs/storage.md"),
        (no_user, "user or password"),
        (no_tls, "TLS"),
    ] {
        let Err(error) = Service::start_in(folder.path(), |config| config.store.url = url.clone()) else {
            panic!("it starts with {url}")
        };
        let error = format!("{error:#}");
        assert!(error.contains(word) && !error.contains("s3cret"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_believed_as_the_url_says() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("another").cert.pem();
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let settings =
        "listen_addresses = '127.0.0.1'\nssl = on\nssl_cert_file = 'tls.crt'\nssl_key_file = 'tls.key'\n";
    // Nobody comes in over TCP without TLS.
    let access = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
    let files = [("tls.crt", certificate.as_str()), ("tls.key", key.as_str()), ("pg_hba.conf", access)];
    let server = Server::start_with(port, settings, &files);
    let folder = tempfile::tempdir().expect("a folder");
    let (trusted, wrong) = (folder.path().join("trusted.pem"), folder.path().join("wrong.pem"));
    std::fs::write(&trusted, certificate).expect("it writes");
    std::fs::write(&wrong, other).expect("it writes");
    let verify = |roots: &Path| format!("sslmode=verify-full&sslrootcert={}&", roots.display());
    for (host, options, refused) in [
        ("localhost", "sslmode=require&".to_owned(), None),
        ("127.0.0.1", String::new(), None),
        ("localhost", verify(&trusted), None),
        ("127.0.0.1", verify(&trusted), Some("certificate")),
        ("localhost", verify(&wrong), Some("certificate")),
        ("localhost", "sslmode=verify-full&".to_owned(), Some("certificate")),
        ("localhost", "sslmode=disable&".to_owned(), Some("no encryption")),
    ] {
        let url = server.schema_at(&format!("{host}:{port}"), "tls", &options);
        let started = Service::start_in(folder.path(), |config| config.store.url = url.clone());
        match (started, refused) {
            (Ok(service), None) => {
                let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                                 WHERE application_name = 'switchroom' AND ssl";
                assert_ne!(server.psql("postgres", encrypted).expect("it is asked"), "0", "{url}");
                drop(service);
            }
            (Err(error), Some(word)) => {
                let error = format!("{error:#}");
                assert!(error.contains(word), "{url}: {error}");
            }
            (Ok(_), Some(_)) => panic!("{url} is believed"),
            (Err(error), None) => panic!("{url}: {error:#}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_ask_the_server_has_few_connections() {
    let server = Server::shared();
    let between = Between::start(&server.socket());
    let url = server.schema_at(
        &between.address.to_string(),
        "bounded",
        "sslmode=disable&application_name=many-ask&",
    );
    let reader = Reader::new(&url.parse().expect("an URL"), None).expect("it opens");
    let ask = |_| {
        reader.query(|connection| {
            let sql = "SELECT count(*) FROM pg_stat_activity , (SELECT pg_sleep(0.02)) AS slow \
                       WHERE application_name = 'many-ask'";
            Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?)
        })
    };
    let counts = futures_util::future::join_all((0..100).map(ask)).await;
    let counts: Vec<i64> = counts.into_iter().map(|count| count.expect("it is answered")).collect();
    let most = counts.iter().max().copied().unwrap_or_default();
    assert!((2..=16).contains(&most), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_no_index_can_hold_stop_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = Server::shared().schema("long_values");
    let mut service = start(folder.path(), &url).await;
    // What repeats itself would be packed.
    let mut state = 1_u64;
    let long: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b"0123456789abcdefghijklmnopqrstuv"[(state >> 59) as usize])
    })
    .take(6000)
    .collect();
    let plain = cdr(1001);
    for (name, value) in [("CPN", "13012345678"), ("TrunkNumber", "02161208234"), ("Type", "IN")] {
        let (before, after) = plain.split_once(&format!("<{name}>")).expect("it has it");
        let (_, after) = after.split_once("</").expect("it ends");
        let body = format!("{before}<{name}>{long}</{after}");
        let body = body.replacen("1001", &format!("7{}", value.len()), 1);
        assert!(report(service.reports, "om", &body).await, "{name}");
    }
    let id = plain.split('"').nth(1).expect("an id");
    assert!(report(service.reports, "om", &plain.replacen(id, &long, 1)).await, "its id");
    assert!(report(service.reports, "om", &plain).await);
    let all = async || get(&service, "/api/v1/cdrs").await.1["items"].as_array().map_or(0, Vec::len);
    assert!(
        eventually(Duration::from_secs(20), async || all().await == 5).await,
        "{} are there",
        all().await
    );
    service.stop();
    let service = start_again(folder.path(), &url);
    assert_eq!(get(&service, "/api/v1/cdrs").await.1["items"].as_array().map(Vec::len), Some(5));
}

fn start_again(folder: &Path, url: &str) -> Service {
    let url = url.to_owned();
    Service::start_in(folder, |config| config.store.url = url).expect("it starts again")
}
