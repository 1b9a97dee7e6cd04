//! What a call's conversation is made of: what its events tell that its legs forget, and its records. Pure.

use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::conversation::{
    Confidence, Conversation, Outcome, RecordingRef, Transfer, TransferKind,
};
use switchroom_domain::fact::{CallFact, CallWay, CdrFact, CdrSide, Extent, Happening, Party};
use switchroom_domain::id::{CdrId, DeviceId, LegId};
use switchroom_domain::reply::Failure;
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_domain::view::{Basis, Direction, LegKind};

use super::call::Call;
use crate::call_leg::LegState;
use crate::entity::Phase;

/// How long after the end of a call, or its last record, it is waited for more of them.
const SETTLES: Millis = Millis::from_secs(3);
/// Keys, menus, transfers and records of one call beyond this are not kept.
const MOST: usize = 64;
/// A report that comes twice does so within this time.
const DOUBLED: Millis = Millis::from_secs(1);
/// A record's times have no milliseconds.
const COARSE: Millis = Millis(1500);
/// A part of a call rings, waits and hears menus for at most so long beside its talk, as far as a record's times are
/// believed: a device's clock may be set while it goes on.
const BESIDE_TALK: Millis = Millis::from_secs(3600);
/// And no record is believed that it spans more.
const LONGEST: Millis = Millis::from_secs(7 * 24 * 3600);

/// What is kept of a call for its conversation; see the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Story {
    answered_by: Option<Text>,
    queue: Option<Text>,
    queued: Option<Millis>,
    menus: Vec<Text>,
    digits: Vec<Text>,
    score: Option<Text>,
    passes: Vec<Pass>,
    /// The telephone that talked last.
    talker: Option<LegId>,
    /// The code of a failure.
    failure: Option<Option<u32>>,
    /// It asked to come in, and was ended by a command before it did.
    rejected: bool,
    records: Vec<Part>,
    /// When it is taken to be complete.
    due: Option<Timestamp>,
    told: bool,
}

/// The call may have been passed on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pass {
    at: Timestamp,
    kind: TransferKind,
    by: Option<Text>,
    to: Option<Text>,
    /// Who passed it on has left it.
    left: bool,
    /// Whom it was passed to has answered.
    answered: bool,
}

/// A record, as far as it tells of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Part {
    id: CdrId,
    /// When what it is of was over: when it came, or, if it came late from a file, when it says.
    #[serde(alias = "received_at")]
    over_at: Timestamp,
    kind: Text,
    route: Option<Text>,
    side: CdrSide,
    direction: Option<Direction>,
    from: Option<Text>,
    to: Option<Text>,
    trunk: Option<Text>,
    span: Option<Millis>,
    duration: Option<u32>,
    recording: Option<Text>,
    status: Option<Text>,
    #[serde(default)]
    way: CallWay,
}

impl Part {
    fn new(id: CdrId, over_at: Timestamp, cdr: &CdrFact) -> Self {
        let named = |name: &str| cdr.extra.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        let status = named("status").or_else(|| named("disposition")).map(|(_, word)| word.clone());
        Self {
            id,
            over_at,
            kind: cdr.kind.clone(),
            route: cdr.route.clone(),
            side: cdr.side,
            direction: cdr.direction,
            from: cdr.from.clone(),
            to: cdr.to.clone(),
            trunk: cdr.trunk.clone(),
            span: span(cdr),
            duration: cdr.duration,
            recording: cdr.recording.clone().filter(|file| !file.is_empty()),
            status,
            way: cdr.way.clone(),
        }
    }

    /// How long somebody talked, by this record: a trunk's counts its menu and queue too, and a menu is nobody.
    fn talked(&self) -> Option<u32> {
        let of_person = self.side == CdrSide::Extension && self.way.of != Extent::Menu;
        self.duration.filter(|seconds| of_person && *seconds > 0)
    }

    /// Whose talk its recording is.
    fn of(&self) -> Option<Text> {
        match (self.side, self.direction) {
            (CdrSide::Trunk, _) => self.trunk.clone(),
            (CdrSide::Extension, Some(Direction::Inbound)) => self.to.clone(),
            (CdrSide::Extension, _) => self.from.clone(),
        }
    }

    fn is_whole(&self) -> bool {
        self.way.of == Extent::Whole
    }

    fn is_status(&self, word: &str) -> bool {
        self.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case(word))
    }
}

/// How long what a record is of took, as far as its times can be believed; else its talk.
#[must_use]
pub fn span(cdr: &CdrFact) -> Option<Millis> {
    let talk = cdr.duration.map(|seconds| Millis::from_secs(seconds.into()));
    let most = talk.map_or(LONGEST.0, |talk| talk.0.saturating_add(BESIDE_TALK.0).min(LONGEST.0));
    let by_clock = cdr.started_at.zip(cdr.ended_at).map(|(from, to)| to.since(from));
    by_clock.filter(|span| (0..=most).contains(&span.0)).or_else(|| talk.filter(|talk| *talk <= LONGEST))
}

fn push<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.len() < MOST {
        list.push(item);
    }
}

impl Story {
    /// A report about the call was taken in.
    pub fn heard(&mut self, fact: &CallFact, now: Timestamp) {
        match fact.happening {
            Happening::Digits => self.digits.extend(fact.digits.clone().filter(|_| self.digits.len() < MOST)),
            Happening::Surveyed => self.score.clone_from(&fact.digits),
            Happening::Failed => self.failure = Some(fact.code),
            Happening::Diverted => {
                // The visitor's number names who has its calls forwarded; a caller inside is all that is told of its own.
                let by = fact.parties.iter().find_map(|party| match party {
                    Party::Visitor(visitor) => visitor.to.clone(),
                    _ => None,
                });
                let kind = TransferKind::Diverted;
                let again = |last: &Pass| last.kind == kind && last.by == by && now.since(last.at) <= DOUBLED;
                if !self.passes.last().is_some_and(again) {
                    push(&mut self.passes, Pass { at: now, kind, by, to: None, left: true, answered: false });
                }
            }
            _ => {}
        }
    }

    /// Was it passed on by somebody who has calls forwarded?
    #[must_use]
    pub fn is_diverted(&self) -> bool {
        self.passes.iter().any(|pass| pass.kind == TransferKind::Diverted)
    }

    /// When it was last passed on by somebody who has calls forwarded.
    #[must_use]
    pub fn diverted_at(&self) -> Option<Timestamp> {
        self.passes.iter().rev().find(|pass| pass.kind == TransferKind::Diverted).map(|pass| pass.at)
    }

    /// It left a queue after waiting so long, or entered one.
    pub fn queued(&mut self, queue: Text, waited: Option<Millis>) {
        self.queue = Some(queue);
        if let Some(waited) = waited {
            self.queued = Some(Millis(self.queued.map_or(0, |before| before.0) + waited.0));
        }
    }

    /// It could not be made, for this reason.
    pub fn failed(&mut self, code: Option<u32>) {
        self.failure = Some(code);
    }

    /// Could it not be made, or not be passed on?
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// A command ends it.
    pub fn cleared(&mut self) {
        self.rejected = true;
    }

    /// It is over: what is still to come of it comes soon.
    pub fn ended(&mut self, now: Timestamp) {
        self.due = Some(now + SETTLES);
    }

    /// A record of it came, of what was over then; true if its conversation has been told before.
    pub fn recorded(&mut self, id: CdrId, now: Timestamp, over_at: Timestamp, cdr: &CdrFact) -> bool {
        push(&mut self.records, Part::new(id, over_at, cdr));
        if self.due.is_some() {
            self.due = Some(now + SETTLES);
        }
        self.told
    }

    /// When the conversation is complete; none before the call's end, and once it was told.
    #[must_use]
    pub const fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// It is told now; was it before?
    pub fn tell(&mut self) -> bool {
        self.due = None;
        std::mem::replace(&mut self.told, true)
    }

    /// Was it told?
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.told
    }
}

/// Notes in the call's story what its legs did: `before` are their phases before this report.
pub fn follow(call: &mut Call, before: &[(LegId, Phase)], now: Timestamp, newly_answered: bool) {
    let mut story = std::mem::take(&mut *call.story);
    if newly_answered && story.answered_by.is_none() {
        story.answered_by = called(call).and_then(|leg| leg.number.clone());
    }
    let is_over = call.is_over();
    let caller = caller(call);
    for leg in &call.legs {
        let was = before.iter().find(|(id, _)| *id == leg.id).map(|(_, phase)| *phase);
        match leg.kind {
            LegKind::Visitor => continue,
            LegKind::Menu => {
                if let (None, Some(menu)) = (was, &leg.number) {
                    push(&mut story.menus, menu.clone());
                }
                continue;
            }
            LegKind::Extension | LegKind::Outer => {}
        }
        let (lived, lives) = (was.is_some_and(Phase::is_live), leg.phase.is_live());
        if !lived && lives && caller != Some(leg.id) {
            joins(&mut story, call, leg, now);
        }
        let is_extension = leg.kind == LegKind::Extension;
        if leg.phase == Phase::Talking && was != Some(Phase::Talking) {
            if let Some(last) =
                story.passes.last_mut().filter(|last| !last.answered && caller != Some(leg.id))
            {
                last.answered = true;
                last.to.clone_from(&leg.number);
            }
            story.talker = Some(leg.id).filter(|_| is_extension).or(story.talker);
        }
        if lived && !lives && !is_over {
            let its = story.passes.iter_mut().filter(|pass| is_extension && pass.by == leg.number);
            its.for_each(|pass| pass.left = true);
        }
    }
    *call.story = story;
}

/// Somebody is called: if somebody had answered, or has calls forwarded, the call may have been passed on.
fn joins(story: &mut Story, call: &Call, leg: &LegState, now: Timestamp) {
    if let Some(last) = story.passes.last_mut().filter(|last| !last.answered) {
        last.to = last.to.take().or_else(|| leg.number.clone());
        return;
    }
    let talker = call.legs.iter().find(|other| Some(other.id) == story.talker);
    let was_answered = call.answered_at.is_some_and(|at| at < now);
    let Some(talker) = talker.filter(|talker| was_answered && talker.number != leg.number) else { return };
    let pass = Pass {
        at: now,
        kind: TransferKind::Transferred,
        by: talker.number.clone(),
        to: leg.number.clone(),
        left: !talker.phase.is_live(),
        answered: false,
    };
    push(&mut story.passes, pass);
}

/// The telephone that called, if one did.
fn caller(call: &Call) -> Option<LegId> {
    let by_telephone =
        matches!(call.direction, Direction::Internal | Direction::Outbound) && !call.is_of_menu();
    call.caller_leg().filter(|leg| by_telephone && leg.kind == LegKind::Extension).map(|leg| leg.id)
}

/// Who is called in it, and talks.
fn called(call: &Call) -> Option<&LegState> {
    let talks = |leg: &&LegState| matches!(leg.phase, Phase::Talking | Phase::Held);
    let of = |kind| call.live_legs().filter(move |leg| leg.kind == kind).filter(talks);
    match call.direction {
        Direction::Inbound => of(LegKind::Extension).next().or_else(|| of(LegKind::Outer).last()),
        Direction::Outbound | Direction::Callback => of(LegKind::Outer).last(),
        Direction::Internal => {
            let caller = caller(call);
            of(LegKind::Extension).find(|leg| Some(leg.id) != caller).or_else(|| of(LegKind::Outer).last())
        }
    }
}

/// Is it the record of a call back? A ZYCOO's says only that it went out: from a number that was called.
fn is_callback(call: &Call, part: &Part) -> bool {
    let was_called = || {
        let legs = || call.legs.iter().filter(|leg| leg.kind != LegKind::Menu);
        part.from.is_some()
            && legs().all(|leg| leg.kind == LegKind::Outer)
            && legs().any(|leg| leg.number == part.from)
    };
    match part.direction {
        Some(Direction::Callback) => true,
        Some(Direction::Outbound) => part.is_whole() && was_called(),
        _ => false,
    }
}

/// Whom it was passed on to in the end, as far as somebody was called beside the caller.
fn last_called(call: &Call) -> Option<Text> {
    let caller = caller(call);
    let called =
        |leg: &&LegState| matches!(leg.kind, LegKind::Extension | LegKind::Outer) && Some(leg.id) != caller;
    call.legs.iter().rev().find(called).and_then(|leg| leg.number.clone())
}

/// The conversation of a call that is over.
#[must_use]
pub fn conversation(call: &Call, device: &DeviceId) -> Conversation {
    let story = &call.story;
    let records = &story.records;
    let mut ended_at = call.ended_at.unwrap_or(call.heard_at);
    // An end that no report told was noticed late; the last record came when it was over.
    let last = records.iter().map(|part| part.over_at).max();
    if let Some(last) = last.filter(|last| call.basis == Basis::Inferred && *last > call.started_at) {
        ended_at = ended_at.min(last);
    }
    let began = |part: &Part| part.span.map(|span| part.over_at.minus(span));
    // Its first reports may be lost: a record spans what it is of.
    let earliest = records.iter().filter_map(began).min();
    let started_at = match earliest {
        Some(earliest) if earliest.plus(COARSE) < call.started_at => earliest,
        _ => call.started_at,
    };
    let talk = records.iter().filter_map(|part| Some((part, part.talked()?))).collect::<Vec<_>>();
    let whole = records.iter().find(|part| part.is_whole());
    let both_answered = call.direction != Direction::Callback || talk.len() >= 2 || whole.is_some();
    let by_record = talk.first().filter(|_| call.answered_at.is_none() && both_answered);
    let answered_at = call.answered_at.or_else(|| {
        let answered =
            |(part, seconds): &(&Part, u32)| part.over_at.minus(Millis::from_secs((*seconds).into()));
        by_record.map(answered).map(|at| at.max(started_at))
    });
    let callback = records.iter().find(|part| is_callback(call, part));
    let answered_by = story.answered_by.clone().or_else(|| {
        let (part, _) = by_record?;
        if let Some(last) = last_called(call).filter(|_| part.is_whole() && callback.is_none()) {
            return Some(last);
        }
        match part.direction.unwrap_or(call.direction) {
            _ if part.is_whole() => part.to.clone(),
            Direction::Inbound | Direction::Outbound | Direction::Internal => part.to.clone(),
            Direction::Callback => call.to().or_else(|| part.to.clone()),
        }
    });
    // Whom it called has calls forwarded, and the call out was made in that one's name (Yeastar).
    let inside = records.iter().find(|part| {
        call.direction == Direction::Outbound
            && part.direction == Some(Direction::Internal)
            && part.to.is_some()
            && part.to == call.from()
    });
    // The device calls both; if the first does not answer, only the record knows of the second.
    let told = records.iter().find_map(|part| part.direction).filter(|_| call.legs.len() < 2);
    let told = whole.and_then(|part| part.direction).or(told);
    let direction = match (callback, inside) {
        (Some(_), _) => Direction::Callback,
        (None, Some(_)) => Direction::Internal,
        (None, None) => told.unwrap_or(call.direction),
    };
    let called =
        whole.or(inside).filter(|_| direction == Direction::Internal).and_then(|part| part.to.clone());
    let of_records = |pick: fn(&Part) -> &Option<Text>| {
        let extension_first = records.iter().filter(|part| part.side == CdrSide::Extension).chain(records);
        extension_first.filter_map(|part| pick(part).clone()).find(|text| !text.is_empty())
    };
    let of_way =
        |pick: fn(&CallWay) -> &Option<Text>| records.iter().find_map(|part| pick(&part.way).clone());
    // Each menu has a record of its own, and the call's names the last again.
    let of_menus = |pick: fn(&CallWay) -> &Option<Text>| {
        let is_menu = |part: &&Part| part.way.of == Extent::Menu;
        let named: Vec<Text> =
            records.iter().filter(is_menu).filter_map(|part| pick(&part.way).clone()).collect();
        if named.is_empty() { of_way(pick).into_iter().collect() } else { named }
    };
    let menus = if story.menus.is_empty() { of_menus(|way| &way.menu) } else { story.menus.clone() };
    let digits = if story.digits.is_empty() { of_menus(|way| &way.digits) } else { story.digits.clone() };
    let queue = story.queue.clone().or_else(|| of_way(|way| &way.queue));
    let queued = records.iter().find_map(|part| part.way.queue_seconds).filter(|_| queue.is_some());
    let dialled =
        of_way(|way| &way.dialled).filter(|_| direction == Direction::Inbound && call.dialled.is_none());
    let outcome = outcome(call, answered_at.is_some(), direction);
    let analog =
        |part: &Part| part.direction == Some(Direction::Outbound) && part.route.as_deref() == Some("XO");
    let assumed = outcome == Outcome::Answered
        && matches!(direction, Direction::Outbound | Direction::Callback)
        && records.iter().any(analog);
    let complete = !records.is_empty() && !call.legs.is_empty() && by_record.is_none();
    let mut recordings: Vec<RecordingRef> = Vec::new();
    for part in records {
        if let Some(file) = &part.recording
            && !recordings.iter().any(|known| known.file == *file)
        {
            recordings.push(RecordingRef { id: part.id, file: file.clone(), of: part.of() });
        }
    }
    Conversation {
        id: call.id,
        device: device.clone(),
        direction,
        from: from(call, callback.or(inside)),
        to: dialled
            .or(called)
            .or_else(|| callback.map_or_else(|| call.to(), |part| part.to.clone()))
            .or_else(|| of_records(|part| &part.to)),
        answered_by,
        trunk: call.trunk.clone().or_else(|| of_records(|part| &part.trunk)),
        started_at,
        answered_at,
        ended_at,
        ring_seconds: call.rang_at.map(|at| seconds(at, answered_at.unwrap_or(ended_at))),
        queue_seconds: story.queued.map(Millis::seconds).or_else(|| queued.map(f64::from)),
        talk_seconds: answered_at.map(|at| seconds(at, ended_at)),
        outcome,
        confidence: if assumed { Confidence::Assumed } else { Confidence::Certain },
        basis: if complete || call.basis != Basis::Observed { call.basis } else { Basis::Inferred },
        queue,
        menus,
        digits,
        score: story.score.clone().or_else(|| of_way(|way| &way.score)),
        transfers: transfers(call),
        recordings,
        cdrs: records.iter().map(|part| part.id).collect(),
    }
}

/// Who called, by the events and else by the records.
fn from(call: &Call, callback: Option<&Part>) -> Option<Text> {
    let records = &call.story.records;
    let given = |number: &Option<Text>| number.clone().filter(|number| !number.is_empty());
    // A telephone that is alone in the call was called by the exchange: its records name no caller.
    let is_alone = call.to().is_none() && records.iter().any(|part| part.to == call.from());
    if is_alone && records.iter().all(|part| given(&part.from).is_none()) {
        return None;
    }
    let by_events = callback.map_or_else(|| call.from(), |part| part.from.clone());
    let whole = records.iter().find(|part| part.is_whole());
    let by_records = || match whole {
        Some(whole) => given(&whole.from),
        None => records.iter().find_map(|part| given(&part.from)),
    };
    // A menu that calls stands there by its number.
    let is_menu = |number: &Text| records.iter().any(|part| part.way.menu.as_ref() == Some(number));
    by_events.or_else(by_records).filter(|from| !is_menu(from))
}

/// Those that reached somebody. Who had a call forwarded is told by its record if not by its report (OM 2.6.4); and who
/// passed one on has left it, or has a record of its own part already.
fn transfers(call: &Call) -> Vec<Transfer> {
    let story = &call.story;
    let caller = caller(call);
    let forwards = story.records.iter().filter(|part| part.kind.eq_ignore_ascii_case("FI"));
    let mut forwarded_by = forwards.filter_map(|part| part.to.clone());
    let recorded = |pass: &Pass| {
        let of =
            |part: &&Part| part.side == CdrSide::Extension && (part.to == pass.by || part.from == pass.by);
        story.records.iter().filter(of).any(|part| part.over_at <= pass.at + SETTLES)
    };
    // Its report came after those of whom it was forwarded to.
    let joined_before = |pass: &Pass| {
        let called = |leg: &&LegState| {
            matches!(leg.kind, LegKind::Extension | LegKind::Outer) && Some(leg.id) != caller
        };
        let last =
            call.legs.iter().rev().filter(called).find(|leg| leg.number.is_some() && leg.number != pass.by);
        last.filter(|_| pass.kind == TransferKind::Diverted).and_then(|leg| leg.number.clone())
    };
    let passed = story.passes.iter().filter(|pass| pass.left || recorded(pass));
    let transfers = passed.map(|pass| Transfer {
        at: pass.at,
        kind: pass.kind,
        by: pass.by.clone().or_else(|| forwarded_by.next()),
        to: pass.to.clone().or_else(|| joined_before(pass)),
    });
    transfers.filter(|transfer| transfer.to.is_some() && transfer.to != transfer.by).collect()
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    Millis(to.since(from).0.max(0)).seconds()
}

fn outcome(call: &Call, answered: bool, direction: Direction) -> Outcome {
    let story = &call.story;
    if answered {
        return Outcome::Answered;
    }
    let is = |word: &str| story.records.iter().any(|part| part.is_status(word));
    let code = story.failure.map(|code| code.and_then(Failure::from_code));
    if matches!(code, Some(Some(Failure::Busy | Failure::OtherCall))) || is("BUSY") {
        return Outcome::Busy;
    }
    if code.is_some() || is("FAILED") || is("CONGESTION") {
        return Outcome::Failed;
    }
    // Of a call that only its record tells of.
    let only_recorded = call.seen.is_empty();
    let rang = call.rang_at.is_some() || (only_recorded && is("NO ANSWER"));
    if direction != Direction::Inbound {
        return Outcome::NoAnswer;
    }
    let queued = story.queue.is_some() || story.records.iter().any(|part| part.way.queue.is_some());
    let waited = queued || !story.menus.is_empty();
    if story.rejected && !rang && !waited {
        return Outcome::Rejected;
    }
    if queued || !rang { Outcome::Abandoned } else { Outcome::NoAnswer }
}
