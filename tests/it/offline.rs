//! The measure of the model in virtual time, over many seeds: every order that the wire can make of the
//! reports leads to the truth.

use std::collections::BTreeMap;
use std::time::Duration;

use switchroom_protocol::Dialect;
use switchroom_simulator::{FleetConfig, LegTruth, Mix};
use switchroom_test_support::offline::{Wire, World};
use switchroom_test_support::truth::Difference;

fn fleet(seed: u64, simulated: switchroom_simulator::Dialect) -> FleetConfig {
    FleetConfig {
        dialect: simulated,
        devices: 10,
        extensions: 20,
        trunks: 4,
        calls_per_minute: 600.0,
        seed,
        talk: Duration::from_secs(5),
        ..FleetConfig::default()
    }
}

fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("OFFLINE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let first = std::env::var("OFFLINE_FIRST").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    first..first + count
}

fn differences_at_rest(dialect: Dialect, simulated: switchroom_simulator::Dialect, wire: Wire) {
    differences_of(dialect, wire, |seed| fleet(seed, simulated));
}

fn differences_of(dialect: Dialect, wire: Wire, fleet: impl Fn(u64) -> FleetConfig) {
    let (mut wrong, mut standing, mut reports) = (0, 0, 0);
    for seed in seeds() {
        let mut world = World::new(&fleet(seed), dialect, wire).expect("the fleet can be");
        world.run_until(60_000);
        world.pause();
        world.run_until(100_000);
        let truth = world.truth();
        standing += truth.devices.values().map(|d| d.calls.len()).sum::<usize>();
        reports += world.log.len();
        let found: Vec<Difference> = world.differences();
        for difference in &found {
            println!("seed {seed}: {difference:?}");
            if std::env::var("OFFLINE_LOG").is_ok() {
                explain(&world, difference);
            }
        }
        wrong += found.len();
    }
    println!("{reports} reports, {standing} calls at rest, {wrong} differences");
    assert!(standing > 0 && reports > 10_000, "nothing stands: the test shows nothing");
    assert_eq!(wrong, 0);
}

/// Prints the reports of the difference's device that name one of its numbers.
fn explain(world: &World, difference: &Difference) {
    let device: usize = difference.device.trim_start_matches("sim-").parse().expect("sim-N");
    let text = format!("{} {} {}", difference.entity, difference.truth, difference.model);
    let numbers: Vec<&str> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|w| w.len() >= 3 && w.bytes().all(|b| b.is_ascii_digit()))
        .collect();
    let numbers: Vec<&str> = match std::env::var("OFFLINE_NUMBERS") {
        Ok(t) => t.leak().split(',').collect(),
        Err(_) => numbers,
    };
    for number in &numbers {
        println!("    {}", world.look_at(device - 1, number));
    }
    let from = std::env::var("OFFLINE_LOG").ok().and_then(|text| text.parse().ok()).unwrap_or(40_000);
    for (at, of, body) in &world.log {
        let word = |n: &&str| body.split(|c: char| !c.is_ascii_alphanumeric()).any(|w| w == *n);
        let names = numbers.iter().any(word);
        if *of == device - 1 && *at > from && names {
            let line = body.replace("<?xml version=\"1.0\" encoding=\"utf-8\" ?>", "").replace('\n', " ");
            println!("    {at} {line}");
        }
    }
}

const PLAIN: Wire = Wire { double: 0, late: 0, within: 1 };
const FAULTY: Wire = Wire { double: 100, late: 100, within: 500 };

#[test]
fn om_in_order() {
    differences_at_rest(Dialect::Om, switchroom_simulator::Dialect::Om, PLAIN);
}

#[test]
fn om_doubled_and_overtaken() {
    differences_at_rest(Dialect::Om, switchroom_simulator::Dialect::Om, FAULTY);
}

/// Groups whose members all ring at once (2.1.2.2), some of which lose their registration while they ring.
fn ringing_together(seed: u64) -> FleetConfig {
    let fleet = fleet(seed, switchroom_simulator::Dialect::Om);
    FleetConfig {
        groups: 3,
        group_members: 4,
        groups_ring_all: true,
        mix: Mix { queued: 60, ..Mix::default() },
        phones_fail_every: Some(Duration::from_secs(4)),
        ..fleet
    }
}

/// While calls ring several telephones, answered, given up and cut off, what is not so is put right as soon as
/// the doubt about it is over (`model.release_ms`).
#[test]
fn om_ringing_together_while_they_ring() {
    const DOUBT_MS: i64 = 1600;
    let mix = Mix { queued: 1, unanswered: 40, ..Mix::none() };
    let (mut several, mut wrong) = (0, 0);
    for seed in seeds() {
        let fleet = FleetConfig { mix, ..ringing_together(seed) };
        let mut world = World::new(&fleet, Dialect::Om, PLAIN).expect("the fleet can be");
        let mut since: BTreeMap<Difference, i64> = BTreeMap::new();
        for now in (0..60_000).step_by(200) {
            world.run_until(now);
            let rings = |d: &Difference| d.truth.starts_with("ringing") || d.model.starts_with("ringing");
            let found: Vec<Difference> = world.differences().into_iter().filter(rings).collect();
            since.retain(|difference, _| found.contains(difference));
            for difference in found {
                let from = *since.entry(difference.clone()).or_insert(now);
                if now - from == DOUBT_MS {
                    println!("seed {seed} at {now}: {difference:?}");
                    wrong += 1;
                    if std::env::var("OFFLINE_LOG").is_ok() {
                        explain(&world, &difference);
                    }
                }
            }
            let truth = world.truth();
            let calls = truth.devices.values().flat_map(|device| &device.calls);
            let ringing = |leg: &&LegTruth| leg.kind == "extension" && leg.state == "ringing";
            several += calls.filter(|call| call.legs.iter().filter(ringing).count() > 1).count();
        }
    }
    assert!(several > 1000, "{several} times several telephones rang: the test shows nothing");
    assert_eq!(wrong, 0);
}

#[test]
fn om_ringing_together_in_order() {
    differences_of(Dialect::Om, PLAIN, ringing_together);
}

#[test]
fn om_ringing_together_doubled_and_overtaken() {
    differences_of(Dialect::Om, FAULTY, ringing_together);
}

#[test]
fn yeastar_in_order() {
    differences_at_rest(Dialect::Yeastar, switchroom_simulator::Dialect::Yeastar, PLAIN);
}

#[test]
fn yeastar_doubled_and_overtaken() {
    differences_at_rest(Dialect::Yeastar, switchroom_simulator::Dialect::Yeastar, FAULTY);
}

#[test]
fn zycoo_in_order() {
    differences_at_rest(Dialect::Zycoo, switchroom_simulator::Dialect::Zycoo, PLAIN);
}

#[test]
fn zycoo_doubled_and_overtaken() {
    differences_at_rest(Dialect::Zycoo, switchroom_simulator::Dialect::Zycoo, FAULTY);
}
