//! Call records that are kept in files, and what devices' own files said of theirs.

use serde::Serialize;
use switchroom_domain::time::Timestamp;
use utoipa::ToSchema;

use super::StorageError;
use super::db::{Connection, OptionalExtension, params};
use super::records::indexed;
use crate::forwarding::files::{Named, Place};
use crate::privacy;

/// Keeps a record; one that is kept already stays as it is.
///
/// # Errors
/// When the store cannot be written.
pub fn keep(
    connection: &Connection,
    cursor: u64,
    device: &str,
    place: Place,
    body: &[u8],
) -> Result<(), StorageError> {
    connection
        .prepare_cached(
            "INSERT INTO kept_cdr (cursor, device, day, minute, span, body) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT (cursor) DO NOTHING",
        )?
        .execute(params![
            cursor.cast_signed(),
            device,
            i64::from(place.day),
            i64::from(place.minute),
            place.span.map(i64::from),
            body
        ])?;
    Ok(())
}

/// Where a record is kept already.
///
/// # Errors
/// When the store cannot be read.
pub fn kept(connection: &Connection, cursor: u64) -> Result<Option<Place>, StorageError> {
    let found = connection
        .prepare_cached("SELECT day, minute, span FROM kept_cdr WHERE cursor = ?")?
        .query_row(params![cursor.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let small = |number: i64| u32::try_from(number).unwrap_or(0);
    Ok(found.map(|(day, minute, span): (i64, i64, Option<i64>)| Place {
        day: small(day),
        minute: small(minute),
        span: span.map(small),
    }))
}

/// A device's time zone; UTC if it is not known any more.
///
/// # Errors
/// When the store cannot be read.
pub fn zone_of(connection: &Connection, device: &str) -> Result<jiff::tz::TimeZone, StorageError> {
    let settings: Option<String> = connection
        .prepare_cached("SELECT settings FROM device WHERE id = ?")?
        .query_row(params![device], |row| row.get(0))
        .optional()?;
    let Some(settings) = settings else { return Ok(jiff::tz::TimeZone::UTC) };
    // Of one that was removed there is less.
    let settings: serde_json::Value = super::reader::parse(&settings)?;
    let zone = settings["timezone"].as_str().unwrap_or("UTC");
    jiff::tz::TimeZone::get(zone).map_err(|error| StorageError::Corrupt(error.to_string()))
}

/// Records of a file after a cursor, at most so many, each with its cursor.
///
/// # Errors
/// When the store cannot be read.
pub fn page(
    connection: &Connection,
    file: Named,
    device: Option<&str>,
    after: i64,
    limit: usize,
) -> Result<Vec<(i64, Vec<u8>)>, StorageError> {
    let (day, minute, which) = match file {
        Named::Failed(day) => (day, 0, "span IS NULL"),
        Named::Kept { day, minute, hour: true } => (day, minute, "span = 60"),
        Named::Kept { day, minute, hour: false } => (day, minute, "span < 60"),
        Named::Root | Named::Day(_) => return Ok(Vec::new()),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT cursor, body FROM kept_cdr WHERE day = ?1 AND minute = ?2 AND {which} AND cursor > ?3 \
         AND (CAST(?4 AS TEXT) IS NULL OR device = ?4) ORDER BY cursor LIMIT ?5"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![i64::from(day), i64::from(minute), after, device, limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The files that there are, in order of their names; of one day, or of all.
///
/// # Errors
/// When the store cannot be read.
pub fn files(connection: &Connection, day: Option<u32>) -> Result<Vec<(Place, u64)>, StorageError> {
    let mut statement = connection.prepare_cached(
        "SELECT day, minute, span, count(*) FROM kept_cdr WHERE CAST(?1 AS BIGINT) IS NULL OR day = ?1 \
         GROUP BY day, minute, span ORDER BY day, span IS NOT NULL, minute, span",
    )?;
    let rows = statement.query_map(params![day.map(i64::from)], |row| {
        let small = |number: i64| u32::try_from(number).unwrap_or(0);
        let span = row.get::<_, Option<i64>>(2)?.map(small);
        let place = Place { day: small(row.get(0)?), minute: small(row.get(1)?), span };
        Ok((place, row.get::<_, i64>(3)?.unsigned_abs()))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes up to so many kept records from before this day; gives how many.
///
/// # Errors
/// When the store cannot be written.
pub fn prune(connection: &Connection, before: u32, limit: usize) -> Result<usize, StorageError> {
    let sql = "DELETE FROM kept_cdr WHERE cursor IN (SELECT cursor FROM kept_cdr WHERE day < ? LIMIT ?)";
    Ok(connection.execute(sql, params![i64::from(before), i64::try_from(limit).unwrap_or(i64::MAX)])?)
}

/// Removes up to so many entries of devices' files from before this time; gives how many.
///
/// # Errors
/// When the store cannot be written.
pub fn prune_filed(connection: &Connection, before: i64, limit: usize) -> Result<usize, StorageError> {
    let sql = "DELETE FROM filed_cdr WHERE (device, day, wire_id) IN \
               (SELECT device, day, wire_id FROM filed_cdr WHERE at < ? LIMIT ?)";
    Ok(connection.execute(sql, params![before, i64::try_from(limit).unwrap_or(i64::MAX)])?)
}

/// Takes a number out of some of what is kept, from after this place on; gives how often it stood there, and where to go
/// on.
///
/// # Errors
/// When the store cannot be written.
pub fn take_out(
    connection: &mut Connection,
    after: i64,
    limit: usize,
    number: &str,
) -> Result<(usize, Option<i64>), StorageError> {
    let transaction = connection.transaction()?;
    let page: Vec<(i64, Vec<u8>)> = transaction
        .prepare_cached("SELECT cursor, body FROM kept_cdr WHERE cursor > ? ORDER BY cursor LIMIT ?")?
        .query_map(params![after, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let next = page.last().filter(|_| page.len() >= limit).map(|(cursor, _)| *cursor);
    let mut taken = 0;
    for (cursor, mut body) in page {
        let places = privacy::erase(&mut body, number);
        if places > 0 {
            taken += places;
            transaction
                .prepare_cached("UPDATE kept_cdr SET body = ? WHERE cursor = ?")?
                .execute(params![body, cursor])?;
        }
    }
    transaction.commit()?;
    Ok((taken, next))
}

/// Which of these records of a device are stored.
///
/// # Errors
/// When the store cannot be read.
pub fn known(connection: &Connection, device: &str, wire_ids: &[String]) -> Result<Vec<bool>, StorageError> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM cdr WHERE device = (SELECT key FROM device WHERE id = ?) AND wire_id = ?",
    )?;
    let mut is_known = |id: &String| -> Result<bool, StorageError> {
        let count: i64 = statement.query_row(params![device, indexed(id)], |row| row.get(0))?;
        Ok(count > 0)
    };
    wire_ids.iter().map(&mut is_known).collect()
}

/// The conversation that a record of a file is of, if its reports came at the time: the only one of these two numbers
/// that began about then. Devices' clocks are not ours.
///
/// # Errors
/// When the store cannot be read.
pub fn conversation_of(
    connection: &Connection,
    device: &str,
    began: Timestamp,
    from: &str,
    to: &str,
) -> Result<Option<Vec<u8>>, StorageError> {
    const ABOUT: i64 = 15_000;
    let mut statement = connection.prepare_cached(
        "SELECT id FROM conversation WHERE place >= ?1 AND place < ?2 \
         AND device = (SELECT key FROM device WHERE id = ?3) AND instr(parties, ?4) > 0 AND instr(parties, ?5) > 0 LIMIT 2",
    )?;
    let place = super::records::place_of;
    let (first, last) = (place(began.0 - ABOUT), place(began.0 + ABOUT));
    let bars = |number: &str| format!("|{number}|");
    let found: Vec<Vec<u8>> = statement
        .query_map(params![first, last, device, bars(from), bars(to)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(<[Vec<u8>; 1]>::try_from(found).ok().map(|[only]| only))
}

/// Notes which records a device's file named: their days, ids, and whether they were imported. What was imported once
/// stays so.
///
/// # Errors
/// When the store cannot be written.
pub fn note(
    connection: &mut Connection,
    device: &str,
    records: &[(u32, String, bool)],
    now: Timestamp,
) -> Result<(), StorageError> {
    let transaction = connection.transaction()?;
    for (day, wire_id, imported) in records {
        transaction
            .prepare_cached(
                "INSERT INTO filed_cdr (device, day, wire_id, imported, at) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT (device, day, wire_id) DO UPDATE SET at = excluded.at, \
                 imported = CASE WHEN excluded.imported = 1 THEN 1 ELSE filed_cdr.imported END",
            )?
            .execute(params![device, i64::from(*day), indexed(wire_id), i64::from(*imported), now.0])?;
    }
    transaction.commit()?;
    Ok(())
}

/// How complete a day of a device is, by its own files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Completeness {
    /// The day, in the device's local time, as the records say.
    #[schema(example = "2026-11-21")]
    pub day: String,
    /// Records that its files named.
    pub filed: u64,
    /// Of these, how many had come as reports.
    pub arrived: u64,
    /// How many were only in a file, and were imported from there.
    pub imported: u64,
    /// How many are not stored here.
    pub missing: u64,
    /// Nothing that the files name is missing.
    pub complete: bool,
    /// When a file of this day was last looked at.
    #[schema(value_type = String, format = DateTime)]
    pub checked_at: Timestamp,
}

/// How complete the days of a device are, the latest first.
///
/// # Errors
/// When the store cannot be read.
pub fn completeness(
    connection: &Connection,
    device: &str,
    since: u32,
    until: u32,
    limit: usize,
) -> Result<Vec<Completeness>, StorageError> {
    let mut statement = connection.prepare_cached(
        "SELECT day, count(*), count(*) FILTER (WHERE is_there AND imported = 0), \
         count(*) FILTER (WHERE is_there AND imported = 1), max(at) FROM \
         (SELECT f.day, f.imported, f.at, EXISTS (SELECT 1 FROM cdr WHERE device = d.key AND wire_id = f.wire_id) \
          AS is_there FROM filed_cdr f JOIN device d ON d.id = f.device \
          WHERE f.device = ?1 AND f.day IN (SELECT DISTINCT day FROM filed_cdr \
          WHERE device = ?1 AND day >= ?2 AND day <= ?3 ORDER BY day DESC LIMIT ?4)) AS filed \
         GROUP BY day ORDER BY day DESC",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![device, i64::from(since), i64::from(until), limit], |row| {
        let count = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
        let day = u32::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
        let (filed, arrived, imported) = (count(1)?, count(2)?, count(3)?);
        let missing = filed.saturating_sub(arrived + imported);
        Ok(Completeness {
            day: format!("{:04}-{:02}-{:02}", day / 10_000, day / 100 % 100, day % 100),
            filed,
            arrived,
            imported,
            missing,
            complete: missing == 0,
            checked_at: Timestamp(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = crate::storage::testing::open(folder.path());
        (folder, connection)
    }

    #[test]
    fn a_record_is_in_its_file_once_until_it_is_too_old() {
        let (_folder, mut connection) = database();
        let place = |day, minute, span| Place { day, minute, span };
        for (cursor, device, place, body) in [
            (1, "a", place(20_261_120, 0, None), "one 13012345678"),
            (1, "a", place(20_261_120, 0, None), "one again"),
            (2, "b", place(20_261_120, 0, None), "two"),
            (3, "a", place(20_261_121, 480, Some(60)), "three"),
            (4, "a", place(20_261_121, 480, Some(10)), "four"),
        ] {
            keep(&connection, cursor, device, place, body.as_bytes()).expect("it is kept");
        }
        let read = |connection: &Connection, file, device| -> Vec<String> {
            let page = page(connection, file, device, 0, 9).expect("it is read");
            page.into_iter().map(|(_, body)| String::from_utf8(body).expect("text")).collect()
        };
        let failed = Named::Failed(20_261_120);
        assert_eq!(read(&connection, failed, None), ["one 13012345678", "two"]);
        assert_eq!(read(&connection, failed, Some("b")), ["two"]);
        assert_eq!(page(&connection, failed, None, 1, 1).expect("it is read"), [(2, b"two".to_vec())]);
        let kept = |hour| Named::Kept { day: 20_261_121, minute: 480, hour };
        assert_eq!(
            (read(&connection, kept(true), None), read(&connection, kept(false), None)),
            (vec!["three".to_owned()], vec!["four".to_owned()])
        );
        let names = |connection: &Connection, day| -> Vec<String> {
            files(connection, day).expect("they are read").iter().map(|(place, _)| place.name()).collect()
        };
        assert_eq!(
            names(&connection, None),
            ["cdr_20261120.txt", "20261121/cdr_0800.txt", "20261121/cdr_08.txt"]
        );
        assert_eq!(
            take_out(&mut connection, i64::MIN, 100, "13012345678").expect("it is taken out"),
            (1, None)
        );
        assert_eq!(read(&connection, failed, Some("a")), ["one xxxxxxxxxxx"]);
        assert_eq!(prune(&connection, 20_261_121, 9).expect("it is removed"), 2);
        assert_eq!(names(&connection, Some(20_261_120)), Vec::<String>::new());
        assert_eq!(zone_of(&connection, "nobody").expect("it is read"), jiff::tz::TimeZone::UTC);
    }

    #[test]
    fn what_files_named_is_compared_with_what_is_here() {
        let (_folder, mut connection) = database();
        let insert = |sql: &str| connection.execute(sql, params![]).expect("it is written");
        insert(
            "INSERT INTO device (key, id, settings, created_at) VALUES (7, 'a', '{\"timezone\":\"Asia/Shanghai\"}', 0)",
        );
        for (place, id) in [(1, "one"), (2, "two")] {
            insert(&format!(
                "INSERT INTO cdr (place, id, device, wire_id, fingerprint, kind, parties, body) \
                 VALUES ({place}, '{place}', 7, '{id}', 0, 'IN', '', '{{}}')"
            ));
        }
        let begun = super::super::records::place_of;
        for (place, id, parties) in [
            (begun(100_000), "c1", "|200|130|"),
            (begun(101_000), "c2", "|201|130|"),
            (begun(150_000), "c3", "|201|130|"),
        ] {
            let sql = "INSERT INTO conversation (place, id, device, direction, outcome, parties, body) \
                       VALUES (?, ?, 7, 'inbound', 'answered', ?, '{}')";
            connection.execute(sql, params![place, id.as_bytes(), parties]).expect("it is written");
        }
        let ids = ["one", "two", "three"].map(str::to_owned);
        assert_eq!(known(&connection, "a", &ids).expect("it is read"), [true, true, false]);
        assert_eq!(known(&connection, "b", &ids).expect("it is read"), [false; 3]);
        let of =
            |at, from, to| conversation_of(&connection, "a", Timestamp(at), from, to).expect("it is read");
        assert_eq!(of(105_000, "130", "200"), Some(b"c1".to_vec()));
        assert_eq!(of(105_000, "130", "201"), Some(b"c2".to_vec()));
        assert_eq!(of(140_000, "130", "201"), Some(b"c3".to_vec()));
        assert_eq!(of(125_000, "130", "201"), None, "none began about then");
        assert_eq!(of(105_000, "13", "200"), None, "no part of a number");
        assert_eq!(zone_of(&connection, "a").expect("it is read").iana_name(), Some("Asia/Shanghai"));
        let row = |id: &str, imported| (20_261_121, id.to_owned(), imported);
        let rows = [row("one", false), row("two", true), row("three", false)];
        note(&mut connection, "a", &rows, Timestamp(5)).expect("it is written");
        // Looked at again, it has arrived; that it was imported stays so.
        note(&mut connection, "a", &[row("two", false)], Timestamp(6)).expect("it is written");
        note(&mut connection, "a", &[(20_261_122, "one".to_owned(), false)], Timestamp(7))
            .expect("it is written");
        let days = completeness(&connection, "a", 0, u32::MAX, 9).expect("it is read");
        let counts: Vec<_> = days
            .iter()
            .map(|day| (day.day.as_str(), day.filed, day.arrived, day.imported, day.missing))
            .collect();
        assert_eq!(counts, [("2026-11-22", 1, 1, 0, 0), ("2026-11-21", 3, 1, 1, 1)]);
        assert_eq!((days[0].complete, days[1].complete, days[1].checked_at), (true, false, Timestamp(6)));
        assert_eq!(completeness(&connection, "a", 0, 20_261_121, 1).expect("it is read"), days[1..]);
        assert_eq!(prune_filed(&connection, 6, 9).expect("it is removed"), 2);
    }
}
