//! Whom a command means, and whether that one can do what is wanted.

use super::words::Refused;
use super::xml::Node;
use crate::dialect::om::{escaped, ext};
use crate::engine::call::{Call, Stage};
use crate::engine::device::{Device, Phone};

/// Which call a command names, by the id of its way in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Visitor,
    Outer,
}

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::Outer => "outer",
        }
    }
}

impl Device {
    /// The index of the extension that a node names.
    pub(super) fn extension_of(&self, node: &Node) -> Result<usize, Refused> {
        self.numbered(node.id()).ok_or_else(|| Refused::extension(7, node.id()))
    }

    pub(super) fn numbered(&self, number: &str) -> Option<usize> {
        self.extensions.iter().position(|extension| *extension.number == *number)
    }

    /// The live call in which a visitor or outer takes part.
    pub(super) fn call_of(&self, side: Side, node: &Node) -> Result<u64, Refused> {
        let nobody = || Refused::new(7, format!("  <{} id=\"{}\" />\n", side.name(), escaped(node.id())));
        let id: u32 = node.id().parse().map_err(|_| nobody())?;
        self.calls.values().find(|call| takes_part(call, side, id)).map(|call| call.id).ok_or_else(nobody)
    }

    /// The menu a node names; it must have been set up.
    pub(super) fn menu_of(&self, node: &Node) -> Result<u8, Refused> {
        let nobody = || Refused::new(7, format!("  <menu id=\"{}\" />\n", escaped(node.id())));
        let id: u8 = node.id().parse().map_err(|_| nobody())?;
        if self.om.menus.contains_key(&u32::from(id)) { Ok(id) } else { Err(nobody()) }
    }

    pub(super) fn group_of(&self, node: &Node) -> Result<usize, Refused> {
        let nobody = || Refused::new(7, format!("  <group id=\"{}\" />\n", escaped(node.id())));
        let id: u32 = node.id().parse().map_err(|_| nobody())?;
        self.groups.iter().position(|group| group.number == id).ok_or_else(nobody)
    }

    /// Whether a call to an extension gets anywhere now: it can be rung, or sends the call elsewhere.
    pub(super) fn can_be_called(&self, caller: &str, index: usize) -> Result<(), Refused> {
        if self.forwards_now(index) { Ok(()) } else { self.can_be_rung(caller, index) }
    }

    /// Whether an extension can be rung now. `caller` is whom the refusal names first.
    pub(super) fn can_be_rung(&self, caller: &str, index: usize) -> Result<(), Refused> {
        let extension = &self.extensions[index];
        let code = match extension.phone {
            Phone::Offline => 3,
            Phone::Busy if extension.call.is_some() => 4,
            Phone::Idle if self.is_idle(index) && !extension.is_undisturbed() => return Ok(()),
            _ => 6,
        };
        Err(Refused::new(code, format!("{caller}{}", ext(&extension.number))))
    }

    /// Whether an extension can begin a call now: idle, or with another call on hold.
    pub(super) fn can_call(&self, index: usize, called: &str) -> Result<(), Refused> {
        let extension = &self.extensions[index];
        let number = ext(&extension.number);
        if extension.phone == Phone::Offline {
            return Err(Refused::new(8, number));
        }
        if self.is_idle(index) || self.calls_from_hold(index) {
            Ok(())
        } else {
            Err(Refused::new(4, format!("{number}{called}")))
        }
    }

    /// It is off hook already, because its other call is on hold.
    pub(super) fn calls_from_hold(&self, index: usize) -> bool {
        let extension = &self.extensions[index];
        extension.held.is_some() && extension.call.is_none()
    }

    /// The call in which an extension talks.
    pub(super) fn talk_of(&self, index: usize) -> Option<u64> {
        let id = self.extensions[index].call?;
        self.calls.get(&id).filter(|call| matches!(call.stage, Stage::Talking)).map(|call| call.id)
    }
}

fn takes_part(call: &Call, side: Side, id: u32) -> bool {
    match side {
        Side::Visitor => call.visitor.as_ref().is_some_and(|visitor| visitor.id == id),
        Side::Outer => call.outers.iter().any(|outer| outer.id == id),
    }
}
