//! API tokens: who may do what. Only a token's SHA-256 is stored; the token itself is shown once, when it is
//! made. It is 32 random bytes, so that a plain hash of it cannot be turned back by guessing.

use serde::{Deserialize, Serialize};
use switchroom_domain::time::Timestamp;
use utoipa::ToSchema;

use super::db::{Connection, OptionalExtension, Row, params};
use super::{DatabaseStore, StorageError};

/// What every token of the store begins with, so that scanners for leaked secrets find one.
pub const PREFIX: &str = "swr_";

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads; of calls, records and events only those of its own extensions.
    Agent,
    /// Reads, sees report paths, and changes devices' names and sites.
    Operator,
    /// Reads; may listen in on calls.
    Supervisor,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Agent, Self::Operator, Self::Supervisor, Self::Admin];

    /// The name in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::Operator => "operator",
            Self::Supervisor => "supervisor",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no role; one of viewer, agent, operator, supervisor, admin"))
    }
}

/// What a token is limited to. An empty list is no limit, except for an agent's extensions: an agent without
/// one sees no call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// Only these devices.
    pub devices: Vec<String>,
    /// Only the calls of these extensions.
    pub extensions: Vec<String>,
}

/// A token as it is stored: all but the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id, for lists and for its removal.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What it is limited to.
    pub scope: Scope,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A token's hash.
#[must_use]
pub fn hash(token: &str) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// Makes a token; gives what is stored, and the token itself, which cannot be read again.
///
/// # Errors
/// When the store cannot be written.
pub fn create(
    connection: &Connection,
    name: &str,
    role: Role,
    scope: Scope,
) -> Result<(Token, String), StorageError> {
    let secret = format!("{PREFIX}{}", crate::random::token(32));
    let token = Token {
        id: format!("tok_{}", hex::encode(crate::random::bytes::<8>())),
        name: name.to_owned(),
        role,
        scope,
        created_at: crate::clock::now(),
    };
    let scope =
        serde_json::to_string(&token.scope).map_err(|error| StorageError::Corrupt(error.to_string()))?;
    connection.execute(
        "INSERT INTO token (id, name, hash, role, scope, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        params![token.id, token.name, hash(&secret).as_slice(), role.as_str(), scope, token.created_at.0],
    )?;
    Ok((token, secret))
}

/// Makes a token through a store that runs; gives the token, to be shown once.
///
/// # Errors
/// When the store cannot be written.
pub async fn create_token(
    store: &DatabaseStore,
    name: &str,
    role: Role,
    scope: Scope,
) -> Result<String, StorageError> {
    let name = name.to_owned();
    store.run(move |connection| create(connection, &name, role, scope).map(|(_, secret)| secret)).await
}

/// The token of this hash.
///
/// # Errors
/// When the store cannot be read.
pub fn find(connection: &Connection, hash: &[u8; 32]) -> Result<Option<Token>, StorageError> {
    connection
        .prepare_cached("SELECT id, name, role, scope, created_at FROM token WHERE hash = ?")?
        .query_row(params![hash.as_slice()], |row| Ok(read(row)))
        .optional()?
        .transpose()
}

/// All tokens, the oldest first.
///
/// # Errors
/// When the store cannot be read.
pub fn all(connection: &Connection) -> Result<Vec<Token>, StorageError> {
    let mut statement = connection
        .prepare_cached("SELECT id, name, role, scope, created_at FROM token ORDER BY created_at, id")?;
    let mut rows = statement.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        tokens.push(read(row)?);
    }
    Ok(tokens)
}

/// Removes a token; says whether there was one.
///
/// # Errors
/// When the store cannot be written.
pub fn remove(connection: &Connection, id: &str) -> Result<bool, StorageError> {
    Ok(connection.execute("DELETE FROM token WHERE id = ?", params![id])? > 0)
}

fn read(row: Row<'_>) -> Result<Token, StorageError> {
    let role: String = row.get(2)?;
    let scope: String = row.get(3)?;
    Ok(Token {
        id: row.get(0)?,
        name: row.get(1)?,
        role: role.parse().map_err(StorageError::Corrupt)?,
        scope: serde_json::from_str(&scope)
            .map_err(|error| StorageError::Corrupt(format!("a token's scope cannot be read: {error}")))?,
        created_at: Timestamp(row.get(4)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = crate::storage::testing::open(folder.path());
        let scope = Scope { devices: vec!["a".into()], extensions: vec!["200".into()] };
        let (token, secret) = create(&connection, "desk", Role::Agent, scope.clone()).expect("it is made");
        assert!(secret.starts_with(PREFIX) && secret.len() > 40, "{secret}");
        let found = find(&connection, &hash(&secret)).expect("it reads").expect("it is there");
        assert_eq!(found, token);
        assert_eq!((found.role, found.scope), (Role::Agent, scope));
        assert!(find(&connection, &hash("swr_other")).expect("it reads").is_none());
        let stored: Vec<u8> =
            connection.query_row("SELECT hash FROM token", [], |row| row.get(0)).expect("a row");
        assert!(!stored.windows(8).any(|part| secret.as_bytes().windows(8).any(|other| other == part)));
        assert_eq!(all(&connection).expect("it reads"), std::slice::from_ref(&token));
        assert!(remove(&connection, &token.id).expect("it goes"));
        assert!(!remove(&connection, &token.id).expect("it has gone"));
        assert!(find(&connection, &hash(&secret)).expect("it reads").is_none());
    }

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
