//! A subscription as the rest of the service knows it: what it wants, how it stands, what it can be asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use switchroom_domain::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::Feed;
use super::endpoint::Ask;
use crate::storage::StorageError;
use crate::storage::deliveries::{Counts, Delivery, Disabled, Replay};

/// Requests to one subscription that may wait for it.
const ASKS: usize = 64;

/// What a subscription wants, and its secrets.
#[derive(Debug)]
pub struct Wish<F: Feed> {
    /// As it is stored.
    pub settings: F::Settings,
    /// So that it is quickly told.
    pub selection: F::Selection,
    /// For the sender.
    pub secrets: F::Secrets,
}

impl<F: Feed> Wish<F> {
    pub(super) fn new(settings: F::Settings, secrets: F::Secrets) -> Arc<Self> {
        Arc::new(Self { selection: F::selection(&settings), settings, secrets })
    }
}

/// How a subscription stands.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Why and since when nothing is delivered; none: it is enabled.
    pub disabled: Option<Disabled>,
    /// Since when nothing has been taken.
    pub failing_since: Option<Timestamp>,
    /// How much is open.
    pub pending: usize,
    /// When the oldest of it happened.
    pub oldest: Option<Timestamp>,
    /// A range of the log is being delivered again.
    pub redelivering: bool,
    /// There is something in the log that was not looked at yet.
    pub unread: bool,
    /// What became of everything so far.
    pub counts: Counts,
}

impl Standing {
    /// How many seconds ago the oldest came that still waits. While nothing is delivered, what comes in is not read: then
    /// it counts from when that began.
    #[must_use]
    pub fn lag(&self, now: Timestamp) -> f64 {
        let unread = self.disabled.as_ref().filter(|_| self.unread).map(|disabled| disabled.at);
        let since = [self.oldest, unread].into_iter().flatten().min();
        since.map_or(0.0, |since| now.since(since).seconds().max(0.0))
    }
}

/// A subscription that is known.
#[derive(Debug)]
pub struct Known<F: Feed> {
    /// Its id.
    pub id: String,
    /// Its key in the store.
    pub key: i64,
    wish: RwLock<Arc<Wish<F>>>,
    standing: Mutex<Standing>,
    asks: Mutex<Option<mpsc::Sender<Ask>>>,
    /// Told when its task ends.
    pub(super) ended: Mutex<Option<oneshot::Receiver<()>>>,
    /// One test at a time.
    pub(crate) pinging: tokio::sync::Mutex<()>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<F: Feed> Known<F> {
    /// It is not at work yet.
    pub(super) fn new(
        key: i64,
        settings: F::Settings,
        secrets: F::Secrets,
        disabled: Option<Disabled>,
        ended: oneshot::Receiver<()>,
    ) -> Self {
        Self {
            id: F::id(&settings).to_owned(),
            key,
            wish: RwLock::new(Wish::new(settings, secrets)),
            standing: Mutex::new(Standing { disabled, ..Standing::default() }),
            asks: Mutex::new(None),
            ended: Mutex::new(Some(ended)),
            pinging: tokio::sync::Mutex::default(),
        }
    }

    /// Whoever works for it from now on gets what is asked here.
    pub(super) fn listen(&self) -> mpsc::Receiver<Ask> {
        let (sender, asks) = mpsc::channel(ASKS);
        *lock(&self.asks) = Some(sender);
        asks
    }

    /// Has it look at what was changed.
    pub(super) fn look(&self) {
        if let Some(asks) = &*lock(&self.asks) {
            // If it has so much to do, it looks anyway.
            let _ = asks.try_send(Ask::Look);
        }
    }

    /// It wants something else from now on.
    pub(super) fn put(&self, settings: F::Settings, secrets: F::Secrets) {
        *self.wish.write().unwrap_or_else(PoisonError::into_inner) = Wish::new(settings, secrets);
    }

    pub(crate) fn wish(&self) -> Arc<Wish<F>> {
        Arc::clone(&self.wish.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn show(&self, standing: Standing) {
        *lock(&self.standing) = standing;
    }

    /// What it wants, and where.
    #[must_use]
    pub fn settings(&self) -> F::Settings {
        self.wish().settings.clone()
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }

    /// Would it get this?
    #[must_use]
    pub fn wants(&self, item: &F::Item) -> bool {
        F::wants(&self.wish().selection, item)
    }

    pub(super) async fn ask(&self, ask: Ask) -> Result<(), StorageError> {
        let asks = lock(&self.asks).clone();
        let gone = || StorageError::Corrupt(format!("{} {} is not at work now", F::NAME, self.id));
        asks.ok_or_else(gone)?.send(ask).await.map_err(|_| gone())
    }

    async fn answer<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, StorageError> {
        let (done, answer) = oneshot::channel();
        self.ask(ask(done)).await?;
        answer.await.map_err(|_| StorageError::Corrupt(format!("{} {} stopped working", F::NAME, self.id)))
    }

    /// Has it forget what it has read: it was changed in the log.
    pub async fn forget(&self) {
        // One that is not at work holds nothing.
        let _ = self.ask(Ask::Forget).await;
    }

    /// Waits until all that happened is written down.
    ///
    /// # Errors
    /// When the endpoint is not at work.
    pub async fn flush(&self) -> Result<(), StorageError> {
        self.answer(Ask::Flush).await
    }

    /// Delivers nothing more, or again from where it stood.
    ///
    /// # Errors
    /// When the endpoint is not at work.
    pub async fn enable(&self, enabled: bool) -> Result<(), StorageError> {
        match enabled {
            true => self.answer(Ask::Enable).await,
            false => self.answer(|done| Ask::Disable("somebody disabled it".to_owned(), done)).await,
        }
    }

    /// Delivers something again.
    ///
    /// # Errors
    /// When the endpoint is not at work.
    pub async fn again(&self, delivery: Delivery) -> Result<(), StorageError> {
        self.answer(|done| Ask::Again(Box::new(delivery), done)).await
    }

    /// Delivers a range of the log again; false if another is under way.
    ///
    /// # Errors
    /// When the endpoint is not at work.
    pub async fn replay(&self, replay: Replay) -> Result<bool, StorageError> {
        self.answer(|done| Ask::Replay(replay, done)).await
    }
}
