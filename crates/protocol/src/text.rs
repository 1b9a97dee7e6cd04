//! Bytes to text, and text to values: the two steps that all dialects share.
//!
//! Devices declare `utf-8` and mostly send ASCII; some firmware writes GB2312 whatever it declares. So the
//! declared encoding is tried first, then UTF-8, then GB18030 (a superset of GB2312 and GBK) with
//! replacement characters: a name with a broken character is better than a lost report.

use std::borrow::Cow;
use std::fmt::Write;

use encoding_rs::{Encoding, GB18030, UTF_8};
use switchroom_domain::Text;

/// The byte order mark of UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// How far into a body an XML declaration is looked for.
const DECLARATION_WITHIN: usize = 256;

/// The name of a report that gives itself none.
pub(crate) const UNNAMED: &str = "unnamed";

/// The body as text. Borrows when the bytes are UTF-8 already, which is nearly always.
#[must_use]
pub fn decode_body(body: &[u8]) -> Cow<'_, str> {
    let body = &body[bom_length(body)..];
    match std::str::from_utf8(body) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        utf8 => match (declared_encoding(body), utf8) {
            (Some(encoding), _) if encoding != UTF_8 => lossy(encoding, body),
            (_, Ok(text)) => Cow::Borrowed(text),
            (_, Err(_)) => lossy(GB18030, body),
        },
    }
}

/// The length of the byte order mark that [`decode_body`] leaves out, for offsets.
pub(crate) fn bom_length(body: &[u8]) -> usize {
    if body.starts_with(BOM) { BOM.len() } else { 0 }
}

fn lossy<'a>(encoding: &'static Encoding, body: &'a [u8]) -> Cow<'a, str> {
    encoding.decode_without_bom_handling(body).0
}

/// The encoding that an XML declaration at the start of the body names, if any.
fn declared_encoding(body: &[u8]) -> Option<&'static Encoding> {
    let head = &body[..body.len().min(DECLARATION_WITHIN)];
    let head = head.trim_ascii_start();
    if !head.starts_with(b"<?xml") {
        return None;
    }
    let head = &head[..memchr::memmem::find(head, b"?>")?];
    let after = &head[memchr::memmem::find(head, b"encoding")? + b"encoding".len()..];
    let value = after.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, rest) = value.split_first()?;
    let end = memchr::memchr(*quote, rest)?;
    // Others (UTF-16) would hide what a look at the bytes finds: secrets to strike, roots of commands.
    Encoding::for_label(rest[..end].trim_ascii()).filter(|encoding| encoding.is_ascii_compatible())
}

/// A value as facts keep it: trimmed, and absent when nothing is left (`from=""`).
pub(crate) fn value(raw: &str) -> Option<Text> {
    let trimmed = raw.trim();
    (!trimmed.is_empty()).then(|| Text::new(trimmed))
}

/// A count or a code; anything but digits is absent rather than wrong.
pub(crate) fn number(raw: Option<&Text>) -> Option<u32> {
    raw?.trim().parse().ok()
}

/// Appends a value as the query of a URL takes it: all but letters, digits and `-._~` escaped.
pub(crate) fn push_percent_encoded(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// A part of a query or a form. A lone `%` is itself, `+` a blank.
pub(crate) fn percent_decoded(part: &str) -> Text {
    if memchr::memchr2(b'%', b'+', part.as_bytes()).is_none() {
        return Text::new(part);
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, end @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex_digit(*high) << 4 | hex_digit(*low));
                rest = end;
            }
            _ => bytes.push(byte),
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => Text::from(text),
        Err(error) => Text::from(GB18030.decode_without_bom_handling(error.as_bytes()).0),
    }
}

const fn hex_digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => (hex | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "张三" in GB2312.
    const NAME_GB: &[u8] = b"\xd5\xc5\xc8\xfd";

    #[test]
    fn ascii_and_utf8_are_borrowed() {
        assert!(matches!(decode_body(b"<Event/>"), Cow::Borrowed("<Event/>")));
        assert!(matches!(decode_body("<a>张三</a>".as_bytes()), Cow::Borrowed("<a>张三</a>")));
    }

    #[test]
    fn gb2312_is_understood_declared_or_not() {
        for head in [
            &b"<?xml version=\"1.0\" encoding=\"gb2312\"?>"[..],
            b"<?xml version='1.0' encoding = 'GBK' ?>",
            b"<?xml version=\"1.0\" encoding=\"utf-8\"?>",
            b"<?xml version=\"1.0\" encoding=\"nonsense\"?>",
            b"<?xml version=\"1.0\" encoding=\"utf-16\"?>",
            b"",
        ] {
            let body = [head, b"<a>", NAME_GB, b"</a>"].concat();
            assert!(decode_body(&body).ends_with("<a>张三</a>"), "{}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn the_byte_order_mark_is_left_out() {
        assert_eq!(decode_body(b"\xef\xbb\xbf<a/>"), "<a/>");
        assert_eq!(bom_length(b"\xef\xbb\xbf<a/>"), 3);
    }

    #[test]
    fn hopeless_bytes_still_give_text() {
        assert!(decode_body(b"<a>\xff\xff</a>").starts_with("<a>"));
    }

    #[test]
    fn values_are_trimmed_or_absent() {
        assert_eq!(value(" 200 ").as_deref(), Some("200"));
        assert_eq!(value("  "), None);
        assert_eq!(number(Some(&Text::new("30"))), Some(30));
        assert_eq!(number(Some(&Text::new("number"))), None);
    }
}
