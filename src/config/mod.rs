//! Configuration: a TOML file, every key also as an environment variable. The commented default file
//! (`switchroom.toml` beside this module) is the manual; a test holds the two together.

mod load;
mod om_endpoint;
mod sections;
#[cfg(test)]
mod tests;

pub use load::{ConfigError, Environment, ProcessEnvironment, load, masked};
pub use om_endpoint::{AddressRange, OmClient, OmEndpointConfig};
pub use sections::{
    ApiConfig, CommandsConfig, Config, DeviceConfig, MetricsConfig, ModelConfig, ReportsConfig, StoreConfig,
};

/// The default configuration, commented.
pub const MANUAL: &str = include_str!("switchroom.toml");
