//! Virtual time: what is due when, and the wall time that devices write into their records.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Emission;

/// What a device asks to be woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wake {
    /// The next call is to be placed.
    Arrival,
    /// One more call of a rush on a group.
    Rush { group: usize },
    /// A call's own timer; stale if the call has set another since.
    Call { call: u64, token: u32 },
    /// An extension whose caller hears a tone goes on hook.
    OnHook { extension: usize, boot: u32 },
    /// A free extension can take the next waiting call.
    Offer { extension: usize, boot: u32 },
    /// A phone may go off line.
    PhoneFails,
    /// An off-line phone comes back.
    PhoneReturns { extension: usize, boot: u32 },
    /// Somebody saves the device's configuration.
    Configured,
    /// It is time to wake an extension; stale if its alarm was set again since.
    Alarm { extension: usize, set: u32 },
    /// The device has booted.
    Booted { boot: u32 },
}

/// The time, the timers and the reports so far: what a device needs from the engine.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Virtual milliseconds since the start.
    pub(crate) now: u64,
    /// What `now == 0` is on the devices' own clocks.
    pub(crate) zone: Zone,
    timers: BinaryHeap<Reverse<(u64, u64, usize, Wake)>>,
    set: u64,
    pub(crate) out: Vec<Emission>,
}

impl Clock {
    pub(crate) fn new(zone: Zone) -> Self {
        Self { now: 0, zone, timers: BinaryHeap::new(), set: 0, out: Vec::new() }
    }

    /// Wakes `device` in `delay` milliseconds. What is set first for a moment comes first.
    pub(crate) fn wake(&mut self, device: usize, delay: u64, what: Wake) {
        self.set += 1;
        self.timers.push(Reverse((self.now.saturating_add(delay), self.set, device, what)));
    }

    pub(crate) fn next_due(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next timer due by `until`, and moves the time to it.
    pub(crate) fn due(&mut self, until: u64) -> Option<(usize, Wake)> {
        if self.next_due()? > until {
            return None;
        }
        let Reverse((at, _, device, what)) = self.timers.pop()?;
        self.now = self.now.max(at);
        Some((device, what))
    }

    /// The devices' local time at a moment, as a calendar has it.
    pub(crate) fn local(&self, at: u64) -> Local {
        self.zone.local(at)
    }
}

/// Where the devices are: their calendars show local time, and name no zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Zone {
    /// The unix time of virtual 0, in milliseconds.
    pub(crate) epoch_ms: i64,
    /// Seconds east of UTC.
    pub(crate) offset: i64,
}

impl Zone {
    pub(crate) fn local(&self, at: u64) -> Local {
        let unix = self.epoch_ms.saturating_add_unsigned(at).div_euclid(1000);
        Local::new(unix, self.offset)
    }
}

/// A local time to the second, ready to be written in the vendors' ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) year: i64,
    pub(crate) month: u8,
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    /// Seconds since 1970, UTC: what Asterisk makes its ids of.
    pub(crate) unix: i64,
}

impl Local {
    /// The proleptic Gregorian calendar from a count of seconds (Hinnant's `civil_from_days`).
    fn new(unix: i64, offset: i64) -> Self {
        let local = unix.saturating_add(offset);
        let (days, second_of_day) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as u8,
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u8,
            hour: (second_of_day / 3600) as u8,
            minute: (second_of_day / 60 % 60) as u8,
            second: (second_of_day % 60) as u8,
            unix,
        }
    }

    /// `20170309162713`
    pub(crate) fn compact(&self) -> String {
        format!("{}{}", self.date(), self.time())
    }

    /// `20170309`
    pub(crate) fn date(&self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }

    /// `162713`
    pub(crate) fn time(&self) -> String {
        format!("{:02}{:02}{:02}", self.hour, self.minute, self.second)
    }

    /// `2017-03-09 16:27:13`
    pub(crate) fn spaced(&self) -> String {
        let Self { year, month, day, hour, minute, second, .. } = self;
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_days_are_right() {
        assert_eq!(Local::new(0, 0).compact(), "19700101000000");
        assert_eq!(Local::new(951_782_399, 0).compact(), "20000228235959");
        assert_eq!(Local::new(951_868_799, 0).spaced(), "2000-02-29 23:59:59");
        assert_eq!(Local::new(1_489_048_033, 8 * 3600).compact(), "20170309162713");
        assert_eq!(Local::new(1_489_048_033, 8 * 3600).unix, 1_489_048_033);
    }

    #[test]
    fn timers_come_in_time_order_then_in_the_order_set() {
        let mut clock = Clock::new(Zone { epoch_ms: 0, offset: 0 });
        clock.wake(1, 20, Wake::Arrival);
        clock.wake(2, 10, Wake::Arrival);
        clock.wake(3, 10, Wake::PhoneFails);
        assert_eq!(clock.due(9), None);
        assert_eq!(clock.due(50), Some((2, Wake::Arrival)));
        assert_eq!(clock.now, 10);
        assert_eq!(clock.due(50), Some((3, Wake::PhoneFails)));
        assert_eq!(clock.due(50), Some((1, Wake::Arrival)));
        assert_eq!(clock.due(50), None);
    }
}
