//! Where the store is: `store.url`, read once. A password in it is never shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_postgres::config::{Config, SslMode};

/// How long the server may take to accept a connection.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(5);
/// A connection that says nothing for so long is asked whether it is still there.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// And so often, and so many times.
const ASKED_EVERY: std::time::Duration = std::time::Duration::from_secs(5);
const ASKED: u32 = 3;
/// What was sent is taken note of within this time, or the connection is lost.
const UNHEARD: std::time::Duration = std::time::Duration::from_secs(20);

/// What an URL may say after its `?`.
const OPTIONS: &[&str] = &[
    "user",
    "password",
    "host",
    "port",
    "dbname",
    "hostaddr",
    "application_name",
    "options",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
    "sslmode",
    "sslrootcert",
];

/// Whether a connection is encrypted, and who the server must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// It is not.
    Disable,
    /// It is if the server can; whoever it is.
    Prefer,
    /// It is; whoever it is.
    Require,
    /// It is, and the server's certificate is for its name and by somebody who is trusted.
    VerifyFull,
}

/// A PostgreSQL database.
#[derive(Clone)]
pub struct Server {
    /// As the client takes it.
    pub(super) config: Config,
    /// How it is encrypted.
    pub(super) encryption: Encryption,
    /// Who is trusted, in place of those whom this machine trusts.
    pub(super) roots: Option<PathBuf>,
    /// The URL without its password.
    shown: String,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Where the store is.
#[derive(Debug, Clone)]
pub enum Location {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(Arc<Server>),
}

/// What is wrong with an URL; has nothing of its text, in which a password may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLocation(String);

impl std::str::FromStr for Location {
    type Err = BadLocation;

    fn from_str(url: &str) -> Result<Self, BadLocation> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            if path.is_empty() {
                return Err(BadLocation("sqlite://PATH names no file".to_owned()));
            }
            return Ok(Self::Sqlite(path.into()));
        }
        if is_postgres(url) {
            return server(url).map(|server| Self::Postgres(Arc::new(server)));
        }
        Err(BadLocation("it is neither sqlite://PATH nor postgres://USER:PASSWORD@HOST/DATABASE".to_owned()))
    }
}

impl std::fmt::Display for Location {
    /// Without its password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(server) => f.write_str(&server.shown),
        }
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::Sqlite(path.to_owned())
    }
}

impl Location {
    /// Files that belong to the store lie beside this path: the database's, or one in `data/`.
    #[must_use]
    pub fn beside(&self) -> PathBuf {
        match self {
            Self::Sqlite(path) => path.clone(),
            Self::Postgres(_) => PathBuf::from("data/switchroom.db"),
        }
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn server(url: &str) -> Result<Server, BadLocation> {
    let wrong = |text: String| BadLocation(text);
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    if base.matches('@').count() > 1 {
        return Err(wrong("it has more than one @; in the password it is written %40".to_owned()));
    }
    let (mut encryption, mut roots) = (Encryption::Prefer, None);
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "sslmode" => {
                encryption = match value {
                    "disable" => Encryption::Disable,
                    "prefer" => Encryption::Prefer,
                    "require" => Encryption::Require,
                    "verify-full" => Encryption::VerifyFull,
                    _ => {
                        return Err(wrong(
                            "sslmode is one of disable, prefer, require and verify-full".to_owned(),
                        ));
                    }
                }
            }
            "sslrootcert" => roots = Some(PathBuf::from(decoded(value)?)),
            name if OPTIONS.contains(&name) => kept.push(pair),
            // Its name is not said: it may be the rest of a password.
            _ => {
                return Err(wrong(format!(
                    "after its ? stands an unknown option; known are {}",
                    OPTIONS.join(", ")
                )));
            }
        }
    }
    if roots.is_some() && encryption != Encryption::VerifyFull {
        return Err(wrong("sslrootcert needs sslmode=verify-full".to_owned()));
    }
    let text = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
    let mut config: Config = text.parse().map_err(|_| {
        wrong(
            "it cannot be read as postgres://USER:PASSWORD@HOST:PORT/DATABASE; special characters in the password are \
             written in percent-encoding (%40 is @)"
                .to_owned(),
        )
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(wrong("it names no host; for a Unix socket add ?host=/run/postgresql".to_owned()));
    }
    if config.get_user().is_none() || config.get_dbname().is_none() {
        return Err(wrong(
            "it names no user or no database: postgres://USER:PASSWORD@HOST/DATABASE".to_owned(),
        ));
    }
    config.ssl_mode(match encryption {
        Encryption::Disable => SslMode::Disable,
        Encryption::Prefer => SslMode::Prefer,
        Encryption::Require | Encryption::VerifyFull => SslMode::Require,
    });
    let is_said = |name: &str| kept.iter().any(|pair| pair.split('=').next() == Some(name));
    if !is_said("connect_timeout") {
        config.connect_timeout(CONNECT);
    }
    if !is_said("keepalives_idle") {
        config.keepalives_idle(SILENCE).keepalives_interval(ASKED_EVERY).keepalives_retries(ASKED);
    }
    if !is_said("tcp_user_timeout") {
        config.tcp_user_timeout(UNHEARD);
    }
    if !is_said("application_name") {
        config.application_name("switchroom");
    }
    Ok(Server { config, encryption, roots, shown: shown(url) })
}

fn decoded(value: &str) -> Result<String, BadLocation> {
    let bad = || BadLocation("its percent-encoding is wrong".to_owned());
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().ok_or_else(bad)?, rest.next().ok_or_else(bad)?];
            bytes.extend(hex::decode(digits).map_err(|_| bad())?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

/// An URL of a store with its password struck out, wherever it stands; one that cannot be read is not shown at all.
#[must_use]
pub fn masked(url: &str) -> String {
    match url.parse::<Location>() {
        Ok(location) => location.to_string(),
        Err(_) => "********".to_owned(),
    }
}

/// Of an URL that can be read.
fn shown(url: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = base.split_once("://").unwrap_or(("postgres", base));
    // As the client takes it apart: all before the first @ is the user's.
    let rest = match rest.split_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:********@{host}"),
            None => rest.to_owned(),
        },
        None => rest.to_owned(),
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs: Vec<&str> = pairs
        .map(|pair| match pair.split('=').next() {
            Some("password") => "password=********",
            _ => pair,
        })
        .collect();
    let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
    format!("{scheme}://{rest}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let urls = [
            ("postgres://u:s3cret@db.example/x", "postgres://u:********@db.example/x"),
            (
                "postgresql://u:s3cret@db:5433/x?sslmode=require",
                "postgresql://u:********@db:5433/x?sslmode=require",
            ),
            ("postgres://u@db/x?password=s3cret&port=5", "postgres://u@db/x?password=********&port=5"),
            (
                "postgres://u:s3%40cret@/x?host=/run/postgresql",
                "postgres://u:********@/x?host=/run/postgresql",
            ),
            ("postgres://u:s3/cret@db/x", "postgres://u:********@db/x"),
            ("sqlite://a/b.db", "sqlite://a/b.db"),
        ];
        for (url, shown) in urls {
            let location: Location = url.parse().expect(url);
            assert_eq!(location.to_string(), shown);
            assert_eq!(masked(url), shown);
            assert!(!format!("{location:?}").contains("cret"), "{location:?}");
        }
        for url in [
            "postgres://u:s3cr?et@db/x",
            "postgres://u:s3cr@et@db/x",
            "postgres://u:s3cret@db/x?et=1",
            "postgres://u:s3cret@db/x?sslmode=s3cret",
            "postgres://u:s3cret@db:cret/x",
            "mysql://u:s3cret@db/x",
        ] {
            let error = url.parse::<Location>().expect_err(url).to_string();
            assert!(!error.contains("cret") && !error.contains("s3cr"), "{url}: {error}");
            assert_eq!(masked(url), "********");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (url, problem) in [
            ("x", "neither"),
            ("sqlite://", "no file"),
            ("postgres://u:p@/x", "host"),
            ("postgres://db/x", "user"),
            ("postgres://u:p@db", "database"),
            ("postgres://u:p@db/x?sslmode=verify-ca", "verify-full"),
            ("postgres://u:p@db/x?sslrootcert=/a.pem", "verify-full"),
            ("postgres://u:p@db/x?sslmode=verify-full&sslrootcert=%4", "percent"),
        ] {
            let error = url.parse::<Location>().expect_err(url).to_string();
            assert!(error.contains(problem), "{url}: {error}");
        }
        let url = "postgres://u:p@db/x?sslmode=verify-full&sslrootcert=%2Fetc/ca.pem";
        let Ok(Location::Postgres(server)) = url.parse::<Location>() else { panic!("it is read") };
        assert_eq!(server.roots.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(server.encryption, Encryption::VerifyFull);
    }
}
