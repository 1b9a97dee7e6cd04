//! Who may listen to whom (2.1.5.1, 2.1.6).

use super::quiet;
use crate::config::{Dialect, FleetConfig, Mix};
use crate::engine::{Engine, Watching};
use crate::om::Request;

fn send(engine: &mut Engine, order: &str) -> String {
    let request = Request { peer: [127, 0, 0, 1].into(), body: order, unix_ms: 0 };
    engine.command(0, &request).unwrap()
}

/// 200 talks to 208.
fn talk() -> Engine {
    let talk = std::time::Duration::from_secs(36_000);
    let config = FleetConfig { devices: 1, calls_per_minute: 0.0, talk, ..quiet(Dialect::Om, Mix::none()) };
    let mut engine = Engine::new(&config, 1_700_000_000).unwrap();
    send(&mut engine, "<Transfer attribute=\"Connect\"><ext id=\"200\"/><ext id=\"208\"/></Transfer>");
    engine.step_until(60_000);
    assert_eq!(engine.truth().devices["sim-1"].calls[0].state, "talking");
    engine
}

/// Whether 201 gets to listen to 208.
fn watches(engine: &mut Engine, how: &str) -> bool {
    let order = format!("<Control attribute=\"{how}\"><ext id=\"201\"/><ext id=\"208\"/></Control>");
    let reply = send(engine, &order);
    let rings = engine.truth().devices["sim-1"].extensions["201"] == "ringing";
    let refused = "  <ext id=\"201\" />\n  <ext id=\"208\" />\n  <err code=\"2\" reason=\"restricted\" />";
    assert!(if rings { reply.is_empty() } else { reply.contains(refused) }, "{reply}");
    rings
}

#[test]
fn the_switches_of_all_three_count() {
    let open = Watching::default();
    // Of 201 who listens, of 208 who is listened to, of 200 who talks to 208.
    for (extension, switches, monitors, barges_in) in [
        ("201", open, true, true),
        ("201", Watching { monitors: false, ..open }, false, true),
        ("201", Watching { barges_in: false, ..open }, true, false),
        ("208", Watching { is_not_monitored: true, ..open }, false, true),
        ("208", Watching { is_not_barged_in_on: true, ..open }, true, false),
        ("200", Watching { is_not_monitored: true, ..open }, false, true),
        ("200", Watching { is_not_barged_in_on: true, ..open }, true, false),
        ("208", Watching { monitors: false, barges_in: false, ..open }, true, true),
        ("209", Watching { is_not_monitored: true, is_not_barged_in_on: true, ..open }, true, true),
    ] {
        for (how, may) in [("Monitor", monitors), ("Bargein", barges_in)] {
            let mut engine = talk();
            engine.set_watching(0, extension, switches).unwrap();
            assert_eq!(watches(&mut engine, how), may, "{how}: {extension} {switches:?}");
        }
    }
    assert!(talk().set_watching(0, "999", open).is_err());
}

#[test]
fn who_may_not_monitor_may_not_talk_to_whom_it_monitors() {
    let mut engine = talk();
    assert!(watches(&mut engine, "Monitor"));
    engine.step_until(120_000);
    let order = |kind: &str| format!("<Control attribute=\"{kind}\"><ext id=\"201\"/></Control>");
    assert_eq!(send(&mut engine, &order("Talk")), "");
    engine.set_watching(0, "201", Watching { monitors: false, ..Watching::default() }).unwrap();
    assert_eq!(send(&mut engine, &order("Listen")), "");
    assert!(send(&mut engine, &order("Talk")).contains("code=\"2\""));
}
