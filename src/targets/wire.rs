//! The bytes of a report that is passed on: those that the device itself would send to that address.
//!
//! No HTTP client writes them: an OM sends GET with a body and three headers, in this order, and a `Host` without a port.

use std::borrow::Cow;

use reqwest::Url;
use switchroom_actors::ports::RawReport;
use switchroom_domain::time::Timestamp;
use switchroom_protocol::{Dialect, sign};

use super::Method;

/// Bytes of a signature's nonce; an OM writes eight hex digits.
pub(crate) const NONCE: usize = 4;

/// The request that passes a report on. `nonce`: random; it is only used where a report is signed.
#[must_use]
pub(crate) fn request(
    url: &Url,
    method: Option<Method>,
    password: Option<&str>,
    report: &RawReport,
    nonce: [u8; NONCE],
    now: Timestamp,
) -> Vec<u8> {
    let is_om = report.dialect == Dialect::Om.as_str();
    let body = match is_om {
        true => signed(&report.body, password, nonce, now),
        false => Cow::Borrowed(&*report.body),
    };
    let method = match method {
        Some(method) => method,
        // What the vendors do by themselves.
        None if is_om => Method::Get,
        None => Method::Post,
    };
    let path = match url.query() {
        Some(query) => Cow::Owned(format!("{}?{query}", url.path())),
        None => Cow::Borrowed(url.path()),
    };
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let content_type = report.content_type.as_deref().unwrap_or("application/json");
    let length = body.len();
    let headers = if is_om {
        format!("Host: {host}\r\nCache-Control: no-cache\r\nContent-Length: {length}\r\n\r\n")
    } else if report.dialect == Dialect::Yeastar.as_str() {
        format!(
            "User-Agent: WebAPI\r\nHost: {host}:{port}\r\nAccept: application/json\r\nContent-Type: {content_type}\r\n\
             Content-Length: {length}\r\n\r\n"
        )
    } else {
        format!(
            "Host: {host}:{port}\r\nAccept: */*\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut bytes = format!("{} {path} HTTP/1.1\r\n{headers}", method.as_str()).into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}

/// An OM's report without the signature that it came with, of which the log has only asterisks; with a password it is
/// signed anew, as the device signs (4.5): behind the report, and for this moment.
fn signed<'a>(body: &'a [u8], password: Option<&str>, nonce: [u8; NONCE], now: Timestamp) -> Cow<'a, [u8]> {
    let bare = without_auth(body);
    let Some(password) = password else { return bare };
    let (nonce, timestamp) = (hex::encode_upper(nonce), now.0.div_euclid(1000).to_string());
    let signature = sign::sign(password, &nonce, &timestamp);
    let mut signed = bare.into_owned();
    if signed.last() != Some(&b'\n') {
        signed.push(b'\n');
    }
    let auth = format!(
        "<Auth>\n  <nonce>{nonce}</nonce>\n  <timestamp>{timestamp}</timestamp>\n  <signature>{signature}</signature>\n\
         </Auth>\n"
    );
    signed.extend_from_slice(auth.as_bytes());
    Cow::Owned(signed)
}

/// Takes every `<Auth>` out, with the line end behind it.
pub(crate) fn without_auth(body: &[u8]) -> Cow<'_, [u8]> {
    const OPEN: &[u8] = b"<Auth";
    const CLOSE: &[u8] = b"</Auth";
    let mut out = Cow::Borrowed(body);
    while let Some(start) = element(&out, OPEN) {
        let rest = &out[start..];
        let tag = memchr::memchr(b'>', rest).map_or(rest.len(), |end| end + 1);
        let mut end = match element(rest, CLOSE) {
            _ if rest[..tag].ends_with(b"/>") => tag,
            Some(close) => memchr::memchr(b'>', &rest[close..]).map_or(rest.len(), |end| close + end + 1),
            // It was cut off.
            None => rest.len(),
        };
        for line_end in [&b"\r\n"[..], b"\n"] {
            if rest[end..].starts_with(line_end) {
                end += line_end.len();
                break;
            }
        }
        out.to_mut().drain(start..start + end);
    }
    out
}

/// Where a tag of this name begins, whatever its case.
fn element(body: &[u8], tag: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'<', body).find(|at| {
        let after = at + tag.len();
        body.get(*at..after).is_some_and(|name| name.eq_ignore_ascii_case(tag))
            && body.get(after).is_none_or(|next| matches!(next, b'>' | b'/') || next.is_ascii_whitespace())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use switchroom_domain::id::IdSeed;

    /// The capture of a device, as in the project's notes on the wire: 114 bytes of body, LF line ends, the last counts.
    const CAPTURED: &str = "GET /ring.htm HTTP/1.1\r\nHost: 192.168.0.150\r\nCache-Control: no-cache\r\n\
        Content-Length: 114\r\n\r\n<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"RING\">\n\
        \x20 <ext id=\"227\" />\n  <outer to=\"228\" />\n</Event>\n";

    fn report(dialect: &'static str, content_type: Option<&str>, body: &str) -> RawReport {
        RawReport {
            seed: IdSeed { at: Timestamp(0), entropy: 0 },
            source: "10.0.0.1".into(),
            dialect,
            name: "RING".into(),
            content_type: content_type.map(Into::into),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn written(url: &str, method: Option<Method>, password: Option<&str>, report: &RawReport) -> String {
        let url = url.parse().expect("a URL");
        let nonce = [0x2E, 0x8E, 0x52, 0xC6];
        let now = Timestamp(1_498_542_290_999);
        String::from_utf8(request(&url, method, password, report, nonce, now)).expect("text")
    }

    #[test]
    fn an_om_report_is_the_captured_one_to_the_byte() {
        let body = CAPTURED.split_once("\r\n\r\n").expect("a body").1;
        let report = report("om", None, body);
        assert_eq!(written("http://192.168.0.150:8260/ring.htm", None, None, &report), CAPTURED);
        let posted = CAPTURED.replacen("GET", "POST", 1);
        assert_eq!(written("http://192.168.0.150/ring.htm", Some(Method::Post), None, &report), posted);
        let with_query = written("http://192.168.0.150?site=7#x", None, None, &report);
        assert!(with_query.starts_with("GET /?site=7 HTTP/1.1\r\n"), "{with_query}");
    }

    #[test]
    fn other_devices_are_written_as_they_write() {
        let yeastar = report("yeastar", Some("application/json"), "{\"action\":\"BootUp\"}");
        assert_eq!(
            written("http://192.168.5.150:8260/report", None, Some("ignored"), &yeastar),
            "POST /report HTTP/1.1\r\nUser-Agent: WebAPI\r\nHost: 192.168.5.150:8260\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"action\":\"BootUp\"}"
        );
        let form = report("zycoo", Some("application/x-www-form-urlencoded"), "event=hangup");
        assert_eq!(
            written("http://crm.example/a", None, None, &form),
            "POST /a HTTP/1.1\r\nHost: crm.example:80\r\nAccept: */*\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 12\r\n\r\nevent=hangup"
        );
    }

    /// The sample of chapter 4.5: its nonce, time and signature.
    #[test]
    fn a_report_is_signed_as_the_device_signs_or_not_at_all() {
        const EVENT: &str = "<Event attribute=\"BUSY\">\n  <ext id=\"200\" />\n</Event>\n";
        const AUTH: &str = "<Auth>\n  <nonce>2E8E52C6</nonce>\n  <timestamp>1498542290</timestamp>\n  \
            <signature>24fe6019c3f284789f8cfacc3446e7ed</signature>\n</Auth>\n";
        let signed = format!("{EVENT}{AUTH}");
        let struck = signed.replace("24fe6019c3f284789f8cfacc3446e7ed", &"*".repeat(32));
        let body = |text: &str, password| {
            let text = written("http://a/", None, password, &report("om", None, text));
            let (head, body) = text.split_once("\r\n\r\n").expect("a body");
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
            body.to_owned()
        };
        assert_eq!(body(EVENT, None), EVENT);
        assert_eq!(body(&struck, None), EVENT);
        assert_eq!(body(EVENT, Some("123456")), signed);
        assert_eq!(body(&struck, Some("123456")), signed);
        assert_eq!(body(EVENT.trim_end(), Some("123456")), signed);
        for auth in ["<AUTH >x</auth>\r\n", "<Auth/>", "<auth>cut off"] {
            assert_eq!(body(&format!("{EVENT}{auth}"), None), EVENT, "{auth}");
        }
        let longer = "<Event><Authority>x</Authority></Event>";
        assert_eq!(body(longer, None), longer);
    }

    proptest! {
        #[test]
        fn whatever_the_body_is_its_length_is_right_and_no_signature_is_left(
            body in "(<Auth>|</Auth>|<Event>|<auth/>|[a-z<>/\n ]{0,5}){0,12}",
        ) {
            let bare = without_auth(body.as_bytes());
            prop_assert!(element(&bare, b"<Auth").is_none());
            let text = written("http://a/", None, Some("x"), &report("om", None, &body));
            let (head, body) = text.split_once("\r\n\r\n").expect("a body");
            let length = format!("Content-Length: {}", body.len());
            prop_assert!(head.ends_with(&length));
        }
    }
}
