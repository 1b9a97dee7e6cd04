//! The actor: takes a report, drives the state with real entities, hands the effects on.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::fact::{Correction, Fact};
use switchroom_domain::id::{DeviceId, IdSeed, LegId, Minter};
use switchroom_domain::outcome::Outcome;
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_domain::view::{
    CallView, ExtensionState as ExtensionShown, ExtensionView, GroupView, LegKind, TrunkView,
};

use super::call::Call;
use super::messages::{
    Compare, DeviceStatus, Doubts, GetCalls, GetDoubts, GetExtensions, GetGroups, GetStatus, GetTrunks,
    Retire, WriteDown,
};
use super::state::reconcile::About;
use super::state::{Ask, CellState, Effects, Work};
use crate::call_leg::CallLeg;
use crate::census::CellCount;
use crate::entity::{Doubt, Entity, Reply, Told};
use crate::extension::{Extension, ExtensionState};
use crate::group_queue::{GroupQueue, QueueState};
use crate::ingress::{Delivery, Parcel};
use crate::ports::{Entry, INTERNAL, LoadedCell, Ports, RawReport, Record, SealedEvent};
use crate::reconcile::state::Question;
use crate::recorder::{Commit, Recorder};
use crate::shell::{EntityState, Observe, Shell, TakeSnapshot, Tell};
use crate::supervision::{Applying, CellDied, DeathNotice};
use crate::trunk::{Trunk, TrunkState};

/// Bound of the mailbox: a burst of one exchange (all of its telephones reporting at once) fits; what does
/// not waits at the ingress, which counts what it has put in: actix refuses nobody who comes with an address of
/// their own.
pub(crate) const MAILBOX: usize = 512;
/// How long after its first change a cell is written down.
const SNAPSHOT_AFTER: Duration = Duration::from_secs(20);

/// How a device is to be treated.
#[derive(Debug, Clone, Copy)]
pub struct DeviceSettings {
    /// How doubtful reports are weighed.
    pub doubt: Doubt,
    /// After this silence everything known of it is stale.
    pub silence: Millis,
}

impl Default for DeviceSettings {
    fn default() -> Self {
        Self { doubt: Doubt::default(), silence: Millis::from_secs(1800) }
    }
}

/// A device; see the module.
pub struct Device {
    cell: Rc<RefCell<Cell>>,
    recorder: Addr<Recorder>,
    timer: Option<(Timestamp, SpawnHandle)>,
    snapshot_due: bool,
    death: DeathNotice,
    /// What was logged after the snapshot; run before anything else.
    replay: Vec<Entry>,
}

/// Everything of the cell that lives in this process.
struct Cell {
    state: CellState,
    settings: DeviceSettings,
    extensions: HashMap<Text, Addr<Extension>>,
    trunks: HashMap<Text, Addr<Trunk>>,
    queues: HashMap<Text, Addr<GroupQueue>>,
    legs: HashMap<LegId, Addr<CallLeg>>,
    count: CellCount,
    ports: Ports,
    /// What was heard before is stale: the cell was not there to hear what came after it.
    resumed_at: Timestamp,
    applied: u64,
    dirty: bool,
}

/// Where the entities of a cell live, by number.
type Addresses = (Vec<Addr<Extension>>, Vec<Addr<Trunk>>, Vec<Addr<GroupQueue>>);

/// A cell, written down.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    state: CellState,
    extensions: Vec<ExtensionState>,
    trunks: Vec<TrunkState>,
    queues: Vec<QueueState>,
}

/// An entity of the cell has died: so has the cell.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("an actor of the cell has died: {0}")]
struct EntityDied(&'static str);

impl Device {
    /// Starts a device's cell on this arbiter: new, or as the store has it.
    pub fn start_here(
        id: DeviceId,
        settings: DeviceSettings,
        ports: Ports,
        recorder: Addr<Recorder>,
        loaded: LoadedCell,
        (life, supervisor): (u64, Recipient<CellDied>),
    ) -> Addr<Self> {
        Self::create(move |ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            let death = DeathNotice::new(id.clone(), life, supervisor);
            let resumed = loaded.snapshot.is_some() || !loaded.log.is_empty();
            let resumed_at = if resumed { ports.clock.now() } else { Timestamp::default() };
            let cell = Cell::new(id, settings, ports, loaded.snapshot.as_deref(), resumed_at);
            let cell = Rc::new(RefCell::new(cell));
            Self { cell, recorder, timer: None, snapshot_due: false, death, replay: loaded.log }
        })
    }

    /// Drives one input through the cell, then hands on what it caused.
    fn apply(&mut self, input: Input) -> ResponseActFuture<Self, ()> {
        let cell = Rc::clone(&self.cell);
        let Input { seed, report, facts, received, ack } = input;
        let work = async move {
            let alone = facts.len() <= 1;
            (drive(&cell, seed, report, facts).await, alone)
        };
        Box::pin(work.into_actor(self).map(move |(effects, alone), device, ctx| match effects {
            Ok(effects) => {
                // A repeat that did nothing else is not logged again; beside anything else it is, or that
                // would be missing when the log is run.
                let logged = !(effects.duplicate && alone && effects.events.is_empty());
                device.hand_on(effects, (seed, logged), received, ack, ctx);
            }
            Err(EntityDied(actor)) => device.die(actor, ctx),
        }))
    }

    fn die(&mut self, actor: &'static str, ctx: &mut Context<Self>) {
        self.death.because(actor);
        ctx.stop();
    }

    fn hand_on(
        &mut self,
        effects: Effects,
        (seed, logged): (IdSeed, bool),
        received: Instant,
        ack: Option<tokio::sync::oneshot::Sender<()>>,
        ctx: &mut Context<Self>,
    ) {
        let duplicate = effects.duplicate;
        self.cell.borrow_mut().settle(&effects);
        if effects.booted {
            let cell = self.cell.borrow();
            cell.ports.news.booted(cell.state.id());
        }
        for (command, call) in &effects.commands {
            let cell = self.cell.borrow();
            cell.ports.news.call_found(cell.state.id(), *command, *call);
        }
        let events = effects.events.into_iter().map(SealedEvent::new).collect();
        let outcome = if duplicate { Outcome::Duplicate } else { Outcome::Accepted };
        let observer = Arc::clone(&self.cell.borrow().ports.observer);
        self.death.report(|raw| observer.report(raw.dialect, &raw.name, outcome));
        let entry = match self.death.done() {
            Some(Applying::Report(raw)) => Entry::Report(*raw),
            _ => Entry::Timer(seed),
        };
        let record = Record {
            device: self.cell.borrow().state.id().clone(),
            entry: logged.then_some(entry),
            events,
            ended_calls: effects.ended_calls,
            cdrs: effects.cdrs,
            joined: effects.joined,
            conversations: effects.conversations,
            snapshot: None,
            received,
            ack,
        };
        self.record(record, ctx);
        self.schedule(ctx);
        self.write_down_later(ctx);
    }

    /// Has the cell written down a while after its first change.
    fn write_down_later(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.snapshot_due, true) {
            return;
        }
        ctx.run_later(SNAPSHOT_AFTER, |_, ctx| {
            // Through the device's own mailbox, so that it comes in turn.
            if ctx.address().try_send(WriteDown).is_err() {
                tracing::debug!("a cell ends before it is written down");
            }
        });
    }

    /// To the recorder; if its mailbox is full this device takes nothing more until there is room.
    fn record(&self, record: Record, ctx: &mut Context<Self>) {
        match self.recorder.try_send(Commit(Box::new(record))) {
            Ok(()) => {}
            Err(SendError::Full(commit) | SendError::Closed(commit)) => {
                let sent = self.recorder.send(commit);
                ctx.wait(sent.into_actor(self).map(|sent, _, _| {
                    if sent.is_err() {
                        tracing::error!("the recorder is gone; a record was not committed");
                    }
                }));
            }
        }
    }

    /// Wakes the cell at its next deadline.
    fn schedule(&mut self, ctx: &mut Context<Self>) {
        let next = self.cell.borrow().state.next_deadline();
        if self.timer.as_ref().map(|(at, _)| *at) == next {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(at) = next else { return };
        let wait = at.since(self.cell.borrow().ports.clock.now()).0.max(0) as u64;
        let handle = ctx.run_later(Duration::from_millis(wait), |device, ctx| {
            device.timer = None;
            if ctx.address().try_send(DeadlineCame).is_err() {
                tracing::debug!("a cell ends before its deadline");
            }
        });
        self.timer = Some((at, handle));
    }
}

/// One input for a cell.
struct Input {
    seed: IdSeed,
    report: Option<switchroom_domain::id::ReportId>,
    facts: Vec<Fact>,
    received: Instant,
    ack: Option<tokio::sync::oneshot::Sender<()>>,
}

/// A deadline that the state asked for has come.
#[derive(Message)]
#[rtype(result = "()")]
struct DeadlineCame;

impl Actor for Device {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let log = std::mem::take(&mut self.replay);
        if !log.is_empty() {
            // Or what is run again now would be run again at every start.
            self.write_down_later(ctx);
        }
        let cell = Rc::clone(&self.cell);
        let death = self.death.clone();
        let replay = async move { replay(&cell, log, &death).await };
        ctx.wait(replay.into_actor(self).map(|done, device, ctx| match done {
            Ok(()) => {
                device.death.applying(None);
                device.schedule(ctx);
            }
            Err(EntityDied(actor)) => device.die(actor, ctx),
        }));
    }
}

impl Handler<Delivery> for Device {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, delivery: Delivery, _: &mut Self::Context) -> Self::Result {
        let Some(parcel) = delivery.take() else {
            return AtomicResponse::new(Box::pin(fut::ready(())));
        };
        let Parcel { raw, facts, received, ack, .. } = *parcel;
        let seed = raw.seed;
        let report = report_id(&raw);
        self.death.applying(Some(Applying::Report(Box::new(raw))));
        let input = Input { seed, report, facts, received, ack };
        AtomicResponse::new(self.apply(input))
    }
}

/// The report's id; none for a note of our own.
fn report_id(raw: &RawReport) -> Option<switchroom_domain::id::ReportId> {
    (raw.dialect != INTERNAL).then(|| Minter::report_id(raw.seed))
}

impl Handler<DeadlineCame> for Device {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: DeadlineCame, _: &mut Self::Context) -> Self::Result {
        let at = self.cell.borrow().ports.clock.now();
        let entropy = {
            let cell = self.cell.borrow();
            // Two devices may come to a deadline in the same millisecond, and one device to two.
            cell.state.id().stable_hash() ^ cell.applied.rotate_left(32) ^ at.0.cast_unsigned()
        };
        let seed = IdSeed { at, entropy };
        let input = Input { seed, report: None, facts: Vec::new(), received: Instant::now(), ack: None };
        AtomicResponse::new(self.apply(input))
    }
}

/// Runs an input through the state and its entities until nothing is left to tell.
async fn drive(
    cell: &Rc<RefCell<Cell>>,
    seed: IdSeed,
    report: Option<switchroom_domain::id::ReportId>,
    facts: Vec<Fact>,
) -> Result<Effects, EntityDied> {
    cell.borrow_mut().state.start(seed, report);
    // Each round takes at least one deadline away; the bound only guards against a mistake in that.
    for _ in 0..10_000 {
        if !cell.borrow().state.has_due(seed.at) {
            break;
        }
        work(cell, seed.at, Work::Timers).await?;
    }
    for fact in facts {
        work(cell, seed.at, Work::Fact(fact)).await?;
    }
    Ok(cell.borrow_mut().state.finish())
}

async fn work(cell: &Rc<RefCell<Cell>>, now: Timestamp, work: Work) -> Result<(), EntityDied> {
    let mut asks = cell.borrow_mut().state.begin(work);
    while !asks.is_empty() {
        // All are told before the first reply is waited for: entities do not know each other, and one that is told
        // twice is told in this order.
        let told: Vec<_> = asks.into_iter().map(|ask| tell(cell, now, ask)).collect();
        let mut replies = Vec::with_capacity(told.len());
        for told in told {
            replies.push(told.reply(cell, now).await?);
        }
        asks = cell.borrow_mut().state.take(replies);
    }
    Ok(())
}

/// An entity was told; its reply is to come.
enum Asked {
    Extension(Request<Extension, Tell>),
    Trunk(Request<Trunk, Tell>),
    Queue(Request<GroupQueue, Tell>),
    Leg(Request<CallLeg, Tell>),
    /// Told one by one, when its turn comes.
    Everyone(Doubt, Told),
    Nobody,
}

/// Tells an entity, starting it if this is the first that is heard of it.
fn tell(cell: &Rc<RefCell<Cell>>, now: Timestamp, (entity, told): Ask) -> Asked {
    let mut cell = cell.borrow_mut();
    let doubt = cell.settings.doubt;
    let tell = Tell { now, doubt, told };
    match entity {
        Entity::Extension(number) => Asked::Extension(cell.extension(number).send(tell)),
        Entity::Trunk(number) => match cell.trunk(number) {
            Some(trunk) => Asked::Trunk(trunk.send(tell)),
            None => Asked::Nobody,
        },
        Entity::Queue(id) => Asked::Queue(cell.queue(id).send(tell)),
        Entity::Leg(id) => match cell.leg(id) {
            Some(leg) => Asked::Leg(leg.send(tell)),
            None => Asked::Nobody,
        },
        Entity::Everyone => Asked::Everyone(doubt, tell.told),
    }
}

impl Asked {
    async fn reply(self, cell: &Rc<RefCell<Cell>>, now: Timestamp) -> Result<Reply, EntityDied> {
        match self {
            Self::Extension(asked) => {
                let reply = asked.await.map_err(|_| EntityDied("extension"))?;
                count(reply.class, |class, by| cell.borrow_mut().count.extensions(class, by));
                Ok(reply)
            }
            Self::Trunk(asked) => {
                let reply = asked.await.map_err(|_| EntityDied("trunk"))?;
                count(reply.class, |class, by| cell.borrow_mut().count.trunks(class, by));
                Ok(reply)
            }
            Self::Queue(asked) => {
                let reply = asked.await.map_err(|_| EntityDied("group_queue"))?;
                if let Some((before, after)) = reply.class {
                    cell.borrow_mut().count.waiting(i64::from(after) - i64::from(before));
                }
                Ok(reply)
            }
            Self::Leg(asked) => asked.await.map_err(|_| EntityDied("call_leg")),
            Self::Everyone(doubt, told) => tell_everyone(cell, now, doubt, &told).await,
            Self::Nobody => Ok(Reply::default()),
        }
    }
}

/// Tells every extension, trunk and queue, one after the other: there may be thousands.
async fn tell_everyone(
    cell: &Rc<RefCell<Cell>>,
    now: Timestamp,
    doubt: Doubt,
    told: &Told,
) -> Result<Reply, EntityDied> {
    let (extensions, trunks, queues) = cell.borrow().addresses();
    let tell = || Tell { now, doubt, told: told.clone() };
    let mut all = Reply::default();
    for addr in extensions {
        all.join(Box::pin(Asked::Extension(addr.send(tell())).reply(cell, now)).await?);
    }
    for addr in trunks {
        all.join(Box::pin(Asked::Trunk(addr.send(tell())).reply(cell, now)).await?);
    }
    for addr in queues {
        all.join(Box::pin(Asked::Queue(addr.send(tell())).reply(cell, now)).await?);
    }
    Ok(all)
}

fn count(class: Option<(u8, u8)>, mut shift: impl FnMut(u8, i64)) {
    if let Some((before, after)) = class {
        shift(before, -1);
        shift(after, 1);
    }
}

/// Runs what was logged after the snapshot. Its effects were committed with it, so nothing is handed on.
async fn replay(cell: &Rc<RefCell<Cell>>, log: Vec<Entry>, death: &DeathNotice) -> Result<(), EntityDied> {
    for entry in log {
        let (seed, report, facts) = match &entry {
            Entry::Report(raw) => {
                let (interpreter, id) = {
                    let cell = cell.borrow();
                    (Arc::clone(&cell.ports.interpreter), cell.state.id().clone())
                };
                (raw.seed, report_id(raw), interpreter.facts(&id, raw))
            }
            Entry::Timer(seed) => (*seed, None, Vec::new()),
        };
        death.applying(Some(Applying::Logged(seed)));
        let effects = drive(cell, seed, report, facts).await?;
        cell.borrow_mut().settle(&effects);
    }
    Ok(())
}

impl Cell {
    fn new(
        id: DeviceId,
        settings: DeviceSettings,
        ports: Ports,
        snapshot: Option<&[u8]>,
        resumed_at: Timestamp,
    ) -> Self {
        let count = CellCount::new(id.clone(), Arc::clone(&ports.census));
        let mut cell = Self {
            state: CellState::new(id, settings.doubt),
            settings,
            extensions: HashMap::new(),
            trunks: HashMap::new(),
            queues: HashMap::new(),
            legs: HashMap::new(),
            count,
            ports,
            resumed_at,
            applied: 0,
            dirty: false,
        };
        match snapshot.map(serde_json::from_slice::<Snapshot>) {
            Some(Ok(snapshot)) => cell.resume(snapshot),
            Some(Err(error)) => {
                tracing::error!(device.id = %cell.state.id(), %error, "a snapshot cannot be read; the cell starts empty");
            }
            None => {}
        }
        cell
    }

    fn resume(&mut self, snapshot: Snapshot) {
        let Snapshot { mut state, extensions, trunks, queues } = snapshot;
        state.set_doubt(self.settings.doubt);
        self.extensions.reserve(extensions.len());
        for extension in extensions {
            self.count.extensions(extension.class(), 1);
            self.extensions.insert(extension.number().clone(), Shell::new(extension).start());
        }
        for trunk in trunks {
            self.count.trunks(trunk.class(), 1);
            self.trunks.insert(trunk.number().clone(), Shell::new(trunk).start());
        }
        for queue in queues {
            self.count.queues(1);
            self.count.waiting(i64::from(queue.class()));
            self.queues.insert(queue.id().clone(), Shell::new(queue).start());
        }
        for call in state.calls() {
            for leg in call.live_legs() {
                self.count.legs(1);
                self.legs.insert(leg.id, Shell::new(leg.clone()).start());
            }
        }
        self.state = state;
        self.recount_calls();
        self.tell_vitals();
    }

    fn extension(&mut self, number: Text) -> Addr<Extension> {
        if let Some(addr) = self.extensions.get(&number) {
            return addr.clone();
        }
        let state = ExtensionState::new(number.clone());
        self.count.extensions(state.class(), 1);
        let addr = Shell::new(state).start();
        self.extensions.insert(number, addr.clone());
        addr
    }

    /// None when the number is an extension's: some reports put one where a trunk would stand.
    fn trunk(&mut self, number: Text) -> Option<Addr<Trunk>> {
        if let Some(addr) = self.trunks.get(&number) {
            return Some(addr.clone());
        }
        if self.extensions.contains_key(&number) {
            return None;
        }
        let state = TrunkState::new(number.clone());
        self.count.trunks(state.class(), 1);
        let addr = Shell::new(state).start();
        self.trunks.insert(number, addr.clone());
        Some(addr)
    }

    fn queue(&mut self, id: Text) -> Addr<GroupQueue> {
        if let Some(addr) = self.queues.get(&id) {
            return addr.clone();
        }
        self.count.queues(1);
        let addr = Shell::new(QueueState::new(id.clone())).start();
        self.queues.insert(id, addr.clone());
        addr
    }

    fn leg(&mut self, id: LegId) -> Option<Addr<CallLeg>> {
        if let Some(addr) = self.legs.get(&id) {
            return Some(addr.clone());
        }
        let leg = self.state.leg(id)?;
        self.count.legs(1);
        let addr = Shell::new(leg).start();
        self.legs.insert(id, addr.clone());
        Some(addr)
    }

    fn addresses(&self) -> Addresses {
        // By number, so that the order of their events is the same whenever the log is run again.
        let mut numbers: Vec<_> = self.extensions.iter().collect();
        numbers.sort_by(|a, b| a.0.cmp(b.0));
        let mut trunks: Vec<_> = self.trunks.iter().collect();
        trunks.sort_by(|a, b| a.0.cmp(b.0));
        let mut queues: Vec<_> = self.queues.iter().collect();
        queues.sort_by(|a, b| a.0.cmp(b.0));
        (
            numbers.into_iter().map(|(_, addr)| addr.clone()).collect(),
            trunks.into_iter().map(|(_, addr)| addr.clone()).collect(),
            queues.into_iter().map(|(_, addr)| addr.clone()).collect(),
        )
    }

    /// After an input: legs that are over stop, counts follow.
    fn settle(&mut self, effects: &Effects) {
        self.applied += 1;
        self.dirty = true;
        for call in &effects.ended_calls {
            for leg in &call.legs {
                // Dropping the only address stops the actor.
                if self.legs.remove(&leg.id).is_some() {
                    self.count.legs(-1);
                }
            }
        }
        self.recount_calls();
        self.tell_vitals();
    }

    fn tell_vitals(&self) {
        let state = &self.state;
        self.count.heard(state.last_report_at(), state.boots(), state.is_unreachable());
    }

    fn recount_calls(&mut self) {
        let mut by_direction = [0_i64; 4];
        for call in self.state.calls() {
            by_direction[call.direction as usize] += 1;
        }
        self.count.set_calls(by_direction);
    }

    /// What was heard before this is stale.
    fn fresh_from(&self) -> Timestamp {
        let now = self.ports.clock.now();
        let silent = self.state.last_report_at().is_none_or(|at| now.since(at) > self.settings.silence);
        if silent { now } else { self.resumed_at }
    }

    fn status(&self) -> DeviceStatus {
        DeviceStatus {
            last_report_at: self.state.last_report_at(),
            boots: self.state.boots(),
            sequence: self.state.sequence(),
            extensions: self.extensions.len(),
            trunks: self.trunks.len(),
            calls: self.state.calls().len(),
            unreachable: self.state.is_unreachable(),
            booted_at: self.state.booted_at(),
            applied: self.applied,
        }
    }
}

impl Handler<GetStatus> for Device {
    type Result = MessageResult<GetStatus>;

    fn handle(&mut self, _: GetStatus, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.cell.borrow().status())
    }
}

/// Asks entities for their views; one that has died meanwhile is left out, its cell is about to be rebuilt.
async fn observe<S: EntityState>(addrs: Vec<Addr<Shell<S>>>, fresh_from: Timestamp) -> Vec<S::View> {
    let ask = |addr: Addr<Shell<S>>| async move {
        addr.send(Observe { fresh_from, view: std::marker::PhantomData }).await.ok()
    };
    join_all(addrs.into_iter().map(ask)).await.into_iter().flatten().collect()
}

fn chosen<A: Actor>(all: &HashMap<Text, Addr<A>>, one: Option<&Text>) -> Vec<Addr<A>> {
    match one {
        Some(number) => all.get(number).cloned().into_iter().collect(),
        None => all.values().cloned().collect(),
    }
}

impl Handler<GetExtensions> for Device {
    type Result = ResponseFuture<Vec<ExtensionView>>;

    fn handle(&mut self, GetExtensions(one): GetExtensions, _: &mut Self::Context) -> Self::Result {
        let cell = self.cell.borrow();
        let (addrs, fresh_from) = (chosen(&cell.extensions, one.as_ref()), cell.fresh_from());
        Box::pin(async move {
            let mut views = observe(addrs, fresh_from).await;
            views.sort_by(|a, b| (a.number.len(), &a.number).cmp(&(b.number.len(), &b.number)));
            views
        })
    }
}

impl Handler<GetTrunks> for Device {
    type Result = ResponseFuture<Vec<TrunkView>>;

    fn handle(&mut self, GetTrunks(one): GetTrunks, _: &mut Self::Context) -> Self::Result {
        let cell = self.cell.borrow();
        let (addrs, fresh_from) = (chosen(&cell.trunks, one.as_ref()), cell.fresh_from());
        Box::pin(async move {
            let mut views = observe(addrs, fresh_from).await;
            views.sort_by(|a, b| a.number.cmp(&b.number));
            views
        })
    }
}

impl Handler<GetGroups> for Device {
    type Result = ResponseFuture<Vec<GroupView>>;

    fn handle(&mut self, _: GetGroups, _: &mut Self::Context) -> Self::Result {
        let cell = self.cell.borrow();
        let (addrs, fresh_from) = (chosen(&cell.queues, None), cell.fresh_from());
        Box::pin(async move {
            let mut views = observe(addrs, fresh_from).await;
            views.sort_by(|a, b| (a.queue_id.len(), &a.queue_id).cmp(&(b.queue_id.len(), &b.queue_id)));
            views
        })
    }
}

impl Handler<GetCalls> for Device {
    type Result = MessageResult<GetCalls>;

    fn handle(&mut self, GetCalls(one): GetCalls, _: &mut Self::Context) -> Self::Result {
        let cell = self.cell.borrow();
        let fresh_from = cell.fresh_from();
        let view = |call: &Call| -> CallView { call.view(cell.state.id(), fresh_from) };
        MessageResult(match one {
            Some(id) => cell.state.call(id).map(view).into_iter().collect(),
            None => cell.state.calls().iter().map(view).collect(),
        })
    }
}

impl Handler<GetDoubts> for Device {
    type Result = ResponseFuture<Doubts>;

    fn handle(&mut self, _: GetDoubts, _: &mut Self::Context) -> Self::Result {
        let cell = self.cell.borrow();
        let (addrs, boots) = (chosen(&cell.extensions, None), cell.state.boots());
        let inside = |call: &&Call| call.live_legs().all(|leg| leg.kind == LegKind::Extension);
        let internal = cell.state.calls().iter().filter(inside).flat_map(Call::live_legs);
        let mut active: Vec<Text> = internal.filter_map(|leg| leg.number.clone()).collect();
        Box::pin(async move {
            let mut views = observe(addrs, Timestamp::default()).await;
            views.sort_by(|a, b| a.number.cmp(&b.number));
            views.retain(|view| !active.contains(&view.number));
            // Those in calls with the outside are told of with the visitors and outers.
            let (others, idle): (Vec<_>, Vec<_>) =
                views.into_iter().partition(|view| view.state != ExtensionShown::Idle);
            let (without_call, with_call): (Vec<_>, Vec<_>) =
                others.into_iter().partition(|view| view.calls.is_empty());
            active.extend(without_call.into_iter().chain(with_call).map(|view| view.number));
            Doubts { boots, active, idle: idle.into_iter().map(|view| view.number).collect() }
        })
    }
}

impl Handler<Compare> for Device {
    type Result = ResponseActFuture<Self, Vec<Correction>>;

    fn handle(&mut self, compare: Compare, _: &mut Self::Context) -> Self::Result {
        let Compare { question, answer, asked_at } = compare;
        let addrs = match &question {
            Question::Extension(number) => chosen(&self.cell.borrow().extensions, Some(number)),
            _ => Vec::new(),
        };
        let views = async move { observe(addrs, Timestamp::default()).await };
        Box::pin(views.into_actor(self).map(move |views, device, _| {
            let cell = device.cell.borrow();
            let asked = match (&question, views.first()) {
                (Question::Device, _) => About::Device,
                (Question::Visitors, _) => About::Visitors,
                (Question::Outers, _) => About::Outers,
                (Question::Groups, _) => About::Groups,
                (Question::Extension(_), Some(view)) => About::Extension(view),
                (Question::Extension(_), None) => return Vec::new(),
            };
            cell.state.compare(asked, &answer, asked_at)
        }))
    }
}

impl Handler<WriteDown> for Device {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: WriteDown, _: &mut Self::Context) -> Self::Result {
        self.snapshot_due = false;
        let cell = Rc::clone(&self.cell);
        let write = async move { snapshot(&cell).await };
        AtomicResponse::new(Box::pin(write.into_actor(self).map(|snapshot, device, ctx| match snapshot {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                let record = Record {
                    device: device.cell.borrow().state.id().clone(),
                    entry: None,
                    events: Vec::new(),
                    ended_calls: Vec::new(),
                    cdrs: Vec::new(),
                    joined: Vec::new(),
                    conversations: Vec::new(),
                    snapshot: Some(bytes),
                    received: Instant::now(),
                    ack: None,
                };
                device.record(record, ctx);
            }
            Err(EntityDied(actor)) => device.die(actor, ctx),
        })))
    }
}

/// The cell, written down; nothing if it has not changed since.
async fn snapshot(cell: &Rc<RefCell<Cell>>) -> Result<Option<Vec<u8>>, EntityDied> {
    if !std::mem::take(&mut cell.borrow_mut().dirty) {
        return Ok(None);
    }
    let (extensions, trunks, queues) = cell.borrow().addresses();
    let snapshot = Snapshot {
        extensions: collect(extensions, "extension").await?,
        trunks: collect(trunks, "trunk").await?,
        queues: collect(queues, "group_queue").await?,
        state: cell.borrow().state.clone(),
    };
    match serde_json::to_vec(&snapshot) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => {
            tracing::error!(%error, "a cell cannot be written down");
            Ok(None)
        }
    }
}

async fn collect<S: EntityState + Send>(
    addrs: Vec<Addr<Shell<S>>>,
    actor: &'static str,
) -> Result<Vec<S>, EntityDied> {
    let mut states = Vec::with_capacity(addrs.len());
    for addr in addrs {
        let state = addr.send(TakeSnapshot(std::marker::PhantomData)).await.map_err(|_| EntityDied(actor))?;
        states.push(state);
    }
    Ok(states)
}

impl Handler<Retire> for Device {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        self.death.disarm();
        ctx.stop();
    }
}
