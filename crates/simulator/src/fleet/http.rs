//! Just enough HTTP to push reports the way devices do: each vendor's own headers, in its own
//! spelling, and answers read as far as a device would.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ledger::Parcel;
use crate::config::{Dialect, FleetConfig, Method};
use crate::dialect::{self, Content, Generation, Report};

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const WRITE_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: usize = 64 * 1024;

/// Where reports go, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// As in the `Host` header of a device that names no port.
    pub(crate) host: String,
    pub(crate) port: u16,
    base: String,
}

impl Target {
    pub(crate) fn parse(url: &str) -> anyhow::Result<Self> {
        let rest = url
            .strip_prefix("http://")
            .with_context(|| format!("{url:?} is no http:// address: give http://HOST:PORT"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        ensure!(
            url.bytes().all(|byte| byte.is_ascii_graphic()),
            "{url:?} has blanks or letters beyond ASCII in it"
        );
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().with_context(|| format!("{port:?} in {url:?} is no port"))?)
            }
            _ => (authority, 80),
        };
        if host.is_empty() {
            bail!("{url:?} names no host: give http://HOST:PORT");
        }
        let path = path.trim_end_matches('/');
        let base = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self { host: host.to_owned(), port, base })
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<TcpStream> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect((host, self.port)))
            .await
            .context("the server did not take the connection in time")??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// One device's way of writing requests.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    dialect: Dialect,
    generation: Option<Generation>,
    method: Method,
    path: String,
    target: Target,
    kept: bool,
}

impl Style {
    pub(crate) fn new(config: &FleetConfig, target: &Target, index: usize) -> Self {
        let own = if config.dialect == Dialect::Om { Method::Get } else { Method::Post };
        Self {
            dialect: config.dialect,
            generation: (config.dialect == Dialect::Yeastar).then(|| dialect::generation(index)),
            method: config.method.unwrap_or(own),
            path: format!("{}/sim-{}", target.base, index + 1),
            target: target.clone(),
            kept: config.connection == crate::config::Connection::Long,
        }
    }

    /// Head and body in one piece, as a device writes them. An OM can be set to another method while
    /// it runs.
    pub(crate) fn request_by(&self, parcel: &Parcel) -> Vec<u8> {
        let own = if self.dialect == Dialect::Om { parcel.post } else { self.method == Method::Post };
        self.written(&parcel.report, if own { "POST" } else { "GET" }, parcel.to.as_deref())
    }

    /// The same by the configured method.
    pub(crate) fn request(&self, report: &Report) -> Vec<u8> {
        self.written(report, if self.method == Method::Get { "GET" } else { "POST" }, None)
    }

    /// `to`: what a login said, the whole path included.
    fn written(&self, report: &Report, method: &str, to: Option<&Target>) -> Vec<u8> {
        let Target { host, port, .. } = to.unwrap_or(&self.target);
        let path = match to {
            Some(to) if to.base.is_empty() => "/",
            Some(to) => &to.base,
            None => &self.path,
        };
        let length = report.body.len();
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        head += &match (self.dialect, self.generation) {
            (Dialect::Om, _) => {
                format!("Host: {host}\r\nCache-Control: no-cache\r\nContent-Length: {length}\r\n\r\n")
            }
            (Dialect::Yeastar, Some(Generation::NumberList)) => format!(
                "Host:{host}\r\nContent-Length:{length}\r\nAccept: application/json\r\n\
                 Content-Type:application/json\r\n{}\r\n",
                if self.kept { "" } else { "Connection:close\r\n" }
            ),
            (Dialect::Yeastar, generation) => {
                // The oldest documents print a blank before the port.
                let blank = if generation == Some(Generation::RepeatedKey) { " " } else { "" };
                format!(
                    "User-Agent: WebAPI\r\nHost: {host}:{blank}{port}\r\nAccept: application/json\r\n\
                     Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
                )
            }
            (Dialect::Zycoo, _) => {
                let content = match report.content {
                    Content::Form => "application/x-www-form-urlencoded",
                    Content::Script => "text/plain",
                    Content::Json | Content::Xml => "application/json",
                };
                format!(
                    "Host: {host}:{port}\r\nAccept: */*\r\nContent-Type: {content}\r\n\
                     Content-Length: {length}\r\n\r\n"
                )
            }
        };
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&report.body);
        bytes
    }
}

/// A connection to the server and what of its answers was read ahead.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    ahead: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A whole answer.
    Status { code: u16, closes: bool },
    /// The connection ended before a whole answer, as with servers that say nothing.
    Closed,
    /// Nothing in time.
    Silence,
}

/// What is known of a kept connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    /// The server said that it takes no more on it.
    Closing,
    /// It ended without a word.
    Gone,
}

impl Wire {
    pub(crate) async fn open(target: &Target) -> anyhow::Result<Self> {
        Ok(Self { stream: target.connect().await?, ahead: Vec::new() })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        tokio::time::timeout(WRITE_WITHIN, self.stream.write_all(bytes))
            .await
            .context("the server did not take the report in time")??;
        Ok(())
    }

    /// What has come in by now, without waiting: how many answers, and what they say of the
    /// connection.
    pub(crate) fn collect(&mut self) -> (usize, Life) {
        let mut some = [0; 4096];
        let gone = loop {
            match self.stream.try_read(&mut some) {
                Ok(0) => break true,
                Ok(read) => self.ahead.extend_from_slice(some.get(..read).unwrap_or_default()),
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
            if self.ahead.len() > ANSWER_LIMIT {
                break true;
            }
        };
        let mut answers = 0;
        while let Some((_, closes, length)) = whole_answer(&self.ahead) {
            self.ahead.drain(..length);
            answers += 1;
            if closes {
                return (answers, Life::Closing);
            }
        }
        (answers, if gone { Life::Gone } else { Life::Open })
    }

    /// Reads one answer.
    pub(crate) async fn answer(&mut self, within: Duration) -> Answer {
        tokio::time::timeout(within, self.read_answer()).await.unwrap_or(Answer::Silence)
    }

    async fn read_answer(&mut self) -> Answer {
        let mut buffer = [0; 4096];
        loop {
            if let Some((code, closes, length)) = whole_answer(&self.ahead) {
                self.ahead.drain(..length);
                return Answer::Status { code, closes };
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return self.answer_at_end(),
                Ok(read) if self.ahead.len() + read <= ANSWER_LIMIT => {
                    self.ahead.extend_from_slice(buffer.get(..read).unwrap_or_default());
                }
                Ok(_) => return Answer::Closed,
            }
        }
    }

    /// An answer without a length ends with the connection.
    fn answer_at_end(&mut self) -> Answer {
        match status_code(&self.ahead) {
            Some(code) => {
                self.ahead.clear();
                Answer::Status { code, closes: true }
            }
            None => Answer::Closed,
        }
    }
}

fn status_code(bytes: &[u8]) -> Option<u16> {
    let line = bytes.split(|&byte| byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

/// The code, whether the server closes, and the length of an answer that is all there. An answer
/// that names no length and is not chunked ends with the connection.
fn whole_answer(bytes: &[u8]) -> Option<(u16, bool, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let code = status_code(bytes)?;
    let field = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
        || head.starts_with("HTTP/1.0");
    if code == 204 || code == 304 {
        return Some((code, closes, end));
    }
    if let Some(length) = field("content-length") {
        let length = end.checked_add(length.parse().ok()?)?;
        return (bytes.len() >= length).then_some((code, closes, length));
    }
    if field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        let body = bytes.get(end..)?;
        let last = body.windows(5).position(|five| five == b"0\r\n\r\n")? + 5;
        return Some((code, closes, end + last));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let target = Target::parse("http://127.0.0.1:8989/a/").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.base.as_str()), ("127.0.0.1", 8989, "/a"));
        assert_eq!(Target::parse("http://[::1]:9").unwrap().port, 9);
        assert_eq!(Target::parse("http://[::1]").unwrap().port, 80);
        assert!(Target::parse("https://a").is_err());
        assert!(Target::parse("http://:1").is_err());
        assert!(Target::parse("http://a:b").is_err());
    }

    #[test]
    fn an_om_request_is_the_captured_one_to_the_byte() {
        let config = FleetConfig::default();
        let target = Target::parse("http://192.168.0.150:8989").unwrap();
        let body = b"<Event attribute=\"BOOTUP\">\n</Event>\n".to_vec();
        let report = Report { kind: "BOOTUP", body, content: Content::Xml, is_cdr: false, wire_id: None };
        let request = String::from_utf8(Style::new(&config, &target, 0).request(&report)).unwrap();
        assert_eq!(
            request,
            "GET /sim-1 HTTP/1.1\r\nHost: 192.168.0.150\r\nCache-Control: no-cache\r\nContent-Length: 36\r\n\
             \r\n<Event attribute=\"BOOTUP\">\n</Event>\n"
        );
    }

    #[test]
    fn answers_are_framed_by_length_chunks_or_the_end() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nokHTTP";
        assert_eq!(whole_answer(plain), Some((200, true, plain.len() - 4)));
        assert_eq!(whole_answer(&plain[..40]), None);
        let chunked = b"HTTP/1.1 503 no\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        assert_eq!(whole_answer(chunked), Some((503, false, chunked.len())));
        assert_eq!(whole_answer(b"HTTP/1.0 200 OK\r\n\r\n"), None);
        assert_eq!(status_code(b"HTTP/1.0 200 OK"), Some(200));
        assert_eq!(status_code(b"nonsense"), None);
    }
}
