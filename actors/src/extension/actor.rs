//! The actor: nothing but its state in the common shell.

use switchroom_domain::time::Timestamp;
use switchroom_domain::view::ExtensionView;

use super::ExtensionState;
use crate::entity::{Doubt, Reply, Told};
use crate::shell::{EntityState, Shell};

/// An extension as an actor.
pub type Extension = Shell<ExtensionState>;

impl EntityState for ExtensionState {
    type View = ExtensionView;

    fn apply(&mut self, now: Timestamp, doubt: &Doubt, told: Told) -> Reply {
        Self::apply(self, now, doubt, told)
    }

    fn class(&self) -> u8 {
        Self::class(self)
    }

    fn view(&self, fresh_from: Timestamp) -> ExtensionView {
        Self::view(self, fresh_from)
    }
}
