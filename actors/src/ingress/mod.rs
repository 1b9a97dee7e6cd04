//! The ingress: passes decoded reports of known devices to their cells, and holds those whose cell is busy.
//!
//! A socket hands a report to its [`Gate`], which draws the id seed and puts a [`Delivery`] into the device's
//! mailbox at once: when it returns, the report has its place in the device's order, whichever thread it came
//! in on. When the mailbox is full, or the cell is being rebuilt, the report goes to the [`Ingress`] actor of
//! the arbiter and waits there for at most [`Limits::wait`], beside others, and is then shed, counted and
//! answered so. The socket that sent it waits too, so a noisy device slows only itself. The actor has no state
//! that a restart would lose.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Context_, Poll};
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use futures_util::Stream;
use switchroom_domain::Text;
use switchroom_domain::fact::Fact;
use switchroom_domain::id::IdSeed;
use switchroom_domain::outcome::Outcome;
use tokio::sync::{mpsc, oneshot};

use crate::directory::DeviceHandle;
use crate::ports::{Clock, Ports, RawReport};

/// Bound of the mailbox: sockets of this arbiter that may hand over a report at the same time.
const MAILBOX: usize = 2048;

/// How often a waiting report tries its cell again.
const RETRY: Duration = Duration::from_millis(5);

/// How long and how many reports may wait for their cell.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long one may wait.
    pub wait: Duration,
    /// How many may wait at a time, on one arbiter.
    pub waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wait: Duration::from_secs(2), waiting: 4096 }
    }
}

/// The ingress; see the module.
pub struct Ingress {
    ports: Ports,
    limits: Limits,
    waiting: usize,
    returns: Returns,
}

/// Where sockets hand their reports over; see the module.
#[derive(Clone)]
pub struct Gate {
    ingress: Addr<Ingress>,
    clock: Arc<dyn Clock>,
    returns: Returns,
    entropy: Arc<AtomicU64>,
}

impl Ingress {
    /// Starts one on this arbiter. `entropy` seeds the id seeds of its gate and must differ between arbiters
    /// and starts.
    pub fn start_here(ports: Ports, limits: Limits, entropy: u64) -> Gate {
        let (returns, returned) = mpsc::unbounded_channel();
        let (clock, gate_returns) = (Arc::clone(&ports.clock), returns.clone());
        let ingress = Self::create(|ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            ctx.add_stream(Returned(returned));
            Self { ports, limits, waiting: 0, returns }
        });
        Gate { ingress, clock, returns: gate_returns, entropy: Arc::new(AtomicU64::new(entropy)) }
    }
}

impl Gate {
    /// Gives a report to its device. Waits only when the device is busy and so is the ingress.
    pub async fn pass(&self, arrived: Arrived) {
        let seed = IdSeed { at: self.clock.now(), entropy: self.draw() };
        let Arrived { device, source, dialect, name, content_type, body, facts, received, ack } = arrived;
        let raw = RawReport { seed, source, dialect, name, content_type, body };
        let parcel = Box::new(Parcel { raw, facts, received, ack });
        let Err(parcel) = try_deliver(&device, parcel, &self.returns) else { return };
        if self.ingress.send(Hold { device, parcel }).await.is_err() {
            tracing::debug!("a report came when the ingress had gone: the service is stopping");
        }
    }

    /// The next random number (SplitMix64): ids need to differ, not to be secret.
    fn draw(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut x = self.entropy.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }
}

/// A report whose cell could not take it.
#[derive(Message)]
#[rtype(result = "()")]
struct Hold {
    device: Arc<DeviceHandle>,
    parcel: Box<Parcel>,
}

impl Handler<Hold> for Ingress {
    type Result = ();

    fn handle(&mut self, Hold { device, parcel }: Hold, ctx: &mut Self::Context) {
        self.hold(device, parcel, ctx);
    }
}

impl Actor for Ingress {
    type Context = Context<Self>;
}

/// Parcels that come back, as a stream.
struct Returned(mpsc::UnboundedReceiver<(Arc<DeviceHandle>, Box<Parcel>)>);

impl Stream for Returned {
    type Item = (Arc<DeviceHandle>, Box<Parcel>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context_<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

impl StreamHandler<(Arc<DeviceHandle>, Box<Parcel>)> for Ingress {
    fn handle(&mut self, (device, parcel): (Arc<DeviceHandle>, Box<Parcel>), ctx: &mut Self::Context) {
        self.hold(device, parcel, ctx);
    }
}

/// A report of a known device came in and was understood.
pub struct Arrived {
    /// The device.
    pub device: Arc<DeviceHandle>,
    /// The address it came from.
    pub source: Text,
    /// The dialect.
    pub dialect: &'static str,
    /// The dialect's name of it.
    pub name: Text,
    /// Content type, where reading it again needs that.
    pub content_type: Option<Text>,
    /// The body, secrets struck out.
    pub body: Bytes,
    /// What it states.
    pub facts: Vec<Fact>,
    /// When its last byte came in.
    pub received: Instant,
    /// Told when it is on disk; dropped without a word when it was shed.
    pub ack: Option<oneshot::Sender<()>>,
}

/// A report, as a cell takes it.
#[derive(Debug)]
pub struct Parcel {
    /// As it will be logged.
    pub raw: RawReport,
    /// What it states.
    pub facts: Vec<Fact>,
    /// When its last byte came in.
    pub received: Instant,
    /// Told when it is on disk.
    pub ack: Option<oneshot::Sender<()>>,
}

type Returns = mpsc::UnboundedSender<(Arc<DeviceHandle>, Box<Parcel>)>;

/// A parcel on its way into a cell. If the cell dies before it has taken it, it comes back to the ingress.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Delivery {
    parcel: Option<Box<Parcel>>,
    /// The device, and where the parcel goes back to; at most a mailbox full of them goes back at a time.
    back: Option<(Arc<DeviceHandle>, Returns)>,
}

impl Delivery {
    /// A parcel that is lost with the cell: one that is delivered again after the cell died of it.
    #[must_use]
    pub fn once(parcel: Parcel) -> Self {
        Self { parcel: Some(Box::new(parcel)), back: None }
    }

    /// Takes the parcel; from now on it is the cell's.
    pub fn take(mut self) -> Option<Box<Parcel>> {
        self.parcel.take()
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let (Some(parcel), Some((device, returns))) = (self.parcel.take(), self.back.take())
            && returns.send((device, parcel)).is_err()
        {
            tracing::debug!("a report came back when the ingress had gone: the service is stopping");
        }
    }
}

impl Ingress {
    fn shed(&self, parcel: &Parcel) {
        self.ports.observer.report(parcel.raw.dialect, &parcel.raw.name, Outcome::Shed);
    }

    /// Waits beside others until its cell takes it, or it has waited too long.
    fn hold(&mut self, device: Arc<DeviceHandle>, parcel: Box<Parcel>, ctx: &mut Context<Self>) {
        if self.waiting >= self.limits.waiting {
            return self.shed(&parcel);
        }
        self.waiting += 1;
        let (wait, returns) = (self.limits.wait, self.returns.clone());
        let held = async move {
            let deadline = Instant::now() + wait;
            let mut parcel = parcel;
            while Instant::now() < deadline {
                tokio::time::sleep(RETRY).await;
                match try_deliver(&device, parcel, &returns) {
                    Ok(()) => return None,
                    Err(back) => parcel = back,
                }
            }
            Some(parcel)
        };
        ctx.spawn(held.into_actor(self).map(|shed, ingress, _| {
            ingress.waiting -= 1;
            if let Some(parcel) = shed {
                ingress.shed(&parcel);
            }
        }));
    }
}

fn try_deliver(
    device: &Arc<DeviceHandle>,
    parcel: Box<Parcel>,
    returns: &Returns,
) -> Result<(), Box<Parcel>> {
    let Some(addr) = device.addr() else { return Err(parcel) };
    let delivery = Delivery { parcel: Some(parcel), back: Some((Arc::clone(device), returns.clone())) };
    match addr.try_send(delivery) {
        Ok(()) => Ok(()),
        Err(error) => match error.into_inner().take() {
            Some(parcel) => Err(parcel),
            None => Ok(()),
        },
    }
}
