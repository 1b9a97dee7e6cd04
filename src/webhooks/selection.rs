//! Which events a webhook wants.

use std::collections::HashSet;

use switchroom_domain::event::{Event, EventKind};

use super::Webhook;

/// What a webhook wants, so that it is quickly told.
#[derive(Debug)]
pub struct Selection {
    /// One flag a kind, in the order of [`EventKind::ALL`].
    kinds: Vec<bool>,
    devices: HashSet<String>,
    extensions: HashSet<String>,
}

/// The kind without the prefix that it has in an envelope's `type`.
fn plain(pattern: &str) -> &str {
    pattern.strip_prefix("switchroom.").unwrap_or(pattern)
}

/// Does the pattern name some kind of event?
#[must_use]
pub fn names_a_kind(pattern: &str) -> bool {
    !pattern.is_empty() && EventKind::ALL.iter().any(|kind| kind.matches(plain(pattern)))
}

impl Selection {
    /// Of this webhook.
    #[must_use]
    pub fn of(webhook: &Webhook) -> Self {
        let wanted = |kind: &EventKind| webhook.kinds.iter().any(|pattern| kind.matches(plain(pattern)));
        Self {
            kinds: EventKind::ALL.iter().map(wanted).collect(),
            devices: webhook.devices.iter().cloned().collect(),
            extensions: webhook.extensions.iter().cloned().collect(),
        }
    }

    /// Is this event wanted?
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let numbers = [&event.data.extension, &event.data.from, &event.data.to];
        let concerns =
            || numbers.into_iter().flatten().any(|number| self.extensions.contains(number.as_str()));
        self.kinds.get(event.kind as usize).copied().unwrap_or(false)
            && (self.devices.is_empty() || self.devices.contains(event.device.as_str()))
            && (self.extensions.is_empty() || concerns())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchroom_domain::event::EventData;
    use switchroom_domain::id::{DeviceId, EventId};
    use switchroom_domain::time::Timestamp;

    #[test]
    fn all_that_is_given_must_fit() {
        let webhook = |kinds: &[&str], devices: &[&str], extensions: &[&str]| {
            let list = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
            Selection::of(&Webhook {
                id: "a".into(),
                url: String::new(),
                kinds: list(kinds),
                devices: list(devices),
                extensions: list(extensions),
                description: String::new(),
                mask_numbers: false,
                created_at: Timestamp(0),
            })
        };
        let event = Event {
            id: EventId(uuid::Uuid::nil()),
            device: DeviceId::new("hotel-1").expect("an id"),
            kind: EventKind::CallEnded,
            at: Timestamp(0),
            sequence: 1,
            subject: "calls/1".into(),
            data: EventData { from: Some("200".into()), ..EventData::default() },
        };
        for (selection, wanted) in [
            (webhook(&["*"], &[], &[]), true),
            (webhook(&["call.*"], &[], &[]), true),
            (webhook(&["switchroom.call.ended"], &["hotel-1"], &["200"]), true),
            (webhook(&["queue.*", "call.ringing"], &[], &[]), false),
            (webhook(&["call.ended"], &["hotel-2"], &[]), false),
            (webhook(&["call.ended"], &[], &["201"]), false),
        ] {
            assert_eq!(selection.wants(&event), wanted, "{selection:?}");
        }
        for (pattern, names) in
            [("call.*", true), ("*", true), ("", false), ("call.endet", false), ("calls.*", false)]
        {
            assert_eq!(names_a_kind(pattern), names, "{pattern}");
        }
    }
}
