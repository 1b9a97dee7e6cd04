//! Desired state: what was assigned through us and a device forgets when it starts again (OM 2.1.2).

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use switchroom_domain::command::Command;
use switchroom_domain::id::DeviceId;
use switchroom_domain::time::Timestamp;

use super::StorageError;

/// One thing that was assigned.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// `extension`, `group` or `menu`.
    pub kind: String,
    /// Which: a line, a number.
    pub key: String,
    /// The command that assigns it.
    pub command: Command,
    /// When it was last given to the device.
    pub applied_at: Timestamp,
    /// Why it could not be, the last time.
    pub error: Option<String>,
}

/// In this order it is given back: an extension's number before the group that names it.
const ORDER: &str = "CASE kind WHEN 'extension' THEN 0 WHEN 'group' THEN 1 ELSE 2 END, key";

/// What a command assigns; none if it assigns nothing that a device forgets.
fn place(command: &Command) -> Option<(&'static str, String)> {
    match command {
        Command::AssignExtension { line_id, .. } => Some(("extension", line_id.to_string())),
        Command::AssignGroup { group, .. } => Some(("group", group.to_string())),
        Command::AssignMenu { menu, .. } => Some(("menu", menu.to_string())),
        _ => None,
    }
}

/// Does it clear what it assigns? Then there is nothing to give back.
fn clears(command: &Command) -> bool {
    match command {
        Command::AssignGroup { members, .. } => members.is_empty(),
        Command::AssignMenu { voice_file, repeat, info_length, exit, .. } => {
            voice_file.is_none() && repeat.is_none() && info_length.is_none() && exit.is_none()
        }
        _ => false,
    }
}

/// Is it something to remember?
#[must_use]
pub fn is_remembered(command: &Command) -> bool {
    place(command).is_some()
}

/// Remembers what a command has assigned; an extension's settings are added to those of before.
///
/// # Errors
/// When it cannot be written.
pub fn remember(
    transaction: &Transaction<'_>,
    device: &DeviceId,
    command: &Command,
    now: Timestamp,
) -> Result<(), StorageError> {
    let Some((kind, key)) = place(command) else { return Ok(()) };
    if clears(command) {
        transaction
            .prepare_cached("DELETE FROM desired WHERE device = ? AND kind = ? AND key = ?")?
            .execute(params![device.as_str(), kind, key])?;
        return Ok(());
    }
    let mut command = command.clone();
    if let Command::AssignExtension { settings, .. } = &mut command {
        let before: Option<String> = transaction
            .prepare_cached("SELECT body FROM desired WHERE device = ? AND kind = ? AND key = ?")?
            .query_row(params![device.as_str(), kind, key], |row| row.get(0))
            .optional()?;
        // What cannot be read any more is written anew.
        if let Some(Ok(Command::AssignExtension { settings: before, .. })) =
            before.as_deref().map(serde_json::from_str)
        {
            **settings = before.with(std::mem::take(&mut **settings));
        }
    }
    let body = serde_json::to_string(&command).map_err(corrupt)?;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO desired (device, kind, key, body, applied_at, error) VALUES (?, ?, ?, ?, ?, NULL)",
        )?
        .execute(params![device.as_str(), kind, key, body, now.0])?;
    Ok(())
}

fn corrupt(error: serde_json::Error) -> StorageError {
    StorageError::Corrupt(format!("desired state cannot be read: {error}"))
}

/// Notes that it could not be given back.
///
/// # Errors
/// When it cannot be written.
pub fn failed(
    transaction: &Transaction<'_>,
    device: &DeviceId,
    desired: &Desired,
) -> Result<(), StorageError> {
    transaction
        .prepare_cached("UPDATE desired SET error = ? WHERE device = ? AND kind = ? AND key = ?")?
        .execute(params![desired.error, device.as_str(), desired.kind, desired.key])?;
    Ok(())
}

/// Devices to which something was assigned, each with when the oldest of it was given last.
///
/// # Errors
/// When it cannot be read.
pub fn devices(connection: &Connection) -> Result<Vec<(DeviceId, Timestamp)>, StorageError> {
    let mut statement = connection.prepare("SELECT device, min(applied_at) FROM desired GROUP BY device")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, Timestamp(row.get(1)?))))?;
    let mut all = Vec::new();
    for row in rows {
        let (id, at) = row?;
        all.push((DeviceId::new(id).map_err(|error| StorageError::Corrupt(error.to_string()))?, at));
    }
    Ok(all)
}

/// All that was assigned to a device, in the order in which it is given back.
///
/// # Errors
/// When it cannot be read.
pub fn of_device(connection: &Connection, device: &DeviceId) -> Result<Vec<Desired>, StorageError> {
    let sql =
        format!("SELECT kind, key, body, applied_at, error FROM desired WHERE device = ? ORDER BY {ORDER}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![device.as_str()])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let body: String = row.get(2)?;
        all.push(Desired {
            kind: row.get(0)?,
            key: row.get(1)?,
            command: serde_json::from_str(&body).map_err(corrupt)?,
            applied_at: Timestamp(row.get(3)?),
            error: row.get(4)?,
        });
    }
    Ok(all)
}
