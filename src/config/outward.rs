//! `[outward]` and `[webhooks]`: where URLs that users set may lead, and how events are delivered there. Both are applied
//! anew at a reload.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::om_endpoint::AddressRange;
use super::span::Span;

/// The longest time between two attempts, and the longest `Retry-After` that is heeded.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_secs(24 * 3600);
/// The most steps that a retry schedule may have.
const MOST_STEPS: usize = 32;

/// Where URLs that users set may lead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutwardConfig {
    /// Ranges of addresses that may be reached although they are loopback, private or otherwise not public.
    pub allow: Vec<AddressRange>,
}

/// Deliveries to webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhooksConfig {
    /// How long after each failed attempt the next one is made; after the last one an event is given up.
    pub retry_schedule: Vec<Span>,
    /// Seconds for one attempt, from the name's resolution to the end of the answer.
    pub timeout_seconds: u32,
    /// Attempts at a time, of different calls, to one webhook.
    pub concurrency: usize,
    /// Events that one webhook may have open; beyond it no more are read ahead from the log.
    pub pending: usize,
    /// Deliveries that the delivery log of one webhook keeps.
    pub log_entries: usize,
    /// Days that it keeps them.
    pub log_days: u32,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let schedule =
            [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
        Self {
            retry_schedule: schedule.map(|seconds| Span(Duration::from_secs(seconds))).to_vec(),
            timeout_seconds: 15,
            concurrency: 8,
            pending: 10_000,
            log_entries: 10_000,
            log_days: 30,
        }
    }
}

impl WebhooksConfig {
    /// What could not work.
    ///
    /// # Errors
    /// Says what, and how to mend it.
    pub fn check(&self) -> Result<(), String> {
        let steps = self.retry_schedule.len();
        if steps == 0 || steps > MOST_STEPS || self.retry_schedule.iter().any(|step| step.0 > LONGEST_DELAY) {
            return Err(format!("webhooks.retry_schedule has 1 to {MOST_STEPS} steps of at most 24h"));
        }
        if !(1..=300).contains(&self.timeout_seconds) {
            return Err("webhooks.timeout_seconds is 1 to 300".to_owned());
        }
        if !(1..=256).contains(&self.concurrency) {
            return Err("webhooks.concurrency is 1 to 256".to_owned());
        }
        if !(1..=1_000_000).contains(&self.pending) || !(1..=1_000_000).contains(&self.log_entries) {
            return Err("webhooks.pending and webhooks.log_entries are 1 to 1000000".to_owned());
        }
        if !(1..=3650).contains(&self.log_days) {
            return Err("webhooks.log_days is 1 to 3650".to_owned());
        }
        Ok(())
    }
}
