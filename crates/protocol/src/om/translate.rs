//! What an OM's report means: typed report to facts.
//!
//! The documents order parties by habit, not by rule; where the roles are certain they are brought into the
//! order that [`CallFact::parties`] promises, otherwise the document's order is kept.

use switchroom_domain::Text;
use switchroom_domain::fact::{
    CallFact, ExtensionStatus, Fact, Happening, LineStatus, OutsideParty, Party, QueueMention, Statement,
};

use super::cdr;
use super::report::{EventKind, OmDivert, OmEvent, OmMessage, OmOutside, OmParty, OmReport};
use crate::text::number;
use crate::{DecodeContext, Decoded};

/// Turns a message into its statement.
#[must_use]
pub fn translate(message: OmMessage, cx: &DecodeContext<'_>) -> Decoded {
    let OmMessage { report, mac, auth } = message;
    let is_record = matches!(report, OmReport::Cdr(_));
    let statement = match report {
        OmReport::Event(event) => Statement { name: event.kind.name(), facts: event_facts(event) },
        OmReport::Cdr(record) => {
            let fact = Fact::Cdr(Box::new(cdr::translate(*record, cx)));
            Statement { name: Text::const_new("Cdr"), facts: vec![fact] }
        }
        OmReport::Other { root } => {
            Statement { name: root.clone(), facts: vec![Fact::Unrecognized { name: root }] }
        }
    };
    Decoded { statement, mac, sn: None, auth, is_record }
}

fn event_facts(event: OmEvent) -> Vec<Fact> {
    match event.kind {
        EventKind::Bootup => vec![Fact::DeviceBooted],
        EventKind::ConfigChange => vec![Fact::ConfigChanged { what: None }],
        EventKind::Busy => statuses(event, LineStatus::Busy),
        EventKind::Idle => statuses(event, LineStatus::Idle),
        EventKind::Online => statuses(event, LineStatus::Online),
        EventKind::Offline => statuses(event, LineStatus::Offline),
        EventKind::Other(name) => vec![Fact::Unrecognized { name }],
        EventKind::Ring => call(Happening::Ringing, event),
        EventKind::Alert => call(Happening::Alerting, event),
        EventKind::Answer => call(Happening::Answered, event),
        EventKind::Answered => call(Happening::PeerAnswered, event),
        EventKind::Bye => call(Happening::Ended, event),
        EventKind::Divert => call(Happening::Diverted, event),
        EventKind::Transient => call(Happening::Placed, event),
        EventKind::Failed => call(Happening::Failed, event),
        EventKind::Invite => call(Happening::Invited, event),
        EventKind::Incoming => call(Happening::Incoming, event),
        EventKind::Dtmf => call(Happening::Digits, event),
        EventKind::EndOfAnn => call(Happening::AnnouncementEnded, event),
        EventKind::Queue => call(Happening::Queued, event),
    }
}

/// One fact for each extension named; a status report that names none says nothing that is known.
fn statuses(event: OmEvent, status: LineStatus) -> Vec<Fact> {
    let OmEvent { kind, register_ip, parties, .. } = event;
    let facts: Vec<Fact> = parties
        .into_iter()
        .filter_map(|party| match party {
            OmParty::Ext(extension) => Some(Fact::ExtensionStatus(ExtensionStatus {
                extension,
                status,
                address: register_ip.clone(),
            })),
            _ => None,
        })
        .collect();
    if facts.is_empty() { vec![Fact::Unrecognized { name: kind.name() }] } else { facts }
}

fn call(happening: Happening, event: OmEvent) -> Vec<Fact> {
    let OmEvent { mut parties, trunk, info, recording, error, waiting, divert, .. } = event;
    arrange(happening, &mut parties);
    let mut fact = CallFact::new(happening, parties.into_iter().map(party).collect());
    fact.recording = recording;
    if let Some(trunk) = trunk {
        name_trunk(&mut fact.parties, trunk);
    }
    if let Some(info) = info {
        (fact.digits, fact.timed_out) = keys(&info);
    }
    if let Some(error) = error {
        fact.code = number(error.code.as_ref());
        fact.reason = error.reason;
    }
    if let Some(waiting) = waiting {
        if waiting.reason.as_deref().is_some_and(is_refusal) && happening == Happening::Queued {
            fact.happening = Happening::QueueRefused;
        }
        let count = number(waiting.count.as_ref());
        fact.queue = waiting.group.map(|id| QueueMention { id, count });
        fact.reason = waiting.reason;
    }
    if let Some(divert) = divert {
        fact.reason = fact.reason.or_else(|| diversion(&divert));
    }
    vec![Fact::Call(Box::new(fact))]
}

/// All members offline, or no place left (2.5.7).
fn is_refusal(reason: &str) -> bool {
    reason.eq_ignore_ascii_case("offline") || reason.eq_ignore_ascii_case("full")
}

/// Where old firmware says it diverted: in words, as facts have no other place for it.
fn diversion(divert: &OmDivert) -> Option<Text> {
    let words = match (&divert.from, &divert.to) {
        (Some(from), Some(to)) => format!("from {from} to {to}"),
        (Some(from), None) => format!("from {from}"),
        (None, Some(to)) => format!("to {to}"),
        (None, None) => return None,
    };
    Some(words.into())
}

/// Splits the time-out's `T` off the keys (3.3.4). No telephone has a `T`.
fn keys(info: &str) -> (Option<Text>, bool) {
    let digits = info.strip_suffix(['T', 't']);
    let timed_out = digits.is_some();
    let digits = digits.unwrap_or(info);
    ((!digits.is_empty()).then(|| Text::new(digits)), timed_out)
}

/// INVITE and INCOMING name the trunk beside the visitor.
fn name_trunk(parties: &mut Vec<Party>, trunk: Text) {
    let visitor = parties.iter_mut().find_map(|party| match party {
        Party::Visitor(visitor) => Some(visitor),
        _ => None,
    });
    match visitor {
        Some(visitor) => visitor.trunk = Some(trunk),
        None => parties.push(Party::Visitor(OutsideParty { trunk: Some(trunk), ..OutsideParty::default() })),
    }
}

/// Brings the parties into the order that facts promise, where the roles are certain.
fn arrange(happening: Happening, parties: &mut [OmParty]) {
    if parties.len() < 2 {
        return;
    }
    match happening {
        // Who rings or answers is an extension: the first one named.
        Happening::Ringing | Happening::Answered => {
            to_front(parties, |party| matches!(party, OmParty::Ext(_)))
        }
        Happening::Alerting | Happening::PeerAnswered | Happening::Placed => caller_first(parties),
        // The menu is where the party is, not a party to the keys.
        Happening::Digits | Happening::AnnouncementEnded => {
            parties.sort_by_key(|party| matches!(party, OmParty::Menu(_)));
        }
        _ => {}
    }
}

/// A visitor always calls. An extension calls the outside number it is named with, unless the device itself
/// called that number (it has an id and no calling number) and connects the extension to it.
fn caller_first(parties: &mut [OmParty]) {
    if parties.iter().any(|party| matches!(party, OmParty::Visitor(_))) {
        to_front(parties, |party| matches!(party, OmParty::Visitor(_)));
    } else if let [OmParty::Outer(outer), OmParty::Ext(_)] = &*parties
        && (outer.from.is_some() || outer.id.is_none())
    {
        parties.swap(0, 1);
    }
}

/// Moves the first party that fits to the front, keeping the order of the others.
fn to_front(parties: &mut [OmParty], fits: impl Fn(&OmParty) -> bool) {
    if let Some(at) = parties.iter().position(fits) {
        parties[..=at].rotate_right(1);
    }
}

fn party(party: OmParty) -> Party {
    match party {
        OmParty::Ext(number) | OmParty::Called(number) => Party::Extension { number, state: None },
        OmParty::Visitor(outside) => Party::Visitor(outside_party(outside)),
        OmParty::Outer(outside) => Party::Outer(outside_party(outside)),
        OmParty::Menu(id) => Party::Menu { id },
    }
}

fn outside_party(party: OmOutside) -> OutsideParty {
    let OmOutside { id, from, to, trunk, callid } = party;
    OutsideParty { id, from, to, trunk, callid, state: None }
}
