//! The exchanges themselves, without a socket and without a clock: time is an argument, chance a
//! seed. The same configuration gives the same reports at the same virtual times, however the time
//! is cut into steps.
//!
//! A device's calls are small state machines with one timer each ([`call`]). What happens is said
//! as a [`happening::Happening`] and turned into reports by the device's dialect; the truth is
//! read from the state machines, never from the reports.

pub(crate) mod call;
pub(crate) mod clock;
pub(crate) mod device;
mod ended;
mod ending;
mod failing;
pub(crate) mod happening;
mod making;
mod menu;
pub(crate) mod ordered;
mod outside;
mod phones;
mod placing;
mod progress;
mod queue;
mod recordings;
mod records;
mod ringing;
mod standing;
#[cfg(test)]
mod tests;
mod truth;
mod wakeup;
pub(crate) mod wire;

use anyhow::{Context, bail};

pub use call::Direction;
use call::{Plan, Target};
use clock::Clock;
pub(crate) use clock::{Local, Zone};
use device::Device;
pub use device::Watching;
pub use ended::EndedCall;
pub(crate) use happening::Happening;
pub use truth::{AcceptTruth, CallTruth, DeviceTruth, LegTruth, MenuTruth, Truth};
pub(crate) use wakeup::time_of_day;

use crate::config::FleetConfig;
use crate::dialect::Report;

/// One report that a device wants to send.
#[derive(Debug, Clone)]
pub struct Emission {
    /// The device's index: 0 is `sim-1`.
    pub device: usize,
    /// Virtual milliseconds since the start.
    pub at: u64,
    /// The call it is about, by the device's own count; none for the device and its telephones.
    pub call: Option<u64>,
    /// What is sent.
    pub report: Report,
}

/// All devices of a fleet and the one virtual time they live in.
#[derive(Debug)]
pub struct Engine {
    clock: Clock,
    devices: Vec<Device>,
}

impl Engine {
    /// Devices as configured. `epoch` is the unix time, in seconds, at which virtual time starts.
    pub fn new(config: &FleetConfig, epoch: i64) -> anyhow::Result<Self> {
        config.check()?;
        let epoch_ms = epoch.saturating_mul(1000);
        let mut clock = Clock::new(Zone { epoch_ms, offset: i64::from(config.utc_offset_seconds) });
        let mut devices: Vec<Device> = (0..config.devices).map(|index| Device::new(config, index)).collect();
        for device in &mut devices {
            device.start(&mut clock, config.boot_reports);
        }
        Ok(Self { clock, devices })
    }

    /// Moves time to `now` (virtual milliseconds) and returns what was reported until then, in
    /// order. Time never goes back.
    pub fn step_until(&mut self, now: u64) -> Vec<Emission> {
        while let Some((device, what)) = self.clock.due(now) {
            if let Some(device) = self.devices.get_mut(device) {
                device.wake(&mut self.clock, what);
            }
        }
        self.clock.now = self.clock.now.max(now);
        std::mem::take(&mut self.clock.out)
    }

    /// Moves time to the next thing that happens; `None` if nothing ever will.
    pub fn step(&mut self) -> Option<Vec<Emission>> {
        let next = self.next_due()?;
        Some(self.step_until(next))
    }

    /// When the next timer is due.
    pub fn next_due(&self) -> Option<u64> {
        self.clock.next_due()
    }

    /// Virtual milliseconds since the start.
    pub fn now(&self) -> u64 {
        self.clock.now
    }

    /// No new calls; a third of the live ones stay up, the others end.
    pub fn pause(&mut self) {
        self.devices.iter_mut().for_each(|device| device.pause(&mut self.clock));
    }

    /// The calls that ended since this was asked last, of each device the last ten thousand.
    pub fn take_ended(&mut self) -> Vec<EndedCall> {
        self.devices.iter_mut().flat_map(|device| std::mem::take(&mut device.ended)).collect()
    }

    /// Goes on after a pause.
    pub fn resume(&mut self) {
        self.devices.iter_mut().for_each(|device| device.resume(&mut self.clock));
    }

    /// Loses all calls of a device without a report, and boots it.
    pub fn reboot(&mut self, device: usize) -> anyhow::Result<()> {
        let device = self.devices.get_mut(device).context("there is no such device")?;
        device.reboot(&mut self.clock);
        Ok(())
    }

    /// Makes a call from `from` come in over the trunk `to_trunk`.
    pub fn place_call(&mut self, device: usize, from: &str, to_trunk: &str) -> anyhow::Result<()> {
        let device = self.devices.get_mut(device).context("there is no such device")?;
        if !device.up {
            bail!("{} is booting: try again in two seconds", device.name);
        }
        let Some(trunk) = device.trunks.iter().position(|trunk| *trunk.number == *to_trunk) else {
            let numbers: Vec<&str> = device.trunks.iter().map(|trunk| &*trunk.number).collect();
            bail!("{} has no trunk {to_trunk:?}: use one of {}", device.name, numbers.join(", "));
        };
        let extension = device
            .free_extension(None)
            .with_context(|| format!("{} has no idle extension: try again later", device.name))?;
        let plan = Plan::to(Target::Extension(extension));
        if device.start_inbound(&mut self.clock, from.into(), trunk, plan) {
            Ok(())
        } else {
            bail!("trunk {to_trunk} of {} has no free line: try again later", device.name)
        }
    }

    /// Gives a device a command of its vendor's interface: the answer's body.
    pub(crate) fn command(&mut self, device: usize, request: &crate::om::Request<'_>) -> Option<String> {
        let device = self.devices.get_mut(device).filter(|device| device.up)?;
        Some(device.command(&mut self.clock, request))
    }

    /// Asks or sets system parameters of a device.
    pub(crate) fn web(&mut self, device: usize, query: &str) -> Option<String> {
        Some(self.devices.get_mut(device).filter(|device| device.up)?.web(&mut self.clock, query))
    }

    /// How long the recording of this name plays, in milliseconds, if its file is there `ready_after` its call.
    pub(crate) fn recording(&self, device: usize, name: &str, ready_after: u64) -> Option<u64> {
        self.devices.get(device)?.recorded(name, self.clock.now, ready_after)
    }

    /// Whether a device is set to POST its reports.
    pub(crate) fn posts(&self, device: usize) -> bool {
        self.devices.get(device).is_some_and(Device::posts)
    }

    /// Whether a device sends its reports on kept connections.
    pub(crate) fn keeps_connections(&self, device: usize) -> bool {
        self.devices.get(device).is_some_and(|device| device.keeps_connections)
    }

    /// Whether a device has booted.
    pub(crate) fn is_up(&self, device: usize) -> bool {
        self.devices.get(device).is_some_and(|device| device.up)
    }

    /// Sets `FT_API_1` of all trunks of a device.
    pub fn set_trunk_api(&mut self, device: usize, api: u8) -> anyhow::Result<()> {
        if !matches!(api, 0x00 | 0x07 | 0x17 | 0x27 | 0x37) {
            bail!("{api:#04x} is no API switch: use 0x00, 0x07, 0x17, 0x27 or 0x37");
        }
        let device = self.devices.get_mut(device).context("there is no such device")?;
        (0..device.trunks.len()).for_each(|trunk| device.set_trunk_api(trunk, api));
        Ok(())
    }

    /// Says whom an extension may listen to from now on, and who may listen to it.
    pub fn set_watching(&mut self, device: usize, extension: &str, watching: Watching) -> anyhow::Result<()> {
        let device = self.devices.get_mut(device).context("there is no such device")?;
        let of = device.extensions.iter_mut().find(|of| *of.number == *extension);
        of.with_context(|| format!("{} has no extension {extension:?}", device.name))?.watching = watching;
        Ok(())
    }

    /// How many devices there are.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether there are none; there always are some.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// The name of a device.
    pub fn name(&self, device: usize) -> Option<&str> {
        self.devices.get(device).map(|device| device.name.as_str())
    }

    /// The truth about every device. What became of its reports is not known here and left empty.
    pub fn truth(&self) -> Truth {
        Truth { devices: self.devices.iter().map(|device| (device.name.clone(), device.truth())).collect() }
    }
}
