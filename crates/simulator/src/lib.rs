//! A fleet of pretend telephone exchanges on real sockets, with their ground truth.
//!
//! The way of a report:
//!
//! 1. **Something happens** in the engine (`engine/`): a device is a set of telephones, trunks, groups and
//!    menus, and its calls are small state machines with one timer each. Time is an argument and
//!    chance a seed, so the same seed makes the same calls.
//! 2. **It is put into words** by the device's dialect (`dialect/`): templates made from the vendors'
//!    documents and from captured traffic, one file a vendor. This crate shares no code with the
//!    one that reads such reports; so each checks the other.
//! 3. **The wire may go wrong**: [`Faults`] drop, double and hold back reports, decided by dice of
//!    their own.
//! 4. **It is sent** as the vendor's devices send: each device has a line of its own that keeps the
//!    order, on short connections or a kept one, closed early or late; a Yeastar repeats until it is
//!    answered 200, the others never do.
//! 5. **It is counted**: every report was sent, or dropped, or is still pending.
//!
//! An OM also takes commands (`om/`, and `fleet/commands.rs` for their HTTP): they act on the same
//! state machines, and are answered in the words of the vendor's document.
//!
//! The [`Truth`] is read from the state machines of step 1, never from reports, and is told on the
//! admin port and by [`Fleet::truth`]. [`Fleet`] runs all of it; [`script`](fn@script) runs the
//! first two steps alone, as fast as they go, for benchmarks.
//!
//! ```no_run
//! # async fn run() -> anyhow::Result<()> {
//! use switchroom_simulator::{Fleet, FleetConfig};
//!
//! let fleet = Fleet::start(FleetConfig { devices: 1, ..FleetConfig::default() }).await?;
//! fleet.place_call("sim-1", "13012345678", "888")?;
//! println!("{:?}", fleet.truth().devices["sim-1"].calls);
//! fleet.stop().await;
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod dialect;
mod dice;
mod engine;
mod fleet;
mod om;
mod script;

pub use config::{Close, Connection, Dialect, Faults, FleetConfig, Method, Mix, RecordingConfig};
pub use dialect::{Content, Report};
pub use engine::{
    AcceptTruth, CallTruth, DeviceTruth, Direction, Emission, EndedCall, Engine, LegTruth, MenuTruth, Truth,
    Watching,
};
pub use fleet::{CommandFault, DeviceAction, DeviceFault, Fleet, RecordingFault};
pub use script::{Requests, script};
