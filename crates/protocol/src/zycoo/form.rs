//! `application/x-www-form-urlencoded`, as one object: the document says only "POST".

use crate::object::{Object, Value};
use crate::text::percent_decoded;

/// Reads `key=value&key=value`. Nothing is malformed here: a lone `%` is itself, a key without `=` is empty.
pub(super) fn read(body: &str) -> Object {
    let mut object = Object::default();
    for pair in body.trim_matches(|c: char| c.is_whitespace() || c == '\0').split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !key.is_empty() {
            object.push(percent_decoded(key), Value::Text(percent_decoded(value)));
        }
    }
    object
}

/// Writes one pair, after an `&` where one is needed.
pub(super) fn write(out: &mut String, key: &str, value: &str) {
    if !out.is_empty() {
        out.push('&');
    }
    escape(out, key);
    out.push('=');
    escape(out, value);
}

fn escape(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'*' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                out.push('%');
                for half in [byte >> 4, byte & 15] {
                    out.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use switchroom_domain::Text;

    #[test]
    fn pairs_are_unescaped() {
        let object = read("event=hangup&calleridname=%E5%BC%A0+%d5%c5&empty=&lone&odd=100%&x=%4\n");
        assert_eq!(object.text("event").as_deref(), Some("hangup"));
        assert_eq!(object.text("empty"), None);
        assert_eq!(object.text("odd").as_deref(), Some("100%"));
        assert_eq!(object.text("x").as_deref(), Some("%4"));
        assert_eq!(read("n=%d5%c5%c8%fd").text("n").as_deref(), Some("张三"));
    }

    proptest! {
        #[test]
        fn writing_is_the_way_back(key in "\\PC{1,12}", value in "\\PC{0,20}") {
            let mut out = String::new();
            write(&mut out, &key, &value);
            let mut expected = Object::default();
            expected.push(Text::new(&key), Value::Text(Text::new(&value)));
            prop_assert_eq!(read(&out), expected);
        }
    }
}
