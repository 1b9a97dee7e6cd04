//! A pause: no new calls, a third of the live ones stay as they are, the others come to their end.
//! Then the device is quiet, and its state can be compared with anybody's idea of it.

use super::call::{Afterwards, Call, Stage, Target};
use super::clock::Clock;
use super::device::Device;
use crate::config::Dialect;

/// Who is not to stand hangs up within this time.
const SOON_MS: u64 = 4000;

impl Device {
    pub(crate) fn pause(&mut self, clock: &mut Clock) {
        self.paused = true;
        let chosen = self.choose_standing();
        let ids: Vec<u64> = self.calls.keys().copied().collect();
        for id in ids {
            let Some(mut call) = self.calls.remove(&id) else { continue };
            if chosen.contains(&id) {
                call.stands = true;
                call.frozen = call.can_stand();
            } else if !call.frozen {
                self.hurry(clock, &mut call);
            }
            self.calls.insert(id, call);
        }
    }

    /// A third of the live calls, waiting ones first. With one that waits stand the calls of the
    /// group's members, or it would not have to wait.
    fn choose_standing(&self) -> Vec<u64> {
        let wanted = self.calls.len().div_ceil(3);
        let mut chosen: Vec<u64> =
            self.calls.values().filter(|call| call.frozen).map(|call| call.id).collect();
        for group in &self.groups {
            let members = group.members.iter().filter_map(|&member| self.extensions[member].call);
            let members: Vec<u64> = members.filter(|id| self.calls.contains_key(id)).collect();
            let taken = members.iter().all(|id| self.calls.get(id).is_some_and(Call::will_stand));
            if self.dialect == Dialect::Om
                && !group.waiting.is_empty()
                && taken
                && chosen.len() < wanted.max(2)
            {
                chosen.extend(group.waiting.iter().take(2));
                chosen.extend(members);
            }
        }
        let surely = self.calls.values().filter(|call| call.can_stand() && call.stage != Stage::Queued);
        let perhaps = self.calls.values().filter(|call| {
            !call.can_stand() && call.will_stand() && !matches!(call.plan.target, Target::Group(_))
        });
        for call in surely.chain(perhaps) {
            if chosen.len() >= wanted {
                break;
            }
            if !chosen.contains(&call.id) {
                chosen.push(call.id);
            }
        }
        chosen
    }

    /// Brings the end of a call near, in the normal way.
    fn hurry(&mut self, clock: &mut Clock, call: &mut Call) {
        call.plan.afterwards = Afterwards::HangUp;
        call.plan.keys = false;
        if matches!(call.stage, Stage::Talking | Stage::Queued | Stage::WaitingFor(_)) {
            let soon = self.dice.between(100, SOON_MS);
            self.after(clock, call, soon);
        }
    }

    /// How long a talk may last now.
    pub(crate) fn talk_limit(&self, call: &Call) -> u64 {
        if self.paused && !call.stands { SOON_MS } else { u64::MAX }
    }

    pub(crate) fn resume(&mut self, clock: &mut Clock) {
        self.paused = false;
        let ids: Vec<u64> = self.calls.values().filter(|call| call.stands).map(|call| call.id).collect();
        for id in ids {
            let Some(mut call) = self.calls.remove(&id) else { continue };
            call.stands = false;
            if std::mem::take(&mut call.frozen) {
                self.thaw(clock, &mut call);
            }
            self.calls.insert(id, call);
        }
        for extension in 0..self.extensions.len() {
            if self.is_idle(extension) {
                self.offer_soon(clock, extension);
            }
        }
    }

    fn thaw(&mut self, clock: &mut Clock, call: &mut Call) {
        match call.stage {
            Stage::InMenu => self.listen(clock, call),
            Stage::Queued => {
                let patience = self.dice.around(self.habits.talk_ms * 3).max(1);
                self.after(clock, call, patience);
            }
            _ => self.talk(clock, call),
        }
    }
}
