//! `switchroom replay`: recorded reports, run again through the same states, offline.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;
use switchroom_actors::device::offline::OfflineCell;
use switchroom_actors::device::state::Effects;
use switchroom_actors::entity::Doubt;
use switchroom_actors::ports::INTERNAL;
use switchroom_domain::conversation::Conversation;
use switchroom_domain::event::Event;
use switchroom_domain::fact::Fact;
use switchroom_domain::id::{CallId, DeviceId, IdSeed};
use switchroom_domain::time::Millis;
use switchroom_protocol::{DecodeContext, Dialect, decode};

use crate::api::timeline::ReportView;

/// Options of `switchroom replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    curl -s -H \"Authorization: Bearer $SWITCHROOM_TOKEN\" -H \"Accept: application/x-ndjson\" \\\n    \
    http://127.0.0.1:8080/api/v1/devices/hotel-1/reports > hotel-1.ndjson\n  switchroom replay hotel-1.ndjson")]
pub(super) struct Args {
    /// What `GET /api/v1/devices/{device}/reports` gave as NDJSON; `-` reads standard input.
    file: PathBuf,
    /// Prints the events and conversations as JSON, one a line.
    #[arg(long)]
    json: bool,
}

/// The first line of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    device: DeviceId,
    timezone: String,
    overtake_ms: u32,
    release_ms: u32,
}

/// One of the other lines.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Event { event: Value },
    Report(Box<ReportView>),
}

/// What the reports led to.
#[derive(Debug, Default)]
struct Outcome {
    reports: usize,
    events: Vec<Event>,
    conversations: BTreeMap<CallId, Conversation>,
    /// The events that were recorded with them, by id.
    recorded: BTreeMap<String, Value>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let outcome = match args.file.as_path() {
        path if path == Path::new("-") => replay(std::io::stdin().lock()),
        path => {
            let file = std::fs::File::open(path)
                .with_context(|| format!("{} cannot be opened", args.file.display()))?;
            replay(BufReader::new(file))
        }
    };
    let outcome = outcome.with_context(|| format!("{} cannot be run again", args.file.display()))?;
    let mut out = std::io::stdout().lock();
    for event in &outcome.events {
        if args.json {
            writeln!(out, "{}", event.envelope())?;
        } else {
            let data = serde_json::to_value(&event.data)?;
            let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
            let (from, to, extension) = (text("from"), text("to"), text("extension"));
            writeln!(
                out,
                "{}  {:<24} {:<28} {from:>14} {to:<14} {extension}",
                event.at, event.kind, event.subject
            )?;
        }
    }
    if args.json {
        for conversation in outcome.conversations.values() {
            writeln!(out, "{}", serde_json::json!({"conversation": conversation}))?;
        }
    }
    let differences = differences(&outcome);
    let (reports, events) = (outcome.reports, outcome.events.len());
    eprintln!("{reports} inputs, {events} events, {} conversations", outcome.conversations.len());
    if outcome.recorded.is_empty() {
        return Ok(());
    }
    if differences.is_empty() {
        eprintln!("the same as was recorded");
        return Ok(());
    }
    for difference in differences.iter().take(20) {
        eprintln!("{difference}");
    }
    bail!(
        "{} of {} events differ from what was recorded: the file begins in the middle of calls, was recorded with other \
         settings of the model or the device, or this version takes reports in another way",
        differences.len(),
        outcome.recorded.len()
    )
}

fn replay(lines: impl BufRead) -> anyhow::Result<Outcome> {
    let mut lines = lines.lines().enumerate();
    let Some((_, first)) = lines.next() else { bail!("it is empty") };
    let first = first?;
    if serde_json::from_str::<Value>(&first).is_ok_and(|page| page.get("items").is_some()) {
        bail!("it is one page of JSON; ask for all reports with the header `Accept: application/x-ndjson`");
    }
    let head: Head = serde_json::from_str(&first).context(
        "line 1 says whose reports these are: {\"device\", \"timezone\", \"overtake_ms\", \"release_ms\"}",
    )?;
    let zone = jiff::tz::TimeZone::get(&head.timezone)
        .with_context(|| format!("line 1: {:?} is no time zone", head.timezone))?;
    let doubt = Doubt { overtake: Millis(head.overtake_ms.into()), release: Millis(head.release_ms.into()) };
    let mut cell = OfflineCell::new(head.device, doubt);
    let mut outcome = Outcome::default();
    for (n, line) in lines {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let read = serde_json::from_str(&line).with_context(|| format!("line {}", n + 1))?;
        match read {
            Line::Event { event } => {
                if let Some(id) = event["id"].as_str() {
                    outcome.recorded.insert(id.to_owned(), event);
                }
            }
            Line::Report(report) => {
                let effects = take(&mut cell, &report, &zone).with_context(|| format!("line {}", n + 1))?;
                outcome.take(effects);
            }
        }
    }
    Ok(outcome)
}

impl Outcome {
    fn take(&mut self, effects: Effects) {
        self.reports += 1;
        self.events.extend(effects.events);
        self.conversations.extend(effects.conversations.into_iter().map(|one| (one.id, one)));
    }
}

fn take(cell: &mut OfflineCell, report: &ReportView, zone: &jiff::tz::TimeZone) -> anyhow::Result<Effects> {
    let seed = IdSeed { at: report.at, entropy: report.entropy };
    let Some(dialect) = &report.dialect else { return Ok(cell.tick(seed)) };
    let body = match (&report.body, &report.body_base64) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(encoded)) => base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded)?,
        (None, None) => bail!("a report has a body"),
    };
    if dialect == INTERNAL {
        let facts: Vec<Fact> = serde_json::from_slice(&body)?;
        return Ok(cell.note(seed, facts));
    }
    let dialects = [Dialect::Om, Dialect::Yeastar, Dialect::Zycoo];
    let dialect = dialects
        .into_iter()
        .find(|known| known.as_str() == dialect)
        .with_context(|| format!("{dialect:?} is no dialect"))?;
    let context = DecodeContext { time_zone: zone };
    let decoded = decode(dialect, report.content_type.as_deref(), &body, &context)
        .map_err(|error| anyhow::anyhow!("the report cannot be read: {error}"))?;
    Ok(cell.apply(seed, decoded.into_iter().flat_map(|decoded| decoded.statement.facts).collect()))
}

/// Events that were recorded and did not come again, or say something else. Their count begins anew.
fn differences(outcome: &Outcome) -> Vec<String> {
    let mut left = outcome.recorded.clone();
    let mut found = Vec::new();
    for event in &outcome.events {
        let again: Value = serde_json::from_str(&event.envelope()).unwrap_or_default();
        let Some(recorded) = again["id"].as_str().and_then(|id| left.remove(id)) else {
            found.push(format!("new: {} {} at {}", event.kind, event.subject, event.at));
            continue;
        };
        if (&recorded["type"], &recorded["data"]) != (&again["type"], &again["data"]) {
            found.push(format!(
                "differs: was {} {}, is {} {}",
                recorded["type"], recorded["data"], again["type"], again["data"]
            ));
        }
    }
    found.extend(
        left.values()
            .map(|event| format!("gone: {} {} at {}", event["type"], event["subject"], event["time"])),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_recording_is_refused_by_line() {
        let error = |text: &str| format!("{:#}", replay(text.as_bytes()).expect_err("it is refused"));
        let head = r#"{"device":"a","timezone":"UTC","overtake_ms":1000,"release_ms":1500}"#;
        assert!(error("").contains("empty"));
        assert!(error("{}").contains("line 1"));
        assert!(error(&head.replace("UTC", "Mars/Base")).contains("no time zone"));
        assert!(error(&format!("{head}\n{{\"at\":1}}")).contains("line 2"));
        let report = r#"{"id":null,"at":"2026-11-21T10:00:00Z","entropy":"7","dialect":"om","name":"X","source":"1","content_type":null,"body":"<Event"}"#;
        assert!(error(&format!("{head}\n{report}")).contains("cannot be read"));
    }
}
