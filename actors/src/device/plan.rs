//! What a report means for the legs of its call: who moves where.

use switchroom_domain::Text;
use switchroom_domain::fact::{CallFact, Happening, OutsideParty, Party, PartyState};
use switchroom_domain::id::{LegId, Minter};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{Basis, LegKind};

use super::binding::number_of;
use super::call::{Call, Release, is_extension};
use crate::call_leg::LegState;
use crate::entity::{Doubt, LegMove, Phase};

/// What is to happen to a call because of one report.
#[derive(Debug, Default)]
pub struct Plan {
    /// Legs and their moves, in order.
    pub moves: Vec<(LegId, LegMove)>,
    /// The leg that the report is mainly about.
    pub primary: Option<LegId>,
    /// The call is over, for this reason.
    pub over: Option<Text>,
    /// The call leaves its queue, for this reason.
    pub leaves_queue: Option<&'static str>,
    /// The call enters this queue.
    pub enters_queue: Option<(Text, Option<u32>)>,
    /// A group number that a report put where an extension would stand (4.12).
    pub group_learned: Option<u32>,
}

/// Works out one report's plan. Creates the legs that it needs in `call`.
pub struct Planner<'a> {
    /// The call.
    pub call: &'a mut Call,
    /// Where new legs' ids come from.
    pub ids: &'a mut Minter,
    /// Receive time.
    pub now: Timestamp,
    /// How doubtful reports are weighed.
    pub doubt: &'a Doubt,
}

impl Planner<'_> {
    /// The plan for this report.
    pub fn plan(&mut self, fact: &CallFact) -> Plan {
        let mut plan = Plan::default();
        self.learn(fact);
        match fact.happening {
            Happening::Invited => self.first_moves(fact, Phase::Invited, &mut plan),
            Happening::Incoming => self.first_moves(fact, Phase::Incoming, &mut plan),
            Happening::Ringing => self.rings(fact, &mut plan),
            Happening::Alerting => self.alerts(fact, &mut plan),
            Happening::Answered | Happening::PeerAnswered => self.answered(fact, &mut plan),
            Happening::Queued => self.queued(fact, &mut plan),
            Happening::Digits | Happening::AnnouncementEnded => self.in_menu(fact, &mut plan),
            Happening::Ended => self.ended(fact, &mut plan),
            Happening::Failed => self.failed(fact, &mut plan),
            Happening::Held => self.first_moves(fact, Phase::Held, &mut plan),
            Happening::Mentioned => self.mentioned(fact, &mut plan),
            Happening::Placed
            | Happening::Diverted
            | Happening::Transferred
            | Happening::QueueRefused
            | Happening::Surveyed => self.named(fact, &mut plan),
        }
        self.learn_trunks(fact);
        plan
    }

    /// Takes over what the report says of the call as a whole.
    fn learn(&mut self, fact: &CallFact) {
        if self.call.key.is_none() {
            self.call.key.clone_from(&fact.key);
        }
        for party in &fact.parties {
            match party {
                Party::Visitor(outside) => {
                    fill(&mut self.call.dialled, dialled(fact, outside));
                    fill(&mut self.call.trunk, visitors_trunk(fact, outside));
                }
                Party::Outer(outside) => {
                    fill(&mut self.call.calling, outside.from.as_ref());
                    fill(&mut self.call.trunk, outside.trunk.as_ref());
                }
                _ => {}
            }
        }
    }

    /// Which trunk each outside party uses, where the report tells.
    fn learn_trunks(&mut self, fact: &CallFact) {
        for party in &fact.parties {
            let trunk = match party {
                Party::Visitor(outside) => visitors_trunk(fact, outside),
                Party::Outer(outside) => outside.trunk.as_ref(),
                _ => None,
            };
            if let (Some(trunk), Some(id)) = (trunk, self.find(party))
                && let Some(leg) = self.call.leg_mut(id)
            {
                fill(&mut leg.trunk, Some(trunk));
            }
        }
    }

    fn named(&mut self, fact: &CallFact, plan: &mut Plan) {
        for party in &fact.parties {
            self.step(party, LegMove::default(), plan);
        }
    }

    fn first_moves(&mut self, fact: &CallFact, phase: Phase, plan: &mut Plan) {
        for (i, party) in fact.parties.iter().enumerate() {
            let phase = (i == 0).then_some(phase);
            self.step(party, LegMove { phase, ..LegMove::default() }, plan);
        }
    }

    fn rings(&mut self, fact: &CallFact, plan: &mut Plan) {
        let Some((ringing, others)) = fact.parties.split_first() else { return };
        self.step(ringing, LegMove { phase: Some(Phase::Ringing), ..LegMove::default() }, plan);
        for party in others {
            match party {
                Party::Menu { .. } => self.step(party, LegMove::default(), plan),
                _ => self.hears_ringback(party, plan),
            }
        }
        if let [caller @ Party::Extension { .. }] = others {
            self.begun_by(caller);
        }
        self.was_routed(plan);
    }

    fn alerts(&mut self, fact: &CallFact, plan: &mut Plan) {
        let Some((caller, others)) = fact.parties.split_first() else { return };
        let alone = others.iter().all(|party| matches!(party, Party::Menu { .. }));
        match caller {
            // The exchange itself dialled (a menu, a callback): the outside telephone rings.
            Party::Outer(_) if alone => {
                self.step(caller, LegMove { phase: Some(Phase::Ringing), ..LegMove::default() }, plan);
            }
            _ => self.hears_ringback(caller, plan),
        }
        for party in others {
            self.step(party, LegMove { phase: Some(Phase::Ringing), ..LegMove::default() }, plan);
        }
        if matches!(caller, Party::Extension { .. }) {
            self.begun_by(caller);
        }
        if !alone {
            self.was_routed(plan);
        }
    }

    fn answered(&mut self, fact: &CallFact, plan: &mut Plan) {
        for party in &fact.parties {
            let phase = if matches!(party, Party::Menu { .. }) { Phase::InMenu } else { Phase::Talking };
            self.step(party, LegMove { phase: Some(phase), ..LegMove::default() }, plan);
        }
        let caller = if fact.happening == Happening::PeerAnswered {
            fact.parties.first()
        } else {
            fact.parties.get(1)
        };
        if let Some(caller @ Party::Extension { .. }) = caller {
            self.begun_by(caller);
        }
        self.others_stop_ringing(plan);
        self.was_routed(plan);
    }

    /// One answers; whoever else rang for this call rings no more, though no report says so.
    fn others_stop_ringing(&self, plan: &mut Plan) {
        let named = |id: LegId| plan.moves.iter().any(|(leg, _)| *leg == id);
        let rings =
            |leg: &&LegState| leg.kind == LegKind::Extension && leg.phase == Phase::Ringing && !named(leg.id);
        let others: Vec<_> =
            self.call.live_legs().filter(rings).map(|leg| (leg.id, gone(Basis::Inferred))).collect();
        plan.moves.extend(others);
    }

    /// The call reached a telephone: it waits in no queue and hears no menu any more (4.12).
    fn was_routed(&self, plan: &mut Plan) {
        let telephone = plan.moves.iter().any(|(id, step)| {
            step.phase.is_some_and(|phase| phase.is_live())
                && self.call.legs.iter().any(|leg| leg.id == *id && leg.kind == LegKind::Extension)
        });
        let named = |id: LegId| plan.moves.iter().any(|(leg, _)| *leg == id);
        let menu = |leg: &&LegState| leg.kind == LegKind::Menu && !named(leg.id);
        let left: Vec<_> =
            self.call.live_legs().filter(menu).map(|leg| (leg.id, gone(Basis::Inferred))).collect();
        plan.moves.extend(left);
        if telephone && self.call.queue.is_some() {
            plan.leaves_queue = Some("answered");
        }
    }

    fn queued(&mut self, fact: &CallFact, plan: &mut Plan) {
        let recently =
            |kind| self.call.last_seen(kind).is_some_and(|at| self.now.since(at) <= self.doubt.overtake);
        // A QUEUE that comes after the RING it led to was overtaken by it.
        if recently(Happening::Ringing) || recently(Happening::Answered) {
            return self.named(fact, plan);
        }
        for (i, party) in fact.parties.iter().enumerate() {
            let phase = (i == 0).then_some(Phase::Queued);
            self.step(party, LegMove { phase, back: true, ..LegMove::default() }, plan);
        }
        if let Some(caller @ Party::Extension { .. }) = fact.parties.first() {
            self.begun_by(caller);
        }
        let menu = |leg: &&LegState| leg.kind == LegKind::Menu;
        plan.moves.extend(self.call.live_legs().filter(menu).map(|leg| (leg.id, gone(Basis::Inferred))));
        if let Some(queue) = &fact.queue
            && self.call.queue.as_ref() != Some(&queue.id)
        {
            plan.leaves_queue = self.call.queue.is_some().then_some("unknown");
            plan.enters_queue = Some((queue.id.clone(), queue.count));
        }
    }

    fn in_menu(&mut self, fact: &CallFact, plan: &mut Plan) {
        let routed = [
            Happening::Ringing,
            Happening::Alerting,
            Happening::Answered,
            Happening::PeerAnswered,
            Happening::Queued,
        ];
        let overtaken = routed.iter().any(|kind| {
            self.call.last_seen(*kind).is_some_and(|at| self.now.since(at) <= self.doubt.overtake)
        });
        let menu = fact.parties.iter().any(|party| matches!(party, Party::Menu { .. }));
        for (i, party) in fact.parties.iter().enumerate() {
            let is_menu = matches!(party, Party::Menu { .. });
            if is_menu && overtaken {
                continue;
            }
            let phase = (menu && !overtaken && (i == 0 || is_menu)).then_some(Phase::InMenu);
            self.step(party, LegMove { phase, back: true, ..LegMove::default() }, plan);
        }
        // One menu at a time.
        let named = |id: LegId| plan.moves.iter().any(|(leg, _)| *leg == id);
        let other_menu = |leg: &&LegState| menu && !overtaken && leg.kind == LegKind::Menu && !named(leg.id);
        let left: Vec<_> =
            self.call.live_legs().filter(other_menu).map(|leg| (leg.id, gone(Basis::Inferred))).collect();
        plan.moves.extend(left);
    }

    /// BYE. Who is named first released. An outside party that releases ends the call; a telephone that
    /// releases may have passed it on, so its other party gets a grace.
    fn ended(&mut self, fact: &CallFact, plan: &mut Plan) {
        if self.abandons_queue(fact, plan) {
            return;
        }
        let Some((first, others)) = fact.parties.split_first() else {
            return self.all_leave("hangup", Basis::Observed, plan);
        };
        let leg = self.leg(first);
        plan.primary = Some(leg);
        for party in others {
            // Who is named here and was not in the call before has nothing to do with it: a group's number
            // stands where an extension would (4.12).
            if self.find(party).is_some() || matches!(party, Party::Visitor(_) | Party::Outer(_)) {
                self.step(party, LegMove::default(), plan);
            }
        }
        plan.moves.push((leg, gone(Basis::Observed)));
        let is_outside = matches!(first, Party::Visitor(_) | Party::Outer(_));
        let has_more = others.iter().any(|party| !matches!(party, Party::Menu { .. }));
        let is_visitor = matches!(first, Party::Visitor(_));
        if is_visitor || (is_outside && has_more) || (!is_outside && self.is_internal()) {
            return self.internal_or_outside_released(first, plan);
        }
        self.rest_or_grace(leg, plan);
    }

    fn is_internal(&self) -> bool {
        self.call.legs.iter().all(|leg| leg.kind == LegKind::Extension)
    }

    fn internal_or_outside_released(&mut self, first: &Party, plan: &mut Plan) {
        // An internal call with three telephones in it was passed on: only who released has left. Unless it is
        // the caller of whom several telephones ring, and nobody has answered.
        let beside = self.call.live_legs().filter(|leg| !is_gone(plan, leg.id)).count();
        let gives_up = self.call.answered_at.is_none() && plan.primary == self.call.caller;
        if matches!(first, Party::Extension { .. }) && beside >= 2 && !gives_up {
            return;
        }
        self.all_leave("hangup", Basis::Observed, plan);
    }

    /// One leg left. Who stays: nobody (over), a telephone alone (over: it has nobody to talk to), an outside
    /// party alone (over, unless something else is heard of it), or several (it goes on).
    fn rest_or_grace(&mut self, left: LegId, plan: &mut Plan) {
        let rest: Vec<(LegId, LegKind, Phase)> = self
            .call
            .live_legs()
            .filter(|leg| leg.id != left && !is_gone(plan, leg.id) && leg.kind != LegKind::Menu)
            .map(|leg| (leg.id, leg.kind, leg.phase))
            .collect();
        match rest.as_slice() {
            [] | [(_, LegKind::Extension, _)] => self.all_leave("hangup", Basis::Observed, plan),
            [(_, LegKind::Visitor | LegKind::Outer, _)] => self.release_later(None, "hangup"),
            several => {
                // Passed on: the outside party hears ringback again while the next telephone rings.
                let rings = several
                    .iter()
                    .any(|(_, kind, phase)| *kind == LegKind::Extension && *phase == Phase::Ringing);
                let talks = several
                    .iter()
                    .any(|(_, kind, phase)| *kind == LegKind::Extension && *phase == Phase::Talking);
                if rings && !talks {
                    let waiting = |kind: LegKind| matches!(kind, LegKind::Visitor | LegKind::Outer);
                    let back = LegMove {
                        phase: Some(Phase::Alerting),
                        back: true,
                        basis: Basis::Inferred,
                        ..LegMove::default()
                    };
                    plan.moves.extend(
                        several
                            .iter()
                            .filter(|(_, kind, _)| waiting(*kind))
                            .map(|(id, ..)| (*id, back.clone())),
                    );
                }
            }
        }
    }

    /// 4.12: a caller that gives up in a queue is reported as BYE with the group's number as an extension.
    fn abandons_queue(&mut self, fact: &CallFact, plan: &mut Plan) -> bool {
        if self.call.queue.is_none() {
            return false;
        }
        let group = fact.parties.iter().find_map(|party| match party {
            Party::Extension { number, .. } if self.call.live_extension(number).is_none() => {
                Some(number.clone())
            }
            _ => None,
        });
        plan.leaves_queue = Some("abandoned");
        plan.group_learned = group.and_then(|number| number.parse().ok());
        self.all_leave("abandoned", Basis::Observed, plan);
        true
    }

    fn failed(&mut self, fact: &CallFact, plan: &mut Plan) {
        for party in &fact.parties {
            if let Some(leg) = self.find(party) {
                plan.primary.get_or_insert(leg);
            }
        }
        if self.call.answered_at.is_none() {
            self.all_leave("failed", Basis::Observed, plan);
        }
    }

    /// A report that gives every party's own state.
    fn mentioned(&mut self, fact: &CallFact, plan: &mut Plan) {
        for party in &fact.parties {
            let phase = match party {
                Party::Extension { state, .. } => *state,
                Party::Visitor(outside) | Party::Outer(outside) => outside.state,
                Party::Menu { .. } => None,
            };
            let phase = phase.map(|state| match state {
                PartyState::Alerting => Phase::Alerting,
                PartyState::Ringing => Phase::Ringing,
                PartyState::Talking => Phase::Talking,
                PartyState::Held => Phase::Held,
                PartyState::Gone => Phase::Gone,
            });
            if phase == Some(Phase::Gone) && self.find(party).is_none() {
                continue;
            }
            self.step(
                party,
                LegMove { phase, back: phase == Some(Phase::Talking), ..LegMove::default() },
                plan,
            );
            if phase == Some(Phase::Alerting) && matches!(party, Party::Extension { .. }) {
                self.begun_by(party);
            }
        }
        // A telephone that is no longer named beside two others was left behind by a transfer. Other parties
        // are still there: their leaving is told by a state of its own.
        if fact.complete && fact.parties.len() >= 2 {
            let named = |id: LegId| plan.moves.iter().any(|(leg, _)| *leg == id);
            let behind = |leg: &&LegState| leg.kind == LegKind::Extension && !named(leg.id);
            let behind: Vec<_> =
                self.call.live_legs().filter(behind).map(|leg| (leg.id, gone(Basis::Inferred))).collect();
            plan.moves.extend(behind);
        }
        let left = plan.moves.iter().any(|(_, step)| step.phase == Some(Phase::Gone));
        if left && self.call.live_legs().filter(|leg| !is_gone(plan, leg.id)).count() <= 1 {
            self.all_leave("hangup", Basis::Observed, plan);
        }
    }

    /// Everyone leaves: the call is over.
    pub fn all_leave(&self, reason: &'static str, basis: Basis, plan: &mut Plan) {
        let left: Vec<_> = self
            .call
            .live_legs()
            .filter(|leg| !is_gone(plan, leg.id))
            .map(|leg| (leg.id, gone(basis)))
            .collect();
        plan.moves.extend(left);
        plan.over = Some(Text::const_new(reason));
        if self.call.queue.is_some() && plan.leaves_queue.is_none() {
            plan.leaves_queue = Some(if reason == "hangup" { "abandoned" } else { "unknown" });
        }
    }

    /// The call, or one leg, is over if nothing else is heard for a while.
    pub fn release_later(&mut self, leg: Option<LegId>, reason: &'static str) {
        let at = self.now + self.doubt.release;
        if !self.call.releases.iter().any(|release| release.leg == leg) {
            self.call.releases.push(Release { at, leg, reason: Text::const_new(reason) });
        }
    }

    fn hears_ringback(&mut self, party: &Party, plan: &mut Plan) {
        let leg = self.leg(party);
        let back = !self.call.talks_beside(leg);
        self.step(party, LegMove { phase: Some(Phase::Alerting), back, ..LegMove::default() }, plan);
    }

    fn begun_by(&mut self, party: &Party) {
        if self.call.caller.is_none()
            && let Some(leg) = self.find(party)
        {
            self.call.caller = Some(leg);
        }
    }

    /// Is the report late for this call: does it name a telephone that left a moment ago?
    #[must_use]
    pub fn is_late(&self, fact: &CallFact) -> bool {
        !matches!(fact.happening, Happening::Ended | Happening::Failed)
            && fact.parties.iter().any(|party| self.has_just_left(party))
    }

    fn has_just_left(&self, party: &Party) -> bool {
        let Party::Extension { number, .. } = party else { return false };
        self.call.live_extension(number).is_none()
            && self.call.legs.iter().any(|leg| {
                is_extension(leg, number)
                    && leg.phase == Phase::Gone
                    && self.now.since(leg.heard_at) <= self.doubt.overtake
            })
    }

    fn step(&mut self, party: &Party, mut step: LegMove, plan: &mut Plan) {
        let leg = self.leg(party);
        plan.primary.get_or_insert(leg);
        if let Party::Visitor(outside) | Party::Outer(outside) = party {
            step.wire_id.clone_from(&outside.id);
            step.callid.clone_from(&outside.callid);
            step.number = number_of(kind_of(party), outside).cloned();
        }
        if let Some(mirror) = self.call.leg_mut(leg) {
            fill(&mut mirror.number, step.number.as_ref());
            fill(&mut mirror.wire_id, step.wire_id.as_ref());
            if step.callid.is_some() {
                mirror.callid.clone_from(&step.callid);
            }
        }
        plan.moves.push((leg, step));
    }

    /// The leg of a party; a new one if the call has none that is live.
    fn leg(&mut self, party: &Party) -> LegId {
        if let Some(leg) = self.find(party) {
            return leg;
        }
        let id = LegId(self.ids.mint());
        let mut leg = LegState::new(id, kind_of(party), self.now);
        match party {
            Party::Extension { number, .. } => leg.number = Some(number.clone()),
            Party::Menu { id } => leg.number = Some(id.clone()),
            Party::Visitor(outside) | Party::Outer(outside) => {
                leg.number = number_of(kind_of(party), outside).cloned();
                leg.wire_id.clone_from(&outside.id);
                leg.callid.clone_from(&outside.callid);
            }
        }
        self.call.legs.push(leg);
        id
    }

    fn find(&self, party: &Party) -> Option<LegId> {
        let kind = kind_of(party);
        let mut of_kind = self.call.live_legs().filter(|leg| leg.kind == kind);
        let found = match party {
            Party::Extension { number, .. } | Party::Menu { id: number } => {
                of_kind.find(|leg| leg.number.as_ref() == Some(number))
            }
            Party::Visitor(outside) | Party::Outer(outside) => self.find_outside(kind, outside),
        };
        found.map(|leg| leg.id)
    }

    fn find_outside(&self, kind: LegKind, outside: &OutsideParty) -> Option<&LegState> {
        let mut legs = self.call.live_legs().filter(|leg| leg.kind == kind);
        let number = number_of(kind, outside);
        let by_id = |leg: &&LegState| outside.id.is_some() && leg.wire_id == outside.id;
        if let Some(leg) = self.call.live_legs().find(|leg| leg.kind == kind && by_id(leg)) {
            return Some(leg);
        }
        let same = legs.find(|leg| {
            (leg.wire_id.is_none() || outside.id.is_none())
                && (leg.number.is_none() || number.is_none() || leg.number.as_ref() == number)
        });
        // A number alone does not tell whether it called or was called.
        let known = |leg: &&LegState| {
            matches!(leg.kind, LegKind::Visitor | LegKind::Outer) && leg.number.as_ref() == number
        };
        same.or_else(|| {
            self.call.live_legs().find(known).filter(|_| outside.id.is_none() && number.is_some())
        })
    }
}

/// What a visitor dialled: the trunk's number (2.1.1.4), except in reports that put the extension there that
/// the call was meant for (2.5.3.6, 2.5.6).
fn dialled<'a>(fact: &CallFact, outside: &'a OutsideParty) -> Option<&'a Text> {
    let extension_stands_there = matches!(fact.happening, Happening::Diverted | Happening::AnnouncementEnded);
    outside.to.as_ref().filter(|_| !extension_stands_there)
}

fn visitors_trunk<'a>(fact: &CallFact, outside: &'a OutsideParty) -> Option<&'a Text> {
    outside.trunk.as_ref().or_else(|| dialled(fact, outside))
}

/// Leaves, and where that is known from.
fn gone(basis: Basis) -> LegMove {
    LegMove { phase: Some(Phase::Gone), basis, ..LegMove::default() }
}

fn is_gone(plan: &Plan, leg: LegId) -> bool {
    plan.moves.iter().any(|(id, step)| *id == leg && step.phase == Some(Phase::Gone))
}

fn kind_of(party: &Party) -> LegKind {
    match party {
        Party::Extension { .. } => LegKind::Extension,
        Party::Visitor(_) => LegKind::Visitor,
        Party::Outer(_) => LegKind::Outer,
        Party::Menu { .. } => LegKind::Menu,
    }
}

fn fill(slot: &mut Option<Text>, value: Option<&Text>) {
    if slot.is_none() {
        *slot = value.cloned();
    }
}
