//! A simulated OM over real sockets: commands in, and what they do to its telephones, its reports
//! and its truth.

#![allow(clippy::unwrap_used)]

mod faults;
mod http;
mod incoming;
mod placing;
mod support;
