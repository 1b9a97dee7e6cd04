//! Calls to the outside: by an extension, by a menu, and the device's own that joins two outside
//! parties.

use std::sync::Arc;

use super::Happening;
use super::call::{Call, Direction, Plan, Stage, Target, Then};
use super::clock::Clock;
use super::device::{Device, Phone};
use super::happening::{Outcome, Party};

impl Device {
    /// `caller` dials `to`; without one, a menu does.
    pub(crate) fn start_outbound(
        &mut self,
        clock: &mut Clock,
        caller: Option<usize>,
        trunk: usize,
        to: Arc<str>,
        plan: Plan,
    ) -> Option<u64> {
        let callid = self.next_callid();
        let from: Arc<str> = caller.map_or_else(|| "".into(), |index| self.extensions[index].number.clone());
        let outer = self.take_line(clock, trunk, &from, &to, callid)?;
        let mut call = self.new_call(clock, Direction::Outbound, plan);
        let id = call.id;
        call.to = Some(to);
        call.leg_callid = callid;
        call.outers.push(outer);
        call.trunks.push(trunk);
        call.caller = caller;
        if let Some(caller) = caller {
            call.from = Some(from);
            self.extensions[caller].phone = Phone::Busy;
            self.extensions[caller].call = Some(call.id);
            let extension = &self.extensions[caller].number;
            self.emit(clock, Some(&call), &Happening::WentOffHook { extension });
        }
        let setup = self.dice.between(300, 1200);
        self.after(clock, &mut call, setup);
        self.keep(call, true);
        Some(id)
    }

    /// The device calls `from`, then `to`, and joins them.
    pub(crate) fn start_callback(
        &mut self,
        clock: &mut Clock,
        trunk: usize,
        from: Arc<str>,
        to: Arc<str>,
        plan: Plan,
    ) -> Option<u64> {
        let callid = self.next_callid();
        let nobody: Arc<str> = "".into();
        let outer = self.take_line(clock, trunk, &nobody, &from, callid)?;
        let mut call = self.new_call(clock, Direction::Callback, plan);
        let id = call.id;
        call.from = Some(from);
        call.to = Some(to);
        call.leg_callid = callid;
        call.outers.push(outer);
        call.trunks.push(trunk);
        let setup = self.dice.between(300, 1200);
        self.after(clock, &mut call, setup);
        self.keep(call, true);
        Some(id)
    }

    /// Who an outer party is joined to.
    fn outer_caller<'a>(&'a self, call: &'a Call) -> Option<Party<'a>> {
        match call.direction {
            Direction::Callback => None,
            _ if call.order.outer_leads && call.outers.len() < 2 => None,
            _ => self.originator(call),
        }
    }

    /// The call was sent out: the far end rings. An analog line without reversal cannot tell, so
    /// the device takes the call for answered as soon as it is sent.
    pub(crate) fn far_end_rings(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        let trunk = call.trunks.last().map(|&trunk| &self.trunks[trunk]);
        let (analog, blind) = trunk.map_or((false, false), |trunk| (!trunk.ip, !trunk.ip && !trunk.reversal));
        if let (true, Some(outer)) = (analog, Self::last_outer(call)) {
            let caller = self.outer_caller(call);
            self.emit(clock, Some(call), &Happening::LineDials { outer, caller });
        }
        let by_hand = call.direction == Direction::Outbound && call.caller.is_some();
        if let (true, Some(caller), Some(outer)) = (analog && by_hand, call.caller, Self::last_outer(call)) {
            let caller = &self.extensions[caller].number;
            self.emit(clock, Some(call), &Happening::SentOut { outer, caller });
        }
        if call.order.then == Some(Then::WaitForAnswer) {
            return self.ring_caller_back(clock, call, blind);
        }
        if blind {
            return self.outer_answers(clock, call);
        }
        if by_hand && call.plan.busy {
            return self.end(clock, call, Outcome::Busy);
        }
        call.stage = Stage::Ringing;
        call.tale.rings(clock.now);
        if let Some(outer) = Self::last_outer(call) {
            let caller = self.outer_caller(call);
            self.emit(clock, Some(call), &Happening::OuterRings { outer, caller });
        }
        let ring = self.dice.around(self.habits.ring_ms).max(1);
        self.after(clock, call, ring);
        true
    }

    pub(crate) fn outer_answers(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        if let Some(outer) = Self::last_outer(call) {
            let caller = self.outer_caller(call);
            self.emit(clock, Some(call), &Happening::OuterAnswers { outer, caller });
        }
        if call.direction == Direction::Callback && call.outers.len() < 2 {
            return self.call_second_party(clock, call);
        }
        call.answered(clock.now);
        if let Some(to) = Self::last_outer(call).map(|outer| outer.to.clone()) {
            call.tale.answers(&to);
        }
        if call.direction == Direction::Outbound
            && let Target::Menu(menu) = call.plan.target
        {
            return self.enter_menu(clock, call, menu);
        }
        self.talk(clock, call);
        true
    }

    /// The first party of a callback is there; the second is called under the same callid.
    fn call_second_party(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        call.accepted = Some(clock.now);
        let nobody: Arc<str> = "".into();
        let to = call.to.clone().unwrap_or_else(|| nobody.clone());
        let wanted = call.order.second_trunk.filter(|&trunk| self.has_line(trunk));
        let trunk = wanted.or_else(|| self.free_trunk(|trunk| !trunk.bare));
        let second = trunk.and_then(|trunk| {
            self.take_line(clock, trunk, &nobody, &to, call.leg_callid).map(|outer| (trunk, outer))
        });
        let Some((trunk, outer)) = second else { return self.end(clock, call, Outcome::Failed) };
        call.outers.push(outer);
        call.trunks.push(trunk);
        call.stage = Stage::Dialing;
        call.leg_started = clock.now;
        let setup = self.dice.between(300, 1200);
        self.after(clock, call, setup);
        true
    }
}
