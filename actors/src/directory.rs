//! Where each device's cell lives. A cell that is rebuilt gets a new address; whoever holds a
//! [`DeviceHandle`] finds it there.

use std::sync::{Arc, RwLock};

use actix::Addr;
use switchroom_domain::id::DeviceId;

use crate::device::Device;

/// A device's cell, wherever it is now.
#[derive(Debug)]
pub struct DeviceHandle {
    /// The device.
    pub id: DeviceId,
    /// Which arbiter the cell lives on.
    pub arbiter: usize,
    addr: RwLock<Option<Addr<Device>>>,
}

impl DeviceHandle {
    /// A device whose cell does not live yet.
    #[must_use]
    pub fn new(id: DeviceId, arbiter: usize) -> Arc<Self> {
        Arc::new(Self { id, arbiter, addr: RwLock::new(None) })
    }

    /// The cell's address; none while it is being rebuilt.
    #[must_use]
    pub fn addr(&self) -> Option<Addr<Device>> {
        self.addr.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The cell lives here now.
    pub fn set(&self, addr: Option<Addr<Device>>) {
        *self.addr.write().unwrap_or_else(std::sync::PoisonError::into_inner) = addr;
    }
}
