//! HTTP as an OM's server speaks it. That is Boa, an old small one: lines may end in a bare LF, a
//! POST must tell its length, what exceeds the length is not looked at, every answer is HTTP/1.0
//! and ends the connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engine::Zone;

const HEAD_LIMIT: usize = 8 * 1024;
const BODY_LIMIT: usize = 1024 * 1024;
/// Nobody else is served while a client dawdles, so not for long.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// A request that is all there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// All of the head, first line included.
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A field of the head.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Whole(Request),
    /// To be answered 400.
    Bad,
    /// Nothing to be answered.
    Gone,
}

/// Reads a request. A POST's body has at least so many bytes: an OM wants some.
pub(crate) async fn read(stream: &mut TcpStream, least: usize) -> Read {
    tokio::time::timeout(REQUEST_WITHIN, read_request(stream, least)).await.unwrap_or(Read::Gone)
}

async fn read_request(stream: &mut TcpStream, least: usize) -> Read {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = head_end(&bytes) {
            break end;
        }
        if bytes.len() > HEAD_LIMIT {
            return Read::Bad;
        }
        if !more(stream, &mut bytes).await {
            return if bytes.is_empty() { Read::Gone } else { Read::Bad };
        }
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8_lossy(&bytes);
    let mut words = head.trim_start().lines().next().unwrap_or_default().split_ascii_whitespace();
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Read::Bad;
    };
    if !version.starts_with("HTTP/1.") {
        return Read::Bad;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        head: head.trim_start().to_owned(),
        body: Vec::new(),
    };
    if method == "POST" {
        let length = request.field("content-length").map(|value| value.parse::<i64>().ok());
        let length = length.flatten().and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|length| (least..=BODY_LIMIT).contains(length)) else {
            return Read::Bad;
        };
        while body.len() < length {
            if !more(stream, &mut body).await {
                return Read::Bad;
            }
        }
        body.truncate(length);
        request.body = body;
    }
    Read::Whole(request)
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer).await {
        Ok(0) | Err(_) => false,
        Ok(read) => {
            bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
            true
        }
    }
}

/// Where the body begins: behind an empty line, which may end in CRLF or LF as may the line before.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut from = bytes.iter().position(|byte| !byte.is_ascii_whitespace())?;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|&byte| byte == b'\n')? + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => from = at,
        }
    }
}

/// The whole answer: the header block that the vendor's document prints, and the body.
pub(crate) fn answer(status: u16, body: &str, unix_ms: u64) -> Vec<u8> {
    file(status, "", body.as_bytes(), unix_ms)
}

/// An answer with more in its head (whole lines), and a body of any bytes.
pub(crate) fn file(status: u16, more: &str, body: &[u8], unix_ms: u64) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        206 => "Partial Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        416 => "Requested Range Not Satisfiable",
        _ => "Not Implemented",
    };
    let length = body.len();
    let date = date(unix_ms);
    let head = format!(
        "HTTP/1.0 {status} {reason}\r\nDate: {date}\r\nServer: \r\nX-Frame-Options:DENY\r\n\
         Cache-Control:no-cache\r\nPragma:no-cache\r\nExpires:-1\r\n\
         Access-Control-Allow-Headers: accept, Content-Type\r\nAccess-Control-Allow-Origin: (null)\r\n\
         {more}Connection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// `Wed, 22 Feb 2017 08:04:44 GMT`
fn date(unix_ms: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let local = Zone { epoch_ms: 0, offset: 0 }.local(unix_ms);
    let day = DAYS[(unix_ms / 86_400_000 % 7) as usize];
    let month = MONTHS[usize::from(local.month.clamp(1, 12) - 1)];
    let (of, year, hour, minute, second) = (local.day, local.year, local.hour, local.minute, local.second);
    format!("{day}, {of:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Sends an answer and closes. What the client has sent beyond its request is read away, or closing
/// would take the answer back.
pub(crate) async fn send(mut stream: TcpStream, bytes: &[u8]) {
    // A client that has gone does not want its answer.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut buffer = [0; 4096];
    while stream.try_read(&mut buffer).is_ok_and(|read| read > 0) {}
}

/// Ends a connection with a reset, after `part` of an answer.
pub(crate) async fn reset(mut stream: TcpStream, part: &[u8]) {
    // Whether it arrives is not for this side to know.
    let _ = stream.write_all(part).await;
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_end_at_an_empty_line_of_either_kind() {
        assert_eq!(head_end(b"POST /xml HTTP/1.1\nA: b\n\nbody"), Some(25));
        assert_eq!(head_end(b"POST /xml HTTP/1.1\r\nA: b\r\n\r\nbody"), Some(28));
        assert_eq!(head_end(b"\r\nGET / HTTP/1.0\r\n\n"), Some(19));
        assert_eq!(head_end(b"POST /xml HTTP/1.1\r\nA: b\r\n"), None);
        assert_eq!(head_end(b""), None);
    }

    #[test]
    fn the_answer_is_the_documents() {
        let answer = String::from_utf8(answer(200, "", 1_487_750_684_000)).unwrap();
        let head =
            "HTTP/1.0 200 OK\r\nDate: Wed, 22 Feb 2017 08:04:44 GMT\r\nServer: \r\nX-Frame-Options:DENY\r\n";
        assert!(answer.starts_with(head), "{answer}");
        assert!(answer.ends_with("Connection: close\r\nContent-Length: 0\r\n\r\n"), "{answer}");
    }
}
