//! The events of the OM manual and of live devices, each against its exact facts.

mod support;

use support::{call, ext, menu, om, om_facts, outer, outside, status, visitor};
use switchroom_domain::fact::{CallFact, Fact, Happening, LineStatus, OutsideParty, Party, QueueMention};

/// An event with the declaration and line ends that devices write.
fn event(attribute: &str, content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"{attribute}\">\n{content}\n</Event>\n"
    )
}

#[track_caller]
fn check(attribute: &str, content: &str, expected: CallFact) {
    assert_eq!(om_facts(&event(attribute, content)), [Fact::Call(Box::new(expected))]);
}

const VISITOR: &str = r#"<visitor id="22" from="13012345678" to="02161208234" callid="16408" />"#;
const OUTER: &str = r#"<outer id="22" from="200" to="13012345678" trunk="02161208234" callid="16406" />"#;

fn the_visitor() -> Party {
    visitor("22", "13012345678", "02161208234", "", "16408")
}

fn the_outer() -> Party {
    outer("22", "200", "13012345678", "02161208234", "16406")
}

#[test]
fn system_events() {
    assert_eq!(om_facts(&event("BOOTUP", "")), [Fact::DeviceBooted]);
    assert_eq!(om_facts(&event("CONFIG_CHANGE", "")), [Fact::ConfigChanged { what: None }]);
}

#[test]
fn extension_events() {
    let ext208 = "<ext id=\"208\" />";
    for (name, line) in
        [("BUSY", LineStatus::Busy), ("IDLE", LineStatus::Idle), ("OFFLINE", LineStatus::Offline)]
    {
        assert_eq!(om_facts(&event(name, ext208)), [status("208", line, None)]);
    }
    let online = "<Event attribute=\"ONLINE\" RegisterIP=\"10.129.91.202\" >\n<ext id=\"208\" />\n</Event>";
    assert_eq!(om_facts(online), [status("208", LineStatus::Online, Some("10.129.91.202"))]);
    assert_eq!(om_facts(&event("BUSY", "")), [Fact::Unrecognized { name: "BUSY".into() }]);
}

#[test]
fn ring_names_the_extension_that_rings_first() {
    let ringing = |parties| call(Happening::Ringing, parties);
    check("RING", &format!("<ext id=\"200\" />{VISITOR}"), ringing(vec![ext("200"), the_visitor()]));
    check("RING", &format!("{VISITOR}<ext id=\"200\" />"), ringing(vec![ext("200"), the_visitor()]));
    check("RING ", "<ext id=\"200\" /><ext id=\"208\" />", ringing(vec![ext("200"), ext("208")]));
    check("RING ", &format!("<ext id=\"200\" />{OUTER}"), ringing(vec![ext("200"), the_outer()]));
    check("RING", "<ext id=\"200\" /><menu id=\"1\" />", ringing(vec![ext("200"), menu("1")]));
    let unknown_caller = Party::Visitor(OutsideParty::default());
    check("RING ", "<ext id=\"200\" /><visitor from=\"\" />", ringing(vec![ext("200"), unknown_caller]));
}

#[test]
fn ring_of_live_devices() {
    let captured = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"RING\">\n  \
                    <ext id=\"227\" />\n  <outer to=\"228\" />\n</Event>\n";
    assert_eq!(captured.len(), 114);
    let expected = call(Happening::Ringing, vec![ext("227"), outer("", "", "228", "", "")]);
    assert_eq!(om_facts(captured), [Fact::Call(Box::new(expected))]);

    let number_only = Party::Visitor(OutsideParty { from: Some("13698612743".into()), ..outside() });
    for (name, happening) in
        [("RING", Happening::Ringing), ("ANSWER", Happening::Answered), ("BYE", Happening::Ended)]
    {
        let content = "<ext id=\"316\" /><visitor from=\"13698612743\" />";
        check(name, content, call(happening, vec![ext("316"), number_only.clone()]));
    }

    let hyphen =
        r#"<visitor id="16" from="18850547612" to="0592-23678757" callid="24592"/><ext id="0592-23678757"/>"#;
    let caller = visitor("16", "18850547612", "0592-23678757", "", "24592");
    check("ALERT", hyphen, call(Happening::Alerting, vec![caller.clone(), ext("0592-23678757")]));
    check("RING", hyphen, call(Happening::Ringing, vec![ext("0592-23678757"), caller]));
}

#[test]
fn alert_names_the_caller_first() {
    let alerting = |parties| call(Happening::Alerting, parties);
    check("ALERT", &format!("{VISITOR}<ext id=\"200\" />"), alerting(vec![the_visitor(), ext("200")]));
    check("ALERT", &format!("<ext id=\"200\" />{VISITOR}"), alerting(vec![the_visitor(), ext("200")]));
    let short = outer("", "", "13012345678", "", "");
    let content = "<ext id=\"200\" /><outer to=\"13012345678\" />";
    check("ALERT", content, alerting(vec![ext("200"), short]));
    check("ALERT", "<ext id=\"200\" /><ext id=\"208\" />", alerting(vec![ext("200"), ext("208")]));
    let by_menu = r#"<outer id="22" from="" to="13012345678" trunk="02161208234" callid="16406" />"#;
    let called = outer("22", "", "13012345678", "02161208234", "16406");
    check("ALERT", by_menu, alerting(vec![called.clone()]));
    // The device called the number itself: nothing says that the extension did.
    check("ALERT", &format!("{by_menu}<ext id=\"200\" />"), alerting(vec![called, ext("200")]));
}

#[test]
fn alert_and_bye_of_a_live_call() {
    let full = r#"<outer id="186" from="326" to="013693848899" trunk="568116531" callid="20666" />"#;
    let party = outer("186", "326", "013693848899", "568116531", "20666");
    check(
        "ALERT",
        &format!("{full}\n<ext id=\"326\" />"),
        call(Happening::Alerting, vec![ext("326"), party.clone()]),
    );
    let path = "20150824/326_013693848899_20150824-104404_20666";
    check(
        "BYE",
        &format!("<ext id=\"326\" />\n{full}\n<recording>{path}</recording>"),
        CallFact { recording: Some(path.into()), ..call(Happening::Ended, vec![ext("326"), party.clone()]) },
    );
    check("BYE", full, call(Happening::Ended, vec![party]));
}

#[test]
fn answers() {
    check(
        "ANSWER",
        "<ext id=\"200\" /><ext id=\"208\" />",
        call(Happening::Answered, vec![ext("200"), ext("208")]),
    );
    check(
        "ANSWER",
        &format!("<ext id=\"200\" />{VISITOR}"),
        call(Happening::Answered, vec![ext("200"), the_visitor()]),
    );
    check(
        "ANSWER",
        "<ext id=\"212\" />\n  <menu id=\"1\"/>",
        call(Happening::Answered, vec![ext("212"), menu("1")]),
    );
    check(
        "ANSWERED",
        &format!("{OUTER}<ext id=\"200\" />"),
        call(Happening::PeerAnswered, vec![ext("200"), the_outer()]),
    );
    check(
        "ANSWERED",
        "<ext id=\"200\" /><ext id=\"208\" />",
        call(Happening::PeerAnswered, vec![ext("200"), ext("208")]),
    );
}

#[test]
fn bye_names_who_released_first() {
    let ended = |parties| call(Happening::Ended, parties);
    check("BYE", &format!("{VISITOR}<ext id=\"200\" />"), ended(vec![the_visitor(), ext("200")]));
    check("BYE", &format!("<ext id=\"200\" />{VISITOR}"), ended(vec![ext("200"), the_visitor()]));
    let short = outer("", "", "13012345678", "", "");
    check("BYE", "<ext id=\"200\" /><outer to=\"13012345678\" />", ended(vec![ext("200"), short]));
    check("BYE", OUTER, ended(vec![the_outer()]));
    check("BYE", &format!("{VISITOR}{OUTER}"), ended(vec![the_visitor(), the_outer()]));
    let two_way = r#"<outer id="48" from="" to="13012345678" trunk="28900928" callid="49200" />"#;
    check("BYE", two_way, ended(vec![outer("48", "", "13012345678", "28900928", "49200")]));
}

#[test]
fn leaving_a_queue() {
    let path = "20170706/201_3_20170706_155709_A00B_cg.wav";
    let content = format!("<ext id=\"201\" />\n<ext id=\"3\" />\n<recording>{path}</recording>");
    let parties = vec![ext("201"), ext("3")];
    let expected = CallFact { recording: Some(path.into()), ..call(Happening::Ended, parties) };
    check("BYE", &content, expected);
}

#[test]
fn divert_and_transient() {
    let diverted = |parties| call(Happening::Diverted, parties);
    let caller = r#"<visitor id="5" from="13012345678" to="204" callid="12293" />"#;
    let party = visitor("5", "13012345678", "204", "", "12293");
    check("DIVERT", caller, diverted(vec![party.clone()]));
    check("DIVERT", "<ext id=\"208\" />", diverted(vec![ext("208")]));
    let old = format!("{caller}<divert from=\"204\" to=\"205\" />");
    let reason = Some("from 204 to 205".into());
    check("DIVERT", &old, CallFact { reason, ..diverted(vec![party]) });
    check(
        "TRANSIENT",
        &format!("{OUTER}<ext id=\"200\"/>"),
        call(Happening::Placed, vec![ext("200"), the_outer()]),
    );
}

#[test]
fn failures() {
    let failed = |parties, code, reason: &str| CallFact {
        code,
        reason: Some(reason.into()),
        ..call(Happening::Failed, parties)
    };
    check(
        "FAILED",
        "<ext id=\"208\" /><err code=\"8\" reason=\"offline \" />",
        failed(vec![ext("208")], Some(8), "offline"),
    );
    check(
        "FAILED",
        "<ext id=\"200\" /><ext id=\"208\" /><err code=\"4\" reason=\"other call\" />",
        failed(vec![ext("200"), ext("208")], Some(4), "other call"),
    );
    check(
        "FAILED",
        "<called id=\" 208 \" /><err code=\"number\" reason=\"failed reason\" />",
        failed(vec![ext("208")], None, "failed reason"),
    );
    check(
        "FAILED",
        "<error code=\"400\" reason=\"Bad Request\" />",
        failed(vec![], Some(400), "Bad Request"),
    );
}

#[test]
fn invite_and_incoming_name_the_trunk() {
    let content =
        r#"<trunk id="02161204000" /><visitor id="31" from="13012345678" to="02161204000" callid="36895" />"#;
    let caller = visitor("31", "13012345678", "02161204000", "02161204000", "36895");
    check("INVITE", content, call(Happening::Invited, vec![caller.clone()]));
    check("INCOMING", content, call(Happening::Incoming, vec![caller]));
    let alone = Party::Visitor(OutsideParty { trunk: Some("888".into()), ..outside() });
    check("INVITE", "<trunk id=\"888\" />", call(Happening::Invited, vec![alone]));
}

#[test]
fn keys_inside_and_beside_the_party() {
    let digits = |parties, digits: &str, timed_out| CallFact {
        digits: (!digits.is_empty()).then(|| digits.into()),
        timed_out,
        ..call(Happening::Digits, parties)
    };
    let inside = |info: &str| {
        format!(
            "<visitor id=\"22\" from=\"13012345678\" to=\"02161208234\" callid=\"16408\">\n    \
             <info>{info}</info>\n    <menu id=\"1\" />\n  </visitor>"
        )
    };
    let in_menu = || vec![the_visitor(), menu("1")];
    check("DTMF", &inside("12345"), digits(in_menu(), "12345", false));
    check("DTMF", &inside("200#"), digits(in_menu(), "200#", false));
    check("DTMF", &inside("T"), digits(in_menu(), "", true));
    check("DTMF", &inside("1234T"), digits(in_menu(), "1234", true));
    check("DTMF", &inside(""), digits(in_menu(), "", false));
    check(
        "DTMF",
        r#"<outer id="4" from="200" to="13012345678" callid="68671" trunk="02161208234"><info>12345</info><menu id="1" /></outer>"#,
        digits(vec![outer("4", "200", "13012345678", "02161208234", "68671"), menu("1")], "12345", false),
    );
    check(
        "DTMF",
        "<ext id=\"200\" /><info>13012345678#</info><menu id=\"1\" />",
        digits(vec![ext("200"), menu("1")], "13012345678#", false),
    );
    check(
        "DTMF",
        r#"<ext id="300" /><info>5</info><outer id="1" from="300" to="788" trunk="309" callid="32769" />"#,
        digits(vec![ext("300"), outer("1", "300", "788", "309", "32769")], "5", false),
    );
    check(
        "DTMF",
        r#"<menu id="2" /><ext id="300" /><info>7</info><visitor id="1" from="788" to="309" callid="32772" />"#,
        digits(vec![ext("300"), visitor("1", "788", "309", "", "32772"), menu("2")], "7", false),
    );
}

#[test]
fn announcements_end() {
    let ended = |parties| call(Happening::AnnouncementEnded, parties);
    check("EndOfAnn", &format!("{VISITOR}<menu id=\"1\" />"), ended(vec![the_visitor(), menu("1")]));
    check("ENDOFANN", &format!("<menu id=\"1\" />{OUTER}"), ended(vec![the_outer(), menu("1")]));
    check("EndOfAnn", "<ext id=\"200\" /><menu id=\"1\" />", ended(vec![ext("200"), menu("1")]));
    let decoded = om(&event("ENDOFANN", "<ext id=\"200\" />"));
    assert_eq!(decoded.statement.name, "EndOfAnn");
}

#[test]
fn queues_take_calls_or_refuse_them() {
    let queued = |happening, parties, id: &str, count, reason: Option<&str>| CallFact {
        queue: Some(QueueMention { id: id.into(), count: Some(count) }),
        reason: reason.map(Into::into),
        ..call(happening, parties)
    };
    let (taken, refused) = (Happening::Queued, Happening::QueueRefused);
    let ext200 = "<ext id=\"200\" />";
    check(
        "QUEUE",
        &format!("{ext200}<waiting group=\"6\" count=\"1\" />"),
        queued(taken, vec![ext("200")], "6", 1, None),
    );
    check(
        "QUEUE",
        &format!("{VISITOR}<waiting group=\"6\" count=\"2\" />"),
        queued(taken, vec![the_visitor()], "6", 2, None),
    );
    check(
        "QUEUE",
        &format!("{ext200}<waiting group=\"7\" count=\"0\" reason=\"offline \" />"),
        queued(refused, vec![ext("200")], "7", 0, Some("offline")),
    );
    check(
        "QUEUE",
        "<visitor id=\"2\" /><waiting group=\"7\" count=\"30\" reason=\"full\" />",
        queued(refused, vec![visitor("2", "", "", "", "")], "7", 30, Some("full")),
    );
    check("QUEUE", ext200, call(taken, vec![ext("200")]));
}

#[test]
fn unknown_things_are_no_errors() {
    assert_eq!(om_facts(&event("RINGING", "")), [Fact::Unrecognized { name: "RINGING".into() }]);
    assert_eq!(om_facts("<Event/>"), [Fact::Unrecognized { name: "Event".into() }]);
    assert_eq!(om_facts("<Status><ext/></Status>"), [Fact::Unrecognized { name: "Status".into() }]);
    check(
        "RING",
        "<new><deep a=\"1\">x</deep></new><ext id=\"200\" other=\"1\" /><ext />",
        call(Happening::Ringing, vec![ext("200")]),
    );
}
