//! Call records and conversations: kept by time, found by whatever they are asked for.
//!
//! Every index gives what it finds in order of time, so that the first page of the commonest value is as near as that of
//! the rarest. Only the beginning or the end of a number has no such order: there the newest records are looked at first,
//! which find a common one, and then the index of numbers, which finds a rare one.

use std::collections::BTreeSet;

use switchroom_domain::conversation::Conversation;
use switchroom_domain::view::CdrView;

use super::StorageError;
use super::db::{self, Connection, OptionalExtension, Transaction, Value, params, params_from_iter};
use super::reader::parse;
use super::statistics::Changes;
use crate::numbers::{self, Beginning};

/// So many entries of an index are followed at once, and their records looked at, for a page of those that are wanted.
const LOOKED_AT: usize = 5_000;
/// So many entries of the index of numbers are sorted for a number's beginning or end.
const ENTRIES: usize = 200_000;
/// Bits of a place below its milliseconds.
pub(super) const BITS: u32 = 20;

/// The first place of a time in milliseconds. Times that no place can tell are as early or late as can be.
pub(super) const fn place_of(at: i64) -> i64 {
    at.saturating_mul(1 << BITS)
}

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
    /// One of these spellings.
    Is(Vec<String>),
    /// One that begins so.
    Begins(Vec<Beginning>),
    /// One that ends so.
    Ends(Vec<String>),
}

impl Number {
    /// How its spellings look among the parties of a record.
    fn patterns(&self) -> Vec<String> {
        match self {
            Self::Is(numbers) => numbers.iter().map(|number| format!("|{}|", clean(number))).collect(),
            Self::Begins(starts) => starts.iter().map(|start| format!("|{}", clean(&start.start))).collect(),
            Self::Ends(ends) => ends.iter().map(|end| format!("{}|", clean(end))).collect(),
        }
    }

    /// Do these parties, which have such a pattern, have such a number?
    fn fits(&self, parties: &str) -> bool {
        match self {
            Self::Begins(starts) => {
                parties.split('|').any(|number| starts.iter().any(|start| fits_cleaned(start, number)))
            }
            Self::Is(_) | Self::Ends(_) => true,
        }
    }
}

fn fits_cleaned(beginning: &Beginning, number: &str) -> bool {
    Beginning { start: clean(&beginning.start), ..*beginning }.fits(number)
}

/// What is wanted, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

impl Query {
    /// Nothing but the device, and the time, decides.
    fn is_of_devices_only(&self) -> bool {
        let named = [&self.kind, &self.direction, &self.outcome, &self.trunk];
        !self.devices.is_empty() && self.numbers.is_empty() && named.iter().all(|name| name.is_none())
    }
}

impl Query {
    /// Whether the parties of a row that was found have the numbers: how long those are no database was asked.
    fn fits(&self, parties: &str) -> bool {
        self.numbers.iter().all(|number| number.fits(parties))
    }

    /// So many rows are to be read for a page.
    fn rows(&self) -> Value {
        let measured = |start: &Beginning| start.least > 0 || start.most < usize::MAX;
        let is_measured =
            |number: &Number| matches!(number, Number::Begins(starts) if starts.iter().any(measured));
        let rows = if self.numbers.iter().any(is_measured) {
            i64::MAX
        } else {
            i64::try_from(self.limit).unwrap_or(i64::MAX)
        };
        rows.saturating_add(1).into()
    }
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

/// The longest text that is put into an index, in bytes: PostgreSQL's hold 2,704 a row.
const INDEXED: usize = 512;

/// As much of a text as an index holds. What is longer is found by its beginning.
pub(super) fn indexed(text: &str) -> &str {
    &text[..text.floor_char_boundary(INDEXED)]
}

/// Bars are what numbers are told apart by.
fn clean(number: &str) -> String {
    indexed(number).replace('|', " ")
}

impl Fields {
    fn of_cdr(cdr: &CdrView) -> Self {
        Self {
            kind: indexed(&cdr.kind).to_owned(),
            direction: cdr.direction.map(|direction| direction.as_str().to_owned()),
            outcome: cdr.outcome.map(|outcome| outcome.as_str().to_owned()),
            trunk: cdr.trunk.as_deref().map(|trunk| indexed(trunk).to_owned()),
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
            trunk: conversation.trunk.as_deref().map(|trunk| indexed(trunk).to_owned()),
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
    // One that is written with hyphens is found without them, too.
    named.flat_map(|number| std::iter::once(clean(number)).chain(numbers::compact(indexed(number)))).collect()
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
    fn place(&self, connection: &Connection, table: &str) -> Result<i64, db::Error> {
        let sql = format!("SELECT max(place) FROM {table} WHERE place >= ? AND place < ?");
        let (first, beyond) = (place_of(self.at), place_of(self.at.saturating_add(1)));
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
            .post(params![kept.body, place])?;
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
            indexed(wire_id),
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
            "INSERT INTO conversation (place, id, device, direction, outcome, trunk, parties, body)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (place) DO UPDATE SET id = excluded.id, device = excluded.device,
             direction = excluded.direction, outcome = excluded.outcome, trunk = excluded.trunk,
             parties = excluded.parties, body = excluded.body",
        )?
        .post(params![
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
            .prepare_cached(&format!(
                "INSERT INTO {table}_party (number, place) VALUES (?, ?) ON CONFLICT DO NOTHING"
            ))?
            .post(params![party, place])?;
        transaction
            .prepare_cached(&format!(
                "INSERT INTO {table}_party_end (number, place) VALUES (?, ?) ON CONFLICT DO NOTHING"
            ))?
            .post(params![reversed(party), place])?;
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
            .post(params![party, place])?;
        transaction
            .prepare_cached(&format!("DELETE FROM {table}_party_end WHERE number = ? AND place = ?"))?
            .post(params![reversed(party), place])?;
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
        .query_map(params![place_of(before), i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
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

/// A page of what is wanted, or what of it was found within bounds; then `next` says how far it was looked.
///
/// Each filter has an index in order of time. Those are followed for a while, one after the other, until one fills the page
/// or comes to its end: the rarest value comes to its end soon, and the commonest fills the page.
///
/// # Errors
/// When it cannot be read.
pub fn find(connection: &Connection, kind: Kind, query: &Query) -> Result<Found, StorageError> {
    let mut furthest: Option<Found> = None;
    for way in ways(query) {
        let found = match &way {
            Way::Numbers(numbers) => by_spellings(connection, kind, query, numbers)?,
            Way::Column(column, value) => follow(connection, kind, query, Index::Column(column, value))?,
            Way::Newest => follow(connection, kind, query, Index::Place)?,
        };
        if found.items.len() >= query.limit || found.next.is_none() {
            return Ok(found);
        }
        if furthest.as_ref().is_none_or(|before| found.next < before.next) {
            furthest = Some(found);
        }
    }
    if query.is_of_devices_only() {
        return by_devices(connection, kind, query);
    }
    match by_part(connection, kind, query)? {
        Some(found) => Ok(found),
        None => Ok(furthest.unwrap_or_default()),
    }
}

/// An index that is in order of time for one value.
enum Way {
    /// Of the entries of each spelling of a number.
    Numbers(Vec<String>),
    /// Of a column.
    Column(&'static str, Value),
    /// Of everything.
    Newest,
}

/// The indexes by which what is wanted can be found, those first that are likely to be the narrowest.
fn ways(query: &Query) -> Vec<Way> {
    let exact = query.numbers.iter().filter_map(|number| match number {
        Number::Is(numbers) => Some(Way::Numbers(numbers.iter().map(|number| clean(number)).collect())),
        _ => None,
    });
    let column = |name, value: &Option<String>| value.clone().map(|value| Way::Column(name, value.into()));
    let device = match query.devices.as_slice() {
        [device] => Some(Way::Column("device", (*device).into())),
        _ => None,
    };
    let columns = [
        column("trunk", &query.trunk),
        device,
        column("outcome", &query.outcome),
        column("kind", &query.kind),
        column("direction", &query.direction),
    ];
    let mut ways: Vec<Way> = exact.chain(columns.into_iter().flatten()).collect();
    if ways.is_empty() {
        ways.push(Way::Newest);
    }
    ways
}

/// The bounds in time, on the place of what is called so.
fn bounds(query: &Query, of: &str) -> (String, Vec<Value>) {
    let bounds = [("<", query.before), ("<", query.until.map(place_of)), (">=", query.since.map(place_of))];
    let bounds = bounds.into_iter().filter_map(|(than, place)| Some((than, place?)));
    let (sql, values): (Vec<String>, Vec<Value>) =
        bounds.map(|(than, place)| (format!(" AND {of}.place {than} ?"), place.into())).unzip();
    (sql.concat(), values)
}

/// The conditions on a record's own row.
fn conditions(query: &Query) -> (String, Vec<Value>) {
    let (mut sql, mut values) = (String::new(), Vec::new());
    let equal = [
        ("trunk", &query.trunk),
        ("outcome", &query.outcome),
        ("kind", &query.kind),
        ("direction", &query.direction),
    ];
    for (column, wanted) in equal {
        if let Some(wanted) = wanted {
            // With the sign no index is used for it.
            sql.push_str(&format!(" AND +r.{column} = ?"));
            values.push(wanted.clone().into());
        }
    }
    for number in &query.numbers {
        let patterns = number.patterns();
        let each = vec!["instr(r.parties, ?) > 0"; patterns.len()];
        sql.push_str(&format!(" AND ({})", each.join(" OR ")));
        values.extend(patterns.into_iter().map(Value::from));
    }
    if !query.devices.is_empty() {
        // Keys are numbers of our own.
        let keys: Vec<String> = query.devices.iter().map(ToString::to_string).collect();
        sql.push_str(&format!(" AND +r.device IN ({})", keys.join(",")));
    }
    (sql, values)
}

fn collect(
    connection: &Connection,
    sql: &str,
    values: Vec<Value>,
    query: &Query,
) -> Result<Found, StorageError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Found::default();
    while let Some(row) = rows.next()? {
        if !query.fits(&row.get::<_, String>(2)?) {
            continue;
        }
        if found.items.len() == query.limit {
            found.next = found.items.last().map(|(place, _)| *place);
            break;
        }
        found.items.push((row.get(0)?, row.get(1)?));
    }
    Ok(found)
}

/// Of each spelling the newest, then the newest of these: as far as all of them were looked at.
fn by_spellings(
    connection: &Connection,
    kind: Kind,
    query: &Query,
    numbers: &[String],
) -> Result<Found, StorageError> {
    let mut all = Found::default();
    for number in numbers {
        let found = follow(connection, kind, query, Index::Number(number))?;
        all.items.extend(found.items);
        all.next = all.next.max(found.next);
    }
    // Below the nearest end of what was looked at there may be more of that spelling.
    if let Some(next) = all.next {
        all.items.retain(|(place, _)| *place >= next);
    }
    let newest = newest_of(all.items, query.limit);
    Ok(Found { next: newest.next.or(all.next), ..newest })
}

/// One index, and its value.
enum Index<'a> {
    Number(&'a str),
    Column(&'static str, &'a Value),
    Place,
}

/// Follows one index for a while.
fn follow(
    connection: &Connection,
    kind: Kind,
    query: &Query,
    index: Index<'_>,
) -> Result<Found, StorageError> {
    let record = kind.table();
    // The table whose index it is, and what of it; the record's own row is `r`.
    let (table, i, driven, value) = match index {
        Index::Number(number) => {
            (format!("{record}_party"), "i", " AND i.number = ?".to_owned(), Some(number.to_owned().into()))
        }
        Index::Column(column, value) => {
            (record.to_owned(), "r", format!(" AND r.{column} = ?"), Some(value.clone()))
        }
        Index::Place => (record.to_owned(), "r", String::new(), None),
    };
    let (bounds, values) = bounds(query, i);
    let mut values: Vec<Value> = value.into_iter().chain(values).collect();
    // Where the following ends.
    let reach = i64::try_from(LOOKED_AT.max(query.limit)).unwrap_or(i64::MAX);
    let floor: Option<i64> = connection
        .prepare_cached(&format!(
            "SELECT {i}.place FROM {table} {i} WHERE true{driven}{bounds} ORDER BY {i}.place DESC LIMIT 1 OFFSET ?"
        ))?
        .query_row(params_from_iter(values.iter().cloned().chain([reach.into()])), |row| row.get(0))
        .optional()?;
    let (conditions, more) = conditions(query);
    values.push(floor.unwrap_or(i64::MIN).into());
    values.extend(more);
    values.push(query.rows());
    let rows = match index {
        Index::Number(_) => format!("{table} i CROSS JOIN {record} r ON r.place = i.place"),
        Index::Column(..) | Index::Place => format!("{record} r"),
    };
    let sql = format!(
        "SELECT r.place, r.body, r.parties FROM {rows} WHERE true{driven}{bounds} AND {i}.place > ?{conditions} \
         ORDER BY {i}.place DESC LIMIT ?"
    );
    let mut found = collect(connection, &sql, values, query)?;
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
        all.append(&mut follow(connection, kind, &one, Index::Column("device", &(*device).into()))?.items);
    }
    Ok(newest_of(all, query.limit))
}

fn newest_of(mut all: Vec<(i64, String)>, limit: usize) -> Found {
    all.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
    all.dedup_by_key(|(place, _)| *place);
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().map(|(place, _)| *place).filter(|_| more);
    Found { items: all, next }
}

/// By the index of numbers, of which the beginning is known. None: too many begin so.
fn by_part(connection: &Connection, kind: Kind, query: &Query) -> Result<Option<Found>, StorageError> {
    let table = kind.table();
    let Some((index, starts)) = query.numbers.iter().find_map(|number| match number {
        Number::Begins(starts) => {
            let cleaned = |start: &Beginning| Beginning { start: clean(&start.start), ..*start };
            Some(("party", starts.iter().map(cleaned).collect::<Vec<_>>()))
        }
        Number::Ends(ends) => {
            let turned = |end: &String| Beginning::any(reversed(&clean(end)));
            Some(("party_end", ends.iter().map(turned).collect()))
        }
        Number::Is(_) => None,
    }) else {
        return Ok(None);
    };
    let sql = format!(
        "SELECT place FROM {table}_{index} WHERE number >= ? AND number < ? AND place < ? AND place >= ? \
         AND length(number) >= CAST(? AS BIGINT) AND length(number) <= CAST(? AS BIGINT) LIMIT {}",
        ENTRIES + 1
    );
    let until = query.until.map_or(i64::MAX, place_of);
    let before = query.before.map_or(until, |before| before.min(until));
    let since = query.since.map_or(i64::MIN, place_of);
    let mut places: Vec<i64> = Vec::new();
    for Beginning { start, least, most } in starts {
        let long = |length: usize| i64::try_from(length).unwrap_or_else(|_| i64::from(i32::MAX));
        let beyond = format!("{start}\u{10FFFF}");
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement
            .query_map(params![start, beyond, before, since, long(least), long(most)], |row| row.get(0))?;
        places.extend(rows.collect::<Result<Vec<i64>, _>>()?);
        if places.len() > ENTRIES {
            return Ok(None);
        }
    }
    places.sort_unstable_by_key(|place| std::cmp::Reverse(*place));
    places.dedup();
    let (conditions, values) = conditions(query);
    let sql = format!("SELECT r.place, r.body, r.parties FROM {table} r WHERE r.place = ?{conditions}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = Found::default();
    for (looked_at, place) in places.into_iter().enumerate() {
        if looked_at == LOOKED_AT.max(query.limit) * 2 {
            found.next = Some(place + 1);
            break;
        }
        let all = std::iter::once(Value::from(place)).chain(values.iter().cloned());
        let row = statement.query_row(params_from_iter(all), |row| {
            Ok(((row.get(0)?, row.get(1)?), row.get::<_, String>(2)?))
        });
        let Some((row, parties)) = row.optional()? else { continue };
        if !query.fits(&parties) {
            continue;
        }
        if found.items.len() == query.limit {
            found.next = found.items.last().map(|(place, _)| *place);
            break;
        }
        found.items.push(row);
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use switchroom_domain::conversation::Outcome;
    use switchroom_domain::fact::CdrSide;
    use switchroom_domain::id::{CallId, CdrId, DeviceId};
    use switchroom_domain::time::Timestamp;
    use switchroom_domain::view::Direction;

    use super::*;

    /// The nth record of a house: every 500th is busy, every 7th comes in, every 4000th is from a hyphenated number.
    fn put(transaction: &Transaction<'_>, n: usize) {
        let (rare, inbound) = (n.is_multiple_of(4000), n.is_multiple_of(7));
        let at = Timestamp(1_700_000_000_000 + n as i64 * 1000);
        let id = uuid::Uuid::from_u64_pair(n as u64, 7);
        let cdr = CdrView {
            id: CdrId(id),
            device: DeviceId::new("om").expect("an id"),
            wire_id: format!("{n}").as_str().into(),
            call: Some(CallId(id)),
            kind: if inbound { "IN" } else { "OU" }.into(),
            route: None,
            direction: Some(if inbound { Direction::Inbound } else { Direction::Outbound }),
            outcome: Some(if n.is_multiple_of(500) { Outcome::Busy } else { Outcome::Answered }),
            side: CdrSide::Extension,
            from: Some(if rare { "021-61208234" } else { "200" }.into()),
            to: Some(format!("1300000{:04}", n % 5000).as_str().into()),
            trunk: None,
            started_at: None,
            ended_at: None,
            duration: None,
            recording: None,
            received_at: at,
            extra: serde_json::Map::new(),
        };
        let body = serde_json::to_string(&cdr).expect("JSON");
        let kept = Kept { id: id.as_bytes(), device: 1, at: at.0, body: &body };
        put_cdr(transaction, &kept, &cdr.wire_id, n as u64).expect("it is written");
    }

    /// All pages of what is wanted: which of the records, the newest first; and how many pages there were.
    fn all(connection: &Connection, query: &Query) -> (Vec<usize>, usize) {
        let (mut found, mut pages, mut before) = (Vec::new(), 0, None);
        loop {
            let page = find(connection, Kind::Cdr, &Query { before, ..query.clone() }).expect("it is found");
            assert!(page.items.len() <= query.limit);
            found.extend(page.items.iter().map(|(_, body)| {
                let cdr: CdrView = serde_json::from_str(body).expect("a record");
                cdr.wire_id.parse::<usize>().expect("its number")
            }));
            pages += 1;
            assert!(page.next.is_none_or(|next| before.is_none_or(|before| next < before)), "it goes on");
            match page.next {
                Some(next) => before = Some(next),
                None => return (found, pages),
            }
        }
    }

    #[test]
    fn filters_that_rarely_meet_are_found_page_by_page_and_numbers_in_their_spellings() {
        const COUNT: usize = 12_001;
        let folder = tempfile::tempdir().expect("a folder");
        let mut connection = crate::storage::testing::open(folder.path());
        let transaction = connection.transaction().expect("it begins");
        (0..COUNT).for_each(|n| put(&transaction, n));
        transaction.commit().expect("it is kept");
        let some = |text: &str| Some(text.to_owned());
        let query = || Query { limit: 10, ..Query::default() };
        let is = |numbers: &[&str]| Number::Is(numbers.iter().map(ToString::to_string).collect());
        let expected =
            |fits: &dyn Fn(usize) -> bool| (0..COUNT).rev().filter(|n| fits(*n)).collect::<Vec<_>>();
        let any = |start: &str| Beginning::any(start.to_owned());
        let long = |start: &str| Beginning { least: 7, ..any(start) };
        let cases: [(Query, &dyn Fn(usize) -> bool); 12] = [
            (query(), &|_| true),
            (Query { outcome: some("busy"), ..query() }, &|n| n % 500 == 0),
            (Query { outcome: some("busy"), direction: some("inbound"), ..query() }, &|n| n % 3500 == 0),
            (Query { kind: some("IN"), direction: some("outbound"), ..query() }, &|_| false),
            (Query { numbers: vec![is(&["200"])], outcome: some("failed"), ..query() }, &|_| false),
            (Query { numbers: vec![is(&["02161208234"])], ..query() }, &|n| n % 4000 == 0),
            (
                Query { numbers: vec![is(&["+862161208234", "021-61208234", "02161208234"])], ..query() },
                &|n| n % 4000 == 0,
            ),
            (Query { numbers: vec![Number::Begins(vec![any("+86"), any("13000000")])], ..query() }, &|n| {
                n % 5000 < 1000
            }),
            // Of an extension, and of nothing that is as long as it is said to be.
            (Query { numbers: vec![Number::Begins(vec![any("20")])], ..query() }, &|n| n % 4000 != 0),
            (Query { numbers: vec![Number::Begins(vec![long("20")])], ..query() }, &|_| false),
            (Query { numbers: vec![Number::Begins(vec![long("20"), long("0216")])], ..query() }, &|n| {
                n % 4000 == 0
            }),
            (
                Query {
                    numbers: vec![Number::Ends(vec!["0007".to_owned()])],
                    direction: some("inbound"),
                    ..query()
                },
                &|n| n % 5000 == 7 && n % 7 == 0,
            ),
        ];
        for (query, fits) in cases {
            let (found, pages) = all(&connection, &query);
            assert_eq!(found, expected(fits), "{query:?}");
            assert!(pages <= found.len() / query.limit + COUNT / LOOKED_AT + 2, "{pages} pages: {query:?}");
        }
    }
}
