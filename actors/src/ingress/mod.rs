//! The ingress: passes decoded reports of known devices to their cells, and holds those whose cell is busy.
//!
//! A socket hands a report to its [`Gate`], which draws the id seed and puts a [`Delivery`] into the device's
//! mailbox at once: when it returns, the report has its place in the device's order, whichever thread it came
//! in on. When the mailbox is full, or the cell is being rebuilt, the report waits in the device's own line, behind
//! those that came before it, for at most [`Limits::wait`]; then it is shed and counted. The [`Ingress`] actor of
//! the arbiter attends to such lines. The socket that sent it waits for word and answers accordingly, so a noisy
//! device slows only itself. The actor has no state that a restart would lose.

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
use crate::ports::{Clock, INTERNAL, Observer, Ports, RawReport};

/// How often a waiting report tries its cell again.
const RETRY: Duration = Duration::from_millis(5);

/// How long and how many reports may wait for their cell.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long one may wait.
    pub wait: Duration,
    /// How many of one device may wait at a time.
    pub waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wait: Duration::from_secs(2), waiting: 1024 }
    }
}

/// The ingress; see the module.
pub struct Ingress {
    ports: Ports,
    limits: Limits,
    attend: Attend,
}

/// Tells the ingress that a device has a line now. Told once a line, so it is bounded by the devices.
type Attend = mpsc::UnboundedSender<Arc<DeviceHandle>>;

/// Where sockets hand their reports over; see the module.
#[derive(Clone)]
pub struct Gate {
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    limits: Limits,
    attend: Attend,
    entropy: Arc<AtomicU64>,
}

impl Ingress {
    /// Starts one on this arbiter. `entropy` seeds the id seeds of its gate and must differ between arbiters
    /// and starts.
    pub fn start_here(ports: Ports, limits: Limits, entropy: u64) -> Gate {
        let (attend, lines) = mpsc::unbounded_channel();
        let gate = Gate {
            clock: Arc::clone(&ports.clock),
            observer: Arc::clone(&ports.observer),
            limits,
            attend: attend.clone(),
            entropy: Arc::new(AtomicU64::new(entropy)),
        };
        Self::create(|ctx| {
            ctx.add_stream(Lines(lines));
            Self { ports, limits, attend }
        });
        gate
    }
}

impl Gate {
    /// Gives a report to its device. When the device cannot take it now, gives word of when it has: the word is
    /// dropped if the report is shed instead.
    #[must_use = "who sent the report waits for it"]
    pub fn pass(&self, arrived: Arrived) -> Option<oneshot::Receiver<()>> {
        let seed = IdSeed { at: self.clock.now(), entropy: self.draw() };
        let Arrived { device, source, dialect, name, content_type, body, facts, received, ack } = arrived;
        if dialect != INTERNAL {
            device.reported(seed.at);
        }
        let raw = RawReport { seed, source, dialect, name, content_type, body };
        let mut line = device.line();
        let parcel = Box::new(Parcel { raw, facts, received, ack, place: line.next_place() });
        let parcel =
            if line.waiting.is_empty() { try_deliver(&device, parcel, &self.attend).err()? } else { parcel };
        let (taken, word) = oneshot::channel();
        if line.waiting.len() >= self.limits.waiting {
            shed(&*self.observer, &parcel);
            return Some(word);
        }
        let first = line.waiting.is_empty();
        line.waiting.push_back(Held { parcel, taken: Some(taken), since: Instant::now() });
        drop(line);
        if first {
            attend(&self.attend, &device);
        }
        Some(word)
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
#[derive(Debug)]
pub(crate) struct Held {
    parcel: Box<Parcel>,
    /// Whoever waits for it to be taken.
    taken: Option<oneshot::Sender<()>>,
    since: Instant,
}

impl Actor for Ingress {
    type Context = Context<Self>;
}

/// Devices that have a line, as a stream.
struct Lines(mpsc::UnboundedReceiver<Arc<DeviceHandle>>);

impl Stream for Lines {
    type Item = Arc<DeviceHandle>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context_<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

impl StreamHandler<Arc<DeviceHandle>> for Ingress {
    fn handle(&mut self, device: Arc<DeviceHandle>, ctx: &mut Context<Self>) {
        let (observer, wait, back) =
            (Arc::clone(&self.ports.observer), self.limits.wait, self.attend.clone());
        let attending = async move {
            while !serve_line(&device, wait, &*observer, &back) {
                tokio::time::sleep(RETRY).await;
            }
        };
        ctx.spawn(attending.into_actor(self));
    }
}

/// Gives the cell what it takes of its line, and sheds what has waited too long; says whether the line is empty.
fn serve_line(device: &Arc<DeviceHandle>, wait: Duration, observer: &dyn Observer, back: &Attend) -> bool {
    let mut line = device.line();
    while let Some(Held { parcel, taken, since }) = line.waiting.pop_front() {
        if since.elapsed() > wait {
            shed(observer, &parcel);
            continue;
        }
        if let Err(parcel) = try_deliver(device, parcel, back) {
            line.waiting.push_front(Held { parcel, taken, since });
            return false;
        }
        if let Some(taken) = taken {
            // The connection may have ended.
            let _ = taken.send(());
        }
    }
    true
}

fn shed(observer: &dyn Observer, parcel: &Parcel) {
    observer.report(parcel.raw.dialect, &parcel.raw.name, Outcome::Shed);
}

fn attend(to: &Attend, device: &Arc<DeviceHandle>) {
    if to.send(Arc::clone(device)).is_err() {
        tracing::debug!("a report came when the ingress had gone: the service is stopping");
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
    /// Its place among all reports of its device.
    pub(crate) place: u64,
}

/// A parcel on its way into a cell. If the cell dies before it has taken it, it goes back into the device's line.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Delivery {
    parcel: Option<Box<Parcel>>,
    /// The device, and who attends to its line.
    back: Option<(Arc<DeviceHandle>, Attend)>,
}

impl Delivery {
    /// A report that its cell died of, once more: it is lost if the cell dies again.
    #[must_use]
    pub fn once(raw: RawReport, facts: Vec<Fact>) -> Self {
        let parcel = Parcel { raw, facts, received: Instant::now(), ack: None, place: 0 };
        Self { parcel: Some(Box::new(parcel)), back: None }
    }

    /// A parcel that goes back into the line of its device if the cell dies before it has taken it.
    fn new(parcel: Box<Parcel>, device: &Arc<DeviceHandle>, back: &Attend) -> Self {
        device.enqueued();
        Self { parcel: Some(parcel), back: Some((Arc::clone(device), back.clone())) }
    }

    /// Takes the parcel; from now on it is the cell's.
    pub fn take(mut self) -> Option<Box<Parcel>> {
        if let Some((device, _)) = self.back.take() {
            device.dequeued();
        }
        self.parcel.take()
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let (Some(parcel), Some((device, back))) = (self.parcel.take(), self.back.take()) else { return };
        device.dequeued();
        let mut line = device.line();
        let first = line.waiting.is_empty();
        // Before all that came after it.
        let at = line.waiting.partition_point(|held| held.parcel.place < parcel.place);
        line.waiting.insert(at, Held { parcel, taken: None, since: Instant::now() });
        drop(line);
        if first {
            attend(&back, &device);
        }
    }
}

fn try_deliver(device: &Arc<DeviceHandle>, parcel: Box<Parcel>, back: &Attend) -> Result<(), Box<Parcel>> {
    // Counted here, because actix refuses nobody who comes with an address of their own.
    if device.queued() >= crate::device::MAILBOX {
        return Err(parcel);
    }
    let Some(addr) = device.addr() else { return Err(parcel) };
    match addr.try_send(Delivery::new(parcel, device, back)) {
        Ok(()) => Ok(()),
        Err(error) => match error.into_inner().take() {
            Some(parcel) => Err(parcel),
            None => Ok(()),
        },
    }
}
