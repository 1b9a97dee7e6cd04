//! Configuration: a TOML file, every key also as an environment variable. The commented default file
//! (`switchroom.toml` beside this module) is the manual; a test holds the two together.

mod cdr_forward;
mod keeping;
mod load;
mod numbers;
mod om_endpoint;
mod outward;
mod s3;
mod sections;
mod span;
#[cfg(test)]
mod tests;

pub use cdr_forward::CdrForwardConfig;
pub use keeping::{PrivacyConfig, RetentionConfig};
pub use load::{ConfigError, Environment, ProcessEnvironment, load, masked, secret};
pub use numbers::{Numbering, NumbersConfig};
pub use om_endpoint::{AddressRange, OmClient, OmEndpointConfig};
pub(crate) use outward::LONGEST_DELAY;
pub use outward::{OutwardConfig, TargetsConfig, WebhooksConfig};
pub use s3::S3Config;
pub use sections::{
    ApiConfig, CommandsConfig, Config, DeviceConfig, MetricsConfig, ModelConfig, ReportsConfig, StoreConfig,
};
pub use span::{Span, parse_duration};

/// The default configuration, commented.
pub const MANUAL: &str = include_str!("switchroom.toml");
