//! Where a test's store lies: an SQLite file in its folder, or, with `TEST_STORE=postgres`, a schema of the
//! tests' own PostgreSQL that has the folder's name. The same tests are run with both.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use switchroom::config::Config;
use switchroom::storage::Location;
use switchroom::storage::db::Connection;

use crate::postgres::{Server, name_of};

/// Are the tests run on PostgreSQL?
///
/// # Panics
/// When the variable says something else.
#[must_use]
pub fn is_postgres() -> bool {
    match std::env::var("TEST_STORE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("TEST_STORE is sqlite or postgres, not {other}"),
    }
}

/// The URL of the store of this folder.
#[must_use]
pub fn url(folder: &Path) -> String {
    if is_postgres() { Server::shared().schema(&name_of(folder)) } else { sqlite(folder) }
}

/// The URL of an SQLite store in this folder.
#[must_use]
pub fn sqlite(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("switchroom.db").display())
}

/// Puts all that is kept into this folder, but for what is in a server.
pub fn place(config: &mut Config, folder: &Path) {
    config.store.url = url(folder);
    config.store.key_file = Some(folder.join("switchroom.key"));
    config.recordings.path = Some(folder.join("recordings"));
}

/// The `[store]` section of a configuration file.
#[must_use]
pub fn section(folder: &Path) -> String {
    format!(
        "[store]\nurl = \"{}\"\nkey_file = \"{}\"\n",
        url(folder),
        folder.join("switchroom.key").display()
    )
}

/// All that the store of this folder has, as bytes to be searched.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn bytes(folder: &Path) -> Vec<u8> {
    if is_postgres() {
        return Server::shared().dump(&name_of(folder));
    }
    let mut all = std::fs::read(folder.join("switchroom.db")).expect("it is there");
    // Not there once all of it is copied.
    all.extend(std::fs::read(folder.join("switchroom.db-wal")).unwrap_or_default());
    all
}

/// Changes the store of this folder behind the service's back; gives how many rows.
///
/// # Panics
/// When it cannot be done.
#[must_use]
pub fn execute(folder: &Path, sql: &str) -> usize {
    let sql = sql.to_owned();
    beside(folder, move |connection| connection.execute(&sql, []).expect("it is done"))
}

/// Does something with a connection of its own, on a thread that may block.
///
/// # Panics
/// When it does.
pub fn beside<T: Send + 'static>(
    folder: &Path,
    run: impl FnOnce(&mut Connection) -> T + Send + 'static,
) -> T {
    let location = url(folder).parse().expect("an URL");
    let run = move || run(&mut switchroom::storage::open(&location).expect("it opens"));
    std::thread::spawn(run).join().expect("it is done")
}

/// While it is there the store of a folder takes nothing, and is read as ever.
pub struct Stall {
    end: mpsc::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Stall {
    /// Begins it.
    ///
    /// # Panics
    /// When the store cannot be locked.
    #[must_use]
    pub fn begin(folder: &Path) -> Self {
        let location: Location = url(folder).parse().expect("an URL");
        let (begun, has_begun) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let connection = switchroom::storage::open(&location).expect("it opens");
            let lock = match &connection {
                Connection::Sqlite(_) => "BEGIN IMMEDIATE".to_owned(),
                Connection::Postgres(_) => {
                    let mut statement = connection
                        .prepare("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
                        .expect("it is read");
                    let tables = statement.query_map([], |row| row.get::<_, String>(0)).expect("it is read");
                    let tables: Vec<String> = tables.map(|table| table.expect("a name")).collect();
                    format!("BEGIN; LOCK TABLE {} IN EXCLUSIVE MODE", tables.join(", "))
                }
            };
            connection.execute_batch(&lock).expect("it is locked");
            begun.send(()).expect("it is waited for");
            // Dropped or told: both mean the end.
            let _ = ended.recv();
            connection.execute_batch("ROLLBACK").expect("it is free");
        });
        has_begun.recv().expect("it is locked");
        Self { end, thread: Some(thread) }
    }

    /// Ends it.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        // It may have ended by itself, by a panic that is seen below.
        let _ = self.end.send(());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the store could not be freed");
    }
}
