//! The reconciler of a device: asks it what its reports may have failed to tell.
//!
//! Reports get lost, so what is known may be wrong for as long as nobody asks. Asking costs the device, which answers one
//! at a time and has calls to make. So [`state`] decides when and what: everything once at the start, after a boot and
//! when the device answers again; what is in doubt as soon as the device has been quiet for a moment; and otherwise
//! slowly, all the time: on average no more than one question every two seconds. What contradicts the model is asked once more after the time in which a
//! report can be under way; if it is still so, it is corrected, through the cell's own log.
//!
//! It keeps nothing that a restart would lose: it begins anew, with everything.

pub mod actor;
pub mod state;

#[cfg(test)]
mod tests;

pub use actor::Reconciler;
