//! The reports of all four Yeastar generations, each against its exact facts.

mod support;

use support::{call, cdr, ext, one, outer, status, try_decode, visitor};
use switchroom_domain::fact::{
    CallFact, CallWay, CdrFact, Fact, Happening, LineStatus, OutsideParty, Party, PartyState,
};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::Direction;
use switchroom_protocol::{Decoded, Dialect};

#[track_caller]
fn yeastar(body: &str) -> Decoded {
    one(Dialect::Yeastar, body.as_bytes())
}

#[track_caller]
fn check(body: &str, key: &str, expected: CallFact) {
    let expected = CallFact { key: support::text(key), ..expected };
    assert_eq!(yeastar(body).statement.facts, [Fact::Call(Box::new(expected))], "{body}");
}

#[test]
fn both_parties_survive_in_every_generation() {
    let both = || call(Happening::Ringing, vec![ext("106"), ext("101")]);
    for body in [
        r#"{"action":"RING","callid":"1.1","ext":{"extid":"106"},"ext":{"extid":"101"}}"#,
        r#"{"action":"RING","callid":"1.1","call":[{"ext":{"extid":"106"}},{"ext":{"extid":"101"}}],"sn":"3"}"#,
        r#"{"action":"RING","callid":"1.1","call":{"ext":{"extid":"106"},"ext":{"extid":"101"}}}"#,
        r#"{"action":"RING","callid":"1.1","ext":{"extid":["106","101"]},"sn":"a09805021987"}"#,
        r#"{"action":"ring","callid":"1.1","ext":[{"extid":"106"},{"extid":101}]}"#,
        r#"{"action":"RING","callid":1.1,"ext":["106",101]}"#,
    ] {
        check(body, "1.1", both());
    }
}

#[test]
fn ringing_and_ringback_of_the_guide() {
    // Extension 101 calls extension 106.
    let alert = "{\n \"action\":\"ALERT\",\n \"callid\":\"1589947952.1670\",\n \"ext\":{\n \"extid\":[\n \
                 \"101\"\n ]\n },\n \"sn\":\"a09805021987\"\n}\n";
    check(alert, "1589947952.1670", call(Happening::Alerting, vec![ext("101")]));
    assert_eq!(yeastar(alert).sn.as_deref(), Some("a09805021987"));
    // Extension 106 calls the outside number 103.
    let alert = r#"{"action":"ALERT","callid":"1589948179.1692","ext":{"extid":"106"}}"#;
    check(alert, "1589948179.1692", call(Happening::Alerting, vec![ext("106")]));
    let ring = r#"{"action":"RING","callid":"1589948178.1690","outbound":{"from":"106","to":"103",
        "trunk":"to-18-16-2","outboundid":"1589948178.1690"},"ext":{"extid":"106"}}"#;
    let called = outer("1589948178.1690", "106", "103", "to-18-16-2", "");
    check(ring, "1589948178.1690", call(Happening::Ringing, vec![called, ext("106")]));
    // The outside number 103 calls extension 101.
    let caller = || visitor("1589948512.1707", "103", "101", "to-18-16-2", "");
    let inbound = r#""inbound":{"from":"103","to":"101","trunk":"to-18-16-2","inboundid":"1589948512.1707"}"#;
    let alert = format!(r#"{{"action":"ALERT","callid":"1589948512.1709",{inbound},"sn":"a09805021987"}}"#);
    check(&alert, "1589948512.1709", call(Happening::Alerting, vec![caller()]));
    let ring = format!(r#"{{"action":"RING","callid":"1589948512.1709","ext":{{"extid":"101"}},{inbound}}}"#);
    check(&ring, "1589948512.1709", call(Happening::Ringing, vec![ext("101"), caller()]));
}

#[test]
fn a_device_speaks_of_itself() {
    let boot = yeastar(r#"{"action":"BootUp","sn":"369351034049"}"#);
    assert_eq!(boot.statement.facts, [Fact::DeviceBooted]);
    assert_eq!(boot.sn.as_deref(), Some("369351034049"));
    let change =
        yeastar(r#"{"action":"ConfigChange","type":"trunk","trunkname":"SIP-142","operation":"del"}"#);
    assert_eq!(change.statement.facts, [Fact::ConfigChanged { what: Some("trunk SIP-142 del".into()) }]);
    let change = yeastar(r#"{"action":"ConfigChange"}"#);
    assert_eq!(change.statement.facts, [Fact::ConfigChanged { what: None }]);
}

#[test]
fn extension_status_depends_on_the_generation() {
    let v1 = |word: &str| format!(r#"{{"action":"ExtensionStatus","extension":"1010","status":"{word}"}}"#);
    let v2 = |word: &str| format!(r#"{{"event":"ExtensionStatus","extension":1010,"status":"{word}"}}"#);
    for (body, line) in [
        (v1("Registered"), LineStatus::Online),
        (v2("Registered"), LineStatus::RegisteredIdle),
        (v1("Unregistered"), LineStatus::Offline),
        (v2("Unregistered"), LineStatus::Offline),
        (v1("Idle"), LineStatus::Idle),
        (v1("BUSY"), LineStatus::Busy),
        (v2("Ringing"), LineStatus::Ringing),
        (v2("Hold"), LineStatus::OnHold),
    ] {
        assert_eq!(yeastar(&body).statement.facts, [status("1010", line, None)], "{body}");
    }
    let unknown = [Fact::Unrecognized { name: "ExtensionStatus".into() }];
    assert_eq!(yeastar(&v1("Dancing")).statement.facts, unknown);
    assert_eq!(yeastar(r#"{"action":"ExtensionStatus","status":"Idle"}"#).statement.facts, unknown);
}

#[test]
fn calls_that_come_in() {
    let inbound = r#""inbound":{"from":"1000","to":"1002","trunk":"sip-142","inboundid":"1495707950.331"}"#;
    let caller = || visitor("1495707950.331", "1000", "1002", "sip-142", "");
    for (action, happening) in [("Invite", Happening::Invited), ("Incoming", Happening::Incoming)] {
        let body = format!(r#"{{"action":"{action}","callid":"1495707950.331",{inbound}}}"#);
        check(&body, "1495707950.331", call(happening, vec![caller()]));
    }
}

#[test]
fn calls_in_progress() {
    let two = |action: &str| {
        format!(
            r#"{{"action":"{action}","callid":"1495706238.328","ext":{{"extid":"1002"}},"ext":{{"extid":"1000"}}}}"#
        )
    };
    for (action, happening) in [
        ("ANSWER", Happening::Answered),
        ("ANSWERED", Happening::PeerAnswered),
        ("BYE", Happening::Ended),
        ("Hold", Happening::Held),
        ("Transfer", Happening::Transferred),
        ("Tranfer", Happening::Transferred),
    ] {
        check(&two(action), "1495706238.328", call(happening, vec![ext("1002"), ext("1000")]));
    }
    let transfer = r#"{"action":"Tranfer","callid":"1505291815.120","ext":{"extid":"1000"},
        "inbound":{"from":"102","to":"1000","trunk":"Apple_test","inboundid":"1505291815.120"}}"#;
    let caller = visitor("1505291815.120", "102", "1000", "Apple_test", "");
    check(transfer, "1505291815.120", call(Happening::Transferred, vec![ext("1000"), caller]));
}

#[test]
fn failures_keys_prompts_and_surveys() {
    let failed = call(Happening::Failed, vec![]);
    check(
        r#"{"action":"CallFailed","reason":"User busy","callid":"1505294245.162"}"#,
        "1505294245.162",
        CallFact { reason: Some("User busy".into()), ..failed },
    );
    let called = outer("1495705009.316", "1002", "41000", "SIP-142", "");
    check(
        r##"{"action":"DTMF","callid":"1495705009.315","outbound":{"from":"1002","to":"41000","trunk":"SIP-142","outboundid":"1495705009.316"},"info":"#"}"##,
        "1495705009.315",
        CallFact { digits: Some("#".into()), ..call(Happening::Digits, vec![called]) },
    );
    let trunk_only =
        Party::Outer(OutsideParty { trunk: Some("Apple_test".into()), ..OutsideParty::default() });
    check(
        r#"{"action":"PlayPromptEnd","callid":"1505352996.281","outbound":{"trunkname":"Apple_test"},"prompt":"appletest"}"#,
        "1505352996.281",
        call(Happening::AnnouncementEnded, vec![trunk_only]),
    );
    check(
        r#"{"action":"satisfaction","surveyresult":"1","callid":"1504460713.60"}"#,
        "1504460713.60",
        CallFact { digits: Some("1".into()), ..call(Happening::Surveyed, vec![]) },
    );
}

#[test]
fn call_status_names_everyone_with_a_state() {
    let body = r#"{"event":"CallStatus","callid":"1.2","members":[
        {"ext":{"number":1001,"channelid":"SIP/1001-1","memberstatus":"ANSWER","callpath":""}},
        {"ext":{"number":"1002","memberstatus":"HOLD"}},
        {"inbound":{"from":"13012345678","to":"1001","trunkname":"sip-142","channelid":"c9","memberstatus":"ANSWERED"}},
        {"outbound":{"from":"1001","to":"42003","trunkname":"sip-142","channelid":"c10","memberstatus":"new"}}],
        "sn":"369351034049"}"#;
    let in_state = |number: &str, state| Party::Extension { number: number.into(), state: Some(state) };
    let Party::Visitor(caller) = visitor("c9", "13012345678", "1001", "sip-142", "") else { panic!() };
    let parties = vec![
        in_state("1001", PartyState::Talking),
        in_state("1002", PartyState::Held),
        Party::Visitor(OutsideParty { state: Some(PartyState::Talking), ..caller }),
        outer("c10", "1001", "42003", "sip-142", ""),
    ];
    check(body, "1.2", CallFact { complete: true, ..call(Happening::Mentioned, parties) });
    assert_eq!(yeastar(body).statement.name, "CallStatus");
}

const RECORD: &str = r#"{"action":"NewCdr","callid":"1505352445.265","timestart":"2017-09-14 09:27:25",
    "callfrom":"102","callto":"1000","srctrunkname":"Apple_test","desttrunkname":"","callduraction":"38",
    "talkduraction":"29","status":"ANSWERED","type":"Inbound",
    "recording":"20170914092747-1505352445.265-102-1000-Inbound.wav","didnumber":"5503300","sn":"3"}"#;

#[test]
fn a_record_says_all_it_says() {
    let decoded = yeastar(RECORD);
    assert!(decoded.is_record);
    assert_eq!(decoded.statement.name, "NewCdr");
    let record = cdr(&decoded);
    assert_eq!(
        record,
        CdrFact {
            wire_id: record.wire_id.clone(),
            callid: Some("1505352445.265".into()),
            kind: "Inbound".into(),
            from: Some("102".into()),
            to: Some("1000".into()),
            trunk: Some("Apple_test".into()),
            direction: Some(Direction::Inbound),
            started_at_local: Some("2017-09-14 09:27:25".into()),
            started_at: Some(Timestamp(1_505_352_445_000)),
            ended_at: Some(Timestamp(1_505_352_483_000)),
            duration: Some(29),
            recording: Some("20170914092747-1505352445.265-102-1000-Inbound.wav".into()),
            closes_call: true,
            way: CallWay { dialled: Some("5503300".into()), ..CallWay::default() },
            extra: vec![
                ("status".into(), "ANSWERED".into()),
                ("callduraction".into(), "38".into()),
                ("didnumber".into(), "5503300".into()),
            ],
            ..CdrFact::default()
        }
    );
}

#[test]
fn a_record_sent_again_has_the_same_id() {
    let id = cdr(&yeastar(RECORD)).wire_id;
    assert_eq!(cdr(&yeastar(RECORD)).wire_id, id);
    assert_ne!(cdr(&yeastar(&RECORD.replace("Inbound\"", "Transfer\""))).wire_id, id);
    assert_eq!(cdr(&yeastar(&RECORD.replace("\"sn\"", "\"cdrid\":77,\"sn\""))).wire_id, "77");
}

#[test]
fn records_of_other_types_and_spellings() {
    let record = |body: &str| cdr(&yeastar(body));
    for spelling in ["desttrunkname", "dsttrcunkname", "dstrunkname"] {
        let body = format!(
            r#"{{"event":"NewCdr","callid":1,"type":"Outbound","srctrunkname":"in","{spelling}":"out","talkduration":5}}"#
        );
        let record = record(&body);
        assert_eq!(record.trunk.as_deref(), Some("out"), "{spelling}");
        assert_eq!(record.extra, [("srctrunkname".into(), "in".into())], "{spelling}");
        assert_eq!((record.direction, record.duration), (Some(Direction::Outbound), Some(5)));
    }
    for (kind, direction, closes_call) in [
        ("Internal", Some(Direction::Internal), true),
        ("Callback", Some(Direction::Callback), false),
        ("Transfer", None, false),
        ("", None, false),
    ] {
        let record = record(&format!(r#"{{"action":"NewCdr","type":"{kind}","desttrunkname":"out"}}"#));
        assert_eq!((record.direction, record.closes_call), (direction, closes_call), "{kind}");
        assert_eq!(record.trunk.as_deref(), Some("out"));
    }
}

#[test]
fn what_is_unknown_or_no_telephony() {
    let sms = yeastar(r#"{"action":"sms-send","status":"Succeed","smsid":"18396210850-1502874445"}"#);
    assert_eq!(sms.statement.facts, [Fact::Noted { name: "sms-send".into() }]);
    let new = yeastar(r#"{"action":"QueueStatus","x":[{"ext":1}]}"#);
    assert_eq!(new.statement.facts, [Fact::Unrecognized { name: "QueueStatus".into() }]);
    assert_eq!(yeastar("{}").statement.facts, [Fact::Unrecognized { name: "unnamed".into() }]);
}

#[test]
fn broken_and_boundless_bodies() {
    for body in ["", "hello", "[1]", "{\"action\":\"RING\"", "{\"action\":\"RING\",\"ext\":{\"extid\":[\"1\""]
    {
        let error = try_decode(Dialect::Yeastar, body.as_bytes()).expect_err(body);
        assert!(error.offset <= body.len() && error.to_string().starts_with("at byte"), "{error}");
    }
    let crowd = format!(r#"{{"action":"RING","ext":{{"extid":[{}]}}}}"#, "\"1\",".repeat(1000));
    let [Fact::Call(fact)] = &yeastar(&crowd).statement.facts[..] else { panic!("a call") };
    assert_eq!(fact.parties.len(), 64);
    let deep = format!(r#"{{"action":"RING","ext":{}}}"#, "[".repeat(30_000));
    assert!(try_decode(Dialect::Yeastar, deep.as_bytes()).is_err());
    for end in 0..RECORD.len() {
        assert!(try_decode(Dialect::Yeastar, &RECORD.as_bytes()[..end]).is_err());
        let mut broken = RECORD.as_bytes().to_vec();
        broken[end] = 0xff;
        let _ = try_decode(Dialect::Yeastar, &broken);
    }
}

#[test]
fn several_reports_and_a_byte_order_mark() {
    let body = "\u{feff}{\"action\":\"BootUp\"}\r\n{\"action\":\"BootUp\"}\0";
    assert_eq!(try_decode(Dialect::Yeastar, body.as_bytes()).expect("well formed").len(), 2);
}
