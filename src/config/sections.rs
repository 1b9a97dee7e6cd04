//! One struct a section. Defaults here and comments in `switchroom.toml` say the same.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use switchroom_domain::time::Millis;

use super::cdr_forward::CdrForwardConfig;
use super::keeping::{PrivacyConfig, RetentionConfig};
use super::numbers::NumbersConfig;
use super::om_endpoint::OmEndpointConfig;
use super::outward::{OutwardConfig, TargetsConfig, WebhooksConfig};
use super::s3::S3Config;
use crate::devices::{DeviceSecrets, DeviceSettings};
use crate::ingress::Limits;

/// The whole configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The REST API, streams, metrics, console.
    pub api: ApiConfig,
    /// The front that devices report to.
    pub reports: ReportsConfig,
    /// Where everything is remembered.
    pub store: StoreConfig,
    /// How doubtful reports are weighed.
    pub model: ModelConfig,
    /// Commands to devices.
    pub commands: CommandsConfig,
    /// The OM-compatible endpoint.
    pub om_endpoint: OmEndpointConfig,
    /// Where URLs that users set may lead.
    pub outward: OutwardConfig,
    /// Deliveries to webhooks.
    pub webhooks: WebhooksConfig,
    /// Reports passed on to targets.
    pub targets: TargetsConfig,
    /// Call records forwarded as the vendor's devices do.
    pub cdr_forward: CdrForwardConfig,
    /// Recordings of calls.
    pub recordings: RecordingsConfig,
    /// How long what is remembered is kept.
    pub retention: RetentionConfig,
    /// Who may see telephone numbers.
    pub privacy: PrivacyConfig,
    /// How telephone numbers are written.
    pub numbers: NumbersConfig,
    /// Prometheus metrics.
    pub metrics: MetricsConfig,
    /// Devices that stand in the file.
    pub device: Vec<DeviceConfig>,
}

/// The REST API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// An admin token given from outside; `file:` reads it from a file.
    pub admin_token: Option<String>,
    /// TLS certificate chain, PEM.
    pub tls_certificate: Option<PathBuf>,
    /// TLS private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Serve without TLS on an address that others can reach.
    pub insecure: bool,
    /// Event streams at a time.
    pub streams: usize,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_token: None,
            tls_certificate: None,
            tls_key: None,
            insecure: false,
            streams: 1000,
        }
    }
}

/// The front that devices report to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportsConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Threads that take reports and hold cells; 0 for one for each core but one.
    pub threads: usize,
    /// Seconds that a report may wait for its busy cell before it is shed.
    pub wait_seconds: u32,
    /// Bounds on what a sender may do.
    pub limits: Limits,
}

impl Default for ReportsConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8989)),
            threads: 0,
            wait_seconds: 2,
            limits: Limits::default(),
        }
    }
}

/// Where everything is remembered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `sqlite://path`, or `postgres://user:password@host/database`.
    pub url: String,
    /// The file with the key that devices' passwords are kept under; made at the first start. By default
    /// beside the database.
    pub key_file: Option<PathBuf>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { url: "sqlite://data/switchroom.db".to_owned(), key_file: None }
    }
}

/// How doubtful reports are weighed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Within this time, in milliseconds, reports may overtake each other or come twice.
    pub overtake_ms: u32,
    /// How long, in milliseconds, a call may stand without the report of its end once other evidence says
    /// that it is over.
    pub release_ms: u32,
    /// After so many seconds of a device's silence everything known of it is shown as stale.
    pub silence_seconds: u32,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { overtake_ms: 1000, release_ms: 1500, silence_seconds: 1800 }
    }
}

/// Commands to devices.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandsConfig {
    /// Seconds for the connection to a device.
    pub connect_seconds: u32,
    /// Seconds for one whole exchange with a device.
    pub timeout_seconds: u32,
    /// Seconds that a command may wait for its turn; then it is not done.
    pub wait_seconds: u32,
    /// How many commands may wait for one device.
    pub capacity: usize,
    /// For so many seconds it is tried to find out what became of a command that got no answer.
    pub find_out_seconds: u32,
    /// Devices are asked what their reports may have failed to tell.
    pub reconcile: bool,
    /// After so many seconds without a report a Yeastar is asked whether it still knows who is logged in.
    pub yeastar_silence_seconds: u32,
    /// How many outside numbers a token may dial within a minute.
    pub dials_per_minute: u32,
    /// Prefixes that may be dialled although `deny_numbers` has them.
    pub allow_numbers: Vec<String>,
    /// Prefixes that may not be dialled: international and premium numbers.
    pub deny_numbers: Vec<String>,
    /// Numbers that may always be dialled.
    pub emergency_numbers: Vec<String>,
    /// What gets an outside line, if it stands before a number.
    pub outside_prefixes: Vec<String>,
}

impl Default for CommandsConfig {
    fn default() -> Self {
        let list = |prefixes: &[&str]| prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
        Self {
            connect_seconds: 3,
            timeout_seconds: 5,
            wait_seconds: 10,
            capacity: 256,
            find_out_seconds: 60,
            reconcile: true,
            yeastar_silence_seconds: 600,
            dials_per_minute: 30,
            allow_numbers: Vec::new(),
            deny_numbers: list(&["00", "+", "160", "168", "0900", "900"]),
            emergency_numbers: list(&["110", "119", "120", "122"]),
            outside_prefixes: list(&["9"]),
        }
    }
}

impl CommandsConfig {
    /// How a device's command supervisor is to treat them.
    #[must_use]
    pub fn supervision(&self) -> switchroom_actors::command::Settings {
        switchroom_actors::command::Settings {
            capacity: self.capacity,
            find_out_within: Millis::from_secs(self.find_out_seconds.into()),
            ..switchroom_actors::command::Settings::default()
        }
    }
}

/// Recordings of calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordingsConfig {
    /// Fetch them from the devices.
    pub enabled: bool,
    /// The folder they are kept in; by default `recordings` beside the database.
    pub path: Option<PathBuf>,
    /// The bucket they are kept in instead; the folder is then only where they are put together.
    pub s3: Option<S3Config>,
    /// Seconds from a record to the first try: a device needs about ten to make the file (4.9).
    pub first_after_seconds: u32,
    /// Seconds to wait after each try that failed; after the last the recording is given up.
    pub retry_after_seconds: Vec<u32>,
    /// How many are fetched at once, of each device one.
    pub at_once: usize,
    /// How large a recording may be, in bytes.
    pub max_bytes: u64,
    /// Seconds for one try.
    pub timeout_seconds: u32,
}

impl Default for RecordingsConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            path: None,
            s3: None,
            first_after_seconds: 10,
            retry_after_seconds: vec![10, 30, 120, 600, 3600],
            at_once: 4,
            max_bytes: 256 * 1024 * 1024,
            timeout_seconds: 600,
        }
    }
}

/// Prometheus metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Series with a `device` label; off for large fleets.
    pub per_device: bool,
    /// `/metrics` without a token even where the API can be reached from elsewhere.
    pub public: bool,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { per_device: true, public: false }
    }
}

/// A device that stands in the file: its settings and its secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct DeviceConfig {
    /// Settings.
    #[serde(flatten)]
    pub settings: DeviceSettings,
    /// Secrets; `file:` references are read.
    #[serde(flatten)]
    pub secrets: DeviceSecrets,
}

impl TryFrom<toml::Table> for DeviceConfig {
    type Error = toml::de::Error;

    /// Takes the secrets out of the table, so that what remains are settings and an unknown key is an error.
    fn try_from(mut table: toml::Table) -> Result<Self, Self::Error> {
        let mut secrets = toml::Table::new();
        for key in ["command_password", "report_password", "web_password", "recording_password"] {
            secrets.extend(table.remove_entry(key));
        }
        Ok(Self { settings: table.try_into()?, secrets: secrets.try_into()? })
    }
}
