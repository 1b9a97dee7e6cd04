//! `switchroom migrate-store`: moves all that is kept into another database.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::{output, usage_error};
use crate::config;
use crate::storage::Location;
use crate::storage::moving::{self, Progress};

/// Options of `switchroom migrate-store`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  switchroom migrate-store --from sqlite://data/switchroom.db \\\n    \
    --to file:/etc/switchroom/store-url\n\n\
    Stop the service first. An URL with a password is better read from a file than given here, where others on this \
    machine see it. What is there stays there.")]
pub(super) struct Args {
    /// The store that is moved: sqlite://PATH, postgres://USER:PASSWORD@HOST/DATABASE, or file:PATH with one of these.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Where it is moved: an SQLite file or a PostgreSQL database that has nothing of Switchroom in it.
    #[arg(long, value_name = "URL")]
    to: String,
}

/// Progress is shown so often.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// Moves the store, and says what is to be done then.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (from, to) = (location("--from", &args.from)?, location("--to", &args.to)?);
    let mut shown = Shown { is_on: std::io::stderr().is_terminal(), last: None };
    let moved = moving::run(&from, &to, &mut |progress| shown.show(progress));
    shown.clear();
    let moved = moved?;
    let rows: i64 = moved.tables.iter().map(|(_, rows)| rows).sum();
    output::say(&format!(
        "{rows} rows of {} tables are now in {to}, and still in {from}.",
        moved.tables.len()
    ))?;
    if let Some(fault) = &moved.audit_fault {
        output::say(&format!("The audit log was not whole before, and is as it was: {fault}."))?;
    }
    output::say("Set store.url to the new store and start the service.")?;
    if from.beside() != to.beside() {
        output::say(&format!(
            "Unless store.key_file is set, copy {} to {}: without it no stored password can be read. Recordings likewise \
             lie beside the store unless recordings.path is set.",
            from.beside().with_extension("key").display(),
            to.beside().with_extension("key").display()
        ))?;
    }
    moving::settle_in(&to).with_context(|| format!("all is moved, but {to} could not be analysed"))
}

fn location(option: &str, given: &str) -> anyhow::Result<Location> {
    let url = config::secret(given).with_context(|| option.to_owned())?;
    // The text is not shown: it may hold a password.
    url.trim().parse().or_else(|bad| usage_error(&["migrate-store"], &format!("{option}: {bad}")))
}

/// A line on the terminal that is written over.
struct Shown {
    is_on: bool,
    last: Option<(Instant, &'static str)>,
}

impl Shown {
    fn show(&mut self, progress: Progress) {
        let Progress { table, rows, of } = progress;
        let is_new = self.last.is_none_or(|(at, last)| last != table || at.elapsed() >= SHOWN_EVERY);
        if self.is_on && of > 0 && is_new {
            self.last = Some((Instant::now(), table));
            // Whether anybody sees it is not what this is about.
            let _ = write!(std::io::stderr(), "\r\x1b[K{table}: {rows} of {of}");
        }
    }

    fn clear(&self) {
        if self.last.is_some() {
            // As above.
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
