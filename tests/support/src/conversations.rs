//! Conversations against the simulator's own ledger of its calls.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use switchroom_actors::device::state::Effects;
use switchroom_domain::conversation::{Conversation, Outcome, TransferKind};
use switchroom_domain::event::EventKind;
use switchroom_domain::fact::{Fact, Happening, Party};
use switchroom_domain::id::{CallId, CdrId};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::Basis;
use switchroom_protocol::Dialect;
use switchroom_simulator::{Direction, EndedCall};

/// The beginning of virtual time.
const EPOCH: i64 = 1_700_000_000_000;
/// How far times may be from the truth, in milliseconds: a report may be this late.
const LATE: i64 = 1100;
/// What no report tells is waited for a little.
const INFERRED: i64 = 1600;

/// What was told of calls, and what became of them in truth.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Calls that are over.
    pub ended: Vec<EndedCall>,
    /// How often each conversation was told.
    told: HashMap<CallId, usize>,
    /// What is known of each, as it would be stored.
    conversations: HashMap<CallId, Conversation>,
    /// By which simulated call's reports a call of ours was named, and how often.
    named: HashMap<CallId, BTreeMap<(usize, u64), usize>>,
    /// The ids of the records of a simulated call that arrived, and their recordings.
    records: HashMap<(usize, u64), (BTreeSet<String>, BTreeSet<String>)>,
    /// Calls whose record says in a word what came of them.
    words: BTreeSet<(usize, u64)>,
    /// Calls of which a report told what was dialled.
    dialled: BTreeSet<(usize, u64)>,
    /// Attempts that the device keeps no account of, by when they arrived.
    attempts: BTreeSet<(String, Option<u64>)>,
    /// Of which simulated call each of our records is.
    of_record: HashMap<CdrId, (usize, u64)>,
    /// The reports of each simulated call as they arrived, for a closer look.
    pub log: HashMap<(usize, u64), Vec<String>>,
}

/// A conversation that is not as it was.
#[derive(Debug)]
pub struct Wrong {
    /// Of which device, by index, and which of its calls.
    pub call: (usize, u64),
    /// What about it.
    pub what: String,
}

impl Ledger {
    /// A report of a simulated call arrives.
    pub fn sent(&mut self, device: usize, at: i64, call: Option<u64>, facts: &[Fact]) {
        for fact in facts {
            if let Fact::Call(fact) = fact
                && fact.happening == Happening::Failed
            {
                self.attempts.insert((format!("{device} {at} {:?}", fact.parties), call));
            }
            let Some(call) = call else { continue };
            let told = match fact {
                Fact::Cdr(cdr) => cdr.way.dialled.is_some(),
                Fact::Call(fact) => fact.parties.iter().any(|party| match party {
                    Party::Visitor(visitor) => visitor.to.is_some(),
                    _ => false,
                }),
                _ => false,
            };
            if let Fact::Cdr(cdr) = fact
                && cdr.extra.iter().any(|(name, _)| name.eq_ignore_ascii_case("disposition"))
            {
                self.words.insert((device, call));
            }
            if told {
                self.dialled.insert((device, call));
            }
            if let Fact::Cdr(cdr) = fact {
                let (ids, recordings) = self.records.entry((device, call)).or_default();
                ids.insert(cdr.wire_id.to_string());
                recordings
                    .extend(cdr.recording.iter().filter(|file| !file.is_empty()).map(ToString::to_string));
            }
        }
    }

    /// What it caused.
    pub fn took(&mut self, device: usize, call: Option<u64>, effects: Effects) {
        for event in &effects.events {
            let Some(id) = event.data.call else { continue };
            if event.kind == EventKind::ConversationCompleted {
                *self.told.entry(id).or_default() += 1;
            } else if let Some(call) = call {
                *self.named.entry(id).or_default().entry((device, call)).or_default() += 1;
            }
        }
        for stored in &effects.cdrs {
            self.of_record.extend(call.map(|call| (stored.cdr.id, (device, call))));
        }
        for conversation in effects.conversations {
            self.conversations.insert(conversation.id, conversation);
        }
    }

    /// The reports of a simulated call.
    pub fn log_of(&self, call: (usize, u64)) -> impl Iterator<Item = &String> {
        self.log.get(&call).into_iter().flatten()
    }

    /// The simulated call that a call of ours is.
    fn meant(&self, id: CallId) -> Option<(usize, u64)> {
        let by_records = || {
            let records = &self.conversations.get(&id)?.cdrs;
            records.iter().find_map(|record| self.of_record.get(record).copied())
        };
        let most = |named: &BTreeMap<(usize, u64), usize>| {
            named.iter().max_by_key(|(_, count)| **count).map(|(call, _)| *call)
        };
        self.named.get(&id).and_then(most).or_else(by_records)
    }

    /// What is wrong about the conversations of the calls that ended before this virtual time, and of how many calls.
    #[must_use]
    pub fn wrong(&self, until: u64, dialect: Dialect) -> (Vec<Wrong>, usize) {
        let mut wrong = Vec::new();
        let mut attempts = 0;
        let mut by_call: HashMap<(usize, u64), Vec<&Conversation>> = HashMap::new();
        for (id, conversation) in &self.conversations {
            match self.meant(*id) {
                Some(call) => by_call.entry(call).or_default().push(conversation),
                // Attempts that the device itself keeps no account of.
                None if conversation.cdrs.is_empty() && conversation.talk_seconds.is_none() => {
                    attempts += 1;
                    if attempts > self.attempts.len() {
                        wrong.push(Wrong {
                            call: (0, 0),
                            what: format!("too many attempts: {conversation:?}"),
                        });
                    }
                }
                None => wrong.push(Wrong { call: (0, 0), what: format!("of no call: {conversation:?}") }),
            }
            if self.told.get(id) != Some(&1) {
                let call = self.meant(*id).unwrap_or_default();
                wrong.push(Wrong { call, what: format!("told {:?} times", self.told.get(id)) });
            }
        }
        let over: Vec<&EndedCall> = self.ended.iter().filter(|call| call.ended < until).collect();
        for truth in &over {
            let call = (truth.device, truth.call);
            let mut add = |what: String| wrong.push(Wrong { call, what });
            match by_call.get(&call).map(Vec::as_slice) {
                Some([one]) => {
                    for what in self.differences(truth, one, dialect) {
                        add(what);
                    }
                }
                Some(several) => add(format!("{} conversations: {truth:?}; {several:?}", several.len())),
                // What never rang, was dialled or recorded left no trace.
                None if !self.records.contains_key(&call) => {}
                None => add(format!("no conversation: {truth:?}")),
            }
        }
        (wrong, over.len())
    }

    fn differences(&self, truth: &EndedCall, of: &Conversation, dialect: Dialect) -> Vec<String> {
        let mut found = Vec::new();
        let mut same = |what: &str, theirs: String, ours: String| {
            if theirs != ours {
                found.push(format!("{what}: {theirs} is {ours}; {truth:?}; {of:?}"));
            }
        };
        // A ZYCOO that makes no records of calls inside does not tell that somebody outside answered one.
        let is_outside = |number: &Option<String>| number.as_ref().is_some_and(|number| number.len() > 6);
        let untold =
            dialect == Dialect::Zycoo && truth.direction == Direction::Internal && of.cdrs.is_empty();
        if untold && is_outside(&truth.answered_by) {
            return Vec::new();
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let ours = |text: &Option<switchroom_domain::Text>| text.as_deref().unwrap_or_default().to_owned();
        same("direction", format!("{:?}", truth.direction), format!("{:?}", of.direction));
        same("from", text(&truth.from), ours(&of.from));
        // Of a group the engine has no number.
        // A call that was forwarded to somebody who is busy was still a call to whom it was to.
        let busy = truth.direction == Direction::Internal && truth.outcome == "busy";
        let was_forwarded = !truth.transfers.is_empty() || truth.rang.is_some();
        // Not every ZYCOO tells what a caller dialled.
        let call = (truth.device, truth.call);
        let is_told = truth.direction != Direction::Inbound || self.dialled.contains(&call);
        if truth.to.is_some() && is_told && !(busy && was_forwarded) {
            same("to", text(&truth.to), ours(&of.to));
        }
        let has_word = dialect != Dialect::Zycoo || self.words.contains(&call);
        same(
            "outcome",
            outcome(truth, dialect, has_word).as_str().to_owned(),
            of.outcome.as_str().to_owned(),
        );
        same("answered_by", text(&truth.answered_by), ours(&of.answered_by));
        // Only an OM reports that a call was forwarded.
        let is_told = |diverted: bool| dialect == Dialect::Om || !diverted;
        let transfers = truth.transfers.iter().filter(|(.., diverted)| is_told(*diverted));
        let transfers = transfers.map(|(by, to, diverted)| format!("{by}>{to}:{diverted}"));
        let told = of.transfers.iter().filter(|transfer| is_told(transfer.kind == TransferKind::Diverted));
        let told = told.map(|transfer| {
            format!(
                "{}>{}:{}",
                ours(&transfer.by),
                ours(&transfer.to),
                transfer.kind == TransferKind::Diverted
            )
        });
        same("transfers", transfers.collect::<Vec<_>>().join(" "), told.collect::<Vec<_>>().join(" "));
        let nothing = Default::default();
        let (ids, recordings) = self.records.get(&(truth.device, truth.call)).unwrap_or(&nothing);
        same("records", ids.len().to_string(), of.cdrs.len().to_string());
        let told: BTreeSet<String> =
            of.recordings.iter().map(|recording| recording.file.to_string()).collect();
        same("recordings", format!("{recordings:?}"), format!("{told:?}"));
        {
            let late = if of.basis == Basis::Inferred { INFERRED } else { LATE };
            let near = |at: Option<u64>, told: Option<Timestamp>| match (at, told) {
                (Some(at), Some(told)) => {
                    (told.0 - EPOCH - i64::try_from(at).unwrap_or(i64::MAX)).abs() <= late
                }
                (None, None) => true,
                _ => false,
            };
            let shown = |at: Option<Timestamp>| format!("{:?}", at.map(|at| at.0 - EPOCH));
            if !near(truth.answered, of.answered_at) {
                same("answered_at", format!("{:?}", truth.answered), shown(of.answered_at));
            }
            if !near(Some(truth.ended), Some(of.ended_at)) {
                same("ended_at", truth.ended.to_string(), shown(Some(of.ended_at)));
            }
        }
        found
    }
}

/// What came of it, as a conversation says it.
fn outcome(truth: &EndedCall, dialect: Dialect, has_word: bool) -> Outcome {
    // An OM tells only of its own telephones that they are busy, and not every ZYCOO tells it.
    let told = has_word && (dialect != Dialect::Om || truth.direction == Direction::Internal);
    match truth.outcome.as_str() {
        "answered" => Outcome::Answered,
        "busy" if told => Outcome::Busy,
        "failed" if has_word && (dialect != Dialect::Om || truth.direction != Direction::Inbound) => {
            Outcome::Failed
        }
        _ if truth.direction != Direction::Inbound => Outcome::NoAnswer,
        // Only the caller hears that whom it called is busy.
        _ if truth.waited || truth.rang.is_none() => Outcome::Abandoned,
        _ => Outcome::NoAnswer,
    }
}
