//! Views: what a reader of the model sees. These are the JSON shapes of the REST API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Text;
use crate::command::Command;
use crate::id::{CallId, CommandId, DeviceId, LegId};
use crate::reply::Reply;
use crate::time::Timestamp;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// A report said so.
    #[default]
    Observed,
    /// It follows from reports, though none said it.
    Inferred,
    /// The device was asked.
    Reconciled,
    /// It was true once; the device has been silent or restarted since.
    Stale,
}

impl Basis {
    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Inferred => "inferred",
            Self::Reconciled => "reconciled",
            Self::Stale => "stale",
        }
    }
}

/// The state of an extension.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExtensionState {
    /// On hook and reachable.
    Idle,
    /// Ringing.
    Ringing,
    /// Dialling, talking or waiting.
    Busy,
    /// Not reachable.
    Offline,
    /// Nothing is known.
    #[default]
    Unknown,
}

/// The state of a trunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrunkState {
    /// Usable, no call on it.
    Ready,
    /// At least one call on it.
    Active,
    /// An analog line without a wire.
    Unwired,
    /// An IP line that is not registered.
    Offline,
    /// Nothing is known.
    #[default]
    Unknown,
}

/// Which way a call goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From outside.
    Inbound,
    /// To outside.
    Outbound,
    /// Between extensions.
    #[default]
    Internal,
    /// Two outside numbers, both called by the exchange.
    Callback,
}

impl Direction {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 4] = [Self::Inbound, Self::Outbound, Self::Internal, Self::Callback];

    /// The name in JSON and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Internal => "internal",
            Self::Callback => "callback",
        }
    }
}

/// The state of a call.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Asks to come in.
    Invited,
    /// Was let in, waits to be routed.
    Incoming,
    /// Waits in a queue.
    Queued,
    /// Hears a menu.
    InMenu,
    /// Is being dialled; nothing rings yet.
    #[default]
    Dialing,
    /// Somebody's telephone rings.
    Ringing,
    /// Two parties talk.
    Talking,
    /// Is held.
    Held,
    /// Is over.
    Ended,
}

impl CallState {
    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Incoming => "incoming",
            Self::Queued => "queued",
            Self::InMenu => "in_menu",
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::Talking => "talking",
            Self::Held => "held",
            Self::Ended => "ended",
        }
    }
}

/// What a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegKind {
    /// A telephone of the exchange.
    Extension,
    /// An outside caller.
    Visitor,
    /// An outside number that was called.
    Outer,
    /// A voice menu.
    Menu,
}

/// An extension, live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExtensionView {
    /// Its number.
    #[schema(value_type = String, example = "200")]
    pub number: Text,
    /// The device's name of its line (`Phone 1`), once it is known.
    #[schema(value_type = Option<String>)]
    pub line_id: Option<Text>,
    /// Its state.
    pub state: ExtensionState,
    /// Where that comes from.
    pub basis: Basis,
    /// Since when it is so.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// From where it registered last, where the device says.
    #[schema(value_type = Option<String>)]
    pub address: Option<Text>,
    /// The calls it is part of.
    #[schema(value_type = Vec<String>)]
    pub calls: Vec<CallId>,
    /// Calls that wait for it in its own queue.
    #[schema(value_type = Vec<String>)]
    pub waiting: Vec<CallId>,
}

/// A trunk, live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrunkView {
    /// Its number.
    #[schema(value_type = String, example = "02161208234")]
    pub number: Text,
    /// The device's name of its line (`IPLine 21`), once it is known.
    #[schema(value_type = Option<String>)]
    pub line_id: Option<Text>,
    /// Its state.
    pub state: TrunkState,
    /// Where that comes from.
    pub basis: Basis,
    /// Since when it is so.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// The calls on it.
    #[schema(value_type = Vec<String>)]
    pub calls: Vec<CallId>,
}

/// A call that waits in a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WaitingView {
    /// The call.
    #[schema(value_type = String)]
    pub call: CallId,
    /// Who calls.
    #[schema(value_type = Option<String>)]
    pub from: Option<Text>,
    /// Its place, from 1.
    pub position: usize,
    /// Since when it waits.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// A group and its queue, live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupView {
    /// The group's number; absent until it is known (reports name only the queue).
    pub group: Option<u32>,
    /// What the device calls its queue (`waiting group`).
    #[schema(value_type = String)]
    pub queue_id: Text,
    /// Its members, once they are known.
    #[schema(value_type = Option<Vec<String>>)]
    pub members: Option<Vec<Text>>,
    /// How calls are distributed (`sequential`, `circular`, `group`), once it is known.
    #[schema(value_type = Option<String>)]
    pub distribution: Option<Text>,
    /// What waiting callers hear, once it is known.
    #[schema(value_type = Option<String>)]
    pub voice_file: Option<Text>,
    /// Who waits, first in line first.
    pub waiting: Vec<WaitingView>,
    /// How many wait.
    pub waiting_count: usize,
    /// Where that comes from.
    pub basis: Basis,
}

/// A leg of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LegView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: LegId,
    /// What it is.
    pub kind: LegKind,
    /// The extension's number, the outside number, or the menu's id.
    #[schema(value_type = Option<String>)]
    pub number: Option<Text>,
    /// The wire's id of it (`visitor`, `outer`).
    #[schema(value_type = Option<String>)]
    pub wire_id: Option<Text>,
    /// The wire's `callid`.
    #[schema(value_type = Option<String>)]
    pub callid: Option<Text>,
    /// Its state.
    pub state: CallState,
    /// Where that comes from.
    pub basis: Basis,
}

/// A call with its legs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: CallId,
    /// The device it is on.
    #[schema(value_type = String)]
    pub device: DeviceId,
    /// Which way it goes.
    pub direction: Direction,
    /// Its state.
    pub state: CallState,
    /// Who called.
    #[schema(value_type = Option<String>)]
    pub from: Option<Text>,
    /// What was called: inbound, the number that the caller dialled.
    #[schema(value_type = Option<String>)]
    pub to: Option<Text>,
    /// The trunk it came in or went out by.
    #[schema(value_type = Option<String>)]
    pub trunk: Option<Text>,
    /// When its first report came.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When somebody answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Why it ended: `hangup`, `abandoned`, `failed`, `reboot`, `superseded`, `record`, `silence`.
    #[schema(value_type = Option<String>)]
    pub end_reason: Option<Text>,
    /// Where its state comes from.
    pub basis: Basis,
    /// Its parties, in the order in which they joined.
    pub legs: Vec<LegView>,
}

/// A call record, as the API gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CdrView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: crate::id::CdrId,
    /// The device it is of.
    #[schema(value_type = String)]
    pub device: DeviceId,
    /// The device's own id of it.
    #[schema(value_type = String)]
    pub wire_id: Text,
    /// The call it belongs to; null when no report of that call was seen.
    #[schema(value_type = Option<String>)]
    pub call: Option<CallId>,
    /// `IN`, `OU`, `FI`, `FW`, `LO`, `CB`, or the vendor's own word.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: Text,
    /// OM route.
    #[schema(value_type = Option<String>)]
    pub route: Option<Text>,
    /// Which way the call went, where the record tells.
    #[serde(default)]
    pub direction: Option<Direction>,
    /// What came of it, by this record alone.
    #[serde(default)]
    pub outcome: Option<crate::conversation::Outcome>,
    /// Whose record it is.
    #[schema(value_type = String, example = "extension")]
    pub side: crate::fact::CdrSide,
    /// Calling number.
    #[schema(value_type = Option<String>)]
    pub from: Option<Text>,
    /// Called number.
    #[schema(value_type = Option<String>)]
    pub to: Option<Text>,
    /// Trunk number.
    #[schema(value_type = Option<String>)]
    pub trunk: Option<Text>,
    /// Begin, in UTC by the device's zone.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// End.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Talk time in seconds.
    pub duration: Option<u32>,
    /// Recording path.
    #[schema(value_type = Option<String>)]
    pub recording: Option<Text>,
    /// When it came in.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Timestamp,
    /// Further fields by the vendor's own names.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// It waits for its turn.
    Accepted,
    /// It is on its way to the device, or it is being found out what became of it.
    Sent,
    /// The device did it, or has begun to.
    Succeeded,
    /// It was not done.
    Failed,
    /// It cannot be known whether the device did it.
    Unknown,
}

impl CommandState {
    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Is nothing more to come?
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Unknown)
    }
}

/// Why a command did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandError {
    /// The device's own code (OM FAILED 1 to 8, unauthorized 100 to 104); null when it is not the device that says so.
    pub code: Option<u32>,
    /// `refused` (by the device), `unauthorized`, `not_sent`, `expired` (before its turn came), `silent` (the device
    /// does not answer), `lost` (it may or may not have been done), `not_done` (the device was asked: it was not).
    #[schema(value_type = String)]
    pub kind: Text,
    /// For people: what happened, and what to do.
    #[schema(value_type = String)]
    pub reason: Text,
}

/// A command and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: CommandId,
    /// The device it is for.
    #[schema(value_type = String)]
    pub device: DeviceId,
    /// Its name.
    #[schema(value_type = String, example = "connect")]
    pub command: Text,
    /// All of it, as it was posted.
    #[schema(value_type = Object)]
    pub request: Command,
    /// What became of it.
    pub state: CommandState,
    /// The device's answer.
    #[schema(value_type = Option<Object>)]
    pub reply: Option<Reply>,
    /// Why it did not succeed.
    pub error: Option<CommandError>,
    /// The call that it made, or that it was about.
    #[schema(value_type = Option<String>)]
    pub call: Option<CallId>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it went to the device.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sent_at: Option<Timestamp>,
    /// When its outcome was known.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub settled_at: Option<Timestamp>,
}
