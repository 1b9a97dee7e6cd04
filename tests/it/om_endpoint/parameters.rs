//! System parameters, which existing applications read and write as at the device's web interface.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use switchroom_simulator::DeviceAction;
use switchroom_test_support::eventually;

use super::{CRM, House, STRANGER, body_of, exchange};

/// A client that may.
const SETUP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const REFUSED: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<rsp stat=\"fail\">\n</rsp>\n";

/// What is answered to a browser that opens this path, but for the time of day.
async fn open(to: SocketAddr, from: Ipv4Addr, path: &str) -> String {
    let answer = exchange(to, from, &format!("GET {path} HTTP/1.1\r\nHost: om\r\n\r\n")).await;
    let lines = answer.split_inclusive('\n');
    lines.map(|line| if line.starts_with("Date: ") { "Date: …\n" } else { line }).collect()
}

fn get(query: &str) -> String {
    format!("/xml?method=gw.config.get&{query}&pass=admin")
}

fn set(query: &str) -> String {
    format!("/xml?method=gw.config.set&{query}&pass=admin")
}

impl House {
    /// What a parameter is, as the device itself says.
    async fn parameter(&self, query: &str) -> String {
        let answer = body_of(&open(self.direct(), SETUP, &get(query)).await);
        let value = answer.split_once("value=\"").unwrap_or_else(|| panic!("{answer}")).1;
        value.split_once('"').expect("its end").0.to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_answered_in_the_devices_own_bytes() {
    let house = House::start().await;
    // Line 11 is the first trunk's.
    for path in [
        get("id=1070"),
        get("line_id=11&id=599"),
        get("line_id=3&id=986"),
        get("line_id=3&id=1070"),
        get("id=349&id=1070&id=1058"),
        get("line_id=3&id=986&id=349&id=9999"),
        get("id=9999"),
        get("id=API_MAC"),
        get("id=a%22%3C%26b"),
        get("id="),
        get("id=599"),
        get("line_id=99&id=599"),
        get("line_id=x&id=599"),
        get("x=1"),
        "/xml?method=gw.config.get&id=1070&pass=wrong".to_owned(),
        "/xml?method=gw.config.get&id=1070".to_owned(),
        "/xml?method=gw.config.set&pass=admin".to_owned(),
        "/xml?method=gw.config.del&id=1070&pass=admin".to_owned(),
        "/xml?pass=adm%69n&id=1070&method=gw.config.get".to_owned(),
    ] {
        let direct = open(house.direct(), SETUP, &path).await;
        assert_eq!(open(house.om(), SETUP, &path).await, direct, "{path}");
        assert_eq!(open(house.om(), SETUP, &format!("/sim-1{path}")).await, direct, "{path}");
    }
    for (path, id, value) in [
        (set("id1070=1"), "id=1070", "1"),
        // As chapter 6.2.2 prints it.
        (get("id1070=0"), "id=1070", "0"),
        (set("line_id=11&id599=0x17"), "line_id=11&id=599", "0x17"),
        (get("line_id=3&id986=on"), "line_id=3&id=986", "on"),
        (set("line_id=3&id349=yes"), "id=349", "yes"),
        (set("line_id=3&id986=off&id1058=no&id526=30"), "id=1058", "no"),
        (set("id554=1"), "id=554", "1"),
        (set("id554=0&id349=no"), "id=554", "0"),
        (set("id1153=S3cret77"), "id=1153", "S3cret77"),
        (set("id1153="), "id=1153", ""),
        (set("id1070=7"), "id=1070", "0"),
        (set("id9999=1"), "id=1070", "0"),
        (set("id599=0x17"), "line_id=11&id=599", "0x17"),
        (set("line_id=99&id599=0x07"), "line_id=11&id=599", "0x17"),
        (set("id349=yes&id1070=7"), "id=349", "no"),
        (set("id349=yes&id9999=1"), "id=349", "no"),
    ] {
        let through = open(house.om(), SETUP, &path).await;
        assert_eq!(house.parameter(id).await, value, "{path}");
        assert_eq!(through, open(house.direct(), SETUP, &path).await, "{path}");
    }
    // They are in the command log like all others, and passwords are not in it.
    let (_, log) = house.rest("GET", "/devices/sim-1/commands?limit=1000", None).await;
    let log = log.to_string();
    for name in ["read_parameter", "write_parameter", "API_SERVER_PASSWORD"] {
        assert!(log.contains(name), "{name}: {log}");
    }
    assert!(!log.contains("S3cret77") && !log.contains("\"admin\""), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_that_may_read_and_write_parameters() {
    let house = House::start().await;
    let written = set("id1070=1");
    for (from, path) in [
        (STRANGER, written.clone()),
        (CRM, written.clone()),
        (CRM, format!("/sim-1{written}")),
        (SETUP, format!("/sim-2{written}")),
        (SETUP, format!("/nowhere{written}")),
        (SETUP, written.replace("=admin", "=Admin")),
        (SETUP, written.replace("&pass=admin", "")),
    ] {
        assert_eq!(body_of(&open(house.om(), from, &path).await), REFUSED, "{from} {path}");
    }
    let page = format!("GET {written} HTTP/1.1\r\nOrigin: https://evil.example\r\n\r\n");
    assert_eq!(body_of(&exchange(house.om(), SETUP, &page).await), REFUSED);
    assert_eq!(house.parameter("id=1070").await, "0");
    let (_, metrics) = house.rest("GET", "/../../metrics", None).await;
    let metrics = metrics.as_str().unwrap_or_default();
    let counted = "switchroom_om_endpoint_requests_total{outcome=\"unauthorized\"} 8";
    assert!(metrics.contains(counted), "{metrics}");
    let (_, log) = house.rest("GET", "/devices/sim-1/commands", None).await;
    assert_eq!(log["items"], serde_json::json!([]), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_silent_fails_and_too_many_are_not_asked_for() {
    let house = House::start_with(|config| {
        config.commands.timeout_seconds = 1;
        config.commands.wait_seconds = 1;
    })
    .await;
    let many = get(&vec!["id=349"; 33].join("&"));
    assert_eq!(body_of(&open(house.om(), SETUP, &many).await), REFUSED);
    house.fleet.act("sim-1", DeviceAction::Hang).expect("it hangs");
    assert_eq!(body_of(&open(house.om(), SETUP, &get("id=349")).await), REFUSED);
    house.fleet.act("sim-1", DeviceAction::Resume).expect("it resumes");
    let healed = eventually(Duration::from_secs(20), async || {
        body_of(&open(house.om(), SETUP, &get("id=349")).await).contains("stat=\"ok\"")
    });
    assert!(healed.await, "it never came back");
}
