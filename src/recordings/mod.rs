//! Recordings: each that a call record names is fetched from its device, checked against the record, and kept.
//!
//! A device tells that a call was recorded by the name of the file in the call's record, makes the file within about ten
//! seconds, and serves it over HTTP (4.9). [`keeper`] follows the log of events for such records, decides what is tried
//! when, and tells how it ended; [`take`] is one try: [`name`] says where to look, [`fetch`] carries bytes, [`wav`] looks
//! at what came, [`join`] makes one file of two halves, [`store`] keeps it. It all runs on a thread of its own, so that
//! no report and no request waits for a slow device or disk.

pub mod fetch;
pub mod join;
mod keeper;
pub mod name;
pub mod s3;
pub mod store;
pub mod take;
pub mod wav;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::sync::Notify;

use crate::app::Services;
use crate::config::Config;
use crate::storage::StorageError;
use crate::storage::recordings::Recording;
use s3::S3;
use store::{Folder, Store};

/// The recordings of a service: what it keeps, and how its keeper is woken.
pub struct Recordings {
    /// Whether they are fetched.
    pub enabled: bool,
    /// Where they are kept.
    pub store: Arc<dyn Store>,
    /// Wakes the keeper: something is to be fetched now.
    pub(crate) wake: Notify,
    /// Where files are put together.
    parts: PathBuf,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Recordings {
    /// As it is configured; `database` is where the service's database is.
    ///
    /// # Errors
    /// When the bucket's configuration makes no sense.
    pub fn new(config: &Config, database: &Path) -> anyhow::Result<Self> {
        let beside = || database.parent().unwrap_or_else(|| Path::new("")).join("recordings");
        let folder = config.recordings.path.clone().unwrap_or_else(beside);
        let parts = folder.join(".parts");
        let store: Arc<dyn Store> = match &config.recordings.s3 {
            Some(s3) => Arc::new(S3::new(s3)?),
            None => Arc::new(Folder::new(folder)),
        };
        Ok(Self {
            enabled: config.recordings.enabled,
            parts,
            store,
            wake: Notify::new(),
            thread: Mutex::default(),
        })
    }

    /// Starts fetching, if that is wanted.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(services: &Arc<Services>) -> anyhow::Result<()> {
        let keeper = keeper::Keeper::new(Arc::clone(services));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("recordings".into())
            .spawn(move || {
                runtime.block_on(keeper.run());
                // A file that is being hashed or joined is fetched again after the next start.
                runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            })
            .context("the thread of the recordings cannot be started")?;
        *services.recordings.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Deletes what is kept of a recording, and what has come of one that is not whole. Blocks.
    ///
    /// # Errors
    /// When the disk or the bucket refuses it.
    pub(crate) fn delete(&self, recording: &Recording) -> Result<(), StorageError> {
        take::clear(&self.parts, recording.id);
        let halves = recording.parts.iter().map(|part| take::half(recording, part));
        for name in recording.stored_as.iter().cloned().chain(halves) {
            self.store.remove(&name).map_err(|error| StorageError::File { path: name, error })?;
        }
        Ok(())
    }

    /// Waits until fetching has ended; it ends when the service is stopping. Blocks.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the recordings had died");
        }
    }
}
