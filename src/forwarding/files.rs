//! The names of files: `APICdr/cdr_yyyymmdd.txt` for what could not be forwarded, `APICdr/yyyymmdd/cdr_hh.txt` (with
//! less than an hour in a file `cdr_hhmm.txt`) for what is only kept. Pure.

use jiff::civil::{Date, DateTime};

/// Where a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// `yyyymmdd` as a number, of the device's local time.
    pub day: u32,
    /// The minute of the day at which its file begins.
    pub minute: u32,
    /// How many minutes are in the file; none: it could not be forwarded, and is in the file of its day.
    pub span: Option<u32>,
}

impl Place {
    /// Where a record of this local time is kept.
    #[must_use]
    pub fn new(at: DateTime, span: Option<u32>) -> Self {
        let of_day = u32::from(at.hour().unsigned_abs()) * 60 + u32::from(at.minute().unsigned_abs());
        let minute = span.map_or(0, |span| of_day - of_day % span.max(1));
        Self { day: number(at.date()), minute, span }
    }

    /// The file's name, below `APICdr/`.
    #[must_use]
    pub fn name(&self) -> String {
        let (day, hour, minute) = (self.day, self.minute / 60, self.minute % 60);
        match self.span {
            None => format!("cdr_{day:08}.txt"),
            Some(60) => format!("{day:08}/cdr_{hour:02}.txt"),
            Some(_) => format!("{day:08}/cdr_{hour:02}{minute:02}.txt"),
        }
    }
}

/// A day as `yyyymmdd`.
#[must_use]
pub fn number(day: Date) -> u32 {
    let year = u32::from(day.year().unsigned_abs());
    year * 10_000 + u32::from(day.month().unsigned_abs()) * 100 + u32::from(day.day().unsigned_abs())
}

/// What a path below `/APICdr/` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// All days.
    Root,
    /// The files of a day.
    Day(u32),
    /// What of a day could not be forwarded.
    Failed(u32),
    /// What was kept from this minute of a day on; in files of an hour, or of less.
    Kept {
        /// The day.
        day: u32,
        /// The minute of the day.
        minute: u32,
        /// It is a file of an hour.
        hour: bool,
    },
}

fn day(text: &str) -> Option<u32> {
    let fits = text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| fits)
}

/// Reads a path below `/APICdr/`; none when there can be no such file.
#[must_use]
pub fn named(path: &str) -> Option<Named> {
    let of = |file: &str| file.strip_prefix("cdr_")?.strip_suffix(".txt").map(str::to_owned);
    match path.trim_end_matches('/').split_once('/') {
        None if path.is_empty() => Some(Named::Root),
        None => match of(path) {
            Some(text) => day(&text).map(Named::Failed),
            None => day(path.trim_end_matches('/')).map(Named::Day),
        },
        Some((folder, file)) => {
            let (day, time) = (day(folder)?, of(file)?);
            let is_time = matches!(time.len(), 2 | 4) && time.bytes().all(|b| b.is_ascii_digit());
            let number: u32 = time.parse().ok().filter(|_| is_time)?;
            let (hours, minutes) = if time.len() == 2 { (number, 0) } else { (number / 100, number % 100) };
            let fits = hours < 24 && minutes < 60;
            fits.then_some(Named::Kept { day, minute: hours * 60 + minutes, hour: time.len() == 2 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_what_it_was_written_for() {
        let at: DateTime = "2026-11-21T08:47:11".parse().expect("a time");
        for (span, name, read) in [
            (None, "cdr_20261121.txt", Named::Failed(20_261_121)),
            (Some(60), "20261121/cdr_08.txt", Named::Kept { day: 20_261_121, minute: 480, hour: true }),
            (Some(30), "20261121/cdr_0830.txt", Named::Kept { day: 20_261_121, minute: 510, hour: false }),
            (Some(20), "20261121/cdr_0840.txt", Named::Kept { day: 20_261_121, minute: 520, hour: false }),
            (Some(10), "20261121/cdr_0840.txt", Named::Kept { day: 20_261_121, minute: 520, hour: false }),
        ] {
            assert_eq!(Place::new(at, span).name(), name);
            assert_eq!(named(name), Some(read), "{name}");
        }
        assert_eq!(named(""), Some(Named::Root));
        assert_eq!(named("20261121/"), Some(Named::Day(20_261_121)));
        for wrong in [
            "cdr_2026112.txt",
            "cdr_../etc.txt",
            "../x",
            "20261121/../cdr_08.txt",
            "20261121/cdr_24.txt",
            "20261121/cdr_0860.txt",
            "20261121/cdr_083.txt",
            "20261121/cdr_+8.txt",
            "x",
            "20261121/cdr_08.csv",
        ] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }
}
