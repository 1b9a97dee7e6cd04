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

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use switchroom_actors::ingress::Gate;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use self::connection::{First, Going, Lingering, Parted};
use crate::devices::{Registry, UnadoptedSenders};
use crate::metrics::Metrics;
use crate::om_endpoint::Endpoint;

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
    /// How the listeners do.
    pub listeners: Arc<Listeners>,
    /// Where commands of applications go; none if they are not taken.
    pub commands: Option<Arc<Endpoint>>,
}

/// How the report listeners do.
#[derive(Debug, Default)]
pub struct Listeners {
    /// How many take reports.
    pub running: AtomicUsize,
    /// How many have ended though the service goes on.
    pub lost: AtomicUsize,
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
    socket.listen(BACKLOG as i32)?;
    Ok(socket.into())
}

/// So many connections may stand before the door.
const BACKLOG: usize = 4096;
/// So many connections are accepted before others on this arbiter have their turn.
const AT_A_TIME: usize = 64;
/// A new connection on which nothing has come yet is looked at so often, with others having their turn in between,
/// before it gets a task of its own.
const LOOKS: u8 = 4;
/// After so long a connection whose other side has not closed yet gets a task of its own.
const LOOK_AFTER: Duration = Duration::from_millis(20);

/// Accepts connections on this arbiter until the service stops.
pub async fn accept(
    listener: std::net::TcpListener,
    front: Arc<Front>,
    gate: Gate,
    stopping: tokio::sync::watch::Receiver<bool>,
) {
    let _runs = Runs { listeners: Arc::clone(&front.listeners), stopping: stopping.clone() };
    #[expect(deprecated, reason = "the listener owns its descriptor for as long as it is registered")]
    let listener = match AsyncFd::new(mio::net::TcpListener::from_std(listener)) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the report listener cannot be used");
            return;
        }
    };
    let mut stop = stopping.clone();
    // Connections that waited for the disk come back through here; no more than are open.
    let (closing_to, mut closing) = mpsc::unbounded_channel();
    let go = |going: Box<Going>| {
        let (stopping, closing) = (stopping.clone(), closing_to.clone());
        drop(actix_rt::spawn(async move {
            let going = match going.settled().await {
                Ok(answered) => match answered.part() {
                    Some(Parted::Lingers(lingering)) => {
                        // The listener may have ended; then this connection does too.
                        return drop(closing.send(lingering));
                    }
                    Some(Parted::Goes(going)) => going,
                    None => return,
                },
                Err(going) => going,
            };
            going.serve(stopping).await;
        }));
    };
    // Accepted, and nothing has come yet.
    let mut silent: Vec<(Box<Going>, u8)> = Vec::new();
    let mut lingering: VecDeque<Lingering> = VecDeque::new();
    let mut open = true;
    while open {
        let look = lingering.front().map(|first| first.since + LOOK_AFTER);
        let ready = tokio::select! {
            biased;
            _ = stop.wait_for(|stopping| *stopping) => {
                open = false;
                None
            }
            ready = listener.readable() => Some(ready),
            () = until(look), if look.is_some() => None,
            Some(waited) = closing.recv() => {
                lingering.push_back(waited);
                None
            }
            () = tokio::task::yield_now(), if !silent.is_empty() => None,
        };
        while let Ok(waited) = closing.try_recv() {
            lingering.push_back(waited);
        }
        let mut fresh = std::mem::take(&mut silent);
        match ready {
            None => {}
            Some(Ok(mut ready)) => {
                for _ in 0..AT_A_TIME {
                    match ready.try_io(|listener| listener.get_ref().accept()) {
                        Ok(Ok((stream, peer))) => fresh.extend(connection::open(stream, peer, &front, &gate)),
                        Ok(Err(error)) => {
                            // Out of descriptors, most likely: give connections time to end instead of spinning.
                            tracing::warn!(%error, "a connection could not be accepted");
                            tokio::time::sleep(Duration::from_millis(50)).await;
                            break;
                        }
                        Err(_would_block) => break,
                    }
                }
            }
            Some(Err(error)) => {
                tracing::error!(%error, "the report listener failed");
                break;
            }
        }
        if !open {
            // What stands before the door has sent its report already, and would be cut off: the last are taken in.
            let last = std::iter::from_fn(|| listener.get_ref().accept().ok()).take(BACKLOG);
            fresh.extend(last.filter_map(|(stream, peer)| connection::open(stream, peer, &front, &gate)));
        }
        let mut answers = Vec::new();
        for (going, looks) in fresh {
            match going.first() {
                First::Answer(answered) => answers.push(answered),
                First::Silent(going) if looks < LOOKS && open => silent.push((going, looks + 1)),
                First::Silent(going) | First::Goes(going) => go(going),
                First::Over => {}
            }
        }
        // Written together: whoever is woken by the first finds the others there.
        for answered in answers {
            match answered.part() {
                Some(Parted::Lingers(closing)) => lingering.push_back(closing),
                Some(Parted::Goes(going)) => go(going),
                None => {}
            }
        }
        let now = Instant::now();
        while let Some(closing) = lingering.pop_front_if(|first| first.since + LOOK_AFTER <= now) {
            if let Some(going) = closing.look() {
                go(going);
            }
        }
        tokio::task::yield_now().await;
    }
    lingering.into_iter().filter_map(Lingering::look).for_each(go);
}

/// Counts a listener while it runs, and one that ends though the service goes on; `/readyz` tells.
struct Runs {
    listeners: Arc<Listeners>,
    stopping: tokio::sync::watch::Receiver<bool>,
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.listeners.running.fetch_sub(1, Relaxed);
        if !*self.stopping.borrow() {
            tracing::error!("a report listener has ended; restart the service");
            self.listeners.lost.fetch_add(1, Relaxed);
        }
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}
