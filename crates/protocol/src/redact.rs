//! Strikes secrets out of a message before it is logged.
//!
//! This is on the way of every report, and nearly none holds a secret: it looks for the few bytes that could
//! begin one, and hands the body back as it is when there is nothing to strike.

use std::borrow::Cow;
use std::ops::Range;

/// What takes the place of every struck byte; the length of a message does not change.
const STRUCK: u8 = b'*';

/// Element whose text is a secret.
const SECRET_ELEMENT: &[u8] = b"signature";

/// Keys whose values are secrets, in JSON, object literals and forms.
const SECRET_KEYS: [&[u8]; 4] = [b"password", b"token", b"secret", b"signature"];

/// The body with the text of `<signature>` elements and the values of `password`, `token` and `secret` keys
/// replaced by `*`. Case does not matter. A secret that is cut off by the end of the body is struck too.
#[must_use]
pub fn redact(body: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Cow::Borrowed(body);
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'<', &body[at..]) {
        at += found + 1;
        if let Some(text) = secret_element(body, at) {
            at = text.end;
            strike(&mut out, text);
        }
    }
    if body.trim_ascii_start().first() == Some(&b'<') {
        return out;
    }
    at = 0;
    while let Some(found) = memchr::memchr2(b':', b'=', &body[at..]) {
        at += found + 1;
        if is_secret_key(&body[..at - 1]) {
            let value = value_after(body, at);
            at = value.end;
            strike(&mut out, value);
        }
    }
    out
}

fn strike(out: &mut Cow<'_, [u8]>, range: Range<usize>) {
    if !range.is_empty() {
        out.to_mut()[range].fill(STRUCK);
    }
}

/// The text of the element whose name begins at `name`, when it is a secret one.
fn secret_element(body: &[u8], name: usize) -> Option<Range<usize>> {
    let after = name + SECRET_ELEMENT.len();
    if !body.get(name..after)?.eq_ignore_ascii_case(SECRET_ELEMENT) {
        return None;
    }
    let tag_end = after + memchr::memchr(b'>', &body[after..])?;
    let within = &body[after..tag_end];
    if !within.iter().all(u8::is_ascii_whitespace) {
        // A longer name, an attribute, or an empty element.
        return None;
    }
    let start = tag_end + 1;
    let length = memchr::memmem::find(&body[start..], b"</").unwrap_or(body.len() - start);
    Some(start..start + length)
}

/// Whether what stands before a `:` or `=` is the key of a secret: in quotes (or quotes escaped inside of a
/// string), or bare where a key can begin, so that prose in a string is left alone.
fn is_secret_key(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    let quote = before.last().copied().filter(|b| matches!(b, b'"' | b'\''));
    let named = quote.map_or(before, |_| &before[..before.len() - 1]);
    let named = named.strip_suffix(b"\\").unwrap_or(named);
    SECRET_KEYS.iter().any(|key| {
        let Some(start) = named.len().checked_sub(key.len()) else { return false };
        let (before_key, name) = named.split_at(start);
        name.eq_ignore_ascii_case(key)
            && match quote {
                Some(quote) => before_key.last() == Some(&quote),
                None => can_begin_key(before_key),
            }
    })
}

/// Whether a bare key can follow: at the start, after a separator, or on a line of its own.
fn can_begin_key(before: &[u8]) -> bool {
    let trimmed = before.trim_ascii_end();
    let own_line = before[trimmed.len()..].contains(&b'\n');
    own_line || trimmed.last().is_none_or(|b| b"{,;&?/".contains(b))
}

/// The value that begins at `at`: inside its quotes, or up to the next separator.
fn value_after(body: &[u8], at: usize) -> Range<usize> {
    let rest = &body[at..];
    let start = at + (rest.len() - rest.trim_ascii_start().len());
    match body.get(start) {
        Some(&quote @ (b'"' | b'\'')) => {
            let start = start + 1;
            let mut end = start;
            while end < body.len() && body[end] != quote {
                end += if body[end] == b'\\' { 2 } else { 1 };
            }
            start..end.min(body.len())
        }
        // An object inside of a string, with its quotes escaped.
        Some(b'\\') => {
            let start = (start + 2).min(body.len());
            let length = memchr::memchr2(b'\\', b'"', &body[start..]);
            start..length.map_or(body.len(), |length| start + length)
        }
        // An object or a list is no value; the keys in it are looked at by themselves.
        Some(b'{' | b'[') | None => start..start,
        Some(_) => {
            let ends = |b: &u8| b",;&}]\"'".contains(b) || b.is_ascii_whitespace();
            let length = body[start..].iter().position(ends).unwrap_or(body.len() - start);
            start..start + length
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(body: &str) -> String {
        String::from_utf8(redact(body.as_bytes()).into_owned()).expect("still text")
    }

    #[test]
    fn nothing_to_strike_is_borrowed() {
        for body in ["", "<Event attribute=\"RING\"><ext id=\"200\"/></Event>", r#"{"action":"RING"}"#] {
            assert!(matches!(redact(body.as_bytes()), Cow::Borrowed(_)), "{body}");
        }
    }

    #[test]
    fn signatures_are_struck_in_any_case() {
        assert_eq!(
            redacted("<Auth><signature>24fe</signature></Auth>"),
            "<Auth><signature>****</signature></Auth>"
        );
        assert_eq!(redacted("<Signature >24fe</Signature>"), "<Signature >****</Signature>");
        assert_eq!(redacted("<SIGNATURE>24fe"), "<SIGNATURE>****");
        assert_eq!(redacted("<signature><![CDATA[a]]></signature>"), "<signature>*************</signature>");
        assert_eq!(redacted("<signatures>24fe</signatures>"), "<signatures>24fe</signatures>");
        assert_eq!(redacted("<signature/><a>1</a>"), "<signature/><a>1</a>");
    }

    #[test]
    fn secret_values_are_struck_in_every_body_form() {
        assert_eq!(redacted(r#"{"password":"a\"b","x":1}"#), r#"{"password":"****","x":1}"#);
        assert_eq!(redacted(r#"{"Token" : "abc"}"#), r#"{"Token" : "***"}"#);
        assert_eq!(redacted("{token: 'abc', secret: 12}"), "{token: '***', secret: **}");
        assert_eq!(redacted("event=x&token=abc&y=1"), "event=x&token=***&y=1");
        assert_eq!(redacted(r#"{"secret":{"token":"abc"}}"#), r#"{"secret":{"token":"***"}}"#);
        assert_eq!(redacted(r#"{"broken":1,"xtoken":1}"#), r#"{"broken":1,"xtoken":1}"#);
        assert_eq!(redacted("{a: 1\n  token: abc}"), "{a: 1\n  token: ***}");
        assert_eq!(
            redacted(r#"{"msg":"{\"token\":\"abc\",\"x\":1}"}"#),
            r#"{"msg":"{\"token\":\"***\",\"x\":1}"}"#
        );
        let prose = r#"{"msg":"my secret: 'abc","x":"y'z"}"#;
        assert_eq!(redacted(prose), prose);
        assert_eq!(redacted(r#"{"password":"cut o"#), r#"{"password":"*****"#);
        assert_eq!(redacted(r#"{"password":"cut\"#), r#"{"password":"****"#);
    }
}
