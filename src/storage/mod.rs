//! What is remembered: the log of raw reports, events, calls, records, devices, tokens.
//!
//! One writer ([`writer`]) commits inputs with all of their effects in batches, each a packed row of the log
//! ([`block`]); calls and records follow into tables of their own ([`tables`]); readers ([`reader`]) have
//! connections of their own. SQLite runs in WAL mode with `synchronous = FULL`: what was acknowledged survives
//! the loss of power as far as the disk keeps its word.

pub mod audit;
pub mod block;
pub mod commands;
mod copier;
pub mod deliveries;
pub mod desired;
pub mod devices;
pub mod forwarding;
pub mod hub;
pub mod keeping;
pub mod reader;
pub mod recordings;
pub mod records;
pub mod secrets;
pub mod sqlite;
pub mod statistics;
pub mod tables;
pub mod tokens;
pub mod writer;

pub use hub::{Hub, Published};
pub use reader::{EventQuery, Reader};
pub use sqlite::open;
pub use writer::SqliteStore;

/// The store could not be used; says what to do where that is known.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// SQLite said no.
    #[error("sqlite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Something in the store does not make sense.
    #[error("{0}")]
    Corrupt(String),
}

impl StorageError {
    /// May the same succeed later? A full disk, a busy file: yes; a row that cannot be: no.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) => matches!(
                error.code,
                Code::DiskFull
                    | Code::SystemIoFailure
                    | Code::DatabaseBusy
                    | Code::DatabaseLocked
                    | Code::OutOfMemory
                    | Code::CannotOpen
                    | Code::ReadOnly
                    | Code::FileLockingProtocolFailed
                    | Code::OperationInterrupted
                    | Code::SchemaChanged
            ),
            Self::File { .. } => true,
            Self::Sqlite(_) | Self::Corrupt(_) => false,
        }
    }
}
