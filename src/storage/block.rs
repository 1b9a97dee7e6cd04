//! Blocks: how the log is kept. The reports and events of one commit are one row, packed and compressed.
//!
//! A row for each report and each event costs more in the database than everything else that is done for a
//! report: a tree to walk, a page to write and to check, once in the write-ahead log and once in the file. A
//! block costs that once for everything that was committed together, and as one event looks much like the
//! next, it takes an eighth of the room. What is looked up singly (calls, records, devices) has tables of its
//! own; the log is only ever read forward, from a cursor or a snapshot on.
//!
//! The ids of reports and the cursors of events go on without a hole from block to block, so neither is stored:
//! a block knows its first ones.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use switchroom_actors::ports::{Entry, INTERNAL, RawReport, SealedEvent};
use switchroom_domain::event::{Event, EventKind};
use switchroom_domain::id::{DeviceId, EventId, IdSeed};
use switchroom_domain::time::Timestamp;

use super::db::{self, Connection, Error, OptionalExtension, Transaction, params};
use super::tables::Row;
use super::{Published, StorageError};

/// Below this size compressing gains nothing.
const WORTH_PACKING: usize = 512;
/// How a body begins: not compressed, or in LZ4. Both hold the same [postcard](https://postcard.jamesmunns.com).
const PLAIN: u8 = 1;
const PACKED: u8 = 2;
/// What a body may unpack to: far more than a commit holds. Guards against a damaged file.
const LARGEST: usize = 256 * 1024 * 1024;

/// What was committed together, in order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Block<'a> {
    /// The inputs.
    #[serde(borrow)]
    pub reports: Vec<Logged<'a>>,
    /// What they caused.
    #[serde(borrow)]
    pub events: Vec<LoggedEvent<'a>>,
    /// The calls that ended and the records that came, on their way to their tables.
    pub rows: Vec<Row>,
}

/// An input of a cell.
#[derive(Debug, Serialize, Deserialize)]
pub struct Logged<'a> {
    /// The device's key.
    pub device: i64,
    /// Its time.
    pub at: i64,
    /// Its randomness.
    pub entropy: u64,
    /// What came in; none when time passed.
    #[serde(borrow)]
    pub report: Option<LoggedReport<'a>>,
}

/// A report, as it is run again.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoggedReport<'a> {
    /// From which address.
    pub source: &'a str,
    /// In which dialect.
    pub dialect: &'a str,
    /// The dialect's name of it.
    pub name: &'a str,
    /// Its content type, where it is needed.
    pub content_type: Option<&'a str>,
    /// Its body.
    #[serde(with = "serde_bytes")]
    pub body: &'a [u8],
}

/// An event. What it says is kept in MessagePack with the names of its fields, so that later versions, which may know
/// more fields, read it; its envelope is made again when it is read.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoggedEvent<'a> {
    /// The device's key.
    pub device: i64,
    /// Its id.
    pub id: [u8; 16],
    /// Its kind, by name.
    pub kind: &'a str,
    /// Its time.
    pub at: i64,
    /// The device's count.
    pub sequence: u64,
    /// What it is about.
    pub subject: &'a str,
    /// What it says.
    pub data: Cow<'a, serde_bytes::Bytes>,
}

impl<'a> LoggedEvent<'a> {
    fn new(device: i64, event: &'a Event) -> Result<Self, StorageError> {
        let data = rmp_serde::to_vec_named(&event.data)
            .map_err(|error| StorageError::Corrupt(format!("an event cannot be packed: {error}")))?;
        Ok(Self {
            device,
            id: event.id.0.into_bytes(),
            kind: event.kind.as_str(),
            at: event.at.0,
            sequence: event.sequence,
            subject: &event.subject,
            data: Cow::Owned(serde_bytes::ByteBuf::from(data)),
        })
    }

    fn event(&self, device: DeviceId) -> Result<Event, StorageError> {
        let corrupt = |what: String| StorageError::Corrupt(format!("an event cannot be read: {what}"));
        Ok(Event {
            id: EventId(uuid::Uuid::from_bytes(self.id)),
            device,
            kind: EventKind::parse(self.kind)
                .ok_or_else(|| corrupt(format!("its kind {:?} is not known here", self.kind)))?,
            at: Timestamp(self.at),
            sequence: self.sequence,
            subject: self.subject.into(),
            data: rmp_serde::from_slice(&self.data).map_err(|error| corrupt(error.to_string()))?,
        })
    }
}

impl<'a> Block<'a> {
    /// Adds an input.
    pub fn add(&mut self, device: i64, entry: &'a Entry) {
        let (seed, report) = match entry {
            Entry::Timer(seed) => (*seed, None),
            Entry::Report(raw) => {
                let report = LoggedReport {
                    source: &raw.source,
                    dialect: raw.dialect,
                    name: &raw.name,
                    content_type: raw.content_type.as_deref(),
                    body: &raw.body,
                };
                (raw.seed, Some(report))
            }
        };
        self.reports.push(Logged { device, at: seed.at.0, entropy: seed.entropy, report });
    }

    /// Adds an event.
    ///
    /// # Errors
    /// When it has no packed form.
    pub fn announce(&mut self, device: i64, event: &'a Event) -> Result<(), StorageError> {
        self.events.push(LoggedEvent::new(device, event)?);
        Ok(())
    }

    fn packed(&self) -> Result<Vec<u8>, StorageError> {
        let plain = postcard::to_allocvec(self)
            .map_err(|error| StorageError::Corrupt(format!("a block cannot be packed: {error}")))?;
        Ok(pack(plain))
    }

    /// The devices in it, as a sorted list that is looked at before the body is read.
    fn devices(&self) -> Vec<u8> {
        let reports = self.reports.iter().map(|report| report.device);
        let mut devices: Vec<i64> = reports.chain(self.events.iter().map(|event| event.device)).collect();
        devices.sort_unstable();
        devices.dedup();
        devices.iter().flat_map(|device| device.to_be_bytes()).collect()
    }

    /// Writes it as the next row.
    ///
    /// # Errors
    /// When the database refuses it.
    pub fn write(
        &self,
        transaction: &Transaction<'_>,
        last_report: i64,
        last_event: i64,
    ) -> Result<(), StorageError> {
        // Whatever happens is caused by a report or by time that passed, which is logged as one.
        let Some(last) = self.reports.last() else { return Ok(()) };
        transaction
            .prepare_cached(
                "INSERT INTO log (last_report, reports, last_event, events, at, devices, body) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .post(params![
                last_report,
                count(self.reports.len()),
                last_event,
                count(self.events.len()),
                last.at,
                self.devices(),
                self.packed()?
            ])?;
        Ok(())
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl Logged<'_> {
    fn entry(&self) -> Option<Entry> {
        let seed = IdSeed { at: Timestamp(self.at), entropy: self.entropy };
        let Some(report) = &self.report else { return Some(Entry::Timer(seed)) };
        Some(Entry::Report(RawReport {
            seed,
            source: report.source.into(),
            dialect: crate::devices::dialect_name(report.dialect)?,
            name: report.name.into(),
            content_type: report.content_type.map(Into::into),
            body: Bytes::copy_from_slice(report.body),
        }))
    }
}

fn pack(mut plain: Vec<u8>) -> Vec<u8> {
    if plain.len() < WORTH_PACKING {
        plain.insert(0, PLAIN);
        return plain;
    }
    let mut packed = vec![PACKED];
    packed.extend(lz4_flex::block::compress_prepend_size(&plain));
    packed
}

fn unpack(body: &[u8]) -> Result<Cow<'_, [u8]>, StorageError> {
    let corrupt = |what: String| StorageError::Corrupt(format!("a block of the log cannot be read: {what}"));
    match body.split_first() {
        Some((&PLAIN, rest)) => Ok(Cow::Borrowed(rest)),
        Some((&PACKED, rest)) => {
            let (size, _) = lz4_flex::block::uncompressed_size(rest).map_err(|e| corrupt(e.to_string()))?;
            if size > LARGEST {
                return Err(corrupt(format!("it claims {size} bytes")));
            }
            lz4_flex::block::decompress_size_prepended(rest)
                .map(Cow::Owned)
                .map_err(|error| corrupt(error.to_string()))
        }
        Some((form, _)) => Err(corrupt(format!("its form {form} is of a later version"))),
        None => Err(corrupt("it is empty".into())),
    }
}

fn holds(devices: &[u8], device: i64) -> bool {
    let (keys, _) = devices.as_chunks::<8>();
    keys.binary_search(&device.to_be_bytes()).is_ok()
}

/// Blocks that named a number, as they are without it.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// Each with its last report, by which it is known.
    pub blocks: Vec<(i64, Vec<u8>)>,
    /// How often the number stood in them.
    pub places: usize,
    /// The last report after which it goes on; none: this was the end.
    pub next: Option<i64>,
}

/// Looks through a page of the log for a number.
///
/// # Errors
/// When the database cannot be read.
pub fn look(
    connection: &Connection,
    after: i64,
    limit: usize,
    number: &str,
) -> Result<Rewritten, StorageError> {
    let mut statement = connection.prepare_cached(
        "SELECT last_report, body FROM log WHERE last_report > ? ORDER BY last_report LIMIT ?",
    )?;
    let mut rows = statement.query(params![after, count(limit)])?;
    let (mut found, mut looked) = (Rewritten::default(), 0);
    while let Some(row) = rows.next()? {
        let (last_report, body): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let mut plain = unpack(&body)?.into_owned();
        // What replaces a number is as long as it was, so that everything else stays where it is.
        let places = crate::privacy::erase(&mut plain, number);
        if places > 0 {
            found.places += places;
            found.blocks.push((last_report, pack(plain)));
        }
        looked += 1;
        found.next = Some(last_report);
    }
    found.next = found.next.filter(|_| looked >= limit);
    Ok(found)
}

/// Writes blocks back.
///
/// # Errors
/// When the database refuses it.
pub fn write_back(connection: &mut Connection, blocks: &[(i64, Vec<u8>)]) -> Result<(), StorageError> {
    let transaction = connection.transaction()?;
    for (last_report, body) in blocks {
        transaction
            .prepare_cached("UPDATE log SET body = ? WHERE last_report = ?")?
            .execute(params![body, last_report])?;
    }
    transaction.commit()?;
    Ok(())
}

/// Where the log ends: its last report and its last event.
///
/// # Errors
/// When the database cannot be read.
pub fn end(connection: &Connection) -> Result<(i64, i64), StorageError> {
    let end = connection
        .query_row("SELECT last_report, last_event FROM log ORDER BY last_report DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(end.unwrap_or((0, 0)))
}

/// The cursor before the oldest event that is kept.
///
/// # Errors
/// When the database cannot be read.
pub fn oldest(connection: &Connection) -> Result<u64, StorageError> {
    let first: Option<i64> = connection
        .prepare_cached("SELECT last_event - events FROM log ORDER BY last_report LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(first.map_or(0, |before| u64::try_from(before).unwrap_or(0)))
}

/// The id before the oldest report that is kept.
///
/// # Errors
/// When the database cannot be read.
pub fn oldest_report(connection: &Connection) -> Result<u64, StorageError> {
    let first: Option<i64> = connection
        .prepare_cached("SELECT last_report - reports FROM log ORDER BY last_report LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(first.map_or(0, |before| u64::try_from(before).unwrap_or(0)))
}

/// A cursor before every event of this time: the last one of the blocks that end earlier.
///
/// # Errors
/// When the database cannot be read.
pub fn cursor_before(connection: &Connection, at: Timestamp) -> Result<u64, StorageError> {
    Ok(before(connection, at)?.1)
}

/// The id of a report before every report of this time.
///
/// # Errors
/// When the database cannot be read.
pub fn report_before(connection: &Connection, at: Timestamp) -> Result<u64, StorageError> {
    Ok(before(connection, at)?.0)
}

/// The last report and the last event of the blocks that end before this time.
fn before(connection: &Connection, at: Timestamp) -> Result<(u64, u64), StorageError> {
    let ends: Option<(i64, i64)> =
        connection.query_row("SELECT min(last_report), max(last_report) FROM log", [], |row| {
            Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?))
        })?;
    let Some((mut low, mut high)) = ends else { return Ok((0, 0)) };
    let mut statement = connection.prepare_cached(
        "SELECT last_report, at, last_report - reports, last_event - events FROM log WHERE last_report >= ? \
         ORDER BY last_report LIMIT 1",
    )?;
    // Blocks follow each other in time: the first one that does not end earlier is looked for by halves.
    let mut before = (oldest_report(connection)?, oldest(connection)?);
    while low <= high {
        let middle = low + (high - low) / 2;
        let (block, ends, report, event): (i64, i64, i64, i64) = statement
            .query_row(params![middle], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        if ends < at.0 {
            low = block + 1;
            before = (u64::try_from(report).unwrap_or(0), u64::try_from(event).unwrap_or(0));
        } else {
            high = middle - 1;
        }
    }
    Ok(before)
}

/// How many blocks one question looks into.
const BLOCKS_AT_A_TIME: usize = 256;
/// How many it passes over, because the device is not in them.
const PASSED_AT_A_TIME: usize = 16_384;
/// Of so many it is read at a time what is in them.
const HEADS: usize = 256;

/// Events after a cursor, of one device or all; up to `limit`, and no more than a bounded number of blocks is
/// looked at. Gives how far that came, which is the cursor to go on from, and none at the end of the log.
///
/// # Errors
/// When the database cannot be read.
pub fn events(
    connection: &Connection,
    after: u64,
    device: Option<i64>,
    limit: usize,
) -> Result<(Vec<Published>, Option<u64>), StorageError> {
    let mut names = HashMap::new();
    let mut statement = connection.prepare_cached(&format!(
        "SELECT last_report, last_event - events + 1, last_event, devices FROM log \
             WHERE (last_event, last_report) > (?, ?) ORDER BY last_event, last_report LIMIT {HEADS}"
    ))?;
    let mut reached = (i64::try_from(after).unwrap_or(i64::MAX), i64::MAX);
    let (mut found, mut looked, mut passed) = (Vec::new(), 0, 0);
    loop {
        let mut rows = statement.query(params![reached.0, reached.1])?;
        let mut heads = 0;
        while let Some(row) = rows.next()? {
            let (block, first, last): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            heads += 1;
            reached = (last, block);
            if is_in(row, 3, device)? {
                looked += 1;
                let body = body(connection, block)?;
                for (cursor, event) in (first.cast_unsigned()..).zip(&read(&body)?.events) {
                    if cursor <= after || device.is_some_and(|key| key != event.device) {
                        continue;
                    }
                    if found.len() == limit {
                        return Ok((found, Some(cursor - 1)));
                    }
                    let name = match names.entry(event.device) {
                        Slot::Occupied(known) => known.into_mut(),
                        Slot::Vacant(new) => new.insert(device_of(connection, event.device)?),
                    };
                    found.push(Published { cursor, sealed: SealedEvent::new(event.event(name.clone())?) });
                }
            } else {
                passed += 1;
            }
            if looked >= BLOCKS_AT_A_TIME || passed >= PASSED_AT_A_TIME {
                return Ok((found, Some(last.cast_unsigned())));
            }
        }
        if heads < HEADS {
            return Ok((found, None));
        }
    }
}

fn blob(row: db::Row<'_>, column: usize) -> Result<&[u8], Error> {
    row.get_ref(column)?.as_blob().ok_or(Error::Type { column, wanted: "bytes" })
}

/// A report of a device in the log.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its place in the log.
    pub cursor: u64,
    /// Whose it is.
    pub device: DeviceId,
    /// It, as it came in, secrets struck out.
    pub report: RawReport,
}

/// Reports of devices after a place in the log, without what we noted there ourselves; up to `limit`, and no more than a
/// bounded number of blocks is looked at. Gives how far that came, and none at the end of the log.
///
/// # Errors
/// When the database cannot be read.
pub fn reports(
    connection: &Connection,
    after: u64,
    limit: usize,
) -> Result<(Vec<Received>, Option<u64>), StorageError> {
    let mut names = HashMap::new();
    let mut statement = connection.prepare_cached(&format!(
        "SELECT last_report, last_report - reports + 1 FROM log WHERE last_report > ? ORDER BY last_report \
         LIMIT {BLOCKS_AT_A_TIME}"
    ))?;
    let mut rows = statement.query(params![i64::try_from(after).unwrap_or(i64::MAX)])?;
    let (mut found, mut looked) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let (block, first): (i64, i64) = (row.get(0)?, row.get(1)?);
        let body = body(connection, block)?;
        for (cursor, logged) in (first.cast_unsigned()..).zip(&read(&body)?.reports) {
            if cursor <= after || logged.report.as_ref().is_none_or(|report| report.dialect == INTERNAL) {
                continue;
            }
            if found.len() == limit {
                return Ok((found, Some(cursor - 1)));
            }
            let Some(Entry::Report(report)) = logged.entry() else { continue };
            let device = match names.entry(logged.device) {
                Slot::Occupied(known) => known.into_mut(),
                Slot::Vacant(new) => new.insert(device_of(connection, logged.device)?),
            };
            found.push(Received { cursor, device: device.clone(), report });
        }
        looked += 1;
        if looked >= BLOCKS_AT_A_TIME {
            return Ok((found, Some(block.cast_unsigned())));
        }
    }
    Ok((found, None))
}

/// Is this device in the block of this row? Looks at nothing but the list of devices: the body lies on other pages.
fn is_in(row: db::Row<'_>, column: usize, device: Option<i64>) -> Result<bool, StorageError> {
    let Some(device) = device else { return Ok(true) };
    let devices = blob(row, column)?;
    Ok(holds(devices, device))
}

/// The unpacked body of a block.
fn body(connection: &Connection, block: i64) -> Result<Vec<u8>, StorageError> {
    let mut statement = connection.prepare_cached("SELECT body FROM log WHERE last_report = ?")?;
    let mut rows = statement.query(params![block])?;
    let row = rows.next()?.ok_or(Error::NoRows)?;
    let packed = blob(row, 0)?;
    Ok(unpack(packed)?.into_owned())
}

/// The id of a device.
pub(super) fn device_of(connection: &Connection, key: i64) -> Result<DeviceId, StorageError> {
    let id: String = connection
        .prepare_cached("SELECT id FROM device WHERE key = ?")?
        .query_row(params![key], |row| row.get(0))?;
    DeviceId::new(id).map_err(|error| StorageError::Corrupt(error.to_string()))
}

fn read<'a>(body: &'a [u8]) -> Result<Block<'a>, StorageError> {
    postcard::from_bytes(body)
        .map_err(|error| StorageError::Corrupt(format!("a block of the log cannot be read: {error}")))
}

/// A stretch of one device's log.
#[derive(Debug, Default)]
pub struct Stretch {
    /// Its inputs with their ids, in order.
    pub inputs: Vec<(i64, Entry)>,
    /// Its events, in order.
    pub events: Vec<Published>,
    /// The input to go on after; none: this was all.
    pub next: Option<i64>,
}

/// What one device's log holds of a time, up to so many inputs, after this input.
///
/// # Errors
/// When the database cannot be read.
pub fn stretch(
    connection: &Connection,
    device: i64,
    (from, to): (Timestamp, Timestamp),
    after: i64,
    limit: usize,
) -> Result<Stretch, StorageError> {
    let name = device_of(connection, device)?;
    let mut found = Stretch::default();
    let begin: Option<i64> = connection
        .prepare_cached("SELECT min(last_report) FROM log WHERE at >= ?")?
        .query_row(params![from.0], |row| row.get(0))?;
    let Some(begin) = begin else { return Ok(found) };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT last_report, last_report - reports + 1, last_event - events + 1, devices FROM log \
         WHERE last_report > ? ORDER BY last_report LIMIT {HEADS}"
    ))?;
    let mut reached = after.max(begin - 1);
    loop {
        let mut rows = statement.query(params![reached])?;
        let mut heads = 0;
        while let Some(row) = rows.next()? {
            let (block, first, first_event): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            heads += 1;
            reached = block;
            if !is_in(row, 3, Some(device))? {
                continue;
            }
            let body = body(connection, block)?;
            let block = read(&body)?;
            if block.reports.iter().all(|logged| logged.at > to.0) {
                return Ok(found);
            }
            let is_meant = |at: i64| (from.0..=to.0).contains(&at);
            for (id, logged) in (first..).zip(&block.reports) {
                if id > after && logged.device == device && is_meant(logged.at) {
                    found.inputs.extend(logged.entry().map(|entry| (id, entry)));
                }
            }
            for (cursor, event) in (first_event.cast_unsigned()..).zip(&block.events) {
                if event.device == device && is_meant(event.at) {
                    let sealed = SealedEvent::new(event.event(name.clone())?);
                    found.events.push(Published { cursor, sealed });
                }
            }
            // A block is taken whole: its events are of its inputs.
            if found.inputs.len() >= limit {
                found.next = Some(first + count(block.reports.len()) - 1);
                return Ok(found);
            }
        }
        if heads < HEADS {
            return Ok(found);
        }
    }
}

/// Runs over the inputs from `after` on, of one device or all; the callback gets an input's id, the device's key and
/// the input.
///
/// # Errors
/// When the database cannot be read.
pub fn inputs(
    connection: &Connection,
    after: i64,
    device: Option<i64>,
    mut visit: impl FnMut(i64, i64, Entry),
) -> Result<(), StorageError> {
    each(connection, after, device, |id, logged| {
        if let Some(entry) = logged.entry() {
            visit(id, logged.device, entry);
        }
    })
}

/// Runs over the inputs as they are stored.
pub(super) fn each(
    connection: &Connection,
    after: i64,
    device: Option<i64>,
    mut visit: impl FnMut(i64, &Logged<'_>),
) -> Result<(), StorageError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT last_report, last_report - reports + 1, devices FROM log WHERE last_report > ? \
         ORDER BY last_report LIMIT {HEADS}"
    ))?;
    let mut reached = after;
    loop {
        let mut rows = statement.query(params![reached])?;
        let mut heads = 0;
        while let Some(row) = rows.next()? {
            let (block, first): (i64, i64) = (row.get(0)?, row.get(1)?);
            heads += 1;
            reached = block;
            if !is_in(row, 2, device)? {
                continue;
            }
            let body = body(connection, block)?;
            let block = read(&body)?;
            for (id, logged) in (first..).zip(&block.reports) {
                if id > after && device.is_none_or(|key| key == logged.device) {
                    visit(id, logged);
                }
            }
        }
        if heads < HEADS {
            return Ok(());
        }
    }
}

/// The rows in the first block after this report, and its last report.
///
/// # Errors
/// When the database cannot be read.
pub(super) fn rows_after(
    connection: &Connection,
    after: i64,
) -> Result<Option<(i64, Vec<Row>)>, StorageError> {
    let mut statement = connection.prepare_cached(
        "SELECT last_report, body FROM log WHERE last_report > ? ORDER BY last_report LIMIT 1",
    )?;
    let mut rows = statement.query(params![after])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let body = unpack(blob(row, 1)?)?;
    Ok(Some((row.get(0)?, read(&body)?.rows)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use switchroom_domain::event::EventData;
    use switchroom_domain::id::ReportId;

    fn database() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = crate::storage::testing::open(folder.path());
        for key in 1_i64..4 {
            let sql = "INSERT INTO device (key, id, settings, created_at) VALUES (?, ?, '{}', 0)";
            connection.execute(sql, params![key, format!("d{key}")]).expect("a device");
        }
        (folder, connection)
    }

    /// The same for all cases of a test, its log emptied: making one takes longer than a case.
    fn emptied() -> std::cell::RefMut<'static, (tempfile::TempDir, Connection)> {
        thread_local! {
            static KEPT: &'static std::cell::RefCell<(tempfile::TempDir, Connection)> =
                Box::leak(Box::new(std::cell::RefCell::new(database())));
        }
        let kept = KEPT.with(|kept| kept.borrow_mut());
        kept.1.execute("DELETE FROM log", []).expect("it is emptied");
        kept
    }

    fn report(n: u64, body: &str) -> Entry {
        Entry::Report(RawReport {
            seed: IdSeed { at: Timestamp(n.cast_signed()), entropy: n },
            source: "10.0.0.1".into(),
            dialect: "om",
            name: "RING".into(),
            content_type: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        })
    }

    proptest! {
        /// Whatever is written in whatever blocks is read again, in order, under the same numbers.
        #[test]
        fn what_is_written_is_read(blocks in prop::collection::vec(
            prop::collection::vec((1_i64..4, ".{0,300}", 0_usize..3), 0..6), 0..8
        )) {
            let mut kept = emptied();
            let connection = &mut kept.1;
            let (mut reports, mut events) = (Vec::new(), Vec::new());
            for block in &blocks {
                let entries: Vec<(i64, Entry)> = block.iter().map(|(device, body, _)| {
                    reports.push((*device, body.clone()));
                    (*device, report(reports.len() as u64, body))
                }).collect();
                let told = event();
                let mut packed = Block::default();
                for ((device, entry), (_, body, count)) in entries.iter().zip(block) {
                    packed.add(*device, entry);
                    for _ in 0..*count {
                        events.push((*device, body.clone()));
                        packed.announce(*device, &told).expect("it can be packed");
                    }
                }
                let transaction = connection.transaction().expect("a transaction");
                packed.write(&transaction, reports.len() as i64, events.len() as i64).expect("it is written");
                transaction.commit().expect("it is committed");
            }
            prop_assert_eq!(end(connection).expect("an end"), (reports.len() as i64, events.len() as i64));
            for device in [None, Some(1), Some(3), Some(9)] {
                for after in 0..=events.len() {
                    let mut expected: Vec<u64> = (1_u64..).zip(&events)
                        .filter(|(cursor, (of, _))| *cursor > after as u64 && device.is_none_or(|d| d == *of))
                        .map(|(cursor, _)| cursor).collect();
                    let (mut from, mut got) = (after as u64, Vec::new());
                    loop {
                        let (page, next) = events_of(connection, from, device);
                        got.extend(page);
                        let Some(next) = next else { break };
                        prop_assert!(next >= from);
                        from = next;
                    }
                    prop_assert_eq!(&got, &expected);
                    expected.clear();
                }
                for after in 0..=reports.len() as i64 {
                    let mut got = Vec::new();
                    inputs(connection, after, device, |id, key, entry| {
                        let Entry::Report(raw) = entry else { return };
                        got.push((id, key, String::from_utf8_lossy(&raw.body).into_owned()));
                    }).expect("it is read");
                    let expected: Vec<_> = (1_i64..).zip(&reports)
                        .filter(|(id, (of, _))| *id > after && device.is_none_or(|d| d == *of))
                        .map(|(id, (of, body))| (id, *of, body.clone())).collect();
                    prop_assert_eq!(got, expected);
                }
            }
            for after in 0..=reports.len() as u64 {
                let (mut from, mut got) = (after, Vec::new());
                loop {
                    let (page, next) = super::reports(connection, from, 2).expect("it is read");
                    got.extend(page.into_iter().map(|r| (r.cursor, r.device.to_string(), r.report.body)));
                    let Some(next) = next else { break };
                    prop_assert!(next > from);
                    from = next;
                }
                let expected: Vec<_> = (1_u64..).zip(&reports).filter(|(cursor, _)| *cursor > after)
                    .map(|(cursor, (of, body))| (cursor, format!("d{of}"), Bytes::from(body.clone()))).collect();
                prop_assert_eq!(got, expected);
            }
        }

        /// Damage is an error, never a panic.
        #[test]
        fn any_bytes_are_no_block(body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(body) = unpack(&body) {
                let _ = read(&body);
            }
        }
    }

    fn event() -> Event {
        Event {
            id: EventId(uuid::Uuid::from_u128(7)),
            device: DeviceId::new("d1").expect("a device id"),
            kind: EventKind::CallEnded,
            at: Timestamp(1_795_264_245_123),
            sequence: 9,
            subject: "calls/7".into(),
            data: EventData {
                from: Some("13012345678".into()),
                talk_seconds: Some(1.5),
                timed_out: true,
                report: Some(ReportId(uuid::Uuid::from_u128(8))),
                ..EventData::default()
            },
        }
    }

    fn events_of(connection: &Connection, after: u64, device: Option<i64>) -> (Vec<u64>, Option<u64>) {
        let (found, next) = events(connection, after, device, 3).expect("it is read");
        (found.into_iter().map(|event| event.cursor).collect(), next)
    }

    #[test]
    fn an_event_reads_as_it_was() {
        let (_folder, mut connection) = database();
        let (written, timer) = (event(), Entry::Timer(IdSeed { at: Timestamp(1), entropy: 1 }));
        let mut block = Block::default();
        block.add(1, &timer);
        block.announce(1, &written).expect("it can be packed");
        let transaction = connection.transaction().expect("a transaction");
        block.write(&transaction, 1, 1).expect("it is written");
        transaction.commit().expect("it is committed");
        let (found, _) = events(&connection, 0, None, 9).expect("it is read");
        assert_eq!(found[0].sealed.event, written);
        assert_eq!(found[0].sealed.envelope, written.envelope());
    }

    #[test]
    fn a_time_is_found_in_the_log() {
        let (_folder, mut connection) = database();
        assert_eq!(cursor_before(&connection, Timestamp(5)).expect("it is read"), 0);
        let told = event();
        // Blocks of one report at 10, 20, … with two events each; some have none.
        let mut cursors = 0;
        for n in 1..=20 {
            let entry = report(n * 10, "x");
            let mut block = Block::default();
            block.add(1, &entry);
            if n % 3 != 0 {
                block.announce(1, &told).expect("it can be packed");
                block.announce(1, &told).expect("it can be packed");
                cursors += 2;
            }
            let transaction = connection.transaction().expect("a transaction");
            block.write(&transaction, n.cast_signed(), cursors).expect("it is written");
            transaction.commit().expect("it is committed");
        }
        let before = |at| cursor_before(&connection, Timestamp(at)).expect("it is read");
        assert_eq!((before(0), before(10), before(11)), (0, 0, 0), "the block before is looked into, too");
        assert_eq!((before(21), before(45), before(50)), (2, 4, 4));
        assert_eq!(before(1000), 26);
        let report = |at| report_before(&connection, Timestamp(at)).expect("it is read");
        assert_eq!((report(0), report(10), report(21), report(50)), (0, 0, 1, 3));
        connection.execute("DELETE FROM log WHERE last_report < 5", []).expect("it is cut");
        assert_eq!(cursor_before(&connection, Timestamp(0)).expect("it is read"), 6);
        assert_eq!(report_before(&connection, Timestamp(0)).expect("it is read"), 4);
        assert_eq!(oldest_report(&connection).expect("it is read"), 4);
    }

    #[test]
    fn a_block_of_like_events_is_small() {
        let told = event();
        let mut block = Block::default();
        for _ in 0..50 {
            block.announce(1, &told).expect("it can be packed");
        }
        let packed = block.packed().expect("it is packed");
        assert!(packed.len() < 400, "{}", packed.len());
    }
}
