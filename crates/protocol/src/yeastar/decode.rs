//! Yeastar bytes to typed reports. Which of the four generations wrote a body need not be known: each writes
//! the parties in its own place, and all places are looked at, in the order of the document.

use switchroom_domain::Text;

use super::report::{
    Action, CallReport, ConfigChange, Record, YeastarMessage, YeastarOutside, YeastarParty, YeastarReport,
};
use crate::error::DecodeError;
use crate::limits::{MAX_DOCUMENTS, MAX_EXTRAS, MAX_PARTIES};
use crate::object::{self, Object, Value};
use crate::text::{UNNAMED, bom_length, decode_body};

/// Reads all reports of a body, in order.
///
/// # Errors
/// When the body is no JSON object, not even a loosely written one, or exceeds a limit.
pub fn decode(body: &[u8]) -> Result<Vec<YeastarMessage>, DecodeError> {
    let text = decode_body(body);
    let objects = object::read_all(&text, MAX_DOCUMENTS).map_err(|error| {
        let offset = error.offset.saturating_add(bom_length(body));
        DecodeError { offset, ..error }
    })?;
    Ok(objects.iter().map(message).collect())
}

fn message(object: &Object) -> YeastarMessage {
    let action = object.text("action");
    let is_v2 = action.is_none() && object.get("event").is_some();
    let name = action.or_else(|| object.text("event")).unwrap_or(Text::const_new(UNNAMED));
    YeastarMessage { sn: object.text("sn"), is_v2, report: report(name, object) }
}

fn report(name: Text, object: &Object) -> YeastarReport {
    // `sms-send`, `PlayPromptEnd`, `CallFailed`: hyphens and case are not the same in all documents.
    let plain: Text = name.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    let action = match plain.as_str() {
        "bootup" => return YeastarReport::BootUp,
        "configchange" => return YeastarReport::ConfigChange(config_change(object)),
        "extensionstatus" => return extension_status(object),
        "callstatus" => {
            let members = parties(object);
            return YeastarReport::CallStatus { callid: object.text("callid"), members };
        }
        "newcdr" => return YeastarReport::NewCdr(Box::new(record(object))),
        "smssend" => return YeastarReport::Noted { name },
        // So misspelt in the sample, while the table says `Transfer`.
        "tranfer" => Action::Transfer,
        other => match Action::ALL.into_iter().find(|action| action.as_str().eq_ignore_ascii_case(other)) {
            Some(action) => action,
            None => return YeastarReport::Other { name },
        },
    };
    YeastarReport::Call(Box::new(CallReport {
        action,
        callid: object.text("callid"),
        parties: parties(object),
        info: object.text("info"),
        reason: object.text("reason"),
        prompt: object.text("prompt"),
        survey_result: object.text("surveyresult"),
    }))
}

fn config_change(object: &Object) -> ConfigChange {
    let name = object.iter().find(|(key, _)| {
        let key = key.to_ascii_lowercase();
        key.ends_with("name") || key == "extension" || key == "number"
    });
    ConfigChange {
        kind: object.text("type"),
        name: name.and_then(|(_, value)| value.text()),
        operation: object.text("operation"),
    }
}

fn extension_status(object: &Object) -> YeastarReport {
    let extension = object.text_of(&["extension", "extid", "number"]);
    YeastarReport::ExtensionStatus { extension, status: object.text_of(&["status", "extensionstatus"]) }
}

/// The parties, wherever the generation puts them: beside each other under repeated keys, in a `call` list,
/// or in `members`.
fn parties(object: &Object) -> Vec<YeastarParty> {
    let mut parties = Vec::with_capacity(2);
    collect(object, &mut parties);
    parties.truncate(MAX_PARTIES);
    parties
}

fn collect(object: &Object, parties: &mut Vec<YeastarParty>) {
    for (key, value) in object.iter() {
        if key.eq_ignore_ascii_case("call") || key.eq_ignore_ascii_case("members") {
            each(value, |value| {
                for (key, value) in value.object().into_iter().flat_map(Object::iter) {
                    member(key, value, parties);
                }
            });
        } else {
            member(key, value, parties);
        }
    }
}

/// Adds who stands under this key, if it is one for parties. A key may also hold a list of them.
fn member(key: &str, value: &Value, parties: &mut Vec<YeastarParty>) {
    if parties.len() >= MAX_PARTIES {
        return;
    }
    if key.eq_ignore_ascii_case("ext") {
        extensions(value, None, parties);
    } else if key.eq_ignore_ascii_case("inbound") {
        each(value, |value| parties.extend(outside(value, "inboundid").map(YeastarParty::Inbound)));
    } else if key.eq_ignore_ascii_case("outbound") {
        each(value, |value| parties.extend(outside(value, "outboundid").map(YeastarParty::Outbound)));
    }
}

/// Calls `take` for the value, or for each when it is a list.
fn each(value: &Value, mut take: impl FnMut(&Value)) {
    match value {
        Value::Array(values) => values.iter().for_each(take),
        value => take(value),
    }
}

/// `{"extid": "101"}`, `{"extid": ["106", "101"]}`, `{"number": 1001, …}`, or a plain `"101"`.
fn extensions(value: &Value, status: Option<&Text>, parties: &mut Vec<YeastarParty>) {
    match value {
        Value::Text(_) => {
            let party = |number| YeastarParty::Ext { number, status: status.cloned() };
            parties.extend(value.text().map(party));
        }
        Value::Array(values) => {
            for value in values {
                extensions(value, status, parties);
            }
        }
        Value::Object(object) => {
            let status = object.text("memberstatus");
            for (key, value) in object.iter() {
                let names_it = key.eq_ignore_ascii_case("extid") || key.eq_ignore_ascii_case("number");
                if names_it && !matches!(value, Value::Object(_)) {
                    extensions(value, status.as_ref(), parties);
                }
            }
        }
        Value::Null => {}
    }
}

fn outside(value: &Value, id: &str) -> Option<YeastarOutside> {
    let object = value.object()?;
    Some(YeastarOutside {
        id: object.text_of(&[id, "channelid"]),
        from: object.text("from"),
        to: object.text("to"),
        trunk: object.text_of(&["trunk", "trunkname"]),
        status: object.text("memberstatus"),
    })
}

fn record(object: &Object) -> Record {
    let mut record = Record::default();
    for (key, value) in object.iter() {
        let Some(text) = value.text() else { continue };
        let place = match key.to_ascii_lowercase().as_str() {
            "action" | "event" | "sn" => continue,
            "cdrid" => &mut record.cdrid,
            "callid" => &mut record.callid,
            "timestart" => &mut record.time_start,
            "callfrom" => &mut record.from,
            "callto" => &mut record.to,
            "srctrunkname" => &mut record.source_trunk,
            "desttrunkname" | "dsttrunkname" | "dstrunkname" | "dsttrcunkname" => {
                &mut record.destination_trunk
            }
            "callduraction" | "callduration" => &mut record.call_duration,
            "talkduraction" | "talkduration" => &mut record.talk_duration,
            "status" => &mut record.status,
            "type" => &mut record.kind,
            "recording" => &mut record.recording,
            _ => {
                if record.extra.len() < MAX_EXTRAS {
                    record.extra.push((Text::new(key), text));
                }
                continue;
            }
        };
        *place = Some(text);
    }
    record
}
