//! The measure of the model in virtual time, over many seeds: every order that the wire can make of the
//! reports leads to the truth.

use std::time::Duration;

use switchroom_protocol::Dialect;
use switchroom_simulator::FleetConfig;
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
    let (mut wrong, mut standing, mut reports) = (0, 0, 0);
    for seed in seeds() {
        let mut world = World::new(&fleet(seed, simulated), dialect, wire).expect("the fleet can be");
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
