//! A whole fleet over real sockets, against a small receiver that is told how to behave.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::{Close, Connection, Dialect, Method};
use crate::engine::DeviceTruth;

/// How the receiver treats its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Answers 200 and keeps the connection.
    Polite,
    /// Answers 200 and closes.
    Closes,
    /// Reads and says nothing.
    Silent,
    /// Answers every third report with 500.
    Moody,
}

/// What the receiver got: heads and bodies in the order of their ends.
#[derive(Debug, Default)]
struct Got {
    reports: Mutex<Vec<(String, Vec<u8>)>>,
    connections: Mutex<usize>,
}

impl Got {
    fn count(&self) -> u64 {
        self.reports.lock().unwrap().len() as u64
    }

    /// Waits until something is true of what was got.
    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..1500 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it never came to that");
    }

    fn bodies(&self, path: &str) -> Vec<String> {
        let reports = self.reports.lock().unwrap();
        let of_path = reports.iter().filter(|(head, _)| head.contains(&format!(" {path} ")));
        of_path.map(|(_, body)| String::from_utf8(body.clone()).unwrap()).collect()
    }
}

async fn receiver(manner: Manner) -> (SocketAddr, Arc<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let got = Arc::new(Got::default());
    let all = got.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            *all.connections.lock().unwrap() += 1;
            tokio::spawn(receive(stream, manner, all.clone()));
        }
    });
    (address, got)
}

async fn receive(mut stream: TcpStream, manner: Manner, got: Arc<Got>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        while let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned))
                .map_or(0, |length| length.trim().parse::<usize>().unwrap());
            if bytes.len() < at + 4 + length {
                break;
            }
            let body = bytes[at + 4..at + 4 + length].to_vec();
            bytes.drain(..at + 4 + length);
            let count = {
                let mut reports = got.reports.lock().unwrap();
                reports.push((head, body));
                reports.len()
            };
            let answer: &[u8] = match manner {
                Manner::Silent => continue,
                Manner::Moody if count % 3 == 0 => b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n",
                Manner::Closes => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            };
            if stream.write_all(answer).await.is_err() || manner == Manner::Closes {
                return;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

fn config(address: SocketAddr) -> FleetConfig {
    FleetConfig {
        report_to: format!("http://{address}"),
        devices: 2,
        calls_per_minute: 240.0,
        talk: Duration::from_secs(2),
        speed: 30.0,
        run_for: Some(Duration::from_millis(1500)),
        ..FleetConfig::default()
    }
}

/// Runs the fleet to its end, and waits until the receiver has read what was sent.
async fn run(config: FleetConfig, got: &Got) -> BTreeMap<String, DeviceTruth> {
    let fleet = Fleet::start(config).await.unwrap();
    fleet.wait().await;
    for _ in 0..100 {
        if got.count() >= fleet.reports_sent() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fleet.truth().devices
}

/// The sums that must hold whatever happened.
fn check(devices: &BTreeMap<String, DeviceTruth>, got: &Got) {
    let sent: u64 = devices.values().map(|device| device.reports_sent).sum();
    assert!(sent > 200, "{sent}");
    assert_eq!(got.count(), sent);
    for (name, device) in devices {
        assert_eq!(device.reports_pending, 0, "{name}");
        assert_eq!(device.cdrs.len() as u64, device.cdrs_sent);
        let bodies = got.bodies(&format!("/{name}"));
        assert_eq!(bodies.len() as u64, device.reports_sent);
        for id in &device.cdrs {
            assert!(bodies.iter().any(|body| body.contains(id)), "{id} was sent");
        }
        for id in &device.cdrs_dropped {
            assert!(!device.cdrs.contains(id));
            assert!(
                !bodies.iter().any(|body| body.contains(&format!("Cdr id=\"{id}\""))),
                "{id} was dropped"
            );
        }
    }
}

/// An OM's own count of records has no holes, so nothing overtook and nothing was lost.
fn record_numbers(got: &Got, path: &str) -> Vec<u64> {
    let bodies = got.bodies(path);
    let ids = bodies.iter().filter_map(|body| body.split("<Cdr id=\"").nth(1)?.split('"').next());
    ids.map(|id| id[..id.len() - 16].parse().unwrap()).collect()
}

#[tokio::test]
async fn every_report_arrives_once_and_in_order_in_every_manner() {
    let manners = [
        (Connection::Short, Close::Late, Manner::Polite),
        (Connection::Short, Close::Late, Manner::Closes),
        (Connection::Long, Close::Late, Manner::Polite),
        (Connection::Long, Close::Late, Manner::Closes),
        (Connection::Long, Close::Late, Manner::Silent),
    ];
    for (connection, close, manner) in manners {
        let (address, got) = receiver(manner).await;
        let config = FleetConfig { connection, close, ..config(address) };
        let devices = run(config, &got).await;
        check(&devices, &got);
        for path in ["/sim-1", "/sim-2"] {
            let numbers = record_numbers(&got, path);
            assert!(numbers.len() > 10);
            assert!(numbers.is_sorted(), "{connection:?} {close:?} {manner:?} {numbers:?}");
            assert_eq!(numbers.len() as u64, *numbers.last().unwrap());
        }
        let connections = *got.connections.lock().unwrap() as u64;
        if connection == Connection::Short || manner == Manner::Closes {
            assert_eq!(connections, got.count());
        } else {
            assert_eq!(connections, 4, "two devices, each with one for its records");
        }
    }
}

/// Waits for so many reports more; how many connections they took.
async fn connections_of(got: &Got, reports: u64) -> usize {
    let before = *got.connections.lock().unwrap();
    let wanted = got.count() + reports;
    got.until(|got| got.count() >= wanted).await;
    *got.connections.lock().unwrap() - before
}

#[tokio::test]
async fn an_om_keeps_its_connections_from_the_boot_on_that_follows_the_setting() {
    let (address, got) = receiver(Manner::Polite).await;
    let fleet = Fleet::start(FleetConfig { devices: 1, run_for: None, ..config(address) }).await.unwrap();
    for (set, boots) in [("1", 2), ("0", 3)] {
        let many = |connections: usize| connections > 50;
        assert_eq!(many(connections_of(&got, 60).await), set == "1");
        let answer = fleet.shared.web(0, &format!("method=gw.config.set&id554={set}&pass=admin")).unwrap();
        assert!(answer.contains("stat=\"restart\""), "{answer}");
        assert_eq!(many(connections_of(&got, 60).await), set == "1", "not before it boots");
        fleet.act("sim-1", DeviceAction::Reboot).unwrap();
        let booted = |body: &String| body.contains("\"BOOTUP\"");
        got.until(|got| got.bodies("/sim-1").iter().filter(|body| booted(body)).count() == boots).await;
        let connections = connections_of(&got, 60).await;
        assert!(if set == "1" { connections <= 2 } else { many(connections) }, "{set}: {connections}");
    }
    fleet.stop().await;
}

#[tokio::test]
async fn closing_early_loses_nothing_that_was_written() {
    let (address, got) = receiver(Manner::Polite).await;
    let config = FleetConfig { close: Close::Early, method: Some(Method::Post), ..config(address) };
    let devices = run(config, &got).await;
    check(&devices, &got);
    assert!(got.reports.lock().unwrap().iter().all(|(head, _)| head.starts_with("POST /sim-")));
}

#[tokio::test]
async fn faults_are_counted_right() {
    for connection in [Connection::Short, Connection::Long] {
        let (address, got) = receiver(Manner::Polite).await;
        let faults = Faults { drop: 0.1, duplicate: 0.15, reorder: 0.1 };
        let devices = run(FleetConfig { faults, connection, ..config(address) }, &got).await;
        check(&devices, &got);
        for device in devices.values() {
            let emitted = device.reports_sent - device.reports_doubled + device.reports_dropped;
            assert!(device.reports_dropped * 20 > emitted && device.reports_dropped * 5 < emitted);
            assert!(device.reports_doubled * 14 > emitted);
            assert!(!device.cdrs_dropped.is_empty());
        }
        let mut numbers = record_numbers(&got, "/sim-1");
        assert!(!numbers.is_sorted(), "some overtook");
        numbers.sort_unstable();
        numbers.dedup();
        let device = &devices["sim-1"];
        assert_eq!(numbers.len(), device.cdrs.len());
        assert_eq!(device.cdrs.len() + device.cdrs_dropped.len(), {
            let all = device.cdrs.iter().chain(&device.cdrs_dropped);
            all.map(|id| id[..id.len() - 16].parse::<usize>().unwrap()).max().unwrap()
        });
    }
}

#[tokio::test]
async fn a_yeastar_repeats_until_it_gets_200_and_an_om_does_not() {
    for connection in [Connection::Short, Connection::Long] {
        let (address, got) = receiver(Manner::Moody).await;
        let config = FleetConfig {
            dialect: Dialect::Yeastar,
            devices: 1,
            calls_per_minute: 60.0,
            speed: 10.0,
            connection,
            ..config(address)
        };
        let devices = run(config, &got).await;
        let device = &devices["sim-1"];
        assert!(device.reports_repeated > 5, "{device:?}");
        assert_eq!(device.reports_sent, got.count());
        assert_eq!(device.reports_dropped, 0);
    }
    let (address, got) = receiver(Manner::Moody).await;
    let devices = run(config(address), &got).await;
    assert!(devices.values().all(|device| device.reports_repeated == 0));
    check(&devices, &got);
}

#[tokio::test]
async fn what_nobody_takes_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = FleetConfig { run_for: Some(Duration::from_millis(500)), ..config(address) };
    let devices = run(config, &Got::default()).await;
    for device in devices.values() {
        assert_eq!((device.reports_sent, device.reports_pending, device.cdrs_sent), (0, 0, 0));
        assert!(device.reports_dropped > 10 && !device.cdrs_dropped.is_empty());
    }
}

#[tokio::test]
async fn the_other_vendors_bodies_arrive() {
    for dialect in [Dialect::Yeastar, Dialect::Zycoo] {
        let (address, got) = receiver(Manner::Polite).await;
        let devices = run(FleetConfig { dialect, devices: 6, ..config(address) }, &got).await;
        assert_eq!(got.count(), devices.values().map(|device| device.reports_sent).sum::<u64>());
        let reports = got.reports.lock().unwrap();
        assert!(reports.iter().all(|(head, _)| head.starts_with("POST ")));
        let json =
            reports.iter().filter(|(_, body)| serde_json::from_slice::<serde_json::Value>(body).is_ok());
        let json = json.count();
        if dialect == Dialect::Yeastar {
            assert_eq!(json, reports.len());
        } else {
            assert!(json > 50 && json < reports.len());
        }
    }
}

async fn ask(address: SocketAddr, request: &str, body: &str) -> (u16, serde_json::Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!("{request} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn the_admin_port_tells_the_truth_and_takes_faults() {
    let (address, got) = receiver(Manner::Polite).await;
    let admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let fleet = Fleet::start(FleetConfig { admin, run_for: None, ..config(address) }).await.unwrap();
    let admin = fleet.admin_addr().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ask(admin, "GET /healthz", "").await.0, 200);
    let (status, truth) = ask(admin, "GET /truth", "").await;
    assert_eq!(status, 200);
    let device = &truth["devices"]["sim-1"];
    assert_eq!(device["dialect"], "om");
    assert!(device["extensions"]["200"].is_string() && device["trunks"]["888"].is_string());
    assert!(device["reports_sent"].as_u64().unwrap() > 0);
    let truth: Truth = serde_json::from_value(truth).unwrap();
    assert_eq!(truth.devices.len(), 2);

    let (status, faults) = ask(admin, "POST /faults", "{\"drop\": 1}").await;
    assert_eq!((status, faults["drop"].as_f64(), faults["reorder"].as_f64()), (200, Some(1.0), Some(0.0)));
    assert_eq!(ask(admin, "POST /faults", "{\"drop\": 3}").await.0, 400);
    assert_eq!(ask(admin, "POST /faults", "{\"dorp\": 0}").await.0, 400);
    assert_eq!(ask(admin, "POST /faults", "{\"drop\": 0}").await.0, 200);

    let call = "{\"from\": \"13012345678\", \"to_trunk\": \"888\"}";
    assert_eq!(ask(admin, "POST /devices/sim-1/calls", call).await.0, 202);
    assert_eq!(ask(admin, "POST /devices/sim-9/calls", call).await.0, 409);
    assert_eq!(ask(admin, "POST /devices/sim-1/calls", "{}").await.0, 400);

    let switches = "{\"extension\": \"201\", \"monitors\": false}";
    let (status, set) = ask(admin, "POST /devices/sim-1/watching", switches).await;
    assert_eq!((status, &set["monitors"], &set["barges_in"]), (200, &false.into(), &true.into()));
    assert_eq!(ask(admin, "POST /devices/sim-9/watching", switches).await.0, 404);
    for wrong in ["{\"extension\": \"201\", \"monitor\": false}", "{\"monitors\": false}", "x"] {
        assert_eq!(ask(admin, "POST /devices/sim-1/watching", wrong).await.0, 400);
    }

    let cut = "{\"fault\": \"cut\", \"count\": 1}";
    let (status, set) = ask(admin, "POST /devices/sim-1/recordings", cut).await;
    assert_eq!((status, &set["fault"]), (200, &"cut".into()));
    assert_eq!(ask(admin, "POST /devices/sim-9/recordings", cut).await.0, 404);
    assert_eq!(ask(admin, "POST /devices/sim-1/recordings", "{\"fault\": \"cat\"}").await.0, 400);

    assert_eq!(ask(admin, "POST /devices/sim-2/unplug", "").await.0, 200);
    let before = fleet.truth().devices["sim-2"].clone();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let after = fleet.truth().devices["sim-2"].clone();
    assert!(!after.plugged && after.reports_dropped > before.reports_dropped);
    assert!(after.reports_sent <= before.reports_sent + before.reports_pending);
    assert_eq!(ask(admin, "POST /devices/sim-2/plug", "").await.0, 200);
    assert_eq!(ask(admin, "POST /devices/sim-1/hang", "").await.0, 200);
    assert!(fleet.truth().devices["sim-1"].hung);
    assert_eq!(ask(admin, "POST /devices/sim-1/resume", "").await.0, 200);
    assert_eq!(ask(admin, "POST /devices/sim-1/reboot", "").await.0, 200);
    assert_eq!(ask(admin, "POST /devices/sim-1/explode", "").await.0, 404);
    assert_eq!(ask(admin, "DELETE /truth", "").await.0, 405);
    let (status, error) = ask(admin, "GET /nothing", "").await;
    assert!(status == 404 && error["error"].as_str().unwrap().contains("GET /truth"));

    assert_eq!(ask(admin, "POST /pause", "").await.0, 200);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let quiet = fleet.reports_sent();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(fleet.reports_sent(), quiet);
    assert_eq!(ask(admin, "POST /resume", "").await.0, 200);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(fleet.reports_sent() > quiet);
    fleet.stop().await;
    assert!(got.bodies("/sim-1").iter().filter(|body| body.contains("BOOTUP")).count() == 2);
    assert!(TcpStream::connect(admin).await.is_err(), "the admin port is closed");
}

#[tokio::test]
async fn the_admin_port_survives_nonsense() {
    let (address, _got) = receiver(Manner::Polite).await;
    let admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let fleet = Fleet::start(FleetConfig { admin, run_for: None, ..config(address) }).await.unwrap();
    let admin = fleet.admin_addr().unwrap();
    for nonsense in [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "\u{0}\u{1}\r\n\r\n",
        "POST /faults HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{nonsense:?} {answer}");
    }
    let mut stream = TcpStream::connect(admin).await.unwrap();
    stream.write_all("X".repeat(20_000).as_bytes()).await.unwrap();
    drop(stream);
    let too_long = "POST /faults HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n";
    let mut stream = TcpStream::connect(admin).await.unwrap();
    stream.write_all(too_long.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "));
    assert_eq!(ask(admin, "GET /healthz", "").await.0, 200);
    fleet.stop().await;
}

#[tokio::test]
async fn a_fleet_that_cannot_work_says_why() {
    let bad = FleetConfig { report_to: "ftp://x".to_owned(), ..FleetConfig::default() };
    assert!(Fleet::start(bad).await.unwrap_err().to_string().contains("http://HOST:PORT"));
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin = Some(holder.local_addr().unwrap());
    let taken = Fleet::start(FleetConfig { admin, ..FleetConfig::default() }).await.unwrap_err();
    assert!(taken.to_string().contains("admin address"));
}
