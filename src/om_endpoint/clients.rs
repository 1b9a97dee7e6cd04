//! Who may command which device: as a device decides it, by address first and then by signature (chapter 4.4 of the
//! vendor's manual), but by application and device.
//!
//! The vendor's signature covers neither the command nor the device, and counts for ever unless a time is set: whoever
//! overhears one has it. So it is bound to the address that used it first.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use switchroom_domain::Text;
use switchroom_domain::id::DeviceId;
use switchroom_domain::time::Timestamp;
use switchroom_protocol::sign::{self, Auth};

use crate::config::{AddressRange, OmClient, OmEndpointConfig};

/// Longest nonce (4.4.2).
const LONGEST_NONCE: usize = 32;
/// How many signatures are remembered.
const REMEMBERED: usize = 65_536;

/// An application that may command devices.
#[derive(Debug)]
pub struct Client {
    /// Its name for people.
    pub name: String,
    /// What it is told apart by, as callers of the REST interface are by the hash of their token.
    pub token: [u8; 32],
    ranges: Vec<AddressRange>,
    settings: OmClient,
}

impl Client {
    fn new(key: &str, settings: OmClient) -> Self {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        digest.update(b"om_endpoint.clients\0");
        digest.update(key.as_bytes());
        let mut token = [0; 32];
        token.copy_from_slice(digest.finish().as_ref());
        let mut ranges = settings.addresses.clone();
        ranges.extend(key.parse::<AddressRange>());
        Self { name: settings.name.clone().unwrap_or_else(|| key.to_owned()), token, ranges, settings }
    }

    /// May it read and write system parameters?
    #[must_use]
    pub const fn may_set_parameters(&self) -> bool {
        self.settings.parameters
    }

    /// How closely its ranges name this address; none if they do not.
    fn names(&self, source: IpAddr) -> Option<u8> {
        self.ranges.iter().filter(|range| range.contains(source)).map(AddressRange::bits).max()
    }

    /// The device that it means, if that is one of its own.
    fn device(&self, wanted: Option<&DeviceId>) -> Option<DeviceId> {
        match wanted {
            Some(wanted) => self.settings.devices.contains(wanted).then(|| wanted.clone()),
            None => self.settings.devices.first().cloned(),
        }
    }
}

/// Why a command is not taken: the vendor's code, and what the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// 100 to 104.
    pub code: u16,
    /// For whoever reads the log.
    pub why: &'static str,
}

const fn refused<T>(code: u16, why: &'static str) -> Result<T, Refused> {
    Err(Refused { code, why })
}

/// All applications.
pub struct Clients {
    all: Vec<Arc<Client>>,
    seen: Mutex<Seen>,
}

/// Which address used a signature first.
#[derive(Default)]
struct Seen {
    sources: HashMap<Text, IpAddr>,
    order: VecDeque<Text>,
}

impl Seen {
    fn belongs(&mut self, auth: &Auth, source: IpAddr) -> bool {
        let signature: Text = auth.signature.to_ascii_lowercase();
        if let Some(first) = self.sources.get(&signature) {
            return *first == source;
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.sources.remove(&oldest);
        }
        self.order.push_back(signature.clone());
        self.sources.insert(signature, source);
        true
    }
}

impl Clients {
    /// As the configuration says.
    #[must_use]
    pub fn new(config: &OmEndpointConfig) -> Self {
        let all = config.clients.iter().map(|(key, client)| Arc::new(Client::new(key, client.clone())));
        Self { all: all.collect(), seen: Mutex::default() }
    }

    /// Which application this is, and the device that it commands. `wanted`: the device that its path names.
    ///
    /// # Errors
    /// When it is none that may.
    pub fn admit(
        &self,
        source: IpAddr,
        wanted: Option<&DeviceId>,
        auth: Option<&Auth>,
        now: Timestamp,
    ) -> Result<(Arc<Client>, DeviceId), Refused> {
        let known = |client: &&Arc<Client>| client.settings.password.is_none();
        let by_address = self.all.iter().filter(known).filter_map(|client| {
            let closeness = client.names(source)?;
            Some((closeness, client, client.device(wanted)?))
        });
        // Whom a smaller range names is meant before whom a larger one does.
        if let Some((_, client, device)) = by_address.max_by_key(|(closeness, ..)| *closeness) {
            return Ok((Arc::clone(client), device));
        }
        let Some(auth) = auth else {
            return refused(100, "no client that this address and device belong to, and no signature");
        };
        if auth.nonce.is_empty() || auth.timestamp.is_empty() || auth.signature.is_empty() {
            return refused(101, "the signature wants nonce, timestamp and signature");
        }
        if auth.nonce.len() > LONGEST_NONCE {
            return refused(104, "the nonce is longer than 32 characters");
        }
        let mut signers = self.all.iter().filter(|client| {
            let password = client.settings.password.as_deref();
            let from_there = client.ranges.is_empty() || client.names(source).is_some();
            from_there && password.is_some_and(|password| sign::verify(password, auth))
        });
        // Several may have the same password.
        if signers.clone().next().is_none() {
            return refused(102, "the signature fits no client's password");
        }
        let found = signers.find_map(|client| Some((client, client.device(wanted)?)));
        let Some((client, device)) = found else {
            return refused(104, "the signature is right, but this client may not command this device");
        };
        let max_age = u64::from(client.settings.max_age);
        if max_age > 0 {
            let age = auth.timestamp.parse::<i64>().ok().map(|at| at.abs_diff(now.0.div_euclid(1000)));
            if age.is_none_or(|age| age > max_age) {
                return refused(
                    103,
                    "the signature is older than the client's max_age, or the clocks differ",
                );
            }
        }
        if !self.seen.lock().unwrap_or_else(PoisonError::into_inner).belongs(auth, source) {
            return refused(104, "this signature was first used from another address; sign with a new nonce");
        }
        Ok((Arc::clone(client), device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn clients() -> Clients {
        let text = r#"
            [clients]
            "10.0.0.5" = "hotel-1"
            "10.0.0.0/24" = { devices = ["hotel-2", "hotel-3"], name = "CRM" }
            pms = { device = "hotel-4", password = "123456" }
            web = { device = "hotel-5", password = "s3cret", max_age = 60, addresses = ["10.9.0.0/16"] }
        "#;
        Clients::new(&toml::from_str(text).expect("a configuration"))
    }

    fn admit(from: &str, device: Option<&str>, auth: Option<&Auth>) -> Result<(String, String), u16> {
        admit_by(&clients(), from, device, auth)
    }

    fn admit_by(
        clients: &Clients,
        from: &str,
        device: Option<&str>,
        auth: Option<&Auth>,
    ) -> Result<(String, String), u16> {
        let device = device.map(|id| DeviceId::new(id).expect("an id"));
        let admitted = clients.admit(from.parse().expect("an address"), device.as_ref(), auth, NOW);
        admitted
            .map(|(client, device)| (client.name.clone(), device.to_string()))
            .map_err(|refused| refused.code)
    }

    fn signed(password: &str, at: i64) -> Auth {
        let timestamp = at.to_string();
        Auth {
            signature: sign::sign(password, "23", &timestamp),
            nonce: "23".into(),
            timestamp: timestamp.into(),
        }
    }

    fn ok(name: &str, device: &str) -> Result<(String, String), u16> {
        Ok((name.to_owned(), device.to_owned()))
    }

    #[test]
    fn addresses_say_who_it_is_and_what_it_means() {
        assert_eq!(admit("10.0.0.5", None, None), ok("10.0.0.5", "hotel-1"));
        assert_eq!(admit("::ffff:10.0.0.5", None, None), ok("10.0.0.5", "hotel-1"));
        assert_eq!(admit("10.0.0.5", Some("hotel-3"), None), ok("CRM", "hotel-3"), "it is in the range, too");
        assert_eq!(admit("10.0.0.6", None, None), ok("CRM", "hotel-2"));
        assert_eq!(admit("10.0.0.6", Some("hotel-1"), None), Err(100));
        assert_eq!(admit("10.0.1.6", None, None), Err(100));
        assert_eq!(admit("10.9.0.1", None, None), Err(100), "who has a password signs");
    }

    #[test]
    fn signatures_are_refused_with_the_vendors_codes() {
        let old = signed("123456", 23);
        assert_eq!(admit("192.0.2.1", None, Some(&old)), ok("pms", "hotel-4"), "for ever");
        assert_eq!(admit("192.0.2.1", Some("hotel-1"), Some(&old)), Err(104));
        assert_eq!(admit("192.0.2.1", None, Some(&signed("12345", 23))), Err(102));
        assert_eq!(admit("192.0.2.1", None, Some(&Auth { nonce: "".into(), ..old.clone() })), Err(101));
        assert_eq!(admit("192.0.2.1", None, Some(&Auth { nonce: "n".repeat(33).into(), ..old })), Err(104));
        let fresh = signed("s3cret", 1_700_000_059);
        assert_eq!(admit("10.9.0.1", None, Some(&fresh)), ok("web", "hotel-5"));
        assert_eq!(admit("192.0.2.1", None, Some(&fresh)), Err(102), "from elsewhere");
        assert_eq!(admit("10.9.0.1", None, Some(&signed("s3cret", 1_699_999_939))), Err(103));
    }

    #[test]
    fn a_signature_stays_with_the_address_that_used_it_first() {
        let (clients, auth) = (clients(), signed("123456", 23));
        assert!(admit_by(&clients, "192.0.2.1", None, Some(&auth)).is_ok());
        assert!(admit_by(&clients, "192.0.2.1", None, Some(&auth)).is_ok());
        let upper = Auth { signature: auth.signature.to_ascii_uppercase(), ..auth };
        assert_eq!(admit_by(&clients, "192.0.2.2", None, Some(&upper)), Err(104), "overheard");
        assert!(admit_by(&clients, "192.0.2.2", None, Some(&signed("123456", 24))).is_ok());
    }

    #[test]
    fn nobody_is_let_in_unasked() {
        let nobody = Clients::new(&OmEndpointConfig::default());
        assert_eq!(admit_by(&nobody, "127.0.0.1", Some("hotel-1"), None), Err(100));
        assert_eq!(admit_by(&nobody, "127.0.0.1", Some("hotel-1"), Some(&signed("", 23))), Err(102));
    }
}
