//! Commands as the vendor's manual prints them, written and read; and commands as applications write them.

mod support {
    pub(crate) mod requests;
}

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use support::requests::REQUESTS;
use switchroom_domain::command::{Command, ExtensionSettings, Forward, Target, TargetKind};
use switchroom_protocol::om::{decode_command, encode_command};
use switchroom_protocol::{is_om_command, sign::Auth};

/// The document in a form in which two that say the same are the same: no declaration, comments or blanks
/// between elements, attributes sorted, empty elements opened and closed.
fn canonical(xml: &str) -> String {
    fn tag(start: &BytesStart<'_>) -> String {
        let mut attributes: Vec<String> = start
            .attributes()
            .map(|a| a.expect("an attribute"))
            .map(|a| format!(" {}={:?}", a.key.as_ref(), a.value))
            .collect();
        attributes.sort();
        format!("<{}{}>", start.name().as_ref(), attributes.concat())
    }
    let mut reader = Reader::from_str(xml);
    let mut out = String::new();
    loop {
        match reader.read_event().expect("well formed") {
            Event::Start(start) => out += &tag(&start),
            Event::Empty(start) => out += &format!("{}</{}>", tag(&start), start.name().as_ref()),
            Event::End(end) => out += &format!("</{}>", end.name().as_ref()),
            Event::Text(text) => out += text.trim(),
            Event::GeneralRef(entity) => out += &format!("&{};", &*entity),
            Event::Eof => return out,
            _ => {}
        }
    }
}

fn command(json: &str) -> Command {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn written(command: &Command) -> String {
    let bytes = encode_command(command, None).unwrap_or_else(|| panic!("{command:?} goes elsewhere"));
    String::from_utf8(bytes).expect("UTF-8")
}

fn understood(body: &str) -> Command {
    decode_command(body.as_bytes()).expect("well formed").command.unwrap_or_else(|e| panic!("{body}: {e}"))
}

#[test]
fn commands_are_written_as_the_manual_prints_them() {
    for (chapter, document, json) in REQUESTS {
        let command = command(json);
        assert_eq!(command.check(), Ok(()), "{chapter}");
        // Blanks around a value, as in `<autoAnswer>yes </autoAnswer>`, are not ours to copy.
        assert_eq!(canonical(&written(&command)), canonical(document), "{chapter}");
    }
}

#[test]
fn commands_are_read_as_the_manual_prints_them() {
    for (chapter, document, json) in REQUESTS {
        let mut expected = command(json);
        if let Command::AssignExtension { settings, .. } = &mut expected {
            settings.groups.get_or_insert_default();
        }
        assert_eq!(understood(document), expected, "{chapter}");
        assert!(is_om_command(document.as_bytes()), "{chapter}");
    }
}

#[test]
fn the_layout_is_the_manuals() {
    let query = Command::Query { target: Target::Device };
    let auth = Auth {
        nonce: "14314".into(),
        timestamp: "1455433892".into(),
        signature: "24fe6019c3f284789f8cfacc3446e7ed".into(),
    };
    let expected = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Auth>\n  <Timestamp>1455433892</Timestamp>\n  \
                    <nonce>14314</nonce>\n  <Signature>24fe6019c3f284789f8cfacc3446e7ed</Signature>\n</Auth>\n\
                    <Control attribute=\"Query\">\n  <DeviceInfo />\n</Control>\n";
    let bytes = encode_command(&query, Some(&auth)).expect("a body");
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
    let read = decode_command(&bytes).expect("well formed");
    assert_eq!(read.auth, Some(auth));
    assert_eq!(
        (read.root.as_str(), read.attribute.as_deref(), read.command),
        ("Control", Some("Query"), Ok(query))
    );
    let group = command(r#"{"command":"assign_group","group":2,"members":["200"]}"#);
    assert_eq!(
        written(&group),
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Control attribute=\"Assign\">\n  <group id=\"2\">\n    \
         <ext>200</ext>\n  </group>\n</Control>\n"
    );
}

#[test]
fn whatever_is_in_a_value_stays_in_it() {
    let hostile = command(r#"{"command":"hold","extension":"1\"/><Control attribute='Clear'>&"}"#);
    let text = written(&hostile);
    assert!(text.contains(r#"id="1&quot;/&gt;&lt;Control attribute=&apos;Clear&apos;&gt;&amp;""#), "{text}");
    assert_eq!(understood(&text), hostile);
}

#[test]
fn all_of_a_kind() {
    let all = |kind| written(&Command::Query { target: Target::all(kind) });
    for kind in [TargetKind::Visitor, TargetKind::Outer, TargetKind::Group, TargetKind::Menu] {
        assert!(all(kind).contains(&format!("<{} id=\"\" />", kind.as_str())), "{kind:?}");
        for form in ["<visitor/>", "<visitor id=\"\"/>", "<visitor id=' '></visitor>"] {
            let body = format!("<Control attribute='Query'>{form}</Control>");
            assert_eq!(understood(&body.replace("visitor", kind.as_str())), command_for_all(kind));
        }
    }
    // No device lists these; the query for the device does (2.1.1.1).
    for kind in [TargetKind::Extension, TargetKind::Trunk] {
        assert!(all(kind).contains("<DeviceInfo />"));
    }
}

fn command_for_all(kind: TargetKind) -> Command {
    Command::Query { target: Target::all(kind) }
}

#[test]
fn the_alarm_is_turned_off_by_midnight() {
    let off = r#"{"command":"assign_extension","line_id":"Phone 1","settings":{"wake_up":null,"groups":[]}}"#;
    assert!(written(&command(off)).contains("<WAKEUP>00:00</WAKEUP>"));
    assert_eq!(understood(&written(&command(off))), command(off));
}

#[test]
fn a_callback_names_its_trunks_by_display() {
    let call = |trunk: &str| {
        command(&format!(
            r#"{{"command":"connect","from":{{"number":"1","{trunk}":"50018"}},"to":{{"number":"2"}}}}"#
        ))
    };
    assert_eq!(written(&call("trunk")), written(&call("display")));
}

#[test]
fn what_does_not_go_over_xml_is_not_written() {
    assert_eq!(encode_command(&command(r#"{"command":"read_parameter","name":"API_MAC"}"#), None), None);
}

#[test]
fn applications_write_as_they_like() {
    let hold = command(r#"{"command":"hold","extension":"200"}"#);
    for body in [
        "\r\n  <?xml version=\"1.0\" encoding=\"utf-8\" ?>\r\n<Control attribute=\"Hold\">\r\n\t<ext id=\"200\"/>\r\n</Control>\r\n",
        "<control ATTRIBUTE=' hold '><EXT ID=' 200 '></EXT></control>",
        "<Control x='1' attribute='Hold'><ext lineid='Phone 1' id='200'/> // who\n</Control>\0",
        "\u{feff}<Auth/><Control attribute='Hold'><ext>200</ext></Control>",
        "<?xml version=\"1.0\" encoding=\"udf-8\" ?><Control attribute='Hold'><ext id='200'/></Control>",
        "<Control attribute='Hold'><ext id='&#50;00'/></ext></Control>",
    ] {
        assert_eq!(understood(body), hold, "{body}");
    }
    let signed = "<AUTH><SIGNATURE> b </SIGNATURE><Nonce>23</Nonce><timestamp>42</timestamp></AUTH>\
                  <Control attribute=\"Hold\"><ext id=\"200\"/></Control>";
    let auth = Auth { nonce: "23".into(), timestamp: "42".into(), signature: "b".into() };
    assert_eq!(decode_command(signed.as_bytes()).map(|read| read.auth), Ok(Some(auth)));
    // Chapter 5.4 as printed.
    let cleared = "<Control attribute=\"Assign\">\n <group id=\"7\"/>\n </group>\n</Control>";
    assert_eq!(understood(cleared), command(r#"{"command":"assign_group","group":7}"#));
    // The example of 2.1.2.1 and chapter 5.4 switch with yes and no what the table switches with on and off.
    let quiet = "<Control attribute='Assign'><ext lineid='Phone 1'><No_Disturb>yes</No_Disturb><api>0x17</api>\
                 <Fwd_Number></Fwd_Number></ext></Control>";
    let settings = ExtensionSettings {
        do_not_disturb: Some(true),
        api: Some(0x17),
        groups: Some(vec![]),
        forward: Some(Forward { kind: None, number: Some("".into()) }),
        ..ExtensionSettings::default()
    };
    let assigned = Command::AssignExtension { line_id: "Phone 1".into(), settings: Box::new(settings) };
    assert_eq!(understood(quiet), assigned);
    for (tag, answers) in [("<AutoAnswer/>", true), ("<autoanswer>no</autoanswer>", false)] {
        let body = format!(
            "<Transfer attribute='Connect'><visitor id='1'/><ext id='2'/>{tag}<voicefile> a + +b</voicefile></Transfer>"
        );
        let Command::Connect { auto_answer, voice_file, .. } = understood(&body) else {
            panic!("{body} connects")
        };
        assert_eq!((auto_answer, voice_file), (answers, vec!["a".into(), "b".into()]));
    }
}

#[test]
fn what_is_not_understood_is_named() {
    for (body, word) in [
        ("<Control attribute='Dance'><ext id='1'/></Control>", "Dance"),
        ("<Control><ext id='1'/></Control>", "unknown command"),
        ("<Event attribute='RING'/>", "Event"),
        ("<Control attribute='Hold'><ext id=''/></Control>", "ext"),
        ("<Control attribute='Query'><ext/></Control>", "names it"),
        ("<Control attribute='Query'/>", "one thing"),
        ("<Control attribute='Query'><cat id='1'/></Control>", "cat"),
        ("<Control attribute='Monitor'><ext id='1'/></Control>", "two extensions"),
        ("<Control attribute='Assign'><ext id='1'/></Control>", "lineid"),
        ("<Control attribute='Assign'><ext lineid='1'><WAKEUP>25:00</WAKEUP></ext></Control>", "WAKEUP"),
        ("<Control attribute='Assign'><ext lineid='1'><group>x</group></ext></Control>", "group"),
        ("<Control attribute='Assign'><menu id='x'/></Control>", "number"),
        ("<Control attribute='Assign'><menu id='1'><repeat>x</repeat></menu></Control>", "repeat"),
        (
            "<Control attribute='Assign'><group id='1'><distribution>x</distribution></group></Control>",
            "distribution",
        ),
        ("<Transfer attribute='Connect'><ext id='1'/></Transfer>", "voice file"),
        ("<Transfer attribute='Connect'><outer/><ext id='1'/></Transfer>", "outer"),
        ("<Transfer attribute='Queue'><visitor id='1'/></Transfer>", "waits"),
        ("<Manage attribute='Query'/>", "voice files"),
    ] {
        let error =
            decode_command(body.as_bytes()).expect("well formed").command.expect_err(body).to_string();
        assert!(error.contains(word), "{body}: {error}");
    }
    for (body, word) in [
        ("", "no command"),
        ("<Auth/>", "no command"),
        ("<Control/><Control/>", "more than one"),
        ("<Control><ext></Control>", "expected"),
        ("</Control>", "nothing"),
        ("<Control>", "ends inside"),
        ("Control", "outside"),
    ] {
        let error = decode_command(body.as_bytes()).expect_err(body);
        assert!(error.reason.contains(word), "{body}: {error}");
    }
    let deep = "<a>".repeat(100_000);
    assert!(decode_command(deep.as_bytes()).expect_err("bounded").reason.contains("deeper"));
    let many = format!("<Control>{}</Control>", "<a/>".repeat(70_000));
    assert!(decode_command(many.as_bytes()).expect_err("bounded").reason.contains("more than"));
}
