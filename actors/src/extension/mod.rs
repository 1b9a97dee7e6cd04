//! An extension: one telephone of an exchange.
//!
//! Takes [`crate::entity::Told`]: line reports (BUSY, IDLE, ONLINE, OFFLINE, …), the phases of its legs, the
//! restart of its device. Its displayed state is what both kinds of evidence say together: a live leg counts
//! more than an IDLE that may belong to an earlier call, and an IDLE that nothing explains away makes the
//! leg suspect. Restarted with its cell from the cell's snapshot.

mod actor;
pub mod state;
#[cfg(test)]
mod tests;

pub use actor::Extension;
pub use state::ExtensionState;
