//! A fleet that runs: the engine driven by the clock on the wall, a line to the server for each
//! device, and the admin port. All of it lives on the tokio runtime that starts it.

mod admin;
mod boa;
mod commands;
mod faults;
pub(crate) mod http;
mod kept;
mod ledger;
mod line;
mod login;
mod recordings;
mod shared;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::config::{Faults, FleetConfig};
use crate::engine::{Truth, Watching};
pub use faults::{CommandFault, DeviceFault};
use http::Target;
pub use recordings::RecordingFault;
use shared::Shared;

/// The longest sleep between two looks at the engine: what is asked for from outside waits no
/// longer than this.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);
/// Reports still to be sent get this long when the fleet stops.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// What can happen to one device from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceAction {
    /// Its calls vanish without a report, and it boots.
    Reboot,
    /// Its command endpoint stops answering.
    Hang,
    /// Its command endpoint answers again.
    Resume,
    /// It loses its network: reports are lost.
    Unplug,
    /// It has its network again.
    Plug,
}

/// A running fleet. Dropping it stops it at once; [`Fleet::stop`] lets it finish what it is sending.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
    admin: Option<SocketAddr>,
    /// Where each device takes commands; empty: nowhere.
    commands: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    done: watch::Receiver<bool>,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    lines: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Starts the fleet on the current tokio runtime.
    pub async fn start(config: FleetConfig) -> anyhow::Result<Self> {
        config.check()?;
        let target = Target::parse(&config.report_to)?;
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (shared, queues) = Shared::new(&config, i64::try_from(epoch).unwrap_or_default())?;
        let shared = Arc::new(shared);
        let (stop, stopping) = watch::channel(false);
        let (finished, done) = watch::channel(false);
        let mut tasks = Tasks::default();
        let mut admin_addr = None;
        if let Some(address) = config.admin {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on the admin address {address}"))?;
            admin_addr = Some(listener.local_addr()?);
            tasks.others.push(tokio::spawn(admin::serve(listener, shared.clone(), stopping.clone())));
        }
        let mut addresses = Vec::new();
        for (index, listener) in commands::listen(&config).await?.into_iter().enumerate() {
            addresses.push(listener.local_addr()?);
            tasks.others.push(tokio::spawn(commands::serve(
                listener,
                shared.clone(),
                index,
                stopping.clone(),
            )));
        }
        for (index, queue) in queues.into_iter().enumerate() {
            let line = line::Line::new(&config, &target, index, shared.ledger(index));
            tasks.lines.push(tokio::spawn(line.run(queue)));
        }
        tasks.others.push(tokio::spawn(drive(shared.clone(), stopping, finished, config.run_for)));
        info!(fleet.devices = config.devices, fleet.dialect = config.dialect.as_str(), "fleet started");
        Ok(Self { shared, admin: admin_addr, commands: addresses, stop, done, tasks: Mutex::new(tasks) })
    }

    /// The truth about every device, now.
    pub fn truth(&self) -> Truth {
        self.shared.truth()
    }

    /// No new calls; a third of the live ones stay up, the others end in the normal way.
    pub fn pause(&self) {
        self.shared.pause();
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.shared.resume();
    }

    /// Sets how often the wire goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) -> anyhow::Result<()> {
        self.shared.set_faults(faults)
    }

    /// Makes a call from `from` come in at `device` over the trunk `to_trunk`.
    pub fn place_call(&self, device: &str, from: &str, to_trunk: &str) -> anyhow::Result<()> {
        self.shared.place_call(device, from, to_trunk)
    }

    /// Does something to one device.
    pub fn act(&self, device: &str, action: DeviceAction) -> anyhow::Result<()> {
        self.shared.act(device, action)
    }

    /// Makes a device's command endpoint go wrong, or well again.
    pub fn set_device_fault(&self, device: &str, fault: DeviceFault) -> anyhow::Result<()> {
        self.shared.set_device_fault(device, fault)
    }

    /// Makes the next downloads of recordings from a device go wrong: `count` of them, 0 for all from now on.
    pub fn set_recording_fault(&self, device: &str, fault: RecordingFault, count: u64) -> anyhow::Result<()> {
        self.shared.set_recording_fault(device, fault, count)
    }

    /// How many recordings a device was asked for, each download counted.
    pub fn downloads(&self, device: &str) -> anyhow::Result<u64> {
        self.shared.downloads(device)
    }

    /// Sets `FT_API_1` of all trunks of a device: 0x00, 0x07, 0x17, 0x27 or 0x37.
    pub fn set_trunk_api(&self, device: &str, api: u8) -> anyhow::Result<()> {
        self.shared.set_trunk_api(device, api)
    }

    /// Says whom an extension of an OM may listen to, and who may listen to it.
    pub fn set_watching(&self, device: &str, extension: &str, watching: Watching) -> anyhow::Result<()> {
        self.shared.set_watching(device, extension, watching)
    }

    /// Makes a Yeastar forget who is logged in.
    pub fn revoke_token(&self, device: &str) -> anyhow::Result<()> {
        self.shared.revoke_token(device)
    }

    /// Is somebody logged in to a Yeastar?
    pub fn is_logged_in(&self, device: &str) -> anyhow::Result<bool> {
        self.shared.is_logged_in(device)
    }

    /// How many logins and heartbeats a Yeastar has taken.
    pub fn logins(&self, device: &str) -> anyhow::Result<(u64, u64)> {
        self.shared.logins(device)
    }

    /// Where a device takes commands (a Yeastar: logins), if it does.
    pub fn command_address(&self, device: &str) -> Option<SocketAddr> {
        self.shared.index(device).and_then(|index| self.commands.get(index)).copied()
    }

    /// Where the admin port listens, if it does.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Reports written to sockets so far, doubles and repeats counted each time.
    pub fn reports_sent(&self) -> u64 {
        self.shared.reports_sent()
    }

    /// Waits until the configured time is over (for ever without one), then stops in good order.
    pub async fn wait(&self) {
        let mut done = self.done.clone();
        // An error means that the driver has gone, which is the end as well.
        let _ = done.wait_for(|done| *done).await;
        self.stop().await;
    }

    /// Stops: nothing more happens, what was reported is still sent. The truth can be asked for
    /// afterwards too.
    pub async fn stop(&self) {
        // Fails only when everybody who listens has gone already.
        let _ = self.stop.send(true);
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks.others {
            // A task that panicked has said so itself.
            let _ = task.await;
        }
        self.shared.close_queues();
        let deadline = tokio::time::Instant::now() + DRAIN_WITHIN;
        for mut task in tasks.lines {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
                warn!("a device still had reports to send when the fleet stopped");
            }
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.lines.iter().chain(&tasks.others).for_each(JoinHandle::abort);
    }
}

/// Moves the engine along with the clock on the wall.
async fn drive(
    shared: Arc<Shared>,
    mut stopping: watch::Receiver<bool>,
    finished: watch::Sender<bool>,
    run_for: Option<Duration>,
) {
    let end = run_for.map(|run_for| tokio::time::Instant::now() + run_for);
    loop {
        let sleep = shared.step().min(LONGEST_SLEEP);
        if end.is_some_and(|end| tokio::time::Instant::now() >= end) {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            // An error means that the fleet was dropped.
            _ = stopping.wait_for(|stop| *stop) => break,
        }
    }
    finished.send_replace(true);
}
