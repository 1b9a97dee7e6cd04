//! Telephones that lose their registration for a while, and come back.

use super::Happening;
use super::clock::{Clock, Wake};
use super::device::{Device, Phone};
use super::happening::Outcome;

impl Device {
    pub(crate) fn online(&self, index: usize) -> Happening<'_> {
        let address = [10, 129, (index / 250) as u8, (index % 250 + 1) as u8];
        Happening::PhoneOnline { extension: &self.extensions[index].number, address }
    }

    pub(crate) fn set_phone_timer(&mut self, clock: &mut Clock) {
        if let Some(interval) = self.habits.phones_fail_ms {
            let next = self.dice.around(interval).max(1);
            clock.wake(self.index, next, Wake::PhoneFails);
        }
    }

    /// One idle IP phone goes off line, and now and then all members of a group, whom somebody
    /// then calls in vain.
    pub(crate) fn phone_fails(&mut self, clock: &mut Clock) {
        self.set_phone_timer(clock);
        if self.paused || !self.up {
            return;
        }
        if self.habits.mix.queued > 0 && self.dice.chance(0.3) {
            let group = self.dice.below(self.groups.len() as u64) as usize;
            let members = self.groups.get(group).map(|group| group.members.clone()).unwrap_or_default();
            let all_idle = members.iter().all(|&member| self.can_fail(member));
            if all_idle && !members.is_empty() {
                members.iter().for_each(|&member| self.take_off_line(clock, member));
                self.debt += 1;
                clock.wake(self.index, 1000, Wake::Rush { group });
            }
        } else {
            let phone = self.dice.below(self.extensions.len() as u64) as usize;
            if self.can_fail(phone) || self.rings_beside_others(phone).is_some() {
                self.goes_off_line(clock, phone);
            }
        }
    }

    fn can_fail(&self, index: usize) -> bool {
        let extension = &self.extensions[index];
        extension.ip && self.is_idle(index) && !self.reserved(index)
    }

    /// A telephone loses its registration, whatever it does. Where it rings beside others these ring on;
    /// any other call that it is in is over.
    pub(crate) fn goes_off_line(&mut self, clock: &mut Clock, index: usize) {
        if !self.leaves_others_ringing(clock, index) {
            let of_it = self.extensions[index].call.into_iter().chain(self.extensions[index].held);
            for id in of_it.collect::<Vec<_>>() {
                if let Some(mut call) = self.calls.remove(&id) {
                    self.end(clock, &mut call, Outcome::NoAnswer);
                }
            }
        }
        self.take_off_line(clock, index);
    }

    fn take_off_line(&mut self, clock: &mut Clock, index: usize) {
        self.extensions[index].phone = Phone::Offline;
        self.emit(clock, None, &Happening::PhoneOffline { extension: &self.extensions[index].number });
        let back = self.dice.around(15_000);
        clock.wake(self.index, back, Wake::PhoneReturns { extension: index, boot: self.boot });
    }

    pub(crate) fn phone_returns(&mut self, clock: &mut Clock, index: usize) {
        if self.extensions[index].phone != Phone::Offline {
            return;
        }
        if self.paused {
            clock.wake(self.index, 1000, Wake::PhoneReturns { extension: index, boot: self.boot });
            return;
        }
        self.extensions[index].phone = Phone::Idle;
        self.emit(clock, None, &self.online(index));
        self.offer_soon(clock, index);
    }
}
