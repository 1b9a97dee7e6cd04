//! What commands make possible and people alone do not: an extension that is rung so that it may
//! call, a call on hold, one that is listened to. The commands themselves are in `om/`.

use super::Happening;
use super::call::{Call, Forward, Plan, Stage, Target, Then};
use super::clock::Clock;
use super::device::{Device, Phone};
use super::happening::{Outcome, Party};

/// The extension that takes what nobody else decides about.
pub(crate) const OPERATOR: usize = 0;

/// How soon a telephone picks up by itself.
const AT_ONCE_MS: u64 = 200;

impl Device {
    /// Counts ringings that a command has caused. Where a group hunts on, the device rings by itself.
    pub(crate) fn count_rings(&mut self, call: &mut Call, extensions: &[usize]) {
        if call.order.rings_counted {
            for &extension in extensions {
                let number = self.extensions[extension].number.to_string();
                *self.om.done.rings.entry(number).or_default() += 1;
            }
            call.order.rings_counted = !matches!(call.plan.target, Target::Group(_));
        }
    }

    /// The caller of a call that a command placed is rung; `call.order.then` says what follows.
    pub(crate) fn ring_to_call(&mut self, clock: &mut Clock, call: &mut Call, extension: usize) {
        call.stage = Stage::CallerRings;
        self.count_rings(call, &[extension]);
        self.extensions[extension].phone = Phone::Ringing;
        self.extensions[extension].call = Some(call.id);
        let number = &self.extensions[extension].number;
        let with = self.rung_before(call);
        self.emit(clock, Some(call), &Happening::RingsToCall { extension: number, with });
        let delay = self.dice.around(self.habits.ring_ms).max(1);
        let by_itself = self.extensions[extension].assigned.get("autoAnswer").is_some_and(|set| set == "yes");
        let by_itself = by_itself && self.extensions[extension].ip;
        self.after(clock, call, if by_itself { AT_ONCE_MS } else { delay });
    }

    /// An IP telephone that is told so picks up by itself.
    pub(crate) fn answers_by_itself(&mut self, clock: &mut Clock, id: u64) {
        let Some(mut call) = self.calls.remove(&id) else { return };
        let rings = call.callee.filter(|_| call.stage == Stage::Ringing);
        if rings.is_some_and(|callee| self.extensions[callee].ip) {
            call.plan.answered = true;
            self.after(clock, &mut call, AT_ONCE_MS);
        }
        self.keep(call, true);
    }

    /// Who rings already when the caller is rung.
    fn rung_before<'a>(&'a self, call: &'a Call) -> Option<Party<'a>> {
        if call.order.then != Some(Then::WaitForAnswer) {
            return None;
        }
        let callee = call.callee.map(|callee| Party::Extension(&self.extensions[callee].number));
        callee.or_else(|| call.outers.last().map(Party::Outer))
    }

    pub(crate) fn caller_picks_up(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        let Some(caller) = call.caller else { return self.end(clock, call, Outcome::Failed) };
        self.extensions[caller].phone = Phone::Busy;
        let with = self.rung_before(call);
        let extension = &self.extensions[caller].number;
        self.emit(clock, Some(call), &Happening::PicksUp { extension, with });
        match call.order.then.take() {
            Some(Then::Dial) => {
                call.stage = Stage::Dialing;
                let setup = self.dice.between(300, 1200);
                self.after(clock, call, setup);
                true
            }
            Some(Then::WaitForAnswer) => {
                let blind = call.callee.is_none()
                    && call.trunks.last().is_some_and(|&trunk| self.trunks[trunk].is_blind());
                if blind {
                    return self.outer_answers(clock, call);
                }
                call.stage = Stage::Ringing;
                let ring = self.dice.around(self.habits.ring_ms).max(1);
                self.after(clock, call, ring);
                true
            }
            Some(Then::Deliver) | None => self.deliver(clock, call),
        }
    }

    /// The outside party rings (or, on a line that cannot tell, is dialled), so the caller is rung.
    pub(crate) fn ring_caller_back(&mut self, clock: &mut Clock, call: &mut Call, blind: bool) -> bool {
        let Some(caller) = call.caller else { return self.end(clock, call, Outcome::Failed) };
        if let (false, Some(outer)) = (blind, call.outers.last()) {
            let caller = self.originator(call);
            self.emit(clock, Some(call), &Happening::OuterRings { outer, caller });
        }
        self.ring_to_call(clock, call, caller);
        true
    }

    /// Where an extension's calls go by what was assigned to it, if they go anywhere.
    pub(crate) fn forward_number(&self, extension: usize) -> Option<&str> {
        let assigned = &self.extensions[extension].assigned;
        let on = assigned.get("Fwd_Type").is_some_and(|set| set == "1" || set == "2");
        assigned.get("Fwd_Number").map(String::as_str).filter(|number| on && !number.is_empty())
    }

    /// Whether a call to this extension would go elsewhere now.
    pub(crate) fn forwards_now(&self, extension: usize) -> bool {
        let all = self.extensions[extension].assigned.get("Fwd_Type").is_some_and(|set| set == "1");
        self.forward_number(extension).is_some() && (all || !self.takes_calls(extension))
    }

    /// Turns a call to an extension that was assigned a forwarding into a forwarded one.
    pub(crate) fn forward_as_assigned(&self, call: &mut Call) {
        let Target::Extension(by) = call.plan.target else { return };
        let Some(number) = self.forward_number(by) else { return };
        let to = self.extensions.iter().position(|extension| *extension.number == *number);
        let to = to.map_or(Forward::Outside, Forward::Extension);
        if self.forwards_now(by) {
            call.plan.target = Target::Forwarded { by, to, after_ringing: false };
        } else if !call.plan.answered {
            call.plan.target = Target::Forwarded { by, to, after_ringing: true };
            call.plan.answered = true;
        }
        call.plan.busy &= call.plan.target == Target::Extension(by);
    }

    /// No application has said where the call is to go. Where a real one was asked, the operator gets it.
    pub(crate) fn nobody_decided(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        if call.trunks.first().is_some_and(|&trunk| self.trunks[trunk].controlled) {
            call.plan = Plan::to(Target::Extension(OPERATOR));
        }
        self.deliver(clock, call)
    }

    /// Frees a telephone of a call that ends, if nothing else keeps it: true if it is idle now, and is
    /// to be told so.
    pub(crate) fn lets_go(&mut self, clock: &mut Clock, phone: usize, id: u64) -> bool {
        let extension = &mut self.extensions[phone];
        if extension.held == Some(id) {
            extension.held = None;
            extension.conference = false;
            if extension.call.is_some() {
                return false;
            }
        } else if extension.call == Some(id)
            && let Some(held) = extension.held.take()
        {
            extension.call = None;
            extension.conference = false;
            if self.take_back(clock, phone, held) {
                return false;
            }
        }
        // A caller that was not rung yet has nothing to tell.
        let told = self.extensions[phone].phone != Phone::Idle;
        self.free(phone);
        told
    }

    /// A held call goes on.
    pub(crate) fn take_back(&mut self, clock: &mut Clock, phone: usize, held: u64) -> bool {
        let Some(mut call) = self.calls.remove(&held) else { return false };
        self.extensions[phone].call = Some(held);
        self.extensions[phone].held = None;
        self.extensions[phone].phone = Phone::Busy;
        call.order.held = false;
        self.talk(clock, &mut call);
        self.keep(call, true);
        true
    }

    /// Who listened to this call has nothing to hear any more.
    pub(crate) fn end_watchers(&mut self, clock: &mut Clock, call: &Call) {
        for watched in call.called().chain(call.caller) {
            let watcher =
                self.calls.values().find(|other| other.order.watches == Some(watched)).map(|other| other.id);
            if let Some(mut watcher) = watcher.and_then(|id| self.calls.remove(&id)) {
                self.end(clock, &mut watcher, Outcome::NoAnswer);
            }
        }
    }

    /// Takes a caller out of a call that goes on without it.
    pub(crate) fn caller_leaves(&mut self, clock: &mut Clock, call: &mut Call) {
        let Some(caller) = call.caller.take() else { return };
        if self.lets_go(clock, caller, call.id) {
            let extension = &self.extensions[caller].number;
            self.emit(clock, Some(call), &Happening::WentOnHook { extension });
            self.offer_soon(clock, caller);
        }
    }
}
