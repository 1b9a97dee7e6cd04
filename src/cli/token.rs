//! `switchroom token`: API tokens, made in the store itself.

use std::path::PathBuf;

use anyhow::{Context, bail};
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
    if let Location::Sqlite(path) = &location
        && !path.exists()
    {
        // A new one would be known to no server, and neither would the token.
        let looked_at = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        bail!(
            "there is no store at {}: give the server's configuration with --config FILE, or start the server once",
            looked_at.display()
        );
    }
    let mut connection =
        crate::storage::open(&location).with_context(|| format!("the store {location} cannot be opened"))?;
    let scope = Scope {
        devices: create.device.iter().map(|device| device.0.clone()).collect(),
        extensions: create.extension.clone(),
    };
    let known = crate::storage::devices::all(&connection)?;
    for device in &scope.devices {
        let is_here = known.iter().any(|known| known.settings.id.as_str() == device);
        // The server may not have read its configuration anew yet.
        if !is_here && !config.device.iter().any(|of_file| of_file.settings.id.as_str() == device) {
            let known = known.iter().map(|known| known.settings.id.as_str()).take(20).collect::<Vec<_>>();
            bail!("there is no device {device:?} in the store {location}; there are: {}", known.join(", "));
        }
    }
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
    output::say(&secret)
}
