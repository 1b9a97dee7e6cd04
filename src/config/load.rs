//! Reading the configuration: the file, then the environment, then references to secret files.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::sections::Config;
use crate::storage::location::{self, Location};
use crate::storage::tokens::Role;

/// What limits may allow a head or a body, in bytes: reports have a few hundred.
const LARGEST_BODY: usize = 16 * 1024 * 1024;

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file has a mistake; the text names line and column.
    #[error("{path}: {error}")]
    Toml {
        /// Which.
        path: PathBuf,
        /// Where and what.
        error: Box<toml::de::Error>,
    },
    /// A variable has a mistake.
    #[error("the environment variable {name}: {problem}")]
    Variable {
        /// Which.
        name: String,
        /// What.
        problem: String,
    },
    /// Values that cannot be together.
    #[error("{0}")]
    Value(String),
}

/// Where variables come from: the process, or a test's own list.
pub trait Environment {
    /// All that begin with `SWITCHROOM_`.
    fn variables(&self) -> Vec<(String, String)>;
}

/// The process's environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variables(&self) -> Vec<(String, String)> {
        std::env::vars().filter(|(name, _)| name.starts_with("SWITCHROOM_")).collect()
    }
}

impl Environment for &[(&str, &str)] {
    fn variables(&self) -> Vec<(String, String)> {
        self.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}

/// Variables that are the command line's, not the configuration's.
const CLIENT_VARIABLES: &[&str] = &["SWITCHROOM_SERVER", "SWITCHROOM_TOKEN", "SWITCHROOM_LOG"];

/// Reads a configuration. Without a path only the environment and the defaults count.
///
/// # Errors
/// Says which line, variable or value is wrong.
pub fn load(path: Option<&Path>, environment: &impl Environment) -> Result<Config, ConfigError> {
    let mut table = Table::new();
    if let Some(path) = path {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
        let toml_error = |error| ConfigError::Toml { path: path.to_owned(), error: Box::new(error) };
        // Once for its errors, which name the line; once as values, for the variables to go over.
        toml::from_str::<Config>(&text).map_err(toml_error)?;
        table = toml::from_str(&text).map_err(toml_error)?;
    }
    for (name, value) in environment.variables() {
        if !CLIENT_VARIABLES.contains(&name.as_str()) {
            set(&mut table, &name, value)?;
        }
    }
    let mut config: Config = Value::Table(table).try_into().map_err(|error: toml::de::Error| {
        ConfigError::Value(format!("the environment: {}", error.message()))
    })?;
    resolve_secrets(&mut config)?;
    check(&config)?;
    Ok(config)
}

/// `SWITCHROOM_API__LISTEN` sets `api.listen`. Numbers, booleans and lists are read as TOML, all else as text.
fn set(table: &mut Table, name: &str, value: String) -> Result<(), ConfigError> {
    let wrong = |problem: &str| ConfigError::Variable { name: name.to_owned(), problem: problem.to_owned() };
    let keys: Vec<String> =
        name.trim_start_matches("SWITCHROOM_").split("__").map(str::to_lowercase).collect();
    let Some((last, sections)) = keys.split_last() else { return Err(wrong("names no key")) };
    if sections.is_empty() {
        return Err(wrong("names no section; for example SWITCHROOM_API__LISTEN sets api.listen"));
    }
    let mut here = &mut *table;
    for section in sections {
        here = here
            .entry(section.clone())
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| wrong("names a section that is a value"))?;
    }
    let parsed =
        toml::from_str::<Table>(&format!("value = {value}")).ok().and_then(|mut t| t.remove("value"));
    here.insert(last.clone(), parsed.unwrap_or(Value::String(value)));
    // Each variable is tried by itself, so that a mistake is named.
    let whole = Value::Table(table.clone()).try_into::<Config>();
    whole.map(|_| ()).map_err(|error| wrong(error.message()))
}

/// `file:PATH` is read; the text is the file's without its last line end.
fn resolve_secrets(config: &mut Config) -> Result<(), ConfigError> {
    resolve(&mut config.api.admin_token)?;
    resolve(&mut config.cdr_forward.password)?;
    if let Some(s3) = &mut config.recordings.s3 {
        resolve(&mut s3.secret_access_key)?;
    }
    // An URL may have a password in it.
    let mut url = Some(std::mem::take(&mut config.store.url));
    resolve(&mut url)?;
    config.store.url = url.unwrap_or_default();
    for client in config.om_endpoint.clients.values_mut() {
        resolve(&mut client.password)?;
    }
    for device in &mut config.device {
        resolve(&mut device.secrets.command_password)?;
        resolve(&mut device.secrets.report_password)?;
        resolve(&mut device.secrets.web_password)?;
        resolve(&mut device.secrets.recording_password)?;
    }
    Ok(())
}

/// A secret as it is given: itself, or `file:PATH`.
///
/// # Errors
/// When the file cannot be read.
pub fn secret(given: &str) -> Result<String, ConfigError> {
    let mut secret = Some(given.to_owned());
    resolve(&mut secret)?;
    Ok(secret.unwrap_or_default())
}

fn resolve(secret: &mut Option<String>) -> Result<(), ConfigError> {
    if let Some(path) = secret.as_deref().and_then(|text| text.strip_prefix("file:")) {
        let path = PathBuf::from(path);
        let text = std::fs::read_to_string(&path).map_err(|error| ConfigError::File { path, error })?;
        *secret = Some(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    Ok(())
}

/// Combinations that would be dangerous or cannot work.
fn check(config: &Config) -> Result<(), ConfigError> {
    let wrong = |text: &str| Err(ConfigError::Value(text.to_owned()));
    let api = &config.api;
    if api.tls_certificate.is_some() != api.tls_key.is_some() {
        return wrong("api.tls_certificate and api.tls_key belong together; give both or neither");
    }
    if !api.listen.ip().is_loopback() && api.tls_certificate.is_none() && !api.insecure {
        return Err(ConfigError::Value(format!(
            "api.listen = \"{}\" can be reached by others, so it wants TLS: set api.tls_certificate and api.tls_key, \
             or api.insecure = true behind a proxy that adds it",
            api.listen
        )));
    }
    if api.admin_token.as_deref().is_some_and(|token| token.len() < 16) {
        return wrong("api.admin_token has fewer than 16 characters and could be guessed");
    }
    if let Err(bad) = config.store.url.parse::<Location>() {
        return Err(ConfigError::Value(format!("store.url: {bad}")));
    }
    config.numbers.check().map_err(ConfigError::Value)?;
    if config.privacy.mask_numbers_for.contains(&Role::Admin) {
        return wrong("privacy.mask_numbers_for cannot have admin: somebody must see what there is");
    }
    let commands = &config.commands;
    if commands.connect_seconds == 0 || commands.timeout_seconds == 0 || commands.wait_seconds == 0 {
        return wrong("commands: connect_seconds, timeout_seconds and wait_seconds are at least 1");
    }
    if commands.capacity == 0 || commands.capacity > 768 {
        return wrong("commands.capacity is 1 to 768");
    }
    let recordings = &config.recordings;
    if recordings.at_once == 0 || recordings.at_once > 256 {
        return wrong("recordings.at_once is 1 to 256");
    }
    if recordings.max_bytes < 1024 || recordings.timeout_seconds == 0 {
        return wrong("recordings: max_bytes is at least 1024, and timeout_seconds at least 1");
    }
    if let Some(s3) = &recordings.s3 {
        s3.check().map_err(ConfigError::Value)?;
    }
    if recordings.retry_after_seconds.len() > 20 {
        return wrong("recordings.retry_after_seconds has at most 20 waits");
    }
    config.om_endpoint.check().map_err(ConfigError::Value)?;
    config.webhooks.check().map_err(ConfigError::Value)?;
    config.targets.check().map_err(ConfigError::Value)?;
    config.cdr_forward.check().map_err(ConfigError::Value)?;
    let kept = u64::from(config.retention.reports_days) * 24 * 3600;
    if kept > 0 && config.targets.max_age.0.as_secs() > kept {
        return wrong(
            "targets.max_age is longer than retention.reports_days: reports would leave the log before a target that \
             lags has had them; make the one shorter or the other longer",
        );
    }
    let limits = &config.reports.limits;
    if limits.head_bytes < 256
        || limits.body_bytes < 256
        || limits.message_seconds == 0
        || limits.connections == 0
    {
        return wrong("reports.limits: too small to take any report");
    }
    if limits.body_bytes > LARGEST_BODY || limits.head_bytes > LARGEST_BODY {
        return wrong("reports.limits: head_bytes and body_bytes are at most 16777216 (16 MiB)");
    }
    let mut ids = std::collections::HashSet::new();
    for device in &config.device {
        if !ids.insert(&device.settings.id) {
            return Err(ConfigError::Value(format!(
                "two [[device]] tables have the id {}",
                device.settings.id
            )));
        }
        device
            .settings
            .clone()
            .complete(&device.secrets)
            .map_err(|error| ConfigError::Value(format!("device {}: {error}", device.settings.id)))?;
    }
    Ok(())
}

/// The effective configuration as TOML, its secrets masked.
#[must_use]
pub fn masked(config: &Config) -> String {
    let mut config = config.clone();
    let mask = |secret: &mut Option<String>| {
        if secret.is_some() {
            *secret = Some("********".to_owned());
        }
    };
    mask(&mut config.api.admin_token);
    mask(&mut config.cdr_forward.password);
    if let Some(s3) = &mut config.recordings.s3 {
        mask(&mut s3.secret_access_key);
    }
    config.store.url = location::masked(&config.store.url);
    for client in config.om_endpoint.clients.values_mut() {
        mask(&mut client.password);
    }
    for device in &mut config.device {
        mask(&mut device.secrets.command_password);
        mask(&mut device.secrets.report_password);
        mask(&mut device.secrets.web_password);
        mask(&mut device.secrets.recording_password);
    }
    toml::to_string_pretty(&config).unwrap_or_else(|error| format!("# cannot be printed: {error}"))
}
