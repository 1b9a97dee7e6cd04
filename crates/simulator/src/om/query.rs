//! What a device tells of itself when it is asked: its state machines, put into the document's
//! words.

use super::finding::Side;
use super::words::{Refused, Reply, document, known, member, nested, status, with_id};
use super::xml::Node;
use crate::dialect::om::escaped;
use crate::engine::call::{Call, Stage};
use crate::engine::device::{Device, Phone};
use crate::engine::happening::Party;
use crate::engine::wire::Wire;

const NOBODY_WAITS: &str = "    <!-- Empty Waiting List -->\n";

/// What of an extension's settings a query shows, in the document's order; before the state.
const SHOWN: [(&str, &str); 12] = [
    ("staffid", "staffid"),
    ("Call_Pickup", "Call_Pickup"),
    ("No_Disturb", "No_Disturb"),
    ("Fwd_Type", "Fwd_Type"),
    ("Fwd_Number", "Fwd_Number"),
    ("Call_Restriction", "Call_Restriction"),
    ("mobile", "mobile"),
    ("Fork", "fork"),
    ("email", "email"),
    ("record", "record"),
    ("api", "api"),
    ("voicefile", "voicefile"),
];

impl Device {
    pub(super) fn query(&self, order: &Node) -> Reply {
        let Some(what) = order.children.first() else { return Err(Refused::new(1, "")) };
        match what.name.as_str() {
            "DeviceInfo" => Ok(self.device_info()),
            "ext" => Ok(status(&self.extension_status(self.extension_of(what)?))),
            "trunk" => self.trunk_status(what.id()),
            "visitor" => self.sides(Side::Visitor, what),
            "outer" => self.sides(Side::Outer, what),
            "group" if what.id().is_empty() => {
                Ok(status(&(0..self.groups.len()).map(|index| self.group_status(index)).collect::<String>()))
            }
            "group" => Ok(status(&self.group_status(self.group_of(what)?))),
            "menu" => self.menus_asked(what),
            _ => Err(Refused::new(1, "")),
        }
    }

    fn device_info(&self) -> String {
        let desk = &self.om;
        let mut info = member(2, "manufacturer", "New Rock Technologies, Inc");
        info += &member(2, "model", &desk.model);
        info += &member(2, "version", &desk.firmware);
        if desk.settings.is_on(super::Setting::Mac) {
            // The blank is the vendor's.
            info += &member(2, "mac", &format!("{} ", desk.mac));
        }
        let mut devices = String::new();
        for (index, extension) in self.extensions.iter().enumerate() {
            let (line, number) = (self.extension_line(index), escaped(&extension.number));
            devices += &format!("    <ext lineid=\"{line}\" id=\"{number}\" />\n");
        }
        for (index, trunk) in self.trunks.iter().enumerate() {
            let (line, number) = (self.trunk_line(index), escaped(&trunk.number));
            devices += &format!("    <line lineid=\"{line}\" id=\"{number}\" />\n");
        }
        for group in &self.groups {
            let members: String =
                group.members.iter().map(|&index| nested(6, &self.named(index), "")).collect();
            devices += &nested(4, &with_id("group", &group.number.to_string()), &members);
        }
        document("DeviceInfo", &(info + &nested(2, "devices", &devices)))
    }

    /// Lines are numbered through: the telephones first, the trunks behind them.
    pub(super) fn extension_line(&self, index: usize) -> String {
        let kind = if self.extensions[index].ip { "IPPhone" } else { "Phone" };
        format!("{kind} {}", index + 1)
    }

    pub(super) fn trunk_line(&self, index: usize) -> String {
        let kind = if self.trunks[index].ip { "IPLine" } else { "Line" };
        format!("{kind} {}", self.extensions.len() + index + 1)
    }

    fn named(&self, extension: usize) -> String {
        with_id("ext", &self.extensions[extension].number)
    }

    /// Some devices write states as in the document's samples, some as in its tables.
    fn word(&self, state: &str) -> String {
        if self.index.is_multiple_of(2) {
            return state.to_owned();
        }
        let mut letters = state.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
    }

    fn extension_status(&self, index: usize) -> String {
        let extension = &self.extensions[index];
        let mut inside = member(4, "lineid", &self.extension_line(index));
        for group in self.groups.iter().filter(|group| group.members.contains(&index)) {
            inside += &nested(4, &with_id("group", &group.number.to_string()), "");
        }
        let api = extension.api().to_string();
        for (set, shown) in SHOWN {
            let value = extension.assigned.get(set).map(String::as_str);
            let value = if set == "api" { Some(api.as_str()) } else { value };
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                inside += &member(4, shown, value);
            }
        }
        inside += &member(4, "state", &self.word(self.line_state(index)));
        for (id, held) in [(extension.call, false), (extension.held, !extension.conference)] {
            if let Some(call) = id.and_then(|id| self.calls.get(&id)) {
                let state = if held { "wait" } else { progress(call) };
                for other in self.others(call, index) {
                    inside += &nested(4, &other, &member(6, "state", &self.word(state)));
                }
            }
        }
        nested(2, &self.named(index), &inside)
    }

    fn line_state(&self, index: usize) -> &'static str {
        let extension = &self.extensions[index];
        let call = extension.call.and_then(|id| self.calls.get(&id));
        match (extension.phone, call) {
            (Phone::Idle, _) => "ready",
            (Phone::Offline, _) => "offline",
            (Phone::Busy, Some(call)) if !extension.ip && call.stage == Stage::Dialing => "progress",
            (Phone::Busy, None) if !extension.ip && extension.held.is_none() => "offhook",
            _ => "active",
        }
    }

    /// With whom an extension is in a call.
    fn others(&self, call: &Call, index: usize) -> Vec<String> {
        if call.called().any(|called| called == index) {
            return self.originator(call).map(|party| self.opening(party)).into_iter().collect();
        }
        if call.callee.is_some() {
            return call.called().map(|called| self.named(called)).collect();
        }
        call.outers.last().map(|outer| known("outer", outer)).into_iter().collect()
    }

    fn opening(&self, party: Party<'_>) -> String {
        match party {
            Party::Extension(number) => with_id("ext", number),
            Party::Visitor(visitor) => known("visitor", visitor),
            Party::Outer(outer) => known("outer", outer),
            Party::Menu(menu) => with_id("menu", &menu.to_string()),
            Party::Group(group) => with_id("group", &group.to_string()),
        }
    }

    fn trunk_status(&self, number: &str) -> Reply {
        let index = self.trunks.iter().position(|trunk| *trunk.number == *number);
        let index =
            index.ok_or_else(|| Refused::new(7, format!("  <trunk id=\"{}\" />\n", escaped(number))))?;
        let mut inside = member(4, "lineid", &self.trunk_line(index));
        let state = if self.has_line(index) { "ready" } else { "active" };
        inside += &member(4, "state", &self.word(state));
        for call in self.calls.values() {
            let state = member(6, "state", &self.word(progress(call)));
            for (kind, wire) in wires(call) {
                if *wire.trunk == *number {
                    inside += &nested(4, &known(kind, wire), &state);
                }
            }
        }
        Ok(status(&nested(2, &with_id("trunk", number), &inside)))
    }

    fn sides(&self, side: Side, what: &Node) -> Reply {
        if what.id().is_empty() {
            return Ok(status(
                &self.calls.values().map(|call| self.side(call, side, None)).collect::<String>(),
            ));
        }
        let call = self.call_of(side, what)?;
        let id = what.id().parse().ok();
        Ok(status(&self.calls.get(&call).map(|call| self.side(call, side, id)).unwrap_or_default()))
    }

    /// A visitor or outer of a call, with whom it is.
    fn side(&self, call: &Call, side: Side, id: Option<u32>) -> String {
        let mut all = String::new();
        for (kind, wire) in wires(call) {
            if kind != side.name() || id.is_some_and(|id| id != wire.id) {
                continue;
            }
            let mut inside: String =
                self.beside(call, wire, side).iter().map(|other| nested(4, other, "")).collect();
            inside += &member(4, "state", &self.word(progress(call)));
            all += &nested(2, &known(kind, wire), &inside);
        }
        all
    }

    fn beside(&self, call: &Call, wire: &Wire, side: Side) -> Vec<String> {
        if call.callee.is_some() {
            return call.called().map(|called| self.named(called)).collect();
        }
        self.not_an_extension_beside(call, wire, side).into_iter().collect()
    }

    fn not_an_extension_beside(&self, call: &Call, wire: &Wire, side: Side) -> Option<String> {
        if let Some(menu) = call.menu {
            return Some(with_id("menu", &menu.menu.to_string()));
        }
        match side {
            Side::Visitor => call.outers.last().map(|outer| known("outer", outer)),
            Side::Outer => match &call.visitor {
                Some(visitor) => Some(known("visitor", visitor)),
                // As the document prints it: an extension's own call out stands within itself.
                None => {
                    Some(known("outer", call.outers.iter().find(|other| other.id != wire.id).unwrap_or(wire)))
                }
            },
        }
    }

    pub(super) fn group_status(&self, index: usize) -> String {
        let group = &self.groups[index];
        let mut inside: String =
            group.members.iter().map(|&index| nested(4, &self.named(index), "")).collect();
        for (name, value) in [("voicefile", &group.voicefile), ("distribution", &group.distribution)] {
            if !value.is_empty() {
                inside += &member(4, name, value);
            }
        }
        let waiting = group.waiting.iter().filter_map(|id| self.calls.get(id));
        let waiting: String = waiting
            .filter_map(|call| self.originator(call))
            .map(|party| nested(4, &self.opening(party), ""))
            .collect();
        inside += if waiting.is_empty() { NOBODY_WAITS } else { &waiting };
        nested(2, &with_id("group", &group.number.to_string()), &inside)
    }

    fn menus_asked(&self, what: &Node) -> Reply {
        if !what.id().is_empty() {
            let id = what.id().parse().ok().filter(|id| (1..=50).contains(id));
            let id =
                id.ok_or_else(|| Refused::new(7, format!("  <menu id=\"{}\" />\n", escaped(what.id()))))?;
            return Ok(status(&self.menu_status(id)));
        }
        let taken = self.calls.values().filter_map(|call| call.menu).map(|menu| u32::from(menu.menu));
        let all: std::collections::BTreeSet<u32> = self.om.menus.keys().copied().chain(taken).collect();
        Ok(status(&all.into_iter().map(|id| self.menu_status(id)).collect::<String>()))
    }

    pub(super) fn menu_status(&self, id: u32) -> String {
        let mut inside = String::new();
        if let Some(menu) = self.om.menus.get(&id) {
            let fields = [
                ("voicefile", &menu.voicefile),
                ("repeat", &menu.repeat),
                ("infolength", &menu.infolength),
                ("exit", &menu.exit),
            ];
            for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
                inside += &member(4, name, value);
            }
        }
        let before = inside.len();
        for call in self.calls.values() {
            if call.stage == Stage::InMenu
                && call.menu.is_some_and(|menu| u32::from(menu.menu) == id)
                && let Some(party) = self.menu_party(call)
            {
                inside += &nested(4, &self.opening(party), "");
            }
        }
        if inside.len() == before {
            inside += NOBODY_WAITS;
        }
        nested(2, &with_id("menu", &id.to_string()), &inside)
    }
}

/// The lines that a call takes, as they are called.
fn wires(call: &Call) -> impl Iterator<Item = (&'static str, &Wire)> {
    let visitor = call.visitor.iter().map(|wire| ("visitor", wire));
    visitor.chain(call.outers.iter().map(|wire| ("outer", wire)))
}

fn progress(call: &Call) -> &'static str {
    match call.stage {
        _ if call.order.held => "wait",
        Stage::Talking | Stage::InMenu => "talk",
        Stage::Queued | Stage::WaitingFor(_) => "wait",
        Stage::Invited | Stage::Incoming | Stage::CallerRings | Stage::Dialing | Stage::Ringing => "progress",
    }
}
