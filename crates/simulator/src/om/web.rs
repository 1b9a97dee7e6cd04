//! The web interface: `GET /xml?method=gw.config.get|set`, and what a parameter changes.

use super::settings::{Setting, hex};
use crate::config::Dialect;
use crate::engine::clock::Clock;
use crate::engine::device::Device;
use crate::engine::happening::Happening;

impl Device {
    /// Answers a query string such as `method=gw.config.get&id=1070&pass=admin`.
    pub(crate) fn web(&mut self, clock: &mut Clock, query: &str) -> String {
        let fields: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let method = field("method").unwrap_or("");
        if !matches!(method, "gw.config.get" | "gw.config.set")
            || field("pass") != Some(&self.om.web_password)
        {
            return answer("fail", "");
        }
        let line = field("line_id").map(|line| line.parse::<usize>().unwrap_or(0));
        // The document prints `get` for setting too: what is set is told from the names.
        let sets: Vec<(&str, &str)> = fields
            .iter()
            .filter_map(|(name, value)| {
                Some((name.strip_prefix("id").filter(|id| !id.is_empty())?, value.as_str()))
            })
            .collect();
        if sets.is_empty() {
            let asked = fields.iter().filter(|(name, _)| name == "id").map(|(_, id)| id.as_str());
            let items: String = asked.map(|id| self.item(id, line)).collect();
            return answer(if method.ends_with("get") && !items.is_empty() { "ok" } else { "fail" }, &items);
        }
        let answered = self.set_all(&sets, line);
        if self.om.settings.text(Setting::ConfigChange) == "2"
            && let (false, Some(trunk)) = (answered.contains("fail"), self.trunks.first())
        {
            self.emit(clock, None, &Happening::ConfigChanged { trunk: &trunk.number });
        }
        answered
    }

    fn item(&self, id: &str, line: Option<usize>) -> String {
        let value = Setting::find(id).and_then(|setting| self.setting(setting, line));
        let value = value.unwrap_or_else(|| "not defined".to_owned());
        let (id, value) = (crate::dialect::om::escaped(id), crate::dialect::om::escaped(&value));
        format!("  <item id=\"{id}\" value=\"{value}\"/>\n")
    }

    fn setting(&self, setting: Setting, line: Option<usize>) -> Option<String> {
        let settings = &self.om.settings;
        if !setting.is_of_a_line() {
            return Some(settings.text(setting).to_owned());
        }
        let line = line.filter(|line| (1..=self.extensions.len() + self.trunks.len()).contains(line))?;
        if let (Setting::TrunkApi, Some(extension)) = (setting, self.extensions.get(line - 1)) {
            return Some(format!("0x{:02x}", extension.api()));
        }
        match line.checked_sub(self.extensions.len() + 1) {
            Some(trunk) if setting == Setting::TrunkApi => {
                let trunk = self.trunks.get(trunk)?;
                let control = u8::from(trunk.asks_before) * 0x10 + u8::from(trunk.asks_after) * 0x20;
                Some(if trunk.bare { "0x00".to_owned() } else { format!("0x{:02x}", control + 7) })
            }
            _ => Some(settings.of_line(setting, line).to_owned()),
        }
    }

    /// All of them or, if one of them cannot be, none.
    fn set_all(&mut self, sets: &[(&str, &str)], line: Option<usize>) -> String {
        let mut known = Vec::new();
        for &(id, value) in sets {
            let setting = Setting::find(id).filter(|setting| setting.takes(value));
            let setting =
                setting.filter(|&setting| setting != Setting::TrunkApi || self.takes_api(line, value));
            match setting.filter(|&setting| self.setting(setting, line).is_some()) {
                Some(setting) => known.push((setting, value)),
                None => return answer("fail", ""),
            }
        }
        let restart = known.iter().any(|(setting, _)| setting.wants_restart());
        for (setting, value) in known {
            match line.filter(|_| setting.is_of_a_line()) {
                Some(line) => self.set_line(setting, line, value),
                None => {
                    self.om.settings.set(setting, value);
                }
            }
        }
        self.heed_settings();
        self.heed_switches();
        answer(if restart { "restart" } else { "ok" }, "")
    }

    /// An extension has no calls to be asked about, and a trunk no keys (4.6).
    fn takes_api(&self, line: Option<usize>, value: &str) -> bool {
        let of_extension = line.is_some_and(|line| line <= self.extensions.len());
        let bits = if of_extension { 0x0F } else { 0x37 };
        hex(value).is_some_and(|api| api & !bits == 0)
    }

    fn set_line(&mut self, setting: Setting, line: usize, value: &str) {
        self.om.settings.set_of_line(setting, line, value);
        let trunk = line.checked_sub(self.extensions.len() + 1);
        let (Setting::TrunkApi, Some(api)) = (setting, hex(value)) else { return };
        match (trunk, line.checked_sub(1).and_then(|index| self.extensions.get_mut(index))) {
            (Some(trunk), _) => self.set_trunk_api(trunk, api),
            (None, Some(extension)) => {
                extension.own_api = api;
                extension.assigned.remove("api");
            }
            (None, None) => {}
        }
    }

    /// `FT_API_1`: from now on a real application decides about calls over this trunk.
    pub(crate) fn set_trunk_api(&mut self, trunk: usize, api: u8) {
        if let Some(trunk) = self.trunks.get_mut(trunk) {
            trunk.asks_before = api & 0x10 != 0;
            trunk.asks_after = api & 0x20 != 0;
            trunk.bare = api == 0;
            trunk.controlled = true;
        }
    }

    /// Brings what the parameters say to where it matters.
    pub(crate) fn heed_settings(&mut self) {
        self.habits.decision_ms = self.om.settings.number(Setting::ResponseTo) * 1000;
        let settings = &self.om.settings;
        let quiet = settings.number(Setting::Flag) & 0x01 != 0;
        let password = settings.text(Setting::ServerPassword);
        self.voice.configure(settings.is_on(Setting::Mac), password, quiet, settings.is_on(Setting::Cdr));
    }

    /// Has nothing reported of extensions whose switch is off.
    pub(crate) fn heed_switches(&mut self) {
        let off = self.extensions.iter().filter(|extension| !self.om.monitors(extension.api()));
        let off = off.map(|extension| extension.number.clone()).collect();
        self.voice.silence(off);
    }

    /// Whether single keys of an extension are reported; the other vendors always do.
    pub(crate) fn reports_keys(&self, extension: usize) -> bool {
        self.dialect != Dialect::Om || self.om.reports_keys(self.extensions[extension].api())
    }

    /// `CONTROL_TYPE`, which counts from a boot on: reports go on kept connections, or each on its own.
    pub(crate) fn heed_control_type(&mut self) {
        if self.dialect == Dialect::Om {
            self.keeps_connections = self.om.settings.is_on(Setting::ControlType);
        }
    }

    /// Whether reports are to be POSTed.
    pub(crate) fn posts(&self) -> bool {
        self.om.settings.is_on(Setting::Method)
    }
}

fn answer(stat: &str, items: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<rsp stat=\"{stat}\">\n{items}</rsp>\n")
}

/// `%20` and `+` in a query string.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| byte == b'%') {
            Some(decoded) => {
                bytes.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            None => bytes.push(if byte == b'+' { b' ' } else { byte }),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
