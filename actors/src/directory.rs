//! Where each device's cell lives. A cell that is rebuilt gets a new address; whoever holds a
//! [`DeviceHandle`] finds it there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use actix::Addr;
use switchroom_domain::id::DeviceId;
use switchroom_domain::time::Timestamp;

use crate::command::CommandSupervisor;
use crate::device::Device;
use crate::ingress::Held;

/// A device's cell, wherever it is now.
#[derive(Debug)]
pub struct DeviceHandle {
    /// The device.
    pub id: DeviceId,
    /// Which arbiter the cell lives on.
    pub arbiter: usize,
    addr: RwLock<Option<Addr<Device>>>,
    commands: RwLock<Option<Addr<CommandSupervisor>>>,
    line: Mutex<Line>,
    /// The device was removed.
    retired: AtomicBool,
    /// When its last report came in, in milliseconds.
    reported_at: AtomicI64,
    /// How many commands wait for their turn.
    commands_waiting: AtomicUsize,
    silent: AtomicBool,
    /// How many reports are in the cell's mailbox.
    queued: AtomicUsize,
}

/// Reports that the cell could not take yet, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) waiting: VecDeque<Held>,
    /// How many reports have come to the device in all.
    arrived: u64,
}

impl Line {
    /// The place of a report that comes now among all of the device.
    pub(crate) fn next_place(&mut self) -> u64 {
        self.arrived += 1;
        self.arrived
    }
}

impl DeviceHandle {
    /// A device whose cell does not live yet.
    #[must_use]
    pub fn new(id: DeviceId, arbiter: usize) -> Arc<Self> {
        Arc::new(Self {
            id,
            arbiter,
            addr: RwLock::new(None),
            commands: RwLock::new(None),
            line: Mutex::default(),
            retired: AtomicBool::new(false),
            reported_at: AtomicI64::new(0),
            commands_waiting: AtomicUsize::new(0),
            silent: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
        })
    }

    /// The cell's address; none while it is being rebuilt.
    #[must_use]
    pub fn addr(&self) -> Option<Addr<Device>> {
        self.addr.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The cell lives here now.
    pub fn set(&self, addr: Option<Addr<Device>>) {
        *self.addr.write().unwrap_or_else(PoisonError::into_inner) = addr;
    }

    /// The device's command supervisor, once it was needed.
    #[must_use]
    pub fn commands(&self) -> Option<Addr<CommandSupervisor>> {
        let commands = self.commands.read().unwrap_or_else(PoisonError::into_inner).clone();
        commands.filter(Addr::connected)
    }

    /// The device was removed: nothing asks it any more.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Was it removed?
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// When its last report came in since the start of the process.
    #[must_use]
    pub fn reported_at(&self) -> Timestamp {
        Timestamp(self.reported_at.load(Ordering::Relaxed))
    }

    pub(crate) fn reported(&self, at: Timestamp) {
        self.reported_at.store(at.0, Ordering::Relaxed);
    }

    /// Was a command supervisor started that lives no more?
    #[must_use]
    pub fn commands_died(&self) -> bool {
        let commands = self.commands.read().unwrap_or_else(PoisonError::into_inner);
        commands.as_ref().is_some_and(|addr| !addr.connected()) && !self.is_retired()
    }

    /// How many commands wait for their turn.
    #[must_use]
    pub fn commands_waiting(&self) -> usize {
        self.commands_waiting.load(Ordering::Relaxed)
    }

    /// Is it asked nothing more, because it was silent?
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    pub(crate) fn count_commands(&self, waiting: usize, is_silent: bool) {
        self.commands_waiting.store(waiting, Ordering::Relaxed);
        self.silent.store(is_silent, Ordering::Relaxed);
    }

    /// The command supervisor lives here now.
    pub fn set_commands(&self, addr: Option<Addr<CommandSupervisor>>) {
        *self.commands.write().unwrap_or_else(PoisonError::into_inner) = addr;
    }

    /// Reports that the cell has not begun with yet: in its mailbox, and in line before it.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.queued() + self.line().waiting.len()
    }

    /// How many reports are in the cell's mailbox.
    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    pub(crate) fn enqueued(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dequeued(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// The device's line; whoever hands a report over holds this, so that none overtakes another.
    pub(crate) fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
