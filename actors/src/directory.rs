//! Where each device's cell lives. A cell that is rebuilt gets a new address; whoever holds a
//! [`DeviceHandle`] finds it there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use actix::Addr;
use switchroom_domain::id::DeviceId;

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
    /// Reports that the cell could not take yet, in the order in which they came.
    waiting: Mutex<VecDeque<Held>>,
    /// How many reports have come.
    arrived: AtomicU64,
    /// How many are in the cell's mailbox.
    queued: AtomicUsize,
}

impl DeviceHandle {
    /// A device whose cell does not live yet.
    #[must_use]
    pub fn new(id: DeviceId, arbiter: usize) -> Arc<Self> {
        Arc::new(Self {
            id,
            arbiter,
            addr: RwLock::new(None),
            waiting: Mutex::default(),
            arrived: AtomicU64::new(0),
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

    /// The place of a report that comes now among all of the device.
    pub(crate) fn next_place(&self) -> u64 {
        self.arrived.fetch_add(1, Ordering::Relaxed)
    }

    /// Reports that the cell has not begun with yet: in its mailbox, and in line before it.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.queued.load(Ordering::Relaxed) + self.waiting().len()
    }

    pub(crate) fn enqueued(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dequeued(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// What waits; whoever hands a report over holds this, so that none overtakes another.
    pub(crate) fn waiting(&self) -> MutexGuard<'_, VecDeque<Held>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
