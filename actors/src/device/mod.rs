//! A device: one exchange, and the head of its cell.
//!
//! Takes [`crate::ingress::Delivery`] (a report) or a deadline, asks its entities, stamps what follows and hands it
//! to the recorder as one [`crate::ports::Record`]. Takes readers' questions ([`messages`]) about all of its
//! entities and calls. When it or one of its entities dies, its whole cell is rebuilt from the last snapshot
//! and the log after it; see [`crate::supervision`].

mod actor;
pub mod binding;
pub mod call;
#[cfg(test)]
mod cell_tests;
pub mod conversation;
pub mod messages;
pub mod offline;
pub mod plan;
pub mod state;
#[cfg(test)]
mod tests;

pub(crate) use actor::MAILBOX;
pub use actor::{Device, DeviceSettings};
pub use state::{CellState, Effects, Work};
