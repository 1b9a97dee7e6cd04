//! Opening the database: settings, migrations.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{StorageError, records};

/// Migrations in order; the database's `user_version` says how many it has had.
const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("commands.sql"),
    include_str!("desired.sql"),
    include_str!("records.sql"),
    include_str!("webhooks.sql"),
    include_str!("recordings.sql"),
    include_str!("keeping.sql"),
    include_str!("targets.sql"),
    include_str!("forwarding.sql"),
];

/// The version whose records are indexed by the program.
const RECORDS: usize = 4;

/// Opens the database for writing, making it and migrating it as needed.
///
/// # Errors
/// When the file cannot be opened, or is of a later version of Switchroom.
pub fn open(path: &Path) -> Result<Connection, StorageError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|error| StorageError::File { path: folder.display().to_string(), error })?;
    }
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Another thread copies the log into the database; see the writer.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // The writer appends: a large cache would only be swept at every commit.
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(128);
    migrate(&mut connection)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), StorageError> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let version = version as usize;
    if version > MIGRATIONS.len() {
        return Err(StorageError::Corrupt(format!(
            "the database is of version {version}, this program knows {}; use the newer program, or restore a backup",
            MIGRATIONS.len()
        )));
    }
    for (i, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        if i + 1 == RECORDS {
            records::index_again(&transaction)?;
        }
        transaction.pragma_update(None, "user_version", i as u32 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Opens the database for reading only.
///
/// # Errors
/// When the file cannot be opened.
pub fn open_reader(path: &Path) -> Result<Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

/// A connection for [`checkpoint`] beside the writer.
///
/// # Errors
/// When the file cannot be opened.
pub fn open_copier(path: &Path) -> Result<Connection, StorageError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Copies what can be copied of the write-ahead log into the database, without keeping anybody from writing. Gives how
/// many pages the log has, and how many of them are copied.
///
/// # Errors
/// When the files cannot be read or written.
pub fn checkpoint(connection: &Connection) -> Result<(i64, i64), rusqlite::Error> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
}
