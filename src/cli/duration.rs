//! Durations as people read them; how they write them is said by [`crate::config`].

pub(super) use crate::config::parse_duration as parse;

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
    fn a_clock_shows_what_matters() {
        assert_eq!(clock(-3), "0s");
        assert_eq!(clock(59), "59s");
        assert_eq!(clock(185), "3:05");
        assert_eq!(clock(7385), "2:03:05");
    }
}
