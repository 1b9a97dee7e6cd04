//! Points in time as the model holds them: milliseconds since 1970, UTC. State reads no clock; the time of
//! every input is an argument.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * 1000)
    }

    /// The span in seconds, as events and records state it.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl Timestamp {
    /// The time `span` later; stays at the end of time rather than overflow.
    #[must_use]
    pub const fn plus(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The time `span` earlier; stays at the beginning of time rather than overflow.
    #[must_use]
    pub const fn minus(self, span: Millis) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// How long after `earlier` this is; negative when it is before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// Writes RFC 3339 with milliseconds (`2026-11-21T10:00:00.000Z`) without asking a formatter: this is on
    /// the way of every event.
    pub fn write_rfc3339(self, out: &mut String) {
        let days = self.0.div_euclid(86_400_000);
        let ms_of_day = self.0.rem_euclid(86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (h, m) = (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60);
        let (s, ms) = (ms_of_day / 1000 % 60, ms_of_day % 1000);
        if !(0..=9999).contains(&year) {
            // Outside of what RFC 3339 can write: nearest end, never an unreadable string.
            out.push_str(if year < 0 { "0000-01-01T00:00:00.000Z" } else { "9999-12-31T23:59:59.999Z" });
            return;
        }
        let mut push = |value: i64, width: u32, end: &str| {
            for place in (0..width).rev() {
                let digit = value / 10_i64.pow(place) % 10;
                out.push(char::from(b'0' + digit as u8));
            }
            out.push_str(end);
        };
        push(year, 4, "-");
        push(month, 2, "-");
        push(day, 2, "T");
        push(h, 2, ":");
        push(m, 2, ":");
        push(s, 2, ".");
        push(ms, 3, "Z");
    }

    /// The day in UTC as `YYYYMMDD`, the name of a part of the log.
    #[must_use]
    pub fn day(self) -> u32 {
        let (year, month, day) = civil_from_days(self.0.div_euclid(86_400_000));
        (year * 10_000 + month * 100 + day) as u32
    }
}

/// Gregorian date of a day number since 1970 (Hinnant's algorithm, eras of 400 years).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

impl Add<Millis> for Timestamp {
    type Output = Self;
    fn add(self, span: Millis) -> Self {
        self.plus(span)
    }
}

impl Sub for Timestamp {
    type Output = Millis;
    fn sub(self, earlier: Self) -> Millis {
        self.since(earlier)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(24);
        self.write_rfc3339(&mut text);
        f.write_str(&text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let parsed: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(parsed.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_a_calendar_library_writes() {
        for ms in [0, 1, -1, 951_782_400_000, 1_795_264_245_123, 4_102_444_799_999, -62_135_596_800_000] {
            let library = jiff::Timestamp::from_millisecond(ms).expect("within the library's range");
            let expected = library.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
            assert_eq!(Timestamp(ms).to_string(), expected);
        }
    }

    #[test]
    fn beyond_the_calendar_is_still_readable() {
        assert_eq!(Timestamp(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp(i64::MIN).to_string(), "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn comes_back_from_json() {
        let at = Timestamp(1_795_264_245_123);
        let json = serde_json::to_string(&at).expect("writes");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).expect("reads"), at);
    }
}
