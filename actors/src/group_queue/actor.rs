//! The actor: nothing but its state in the common shell.

use switchroom_domain::time::Timestamp;
use switchroom_domain::view::GroupView;

use super::QueueState;
use crate::entity::{Doubt, Reply, Told};
use crate::shell::{EntityState, Shell};

/// A queue as an actor.
pub type GroupQueue = Shell<QueueState>;

impl EntityState for QueueState {
    type View = GroupView;

    fn apply(&mut self, now: Timestamp, doubt: &Doubt, told: Told) -> Reply {
        Self::apply(self, now, doubt, told)
    }

    fn class(&self) -> u8 {
        Self::class(self)
    }

    fn view(&self, fresh_from: Timestamp) -> GroupView {
        Self::view(self, fresh_from)
    }
}
