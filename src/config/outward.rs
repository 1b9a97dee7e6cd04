//! `[outward]`, `[webhooks]` and `[targets]`: where URLs that users set may lead, and how events and reports are delivered
//! there. All are applied anew at a reload.

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
        let bounds = Bounds {
            section: "webhooks",
            schedule: &self.retry_schedule,
            timeout_seconds: self.timeout_seconds,
            concurrency: self.concurrency,
            pending: self.pending,
            log_entries: self.log_entries,
            log_days: self.log_days,
        };
        bounds.check()
    }
}

/// Reports passed on to targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetsConfig {
    /// How long after each failed attempt the next one is made. A report that the receiver refuses (500) is given up after
    /// the last one; while a receiver is not there, the last one is repeated.
    pub retry_schedule: Vec<Span>,
    /// What is older is not passed on any more, and noted as a gap.
    pub max_age: Span,
    /// Seconds for one attempt, from the name's resolution to the end of the answer.
    pub timeout_seconds: u32,
    /// Attempts at a time, of different devices, to one target.
    pub concurrency: usize,
    /// Reports that one target may have open; beyond it no more are read ahead from the log.
    pub pending: usize,
    /// Deliveries that the delivery log of one target keeps.
    pub log_entries: usize,
    /// Days that it keeps them.
    pub log_days: u32,
}

impl Default for TargetsConfig {
    fn default() -> Self {
        let schedule = [1, 5, 15, 30].into_iter().chain([60; 20]);
        Self {
            retry_schedule: schedule.map(|seconds| Span(Duration::from_secs(seconds))).collect(),
            max_age: Span(Duration::from_secs(24 * 3600)),
            timeout_seconds: 5,
            concurrency: 8,
            pending: 10_000,
            log_entries: 10_000,
            log_days: 7,
        }
    }
}

impl TargetsConfig {
    /// What could not work.
    ///
    /// # Errors
    /// Says what, and how to mend it.
    pub fn check(&self) -> Result<(), String> {
        if !(Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 3600)).contains(&self.max_age.0) {
            return Err("targets.max_age is 1s to 8784h".to_owned());
        }
        let bounds = Bounds {
            section: "targets",
            schedule: &self.retry_schedule,
            timeout_seconds: self.timeout_seconds,
            concurrency: self.concurrency,
            pending: self.pending,
            log_entries: self.log_entries,
            log_days: self.log_days,
        };
        bounds.check()
    }
}

/// What both sections bound.
struct Bounds<'a> {
    section: &'static str,
    schedule: &'a [Span],
    timeout_seconds: u32,
    concurrency: usize,
    pending: usize,
    log_entries: usize,
    log_days: u32,
}

impl Bounds<'_> {
    fn check(&self) -> Result<(), String> {
        let (section, steps) = (self.section, self.schedule.len());
        if steps == 0 || steps > MOST_STEPS || self.schedule.iter().any(|step| step.0 > LONGEST_DELAY) {
            return Err(format!("{section}.retry_schedule has 1 to {MOST_STEPS} steps of at most 24h"));
        }
        if !(1..=300).contains(&self.timeout_seconds) {
            return Err(format!("{section}.timeout_seconds is 1 to 300"));
        }
        if !(1..=256).contains(&self.concurrency) {
            return Err(format!("{section}.concurrency is 1 to 256"));
        }
        if !(1..=1_000_000).contains(&self.pending) || !(1..=1_000_000).contains(&self.log_entries) {
            return Err(format!("{section}.pending and {section}.log_entries are 1 to 1000000"));
        }
        if !(1..=3650).contains(&self.log_days) {
            return Err(format!("{section}.log_days is 1 to 3650"));
        }
        Ok(())
    }
}
