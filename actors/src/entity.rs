//! What device and entities say to each other: one message in, one reply out, on the same arbiter.

use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::event::{EventData, EventKind};
use switchroom_domain::fact::LineStatus;
use switchroom_domain::id::{CallId, LegId};
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_domain::view::Basis;

/// The settings that decide how doubtful reports are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// Within this time a report may be overtaken by another, or come twice. Measured on devices: 500 ms.
    pub overtake: Millis,
    /// How long a call may stand without the report that should have ended it, once other evidence (IDLE,
    /// a record, the other party's release) says that it is over.
    pub release: Millis,
}

impl Default for Doubt {
    fn default() -> Self {
        Self { overtake: Millis(1000), release: Millis(1500) }
    }
}

/// Which entity of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Entity {
    /// The extension of this number.
    Extension(Text),
    /// The trunk of this number.
    Trunk(Text),
    /// A call leg.
    Leg(LegId),
    /// The queue that the device calls so.
    Queue(Text),
    /// Every extension, trunk and queue of the cell; their replies are joined into one.
    Everyone,
}

/// What an entity is told. Past tense: it happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// An extension's line or registration was reported.
    LineReported {
        /// What it does.
        status: LineStatus,
        /// From where it registered.
        address: Option<Text>,
    },
    /// A leg of the extension is in this phase now.
    LegMoved {
        /// Of which call.
        call: CallId,
        /// Which leg.
        leg: LegId,
        /// Its phase.
        phase: Phase,
        /// Where that comes from.
        basis: Basis,
    },
    /// A leg moves; sent to the leg itself.
    Moved(LegMove),
    /// A call uses the trunk.
    Seized {
        /// Which call.
        call: CallId,
    },
    /// A call no longer uses the trunk.
    Released {
        /// Which call.
        call: CallId,
    },
    /// The device said, when it was asked, what the extension's line does.
    LineAsked {
        /// What it does.
        status: LineStatus,
    },
    /// The device has this extension or trunk, on this line.
    Known {
        /// The line.
        line_id: Option<Text>,
    },
    /// The trunk was named in a report, outside of any call.
    Mentioned,
    /// A call entered the queue.
    CallEntered {
        /// Which call.
        call: CallId,
        /// Who waits.
        from: Option<Text>,
        /// How many waited then, this one included, by the device's own count.
        count: Option<u32>,
    },
    /// A call left the queue.
    CallLeft {
        /// Which call.
        call: CallId,
    },
    /// The queue's group number became known.
    GroupLearned {
        /// The number.
        group: u32,
    },
    /// The device restarted: what was live is gone.
    DeviceRestarted,
    /// A point in time that the entity asked for has come.
    DoubtExpired,
}

/// How a leg is to move.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LegMove {
    /// The phase that the report speaks of.
    pub phase: Option<Phase>,
    /// Move there even if it is a step back (a visitor that was transferred rings again).
    pub back: bool,
    /// Where this comes from.
    pub basis: Basis,
    /// The number, if it was not known.
    pub number: Option<Text>,
    /// The wire id, if it was not known.
    pub wire_id: Option<Text>,
    /// The wire's `callid`; the last one counts.
    pub callid: Option<Text>,
}

/// What a leg does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Is being set up.
    #[default]
    Dialing,
    /// Asks to come in.
    Invited,
    /// Is in, waits to be routed.
    Incoming,
    /// Waits in a queue.
    Queued,
    /// Hears a menu.
    InMenu,
    /// Hears ringback.
    Alerting,
    /// Rings.
    Ringing,
    /// Talks.
    Talking,
    /// Is held.
    Held,
    /// Has left the call.
    Gone,
}

impl Phase {
    /// How far along a call this is; a late report never moves a leg back.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Dialing => 0,
            Self::Invited => 1,
            Self::Incoming => 2,
            Self::Queued | Self::InMenu => 3,
            Self::Alerting | Self::Ringing => 4,
            Self::Talking | Self::Held => 5,
            Self::Gone => 6,
        }
    }

    /// Is the leg still in its call?
    #[must_use]
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Gone)
    }
}

/// What an entity replies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// The phase of a leg now.
    pub phase: Option<Phase>,
    /// Whether that phase is new.
    pub moved: bool,
    /// Events that this causes, in order.
    pub drafts: Vec<Draft>,
    /// When the entity wants to be told [`Told::DoubtExpired`]; replaces what it asked before.
    pub deadline: Deadline,
    /// Legs that by the entity's evidence are over although nobody said so.
    pub suspects: Vec<(CallId, LegId)>,
    /// Legs that by the entity's evidence were answered although nobody said so.
    pub picked_up: Vec<(CallId, LegId)>,
    /// The entity's state class before and after, for counting; see [`crate::census`].
    pub class: Option<(u8, u8)>,
    /// How long a call waited in the queue that it left.
    pub waited: Option<Millis>,
    /// The number of the queue's group, once it is known.
    pub group: Option<u32>,
}

impl Reply {
    /// Joins the replies of several into one.
    pub fn join(&mut self, other: Self) {
        self.drafts.extend(other.drafts);
        self.suspects.extend(other.suspects);
        self.picked_up.extend(other.picked_up);
    }
}

/// A request to be woken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deadline {
    /// As before.
    #[default]
    Unchanged,
    /// At this time.
    At(Timestamp),
    /// No longer.
    Never,
}

/// An event before its cell has stamped it.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What it tells.
    pub kind: EventKind,
    /// What it is about.
    pub subject: Text,
    /// What it says.
    pub data: EventData,
}
