//! The order of reports for each kind of call, dialect by dialect.

use std::collections::BTreeSet;

use super::{body, calls, field, orders, quiet};
use crate::config::{Dialect, FleetConfig, Mix};

fn set(orders: &[&str]) -> BTreeSet<String> {
    orders.iter().map(|&order| order.to_owned()).collect()
}

/// One OM device with one trunk of the wanted kind: 0 asks after the answer and is IP, 1 asks
/// nothing and is IP, 2 asks before and is analog, 3 asks both times and is analog.
fn om(mix: Mix) -> FleetConfig {
    quiet(Dialect::Om, mix)
}

#[test]
fn inbound_answered() {
    assert_eq!(
        orders(&om(Mix::plain(1, 0, 0))),
        set(&[
            "RING BUSY ALERT ANSWER BYE IN/IP IN/IP IDLE",
            "RING BUSY ANSWER BYE IN/IP IN/IP IDLE",
            "INCOMING RING BUSY ALERT ANSWER BYE IN/IP IN/IP IDLE",
            "INCOMING RING BUSY ANSWER BYE IN/IP IN/IP IDLE",
            "INVITE RING BUSY ALERT ANSWER BYE IN/XO LO/IC IDLE",
            "INVITE RING BUSY ANSWER BYE IN/XO LO/IC IDLE",
            "INVITE INCOMING RING BUSY ALERT ANSWER BYE IN/XO LO/IC IDLE",
            "INVITE INCOMING RING BUSY ANSWER BYE IN/XO LO/IC IDLE",
            // An extension pressed a key while it talked.
            "RING BUSY ALERT ANSWER DTMF BYE IN/IP IN/IP IDLE",
            "RING BUSY ANSWER DTMF BYE IN/IP IN/IP IDLE",
            "INCOMING RING BUSY ALERT ANSWER DTMF BYE IN/IP IN/IP IDLE",
            "INCOMING RING BUSY ANSWER DTMF BYE IN/IP IN/IP IDLE",
            "INVITE RING BUSY ALERT ANSWER DTMF BYE IN/XO LO/IC IDLE",
            "INVITE RING BUSY ANSWER DTMF BYE IN/XO LO/IC IDLE",
            "INVITE INCOMING RING BUSY ALERT ANSWER DTMF BYE IN/XO LO/IC IDLE",
            "INVITE INCOMING RING BUSY ANSWER DTMF BYE IN/XO LO/IC IDLE",
        ])
    );
}

#[test]
fn records_come_before_and_after_idle() {
    let calls = calls(&om(Mix::plain(0, 1, 0)), 5000);
    let last: BTreeSet<&str> = calls.values().filter_map(|call| call.last()).map(|e| e.report.kind).collect();
    assert_eq!(last, BTreeSet::from(["Cdr", "IDLE"]));
}

#[test]
fn inbound_unanswered_and_to_a_busy_extension() {
    let mix = Mix { unanswered: 100, ..Mix::plain(1, 0, 0) };
    let orders_seen = orders(&FleetConfig { trunks: 1, ..om(mix) });
    assert_eq!(
        orders_seen,
        set(&["INCOMING RING BUSY ALERT BYE IN/IP IN/IP IDLE", "INCOMING RING BUSY BYE IN/IP IN/IP IDLE"])
    );
    let mix = Mix { busy: 100, ..Mix::plain(1, 0, 0) };
    let orders_seen = orders(&FleetConfig { trunks: 1, ..om(mix) });
    assert!(orders_seen.contains("INCOMING BYE IN/IP"), "{orders_seen:?}");
}

#[test]
fn outbound() {
    let mix = Mix::plain(0, 1, 0);
    let expected = [
        "BUSY ALERT ANSWERED BYE BYE OU/IP IDLE",
        "BUSY ALERT ANSWERED DTMF BYE BYE OU/IP IDLE",
        "BUSY TRANSIENT ANSWERED BYE BYE OU/XO IDLE",
        "BUSY TRANSIENT ANSWERED DTMF BYE BYE OU/XO IDLE",
        "BUSY TRANSIENT ALERT ANSWERED BYE BYE OU/XO IDLE",
        "BUSY TRANSIENT ALERT ANSWERED DTMF BYE BYE OU/XO IDLE",
    ];
    assert_eq!(orders(&om(mix)), set(&expected));
    let unanswered = orders(&FleetConfig { trunks: 1, ..om(Mix { unanswered: 100, ..mix }) });
    assert_eq!(unanswered, set(&["BUSY ALERT BYE BYE OU/IP IDLE"]));
    let busy = orders(&FleetConfig { trunks: 1, ..om(Mix { busy: 100, ..mix }) });
    assert_eq!(busy, set(&["BUSY BYE BYE OU/IP IDLE"]));
}

#[test]
fn an_outbound_call_is_released_twice_and_its_recording_named_once() {
    for call in calls(&FleetConfig { trunks: 1, devices: 2, ..om(Mix::plain(0, 1, 0)) }, 2000).values() {
        let byes: Vec<&str> = call.iter().filter(|e| e.report.kind == "BYE").map(body).collect();
        assert_eq!(byes.len(), 2);
        let cdr = call.iter().find(|e| e.report.is_cdr).map(body).unwrap();
        assert_eq!(field(byes[0], "recording"), field(cdr, "Recording"));
        assert!(field(byes[0], "recording").is_some());
        assert!(byes[1].contains("<outer id=") && !byes[1].contains("<ext"), "{}", byes[1]);
    }
}

#[test]
fn internal() {
    let mix = Mix::plain(0, 0, 1);
    let answered = "BUSY RING BUSY ALERT ANSWER ANSWERED BYE LO/IC IN/IC IDLE IDLE";
    assert_eq!(orders(&om(mix)), set(&[answered]));
    let unanswered = orders(&om(Mix { unanswered: 100, ..mix }));
    assert_eq!(unanswered, set(&["BUSY RING BUSY ALERT BYE LO/IC IN/IC IDLE IDLE"]));
    let busy = orders(&om(Mix { busy: 100, ..mix }));
    assert!(busy.contains("BUSY FAILED LO/IC IDLE"), "{busy:?}");
}

#[test]
fn the_reporting_side_of_two_extensions_comes_first() {
    let calls = calls(&FleetConfig { devices: 1, ..om(Mix::plain(0, 0, 1)) }, 3000);
    for call in calls.values() {
        let exts = |kind: &str| -> Vec<&str> {
            let report = call.iter().find(|e| e.report.kind == kind).map(body).unwrap();
            report.lines().filter(|line| line.contains("<ext")).collect()
        };
        let (ring, alert) = (exts("RING"), exts("ALERT"));
        assert_eq!((ring[0], ring[1]), (alert[1], alert[0]));
        assert_eq!(exts("ANSWER"), ring);
        assert_eq!(exts("ANSWERED"), alert);
        assert_eq!(exts("BUSY"), [alert[0]], "the caller is busy first");
    }
}

#[test]
fn blind_transfers() {
    let mix = Mix { transferred: 100, ..Mix::plain(1, 0, 0) };
    let seen = orders(&FleetConfig { trunks: 3, ..om(mix) });
    for order in [
        // To another extension: the first one's record at once, then the second rings.
        "RING BUSY ALERT ANSWER IN/IP IDLE RING BUSY ALERT ANSWER BYE IN/IP IN/IP IDLE",
        // To an outside number: visitor and outer together.
        "RING BUSY ALERT ANSWER IN/IP IDLE ALERT ANSWERED BYE OU/IP IN/IP",
    ] {
        assert!(seen.contains(order), "{order} is not in {seen:#?}");
    }
}

#[test]
fn a_visitor_and_an_outer_share_one_callid() {
    let mix = Mix { transferred: 100, ..Mix::plain(1, 0, 0) };
    let mut pairs = 0;
    for call in calls(&FleetConfig { trunks: 2, ..om(mix) }, 20_000).values() {
        let Some(bye) = call.iter().find(|e| e.report.kind == "BYE").map(body) else { continue };
        if bye.contains("<outer") {
            pairs += 1;
            let callids: BTreeSet<&str> =
                bye.split("callid=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
            assert_eq!(callids.len(), 1, "{bye}");
            assert!(bye.contains("<visitor"), "{bye}");
        }
    }
    assert!(pairs > 20, "{pairs}");
}

#[test]
fn forwarding() {
    let mix = Mix { forwarded: 100, ..Mix::plain(1, 0, 0) };
    let seen = orders(&FleetConfig { trunks: 3, ..om(mix) });
    for order in [
        "DIVERT RING BUSY ALERT ANSWER BYE FI/IC IDLE",
        "RING BUSY ALERT IDLE DIVERT RING BUSY ALERT ANSWER BYE FI/IC IDLE",
        "DIVERT ALERT ANSWERED BYE FI/IC FW/IP",
        "RING BUSY ALERT IDLE DIVERT ALERT ANSWERED BYE FI/IC FW/IP",
    ] {
        assert!(seen.contains(order), "{order} is not in {seen:#?}");
    }
    let inside = orders(&om(Mix { forwarded: 100, ..Mix::plain(0, 0, 1) }));
    let order = "BUSY DIVERT RING BUSY ALERT ANSWER ANSWERED BYE LO/IC FI/IC IDLE IDLE";
    assert!(inside.contains(order), "{inside:#?}");
}

#[test]
fn queues() {
    let config = FleetConfig {
        calls_per_minute: 300.0,
        phones_fail_every: Some(std::time::Duration::from_secs(10)),
        ..om(Mix { queued: 1, ..Mix::none() })
    };
    let seen = orders(&config);
    for order in [
        "RING BUSY ALERT ANSWER BYE IN/IP IN/IP IDLE",
        // Answered from the queue, given up in it, by an extension too.
        "QUEUE RING BUSY ALERT ANSWER BYE IN/IP IN/IP IDLE",
        "QUEUE BYE IN/IP",
        "INVITE QUEUE BYE LO/IC",
        "BUSY QUEUE RING BUSY ALERT ANSWER ANSWERED BYE LO/IC IN/IC IDLE IDLE",
        "BUSY QUEUE BYE LO/IC IDLE",
    ] {
        assert!(seen.contains(order), "{order} is not in {seen:#?}");
    }
    let calls = calls(&FleetConfig { calls_per_minute: 30.0, ..config }, 40_000);
    let queues: Vec<&str> = calls.values().flatten().filter(|e| e.report.kind == "QUEUE").map(body).collect();
    for part in ["count=\"1\" />", "count=\"2\" />", "count=\"0\" reason=\"offline\"", "reason=\"full\""] {
        assert!(queues.iter().any(|queue| queue.contains(part)), "{part}");
    }
}

#[test]
fn a_caller_who_gives_up_waiting_names_the_group_as_an_extension() {
    let config = om(Mix { queued: 1, ..Mix::none() });
    let mut given_up = 0;
    for call in calls(&config, 20_000).values() {
        let kinds: Vec<&str> = call.iter().map(|e| e.report.kind).collect();
        let Some(at) = kinds.windows(2).position(|two| two == ["QUEUE", "BYE"]) else { continue };
        given_up += 1;
        let (queue, bye) = (body(&call[at]), body(&call[at + 1]));
        let number = bye.lines().rfind(|line| line.contains("<ext")).unwrap();
        assert!(number.contains("<ext id=\"1\"") || number.contains("<ext id=\"2\""), "{bye}");
        assert!(queue.contains("group=\"6\"") || queue.contains("group=\"7\""), "{queue}");
    }
    assert!(given_up > 20, "{given_up}");
}

#[test]
fn menus_report_keys_in_all_their_shapes() {
    let config = om(Mix { menu: 1, ..Mix::none() });
    let seen = orders(&config);
    for order in [
        "INCOMING DTMF BYE IN/IP",
        "INCOMING EndOfAnn BYE IN/IP",
        "ALERT ANSWERED DTMF BYE OU/IP",
        "RING BUSY ANSWER DTMF BYE IN/IC IDLE",
        "INCOMING DTMF RING BUSY ALERT ANSWER BYE IN/IP IN/IP IDLE",
    ] {
        assert!(seen.contains(order), "{order} is not in {seen:#?}");
    }
    let calls = calls(&config, 20_000);
    let infos: Vec<&str> = calls
        .values()
        .flatten()
        .filter(|e| e.report.kind == "DTMF")
        .filter_map(|e| field(body(e), "info"))
        .collect();
    assert!(infos.contains(&"T"));
    assert!(infos.iter().any(|info| info.len() == 5 && info.ends_with('T')));
    assert!(infos.iter().any(|info| info.len() == 5 && info.bytes().all(|b| b.is_ascii_digit())));
    assert!(infos.iter().any(|info| info.ends_with('#')));
}

#[test]
fn callbacks_have_two_outers_of_one_callid() {
    let config = FleetConfig { trunks: 1, ..om(Mix { callback: 1, ..Mix::none() }) };
    assert_eq!(orders(&config), set(&["ALERT ANSWERED ALERT ANSWERED BYE BYE CB/IP CB/IP"]));
    let cdrs = calls(&config, 4000).into_values().next().unwrap();
    let cdrs: Vec<&str> = cdrs.iter().filter(|e| e.report.is_cdr).map(body).collect();
    assert_eq!(field(cdrs[0], "callid"), field(cdrs[1], "callid"));
    assert_eq!(field(cdrs[1], "CPN"), Some(""));
    assert_eq!(field(cdrs[0], "CDPN"), field(cdrs[1], "CDPN"));
}

#[test]
fn all_eight_failures_occur() {
    let mix = Mix { failed: 20, ..Mix::default() };
    let config = FleetConfig { phones_fail_every: Some(std::time::Duration::from_secs(5)), ..om(mix) };
    let script = crate::script::script(&config, 60_000).unwrap();
    let codes: BTreeSet<char> = script
        .iter()
        .filter(|e| e.report.kind == "FAILED")
        .filter_map(|e| body(e).split("code=\"").nth(1)?.chars().next())
        .collect();
    assert_eq!(codes, "12345678".chars().collect());
}

#[test]
fn the_default_mix_has_everything() {
    let config = FleetConfig { devices: 4, ..FleetConfig::default() };
    let script = crate::script::script(&config, 60_000).unwrap();
    let kinds: BTreeSet<&str> = script.iter().map(|e| e.report.kind).collect();
    let all = "ALERT ANSWER ANSWERED BOOTUP BUSY BYE CONFIG_CHANGE Cdr DIVERT DTMF EndOfAnn FAILED IDLE INCOMING \
               INVITE OFFLINE ONLINE QUEUE RING TRANSIENT";
    assert_eq!(kinds, all.split(' ').collect());
    let types: BTreeSet<&str> = script.iter().filter_map(|e| field(body(e), "Type")).collect();
    assert_eq!(types, BTreeSet::from(["CB", "FI", "FW", "IN", "LO", "OU"]));
}

#[test]
fn a_trunk_with_its_switch_off_gives_no_ids() {
    let config = FleetConfig { trunks: 2, bare_trunk: true, devices: 2, ..om(Mix::plain(1, 1, 0)) };
    let bare: Vec<_> = calls(&config, 8000)
        .into_values()
        .filter(|call| call.iter().any(|e| field(body(e), "TrunkNumber") == Some("02161208234")))
        .collect();
    assert!(bare.len() > 20);
    for report in bare.iter().flatten() {
        let body = body(report);
        assert!(!body.contains("visitor id") && !body.contains("outer id"), "{body}");
    }
}

#[test]
fn the_attendants_record_carries_the_recording_and_the_lower_number() {
    let config = FleetConfig { attendant_cdrs: true, devices: 1, ..om(Mix::plain(1, 0, 0)) };
    let call = calls(&config, 8000)
        .into_values()
        .find(|call| call.iter().any(|e| field(body(e), "Route") == Some("OP")))
        .unwrap();
    let cdrs: Vec<&str> = call.iter().filter(|e| e.report.is_cdr).map(body).collect();
    assert_eq!(cdrs.len(), 2);
    assert_eq!((field(cdrs[0], "Route"), field(cdrs[1], "Route")), (Some("XO"), Some("OP")));
    assert_eq!(field(cdrs[1], "TrunkNumber"), field(cdrs[1], "CPN"));
    assert!(field(cdrs[0], "Recording").is_none() && field(cdrs[1], "Recording").is_some());
    let id = |cdr: &str| -> u64 {
        let id = cdr.split("id=\"").nth(1).unwrap().split('"').next().unwrap();
        id[..id.len() - 16].parse().unwrap()
    };
    assert_eq!(id(cdrs[0]), id(cdrs[1]) + 1);
}

#[test]
fn yeastar_and_zycoo() {
    let config = |dialect, mix| FleetConfig { trunks: 1, ..quiet(dialect, mix) };
    let status = "ExtensionStatus";
    let one = |order: &str| order.replace("ES", status).replace("CS", "CallStatus");
    let seen = orders(&config(Dialect::Yeastar, Mix::plain(1, 0, 0)));
    for order in [
        "Incoming ES ALERT RING ANSWER ES ANSWERED BYE BYE NewCdr ES",
        "Incoming ES CS CS ES CS CS NewCdr ES",
    ] {
        assert!(seen.contains(&one(order)), "{order} is not in {seen:#?}");
    }
    let seen = orders(&config(Dialect::Yeastar, Mix::plain(0, 1, 0)));
    assert!(seen.contains(&one("ES ALERT RING ANSWER ANSWERED BYE BYE NewCdr ES")), "{seen:#?}");
    let seen = orders(&config(Dialect::Yeastar, Mix::plain(0, 0, 1)));
    assert!(seen.contains(&one("ES ES ALERT RING ANSWER ES ANSWERED BYE BYE NewCdr ES ES")), "{seen:#?}");
    let seen = orders(&config(Dialect::Yeastar, Mix { callback: 1, ..Mix::none() }));
    assert!(seen.iter().any(|order| order.starts_with("RING ANSWER")), "{seen:#?}");
    let zycoo = |mix| orders(&config(Dialect::Zycoo, mix));
    let seen = zycoo(Mix::plain(1, 0, 0));
    let order = "extensionstatus dialbegein extensionstatus dialend hangup hangup cc_cdr extensionstatus";
    assert!(seen.contains(order), "{seen:#?}");
    let seen = zycoo(Mix { menu: 1, ..Mix::none() });
    assert!(seen.contains("hangup ivr cc_cdr"), "{seen:#?}");
}

#[test]
fn records_of_the_other_vendors_are_whole() {
    for dialect in [Dialect::Yeastar, Dialect::Zycoo] {
        let config = FleetConfig { devices: 12, ..quiet(dialect, Mix::default()) };
        for call in calls(&config, 30_000).values() {
            let cdrs: Vec<_> = call.iter().filter(|e| e.report.is_cdr).collect();
            assert!(cdrs.len() <= 1, "one record for a call");
            let connected = call.iter().any(|e| ["NewCdr", "BYE", "hangup"].contains(&e.report.kind));
            if dialect == Dialect::Yeastar && connected {
                assert_eq!(cdrs.len(), 1);
            }
        }
    }
}
