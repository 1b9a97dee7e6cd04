//! What receivers answer, as far as it must be understood: whether a report was taken, and whether the connection goes on.
//!
//! Receivers of devices answer in every way, most often not at all; nothing here is an error.

/// An answer's head and body may have so many bytes before its connection is not used again.
pub(super) const LONGEST: usize = 64 * 1024;

/// What has come so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// More is needed to know.
    Partial,
    /// The head of an answer is there, not all of its body.
    Head {
        /// Its status.
        status: u16,
    },
    /// A whole answer, of so many bytes.
    Whole {
        /// Its status.
        status: u16,
        /// The receiver takes more on this connection.
        keeps: bool,
        /// Its length.
        length: usize,
    },
}

/// Reads what has come so far.
pub(super) fn read(bytes: &[u8]) -> Answer {
    let mut start = 0;
    loop {
        let rest = &bytes[start..];
        let Some(end) = head_end(rest) else { return Answer::Partial };
        let head = String::from_utf8_lossy(&rest[..end]);
        let Some(status) = status(&head) else { return Answer::Partial };
        // An interim answer: the real one follows.
        if (100..200).contains(&status) {
            start += end;
            continue;
        }
        let field = |name: &str| {
            head.lines().skip(1).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
            })
        };
        let is_old = head.starts_with("HTTP/1.0");
        let keeps = match field("connection") {
            Some(value) => value != "close" && (!is_old || value == "keep-alive"),
            None => !is_old,
        };
        let body = &rest[end..];
        let body = if matches!(status, 204 | 304) {
            Some(0)
        } else if field("transfer-encoding").is_some_and(|value| value.ends_with("chunked")) {
            chunks(body)
        } else {
            let length = field("content-length").and_then(|length| length.parse::<usize>().ok());
            length.filter(|length| body.len() >= *length)
        };
        return match body {
            Some(body) => Answer::Whole { status, keeps, length: start + end + body },
            None => Answer::Head { status },
        };
    }
}

/// The length of a head with its empty line.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut line = 0;
    for at in memchr::memchr_iter(b'\n', bytes) {
        if matches!(&bytes[line..at], b"" | b"\r") && line > 0 {
            return Some(at + 1);
        }
        line = at + 1;
    }
    None
}

fn status(head: &str) -> Option<u16> {
    let mut words = head.lines().next()?.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok().filter(|status| (100..600).contains(status))
}

/// The length of a chunked body, if it is all there.
fn chunks(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line_end = at + memchr::memchr(b'\n', &body[at..])?;
        let line = String::from_utf8_lossy(&body[at..line_end]);
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).ok().filter(|size| *size <= LONGEST)?;
        at = line_end + 1;
        if size == 0 {
            // Trailers, if any, end with an empty line.
            loop {
                let end = at + memchr::memchr(b'\n', body.get(at..)?)?;
                let line = &body[at..end];
                at = end + 1;
                if matches!(line, b"" | b"\r") {
                    return Some(at);
                }
            }
        }
        at = at.checked_add(size)?;
        let end = memchr::memchr(b'\n', body.get(at..)?)?;
        at += end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_are_read_however_they_are_framed() {
        let whole = |status, keeps, text: &str| {
            assert_eq!(
                read(text.as_bytes()),
                Answer::Whole { status, keeps, length: text.len() },
                "{text:?}"
            );
        };
        whole(200, true, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        whole(200, false, "HTTP/1.1 200 OK\r\ncontent-length:2\r\nConnection: Close\r\n\r\nok");
        whole(204, true, "HTTP/1.1 204 No Content\n\n");
        whole(200, false, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
        whole(200, true, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
        whole(503, true, "HTTP/1.1 503 no\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nab\r\n0\r\n\r\n");
        whole(404, true, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 x\r\nContent-Length: 1\r\n\r\nx");
        let two = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP";
        assert_eq!(read(two), Answer::Whole { status: 200, keeps: true, length: two.len() - 4 });
    }

    #[test]
    fn what_is_no_whole_answer_is_said_so() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "\r\n\r\n",
            "ok\n\n",
            "HTTP/1.1 nonsense\r\n\r\n",
            "HTTP/1.1 999 x\n\n",
        ] {
            assert_eq!(read(text.as_bytes()), Answer::Partial, "{text:?}");
        }
        for text in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            assert_eq!(read(text.as_bytes()), Answer::Head { status: 200 }, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300), body in "[0-9a-f\r\n;]{0,80}") {
            read(&bytes);
            read(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes());
        }
    }
}
