//! Conversations: told once for each call, a moment after its end and its last record.
//!
//! A record that names no call that is known waits for that moment too: its call's reports may have been overtaken by
//! it. If none came it is all that is left of the call, which then gets a conversation from its records alone.

use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::conversation::Conversation;
use switchroom_domain::event::{EventData, EventKind};
use switchroom_domain::fact::{CallFact, CdrFact, Party};
use switchroom_domain::id::{CallId, CdrId, LegId};
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_domain::view::{Basis, CallState, Direction, LegKind};

use super::{CellState, StoredCdr};
use crate::call_leg::LegState;
use crate::device::call::Call;
use crate::device::conversation::{conversation, span};
use crate::entity::Phase;

/// How long a record waits for its call.
const WAITS: Millis = Millis::from_secs(3);
/// How long a failure waits for its record.
const FAILURE_WAITS: Millis = Millis::from_secs(5);
/// A call's being forwarded and that it failed by that come within this time.
const JUST_NOW: Millis = Millis::from_secs(1);
/// How many records wait, and how many calls are known by records alone, at most.
const KEPT: usize = 128;

/// A record whose call is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Orphan {
    cdr: CdrFact,
    stored: StoredCdr,
    due: Timestamp,
}

/// A call that could not be made, of which there is nothing else yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Failure {
    caller: Option<Text>,
    called: Option<Text>,
    /// An outside number was called.
    outside: bool,
    code: Option<u32>,
    at: Timestamp,
}

impl CellState {
    /// When a conversation is complete next.
    pub(super) fn next_conversation(&self) -> Option<Timestamp> {
        let calls = self.ended.iter().chain(&self.recorded).filter_map(|call| call.story.due());
        let orphans = self.orphans.front().map(|orphan| orphan.due);
        calls.chain(orphans).chain(self.failures.front().map(|failure| failure.at + FAILURE_WAITS)).min()
    }

    /// Tells the conversations that are complete by now. True if there were any.
    pub(super) fn complete(&mut self) -> bool {
        let now = self.now;
        let mut any = false;
        while self.orphans.front().is_some_and(|orphan| orphan.due <= now) {
            any = true;
            self.adopt_front();
        }
        while self.failures.front().is_some_and(|failure| failure.at + FAILURE_WAITS <= now) {
            any = true;
            self.fail_front();
        }
        let is_due = |call: &&mut Call| call.story.due().is_some_and(|due| due <= now);
        let due: Vec<&mut Call> = self.ended.iter_mut().chain(&mut self.recorded).filter(is_due).collect();
        let mut told = Vec::new();
        for call in due {
            let is_news = !call.story.tell();
            told.push((conversation(call, &self.id), is_news));
        }
        any |= !told.is_empty();
        for (conversation, is_news) in told {
            self.tell_conversation(conversation, is_news);
        }
        any
    }

    fn tell_conversation(&mut self, conversation: Conversation, is_news: bool) {
        if is_news {
            let is_extension = matches!(conversation.direction, Direction::Inbound | Direction::Internal);
            let data = EventData {
                basis: conversation.basis,
                call: Some(conversation.id),
                direction: Some(conversation.direction),
                from: conversation.from.clone(),
                to: conversation.to.clone(),
                trunk: conversation.trunk.clone(),
                extension: conversation.answered_by.clone().filter(|_| is_extension),
                outcome: Some(Text::const_new(conversation.outcome.as_str())),
                wait_seconds: conversation.queue_seconds,
                talk_seconds: conversation.talk_seconds,
                conversation: Some(Box::new(conversation.clone())),
                ..EventData::default()
            };
            let subject = compact_str::format_compact!("conversations/{}", conversation.id);
            self.emit(EventKind::ConversationCompleted, subject, data);
        }
        self.pending.conversations.push(conversation);
    }

    /// A call leaves memory: if its conversation was not told, it is now.
    pub(super) fn forget(&mut self, mut call: Call) {
        if call.story.due().is_some() {
            let is_news = !call.story.tell();
            self.tell_conversation(conversation(&call, &self.id), is_news);
        }
    }

    /// Something was learned of a call whose conversation was told: it is kept anew.
    pub(super) fn amend(&mut self, id: CallId) {
        let told = self.ended.iter().chain(&self.recorded).find(|call| call.id == id && call.story.is_told());
        if let Some(call) = told {
            self.pending.conversations.push(conversation(call, &self.id));
        }
    }

    /// The record is part of this call's conversation; what it is of was over then.
    pub(super) fn record_for(&mut self, call: CallId, id: CdrId, cdr: &CdrFact, over_at: Timestamp) {
        let now = self.now;
        let calls = self.calls.iter_mut().chain(&mut self.ended).chain(&mut self.recorded);
        let Some(call) = calls.into_iter().find(|of| of.id == call) else { return };
        if call.story.recorded(id, now, over_at, cdr) {
            let id = call.id;
            self.amend(id);
        }
    }

    /// The record's call is not known, or not yet.
    pub(super) fn wait_for_call(&mut self, cdr: CdrFact, stored: StoredCdr) {
        if self.orphans.len() >= KEPT {
            self.adopt_front();
        }
        self.orphans.push_back(Orphan { cdr, stored, due: self.now + WAITS });
    }

    /// The record that has waited longest joins its call, or stands for it.
    fn adopt_front(&mut self) {
        let Some(Orphan { cdr, mut stored, .. }) = self.orphans.pop_front() else { return };
        let received_at = stored.cdr.received_at;
        let call = match self.call_of(&cdr, received_at) {
            Some(call) => call,
            None => self.call_of_record(&cdr, received_at),
        };
        let id = stored.cdr.id;
        stored.cdr.call = Some(call);
        self.pending.joined.push(stored);
        self.record_for(call, id, &cdr, received_at);
    }

    /// A call of which nothing but this record is known.
    pub(super) fn call_of_record(&mut self, cdr: &CdrFact, ended_at: Timestamp) -> CallId {
        let id = CallId(self.mint());
        let mut call = Call::new(id, ended_at.minus(span(cdr).unwrap_or_default()));
        call.direction = cdr.direction.unwrap_or_else(|| direction(cdr));
        call.key.clone_from(&cdr.callid);
        call.trunk = cdr.trunk.clone().filter(|trunk| !trunk.is_empty());
        let (first, second) = match call.direction {
            Direction::Inbound => (LegKind::Visitor, LegKind::Extension),
            Direction::Outbound => (LegKind::Extension, LegKind::Outer),
            Direction::Internal => (LegKind::Extension, LegKind::Extension),
            Direction::Callback => (LegKind::Outer, LegKind::Outer),
        };
        for (kind, number) in [(first, &cdr.from), (second, &cdr.to)] {
            let number = number.clone().filter(|number| !number.is_empty());
            let is_trunk = number.is_some() && number == cdr.trunk;
            if number.is_none() || (is_trunk && kind == LegKind::Extension) {
                continue;
            }
            let mut leg = self.gone(kind, number, ended_at);
            leg.wire_id = match kind {
                LegKind::Visitor => cdr.visitor.clone(),
                LegKind::Outer => cdr.outer.clone(),
                LegKind::Extension | LegKind::Menu => None,
            };
            call.legs.push(leg);
        }
        let same = |failure: &Failure| {
            failure.caller == cdr.from
                && failure.called == cdr.to
                && ended_at.since(failure.at) <= FAILURE_WAITS
        };
        if let Some(failed) = self.failures.iter().position(same)
            && let Some(failure) = self.failures.remove(failed)
        {
            call.story.failed(failure.code);
        }
        self.keep_recorded(call, ended_at);
        id
    }

    fn keep_recorded(&mut self, mut call: Call, ended_at: Timestamp) {
        call.basis = Basis::Inferred;
        call.state = CallState::Ended;
        call.ended_at = Some(ended_at);
        call.end_reason = Some(Text::const_new("record"));
        call.story.ended(self.now);
        self.pending.ended_views.push(call.view(&self.id, Timestamp::default()));
        if self.recorded.len() >= KEPT
            && let Some(oldest) = self.recorded.pop_front()
        {
            self.forget(oldest);
        }
        self.recorded.push_back(call);
    }

    /// A call could not be made, and none is known that it is: its record tells which it was.
    pub(super) fn wait_for_record(&mut self, fact: &CallFact) {
        let mut numbers = fact.parties.iter().filter_map(|party| match party {
            Party::Extension { number, .. } => Some((number.clone(), false)),
            Party::Outer(outer) => outer.to.clone().map(|number| (number, true)),
            Party::Visitor(_) | Party::Menu { .. } => None,
        });
        let (caller, called) = (numbers.next(), numbers.next());
        let outside = called.as_ref().is_some_and(|(_, outside)| *outside);
        let (caller, called) = (caller.map(|(number, _)| number), called.map(|(number, _)| number));
        let (code, at) = (fact.code, self.now);
        // Whom its call was forwarded to cannot be reached.
        let is_its = |call: &&mut Call| {
            let is_now = call.story.diverted_at().is_some_and(|diverted| at.since(diverted) <= JUST_NOW);
            is_now && caller.is_some() && call.from() == caller && call.answered_at.is_none()
        };
        // Told twice.
        if self.failures.iter().any(|known| known.caller == caller && known.called == called) {
            return;
        }
        if let Some(call) = self.calls.iter_mut().chain(&mut self.ended).find(is_its) {
            call.story.failed(code);
            let id = call.id;
            self.amend(id);
            return;
        }
        if self.failures.len() >= KEPT {
            self.fail_front();
        }
        self.failures.push_back(Failure { caller, called, outside, code, at });
    }

    /// The call was passed on just now: that it failed by that may have been told before.
    pub(super) fn failed_before(&mut self, i: usize) {
        let (now, from) = (self.now, self.calls[i].from());
        let is_its = |failure: &Failure| failure.caller == from && now.since(failure.at) <= JUST_NOW;
        if let Some(failed) = self.failures.iter().position(is_its)
            && let Some(failure) = self.failures.remove(failed)
        {
            self.calls[i].story.failed(failure.code);
        }
    }

    /// No record of it came.
    fn fail_front(&mut self) {
        let Some(Failure { caller, called, outside, code, at }) = self.failures.pop_front() else { return };
        if called.is_none() {
            return;
        }
        let mut call = Call::new(CallId(self.mint()), at);
        call.direction = if outside { Direction::Outbound } else { Direction::Internal };
        let second = if outside { LegKind::Outer } else { LegKind::Extension };
        for (kind, number) in [(LegKind::Extension, caller), (second, called)] {
            if number.is_some() {
                let leg = self.gone(kind, number, at);
                call.legs.push(leg);
            }
        }
        call.story.failed(code);
        self.keep_recorded(call, at);
    }

    fn gone(&mut self, kind: LegKind, number: Option<Text>, at: Timestamp) -> LegState {
        let mut leg = LegState::new(LegId(self.mint()), kind, at);
        leg.number = number;
        leg.phase = Phase::Gone;
        leg.basis = Basis::Inferred;
        leg
    }
}

/// Which way a call went whose record does not say so.
fn direction(cdr: &CdrFact) -> Direction {
    if cdr.visitor.is_some() {
        Direction::Inbound
    } else if cdr.outer.is_some() {
        Direction::Outbound
    } else {
        Direction::Internal
    }
}
