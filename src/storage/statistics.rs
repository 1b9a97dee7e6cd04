//! Statistics: sums of conversations by hour and by day, for each direction, extension, trunk and queue of a device.
//!
//! They are written with the conversations, in the same transaction, so they are never more or less than these. What is
//! asked for is summed from whole months of thirty days and whole days where it spans some, and from hours at its ends.

use std::collections::BTreeMap;

use switchroom_domain::conversation::{Conversation, Outcome};
use switchroom_domain::view::Direction;

use super::StorageError;
use super::db::{Connection, Transaction, Value, params, params_from_iter};
use super::records::indexed;
use crate::privacy;

/// An hour.
pub const HOUR: i64 = 3_600_000;
/// A day.
pub const DAY: i64 = 24 * HOUR;
/// Thirty days.
const MONTH: i64 = 30 * DAY;
/// Sums of all devices stand under this key.
const ALL: i64 = 0;
/// Who is answered within this time of ringing and waiting is answered in time.
const IN_TIME: f64 = 20.0;

/// The columns of sums.
const SUMMED: &str = "calls, answered, abandoned, no_answer, busy, rejected, failed, in_time, queued, ring_ms, queue_ms, talk_ms";
/// Sums that come to others are added to these.
const ADDED: &str = "ON CONFLICT (grain, dimension, device, at, key) DO UPDATE SET calls = rollup.calls + excluded.calls, answered = rollup.answered + excluded.answered, \
     abandoned = rollup.abandoned + excluded.abandoned, no_answer = rollup.no_answer + excluded.no_answer, \
     busy = rollup.busy + excluded.busy, rejected = rollup.rejected + excluded.rejected, failed = rollup.failed + excluded.failed, \
     in_time = rollup.in_time + excluded.in_time, queued = rollup.queued + excluded.queued, \
     ring_ms = rollup.ring_ms + excluded.ring_ms, queue_ms = rollup.queue_ms + excluded.queue_ms, \
     talk_ms = rollup.talk_ms + excluded.talk_ms";

/// By what calls are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// Which way they went: every call once.
    Direction,
    /// Who was in them.
    Extension,
    /// Over which trunk.
    Trunk,
    /// In which queue they waited.
    Queue,
}

impl Dimension {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Direction => "direction",
            Self::Extension => "extension",
            Self::Trunk => "trunk",
            Self::Queue => "queue",
        }
    }
}

/// Sums of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the column of the same name")]
pub struct Sums {
    pub calls: i64,
    pub answered: i64,
    pub abandoned: i64,
    pub no_answer: i64,
    pub busy: i64,
    pub rejected: i64,
    pub failed: i64,
    pub in_time: i64,
    pub queued: i64,
    pub ring_ms: i64,
    pub queue_ms: i64,
    pub talk_ms: i64,
}

impl Sums {
    fn of(conversation: &Conversation) -> Self {
        let of = |outcome| i64::from(conversation.outcome == outcome);
        let ms = |seconds: Option<f64>| (seconds.unwrap_or(0.0) * 1000.0).round() as i64;
        let waited = conversation.queue_seconds.unwrap_or(0.0) + conversation.ring_seconds.unwrap_or(0.0);
        let answered = of(Outcome::Answered);
        Self {
            calls: 1,
            answered,
            abandoned: of(Outcome::Abandoned),
            no_answer: of(Outcome::NoAnswer),
            busy: of(Outcome::Busy),
            rejected: of(Outcome::Rejected),
            failed: of(Outcome::Failed),
            in_time: if waited <= IN_TIME { answered } else { 0 },
            queued: i64::from(conversation.queue.is_some()),
            ring_ms: ms(conversation.ring_seconds),
            queue_ms: ms(conversation.queue_seconds),
            talk_ms: ms(conversation.talk_seconds),
        }
    }

    fn all(&self) -> [i64; 12] {
        [
            self.calls,
            self.answered,
            self.abandoned,
            self.no_answer,
            self.busy,
            self.rejected,
            self.failed,
            self.in_time,
            self.queued,
            self.ring_ms,
            self.queue_ms,
            self.talk_ms,
        ]
    }

    const fn from(all: [i64; 12]) -> Self {
        let [
            calls,
            answered,
            abandoned,
            no_answer,
            busy,
            rejected,
            failed,
            in_time,
            queued,
            ring_ms,
            queue_ms,
            talk_ms,
        ] = all;
        Self {
            calls,
            answered,
            abandoned,
            no_answer,
            busy,
            rejected,
            failed,
            in_time,
            queued,
            ring_ms,
            queue_ms,
            talk_ms,
        }
    }

    /// Adds others, `times` over: −1 takes them away.
    pub fn add(&mut self, other: &Self, times: i64) {
        let mut all = self.all();
        for (sum, more) in all.iter_mut().zip(other.all()) {
            *sum += times * more;
        }
        *self = Self::from(all);
    }
}

/// What conversations change, gathered so that each sum is written once.
#[derive(Debug, Default)]
pub struct Changes(BTreeMap<(i64, Dimension, i64, i64, String), Sums>);

impl Changes {
    /// A conversation of this device came, or (−1) is replaced.
    pub fn add(&mut self, device: i64, conversation: &Conversation, times: i64) {
        let sums = Sums::of(conversation);
        let mut keys = vec![(Dimension::Direction, conversation.direction.as_str().to_owned())];
        keys.extend(conversation.trunk.as_ref().map(|trunk| (Dimension::Trunk, trunk.to_string())));
        keys.extend(conversation.queue.as_ref().map(|queue| (Dimension::Queue, queue.to_string())));
        keys.extend(extensions(conversation).map(|number| (Dimension::Extension, number)));
        for (dimension, key) in keys {
            let key = indexed(&key).to_owned();
            for grain in [HOUR, DAY, MONTH] {
                let at = conversation.started_at.0.div_euclid(grain) * grain;
                for device in [device, ALL] {
                    let place = (grain, dimension, device, at, key.clone());
                    self.0.entry(place).or_default().add(&sums, times);
                }
            }
        }
    }

    /// Writes the sums.
    ///
    /// # Errors
    /// When the database refuses it.
    pub fn write(self, transaction: &Transaction<'_>) -> Result<(), StorageError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut statement = transaction.prepare_cached(&format!(
            "INSERT INTO rollup VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) {ADDED}"
        ))?;
        for ((grain, dimension, device, at, key), sums) in self.0 {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = sums.all();
            statement.post(params![
                grain,
                dimension.as_str(),
                device,
                at,
                key,
                a,
                b,
                c,
                d,
                e,
                f,
                g,
                h,
                i,
                j,
                k,
                l
            ])?;
        }
        Ok(())
    }
}

/// The extensions that had a part in it. Who answered, or passed it on, may also be somebody outside to whom the call was
/// passed on; a number of that length is none of an extension, and sums name nobody.
fn extensions(conversation: &Conversation) -> impl Iterator<Item = String> + use<> {
    let (from, to) = (&conversation.from, conversation.answered_by.as_ref().or(conversation.to.as_ref()));
    let mut named = Vec::new();
    match conversation.direction {
        Direction::Inbound => named.extend(conversation.answered_by.clone()),
        Direction::Outbound => named.extend(from.clone()),
        Direction::Internal => named.extend(from.iter().chain(to).cloned()),
        Direction::Callback => {}
    }
    named.extend(conversation.transfers.iter().flat_map(|transfer| transfer.by.clone()));
    named.sort();
    named.dedup();
    let is_extension = |number: &switchroom_domain::Text| !number.is_empty() && !privacy::is_long(number);
    named.into_iter().filter(is_extension).map(|number| number.to_string())
}

/// The names of sums that name a number: those of trunks, and of what was taken for extensions before.
///
/// # Errors
/// When the database cannot be read.
pub fn keys_with(connection: &Connection, number: &str) -> Result<Vec<String>, StorageError> {
    let mut statement = connection
        .prepare_cached("SELECT DISTINCT key FROM rollup WHERE CAST(length(key) AS BIGINT) >= ?")?;
    let mut rows = statement.query(params![i64::try_from(number.len()).unwrap_or(i64::MAX)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        if privacy::names(key.as_bytes(), number) {
            found.push(key);
        }
    }
    Ok(found)
}

/// Adds what is summed under one name to what is under another, and nothing is under the former.
///
/// # Errors
/// When the database refuses it.
pub fn merge(connection: &mut Connection, key: &str, into: &str) -> Result<(), StorageError> {
    let transaction = connection.transaction()?;
    transaction
        .prepare_cached(&format!(
            "INSERT INTO rollup SELECT grain, dimension, device, at, CAST(?1 AS TEXT), {SUMMED} FROM rollup WHERE key = ?2 {ADDED}"
        ))?
        .execute(params![into, key])?;
    transaction.prepare_cached("DELETE FROM rollup WHERE key = ?")?.execute(params![key])?;
    transaction.commit()?;
    Ok(())
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Query {
    /// From this time, in milliseconds; summed by whole hours.
    pub since: i64,
    /// Until this time.
    pub until: i64,
    /// Of these devices, by their keys; empty: of all.
    pub devices: Vec<i64>,
    /// By what.
    pub dimension: Dimension,
    /// For each hour or day, or for all of the time.
    pub grain: Option<i64>,
    /// For each device by itself.
    pub by_device: bool,
    /// For each key by itself.
    pub by_key: bool,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The hour's or day's begin.
    pub at: Option<i64>,
    /// The device's key.
    pub device: Option<i64>,
    /// The direction, extension, trunk or queue.
    pub key: Option<String>,
    /// The sums.
    pub sums: Sums,
}

/// An hour's or day's begin, a device's key, a direction, extension, trunk or queue.
type Place = (Option<i64>, Option<i64>, Option<String>);

/// Cuts a time into pieces, the larger the better: whole days and months are summed already.
fn parts(since: i64, until: i64, finest: Option<i64>) -> Vec<(i64, i64, i64)> {
    let mut parts = Vec::new();
    let mut outer = (since, until);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    // From the edges inwards, each grain up to where the next begins.
    let grains = [HOUR, DAY, MONTH];
    let coarsest = finest.unwrap_or(MONTH);
    for (grain, next) in grains.into_iter().zip([DAY, MONTH, i64::MAX]) {
        let (from, to) = outer;
        let inner =
            (from.saturating_add(next - 1).div_euclid(next).saturating_mul(next), to.div_euclid(next) * next);
        if grain >= coarsest || inner.0 >= inner.1 {
            parts.push((grain, from, to));
            break;
        }
        before.push((grain, from, inner.0));
        after.push((grain, inner.1, to));
        outer = inner;
    }
    parts.extend(before.into_iter().chain(after));
    parts.retain(|(_, from, to)| from < to);
    parts
}

fn all_devices(connection: &Connection) -> Result<Vec<i64>, StorageError> {
    let mut statement = connection.prepare_cached("SELECT key FROM device")?;
    let mut keys = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    // An empty list is no SQL.
    keys.push(-1);
    Ok(keys)
}

/// Sums what is asked for. None: that is more than `most` lines.
///
/// # Errors
/// When the database cannot be read.
pub fn find(connection: &Connection, query: &Query, most: usize) -> Result<Option<Vec<Line>>, StorageError> {
    let hour = |at: i64| at.div_euclid(HOUR) * HOUR;
    let (since, until) = (hour(query.since), hour(query.until.saturating_add(HOUR - 1)));
    let mut lines: BTreeMap<Place, Sums> = BTreeMap::new();
    let parts = parts(since, until, query.grain);
    let devices = match query.devices.as_slice() {
        [] if query.by_device => all_devices(connection)?,
        [] => vec![ALL],
        devices => devices.to_vec(),
    };
    let devices: Vec<String> = devices.iter().map(ToString::to_string).collect();
    let devices = devices.join(",");
    let at = match query.grain {
        Some(DAY) => format!("at / {DAY} * {DAY}"),
        Some(_) => "at".to_owned(),
        None => "NULL".to_owned(),
    };
    let device = if query.by_device { "device" } else { "NULL" };
    let key = if query.by_key { "key" } else { "NULL" };
    let sql = format!(
        "SELECT {at}, {device}, {key}, CAST(sum(calls) AS BIGINT), CAST(sum(answered) AS BIGINT), CAST(sum(abandoned) AS BIGINT), CAST(sum(no_answer) AS BIGINT), CAST(sum(busy) AS BIGINT), \
         CAST(sum(rejected) AS BIGINT), CAST(sum(failed) AS BIGINT), CAST(sum(in_time) AS BIGINT), CAST(sum(queued) AS BIGINT), CAST(sum(ring_ms) AS BIGINT), CAST(sum(queue_ms) AS BIGINT), CAST(sum(talk_ms) AS BIGINT) FROM rollup \
         WHERE grain = ? AND dimension = ? AND at >= ? AND at < ? AND device IN ({devices}) GROUP BY 1, 2, 3 LIMIT {}",
        most.saturating_add(1)
    );
    for (grain, from, to) in parts {
        let mut statement = connection.prepare_cached(&sql)?;
        let given: [Value; 4] =
            [grain.into(), query.dimension.as_str().to_owned().into(), from.into(), to.into()];
        let mut rows = statement.query(params_from_iter(given))?;
        while let Some(row) = rows.next()? {
            let mut all = [0; 12];
            for (i, sum) in all.iter_mut().enumerate() {
                *sum = row.get(3 + i)?;
            }
            let place = (row.get(0)?, row.get(1)?, row.get(2)?);
            if lines.len() >= most && !lines.contains_key(&place) {
                return Ok(None);
            }
            lines.entry(place).or_default().add(&Sums::from(all), 1);
        }
    }
    let lines = lines.into_iter().filter(|(_, sums)| sums.calls > 0);
    Ok(Some(lines.map(|((at, device, key), sums)| Line { at, device, key, sums }).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_cut_into_pieces_that_meet_and_are_as_large_as_can_be() {
        let cases = [
            (0, 0, None),
            (HOUR, 5 * HOUR, None),
            (DAY - HOUR, 2 * DAY + HOUR, None),
            (MONTH - 2 * DAY - HOUR, 14 * MONTH + 3 * DAY + 7 * HOUR, None),
            (MONTH - 2 * DAY - HOUR, 14 * MONTH + 3 * DAY + 7 * HOUR, Some(DAY)),
            (MONTH - 2 * DAY - HOUR, 14 * MONTH + 3 * DAY + 7 * HOUR, Some(HOUR)),
            (-3 * MONTH - HOUR, 2 * HOUR, None),
        ];
        for (since, until, finest) in cases {
            let mut parts = parts(since, until, finest);
            parts.sort_unstable_by_key(|(_, from, _)| *from);
            let mut at = since;
            for (grain, from, to) in &parts {
                assert_eq!(*from, at);
                assert!(from % grain == 0 && to % grain == 0 && from < to, "{grain} {from} {to}");
                assert!(finest.is_none_or(|finest| *grain <= finest));
                // No whole piece of the next grain is left in it.
                let next = if *grain == HOUR { DAY } else { MONTH };
                let whole = (from + next - 1).div_euclid(next) * next + next <= *to;
                assert!(!whole || *grain == MONTH || finest.is_some_and(|finest| finest < next));
                at = *to;
            }
            assert_eq!(at, until);
        }
    }

    fn conversation(direction: &str, answered_by: &str, transferred_by: &str) -> Conversation {
        let id = uuid::Uuid::from_u64_pair(7, 7);
        serde_json::from_value(serde_json::json!({
            "id": id, "device": "om", "direction": direction, "from": "13012345678", "to": "02161208234",
            "answered_by": answered_by, "trunk": "02161208234", "started_at": "2026-11-21T10:00:00Z",
            "answered_at": "2026-11-21T10:00:05Z", "ended_at": "2026-11-21T10:01:00Z", "ring_seconds": 5.0,
            "queue_seconds": null, "talk_seconds": 55.0, "outcome": "answered", "confidence": "certain",
            "basis": "observed", "queue": null, "menus": [], "digits": [], "score": null,
            "transfers": [{"at": "2026-11-21T10:00:05Z", "kind": "diverted", "by": transferred_by, "to": answered_by}],
            "recordings": [], "cdrs": [],
        }))
        .expect("a conversation")
    }

    fn keys(connection: &Connection, dimension: Dimension) -> Vec<(String, i64)> {
        let query = Query {
            since: 0,
            until: i64::MAX / 2,
            devices: Vec::new(),
            dimension,
            grain: None,
            by_device: false,
            by_key: true,
        };
        let lines = find(connection, &query, 100).expect("they are read").expect("they are few");
        lines.into_iter().map(|line| (line.key.expect("a key"), line.sums.calls)).collect()
    }

    fn add(connection: &mut Connection, conversation: &Conversation, times: i64) {
        let mut changes = Changes::default();
        changes.add(1, conversation, times);
        let transaction = connection.transaction().expect("it begins");
        changes.write(&transaction).expect("it is written");
        transaction.commit().expect("it is kept");
    }

    #[test]
    fn who_is_outside_is_no_extension_whoever_passed_the_call_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut connection = crate::storage::testing::open(folder.path());
        for outside in ["13099995678", "+86 130 9999", "xxxxxxxxxxx"] {
            add(&mut connection, &conversation("inbound", outside, "200"), 1);
        }
        add(&mut connection, &conversation("internal", "201", "13099995678"), 1);
        assert_eq!(keys(&connection, Dimension::Extension), [("200".to_owned(), 3), ("201".to_owned(), 1)]);
    }

    #[test]
    fn sums_stay_when_what_they_are_of_is_erased() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut connection = crate::storage::testing::open(folder.path());
        let one = conversation("inbound", "201", "200");
        let mut other = one.clone();
        other.trunk = Some("021-61208234".into());
        for conversation in [&one, &one, &other] {
            add(&mut connection, conversation, 1);
        }
        let number = "02161208234";
        let mut named = keys_with(&connection, number).expect("they are read");
        named.sort();
        assert_eq!(named, ["021-61208234", number]);
        for key in named {
            merge(&mut connection, &key, "xxxxxxxxxxx").expect("they are added");
        }
        assert_eq!(keys_with(&connection, number).expect("they are read"), Vec::<String>::new());
        assert_eq!(keys(&connection, Dimension::Trunk), [("xxxxxxxxxxx".to_owned(), 3)]);
        assert_eq!(keys(&connection, Dimension::Extension), [("200".to_owned(), 3), ("201".to_owned(), 3)]);
    }
}
