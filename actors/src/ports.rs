//! What the actors need from outside, as traits. The service implements them; tests implement them with a
//! few lines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use switchroom_domain::Text;
use switchroom_domain::command::Command;
use switchroom_domain::conversation::Conversation;
use switchroom_domain::event::Event;
use switchroom_domain::fact::Fact;
use switchroom_domain::id::{CallId, CommandId, DeviceId, IdSeed};
use switchroom_domain::outcome::Outcome;
use switchroom_domain::reply::Reply;
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{CallView, CommandView};
use tokio::sync::oneshot;

use crate::command::messages::CommandRecord;
use crate::device::state::StoredCdr;
use crate::ingress::Gate;

/// The time. Actors ask it once per input; states never do.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The dialect of what does not come from a device: notes about commands, as JSON facts.
pub const INTERNAL: &str = "switchroom";

/// A report as it is logged: enough to run it again.
#[derive(Debug, Clone, PartialEq)]
pub struct RawReport {
    /// Receive time and randomness.
    pub seed: IdSeed,
    /// The address it came from.
    pub source: Text,
    /// The dialect it is written in, by name.
    pub dialect: &'static str,
    /// The dialect's own name of it, for metrics.
    pub name: Text,
    /// The content type it came with; some dialects need it to be read again.
    pub content_type: Option<Text>,
    /// The message's body, secrets struck out.
    pub body: Bytes,
}

/// What an input was.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A report.
    Report(RawReport),
    /// Time passed: a deadline came.
    Timer(IdSeed),
}

impl Entry {
    /// Its time and randomness.
    #[must_use]
    pub const fn seed(&self) -> IdSeed {
        match self {
            Self::Report(raw) => raw.seed,
            Self::Timer(seed) => *seed,
        }
    }
}

/// An event with its envelope, ready to be committed and published.
#[derive(Debug)]
pub struct SealedEvent {
    /// The event.
    pub event: Event,
    /// Its CloudEvents JSON, without the cursor.
    pub envelope: String,
}

impl SealedEvent {
    /// An event with its envelope; shared by all who give it out.
    #[must_use]
    pub fn new(event: Event) -> Arc<Self> {
        Arc::new(Self { envelope: event.envelope(), event })
    }
}

/// One input with all of its effects: what the store commits in one transaction.
#[derive(Debug)]
pub struct Record {
    /// The device.
    pub device: DeviceId,
    /// The input. Absent for a repeat, which is not logged again.
    pub entry: Option<Entry>,
    /// Events, in order.
    pub events: Vec<Arc<SealedEvent>>,
    /// Calls that ended.
    pub ended_calls: Vec<CallView>,
    /// Records that came in.
    pub cdrs: Vec<StoredCdr>,
    /// Records that came in before, and whose call is known now.
    pub joined: Vec<StoredCdr>,
    /// Conversations that are complete, or of which more is known now.
    pub conversations: Vec<Conversation>,
    /// The cell as a whole, now and then.
    pub snapshot: Option<Vec<u8>>,
    /// When the last byte of the report came in.
    pub received: Instant,
    /// Told when it is on disk.
    pub ack: Option<oneshot::Sender<()>>,
}

/// Why a record was not taken: the store's queue is full. The record comes back.
#[derive(Debug)]
pub struct Full(pub Box<Record>);

/// Where records go, in each device's order, and come from again.
pub trait Store: Send + Sync {
    /// Takes a record. Records of one device are committed in the order in which they were taken; once
    /// committed, their events are published in that order.
    ///
    /// # Errors
    /// Gives the record back when the queue is full.
    fn submit(&self, record: Box<Record>) -> Result<(), Full>;

    /// Completes when the queue has room again.
    fn room(&self) -> BoxFuture<'static, ()>;

    /// The last snapshot of a cell and what was logged after it; everything submitted before is in it.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn load(&self, device: DeviceId) -> BoxFuture<'static, Result<LoadedCell, StoreError>>;

    /// Sets a report aside that a cell cannot survive: it stays in the log and is not run again.
    fn quarantine(&self, device: &DeviceId, what: &crate::supervision::Applying);
}

/// The store could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("store: {0}")]
pub struct StoreError(pub String);

/// A cell as the store has it.
#[derive(Debug, Default)]
pub struct LoadedCell {
    /// The last snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// What was logged after it, in order.
    pub log: Vec<Entry>,
}

/// Reads a logged report again. The actors know no vendor; whoever started them does.
pub trait Interpreter: Send + Sync {
    /// The facts that a logged report of this device states.
    fn facts(&self, device: &DeviceId, report: &RawReport) -> Vec<Fact>;
}

/// Is told what became of each report.
pub trait Observer: Send + Sync {
    /// One report, one outcome.
    fn report(&self, dialect: &str, name: &str, outcome: Outcome);

    /// An actor died and its cell was rebuilt.
    fn restarted(&self, actor: &'static str);
}

/// Is told what of a cell matters for commands.
pub trait CommandNews: Send + Sync {
    /// The device has started: what commands assigned to it is gone.
    fn booted(&self, device: &DeviceId);

    /// The call of a command was found.
    fn call_found(&self, device: &DeviceId, command: CommandId, call: CallId);
}

/// All that a cell needs from outside.
#[derive(Clone)]
pub struct Ports {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where records go.
    pub store: Arc<dyn Store>,
    /// Reads logged reports again.
    pub interpreter: Arc<dyn Interpreter>,
    /// Is told outcomes.
    pub observer: Arc<dyn Observer>,
    /// Live counts.
    pub census: Arc<crate::census::Census>,
    /// Is told the calls of commands.
    pub news: Arc<dyn CommandNews>,
}

/// A device's answer, and the bytes it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What it says.
    pub reply: Reply,
    /// The body, as it came.
    pub body: Bytes,
}

/// Why there is no answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nothing of it reached the device: it was certainly not done.
    #[error("nothing reached the device: {0}")]
    NotSent(String),
    /// It may have reached the device, and nothing that can be understood came back.
    #[error("it may have reached the device, but {0}")]
    Lost(String),
    /// It cannot be said to this device at all.
    #[error("{0}")]
    Impossible(String),
    /// The device's own server does not take it: nothing was done.
    #[error("{0}")]
    Refused(String),
}

/// The way out to the devices.
pub trait DeviceLink: Send + Sync {
    /// Carries one command to the device over a connection of its own, and its answer back. Has a time limit of its
    /// own, and never sends twice.
    fn exchange(&self, device: &DeviceId, command: &Command)
    -> BoxFuture<'static, Result<Answer, LinkError>>;

    /// Has the device an address to send commands to?
    fn reaches(&self, device: &DeviceId) -> bool;
}

/// Where commands are kept.
pub trait CommandLog: Send + Sync {
    /// Keeps the command as it is now; completes when it is on disk. What was put before is there before it.
    fn put(&self, record: &CommandRecord) -> BoxFuture<'static, Result<(), StoreError>>;

    /// A command has settled: for the metrics. `waited` for its turn, `took` from then on.
    fn settled(&self, command: &CommandView, waited: Duration, took: Duration);
}

/// What a command supervisor needs from outside.
#[derive(Clone)]
pub struct CommandPorts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The way out.
    pub link: Arc<dyn DeviceLink>,
    /// Where commands are kept.
    pub log: Arc<dyn CommandLog>,
    /// Reads a device's answer as a report.
    pub interpreter: Arc<dyn Interpreter>,
    /// The way to the cell.
    pub gate: Gate,
}
