//! The actor: nothing but its state in the common shell.

use switchroom_domain::time::Timestamp;
use switchroom_domain::view::LegView;

use super::LegState;
use crate::entity::{Doubt, Reply, Told};
use crate::shell::{EntityState, Shell};

/// A call leg as an actor.
pub type CallLeg = Shell<LegState>;

impl EntityState for LegState {
    type View = LegView;

    fn apply(&mut self, now: Timestamp, doubt: &Doubt, told: Told) -> Reply {
        Self::apply(self, now, doubt, told)
    }

    fn class(&self) -> u8 {
        Self::class(self)
    }

    fn view(&self, fresh_from: Timestamp) -> LegView {
        Self::view(self, fresh_from)
    }
}
