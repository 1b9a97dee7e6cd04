//! Encoding and decoding are a pair: what is written is read back the same, in every form of every dialect.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use switchroom_domain::Text;
use switchroom_protocol::om::report::{
    EventKind, OmCdr, OmDivert, OmEvent, OmFailure, OmMessage, OmOutside, OmParty, OmReport, OmWaiting,
};
use switchroom_protocol::sign::Auth;
use switchroom_protocol::yeastar::report as y;
use switchroom_protocol::zycoo::report as z;
use switchroom_protocol::{om, redact, yeastar, zycoo};

/// A value as reports hold it: not empty, nothing to trim.
fn value() -> BoxedStrategy<Text> {
    prop_oneof![
        4 => "[0-9]{1,12}",
        2 => "[A-Za-z0-9_.+*#/-]{1,30}",
        1 => "[ -~]{1,20}",
        1 => "\\PC{1,12}",
        1 => "[a&<>\"'\\\\;#=%+\t\n\r]{1,12}",
    ]
    .prop_filter_map("nothing left", |text| {
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| Text::new(trimmed))
    })
    .boxed()
}

fn maybe() -> BoxedStrategy<Option<Text>> {
    option::of(value()).boxed()
}

/// A name that no known field has.
fn new_name() -> impl Strategy<Value = Text> {
    "x[a-z]{1,8}".prop_map(Text::from)
}

fn om_outside() -> impl Strategy<Value = OmOutside> {
    (maybe(), maybe(), maybe(), maybe(), maybe()).prop_map(|(id, from, to, trunk, callid)| OmOutside {
        id,
        from,
        to,
        trunk,
        callid,
    })
}

fn om_party() -> impl Strategy<Value = OmParty> {
    prop_oneof![
        value().prop_map(OmParty::Ext),
        om_outside().prop_map(OmParty::Visitor),
        om_outside().prop_map(OmParty::Outer),
        value().prop_map(OmParty::Menu),
        value().prop_map(OmParty::Called),
    ]
}

fn om_event() -> impl Strategy<Value = OmEvent> {
    let kinds = prop_oneof![
        prop::sample::select(vec![
            "RING",
            "ALERT",
            "ANSWER",
            "ANSWERED",
            "BYE",
            "BUSY",
            "IDLE",
            "DTMF",
            "INVITE",
            "INCOMING",
            "EndOfAnn",
            "QUEUE",
            "ONLINE",
            "OFFLINE",
            "TRANSIENT",
            "DIVERT",
            "FAILED",
            "BOOTUP",
            "CONFIG_CHANGE",
        ])
        .prop_map(EventKind::from_name),
        value().prop_map(|name| EventKind::from_name(&name)),
    ];
    let failure = (maybe(), maybe()).prop_map(|(code, reason)| OmFailure { code, reason });
    let waiting =
        (maybe(), maybe(), maybe()).prop_map(|(group, count, reason)| OmWaiting { group, count, reason });
    let divert = (maybe(), maybe()).prop_map(|(from, to)| OmDivert { from, to });
    let texts = (maybe(), maybe(), maybe(), maybe());
    let details = (option::of(failure), option::of(waiting), option::of(divert));
    (kinds, vec(om_party(), 0..5), texts, details).prop_map(
        |(kind, parties, (register_ip, trunk, info, recording), (error, waiting, divert))| OmEvent {
            kind,
            register_ip,
            parties,
            trunk,
            info,
            recording,
            error,
            waiting,
            divert,
        },
    )
}

fn om_cdr() -> impl Strategy<Value = OmCdr> {
    let first = (maybe(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe());
    let second = (maybe(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe());
    (first, second, vec((new_name(), value()), 0..4)).prop_map(|(a, b, extra)| OmCdr {
        id: a.0,
        callid: a.1,
        visitor: a.2,
        outer: a.3,
        time_start: a.4,
        time_end: a.5,
        kind: a.6,
        route: b.0,
        cpn: b.1,
        cdpn: b.2,
        duration: b.3,
        trunk_number: b.4,
        recording: b.5,
        rec_codec: b.6,
        extra,
    })
}

fn om_message() -> impl Strategy<Value = OmMessage> {
    let report = prop_oneof![
        om_event().prop_map(OmReport::Event),
        om_cdr().prop_map(|cdr| OmReport::Cdr(Box::new(cdr))),
        new_name().prop_map(|root| OmReport::Other { root }),
    ];
    let auth = (value(), value(), value()).prop_map(|(nonce, timestamp, signature)| Auth {
        nonce,
        timestamp,
        signature,
    });
    (report, maybe(), option::of(auth)).prop_map(|(report, mac, auth)| OmMessage { report, mac, auth })
}

fn y_outside() -> impl Strategy<Value = y::YeastarOutside> {
    (maybe(), maybe(), maybe(), maybe(), maybe())
        .prop_map(|(id, from, to, trunk, status)| y::YeastarOutside { id, from, to, trunk, status })
}

fn y_party() -> impl Strategy<Value = y::YeastarParty> {
    prop_oneof![
        3 => (value(), maybe()).prop_map(|(number, status)| y::YeastarParty::Ext { number, status }),
        2 => value().prop_map(|number| y::YeastarParty::Ext { number, status: None }),
        1 => y_outside().prop_map(y::YeastarParty::Inbound),
        1 => y_outside().prop_map(y::YeastarParty::Outbound),
    ]
}

fn y_record() -> impl Strategy<Value = y::Record> {
    let first = (maybe(), maybe(), maybe(), maybe(), maybe(), maybe());
    let second = (maybe(), maybe(), maybe(), maybe(), maybe(), maybe());
    (first, second, vec((new_name(), value()), 0..4)).prop_map(|(a, b, extra)| y::Record {
        cdrid: a.0,
        callid: a.1,
        time_start: a.2,
        from: a.3,
        to: a.4,
        source_trunk: a.5,
        destination_trunk: b.0,
        call_duration: b.1,
        talk_duration: b.2,
        status: b.3,
        kind: b.4,
        recording: b.5,
        extra,
    })
}

fn y_report() -> impl Strategy<Value = y::YeastarReport> {
    let action = prop::sample::select(y::Action::ALL.to_vec());
    let texts = (maybe(), maybe(), maybe(), maybe(), maybe());
    let call = (action, vec(y_party(), 0..6), texts).prop_map(|(action, parties, texts)| {
        let (callid, info, reason, prompt, survey_result) = texts;
        let report = y::CallReport { action, callid, parties, info, reason, prompt, survey_result };
        y::YeastarReport::Call(Box::new(report))
    });
    prop_oneof![
        4 => call,
        1 => Just(y::YeastarReport::BootUp),
        1 => (maybe(), maybe(), maybe()).prop_map(|(kind, name, operation)| {
            y::YeastarReport::ConfigChange(y::ConfigChange { kind, name, operation })
        }),
        1 => (maybe(), maybe())
            .prop_map(|(extension, status)| y::YeastarReport::ExtensionStatus { extension, status }),
        2 => (maybe(), vec(y_party(), 0..6))
            .prop_map(|(callid, members)| y::YeastarReport::CallStatus { callid, members }),
        2 => y_record().prop_map(|record| y::YeastarReport::NewCdr(Box::new(record))),
        1 => Just(y::YeastarReport::Noted { name: "sms-send".into() }),
        1 => new_name().prop_map(|name| y::YeastarReport::Other { name }),
    ]
}

fn z_dial() -> impl Strategy<Value = Box<z::Dial>> {
    let first = (maybe(), maybe(), maybe(), maybe(), maybe());
    let second = (maybe(), maybe(), maybe(), maybe(), maybe());
    (first, second).prop_map(|(a, b)| {
        Box::new(z::Dial {
            channel: a.0,
            caller: a.1,
            dest_channel: a.2,
            callee: a.3,
            dest_exten: a.4,
            dest_uniqueid: b.0,
            dial_string: b.1,
            uniqueid: b.2,
            dial_status: b.3,
            timestamp: b.4,
        })
    })
}

fn z_report() -> impl Strategy<Value = z::ZycooReport> {
    let kind = prop::sample::select(vec![z::RecordKind::Ivr, z::RecordKind::CcCdr, z::RecordKind::Cdr]);
    let call_type = prop_oneof![maybe(), Just(Some(Text::default()))];
    prop_oneof![
        z_dial().prop_map(z::ZycooReport::DialBegin),
        z_dial().prop_map(z::ZycooReport::DialEnd),
        (maybe(), maybe(), maybe(), maybe(), maybe()).prop_map(
            |(caller, caller_name, callee, callee_name, uniqueid)| {
                let hangup = z::Hangup { caller, caller_name, callee, callee_name, uniqueid };
                z::ZycooReport::Hangup(Box::new(hangup))
            }
        ),
        (maybe(), maybe(), maybe()).prop_map(|(exten, status, status_text)| {
            z::ZycooReport::ExtensionStatus(z::LineReport { exten, status, status_text })
        }),
        (kind, call_type, vec((new_name(), value()), 0..12)).prop_map(|(kind, call_type, fields)| {
            z::ZycooReport::Record(z::Record { kind, call_type, fields })
        }),
        new_name().prop_map(|name| z::ZycooReport::Other { name }),
    ]
}

proptest! {
    #[test]
    fn om_reads_what_it_writes(messages in vec(om_message(), 1..4)) {
        let body: Vec<u8> = messages.iter().flat_map(om::encode).collect();
        prop_assert_eq!(om::decode(&body).expect("our own"), messages);
    }

    #[test]
    fn redaction_strikes_the_signature_and_nothing_else(message in om_message()) {
        let struck = om::decode(&redact(&om::encode(&message))).expect("still well formed").remove(0);
        if let Some(auth) = &struck.auth {
            prop_assert!(auth.signature.bytes().all(|b| b == b'*'));
        }
        let signature = |auth: Auth| Auth { signature: Text::default(), ..auth };
        let unsigned = |message: OmMessage| OmMessage { auth: message.auth.map(signature), ..message };
        prop_assert_eq!(unsigned(struck), unsigned(message));
    }

    #[test]
    fn yeastar_reads_what_it_writes(sn in maybe(), is_v2: bool, report in y_report()) {
        let message = y::YeastarMessage { sn, is_v2, report };
        for form in yeastar::Form::ALL {
            let body = yeastar::encode(&message, form);
            prop_assert_eq!(yeastar::decode(&body).expect("our own"), std::slice::from_ref(&message));
        }
    }

    #[test]
    fn zycoo_reads_what_it_writes(mac in maybe(), report in z_report()) {
        let message = z::ZycooMessage { mac, report };
        for form in zycoo::Form::ALL {
            let body = zycoo::encode(&message, form);
            prop_assert_eq!(zycoo::decode(&body).expect("our own"), std::slice::from_ref(&message));
        }
    }
}
