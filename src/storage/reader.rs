//! Reading what is remembered. Readers have connections of their own, so that they never wait for the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use switchroom_actors::ports::{Entry, LoadedCell, RawReport};
use switchroom_domain::Text;
use switchroom_domain::event::EventKind;
use switchroom_domain::id::{CallId, DeviceId};
use switchroom_domain::view::{CallView, CdrView};

use super::{StorageError, sqlite, writer};

/// A small pool of read-only connections.
#[derive(Clone)]
pub struct Reader {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// After this cursor.
    pub after: u64,
    /// At most so many are looked at and given.
    pub limit: usize,
    /// Only of this device.
    pub device: Option<DeviceId>,
}

/// Which records are wanted, newest first.
#[derive(Debug, Clone, Default)]
pub struct CdrQuery {
    /// Before this place.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: usize,
    /// Only of this device.
    pub device: Option<DeviceId>,
    /// Received at or after.
    pub since: Option<i64>,
    /// Received before.
    pub until: Option<i64>,
}

impl Reader {
    /// A reader of this database.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn new(path: &Path) -> Result<Self, StorageError> {
        let first = sqlite::open_reader(path)?;
        Ok(Self { path: path.to_owned(), idle: Arc::new(Mutex::new(vec![first])) })
    }

    /// Runs a query on a thread that may block.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let reader = self.clone();
        let run = move || {
            let idle = reader.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => sqlite::open_reader(&reader.path)?,
            };
            let result = query(&connection);
            let mut idle = reader.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < 8 {
                idle.push(connection);
            }
            result
        };
        actix_web::web::block(run)
            .await
            .map_err(|_| StorageError::Corrupt("the query was cancelled".into()))?
    }

    /// Committed events in order: cursor, kind, envelope with cursor.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<(u64, EventKind, String)>, StorageError> {
        self.query(move |connection| events(connection, &query)).await
    }

    /// Records, newest first, each with its place.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn cdrs(&self, query: CdrQuery) -> Result<Vec<(i64, CdrView)>, StorageError> {
        self.query(move |connection| cdrs(connection, &query)).await
    }

    /// An ended call.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn call(&self, id: CallId) -> Result<Option<CallView>, StorageError> {
        self.query(move |connection| {
            let body: Option<String> = connection
                .prepare_cached("SELECT body FROM call WHERE id = ?")?
                .query_row(params![id.0.as_bytes().as_slice()], |row| row.get(0))
                .optional()?;
            body.map(|body| parse(&body)).transpose()
        })
        .await
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, StorageError> {
    serde_json::from_str(body)
        .map_err(|error| StorageError::Corrupt(format!("a stored record cannot be read: {error}")))
}

fn device_key(connection: &Connection, device: &DeviceId) -> Result<Option<i64>, rusqlite::Error> {
    connection
        .prepare_cached("SELECT key FROM device WHERE id = ?")?
        .query_row(params![device.as_str()], |row| row.get(0))
        .optional()
}

fn events(
    connection: &Connection,
    query: &EventQuery,
) -> Result<Vec<(u64, EventKind, String)>, StorageError> {
    let after = i64::try_from(query.after).unwrap_or(i64::MAX);
    let device = match &query.device {
        Some(device) => match device_key(connection, device)? {
            Some(key) => Some(key),
            None => return Ok(Vec::new()),
        },
        None => None,
    };
    let parts = sqlite::parts(connection)?;
    let mut found = Vec::new();
    for (i, (day, _, _)) in parts.iter().enumerate() {
        let ends_before = parts.get(i + 1).is_some_and(|(_, _, next)| *next <= after + 1);
        if ends_before || found.len() >= query.limit {
            continue;
        }
        let sql = format!(
            "SELECT cursor, kind, envelope FROM event_{day} WHERE cursor > ?1 AND (?2 IS NULL OR device = ?2) \
             ORDER BY cursor LIMIT ?3"
        );
        let limit = i64::try_from(query.limit - found.len()).unwrap_or(i64::MAX);
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![after, device, limit])?;
        while let Some(row) = rows.next()? {
            let cursor: i64 = row.get(0)?;
            let kind = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            let kind = EventKind::parse(kind)
                .ok_or_else(|| StorageError::Corrupt(format!("an event of unknown kind {kind:?}")))?;
            let envelope = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
            let cursor = cursor.cast_unsigned();
            found.push((cursor, kind, switchroom_domain::event::with_cursor(envelope, cursor)));
        }
    }
    Ok(found)
}

fn cdrs(connection: &Connection, query: &CdrQuery) -> Result<Vec<(i64, CdrView)>, StorageError> {
    let device = match &query.device {
        Some(device) => match device_key(connection, device)? {
            Some(key) => Some(key),
            None => return Ok(Vec::new()),
        },
        None => None,
    };
    let mut statement = connection.prepare_cached(
        "SELECT seq, body FROM cdr WHERE (?1 IS NULL OR seq < ?1) AND (?2 IS NULL OR device = ?2) \
         AND (?3 IS NULL OR received_at >= ?3) AND (?4 IS NULL OR received_at < ?4) ORDER BY seq DESC LIMIT ?5",
    )?;
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![query.before, device, query.since, query.until, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let body: String = row.get(1)?;
        found.push((row.get(0)?, parse(&body)?));
    }
    Ok(found)
}

fn replay_floor(connection: &Connection) -> Result<i64, rusqlite::Error> {
    let floor: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = 'replay_floor'", [], |row| row.get(0))
        .optional()?;
    Ok(floor.and_then(|floor| floor.parse().ok()).unwrap_or(0))
}

/// Runs over the log from `after` on; the callback gets the row's id, the device's key and the entry.
fn scan_log(
    connection: &Connection,
    after: i64,
    device: Option<i64>,
    mut visit: impl FnMut(i64, i64, Entry),
) -> Result<(), StorageError> {
    let parts = sqlite::parts(connection)?;
    for (i, (day, _, _)) in parts.iter().enumerate() {
        if parts.get(i + 1).is_some_and(|(_, next, _)| *next <= after + 1) {
            continue;
        }
        let sql = format!(
            "SELECT r.id, r.device, r.at, r.entropy, r.source, r.dialect, r.name, r.content_type, r.body \
             FROM report_{day} r WHERE r.id > ?1 AND (?2 IS NULL OR r.device = ?2) \
             AND NOT EXISTS (SELECT 1 FROM quarantine q JOIN device d ON d.id = q.device \
                             WHERE d.key = r.device AND q.at = r.at AND q.entropy = r.entropy) \
             ORDER BY r.id"
        );
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query(params![after, device])?;
        while let Some(row) = rows.next()? {
            let seed = writer::seed_of(row.get(2)?, row.get(3)?);
            let dialect: Option<String> = row.get(5)?;
            let entry = match dialect.as_deref().and_then(crate::devices::dialect_name) {
                None => Entry::Timer(seed),
                Some(dialect) => Entry::Report(RawReport {
                    seed,
                    source: row.get::<_, Option<String>>(4)?.unwrap_or_default().into(),
                    dialect,
                    name: row.get::<_, Option<String>>(6)?.unwrap_or_default().into(),
                    content_type: row.get::<_, Option<String>>(7)?.map(Text::from),
                    body: Bytes::from(row.get::<_, Option<Vec<u8>>>(8)?.unwrap_or_default()),
                }),
            };
            visit(row.get(0)?, row.get(1)?, entry);
        }
    }
    Ok(())
}

/// Devices that have reports after their snapshot, with the id that their snapshot reaches to.
pub(super) fn unwritten(connection: &Connection) -> Result<Vec<(i64, i64)>, StorageError> {
    let mut found: std::collections::HashMap<i64, i64> = std::collections::HashMap::new();
    let floor = replay_floor(connection)?;
    let snapshots = snapshot_places(connection)?;
    let parts = sqlite::parts(connection)?;
    for (i, (day, _, _)) in parts.iter().enumerate() {
        if parts.get(i + 1).is_some_and(|(_, next, _)| *next <= floor + 1) {
            continue;
        }
        let mut statement = connection
            .prepare(&format!("SELECT device, max(id) FROM report_{day} WHERE id > ? AND device NOT IN (SELECT key FROM device WHERE secrets IS NULL) GROUP BY device"))?;
        let mut rows = statement.query(params![floor])?;
        while let Some(row) = rows.next()? {
            let (device, last): (i64, i64) = (row.get(0)?, row.get(1)?);
            let reached = snapshots.get(&device).copied().unwrap_or(0);
            if last > reached {
                found.insert(device, reached);
            }
        }
    }
    Ok(found.into_iter().collect())
}

fn snapshot_places(connection: &Connection) -> Result<std::collections::HashMap<i64, i64>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT device, log_id FROM snapshot")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// One cell: its snapshot, and what was logged after it.
pub(super) fn load_cell(connection: &Connection, device: &DeviceId) -> Result<LoadedCell, StorageError> {
    let Some(key) = device_key(connection, device)? else { return Ok(LoadedCell::default()) };
    let snapshot: Option<(i64, Vec<u8>)> = connection
        .query_row("SELECT log_id, body FROM snapshot WHERE device = ?", params![key], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let mut loaded = LoadedCell::default();
    // A cell that was never written down begins with the log.
    let after = snapshot.as_ref().map_or(0, |(log_id, _)| *log_id);
    loaded.snapshot = snapshot.map(|(_, body)| body);
    scan_log(connection, after, Some(key), |_, _, entry| loaded.log.push(entry))?;
    Ok(loaded)
}

/// Every cell, as the service needs them at its start: all logs in one pass.
///
/// # Errors
/// When the store cannot be read.
pub fn load_cells(
    connection: &Connection,
) -> Result<std::collections::HashMap<DeviceId, LoadedCell>, StorageError> {
    let mut ids = std::collections::HashMap::new();
    let mut cells: std::collections::HashMap<i64, (i64, LoadedCell)> = std::collections::HashMap::new();
    {
        let mut statement = connection.prepare(
            "SELECT d.key, d.id, s.log_id, s.body FROM device d LEFT JOIN snapshot s ON s.device = d.key",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            let id: String = row.get(1)?;
            ids.insert(key, DeviceId::new(id).map_err(|error| StorageError::Corrupt(error.to_string()))?);
            let reached: Option<i64> = row.get(2)?;
            cells.insert(key, (reached.unwrap_or(0), LoadedCell { snapshot: row.get(3)?, log: Vec::new() }));
        }
    }
    scan_log(connection, replay_floor(connection)?, None, |id, device, entry| {
        if let Some((reached, cell)) = cells.get_mut(&device)
            && id > *reached
        {
            cell.log.push(entry);
        }
    })?;
    Ok(cells.into_iter().filter_map(|(key, (_, cell))| ids.remove(&key).map(|id| (id, cell))).collect())
}
