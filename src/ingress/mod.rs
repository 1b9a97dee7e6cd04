//! The HTTP front that devices push to.
//!
//! A listener per arbiter: a connection is accepted, read, understood and answered on one thread, and only
//! the understood report crosses to the arbiter of its device. [`framing`] cuts the bytes into messages,
//! [`connection`] reads and answers, [`proof`] proves the device.
//!
//! What an answer of 200 promises: a call record is on disk; so is every report of a Yeastar, which would
//! repeat it otherwise; any other report of an OM or a ZYCOO is in its device's hands and will be logged, in
//! order, unless the service dies within the next milliseconds. Those devices read no answer and repeat
//! nothing, so waiting for the disk would gain nobody anything.

pub mod connection;
pub mod framing;
pub mod proof;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use switchroom_actors::ingress::Gate;
use tokio::net::TcpListener;

use crate::devices::{Registry, UnadoptedSenders};
use crate::metrics::Metrics;

/// Bounds on what a sender may do; all of them can be configured.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Bytes of a message's body.
    pub body_bytes: usize,
    /// Seconds for a whole message from its first byte.
    pub message_seconds: u32,
    /// Seconds that a kept connection may be silent between messages.
    pub idle_seconds: u32,
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time from one address.
    pub connections_per_source: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 16 * 1024,
            body_bytes: 64 * 1024,
            message_seconds: 10,
            idle_seconds: 900,
            connections: 20_000,
            connections_per_source: 10_000,
        }
    }
}

/// What every connection needs.
pub struct Front {
    /// Bounds.
    pub limits: Limits,
    /// The devices.
    pub registry: Arc<Registry>,
    /// Who is not one of them.
    pub unadopted: Arc<UnadoptedSenders>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Connections that are open now, by address.
    pub open: connection::Open,
}

/// Binds a listener that shares its port with those of the other arbiters.
///
/// # Errors
/// When the port is taken or not allowed.
pub fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let domain = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Answers on a kept connection go out at once; accepted connections inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Accepts connections on this arbiter until the service stops.
pub async fn accept(
    listener: std::net::TcpListener,
    front: Arc<Front>,
    gate: Gate,
    stopping: tokio::sync::watch::Receiver<bool>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the report listener cannot be used");
            return;
        }
    };
    let mut stop = stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                actix_rt::spawn(connection::serve(
                    stream,
                    peer,
                    Arc::clone(&front),
                    gate.clone(),
                    stopping.clone(),
                ));
            }
            Err(error) => {
                // Out of descriptors, most likely: give connections time to end instead of spinning.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
