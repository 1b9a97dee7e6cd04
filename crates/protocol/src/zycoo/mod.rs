//! ZYCOO: objects over HTTP, of which the vendor's document does not say in which form. JSON, forms and the
//! JavaScript literals that it prints are all read.
//!
//! [`report`] is what a report says, [`decode`] and [`encode`] are the way between it and bytes, and
//! [`translate`] is what it means.

mod decode;
mod encode;
mod form;
mod record;
pub mod report;
mod translate;

pub use decode::decode;
pub(crate) use decode::objects;
pub use encode::{Form, encode};
pub use translate::translate;
