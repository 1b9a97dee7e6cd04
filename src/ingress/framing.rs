//! Cutting the bytes of a connection into messages, however oddly they are framed. No I/O.
//!
//! What stock HTTP servers refuse and devices send: an empty request target (`POST  HTTP/1.1`) or one without
//! a slash; no Host; no Content-Length (the body ends with the document, or with the stream); bare line
//! feeds; a second document right after the counted body; documents without any HTTP head.

use super::Limits;

/// A message with its head, ready to be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its head; none when the bytes were a bare document.
    pub head: Option<Head>,
    /// Its body.
    pub body: Vec<u8>,
}

/// The head of a request, as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Method.
    pub method: String,
    /// Request target as it came; may be empty.
    pub target: String,
    /// `HTTP/1.0`: the answer says so too.
    pub http10: bool,
    /// Content type.
    pub content_type: Option<String>,
    /// The web page that sent it, if one did.
    pub origin: Option<String>,
    /// The sender wants to be told to go on before it sends the body.
    pub expects_continue: bool,
    /// The sender asks to keep the connection, or not to.
    pub keep_alive: Option<bool>,
    length: Length,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Length {
    #[default]
    Unknown,
    Counted(usize),
    Chunked,
}

impl Head {
    /// The target without scheme, host and query, beginning with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        let target = self
            .target
            .split_once("://")
            .map_or(self.target.as_str(), |(_, rest)| rest.find('/').map_or("", |slash| &rest[slash..]));
        target.split(['?', '#']).next().unwrap_or_default()
    }

    /// What follows the `?` of the target; empty when nothing does.
    #[must_use]
    pub fn query(&self) -> &str {
        let target = self.target.split('#').next().unwrap_or_default();
        target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first segment of the path; empty when there is none.
    #[must_use]
    pub fn first_segment(&self) -> &str {
        self.path().trim_start_matches('/').split('/').next().unwrap_or_default()
    }
}

/// Why a message is refused: the status to answer with, and what to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// What is wrong, and how to mend it.
    pub detail: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole message; it was taken out of the buffer.
    Message(Message),
    /// More bytes are needed. `Body` when a head has come and its body has not.
    More(Waiting),
}

/// What is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Anything: no message has begun.
    Nothing,
    /// The rest of a head.
    Head,
    /// The rest of a body; whether the sender waits for `100 Continue`.
    Body {
        /// The sender wants to be told to go on.
        expects_continue: bool,
    },
    /// A body that only the end of the stream, or of the document, ends; a silent sender has said all.
    Open,
    /// The document is whole, but its signature may follow.
    Signature,
}

/// Whether more bytes may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// They may.
    May,
    /// The sender has been silent: what only silence can end is whole.
    Silent,
    /// The stream has ended.
    Ended,
}

/// Takes the next message out of the buffer.
///
/// # Errors
/// When the bytes can be no message, or exceed a limit; the connection cannot go on after that.
pub fn next(buffer: &mut Vec<u8>, more: More, limits: &Limits) -> Result<Step, Refusal> {
    skip_between(buffer);
    if buffer.is_empty() {
        return Ok(Step::More(Waiting::Nothing));
    }
    if is_document(buffer) {
        return bare_document(buffer, more, limits);
    }
    let ended = more == More::Ended;
    let Some(end) = head_end(buffer) else {
        if buffer.len() > limits.head_bytes {
            return Err(Refusal::new(431, format!("the head exceeds {} bytes", limits.head_bytes)));
        }
        if ended {
            return Err(Refusal::new(400, "the stream ended within a request head"));
        }
        return Ok(Step::More(Waiting::Head));
    };
    if end > limits.head_bytes {
        return Err(Refusal::new(431, format!("the head exceeds {} bytes", limits.head_bytes)));
    }
    let head = parse_head(&buffer[..end])?;
    match head.length {
        Length::Counted(length) => counted(buffer, ended, limits, head, end, length),
        Length::Chunked => chunked(buffer, ended, limits, head, end),
        Length::Unknown => open_ended(buffer, more, limits, head, end),
    }
}

/// Line ends and blanks between messages; a byte order mark before a document.
fn skip_between(buffer: &mut Vec<u8>) {
    let blank = buffer.iter().take_while(|b| b.is_ascii_whitespace() || **b == 0).count();
    let mark = if buffer[blank..].starts_with(b"\xEF\xBB\xBF<") { 3 } else { 0 };
    if blank + mark > 0 {
        buffer.drain(..blank + mark);
    }
}

fn is_document(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'<' | b'{'))
}

/// Where the head ends: after an empty line, with CRLF or LF.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(i) = memchr::memchr(b'\n', &bytes[from..]) {
        let after = from + i + 1;
        match &bytes[after..] {
            [b'\n', ..] => return Some(after + 1),
            [b'\r', b'\n', ..] => return Some(after + 2),
            _ => from = after,
        }
    }
    None
}

fn parse_head(bytes: &[u8]) -> Result<Head, Refusal> {
    let mut lines = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    let mut head = request_line(lines.next().unwrap_or_default())?;
    for line in lines {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        header(&mut head, name, value)?;
    }
    Ok(head)
}

fn request_line(line: &[u8]) -> Result<Head, Refusal> {
    let refused = || {
        Refusal::new(400, "no HTTP request: a report is sent by GET or POST, with its document as the body")
    };
    let (method, rest) = line.split_at(memchr::memchr(b' ', line).ok_or_else(refused)?);
    let version = memchr::memrchr(b' ', rest).ok_or_else(refused)?;
    let http10 = match rest[version..].trim_ascii() {
        b"HTTP/1.0" => true,
        b"HTTP/1.1" => false,
        _ => return Err(refused()),
    };
    let method = String::from_utf8_lossy(method).to_ascii_uppercase();
    if !matches!(method.as_str(), "GET" | "POST" | "PUT" | "OPTIONS") {
        return Err(Refusal::new(405, "a report is sent by GET or POST"));
    }
    // A target with raw blanks or bytes beyond ASCII is taken as it is; what it names is looked up, not run.
    let target = String::from_utf8_lossy(rest[..version].trim_ascii()).into_owned();
    Ok(Head { method, target, http10, ..Head::default() })
}

fn header(head: &mut Head, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
    if name.eq_ignore_ascii_case(b"content-length") {
        let length = std::str::from_utf8(value).ok().and_then(|text| text.parse::<usize>().ok());
        let Some(length) = length else { return Err(Refusal::new(400, "Content-Length is no number")) };
        match head.length {
            Length::Counted(before) if before != length => {
                return Err(Refusal::new(400, "two Content-Length headers that differ"));
            }
            Length::Chunked => {}
            _ => head.length = Length::Counted(length),
        }
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::new(400, "the only transfer encoding that is understood is \"chunked\""));
        }
        head.length = Length::Chunked;
    } else if name.eq_ignore_ascii_case(b"content-type") {
        head.content_type = Some(String::from_utf8_lossy(value).into_owned());
    } else if name.eq_ignore_ascii_case(b"origin") {
        head.origin = Some(String::from_utf8_lossy(value).into_owned());
    } else if name.eq_ignore_ascii_case(b"expect") {
        head.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
    } else if name.eq_ignore_ascii_case(b"connection") {
        let says = |word: &[u8]| {
            value.split(|b| *b == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
        };
        head.keep_alive = if says(b"close") { Some(false) } else { says(b"keep-alive").then_some(true) };
    }
    Ok(())
}

fn too_large(limits: &Limits) -> Refusal {
    Refusal::new(413, format!("the body exceeds {} bytes", limits.body_bytes))
}

fn counted(
    buffer: &mut Vec<u8>,
    ended: bool,
    limits: &Limits,
    head: Head,
    end: usize,
    length: usize,
) -> Result<Step, Refusal> {
    if length > limits.body_bytes {
        return Err(too_large(limits));
    }
    let have = buffer.len() - end;
    if have < length {
        if ended {
            let detail = format!("the stream ended {} bytes before the body did", length - have);
            return Err(Refusal::new(400, detail));
        }
        return Ok(Step::More(Waiting::Body { expects_continue: head.expects_continue }));
    }
    let body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Ok(Step::Message(Message { head: Some(head), body }))
}

fn chunked(
    buffer: &mut Vec<u8>,
    ended: bool,
    limits: &Limits,
    head: Head,
    end: usize,
) -> Result<Step, Refusal> {
    let mut body = Vec::new();
    let mut at = end;
    while let Some(line) = memchr::memchr(b'\n', &buffer[at..]) {
        let size = buffer[at..at + line].split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size else {
            return Err(Refusal::new(400, "a chunk's size is no hexadecimal number"));
        };
        if size > limits.body_bytes || body.len() + size > limits.body_bytes {
            return Err(too_large(limits));
        }
        at += line + 1;
        if size == 0 {
            // Trailers end with an empty line.
            let Some(rest) = trailers_end(&buffer[at..]) else { break };
            buffer.drain(..at + rest);
            return Ok(Step::Message(Message { head: Some(head), body }));
        }
        let Some(chunk) = buffer.get(at..at + size) else { break };
        body.extend_from_slice(chunk);
        at += size;
        match &buffer[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [b'\n', ..] => at += 1,
            [] | [b'\r'] => break,
            _ => return Err(Refusal::new(400, "a chunk is longer than its size")),
        }
    }
    if ended {
        return Err(Refusal::new(400, "the stream ended within a chunked body"));
    }
    if buffer.len() - end > limits.body_bytes * 2 + limits.head_bytes {
        return Err(too_large(limits));
    }
    Ok(Step::More(Waiting::Body { expects_continue: head.expects_continue }))
}

fn trailers_end(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n', ..] => Some(1),
        _ => head_end(bytes),
    }
}

/// No length: the body ends with its document if it is one, with the stream, or with the sender's silence.
fn open_ended(
    buffer: &mut Vec<u8>,
    more: More,
    limits: &Limits,
    head: Head,
    end: usize,
) -> Result<Step, Refusal> {
    let start = end + buffer[end..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    if is_document(&buffer[start..]) {
        match document(&buffer[start..], more) {
            Document::Whole(length) => {
                return take(buffer, start, length, limits, Some(head));
            }
            Document::PerhapsWhole => return Ok(Step::More(Waiting::Signature)),
            Document::Part => {}
        }
    }
    if buffer.len() - end > limits.body_bytes {
        return Err(too_large(limits));
    }
    if more != More::May {
        let length = buffer.len() - end;
        return take(buffer, end, length, limits, Some(head));
    }
    Ok(Step::More(if head.expects_continue {
        Waiting::Body { expects_continue: true }
    } else {
        Waiting::Open
    }))
}

fn bare_document(buffer: &mut Vec<u8>, more: More, limits: &Limits) -> Result<Step, Refusal> {
    match document(buffer, more) {
        Document::Whole(length) => take(buffer, 0, length, limits, None),
        Document::PerhapsWhole => Ok(Step::More(Waiting::Signature)),
        Document::Part if more == More::Ended => {
            let length = buffer.len();
            take(buffer, 0, length, limits, None)
        }
        Document::Part if buffer.len() > limits.body_bytes => Err(too_large(limits)),
        Document::Part => Ok(Step::More(Waiting::Body { expects_continue: false })),
    }
}

/// Takes a body out of the buffer, with everything before it.
fn take(
    buffer: &mut Vec<u8>,
    start: usize,
    length: usize,
    limits: &Limits,
    head: Option<Head>,
) -> Result<Step, Refusal> {
    if length > limits.body_bytes {
        return Err(too_large(limits));
    }
    let body = buffer[start..start + length].to_vec();
    buffer.drain(..start + length);
    Ok(Step::Message(Message { head, body }))
}

/// How much of a document is there.
enum Document {
    /// All of it; so many bytes.
    Whole(usize),
    /// All of it, unless its signature is still to come.
    PerhapsWhole,
    /// Not all.
    Part,
}

fn document(bytes: &[u8], more: More) -> Document {
    if bytes.first() == Some(&b'{') {
        return json_end(bytes).map_or(Document::Part, Document::Whole);
    }
    match (xml_end(bytes), more) {
        (Some((end, _)), More::Silent | More::Ended) | (Some((end, true)), More::May) => Document::Whole(end),
        (Some((_, false)), More::May) => Document::PerhapsWhole,
        (None, _) => Document::Part,
    }
}

/// Where the document at the front ends; none when it is not whole.
#[must_use]
pub fn document_end(bytes: &[u8]) -> Option<usize> {
    match document(bytes, More::Ended) {
        Document::Whole(end) => Some(end),
        Document::PerhapsWhole | Document::Part => None,
    }
}

/// An XML document ends with its root, and an `<Auth>` that follows it belongs to it: that is how a device
/// signs. Gives the end, and whether what follows shows that no `<Auth>` is still to come.
fn xml_end(bytes: &[u8]) -> Option<(usize, bool)> {
    let mut end = element_end(bytes, 0)?;
    if name_at(bytes, 0).is_some_and(|name| name.eq_ignore_ascii_case(b"Auth")) {
        // A command is signed before its root.
        return element_end(bytes, end).map(|end| (end, true));
    }
    let blank = bytes[end..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    let after = &bytes[end + blank..];
    let length = after.len().min(5);
    let may_be_signature = after[..length].eq_ignore_ascii_case(&b"<Auth"[..length]);
    if length == 5 && may_be_signature {
        end = element_end(bytes, end + blank)?;
        return Some((end, true));
    }
    Some((end, !may_be_signature))
}

/// The first element at or after `from`, past declarations and comments: its name.
fn name_at(bytes: &[u8], from: usize) -> Option<&[u8]> {
    let start = element_start(bytes, from)?;
    let rest = &bytes[start + 1..];
    let length = rest.iter().take_while(|b| !b.is_ascii_whitespace() && !matches!(b, b'>' | b'/')).count();
    Some(&rest[..length])
}

fn element_start(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr(b'<', bytes.get(at..)?)?;
        let rest = &bytes[at..];
        let end: &[u8] = match rest {
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            [b'<', b'!', ..] => b">",
            [b'<', _, ..] => return Some(at),
            _ => return None,
        };
        at += memchr::memmem::find(rest, end)? + end.len();
    }
}

/// Where the first element at or after `from` ends: after its own end tag, or `/>`.
fn element_end(bytes: &[u8], from: usize) -> Option<usize> {
    let start = element_start(bytes, from)?;
    let name = name_at(bytes, from)?;
    let tag_end = start + tag_end(&bytes[start..])?;
    if bytes[tag_end - 2] == b'/' {
        return Some(tag_end);
    }
    let mut closing = Vec::with_capacity(name.len() + 2);
    closing.extend_from_slice(b"</");
    closing.extend_from_slice(name);
    let mut at = tag_end;
    loop {
        at += memchr::memmem::find(bytes.get(at..)?, &closing)? + closing.len();
        let rest = bytes.get(at..)?;
        let blank = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
        match rest.get(blank) {
            Some(b'>') => return Some(at + blank + 1),
            Some(_) => {}
            None => return None,
        }
    }
}

/// The end of a tag, past quoted attribute values.
fn tag_end(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (i, b) in bytes.iter().enumerate() {
        match (quote, b) {
            (None, b'"' | b'\'') => quote = Some(*b),
            (Some(q), b) if q == *b => quote = None,
            (None, b'>') => return Some(i + 1),
            _ => {}
        }
    }
    None
}

/// Where the object at the front ends; strings in double or single quotes may hold braces.
fn json_end(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (i, b) in bytes.iter().enumerate() {
        if let Some(q) = quote {
            if escaped {
                escaped = false;
            } else if *b == b'\\' {
                escaped = true;
            } else if *b == q {
                quote = None;
            }
            continue;
        }
        match b {
            b'"' | b'\'' => quote = Some(*b),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(i + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"RING\">\n  <ext id=\"227\" />\n  <outer to=\"228\" />\n</Event>\n";

    fn limits() -> Limits {
        Limits::default()
    }

    /// Everything that the bytes hold, when they come in pieces of this size and the stream then ends.
    fn all(bytes: &[u8], piece: usize) -> Result<Vec<Message>, Refusal> {
        let mut buffer = Vec::new();
        let mut messages = Vec::new();
        for chunk in bytes.chunks(piece) {
            buffer.extend_from_slice(chunk);
            while let Step::Message(message) = next(&mut buffer, More::May, &limits())? {
                messages.push(message);
            }
        }
        while let Step::Message(message) = next(&mut buffer, More::Ended, &limits())? {
            messages.push(message);
        }
        Ok(messages)
    }

    fn bodies(text: &str) -> Vec<String> {
        let mut results = Vec::new();
        for piece in [1, 2, 3, 7, 100_000] {
            let messages = all(text.as_bytes(), piece).expect("it can be framed");
            results.push(
                messages.into_iter().map(|m| String::from_utf8(m.body).expect("text")).collect::<Vec<_>>(),
            );
        }
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "pieces change the result: {results:#?}");
        results.remove(0)
    }

    #[test]
    fn what_devices_send() {
        let counted = |line: &str, end: &str| {
            format!("{line}{end}Cache-Control: no-cache{end}Content-Length: {}{end}{end}{RING}", RING.len())
        };
        for line in [
            "GET /ring.htm HTTP/1.1",
            "POST /x HTTP/1.0",
            "POST  HTTP/1.1",
            "GET omapi/report HTTP/1.1",
            "POST ?a=1 HTTP/1.1",
            "post http://h/x HTTP/1.1",
            "GET /a b HTTP/1.1",
        ] {
            for end in ["\r\n", "\n"] {
                assert_eq!(bodies(&counted(line, end)), [RING], "{line}");
                let two = counted(line, end) + &counted(line, end);
                assert_eq!(bodies(&two), [RING, RING], "{line} twice");
            }
        }
    }

    #[test]
    fn no_length_ends_with_the_document_or_the_stream() {
        let trimmed = RING.trim_end();
        let bare = format!("GET /x HTTP/1.1\r\nHost: a\r\n\r\n{RING}");
        assert_eq!(bodies(&bare), [trimmed]);
        assert_eq!(bodies(&(bare.clone() + &bare)), [trimmed, trimmed]);
        assert_eq!(bodies("POST /x HTTP/1.0\n\nevent=hangup&uniqueid=1"), ["event=hangup&uniqueid=1"]);
        assert_eq!(bodies("POST /x HTTP/1.0\n\n{a:'}', b:{}} "), ["{a:'}', b:{}}"]);
    }

    #[test]
    fn documents_without_a_head() {
        let signed = "<Event attribute=\"BUSY\"><ext id=\"2\"/></Event>\n<Auth><nonce>1</nonce></Auth>";
        assert_eq!(bodies(&format!("{signed}{RING}{signed}")), [signed, RING.trim_end(), signed]);
        let command = "<Auth><nonce>1</nonce></Auth><Control attribute=\"Query\"><DeviceInfo/></Control>";
        assert_eq!(bodies(command), [command]);
        assert_eq!(
            bodies("<Event attribute='BOOTUP'/><Event attribute=\"a>b\"></Event >"),
            ["<Event attribute='BOOTUP'/>", "<Event attribute=\"a>b\"></Event >"]
        );
        // A second document right after the counted body.
        let head = format!("GET / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", RING.len());
        assert_eq!(bodies(&format!("{head}{RING}{RING}")), [RING, RING.trim_end()]);
    }

    #[test]
    fn chunks() {
        let text =
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n\r\n";
        assert_eq!(bodies(&(text.to_owned() + text)), ["hello world", "hello world"]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_status() {
        let refused = |text: &str| all(text.as_bytes(), 4096).map_err(|r| r.status);
        assert_eq!(refused("\x16\x03\x01 TLS\r\n\r\n"), Err(400));
        assert_eq!(refused("GET / HTTP/2.0\r\n\r\n"), Err(400));
        assert_eq!(refused("DELETE / HTTP/1.1\r\n\r\n"), Err(405));
        assert_eq!(refused("GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"), Err(400));
        assert_eq!(refused("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), Err(400));
        assert_eq!(refused("GET / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n"), Err(413));
        assert_eq!(refused("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n"), Err(400));
        assert_eq!(refused("GET / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"), Err(400));
        assert_eq!(refused("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n"), Err(413));
        assert_eq!(refused("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"), Err(400));
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000))), Err(431));
        assert_eq!(refused(&format!("<Event>{}", "x".repeat(1_000_000))), Err(413));
        assert_eq!(refused("GET / HTTP/1.1\r\nHost"), Err(400));
    }

    #[test]
    fn equal_lengths_twice_are_one() {
        assert_eq!(bodies("POST / HTTP/1.1\nContent-Length: 2\nContent-Length: 2\n\nab"), ["ab"]);
    }

    #[test]
    fn any_bytes_at_all() {
        let mut random = 0x1234_5678_9ABC_DEF1_u64;
        let pieces: [&[u8]; 12] = [
            b"GET ",
            b"/x HTTP/1.1\r\n",
            b"\r\n\r\n",
            b"Content-Length: 7\r\n",
            b"<Event",
            b" a=\"",
            b"\">",
            b"</Event>",
            b"<Auth>",
            b"{",
            b"}",
            b"\xff\x00'",
        ];
        for _ in 0..3000 {
            let mut bytes = Vec::new();
            for _ in 0..12 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                bytes.extend_from_slice(pieces[(random % 12) as usize]);
            }
            // It must come to an end, whatever that is.
            let _ = all(&bytes, 5);
        }
    }

    #[test]
    fn the_first_segment_of_any_target() {
        let segment =
            |target: &str| Head { target: target.into(), ..Head::default() }.first_segment().to_owned();
        assert_eq!(segment("/sim-1"), "sim-1");
        assert_eq!(segment("/sim-1/a?b"), "sim-1");
        assert_eq!(segment("sim-1"), "sim-1");
        assert_eq!(segment("http://h:1/sim-1?x=/y"), "sim-1");
        assert_eq!(segment("http://h"), "");
        assert_eq!(segment("?a=1"), "");
        assert_eq!(segment(""), "");
    }
}
