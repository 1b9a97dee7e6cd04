//! One exchange: its extensions, trunks, groups and menus, its calls, and the ids it gives out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Emission;
use super::call::{Call, Direction, Plan};
use super::clock::{Clock, Wake};
use super::ended::EndedCall;
use super::happening::Happening;
use super::making::{extensions, groups, habits, trunks};
use super::recordings::Recorded;
use super::wire::{Channel, IdPool, Wire};
use crate::config::{Connection, Dialect, FleetConfig};
use crate::dialect::{Frame, Voice};
use crate::dice::Dice;
use crate::om::Desk;

/// What a telephone is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phone {
    Idle,
    Ringing,
    Busy,
    Offline,
}

impl Phone {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Ringing => "ringing",
            Self::Busy => "busy",
            Self::Offline => "offline",
        }
    }
}

/// Whom an extension may listen to, and who may listen to it: four switches that a device has on its web
/// pages and nowhere else (chapters 2.1.5.1 and 2.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watching {
    /// It may monitor others.
    pub monitors: bool,
    /// It may barge in on others.
    pub barges_in: bool,
    /// Nobody may monitor it, nor whoever talks to it.
    pub is_not_monitored: bool,
    /// Nobody may barge in on it, nor on whoever talks to it.
    pub is_not_barged_in_on: bool,
}

impl Default for Watching {
    /// Everybody may listen to everybody.
    fn default() -> Self {
        Self { monitors: true, barges_in: true, is_not_monitored: false, is_not_barged_in_on: false }
    }
}

#[derive(Debug)]
pub(crate) struct Extension {
    pub(crate) number: Arc<str>,
    /// The number it has if no command gives it another.
    pub(crate) own_number: Arc<str>,
    pub(crate) ip: bool,
    pub(crate) phone: Phone,
    pub(crate) call: Option<u64>,
    /// The call that it has put on hold.
    pub(crate) held: Option<u64>,
    /// The held call and the other one are joined.
    pub(crate) conference: bool,
    pub(crate) muted: bool,
    /// Its API switch (`FT_API_1` of its line), if no command has assigned another.
    pub(crate) own_api: u8,
    pub(crate) watching: Watching,
    /// How often its alarm was set: only the last time counts.
    pub(crate) alarms: u32,
    /// What was assigned to it by commands.
    pub(crate) assigned: BTreeMap<&'static str, String>,
}

impl Extension {
    /// Takes no calls.
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.assigned.get("No_Disturb").is_some_and(|set| set == "on")
    }

    /// Its API switch (4.6): 0x07 has its state reported, 0x08 single keys.
    pub(crate) fn api(&self) -> u8 {
        self.assigned.get("api").and_then(|set| set.parse().ok()).unwrap_or(self.own_api)
    }
}

#[derive(Debug)]
pub(crate) struct Trunk {
    pub(crate) number: Arc<str>,
    pub(crate) ip: bool,
    /// Control before the answer: INVITE.
    pub(crate) asks_before: bool,
    /// Control after the answer: INCOMING.
    pub(crate) asks_after: bool,
    /// A real application decides, no pretended one.
    pub(crate) controlled: bool,
    /// The line tells when the far end answers.
    pub(crate) reversal: bool,
    /// The API switch is off.
    pub(crate) bare: bool,
    pub(crate) lines: usize,
    pub(crate) active: usize,
}

impl Trunk {
    /// The line tells nothing of the far end: it counts as answered once it is dialled.
    pub(crate) fn is_blind(&self) -> bool {
        !self.ip && !self.reversal
    }
}

#[derive(Debug)]
pub(crate) struct Group {
    /// The group's own number, as BYE of a waiting caller names it.
    pub(crate) number: u32,
    /// What QUEUE calls `waiting group`: another number.
    pub(crate) queue: u32,
    pub(crate) members: Vec<usize>,
    pub(crate) waiting: VecDeque<u64>,
    /// The members it has by the device's own configuration; none: commands have made the group,
    /// and nothing is reported of its queue.
    pub(crate) own: Option<Vec<usize>>,
    pub(crate) voicefile: String,
    pub(crate) distribution: String,
    /// Without a distribution all free members ring: how the device itself is configured.
    pub(crate) rings_all_by_itself: bool,
    /// Who was rung last, by place in the list.
    pub(crate) last: usize,
}

impl Group {
    /// All free members ring at once, and not one after the other.
    pub(crate) fn rings_all(&self) -> bool {
        self.distribution == "group" || self.distribution.is_empty() && self.rings_all_by_itself
    }
}

/// How this device's firmware differs from the others'.
#[derive(Debug)]
pub(crate) struct Habits {
    /// Recording names end in the callid in hex, and join date and time with `_`.
    pub(crate) hex_callids: bool,
    pub(crate) records_calls: bool,
    pub(crate) attendant_cdrs: bool,
    /// How long an application may think about an INVITE or INCOMING.
    pub(crate) decision_ms: u64,
    pub(crate) talk_ms: u64,
    pub(crate) ring_ms: u64,
    pub(crate) queue_capacity: usize,
    pub(crate) arrival_ms: Option<u64>,
    pub(crate) phones_fail_ms: Option<u64>,
    pub(crate) menus: u8,
    pub(crate) mix: crate::config::Mix,
}

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) voice: Voice,
    pub(crate) habits: Habits,
    pub(crate) dice: Dice,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) trunks: Vec<Trunk>,
    pub(crate) groups: Vec<Group>,
    pub(crate) calls: BTreeMap<u64, Call>,
    /// Calls that are over, until somebody takes them.
    pub(crate) ended: VecDeque<EndedCall>,
    /// Files of recordings, the oldest first.
    pub(crate) recordings: VecDeque<Recorded>,
    pub(crate) ids: IdPool,
    pub(crate) next_call: u64,
    pub(crate) callid: u32,
    pub(crate) first_callid: u32,
    pub(crate) records: u64,
    pub(crate) channels: u32,
    /// Calls of a rush that count against the arrivals to come.
    pub(crate) debt: u32,
    pub(crate) boot: u32,
    pub(crate) up: bool,
    pub(crate) paused: bool,
    /// It sends its reports on kept connections; an OM heeds what it was set to when it last booted.
    pub(crate) keeps_connections: bool,
    /// What commands have set and done, and what the device demands of them.
    pub(crate) om: Desk,
}

impl Device {
    pub(crate) fn new(config: &FleetConfig, index: usize) -> Self {
        let habits = habits(config, index);
        let extensions = extensions(config.extensions);
        let groups = groups(config, &extensions);
        let first_callid = if habits.hex_callids { 0x8000 } else { 0x5000 };
        Self {
            index,
            name: format!("sim-{}", index + 1),
            dialect: config.dialect,
            voice: Voice::new(config, index),
            habits,
            dice: Dice::fork(config.seed, index as u64),
            extensions,
            trunks: trunks(config),
            groups,
            calls: BTreeMap::new(),
            ended: VecDeque::new(),
            recordings: VecDeque::new(),
            ids: IdPool::new(config.wire_ids),
            next_call: 0,
            callid: first_callid,
            first_callid,
            records: 0,
            channels: 0,
            debt: 0,
            boot: 0,
            up: true,
            paused: false,
            keeps_connections: config.connection == Connection::Long,
            om: Desk::new(config, index),
        }
    }

    /// Sets the device's first timers. With `reports` it tells that it has booted.
    pub(crate) fn start(&mut self, clock: &mut Clock, reports: bool) {
        if let Some(interval) = self.habits.arrival_ms {
            let first = self.dice.between(interval / 4, interval);
            clock.wake(self.index, first, Wake::Arrival);
        }
        self.set_phone_timer(clock);
        let configured = self.dice.around(600_000);
        clock.wake(self.index, configured, Wake::Configured);
        if reports {
            self.come_up(clock);
        }
    }

    /// The boot report, and the IP phones that register.
    fn come_up(&mut self, clock: &mut Clock) {
        self.up = true;
        self.emit(clock, None, &Happening::BootedUp);
        for index in 0..self.extensions.len() {
            if self.extensions[index].ip {
                self.extensions[index].phone = Phone::Idle;
                self.emit(clock, None, &self.online(index));
            }
        }
    }

    /// Everything the device knew of calls is gone at once, without a report.
    pub(crate) fn reboot(&mut self, clock: &mut Clock) {
        self.calls.clear();
        self.ids.reset();
        self.callid = self.first_callid;
        self.records = 0;
        self.debt = 0;
        self.boot += 1;
        self.up = false;
        for extension in &mut self.extensions {
            extension.call = None;
            extension.phone = Phone::Idle;
            extension.held = None;
            extension.conference = false;
            extension.muted = false;
        }
        for trunk in &mut self.trunks {
            trunk.active = 0;
        }
        for group in &mut self.groups {
            group.waiting.clear();
        }
        self.forget_assigned();
        self.heed_control_type();
        clock.wake(self.index, 2000, Wake::Booted { boot: self.boot });
    }

    /// Does what a timer is for.
    pub(crate) fn wake(&mut self, clock: &mut Clock, what: Wake) {
        match what {
            Wake::Arrival => self.arrival(clock),
            Wake::Rush { group } => self.rush(clock, group),
            Wake::Call { call, token } => self.advance(clock, call, token),
            Wake::OnHook { extension, boot } if boot == self.boot => self.hang_up_tone(clock, extension),
            Wake::Offer { extension, boot } if boot == self.boot => self.offer(clock, extension),
            Wake::PhoneFails => self.phone_fails(clock),
            Wake::PhoneReturns { extension, boot } if boot == self.boot => {
                self.phone_returns(clock, extension);
            }
            Wake::Configured => self.configured(clock),
            Wake::Alarm { extension, set } => self.alarm(clock, extension, set),
            Wake::Booted { boot } if boot == self.boot => self.come_up(clock),
            Wake::OnHook { .. } | Wake::Offer { .. } | Wake::PhoneReturns { .. } | Wake::Booted { .. } => {}
        }
    }

    fn arrival(&mut self, clock: &mut Clock) {
        let Some(interval) = self.habits.arrival_ms else { return };
        let next = self.dice.around(interval).max(1);
        clock.wake(self.index, next, Wake::Arrival);
        if self.paused || !self.up {
            return;
        }
        if self.debt > 0 {
            self.debt -= 1;
        } else {
            self.place_some_call(clock);
        }
    }

    fn configured(&mut self, clock: &mut Clock) {
        let next = self.dice.around(600_000);
        clock.wake(self.index, next, Wake::Configured);
        if !self.paused && self.up {
            let trunk = self.dice.below(self.trunks.len() as u64) as usize;
            self.emit(clock, None, &Happening::ConfigChanged { trunk: &self.trunks[trunk].number });
        }
    }

    fn hang_up_tone(&mut self, clock: &mut Clock, index: usize) {
        let extension = &mut self.extensions[index];
        if extension.phone == Phone::Busy && extension.call.is_none() {
            extension.phone = Phone::Idle;
            self.emit(clock, None, &Happening::WentOnHook { extension: &self.extensions[index].number });
            self.offer_soon(clock, index);
        }
    }

    /// Says what happened, in the device's dialect.
    pub(crate) fn emit(&self, clock: &mut Clock, call: Option<&Call>, happening: &Happening<'_>) {
        let frame = Frame { local: clock.local(clock.now), millis: clock.now, zone: clock.zone, call };
        let (device, at, call) = (self.index, clock.now, call.map(|call| call.id));
        self.voice.report(&frame, happening, &mut |report| {
            clock.out.push(Emission { device, at, call, report });
        });
    }

    /// Starts a call; it lives in the caller's hands until it is kept.
    pub(crate) fn new_call(&mut self, clock: &Clock, direction: Direction, plan: Plan) -> Call {
        self.next_call += 1;
        Call::new(self.next_call, self.dialect, direction, plan, self.channel(clock), clock.now)
    }

    pub(crate) fn channel(&mut self, clock: &Clock) -> Channel {
        self.channels += 1;
        Channel { second: clock.local(clock.now).unix, number: self.channels }
    }

    /// The next callid: 16 bits, and then from 1 again.
    pub(crate) fn next_callid(&mut self) -> u32 {
        self.callid = self.callid % 0xFFFF + 1;
        self.callid
    }

    /// Takes a line of a trunk and a wire id; `None` when either has run out.
    pub(crate) fn take_line(
        &mut self,
        clock: &Clock,
        trunk: usize,
        from: &Arc<str>,
        to: &Arc<str>,
        callid: u32,
    ) -> Option<Wire> {
        if !self.has_line(trunk) {
            return None;
        }
        let id = self.ids.take()?;
        let channel = self.channel(clock);
        let trunk = &mut self.trunks[trunk];
        trunk.active += 1;
        let (from, to) = (from.clone(), to.clone());
        Some(Wire {
            id,
            callid,
            from,
            to,
            trunk: trunk.number.clone(),
            bare: trunk.bare,
            analog: !trunk.ip,
            channel,
        })
    }

    pub(crate) fn has_line(&self, trunk: usize) -> bool {
        self.trunks.get(trunk).is_some_and(|trunk| trunk.active < trunk.lines)
    }

    /// Whether waiting calls have a claim on this extension.
    pub(crate) fn reserved(&self, index: usize) -> bool {
        self.groups.iter().any(|group| !group.waiting.is_empty() && group.members.contains(&index))
            || self.waiter_for(index).is_some()
    }

    /// Idle, and willing to ring.
    pub(crate) fn takes_calls(&self, index: usize) -> bool {
        self.is_idle(index) && !self.extensions[index].is_undisturbed()
    }

    pub(crate) fn is_idle(&self, index: usize) -> bool {
        let extension = &self.extensions[index];
        extension.phone == Phone::Idle && extension.call.is_none()
    }
}
