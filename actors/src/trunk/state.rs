//! What is known of a trunk.

use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::event::{EventData, EventKind};
use switchroom_domain::id::CallId;
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{Basis, TrunkState as Shown, TrunkView};

use crate::entity::{Doubt, Draft, Reply, Told};

/// A trunk's state; see the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrunkState {
    number: Text,
    line_id: Option<Text>,
    calls: Vec<CallId>,
    shown: Shown,
    basis: Basis,
    since: Option<Timestamp>,
    heard_at: Option<Timestamp>,
}

impl TrunkState {
    /// A trunk of which only the number is known.
    #[must_use]
    pub fn new(number: Text) -> Self {
        Self {
            number,
            line_id: None,
            calls: Vec::new(),
            shown: Shown::Unknown,
            basis: Basis::Inferred,
            since: None,
            heard_at: None,
        }
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> &Text {
        &self.number
    }

    /// The class it is counted in.
    #[must_use]
    pub fn class(&self) -> u8 {
        self.shown as u8
    }

    /// Takes what it is told and says what changed.
    pub fn apply(&mut self, now: Timestamp, _: &Doubt, told: Told) -> Reply {
        match told {
            Told::Seized { call } if !self.calls.contains(&call) => self.calls.push(call),
            Told::Released { call } => self.calls.retain(|c| *c != call),
            Told::DeviceRestarted => self.calls.clear(),
            Told::Known { line_id } => self.line_id = line_id.or_else(|| self.line_id.take()),
            _ => {}
        }
        self.heard_at = Some(now);
        let state = if self.calls.is_empty() { Shown::Ready } else { Shown::Active };
        let mut reply = Reply::default();
        if state != self.shown {
            let previous = std::mem::replace(&mut self.shown, state);
            self.since = Some(now);
            self.basis = Basis::Inferred;
            reply.class = Some((previous as u8, state as u8));
            reply.drafts.push(Draft {
                kind: EventKind::TrunkStateChanged,
                subject: compact_str::format_compact!("trunks/{}", self.number),
                data: EventData {
                    basis: Basis::Inferred,
                    trunk: Some(self.number.clone()),
                    state: Some(name(state).into()),
                    previous: Some(name(previous).into()),
                    call: self.calls.last().copied(),
                    ..EventData::default()
                },
            });
        }
        reply
    }

    /// What a reader sees.
    #[must_use]
    pub fn view(&self, fresh_from: Timestamp) -> TrunkView {
        let stale = self.heard_at.is_some_and(|at| at < fresh_from);
        TrunkView {
            number: self.number.clone(),
            line_id: self.line_id.clone(),
            state: self.shown,
            basis: if stale { Basis::Stale } else { self.basis },
            since: self.since,
            calls: self.calls.clone(),
        }
    }
}

/// The state's name in events.
const fn name(state: Shown) -> &'static str {
    match state {
        Shown::Ready => "ready",
        Shown::Active => "active",
        Shown::Unwired => "unwired",
        Shown::Offline => "offline",
        Shown::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchroom_domain::id::{IdSeed, Minter};

    #[test]
    fn is_active_while_a_call_is_on_it() {
        let mut ids = Minter::new(IdSeed { at: Timestamp(5), entropy: 3 });
        let (a, b) = (CallId(ids.mint()), CallId(ids.mint()));
        let mut trunk = TrunkState::new("888".into());
        let mut told = |told| {
            let reply = trunk.apply(Timestamp(9), &Doubt::default(), told);
            (trunk.view(Timestamp(0)).state, reply.drafts.len())
        };
        assert_eq!(told(Told::Mentioned), (Shown::Ready, 1));
        assert_eq!(told(Told::Seized { call: a }), (Shown::Active, 1));
        assert_eq!(told(Told::Seized { call: a }), (Shown::Active, 0));
        assert_eq!(told(Told::Seized { call: b }), (Shown::Active, 0));
        assert_eq!(told(Told::Released { call: a }), (Shown::Active, 0));
        assert_eq!(told(Told::DeviceRestarted), (Shown::Ready, 1));
    }
}
