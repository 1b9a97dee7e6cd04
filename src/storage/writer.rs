//! The writer: one thread that commits whatever has come since its last commit, in one transaction, and then
//! publishes it. The more comes in, the larger the batches: the cost of a commit is shared by all in it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use switchroom_actors::ports::{Entry, Full, LoadedCell, Record, Store, StoreError};
use switchroom_actors::supervision::Applying;
use switchroom_domain::id::DeviceId;
use tokio::sync::{Notify, oneshot};

use super::block::{self, Block};
use super::copier::Copier;
use super::db::{Connection, OptionalExtension, Transaction, params};
use super::location::Location;
use super::postgres::Use;
use super::tables::{self, Row};
use super::{Hub, Published, StorageError, reader, sqlite};
use crate::metrics::Metrics;

/// Records that may wait for a commit. At full speed a few seconds' worth; beyond it senders wait.
const CAPACITY: usize = 16_384;
/// Two commits are at least this far apart unless few or very many records come: it makes batches, and is far below what
/// a subscriber may notice.
const SPACING: Duration = Duration::from_micros(1000);
/// Below this rate (records a second) there is nothing to make batches of: whoever waits for the disk waits for nothing
/// else.
const LULL: f64 = 500.0;
/// At this rate (records a second) more is gained by larger batches than lost by a longer wait.
const CROWD: f64 = 10_000.0;
/// Over about this time the rate is measured.
const RATE_OVER: Duration = Duration::from_millis(300);
/// How far apart commits are then.
const CROWDED: Duration = Duration::from_micros(5000);
/// So many waiting records are committed without regard to the spacing.
const BATCH: usize = 512;
/// So many records make a block at most: what is read again at a time stays small.
const BLOCK: usize = 512;
/// And so many bytes, unless one record alone has more.
const BLOCK_BYTES: usize = 8 * 1024 * 1024;
/// So long calls and records wait for being written into their tables, unless there are many or they are asked for.
const SETTLE: Duration = Duration::from_millis(500);
/// So many rows are written into their tables with a commit: it takes little longer by that.
const SLICE: usize = 24;
/// So many rows are written without waiting longer.
const ROWS: usize = 8192;
/// After so many reports without anything for the tables it is noted how far they reach.
const FAR: i64 = 100_000;
/// So many at a time when somebody waits for all.
const SETTLE_AT_A_TIME: usize = 1024;
/// How often it is looked whether a server is there.
const LOOK: Duration = Duration::from_secs(2);
/// Once the service is stopping a commit that has failed for so long is given up.
const LAST_TRIES: Duration = Duration::from_secs(10);
/// A reader waits no longer than this for the tables to be brought up to date, and then reads what is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the writer is asked to do.
enum Job {
    Record(Box<Record>),
    /// Is part of the next commit.
    Write(Write),
    /// Runs on the writer's connection, in its order.
    Run(Box<dyn FnOnce(&mut Connection) + Send>),
}

/// Something small that is written with the next commit.
struct Write {
    /// May run more than once, if a commit fails.
    run: WriteOut,
    /// Told when it is on disk, or why it never will be.
    ack: oneshot::Sender<Result<(), StorageError>>,
}

type WriteOut = Box<dyn Fn(&Transaction<'_>) -> Result<(), StorageError> + Send>;

/// What one commit takes.
#[derive(Default)]
struct Batch {
    #[expect(clippy::vec_box, reason = "records come boxed through the queue; unboxing would copy them")]
    records: Vec<Box<Record>>,
    writes: Vec<Write>,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    /// Who waits for the tables to be brought up to date.
    settlers: Vec<oneshot::Sender<()>>,
    stopping: bool,
    /// The service is about to stop: a commit that fails is not tried again for ever.
    is_late: bool,
    /// The writer has ended: nothing is taken any more.
    closed: bool,
}

pub(super) struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    stopped: Condvar,
    room: Arc<Notify>,
    /// When the writer last finished a commit, and whether it failed: for readiness.
    health: Mutex<Health>,
    /// Rows that are published and not in their tables yet.
    unsettled: AtomicUsize,
    /// The write-ahead log is long, and most of it is copied: the writer does the rest.
    checkpoint: AtomicBool,
}

impl Shared {
    fn push(&self, job: Job) {
        let mut queue = lock(&self.queue);
        if queue.closed {
            // Dropping it tells whoever waits.
            return;
        }
        queue.jobs.push(job);
        drop(queue);
        self.filled.notify_one();
    }

    fn ask_settle(&self, done: oneshot::Sender<()>) {
        let mut queue = lock(&self.queue);
        // Who gave up waiting is no longer counted.
        queue.settlers.retain(|settler| !settler.is_closed());
        if !queue.closed {
            queue.settlers.push(done);
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Waits so long, or until the store stops; says whether it does.
    pub(super) fn stops_within(&self, time: Duration) -> bool {
        let queue = lock(&self.queue);
        let waited = self.stopped.wait_timeout_while(queue, time, |queue| !queue.stopping);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }

    /// Has the writer copy what is left of the write-ahead log after its next commit.
    pub(super) fn ask_checkpoint(&self) {
        self.checkpoint.store(true, Relaxed);
    }
}

/// However the writer ends, nobody waits for it any longer.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        queue.closed = true;
        let dropped = (std::mem::take(&mut queue.jobs), std::mem::take(&mut queue.settlers));
        let stopping = queue.stopping;
        drop(queue);
        drop(dropped);
        if !stopping {
            tracing::error!("the store's writer has ended; restart the service");
            lock(&self.0.health).error = Some("the writer has ended; restart the service".into());
        }
    }
}

/// How the writer does.
#[derive(Debug, Clone)]
pub struct Health {
    /// Since when it has been at work on one batch; none when it is idle.
    pub busy_since: Option<Instant>,
    /// The last error, until a commit succeeds.
    pub error: Option<String>,
}

/// The store, in an SQLite file or in PostgreSQL.
pub struct DatabaseStore {
    shared: Arc<Shared>,
    location: Location,
    hub: Arc<Hub>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DatabaseStore {
    /// Opens the database and starts the writer.
    ///
    /// # Errors
    /// When the database cannot be opened or migrated.
    pub fn start(location: &Location, metrics: Arc<Metrics>) -> Result<Arc<Self>, StorageError> {
        let mut connection = super::open_writer(location)?;
        tables::catch_up(&mut connection)?;
        let place = Place::find(&connection)?;
        let hub = Hub::new(u64::try_from(place.event).unwrap_or_default());
        hub.log(u64::try_from(place.report).unwrap_or_default());
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            stopped: Condvar::new(),
            room: Arc::new(Notify::new()),
            health: Mutex::new(Health { busy_since: None, error: None }),
            unsettled: AtomicUsize::new(0),
            checkpoint: AtomicBool::new(false),
        });
        let writer = Writer {
            connection,
            location: location.clone(),
            in_doubt: None,
            gave_up: false,
            one_by_one: false,
            looked_at: Instant::now(),
            place,
            rows: VecDeque::new(),
            rows_since: Instant::now(),
            reach: 0,
            rate: 0.0,
            hub: Arc::clone(&hub),
            shared: Arc::clone(&shared),
            metrics,
        };
        let mut threads = vec![spawn("store-writer", move || writer.run())?];
        if let Location::Sqlite(path) = location {
            let copier = Copier::new(path, Arc::clone(&shared))?;
            threads.push(spawn("store-copier", move || copier.run())?);
        }
        Ok(Arc::new(Self { shared, location: location.clone(), hub, threads: Mutex::new(threads) }))
    }

    /// Where committed events are published.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// A reader of its own.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub fn reader(&self) -> Result<reader::Reader, StorageError> {
        reader::Reader::new(&self.location, Some(self.settler()))
    }

    fn settler(&self) -> Settler {
        Settler(Arc::clone(&self.shared))
    }

    /// How many jobs wait for the writer.
    #[must_use]
    pub fn backlog(&self) -> usize {
        lock(&self.shared.queue).jobs.len()
    }

    /// How the writer does.
    #[must_use]
    pub fn health(&self) -> Health {
        lock(&self.shared.health).clone()
    }

    /// Runs something on the writer's connection, after all that was submitted before.
    ///
    /// # Errors
    /// When it fails, or the writer has stopped.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (done, result) = oneshot::channel();
        self.shared.push(Job::Run(Box::new(move |connection| {
            // Nobody may wait for the result any more.
            let _ = done.send(job(connection));
        })));
        result.await.map_err(|_| StorageError::Corrupt("the store is stopping".into()))?
    }

    /// Writes something with the next commit; completes when that is on disk.
    ///
    /// # Errors
    /// When the store is stopping.
    pub fn write(
        &self,
        run: impl Fn(&Transaction<'_>) -> Result<(), StorageError> + Send + 'static,
    ) -> BoxFuture<'static, Result<(), StorageError>> {
        let (ack, written) = oneshot::channel();
        self.shared.push(Job::Write(Write { run: Box::new(run), ack }));
        Box::pin(
            async move { written.await.map_err(|_| StorageError::Corrupt("the store is stopping".into()))? },
        )
    }

    /// The service is about to stop: what cannot be committed keeps it for a bounded time only.
    pub fn hurry(&self) {
        lock(&self.shared.queue).is_late = true;
    }

    /// Commits what waits, and stops.
    pub fn stop(&self) {
        lock(&self.shared.queue).stopping = true;
        self.shared.filled.notify_one();
        self.shared.stopped.notify_one();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store had died");
            }
        }
    }
}

/// Has the writer bring the tables up to date.
#[derive(Clone)]
pub struct Settler(Arc<Shared>);

impl Settler {
    /// Everything published before is in its table after this, unless the disk is very slow.
    pub async fn settle(&self) {
        if self.0.unsettled.load(Relaxed) == 0 {
            return;
        }
        let (done, settled) = oneshot::channel();
        self.0.ask_settle(done);
        // Too slow, or stopping: what is there is read.
        let _ = tokio::time::timeout(PATIENCE, settled).await;
    }
}

impl Store for DatabaseStore {
    fn submit(&self, record: Box<Record>) -> Result<(), Full> {
        let mut queue = lock(&self.shared.queue);
        if queue.closed || queue.jobs.len() >= CAPACITY {
            return Err(Full(record));
        }
        let was_empty = queue.jobs.is_empty();
        queue.jobs.push(Job::Record(record));
        drop(queue);
        if was_empty {
            self.shared.filled.notify_one();
        }
        Ok(())
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        let room = Arc::clone(&self.shared.room);
        Box::pin(async move {
            // Woken after each commit; the time-out covers a commit between the refusal and this call.
            let _ = tokio::time::timeout(Duration::from_millis(20), room.notified()).await;
        })
    }

    fn load(&self, device: DeviceId) -> BoxFuture<'static, Result<LoadedCell, StoreError>> {
        let (done, committed) = oneshot::channel();
        self.shared.push(Job::Run(Box::new(move |_| {
            // Nobody may wait for it any more.
            let _ = done.send(());
        })));
        let location = self.location.clone();
        Box::pin(async move {
            if committed.await.is_err() {
                return Err(StoreError("the store is stopping".into()));
            }
            // It may read for a while, and not on the writer's thread.
            let reader =
                reader::Reader::new(&location, None).map_err(|error| StoreError(error.to_string()))?;
            let loaded = reader.query(move |connection| reader::load_cell(connection, &device)).await;
            loaded.map_err(|error| StoreError(error.to_string()))
        })
    }

    fn quarantine(&self, device: &DeviceId, what: &Applying) {
        let (seed, name, body) = match what {
            Applying::Report(raw) => (raw.seed, raw.name.clone(), raw.body.to_vec()),
            Applying::Logged(seed) => (*seed, "logged".into(), Vec::new()),
        };
        let device = device.clone();
        self.shared.push(Job::Run(Box::new(move |connection| {
            let sql = "INSERT INTO quarantine (device, at, entropy, name, body) VALUES (?, ?, ?, ?, ?) \
                       ON CONFLICT DO NOTHING";
            let row = params![device.as_str(), seed.at.0, seed.entropy.cast_signed(), name.as_str(), body];
            if let Err(error) = connection.execute(sql, row) {
                tracing::error!(%error, "a report could not be set aside");
            }
        })));
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StorageError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(|error| StorageError::File { path: format!("the thread {name}"), error })
}

/// Where the next rows go.
#[derive(Debug)]
struct Place {
    report: i64,
    event: i64,
    devices: HashMap<DeviceId, i64>,
    /// Per device, the id before its first report since its last snapshot.
    dirty: HashMap<i64, i64>,
}

impl Place {
    fn find(connection: &Connection) -> Result<Self, StorageError> {
        let (report, event) = block::end(connection)?;
        let mut place = Self { report, event, devices: HashMap::new(), dirty: HashMap::new() };
        let mut statement = connection.prepare("SELECT id, key FROM device")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let id = DeviceId::new(id).map_err(|error| StorageError::Corrupt(error.to_string()))?;
            place.devices.insert(id, row.get(1)?);
        }
        // Devices with reports since their snapshot: all that are found between the floor and the end.
        place.dirty = reader::unwritten(connection)?;
        Ok(place)
    }

    /// Devices may have been added or removed: what was removed no longer keeps the log.
    fn devices_changed(&mut self, connection: &Connection) {
        self.devices.clear();
        match reader::removed(connection) {
            Ok(removed) => self.dirty.retain(|device, _| !removed.contains(device)),
            Err(error) => tracing::error!(%error, "it cannot be read which devices were removed"),
        }
    }
}

struct Writer {
    connection: Connection,
    location: Location,
    /// A commit of which it is not known whether it was done, and what follows if it was.
    in_doubt: Option<(String, Written)>,
    /// Something could not be committed before the end. What follows it would leave a hole where it was.
    gave_up: bool,
    /// A value could not be written with the last rows: each of them is written for itself.
    one_by_one: bool,
    /// When it was last looked whether the server is there.
    looked_at: Instant,
    place: Place,
    /// What is in the log and not in its table yet, each with the last report of its block, and since when.
    rows: VecDeque<(i64, Row)>,
    rows_since: Instant,
    /// The tables hold everything of the log up to this report, by what was noted last.
    reach: i64,
    /// Records a second, smoothed.
    rate: f64,
    hub: Arc<Hub>,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
}

/// What is so once a transaction is committed.
struct Written {
    /// Rows that go into their tables later.
    new: Vec<(i64, Row)>,
    /// So many of those that waited are in theirs.
    settled: usize,
    reach: i64,
    /// The log's end with it.
    end: (i64, i64),
}

/// What is to be done once a batch is committed.
#[derive(Default)]
struct AfterCommit {
    events: Vec<Published>,
    received: Vec<(&'static str, Instant)>,
    acks: Vec<oneshot::Sender<()>>,
    cdrs: Vec<switchroom_domain::Text>,
}

impl Writer {
    fn run(mut self) {
        let _closing = Closing(Arc::clone(&self.shared));
        let mut last_commit = Instant::now();
        loop {
            let Some((jobs, settlers)) = self.wait(last_commit) else { return self.settle_all() };
            self.shared.room.notify_waiters();
            lock(&self.shared.health).busy_since = Some(Instant::now());
            let mut batch = Batch { records: Vec::with_capacity(jobs.len()), writes: Vec::new() };
            for job in jobs {
                match job {
                    Job::Record(record) => batch.records.push(record),
                    Job::Write(write) => batch.writes.push(write),
                    Job::Run(run) => {
                        self.commit(std::mem::take(&mut batch), 0);
                        if let Err(error) = self.reach_server() {
                            // Whoever asked is told by what is asked of the lost connection.
                            self.unwell(&error);
                        }
                        run(&mut self.connection);
                        self.place.devices_changed(&self.connection);
                    }
                }
            }
            self.look_at_server();
            self.watch_rate(batch.records.len(), last_commit.elapsed());
            let due = self.rows.len() >= ROWS || self.rows_since.elapsed() >= SETTLE;
            self.commit(batch, if due { SLICE.max(self.rows.len() / 64) } else { 0 });
            if !settlers.is_empty() {
                self.settle_all();
            }
            for settler in settlers {
                // It may have given up.
                let _ = settler.send(());
            }
            if self.shared.checkpoint.swap(false, Relaxed)
                && let Connection::Sqlite(connection) = &self.connection
                && let Err(error) = sqlite::checkpoint(connection)
            {
                tracing::warn!(%error, "the write-ahead log could not be copied into the database");
            }
            last_commit = Instant::now();
            lock(&self.shared.health).busy_since = None;
        }
    }

    /// What is to be done next, which may be nothing but to settle rows; none when it is time to stop and nothing
    /// waits.
    fn wait(&self, last_commit: Instant) -> Option<(Vec<Job>, Vec<oneshot::Sender<()>>)> {
        let mut queue = lock(&self.shared.queue);
        while queue.jobs.is_empty() && queue.settlers.is_empty() {
            if queue.stopping {
                return None;
            }
            queue = if self.rows.is_empty() && self.connection.session().is_some() {
                let left = LOOK.saturating_sub(self.looked_at.elapsed());
                if left.is_zero() {
                    return Some((Vec::new(), Vec::new()));
                }
                self.shared.filled.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
            } else if self.rows.is_empty() {
                self.shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner)
            } else {
                let left = SETTLE.saturating_sub(self.rows_since.elapsed());
                if left.is_zero() {
                    return Some((Vec::new(), Vec::new()));
                }
                self.shared.filled.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
            };
        }
        let spacing = match self.rate {
            ..LULL => Duration::ZERO,
            LULL..CROWD => SPACING,
            _ => CROWDED,
        };
        let spacing = spacing.saturating_sub(last_commit.elapsed());
        if !spacing.is_zero() && queue.jobs.len() < BATCH && !queue.stopping {
            drop(queue);
            std::thread::sleep(spacing);
            queue = lock(&self.shared.queue);
        }
        Some((std::mem::take(&mut queue.jobs), std::mem::take(&mut queue.settlers)))
    }

    /// Looks now and then whether the server is there, also while there is nothing to write: readiness says so, and the
    /// lock that keeps others from writing is taken again.
    fn look_at_server(&mut self) {
        if self.connection.session().is_none() || self.looked_at.elapsed() < LOOK {
            return;
        }
        let there = self.reach_server().and_then(|()| match self.connection.session() {
            Some(session) => session.ping().map_err(|failure| super::db::Error::from(failure).into()),
            None => Ok(()),
        });
        self.looked_at = Instant::now();
        match there {
            Ok(()) => lock(&self.shared.health).error = None,
            Err(error) => self.unwell(&error),
        }
    }

    /// Says once that the database does not do its part.
    fn unwell(&self, error: &StorageError) {
        let text = error.to_string();
        let mut health = lock(&self.shared.health);
        if health.error.as_ref() != Some(&text) {
            tracing::error!(%error, "the store does not work; it is tried again");
        }
        health.error = Some(text);
    }

    /// Connects again if the connection was lost.
    fn reach_server(&mut self) -> Result<(), StorageError> {
        if let Location::Postgres(server) = &self.location
            && self.connection.is_lost()
        {
            self.connection = super::connect(server, Use::WriteAgain)?;
            tracing::info!("connected to the database again");
        }
        Ok(())
    }

    /// Records a second, smoothed: a burst is not a crowd.
    fn watch_rate(&mut self, records: usize, within: Duration) {
        let within = within.as_secs_f64().max(1e-6);
        let weight = 1.0 - (-within / RATE_OVER.as_secs_f64()).exp();
        self.rate += weight * (records as f64 / within - self.rate);
    }

    /// Writes all rows that wait into their tables.
    fn settle_all(&mut self) {
        while !self.rows.is_empty() {
            self.commit(Batch::default(), SETTLE_AT_A_TIME);
        }
    }

    /// Commits a batch, and with it so many of the rows that wait for their tables. Tries again until it succeeds,
    /// because what was accepted is not dropped, unless the service is stopping.
    fn commit(&mut self, mut batch: Batch, rows: usize) {
        if batch.records.is_empty() && batch.writes.is_empty() && (rows == 0 || self.rows.is_empty()) {
            return;
        }
        if self.gave_up {
            self.rows.clear();
            return;
        }
        let began = Instant::now();
        let mut wait = Duration::from_millis(10);
        let after = loop {
            match self.try_commit(&mut batch, rows) {
                Ok(after) => break after,
                Err(error) if error.is_of_value() && !self.one_by_one => self.one_by_one = true,
                Err(error) => {
                    let is_late = {
                        let queue = lock(&self.shared.queue);
                        queue.stopping || queue.is_late
                    };
                    if is_late && began.elapsed() > LAST_TRIES {
                        let records = batch.records.len();
                        tracing::error!(%error, records, "what came last could not be committed before the end");
                        self.rows.clear();
                        self.gave_up = true;
                        return;
                    }
                    tracing::error!(%error, "a commit failed; trying again");
                    lock(&self.shared.health).error = Some(error.to_string());
                    std::thread::sleep(wait);
                    wait = (wait * 2).min(Duration::from_secs(1));
                }
            }
        };
        let mut health = lock(&self.shared.health);
        if health.error.is_some() {
            health.error = None;
        }
        drop(health);
        self.one_by_one = false;
        self.metrics.store_commit_seconds.observe(began.elapsed().as_secs_f64());
        for published in &after.events {
            self.metrics.on_event(&published.sealed.event);
        }
        for kind in &after.cdrs {
            self.metrics.on_cdr(kind);
        }
        self.shared.unsettled.store(self.rows.len(), Relaxed);
        self.hub.publish(after.events);
        self.hub.log(u64::try_from(self.place.report).unwrap_or_default());
        let now = Instant::now();
        for (dialect, received) in after.received {
            self.metrics.published(dialect, now.duration_since(received));
        }
        for ack in after.acks {
            // The connection that waited may have gone.
            let _ = ack.send(());
        }
        for write in batch.writes {
            // As may whoever waited for this.
            let _ = write.ack.send(Ok(()));
        }
    }

    fn try_commit(&mut self, batch: &mut Batch, rows: usize) -> Result<AfterCommit, StorageError> {
        self.reach_server()?;
        let (report, event) = (self.place.report, self.place.event);
        if let Some((number, written)) = self.in_doubt.take() {
            let known = self.connection.session().map(|session| session.was_committed(&number));
            match known {
                Some(Ok(true)) => {
                    self.place.report = written.end.0;
                    self.place.event = written.end.1;
                    return Ok(self.committed(batch, written, event));
                }
                Some(Err(failure)) => {
                    self.in_doubt = Some((number, written));
                    return Err(super::db::Error::from(failure).into());
                }
                Some(Ok(false)) | None => {}
            }
        }
        let settled = self.rows.len().min(rows);
        let transaction = self.connection.transaction()?;
        let written = write_batch(&transaction, &mut self.place, &batch.records).and_then(|new| {
            write_out(&transaction, &mut batch.writes)?;
            // Up to where the tables will hold everything: not beyond the next row's block, nor this batch.
            let reach = self.rows.get(settled).map_or(report, |(next, _)| next - 1);
            // Even with nothing to write it is noted from time to time, or the next start would look through all of
            // the log.
            if settled > 0 || reach - self.reach > FAR {
                let rows = self.rows.iter().take(settled).map(|(_, row)| row);
                tables::put(&transaction, rows, reach, self.one_by_one)?;
                return Ok((new, reach));
            }
            Ok((new, self.reach))
        });
        let end = (self.place.report, self.place.event);
        let (written, done) = match written {
            Ok((new, reach)) => (Written { new, settled, reach, end }, transaction.commit()),
            Err(error) => {
                drop(transaction);
                self.not_committed(report, event);
                return Err(error);
            }
        };
        match done {
            Ok(()) => Ok(self.committed(batch, written, event)),
            Err(error) => {
                let number = self.connection.session().and_then(super::postgres::Session::in_doubt);
                self.in_doubt = number.map(|number| (number, written));
                self.not_committed(report, event);
                Err(error.into())
            }
        }
    }

    /// Goes on where it was before.
    fn not_committed(&mut self, report: i64, event: i64) {
        self.place.report = report;
        self.place.event = event;
        self.place.devices.clear();
    }

    /// The batch is on disk; its first event comes after this one.
    fn committed(&mut self, batch: &mut Batch, written: Written, event: i64) -> AfterCommit {
        self.reach = written.reach;
        self.rows.drain(..written.settled);
        if self.rows.is_empty() {
            self.rows_since = Instant::now();
        }
        self.rows.extend(written.new);
        after_commit(&mut batch.records, event)
    }
}

/// Writes what is small, each for itself: one that cannot be written at all is taken out and told so, and keeps nothing
/// else from the disk.
fn write_out(transaction: &Transaction<'_>, writes: &mut Vec<Write>) -> Result<(), StorageError> {
    let mut i = 0;
    while i < writes.len() {
        match transaction.part(|transaction| (writes[i].run)(transaction))? {
            Ok(()) => i += 1,
            Err(error) if error.may_pass() => return Err(error),
            Err(error) => {
                tracing::error!(%error, "something could not be written");
                // It may have given up.
                let _ = writes.remove(i).ack.send(Err(error));
            }
        }
    }
    Ok(())
}

/// Takes the batch apart for publishing; the cursors are those that were given while writing.
fn after_commit(batch: &mut [Box<Record>], first: i64) -> AfterCommit {
    let mut after = AfterCommit::default();
    let mut cursor = u64::try_from(first).unwrap_or_default();
    for record in batch {
        for sealed in std::mem::take(&mut record.events) {
            cursor += 1;
            after.events.push(Published { cursor, sealed });
        }
        if let Some(Entry::Report(raw)) = &record.entry {
            after.received.push((raw.dialect, record.received));
        }
        after.cdrs.extend(record.cdrs.iter().map(|stored| stored.cdr.kind.clone()));
        after.acks.extend(record.ack.take());
    }
    after
}

/// How many records from the front make a block.
fn block_end(records: &[Box<Record>]) -> usize {
    let mut bytes = 0;
    let fits = |record: &&Record| {
        let body = match &record.entry {
            Some(Entry::Report(raw)) => raw.body.len(),
            _ => 0,
        };
        bytes += body + record.events.iter().map(|sealed| sealed.envelope.len()).sum::<usize>();
        bytes <= BLOCK_BYTES
    };
    records.iter().map(Box::as_ref).take(BLOCK).take_while(fits).count().max(1)
}

/// Writes a batch; gives the rows that are to go into their tables.
fn write_batch(
    transaction: &Transaction<'_>,
    place: &mut Place,
    batch: &[Box<Record>],
) -> Result<Vec<(i64, Row)>, StorageError> {
    let mut rows = Vec::new();
    let mut floor_moved = false;
    let mut rest = batch;
    while !rest.is_empty() {
        let (part, beyond) = rest.split_at(block_end(rest));
        rest = beyond;
        let mut block = Block::default();
        for record in part {
            let device = device_key(transaction, place, &record.device)?;
            if let Some(entry) = &record.entry {
                place.dirty.entry(device).or_insert(place.report);
                place.report += 1;
                block.add(device, entry);
            }
            for sealed in &record.events {
                place.event += 1;
                block.announce(device, &sealed.event)?;
            }
            for stored in &record.cdrs {
                block.rows.push(Row::cdr(device, stored)?);
            }
            for call in &record.ended_calls {
                block.rows.push(Row::call(device, call)?);
            }
            for stored in &record.joined {
                block.rows.push(Row::cdr(device, stored)?);
            }
            for conversation in &record.conversations {
                block.rows.push(Row::conversation(device, conversation)?);
            }
            if let Some(body) = &record.snapshot {
                transaction
                    .prepare_cached(
                        "INSERT INTO snapshot (device, log_id, body) VALUES (?, ?, ?) ON CONFLICT (device) \
                         DO UPDATE SET log_id = excluded.log_id, body = excluded.body",
                    )?
                    .post(params![device, place.report, body])?;
                place.dirty.remove(&device);
                floor_moved = true;
            }
        }
        block.write(transaction, place.report, place.event)?;
        rows.extend(block.rows.into_iter().map(|row| (place.report, row)));
    }
    if floor_moved {
        let floor = place.dirty.values().copied().min().unwrap_or(place.report);
        transaction
            .prepare_cached(
                "INSERT INTO meta (key, value) VALUES ('replay_floor', ?) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?
            .post(params![floor.to_string()])?;
    }
    Ok(rows)
}

fn device_key(transaction: &Transaction<'_>, place: &mut Place, id: &DeviceId) -> Result<i64, StorageError> {
    if let Some(key) = place.devices.get(id) {
        return Ok(*key);
    }
    let known: Option<i64> = transaction
        .prepare_cached("SELECT key FROM device WHERE id = ?")?
        .query_row(params![id.as_str()], |row| row.get(0))
        .optional()?;
    let key = match known {
        Some(key) => key,
        None => {
            // Removed while its last reports were on their way: they are kept under its name.
            let sql = "INSERT INTO device (id, settings, created_at) VALUES (?, '{\"removed\":true}', ?) RETURNING key";
            transaction.query_row(sql, params![id.as_str(), crate::clock::now().0], |row| row.get(0))?
        }
    };
    place.devices.insert(id.clone(), key);
    Ok(key)
}
