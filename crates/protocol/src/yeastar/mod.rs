//! Yeastar S-series: JSON over HTTP, in four generations that differ in how they write the parties of a call.
//!
//! [`report`] is what a report says, [`decode`] and [`encode`] are the way between it and bytes, and
//! [`translate`] is what it means. Reports come only to who is logged in: [`session`] is about that.

mod decode;
mod encode;
pub mod report;
pub mod session;
mod translate;

pub use decode::decode;
pub use encode::{Form, encode};
pub use translate::translate;
