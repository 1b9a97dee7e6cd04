//! The devices as they are configured: how each is found, proven and treated.
//!
//! A device is found by its report path, a MAC or SN in its message, or the address it sends from, in this
//! order, and then proven by its own kind of proof ([`crate::ingress::proof`]). The registry is read on the way
//! of every report, so it is one lock that is hardly ever written.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use switchroom_actors::directory::DeviceHandle;
use switchroom_actors::ports::INTERNAL;
use switchroom_domain::id::DeviceId;
use switchroom_domain::time::Timestamp;
use switchroom_protocol::Dialect;
use utoipa::ToSchema;

use crate::ingress::proof::ProofState;
use crate::link::http::Address;
use crate::link::tls::Tls;
use crate::link::yeastar::{Login, LoginNews};

/// The name under which a dialect is logged.
#[must_use]
pub fn dialect_name(name: &str) -> Option<&'static str> {
    let dialects = [Dialect::Om, Dialect::Yeastar, Dialect::Zycoo].map(Dialect::as_str);
    dialects.into_iter().chain([INTERNAL]).find(|known| *known == name)
}

/// How a device treats its connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// Answer and close.
    Short,
    /// Keep open: a device in long mode loses what it has queued when we close.
    Long,
    /// Answer, shut our side, read on for a second.
    #[default]
    Auto,
}

/// How a device proves that a report is its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProofKind {
    /// The unguessable report path is the proof.
    #[default]
    Path,
    /// It comes from the device's own address.
    Source,
    /// The vendor's MD5 `Auth` with the report password.
    Signature,
    /// No proof; must be said.
    None,
}

/// A device's proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Proof {
    /// The kind of proof.
    pub kind: ProofKind,
    /// With `signature`: each nonce once, and fresh.
    pub strict: bool,
    /// With `strict`: how many seconds a signature may be old, after the clock's learned offset.
    pub max_age: u32,
}

impl Default for Proof {
    fn default() -> Self {
        Self { kind: ProofKind::Path, strict: false, max_age: 300 }
    }
}

/// A device as it is configured; what is read back of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceSettings {
    /// Its id.
    #[schema(value_type = String, example = "hotel-1")]
    pub id: DeviceId,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// Its site.
    #[serde(default)]
    pub site: String,
    /// Its time zone, for the local times in its records.
    #[serde(default = "default_timezone")]
    pub timezone: String,
    /// The dialect it speaks.
    #[schema(value_type = String, example = "om")]
    pub dialect: Dialect,
    /// Where it takes commands, `http://host:port`.
    #[serde(default)]
    pub address: Option<String>,
    /// Where its web interface is, if that is not at `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_address: Option<String>,
    /// Where its recordings are fetched, if not at `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording_address: Option<String>,
    /// Who the device lets have its recordings, with `recording_password`; `user` unless given (4.9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording_user: Option<String>,
    /// Its recordings are fetched, where recordings are on at all.
    #[serde(default = "yes")]
    pub fetch_recordings: bool,
    /// Who logs in to a Yeastar, with `web_password`; `api` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_user: Option<String>,
    /// Where a Yeastar is told to report to when it is logged in to: our `http://host:port/report_path`, as the device
    /// reaches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_url: Option<String>,
    /// With `https` addresses: whom to believe that it is the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Its MAC, as `AA:BB:CC:DD:EE:FF`.
    #[serde(default)]
    pub mac: Option<String>,
    /// Its serial number.
    #[serde(default)]
    pub sn: Option<String>,
    /// The first segment of the path it reports to; random unless given.
    #[serde(default)]
    pub report_path: String,
    /// The address it reports from, when that is not the host of `address`.
    #[serde(default)]
    pub source: Option<String>,
    /// How its connections are treated.
    #[serde(default)]
    pub connection: Connection,
    /// How it proves its reports.
    #[serde(default)]
    pub proof: Proof,
}

const fn yes() -> bool {
    true
}

fn default_timezone() -> String {
    "UTC".to_owned()
}

/// A device's passwords: written, never read back.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceSecrets {
    /// Signs commands.
    pub command_password: Option<String>,
    /// Proves reports.
    pub report_password: Option<String>,
    /// Opens its web interface.
    pub web_password: Option<String>,
    /// Gets its recordings; `user` unless given (4.9).
    pub recording_password: Option<String>,
}

impl std::fmt::Debug for DeviceSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let set = |secret: &Option<String>| if secret.is_some() { "set" } else { "not set" };
        f.debug_struct("DeviceSecrets")
            .field("command_password", &set(&self.command_password))
            .field("report_password", &set(&self.report_password))
            .field("web_password", &set(&self.web_password))
            .field("recording_password", &set(&self.recording_password))
            .finish()
    }
}

/// What is wrong with a device's settings, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct BadSettings {
    /// Which field.
    pub field: &'static str,
    /// What is wrong.
    pub problem: String,
}

fn bad(field: &'static str, problem: impl Into<String>) -> BadSettings {
    BadSettings { field, problem: problem.into() }
}

impl DeviceSettings {
    /// A device with everything at its default.
    #[must_use]
    pub fn new(id: DeviceId, dialect: Dialect) -> Self {
        Self {
            name: id.to_string(),
            id,
            site: String::new(),
            timezone: default_timezone(),
            dialect,
            address: None,
            web_address: None,
            recording_address: None,
            recording_user: None,
            fetch_recordings: true,
            api_user: None,
            report_url: None,
            tls: None,
            mac: None,
            sn: None,
            report_path: String::new(),
            source: None,
            connection: Connection::default(),
            proof: Proof::default(),
        }
    }

    /// Checks and completes the settings: a random report path, a MAC in its normal form.
    ///
    /// # Errors
    /// Names the field that cannot be, and what it should be.
    pub fn complete(mut self, secrets: &DeviceSecrets) -> Result<Self, BadSettings> {
        if self.report_path.is_empty() {
            self.report_path = crate::random::token(16);
        }
        let path_fits = self.report_path.len() <= 128
            && self.report_path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !path_fits {
            return Err(bad(
                "report_path",
                "one path segment of letters, digits, '-', '_' and '.', at most 128",
            ));
        }
        if self.name.is_empty() {
            self.name = self.id.to_string();
        }
        if self.name.len() > 200 || self.site.len() > 200 {
            return Err(bad("name", "name and site have at most 200 bytes"));
        }
        TimeZone::get(&self.timezone).map_err(|_| {
            bad(
                "timezone",
                format!("{:?} is no IANA time zone; for example \"Asia/Shanghai\"", self.timezone),
            )
        })?;
        if let Some(mac) = &self.mac {
            let normal = switchroom_protocol::mac::normalise(mac)
                .ok_or_else(|| bad("mac", format!("{mac:?} is no MAC; for example \"00:0E:A9:3D:00:0C\"")))?;
            self.mac = Some(normal.to_string());
        }
        let addresses = [
            ("address", &self.address),
            ("web_address", &self.web_address),
            ("recording_address", &self.recording_address),
        ];
        for (field, address) in addresses {
            if let Some(address) = address {
                Address::parse(address).map_err(|problem| bad(field, problem))?;
            }
        }
        if let Some(url) = &self.report_url {
            let parsed = Address::parse(url).map_err(|problem| bad("report_url", problem))?;
            if parsed.tls {
                return Err(bad("report_url", "reports are taken over http only"));
            }
        }
        if let Some(user) = &self.api_user
            && (user.is_empty() || user.len() > 200)
        {
            return Err(bad("api_user", "a name of at most 200 bytes"));
        }
        if let Some(user) = &self.recording_user
            && (user.is_empty() || user.len() > 200 || user.contains(|c: char| c == ':' || c.is_control()))
        {
            return Err(bad("recording_user", "a name of at most 200 bytes, without ':'"));
        }
        if let Some(Err(problem)) = self.tls.as_ref().map(Tls::digest) {
            return Err(bad("tls", problem));
        }
        if let Some(source) = &self.source {
            source.parse::<IpAddr>().map_err(|_| bad("source", "an IP address"))?;
        }
        if self.proof.kind == ProofKind::Signature
            && secrets.report_password.as_deref().is_none_or(str::is_empty)
        {
            return Err(bad(
                "report_password",
                "proof \"signature\" needs the password that the device signs with",
            ));
        }
        if self.proof.kind == ProofKind::Source && self.source_address().is_none() {
            return Err(bad(
                "source",
                "proof \"source\" needs the IP address that the device sends from, in `source` or `address`",
            ));
        }
        Ok(self)
    }

    /// The address it sends from, if it is known.
    #[must_use]
    pub fn source_address(&self) -> Option<IpAddr> {
        match &self.source {
            Some(source) => source.parse().ok(),
            None => Address::parse(self.address.as_deref()?).ok()?.host.parse().ok(),
        }
    }
}

/// What a device says it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Its model.
    pub model: Option<String>,
    /// Its firmware, `Rev 2.1.5.111`.
    pub firmware: Option<String>,
}

/// A device of the registry.
#[derive(Debug)]
pub struct Device {
    /// How it is configured.
    pub settings: DeviceSettings,
    /// Its passwords.
    pub secrets: DeviceSecrets,
    /// Its time zone, ready for use.
    pub time_zone: TimeZone,
    /// Its cell.
    pub handle: Arc<DeviceHandle>,
    /// What its proof remembers; kept over changes of its settings.
    pub proof: Arc<Mutex<ProofState>>,
    /// What it told of itself when it was asked; kept over changes of its settings.
    pub info: Arc<Mutex<DeviceFacts>>,
    /// What is heard of the login to it, if it is logged in to; kept over changes of its settings.
    pub login: LoginNews,
    /// Held while it is given back what it forgot; kept over changes of its settings.
    pub restoring: Arc<tokio::sync::Mutex<()>>,
    /// Whether it stands in the configuration file, which then has the last word.
    pub from_file: bool,
}

impl Device {
    /// A device with its cell.
    #[must_use]
    pub fn new(settings: DeviceSettings, secrets: DeviceSecrets, handle: Arc<DeviceHandle>) -> Self {
        let time_zone = TimeZone::get(&settings.timezone).unwrap_or(TimeZone::UTC);
        Self {
            settings,
            secrets,
            time_zone,
            handle,
            proof: Arc::default(),
            info: Arc::default(),
            login: Arc::default(),
            restoring: Arc::default(),
            from_file: false,
        }
    }

    /// How it stands with the login to it; none if it is not logged in to.
    #[must_use]
    pub fn login(&self) -> Option<Login> {
        let news = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        news.as_ref().map(|news| news.borrow().clone())
    }

    /// The clock's learned offset in seconds: positive when the device's clock is ahead.
    #[must_use]
    pub fn clock_offset(&self) -> Option<i64> {
        self.proof.lock().unwrap_or_else(PoisonError::into_inner).clock_offset()
    }
}

#[derive(Default)]
struct Index {
    by_id: HashMap<DeviceId, Arc<Device>>,
    by_path: HashMap<String, Arc<Device>>,
    by_mac: HashMap<String, Arc<Device>>,
    by_sn: HashMap<String, Arc<Device>>,
    by_source: HashMap<IpAddr, Arc<Device>>,
}

/// All devices; see the module.
#[derive(Default)]
pub struct Registry {
    index: RwLock<Index>,
}

impl Registry {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device of this id.
    #[must_use]
    pub fn get(&self, id: &DeviceId) -> Option<Arc<Device>> {
        self.read().by_id.get(id).cloned()
    }

    /// All devices, by id.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Device>> {
        let mut all: Vec<_> = self.read().by_id.values().cloned().collect();
        all.sort_by_cached_key(|device| natural(device.settings.id.as_str()));
        all
    }

    /// By the first segment of the request's path.
    #[must_use]
    pub fn by_path(&self, segment: &str) -> Option<Arc<Device>> {
        self.read().by_path.get(segment).cloned()
    }

    /// By what a message says of its sender, or the address it comes from.
    #[must_use]
    pub fn by_sender(&self, mac: Option<&str>, sn: Option<&str>, source: IpAddr) -> Option<Arc<Device>> {
        let index = self.read();
        let mac =
            mac.and_then(switchroom_protocol::mac::normalise).and_then(|mac| index.by_mac.get(mac.as_str()));
        let sn = || sn.and_then(|sn| index.by_sn.get(sn));
        mac.or_else(sn).or_else(|| index.by_source.get(&source)).cloned()
    }

    /// Does any device claim this path, MAC, SN or source? Two devices must not share one.
    ///
    /// # Errors
    /// Names the field and the device that has it.
    pub fn check_unique(&self, settings: &DeviceSettings) -> Result<(), BadSettings> {
        let index = self.read();
        let taken = |device: Option<&Arc<Device>>| {
            device.filter(|d| d.settings.id != settings.id).map(|d| d.settings.id.clone())
        };
        let message = |id: DeviceId| format!("device {id} has this already");
        if let Some(id) = taken(index.by_path.get(&settings.report_path)) {
            return Err(bad("report_path", message(id)));
        }
        if let Some(id) = settings.mac.as_ref().and_then(|mac| taken(index.by_mac.get(mac))) {
            return Err(bad("mac", message(id)));
        }
        if let Some(id) = settings.sn.as_ref().and_then(|sn| taken(index.by_sn.get(sn))) {
            return Err(bad("sn", message(id)));
        }
        Ok(())
    }

    /// Adds a device, or replaces the one of its id.
    pub fn put(&self, device: Arc<Device>) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.remove(&device.settings.id);
        let settings = &device.settings;
        index.by_path.insert(settings.report_path.clone(), Arc::clone(&device));
        if let Some(mac) = &settings.mac {
            index.by_mac.insert(mac.clone(), Arc::clone(&device));
        }
        if let Some(sn) = &settings.sn {
            index.by_sn.insert(sn.clone(), Arc::clone(&device));
        }
        if let Some(source) = settings.source_address() {
            // Several devices behind one address cannot be told apart by it; the first one keeps it.
            index.by_source.entry(source).or_insert_with(|| Arc::clone(&device));
        }
        index.by_id.insert(settings.id.clone(), device);
    }

    /// Removes a device.
    pub fn remove(&self, id: &DeviceId) -> Option<Arc<Device>> {
        self.index.write().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}

impl Index {
    fn remove(&mut self, id: &DeviceId) -> Option<Arc<Device>> {
        let device = self.by_id.remove(id)?;
        for map in [&mut self.by_path, &mut self.by_mac, &mut self.by_sn] {
            map.retain(|_, other| other.settings.id != *id);
        }
        self.by_source.retain(|_, other| other.settings.id != *id);
        Some(device)
    }
}

/// Orders `sim-2` before `sim-10`.
#[must_use]
pub fn natural(text: &str) -> (String, u64, String) {
    let digits = text.len() - text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (name, number) = text.split_at(text.len() - digits);
    (name.to_owned(), number.parse().unwrap_or_default(), text.to_owned())
}

/// A sender that nobody adopted.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Unadopted {
    /// Under which it is listed and adopted.
    pub id: String,
    /// What it seems to speak.
    pub dialect: Option<String>,
    /// The address it sends from.
    pub source: String,
    /// The path it sends to.
    pub path: String,
    /// What it says of itself.
    pub mac: Option<String>,
    /// What it says of itself.
    pub sn: Option<String>,
    /// How many reports came.
    pub reports: u64,
    /// When the last one came.
    #[schema(value_type = String, format = DateTime)]
    pub last_report_at: Timestamp,
    /// The last report, secrets struck out, at most 2 KiB of it.
    pub sample: String,
    /// Always `unadopted`.
    pub state: &'static str,
}

/// The id under which an unknown sender is listed: the same for the same sender, and no path or address in
/// it.
#[must_use]
pub fn unadopted_id(source: &str, path: &str, mac: Option<&str>, sn: Option<&str>) -> String {
    // What it says of itself counts more than where it sends from, which may change.
    let told = match (mac, sn) {
        (None, None) => format!("{source} {path}"),
        (mac, sn) => format!("{} {}", mac.unwrap_or_default().trim(), sn.unwrap_or_default().trim()),
    };
    let digest = ring::digest::digest(&ring::digest::SHA256, told.as_bytes());
    format!("unadopted-{}", hex::encode(&digest.as_ref()[..6]))
}

/// Senders that nobody adopted, at most so many.
const UNADOPTED_KEPT: usize = 1000;

/// Who sends reports without being known; bounded, the one that was silent longest goes first.
#[derive(Default)]
pub struct UnadoptedSenders {
    senders: Mutex<HashMap<String, Unadopted>>,
}

impl UnadoptedSenders {
    /// Notes a report; says whether another sender had to go for it.
    pub fn note(&self, mut seen: Unadopted) -> bool {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = senders.get_mut(&seen.id) {
            seen.reports += known.reports;
            *known = seen;
            return false;
        }
        let full = senders.len() >= UNADOPTED_KEPT;
        if full {
            let oldest =
                senders.values().min_by_key(|sender| sender.last_report_at).map(|sender| sender.id.clone());
            if let Some(oldest) = oldest {
                senders.remove(&oldest);
            }
        }
        senders.insert(seen.id.clone(), seen);
        full
    }

    /// All of them, the latest first.
    #[must_use]
    pub fn all(&self) -> Vec<Unadopted> {
        let mut all: Vec<_> =
            self.senders.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by(|a, b| b.last_report_at.cmp(&a.last_report_at).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// The sender of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Unadopted> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Takes it off the list: it was adopted.
    pub fn remove(&self, id: &str) {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(id: &str) -> DeviceSettings {
        DeviceSettings::new(DeviceId::new(id).expect("a device id"), Dialect::Om)
    }

    #[test]
    fn a_device_is_found_by_path_then_mac_then_source() {
        let registry = Registry::default();
        for (id, mac, source) in [("a", Some("00:0e:a9:3d:00:0c"), None), ("b", None, Some("10.0.0.7"))] {
            let mut s = settings(id);
            s.mac = mac.map(Into::into);
            s.source = source.map(Into::into);
            s.report_path = format!("path-{id}");
            let s = s.complete(&DeviceSecrets::default()).expect("it fits");
            let handle = DeviceHandle::new(s.id.clone(), 0);
            registry.put(Arc::new(Device::new(s, DeviceSecrets::default(), handle)));
        }
        let id = |device: Option<Arc<Device>>| device.map(|d| d.settings.id.to_string());
        let anywhere: IpAddr = "192.0.2.1".parse().expect("an address");
        let of_b: IpAddr = "10.0.0.7".parse().expect("an address");
        assert_eq!(id(registry.by_path("path-a")).as_deref(), Some("a"));
        assert_eq!(id(registry.by_sender(Some("000EA93D000C"), None, of_b)).as_deref(), Some("a"));
        assert_eq!(id(registry.by_sender(None, None, of_b)).as_deref(), Some("b"));
        assert_eq!(id(registry.by_sender(Some("garbage"), Some("x"), anywhere)), None);
        registry.remove(&DeviceId::new("a").expect("a device id"));
        assert!(
            registry.by_path("path-a").is_none()
                && registry.by_sender(Some("000EA93D000C"), None, anywhere).is_none()
        );
    }

    #[test]
    fn settings_that_cannot_be_are_refused_by_field() {
        let complete = |change: fn(&mut DeviceSettings)| {
            let mut s = settings("a");
            change(&mut s);
            s.complete(&DeviceSecrets::default()).map_err(|e| e.field)
        };
        assert_eq!(complete(|s| s.timezone = "Mars/Olympus".into()), Err("timezone"));
        assert_eq!(complete(|s| s.mac = Some("xyz".into())), Err("mac"));
        assert_eq!(complete(|s| s.address = Some("ftp://x".into())), Err("address"));
        assert_eq!(complete(|s| s.report_path = "a/b".into()), Err("report_path"));
        assert_eq!(complete(|s| s.report_url = Some("10.0.0.5:8989/a".into())), Err("report_url"));
        assert_eq!(complete(|s| s.report_url = Some("https://10.0.0.5/a".into())), Err("report_url"));
        assert_eq!(complete(|s| s.api_user = Some(String::new())), Err("api_user"));
        assert_eq!(complete(|s| s.proof.kind = ProofKind::Signature), Err("report_password"));
        assert_eq!(complete(|s| s.proof.kind = ProofKind::Source), Err("source"));
        let random = complete(|_| {}).expect("it fits").report_path;
        assert!(random.len() >= 22, "{random} can be guessed");
    }

    #[test]
    fn unadopted_senders_are_bounded() {
        let senders = UnadoptedSenders::default();
        for i in 0..UNADOPTED_KEPT + 10 {
            senders.note(Unadopted {
                id: format!("u{i}"),
                dialect: None,
                source: String::new(),
                path: String::new(),
                mac: None,
                sn: None,
                reports: 1,
                last_report_at: Timestamp(i as i64),
                sample: String::new(),
                state: "unadopted",
            });
        }
        let all = senders.all();
        assert_eq!(all.len(), UNADOPTED_KEPT);
        assert_eq!(all[0].id, format!("u{}", UNADOPTED_KEPT + 9));
        assert!(senders.get("u0").is_none());
    }
}
