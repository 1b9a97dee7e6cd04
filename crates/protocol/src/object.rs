//! One reader for the objects that devices send: JSON, and the JavaScript literals of ZYCOO's documents.
//!
//! Why not a JSON library: Yeastar's first generation writes both parties of a call under the same key, and
//! a map keeps only one; ZYCOO's objects have bare keys, single quotes, comments, and sometimes no comma.
//! Here repeated keys are kept in order, and numbers stay as they were written (`1495706238.328` is an id).
//! Everything that JSON allows is read as JSON means it.

use switchroom_domain::Text;

use crate::error::DecodeError;
use crate::limits::MAX_DEPTH;

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    /// A string's content, or a number or bare word as it stands.
    Text(Text),
    Array(Vec<Self>),
    Object(Object),
}

/// Members in the order they came, repeated keys and all.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Object {
    members: Vec<(Text, Value)>,
}

impl Value {
    /// The text of a scalar, trimmed; absent when empty.
    pub(crate) fn text(&self) -> Option<Text> {
        match self {
            Self::Text(text) => crate::text::value(text),
            Self::Null | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// The object that this is.
    pub(crate) fn object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

impl Object {
    /// The members, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.members.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The first member with this key; case does not matter.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.iter().find_map(|(known, value)| known.eq_ignore_ascii_case(key).then_some(value))
    }

    /// The text of the first member with this key.
    pub(crate) fn text(&self, key: &str) -> Option<Text> {
        self.get(key)?.text()
    }

    /// The text of the first member with one of these keys that has any.
    pub(crate) fn text_of(&self, keys: &[&str]) -> Option<Text> {
        keys.iter().find_map(|key| self.text(key))
    }

    /// Adds a member at the end.
    pub(crate) fn push(&mut self, key: Text, value: Value) {
        self.members.push((key, value));
    }
}

/// Reads all objects of a text: one, several one after another, or a list of them.
///
/// # Errors
/// Where the text is no object, ends inside one, or nests deeper than [`MAX_DEPTH`].
pub(crate) fn read_all(text: &str, limit: usize) -> Result<Vec<Object>, DecodeError> {
    let mut reader = Reader { text, at: 0 };
    let mut objects = Vec::with_capacity(1);
    loop {
        reader.skip_blank()?;
        let start = reader.at;
        if reader.peek().is_none() {
            return match objects.is_empty() {
                true => Err(DecodeError::new(start, "the body holds no object")),
                false => Ok(objects),
            };
        }
        let values = match reader.value(0)? {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let Value::Object(object) = value else {
                return Err(DecodeError::new(start, "an object was expected"));
            };
            if objects.len() >= limit {
                return Err(DecodeError::new(start, format!("more than {limit} objects")));
            }
            objects.push(object);
        }
        reader.skip_separator()?;
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error(&self, reason: &str) -> DecodeError {
        DecodeError::new(self.at, reason)
    }

    /// Passes blanks, zero bytes, and comments of both kinds.
    fn skip_blank(&mut self) -> Result<(), DecodeError> {
        loop {
            let rest = &self.text[self.at..];
            let blank = |c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}';
            let trimmed = rest.trim_start_matches(blank);
            self.at = self.text.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                let end = trimmed.find("*/").ok_or_else(|| self.error("a comment does not end"))?;
                self.at += end + 2;
            } else {
                return Ok(());
            }
        }
    }

    /// Passes blanks and commas (or the semicolon that ends a statement): trailing and doubled ones are
    /// borne, and so are missing ones, as the next member begins by itself.
    fn skip_separator(&mut self) -> Result<(), DecodeError> {
        self.skip_blank()?;
        while matches!(self.peek(), Some(b',' | b';')) {
            self.at += 1;
            self.skip_blank()?;
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        match self.peek() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => {
                Err(DecodeError::new(self.at, format!("objects nested deeper than {MAX_DEPTH}")))
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(quote @ (b'"' | b'\'')) => Ok(Value::Text(self.quoted(quote)?)),
            Some(_) => self.bare_value(),
            None => Err(self.error("the body ends where a value is expected")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, DecodeError> {
        self.at += 1;
        let mut object = Object { members: Vec::with_capacity(8) };
        loop {
            self.skip_separator()?;
            match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(object));
                }
                None => return Err(self.error("the body ends inside an object")),
                Some(_) => {}
            }
            let key = self.key()?;
            self.skip_blank()?;
            if self.peek() != Some(b':') {
                return Err(self.error("a `:` is expected after a key"));
            }
            self.at += 1;
            self.skip_blank()?;
            let value = self.value(depth + 1)?;
            object.members.push((key, value));
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, DecodeError> {
        self.at += 1;
        let mut values = Vec::new();
        loop {
            self.skip_separator()?;
            match self.peek() {
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(values));
                }
                None => return Err(self.error("the body ends inside a list")),
                Some(_) => values.push(self.value(depth + 1)?),
            }
        }
    }

    fn key(&mut self) -> Result<Text, DecodeError> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote),
            _ => self.bare_word().map(Text::new),
        }
    }

    fn bare_value(&mut self) -> Result<Value, DecodeError> {
        Ok(match self.bare_word()? {
            "null" | "undefined" => Value::Null,
            word => Value::Text(Text::new(word)),
        })
    }

    /// A number, `true`, or a key without quotes.
    fn bare_word(&mut self) -> Result<&str, DecodeError> {
        let rest = &self.text[self.at..];
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '+' | '.' | '*' | '#');
        let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
        if length == 0 {
            return Err(self.error("a key or a value is expected"));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    fn quoted(&mut self, quote: u8) -> Result<Text, DecodeError> {
        let opened = self.at;
        self.at += 1;
        let mut text = Text::default();
        loop {
            let rest = &self.text[self.at..];
            let Some(length) = memchr::memchr2(quote, b'\\', rest.as_bytes()) else {
                return Err(DecodeError::new(opened, "a string does not end"));
            };
            text.push_str(&rest[..length]);
            self.at += length + 1;
            if rest.as_bytes()[length] == quote {
                return Ok(text);
            }
            self.escape(&mut text)?;
        }
    }

    /// What follows a backslash. Unknown escapes are the character itself, as in JavaScript.
    fn escape(&mut self, text: &mut Text) -> Result<(), DecodeError> {
        let Some(character) = self.text[self.at..].chars().next() else {
            return Err(self.error("the body ends inside a string"));
        };
        self.at += character.len_utf8();
        match character {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'u' => {
                let character = self.unicode()?;
                text.push(character);
            }
            other => text.push(other),
        }
        Ok(())
    }

    /// Four hex digits, or two such escapes for what lies beyond them. A lone half is replaced.
    fn unicode(&mut self) -> Result<char, DecodeError> {
        let high = self.four_digits()?;
        if let Some(character) = char::from_u32(high) {
            return Ok(character);
        }
        if high < 0xdc00 && self.text[self.at..].starts_with("\\u") {
            let before = self.at;
            self.at += 2;
            let low = self.four_digits()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn four_digits(&mut self) -> Result<u32, DecodeError> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.error("`\\u` wants four hex digits"))?;
        self.at += 4;
        Ok(code)
    }
}

/// Writes a JSON string, quotes included.
pub(crate) fn write_json_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                out.push_str("\\u00");
                for digit in [u32::from(control) >> 4, u32::from(control) & 15] {
                    out.extend(char::from_digit(digit, 16));
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Object {
        let mut objects = read_all(text, 8).expect("well formed");
        assert_eq!(objects.len(), 1);
        objects.remove(0)
    }

    #[test]
    fn repeated_keys_are_kept_in_order() {
        let object = read(r#"{"ext":{"extid":"1"},"x":1,"ext":{"extid":"2"}}"#);
        let ids: Vec<_> = object
            .iter()
            .filter_map(|(key, value)| (key == "ext").then(|| value.object()?.text("extid")).flatten())
            .collect();
        assert_eq!(ids, ["1", "2"]);
    }

    #[test]
    fn literals_are_read_as_the_documents_write_them() {
        let object = read(
            "{ // a comment\n event: 'hangup'\n /* no comma above */ calleridnum: \"808\",\n \
             holdTime: 0, mac: '68:69:2e:03:8b:3e ', at: 1534993059.785012, nothing: null,,\n};",
        );
        assert_eq!(object.text("event").as_deref(), Some("hangup"));
        assert_eq!(object.text("CallerIdNum").as_deref(), Some("808"));
        assert_eq!(object.text("holdTime").as_deref(), Some("0"));
        assert_eq!(object.text("mac").as_deref(), Some("68:69:2e:03:8b:3e"));
        assert_eq!(object.text("at").as_deref(), Some("1534993059.785012"));
        assert_eq!(object.get("nothing"), Some(&Value::Null));
    }

    #[test]
    fn escapes_are_those_of_json() {
        let object = read(r#"{"a":"\"\\\/\b\f\n\r\tA😀\ud83d\'"}"#);
        let expected = "\"\\/\u{8}\u{c}\n\r\tA😀\u{fffd}'";
        assert_eq!(object.get("a"), Some(&Value::Text(expected.into())));
    }

    #[test]
    fn several_objects_and_lists_of_them() {
        assert_eq!(read_all("{a:1}\n{a:2} [{a:3},{a:4}]", 8).expect("well formed").len(), 4);
        assert!(read_all("{}{}{}", 2).is_err());
    }

    #[test]
    fn errors_say_where() {
        for (text, at) in [
            ("", 0),
            (" 1", 1),
            ("[1]", 0),
            ("{\"a\"", 4),
            ("{\"a\":", 5),
            ("{\"a\":\"x", 5),
            ("{\"a\":\"\\u12\"}", 8),
            ("{a 1}", 3),
            ("{a:1", 4),
            ("{a:[1", 5),
            ("{a:1]", 4),
            ("/* x", 0),
        ] {
            assert_eq!(read_all(text, 8).expect_err(text).offset, at, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert!(read_all(&"{a:".repeat(10_000), 8).expect_err("bounded").reason.contains("deeper"));
        assert!(read_all(&"[".repeat(10_000), 8).is_err());
    }

    fn as_json(value: &Value) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Text(text) => serde_json::Value::String(text.to_string()),
            Value::Array(values) => values.iter().map(as_json).collect(),
            Value::Object(object) => {
                object.iter().map(|(key, value)| (key.to_owned(), as_json(value))).collect()
            }
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![Just(serde_json::Value::Null), any::<String>().prop_map(Into::into)];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_is_read_as_a_json_library_reads_it(json in any_json(), pretty in any::<bool>()) {
            let wrapped = serde_json::json!({ "value": json });
            let text = if pretty { serde_json::to_string_pretty(&wrapped) } else { serde_json::to_string(&wrapped) };
            let object = read(&text.expect("writes"));
            prop_assert_eq!(as_json(&Value::Object(object)), wrapped);
        }

        #[test]
        fn anything_gets_an_answer(text in "[{}\\[\\]:,\"'\\\\a1 /*\n]{0,40}") {
            let _ = read_all(&text, 8);
        }

        #[test]
        fn strings_are_written_as_json(text in any::<String>()) {
            let mut out = String::new();
            write_json_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).expect("reads"), text);
        }
    }
}
