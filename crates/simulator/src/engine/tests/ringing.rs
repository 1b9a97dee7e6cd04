//! Groups whose free members all ring at once (2.1.2.2, `distribution` = `group`).

use super::{body, name, quiet};
use crate::config::{Dialect, FleetConfig, Mix};
use crate::engine::call::{Plan, Target};
use crate::engine::device::Phone;
use crate::engine::{DeviceTruth, Emission, Engine};
use crate::om::Request;

/// One OM without calls of its own, with one group of four that all ring; people talk for 100 s.
fn house() -> Engine {
    let config = FleetConfig {
        devices: 1,
        calls_per_minute: 0.0,
        groups: 1,
        group_members: 4,
        groups_ring_all: true,
        talk: std::time::Duration::from_secs(100),
        ..quiet(Dialect::Om, Mix::none())
    };
    Engine::new(&config, 1_700_000_000).unwrap()
}

/// A call comes in for the group, over a trunk where nobody is asked.
fn call_in(engine: &mut Engine, answered: bool) {
    let plan = Plan { answered, ..Plan::to(Target::Group(0)) };
    assert!(engine.devices[0].start_inbound(&mut engine.clock, "13012345678".into(), 1, plan));
    engine.check_books();
}

fn send(engine: &mut Engine, order: &str) -> String {
    let request = Request { peer: [127, 0, 0, 1].into(), body: order, unix_ms: 0 };
    let reply = engine.command(0, &request).unwrap();
    engine.check_books();
    reply
}

fn truth(engine: &Engine) -> DeviceTruth {
    engine.truth().devices.remove("sim-1").unwrap()
}

/// Who is in this state, by the truth.
fn all(engine: &Engine, state: &str) -> Vec<String> {
    let extensions = truth(engine).extensions;
    extensions.into_iter().filter(|(_, is)| is == state).map(|(number, _)| number).collect()
}

/// What was reported so far: `RING 219`, `IN/IP`.
fn told(engine: &mut Engine) -> Vec<String> {
    let short = |emission: &Emission| {
        let number = body(emission).split("<ext id=\"").nth(1).and_then(|rest| rest.split('"').next());
        let kind = name(emission);
        number.map_or_else(|| kind.clone(), |number| format!("{kind} {number}"))
    };
    engine.step_until(engine.now()).iter().map(short).collect()
}

/// Lets time go on until somebody talks, or nobody is left.
fn until_it_is_decided(engine: &mut Engine) {
    while truth(engine).calls.iter().any(|call| call.state == "ringing") {
        engine.clock.now += 100;
        let reports = engine.clock.out.split_off(0);
        let more = engine.step_until(engine.clock.now);
        engine.clock.out.extend(reports.into_iter().chain(more));
        engine.check_books();
    }
}

fn count(told: &[String], what: &str) -> usize {
    told.iter().filter(|told| told.starts_with(what)).count()
}

const MEMBERS: [&str; 4] = ["215", "217", "218", "219"];

#[test]
fn all_ring_and_the_first_to_answer_has_the_call() {
    let mut answered = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut engine = house();
        engine.devices[0].dice = crate::dice::Dice::new(seed);
        call_in(&mut engine, true);
        assert_eq!(all(&engine, "ringing"), MEMBERS);
        let legs = &truth(&engine).calls[0].legs;
        assert_eq!(legs.iter().filter(|leg| leg.kind == "extension" && leg.state == "ringing").count(), 4);
        until_it_is_decided(&mut engine);
        let talks = all(&engine, "busy");
        assert_eq!((talks.len(), all(&engine, "ringing").len()), (1, 0));
        assert_eq!(truth(&engine).calls[0].answered_by.as_ref(), talks.first());
        let told = told(&mut engine);
        for kind in ["RING 2", "BUSY 2", "ALERT 2"] {
            assert_eq!(count(&told, kind), 4, "{told:?}");
        }
        assert_eq!(count(&told, "ANSWER 2"), 1, "{told:?}");
        assert_eq!(count(&told, "IDLE 2"), 3, "{told:?}");
        assert_eq!(count(&told, &format!("IDLE {}", talks[0])), 0, "{told:?}");
        answered.insert(talks[0].clone());
    }
    assert_eq!(answered.len(), 4, "anybody may be the first: {answered:?}");
}

#[test]
fn it_is_one_call_with_the_records_of_one() {
    let mut engine = house();
    call_in(&mut engine, true);
    until_it_is_decided(&mut engine);
    let visitor = truth(&engine).calls[0].visitor.unwrap();
    send(&mut engine, &format!("<Control attribute=\"Clear\"><visitor id=\"{visitor}\"/></Control>"));
    let told = told(&mut engine);
    assert_eq!((count(&told, "BYE"), count(&told, "IN/IP"), count(&told, "IDLE")), (1, 2, 4), "{told:?}");
    assert!(all(&engine, "idle").len() == 20 && truth(&engine).calls.is_empty());
}

#[test]
fn who_is_busy_offline_or_undisturbed_is_not_rung() {
    let mut engine = house();
    let device = &mut engine.devices[0];
    for (number, phone) in [("215", Phone::Busy), ("217", Phone::Offline)] {
        let index = device.extensions.iter().position(|extension| &*extension.number == number).unwrap();
        device.extensions[index].phone = phone;
    }
    send(
        &mut engine,
        "<Control attribute=\"Assign\"><ext lineid=\"IPPhone 19\"><No_Disturb>on</No_Disturb><group>1</group></ext>\
         </Control>",
    );
    call_in(&mut engine, true);
    assert_eq!(all(&engine, "ringing"), ["219"]);
}

#[test]
fn a_caller_that_nobody_answers_or_that_gives_up_leaves_all_idle() {
    for gives_up in [false, true] {
        let mut engine = house();
        call_in(&mut engine, false);
        if gives_up {
            let visitor = truth(&engine).calls[0].visitor.unwrap();
            send(&mut engine, &format!("<Control attribute=\"Clear\"><visitor id=\"{visitor}\"/></Control>"));
        }
        until_it_is_decided(&mut engine);
        let told = told(&mut engine);
        assert!(truth(&engine).calls.is_empty());
        assert_eq!(all(&engine, "idle").len(), 20);
        assert_eq!((count(&told, "BYE"), count(&told, "IN/IP"), count(&told, "IDLE")), (1, 2, 4), "{told:?}");
        assert_eq!(count(&told, "ANSWER"), 0);
    }
}

#[test]
fn a_member_that_goes_off_line_leaves_the_others_ringing_and_the_last_one_ends_the_call() {
    let mut engine = house();
    call_in(&mut engine, true);
    told(&mut engine);
    for (left, number) in MEMBERS.iter().enumerate() {
        let device = &mut engine.devices[0];
        let index = device.extensions.iter().position(|extension| *extension.number == **number).unwrap();
        device.goes_off_line(&mut engine.clock, index);
        engine.check_books();
        assert_eq!(all(&engine, "offline"), MEMBERS[..=left]);
        assert_eq!(all(&engine, "ringing"), MEMBERS[left + 1..]);
        let told = told(&mut engine);
        let gone = [format!("IDLE {number}"), format!("OFFLINE {number}")];
        if left < 3 {
            assert_eq!(told, gone);
        } else {
            assert_eq!((count(&told, "BYE"), count(&told, "IN/IP")), (1, 2), "{told:?}");
            assert_eq!(told.last(), Some(&gone[1]));
        }
    }
    assert!(truth(&engine).calls.is_empty());
}

#[test]
fn a_boot_and_a_command_take_the_call_from_all_of_them() {
    let mut engine = house();
    call_in(&mut engine, true);
    let visitor = truth(&engine).calls[0].visitor.unwrap();
    let order =
        format!("<Transfer attribute=\"Connect\"><visitor id=\"{visitor}\"/><ext id=\"200\"/></Transfer>");
    assert!(send(&mut engine, &order).contains("TRANSIENT"));
    assert_eq!(all(&engine, "ringing"), ["200"]);
    assert_eq!(count(&told(&mut engine), "IDLE 21"), 4);
    call_in(&mut engine, true);
    assert_eq!(all(&engine, "ringing").len(), 5);
    told(&mut engine);
    engine.reboot(0).unwrap();
    assert!(told(&mut engine).is_empty() && all(&engine, "idle").len() == 20);
    engine.check_books();
}

#[test]
fn a_group_that_a_command_made_rings_all_for_callers_that_waited() {
    let mut engine = house();
    let group = "<group id=\"9\"><distribution>group</distribution><ext>201</ext><ext>202</ext></group>";
    send(&mut engine, &format!("<Control attribute=\"Assign\">{group}</Control>"));
    for _ in 0..2 {
        let plan = Plan::to(Target::Group(1));
        assert!(engine.devices[0].start_inbound(&mut engine.clock, "13012345678".into(), 1, plan));
    }
    assert_eq!(all(&engine, "ringing"), ["201", "202"]);
    assert_eq!(truth(&engine).queues["14"].len(), 1, "nobody is free for the second");
    let asked = send(&mut engine, "<Control attribute=\"Query\"><ext id=\"202\"/></Control>");
    assert!(asked.contains("<visitor id=\"1\""), "{asked}");
    let asked = send(&mut engine, "<Control attribute=\"Query\"><visitor id=\"1\"/></Control>");
    assert!(asked.contains("<ext id=\"201\"/>\n    <ext id=\"202\"/>"), "{asked}");
    send(&mut engine, "<Control attribute=\"Clear\"><visitor id=\"1\"/></Control>");
    engine.step_until(engine.now() + 1000);
    assert_eq!(all(&engine, "ringing"), ["201", "202"], "who waited is brought to both");
}

#[test]
fn a_busy_fleet_of_such_groups_keeps_its_books() {
    let mut several = 0;
    for seed in 0..6 {
        let config = FleetConfig {
            seed,
            calls_per_minute: 200.0,
            groups: 3,
            group_members: 4,
            groups_ring_all: true,
            phones_fail_every: Some(std::time::Duration::from_secs(2)),
            ..quiet(Dialect::Om, Mix { queued: 60, ..Mix::default() })
        };
        let mut engine = Engine::new(&config, 1_700_000_000).unwrap();
        for _ in 0..3000 {
            engine.step();
            engine.check_books();
            let calls = engine.truth().devices.into_values().flat_map(|device| device.calls);
            let rings = |call: &crate::engine::CallTruth| {
                call.legs.iter().filter(|leg| leg.kind == "extension" && leg.state == "ringing").count()
            };
            several += calls.filter(|call| rings(call) > 1).count();
        }
    }
    assert!(several > 1000, "{several}");
}
