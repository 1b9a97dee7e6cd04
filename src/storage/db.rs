//! One way to speak to both databases: what the store needs of SQLite ([`rusqlite`]) and of PostgreSQL
//! ([`super::postgres`]), named as rusqlite names it.
//!
//! There is one text of SQL for both, in what both understand: `ON CONFLICT` and no `OR REPLACE`, `RETURNING` and no last
//! row id. Parameters are `?` or `?1`; for PostgreSQL a text is put into its words once ([`super::dialect`]) and prepared
//! once for each connection. Values are whole numbers, texts and bytes; a truth is 0 or 1.
//!
//! A connection to PostgreSQL blocks its thread, and is not for a thread that runs asynchronous tasks.

use super::postgres::{self, Failure, Session};

/// What the database said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite said no.
    #[error("sqlite: {0}")]
    Sqlite(rusqlite::Error),
    /// PostgreSQL said no, or could not be reached.
    #[error("postgresql: {0}")]
    Postgres(Failure),
    /// There is no such row.
    #[error("there is no such row")]
    NoRows,
    /// A column is not of the type that is read.
    #[error("column {column} is no {wanted}")]
    Type {
        /// Which, from 0.
        column: usize,
        /// What was wanted.
        wanted: &'static str,
    },
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::QueryReturnedNoRows => Self::NoRows,
            error => Self::Sqlite(error),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Postgres(failure)
    }
}

impl Error {
    /// May the same succeed later? A full disk, a busy file, a lost connection: yes.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) => matches!(
                error.code,
                Code::DiskFull
                    | Code::SystemIoFailure
                    | Code::DatabaseBusy
                    | Code::DatabaseLocked
                    | Code::OutOfMemory
                    | Code::CannotOpen
                    | Code::ReadOnly
                    | Code::FileLockingProtocolFailed
                    | Code::OperationInterrupted
                    | Code::SchemaChanged
            ),
            Self::Postgres(failure) => failure.may_pass(),
            Self::Sqlite(_) | Self::NoRows | Self::Type { .. } => false,
        }
    }

    /// Is it the value that cannot be: too large, against a constraint?
    #[must_use]
    pub fn is_of_value(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) => {
                matches!(error.code, Code::TooBig | Code::ConstraintViolation)
            }
            Self::Postgres(failure) => failure.is_of_value(),
            Self::Sqlite(_) | Self::NoRows | Self::Type { .. } => false,
        }
    }
}

/// A row that need not be there.
pub trait OptionalExtension<T> {
    /// None when there is no such row.
    ///
    /// # Errors
    /// As before, but for that.
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> OptionalExtension<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Ok(found) => Ok(Some(found)),
            Err(Error::NoRows) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A value as it lies in a row or goes into a statement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

impl<'a> ValueRef<'a> {
    /// The bytes, if it is bytes.
    #[must_use]
    pub const fn as_blob(self) -> Option<&'a [u8]> {
        match self {
            Self::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// A value of one's own.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// Values may be secret: they are not shown, whoever logs a statement.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// As [`Value`].
impl std::fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Text(text) => Self::Text(text.to_owned()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_owned()),
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

/// What can be a parameter.
pub trait ToSql {
    /// As the database takes it.
    fn value(&self) -> ValueRef<'_>;
}

impl ToSql for Value {
    fn value(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

impl ToSql for i64 {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Integer(*self)
    }
}

impl ToSql for i32 {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Integer(i64::from(*self))
    }
}

impl ToSql for bool {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Integer(i64::from(*self))
    }
}

impl ToSql for str {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Text(self)
    }
}

impl ToSql for String {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Text(self)
    }
}

impl ToSql for [u8] {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl ToSql for Vec<u8> {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl<T: ToSql + ?Sized> ToSql for &T {
    fn value(&self) -> ValueRef<'_> {
        (**self).value()
    }
}

impl<T: ToSql> ToSql for Option<T> {
    fn value(&self) -> ValueRef<'_> {
        self.as_ref().map_or(ValueRef::Null, T::value)
    }
}

/// What can be read from a column.
pub trait FromSql: Sized {
    /// What it is, for an error.
    const NAME: &'static str;

    /// None when it is another type.
    fn read(value: ValueRef<'_>) -> Option<Self>;
}

impl FromSql for i64 {
    const NAME: &'static str = "number";

    fn read(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Integer(number) => Some(number),
            _ => None,
        }
    }
}

impl FromSql for bool {
    const NAME: &'static str = "truth";

    fn read(value: ValueRef<'_>) -> Option<Self> {
        i64::read(value).map(|number| number != 0)
    }
}

impl FromSql for String {
    const NAME: &'static str = "text";

    fn read(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Text(text) => Some(text.to_owned()),
            _ => None,
        }
    }
}

impl FromSql for Vec<u8> {
    const NAME: &'static str = "bytes";

    fn read(value: ValueRef<'_>) -> Option<Self> {
        value.as_blob().map(<[u8]>::to_vec)
    }
}

impl<const N: usize> FromSql for [u8; N] {
    const NAME: &'static str = "bytes of this length";

    fn read(value: ValueRef<'_>) -> Option<Self> {
        value.as_blob()?.try_into().ok()
    }
}

impl FromSql for Value {
    const NAME: &'static str = "value";

    fn read(value: ValueRef<'_>) -> Option<Self> {
        Some(value.into())
    }
}

impl<T: FromSql> FromSql for Option<T> {
    const NAME: &'static str = T::NAME;

    fn read(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Null => Some(None),
            value => T::read(value).map(Some),
        }
    }
}

/// A statement's parameters.
pub trait Params {
    /// Shows them.
    fn show<R>(&self, to: impl FnOnce(&[&dyn ToSql]) -> R) -> R;
}

impl Params for &[&dyn ToSql] {
    fn show<R>(&self, to: impl FnOnce(&[&dyn ToSql]) -> R) -> R {
        to(self)
    }
}

impl Params for [&dyn ToSql; 0] {
    fn show<R>(&self, to: impl FnOnce(&[&dyn ToSql]) -> R) -> R {
        to(self)
    }
}

/// Parameters that were gathered.
pub struct Gathered<T>(Vec<T>);

impl<T: ToSql> Params for Gathered<T> {
    fn show<R>(&self, to: impl FnOnce(&[&dyn ToSql]) -> R) -> R {
        let all: Vec<&dyn ToSql> = self.0.iter().map(|value| value as &dyn ToSql).collect();
        to(&all)
    }
}

/// Parameters from whatever gives them.
pub fn params_from_iter<I: IntoIterator<Item: ToSql>>(values: I) -> Gathered<I::Item> {
    Gathered(values.into_iter().collect())
}

/// Parameters in order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::storage::db::ToSql),*] as &[&dyn $crate::storage::db::ToSql]
    };
}
pub(crate) use params;

/// A value as rusqlite takes it.
struct Bound<'a>(ValueRef<'a>);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef as Theirs};
        Ok(ToSqlOutput::Borrowed(match self.0 {
            ValueRef::Null => Theirs::Null,
            ValueRef::Integer(number) => Theirs::Integer(number),
            ValueRef::Text(text) => Theirs::Text(text.as_bytes()),
            ValueRef::Blob(bytes) => Theirs::Blob(bytes),
        }))
    }
}

fn bound(values: &[&dyn ToSql]) -> impl rusqlite::Params {
    rusqlite::params_from_iter(values.iter().map(|value| Bound(value.value())))
}

/// Where a column stands in a row, from 0.
pub trait Column {
    /// The number.
    fn at(self) -> usize;
}

impl Column for usize {
    fn at(self) -> usize {
        self
    }
}

/// A row that is read.
#[derive(Clone, Copy)]
pub enum Row<'a> {
    /// Of SQLite.
    Sqlite(&'a rusqlite::Row<'a>),
    /// Of PostgreSQL.
    Postgres(&'a postgres::Row),
}

impl<'a> Row<'a> {
    /// A column's value.
    ///
    /// # Errors
    /// When there is no such column, or its text is none.
    pub fn get_ref(self, column: usize) -> Result<ValueRef<'a>, Error> {
        use rusqlite::types::ValueRef as Theirs;
        match self {
            Self::Sqlite(row) => Ok(match row.get_ref(column)? {
                Theirs::Null => ValueRef::Null,
                Theirs::Integer(number) => ValueRef::Integer(number),
                Theirs::Text(text) => ValueRef::Text(
                    std::str::from_utf8(text).map_err(|_| Error::Type { column, wanted: "text in UTF-8" })?,
                ),
                Theirs::Blob(bytes) => ValueRef::Blob(bytes),
                Theirs::Real(_) => return Err(Error::Type { column, wanted: "number, text or bytes" }),
            }),
            Self::Postgres(row) => Ok(row.value(column)?),
        }
    }

    /// How many columns it has.
    #[must_use]
    pub fn columns(self) -> usize {
        match self {
            Self::Sqlite(row) => row.as_ref().column_count(),
            Self::Postgres(row) => row.columns(),
        }
    }

    /// A column as what is wanted.
    ///
    /// # Errors
    /// When it is another type.
    pub fn get<I: Column, T: FromSql>(self, column: I) -> Result<T, Error> {
        let column = column.at();
        T::read(self.get_ref(column)?).ok_or(Error::Type { column, wanted: T::NAME })
    }
}

/// Rows, one after the other.
pub enum Rows<'s> {
    /// Of SQLite: read as they are asked for.
    Sqlite(rusqlite::Rows<'s>),
    /// Of PostgreSQL: all are here, so whoever asks for many asks for a page of them.
    Postgres(postgres::Rows),
}

impl Rows<'_> {
    /// The next one; none: there are no more.
    ///
    /// # Errors
    /// When it cannot be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "a row is lent until the next one, and reading may fail"
    )]
    pub fn next(&mut self) -> Result<Option<Row<'_>>, Error> {
        match self {
            Self::Sqlite(rows) => Ok(rows.next()?.map(Row::Sqlite)),
            Self::Postgres(rows) => Ok(rows.next().map(Row::Postgres)),
        }
    }
}

/// Rows that something is made of.
pub struct MappedRows<'s, F> {
    rows: Rows<'s>,
    make: F,
}

impl<T, F: FnMut(Row<'_>) -> Result<T, Error>> Iterator for MappedRows<'_, F> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.rows.next() {
            Ok(Some(row)) => Some((self.make)(row)),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// A statement that is ready to run.
pub enum Statement<'c> {
    /// On SQLite.
    Sqlite(rusqlite::Statement<'c>),
    /// On SQLite, and kept for the next time.
    Kept(rusqlite::CachedStatement<'c>),
    /// On PostgreSQL.
    Postgres(postgres::Prepared<'c>),
}

impl Statement<'_> {
    /// Runs it; gives how many rows it changed.
    ///
    /// # Errors
    /// When the database refuses it.
    pub fn execute(&mut self, params: impl Params) -> Result<usize, Error> {
        params.show(|values| match self {
            Self::Sqlite(statement) => Ok(statement.execute(bound(values))?),
            Self::Kept(statement) => Ok(statement.execute(bound(values))?),
            Self::Postgres(statement) => Ok(statement.execute(values)?),
        })
    }

    /// Runs it in a transaction, however many rows it changes. PostgreSQL is not waited for: an error is told by whatever
    /// is done next, the commit at the latest.
    ///
    /// # Errors
    /// When the database refuses it, or something that was posted before.
    pub fn post(&mut self, params: impl Params) -> Result<(), Error> {
        params.show(|values| match self {
            Self::Sqlite(statement) => statement.execute(bound(values)).map(drop).map_err(Into::into),
            Self::Kept(statement) => statement.execute(bound(values)).map(drop).map_err(Into::into),
            Self::Postgres(statement) => Ok(statement.post(values)?),
        })
    }

    /// Runs it; gives its rows.
    ///
    /// # Errors
    /// When the database refuses it.
    pub fn query(&mut self, params: impl Params) -> Result<Rows<'_>, Error> {
        params.show(|values| match self {
            Self::Sqlite(statement) => Ok(Rows::Sqlite(statement.query(bound(values))?)),
            Self::Kept(statement) => Ok(Rows::Sqlite(statement.query(bound(values))?)),
            Self::Postgres(statement) => Ok(Rows::Postgres(statement.query(values)?)),
        })
    }

    /// Runs it; makes something of each row.
    ///
    /// # Errors
    /// When the database refuses it.
    pub fn query_map<T, F: FnMut(Row<'_>) -> Result<T, Error>>(
        &mut self,
        params: impl Params,
        make: F,
    ) -> Result<MappedRows<'_, F>, Error> {
        Ok(MappedRows { rows: self.query(params)?, make })
    }

    /// Runs it; makes something of its first row.
    ///
    /// # Errors
    /// When there is none, or the database refuses it.
    pub fn query_row<T>(
        &mut self,
        params: impl Params,
        make: impl FnOnce(Row<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut rows = self.query(params)?;
        rows.next()?.map_or(Err(Error::NoRows), make)
    }
}

/// A connection to a database.
pub enum Connection {
    /// SQLite, in this process.
    Sqlite(rusqlite::Connection),
    /// A PostgreSQL server.
    Postgres(Session),
}

impl Connection {
    /// A statement that is run once or seldom.
    ///
    /// # Errors
    /// When the database does not understand it.
    pub fn prepare(&self, sql: &str) -> Result<Statement<'_>, Error> {
        match self {
            Self::Sqlite(connection) => Ok(Statement::Sqlite(connection.prepare(sql)?)),
            Self::Postgres(session) => Ok(Statement::Postgres(session.prepare(sql)?)),
        }
    }

    /// A statement that is kept for the next time.
    ///
    /// # Errors
    /// When the database does not understand it.
    pub fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>, Error> {
        match self {
            Self::Sqlite(connection) => Ok(Statement::Kept(connection.prepare_cached(sql)?)),
            Self::Postgres(session) => Ok(Statement::Postgres(session.prepare(sql)?)),
        }
    }

    /// Runs a statement; makes something of its first row.
    ///
    /// # Errors
    /// When there is none, or the database refuses it.
    pub fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        make: impl FnOnce(Row<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.prepare(sql)?.query_row(params, make)
    }

    /// Runs a statement; gives how many rows it changed.
    ///
    /// # Errors
    /// When the database refuses it.
    pub fn execute(&self, sql: &str, params: impl Params) -> Result<usize, Error> {
        self.prepare(sql)?.execute(params)
    }

    /// Runs several statements without parameters.
    ///
    /// # Errors
    /// When the database refuses one.
    pub fn execute_batch(&self, sql: &str) -> Result<(), Error> {
        match self {
            Self::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
            Self::Postgres(session) => Ok(session.batch(sql)?),
        }
    }

    /// Begins a transaction; what is not committed is rolled back.
    ///
    /// # Errors
    /// When the database refuses it.
    pub fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        match &*self {
            Self::Sqlite(connection) => connection.execute_batch("BEGIN")?,
            Self::Postgres(session) => session.begin()?,
        }
        Ok(Transaction { connection: self, is_open: true })
    }

    /// Has the connection to the server gone? Then it is of no more use.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(session) => session.is_lost(),
        }
    }

    /// The session, if it is PostgreSQL's.
    #[must_use]
    pub const fn session(&self) -> Option<&Session> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(session) => Some(session),
        }
    }
}

/// A transaction.
pub struct Transaction<'c> {
    connection: &'c Connection,
    is_open: bool,
}

impl std::ops::Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Transaction<'_> {
    /// Makes it last.
    ///
    /// # Errors
    /// When the database refuses it. If the connection was lost it may have been done: see [`Session::in_doubt`].
    pub fn commit(mut self) -> Result<(), Error> {
        match self.connection {
            Connection::Sqlite(connection) => connection.execute_batch("COMMIT")?,
            Connection::Postgres(session) => session.commit()?,
        }
        self.is_open = false;
        Ok(())
    }

    /// Runs a part that may fail by itself: what it did is taken back then, and the rest goes on.
    ///
    /// # Errors
    /// When the transaction cannot go on.
    pub fn part<T, E: From<Error>>(
        &self,
        run: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<Result<T, E>, Error> {
        match self.connection {
            Connection::Sqlite(connection) => connection.execute_batch("SAVEPOINT one")?,
            Connection::Postgres(session) => session.post_batch("SAVEPOINT one")?,
        }
        let mut result = run(self);
        if result.is_ok()
            && let Connection::Postgres(session) = self.connection
            && let Err(failure) = session.flush()
        {
            // Something that was posted in this part.
            result = Err(Error::from(failure).into());
        }
        match (self.connection, &result) {
            (Connection::Sqlite(connection), Ok(_)) => connection.execute_batch("RELEASE one")?,
            (Connection::Sqlite(connection), Err(_)) => {
                connection.execute_batch("ROLLBACK TO one; RELEASE one")?;
            }
            (Connection::Postgres(session), Ok(_)) => session.post_batch("RELEASE one")?,
            (Connection::Postgres(session), Err(_)) => session.take_back()?,
        }
        Ok(result)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let rolled_back = match self.connection {
            // After some errors SQLite has done it already.
            Connection::Sqlite(connection) if connection.is_autocommit() => Ok(()),
            Connection::Sqlite(connection) => connection.execute_batch("ROLLBACK").map_err(Error::from),
            Connection::Postgres(session) => session.roll_back().map_err(Error::from),
        };
        if let Err(error) = rolled_back {
            tracing::warn!(%error, "a transaction could not be rolled back");
        }
    }
}
