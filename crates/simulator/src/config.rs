//! What a fleet is and does: every option of `switchroom sim`, with its default.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

/// Which vendor's exchange a device pretends to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// New Rock OM: XML, GET with a body, never repeats a report.
    Om,
    /// Yeastar S-series: JSON, repeats a report until it is answered 200.
    Yeastar,
    /// ZYCOO: JSON, a form or a JavaScript-like object.
    Zycoo,
}

impl Dialect {
    /// The name as it is written on the command line and in the truth.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Om => "om",
            Self::Yeastar => "yeastar",
            Self::Zycoo => "zycoo",
        }
    }
}

/// The HTTP method of the reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// GET with a body, an OM's default.
    Get,
    /// POST, `API_METHOD = 1` on an OM, and what the other vendors do.
    Post,
}

/// How many reports one connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    /// One connection for each report.
    Short,
    /// One kept connection for all of a device's reports.
    Long,
}

/// When a device closes a short connection. A Yeastar waits for its answer in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Close {
    /// Right after sending: half of the time only the write side, half of the time all of it.
    Early,
    /// After the answer.
    Late,
}

macro_rules! from_words {
    ($type:ident, $what:literal, $($word:literal => $value:ident),+) => {
        impl FromStr for $type {
            type Err = anyhow::Error;

            fn from_str(text: &str) -> anyhow::Result<Self> {
                match text {
                    $($word => Ok(Self::$value),)+
                    other => bail!(
                        concat!("unknown ", $what, " {:?}: use one of {}"),
                        other,
                        [$($word),+].join(", ")
                    ),
                }
            }
        }
    };
}

from_words!(Dialect, "dialect", "om" => Om, "yeastar" => Yeastar, "zycoo" => Zycoo);
from_words!(Method, "method", "get" => Get, "post" => Post);
from_words!(Connection, "connection", "short" => Short, "long" => Long);
from_words!(Close, "close", "early" => Early, "late" => Late);

/// How often the wire goes wrong: probabilities for each report.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The report never leaves the device.
    pub drop: f64,
    /// The report is sent a second time within 500 ms.
    pub duplicate: f64,
    /// The report is held back up to 500 ms while later ones overtake it.
    pub reorder: f64,
}

impl Faults {
    /// Refuses what is no probability.
    pub fn check(&self) -> anyhow::Result<()> {
        for (name, value) in [("drop", self.drop), ("duplicate", self.duplicate), ("reorder", self.reorder)] {
            ensure!((0.0..=1.0).contains(&value), "{name} is {value}: give a probability from 0 to 1");
        }
        Ok(())
    }
}

/// Which calls are made, as weights. The first three say where a call comes from; the others say,
/// in percent of the calls to which they can apply, what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// Weight: an outside party calls in.
    pub inbound: u32,
    /// Weight: an extension calls out.
    pub outbound: u32,
    /// Weight: an extension calls an extension.
    pub internal: u32,
    /// Weight: two outside parties are called and connected.
    pub callback: u32,
    /// Weight: a rush on a group, more calls than free members, so that some have to queue.
    pub queued: u32,
    /// Weight: a call that a voice menu answers or makes.
    pub menu: u32,
    /// Weight: a call that fails at once with one of the eight codes.
    pub failed: u32,
    /// Percent of answered inbound calls that are transferred blindly.
    pub transferred: u32,
    /// Percent of inbound and internal calls whose extension has its calls forwarded.
    pub forwarded: u32,
    /// Percent of inbound calls that an application lets wait for one busy extension.
    pub waiting: u32,
    /// Percent of calls that nobody answers.
    pub unanswered: u32,
    /// Percent of calls that meet a busy party.
    pub busy: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            inbound: 40,
            outbound: 30,
            internal: 30,
            callback: 4,
            queued: 8,
            menu: 8,
            failed: 4,
            transferred: 12,
            forwarded: 8,
            waiting: 4,
            unanswered: 12,
            busy: 6,
        }
    }
}

impl Mix {
    /// Only the three plain kinds, each of them answered: what a load test wants.
    pub fn plain(inbound: u32, outbound: u32, internal: u32) -> Self {
        Self { inbound, outbound, internal, ..Self::none() }
    }

    /// No calls at all; a start for tests that want one kind only.
    pub fn none() -> Self {
        Self {
            inbound: 0,
            outbound: 0,
            internal: 0,
            callback: 0,
            queued: 0,
            menu: 0,
            failed: 0,
            transferred: 0,
            forwarded: 0,
            waiting: 0,
            unanswered: 0,
            busy: 0,
        }
    }

    fn slot(&mut self, name: &str) -> Option<&mut u32> {
        Some(match name {
            "inbound" => &mut self.inbound,
            "outbound" => &mut self.outbound,
            "internal" => &mut self.internal,
            "callback" => &mut self.callback,
            "queued" => &mut self.queued,
            "menu" => &mut self.menu,
            "failed" => &mut self.failed,
            "transferred" => &mut self.transferred,
            "forwarded" => &mut self.forwarded,
            "waiting" => &mut self.waiting,
            "unanswered" => &mut self.unanswered,
            "busy" => &mut self.busy,
            _ => return None,
        })
    }
}

impl FromStr for Mix {
    type Err = anyhow::Error;

    /// `inbound=40,outbound=30`; what is not named keeps its default.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut mix = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').with_context(|| format!("{part:?} in the mix is not NAME=WEIGHT"))?;
            let value = value.trim().parse().with_context(|| format!("the weight of {name} is no number"))?;
            let slot = mix.slot(name.trim()).with_context(|| {
                format!(
                    "unknown kind of call {name:?}: use inbound, outbound, internal, callback, queued, menu, \
                     failed, transferred, forwarded, waiting, unanswered, busy"
                )
            })?;
            *slot = value;
        }
        Ok(mix)
    }
}

/// How an OM gives out its recordings (4.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingConfig {
    /// The folder in which they are asked for: `mcc/Recorder`, or `usb/builtin/Recorder` as on an OM50.
    pub folder: String,
    /// Who may have them.
    pub user: String,
    /// Their password.
    pub password: String,
    /// How long after a call its file is there.
    pub ready_after: Duration,
}

impl Default for RecordingConfig {
    fn default() -> Self {
        Self {
            folder: "mcc/Recorder".to_owned(),
            user: "user".to_owned(),
            password: "user".to_owned(),
            ready_after: Duration::from_secs(5),
        }
    }
}

/// A whole fleet. `FleetConfig::default()` is what `switchroom sim` does without options.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// The vendor.
    pub dialect: Dialect,
    /// How many devices, `sim-1` and up.
    pub devices: usize,
    /// Extensions on each device.
    pub extensions: usize,
    /// Trunks on each device: the first half IP, the others analog.
    pub trunks: usize,
    /// Calls in a minute, all devices together.
    pub calls_per_minute: f64,
    /// Where reports go: `http://host:port`, perhaps with a path in front of `/sim-1`.
    pub report_to: String,
    /// The address of the first device's command endpoint, the others' follow on the next ports; port 0:
    /// any free one for each. `None`: none. An OM takes
    /// commands there, a Yeastar logins.
    pub listen: Option<SocketAddr>,
    /// A Yeastar reports only while somebody is logged in, by the name `api` and `web_password`.
    pub require_login: bool,
    /// Where the truth is told and faults are taken; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// The same seed makes the same calls.
    pub seed: u64,
    /// How long people talk, on average.
    pub talk: Duration,
    /// Which calls are made.
    pub mix: Mix,
    /// How much faster than the clock on the wall.
    pub speed: f64,
    /// GET or POST; `None`: the vendor's own.
    pub method: Option<Method>,
    /// One connection for each report or one for all.
    pub connection: Connection,
    /// When short connections are closed.
    pub close: Close,
    /// How often the wire goes wrong.
    pub faults: Faults,
    /// How long the fleet runs by itself; `None`: until it is stopped.
    pub run_for: Option<Duration>,
    /// Groups with a queue on each device.
    pub groups: usize,
    /// Members of each group.
    pub group_members: usize,
    /// All free members of these groups ring at once; otherwise one after the other.
    pub groups_ring_all: bool,
    /// How many may wait in one queue. Real devices take 30; less lets `full` happen.
    pub queue_capacity: usize,
    /// Voice menus on each device.
    pub menus: u8,
    /// `visitor` and `outer` ids run from 1 to this and then come back.
    pub wire_ids: u32,
    /// The devices' local time: seconds east of UTC.
    pub utc_offset_seconds: i32,
    /// The last trunk has its API switch off: its calls have no ids in reports.
    pub bare_trunk: bool,
    /// Calls in over an analog trunk also give the automatic attendant's `OU`/`OP` record.
    pub attendant_cdrs: bool,
    /// `<MAC>` in every OM report (`API_MAC`).
    pub with_mac: bool,
    /// Devices start with a boot report and their phones coming up.
    pub boot_reports: bool,
    /// How often a phone of each device goes off line, on average; `None`: never.
    pub phones_fail_every: Option<Duration>,
    /// `FT_API_1` of every trunk: 0x07, 0x17 (INVITE), 0x27 (INCOMING) or 0x37 (both). Then a real
    /// application decides; `None`: the trunks differ, and a pretended application decides.
    pub trunk_api: Option<u8>,
    /// What commands are signed with (`API_PASSWORD`); `None`: they need not be.
    pub api_password: Option<String>,
    /// Who may give commands without a signature; none named and no password: everybody.
    pub allowed_ips: Vec<IpAddr>,
    /// The administrator's password of the web interface; a Yeastar's API password.
    pub web_password: String,
    /// The software's version, which decides what it knows.
    pub firmware: String,
    /// How its recordings are given out, at `listen`.
    pub recordings: RecordingConfig,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            dialect: Dialect::Om,
            devices: 3,
            extensions: 20,
            trunks: 4,
            calls_per_minute: 60.0,
            report_to: "http://127.0.0.1:8989".to_owned(),
            listen: None,
            require_login: false,
            admin: None,
            seed: 42,
            talk: Duration::from_secs(5),
            mix: Mix::default(),
            speed: 1.0,
            method: None,
            connection: Connection::Short,
            close: Close::Late,
            faults: Faults::default(),
            run_for: None,
            groups: 2,
            group_members: 2,
            groups_ring_all: false,
            queue_capacity: 3,
            menus: 3,
            wire_ids: 4096,
            utc_offset_seconds: 8 * 3600,
            bare_trunk: false,
            attendant_cdrs: false,
            with_mac: false,
            boot_reports: true,
            phones_fail_every: Some(Duration::from_secs(45)),
            trunk_api: None,
            api_password: None,
            allowed_ips: Vec::new(),
            web_password: "admin".to_owned(),
            firmware: "Rev 2.1.5.124".to_owned(),
            recordings: RecordingConfig::default(),
        }
    }
}

impl FleetConfig {
    /// Says what cannot work, before anything is started.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!((1..=100_000).contains(&self.devices), "{} devices: give 1 to 100000", self.devices);
        ensure!((2..=50_000).contains(&self.extensions), "{} extensions: give 2 to 50000", self.extensions);
        ensure!((1..=1000).contains(&self.trunks), "{} trunks: give 1 to 1000", self.trunks);
        ensure!(
            self.calls_per_minute.is_finite() && self.calls_per_minute >= 0.0,
            "calls per minute must be 0 or more"
        );
        ensure!(
            self.speed.is_finite() && self.speed > 0.0 && self.speed <= 10_000.0,
            "speed is {}: give more than 0, at most 10000",
            self.speed
        );
        ensure!(!self.talk.is_zero(), "the talk time must be more than 0");
        ensure!((1..=4096).contains(&self.wire_ids), "wire ids run to 1 at least and 4096 at most");
        ensure!(self.groups == 0 || self.group_members >= 1, "a group needs at least one member");
        ensure!(self.utc_offset_seconds.abs() <= 14 * 3600, "the UTC offset is at most 14 hours");
        ensure!(
            !self.require_login || (self.dialect == Dialect::Yeastar && self.listen.is_some()),
            "only a Yeastar can require a login, and it needs an address to listen on for that"
        );
        if let Some(api) = self.trunk_api {
            ensure!(
                matches!(api, 0x00 | 0x07 | 0x17 | 0x27 | 0x37),
                "{api:#04x} is no API switch: use 0x00, 0x07, 0x17, 0x27 or 0x37"
            );
        }
        if let Some(password) = &self.api_password {
            ensure!(
                (1..=16).contains(&password.len())
                    && password.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "an API password has 1 to 16 letters and digits"
            );
        }
        self.faults.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read_from_text_and_errors_say_what_to_do() {
        let mix: Mix = "inbound=1, busy=0".parse().unwrap();
        assert_eq!((mix.inbound, mix.busy, mix.outbound), (1, 0, 30));
        assert!("inbounds=1".parse::<Mix>().unwrap_err().to_string().contains("use inbound"));
        assert!("inbound".parse::<Mix>().is_err());
        assert!("x".parse::<Dialect>().unwrap_err().to_string().contains("om, yeastar, zycoo"));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(FleetConfig::default().check().is_ok());
        assert!(FleetConfig { devices: 0, ..FleetConfig::default() }.check().is_err());
        assert!(FleetConfig { speed: f64::NAN, ..FleetConfig::default() }.check().is_err());
        let faults = Faults { drop: 1.5, ..Faults::default() };
        assert!(FleetConfig { faults, ..FleetConfig::default() }.check().is_err());
    }
}
