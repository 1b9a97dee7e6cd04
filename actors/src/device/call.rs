//! One call as its device knows it: its legs, and what follows from them.

use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::fact::Happening;
use switchroom_domain::id::{CallId, CommandId, DeviceId, LegId};
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_domain::view::{Basis, CallState, CallView, Direction, LegKind};

use super::conversation::Story;
use crate::call_leg::LegState;
use crate::entity::Phase;

/// When a call, or one leg of it, is taken to be over if nothing else is heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// When.
    pub at: Timestamp,
    /// Only this leg; otherwise the call.
    pub leg: Option<LegId>,
    /// What the call's end is then put down to.
    pub reason: Text,
}

/// A call; see the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Our id of it.
    pub id: CallId,
    /// Which way it goes, as far as its legs tell.
    pub direction: Direction,
    /// What it does.
    pub state: CallState,
    /// Where the state comes from.
    pub basis: Basis,
    /// The wire's id of the whole call, where there is one.
    pub key: Option<Text>,
    /// Who calls, where a report says so beside the legs (`outer from`).
    pub calling: Option<Text>,
    /// What was dialled (`visitor to`).
    pub dialled: Option<Text>,
    /// The trunk it uses.
    pub trunk: Option<Text>,
    /// The leg that began it, once a report's roles tell.
    pub caller: Option<LegId>,
    /// Its legs in the order in which they joined, those that left included.
    pub legs: Vec<LegState>,
    /// The queue it waits in.
    pub queue: Option<Text>,
    /// First report.
    pub started_at: Timestamp,
    /// First ringing.
    pub rang_at: Option<Timestamp>,
    /// First answer.
    pub answered_at: Option<Timestamp>,
    /// End.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<Text>,
    /// Last report.
    pub heard_at: Timestamp,
    /// When each kind of report about it came first and last: tells a late report from a new call.
    pub seen: Vec<(Happening, Timestamp, Timestamp)>,
    /// Ends that are due unless something else is heard.
    pub releases: Vec<Release>,
    /// The command that made it, or that was last about it.
    #[serde(default)]
    pub command: Option<CommandId>,
    /// What its conversation is made of, beside all this.
    #[serde(default)]
    pub story: Box<Story>,
}

impl Call {
    /// A call that begins.
    #[must_use]
    pub fn new(id: CallId, at: Timestamp) -> Self {
        Self {
            id,
            direction: Direction::Internal,
            state: CallState::Dialing,
            basis: Basis::Observed,
            key: None,
            calling: None,
            dialled: None,
            trunk: None,
            caller: None,
            legs: Vec::with_capacity(2),
            queue: None,
            started_at: at,
            rang_at: None,
            answered_at: None,
            ended_at: None,
            end_reason: None,
            heard_at: at,
            seen: Vec::new(),
            releases: Vec::new(),
            command: None,
            story: Box::default(),
        }
    }

    /// The trunks that it uses now: a visitor that was passed on to an outside number uses two.
    #[must_use]
    pub fn trunks_in_use(&self) -> Vec<Text> {
        let mut trunks: Vec<Text> = self.live_legs().filter_map(|leg| leg.trunk.clone()).collect();
        trunks.sort();
        trunks.dedup();
        trunks
    }

    /// The legs that are still in it.
    pub fn live_legs(&self) -> impl Iterator<Item = &LegState> {
        self.legs.iter().filter(|leg| leg.phase.is_live())
    }

    /// The live leg of this extension.
    #[must_use]
    pub fn live_extension(&self, number: &str) -> Option<&LegState> {
        self.live_legs().find(|leg| is_extension(leg, number))
    }

    /// Whether this extension is or was part of it.
    #[must_use]
    pub fn had_extension(&self, number: &str) -> bool {
        self.legs.iter().any(|leg| is_extension(leg, number))
    }

    /// The leg of this id.
    pub fn leg_mut(&mut self, id: LegId) -> Option<&mut LegState> {
        self.legs.iter_mut().find(|leg| leg.id == id)
    }

    /// Is it over?
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.ended_at.is_some()
    }

    /// Notes that a report of this kind came.
    pub fn saw(&mut self, happening: Happening, at: Timestamp) {
        self.heard_at = at;
        match self.seen.iter_mut().find(|(kind, ..)| *kind == happening) {
            Some((.., last)) => *last = at,
            None => self.seen.push((happening, at, at)),
        }
    }

    /// When a report of this kind came last.
    #[must_use]
    pub fn last_seen(&self, happening: Happening) -> Option<Timestamp> {
        self.seen.iter().find(|(kind, ..)| *kind == happening).map(|(.., last)| *last)
    }

    /// Can a report of this kind still be under way, or come a second time? Reports overtake each other only
    /// within a short time, so not if what must have come after it has been here for longer.
    #[must_use]
    pub fn can_still_come(&self, happening: Happening, now: Timestamp, overtake: Millis) -> bool {
        if let Some(last) = self.last_seen(happening) {
            return now.since(last) <= overtake;
        }
        let Some(stage) = stage_of(happening) else { return true };
        let later = self.seen.iter().filter(|(kind, ..)| stage_of(*kind).is_some_and(|s| s > stage));
        later.map(|(_, first, _)| *first).min().is_none_or(|first| now.since(first) <= overtake)
    }

    /// Who calls.
    #[must_use]
    pub fn from(&self) -> Option<Text> {
        match self.direction {
            Direction::Inbound => self.first(LegKind::Visitor).and_then(|leg| leg.number.clone()),
            Direction::Callback => self.first(LegKind::Outer).and_then(|leg| leg.number.clone()),
            Direction::Outbound => self
                .calling
                .clone()
                .or_else(|| self.first(LegKind::Extension).and_then(|leg| leg.number.clone())),
            Direction::Internal if self.is_of_menu() => None,
            Direction::Internal => self.caller_leg().and_then(|leg| leg.number.clone()),
        }
    }

    /// A menu called the telephone, as far as is known: nobody else is in it.
    #[must_use]
    pub fn is_of_menu(&self) -> bool {
        let extensions = self.legs.iter().filter(|leg| leg.kind == LegKind::Extension).count();
        self.caller.is_none() && extensions == 1 && self.first(LegKind::Menu).is_some()
    }

    /// What was called.
    #[must_use]
    pub fn to(&self) -> Option<Text> {
        let nth = |kind, n| self.legs.iter().filter(|leg| leg.kind == kind).nth(n);
        let number = |leg: Option<&LegState>| leg.and_then(|leg| leg.number.clone());
        match self.direction {
            Direction::Inbound => self.dialled.clone().or_else(|| number(nth(LegKind::Extension, 0))),
            Direction::Callback => number(nth(LegKind::Outer, 1)),
            Direction::Outbound => number(nth(LegKind::Outer, 0)),
            Direction::Internal if self.forwarded_by().is_some() && self.first(LegKind::Outer).is_some() => {
                self.forwarded_by().cloned()
            }
            Direction::Internal if self.is_of_menu() => number(nth(LegKind::Extension, 0)),
            Direction::Internal => {
                let caller = self.caller_leg().map(|leg| leg.id);
                let called = |leg: &&LegState| leg.kind == LegKind::Extension && Some(leg.id) != caller;
                // A diverted call is with whom it was diverted to.
                let now = self.live_legs().find(called);
                number(now.or_else(|| self.legs.iter().rev().find(called)))
            }
        }
    }

    /// The telephone that passed an internal call on to an outside number: the outside call is made in its
    /// name, but somebody else began the call.
    fn forwarded_by(&self) -> Option<&Text> {
        let caller = self.caller.and_then(|id| self.legs.iter().find(|leg| leg.id == id))?;
        let begun_by = caller.number.as_ref().filter(|_| caller.kind == LegKind::Extension)?;
        self.calling.as_ref().filter(|calling| *calling != begun_by)
    }

    /// The leg of who called, where an extension did.
    #[must_use]
    pub fn caller_leg(&self) -> Option<&LegState> {
        match self.caller {
            Some(id) => self.legs.iter().find(|leg| leg.id == id),
            None => self.first(LegKind::Extension),
        }
    }

    /// The first leg of a kind.
    #[must_use]
    pub fn first(&self, kind: LegKind) -> Option<&LegState> {
        self.legs.iter().find(|leg| leg.kind == kind)
    }

    /// The telephone that had it last: who talked, or else who joined last.
    #[must_use]
    pub fn last_extension(&self) -> Option<Text> {
        let extensions = || self.legs.iter().rev().filter(|leg| leg.kind == LegKind::Extension);
        let caller_last =
            extensions().find(|leg| Some(leg.id) != self.caller).or_else(|| extensions().next());
        caller_last.and_then(|leg| leg.number.clone())
    }

    /// Sets direction and state to what the legs say.
    pub fn evaluate(&mut self) {
        self.direction = self.direction_of_legs();
        self.state = self.state_of_legs();
    }

    fn direction_of_legs(&self) -> Direction {
        let outers = self.legs.iter().filter(|leg| leg.kind == LegKind::Outer).count();
        if self.first(LegKind::Visitor).is_some() {
            Direction::Inbound
        } else if outers >= 2 && self.first(LegKind::Extension).is_none() {
            Direction::Callback
        } else if outers >= 1 && self.forwarded_by().is_none() {
            Direction::Outbound
        } else {
            Direction::Internal
        }
    }

    fn state_of_legs(&self) -> CallState {
        if self.is_over() {
            return CallState::Ended;
        }
        let live = |test: fn(&LegState) -> bool| self.live_legs().filter(|leg| test(leg)).count();
        let talking =
            live(|leg| leg.kind != LegKind::Menu && matches!(leg.phase, Phase::Talking | Phase::Held));
        let phase_is = |phase| self.live_legs().any(|leg| leg.phase == phase);
        if talking >= 2 && phase_is(Phase::Held) {
            CallState::Held
        } else if talking >= 2 {
            CallState::Talking
        } else if phase_is(Phase::Ringing) || phase_is(Phase::Alerting) {
            CallState::Ringing
        } else if self.queue.is_some() {
            CallState::Queued
        } else if live(|leg| leg.kind == LegKind::Menu) > 0 {
            CallState::InMenu
        } else if phase_is(Phase::Incoming) {
            CallState::Incoming
        } else if phase_is(Phase::Invited) {
            CallState::Invited
        } else if talking == 1 && self.answered_at.is_some() {
            CallState::Talking
        } else {
            CallState::Dialing
        }
    }

    /// Does anyone else than `except` talk in it?
    #[must_use]
    pub fn talks_beside(&self, except: LegId) -> bool {
        self.live_legs().any(|leg| {
            leg.id != except && leg.kind != LegKind::Menu && matches!(leg.phase, Phase::Talking | Phase::Held)
        })
    }

    /// What a reader sees. Whatever was last heard before `fresh_from` is shown as stale.
    #[must_use]
    pub fn view(&self, device: &DeviceId, fresh_from: Timestamp) -> CallView {
        let stale = self.heard_at < fresh_from && !self.is_over();
        CallView {
            id: self.id,
            device: device.clone(),
            direction: self.direction,
            state: self.state,
            from: self.from(),
            to: self.to(),
            trunk: self.trunk.clone(),
            started_at: self.started_at,
            answered_at: self.answered_at,
            ended_at: self.ended_at,
            end_reason: self.end_reason.clone(),
            basis: if stale { Basis::Stale } else { self.basis },
            legs: self.legs.iter().map(|leg| leg.view(fresh_from)).collect(),
        }
    }
}

/// Where in the course of a call a report stands; none for what can come at any time.
const fn stage_of(happening: Happening) -> Option<u8> {
    match happening {
        Happening::Invited => Some(0),
        Happening::Incoming => Some(1),
        Happening::Queued => Some(2),
        Happening::Ringing | Happening::Alerting | Happening::Placed => Some(3),
        Happening::Answered | Happening::PeerAnswered => Some(4),
        Happening::Ended => Some(5),
        _ => None,
    }
}

/// Is this the leg of the extension?
#[must_use]
pub fn is_extension(leg: &LegState, number: &str) -> bool {
    leg.kind == LegKind::Extension && leg.number.as_deref() == Some(number)
}
