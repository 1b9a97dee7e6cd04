//! Deliveries from the log to places that users choose: in order, again and again until they are taken.
//!
//! What is delivered and how it is written is for a [`Feed`] to say: events to webhooks ([`crate::webhooks`]), the devices'
//! own reports to targets ([`crate::targets`]). What they have in common is here. Each subscription is a cursor over the
//! one log, with a task of its own ([`endpoint`]); those of a feed are on one thread that nothing else waits for. What is
//! open, and in which order it goes out, is kept by [`book`]; when it is tried again, and how a receiver fares, is said by
//! [`schedule`]; [`journal`] writes down how far it has come. [`known`] is what the rest of the service sees.

pub mod book;
#[cfg(test)]
mod book_tests;
mod endpoint;
mod journal;
mod known;
pub mod schedule;

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use actix_rt::Arbiter;
use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use switchroom_actors::ports::Observer;
use switchroom_domain::time::{Millis, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::Span;
use crate::metrics::Metrics;
use crate::outward::Outward;
use crate::storage::deliveries::{Attempt, Delivery, Progress, Replay, Tables};
use crate::storage::secrets::SecretKey;
use crate::storage::{DatabaseStore, Reader, StorageError};
use endpoint::{Ask, Endpoint, Loaded};
use known::lock;
pub use known::{Known, Standing, Wish};
use schedule::Outcome;

/// How many subscriptions of one feed there may be.
pub const MOST: usize = 1000;
/// How long an endpoint that died stays down.
const DOWN: Duration = Duration::from_secs(1);
/// How long endpoints may take to stop.
const STOP: Duration = Duration::from_secs(10);

/// What of the log is delivered.
pub trait Item: Clone + Sized + Send + 'static {
    /// Its place in the log.
    fn cursor(&self) -> u64;
    /// When it happened.
    fn at(&self) -> Timestamp;
    /// It as a delivery that has not been tried.
    fn delivery(&self) -> Delivery;

    /// Tells how far the log goes.
    fn watch(store: &DatabaseStore) -> watch::Receiver<u64>;
    /// What comes after a cursor, as far as memory has it; none: read the store.
    fn tail(_store: &DatabaseStore, _after: u64, _limit: usize) -> Option<Vec<Self>> {
        None
    }
    /// Up to so much after a cursor, from the store.
    fn page(log: Log, after: u64, limit: usize) -> BoxFuture<'static, Result<Page<Self>, StorageError>>;
    /// What is at this cursor, if it is still there.
    fn find(log: Log, cursor: u64) -> BoxFuture<'static, Result<Option<Self>, StorageError>>;
    /// A cursor that lies before everything of this time.
    fn before(log: Log, at: Timestamp) -> BoxFuture<'static, Result<u64, StorageError>>;
}

/// Where the log is read.
#[derive(Clone)]
pub struct Log {
    /// Its end, and what of it is in memory.
    pub(crate) store: Arc<DatabaseStore>,
    /// The rest.
    pub(crate) reader: Reader,
}

/// A part of the log that was read from the store.
#[derive(Debug)]
pub struct Page<T> {
    /// What is up to here is no longer there.
    pub oldest: u64,
    /// What was found, in order.
    pub items: Vec<T>,
    /// How far was looked.
    pub reached: u64,
}

/// Bounds on deliveries, as the configuration says.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long after each failed attempt the next one is made.
    pub schedule: Vec<Span>,
    /// For one attempt.
    pub timeout: Duration,
    /// Attempts at a time to one subscription.
    pub concurrency: usize,
    /// How much one subscription may have open.
    pub pending: usize,
    /// Deliveries that the delivery log of one subscription keeps, and for how many days.
    pub log_entries: usize,
    /// See there.
    pub log_days: u32,
    /// What is older is not delivered any more; none: nothing is too old.
    pub max_age: Option<Millis>,
}

/// One kind of subscription: what is delivered to it, and how.
pub trait Feed: Sized + Send + Sync + 'static {
    /// What a subscription wants, as it is stored.
    type Settings: Clone + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Its secrets, as they are encrypted.
    type Secrets: Clone + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What it wants, so that it is quickly told.
    type Selection: std::fmt::Debug + Send + Sync + 'static;
    /// What of the log is delivered.
    type Item: Item;
    /// What a subscription at work keeps between attempts.
    type Line: Default + Send + Sync + 'static;

    /// Its name in messages, and of the actor in `switchroom_actor_restarts_total`.
    const NAME: &'static str;
    /// What is delivered, in messages.
    const ITEMS: &'static str;
    /// Where it is stored.
    const TABLES: Tables;

    /// A subscription's id.
    fn id(settings: &Self::Settings) -> &str;
    /// Where it is delivered to.
    fn url(settings: &Self::Settings) -> &str;
    /// What it wants.
    fn selection(settings: &Self::Settings) -> Self::Selection;
    /// Is it wanted?
    fn wants(selection: &Self::Selection, item: &Self::Item) -> bool;
    /// How many attempts there may be at a time, of as many as the configuration says.
    fn at_a_time(_settings: &Self::Settings, most: usize) -> usize {
        most
    }

    /// How long to wait before looking again for what is new, with so many subscriptions.
    fn spacing(count: usize) -> Duration {
        Duration::from_millis(u64::try_from(count / 20).unwrap_or(u64::MAX).clamp(1, 50))
    }

    /// One attempt, after so many that have failed.
    fn send(
        shared: Arc<Shared<Self>>,
        wish: Arc<Wish<Self>>,
        line: Arc<Self::Line>,
        item: Self::Item,
        failed: u32,
        timeout: Duration,
    ) -> impl Future<Output = (Attempt, Outcome)> + Send;

    /// How long after the `failed`-th failed attempt, which was answered with this status, the next one is made; none: it
    /// is given up.
    fn delay(
        schedule: &[Span],
        failed: u32,
        outcome: &Outcome,
        _status: Option<u16>,
        chance: u64,
    ) -> Option<Millis> {
        let retry_after = match outcome {
            Outcome::Failed { retry_after, .. } => *retry_after,
            _ => None,
        };
        schedule::delay(schedule, failed, retry_after, chance)
    }
    /// Is a subscription disabled because of how its receiver fares?
    const DISABLES: bool;
    /// Is a receiver that is down or overloaded left alone for a while?
    const PAUSES: bool = true;

    /// Counts what became of an attempt: `delivered`, `retried`, `failed`, `gap`, `disabled`.
    fn count(metrics: &Metrics, outcome: &'static str);
    /// Takes note of how long an attempt took.
    fn took(metrics: &Metrics, seconds: f64);
    /// One was taken this long after it happened.
    fn arrived(_metrics: &Metrics, _after: Millis) {}
    /// A subscription was removed.
    fn forget(metrics: &Metrics, id: &str);
}

/// What every endpoint of a feed shares.
pub struct Shared<F: Feed> {
    pub(crate) store: Arc<DatabaseStore>,
    pub(crate) reader: Reader,
    pub(crate) outward: Arc<Outward>,
    pub(crate) metrics: Arc<Metrics>,
    limits: RwLock<Arc<Limits>>,
    count: AtomicUsize,
    feed: std::marker::PhantomData<F>,
}

impl<F: Feed> Shared<F> {
    pub(crate) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where its log is read.
    pub(crate) fn log(&self) -> Log {
        Log { store: Arc::clone(&self.store), reader: self.reader.clone() }
    }

    fn count(&self) -> usize {
        self.count.load(Relaxed)
    }
}

/// All subscriptions of a feed; see the module.
pub struct Deliveries<F: Feed> {
    pub(crate) shared: Arc<Shared<F>>,
    secret_key: Arc<SecretKey>,
    known: RwLock<BTreeMap<String, Arc<Known<F>>>>,
    /// Held while subscriptions are changed.
    changing: tokio::sync::Mutex<()>,
    stopping: watch::Sender<bool>,
    arbiter: Mutex<Option<Arbiter>>,
    pub(crate) handle: actix_rt::ArbiterHandle,
}

/// With this a subscription's secrets are tied to it.
fn tie<F: Feed>(id: &str) -> String {
    format!("{}:{id}", F::TABLES.name)
}

impl<F: Feed> Deliveries<F> {
    /// None are at work yet.
    #[must_use]
    pub fn new(
        store: Arc<DatabaseStore>,
        reader: Reader,
        outward: Arc<Outward>,
        secret_key: Arc<SecretKey>,
        metrics: Arc<Metrics>,
        limits: Limits,
    ) -> Self {
        let arbiter = Arbiter::new();
        Self {
            shared: Arc::new(Shared {
                store,
                reader,
                outward,
                metrics,
                limits: RwLock::new(Arc::new(limits)),
                count: AtomicUsize::new(0),
                feed: std::marker::PhantomData,
            }),
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
        for stored in self.shared.reader.query(|connection| F::TABLES.all::<F::Settings>(connection)).await? {
            let plain = self.secret_key.open_sealed(&tie::<F>(F::id(&stored.settings)), &stored.sealed)?;
            let secrets = serde_json::from_slice(&plain)
                .with_context(|| format!("the secrets of a {} cannot be read", F::NAME))?;
            self.attend_to(stored.key, stored.settings, secrets, &stored.progress);
        }
        Ok(())
    }

    /// Applies a changed configuration.
    pub fn configure(&self, limits: impl Into<Limits>) {
        *self.shared.limits.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits.into());
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
                tracing::warn!(id = %known.id, "a {} did not stop in time", F::NAME);
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
    pub fn all(&self) -> Vec<Arc<Known<F>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The one of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Known<F>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The way out.
    #[must_use]
    pub fn outward(&self) -> &Outward {
        &self.shared.outward
    }

    fn attend_to(
        &self,
        key: i64,
        settings: F::Settings,
        secrets: F::Secrets,
        progress: &Progress,
    ) -> Arc<Known<F>> {
        let (ended, end) = oneshot::channel();
        let known = Arc::new(Known::new(key, settings, secrets, progress.disabled.clone(), end));
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

    /// Adds a subscription, which gets what happens from now on. None if there are too many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn add(
        &self,
        settings: F::Settings,
        secrets: F::Secrets,
    ) -> Result<Option<Arc<Known<F>>>, StorageError> {
        let _changing = self.changing.lock().await;
        if self.shared.count.load(Relaxed) >= MOST {
            return Ok(None);
        }
        let sealed = self.seal(F::id(&settings), &secrets)?;
        let cursor = *F::Item::watch(&self.shared.store).borrow();
        let progress = Progress { cursor, ..Progress::default() };
        let (row, at) = (settings.clone(), progress.clone());
        let add = move |connection: &mut crate::storage::db::Connection| {
            F::TABLES.add(connection, F::id(&row), &row, &sealed, &at)
        };
        let key = self.shared.store.run(add).await?;
        Ok(Some(self.attend_to(key, settings, secrets, &progress)))
    }

    fn seal(&self, id: &str, secrets: &F::Secrets) -> Result<Vec<u8>, StorageError> {
        let plain = serde_json::to_vec(secrets).map_err(|error| StorageError::Corrupt(error.to_string()))?;
        self.secret_key.seal(&tie::<F>(id), &plain)
    }

    /// Changes what a subscription wants, from the next on that it reads.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn change(
        &self,
        known: &Known<F>,
        change: impl FnOnce(&mut F::Settings) + Send,
    ) -> Result<(), StorageError> {
        let _changing = self.changing.lock().await;
        let wish = known.wish();
        let mut settings = wish.settings.clone();
        change(&mut settings);
        let (key, row) = (known.key, settings.clone());
        self.shared.store.run(move |connection| F::TABLES.change(connection, key, &row)).await?;
        let moved = F::url(&settings) != F::url(&wish.settings);
        known.put(settings, wish.secrets.clone());
        if moved {
            // One that is not at work begins anew by itself.
            let _ = known.ask(Ask::Anew).await;
        }
        Ok(())
    }

    /// Changes a subscription's secrets.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn change_secrets(
        &self,
        known: &Known<F>,
        change: impl FnOnce(F::Secrets) -> F::Secrets + Send,
    ) -> Result<F::Secrets, StorageError> {
        let _changing = self.changing.lock().await;
        let wish = known.wish();
        let secrets = change(wish.secrets.clone());
        let (key, sealed) = (known.key, self.seal(&known.id, &secrets)?);
        self.shared.store.run(move |connection| F::TABLES.put_secrets(connection, key, &sealed)).await?;
        known.put(wish.settings.clone(), secrets.clone());
        Ok(secrets)
    }

    /// Removes a subscription with its delivery log; false if it was gone already.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn remove(&self, known: &Known<F>) -> Result<bool, StorageError> {
        let _changing = self.changing.lock().await;
        let key = known.key;
        self.shared.store.run(move |connection| F::TABLES.remove(connection, key)).await?;
        let removed = {
            let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let removed = all.remove(&known.id).is_some();
            self.shared.count.store(all.len(), Relaxed);
            removed
        };
        // It is not at work if this fails.
        let _ = known.ask(Ask::Remove).await;
        F::forget(&self.shared.metrics, &known.id);
        Ok(removed)
    }

    /// What is written down of the delivery at this cursor.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn delivery(&self, known: &Known<F>, cursor: u64) -> Result<Option<Delivery>, StorageError> {
        let key = known.key;
        self.shared.reader.query(move |connection| F::TABLES.at(connection, key, cursor)).await
    }

    /// A range of the log by time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn range(&self, since: Timestamp, until: Timestamp) -> Result<Replay, StorageError> {
        let end = *F::Item::watch(&self.shared.store).borrow();
        Ok(Replay { cursor: F::Item::before(self.shared.log(), since).await?, end, since, until })
    }
}

/// Has an endpoint work until the service stops or it is removed; one that dies begins anew from what was written down.
async fn keep_working<F: Feed>(
    shared: Arc<Shared<F>>,
    known: Arc<Known<F>>,
    mut asks: mpsc::Receiver<Ask>,
    mut stopping: watch::Receiver<bool>,
) {
    let key = known.key;
    while !*stopping.borrow() {
        let load = move |connection: &crate::storage::db::Connection| {
            let Some(progress) = F::TABLES.progress(connection, key)? else { return Ok(None) };
            let open = F::TABLES.pending(connection, key)?;
            let settled = F::TABLES.settled_after(connection, key, progress.cursor)?;
            Ok(Some(Loaded { progress, open, settled }))
        };
        match shared.reader.query(load).await {
            Ok(Some(loaded)) => {
                let endpoint =
                    Endpoint::new(Arc::clone(&shared), Arc::clone(&known), asks, stopping.clone(), loaded);
                if AssertUnwindSafe(endpoint.run()).catch_unwind().await.is_ok() {
                    return;
                }
                tracing::error!(id = %known.id, "the endpoint of a {} has died, and is started again", F::NAME);
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(id = %known.id, %error, "a {} cannot be read; trying again", F::NAME);
            }
        }
        shared.metrics.restarted(F::NAME);
        asks = known.listen();
        // An error means that the time is over.
        let _ = tokio::time::timeout(DOWN, stopping.wait_for(|stopping| *stopping)).await;
    }
}
