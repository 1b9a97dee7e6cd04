//! New Rock OM: XML over HTTP (chapters 2, 4 and 6 of the vendor's API manual).
//!
//! Reports come from the device: [`report`] is what a document says, [`decode`] and [`encode`] are the way
//! between it and bytes, and [`translate`] is what it means. Commands go to it: [`encode_command`] writes
//! one, [`decode_reply`] reads the answer, [`decode_command`] reads what another application asks;
//! [`capabilities`] tells which device understands what, and [`parameters`] are set through its web
//! pages, and [`web`] reads what another application asks of these.

pub mod capabilities;
mod cdr;
mod command;
mod decode;
mod encode;
pub mod parameters;
mod reply;
pub mod report;
mod request;
mod restate;
mod settings;
mod translate;
mod tree;
pub mod web;

pub use command::encode_command;
pub use decode::decode;
pub use encode::encode;
pub use reply::decode_reply;
pub use request::{Misunderstood, OmCommand, decode_command};
pub use restate::restate_command;
pub use translate::translate;
