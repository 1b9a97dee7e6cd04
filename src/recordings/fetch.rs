//! One file over HTTP into a file here, as the devices' web servers give it: HTTP/1.0, one request a connection.
//!
//! What came before a connection broke is kept, and the next try asks for the rest only (`Range`).

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::store;
use crate::link::http::{self, Address, HEAD_BYTES};
use crate::link::tls::{self, Tls};

/// A device that sends nothing for so long has gone.
const IDLE: Duration = Duration::from_secs(20);
/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// Where files come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The device's server.
    pub address: Address,
    /// With `https`: whom to believe.
    pub tls: Option<Tls>,
    /// The value of `Authorization`.
    pub authorization: String,
}

/// Limits of one download.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the connection, TLS included.
    pub connect: Duration,
    /// For everything.
    pub whole: Duration,
    /// How large a file may be, in bytes.
    pub bytes: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    /// All of it, so many bytes.
    Whole(u64),
    /// There is no such file, or not yet.
    Nothing,
}

/// Why a file did not come. The texts are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not now; what came of it is kept for the next try.
    #[error("{0}")]
    Cut(String),
    /// It is too large and always will be.
    #[error("{0}")]
    TooLarge(String),
    /// What is here of it is of another file, and was thrown away.
    #[error("it is another file on the device by now, and is fetched from its beginning next time")]
    Other,
    /// It could not be written here.
    #[error("it cannot be written here: {0}")]
    Disk(String),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

fn cut(why: impl Into<String>) -> FetchError {
    FetchError::Cut(why.into())
}

fn disk(error: std::io::Error) -> FetchError {
    FetchError::Disk(error.to_string())
}

/// Fetches `path` (encoded, from its slash on) into the file `part`, after what is there already.
///
/// # Errors
/// See [`FetchError`].
pub async fn fetch(source: &Source, path: &str, part: &Path, limits: Limits) -> Result<Got, FetchError> {
    let until = Instant::now() + limits.whole;
    let mut file = store::open_private(part).map_err(disk)?;
    let have = file.metadata().map_err(disk)?.len();
    let mut stream = connect(source, limits.connect).await?;
    let (authority, authorization) = (source.address.authority(), &source.authorization);
    let mut request = format!(
        "GET {path} HTTP/1.0\r\nHost: {authority}\r\nAuthorization: {authorization}\r\nConnection: close\r\n"
    );
    if have > 0 {
        request.push_str(&format!("Range: bytes={have}-\r\n"));
    }
    request.push_str("\r\n");
    let sent = timeout_at(until, stream.write_all(request.as_bytes())).await;
    sent.map_err(|_| cut("the device does not take the request"))?
        .map_err(|error| cut(format!("the connection broke ({error})")))?;
    let (head, body) = read_head(&mut *stream, until).await?;
    let begin = begin(&head, have);
    // What is here belongs to no file that is there.
    if matches!(begin, Ok(None) | Err(FetchError::Other)) {
        file.set_len(0).map_err(disk)?;
    }
    let Some(Begin { at, whole }) = begin? else { return Ok(Got::Nothing) };
    if let Some(whole) = whole.filter(|whole| *whole > limits.bytes) {
        return Err(too_large(whole, limits.bytes));
    }
    file.set_len(at).map_err(disk)?;
    if whole == Some(at) {
        return Ok(Got::Whole(at));
    }
    file.seek(SeekFrom::Start(at)).map_err(disk)?;
    let size = receive(&mut *stream, &mut file, body, at, whole, limits.bytes, until).await?;
    Ok(Got::Whole(size))
}

async fn connect(source: &Source, within: Duration) -> Result<Box<dyn Stream>, FetchError> {
    let address = &source.address;
    let authority = address.authority();
    let stream = match timeout(within, TcpStream::connect((address.host.as_str(), address.port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(cut(format!("{authority} cannot be connected to ({error})"))),
        Err(_) => return Err(cut(format!("{authority} does not take the connection"))),
    };
    if !address.tls {
        return Ok(Box::new(stream));
    }
    match timeout(within, tls::connect(stream, &address.host, source.tls.as_ref())).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(cut(format!("{authority} cannot be talked to over TLS ({error:#})"))),
        Err(_) => Err(cut(format!("{authority} does not finish the TLS handshake"))),
    }
}

/// The head of the answer, and what came of the body with it.
async fn read_head(stream: &mut dyn Stream, until: Instant) -> Result<(Vec<u8>, Vec<u8>), FetchError> {
    let mut bytes = Vec::with_capacity(4096);
    loop {
        if let Some(end) = http::head_end(&bytes).filter(|end| *end > 0) {
            let body = bytes.split_off(end);
            return Ok((bytes, body));
        }
        if bytes.len() > HEAD_BYTES {
            return Err(cut("the device's answer is no HTTP"));
        }
        match timeout_at(until.min(Instant::now() + IDLE), stream.read_buf(&mut bytes)).await {
            Ok(Ok(0)) => return Err(cut("the device closed the connection without an answer")),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(cut(format!("the connection broke before an answer ({error})"))),
            Err(_) => return Err(cut("the device does not answer in time")),
        }
    }
}

/// Where the body begins in the file, and how large the file is if that is told.
#[derive(Debug, PartialEq, Eq)]
struct Begin {
    at: u64,
    whole: Option<u64>,
}

/// What the answer to a request for all after `have` bytes means; none: there is no such file.
fn begin(head: &[u8], have: u64) -> Result<Option<Begin>, FetchError> {
    let length = http::header(head, "content-length").and_then(|length| length.parse().ok());
    let range = http::header(head, "content-range").and_then(|range| range.strip_prefix("bytes"));
    let range = range.and_then(|range| range.trim().split_once('/'));
    if http::header(head, "transfer-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
    {
        return Err(cut("the device answers in chunks, which HTTP/1.0 does not have"));
    }
    match http::status(head) {
        Some(200) => Ok(Some(Begin { at: 0, whole: length })),
        Some(206) => {
            let (span, whole) = range.ok_or_else(|| cut("the device gives a part and does not say which"))?;
            let at = span.split('-').next().and_then(|first| first.trim().parse::<u64>().ok());
            let at = at.filter(|at| *at <= have);
            let at = at.ok_or_else(|| cut("the device gives another part than the one asked for"))?;
            let whole = whole.trim().parse().ok().or_else(|| at.checked_add(length?));
            Ok(Some(Begin { at, whole }))
        }
        // All of it is here already; or it is another file by now, and is fetched from its beginning next time.
        Some(416) => match range.and_then(|(_, whole)| whole.trim().parse::<u64>().ok()) {
            Some(whole) if whole == have => Ok(Some(Begin { at: have, whole: Some(have) })),
            _ => Err(FetchError::Other),
        },
        Some(404 | 410) => Ok(None),
        Some(status @ (401 | 403)) => {
            Err(cut(format!("the device answers HTTP {status}: check recording_user and recording_password")))
        }
        Some(status) => Err(cut(format!("the device answers HTTP {status}"))),
        None => Err(cut("the device's answer is no HTTP")),
    }
}

async fn receive(
    stream: &mut dyn Stream,
    file: &mut File,
    mut chunk: Vec<u8>,
    at: u64,
    whole: Option<u64>,
    most: u64,
    until: Instant,
) -> Result<u64, FetchError> {
    let mut size = at;
    loop {
        // More than was promised is not looked at.
        let left = whole.map_or(u64::MAX, |whole| whole.saturating_sub(size));
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        file.write_all(&chunk).map_err(disk)?;
        size += chunk.len() as u64;
        if size > most {
            return Err(too_large(size, most));
        }
        if whole == Some(size) {
            return Ok(size);
        }
        chunk.clear();
        chunk.reserve(CHUNK);
        let broke = match timeout_at(until.min(Instant::now() + IDLE), stream.read_buf(&mut chunk)).await {
            Ok(Ok(0)) if whole.is_none() => return Ok(size),
            Ok(Ok(0)) => "the device closed the connection".to_owned(),
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => format!("the connection broke ({error})"),
            Err(_) => "the device sent nothing more in time".to_owned(),
        };
        let of = whole.map_or_else(String::new, |whole| format!(" of {whole}"));
        return Err(cut(format!("{broke} after {size} bytes{of}")));
    }
}

fn too_large(size: u64, most: u64) -> FetchError {
    FetchError::TooLarge(format!("it has {size} bytes or more; recordings.max_bytes is {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(head: &str, have: u64) -> Result<Option<(u64, Option<u64>)>, String> {
        let begin = begin(head.as_bytes(), have).map_err(|error| error.to_string())?;
        Ok(begin.map(|begin| (begin.at, begin.whole)))
    }

    #[test]
    fn an_answer_says_where_its_body_belongs() {
        assert_eq!(begins("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n", 4), Ok(Some((0, Some(9)))));
        assert_eq!(begins("HTTP/1.0 200 OK\n\n", 0), Ok(Some((0, None))));
        let part = "HTTP/1.0 206 Partial Content\r\nContent-Range: bytes 4-8/9\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(begins(part, 4), Ok(Some((4, Some(9)))));
        assert_eq!(begins(part, 6), Ok(Some((4, Some(9)))), "what overlaps is written again");
        assert!(begins(part, 3).is_err(), "a hole");
        let open = "HTTP/1.0 206 OK\r\nContent-Range: bytes 4-8/*\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(begins(open, 4), Ok(Some((4, Some(9)))));
        assert_eq!(begins("HTTP/1.0 404 Not Found\r\n\r\n", 4), Ok(None));
        let beyond = "HTTP/1.0 416 Range\r\nContent-Range: bytes */9\r\n\r\n";
        assert_eq!(begins(beyond, 9), Ok(Some((9, Some(9)))));
        assert!(begins(beyond, 10).is_err_and(|error| error.contains("another file")));
    }

    #[test]
    fn what_is_refused_says_what_to_do() {
        let refused = begins("HTTP/1.0 401 Unauthorized\r\n\r\n", 0).expect_err("refused");
        assert!(refused.contains("recording_password"), "{refused}");
        assert!(begins("HTTP/1.0 500 Error\r\n\r\n", 0).is_err());
        assert!(begins("HTTP/1.0 206 OK\r\n\r\n", 0).is_err());
        assert!(
            begins("HTTP/1.0 206 OK\r\nContent-Range: bytes 99999999999999999999-/x\r\n\r\n", 0).is_err()
        );
        assert!(begins("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0).is_err());
    }
}
