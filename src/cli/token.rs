//! `switchroom token`: API tokens, made in the store itself.

use std::path::PathBuf;

use anyhow::Context;
use switchroom_domain::id::DeviceId;

use super::{check_config, output, usage_error};
use crate::storage::tokens::{self, Role, Scope};
use crate::storage::{Location, audit};

/// Options of `switchroom token`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  switchroom token create --name wallboard --role viewer")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Makes a token and prints it, this once. Works while the server runs.
    Create(Create),
}

/// Options of `switchroom token create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  switchroom token create --name wallboard --role viewer\n  \
    switchroom token create --name desk-200 --role agent --device hotel-1 --extension 200")]
struct Create {
    /// Whose it is; shown wherever the token is listed.
    #[arg(long, value_parser = name)]
    name: String,
    /// What it may do: viewer, agent, operator, supervisor or admin.
    #[arg(long)]
    role: Role,
    /// Only these devices; may be given more than once.
    #[arg(long, value_name = "ID")]
    device: Vec<DeviceName>,
    /// Only these extensions; an agent needs one.
    #[arg(long, value_name = "NUMBER")]
    extension: Vec<String>,
    /// The server's configuration, for the place of its store.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A device's id, as given.
#[derive(Debug, Clone)]
struct DeviceName(String);

impl std::str::FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        DeviceId::new(text).map(|id| Self(id.to_string())).map_err(|error| error.to_string())
    }
}

fn name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let fits = (1..=200).contains(&name.len()) && !name.chars().any(char::is_control);
    if fits { Ok(name.to_owned()) } else { Err("a name has 1 to 200 characters, in one line".to_owned()) }
}

/// Makes a token and prints it.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let Action::Create(create) = &args.action;
    if create.role == Role::Agent && create.extension.is_empty() {
        usage_error(
            &["token", "create"],
            "an agent without an extension would see nothing: add --extension NUMBER",
        );
    }
    let config = check_config::load(create.config.as_deref())?;
    let location: Location = config.store.url.parse().context("store.url")?;
    let is_new = matches!(&location, Location::Sqlite(path) if !path.exists());
    let mut connection =
        crate::storage::open(&location).with_context(|| format!("the store {location} cannot be opened"))?;
    let scope = Scope {
        devices: create.device.iter().map(|device| device.0.clone()).collect(),
        extensions: create.extension.clone(),
    };
    let details = serde_json::json!({"name": create.name, "role": create.role.as_str(), "devices": scope.devices,
        "extensions": scope.extensions});
    let transaction = connection.transaction()?;
    // A server may be at work: nobody else adds to the chain meanwhile.
    audit::lock(&transaction)?;
    let (token, secret) = tokens::create(&transaction, &create.name, create.role, scope)?;
    let note = audit::Note {
        at: crate::clock::now(),
        token: "command-line".to_owned(),
        role: Role::Admin.as_str().to_owned(),
        address: String::new(),
        action: "switchroom token create".to_owned(),
        device: None,
        status: 201,
        details: serde_json::json!({"token": token.id, "made": details}).to_string(),
        salt: crate::random::bytes(),
    };
    audit::append(&transaction, &note)?;
    transaction.commit()?;
    if is_new {
        tracing::warn!("there was no store at {location}; a new one was made for this token");
    }
    output::say(&secret)
}
