//! Commands: from whoever posts one to the device's supervisor, and what became of it.
//!
//! A command is refused early if it cannot work; then it is in its device's queue and in the command log, and settles
//! exactly once (`switchroom_actors::command`). The same `Idempotency-Key` of the same token is the same command.

pub mod lease;
pub mod log;
pub mod policy;
pub mod restore;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use switchroom_actors::command::messages::{Await, CommandRecord, IdempotencyKey, Recover, Submit};
use switchroom_actors::command::state::Refusal;
use switchroom_actors::device::messages::GetCalls;
use switchroom_domain::command::{BadCommand, Command};
use switchroom_domain::id::{CommandId, DeviceId};
use switchroom_domain::time::Millis;
use switchroom_domain::view::{CommandState, CommandView, LegKind, LegView};
use switchroom_protocol::om::parameters;
use tokio::sync::{oneshot, watch};

use self::lease::Wire;
pub use self::log::{Log, MASK, News, shown};
use self::policy::Denied;
use crate::app::Services;
use crate::devices::Device;
use crate::storage::{StorageError, commands as command_store};

/// How long a cell may take to say which call a command is about.
const LEASE_PATIENCE: Duration = Duration::from_millis(200);

/// Who posts a command.
#[derive(Debug, Clone)]
pub struct By {
    /// The hash of the token.
    pub token: [u8; 32],
    /// `Idempotency-Key`, and a hash of the request that it came with.
    pub key: Option<(String, [u8; 32])>,
}

/// A command that was taken.
#[derive(Debug, Clone)]
pub struct Posted {
    /// It, as it is now.
    pub view: CommandView,
    /// It had been posted before under the same key.
    pub again: bool,
}

/// Why a command was not taken. Nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It cannot be.
    #[error(transparent)]
    Bad(#[from] BadCommand),
    /// It may not be.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Another application has the call.
    #[error(transparent)]
    Held(#[from] lease::Held),
    /// This device cannot do it.
    #[error("{0}")]
    Incapable(String),
    /// Not now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The key was used for another request.
    #[error("this Idempotency-Key was used for another request; take a new one for a new request")]
    KeyUsed,
    /// A request with this key has been on its way into the log for too long.
    #[error("a request with this Idempotency-Key is being taken right now; ask again in a moment")]
    KeyInUse,
    /// The store cannot be read, or an actor is gone.
    #[error("{0}")]
    Internal(String),
}

impl From<StorageError> for NotTaken {
    fn from(error: StorageError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// How long a question waits for a store that has stalled.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Keys whose command is on its way into the log: the hash of the request, and what closes when the key is free.
pub type KeysInUse = Mutex<HashMap<([u8; 32], String), ([u8; 32], watch::Receiver<()>)>>;

/// Frees a key when its command is in the log, or was not taken.
struct KeyHeld {
    keys: Arc<KeysInUse>,
    key: ([u8; 32], String),
    /// Dropped after the key has left the map, which tells whoever waits for it.
    _free: watch::Sender<()>,
}

impl Drop for KeyHeld {
    fn drop(&mut self) {
        lock(&self.keys).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Services {
    /// Takes a command for a device; with `wait`, waits so long for its end.
    ///
    /// # Errors
    /// Says why it was not taken; nothing was done then.
    pub async fn post_command(
        &self,
        device: &Arc<Device>,
        command: Command,
        by: &By,
        wait: Option<Duration>,
    ) -> Result<Posted, NotTaken> {
        self.pass_command(device, command, by, wait, None).await
    }

    /// The same, and gives the device's answer as it came.
    ///
    /// # Errors
    /// Says why it was not taken; nothing was done then.
    pub async fn pass_command(
        &self,
        device: &Arc<Device>,
        command: Command,
        by: &By,
        wait: Option<Duration>,
        answer: Option<oneshot::Sender<bytes::Bytes>>,
    ) -> Result<Posted, NotTaken> {
        command.check()?;
        check_parameter(&command)?;
        let held = match &by.key {
            Some((key, request)) => match self.hold_key(by.token, key, *request).await? {
                Held::Free(held) => Some(held),
                Held::Known(view) => {
                    let view = self.when_settled(device, *view, wait).await;
                    return Ok(Posted { view, again: true });
                }
            },
            None => None,
        };
        if let Some(reason) = self.cannot(device, &command) {
            return Err(NotTaken::Incapable(reason));
        }
        let mut taken = self.lease(device, &command, by).await?;
        command.forwards().try_for_each(|number| self.policy.forward(number))?;
        self.policy.dial(by.token, command.dials().map(|number| number.as_str()), Instant::now())?;
        let now = crate::clock::now();
        let id = CommandId(uuid::Uuid::now_v7());
        let view = CommandView {
            id,
            device: device.settings.id.clone(),
            command: command.name().into(),
            request: command,
            state: CommandState::Accepted,
            reply: None,
            error: None,
            call: None,
            created_at: now,
            sent_at: None,
            settled_at: None,
        };
        let wait_seconds = self.config.commands.wait_seconds;
        let record = CommandRecord {
            view: view.clone(),
            deadline: now + Millis::from_secs(wait_seconds.into()),
            token: Some(by.token),
            key: by.key.clone().map(|(key, request)| IdempotencyKey { token: by.token, key, request }),
        };
        let (settled, end) = match wait {
            Some(_) => {
                let (settled, end) = oneshot::channel();
                (Some(settled), Some(end))
            }
            None => (None, None),
        };
        let supervisor = self.command_supervisor(device).await?;
        let emergency = is_emergency(&self.policy, &record.view.request);
        let submit = Submit { record: Box::new(record), emergency, settled, answer };
        supervisor.send(submit).await.map_err(|_| gone())??;
        if let Some(held) = held {
            // Whatever the disk does: until the command is on it, nobody else may be given this key.
            let written = self.store.write(|_| Ok(()));
            actix_rt::spawn(async move {
                if written.await.is_err() {
                    tracing::debug!("the store stops with a command on its way to it");
                }
                drop(held);
            });
        }
        let mut keep = || taken.iter_mut().for_each(lease::Taken::keep);
        if let (Some(wait), Some(end)) = (wait, end)
            && let Ok(Ok(view)) = tokio::time::timeout(wait, end).await
        {
            if view.state != CommandState::Failed {
                keep();
            }
            return Ok(Posted { view: *view, again: false });
        }
        keep();
        let view = self.command(id).await?.unwrap_or(view);
        Ok(Posted { view, again: false })
    }

    /// Why this device cannot do this, if it is known that it cannot.
    fn cannot(&self, device: &Device, command: &Command) -> Option<String> {
        use switchroom_protocol::{Dialect, om::capabilities};
        if device.settings.dialect != Dialect::Om {
            let dialect = device.settings.dialect.as_str();
            return Some(format!(
                "{} is a {dialect} device, and those take no commands here",
                device.settings.id
            ));
        }
        let info = lock(&device.info);
        let revision = info.firmware.as_deref().and_then(capabilities::Revision::parse);
        capabilities::refusal(command, revision.as_ref(), info.model.as_deref())
            .map(|refusal| refusal.to_string())
    }

    /// Takes the call that a command controls for who posted it. Applications only come in by the OM-compatible
    /// endpoint, so without it there is nothing to keep apart.
    async fn lease(
        &self,
        device: &Arc<Device>,
        command: &Command,
        by: &By,
    ) -> Result<Vec<lease::Taken<'_>>, NotTaken> {
        let on = self.config.om_endpoint.listen.is_some();
        let wires = if on { lease::controls(command) } else { Vec::new() };
        if wires.is_empty() {
            return Ok(Vec::new());
        }
        let calls = match device.handle.addr() {
            // A cell that waits for the disk keeps no command waiting.
            Some(cell) => match tokio::time::timeout(LEASE_PATIENCE, cell.send(GetCalls(None))).await {
                Ok(calls) => calls.unwrap_or_default(),
                Err(_) => Vec::new(),
            },
            None => Vec::new(),
        };
        let mut taken = Vec::new();
        for wire in wires {
            let (kind, id) = match &wire {
                Wire::Visitor(id) => (LegKind::Visitor, id),
                Wire::Outer(id) => (LegKind::Outer, id),
            };
            let has = |leg: &LegView| leg.kind == kind && leg.wire_id.as_ref() == Some(id);
            let call = calls.iter().find(|call| call.legs.iter().any(has)).map(|call| call.id);
            let id = &device.settings.id;
            if lock(&self.leases).take(id, wire.clone(), call, by.token, Instant::now())? {
                taken.push(lease::Taken::new(&self.leases, id.clone(), wire, by.token));
            }
        }
        Ok(taken)
    }

    /// The command of this id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn command(&self, id: CommandId) -> Result<Option<CommandView>, StorageError> {
        let read = || self.reader.query(move |connection| command_store::get(connection, id));
        if let Some(view) = read().await? {
            return Ok(Some(view));
        }
        // The answer to a question is given before it is on disk: whatever is on its way there comes first.
        let written = self.store.write(|_| Ok(()));
        if tokio::time::timeout(STORE_PATIENCE, written).await.is_err() {
            tracing::warn!("the store takes its time: a command may not be found yet");
        }
        read().await
    }

    /// The command as it is once it has settled, or after that time; without a time, as it is now.
    pub async fn when_settled(
        &self,
        device: &Arc<Device>,
        view: CommandView,
        wait: Option<Duration>,
    ) -> CommandView {
        if view.state.is_settled() {
            return view;
        }
        let Some(supervisor) = device.handle.commands() else { return view };
        let (settled, end) = oneshot::channel();
        let settled = wait.map(|_| settled);
        match supervisor.send(Await { id: view.id, settled }).await {
            Ok(Some(now)) if now.state.is_settled() => *now,
            Ok(Some(now)) => match tokio::time::timeout(wait.unwrap_or_default(), end).await {
                Ok(Ok(view)) => *view,
                _ => *now,
            },
            // It has settled in between.
            _ => self.command(view.id).await.ok().flatten().unwrap_or(view),
        }
    }

    /// The device's command supervisor, started if it is not there; it then takes up what had not settled.
    async fn command_supervisor(
        &self,
        device: &Arc<Device>,
    ) -> Result<actix::Addr<switchroom_actors::command::CommandSupervisor>, NotTaken> {
        if let Some(supervisor) = device.handle.commands() {
            return Ok(supervisor);
        }
        // One at a time, or a device might get two.
        let _starting = self.starting_commands.lock().await;
        if let Some(supervisor) = device.handle.commands() {
            return Ok(supervisor);
        }
        let supervisor = self.start_commands_of(&device.handle).await.ok_or_else(gone)?;
        let id = device.settings.id.clone();
        // What has just settled is on its way to the disk.
        self.store.write(|_| Ok(())).await?;
        for mut record in self.reader.query(command_store::open).await? {
            if record.view.device == id
                && let Err(error) = log::unseal(&self.secret_key, &mut record.view)
            {
                tracing::error!(device.id = %id, %error, "an open command cannot be taken up");
                continue;
            }
            if record.view.device != id {
                continue;
            }
            let emergency = is_emergency(&self.policy, &record.view.request);
            let recover = Recover { record: Box::new(record), emergency };
            supervisor.send(recover).await.map_err(|_| gone())?;
        }
        device.handle.set_commands(Some(supervisor.clone()));
        Ok(supervisor)
    }

    /// Has a device asked what its reports may fail to tell, and logged in to if it reports to nobody else, from now on.
    pub async fn attend_to(&self, device: &Arc<Device>) {
        self.stay_logged_in(device);
        let is_asked = self.config.commands.reconcile
            && device.settings.dialect == switchroom_protocol::Dialect::Om
            && device.settings.address.is_some();
        if is_asked && let Err(error) = self.command_supervisor(device).await {
            tracing::error!(device.id = %device.settings.id, %error, "the device is not asked what its reports may fail to tell");
        }
    }

    /// Starts a device's command supervisor again; it takes up what had not settled.
    pub async fn attend_again(&self, device: &Arc<Device>) {
        if let Err(error) = self.command_supervisor(device).await {
            tracing::error!(device.id = %device.settings.id, %error, "its command supervisor cannot be started again");
        }
    }

    /// Takes up what had not settled when the service stopped.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn recover_commands(&self) -> Result<(), StorageError> {
        let open = self.reader.query(command_store::open).await?;
        let mut devices: Vec<DeviceId> = open.into_iter().map(|record| record.view.device).collect();
        devices.sort();
        devices.dedup();
        for device in devices.iter().filter_map(|id| self.registry.get(id)) {
            if let Err(error) = self.command_supervisor(&device).await {
                tracing::error!(device.id = %device.settings.id, %error, "its open commands cannot be taken up");
            }
        }
        Ok(())
    }

    /// The command that was posted under this key, if one was; with `wait`, as it is at its end.
    ///
    /// # Errors
    /// When the key was used for another request.
    pub async fn known_by_key(
        &self,
        token: [u8; 32],
        key: &str,
        request: [u8; 32],
        wait: Option<Duration>,
    ) -> Result<Option<CommandView>, NotTaken> {
        match self.hold_key(token, key, request).await? {
            Held::Free(_) => Ok(None),
            Held::Known(view) => match self.registry.get(&view.device) {
                Some(device) => Ok(Some(self.when_settled(&device, *view, wait).await)),
                None => Ok(Some(*view)),
            },
        }
    }

    /// How many requests with a key are on their way into the log.
    #[must_use]
    pub fn keys_under_way(&self) -> usize {
        lock(&self.keys_in_use).len()
    }

    async fn hold_key(&self, token: [u8; 32], key: &str, request: [u8; 32]) -> Result<Held, NotTaken> {
        let place = (token, key.to_owned());
        let patience = tokio::time::Instant::now() + STORE_PATIENCE;
        let held = loop {
            let mut taken = {
                let mut keys = lock(&self.keys_in_use);
                match keys.get(&place) {
                    Some((known, _)) if *known != request => return Err(NotTaken::KeyUsed),
                    Some((_, taken)) => taken.clone(),
                    None => {
                        let (free, taken) = watch::channel(());
                        keys.insert(place.clone(), (request, taken));
                        break KeyHeld { keys: Arc::clone(&self.keys_in_use), key: place, _free: free };
                    }
                }
            };
            // Nothing is ever sent on it: it ends when the other request is in the log, or was not taken.
            if tokio::time::timeout_at(patience, taken.changed()).await.is_err() {
                return Err(NotTaken::KeyInUse);
            }
        };
        let wanted = IdempotencyKey { token, key: key.to_owned(), request };
        let now = crate::clock::now();
        match self.reader.query(move |connection| command_store::by_key(connection, &wanted, now)).await? {
            Some((_, known)) if known != request => Err(NotTaken::KeyUsed),
            Some((view, _)) => Ok(Held::Known(Box::new(view))),
            None => Ok(Held::Free(held)),
        }
    }
}

/// Is it a call to emergency numbers, and to nobody else?
fn is_emergency(policy: &policy::Policy, command: &Command) -> bool {
    let mut dials = command.dials().peekable();
    dials.peek().is_some() && dials.all(|number| policy.is_emergency(number.as_str()))
}

/// Is it a parameter that there is, with a value that it can have?
fn check_parameter(command: &Command) -> Result<(), BadCommand> {
    let (name, line, value) = match command {
        Command::ReadParameter { name, line_id } => (name, line_id, None),
        Command::WriteParameter { name, value, line_id } => (name, line_id, Some(value)),
        _ => return Ok(()),
    };
    let parameter = parameters::find(name).ok_or_else(|| BadCommand {
        field: "name",
        problem: format!("{name:?} is no system parameter; GET …/parameters lists them"),
    })?;
    match value {
        None => parameters::read_path(parameter, line.as_deref(), "")?,
        Some(value) => parameters::write_path(parameter, line.as_deref(), value, "")?,
    };
    Ok(())
}

enum Held {
    Free(KeyHeld),
    Known(Box<CommandView>),
}

fn gone() -> NotTaken {
    NotTaken::Internal("the device's command supervisor is gone; try again".into())
}
