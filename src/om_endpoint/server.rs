//! HTTP as an OM's own server speaks it: lines that end in CRLF or LF, one request a connection, every answer HTTP/1.0.
//!
//! Applications were only ever tried with that server, and some close right after sending, or read once: an answer is one
//! write, and a command that has arrived is carried out whoever still listens.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use switchroom_domain::id::DeviceId;
use switchroom_protocol::om::web;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Busy, Endpoint, Outcome, Way, reply};
use crate::ingress::Limits;
use crate::ingress::connection::{Open, drain};
use crate::ingress::framing::{self, Message, More, Refusal, Step, Waiting};

/// Bounds on what a sender may do.
const LIMITS: Limits = Limits {
    head_bytes: 16 * 1024,
    body_bytes: 64 * 1024,
    message_seconds: 10,
    idle_seconds: 10,
    connections: 512,
    connections_per_source: 128,
};
/// How long a body without a length may be silent before it is taken to be whole.
const OPEN_BODY: Duration = Duration::from_secs(1);
/// How long a whole document without a length is kept back for more of it.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a sender may take to take its answer.
const WRITE: Duration = Duration::from_secs(5);

/// What listens.
pub struct Server {
    endpoint: Arc<Endpoint>,
    open: Open,
}

/// A connection, counted until it ends.
struct Counted {
    server: Arc<Server>,
    source: IpAddr,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.server.open.leave(self.source);
    }
}

impl Server {
    /// Opens the listener and serves it until the service stops.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(endpoint: Arc<Endpoint>, address: SocketAddr) -> std::io::Result<SocketAddr> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let server = Arc::new(Self { endpoint, open: Open::default() });
        drop(actix_rt::spawn(server.accept(listener)));
        Ok(address)
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut stopping = self.endpoint.services.stopping.subscribe();
        loop {
            let accepted = tokio::select! {
                biased;
                // An error means that the service has gone.
                _ = stopping.wait_for(|stopping| *stopping) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let source = peer.ip().to_canonical();
                    if self.open.enter(source, &LIMITS) {
                        let counted = Counted { server: Arc::clone(&self), source };
                        drop(actix_rt::spawn(converse(counted, stream)));
                    } else {
                        self.endpoint.count(Outcome::Refused);
                        tracing::warn!(%source, "a connection to the OM-compatible endpoint was refused: too many are open");
                    }
                }
                Err(error) => {
                    // Out of descriptors, most likely: give connections time to end instead of spinning.
                    tracing::warn!(%error, "a connection to the OM-compatible endpoint could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// One connection: one request, one answer.
async fn converse(counted: Counted, mut stream: TcpStream) {
    let endpoint = &counted.server.endpoint;
    let _busy = Busy::enter(&endpoint.busy);
    // Answers are one write each; nothing is gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let answer = match request(&mut stream, endpoint.services.stopping.subscribe()).await {
        Ok(None) => return,
        Ok(Some(message)) => respond(endpoint, counted.source, message).await,
        Err(refusal) => {
            endpoint.count(Outcome::Refused);
            tracing::debug!(source = %counted.source, detail = refusal.detail, "a request was refused");
            reply::http(if refusal.status == 405 { 501 } else { refusal.status }, b"", None)
        }
    };
    if let Ok(Ok(())) = timeout(WRITE, stream.write_all(&answer)).await
        && stream.shutdown().await.is_ok()
    {
        // Read away what is on its way, or closing would reset the connection before the answer is read.
        drain(&mut stream).await;
    }
}

/// Reads a request; none when the sender went without one.
async fn request(
    stream: &mut TcpStream,
    mut stopping: watch::Receiver<bool>,
) -> Result<Option<Message>, Refusal> {
    let until = Instant::now() + Duration::from_secs(LIMITS.message_seconds.into());
    let mut buffer = Vec::with_capacity(2048);
    let mut more = More::May;
    let mut waiting = Waiting::Nothing;
    loop {
        match framing::next(&mut buffer, more, &LIMITS)? {
            Step::Message(message) => return Ok(Some(message)),
            Step::More(_) if more == More::Ended => return Ok(None),
            Step::More(next) => {
                if next == (Waiting::Body { expects_continue: true }) && waiting != next {
                    // Who has gone already needs none.
                    let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
                }
                waiting = next;
            }
        }
        if waiting == Waiting::Open && buffer.starts_with(b"GET ") {
            // What is asked stands in its URL; a body that is not announced is not waited for.
            more = More::Silent;
            continue;
        }
        let patience = match waiting {
            Waiting::Open => until.min(Instant::now() + OPEN_BODY),
            Waiting::Signature => until.min(Instant::now() + PAUSE),
            _ => until,
        };
        let read = tokio::select! {
            biased;
            read = timeout_at(patience, stream.read_buf(&mut buffer)) => read,
            // A stopping service takes what has begun, and nothing more.
            _ = stopping.wait_for(|stopping| *stopping), if waiting == Waiting::Nothing => return Ok(None),
        };
        more = match read {
            Ok(Ok(read)) if read > 0 => More::May,
            Ok(_) => More::Ended,
            Err(_) if matches!(waiting, Waiting::Open | Waiting::Signature) => More::Silent,
            Err(_) if buffer.is_empty() => return Ok(None),
            Err(_) => return Err(Refusal::new(408, "the request did not end in time")),
        };
    }
}

async fn respond(endpoint: &Endpoint, source: IpAddr, message: Message) -> Vec<u8> {
    let refused = |status| {
        endpoint.count(Outcome::Refused);
        reply::http(status, b"", None)
    };
    let Some(head) = &message.head else { return refused(400) };
    let Some(device) = place(head.path()) else { return refused(404) };
    match head.method.as_str() {
        "POST" if message.body.is_empty() => refused(400),
        "POST" => {
            let way = Way { device, origin: head.origin.clone() };
            endpoint.answer(source, &way, &message.body).await
        }
        "OPTIONS" => {
            endpoint.count(Outcome::Preflight);
            reply::http(200, b"", endpoint.allowed(head.origin.as_deref()))
        }
        // The web interface, where a device has its parameters.
        "GET" if web::is_request(head.query()) => {
            let way = Way { device, origin: head.origin.clone() };
            endpoint.parameters(source, &way, head.query()).await
        }
        "GET" => refused(404),
        _ => refused(501),
    }
}

/// The device that a path names, if it names one; none when it is not a path that commands are sent to.
#[expect(clippy::option_option, reason = "a path that is none, and a path without a device, are two things")]
fn place(path: &str) -> Option<Option<DeviceId>> {
    let mut segments = path.trim_start_matches('/').split('/');
    match (segments.next(), segments.next(), segments.next()) {
        (Some("xml"), None, None) => Some(None),
        (Some(device), Some("xml"), None) => DeviceId::new(device).ok().map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_a_device_or_leave_it_to_the_address() {
        let device = |id: &str| Some(Some(DeviceId::new(id).expect("an id")));
        assert_eq!(place("/xml"), Some(None));
        assert_eq!(place("xml"), Some(None));
        assert_eq!(place("/hotel-1/xml"), device("hotel-1"));
        for wrong in ["", "/", "/hotel-1", "/hotel-1/xml/more", "/xml/", "/a b/xml", "//xml/xml/x"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
