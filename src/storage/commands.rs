//! The command log: every command from its acceptance to its end.

use switchroom_actors::command::messages::{CommandRecord, IdempotencyKey};
use switchroom_domain::id::{CommandId, DeviceId};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::CommandView;

use super::StorageError;
use super::db::{Connection, OptionalExtension, Row, Transaction, params};

/// How long a request is known again by its key.
const KEYS_KEPT_MS: i64 = 24 * 3600 * 1000;

/// Keeps a command as it is now.
///
/// # Errors
/// When it cannot be written.
pub fn put(transaction: &Transaction<'_>, record: &CommandRecord) -> Result<(), StorageError> {
    let view = &record.view;
    let body = serde_json::to_string(view).map_err(|error| StorageError::Corrupt(error.to_string()))?;
    let key = record.key.as_ref();
    if let Some(key) = key {
        // A key that is long past may be used anew.
        transaction
            .prepare_cached("UPDATE command SET key = NULL WHERE token = ? AND key = ? AND created_at < ?")?
            .execute(params![key.token.as_slice(), key.key, view.created_at.0 - KEYS_KEPT_MS])?;
    }
    // Nor is one that another command has: it would be neither's.
    let taken: Option<i64> = match key {
        Some(key) => transaction
            .prepare_cached("SELECT 1 FROM command WHERE token = ? AND key = ? AND id <> ?")?
            .query_row(params![key.token.as_slice(), key.key, view.id.0.as_bytes().as_slice()], |row| {
                row.get(0)
            })
            .optional()?,
        None => None,
    };
    let key = key.filter(|_| taken.is_none());
    transaction
        .prepare_cached(
            "INSERT INTO command (id, device, open, created_at, deadline, token, key, request, body)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET open = excluded.open, body = excluded.body",
        )?
        .execute(params![
            view.id.0.as_bytes().as_slice(),
            view.device.as_str(),
            !view.state.is_settled(),
            view.created_at.0,
            record.deadline.0,
            record.token.as_ref().map(<[u8; 32]>::as_slice),
            key.map(|key| key.key.as_str()),
            key.map(|key| key.request.as_slice()),
            body,
        ])?;
    Ok(())
}

/// The command of this id.
///
/// # Errors
/// When it cannot be read.
pub fn get(connection: &Connection, id: CommandId) -> Result<Option<CommandView>, StorageError> {
    let sql = "SELECT body FROM command WHERE id = ?";
    let body: Option<String> = connection
        .prepare_cached(sql)?
        .query_row(params![id.0.as_bytes().as_slice()], |row| row.get(0))
        .optional()?;
    body.as_deref().map(view).transpose()
}

/// The hash of the token with which a command was posted.
///
/// # Errors
/// When it cannot be read.
pub fn token_of(connection: &Connection, id: CommandId) -> Result<Option<[u8; 32]>, StorageError> {
    let token: Option<Option<[u8; 32]>> = connection
        .prepare_cached("SELECT token FROM command WHERE id = ?")?
        .query_row(params![id.0.as_bytes().as_slice()], |row| row.get(0))
        .optional()?;
    Ok(token.flatten())
}

/// The command that was posted under a key, and the hash of what was posted.
///
/// # Errors
/// When it cannot be read.
pub fn by_key(
    connection: &Connection,
    key: &IdempotencyKey,
    now: Timestamp,
) -> Result<Option<(CommandView, Vec<u8>)>, StorageError> {
    let sql = "SELECT body, request FROM command WHERE token = ? AND key = ? AND created_at >= ?";
    let row = params![key.token.as_slice(), key.key, now.0 - KEYS_KEPT_MS];
    let found: Option<(String, Vec<u8>)> =
        connection.prepare_cached(sql)?.query_row(row, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    found.map(|(body, request)| Ok((view(&body)?, request))).transpose()
}

/// A device's commands, the newest first; `before`: only those that are older than this one.
///
/// # Errors
/// When they cannot be read.
pub fn of_device(
    connection: &Connection,
    device: &DeviceId,
    before: Option<CommandId>,
    limit: usize,
) -> Result<Vec<CommandView>, StorageError> {
    let before = before.map_or([0xFF; 16], |id| id.0.into_bytes());
    // Ids begin with their time, so that the newest is the highest.
    let sql = "SELECT body FROM command WHERE device = ? AND id < ? ORDER BY id DESC LIMIT ?";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![device.as_str(), before.as_slice(), limit], |row| row.get::<_, String>(0))?;
    rows.map(|body| view(&body?)).collect()
}

/// What had not settled when the service stopped.
///
/// # Errors
/// When it cannot be read.
pub fn open(connection: &Connection) -> Result<Vec<CommandRecord>, StorageError> {
    let sql =
        "SELECT body, deadline, token, key, request FROM command WHERE open = 1 ORDER BY created_at, id";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut open = Vec::new();
    while let Some(row) = rows.next()? {
        let body: String = row.get(0)?;
        let view = match view(&body) {
            Ok(view) => view,
            Err(error) => {
                tracing::error!(%error, "an open command cannot be read, and is left as it is");
                continue;
            }
        };
        let (deadline, token) = (Timestamp(row.get(1)?), row.get(2)?);
        open.push(CommandRecord { view, deadline, token, key: key(row)? });
    }
    Ok(open)
}

fn key(row: Row<'_>) -> Result<Option<IdempotencyKey>, StorageError> {
    let (token, key, request): (Option<[u8; 32]>, Option<String>, Option<[u8; 32]>) =
        (row.get(2)?, row.get(3)?, row.get(4)?);
    Ok(match (token, key, request) {
        (Some(token), Some(key), Some(request)) => Some(IdempotencyKey { token, key, request }),
        _ => None,
    })
}

fn view(body: &str) -> Result<CommandView, StorageError> {
    serde_json::from_str(body)
        .map_err(|error| StorageError::Corrupt(format!("a command cannot be read: {error}")))
}
