//! `Control Assign`: settings of extensions, groups and menus, and what a boot leaves of them.

use super::Menu;
use super::settings::Setting;
use super::words::{Refused, Reply, member, nested, status, with_id};
use super::xml::Node;
use crate::dialect::om::escaped;
use crate::engine::clock::Clock;
use crate::engine::device::{Device, Group};
use crate::engine::ordered::OPERATOR;
use crate::engine::time_of_day;

/// The independent settings of an extension, in the document's order; groups come after the third.
const SETTINGS: [&str; 13] = [
    "staffid",
    "mobile",
    "voicefile",
    "email",
    "Call_Restriction",
    "Call_Pickup",
    "No_Disturb",
    "Fwd_Type",
    "Fwd_Number",
    "Fork",
    "WAKEUP",
    "record",
    "autoAnswer",
];
/// The document's bound on a group.
const MEMBERS: usize = 20;

impl Device {
    pub(super) fn assign(&mut self, clock: &mut Clock, order: &Node) -> Reply {
        let Some(what) = order.children.first() else { return Err(Refused::new(1, "")) };
        match what.name.as_str() {
            "ext" => self.assign_extension(clock, what),
            "group" => self.assign_group(what),
            "menu" => self.assign_menu(what),
            _ => Err(Refused::new(1, "")),
        }
    }

    fn assign_extension(&mut self, clock: &mut Clock, what: &Node) -> Reply {
        let line = what.attribute("lineid").unwrap_or("");
        let index = (0..self.extensions.len()).find(|&index| self.extension_line(index) == line);
        let unknown = || Refused::new(7, format!("  <ext lineid=\"{}\" />\n", escaped(line)));
        let index = index.ok_or_else(unknown)?;
        if let Some(named) = what.child("voicefile") {
            self.om.can_play_or_fetch(named.text())?;
        }
        if let Some(number) = what.child("id").map(Node::text) {
            let other = self.numbered(number).is_some_and(|other| other != index);
            if number.is_empty() || other || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Refused::extension(1, number));
            }
            self.extensions[index].number = number.into();
        }
        for name in SETTINGS.into_iter().chain(["api"]) {
            if let Some(given) = what.child(name) {
                self.set(index, name, given.text());
            }
        }
        if what.child("WAKEUP").is_some() {
            self.set_alarm(clock, index);
        }
        let groups: Vec<u32> = what.all("group").filter_map(|group| group.text().parse().ok()).collect();
        for group in &mut self.groups {
            group.members.retain(|&member| member != index);
        }
        for number in groups.into_iter().filter(|number| (1..=50).contains(number)) {
            let group = self.group_numbered(number);
            self.groups[group].members.push(index);
        }
        self.heed_switches();
        Ok(status(&self.assigned_extension(index)))
    }

    fn set(&mut self, index: usize, name: &'static str, value: &str) {
        // The operator always takes calls, and takes them itself.
        if index == OPERATOR && matches!(name, "No_Disturb" | "Fwd_Type" | "Fwd_Number") {
            return;
        }
        let valid = match name {
            "Call_Restriction" => matches!(value, "0" | "1" | "2" | "3"),
            "Fwd_Type" => matches!(value, "0" | "1" | "2"),
            "Call_Pickup" | "autoAnswer" => matches!(value, "yes" | "no"),
            "No_Disturb" | "record" => matches!(value, "on" | "off" | "yes" | "no"),
            "WAKEUP" => value.is_empty() || time_of_day(value).is_some(),
            "api" => value.parse::<u8>().is_ok(),
            _ => value.len() <= 128,
        };
        if valid {
            // Both pairs of words stand in the document.
            let value = match (name, value) {
                ("No_Disturb" | "record", "yes") => "on",
                ("No_Disturb" | "record", "no") => "off",
                _ => value,
            };
            self.extensions[index].assigned.insert(name, value.to_owned());
        }
    }

    fn assigned_extension(&self, index: usize) -> String {
        let extension = &self.extensions[index];
        let mut inside = member(4, "id", &extension.number);
        for (at, name) in SETTINGS.into_iter().chain(["api"]).enumerate() {
            if at == 2 {
                for group in self.groups.iter().filter(|group| group.members.contains(&index)) {
                    inside += &member(4, "group", &group.number.to_string());
                }
            }
            if let Some(value) = extension.assigned.get(name).filter(|value| !value.is_empty()) {
                inside += &member(4, name, value);
            }
        }
        nested(2, &with_id("ext", &extension.number), &inside)
    }

    /// The index of the group with this number, which is made if there is none.
    fn group_numbered(&mut self, number: u32) -> usize {
        if let Some(index) = self.groups.iter().position(|group| group.number == number) {
            return index;
        }
        self.groups.push(Group {
            number,
            queue: number + 5,
            members: Vec::new(),
            waiting: std::collections::VecDeque::new(),
            own: None,
            voicefile: String::new(),
            distribution: String::new(),
            rings_all_by_itself: false,
            last: 0,
        });
        self.groups.len() - 1
    }

    /// Members are added; only a group without any clears it.
    fn assign_group(&mut self, what: &Node) -> Reply {
        let refused = |code| Refused::new(code, format!("  <group id=\"{}\" />\n", escaped(what.id())));
        let number = what.id().parse().ok().filter(|number| (1..=50).contains(number));
        let number = number.ok_or_else(|| refused(7))?;
        let mut members = Vec::new();
        for named in what.all("ext") {
            let given = if named.text().is_empty() { named.id() } else { named.text() };
            members.push(self.numbered(given).ok_or_else(|| Refused::extension(7, given))?);
        }
        let text = |name: &str| what.child(name).map(|node| node.text().to_owned()).unwrap_or_default();
        let distribution = text("distribution");
        if !matches!(distribution.as_str(), "" | "sequential" | "group" | "circular") {
            return Err(refused(1));
        }
        let voicefile = text("voicefile");
        self.om.can_play_or_fetch(&voicefile)?;
        let index = self.group_numbered(number);
        let group = &mut self.groups[index];
        group.voicefile = voicefile;
        group.distribution = distribution;
        if members.is_empty() {
            group.members.clear();
        }
        for member in members {
            if !group.members.contains(&member) && group.members.len() < MEMBERS {
                group.members.push(member);
            }
        }
        Ok(status(&self.group_status(index)))
    }

    /// What is not given is set back. A menu without a voice file is no menu.
    fn assign_menu(&mut self, what: &Node) -> Reply {
        let refused = |code| Refused::new(code, format!("  <menu id=\"{}\" />\n", escaped(what.id())));
        let id: u32 = what.id().parse().ok().filter(|id| (1..=50).contains(id)).ok_or_else(|| refused(7))?;
        let text = |name: &str| what.child(name).map(|node| node.text().to_owned()).unwrap_or_default();
        let menu = Menu {
            voicefile: text("voicefile"),
            repeat: text("repeat"),
            infolength: text("infolength"),
            exit: text("exit"),
        };
        let fits = |value: &str, low: u32, high: u32| {
            value.is_empty() || value.parse().is_ok_and(|value| (low..=high).contains(&value))
        };
        if !fits(&menu.repeat, 0, 65_535) || !fits(&menu.infolength, 1, 255) || menu.exit.len() > 1 {
            return Err(refused(1));
        }
        self.om.can_play_or_fetch(&menu.voicefile)?;
        if menu.voicefile.is_empty() {
            self.om.menus.remove(&id);
        } else {
            self.om.menus.insert(id, menu);
        }
        Ok(status(&self.menu_status(id)))
    }

    /// A boot: what commands have assigned is gone, unless the device is set to write it down.
    pub(crate) fn forget_assigned(&mut self) {
        if self.om.settings.number(Setting::Flag) & 0x04 != 0 {
            return;
        }
        self.om.menus.clear();
        self.groups.retain(|group| group.own.is_some());
        for group in &mut self.groups {
            group.members = group.own.clone().unwrap_or_default();
            group.voicefile.clear();
            group.distribution.clear();
        }
        for extension in &mut self.extensions {
            extension.assigned.clear();
            extension.number = extension.own_number.clone();
        }
        self.heed_switches();
    }
}
