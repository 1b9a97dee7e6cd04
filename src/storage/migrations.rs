//! Makes the tables and brings them up to date, on both databases from the same texts.
//!
//! SQLite counts in `user_version`, PostgreSQL in the table `switchroom_schema`. A text is written for SQLite and
//! translated ([`dialect::schema`]); what only PostgreSQL needs stands in [`BESIDE`].

use super::db::{Connection, OptionalExtension, Transaction, params};
use super::sqlite::{MIGRATIONS, RECORDS};
use super::{StorageError, dialect, records};

/// What follows a migration on PostgreSQL alone, by its number.
const BESIDE: &[(usize, &str)] = &[
    // A block is packed already.
    (1, "ALTER TABLE log ALTER COLUMN body SET STORAGE EXTERNAL"),
    // SQLite has the place at the end of each index by itself.
    (
        4,
        "DROP INDEX cdr_device, cdr_kind, cdr_direction, cdr_outcome, cdr_trunk;
         CREATE INDEX cdr_device ON cdr (device, place);
         CREATE INDEX cdr_kind ON cdr (kind, place);
         CREATE INDEX cdr_direction ON cdr (direction, place) WHERE direction IS NOT NULL;
         CREATE INDEX cdr_outcome ON cdr (outcome, place) WHERE outcome IS NOT NULL;
         CREATE INDEX cdr_trunk ON cdr (trunk, place) WHERE trunk IS NOT NULL;
         DROP INDEX conversation_device, conversation_direction, conversation_outcome, conversation_trunk;
         CREATE INDEX conversation_device ON conversation (device, place);
         CREATE INDEX conversation_direction ON conversation (direction, place);
         CREATE INDEX conversation_outcome ON conversation (outcome, place);
         CREATE INDEX conversation_trunk ON conversation (trunk, place) WHERE trunk IS NOT NULL;
         DROP INDEX log_event, log_at;
         CREATE INDEX log_event ON log (last_event, last_report);
         CREATE INDEX log_at ON log (at, last_report)",
    ),
];

/// Makes the tables, or brings them up to date.
///
/// # Errors
/// When the database is of a later version of Switchroom, or refuses it.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StorageError> {
    let take_long = |connection: &Connection, long| {
        if let Some(session) = connection.session() {
            session.take_long(long);
        }
    };
    take_long(connection, true);
    // Whether somebody else is at it is known within the transaction alone.
    while migrate_once(connection)? {}
    take_long(connection, false);
    Ok(())
}

fn migrate_once(connection: &mut Connection) -> Result<bool, StorageError> {
    if version(connection)? == Some(MIGRATIONS.len()) {
        return Ok(false);
    }
    let transaction = connection.transaction()?;
    if let Some(session) = transaction.session() {
        session.lock_tables().map_err(super::db::Error::from)?;
        transaction
            .execute_batch("CREATE TABLE IF NOT EXISTS switchroom_schema (version BIGINT NOT NULL)")?;
    }
    let had = version(&transaction)?.unwrap_or(0);
    if had > MIGRATIONS.len() {
        return Err(StorageError::Corrupt(format!(
            "the database is of version {had}, this program knows {}; use the newer program, or restore a backup",
            MIGRATIONS.len()
        )));
    }
    let Some(migration) = MIGRATIONS.get(had) else { return Ok(false) };
    let now = had + 1;
    if transaction.session().is_some() {
        transaction.execute_batch(&dialect::schema(migration))?;
        for (_, text) in BESIDE.iter().filter(|(number, _)| *number == now) {
            transaction.execute_batch(text)?;
        }
    } else {
        transaction.execute_batch(migration)?;
    }
    if now == RECORDS {
        records::index_again(&transaction)?;
    }
    set_version(&transaction, now)?;
    transaction.commit()?;
    Ok(true)
}

/// The names of our tables, sorted.
///
/// # Errors
/// When the database cannot be read.
pub fn tables(connection: &Connection) -> Result<Vec<String>, StorageError> {
    let sql = match connection {
        Connection::Sqlite(_) => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        }
        Connection::Postgres(_) => {
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() \
             AND tablename <> 'switchroom_schema' ORDER BY tablename"
        }
    };
    let mut statement = connection.prepare(sql)?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// How many migrations the database has had; none: it has no tables of ours.
fn version(connection: &Connection) -> Result<Option<usize>, StorageError> {
    let sql = match connection {
        Connection::Sqlite(_) => "PRAGMA user_version",
        Connection::Postgres(_) => {
            let sql = "SELECT 1 WHERE to_regclass('switchroom_schema') IS NOT NULL";
            if connection.query_row(sql, [], |_| Ok(())).optional()?.is_none() {
                return Ok(None);
            }
            "SELECT version FROM switchroom_schema"
        }
    };
    let version: Option<i64> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(version.and_then(|version| usize::try_from(version).ok()))
}

fn set_version(transaction: &Transaction<'_>, version: usize) -> Result<(), StorageError> {
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    if transaction.session().is_none() {
        transaction.execute_batch(&format!("PRAGMA user_version = {version}"))?;
        return Ok(());
    }
    if transaction.execute("UPDATE switchroom_schema SET version = ?", params![version])? == 0 {
        transaction.execute("INSERT INTO switchroom_schema (version) VALUES (?)", params![version])?;
    }
    Ok(())
}
