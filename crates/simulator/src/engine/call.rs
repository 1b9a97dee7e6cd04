//! One call: who is in it, where it stands, and what will become of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ended::Tale;
use super::happening::Outcome;
use super::wire::{Channel, Wire};
use crate::config::Dialect;

/// Which way a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From outside to the device.
    Inbound,
    /// From the device to the outside.
    Outbound,
    /// Between extensions, or a menu and an extension.
    Internal,
    /// Two outside parties, both called by the device.
    Callback,
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// An application may refuse it.
    Invited,
    /// An application may route it.
    Incoming,
    /// In a group's queue.
    Queued,
    /// In one extension's queue, where an application put it: no report tells.
    WaitingFor(usize),
    InMenu,
    /// The extension that a command has call somebody rings first.
    CallerRings,
    Dialing,
    /// `callee` rings, or the last of the outer parties does.
    Ringing,
    Talking,
}

/// Where a call is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Extension(usize),
    /// `by` has its calls forwarded, at once or when nobody answers.
    Forwarded {
        by: usize,
        to: Forward,
        after_ringing: bool,
    },
    Group(usize),
    Menu(u8),
    /// An application lets the call wait for this extension.
    WaitFor(usize),
    Outside,
    /// Two outside parties.
    Both,
    /// The device itself wakes this extension.
    Alarm(usize),
}

/// Where calls are forwarded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forward {
    Extension(usize),
    Outside,
}

/// What becomes of a call once it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterwards {
    HangUp,
    /// The extension passes the caller on to another one.
    PassToExtension,
    /// The extension passes the caller on to an outside number.
    PassOutside,
}

/// What was drawn for a call when it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) answered: bool,
    pub(crate) busy: bool,
    pub(crate) afterwards: Afterwards,
    /// The extension presses a key while it talks.
    pub(crate) keys: bool,
}

impl Plan {
    pub(crate) fn to(target: Target) -> Self {
        Self { target, answered: true, busy: false, afterwards: Afterwards::HangUp, keys: false }
    }
}

/// What happens once the extension that a command has call somebody has picked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The other extension is rung.
    Deliver,
    /// The outside number is dialled.
    Dial,
    /// The other side rings already.
    WaitForAnswer,
}

/// What a command adds to a call; the calls that the device makes by itself have none of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Order {
    /// A command placed or moved it: nobody else's telephone will do.
    pub(crate) commanded: bool,
    /// Every ringing is one that the command caused. Off once a group hunts by itself.
    pub(crate) rings_counted: bool,
    /// The caller has yet to be rung, or rings.
    pub(crate) then: Option<Then>,
    /// The extension whose talk it listens to.
    pub(crate) watches: Option<usize>,
    /// The watcher takes part.
    pub(crate) barges_in: bool,
    /// The first outer party is the one that the others are called for.
    pub(crate) outer_leads: bool,
    /// An extension has put it on hold.
    pub(crate) held: bool,
    /// The trunk over which the second party of a callback is to be called.
    pub(crate) second_trunk: Option<usize>,
    /// A menu is to play what the command named, once.
    pub(crate) announces: bool,
    /// The caller stays in the menu although it has nothing more to type.
    pub(crate) lingers: bool,
}

/// What happened in the menu so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InMenu {
    pub(crate) menu: u8,
    pub(crate) since: u64,
    /// Reports that the menu still causes.
    pub(crate) steps: u8,
    /// A report has told that the call is in the menu.
    pub(crate) told: bool,
}

/// A live call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) dialect: Dialect,
    pub(crate) direction: Direction,
    pub(crate) stage: Stage,
    pub(crate) plan: Plan,
    /// Only the timer with this token counts.
    pub(crate) token: u32,
    pub(crate) from: Option<Arc<str>>,
    pub(crate) to: Option<Arc<str>>,
    pub(crate) channel: Channel,
    pub(crate) visitor: Option<Wire>,
    pub(crate) outers: Vec<Wire>,
    /// The trunks it holds, by index, one entry for each line.
    pub(crate) trunks: Vec<usize>,
    pub(crate) caller: Option<usize>,
    pub(crate) callee: Option<usize>,
    /// The other telephones that ring for it at the same time, each of which may become the callee.
    pub(crate) beside: Vec<usize>,
    pub(crate) menu: Option<InMenu>,
    pub(crate) group: Option<usize>,
    /// The extension whose forwarding took the call.
    pub(crate) forwarded_by: Option<usize>,
    /// The extension that passed the call on to the outside.
    pub(crate) passed_by: Option<usize>,
    pub(crate) started: u64,
    /// When the trunk was answered, which is before any extension does if there is a queue or menu.
    pub(crate) accepted: Option<u64>,
    pub(crate) queued_at: Option<u64>,
    pub(crate) leg_started: u64,
    /// The callid of the current leg to an extension (or from one).
    pub(crate) leg_callid: u32,
    /// When the current pair began to talk.
    pub(crate) talking_since: Option<u64>,
    /// When anybody answered first, and how long it rang.
    pub(crate) first_answer: Option<u64>,
    pub(crate) ring_ms: u64,
    pub(crate) queue_ms: u64,
    pub(crate) menu_ms: u64,
    pub(crate) digits: String,
    pub(crate) outcome: Outcome,
    /// Marked by a pause to stand once it can.
    pub(crate) stands: bool,
    /// Its timers are frozen.
    pub(crate) frozen: bool,
    pub(crate) order: Order,
    /// For the truth about it once it is over.
    pub(crate) tale: Tale,
}

impl Call {
    pub(crate) fn new(
        id: u64,
        dialect: Dialect,
        direction: Direction,
        plan: Plan,
        channel: Channel,
        now: u64,
    ) -> Self {
        Self {
            id,
            dialect,
            direction,
            stage: Stage::Dialing,
            plan,
            token: 0,
            from: None,
            to: None,
            channel,
            visitor: None,
            outers: Vec::new(),
            trunks: Vec::new(),
            caller: None,
            callee: None,
            beside: Vec::new(),
            menu: None,
            group: None,
            forwarded_by: None,
            passed_by: None,
            started: now,
            accepted: None,
            queued_at: None,
            leg_started: now,
            leg_callid: 0,
            talking_since: None,
            first_answer: None,
            ring_ms: 0,
            queue_ms: 0,
            menu_ms: 0,
            digits: String::new(),
            outcome: Outcome::NoAnswer,
            stands: false,
            frozen: false,
            order: Order::default(),
            tale: Tale::default(),
        }
    }

    /// Everybody who is called: one telephone, or all that ring for it at the same time.
    pub(crate) fn called(&self) -> impl Iterator<Item = usize> {
        self.callee.into_iter().chain(self.beside.iter().copied())
    }

    /// Somebody answered at `now`; the outcome is settled by the first.
    pub(crate) fn answered(&mut self, now: u64) {
        self.stage = Stage::Talking;
        self.talking_since = Some(now);
        self.outcome = Outcome::Answered;
        if self.first_answer.is_none() {
            self.first_answer = Some(now);
            self.ring_ms = now - self.leg_started;
        }
    }

    /// Whether it is in a state that can last, and that the reports so far have told. Only an OM's
    /// reports tell of queues and of who is in a menu.
    pub(crate) fn can_stand(&self) -> bool {
        match self.stage {
            Stage::Talking => true,
            Stage::Queued => self.dialect == Dialect::Om,
            Stage::InMenu => self.dialect == Dialect::Om && self.menu.is_some_and(|menu| menu.told),
            _ => false,
        }
    }

    /// Whether it will come to such a state if all goes as planned.
    pub(crate) fn will_stand(&self) -> bool {
        self.can_stand()
            || self.plan.answered
                && !self.plan.busy
                && !matches!(self.stage, Stage::WaitingFor(_) | Stage::Queued | Stage::InMenu)
    }
}
