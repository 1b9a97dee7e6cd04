//! `switchroom devices`.

use serde_json::Value;

use super::{Client, ServerArgs, age, block_on, limit, print, text};
use crate::cli::table::Table;

/// Options of `switchroom devices`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  switchroom devices\n  switchroom devices --state unadopted --json")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Only devices of this state: up, down, unknown or unadopted.
    #[arg(long)]
    state: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true, value_parser = limit, value_name = "N")]
    limit: usize,
}

/// Lists the devices.
pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let items = block_on(client.list(&["devices"], &[("state", args.state.as_deref())], args.limit))?;
    print(args.server.json, &items, table, "no devices")
}

fn table(items: &[Value]) -> Table {
    let mut table = Table::new(&["id", "name", "site", "dialect", "state", "address", "last report"]);
    for item in items {
        let last = age(item, "last_report_at");
        let last = if last.is_empty() { "never".to_owned() } else { format!("{last} ago") };
        // Who is not adopted is known by where it sends from.
        let address = [text(item, "address"), text(item, "source")];
        let address = address.into_iter().find(|address| !address.is_empty()).unwrap_or_default();
        // Its path tells senders behind one address apart.
        let name = [text(item, "name"), text(item, "path")];
        let name = name.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        table.row([
            text(item, "id"),
            name,
            text(item, "site"),
            text(item, "dialect"),
            text(item, "state"),
            address,
            last,
        ]);
    }
    table
}
