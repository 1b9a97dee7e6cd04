//! A call leg: one party's part in one call.
//!
//! Takes [`crate::entity::Told::Moved`] from its device, and holds to one rule: a late report never moves it
//! back, and nothing brings it back once it is gone. Ends with its call; restarted with its cell from the
//! cell's snapshot.

mod actor;
pub mod state;

pub use actor::CallLeg;
pub use state::LegState;
