//! One attempt to pass a report on: a bare connection, the bytes, and what comes back.
//!
//! A device never reads an answer. A middleware can know better: an answer 2xx to 4xx (but 408 and 429), or the receiver's
//! orderly close after it has read the report, says that it was taken. Where a receiver neither answers nor closes, which devices do not
//! mind, a target can ask that what was written counts as taken.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot};
use tokio_rustls::client::TlsStream;

use super::answer::{self, Answer};
use super::{Confirm, Connection};
use crate::delivery::schedule::Outcome;
use crate::outward::{Failed, Outward};
use crate::storage::deliveries::Attempt;

/// Connections of one target on which everything is written and that are left open for the receiver to read.
const LINGERING: usize = 64;
/// How long an answer's body may take once its head has said that the report was taken.
const REST: Duration = Duration::from_secs(1);
/// After a close without a word it may take so long, besides the way there and back, to hear that nothing was read.
const RESET: Duration = Duration::from_millis(5);

/// How a report is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// How many a connection carries.
    pub connection: Connection,
    /// What says that it was taken.
    pub proof: Proof,
}

/// What says that a report was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// An answer 2xx to 4xx, or an orderly close.
    Answer,
    /// That it could be written.
    Written,
    /// That the word `success` came back, and nothing else.
    Success,
}

impl From<Confirm> for Proof {
    fn from(confirm: Confirm) -> Self {
        match confirm {
            Confirm::Answer => Self::Answer,
            Confirm::Written => Self::Written,
        }
    }
}

/// What a receiver keeps between attempts.
#[derive(Default)]
pub(crate) struct Line {
    /// The connection on which messages follow one another.
    kept: Mutex<Option<Kept>>,
    lingering: Lingering,
}

/// Connections that are left open for the receiver to read, the oldest first: dropping one of these closes it.
#[derive(Default)]
struct Lingering(std::sync::Mutex<VecDeque<oneshot::Sender<()>>>);

impl Lingering {
    /// Room for one more; the oldest has to go if there are too many. What is given says when this one has to.
    fn enter(&self) -> oneshot::Receiver<()> {
        let (stay, leave) = oneshot::channel();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| !other.is_closed());
        if all.len() >= LINGERING {
            all.pop_front();
        }
        all.push_back(stay);
        leave
    }
}

struct Kept {
    url: String,
    pipe: Pipe,
}

/// A connection, with what was read ahead on it.
struct Pipe {
    stream: Stream,
    ahead: Vec<u8>,
    /// How long it took to make: about as long as a way there and back.
    way: Duration,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What came back.
enum Said {
    /// An answer; whether its connection goes on.
    Status(u16, bool),
    /// `success`, with this status, if it came with one.
    Success(Option<u16>),
    /// The receiver closed without an answer, after it had read everything.
    Closed,
}

/// Passes a report on once, within this time.
pub(crate) async fn send(
    outward: &Outward,
    how: How,
    line: &Line,
    url: &Url,
    bytes: &[u8],
    timeout: Duration,
) -> (Attempt, Outcome) {
    let (at, began) = (crate::clock::now(), Instant::now());
    let passed = tokio::time::timeout(timeout, pass(outward, how, line, url, bytes, timeout)).await;
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let said = passed.unwrap_or_else(|_| {
        let seconds = timeout.as_secs();
        Err(Failed(format!(
            "neither an answer nor a close within {seconds} s{}",
            match how.proof {
                Proof::Success => "",
                _ => "; a receiver that never answers wants \"confirm\": \"written\"",
            }
        )))
    });
    let (status, error, outcome) = match said {
        // These two say that it was not looked at.
        Ok(Some(status @ (408 | 429 | 500..))) => {
            let overloaded = matches!(status, 429 | 502..=504);
            (Some(status), None, Outcome::Failed { retry_after: None, overloaded })
        }
        Ok(status) => (status, None, Outcome::Taken),
        Err(Failed(error)) => (None, Some(error), Outcome::no_answer()),
    };
    (Attempt { at, status, error, duration_ms }, outcome)
}

/// Gives the status, if one came.
async fn pass(
    outward: &Outward,
    how: How,
    line: &Line,
    url: &Url,
    bytes: &[u8],
    timeout: Duration,
) -> Result<Option<u16>, Failed> {
    match how.connection {
        Connection::Short => {
            let mut pipe = Pipe::open(outward, url).await?;
            pipe.write(bytes).await?;
            if how.proof == Proof::Written {
                pipe.linger(timeout, line.lingering.enter());
                return Ok(None);
            }
            match how.proof {
                Proof::Success => pipe.hear_success().await.map(|said| status(&said)),
                Proof::Answer | Proof::Written => pipe.hear().await.map(|said| status(&said)),
            }
        }
        Connection::Long => {
            let mut kept = line.kept.lock().await;
            if let Some(pipe) = reusable(outward, url, kept.take()) {
                // It may have ended in the same moment; then nobody knows whether this was read, and it is sent again.
                if let Ok(said) = pass_on(how.proof, url, pipe, bytes, &mut kept).await
                    && !matches!(said, Said::Closed)
                {
                    return Ok(status(&said));
                }
                *kept = None;
            }
            let pipe = Pipe::open(outward, url).await?;
            pass_on(how.proof, url, pipe, bytes, &mut kept).await.map(|said| status(&said))
        }
    }
}

const fn status(said: &Said) -> Option<u16> {
    match said {
        // What counts as taken without an answer.
        Said::Status(0, _) | Said::Closed => None,
        Said::Success(status) => *status,
        Said::Status(status, _) => Some(*status),
    }
}

/// Writes on a connection that is to be kept, and keeps it if it goes on.
async fn pass_on(
    proof: Proof,
    url: &Url,
    mut pipe: Pipe,
    bytes: &[u8],
    kept: &mut Option<Kept>,
) -> Result<Said, Failed> {
    pipe.write(bytes).await?;
    let said = match proof {
        Proof::Written => Said::Status(0, true),
        Proof::Answer => pipe.hear().await?,
        Proof::Success => pipe.hear_success().await?,
    };
    if matches!(said, Said::Status(_, true)) {
        *kept = Some(Kept { url: url.as_str().to_owned(), pipe });
    }
    Ok(said)
}

/// The kept connection, if it still leads there, may be used and has not ended.
fn reusable(outward: &Outward, url: &Url, kept: Option<Kept>) -> Option<Pipe> {
    let Kept { url: of, mut pipe } = kept?;
    let peer = pipe.stream.tcp().peer_addr().ok()?.ip();
    let may = outward.admit(url.host_str().unwrap_or_default(), peer).is_ok();
    (of == url.as_str() && may && pipe.goes_on()).then_some(pipe)
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl Pipe {
    async fn open(outward: &Outward, url: &Url) -> Result<Self, Failed> {
        let began = Instant::now();
        let stream = outward.connect(url).await?;
        let way = began.elapsed();
        let stream = match url.scheme() {
            "https" => {
                let host = url.host_str().unwrap_or_default();
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let stream = crate::link::tls::connect(stream, host, None).await;
                Stream::Tls(Box::new(stream.map_err(|error| Failed(format!("TLS: {error:#}")))?))
            }
            _ => Stream::Plain(stream),
        };
        Ok(Self { stream, ahead: Vec::new(), way })
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes).await,
            Stream::Tls(stream) => match stream.write_all(bytes).await {
                Ok(()) => stream.flush().await,
                Err(error) => Err(error),
            },
        };
        written.map_err(|error| Failed(format!("it could not be written: {error}")))
    }

    async fn read(&mut self) -> std::io::Result<usize> {
        self.ahead.reserve(4096);
        match &mut self.stream {
            Stream::Plain(stream) => stream.read_buf(&mut self.ahead).await,
            Stream::Tls(stream) => stream.read_buf(&mut self.ahead).await,
        }
    }

    /// Has it not ended, as far as can be seen without waiting? What the receiver said without being asked is dropped.
    fn goes_on(&mut self) -> bool {
        use std::task::{Context, Poll, Waker};
        self.ahead.clear();
        let mut read = 0;
        while read <= answer::LONGEST {
            let polled = {
                let future = std::pin::pin!(self.read());
                future.poll(&mut Context::from_waker(Waker::noop()))
            };
            match polled {
                Poll::Pending => return true,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return false,
            }
            read += self.ahead.len();
            self.ahead.clear();
        }
        false
    }

    /// Reads until it is known whether the report was taken.
    async fn hear(&mut self) -> Result<Said, Failed> {
        loop {
            match answer::read(&self.ahead) {
                Answer::Whole { status, keeps, length } => {
                    self.ahead.drain(..length);
                    return Ok(Said::Status(status, keeps && self.ahead.is_empty()));
                }
                Answer::Head { status } => {
                    // It has said what it thinks of the report; the rest is only for the connection.
                    let whole = tokio::time::timeout(REST, self.rest()).await.unwrap_or(false);
                    return Ok(Said::Status(status, whole));
                }
                Answer::Partial if self.ahead.len() > answer::LONGEST => {
                    return Err(Failed("the answer is no HTTP, and does not end".to_owned()));
                }
                Answer::Partial => {}
            }
            match self.read().await {
                Ok(0) => return self.closed().await,
                Ok(_) => {}
                Err(error) => return Err(Failed(error.to_string())),
            }
        }
    }

    /// Reads until it is known whether `success` came, in an HTTP answer or bare.
    async fn hear_success(&mut self) -> Result<Said, Failed> {
        let mut ended = false;
        loop {
            if let Some(said) = answer::success(&self.ahead, ended) {
                return said.map(Said::Success).map_err(Failed);
            }
            if self.ahead.len() > answer::LONGEST {
                return Err(Failed("the answer does not end, and is not `success`".to_owned()));
            }
            match self.read().await {
                Ok(0) => ended = true,
                Ok(_) => {}
                Err(error) => return Err(Failed(error.to_string())),
            }
        }
    }

    /// Reads the rest of an answer; says whether the connection goes on behind it.
    async fn rest(&mut self) -> bool {
        while self.ahead.len() <= answer::LONGEST {
            if let Answer::Whole { keeps, length, .. } = answer::read(&self.ahead) {
                self.ahead.drain(..length);
                return keeps && self.ahead.is_empty();
            }
            if !matches!(self.read().await, Ok(1..)) {
                return false;
            }
        }
        false
    }

    /// The receiver has closed without an answer. If it did so without having read everything, its system says so now.
    async fn closed(&self) -> Result<Said, Failed> {
        let stream = self.stream.tcp();
        // Nothing comes for whoever has read it all.
        let _ = tokio::time::timeout(self.way * 2 + RESET, stream.ready(Interest::ERROR)).await;
        match stream.take_error() {
            Ok(None) => Ok(Said::Closed),
            Ok(Some(error)) | Err(error) => {
                Err(Failed(format!("closed before the report was read: {error}")))
            }
        }
    }

    /// Leaves everything that was written for the receiver to read; closing at once could take it back.
    fn linger(mut self, time: Duration, leave: oneshot::Receiver<()>) {
        tokio::spawn(async move {
            let drain = async {
                while let Ok(1..) = self.read().await {
                    self.ahead.clear();
                }
            };
            // Whoever neither reads nor closes in that time is left, as is the oldest when others need the room.
            tokio::select! {
                () = drain => {}
                () = tokio::time::sleep(time) => {}
                _ = leave => {}
            }
            // All of it was written: it is said that there is no more before the connection goes.
            let end = async {
                match &mut self.stream {
                    Stream::Plain(stream) => stream.shutdown().await,
                    Stream::Tls(stream) => stream.shutdown().await,
                }
            };
            let _ = tokio::time::timeout(REST, end).await;
        });
    }
}
