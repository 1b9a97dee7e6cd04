//! Durations as people write them: `500ms`, `60s`, `5m`, `1m30s`, `2h`.

use std::time::Duration;

/// Reads a duration; for clap.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
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

/// How long that is, for people: `4s`, `3:05`, `2:03:05`.
pub(super) fn clock(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let ms = |text: &str| parse(text).map(|duration| duration.as_millis());
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("60s"), Ok(60_000));
        assert_eq!(ms("5m"), Ok(300_000));
        assert_eq!(ms("1m30s"), Ok(90_000));
        assert_eq!(ms("1.5h"), Ok(5_400_000));
        assert_eq!(ms("0s"), Ok(0));
        for wrong in ["", "5", "s", "5 s", "-5s", "5x", "1..2s", "5s3", "99999999999999999999d"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse("5").is_err_and(|error| error.contains("60s")));
    }

    #[test]
    fn a_clock_shows_what_matters() {
        assert_eq!(clock(-3), "0s");
        assert_eq!(clock(59), "59s");
        assert_eq!(clock(185), "3:05");
        assert_eq!(clock(7385), "2:03:05");
    }
}
