//! One connection: read, understand, hand over, answer.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use switchroom_actors::ingress::{Arrived, Gate};
use switchroom_actors::ports::Observer;
use switchroom_domain::outcome::Outcome;
use switchroom_protocol::{DecodeContext, Decoded, Dialect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::Front;
use super::framing::{self, Head, Message, More, Refusal, Step, Waiting};
use super::proof::{self, Verdict};
use crate::devices::{Connection, Device, Unadopted};

/// For records of senders that are not known yet.
static UTC: jiff::tz::TimeZone = jiff::tz::TimeZone::UTC;
/// How long `auto` reads on after it shut its own side.
const LINGER: Duration = Duration::from_secs(1);
/// How long a body without a length may be silent before it is taken to be whole.
const OPEN_BODY: Duration = Duration::from_secs(1);
/// How long a whole document without a length is kept back for the signature that may follow it.
const SIGNATURE: Duration = Duration::from_millis(100);
/// How many documents one body may hold; what is beyond is read as part of the last.
const DOCUMENTS: usize = 64;
/// How long a record may wait for the disk before it is answered as shed.
const COMMIT: Duration = Duration::from_secs(5);

/// Connections that are open now, in all and by address.
#[derive(Default)]
pub struct Open {
    all: AtomicUsize,
    by_source: Mutex<HashMap<IpAddr, usize>>,
}

impl Open {
    fn enter(&self, source: IpAddr, limits: &super::Limits) -> bool {
        let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_source.entry(source).or_default();
        if *count >= limits.connections_per_source || self.all.load(Relaxed) >= limits.connections {
            if *count == 0 {
                by_source.remove(&source);
            }
            return false;
        }
        *count += 1;
        self.all.fetch_add(1, Relaxed);
        true
    }

    fn leave(&self, source: IpAddr) {
        self.all.fetch_sub(1, Relaxed);
        let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                by_source.remove(&source);
            }
        }
    }
}

/// Counted while the connection is open, however it ends.
struct Counted<'a> {
    front: &'a Front,
    source: IpAddr,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.front.open.leave(self.source);
        self.front.metrics.ingress_connections.dec();
    }
}

/// Serves one connection to its end.
pub async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    front: Arc<Front>,
    gate: Gate,
    mut stopping: watch::Receiver<bool>,
) {
    let source = peer.ip().to_canonical();
    if !front.open.enter(source, &front.limits) {
        front.metrics.ingress_refused.with_label_values(&["too_many"]).inc();
        let refusal = Refusal::new(503, "too many connections; send over fewer at a time");
        write(&mut stream, &answer(None, refusal.status, &refusal.detail, false)).await;
        return;
    }
    front.metrics.ingress_connections.inc();
    let _counted = Counted { front: &front, source };
    let mut conversation = Conversation {
        front: &front,
        gate,
        source,
        buffer: Vec::new(),
        mode: Connection::Auto,
        segment: String::new(),
    };
    conversation.run(&mut stream, &mut stopping).await;
}

struct Conversation<'a> {
    front: &'a Front,
    gate: Gate,
    source: IpAddr,
    buffer: Vec<u8>,
    /// How the device that was found last wants its connections treated.
    mode: Connection,
    /// The first segment of the path that was named last: documents without a head of their own go there too.
    segment: String,
}

/// How reading went.
enum Read {
    Some,
    Ended,
    Silent,
}

/// What is to become of the connection after an answer.
#[derive(PartialEq, Eq)]
enum Next {
    Continue,
    Linger,
    Close,
}

impl Conversation<'_> {
    async fn run(&mut self, stream: &mut TcpStream, stopping: &mut watch::Receiver<bool>) {
        let mut lingering: Option<Instant> = None;
        let mut waiting = Waiting::Nothing;
        let mut began = Instant::now();
        loop {
            let patience = self.patience(waiting, began, lingering);
            let more = match self.read(stream, patience, stopping, waiting).await {
                Read::Some => More::May,
                Read::Ended => More::Ended,
                // What only silence can end: a sender that says nothing more has said all.
                Read::Silent if matches!(waiting, Waiting::Open | Waiting::Signature) => More::Silent,
                Read::Silent => return self.silence(stream, waiting, lingering.is_some()).await,
            };
            if waiting == Waiting::Nothing {
                began = Instant::now();
            }
            loop {
                match framing::next(&mut self.buffer, more, &self.front.limits) {
                    Ok(Step::Message(message)) => {
                        let next = self.message(stream, message, lingering.is_some()).await;
                        began = Instant::now();
                        if next == Next::Close {
                            return;
                        }
                        if next == Next::Linger && lingering.is_none() {
                            // Its side stays open for what it has still queued. If it has closed both
                            // already, what it had sent before is still to be read.
                            let _ = stream.shutdown().await;
                            lingering = Some(Instant::now());
                        }
                    }
                    Ok(Step::More(next)) => {
                        if next == (Waiting::Body { expects_continue: true }) && waiting != next {
                            write(stream, b"HTTP/1.1 100 Continue\r\n\r\n").await;
                        }
                        waiting = next;
                        break;
                    }
                    Err(refusal) => return self.refuse(stream, &refusal, lingering.is_some()).await,
                }
            }
            if more == More::Ended {
                return;
            }
        }
    }

    /// How long the next bytes may take.
    fn patience(&self, waiting: Waiting, began: Instant, lingering: Option<Instant>) -> Duration {
        let limits = &self.front.limits;
        let message = Duration::from_secs(limits.message_seconds.into()).saturating_sub(began.elapsed());
        match (waiting, lingering) {
            (Waiting::Nothing, Some(since)) => LINGER.saturating_sub(since.elapsed()),
            (Waiting::Nothing, None) if self.mode == Connection::Long => {
                Duration::from_secs(limits.idle_seconds.into())
            }
            (Waiting::Open, _) => message.min(OPEN_BODY),
            (Waiting::Signature, _) => message.min(SIGNATURE),
            _ => message,
        }
    }

    async fn read(
        &mut self,
        stream: &mut TcpStream,
        patience: Duration,
        stopping: &mut watch::Receiver<bool>,
        waiting: Waiting,
    ) -> Read {
        if self.buffer.capacity() - self.buffer.len() < 1024 {
            self.buffer.reserve(2048);
        }
        let read = async {
            tokio::select! {
                biased;
                read = stream.read_buf(&mut self.buffer) => read,
                // Between messages a stopping service takes nothing more.
                _ = stopping.wait_for(|stopping| *stopping), if waiting == Waiting::Nothing => Ok(0),
            }
        };
        match timeout(patience, read).await {
            Ok(Ok(0) | Err(_)) => Read::Ended,
            Ok(Ok(_)) => Read::Some,
            Err(_) => Read::Silent,
        }
    }

    /// A sender that began a message and does not end it.
    async fn silence(&self, stream: &mut TcpStream, waiting: Waiting, answered: bool) {
        if waiting == Waiting::Nothing {
            return;
        }
        self.front.metrics.ingress_refused.with_label_values(&["timeout"]).inc();
        self.refuse(stream, &Refusal::new(408, "the message did not end in time"), answered).await;
    }

    async fn refuse(&self, stream: &mut TcpStream, refusal: &Refusal, answered: bool) {
        let reason = match refusal.status {
            413 => Some("body_too_large"),
            431 => Some("head_too_large"),
            _ => None,
        };
        if let Some(reason) = reason {
            self.front.metrics.ingress_refused.with_label_values(&[reason]).inc();
        }
        self.front.metrics.report("unknown", "other", Outcome::Malformed);
        if !answered {
            write(stream, &answer(None, refusal.status, &refusal.detail, false)).await;
            // Read away what is on its way, or closing would reset the connection before the answer is read.
            if stream.shutdown().await.is_ok() {
                drain(stream).await;
            }
        }
    }

    async fn message(&mut self, stream: &mut TcpStream, message: Message, answered: bool) -> Next {
        let received = Instant::now();
        let head = message.head;
        let (mut status, mut detail) = (200, String::new());
        for document in documents(message.body) {
            if let Err(refusal) = self.take(head.as_ref(), document, received).await {
                (status, detail) = (refusal.status, refusal.detail);
            }
        }
        let keep = match self.mode {
            Connection::Long => head.as_ref().is_none_or(|head| head.keep_alive != Some(false)),
            Connection::Short | Connection::Auto => false,
        };
        // A document without a head came from something that reads no answers.
        if let Some(head) = &head
            && !answered
            && !write(stream, &answer(Some(head), status, &detail, keep)).await
        {
            // It has closed already, as it may; what it has sent before that is still to be read.
            return Next::Continue;
        }
        match self.mode {
            Connection::Long if keep => Next::Continue,
            Connection::Short => Next::Close,
            _ => Next::Linger,
        }
    }

    /// Finds the device, proves it, understands the message and hands it over.
    async fn take(&mut self, head: Option<&Head>, body: Vec<u8>, received: Instant) -> Result<(), Refusal> {
        if let Some(head) = head
            && head.first_segment() != self.segment
        {
            head.first_segment().clone_into(&mut self.segment);
        }
        let content_type = head.and_then(|head| head.content_type.as_deref());
        let by_path = if self.segment.is_empty() { None } else { self.front.registry.by_path(&self.segment) };
        let sniffed = || switchroom_protocol::sniff(content_type, &body);
        let Some(dialect) = by_path.as_ref().map(|device| device.settings.dialect).or_else(sniffed) else {
            return Err(
                self.malformed("unknown", "neither XML, JSON nor a form: no dialect that is known here")
            );
        };
        if dialect == Dialect::Om && switchroom_protocol::is_om_command(&body) {
            let detail = "this is a command; only reports are taken here";
            self.front.metrics.report(dialect.as_str(), "other", Outcome::Malformed);
            return Err(Refusal::new(404, detail));
        }
        let time_zone = by_path.as_ref().map_or(&UTC, |device| &device.time_zone);
        let decoded = switchroom_protocol::decode(dialect, content_type, &body, &DecodeContext { time_zone });
        let decoded = decoded.map_err(|error| self.malformed(dialect.as_str(), &error.to_string()))?;
        let Some(first) = decoded.first() else {
            return Err(
                self.malformed(dialect.as_str(), "the body is empty; a report is the body of the request")
            );
        };
        let device = by_path.clone().or_else(|| {
            self.front.registry.by_sender(first.mac.as_deref(), first.sn.as_deref(), self.source)
        });
        let Some(device) = device else {
            self.unadopted(dialect, head, &decoded, &body);
            return Ok(());
        };
        self.mode = device.settings.connection;
        // Found only by what the message says: read again with what is known of the device.
        let decoded = if by_path.is_none() && (device.settings.dialect != dialect || !is_utc(&device)) {
            let context = DecodeContext { time_zone: &device.time_zone };
            switchroom_protocol::decode(device.settings.dialect, content_type, &body, &context)
                .map_err(|error| self.malformed(dialect.as_str(), &error.to_string()))?
        } else {
            decoded
        };
        let auth = decoded.iter().find_map(|decoded| decoded.auth.as_ref());
        match proof::prove(&device, by_path.is_some(), self.source, auth, crate::clock::now()) {
            Verdict::Proven => self.hand_over(&device, content_type, body, decoded, received).await,
            Verdict::Repeated => {
                self.count(&device, &decoded, Outcome::Duplicate);
                Ok(())
            }
            Verdict::Refused(why) => {
                self.count(&device, &decoded, Outcome::Unauthorized);
                Err(Refusal::new(401, why))
            }
        }
    }

    fn count(&self, device: &Device, decoded: &[Decoded], outcome: Outcome) {
        let name = decoded.first().map_or("other", |decoded| decoded.statement.name.as_str());
        self.front.metrics.report(device.settings.dialect.as_str(), name, outcome);
    }

    fn malformed(&self, dialect: &str, detail: &str) -> Refusal {
        self.front.metrics.report(dialect, "other", Outcome::Malformed);
        Refusal::new(400, detail)
    }

    fn unadopted(&self, dialect: Dialect, head: Option<&Head>, decoded: &[Decoded], body: &[u8]) {
        let Some(first) = decoded.first() else { return };
        let source = self.source.to_string();
        let path = head.map(|head| head.path().chars().take(200).collect::<String>()).unwrap_or_default();
        let sample: String =
            String::from_utf8_lossy(&switchroom_protocol::redact(body)).chars().take(2048).collect();
        let dropped = self.front.unadopted.note(Unadopted {
            id: crate::devices::unadopted_id(&source, &path, first.mac.as_deref(), first.sn.as_deref()),
            dialect: Some(dialect.as_str().to_owned()),
            source,
            path,
            mac: first.mac.as_ref().map(ToString::to_string),
            sn: first.sn.as_ref().map(ToString::to_string),
            reports: 1,
            last_report_at: crate::clock::now(),
            sample,
            state: "unadopted",
        });
        if dropped {
            self.front.metrics.unadopted_dropped.inc();
        }
        self.front.metrics.report(dialect.as_str(), &first.statement.name, Outcome::Unadopted);
    }

    async fn hand_over(
        &self,
        device: &Device,
        content_type: Option<&str>,
        body: Vec<u8>,
        decoded: Vec<Decoded>,
        received: Instant,
    ) -> Result<(), Refusal> {
        let dialect = device.settings.dialect;
        // What this answer promises: see the module.
        let durable = dialect == Dialect::Yeastar || decoded.iter().any(|decoded| decoded.is_record);
        let mut decoded = decoded.into_iter();
        let Some(Decoded { statement, .. }) = decoded.next() else { return Ok(()) };
        let mut facts = statement.facts;
        facts.extend(decoded.flat_map(|more| more.statement.facts));
        let redacted = match switchroom_protocol::redact(&body) {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(redacted) => Some(redacted),
        };
        let (ack, committed) = if durable {
            let (ack, committed) = oneshot::channel();
            (Some(ack), Some(committed))
        } else {
            (None, None)
        };
        let arrived = Arrived {
            device: Arc::clone(&device.handle),
            source: compact_str::format_compact!("{}", self.source),
            dialect: dialect.as_str(),
            name: statement.name,
            content_type: content_type.filter(|_| dialect != Dialect::Om).map(Into::into),
            body: Bytes::from(redacted.unwrap_or(body)),
            facts,
            received,
            ack,
        };
        self.gate.pass(arrived).await;
        let Some(committed) = committed else { return Ok(()) };
        match timeout(COMMIT, committed).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Refusal::new(503, "it could not be written to disk in time; send again")),
        }
    }
}

/// A body that holds several documents is as many reports.
fn documents(mut body: Vec<u8>) -> Vec<Vec<u8>> {
    let mut documents = Vec::new();
    while documents.len() < DOCUMENTS && body.trim_ascii_start().first() == Some(&b'<') {
        let start = body.len() - body.trim_ascii_start().len();
        match framing::document_end(&body[start..]) {
            Some(end) if !body[start + end..].trim_ascii().is_empty() => {
                let rest = body.split_off(start + end);
                documents.push(std::mem::replace(&mut body, rest));
            }
            _ => break,
        }
    }
    documents.push(body);
    documents
}

/// The device's own zone makes no difference to how its messages read.
fn is_utc(device: &Device) -> bool {
    device.settings.timezone == "UTC"
}

/// Writes an answer; says whether the sender was still there.
async fn write(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    matches!(timeout(Duration::from_secs(5), stream.write_all(bytes)).await, Ok(Ok(())))
}

/// Reads away what a refused sender is still sending, within bounds.
async fn drain(stream: &mut TcpStream) {
    let mut scratch = [0_u8; 4096];
    let mut left = 256 * 1024_usize;
    let read_away = async {
        while let Ok(read) = stream.read(&mut scratch).await {
            if read == 0 || read > left {
                return;
            }
            left -= read;
        }
    };
    // Whoever sends on after that is cut off.
    let _ = timeout(LINGER, read_away).await;
}

/// An answer in the version of its request.
fn answer(head: Option<&Head>, status: u16, detail: &str, keep: bool) -> Vec<u8> {
    let http10 = head.is_some_and(|head| head.http10);
    if status == 200 && !keep && !http10 {
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    }
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    };
    let version = if http10 { "1.0" } else { "1.1" };
    let connection = if keep { "keep-alive" } else { "close" };
    let line = if detail.is_empty() { "" } else { "\n" };
    let length = detail.len() + line.len();
    format!(
        "HTTP/{version} {status} {reason}\r\nContent-Length: {length}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Connection: {connection}\r\n\r\n{detail}{line}"
    )
    .into_bytes()
}
