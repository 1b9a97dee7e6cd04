//! Reports in bulk, without a socket and without waiting: for benchmarks and for tests of readers.

use crate::config::FleetConfig;
use crate::engine::{Emission, Engine};
use crate::fleet::http::{Style, Target};

/// A virtual day without a call means that there will be none.
const NO_CALLS_MS: u64 = 86_400_000;

/// 2025-01-01T00:00:00Z: a fixed start makes the same bytes every time.
const EPOCH: i64 = 1_735_689_600;

/// The first `count` reports of the fleet that `config` describes, in the order in which they would
/// be sent. The calls are whole and legal; only the last ones may be cut off by the count.
pub fn script(config: &FleetConfig, count: usize) -> anyhow::Result<Vec<Emission>> {
    let mut engine = Engine::new(config, EPOCH)?;
    let mut reports = Vec::with_capacity(count);
    let mut last_call = 0;
    while reports.len() < count {
        let Some(some) = engine.step() else { break };
        if some.iter().any(|emission| emission.call.is_some()) {
            last_call = engine.now();
        } else if engine.now() - last_call > NO_CALLS_MS {
            break;
        }
        reports.extend(some);
    }
    reports.truncate(count);
    Ok(reports)
}

/// Writes reports as whole HTTP requests, for whoever wants to send a script over sockets of its
/// own.
#[derive(Debug)]
pub struct Requests {
    styles: Vec<Style>,
}

impl Requests {
    /// Requests of the fleet that `config` describes, to its `report_to`.
    pub fn new(config: &FleetConfig) -> anyhow::Result<Self> {
        let target = Target::parse(&config.report_to)?;
        Ok(Self { styles: (0..config.devices).map(|index| Style::new(config, &target, index)).collect() })
    }

    /// Head and body; empty if the fleet has no such device.
    pub fn bytes(&self, emission: &Emission) -> Vec<u8> {
        self.styles.get(emission.device).map(|style| style.request(&emission.report)).unwrap_or_default()
    }
}
