//! Subscriptions at rest (webhooks, targets): what they want, how far each has come in the log, what became of its
//! deliveries.
//!
//! A subscription's progress is one cursor: everything wanted up to it has a row of its own, pending or settled. Beyond it
//! some may have one, too; those that have none are read from the log again. So little is written, and after the loss
//! of the process at most what the receiver took in the last moment is delivered twice.

use super::db::{Connection, OptionalExtension, Params, Row, Transaction, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::id::CallId;
use switchroom_domain::time::Timestamp;
use utoipa::ToSchema;
use uuid::Uuid;

use super::StorageError;
use super::reader::parse;

/// So many attempts of a delivery are kept, the last ones.
const ATTEMPTS_KEPT: usize = 20;
/// So many rows are taken out of the delivery log at a time.
const PRUNED_AT_A_TIME: usize = 5000;

/// The tables of one kind of subscription.
#[derive(Debug, Clone, Copy)]
pub struct Tables {
    /// Of the subscriptions; their deliveries' has `_delivery` behind it, and a column of this name.
    pub name: &'static str,
    /// The column with the id of what is delivered.
    pub item: &'static str,
}

/// How far a subscription has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Everything wanted up to here has its row.
    pub cursor: u64,
    /// Since when nothing has been taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// Why and since when nothing is delivered; none: it is enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
    /// What is to be delivered again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// What became of everything so far.
    #[serde(default)]
    pub counts: Counts,
}

/// What became of everything since a subscription was made. It is written together with the deliveries that it counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// What the receiver took.
    pub delivered: u64,
    /// What was given up.
    pub failed: u64,
    /// What was put aside because the receiver did not take it.
    pub kept: u64,
    /// What was too old, or left the log, before it was taken.
    pub lost: u64,
}

/// A subscription to which nothing is delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// A range of the log that is delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// It goes on after this cursor.
    pub cursor: u64,
    /// Not beyond this one.
    pub end: u64,
    /// What is of this time or later.
    pub since: Timestamp,
    /// Up to this time.
    pub until: Timestamp,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is under way, or waits for its next attempt or for what must go before it.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was given up.
    Failed,
    /// It was put into a file: a call record of the forwarding that was not taken, or that is only to be kept.
    Kept,
    /// It fell out of the log before it was delivered.
    Gap,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Delivered, Self::Failed, Self::Kept, Self::Gap];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Kept => "kept",
            Self::Gap => "gap",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The receiver's HTTP status; null when none came.
    pub status: Option<u16>,
    /// Why none came.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// A delivery, or a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the log.
    pub cursor: u64,
    /// What became of it.
    pub state: State,
    /// The id of what is delivered, an event or a report; none: a gap of several.
    pub item: Option<Uuid>,
    /// When that happened.
    pub at: Timestamp,
    /// The rest.
    pub body: DeliveryBody,
}

/// What is only looked at as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliveryBody {
    /// Its kind.
    pub kind: Text,
    /// Its call, if it is of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// What is of one lane is delivered one after the other.
    pub lane: Text,
    /// The last attempts.
    pub attempts: Vec<Attempt>,
    /// How many have failed since it was first read, or was to be delivered again.
    pub failed: u32,
    /// When the next one is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// It is delivered again because somebody asked for it.
    pub again: bool,
    /// What a gap is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Delivery {
    /// What is up to this cursor is not delivered any more.
    #[must_use]
    pub fn gap(cursor: u64, at: Timestamp, note: String) -> Self {
        let body = DeliveryBody { note: Some(note), ..Default::default() };
        Self { cursor, state: State::Gap, item: None, at, body }
    }

    /// Adds an attempt; the oldest make room.
    pub fn attempted(&mut self, attempt: Attempt) {
        if self.body.attempts.len() >= ATTEMPTS_KEPT {
            self.body.attempts.remove(0);
        }
        self.body.attempts.push(attempt);
    }
}

/// A subscription as it is stored.
#[derive(Debug)]
pub struct Stored<S> {
    /// Its key in the tables.
    pub key: i64,
    /// What it wants.
    pub settings: S,
    /// Its secrets, encrypted.
    pub sealed: Vec<u8>,
    /// How far it has come.
    pub progress: Progress,
}

/// What is written of a subscription at once.
#[derive(Debug, Default)]
pub struct Changes {
    /// How far it has come with them.
    pub progress: Progress,
    /// Deliveries that are new or have changed.
    pub deliveries: Vec<Delivery>,
    /// Deliveries from so many on, and older than this, leave the log; none: not now.
    pub prune: Option<(usize, Timestamp)>,
}

fn json<T: Serialize>(value: &T) -> Result<String, StorageError> {
    serde_json::to_string(value).map_err(|error| StorageError::Corrupt(error.to_string()))
}

/// Which deliveries are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// Only in this state.
    pub state: Option<State>,
    /// Only of what is of this time or later.
    pub since: Option<Timestamp>,
    /// Only before this cursor.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

impl Tables {
    /// All subscriptions, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn all<S: DeserializeOwned>(self, connection: &Connection) -> Result<Vec<Stored<S>>, StorageError> {
        let sql = format!("SELECT key, settings, secrets, progress FROM {} ORDER BY key", self.name);
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (settings, progress): (String, String) = (row.get(1)?, row.get(3)?);
            found.push(Stored {
                key: row.get(0)?,
                settings: parse(&settings)?,
                sealed: row.get(2)?,
                progress: parse(&progress)?,
            });
        }
        Ok(found)
    }

    /// How far a subscription has come; none if it was removed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn progress(self, connection: &Connection, key: i64) -> Result<Option<Progress>, StorageError> {
        let progress: Option<String> = connection
            .prepare_cached(&format!("SELECT progress FROM {} WHERE key = ?", self.name))?
            .query_row(params![key], |row| row.get(0))
            .optional()?;
        progress.map(|progress| parse(&progress)).transpose()
    }

    /// How many there are: their secrets need the key file.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count(self, connection: &Connection) -> Result<u64, StorageError> {
        let sql = format!("SELECT count(*) FROM {}", self.name);
        let count: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Adds a subscription; gives its key.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn add<S: Serialize>(
        self,
        connection: &Connection,
        id: &str,
        settings: &S,
        sealed: &[u8],
        progress: &Progress,
    ) -> Result<i64, StorageError> {
        let sql = format!(
            "INSERT INTO {} (id, settings, secrets, progress) VALUES (?, ?, ?, ?) RETURNING key",
            self.name
        );
        let row = params![id, json(settings)?, sealed, json(progress)?];
        Ok(connection.query_row(&sql, row, |row| row.get(0))?)
    }

    /// Changes what a subscription wants.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn change<S: Serialize>(
        self,
        connection: &Connection,
        key: i64,
        settings: &S,
    ) -> Result<(), StorageError> {
        let sql = format!("UPDATE {} SET settings = ? WHERE key = ?", self.name);
        connection.execute(&sql, params![json(settings)?, key])?;
        Ok(())
    }

    /// Changes a subscription's secrets.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put_secrets(self, connection: &Connection, key: i64, sealed: &[u8]) -> Result<(), StorageError> {
        let sql = format!("UPDATE {} SET secrets = ? WHERE key = ?", self.name);
        connection.execute(&sql, params![sealed, key])?;
        Ok(())
    }

    /// Removes a subscription with its deliveries.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn remove(self, connection: &Connection, key: i64) -> Result<(), StorageError> {
        connection.execute(&format!("DELETE FROM {} WHERE key = ?", self.name), params![key])?;
        Ok(())
    }

    /// Writes how far a subscription has come. Nothing if it was removed meanwhile.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn record(
        self,
        transaction: &Transaction<'_>,
        key: i64,
        changes: &Changes,
    ) -> Result<(), StorageError> {
        let Self { name, item } = self;
        let known = transaction
            .prepare_cached(&format!("UPDATE {name} SET progress = ? WHERE key = ?"))?
            .execute(params![json(&changes.progress)?, key])?;
        if known == 0 {
            return Ok(());
        }
        let mut statement = transaction.prepare_cached(&format!(
            "INSERT INTO {name}_delivery ({name}, cursor, state, {item}, at, body) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT ({name}, cursor) DO UPDATE SET state = excluded.state, {item} = excluded.{item}, \
             at = excluded.at, body = excluded.body"
        ))?;
        for delivery in &changes.deliveries {
            let id = delivery.item.as_ref().map(|id| id.as_bytes().as_slice());
            let body = json(&delivery.body)?;
            let cursor = delivery.cursor.cast_signed();
            statement.post(params![key, cursor, delivery.state.as_str(), id, delivery.at.0, body])?;
        }
        if let Some((keep, before)) = changes.prune {
            self.prune(transaction, key, changes.progress.cursor, keep, before)?;
        }
        Ok(())
    }

    /// Takes old deliveries out of the log. What is pending stays, and so does what lies beyond the cursor: it says what
    /// need not be delivered again.
    fn prune(
        self,
        transaction: &Transaction<'_>,
        key: i64,
        cursor: u64,
        keep: usize,
        before: Timestamp,
    ) -> Result<(), StorageError> {
        let name = self.name;
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let surplus: Option<i64> = transaction
            .prepare_cached(&format!(
                "SELECT cursor FROM {name}_delivery WHERE {name} = ? ORDER BY cursor DESC LIMIT 1 OFFSET ?"
            ))?
            .query_row(params![key, keep], |row| row.get(0))
            .optional()?;
        transaction
            .prepare_cached(&format!(
                "DELETE FROM {name}_delivery WHERE {name} = ?1 AND cursor IN (SELECT cursor FROM {name}_delivery \
                 WHERE {name} = ?1 AND cursor <= ?2 AND state <> 'pending' AND (cursor <= ?3 OR at < ?4) LIMIT ?5)"
            ))?
            .execute(params![
                key,
                cursor.cast_signed(),
                surplus.unwrap_or(-1),
                before.0,
                PRUNED_AT_A_TIME as i64
            ])?;
        Ok(())
    }

    fn collect(
        self,
        connection: &Connection,
        rest: &str,
        values: impl Params,
    ) -> Result<Vec<Delivery>, StorageError> {
        let Self { name, item } = self;
        let mut statement = connection.prepare_cached(&format!(
            "SELECT cursor, state, {item}, at, body FROM {name}_delivery WHERE {name} = ?1 AND {rest}"
        ))?;
        let mut rows = statement.query(values)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    }

    /// Deliveries of a subscription that are not settled, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn pending(self, connection: &Connection, key: i64) -> Result<Vec<Delivery>, StorageError> {
        self.collect(connection, "state = 'pending' ORDER BY cursor", params![key])
    }

    /// The cursors of deliveries beyond this one that are settled.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn settled_after(
        self,
        connection: &Connection,
        key: i64,
        cursor: u64,
    ) -> Result<Vec<u64>, StorageError> {
        let name = self.name;
        let mut statement = connection.prepare_cached(&format!(
            "SELECT cursor FROM {name}_delivery WHERE {name} = ? AND cursor > ? AND state <> 'pending'"
        ))?;
        let rows = statement.query_map(params![key, cursor.cast_signed()], |row| row.get::<_, i64>(0))?;
        rows.map(|cursor| Ok(cursor?.cast_unsigned())).collect()
    }

    /// What became of the items at these cursors, by the ids of all the subscriptions that have them, up to `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of_cursors(
        self,
        connection: &Connection,
        cursors: &[u64],
        limit: usize,
    ) -> Result<Vec<(String, Delivery)>, StorageError> {
        let Self { name, item } = self;
        if cursors.is_empty() {
            return Ok(Vec::new());
        }
        let cursors: Vec<String> = cursors.iter().map(ToString::to_string).collect();
        let mut statement = connection.prepare(&format!(
            "SELECT d.cursor, d.state, d.{item}, d.at, d.body, s.id FROM {name} s CROSS JOIN {name}_delivery d \
             ON d.{name} = s.key WHERE d.cursor IN ({}) ORDER BY d.cursor, s.key LIMIT ?",
            cursors.join(",")
        ))?;
        let mut rows = statement.query(params![i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push((row.get(5)?, read(row)?));
        }
        Ok(found)
    }

    /// Deliveries of a subscription, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn deliveries(
        self,
        connection: &Connection,
        key: i64,
        query: &Query,
    ) -> Result<Vec<Delivery>, StorageError> {
        let before = query.before.map_or(i64::MAX, u64::cast_signed);
        let state = query.state.map(State::as_str);
        let since = query.since.map(|since| since.0);
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        self.collect(
            connection,
            "cursor < ?2 AND (CAST(?3 AS TEXT) IS NULL OR state = ?3) AND (CAST(?4 AS BIGINT) IS NULL OR at >= ?4) \
             ORDER BY cursor DESC LIMIT ?5",
            params![key, before, state, since, limit],
        )
    }

    /// The delivery at this cursor.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn at(
        self,
        connection: &Connection,
        key: i64,
        cursor: u64,
    ) -> Result<Option<Delivery>, StorageError> {
        Ok(self.collect(connection, "cursor = ?2", params![key, cursor.cast_signed()])?.pop())
    }

    /// The delivery of what has this id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of_item(
        self,
        connection: &Connection,
        key: i64,
        id: Uuid,
    ) -> Result<Option<Delivery>, StorageError> {
        let rest = format!("{} = ?2 ORDER BY cursor LIMIT 1", self.item);
        Ok(self.collect(connection, &rest, params![key, id.as_bytes().as_slice()])?.pop())
    }
}

fn read(row: Row<'_>) -> Result<Delivery, StorageError> {
    let (state, body): (String, String) = (row.get(1)?, row.get(4)?);
    let item: Option<[u8; 16]> = row.get(2)?;
    Ok(Delivery {
        cursor: row.get::<_, i64>(0)?.cast_unsigned(),
        state: State::parse(&state)
            .ok_or_else(|| StorageError::Corrupt(format!("{state:?} is no state of a delivery")))?,
        item: item.map(Uuid::from_bytes),
        at: Timestamp(row.get(3)?),
        body: parse(&body)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: Tables = Tables { name: "webhook", item: "event" };
    const SETTINGS: &str = "what it wants";

    fn subscription(connection: &Connection, progress: &Progress) -> i64 {
        TABLES.add(connection, "wh_1", &SETTINGS, b"sealed", progress).expect("it is added")
    }

    fn delivery(cursor: u64, state: State) -> Delivery {
        let item = Some(Uuid::from_u128(cursor.into()));
        let body = DeliveryBody { kind: "call.ended".into(), lane: "a".into(), ..Default::default() };
        Delivery { cursor, state, item, at: Timestamp(cursor.cast_signed() * 1000), body }
    }

    fn written(connection: &mut Connection, key: i64, changes: &Changes) {
        let transaction = connection.transaction().expect("it begins");
        TABLES.record(&transaction, key, changes).expect("it writes");
        transaction.commit().expect("it commits");
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut connection = crate::storage::testing::open(folder.path());
        let progress = Progress { cursor: 7, ..Progress::default() };
        let key = subscription(&connection, &progress);
        let mut failed = delivery(9, State::Pending);
        failed.attempted(Attempt { at: Timestamp(1), status: Some(500), error: None, duration_ms: 3 });
        failed.body.next_attempt_at = Some(Timestamp(5));
        let progress = Progress {
            cursor: 8,
            failing_since: Some(Timestamp(1)),
            disabled: Some(Disabled { reason: "gone".into(), at: Timestamp(2) }),
            replay: Some(Replay { cursor: 1, end: 5, since: Timestamp(0), until: Timestamp(9) }),
            counts: Counts { delivered: 2, failed: 3, kept: 5, lost: 4 },
        };
        let deliveries = vec![delivery(8, State::Delivered), failed.clone(), delivery(10, State::Delivered)];
        written(&mut connection, key, &Changes { progress: progress.clone(), deliveries, prune: None });
        let stored: Stored<String> = TABLES.all(&connection).expect("it reads").pop().expect("it is there");
        assert_eq!((stored.settings.as_str(), stored.progress, stored.key), (SETTINGS, progress, key));
        assert_eq!(TABLES.pending(&connection, key).expect("it reads"), std::slice::from_ref(&failed));
        assert_eq!(TABLES.settled_after(&connection, key, 8).expect("it reads"), [10]);
        let query = Query { state: None, since: Some(Timestamp(9000)), before: None, limit: 9 };
        let cursors = |query| -> Vec<u64> {
            deliveries_of(&connection, key, query).iter().map(|delivery| delivery.cursor).collect()
        };
        assert_eq!(cursors(query), [10, 9]);
        assert_eq!(cursors(Query { state: Some(State::Delivered), since: None, ..query }), [10, 8]);
        assert_eq!(cursors(Query { before: Some(10), limit: 1, ..query }), [9]);
        let item = failed.item.expect("an event");
        assert_eq!(TABLES.of_item(&connection, key, item).expect("it reads"), Some(failed));
        TABLES.remove(&connection, key).expect("it goes");
        assert!(TABLES.pending(&connection, key).expect("it reads").is_empty());
        written(
            &mut connection,
            key,
            &Changes { deliveries: vec![delivery(11, State::Pending)], ..Changes::default() },
        );
        assert!(TABLES.pending(&connection, key).expect("it reads").is_empty(), "it was removed");
    }

    fn deliveries_of(connection: &Connection, key: i64, query: Query) -> Vec<Delivery> {
        TABLES.deliveries(connection, key, &query).expect("it reads")
    }

    #[test]
    fn the_log_keeps_the_newest_what_is_pending_and_what_lies_beyond_the_cursor() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut connection = crate::storage::testing::open(folder.path());
        let key = subscription(&connection, &Progress::default());
        let state = |cursor| if cursor == 2 { State::Pending } else { State::Delivered };
        let deliveries = (1..=20).map(|cursor| delivery(cursor, state(cursor))).collect();
        let at = |cursor| Progress { cursor, ..Progress::default() };
        written(
            &mut connection,
            key,
            &Changes { progress: at(5), deliveries, prune: Some((10, Timestamp(0))) },
        );
        let cursors = |connection: &Connection| -> Vec<u64> {
            let query = Query { state: None, since: None, before: None, limit: 99 };
            deliveries_of(connection, key, query).iter().rev().map(|delivery| delivery.cursor).collect()
        };
        assert_eq!(cursors(&connection)[..2], [2, 6]);
        written(
            &mut connection,
            key,
            &Changes { progress: at(20), deliveries: vec![], prune: Some((10, Timestamp(0))) },
        );
        assert_eq!(cursors(&connection).len(), 11);
        written(
            &mut connection,
            key,
            &Changes { progress: at(20), deliveries: vec![], prune: Some((10, Timestamp(19_000))) },
        );
        assert_eq!(cursors(&connection), [2, 19, 20], "the others are too old");
    }
}
