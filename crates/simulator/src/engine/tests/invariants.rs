//! What must be true of the truth at every moment of a long run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{body, field};
use crate::config::{Dialect, FleetConfig};
use crate::engine::{DeviceTruth, Direction, Engine};

fn busy_fleet(seed: u64) -> FleetConfig {
    FleetConfig {
        seed,
        devices: 2,
        extensions: 16,
        calls_per_minute: 200.0,
        wire_ids: 24,
        phones_fail_every: Some(Duration::from_secs(8)),
        ..FleetConfig::default()
    }
}

/// Contradictions in one device's state.
fn check(device: &DeviceTruth) {
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    let mut trunks = BTreeMap::new();
    for call in &device.calls {
        for id in call.visitor.iter().chain(&call.outer) {
            assert!(ids.insert(*id), "wire id {id} is in use twice");
        }
        for leg in call.legs.iter().filter(|leg| leg.kind == "extension") {
            assert!(taken.insert(leg.number.clone()), "{} is in two calls", leg.number);
            let state = device.extensions[&leg.number].as_str();
            let expected = if leg.state == "ringing" { "ringing" } else { "busy" };
            assert_eq!(state, expected, "{leg:?} in {call:?}");
        }
        if let Some(trunk) = &call.trunk {
            trunks.insert(trunk.clone(), ());
            assert_eq!(device.trunks[trunk], "active", "{call:?}");
        }
        if call.direction != Direction::Internal {
            assert!(call.trunk.is_some() && !(call.visitor.is_none() && call.outer.is_empty()), "{call:?}");
        }
        if call.state == "queued" && call.waits_for.is_none() {
            let from = call.from.as_deref().unwrap();
            assert!(device.queues.values().flatten().any(|waiting| waiting == from), "{call:?}");
        }
    }
    let queued =
        device.calls.iter().filter(|call| call.state == "queued" && call.waits_for.is_none()).count();
    assert_eq!(device.queues.values().map(Vec::len).sum::<usize>(), queued);
    for (number, state) in &device.extensions {
        if state == "ringing" {
            assert!(taken.contains(number), "{number} rings for nobody");
        }
    }
    if device.calls.is_empty() {
        assert!(device.trunks.values().all(|state| state == "ready"));
    }
}

#[test]
fn the_truth_never_contradicts_itself() {
    for seed in 0..9 {
        let dialect = [Dialect::Om, Dialect::Yeastar, Dialect::Zycoo][seed as usize % 3];
        let config = FleetConfig { dialect, ..busy_fleet(seed) };
        let mut engine = Engine::new(&config, 1_700_000_000).unwrap();
        let mut states = BTreeSet::new();
        for _ in 0..5000 {
            engine.step();
            for device in engine.truth().devices.values() {
                check(device);
                states.extend(device.calls.iter().map(|call| call.state.clone()));
            }
        }
        let all = ["dialing", "in_menu", "incoming", "invited", "queued", "ringing", "talking"];
        assert_eq!(states.iter().map(String::as_str).collect::<Vec<_>>(), all);
    }
}

#[test]
fn record_ids_are_unique_and_wire_ids_come_back() {
    let config = busy_fleet(5);
    let mut engine = Engine::new(&config, 1_700_000_000).unwrap();
    let mut ids = BTreeSet::new();
    let mut highest = 0;
    let mut seen = 0;
    for round in 0..4 {
        for emission in engine.step_until((round + 1) * 600_000) {
            if let Some(id) = emission.report.wire_id {
                assert!(ids.insert((emission.device, id.clone())), "{id} twice");
                assert!(id.ends_with("-0") && id.len() > 16);
            } else if let Some(id) = body(&emission).split("visitor id=\"").nth(1) {
                highest = highest.max(id.split('"').next().unwrap().parse::<u32>().unwrap());
                seen += 1;
            }
        }
        engine.reboot(0).unwrap();
    }
    assert!(highest <= 24 && seen > 1000);
}

#[test]
fn durations_are_those_of_the_calls() {
    let config = FleetConfig { phones_fail_every: None, ..busy_fleet(9) };
    for emission in crate::script::script(&config, 20_000).unwrap().iter().filter(|e| e.report.is_cdr) {
        let body = body(emission);
        let number = |name| field(body, name).unwrap().parse::<i64>().unwrap();
        assert!(number("TimeEnd") >= number("TimeStart"), "{body}");
        assert!(number("Duration") < 200, "{body}");
    }
}

#[test]
fn a_pause_leaves_a_third_standing_and_the_rest_idle() {
    let mut stood = 0;
    let mut queued = 0;
    for seed in 0..30 {
        let config = FleetConfig { devices: 3, talk: Duration::from_secs(1 + seed % 8), ..busy_fleet(seed) };
        let mut engine = Engine::new(&config, 1_700_000_000).unwrap();
        engine.step_until(60_000 + seed * 777);
        let live: BTreeMap<String, usize> =
            engine.truth().devices.into_iter().map(|(name, device)| (name, device.calls.len())).collect();
        engine.pause();
        let after = engine.step_until(engine.now() + 60_000);
        assert!(!after.is_empty());
        let silent = engine.step_until(engine.now() + 300_000);
        assert!(silent.is_empty(), "{:?}", silent.first());
        let truth = engine.truth();
        for (name, device) in &truth.devices {
            check(device);
            assert!(device.calls.iter().all(|call| call.standing));
            let busy =
                device.extensions.values().filter(|state| *state == "busy" || *state == "ringing").count();
            let legs =
                device.calls.iter().flat_map(|call| &call.legs).filter(|leg| leg.kind == "extension").count();
            assert_eq!(busy, legs, "{name}");
            let third = live[name].div_ceil(3);
            assert!(device.calls.len() <= third + 5, "{} of {}", device.calls.len(), live[name]);
            stood += usize::from(device.calls.len() >= third);
            queued += device.queues.values().map(Vec::len).sum::<usize>();
        }
        engine.resume();
        let later = engine.step_until(engine.now() + 120_000);
        assert!(later.len() > 100);
        assert!(engine.truth().devices.values().flat_map(|device| &device.calls).all(|call| !call.standing));
    }
    assert!(stood >= 80, "{stood} of 90 devices kept their third");
    assert!(queued > 5, "{queued} waited through a pause");
}

#[test]
fn a_reboot_forgets_all_calls_without_a_word() {
    let mut engine = Engine::new(&busy_fleet(3), 1_700_000_000).unwrap();
    engine.step_until(60_000);
    assert!(!engine.truth().devices["sim-1"].calls.is_empty());
    engine.reboot(0).unwrap();
    let truth = engine.truth();
    assert!(truth.devices["sim-1"].calls.is_empty());
    check(&truth.devices["sim-1"]);
    let after = engine.step_until(engine.now() + 2500);
    let kinds: Vec<&str> = after.iter().filter(|e| e.device == 0).map(|e| e.report.kind).take(3).collect();
    assert_eq!(kinds, ["BOOTUP", "ONLINE", "ONLINE"]);
    let next = engine.step_until(engine.now() + 60_000);
    let first = next.iter().find(|e| e.device == 0 && e.report.is_cdr).unwrap();
    assert!(first.report.wire_id.as_ref().unwrap().starts_with('1'));
    assert_eq!(first.report.wire_id.as_ref().unwrap().len(), "1".len() + 14 + "-0".len());
}

#[test]
fn a_call_can_be_placed_from_outside() {
    let config = FleetConfig { calls_per_minute: 0.0, phones_fail_every: None, ..FleetConfig::default() };
    for dialect in [Dialect::Om, Dialect::Yeastar, Dialect::Zycoo] {
        let mut engine = Engine::new(&FleetConfig { dialect, ..config.clone() }, 1_700_000_000).unwrap();
        engine.step_until(1000);
        engine.place_call(0, "13012345678", "888").unwrap();
        let call = &engine.truth().devices["sim-1"].calls[0];
        assert_eq!((call.from.as_deref(), call.to.as_deref()), (Some("13012345678"), Some("888")));
        assert_eq!(call.state, "incoming");
        assert!(engine.place_call(0, "1", "77").unwrap_err().to_string().contains("use one of 888"));
        assert!(engine.place_call(9, "1", "888").is_err());
        engine.step_until(60_000);
        assert!(engine.truth().devices["sim-1"].calls.is_empty());
    }
}

#[test]
fn what_stands_is_what_reports_can_tell() {
    for dialect in [Dialect::Yeastar, Dialect::Zycoo] {
        for seed in 0..5 {
            let mut engine =
                Engine::new(&FleetConfig { dialect, ..busy_fleet(seed) }, 1_700_000_000).unwrap();
            engine.step_until(90_000);
            engine.pause();
            engine.step_until(200_000);
            let truth = engine.truth();
            let calls: Vec<_> = truth.devices.values().flat_map(|device| &device.calls).collect();
            assert!(!calls.is_empty());
            assert!(calls.iter().all(|call| call.state == "talking"), "{calls:?}");
        }
    }
}
