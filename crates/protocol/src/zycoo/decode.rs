//! ZYCOO bytes to typed reports: JSON, a form, or an object as the vendor's document writes it.

use switchroom_domain::Text;

use super::form;
use super::report::{Dial, Hangup, LineReport, Record, RecordKind, ZycooMessage, ZycooReport};
use crate::error::DecodeError;
use crate::limits::{MAX_DOCUMENTS, MAX_EXTRAS};
use crate::object::{self, Object, Value};
use crate::text::{UNNAMED, bom_length, decode_body};

/// Reads all reports of a body, in order.
///
/// # Errors
/// When the body begins like an object and is none, holds nothing, or exceeds a limit. A form cannot be wrong.
pub fn decode(body: &[u8]) -> Result<Vec<ZycooMessage>, DecodeError> {
    let objects = objects(body).map_err(|error| {
        let offset = error.offset.saturating_add(bom_length(body));
        DecodeError { offset, ..error }
    })?;
    Ok(objects.iter().map(message).collect())
}

/// The objects of a body, whatever its form; the bytes tell more surely than the content type.
pub(crate) fn objects(body: &[u8]) -> Result<Vec<Object>, DecodeError> {
    let text = decode_body(body);
    if !is_form(&text) {
        return object::read_all(&text, MAX_DOCUMENTS);
    }
    let form = form::read(&text);
    match whole_object(&form) {
        Some(whole) => object::read_all(&whole, MAX_DOCUMENTS),
        None => Ok(vec![form]),
    }
}

/// Some clients send a whole object as the only field of a form, or as the name of one.
fn whole_object(form: &Object) -> Option<Text> {
    let mut members = form.iter();
    let ((key, value), None) = (members.next()?, members.next()) else { return None };
    if key.eq_ignore_ascii_case("event") {
        return None;
    }
    let candidates = [Some(Text::new(key)), value.text()];
    candidates.into_iter().flatten().find(|text| text.trim_start().starts_with(['{', '[']))
}

/// A key and `=` before anything that an object could begin with.
fn is_form(text: &str) -> bool {
    let key_ends = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '%' | '.' | '-' | '+'));
    let text = text.trim_start();
    text.find(key_ends).is_some_and(|end| end > 0 && text[end..].starts_with('='))
}

fn message(object: &Object) -> ZycooMessage {
    let name = object.text("event").unwrap_or(Text::const_new(UNNAMED));
    let report = match name.to_ascii_lowercase().as_str() {
        // The first is the vendor's own spelling, in both revisions.
        "dialbegein" | "dialbegin" => ZycooReport::DialBegin(Box::new(dial(object))),
        "dialend" => ZycooReport::DialEnd(Box::new(dial(object))),
        "hangup" => ZycooReport::Hangup(Box::new(hangup(object))),
        "extensionstatus" => ZycooReport::ExtensionStatus(LineReport {
            exten: object.text("exten"),
            status: object.text("status"),
            status_text: object.text("statustext"),
        }),
        "ivr" => ZycooReport::Record(record(RecordKind::Ivr, object)),
        "cc_cdr" => ZycooReport::Record(record(RecordKind::CcCdr, object)),
        "cdr" => ZycooReport::Record(record(RecordKind::Cdr, object)),
        _ => ZycooReport::Other { name },
    };
    ZycooMessage { mac: object.text("mac"), report }
}

fn dial(object: &Object) -> Dial {
    Dial {
        channel: object.text("channel"),
        caller: object.text("calleridnum"),
        dest_channel: object.text("destchannel"),
        callee: object.text("destcalleridnum"),
        dest_exten: object.text("destexten"),
        dest_uniqueid: object.text("destuniqueid"),
        dial_string: object.text("dialstring"),
        uniqueid: object.text("uniqueid"),
        dial_status: object.text("dialstatus"),
        timestamp: object.text("timestamp"),
    }
}

fn hangup(object: &Object) -> Hangup {
    Hangup {
        caller: object.text("calleridnum"),
        caller_name: object.text("calleridname"),
        callee: object.text("connectedlinenum"),
        callee_name: object.text("connectedlinename"),
        uniqueid: object.text("uniqueid"),
    }
}

fn record(kind: RecordKind, object: &Object) -> Record {
    let mut record = Record { kind, call_type: None, fields: Vec::with_capacity(24) };
    for (key, value) in object.iter() {
        if key.eq_ignore_ascii_case("callType") {
            let text = if let Value::Text(text) = value { text.trim() } else { "" };
            record.call_type = Some(Text::new(text));
        } else if !key.is_empty()
            && !key.eq_ignore_ascii_case("event")
            && !key.eq_ignore_ascii_case("mac")
            && record.fields.len() < MAX_EXTRAS
        {
            record.fields.extend(value.text().map(|text| (Text::new(key), text)));
        }
    }
    record
}
