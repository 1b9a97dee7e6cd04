//! The whole system: a real service, real sockets, real devices' bytes.

mod commands;
mod house;
mod ingress;
mod memory;
mod offline;
mod om_endpoint;
mod truth;
