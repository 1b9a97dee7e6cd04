//! The call records of the OM manual (2.6) and of live devices: whose they are, which way the call went, and
//! whether it is over.

mod support;

use support::{cdr, om};
use switchroom_domain::fact::{CallWay, CdrFact, CdrSide};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::Direction;

/// A record of type, route, CPN, CDPN, trunk number and party element.
fn record(kind: &str, route: &str, cpn: &str, cdpn: &str, trunk: &str, party: &str) -> CdrFact {
    let body = format!(
        "<Cdr id=\"2820170309162713-0\"><callid>32818</callid>{party}<TimeStart>20170309162708</TimeStart>\
         <Type>{kind}</Type><Route>{route}</Route><CPN>{cpn}</CPN><CDPN>{cdpn}</CDPN>\
         <TimeEnd>20170309162713</TimeEnd><Duration>2</Duration><TrunkNumber>{trunk}</TrunkNumber></Cdr>"
    );
    cdr(&om(&body))
}

const VISITOR: &str = "<visitor id=\"48\" />";
const OUTER: &str = "<outer id=\"34\" />";

#[test]
fn a_record_says_all_it_says() {
    let decoded = om("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Cdr id=\"2820170309162713-0\">\n  \
        <MAC>00:0E:A9:3D:00:0C</MAC>\n  <callid>32818</callid>\n  <visitor id=\"48\" />\n  \
        <TimeStart>20170309162708</TimeStart>\n  <Type>IN</Type>\n  <Route>IP</Route>\n  \
        <CPN>18201008888</CPN>\n  <CDPN>200</CDPN>\n  <TimeEnd>20170309162713</TimeEnd>\n  \
        <Duration>2</Duration>\n  <TrunkNumber>888</TrunkNumber>\n\n  \
        <Recording>20170309/18201008888_200_20170309_162711_8032_cd.wav</Recording>\n  \
        <RecCodec>G729</RecCodec>\n  <NewField>x</NewField>\n</Cdr>\n");
    assert_eq!(decoded.statement.name, "Cdr");
    assert_eq!(decoded.mac.as_deref(), Some("00:0E:A9:3D:00:0C"));
    assert!(decoded.is_record);
    let expected = CdrFact {
        wire_id: "2820170309162713-0".into(),
        callid: Some("32818".into()),
        visitor: Some("48".into()),
        outer: None,
        kind: "IN".into(),
        route: Some("IP".into()),
        from: Some("18201008888".into()),
        to: Some("200".into()),
        trunk: Some("888".into()),
        side: CdrSide::Extension,
        direction: Some(Direction::Inbound),
        started_at_local: Some("20170309162708".into()),
        ended_at_local: Some("20170309162713".into()),
        started_at: Some(Timestamp(1_489_048_028_000)),
        ended_at: Some(Timestamp(1_489_048_033_000)),
        duration: Some(2),
        recording: Some("20170309/18201008888_200_20170309_162711_8032_cd.wav".into()),
        codec: Some("G729".into()),
        closes_call: false,
        way: CallWay::default(),
        extra: vec![("NewField".into(), "x".into())],
    };
    assert_eq!(cdr(&decoded), expected);
}

#[test]
fn sides_directions_and_ends() {
    use CdrSide::{Extension, Trunk};
    use Direction::{Callback, Inbound, Internal, Outbound};
    let outside = "18201008888";
    let table = [
        // 2.6.1: over an IP trunk, the extension's and the trunk's; over an analog trunk, IN and LO.
        (record("IN", "IP", outside, "200", "888", VISITOR), Extension, Some(Inbound), false),
        (record("IN", "IP", outside, "888", "888", VISITOR), Trunk, Some(Inbound), true),
        (record("IN", "XO", outside, "200", "02161205555", VISITOR), Extension, Some(Inbound), false),
        (record("LO", "IC", outside, "200", "", VISITOR), Trunk, Some(Inbound), true),
        // 2.6.2: by an extension, and by a menu.
        (record("OU", "XO", "200", outside, "02161205555", OUTER), Extension, Some(Outbound), true),
        (record("OU", "IP", "", outside, "888", OUTER), Extension, Some(Outbound), true),
        (record("OU", "IP", "888", outside, "888", OUTER), Trunk, Some(Outbound), true),
        // 2.6.3: between extensions.
        (record("LO", "IC", "200", "212", "", ""), Extension, Some(Internal), true),
        (record("IN", "IC", "200", "212", "", ""), Extension, Some(Internal), false),
        // 2.6.4: forwarded.
        (record("FI", "IC", "02167103750", "200", "02161208234", VISITOR), Extension, Some(Inbound), false),
        (record("FW", "XO", "200", "13012345678", "", VISITOR), Trunk, Some(Inbound), false),
        // 2.6.5: both sides outside.
        (record("CB", "IP", outside, "02167103750", "50015", OUTER), Extension, Some(Callback), false),
        (record("CB", "IP", "", "02167103750", "50016", OUTER), Extension, Some(Callback), false),
        // A live device, trunk's API off: no visitor; and the attendant's part, recorded as going out.
        (record("IN", "XO", "13698612743", "316", "88554123", ""), Extension, Some(Inbound), false),
        (record("OU", "OP", "13698612743", "316", "13698612743", ""), Extension, Some(Inbound), true),
        (record("FW", "OP", "13698612743", "316", "", ""), Trunk, Some(Inbound), false),
        (record("FW", "XO", "200", "13012345678", "", ""), Trunk, None, false),
        (record("XX", "", "1", "2", "", ""), Extension, None, false),
        (record("IN", "", "1", "2", "", ""), Extension, None, false),
    ];
    for (record, side, direction, closes_call) in table {
        let said = (record.side, record.direction, record.closes_call);
        assert_eq!(said, (side, direction, closes_call), "{record:?}");
    }
}

#[test]
fn a_record_without_an_id_gets_the_same_one_every_time() {
    let body = "<Cdr><callid>1</callid><Type>IN</Type><CPN>2</CPN></Cdr>";
    let id = cdr(&om(body)).wire_id;
    assert!(id.starts_with("content-") && id.len() == 40, "{id}");
    assert_eq!(cdr(&om(body)).wire_id, id);
    assert_ne!(cdr(&om(&body.replace('2', "3"))).wire_id, id);
}

#[test]
fn what_is_no_time_or_number_is_absent_and_kept_as_text() {
    let body =
        "<Cdr id=\"1\"><TimeStart>20179999000000</TimeStart><Duration>-1</Duration><type>in</type></Cdr>";
    let record = cdr(&om(body));
    assert_eq!((record.started_at, record.duration), (None, None));
    assert_eq!(record.started_at_local.as_deref(), Some("20179999000000"));
    assert_eq!(record.kind, "in");
}
