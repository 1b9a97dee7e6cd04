//! Reports to the byte, against the vendors' samples and captured traffic.

use crate::config::{Dialect, FleetConfig, Mix};
use crate::engine::Emission;
use crate::script::{Requests, script};

fn reports(config: &FleetConfig, kind: &str) -> Vec<String> {
    let of_kind = |emission: &&Emission| emission.report.kind == kind;
    let bodies = script(config, 30_000).unwrap();
    bodies.iter().filter(of_kind).map(|e| String::from_utf8(e.report.body.clone()).unwrap()).collect()
}

fn om() -> FleetConfig {
    FleetConfig { devices: 1, ..FleetConfig::default() }
}

#[test]
fn a_configuration_change_is_as_long_as_the_captured_one() {
    let report = &reports(&om(), "CONFIG_CHANGE")[0];
    assert_eq!(report.len(), 83);
    assert_eq!(
        report,
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"CONFIG_CHANGE\">\n</Event>\n"
    );
}

#[test]
fn events_have_the_vendors_layout() {
    let online = &reports(&om(), "ONLINE")[0];
    assert_eq!(
        online,
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n\
         <Event attribute=\"ONLINE\" RegisterIP=\"10.129.0.2\" >\n  <ext id=\"201\" />\n</Event>\n"
    );
    let with_mac = reports(&FleetConfig { with_mac: true, ..om() }, "IDLE");
    assert!(with_mac[0].contains("\">\n  <MAC>00:0E:A9:00:00:00</MAC>\n  <ext id=\""), "{}", with_mac[0]);
    let keys = reports(&om(), "DTMF");
    let inside = |kind: &str| {
        keys.iter().any(|key| {
            key.contains(&format!("\n  <{kind} id="))
                && key.contains(&format!("</info>\n    <menu id=\"1\" />\n  </{kind}>\n"))
        })
    };
    assert!(inside("visitor") && inside("outer"), "{keys:#?}");
    assert!(
        keys.iter().any(|key| key.contains("\" />\n  <info>") && key.contains("</info>\n  <visitor id="))
    );
}

#[test]
fn a_record_has_its_fields_in_the_vendors_order() {
    let records = reports(&FleetConfig { mix: Mix::plain(1, 0, 0), ..om() }, "Cdr");
    let names = ["Cdr id", "callid", "visitor id", "TimeStart", "Type", "Route", "CPN", "CDPN"];
    let more = ["TimeEnd", "Duration", "TrunkNumber", "Recording", "RecCodec"];
    for record in &records {
        let places: Vec<usize> =
            names.iter().chain(&more).filter_map(|name| record.find(&format!("<{name}"))).collect();
        assert!(places.is_sorted() && places.len() >= 11, "{record}");
        let id = record.split("Cdr id=\"").nth(1).unwrap().split('"').next().unwrap();
        let end = record.split("<TimeEnd>").nth(1).unwrap().split('<').next().unwrap();
        assert!(id.ends_with(&format!("{end}-0")), "{record}");
    }
    // In hex, the recording's name ends in the callid.
    let recorded = records.iter().find(|record| record.contains("_cd.wav")).unwrap();
    let callid: u32 = recorded.split("<callid>").nth(1).unwrap().split('<').next().unwrap().parse().unwrap();
    assert!(recorded.contains(&format!("_{callid:04X}_cd.wav")), "{recorded}");
}

#[test]
fn yeastars_differ_in_how_they_write_two_extensions() {
    let config = FleetConfig {
        dialect: Dialect::Yeastar,
        devices: 4,
        mix: Mix::plain(0, 0, 1),
        boot_reports: false,
        ..FleetConfig::default()
    };
    let rings = reports(&config, "RING");
    let shapes = [
        |ring: &str| {
            ring.contains("\"call\":[{\"ext\":{\"extid\":\"2")
                && ring.contains("\"}},{\"ext\":{\"extid\":\"2")
        },
        |ring: &str| ring.matches(",\"ext\":{\"extid\":\"2").count() == 2 && !ring.contains("\"sn\""),
        |ring: &str| ring.contains(",\"ext\":{\"extid\":[\"2"),
    ];
    for ring in &rings {
        assert_eq!(shapes.iter().filter(|shape| shape(ring)).count(), 1, "{ring}");
    }
    assert!(shapes.iter().all(|shape| rings.iter().any(|ring| shape(ring))));
    let members = reports(&config, "CallStatus");
    assert!(members[0].starts_with("{\"event\":\"CallStatus\",\"callid\":\""));
    assert!(
        members[0].contains("\"memberstatus\":\"ALERT\"") && members[0].contains("\"memberstatus\":\"RING\"")
    );
}

#[test]
fn zycoos_differ_in_layout_and_revision() {
    let config = FleetConfig { dialect: Dialect::Zycoo, devices: 6, ..FleetConfig::default() };
    let idle = reports(&config, "extensionstatus");
    for shape in [
        "{\"event\":\"extensionstatus\",\"exten\":\"201\",\"statustext\":\"Idle\"}",
        "{\"event\":\"extensionstatus\",\"exten\":\"201\",\"statustext\":\"Idle\",\"status\":\"0\"}",
        "event=extensionstatus&exten=201&statustext=Idle",
        "{\n  event: 'extensionstatus',\n  exten: '201',\n  statustext: 'Idle',\n}\n",
    ] {
        assert!(idle.iter().any(|report| report == shape), "{shape}");
    }
    let hangups = reports(&config, "hangup");
    assert!(hangups.iter().any(|hangup| hangup.starts_with("{\n  event: \"hangup\"\n  calleridnum: '")));
    assert!(!reports(&config, "cdr").is_empty() && !reports(&config, "cc_cdr").is_empty());
}

#[test]
fn text_from_outside_is_escaped() {
    let quiet = FleetConfig { calls_per_minute: 0.0, boot_reports: false, ..om() };
    for dialect in [Dialect::Om, Dialect::Yeastar, Dialect::Zycoo] {
        let mut engine = crate::engine::Engine::new(&FleetConfig { dialect, ..quiet.clone() }, 0).unwrap();
        engine.place_call(0, "<a&\"'b>", "888").unwrap();
        for emission in engine.step_until(20_000) {
            let body = String::from_utf8(emission.report.body).unwrap();
            if dialect == Dialect::Om {
                assert!(!body.contains("<a") && !body.contains("&\""), "{body}");
            }
            if dialect == Dialect::Yeastar {
                serde_json::from_str::<serde_json::Value>(&body).unwrap();
            }
        }
    }
}

#[test]
fn a_script_can_be_written_as_requests() {
    let config = FleetConfig { report_to: "http://127.0.0.1:8989/x".to_owned(), ..om() };
    let reports = script(&config, 10).unwrap();
    let requests = Requests::new(&config).unwrap();
    let bytes = requests.bytes(&reports[0]);
    assert!(bytes.starts_with(b"GET /x/sim-1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"));
    assert!(bytes.ends_with(&reports[0].report.body));
}
