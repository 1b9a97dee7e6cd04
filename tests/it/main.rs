//! The whole system: a real service, real sockets, real devices' bytes.

mod certain;
mod client;
mod commands;
mod conversations;
mod coverage;
mod forwarding;
mod house;
mod ingress;
mod link_tls;
mod memory;
mod migrate_store;
mod offline;
mod om_endpoint;
mod postgres;
mod recordings;
mod records;
mod second_ring;
mod support;
mod target_faults;
mod targets;
mod truth;
mod webhook_faults;
mod webhooks;
mod yeastar_login;
