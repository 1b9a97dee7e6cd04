//! Voice menus: prompts that end, and keys in all the ways a menu reports them.

use super::Happening;
use super::call::{Call, InMenu, Stage, Target};
use super::clock::Clock;
use super::device::Device;
use super::happening::{Outcome, Party};

impl Device {
    pub(crate) fn enter_menu(&mut self, clock: &mut Clock, call: &mut Call, menu: u8) -> bool {
        let steps = self.dice.between(1, 3) as u8;
        call.menu = Some(InMenu { menu, since: clock.now, steps, told: false });
        call.tale.menus.push(menu);
        call.stage = Stage::InMenu;
        call.accepted = call.accepted.or(Some(clock.now));
        self.listen(clock, call);
        true
    }

    /// The time until the party has typed something, or the prompt is over.
    pub(crate) fn listen(&mut self, clock: &mut Clock, call: &mut Call) {
        let delay = self.dice.around(self.habits.ring_ms).max(1);
        self.after(clock, call, delay);
    }

    pub(crate) fn step_in_menu(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        let Some(mut menu) = call.menu else { return self.end(clock, call, Outcome::NoAnswer) };
        if menu.steps == 0 {
            return self.leave_menu(clock, call, menu);
        }
        menu.steps -= 1;
        menu.told = true;
        call.menu = Some(menu);
        let typed = if std::mem::take(&mut call.order.announces) { None } else { self.typed() };
        let typed = typed.map(|typed| self.om.reported(menu.menu, typed));
        if let Some(typed) = &typed {
            typed.clone_into(&mut call.digits);
        }
        if let Some(party) = self.menu_party(call) {
            let happening = match &typed {
                Some(info) => Happening::Digits { party, info, with: Party::Menu(menu.menu) },
                None => Happening::PromptEnded { party, menu: menu.menu },
            };
            self.emit(clock, Some(call), &happening);
        }
        self.listen(clock, call);
        true
    }

    /// What is typed: as many digits as the menu wants, fewer and the exit key, nothing before the
    /// time is up, or something and then nothing. `None`: the prompt ends before anything is.
    fn typed(&mut self) -> Option<String> {
        let number = self.dice.below(100_000);
        match self.dice.below(6) {
            0 => Some(format!("{number:05}")),
            1 => Some(format!("{:03}#", number % 1000)),
            2 => Some("T".to_owned()),
            3 => Some(format!("{:04}T", number % 10_000)),
            4 => Some((number % 10).to_string()),
            _ => None,
        }
    }

    /// Who is in the menu.
    pub(crate) fn menu_party<'a>(&'a self, call: &'a Call) -> Option<Party<'a>> {
        if let Some(visitor) = &call.visitor {
            Some(Party::Visitor(visitor))
        } else if let Some(outer) = call.outers.last() {
            Some(Party::Outer(outer))
        } else {
            call.callee.map(|callee| Party::Extension(&self.extensions[callee].number))
        }
    }

    /// Whom a command has brought here waits for the next one for a while.
    fn linger(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        if call.order.lingers {
            return self.end(clock, call, Outcome::NoAnswer);
        }
        call.order.lingers = true;
        let patience = self.dice.around(self.habits.talk_ms * 3).max(1);
        self.after(clock, call, patience);
        true
    }

    /// A caller goes on to an extension half of the time; everybody else hangs up.
    fn leave_menu(&mut self, clock: &mut Clock, call: &mut Call, menu: InMenu) -> bool {
        if call.order.commanded {
            return self.linger(clock, call);
        }
        let next =
            if call.visitor.is_some() && self.dice.chance(0.5) { self.free_extension(None) } else { None };
        let Some(extension) = next else { return self.end(clock, call, Outcome::NoAnswer) };
        self.menu_is_over(clock, call, menu);
        call.menu = None;
        call.plan.target = Target::Extension(extension);
        self.ring(clock, call, extension);
        true
    }

    /// Tells what was done in the menu and counts the time.
    pub(crate) fn menu_is_over(&self, clock: &mut Clock, call: &mut Call, menu: InMenu) {
        call.menu_ms += clock.now - menu.since;
        let caller = call.from.clone().or_else(|| call.to.clone());
        let over = Happening::MenuLeft {
            caller: caller.as_deref().unwrap_or(""),
            menu: menu.menu,
            from: menu.since,
            digits: &call.digits,
            queue: self.groups.first().map(|group| group.queue),
            trunk: call.visitor.as_ref().map_or("", |visitor| &visitor.trunk),
        };
        self.emit(clock, Some(call), &over);
    }
}
