//! The other half of truth: what the device says when it is asked, against what its reports have told.
//!
//! [`CellState::compare`] reads an answer and gives what is wrong in the model by it, without changing anything: who asks
//! waits and asks again, because a report may be on its way that says the same. What is still wrong then comes back as a
//! [`Correction`], through the log like everything else.

use switchroom_domain::Text;
use switchroom_domain::event::{EventData, EventKind};
use switchroom_domain::fact::{
    CallFact, Correction, ExtensionStatus, Happening, LineStatus, OutsideParty, Party, PartyState,
    QueueMention,
};
use switchroom_domain::id::CallId;
use switchroom_domain::reply::{
    DeviceInfo, GroupStatus, LineState, Partner, PartnerKind, Reply, Status, TalkState,
};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{Basis, ExtensionState as Shown, ExtensionView, LegKind};

use super::{Ask, CellState, Round};
use crate::call_leg::LegState;
use crate::device::call::Call;
use crate::entity::{Entity, Phase, Told};

/// What was asked, so that silence about something means that it is not there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum About<'a> {
    /// The device, for its lines.
    Device,
    /// All visitors.
    Visitors,
    /// All outers.
    Outers,
    /// All groups, with who waits.
    Groups,
    /// One extension, as it is known now.
    Extension(&'a ExtensionView),
}

impl CellState {
    /// What is wrong by the device's answer. `asked_at`: when it was asked; what was heard of shortly before or since is
    /// left out, its reports may still be under way.
    #[must_use]
    pub fn compare(&self, asked: About<'_>, answer: &Reply, asked_at: Timestamp) -> Vec<Correction> {
        let look = Look { cell: self, asked_at };
        match (asked, answer) {
            (About::Device, Reply::Device(info)) => known(info),
            (About::Visitors, Reply::Status(status)) => look.outside(LegKind::Visitor, &status.visitors),
            (About::Outers, Reply::Status(status)) => look.outside(LegKind::Outer, &status.outers),
            (About::Groups, Reply::Status(status)) => look.groups(&status.groups),
            (About::Extension(view), Reply::Status(status)) => look.extension(view, status),
            // Nobody of that kind is there.
            (About::Visitors, Reply::Done) => look.outside(LegKind::Visitor, &[]),
            (About::Outers, Reply::Done) => look.outside(LegKind::Outer, &[]),
            _ => Vec::new(),
        }
    }

    /// Takes a correction.
    pub(super) fn corrected(&mut self, correction: Correction) -> Vec<Ask> {
        if self.is_overtaken(&correction) {
            return Vec::new();
        }
        let is_repair = correction.is_repair();
        match correction {
            Correction::CallOver { call } => {
                let Some(i) = self.calls.iter().position(|c| c.id == call) else { return Vec::new() };
                self.repaired("end_missing", Some(call));
                self.end_call(i, "reconciled", Basis::Reconciled)
            }
            Correction::LegOver { call, leg } => {
                let live = self.calls.iter().any(|c| c.id == call && c.live_legs().any(|l| l.id == leg));
                if !live {
                    return Vec::new();
                }
                self.repaired("leave_missing", Some(call));
                self.release(call, Some(leg), "reconciled", "none")
            }
            Correction::Call(fact) => {
                self.repaired("call_missing", None);
                self.call_fact(fact)
            }
            Correction::Line(ExtensionStatus { extension, status, .. })
            | Correction::Learned(ExtensionStatus { extension, status, .. }) => {
                if is_repair {
                    self.repaired("line_missing", None);
                }
                self.tell(Round::Entities, vec![(Entity::Extension(extension), Told::LineAsked { status })])
            }
            Correction::Known { extensions, trunks } => {
                self.trunks.extend(trunks.iter().map(|(number, _)| number.clone()));
                let extensions =
                    extensions.into_iter().map(|(number, line_id)| (Entity::Extension(number), line_id));
                let trunks = trunks.into_iter().map(|(number, line_id)| (Entity::Trunk(number), line_id));
                let asks =
                    extensions.chain(trunks).map(|(entity, line_id)| (entity, Told::Known { line_id }));
                self.tell(Round::Entities, asks.collect())
            }
            Correction::Queue { queue, group } => {
                self.queue_groups.insert(group, queue.clone());
                self.tell(Round::Entities, vec![(Entity::Queue(queue), Told::GroupLearned { group })])
            }
        }
    }

    /// Has a report of the same come since the device was asked? Then that counts.
    fn is_overtaken(&self, correction: &Correction) -> bool {
        let heard = |call: &Call| self.now.since(call.heard_at) <= self.doubt.overtake;
        match correction {
            Correction::CallOver { call } | Correction::LegOver { call, .. } => {
                self.calls.iter().any(|c| c.id == *call && heard(c))
            }
            Correction::Call(fact) => {
                let of_it = |call: &Call| {
                    let wire = super::binding::outside(fact).any(|(kind, party)| {
                        party.id.is_some()
                            && call.legs.iter().any(|leg| leg.kind == kind && leg.wire_id == party.id)
                    });
                    wire || super::binding::extensions(fact).any(|number| call.had_extension(number))
                };
                let ended =
                    |call: &&Call| call.ended_at.is_some_and(|at| self.now.since(at) <= self.doubt.overtake);
                self.calls.iter().any(|call| of_it(call) && heard(call))
                    || self.ended.iter().filter(ended).any(of_it)
            }
            // An extension weighs it itself.
            _ => false,
        }
    }

    /// The device answers, or has stopped to.
    pub(super) fn reachable(&mut self, reachable: bool) {
        if self.unreachable != reachable {
            return;
        }
        self.unreachable = !reachable;
        let kind = if reachable { EventKind::DeviceWentUp } else { EventKind::DeviceWentDown };
        let basis = if self.pending.report.is_some() { Basis::Observed } else { Basis::Reconciled };
        self.emit(kind, "device".into(), EventData { basis, ..EventData::default() });
    }

    /// Has it stopped to answer?
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        self.unreachable
    }

    fn repaired(&mut self, reason: &'static str, call: Option<CallId>) {
        for kind in [EventKind::GapDetected, EventKind::GapRepaired] {
            let data = EventData {
                basis: Basis::Reconciled,
                call,
                reason: Some(Text::const_new(reason)),
                ..EventData::default()
            };
            self.emit(kind, "device".into(), data);
        }
    }
}

/// All lines of a device.
fn known(info: &DeviceInfo) -> Vec<Correction> {
    let numbers = |lines: &[switchroom_domain::reply::Line]| {
        lines.iter().filter_map(|line| Some((line.number.clone()?, line.line_id.clone()))).collect()
    };
    vec![Correction::Known { extensions: numbers(&info.extensions), trunks: numbers(&info.trunks) }]
}

struct Look<'a> {
    cell: &'a CellState,
    asked_at: Timestamp,
}

impl Look<'_> {
    /// Nothing was heard of it for so long that no report of it can be under way.
    fn is_settled(&self, call: &Call) -> bool {
        self.asked_at.since(call.heard_at) > self.cell.doubt.overtake
    }

    /// All visitors, or all outers, of the device.
    fn outside(&self, kind: LegKind, told: &[Partner]) -> Vec<Correction> {
        let mut found = Vec::new();
        for call in self.cell.calls.iter().filter(|call| self.is_settled(call)) {
            let mut legs =
                call.live_legs().filter(|leg| leg.kind == kind && leg.wire_id.is_some()).peekable();
            let is_told = |id: &Option<Text>| told.iter().any(|partner| partner.id == *id);
            if legs.peek().is_some() && legs.all(|leg| !is_told(&leg.wire_id)) {
                found.push(Correction::CallOver { call: call.id });
            }
        }
        for partner in told.iter().filter(|partner| partner.id.is_some()) {
            found.extend(self.outside_party(kind, partner));
        }
        found
    }

    fn outside_party(&self, kind: LegKind, partner: &Partner) -> Option<Correction> {
        let call = self
            .cell
            .calls
            .iter()
            .rev()
            .find(|call| call.live_legs().any(|leg| leg.kind == kind && leg.wire_id == partner.id));
        if call.is_some_and(|call| !self.is_settled(call)) {
            return None;
        }
        // Somebody of it is in a call that was just heard of: it is being passed on.
        let busy = |other: &Partner| {
            let number = other.id.as_deref().unwrap_or_default();
            other.kind == PartnerKind::Extension
                && self.cell.calls.iter().any(|c| c.live_extension(number).is_some() && !self.is_settled(c))
        };
        if partner.with.iter().any(busy) {
            return None;
        }
        let extensions = self.extensions_with(kind, partner);
        let talks = partner.state == Some(TalkState::Talk);
        // A visitor that was passed on to an outside number.
        let is_outer = |other: &&Partner| other.kind == PartnerKind::Outer && other.id.is_some();
        let outer = partner.with.iter().find(is_outer).filter(|_| kind == LegKind::Visitor && talks);
        let told = match call {
            None => partner.state != Some(TalkState::Wait) || !partner.with.is_empty(),
            Some(call) => {
                let is = |number: &Text, phase: Phase| {
                    call.live_extension(number)
                        .is_some_and(|leg| (leg.phase == Phase::Talking) == (phase == Phase::Talking))
                };
                let phase = if talks { Phase::Talking } else { Phase::Ringing };
                let all_there = extensions.iter().all(|number| is(number, phase));
                let nobody_else = !talks
                    || call
                        .live_legs()
                        .filter(|leg| leg.kind == LegKind::Extension)
                        .all(|leg| leg.number.as_ref().is_some_and(|number| extensions.contains(&number)));
                let is_talked_to = |outer: &Partner| {
                    let its = |leg: &&LegState| leg.kind == LegKind::Outer && leg.wire_id == outer.id;
                    call.live_legs()
                        .find(its)
                        .is_some_and(|leg| matches!(leg.phase, Phase::Talking | Phase::Held))
                };
                match outer {
                    Some(outer) => !is_talked_to(outer),
                    // Without a telephone nothing can be said: a menu, a queue and a wait look alike.
                    None => !(extensions.is_empty() || all_there && nobody_else),
                }
            }
        };
        told.then(|| Correction::Call(Box::new(Self::as_fact(kind, partner, outer, &extensions, talks))))
    }

    /// The telephones that an outside party is with. An outer whose other side is not told was called by who it is from,
    /// if that is a telephone of the device.
    fn extensions_with<'p>(&self, kind: LegKind, partner: &'p Partner) -> Vec<&'p Text> {
        let told = partner.with.iter().filter(|other| other.kind == PartnerKind::Extension);
        let mut extensions: Vec<&Text> = told.filter_map(|other| other.id.as_ref()).collect();
        if kind == LegKind::Outer && partner.with.is_empty() {
            extensions.extend(partner.from.iter().filter(|from| !self.cell.trunks.contains(*from)));
        }
        extensions
    }

    fn as_fact(
        kind: LegKind,
        partner: &Partner,
        outer: Option<&Partner>,
        extensions: &[&Text],
        talks: bool,
    ) -> CallFact {
        let (outside_state, extension_state) = match (talks, kind) {
            (true, _) => (PartyState::Talking, PartyState::Talking),
            (false, LegKind::Outer) => (PartyState::Ringing, PartyState::Alerting),
            (false, _) => (PartyState::Alerting, PartyState::Ringing),
        };
        let state = (talks || !extensions.is_empty() || kind == LegKind::Outer).then_some(outside_state);
        let party = |partner: &Partner, state| OutsideParty {
            id: partner.id.clone(),
            from: partner.from.clone(),
            to: partner.to.clone(),
            trunk: partner.trunk.clone(),
            callid: partner.callid.clone(),
            state,
        };
        let outside = party(partner, state);
        let outside = if kind == LegKind::Visitor { Party::Visitor(outside) } else { Party::Outer(outside) };
        let named = |number: &Text| Party::Extension { number: number.clone(), state: Some(extension_state) };
        let mut parties = vec![outside];
        parties.extend(outer.map(|outer| Party::Outer(party(outer, Some(PartyState::Talking)))));
        parties.extend(extensions.iter().map(|number| named(number)));
        CallFact { complete: talks, reconciled: true, ..CallFact::new(Happening::Mentioned, parties) }
    }

    /// Who waits in which group.
    fn groups(&self, groups: &[GroupStatus]) -> Vec<Correction> {
        let mut found = Vec::new();
        for group in groups {
            let number = u32::from(group.group);
            let calls: Vec<(&Partner, Option<&Call>)> =
                group.waiting.iter().map(|partner| (partner, self.visitors_call(partner))).collect();
            let known = self.cell.queue_groups.get(&number);
            // Whoever is known to wait in it tells what the device calls its queue.
            let told = || {
                let settled = calls.iter().filter_map(|(_, call)| call.filter(|call| self.is_settled(call)));
                settled.filter_map(|call| call.queue.as_ref()).next()
            };
            let Some(queue) = known.or_else(told) else { continue };
            if known.is_none() {
                found.push(Correction::Queue { queue: queue.clone(), group: number });
            }
            let missing = calls
                .iter()
                .filter(|(_, call)| call.is_none_or(|call| call.queue.is_none() && self.is_settled(call)));
            found.extend(missing.map(|(partner, _)| waits(partner, queue)));
        }
        found
    }

    fn visitors_call(&self, partner: &Partner) -> Option<&Call> {
        let is_theirs = |leg: &LegState| leg.kind == LegKind::Visitor && leg.wire_id == partner.id;
        self.cell.calls.iter().find(|call| call.live_legs().any(is_theirs))
    }

    /// What one extension does.
    fn extension(&self, view: &ExtensionView, status: &Status) -> Vec<Correction> {
        let Some(told) = status.extensions.iter().find(|told| told.number == view.number) else {
            return Vec::new();
        };
        let number = &view.number;
        let calls: Vec<&Call> =
            self.cell.calls.iter().filter(|call| call.live_extension(number).is_some()).collect();
        let line = |status| {
            let status = ExtensionStatus { extension: number.clone(), status, address: None };
            if view.state == Shown::Unknown { Correction::Learned(status) } else { Correction::Line(status) }
        };
        if calls.iter().any(|call| !self.is_settled(call))
            || view.since.is_some_and(|since| self.asked_at.since(since) <= self.cell.doubt.overtake)
        {
            return Vec::new();
        }
        let all_left = || {
            let left = |call: &&Call| {
                let leg = call.live_extension(number)?;
                Some(Correction::LegOver { call: call.id, leg: leg.id })
            };
            calls.iter().filter_map(left).collect::<Vec<_>>()
        };
        match told.state {
            Some(LineState::Ready) => {
                let mut found = all_left();
                if found.is_empty() && view.state != Shown::Idle {
                    found.push(line(LineStatus::Idle));
                }
                found
            }
            Some(LineState::Offline) => {
                let mut found = all_left();
                if view.state != Shown::Offline {
                    found.push(line(LineStatus::Offline));
                }
                found
            }
            Some(LineState::Active | LineState::Progress | LineState::Offhook) => {
                let mut found: Vec<Correction> =
                    told.with.iter().filter_map(|partner| self.internal(number, partner, &calls)).collect();
                if found.is_empty()
                    && told.with.is_empty()
                    && calls.is_empty()
                    && matches!(view.state, Shown::Idle | Shown::Unknown)
                {
                    found.push(line(LineStatus::Busy));
                }
                found
            }
            Some(LineState::Unwired) | None => Vec::new(),
        }
    }

    /// Two telephones that talk; who rings whom is not told, so only that.
    fn internal(&self, number: &Text, partner: &Partner, calls: &[&Call]) -> Option<Correction> {
        let other = partner.id.as_ref().filter(|_| partner.kind == PartnerKind::Extension)?;
        if partner.state != Some(TalkState::Talk) {
            return None;
        }
        let talk = |call: &&&Call| {
            let talks = |n: &Text| call.live_extension(n).is_some_and(|leg| leg.phase == Phase::Talking);
            talks(number) && talks(other)
        };
        if calls.iter().find(talk).is_some() {
            return None;
        }
        let unsettled = |call: &Call| call.live_extension(other).is_some() && !self.is_settled(call);
        if self.cell.calls.iter().any(unsettled) {
            return None;
        }
        let talking = |n: &Text| Party::Extension { number: n.clone(), state: Some(PartyState::Talking) };
        let parties = vec![talking(number), talking(other)];
        let fact = CallFact { reconciled: true, ..CallFact::new(Happening::Mentioned, parties) };
        Some(Correction::Call(Box::new(fact)))
    }
}

/// A visitor that waits in a queue.
fn waits(partner: &Partner, queue: &Text) -> Correction {
    let visitor = OutsideParty {
        id: partner.id.clone(),
        from: partner.from.clone(),
        to: partner.to.clone(),
        callid: partner.callid.clone(),
        ..OutsideParty::default()
    };
    let fact = CallFact {
        queue: Some(QueueMention { id: queue.clone(), count: None }),
        reconciled: true,
        ..CallFact::new(Happening::Queued, vec![Party::Visitor(visitor)])
    };
    Correction::Call(Box::new(fact))
}
