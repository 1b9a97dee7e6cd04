//! Facts: what one report says, in the words of telephony instead of a vendor's.
//!
//! A fact says what happened, never what it means for the state: reports come late, twice, out of order and
//! sometimes not at all, and only the model can weigh that. Wire ids in here (`visitor 22`, `callid`) are
//! kept as they came, because they are what later reports of the same call will name.

use serde::{Deserialize, Serialize};

use crate::Text;
use crate::id::{CallId, LegId};
use crate::time::Timestamp;

/// One report, understood: who sent it (as far as it says) and what it states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The dialect's own name of the report, for metrics and the log: `RING`, `Cdr`, `NewCdr`, `dialend`.
    pub name: Text,
    /// What it states; most reports state one thing, some none that is known (then [`Fact::Unrecognized`]).
    pub facts: Vec<Fact>,
}

/// One thing that a report states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The device has started (OM BOOTUP 2.5.1.1, Yeastar BootUp).
    DeviceBooted,
    /// Its configuration changed; OM does not say what (2.5.1.2), Yeastar does.
    ConfigChanged {
        /// What changed, as the device words it: type, name and operation.
        what: Option<Text>,
    },
    /// The state of an extension's line or registration.
    ExtensionStatus(ExtensionStatus),
    /// Something happened in a call. (Boxed: it is much larger than the others.)
    Call(Box<CallFact>),
    /// A call record.
    Cdr(Box<CdrFact>),
    /// A call record that came late, from a file of the device: whatever lives now, its call is over.
    CdrFiled {
        /// The record.
        cdr: Box<CdrFact>,
        /// The call that it is of, if its reports came at the time.
        call: Option<CallId>,
    },
    /// A report that is well formed but unknown; kept and passed on as it is.
    Unrecognized {
        /// The name it gave itself.
        name: Text,
    },
    /// The device was asked, and what it said differs from what was known.
    Corrected(Box<Correction>),
    /// The device answers again, or has stopped to.
    Reachable {
        /// It answers.
        reachable: bool,
    },
    /// A command is on its way to the device: the call that it makes, or that it is about, carries its id.
    CommandSent(Box<CommandSent>),
    /// A command settled.
    CommandSettled(Box<CommandSettled>),
    /// A recording was fetched, or given up.
    RecordingSettled(Box<RecordingSettled>),
    /// A report that is known and says nothing about telephony (an SMS receipt, say); passed on by name.
    Noted {
        /// The name it gave itself.
        name: Text,
    },
}

/// What is corrected, because the device was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "correction", rename_all = "snake_case")]
pub enum Correction {
    /// The call is over.
    CallOver {
        /// Which.
        call: CallId,
    },
    /// One party has left the call.
    LegOver {
        /// Which call.
        call: CallId,
        /// Which party.
        leg: LegId,
    },
    /// The call is there, with these parties in these states.
    Call(Box<CallFact>),
    /// The extension's line does this.
    Line(ExtensionStatus),
    /// The same of an extension of which no report has told yet.
    Learned(ExtensionStatus),
    /// The device has these extensions and trunks.
    Known {
        /// Number and line of each extension.
        extensions: Vec<(Text, Option<Text>)>,
        /// Number and line of each trunk.
        trunks: Vec<(Text, Option<Text>)>,
    },
    /// The device calls this group's queue so.
    Queue {
        /// The device's id of the queue.
        queue: Text,
        /// The group.
        group: u32,
    },
}

impl Correction {
    /// Does it mend what was wrong? Otherwise it adds what was not known.
    #[must_use]
    pub const fn is_repair(&self) -> bool {
        !matches!(self, Self::Known { .. } | Self::Queue { .. } | Self::Learned(_))
    }
}

/// A command that was sent, and by what its call will be known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CommandSent {
    /// The command.
    pub command: crate::id::CommandId,
    /// It makes a new call; otherwise it is about one that is there.
    pub makes_call: bool,
    /// Extensions that are, or will be, part of the call.
    pub extensions: Vec<Text>,
    /// Outside numbers that it dials, without prefix and keys.
    pub numbers: Vec<Text>,
    /// The visitor that it is about.
    pub visitor: Option<Text>,
    /// The outer that it is about.
    pub outer: Option<Text>,
    /// It ends the call.
    #[serde(default)]
    pub ends_call: bool,
}

/// What became of a recording that a record named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingSettled {
    /// The record that named it, whose id is the recording's.
    pub recording: crate::id::CdrId,
    /// Its name on the device.
    pub file: Text,
    /// The record's call, if it is known.
    pub call: Option<CallId>,
    /// Which way the call went.
    pub direction: Option<crate::view::Direction>,
    /// Calling number.
    pub from: Option<Text>,
    /// Called number.
    pub to: Option<Text>,
    /// Trunk number.
    pub trunk: Option<Text>,
    /// It is here and can be played; otherwise it could not be fetched.
    pub available: bool,
    /// Why it is missing.
    pub reason: Option<Text>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandSettled {
    /// The command.
    pub command: crate::id::CommandId,
    /// Its name.
    pub name: Text,
    /// `succeeded`, `failed` or `unknown`.
    pub state: Text,
    /// The device's code, if it refused.
    pub code: Option<u32>,
    /// Why it did not succeed.
    pub reason: Option<Text>,
}

/// An extension's line or registration changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExtensionStatus {
    /// The extension's number.
    pub extension: Text,
    /// What its line does now.
    pub status: LineStatus,
    /// From where it registered (OM `RegisterIP`).
    pub address: Option<Text>,
}

/// What a device can say of an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineStatus {
    /// On hook (and reachable, as far as the report can tell).
    Idle,
    /// Ringing.
    Ringing,
    /// Off hook: dialling, talking, waiting.
    Busy,
    /// In a call that is held.
    OnHold,
    /// Registered or reachable again; says nothing of its line, except on Yeastar v2 (see
    /// [`LineStatus::RegisteredIdle`]).
    Online,
    /// Registered and idle (Yeastar v2 reports the end of a call as `Registered`).
    RegisteredIdle,
    /// Not reachable.
    Offline,
}

/// Something that happened in a call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CallFact {
    /// What happened.
    pub happening: Happening,
    /// The wire's own id of the whole call, where the dialect has one (Yeastar `callid`, ZYCOO `uniqueid`).
    pub key: Option<Text>,
    /// Who it is about. The reporting side comes first: for [`Happening::Ringing`] and
    /// [`Happening::Answered`] who rings or answers, for [`Happening::Alerting`] and
    /// [`Happening::PeerAnswered`] the caller, for [`Happening::Ended`] who released.
    pub parties: Vec<Party>,
    /// Keys pressed, for [`Happening::Digits`]; without the `T` of a time-out, with the exit key.
    pub digits: Option<Text>,
    /// The input ended by time-out (a trailing `T`), not by count or exit key.
    pub timed_out: bool,
    /// Queue, for [`Happening::Queued`] and [`Happening::QueueRefused`].
    pub queue: Option<QueueMention>,
    /// Recording path, as the report names it. Never to be trusted as a file name.
    pub recording: Option<Text>,
    /// Vendor's failure code (OM FAILED 1–8).
    pub code: Option<u32>,
    /// Vendor's reason in words, trimmed.
    pub reason: Option<Text>,
    /// The report gives the parties' own states (Yeastar CallStatus) and names all telephones that are in the
    /// call.
    pub complete: bool,
    /// No report said so: it follows from others.
    #[serde(default)]
    pub inferred: bool,
    /// The device said so when it was asked.
    #[serde(default)]
    pub reconciled: bool,
}

/// What can happen in a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// A call asks to come in and waits to be accepted (INVITE).
    Invited,
    /// A call came in, was answered by the exchange, and waits to be routed (INCOMING).
    Incoming,
    /// The first party rings (RING).
    Ringing,
    /// The first party hears ringback (ALERT).
    Alerting,
    /// The first party answered (ANSWER).
    Answered,
    /// The first party learned that the other answered (ANSWERED).
    PeerAnswered,
    /// The connection between the parties is over; the first one released it (BYE).
    Ended,
    /// The call of the first party was diverted (DIVERT).
    Diverted,
    /// The call of the first party was transferred (Yeastar Transfer).
    Transferred,
    /// A dialled call got its ids or its line (TRANSIENT); adds what earlier reports lacked.
    Placed,
    /// The call could not be made (FAILED, CallFailed).
    Failed,
    /// Keys were pressed (DTMF).
    Digits,
    /// A menu's announcement ended (EndOfAnn, PlayPromptEnd).
    AnnouncementEnded,
    /// The call waits in a queue (QUEUE).
    Queued,
    /// The queue did not take the call: all members offline, or the queue is full (QUEUE with a reason).
    QueueRefused,
    /// The first party was put on hold (Yeastar HOLD).
    Held,
    /// A survey was answered (Yeastar satisfaction); the score is in `digits`.
    Surveyed,
    /// The first party is in the call, in a state that the report does not tell (Yeastar CallStatus).
    #[default]
    Mentioned,
}

/// A queue as a report names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueMention {
    /// The device's own id of the queue (OM `waiting group`: not the group's number).
    pub id: Text,
    /// How many wait, the one reported included.
    pub count: Option<u32>,
}

/// A party of a call, as a report names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Party {
    /// A telephone of the exchange.
    Extension {
        /// Its number.
        number: Text,
        /// Its state in the call, where the report tells each party's own.
        state: Option<PartyState>,
    },
    /// An outside caller.
    Visitor(OutsideParty),
    /// An outside number that was called.
    Outer(OutsideParty),
    /// A voice menu.
    Menu {
        /// Its id.
        id: Text,
    },
}

/// An outside party; everything but what the report says is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OutsideParty {
    /// Wire id (`visitor id`, `outer id`, `inboundid`, `outboundid`); recycled by the device.
    pub id: Option<Text>,
    /// Calling number. Empty numbers are absent.
    pub from: Option<Text>,
    /// Called number.
    pub to: Option<Text>,
    /// The trunk, where the report names it.
    pub trunk: Option<Text>,
    /// The wire's id of this connection (OM `callid`); neither unique nor the same in the record.
    pub callid: Option<Text>,
    /// Its state in the call, where the report tells each party's own.
    pub state: Option<PartyState>,
}

/// The state of one party in reports that give each party's own (Yeastar CallStatus `memberstatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyState {
    /// Hears ringback.
    Alerting,
    /// Rings.
    Ringing,
    /// Talks.
    Talking,
    /// Is held.
    Held,
    /// Has left.
    Gone,
}

impl Party {
    /// An extension named without a state of its own.
    #[must_use]
    pub fn extension(number: impl Into<Text>) -> Self {
        Self::Extension { number: number.into(), state: None }
    }
}

impl CallFact {
    /// A fact about these parties, and nothing more yet.
    #[must_use]
    pub fn new(happening: Happening, parties: Vec<Party>) -> Self {
        Self { happening, parties, ..Self::default() }
    }
}

/// A call record as a device wrote it (OM 2.6, Yeastar NewCdr, ZYCOO cdr/cc_cdr/ivr).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CdrFact {
    /// The device's id of the record; for dialects without one, made from its content.
    pub wire_id: Text,
    /// `callid`, `uniqueid` or `uuid`.
    pub callid: Option<Text>,
    /// `visitor id`.
    pub visitor: Option<Text>,
    /// `outer id`.
    pub outer: Option<Text>,
    /// The record's type: `IN`, `OU`, `FI`, `FW`, `LO`, `CB`, or the vendor's own word.
    pub kind: Text,
    /// OM route: `IP`, `XO`, `IC`, `OP`.
    pub route: Option<Text>,
    /// Calling number.
    pub from: Option<Text>,
    /// Called number.
    pub to: Option<Text>,
    /// Trunk number.
    pub trunk: Option<Text>,
    /// Whose record it is: the extension's, or the trunk's (5.7).
    pub side: CdrSide,
    /// Which way the call went, where the record tells.
    pub direction: Option<crate::view::Direction>,
    /// Begin, as the device wrote it (its local time, without a zone).
    pub started_at_local: Option<Text>,
    /// End, as the device wrote it.
    pub ended_at_local: Option<Text>,
    /// Begin in UTC, by the device's zone; absent when the text is no time.
    pub started_at: Option<Timestamp>,
    /// End in UTC.
    pub ended_at: Option<Timestamp>,
    /// Talk time in seconds; 0 says that it was not answered.
    pub duration: Option<u32>,
    /// Recording path, not to be trusted as a file name.
    pub recording: Option<Text>,
    /// Codec of the recording (`RecCodec`).
    pub codec: Option<Text>,
    /// The record means that the whole call is over, not only one extension's part in it.
    pub closes_call: bool,
    /// What it tells of the way of a call that came in.
    #[serde(default)]
    pub way: CallWay,
    /// Everything else that the record says, by the vendor's own names.
    pub extra: Vec<(Text, Text)>,
}

/// The way of a call through the exchange, as far as its record tells (Yeastar `didnumber`; ZYCOO `cc_cdr`, `ivr`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallWay {
    /// Which part of the call the record is of.
    pub of: Extent,
    /// The number that the caller dialled.
    pub dialled: Option<Text>,
    /// The queue that it waited in.
    pub queue: Option<Text>,
    /// How many seconds it waited there.
    pub queue_seconds: Option<u32>,
    /// The voice menu that it passed.
    pub menu: Option<Text>,
    /// The keys that were pressed there.
    pub digits: Option<Text>,
    /// What the caller gave in a survey.
    pub score: Option<Text>,
}

/// Which part of a call a record is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// One party's.
    #[default]
    Party,
    /// Its way through a voice menu, which is nobody (ZYCOO `ivr`).
    Menu,
    /// The whole of it (ZYCOO `cc_cdr`, `cdr`).
    Whole,
}

/// Whose record a CDR is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CdrSide {
    /// The extension's part.
    #[default]
    Extension,
    /// The trunk's part.
    Trunk,
}
