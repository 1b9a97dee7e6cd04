//! The whole system: a real service, real sockets, real devices' bytes.

mod house;
mod ingress;
mod memory;
mod offline;
mod truth;
