//! The living model: every device, extension, trunk, call leg and group queue as an actor, and nothing else.
//! No socket, no database, no vendor in here; what the actors need from outside they ask for as [`ports`].
//!
//! # The way of a report through this crate
//!
//! 1. [`ingress`] is handed a decoded report for a device that was found and proven. It draws the id seed and
//!    passes a [`ingress::Delivery`] to the device's mailbox; a full mailbox makes the sender wait.
//! 2. [`device`] applies it: [`device::state`] binds each fact to a call, and says which entities must hear
//!    of it. The device actor asks them (same arbiter, so a hop costs less than a microsecond) and hands
//!    their replies back to the state, until nothing is left to ask.
//! 3. [`call_leg`], [`extension`], [`trunk`] and [`group_queue`] each keep one thing true, whatever order the
//!    reports come in, and reply with what changed.
//! 4. The device stamps the resulting events `(device, sequence)` and hands one [`ports::Record`], the raw
//!    report with all of its effects, to the [`recorder`], which passes it to the store in order.
//! 5. Once it is committed, the store publishes the events and settles what waited for the commit.
//!
//! Messages flow downwards only (ingress → device → entities, device → recorder): a cycle of bounded
//! mailboxes could deadlock.
//!
//! A device and its entities are one **cell**, the unit of order, snapshot and restart; [`supervision`]
//! rebuilds a cell from its snapshot and the log when any of its actors dies.

pub mod call_leg;
pub mod census;
pub mod command;
pub mod device;
pub mod directory;
pub mod entity;
pub mod extension;
pub mod group_queue;
pub mod ingress;
pub mod ports;
pub mod reconcile;
pub mod recorder;
pub mod shell;
pub mod supervision;
pub mod trunk;
