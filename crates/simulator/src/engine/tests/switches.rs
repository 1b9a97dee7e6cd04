//! The API switch of an extension (4.6): what is reported of it.

use std::collections::BTreeSet;

use super::{body, quiet};
use crate::config::{Dialect, FleetConfig, Mix};
use crate::engine::{Emission, Engine};
use crate::om::Request;

fn house(firmware: &str, mix: Mix) -> Engine {
    let calls_per_minute = if mix == Mix::none() { 0.0 } else { 120.0 };
    let config = FleetConfig {
        devices: 1,
        calls_per_minute,
        firmware: firmware.to_owned(),
        trunk_api: Some(0x07),
        ..quiet(Dialect::Om, mix)
    };
    Engine::new(&config, 1_700_000_000).unwrap()
}

fn send(engine: &mut Engine, order: &str) -> String {
    let request = Request { peer: [127, 0, 0, 1].into(), body: order, unix_ms: 0 };
    engine.command(0, &request).unwrap()
}

fn assign(engine: &mut Engine, line: u8, api: u8) {
    let order = format!(
        "<Control attribute=\"Assign\"><ext lineid=\"IPPhone {line}\"><api>{api}</api></ext></Control>"
    );
    assert!(send(engine, &order).contains(&format!("<api>{api}</api>")));
}

fn web(engine: &mut Engine, query: &str) -> String {
    engine.web(0, &format!("{query}&pass=admin")).unwrap()
}

/// `RING 201 200`: a report's kind and the extensions that it names.
fn short(emission: &Emission) -> String {
    let ids = body(emission).split("<ext id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    ids.fold(emission.report.kind.to_owned(), |text, id| text + " " + id)
}

fn told(engine: &mut Engine, ms: u64) -> Vec<String> {
    let until = engine.now() + ms;
    engine.step_until(until).iter().map(short).collect()
}

/// 200 calls 201, until it is over.
fn one_calls_another(engine: &mut Engine) -> Vec<String> {
    assert_eq!(
        send(engine, "<Transfer attribute=\"Connect\"><ext id=\"200\"/><ext id=\"201\"/></Transfer>"),
        ""
    );
    told(engine, 300_000)
}

#[test]
fn nothing_is_reported_of_an_extension_whose_switch_is_off() {
    let mut engine = house("Rev 2.1.5.124", Mix::none());
    let all = one_calls_another(&mut engine);
    for kind in ["RING 201 200", "BUSY 201", "ANSWER 201 200", "IDLE 201", "ALERT 200 201"] {
        assert!(all.contains(&kind.to_owned()), "{kind}: {all:?}");
    }
    assign(&mut engine, 2, 0);
    let some = one_calls_another(&mut engine);
    assert!(
        some.iter().all(|told| told.split(' ').nth(1) != Some("201") || told.starts_with("BYE")),
        "{some:?}"
    );
    for kind in ["RING 200 201", "ALERT 200 201", "ANSWERED 200 201", "IDLE 200"] {
        assert!(some.contains(&kind.to_owned()), "of the other one all is told: {kind}: {some:?}");
    }
    let count = |of: &[String], kind| of.iter().filter(|told| told.starts_with(kind)).count();
    for kind in ["BYE", "Cdr"] {
        assert_eq!(
            count(&some, kind),
            count(&all, kind),
            "calls end, and records have a switch of their own"
        );
    }
    assign(&mut engine, 2, 7);
    assert!(one_calls_another(&mut engine).contains(&"RING 201 200".to_owned()));
}

#[test]
fn calls_over_a_trunk_are_told_by_the_trunk() {
    let mut engine = house("Rev 2.1.5.124", Mix::none());
    for line in [2, 3, 4] {
        assign(&mut engine, line, 0);
    }
    web(&mut engine, "method=gw.config.set&id526=1");
    send(
        &mut engine,
        "<Transfer attribute=\"Connect\"><ext id=\"201\"/><outer to=\"13012345678\"/></Transfer>",
    );
    let told = told(&mut engine, 300_000);
    assert_eq!(told.iter().filter(|told| told.starts_with("BYE")).count(), 2, "{told:?}");
    assert!(told.iter().all(|told| !told.starts_with("RING") && !told.starts_with("BUSY")), "{told:?}");
    assert!(told.contains(&"ANSWERED 201".to_owned()), "the trunk is named first: {told:?}");
}

#[test]
fn a_switch_that_the_device_was_configured_with_outlives_a_boot_and_an_assigned_one_does_not() {
    let mut engine = house("Rev 2.1.5.124", Mix::none());
    assign(&mut engine, 2, 0);
    assert!(web(&mut engine, "method=gw.config.set&line_id=3&id599=0x00").contains("ok"));
    for (line, value) in [(2, "0x00"), (3, "0x00"), (4, "0x07"), (6, "0x0f")] {
        let asked = web(&mut engine, &format!("method=gw.config.get&line_id={line}&id=599"));
        assert!(asked.contains(&format!("value=\"{value}\"")), "{line}: {asked}");
    }
    assert!(
        send(&mut engine, "<Control attribute=\"Query\"><ext id=\"202\"/></Control>")
            .contains("<api>0</api>")
    );
    for index in [1, 2, 3] {
        engine.devices[0].goes_off_line(&mut engine.clock, index);
    }
    assert_eq!(told(&mut engine, 0), ["OFFLINE 203"]);
    engine.reboot(0).unwrap();
    let told = told(&mut engine, 3000);
    let online = |number: &str| told.contains(&format!("ONLINE {number}"));
    assert_eq!((online("201"), online("202"), online("203")), (true, false, true), "{told:?}");
    // What is set last counts.
    assign(&mut engine, 3, 7);
    assert!(web(&mut engine, "method=gw.config.set&line_id=3&id599=0x00").contains("ok"));
    engine.devices[0].goes_off_line(&mut engine.clock, 2);
    assert!(engine.step_until(engine.now()).is_empty());
    // Each kind of line has its own bits.
    assert!(web(&mut engine, "method=gw.config.set&line_id=3&id599=0x27").contains("fail"));
    assert!(web(&mut engine, "method=gw.config.set&line_id=21&id599=0x0F").contains("fail"));
    assert!(web(&mut engine, "method=gw.config.set&line_id=3&id599=0xF").contains("ok"));
}

#[test]
fn single_keys_are_reported_where_that_is_switched_on() {
    let keys = |firmware: &str, assigned: &[(u8, u8)]| -> BTreeSet<String> {
        let mut engine = house(firmware, Mix::plain(1, 1, 0));
        assigned.iter().for_each(|&(line, api)| assign(&mut engine, line, api));
        let told = told(&mut engine, 7_200_000);
        told.iter().filter_map(|told| told.strip_prefix("DTMF ")).map(str::to_owned).collect()
    };
    let of = |numbers: [&str; 6]| BTreeSet::from(numbers.map(str::to_owned));
    assert_eq!(keys("Rev 2.1.5.124", &[]), of(["202", "205", "208", "211", "214", "217"]));
    assert_eq!(keys("Rev 2.1.5.124", &[(3, 7), (2, 8)]), of(["201", "205", "208", "211", "214", "217"]));
    assert_eq!(keys("Rev 2.1.5.93", &[]), BTreeSet::new(), "0x08 had another meaning before 94");
    let mut old = house("Rev 2.1.5.93", Mix::none());
    assign(&mut old, 2, 8);
    assert!(one_calls_another(&mut old).contains(&"RING 201 200".to_owned()));
    let mut new = house("Rev 2.1.5.94", Mix::none());
    assign(&mut new, 2, 8);
    assert!(!one_calls_another(&mut new).contains(&"RING 201 200".to_owned()));
}
