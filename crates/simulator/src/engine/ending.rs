//! How a call ends: who is told, which telephones are free again, which records are written.

use super::Happening;
use super::call::{Call, Direction};
use super::clock::Clock;
use super::device::Device;
use super::ended::{EndedCall, KEPT};
use super::happening::{Outcome, Party};

impl Device {
    /// Ends the call; always false, which is what the caller answers to "does it still live?".
    pub(crate) fn end(&mut self, clock: &mut Clock, call: &mut Call, outcome: Outcome) -> bool {
        if call.first_answer.is_none() {
            call.outcome = outcome;
        }
        self.leave_queue(clock, call);
        self.say_released(clock, call);
        if self.ended.len() >= KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back(EndedCall::new(self.index, call, clock.now));
        if let Some(menu) = call.menu {
            self.menu_is_over(clock, call, menu);
        }
        // Records come before or after the telephones are told to be free; both were seen.
        let phones: Vec<usize> = call.called().chain(call.caller).collect();
        let freed: Vec<usize> =
            phones.into_iter().filter(|&phone| self.lets_go(clock, phone, call.id)).collect();
        if self.dice.chance(0.5) {
            self.say_free(clock, call, &freed);
            self.write_records(clock, call);
        } else {
            self.write_records(clock, call);
            self.say_free(clock, call, &freed);
        }
        for wire in call.visitor.iter().chain(&call.outers) {
            self.ids.give_back(wire.id);
        }
        for &trunk in &call.trunks {
            self.trunks[trunk].active = self.trunks[trunk].active.saturating_sub(1);
        }
        freed.iter().for_each(|&extension| self.offer_soon(clock, extension));
        self.end_watchers(clock, call);
        false
    }

    fn say_free(&self, clock: &mut Clock, call: &Call, freed: &[usize]) {
        for &index in freed {
            let extension = &self.extensions[index].number;
            self.emit(clock, Some(call), &Happening::WentOnHook { extension });
        }
    }

    fn say_released(&mut self, clock: &mut Clock, call: &Call) {
        if call.direction == Direction::Callback {
            for outer in &call.outers {
                let first = Party::Outer(outer);
                self.emit(clock, Some(call), &Happening::Released { first, second: None, recording: None });
            }
            return;
        }
        if call.direction == Direction::Internal && call.outcome == Outcome::Busy {
            // The failure has said it all: nothing was ever joined.
            return;
        }
        // Who rings off: the one who waits, if nobody has answered.
        let callee_first = call.talking_since.is_some() && self.dice.chance(0.5);
        let recording = self.recording_of_release(clock, call);
        let Some(originator) = self.originator(call) else { return };
        let (first, second) = match self.other_party(call) {
            Some(outer @ Party::Outer(_)) if matches!(originator, Party::Menu(_)) => (outer, None),
            Some(other) if callee_first => (other, Some(originator)),
            other => (originator, other),
        };
        let recording = recording.as_deref();
        self.emit(clock, Some(call), &Happening::Released { first, second, recording });
        if call.direction == Direction::Outbound
            && call.caller.is_some()
            && let Some(outer) = call.outers.last()
        {
            self.emit(clock, Some(call), &Happening::TrunkReleased { outer });
        }
    }

    /// Whom the originator was with when it ended.
    fn other_party<'a>(&'a self, call: &'a Call) -> Option<Party<'a>> {
        if let Some(callee) = call.callee {
            Some(Party::Extension(&self.extensions[callee].number))
        } else if let Some(outer) =
            call.outers.get(usize::from(call.order.outer_leads)..).and_then(<[_]>::last)
        {
            Some(Party::Outer(outer))
        } else if let Some(group) = call.group {
            Some(Party::Group(self.groups[group].number))
        } else {
            call.menu.map(|menu| Party::Menu(menu.menu))
        }
    }

    /// Reports of a release name the recording of an extension's own call out, or of its waiting.
    fn recording_of_release(&self, clock: &Clock, call: &Call) -> Option<String> {
        let caller = call.caller.map(|caller| self.extensions[caller].number.as_ref())?;
        match (call.direction, call.talking_since) {
            (Direction::Outbound, Some(at)) => self.recording(
                clock,
                caller,
                call.to.as_deref().unwrap_or(""),
                at,
                call.leg_callid,
                "_cg.wav",
            ),
            (Direction::Internal, _) if call.callee.is_none() && call.queue_ms > 0 => {
                let group = call.group.map(|group| self.groups[group].number.to_string())?;
                self.recording(clock, caller, &group, clock.now, call.leg_callid, "_cg.wav")
            }
            _ => None,
        }
    }

    /// The name of a recording, in the way of this device's firmware.
    pub(crate) fn recording(
        &self,
        clock: &Clock,
        caller: &str,
        callee: &str,
        at: u64,
        callid: u32,
        ending: &str,
    ) -> Option<String> {
        if !self.habits.records_calls {
            return None;
        }
        let local = clock.local(at);
        let (date, time) = (local.date(), local.time());
        Some(if self.habits.hex_callids {
            format!("{date}/{caller}_{callee}_{date}_{time}_{callid:04X}{ending}")
        } else {
            format!("{date}/{caller}_{callee}_{date}-{time}_{callid}")
        })
    }
}
