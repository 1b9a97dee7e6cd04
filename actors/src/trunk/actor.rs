//! The actor: nothing but its state in the common shell.

use switchroom_domain::time::Timestamp;
use switchroom_domain::view::TrunkView;

use super::TrunkState;
use crate::entity::{Doubt, Reply, Told};
use crate::shell::{EntityState, Shell};

/// A trunk as an actor.
pub type Trunk = Shell<TrunkState>;

impl EntityState for TrunkState {
    type View = TrunkView;

    fn apply(&mut self, now: Timestamp, doubt: &Doubt, told: Told) -> Reply {
        Self::apply(self, now, doubt, told)
    }

    fn class(&self) -> u8 {
        Self::class(self)
    }

    fn view(&self, fresh_from: Timestamp) -> TrunkView {
        Self::view(self, fresh_from)
    }
}
