//! How many of what there are, counted as it changes: gauges that a scrape reads without asking anyone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use switchroom_domain::id::DeviceId;
use switchroom_domain::time::Timestamp;

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
    /// How each device does whose cell lives.
    vitals: Mutex<HashMap<DeviceId, Arc<Vitals>>>,
}

impl Census {
    /// How each device does whose cell lives.
    #[must_use]
    pub fn vitals(&self) -> HashMap<DeviceId, Arc<Vitals>> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DeviceId, Arc<Vitals>>> {
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a device does, kept by its cell as it changes: five thousand of them are read without asking any.
#[derive(Debug, Default)]
pub struct Vitals {
    /// In milliseconds; 0 before the first.
    last_report: AtomicI64,
    boots: AtomicU64,
    unreachable: AtomicBool,
    trunks: [AtomicI64; 5],
    waiting: AtomicI64,
}

impl Vitals {
    /// When its last report came.
    #[must_use]
    pub fn last_report_at(&self) -> Option<Timestamp> {
        Some(Timestamp(self.last_report.load(Relaxed))).filter(|at| at.0 != 0)
    }

    /// How often it was reported to have started.
    #[must_use]
    pub fn boots(&self) -> u64 {
        self.boots.load(Relaxed)
    }

    /// It was heard of, and answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.last_report_at().is_some() && !self.unreachable.load(Relaxed)
    }

    /// Its trunks by state (index: [`switchroom_domain::view::TrunkState`] as number).
    #[must_use]
    pub fn trunks(&self) -> [i64; 5] {
        std::array::from_fn(|i| self.trunks[i].load(Relaxed))
    }

    /// Calls that wait in a queue.
    #[must_use]
    pub fn waiting(&self) -> i64 {
        self.waiting.load(Relaxed)
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
    vitals: Arc<Vitals>,
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
        let vitals = Arc::<Vitals>::default();
        census.lock().insert(device.clone(), Arc::clone(&vitals));
        Self { device, extensions: [0; 5], trunks: [0; 5], calls: [0; 4], legs: 0, queues: 0, vitals, census }
    }

    /// Extensions of this state: so many more.
    pub fn extensions(&mut self, class: u8, by: i64) {
        shift!(self.extensions[usize::from(class)], by);
    }

    /// Trunks of this state: so many more.
    pub fn trunks(&mut self, class: u8, by: i64) {
        shift!(self.trunks[usize::from(class)], by);
        if let Some(count) = self.vitals.trunks.get(usize::from(class)) {
            count.fetch_add(by, Relaxed);
        }
    }

    /// What was heard of the device so far.
    pub fn heard(&self, last_report: Option<Timestamp>, boots: u64, unreachable: bool) {
        self.vitals.last_report.store(last_report.map_or(0, |at| at.0), Relaxed);
        self.vitals.boots.store(boots, Relaxed);
        self.vitals.unreachable.store(unreachable, Relaxed);
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
    pub fn waiting(&self, by: i64) {
        self.vitals.waiting.fetch_add(by, Relaxed);
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
        let mut vitals = self.census.lock();
        // Another cell of the device may live already.
        if vitals.get(&self.device).is_some_and(|known| Arc::ptr_eq(known, &self.vitals)) {
            vitals.remove(&self.device);
        }
    }
}
