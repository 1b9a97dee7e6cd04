//! Call records forwarded with an acknowledgement, as the vendor's devices do it, set up by the same URL.
//!
//! An application server is sent records (and reports, if it wants them) as a device would send them. One that waits for
//! `success` has a record only when that word came back. A record that is not taken is sent once more, and then kept in a
//! file that the application can fetch; or all are kept, and none is sent. How deliveries go on is in
//! [`crate::delivery`], what is sent in [`crate::targets`]; [`request`] reads the URL, [`files`] names the files, [`server`]
//! is the HTTP around both. The way back, files that a device has kept itself, is in [`import`].

pub mod files;
pub mod import;
pub mod request;
pub mod server;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchroom_domain::time::Millis;
use switchroom_protocol::Dialect;

use crate::config::{CdrForwardConfig, Span};
use crate::delivery::schedule::{self, Outcome};
use crate::delivery::{Deliveries, Feed, Limits, Shared, Wish};
use crate::metrics::Metrics;
use crate::outward::{Failed, Outward};
use crate::storage::block::Received;
use crate::storage::deliveries::{Attempt, Tables};
use crate::storage::secrets::SecretKey;
use crate::storage::{DatabaseStore, Reader, StorageError, forwarding as store};
use crate::targets::send::{self, How, Proof};
use crate::targets::{Connection, Lines, wire};
use request::Wanted;

/// Where it is stored.
pub const TABLES: Tables = Tables { name: "forwarding", item: "report" };
/// There is one.
const ID: &str = "cdr";
/// So long `success` is waited for: the vendor's time.
const TIMEOUT: Duration = Duration::from_secs(3);
/// So many attempts of different devices at a time: one that hangs holds each for twice three seconds.
const AT_A_TIME: usize = 32;
/// So many records may be open; what comes after them waits in the log.
const PENDING: usize = 10_000;
/// So many deliveries are kept for looking up, and for so many days.
const LOG_ENTRIES: usize = 10_000;
const LOG_DAYS: u32 = 7;
/// A record that could not be written to its file is tried again so much later.
const AGAIN: Duration = Duration::from_secs(1);
const UNKEPT: &str = "it could not be put into its file";
/// What a call record of an OM is called.
const RECORD: &str = "Cdr";

/// The forwarding that is known.
pub type Known = crate::delivery::Known<Records>;

/// The setting as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Always the same.
    pub id: String,
    /// Where reports are forwarded to; empty: they are only kept.
    pub target: String,
    /// What is wanted.
    pub wanted: Wanted,
}

/// OM devices' records and reports, as they are forwarded or kept.
#[derive(Debug)]
pub struct Records;

impl Feed for Records {
    type Settings = Setting;
    type Secrets = ();
    type Selection = Wanted;
    type Item = Received;
    type Line = Lines;

    const NAME: &'static str = "forwarding";
    const ITEMS: &'static str = "reports";
    const TABLES: Tables = TABLES;
    const DISABLES: bool = false;
    /// Each record has its two attempts at once: what is not taken then is in a file, and not in a queue.
    const PAUSES: bool = false;

    fn id(setting: &Setting) -> &str {
        &setting.id
    }

    fn url(setting: &Setting) -> &str {
        &setting.target
    }

    fn selection(setting: &Setting) -> Wanted {
        setting.wanted.clone()
    }

    fn wants(wanted: &Wanted, item: &Received) -> bool {
        if item.report.dialect != Dialect::Om.as_str() {
            return false;
        }
        match item.report.name.as_str() {
            RECORD => wanted.cdr || wanted.all || wanted.savecall,
            _ if wanted.savecall => false,
            "ONLINE" => wanted.online || wanted.all,
            "OFFLINE" => wanted.offline || wanted.all,
            _ => wanted.all,
        }
    }

    async fn send(
        shared: Arc<Shared<Self>>,
        wish: Arc<Wish<Self>>,
        line: Arc<Lines>,
        item: Received,
        failed: u32,
        timeout: Duration,
    ) -> (Attempt, Outcome) {
        let wanted = &wish.settings.wanted;
        let nothing = || Attempt { at: crate::clock::now(), status: None, error: None, duration_ms: 0 };
        if wanted.savecall {
            return match keep(&shared, item, Some(wanted.filemin)).await {
                Ok(note) => (nothing(), Outcome::Kept { wanted: true, note }),
                Err(failed) => put_off(nothing(), UNKEPT, &failed),
            };
        }
        let is_record = item.report.name == RECORD;
        if is_record {
            // It came into its file, and the process was lost before that was noted: it is not sent as well.
            let cursor = item.cursor;
            match shared.reader.query(move |connection| store::kept(connection, cursor)).await {
                Ok(None) => {}
                Ok(Some(place)) => {
                    let note = format!("kept in APICdr/{}", place.name());
                    return (nothing(), Outcome::Kept { wanted: false, note });
                }
                Err(failed) => {
                    return put_off(nothing(), "whether it is in its file cannot be read", &failed);
                }
            }
        }
        let (attempt, outcome) = forward(&shared.outward, &wish.settings, &line, &item, timeout).await;
        // It was the last one.
        let steps = shared.limits().schedule.len();
        let last = usize::try_from(failed).is_ok_and(|failed| failed >= steps);
        if outcome == Outcome::Taken || !is_record || !last {
            return (attempt, outcome);
        }
        match keep(&shared, item, None).await {
            Ok(note) => (attempt, Outcome::Kept { wanted: false, note }),
            Err(failed) => put_off(attempt, UNKEPT, &failed),
        }
    }

    fn delay(
        schedule: &[Span],
        failed: u32,
        outcome: &Outcome,
        _status: Option<u16>,
        chance: u64,
    ) -> Option<Millis> {
        match outcome {
            // It could not be written to its file: it is not given up.
            Outcome::Failed { retry_after: Some(_), .. } => {
                Some(Millis(i64::try_from(AGAIN.as_millis()).unwrap_or(i64::MAX)))
            }
            _ => schedule::delay(schedule, failed, None, chance),
        }
    }

    fn count(metrics: &Metrics, outcome: &'static str) {
        metrics.forwarding_outcome(outcome);
    }

    fn took(_metrics: &Metrics, _seconds: f64) {}

    fn forget(_metrics: &Metrics, _id: &str) {}
}

/// One attempt to forward a report.
async fn forward(
    outward: &Outward,
    setting: &Setting,
    line: &Lines,
    item: &Received,
    timeout: Duration,
) -> (Attempt, Outcome) {
    let now = crate::clock::now();
    let url = match outward.parse(&setting.target) {
        Ok(url) => url,
        Err(refused) => {
            let error = Some(Failed::from(refused).0);
            return (Attempt { at: now, status: None, error, duration_ms: 0 }, Outcome::no_answer());
        }
    };
    let bytes = wire::request(&url, None, None, &item.report, Default::default(), now);
    // As a device: it waits for word of its records only, and only if it is told to.
    let waits = setting.wanted.wait && item.report.name == RECORD;
    let proof = if waits { Proof::Success } else { Proof::Written };
    let (attempt, mut outcome) =
        send::send(outward, How { connection: Connection::Short, proof }, &line.0, &url, &bytes, timeout)
            .await;
    if let Outcome::Failed { retry_after, .. } = &mut outcome {
        *retry_after = None;
    }
    (attempt, outcome)
}

/// Puts a record into its file; says into which.
async fn keep(shared: &Shared<Records>, item: Received, span: Option<u32>) -> Result<String, StorageError> {
    let device = item.device.to_string();
    let of = device.clone();
    let zone = shared.reader.query(move |connection| store::zone_of(connection, &of)).await?;
    let at = jiff::Timestamp::from_millisecond(item.report.seed.at.0)
        .map_err(|error| StorageError::Corrupt(error.to_string()))?;
    let place = files::Place::new(at.to_zoned(zone).datetime(), span);
    let mut body = wire::without_auth(&item.report.body).into_owned();
    // Each begins on a line of its own.
    if body.last() != Some(&b'\n') {
        body.push(b'\n');
    }
    let cursor = item.cursor;
    shared.store.write(move |transaction| store::keep(transaction, cursor, &device, place, &body)).await?;
    Ok(format!("kept in APICdr/{}", place.name()))
}

/// The store failed, which is not the application server's doing.
fn put_off(mut attempt: Attempt, what: &str, failed: &StorageError) -> (Attempt, Outcome) {
    tracing::error!(error = %failed, "a call record: {what}; trying again");
    attempt.error = Some(format!("{what}: {failed}"));
    (attempt, Outcome::Failed { retry_after: Some(AGAIN), overloaded: false })
}

impl From<&CdrForwardConfig> for Limits {
    fn from(config: &CdrForwardConfig) -> Self {
        Self {
            schedule: config.retry_schedule.clone(),
            timeout: TIMEOUT,
            concurrency: AT_A_TIME,
            pending: PENDING,
            log_entries: LOG_ENTRIES,
            log_days: LOG_DAYS,
            max_age: None,
        }
    }
}

/// The forwarding; see the module.
pub struct Forwarding {
    deliveries: Deliveries<Records>,
    /// Held while the setting is changed.
    changing: tokio::sync::Mutex<()>,
}

impl Deref for Forwarding {
    type Target = Deliveries<Records>;

    fn deref(&self) -> &Deliveries<Records> {
        &self.deliveries
    }
}

impl Forwarding {
    /// Nothing is at work yet.
    #[must_use]
    pub fn new(
        store: Arc<DatabaseStore>,
        reader: Reader,
        outward: Arc<Outward>,
        secret_key: Arc<SecretKey>,
        metrics: Arc<Metrics>,
        config: &CdrForwardConfig,
    ) -> Self {
        let deliveries = Deliveries::new(store, reader, outward, secret_key, metrics, config.into());
        Self { deliveries, changing: tokio::sync::Mutex::default() }
    }

    /// What is set; none: nothing is forwarded or kept.
    #[must_use]
    pub fn known(&self) -> Option<Arc<Known>> {
        self.get(ID)
    }

    /// For so many days files are kept.
    #[must_use]
    pub fn days(&self) -> u32 {
        self.known().map_or(request::DAYS, |known| known.settings().wanted.callday)
    }

    /// Forwards or keeps as it is wanted, from the next report on; none: no more.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub async fn set(&self, wanted: Option<Wanted>) -> Result<(), StorageError> {
        let _changing = self.changing.lock().await;
        let target = wanted.as_ref().and_then(Wanted::target).unwrap_or_default();
        match (self.known(), wanted) {
            (None, None) => Ok(()),
            (Some(known), None) => self.remove(&known).await.map(|_| ()),
            (None, Some(wanted)) => {
                let setting = Setting { id: ID.to_owned(), target, wanted };
                self.add(setting, ()).await.map(|_| ())
            }
            (Some(known), Some(wanted)) => {
                self.change(&known, |setting| (setting.target, setting.wanted) = (target, wanted)).await
            }
        }
    }

    /// Removes up to so many kept records from before this time in milliseconds; gives how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) async fn prune(&self, before: i64, limit: usize) -> Result<usize, StorageError> {
        // Days are local ones, which may end half a day later.
        let before = before - 12 * 3600 * 1000;
        let Ok(before) = jiff::Timestamp::from_millisecond(before) else { return Ok(0) };
        let before = files::number(before.to_zoned(jiff::tz::TimeZone::UTC).date());
        self.shared.store.run(move |connection| store::prune(connection, before, limit)).await
    }
}
