//! Commands that move a live call somewhere else: `Connect` of a visitor or outer, `Queue`, and
//! `Notify Accept`.

use super::connect::Outside;
use super::finding::Side;
use super::words::{Refused, Reply, event};
use super::xml::Node;
use crate::dialect::om::{escaped, ext, wire};
use crate::engine::call::{Afterwards, Call, Direction, Order, Plan, Stage, Target};
use crate::engine::clock::Clock;
use crate::engine::device::Device;
use crate::engine::happening::{Happening, Party};
use crate::engine::wire::Wire;

/// Where a call is moved to.
enum Goal {
    Extension(usize),
    Outside(Outside),
    Menu(u8),
    Group(usize),
    Wait(usize),
}

impl Device {
    /// `Transfer Connect` of a visitor or outer.
    pub(super) fn transfer(
        &mut self,
        clock: &mut Clock,
        order: &Node,
        side: Side,
        from: &Node,
        to: &Node,
    ) -> Reply {
        let id = self.call_of(side, from)?;
        let who = self.who(side, id, from);
        self.can_be_moved(id, &who)?;
        let (goal, told) = match to.name.as_str() {
            "ext" => {
                let extension = self.extension_of(to)?;
                self.can_be_called(&who, extension)?;
                // The document's answer for an outer does not name the extension.
                (Goal::Extension(extension), if side == Side::Visitor { ext(to.id()) } else { String::new() })
            }
            "menu" => (Goal::Menu(self.menu_of(to)?), format!("  <menu id=\"{}\" />\n", escaped(to.id()))),
            "outer" if to.attribute("to").is_some() => {
                self.may_join_outsiders(&who)?;
                let outside = self.outside_of(order, to, &who)?;
                let told = format!("  <outer to=\"{}\" />\n", escaped(&outside.number));
                (Goal::Outside(outside), told)
            }
            _ => return Err(Refused::new(1, who)),
        };
        self.move_call(clock, id, side, from, goal);
        if let Some(call) = self.calls.get_mut(&id) {
            call.order.announces = order.child("voicefile").is_some();
        }
        if order.child("AutoAnswer").is_some_and(|told| told.text() != "no") {
            self.answers_by_itself(clock, id);
        }
        Ok(event("TRANSIENT", &(who + &told)))
    }

    /// `Transfer Queue`.
    pub(super) fn queue(&mut self, clock: &mut Clock, order: &Node) -> Reply {
        let Some(visitor) = order.child("visitor") else { return Err(Refused::new(1, "")) };
        let id = self.call_of(Side::Visitor, visitor)?;
        let who = self.who(Side::Visitor, id, visitor);
        self.can_be_moved(id, &who)?;
        if let Some(to) = order.child("ext") {
            let extension = self.extension_of(to)?;
            let free = self.can_be_rung(&who, extension).is_ok();
            if !free && self.can_wait_for(extension).is_err() {
                return Err(Refused::new(3, who + &ext(to.id())));
            }
            self.move_call(clock, id, Side::Visitor, visitor, Goal::Wait(extension));
            let wait = if free { "" } else { "  <state>wait</state>\n" };
            return Ok(event("TRANSIENT", &(who + &ext(to.id()) + wait)));
        }
        let Some(to) = order.child("group") else { return Err(Refused::new(1, who)) };
        let group = self.group_of(to)?;
        if self.groups[group].members.is_empty() {
            return Err(Refused::new(7, who));
        }
        self.move_call(clock, id, Side::Visitor, visitor, Goal::Group(group));
        Ok(event("TRANSIENT", &(who + &format!("  <group id=\"{}\" />\n", escaped(to.id())))))
    }

    fn can_wait_for(&self, extension: usize) -> Result<(), ()> {
        let offline = self.extensions[extension].phone == crate::engine::device::Phone::Offline;
        if offline { Err(()) } else { Ok(()) }
    }

    /// `Notify Accept`.
    pub(super) fn accept(&mut self, clock: &mut Clock, order: &Node, unix_ms: u64) -> Reply {
        let Some(visitor) = order.child("visitor") else { return Err(Refused::new(1, "")) };
        let id = self.call_of(Side::Visitor, visitor)?;
        if let Ok(number) = visitor.id().parse() {
            self.om.done.accepts.push((number, unix_ms));
        }
        // One that comes late finds the call let in already, as it wanted.
        if self.calls.get(&id).is_some_and(|call| call.stage == Stage::Invited)
            && let Some(mut call) = self.calls.remove(&id)
        {
            call.frozen = false;
            let alive = self.let_in(clock, &mut call);
            self.keep(call, alive);
        }
        Ok(String::new())
    }

    /// A visitor or outer in full.
    fn who(&self, side: Side, id: u64, node: &Node) -> String {
        let Some(call) = self.calls.get(&id) else { return String::new() };
        match side {
            Side::Visitor => call.visitor.as_ref().map(|visitor| wire("visitor", visitor)),
            Side::Outer => {
                let number = node.id().parse().ok();
                call.outers.iter().find(|outer| Some(outer.id) == number).map(|outer| wire("outer", outer))
            }
        }
        .unwrap_or_default()
    }

    /// Who has not been let in yet, or whose own number is still being called, cannot be moved.
    fn can_be_moved(&self, id: u64, who: &str) -> Result<(), Refused> {
        let Some(call) = self.calls.get(&id) else { return Err(Refused::new(7, who)) };
        let called_itself = call.visitor.is_none() && call.first_answer.is_none() && call.accepted.is_none();
        if call.stage == Stage::Invited || called_itself || call.order.held {
            return Err(Refused::new(1, who));
        }
        Ok(())
    }

    fn move_call(&mut self, clock: &mut Clock, id: u64, side: Side, from: &Node, goal: Goal) {
        let Some(mut call) = self.calls.remove(&id) else { return };
        let by = call.callee.or(call.caller);
        self.take_out(clock, &mut call, if side == Side::Outer { from.id().parse().ok() } else { None });
        let unanswered = f64::from(self.habits.mix.unanswered) / 100.0;
        let answered = !self.dice.chance(unanswered);
        call.order = Order {
            commanded: true,
            rings_counted: true,
            outer_leads: side == Side::Outer,
            ..Order::default()
        };
        call.accepted = call.accepted.or(Some(clock.now));
        let target = match &goal {
            Goal::Extension(extension) => Target::Extension(*extension),
            Goal::Outside(_) => Target::Outside,
            Goal::Menu(menu) => Target::Menu(*menu),
            Goal::Group(group) => Target::Group(*group),
            Goal::Wait(extension) => Target::WaitFor(*extension),
        };
        call.plan = Plan { answered, ..Plan::to(target) };
        let alive = match goal {
            Goal::Extension(_) => self.deliver(clock, &mut call),
            Goal::Outside(outside) => {
                call.passed_by = by;
                self.join_outside(clock, &mut call, by, outside.trunk, outside.number)
            }
            Goal::Menu(menu) => self.enter_menu(clock, &mut call, menu),
            Goal::Group(group) => self.enter_group(clock, &mut call, group),
            Goal::Wait(extension) => self.wait_for(clock, &mut call, extension),
        };
        self.keep(call, alive);
    }

    /// Takes a call out of wherever it is, so that it can be brought elsewhere. `outer` stays if it is
    /// the one that is moved; without it the visitor is.
    fn take_out(&mut self, clock: &mut Clock, call: &mut Call, outer: Option<u32>) {
        call.frozen = false;
        self.end_watchers(clock, call);
        self.leave_queue(clock, call);
        if let Some(menu) = call.menu.take() {
            self.menu_is_over(clock, call, menu);
        }
        if let Some(callee) = call.callee {
            if call.talking_since.is_some() {
                self.leave_call(clock, call, callee);
            } else {
                self.stops_ringing(clock, call, callee);
            }
        }
        self.caller_leaves(clock, call);
        self.drop_outers(clock, call, outer);
        if outer.is_some() {
            self.drop_visitor(clock, call);
        }
        call.group = None;
        call.forwarded_by = None;
        call.plan.afterwards = Afterwards::HangUp;
        if outer.is_some() {
            call.direction = Direction::Outbound;
        }
    }

    /// The outer that it was joined to is moved without it.
    fn drop_visitor(&mut self, clock: &mut Clock, call: &mut Call) {
        let Some(visitor) = call.visitor.clone() else { return };
        let first = Party::Visitor(&visitor);
        self.emit(clock, Some(call), &Happening::Released { first, second: None, recording: None });
        self.record_trunk_side(clock, call);
        call.visitor = None;
        call.from = call.outers.first().map(|outer| outer.from.clone());
        self.free_line(call, &visitor);
    }

    fn free_line(&mut self, call: &mut Call, wire: &Wire) {
        self.ids.give_back(wire.id);
        let trunk = call.trunks.iter().rposition(|&trunk| self.trunks[trunk].number == wire.trunk);
        if let Some(trunk) = trunk.map(|at| call.trunks.remove(at)) {
            self.trunks[trunk].active = self.trunks[trunk].active.saturating_sub(1);
        }
    }

    /// The outside parties that do not come along: they are told, recorded and their lines are free.
    fn drop_outers(&mut self, clock: &mut Clock, call: &mut Call, stays: Option<u32>) {
        let before = call.outers.len();
        let (kept, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut call.outers).into_iter().partition(|outer| Some(outer.id) == stays);
        call.outers = kept;
        for outer in gone {
            self.emit(
                clock,
                Some(call),
                &Happening::Released { first: Party::Outer(&outer), second: None, recording: None },
            );
            self.record_dropped(clock, call, &outer, before);
            self.free_line(call, &outer);
        }
    }
}
