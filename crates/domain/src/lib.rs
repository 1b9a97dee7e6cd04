//! What Switchroom speaks of, without any vendor and without I/O.
//!
//! A report that a device pushed becomes a few [`fact`]s; the actors turn facts into state and into
//! [`event`]s; what a reader sees of the state is a [`view`]. Ids are newtypes ([`id`]); numbers and names
//! stay strings as they came ([`Text`]), because leading zeros, hyphens and `+` mean something.

pub mod command;
pub mod conversation;
pub mod event;
pub mod fact;
pub mod id;
pub mod outcome;
pub mod reply;
pub mod time;
pub mod view;

/// A short string as it came from a device: kept in place up to 24 bytes, never normalised.
pub type Text = compact_str::CompactString;
