//! What an OM's call record means (chapters 2.6 and 5.7, and the records of live devices).
//!
//! One call gives one to four records: of the extension, of the trunk, of each diversion. `Type` alone does
//! not tell them apart; it takes type, route, numbers and whether a visitor is named.

use switchroom_domain::Text;
use switchroom_domain::fact::{CallWay, CdrFact, CdrSide};
use switchroom_domain::view::Direction;

use super::report::OmCdr;
use crate::DecodeContext;
use crate::digest::content_id;
use crate::text::number;
use crate::time;

/// What kind of record it is, as far as that decides its meaning.
struct Meaning {
    side: CdrSide,
    direction: Option<Direction>,
    closes_call: bool,
}

/// Turns a record into its fact.
pub(super) fn translate(cdr: OmCdr, cx: &DecodeContext<'_>) -> CdrFact {
    let Meaning { side, direction, closes_call } = meaning(&cdr);
    let wire_id = cdr.id.clone().unwrap_or_else(|| derived_id(&cdr));
    let utc = |text: &Option<Text>| text.as_deref().and_then(|text| time::local(text, cx.time_zone));
    CdrFact {
        wire_id,
        side,
        direction,
        closes_call,
        started_at: utc(&cdr.time_start),
        ended_at: utc(&cdr.time_end),
        duration: number(cdr.duration.as_ref()),
        callid: cdr.callid,
        visitor: cdr.visitor,
        outer: cdr.outer,
        kind: cdr.kind.unwrap_or_default(),
        route: cdr.route,
        from: cdr.cpn,
        to: cdr.cdpn,
        trunk: cdr.trunk_number,
        started_at_local: cdr.time_start,
        ended_at_local: cdr.time_end,
        recording: cdr.recording,
        codec: cdr.rec_codec,
        extra: cdr.extra,
        way: CallWay::default(),
    }
}

fn meaning(cdr: &OmCdr) -> Meaning {
    let is =
        |field: &Option<Text>, word: &str| field.as_deref().is_some_and(|f| f.eq_ignore_ascii_case(word));
    let trunk_is = |number: &Option<Text>| cdr.trunk_number.is_some() && cdr.trunk_number == *number;
    let visitor = cdr.visitor.is_some();
    let (extension, trunk) = (CdrSide::Extension, CdrSide::Trunk);
    let as_ = |side, direction, closes_call| Meaning { side, direction, closes_call };

    if is(&cdr.kind, "LO") {
        // With a visitor: the analog trunk's part of a call that came in. Without: the calling extension's.
        if visitor {
            as_(trunk, Some(Direction::Inbound), true)
        } else {
            as_(extension, Some(Direction::Internal), true)
        }
    } else if is(&cdr.kind, "IN") {
        let outside = visitor || is(&cdr.route, "IP") || is(&cdr.route, "XO");
        let direction = match outside {
            true => Some(Direction::Inbound),
            false if is(&cdr.route, "IC") => Some(Direction::Internal),
            false => None,
        };
        // The trunk's part spans the whole call, the extension's only its own share of it.
        if trunk_is(&cdr.cdpn) { as_(trunk, direction, true) } else { as_(extension, direction, false) }
    } else if is(&cdr.kind, "OU") {
        // Through the attendant: a call that came in, recorded as going out, with the caller as its trunk.
        if is(&cdr.route, "OP") && trunk_is(&cdr.cpn) {
            as_(extension, Some(Direction::Inbound), true)
        } else if trunk_is(&cdr.cpn) {
            as_(trunk, Some(Direction::Outbound), true)
        } else {
            as_(extension, Some(Direction::Outbound), true)
        }
    } else if is(&cdr.kind, "CB") {
        // Two records, one for each number called: neither ends the other.
        as_(extension, Some(Direction::Callback), false)
    } else {
        // Forwarded in or out; what went through the attendant came in, as with OU.
        let forwarded_out = is(&cdr.kind, "FW");
        let came_in = visitor || (forwarded_out && is(&cdr.route, "OP"));
        let side = if forwarded_out { trunk } else { extension };
        as_(side, came_in.then_some(Direction::Inbound), false)
    }
}

/// The same for the same record, however often it comes.
fn derived_id(cdr: &OmCdr) -> Text {
    let fields = [
        &cdr.callid,
        &cdr.visitor,
        &cdr.outer,
        &cdr.time_start,
        &cdr.time_end,
        &cdr.kind,
        &cdr.route,
        &cdr.cpn,
        &cdr.cdpn,
        &cdr.duration,
        &cdr.trunk_number,
        &cdr.recording,
    ];
    content_id(fields.into_iter().map(|field| field.as_deref().unwrap_or_default()))
}
