//! The records of a call: an OM's, one for each leg, and the other vendors', one for the call.

use std::sync::Arc;

use super::Happening;
use super::call::{Call, Direction};
use super::clock::Clock;
use super::device::Device;
use super::happening::{CallRecord, LegRecord};
use super::wire::Wire;

/// What the records of one call differ in.
struct Draft<'a> {
    kind: &'static str,
    route: &'static str,
    from: &'a Arc<str>,
    to: &'a Arc<str>,
    trunk: &'a Arc<str>,
    party: Option<(&'static str, u32)>,
    callid: u32,
    started: u64,
    /// When the talk that it counts began.
    since: Option<u64>,
    /// The parties and the ending of the recording's name.
    recording: Option<(&'a str, &'a str, &'static str)>,
}

impl Device {
    pub(crate) fn write_records(&mut self, clock: &mut Clock, call: &Call) {
        if call.is_alarm() {
            return;
        }
        match call.direction {
            Direction::Inbound => self.records_inbound(clock, call),
            Direction::Outbound => self.records_outbound(clock, call),
            Direction::Internal => self.records_internal(clock, call),
            Direction::Callback => self.records_callback(clock, call),
        }
        let record = self.call_record(clock, call);
        self.emit(clock, Some(call), &Happening::CallRecord(&record));
    }

    fn write(&mut self, clock: &mut Clock, call: &Call, draft: Draft<'_>) {
        self.records += 1;
        let number = self.records;
        self.write_numbered(clock, call, draft, number);
    }

    fn write_numbered(&mut self, clock: &mut Clock, call: &Call, draft: Draft<'_>, number: u64) {
        let recording = draft.recording.zip(draft.since).and_then(|((caller, callee, ending), at)| {
            self.recording(clock, caller, callee, at, draft.callid, ending)
        });
        if let (Some(name), Some(since)) = (&recording, draft.since) {
            self.keep_recording(name.clone(), since, clock.now);
        }
        let record = LegRecord {
            id: format!("{number}{}-0", clock.local(clock.now).compact()),
            callid: draft.callid,
            party: draft.party,
            kind: draft.kind,
            route: draft.route,
            from: draft.from.clone(),
            to: draft.to.clone(),
            started: draft.started,
            ended: clock.now,
            seconds: draft.since.map_or(0, |since| (clock.now - since) / 1000),
            trunk: draft.trunk.clone(),
            recording,
        };
        self.emit(clock, Some(call), &Happening::LegRecord(&record));
    }

    fn records_inbound(&mut self, clock: &mut Clock, call: &Call) {
        if let Some(by) = call.forwarded_by {
            self.records_forwarded(clock, call, by);
            return;
        }
        if let Some(callee) = call.callee {
            self.record_inbound_leg(clock, call, callee);
        }
        if let (Some(by), Some(outer)) = (call.passed_by, call.outers.last()) {
            let from = self.extensions[by].number.clone();
            self.record_outer(clock, call, outer, &from, call.leg_callid);
        }
        self.record_trunk_side(clock, call);
    }

    /// The extension's own record of a call that came in.
    pub(crate) fn record_inbound_leg(&mut self, clock: &mut Clock, call: &Call, extension: usize) {
        let Some(visitor) = &call.visitor else { return };
        let to = self.extensions[extension].number.clone();
        let (route, _) = self.route(visitor);
        let attendant = self.habits.attendant_cdrs && route == "XO" && call.talking_since.is_some();
        let draft = Draft {
            kind: "IN",
            route,
            from: &visitor.from,
            to: &to,
            trunk: &visitor.trunk,
            party: party("visitor", visitor),
            callid: call.leg_callid,
            started: call.leg_started,
            since: call.talking_since,
            recording: (!attendant).then_some((&visitor.from, &to, "_cd.wav")),
        };
        if attendant {
            // The attendant's record has the lower number and comes second, and only it knows the
            // recording.
            self.records += 2;
            self.write_numbered(clock, call, draft, self.records);
            self.record_attendant(clock, call, visitor, &to, self.records - 1);
        } else {
            self.write(clock, call, draft);
        }
    }

    fn record_attendant(
        &mut self,
        clock: &mut Clock,
        call: &Call,
        visitor: &Wire,
        to: &Arc<str>,
        number: u64,
    ) {
        let draft = Draft {
            kind: "OU",
            route: "OP",
            from: &visitor.from,
            to,
            trunk: &visitor.from,
            party: None,
            callid: visitor.callid,
            started: call.started,
            since: call.talking_since,
            recording: Some((&visitor.from, to, "_cg.wav")),
        };
        self.write_numbered(clock, call, draft, number);
    }

    /// The trunk's record of a call that came in: `IN` for IP, `LO` for analog lines, none if the
    /// trunk's switch is off.
    pub(crate) fn record_trunk_side(&mut self, clock: &mut Clock, call: &Call) {
        let Some(visitor) = &call.visitor else { return };
        let (route, _) = self.route(visitor);
        if visitor.bare || (route == "XO" && self.habits.attendant_cdrs && call.talking_since.is_some()) {
            return;
        }
        let to = match call.callee {
            Some(callee) if route == "XO" => self.extensions[callee].number.clone(),
            _ => visitor.trunk.clone(),
        };
        let nothing: Arc<str> = "".into();
        let (kind, route, trunk) =
            if route == "XO" { ("LO", "IC", &nothing) } else { ("IN", "IP", &visitor.trunk) };
        let since = call.accepted.or(call.first_answer);
        let draft = Draft {
            kind,
            route,
            from: &visitor.from,
            to: &to,
            trunk,
            party: party("visitor", visitor),
            callid: visitor.callid,
            started: call.started,
            since,
            recording: Some((&visitor.from, &visitor.trunk, "_cd.wav")),
        };
        self.write(clock, call, draft);
    }

    /// `FI` for the extension that forwards, and `FW` if it forwards to the outside.
    fn records_forwarded(&mut self, clock: &mut Clock, call: &Call, by: usize) {
        let number = self.extensions[by].number.clone();
        let nothing: Arc<str> = "".into();
        let from = call.from.clone().unwrap_or_else(|| nothing.clone());
        let visitor = call.visitor.as_ref();
        let draft = Draft {
            kind: "FI",
            route: "IC",
            from: &from,
            to: &number,
            trunk: visitor.map_or(&nothing, |visitor| &visitor.trunk),
            party: visitor.and_then(|visitor| party("visitor", visitor)),
            callid: call.leg_callid,
            started: call.leg_started,
            since: call.talking_since,
            recording: None,
        };
        self.write(clock, call, draft);
        let Some(outer) = call.outers.last() else { return };
        let draft = Draft {
            kind: "FW",
            route: self.route(outer).0,
            from: &number,
            to: &outer.to,
            trunk: &nothing,
            party: visitor.and_then(|visitor| party("visitor", visitor)).or_else(|| party("outer", outer)),
            callid: call.leg_callid,
            started: call.leg_started,
            since: call.talking_since,
            recording: None,
        };
        self.write(clock, call, draft);
    }

    /// The record of an outside party that leaves a call which goes on.
    pub(crate) fn record_dropped(&mut self, clock: &mut Clock, call: &Call, outer: &Wire, of: usize) {
        let from = call.from.clone().unwrap_or_else(|| "".into());
        if call.direction == Direction::Callback && of > 1 {
            let to = call.to.clone().unwrap_or_else(|| "".into());
            let draft = Draft {
                kind: "CB",
                route: self.route(outer).0,
                from: &from,
                to: &to,
                trunk: &outer.trunk,
                party: party("outer", outer),
                callid: call.leg_callid,
                started: call.started,
                since: call.accepted,
                recording: Some((&outer.trunk, &to, "_cg.wav")),
            };
            self.write(clock, call, draft);
        } else {
            self.record_outer(clock, call, outer, &from, call.leg_callid);
        }
    }

    fn records_outbound(&mut self, clock: &mut Clock, call: &Call) {
        let Some(outer) = call.outers.last() else { return };
        let from = call.from.clone().unwrap_or_else(|| "".into());
        if let (true, Some(first)) = (call.outers.len() > 1, call.outers.first()) {
            self.record_outer(clock, call, first, &from, first.callid);
        }
        self.record_outer(clock, call, outer, &from, call.leg_callid);
    }

    fn record_outer(&mut self, clock: &mut Clock, call: &Call, outer: &Wire, from: &Arc<str>, callid: u32) {
        let caller: &str = if from.is_empty() { &outer.trunk } else { from };
        let draft = Draft {
            kind: "OU",
            route: self.route(outer).0,
            from,
            to: &outer.to,
            trunk: &outer.trunk,
            party: party("outer", outer),
            callid,
            started: if call.caller.is_some() || call.visitor.is_none() {
                call.started
            } else {
                call.leg_started
            },
            since: call.talking_since,
            recording: Some((caller, &outer.to, "_cg.wav")),
        };
        self.write(clock, call, draft);
    }

    /// `LO` for the caller, `IN` for the callee; both of them without a trunk.
    fn records_internal(&mut self, clock: &mut Clock, call: &Call) {
        let nothing: Arc<str> = "".into();
        let from = call.from.clone().unwrap_or_else(|| nothing.clone());
        let callee = call.callee.map(|callee| self.extensions[callee].number.clone());
        let dialled = match (call.forwarded_by, call.group) {
            (Some(by), _) => self.extensions[by].number.clone(),
            (None, Some(group)) if callee.is_none() => self.groups[group].number.to_string().into(),
            _ => callee.clone().or_else(|| call.to.clone()).unwrap_or_else(|| nothing.clone()),
        };
        if call.caller.is_some() {
            let callid = self.next_callid();
            let draft = internal(call, "LO", &from, &dialled, &nothing, callid, "_cg.wav");
            self.write(clock, call, draft);
        }
        if let Some(by) = call.forwarded_by {
            self.records_forwarded(clock, call, by);
        } else if let Some(callee) = callee {
            let draft = internal(call, "IN", &from, &callee, &nothing, call.leg_callid, "_cd.wav");
            self.write(clock, call, draft);
        }
    }

    /// One `CB` for each outside party; the second has no caller.
    fn records_callback(&mut self, clock: &mut Clock, call: &Call) {
        let nothing: Arc<str> = "".into();
        let from = call.from.clone().unwrap_or_else(|| nothing.clone());
        let to = call.to.clone().unwrap_or_else(|| nothing.clone());
        for (index, outer) in call.outers.iter().enumerate() {
            let first = index == 0;
            let draft = Draft {
                kind: "CB",
                route: self.route(outer).0,
                from: if first { &from } else { &nothing },
                to: &to,
                trunk: &outer.trunk,
                party: party("outer", outer),
                callid: call.leg_callid,
                started: if first { call.started } else { call.leg_started },
                since: if first { call.accepted } else { call.talking_since },
                recording: Some((&outer.trunk, &to, "_cg.wav")),
            };
            self.write(clock, call, draft);
        }
    }

    /// How a trunk is called in a record, and its index.
    fn route(&self, wire: &Wire) -> (&'static str, usize) {
        let index = self.trunks.iter().position(|trunk| trunk.number == wire.trunk).unwrap_or(0);
        (if self.trunks[index].ip { "IP" } else { "XO" }, index)
    }

    fn call_record(&self, clock: &Clock, call: &Call) -> CallRecord {
        let nothing: Arc<str> = "".into();
        let number = |index: usize| self.extensions[index].number.clone();
        let agent = call.callee.map_or_else(|| nothing.clone(), number);
        let visitor = call.visitor.as_ref();
        CallRecord {
            direction: call.direction,
            outcome: call.outcome,
            from: call.from.clone().unwrap_or_else(|| nothing.clone()),
            to: match call.direction {
                Direction::Inbound | Direction::Internal if call.callee.is_some() => agent.clone(),
                _ => call.to.clone().unwrap_or_else(|| nothing.clone()),
            },
            agent,
            source_trunk: visitor.map_or_else(|| nothing.clone(), |visitor| visitor.trunk.clone()),
            target_trunk: call.outers.last().map_or_else(|| nothing.clone(), |outer| outer.trunk.clone()),
            forwarded_to: call
                .forwarded_by
                .and_then(|_| call.outers.last())
                .map_or_else(|| nothing.clone(), |outer| outer.to.clone()),
            started: call.started,
            answered: call.first_answer,
            ended: clock.now,
            queue: call.group.map(|group| self.groups[group].queue),
            queue_ms: call.queue_ms,
            ring_ms: call.ring_ms,
            menu: call.menu.map(|menu| menu.menu),
            menu_ms: call.menu_ms,
            digits: call.digits.clone(),
            caller_left: call.first_answer.is_none(),
        }
    }
}

/// The party a record names; none if the trunk's switch is off.
fn party(kind: &'static str, wire: &Wire) -> Option<(&'static str, u32)> {
    (!wire.bare).then_some((kind, wire.id))
}

fn internal<'a>(
    call: &Call,
    kind: &'static str,
    from: &'a Arc<str>,
    to: &'a Arc<str>,
    nothing: &'a Arc<str>,
    callid: u32,
    ending: &'static str,
) -> Draft<'a> {
    Draft {
        kind,
        route: "IC",
        from,
        to,
        trunk: nothing,
        party: None,
        callid,
        started: call.started,
        since: call.talking_since,
        recording: Some((from, to, ending)),
    }
}
