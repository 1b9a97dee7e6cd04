//! The system parameters of the document's chapter 6.1: what values each takes, and what it is by
//! default.

use std::collections::BTreeMap;

use crate::config::{Connection, FleetConfig, Method};

/// A system parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setting {
    Mac = 349,
    ResponseTo = 526,
    ControlType = 554,
    TrunkApi = 599,
    CallbackType = 615,
    Display = 624,
    ConfigChange = 883,
    Calling = 978,
    AlertInfo = 986,
    Cpn = 991,
    Cdr = 1058,
    OutboundTransfer = 1070,
    Timeout = 1088,
    Password = 1089,
    Method = 1125,
    ServerPassword = 1153,
    Flag = 1198,
}

/// All of them.
const ALL: [Setting; 17] = [
    Setting::Mac,
    Setting::ResponseTo,
    Setting::ControlType,
    Setting::TrunkApi,
    Setting::CallbackType,
    Setting::Display,
    Setting::ConfigChange,
    Setting::Calling,
    Setting::AlertInfo,
    Setting::Cpn,
    Setting::Cdr,
    Setting::OutboundTransfer,
    Setting::Timeout,
    Setting::Password,
    Setting::Method,
    Setting::ServerPassword,
    Setting::Flag,
];

impl Setting {
    pub(crate) fn find(id: &str) -> Option<Self> {
        let id: u16 = id.parse().ok()?;
        ALL.into_iter().find(|setting| *setting as u16 == id)
    }

    /// Has a value for each line.
    pub(crate) fn is_of_a_line(self) -> bool {
        matches!(self, Self::TrunkApi | Self::AlertInfo)
    }

    /// Is heeded only after the next boot.
    pub(crate) fn wants_restart(self) -> bool {
        self == Self::ControlType
    }

    fn default(self) -> &'static str {
        match self {
            Self::Mac | Self::Calling | Self::Cpn => "no",
            Self::Display | Self::Cdr => "yes",
            Self::ResponseTo => "5",
            Self::TrunkApi | Self::Flag => "0x00",
            Self::AlertInfo => "off",
            Self::Password | Self::ServerPassword => "",
            _ => "0",
        }
    }

    /// Whether it can have this value.
    pub(crate) fn takes(self, value: &str) -> bool {
        let number = |low: u64, high: u64| value.parse().is_ok_and(|value| (low..=high).contains(&value));
        match self {
            Self::Mac | Self::Calling | Self::Cpn | Self::Display | Self::Cdr => {
                matches!(value, "yes" | "no")
            }
            Self::ResponseTo => number(1, 120),
            Self::ControlType | Self::CallbackType | Self::OutboundTransfer | Self::Method => number(0, 1),
            Self::TrunkApi => matches!(hex(value), Some(0x00 | 0x07 | 0x08 | 0x0F | 0x17 | 0x27 | 0x37)),
            Self::ConfigChange => matches!(value, "0" | "2"),
            Self::AlertInfo => matches!(value, "on" | "off"),
            Self::Timeout => number(0, 86_400),
            Self::Password | Self::ServerPassword => {
                value.len() <= 16 && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
            }
            Self::Flag => matches!(hex(value), Some(0 | 1 | 4 | 5)),
        }
    }
}

/// `0x27`
pub(crate) fn hex(value: &str) -> Option<u8> {
    u8::from_str_radix(value.strip_prefix("0x")?, 16).ok()
}

/// The values that differ from the defaults.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    values: BTreeMap<Setting, String>,
    of_lines: BTreeMap<(Setting, usize), String>,
}

impl Settings {
    pub(crate) fn new(config: &FleetConfig) -> Self {
        let mut settings = Self::default();
        if config.with_mac {
            settings.values.insert(Setting::Mac, "yes".to_owned());
        }
        if config.method == Some(Method::Post) {
            settings.values.insert(Setting::Method, "1".to_owned());
        }
        if config.connection == Connection::Long {
            settings.values.insert(Setting::ControlType, "1".to_owned());
        }
        if let Some(password) = &config.api_password {
            settings.values.insert(Setting::Password, password.clone());
        }
        settings
    }

    pub(crate) fn text(&self, setting: Setting) -> &str {
        self.values.get(&setting).map_or_else(|| setting.default(), String::as_str)
    }

    pub(crate) fn number(&self, setting: Setting) -> u64 {
        let text = self.text(setting);
        hex(text).map(u64::from).or_else(|| text.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn is_on(&self, setting: Setting) -> bool {
        matches!(self.text(setting), "yes" | "1" | "on")
    }

    pub(crate) fn of_line(&self, setting: Setting, line: usize) -> &str {
        self.of_lines.get(&(setting, line)).map_or_else(|| setting.default(), String::as_str)
    }

    /// False: it cannot have this value, and keeps the one it has.
    pub(crate) fn set(&mut self, setting: Setting, value: &str) -> bool {
        let takes = setting.takes(value);
        if takes {
            self.values.insert(setting, value.to_owned());
        }
        takes
    }

    pub(crate) fn set_of_line(&mut self, setting: Setting, line: usize, value: &str) {
        self.of_lines.insert((setting, line), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_defaults_are_the_documents() {
        let mut settings = Settings::default();
        assert_eq!(ALL.map(|setting| setting as u16).len(), 17);
        assert!(ALL.into_iter().all(|setting| setting.takes(setting.default())));
        assert_eq!(settings.number(Setting::ResponseTo), 5);
        assert!(!settings.set(Setting::ResponseTo, "121"));
        assert!(settings.set(Setting::ResponseTo, "120"));
        assert_eq!(settings.number(Setting::ResponseTo), 120);
        assert!(settings.set(Setting::Flag, "0x04") && settings.number(Setting::Flag) == 4);
        assert_eq!(Setting::find("1070"), Some(Setting::OutboundTransfer));
        assert_eq!(Setting::find("1071"), None);
        assert!(!Setting::Password.takes("with blank") && !Setting::TrunkApi.takes("0x40"));
    }
}
