//! Copies the write-ahead log into the database beside the writer, which would stand still meanwhile if it did this
//! itself. While commits go on it never comes to the very end, so once the log is long the writer does the rest.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::writer::Shared;
use super::{StorageError, sqlite};

/// How often it copies.
const EVERY: Duration = Duration::from_millis(500);
/// Pages in the write-ahead log at which the writer pauses for the rest to be copied, so that it begins anew.
const LONG: i64 = 8192;

/// See the module.
pub(super) struct Copier {
    connection: rusqlite::Connection,
    shared: Arc<Shared>,
}

impl Copier {
    /// # Errors
    /// When the database cannot be opened.
    pub(super) fn new(path: &Path, shared: Arc<Shared>) -> Result<Self, StorageError> {
        Ok(Self { connection: sqlite::open_copier(path)?, shared })
    }

    /// Copies until the store stops.
    pub(super) fn run(self) {
        while !self.shared.stops_within(EVERY) {
            match sqlite::checkpoint(&self.connection) {
                Ok((pages, copied)) if pages > LONG && copied < pages => self.shared.ask_checkpoint(),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the write-ahead log could not be copied into the database")
                }
            }
        }
    }
}
