//! Telephones that ring: one, or all free members of a group at once (`distribution` = `group`, chapter
//! 2.1.2.2). Of several, the first to answer gets the call, and the others are idle again.

use super::Happening;
use super::call::{Call, Direction, Stage};
use super::clock::Clock;
use super::device::{Device, Phone};
use super::happening::Outcome;

impl Device {
    /// An extension begins to ring.
    pub(crate) fn ring(&mut self, clock: &mut Clock, call: &mut Call, extension: usize) {
        self.ring_together(clock, call, &[extension]);
    }

    /// Extensions begin to ring for one call. Until one of them answers, the first stands for the callee.
    pub(crate) fn ring_together(&mut self, clock: &mut Clock, call: &mut Call, extensions: &[usize]) {
        let Some((&first, others)) = extensions.split_first() else { return };
        call.stage = Stage::Ringing;
        call.callee = Some(first);
        call.beside = others.to_vec();
        call.leg_started = clock.now;
        call.leg_callid = self.next_callid();
        call.talking_since = None;
        if call.direction == Direction::Internal {
            call.to = Some(self.extensions[first].number.clone());
        }
        call.tale.rings(clock.now);
        if others.is_empty() {
            call.tale.joins(&self.extensions[first].number);
        }
        self.count_rings(call, extensions);
        for &extension in extensions {
            self.extensions[extension].phone = Phone::Ringing;
            self.extensions[extension].call = Some(call.id);
        }
        if let Some(caller) = self.originator(call) {
            for &extension in extensions {
                let extension = &self.extensions[extension].number;
                self.emit(clock, Some(call), &Happening::Rings { extension, caller });
            }
        } else {
            let extension = &self.extensions[first].number;
            self.emit(clock, Some(call), &Happening::RingsAlone { extension });
        }
        let patience = if call.plan.answered { self.habits.ring_ms } else { self.habits.ring_ms * 2 };
        let delay = self.dice.around(patience).max(1);
        self.after(clock, call, delay);
    }

    /// Whoever rings answers; of several, one of them.
    pub(crate) fn somebody_answers(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        let called: Vec<usize> = call.called().collect();
        let first = match called.as_slice() {
            [only] => Some(*only),
            several => self.dice.pick(several).copied(),
        };
        let Some(extension) = first else { return self.end(clock, call, Outcome::NoAnswer) };
        if call.direction == Direction::Internal {
            call.to = Some(self.extensions[extension].number.clone());
        }
        call.callee = Some(extension);
        call.beside.clear();
        let alive = self.answer(clock, call, extension);
        for other in called.into_iter().filter(|&other| other != extension) {
            self.goes_quiet(clock, call, other);
        }
        alive
    }

    fn answer(&mut self, clock: &mut Clock, call: &mut Call, extension: usize) -> bool {
        call.answered(clock.now);
        call.tale.answers(&self.extensions[extension].number);
        self.extensions[extension].phone = Phone::Busy;
        let number = &self.extensions[extension].number;
        let answers = match self.originator(call) {
            Some(caller) => Happening::Answers { extension: number, caller },
            None => Happening::AnswersAlone { extension: number },
        };
        self.emit(clock, Some(call), &answers);
        if call.order.watches.is_some() {
            // Until the talk that it listens to is over.
            return true;
        }
        if call.direction == Direction::Internal && call.menu.is_some() {
            let menu = call.menu.map_or(1, |menu| menu.menu);
            return self.enter_menu(clock, call, menu);
        }
        self.talk(clock, call);
        true
    }

    /// A telephone goes quiet although its caller is still there, and so does whoever rings beside it.
    pub(crate) fn stops_ringing(&mut self, clock: &mut Clock, call: &mut Call, extension: usize) {
        call.callee = None;
        self.goes_quiet(clock, call, extension);
        for other in std::mem::take(&mut call.beside) {
            self.goes_quiet(clock, call, other);
        }
    }

    fn goes_quiet(&mut self, clock: &mut Clock, call: &Call, extension: usize) {
        if !self.lets_go(clock, extension, call.id) {
            return;
        }
        let number = &self.extensions[extension].number;
        self.emit(clock, Some(call), &Happening::WentOnHook { extension: number });
        self.offer_soon(clock, extension);
    }

    /// Takes a telephone out of the call for which it rings beside others, which ring on. False: it rings
    /// alone, or not at all.
    pub(crate) fn leaves_others_ringing(&mut self, clock: &mut Clock, extension: usize) -> bool {
        let Some(id) = self.rings_beside_others(extension) else { return false };
        let Some(mut call) = self.calls.remove(&id) else { return false };
        if call.callee == Some(extension) {
            let next = call.beside.remove(0);
            call.callee = Some(next);
            if call.direction == Direction::Internal {
                call.to = Some(self.extensions[next].number.clone());
            }
        } else {
            call.beside.retain(|&other| other != extension);
        }
        self.goes_quiet(clock, &call, extension);
        self.keep(call, true);
        true
    }

    /// The call for which a telephone rings while others do too.
    pub(crate) fn rings_beside_others(&self, extension: usize) -> Option<u64> {
        let id = self.extensions[extension].call?;
        let call = self.calls.get(&id)?;
        (call.stage == Stage::Ringing && !call.beside.is_empty() && call.called().any(|one| one == extension))
            .then_some(id)
    }
}
