//! Replies as the vendor's manual prints them, and what devices send beside.

use proptest::collection::vec;
use proptest::prelude::*;
use switchroom_domain::command::{Command, Target, TargetKind};
use switchroom_domain::reply::{Failure, LineState, Reply, TalkState};
use switchroom_protocol::DecodeError;
use switchroom_protocol::om::decode_reply;

/// Chapter, document without declaration and blanks between elements, and the reply as JSON. As printed, slips
/// and all, but for the long list of 2.3.1, of which there are four files here.
const REPLIES: &[(&str, &str, &str)] = &[
    (
        "2.1.1.1",
        r##"<DeviceInfo><manufacturer>New Rock Technologies, Inc</manufacturer><model>Rev 6.0.0 OM20-2S/2</model><version>Rev 2.1.5.111</version><mac>00:0E:A9:00:12:BD </mac><devices><ext lineid="Phone 1" id="200" /><ext lineid="IPPhone 50" id="208" /><line lineid="Line 2" id="02161208234" /><line lineid="IPLine 21" id="02161204000" /><group id="1"><ext id="200" /></group></devices></DeviceInfo>"##,
        r##"{"kind":"device","manufacturer":"New Rock Technologies, Inc","model":"Rev 6.0.0 OM20-2S/2","version":"Rev 2.1.5.111","mac":"00:0E:A9:00:12:BD","extensions":[{"line_id":"Phone 1","number":"200"},{"line_id":"IPPhone 50","number":"208"}],"trunks":[{"line_id":"Line 2","number":"02161208234"},{"line_id":"IPLine 21","number":"02161204000"}],"groups":[{"group":1,"members":["200"],"distribution":null,"voice_file":null,"waiting":[]}]}"##,
    ),
    (
        "2.1.1.2",
        r##"<Status><ext id="208"><lineid>Phone 1</lineid><group id="1"/><group id="2"/><staffid>1304081</staffid><Call_Pickup>yes</Call_Pickup><Fwd_Number>18603752801</Fwd_Number><Call_Restriction>3</Call_Restriction><Off_Line_Num>200</Off_Line_Num><mobile>18603752800</mobile><fork>18603752802</fork><email>admin@hotmail.com</email><record>on</record><api>7</api><voicefile>welcome</voicefile><state>active</state><outer id="8" from="208" to="13012345678" trunk="02161208234" callid="28680"><state>talk</state></outer></ext></Status>"##,
        r##"{"kind":"status","extensions":[{"number":"208","line_id":"Phone 1","state":"active","settings":{"staff_id":"1304081","mobile":"18603752800","email":"admin@hotmail.com","groups":[1,2],"voice_file":"welcome","call_restriction":3,"call_pickup":true,"forward":{"number":"18603752801"},"fork":"18603752802","record":true,"api":7},"offline_number":"200","with":[{"kind":"outer","id":"8","from":"208","to":"13012345678","trunk":"02161208234","callid":"28680","state":"talk"}]}]}"##,
    ),
    (
        "2.1.1.3",
        r##"<Status><trunk id="2174"><lineid>Line 75</lineid><state>active</state><visitor id="2" from="202" to="2174" callid="36866"><state>talk</state></visitor></trunk></Status>"##,
        r##"{"kind":"status","trunks":[{"number":"2174","line_id":"Line 75","state":"active","with":[{"kind":"visitor","id":"2","from":"202","to":"2174","callid":"36866","state":"talk"}]}]}"##,
    ),
    (
        "2.1.1.4",
        r##"<Status><visitor id="1" from="02167103750" to="02161208234" callid="49189"><ext id=" 200" /><state> progress </state></visitor></Status>"##,
        r##"{"kind":"status","visitors":[{"kind":"visitor","id":"1","from":"02167103750","to":"02161208234","callid":"49189","state":"progress","with":[{"kind":"extension","id":"200"}]}]}"##,
    ),
    (
        "2.1.1.5",
        r##"<Status><outer id="5" from="200" to="13012345678" trunk="02161208234" callid="32773"><outer id="5" from="200" to="13012345678" trunk="02161208234" callid="32773"/></outer></Status>"##,
        r##"{"kind":"status","outers":[{"kind":"outer","id":"5","from":"200","to":"13012345678","trunk":"02161208234","callid":"32773"}]}"##,
    ),
    (
        "2.1.1.6",
        r##"<Status><group id="1"><ext id="200"/><ext id="208"/><voicefile>NowMorning</voicefile><distribution>sequential</distribution><visitor id="27" from="02167103750" to="02161208234" callid="49162"/><visitor id="28" from="13012345678" to="02161204000" callid="49164"/></group></Status>"##,
        r##"{"kind":"status","groups":[{"group":1,"members":["200","208"],"distribution":"sequential","voice_file":"NowMorning","waiting":[{"kind":"visitor","id":"27","from":"02167103750","to":"02161208234","callid":"49162"},{"kind":"visitor","id":"28","from":"13012345678","to":"02161204000","callid":"49164"}]}]}"##,
    ),
    (
        "2.1.1.7",
        r##"<Status><menu id="1"><voicefile>welcome</voicefile><repeat>3</repeat><infolength>5</infolength><exit>#</exit><outer id="44" from="200" to="02167103750" trunk="02161208234"/><visitor id="46" from="13012345678" to="02161204000"/></menu></Status>"##,
        r##"{"kind":"status","menus":[{"menu":1,"voice_file":"welcome","repeat":3,"info_length":5,"exit":"#","with":[{"kind":"outer","id":"44","from":"200","to":"02167103750","trunk":"02161208234"},{"kind":"visitor","id":"46","from":"13012345678","to":"02161204000"}]}]}"##,
    ),
    (
        "2.1.2.1",
        r##"<Status><ext id="208"><id>208</id><staffid>1304081</staffid><mobile>18603752800</mobile><group>1</group><group>2</group><voicefile>busy</voicefile><email>admin@hotmail.com</email><Call_Restriction>3</Call_Restriction><Call_Pickup>no</Call_Pickup><No_Disturb>off</ No_Disturb><Fwd_Type>0</Fwd_Type><Fwd_Number>18603752801</Fwd_Number><Fork>18603752802</Fork><Off_Line_Num>218</Off_Line_Num><WAKEUP>06:30</WAKEUP><record>on</record><autoAnswer>yes </autoAnswer><api>7</api></ext></Status>"##,
        r##"{"kind":"status","extensions":[{"number":"208","line_id":null,"state":null,"settings":{"id":"208","staff_id":"1304081","mobile":"18603752800","email":"admin@hotmail.com","groups":[1,2],"voice_file":"busy","call_restriction":3,"call_pickup":false,"do_not_disturb":false,"forward":{"type":"off","number":"18603752801"},"fork":"18603752802","wake_up":"06:30","record":true,"auto_answer":true,"api":7},"offline_number":"218","with":[]}]}"##,
    ),
    (
        "2.1.2.2",
        r##"<Status><group id="1"><voicefile>NewMorning</voicefile><ext id="200"/><ext id="208"/><!-- Empty Waiting List --></group></Status>"##,
        r##"{"kind":"status","groups":[{"group":1,"members":["200","208"],"distribution":null,"voice_file":"NewMorning","waiting":[]}]}"##,
    ),
    (
        "2.1.2.3",
        r##"<Status><menu id="1"><voicefile> welcome </voicefile><repeat>3</repeat><infolength>5</infolength><exit>#</exit><outer id="44" from="200" to="02167103750" trunk="02161208234"/><visitor id="46" from="13012345678" to="02161204000"/></menu></Status>"##,
        r##"{"kind":"status","menus":[{"menu":1,"voice_file":"welcome","repeat":3,"info_length":5,"exit":"#","with":[{"kind":"outer","id":"44","from":"200","to":"02167103750","trunk":"02161208234"},{"kind":"visitor","id":"46","from":"13012345678","to":"02161204000"}]}]}"##,
    ),
    (
        "2.2.1.2",
        r##"<Event attribute="TRANSIENT"><outer id="66" from="208" to="13012345678" trunk="50017" callid="8258"/><ext id="208"/></Event>"##,
        r##"{"kind":"begun","parties":[{"kind":"outer","id":"66","from":"208","to":"13012345678","trunk":"50017","callid":"8258"},{"kind":"extension","id":"208"}]}"##,
    ),
    (
        "2.2.1.2",
        r##"<Event attribute="TRANSIENT"><outer from="208" to="13012345678"/><ext id="208"/></Event>"##,
        r##"{"kind":"begun","parties":[{"kind":"outer","from":"208","to":"13012345678"},{"kind":"extension","id":"208"}]}"##,
    ),
    (
        "2.2.1.3",
        r##"<Event attribute="TRANSIENT"><visitor id="14" from="13012345678" to="02161208234" callid="49226" /><ext id="200" /></Event>"##,
        r##"{"kind":"begun","parties":[{"kind":"visitor","id":"14","from":"13012345678","to":"02161208234","callid":"49226"},{"kind":"extension","id":"200"}]}"##,
    ),
    (
        "2.2.1.4",
        r##"<Event attribute="TRANSIENT"><visitor id="46" from="13012345678" to="02161204000" callid="41006"/><outer to="02167103750"/></Event>"##,
        r##"{"kind":"begun","parties":[{"kind":"visitor","id":"46","from":"13012345678","to":"02161204000","callid":"41006"},{"kind":"outer","to":"02167103750"}]}"##,
    ),
    (
        "2.2.1.5",
        r##"<Event attribute="TRANSIENT"><visitor id="41" from="02167103750" to="02161204000" callid="41001"/><menu id="1" /></Event>"##,
        r##"{"kind":"begun","parties":[{"kind":"visitor","id":"41","from":"02167103750","to":"02161204000","callid":"41001"},{"kind":"menu","id":"1"}]}"##,
    ),
    (
        "2.2.1.6",
        r##"<Event attribute="TRANSIENT"><outer id="14" from="200" to="13012345678" trunk="61208111" callid="8258"/></Event>"##,
        r##"{"kind":"begun","parties":[{"kind":"outer","id":"14","from":"200","to":"13012345678","trunk":"61208111","callid":"8258"}]}"##,
    ),
    (
        "2.2.1.7",
        r##"<Event attribute="TRANSIENT"><outer id="14" from="200" to="02167103750" trunk="02161204000" callid="49174" /><outer to="13012345678"/></Event>"##,
        r##"{"kind":"begun","parties":[{"kind":"outer","id":"14","from":"200","to":"02167103750","trunk":"02161204000","callid":"49174"},{"kind":"outer","to":"13012345678"}]}"##,
    ),
    (
        "2.2.1.8",
        r##"<Event attribute="TRANSIENT"><outer id="14" from="200" to="02167103750" trunk="02161204000" callid="49174" /><menu id="1"/></Event >"##,
        r##"{"kind":"begun","parties":[{"kind":"outer","id":"14","from":"200","to":"02167103750","trunk":"02161204000","callid":"49174"},{"kind":"menu","id":"1"}]}"##,
    ),
    (
        "2.2.1.10",
        r##"<Event attribute="TRANSIENT"><outer id="1" from="" to="13012345678" trunk="02161208234" callid="20481"/><menu id="1"/></Event>"##,
        r##"{"kind":"begun","parties":[{"kind":"outer","id":"1","to":"13012345678","trunk":"02161208234","callid":"20481"},{"kind":"menu","id":"1"}]}"##,
    ),
    (
        "2.2.1.11",
        r##"<Event attribute="TRANSIENT"><outer id="3" from="" to="13012345678" trunk="02161208234" callid="45059"/></Event>"##,
        r##"{"kind":"begun","parties":[{"kind":"outer","id":"3","to":"13012345678","trunk":"02161208234","callid":"45059"}]}"##,
    ),
    (
        "2.2.2.1",
        r##"<Event attribute="TRANSIENT"><visitor id="1" from="02167103750" to="02161208234" callid="16385"/><ext id="200"/><state>wait</state></Event>"##,
        r##"{"kind":"begun","parties":[{"kind":"visitor","id":"1","from":"02167103750","to":"02161208234","callid":"16385"},{"kind":"extension","id":"200"}],"waiting":true}"##,
    ),
    (
        "2.2.2.2",
        r##"<Event attribute="TRANSIENT"><visitor id="1" from="13012345678" to="02161208234" callid="20481"/><group id="1"/></Event>"##,
        r##"{"kind":"begun","parties":[{"kind":"visitor","id":"1","from":"13012345678","to":"02161208234","callid":"20481"},{"kind":"group","id":"1"}]}"##,
    ),
    (
        "2.3.1",
        r##"<Status><voicefile>user_file1.pcm|user_file2.pcm|welcome1.pcm|noanswer.dat </voicefile></Status>"##,
        r##"{"kind":"status","voice_files":["user_file1.pcm","user_file2.pcm","welcome1.pcm","noanswer.dat"]}"##,
    ),
    ("2.3.2", r##"<Event attribute="OK"></Event>"##, r##"{"kind":"done"}"##),
    (
        "2.5.3.7",
        r##"<Event attribute="FAILED"><ext id="208" /><err code="8" reason="offline" /></Event>"##,
        r##"{"kind":"failed","code":8,"reason":"offline"}"##,
    ),
    (
        "2.5.3.7",
        r##"<Event attribute="FAILED"><ext id="200" /><ext id="208" /><err code="4" reason="other call" /></Event>"##,
        r##"{"kind":"failed","code":4,"reason":"other call"}"##,
    ),
    (
        "2.5.3.7",
        r##"<Event attribute="FAILED"><called id="208" /><err code="3" reason="offline " /></Event>"##,
        r##"{"kind":"failed","code":3,"reason":"offline"}"##,
    ),
    (
        "4.4.2",
        r##"<unauthorized/><err code="102" reason="password validation failure"/>"##,
        r##"{"kind":"unauthorized","code":102,"reason":"password validation failure"}"##,
    ),
];

fn hold() -> Command {
    Command::Hold { extension: "200".into() }
}

fn query() -> Command {
    Command::Query { target: Target::all(TargetKind::Visitor) }
}

fn read(body: &str) -> Result<Reply, DecodeError> {
    decode_reply(&hold(), body.as_bytes())
}

#[track_caller]
fn reply(body: &str) -> Reply {
    read(body).unwrap_or_else(|error| panic!("{body}: {error}"))
}

#[test]
fn replies_are_read_as_the_manual_prints_them() {
    for (chapter, document, json) in REPLIES {
        for body in [
            (*document).to_owned(),
            format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\r\n{}\n",
                document.replace("><", ">\r\n\t<")
            ),
        ] {
            let json_of_it = serde_json::to_string(&reply(&body)).expect("JSON");
            assert_eq!(&json_of_it, json, "{chapter}");
            assert_eq!(serde_json::from_str::<Reply>(json).expect("read back"), reply(&body), "{chapter}");
        }
    }
}

#[test]
fn an_empty_body_is_success_and_no_answer() {
    for body in ["", " \r\n", "\0", "<?xml version=\"1.0\"?>\n", "<!--\u{5305}\u{4f53}\u{4e3a}\u{7a7a}-->"] {
        assert_eq!(read(body), Ok(Reply::Done), "{body:?}");
        for asking in [query(), Command::QueryVoiceFiles {}] {
            let error = decode_reply(&asking, body.as_bytes()).expect_err(body);
            assert!(error.reason.contains("told nothing"), "{error}");
        }
    }
    // Nobody calls: that is an answer.
    assert!(matches!(decode_reply(&query(), b"<Status/>"), Ok(Reply::Status(_))));
}

#[test]
fn every_failure_has_its_code() {
    for (code, reason, failure) in [
        (1, "temp failure", Failure::Temporary),
        (2, "restricted", Failure::Restricted),
        (3, "offline ", Failure::CalledOffline),
        (4, "other call", Failure::OtherCall),
        (5, "no circuit", Failure::NoCircuit),
        (6, "busy", Failure::Busy),
        (7, "not exist", Failure::NotExist),
        (8, "offline", Failure::CallerOffline),
    ] {
        let body = format!(
            "<Event attribute=\" FAILED\"><called id=\"1\"/><err code=\"{code}\" reason=\"{reason}\" /></Event>"
        );
        assert_eq!(reply(&body), Reply::Failed { code: Some(code), reason: Some(reason.trim().into()) });
        assert_eq!(Failure::from_code(code), Some(failure));
    }
    let nothing = Reply::Failed { code: None, reason: None };
    assert_eq!(reply("<Event attribute='FAILED'/>"), nothing);
    assert_eq!(reply("<Event attribute='FAILED'><err code='x' reason=''/></Event>"), nothing);
}

#[test]
fn who_may_not_is_told_in_many_ways() {
    let refused = Reply::Unauthorized { code: Some(103), reason: Some("nonce timeout".into()) };
    for body in [
        "<unauthorized/>\n<err code=\"103\" reason=\"nonce timeout\"/>",
        "<Unauthorized><err code=\"103\" reason=\"nonce timeout\"/></Unauthorized>",
        "<err code=\"103\" reason=\"nonce timeout\"/><unauthorized/>",
        "<err code=\"103\" reason=\"nonce timeout\"/>",
    ] {
        assert_eq!(reply(body), refused, "{body}");
    }
    for body in ["<unauthorized/>", "Unauthorized\n"] {
        assert_eq!(reply(body), Reply::Unauthorized { code: None, reason: None }, "{body}");
    }
    let other = reply("<error code=\"422\" reason=\"x Param Unrecognized\"/>");
    assert_eq!(other, Reply::Failed { code: Some(422), reason: Some("x Param Unrecognized".into()) });
    assert!(!refused.is_success() && !other.is_success());
}

#[test]
fn states_are_known_in_any_case() {
    let status = |body: &str| match reply(body) {
        Reply::Status(status) => *status,
        other => panic!("{body}: {other:?}"),
    };
    for (word, state) in [
        ("Ready", LineState::Ready),
        (" active ", LineState::Active),
        ("PROGRESS", LineState::Progress),
        ("Offline", LineState::Offline),
        ("Offhook", LineState::Offhook),
        ("unwired", LineState::Unwired),
    ] {
        let read = status(&format!(
            "<Status><ext id='1'><state>{word}</state></ext><trunk id='2'><state>{word}</state></trunk></Status>"
        ));
        assert_eq!((read.extensions[0].state, read.trunks[0].state), (Some(state), Some(state)));
    }
    let busy = status(
        "<Status><visitor id='1'><outer id='1'><state>Wait</state></outer><state>x</state></visitor></Status>",
    );
    assert_eq!((busy.visitors[0].state, busy.visitors[0].with[0].state), (None, Some(TalkState::Wait)));
    // What makes no sense, or is empty, is absent.
    let odd = status(
        "<Status><ext id='1'><api>many</api><WAKEUP>00:00</WAKEUP><mobile></mobile></ext><menu id='x'/>\
         <group/><else/><voicefile>|a.pcm| </voicefile></Status>",
    );
    let settings = &odd.extensions[0].settings;
    assert_eq!((settings.api, settings.wake_up, &settings.mobile), (None, Some(None), &None));
    assert!(odd.menus.is_empty() && odd.groups.is_empty());
    assert_eq!(odd.voice_files, Some(vec!["a.pcm".into()]));
}

#[test]
fn what_no_device_answers_is_an_error() {
    for (body, word) in [
        ("<html><body>404</body></html>", "html"),
        ("<Event attribute=\"RING\"><ext id=\"1\"/></Event>", "RING"),
        ("<Event/>", "event"),
        ("Not found", "outside"),
        ("<Status>", "ends inside"),
    ] {
        let error = read(body).expect_err(body);
        assert!(error.reason.contains(word), "{body}: {error}");
    }
}

proptest! {
    #[test]
    fn anything_gets_an_answer(body in vec(any::<u8>(), 0..200)) {
        let _ = (decode_reply(&hold(), &body), decode_reply(&query(), &body));
    }

    #[test]
    fn pieces_of_replies_get_an_answer(pieces in vec(prop::sample::select(vec![
        "<Status>", "</Status>", "<ext id='1'>", "</ext>", "<state>wait</state>", "<group id='1'>", "</group>", "<outer id='5'>",
        "</outer>", "<Event attribute='TRANSIENT'>", "</Event>", "<unauthorized/>", "<err code='100'/>", "<DeviceInfo>",
        "</DeviceInfo>", "<devices>", "</devices>", "|", "&#50;", "<rsp stat='ok'>", "<item value='1'/>", "</rsp>",
    ]), 0..12)) {
        let body = pieces.concat();
        let parameter = Command::ReadParameter { name: "API_MAC".into(), line_id: None };
        for command in [hold(), query(), parameter] {
            let first = decode_reply(&command, body.as_bytes());
            prop_assert_eq!(first, decode_reply(&command, body.as_bytes()));
        }
    }
}
