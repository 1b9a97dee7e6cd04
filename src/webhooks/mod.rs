//! Webhooks: events delivered to URLs, signed, in the order of each call, again and again until they are taken.
//!
//! Each webhook is a cursor over the one log of events, with a task of its own ([`endpoint`]), all of them on one thread
//! that nothing else waits for. What is open, and in which order it goes out, is kept by [`book`]; when it is tried
//! again, and what an answer means, is said by [`schedule`]; [`sign`] signs, [`send`] sends; [`journal`] writes down how
//! far it has come, [`log`] reads the events. [`known`] is what the rest of the service sees.

pub mod book;
#[cfg(test)]
mod book_tests;
mod endpoint;
mod journal;
mod known;
mod log;
pub mod schedule;
mod selection;
mod send;
pub mod sign;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use actix_rt::Arbiter;
use anyhow::Context;
use futures_util::FutureExt;
use switchroom_actors::ports::Observer;
use switchroom_domain::id::EventId;
use switchroom_domain::time::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::WebhooksConfig;
use crate::metrics::Metrics;
use crate::outward::Outward;
use crate::storage::secrets::SecretKey;
use crate::storage::webhooks::{self as store, Attempt, Delivery, Progress, Replay, Webhook};
use crate::storage::{DatabaseStore, Published, Reader, StorageError};
use endpoint::{Ask, Endpoint, Loaded};
use known::lock;
pub use known::{Known, Standing};
use schedule::Outcome;
pub use selection::{Selection, names_a_kind};
use sign::Secrets;

/// The kind of the event that a test delivers. Nobody subscribes to it.
pub const PING: &str = "webhook.ping";
/// How many webhooks there may be.
pub const MOST: usize = 1000;
/// How long an endpoint that died stays down.
const DOWN: Duration = Duration::from_secs(1);
/// How long endpoints may take to stop.
const STOP: Duration = Duration::from_secs(10);

/// What every endpoint shares.
struct Shared {
    store: Arc<DatabaseStore>,
    reader: Reader,
    outward: Arc<Outward>,
    metrics: Arc<Metrics>,
    config: RwLock<Arc<WebhooksConfig>>,
    count: AtomicUsize,
}

impl Shared {
    fn config(&self) -> Arc<WebhooksConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long to wait before looking again for what is new.
    fn spacing(&self) -> Duration {
        let count = u64::try_from(self.count.load(Relaxed)).unwrap_or(u64::MAX);
        Duration::from_millis((count / 20).clamp(1, 50))
    }
}

/// All webhooks; see the module.
pub struct Webhooks {
    shared: Arc<Shared>,
    secret_key: Arc<SecretKey>,
    known: RwLock<BTreeMap<String, Arc<Known>>>,
    /// Held while webhooks are changed.
    changing: tokio::sync::Mutex<()>,
    stopping: watch::Sender<bool>,
    arbiter: Mutex<Option<Arbiter>>,
    handle: actix_rt::ArbiterHandle,
}

/// With this a webhook's secrets are tied to it.
fn tie(id: &str) -> String {
    format!("webhook:{id}")
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
        let config = RwLock::new(Arc::new(config.clone()));
        let arbiter = Arbiter::new();
        Self {
            shared: Arc::new(Shared { store, reader, outward, metrics, config, count: AtomicUsize::new(0) }),
            secret_key,
            known: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
            stopping: watch::Sender::new(false),
            handle: arbiter.handle(),
            arbiter: Mutex::new(Some(arbiter)),
        }
    }

    /// Has those of the store go to work.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn start(&self) -> anyhow::Result<()> {
        for stored in self.shared.reader.query(store::all).await? {
            let id = &stored.webhook.id;
            let plain = self.secret_key.open_sealed(&tie(id), &stored.sealed)?;
            let secrets = serde_json::from_slice(&plain).context("a webhook's secrets cannot be read")?;
            self.attend_to(stored.key, stored.webhook, secrets, &stored.progress);
        }
        Ok(())
    }

    /// Applies a changed configuration.
    pub fn configure(&self, config: &WebhooksConfig) {
        *self.shared.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config.clone());
        for known in self.all() {
            known.look();
        }
    }

    /// Ends attempts that are under way, writes everything down, and stops.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        let deadline = tokio::time::Instant::now() + STOP;
        for known in self.all() {
            let ended = lock(&known.ended).take();
            if let Some(ended) = ended
                && tokio::time::timeout_at(deadline, ended).await.is_err()
            {
                tracing::warn!(webhook.id = %known.id, "a webhook did not stop in time");
            }
        }
        self.handle.stop();
        let arbiter = lock(&self.arbiter).take();
        if let Some(arbiter) = arbiter {
            // A thread that panicked has said so already.
            let _ = actix_web::web::block(move || arbiter.join()).await;
        }
    }

    /// All of them, by id.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The one of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The way out.
    #[must_use]
    pub fn outward(&self) -> &Outward {
        &self.shared.outward
    }

    fn attend_to(&self, key: i64, webhook: Webhook, secrets: Secrets, progress: &Progress) -> Arc<Known> {
        let (ended, end) = oneshot::channel();
        let known = Arc::new(Known::new(key, webhook, secrets, progress.disabled.clone(), end));
        let asks = known.listen();
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(known.id.clone(), Arc::clone(&known));
        self.shared.count.store(all.len(), Relaxed);
        drop(all);
        let work =
            keep_working(Arc::clone(&self.shared), Arc::clone(&known), asks, self.stopping.subscribe());
        self.handle.spawn(async move {
            work.await;
            // Nobody waits for it unless the service stops.
            let _ = ended.send(());
        });
        known
    }

    /// Adds a webhook, which gets what happens from now on; gives it with its secret, which is not shown again. None if
    /// there are too many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn add(&self, webhook: Webhook) -> Result<Option<(Arc<Known>, String)>, StorageError> {
        let _changing = self.changing.lock().await;
        if self.shared.count.load(Relaxed) >= MOST {
            return Ok(None);
        }
        let secrets = Secrets::random();
        let sealed = self.seal(&webhook.id, &secrets)?;
        let progress = Progress { cursor: self.shared.store.hub().latest(), ..Progress::default() };
        let (row, at) = (webhook.clone(), progress.clone());
        let key = self.shared.store.run(move |connection| store::add(connection, &row, &sealed, &at)).await?;
        let shown = secrets.shown();
        Ok(Some((self.attend_to(key, webhook, secrets, &progress), shown)))
    }

    fn seal(&self, id: &str, secrets: &Secrets) -> Result<Vec<u8>, StorageError> {
        let plain = serde_json::to_vec(secrets).map_err(|error| StorageError::Corrupt(error.to_string()))?;
        self.secret_key.seal(&tie(id), &plain)
    }

    /// Changes what a webhook wants, from the next event on that it reads.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn change(
        &self,
        known: &Known,
        change: impl FnOnce(&mut Webhook) + Send,
    ) -> Result<(), StorageError> {
        let _changing = self.changing.lock().await;
        let wish = known.wish();
        let mut webhook = wish.webhook.clone();
        change(&mut webhook);
        let (key, row) = (known.key, webhook.clone());
        self.shared.store.run(move |connection| store::change(connection, key, &row)).await?;
        let moved = webhook.url != wish.webhook.url;
        known.put(webhook, wish.secrets.clone());
        if moved {
            // One that is not at work begins anew by itself.
            let _ = known.ask(Ask::Anew).await;
        }
        Ok(())
    }

    /// Makes a new secret; the one of before signs too for a day. It is not shown again.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn rotate(&self, known: &Known) -> Result<String, StorageError> {
        let _changing = self.changing.lock().await;
        let wish = known.wish();
        let secrets = wish.secrets.clone().rotated(crate::clock::now());
        let (key, sealed) = (known.key, self.seal(&known.id, &secrets)?);
        self.shared.store.run(move |connection| store::put_secrets(connection, key, &sealed)).await?;
        let shown = secrets.shown();
        known.put(wish.webhook.clone(), secrets);
        Ok(shown)
    }

    /// Removes a webhook with its delivery log; false if it was gone already.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn remove(&self, known: &Known) -> Result<bool, StorageError> {
        let _changing = self.changing.lock().await;
        let key = known.key;
        self.shared.store.run(move |connection| store::remove(connection, key)).await?;
        let removed = {
            let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let removed = all.remove(&known.id).is_some();
            self.shared.count.store(all.len(), Relaxed);
            removed
        };
        // It is not at work if this fails.
        let _ = known.ask(Ask::Remove).await;
        self.shared.metrics.forget_webhook(&known.id);
        Ok(removed)
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
            let (id, body) = ping(&wish.webhook.id);
            let timeout = Duration::from_secs(shared.config().timeout_seconds.into());
            let (attempt, outcome) =
                send::send(&shared.outward, &wish.webhook.url, &wish.secrets, &id, body, timeout).await;
            // Whoever asked may have gone.
            let _ = done.send((attempt, outcome == Outcome::Taken));
        });
        result.await.map_err(|_| StorageError::Corrupt("the service is stopping".to_owned()))
    }

    /// What is written down of the delivery at this cursor.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn delivery(&self, known: &Known, cursor: u64) -> Result<Option<Delivery>, StorageError> {
        let key = known.key;
        self.shared.reader.query(move |connection| store::at(connection, key, cursor)).await
    }

    /// An event of this id, if it is still in the log.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find(&self, known: &Known, event: EventId) -> Result<Option<Published>, StorageError> {
        log::find(&self.shared, known.key, event).await
    }

    /// A range of the log by time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn range(&self, since: Timestamp, until: Timestamp) -> Result<Replay, StorageError> {
        let end = self.shared.store.hub().latest();
        Ok(Replay { cursor: log::before(&self.shared, since).await?, end, since, until })
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

/// Has an endpoint work until the service stops or it is removed; one that dies begins anew from what was written down.
async fn keep_working(
    shared: Arc<Shared>,
    known: Arc<Known>,
    mut asks: mpsc::Receiver<Ask>,
    mut stopping: watch::Receiver<bool>,
) {
    let key = known.key;
    while !*stopping.borrow() {
        let load = move |connection: &crate::storage::db::Connection| {
            let Some(progress) = store::progress(connection, key)? else { return Ok(None) };
            let open = store::pending(connection, key)?;
            let settled = store::settled_after(connection, key, progress.cursor)?;
            Ok(Some(Loaded { progress, open, settled }))
        };
        match shared.reader.query(load).await {
            Ok(Some(loaded)) => {
                let endpoint =
                    Endpoint::new(Arc::clone(&shared), Arc::clone(&known), asks, stopping.clone(), loaded);
                if AssertUnwindSafe(endpoint.run()).catch_unwind().await.is_ok() {
                    return;
                }
                tracing::error!(webhook.id = %known.id, "a webhook's endpoint has died, and is started again");
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(webhook.id = %known.id, %error, "a webhook cannot be read; trying again");
            }
        }
        shared.metrics.restarted("webhook");
        asks = known.listen();
        // An error means that the time is over.
        let _ = tokio::time::timeout(DOWN, stopping.wait_for(|stopping| *stopping)).await;
    }
}
