//! `[om_endpoint]`: which applications may command which device.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use switchroom_domain::id::DeviceId;

/// The OM-compatible endpoint for existing OM applications.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OmEndpointConfig {
    /// Where it listens; off without it.
    pub listen: Option<SocketAddr>,
    /// Origins of web pages that may command devices; `*` is any.
    pub origins: Vec<String>,
    /// Who may command which device: an address, a range of addresses, or a name that is made up.
    pub clients: BTreeMap<String, OmClient>,
}

/// An application that may command devices.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct OmClient {
    /// Its name for people; the key unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The devices it may command. The first is the one that it means when its path names none.
    pub devices: Vec<DeviceId>,
    /// Addresses and ranges it comes from, beside a key that is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressRange>,
    /// It signs with this password; `file:` reads it from a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// How many seconds a signature counts; 0 for ever.
    pub max_age: u32,
    /// It may also read and write system parameters, as an admin may by the REST interface.
    pub parameters: bool,
}

impl fmt::Debug for OmClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OmClient")
            .field("name", &self.name)
            .field("devices", &self.devices)
            .field("addresses", &self.addresses)
            .field("password", &self.password.as_ref().map(|_| "set"))
            .finish_non_exhaustive()
    }
}

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    device: Option<DeviceId>,
    #[serde(default)]
    devices: Vec<DeviceId>,
    #[serde(default)]
    addresses: Vec<AddressRange>,
    password: Option<String>,
    #[serde(default)]
    max_age: u32,
    #[serde(default)]
    parameters: bool,
}

impl TryFrom<toml::Value> for OmClient {
    type Error = String;

    /// A device's id, or a table.
    fn try_from(value: toml::Value) -> Result<Self, String> {
        let written: Written = match value {
            toml::Value::String(id) => {
                let id = DeviceId::new(id).map_err(|error| error.to_string())?;
                return Ok(Self { devices: vec![id], ..Self::default() });
            }
            toml::Value::Table(table) => {
                table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?
            }
            _ => {
                return Err(
                    "a client is a device's id, or a table such as { device = \"hotel-1\" }".to_owned()
                );
            }
        };
        let Written { name, device, devices, addresses, password, max_age, parameters } = written;
        let devices: Vec<DeviceId> = device.into_iter().chain(devices).collect();
        if devices.is_empty() {
            return Err("a client names its `device`, or several as `devices`".to_owned());
        }
        Ok(Self { name, devices, addresses, password, max_age, parameters })
    }
}

impl OmEndpointConfig {
    /// What would let everybody in, or nobody.
    ///
    /// # Errors
    /// Says what, and how to mend it.
    pub fn check(&self) -> Result<(), String> {
        for (key, client) in &self.clients {
            let wrong = |text: &str| Err(format!("om_endpoint.clients: {key:?} {text}"));
            let by_address = key.parse::<AddressRange>().is_ok() || !client.addresses.is_empty();
            match &client.password {
                None if !by_address => {
                    return wrong(
                        "is no address and no range of addresses, so the client wants `addresses` or a `password`",
                    );
                }
                Some(password) if password.is_empty() => return wrong("has an empty password"),
                Some(_) if client.parameters => {
                    return wrong(
                        "signs, and may not have `parameters`: their URLs have no room for a signature; list its address \
                         as another client, without a password",
                    );
                }
                None if client.max_age > 0 => {
                    return wrong("has a `max_age`, which only counts with a `password`");
                }
                _ => {}
            }
        }
        for origin in &self.origins {
            let is_origin = origin == "*"
                || origin.split_once("://").is_some_and(|(scheme, host)| {
                    matches!(scheme, "http" | "https")
                        && !host.is_empty()
                        && !host.contains(['/', ' ', '\r', '\n'])
                });
            if !is_origin {
                return Err(format!(
                    "om_endpoint.origins: {origin:?} is no origin; write it as \"https://crm.example\", or \"*\" for any"
                ));
            }
        }
        Ok(())
    }
}

/// An address, or all that begin alike: `10.0.0.5`, `10.0.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    network: IpAddr,
    /// So many bits count.
    bits: u8,
}

impl AddressRange {
    /// Is this address one of them?
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = u32::from(network) ^ u32::from(address);
                differ.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = u128::from(network) ^ u128::from(address);
                differ.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// How many bits count: the more, the fewer addresses.
    #[must_use]
    pub const fn bits(&self) -> u8 {
        self.bits
    }
}

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither an address nor a range such as \"10.0.0.0/24\"");
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let network = address.parse::<IpAddr>().map_err(|_| wrong())?.to_canonical();
        let most = if network.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse::<u8>().map_err(|_| wrong()))?;
        if bits > most { Err(wrong()) } else { Ok(Self { network, bits }) }
    }
}

impl TryFrom<String> for AddressRange {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.network.is_ipv4() { 32 } else { 128 };
        if self.bits == whole {
            write!(f, "{}", self.network)
        } else {
            write!(f, "{}/{}", self.network, self.bits)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<OmEndpointConfig, String> {
        let config: OmEndpointConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config)
    }

    #[test]
    fn a_client_is_a_devices_id_or_a_table() {
        let text = r#"
            listen = "0.0.0.0:8988"
            origins = ["https://crm.example", "*"]
            [clients]
            "10.0.0.5" = "hotel-1"
            "10.1.0.0/16" = { devices = ["hotel-1", "hotel-2"], name = "CRM" }
            "10.2.0.7" = { device = "hotel-1", parameters = true }
            pms = { device = "hotel-2", password = "secret", max_age = 300 }
        "#;
        let config = config(text).expect("it can be used");
        assert_eq!(config.clients["10.0.0.5"].devices[0].as_str(), "hotel-1");
        assert_eq!(config.clients["10.1.0.0/16"].devices.len(), 2);
        assert!(config.clients["10.2.0.7"].parameters && !config.clients["10.0.0.5"].parameters);
        assert!(!format!("{config:?}").contains("secret"));
        let again: OmEndpointConfig =
            toml::from_str(&toml::to_string_pretty(&config).expect("it prints")).expect("it is read again");
        assert_eq!(again.clients, config.clients);
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (text, word) in [
            ("clients = { crm = \"hotel-1\" }", "password"),
            ("clients = { crm = { device = \"a\", password = \"\" } }", "empty"),
            ("clients = { \"10.0.0.1\" = { device = \"a\", pasword = \"x\" } }", "pasword"),
            ("clients = { \"10.0.0.1\" = {} }", "device"),
            ("clients = { \"10.0.0.1\" = 5 }", "table"),
            ("clients = { \"10.0.0.1\" = { device = \"a\", max_age = 5 } }", "max_age"),
            ("clients = { crm = { device = \"a\", password = \"x\", parameters = true } }", "parameters"),
            ("clients = { \"10.0.0.0/33\" = \"a\" }", "no range"),
            ("origins = [\"crm.example\"]", "origin"),
        ] {
            let error = config(text).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn ranges_hold_what_begins_alike() {
        let range = |text: &str| text.parse::<AddressRange>().expect(text);
        let address = |text: &str| text.parse::<IpAddr>().expect(text);
        assert!(range("10.0.0.0/24").contains(address("10.0.0.255")));
        assert!(range("10.0.0.0/24").contains(address("::ffff:10.0.0.7")));
        assert!(!range("10.0.0.0/24").contains(address("10.0.1.0")));
        assert!(range("10.0.0.5").contains(address("10.0.0.5")));
        assert!(!range("10.0.0.5").contains(address("10.0.0.4")));
        assert!(range("0.0.0.0/0").contains(address("192.0.2.1")));
        assert!(!range("0.0.0.0/0").contains(address("2001:db8::1")));
        assert!(range("2001:db8::/32").contains(address("2001:db8:1::1")));
        assert!("10.0.0".parse::<AddressRange>().is_err());
    }
}
