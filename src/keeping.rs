//! Forgetting, beside everything else: what is older than it is to be kept goes, and numbers are erased.
//!
//! Both go through the store a little at a time and let the writer commit what comes in between. What was begun is
//! gone on with after a restart.

use std::sync::Arc;
use std::time::Duration;

use switchroom_domain::time::Timestamp;
use tokio::sync::Notify;

use crate::app::Services;
use crate::storage::db::{Connection, Value};
use crate::storage::keeping::{self as store, Erased, Erasure, ErasureState, Table};
use crate::storage::recordings::{self as recordings, Recording, RecordingState};
use crate::storage::{StorageError, audit, block, forwarding, records, statistics};

/// How often it is looked for what is too old.
const LOOK: Duration = Duration::from_secs(600);
/// So much is removed at a time.
const SLICE: usize = 200;
/// And so long others have the store to themselves between.
const PAUSE: Duration = Duration::from_millis(20);
/// So many rows or blocks are looked through at a time.
const PAGE: usize = 500;
/// Blocks are larger than rows.
const BLOCKS: usize = 64;
/// What records are found by is smaller.
const ENTRIES: usize = 5000;
/// So often a recording is forgotten anew, because it changed meanwhile.
const TRIES: usize = 10;
/// After an erasure could not go on, it is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// So often at most the store is looked through for one number, because it was reported anew meanwhile.
const PASSES: usize = 5;
/// So many erasures are kept and listed.
pub const ERASURES: usize = 1000;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// What wakes the erasing.
#[derive(Debug, Default)]
pub struct Keeping {
    wake: Notify,
}

/// A kind of thing that is kept for some time.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Reports,
    Calls,
    Cdrs,
    Conversations,
    Recordings,
    Commands,
    Audit,
    KeptCdrs,
    FiledCdrs,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Reports,
        Self::Calls,
        Self::Cdrs,
        Self::Conversations,
        Self::Recordings,
        Self::Commands,
        Self::Audit,
        Self::KeptCdrs,
        Self::FiledCdrs,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Reports => "reports",
            Self::Calls => "calls",
            Self::Cdrs => "cdrs",
            Self::Conversations => "conversations",
            Self::Recordings => "recordings",
            Self::Commands => "commands",
            Self::Audit => "audit",
            Self::KeptCdrs => "kept_cdrs",
            Self::FiledCdrs => "filed_cdrs",
        }
    }
}

/// The labels of `switchroom_retention_removed_total`.
#[must_use]
pub fn kinds() -> [&'static str; 9] {
    Kind::ALL.map(Kind::name)
}

/// Starts both.
pub(crate) fn start(services: &Arc<Services>) {
    actix_rt::spawn(keep(Arc::clone(services)));
    actix_rt::spawn(erase_all(Arc::clone(services)));
}

/// True once the service is stopping; false after so long.
async fn stops_within(services: &Services, time: Duration) -> bool {
    let mut stopping = services.stopping.subscribe();
    tokio::time::timeout(time, stopping.wait_for(|stopping| *stopping)).await.is_ok()
}

async fn keep(services: Arc<Services>) {
    loop {
        for kind in Kind::ALL {
            if let Err(error) = remove_old(&services, kind, crate::clock::now()).await {
                tracing::error!(kind = kind.name(), %error, "what is too old could not be removed; tried again later");
            }
        }
        if stops_within(&services, LOOK).await {
            return;
        }
    }
}

/// Removes what of a kind is too old.
async fn remove_old(services: &Arc<Services>, kind: Kind, now: Timestamp) -> Result<(), StorageError> {
    let days = &services.config.retention;
    let days = match kind {
        Kind::Reports => days.reports_days,
        Kind::Calls | Kind::Cdrs | Kind::Conversations | Kind::FiledCdrs => days.records_days,
        // Whoever set the forwarding up says how long, within what is kept at all.
        Kind::KeptCdrs if days.records_days == 0 => services.forwarding.days(),
        Kind::KeptCdrs => services.forwarding.days().min(days.records_days),
        Kind::Recordings => days.recordings_days,
        Kind::Commands => days.commands_days,
        Kind::Audit => days.audit_days,
    };
    if days == 0 {
        return Ok(());
    }
    let before = now.0 - i64::from(days) * DAY_MS;
    let counter = services.metrics.retention_removed.with_label_values(&[kind.name()]);
    loop {
        let removed = remove_slice(services, kind, before).await?;
        counter.inc_by(removed as u64);
        if removed < SLICE {
            return Ok(());
        }
        if stops_within(services, PAUSE).await {
            return Ok(());
        }
    }
}

async fn remove_slice(services: &Arc<Services>, kind: Kind, before: i64) -> Result<usize, StorageError> {
    let run = |prune: fn(&mut Connection, i64) -> Result<usize, StorageError>| {
        services.store.run(move |connection| prune(connection, before))
    };
    match kind {
        Kind::Reports => run(|connection, before| store::prune_log(connection, before, SLICE)).await,
        Kind::Calls => run(|connection, before| store::prune_calls(connection, before, SLICE)).await,
        Kind::Cdrs => {
            run(|connection, before| records::prune(connection, records::Kind::Cdr, before, SLICE)).await
        }
        Kind::Conversations => {
            run(|connection, before| records::prune(connection, records::Kind::Conversation, before, SLICE))
                .await
        }
        Kind::Commands => run(|connection, before| store::prune_commands(connection, before, SLICE)).await,
        Kind::Audit => run(|connection, before| audit::prune(connection, before, SLICE)).await,
        Kind::KeptCdrs => services.forwarding.prune(before, SLICE).await,
        Kind::FiledCdrs => run(|connection, before| forwarding::prune_filed(connection, before, SLICE)).await,
        Kind::Recordings => {
            let old =
                services.reader.query(move |connection| recordings::older(connection, before, SLICE)).await?;
            for recording in &old {
                delete_audio(services, recording).await?;
                let id = recording.id;
                services.store.run(move |connection| recordings::remove(connection, id)).await?;
            }
            Ok(old.len())
        }
    }
}

/// Deletes what was stored of a recording.
async fn delete_audio(services: &Arc<Services>, recording: &Recording) -> Result<(), StorageError> {
    let (all, recording) = (Arc::clone(services), recording.clone());
    actix_web::web::block(move || all.recordings.delete(&recording))
        .await
        .map_err(|_| StorageError::Corrupt("the service is stopping".into()))?
}

impl Services {
    /// Begins to erase a number.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(crate) async fn erase(
        &self,
        number: String,
        reason: Option<String>,
        receivers: Vec<String>,
    ) -> Result<Erasure, StorageError> {
        let erasure = Erasure {
            id: uuid::Uuid::now_v7(),
            number: crate::privacy::mask(&number).into_owned(),
            reason,
            state: ErasureState::Running,
            requested_at: crate::clock::now(),
            finished_at: None,
            erased: Erased::default(),
            settings_kept: 0,
            receivers,
        };
        let kept = erasure.clone();
        self.store.run(move |connection| store::put_erasure(connection, &kept, Some(&number))).await?;
        self.keeping.wake.notify_one();
        Ok(erasure)
    }
}

async fn erase_all(services: Arc<Services>) {
    let mut stopping = services.stopping.subscribe();
    loop {
        let wait = match erase_open(&services).await {
            Ok(()) => LOOK,
            Err(error) => {
                tracing::error!(%error, "a number could not be erased; trying again");
                AGAIN
            }
        };
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = services.keeping.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn erase_open(services: &Arc<Services>) -> Result<(), StorageError> {
    let all = services.reader.query(|connection| store::erasures(connection, ERASURES)).await?;
    for (mut erasure, number) in all.into_iter().rev() {
        let Some(number) = number else { continue };
        let number: Arc<str> = number.into();
        // What is written over is gone from the file as well.
        services.store.run(|connection| store::secure_delete(connection, true)).await?;
        for _ in 0..PASSES {
            let found = pass(services, &number).await?;
            add(&mut erasure.erased, found);
            if found == Erased::default() {
                break;
            }
        }
        services.store.run(|connection| store::secure_delete(connection, false)).await?;
        let sought = Arc::clone(&number);
        erasure.settings_kept =
            services.reader.query(move |connection| store::settings_with(connection, &sought)).await?;
        erasure.state = ErasureState::Done;
        erasure.finished_at = Some(crate::clock::now());
        tracing::info!(erasure.id = %erasure.id, erased = ?erasure.erased, "a number was erased");
        services.store.run(move |connection| store::put_erasure(connection, &erasure, None)).await?;
    }
    Ok(())
}

fn add(sum: &mut Erased, more: Erased) {
    sum.log += more.log;
    sum.devices += more.devices;
    sum.calls += more.calls;
    sum.cdrs += more.cdrs;
    sum.conversations += more.conversations;
    sum.commands += more.commands;
    sum.recordings += more.recordings;
    sum.audit += more.audit;
    sum.quarantine += more.quarantine;
    sum.kept_cdrs += more.kept_cdrs;
    sum.statistics += more.statistics;
}

/// Looks through everything once. The cells are written down first: what is rewritten is then what they begin anew
/// with.
async fn pass(services: &Arc<Services>, number: &Arc<str>) -> Result<Erased, StorageError> {
    let mut erased = Erased::default();
    services.write_down().await;
    services.reader.settle().await;
    erased.log = erase_log(services, number).await?;
    let mut after = Some(i64::MIN);
    while let Some(from) = after {
        let sought = Arc::clone(number);
        let take = move |connection: &mut Connection| {
            store::take_out_of_snapshots(connection, from, BLOCKS, &sought)
        };
        let (devices, next) = services.store.run(take).await?;
        erased.devices += devices.len();
        for device in devices {
            services.renew(&device).await;
        }
        after = next;
    }
    for table in Table::ALL {
        let count = erase_table(services, table, number).await?;
        match table {
            Table::Call => erased.calls = count,
            Table::Cdr => erased.cdrs = count,
            Table::Conversation => erased.conversations = count,
            Table::Command => erased.commands = count,
            Table::Recording => erased.recordings = count,
        }
    }
    for table in ["cdr", "conversation"] {
        erase_index(services, table, number).await?;
    }
    let mut after = Some((String::new(), i64::MIN, i64::MIN));
    while let Some(from) = after {
        let sought = Arc::clone(number);
        let take = move |connection: &mut Connection| {
            store::take_out_of_quarantine(connection, &from, BLOCKS, &sought)
        };
        let (places, next) = services.store.run(take).await?;
        erased.quarantine += places;
        after = next;
    }
    erased.audit =
        each_page(services, number, |connection, from, number| audit::forget(connection, from, PAGE, number))
            .await?;
    erased.kept_cdrs = each_page(services, number, |connection, from, number| {
        forwarding::take_out(connection, from, PAGE, number)
    })
    .await?;
    erased.statistics = erase_statistics(services, number).await?;
    services.store.hub().forget();
    if let Some(forwarding) = services.forwarding.known() {
        forwarding.forget().await;
    }
    for webhook in services.webhooks.all() {
        webhook.forget().await;
    }
    for target in services.targets.all() {
        target.forget().await;
    }
    Ok(erased)
}

async fn erase_log(services: &Arc<Services>, number: &Arc<str>) -> Result<usize, StorageError> {
    let (mut after, mut places) = (Some(i64::MIN), 0);
    while let Some(from) = after {
        let sought = Arc::clone(number);
        let look = move |connection: &Connection| block::look(connection, from, BLOCKS, &sought);
        let found = services.reader.query(look).await?;
        if !found.blocks.is_empty() {
            let blocks = found.blocks;
            services.store.run(move |connection| block::write_back(connection, &blocks)).await?;
        }
        places += found.places;
        after = found.next;
    }
    Ok(places)
}

/// What is done with one page after this place: how much was found, and where to go on.
type OfPage = fn(&mut Connection, i64, &str) -> Result<(usize, Option<i64>), StorageError>;

/// Does something with page after page; others have the writer between.
async fn each_page(
    services: &Arc<Services>,
    number: &Arc<str>,
    of_page: OfPage,
) -> Result<usize, StorageError> {
    let (mut after, mut count) = (Some(i64::MIN), 0);
    while let Some(from) = after {
        let sought = Arc::clone(number);
        let (found, next) = services.store.run(move |connection| of_page(connection, from, &sought)).await?;
        count += found;
        after = next;
    }
    Ok(count)
}

async fn erase_table(
    services: &Arc<Services>,
    table: Table,
    number: &Arc<str>,
) -> Result<usize, StorageError> {
    let (mut after, mut count): (Option<Value>, usize) = (None, 0);
    loop {
        let (sought, from) = (Arc::clone(number), after);
        let look = move |connection: &Connection| store::look(connection, table, from, PAGE, &sought);
        let found = services.reader.query(look).await?;
        count += found.keys.len();
        let keys = found.keys;
        if table == Table::Recording {
            for key in keys {
                forget_recording(services, key, number).await?;
            }
        } else if !keys.is_empty() {
            let sought = Arc::clone(number);
            services.store.run(move |connection| store::strike(connection, table, &keys, &sought)).await?;
        }
        match found.next {
            Some(next) => after = Some(next),
            None => return Ok(count),
        }
    }
}

/// Whatever records are found by is looked through: a number may also stand in the middle of an entry.
async fn erase_index(
    services: &Arc<Services>,
    table: &'static str,
    number: &Arc<str>,
) -> Result<(), StorageError> {
    let mut after = Some((String::new(), i64::MIN));
    while let Some(from) = after {
        let sought = Arc::clone(number);
        let look =
            move |connection: &Connection| store::look_in_index(connection, table, &from, ENTRIES, &sought);
        let (entries, next) = services.reader.query(look).await?;
        if !entries.is_empty() {
            services
                .store
                .run(move |connection| store::take_out_of_index(connection, table, &entries))
                .await?;
        }
        after = next;
    }
    Ok(())
}

async fn erase_statistics(services: &Arc<Services>, number: &Arc<str>) -> Result<usize, StorageError> {
    let sought = Arc::clone(number);
    let keys = services.reader.query(move |connection| statistics::keys_with(connection, &sought)).await?;
    let count = keys.len();
    for key in keys {
        let struck = store::without(&key, number, false)?;
        services.store.run(move |connection| statistics::merge(connection, &key, &struck)).await?;
    }
    Ok(count)
}

/// The audio goes, and what is known of it no longer names the number. One that is being fetched is forgotten as well:
/// what comes of it is deleted when it ends.
async fn forget_recording(
    services: &Arc<Services>,
    key: Value,
    number: &Arc<str>,
) -> Result<(), StorageError> {
    for _ in 0..TRIES {
        let id = key.clone();
        let seen = services.reader.query(move |connection| recordings::of_key(connection, &id)).await?;
        // Removed meanwhile, for its age.
        let Some(seen) = seen else { return Ok(()) };
        delete_audio(services, &seen).await?;
        let mut forgotten = recordings::without(&seen, number)?;
        forgotten.state = RecordingState::Missing;
        forgotten.next_try_at = None;
        forgotten.error = Some(recordings::ERASED.to_owned());
        (forgotten.stored_as, forgotten.sha256, forgotten.size) = (None, None, None);
        forgotten.parts.clear();
        let is_forgotten = services
            .store
            .run(move |connection| recordings::update_if(connection, &seen, &forgotten))
            .await?;
        if is_forgotten {
            services.recordings.wake.notify_one();
            return Ok(());
        }
        // It was fetched, or tried, in between: what came of that is to be deleted as well.
    }
    Err(StorageError::Busy("a recording that is to be erased changes all the time".to_owned()))
}

/// Removes what is too old at this time.
#[cfg(test)]
pub(crate) async fn remove_all_old(services: &Arc<Services>, now: Timestamp) -> Result<(), StorageError> {
    for kind in Kind::ALL {
        remove_old(services, kind, now).await?;
    }
    Ok(())
}
