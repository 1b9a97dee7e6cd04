//! Devices and tokens, as the store has them.

use std::collections::HashMap;

use switchroom_domain::id::DeviceId;

use super::db::{Connection, params};
use super::{StorageError, block};
use crate::devices::DeviceSettings;

/// A device as stored.
#[derive(Debug)]
pub struct StoredDevice {
    /// How it is configured.
    pub settings: DeviceSettings,
    /// Its encrypted secrets.
    pub secrets: Option<Vec<u8>>,
    /// It stood in the configuration file.
    pub from_file: bool,
}

/// All devices that were not removed.
///
/// # Errors
/// When the store cannot be read.
pub fn all(connection: &Connection) -> Result<Vec<StoredDevice>, StorageError> {
    let mut statement = connection.prepare("SELECT settings, secrets, from_file FROM device ORDER BY key")?;
    let mut rows = statement.query([])?;
    let mut devices = Vec::new();
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        let value: serde_json::Value = parse(&text)?;
        if value.get("removed").is_none() {
            let (secrets, from_file) = (row.get(1)?, row.get(2)?);
            devices.push(StoredDevice { settings: parse(&text)?, secrets, from_file });
        }
    }
    Ok(devices)
}

/// How many devices have encrypted secrets.
///
/// # Errors
/// When the store cannot be read.
pub fn with_secrets(connection: &Connection) -> Result<u64, StorageError> {
    let sql = "SELECT count(*) FROM device WHERE secrets IS NOT NULL";
    let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StorageError> {
    serde_json::from_str(text)
        .map_err(|error| StorageError::Corrupt(format!("a stored device cannot be read: {error}")))
}

/// Adds or changes a device. One that is added again after it was removed begins anew: what was logged of it before
/// is kept, and is not run again.
///
/// # Errors
/// When the store cannot be written.
pub fn put(
    connection: &Connection,
    settings: &DeviceSettings,
    secrets: &[u8],
    from_file: bool,
) -> Result<(), StorageError> {
    let text = serde_json::to_string(settings).map_err(|error| StorageError::Corrupt(error.to_string()))?;
    let (end, _) = block::end(connection)?;
    connection.execute(
        "INSERT INTO device (id, settings, secrets, from_file, log_id, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (id) DO UPDATE SET settings = excluded.settings, secrets = excluded.secrets, \
             from_file = excluded.from_file, \
             log_id = CASE WHEN device.secrets IS NULL THEN excluded.log_id ELSE device.log_id END",
        params![settings.id.as_str(), text, secrets, from_file, end, crate::clock::now().0],
    )?;
    Ok(())
}

/// Removes a device: its configuration and its snapshot go, what was recorded of it stays.
///
/// # Errors
/// When the store cannot be written.
pub fn remove(connection: &mut Connection, id: &DeviceId) -> Result<(), StorageError> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "DELETE FROM snapshot WHERE device = (SELECT key FROM device WHERE id = ?)",
        params![id.as_str()],
    )?;
    transaction.execute(
        "DELETE FROM proof WHERE device = (SELECT key FROM device WHERE id = ?)",
        params![id.as_str()],
    )?;
    transaction.execute("DELETE FROM desired WHERE device = ?", params![id.as_str()])?;
    transaction.execute(
        "UPDATE device SET settings = '{\"removed\":true}', secrets = NULL WHERE id = ?",
        params![id.as_str()],
    )?;
    transaction.commit()?;
    Ok(())
}

/// What the devices' proofs remembered, as it was written down last.
///
/// # Errors
/// When the store cannot be read.
pub fn proofs(connection: &Connection) -> Result<HashMap<DeviceId, String>, StorageError> {
    let mut statement =
        connection.prepare("SELECT d.id, p.body FROM proof p JOIN device d ON d.key = p.device")?;
    let mut rows = statement.query([])?;
    let mut found = HashMap::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let id = DeviceId::new(id).map_err(|error| StorageError::Corrupt(error.to_string()))?;
        found.insert(id, row.get(1)?);
    }
    Ok(found)
}

/// Writes down what the proofs of these devices remember.
///
/// # Errors
/// When the store cannot be written.
pub fn put_proofs(connection: &mut Connection, proofs: &[(DeviceId, String)]) -> Result<(), StorageError> {
    let transaction = connection.transaction()?;
    for (device, body) in proofs {
        transaction
            .prepare_cached(
                "INSERT INTO proof (device, body) SELECT key, ?2 FROM device WHERE id = ?1 \
                 ON CONFLICT (device) DO UPDATE SET body = excluded.body",
            )?
            .execute(params![device.as_str(), body])?;
    }
    transaction.commit()?;
    Ok(())
}
