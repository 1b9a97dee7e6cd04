//! Calls that are over, as the device itself knows them: the truth that records and events are joined
//! against. Nothing of it is read from a report.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::call::{Call, Direction};
use super::happening::Outcome;

/// How many of a device are kept until they are taken.
pub(super) const KEPT: usize = 10_000;

/// What a call's own state forgets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tale {
    pub(crate) rang: Option<u64>,
    pub(crate) answered_by: Option<Arc<str>>,
    pub(crate) waited: bool,
    pub(crate) menus: Vec<u8>,
    pub(crate) passes: Vec<Pass>,
}

/// Somebody passed the call on.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub(crate) by: Arc<str>,
    pub(crate) to: Option<Arc<str>>,
    pub(crate) diverted: bool,
}

impl Tale {
    pub(crate) fn rings(&mut self, now: u64) {
        self.rang.get_or_insert(now);
    }

    pub(crate) fn answers(&mut self, number: &Arc<str>) {
        self.joins(number);
        self.answered_by.get_or_insert_with(|| number.clone());
    }

    /// Somebody is called: the last pass was to them.
    pub(crate) fn joins(&mut self, number: &Arc<str>) {
        if let Some(pass) = self.passes.last_mut().filter(|pass| pass.to.is_none()) {
            pass.to = Some(number.clone());
        }
    }

    pub(crate) fn passed(&mut self, by: &Arc<str>, diverted: bool) {
        self.passes.push(Pass { by: by.clone(), to: None, diverted });
    }
}

/// A call that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedCall {
    /// The device's index: 0 is `sim-1`.
    pub device: usize,
    /// The device's own count of it, as in [`super::Emission::call`].
    pub call: u64,
    /// Which way it went.
    pub direction: Direction,
    /// Who called.
    pub from: Option<String>,
    /// What was called.
    pub to: Option<String>,
    /// Who answered first.
    pub answered_by: Option<String>,
    /// `answered`, `no_answer`, `busy` or `failed`.
    pub outcome: String,
    /// Virtual milliseconds of its begin.
    pub started: u64,
    /// Of the first ringing.
    pub rang: Option<u64>,
    /// Of the first answer.
    pub answered: Option<u64>,
    /// Of its end.
    pub ended: u64,
    /// Milliseconds in queues.
    pub queued: u64,
    /// It waited in a queue.
    pub waited: bool,
    /// The menus that it passed.
    pub menus: Vec<u8>,
    /// Who passed it on, to whom, and whether by forwarding.
    pub transfers: Vec<(String, String, bool)>,
}

impl EndedCall {
    pub(crate) fn new(device: usize, call: &Call, now: u64) -> Self {
        let own = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        let passes = call.tale.passes.iter();
        Self {
            device,
            call: call.id,
            direction: call.direction,
            from: own(&call.from),
            to: own(&call.to),
            answered_by: own(&call.tale.answered_by),
            outcome: match call.outcome {
                Outcome::Answered => "answered",
                Outcome::NoAnswer => "no_answer",
                Outcome::Busy => "busy",
                Outcome::Failed => "failed",
            }
            .to_owned(),
            started: call.started,
            rang: call.tale.rang,
            answered: call.first_answer,
            ended: now,
            queued: call.queue_ms,
            waited: call.tale.waited,
            menus: call.tale.menus.clone(),
            transfers: passes
                .filter_map(|pass| Some((pass.by.to_string(), pass.to.as_ref()?.to_string(), pass.diverted)))
                .collect(),
        }
    }
}
