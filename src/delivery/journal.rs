//! How far a subscription has come, on its way to the disk: in batches, one at a time, and nothing waits for it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use switchroom_domain::time::{Millis, Timestamp};
use tokio::sync::oneshot;

use super::book::Book;
use super::{Feed, Shared};
use crate::storage::StorageError;
use crate::storage::deliveries::{Changes, Progress};

/// How often deliveries are written down. All subscriptions write at the same moments, and so in the same commits.
const WRITE: Millis = Millis(200);
/// How often it is written down how far was read, when there was nothing to deliver.
const WRITE_CURSOR: Millis = Millis(5000);
/// So long a write that failed is left alone.
const AGAIN: Millis = Millis(1000);
/// After so many rows at least, or this long, the delivery log is cut.
const PRUNE_ROWS: usize = 1000;
const PRUNE_AFTER: Millis = Millis::from_secs(3600);

/// What is written and what is to be; see the module.
pub(super) struct Journal {
    /// The write that is under way.
    pub(super) writing: Option<BoxFuture<'static, Result<(), StorageError>>>,
    /// What it writes; kept until it is on disk.
    changes: Option<Arc<Changes>>,
    written: Progress,
    due: Option<Timestamp>,
    /// Told once what is changed now is on disk.
    flushes: Vec<oneshot::Sender<()>>,
    flushing: Vec<oneshot::Sender<()>>,
    /// Since the delivery log was cut.
    rows: usize,
    pruned_at: Timestamp,
}

/// The next moment at which everyone writes who writes so often.
const fn next(every: Millis, now: Timestamp) -> Timestamp {
    Timestamp(now.0 - now.0.rem_euclid(every.0) + every.0)
}

impl Journal {
    /// Nothing has happened since this was written.
    pub(super) const fn new(written: Progress, now: Timestamp) -> Self {
        Self {
            writing: None,
            changes: None,
            written,
            due: None,
            flushes: Vec::new(),
            flushing: Vec::new(),
            // What the last process left is cut soon.
            rows: usize::MAX / 2,
            pruned_at: now,
        }
    }

    /// Writes at once, everything, and tells when that is on disk.
    pub(super) fn flush(&mut self, done: oneshot::Sender<()>) {
        self.flushes.push(done);
    }

    /// When the next write is due.
    pub(super) const fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Is there something to write now?
    pub(super) fn is_due(&mut self, book: &Book, progress: &Progress, now: Timestamp) -> bool {
        self.due = if self.writing.is_some() {
            None
        } else if self.changes.is_some() {
            // It failed; the time was set then.
            self.due
        } else if !self.flushes.is_empty() {
            Some(now)
        } else if book.unwritten() > 0 {
            let next = next(WRITE, now);
            Some(self.due.map_or(next, |at| at.min(next)))
        } else if *progress != self.written {
            self.due.or_else(|| Some(next(WRITE_CURSOR, now)))
        } else {
            None
        };
        self.due.is_some_and(|at| at <= now)
    }

    /// Begins to write: what has changed, or once more what could not be written.
    pub(super) fn write<F: Feed>(
        &mut self,
        shared: &Shared<F>,
        key: i64,
        book: &mut Book,
        progress: Progress,
        now: Timestamp,
    ) {
        self.due = None;
        let changes = match &self.changes {
            Some(changes) => Arc::clone(changes),
            None => {
                let limits = shared.limits();
                // Who asks for everything gets the youngest, too.
                let old = if self.flushes.is_empty() { now } else { now.plus(Millis::from_secs(3600)) };
                self.flushing.append(&mut self.flushes);
                let (cursor, deliveries) = book.changes(old);
                self.rows += deliveries.len();
                let enough = PRUNE_ROWS.max(limits.log_entries / 4);
                let prune = self.rows >= enough || now.since(self.pruned_at) > PRUNE_AFTER;
                let prune = prune.then(|| {
                    (self.rows, self.pruned_at) = (0, now);
                    (limits.log_entries, now.minus(Millis::from_secs(i64::from(limits.log_days) * 86_400)))
                });
                Arc::new(Changes { progress: Progress { cursor, ..progress }, deliveries, prune })
            }
        };
        self.changes = Some(Arc::clone(&changes));
        self.writing =
            Some(shared.store.write(move |transaction| F::TABLES.record(transaction, key, &changes)));
    }

    /// The write has ended.
    pub(super) fn wrote(&mut self, id: &str, result: Result<(), StorageError>) {
        self.writing = None;
        match result {
            Ok(()) => {
                if let Some(changes) = self.changes.take() {
                    self.written = changes.progress.clone();
                }
                for done in self.flushing.drain(..) {
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
            }
            Err(error) => {
                tracing::error!(id, %error, "it could not be written down how far a delivery has come");
                self.due = Some(crate::clock::now().plus(AGAIN));
            }
        }
    }
}
