//! Reading what is remembered. Readers have connections of their own and do not wait for the writer, but for calls and
//! records that were published a moment ago and are not in their tables yet.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchroom_actors::ports::{Entry, LoadedCell};
use switchroom_domain::id::{CallId, CommandId, DeviceId};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{CallView, CommandView};
use tokio::sync::Semaphore;

use super::db::{self, Connection, OptionalExtension, Row, params};
use super::location::Location;
use super::writer::Settler;
use super::{Published, StorageError, block, postgres, records, sqlite, statistics};

/// A small pool of read-only connections, of which there are never more than a bounded number.
#[derive(Clone)]
pub struct Reader {
    location: Location,
    idle: Arc<Mutex<Vec<Connection>>>,
    /// So many may ask at a time.
    room: Arc<Semaphore>,
    /// The writer that fills the tables, when one runs.
    settler: Option<Settler>,
}

/// So many connections are kept when nobody uses them.
const KEPT: usize = 8;
/// A connection to a server takes some of its memory.
const KEPT_TO_SERVER: usize = 4;
/// So many questions are asked at a time; as many as this machine's threads that may block.
const AT_A_TIME: usize = 512;
/// A server has room for a hundred connections, unless it is told otherwise.
const AT_A_TIME_TO_SERVER: usize = 16;
/// So long a question waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// After this cursor.
    pub after: u64,
    /// At most so many are given.
    pub limit: usize,
    /// Only of this device.
    pub device: Option<DeviceId>,
}

impl Reader {
    /// A reader of this database, which a writer of this process may be filling. To a server it connects when it is
    /// first asked.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn new(location: &Location, settler: Option<Settler>) -> Result<Self, StorageError> {
        let (idle, room) = match location {
            Location::Sqlite(path) => (vec![sqlite::open_reader(path)?], AT_A_TIME),
            Location::Postgres(_) => (Vec::new(), AT_A_TIME_TO_SERVER),
        };
        let (idle, room) = (Arc::new(Mutex::new(idle)), Arc::new(Semaphore::new(room)));
        Ok(Self { location: location.clone(), idle, room, settler })
    }

    /// A connection that is there; blocks.
    fn connection(&self) -> Result<Connection, StorageError> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match (idle, &self.location) {
                // The server may have ended it meanwhile.
                (Some(idle), _) if idle.session().is_some_and(postgres::Session::has_ended) => {}
                (Some(idle), _) => return Ok(idle),
                (None, Location::Sqlite(path)) => return sqlite::open_reader(path),
                (None, Location::Postgres(server)) => return super::connect(server, postgres::Use::Read),
            }
        }
    }

    /// Everything published before is in its table after this, unless the disk is very slow.
    pub(crate) async fn settle(&self) {
        if let Some(settler) = &self.settler {
            settler.settle().await;
        }
    }

    /// Runs a query on a thread that may block.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let turn = tokio::time::timeout(TURN_WITHIN, Arc::clone(&self.room).acquire_owned()).await;
        // It is never closed.
        let Ok(Ok(turn)) = turn else {
            return Err(StorageError::Busy("too many others ask the store".to_owned()));
        };
        let reader = self.clone();
        let run = move || {
            let _turn = turn;
            let connection = reader.connection()?;
            let result = query(&connection);
            if connection.is_lost() {
                return result;
            }
            let kept = if connection.session().is_some() { KEPT_TO_SERVER } else { KEPT };
            let mut idle = reader.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < kept {
                idle.push(connection);
            }
            result
        };
        actix_web::web::block(run)
            .await
            .map_err(|_| StorageError::Corrupt("the query was cancelled".into()))?
    }

    /// Committed events in order, and how far was looked; none at the end.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn events(&self, query: EventQuery) -> Result<(Vec<Published>, Option<u64>), StorageError> {
        self.query(move |connection| {
            let device = match &query.device {
                None => None,
                Some(device) => match device_key(connection, device)? {
                    Some(key) => Some(key),
                    None => return Ok((Vec::new(), None)),
                },
            };
            block::events(connection, query.after, device, query.limit)
        })
        .await
    }

    /// Records or conversations with their places, newest first, and where to go on; `devices`: only of these.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn records<T: serde::de::DeserializeOwned + Send + 'static>(
        &self,
        kind: records::Kind,
        mut query: records::Query,
        devices: Option<Vec<DeviceId>>,
    ) -> Result<(Vec<(i64, T)>, Option<i64>), StorageError> {
        self.settle().await;
        self.query(move |connection| {
            if let Some(devices) = devices {
                for device in devices {
                    query.devices.extend(device_key(connection, &device)?);
                }
                if query.devices.is_empty() {
                    return Ok((Vec::new(), None));
                }
            }
            let records::Found { items, next } = records::find(connection, kind, &query)?;
            let items = items.into_iter().map(|(place, body)| Ok((place, parse(&body)?)));
            Ok((items.collect::<Result<_, StorageError>>()?, next))
        })
        .await
    }

    /// Sums of conversations, each line with its device's id; `devices`: only of these. None: more than `most` lines.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn statistics(
        &self,
        mut query: statistics::Query,
        devices: Option<Vec<DeviceId>>,
        most: usize,
    ) -> Result<Option<Vec<(statistics::Line, Option<DeviceId>)>>, StorageError> {
        self.settle().await;
        self.query(move |connection| {
            if let Some(devices) = devices {
                for device in devices {
                    query.devices.extend(device_key(connection, &device)?);
                }
                if query.devices.is_empty() {
                    return Ok(Some(Vec::new()));
                }
            }
            let Some(lines) = statistics::find(connection, &query, most)? else { return Ok(None) };
            let lines = lines.into_iter().map(|line| {
                let device = line.device.map(|key| block::device_of(connection, key)).transpose()?;
                Ok((line, device))
            });
            lines.collect::<Result<_, StorageError>>().map(Some)
        })
        .await
    }

    /// A record or conversation.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn record<T: serde::de::DeserializeOwned + Send + 'static>(
        &self,
        kind: records::Kind,
        id: uuid::Uuid,
    ) -> Result<Option<T>, StorageError> {
        self.settle().await;
        let body = self.query(move |connection| records::get(connection, kind, id)).await?;
        body.map(|body| parse(&body)).transpose()
    }

    /// What a device's log holds of a time; none when the device was never known.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn stretch(
        &self,
        device: DeviceId,
        span: (Timestamp, Timestamp),
        after: i64,
        limit: usize,
    ) -> Result<Option<block::Stretch>, StorageError> {
        self.query(move |connection| {
            let Some(key) = device_key(connection, &device)? else { return Ok(None) };
            block::stretch(connection, key, span, after, limit).map(Some)
        })
        .await
    }

    /// The commands about a call: those that its events name, and those that have found it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn commands(&self, ids: Vec<CommandId>) -> Result<Vec<CommandView>, StorageError> {
        self.query(move |connection| {
            let found = ids.into_iter().map(|id| super::commands::get(connection, id));
            Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        })
        .await
    }

    /// An ended call.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn call(&self, id: CallId) -> Result<Option<CallView>, StorageError> {
        self.settle().await;
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

pub(crate) fn parse<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, StorageError> {
    serde_json::from_str(body)
        .map_err(|error| StorageError::Corrupt(format!("a stored record cannot be read: {error}")))
}

fn device_key(connection: &Connection, device: &DeviceId) -> Result<Option<i64>, db::Error> {
    connection
        .prepare_cached("SELECT key FROM device WHERE id = ?")?
        .query_row(params![device.as_str()], |row| row.get(0))
        .optional()
}

fn replay_floor(connection: &Connection) -> Result<i64, db::Error> {
    let floor: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = 'replay_floor'", [], |row| row.get(0))
        .optional()?;
    Ok(floor.and_then(|floor| floor.parse().ok()).unwrap_or(0))
}

/// Reports that no cell is to be given again: device's key, time, randomness.
fn set_aside(connection: &Connection) -> Result<HashSet<(i64, i64, u64)>, db::Error> {
    let mut statement = connection
        .prepare("SELECT d.key, q.at, q.entropy FROM quarantine q JOIN device d ON d.id = q.device")?;
    let row = |row: Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned()));
    statement.query_map([], row)?.collect()
}

/// Runs over the log from `after` on, without what was set aside; the callback gets an input's id, the device's key
/// and the input.
fn scan_log(
    connection: &Connection,
    after: i64,
    device: Option<i64>,
    mut visit: impl FnMut(i64, i64, Entry),
) -> Result<(), StorageError> {
    let aside = set_aside(connection)?;
    block::inputs(connection, after, device, |id, device, entry| {
        let seed = entry.seed();
        if !aside.contains(&(device, seed.at.0, seed.entropy)) {
            visit(id, device, entry);
        }
    })
}

/// Where the log of each device begins: after its snapshot, or with the device itself.
fn beginnings(connection: &Connection) -> Result<HashMap<i64, i64>, db::Error> {
    let mut statement = connection.prepare(
        "SELECT d.key, coalesce(s.log_id, d.log_id) FROM device d LEFT JOIN snapshot s ON s.device = d.key AND s.log_id >= d.log_id",
    )?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Devices that were removed, by key.
pub(super) fn removed(connection: &Connection) -> Result<HashSet<i64>, db::Error> {
    let mut statement = connection.prepare_cached("SELECT key FROM device WHERE secrets IS NULL")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Devices that have reports after their snapshot, with the id before the first of these.
pub(super) fn unwritten(connection: &Connection) -> Result<HashMap<i64, i64>, StorageError> {
    let removed = removed(connection)?;
    let beginnings = beginnings(connection)?;
    let mut found = HashMap::new();
    block::each(connection, replay_floor(connection)?, None, |id, logged| {
        let reached = beginnings.get(&logged.device).copied().unwrap_or(0);
        if id > reached && !removed.contains(&logged.device) {
            found.entry(logged.device).or_insert(id - 1);
        }
    })?;
    Ok(found)
}

/// One cell: its snapshot, and what was logged after it.
pub(super) fn load_cell(connection: &Connection, device: &DeviceId) -> Result<LoadedCell, StorageError> {
    let cell = connection
        .query_row(
            "SELECT d.key, coalesce(s.log_id, d.log_id), s.body FROM device d \
             LEFT JOIN snapshot s ON s.device = d.key AND s.log_id >= d.log_id WHERE d.id = ?",
            params![device.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let Some((key, after, snapshot)) = cell else { return Ok(LoadedCell::default()) };
    let mut loaded = LoadedCell { snapshot, log: Vec::new() };
    // What no device's snapshot lacks need not be looked at.
    let after = i64::max(after, replay_floor(connection)?);
    scan_log(connection, after, Some(key), |_, _, entry| loaded.log.push(entry))?;
    Ok(loaded)
}

/// Every cell, as the service needs them at its start: all logs in one pass.
///
/// # Errors
/// When the store cannot be read.
pub fn load_cells(connection: &Connection) -> Result<HashMap<DeviceId, LoadedCell>, StorageError> {
    let mut ids = HashMap::new();
    let mut cells: HashMap<i64, (i64, LoadedCell)> = HashMap::new();
    {
        let mut statement = connection.prepare(
            "SELECT d.key, d.id, coalesce(s.log_id, d.log_id), s.body FROM device d \
             LEFT JOIN snapshot s ON s.device = d.key AND s.log_id >= d.log_id",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            let id: String = row.get(1)?;
            ids.insert(key, DeviceId::new(id).map_err(|error| StorageError::Corrupt(error.to_string()))?);
            cells.insert(key, (row.get(2)?, LoadedCell { snapshot: row.get(3)?, log: Vec::new() }));
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
