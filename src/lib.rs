//! Switchroom: the control plane for a fleet of telephone exchanges.
//!
//! # The way of a report
//!
//! 1. **Bytes arrive** at [`ingress`], on the thread that accepted the connection; it cuts them into messages
//!    within its limits.
//! 2. **The device is found and proven**: by report path, MAC or SN, or source ([`devices`]); then by its proof
//!    ([`ingress::proof`]).
//! 3. **It is understood**: `switchroom_protocol` decodes and translates to canonical facts. From here on
//!    nobody knows the vendor.
//! 4. **Its cell takes it** ([`switchroom_actors`]): the device actor applies it with its entities and hands the
//!    report, its secrets struck out, with all of its effects to the recorder.
//! 5. **It is committed** ([`storage::writer`]): the report, events, calls and records in one transaction.
//! 6. **Its events are published** ([`storage::hub`]), once, in the device's order; streams and [`webhooks`] are cursors.
//! 7. **One outcome is counted** ([`metrics`]).
//!
//! What the HTTP answer promises is written in [`ingress`].

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod delivery;
pub mod devices;
pub mod forwarding;
pub mod ingress;
pub mod keeping;
pub mod link;
pub mod metrics;
pub mod numbers;
pub mod om_endpoint;
pub mod outward;
pub mod privacy;
pub mod random;
pub mod recordings;
pub mod storage;
pub mod targets;
pub mod webhooks;
