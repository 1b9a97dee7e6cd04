//! Builds the parts in order, holds what runs, shuts it down in order.
//!
//! Order of start: store, metrics, registry, arbiters (each with recorder, supervisor, ingress), cells, the
//! report listeners, the API. Order of stop: listeners stop accepting, what was accepted is applied, cells are
//! written down, the store commits and stops, the API ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::Addr;
use actix_rt::{Arbiter, ArbiterHandle};
use anyhow::Context;
use switchroom_actors::census::Census;
use switchroom_actors::command::CommandSupervisor;
use switchroom_actors::command::messages::Dismiss as DismissCommands;
use switchroom_actors::device::{DeviceSettings as CellSettings, messages::WriteDown};
use switchroom_actors::directory::DeviceHandle;
use switchroom_actors::entity::Doubt;
use switchroom_actors::ingress::{Gate, Ingress, Limits as IngressLimits};
use switchroom_actors::ports::{
    CommandLog, CommandPorts, DeviceLink, INTERNAL, Interpreter, LoadedCell, Observer, Ports, RawReport,
    Store,
};
use switchroom_actors::reconcile::Reconciler;
use switchroom_actors::recorder::Recorder;
use switchroom_actors::supervision::{Dismiss, Renew, Supervise, Supervisor};
use switchroom_domain::fact::Fact;
use switchroom_domain::id::DeviceId;
use switchroom_domain::time::Millis;
use tokio::sync::{oneshot, watch};

use crate::commands;
use crate::commands::policy::Policy;
use crate::config::Config;
use crate::devices::{Device, DeviceSecrets, DeviceSettings, Registry, UnadoptedSenders};
use crate::forwarding::{self, Forwarding};
use crate::ingress::proof::ProofState;
use crate::ingress::{self, Front, Listeners};
use crate::keeping::{self, Keeping};
use crate::link::{Link, yeastar};
use crate::metrics::Metrics;
use crate::om_endpoint::{self, Endpoint};
use crate::outward::Outward;
use crate::recordings::Recordings;
use crate::storage::secrets::SecretKey;
use crate::storage::{DatabaseStore, Location, Reader, StorageError, devices as device_store, reader};
use crate::targets::Targets;
use crate::webhooks::Webhooks;

/// What every part of the service shares.
pub struct Services {
    /// The configuration it was started with.
    pub config: Config,
    /// The store.
    pub store: Arc<DatabaseStore>,
    /// For queries.
    pub reader: Reader,
    /// The devices.
    pub registry: Arc<Registry>,
    /// Senders that nobody adopted.
    pub unadopted: Arc<UnadoptedSenders>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Live counts.
    pub census: Arc<Census>,
    /// The key for devices' passwords.
    pub secret_key: Arc<SecretKey>,
    /// True once the service is stopping.
    pub stopping: watch::Sender<bool>,
    /// How the report listeners do.
    pub listeners: Arc<Listeners>,
    /// What may be dialled.
    pub policy: Policy,
    /// Recordings of calls.
    pub recordings: Recordings,
    /// The way out to the devices.
    pub link: Arc<dyn DeviceLink>,
    /// The way out to URLs that users set.
    pub outward: Arc<Outward>,
    /// Where events are delivered to.
    pub webhooks: Webhooks,
    /// Where the devices' own reports are passed on to.
    pub targets: Targets,
    /// Where call records are forwarded to, or kept.
    pub forwarding: Forwarding,
    /// What forgets what is too old, and what is to be erased.
    pub(crate) keeping: Keeping,
    pub(crate) keys_in_use: Arc<commands::KeysInUse>,
    pub(crate) leases: std::sync::Mutex<commands::lease::Leases>,
    /// Who is logged in to the Yeastars.
    yeastars: yeastar::Keepers,
    pub(crate) starting_commands: tokio::sync::Mutex<()>,
    command_log: Arc<dyn CommandLog>,
    interpreter: Arc<dyn Interpreter>,
    arbiters: Vec<Room>,
    cell_settings: CellSettings,
}

/// How often it is written down what the devices' proofs remember. After the loss of the process only what was signed
/// within this time could be sent again by somebody else.
const KEEP_PROOFS: Duration = Duration::from_secs(2);

/// How often it is looked whether a command supervisor has died.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// One arbiter and the actors that every arbiter has.
struct Room {
    handle: ArbiterHandle,
    arbiter: std::sync::Mutex<Option<Arbiter>>,
    gate: Gate,
    supervisor: Addr<Supervisor>,
}

/// A service that runs.
pub struct App {
    /// What it shares.
    pub services: Arc<Services>,
    /// Where the API listens; the port is known even if 0 was asked for.
    pub api_address: SocketAddr,
    /// Where devices report to.
    pub reports_address: SocketAddr,
    /// Where OM applications send their commands, if they may.
    pub om_address: Option<SocketAddr>,
    /// Where the forwarding of call records is set up, if it is on.
    pub forward_address: Option<SocketAddr>,
    om_endpoint: Option<Arc<Endpoint>>,
    forward: Option<forwarding::server::Server>,
    api: crate::api::Server,
}

/// Reads logged reports again, as the ingress read them.
struct Reread(Arc<Registry>);

impl Interpreter for Reread {
    fn facts(&self, device: &DeviceId, report: &RawReport) -> Vec<Fact> {
        if report.dialect == INTERNAL {
            return serde_json::from_slice(&report.body).unwrap_or_else(|error| {
                tracing::error!(device.id = %device, %error, "a logged note can no longer be read");
                Vec::new()
            });
        }
        let known = self.0.get(device);
        let time_zone = known.as_ref().map_or(jiff::tz::TimeZone::UTC, |device| device.time_zone.clone());
        let dialect = [
            switchroom_protocol::Dialect::Om,
            switchroom_protocol::Dialect::Yeastar,
            switchroom_protocol::Dialect::Zycoo,
        ]
        .into_iter()
        .find(|dialect| dialect.as_str() == report.dialect);
        let Some(dialect) = dialect else { return Vec::new() };
        let context = switchroom_protocol::DecodeContext { time_zone: &time_zone };
        match switchroom_protocol::decode(dialect, report.content_type.as_deref(), &report.body, &context) {
            Ok(decoded) => decoded.into_iter().flat_map(|decoded| decoded.statement.facts).collect(),
            Err(error) => {
                tracing::error!(device.id = %device, %error, "a logged report can no longer be read");
                Vec::new()
            }
        }
    }
}

impl App {
    /// Starts the service. Needs an actix system around it.
    ///
    /// # Errors
    /// Says which part could not start, and why.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let location: Location = config.store.url.parse().context("store.url")?;
        let (path, shown) = (location.beside(), location.to_string());
        let metrics = Metrics::new(config.metrics.per_device)?;
        let store = {
            let (location, metrics) = (location.clone(), Arc::clone(&metrics));
            // It may connect to a server, which blocks.
            actix_web::web::block(move || DatabaseStore::start(&location, metrics))
                .await?
                .with_context(|| format!("the store {shown} cannot be opened"))?
        };
        let key_file = config.store.key_file.clone().unwrap_or_else(|| path.with_extension("key"));
        let sealed = store.run(|connection| device_store::with_secrets(connection)).await?;
        let hooks = store.run(|connection| crate::webhooks::TABLES.count(connection)).await?;
        let targets = store.run(|connection| crate::targets::TABLES.count(connection)).await?;
        let forwardings = store.run(|connection| forwarding::TABLES.count(connection)).await?;
        anyhow::ensure!(
            (sealed + hooks + targets + forwardings == 0) || key_file.exists(),
            "{} is missing, and the secrets of {sealed} devices, {hooks} webhooks and {targets} targets were encrypted \
             with it; restore it from its backup",
            key_file.display()
        );
        let secret_key = Arc::new(SecretKey::open(&key_file)?);
        let registry = Arc::new(Registry::default());
        let census = Arc::new(Census::default());
        // Bounded by how often devices start.
        let booted = tokio::sync::mpsc::unbounded_channel();
        let ports = Ports {
            clock: Arc::new(crate::clock::SystemClock),
            store: Arc::<DatabaseStore>::clone(&store),
            interpreter: Arc::new(Reread(Arc::clone(&registry))),
            observer: Arc::<Metrics>::clone(&metrics),
            census: Arc::clone(&census),
            news: Arc::new(commands::News { registry: Arc::clone(&registry), booted: booted.0 }),
        };
        let link: Arc<dyn DeviceLink> = Arc::new(Link::new(
            Arc::clone(&registry),
            Duration::from_secs(config.commands.connect_seconds.into()),
            Duration::from_secs(config.commands.timeout_seconds.into()),
        ));
        let command_log: Arc<dyn CommandLog> = Arc::new(commands::Log {
            store: Arc::clone(&store),
            secret_key: Arc::clone(&secret_key),
            metrics: Arc::clone(&metrics),
        });
        let arbiters = rooms(&config, &ports).await?;
        let cell_settings = CellSettings {
            doubt: Doubt {
                overtake: Millis(config.model.overtake_ms.into()),
                release: Millis(config.model.release_ms.into()),
            },
            silence: Millis::from_secs(config.model.silence_seconds.into()),
        };
        let stopping = watch::Sender::new(false);
        let outward = Arc::new(Outward::new(&config.outward));
        let webhooks = Webhooks::new(
            Arc::clone(&store),
            store.reader()?,
            Arc::clone(&outward),
            Arc::clone(&secret_key),
            Arc::clone(&metrics),
            &config.webhooks,
        );
        let targets = Targets::new(
            Arc::clone(&store),
            store.reader()?,
            Arc::clone(&outward),
            Arc::clone(&secret_key),
            Arc::clone(&metrics),
            &config.targets,
        );
        let forwarding = Forwarding::new(
            Arc::clone(&store),
            store.reader()?,
            Arc::clone(&outward),
            Arc::clone(&secret_key),
            Arc::clone(&metrics),
            &config.cdr_forward,
        );
        let services = Arc::new(Services {
            policy: Policy::new(config.commands.clone()),
            recordings: Recordings::new(&config, &path)?,
            keeping: Keeping::default(),
            keys_in_use: Arc::default(),
            leases: std::sync::Mutex::default(),
            yeastars: yeastar::Keepers::new(
                &config.commands,
                // They end when the service stops.
                stopping.subscribe(),
            ),
            starting_commands: tokio::sync::Mutex::default(),
            link,
            outward,
            webhooks,
            targets,
            forwarding,
            command_log,
            interpreter: ports.interpreter,
            reader: store.reader()?,
            store,
            registry,
            unadopted: Arc::default(),
            listeners: Arc::default(),
            metrics,
            census,
            secret_key,
            stopping,
            arbiters,
            cell_settings,
            config,
        });
        services.load_devices().await?;
        let om_endpoint = Endpoint::new(&services);
        let reports_address = services.listen_for_reports(om_endpoint.as_ref())?;
        actix_rt::spawn(keep_proofs(Arc::clone(&services)));
        actix_rt::spawn(keep_attending(Arc::clone(&services)));
        actix_rt::spawn(commands::restore::restore_all(Arc::clone(&services), booted.1));
        services.recover_commands().await?;
        for device in services.registry.all() {
            services.attend_to(&device).await;
        }
        Recordings::start(&services)?;
        let mut om_address = services.config.om_endpoint.listen;
        if let (Some(endpoint), Some(address)) = (&om_endpoint, &mut om_address) {
            *address = om_endpoint::server::Server::start(Arc::clone(endpoint), *address)
                .with_context(|| format!("om_endpoint.listen = \"{address}\" cannot be opened"))?;
        }
        services.webhooks.start().await?;
        services.targets.start().await?;
        services.forwarding.start().await?;
        let forward = services.config.cdr_forward.listen;
        let forward = forward
            .map(|address| forwarding::server::Server::start(Arc::clone(&services), address))
            .transpose()?;
        keeping::start(&services);
        let api = crate::api::Server::start(Arc::clone(&services)).await?;
        let forward_address = forward.as_ref().map(|server| server.address);
        Ok(Self {
            api_address: api.address,
            services,
            reports_address,
            om_address,
            forward_address,
            om_endpoint,
            forward,
            api,
        })
    }

    /// Stops: nothing more is accepted, what was accepted is finished and written down.
    pub async fn stop(self) {
        self.services.stopping.send_replace(true);
        self.services.store.hurry();
        // Connections end between messages; a message under way has its own time limit.
        let deadline = Instant::now() + Duration::from_secs(5);
        let listen = || self.services.listeners.running.load(Relaxed) > 0;
        let talk = || self.services.metrics.ingress_connections.get() > 0;
        let command = || self.om_endpoint.as_ref().is_some_and(|endpoint| endpoint.busy() > 0);
        while (listen() || talk() || command()) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let services = Arc::clone(&self.services);
        if actix_web::web::block(move || services.recordings.join()).await.is_err() {
            tracing::error!("the recordings did not end");
        }
        self.services.write_down().await;
        self.services.save_proofs().await;
        self.services.webhooks.stop().await;
        self.services.targets.stop().await;
        if let Some(forward) = self.forward {
            forward.stop().await;
        }
        self.services.forwarding.stop().await;
        self.api.stop().await;
        let store = Arc::clone(&self.services.store);
        let stopped = actix_web::web::block(move || store.stop()).await;
        if stopped.is_err() {
            tracing::error!("the store did not stop");
        }
        for room in &self.services.arbiters {
            room.handle.stop();
            let arbiter = room.arbiter.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            if let Some(arbiter) = arbiter {
                // A thread that panicked has said so already.
                let _ = actix_web::web::block(move || arbiter.join()).await;
            }
        }
    }
}

/// Writes down what the devices' proofs remember, while the service runs.
async fn keep_proofs(services: Arc<Services>) {
    let mut stopping = services.stopping.subscribe();
    // An error means that the service has gone.
    while tokio::time::timeout(KEEP_PROOFS, stopping.wait_for(|stopping| *stopping)).await.is_err() {
        services.save_proofs().await;
    }
}

/// Starts a device's command supervisor again if it has died.
async fn keep_attending(services: Arc<Services>) {
    let mut stopping = services.stopping.subscribe();
    // An error means that the service has gone.
    while tokio::time::timeout(LOOK_AFTER, stopping.wait_for(|stopping| *stopping)).await.is_err() {
        for device in services.registry.all() {
            if device.handle.commands_died() {
                tracing::error!(device.id = %device.settings.id, "its command supervisor has died, and is started again");
                services.metrics.restarted("command_supervisor");
                services.attend_again(&device).await;
            }
        }
    }
}

/// Starts the arbiters with their actors.
async fn rooms(config: &Config, ports: &Ports) -> anyhow::Result<Vec<Room>> {
    let threads = match config.reports.threads {
        // The store's writer and the API want a core too.
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1)),
        threads => threads.min(256),
    };
    let limits = IngressLimits {
        wait: Duration::from_secs(config.reports.wait_seconds.into()),
        ..IngressLimits::default()
    };
    let mut rooms = Vec::with_capacity(threads);
    for _ in 0..threads {
        let arbiter = Arbiter::new();
        let (started, actors) = oneshot::channel();
        let ports = ports.clone();
        let entropy = crate::random::number();
        arbiter.spawn(async move {
            let recorder = Recorder::start_here(Arc::clone(&ports.store));
            let supervisor = Supervisor::start_here(ports.clone(), recorder);
            let gate = Ingress::start_here(ports, limits, entropy);
            // The starter waits for it.
            let _ = started.send((supervisor, gate));
        });
        let (supervisor, gate) = actors.await.context("an arbiter did not start")?;
        let handle = arbiter.handle();
        rooms.push(Room { handle, arbiter: std::sync::Mutex::new(Some(arbiter)), gate, supervisor });
    }
    Ok(rooms)
}

impl Services {
    /// Loads the devices of the store and of the configuration file, and starts their cells.
    async fn load_devices(&self) -> anyhow::Result<()> {
        let stored = self.store.run(|connection| device_store::all(connection)).await?;
        let mut proofs = self.store.run(|connection| device_store::proofs(connection)).await?;
        for stored in stored {
            let id = &stored.settings.id;
            if stored.from_file && !self.config.device.iter().any(|device| device.settings.id == *id) {
                tracing::info!(device.id = %id, "a device that no longer stands in the configuration file is removed");
                let removed = id.clone();
                self.store.run(move |connection| device_store::remove(connection, &removed)).await?;
                continue;
            }
            let secrets = match &stored.secrets {
                Some(sealed) => {
                    let plain = self.secret_key.open_sealed(stored.settings.id.as_str(), sealed)?;
                    serde_json::from_slice(&plain).context("a device's secrets cannot be read")?
                }
                None => DeviceSecrets::default(),
            };
            let handle = self.new_handle(stored.settings.id.clone());
            let mut device = Device::new(stored.settings, secrets, handle);
            if let Some(kept) = proofs.remove(&device.settings.id) {
                device.proof = Arc::new(std::sync::Mutex::new(ProofState::restore(&kept)));
            }
            self.registry.put(Arc::new(device));
        }
        for mut device in self.config.device.clone() {
            let known = self.registry.get(&device.settings.id);
            if let Some(known) = known.as_ref().filter(|_| device.settings.report_path.is_empty()) {
                // Random at its first start, and the same from then on: the device reports there.
                device.settings.report_path.clone_from(&known.settings.report_path);
            }
            let settings = device.settings.complete(&device.secrets).context("a [[device]] table")?;
            self.registry.check_unique(&settings).with_context(|| format!("device {}", settings.id))?;
            let handle = known
                .as_ref()
                .map_or_else(|| self.new_handle(settings.id.clone()), |d| Arc::clone(&d.handle));
            self.save_device(&settings, &device.secrets, true).await?;
            let mut device = Device::new(settings, device.secrets, handle);
            device.from_file = true;
            if let Some(known) = known {
                device.proof = Arc::clone(&known.proof);
            }
            self.registry.put(Arc::new(device));
        }
        let mut cells = self.store.run(|connection| reader::load_cells(connection)).await?;
        for device in self.registry.all() {
            let loaded = cells.remove(&device.settings.id).unwrap_or_default();
            self.supervise(&device.handle, loaded).await?;
        }
        Ok(())
    }

    /// A place for a device's cell: by its id, so that it is the same after a restart.
    fn new_handle(&self, id: DeviceId) -> Arc<DeviceHandle> {
        let arbiter = id.stable_hash() % self.arbiters.len() as u64;
        DeviceHandle::new(id, arbiter as usize)
    }

    /// The way to a device's cell.
    pub(crate) fn gate_of(&self, handle: &DeviceHandle) -> &Gate {
        &self.arbiters[handle.arbiter].gate
    }

    async fn supervise(&self, handle: &Arc<DeviceHandle>, loaded: LoadedCell) -> anyhow::Result<()> {
        let supervise = Supervise { handle: Arc::clone(handle), settings: self.cell_settings, loaded };
        self.arbiters[handle.arbiter].supervisor.send(supervise).await.context("a supervisor is gone")
    }

    async fn save_device(
        &self,
        settings: &DeviceSettings,
        secrets: &DeviceSecrets,
        from_file: bool,
    ) -> Result<(), StorageError> {
        let plain = serde_json::to_vec(secrets).map_err(|error| StorageError::Corrupt(error.to_string()))?;
        let sealed = self.secret_key.seal(settings.id.as_str(), &plain)?;
        let settings = settings.clone();
        self.store.run(move |connection| device_store::put(connection, &settings, &sealed, from_file)).await
    }

    /// Starts a device's command supervisor, on the arbiter of its cell.
    pub(crate) async fn start_commands_of(
        &self,
        handle: &Arc<DeviceHandle>,
    ) -> Option<Addr<CommandSupervisor>> {
        let room = &self.arbiters[handle.arbiter];
        let ports = CommandPorts {
            clock: Arc::new(crate::clock::SystemClock),
            link: Arc::clone(&self.link),
            log: Arc::clone(&self.command_log),
            interpreter: Arc::clone(&self.interpreter),
            gate: room.gate.clone(),
        };
        let (handle, settings) = (Arc::clone(handle), self.config.commands.supervision());
        let (started, supervisor) = oneshot::channel();
        let reconcile = self.config.commands.reconcile;
        // Spread by chance, so that a fleet is not asked all at once.
        let delay = Duration::from_millis(200 + handle.id.stable_hash() % 2000);
        room.handle.spawn(async move {
            let (clock, gate) = (Arc::clone(&ports.clock), ports.gate.clone());
            let supervisor = CommandSupervisor::start_here(Arc::clone(&handle), settings, ports);
            if reconcile {
                Reconciler::start_here(handle, supervisor.clone(), clock, gate, delay);
            }
            // The starter waits for it.
            let _ = started.send(supervisor);
        });
        supervisor.await.ok()
    }

    /// Logs in to a Yeastar, and stays so, as its settings want it.
    pub(crate) fn stay_logged_in(&self, device: &Arc<Device>) {
        let room = &self.arbiters[device.handle.arbiter];
        if let Some(keeper) = self.yeastars.attend_to(device, &room.gate) {
            room.handle.spawn(keeper);
        }
    }

    /// Adds a device, or changes one; its cell lives on. `from_file`: it stands in the configuration file.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn put_device(
        &self,
        settings: DeviceSettings,
        secrets: DeviceSecrets,
        from_file: bool,
    ) -> anyhow::Result<Arc<Device>> {
        self.save_device(&settings, &secrets, from_file).await?;
        let known = self.registry.get(&settings.id);
        let is_new = known.is_none();
        let handle =
            known.as_ref().map_or_else(|| self.new_handle(settings.id.clone()), |d| Arc::clone(&d.handle));
        let mut device = Device::new(settings, secrets, Arc::clone(&handle));
        if let Some(known) = &known {
            device.proof = Arc::clone(&known.proof);
            device.info = Arc::clone(&known.info);
            device.login = Arc::clone(&known.login);
            device.restoring = Arc::clone(&known.restoring);
        }
        device.from_file = from_file;
        let device = Arc::new(device);
        self.registry.put(Arc::clone(&device));
        if is_new {
            let loaded = self.store.load(handle.id.clone()).await?;
            self.supervise(&handle, loaded).await?;
        }
        self.attend_to(&device).await;
        Ok(device)
    }

    /// Removes a device and ends its cell. What was recorded of it stays.
    ///
    /// # Errors
    /// When it cannot be removed from the store.
    pub async fn remove_device(&self, id: &DeviceId) -> anyhow::Result<bool> {
        let Some(device) = self.registry.remove(id) else { return Ok(false) };
        device.handle.retire();
        if let Some(commands) = device.handle.commands() {
            device.handle.set_commands(None);
            if commands.send(DismissCommands).await.is_err() {
                tracing::warn!(device.id = %id, "its command supervisor had gone");
            }
        }
        self.yeastars.forget(id);
        let dismissed = self.arbiters[device.handle.arbiter].supervisor.send(Dismiss(id.clone())).await;
        dismissed.context("a supervisor is gone")?;
        let removed = id.clone();
        self.store.run(move |connection| device_store::remove(connection, &removed)).await?;
        Ok(true)
    }

    /// Opens the report listeners, one an arbiter on the same port.
    fn listen_for_reports(&self, commands: Option<&Arc<Endpoint>>) -> anyhow::Result<SocketAddr> {
        let mut address = self.config.reports.listen;
        let front = Arc::new(Front {
            limits: self.config.reports.limits.clone(),
            registry: Arc::clone(&self.registry),
            unadopted: Arc::clone(&self.unadopted),
            metrics: Arc::clone(&self.metrics),
            open: ingress::connection::Open::default(),
            listeners: Arc::clone(&self.listeners),
            commands: commands.map(Arc::clone),
        });
        for room in &self.arbiters {
            let listener = ingress::bind(address)
                .with_context(|| format!("reports.listen = \"{address}\" cannot be opened"))?;
            // With port 0 the first listener picks it.
            address = listener.local_addr()?;
            let accept =
                ingress::accept(listener, Arc::clone(&front), room.gate.clone(), self.stopping.subscribe());
            self.listeners.running.fetch_add(1, Relaxed);
            room.handle.spawn(accept);
        }
        Ok(address)
    }

    /// Writes down what the devices' proofs remember, where that has changed.
    async fn save_proofs(&self) {
        let changes = |device: Arc<Device>| {
            let mut proof = device.proof.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            proof.take_changes().map(|kept| (device.settings.id.clone(), kept))
        };
        let changed: Vec<_> = self.registry.all().into_iter().filter_map(changes).collect();
        if changed.is_empty() {
            return;
        }
        if let Err(error) =
            self.store.run(move |connection| device_store::put_proofs(connection, &changed)).await
        {
            tracing::error!(%error, "it could not be written down what the devices' proofs remember");
        }
    }

    /// Has a device's cell begin anew from the store, which was changed.
    pub(crate) async fn renew(&self, device: &str) {
        let Some(device) = DeviceId::new(device).ok().and_then(|id| self.registry.get(&id)) else { return };
        let renew = Renew(device.settings.id.clone());
        if self.arbiters[device.handle.arbiter].supervisor.send(renew).await.is_err() {
            tracing::error!("a supervisor is gone");
        }
    }

    /// Writes every cell down that changed, and waits until that is committed.
    pub async fn write_down(&self) {
        for device in self.registry.all() {
            if let Some(addr) = device.handle.addr()
                && addr.send(WriteDown).await.is_err()
            {
                tracing::warn!(device.id = %device.settings.id, "a cell could not be written down; its log will be run");
            }
        }
        // The recorders are behind the cells; each passes on what it has before it answers.
        for room in &self.arbiters {
            if room.supervisor.send(switchroom_actors::supervision::PassedOn).await.is_err() {
                tracing::warn!("a supervisor is gone");
            }
        }
        if let Err(error) = self.store.run(|_| Ok(())).await {
            tracing::error!(%error, "the store did not commit");
        }
    }
}
