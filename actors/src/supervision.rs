//! Supervision: a cell that dies is rebuilt from its last snapshot and the log after it.
//!
//! actix's own supervisor does not survive a panic of what it supervises: the handler's panic ends the task
//! that both live in. So ours watches from outside. A device that is dropped while it panics, or that finds
//! one of its entities dead, gives notice as it goes ([`DeathNotice`]); the [`Supervisor`] of its arbiter
//! waits until everything that the cell had handed on is in the store, loads the cell and starts it again.
//! Reports that come meanwhile wait at the ingress.
//!
//! | what happens | what follows |
//! | --- | --- |
//! | a cell dies once, or on different reports | it is rebuilt, and the report is run again |
//! | the same report kills it twice | the report is set aside ([`crate::ports::Store::quarantine`]) and the cell rebuilt without it |
//! | more than [`BUDGET`] deaths within [`BUDGET_SPAN`] | it is left alone for that span, then tried again |

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchroom_domain::id::{DeviceId, IdSeed};
use switchroom_domain::outcome::Outcome;

use crate::device::{Device, DeviceSettings};
use crate::directory::DeviceHandle;
use crate::ingress::Delivery;
use crate::ports::{LoadedCell, Ports, RawReport};
use crate::recorder::Recorder;

/// How many deaths of a cell within [`BUDGET_SPAN`] are answered with an immediate rebuild.
pub const BUDGET: usize = 5;
/// See [`BUDGET`].
pub const BUDGET_SPAN: Duration = Duration::from_secs(60);

/// Held by a device; tells the supervisor when the device goes without having retired.
#[derive(Debug, Clone)]
pub struct DeathNotice(Rc<RefCell<Notice>>);

#[derive(Debug)]
struct Notice {
    device: DeviceId,
    life: u64,
    supervisor: Option<Recipient<CellDied>>,
    applying: Option<Applying>,
    actor: &'static str,
}

/// What a cell is at work on.
#[derive(Debug, Clone)]
pub enum Applying {
    /// A report that is not logged yet.
    Report(Box<RawReport>),
    /// An input from the log.
    Logged(IdSeed),
}

impl Applying {
    fn seed(&self) -> IdSeed {
        match self {
            Self::Report(raw) => raw.seed,
            Self::Logged(seed) => *seed,
        }
    }
}

impl DeathNotice {
    /// A notice to this supervisor, of this of the device's lives.
    #[must_use]
    pub fn new(device: DeviceId, life: u64, supervisor: Recipient<CellDied>) -> Self {
        let notice = Notice { device, life, supervisor: Some(supervisor), applying: None, actor: "device" };
        Self(Rc::new(RefCell::new(notice)))
    }

    /// What is being applied: if the cell dies now, this report killed it.
    pub fn applying(&self, what: Option<Applying>) {
        self.0.borrow_mut().applying = what;
    }

    /// The report that is being applied, if it is one.
    pub fn report(&self, look: impl FnOnce(&RawReport)) {
        if let Some(Applying::Report(raw)) = &self.0.borrow().applying {
            look(raw);
        }
    }

    /// What was being applied, to be handed on: if the cell dies from here on, it did not die of this.
    #[must_use]
    pub fn done(&self) -> Option<Applying> {
        self.0.borrow_mut().applying.take()
    }

    /// Which of the cell's actors died.
    pub fn because(&self, actor: &'static str) {
        self.0.borrow_mut().actor = actor;
    }

    /// Retired: nothing to tell.
    pub fn disarm(&self) {
        self.0.borrow_mut().supervisor = None;
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        let Some(supervisor) = self.supervisor.take() else { return };
        let died = CellDied {
            device: self.device.clone(),
            life: self.life,
            applying: self.applying.take(),
            actor: self.actor,
        };
        #[expect(clippy::disallowed_methods, reason = "a notice must not be refused; cells die rarely")]
        supervisor.do_send(died);
    }
}

/// A cell died.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CellDied {
    /// Which.
    pub device: DeviceId,
    /// Which of its lives: one that was ended and begun anew meanwhile is no longer this one.
    pub life: u64,
    /// While it was at work on this.
    pub applying: Option<Applying>,
    /// Which of its actors died first.
    pub actor: &'static str,
}

/// Starts a cell on the supervisor's arbiter and keeps it alive.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Supervise {
    /// Where its address is published.
    pub handle: Arc<DeviceHandle>,
    /// How it is to be treated.
    pub settings: DeviceSettings,
    /// As the store has it.
    pub loaded: LoadedCell,
}

/// Keeps a cell alive no longer, and ends it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Dismiss(pub DeviceId);

/// Ends a cell's life and begins another from the store, which was changed. Reports wait meanwhile.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Renew(pub DeviceId);

/// One supervised cell.
struct Charge {
    handle: Arc<DeviceHandle>,
    /// Which of all lives on this arbiter it lives now.
    life: u64,
    settings: DeviceSettings,
    deaths: VecDeque<(Instant, Option<IdSeed>)>,
}

/// Keeps the cells of one arbiter alive; see the module. Its own state is small and its handlers are total; a
/// panic here would be a defect, and is counted by the arbiter's other actors going unanswered.
pub struct Supervisor {
    ports: Ports,
    recorder: Addr<Recorder>,
    charges: HashMap<DeviceId, Charge>,
    lives: u64,
}

impl Supervisor {
    /// Starts one on this arbiter.
    pub fn start_here(ports: Ports, recorder: Addr<Recorder>) -> Addr<Self> {
        Self::create(|ctx| {
            // One message a cell at start-up, then one a death.
            ctx.set_mailbox_capacity(1024);
            Self { ports, recorder, charges: HashMap::new(), lives: 0 }
        })
    }

    /// Begins a life of the device. The report that it died of last, if it did, gets one more try before anything
    /// else; nobody waits for it any more.
    fn launch(
        &mut self,
        device: &DeviceId,
        loaded: LoadedCell,
        again_with: Option<Box<RawReport>>,
        ctx: &Context<Self>,
    ) {
        let Some(charge) = self.charges.get_mut(device) else { return };
        self.lives += 1;
        charge.life = self.lives;
        let addr = Device::start_here(
            device.clone(),
            charge.settings,
            self.ports.clone(),
            self.recorder.clone(),
            loaded,
            (charge.life, ctx.address().recipient()),
        );
        if let Some(raw) = again_with {
            let facts = self.ports.interpreter.facts(device, &raw);
            let (dialect, name) = (raw.dialect, raw.name.clone());
            if addr.try_send(Delivery::once(*raw, facts)).is_err() {
                self.ports.observer.report(dialect, &name, Outcome::Shed);
                tracing::error!(device.id = %device, "a report that its cell died of could not be delivered again");
            }
        }
        charge.handle.set(Some(addr));
    }

    fn rebuild(
        &self,
        (device, life): (DeviceId, u64),
        after: Duration,
        again_with: Option<Box<RawReport>>,
        ctx: &mut Context<Self>,
    ) {
        let store = Arc::clone(&self.ports.store);
        let recorder = self.recorder.clone();
        let id = device.clone();
        let load = async move {
            tokio::time::sleep(after).await;
            // What the cell had handed on is in the recorder's mailbox before this.
            let passed_on = recorder.send(crate::recorder::Passed).await.is_ok();
            if !passed_on {
                return Err(crate::ports::StoreError("the recorder is gone".into()));
            }
            store.load(id).await
        };
        ctx.spawn(load.into_actor(self).map(move |loaded, supervisor, ctx| {
            if supervisor.charges.get(&device).is_none_or(|charge| charge.life != life) {
                // Dismissed meanwhile, and perhaps begun anew.
                return;
            }
            match loaded {
                Ok(loaded) => supervisor.launch(&device, loaded, again_with, ctx),
                Err(error) => {
                    tracing::error!(device.id = %device, %error, "a cell cannot be loaded; trying again");
                    supervisor.rebuild((device, life), Duration::from_secs(1), again_with, ctx);
                }
            }
        }));
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;
}

impl Handler<Supervise> for Supervisor {
    type Result = ();

    fn handle(&mut self, supervise: Supervise, ctx: &mut Self::Context) {
        let Supervise { handle, settings, loaded } = supervise;
        let device = handle.id.clone();
        self.charges.insert(device.clone(), Charge { handle, life: 0, settings, deaths: VecDeque::new() });
        self.launch(&device, loaded, None, ctx);
    }
}

impl Handler<Dismiss> for Supervisor {
    type Result = ();

    fn handle(&mut self, Dismiss(device): Dismiss, ctx: &mut Self::Context) {
        let Some(charge) = self.charges.remove(&device) else { return };
        if let Some(addr) = charge.handle.addr() {
            charge.handle.set(None);
            let retire = async move {
                if addr.send(crate::device::messages::Retire).await.is_err() {
                    tracing::debug!("a cell had already gone when it was dismissed");
                }
            };
            ctx.spawn(retire.into_actor(self));
        }
    }
}

impl Handler<Renew> for Supervisor {
    type Result = ();

    fn handle(&mut self, Renew(device): Renew, ctx: &mut Self::Context) {
        let Some(charge) = self.charges.get(&device) else { return };
        // One that is down is being loaded already.
        let Some(addr) = charge.handle.addr() else { return };
        charge.handle.set(None);
        let life = charge.life;
        let retire = async move {
            if addr.send(crate::device::messages::Retire).await.is_err() {
                tracing::debug!("a cell had already gone when it was to be renewed");
            }
        };
        ctx.spawn(retire.into_actor(self).map(move |(), supervisor, ctx| {
            supervisor.rebuild((device, life), Duration::ZERO, None, ctx);
        }));
    }
}

impl Handler<CellDied> for Supervisor {
    type Result = ();

    fn handle(&mut self, died: CellDied, ctx: &mut Self::Context) {
        let CellDied { device, life, applying, actor } = died;
        self.ports.observer.restarted(actor);
        let Some(charge) = self.charges.get_mut(&device).filter(|charge| charge.life == life) else { return };
        charge.handle.set(None);
        let now = Instant::now();
        charge.deaths.retain(|(at, _)| now.duration_since(*at) < BUDGET_SPAN);
        let seed = applying.as_ref().map(Applying::seed);
        let again = seed.is_some() && charge.deaths.iter().any(|(_, before)| *before == seed);
        charge.deaths.push_back((now, seed));
        let deaths = charge.deaths.len();
        tracing::error!(device.id = %device, actor, deaths, "a cell died and is rebuilt from the store");
        let again_with = match applying {
            Some(what) if again => {
                self.ports.store.quarantine(&device, &what);
                if let Applying::Report(raw) = &what {
                    self.ports.observer.report(raw.dialect, &raw.name, Outcome::Malformed);
                }
                None
            }
            Some(Applying::Report(raw)) => Some(raw),
            _ => None,
        };
        let wait = if deaths > BUDGET { BUDGET_SPAN } else { Duration::ZERO };
        self.rebuild((device, life), wait, again_with, ctx);
    }
}

/// Answered when the recorder of this arbiter has passed on all that was sent to it before.
#[derive(Message)]
#[rtype(result = "()")]
pub struct PassedOn;

impl Handler<PassedOn> for Supervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: PassedOn, _: &mut Self::Context) -> Self::Result {
        let recorder = self.recorder.clone();
        Box::pin(async move {
            if recorder.send(crate::recorder::Passed).await.is_err() {
                tracing::error!("the recorder is gone");
            }
        })
    }
}
