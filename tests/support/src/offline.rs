//! A simulated fleet and cells without sockets, in virtual time: minutes of traffic in milliseconds, any seed
//! again and again.

use std::collections::BTreeMap;

use switchroom_actors::device::offline::OfflineCell;
use switchroom_actors::entity::Doubt;
use switchroom_domain::id::{DeviceId, IdSeed};
use switchroom_domain::time::Timestamp;
use switchroom_protocol::{DecodeContext, Dialect, decode};
use switchroom_simulator::{Engine, FleetConfig, Truth};

use crate::conversations::Ledger;
use crate::truth::{self, Difference, States};

/// Report faults: chances of a double and of being overtaken, and within how many milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Wire {
    /// Chance of a double, in thousandths.
    pub double: u64,
    /// Chance of being overtaken, in thousandths.
    pub late: u64,
    /// Within so many milliseconds.
    pub within: u64,
}

/// A report under way: its device, the simulated call that it is about, its body.
type UnderWay = (usize, Option<u64>, Vec<u8>);

/// A fleet and its model.
pub struct World {
    engine: Engine,
    cells: Vec<OfflineCell>,
    dialect: Dialect,
    wire: Wire,
    dice: u64,
    /// What is under way, by the time of its arrival and in order.
    under_way: BTreeMap<(i64, u64), UnderWay>,
    count: u64,
    /// Reports as they arrived, for a closer look: time, device, kind, body.
    pub log: Vec<(i64, usize, String)>,
    /// What became of its calls.
    pub ledger: Ledger,
    /// Whether the log is kept.
    pub keeps_log: bool,
}

impl World {
    /// A fleet at its start.
    ///
    /// # Errors
    /// When the configuration cannot be.
    pub fn new(config: &FleetConfig, dialect: Dialect, wire: Wire) -> anyhow::Result<Self> {
        let engine = Engine::new(config, 1_700_000_000)?;
        let cell = |n| Ok(OfflineCell::new(DeviceId::new(format!("sim-{n}"))?, Doubt::default()));
        let cells = (1..=config.devices).map(cell).collect::<anyhow::Result<_>>()?;
        let dice = config.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Ok(Self {
            engine,
            cells,
            dialect,
            wire,
            dice,
            under_way: BTreeMap::new(),
            count: 0,
            log: Vec::new(),
            ledger: Ledger::default(),
            keeps_log: true,
        })
    }

    fn roll(&mut self, n: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % n
    }

    /// Lets the fleet run until this time in milliseconds, with all that its reports cause.
    pub fn run_until(&mut self, until: i64) {
        let mut now = until.min(self.engine.now() as i64);
        while now <= until {
            for emission in self.engine.step_until(now.max(0) as u64) {
                let late =
                    if self.roll(1000) < self.wire.late { self.roll(self.wire.within) as i64 } else { 0 };
                self.send(emission.at as i64 + late, &emission);
                if self.roll(1000) < self.wire.double {
                    let again = self.roll(self.wire.within) as i64;
                    self.send(emission.at as i64 + again, &emission);
                }
            }
            self.ledger.ended.extend(self.engine.take_ended());
            self.deliver(now);
            now += 20;
        }
    }

    fn send(&mut self, at: i64, emission: &switchroom_simulator::Emission) {
        self.count += 1;
        let report = (emission.device, emission.call, emission.report.body.clone());
        self.under_way.insert((at, self.count), report);
    }

    fn deliver(&mut self, now: i64) {
        while let Some(entry) = self.under_way.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((at, n), (device, call, body)) = entry.remove_entry();
            self.tick(at);
            let seed = IdSeed { at: Timestamp(1_700_000_000_000 + at), entropy: n };
            let utc = jiff_utc();
            let decoded = decode(self.dialect, None, &body, &DecodeContext { time_zone: &utc });
            let decoded = decoded.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&body)));
            let facts: Vec<_> = decoded.into_iter().flat_map(|d| d.statement.facts).collect();
            self.ledger.sent(device, at, call, &facts);
            let effects = self.cells[device].apply(seed, facts);
            self.ledger.took(device, call, effects);
            if self.keeps_log {
                if let Some(call) = call {
                    let text = String::from_utf8_lossy(&body).replace(['\n', '\r'], " ");
                    self.ledger.log.entry((device, call)).or_default().push(format!("{at} {text}"));
                }
                self.log.push((at, device, String::from_utf8_lossy(&body).into_owned()));
            }
        }
        self.tick(now);
    }

    fn tick(&mut self, now: i64) {
        for (device, cell) in self.cells.iter_mut().enumerate() {
            let at = Timestamp(1_700_000_000_000 + now);
            if cell.state.has_due(at) {
                let effects = cell.tick(IdSeed { at, entropy: now as u64 | (device as u64) << 48 });
                self.ledger.took(device, None, effects);
            }
        }
    }

    /// No new calls; a third of the live ones stay.
    pub fn pause(&mut self) {
        self.engine.pause();
    }

    /// All that the model holds of an extension, for a closer look.
    #[must_use]
    pub fn look_at(&self, device: usize, extension: &str) -> String {
        format!("{:?}", self.cells[device].extensions.get(extension))
    }

    /// The truth.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.engine.truth()
    }

    /// What the model says of one device.
    #[must_use]
    pub fn model(&self, device: usize) -> States {
        let cell = &self.cells[device];
        let fresh = Timestamp(0);
        truth::states(
            cell.extensions.values().map(|e| e.view(fresh)).collect(),
            cell.trunks.values().map(|t| t.view(fresh)).collect(),
            cell.queues.values().map(|q| q.view(fresh)).collect(),
            cell.state.calls().iter().map(|c| c.view(cell.state.id(), fresh)).collect(),
        )
    }

    /// Where model and truth differ now, leaving out what is undecidable.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        let fleet = self.truth();
        let device = |n: usize| {
            let id = format!("sim-{}", n + 1);
            let theirs = truth::comparable(self.dialect, truth::truth(&fleet.devices[&id]));
            let found = truth::differences(&id, &theirs, &truth::comparable(self.dialect, self.model(n)));
            found.into_iter().filter(|d| !truth::undecidable(self.dialect, d)).collect::<Vec<_>>()
        };
        (0..self.cells.len()).flat_map(device).collect()
    }
}

fn jiff_utc() -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::UTC
}
