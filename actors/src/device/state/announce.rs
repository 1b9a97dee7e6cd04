//! What an input is announced as: which events it makes, and what they say.

use switchroom_domain::Text;
use switchroom_domain::event::{EventData, EventKind};
use switchroom_domain::fact::{CallFact, Happening, Party};
use switchroom_domain::time::Millis;
use switchroom_domain::view::{Basis, Direction, LegKind};

use super::{CellState, PlanRest, QueueMove, binding};
use crate::entity::Phase;
use switchroom_domain::id::{CallId, LegId};

impl CellState {
    pub(super) fn announce(&mut self, i: usize, rest: &PlanRest) {
        let Some(fact) = self.pending.fact.take() else {
            self.announce_end(i, rest);
            return;
        };
        let call = &self.calls[i];
        let was = |leg: LegId| rest.before.iter().find(|(before, _)| *before == leg).map(|(_, phase)| *phase);
        let primary = rest.primary.and_then(|id| call.legs.iter().find(|leg| leg.id == id));
        let moved = primary.is_some_and(|leg| was(leg.id) != Some(leg.phase));
        let newly_answered = call.answered_at.is_some() && !rest.was_answered;
        let passed_on = rest.was_answered && moved;
        let kind = match fact.happening {
            Happening::Invited => moved.then_some(EventKind::CallInvited),
            Happening::Incoming => moved.then_some(EventKind::CallIncoming),
            Happening::Ringing => moved.then_some(EventKind::CallRinging),
            Happening::Alerting => moved.then_some(EventKind::CallAlerting),
            Happening::Answered | Happening::PeerAnswered => {
                (newly_answered || passed_on).then_some(EventKind::CallAnswered)
            }
            Happening::Diverted => Some(EventKind::CallDiverted),
            Happening::Transferred => Some(EventKind::CallTransferred),
            Happening::Placed => self.pending.is_new.then_some(EventKind::CallDialed),
            Happening::Failed => Some(EventKind::CallFailed),
            Happening::Held => moved.then_some(EventKind::CallHeld),
            Happening::Digits | Happening::Surveyed => Some(EventKind::CallDigitsReceived),
            Happening::AnnouncementEnded => Some(EventKind::CallAnnouncementEnded),
            Happening::Mentioned => self.mentioned_kind(newly_answered, moved),
            Happening::Queued | Happening::QueueRefused | Happening::Ended => None,
        };
        let dialled = self.pending.is_new
            && matches!(fact.happening, Happening::Alerting | Happening::Ringing | Happening::PeerAnswered)
            && self.calls[i].direction != Direction::Inbound;
        if dialled {
            let data = self.call_data(i, rest.basis);
            self.emit_for_call(EventKind::CallDialed, i, data);
        }
        if let Some(kind) = kind {
            let data = self.fact_data(i, rest, &fact);
            self.emit_for_call(kind, i, data);
        }
        self.announce_ringing(i, rest, &fact);
        if fact.happening == Happening::QueueRefused {
            self.announce_refusal(Some(i), &fact);
        }
        self.announce_end(i, rest);
    }

    /// Telephones that must be ringing though no RING has said so yet (an ALERT came first).
    pub(super) fn announce_ringing(&mut self, i: usize, rest: &PlanRest, fact: &CallFact) {
        let rang = |leg: LegId| rest.before.iter().any(|(id, phase)| *id == leg && *phase == Phase::Ringing);
        let told = if fact.happening == Happening::Ringing { rest.primary } else { None };
        let newly: Vec<_> = self.calls[i]
            .live_legs()
            .filter(|leg| leg.kind == LegKind::Extension && leg.phase == Phase::Ringing)
            .filter(|leg| !rang(leg.id) && Some(leg.id) != told)
            .map(|leg| (leg.id, leg.number.clone()))
            .collect();
        for (leg, extension) in newly {
            let setup_seconds = self.setup_seconds(i);
            let data =
                EventData { leg: Some(leg), extension, setup_seconds, ..self.call_data(i, Basis::Inferred) };
            self.emit_for_call(EventKind::CallRinging, i, data);
        }
    }

    pub(super) fn mentioned_kind(&self, answered: bool, moved: bool) -> Option<EventKind> {
        if answered {
            return Some(EventKind::CallAnswered);
        }
        (moved && self.pending.is_new).then_some(EventKind::CallDialed)
    }

    pub(super) fn fact_data(&self, i: usize, rest: &PlanRest, fact: &CallFact) -> EventData {
        let call = &self.calls[i];
        let mut data = self.call_data(i, rest.basis);
        let primary = rest.primary.and_then(|id| call.legs.iter().find(|leg| leg.id == id));
        data.leg = rest.primary;
        let named = primary.filter(|leg| leg.kind == LegKind::Extension).and_then(|leg| leg.number.clone());
        data.extension = named.or_else(|| binding::extensions(fact).next().cloned());
        data.digits.clone_from(&fact.digits);
        data.timed_out = fact.timed_out;
        data.code = fact.code;
        data.reason.clone_from(&fact.reason);
        data.menu = fact.parties.iter().find_map(|party| match party {
            Party::Menu { id } => Some(id.clone()),
            _ => None,
        });
        if fact.happening == Happening::Surveyed {
            data.reason = Some("survey".into());
        }
        if !rest.was_answered {
            data.answer_seconds = call.answered_at.map(|at| at.since(call.started_at).seconds());
        }
        data.setup_seconds = self.setup_seconds(i).filter(|_| fact.happening == Happening::Ringing);
        data
    }

    /// From the call's begin to its first ringing, if that is now.
    pub(super) fn setup_seconds(&self, i: usize) -> Option<f64> {
        let call = &self.calls[i];
        call.rang_at.filter(|at| *at == self.now).map(|at| at.since(call.started_at).seconds())
    }

    pub(super) fn call_data(&self, i: usize, basis: Basis) -> EventData {
        let call = &self.calls[i];
        EventData {
            basis,
            call: Some(call.id),
            direction: Some(call.direction),
            from: call.from(),
            to: call.to(),
            trunk: call.trunk.clone(),
            state: Some(Text::const_new(call.state.as_str())),
            command: call.command.map(|id| compact_str::format_compact!("{id}")),
            ..EventData::default()
        }
    }

    pub(super) fn announce_end(&mut self, i: usize, rest: &PlanRest) {
        if rest.over.is_none() {
            return;
        }
        let call = &self.calls[i];
        let ended_at = call.ended_at.unwrap_or(self.now);
        let outcome = match (&call.answered_at, call.end_reason.as_deref()) {
            (Some(_), _) => "answered",
            (None, Some("failed")) => "failed",
            (None, Some("abandoned")) => "abandoned",
            _ => "no_answer",
        };
        let data = EventData {
            reason: call.end_reason.clone(),
            outcome: Some(outcome.into()),
            talk_seconds: call.answered_at.map(|at| ended_at.since(at).seconds()),
            extension: call.last_extension(),
            ..self.call_data(i, rest.basis)
        };
        self.emit_for_call(EventKind::CallEnded, i, data);
    }

    pub(super) fn announce_queue(&mut self, queue: &Text, waited: Option<Millis>, group: Option<u32>) {
        let moves = &mut self.pending.queue_moves;
        let Some(i) = moves.iter().position(|of| of.queue == *queue) else { return };
        let QueueMove { queue, left, count, call, from, group: told } = moves.remove(i);
        if let Some(call) = self.calls.iter_mut().chain(&mut self.ended).find(|of| of.id == call) {
            let named =
                group.or(told).map_or_else(|| queue.clone(), |group| compact_str::format_compact!("{group}"));
            call.story.queued(named, waited.filter(|_| left.is_some()));
        }
        let (kind, basis) = match left {
            Some(_) => (EventKind::QueueLeft, Basis::Inferred),
            None => (EventKind::QueueEntered, Basis::Observed),
        };
        let data = EventData {
            basis,
            call: Some(call),
            from,
            position: count,
            waiting_count: count,
            reason: left.map(Text::const_new),
            wait_seconds: waited.map(Millis::seconds),
            queue_id: Some(queue.clone()),
            group: group.or(told),
            ..EventData::default()
        };
        self.emit(kind, compact_str::format_compact!("queues/{queue}"), data);
    }

    pub(super) fn announce_refusal(&mut self, call: Option<usize>, fact: &CallFact) {
        let mut data = call.map_or_else(EventData::default, |i| self.call_data(i, Basis::Observed));
        data.reason.clone_from(&fact.reason);
        let queue = fact.queue.as_ref().map(|queue| queue.id.clone()).unwrap_or_default();
        data.waiting_count = fact.queue.as_ref().and_then(|queue| queue.count);
        data.extension = binding::extensions(fact).next().cloned();
        data.queue_id = Some(queue.clone());
        self.emit(EventKind::QueueRefused, compact_str::format_compact!("queues/{queue}"), data);
    }

    /// A report about a call that is not known, and that does not begin one.
    pub(super) fn announce_without_call(&mut self, fact: &CallFact) {
        let extension = binding::extensions(fact).next().cloned();
        match fact.happening {
            Happening::QueueRefused => self.announce_refusal(None, fact),
            Happening::Failed => {
                self.wait_for_record(fact);
                let subject = extension
                    .as_ref()
                    .map_or(Text::const_new("device"), |n| compact_str::format_compact!("extensions/{n}"));
                let data = EventData {
                    extension,
                    to: binding::extensions(fact).nth(1).cloned().or_else(|| {
                        binding::outside(fact)
                            .next()
                            .and_then(|(kind, party)| binding::number_of(kind, party).cloned())
                    }),
                    code: fact.code,
                    reason: fact.reason.clone(),
                    ..EventData::default()
                };
                self.emit(EventKind::CallFailed, subject, data);
            }
            _ => {}
        }
    }

    pub(super) fn emit_for_call(&mut self, kind: EventKind, i: usize, data: EventData) {
        let subject = compact_str::format_compact!("calls/{}", self.calls[i].id);
        self.emit(kind, subject, data);
    }

    pub(super) fn gap(&mut self, reason: &'static str, call: Option<CallId>) {
        let data = EventData {
            basis: Basis::Inferred,
            call,
            reason: Some(Text::const_new(reason)),
            ..EventData::default()
        };
        self.emit(EventKind::GapDetected, "device".into(), data);
    }
}
