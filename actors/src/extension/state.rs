//! What is known of an extension, and how two kinds of evidence become one state.

use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::event::{EventData, EventKind};
use switchroom_domain::fact::LineStatus;
use switchroom_domain::id::{CallId, LegId};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{Basis, ExtensionState as Shown, ExtensionView};

use crate::entity::{Deadline, Doubt, Draft, Phase, Reply, Told};

/// What its line was last reported to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Line {
    #[default]
    Unknown,
    Idle,
    Ringing,
    Busy,
}

/// A live leg of the extension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Leg {
    call: CallId,
    leg: LegId,
    phase: Phase,
    #[serde(default)]
    heard_at: Timestamp,
}

/// An extension's state; see the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExtensionState {
    number: Text,
    line_id: Option<Text>,
    address: Option<Box<str>>,
    line: Line,
    /// `None` until a registration was reported.
    offline: Option<bool>,
    #[serde(default)]
    offline_at: Option<Timestamp>,
    legs: Vec<Leg>,
    waiting: Vec<CallId>,
    shown: Shown,
    basis: Basis,
    since: Option<Timestamp>,
    /// When anything was last heard of it.
    heard_at: Option<Timestamp>,
    #[serde(default)]
    rang_at: Option<Timestamp>,
    busy_at: Option<Timestamp>,
    idle_at: Option<Timestamp>,
    /// The spell that the last IDLE ended had shown no BUSY.
    lacked_busy: bool,
    /// A spell began although the one before had shown no IDLE.
    idle_missing: bool,
    /// When a leg last ended, and no IDLE has come since to match it.
    released_at: Option<Timestamp>,
    /// Legs that an IDLE contradicts, and of which nothing was heard since.
    doubted: Vec<LegId>,
}

impl ExtensionState {
    /// An extension of which only the number is known.
    #[must_use]
    pub fn new(number: Text) -> Self {
        Self {
            number,
            line_id: None,
            address: None,
            line: Line::Unknown,
            offline: None,
            offline_at: None,
            legs: Vec::new(),
            waiting: Vec::new(),
            shown: Shown::Unknown,
            basis: Basis::Inferred,
            since: None,
            heard_at: None,
            rang_at: None,
            busy_at: None,
            idle_at: None,
            lacked_busy: false,
            idle_missing: false,
            released_at: None,
            doubted: Vec::new(),
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
    pub fn apply(&mut self, now: Timestamp, doubt: &Doubt, told: Told) -> Reply {
        let before = self.shown;
        let mut reply = Reply::default();
        let mut basis = Basis::Observed;
        match told {
            Told::LineReported { status, address } => {
                self.line_reported(now, doubt, status, address, &mut reply)
            }
            Told::LegMoved { call, leg, phase, basis: from } => {
                basis = from;
                self.leg_moved(now, doubt, call, leg, phase);
            }
            Told::LineAsked { status } => {
                basis = Basis::Reconciled;
                self.line_asked(now, doubt, status);
            }
            Told::Known { line_id } => {
                self.line_id = line_id.or_else(|| self.line_id.take());
                basis = Basis::Reconciled;
            }
            Told::DeviceRestarted => {
                basis = Basis::Inferred;
                self.device_restarted(&mut reply);
            }
            Told::DoubtExpired => {
                basis = Basis::Inferred;
                self.doubt_expired(&mut reply);
            }
            _ => {}
        }
        self.heard_at = Some(now);
        self.show(now, basis, &mut reply);
        if self.shown != before {
            reply.class = Some((before as u8, self.shown as u8));
        }
        reply
    }

    fn line_reported(
        &mut self,
        now: Timestamp,
        doubt: &Doubt,
        status: LineStatus,
        address: Option<Text>,
        reply: &mut Reply,
    ) {
        let recent = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) <= doubt.overtake);
        match status {
            LineStatus::Busy | LineStatus::OnHold => {
                // A BUSY on the heels of the IDLE that ended its spell was overtaken by it.
                // That is so if the spell had no BUSY, or this is that BUSY again.
                let late_or_double = self.lacked_busy || recent(self.busy_at);
                let overtaken = recent(self.idle_at) && self.legs.is_empty() && late_or_double;
                if self.line == Line::Ringing {
                    // A line that rang and is busy now was picked up; some dialects report it no other way.
                    let ringing = self.legs.iter().filter(|leg| leg.phase == Phase::Ringing);
                    reply.picked_up.extend(ringing.map(|leg| (leg.call, leg.leg)));
                }
                // Two spells without an IDLE between them: it is still under way.
                if !recent(self.busy_at) {
                    self.idle_missing = self.line == Line::Busy && self.busy_at >= self.idle_at;
                }
                self.busy_at = Some(now);
                if !overtaken {
                    self.line = Line::Busy;
                    self.is_reachable(now, doubt);
                }
            }
            LineStatus::Ringing => {
                // The same of two spells of ringing, as when a queue tries a telephone again, and of a line
                // that was busy with no call.
                if !recent(self.rang_at) {
                    self.idle_missing =
                        self.line == Line::Ringing || (self.line == Line::Busy && self.legs.is_empty());
                }
                self.rang_at = Some(now);
                self.line = Line::Ringing;
                // It rings again, for a call that was just heard of: that call's IDLE was of its ringing before.
                let again = |leg: &Leg| leg.phase == Phase::Ringing && recent(Some(leg.heard_at));
                let legs = &self.legs;
                self.doubted.retain(|doubted| !legs.iter().any(|leg| leg.leg == *doubted && again(leg)));
                self.is_reachable(now, doubt);
            }
            LineStatus::Idle | LineStatus::RegisteredIdle => self.went_idle(now, doubt, status, reply),
            LineStatus::Online => {
                self.offline = Some(false);
                if self.line == Line::Unknown && self.legs.is_empty() {
                    self.line = Line::Idle;
                }
            }
            LineStatus::Offline => {
                self.offline = Some(true);
                self.offline_at = Some(now);
                self.line = Line::Idle;
                // A telephone without network has no calls any more; its legs' own end may still come.
                self.doubt_if_in_call(now, doubt, reply);
            }
        }
        if matches!(status, LineStatus::Online | LineStatus::RegisteredIdle) {
            self.registered(address, reply);
        }
    }

    /// What the device says itself is taken as it is: nothing of it is late, and its legs were corrected before.
    fn line_asked(&mut self, now: Timestamp, doubt: &Doubt, status: LineStatus) {
        if self.heard_at.is_some_and(|at| now.since(at) <= doubt.overtake) {
            // A report has come since it was asked.
            return;
        }
        self.idle_missing = false;
        self.lacked_busy = false;
        self.released_at = None;
        self.offline = Some(status == LineStatus::Offline);
        match status {
            LineStatus::Busy | LineStatus::OnHold => {
                self.line = Line::Busy;
                self.busy_at = Some(now);
            }
            LineStatus::Ringing => self.line = Line::Ringing,
            LineStatus::Idle | LineStatus::RegisteredIdle | LineStatus::Online | LineStatus::Offline => {
                self.line = Line::Idle;
                self.idle_at = Some(now);
            }
        }
    }

    fn went_idle(&mut self, now: Timestamp, doubt: &Doubt, status: LineStatus, reply: &mut Reply) {
        let recent = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) <= doubt.overtake);
        // The IDLE of a call that ended a moment ago, or that IDLE a second time, or the one that was missing
        // between two calls, says nothing of what has begun since.
        let missing = std::mem::take(&mut self.idle_missing) && recent(self.busy_at.max(self.rang_at));
        let of_earlier_call = recent(self.released_at) || recent(self.idle_at) || missing;
        if status == LineStatus::RegisteredIdle {
            self.offline = Some(false);
        } else if !of_earlier_call {
            self.is_reachable(now, doubt);
        }
        let used_since_release =
            recent(self.released_at) && self.busy_at.max(self.rang_at) > self.released_at;
        self.released_at = None;
        let repeated = recent(self.idle_at) && self.line == Line::Ringing;
        self.lacked_busy = self.busy_at <= self.idle_at;
        self.idle_at = Some(now);
        if self.legs.is_empty() {
            if !used_since_release && !missing && !repeated {
                self.line = Line::Idle;
            }
        } else if !of_earlier_call {
            self.line = Line::Idle;
            self.doubt_if_in_call(now, doubt, reply);
        }
    }

    /// Whoever does something is registered, unless its OFFLINE may have overtaken the report of it.
    fn is_reachable(&mut self, now: Timestamp, doubt: &Doubt) {
        if self.offline_at.is_none_or(|at| now.since(at) > doubt.overtake) {
            self.offline = self.offline.and(Some(false));
        }
    }

    /// The line says that no call is on it, and yet there is one: wait for the call's own end, then suspect.
    fn doubt_if_in_call(&mut self, now: Timestamp, doubt: &Doubt, reply: &mut Reply) {
        if !self.legs.is_empty() {
            self.doubted = self.legs.iter().map(|leg| leg.leg).collect();
            reply.deadline = Deadline::At(now + doubt.release);
        }
    }

    fn registered(&mut self, address: Option<Text>, reply: &mut Reply) {
        if let Some(address) = &address {
            self.address = Some(address.as_str().into());
        }
        reply.drafts.push(self.draft(
            EventKind::ExtensionRegistered,
            EventData { address, extension: Some(self.number.clone()), ..EventData::default() },
        ));
    }

    fn leg_moved(&mut self, now: Timestamp, doubt: &Doubt, call: CallId, leg: LegId, phase: Phase) {
        let known = self.legs.iter().position(|l| l.leg == leg);
        self.doubted.retain(|doubted| *doubted != leg);
        match (known, phase.is_live()) {
            (Some(i), true) => {
                self.legs[i].phase = phase;
                self.legs[i].heard_at = now;
            }
            (None, true) => self.legs.push(Leg { call, leg, phase, heard_at: now }),
            (Some(i), false) => {
                let leg = self.legs.remove(i);
                // The line may ring already for the next call, of which nothing else is known yet.
                let rings_anew = self.line == Line::Ringing
                    && self.rang_at.is_some_and(|at| at.since(leg.heard_at) > doubt.overtake);
                if !rings_anew {
                    self.leg_released(now);
                }
            }
            (None, false) => {}
        }
        if phase.is_live() {
            self.is_reachable(now, doubt);
        }
    }

    fn leg_released(&mut self, now: Timestamp) {
        if !self.legs.is_empty() {
            return;
        }
        self.doubted.clear();
        let idle_came_first = self.line == Line::Idle && self.idle_at >= self.busy_at;
        if !idle_came_first {
            self.released_at = Some(now);
        }
        // No call, no busy line: the IDLE that says so may be late or lost.
        self.line = Line::Idle;
    }

    fn device_restarted(&mut self, reply: &mut Reply) {
        self.legs.clear();
        self.waiting.clear();
        self.line = Line::Idle;
        self.doubted.clear();
        self.released_at = None;
        reply.deadline = Deadline::Never;
    }

    fn doubt_expired(&mut self, reply: &mut Reply) {
        reply.deadline = Deadline::Never;
        let doubted = std::mem::take(&mut self.doubted);
        let suspects = self.legs.iter().filter(|leg| doubted.contains(&leg.leg));
        reply.suspects.extend(suspects.map(|leg| (leg.call, leg.leg)));
    }

    fn show(&mut self, now: Timestamp, basis: Basis, reply: &mut Reply) {
        let state = self.evaluate();
        if state == self.shown {
            if matches!(basis, Basis::Observed | Basis::Reconciled) {
                self.basis = basis;
            }
            return;
        }
        let previous = std::mem::replace(&mut self.shown, state);
        self.basis = basis;
        self.since = Some(now);
        reply.drafts.push(self.draft(
            EventKind::ExtensionStateChanged,
            EventData {
                basis,
                extension: Some(self.number.clone()),
                state: Some(name(state).into()),
                previous: Some(name(previous).into()),
                call: self.legs.last().map(|l| l.call),
                ..EventData::default()
            },
        ));
    }

    fn evaluate(&self) -> Shown {
        if self.legs.iter().any(|l| l.phase != Phase::Ringing) {
            return Shown::Busy;
        }
        if !self.legs.is_empty() {
            return Shown::Ringing;
        }
        match (self.offline, self.line) {
            (Some(true), _) => Shown::Offline,
            (_, Line::Busy) => Shown::Busy,
            (_, Line::Ringing) => Shown::Ringing,
            (_, Line::Idle) => Shown::Idle,
            (Some(false), Line::Unknown) => Shown::Idle,
            (None, Line::Unknown) => Shown::Unknown,
        }
    }

    fn draft(&self, kind: EventKind, data: EventData) -> Draft {
        Draft { kind, subject: compact_str::format_compact!("extensions/{}", self.number), data }
    }

    /// What a reader sees. Whatever was last heard before `fresh_from` is shown as stale.
    #[must_use]
    pub fn view(&self, fresh_from: Timestamp) -> ExtensionView {
        let stale = self.heard_at.is_none_or(|at| at < fresh_from);
        ExtensionView {
            number: self.number.clone(),
            line_id: self.line_id.clone(),
            state: self.shown,
            basis: if stale && self.heard_at.is_some() { Basis::Stale } else { self.basis },
            since: self.since,
            address: self.address.as_deref().map(Text::new),
            calls: self.legs.iter().map(|l| l.call).collect(),
            waiting: self.waiting.clone(),
        }
    }
}

/// The state's name in events.
const fn name(state: Shown) -> &'static str {
    match state {
        Shown::Idle => "idle",
        Shown::Ringing => "ringing",
        Shown::Busy => "busy",
        Shown::Offline => "offline",
        Shown::Unknown => "unknown",
    }
}
