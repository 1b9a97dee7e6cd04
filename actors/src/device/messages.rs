//! What a device is asked. Facts come as [`crate::ingress::Delivery`].

use actix::prelude::*;
use switchroom_domain::Text;
use switchroom_domain::fact::Correction;
use switchroom_domain::id::CallId;
use switchroom_domain::reply::Reply;
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{CallView, ExtensionView, GroupView, TrunkView};

use crate::reconcile::state::Question;

/// Asks for the device's own state.
#[derive(Message)]
#[rtype(result = "DeviceStatus")]
pub struct GetStatus;

/// A device's own live state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceStatus {
    /// When its last report came.
    pub last_report_at: Option<Timestamp>,
    /// How often it was reported to have started.
    pub boots: u64,
    /// Its count of events.
    pub sequence: u64,
    /// How many extensions are known.
    pub extensions: usize,
    /// How many trunks are known.
    pub trunks: usize,

    /// How many calls are live.
    pub calls: usize,
    /// It has stopped to answer.
    pub unreachable: bool,
    /// When it was last reported to have started.
    pub booted_at: Option<Timestamp>,
    /// Messages that wait in its mailbox cannot be seen; this is how many reports it applied since it was
    /// started here.
    pub applied: u64,
}

/// Asks for its extensions: one, or all, by number.
#[derive(Message)]
#[rtype(result = "Vec<ExtensionView>")]
pub struct GetExtensions(pub Option<Text>);

/// Asks for its trunks: one, or all.
#[derive(Message)]
#[rtype(result = "Vec<TrunkView>")]
pub struct GetTrunks(pub Option<Text>);

/// Asks for its queues.
#[derive(Message)]
#[rtype(result = "Vec<GroupView>")]
pub struct GetGroups;

/// Asks for its calls: one (live, or ended a moment ago), or all live ones.
#[derive(Message)]
#[rtype(result = "Vec<CallView>")]
pub struct GetCalls(pub Option<CallId>);

/// Asks what of the device is in doubt, and what is there to be asked about.
#[derive(Message)]
#[rtype(result = "Doubts")]
pub struct GetDoubts;

/// What is there to be asked about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Doubts {
    /// How often the device was reported to have started.
    pub boots: u64,
    /// Extensions that are not idle by what is known, those in internal calls first.
    pub active: Vec<Text>,
    /// The others.
    pub idle: Vec<Text>,
}

/// Compares a device's answer with what is known; gives what is wrong by it.
#[derive(Message)]
#[rtype(result = "Vec<Correction>")]
pub struct Compare {
    /// What was asked.
    pub question: Question,
    /// What the device said.
    pub answer: Reply,
    /// When it was asked.
    pub asked_at: Timestamp,
}

/// Writes the cell down now, if it changed; answered when the snapshot is with the recorder.
#[derive(Message)]
#[rtype(result = "()")]
pub struct WriteDown;

/// Ends the cell: the device was removed, or the service stops.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Retire;
