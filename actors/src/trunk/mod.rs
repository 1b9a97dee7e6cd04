//! A trunk: one line, or one account, to the outside.
//!
//! Takes [`crate::entity::Told`]: a call seized it, released it, a report named it, the device restarted. No
//! report of an OM tells the state of a trunk; that it is active follows from the calls on it. Restarted with
//! its cell from the cell's snapshot.

mod actor;
pub mod state;

pub use actor::Trunk;
pub use state::TrunkState;
