//! The reports of both ZYCOO revisions, in every form that a body may have, each against its exact facts.

mod support;

use support::{call, cdr, ext, one, outer, status, text, try_decode, visitor};
use switchroom_domain::fact::{CallFact, CallWay, CdrFact, Extent, Fact, Happening, LineStatus};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::Direction;
use switchroom_protocol::{Decoded, Dialect, mac};

#[track_caller]
fn zycoo(body: &str) -> Decoded {
    one(Dialect::Zycoo, body.as_bytes())
}

#[track_caller]
fn check(body: &str, key: &str, expected: CallFact) {
    let expected = CallFact { key: text(key), ..expected };
    assert_eq!(zycoo(body).statement.facts, [Fact::Call(Box::new(expected))], "{body}");
}

/// As the vendor's document prints it, tabs, trailing comma, comments and all.
const DIAL_BEGIN: &str = r#"{
  event:"dialbegein",
  timestamp:"1534993059.785012",           //时间戳
  channel:"DAHDI/i1/18782985586-51",       //主叫通道
  channelstate:"6",
  calleridnum:"18782985586",               //主叫号码
  destchannel:"SIP/886-00000065",          //被叫通道
  destchannelstate:"0",
  destcalleridnum:"886",                   //被叫号码
  destexten:"",
  destuniqueid:"1534993059.630",
  dialstring:"SIP/886",
  uniqueid:"1534993030.626",               //呼叫唯一标识
  mac:"68:69:2e:05:0f:9a",                 //设备MAC地址
}"#;

#[test]
fn an_outside_caller_rings_an_extension() {
    let parties = vec![ext("886"), visitor("1534993030.626", "18782985586", "", "i1", "")];
    check(DIAL_BEGIN, "1534993030.626", call(Happening::Ringing, parties.clone()));
    let decoded = zycoo(DIAL_BEGIN);
    assert_eq!(decoded.statement.name, "dialbegein");
    let written = decoded.mac.expect("it has one");
    assert_eq!(mac::normalise(&written).as_deref(), Some("68:69:2E:05:0F:9A"));

    let json = r#"{"event":"dialbegin","channel":"DAHDI/i1/18782985586-51","calleridnum":"18782985586",
        "destchannel":"SIP/886-00000065","destcalleridnum":886,"uniqueid":"1534993030.626"}"#;
    check(json, "1534993030.626", call(Happening::Ringing, parties.clone()));
    let form = "event=dialbegein&channel=DAHDI%2Fi1%2F18782985586-51&calleridnum=18782985586&\
                destchannel=SIP%2F886-00000065&destcalleridnum=886&uniqueid=1534993030.626";
    check(form, "1534993030.626", call(Happening::Ringing, parties.clone()));
    check(&format!("data={json}"), "1534993030.626", call(Happening::Ringing, parties));
}

#[test]
fn extensions_and_trunks_are_told_apart_by_channel() {
    let dial = |channel: &str, caller: &str, dest_channel: &str, callee: &str| {
        format!(
            "{{event:'dialbegein',channel:'{channel}',calleridnum:'{caller}',destchannel:'{dest_channel}',\
             destcalleridnum:'{callee}',destuniqueid:'9.2',uniqueid:'9.1'}}"
        )
    };
    let ringing = |parties| call(Happening::Ringing, parties);
    check(
        &dial("SIP/808-00000012", "808", "PJSIP/809-00000013", "809"),
        "9.1",
        ringing(vec![ext("809"), ext("808")]),
    );
    check(
        &dial("IAX2/808-12", "808", "SIP/my-trunk-00000013", "13012345678"),
        "9.1",
        ringing(vec![outer("9.2", "808", "13012345678", "my-trunk", ""), ext("808")]),
    );
    check(
        &dial("SIP/808-1", "808", "SIP/my-trunk/13012345678", "13012345678"),
        "9.1",
        ringing(vec![outer("9.2", "808", "13012345678", "my-trunk", ""), ext("808")]),
    );
    check(
        &dial("DAHDI/5-1", "13012345678", "Local/809@from-queue-0001;1", "809"),
        "9.1",
        ringing(vec![ext("809"), visitor("9.1", "13012345678", "", "5", "")]),
    );
    // Without channels, short numbers are extensions.
    check(
        &dial("", "13012345678", "", "809"),
        "9.1",
        ringing(vec![ext("809"), visitor("9.1", "13012345678", "", "", "")]),
    );
    check(&dial("", "", "", ""), "9.1", ringing(vec![]));
    check(
        "{event:'dialbegein',calleridnum:'808',dialstring:'SIP/809',uniqueid:'9.1'}",
        "9.1",
        ringing(vec![ext("809"), ext("808")]),
    );
}

#[test]
fn dialling_ends_by_answer_or_in_vain() {
    let dial = |dialstatus: &str| {
        format!(
            "{{event:\"dialend\",channel: \"DAHDI/i1/18782985586-51\",channelstate: \"\",\n\
             calleridnum: \"18782985586\",\t //主叫号码\ndestchannel:\"SIP/886-00000065\",\n\
             destcalleridnum: \"886\", destexten: \"\",\ndestuniqueid: \"\", uniqueid: \"1534993030.626\",\n\
             dialstatus:\"{dialstatus}\"\n}}"
        )
    };
    let caller = || visitor("1534993030.626", "18782985586", "", "i1", "");
    let key = "1534993030.626";
    let ended =
        |parties, reason: &str| CallFact { reason: Some(reason.into()), ..call(Happening::Ended, parties) };
    check(&dial("hangup"), key, ended(vec![ext("886"), caller()], "hangup"));
    check(&dial("NOANSWER"), key, ended(vec![ext("886"), caller()], "NOANSWER"));
    check(&dial("CANCEL"), key, ended(vec![caller(), ext("886")], "CANCEL"));
    check(&dial("ANSWER"), key, call(Happening::Answered, vec![ext("886"), caller()]));
}

#[test]
fn hangup_with_the_comma_missing() {
    let body = "{\n  event: \"hangup\"\n  calleridnum: \"808\",   // 主叫号码\n  calleridname: \"808\",\n  \
                connectedlinenum: \"809\",\n  connectedlinename: \"809\",\n  uniqueid: \"1325747409.260\",\n}";
    check(body, "1325747409.260", call(Happening::Ended, vec![ext("808"), ext("809")]));
    let outside = "event=hangup&calleridnum=13012345678&connectedlinenum=02161208234&uniqueid=1";
    // The other may have called or have been called: that is for its own report to tell.
    check(outside, "1", call(Happening::Ended, vec![visitor("", "13012345678", "", "", "")]));
}

#[test]
fn extension_status_by_bits_or_words() {
    let line = |fields: &str| {
        zycoo(&format!("{{event: \"extensionstatus\", exten: \"808\", {fields}}}")).statement.facts
    };
    for (fields, expected) in [
        ("statustext: \"Idle\",", LineStatus::Idle),
        ("statustext: \"InUse\"", LineStatus::Busy),
        ("statustext: \"in use & ringing\"", LineStatus::Busy),
        ("statustext: \"Busy\"", LineStatus::Busy),
        ("statustext: \"UNAVAILABLE\"", LineStatus::Offline),
        ("statustext: \"Ringing\"", LineStatus::Ringing),
        ("statustext: \"Hold\"", LineStatus::OnHold),
        ("status: \"0\", statustext: \"Idle\"", LineStatus::Idle),
        ("status: 1", LineStatus::Busy),
        ("status: 2", LineStatus::Busy),
        ("status: 4", LineStatus::Offline),
        ("status: 8", LineStatus::Ringing),
        ("status: 9", LineStatus::Busy),
        ("status: 16", LineStatus::OnHold),
        ("status: 17", LineStatus::OnHold),
        ("status: -1", LineStatus::Offline),
        ("status: 'x', statustext: 'Idle'", LineStatus::Idle),
    ] {
        assert_eq!(line(fields), [status("808", expected, None)], "{fields}");
    }
    assert_eq!(line("status: 32"), [Fact::Unrecognized { name: "extensionstatus".into() }]);
}

#[test]
fn a_passed_menu() {
    let decoded = zycoo(
        "{ event: 'ivr', uuid: '1541643689.15', caller: '810', called: '', callType: 'IN', queueCode: '630',\n\
         startTime: '2018-11-08 10:21:29', //开始\n endTime: '2018-11-08 10:21:32', duration: '3', ivrId: '610',\n\
         ivrName: 'working time', ivrDtmf: '0', trunkNumber: 's', mac: '68:69:2e:03:8b:3e ' \n}",
    );
    assert!(decoded.is_record);
    assert_eq!(decoded.mac.as_deref(), Some("68:69:2e:03:8b:3e"));
    let record = cdr(&decoded);
    let extra = [
        ("callType", "IN"),
        ("queueCode", "630"),
        ("ivrId", "610"),
        ("ivrName", "working time"),
        ("ivrDtmf", "0"),
    ];
    assert_eq!(
        record,
        CdrFact {
            wire_id: record.wire_id.clone(),
            callid: Some("1541643689.15".into()),
            kind: "ivr".into(),
            from: Some("810".into()),
            direction: Some(Direction::Inbound),
            started_at_local: Some("2018-11-08 10:21:29".into()),
            ended_at_local: Some("2018-11-08 10:21:32".into()),
            started_at: Some(Timestamp(1_541_643_689_000)),
            ended_at: Some(Timestamp(1_541_643_692_000)),
            duration: Some(3),
            way: CallWay {
                of: Extent::Menu,
                menu: Some("610".into()),
                digits: Some("0".into()),
                ..CallWay::default()
            },
            extra: extra.map(|(name, text)| (name.into(), text.into())).to_vec(),
            ..CdrFact::default()
        }
    );
}

#[test]
fn a_call_of_the_call_centre() {
    let record = cdr(&zycoo(
        "{ event: 'cc_cdr', uuid: '1541415929.807', caller: '85322361', called: '100', queueCode: '630',\n\
         agentCode: '100', callType: 'incoming', cdrState: 'queue', hangupCause: 'ANALOG ANALOG_EVENT_ONHOOK',\n\
         startTime: '2018-11-05 19:05:31', endTime: '2018-11-05 19:05:39', duration: '8', queueTime: '7',\n\
         ivrTime: '', holdTime: 0, talkingTime: '0', trunkNumber: '', filePath: '', hangupSide: \"caller\",\n\
         missCause: 'MEMBER_CANCEL', //\n mac: '68:69:2e:0b:00:01' \n  }",
    ));
    assert_eq!(record.kind, "cc_cdr");
    assert_eq!(record.callid.as_deref(), Some("1541415929.807"));
    assert_eq!((record.from.as_deref(), record.to.as_deref()), (Some("85322361"), Some("100")));
    assert_eq!((record.direction, record.duration), (Some(Direction::Inbound), Some(0)));
    assert!(record.closes_call && record.trunk.is_none() && record.recording.is_none());
    let extra = |name: &str| record.extra.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str());
    assert_eq!(extra("duration"), Some("8"));
    assert_eq!(extra("holdTime"), Some("0"));
    assert_eq!(extra("missCause"), Some("MEMBER_CANCEL"));
    assert_eq!(extra("ivrTime"), None);
}

const CDR: &str = r#"{ event: "cdr", callerid: "\"808\" <808>", source: "808", destination: "809",
  starttime: "2012-01-05 15:10:09", answertime: "2012-01-05 15:10:10", endtime: "2012-01-05 15:10:11",
  disposition: "ANSWERED", duration: "2", billableseconds: "1", calltype: "", recordfile: "", uniqueid: "1325747409.260" }"#;

#[test]
fn a_plain_record() {
    let record = cdr(&zycoo(CDR));
    assert_eq!((record.from.as_deref(), record.to.as_deref()), (Some("808"), Some("809")));
    assert_eq!((record.direction, record.duration), (Some(Direction::Internal), Some(1)));
    assert_eq!(record.callid.as_deref(), Some("1325747409.260"));
    assert_eq!(record.extra[0], ("callerid".into(), "\"808\" <808>".into()));
    assert!(record.closes_call);
    assert_eq!(cdr(&zycoo(CDR)).wire_id, record.wire_id);
    let outbound = cdr(&zycoo(&CDR.replace("calltype: \"\"", "calltype: \"outbound\"")));
    assert_eq!(outbound.direction, Some(Direction::Outbound));
    assert_ne!(outbound.wire_id, record.wire_id);
}

#[test]
fn what_is_unknown_or_broken() {
    assert_eq!(zycoo("{event:'new'}").statement.facts, [Fact::Unrecognized { name: "new".into() }]);
    assert_eq!(zycoo("a=b").statement.facts, [Fact::Unrecognized { name: "unnamed".into() }]);
    for body in ["", "hello", "{event", "{event:", "{event:'x'", "{event:'x", "=", "data={event"] {
        assert!(try_decode(Dialect::Zycoo, body.as_bytes()).is_err(), "{body}");
    }
    for body in [DIAL_BEGIN, CDR] {
        for end in 0..body.len() {
            let _ = try_decode(Dialect::Zycoo, &body.as_bytes()[..end]);
            let mut broken = body.as_bytes().to_vec();
            broken[end] = 0xff;
            let _ = try_decode(Dialect::Zycoo, &broken);
        }
    }
}

#[test]
fn chinese_in_gb2312_is_understood() {
    let body =
        [&b"{event:'hangup', calleridname:'"[..], b"\xd5\xc5\xc8\xfd", b"', calleridnum:'808'} //\xd6\xf7"]
            .concat();
    assert_eq!(one(Dialect::Zycoo, &body).statement.facts.len(), 1);
}

#[test]
fn a_record_tells_the_way_of_its_call() {
    let record = |fields: &str| {
        cdr(&zycoo(&format!("{{event: 'cc_cdr', uuid: '1.2', callType: 'incoming', {fields}}}"))).way
    };
    let whole = record(
        "queueCode: '630', queueTime: '7', ivrId: '610', ivrDtmf: '12', score: '5', trunkNumber: '02161208234'",
    );
    let expected = CallWay {
        of: Extent::Whole,
        dialled: Some("02161208234".into()),
        queue: Some("630".into()),
        queue_seconds: Some(7),
        menu: Some("610".into()),
        digits: Some("12".into()),
        score: Some("5".into()),
    };
    assert_eq!(whole, expected);
    let nothing =
        record("queueCode: '', queueTime: '0', ivrId: '', ivrDtmf: '', score: '0', trunkNumber: 's'");
    assert_eq!(nothing, CallWay { of: Extent::Whole, ..CallWay::default() });
}
