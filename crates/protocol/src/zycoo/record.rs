//! What a ZYCOO's records mean. The three kinds name the same things differently; what has no place of its
//! own stays under the vendor's name.

use switchroom_domain::Text;
use switchroom_domain::fact::{CallWay, CdrFact, CdrSide, Extent};
use switchroom_domain::view::Direction;

use super::report::{Record, RecordKind};
use crate::digest::content_id;
use crate::text::number;
use crate::{DecodeContext, time};

/// The vendor's names of what every record has, for one kind.
struct Names {
    id: &'static str,
    from: &'static str,
    to: &'static str,
    started: &'static str,
    ended: &'static str,
    /// Seconds of talk.
    duration: &'static str,
    trunk: &'static str,
    recording: &'static str,
}

const IVR: Names = Names {
    id: "uuid",
    from: "caller",
    to: "called",
    started: "startTime",
    ended: "endTime",
    duration: "duration",
    trunk: "trunkNumber",
    recording: "filePath",
};
const CC_CDR: Names = Names { duration: "talkingTime", ..IVR };
const CDR: Names = Names {
    id: "uniqueid",
    from: "source",
    to: "destination",
    started: "starttime",
    ended: "endtime",
    duration: "billableseconds",
    trunk: "trunkNumber",
    recording: "recordfile",
};

/// Turns a record into its fact.
pub(super) fn translate(record: Record, cx: &DecodeContext<'_>) -> CdrFact {
    let names = match record.kind {
        RecordKind::Ivr => IVR,
        RecordKind::CcCdr => CC_CDR,
        RecordKind::Cdr => CDR,
    };
    let direction = direction(&record);
    let mut cdr = CdrFact {
        wire_id: wire_id(&record, names.id),
        kind: Text::const_new(record.kind.as_str()),
        side: CdrSide::Extension,
        direction,
        // A menu is one station of a call; the others are written when it is over.
        closes_call: record.kind != RecordKind::Ivr,
        way: way(&record, direction),
        ..CdrFact::default()
    };
    if let Some(call_type) = record.call_type.filter(|text| !text.is_empty()) {
        cdr.extra.push((Text::const_new("callType"), call_type));
    }
    for (name, text) in record.fields {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is(names.id) {
            cdr.callid = Some(text);
        } else if is(names.from) {
            cdr.from = Some(text);
        } else if is(names.to) {
            cdr.to = Some(text);
        } else if is(names.started) {
            cdr.started_at = time::local(&text, cx.time_zone);
            cdr.started_at_local = Some(text);
        } else if is(names.ended) {
            cdr.ended_at = time::local(&text, cx.time_zone);
            cdr.ended_at_local = Some(text);
        } else if is(names.duration) {
            cdr.duration = number(Some(&text));
        } else if is(names.trunk) {
            // `s` is the start extension of a dial plan, leaked.
            cdr.trunk = (!text.eq_ignore_ascii_case("s")).then_some(text);
        } else if is(names.recording) {
            cdr.recording = Some(text);
        } else {
            cdr.extra.push((name, text));
        }
    }
    cdr
}

/// The way of a call, which `cc_cdr` and `ivr` tell. What is empty, or a score of 0, tells nothing. The queue that a menu
/// names is only where it leads.
fn way(record: &Record, direction: Option<Direction>) -> CallWay {
    let told = |name: &str| {
        let text = record.field(name).map(|text| text.trim()).unwrap_or_default();
        (!text.is_empty()).then(|| Text::new(text))
    };
    let came_in = direction == Some(Direction::Inbound);
    let queue = told("queueCode").filter(|_| record.kind == RecordKind::CcCdr);
    CallWay {
        of: if record.kind == RecordKind::Ivr { Extent::Menu } else { Extent::Whole },
        dialled: told("trunkNumber").filter(|number| came_in && !number.eq_ignore_ascii_case("s")),
        queue_seconds: queue.as_ref().and_then(|_| number(told("queueTime").as_ref())),
        queue,
        menu: told("ivrId"),
        digits: told("ivrDtmf"),
        score: told("score").filter(|score| score != "0"),
    }
}

/// `IN` (ivr), `incoming` (cc_cdr), `inbound` (cdr). An empty one is an internal call, on a `cdr` only.
fn direction(record: &Record) -> Option<Direction> {
    let call_type = record.call_type.as_deref()?;
    let is_one_of = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(call_type));
    if is_one_of(&["in", "incoming", "inbound"]) {
        Some(Direction::Inbound)
    } else if is_one_of(&["out", "outgoing", "outbound"]) {
        Some(Direction::Outbound)
    } else if is_one_of(&["internal"]) || (record.kind == RecordKind::Cdr && call_type.is_empty()) {
        Some(Direction::Internal)
    } else {
        None
    }
}

/// The call's id does not do: a call passes several menus, and rings several telephones.
fn wire_id(record: &Record, id_name: &str) -> Text {
    let id = record.field(id_name).map_or("", Text::as_str);
    let call_type = record.call_type.as_deref().unwrap_or_default();
    let head = [id, record.kind.as_str(), call_type];
    let fields = record.fields.iter().flat_map(|(name, text)| [name.as_str(), text.as_str()]);
    content_id(head.into_iter().chain(fields))
}
