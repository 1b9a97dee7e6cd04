//! A whole cell without actors: the same states, driven in place. For tests, and for running a recorded log
//! again.

use std::collections::HashMap;

use switchroom_domain::Text;
use switchroom_domain::fact::Fact;
use switchroom_domain::id::{DeviceId, IdSeed, LegId, Minter};
use switchroom_domain::time::Timestamp;

use super::state::{Ask, CellState, Effects, Work};
use crate::call_leg::LegState;
use crate::entity::{Doubt, Entity, Reply, Told};
use crate::extension::ExtensionState;
use crate::group_queue::QueueState;
use crate::trunk::TrunkState;

/// A cell without actors; see the module.
#[derive(Debug, Clone)]
pub struct OfflineCell {
    /// The device and its calls.
    pub state: CellState,
    /// Extensions by number.
    pub extensions: HashMap<Text, ExtensionState>,
    /// Trunks by number.
    pub trunks: HashMap<Text, TrunkState>,
    /// Queues by the device's id of them.
    pub queues: HashMap<Text, QueueState>,
    legs: HashMap<LegId, LegState>,
    doubt: Doubt,
}

impl OfflineCell {
    /// A device that was never heard of.
    #[must_use]
    pub fn new(id: DeviceId, doubt: Doubt) -> Self {
        Self {
            state: CellState::new(id, doubt),
            extensions: HashMap::new(),
            trunks: HashMap::new(),
            queues: HashMap::new(),
            legs: HashMap::new(),
            doubt,
        }
    }

    /// Applies a report's facts, received then.
    pub fn apply(&mut self, seed: IdSeed, facts: Vec<Fact>) -> Effects {
        self.state.start(seed, Some(Minter::report_id(seed)));
        self.run_timers(seed.at);
        for fact in facts {
            self.drive(seed.at, Work::Fact(fact));
        }
        self.state.finish()
    }

    /// Applies a note of our own.
    pub fn note(&mut self, seed: IdSeed, facts: Vec<Fact>) -> Effects {
        self.state.start(seed, None);
        self.run_timers(seed.at);
        for fact in facts {
            self.drive(seed.at, Work::Fact(fact));
        }
        self.state.finish()
    }

    /// Lets time pass without a report.
    pub fn tick(&mut self, seed: IdSeed) -> Effects {
        self.state.start(seed, None);
        self.run_timers(seed.at);
        self.state.finish()
    }

    fn run_timers(&mut self, now: Timestamp) {
        // Each round takes at least one timer away; the bound only guards against a mistake in that.
        for _ in 0..10_000 {
            if !self.state.has_due(now) {
                return;
            }
            self.drive(now, Work::Timers);
        }
    }

    fn drive(&mut self, now: Timestamp, work: Work) {
        let mut asks = self.state.begin(work);
        while !asks.is_empty() {
            let replies = asks.into_iter().map(|ask| self.tell(now, ask)).collect();
            asks = self.state.take(replies);
        }
    }

    fn tell(&mut self, now: Timestamp, (entity, told): Ask) -> Reply {
        let doubt = &self.doubt;
        match entity {
            Entity::Extension(number) => self
                .extensions
                .entry(number.clone())
                .or_insert_with(|| ExtensionState::new(number))
                .apply(now, doubt, told),
            Entity::Trunk(number) if self.extensions.contains_key(&number) => Reply::default(),
            Entity::Trunk(number) => self
                .trunks
                .entry(number.clone())
                .or_insert_with(|| TrunkState::new(number))
                .apply(now, doubt, told),
            Entity::Queue(id) => {
                self.queues.entry(id.clone()).or_insert_with(|| QueueState::new(id)).apply(now, doubt, told)
            }
            Entity::Leg(id) => {
                let Some(mut leg) = self.legs.remove(&id).or_else(|| self.state.leg(id)) else {
                    return Reply::default();
                };
                let reply = leg.apply(now, doubt, told);
                if leg.phase.is_live() {
                    self.legs.insert(id, leg);
                }
                reply
            }
            Entity::Everyone => self.tell_everyone(now, &told),
        }
    }

    fn tell_everyone(&mut self, now: Timestamp, told: &Told) -> Reply {
        let mut all = Reply::default();
        let mut numbers: Vec<&mut ExtensionState> = self.extensions.values_mut().collect();
        numbers.sort_by(|a, b| a.number().cmp(b.number()));
        for extension in numbers {
            all.join(extension.apply(now, &self.doubt, told.clone()));
        }
        for trunk in self.trunks.values_mut() {
            all.join(trunk.apply(now, &self.doubt, told.clone()));
        }
        for queue in self.queues.values_mut() {
            all.join(queue.apply(now, &self.doubt, told.clone()));
        }
        all
    }
}
