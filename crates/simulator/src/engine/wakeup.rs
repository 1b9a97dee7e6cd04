//! The alarm of an extension (`WAKEUP`, chapter 2.1.2.1): every day at its time, by the device's own clock, the
//! device rings the telephone itself. The manual says nothing of reports; here they name the telephone
//! alone, and there is no record.

use super::call::{Call, Direction, Plan, Target};
use super::clock::{Clock, Local, Wake};
use super::device::Device;

const DAY_MS: u64 = 86_400_000;

/// `06:30` as hour and minute.
pub(crate) fn time_of_day(text: &str) -> Option<(u8, u8)> {
    let (hour, minute) = text.split_once(':').filter(|_| text.len() == 5)?;
    let part = |text: &str, below: u8| {
        text.parse().ok().filter(|&number| number < below && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    Some((part(hour, 24)?, part(minute, 60)?))
}

/// How long it is until a clock shows this time of day again, in milliseconds: never 0.
fn until(now: &Local, millis: u64, (hour, minute): (u8, u8)) -> u64 {
    let of_day = |hour: u8, minute: u8, second: u8| {
        (u64::from(hour) * 3600 + u64::from(minute) * 60 + u64::from(second)) * 1000
    };
    let passed = of_day(now.hour, now.minute, now.second) + millis % 1000;
    match (of_day(hour, minute, 0) + DAY_MS - passed) % DAY_MS {
        0 => DAY_MS,
        wait => wait,
    }
}

impl Call {
    /// The device itself calls, to wake somebody up.
    pub(crate) fn is_alarm(&self) -> bool {
        matches!(self.plan.target, Target::Alarm(_))
    }
}

impl Device {
    /// Sets an extension's alarm to what is assigned now; one that was set before is void.
    pub(crate) fn set_alarm(&mut self, clock: &mut Clock, extension: usize) {
        self.extensions[extension].alarms += 1;
        self.wait_for_alarm(clock, extension);
    }

    fn wait_for_alarm(&self, clock: &mut Clock, extension: usize) {
        let of = &self.extensions[extension];
        // 00:00 switches it off.
        let time =
            of.assigned.get("WAKEUP").and_then(|text| time_of_day(text)).filter(|time| *time != (0, 0));
        if let Some(time) = time {
            let delay = until(&clock.local(clock.now), clock.now, time);
            clock.wake(self.index, delay, Wake::Alarm { extension, set: of.alarms });
        }
    }

    /// The time has come. A telephone that is in use or off line is not woken today.
    pub(crate) fn alarm(&mut self, clock: &mut Clock, extension: usize, set: u32) {
        let of = &self.extensions[extension];
        if of.alarms != set || !of.assigned.contains_key("WAKEUP") {
            return;
        }
        self.wait_for_alarm(clock, extension);
        if !self.up || self.paused || !self.is_idle(extension) {
            return;
        }
        let mut plan = Plan::to(Target::Alarm(extension));
        plan.answered = !self.dice.chance(f64::from(self.habits.mix.unanswered) / 100.0);
        let mut call = self.new_call(clock, Direction::Internal, plan);
        self.ring(clock, &mut call, extension);
        self.keep(call, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::clock::Zone;

    #[test]
    fn times_of_day_are_read_and_waited_for() {
        assert_eq!(time_of_day("06:30"), Some((6, 30)));
        for wrong in ["", "6:30", "24:00", "06:60", "+6:30", "06:3", "06-30", "06:300"] {
            assert_eq!(time_of_day(wrong), None, "{wrong}");
        }
        let zone = Zone { epoch_ms: 0, offset: 8 * 3600 };
        let wait = |now: u64, time| until(&zone.local(now), now, time);
        assert_eq!(wait(0, (8, 1)), 60_000);
        assert_eq!(wait(0, (8, 0)), DAY_MS);
        assert_eq!(wait(1500, (8, 0)), DAY_MS - 1500);
        assert_eq!(wait(1500, (7, 59)), DAY_MS - 61_500);
    }
}
