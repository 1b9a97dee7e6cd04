//! One connection: read, understand, hand over, answer.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use switchroom_actors::ingress::{Arrived, Gate};
use switchroom_actors::ports::Observer;
use switchroom_domain::id::DeviceId;
use switchroom_domain::outcome::Outcome;
use switchroom_protocol::{DecodeContext, Decoded, Dialect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{Sleep, sleep_until, timeout};

use super::Front;
use super::framing::{self, Head, Message, More, Refusal, Step, Waiting};
use super::proof::{self, Verdict};
use crate::devices::{Connection, Device, Unadopted};
use crate::om_endpoint::{Endpoint, Way};

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
/// How much of a new connection is read at first: more than a report has.
const FIRST_READ: usize = 4096;
/// So often something is read away from a connection that is turned away: a fast sender must not hold the accept loop.
const TURNED_AWAY_READS: usize = 16;
/// What a device that forwards its call records with `wait=1` wants to hear of each; others read nothing.
const SUCCESS: &str = "success";
/// How long a record may wait for the disk before it is answered as shed.
const COMMIT: Duration = Duration::from_secs(5);

/// Connections that are open now, in all and by address.
#[derive(Default)]
pub struct Open {
    all: AtomicUsize,
    by_source: Mutex<HashMap<IpAddr, usize>>,
}

impl Open {
    /// Counts a connection; false when there are too many.
    pub(crate) fn enter(&self, source: IpAddr, limits: &super::Limits) -> bool {
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

    /// A connection that was counted has ended.
    pub(crate) fn leave(&self, source: IpAddr) {
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
struct Counted {
    front: Arc<Front>,
    source: IpAddr,
}

impl Counted {
    /// None when too many are open.
    fn enter(front: Arc<Front>, source: IpAddr) -> Option<Self> {
        if !front.open.enter(source, &front.limits) {
            front.metrics.ingress_refused.with_label_values(&["too_many"]).inc();
            return None;
        }
        front.metrics.ingress_connections.inc();
        Some(Self { front, source })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.front.open.leave(self.source);
        self.front.metrics.ingress_connections.dec();
    }
}

/// What the most part of connections is: one report, which is there at once and is answered at once. It needs no task,
/// no timer and no place in the poll set of its own.
pub enum First {
    /// Taken; the answer is still to be written.
    Answer(Box<Answered>),
    /// Nothing has come yet.
    Silent(Box<Going>),
    /// Anything else: it goes on as a task.
    Goes(Box<Going>),
    /// It is over.
    Over,
}

/// A connection whose first report was taken.
pub struct Answered {
    going: Box<Going>,
    answer: Cow<'static, [u8]>,
    next: Next,
}

/// A connection that goes on as a task of its own.
pub struct Going {
    stream: mio::net::TcpStream,
    conversation: Conversation,
    /// A message that was taken and is not answered yet.
    heard: Option<Heard>,
    /// Since when our side is shut.
    lingering: Option<Instant>,
}

/// An answered connection whose other side is still open; most close at once.
pub struct Lingering {
    /// Since when our side is shut.
    pub since: Instant,
    going: Box<Going>,
}

/// Takes a connection that was just accepted, to be looked at for the first time; none when there are too many even to
/// say so.
pub fn open(
    stream: mio::net::TcpStream,
    peer: SocketAddr,
    front: &Arc<Front>,
    gate: &Gate,
) -> Option<(Box<Going>, u8)> {
    let source = peer.ip().to_canonical();
    match Counted::enter(Arc::clone(front), source) {
        Some(counted) => {
            let conversation = Conversation::new(counted, gate.clone());
            Some((Box::new(Going { stream, conversation, heard: None, lingering: None }), 0))
        }
        None => {
            turn_away(stream);
            None
        }
    }
}

/// Says that there are too many. What has come is read away, or closing would reset the connection before the answer
/// is read; more is not done for it.
fn turn_away(mut stream: mio::net::TcpStream) {
    let mut bytes = [0; FIRST_READ];
    let refusal = Refusal::new(503, "too many connections; send over fewer at a time");
    // It takes so few bytes at once, or is not there any more.
    let _ = stream.write_all(&answer(None, refusal.status, &refusal.detail, false));
    let _ = stream.shutdown(Shutdown::Write);
    for _ in 0..TURNED_AWAY_READS {
        if !matches!(stream.read(&mut bytes), Ok(read) if read > 0) {
            return;
        }
    }
}

impl Answered {
    /// Writes the answer and shuts our side, if that is how this device is treated.
    pub fn part(self) -> Option<Parted> {
        let Self { mut going, answer, next } = self;
        // The buffer of a new socket takes a short answer whole; who is gone already needs none.
        let written = going.stream.write_all(&answer).is_ok();
        match next {
            Next::Close => None,
            Next::Continue => Some(Parted::Goes(going)),
            Next::Linger => {
                let since = Instant::now();
                going.lingering = Some(since);
                let shut = written && going.stream.shutdown(Shutdown::Write).is_ok();
                Some(if shut { Parted::Lingers(Lingering { since, going }) } else { Parted::Goes(going) })
            }
        }
    }
}

/// What becomes of a connection after its first answer.
pub enum Parted {
    /// It is kept.
    Goes(Box<Going>),
    /// Our side is shut.
    Lingers(Lingering),
}

impl Lingering {
    /// Looks whether the other side has closed too; if not, it goes on as a task.
    pub fn look(self) -> Option<Box<Going>> {
        let mut going = self.going;
        let mut bytes = [0; FIRST_READ];
        match going.stream.read(&mut bytes) {
            Ok(0) => None,
            Ok(read) => {
                going.conversation.buffer.extend_from_slice(&bytes[..read]);
                Some(going)
            }
            Err(error) => (error.kind() == ErrorKind::WouldBlock).then_some(going),
        }
    }
}

impl Going {
    /// Serves a new connection as far as that can be done without waiting. A message that breaks this breaks its own
    /// connection only: this runs in the accept loop.
    pub fn first(self: Box<Self>) -> First {
        let front = Arc::clone(&self.conversation.front);
        std::panic::catch_unwind(AssertUnwindSafe(|| self.look())).unwrap_or_else(|_| {
            front.metrics.report("unknown", "other", Outcome::Malformed);
            First::Over
        })
    }

    fn look(mut self: Box<Self>) -> First {
        let mut bytes = [0; FIRST_READ];
        match self.stream.read(&mut bytes) {
            Ok(0) => return First::Over,
            Ok(read) => self.conversation.buffer.extend_from_slice(&bytes[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return First::Silent(self),
            Err(_) => return First::Over,
        }
        let front = Arc::clone(&self.conversation.front);
        match framing::next(&mut self.conversation.buffer, More::May, &front.limits) {
            Ok(Step::Message(message)) => {
                let heard = self.conversation.hear(message);
                if heard.pending.is_empty()
                    && self.conversation.buffer.is_empty()
                    && let (Some(answer), next) = self.conversation.conclude(&heard, false)
                {
                    return First::Answer(Box::new(Answered { going: self, answer, next }));
                }
                self.heard = Some(heard);
                First::Goes(self)
            }
            // What is malformed is refused there, from the same bytes.
            Ok(Step::More(_)) | Err(_) => First::Goes(self),
        }
    }

    /// Waits for what its first message must wait for, most often the disk. A connection that waits for nothing else
    /// needs no place in the poll set either.
    ///
    /// # Errors
    /// Gives the connection back that is to be served on.
    pub async fn settled(mut self: Box<Self>) -> Result<Answered, Box<Self>> {
        let Some(heard) = &mut self.heard else { return Err(self) };
        heard.settle().await;
        match self.conversation.conclude(heard, false) {
            (Some(answer), next) if self.conversation.buffer.is_empty() => {
                self.heard = None;
                Ok(Answered { going: self, answer, next })
            }
            _ => Err(self),
        }
    }

    /// Serves the connection to its end.
    pub async fn serve(self: Box<Self>, stopping: watch::Receiver<bool>) {
        let Self { stream, conversation, heard, lingering } = *self;
        match TcpStream::from_std(stream.into()) {
            Ok(stream) => conversation.run(stream, heard, lingering, stopping).await,
            Err(error) => tracing::warn!(%error, "a connection could not be served"),
        }
    }
}

struct Conversation {
    front: Arc<Front>,
    gate: Gate,
    source: IpAddr,
    buffer: Vec<u8>,
    /// How the device that was found last wants its connections treated.
    mode: Connection,
    /// The first segment of the path that was named last: documents without a head of their own go there too.
    segment: String,
    _counted: Counted,
}

/// How reading went.
enum Read {
    Some,
    Ended,
    Silent,
}

/// What is to become of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Continue,
    Linger,
    Close,
}

/// A message that was taken.
struct Heard {
    head: Option<Head>,
    refusal: Option<Refusal>,
    /// The whole answer, to a command of an application.
    reply: Option<Vec<u8>>,
    /// A call record of an OM is in it, and was not known to be a repeat: it is answered as its forwarding wants it.
    is_record: bool,
    /// What must come to pass before it is answered.
    pending: Vec<Pending>,
}

impl Heard {
    /// Waits for what it must wait for.
    async fn settle(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            match pending.settled().await {
                Ok(Some(reply)) => self.reply = Some(reply),
                Ok(None) => {}
                Err(refusal) => self.refusal = Some(refusal),
            }
        }
    }
}

/// What must come to pass.
enum Pending {
    /// A report is on its way to its cell, or to the disk.
    Report {
        /// Told when the cell has it; dropped when it was shed.
        held: Option<oneshot::Receiver<()>>,
        /// Told when it is on disk.
        committed: Option<oneshot::Receiver<()>>,
        /// It is a call record of an OM.
        success: bool,
    },
    /// A command of an application is with its device.
    Command(oneshot::Receiver<Vec<u8>>),
}

impl Pending {
    /// Gives the whole answer, if it is a command's.
    async fn settled(self) -> Result<Option<Vec<u8>>, Refusal> {
        let (held, committed) = match self {
            Self::Report { held, committed, .. } => (held, committed),
            Self::Command(reply) => {
                let reply = reply.await;
                return reply.map(Some).map_err(|_| Refusal::new(503, "the command could not be passed on"));
            }
        };
        if let Some(held) = held
            && held.await.is_err()
        {
            return Err(Refusal::new(503, "the device sends faster than it can be followed; send again"));
        }
        match committed {
            None => Ok(None),
            Some(committed) => match timeout(COMMIT, committed).await {
                Ok(Ok(())) => Ok(None),
                _ => Err(Refusal::new(503, "it could not be written to disk in time; send again")),
            },
        }
    }
}

/// A timer that is moved only when it must ring earlier, or has rung: setting one for each read costs more than the
/// read.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    set: Instant,
}

impl Alarm {
    fn new() -> Self {
        let set = Instant::now() + Duration::from_secs(1);
        Self { sleep: Box::pin(sleep_until(set.into())), set }
    }

    async fn at(&mut self, due: Instant) {
        loop {
            if due < self.set {
                self.sleep.as_mut().reset(due.into());
                self.set = due;
            }
            self.sleep.as_mut().await;
            if Instant::now() >= due {
                return;
            }
            self.sleep.as_mut().reset(due.into());
            self.set = due;
        }
    }
}

impl Conversation {
    fn new(counted: Counted, gate: Gate) -> Self {
        Self {
            front: Arc::clone(&counted.front),
            gate,
            source: counted.source,
            buffer: Vec::new(),
            mode: Connection::Auto,
            segment: String::new(),
            _counted: counted,
        }
    }

    async fn run(
        mut self,
        mut stream: TcpStream,
        heard: Option<Heard>,
        mut lingering: Option<Instant>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let stream = &mut stream;
        let stop = stopping.wait_for(|stopping| *stopping);
        tokio::pin!(stop);
        let mut alarm = Alarm::new();
        let mut waiting = Waiting::Nothing;
        let mut began = Instant::now();
        if let Some(heard) = heard
            && self.answer(stream, heard, &mut lingering).await == Next::Close
        {
            return;
        }
        // What was read before this is looked at first.
        let mut more = More::May;
        loop {
            loop {
                match framing::next(&mut self.buffer, more, &self.front.limits) {
                    Ok(Step::Message(message)) => {
                        let heard = self.hear(message);
                        if self.answer(stream, heard, &mut lingering).await == Next::Close {
                            return;
                        }
                        began = Instant::now();
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
            let due = Instant::now() + self.patience(waiting, began, lingering);
            if self.buffer.capacity() - self.buffer.len() < 1024 {
                self.buffer.reserve(2048);
            }
            let read = tokio::select! {
                biased;
                read = stream.read_buf(&mut self.buffer) => match read {
                    Ok(0) | Err(_) => Read::Ended,
                    Ok(_) => Read::Some,
                },
                // Between messages a stopping service takes nothing more.
                _ = &mut stop, if waiting == Waiting::Nothing => Read::Ended,
                () = alarm.at(due) => Read::Silent,
            };
            more = match read {
                Read::Some => More::May,
                Read::Ended => More::Ended,
                // What only silence can end: a sender that says nothing more has said all.
                Read::Silent if matches!(waiting, Waiting::Open | Waiting::Signature) => More::Silent,
                Read::Silent => return self.silence(stream, waiting, lingering.is_some()).await,
            };
            if waiting == Waiting::Nothing {
                began = Instant::now();
            }
        }
    }

    /// Waits for what a message must wait for, and answers it.
    async fn answer(
        &self,
        stream: &mut TcpStream,
        mut heard: Heard,
        lingering: &mut Option<Instant>,
    ) -> Next {
        heard.settle().await;
        let (answer, mut next) = self.conclude(&heard, lingering.is_some());
        if let Some(answer) = answer
            && !write(stream, &answer).await
        {
            // It has closed already, as it may; what it has sent before that is still to be read.
            next = Next::Continue;
        }
        if next == Next::Linger && lingering.is_none() {
            // Its side stays open for what it has still queued. If it has closed both already, what it had sent
            // before is still to be read.
            let _ = stream.shutdown().await;
            *lingering = Some(Instant::now());
        }
        next
    }

    /// What to answer to a message that was taken, and what is to become of the connection.
    fn conclude(&self, heard: &Heard, answered: bool) -> (Option<Cow<'static, [u8]>>, Next) {
        let head = heard.head.as_ref();
        if let Some(reply) = heard.reply.as_ref().filter(|_| head.is_some()) {
            return ((!answered).then(|| Cow::Owned(reply.clone())), Next::Linger);
        }
        let keep = match self.mode {
            Connection::Long => head.is_none_or(|head| head.keep_alive != Some(false)),
            Connection::Short | Connection::Auto => false,
        };
        let next = match self.mode {
            Connection::Long if keep => Next::Continue,
            Connection::Short => Next::Close,
            _ => Next::Linger,
        };
        // A document without a head came from something that reads no answers.
        let answer = head.filter(|_| !answered).map(|head| match &heard.refusal {
            None if heard.is_record => answer(Some(head), 200, SUCCESS, keep),
            None => answer(Some(head), 200, "", keep),
            Some(Refusal { status, detail }) => answer(Some(head), *status, detail, keep),
        });
        (answer, next)
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

    /// Takes a message: each of its documents goes to its device.
    fn hear(&mut self, message: Message) -> Heard {
        let received = Instant::now();
        let Message { head, body } = message;
        let mut heard = Heard { head, refusal: None, reply: None, is_record: false, pending: Vec::new() };
        for document in documents(body) {
            match self.take(heard.head.as_ref(), document, received) {
                Ok(taken) => {
                    heard.is_record |= matches!(taken, Some(Pending::Report { success: true, .. }));
                    heard.pending.extend(taken);
                }
                Err(refusal) => heard.refusal = Some(refusal),
            }
        }
        heard
    }

    /// Finds the device, proves it, understands the message and hands it over.
    fn take(
        &mut self,
        head: Option<&Head>,
        body: Vec<u8>,
        received: Instant,
    ) -> Result<Option<Pending>, Refusal> {
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
            if let Some(endpoint) = &self.front.commands {
                return Ok(Some(self.pass_on(Arc::clone(endpoint), head, by_path, body)));
            }
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
            return Ok(None);
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
            Verdict::Proven => Ok(self.hand_over(&device, content_type, body, decoded, received)),
            Verdict::Repeated => {
                self.count(&device, &decoded, Outcome::Duplicate);
                Ok(None)
            }
            Verdict::Refused(why) => {
                self.count(&device, &decoded, Outcome::Unauthorized);
                Err(Refusal::new(401, why))
            }
        }
    }

    /// A command by an application, which takes this port for the vendor's middleware. Its path names the device by what
    /// that reports to, or by its id; whether the application may command it is for the endpoint to say.
    fn pass_on(
        &self,
        endpoint: Arc<Endpoint>,
        head: Option<&Head>,
        by_path: Option<Arc<Device>>,
        body: Vec<u8>,
    ) -> Pending {
        let by_id = || self.front.registry.get(&DeviceId::new(&self.segment).ok()?);
        let device = by_path.or_else(by_id).map(|device| device.settings.id.clone());
        let way = Way { device, origin: head.and_then(|head| head.origin.clone()) };
        let (source, (reply, replied)) = (self.source, oneshot::channel());
        // It is carried out whether or not the sender waits.
        drop(actix_rt::spawn(async move {
            let _ = reply.send(endpoint.answer(source, &way, &body).await);
        }));
        Pending::Command(replied)
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

    fn hand_over(
        &self,
        device: &Device,
        content_type: Option<&str>,
        body: Vec<u8>,
        decoded: Vec<Decoded>,
        received: Instant,
    ) -> Option<Pending> {
        let dialect = device.settings.dialect;
        // What this answer promises: see the module.
        let durable = dialect == Dialect::Yeastar || decoded.iter().any(|decoded| decoded.is_record);
        let mut decoded = decoded.into_iter();
        let Decoded { statement, .. } = decoded.next()?;
        let mut facts = statement.facts;
        facts.extend(decoded.flat_map(|more| more.statement.facts));
        let redacted = match switchroom_protocol::redact(&body) {
            Cow::Borrowed(_) => None,
            Cow::Owned(redacted) => Some(redacted),
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
        let held = self.gate.pass(arrived);
        let success = durable && dialect == Dialect::Om;
        (held.is_some() || committed.is_some()).then_some(Pending::Report { held, committed, success })
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
pub(crate) async fn drain(stream: &mut TcpStream) {
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
fn answer(head: Option<&Head>, status: u16, detail: &str, keep: bool) -> Cow<'static, [u8]> {
    let http10 = head.is_some_and(|head| head.http10);
    match (status, keep, http10) {
        (200, false, false) if detail.is_empty() => {
            return Cow::Borrowed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        (200, true, false) if detail.is_empty() => {
            return Cow::Borrowed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
        }
        _ => {}
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
    let line = if detail.is_empty() || status == 200 { "" } else { "\n" };
    let length = detail.len() + line.len();
    format!(
        "HTTP/{version} {status} {reason}\r\nContent-Length: {length}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Connection: {connection}\r\n\r\n{detail}{line}"
    )
    .into_bytes()
    .into()
}
