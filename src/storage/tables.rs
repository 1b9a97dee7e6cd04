//! The tables of calls and records, which are looked up singly, filled from the log a little later.
//!
//! What a report causes is on disk with its block. Writing each record into its table and that table's indexes at once
//! would touch a page here and there for every commit; gathered for half a second, many rows share each page. Until
//! they are written the rows wait in memory, and after a crash they are read again from the blocks that the tables do
//! not reach to yet. Whoever reads a table has the writer settle them first.

use serde::{Deserialize, Serialize};
use switchroom_actors::device::state::StoredCdr;
use switchroom_domain::conversation::Conversation;
use switchroom_domain::view::CallView;

use super::db::{Connection, OptionalExtension, Transaction, params};
use super::records::{self, Kept};
use super::statistics::Changes;
use super::{StorageError, block};

/// How many rows are written at a time after a crash.
const AT_A_TIME: usize = 1024;

/// A row that is to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Row {
    /// A call that ended.
    Call {
        /// Its id.
        id: [u8; 16],
        /// Its device's key.
        device: i64,
        /// When it began, in milliseconds.
        started_at: i64,
        /// The call, as JSON.
        body: String,
    },
    /// A record.
    Cdr {
        /// Its id.
        id: [u8; 16],
        /// Its device's key.
        device: i64,
        /// The device's own id of it.
        wire_id: String,
        /// Tells a repeat.
        fingerprint: u64,
        /// When it came in, in milliseconds.
        received_at: i64,
        /// The record, as JSON.
        body: String,
    },
    /// A conversation.
    Conversation {
        /// Its id.
        id: [u8; 16],
        /// Its device's key.
        device: i64,
        /// When it began, in milliseconds.
        started_at: i64,
        /// It, as JSON.
        body: String,
    },
}

impl Row {
    /// The row of a call.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn call(device: i64, call: &CallView) -> Result<Self, StorageError> {
        Ok(Self::Call {
            id: call.id.0.into_bytes(),
            device,
            started_at: call.started_at.0,
            body: to_json(call)?,
        })
    }

    /// The row of a record.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn cdr(device: i64, stored: &StoredCdr) -> Result<Self, StorageError> {
        let StoredCdr { cdr, fingerprint } = stored;
        Ok(Self::Cdr {
            id: cdr.id.0.into_bytes(),
            device,
            wire_id: cdr.wire_id.as_str().to_owned(),
            fingerprint: *fingerprint,
            received_at: cdr.received_at.0,
            body: to_json(cdr)?,
        })
    }

    /// The row of a conversation.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn conversation(device: i64, conversation: &Conversation) -> Result<Self, StorageError> {
        Ok(Self::Conversation {
            id: conversation.id.0.into_bytes(),
            device,
            started_at: conversation.started_at.0,
            body: to_json(conversation)?,
        })
    }

    fn write(&self, transaction: &Transaction<'_>, changes: &mut Changes) -> Result<(), StorageError> {
        match self {
            Self::Call { id, device, started_at, body } => {
                transaction
                    .prepare_cached(
                        "INSERT INTO call (id, device, started_at, body) VALUES (?, ?, ?, ?) ON CONFLICT (id) \
                         DO UPDATE SET device = excluded.device, started_at = excluded.started_at, body = excluded.body",
                    )?
                    .post(params![id.as_slice(), device, started_at, body])?;
                Ok(())
            }
            Self::Cdr { id, device, wire_id, fingerprint, received_at, body } => {
                let kept = Kept { id, device: *device, at: *received_at, body };
                records::put_cdr(transaction, &kept, wire_id, *fingerprint)
            }
            Self::Conversation { id, device, started_at, body } => {
                let kept = Kept { id, device: *device, at: *started_at, body };
                records::put_conversation(transaction, &kept, changes)
            }
        }
    }
}

fn to_json(value: &impl Serialize) -> Result<String, StorageError> {
    serde_json::to_string(value)
        .map_err(|error| StorageError::Corrupt(format!("cannot be written as JSON: {error}")))
}

/// Writes rows, and that the tables now hold everything of the log up to this report. One by one, for when that failed
/// because of a value: what can never be written then keeps nothing else from the disk, and stays in the log.
///
/// # Errors
/// When the database refuses it.
pub fn put<'a>(
    transaction: &Transaction<'_>,
    rows: impl Iterator<Item = &'a Row>,
    reach: i64,
    one_by_one: bool,
) -> Result<(), StorageError> {
    if !one_by_one {
        write_all(transaction, rows)?;
    } else {
        for row in rows {
            if let Err(error) =
                transaction.part(|transaction| write_all(transaction, std::iter::once(row)))?
            {
                if !error.is_of_value() {
                    return Err(error);
                }
                tracing::error!(%error, "a call or record of the log cannot be put into its table");
            }
        }
    }
    transaction
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES ('tables_reach', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )?
        .post(params![reach.to_string()])?;
    Ok(())
}

fn write_all<'a>(
    transaction: &Transaction<'_>,
    rows: impl Iterator<Item = &'a Row>,
) -> Result<(), StorageError> {
    let mut changes = Changes::default();
    for row in rows {
        row.write(transaction, &mut changes)?;
    }
    changes.write(transaction)
}

/// Writes what the tables lack after a crash.
///
/// # Errors
/// When the database cannot be read or written.
pub fn catch_up(connection: &mut Connection) -> Result<(), StorageError> {
    let reach: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = 'tables_reach'", [], |row| row.get(0))
        .optional()?;
    let mut reach = reach.and_then(|reach| reach.parse().ok()).unwrap_or(0);
    let mut waiting = Vec::new();
    while let Some((last_report, mut rows)) = block::rows_after(connection, reach)? {
        reach = last_report;
        waiting.append(&mut rows);
        if waiting.len() >= AT_A_TIME {
            put_at_once(connection, &waiting, reach)?;
            waiting.clear();
        }
    }
    put_at_once(connection, &waiting, reach)
}

fn put_at_once(connection: &mut Connection, rows: &[Row], reach: i64) -> Result<(), StorageError> {
    let write = |connection: &mut Connection, one_by_one: bool| -> Result<(), StorageError> {
        let transaction = connection.transaction()?;
        put(&transaction, rows.iter(), reach, one_by_one)?;
        transaction.commit()?;
        Ok(())
    };
    match write(connection, false) {
        Err(error) if error.is_of_value() => write(connection, true),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_can_never_be_written_keeps_no_other_from_its_table() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut connection = crate::storage::testing::open(folder.path());
        let device = "INSERT INTO device (key, id, settings, created_at) VALUES (1, 'om', '{}', 0)";
        connection.execute(device, params![]).expect("a device");
        let call = |n: u8| Row::Call { id: [n; 16], device: 1, started_at: n.into(), body: "{}".to_owned() };
        let (id, body) = ([9; 16], "no record".to_owned());
        let bad = Row::Cdr { id, device: 1, wire_id: "9".to_owned(), fingerprint: 9, received_at: 9, body };
        put_at_once(&mut connection, &[call(1), bad, call(2)], 7).expect("the others are written");
        let count = |connection: &Connection, sql: &str| -> String {
            connection.query_row(sql, [], |row| row.get(0)).expect("it is read")
        };
        assert_eq!(count(&connection, "SELECT CAST(count(*) AS TEXT) FROM call"), "2");
        assert_eq!(count(&connection, "SELECT CAST(count(*) AS TEXT) FROM cdr"), "0");
        assert_eq!(count(&connection, "SELECT value FROM meta WHERE key = 'tables_reach'"), "7");
    }
}
