//! A store's move into another database, of the same kind or the other: every table, in one transaction, which is only
//! committed when each table has as many rows as before and the audit log's chain ends as before.
//!
//! Nothing else may use either store meanwhile. What is there stays there: whoever moves decides when it may go.

use super::db::{self, Connection, Row, Transaction, Value, params, params_from_iter};
use super::location::Location;
use super::{StorageError, audit, migrations, sqlite};

/// A table, and the columns by which its rows are told apart, in whose order it is read.
struct Table {
    name: &'static str,
    key: &'static [&'static str],
    /// So many rows are read at a time; some are large.
    at_a_time: usize,
}

const fn table(name: &'static str, key: &'static [&'static str]) -> Table {
    Table { name, key, at_a_time: 1000 }
}

const fn large(name: &'static str, key: &'static [&'static str]) -> Table {
    Table { name, key, at_a_time: 32 }
}

/// All tables; those that others refer to come first.
const TABLES: &[Table] = &[
    table("device", &["key"]),
    table("webhook", &["key"]),
    table("target", &["key"]),
    table("forwarding", &["key"]),
    table("meta", &["key"]),
    large("log", &["last_report"]),
    large("snapshot", &["device"]),
    table("proof", &["device"]),
    table("call", &["id"]),
    table("cdr", &["place"]),
    table("cdr_party", &["number", "place"]),
    table("cdr_party_end", &["number", "place"]),
    table("conversation", &["place"]),
    table("conversation_party", &["number", "place"]),
    table("conversation_party_end", &["number", "place"]),
    table("rollup", &["grain", "dimension", "device", "at", "key"]),
    table("recording", &["id"]),
    large("quarantine", &["device", "at", "entropy"]),
    table("token", &["id"]),
    table("command", &["id"]),
    table("desired", &["device", "kind", "key"]),
    table("webhook_delivery", &["webhook", "cursor"]),
    table("target_delivery", &["target", "cursor"]),
    table("forwarding_delivery", &["forwarding", "cursor"]),
    table("kept_cdr", &["cursor"]),
    table("filed_cdr", &["device", "day", "wire_id"]),
    table("audit", &["seq"]),
    table("erasure", &["id"]),
];

/// Why a store could not be moved. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The store that is to be moved cannot be read.
    #[error("--from {store}: {error}")]
    From {
        /// Which, without its password.
        store: String,
        /// Why.
        error: StorageError,
    },
    /// The store it is to be moved to cannot be written.
    #[error("--to {store}: {error}")]
    To {
        /// Which, without its password.
        store: String,
        /// Why.
        error: StorageError,
    },
    /// The stores are not what they must be.
    #[error("{0}")]
    Refused(String),
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Which table.
    pub table: &'static str,
    /// So many of its rows are moved.
    pub rows: i64,
    /// Of so many.
    pub of: i64,
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Each table and its rows.
    pub tables: Vec<(&'static str, i64)>,
    /// What is wrong with the audit log's chain; it was so before.
    pub audit_fault: Option<String>,
}

/// Moves a store.
///
/// # Errors
/// When either cannot be used, something else uses it, the target is not empty, or not all came over.
pub fn run(from: &Location, to: &Location, tell: &mut dyn FnMut(Progress)) -> Result<Moved, MoveError> {
    let of_source = |error| MoveError::From { store: from.to_string(), error };
    let of_target = |error| MoveError::To { store: to.to_string(), error };
    if from.to_string() == to.to_string() {
        return Err(MoveError::Refused("--from and --to name the same store".to_owned()));
    }
    if let Location::Sqlite(path) = from
        && !path.is_file()
    {
        return Err(MoveError::Refused(format!("--from {from}: there is no such file")));
    }
    let mut source = open_alone(from).map_err(of_source)?;
    check_tables(&source).map_err(of_source)?;
    let mut target = open_alone(to).map_err(of_target)?;
    for table in TABLES {
        let is_empty = count(&target, table.name).map_err(of_target)? == 0;
        if !is_empty {
            return Err(MoveError::Refused(format!(
                "--to {to}: the table {} is not empty; give a database or a file of its own that has nothing of \
                 Switchroom in it",
                table.name
            )));
        }
    }
    // All is read as it was at one moment.
    let source = source.transaction().map_err(|error| of_source(error.into()))?;
    let target = target.transaction().map_err(|error| of_target(error.into()))?;
    let mut moved = Moved { tables: Vec::new(), audit_fault: None };
    for table in TABLES {
        let of = count(&source, table.name).map_err(of_source)?;
        let mut copy = Copy::new(&source, &target, table).map_err(of_source)?;
        tell(Progress { table: table.name, rows: 0, of });
        while let Some(page) = copy.read().map_err(of_source)? {
            copy.write(page).map_err(of_target)?;
            tell(Progress { table: table.name, rows: copy.rows, of });
        }
        moved.tables.push((table.name, of));
    }
    go_on_counting(&target).map_err(of_target)?;
    for (name, rows) in &moved.tables {
        let arrived = count(&target, name).map_err(of_target)?;
        if arrived != *rows {
            return Err(MoveError::Refused(format!(
                "of the table {name} {arrived} rows of {rows} arrived: nothing is kept of the move, the old store is as \
                 it was"
            )));
        }
    }
    let before = audit::verify(&source, None).map_err(of_source)?;
    if audit::verify(&target, None).map_err(of_target)? != before {
        return Err(MoveError::Refused(
            "the audit log's chain did not come over as it was: nothing is kept of the move, the old store is as it was"
                .to_owned(),
        ));
    }
    moved.audit_fault = before.wrong;
    target.commit().map_err(|error| of_target(error.into()))?;
    Ok(moved)
}

/// Opens a store that nothing else uses, and brings it up to date.
fn open_alone(location: &Location) -> Result<Connection, StorageError> {
    match location {
        Location::Sqlite(path) => sqlite::open_alone(path),
        Location::Postgres(_) => {
            let connection = super::open_writer(location)?;
            connection.execute_batch(
                "SET default_transaction_isolation = 'repeatable read'; SET lock_timeout = '60s'",
            )?;
            if let Some(session) = connection.session() {
                session.take_long(true);
            }
            Ok(connection)
        }
    }
}

/// A table that is not known here would be left behind.
fn check_tables(connection: &Connection) -> Result<(), StorageError> {
    for name in migrations::tables(connection)? {
        let is_known = TABLES.iter().any(|table| table.name == name);
        if !is_known {
            return Err(StorageError::Corrupt(format!(
                "the table {name} is not Switchroom's; move it out of the way, it would be left behind"
            )));
        }
    }
    Ok(())
}

fn count(connection: &Connection, table: &str) -> Result<i64, StorageError> {
    Ok(connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?)
}

/// Where the database counts the keys, the next row gets one beyond all that are there. SQLite sees to it by itself.
fn go_on_counting(target: &Transaction<'_>) -> Result<(), StorageError> {
    if target.session().is_none() {
        return Ok(());
    }
    let counted: Vec<(String, String)> = target
        .prepare(
            "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT) FROM information_schema.columns \
             WHERE table_schema = current_schema() AND is_identity = 'YES'",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (table, key) in counted {
        let sql = format!(
            "SELECT setval(pg_get_serial_sequence('{table}', '{key}'), max({key})) FROM {table} \
             HAVING max({key}) IS NOT NULL"
        );
        target.execute(&sql, [])?;
    }
    Ok(())
}

/// One table on its way.
struct Copy<'c> {
    source: &'c Transaction<'c>,
    target: &'c Transaction<'c>,
    table: &'static Table,
    /// Where the key's columns stand in a row.
    key: Vec<usize>,
    first: String,
    further: String,
    insert: String,
    /// The key of the last row that was read.
    reached: Option<Vec<Value>>,
    rows: i64,
    is_done: bool,
}

type Page = Vec<Vec<Value>>;

impl<'c> Copy<'c> {
    fn new(
        source: &'c Transaction<'c>,
        target: &'c Transaction<'c>,
        table: &'static Table,
    ) -> Result<Self, StorageError> {
        let name = table.name;
        let columns = migrations::columns(source, name)?;
        let key = table.key.iter().map(|part| columns.iter().position(|column| column == part));
        let key = key
            .collect::<Option<_>>()
            .ok_or_else(|| StorageError::Corrupt(format!("the table {name} lacks its key")))?;
        let (all, order, limit) = (columns.join(", "), table.key.join(", "), table.at_a_time);
        let marks = |count: usize| vec!["?"; count].join(", ");
        let (values, bounds) = (marks(columns.len()), marks(table.key.len()));
        Ok(Self {
            source,
            target,
            table,
            key,
            first: format!("SELECT {all} FROM {name} ORDER BY {order} LIMIT {limit}"),
            further: format!(
                "SELECT {all} FROM {name} WHERE ({order}) > ({bounds}) ORDER BY {order} LIMIT {limit}"
            ),
            insert: format!("INSERT INTO {name} ({all}) VALUES ({values})"),
            reached: None,
            rows: 0,
            is_done: false,
        })
    }

    fn read(&mut self) -> Result<Option<Page>, StorageError> {
        if self.is_done {
            return Ok(None);
        }
        let read = |row: Row<'_>| (0..row.columns()).map(|column| row.get(column)).collect();
        let page: Page = match &self.reached {
            None => {
                self.source.prepare_cached(&self.first)?.query_map([], read)?.collect::<Result<_, _>>()?
            }
            Some(reached) => self
                .source
                .prepare_cached(&self.further)?
                .query_map(params_from_iter(reached), read)?
                .collect::<Result<_, _>>()?,
        };
        self.is_done = page.len() < self.table.at_a_time;
        if let Some(last) = page.last() {
            self.reached = Some(self.key.iter().map(|at| last[*at].clone()).collect());
        }
        Ok(Some(page).filter(|page| !page.is_empty()))
    }

    fn write(&mut self, page: Page) -> Result<(), StorageError> {
        let mut insert = self.target.prepare_cached(&self.insert)?;
        for row in page {
            insert.post(params_from_iter(row))?;
            self.rows += 1;
        }
        if let Some(session) = self.target.session() {
            session.flush().map_err(db::Error::from)?;
        }
        Ok(())
    }
}

/// Has the target look at what it has, so that it finds its ways from the first question on.
///
/// # Errors
/// When it refuses.
pub fn settle_in(to: &Location) -> Result<(), StorageError> {
    if let Location::Postgres(_) = to {
        super::open(to)?.execute("ANALYZE", params![])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing;

    #[test]
    fn every_table_is_moved() {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = testing::open(folder.path());
        let mut known: Vec<_> = TABLES.iter().map(|table| table.name.to_owned()).collect();
        known.sort();
        assert_eq!(migrations::tables(&connection).expect("they are read"), known);
        for table in TABLES {
            let columns = migrations::columns(&connection, table.name).expect("they are read");
            assert!(
                table.key.iter().all(|part| columns.iter().any(|column| column == part)),
                "{}",
                table.name
            );
        }
    }
}
