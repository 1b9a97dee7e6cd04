//! Records: each is kept once, joins its call, and ends a part of it whose end was not reported.

use switchroom_domain::Text;
use switchroom_domain::conversation::Outcome;
use switchroom_domain::event::{EventData, EventKind};
use switchroom_domain::fact::{CdrFact, CdrSide, RecordingSettled};
use switchroom_domain::id::{CallId, CdrId};
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_domain::view::{CdrView, Direction, LegKind};

use super::{Ask, CellState, RECORDS_KEPT, Round, StoredCdr};
use crate::device::call::{Call, Release};
use crate::entity::{Entity, Told};

/// How long before the first report of a call its record can come, which overtook it.
const OVERTAKEN_WITHIN: Millis = Millis::from_secs(1);
/// How long after a call's end a record that does not say of which call it is can be of it.
const RECORDED_WITHIN: Millis = Millis::from_secs(3);
/// How far the begin of a call is from what its record says, which has no milliseconds.
const BEGIN: Millis = Millis(2000);
/// How far its end is from when its record comes.
const END: Millis = Millis(1000);

impl CellState {
    /// A record. One from a file (`filed`) is of the call that it says, or stands for a call of its own: it is never taken
    /// for a sign of what lives now.
    pub(super) fn cdr(&mut self, cdr: CdrFact, filed: Option<Option<CallId>>) -> Vec<Ask> {
        let fingerprint = fingerprint(&cdr);
        if self.records.contains(&fingerprint) {
            self.pending.duplicate = true;
            return Vec::new();
        }
        if self.records.len() >= RECORDS_KEPT {
            self.records.remove(0);
        }
        self.records.push(fingerprint);
        // One from a file comes long after what it is of.
        let over_at = match filed {
            None => self.now,
            Some(_) => cdr.ended_at.unwrap_or(self.now).min(self.now),
        };
        let call = match filed {
            None => self.call_of(&cdr, self.now),
            Some(Some(call)) => Some(call),
            Some(None) => {
                // The device uses these ids again.
                let (callid, visitor, outer) = (None, None, None);
                let alone = CdrFact { callid, visitor, outer, ..cdr.clone() };
                Some(self.call_of_record(&alone, over_at))
            }
        };
        let id = CdrId(self.mint());
        if let Some(call) = call {
            self.record_for(call, id, &cdr, over_at);
        }
        let data = EventData {
            cdr: Some(id),
            call,
            from: cdr.from.clone(),
            to: cdr.to.clone(),
            trunk: cdr.trunk.clone(),
            direction: cdr.direction,
            extension: self.extension_of(&cdr),
            recording: cdr.recording.clone(),
            talk_seconds: cdr.duration.map(f64::from),
            ..EventData::default()
        };
        self.emit(EventKind::CdrRecorded, compact_str::format_compact!("cdrs/{id}"), data);
        let extra = cdr.extra.iter().map(|(k, v)| (k.to_string(), v.as_str().into())).collect();
        let closes = cdr.closes_call;
        let side = cdr.side;
        let number = if side == CdrSide::Extension { self.extension_of(&cdr) } else { None };
        let trunk = cdr.trunk.clone().filter(|_| {
            matches!(cdr.route.as_deref(), Some("IP" | "XO")) && cdr.direction != Some(Direction::Internal)
        });
        let view = CdrView {
            id,
            device: self.id.clone(),
            wire_id: cdr.wire_id.clone(),
            call,
            kind: cdr.kind.clone(),
            route: cdr.route.clone(),
            direction: cdr.direction,
            outcome: outcome(&cdr),
            side,
            from: cdr.from.clone(),
            to: cdr.to.clone(),
            trunk: cdr.trunk.clone(),
            started_at: cdr.started_at,
            ended_at: cdr.ended_at,
            duration: cdr.duration,
            recording: cdr.recording.clone(),
            received_at: self.now,
            extra,
        };
        let stored = StoredCdr { cdr: view, fingerprint };
        if call.is_none() {
            self.wait_for_call(cdr, stored.clone());
        }
        self.pending.cdrs.push(stored);
        if filed.is_none() {
            self.record_closes(call, closes, number);
        }
        match trunk {
            Some(trunk) if self.trunks.insert(trunk.clone()) => {
                self.tell(Round::Entities, vec![(Entity::Trunk(trunk), Told::Mentioned)])
            }
            _ => Vec::new(),
        }
    }

    /// A recording that a record named was fetched, or given up.
    pub(super) fn recording_settled(&mut self, settled: RecordingSettled) {
        let kind =
            if settled.available { EventKind::RecordingAvailable } else { EventKind::RecordingMissing };
        let subject = compact_str::format_compact!("recordings/{}", settled.recording);
        let data = EventData {
            cdr: Some(settled.recording),
            call: settled.call,
            direction: settled.direction,
            from: settled.from,
            to: settled.to,
            trunk: settled.trunk,
            recording: Some(settled.file),
            reason: settled.reason,
            ..EventData::default()
        };
        self.emit(kind, subject, data);
    }

    /// A record comes when a part of the call is over. If the report of that end does not come, the record is
    /// taken for it.
    pub(super) fn record_closes(&mut self, call: Option<CallId>, closes: bool, extension: Option<Text>) {
        let at = self.now + self.doubt.release;
        let Some(call) = call.and_then(|id| self.calls.iter_mut().find(|call| call.id == id)) else { return };
        let leg = match (closes, extension) {
            (true, _) => None,
            (false, Some(number)) => match call.live_extension(&number) {
                Some(leg) => Some(leg.id),
                None => return,
            },
            (false, None) => return,
        };
        if !call.releases.iter().any(|release| release.leg == leg) {
            call.releases.push(Release { at, leg, reason: Text::const_new("record") });
        }
    }

    /// The call that a record is of which came then: live or ended a while ago, by wire id and numbers.
    pub(super) fn call_of(&self, cdr: &CdrFact, at: Timestamp) -> Option<CallId> {
        let calls =
            || self.calls.iter().rev().chain(self.ended.iter().rev()).chain(self.recorded.iter().rev());
        let has = |call: &Call, kind: LegKind, id: &Text, number: Option<&Text>| {
            call.legs.iter().any(|leg| {
                leg.kind == kind
                    && leg.wire_id.as_ref() == Some(id)
                    && (number.is_none() || leg.number.is_none() || leg.number.as_ref() == number)
            })
        };
        let by_visitor = || {
            let id = cdr.visitor.as_ref()?;
            calls()
                .find(|call| has(call, LegKind::Visitor, id, cdr.from.as_ref()))
                .or_else(|| calls().find(|call| has(call, LegKind::Visitor, id, None)))
        };
        let by_outer = || {
            let id = cdr.outer.as_ref()?;
            calls()
                .find(|call| has(call, LegKind::Outer, id, cdr.to.as_ref()))
                .or_else(|| calls().find(|call| has(call, LegKind::Outer, id, None)))
        };
        let by_key =
            || cdr.callid.as_ref().and_then(|key| calls().find(|call| call.key.as_ref() == Some(key)));
        let by_numbers = || self.call_of_numbers(cdr, at).map(|call| call.id);
        let by_id = by_visitor().or_else(by_outer).or_else(by_key).map(|call| call.id);
        by_id.or_else(by_numbers)
    }

    /// The call that a record is of which names no id that is known, by its numbers. It comes when the call ends: one that
    /// has been over for longer was another call of the same people.
    fn call_of_numbers(&self, cdr: &CdrFact, at: Timestamp) -> Option<&Call> {
        // And one that began after it had come is another; but reports overtake each other.
        let is_recent = |call: &&Call| {
            call.ended_at.is_none_or(|ended| at.since(ended) <= RECORDED_WITHIN)
                && call.started_at.since(at) <= OVERTAKEN_WITHIN
        };
        // Where both say which call they are of, they would have been found equal above.
        let of_another = |call: &&Call| call.key.is_some() && cdr.callid.is_some();
        // The device calls both numbers of a callback: until the second is called it looks like a call out.
        let goes_so = |call: &&Call| match cdr.direction {
            None => true,
            Some(Direction::Callback) => matches!(call.direction, Direction::Callback | Direction::Outbound),
            Some(direction) => call.direction == direction,
        };
        let candidates = || {
            let all =
                self.calls.iter().rev().chain(self.ended.iter().rev()).chain(self.recorded.iter().rev());
            all.filter(move |call| is_recent(call) && !of_another(call) && goes_so(call))
        };
        let given = |number: &Option<Text>| number.clone().filter(|number| !number.is_empty());
        let (from, to) = (given(&cdr.from), given(&cdr.to));
        let names = |call: &Call, number: &Option<Text>| {
            number.is_some() && call.legs.iter().any(|leg| leg.number == *number)
        };
        let exact = || candidates().find(|call| from.is_some() && call.from() == from && call.to() == to);
        let both = || candidates().find(|call| names(call, &from) && names(call, &to));
        // Who passed it on was never rung, perhaps. FI names the caller and who passed it on, FW that one and the number.
        let is_forwarded = |call: &&Call| match cdr.kind.as_str() {
            "FI" => from.is_some() && call.from() == from,
            "FW" => names(call, &to),
            _ => false,
        };
        let diverted = || candidates().find(|call| call.story.is_diverted() && is_forwarded(call));
        // Whom it called has calls forwarded, or is none; but nobody begins two calls at a time, nor ends two.
        let began = cdr.started_at.zip(cdr.ended_at).map(|(began, ended)| at.minus(ended.since(began)));
        let near = |one: Option<Timestamp>, other: Option<Timestamp>, span: Millis| {
            one.zip(other).is_some_and(|(one, other)| one.since(other).0.abs() <= span.0)
        };
        let same_times = |call: &&Call| {
            let ends = near(call.ended_at, Some(at), END);
            let begins = near(began, Some(call.started_at), BEGIN) && call.started_at <= at;
            // Of a call that nobody was rung for, only its end is told, perhaps late.
            let only_ended = call.ended_at == Some(call.started_at) && call.to().is_none();
            from.is_some() && call.from() == from && ends && (begins || only_ended)
        };
        let same = || candidates().find(same_times);
        let of_menu = || {
            candidates()
                .find(|call| call.first(LegKind::Menu).is_some() && names(call, &to))
                .filter(|_| from.is_none())
        };
        exact().or_else(both).or_else(diverted).or_else(same).or_else(of_menu)
    }

    pub(super) fn extension_of(&self, cdr: &CdrFact) -> Option<Text> {
        match cdr.direction {
            Some(Direction::Inbound) => cdr.to.clone().filter(|to| Some(to) != cdr.trunk.as_ref()),
            Some(Direction::Outbound) => cdr.from.clone(),
            // An internal call has two records; IN is the called one's.
            Some(Direction::Internal) if cdr.kind == "IN" => cdr.to.clone(),
            Some(Direction::Internal) => cdr.from.clone(),
            _ => None,
        }
    }
}

/// What came of it, by the record's own word, or by whether anybody talked.
fn outcome(cdr: &CdrFact) -> Option<Outcome> {
    let word = cdr
        .extra
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("status") || name.eq_ignore_ascii_case("disposition"));
    let is = |known: &str| word.is_some_and(|(_, word)| word.eq_ignore_ascii_case(known));
    if is("BUSY") {
        Some(Outcome::Busy)
    } else if is("FAILED") || is("CONGESTION") {
        Some(Outcome::Failed)
    } else {
        cdr.duration.map(|seconds| if seconds > 0 { Outcome::Answered } else { Outcome::NoAnswer })
    }
}

/// A hash of a record's content, stable over releases (FNV-1a): the same record again is a repeat.
fn fingerprint(cdr: &CdrFact) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut add = |text: Option<&str>| {
        for byte in text.unwrap_or("\u{1}").bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    };
    add(Some(&cdr.wire_id));
    for text in [&cdr.callid, &cdr.visitor, &cdr.outer, &cdr.route, &cdr.from, &cdr.to, &cdr.trunk] {
        add(text.as_deref());
    }
    for text in [&cdr.started_at_local, &cdr.ended_at_local, &cdr.recording] {
        add(text.as_deref());
    }
    add(Some(&cdr.kind));
    add(cdr.duration.map(|d| d.to_string()).as_deref());
    for (name, value) in &cdr.extra {
        add(Some(name));
        add(Some(value));
    }
    hash
}
