//! The truth: what the devices know of themselves, taken from their own state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::call::{Call, Direction, Stage};
use super::device::Device;
use crate::config::Dialect;

/// The state of a whole fleet, as `GET /truth` gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// By name, `sim-1` and up.
    pub devices: BTreeMap<String, DeviceTruth>,
}

/// The state of one device, and what became of its reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceTruth {
    /// The vendor.
    pub dialect: Dialect,
    /// Number → `idle`, `ringing`, `busy` or `offline`.
    pub extensions: BTreeMap<String, String>,
    /// Number → `ready` or `active`.
    pub trunks: BTreeMap<String, String>,
    /// The live calls, oldest first.
    pub calls: Vec<CallTruth>,
    /// What QUEUE calls `waiting group` → who waits, in order.
    pub queues: BTreeMap<String, Vec<String>>,
    /// Distinct records that left the device.
    pub cdrs_sent: u64,
    /// Their ids.
    pub cdrs: Vec<String>,
    /// Ids of the records that never left it.
    pub cdrs_dropped: Vec<String>,
    /// Reports written to a socket, doubles and repeats counted each time.
    pub reports_sent: u64,
    /// Of these, second copies that the faults asked for.
    pub reports_doubled: u64,
    /// Of these, repeats because no 200 had come back.
    pub reports_repeated: u64,
    /// Reports that never left the device.
    pub reports_dropped: u64,
    /// Reports that are still to be sent.
    pub reports_pending: u64,
    /// False: the device has no network.
    pub plugged: bool,
    /// True: its command endpoint does not answer.
    pub hung: bool,
    /// Commands that it has executed.
    #[serde(default)]
    pub commands: u64,
    /// The same by kind: `Transfer.Connect`.
    #[serde(default)]
    pub commands_by_kind: BTreeMap<String, u64>,
    /// How often a command made each telephone ring.
    #[serde(default)]
    pub rings: BTreeMap<String, u64>,
    /// The Accept commands that named a caller.
    #[serde(default)]
    pub accepts: Vec<AcceptTruth>,
    /// A group's number → its members' numbers, in order.
    #[serde(default)]
    pub groups: BTreeMap<String, Vec<String>>,
    /// A voice menu's number → what was assigned to it.
    #[serde(default)]
    pub menus: BTreeMap<String, MenuTruth>,
    /// The extensions whose other side does not hear them.
    #[serde(default)]
    pub muted: Vec<String>,
    /// An extension's number → what was assigned to it.
    #[serde(default)]
    pub settings: BTreeMap<String, BTreeMap<String, String>>,
}

/// An Accept that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptTruth {
    /// The caller's wire id.
    pub visitor: u32,
    /// When, in unix milliseconds.
    pub at_ms: u64,
}

/// A voice menu as it was assigned; empty where nothing was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MenuTruth {
    /// What is played.
    pub voicefile: String,
    /// How often.
    pub repeat: String,
    /// How many keys are reported at once.
    pub infolength: String,
    /// The key that ends the typing.
    pub exit: String,
    /// Who is in it, by call: its own number or the caller's.
    pub callers: Vec<String>,
}

/// One live call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallTruth {
    /// The originator's number; none for a call by a menu.
    pub from: Option<String>,
    /// What was dialled; none for a call to a group until an extension rings.
    pub to: Option<String>,
    /// Which way it goes.
    pub direction: Direction,
    /// `invited`, `incoming`, `queued`, `in_menu`, `dialing`, `ringing` or `talking`.
    pub state: String,
    /// The trunk, the first one if there are two.
    pub trunk: Option<String>,
    /// The extension that talks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    /// The extension it waits for, if an application has it wait: no report tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The extension whose talk it listens to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watches: Option<String>,
    /// It does not only listen: it takes part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub barges_in: bool,
    /// An extension has put it on hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// Stays up until the fleet is resumed.
    pub standing: bool,
    /// Who is in it.
    pub legs: Vec<LegTruth>,
    /// The wire id of the call in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visitor: Option<u32>,
    /// The wire ids of the calls out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outer: Vec<u32>,
    /// The callid that reports of its trunk carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callid: Option<u32>,
}

/// One party of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegTruth {
    /// `extension`, `visitor`, `outer` or `menu`.
    pub kind: String,
    /// Its number; the menu's for a menu.
    pub number: String,
    /// `dialing`, `ringing`, `talking`, `queued`, `in_menu`, `invited` or `incoming`.
    pub state: String,
}

impl LegTruth {
    fn new(kind: &str, number: &str, state: &str) -> Self {
        Self { kind: kind.to_owned(), number: number.to_owned(), state: state.to_owned() }
    }
}

impl Device {
    /// The device's state; what became of its reports is filled in by whoever sends them.
    pub(crate) fn truth(&self) -> DeviceTruth {
        let extensions = self.extensions.iter();
        let trunks = self.trunks.iter();
        DeviceTruth {
            dialect: self.dialect,
            extensions: extensions
                .map(|extension| (extension.number.to_string(), extension.phone.as_str().to_owned()))
                .collect(),
            trunks: trunks
                .map(|trunk| {
                    let state = if trunk.active > 0 { "active" } else { "ready" };
                    (trunk.number.to_string(), state.to_owned())
                })
                .collect(),
            calls: self.calls.values().map(|call| self.call_truth(call)).collect(),
            queues: self
                .groups
                .iter()
                .map(|group| {
                    let waiting = group.waiting.iter().filter_map(|id| self.calls.get(id));
                    let from = waiting.filter_map(|call| call.from.as_deref().map(str::to_owned));
                    (group.queue.to_string(), from.collect())
                })
                .collect(),
            cdrs_sent: 0,
            cdrs: Vec::new(),
            cdrs_dropped: Vec::new(),
            reports_sent: 0,
            reports_doubled: 0,
            reports_repeated: 0,
            reports_dropped: 0,
            reports_pending: 0,
            plugged: true,
            hung: false,
            commands: self.om.done.commands.values().sum(),
            commands_by_kind: self.om.done.commands.clone(),
            rings: self.om.done.rings.clone(),
            accepts: self
                .om
                .done
                .accepts
                .iter()
                .map(|&(visitor, at_ms)| AcceptTruth { visitor, at_ms })
                .collect(),
            groups: self.group_truths(),
            menus: self
                .om
                .menus
                .iter()
                .map(|(id, menu)| (id.to_string(), self.menu_truth(*id, menu)))
                .collect(),
            muted: self
                .extensions
                .iter()
                .filter(|extension| extension.muted)
                .map(|extension| extension.number.to_string())
                .collect(),
            settings: self.setting_truths(),
        }
    }

    fn group_truths(&self) -> BTreeMap<String, Vec<String>> {
        let members = |members: &[usize]| {
            members.iter().map(|&index| self.extensions[index].number.to_string()).collect()
        };
        self.groups.iter().map(|group| (group.number.to_string(), members(&group.members))).collect()
    }

    fn menu_truth(&self, id: u32, menu: &crate::om::Menu) -> MenuTruth {
        let inside = self.calls.values().filter(|call| {
            call.stage == Stage::InMenu && call.menu.is_some_and(|menu| u32::from(menu.menu) == id)
        });
        MenuTruth {
            voicefile: menu.voicefile.clone(),
            repeat: menu.repeat.clone(),
            infolength: menu.infolength.clone(),
            exit: menu.exit.clone(),
            callers: inside
                .filter_map(|call| call.from.as_deref().or(call.to.as_deref()))
                .map(str::to_owned)
                .collect(),
        }
    }

    fn setting_truths(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let assigned = self.extensions.iter().filter(|extension| !extension.assigned.is_empty());
        assigned
            .map(|extension| {
                let settings = &extension.assigned;
                let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
                (extension.number.to_string(), settings.collect())
            })
            .collect()
    }

    fn call_truth(&self, call: &Call) -> CallTruth {
        let number = |index: usize| self.extensions[index].number.to_string();
        let own = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
        let wire = call.visitor.as_ref().or_else(|| call.outers.first());
        let talking = call.talking_since.is_some();
        CallTruth {
            from: own(&call.from),
            to: own(&call.to),
            direction: call.direction,
            state: state(call.stage).to_owned(),
            trunk: wire.map(|wire| wire.trunk.to_string()),
            answered_by: call.callee.filter(|_| talking).map(number),
            waits_for: match call.stage {
                Stage::WaitingFor(extension) => Some(number(extension)),
                _ => None,
            },
            watches: call.order.watches.map(number),
            barges_in: call.order.barges_in,
            held: call.order.held,
            standing: call.frozen,
            legs: self.legs(call),
            visitor: call.visitor.as_ref().map(|visitor| visitor.id),
            outer: call.outers.iter().map(|outer| outer.id).collect(),
            callid: wire.map(|wire| wire.callid),
        }
    }

    fn legs(&self, call: &Call) -> Vec<LegTruth> {
        let calling = state(call.stage);
        // Whoever called hears it ring while somebody else's telephone does.
        let caller = if call.stage == Stage::Ringing { "dialing" } else { calling };
        let mut legs = Vec::new();
        if let Some(visitor) = &call.visitor {
            legs.push(LegTruth::new("visitor", &visitor.from, caller));
        }
        if let Some(caller_index) = call.caller {
            legs.push(LegTruth::new("extension", &self.extensions[caller_index].number, caller));
        }
        if let Some(menu) = call.menu {
            legs.push(LegTruth::new("menu", &menu.menu.to_string(), caller));
        }
        let last = call.outers.len().saturating_sub(1);
        for (index, outer) in call.outers.iter().enumerate() {
            let state = if index < last { "talking" } else { calling };
            legs.push(LegTruth::new("outer", &outer.to, state));
        }
        for callee in call.called() {
            legs.push(LegTruth::new("extension", &self.extensions[callee].number, calling));
        }
        legs
    }
}

fn state(stage: Stage) -> &'static str {
    match stage {
        Stage::Invited => "invited",
        Stage::Incoming => "incoming",
        Stage::Queued | Stage::WaitingFor(_) => "queued",
        Stage::InMenu => "in_menu",
        Stage::Dialing | Stage::CallerRings => "dialing",
        Stage::Ringing => "ringing",
        Stage::Talking => "talking",
    }
}
