//! New Rock OM: XML over HTTP (chapters 2.5, 2.6 and 4.5 of the vendor's API manual).
//!
//! [`report`] is what a document says, [`decode`] and [`encode`] are the way between it and bytes, and
//! [`translate`] is what it means.

mod cdr;
mod decode;
mod encode;
pub mod report;
mod translate;

pub use decode::decode;
pub use encode::encode;
pub use translate::translate;
