//! How many of what there are, counted as it changes: gauges that a scrape reads without asking anyone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use switchroom_domain::id::DeviceId;

/// Counts over all cells. Each cell adds and takes away its own; a cell that is dropped takes away the rest.
#[derive(Debug, Default)]
pub struct Census {
    /// Extensions by state (index: [`switchroom_domain::view::ExtensionState`] as number).
    pub extensions: [AtomicI64; 5],
    /// Trunks by state (index: [`switchroom_domain::view::TrunkState`] as number).
    pub trunks: [AtomicI64; 5],
    /// Live calls by direction (index: [`switchroom_domain::view::Direction`] as number).
    pub calls: [AtomicI64; 4],
    /// Devices.
    pub devices: AtomicI64,
    /// Live call legs.
    pub legs: AtomicI64,
    /// Queues.
    pub queues: AtomicI64,
    /// Calls that wait in a queue, by device; who has none is not there.
    waiting: Mutex<HashMap<DeviceId, i64>>,
}

impl Census {
    /// Calls that wait in a queue, by device.
    #[must_use]
    pub fn waiting(&self) -> HashMap<DeviceId, i64> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One cell's part of a [`Census`]; taken away when it is dropped.
#[derive(Debug)]
pub struct CellCount {
    device: DeviceId,
    extensions: [i64; 5],
    trunks: [i64; 5],
    calls: [i64; 4],
    legs: i64,
    queues: i64,
    waiting: i64,
    census: Arc<Census>,
}

macro_rules! shift {
    ($self:ident . $field:ident [$i:expr], $by:expr) => {
        if let Some(count) = $self.$field.get_mut($i) {
            *count += $by;
            $self.census.$field[$i].fetch_add($by, Relaxed);
        }
    };
}

impl CellCount {
    /// An empty cell, counted as one device.
    #[must_use]
    pub fn new(device: DeviceId, census: Arc<Census>) -> Self {
        census.devices.fetch_add(1, Relaxed);
        Self {
            device,
            extensions: [0; 5],
            trunks: [0; 5],
            calls: [0; 4],
            legs: 0,
            queues: 0,
            waiting: 0,
            census,
        }
    }

    /// Extensions of this state: so many more.
    pub fn extensions(&mut self, class: u8, by: i64) {
        shift!(self.extensions[usize::from(class)], by);
    }

    /// Trunks of this state: so many more.
    pub fn trunks(&mut self, class: u8, by: i64) {
        shift!(self.trunks[usize::from(class)], by);
    }

    /// Live calls by direction: so many now.
    pub fn set_calls(&mut self, now: [i64; 4]) {
        for (i, count) in now.into_iter().enumerate() {
            if self.calls[i] != count {
                self.census.calls[i].fetch_add(count - self.calls[i], Relaxed);
                self.calls[i] = count;
            }
        }
    }

    /// Legs: so many more.
    pub fn legs(&mut self, by: i64) {
        self.legs += by;
        self.census.legs.fetch_add(by, Relaxed);
    }

    /// Queues: so many more.
    pub fn queues(&mut self, by: i64) {
        self.queues += by;
        self.census.queues.fetch_add(by, Relaxed);
    }

    /// Waiting calls: so many more.
    pub fn waiting(&mut self, by: i64) {
        self.waiting += by;
        let mut waiting = self.census.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.waiting == 0 {
            waiting.remove(&self.device);
        } else {
            waiting.insert(self.device.clone(), self.waiting);
        }
    }

    /// How many trunks, by state.
    #[must_use]
    pub const fn trunks_by_state(&self) -> [i64; 5] {
        self.trunks
    }

    /// How many extensions, by state.
    #[must_use]
    pub fn extensions_by_state(&self) -> [i64; 5] {
        self.extensions
    }
}

impl Drop for CellCount {
    fn drop(&mut self) {
        for i in 0..5 {
            self.census.extensions[i].fetch_sub(self.extensions[i], Relaxed);
            self.census.trunks[i].fetch_sub(self.trunks[i], Relaxed);
        }
        for i in 0..4 {
            self.census.calls[i].fetch_sub(self.calls[i], Relaxed);
        }
        self.census.devices.fetch_sub(1, Relaxed);
        self.census.legs.fetch_sub(self.legs, Relaxed);
        self.census.queues.fetch_sub(self.queues, Relaxed);
        self.waiting(-self.waiting);
    }
}
