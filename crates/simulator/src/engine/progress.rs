//! How a call goes on: each timer moves it one step, until it ends.

use std::sync::Arc;

use super::Happening;
use super::call::{Afterwards, Call, Direction, Forward, Plan, Stage, Target};
use super::clock::{Clock, Wake};
use super::device::{Device, Phone};
use super::happening::{Outcome, Party};
use super::wire::Wire;

impl Device {
    /// A call's timer: takes the call out, moves it on, and puts it back if it still lives.
    pub(crate) fn advance(&mut self, clock: &mut Clock, id: u64, token: u32) {
        if self.calls.get(&id).is_none_or(|call| call.token != token || call.frozen) {
            return;
        }
        let Some(mut call) = self.calls.remove(&id) else { return };
        let alive = match call.stage {
            Stage::Invited => self.let_in(clock, &mut call),
            Stage::Incoming => self.nobody_decided(clock, &mut call),
            Stage::Queued | Stage::WaitingFor(_) => self.give_up_waiting(clock, &mut call),
            Stage::InMenu => self.step_in_menu(clock, &mut call),
            Stage::CallerRings => self.caller_picks_up(clock, &mut call),
            Stage::Dialing => self.far_end_rings(clock, &mut call),
            Stage::Ringing => self.ringing_ends(clock, &mut call),
            Stage::Talking => self.talk_ends(clock, &mut call),
        };
        self.keep(call, alive);
    }

    /// Puts a call back among the live ones, frozen at once if a pause has chosen it and it
    /// stands somewhere safe.
    pub(crate) fn keep(&mut self, mut call: Call, alive: bool) {
        if alive {
            if call.stands && call.can_stand() && call.stage != Stage::Queued {
                call.frozen = true;
            }
            self.calls.insert(call.id, call);
        }
    }

    /// Sets the call's one timer.
    pub(crate) fn after(&self, clock: &mut Clock, call: &mut Call, delay: u64) {
        call.token += 1;
        clock.wake(self.index, delay, Wake::Call { call: call.id, token: call.token });
    }

    pub(crate) fn start_inbound(
        &mut self,
        clock: &mut Clock,
        from: Arc<str>,
        trunk: usize,
        plan: Plan,
    ) -> bool {
        let callid = self.next_callid();
        let to = self.trunks[trunk].number.clone();
        let Some(visitor) = self.take_line(clock, trunk, &from, &to, callid) else { return false };
        let mut call = self.new_call(clock, Direction::Inbound, plan);
        call.visitor = Some(visitor);
        call.from = Some(from);
        call.to = Some(to);
        call.trunks.push(trunk);
        let alive = if self.trunks[trunk].asks_before && !self.trunks[trunk].bare {
            call.stage = Stage::Invited;
            if let Some(visitor) = &call.visitor {
                self.emit(clock, Some(&call), &Happening::Invited { visitor });
            }
            self.wait_for_application(clock, &mut call);
            true
        } else {
            self.let_in(clock, &mut call)
        };
        self.keep(call, alive);
        true
    }

    /// The pretend application decides within a second or so; one time in ten it says nothing and
    /// the device goes on by itself.
    fn wait_for_application(&mut self, clock: &mut Clock, call: &mut Call) {
        if call.trunks.first().is_some_and(|&trunk| self.trunks[trunk].controlled) {
            self.after(clock, call, self.habits.decision_ms);
            return;
        }
        let silent = self.dice.chance(0.1);
        let thinking = self.dice.between(100, 1200);
        self.after(clock, call, if silent { self.habits.decision_ms } else { thinking });
    }

    pub(crate) fn let_in(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        let trunk = call.trunks.first().map(|&trunk| &self.trunks[trunk]);
        if trunk.is_some_and(|trunk| trunk.asks_after && !trunk.bare) {
            call.stage = Stage::Incoming;
            call.accepted = Some(clock.now);
            if let Some(visitor) = &call.visitor {
                self.emit(clock, Some(call), &Happening::CameIn { visitor });
            }
            self.wait_for_application(clock, call);
            return true;
        }
        self.deliver(clock, call)
    }

    /// Brings the call to where it is meant to go.
    pub(crate) fn deliver(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        self.forward_as_assigned(call);
        self.choose_again(call);
        match call.plan.target {
            Target::Extension(extension) if self.takes_calls(extension) && !call.plan.busy => {
                self.ring(clock, call, extension);
                true
            }
            Target::Extension(extension) => self.meets_busy(clock, call, extension),
            Target::Forwarded { by, after_ringing: true, .. } if self.is_idle(by) => {
                self.ring(clock, call, by);
                true
            }
            Target::Forwarded { by, to, .. } => self.divert(clock, call, by, to),
            Target::Group(group) => self.enter_group(clock, call, group),
            Target::Menu(menu) => self.enter_menu(clock, call, menu),
            Target::WaitFor(extension) => self.wait_for(clock, call, extension),
            Target::Outside | Target::Both | Target::Alarm(_) => false,
        }
    }

    /// The extension that was meant may be in another call by now: then another one is meant.
    fn choose_again(&mut self, call: &mut Call) {
        if let Target::Extension(extension) = call.plan.target
            && !call.plan.busy
            && !call.order.commanded
            && !self.takes_calls(extension)
            && let Some(other) = self.free_extension(call.caller)
        {
            call.plan.target = Target::Extension(other);
        }
    }

    /// The ringing extension or outside party answers, or nobody does.
    fn ringing_ends(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        match (call.callee, call.plan.target) {
            (Some(by), Target::Forwarded { by: forwarding, to, after_ringing: true }) if by == forwarding => {
                self.stops_ringing(clock, call, by);
                self.divert(clock, call, by, to)
            }
            (Some(extension), Target::Group(group))
                if !self.groups[group].rings_all() && self.dice.chance(0.15) =>
            {
                self.hunt_on(clock, call, extension)
            }
            (Some(_), _) if call.plan.answered => self.somebody_answers(clock, call),
            (None, _) if call.plan.answered => self.outer_answers(clock, call),
            _ => self.end(clock, call, Outcome::NoAnswer),
        }
    }

    /// Lets them talk for a while.
    pub(crate) fn talk(&mut self, clock: &mut Clock, call: &mut Call) {
        let talk = self.dice.around(self.habits.talk_ms).clamp(1, self.talk_limit(call));
        self.after(clock, call, talk);
    }

    fn talk_ends(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        if std::mem::take(&mut call.plan.keys) {
            self.press_key(clock, call);
            self.after(clock, call, 500);
            return true;
        }
        match std::mem::replace(&mut call.plan.afterwards, Afterwards::HangUp) {
            Afterwards::PassToExtension => self.pass_to_extension(clock, call),
            Afterwards::PassOutside => self.pass_outside(clock, call),
            Afterwards::HangUp => self.end(clock, call, Outcome::Answered),
        }
    }

    /// The extension types a digit while it talks to the outside.
    fn press_key(&mut self, clock: &mut Clock, call: &Call) {
        let digit = self.dice.below(10).to_string();
        let extension = call.callee.or(call.caller);
        let outside =
            call.visitor.as_ref().map(Party::Visitor).or_else(|| call.outers.last().map(Party::Outer));
        let bare = call.visitor.iter().chain(&call.outers).any(|wire| wire.bare);
        if let (Some(extension), Some(with), false) = (extension, outside, bare)
            && self.reports_keys(extension)
        {
            let party = Party::Extension(&self.extensions[extension].number);
            self.emit(clock, Some(call), &Happening::Digits { party, info: &digit, with });
        }
    }

    /// Blind transfer inside: the second extension rings, the first is done with the call.
    fn pass_to_extension(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        let (Some(first), Some(next)) = (call.callee, self.free_extension(call.callee)) else {
            return self.end(clock, call, Outcome::Answered);
        };
        self.leave_call(clock, call, first);
        call.plan.target = Target::Extension(next);
        self.ring(clock, call, next);
        true
    }

    /// Blind transfer to an outside number: the visitor is joined to an outer call.
    fn pass_outside(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        let (Some(first), Some(trunk)) = (call.callee, self.free_trunk(|trunk| !trunk.bare)) else {
            return self.end(clock, call, Outcome::Answered);
        };
        if self.ids.is_exhausted() {
            return self.end(clock, call, Outcome::Answered);
        }
        self.leave_call(clock, call, first);
        call.passed_by = Some(first);
        self.call_outside_for(clock, call, first, trunk)
    }

    /// An extension leaves a call that goes on without it; its record is written at once.
    pub(crate) fn leave_call(&mut self, clock: &mut Clock, call: &mut Call, extension: usize) {
        self.record_inbound_leg(clock, call, extension);
        call.tale.passed(&self.extensions[extension].number, false);
        if let Some(caller) = self.originator(call) {
            let by = &self.extensions[extension].number;
            self.emit(clock, Some(call), &Happening::Transferred { by, caller });
        }
        self.stops_ringing(clock, call, extension);
    }

    /// A forwarded call goes where its extension wants it.
    fn divert(&mut self, clock: &mut Clock, call: &mut Call, by: usize, to: Forward) -> bool {
        call.forwarded_by = Some(by);
        call.tale.passed(&self.extensions[by].number, true);
        if call.direction == Direction::Internal {
            call.to = Some(self.extensions[by].number.clone());
        }
        if let Some(caller) = self.originator(call) {
            let extension = &self.extensions[by].number;
            self.emit(clock, Some(call), &Happening::Diverted { caller, extension });
        }
        call.plan.target = Target::Extension(by);
        match to {
            Forward::Extension(to) if self.is_idle(to) => {
                self.ring(clock, call, to);
                true
            }
            Forward::Extension(to) => self.meets_busy(clock, call, to),
            Forward::Outside => match self.free_trunk(|trunk| !trunk.bare) {
                Some(trunk) if !self.ids.is_exhausted() => self.call_outside_for(clock, call, by, trunk),
                _ => self.end(clock, call, Outcome::Failed),
            },
        }
    }

    /// The device calls an outside number in the name of `extension` and joins it to the caller.
    fn call_outside_for(
        &mut self,
        clock: &mut Clock,
        call: &mut Call,
        extension: usize,
        trunk: usize,
    ) -> bool {
        let assigned = self.forward_number(extension).map(Arc::from);
        let to = assigned.unwrap_or_else(|| self.outside_number());
        self.join_outside(clock, call, Some(extension), trunk, to)
    }

    /// The same to a given number.
    pub(crate) fn join_outside(
        &mut self,
        clock: &mut Clock,
        call: &mut Call,
        extension: Option<usize>,
        trunk: usize,
        to: Arc<str>,
    ) -> bool {
        let from = extension.map_or_else(|| "".into(), |index| self.extensions[index].number.clone());
        // The vendor's sample shows both sides of such a pair with one callid.
        let callid = call.visitor.as_ref().map_or(call.leg_callid, |visitor| visitor.callid);
        let Some(outer) = self.take_line(clock, trunk, &from, &to, callid) else {
            return self.end(clock, call, Outcome::Failed);
        };
        call.tale.joins(&outer.to);
        call.outers.push(outer);
        call.trunks.push(trunk);
        call.stage = Stage::Dialing;
        call.talking_since = None;
        call.leg_started = clock.now;
        call.leg_callid = self.next_callid();
        let setup = self.dice.between(200, 1000);
        self.after(clock, call, setup);
        true
    }

    /// The extension is in another call: the caller hears it and hangs up.
    fn meets_busy(&mut self, clock: &mut Clock, call: &mut Call, extension: usize) -> bool {
        if call.direction == Direction::Internal
            && let Some(caller) = call.caller
        {
            call.to = Some(self.extensions[extension].number.clone());
            call.leg_callid = self.next_callid();
            let number = &self.extensions[caller].number;
            let called = Some(super::happening::Called::Extension(&self.extensions[extension].number));
            self.emit(clock, Some(call), &Happening::Failed { caller: number, called, code: 6 });
        }
        self.end(clock, call, Outcome::Busy)
    }

    pub(crate) fn free(&mut self, extension: usize) {
        self.extensions[extension].phone = Phone::Idle;
        self.extensions[extension].call = None;
        self.extensions[extension].muted = false;
    }

    /// The outer party that is being called, or talked to.
    pub(crate) fn last_outer(call: &Call) -> Option<&Wire> {
        call.outers.last()
    }
}
