//! Recordings as they are kept: what is known of each, from the record that named it until its file is here.

use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::id::{CallId, CdrId, DeviceId};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::Direction;
use utoipa::ToSchema;

use super::StorageError;
use super::db::{self, Connection, OptionalExtension, Row, Value, params, params_from_iter};

/// Why a recording that was erased is missing.
pub const ERASED: &str = "erased, because a number in it was to be erased";
/// How far the log of events was looked through for recordings.
const REACH: &str = "recordings_reach";
/// So many that are due are looked at at a time.
const DUE_AT_A_TIME: usize = 1000;

/// How far a recording is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// A record named it; it waits for its turn or its next try.
    Announced,
    /// It is being fetched.
    Fetching,
    /// It is here and can be played.
    Available,
    /// It could not be fetched; nothing is tried any more unless it is asked for.
    Missing,
}

impl RecordingState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Announced, Self::Fetching, Self::Available, Self::Missing];

    /// The name in JSON and in filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Fetching => "fetching",
            Self::Available => "available",
            Self::Missing => "missing",
        }
    }

    /// Is nothing more going to happen by itself?
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Available | Self::Missing)
    }
}

/// What is known of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Recording {
    /// Its id: that of the call record that named it.
    #[schema(value_type = String)]
    pub id: CdrId,
    /// The device it was made on.
    #[schema(value_type = String, example = "hotel-1")]
    pub device: DeviceId,
    /// The record's call; null when it was not known when the record came.
    #[schema(value_type = Option<String>)]
    pub call: Option<CallId>,
    /// Its name on the device, as the record has it.
    #[schema(value_type = String, example = "20171116/18201008888_200_20171116_163550_85_cd.wav")]
    pub file: Text,
    /// Which way the call went, where the record tells.
    pub direction: Option<Direction>,
    /// Calling number.
    #[schema(value_type = Option<String>, example = "18201008888")]
    pub from: Option<Text>,
    /// Called number.
    #[schema(value_type = Option<String>, example = "200")]
    pub to: Option<Text>,
    /// Trunk number.
    #[schema(value_type = Option<String>)]
    pub trunk: Option<Text>,
    /// Talk time by the record, in seconds.
    #[schema(example = 6.0)]
    pub duration: Option<f64>,
    /// When its record came in.
    #[schema(value_type = String, format = DateTime)]
    pub announced_at: Timestamp,
    /// How far it is.
    pub state: RecordingState,
    /// How often it was tried to fetch it.
    pub tries: u32,
    /// When it is tried next; null once it is settled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_try_at: Option<Timestamp>,
    /// Why the last try failed; null once it is available.
    pub error: Option<String>,
    /// The type of what is played; `application/octet-stream` for G.729 halves that were not joined.
    #[schema(example = "audio/wav")]
    pub content_type: Option<String>,
    /// Size in bytes of what is played.
    #[schema(example = 48044)]
    pub size: Option<u64>,
    /// SHA-256 of what is played, in hex.
    pub sha256: Option<String>,
    /// Its length in seconds, where the file tells.
    #[schema(example = 6.0)]
    pub seconds: Option<f64>,
    /// Whether that is the record's `duration`, give or take 2 s; null when one of the two is not known.
    pub matches_duration: Option<bool>,
    /// When it was fetched.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub fetched_at: Option<Timestamp>,
    /// Its name in the store of recordings.
    #[schema(example = "2017/11/16/01a1fe07-2e4d-7001-b7b7-4acb1272d060.wav")]
    pub stored_as: Option<String>,
    /// The halves of a G.729 recording that were fetched: `send`, `recv`.
    #[serde(default)]
    pub parts: Vec<String>,
}

impl Recording {
    /// Was it erased, or its name on the device, with a number in it?
    #[must_use]
    pub fn is_erased(&self) -> bool {
        // Digits that were struck out; no device names a file so.
        self.error.as_deref() == Some(ERASED) || self.file.contains("xxxxx")
    }

    /// One that was just announced, with nothing known of it but this; it is due at once.
    #[must_use]
    pub const fn new(id: CdrId, device: DeviceId, file: Text, announced_at: Timestamp) -> Self {
        Self {
            id,
            device,
            call: None,
            file,
            direction: None,
            from: None,
            to: None,
            trunk: None,
            duration: None,
            announced_at,
            state: RecordingState::Announced,
            tries: 0,
            next_try_at: Some(announced_at),
            error: None,
            content_type: None,
            size: None,
            sha256: None,
            seconds: None,
            matches_duration: None,
            fetched_at: None,
            stored_as: None,
            parts: Vec::new(),
        }
    }

    /// Where it stands in time, for lists.
    #[must_use]
    pub const fn place(&self) -> i64 {
        (self.announced_at.0 << 20) | (self.id.0.as_u128() & 0xF_FFFF) as i64
    }
}

/// Which recordings are wanted.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Before this place.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: usize,
    /// Only of these devices; none: of all.
    pub devices: Option<Vec<DeviceId>>,
    /// Only of this call.
    pub call: Option<CallId>,
    /// Only in this state.
    pub state: Option<RecordingState>,
    /// Announced at or after this time, in milliseconds.
    pub since: Option<i64>,
    /// Announced before this time.
    pub until: Option<i64>,
}

fn to_json(recording: &Recording) -> Result<String, StorageError> {
    serde_json::to_string(recording)
        .map_err(|error| StorageError::Corrupt(format!("a recording cannot be written as JSON: {error}")))
}

fn from_json(body: &str) -> Result<Recording, StorageError> {
    serde_json::from_str(body)
        .map_err(|error| StorageError::Corrupt(format!("a recording cannot be read: {error}")))
}

fn body(row: Row<'_>) -> Result<String, db::Error> {
    row.get(0)
}

/// Keeps a recording that was just announced; one that is known stays as it is.
///
/// # Errors
/// When the database refuses it.
pub fn announce(connection: &Connection, recording: &Recording) -> Result<(), StorageError> {
    let sql = "INSERT INTO recording (place, id, device, call, state, next_at, told, body) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![
        recording.place(),
        recording.id.0.as_bytes().as_slice(),
        recording.device.as_str(),
        recording.call.map(|call| call.0.into_bytes().to_vec()),
        recording.state.as_str(),
        recording.next_try_at.map(|at| at.0),
        !recording.state.is_settled(),
        to_json(recording)?,
    ])?;
    Ok(())
}

/// Keeps what has become of a recording. How it settled is to be told from then on.
///
/// # Errors
/// When the database refuses it.
pub fn update(connection: &Connection, recording: &Recording) -> Result<(), StorageError> {
    let sql = "UPDATE recording SET state = ?, next_at = ?, told = ?, body = ? WHERE id = ?";
    connection.prepare_cached(sql)?.execute(params![
        recording.state.as_str(),
        recording.next_try_at.map(|at| at.0),
        !recording.state.is_settled(),
        to_json(recording)?,
        recording.id.0.as_bytes().as_slice(),
    ])?;
    Ok(())
}

/// Keeps what has become of a recording if it is still the one that was seen; says whether it was.
///
/// # Errors
/// When the database refuses it.
pub fn update_if(
    connection: &mut Connection,
    seen: &Recording,
    recording: &Recording,
) -> Result<bool, StorageError> {
    let transaction = connection.transaction()?;
    let is_same = get(&transaction, recording.id)?.as_ref() == Some(seen);
    if is_same {
        update(&transaction, recording)?;
    }
    transaction.commit()?;
    Ok(is_same)
}

/// Keeps what came of a try, if it is still being fetched: meanwhile it may have been forgotten. Says whether it is kept;
/// also when it was kept by a call before this one whose answer was lost.
///
/// # Errors
/// When the database refuses it.
pub fn fetched(connection: &mut Connection, recording: &Recording) -> Result<bool, StorageError> {
    let transaction = connection.transaction()?;
    let now: Option<(String, String)> = transaction
        .prepare_cached("SELECT state, body FROM recording WHERE id = ?")?
        .query_row(params![recording.id.0.as_bytes().as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((state, body)) = now else { return Ok(false) };
    if state != RecordingState::Fetching.as_str() {
        return Ok(body == to_json(recording)?);
    }
    update(&transaction, recording)?;
    transaction.commit()?;
    Ok(true)
}

/// The event of how it settled is in the log.
///
/// # Errors
/// When the database refuses it.
pub fn told(connection: &Connection, id: CdrId) -> Result<(), StorageError> {
    connection
        .prepare_cached("UPDATE recording SET told = 1 WHERE id = ?")?
        .execute(params![id.0.as_bytes().as_slice()])?;
    Ok(())
}

/// Recordings that settled and whose event is still to come, the oldest first.
///
/// # Errors
/// When the database cannot be read.
pub fn untold(connection: &Connection, limit: usize) -> Result<Vec<Recording>, StorageError> {
    let mut statement =
        connection.prepare_cached("SELECT body FROM recording WHERE told = 0 ORDER BY place LIMIT ?")?;
    let bodies = statement.query_map(params![limit as i64], body)?.collect::<Result<Vec<_>, _>>()?;
    bodies.iter().map(|body| from_json(body)).collect()
}

/// What was being fetched when the service ended is announced again. Its time has come already.
///
/// # Errors
/// When the database refuses it.
pub fn recover(connection: &mut Connection) -> Result<(), StorageError> {
    let transaction = connection.transaction()?;
    for mut recording in select(&transaction, "state = 'fetching'", Vec::new(), usize::MAX)? {
        recording.state = RecordingState::Announced;
        update(&transaction, &recording)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Recordings that are due, of each device the first one: at most so many, of none of these devices.
///
/// # Errors
/// When the database cannot be read.
pub fn due(
    connection: &Connection,
    now: Timestamp,
    busy: &[DeviceId],
    limit: usize,
) -> Result<Vec<Recording>, StorageError> {
    // Thousands may be due of one device: until its turn has come, only the index is read, which in SQLite ends with the
    // row's id.
    let (row, mut last) = match connection {
        Connection::Sqlite(_) => ("rowid", Value::Integer(i64::MIN)),
        Connection::Postgres(_) => ("id", Value::Blob(Vec::new())),
    };
    let mut places = connection.prepare_cached(&format!(
        "SELECT next_at, device, {row} FROM recording WHERE next_at <= ? AND (next_at, device, {row}) > (?, ?, ?) \
         ORDER BY next_at, device, {row} LIMIT {DUE_AT_A_TIME}"
    ))?;
    let mut of_place = connection.prepare_cached(&format!("SELECT body FROM recording WHERE {row} = ?"))?;
    let (mut at, mut of) = (i64::MIN, String::new());
    let mut taken: Vec<String> = busy.iter().map(ToString::to_string).collect();
    let mut found = Vec::new();
    loop {
        let mut rows = places.query(params![now.0, at, of, last])?;
        let mut looked = 0;
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            (at, of, last) = (row.get(0)?, row.get(1)?, row.get(2)?);
            looked += 1;
            if !taken.contains(&of) {
                found.push(from_json(&of_place.query_row(params![last], body)?)?);
                taken.push(of.clone());
            }
        }
        if found.len() >= limit || looked < DUE_AT_A_TIME {
            return Ok(found);
        }
    }
}

/// How many have not settled, and when the first of them after `now` is tried.
///
/// # Errors
/// When the database cannot be read.
pub fn pending(connection: &Connection, now: Timestamp) -> Result<(i64, Option<Timestamp>), StorageError> {
    let count = connection
        .prepare_cached("SELECT COUNT(*) FROM recording WHERE next_at IS NOT NULL")?
        .query_row([], |row| row.get(0))?;
    let next: Option<i64> = connection
        .prepare_cached("SELECT MIN(next_at) FROM recording WHERE next_at > ?")?
        .query_row(params![now.0], |row| row.get(0))?;
    Ok((count, next.map(Timestamp)))
}

/// A recording by its id.
///
/// # Errors
/// When the database cannot be read.
pub fn get(connection: &Connection, id: CdrId) -> Result<Option<Recording>, StorageError> {
    let found = connection
        .prepare_cached("SELECT body FROM recording WHERE id = ?")?
        .query_row(params![id.0.as_bytes().as_slice()], body)
        .optional()?;
    found.as_deref().map(from_json).transpose()
}

/// A recording by its key in the table.
///
/// # Errors
/// When the database cannot be read.
pub fn of_key(connection: &Connection, key: &Value) -> Result<Option<Recording>, StorageError> {
    let found = connection
        .prepare_cached("SELECT body FROM recording WHERE id = ?")?
        .query_row(params![key], body)
        .optional()?;
    found.as_deref().map(from_json).transpose()
}

/// What is known of a recording, without a number.
///
/// # Errors
/// When it has no form as JSON.
pub fn without(recording: &Recording, number: &str) -> Result<Recording, StorageError> {
    from_json(&super::keeping::without(&to_json(recording)?, number, true)?)
}

/// Recordings that are wanted, the newest first.
///
/// # Errors
/// When the database cannot be read.
pub fn find(connection: &Connection, query: &Query) -> Result<Vec<Recording>, StorageError> {
    let mut terms = vec!["true".to_owned()];
    let mut values = Vec::new();
    let mut term = |sql: &str, value: Value| {
        terms.push(sql.to_owned());
        values.push(value);
    };
    if let Some(before) = query.before {
        term("place < ?", before.into());
    }
    if let Some(since) = query.since {
        term("place >= ?", since.saturating_mul(1 << 20).into());
    }
    if let Some(until) = query.until {
        term("place < ?", until.saturating_mul(1 << 20).into());
    }
    if let Some(state) = query.state {
        term("state = ?", state.as_str().to_owned().into());
    }
    if let Some(call) = query.call {
        term("call = ?", call.0.into_bytes().to_vec().into());
    }
    if let Some(devices) = &query.devices {
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let places = vec!["?"; devices.len()].join(", ");
        terms.push(format!("device IN ({places})"));
        values.extend(devices.iter().map(|device| Value::from(device.to_string())));
    }
    select(connection, &terms.join(" AND "), values, query.limit)
}

fn select(
    connection: &Connection,
    terms: &str,
    mut values: Vec<Value>,
    limit: usize,
) -> Result<Vec<Recording>, StorageError> {
    values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    let sql = format!("SELECT body FROM recording WHERE {terms} ORDER BY place DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let bodies = statement.query_map(params_from_iter(values), body)?.collect::<Result<Vec<_>, _>>()?;
    bodies.iter().map(|body| from_json(body)).collect()
}

/// Settled recordings that were announced before this time, the oldest first.
///
/// # Errors
/// When the database cannot be read.
pub fn older(connection: &Connection, before: i64, limit: usize) -> Result<Vec<Recording>, StorageError> {
    let sql = "SELECT body FROM recording WHERE place < ? AND next_at IS NULL ORDER BY place LIMIT ?";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let bodies = statement.query_map(params![before << 20, limit], body)?.collect::<Result<Vec<_>, _>>()?;
    bodies.iter().map(|body| from_json(body)).collect()
}

/// Forgets a recording. Its audio is for the caller to delete.
///
/// # Errors
/// When the database refuses it.
pub fn remove(connection: &Connection, id: CdrId) -> Result<(), StorageError> {
    connection.execute("DELETE FROM recording WHERE id = ?", params![id.0.as_bytes().as_slice()])?;
    Ok(())
}

/// How far the log of events was looked through; none if that never began.
///
/// # Errors
/// When the database cannot be read.
pub fn reach(connection: &Connection) -> Result<Option<u64>, StorageError> {
    let reach: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = ?", params![REACH], |row| row.get(0))
        .optional()?;
    Ok(reach.and_then(|reach| reach.parse().ok()))
}

/// Keeps how far the log of events was looked through; none: it is not looked through any more.
///
/// # Errors
/// When the database refuses it.
pub fn set_reach(connection: &Connection, reach: Option<u64>) -> Result<(), StorageError> {
    match reach {
        Some(reach) => connection
            .prepare_cached(
                "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?
            .execute(params![REACH, reach.to_string()])?,
        None => connection.execute("DELETE FROM meta WHERE key = ?", params![REACH])?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use switchroom_domain::id::{IdSeed, Minter};

    use super::*;

    fn recording(n: u64, device: &str) -> Recording {
        let at = Timestamp(1_795_264_245_000 + n as i64);
        let id = CdrId(Minter::new(IdSeed { at, entropy: n }).mint());
        let device = DeviceId::new(device).expect("an id");
        Recording::new(id, device, "a.wav".into(), at)
    }

    fn database() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = crate::storage::testing::open(folder.path());
        (folder, connection)
    }

    #[test]
    fn of_each_device_one_is_due_and_of_a_busy_one_none() {
        let (_folder, connection) = database();
        for n in 0..30 {
            announce(&connection, &recording(n, ["a", "b", "c"][n as usize % 3])).expect("it is kept");
        }
        let devices = |busy: &[&str], limit| {
            let busy: Vec<_> = busy.iter().map(|id| DeviceId::new(*id).expect("an id")).collect();
            let due = due(&connection, Timestamp(i64::MAX), &busy, limit).expect("they are read");
            due.iter().map(|recording| recording.device.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(devices(&[], 4), ["a", "b", "c"]);
        assert_eq!(devices(&["a"], 1), ["b"]);
        assert!(due(&connection, Timestamp(0), &[], 4).expect("it is read").is_empty());
        let first = Timestamp(1_795_264_245_000);
        assert_eq!(
            pending(&connection, first).expect("it is read"),
            (30, Some(first.plus(switchroom_domain::time::Millis(1))))
        );
    }

    #[test]
    fn what_settled_is_told_once_and_what_was_being_fetched_is_announced_again() {
        let (_folder, mut connection) = database();
        let (mut one, mut two) = (recording(1, "a"), recording(2, "b"));
        for recording in [&one, &two, &one] {
            announce(&connection, recording).expect("it is kept");
        }
        (one.state, one.next_try_at) = (RecordingState::Missing, None);
        two.state = RecordingState::Fetching;
        for recording in [&one, &two] {
            update(&connection, recording).expect("it is kept");
        }
        recover(&mut connection).expect("it is kept");
        let two = get(&connection, two.id).expect("it is read").expect("it is there");
        assert_eq!((two.state, two.next_try_at), (RecordingState::Announced, Some(two.announced_at)));
        assert_eq!(untold(&connection, 9).expect("they are read"), [one.clone()]);
        told(&connection, one.id).expect("it is kept");
        assert!(untold(&connection, 9).expect("they are read").is_empty());
    }

    #[test]
    fn recordings_are_found_newest_first_by_what_is_asked_for() {
        let (_folder, connection) = database();
        for n in 0..10 {
            announce(&connection, &recording(n, ["a", "b"][n as usize % 2])).expect("it is kept");
        }
        let times = |query: &Query| {
            let found = find(&connection, query).expect("they are read");
            found.iter().map(|recording| recording.announced_at.0 % 100).collect::<Vec<_>>()
        };
        let all = Query { limit: 100, ..Query::default() };
        assert_eq!(times(&all), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
        let a = DeviceId::new("a").expect("an id");
        let page = Query { devices: Some(vec![a]), limit: 2, ..Query::default() };
        assert_eq!(times(&page), [8, 6]);
        let last = find(&connection, &page).expect("they are read").pop().expect("there are two");
        assert_eq!(times(&Query { before: Some(last.place()), ..page }), [4, 2]);
        let base = 1_795_264_245_000;
        assert_eq!(times(&Query { since: Some(base + 3), until: Some(base + 5), ..all.clone() }), [4, 3]);
        assert!(times(&Query { state: Some(RecordingState::Missing), ..all.clone() }).is_empty());
        assert!(times(&Query { devices: Some(Vec::new()), ..all }).is_empty());
    }

    #[test]
    fn what_was_forgotten_while_it_was_fetched_does_not_come_back() {
        let (_folder, mut connection) = database();
        let mut fetching = recording(1, "a");
        announce(&connection, &fetching).expect("it is kept");
        fetching.state = RecordingState::Fetching;
        update(&connection, &fetching).expect("it is kept");
        let mut available = fetching.clone();
        (available.state, available.next_try_at) = (RecordingState::Available, None);
        let mut forgotten = available.clone();
        forgotten.state = RecordingState::Missing;
        // What is forgotten is what was seen, and nothing that came since.
        assert!(!update_if(&mut connection, &available, &forgotten).expect("it is read"));
        assert!(update_if(&mut connection, &fetching, &forgotten).expect("it is kept"));
        assert!(!fetched(&mut connection, &available).expect("it is read"));
        let kept = |connection: &Connection| get(connection, fetching.id).expect("it is read");
        assert_eq!(kept(&connection), Some(forgotten));
        update(&connection, &fetching).expect("it is kept");
        assert!(fetched(&mut connection, &available).expect("it is kept"));
        assert!(fetched(&mut connection, &available).expect("it is read"), "it is there already");
        assert_eq!(kept(&connection), Some(available.clone()));
        remove(&connection, fetching.id).expect("it is removed");
        assert!(!fetched(&mut connection, &available).expect("it is read"));
        assert_eq!(kept(&connection), None);
    }
}
