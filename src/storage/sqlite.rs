//! SQLite: settings, and the texts of all migrations.

use std::path::Path;

use rusqlite::OpenFlags;

use super::db::Connection;
use super::{StorageError, migrations};

/// Migrations in order, in what both databases understand (see [`super::dialect`]); the database says how many it has had.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("commands.sql"),
    include_str!("desired.sql"),
    include_str!("records.sql"),
    include_str!("webhooks.sql"),
    include_str!("recordings.sql"),
    include_str!("keeping.sql"),
    include_str!("statistics.sql"),
    include_str!("targets.sql"),
    include_str!("forwarding.sql"),
];

/// The version whose records are indexed by the program.
pub(super) const RECORDS: usize = 4;

/// How long it is waited for others.
const BUSY: std::time::Duration = std::time::Duration::from_secs(5);

/// Opens the database for writing, making it and migrating it as needed.
///
/// # Errors
/// When the file cannot be opened, or is of a later version of Switchroom.
pub fn open(path: &Path) -> Result<Connection, StorageError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|error| StorageError::File { path: folder.display().to_string(), error })?;
    }
    make_private(path)?;
    let connection = rusqlite::Connection::open(path).map_err(failed)?;
    set_up(&connection).map_err(failed)?;
    let mut connection = Connection::Sqlite(connection);
    migrations::migrate(&mut connection)?;
    Ok(connection)
}

/// A file that is new is its owner's alone: telephone numbers are in it. SQLite gives those beside it the same rights.
fn make_private(path: &Path) -> Result<(), StorageError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StorageError::File { path: path.display().to_string(), error }),
    }
}

fn set_up(connection: &rusqlite::Connection) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is deleted or moved is written over with zeros where its page is written anyway: what was erased is gone.
    connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))?;
    // Another thread copies the log into the database; see the writer.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // The writer appends: a large cache would only be swept at every commit.
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// As [`open`], and nobody else can even read the file until the connection is closed.
///
/// # Errors
/// As [`open`], and when somebody has the file open.
pub fn open_alone(path: &Path) -> Result<Connection, StorageError> {
    let connection = open(path)?;
    if let Connection::Sqlite(connection) = &connection {
        keep_alone(connection).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                StorageError::Busy("something else uses this file; stop the service first".to_owned())
            }
            _ => failed(error),
        })?;
    }
    Ok(connection)
}

fn keep_alone(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(1))?;
    // The write-ahead log can only be left while nobody else is there; in this mode nobody else gets in.
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    connection.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.execute_batch("BEGIN EXCLUSIVE; COMMIT")
}

fn failed(error: rusqlite::Error) -> StorageError {
    StorageError::Database(error.into())
}

/// Opens the database for reading only.
///
/// # Errors
/// When the file cannot be opened.
pub fn open_reader(path: &Path) -> Result<Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    Ok(Connection::Sqlite(connection))
}

/// A connection for [`checkpoint`] beside the writer.
///
/// # Errors
/// When the file cannot be opened.
pub fn open_copier(path: &Path) -> Result<rusqlite::Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = rusqlite::Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    Ok(connection)
}

/// Empties the write-ahead log, in which what was erased still stands. False: somebody reads from it for longer, and it
/// was not emptied.
///
/// # Errors
/// When the files cannot be read or written.
pub fn empty_log(connection: &rusqlite::Connection) -> Result<bool, rusqlite::Error> {
    connection.busy_timeout(std::time::Duration::from_millis(200))?;
    let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    connection.busy_timeout(BUSY)?;
    emptied.map(|busy| !busy)
}

/// Copies what can be copied of the write-ahead log into the database, without keeping anybody from writing. Gives how
/// many pages the log has, and how many of them are copied.
///
/// # Errors
/// When the files cannot be read or written.
pub fn checkpoint(connection: &rusqlite::Connection) -> Result<(i64, i64), rusqlite::Error> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_database_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below/new.db");
        let connection = open(&path).expect("it is made");
        connection
            .execute_batch("CREATE TABLE x (y INTEGER); INSERT INTO x VALUES (1)")
            .expect("it is written");
        let files = std::fs::read_dir(folder.path().join("below")).expect("a folder");
        let modes: Vec<(String, u32)> = files
            .map(|file| file.expect("a file"))
            .map(|file| {
                (file.file_name().to_string_lossy().into_owned(), file.metadata().expect("it is there"))
            })
            .map(|(name, metadata)| (name, metadata.permissions().mode() & 0o777))
            .collect();
        assert_eq!(modes.len(), 3, "with its log: {modes:?}");
        assert!(modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
    }
}
