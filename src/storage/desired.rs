//! Desired state: what was assigned through us and a device forgets when it starts again (OM 2.1.2).

use switchroom_domain::Text;
use switchroom_domain::command::Command;
use switchroom_domain::id::DeviceId;
use switchroom_domain::reply::Reply;
use switchroom_domain::time::Timestamp;

use super::StorageError;
use super::db::{Connection, Transaction, params};

/// One thing that was assigned.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// `extension`, `group` or `menu`.
    pub kind: String,
    /// Which: a line, a number.
    pub key: String,
    /// The number of an extension, once a device has told it.
    pub number: Option<Text>,
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

/// Does the command assign this?
#[must_use]
pub fn is_of(command: &Command, kind: &str, key: &str) -> bool {
    place(command).is_some_and(|(of, which)| of == kind && which == key)
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

/// Remembers what a command has assigned; an extension's settings are added to those of before. Who is in which group is
/// said by groups and by extensions: both are made to say what was assigned last. `reply` is the device's.
///
/// # Errors
/// When it cannot be written.
pub fn remember(
    transaction: &Transaction<'_>,
    device: &DeviceId,
    command: &Command,
    reply: Option<&Reply>,
    now: Timestamp,
) -> Result<(), StorageError> {
    let Some((kind, key)) = place(command) else { return Ok(()) };
    let (mut command, mut number) = (command.clone(), None);
    match &mut command {
        Command::AssignExtension { settings, .. } => {
            let all = of_device(transaction, device)?;
            let known = all.iter().find(|desired| desired.kind == kind && desired.key == key);
            let before = known.and_then(|desired| desired.number.clone());
            number = answered(reply).or_else(|| settings.id.clone()).or_else(|| before.clone());
            if let Some(number) = &number {
                let groups = settings.groups.as_deref();
                follow_extension(transaction, device, &all, before.as_ref(), number, groups)?;
            }
            if let Some(Command::AssignExtension { settings: before, .. }) = known.map(|known| &known.command)
            {
                **settings = before.clone().with(std::mem::take(&mut **settings));
            }
        }
        Command::AssignGroup { group, members, .. } => follow_group(transaction, device, *group, members)?,
        _ => {}
    }
    if clears(&command) {
        return forget(transaction, device, kind, &key);
    }
    put(transaction, device, &command, number.as_deref(), now)
}

/// The extension's number, as the device has it from now on.
fn answered(reply: Option<&Reply>) -> Option<Text> {
    match reply? {
        Reply::Status(status) => status.extensions.first().map(|extension| extension.number.clone()),
        _ => None,
    }
}

/// The groups' members, after an extension was given its groups or another number.
fn follow_extension(
    transaction: &Transaction<'_>,
    device: &DeviceId,
    all: &[Desired],
    before: Option<&Text>,
    number: &Text,
    groups: Option<&[u16]>,
) -> Result<(), StorageError> {
    for desired in all {
        let mut command = desired.command.clone();
        let Command::AssignGroup { group, members, .. } = &mut command else { continue };
        for member in members.iter_mut().filter(|member| Some(&**member) == before) {
            member.clone_from(number);
        }
        match groups {
            Some(groups) if !groups.contains(group) => members.retain(|member| member != number),
            Some(_) if !members.contains(number) => members.push(number.clone()),
            _ => {}
        }
        if clears(&command) {
            forget(transaction, device, &desired.kind, &desired.key)?;
        } else if command != desired.command {
            put(transaction, device, &command, None, desired.applied_at)?;
        }
    }
    Ok(())
}

/// The extensions' groups, after a group was given its members.
fn follow_group(
    transaction: &Transaction<'_>,
    device: &DeviceId,
    group: u16,
    members: &[Text],
) -> Result<(), StorageError> {
    for desired in of_device(transaction, device)? {
        let mut command = desired.command;
        let (Command::AssignExtension { settings, .. }, Some(number)) = (&mut command, &desired.number)
        else {
            continue;
        };
        let Some(groups) = &mut settings.groups else { continue };
        match (members.contains(number), groups.contains(&group)) {
            (true, false) => groups.push(group),
            (false, true) => groups.retain(|of| *of != group),
            _ => continue,
        }
        put(transaction, device, &command, desired.number.as_deref(), desired.applied_at)?;
    }
    Ok(())
}

fn put(
    transaction: &Transaction<'_>,
    device: &DeviceId,
    command: &Command,
    number: Option<&str>,
    at: Timestamp,
) -> Result<(), StorageError> {
    let Some((kind, key)) = place(command) else { return Ok(()) };
    let body = serde_json::to_string(command).map_err(corrupt)?;
    transaction
        .prepare_cached(
            "INSERT INTO desired (device, kind, key, number, body, applied_at, error) VALUES (?, ?, ?, ?, ?, ?, NULL) \
             ON CONFLICT (device, kind, key) DO UPDATE SET number = excluded.number, body = excluded.body, \
             applied_at = excluded.applied_at, error = NULL",
        )?
        .execute(params![device.as_str(), kind, key, number, body, at.0])?;
    Ok(())
}

fn forget(
    transaction: &Transaction<'_>,
    device: &DeviceId,
    kind: &str,
    key: &str,
) -> Result<(), StorageError> {
    transaction
        .prepare_cached("DELETE FROM desired WHERE device = ? AND kind = ? AND key = ?")?
        .execute(params![device.as_str(), kind, key])?;
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
    let sql = format!(
        "SELECT kind, key, number, body, applied_at, error FROM desired WHERE device = ? ORDER BY {ORDER}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![device.as_str()])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, key, body): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let command = match serde_json::from_str(&body) {
            Ok(command) => command,
            Err(error) => {
                tracing::error!(%device, kind, key, %error, "what was assigned cannot be read, and is not given back");
                continue;
            }
        };
        all.push(Desired {
            kind,
            key,
            number: row.get::<_, Option<String>>(2)?.map(Text::from),
            command,
            applied_at: Timestamp(row.get(4)?),
            error: row.get(5)?,
        });
    }
    Ok(all)
}
