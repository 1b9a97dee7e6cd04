//! What the parts of a running fleet share: the engine with its clock, and each device's way out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::sync::{mpsc, watch};

use super::DeviceAction;
use super::faults::{CommandFault, DeviceFault};
use super::ledger::{Ledger, Parcel};
use super::line::{Outgoing, QUEUE};
use super::login::{self, Login};
use super::recordings::RecordingFault;
use crate::config::{Dialect, Faults, FleetConfig, RecordingConfig};
use crate::dice::Dice;
use crate::engine::{Emission, Engine, Truth, Watching};
use crate::om::Request;

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    ledgers: Vec<Arc<Ledger>>,
    takes_logins: bool,
    pub(crate) recordings: RecordingConfig,
}

/// The engine, and everything that decides what becomes of its reports. One lock: a report is out
/// of the engine and on its way (or lost) before anybody can ask for the truth.
#[derive(Debug)]
struct State {
    engine: Engine,
    started: Instant,
    speed: f64,
    faults: Faults,
    require_login: bool,
    /// Faults have dice of their own: switching them on does not change the calls.
    dice: Dice,
    exits: Vec<Exit>,
}

#[derive(Debug)]
struct Exit {
    queue: Option<mpsc::Sender<Outgoing>>,
    ledger: Arc<Ledger>,
    plugged: bool,
    hung: bool,
    fault: DeviceFault,
    /// How downloads go wrong, and how many still do; 0: all.
    recording_fault: (RecordingFault, u64),
    downloads: u64,
    /// A Yeastar's.
    login: Option<Login>,
    /// Turned whenever the device begins or ceases to answer.
    turns: watch::Sender<()>,
}

impl Shared {
    pub(crate) fn new(
        config: &FleetConfig,
        epoch: i64,
    ) -> anyhow::Result<(Self, Vec<mpsc::Receiver<Outgoing>>)> {
        let engine = Engine::new(config, epoch)?;
        let takes_logins = config.dialect == Dialect::Yeastar && config.listen.is_some();
        let mut queues = Vec::new();
        let exits: Vec<Exit> = (0..config.devices)
            .map(|index| {
                let (sender, receiver) = mpsc::channel(QUEUE);
                queues.push(receiver);
                Exit {
                    queue: Some(sender),
                    ledger: Arc::default(),
                    plugged: true,
                    hung: false,
                    fault: DeviceFault::default(),
                    recording_fault: Default::default(),
                    downloads: 0,
                    login: takes_logins
                        .then(|| Login::new(engine.name(index).unwrap_or_default(), &config.web_password)),
                    turns: watch::channel(()).0,
                }
            })
            .collect();
        let ledgers = exits.iter().map(|exit| exit.ledger.clone()).collect();
        let state = State {
            engine,
            started: Instant::now(),
            speed: config.speed,
            faults: config.faults,
            require_login: config.require_login,
            dice: Dice::fork(config.seed, u64::MAX),
            exits,
        };
        let recordings = config.recordings.clone();
        Ok((Self { state: Mutex::new(state), ledgers, takes_logins, recordings }, queues))
    }

    /// The state is changed in whole steps only, so it is sound even if another thread panicked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ledger(&self, device: usize) -> Arc<Ledger> {
        self.ledgers.get(device).cloned().unwrap_or_default()
    }

    /// Brings the engine up to now; returns how long nothing will happen.
    pub(crate) fn step(&self) -> Duration {
        self.lock().catch_up()
    }

    pub(crate) fn truth(&self) -> Truth {
        let mut state = self.lock();
        state.catch_up();
        let mut truth = state.engine.truth();
        for (index, exit) in state.exits.iter().enumerate() {
            let Some(name) = state.engine.name(index) else { continue };
            if let Some(device) = truth.devices.get_mut(name) {
                exit.ledger.fill(device);
                device.plugged = exit.plugged;
                device.hung = exit.hung;
            }
        }
        truth
    }

    pub(crate) fn pause(&self) {
        let mut state = self.lock();
        state.catch_up();
        state.engine.pause();
    }

    pub(crate) fn resume(&self) {
        let mut state = self.lock();
        state.catch_up();
        state.engine.resume();
    }

    pub(crate) fn set_faults(&self, faults: Faults) -> anyhow::Result<()> {
        faults.check()?;
        self.lock().faults = faults;
        Ok(())
    }

    pub(crate) fn faults(&self) -> Faults {
        self.lock().faults
    }

    pub(crate) fn place_call(&self, device: &str, from: &str, to_trunk: &str) -> anyhow::Result<()> {
        if from.is_empty() || from.len() > 64 || from.chars().any(char::is_control) {
            bail!("`from` must be a number of 1 to 64 characters");
        }
        let mut state = self.lock();
        let index = state.index(device)?;
        state.catch_up();
        state.engine.place_call(index, from, to_trunk)?;
        state.catch_up();
        Ok(())
    }

    pub(crate) fn act(&self, device: &str, action: DeviceAction) -> anyhow::Result<()> {
        let mut state = self.lock();
        let index = state.index(device)?;
        state.catch_up();
        if action == DeviceAction::Reboot {
            state.engine.reboot(index)?;
        }
        let exit = state.exits.get_mut(index).context("there is no such device")?;
        match action {
            DeviceAction::Reboot => {
                exit.hung = false;
                exit.login.iter_mut().for_each(Login::revoke);
            }
            DeviceAction::Hang => exit.hung = true,
            DeviceAction::Resume => exit.hung = false,
            DeviceAction::Unplug => exit.plugged = false,
            DeviceAction::Plug => exit.plugged = true,
        }
        exit.turns.send_replace(());
        Ok(())
    }

    pub(crate) const fn takes_logins(&self) -> bool {
        self.takes_logins
    }

    /// Answers a request to a Yeastar's interface; none if there is no such path.
    pub(crate) fn login(&self, index: usize, request: &login::Request<'_>) -> Option<String> {
        let mut state = self.lock();
        state.catch_up();
        let now = state.engine.now();
        state.exits.get_mut(index)?.login.as_mut()?.answer(request, now)
    }

    pub(crate) fn revoke_token(&self, device: &str) -> anyhow::Result<()> {
        let mut state = self.lock();
        let index = state.index(device)?;
        state.catch_up();
        let login = state.exits.get_mut(index).and_then(|exit| exit.login.as_mut());
        login.context("nobody can log in to this device")?.revoke();
        Ok(())
    }

    pub(crate) fn logins(&self, device: &str) -> anyhow::Result<(u64, u64)> {
        let state = self.lock();
        let login = state.exits.get(state.index(device)?).and_then(|exit| exit.login.as_ref());
        Ok(login.context("nobody can log in to this device")?.counts())
    }

    pub(crate) fn is_logged_in(&self, device: &str) -> anyhow::Result<bool> {
        let state = self.lock();
        let login = state.exits.get(state.index(device)?).and_then(|exit| exit.login.as_ref());
        Ok(login.context("nobody can log in to this device")?.is_alive(state.engine.now()))
    }

    /// What is wrong with a device's command endpoint from now on.
    pub(crate) fn set_device_fault(&self, device: &str, fault: DeviceFault) -> anyhow::Result<()> {
        fault.check()?;
        let mut state = self.lock();
        let index = state.index(device)?;
        state.exits.get_mut(index).context("there is no such device")?.fault = fault;
        Ok(())
    }

    /// How downloads from a device go wrong from now on.
    pub(crate) fn set_recording_fault(
        &self,
        device: &str,
        fault: RecordingFault,
        count: u64,
    ) -> anyhow::Result<()> {
        let mut state = self.lock();
        let index = state.index(device)?;
        state.exits.get_mut(index).context("there is no such device")?.recording_fault = (fault, count);
        Ok(())
    }

    pub(crate) fn downloads(&self, device: &str) -> anyhow::Result<u64> {
        let state = self.lock();
        let exit = state.exits.get(state.index(device)?);
        exit.map(|exit| exit.downloads).context("there is no such device")
    }

    /// How long a recording plays, in milliseconds, if it is there by now; and how its download goes wrong.
    pub(crate) fn recording(&self, index: usize, name: &str) -> (Option<u64>, RecordingFault) {
        let mut state = self.lock();
        state.catch_up();
        let ready_after = u64::try_from(self.recordings.ready_after.as_millis()).unwrap_or(u64::MAX);
        let plays = state.engine.recording(index, name, ready_after);
        let Some(exit) = state.exits.get_mut(index) else { return (None, RecordingFault::None) };
        let (fault, left) = exit.recording_fault;
        // What is not there goes wrong by itself.
        if plays.is_some() {
            exit.downloads += 1;
            if left == 1 {
                exit.recording_fault = (RecordingFault::None, 0);
            }
            exit.recording_fault.1 = left.saturating_sub(1);
        }
        (plays.filter(|_| fault != RecordingFault::Missing), fault)
    }

    pub(crate) fn set_trunk_api(&self, device: &str, api: u8) -> anyhow::Result<()> {
        let mut state = self.lock();
        let index = state.index(device)?;
        state.catch_up();
        state.engine.set_trunk_api(index, api)
    }

    pub(crate) fn set_watching(
        &self,
        device: &str,
        extension: &str,
        watching: Watching,
    ) -> anyhow::Result<()> {
        let mut state = self.lock();
        let index = state.index(device)?;
        state.catch_up();
        state.engine.set_watching(index, extension, watching)
    }

    pub(crate) fn index(&self, device: &str) -> Option<usize> {
        self.lock().index(device).ok()
    }

    /// Takes a fault for one command.
    pub(crate) fn take_fault(&self, index: usize) -> (CommandFault, Duration) {
        let mut state = self.lock();
        state.exits.get_mut(index).map_or((CommandFault::None, Duration::ZERO), |exit| exit.fault.take())
    }

    /// Whether nothing is heard of the device: it hangs, or has no network.
    pub(crate) fn is_silent(&self, index: usize) -> bool {
        self.lock().exits.get(index).is_none_or(|exit| exit.hung || !exit.plugged)
    }

    pub(crate) fn is_up(&self, index: usize) -> bool {
        let mut state = self.lock();
        state.catch_up();
        state.engine.is_up(index)
    }

    /// Tells when a device begins or ceases to answer.
    pub(crate) fn turns(&self, index: usize) -> watch::Receiver<()> {
        let state = self.lock();
        state.exits.get(index).map_or_else(|| watch::channel(()).1, |exit| exit.turns.subscribe())
    }

    /// Gives a device a command, and sends what it reports of it.
    pub(crate) fn command(&self, index: usize, request: &Request<'_>) -> Option<String> {
        let mut state = self.lock();
        state.catch_up();
        let reply = state.engine.command(index, request);
        state.catch_up();
        reply
    }

    pub(crate) fn web(&self, index: usize, query: &str) -> Option<String> {
        let mut state = self.lock();
        state.catch_up();
        let reply = state.engine.web(index, query);
        state.catch_up();
        reply
    }

    pub(crate) fn reports_sent(&self) -> u64 {
        self.ledgers.iter().map(|ledger| ledger.reports_sent()).sum()
    }

    /// Lines end once their queues are closed and empty.
    pub(crate) fn close_queues(&self) {
        self.lock().exits.iter_mut().for_each(|exit| exit.queue = None);
    }
}

impl State {
    fn index(&self, device: &str) -> anyhow::Result<usize> {
        let index = device.strip_prefix("sim-").and_then(|number| number.parse::<usize>().ok());
        index
            .and_then(|number| number.checked_sub(1))
            .filter(|&index| self.engine.name(index) == Some(device))
            .with_context(|| format!("there is no device {device:?}: use sim-1 to sim-{}", self.engine.len()))
    }

    fn catch_up(&mut self) -> Duration {
        // A stopped fleet stands still, or the truth would leave its reports behind.
        if self.exits.iter().all(|exit| exit.queue.is_none()) {
            return Duration::MAX;
        }
        let now = (self.started.elapsed().as_secs_f64() * 1000.0 * self.speed) as u64;
        for emission in self.engine.step_until(now.max(self.engine.now())) {
            self.dispatch(emission);
        }
        let next = self.engine.next_due().unwrap_or(u64::MAX).saturating_sub(now);
        Duration::from_secs_f64((next as f64 / 1000.0 / self.speed).clamp(0.001, 3600.0))
    }

    /// Decides what the wire does to a report, and sends it on its way.
    fn dispatch(&mut self, emission: Emission) {
        // All draws are made for each report, so that one fault does not move another.
        let dropped = self.dice.chance(self.faults.drop);
        let doubled = self.dice.chance(self.faults.duplicate);
        let overtaken = self.dice.chance(self.faults.reorder);
        let hold = Duration::from_millis(self.dice.between(50, 400));
        let later = Duration::from_millis(self.dice.between(1, 400));
        let Some(exit) = self.exits.get(emission.device) else { return };
        let now = self.engine.now();
        let wanted = !self.require_login || exit.login.as_ref().is_some_and(|login| login.is_alive(now));
        let Some(queue) = exit.queue.as_ref().filter(|_| exit.plugged && wanted && !dropped) else {
            exit.ledger.lost(&emission.report);
            return;
        };
        exit.ledger.accepted();
        let mut parcel =
            Parcel::new(emission.report, 1 + u8::from(doubled), self.engine.posts(emission.device));
        parcel.long = self.engine.keeps_connections(emission.device);
        parcel.to = exit.login.as_ref().and_then(Login::report_to);
        let parcel = Arc::new(parcel);
        let copies = [Some(overtaken.then_some(hold)), doubled.then_some(Some(later))];
        for hold in copies.into_iter().flatten() {
            if queue.try_send(Outgoing { parcel: parcel.clone(), hold }).is_err() {
                exit.ledger.failed(&parcel);
            }
        }
    }
}
