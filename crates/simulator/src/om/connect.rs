//! `Transfer Connect`: the forms that begin a call. Those that move a live one are in
//! [`super::transfer`].

use std::sync::Arc;

use super::finding::Side;
use super::settings::Setting;
use super::words::{Refused, Reply, event};
use super::xml::Node;
use crate::dialect::om::{escaped, ext, wire};
use crate::engine::call::{Call, Direction, InMenu, Order, Plan, Target, Then};
use crate::engine::clock::Clock;
use crate::engine::device::Device;
use crate::engine::wire::Wire;

/// An outside number to be called, and over which line.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) number: Arc<str>,
    pub(super) trunk: usize,
}

/// `9,13012345678` names a prefix, `13012345678,,1` keys to be pressed later.
fn plain_number(to: &str) -> &str {
    let to = to.split_once(',').filter(|(prefix, rest)| prefix.len() < 3 && !rest.starts_with(','));
    let rest = to.map(|(_, rest)| rest);
    rest.unwrap_or_default()
}

impl Device {
    pub(super) fn connect(&mut self, clock: &mut Clock, order: &Node) -> Reply {
        let parties: Vec<&Node> = order
            .children
            .iter()
            .filter(|child| matches!(child.name.as_str(), "ext" | "outer" | "visitor" | "menu"))
            .collect();
        let is_called = |node: &Node| node.name == "outer" && node.attribute("to").is_some();
        if let Some(named) = order.child("voicefile") {
            self.om.can_play(named.text())?;
        }
        match parties.as_slice() {
            [one] if order.child("voicefile").is_some() => self.insert_voice(one),
            [from, to] => match (from.name.as_str(), to.name.as_str()) {
                ("ext", "ext") => self.extension_calls_extension(clock, from, to),
                ("ext", "outer") if is_called(to) => self.extension_calls_out(clock, order, from, to),
                ("menu", "ext") => self.menu_calls_extension(clock, from, to),
                ("menu", "outer") if is_called(to) => self.menu_calls_out(clock, order, from, to),
                ("outer", "outer") if is_called(from) && is_called(to) => self.call_back(clock, from, to),
                ("visitor", _) => self.transfer(clock, order, Side::Visitor, from, to),
                ("outer", _) if !is_called(from) => self.transfer(clock, order, Side::Outer, from, to),
                _ => Err(Refused::new(1, "")),
            },
            _ => Err(Refused::new(1, "")),
        }
    }

    /// A call that a command places.
    pub(super) fn ordered_call(&mut self, clock: &Clock, direction: Direction, target: Target) -> Call {
        let mut plan = Plan::to(target);
        let unanswered = f64::from(self.habits.mix.unanswered) / 100.0;
        plan.answered = !self.dice.chance(unanswered);
        let mut call = self.new_call(clock, direction, plan);
        call.order = Order { commanded: true, rings_counted: true, ..Order::default() };
        call
    }

    fn extension_calls_extension(&mut self, clock: &mut Clock, from: &Node, to: &Node) -> Reply {
        let caller = self.extension_of(from)?;
        let callee = self.extension_of(to).map_err(|_| Refused::new(7, ext(from.id()) + &ext(to.id())))?;
        if caller == callee {
            return Err(Refused::new(1, ext(from.id()) + &ext(to.id())));
        }
        self.can_call(caller, &ext(to.id()))?;
        self.can_be_called(&ext(from.id()), callee)?;
        let mut call = self.ordered_call(clock, Direction::Internal, Target::Extension(callee));
        call.from = Some(self.extensions[caller].number.clone());
        call.to = Some(self.extensions[callee].number.clone());
        call.caller = Some(caller);
        let off_hook = self.calls_from_hold(caller);
        self.extensions[caller].call = Some(call.id);
        let mut alive = true;
        if off_hook {
            alive = self.deliver(clock, &mut call);
        } else if self.om.settings.is_on(Setting::Calling) || self.forwards_now(callee) {
            call.order.then = Some(Then::Deliver);
            self.ring_to_call(clock, &mut call, caller);
        } else {
            self.ring(clock, &mut call, callee);
            call.order.then = Some(Then::WaitForAnswer);
            self.ring_to_call(clock, &mut call, caller);
        }
        self.keep(call, alive);
        Ok(String::new())
    }

    fn extension_calls_out(&mut self, clock: &mut Clock, order: &Node, from: &Node, to: &Node) -> Reply {
        let caller = self.extension_of(from)?;
        self.can_call(caller, "")?;
        let number = ext(from.id());
        if self.extensions[caller].assigned.get("Call_Restriction").is_some_and(|set| set == "0") {
            return Err(Refused::new(2, number));
        }
        let outside = self.outside_of(order, to, &number)?;
        let callid = self.next_callid();
        let own = self.extensions[caller].number.clone();
        let Some(outer) = self.take_line(clock, outside.trunk, &own, &outside.number, callid) else {
            return Err(Refused::new(5, number));
        };
        let mut call = self.ordered_call(clock, Direction::Outbound, Target::Outside);
        call.from = Some(own);
        call.to = Some(outside.number);
        call.leg_callid = callid;
        call.caller = Some(caller);
        call.trunks.push(outside.trunk);
        let told = event("TRANSIENT", &(outer_now(&outer) + &number));
        call.outers.push(outer);
        let off_hook = self.calls_from_hold(caller);
        self.extensions[caller].call = Some(call.id);
        if !off_hook && self.om.settings.is_on(Setting::Calling) {
            call.order.then = Some(Then::Dial);
            self.ring_to_call(clock, &mut call, caller);
        } else {
            call.order.then = (!off_hook).then_some(Then::WaitForAnswer);
            let setup = self.dice.between(300, 1200);
            self.after(clock, &mut call, setup);
        }
        self.keep(call, true);
        Ok(told)
    }

    fn menu_calls_extension(&mut self, clock: &mut Clock, from: &Node, to: &Node) -> Reply {
        let menu = self.menu_of(from)?;
        let extension = self.extension_of(to)?;
        self.can_be_rung("", extension)?;
        let mut call = self.ordered_call(clock, Direction::Internal, Target::Menu(menu));
        call.menu = Some(InMenu { menu, since: clock.now, steps: 0, told: false });
        self.ring(clock, &mut call, extension);
        self.keep(call, true);
        Ok(String::new())
    }

    fn menu_calls_out(&mut self, clock: &mut Clock, order: &Node, from: &Node, to: &Node) -> Reply {
        let menu = self.menu_of(from)?;
        let named = format!("  <menu id=\"{menu}\" />\n");
        self.may_join_outsiders(&named)?;
        let outside = self.outside_of(order, to, &named)?;
        let plan = Plan::to(Target::Menu(menu));
        let placed = self.start_outbound(clock, None, outside.trunk, outside.number, plan);
        self.told_of_placed(placed, &named)
    }

    fn call_back(&mut self, clock: &mut Clock, from: &Node, to: &Node) -> Reply {
        self.may_join_outsiders("")?;
        let (Some(first), Some(second)) = (called(from), called(to)) else { return Err(Refused::new(1, "")) };
        let analog_first = self.om.settings.is_on(Setting::CallbackType);
        let wanted = self.displayed(from);
        let trunk = wanted.or_else(|| self.line_out(|trunk| trunk.ip != analog_first));
        let trunk = trunk.or_else(|| self.line_out(|_| true)).filter(|&trunk| self.has_line(trunk));
        let lines: usize = self.trunks.iter().map(|trunk| trunk.lines - trunk.active).sum();
        let Some(trunk) = trunk.filter(|_| lines >= 2) else { return Err(Refused::new(5, "")) };
        let plan = Plan::to(Target::Both);
        let placed = self.start_callback(clock, trunk, first.into(), second.into(), plan);
        let over = self.displayed(to);
        if let Some(call) = placed.and_then(|id| self.calls.get_mut(&id)) {
            call.order.second_trunk = over;
        }
        self.told_of_placed(placed, "")
    }

    fn told_of_placed(&mut self, placed: Option<u64>, other: &str) -> Reply {
        let call = placed.and_then(|id| self.calls.get_mut(&id));
        let Some(call) = call else { return Err(Refused::new(5, other)) };
        call.order.commanded = true;
        call.order.outer_leads = call.direction == Direction::Outbound;
        let outer = call.outers.first().map(outer_now).unwrap_or_default();
        Ok(event("TRANSIENT", &(outer + other)))
    }

    /// Outsiders may be joined only if the device is set so.
    pub(super) fn may_join_outsiders(&self, named: &str) -> Result<(), Refused> {
        if self.om.settings.is_on(Setting::OutboundTransfer) { Ok(()) } else { Err(Refused::new(2, named)) }
    }

    /// The number to be called and a free line for it: the one that is asked for, or the first.
    pub(super) fn outside_of(&self, order: &Node, to: &Node, named: &str) -> Result<Outside, Refused> {
        let number = to.attribute("to").map(number_of).unwrap_or_default();
        if number.is_empty() || number.len() > 64 {
            return Err(Refused::new(1, named));
        }
        let no_circuit = || Refused::new(5, format!("{named}  <outer to=\"{}\" />\n", escaped(number)));
        let trunk = match order.child("trunk") {
            Some(wanted) => {
                self.om.since(109)?;
                self.trunks.iter().position(|trunk| *trunk.number == *wanted.id())
            }
            None => self.line_out(|trunk| !trunk.bare),
        };
        let trunk = trunk.filter(|&trunk| self.has_line(trunk) && !self.ids.is_exhausted());
        trunk.map(|trunk| Outside { number: number.into(), trunk }).ok_or_else(no_circuit)
    }

    fn line_out(&self, fits: impl Fn(&crate::engine::device::Trunk) -> bool) -> Option<usize> {
        (0..self.trunks.len()).find(|&index| self.has_line(index) && fits(&self.trunks[index]))
    }

    /// The trunk that `display` asks for, if the device is set to heed it.
    fn displayed(&self, node: &Node) -> Option<usize> {
        let settings = &self.om.settings;
        let display = node.attribute("display").filter(|_| settings.is_on(Setting::Display))?;
        let display = Some(display).filter(|_| settings.is_on(Setting::Cpn))?;
        self.trunks.iter().position(|trunk| *trunk.number == *display)
    }
}

/// Whom an `<outer to=…/>` calls.
fn called(node: &Node) -> Option<&str> {
    node.attribute("to").map(number_of).filter(|number| !number.is_empty())
}

/// The number itself: without a prefix, and without what is to be pressed later.
fn number_of(to: &str) -> &str {
    let rest = plain_number(to);
    let to = if rest.is_empty() { to } else { rest };
    to.split(',').next().unwrap_or_default().trim()
}

/// An analog line gets its ids only once it is dialled.
pub(super) fn outer_now(outer: &Wire) -> String {
    if outer.analog {
        format!("  <outer from=\"{}\" to=\"{}\" />\n", escaped(&outer.from), escaped(&outer.to))
    } else {
        wire("outer", outer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_later_keys_are_no_part_of_the_number() {
        assert_eq!(number_of("13012345678"), "13012345678");
        assert_eq!(number_of("9,13012345678"), "13012345678");
        assert_eq!(number_of("13012345678,,1"), "13012345678");
        assert_eq!(number_of("9,13012345678,,,1"), "13012345678");
        assert_eq!(number_of("9,"), "9");
    }
}
