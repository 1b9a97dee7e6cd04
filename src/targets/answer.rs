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

/// Is this an answer that says `success`, in HTTP or bare? None: more is needed to know, unless it has `ended`.
///
/// # Errors
/// Says what came instead.
pub(super) fn success(bytes: &[u8], ended: bool) -> Option<Result<Option<u16>, String>> {
    const WORD: &[u8] = b"success";
    let is_success = |text: &[u8]| {
        let text = text.trim_ascii();
        let bare = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
        bare.eq_ignore_ascii_case(WORD)
    };
    let whole = read(bytes);
    let status = match whole {
        Answer::Whole { status, .. } => status,
        Answer::Head { status } if ended => status,
        Answer::Head { .. } => return None,
        // Some receivers answer without a status line.
        Answer::Partial if is_success(bytes) => return Some(Ok(None)),
        Answer::Partial if ended && bytes.is_empty() => {
            return Some(Err("closed without an answer; `success` was waited for".to_owned()));
        }
        Answer::Partial if ended => return Some(Err("the answer is not `success`".to_owned())),
        Answer::Partial => return None,
    };
    if !(200..300).contains(&status) {
        return Some(Err(format!("the receiver answered {status}; `success` was waited for")));
    }
    let length = match whole {
        Answer::Whole { length, .. } => length,
        _ => bytes.len(),
    };
    let said = body(&bytes[..length]).is_some_and(|body| is_success(&body));
    Some(if said {
        Ok(Some(status))
    } else {
        Err(format!("the receiver answered {status}, but not `success`"))
    })
}

/// The body of the last answer in these bytes.
fn body(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = head_end(bytes)?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    if status(&head).is_some_and(|status| (100..200).contains(&status)) {
        return body(&bytes[end..]);
    }
    let is_chunked = head.lines().any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("transfer-encoding")
                && value.trim().to_ascii_lowercase().ends_with("chunked")
        })
    });
    if !is_chunked {
        return Some(bytes[end..].to_vec());
    }
    let (mut rest, mut plain) = (&bytes[end..], Vec::new());
    loop {
        let line_end = memchr::memchr(b'\n', rest)?;
        let line = String::from_utf8_lossy(&rest[..line_end]);
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = &rest[line_end + 1..];
        if size == 0 {
            return Some(plain);
        }
        plain.extend_from_slice(rest.get(..size)?);
        rest = &rest[size..];
        rest = &rest[memchr::memchr(b'\n', rest)? + 1..];
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

    #[test]
    fn success_is_the_whole_of_what_is_said() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsuccess",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nSUCCESS\r\n",
            "HTTP/1.1 202 x\r\nContent-Length: 9\r\n\r\n\"success\"",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsucc\r\n3;x\r\ness\r\n0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsuccess",
        ] {
            assert!(matches!(success(text.as_bytes(), false), Some(Ok(Some(200..=202)))), "{text:?}");
        }
        assert_eq!(success(b"success\n", false), Some(Ok(None)), "bare");
        assert_eq!(success(b"HTTP/1.0 200 OK\r\n\r\nsuccess", true), Some(Ok(Some(200))));
        for text in ["", "succ", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\nsuccess"] {
            assert_eq!(success(text.as_bytes(), false), None, "{text:?}");
        }
        for text in [
            "HTTP/1.1 500 no\r\nContent-Length: 7\r\n\r\nsuccess",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nunsuccessful",
            "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"success\":false}",
        ] {
            assert!(matches!(success(text.as_bytes(), false), Some(Err(_))), "{text:?}");
        }
        for text in ["", "ok", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsuccess"] {
            let said = success(text.as_bytes(), true);
            assert!(said.is_some_and(|said| said.is_err() || text.contains("Length: 9")), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300), body in "[0-9a-f\r\n;]{0,80}") {
            read(&bytes);
            success(&bytes, true);
            success(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes(), true);
            read(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes());
        }
    }
}
