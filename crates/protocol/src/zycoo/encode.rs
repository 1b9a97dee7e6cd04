//! Typed reports to ZYCOO bytes, in each form that a body may have: the pair of [`decode`](super::decode()).

use switchroom_domain::Text;

use super::form;
use super::report::{Dial, ZycooMessage, ZycooReport};
use crate::object::write_json_string;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON.
    Json,
    /// `application/x-www-form-urlencoded`.
    UrlEncoded,
    /// A JavaScript literal with bare keys and a comma after the last member, as the document prints it.
    Literal,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::UrlEncoded, Self::Literal];
}

/// Writes a report in this form.
#[must_use]
pub fn encode(message: &ZycooMessage, form: Form) -> Vec<u8> {
    let fields = fields(message);
    let mut out = String::with_capacity(256);
    match form {
        Form::UrlEncoded => fields.iter().for_each(|(key, text)| form::write(&mut out, key, text)),
        Form::Json => {
            for (index, (key, text)) in fields.iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                write_json_string(&mut out, key);
                out.push(':');
                write_json_string(&mut out, text);
            }
            out.push('}');
        }
        Form::Literal => {
            out.push_str("{\n");
            for (key, text) in fields {
                out.push_str("  ");
                write_key(&mut out, key);
                out.push_str(": ");
                write_json_string(&mut out, text);
                out.push_str(",\n");
            }
            out.push_str("}\n");
        }
    }
    out.into_bytes()
}

fn write_key(out: &mut String, key: &str) {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if bare { out.push_str(key) } else { write_json_string(out, key) }
}

/// All fields that the message has, in the order of the document.
fn fields(message: &ZycooMessage) -> Vec<(&str, &str)> {
    let mut fields: Vec<(&str, &str)> = Vec::with_capacity(16);
    match &message.report {
        ZycooReport::DialBegin(dial) => {
            fields.push(("event", "dialbegein"));
            add(&mut fields, &dial_fields(dial));
        }
        ZycooReport::DialEnd(dial) => {
            fields.push(("event", "dialend"));
            add(&mut fields, &dial_fields(dial));
        }
        ZycooReport::Hangup(hangup) => {
            fields.push(("event", "hangup"));
            let known = [
                ("calleridnum", &hangup.caller),
                ("calleridname", &hangup.caller_name),
                ("connectedlinenum", &hangup.callee),
                ("connectedlinename", &hangup.callee_name),
                ("uniqueid", &hangup.uniqueid),
            ];
            add(&mut fields, &known);
        }
        ZycooReport::ExtensionStatus(line) => {
            fields.push(("event", "extensionstatus"));
            let known = [("exten", &line.exten), ("status", &line.status), ("statustext", &line.status_text)];
            add(&mut fields, &known);
        }
        ZycooReport::Record(record) => {
            fields.push(("event", record.kind.as_str()));
            add(&mut fields, &[("callType", &record.call_type)]);
            fields.extend(record.fields.iter().map(|(key, text)| (key.as_str(), text.as_str())));
        }
        ZycooReport::Other { name } => fields.push(("event", name)),
    }
    add(&mut fields, &[("mac", &message.mac)]);
    fields
}

fn dial_fields(dial: &Dial) -> [(&'static str, &Option<Text>); 10] {
    [
        ("timestamp", &dial.timestamp),
        ("channel", &dial.channel),
        ("calleridnum", &dial.caller),
        ("destchannel", &dial.dest_channel),
        ("destcalleridnum", &dial.callee),
        ("destexten", &dial.dest_exten),
        ("destuniqueid", &dial.dest_uniqueid),
        ("dialstring", &dial.dial_string),
        ("uniqueid", &dial.uniqueid),
        ("dialstatus", &dial.dial_status),
    ]
}

fn add<'a>(fields: &mut Vec<(&'a str, &'a str)>, known: &[(&'a str, &'a Option<Text>)]) {
    fields.extend(known.iter().filter_map(|(key, text)| Some((*key, text.as_deref()?))));
}
