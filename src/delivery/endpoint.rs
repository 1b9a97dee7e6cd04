//! One subscription at work: reads the log from its cursor on, delivers what is wanted, writes down how far it has come.
//!
//! Each has a task of its own, in which nothing waits for anything else: attempts, reading and writing go on side by
//! side. What is decided is decided by [`Book`] and [`Health`].

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use switchroom_domain::time::{Millis, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::book::Book;
use super::journal::Journal;
use super::known::{Known, Standing, Wish};
use super::schedule::{Advice, Health, Outcome};
use super::{Feed, Item, Limits, Page, Shared};
use crate::storage::StorageError;
use crate::storage::deliveries::{Attempt, Counts, Delivery, Disabled, Progress, Replay, State};

/// How much is looked at in one go.
const PAGE: usize = 500;
/// As long as the receiver is down.
const PAGE_WHEN_DOWN: usize = 16;
/// So much due is enough to keep the attempts going: then nothing more is read ahead.
const AHEAD: usize = 64;
/// So many items are held in memory until their first attempt; others are read again.
const ITEMS: usize = 512;
/// So long a read that failed is left alone.
const AGAIN: Millis = Millis(1000);
/// How long attempts may go on when the service stops.
const LAST_ATTEMPTS: Duration = Duration::from_secs(3);

/// What an endpoint is asked.
pub(super) enum Ask {
    /// Something was changed that it goes by.
    Look,
    /// Keep nothing of what was read: the log was changed.
    Forget,
    /// The receiver is another one: what failed before does not count.
    Anew,
    /// Write everything down; tell when it is on disk.
    Flush(oneshot::Sender<()>),
    /// Deliver nothing more, for this reason.
    Disable(String, oneshot::Sender<()>),
    /// Deliver again, from where it stood.
    Enable(oneshot::Sender<()>),
    /// Deliver this again.
    Again(Box<Delivery>, oneshot::Sender<()>),
    /// Deliver this range again; says whether that could be begun.
    Replay(Replay, oneshot::Sender<bool>),
    /// It was removed.
    Remove,
}

/// What was written down of a subscription.
pub(super) struct Loaded {
    pub(super) progress: Progress,
    pub(super) open: Vec<Delivery>,
    pub(super) settled: Vec<u64>,
}

/// An attempt that ended.
struct Ended {
    cursor: u64,
    what: What,
}

enum What {
    Attempted(Attempt, Outcome),
    /// It is no longer in the log.
    Lost,
    /// The store could not be read.
    Unread,
}

type Reading<T> = BoxFuture<'static, Result<Page<T>, StorageError>>;

/// An endpoint; see the module.
pub(super) struct Endpoint<F: Feed> {
    shared: Arc<Shared<F>>,
    known: Arc<Known<F>>,
    asks: mpsc::Receiver<Ask>,
    stopping: watch::Receiver<bool>,
    latest: watch::Receiver<u64>,
    book: Book,
    health: Health,
    disabled: Option<Disabled>,
    replay: Option<Replay>,
    counts: Counts,
    line: Arc<F::Line>,
    items: HashMap<u64, F::Item>,
    attempts: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// Of the log, and of what is to be delivered again.
    reading: Option<Reading<F::Item>>,
    replaying: Option<Reading<F::Item>>,
    journal: Journal,
    /// The log goes on after what was read.
    news: bool,
    /// It is not looked at before.
    look_at: Instant,
    read_at: Timestamp,
}

/// What a future comes to, or nothing for ever if there is none.
async fn maybe<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

impl<F: Feed> Endpoint<F> {
    /// A subscription as it was written down.
    pub(super) fn new(
        shared: Arc<Shared<F>>,
        known: Arc<Known<F>>,
        asks: mpsc::Receiver<Ask>,
        stopping: watch::Receiver<bool>,
        loaded: Loaded,
    ) -> Self {
        let now = crate::clock::now();
        let Loaded { progress, open, settled } = loaded;
        Self {
            latest: F::Item::watch(&shared.store),
            book: Book::restored(progress.cursor, open, settled, now),
            health: Health::restored(progress.failing_since),
            disabled: progress.disabled.clone(),
            replay: progress.replay,
            counts: progress.counts,
            line: Arc::default(),
            items: HashMap::new(),
            attempts: FuturesUnordered::new(),
            reading: None,
            replaying: None,
            journal: Journal::new(progress, now),
            news: true,
            look_at: Instant::now(),
            read_at: now,
            shared,
            known,
            asks,
            stopping,
        }
    }

    /// Works until the service stops or the subscription is removed.
    pub(super) async fn run(mut self) {
        let mut stopping = self.stopping.clone();
        loop {
            let now = crate::clock::now();
            self.start_attempts(now);
            self.read_ahead(now);
            self.write_down(now);
            self.show();
            let wake = self.wake(now);
            tokio::select! {
                Some(ended) = self.attempts.next(), if !self.attempts.is_empty() => self.ended(ended),
                page = maybe(&mut self.reading) => self.take_page(page),
                page = maybe(&mut self.replaying) => self.take_replay(page),
                result = maybe(&mut self.journal.writing) => self.journal.wrote(&self.known.id, result),
                changed = self.latest.changed(), if !self.news => match changed {
                    Ok(()) => self.news = true,
                    Err(_) => break,
                },
                ask = self.asks.recv() => match ask {
                    Some(Ask::Remove) | None => return,
                    Some(ask) => self.asked(ask),
                },
                () = tokio::time::sleep_until(wake) => {}
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
        }
        self.stop().await;
    }

    /// Lets attempts end that are under way, and writes everything down.
    async fn stop(mut self) {
        let deadline = Instant::now() + LAST_ATTEMPTS;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.attempts.next()).await {
            self.ended(ended);
        }
        if self.journal.writing.is_some() {
            let result = maybe(&mut self.journal.writing).await;
            self.journal.wrote(&self.known.id, result);
        }
        self.write(crate::clock::now());
        let result = maybe(&mut self.journal.writing).await;
        self.journal.wrote(&self.known.id, result);
    }

    fn enabled(&self) -> bool {
        self.disabled.is_none()
    }

    /// When to look again, at the latest.
    fn wake(&self, now: Timestamp) -> Instant {
        const LONGEST: Duration = Duration::from_secs(60);
        let mut at = self.journal.due();
        if self.enabled() {
            let paused = self.health.paused_until(now);
            let room = self.book.under_way() < self.at_a_time();
            let due =
                self.book.next_due().filter(|_| room).map(|due| paused.map_or(due, |paused| paused.max(due)));
            let read = (self.read_at > now).then_some(self.read_at);
            // While it is paused, nothing is read either.
            let unread = paused.filter(|_| self.news || self.replay.is_some());
            at = [at, due, read, unread].into_iter().flatten().min();
        }
        let later = |at: Timestamp| Duration::from_millis(u64::try_from(at.since(now).0).unwrap_or(0));
        let wake = Instant::now() + at.map_or(LONGEST, later).min(LONGEST);
        if self.news && self.look_at > Instant::now() { wake.min(self.look_at) } else { wake }
    }

    /// How many attempts there may be at a time.
    fn at_a_time(&self) -> usize {
        let most = F::at_a_time(&self.known.wish().settings, self.shared.limits().concurrency);
        self.health.at_a_time(most)
    }

    fn start_attempts(&mut self, now: Timestamp) {
        if !self.enabled() || self.health.paused_until(now).is_some() {
            return;
        }
        let limits = self.shared.limits();
        let most = self.at_a_time();
        while self.book.under_way() < most {
            let Some(delivery) = self.book.start(now) else { return };
            let (cursor, at, again) = (delivery.cursor, delivery.at, delivery.body.again);
            let failed = delivery.body.failed;
            let item = self.items.remove(&cursor);
            if !again && is_too_old(&limits, at, now) {
                F::count(&self.shared.metrics, "gap");
                self.counts.lost += 1;
                let note = "it was not taken before it was too old".to_owned();
                tracing::warn!(id = %self.known.id, cursor, "something was too old to be delivered to a {}", F::NAME);
                self.book.settle(cursor, State::Gap, None, Some(note));
                continue;
            }
            let (shared, wish, line) = (Arc::clone(&self.shared), self.known.wish(), Arc::clone(&self.line));
            self.attempts.push(Box::pin(attempt(shared, wish, line, cursor, item, failed, limits.timeout)));
        }
    }

    /// Reads on in the log as far as there is something to do with it.
    fn read_ahead(&mut self, now: Timestamp) {
        let limits = self.shared.limits();
        // Of what cannot be delivered anyway only a little is read: enough to notice when the receiver is back.
        let (ahead, page) = if self.health.is_down() { (1, PAGE_WHEN_DOWN) } else { (AHEAD, PAGE) };
        let full = |book: &Book| {
            book.open() >= limits.pending || book.has_due(ahead, now) || book.unwritten() >= limits.pending
        };
        if !self.enabled() || self.read_at > now || self.health.paused_until(now).is_some() {
            return;
        }
        if let Some(replay) = self.replay
            && self.replaying.is_none()
            && !full(&self.book)
        {
            self.replaying = Some(F::Item::page(self.shared.log(), replay.cursor, page));
        }
        if !self.news || Instant::now() < self.look_at {
            return;
        }
        self.latest.mark_unchanged();
        while self.reading.is_none() && !full(&self.book) {
            if self.book.read() >= *self.latest.borrow() {
                self.news = false;
                // A crowd need not look at every commit.
                self.look_at = Instant::now() + F::spacing(self.shared.count());
                return;
            }
            match F::Item::tail(&self.shared.store, self.book.read(), page) {
                Some(items) => {
                    let reached = items.last().map_or_else(|| self.book.read(), Item::cursor);
                    if !self.enter(items, reached, now) {
                        return;
                    }
                }
                None => {
                    self.reading = Some(F::Item::page(self.shared.log(), self.book.read(), page));
                }
            }
        }
    }

    /// Enters what is wanted; says whether there was anything to look at.
    fn enter(&mut self, items: Vec<F::Item>, reached: u64, now: Timestamp) -> bool {
        let (wish, limits) = (self.known.wish(), self.shared.limits());
        let before = self.book.read();
        let mut passed = Passed::default();
        for item in items {
            let cursor = item.cursor();
            if cursor <= self.book.read() || !F::wants(&wish.selection, &item) {
                continue;
            }
            if is_too_old(&limits, item.at(), now) {
                passed.add(cursor);
                continue;
            }
            self.pass_over(&mut passed, now);
            let is_new = self.book.enter(item.delivery(), now);
            if is_new && self.items.len() < ITEMS {
                self.items.insert(cursor, item);
            }
        }
        self.pass_over(&mut passed, now);
        self.book.read_up_to(reached);
        self.book.read() > before
    }

    /// Notes what waited so long in the log that it is too old.
    fn pass_over(&mut self, passed: &mut Passed, now: Timestamp) {
        let Passed { count, last } = std::mem::take(passed);
        if count == 0 {
            return;
        }
        F::count(&self.shared.metrics, "gap");
        self.counts.lost += count;
        tracing::warn!(id = %self.known.id, count, "what waited for a {} was too old to be delivered", F::NAME);
        let note = format!("{count} waited in the log until they were too old, up to cursor {last}");
        self.book.gap(Delivery::gap(last, now, note));
    }

    fn take_page(&mut self, page: Result<Page<F::Item>, StorageError>) {
        self.reading = None;
        let now = crate::clock::now();
        let Some(page) = self.read(page, now) else { return };
        let read = self.book.read();
        if page.oldest > read {
            let lost = page.oldest - read;
            let note = format!(
                "{lost} {} of all kinds left the log before they were read, after cursor {read} and up to {}",
                F::ITEMS,
                page.oldest
            );
            tracing::warn!(id = %self.known.id, lost, "something left the log before a {} had read it", F::NAME);
            F::count(&self.shared.metrics, "gap");
            self.counts.lost += lost;
            self.book.gap(Delivery::gap(page.oldest, now, note));
        }
        self.enter(page.items, page.reached, now);
    }

    fn read(&mut self, page: Result<Page<F::Item>, StorageError>, now: Timestamp) -> Option<Page<F::Item>> {
        page.inspect_err(|error| {
            tracing::error!(id = %self.known.id, %error, "the log could not be read for a {}", F::NAME);
            self.read_at = now.plus(AGAIN);
        })
        .ok()
    }

    fn take_replay(&mut self, page: Result<Page<F::Item>, StorageError>) {
        self.replaying = None;
        let now = crate::clock::now();
        let (Some(page), Some(mut replay)) = (self.read(page, now), self.replay) else { return };
        let wish = self.known.wish();
        // What was not read yet comes anyway.
        let end = replay.end.min(self.book.read());
        for item in &page.items {
            let cursor = item.cursor();
            let inside = (replay.since..=replay.until).contains(&item.at()) && cursor <= end;
            if inside && F::wants(&wish.selection, item) {
                self.book.again(item.delivery(), now);
                if self.items.len() < ITEMS {
                    self.items.insert(cursor, item.clone());
                }
            }
        }
        replay.cursor = page.reached.max(page.oldest);
        self.replay = (replay.cursor < end).then_some(replay);
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { cursor, what } = ended;
        self.items.remove(&cursor);
        let now = crate::clock::now();
        let (attempt, outcome) = match what {
            What::Attempted(attempt, outcome) => (attempt, outcome),
            What::Lost => {
                F::count(&self.shared.metrics, "gap");
                self.counts.lost += 1;
                tracing::warn!(id = %self.known.id, cursor, "something left the log before a {} took it", F::NAME);
                let note = "it left the log before it was delivered".to_owned();
                return self.book.settle(cursor, State::Gap, None, Some(note));
            }
            What::Unread => {
                self.book.failed(cursor, None);
                return self.book.retry(cursor, now.plus(AGAIN));
            }
        };
        let limits = self.shared.limits();
        let metrics = &self.shared.metrics;
        F::took(metrics, attempt.duration_ms as f64 / 1000.0);
        let status = attempt.status;
        let why = status.map_or_else(
            || attempt.error.clone().unwrap_or_default(),
            |status| format!("the receiver answered {status}"),
        );
        let mut last = false;
        match &outcome {
            Outcome::Taken => {
                if let Some(at) = self.book.happened(cursor) {
                    F::arrived(metrics, now.since(at));
                }
                F::count(metrics, "delivered");
                self.counts.delivered += 1;
                self.book.settle(cursor, State::Delivered, Some(attempt), None);
            }
            Outcome::Kept { note, .. } => {
                F::count(metrics, "kept");
                self.counts.kept += 1;
                self.book.settle(cursor, State::Kept, Some(attempt), Some(note.clone()));
            }
            Outcome::Gone => {
                F::count(metrics, "retried");
                self.book.failed(cursor, Some(attempt));
                self.book.retry(cursor, now);
            }
            Outcome::Failed { .. } => {
                let failed = self.book.failed(cursor, Some(attempt));
                match F::delay(&limits.schedule, failed, &outcome, status, crate::random::number()) {
                    Some(delay) => {
                        F::count(metrics, "retried");
                        self.book.retry(cursor, now.plus(delay));
                    }
                    None => {
                        last = true;
                        F::count(metrics, "failed");
                        self.counts.failed += 1;
                        tracing::warn!(id = %self.known.id, cursor, "a delivery to a {} was given up: {why}", F::NAME);
                        self.book.settle(cursor, State::Failed, None, None);
                    }
                }
            }
        }
        if !F::PAUSES {
            return self.health.note_only(&outcome, now);
        }
        match self.health.note(&outcome, last, &limits.schedule, now) {
            Advice::GoOn => {}
            Advice::Back => self.book.forward(false, now),
            Advice::Disable if F::DISABLES && self.enabled() => {
                let reason = match outcome {
                    Outcome::Gone => "the receiver answered 410: it wants nothing any more".to_owned(),
                    _ => format!(
                        "nothing was taken for longer than the whole retry schedule; the last time: {why}"
                    ),
                };
                F::count(metrics, "disabled");
                tracing::error!(id = %self.known.id, "a {} was disabled: {reason}", F::NAME);
                self.disabled = Some(Disabled { reason, at: now });
            }
            Advice::Disable => {}
        }
    }

    fn asked(&mut self, ask: Ask) {
        let now = crate::clock::now();
        match ask {
            Ask::Look | Ask::Remove => {}
            Ask::Forget => self.items.clear(),
            Ask::Flush(done) => self.journal.flush(done),
            Ask::Disable(reason, done) => {
                self.disabled.get_or_insert(Disabled { reason, at: now });
                self.journal.flush(done);
            }
            Ask::Anew => self.begin_anew(now),
            Ask::Enable(done) => {
                self.disabled = None;
                self.begin_anew(now);
                self.journal.flush(done);
            }
            Ask::Again(delivery, done) => {
                self.book.again(*delivery, now);
                self.journal.flush(done);
            }
            Ask::Replay(replay, done) => {
                let free = self.replay.is_none();
                if free {
                    self.replay = Some(replay);
                }
                // Whoever asked may have gone.
                let _ = done.send(free);
            }
        }
    }

    /// Whatever waits is tried at once, as if nothing had failed.
    fn begin_anew(&mut self, now: Timestamp) {
        self.health = Health::default();
        self.book.forward(true, now);
    }

    fn progress(&self, cursor: u64) -> Progress {
        Progress {
            cursor,
            failing_since: self.health.failing_since,
            disabled: self.disabled.clone(),
            replay: self.replay,
            counts: self.counts,
        }
    }

    /// Writes down what is due.
    fn write_down(&mut self, now: Timestamp) {
        let progress = self.progress(self.book.read());
        if self.journal.is_due(&self.book, &progress, now) {
            self.write(now);
        }
    }

    fn write(&mut self, now: Timestamp) {
        let progress = self.progress(0);
        let Self { journal, book, shared, known, .. } = self;
        journal.write(shared, known.key, book, progress, now);
    }

    /// Shows how it stands to whoever asks.
    fn show(&self) {
        self.known.show(Standing {
            disabled: self.disabled.clone(),
            failing_since: self.health.failing_since,
            pending: self.book.open(),
            oldest: self.book.oldest(),
            redelivering: self.replay.is_some(),
            unread: self.book.read() < *self.latest.borrow(),
            counts: self.counts,
        });
    }
}

/// What of a page is too old.
#[derive(Default)]
struct Passed {
    count: u64,
    last: u64,
}

impl Passed {
    const fn add(&mut self, cursor: u64) {
        self.count += 1;
        self.last = cursor;
    }
}

fn is_too_old(limits: &Limits, at: Timestamp, now: Timestamp) -> bool {
    limits.max_age.is_some_and(|age| now.since(at) > age)
}

async fn attempt<F: Feed>(
    shared: Arc<Shared<F>>,
    wish: Arc<Wish<F>>,
    line: Arc<F::Line>,
    cursor: u64,
    item: Option<F::Item>,
    failed: u32,
    timeout: Duration,
) -> Ended {
    let found = match item {
        Some(item) => Ok(Some(item)),
        None => F::Item::find(shared.log(), cursor).await,
    };
    let what = match found {
        Ok(Some(item)) => {
            let (attempt, outcome) = F::send(shared, wish, line, item, failed, timeout).await;
            What::Attempted(attempt, outcome)
        }
        Ok(None) => What::Lost,
        Err(error) => {
            tracing::error!(id = F::id(&wish.settings), %error, "the log could not be read for a {}", F::NAME);
            What::Unread
        }
    };
    Ended { cursor, what }
}
