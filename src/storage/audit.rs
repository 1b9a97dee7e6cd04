//! The audit log: who did what, and who heard what, in a chain of hashes.
//!
//! An entry cannot be changed, taken out or put in between without the chain showing it. Its details (the path, the
//! query, the body: what may name a person) are in the chain only by a salted digest. Once they are forgotten, with
//! their salt, nobody can tell or guess what they were, and the chain is still whole.

use ring::digest::{Context, SHA256};
use serde::Serialize;
use switchroom_domain::time::Timestamp;
use utoipa::ToSchema;

use super::StorageError;
use super::db::{self, Connection, OptionalExtension, Row, Transaction, Value, params, params_from_iter};
use super::records::indexed;

/// The hash before the first entry.
const NOTHING: [u8; 32] = [0; 32];
/// How many entries are looked at in one go.
const AT_A_TIME: usize = 2000;

/// What is to be noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// The id of the token of who did it.
    pub token: String,
    /// Their role.
    pub role: String,
    /// From where.
    pub address: String,
    /// What they did: the method and the route.
    pub action: String,
    /// With which device.
    pub device: Option<String>,
    /// What was answered: an HTTP status.
    pub status: u16,
    /// The particulars, as JSON.
    pub details: String,
    /// Random; makes the digest of the details one that nobody can guess.
    pub salt: [u8; 16],
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Entry {
    /// Its place.
    pub seq: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The id of the token of who did it; `admin` is the one of the configuration.
    #[schema(example = "tok_8f14e45fceea167a")]
    pub token: String,
    /// Their role.
    #[schema(example = "supervisor")]
    pub role: String,
    /// From where.
    #[schema(example = "10.0.0.7")]
    pub address: String,
    /// What they did.
    #[schema(example = "POST /api/v1/calls/{call}/{action}")]
    pub action: String,
    /// With which device, where the path names one.
    pub device: Option<String>,
    /// What was answered: an HTTP status.
    pub status: u16,
    /// The particulars: `path`, `query`, `body`; null once they were forgotten.
    #[schema(value_type = Option<Object>)]
    pub details: Option<serde_json::Value>,
    /// SHA-256 of salt and details, in hex.
    pub digest: String,
    /// The hash of the entry before.
    pub prev: String,
    /// Its own: SHA-256 of `prev`, all the fields above but the details, and the digest.
    pub hash: String,
}

/// What a check of the chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Verdict {
    /// Is the chain whole?
    pub intact: bool,
    /// How many entries there are.
    pub entries: i64,
    /// How many of them have their details no more.
    pub forgotten: i64,
    /// The first entry that is kept; those before were removed with age.
    pub first: Option<i64>,
    /// The last one. Note it and its hash elsewhere: with `?seq=` and `?hash=` it is checked later that it is still there.
    pub last: Option<i64>,
    /// The hash of the last one.
    pub hash: Option<String>,
    /// What is wrong, where it is not whole.
    pub wrong: Option<String>,
    /// Of an entry that was noted elsewhere, with `?seq=` and `?hash=`: `there`, with that hash; `removed`, with age, which
    /// is no fault of the chain; or `missing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noted: Option<Noted>,
}

/// What became of an entry that was noted elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Noted {
    /// It is there, with that hash.
    There,
    /// It was older than all that is kept: nobody can tell whether its hash is right.
    Removed,
    /// It is not there, or has another hash.
    Missing,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Before this place.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: usize,
    /// By this token.
    pub token: Option<String>,
    /// Whose action holds this.
    pub action: Option<String>,
    /// With this device.
    pub device: Option<String>,
    /// At or after this time, in milliseconds.
    pub since: Option<i64>,
    /// Before this time.
    pub until: Option<i64>,
}

/// What is hashed: the length before each part, so that no two entries give the same bytes.
fn part(context: &mut Context, bytes: &[u8]) {
    context.update(&(bytes.len() as u64).to_be_bytes());
    context.update(bytes);
}

fn finish(context: Context) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

fn digest(salt: &[u8], details: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    part(&mut context, salt);
    part(&mut context, details.as_bytes());
    finish(context)
}

/// A row of the table.
struct Kept {
    seq: i64,
    at: i64,
    token: String,
    role: String,
    address: String,
    action: String,
    device: Option<String>,
    status: i64,
    details: Option<String>,
    salt: Option<Vec<u8>>,
    digest: Vec<u8>,
    prev: Vec<u8>,
    hash: Vec<u8>,
}

const COLUMNS: &str =
    "seq, at, token, role, address, action, device, status, details, salt, digest, prev, hash";

impl Kept {
    fn read(row: Row<'_>) -> Result<Self, db::Error> {
        Ok(Self {
            seq: row.get(0)?,
            at: row.get(1)?,
            token: row.get(2)?,
            role: row.get(3)?,
            address: row.get(4)?,
            action: row.get(5)?,
            device: row.get(6)?,
            status: row.get(7)?,
            details: row.get(8)?,
            salt: row.get(9)?,
            digest: row.get(10)?,
            prev: row.get(11)?,
            hash: row.get(12)?,
        })
    }

    fn own_hash(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        part(&mut context, &self.prev);
        part(&mut context, &self.seq.to_be_bytes());
        part(&mut context, &self.at.to_be_bytes());
        for text in [&self.token, &self.role, &self.address, &self.action] {
            part(&mut context, text.as_bytes());
        }
        part(&mut context, if self.device.is_some() { b"1" } else { b"0" });
        part(&mut context, self.device.as_deref().unwrap_or_default().as_bytes());
        part(&mut context, &self.status.to_be_bytes());
        part(&mut context, &self.digest);
        finish(context)
    }

    /// What is wrong with it after an entry of this place and hash.
    fn fault(&self, before: Option<&(i64, Vec<u8>)>) -> Option<String> {
        let seq = self.seq;
        if let Some((last, hash)) = before {
            if last + 1 != seq {
                return Some(format!("entries are missing between {last} and {seq}"));
            }
            if *hash != self.prev {
                return Some(format!("entry {seq} does not follow entry {last}"));
            }
        }
        if self.own_hash() != *self.hash {
            return Some(format!("entry {seq} was changed"));
        }
        match (&self.details, &self.salt) {
            (Some(details), Some(salt)) if digest(salt, details) != *self.digest => {
                Some(format!("the details of entry {seq} were changed"))
            }
            (Some(_), None) | (None, Some(_)) => {
                Some(format!("entry {seq} has details without salt, or the reverse"))
            }
            _ => None,
        }
    }

    fn entry(self) -> Entry {
        Entry {
            seq: self.seq,
            at: Timestamp(self.at),
            token: self.token,
            role: self.role,
            address: self.address,
            action: self.action,
            device: self.device,
            status: u16::try_from(self.status).unwrap_or_default(),
            details: self
                .details
                .map(|text| serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))),
            digest: hex::encode(self.digest),
            prev: hex::encode(self.prev),
            hash: hex::encode(self.hash),
        }
    }
}

/// Keeps every other process from the audit log until the transaction ends. SQLite's writers keep each other out by
/// themselves, from their first change on.
///
/// # Errors
/// When the database refuses it.
pub fn lock(transaction: &Transaction<'_>) -> Result<(), StorageError> {
    if transaction.session().is_some() {
        transaction.execute_batch("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")?;
    }
    Ok(())
}

/// Adds an entry at the end.
///
/// # Errors
/// When it cannot be written.
pub fn append(connection: &Connection, note: &Note) -> Result<(), StorageError> {
    let last: Option<(i64, Vec<u8>)> = connection
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (seq, prev) = last.map_or_else(|| (1, NOTHING.to_vec()), |(seq, hash)| (seq + 1, hash));
    let mut kept = Kept {
        seq,
        at: note.at.0,
        token: note.token.clone(),
        role: note.role.clone(),
        address: note.address.clone(),
        action: note.action.clone(),
        // Of a path that names no device this may be anything.
        device: note.device.as_deref().map(|device| indexed(device).replace('\0', "\u{FFFD}")),
        status: note.status.into(),
        details: Some(note.details.clone()),
        salt: Some(note.salt.to_vec()),
        digest: digest(&note.salt, &note.details).to_vec(),
        prev,
        hash: Vec::new(),
    };
    kept.hash = kept.own_hash().to_vec();
    connection
        .prepare_cached(&format!(
            "INSERT INTO audit ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ))?
        .execute(params![
            kept.seq,
            kept.at,
            kept.token,
            kept.role,
            kept.address,
            kept.action,
            kept.device,
            kept.status,
            kept.details,
            kept.salt,
            kept.digest,
            kept.prev,
            kept.hash,
        ])?;
    Ok(())
}

/// Entries, the newest first.
///
/// # Errors
/// When they cannot be read.
pub fn find(connection: &Connection, query: &Query) -> Result<Vec<Entry>, StorageError> {
    let mut conditions: Vec<&str> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let mut with = |condition, value: Option<Value>| {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(value);
        }
    };
    with("seq < ?", query.before.map(Value::Integer));
    with("token = ?", query.token.clone().map(Value::Text));
    with("instr(action, ?) > 0", query.action.clone().map(Value::Text));
    with("device = ?", query.device.clone().map(Value::Text));
    with("at >= ?", query.since.map(Value::Integer));
    with("at < ?", query.until.map(Value::Integer));
    let condition = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE {condition} ORDER BY seq DESC LIMIT ?");
    values.push(Value::Integer(i64::try_from(query.limit).unwrap_or(i64::MAX)));
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(values), Kept::read)?;
    Ok(found.map(|kept| kept.map(Kept::entry)).collect::<Result<_, _>>()?)
}

/// Checks the whole chain; and that an entry noted elsewhere is in it, where one is given.
///
/// # Errors
/// When it cannot be read.
pub fn verify(connection: &Connection, noted: Option<(i64, &str)>) -> Result<Verdict, StorageError> {
    let mut verdict = Verdict {
        intact: true,
        entries: 0,
        forgotten: 0,
        first: None,
        last: None,
        hash: None,
        wrong: None,
        noted: None,
    };
    let mut before: Option<(i64, Vec<u8>)> = None;
    let mut is_there = noted.is_none();
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq > ? ORDER BY seq LIMIT ?");
    let mut statement = connection.prepare(&sql)?;
    loop {
        let after = before.as_ref().map_or(i64::MIN, |(seq, _)| *seq);
        let page: Vec<Kept> =
            statement.query_map(params![after, AT_A_TIME as i64], Kept::read)?.collect::<Result<_, _>>()?;
        if page.is_empty() {
            break;
        }
        for kept in page {
            verdict.entries += 1;
            verdict.forgotten += i64::from(kept.details.is_none());
            verdict.first.get_or_insert(kept.seq);
            if verdict.wrong.is_none() {
                verdict.wrong = kept.fault(before.as_ref());
            }
            let hash = hex::encode(&kept.hash);
            is_there |=
                noted.is_some_and(|(seq, noted)| seq == kept.seq && noted.eq_ignore_ascii_case(&hash));
            before = Some((kept.seq, kept.hash));
        }
    }
    verdict.noted = noted.map(|(seq, _)| match verdict.first {
        _ if is_there => Noted::There,
        Some(first) if (1..first).contains(&seq) => Noted::Removed,
        _ => Noted::Missing,
    });
    if let (None, Some(Noted::Missing), Some((seq, _))) = (&verdict.wrong, verdict.noted, noted) {
        verdict.wrong = Some(format!("entry {seq} is not there with that hash"));
    }
    verdict.intact = verdict.wrong.is_none();
    (verdict.last, verdict.hash) = before.map(|(seq, hash)| (seq, hex::encode(hash))).unzip();
    Ok(verdict)
}

/// Forgets the details of those entries that name this number, among so many after this place; gives how many, and
/// where to go on.
///
/// # Errors
/// When they cannot be read or written.
pub fn forget(
    connection: &Connection,
    after: i64,
    limit: usize,
    number: &str,
) -> Result<(usize, Option<i64>), StorageError> {
    let page: Vec<(i64, String)> = connection
        .prepare_cached(
            "SELECT seq, details FROM audit WHERE seq > ? AND details IS NOT NULL ORDER BY seq LIMIT ?",
        )?
        .query_map(params![after, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let next = page.last().filter(|_| page.len() >= limit).map(|(seq, _)| *seq);
    let mut forgotten = 0;
    for (seq, details) in page {
        if crate::privacy::names(details.as_bytes(), number) {
            forgotten += connection
                .prepare_cached("UPDATE audit SET details = NULL, salt = NULL WHERE seq = ?")?
                .execute(params![seq])?;
        }
    }
    Ok((forgotten, next))
}

/// Removes up to so many entries from before this time, the oldest first, but never the last one; gives how many.
///
/// # Errors
/// When it cannot be written.
pub fn prune(connection: &Connection, before: i64, limit: usize) -> Result<usize, StorageError> {
    let sql = "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit ORDER BY seq LIMIT ?1) AND at < ?2 \
               AND seq < (SELECT max(seq) FROM audit)";
    Ok(connection.execute(sql, params![i64::try_from(limit).unwrap_or(i64::MAX), before])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = crate::storage::testing::open(folder.path());
        for i in 0..5u8 {
            let note = Note {
                at: Timestamp(1000 + i64::from(i)),
                token: format!("tok_{i}"),
                role: "admin".into(),
                address: "127.0.0.1".into(),
                action: "POST /api/v1/calls".into(),
                device: None,
                status: 202,
                details: format!("{{\"to\":\"130 1234-567{i}\"}}"),
                salt: [i; 16],
            };
            append(&connection, &note).expect("it is written");
        }
        (folder, connection)
    }

    fn wrong(connection: &Connection) -> Option<String> {
        verify(connection, None).expect("it is read").wrong
    }

    #[test]
    fn whatever_is_changed_shows() {
        for (change, said) in [
            ("UPDATE audit SET token = 'x' WHERE seq = 2", "entry 2 was changed"),
            ("UPDATE audit SET status = 500 WHERE seq = 5", "entry 5 was changed"),
            ("UPDATE audit SET device = '' WHERE seq = 1", "entry 1 was changed"),
            ("UPDATE audit SET details = '{}' WHERE seq = 3", "the details of entry 3 were changed"),
            (
                "UPDATE audit SET details = NULL WHERE seq = 3",
                "entry 3 has details without salt, or the reverse",
            ),
            ("DELETE FROM audit WHERE seq = 3", "entries are missing between 2 and 4"),
            (
                "DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = seq - 1 WHERE seq > 3",
                "entry 3 does not follow entry 2",
            ),
        ] {
            let (_folder, connection) = chain();
            assert_eq!(wrong(&connection), None);
            connection.execute_batch(change).expect("it is changed");
            assert_eq!(wrong(&connection).as_deref(), Some(said), "{change}");
        }
    }

    #[test]
    fn details_are_forgotten_and_the_chain_stays_whole() {
        let (_folder, connection) = chain();
        let head = verify(&connection, None).expect("it is read");
        let number = "13012345672";
        assert_eq!(forget(&connection, 0, 2, number).expect("it is written"), (0, Some(2)));
        assert_eq!(forget(&connection, 2, 9, number).expect("it is written"), (1, None));
        assert_eq!(forget(&connection, 0, 9, number).expect("it is written"), (0, None));
        let noted = Some((5, head.hash.as_deref().expect("a hash")));
        let verdict = verify(&connection, noted).expect("it is read");
        assert_eq!((verdict.intact, verdict.entries, verdict.forgotten), (true, 5, 1));
        assert_eq!(verdict.noted, Some(Noted::There));
        let verdict = verify(&connection, Some((5, "00"))).expect("it is read");
        assert_eq!((verdict.intact, verdict.noted), (false, Some(Noted::Missing)));
    }

    #[test]
    fn what_is_old_goes_and_the_rest_stays_whole() {
        let (_folder, connection) = chain();
        let hash = verify(&connection, None).expect("it is read").hash.expect("a hash");
        assert_eq!(prune(&connection, 1002, 1).expect("it is written"), 1);
        // What was noted of one that is gone is no fault of the chain.
        let verdict = verify(&connection, Some((1, "00"))).expect("it is read");
        assert_eq!((verdict.intact, verdict.noted), (true, Some(Noted::Removed)));
        for (seq, hash) in [(6, hash.as_str()), (0, "00"), (2, "00")] {
            let verdict = verify(&connection, Some((seq, hash))).expect("it is read");
            assert_eq!((verdict.intact, verdict.noted), (false, Some(Noted::Missing)), "{seq}");
        }
        assert_eq!(prune(&connection, 1002, 9).expect("it is written"), 1);
        assert_eq!(prune(&connection, i64::MAX, 9).expect("it is written"), 2, "the last one stays");
        assert_eq!(wrong(&connection), None);
        let found = find(&connection, &Query { limit: 9, ..Query::default() }).expect("it is read");
        assert_eq!(found.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [5]);
    }
}
