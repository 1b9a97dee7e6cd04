//! Which call a report is about.
//!
//! Devices have no lasting id of a call. `visitor` and `outer` ids mean a call only while it lives and come
//! back for others; `callid` names a connection, not the call; reports of telephones without a trunk in them
//! name only numbers. So a report is bound by the strongest thing that it says, live calls first; and when no
//! live call fits, by whether it can be a late or doubled report of a call that has just ended.

use std::collections::VecDeque;

use switchroom_domain::Text;
use switchroom_domain::fact::{CallFact, Happening, OutsideParty, Party};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{CallState, LegKind};

use super::call::{Call, is_extension};
use crate::call_leg::LegState;
use crate::entity::{Doubt, Phase};

/// What a report was bound to.
#[derive(Debug, PartialEq, Eq)]
pub enum Bound {
    /// The live call at this index.
    Live(usize),
    /// The ended call at this index: the report is late.
    Late(usize),
    /// No call: it is the first of one.
    Unknown,
    /// No call, and the live call at this index held the wire id wrongly: the device has recycled it, so that
    /// call's end was never reported.
    Recycled(usize),
}

/// Binds a report; see the module.
#[must_use]
pub fn bind(live: &[Call], ended: &VecDeque<Call>, fact: &CallFact, now: Timestamp, doubt: &Doubt) -> Bound {
    if let Some(key) = &fact.key {
        let of_key = |call: &Call| call.key.as_ref() == Some(key);
        return match live.iter().rposition(of_key) {
            Some(i) => Bound::Live(i),
            None => ended.iter().rposition(of_key).map_or(Bound::Unknown, Bound::Late),
        };
    }
    match by_wire_id(live, fact) {
        Bound::Unknown => {}
        Bound::Recycled(i) if is_late_for_any(ended, fact, now, doubt).is_none() => {
            return Bound::Recycled(i);
        }
        Bound::Recycled(_) => return late(ended, fact, now, doubt),
        bound => return bound,
    }
    let just_ended = |call: &Call| call.ended_at.is_some_and(|at| now.since(at) <= doubt.overtake);
    if let Some(i) =
        ended.iter().rposition(|call| just_ended(call) && names_wire_id(call, fact) && concerns(call, fact))
    {
        return Bound::Late(i);
    }
    if let Some(i) = by_numbers(live, fact) {
        return Bound::Live(i);
    }
    late(ended, fact, now, doubt)
}

fn late(ended: &VecDeque<Call>, fact: &CallFact, now: Timestamp, doubt: &Doubt) -> Bound {
    is_late_for_any(ended, fact, now, doubt).map_or(Bound::Unknown, Bound::Late)
}

/// By `visitor id`, `outer id`, `callid`: strong while the call lives.
fn by_wire_id(live: &[Call], fact: &CallFact) -> Bound {
    for (kind, party) in outside(fact) {
        let Some(id) = &party.id else { continue };
        let holds = |leg: &LegState| leg.kind == kind && leg.wire_id.as_ref() == Some(id);
        let Some(i) = live.iter().rposition(|call| call.live_legs().any(holds)) else { continue };
        let same = live[i]
            .live_legs()
            .filter(|leg| holds(leg))
            .any(|leg| !differs(&leg.number, number_of(kind, party)));
        return if same { Bound::Live(i) } else { Bound::Recycled(i) };
    }
    for (kind, party) in outside(fact) {
        let Some(callid) = &party.callid else { continue };
        // A connection's id is shared by the two outside parties of one call (a visitor and an outer, or two
        // outers of a callback), never by two calls at a time.
        let two_visitors = |leg: &LegState| leg.kind == LegKind::Visitor && kind == LegKind::Visitor;
        let holds = |leg: &LegState| leg.callid.as_ref() == Some(callid) && !two_visitors(leg);
        if let Some(i) = live.iter().rposition(|call| call.live_legs().any(holds)) {
            return Bound::Live(i);
        }
    }
    Bound::Unknown
}

/// By the numbers alone, strongest first.
fn by_numbers(live: &[Call], fact: &CallFact) -> Option<usize> {
    let extensions: Vec<&Text> = extensions(fact).collect();
    if let Some((kind, party)) = outside(fact).next() {
        return by_outside_number(live, kind, party, &extensions);
    }
    match extensions.as_slice() {
        [] => None,
        [only] => by_one_extension(live, only, fact),
        [first, second, ..] => by_two_extensions(live, first, second, fact),
    }
}

fn by_outside_number(
    live: &[Call],
    kind: LegKind,
    party: &OutsideParty,
    extensions: &[&Text],
) -> Option<usize> {
    let number = number_of(kind, party);
    let leg_fits = |leg: &LegState| {
        leg.kind == kind
            && !differs(&leg.number, number)
            && !(leg.wire_id.is_some() && party.id.is_some() && leg.wire_id != party.id)
    };
    let with_extension = |call: &Call| extensions.iter().any(|ext| call.live_extension(ext).is_some());
    // The extension's call that already has this outside party.
    let both = |call: &Call| with_extension(call) && call.live_legs().any(leg_fits);
    if let Some(i) = live.iter().rposition(both) {
        return Some(i);
    }
    // The outside party's call that has no telephone yet (it waits to be routed, queues, hears a menu), or
    // one that is being passed on.
    if number.is_some() && party.id.is_none() {
        let waiting = |call: &Call| call.live_legs().any(leg_fits);
        if let Some(i) = live.iter().rposition(waiting) {
            return Some(i);
        }
    }
    if number.is_some() && kind == LegKind::Outer {
        let no_telephone = |call: &Call| {
            call.live_legs().any(|leg| leg_fits(leg) && leg.wire_id.is_none())
                && (extensions.is_empty() || with_extension(call))
        };
        if let Some(i) = live.iter().rposition(no_telephone) {
            return Some(i);
        }
    }
    // The telephone that was rung has its calls forwarded: the outside number is called in its name.
    let forwards = |call: &Call| {
        let by = party.from.as_ref().filter(|by| kind == LegKind::Outer && !extensions.contains(by));
        let is_new = call.answered_at.is_none() && call.live_legs().all(|leg| leg.kind == LegKind::Extension);
        with_extension(call) && is_new && by.is_some_and(|by| call.had_extension(by))
    };
    if let Some(i) = live.iter().rposition(forwards) {
        return Some(i);
    }
    // The extension's call whose other side is not known yet: it was dialled, and this says where to.
    let open = |call: &Call| {
        let dialled_out = kind == LegKind::Outer && number.is_some() && call.queue.is_none();
        with_extension(call) && call.live_legs().count() == 1 && dialled_out
    };
    live.iter().rposition(|call| open(call) && call.legs.len() == 1)
}

fn by_one_extension(live: &[Call], number: &Text, fact: &CallFact) -> Option<usize> {
    let menu = fact.parties.iter().find_map(|party| match party {
        Party::Menu { id } => Some(id),
        _ => None,
    });
    let of_extension =
        || live.iter().enumerate().rev().filter(|(_, call)| call.live_extension(number).is_some());
    if let Some(menu) = menu {
        let with_menu = |call: &Call| call.live_legs().any(|leg| leg.kind == LegKind::Menu);
        let with_this = |call: &Call| {
            call.live_legs().any(|leg| leg.kind == LegKind::Menu && leg.number.as_ref() == Some(menu))
        };
        // A telephone that a menu rings is in no other call with that menu.
        let found = of_extension()
            .find(|(_, call)| with_this(call))
            .or_else(|| of_extension().find(|(_, call)| with_menu(call)));
        if found.is_some() || fact.happening == Happening::Ringing {
            return found.map(|(i, _)| i);
        }
        let rings = |call: &Call| call.live_extension(number).is_some_and(|leg| leg.phase == Phase::Ringing);
        return of_extension().find(|(_, call)| !rings(call)).map(|(i, _)| i);
    }
    let mut of_extension = of_extension();
    if fact.happening == Happening::Failed {
        // Only a call that is being set up can fail.
        return of_extension.find(|(_, call)| call.state == CallState::Dialing).map(|(i, _)| i);
    }
    if fact.happening == Happening::Diverted {
        // A caller inside, of whom nobody has answered: of a call from outside it names the visitor. It may also be the first
        // that is heard of the caller's next call.
        let is_callers = |call: &Call| {
            call.answered_at.is_none()
                && call.live_legs().all(|leg| leg.kind == LegKind::Extension)
                && call.caller_leg().is_none_or(|leg| is_extension(leg, number))
        };
        return of_extension.find(|(_, call)| is_callers(call)).map(|(i, _)| i);
    }
    if fact.happening == Happening::Queued {
        let queued_or_open = |call: &Call| call.queue.is_some() || call.live_legs().count() == 1;
        return of_extension.find(|(_, call)| queued_or_open(call)).map(|(i, _)| i);
    }
    of_extension.next().map(|(i, _)| i)
}

fn by_two_extensions(live: &[Call], first: &Text, second: &Text, fact: &CallFact) -> Option<usize> {
    let has = |call: &Call, number: &Text| call.live_extension(number).is_some();
    let inside = |call: &Call| call.live_legs().all(|leg| leg.kind == LegKind::Extension);
    if let Some(i) = live.iter().rposition(|call| inside(call) && has(call, first) && has(call, second)) {
        return Some(i);
    }
    // A caller that waits in a queue, whom a member's telephone now rings for; or who gave up: then the
    // second "extension" is the group's number (4.12).
    let queued = |call: &Call, number: &Text| call.queue.is_some() && has(call, number);
    let waits = match fact.happening {
        Happening::Ringing | Happening::Answered => Some(second),
        Happening::Alerting | Happening::PeerAnswered | Happening::Ended => Some(first),
        _ => None,
    };
    if let Some(i) = waits.and_then(|number| live.iter().rposition(|call| queued(call, number))) {
        return Some(i);
    }
    if matches!(fact.happening, Happening::Ended | Happening::Failed) {
        return None;
    }
    // A telephone that was rung first and then dials for its owner has nobody on the other side yet.
    let caller = match fact.happening {
        Happening::Ringing | Happening::Answered => second,
        _ => first,
    };
    let called = if caller == second { first } else { second };
    // What could not be passed on rings nobody any more: its caller has dialled again.
    let goes_on = |call: &Call| inside(call) && !call.story.has_failed();
    let open = |call: &Call| goes_on(call) && has(call, caller) && call.live_legs().count() == 1;
    if let Some(i) = live.iter().rposition(open) {
        return Some(i);
    }
    // Hunting: the caller's internal call rings the next telephone.
    let hunting = |call: &Call| {
        goes_on(call)
            && call.answered_at.is_none()
            && !has(call, called)
            && call
                .caller
                .is_some_and(|id| call.live_legs().any(|leg| leg.id == id && is_extension(leg, caller)))
            && matches!(fact.happening, Happening::Ringing | Happening::Alerting)
    };
    live.iter().rposition(hunting)
}

/// Can the report be a late or doubled one of an ended call? It must name nobody that the call did not have,
/// come within the time in which reports overtake each other, and name the call's wire id or be of a kind that
/// can still have been under way.
fn is_late_for_any(ended: &VecDeque<Call>, fact: &CallFact, now: Timestamp, doubt: &Doubt) -> Option<usize> {
    ended.iter().rposition(|call| {
        let Some(ended_at) = call.ended_at else { return false };
        now.since(ended_at) <= doubt.overtake
            && concerns(call, fact)
            && (names_wire_id(call, fact) || call.can_still_come(fact.happening, now, doubt.overtake))
    })
}

/// Does it name a wire id that the call had? No other call of the same caller gets that id so soon.
fn names_wire_id(call: &Call, fact: &CallFact) -> bool {
    outside(fact).any(|(kind, party)| {
        party.id.is_some() && call.legs.iter().any(|leg| leg.kind == kind && leg.wire_id == party.id)
    })
}

fn concerns(call: &Call, fact: &CallFact) -> bool {
    let mut outside_parties = outside(fact).peekable();
    if outside_parties.peek().is_some() {
        return outside_parties.any(|(kind, party)| {
            let number = number_of(kind, party);
            call.legs.iter().any(|leg| {
                leg.kind == kind
                    && !differs(&leg.number, number)
                    && !differs(&leg.wire_id, party.id.as_ref())
                    && (number.is_some()
                        || party.id.is_some()
                        || extensions(fact).any(|e| call.had_extension(e)))
            })
        });
    }
    // Without an outside party it is about an internal call.
    let mut numbers = extensions(fact).peekable();
    if numbers.peek().is_none()
        || call.legs.iter().any(|leg| matches!(leg.kind, LegKind::Visitor | LegKind::Outer))
    {
        return false;
    }
    if let (Happening::Queued, Some(caller)) = (fact.happening, call.caller) {
        // Who was called does not wait in a queue as the caller.
        return numbers
            .all(|number| call.legs.iter().any(|leg| leg.id == caller && is_extension(leg, number)));
    }
    match fact.happening {
        // The group's number stands where an extension would.
        Happening::Ended => numbers.any(|number| call.had_extension(number)),
        _ => numbers.all(|number| call.had_extension(number)),
    }
}

/// The number that names an outside party: a visitor by who calls, an outer by who was called.
#[must_use]
pub fn number_of(kind: LegKind, party: &OutsideParty) -> Option<&Text> {
    if kind == LegKind::Visitor { party.from.as_ref() } else { party.to.as_ref() }
}

/// The outside parties that a report names.
pub fn outside(fact: &CallFact) -> impl Iterator<Item = (LegKind, &OutsideParty)> {
    fact.parties.iter().filter_map(|party| match party {
        Party::Visitor(outside) => Some((LegKind::Visitor, outside)),
        Party::Outer(outside) => Some((LegKind::Outer, outside)),
        _ => None,
    })
}

/// The extensions that a report names.
pub fn extensions(fact: &CallFact) -> impl Iterator<Item = &Text> {
    fact.parties.iter().filter_map(|party| match party {
        Party::Extension { number, .. } => Some(number),
        _ => None,
    })
}

/// Is this an outside party of which nothing at all is said?
#[must_use]
pub fn is_nobody(party: &Party) -> bool {
    let (Party::Visitor(outside) | Party::Outer(outside)) = party else { return false };
    *outside == OutsideParty::default()
}

/// Are both known, and not the same?
fn differs(known: &Option<Text>, named: Option<&Text>) -> bool {
    matches!((known, named), (Some(known), Some(named)) if known != named)
}
