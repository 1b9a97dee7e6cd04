//! Which events a subscriber wants, and may have.

use std::collections::HashSet;

use serde::Deserialize;
use switchroom_domain::event::{Event, EventKind};
use switchroom_domain::id::DeviceId;

use super::State;
use super::auth::{Caller, event_has_extension};
use super::error::{Kind, Problem};
use super::input::{device_id, list};

/// A filter as it is asked for; each is a comma-separated list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wish {
    /// Ids of devices.
    pub(super) device: Option<String>,
    /// Kinds of events; `call.*` is all of a family.
    pub(super) kind: Option<String>,
    /// Extensions that the event concerns: as `extension`, `from` or `to`.
    pub(super) extension: Option<String>,
}

/// A filter that can be applied.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    caller: Caller,
    devices: Option<HashSet<String>>,
    /// One flag a kind, in the order of [`EventKind::ALL`].
    kinds: Option<Vec<bool>>,
    extensions: Option<HashSet<String>>,
}

impl Filter {
    /// The filter of a wish, within what the caller may see.
    ///
    /// # Errors
    /// Names the device that is not there, or the pattern that names no kind.
    pub(super) fn new(state: &State, caller: Caller, wish: &Wish) -> Result<Self, Problem> {
        let mut devices = HashSet::new();
        for id in list(wish.device.as_deref()) {
            let known = device_id(id)?;
            if !caller.sees(&known) || state.services.registry.get(&known).is_none() {
                return Err(Problem::no_device(id).field("device"));
            }
            devices.insert(id.to_owned());
        }
        let patterns = list(wish.kind.as_deref());
        for pattern in &patterns {
            if !EventKind::ALL.iter().any(|kind| kind.matches(plain(pattern))) {
                let detail = format!(
                    "{pattern:?} is no kind of event; for example call.ended, or call.* for a family"
                );
                return Err(Problem::new(Kind::BadParameter, detail).field("kind"));
            }
        }
        let wanted = |kind: &EventKind| patterns.iter().any(|pattern| kind.matches(plain(pattern)));
        let kinds = (!patterns.is_empty()).then(|| EventKind::ALL.iter().map(wanted).collect());
        let extensions: HashSet<String> =
            list(wish.extension.as_deref()).into_iter().map(str::to_owned).collect();
        for extension in &extensions {
            caller.may_look_for("extension", extension)?;
        }
        Ok(Self {
            caller,
            devices: (!devices.is_empty()).then_some(devices),
            kinds,
            extensions: (!extensions.is_empty()).then_some(extensions),
        })
    }

    /// Who asks.
    pub(super) const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The only device whose events can be wanted, if there is one.
    pub(super) fn only_device(&self) -> Option<DeviceId> {
        let devices = self.devices.as_ref().filter(|devices| devices.len() == 1)?;
        devices.iter().next().and_then(|id| DeviceId::new(id).ok())
    }

    fn wants_kind(&self, kind: EventKind) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.get(kind as usize).copied().unwrap_or(false))
    }

    fn wants_device(&self, device: &DeviceId) -> bool {
        self.devices.as_ref().is_none_or(|devices| devices.contains(device.as_str()))
            && self.caller.sees(device)
    }

    fn wants_extensions(&self, mut has: impl FnMut(&HashSet<String>) -> bool) -> bool {
        self.extensions.as_ref().is_none_or(&mut has) && self.caller.extensions().is_none_or(&mut has)
    }

    /// Is this event wanted?
    pub(super) fn wants(&self, event: &Event) -> bool {
        self.wants_kind(event.kind)
            && self.wants_device(&event.device)
            && self.wants_extensions(|set| event_has_extension(&event.data, |number| set.contains(number)))
    }
}

/// The kind without the prefix that it has in an envelope's `type`.
fn plain(pattern: &str) -> &str {
    pattern.strip_prefix("switchroom.").unwrap_or(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_in_the_order_of_their_list() {
        for (i, kind) in EventKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, i);
        }
    }
}
