//! Devices as they are: every odd way of sending a report, a thousand connections of each, nothing lost.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use switchroom_actors::device::messages::GetExtensions;
use switchroom_domain::id::DeviceId;
use switchroom_protocol::Dialect;
use switchroom_test_support::{Service, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the sender does once it has written.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// Reads the answer to its end.
    Reads,
    /// Closes its side, then reads.
    HalfCloses,
    /// Closes at once, without reading.
    Closes,
}

fn busy(extension: usize) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"BUSY\">\n  <ext id=\"{extension}\" />\n</Event>\n"
    )
}

fn request(line: &str, end: &str, body: &str) -> String {
    format!("{line}{end}Cache-Control: no-cache{end}Content-Length: {}{end}{end}{body}", body.len())
}

/// The bytes of one connection in each odd way, and how many reports they hold.
type Way = (&'static str, Then, usize, fn(usize) -> String);

const WAYS: &[Way] = &[
    ("GET with a body", Then::Reads, 1, |n| request("GET /om HTTP/1.1", "\r\n", &busy(n))),
    ("GET, closed at once", Then::Closes, 1, |n| request("GET /om HTTP/1.1", "\r\n", &busy(n))),
    ("GET, half closed", Then::HalfCloses, 1, |n| request("GET /om HTTP/1.1", "\r\n", &busy(n))),
    ("POST, HTTP/1.0, bare line feeds, closed at once", Then::Closes, 1, |n| {
        request("POST /om HTTP/1.0", "\n", &busy(n))
    }),
    ("a target without a slash", Then::Reads, 1, |n| request("GET om/report HTTP/1.1", "\r\n", &busy(n))),
    ("no length, half closed", Then::HalfCloses, 1, |n| format!("POST /om HTTP/1.0\r\n\r\n{}", busy(n))),
    ("no length, closed at once", Then::Closes, 1, |n| format!("POST /om HTTP/1.0\n\n{}", busy(n))),
    ("two messages in one packet", Then::Reads, 2, |n| {
        request("GET /om HTTP/1.1", "\r\n", &busy(n))
            + &request("GET /om HTTP/1.1", "\r\n", &busy(n + 500_000))
    }),
    ("two messages in one packet, closed at once", Then::Closes, 2, |n| {
        request("GET /om HTTP/1.1", "\r\n", &busy(n))
            + &request("GET /om HTTP/1.1", "\r\n", &busy(n + 500_000))
    }),
    ("a second document in one body", Then::Reads, 2, |n| {
        request("POST /om HTTP/1.1", "\r\n", &(busy(n) + &busy(n + 500_000)))
    }),
    ("a second document after the body", Then::Closes, 2, |n| {
        request("POST /om HTTP/1.1", "\r\n", &busy(n)) + &busy(n + 500_000)
    }),
];

/// Sends it, in two packets if `split`; says how long the second was held up.
async fn send(address: SocketAddr, bytes: &[u8], then: Then, split: bool) -> Duration {
    let mut stream = TcpStream::connect(address).await.expect("it connects");
    stream.set_nodelay(true).expect("a socket");
    let cut = if split { bytes.len() / 2 } else { 0 };
    stream.write_all(&bytes[..cut]).await.expect("it writes");
    let first = Instant::now();
    if split {
        tokio::task::yield_now().await;
    }
    stream.write_all(&bytes[cut..]).await.expect("it writes");
    let held_up = if split { first.elapsed() } else { Duration::ZERO };
    match then {
        Then::Closes => return held_up,
        Then::HalfCloses => stream.shutdown().await.expect("it shuts down"),
        Then::Reads => {}
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    read.expect("the connection is closed").expect("it reads");
    assert!(
        answer.starts_with(b"HTTP/1.") && answer.windows(4).any(|w| w == b" 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    held_up
}

async fn numbers(service: &Service, device: &str) -> BTreeSet<usize> {
    let device = service.services.registry.get(&DeviceId::new(device).expect("an id")).expect("it is there");
    let addr = device.handle.addr().expect("it lives");
    let all = addr.send(GetExtensions(None)).await.expect("it answers");
    all.into_iter().filter_map(|e| e.number.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_of_each_kind_lose_nothing() {
    let service = Service::start().expect("the service starts");
    for (kind, (name, then, reports, bytes)) in WAYS.iter().enumerate() {
        service.add("om", Dialect::Om).await.expect("a device");
        let first = 1_000_000 * (kind + 1);
        let mut expected = BTreeSet::new();
        let (mut sends, mut sent) = (tokio::task::JoinSet::new(), Vec::new());
        for n in first..first + 1000 {
            expected.insert(n);
            if *reports == 2 {
                expected.insert(n + 500_000);
            }
            let (address, bytes, then) = (service.reports, bytes(n), *then);
            sends.spawn(async move { (n, send(address, bytes.as_bytes(), then, n % 2 == 1).await) });
            if sends.len() >= 64 {
                sent.push(sends.join_next().await.expect("one").expect("it was sent"));
            }
        }
        sent.extend(sends.join_all().await);
        // Where several messages may come, one that follows more than a second later comes to a closed door. On a busy
        // machine this sender itself may be that slow.
        let slow = sent.iter().filter(|(_, held_up)| *held_up > Duration::from_millis(500));
        let slow: Vec<usize> = slow.map(|(n, _)| *n).collect();
        assert!(
            slow.len() < 50,
            "{name}: {} of its packets were held up; the machine is too busy",
            slow.len()
        );
        for n in slow {
            expected.remove(&n);
            expected.remove(&(n + 500_000));
        }
        let all = eventually(Duration::from_secs(20), async || {
            numbers(&service, "om").await.is_superset(&expected)
        })
        .await;
        let missing = expected.difference(&numbers(&service, "om").await).count();
        assert!(all, "{name}: {missing} of {} reports were lost", expected.len());
    }
}

/// A kept connection stays open and takes many messages, with and without heads of their own.
#[tokio::test]
async fn a_long_connection_is_kept() {
    let service = Service::start().expect("the service starts");
    let long = |settings: &mut switchroom::devices::DeviceSettings| {
        settings.connection = switchroom::devices::Connection::Long;
    };
    service.add_with("om", Dialect::Om, Default::default(), long).await.expect("a device");
    let mut stream = TcpStream::connect(service.reports).await.expect("it connects");
    for n in 0..50 {
        let bytes = match n % 3 {
            0 => request("GET /om HTTP/1.1", "\r\n", &busy(100 + n)),
            1 => {
                request("GET /om HTTP/1.1", "\n", &busy(100 + n))
                    + &request("GET /om HTTP/1.1", "\r\n", &busy(200 + n))
            }
            _ => request("GET /om HTTP/1.1", "\r\n", &busy(100 + n)),
        };
        stream.write_all(bytes.as_bytes()).await.expect("it is kept open");
        let mut answers = 0;
        let expected = if n % 3 == 1 { 2 } else { 1 };
        let mut text = Vec::new();
        while answers < expected {
            let mut piece = [0; 1024];
            let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut piece)).await;
            let read = read.expect("an answer in time").expect("it reads");
            assert!(read > 0, "it is kept open");
            text.extend_from_slice(&piece[..read]);
            answers = String::from_utf8_lossy(&text).matches("HTTP/1.1 200 OK").count();
        }
        assert!(String::from_utf8_lossy(&text).contains("keep-alive"));
    }
    assert!(eventually(Duration::from_secs(5), async || numbers(&service, "om").await.len() == 67).await);
}

/// `auto` answers, shuts its side and reads on for a second: a device that has more queued loses nothing.
#[tokio::test]
async fn auto_reads_on_after_its_answer() {
    let service = Service::start().expect("the service starts");
    service.add("om", Dialect::Om).await.expect("a device");
    let mut stream = TcpStream::connect(service.reports).await.expect("it connects");
    stream.write_all(request("GET /om HTTP/1.1", "\r\n", &busy(201)).as_bytes()).await.expect("it writes");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("its side is shut");
    stream.write_all(request("GET /om HTTP/1.1", "\r\n", &busy(202)).as_bytes()).await.expect("ours is not");
    assert!(eventually(Duration::from_secs(5), async || numbers(&service, "om").await.len() == 2).await);
}

#[tokio::test]
async fn limits_have_clear_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_in(folder.path(), |config| config.reports.limits.message_seconds = 1)
        .expect("it starts");
    service.add("om", Dialect::Om).await.expect("a device");
    let signed =
        switchroom::devices::DeviceSecrets { report_password: Some("123456".into()), ..Default::default() };
    let by_signature = |settings: &mut switchroom::devices::DeviceSettings| {
        settings.proof.kind = switchroom::devices::ProofKind::Signature;
    };
    service.add_with("signed", Dialect::Om, signed, by_signature).await.expect("a device");
    let body = busy(200);
    let auth = "<Auth><nonce>2E8E52C6</nonce><timestamp>1498542290</timestamp>\
                <signature>24fe6019c3f284789f8cfacc3446e7ed</signature></Auth>";
    for (status, bytes) in [
        ("200 ", request("GET /om HTTP/1.1", "\r\n", &body)),
        ("200 ", request("POST /nobody HTTP/1.1", "\r\n", &body)),
        ("400 ", request("GET /om HTTP/1.1", "\r\n", "<Event attribute=\"RING\"><ext")),
        ("400 ", "\u{16}\u{3}\u{1}nothing\r\n\r\n".to_owned()),
        ("413 ", "GET /om HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n".to_owned()),
        ("431 ", format!("GET /om HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000))),
        ("408 ", "GET /om HTTP/1.1\r\nContent-Le".to_owned()),
        ("408 ", "GET /om HTTP/1.1\r\nContent-Length: 500\r\n\r\n<Event".to_owned()),
        ("401 ", request("GET /signed HTTP/1.1", "\r\n", &body)),
        ("200 ", request("GET /signed HTTP/1.1", "\r\n", &(body.clone() + auth))),
        ("401 ", request("GET /signed HTTP/1.1", "\r\n", &(body.clone() + &auth.replace("24fe", "24ff")))),
    ] {
        let mut stream = TcpStream::connect(service.reports).await.expect("it connects");
        stream.write_all(bytes.as_bytes()).await.expect("it writes");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        read.expect("it is answered and closed").expect("it reads");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let line = answer.lines().next().unwrap_or_default();
        assert!(line.contains(status), "{} -> {line}", &bytes[..bytes.len().min(80)]);
    }
    assert_eq!(service.services.unadopted.all().len(), 1);
}
