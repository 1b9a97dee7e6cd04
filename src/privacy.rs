//! Telephone numbers in text: masked for those who may not see them, and erased for good.
//!
//! Both look at text, not at fields, so that no field is forgotten: a number also stands in the name of a recording, in
//! a report as it came, in the words of an error. What an extension has is too short to be taken for one.

use std::borrow::Cow;

use serde_json::Value;

/// So many digits make a telephone number of somebody; fewer are an extension, a code, a count.
pub const LEAST_DIGITS: usize = 7;

/// So many hexadecimal digits, some of them letters, are a hash.
const HASH: usize = 32;

/// What stands under these names is no telephone number, and is needed as it is.
const PLAIN: [&str; 18] = [
    "cursor",
    "next_cursor",
    "id",
    "wire_id",
    "callid",
    "sn",
    "mac",
    "report",
    "report_path",
    "request_id",
    "sha256",
    "hash",
    "prev",
    "digest",
    "revision",
    "version",
    "model",
    "firmware",
];

/// Masks every telephone number in a text: the first three and the last four digits of a long one stay, of a shorter
/// one two and two.
#[must_use]
pub fn mask(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut masked: Option<Vec<u8>> = None;
    let mut at = 0;
    while at < bytes.len() {
        let Some(run) = run_from(bytes, at) else { break };
        if !is_uuid(&bytes[run.clone()]) {
            for number in numbers_in(bytes, run.clone()) {
                strike(&mut masked.get_or_insert_with(|| bytes.to_vec())[number]);
            }
        }
        at = run.end;
    }
    match masked {
        None => Cow::Borrowed(text),
        Some(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Masks every telephone number in a document.
pub fn mask_json(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(masked) = mask(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_json),
        Value::Object(fields) => {
            for (name, value) in fields {
                if !(value.is_string() && PLAIN.contains(&name.as_str())) {
                    mask_json(value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A JSON text with its telephone numbers masked.
#[must_use]
pub fn masked_json(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(mut value) => {
            mask_json(&mut value);
            value.to_string()
        }
        // No document: then nothing in it is needed as it is.
        Err(_) => mask(text).into_owned(),
    }
}

/// Is there anything in it that [`mask`] would mask?
#[must_use]
pub fn is_masked(text: &str) -> bool {
    matches!(mask(text), Cow::Owned(_))
}

/// Strikes a number out wherever it stands, also with something dialled before it, and in place: nothing moves. Gives
/// how often it stood there.
///
/// The beginning or the middle of a longer number is another number; and the digits of an id, a hash or a point in time
/// are none.
pub fn erase(bytes: &mut [u8], number: &str) -> usize {
    let places: Vec<usize> = places(bytes, number).collect();
    for at in &places {
        bytes[*at..at + number.len()].fill(b'x');
    }
    places.len()
}

/// The same in a JSON text, which stays one: only in its strings.
pub fn erase_json(text: &mut [u8], number: &str) -> usize {
    let (mut found, mut at) = (0, 0);
    while let Some(start) = memchr::memchr(b'"', &text[at..]).map(|offset| at + offset + 1) {
        let mut end = start;
        while let Some(offset) = memchr::memchr2(b'"', b'\\', &text[end..]) {
            end += offset;
            if text[end] == b'"' {
                break;
            }
            end = (end + 2).min(text.len());
        }
        let end = end.min(text.len());
        found += erase(&mut text[start..end], number);
        at = (end + 1).min(text.len());
    }
    found
}

/// Does the number stand in it?
#[must_use]
pub fn names(bytes: &[u8], number: &str) -> bool {
    places(bytes, number).next().is_some()
}

fn places(bytes: &[u8], number: &str) -> impl Iterator<Item = usize> {
    let length = number.len();
    let all: Vec<usize> = if length < LEAST_DIGITS {
        Vec::new()
    } else {
        memchr::memmem::find_iter(bytes, number.as_bytes())
            .filter(|at| is_number_at(bytes, *at, length))
            .collect()
    };
    all.into_iter()
}

fn is_number_at(bytes: &[u8], at: usize, length: usize) -> bool {
    let before = |is: fn(&u8) -> bool| bytes[..at].iter().rev().take_while(|byte| is(byte)).count();
    let after = |is: fn(&u8) -> bool| bytes[at + length..].iter().take_while(|byte| is(byte)).count();
    if after(u8::is_ascii_digit) > 0 || is_time(&bytes[at - before(u8::is_ascii_digit)..at + length]) {
        return false;
    }
    let is_id = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    if is_uuid(&bytes[at - before(is_id)..at + length + after(is_id)]) {
        return false;
    }
    let hash = &bytes[at - before(u8::is_ascii_hexdigit)..at + length + after(u8::is_ascii_hexdigit)];
    hash.len() < HASH || hash.iter().all(u8::is_ascii_digit)
}

/// The next run of letters, digits and hyphens.
fn run_from(bytes: &[u8], from: usize) -> Option<std::ops::Range<usize>> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let start = from + bytes[from..].iter().position(is_part)?;
    let end =
        bytes[start..].iter().position(|byte| !is_part(byte)).map_or(bytes.len(), |length| start + length);
    Some(start..end)
}

/// The telephone numbers in such a run.
fn numbers_in(bytes: &[u8], run: std::ops::Range<usize>) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    // What is of hexadecimal digits, some of them letters, is a hash or an id.
    let text = &bytes[run.clone()];
    if text.iter().all(u8::is_ascii_hexdigit) && text.iter().any(u8::is_ascii_alphabetic) {
        return found;
    }
    let mut at = run.start;
    while at < run.end {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
        let mut end = at + bytes[at..run.end].iter().take_while(|byte| is_part(byte)).count();
        let next = end;
        while bytes[end - 1] == b'-' {
            end -= 1;
        }
        let number = &bytes[at..end];
        let digits = number.iter().filter(|byte| byte.is_ascii_digit()).count();
        if digits >= LEAST_DIGITS && !is_date(number) && !is_time(number) {
            found.push(at..end);
        }
        at = next;
    }
    found
}

fn strike(number: &mut [u8]) {
    let digits = number.iter().filter(|byte| byte.is_ascii_digit()).count();
    let (first, last) = if digits >= 11 { (3, 4) } else { (2, 2) };
    let all = number.iter_mut().filter(|byte| byte.is_ascii_digit());
    for (_, digit) in all.enumerate().filter(|(i, _)| (first..digits - last).contains(i)) {
        *digit = b'*';
    }
}

/// `8-4-4-4-12` hexadecimal digits.
fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `2026-11-21`.
fn is_date(text: &[u8]) -> bool {
    text.len() == 10 && text[4] == b'-' && text[7] == b'-'
}

/// `20261121213000`, as devices write points in time.
fn is_time(digits: &[u8]) -> bool {
    let two = |at: usize| digits.get(at..at + 2).map_or(0, |two| (two[0] - b'0') * 10 + (two[1] - b'0'));
    digits.len() == 14
        && digits.iter().all(u8::is_ascii_digit)
        && matches!(two(0), 19 | 20)
        && (1..=12).contains(&two(4))
        && (1..=31).contains(&two(6))
        && two(8) < 24
        && two(10) < 60
        && two(12) < 60
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_masked_wherever_they_stand() {
        let cases = [
            ("13012345678", "130****5678"),
            ("+8613012345678", "+861******5678"),
            ("62345678", "62****78"),
            ("130-1234-5678", "130-****-5678"),
            (
                "2017/18201008888_200_20171116163550_85_cd.wav",
                "2017/182****8888_200_20171116163550_85_cd.wav",
            ),
            ("<visitor id='14' from='13012345678'/>", "<visitor id='14' from='130****5678'/>"),
            ("no route to 9,013012345678", "no route to 9,013*****5678"),
        ];
        for (text, masked) in cases {
            assert_eq!(mask(text), masked);
        }
    }

    #[test]
    fn what_is_no_number_stays() {
        for text in [
            "200",
            "888888",
            "2026-11-21T21:30:00.123Z",
            "2026-11-21",
            "20261121213000",
            "01935912-7301-7001-8201-123456789012",
            "/api/v1/calls/01935912-7301-7001-8201-123456789012",
            "9f86d08188407d659a2feaa0",
            "",
            "äöü €",
        ] {
            assert!(matches!(mask(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn a_document_keeps_what_is_needed_to_go_on() {
        let mut value = json!({"items": [{"id": "12345678", "from": "13012345678", "legs": [{"number": "02161208234"}],
            "duration": 12345678}], "next_cursor": "1234567890"});
        mask_json(&mut value);
        assert_eq!(
            value,
            json!({"items": [{"id": "12345678", "from": "130****5678", "legs": [{"number": "021****8234"}],
                "duration": 12345678}], "next_cursor": "1234567890"})
        );
    }

    #[test]
    fn a_number_is_erased_and_no_other() {
        let erased = |text: &str, number: &str| {
            let mut bytes = text.as_bytes().to_vec();
            let found = erase(&mut bytes, number);
            assert_eq!(names(text.as_bytes(), number), found > 0);
            (String::from_utf8(bytes).expect("still text"), found)
        };
        let number = "13012345678";
        assert_eq!(erased("a 13012345678,9013012345678", number), ("a xxxxxxxxxxx,90xxxxxxxxxxx".into(), 2));
        assert_eq!(erased("130123456789", number), ("130123456789".into(), 0));
        for (text, number) in [
            ("20261121213000", "1213000"),
            ("200", "200"),
            ("01935912-7301-7001-8201-12a456789012", "6789012"),
            ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b6789012", "6789012"),
            ("6789", "6789012"),
        ] {
            assert_eq!(erased(text, number), (text.into(), 0));
        }
        let mut text = br#"{"a\"":13012345678,"b":["13012345678","\\"],"c":"x 13012345678"}"#.to_vec();
        assert_eq!(erase_json(&mut text, number), 2);
        assert_eq!(text, br#"{"a\"":13012345678,"b":["xxxxxxxxxxx","\\"],"c":"x xxxxxxxxxxx"}"#);
        for cut in 0..text.len() {
            erase_json(&mut text[..cut].to_vec(), number);
        }
    }
}
