//! Where a test's store lies: an SQLite file in its folder, or, with `SWITCHROOM_TEST_STORE=postgres`, a schema of the
//! tests' own PostgreSQL that has the folder's name. The same tests are run with both.

use std::path::Path;

use switchroom::config::Config;

use crate::postgres::{Server, name_of};

/// Are the tests run on PostgreSQL?
///
/// # Panics
/// When the variable says something else.
#[must_use]
pub fn is_postgres() -> bool {
    match std::env::var("SWITCHROOM_TEST_STORE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("SWITCHROOM_TEST_STORE is sqlite or postgres, not {other}"),
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
pub fn execute(folder: &Path, sql: &str) -> usize {
    let location = url(folder).parse().expect("an URL");
    let connection = switchroom::storage::open(&location).expect("it opens");
    connection.execute(sql, []).expect("it is done")
}
