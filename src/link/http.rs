//! One request, one connection, as the devices' web servers want it.
//!
//! An OM runs a patched Boa: it wants an exact `Content-Length`, head and body in one piece, and closes after its answer.
//! Its answers break HTTP in ways that a stock client refuses while the answer is there: no head at all, head lines
//! without a colon, a length that is too large, a reset after the last byte. So what was received counts, however it
//! ended; whether it is whole is for whoever reads the body to say.

use std::io::ErrorKind;
use std::time::Duration;

use switchroom_actors::ports::LinkError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tls::{self, Tls};

/// How far an answer's head may go.
pub(crate) const HEAD_BYTES: usize = 16 * 1024;

/// Limits of one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the connection, TLS included.
    pub connect: Duration,
    /// For everything.
    pub whole: Duration,
    /// How large an answer's body may be.
    pub body: usize,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Path and query.
    pub path: &'a str,
    /// The body of a POST; without one it is a GET.
    pub body: Option<&'a [u8]>,
    /// What the body is.
    pub content: Content,
}

/// What a request's body is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Content {
    /// An OM's.
    #[default]
    Xml,
    /// A Yeastar's.
    Json,
}

impl Content {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Xml => "text/xml",
            Self::Json => "application/json",
        }
    }
}

/// Where a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `https`.
    pub tls: bool,
    /// What stands before the path, without a slash at its end.
    pub base: String,
}

impl Address {
    /// Takes `http://host:port` apart.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) =
            text.split_once("://").ok_or("an address is http://host:port or https://host:port")?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(format!("{scheme:?} is neither http nor https")),
        };
        let (authority, base) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let standard = if tls { 443 } else { 80 };
        let port =
            port.map_or(Ok(standard), str::parse).map_err(|_| format!("the port in {text:?} is no port"))?;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@') {
            return Err(format!("{text:?} names no host"));
        }
        Ok(Self { host: host.to_owned(), port, tls, base: base.trim_end_matches('/').to_owned() })
    }

    /// `host:port`, an IPv6 address in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }
}

/// Carries a request to the device and gives the body of its answer.
///
/// # Errors
/// [`LinkError::NotSent`] when nothing reached it, or it says itself that it did nothing; [`LinkError::Lost`] when it may
/// have acted and nothing came back.
pub async fn exchange(
    address: &Address,
    tls: Option<&Tls>,
    request: Request<'_>,
    limits: Limits,
) -> Result<Vec<u8>, LinkError> {
    let bytes = head_and_body(address, request);
    let until = tokio::time::Instant::now() + limits.whole;
    let connect = async {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    };
    let not_sent = |what: &str| LinkError::NotSent(format!("{} {what}", address.authority()));
    let stream = match tokio::time::timeout(limits.connect, connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(not_sent(&format!("cannot be connected to ({error})"))),
        Err(_) => return Err(not_sent("does not take the connection")),
    };
    let answer = if address.tls {
        let handshake = tls::connect(stream, &address.host, tls);
        let stream = match tokio::time::timeout(limits.connect, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(not_sent(&format!("cannot be talked to over TLS ({error:#})"))),
            Err(_) => return Err(not_sent("does not finish the TLS handshake")),
        };
        if tokio::time::Instant::now() >= until {
            return Err(not_sent("takes too long for the TLS handshake"));
        }
        talk(stream, &bytes, limits.body, until).await
    } else {
        talk(stream, &bytes, limits.body, until).await
    };
    body_of(answer)
}

fn head_and_body(address: &Address, request: Request<'_>) -> Vec<u8> {
    let method = if request.body.is_some() { "POST" } else { "GET" };
    let (base, path, host) = (&address.base, request.path, address.authority());
    let mut bytes =
        format!("{method} {base}{path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n").into_bytes();
    if let Some(body) = request.body {
        bytes.extend_from_slice(
            format!("Content-Type: {}\r\nContent-Length: {}\r\n", request.content.as_str(), body.len())
                .as_bytes(),
        );
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(request.body.unwrap_or_default());
    bytes
}

/// What came back, and why no more.
struct Received {
    bytes: Vec<u8>,
    ended: String,
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
    most: usize,
    until: tokio::time::Instant,
) -> Received {
    let mut received = Vec::with_capacity(1024);
    // A device that answers without having read all of it has done so for a reason: its answer is read in any case.
    let wrote = match tokio::time::timeout_at(until, stream.write_all(bytes)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("the connection broke while it was sent ({error})")),
        Err(_) => Some("it does not take what is sent".to_owned()),
    };
    let ended = loop {
        if is_whole(&received) {
            break String::new();
        }
        if received.len() > most + HEAD_BYTES {
            break format!("its answer is larger than {most} bytes");
        }
        match tokio::time::timeout_at(until, stream.read_buf(&mut received)).await {
            Ok(Ok(0)) => break "it closed the connection without an answer".to_owned(),
            Ok(Ok(_)) => {}
            // TLS without its farewell; the bytes before it are good.
            Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                break "it closed the connection".to_owned();
            }
            Ok(Err(error)) => break format!("the connection broke before its answer ({error})"),
            Err(_) => break "it does not answer in time".to_owned(),
        }
    };
    Received { bytes: received, ended: wrote.unwrap_or(ended) }
}

/// Where the body begins: after a blank line, with or without carriage returns. Without a status line all is body.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    if !bytes.starts_with(b"HTTP/") {
        return bytes.first().is_some_and(|first| *first == b'<').then_some(0);
    }
    let mut line_start = 0;
    for (i, byte) in bytes.iter().enumerate().take(HEAD_BYTES) {
        if *byte == b'\n' {
            if matches!(&bytes[line_start..i], b"" | b"\r") {
                return Some(i + 1);
            }
            line_start = i + 1;
        }
    }
    None
}

/// The status of an answer.
pub(crate) fn status(head: &[u8]) -> Option<u16> {
    let code = head.split(|byte| *byte == b' ').nth(1)?.get(..3)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

/// A field of an answer's head.
pub(crate) fn header<'a>(head: &'a [u8], field: &str) -> Option<&'a str> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        if !name.trim_ascii().eq_ignore_ascii_case(field.as_bytes()) {
            return None;
        }
        Some(std::str::from_utf8(&value[1..]).ok()?.trim())
    })
}

fn content_length(head: &[u8]) -> Option<usize> {
    header(head, "content-length")?.parse().ok()
}

/// Is all there that the head promises? Without a promise only the end of the connection tells.
fn is_whole(bytes: &[u8]) -> bool {
    match head_end(bytes) {
        Some(0) | None => false,
        Some(end) => content_length(&bytes[..end]).is_some_and(|length| bytes.len() - end >= length),
    }
}

fn body_of(received: Received) -> Result<Vec<u8>, LinkError> {
    let Received { mut bytes, ended } = received;
    let Some(end) = head_end(&bytes) else {
        let what = if ended.is_empty() { "its answer is no HTTP".to_owned() } else { ended };
        return Err(LinkError::Lost(what));
    };
    match status(&bytes[..end]) {
        _ if end == 0 => {}
        None | Some(200..=299) => {}
        Some(code @ (401 | 403)) => {
            return Err(LinkError::Refused(format!(
                "the device answers HTTP {code}: this server may not talk to it; nothing was done"
            )));
        }
        Some(404) => {
            return Err(LinkError::Refused(
                "the device answers HTTP 404: is its `address` right? Nothing was done".into(),
            ));
        }
        Some(code @ 400..=499) => {
            return Err(LinkError::Refused(format!(
                "the device refuses the request with HTTP {code}; nothing was done"
            )));
        }
        Some(code) => return Err(LinkError::Lost(format!("it answers HTTP {code}"))),
    }
    let promised = content_length(&bytes[..end]);
    bytes.drain(..end);
    match promised {
        // An empty body is an answer; one that was cut off before its first byte is none.
        Some(length) if length > 0 && bytes.is_empty() => Err(LinkError::Lost(ended)),
        Some(length) => {
            bytes.truncate(length);
            Ok(bytes)
        }
        None if bytes.is_empty() && !ended.starts_with("it closed") => Err(LinkError::Lost(ended)),
        None => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(bytes: &[u8], ended: &str) -> Result<Vec<u8>, LinkError> {
        body_of(Received { bytes: bytes.to_vec(), ended: ended.to_owned() })
    }

    #[test]
    fn addresses_are_taken_apart() {
        let address = Address::parse("https://om.example:1888/gw/").expect("an address");
        assert_eq!((address.host.as_str(), address.port, address.tls), ("om.example", 1888, true));
        assert_eq!(address.base, "/gw");
        assert_eq!(Address::parse("http://10.0.0.1").expect("an address").port, 80);
        assert_eq!(Address::parse("https://[::1]").expect("an address").port, 443);
        assert_eq!(Address::parse("http://[fe80::1]:81").expect("an address").host, "fe80::1");
        for wrong in ["10.0.0.1", "ftp://a", "http://", "http://a:b", "http://a b", "http://u@h"] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_is_written_as_its_device_wants_it() {
        let address = Address::parse("http://10.0.0.1").expect("an address");
        let written = |content| {
            let request = Request { path: "/xml", body: Some(b"<a/>"), content };
            String::from_utf8(head_and_body(&address, request)).expect("text")
        };
        let om = "POST /xml HTTP/1.0\r\nHost: 10.0.0.1:80\r\nConnection: close\r\nContent-Type: text/xml\r\n\
                  Content-Length: 4\r\n\r\n<a/>";
        assert_eq!(written(Content::Xml), om);
        assert_eq!(written(Content::Json), om.replace("text/xml", "application/json"));
    }

    #[test]
    fn what_devices_answer_is_understood_however_it_ended() {
        let good = [
            (&b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n<a/>"[..], ""),
            (b"HTTP/1.0 200 OK\nContent-Length: 4\n\n<a/>", ""),
            (b"HTTP/1.0 200 OK\r\n\r\n<a/>", "it closed the connection"),
            (b"HTTP/1.0 200 OK\r\n\r\n<a/>", "the connection broke before its answer (reset)"),
            (b"HTTP/1.0 200\r\nServer :\r\nno colon\r\nX: \xFF\r\n\r\n<a/>", "it closed the connection"),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n<a/>", "it closed the connection"),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n<a/>\n\n", ""),
            (b"<a/>", "it closed the connection"),
        ];
        for (bytes, ended) in good {
            assert_eq!(body(bytes, ended).as_deref(), Ok(&b"<a/>"[..]), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "").as_deref(), Ok(&b""[..]));
        assert_eq!(body(b"HTTP/1.0 200 OK\r\n\r\n", "it closed the connection").as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn what_is_missing_is_lost_and_what_was_refused_was_not_done() {
        let lost = |bytes: &[u8], ended| matches!(body(bytes, ended), Err(LinkError::Lost(_)));
        assert!(lost(b"", "it closed the connection without an answer"));
        assert!(lost(b"HTTP/1.0 20", "the connection broke"));
        assert!(lost(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", "the connection broke"));
        assert!(lost(b"HTTP/1.0 200 OK\r\n\r\n", "the connection broke before its answer"));
        assert!(lost(b"HTTP/1.0 500 Error\r\n\r\n", "it closed the connection"));
        assert!(matches!(body(b"HTTP/1.0 400 Bad\r\n\r\n", "it closed"), Err(LinkError::Refused(_))));
    }
}
