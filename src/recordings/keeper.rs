//! What is fetched when: records that name a recording are found in the log of events, each recording is tried when its
//! time has come, and how it ended is told through its device's cell.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use futures_util::future::join_all;
use switchroom_actors::ingress::Arrived;
use switchroom_actors::ports::INTERNAL;
use switchroom_domain::Text;
use switchroom_domain::event::{Event, EventKind};
use switchroom_domain::fact::{Fact, RecordingSettled};
use switchroom_domain::id::DeviceId;
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_protocol::Dialect;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::fetch::{Limits, Source};
use super::name::{self, Form};
use super::take::{self, Failed, Take, Taken};
use super::wav;
use crate::app::Services;
use crate::devices::Device;
use crate::link::http::Address;
use crate::storage::hub::Tail;
use crate::storage::recordings::{self as table, Recording, RecordingState};
use crate::storage::{EventQuery, StorageError};

/// How many events are looked at in one go.
const PAGE: usize = 500;
/// After so many events without a recording it is kept how far the log was looked through.
const KEEP_REACH: u64 = 10_000;
/// Events are looked through this often at most: a recording is not fetched sooner than seconds after its record.
const PACE: Duration = Duration::from_millis(100);
/// How many ends are told at a time.
const TOLD: usize = 64;
/// How long the log may take to have such an event; then it is told again.
const TELL_WITHIN: Duration = Duration::from_secs(10);
/// When a recording could not be kept, because the disk is full or the bucket away: seconds to the next try.
const STORE_AGAIN: u32 = 30;
/// When the store cannot be used it is tried again after this time.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest sleep: clocks are set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// Who a device lets have its recordings, unless it was told otherwise (4.9).
const USER: &str = "user";

/// See the module.
pub(super) struct Keeper {
    services: Arc<Services>,
    /// The log of events was looked through up to here.
    reach: u64,
    /// The same, as it is kept.
    reach_kept: u64,
    /// Where each device's last recording was.
    places: HashMap<DeviceId, (usize, Form)>,
    jobs: JoinSet<(Recording, Result<Taken, Failed>)>,
    /// Devices that are fetched from now.
    busy: Vec<DeviceId>,
}

impl Keeper {
    pub(super) fn new(services: Arc<Services>) -> Self {
        let jobs = JoinSet::new();
        Self { services, reach: 0, reach_kept: 0, places: HashMap::new(), jobs, busy: Vec::new() }
    }

    /// Runs until the service stops.
    pub(super) async fn run(mut self) {
        let mut stopping = self.services.stopping.subscribe();
        tokio::select! {
            // An error means that the service has gone.
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = self.keep() => {}
        }
        // Downloads end here; what came of them is fetched on after the next start.
    }

    async fn keep(&mut self) {
        while let Err(error) = self.begin().await {
            tracing::error!(%error, "recordings are not fetched: the store cannot be used");
            tokio::time::sleep(AGAIN).await;
        }
        if !self.services.recordings.enabled {
            return;
        }
        let mut news = self.services.store.hub().watch();
        loop {
            news.mark_unchanged();
            let sleep = match self.look().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, "recordings wait: the store cannot be used");
                    AGAIN
                }
            };
            tokio::select! {
                // The hub lives as long as the services.
                _ = news.changed() => tokio::time::sleep(PACE).await,
                Some(done) = self.jobs.join_next() => self.ended(done).await,
                () = self.services.recordings.wake.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Goes on where the service ended. While recordings are off, none is announced: they begin anew when they are on.
    async fn begin(&mut self) -> Result<(), StorageError> {
        let (enabled, latest) = (self.services.recordings.enabled, self.services.store.hub().latest());
        let begin = move |connection: &mut crate::storage::db::Connection| {
            table::recover(connection)?;
            let reach = table::reach(connection)?.unwrap_or(latest);
            table::set_reach(connection, enabled.then_some(reach))?;
            Ok(reach)
        };
        self.reach = self.services.store.run(begin).await?.min(latest);
        self.reach_kept = self.reach;
        self.sweep().await
    }

    /// Throws away what came of recordings that were forgotten while they were fetched, or given up, before the service
    /// ended.
    async fn sweep(&self) -> Result<(), StorageError> {
        let parts = &self.services.recordings.parts;
        let begun = take::begun(parts)
            .map_err(|error| StorageError::File { path: parts.display().to_string(), error })?;
        for id in begun {
            let found = self.services.reader.query(move |connection| table::get(connection, id)).await?;
            if found.is_none_or(|recording| recording.state.is_settled()) {
                take::clear(parts, id);
            }
        }
        Ok(())
    }

    /// Does all that is to be done now; says how long there is nothing.
    async fn look(&mut self) -> Result<Duration, StorageError> {
        self.announce().await?;
        self.tell().await?;
        let now = crate::clock::now();
        let reader = &self.services.reader;
        let (pending, next) = reader.query(move |connection| table::pending(connection, now)).await?;
        self.services.metrics.recordings_pending.set(pending);
        if pending > 0 {
            self.start(now).await?;
        }
        let wait = next.map_or(LONGEST_SLEEP, |at| millis(at.since(now)));
        Ok(wait.min(LONGEST_SLEEP))
    }

    /// Looks through the log of events for records that name a recording.
    async fn announce(&mut self) -> Result<(), StorageError> {
        let hub = Arc::clone(self.services.store.hub());
        while self.reach < hub.latest() {
            // Everything up to here is committed, so that a query that begins now sees it.
            let latest = hub.latest();
            let (events, reach) = match hub.after(self.reach, PAGE) {
                Tail::Events(events) => {
                    let reach = events.last().map_or(latest, |last| last.cursor);
                    (events, reach)
                }
                Tail::TooOld => {
                    let query = EventQuery { after: self.reach, limit: PAGE, device: None };
                    let (events, reached) = self.services.reader.events(query).await?;
                    let last = events.last().map(|last| last.cursor);
                    (events, reached.or(last).unwrap_or(latest))
                }
            };
            let found: Vec<Recording> =
                events.iter().filter_map(|published| self.announced(&published.sealed.event)).collect();
            if !found.is_empty() || reach - self.reach_kept >= KEEP_REACH {
                let keep = move |transaction: &crate::storage::db::Transaction<'_>| {
                    for recording in &found {
                        table::announce(transaction, recording)?;
                    }
                    table::set_reach(transaction, Some(reach))
                };
                self.services.store.write(keep).await?;
                self.reach_kept = reach;
            }
            self.reach = reach;
        }
        Ok(())
    }

    /// The recording that an event announces, if it is one to be fetched.
    fn announced(&self, event: &Event) -> Option<Recording> {
        if event.kind != EventKind::CdrRecorded {
            return None;
        }
        let data = &event.data;
        let file = data.recording.clone().filter(|file| !file.is_empty())?;
        let device = self.services.registry.get(&event.device)?;
        if device.settings.dialect != Dialect::Om || !device.settings.fetch_recordings {
            return None;
        }
        let wait = Millis::from_secs(self.services.config.recordings.first_after_seconds.into());
        Some(Recording {
            call: data.call,
            direction: data.direction,
            from: data.from.clone(),
            to: data.to.clone(),
            trunk: data.trunk.clone(),
            duration: data.talk_seconds,
            next_try_at: Some(event.at.plus(wait)),
            ..Recording::new(data.cdr?, event.device.clone(), file, event.at)
        })
    }

    /// Starts what is due, as far as there is room.
    async fn start(&mut self, now: Timestamp) -> Result<(), StorageError> {
        let room = self.services.config.recordings.at_once.saturating_sub(self.jobs.len());
        if room == 0 {
            return Ok(());
        }
        let busy = self.busy.clone();
        let begun = self.services.store.run(move |connection| {
            let transaction = connection.transaction()?;
            let mut due = table::due(&transaction, now, &busy, room)?;
            for recording in &mut due {
                recording.state = RecordingState::Fetching;
                table::update(&transaction, recording)?;
            }
            transaction.commit()?;
            Ok(due)
        });
        for recording in begun.await? {
            self.busy.push(recording.device.clone());
            let take = self.take(&recording);
            let within = self.limits().whole;
            self.jobs.spawn(async move {
                let taken = match take {
                    Ok(take) => run(take, within).await,
                    Err(failed) => Err(failed),
                };
                (recording, taken)
            });
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        let config = &self.services.config;
        Limits {
            connect: Duration::from_secs(config.commands.connect_seconds.into()),
            whole: Duration::from_secs(config.recordings.timeout_seconds.into()),
            bytes: config.recordings.max_bytes,
        }
    }

    fn take(&self, recording: &Recording) -> Result<Take, Failed> {
        let device = self.services.registry.get(&recording.device);
        let device = device.ok_or_else(|| Failed::for_good("the device was removed"))?;
        let (source, folders, mp3) = source(&device)?;
        let retries = self.services.config.recordings.retry_after_seconds.len();
        Ok(Take {
            source,
            folders,
            mp3,
            first: self.places.get(&recording.device).copied(),
            is_last: recording.tries as usize >= retries,
            parts: self.services.recordings.parts.clone(),
            store: Arc::clone(&self.services.recordings.store),
            limits: self.limits(),
            recording: recording.clone(),
        })
    }

    /// Keeps what became of a try.
    async fn ended(&mut self, done: Result<(Recording, Result<Taken, Failed>), tokio::task::JoinError>) {
        // Panics are caught before, and nothing else ends a job.
        let Ok((mut recording, taken)) = done else { return };
        self.busy.retain(|device| *device != recording.device);
        let now = crate::clock::now();
        let ours = taken.as_ref().is_err_and(|failed| failed.ours);
        recording.tries += u32::from(!ours);
        match taken {
            Ok(taken) => {
                self.places.insert(recording.device.clone(), taken.place);
                self.services.metrics.recording_bytes.inc_by(taken.bytes);
                available(&mut recording, taken, now);
            }
            Err(failed) => {
                let waits = &self.services.config.recordings.retry_after_seconds;
                let wait = match (failed.ours, failed.for_good) {
                    // Nothing is lost while the disk is full or the bucket away.
                    (true, _) => Some(STORE_AGAIN),
                    (false, true) => None,
                    (false, false) => waits.get(recording.tries as usize - 1).copied(),
                };
                recording.next_try_at = wait.map(|wait| now.plus(Millis::from_secs(wait.into())));
                recording.error = Some(failed.why);
                recording.state = match wait {
                    Some(_) => RecordingState::Announced,
                    None => RecordingState::Missing,
                };
                if wait.is_none() {
                    take::clear(&self.services.recordings.parts, recording.id);
                }
            }
        }
        let (id, error) = (recording.id, recording.error.as_deref().unwrap_or_default());
        tracing::info!(recording = %id, device.id = %recording.device, state = recording.state.as_str(), error, "recording tried");
        while let Err(error) = self.put(&recording).await {
            tracing::error!(%error, recording = %id, "what became of a recording cannot be kept");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Keeps what became of a try; unless the recording was forgotten meanwhile, and then forgets what came of it.
    async fn put(&self, recording: &Recording) -> Result<(), StorageError> {
        let tried = recording.clone();
        if self.services.store.run(move |connection| table::fetched(connection, &tried)).await? {
            self.services.metrics.recording(match recording.state {
                RecordingState::Available => "available",
                RecordingState::Missing => "missing",
                RecordingState::Announced | RecordingState::Fetching => "failed",
            });
            return Ok(());
        }
        tracing::info!(recording = %recording.id, "it was forgotten while it was fetched, and what came is deleted");
        let (services, tried) = (Arc::clone(&self.services), recording.clone());
        let deleted = tokio::task::spawn_blocking(move || services.recordings.delete(&tried)).await;
        deleted.map_err(|_| StorageError::Corrupt("the service is stopping".into()))?
    }

    /// Tells how recordings ended: through their devices' cells, so that the event is in the log and in order.
    async fn tell(&self) -> Result<(), StorageError> {
        loop {
            let untold = self.services.reader.query(|connection| table::untold(connection, TOLD)).await?;
            let full = untold.len() == TOLD;
            let told = join_all(untold.iter().map(|recording| self.tell_cell(recording))).await;
            let all = told.iter().all(|told| *told);
            let told: Vec<_> = untold.iter().zip(told).filter(|(_, told)| *told).map(|(r, _)| r.id).collect();
            if !told.is_empty() {
                let keep = move |transaction: &crate::storage::db::Transaction<'_>| {
                    told.iter().try_for_each(|id| table::told(transaction, *id))
                };
                self.services.store.write(keep).await?;
            }
            if !full || !all {
                return Ok(());
            }
        }
    }

    /// True once the event is on disk, or there is nobody to tell it.
    async fn tell_cell(&self, recording: &Recording) -> bool {
        let Some(device) = self.services.registry.get(&recording.device) else { return true };
        let available = recording.state == RecordingState::Available;
        let facts = vec![Fact::RecordingSettled(Box::new(RecordingSettled {
            recording: recording.id,
            file: recording.file.clone(),
            call: recording.call,
            direction: recording.direction,
            from: recording.from.clone(),
            to: recording.to.clone(),
            trunk: recording.trunk.clone(),
            available,
            reason: recording.error.as_deref().map(Text::from),
        }))];
        let body = match serde_json::to_vec(&facts) {
            Ok(body) => body.into(),
            Err(error) => {
                tracing::error!(%error, "it cannot be written what became of a recording");
                return true;
            }
        };
        let (ack, on_disk) = oneshot::channel();
        let arrived = Arrived {
            device: Arc::clone(&device.handle),
            source: Text::const_new("recordings"),
            dialect: INTERNAL,
            name: Text::const_new("recording_settled"),
            content_type: None,
            body,
            facts,
            received: Instant::now(),
            ack: Some(ack),
        };
        // The word of the disk is what counts.
        drop(self.services.gate_of(&device.handle).pass(arrived));
        matches!(tokio::time::timeout(TELL_WITHIN, on_disk).await, Ok(Ok(())))
    }
}

/// One try; it may be several downloads.
async fn run(take: Take, within: Duration) -> Result<Taken, Failed> {
    let taken = AssertUnwindSafe(tokio::time::timeout(within, take.run())).catch_unwind().await;
    match taken {
        Ok(Ok(taken)) => taken,
        Ok(Err(_)) => Err(Failed::now("it took longer than recordings.timeout_seconds")),
        Err(_) => Err(Failed::now("a defect; the log says more")),
    }
}

fn millis(span: Millis) -> Duration {
    Duration::from_millis(u64::try_from(span.0).unwrap_or_default())
}

/// It is here.
fn available(recording: &mut Recording, taken: Taken, now: Timestamp) {
    let matches = |(seconds, duration): (f64, f64)| (seconds - duration).abs() <= wav::TOLERANCE;
    recording.state = RecordingState::Available;
    recording.next_try_at = None;
    recording.error = None;
    recording.content_type = Some(taken.content_type.to_owned());
    recording.size = taken.size;
    recording.sha256 = taken.sha256;
    recording.matches_duration = taken.seconds.zip(recording.duration).map(matches);
    recording.seconds = taken.seconds;
    recording.fetched_at = Some(now);
    recording.stored_as = taken.stored_as;
    recording.parts = taken.parts;
    if recording.matches_duration == Some(false) {
        tracing::warn!(recording = %recording.id, "a recording is not as long as its call");
    }
}

/// Where a device's recordings are, who may have them, and whether they may be MP3.
fn source(device: &Device) -> Result<(Source, Vec<String>, bool), Failed> {
    let settings = &device.settings;
    let own = settings.recording_address.as_deref();
    let address = own.or(settings.address.as_deref()).ok_or_else(|| {
        Failed::for_good("the device has neither `recording_address` nor `address`; set one with PATCH")
    })?;
    let address = Address::parse(address).map_err(Failed::for_good)?;
    let folders = name::folders(&address, own.is_some());
    let mp3 = name::is_recorder(&address, own.is_some());
    let user = settings.recording_user.as_deref().unwrap_or(USER);
    let password = device.secrets.recording_password.as_deref().unwrap_or(USER);
    let authorization = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    Ok((Source { address, tls: settings.tls.clone(), authorization }, folders, mp3))
}
