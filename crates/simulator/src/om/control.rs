//! Commands about a call that stays where it is: end it, hold it, mute a side, listen to it, join
//! it, speak into it.

use super::finding::Side;
use super::words::{Refused, Reply};
use super::xml::Node;
use crate::dialect::om::ext;
use crate::engine::call::{Direction, Stage, Target};
use crate::engine::clock::Clock;
use crate::engine::device::{Device, Phone};
use crate::engine::happening::Outcome;

impl Device {
    /// The one extension that a command is about.
    fn about(&self, order: &Node) -> Result<usize, Refused> {
        self.extension_of(order.child("ext").ok_or_else(|| Refused::new(1, ""))?)
    }

    fn refused(&self, code: u8, extension: usize) -> Refused {
        let offline = self.extensions[extension].phone == Phone::Offline;
        Refused::extension(if offline { 8 } else { code }, &self.extensions[extension].number)
    }

    /// `Control Clear`.
    pub(super) fn clear(&mut self, clock: &mut Clock, order: &Node) -> Reply {
        if let Some(visitor) = order.child("visitor") {
            let id = self.call_of(Side::Visitor, visitor)?;
            self.hang_up(clock, id);
        } else if let Some(outer) = order.child("outer") {
            let id = self.call_of(Side::Outer, outer)?;
            self.hang_up(clock, id);
        } else {
            let index = self.about(order)?;
            let extension = &self.extensions[index];
            let joined = extension.held.filter(|_| extension.conference);
            let Some(call) = extension.call.or(extension.held) else { return Err(self.refused(1, index)) };
            if let Some(joined) = joined {
                self.hang_up(clock, joined);
            }
            self.hang_up(clock, call);
        }
        Ok(String::new())
    }

    fn hang_up(&mut self, clock: &mut Clock, id: u64) {
        if let Some(mut call) = self.calls.remove(&id) {
            self.end(clock, &mut call, Outcome::NoAnswer);
        }
    }

    /// `Control Hold`: the other side waits, and the extension can call somebody else.
    pub(super) fn hold(&mut self, order: &Node) -> Reply {
        let index = self.about(order)?;
        let Some(id) = self.talk_of(index).filter(|_| self.extensions[index].held.is_none()) else {
            return Err(self.refused(1, index));
        };
        if let Some(mut call) = self.calls.remove(&id) {
            call.order.held = true;
            call.frozen = false;
            // Nobody hangs up while it is held: any timer that is set is void now.
            call.token += 1;
            self.keep(call, true);
        }
        self.extensions[index].held = Some(id);
        self.extensions[index].call = None;
        Ok(String::new())
    }

    /// `Control Unhold`.
    pub(super) fn unhold(&mut self, clock: &mut Clock, order: &Node) -> Reply {
        let index = self.about(order)?;
        let extension = &self.extensions[index];
        match extension.held.filter(|_| extension.call.is_none()) {
            Some(held) if self.take_back(clock, index, held) => Ok(String::new()),
            _ => Err(self.refused(1, index)),
        }
    }

    /// `Transfer Conference`: the held call and the other one are joined.
    pub(super) fn confer(&mut self, clock: &mut Clock, order: &Node) -> Reply {
        let index = self.about(order)?;
        let held = self.extensions[index].held.filter(|_| self.talk_of(index).is_some());
        let Some(mut call) = held.and_then(|id| self.calls.remove(&id)) else {
            return Err(self.refused(1, index));
        };
        call.order.held = false;
        self.talk(clock, &mut call);
        self.keep(call, true);
        self.extensions[index].conference = true;
        Ok(String::new())
    }

    /// `Control Mute` and `Unmute`.
    pub(super) fn mute(&mut self, order: &Node, muted: bool) -> Reply {
        let index = self.about(order)?;
        if self.talk_of(index).is_none() {
            return Err(self.refused(1, index));
        }
        self.extensions[index].muted = muted;
        Ok(String::new())
    }

    /// `Control Monitor` and `Bargein`: the first extension rings, and then hears the second one's call.
    pub(super) fn watch(&mut self, clock: &mut Clock, order: &Node, barges_in: bool) -> Reply {
        let mut named = order.all("ext");
        let (Some(watcher), Some(watched)) = (named.next(), named.next()) else {
            return Err(Refused::new(1, ""));
        };
        let both = ext(watcher.id()) + &ext(watched.id());
        let (watcher, watched) = (self.extension_of(watcher)?, self.extension_of(watched)?);
        if self.extensions[watcher].phone == Phone::Offline {
            return Err(self.refused(8, watcher));
        }
        if !self.is_idle(watcher) {
            return Err(Refused::new(4, both));
        }
        self.may_watch(watcher, watched, barges_in).map_err(|()| Refused::new(2, both.clone()))?;
        let taken = self.calls.values().any(|call| call.order.watches == Some(watched));
        if self.talk_of(watched).is_none() || taken || self.extensions[watched].conference {
            return Err(Refused::new(1, both));
        }
        let mut call = self.ordered_call(clock, Direction::Internal, Target::Extension(watcher));
        call.plan.answered = true;
        call.from = Some(self.extensions[watched].number.clone());
        call.order.watches = Some(watched);
        call.order.barges_in = barges_in;
        self.ring(clock, &mut call, watcher);
        self.keep(call, true);
        Ok(String::new())
    }

    /// Whether the switches let the first extension listen to the second one's talk. The manual names no code
    /// of the refusal; "restricted" comes next to it.
    fn may_watch(&self, watcher: usize, watched: usize, barges_in: bool) -> Result<(), ()> {
        let talk = self.talk_of(watched).and_then(|id| self.calls.get(&id));
        let beside = talk.into_iter().flat_map(|call| call.called().chain(call.caller));
        let refuses = |extension: usize| {
            let switches = self.extensions[extension].watching;
            if barges_in { switches.is_not_barged_in_on } else { switches.is_not_monitored }
        };
        let switches = self.extensions[watcher].watching;
        let may = if barges_in { switches.barges_in } else { switches.monitors };
        if may && !refuses(watched) && !beside.into_iter().any(refuses) { Ok(()) } else { Err(()) }
    }

    /// `Control Talk` and `Listen`: who listens takes part, or only listens again.
    pub(super) fn change_watch(&mut self, order: &Node, talks: bool) -> Reply {
        self.om.since(119)?;
        let index = self.about(order)?;
        if talks && !self.extensions[index].watching.monitors {
            // Who talks to whom it monitors must be one that may monitor (3.13).
            return Err(self.refused(2, index));
        }
        let refused = self.refused(1, index);
        let call = self.talk_of(index).and_then(|id| self.calls.get_mut(&id));
        match call.filter(|call| call.order.watches.is_some()) {
            Some(call) => {
                call.order.barges_in = talks;
                Ok(String::new())
            }
            None => Err(refused),
        }
    }

    /// `Transfer Connect` of one party and a voice file: it hears the file in the middle of its talk.
    pub(super) fn insert_voice(&self, party: &Node) -> Reply {
        self.om.since(117)?;
        let id = match party.name.as_str() {
            "ext" => {
                let index = self.extension_of(party)?;
                self.talk_of(index).ok_or_else(|| self.refused(1, index))?
            }
            "visitor" => self.call_of(Side::Visitor, party)?,
            "outer" => self.call_of(Side::Outer, party)?,
            _ => return Err(Refused::new(1, "")),
        };
        let talks = self.calls.get(&id).is_some_and(|call| call.stage == Stage::Talking);
        if talks { Ok(String::new()) } else { Err(Refused::new(1, "")) }
    }
}
