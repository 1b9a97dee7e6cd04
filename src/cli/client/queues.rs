//! `switchroom queues`.

use serde_json::Value;

use super::{Client, ServerArgs, age, block_on, limit, print, text};
use crate::cli::table::Table;

/// Options of `switchroom queues`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  switchroom queues\n  switchroom queues --device hotel-1")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Only those of this device.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true, value_parser = limit, value_name = "N")]
    limit: usize,
}

/// Lists queues with who waits in them.
pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let items = block_on(client.of_devices(args.device.as_deref(), "groups", args.limit))?;
    print(args.server.json, &items, table, "no queues are known yet")
}

fn table(items: &[Value]) -> Table {
    let mut table = Table::new(&["device", "queue", "group", "waiting", "first in line", "for"]);
    for item in items {
        let first = item.get("waiting").and_then(Value::as_array).and_then(|waiting| waiting.first());
        table.row([
            text(item, "device"),
            text(item, "queue_id"),
            text(item, "group"),
            text(item, "waiting_count"),
            first.map(|first| text(first, "from")).unwrap_or_default(),
            first.map(|first| age(first, "since")).unwrap_or_default(),
        ]);
    }
    table
}
