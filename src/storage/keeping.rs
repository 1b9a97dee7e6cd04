//! Forgetting: what is older than it is to be kept, and a number that is to be erased. Everything is done a little at a
//! time, between the commits of what comes in.

use serde::{Deserialize, Serialize};
use switchroom_domain::time::Timestamp;
use utoipa::ToSchema;
use uuid::Uuid;

use super::StorageError;
use super::db::{self, Connection, OptionalExtension, Transaction, Value, params};
use crate::privacy;

/// So many settings are looked at at a time.
const SETTINGS: usize = 1000;

/// Where ids of version 7 of this time begin.
fn id_of(at: i64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&at.max(0).to_be_bytes()[2..]);
    id
}

fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Removes up to so many rows of the log from before this time, the oldest first: not the last one, and none that a
/// cell or a table still lacks. Gives how many.
///
/// # Errors
/// When the database refuses it.
pub fn prune_log(connection: &Connection, before: i64, limit: usize) -> Result<usize, StorageError> {
    let reached = |key: &str| {
        let text: Option<String> = connection
            .query_row("SELECT value FROM meta WHERE key = ?", params![key], |row| row.get(0))
            .optional()?;
        Ok::<i64, StorageError>(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    };
    let floor = reached("replay_floor")?.min(reached("tables_reach")?);
    let sql = "DELETE FROM log WHERE last_report IN (SELECT last_report FROM log WHERE at < ?1 AND last_report <= ?2 \
               ORDER BY last_report LIMIT ?3) AND last_report < (SELECT max(last_report) FROM log)";
    Ok(connection.execute(sql, params![before, floor, bounded(limit)])?)
}

/// Removes up to so many ended calls that began before this time; gives how many.
///
/// # Errors
/// When the database refuses it.
pub fn prune_calls(connection: &Connection, before: i64, limit: usize) -> Result<usize, StorageError> {
    let sql = "DELETE FROM call WHERE id IN (SELECT id FROM call WHERE id < ? ORDER BY id LIMIT ?)";
    Ok(connection.execute(sql, params![id_of(before).as_slice(), bounded(limit)])?)
}

/// Removes up to so many settled commands from before this time; gives how many.
///
/// # Errors
/// When the database refuses it.
pub fn prune_commands(connection: &Connection, before: i64, limit: usize) -> Result<usize, StorageError> {
    let sql = "DELETE FROM command WHERE id IN (SELECT id FROM command WHERE id < ? AND open = 0 ORDER BY id LIMIT ?)";
    Ok(connection.execute(sql, params![id_of(before).as_slice(), bounded(limit)])?)
}

/// What is looked through for a number beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Ended calls.
    Call,
    /// Call records.
    Cdr,
    /// Conversations.
    Conversation,
    /// Commands.
    Command,
    /// Recordings.
    Recording,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Call, Self::Cdr, Self::Conversation, Self::Command, Self::Recording];

    const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Cdr => "cdr",
            Self::Conversation => "conversation",
            Self::Command => "command",
            Self::Recording => "recording",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Call | Self::Command | Self::Recording => "id",
            Self::Cdr | Self::Conversation => "place",
        }
    }

    /// Is it found by numbers, which stand beside its body: its parties and its trunk?
    const fn is_found_by_numbers(self) -> bool {
        matches!(self, Self::Cdr | Self::Conversation)
    }

    /// Its body, its parties, its trunk.
    const fn columns(self) -> &'static str {
        if self.is_found_by_numbers() { "body, parties, trunk" } else { "body, '', NULL" }
    }

    /// What comes before every key.
    const fn beginning(self) -> Value {
        match self {
            Self::Call | Self::Command | Self::Recording => Value::Blob(Vec::new()),
            Self::Cdr | Self::Conversation => Value::Integer(i64::MIN),
        }
    }
}

/// What of a page names a number; and where to go on, if there is more.
#[derive(Debug, Default)]
pub struct Found {
    /// The keys of these rows.
    pub keys: Vec<Value>,
    /// The key after which it goes on.
    pub next: Option<Value>,
}

/// Looks through a page of a table.
///
/// # Errors
/// When it cannot be read.
pub fn look(
    connection: &Connection,
    table: Table,
    after: Option<Value>,
    limit: usize,
    number: &str,
) -> Result<Found, StorageError> {
    let (name, key, columns) = (table.name(), table.key(), table.columns());
    let sql = format!("SELECT {key}, {columns} FROM {name} WHERE {key} > ? ORDER BY {key} LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let after = after.unwrap_or_else(|| table.beginning());
    let mut rows = statement.query(params![after, bounded(limit)])?;
    let (mut found, mut count) = (Found::default(), 0);
    while let Some(row) = rows.next()? {
        let at: Value = row.get(0)?;
        let texts: [Option<String>; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
        count += 1;
        if texts.iter().flatten().any(|text| privacy::names(text.as_bytes(), number)) {
            found.keys.push(at.clone());
        }
        found.next = Some(at);
    }
    found.next = found.next.filter(|_| count >= limit);
    Ok(found)
}

/// A text without a number.
///
/// # Errors
/// Never, as long as digits are replaced by as many letters.
pub fn without(text: &str, number: &str, is_json: bool) -> Result<String, StorageError> {
    let mut bytes = text.as_bytes().to_vec();
    if is_json {
        privacy::erase_json(&mut bytes, number)
    } else {
        privacy::erase(&mut bytes, number)
    };
    String::from_utf8(bytes).map_err(|error| StorageError::Corrupt(error.to_string()))
}

/// Strikes a number out of rows, as they are now, and out of what they are found by.
///
/// # Errors
/// When the database refuses it.
pub fn strike(
    connection: &mut Connection,
    table: Table,
    keys: &[Value],
    number: &str,
) -> Result<(), StorageError> {
    let (name, key, columns) = (table.name(), table.key(), table.columns());
    let transaction = connection.transaction()?;
    for at in keys {
        let row: Option<(String, String, Option<String>)> = transaction
            .prepare_cached(&format!("SELECT {columns} FROM {name} WHERE {key} = ?"))?
            .query_row(params![at], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        // Removed meanwhile, for its age.
        let Some((body, parties, trunk)) = row else { continue };
        let body = without(&body, number, true)?;
        if !table.is_found_by_numbers() {
            transaction
                .prepare_cached(&format!("UPDATE {name} SET body = ? WHERE {key} = ?"))?
                .execute(params![body, at])?;
            continue;
        }
        let trunk = trunk.map(|trunk| without(&trunk, number, false)).transpose()?;
        transaction
            .prepare_cached(&format!("UPDATE {name} SET body = ?, parties = ?, trunk = ? WHERE {key} = ?"))?
            .execute(params![body, without(&parties, number, false)?, trunk, at])?;
        let named = parties.split('|').filter(|party| privacy::names(party.as_bytes(), number));
        for party in named {
            take_entry(&transaction, name, party, at)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Takes a number out of what a record is found by; gives how many entries.
fn take_entry(
    transaction: &Transaction<'_>,
    table: &str,
    number: &str,
    place: &Value,
) -> Result<usize, StorageError> {
    let reversed: String = number.chars().rev().collect();
    transaction
        .prepare_cached(&format!("DELETE FROM {table}_party_end WHERE number = ? AND place = ?"))?
        .execute(params![reversed, place])?;
    Ok(transaction
        .prepare_cached(&format!("DELETE FROM {table}_party WHERE number = ? AND place = ?"))?
        .execute(params![number, place])?)
}

/// An entry of what records are found by: a number, and the record's place.
pub type IndexEntry = (String, i64);

/// Looks through a page of what records are found by: the entries that name a number, and where to go on.
///
/// # Errors
/// When it cannot be read.
pub fn look_in_index(
    connection: &Connection,
    table: &str,
    after: &IndexEntry,
    limit: usize,
    number: &str,
) -> Result<(Vec<IndexEntry>, Option<IndexEntry>), StorageError> {
    let sql = format!(
        "SELECT number, place FROM {table}_party WHERE (number, place) > (?, ?) ORDER BY number, place LIMIT ?"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![after.0, after.1, bounded(limit)])?;
    let (mut found, mut last, mut count) = (Vec::new(), None, 0);
    while let Some(row) = rows.next()? {
        let entry: IndexEntry = (row.get(0)?, row.get(1)?);
        count += 1;
        if privacy::names(entry.0.as_bytes(), number) {
            found.push(entry.clone());
        }
        last = Some(entry);
    }
    Ok((found, last.filter(|_| count >= limit)))
}

/// Takes entries out of what records are found by; gives how many there were.
///
/// # Errors
/// When the database refuses it.
pub fn take_out_of_index(
    connection: &mut Connection,
    table: &str,
    entries: &[IndexEntry],
) -> Result<usize, StorageError> {
    let transaction = connection.transaction()?;
    let mut taken = 0;
    for (number, place) in entries {
        taken += take_entry(&transaction, table, number, &Value::Integer(*place))?;
    }
    transaction.commit()?;
    Ok(taken)
}

/// Takes a number out of some cells as they are written down, from after this device's key on; gives the devices whose
/// cells named it, and where to go on.
///
/// # Errors
/// When the database refuses it.
pub fn take_out_of_snapshots(
    connection: &mut Connection,
    after: i64,
    limit: usize,
    number: &str,
) -> Result<(Vec<String>, Option<i64>), StorageError> {
    let transaction = connection.transaction()?;
    let page: Vec<(i64, String, Vec<u8>)> = transaction
        .prepare_cached(
            "SELECT s.device, d.id, s.body FROM snapshot s JOIN device d ON d.key = s.device WHERE s.device > ? \
             ORDER BY s.device LIMIT ?",
        )?
        .query_map(params![after, bounded(limit)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let next = page.last().filter(|_| page.len() >= limit).map(|(key, ..)| *key);
    let mut devices = Vec::new();
    for (key, id, mut body) in page {
        if privacy::erase_json(&mut body, number) > 0 {
            transaction
                .prepare_cached("UPDATE snapshot SET body = ? WHERE device = ?")?
                .execute(params![body, key])?;
            devices.push(id);
        }
    }
    transaction.commit()?;
    Ok((devices, next))
}

/// Where a report stands that was set aside: its device, when, and what tells it from others of that time.
pub type SetAside = (String, i64, i64);

/// Takes a number out of some of what was set aside, from after this place on; gives how often it stood there, and
/// where to go on.
///
/// # Errors
/// When the database refuses it.
pub fn take_out_of_quarantine(
    connection: &mut Connection,
    after: &SetAside,
    limit: usize,
    number: &str,
) -> Result<(usize, Option<SetAside>), StorageError> {
    let transaction = connection.transaction()?;
    let page: Vec<(SetAside, Vec<u8>)> = transaction
        .prepare_cached(
            "SELECT device, at, entropy, body FROM quarantine WHERE (device, at, entropy) > (?, ?, ?) \
             ORDER BY device, at, entropy LIMIT ?",
        )?
        .query_map(params![after.0, after.1, after.2, bounded(limit)], |row| {
            Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    let next = page.last().filter(|_| page.len() >= limit).map(|(place, _)| place.clone());
    let mut taken = 0;
    for ((device, at, entropy), mut body) in page {
        let places = privacy::erase(&mut body, number);
        if places > 0 {
            taken += places;
            transaction
                .prepare_cached("UPDATE quarantine SET body = ? WHERE device = ? AND at = ? AND entropy = ?")?
                .execute(params![body, device, at, entropy])?;
        }
    }
    transaction.commit()?;
    Ok((taken, next))
}

/// Has the database write zeros over whatever is deleted or changed from now on, whatever it costs; or again only where
/// that costs nothing, and then what it has logged of the former is emptied. PostgreSQL knows no such thing: what was
/// deleted leaves its files when its room is used again (docs/privacy.md says how to have that at once).
///
/// # Errors
/// When the database refuses it.
pub fn secure_delete(connection: &Connection, on: bool) -> Result<(), StorageError> {
    if let Connection::Sqlite(connection) = connection {
        let how = if on { "ON" } else { "FAST" };
        let set = connection.pragma_update_and_check(None, "secure_delete", how, |_| Ok(()));
        set.map_err(db::Error::from)?;
        if !on && !super::sqlite::empty_log(connection).map_err(db::Error::from)? {
            tracing::warn!(
                "the write-ahead log is being read from and was not emptied: what was erased leaves it with the next \
                 checkpoints"
            );
        }
    }
    Ok(())
}

/// How many settings that were assigned through us name the number: they are left, since telephones work by them.
///
/// # Errors
/// When they cannot be read.
pub fn settings_with(connection: &Connection, number: &str) -> Result<usize, StorageError> {
    let mut statement = connection.prepare_cached(
        "SELECT device, kind, key, body FROM desired WHERE (device, kind, key) > (?, ?, ?) \
         ORDER BY device, kind, key LIMIT ?",
    )?;
    let (mut count, mut after) = (0, (String::new(), String::new(), String::new()));
    loop {
        let mut rows = statement.query(params![after.0, after.1, after.2, bounded(SETTINGS)])?;
        let mut looked = 0;
        while let Some(row) = rows.next()? {
            looked += 1;
            after = (row.get(0)?, row.get(1)?, row.get(2)?);
            count += usize::from(privacy::names(row.get::<_, String>(3)?.as_bytes(), number));
        }
        if looked < SETTINGS {
            return Ok(count);
        }
    }
}

/// How far an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasureState {
    /// It is at work, also over a restart.
    Running,
    /// The number is nowhere any more.
    Done,
}

/// How often a number was found and struck out, by where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Erased {
    /// Places in the log of raw reports and events.
    pub log: usize,
    /// Devices whose live state named it.
    pub devices: usize,
    /// Ended calls.
    pub calls: usize,
    /// Call records.
    pub cdrs: usize,
    /// Conversations.
    pub conversations: usize,
    /// Commands.
    pub commands: usize,
    /// Recordings, whose audio was deleted.
    pub recordings: usize,
    /// Entries of the audit log, whose details were forgotten.
    pub audit: usize,
    /// Places in reports that were set aside.
    pub quarantine: usize,
    /// Places in call records that are kept in files.
    pub kept_cdrs: usize,
    /// Numbers by which calls were summed; the sums stay.
    pub statistics: usize,
}

/// The erasure of a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Erasure {
    /// Its id.
    #[schema(value_type = String)]
    pub id: Uuid,
    /// The number, masked.
    #[schema(example = "130****5678")]
    pub number: String,
    /// Why, as whoever asked for it says.
    pub reason: Option<String>,
    /// How far it is.
    pub state: ErasureState,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// When it was done.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// What was found and struck out.
    pub erased: Erased,
    /// Settings of extensions that were assigned through here and name it: they are kept, change them yourself.
    pub settings_kept: usize,
    /// Webhooks and targets that get events, and `cdr` for the application server that records are forwarded to: what they took before is with them, and they must be told.
    pub receivers: Vec<String>,
}

/// Keeps an erasure; `number` is there until it is done.
///
/// # Errors
/// When it cannot be written.
pub fn put_erasure(
    connection: &Connection,
    erasure: &Erasure,
    number: Option<&str>,
) -> Result<(), StorageError> {
    let body = serde_json::to_string(erasure).map_err(|error| StorageError::Corrupt(error.to_string()))?;
    connection
        .prepare_cached(
            "INSERT INTO erasure (id, number, body) VALUES (?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET number = excluded.number, body = excluded.body",
        )?
        .execute(params![erasure.id.as_bytes().as_slice(), number, body])?;
    Ok(())
}

/// Erasures, the newest first, each with its number while it is at work.
///
/// # Errors
/// When they cannot be read.
pub fn erasures(
    connection: &Connection,
    limit: usize,
) -> Result<Vec<(Erasure, Option<String>)>, StorageError> {
    let mut statement =
        connection.prepare_cached("SELECT body, number FROM erasure ORDER BY id DESC LIMIT ?")?;
    let rows =
        statement.query_map(params![bounded(limit)], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    rows.map(|row| {
        let (body, number) = row?;
        Ok((super::reader::parse(&body)?, number))
    })
    .collect()
}
