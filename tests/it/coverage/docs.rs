//! docs/commands.md says what is so: its tables are written from the table of rows, the parameters, and what tokens of
//! each role may do; its JSON is JSON of commands.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};
use switchroom_domain::command::Command;
use switchroom_protocol::Dialect;
use switchroom_protocol::om::capabilities;
use switchroom_protocol::om::parameters::{self, Kind, Parameter};
use switchroom_test_support::{Service, TOKEN};

use super::{Row, json_of, rows};

const ROLES: [&str; 5] = ["viewer", "agent", "operator", "supervisor", "admin"];

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md")
}

fn command_of(row: &Row) -> Command {
    // Ids are whatever the device says.
    let text = row.command.replace('{', "\u{1}").replace("\u{1}visitor}", "1").replace("\u{1}outer}", "1");
    serde_json::from_str(&text.replace('\u{1}', "{"))
        .unwrap_or_else(|error| panic!("{}: {error}", row.name()))
}

/// The firmware that a command needs, in a cell.
fn firmware(commands: &[Command]) -> String {
    let needed: Vec<_> = commands.iter().map(capabilities::needs).collect();
    if needed.iter().all(Option::is_none) {
        return "all".to_owned();
    }
    if let [Some(first), ..] = needed.as_slice()
        && needed.iter().all(|other| other.as_ref() == Some(first))
    {
        return first.revision.to_string();
    }
    if commands
        .iter()
        .any(|command| matches!(command, Command::ReadParameter { .. } | Command::WriteParameter { .. }))
    {
        return "by [parameter](#parameters)".to_owned();
    }
    let some: BTreeSet<String> =
        needed.iter().flatten().map(|needed| format!("{}: {}", needed.what, needed.revision)).collect();
    format!("all; {}", some.into_iter().collect::<Vec<_>>().join("; "))
}

/// Which roles may give a command, found out by giving it to a device that cannot be reached.
async fn roles(service: &Service, tokens: &[(&'static str, String)], kind: &str) -> String {
    let client = reqwest::Client::new();
    let mut may = Vec::new();
    for (role, token) in tokens {
        for row in rows::all().filter(|row| row.kind() == kind) {
            let body = serde_json::to_string(&command_of(row)).expect("JSON");
            let url = format!("http://{}/api/v1/devices/nowhere/commands", service.api);
            let request = client.post(url).bearer_auth(token).header("Content-Type", "application/json");
            let answer = request.body(body).send().await.expect("the API answers");
            let text = answer.text().await.expect("a body");
            if json_of(&text)["type"] != "/problems/forbidden" {
                may.push(*role);
                break;
            }
        }
    }
    may.join(", ")
}

async fn commands() -> String {
    switchroom::link::tls::install_provider();
    let service = Service::start().expect("the service starts");
    service.add("nowhere", Dialect::Om).await.expect("a device");
    let client = reqwest::Client::new();
    let mut tokens = Vec::new();
    for role in ROLES {
        let own: Vec<String> = (200..220).map(|number: u16| number.to_string()).collect();
        let extensions = if role == "agent" { own } else { Vec::new() };
        let body = json!({"name": role, "role": role, "extensions": extensions}).to_string();
        let request = client.post(format!("http://{}/api/v1/tokens", service.api)).bearer_auth(TOKEN);
        let answer = request.header("Content-Type", "application/json").body(body).send().await;
        let text = answer.expect("the API answers").text().await.expect("a body");
        tokens.push((role, json_of(&text)["token"].as_str().expect("a token").to_owned()));
    }
    let mut table = String::from("| command | chapter | firmware | roles |\n| --- | --- | --- | --- |\n");
    for kind in Command::NAMES {
        let of: Vec<&Row> = rows::all().filter(|row| row.kind() == kind).collect();
        let mut chapters: Vec<&str> = of.iter().map(|row| row.chapter).collect();
        chapters.dedup();
        let known: Vec<Command> = of.iter().map(|row| command_of(row)).collect();
        let (firmware, roles) = (firmware(&known), roles(&service, &tokens, kind).await);
        let _ = writeln!(table, "| `{kind}` | {} | {firmware} | {roles} |", chapters.join(", "));
    }
    table
}

fn parameters() -> String {
    let values = |parameter: &Parameter| match parameter.kind {
        Kind::Bits(bits) => {
            let bits: Vec<String> =
                bits.iter().map(|(bit, meaning)| format!("0x{bit:02x} {meaning}")).collect();
            format!("bits: {}", bits.join("; "))
        }
        _ => parameter.kind.range(),
    };
    let mut table = String::from(
        "| name | number | of | values | default | | firmware |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for parameter in parameters::ALL {
        let Parameter { name, id, default, meaning, .. } = parameter;
        let of = if parameter.per_line { "each line" } else { "the device" };
        let default = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
        let since = parameter.since.map_or_else(|| "all".to_owned(), |since| since.to_string());
        let values = values(parameter);
        let _ = writeln!(table, "| `{name}` | {id} | {of} | {values} | {default} | {meaning} | {since} |");
    }
    table
}

fn coverage() -> String {
    let mut table = String::from("| chapter | row | command | firmware |\n| --- | --- | --- | --- |\n");
    for row in rows::all() {
        let firmware = firmware(&[command_of(row)]);
        let _ = writeln!(table, "| {} | {} | `{}` | {firmware} |", row.chapter, row.title, row.kind());
    }
    table
}

/// The page with the table of this name.
fn with_table(page: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{begin} is missing"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{end} is missing"));
    format!("{before}{begin}{table}{end}{after}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_the_commands_page_are_those_of_the_program() {
    let written = std::fs::read_to_string(page()).expect("docs/commands.md");
    let right = with_table(&written, "commands", &commands().await);
    let right = with_table(&right, "parameters", &parameters());
    let right = with_table(&right, "coverage", &coverage());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(page(), right).expect("docs/commands.md is written");
        return;
    }
    let differs = written.lines().zip(right.lines()).find(|(is, should)| is != should);
    assert!(
        written == right,
        "docs/commands.md has {differs:#?}: run `UPDATE_DOCS=1 cargo test --test it coverage`"
    );
}

#[test]
fn what_the_commands_page_shows_are_commands() {
    let written = std::fs::read_to_string(page()).expect("docs/commands.md");
    let mut shown = BTreeSet::new();
    for block in written.split("```json\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        for value in serde_json::Deserializer::from_str(block).into_iter::<Value>() {
            let value = value.unwrap_or_else(|error| panic!("{block}: {error}"));
            // A command as it is posted, not what became of one.
            if value.get("id").is_some() {
                continue;
            }
            let command: Command =
                serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"));
            command.check().unwrap_or_else(|error| panic!("{value}: {error}"));
            shown.insert(command.name());
        }
    }
    assert_eq!(shown, BTreeSet::from(Command::NAMES), "every command is shown");
}
