//! Telephones that the device wakes (`WAKEUP`, 2.1.2.1).

use super::{body, quiet};
use crate::config::{Dialect, FleetConfig, Mix};
use crate::engine::Engine;
use crate::engine::device::Phone;
use crate::om::Request;

const DAY: u64 = 86_400_000;
/// From the fleet's start at 06:13:20 local time.
const HALF_PAST_SIX: u64 = 1_000_000;

fn house(mix: Mix) -> Engine {
    let config = FleetConfig { devices: 1, calls_per_minute: 0.0, ..quiet(Dialect::Om, mix) };
    Engine::new(&config, 1_700_000_000).unwrap()
}

/// Sets the alarm of 201.
fn set(engine: &mut Engine, time: &str) {
    let order = format!(
        "<Control attribute=\"Assign\"><ext lineid=\"IPPhone 2\"><WAKEUP>{time}</WAKEUP></ext></Control>"
    );
    let request = Request { peer: [127, 0, 0, 1].into(), body: &order, unix_ms: 0 };
    assert!(engine.command(0, &request).unwrap().contains("<Status>"));
}

fn state(engine: &Engine) -> String {
    engine.truth().devices["sim-1"].extensions["201"].clone()
}

/// What is reported until then, but for saved configurations.
fn told(engine: &mut Engine, until: u64) -> Vec<&'static str> {
    let reports =
        engine.step_until(until).into_iter().filter(|emission| emission.report.kind != "CONFIG_CHANGE");
    let named = reports.inspect(|emission| {
        let (body, others) = (body(emission), ["visitor", "outer", "menu"]);
        assert!(
            body.contains("<ext id=\"201\" />") && others.iter().all(|other| !body.contains(other)),
            "{body}"
        );
    });
    named.map(|emission| emission.report.kind).collect()
}

#[test]
fn it_rings_every_day_at_its_time_and_leaves_no_record() {
    let mut engine = house(Mix::none());
    set(&mut engine, "06:30");
    assert!(told(&mut engine, HALF_PAST_SIX - 1).is_empty());
    assert_eq!(told(&mut engine, HALF_PAST_SIX), ["RING", "BUSY"]);
    assert_eq!(state(&engine), "ringing");
    engine.check_books();
    assert_eq!(told(&mut engine, HALF_PAST_SIX + DAY - 1), ["ANSWER", "IDLE"]);
    assert_eq!(state(&engine), "idle");
    assert_eq!(told(&mut engine, HALF_PAST_SIX + 3 * DAY - 1), ["RING", "BUSY", "ANSWER", "IDLE"].repeat(2));
    let mut engine = house(Mix { unanswered: 100, ..Mix::none() });
    set(&mut engine, "06:30");
    assert_eq!(told(&mut engine, DAY), ["RING", "BUSY", "IDLE"]);
}

#[test]
fn the_last_setting_counts_and_midnight_is_none() {
    let mut engine = house(Mix::none());
    for time in ["06:31", "06:30", "06:30", "25:00"] {
        set(&mut engine, time);
    }
    assert_eq!(told(&mut engine, DAY).len(), 4, "once a day");
    for off in ["00:00", ""] {
        set(&mut engine, "06:30");
        set(&mut engine, off);
        let end = engine.now() + 2 * DAY;
        assert!(told(&mut engine, end).is_empty(), "{off}");
    }
}

#[test]
fn who_is_in_use_or_off_line_is_not_woken_and_a_boot_forgets_it() {
    for phone in [Phone::Busy, Phone::Offline] {
        let mut engine = house(Mix::none());
        set(&mut engine, "06:30");
        engine.devices[0].extensions[1].phone = phone;
        assert!(told(&mut engine, HALF_PAST_SIX).is_empty());
        engine.devices[0].extensions[1].phone = Phone::Idle;
        assert_eq!(told(&mut engine, HALF_PAST_SIX + DAY), ["RING", "BUSY"], "the next day");
    }
    for kept in [false, true] {
        let mut engine = house(Mix::none());
        engine.web(0, &format!("method=gw.config.set&id1198=0x0{}&pass=admin", if kept { 4 } else { 0 }));
        set(&mut engine, "06:30");
        engine.reboot(0).unwrap();
        engine.step_until(3000);
        assert_eq!(told(&mut engine, HALF_PAST_SIX).len(), if kept { 2 } else { 0 });
        // And one that comes while it rings.
        engine.reboot(0).unwrap();
        engine.check_books();
        assert_eq!(state(&engine), "idle");
    }
}
