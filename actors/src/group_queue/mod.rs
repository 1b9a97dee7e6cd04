//! A group's queue: who waits for a group of extensions, in what order, since when.
//!
//! Takes [`crate::entity::Told`]: a call entered (the device reports it, with its count), a call left (the
//! device never reports that; chapter 4.12 of the vendor's document says how it is known), the device
//! restarted. Restarted with its cell from the cell's snapshot.

mod actor;
pub mod state;

pub use actor::GroupQueue;
pub use state::QueueState;
