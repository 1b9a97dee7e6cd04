//! What a device knows: itself, and its calls. Pure: the time and the id seed come with each input, and the
//! entities are asked by whoever drives this.
//!
//! Driving goes so: [`CellState::begin`] takes one piece of work and says whom to tell what; their replies go
//! into [`CellState::take`], which may have more to tell; when it has none, the piece is done. After the last
//! piece [`CellState::finish`] gives the effects. The actor drives it with real entities; tests and offline
//! replay drive it with plain structs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::conversation::Conversation;
use switchroom_domain::event::{Event, EventData, EventKind};
use switchroom_domain::fact::{CallFact, ExtensionStatus, Fact, Happening, OutsideParty, Party};
use switchroom_domain::id::{CallId, CommandId, DeviceId, EventId, IdSeed, LegId, Minter, ReportId};
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_domain::view::{Basis, CallView, CdrView, LegKind};

use super::binding::{self, Bound};
use super::call::Call;
use super::conversation;
use super::plan::{Plan, Planner};
use crate::call_leg::LegState;
use crate::entity::{Deadline, Doubt, Draft, Entity, LegMove, Phase, Reply, Told};

mod announce;
mod commands;
mod conversations;
pub mod reconcile;
mod records;

use commands::Expected;
use conversations::{Failure, Orphan};

/// How long an ended call is remembered, so that its records and late reports find it.
const REMEMBER_ENDED: Millis = Millis::from_secs(30);
/// How many ended calls are remembered at most.
const ENDED_KEPT: usize = 512;
/// How many records' fingerprints are remembered, to know a repeat.
const RECORDS_KEPT: usize = 512;
/// A second BOOTUP within this time is the first one again.
const BOOT_REPEAT: Millis = Millis::from_secs(3);

/// One piece of work for a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// A report states this.
    Fact(Fact),
    /// Points in time that were asked for have come.
    Timers,
}

/// Everything that one input caused.
#[derive(Debug, Default)]
pub struct Effects {
    /// Events, stamped, in order.
    pub events: Vec<Event>,
    /// Calls that ended, or whose ended state changed: to be found by their id from now on.
    pub ended_calls: Vec<CallView>,
    /// Records to keep.
    pub cdrs: Vec<StoredCdr>,
    /// Records that were kept before, and whose call is known now.
    pub joined: Vec<StoredCdr>,
    /// Conversations that are complete, or of which more is known now.
    pub conversations: Vec<Conversation>,
    /// The report repeated a record that is known already.
    pub duplicate: bool,
    /// Commands whose call was found.
    pub commands: Vec<(CommandId, CallId)>,
    /// The device has started.
    pub booted: bool,
}

/// A record with the fingerprint that tells a repeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredCdr {
    /// The record.
    pub cdr: CdrView,
    /// A hash of its content.
    pub fingerprint: u64,
}

/// A device and its calls; see the module. Serialised, it is the head of a cell's snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CellState {
    id: DeviceId,
    /// Count of events.
    sequence: u64,
    /// Restarts of the device that were reported.
    boots: u64,
    booted_at: Option<Timestamp>,
    first_report_at: Option<Timestamp>,
    last_report_at: Option<Timestamp>,
    /// The cell's own time: never goes back, even if the clock does.
    now: Timestamp,
    calls: Vec<Call>,
    ended: VecDeque<Call>,
    /// Calls of which nothing but records came.
    #[serde(default)]
    recorded: VecDeque<Call>,
    /// Records that wait for their call.
    #[serde(default)]
    orphans: VecDeque<Orphan>,
    /// Calls that could not be made, and wait for their records.
    #[serde(default)]
    failures: VecDeque<Failure>,
    /// A DIVERT that was taken for a late one, and when it came.
    #[serde(default)]
    diverted: Option<(CallFact, Timestamp)>,
    records: Vec<u64>,
    /// When extensions want to be woken.
    wakes: Vec<(Timestamp, Text)>,
    /// Trunks that a report proved to be trunks.
    trunks: BTreeSet<Text>,
    /// Commands on their way whose call is not there yet.
    #[serde(default)]
    expected: VecDeque<Expected>,
    /// What the device calls the queues of its groups, as far as that is known.
    #[serde(default)]
    queue_groups: BTreeMap<u32, Text>,
    /// It does not answer.
    #[serde(default)]
    unreachable: bool,
    #[serde(skip)]
    pending: Pending,
    #[serde(skip)]
    doubt: Doubt,
}

/// What is being worked on between `begin` and `finish`.
#[derive(Debug, Clone, Default)]
struct Pending {
    ids: Option<Minter>,
    report: Option<ReportId>,
    fact: Option<Box<CallFact>>,
    /// A report that is looked at once the call that holds its wire id wrongly is ended.
    next: Option<Box<CallFact>>,
    call: Option<CallId>,
    plan: PlanRest,
    is_new: bool,
    round: Round,
    events: Vec<Event>,
    ended: Vec<CallId>,
    ended_views: Vec<CallView>,
    cdrs: Vec<StoredCdr>,
    joined: Vec<StoredCdr>,
    conversations: Vec<Conversation>,
    duplicate: bool,
    /// Suspect legs that extensions named; each becomes a release of its own.
    suspects: Vec<(CallId, LegId)>,
    asked: Vec<Entity>,
    queue_moves: Vec<QueueMove>,
    commands: Vec<(CommandId, CallId)>,
    booted: bool,
}

/// A call enters a queue, or leaves it (for this reason).
#[derive(Debug, Clone)]
struct QueueMove {
    queue: Text,
    left: Option<&'static str>,
    count: Option<u32>,
    call: CallId,
    from: Option<Text>,
    /// The group's number, if the report that causes the move tells it.
    group: Option<u32>,
}

/// What of a plan is still needed once the legs have moved.
#[derive(Debug, Clone, Default)]
struct PlanRest {
    primary: Option<LegId>,
    named: Vec<LegId>,
    over: Option<Text>,
    leaves_queue: Option<&'static str>,
    enters_queue: Option<(Text, Option<u32>)>,
    group_learned: Option<u32>,
    basis: Basis,
    /// Legs as they were before.
    before: Vec<(LegId, Phase)>,
    was_answered: bool,
    /// Who leaves is only presumed to have left: no report of it has come, so none can be late.
    presumed: bool,
    old_trunks: Vec<Text>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Round {
    #[default]
    Idle,
    /// Legs were told.
    Legs,
    /// Extensions, trunks and queues were told.
    Entities,
}

/// Whom to tell what.
pub type Ask = (Entity, Told);

impl CellState {
    /// A device that was never heard of.
    #[must_use]
    pub fn new(id: DeviceId, doubt: Doubt) -> Self {
        Self {
            id,
            sequence: 0,
            boots: 0,
            booted_at: None,
            first_report_at: None,
            last_report_at: None,
            now: Timestamp::default(),
            calls: Vec::new(),
            ended: VecDeque::new(),
            recorded: VecDeque::new(),
            orphans: VecDeque::new(),
            failures: VecDeque::new(),
            diverted: None,
            records: Vec::new(),
            wakes: Vec::new(),
            trunks: BTreeSet::new(),
            expected: VecDeque::new(),
            queue_groups: BTreeMap::new(),
            unreachable: false,
            pending: Pending::default(),
            doubt,
        }
    }

    /// After it was read from a snapshot.
    pub fn set_doubt(&mut self, doubt: Doubt) {
        self.doubt = doubt;
    }

    /// The device's id.
    #[must_use]
    pub fn id(&self) -> &DeviceId {
        &self.id
    }

    /// When its last report came.
    #[must_use]
    pub fn last_report_at(&self) -> Option<Timestamp> {
        self.last_report_at
    }

    /// How often it was reported to have started.
    #[must_use]
    pub fn boots(&self) -> u64 {
        self.boots
    }

    /// When it was last reported to have started.
    #[must_use]
    pub const fn booted_at(&self) -> Option<Timestamp> {
        self.booted_at
    }

    /// Its count of events.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Its live calls.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// A call, live or ended a moment ago.
    #[must_use]
    pub fn call(&self, id: CallId) -> Option<&Call> {
        self.calls.iter().chain(&self.ended).find(|call| call.id == id)
    }

    /// The next point in time at which [`Work::Timers`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let releases = self.calls.iter().flat_map(|call| call.releases.iter().map(|release| release.at));
        let wakes = self.wakes.iter().map(|(at, _)| *at);
        releases.chain(wakes).chain(self.next_conversation()).min()
    }

    /// Starts an input: a report of the device (with its id), or a timer or note of our own.
    pub fn start(&mut self, seed: IdSeed, report: Option<ReportId>) {
        self.now = self.now.max(seed.at);
        self.pending = Pending { ids: Some(Minter::new(seed)), report, ..Pending::default() };
        if report.is_some() {
            self.forget_old();
            if self.first_report_at.is_none() {
                self.first_report_at = Some(self.now);
                self.emit(EventKind::DeviceWentUp, "device".into(), EventData::default());
            }
            self.last_report_at = Some(self.now);
            self.reachable(true);
        }
    }

    /// Ends an input and gives what it caused.
    pub fn finish(&mut self) -> Effects {
        let pending = std::mem::take(&mut self.pending);
        let view = |id: &CallId| {
            self.ended
                .iter()
                .rev()
                .find(|call| call.id == *id)
                .map(|call| call.view(&self.id, Timestamp::default()))
        };
        Effects {
            ended_calls: pending.ended.iter().filter_map(view).chain(pending.ended_views).collect(),
            events: pending.events,
            cdrs: pending.cdrs,
            joined: pending.joined,
            conversations: pending.conversations,
            duplicate: pending.duplicate,
            commands: pending.commands,
            booted: pending.booted,
        }
    }

    /// Begins a piece of work; says whom to tell what.
    pub fn begin(&mut self, work: Work) -> Vec<Ask> {
        match work {
            Work::Fact(Fact::Call(fact)) => self.call_fact(fact),
            Work::Fact(Fact::ExtensionStatus(status)) => self.extension_status(status),
            Work::Fact(Fact::DeviceBooted) => self.booted(),
            Work::Fact(Fact::ConfigChanged { what }) => {
                let data = EventData { reason: what, ..EventData::default() };
                self.emit(EventKind::DeviceConfigChanged, "device".into(), data);
                Vec::new()
            }
            Work::Fact(Fact::Cdr(cdr)) => self.cdr(*cdr, None),
            Work::Fact(Fact::CdrFiled { cdr, call }) => self.cdr(*cdr, Some(call)),
            Work::Fact(Fact::Corrected(correction)) => self.corrected(*correction),
            Work::Fact(Fact::Reachable { reachable }) => {
                self.reachable(reachable);
                Vec::new()
            }
            Work::Fact(Fact::CommandSent(sent)) => {
                self.command_sent(*sent);
                Vec::new()
            }
            Work::Fact(Fact::CommandSettled(settled)) => {
                self.command_settled(*settled);
                Vec::new()
            }
            Work::Fact(Fact::RecordingSettled(settled)) => {
                self.recording_settled(*settled);
                Vec::new()
            }
            Work::Fact(Fact::Unrecognized { name } | Fact::Noted { name }) => {
                let data = EventData { reason: Some(name), ..EventData::default() };
                self.emit(EventKind::ReportUnrecognized, "device".into(), data);
                Vec::new()
            }
            Work::Timers => self.timers(),
        }
    }

    /// Takes the replies to what was told last; says whom to tell what next.
    pub fn take(&mut self, replies: Vec<Reply>) -> Vec<Ask> {
        match self.pending.round {
            Round::Idle => Vec::new(),
            Round::Legs => self.legs_moved(&replies),
            Round::Entities => self.entities_told(replies),
        }
    }

    fn tell(&mut self, round: Round, asks: Vec<Ask>) -> Vec<Ask> {
        self.pending.round = if asks.is_empty() { Round::Idle } else { round };
        self.pending.asked = asks.iter().map(|(entity, _)| entity.clone()).collect();
        asks
    }

    // ---- calls ----------------------------------------------------------------------------------------

    fn call_fact(&mut self, mut fact: Box<CallFact>) -> Vec<Ask> {
        // `<visitor from="" />` beside a ringing telephone says that the exchange rings it for its owner's
        // own call: there is nobody on the other side yet.
        fact.parties.retain(|party| !binding::is_nobody(party));
        let bound = binding::bind(&self.calls, &self.ended, &fact, self.now, &self.doubt);
        match bound {
            Bound::Live(i) => self.plan_for(i, fact, false),
            Bound::Late(i) => {
                self.late(i, &fact);
                Vec::new()
            }
            Bound::Recycled(i) => {
                // The old call is ended first; the report is then looked at again, and is the first of a new
                // call.
                let call = self.calls[i].id;
                self.pending.next = Some(fact);
                self.gap("recycled_id", Some(call));
                self.end_call(i, "superseded", Basis::Inferred)
            }
            Bound::Unknown if creates(&fact) => {
                let id = CallId(self.mint());
                self.calls.push(Call::new(id, self.now));
                self.plan_for(self.calls.len() - 1, fact, true)
            }
            Bound::Unknown => {
                self.announce_without_call(&fact);
                Vec::new()
            }
        }
    }

    /// A late report of an ended call: it changes no state, but may tell what the call's record lacks.
    fn late(&mut self, i: usize, fact: &CallFact) {
        let now = self.now;
        let call = &mut self.ended[i];
        let answered = matches!(fact.happening, Happening::Answered | Happening::PeerAnswered);
        if answered && call.answered_at.is_none() {
            call.answered_at = call.ended_at;
            call.basis = Basis::Inferred;
            let id = call.id;
            self.pending.ended.push(id);
        }
        self.ended[i].saw(fact.happening, now);
        if fact.happening == Happening::Diverted {
            // It may be the first of its caller's next call.
            self.diverted = Some((fact.clone(), now));
        } else {
            self.ended[i].story.heard(fact, now);
        }
        let id = self.ended[i].id;
        self.amend(id);
    }

    fn plan_for(&mut self, i: usize, fact: Box<CallFact>, is_new: bool) -> Vec<Ask> {
        let before = self.calls[i].legs.iter().map(|leg| (leg.id, leg.phase)).collect();
        let was_answered = self.calls[i].answered_at.is_some();
        let old_trunks = self.calls[i].trunks_in_use();
        let mut ids =
            self.pending.ids.take().unwrap_or_else(|| Minter::new(IdSeed { at: self.now, entropy: 0 }));
        let call = &mut self.calls[i];
        let mut planner = Planner { call: &mut *call, ids: &mut ids, now: self.now, doubt: &self.doubt };
        if planner.is_late(&fact) {
            call.saw(fact.happening, self.now);
            self.pending.ids = Some(ids);
            return Vec::new();
        }
        if !matches!(fact.happening, Happening::Ended | Happening::Failed) {
            // News of the call: it is not over, whatever the doubt was.
            planner.call.releases.retain(|release| release.leg.is_some());
        }
        let plan = planner.plan(&fact);
        call.saw(fact.happening, self.now);
        if is_new
            && let Some((diverted, at)) = self.diverted.take_if(|(diverted, _)| names_one_of(diverted, &fact))
            && self.now.since(at) <= self.doubt.overtake
        {
            call.story.heard(&diverted, at);
        }
        call.story.heard(&fact, self.now);
        self.pending.ids = Some(ids);
        if fact.happening == Happening::Diverted {
            self.failed_before(i);
        }
        self.pending.call = Some(self.calls[i].id);
        self.pending.fact = Some(fact);
        self.pending.is_new = is_new;
        let basis = match self.pending.fact.as_deref() {
            Some(CallFact { reconciled: true, .. }) => Basis::Reconciled,
            Some(CallFact { inferred: true, .. }) => Basis::Inferred,
            _ => Basis::Observed,
        };
        self.tell_legs(plan, before, was_answered, old_trunks, basis)
    }

    fn tell_legs(
        &mut self,
        plan: Plan,
        before: Vec<(LegId, Phase)>,
        was_answered: bool,
        old_trunks: Vec<Text>,
        basis: Basis,
    ) -> Vec<Ask> {
        self.pending.plan = PlanRest {
            primary: plan.primary,
            named: plan.moves.iter().map(|(leg, _)| *leg).collect(),
            over: plan.over,
            leaves_queue: plan.leaves_queue,
            enters_queue: plan.enters_queue,
            group_learned: plan.group_learned,
            basis,
            before,
            was_answered,
            presumed: false,
            old_trunks,
        };
        let asks: Vec<Ask> =
            plan.moves.into_iter().map(|(leg, step)| (Entity::Leg(leg), Told::Moved(step))).collect();
        if asks.is_empty() {
            self.pending.round = Round::Legs;
            return self.legs_moved(&[]);
        }
        self.tell(Round::Legs, asks)
    }

    /// The legs have moved: what that makes of the call, and who else must hear of it.
    fn legs_moved(&mut self, replies: &[Reply]) -> Vec<Ask> {
        let asked = std::mem::take(&mut self.pending.asked);
        let Some(i) = self.pending.call.and_then(|id| self.calls.iter().position(|call| call.id == id))
        else {
            return self.tell(Round::Idle, Vec::new());
        };
        let now = self.now;
        let mut rest = std::mem::take(&mut self.pending.plan);
        let call = &mut self.calls[i];
        for (entity, reply) in asked.iter().zip(replies) {
            if let (Entity::Leg(id), Some(phase)) = (entity, reply.phase)
                && let Some(leg) = call.leg_mut(*id)
            {
                leg.phase = phase;
                leg.heard_at = if rest.presumed { Timestamp::default() } else { now };
            }
        }
        if call.live_legs().all(|leg| leg.kind == LegKind::Menu) && rest.over.is_none() {
            rest.over = Some(Text::const_new("hangup"));
            if call.queue.is_some() {
                rest.leaves_queue = rest.leaves_queue.or(Some("unknown"));
            }
            rest.enters_queue = None;
        }
        let left_queue = rest.leaves_queue.and_then(|reason| call.queue.take().map(|queue| (queue, reason)));
        if let Some((queue, _)) = &rest.enters_queue {
            call.queue = Some(queue.clone());
        }
        if let Some(reason) = &rest.over {
            call.ended_at = Some(now);
            call.end_reason = Some(reason.clone());
            call.releases.clear();
        }
        let talks =
            call.live_legs().filter(|leg| leg.kind != LegKind::Menu && leg.phase == Phase::Talking).count();
        let rings = call.live_legs().any(|leg| leg.phase == Phase::Ringing);
        if rings && call.rang_at.is_none() {
            call.rang_at = Some(now);
        }
        let answers = self.pending.fact.as_ref().is_some_and(|fact| {
            matches!(fact.happening, Happening::Answered | Happening::PeerAnswered | Happening::Mentioned)
        });
        // Whom a menu calls talks with nobody else.
        let by_menu = talks == 1 && call.is_of_menu();
        let newly_answered = call.answered_at.is_none() && (talks >= 2 || by_menu) && answers;
        if newly_answered {
            call.answered_at = Some(now);
        }
        call.basis = rest.basis;
        call.evaluate();
        conversation::follow(call, &rest.before, now, newly_answered);
        self.find_command(i);
        let asks = self.tell_of_call(i, &rest, left_queue);
        self.announce(i, &rest);
        if rest.over.is_some() {
            self.bury(i);
        }
        if asks.is_empty() {
            self.pending.round = Round::Idle;
            return self.next_suspect();
        }
        self.tell(Round::Entities, asks)
    }

    /// Extensions whose leg moved, the trunk, the queue.
    fn tell_of_call(
        &mut self,
        i: usize,
        rest: &PlanRest,
        left_queue: Option<(Text, &'static str)>,
    ) -> Vec<Ask> {
        let call = &self.calls[i];
        let (id, basis) = (call.id, rest.basis);
        let was = |leg: LegId| rest.before.iter().find(|(before, _)| *before == leg).map(|(_, phase)| *phase);
        // A telephone that passes its call on is named, but on its way out.
        let passes_on =
            |fact: &CallFact| matches!(fact.happening, Happening::Transferred | Happening::Diverted);
        let leaving = self.pending.fact.as_ref().is_some_and(|fact| passes_on(fact));
        let mut asks = Vec::new();
        for leg in call.legs.iter().filter(|leg| leg.kind == LegKind::Extension) {
            let (Some(number), phase) = (&leg.number, leg.phase) else { continue };
            // Named again: news of the leg, even if its phase is the same. Came and went: no news.
            let named_again = !leaving && rest.named.contains(&leg.id) && phase.is_live();
            let passed_by = was(leg.id).is_none() && phase == Phase::Gone;
            if (was(leg.id) != Some(phase) || named_again) && !passed_by {
                asks.push((
                    Entity::Extension(number.clone()),
                    Told::LegMoved { call: id, leg: leg.id, phase, basis },
                ));
            }
        }
        let trunks = call.trunks_in_use();
        for trunk in rest.old_trunks.iter().filter(|trunk| !trunks.contains(trunk)) {
            asks.push((Entity::Trunk(trunk.clone()), Told::Released { call: id }));
        }
        for trunk in trunks.into_iter().filter(|trunk| !rest.old_trunks.contains(trunk)) {
            asks.push((Entity::Trunk(trunk), Told::Seized { call: id }));
        }
        let from = call.from();
        let mut learned = None;
        if let Some((queue, reason)) = left_queue {
            asks.push((Entity::Queue(queue.clone()), Told::CallLeft { call: id }));
            if let Some(group) = rest.group_learned {
                asks.push((Entity::Queue(queue.clone()), Told::GroupLearned { group }));
                learned = Some((group, queue.clone()));
            }
            let from = from.clone();
            self.pending.queue_moves.push(QueueMove {
                queue,
                left: Some(reason),
                count: None,
                call: id,
                from,
                group: rest.group_learned,
            });
        }
        if let Some((queue, count)) = rest.enters_queue.clone() {
            let entered = Told::CallEntered { call: id, from: from.clone(), count };
            asks.push((Entity::Queue(queue.clone()), entered));
            self.pending.queue_moves.push(QueueMove {
                queue,
                left: None,
                count,
                call: id,
                from,
                group: None,
            });
        }
        self.queue_groups.extend(learned);
        asks
    }

    /// The entities have taken it: their events, their wishes to be woken, what they suspect.
    fn entities_told(&mut self, replies: Vec<Reply>) -> Vec<Ask> {
        let asked = std::mem::take(&mut self.pending.asked);
        for (entity, reply) in asked.into_iter().zip(replies) {
            for Draft { kind, subject, data } in reply.drafts {
                self.emit(kind, subject, data);
            }
            if let Entity::Extension(number) = &entity {
                self.wake(number, reply.deadline);
                self.pending.suspects.extend(reply.suspects);
                if let Some((call, leg)) = reply.picked_up.last() {
                    self.pending.next = self.picked_up(*call, *leg);
                }
            }
            if let Entity::Queue(queue) = &entity {
                self.announce_queue(queue, reply.waited, reply.group);
            }
        }
        self.pending.round = Round::Idle;
        self.next_suspect()
    }

    /// What a report would say of a call that a telephone picked up without one.
    fn picked_up(&self, call: CallId, leg: LegId) -> Option<Box<CallFact>> {
        let call = self.calls.iter().find(|c| c.id == call)?;
        let ringing = call.live_legs().filter(|l| l.id == leg);
        let others = call.live_legs().filter(|l| l.id != leg && l.phase != Phase::Ringing);
        let party = |leg: &LegState| {
            let number = leg.number.clone();
            let outside = || OutsideParty { id: leg.wire_id.clone(), ..OutsideParty::default() };
            match leg.kind {
                LegKind::Extension => number.map(Party::extension),
                LegKind::Visitor => Some(Party::Visitor(OutsideParty { from: number, ..outside() })),
                LegKind::Outer => Some(Party::Outer(OutsideParty { to: number, ..outside() })),
                LegKind::Menu => None,
            }
        };
        let parties = ringing.chain(others).filter_map(party).collect();
        let fact =
            CallFact { key: call.key.clone(), inferred: true, ..CallFact::new(Happening::Answered, parties) };
        Some(Box::new(fact))
    }

    fn wake(&mut self, number: &Text, deadline: Deadline) {
        match deadline {
            Deadline::Unchanged => {}
            Deadline::Never => self.wakes.retain(|(_, of)| of != number),
            Deadline::At(at) => {
                self.wakes.retain(|(_, of)| of != number);
                self.wakes.push((at, number.clone()));
            }
        }
    }

    /// A telephone that says it is idle, beside a call that nobody ended: the leg is taken to be over. Then,
    /// if a report waits for its wire id to be free again, that report.
    fn next_suspect(&mut self) -> Vec<Ask> {
        while let Some((call, leg)) = self.pending.suspects.pop() {
            let asks = self.release(call, Some(leg), "silence", "bye_missing");
            if !asks.is_empty() {
                return asks;
            }
        }
        match self.pending.next.take() {
            Some(fact) => self.call_fact(fact),
            None => Vec::new(),
        }
    }

    fn end_call(&mut self, i: usize, reason: &'static str, basis: Basis) -> Vec<Ask> {
        let now = self.now;
        let before = self.calls[i].legs.iter().map(|leg| (leg.id, leg.phase)).collect();
        let (was_answered, trunks) = (self.calls[i].answered_at.is_some(), self.calls[i].trunks_in_use());
        let mut plan = Plan::default();
        let mut ids = Minter::new(IdSeed { at: now, entropy: 0 });
        Planner { call: &mut self.calls[i], ids: &mut ids, now, doubt: &self.doubt }
            .all_leave(reason, basis, &mut plan);
        self.pending.call = Some(self.calls[i].id);
        self.tell_legs(plan, before, was_answered, trunks, basis)
    }

    fn release(
        &mut self,
        call: CallId,
        leg: Option<LegId>,
        reason: &'static str,
        gap: &'static str,
    ) -> Vec<Ask> {
        let Some(i) = self.calls.iter().position(|c| c.id == call) else { return Vec::new() };
        self.calls[i].releases.retain(|release| release.leg != leg);
        let Some(leg) = leg else {
            if gap != "none" {
                self.gap(gap, Some(call));
            }
            return self.end_call(i, reason, Basis::Inferred);
        };
        let rang = self.calls[i].live_legs().any(|l| l.id == leg && l.phase == Phase::Ringing);
        let rest: Vec<LegKind> = self.calls[i]
            .live_legs()
            .filter(|l| l.id != leg && l.kind != LegKind::Menu)
            .map(|l| l.kind)
            .collect();
        // A telephone that rang in vain leaves its caller waiting, for the next one perhaps.
        let from_queue = self.calls[i].last_seen(Happening::Queued).is_some();
        let caller_waits = rang && (rest.contains(&LegKind::Visitor) || from_queue);
        if rest.len() <= 1 && !caller_waits {
            if gap != "none" {
                self.gap(gap, Some(call));
            }
            return self.end_call(i, reason, Basis::Inferred);
        }
        let before = self.calls[i].legs.iter().map(|l| (l.id, l.phase)).collect();
        let (was_answered, trunks) = (self.calls[i].answered_at.is_some(), self.calls[i].trunks_in_use());
        let gone = LegMove { phase: Some(Phase::Gone), basis: Basis::Inferred, ..LegMove::default() };
        let plan = Plan { moves: vec![(leg, gone)], ..Plan::default() };
        self.pending.call = Some(call);
        let asks = self.tell_legs(plan, before, was_answered, trunks, Basis::Inferred);
        self.pending.plan.presumed = true;
        asks
    }

    fn bury(&mut self, i: usize) {
        let mut call = self.calls.remove(i);
        call.story.ended(self.now);
        self.pending.ended.push(call.id);
        if self.ended.len() >= ENDED_KEPT
            && let Some(oldest) = self.ended.pop_front()
        {
            self.forget(oldest);
        }
        self.ended.push_back(call);
        self.pending.call = None;
        self.pending.fact = None;
    }

    fn forget_old(&mut self) {
        // They ended in this order.
        let expired = |call: &Call| call.ended_at.is_none_or(|at| self.now.since(at) > REMEMBER_ENDED);
        let (ended, recorded) = (&self.ended, &self.recorded);
        let (old, older) = (
            ended.iter().take_while(|c| expired(c)).count(),
            recorded.iter().take_while(|c| expired(c)).count(),
        );
        let gone: Vec<Call> = self.ended.drain(..old).chain(self.recorded.drain(..older)).collect();
        for call in gone {
            self.forget(call);
        }
    }

    fn emit(&mut self, kind: EventKind, subject: Text, mut data: EventData) {
        self.sequence += 1;
        data.report = self.pending.report;
        let id = EventId(self.mint());
        let (device, at, sequence) = (self.id.clone(), self.now, self.sequence);
        self.pending.events.push(Event { id, device, kind, at, sequence, subject, data });
    }

    fn mint(&mut self) -> uuid::Uuid {
        let now = self.now;
        self.pending.ids.get_or_insert_with(|| Minter::new(IdSeed { at: now, entropy: 0 })).mint()
    }

    // ---- extensions, the device itself, timers --------------------------------------------------------

    fn extension_status(&mut self, status: ExtensionStatus) -> Vec<Ask> {
        let told = Told::LineReported { status: status.status, address: status.address };
        self.tell(Round::Entities, vec![(Entity::Extension(status.extension), told)])
    }

    /// The device started: whatever was live is over, without a report of it.
    fn booted(&mut self) -> Vec<Ask> {
        if self.booted_at.is_some_and(|at| self.now.since(at) <= BOOT_REPEAT) {
            return Vec::new();
        }
        self.boots += 1;
        self.pending.booted = true;
        self.booted_at = Some(self.now);
        self.wakes.clear();
        self.emit(EventKind::DeviceBooted, "device".into(), EventData::default());
        let mut asks = Vec::new();
        for call in std::mem::take(&mut self.calls) {
            asks.extend(self.cut_off(call));
        }
        asks.push((Entity::Everyone, Told::DeviceRestarted));
        self.tell(Round::Entities, asks)
    }

    fn cut_off(&mut self, mut call: Call) -> Vec<Ask> {
        let mut asks = Vec::new();
        for leg in call.legs.iter_mut().filter(|leg| leg.phase.is_live()) {
            leg.phase = Phase::Gone;
            leg.basis = Basis::Inferred;
            let gone = LegMove { phase: Some(Phase::Gone), basis: Basis::Inferred, ..LegMove::default() };
            asks.push((Entity::Leg(leg.id), Told::Moved(gone)));
        }
        if let Some(queue) = call.queue.take() {
            asks.push((Entity::Queue(queue.clone()), Told::CallLeft { call: call.id }));
            let (call, from) = (call.id, call.from());
            let left = Some("unknown");
            self.pending.queue_moves.push(QueueMove { queue, left, count: None, call, from, group: None });
        }
        call.ended_at = Some(self.now);
        call.end_reason = Some(Text::const_new("reboot"));
        call.basis = Basis::Inferred;
        call.releases.clear();
        call.evaluate();
        self.calls.push(call);
        let i = self.calls.len() - 1;
        let rest = PlanRest { over: Some("reboot".into()), basis: Basis::Inferred, ..PlanRest::default() };
        self.announce_end(i, &rest);
        self.bury(i);
        asks
    }

    fn timers(&mut self) -> Vec<Ask> {
        let now = self.now;
        if let Some(w) = self.wakes.iter().position(|(at, _)| *at <= now) {
            let (_, number) = self.wakes.remove(w);
            return self.tell(Round::Entities, vec![(Entity::Extension(number), Told::DoubtExpired)]);
        }
        if self.complete() {
            return Vec::new();
        }
        let due = self.calls.iter().find_map(|call| {
            call.releases.iter().find(|release| release.at <= now).map(|release| (call.id, release.clone()))
        });
        let Some((call, release)) = due else { return Vec::new() };
        match release.reason.as_str() {
            // The other party released and this one was heard of no more: an ordinary end.
            "hangup" => self.release(call, release.leg, "hangup", "none"),
            _ => self.release(call, release.leg, "record", "bye_missing"),
        }
    }

    /// A leg as its call knows it, to make its actor from.
    #[must_use]
    pub fn leg(&self, id: LegId) -> Option<LegState> {
        let calls = self.calls.iter().rev().chain(self.ended.iter().rev());
        calls.flat_map(|call| &call.legs).find(|leg| leg.id == id).cloned()
    }

    /// Is there a timer due at this time?
    #[must_use]
    pub fn has_due(&self, at: Timestamp) -> bool {
        self.next_deadline().is_some_and(|deadline| deadline <= at.max(self.now))
    }
}

/// Has the report an extension in it that the other names?
fn names_one_of(one: &CallFact, other: &CallFact) -> bool {
    binding::extensions(one).any(|number| binding::extensions(other).any(|named| named == number))
}

/// Does a report of this kind begin a call when none is known?
fn creates(fact: &CallFact) -> bool {
    let somebody = fact.parties.iter().any(|party| !matches!(party, Party::Menu { .. }));
    somebody && !matches!(fact.happening, Happening::Failed | Happening::QueueRefused | Happening::Surveyed)
}
