//! What is known of a call leg.

use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::id::LegId;
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{Basis, CallState, LegKind, LegView};

use crate::entity::{Doubt, LegMove, Phase, Reply, Told};

/// A leg's state; see the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LegState {
    /// Its id.
    pub id: LegId,
    /// What it is.
    pub kind: LegKind,
    /// Extension, outside number, or menu.
    pub number: Option<Text>,
    /// The wire's id of it.
    pub wire_id: Option<Text>,
    /// The wire's `callid`, the last one named.
    pub callid: Option<Text>,
    /// The trunk that it uses.
    pub trunk: Option<Text>,
    /// What it does.
    pub phase: Phase,
    /// Where that comes from.
    pub basis: Basis,
    /// When it was last heard of.
    pub heard_at: Timestamp,
}

impl LegState {
    /// A leg that begins.
    #[must_use]
    pub fn new(id: LegId, kind: LegKind, at: Timestamp) -> Self {
        Self {
            id,
            kind,
            number: None,
            wire_id: None,
            callid: None,
            trunk: None,
            phase: Phase::Dialing,
            basis: Basis::Observed,
            heard_at: at,
        }
    }

    /// The class it is counted in: live or not.
    #[must_use]
    pub fn class(&self) -> u8 {
        u8::from(self.phase.is_live())
    }

    /// Takes what it is told and says what changed.
    pub fn apply(&mut self, now: Timestamp, _: &Doubt, told: Told) -> Reply {
        let Told::Moved(step) = told else { return Reply::default() };
        let moved = self.take(now, step);
        Reply { phase: Some(self.phase), moved, ..Reply::default() }
    }

    fn take(&mut self, now: Timestamp, step: LegMove) -> bool {
        self.heard_at = now;
        if self.number.is_none() {
            self.number = step.number;
        }
        if self.wire_id.is_none() {
            self.wire_id = step.wire_id;
        }
        if step.callid.is_some() {
            self.callid = step.callid;
        }
        let Some(phase) = step.phase else { return false };
        let forward = phase.rank() > self.phase.rank()
            || (phase.rank() == self.phase.rank() && phase != self.phase)
            || (step.back && self.phase.is_live() && phase != self.phase);
        if forward {
            self.phase = phase;
            self.basis = step.basis;
        } else if phase == self.phase && step.basis == Basis::Observed {
            self.basis = Basis::Observed;
        }
        forward
    }

    /// What a reader sees.
    #[must_use]
    pub fn view(&self, fresh_from: Timestamp) -> LegView {
        LegView {
            id: self.id,
            kind: self.kind,
            number: self.number.clone(),
            wire_id: self.wire_id.clone(),
            callid: self.callid.clone(),
            state: state_of(self.phase),
            basis: if self.heard_at < fresh_from && self.phase.is_live() { Basis::Stale } else { self.basis },
        }
    }
}

/// A leg's phase in the words of the API.
#[must_use]
pub const fn state_of(phase: Phase) -> CallState {
    match phase {
        Phase::Dialing => CallState::Dialing,
        Phase::Invited => CallState::Invited,
        Phase::Incoming => CallState::Incoming,
        Phase::Queued => CallState::Queued,
        Phase::InMenu => CallState::InMenu,
        Phase::Alerting | Phase::Ringing => CallState::Ringing,
        Phase::Talking => CallState::Talking,
        Phase::Held => CallState::Held,
        Phase::Gone => CallState::Ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchroom_domain::id::{IdSeed, Minter};

    fn leg() -> LegState {
        let mut ids = Minter::new(IdSeed { at: Timestamp(5), entropy: 3 });
        LegState::new(LegId(ids.mint()), LegKind::Extension, Timestamp(5))
    }

    fn to(phase: Phase) -> Told {
        Told::Moved(LegMove { phase: Some(phase), ..LegMove::default() })
    }

    #[test]
    fn never_moves_back_and_never_comes_back() {
        let order = [Phase::Dialing, Phase::Ringing, Phase::Talking, Phase::Gone];
        for (i, first) in order.iter().enumerate() {
            for (j, second) in order.iter().enumerate() {
                let mut leg = leg();
                leg.apply(Timestamp(6), &Doubt::default(), to(*first));
                leg.apply(Timestamp(7), &Doubt::default(), to(*second));
                assert_eq!(leg.phase, order[i.max(j)], "{first:?} then {second:?}");
            }
        }
    }

    #[test]
    fn a_transferred_party_rings_again_but_a_gone_one_does_not() {
        let mut leg = leg();
        let back = || Told::Moved(LegMove { phase: Some(Phase::Alerting), back: true, ..LegMove::default() });
        leg.apply(Timestamp(6), &Doubt::default(), to(Phase::Talking));
        assert!(leg.apply(Timestamp(7), &Doubt::default(), back()).moved);
        leg.apply(Timestamp(8), &Doubt::default(), to(Phase::Gone));
        assert!(!leg.apply(Timestamp(9), &Doubt::default(), back()).moved);
    }
}
