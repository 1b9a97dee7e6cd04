//! `switchroom cdrs`.

use serde_json::Value;

use super::{Client, ServerArgs, block_on, limit, local_time, print, text};
use crate::cli::duration;
use crate::cli::table::Table;

/// Options of `switchroom cdrs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  switchroom cdrs --since 1h\n  \
    switchroom cdrs --device hotel-1 --since 2026-11-21T00:00:00Z --limit 1000 --json")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Received since: a time like 2026-11-21T08:00:00Z, or so long ago, like 1h.
    #[arg(long, value_parser = time, value_name = "TIME")]
    since: Option<String>,
    /// Received before: a time, or so long ago.
    #[arg(long, value_parser = time, value_name = "TIME")]
    until: Option<String>,
    /// Only those of this device.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = limit, value_name = "N")]
    limit: usize,
}

/// Reads a time, or a time ago, as the API takes it; for clap.
fn time(text: &str) -> Result<String, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.to_string());
    }
    let ago = duration::parse(text).ok().and_then(|ago| i64::try_from(ago.as_millis()).ok());
    let then = ago.and_then(|ago| {
        let now = jiff::Timestamp::now().as_millisecond();
        jiff::Timestamp::from_millisecond(now.checked_sub(ago)?).ok()
    });
    then.map(|time| time.to_string())
        .ok_or_else(|| format!("{text:?} is no time: write 2026-11-21T08:00:00Z, or 1h for an hour ago"))
}

/// Lists call records.
pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let query = [
        ("device", args.device.as_deref()),
        ("since", args.since.as_deref()),
        ("until", args.until.as_deref()),
    ];
    let items = block_on(client.list(&["cdrs"], &query, args.limit))?;
    print(args.server.json, &items, table, "no call records")
}

fn table(items: &[Value]) -> Table {
    let mut table = Table::new(&["started", "device", "type", "from", "to", "trunk", "talked", "wire id"]);
    for item in items {
        let duration = item.get("duration").and_then(Value::as_i64).map(duration::clock);
        table.row([
            local_time(item, "started_at"),
            text(item, "device"),
            text(item, "type"),
            text(item, "from"),
            text(item, "to"),
            text(item, "trunk"),
            duration.unwrap_or_default(),
            text(item, "wire_id"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_so_long_ago() {
        assert_eq!(time("2026-11-21T10:00:00+02:00").as_deref(), Ok("2026-11-21T08:00:00Z"));
        let then: jiff::Timestamp = time("1h").expect("a time").parse().expect("RFC 3339");
        let ago = jiff::Timestamp::now().as_second() - then.as_second();
        assert!((3599..=3602).contains(&ago), "{ago}");
        assert!(time("yesterday").is_err());
    }
}
