//! What the engine must do, whatever the seed: the order of reports for each kind of call, and
//! truths that hold at every moment.

mod alarms;
mod books;
mod invariants;
mod ringing;
mod sequences;
mod switches;
mod watching;

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Dialect, FleetConfig, Mix};
use crate::engine::{Emission, Engine};
use crate::script::script;

/// A fleet that says nothing of itself: only of its calls.
pub(super) fn quiet(dialect: Dialect, mix: Mix) -> FleetConfig {
    FleetConfig {
        dialect,
        mix,
        devices: 4,
        calls_per_minute: 120.0,
        boot_reports: false,
        phones_fail_every: None,
        ..FleetConfig::default()
    }
}

/// The field of an OM report.
pub(super) fn field<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(value, _)| value)
}

pub(super) fn body(emission: &Emission) -> &str {
    std::str::from_utf8(&emission.report.body).unwrap()
}

/// A report's kind, with type and route if it is an OM's record.
pub(super) fn name(emission: &Emission) -> String {
    let body = body(emission);
    match (field(body, "Type"), field(body, "Route")) {
        (Some(kind), Some(route)) => format!("{kind}/{route}"),
        _ => emission.report.kind.to_owned(),
    }
}

/// The reports of every whole call, by device and call.
pub(super) fn calls(config: &FleetConfig, count: usize) -> BTreeMap<(usize, u64), Vec<Emission>> {
    let mut calls: BTreeMap<(usize, u64), Vec<Emission>> = BTreeMap::new();
    let reports = script(config, count).unwrap();
    // The count cuts the last calls off.
    let end = reports.last().unwrap().at.saturating_sub(120_000);
    for emission in reports {
        if let Some(call) = emission.call {
            calls.entry((emission.device, call)).or_default().push(emission);
        }
    }
    calls.retain(|_, reports| reports.first().is_some_and(|first| first.at < end));
    calls
}

/// All orders of reports that calls of one mix produced. A call's records and IDLE may come in
/// either order, which is put straight here: records first.
pub(super) fn orders(config: &FleetConfig) -> BTreeSet<String> {
    calls(config, 20_000)
        .values()
        .map(|reports| {
            let mut names: Vec<String> = reports.iter().map(name).collect();
            let end = names.iter().rposition(|name| name == "BYE" || name == "FAILED").map_or(0, |at| at + 1);
            names[end..].sort_by_key(|name| name == "IDLE");
            names.join(" ")
        })
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_however_time_is_cut() {
    let config = FleetConfig { devices: 5, ..FleetConfig::default() };
    let run = |step: u64, seed: u64| {
        let mut engine = Engine::new(&FleetConfig { seed, ..config.clone() }, 1_700_000_000).unwrap();
        let mut all = Vec::new();
        let mut now = 0;
        while now < 120_000 {
            now += step;
            all.extend(engine.step_until(now.min(120_000)));
        }
        all.into_iter().map(|emission| (emission.at, emission.device, emission.report)).collect::<Vec<_>>()
    };
    let fine = run(7, 42);
    assert!(fine.len() > 500, "{}", fine.len());
    assert_eq!(fine, run(1000, 42));
    assert_ne!(fine, run(1000, 43));
}

#[test]
fn a_script_is_as_long_as_asked_and_ends_when_nothing_comes() {
    let config = FleetConfig { devices: 50, calls_per_minute: 5000.0, ..FleetConfig::default() };
    assert_eq!(script(&config, 12_345).unwrap().len(), 12_345);
    let silent =
        FleetConfig { calls_per_minute: 0.0, phones_fail_every: None, ..quiet(Dialect::Om, Mix::none()) };
    let few = script(&silent, 1_000_000).unwrap();
    assert!(few.iter().all(|emission| emission.report.kind == "CONFIG_CHANGE"));
}
