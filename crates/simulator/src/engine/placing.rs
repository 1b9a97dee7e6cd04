//! Which call is made next, and by whom.

use std::sync::Arc;

use super::call::{Afterwards, Direction, Forward, Plan, Target};
use super::clock::{Clock, Wake};
use super::device::{Device, Phone};
use super::happening::Party;

const KINDS: [Kind; 7] =
    [Kind::Inbound, Kind::Outbound, Kind::Internal, Kind::Callback, Kind::Rush, Kind::Menu, Kind::Failed];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inbound,
    Outbound,
    Internal,
    Callback,
    Rush,
    Menu,
    Failed,
}

impl Device {
    /// Draws a kind of call and places it. A device whose lines or telephones are all taken places
    /// none: the load is what it can carry.
    pub(crate) fn place_some_call(&mut self, clock: &mut Clock) {
        let mix = self.habits.mix;
        let weights =
            [mix.inbound, mix.outbound, mix.internal, mix.callback, mix.queued, mix.menu, mix.failed];
        let Some(kind) = self.dice.weighted(&weights).map(|index| KINDS[index]) else { return };
        match kind {
            Kind::Inbound => self.place_inbound(clock),
            Kind::Outbound => self.place_outbound(clock),
            Kind::Internal => self.place_internal(clock),
            Kind::Callback => self.place_callback(clock),
            Kind::Rush => self.start_rush(clock),
            Kind::Menu => self.place_menu_call(clock),
            Kind::Failed => self.place_failed(clock),
        }
    }

    /// An outside number, a mobile or a landline with its leading zero.
    pub(crate) fn outside_number(&mut self) -> Arc<str> {
        let tail = self.dice.below(100_000_000);
        if self.dice.chance(0.7) {
            let prefix = *self.dice.pick(&["130", "138", "159", "186"]).unwrap_or(&"130");
            format!("{prefix}{tail:08}").into()
        } else {
            format!("021{tail:08}").into()
        }
    }

    /// A trunk with a free line that `fits`, drawn evenly.
    pub(crate) fn free_trunk(&mut self, fits: impl Fn(&super::device::Trunk) -> bool) -> Option<usize> {
        let free: Vec<usize> = (0..self.trunks.len())
            .filter(|&index| self.has_line(index) && fits(&self.trunks[index]))
            .collect();
        self.dice.pick(&free).copied()
    }

    /// An idle extension that no waiting call has a claim on, `other` excepted.
    pub(crate) fn free_extension(&mut self, other: Option<usize>) -> Option<usize> {
        let count = self.extensions.len();
        // Usually most are idle: a few draws find one without a walk over all of them.
        for _ in 0..4 {
            let index = self.dice.below(count as u64) as usize;
            if Some(index) != other && self.is_idle(index) && !self.reserved(index) {
                return Some(index);
            }
        }
        let start = self.dice.below(count as u64) as usize;
        (0..count)
            .map(|step| (start + step) % count)
            .find(|&index| Some(index) != other && self.is_idle(index) && !self.reserved(index))
    }

    fn in_call(&mut self) -> Option<usize> {
        let busy: Vec<usize> = (0..self.extensions.len())
            .filter(|&index| {
                let extension = &self.extensions[index];
                extension.phone == Phone::Busy && extension.call.is_some()
            })
            .collect();
        self.dice.pick(&busy).copied()
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.dice.chance(f64::from(percent) / 100.0)
    }

    /// What becomes of a call to an extension.
    fn plan_to_extension(&mut self, caller: Option<usize>) -> Option<Plan> {
        let mix = self.habits.mix;
        if self.percent(mix.busy)
            && let Some(busy) = self.in_call()
        {
            return Some(Plan { busy: true, ..Plan::to(Target::Extension(busy)) });
        }
        let extension = self.free_extension(caller)?;
        let mut plan = Plan::to(Target::Extension(extension));
        plan.answered = !self.percent(mix.unanswered);
        plan.keys = self.dice.chance(0.1);
        if self.percent(mix.forwarded) {
            let to = self.forward_from(extension, caller);
            plan.target = Target::Forwarded { by: extension, to, after_ringing: self.dice.chance(0.5) };
        }
        Some(plan)
    }

    fn forward_from(&mut self, by: usize, caller: Option<usize>) -> Forward {
        let to = self.free_extension(Some(by)).filter(|&to| Some(to) != caller);
        match to {
            Some(to) if caller.is_some() || self.dice.chance(0.5) => Forward::Extension(to),
            _ => Forward::Outside,
        }
    }

    fn place_inbound(&mut self, clock: &mut Clock) {
        let mix = self.habits.mix;
        let Some(trunk) = self.free_trunk(|_| true) else { return };
        let Some(mut plan) = self.plan_to_extension(None) else { return };
        if self.trunks[trunk].asks_after
            && self.percent(mix.waiting)
            && let Some(busy) = self.in_call()
        {
            plan = Plan::to(Target::WaitFor(busy));
        }
        if matches!(plan.target, Target::Extension(_)) && plan.answered && !plan.busy {
            plan.afterwards = self.afterwards();
        }
        let from = self.outside_number();
        self.start_inbound(clock, from, trunk, plan);
    }

    fn afterwards(&mut self) -> Afterwards {
        if !self.percent(self.habits.mix.transferred) {
            Afterwards::HangUp
        } else if self.dice.chance(0.5) {
            Afterwards::PassToExtension
        } else {
            Afterwards::PassOutside
        }
    }

    fn place_outbound(&mut self, clock: &mut Clock) {
        let mix = self.habits.mix;
        let Some(trunk) = self.free_trunk(|_| true) else { return };
        let Some(caller) = self.free_extension(None) else { return };
        let mut plan = Plan::to(Target::Outside);
        plan.busy = self.percent(mix.busy);
        plan.answered = !self.percent(mix.unanswered);
        plan.keys = self.dice.chance(0.1);
        let to = self.outside_number();
        let _placed = self.start_outbound(clock, Some(caller), trunk, to, plan);
    }

    fn place_internal(&mut self, clock: &mut Clock) {
        let Some(caller) = self.free_extension(None) else { return };
        let Some(plan) = self.plan_to_extension(Some(caller)) else { return };
        self.start_internal(clock, caller, plan);
    }

    fn place_callback(&mut self, clock: &mut Clock) {
        let Some(first) = self.free_trunk(|trunk| !trunk.bare) else { return };
        let mut plan = Plan::to(Target::Both);
        plan.answered = !self.percent(self.habits.mix.unanswered);
        let (from, to) = (self.outside_number(), self.outside_number());
        let _placed = self.start_callback(clock, first, from, to, plan);
    }

    /// A menu is met by a caller, calls outside, or wakes somebody up.
    fn place_menu_call(&mut self, clock: &mut Clock) {
        if self.habits.menus == 0 {
            return;
        }
        let menu = self.dice.between(1, u64::from(self.habits.menus)) as u8;
        let plan = Plan::to(Target::Menu(menu));
        match self.dice.below(4) {
            0 => {
                let Some(trunk) = self.free_trunk(|trunk| !trunk.bare) else { return };
                let to = self.outside_number();
                let _placed = self.start_outbound(clock, None, trunk, to, plan);
            }
            1 => {
                let Some(extension) = self.free_extension(None) else { return };
                self.start_menu_to_extension(clock, menu, extension);
            }
            _ => {
                let Some(trunk) = self.free_trunk(|trunk| trunk.asks_after && !trunk.bare) else { return };
                let from = self.outside_number();
                self.start_inbound(clock, from, trunk, plan);
            }
        }
    }

    /// More calls for one group than it has free members.
    fn start_rush(&mut self, clock: &mut Clock) {
        let group = self.dice.below(self.groups.len() as u64) as usize;
        let Some(members) = self.groups.get(group).map(|group| &group.members) else { return };
        let free = members.iter().filter(|&&member| self.is_idle(member)).count() as u64;
        let more = free + self.dice.between(0, 3);
        self.debt = (self.debt + more as u32).min(100);
        let mut delay = 0;
        for _ in 0..more {
            delay += self.dice.between(200, 900);
            clock.wake(self.index, delay, Wake::Rush { group });
        }
        self.rush(clock, group);
    }

    /// One call to a group, mostly from outside.
    pub(crate) fn rush(&mut self, clock: &mut Clock, group: usize) {
        if self.paused || !self.up || self.groups.len() <= group {
            return;
        }
        let plan = Plan::to(Target::Group(group));
        if self.dice.chance(0.2) {
            let caller =
                self.free_extension(None).filter(|caller| !self.groups[group].members.contains(caller));
            if let Some(caller) = caller {
                self.start_internal(clock, caller, plan);
                return;
            }
        }
        let Some(trunk) = self.free_trunk(|trunk| !trunk.bare) else { return };
        let from = self.outside_number();
        self.start_inbound(clock, from, trunk, plan);
    }

    pub(crate) fn start_internal(&mut self, clock: &mut Clock, caller: usize, plan: Plan) {
        let mut call = self.new_call(clock, Direction::Internal, plan);
        call.from = Some(self.extensions[caller].number.clone());
        call.caller = Some(caller);
        self.extensions[caller].phone = Phone::Busy;
        self.extensions[caller].call = Some(call.id);
        self.emit(
            clock,
            Some(&call),
            &super::Happening::WentOffHook { extension: &self.extensions[caller].number },
        );
        let alive = self.deliver(clock, &mut call);
        self.keep(call, alive);
    }

    fn start_menu_to_extension(&mut self, clock: &mut Clock, menu: u8, extension: usize) {
        let mut plan = Plan::to(Target::Menu(menu));
        plan.answered = !self.percent(self.habits.mix.unanswered);
        let mut call = self.new_call(clock, Direction::Internal, plan);
        call.menu = Some(super::call::InMenu { menu, since: clock.now, steps: 0, told: false });
        self.ring(clock, &mut call, extension);
        self.keep(call, true);
    }

    /// The party that began a call, as reports name it.
    pub(crate) fn originator<'a>(&'a self, call: &'a super::call::Call) -> Option<Party<'a>> {
        if let Some(visitor) = &call.visitor {
            Some(Party::Visitor(visitor))
        } else if let Some(caller) = call.caller {
            Some(Party::Extension(&self.extensions[caller].number))
        } else if let Some(watched) = call.order.watches {
            Some(Party::Extension(&self.extensions[watched].number))
        } else if call.order.outer_leads {
            call.outers.first().map(Party::Outer)
        } else {
            call.menu.map(|menu| Party::Menu(menu.menu))
        }
    }
}
