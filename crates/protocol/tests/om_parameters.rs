//! The parameters of chapter 6.1, the URLs that set them, and which firmware understands what.

use switchroom_domain::command::Command;
use switchroom_domain::reply::Reply;
use switchroom_protocol::om::capabilities::{
    Feature, Refusal, Requirement, Revision, call_centre_refusal, needs, refusal,
};
use switchroom_protocol::om::decode_reply;
use switchroom_protocol::om::parameters::{
    self, ALL, Parameter, ParameterReply, Stat, decode_response, find, read_path, write_path,
};

#[track_caller]
fn parameter(name: &str) -> &'static Parameter {
    find(name).unwrap_or_else(|| panic!("{name} is a parameter"))
}

#[track_caller]
fn command(json: &str) -> Command {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn all_are_found_by_name_and_number() {
    assert_eq!(ALL.len(), 17);
    for known in ALL {
        assert_eq!(find(known.name), Some(known));
        assert_eq!(find(&known.id.to_string()), Some(known));
        assert_eq!(known.check(known.default), Ok(()), "{}", known.name);
        assert!(!known.kind.range().is_empty() && !known.meaning.is_empty());
    }
    assert_eq!(find(" api_mac "), find("349"));
    assert_eq!((find("API_NOTHING"), find("1"), find("")), (None, None, None));
    let of = |test: fn(&Parameter) -> bool| -> Vec<&str> {
        ALL.iter().filter(|parameter| test(parameter)).map(|parameter| parameter.name).collect()
    };
    assert_eq!(of(|parameter| parameter.per_line), ["FT_API_1", "FT_ALERT_INFO_X"]);
    assert_eq!(of(Parameter::is_secret), ["API_PASSWORD", "API_SERVER_PASSWORD"]);
}

#[test]
fn values_are_checked() {
    for (name, good, bad) in [
        ("API_MAC", &["yes", "no"][..], &["on", "", "Yes "][..]),
        ("FT_ALERT_INFO_X", &["on", "off"], &["yes"]),
        ("API_RESPONSE_TO", &["1", "5", "120"], &["0", "121", "+5", "5s", ""]),
        ("API_TIMEOUT", &["0", "86400"], &["86401", "-1"]),
        ("CONTROL_TYPE", &["0", "1"], &["2"]),
        ("CONFIG_CHANGE", &["0", "2"], &["1"]),
        (
            "FT_API_1",
            &["0x00", "0x07", "0x17", "0x27", "0x37", "0xF", "7", "0x3f"],
            &["0x", "0x100", "256", "x"],
        ),
        ("API_FLAG", &["0x00", "0x01", "0x04", "0x05"], &["all"]),
        ("API_PASSWORD", &["", "a", "0123456789abcdeF"], &["0123456789abcdefg", "a b", "密码"]),
    ] {
        for value in good {
            assert_eq!(parameter(name).check(value), Ok(()), "{name} {value}");
        }
        for value in bad {
            let error = parameter(name).check(value).expect_err(value);
            assert!(error.field == "value" && error.problem.contains(name), "{error}");
        }
    }
    // A secret is not in what is said of it.
    let error = parameter("API_PASSWORD").check("not so good").expect_err("a blank").to_string();
    assert!(!error.contains("good"), "{error}");
}

#[test]
fn urls_are_those_of_the_manual() {
    // Chapter 4.8.
    let outbound = parameter("API_OUTBOUND_TRANSFER");
    let read = read_path(outbound, None, "admin");
    assert_eq!(read.as_deref(), Ok("/xml?method=gw.config.get&id=1070&pass=admin"));
    let written = write_path(outbound, None, "1", "admin");
    assert_eq!(written.as_deref(), Ok("/xml?method=gw.config.set&id1070=1&pass=admin"));
    // Chapters 6.2.1 and 6.2.2.
    let lines = parameter("FT_API_1");
    for line in ["50", " IPPhone 50"] {
        let read = read_path(lines, Some(line), "a&b c/密");
        assert_eq!(
            read.as_deref(),
            Ok("/xml?method=gw.config.get&line_id=50&id=599&pass=a%26b%20c%2F%E5%AF%86")
        );
        let written = write_path(lines, Some(line), "0x27", "admin");
        assert_eq!(written.as_deref(), Ok("/xml?method=gw.config.set&line_id=50&id599=0x27&pass=admin"));
    }
    assert_eq!(read_path(lines, None, "").expect_err("a line").field, "line_id");
    assert_eq!(read_path(outbound, Some("1"), "").expect_err("no line").field, "line_id");
    assert_eq!(write_path(outbound, None, "2", "").expect_err("0 or 1").field, "value");
}

#[test]
fn answers_are_read() {
    let reply = |stat, value: Option<&str>, is_unknown| {
        Ok(ParameterReply { stat, value: value.map(Into::into), is_unknown })
    };
    for (body, expected) in [
        (r#"<rsp stat="ok"><item id="1070" value="1"/></rsp>"#, reply(Stat::Ok, Some("1"), false)),
        (
            "\n<?xml version=\"1.0\"?><RSP stat=' OK '>\n<items><item value=''/></items></RSP>",
            reply(Stat::Ok, Some(""), false),
        ),
        (r#"<rsp stat="ok"><item id="1">yes </item></rsp>"#, reply(Stat::Ok, Some("yes"), false)),
        (r#"<rsp stat="ok"><item id="9999" value="not defined"/></rsp>"#, reply(Stat::Ok, None, true)),
        (r#"<rsp stat="ok"/>"#, reply(Stat::Ok, None, false)),
        (r#"<rsp stat="restart"></rsp>"#, reply(Stat::Restart, None, false)),
        (r#"<rsp stat="fail"/>"#, reply(Stat::Fail, None, false)),
    ] {
        assert_eq!(decode_response(body.as_bytes()), expected, "{body}");
    }
    for body in ["", "<html/>", "<rsp/>", "<rsp stat='maybe'/>", "ok"] {
        assert!(decode_response(body.as_bytes()).is_err(), "{body}");
    }
    let write = command(r#"{"command":"write_parameter","name":"API_MAC","value":"yes"}"#);
    assert_eq!(
        decode_reply(&write, b"<rsp stat=\"restart\"/>"),
        Ok(Reply::Parameter { value: None, after_restart: true })
    );
    assert_eq!(decode_reply(&write, b"<rsp stat=\"fail\"/>"), Ok(Reply::Failed { code: None, reason: None }));
}

#[test]
fn revisions_are_read_and_ordered() {
    for (text, written) in [
        ("Rev 2.1.5.111", "Rev 2.1.5.111"),
        ("Rev2.1.5.109.18", "Rev 2.1.5.109.18"),
        ("2.1.5.113.2", "Rev 2.1.5.113.2"),
        (" V2.1.5.113.2 (build 7)", "Rev 2.1.5.113.2"),
        ("rev. 2.1", "Rev 2.1.0.0"),
    ] {
        let revision = Revision::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(revision.to_string(), written);
        assert_eq!(written.parse(), Ok(revision));
    }
    for text in ["", "Rev", "OM20 2.1.5.111", "2", "Rev 2..1", "1.2.3.4.5.6.7", "99999999999.1"] {
        assert_eq!(Revision::parse(text), None, "{text}");
    }
    let ordered = ["2.1.5.92", "2.1.5.111", "2.1.5.113", "2.1.5.113.2", "2.1.5.114", "2.2.0.1", "6.0"];
    let ordered: Vec<_> = ordered.into_iter().map(Revision::parse).collect();
    assert!(ordered.is_sorted() && ordered.iter().all(Option::is_some));
    assert!(Feature::ALL.iter().map(|feature| feature.since()).is_sorted());
    assert!(Revision::of(119).has(Feature::TalkAndListen) && !Revision::of(118).has(Feature::TalkAndListen));
}

#[test]
fn commands_need_what_the_manual_says() {
    for (json, since) in [
        (r#"{"command":"talk","extension":"1"}"#, Some(119)),
        (r#"{"command":"listen","extension":"1"}"#, Some(119)),
        (r#"{"command":"announce","party":{"outer":"1"},"voice_file":["a"]}"#, Some(117)),
        (r#"{"command":"query_voice_files"}"#, Some(124)),
        (r#"{"command":"remove_voice_files","files":["a"]}"#, Some(124)),
        (r#"{"command":"connect","from":{"extension":"1"},"to":{"number":"2","trunk":"3"}}"#, Some(109)),
        (r#"{"command":"connect","from":{"number":"1"},"to":{"number":"2","trunk":"3"}}"#, None),
        (r#"{"command":"connect","from":{"visitor":"1"},"to":{"number":"2"}}"#, None),
        (r#"{"command":"assign_extension","line_id":"Phone 1","settings":{"api":15}}"#, Some(94)),
        (r#"{"command":"assign_extension","line_id":"Phone 1","settings":{"api":7}}"#, None),
        (r#"{"command":"write_parameter","name":"1070","value":"1"}"#, Some(92)),
        (r#"{"command":"read_parameter","name":"API_TIMEOUT"}"#, Some(99)),
        (r#"{"command":"read_parameter","name":"API_SERVER_PASSWORD"}"#, Some(116)),
        (r#"{"command":"read_parameter","name":"API_MAC"}"#, None),
        (r#"{"command":"read_parameter","name":"700"}"#, None),
        (r#"{"command":"hold","extension":"1"}"#, None),
    ] {
        let command = command(json);
        assert_eq!(needs(&command).map(|needed| needed.revision), since.map(Revision::of), "{json}");
        let Some(since) = since else { continue };
        let (older, just) = (Revision::of(since - 1), Revision::of(since));
        assert_eq!(refusal(&command, Some(&just), Some("Rev 6.0.0 OM20-2S/2")), None, "{json}");
        assert_eq!(refusal(&command, None, None), None, "what is not known refuses nothing");
        let refused = refusal(&command, Some(&older), None).expect(json).to_string();
        assert!(refused.contains(&just.to_string()) && refused.contains(&older.to_string()), "{refused}");
    }
    let requirement = Requirement::from(Feature::VoiceFiles);
    assert_eq!((requirement.revision, requirement.what), (Revision::of(124), Feature::VoiceFiles.what()));
}

#[test]
fn some_devices_take_no_commands_at_all() {
    let hold = command(r#"{"command":"hold","extension":"1"}"#);
    for model in ["MX8A", "Rev 6.0.0 MX60E-8S", "mx120"] {
        let refused = refusal(&hold, None, Some(model));
        assert_eq!(refused, Some(Refusal::NoInterface { model: model.into() }), "{model}");
    }
    for model in ["Rev 6.0.0 OM20-2S/2", "MXX", "", "OMX8", "密MX8"] {
        assert_eq!(refusal(&hold, None, Some(model)), None, "{model}");
    }
    assert_eq!(call_centre_refusal(&hold), Some(Refusal::CallCentre));
    for json in [
        r#"{"command":"query","target":{"device":true}}"#,
        r#"{"command":"write_parameter","name":"API_MAC","value":"yes"}"#,
    ] {
        assert_eq!(call_centre_refusal(&command(json)), None, "{json}");
    }
}

#[test]
fn the_known_bits_do_not_overlap() {
    for known in ALL {
        if let parameters::Kind::Bits(bits) = known.kind {
            let sum: u32 = bits.iter().map(|(bit, _)| u32::from(*bit)).sum();
            assert_eq!(sum.count_ones() as usize, bits.len(), "{}", known.name);
        }
    }
}
