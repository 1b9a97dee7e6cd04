//! `switchroom events`.

use serde_json::Value;

use super::follow::Follower;
use super::{Client, ServerArgs, block_on, limit, local_time, print, text};
use crate::cli::output;
use crate::cli::table::{Table, printable};

/// Options of `switchroom events`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  switchroom events --follow\n  \
    switchroom events --follow --kind 'call.*' --extension 200 --json\n\n\
    With --follow a broken connection is taken up again where it broke, without a gap.")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Only what comes after this cursor; without it, from the oldest event that is kept.
    #[arg(long, value_name = "CURSOR")]
    since: Option<String>,
    /// Only of this device.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// Only of this kind: call.answered, or call.* for a family.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only what concerns this extension.
    #[arg(long, value_name = "NUMBER")]
    extension: Option<String>,
    /// Goes on with what happens from now (or from --since) on. With --json: one object a line.
    #[arg(long)]
    follow: bool,
    /// At most so many; with --follow there is no limit unless one is given.
    #[arg(long, value_parser = limit, value_name = "N")]
    limit: Option<usize>,
}

/// Lists or follows events.
pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let filter = [
        ("device", args.device.as_deref()),
        ("kind", args.kind.as_deref()),
        ("extension", args.extension.as_deref()),
    ];
    if args.follow {
        let show = |event: &str| show(event, args.server.json);
        let follower = Follower { client: &client, filter: &filter, left: args.limit.unwrap_or(usize::MAX) };
        return block_on(follower.run(args.since.clone(), show));
    }
    let mut query = filter.to_vec();
    query.push(("cursor", args.since.as_deref()));
    let items = block_on(client.list(&["events"], &query, args.limit.unwrap_or(100)))?;
    print(args.server.json, &items, table, "no events")
}

/// Prints one event of a stream.
fn show(event: &str, json: bool) -> anyhow::Result<()> {
    if json {
        return output::say(event);
    }
    let event: Value = serde_json::from_str(event)?;
    let line = format!(
        "{}  {:<12}  {:<24}  {}",
        local_time(&event, "time"),
        device(&event),
        kind(&event),
        told(&event)
    );
    output::say(&printable(line.trim_end()))
}

fn table(items: &[Value]) -> Table {
    let mut table = Table::new(&["time", "device", "kind", "what", "cursor"]);
    for item in items {
        table.row([local_time(item, "time"), device(item), kind(item), told(item), text(item, "cursor")]);
    }
    table
}

fn device(event: &Value) -> String {
    event.get("data").map(|data| text(data, "device")).unwrap_or_default()
}

fn kind(event: &Value) -> String {
    let kind = text(event, "type");
    kind.strip_prefix("switchroom.").map(str::to_owned).unwrap_or(kind)
}

/// What an event says, in a few words.
fn told(event: &Value) -> String {
    let field = |name: &str| event.get("data").map(|data| text(data, name)).unwrap_or_default();
    let mut words = Vec::new();
    match (field("from"), field("to")) {
        (from, to) if from.is_empty() || to.is_empty() => words.push(from + &to),
        (from, to) => words.push(format!("{from} → {to}")),
    }
    for (label, name) in [
        ("extension ", "extension"),
        ("trunk ", "trunk"),
        ("", "state"),
        ("queue ", "queue_id"),
        ("digits ", "digits"),
        ("", "reason"),
        ("", "outcome"),
    ] {
        let value = field(name);
        if !value.is_empty() {
            words.push(format!("{label}{value}"));
        }
    }
    words.retain(|word| !word.is_empty());
    words.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_in_a_few_words() {
        let event = serde_json::json!({
            "cursor": "17", "type": "switchroom.call.ringing", "time": "2026-11-21T10:00:00Z",
            "data": {"device": "a", "from": "200", "to": "201", "extension": "201", "state": "ringing"}
        });
        assert_eq!((device(&event), kind(&event)), ("a".into(), "call.ringing".into()));
        assert_eq!(told(&event), "200 → 201  extension 201  ringing");
        assert!(table(&[event]).render("").ends_with("17"));
    }
}
