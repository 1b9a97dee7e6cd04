//! The clock of the service.

use std::time::{SystemTime, UNIX_EPOCH};

use switchroom_actors::ports::Clock;
use switchroom_domain::time::Timestamp;

/// Now, in milliseconds since 1970; a clock set before that reads as 1970.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The system's clock, for the actors.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        now()
    }
}
