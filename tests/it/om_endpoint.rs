//! The OM-compatible endpoint: who may command what, and what is answered.

mod applications;
mod parameters;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use switchroom_domain::time::Millis;
use switchroom_protocol::sign;
use switchroom_simulator::DeviceAction;
use switchroom_test_support::{Service, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::support;

const CLIENTS: &str = r#"
    [clients]
    "127.0.0.1" = { device = "sim-1", name = "CRM" }
    "127.0.0.3" = { device = "sim-1", parameters = true }
    "127.0.0.2" = { devices = ["sim-2", "sim-1"], name = "PMS" }
    signer = { devices = ["sim-2"], password = "123456" }
    fresh = { devices = ["sim-2"], password = "s3cret", max_age = 60 }
"#;
const CRM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const PMS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

const DEVICE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Control attribute=\"Query\">\n  <DeviceInfo/>\n</Control>\n";

/// Nobody is in a call: the device refuses.
const HOLD: &str = "<Control attribute=\"Hold\"><ext id=\"209\"/></Control>";

fn ext(id: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Control attribute=\"Query\">\n  <ext id=\"{id}\"/>\n</Control>\n"
    )
}

fn dial(from: &str, to: &str) -> String {
    // Tabs, CRLF and blanks before the declaration: all of them are in use.
    format!(
        "\r\n  <?xml version=\"1.0\" ?>\r\n<Transfer attribute=\"Connect\">\r\n\t<ext id=\"{from}\"/>\r\n\t{to}\r\n</Transfer>"
    )
}

fn clear(visitor: &str) -> String {
    format!("<Control attribute=\"Clear\"><visitor id=\"{visitor}\"/></Control>")
}

/// A service with the endpoint, before simulated OM devices that make no calls of their own.
struct House {
    house: support::House,
    _folder: tempfile::TempDir,
}

impl std::ops::Deref for House {
    type Target = support::House;
    fn deref(&self) -> &support::House {
        &self.house
    }
}

impl House {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut switchroom::config::Config)) -> Self {
        switchroom::link::tls::install_provider();
        let folder = tempfile::tempdir().expect("a folder");
        let service = Service::start_in(folder.path(), |config| {
            config.om_endpoint = toml::from_str(CLIENTS).expect("a configuration");
            config.om_endpoint.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
            config.om_endpoint.origins = vec!["https://crm.example".into()];
            change(config);
        })
        .expect("the service starts");
        Self { house: support::House::with(service, |_| {}).await, _folder: folder }
    }

    fn om(&self) -> SocketAddr {
        self.service.om.expect("the endpoint is on")
    }

    fn direct(&self) -> SocketAddr {
        self.fleet.command_address("sim-1").expect("an OM takes commands")
    }

    /// Sends a command from this address to this path of the endpoint, and gives the body of its answer.
    async fn xml(&self, from: Ipv4Addr, path: &str, body: &str) -> String {
        body_of(&exchange(self.om(), from, &post(path, "", body)).await)
    }

    /// How often a device was told to do what [`HOLD`] says, which nobody else does.
    fn holds(&self, device: &str) -> u64 {
        self.fleet.truth().devices[device].commands_by_kind.get("Control.Hold").copied().unwrap_or(0)
    }

    async fn rings(&self, number: &str) -> bool {
        let rings = || self.fleet.truth().devices["sim-1"].rings.get(number).copied().unwrap_or(0);
        eventually(Duration::from_secs(20), async || rings() > 0).await && rings() == 1
    }

    async fn rest(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self.house.send(method, path, body, &[("Prefer", "wait=10")]).await;
        (answer.status, answer.body)
    }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

async fn exchange(to: SocketAddr, from: Ipv4Addr, bytes: &str) -> String {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).expect("an address of the loopback");
    let mut stream = socket.connect(to).await.expect("it connects");
    stream.write_all(bytes.as_bytes()).await.expect("it writes");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    read.expect("it is answered and closed").expect("it reads");
    String::from_utf8(answer).expect("text")
}

fn body_of(answer: &str) -> String {
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

fn failed(code: u32, reason: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"FAILED\">\n  <err code=\"{code}\" reason=\"{reason}\" />\n</Event>\n"
    )
}

fn unauthorized(code: u32, reason: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<unauthorized/>\n<err code=\"{code}\" reason=\"{reason}\"/>\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_command_a_device_does() {
    let house = House::start().await;
    let holds = || (house.holds("sim-1"), house.holds("sim-2"));
    let none = unauthorized(100, "authentication failed");
    assert_eq!(house.xml(STRANGER, "/xml", HOLD).await, none);
    assert_eq!(house.xml(STRANGER, "/sim-1/xml", HOLD).await, none);
    assert_eq!(house.xml(CRM, "/sim-2/xml", HOLD).await, none, "another device");
    assert_eq!(house.xml(CRM, "/nowhere/xml", HOLD).await, none);
    let now = switchroom::clock::now().0 / Millis::from_secs(1).0;
    let signed = |password: &str, nonce: &str, at: i64| {
        let (at, nonce) = (at.to_string(), nonce.to_owned());
        let signature = sign::sign(password, &nonce, &at);
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Auth>\n  <Timestamp>{at}</Timestamp>\n  <nonce>{nonce}</nonce>\n  \
             <Signature>{signature}</Signature>\n</Auth>\n{HOLD}"
        )
    };
    for (body, code, reason) in [
        (signed("wrong", "1", now), 102, "password validation failure"),
        (signed("s3cret", "1", now - 3600), 103, "nonce timeout"),
        (signed("123456", "1", 23).replace("<nonce>1</nonce>", ""), 101, "mandatory parameter missing"),
        (signed("123456", &"n".repeat(33), 23), 104, "unspecified"),
    ] {
        assert_eq!(house.xml(STRANGER, "/xml", &body).await, unauthorized(code, reason), "{body}");
    }
    assert_eq!(holds(), (0, 0), "nothing reached a device");
    for body in [signed("123456", "23", 23), signed("s3cret", "23", now)] {
        assert!(house.xml(STRANGER, "/xml", &body).await.contains("FAILED"));
        assert!(house.xml(STRANGER, "/sim-2/xml", &body).await.contains("FAILED"));
    }
    assert_eq!(holds(), (0, 4));
    let overheard = house.xml(Ipv4Addr::new(127, 0, 0, 8), "/xml", &signed("123456", "23", 23)).await;
    assert_eq!(overheard, unauthorized(104, "unspecified"));
    // By address: the first device is the one that is meant, and the others are named.
    assert!(house.xml(PMS, "/xml", HOLD).await.contains("FAILED"));
    assert_eq!(holds(), (0, 5));
    assert!(house.xml(PMS, "/sim-1/xml", HOLD).await.contains("FAILED"));
    assert_eq!(holds(), (1, 5));
    let (_, metrics) = house.rest("GET", "/../../metrics", None).await;
    let metrics = metrics.as_str().unwrap_or_default();
    assert!(
        metrics.contains("switchroom_om_endpoint_requests_total{outcome=\"unauthorized\"} 9"),
        "{metrics}"
    );
    assert!(metrics.contains("switchroom_om_endpoint_requests_total{outcome=\"answered\"} 6"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_on_the_port_of_the_reports_are_treated_the_same() {
    let house = House::start().await;
    let reports = house.service.reports;
    let direct = body_of(&exchange(house.direct(), CRM, &post("/xml", "", DEVICE)).await);
    for path in ["/xml", "/", "/sim-1", "/sim-1/xml", "/omapi/report"] {
        assert_eq!(body_of(&exchange(reports, CRM, &post(path, "", DEVICE)).await), direct, "{path}");
    }
    let none = unauthorized(100, "authentication failed");
    assert_eq!(body_of(&exchange(reports, STRANGER, &post("/sim-1", "", DEVICE)).await), none);
    assert_eq!(body_of(&exchange(reports, CRM, &post("/sim-2", "", DEVICE)).await), none);
    // Without the endpoint there is nothing for them.
    let service = Service::start().expect("the service starts");
    assert!(service.om.is_none());
    let answer = exchange(service.reports, CRM, &post("/xml", "", DEVICE)).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_of_configured_origins_may_command_and_no_others() {
    let house = House::start().await;
    let preflight = |origin: &str| {
        format!("OPTIONS /xml HTTP/1.1\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\r\n")
    };
    let allowed = "\r\nAccess-Control-Allow-Origin: https://crm.example\r\n";
    let answer = exchange(house.om(), CRM, &preflight("https://crm.example")).await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.contains(allowed), "{answer}");
    assert!(answer.contains("\r\nAccess-Control-Allow-Headers: accept, Content-Type\r\n"), "{answer}");
    let answer = exchange(house.om(), CRM, &preflight("https://evil.example")).await;
    assert!(answer.contains("\r\nAccess-Control-Allow-Origin: (null)\r\n"), "{answer}");
    let answer = exchange(house.om(), CRM, &post("/xml", "Origin: https://crm.example\r\n", DEVICE)).await;
    assert!(answer.contains(allowed) && answer.contains("<DeviceInfo>"), "{answer}");
    let evil = post("/xml", "Origin: https://evil.example\r\n", HOLD);
    assert_eq!(body_of(&exchange(house.om(), CRM, &evil).await), unauthorized(104, "unspecified"));
    assert_eq!(house.holds("sim-1"), 0, "a page is not asked first, so its command must not run");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_fails_in_the_devices_words() {
    let house = House::start_with(|config| {
        config.commands.timeout_seconds = 1;
        config.commands.wait_seconds = 1;
        config.commands.find_out_seconds = 1;
        config.commands.dials_per_minute = 1;
    })
    .await;
    let kinds = || house.fleet.truth().devices["sim-1"].commands_by_kind.clone();
    let denied = dial("200", "<outer to=\"0044123456\"/>");
    assert_eq!(house.xml(CRM, "/xml", &denied).await, failed(2, "restricted"));
    assert_eq!(house.xml(CRM, "/xml", "<Control").await, failed(1, "temp failure"));
    let unknown = "<Transfer attribute=\"Ring\"><ext id=\"200\"/><outer to=\"+44123456\"/></Transfer>";
    assert_eq!(house.xml(CRM, "/xml", unknown).await, failed(2, "restricted"));
    assert!(!kinds().keys().any(|kind| kind.starts_with("Transfer")), "nothing reached the device");
    // Dials are counted by client.
    let outside = dial("200", "<outer to=\"13012345678\"/>");
    assert_ne!(house.xml(CRM, "/xml", &outside).await, failed(1, "temp failure"));
    assert_eq!(house.xml(CRM, "/xml", &outside).await, failed(1, "temp failure"));
    assert_ne!(house.xml(PMS, "/sim-2/xml", &outside).await, failed(1, "temp failure"));
    house.fleet.act("sim-1", DeviceAction::Hang).expect("it hangs");
    assert_eq!(house.xml(CRM, "/xml", DEVICE).await, failed(1, "temp failure"));
    house.fleet.act("sim-1", DeviceAction::Resume).expect("it resumes");
    let healed = eventually(Duration::from_secs(20), async || {
        house.xml(CRM, "/xml", DEVICE).await.contains("<DeviceInfo>")
    });
    assert!(healed.await, "it never came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_as_the_devices_server_does() {
    let house = House::start().await;
    for (bytes, status) in [
        ("POST /xml HTTP/1.1\nContent-Length: 0\n\n".to_owned(), "400"),
        ("POST /elsewhere HTTP/1.1\r\nContent-Length: 1\r\n\r\nx".to_owned(), "404"),
        ("GET /xml?method=config HTTP/1.0\r\nContent-Length: 0\r\n\r\n".to_owned(), "404"),
        ("GET /elsewhere?method=gw.config.get HTTP/1.0\r\n\r\n".to_owned(), "404"),
        ("DELETE /xml HTTP/1.0\r\n\r\n".to_owned(), "501"),
        ("POST /xml HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n".to_owned(), "413"),
        (format!("POST /xml HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000)), "431"),
    ] {
        let answer = exchange(house.om(), CRM, &bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.0 {status} ")), "{bytes:.60}: {answer}");
    }
    // A body without a length ends with its document.
    let answer = exchange(house.om(), CRM, &format!("POST /xml HTTP/1.0\n\n{DEVICE}")).await;
    assert!(body_of(&answer).contains("<DeviceInfo>"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_controlled_by_one_application_at_a_time() {
    let house = House::start().await;
    let visitor = async |from: &str| {
        house.fleet.place_call("sim-1", from, "888").expect("a call");
        let mut found = None;
        let known = eventually(Duration::from_secs(20), async || {
            let (_, calls) = house.rest("GET", "/calls", None).await;
            let legs =
                calls["items"].as_array().into_iter().flatten().filter_map(|call| call["legs"].as_array());
            let mut visitors = legs.flatten().filter(|leg| leg["kind"] == "visitor" && leg["number"] == from);
            found = visitors.find_map(|leg| leg["wire_id"].as_str().map(str::to_owned));
            found.is_some()
        });
        assert!(known.await, "the call was never reported");
        found.expect("it was found")
    };
    let held = failed(1, "controlled by another application");
    let one = visitor("13012345678").await;
    let transfer =
        format!("<Transfer attribute=\"Connect\"><visitor id=\"{one}\"/><ext id=\"205\"/></Transfer>");
    let answer = house.xml(CRM, "/xml", &transfer).await;
    assert_ne!(answer, held);
    assert_eq!(house.xml(PMS, "/sim-1/xml", &clear(&one)).await, held);
    let (status, problem) = house
        .rest("POST", "/devices/sim-1/commands", Some(json!({"command": "clear", "party": {"visitor": one}})))
        .await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/conflict")), "{problem}");
    // Another call is another matter, and this one is still its application's.
    let two = visitor("13012345679").await;
    assert_ne!(house.xml(PMS, "/sim-1/xml", &clear(&two)).await, held);
    assert_ne!(house.xml(CRM, "/xml", &clear(&one)).await, held);
    // Once it has ended, it is nobody's.
    let over = eventually(Duration::from_secs(20), async || {
        house.xml(PMS, "/sim-1/xml", &clear(&one)).await != held
    });
    assert!(over.await, "the lease outlived its call");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_device_understands_is_passed_on_in_its_words() {
    let house = House::start().await;
    let kinds = |device: &str| house.fleet.truth().devices[device].commands_by_kind.clone();
    let dance = "<Control attribute=\"Dance\"><ext id=\"200\"/></Control>";
    let direct = body_of(&exchange(house.direct(), CRM, &post("/xml", "", dance)).await);
    assert_eq!(house.xml(PMS, "/sim-1/xml", dance).await, direct);
    assert_eq!(kinds("sim-1").get("Control.Dance"), Some(&2));
    // A device adds members to a group; the REST interface's groups are sets.
    let assign = |members: &str| {
        format!(
            "<Control attribute=\"Assign\"><group id=\"5\"><voicefile>NewMorning</voicefile>{members}</group></Control>"
        )
    };
    for members in ["<ext>200</ext><ext>201</ext>", "<ext>202</ext>"] {
        let direct = body_of(&exchange(house.direct(), CRM, &post("/xml", "", &assign(members))).await);
        assert_eq!(house.xml(PMS, "/sim-2/xml", &assign(members)).await, direct);
    }
    let groups = |device: &str| house.fleet.truth().devices[device].groups.get("5").cloned();
    assert_eq!(groups("sim-2"), groups("sim-1"));
    assert_eq!(groups("sim-2").map(|members| members.len()), Some(3));
    let verbatim = json!({"command": "verbatim", "document": dance});
    let (status, problem) = house.rest("POST", "/devices/sim-1/commands", Some(verbatim)).await;
    assert_eq!((status, &problem["type"]), (400, &json!("/problems/bad-body")), "{problem}");
    // It is in the command log like all others.
    let (_, log) = house.rest("GET", "/devices/sim-1/commands", None).await;
    assert_eq!(log["items"][0]["command"], "verbatim", "{log}");
}
