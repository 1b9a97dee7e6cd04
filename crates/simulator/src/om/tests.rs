//! Commands against one device's engine, without a socket: whatever is sent and whenever, the
//! device's own books must balance.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Request;
use crate::config::{FleetConfig, Mix};
use crate::dice::Dice;
use crate::engine::{Emission, Engine};

fn engine(config: &FleetConfig) -> Engine {
    Engine::new(config, 1_700_000_000).unwrap()
}

fn send(engine: &mut Engine, body: &str) -> String {
    let request = Request { peer: IpAddr::from([127, 0, 0, 1]), body, unix_ms: 0 };
    engine.command(0, &request).unwrap_or_default()
}

/// The lines that are busy by what is reported.
#[derive(Default)]
struct Busy {
    lines: BTreeSet<String>,
}

impl Busy {
    fn hear(&mut self, reports: Vec<Emission>) {
        for Emission { report, at, .. } in reports {
            let body = String::from_utf8(report.body).unwrap();
            let number = body.split_once("<ext id=\"").and_then(|(_, rest)| rest.split('"').next());
            match (report.kind, number) {
                ("BUSY", Some(number)) => {
                    assert!(self.lines.insert(number.to_owned()), "{number} twice, {at}")
                }
                ("IDLE", Some(number)) => assert!(self.lines.remove(number), "{number} was idle, {at}"),
                _ => {}
            }
        }
    }
}

/// Commands with every kind of party in it, right and wrong ones.
fn some_command(dice: &mut Dice) -> String {
    let ext = |dice: &mut Dice| format!("<ext id=\"{}\"/>", dice.between(199, 207));
    let wire = |dice: &mut Dice, kind: &str| format!("<{kind} id=\"{}\"/>", dice.between(1, 9));
    let to = "<outer to=\"13012345678\"/>".to_owned();
    let menu = format!("<menu id=\"{}\"/>", dice.between(1, 2));
    let transfer =
        |parties: &[&str]| format!("<Transfer attribute=\"Connect\">{}</Transfer>", parties.concat());
    let control = |kind: &str, parties: &[&str]| {
        format!("<Control attribute=\"{kind}\">{}</Control>", parties.concat())
    };
    match dice.below(29) {
        0 | 1 => transfer(&[&ext(dice), &ext(dice)]),
        2 => transfer(&[&ext(dice), &to]),
        3 | 4 => transfer(&[&wire(dice, "visitor"), &ext(dice)]),
        5 => transfer(&[&wire(dice, "visitor"), &to]),
        6 => transfer(&[&wire(dice, "visitor"), &menu]),
        7 => transfer(&[&wire(dice, "outer"), &ext(dice)]),
        8 => transfer(&[&wire(dice, "outer"), &to]),
        9 => transfer(&[&wire(dice, "outer"), &menu]),
        10 => transfer(&[&menu, &ext(dice)]),
        11 => transfer(&[&menu, &to]),
        12 => transfer(&[&to, &to]),
        13 | 14 => control("Hold", &[&ext(dice)]),
        15 => control("Unhold", &[&ext(dice)]),
        16 => format!("<Transfer attribute=\"Conference\">{}</Transfer>", ext(dice)),
        17 => control("Monitor", &[&ext(dice), &ext(dice)]),
        18 => control("Bargein", &[&ext(dice), &ext(dice)]),
        19 => control("Clear", &[&ext(dice)]),
        20 => control("Clear", &[&wire(dice, "visitor")]),
        21 => control("Clear", &[&wire(dice, "outer")]),
        22 => format!("<Transfer attribute=\"Queue\">{}{}</Transfer>", wire(dice, "visitor"), ext(dice)),
        23 => format!("<Transfer attribute=\"Queue\">{}<group id=\"1\"/></Transfer>", wire(dice, "visitor")),
        24 => format!("<Notify attribute=\"Accept\">{}</Notify>", wire(dice, "visitor")),
        25 => control("Mute", &[&ext(dice)]),
        26 => {
            let (line, to) = (dice.between(2, 5), dice.between(200, 209));
            let settings = format!("<Fwd_Type>{}</Fwd_Type><Fwd_Number>{to}</Fwd_Number>", dice.below(3));
            let quiet = if dice.chance(0.2) { "yes" } else { "no" };
            let line = format!("lineid=\"{} {line}\"", if (line - 1) % 4 == 0 { "Phone" } else { "IPPhone" });
            format!(
                "<Control attribute=\"Assign\"><ext {line}><No_Disturb>{quiet}</No_Disturb>{settings}<group>1</group>\
                 </ext></Control>"
            )
        }
        27 => {
            let (member, how) = (dice.between(200, 207), if dice.chance(0.5) { "group" } else { "" });
            let group = format!("<distribution>{how}</distribution><ext>{member}</ext>");
            format!("<Control attribute=\"Assign\"><group id=\"3\">{group}</group></Control>")
        }
        _ => {
            let visitor = wire(dice, "visitor");
            format!("<Transfer attribute=\"Queue\">{visitor}<group id=\"3\"/></Transfer>")
        }
    }
}

#[test]
fn whatever_is_commanded_the_books_balance() {
    let config = FleetConfig {
        devices: 1,
        extensions: 8,
        calls_per_minute: 40.0,
        mix: Mix { waiting: 20, ..Mix::default() },
        wire_ids: 9,
        ..FleetConfig::default()
    };
    let mut done: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..24 {
        let mut engine = engine(&FleetConfig { seed, ..config.clone() });
        engine.web(0, "method=gw.config.set&id1070=1&pass=admin");
        if seed % 2 == 0 {
            engine.web(0, "method=gw.config.set&id978=yes&pass=admin");
        }
        // What is assigned outlives the boots that follow.
        engine.web(0, "method=gw.config.set&id1198=0x04&pass=admin");
        for menu in 1..3 {
            let menu = format!("<menu id=\"{menu}\"><voicefile>welcome</voicefile></menu>");
            send(&mut engine, &format!("<Control attribute=\"Assign\">{menu}</Control>"));
        }
        let mut dice = Dice::new(seed);
        let mut now = 0;
        let mut busy = Busy::default();
        for _ in 0..1500 {
            now += dice.between(20, 600);
            if dice.chance(0.004) {
                busy.hear(engine.step_until(engine.now()));
                engine.reboot(0).unwrap();
                busy.lines.clear();
                now += 2000;
            }
            busy.hear(engine.step_until(now));
            engine.check_books();
            let command = some_command(&mut dice);
            if !send(&mut engine, &command).contains("FAILED") {
                let shape = command.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
                *done.entry(shape).or_default() += 1;
            }
            engine.check_books();
        }
        for what in ["ext id=\"200\"", "visitor id=\"\"", "outer id=\"\"", "group id=\"\"", "menu id=\"\""] {
            let all = send(&mut engine, &format!("<Control attribute=\"Query\"><{what}/></Control>"));
            assert!(super::xml::read(&all).is_some_and(|roots| roots.len() == 1), "{all}");
        }
        // Without load and commands every call comes to its end.
        engine.pause();
        engine.resume_without_load();
        busy.hear(engine.step_until(now + 600_000));
        engine.check_books();
        let truth = engine.truth();
        for (number, state) in &truth.devices["sim-1"].extensions {
            assert_eq!(busy.lines.contains(number), state == "busy", "{number} is {state}, seed {seed}");
        }
        let left = truth.devices["sim-1"].calls.iter().filter(|call| !call.held).count();
        assert_eq!(left, 0, "seed {seed}: {:#?}", truth.devices["sim-1"].calls);
    }
    assert!(done.values().filter(|&&count| count > 20).count() >= 26, "{done:#?}");
}
