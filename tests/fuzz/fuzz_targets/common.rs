//! What must hold for any bytes, whatever the dialect.

use jiff::tz::TimeZone;
use switchroom_protocol::{DecodeContext, Dialect, decode, is_om_command, redact, sniff};

/// Decoding gives facts or an error with a place in reach, and the same every time; redaction keeps the length.
pub fn check(dialect: Dialect, body: &[u8]) {
    let cx = DecodeContext { time_zone: &TimeZone::UTC };
    let first = decode(dialect, None, body, &cx);
    assert_eq!(first, decode(dialect, None, body, &cx), "decoding depends on something else");
    match first {
        Ok(messages) => {
            assert!(!messages.is_empty(), "no message, and no error either");
            assert!(messages.iter().all(|message| !message.statement.facts.is_empty()));
        }
        // A body in another encoding grows to at most three times its length as UTF-8.
        Err(error) => assert!(error.offset <= body.len() * 3, "{error}"),
    }
    assert_eq!(redact(body).len(), body.len());
    let _ = (sniff(None, body), is_om_command(body));
}
