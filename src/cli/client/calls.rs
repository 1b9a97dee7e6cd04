//! `switchroom calls`.

use serde_json::Value;

use super::{Client, ServerArgs, age, block_on, limit, print, text};
use crate::cli::table::Table;

/// Options of `switchroom calls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  switchroom calls\n  switchroom calls --device hotel-1 --json")]
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

/// Lists live calls.
pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let items = block_on(client.list(&["calls"], &[("device", args.device.as_deref())], args.limit))?;
    print(args.server.json, &items, table, "no live calls")
}

fn table(items: &[Value]) -> Table {
    let mut table = Table::new(&["id", "device", "direction", "from", "to", "state", "for", "with", "basis"]);
    for item in items {
        let since = if text(item, "answered_at").is_empty() { "started_at" } else { "answered_at" };
        table.row([
            text(item, "id"),
            text(item, "device"),
            text(item, "direction"),
            text(item, "from"),
            text(item, "to"),
            text(item, "state"),
            age(item, since),
            extensions(item),
            text(item, "basis"),
        ]);
    }
    table
}

/// The extensions that take part in a call.
fn extensions(call: &Value) -> String {
    let legs = call.get("legs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let numbers = legs.iter().filter(|leg| text(leg, "kind") == "extension").map(|leg| text(leg, "number"));
    numbers.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_line_with_its_extensions() {
        let call = serde_json::json!({
            "id": "c1", "device": "a", "direction": "internal", "state": "ringing", "from": "200", "to": null,
            "legs": [{"kind": "extension", "number": "200"}, {"kind": "outer", "number": "1"}]
        });
        let shown = table(&[call]).render("");
        assert!(shown.contains("c1  a       internal   200       ringing       200"), "{shown}");
    }
}
