//! What a device is asked. Facts come as [`crate::ingress::Delivery`].

use actix::prelude::*;
use switchroom_domain::Text;
use switchroom_domain::id::CallId;
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{CallView, ExtensionView, GroupView, TrunkView};

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

/// Writes the cell down now, if it changed; answered when the snapshot is with the recorder.
#[derive(Message)]
#[rtype(result = "()")]
pub struct WriteDown;

/// Ends the cell: the device was removed, or the service stops.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Retire;
