//! Local times in records: written without a zone, so the device's own zone is lent by the caller.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use switchroom_domain::time::Timestamp;

/// Reads `yyyymmddhhmmss` (New Rock) or `yyyy-mm-dd hh:mm:ss` (the others) in the zone.
///
/// `None` when the text is no time, or one that the zone has twice or not at all (a clock change): a guess
/// would be wrong by an hour half of the time, and the text itself is kept beside.
pub(crate) fn local(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let mut digits = [0_i16; 14];
    let mut count = 0;
    for byte in text.trim().bytes() {
        match byte {
            b'0'..=b'9' => {
                *digits.get_mut(count)? = i16::from(byte - b'0');
                count += 1;
            }
            b'-' | b':' | b' ' | b'/' | b'T' => {}
            _ => return None,
        }
    }
    if count != digits.len() {
        return None;
    }
    let year = digits[..4].iter().fold(0, |all, digit| all * 10 + digit);
    let pair = |at: usize| (digits[at] * 10 + digits[at + 1]) as i8;
    let time = DateTime::new(year, pair(4), pair(6), pair(8), pair(10), pair(12), 0).ok()?;
    let timestamp = zone.to_ambiguous_timestamp(time).unambiguous().ok()?;
    Some(Timestamp(timestamp.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::offset;

    fn shanghai() -> TimeZone {
        TimeZone::fixed(offset(8))
    }

    #[test]
    fn both_forms_are_read_in_the_zone() {
        let at = Some(Timestamp(1_489_048_033_000));
        assert_eq!(local("20170309162713", &shanghai()), at);
        assert_eq!(local("2017-03-09 16:27:13", &shanghai()), at);
        assert_eq!(local(" 2017-03-09 16:27:13 ", &TimeZone::UTC), at.map(|t| Timestamp(t.0 + 28_800_000)));
    }

    #[test]
    fn what_is_no_time_is_absent() {
        for text in ["", "0", "20171309162713", "20170309162760", "201703091627134", "yesterday", "2017"] {
            assert_eq!(local(text, &shanghai()), None, "{text}");
        }
    }

    #[test]
    fn hours_that_a_clock_change_doubles_or_skips_are_absent() {
        let rule = "EST5EDT,M3.2.0,M11.1.0";
        let zone = TimeZone::posix(rule).expect("a POSIX rule");
        assert_eq!(local("20240310023000", &zone), None);
        assert_eq!(local("20241103013000", &zone), None);
        assert!(local("20240310033000", &zone).is_some());
    }
}
