//! Targets: application servers that get the devices' own reports, as the devices would send them.
//!
//! This is the vendor's API middleware: one device reports here, and any number of receivers are passed its reports on,
//! each at its own pace. How deliveries go on is in [`crate::delivery`]; a target's lanes are the devices. [`wire`] writes
//! the bytes, [`send`] sends them, [`answer`] reads what comes back, [`log`] reads the reports.

mod answer;
pub(crate) mod log;
pub(crate) mod send;
pub(crate) mod wire;

use std::collections::HashSet;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchroom_domain::time::{Millis, Timestamp};
use utoipa::ToSchema;

use crate::config::{Span, TargetsConfig};
use crate::delivery::schedule::{self, Outcome};
use crate::delivery::{Deliveries, Feed, Item, Limits, Shared, Wish};
use crate::metrics::Metrics;
use crate::outward::{Failed, Outward};
use crate::storage::block::Received;
use crate::storage::deliveries::{Attempt, Delivery, Tables};
use crate::storage::secrets::SecretKey;
use crate::storage::{DatabaseStore, Reader, StorageError};
use send::How;

/// Where targets are stored.
pub const TABLES: Tables = Tables { name: "target", item: "report" };
/// Reports are read from the store: so long several are waited for.
const SPACING: u64 = 10;

/// A target that is known.
pub type Known = crate::delivery::Known<Reports>;

/// What a target wants, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its id.
    pub id: String,
    /// Where reports are passed on to.
    pub url: String,
    /// Only of these devices; none: all.
    pub devices: Vec<String>,
    /// Only these reports, as the dialect names them; none: all.
    pub kinds: Vec<String>,
    /// How they are sent; none: as the vendor's devices do by themselves.
    pub method: Option<Method>,
    /// How many a connection carries.
    pub connection: Connection,
    /// What says that a report was taken.
    pub confirm: Confirm,
    /// For people.
    pub description: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The HTTP method of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// GET with a body: what an OM does by itself.
    Get,
    /// POST: what an OM does with `API_METHOD = 1`, and the other vendors always.
    Post,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// How many reports a connection carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// One.
    #[default]
    Short,
    /// One connection is kept, and the reports follow one another on it.
    Long,
}

/// What says that a report was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// An HTTP answer 2xx to 4xx, or an orderly close after the report.
    #[default]
    Answer,
    /// That it could be written: for receivers that neither answer nor close. As with a device, what the receiver did
    /// with it is not known.
    Written,
}

/// A target's secrets, as they are encrypted.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Secrets {
    /// Reports of OM devices are signed anew with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// Which reports a target wants, so that it is quickly told.
#[derive(Debug)]
pub struct Selection {
    devices: HashSet<String>,
    /// In lower case.
    kinds: HashSet<String>,
}

/// Devices' reports, as they are passed on to targets.
#[derive(Debug)]
pub struct Reports;

impl Feed for Reports {
    type Settings = Target;
    type Secrets = Secrets;
    type Selection = Selection;
    type Item = Received;
    type Line = Lines;

    const NAME: &'static str = "target";
    const ITEMS: &'static str = "reports";
    const TABLES: Tables = TABLES;
    /// An application server is down for a night, and comes back: nobody should have to enable it again.
    const DISABLES: bool = false;

    fn id(target: &Target) -> &str {
        &target.id
    }

    fn url(target: &Target) -> &str {
        &target.url
    }

    fn selection(target: &Target) -> Selection {
        Selection {
            devices: target.devices.iter().cloned().collect(),
            kinds: target.kinds.iter().map(|kind| kind.to_ascii_lowercase()).collect(),
        }
    }

    fn wants(selection: &Selection, item: &Received) -> bool {
        let Selection { devices, kinds } = selection;
        (devices.is_empty() || devices.contains(item.device.as_str()))
            && (kinds.is_empty() || kinds.contains(item.report.name.to_ascii_lowercase().as_str()))
    }

    /// On a kept connection messages follow one another.
    fn at_a_time(target: &Target, most: usize) -> usize {
        match target.connection {
            Connection::Short => most,
            Connection::Long => 1,
        }
    }

    fn spacing(count: usize) -> Duration {
        Duration::from_millis(u64::try_from(count).unwrap_or(u64::MAX).clamp(SPACING, 100))
    }

    async fn send(
        shared: Arc<Shared<Self>>,
        wish: Arc<Wish<Self>>,
        line: Arc<Lines>,
        item: Received,
        _failed: u32,
        timeout: Duration,
    ) -> (Attempt, Outcome) {
        let now = crate::clock::now();
        let url = match shared.outward.parse(&wish.settings.url) {
            Ok(url) => url,
            Err(refused) => {
                let error = Some(Failed::from(refused).0);
                return (Attempt { at: now, status: None, error, duration_ms: 0 }, Outcome::no_answer());
            }
        };
        let password = wish.secrets.password.as_deref();
        let nonce = crate::random::bytes();
        let bytes = wire::request(&url, wish.settings.method, password, &item.report, nonce, now);
        let how = How { connection: wish.settings.connection, proof: wish.settings.confirm.into() };
        send::send(&shared.outward, how, &line.0, &url, &bytes, timeout).await
    }

    /// An application that answers 500 does not want this report, and others wait behind it. One that is not there is
    /// waited for, as long as the report is not too old.
    fn delay(
        schedule: &[Span],
        failed: u32,
        _outcome: &Outcome,
        status: Option<u16>,
        chance: u64,
    ) -> Option<Millis> {
        let is_there = matches!(status, Some(500..)) && !matches!(status, Some(502..=504));
        let last = u32::try_from(schedule.len()).unwrap_or(u32::MAX);
        let step = if is_there { failed } else { failed.min(last) };
        schedule::delay(schedule, step, None, chance)
    }

    fn count(metrics: &Metrics, outcome: &'static str) {
        metrics.target_outcome(outcome);
    }

    fn took(metrics: &Metrics, seconds: f64) {
        metrics.target_delivery_seconds.observe(seconds);
    }

    fn forget(metrics: &Metrics, id: &str) {
        metrics.forget_target(id);
    }
}

/// What a target keeps between attempts: its connections.
#[derive(Default)]
pub struct Lines(pub(crate) send::Line);

impl From<&TargetsConfig> for Limits {
    fn from(config: &TargetsConfig) -> Self {
        let age = Millis(i64::try_from(config.max_age.0.as_millis()).unwrap_or(i64::MAX));
        Self {
            schedule: config.retry_schedule.clone(),
            timeout: Duration::from_secs(config.timeout_seconds.into()),
            concurrency: config.concurrency,
            pending: config.pending,
            log_entries: config.log_entries,
            log_days: config.log_days,
            max_age: Some(age),
        }
    }
}

/// All targets; see the module.
pub struct Targets(Deliveries<Reports>);

impl Deref for Targets {
    type Target = Deliveries<Reports>;

    fn deref(&self) -> &Deliveries<Reports> {
        &self.0
    }
}

impl Targets {
    /// None are at work yet.
    #[must_use]
    pub fn new(
        store: Arc<DatabaseStore>,
        reader: Reader,
        outward: Arc<Outward>,
        secret_key: Arc<SecretKey>,
        metrics: Arc<Metrics>,
        config: &TargetsConfig,
    ) -> Self {
        Self(Deliveries::new(store, reader, outward, secret_key, metrics, config.into()))
    }

    /// The report at this cursor, if it is still in the log.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn report(&self, cursor: u64) -> Result<Option<Received>, StorageError> {
        Received::find(self.shared.log(), cursor).await
    }

    /// What is written down of the delivery of this report.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn of_report(&self, known: &Known, id: uuid::Uuid) -> Result<Option<Delivery>, StorageError> {
        let key = known.key;
        self.shared.reader.query(move |connection| TABLES.of_item(connection, key, id)).await
    }
}
