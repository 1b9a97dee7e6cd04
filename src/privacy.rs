//! Telephone numbers in text: masked for those who may not see them, and erased for good.
//!
//! Both look at text, not at fields, so that no field is forgotten: a number also stands in the name of a recording, in
//! a report as it came, in the words of an error. What an extension has is too short to be taken for one.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use serde_json::Value;

#[cfg(doc)]
use crate::numbers::is_separator;

/// So many digits make a telephone number of somebody; fewer are an extension, a code, a count.
pub const LEAST_DIGITS: usize = 7;

/// So many hexadecimal digits, some of them letters, are a hash.
const HASH: usize = 32;

/// So far around a digit it is looked for what it is a part of.
const LONGEST_RUN: usize = 128;

/// `2026-11-21` has so many bytes.
const DATE: usize = 10;

/// So many separators stand between two groups of one number: `(021) 6120`, `0592 - 2367`.
const MOST_SEPARATORS: usize = 3;

/// Separators that are no ASCII, as JSON may write them behind `\u`.
const SEPARATOR_CODES: [&[u8]; 4] = [b"00a0", b"2010", b"2011", b"2013"];

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
            // Nothing but groups of digits: then these are one number, unless it is an address.
            if crate::numbers::compact(text).is_some() && text.parse::<Ipv4Addr>().is_err() {
                *text = mask_written(text);
            } else if let Cow::Owned(masked) = mask(text) {
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

/// Masks also numbers that are written in groups, as people write them: `130 1234 5678`. For what people wrote; in
/// reports and records, groups of digits are mostly something else.
#[must_use]
pub fn mask_written(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while let Some(offset) = bytes[at..].iter().position(u8::is_ascii_digit) {
        let (digits, next) = written_from(&bytes, at + offset);
        if digits.len() >= LEAST_DIGITS {
            for i in struck(digits.len()) {
                bytes[digits[i]] = b'*';
            }
        }
        at = next;
    }
    // Digits were replaced by as many asterisks.
    mask(&String::from_utf8_lossy(&bytes)).into_owned()
}

/// The digits of what is written as one number from here on, and where to go on behind it. No digits: it is a date, a
/// point in time, an id.
fn written_from(bytes: &[u8], start: usize) -> (Vec<usize>, usize) {
    let (mut digits, mut at) = (Vec::new(), start);
    loop {
        let group = at..at + bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let date = date_at(bytes, at).then_some(at + DATE);
        let Some(other) = date.or_else(|| is_other(bytes, at).then_some(group.end)) else {
            digits.extend(group.clone());
            let next = group.end + separators(&bytes[group.end..]);
            if !bytes.get(next).is_some_and(u8::is_ascii_digit) {
                return (digits, next);
            }
            at = next;
            continue;
        };
        return if digits.is_empty() { (digits, other) } else { (digits, at) };
    }
}

/// Strikes a number out wherever it stands, also with something dialled before it, or written in groups (`130-1234
/// 5678`), and in place: only its digits change, and nothing moves. Gives how often it stood there.
///
/// The beginning or the middle of a longer row of digits is another number; and the digits of an id, a hash, a date or a
/// point in time are none. What stands behind a separator (`13012345678-200`) does not make it another number.
pub fn erase(bytes: &mut [u8], number: &str) -> usize {
    let (mut found, mut from) = (0, 0);
    let mut digits = Vec::with_capacity(number.len());
    while let Some(next) = place(bytes, from, number, &mut digits) {
        for at in &digits {
            bytes[*at] = b'x';
        }
        found += 1;
        from = next;
    }
    found
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
    place(bytes, 0, number, &mut Vec::with_capacity(number.len())).is_some()
}

/// Has it as many digits as a telephone number of somebody, or had it before they were struck out?
#[must_use]
pub fn is_long(number: &str) -> bool {
    number.bytes().filter(|byte| byte.is_ascii_digit() || *byte == b'x').count() >= LEAST_DIGITS
}

/// The next place of a number: where each of its digits stands, and where to go on behind it.
fn place(bytes: &[u8], mut from: usize, number: &str, digits: &mut Vec<usize>) -> Option<usize> {
    let first = *number.as_bytes().first().filter(|_| number.len() >= LEAST_DIGITS)?;
    while let Some(offset) = memchr::memchr(first, bytes.get(from..)?) {
        let at = from + offset;
        if stands_at(bytes, at, number, digits) && is_number(bytes, digits) {
            return digits.last().map(|last| last + 1);
        }
        from = at + 1;
    }
    None
}

/// Do a number's digits stand here, whatever separates them?
fn stands_at(bytes: &[u8], mut at: usize, number: &str, digits: &mut Vec<usize>) -> bool {
    digits.clear();
    for digit in number.bytes() {
        if !digits.is_empty() && bytes.get(at) != Some(&digit) {
            at += separators(&bytes[at..]);
        }
        if bytes.get(at) != Some(&digit) {
            return false;
        }
        digits.push(at);
        at += 1;
    }
    true
}

fn is_number(bytes: &[u8], digits: &[usize]) -> bool {
    let [first, .., last] = digits else { return false };
    if bytes.get(last + 1).is_some_and(u8::is_ascii_digit)
        || is_other(bytes, *first)
        || is_other(bytes, *last)
    {
        return false;
    }
    // A date has its separators where it has its digits apart.
    let is_in_date = |at: usize| {
        let begins = [4, 7].into_iter().filter_map(|before| at.checked_sub(before));
        begins.into_iter().any(|begin| date_at(bytes, begin))
    };
    let mut groups = digits.windows(2).filter(|two| two[0] + 1 < two[1]);
    !groups.any(|two| is_in_date(two[0] + 1))
}

/// Is this digit one of a point in time, an id or a hash?
fn is_other(bytes: &[u8], at: usize) -> bool {
    let run = |is: fn(&u8) -> bool| {
        let before = bytes[..at].iter().rev().take(LONGEST_RUN).take_while(|byte| is(byte)).count();
        let after = bytes[at..].iter().take(LONGEST_RUN).take_while(|byte| is(byte)).count();
        &bytes[at - before..at + after]
    };
    let hash = run(u8::is_ascii_hexdigit);
    is_time(run(u8::is_ascii_digit))
        || is_uuid(run(|byte| byte.is_ascii_hexdigit() || *byte == b'-'))
        || (hash.len() >= HASH && hash.iter().any(u8::is_ascii_alphabetic))
}

/// The length of what separates groups of a number, as [`is_separator`] has it, here also in the ways in which URLs, forms
/// and JSON write that; 0 if nothing does.
fn separators(bytes: &[u8]) -> usize {
    let mut length = 0;
    for _ in 0..MOST_SEPARATORS {
        let rest = &bytes[length..];
        length += match rest {
            [b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'+', ..] => 1,
            [b'\\', b'/', ..] | [0xC2, 0xA0, ..] => 2,
            [b'%', b'2', b'0' | b'8' | b'9' | b'B' | b'b' | b'D' | b'd' | b'E' | b'e' | b'F' | b'f', ..]
            | [0xE2, 0x80, 0x90 | 0x91 | 0x93, ..] => 3,
            [b'\\', b'u', code @ ..] if SEPARATOR_CODES.iter().any(|known| is_code(code, known)) => 6,
            _ => break,
        };
    }
    length
}

fn is_code(text: &[u8], code: &[u8]) -> bool {
    text.get(..code.len()).is_some_and(|text| text.eq_ignore_ascii_case(code))
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
    let struck = struck(digits);
    let all = number.iter_mut().filter(|byte| byte.is_ascii_digit());
    for (_, digit) in all.enumerate().filter(|(i, _)| struck.contains(i)) {
        *digit = b'*';
    }
}

/// Which of so many digits are masked.
fn struck(digits: usize) -> std::ops::Range<usize> {
    let (first, last) = if digits >= 11 { (3, 4) } else { (2, 2) };
    first..digits - last
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

/// Does a day stand here: `2026-11-21`, `2026/11/21`, `2026.11.21`?
fn date_at(bytes: &[u8], at: usize) -> bool {
    let Some(text) = bytes.get(at..at + DATE) else { return false };
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let is_apart = matches!(text[4], b'-' | b'/' | b'.') && text[4] == text[7];
    if !is_apart || is_digit(at + DATE) || at.checked_sub(1).is_some_and(is_digit) {
        return false;
    }
    let digits: Vec<u8> = [0, 1, 2, 3, 5, 6, 8, 9].map(|i| text[i]).into();
    digits.iter().all(u8::is_ascii_digit) && is_day(&digits)
}

/// `20261121213000`, as devices write points in time.
fn is_time(digits: &[u8]) -> bool {
    digits.len() == 14
        && digits.iter().all(u8::is_ascii_digit)
        && is_day(digits)
        && two(digits, 8) < 24
        && two(digits, 10) < 60
        && two(digits, 12) < 60
}

/// Do these digits begin with a day: `20261121`?
fn is_day(digits: &[u8]) -> bool {
    matches!(two(digits, 0), 19 | 20)
        && (1..=12).contains(&two(digits, 4))
        && (1..=31).contains(&two(digits, 6))
}

fn two(digits: &[u8], at: usize) -> u8 {
    digits.get(at..at + 2).map_or(0, |two| (two[0] - b'0') * 10 + (two[1] - b'0'))
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
    fn a_value_that_is_a_number_in_groups_is_masked_in_a_document() {
        let mut value = json!({"from": "130 9999 5678", "to": "(021) 6120.8234", "at": "2026-11-21", "ip": "192.168.100.200",
            "note": "rack 12 34 56 78", "extension": "8 001"});
        mask_json(&mut value);
        assert_eq!(
            value,
            json!({"from": "130 **** 5678", "to": "(021) ****.8234", "at": "2026-11-21", "ip": "192.168.100.200",
                "note": "rack 12 34 56 78", "extension": "8 001"})
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

    #[test]
    fn a_number_is_erased_however_it_is_written() {
        let erased = |text: &str, number: &str| {
            let mut bytes = text.as_bytes().to_vec();
            let found = erase(&mut bytes, number);
            assert_eq!(names(text.as_bytes(), number), found > 0, "{text}");
            assert_eq!(bytes.len(), text.len());
            (String::from_utf8(bytes).expect("still text"), found)
        };
        for (text, number, expected) in [
            ("0592-23678757", "059223678757", "xxxx-xxxxxxxx"),
            ("130 9999 5678", "13099995678", "xxx xxxx xxxx"),
            ("+86 (130) 9999-5678", "13099995678", "+86 (xxx) xxxx-xxxx"),
            ("+86 (130) 9999-5678", "8613099995678", "+xx (xxx) xxxx-xxxx"),
            ("0592 - 2367.8757", "059223678757", "xxxx - xxxx.xxxx"),
            ("130\u{a0}9999\u{2011}5678", "13099995678", "xxx\u{a0}xxxx\u{2011}xxxx"),
            (r"130\u00A09999\/5678", "13099995678", r"xxx\u00A0xxxx\/xxxx"),
            ("to=130+9999%205678&x=1", "13099995678", "to=xxx+xxxx%20xxxx&x=1"),
            ("9-130-9999-5678-200", "13099995678", "9-xxx-xxxx-xxxx-200"),
            ("200 13099995678 201", "13099995678", "200 xxxxxxxxxxx 201"),
            ("on 2026-11-20 130 9999 5678", "13099995678", "on 2026-11-20 xxx xxxx xxxx"),
            // It begins with the second of these digits.
            ("1 1111 1112", "11111112", "1 xxxx xxxx"),
        ] {
            assert_eq!(erased(text, number), (expected.into(), 1), "{text}");
        }
        for (text, number) in [
            // Another number, which only begins so.
            ("130-9999-56789", "13099995678"),
            ("130 9999 56", "13099995678"),
            // Dates, times, ids, hashes.
            ("2026-11-21", "20261121"),
            ("2026/11/21/01935912", "0261121"),
            ("2026-11-21 21:30", "2026112121"),
            ("7 20261121213000", "720261121213000"),
            ("01935912-7301-7001-8201-123456789012", "8201123456789012"),
            ("ext 200-201", "200201"),
            ("130,9999,5678", "13099995678"),
            ("130    9999 5678", "13099995678"),
            ("", "13099995678"),
        ] {
            assert_eq!(erased(text, number), (text.into(), 0), "{text}");
        }
        let mut text =
            br#"{"at":"2026-11-21T21:30:00Z","from":"0592-23678757","n":"(0592) 2367 8757"}"#.to_vec();
        assert_eq!(erase_json(&mut text, "059223678757"), 2);
        assert_eq!(text, br#"{"at":"2026-11-21T21:30:00Z","from":"xxxx-xxxxxxxx","n":"(xxxx) xxxx xxxx"}"#);
    }

    #[test]
    fn what_a_person_wrote_is_masked_in_groups_as_well() {
        for (text, masked) in [
            ("asked by 130 9999 5678", "asked by 130 **** 5678"),
            ("+86 (130) 9999.5678, and 0592-23678757", "+86 (1**) ****.5678, and 059*-****8757"),
            ("6120 8234", "61** **34"),
            ("request of 2026-11-20", "request of 2026-11-20"),
            ("2026-11-20 130 9999 5678 2026.11.21", "2026-11-20 130 **** 5678 2026.11.21"),
            ("ticket 4711, 20261121213000", "ticket 4711, 20261121213000"),
            ("01935912-7301-7001-8201-123456789012", "01935912-7301-7001-8201-123456789012"),
            ("by 13099995678 of 200", "by 130****5678 of 200"),
            ("", ""),
            ("äöü 1", "äöü 1"),
        ] {
            assert_eq!(mask_written(text), masked, "{text}");
        }
    }

    #[test]
    fn a_long_row_of_digits_is_looked_through_in_its_own_time() {
        let mut text = "1301234567-".repeat(100_000).into_bytes();
        assert_eq!(erase(&mut text, "1301234567"), 100_000);
        let mut text = vec![b'1'; 1_000_000];
        assert_eq!(erase(&mut text, "1111111"), 1);
    }
}
