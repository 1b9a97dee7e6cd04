//! A connection to PostgreSQL that blocks its thread, as SQLite does: what [`super::db`] needs of it.
//!
//! Each connection has a small runtime of its own, which runs while something is asked. Statements are prepared once.
//! What gives nothing back can be *posted*: it goes out at once and its answer is read with the next one, so that many
//! rows cost one way to the server and back.
//!
//! Whoever writes keeps an advisory lock for as long as the connection lasts, so that two services never write to one
//! database. If the connection is lost while a transaction is committed nobody knows whether it was: its number, which
//! is asked for when it begins, tells it to the next connection ([`Session::was_committed`]). That one has the lock, so
//! the lost one has ended.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::config::Host;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::db::{ToSql as Parameter, Value, ValueRef};
use super::dialect;
use super::location::{Encryption, Server};

/// So many statements stay prepared; searches have many forms.
const PREPARED: usize = 256;
/// So many answers may be outstanding.
const POSTED: usize = 256;
/// Connecting, with TLS and a password, takes no longer.
const WITHIN: Duration = Duration::from_secs(15);
/// So long the lock is waited for at the start: the server may not have noticed yet that the service before has ended.
const LOCK_WITHIN: Duration = Duration::from_secs(10);
/// An answer that is not there within this time is not waited for any longer: the connection is given up, as if it were
/// lost. Readers are told by the server itself a little earlier.
const ANSWER_WITHIN: Duration = Duration::from_secs(70);
/// What changes all of a table may take longer.
const LONG_ANSWER_WITHIN: Duration = Duration::from_secs(6 * 3600);
/// Of the advisory locks: the one who writes, the one who makes tables.
const WRITES: i32 = 0x5377_0001;
const MIGRATES: i32 = 0x5377_0002;
/// The oldest version that tells what became of a transaction.
const OLDEST: i32 = 130_000;

/// Why PostgreSQL did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    text: String,
    /// The SQLSTATE, if the server said it.
    code: Option<String>,
    is_lost: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: None, is_lost: false }
    }

    /// Nothing can be asked; later perhaps.
    fn lost(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: None, is_lost: true }
    }

    /// Was the connection lost, or never there?
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// May the same succeed later?
    #[must_use]
    pub fn may_pass(&self) -> bool {
        let Some(code) = &self.code else { return self.is_lost };
        // Lost connections, conflicts, too little room, an operator's doing, trouble with files; a lock that another
        // holds; a server that only reads just now.
        self.is_lost
            || ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
            || ["55P03", "25006"].contains(&code.as_str())
    }

    /// Is it the value that cannot be: of no such form, against a constraint, beyond what the server can hold?
    #[must_use]
    pub fn is_of_value(&self) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        ["22", "23", "54"].iter().any(|class| code.starts_with(class))
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(told) = error.as_db_error() {
            // Its detail may name values.
            let code = told.code().code().to_owned();
            let hint = match code.as_str() {
                "42501" => {
                    "; the role must own the database or have CREATE on its schema, see docs/storage.md"
                }
                "53100" => "; the server's disk is full",
                "28P01" | "28000" => "; user or password in store.url are wrong, or pg_hba.conf refuses them",
                "3D000" => "; create it first, see docs/storage.md",
                _ => "",
            };
            // After these the server ends the connection.
            let is_lost = code.starts_with("08") || ["57P01", "57P02", "57P03"].contains(&code.as_str());
            let text = format!("{} ({code}){hint}", told.message());
            return Self { text, code: Some(code), is_lost };
        }
        let mut text = error.to_string();
        let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(&error);
        let mut is_lost = error.is_closed();
        while let Some(why) = cause {
            text.push_str(": ");
            text.push_str(&why.to_string());
            is_lost |= why.is::<std::io::Error>();
            cause = why.source();
        }
        Self { text, code: None, is_lost }
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is the one that writes, and keeps others from it.
    Write,
    /// As that, for a service that writes already and has lost its connection: the lock is not waited for.
    WriteAgain,
    /// It only reads.
    Read,
    /// It changes something small beside the one that writes.
    Once,
}

/// See the module.
pub struct Session {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    client: Arc<Client>,
    prepared: RefCell<HashMap<String, tokio_postgres::Statement>>,
    posted: RefCell<Vec<Posted>>,
    is_lost: Cell<bool>,
    answer_within: Cell<Duration>,
    /// The transaction that is open.
    transaction: RefCell<Option<String>>,
    /// Something in it failed: it can only be taken back.
    has_failed: Cell<bool>,
    in_doubt: RefCell<Option<String>>,
}

type Posted = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime that is simply dropped waits, which is not allowed everywhere.
            runtime.shutdown_background();
        }
    }
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// When the server is not there, refuses us, or another service writes to the database.
    pub(super) fn connect(server: &Server, reason: Use) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::lost(format!("no connection can be made: {error}")))?;
        let connecting = async {
            match tokio::time::timeout(WITHIN, client(server)).await {
                Ok(client) => client,
                Err(_) => Err(Failure::lost(format!("no connection within {} s", WITHIN.as_secs()))),
            }
        };
        let client = runtime.block_on(connecting).map_err(|failure| Failure {
            text: format!("cannot connect: {}", failure.text),
            // Whatever it was, an operator may set it right while the service waits.
            is_lost: true,
            code: failure.code,
        })?;
        let session = Self {
            runtime: Some(runtime),
            client: Arc::new(client),
            prepared: RefCell::default(),
            posted: RefCell::default(),
            is_lost: Cell::new(false),
            answer_within: Cell::new(ANSWER_WITHIN),
            transaction: RefCell::default(),
            has_failed: Cell::new(false),
            in_doubt: RefCell::default(),
        };
        session.set_up(reason)?;
        Ok(session)
    }

    fn set_up(&self, reason: Use) -> Result<(), Failure> {
        let version = self.one("SHOW server_version_num")?;
        if version.parse::<i32>().is_ok_and(|version| version < OLDEST) {
            return Err(Failure::new("the server is older than PostgreSQL 13; use a newer one"));
        }
        let encoding = self.one("SHOW server_encoding")?;
        if encoding != "UTF8" {
            return Err(Failure::new(format!(
                "the database's encoding is {encoding}; create it with ENCODING 'UTF8' TEMPLATE template0"
            )));
        }
        self.batch(
            "SET client_encoding = 'UTF8'; SET client_min_messages = warning; SET jit = off; \
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
        )?;
        match reason {
            // What is asked for differs much, and so does the best way to find it.
            Use::Read => self.batch(
                "SET default_transaction_read_only = on; SET plan_cache_mode = force_custom_plan; \
                 SET statement_timeout = '60s'",
            ),
            Use::Once => self.batch("SET lock_timeout = '5s'"),
            Use::Write => {
                self.batch("SET lock_timeout = '5s'")?;
                self.lock(Instant::now() + LOCK_WITHIN)
            }
            Use::WriteAgain => {
                self.batch("SET lock_timeout = '5s'")?;
                self.lock(Instant::now())
            }
        }
    }

    /// Keeps others from writing to the database for as long as the connection lasts.
    fn lock(&self, until: Instant) -> Result<(), Failure> {
        let mut wait = Duration::from_millis(20);
        loop {
            let sql = format!("SELECT pg_try_advisory_lock({WRITES}, {SCHEMA})");
            if self.one(&sql)? == "t" {
                return Ok(());
            }
            if Instant::now() >= until {
                break;
            }
            std::thread::sleep(wait);
            wait = (wait * 2).min(Duration::from_millis(500));
        }
        let sql = format!(
            "SELECT 'process ' || l.pid || coalesce(' from ' || host(a.client_addr), '') \
             || coalesce(', connected at ' || date_trunc('second', a.backend_start), '') \
             FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
             WHERE l.locktype = 'advisory' AND l.granted AND l.classid = {WRITES} \
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1"
        );
        let holder = self.find(&sql)?.map(|who| format!(" ({who})")).unwrap_or_default();
        Err(Failure::lost(format!(
            "another Switchroom writes to this database{holder}; stop it, or give this one a database of its own"
        )))
    }

    /// From now on what is asked may take long, or no longer.
    pub fn take_long(&self, long: bool) {
        self.answer_within.set(if long { LONG_ANSWER_WITHIN } else { ANSWER_WITHIN });
    }

    /// In a transaction: until its end nobody else makes tables.
    pub(super) fn lock_tables(&self) -> Result<(), Failure> {
        self.batch(&format!(
            "SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock({MIGRATES}, {SCHEMA})"
        ))
    }

    fn runtime(&self) -> Result<&Runtime, Failure> {
        self.runtime.as_ref().ok_or_else(|| Failure::lost("the connection is closed"))
    }

    /// Waits for an answer, and for those to what was posted before; whichever failed first is told.
    fn wait<T>(&self, asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failure> {
        let posted = std::mem::take(&mut *self.posted.borrow_mut());
        let within = self.answer_within.get();
        let answers = async {
            let answer = asked.await;
            let mut before = Ok(());
            for posted in posted {
                before = before.and(posted.await);
            }
            before.and(answer)
        };
        let answer = self.runtime()?.block_on(async { tokio::time::timeout(within, answers).await });
        let Ok(answer) = answer else {
            self.is_lost.set(true);
            return Err(self.failed(Failure::lost(format!("no answer within {} s", within.as_secs()))));
        };
        answer.map_err(|error| self.failed(error.into()))
    }

    fn failed(&self, failure: Failure) -> Failure {
        self.has_failed.set(true);
        if failure.is_lost || self.client.is_closed() {
            self.is_lost.set(true);
            return Failure { is_lost: true, ..failure };
        }
        failure
    }

    /// Sends something whose answer is read later.
    fn send(
        &self,
        asked: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    ) -> Result<(), Failure> {
        let mut asked: Posted = Box::pin(asked);
        match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => return answer.map_err(|error| self.failed(error.into())),
            Poll::Pending => self.posted.borrow_mut().push(asked),
        }
        if self.posted.borrow().len() >= POSTED { self.flush() } else { Ok(()) }
    }

    /// Waits until what was posted is done.
    ///
    /// # Errors
    /// When something of it failed.
    pub fn flush(&self) -> Result<(), Failure> {
        if self.posted.borrow().is_empty() { Ok(()) } else { self.wait(async { Ok(()) }) }
    }

    /// Runs statements without parameters.
    pub(super) fn batch(&self, sql: &str) -> Result<(), Failure> {
        self.wait(self.client.batch_execute(sql))
    }

    pub(super) fn post_batch(&self, sql: &'static str) -> Result<(), Failure> {
        let client = Arc::clone(&self.client);
        self.send(async move { client.batch_execute(sql).await })
    }

    /// The first value that statements give, as text.
    fn find(&self, sql: &str) -> Result<Option<String>, Failure> {
        let rows = self.wait(self.client.simple_query(sql))?;
        Ok(rows.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }

    fn one(&self, sql: &str) -> Result<String, Failure> {
        self.find(sql)?.ok_or_else(|| Failure::new("the server gave no answer"))
    }

    /// A statement, prepared if it was not.
    pub(super) fn prepare(&self, sql: &str) -> Result<Prepared<'_>, Failure> {
        if let Some(statement) = self.prepared.borrow().get(sql) {
            return Ok(Prepared { session: self, statement: statement.clone() });
        }
        let statement = self.wait(self.client.prepare(&dialect::statement(sql)))?;
        let mut prepared = self.prepared.borrow_mut();
        if prepared.len() >= PREPARED {
            prepared.clear();
        }
        prepared.insert(sql.to_owned(), statement.clone());
        Ok(Prepared { session: self, statement })
    }

    pub(super) fn begin(&self) -> Result<(), Failure> {
        self.has_failed.set(false);
        let number = self.one("BEGIN; SELECT pg_current_xact_id()::text")?;
        *self.transaction.borrow_mut() = Some(number);
        Ok(())
    }

    pub(super) fn commit(&self) -> Result<(), Failure> {
        if self.has_failed.get() {
            // The server would take it back and say nothing.
            return Err(Failure::new("something in the transaction had failed"));
        }
        let done = self.batch("COMMIT");
        if done.as_ref().is_err_and(Failure::is_lost) {
            self.in_doubt.replace(self.transaction.take());
        } else if done.is_ok() {
            self.transaction.take();
        }
        done
    }

    /// Takes back what was done since the savepoint.
    pub(super) fn take_back(&self) -> Result<(), Failure> {
        // That it failed is known.
        let _ = self.flush();
        self.batch("ROLLBACK TO one; RELEASE one")?;
        self.has_failed.set(false);
        Ok(())
    }

    pub(super) fn roll_back(&self) -> Result<(), Failure> {
        self.transaction.take();
        // That it failed is known.
        let _ = self.flush();
        if self.is_lost.get() {
            // The server does it.
            return Ok(());
        }
        self.batch("ROLLBACK")?;
        self.has_failed.set(false);
        Ok(())
    }

    /// Is it known that the connection has gone?
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.is_lost.get() || self.client.is_closed()
    }

    /// Looks whether the connection is still there; asks nothing.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        if let Ok(runtime) = self.runtime() {
            // What has come in is read, and the task that reads it ends if there is no more.
            runtime.block_on(async {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            });
        }
        self.is_lost()
    }

    /// Asks whether the server is there.
    ///
    /// # Errors
    /// When it is not.
    pub fn ping(&self) -> Result<(), Failure> {
        self.batch("")
    }

    /// The transaction whose commit had no answer before the connection was lost.
    #[must_use]
    pub fn in_doubt(&self) -> Option<String> {
        self.in_doubt.borrow().clone()
    }

    /// What became of a transaction of an earlier connection.
    ///
    /// # Errors
    /// When that is not known now.
    pub fn was_committed(&self, number: &str) -> Result<bool, Failure> {
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Failure::new("no number of a transaction"));
        }
        let status = match self.find(&format!("SELECT pg_xact_status('{number}'::xid8)")) {
            // It lies in the future: this server took over from the one that had it, and did not get it from there.
            Err(failure) if failure.code.as_deref() == Some("22023") => return Ok(false),
            status => status?,
        };
        match status.as_deref() {
            Some("committed") => Ok(true),
            Some("aborted") => Ok(false),
            // Its end is under way.
            Some(_) => Err(Failure::lost("the last transaction has not ended yet")),
            None => Err(Failure::new(
                "the server no longer knows what became of the last transaction; restart the service",
            )),
        }
    }
}

/// The schema's number, so that schemas of one database do not keep each other out.
const SCHEMA: &str = "hashtext(coalesce(current_schema(), ''))";

async fn client(server: &Server) -> Result<Client, Failure> {
    let is_local = server.config.get_hosts().iter().all(|host| match host {
        Host::Tcp(_) => false,
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    let is_plain = server.encryption == Encryption::Disable
        || (is_local && server.encryption == Encryption::Prefer && server.config.get_hostaddrs().is_empty());
    if is_plain {
        let (client, connection) = server.config.connect(NoTls).await?;
        tokio::spawn(keep(connection));
        return Ok(client);
    }
    let (client, connection) = server.config.connect(MakeRustlsConnect::new(tls(server)?)).await?;
    tokio::spawn(keep(connection));
    Ok(client)
}

async fn keep(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        // Whoever asks next is told.
        tracing::debug!("a connection to the database ended: {}", Failure::from(error));
    }
}

fn tls(server: &Server) -> Result<ClientConfig, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("TLS: {error}"));
    crate::link::tls::install_provider();
    if server.encryption != Encryption::VerifyFull {
        return crate::link::tls::of_anybody().map_err(|error| failed(&error));
    }
    let Some(path) = &server.roots else {
        use rustls_platform_verifier::ConfigVerifierExt;
        return ClientConfig::with_platform_verifier().map_err(|error| failed(&error));
    };
    let mut roots = rustls::RootCertStore::empty();
    let file =
        |error: &dyn std::fmt::Display| failed(&format_args!("sslrootcert {}: {error}", path.display()));
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| file(&error))? {
        roots.add(certificate.map_err(|error| file(&error))?).map_err(|error| file(&error))?;
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// A statement of a session.
pub struct Prepared<'c> {
    session: &'c Session,
    statement: tokio_postgres::Statement,
}

impl Prepared<'_> {
    pub(super) fn execute(&self, values: &[&dyn Parameter]) -> Result<usize, Failure> {
        let given: Vec<Given<'_>> = values.iter().map(|value| Given(value.value())).collect();
        let changed = self.session.wait(self.session.client.execute_raw(&self.statement, given))?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(super) fn post(&self, values: &[&dyn Parameter]) -> Result<(), Failure> {
        let client = Arc::clone(&self.session.client);
        let statement = self.statement.clone();
        let values: Vec<Value> = values.iter().map(|value| value.value().into()).collect();
        self.session.send(async move {
            let given: Vec<Given<'_>> = values.iter().map(|value| Given(value.value())).collect();
            client.execute_raw(&statement, given).await.map(drop)
        })
    }

    pub(super) fn query(&self, values: &[&dyn Parameter]) -> Result<Rows, Failure> {
        let given: Vec<Given<'_>> = values.iter().map(|value| Given(value.value())).collect();
        let asked = async {
            let rows = self.session.client.query_raw(&self.statement, given).await?;
            rows.try_collect::<Vec<_>>().await
        };
        Ok(Rows { left: self.session.wait(asked)?.into_iter(), row: None })
    }
}

/// A row.
pub struct Row(tokio_postgres::Row);

impl Row {
    pub(super) fn columns(&self) -> usize {
        self.0.len()
    }

    pub(super) fn value(&self, column: usize) -> Result<ValueRef<'_>, Failure> {
        self.0.try_get::<_, Taken<'_>>(column).map(|taken| taken.0).map_err(Into::into)
    }
}

/// What a statement gave.
pub struct Rows {
    left: std::vec::IntoIter<tokio_postgres::Row>,
    row: Option<Row>,
}

impl Rows {
    pub(super) fn next(&mut self) -> Option<&Row> {
        self.row = self.left.next().map(Row);
        self.row.as_ref()
    }
}

/// A value on its way to the server; not shown, whoever logs a statement.
struct Given<'a>(ValueRef<'a>);

impl std::fmt::Debug for Given<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

type Failed = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Given<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        let wrong = |what| Err(Failed::from(format!("{what} is given for a {ty}")));
        match self.0 {
            ValueRef::Null => return Ok(IsNull::Yes),
            ValueRef::Integer(number) => match *ty {
                Type::INT8 => out.extend_from_slice(&number.to_be_bytes()),
                Type::INT4 => out.extend_from_slice(&i32::try_from(number)?.to_be_bytes()),
                Type::INT2 => out.extend_from_slice(&i16::try_from(number)?.to_be_bytes()),
                _ => return wrong("a number"),
            },
            ValueRef::Text(text) => match *ty {
                // PostgreSQL's texts have no NUL; a device's may.
                Type::TEXT | Type::VARCHAR if text.contains('\0') => {
                    out.extend_from_slice(text.replace('\0', "\u{FFFD}").as_bytes());
                }
                Type::TEXT | Type::VARCHAR => out.extend_from_slice(text.as_bytes()),
                _ => return wrong("a text"),
            },
            ValueRef::Blob(bytes) => match *ty {
                Type::BYTEA => out.extend_from_slice(bytes),
                _ => return wrong("bytes"),
            },
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A value that came from the server.
struct Taken<'a>(ValueRef<'a>);

impl<'a> FromSql<'a> for Taken<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failed> {
        Ok(Self(match *ty {
            Type::INT8 => ValueRef::Integer(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => ValueRef::Integer(i32::from_be_bytes(raw.try_into()?).into()),
            Type::INT2 => ValueRef::Integer(i16::from_be_bytes(raw.try_into()?).into()),
            Type::TEXT | Type::VARCHAR | Type::NAME => ValueRef::Text(std::str::from_utf8(raw)?),
            Type::BYTEA => ValueRef::Blob(raw),
            _ => return Err(format!("a {ty} is not read here").into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failed> {
        Ok(Self(ValueRef::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
