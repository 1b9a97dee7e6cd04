//! `switchroom extensions`.

use serde_json::Value;

use super::{Client, ServerArgs, age, block_on, limit, print, text};
use crate::cli::table::Table;

/// Options of `switchroom extensions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  switchroom extensions\n  switchroom extensions hotel-1")]
pub(in crate::cli) struct Args {
    /// Only those of this device.
    device: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// At most so many.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true, value_parser = limit, value_name = "N")]
    limit: usize,
}

/// Lists extensions.
pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let items = block_on(client.of_devices(args.device.as_deref(), "extensions", args.limit))?;
    print(args.server.json, &items, table, "no extensions are known yet")
}

impl Client {
    /// A list that every device has, of one device or of all; each item says its device.
    pub(super) async fn of_devices(
        &self,
        device: Option<&str>,
        list: &str,
        limit: usize,
    ) -> anyhow::Result<Vec<Value>> {
        let ids = match device {
            Some(device) => vec![device.to_owned()],
            None => {
                let devices = self.list(&["devices"], &[], usize::MAX).await?;
                devices.iter().map(|device| text(device, "id")).collect()
            }
        };
        let mut all = Vec::new();
        for id in ids {
            let items = self.list(&["devices", &id, list], &[], limit - all.len()).await?;
            all.extend(items.into_iter().map(|item| with_device(&id, item)));
            if all.len() >= limit {
                break;
            }
        }
        Ok(all)
    }
}

/// The item with its device as the first field.
fn with_device(device: &str, item: Value) -> Value {
    let Value::Object(fields) = item else { return item };
    let mut all = serde_json::Map::new();
    all.insert("device".to_owned(), device.into());
    all.extend(fields);
    Value::Object(all)
}

fn table(items: &[Value]) -> Table {
    let mut table = Table::new(&["device", "number", "state", "for", "basis", "line", "calls"]);
    for item in items {
        let calls = item.get("calls").and_then(Value::as_array).map_or(0, Vec::len);
        table.row([
            text(item, "device"),
            text(item, "number"),
            text(item, "state"),
            age(item, "since"),
            text(item, "basis"),
            text(item, "line_id"),
            if calls == 0 { String::new() } else { calls.to_string() },
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_says_its_device_first() {
        let item = with_device("a", serde_json::json!({"number": "200", "state": "idle"}));
        assert_eq!(item.to_string(), r#"{"device":"a","number":"200","state":"idle"}"#);
        assert!(table(&[item]).render("").contains("a       200     idle"));
    }
}
