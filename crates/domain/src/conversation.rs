//! Conversations: all that is known of one call, in one record.
//!
//! A call leaves one to four records on its device, each of one leg, and events that none of them repeats. A conversation
//! is what a person means by "the call": who called whom, who answered, how long it rang, waited and talked. It is joined
//! from both, so that it is there although some of them were lost, and says how sure it is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Text;
use crate::id::{CallId, CdrId, DeviceId};
use crate::time::Timestamp;
use crate::view::{Basis, Direction};

/// What became of a call.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Somebody talked.
    Answered,
    /// The caller gave up: in a queue, in a menu, or before anything rang.
    Abandoned,
    /// A telephone rang, and nobody answered.
    #[default]
    NoAnswer,
    /// Who was called was in another call.
    Busy,
    /// It was not let in.
    Rejected,
    /// It could not be made.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Answered, Self::Abandoned, Self::NoAnswer, Self::Busy, Self::Rejected, Self::Failed];

    /// The name in JSON, filters and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Abandoned => "abandoned",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }
}

/// How sure the outcome is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The device knows it.
    #[default]
    Certain,
    /// An analog line does not tell when it is answered (OM 5.6.2): the device takes it for answered once it has dialled.
    Assumed,
}

impl Confidence {
    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Assumed => "assumed",
        }
    }
}

/// A call was passed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Transfer {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// In which way.
    pub kind: TransferKind,
    /// By whom.
    #[schema(value_type = Option<String>)]
    pub by: Option<Text>,
    /// To whom, once somebody else had it.
    #[schema(value_type = Option<String>)]
    pub to: Option<Text>,
}

/// In which way a call was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    /// By somebody who had answered it.
    Transferred,
    /// By somebody who has calls forwarded.
    Diverted,
}

/// A recording of a call, or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordingRef {
    /// Its id: that of the record that named it.
    #[schema(value_type = String)]
    pub id: CdrId,
    /// Its name on the device.
    #[schema(value_type = String)]
    pub file: Text,
    /// Whose talk it is: an extension's or a trunk's number, where the record tells.
    #[schema(value_type = Option<String>)]
    pub of: Option<Text>,
}

/// A conversation; see the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Conversation {
    /// The call's id.
    #[schema(value_type = String)]
    pub id: CallId,
    /// The device it was on.
    #[schema(value_type = String)]
    pub device: DeviceId,
    /// Which way it went.
    pub direction: Direction,
    /// Who called.
    #[schema(value_type = Option<String>)]
    pub from: Option<Text>,
    /// What was called: for a call that came in, the number that was dialled.
    #[schema(value_type = Option<String>)]
    pub to: Option<Text>,
    /// Who answered first: an extension, or the outside number that was called.
    #[schema(value_type = Option<String>)]
    pub answered_by: Option<Text>,
    /// Over which trunk.
    #[schema(value_type = Option<String>)]
    pub trunk: Option<Text>,
    /// When the first report of it came.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When somebody answered first.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub ended_at: Timestamp,
    /// From the first ringing to the answer, or to the end.
    pub ring_seconds: Option<f64>,
    /// All of its waiting in queues.
    pub queue_seconds: Option<f64>,
    /// From the first answer to the end.
    pub talk_seconds: Option<f64>,
    /// What became of it.
    pub outcome: Outcome,
    /// How sure that is.
    pub confidence: Confidence,
    /// `observed`: events and records agree on it. `inferred`: one of them is missing, or its end was not reported.
    pub basis: Basis,
    /// The queue that it waited in last: the group's number where that is known, else the device's number of the queue.
    #[schema(value_type = Option<String>)]
    pub queue: Option<Text>,
    /// The voice menus that it passed, in order.
    #[schema(value_type = Vec<String>)]
    pub menus: Vec<Text>,
    /// The keys that were pressed, as they were reported.
    #[schema(value_type = Vec<String>)]
    pub digits: Vec<Text>,
    /// What the caller gave in a survey.
    #[schema(value_type = Option<String>)]
    pub score: Option<Text>,
    /// How it was passed on.
    pub transfers: Vec<Transfer>,
    /// Its recordings.
    pub recordings: Vec<RecordingRef>,
    /// The records of it.
    #[schema(value_type = Vec<String>)]
    pub cdrs: Vec<CdrId>,
}
