//! What is remembered: the log of raw reports, events, calls, records, devices, tokens.
//!
//! One writer ([`writer`]) commits inputs with all of their effects in batches, each a packed row of the log
//! ([`block`]); calls and records follow into tables of their own ([`tables`]); readers ([`reader`]) have
//! connections of their own. SQLite runs in WAL mode with `synchronous = FULL`, PostgreSQL with
//! `synchronous_commit` on: what was acknowledged survives the loss of power as far as the disk keeps its word.
//!
//! Both databases are spoken to through [`db`], with one text of SQL, which `dialect.rs` puts into PostgreSQL's words.

pub mod audit;
pub mod block;
pub mod commands;
mod copier;
pub mod db;
pub mod deliveries;
pub mod desired;
pub mod devices;
mod dialect;
pub mod forwarding;
pub mod hub;
pub mod keeping;
pub mod location;
pub mod migrations;
pub mod moving;
pub mod postgres;
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
pub use location::Location;
pub use reader::{EventQuery, Reader};
pub use writer::DatabaseStore;

/// The store could not be used; says what to do where that is known.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The database said no.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// It has too much to do just now.
    #[error("{0}")]
    Busy(String),
    /// Something in the store does not make sense.
    #[error("{0}")]
    Corrupt(String),
}

impl StorageError {
    /// Is it the value that cannot be, wherever it is written: too large for an index, against a constraint?
    #[must_use]
    pub fn is_of_value(&self) -> bool {
        match self {
            Self::Database(error) => error.is_of_value(),
            Self::Corrupt(_) => true,
            Self::File { .. } | Self::Busy(_) => false,
        }
    }

    /// May the same succeed later? A full disk, a busy file: yes; a row that cannot be: no.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Database(error) => error.may_pass(),
            Self::File { .. } | Self::Busy(_) => true,
            Self::Corrupt(_) => false,
        }
    }
}

/// Opens the store for writing, making it and bringing it up to date as needed. A service may be writing to it.
///
/// # Errors
/// When it cannot be opened, or is of a later version of Switchroom.
pub fn open(location: &Location) -> Result<db::Connection, StorageError> {
    match location {
        Location::Sqlite(path) => sqlite::open(path),
        Location::Postgres(server) => {
            let mut connection = connect(server, postgres::Use::Once)?;
            migrations::migrate(&mut connection)?;
            Ok(connection)
        }
    }
}

/// Opens the store as the one who writes to it; on PostgreSQL others are kept from it.
pub(crate) fn open_writer(location: &Location) -> Result<db::Connection, StorageError> {
    match location {
        Location::Sqlite(path) => sqlite::open(path),
        Location::Postgres(server) => {
            let mut connection = connect(server, postgres::Use::Write)?;
            migrations::migrate(&mut connection)?;
            Ok(connection)
        }
    }
}

fn connect(server: &location::Server, reason: postgres::Use) -> Result<db::Connection, StorageError> {
    let session = postgres::Session::connect(server, reason).map_err(db::Error::from)?;
    Ok(db::Connection::Postgres(session))
}

#[cfg(test)]
pub(crate) mod testing {
    //! A store for a unit test, on whichever database the tests are run.

    use std::path::Path;

    use super::Location;
    use super::db::Connection;

    pub(crate) fn location(folder: &Path) -> Location {
        switchroom_test_support::store::url(folder).parse().expect("an URL")
    }

    pub(crate) fn open(folder: &Path) -> Connection {
        super::open(&location(folder)).expect("it opens")
    }
}
