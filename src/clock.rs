//! The clock of the service: the system's, but it never goes back.
//!
//! Everything that waits compares times. If the system's clock is set back by an hour, nothing must wait an hour longer:
//! the service's clock then goes on at half its pace until the other has caught up.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use switchroom_actors::ports::Clock;
use switchroom_domain::time::Timestamp;

static STEADY: Steady = Steady::new();

/// Now, in milliseconds since 1970; a clock set before that reads as 1970. Never less than it said before.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    Timestamp(STEADY.read(wall, Instant::now))
}

/// The system's clock, for the actors.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        now()
    }
}

struct Steady {
    /// What was said last.
    said: AtomicI64,
    /// Since when, and from which time on, it goes slowly.
    slow: Mutex<Option<(Instant, i64)>>,
}

impl Steady {
    const fn new() -> Self {
        Self { said: AtomicI64::new(0), slow: Mutex::new(None) }
    }

    fn read(&self, wall: i64, now: impl FnOnce() -> Instant) -> i64 {
        let said = self.said.fetch_max(wall, Relaxed);
        if said <= wall {
            return wall;
        }
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        let at_half_pace = slow.map_or(i64::MIN, |(since, from)| {
            let half = now.saturating_duration_since(since).as_millis() / 2;
            from.saturating_add(i64::try_from(half).unwrap_or(i64::MAX))
        });
        if at_half_pace < said {
            // It was set back just now.
            *slow = Some((now, said));
            return said;
        }
        self.said.fetch_max(at_half_pace, Relaxed).max(at_half_pace)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_never_goes_back_and_never_stands_still() {
        let (clock, start) = (Steady::new(), Instant::now());
        let at = |seconds: u64, wall: i64| clock.read(wall, || start + Duration::from_secs(seconds));
        let hour = 3_600_000;
        assert_eq!(at(0, 10 * hour), 10 * hour);
        assert_eq!(at(1, 10 * hour + 1000), 10 * hour + 1000);
        // Set back by an hour: from then on half a second each second.
        assert_eq!(at(1, 9 * hour), 10 * hour + 1000);
        assert_eq!(at(11, 9 * hour + 10_000), 10 * hour + 6000);
        assert_eq!(at(12, 9 * hour + 11_000), 10 * hour + 6500);
        // Twice that hour later they agree again.
        assert_eq!(at(7211, 11 * hour + 10_000), 11 * hour + 10_000);
        // And it may happen once more; nor does a reading that is a little late go back.
        assert_eq!(at(7212, 10 * hour), 11 * hour + 10_000);
        assert_eq!(at(7214, 10 * hour + 2000), 11 * hour + 11_000);
        assert_eq!(at(7215, 12 * hour), 12 * hour);
        assert_eq!(at(7215, 12 * hour - 1), 12 * hour);
    }
}
