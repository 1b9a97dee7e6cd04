//! Group queues, and the queue in front of one extension.

use super::Happening;
use super::call::{Call, Stage, Target};
use super::clock::{Clock, Wake};
use super::device::{Device, Phone};
use super::happening::{Outcome, Refusal};

impl Device {
    /// A call reaches a group: a free member rings, or it waits, or it is refused.
    pub(crate) fn enter_group(&mut self, clock: &mut Clock, call: &mut Call, index: usize) -> bool {
        call.group = Some(index);
        let free = if self.groups[index].waiting.is_empty() { self.next_members(index) } else { Vec::new() };
        if !free.is_empty() {
            self.ring_together(clock, call, &free);
            return true;
        }
        let group = &self.groups[index];
        let all_offline = group.members.iter().all(|&member| self.extensions[member].phone == Phone::Offline);
        let waiting = group.waiting.len();
        if all_offline {
            self.say_queued(clock, call, 0, Some(Refusal::Offline));
            return self.end(clock, call, Outcome::NoAnswer);
        }
        if waiting >= self.habits.queue_capacity {
            self.say_queued(clock, call, waiting, Some(Refusal::Full));
            return self.end(clock, call, Outcome::NoAnswer);
        }
        call.stage = Stage::Queued;
        call.tale.waited = true;
        call.queued_at = Some(clock.now);
        call.accepted = call.accepted.or(Some(clock.now));
        self.groups[index].waiting.push_back(call.id);
        self.say_queued(clock, call, waiting + 1, None);
        let patience = self.dice.around(self.habits.talk_ms * 3).max(1);
        self.after(clock, call, patience);
        true
    }

    /// Who rings for the next call: the next free member, or all of them.
    fn next_members(&mut self, group: usize) -> Vec<usize> {
        if self.groups[group].rings_all() {
            self.free_members(group)
        } else {
            self.free_member(group).into_iter().collect()
        }
    }

    fn free_members(&self, group: usize) -> Vec<usize> {
        self.groups[group].members.iter().copied().filter(|&member| self.takes_calls(member)).collect()
    }

    fn free_member(&mut self, group: usize) -> Option<usize> {
        let of = &self.groups[group];
        // What the device has by itself hunts in order; in turn is what commands ask for, or mean.
        let in_turn = of.distribution == "circular" || of.own.is_none() && of.distribution.is_empty();
        let count = of.members.len();
        let from = if in_turn { of.last + 1 } else { 0 };
        let place = (0..count)
            .map(|step| (from + step) % count)
            .find(|&place| self.takes_calls(of.members[place]))?;
        let member = of.members[place];
        self.groups[group].last = place;
        Some(member)
    }

    fn say_queued(&self, clock: &mut Clock, call: &Call, count: usize, refused: Option<Refusal>) {
        let queue = call.group.and_then(|group| self.groups.get(group)).map_or(0, |group| group.queue);
        // Of groups that commands have made, nothing is told.
        if call.group.is_some_and(|group| self.groups[group].own.is_none()) {
            return;
        }
        if let Some(caller) = self.originator(call) {
            self.emit(clock, Some(call), &Happening::Queued { caller, queue, count, refused });
        }
    }

    /// The member did not answer: the next free one rings, or the call waits.
    pub(crate) fn hunt_on(&mut self, clock: &mut Clock, call: &mut Call, member: usize) -> bool {
        self.stops_ringing(clock, call, member);
        let Some(index) = call.group else { return self.end(clock, call, Outcome::NoAnswer) };
        let next = self.groups[index]
            .members
            .iter()
            .copied()
            .find(|&other| other != member && self.takes_calls(other));
        match next {
            Some(next) => self.ring(clock, call, next),
            // Nobody else: the one who did not answer is asked again.
            None => self.ring(clock, call, member),
        }
        true
    }

    /// An application has the call wait for one extension; no report says so.
    pub(crate) fn wait_for(&mut self, clock: &mut Clock, call: &mut Call, extension: usize) -> bool {
        if self.takes_calls(extension) {
            self.ring(clock, call, extension);
            return true;
        }
        call.stage = Stage::WaitingFor(extension);
        call.tale.waited = true;
        call.queued_at = Some(clock.now);
        let patience = self.dice.around(self.habits.talk_ms * 3).max(1);
        self.after(clock, call, patience);
        true
    }

    /// The call that has waited longest for this very extension.
    pub(crate) fn waiter_for(&self, extension: usize) -> Option<u64> {
        self.calls.values().find(|call| call.stage == Stage::WaitingFor(extension)).map(|call| call.id)
    }

    /// The next waiting call, if there is one, will be offered to this extension in a moment.
    pub(crate) fn offer_soon(&mut self, clock: &mut Clock, extension: usize) {
        if self.reserved(extension) {
            let pause = self.dice.between(200, 800);
            clock.wake(self.index, pause, Wake::Offer { extension, boot: self.boot });
        }
    }

    /// A free extension takes the first waiting call: it rings, and so the call leaves the queue.
    pub(crate) fn offer(&mut self, clock: &mut Clock, extension: usize) {
        if !self.takes_calls(extension) {
            return;
        }
        let Some(id) = self.waiter_for(extension).or_else(|| self.first_in_queue(extension)) else { return };
        let Some(mut call) = self.calls.remove(&id) else { return };
        self.leave_queue(clock, &mut call);
        if let Stage::WaitingFor(_) = call.stage {
            call.plan.target = Target::Extension(extension);
        }
        match call.group.filter(|&group| call.stage == Stage::Queued && self.groups[group].rings_all()) {
            Some(group) => {
                let free = self.free_members(group);
                self.ring_together(clock, &mut call, &free);
            }
            None => self.ring(clock, &mut call, extension),
        }
        self.keep(call, true);
    }

    fn first_in_queue(&self, extension: usize) -> Option<u64> {
        self.groups
            .iter()
            .filter(|group| group.members.contains(&extension))
            .flat_map(|group| &group.waiting)
            .copied()
            .find(|id| self.calls.get(id).is_some_and(|call| !call.frozen))
    }

    /// Takes the call off its queue, if it is in one.
    pub(crate) fn leave_queue(&mut self, clock: &Clock, call: &mut Call) {
        if let Some(since) = call.queued_at.take() {
            call.queue_ms += clock.now - since;
            for group in &mut self.groups {
                group.waiting.retain(|&id| id != call.id);
            }
        }
    }

    pub(crate) fn give_up_waiting(&mut self, clock: &mut Clock, call: &mut Call) -> bool {
        self.end(clock, call, Outcome::NoAnswer)
    }
}
