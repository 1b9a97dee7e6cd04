//! When an attempt is made again, and how a receiver as a whole fares. No clock and no chance in it: time and randomness
//! are arguments.

use std::time::Duration;

use switchroom_domain::time::{Millis, Timestamp};

use crate::config::{LONGEST_DELAY, Span};

/// So many failures in a row, whatever the calls, mean that the receiver as a whole is down: then one attempt is made at
/// a time, and a success brings everything forward that waits.
const DOWN: u32 = 10;
/// The first pause of a receiver that is down; it doubles with each failure.
const FIRST_PAUSE: Millis = Millis(100);

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it: 2xx.
    Taken,
    /// It did not.
    Failed {
        /// What the receiver asked for: no attempt before so long.
        retry_after: Option<Duration>,
        /// The receiver is overloaded: everything slows down, not only this event.
        overloaded: bool,
    },
    /// The receiver wants nothing any more: 410.
    Gone,
    /// It was put aside instead, as this says.
    Kept {
        /// That is what was wanted; otherwise the receiver did not take it.
        wanted: bool,
        /// Where it is.
        note: String,
    },
}

impl Outcome {
    /// What a status means, with the header `Retry-After`.
    #[must_use]
    pub fn of(status: u16, retry_after: Option<&str>, now: Timestamp) -> Self {
        match status {
            200..=299 => Self::Taken,
            410 => Self::Gone,
            _ => Self::Failed {
                retry_after: retry_after.and_then(|text| parse_retry_after(text, now)),
                overloaded: matches!(status, 429 | 502 | 504),
            },
        }
    }

    /// No whole answer came.
    #[must_use]
    pub const fn no_answer() -> Self {
        Self::Failed { retry_after: None, overloaded: false }
    }
}

/// `Retry-After` in seconds, or as a date; never more than a day.
fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let delay = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
            Duration::from_millis(u64::try_from(at.saturating_sub(now.0)).unwrap_or(0))
        }
    };
    Some(delay.min(LONGEST_DELAY))
}

/// How long after the `failed`-th failed attempt (from 1) the next one is made; none when there is none. 20 % are added
/// or taken away, by `chance`.
#[must_use]
pub fn delay(schedule: &[Span], failed: u32, retry_after: Option<Duration>, chance: u64) -> Option<Millis> {
    let step = schedule.get(usize::try_from(failed.saturating_sub(1)).ok()?)?.0;
    // 0.8 to 1.2, in thousandths.
    let thousandths = 800 + u32::try_from(chance % 401).unwrap_or(0);
    let delay = step.saturating_mul(thousandths) / 1000;
    Some(millis(delay.max(retry_after.unwrap_or_default()).min(LONGEST_DELAY)))
}

fn millis(duration: Duration) -> Millis {
    Millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// How a receiver as a whole fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Since when nothing has been taken.
    pub failing_since: Option<Timestamp>,
    /// Failures since the last success.
    in_a_row: u32,
    /// Nothing is attempted before.
    paused_until: Option<Timestamp>,
    /// Overloaded a moment ago: one at a time until something is taken.
    careful: bool,
    /// Since then an event has been through the whole schedule.
    given_up: bool,
}

/// What is to be done after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nothing in particular.
    GoOn,
    /// The receiver is back: whatever waits may be tried at once.
    Back,
    /// Nothing has been taken for as long as the whole schedule: no more attempts.
    Disable,
}

impl Health {
    /// As it was when the service stopped.
    #[must_use]
    pub fn restored(failing_since: Option<Timestamp>) -> Self {
        Self { failing_since, ..Self::default() }
    }

    /// Takes note of an attempt that ended; `last`: there is no other for its event.
    pub fn note(&mut self, outcome: &Outcome, last: bool, schedule: &[Span], now: Timestamp) -> Advice {
        let (retry_after, overloaded) = match outcome {
            Outcome::Taken => {
                let was_down = self.is_down();
                *self = Self::default();
                return if was_down { Advice::Back } else { Advice::GoOn };
            }
            Outcome::Gone => return Advice::Disable,
            Outcome::Kept { .. } => (None, false),
            Outcome::Failed { retry_after, overloaded } => (*retry_after, *overloaded),
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        let first = schedule.first().map_or(FIRST_PAUSE, |step| millis(step.0));
        let mut pause = Millis(0);
        if overloaded {
            self.careful = true;
            pause = retry_after.map_or(first, millis);
        }
        if self.is_down() {
            let doubled = FIRST_PAUSE.0.saturating_mul(1 << (self.in_a_row - DOWN).min(20));
            pause = pause.max(Millis(doubled).min(first));
        }
        if pause > Millis(0) {
            self.paused_until = self.paused_until.max(Some(now.plus(pause)));
        }
        // One event alone, with which something may be wrong, disables nothing.
        let others_given_up = self.given_up;
        self.given_up |= last;
        let whole = schedule.iter().map(|step| step.0).sum::<Duration>();
        if others_given_up && now.since(since) > millis(whole) { Advice::Disable } else { Advice::GoOn }
    }

    /// Takes note of an attempt of which nothing follows: each thing has its few attempts, whatever became of others.
    pub fn note_only(&mut self, outcome: &Outcome, now: Timestamp) {
        match outcome {
            Outcome::Taken | Outcome::Kept { wanted: true, .. } => *self = Self::default(),
            _ => {
                self.failing_since.get_or_insert(now);
            }
        }
    }

    /// Is the receiver as a whole down?
    #[must_use]
    pub const fn is_down(&self) -> bool {
        self.in_a_row >= DOWN
    }

    /// Until when nothing may be attempted, if that is after now.
    #[must_use]
    pub fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused_until.filter(|until| *until > now)
    }

    /// How many attempts there may be at a time.
    #[must_use]
    pub const fn at_a_time(&self, most: usize) -> usize {
        if self.careful || self.is_down() { 1 } else { most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Vec<Span> {
        [5, 300, 1800].map(|seconds| Span(Duration::from_secs(seconds))).to_vec()
    }

    fn failed(retry_after: Option<u64>, overloaded: bool) -> Outcome {
        Outcome::Failed { retry_after: retry_after.map(Duration::from_secs), overloaded }
    }

    #[test]
    fn a_status_says_what_to_do() {
        let of = |status, header| Outcome::of(status, header, Timestamp(0));
        for status in [200, 202, 204, 299] {
            assert_eq!(of(status, None), Outcome::Taken);
        }
        for status in [301, 302, 307, 400, 404, 500, 503] {
            assert_eq!(of(status, None), failed(None, false), "{status}");
        }
        for status in [429, 502, 504] {
            assert_eq!(of(status, Some("7")), failed(Some(7), true), "{status}");
        }
        assert_eq!(of(410, None), Outcome::Gone);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let at = |text| parse_retry_after(text, Timestamp(1_445_412_400_000)).map(|delay| delay.as_secs());
        assert_eq!(at("120"), Some(120));
        assert_eq!(at("Wed, 21 Oct 2015 07:28:00 GMT"), Some(80));
        assert_eq!(at("Wed, 21 Oct 2015 07:00:00 GMT"), Some(0), "it has passed");
        assert_eq!(at("999999999"), Some(24 * 3600));
        assert_eq!(at("soon"), None);
        assert_eq!(at("-5"), None);
    }

    #[test]
    fn the_schedule_is_kept_give_or_take_a_fifth() {
        let delay = |failed, retry_after: Option<u64>, chance| {
            delay(&schedule(), failed, retry_after.map(Duration::from_secs), chance).map(|delay| delay.0)
        };
        assert_eq!(delay(1, None, 0), Some(4000));
        assert_eq!(delay(1, None, 400), Some(6000));
        assert_eq!(delay(3, None, 200), Some(1_800_000));
        assert_eq!(delay(4, None, 0), None, "given up");
        assert_eq!(delay(1, Some(60), 0), Some(60_000));
        assert_eq!(delay(2, Some(60), 200), Some(300_000), "the schedule waits longer anyway");
        for chance in 0..5000 {
            let delay = delay(2, None, chance).expect("there is a step");
            assert!((240_000..=360_000).contains(&delay));
        }
    }

    #[test]
    fn an_overloaded_receiver_is_left_alone_and_then_asked_gently() {
        let mut health = Health::default();
        assert_eq!(health.note(&failed(None, false), false, &schedule(), Timestamp(0)), Advice::GoOn);
        assert_eq!((health.paused_until(Timestamp(0)), health.at_a_time(8)), (None, 8));
        health.note(&failed(Some(30), true), false, &schedule(), Timestamp(1000));
        assert_eq!(health.paused_until(Timestamp(1000)), Some(Timestamp(31_000)));
        health.note(&failed(None, true), false, &schedule(), Timestamp(2000));
        assert_eq!(health.paused_until(Timestamp(2000)), Some(Timestamp(31_000)), "the longer pause counts");
        assert_eq!((health.paused_until(Timestamp(31_000)), health.at_a_time(8)), (None, 1));
        assert_eq!(health.note(&Outcome::Taken, false, &schedule(), Timestamp(31_000)), Advice::GoOn);
        assert_eq!(health.at_a_time(8), 8);
    }

    #[test]
    fn a_receiver_that_is_down_is_tried_now_and_then_and_noticed_when_it_is_back() {
        let mut health = Health::default();
        let mut now = Timestamp(0);
        for n in 1..=30 {
            now = health.paused_until(now).unwrap_or(now);
            health.note(&failed(None, false), false, &schedule(), now);
            assert_eq!(health.at_a_time(8), if n < 10 { 8 } else { 1 });
        }
        let pause = health.paused_until(now).expect("a pause").since(now);
        assert_eq!(pause, Millis(5000), "never more than the first step");
        assert_eq!(health.note(&Outcome::Taken, false, &schedule(), now), Advice::Back);
        assert_eq!(health, Health::default());
    }

    #[test]
    fn what_takes_nothing_for_the_whole_schedule_is_disabled() {
        let fail = |health: &mut Health, last, at| {
            health.note(&failed(None, false), last, &schedule(), Timestamp(at))
        };
        let mut health = Health::default();
        assert_eq!(fail(&mut health, false, 0), Advice::GoOn);
        assert_eq!(fail(&mut health, true, 2_105_001), Advice::GoOn, "one event may be at fault itself");
        let mut again = health.clone();
        assert_eq!(fail(&mut health, false, 2_105_002), Advice::Disable);
        again.note(&Outcome::Taken, false, &schedule(), Timestamp(2_105_002));
        assert_eq!(fail(&mut again, false, 2_105_003), Advice::GoOn);
        let mut restored = Health::restored(Some(Timestamp(0)));
        assert_eq!(fail(&mut restored, true, 2_105_003), Advice::GoOn);
        assert_eq!(fail(&mut restored, false, 2_105_004), Advice::Disable);
        assert_eq!(Health::default().note(&Outcome::Gone, false, &schedule(), Timestamp(0)), Advice::Disable);
    }
}
