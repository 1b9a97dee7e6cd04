//! When to ask, and what. Pure: no clock, no device.

use std::collections::VecDeque;

use switchroom_domain::Text;
use switchroom_domain::command::{Command, Target, TargetKind};
use switchroom_domain::fact::Correction;
use switchroom_domain::time::{Millis, Timestamp};

use crate::device::messages::Doubts;

/// One question may be asked every so often, whatever happens.
const SLOWLY: Millis = Millis(2000);
/// While reports come, it is asked half as often, and the rest is saved.
const BUSY: Millis = Millis(4000);
/// So many questions are asked at the beginning, without having been saved.
const FIRST: i64 = 4;
/// Questions that can be saved up for when the device is quiet.
const SAVED: i64 = 40;
/// A device that has reported nothing for so long is quiet: what is known of it can be looked through.
const QUIET: Millis = Millis(1500);
/// Everything is looked through at least this often.
const AGAIN: Millis = Millis::from_secs(600);
/// After so long what contradicts is asked again: longer than a report can be under way.
const CONFIRM: Millis = Millis(1200);
/// A device that does not answer is tried again after this.
const SILENT: Millis = Millis(2000);

/// What a device is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// Itself, for its lines.
    Device,
    /// All visitors.
    Visitors,
    /// All outers.
    Outers,
    /// All ring groups.
    Groups,
    /// One extension.
    Extension(Text),
}

impl Question {
    /// As a command.
    #[must_use]
    pub fn command(&self) -> Command {
        let target = match self {
            Self::Device => Target::Device,
            Self::Visitors => Target::all(TargetKind::Visitor),
            Self::Outers => Target::all(TargetKind::Outer),
            Self::Groups => Target::all(TargetKind::Group),
            Self::Extension(number) => Target::one(TargetKind::Extension, number.clone()),
        };
        Command::Query { target }
    }
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Look what there is to ask, and give it to [`Rounds::look_through`].
    Look,
    /// Ask this.
    Ask(Question),
    /// Nothing before this time.
    Wait(Timestamp),
}

/// A contradiction that is to be asked about again.
#[derive(Debug)]
struct Contradiction {
    question: Question,
    corrections: Vec<Correction>,
    again_at: Timestamp,
}

/// The rounds of one device.
#[derive(Debug)]
pub struct Rounds {
    /// What is still to be asked in this round.
    to_ask: VecDeque<Question>,
    contradictions: VecDeque<Contradiction>,
    looked_at: Option<Timestamp>,
    asked_at: Timestamp,
    /// In thousandths of a question.
    saved: i64,
    saved_at: Timestamp,
    /// Ask everything.
    everything: bool,
    silent_until: Option<Timestamp>,
}

impl Rounds {
    /// Begins with everything.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            to_ask: VecDeque::new(),
            contradictions: VecDeque::new(),
            looked_at: None,
            asked_at: Timestamp(0),
            saved: FIRST * 1000,
            saved_at: now,
            everything: true,
            silent_until: None,
        }
    }

    /// Ask everything: the device has started, or answers again.
    pub const fn ask_everything(&mut self) {
        self.everything = true;
    }

    /// What is to be done now. `reported_at`: when the device's last report came.
    pub fn next(&mut self, now: Timestamp, reported_at: Timestamp) -> Next {
        self.save(now);
        if let Some(until) = self.silent_until.filter(|until| *until > now) {
            return Next::Wait(until);
        }
        if let Some(first) = self.contradictions.front().filter(|first| first.again_at <= now) {
            return Next::Ask(first.question.clone());
        }
        let quiet_from = reported_at + QUIET;
        let is_quiet = quiet_from <= now;
        // Something was heard since the last look, and it has settled.
        let heard = self.looked_at.is_none_or(|at| at < quiet_from);
        let long_ago = self.looked_at.is_none_or(|at| now.since(at) >= AGAIN);
        let round_over = self.to_ask.is_empty();
        if self.everything || (is_quiet && heard) || (round_over && (heard || long_ago)) {
            return Next::Look;
        }
        let again = self.contradictions.front().map(|first| first.again_at);
        let may_at = match (is_quiet, self.saved >= 1000) {
            (true, true) => now,
            (true, false) => self.asked_at + SLOWLY,
            (false, _) => self.asked_at + BUSY,
        };
        match self.to_ask.front() {
            Some(question) if may_at <= now => Next::Ask(question.clone()),
            Some(_) => {
                let quiet = (quiet_from > now).then_some(quiet_from);
                Next::Wait([again, quiet].into_iter().flatten().fold(may_at, Ord::min))
            }
            None => {
                let quiet = (quiet_from > now).then_some(quiet_from);
                Next::Wait([again, quiet].into_iter().flatten().fold(now + SLOWLY, Ord::min))
            }
        }
    }

    fn save(&mut self, now: Timestamp) {
        let gained = now.since(self.saved_at).0.max(0) * 1000 / SLOWLY.0;
        self.saved = (self.saved + gained).min(SAVED * 1000);
        self.saved_at = now;
    }

    /// What there is to ask. Those in doubt come first.
    pub fn look_through(&mut self, now: Timestamp, doubts: Doubts) {
        let device = self.everything.then_some(Question::Device);
        self.everything = false;
        self.looked_at = Some(now);
        let extensions = doubts.active.into_iter().chain(doubts.idle).map(Question::Extension);
        let all = [Question::Visitors, Question::Outers, Question::Groups];
        self.to_ask = device.into_iter().chain(all).chain(extensions).collect();
    }

    /// The question goes out.
    pub fn asked(&mut self, now: Timestamp, question: &Question) {
        self.asked_at = now;
        self.saved -= 1000;
        if self.to_ask.front() == Some(question) {
            self.to_ask.pop_front();
        }
    }

    /// What is wrong by the device's answer. Gives what is to be corrected: what was wrong before in the same way.
    pub fn answered(
        &mut self,
        now: Timestamp,
        question: &Question,
        wrong: Vec<Correction>,
    ) -> Vec<Correction> {
        let (repairs, additions): (Vec<_>, Vec<_>) = wrong.into_iter().partition(Correction::is_repair);
        let before = self.contradictions.iter().position(|c| c.question == *question);
        let before = before.and_then(|i| self.contradictions.remove(i)).map(|c| c.corrections);
        let before = before.unwrap_or_default();
        let (mut certain, new): (Vec<_>, Vec<_>) =
            repairs.into_iter().partition(|repair| before.contains(repair));
        if !new.is_empty() {
            // A lost report may cost two questions.
            self.saved += 2000;
            self.contradictions.push_back(Contradiction {
                question: question.clone(),
                corrections: new,
                again_at: now + CONFIRM,
            });
        }
        certain.extend(additions);
        certain
    }

    /// The device did not answer.
    pub fn unanswered(&mut self, now: Timestamp, question: &Question) {
        self.contradictions.retain(|contradiction| contradiction.question != *question);
        self.silent_until = Some(now + SILENT);
        self.everything = true;
    }
}
