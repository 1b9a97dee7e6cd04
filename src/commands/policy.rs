//! Against toll fraud: which numbers may be dialled, and how many a minute. Emergency numbers always may.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::CommandsConfig;

/// Dials are counted over this time.
const SPAN: Duration = Duration::from_secs(60);
/// Tokens that are counted; who has been quiet is forgotten first.
const TOKENS: usize = 4096;

/// Why a number may not be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// By its prefix.
    #[error(
        "{number} begins with {prefix:?}, which commands.deny_numbers denies; commands.allow_numbers can allow it"
    )]
    Number {
        /// The number.
        number: String,
        /// What it begins with.
        prefix: String,
    },
    /// Too many by this token.
    #[error(
        "this token has dialled {most} numbers within a minute, which commands.dials_per_minute allows; wait {seconds} s"
    )]
    TooMany {
        /// So many it may.
        most: u32,
        /// Until it may again.
        seconds: u64,
    },
}

/// What may be dialled.
#[derive(Debug)]
pub struct Policy {
    config: CommandsConfig,
    dials: Mutex<HashMap<[u8; 32], VecDeque<Instant>>>,
}

impl Policy {
    /// As the configuration says.
    #[must_use]
    pub fn new(config: CommandsConfig) -> Self {
        Self { config, dials: Mutex::default() }
    }

    /// May these numbers be dialled with this token? If so they are counted.
    ///
    /// # Errors
    /// Says which number may not, or how long to wait.
    pub fn dial<'a>(
        &self,
        token: [u8; 32],
        numbers: impl Iterator<Item = &'a str>,
        now: Instant,
    ) -> Result<(), Denied> {
        let mut counted = 0_u32;
        for number in numbers {
            if self.is_emergency(number) {
                continue;
            }
            self.may_dial(number)?;
            counted += 1;
        }
        if counted == 0 {
            return Ok(());
        }
        self.count(token, counted, now)
    }

    /// Is it a number for emergencies, dialled with or without what gets an outside line?
    #[must_use]
    pub fn is_emergency(&self, number: &str) -> bool {
        self.readings(number).iter().any(|reading| self.config.emergency_numbers.contains(reading))
    }

    /// The number as it may be meant: all that is dialled before the called side answers, with and without what gets an
    /// outside line or switches a feature. A comma hides nothing.
    fn readings(&self, number: &str) -> Vec<String> {
        // After an outside line alone, what is pressed later is what is dialled.
        let called = number.split_once(",,").map_or(number, |(called, _)| called);
        let called = if self.is_line_alone(called) { number } else { called };
        let plain = dialled(called);
        let bare = |text: &str| text.trim_start_matches(['*', '#']).to_owned();
        let mut readings = vec![plain.clone(), bare(&plain)];
        for prefix in &self.config.outside_prefixes {
            for reading in [&plain, &bare(&plain)] {
                if let Some(rest) = reading.strip_prefix(prefix.as_str()).filter(|rest| !rest.is_empty()) {
                    readings.extend([rest.to_owned(), bare(rest)]);
                }
            }
        }
        readings
    }

    fn is_line_alone(&self, number: &str) -> bool {
        let plain = dialled(number);
        plain.is_empty() || self.config.outside_prefixes.contains(&plain)
    }

    /// May calls be passed on to this number? Nothing is counted: nobody dials it now.
    ///
    /// # Errors
    /// Says what denies it.
    pub fn forward(&self, number: &str) -> Result<(), Denied> {
        if self.is_emergency(number) { Ok(()) } else { self.may_dial(number) }
    }

    fn may_dial(&self, number: &str) -> Result<(), Denied> {
        // `*57*number#` has somebody else's exchange pass calls on.
        let parts = dialled(number);
        let parts = parts.split(['*', '#']).filter(|part| !part.is_empty()).map(str::to_owned);
        for reading in self.readings(number).into_iter().chain(parts) {
            let begins = |prefixes: &[String]| {
                prefixes.iter().find(|prefix| reading.starts_with(prefix.as_str())).cloned()
            };
            if begins(&self.config.allow_numbers).is_some() {
                continue;
            }
            if let Some(prefix) = begins(&self.config.deny_numbers) {
                return Err(Denied::Number { number: number.chars().take(40).collect(), prefix });
            }
        }
        Ok(())
    }

    fn count(&self, token: [u8; 32], counted: u32, now: Instant) -> Result<(), Denied> {
        let most = self.config.dials_per_minute;
        let mut dials = self.dials.lock().unwrap_or_else(PoisonError::into_inner);
        if dials.len() >= TOKENS {
            dials.retain(|_, times| times.back().is_some_and(|at| now.duration_since(*at) < SPAN));
        }
        let times = dials.entry(token).or_default();
        while times.front().is_some_and(|at| now.duration_since(*at) >= SPAN) {
            times.pop_front();
        }
        if times.len() as u64 + u64::from(counted) > u64::from(most) {
            let oldest = times.front().map_or(SPAN, |at| SPAN.saturating_sub(now.duration_since(*at)));
            return Err(Denied::TooMany { most, seconds: oldest.as_secs() + 1 });
        }
        times.extend((0..counted).map(|_| now));
        Ok(())
    }
}

/// What of it is dialled.
fn dialled(number: &str) -> String {
    number.chars().filter(|c| c.is_ascii_digit() || matches!(c, '+' | '*' | '#')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::new(CommandsConfig {
            dials_per_minute: 2,
            allow_numbers: vec!["0085".into()],
            ..CommandsConfig::default()
        })
    }

    fn dial(policy: &Policy, number: &str) -> Result<(), Denied> {
        policy.dial([0; 32], [number].into_iter(), Instant::now())
    }

    #[test]
    fn international_and_premium_numbers_are_denied_however_they_are_written() {
        let policy = policy();
        for number in [
            "0044123",
            "+44123",
            "9,0044123",
            "90044123",
            "00-44-123,,5",
            "16812345",
            "0900123",
            "0044123456789,110",
            "0044123456789,5",
            "00,44123456789",
            "#0044123",
            "9#0044123",
            "9,,0044123456",
            ",,0044123456",
            "*57*0044123456#",
            "*57*0044123456*110#",
        ] {
            assert!(matches!(dial(&policy, number), Err(Denied::Number { .. })), "{number}");
        }
        assert_eq!(dial(&policy, "0085212345678"), Ok(()));
        assert_eq!(dial(&policy, "13012345678"), Ok(()));
    }

    #[test]
    fn dials_are_limited_by_token_and_emergency_numbers_never() {
        let policy = policy();
        let now = Instant::now();
        let one = |token, number, at| policy.dial([token; 32], [number].into_iter(), at);
        assert_eq!(one(1, "13012345678", now), Ok(()));
        assert_eq!(one(1, "13012345679", now), Ok(()));
        assert!(matches!(one(1, "13012345670", now), Err(Denied::TooMany { most: 2, .. })));
        for number in ["110", "119", "9,120", "9122"] {
            assert_eq!(one(1, number, now), Ok(()), "{number}");
        }
        assert_eq!(one(2, "13012345670", now), Ok(()), "another token");
        assert_eq!(one(1, "13012345670", now + SPAN), Ok(()), "a minute later");
    }
}
