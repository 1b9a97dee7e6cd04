//! What a device answers, in its own words: the header block that the vendor's document prints, and the two bodies that
//! are said here in a device's place.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The failure that says "not now".
pub const NOT_NOW: (u32, &str) = (1, "temp failure");
/// The failure of a number that may not be dialled.
pub const RESTRICTED: (u32, &str) = (2, "restricted");
/// The failure of a call that another application has.
pub const HELD: (u32, &str) = (1, "controlled by another application");

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n";

/// A command was not done.
#[must_use]
pub fn failed((code, reason): (u32, &str)) -> String {
    format!(
        "{DECLARATION}<Event attribute=\"FAILED\">\n  <err code=\"{code}\" reason=\"{reason}\" />\n</Event>\n"
    )
}

/// Commands are not taken from this sender (4.4.2). Two roots, as the vendor prints them.
#[must_use]
pub fn unauthorized(code: u16) -> String {
    let reason = match code {
        100 => "authentication failed",
        101 => "mandatory parameter missing",
        102 => "password validation failure",
        103 => "nonce timeout",
        _ => "unspecified",
    };
    format!("{DECLARATION}<unauthorized/>\n<err code=\"{code}\" reason=\"{reason}\"/>\n")
}

/// A whole answer. Its version and its `Connection` are a device's, whatever the request said; `origin`: the web pages
/// that may read it.
#[must_use]
pub fn http(status: u16, body: &[u8], origin: Option<&str>) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Request Entity Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Not Implemented",
    };
    let date = Timestamp::now().to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT");
    let mut answer = format!(
        "HTTP/1.0 {status} {reason}\r\nDate: {date}\r\nServer: \r\nX-Frame-Options:DENY\r\n\
         Cache-Control:no-cache\r\nPragma:no-cache\r\nExpires:-1\r\n\
         Access-Control-Allow-Headers: accept, Content-Type\r\nAccess-Control-Allow-Origin: {}\r\n{}\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        origin.unwrap_or("(null)"),
        if origin.is_some() { "Access-Control-Allow-Methods: POST, OPTIONS\r\nVary: Origin\r\n" } else { "" },
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchroom_domain::command::{Command, Target};
    use switchroom_domain::reply::Reply;

    #[test]
    fn what_is_said_in_a_devices_place_reads_like_a_devices() {
        let read = |body: String| {
            let asked = Command::Query { target: Target::Device };
            switchroom_protocol::om::decode_reply(&asked, body.as_bytes()).expect("a reply")
        };
        let failed = |code, reason: &str| Reply::Failed { code: Some(code), reason: Some(reason.into()) };
        assert_eq!(read(super::failed(NOT_NOW)), failed(1, "temp failure"));
        assert_eq!(read(super::failed(HELD)), failed(1, "controlled by another application"));
        let refused = Reply::Unauthorized { code: Some(103), reason: Some("nonce timeout".into()) };
        assert_eq!(read(unauthorized(103)), refused);
    }

    #[test]
    fn answers_are_a_devices_and_only_configured_pages_read_them() {
        let answer = String::from_utf8(http(200, b"<a/>", None)).expect("text");
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\nDate: "), "{answer}");
        assert!(answer.contains("Origin: (null)\r\nConnection: close\r\nContent-Length: 4\r\n\r\n<a/>"));
        let answer = String::from_utf8(http(200, b"", Some("https://crm.example"))).expect("text");
        assert!(answer.contains("Access-Control-Allow-Origin: https://crm.example\r\n"), "{answer}");
    }
}
