//! Calls that fail before they begin: the device says why, the caller hears a tone and hangs up.

use super::Happening;
use super::call::{Direction, Plan, Target};
use super::clock::{Clock, Wake};
use super::device::{Device, Phone};
use super::happening::{Called, FAILURES};

impl Device {
    /// One of the eight failures that the device's state allows, drawn evenly.
    pub(crate) fn place_failed(&mut self, clock: &mut Clock) {
        let (code, _) = FAILURES[self.dice.below(FAILURES.len() as u64) as usize];
        match code {
            3 => self.fail_to_phone(clock, code, Phone::Offline),
            4 => self.fail_from_busy(clock, code),
            6 => self.fail_to_phone(clock, code, Phone::Busy),
            7 => self.fail_from_idle(clock, code, FailedTo::Nobody),
            8 => self.fail_from_offline(clock, code),
            _ => self.fail_from_idle(clock, code, FailedTo::Outside),
        }
    }

    fn phone_that_is(&mut self, phone: Phone) -> Option<usize> {
        let count = self.extensions.len();
        let start = self.dice.below(count as u64) as usize;
        (0..count).map(|step| (start + step) % count).find(|&index| self.extensions[index].phone == phone)
    }

    fn fail_to_phone(&mut self, clock: &mut Clock, code: u8, phone: Phone) {
        if let Some(to) = self.phone_that_is(phone) {
            self.fail_from_idle(clock, code, FailedTo::Extension(to));
        }
    }

    /// An application wants an extension to call that is in another call already.
    fn fail_from_busy(&mut self, clock: &mut Clock, code: u8) {
        let Some(caller) = self.phone_that_is(Phone::Busy) else { return };
        let Some(to) = self.free_extension(Some(caller)) else { return };
        let called = Some(Called::Extension(&self.extensions[to].number));
        let caller = &self.extensions[caller].number;
        self.emit(clock, None, &Happening::Failed { caller, called, code });
    }

    /// An application wants an extension to call that is off line.
    fn fail_from_offline(&mut self, clock: &mut Clock, code: u8) {
        let Some(caller) = self.phone_that_is(Phone::Offline) else { return };
        let caller = &self.extensions[caller].number;
        self.emit(clock, None, &Happening::Failed { caller, called: None, code });
    }

    /// Somebody dials by hand: busy, the failure, and after a while of tone idle again.
    fn fail_from_idle(&mut self, clock: &mut Clock, code: u8, to: FailedTo) {
        let Some(caller) = self.free_extension(None) else { return };
        let outside = self.outside_number();
        let call = self.new_call(clock, Direction::Internal, Plan::to(Target::Outside));
        self.extensions[caller].phone = Phone::Busy;
        let number = &self.extensions[caller].number;
        self.emit(clock, Some(&call), &Happening::WentOffHook { extension: number });
        let called = match to {
            FailedTo::Outside => Called::Outside(&outside),
            FailedTo::Nobody => Called::Extension("9999"),
            FailedTo::Extension(to) => Called::Extension(&self.extensions[to].number),
        };
        let failed = Happening::Failed { caller: number, called: Some(called), code };
        self.emit(clock, Some(&call), &failed);
        let tone = self.dice.between(500, 2000);
        clock.wake(self.index, tone, Wake::OnHook { extension: caller, boot: self.boot });
    }
}

#[derive(Debug, Clone, Copy)]
enum FailedTo {
    Outside,
    Nobody,
    Extension(usize),
}
