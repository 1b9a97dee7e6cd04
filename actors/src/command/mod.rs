//! The command supervisor of a device: what is to be done next, and what became of what was done.
//!
//! A device takes one command at a time, over one short connection each; it may be slow, silent, or cut off in the
//! middle. So its commands stand in a bounded queue, those that a caller waits for in front ([`state`]). Each is in
//! the command log before it goes out, and settles exactly once:
//!
//! | what happens | what follows |
//! | --- | --- |
//! | the device answers | it succeeded, or was refused |
//! | nothing reached the device | it failed: nothing was done |
//! | it may have reached the device, and doing it again changes nothing | it is sent once more |
//! | it may have reached the device, and it might ring a telephone | it is never sent again: the cell is asked whether it saw the call, then the device is ([`verify`]), until one of them knows or [`Settings::find_out_within`] is over; then it is *unknown* |
//! | its turn does not come in time | it failed: nothing was done |
//! | the device has been silent several times running | the breaker opens: new commands are refused at once, and the device is asked now and then until it answers |
//!
//! The actor has no state that its log lacks: after a restart [`messages::Recover`] brings what had not settled. What
//! had not been sent takes its place again, and of what had been sent it is found out what became of it.

pub mod actor;
pub mod messages;
pub mod state;
pub mod verify;

#[cfg(test)]
mod tests;

pub use actor::CommandSupervisor;
pub use state::Settings;
