//! Durations as people write them: `500ms`, `60s`, `5m`, `1m30s`, `2h`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration of the configuration, written as people do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_duration(&text).map(Self)
    }
}

impl From<Span> for String {
    /// In the largest unit that leaves no remainder.
    fn from(span: Span) -> Self {
        let ms = span.0.as_millis();
        for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1000, "s")] {
            if ms > 0 && ms.is_multiple_of(unit) {
                return format!("{}{name}", ms / unit);
            }
        }
        format!("{ms}ms")
    }
}

/// Reads a duration.
///
/// # Errors
/// Says how one is written.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write it like 500ms, 60s, 5m or 1m30s");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let ms = |text: &str| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("60s"), Ok(60_000));
        assert_eq!(ms("5m"), Ok(300_000));
        assert_eq!(ms("1m30s"), Ok(90_000));
        assert_eq!(ms("1.5h"), Ok(5_400_000));
        assert_eq!(ms("0s"), Ok(0));
        for wrong in ["", "5", "s", "5 s", "-5s", "5x", "1..2s", "5s3", "99999999999999999999d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse_duration("5").is_err_and(|error| error.contains("60s")));
    }

    #[test]
    fn a_span_is_written_as_it_is_read() {
        for text in ["500ms", "5s", "90s", "5m", "2h", "24h", "0ms"] {
            let span = Span::try_from(text.to_owned()).expect(text);
            assert_eq!(String::from(span), text);
        }
    }
}
