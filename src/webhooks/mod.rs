//! Webhooks: events delivered to URLs, signed, in the order of each call, again and again until they are taken.
//!
//! How deliveries go on is in [`crate::delivery`]; what is delivered and how is here: [`log`] reads the events, [`sign`]
//! signs, [`send`] sends.

mod log;
mod selection;
mod send;
pub mod sign;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use switchroom_domain::id::EventId;
use switchroom_domain::time::{Millis, Timestamp};
use tokio::sync::{oneshot, watch};

use crate::config::WebhooksConfig;
use crate::delivery::schedule::Outcome;
use crate::delivery::{Deliveries, Feed, Item, Limits, Log, Page, Shared, Wish};
use crate::metrics::Metrics;
use crate::outward::Outward;
use crate::storage::deliveries::{Attempt, Delivery, DeliveryBody, State, Tables};
use crate::storage::hub::Tail;
use crate::storage::secrets::SecretKey;
use crate::storage::{DatabaseStore, Published, Reader, StorageError};
pub use selection::{Selection, names_a_kind};
use sign::Secrets;

/// The kind of the event that a test delivers. Nobody subscribes to it.
pub const PING: &str = "webhook.ping";
/// Where webhooks are stored.
pub const TABLES: Tables = Tables { name: "webhook", item: "event" };

/// A webhook that is known.
pub type Known = crate::delivery::Known<Events>;

/// What a webhook wants, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// Where events are delivered.
    pub url: String,
    /// Kinds of events; `call.*` is all of a family.
    pub kinds: Vec<String>,
    /// Only of these devices; none: all.
    pub devices: Vec<String>,
    /// Only of these extensions; none: all.
    pub extensions: Vec<String>,
    /// For people.
    pub description: String,
    /// Telephone numbers are masked in what is delivered.
    #[serde(default)]
    pub mask_numbers: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Events, as they are delivered to webhooks.
#[derive(Debug)]
pub struct Events;

impl Item for Published {
    fn cursor(&self) -> u64 {
        self.cursor
    }

    fn at(&self) -> Timestamp {
        self.sealed.event.at
    }

    fn delivery(&self) -> Delivery {
        let event = &self.sealed.event;
        let call = event.data.call;
        let lane = match call {
            Some(call) => call.to_string(),
            None => format!("{}/{}", event.device, event.subject),
        };
        let body =
            DeliveryBody { kind: event.kind.as_str().into(), call, lane: lane.into(), ..Default::default() };
        Delivery { cursor: self.cursor, state: State::Pending, item: Some(event.id.0), at: event.at, body }
    }

    fn watch(store: &DatabaseStore) -> watch::Receiver<u64> {
        store.hub().watch()
    }

    fn tail(store: &DatabaseStore, after: u64, limit: usize) -> Option<Vec<Self>> {
        match store.hub().after(after, limit) {
            Tail::Events(events) => Some(events),
            Tail::TooOld => None,
        }
    }

    fn page(log: Log, after: u64, limit: usize) -> BoxFuture<'static, Result<Page<Self>, StorageError>> {
        log::page(log, after, limit).boxed()
    }

    fn find(log: Log, cursor: u64) -> BoxFuture<'static, Result<Option<Self>, StorageError>> {
        async move { log::event(&log, cursor).await }.boxed()
    }

    fn before(log: Log, at: Timestamp) -> BoxFuture<'static, Result<u64, StorageError>> {
        async move { log::before(&log, at).await }.boxed()
    }
}

impl Feed for Events {
    type Settings = Webhook;
    type Secrets = Secrets;
    type Selection = Selection;
    type Item = Published;
    /// The client keeps connections.
    type Line = ();

    const NAME: &'static str = "webhook";
    const ITEMS: &'static str = "events";
    const TABLES: Tables = TABLES;
    const DISABLES: bool = true;

    fn id(webhook: &Webhook) -> &str {
        &webhook.id
    }

    fn url(webhook: &Webhook) -> &str {
        &webhook.url
    }

    fn selection(webhook: &Webhook) -> Selection {
        Selection::of(webhook)
    }

    fn wants(selection: &Selection, item: &Published) -> bool {
        selection.wants(&item.sealed.event)
    }

    async fn send(
        shared: Arc<Shared<Self>>,
        wish: Arc<Wish<Self>>,
        _line: Arc<()>,
        item: Published,
        _failed: u32,
        timeout: Duration,
    ) -> (Attempt, Outcome) {
        let mut body = String::with_capacity(item.json_len());
        item.write_json(&mut body);
        if wish.settings.mask_numbers {
            body = crate::privacy::masked_json(&body);
        }
        let id = item.sealed.event.id.to_string();
        send::send(&shared.outward, &wish.settings.url, &wish.secrets, &id, body, timeout).await
    }

    fn count(metrics: &Metrics, outcome: &'static str) {
        metrics.webhook_outcome(outcome);
    }

    fn took(metrics: &Metrics, seconds: f64) {
        metrics.webhook_delivery_seconds.observe(seconds);
    }

    fn arrived(metrics: &Metrics, after: Millis) {
        metrics.event_delivery.with_label_values(&["webhook"]).observe(after.seconds().max(0.0));
    }

    fn forget(metrics: &Metrics, id: &str) {
        metrics.forget_webhook(id);
    }
}

impl From<&WebhooksConfig> for Limits {
    fn from(config: &WebhooksConfig) -> Self {
        Self {
            schedule: config.retry_schedule.clone(),
            timeout: Duration::from_secs(config.timeout_seconds.into()),
            concurrency: config.concurrency,
            pending: config.pending,
            log_entries: config.log_entries,
            log_days: config.log_days,
            max_age: None,
        }
    }
}

/// All webhooks; see the module.
pub struct Webhooks(Deliveries<Events>);

impl Deref for Webhooks {
    type Target = Deliveries<Events>;

    fn deref(&self) -> &Deliveries<Events> {
        &self.0
    }
}

impl Webhooks {
    /// None are at work yet.
    #[must_use]
    pub fn new(
        store: Arc<DatabaseStore>,
        reader: Reader,
        outward: Arc<Outward>,
        secret_key: Arc<SecretKey>,
        metrics: Arc<Metrics>,
        config: &WebhooksConfig,
    ) -> Self {
        Self(Deliveries::new(store, reader, outward, secret_key, metrics, config.into()))
    }

    /// Adds a webhook, which gets what happens from now on; gives it with its secret, which is not shown again. None if
    /// there are too many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn make(&self, webhook: Webhook) -> Result<Option<(Arc<Known>, String)>, StorageError> {
        let secrets = Secrets::random();
        let shown = secrets.shown();
        Ok(self.add(webhook, secrets).await?.map(|known| (known, shown)))
    }

    /// Makes a new secret; those of before sign too for a day. It is not shown again. None if too many would sign.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn rotate(&self, known: &Known) -> Result<Option<String>, StorageError> {
        let mut is_new = false;
        let change = |secrets: Secrets| match secrets.rotated(crate::clock::now()) {
            Some(rotated) => {
                is_new = true;
                rotated
            }
            None => secrets,
        };
        let secrets = self.change_secrets(known, change).await?;
        Ok(is_new.then(|| secrets.shown()))
    }

    /// Delivers a small event at once, whatever the webhook wants; says whether it was taken.
    ///
    /// # Errors
    /// When the service is stopping.
    pub async fn ping(&self, known: &Known) -> Result<(Attempt, bool), StorageError> {
        let _one = known.pinging.lock().await;
        let (shared, wish) = (Arc::clone(&self.shared), known.wish());
        let (done, result) = oneshot::channel();
        self.handle.spawn(async move {
            let (id, body) = ping(&wish.settings.id);
            let timeout = shared.limits().timeout;
            let (attempt, outcome) =
                send::send(&shared.outward, &wish.settings.url, &wish.secrets, &id, body, timeout).await;
            // Whoever asked may have gone.
            let _ = done.send((attempt, outcome == Outcome::Taken));
        });
        result.await.map_err(|_| StorageError::Corrupt("the service is stopping".to_owned()))
    }

    /// An event of this id, if it is still in the log.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find(&self, known: &Known, event: EventId) -> Result<Option<Published>, StorageError> {
        log::find(&self.shared.log(), known.key, event).await
    }
}

/// An event for a test: its id and its envelope.
fn ping(webhook: &str) -> (String, String) {
    let id = uuid::Uuid::now_v7().to_string();
    let envelope = serde_json::json!({
        "specversion": "1.0", "id": id, "source": format!("/webhooks/{webhook}"), "type": format!("switchroom.{PING}"),
        "time": crate::clock::now(), "subject": format!("webhooks/{webhook}"), "datacontenttype": "application/json",
        "data": {"webhook": webhook},
    });
    (id, envelope.to_string())
}
