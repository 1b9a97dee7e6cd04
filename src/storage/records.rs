//! Call records and conversations: kept by time, found by whatever they are asked for.
//!
//! Every index gives what it finds in order of time, so that the first page of the commonest value is as near as that of
//! the rarest. Only the beginning or the end of a number has no such order: there the newest records are looked at first,
//! which find a common one, and then the index of numbers, which finds a rare one.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params, params_from_iter};
use switchroom_domain::conversation::Conversation;
use switchroom_domain::view::CdrView;

use super::StorageError;
use super::reader::parse;
use super::statistics::Changes;

/// So many of the newest are looked at for a number's beginning or end before its index is.
const LOOKED_AT: usize = 20_000;
/// So many entries of that index are looked at.
const ENTRIES: usize = 200_000;
/// Bits of a place below its milliseconds.
pub(super) const BITS: u32 = 20;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Call records.
    Cdr,
    /// Conversations.
    Conversation,
}

impl Kind {
    const fn table(self) -> &'static str {
        match self {
            Self::Cdr => "cdr",
            Self::Conversation => "conversation",
        }
    }
}

/// A number that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Number {
    /// This one.
    Is(String),
    /// One that begins so.
    Begins(String),
    /// One that ends so.
    Ends(String),
}

impl Number {
    /// How it looks among the parties of a record.
    fn pattern(&self) -> String {
        match self {
            Self::Is(number) => format!("|{}|", clean(number)),
            Self::Begins(start) => format!("|{}", clean(start)),
            Self::Ends(end) => format!("{}|", clean(end)),
        }
    }
}

/// What is wanted, the newest first.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Before this place.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: usize,
    /// Of these devices, by their keys; empty: of all.
    pub devices: Vec<i64>,
    /// At or after this time in milliseconds.
    pub since: Option<i64>,
    /// Before this time.
    pub until: Option<i64>,
    /// Of this type.
    pub kind: Option<String>,
    /// Which went this way.
    pub direction: Option<String>,
    /// Which came to this.
    pub outcome: Option<String>,
    /// Over this trunk.
    pub trunk: Option<String>,
    /// With all of these numbers.
    pub numbers: Vec<Number>,
}

/// A page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Places and records, as JSON.
    pub items: Vec<(i64, String)>,
    /// Where to go on; none: there is no more.
    pub next: Option<i64>,
}

/// What is asked for can be found by it.
struct Fields {
    kind: String,
    direction: Option<String>,
    outcome: Option<String>,
    trunk: Option<String>,
    parties: BTreeSet<String>,
}

/// Bars are what numbers are told apart by.
fn clean(number: &str) -> String {
    number.replace('|', " ")
}

impl Fields {
    fn of_cdr(cdr: &CdrView) -> Self {
        Self {
            kind: cdr.kind.to_string(),
            direction: cdr.direction.map(|direction| direction.as_str().to_owned()),
            outcome: cdr.outcome.map(|outcome| outcome.as_str().to_owned()),
            trunk: cdr.trunk.as_ref().map(ToString::to_string),
            parties: parties([&cdr.from, &cdr.to]),
        }
    }

    fn of_conversation(conversation: &Conversation) -> Self {
        let transfers = conversation.transfers.iter().flat_map(|transfer| [&transfer.by, &transfer.to]);
        let named = [&conversation.from, &conversation.to, &conversation.answered_by];
        Self {
            kind: String::new(),
            direction: Some(conversation.direction.as_str().to_owned()),
            outcome: Some(conversation.outcome.as_str().to_owned()),
            trunk: conversation.trunk.as_ref().map(ToString::to_string),
            parties: parties(named.into_iter().chain(transfers)),
        }
    }

    fn bars(&self) -> String {
        let mut text = String::from("|");
        for party in &self.parties {
            text.push_str(party);
            text.push('|');
        }
        text
    }
}

fn parties<'a>(numbers: impl IntoIterator<Item = &'a Option<switchroom_domain::Text>>) -> BTreeSet<String> {
    let named = numbers.into_iter().flatten().filter(|number| !number.is_empty());
    named.map(|number| clean(number)).collect()
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

/// A record that is to be kept.
pub struct Kept<'a> {
    /// Its id.
    pub id: &'a [u8; 16],
    /// Its device's key.
    pub device: i64,
    /// Its time in milliseconds.
    pub at: i64,
    /// It, as JSON.
    pub body: &'a str,
}

impl Kept<'_> {
    /// Places are unique; what is of the same millisecond stands in the order in which it is written.
    fn place(&self, connection: &Connection, table: &str) -> Result<i64, rusqlite::Error> {
        let sql = format!("SELECT max(place) FROM {table} WHERE place >= ? AND place < ?");
        let (first, beyond) = (self.at << BITS, (self.at + 1) << BITS);
        let last: Option<i64> =
            connection.prepare_cached(&sql)?.query_row(params![first, beyond], |row| row.get(0))?;
        Ok(last.map_or(first, |last| last + 1))
    }
}

/// Keeps a call record; one that is there already gets its new body, a repeat of another nothing.
///
/// # Errors
/// When it cannot be written.
pub fn put_cdr(
    transaction: &Transaction<'_>,
    kept: &Kept<'_>,
    wire_id: &str,
    fingerprint: u64,
) -> Result<(), StorageError> {
    let known: Option<i64> = transaction
        .prepare_cached("SELECT place FROM cdr WHERE id = ?")?
        .query_row(params![kept.id.as_slice()], |row| row.get(0))
        .optional()?;
    if let Some(place) = known {
        transaction
            .prepare_cached("UPDATE cdr SET body = ? WHERE place = ?")?
            .execute(params![kept.body, place])?;
        return Ok(());
    }
    let fields = Fields::of_cdr(&parse(kept.body)?);
    let place = kept.place(transaction, "cdr")?;
    let written = transaction
        .prepare_cached(
            "INSERT INTO cdr (place, id, device, wire_id, fingerprint, kind, direction, outcome, trunk, parties, body)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (device, wire_id, fingerprint) DO NOTHING",
        )?
        .execute(params![
            place,
            kept.id.as_slice(),
            kept.device,
            wire_id,
            fingerprint.cast_signed(),
            fields.kind,
            fields.direction,
            fields.outcome,
            fields.trunk,
            fields.bars(),
            kept.body,
        ])?;
    if written > 0 {
        put_parties(transaction, Kind::Cdr, place, &fields)?;
    }
    Ok(())
}

/// Keeps a conversation, in place of what was known of it before; what that changes of the sums goes into `changes`.
///
/// # Errors
/// When it cannot be written.
pub fn put_conversation(
    transaction: &Transaction<'_>,
    kept: &Kept<'_>,
    changes: &mut Changes,
) -> Result<(), StorageError> {
    let known: Option<(i64, String, String)> = transaction
        .prepare_cached("SELECT place, parties, body FROM conversation WHERE id = ?")?
        .query_row(params![kept.id.as_slice()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let conversation: Conversation = parse(kept.body)?;
    changes.add(kept.device, &conversation, 1);
    let fields = Fields::of_conversation(&conversation);
    let place = match known {
        Some((place, parties, before)) => {
            changes.add(kept.device, &parse(&before)?, -1);
            take_parties(transaction, Kind::Conversation, place, &parties)?;
            place
        }
        None => kept.place(transaction, "conversation")?,
    };
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO conversation (place, id, device, direction, outcome, trunk, parties, body)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            place,
            kept.id.as_slice(),
            kept.device,
            fields.direction,
            fields.outcome,
            fields.trunk,
            fields.bars(),
            kept.body,
        ])?;
    put_parties(transaction, Kind::Conversation, place, &fields)
}

fn put_parties(
    transaction: &Transaction<'_>,
    kind: Kind,
    place: i64,
    fields: &Fields,
) -> Result<(), StorageError> {
    let table = kind.table();
    for party in &fields.parties {
        transaction
            .prepare_cached(&format!("INSERT OR IGNORE INTO {table}_party (number, place) VALUES (?, ?)"))?
            .execute(params![party, place])?;
        transaction
            .prepare_cached(&format!(
                "INSERT OR IGNORE INTO {table}_party_end (number, place) VALUES (?, ?)"
            ))?
            .execute(params![reversed(party), place])?;
    }
    Ok(())
}

fn take_parties(
    transaction: &Transaction<'_>,
    kind: Kind,
    place: i64,
    parties: &str,
) -> Result<(), StorageError> {
    let table = kind.table();
    for party in parties.split('|').filter(|party| !party.is_empty()) {
        transaction
            .prepare_cached(&format!("DELETE FROM {table}_party WHERE number = ? AND place = ?"))?
            .execute(params![party, place])?;
        transaction
            .prepare_cached(&format!("DELETE FROM {table}_party_end WHERE number = ? AND place = ?"))?
            .execute(params![reversed(party), place])?;
    }
    Ok(())
}

/// Removes up to so many records from before this time, the oldest first; gives how many. Sums stay.
///
/// # Errors
/// When the database refuses it.
pub fn prune(
    connection: &mut Connection,
    kind: Kind,
    before: i64,
    limit: usize,
) -> Result<usize, StorageError> {
    let table = kind.table();
    let transaction = connection.transaction()?;
    let old: Vec<(i64, String)> = transaction
        .prepare_cached(&format!(
            "SELECT place, parties FROM {table} WHERE place < ? ORDER BY place LIMIT ?"
        ))?
        .query_map(params![before << BITS, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    for (place, parties) in &old {
        take_parties(&transaction, kind, *place, parties)?;
        transaction
            .prepare_cached(&format!("DELETE FROM {table} WHERE place = ?"))?
            .execute(params![place])?;
    }
    transaction.commit()?;
    Ok(old.len())
}

/// Fills in what a database of an earlier version lacks: by what its records are found.
///
/// # Errors
/// When the database refuses it.
pub fn index_again(transaction: &Transaction<'_>) -> Result<(), StorageError> {
    let mut statement = transaction.prepare("SELECT place, body FROM cdr")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (place, body): (i64, String) = (row.get(0)?, row.get(1)?);
        let fields = Fields::of_cdr(&parse(&body)?);
        transaction
            .prepare_cached(
                "UPDATE cdr SET kind = ?, direction = ?, outcome = ?, trunk = ?, parties = ? WHERE place = ?",
            )?
            .execute(params![
                fields.kind,
                fields.direction,
                fields.outcome,
                fields.trunk,
                fields.bars(),
                place
            ])?;
        put_parties(transaction, Kind::Cdr, place, &fields)?;
    }
    Ok(())
}

/// One record by its id.
///
/// # Errors
/// When it cannot be read.
pub fn get(connection: &Connection, kind: Kind, id: uuid::Uuid) -> Result<Option<String>, StorageError> {
    let sql = format!("SELECT body FROM {} WHERE id = ?", kind.table());
    let found =
        connection.prepare_cached(&sql)?.query_row(params![id.as_bytes().as_slice()], |row| row.get(0));
    Ok(found.optional()?)
}

/// A page of what is wanted.
///
/// # Errors
/// When it cannot be read.
pub fn find(connection: &Connection, kind: Kind, query: &Query) -> Result<Found, StorageError> {
    let exact = query.numbers.iter().find_map(|number| match number {
        Number::Is(number) => Some(clean(number)),
        _ => None,
    });
    if let Some(number) = exact {
        return by_number(connection, kind, query, &number);
    }
    let equal = [
        ("trunk", &query.trunk),
        ("outcome", &query.outcome),
        ("kind", &query.kind),
        ("direction", &query.direction),
    ];
    let by_column = match query.devices.as_slice() {
        [_] if query.trunk.is_none() => Some("device"),
        _ => equal.into_iter().find_map(|(column, wanted)| wanted.as_ref().map(|_| column)),
    };
    let is_plain = query.numbers.is_empty() && query.devices.len() <= 1;
    if let (Some(column), true) = (by_column, is_plain) {
        return by_index(connection, kind, query, Some(column));
    }
    // The newest, of which enough may be what is wanted.
    let newest = newest(connection, kind, query)?;
    let enough = newest.items.len() >= query.limit || newest.next.is_none();
    if enough {
        return Ok(newest);
    }
    if query.numbers.is_empty() {
        return by_devices(connection, kind, query);
    }
    match by_part(connection, kind, query)? {
        Some(found) => Ok(found),
        None => Ok(newest),
    }
}

/// The conditions on a record's own row, and their values; `driven` is what the index is of.
fn conditions(query: &Query, driven: Option<&str>) -> (String, Vec<Value>) {
    let (mut sql, mut values) = (String::new(), Vec::new());
    let mut also = |condition: &str, value: Value| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.push(value);
    };
    if let Some(before) = query.before {
        also("r.place < ?", before.into());
    }
    if let Some(until) = query.until {
        also("r.place < ?", (until << BITS).into());
    }
    if let Some(since) = query.since {
        also("r.place >= ?", (since << BITS).into());
    }
    let equal = [
        ("trunk", &query.trunk),
        ("outcome", &query.outcome),
        ("kind", &query.kind),
        ("direction", &query.direction),
    ];
    for (column, wanted) in equal {
        if let Some(wanted) = wanted {
            // With the sign no index is used for it.
            let sign = if driven == Some(column) { "" } else { "+" };
            also(&format!("{sign}r.{column} = ?"), wanted.clone().into());
        }
    }
    if let [device] = query.devices.as_slice() {
        let sign = if driven == Some("device") { "" } else { "+" };
        also(&format!("{sign}r.device = ?"), (*device).into());
    }
    for number in &query.numbers {
        also("instr(r.parties, ?) > 0", number.pattern().into());
    }
    (sql, values)
}

fn collect(
    connection: &Connection,
    sql: &str,
    values: Vec<Value>,
    limit: usize,
) -> Result<Found, StorageError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Found::default();
    while let Some(row) = rows.next()? {
        if found.items.len() == limit {
            found.next = found.items.last().map(|(place, _)| *place);
            break;
        }
        found.items.push((row.get(0)?, row.get(1)?));
    }
    Ok(found)
}

fn one_more(limit: usize) -> Value {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1).into()
}

/// In the order of an index.
fn by_index(
    connection: &Connection,
    kind: Kind,
    query: &Query,
    column: Option<&str>,
) -> Result<Found, StorageError> {
    let (conditions, mut values) = conditions(query, column);
    let table = kind.table();
    let sql =
        format!("SELECT r.place, r.body FROM {table} r WHERE true{conditions} ORDER BY r.place DESC LIMIT ?");
    values.push(one_more(query.limit));
    collect(connection, &sql, values, query.limit)
}

/// In the order of one number's entries.
fn by_number(
    connection: &Connection,
    kind: Kind,
    query: &Query,
    number: &str,
) -> Result<Found, StorageError> {
    let (conditions, values) = conditions(query, None);
    let conditions = conditions.replace("r.place", "p.place");
    let table = kind.table();
    let devices = in_devices(query);
    let sql = format!(
        "SELECT r.place, r.body FROM {table}_party p CROSS JOIN {table} r ON r.place = p.place \
         WHERE p.number = ?{conditions}{devices} ORDER BY p.place DESC LIMIT ?"
    );
    let values = std::iter::once(Value::from(number.to_owned())).chain(values);
    let values = values.chain([one_more(query.limit)]).collect();
    collect(connection, &sql, values, query.limit)
}

/// Several devices, as a condition; their keys are numbers of our own.
fn in_devices(query: &Query) -> String {
    if query.devices.len() < 2 {
        return String::new();
    }
    let keys: Vec<String> = query.devices.iter().map(ToString::to_string).collect();
    format!(" AND +r.device IN ({})", keys.join(","))
}

/// Looks at the newest ones only.
fn newest(connection: &Connection, kind: Kind, query: &Query) -> Result<Found, StorageError> {
    let table = kind.table();
    let bounds = Query { before: query.before, since: query.since, until: query.until, ..Query::default() };
    let (bounds, mut values) = conditions(&bounds, None);
    let rest = Query { before: None, since: None, until: None, ..query.clone() };
    let (rest, more) = conditions(&rest, None);
    let devices = in_devices(query);
    // Where the looking ends.
    let floor: Option<i64> = connection
        .prepare_cached(&format!(
            "SELECT r.place FROM {table} r WHERE true{bounds} ORDER BY r.place DESC LIMIT 1 OFFSET {LOOKED_AT}"
        ))?
        .query_row(params_from_iter(values.clone()), |row| row.get(0))
        .optional()?;
    values.push(floor.unwrap_or(i64::MIN).into());
    values.extend(more);
    values.push(one_more(query.limit));
    let sql = format!(
        "SELECT r.place, r.body FROM {table} r WHERE true{bounds} AND r.place > ?{rest}{devices} ORDER BY r.place DESC LIMIT ?"
    );
    let mut found = collect(connection, &sql, values, query.limit)?;
    if found.next.is_none() {
        // So far was looked.
        found.next = floor.map(|floor| floor + 1);
    }
    Ok(found)
}

/// Of each device its newest, then the newest of these.
fn by_devices(connection: &Connection, kind: Kind, query: &Query) -> Result<Found, StorageError> {
    let mut all = Vec::new();
    for device in &query.devices {
        let one = Query { devices: vec![*device], limit: query.limit + 1, ..query.clone() };
        all.append(&mut by_index(connection, kind, &one, Some("device"))?.items);
    }
    Ok(newest_of(all, query.limit))
}

fn newest_of(mut all: Vec<(i64, String)>, limit: usize) -> Found {
    all.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().map(|(place, _)| *place).filter(|_| more);
    Found { items: all, next }
}

/// By the index of numbers, of which the beginning is known. None: too many begin so.
fn by_part(connection: &Connection, kind: Kind, query: &Query) -> Result<Option<Found>, StorageError> {
    let table = kind.table();
    let Some((index, start)) = query.numbers.iter().find_map(|number| match number {
        Number::Begins(start) => Some(("party", clean(start))),
        Number::Ends(end) => Some(("party_end", reversed(&clean(end)))),
        Number::Is(_) => None,
    }) else {
        return Ok(None);
    };
    let beyond = format!("{start}\u{10FFFF}");
    let sql = format!(
        "SELECT place FROM {table}_{index} WHERE number >= ? AND number < ? AND place < ? AND place >= ? LIMIT {}",
        ENTRIES + 1
    );
    let until = query.until.map_or(i64::MAX, |until| until << BITS);
    let before = query.before.map_or(until, |before| before.min(until));
    let since = query.since.map_or(i64::MIN, |since| since << BITS);
    let mut places: Vec<i64> = {
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![start, beyond, before, since], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    if places.len() > ENTRIES {
        return Ok(None);
    }
    places.sort_unstable_by_key(|place| std::cmp::Reverse(*place));
    places.dedup();
    let (conditions, values) =
        conditions(&Query { before: None, since: None, until: None, ..query.clone() }, None);
    let devices = in_devices(query);
    let sql = format!("SELECT r.place, r.body FROM {table} r WHERE r.place = ?{conditions}{devices}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = Found::default();
    for place in places {
        let all = std::iter::once(Value::from(place)).chain(values.iter().cloned());
        let row = statement.query_row(params_from_iter(all), |row| Ok((row.get(0)?, row.get(1)?)));
        let Some(row) = row.optional()? else { continue };
        if found.items.len() == query.limit {
            found.next = found.items.last().map(|(place, _)| *place);
            break;
        }
        found.items.push(row);
    }
    Ok(Some(found))
}
