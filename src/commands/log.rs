//! The command log, and what follows when a command has settled.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use switchroom_actors::command::messages::{CallFound, CommandRecord};
use switchroom_actors::ports::{CommandLog, CommandNews, StoreError};
use switchroom_domain::Text;
use switchroom_domain::command::Command;
use switchroom_domain::id::{CallId, CommandId, DeviceId};
use switchroom_domain::reply::Reply;
use switchroom_domain::view::{CommandState, CommandView};
use switchroom_protocol::om::parameters;
use tokio::sync::mpsc;

use crate::devices::Registry;
use crate::metrics::Metrics;
use crate::storage::secrets::SecretKey;
use crate::storage::{DatabaseStore, StorageError, commands as command_store, desired};

/// What stands for a password.
pub const MASK: &str = "********";

/// The command as it may be seen and kept: a password that it sets or reads is not in it.
#[must_use]
pub fn shown(mut view: CommandView) -> CommandView {
    let (Command::ReadParameter { name, .. } | Command::WriteParameter { name, .. }) = &view.request else {
        return view;
    };
    if !parameters::find(name).is_some_and(parameters::Parameter::is_secret) {
        return view;
    }
    if let Command::WriteParameter { value, .. } = &mut view.request {
        *value = Text::const_new(MASK);
    }
    if let Some(Reply::Parameter { value: Some(value), .. }) = &mut view.reply
        && !value.is_empty()
    {
        *value = Text::const_new(MASK);
    }
    view
}

/// What a sealed value begins with: no parameter's value does.
const SEALED: &str = "sealed:";

/// The password that a command sets.
fn password(view: &mut CommandView) -> Option<&mut Text> {
    match &mut view.request {
        Command::WriteParameter { name, value, .. } => {
            parameters::find(name).is_some_and(parameters::Parameter::is_secret).then_some(value)
        }
        _ => None,
    }
}

/// Encrypts a password that a command is to set, as the device's own passwords are.
fn seal(key: &SecretKey, view: &mut CommandView) -> Result<(), StorageError> {
    let device = view.device.clone();
    if let Some(value) = password(view) {
        let sealed = key.seal(device.as_str(), value.as_bytes())?;
        *value = format!("{SEALED}{}", hex::encode(sealed)).into();
    }
    Ok(())
}

/// Decrypts it.
///
/// # Errors
/// When it was encrypted with another key.
pub(super) fn unseal(key: &SecretKey, view: &mut CommandView) -> Result<(), StorageError> {
    let device = view.device.clone();
    if let Some(value) = password(view)
        && let Some(sealed) = value.strip_prefix(SEALED)
    {
        let corrupt = || StorageError::Corrupt("a command's password cannot be read".into());
        let plain = key.open_sealed(device.as_str(), &hex::decode(sealed).map_err(|_| corrupt())?)?;
        *value = String::from_utf8(plain).map_err(|_| corrupt())?.into();
    }
    Ok(())
}

/// The command log in the store.
pub struct Log {
    /// The store.
    pub store: Arc<DatabaseStore>,
    /// What passwords are kept under.
    pub secret_key: Arc<SecretKey>,
    /// Where settled commands are counted.
    pub metrics: Arc<Metrics>,
}

impl CommandLog for Log {
    fn put(&self, record: &CommandRecord) -> BoxFuture<'static, Result<(), StoreError>> {
        let mut record = record.clone();
        // Until it is done it must be known what is to be set.
        let sealed = if record.view.state.is_settled() {
            record.view = shown(record.view);
            Ok(())
        } else {
            seal(&self.secret_key, &mut record.view)
        };
        if let Err(error) = sealed {
            return Box::pin(async move { Err(StoreError(error.to_string())) });
        }
        let written = self.store.write(move |transaction| command_store::put(transaction, &record));
        Box::pin(async move { written.await.map_err(|error| StoreError(error.to_string())) })
    }

    fn settled(&self, command: &CommandView, waited: Duration, took: Duration) {
        if command.state == CommandState::Succeeded && desired::is_remembered(&command.request) {
            let (view, now) = (command.clone(), crate::clock::now());
            let written = self.store.write(move |transaction| {
                desired::remember(transaction, &view.device, &view.request, view.reply.as_ref(), now)
            });
            actix_rt::spawn(async move {
                if let Err(error) = written.await {
                    tracing::error!(%error, "what was assigned could not be remembered");
                }
            });
        }
        self.metrics.command_settled(&command.command, command.state.as_str(), waited, took);
    }
}

/// Tells a device's command supervisor which call a command made, and who gives settings back that a device has started.
pub struct News {
    /// The devices.
    pub registry: Arc<Registry>,
    /// Devices that have started.
    pub booted: mpsc::UnboundedSender<DeviceId>,
}

impl CommandNews for News {
    fn booted(&self, device: &DeviceId) {
        if self.booted.send(device.clone()).is_err() {
            tracing::debug!(device.id = %device, "it started as the service stops");
        }
    }

    fn call_found(&self, device: &DeviceId, command: CommandId, call: CallId) {
        let supervisor = self.registry.get(device).and_then(|device| device.handle.commands());
        if let Some(supervisor) = supervisor
            && supervisor.try_send(CallFound { command, call }).is_err()
        {
            tracing::debug!(device.id = %device, "a command's call was not told: its supervisor is busy");
        }
    }
}
