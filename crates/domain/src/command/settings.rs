//! The settings of an extension (OM 2.1.2.1). What is absent keeps its value on the device.

use serde::{Deserialize, Serialize};

use super::{BadCommand, bad};
use crate::Text;

/// Settings to give an extension; only what is there is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExtensionSettings {
    /// Its number: digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Text>,
    /// Said to callers before it is rung: digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staff_id: Option<Text>,
    /// Its owner's mobile number; empty for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mobile: Option<Text>,
    /// Its owner's address; the device does nothing with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Text>,
    /// The ring groups that it is in, all of them: an assignment without its groups takes it out of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<u16>>,
    /// What callers hear who wait for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice_file: Option<Text>,
    /// 0 internal, 1 local, 2 national, 3 international.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_restriction: Option<u8>,
    /// Others may pick up its calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_pickup: Option<bool>,
    /// Takes no calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub do_not_disturb: Option<bool>,
    /// Where its calls go instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,
    /// A number that rings with it; empty for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fork: Option<Text>,
    /// When it is woken, every day; `null` for never.
    #[serde(skip_serializing_if = "Option::is_none", with = "double_option")]
    pub wake_up: Option<Option<WakeUp>>,
    /// Its calls are recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<bool>,
    /// An IP telephone answers dials by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_answer: Option<bool>,
    /// What is reported of it, as bits (`FT_API_1`): 0 nothing, 7 its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<u8>,
}

/// Where an extension's calls go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// Which of them; absent, it stays as it is (or, in a status, the device does not say).
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ForwardType>,
    /// Where to; absent, it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Text>,
}

/// Which calls are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardType {
    /// None.
    Off,
    /// All.
    All,
    /// Those that find it busy, or that it does not answer.
    BusyOrNoAnswer,
}

/// How a ring group spreads its calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// From the first member on.
    Sequential,
    /// From the member after the last one.
    #[default]
    Circular,
    /// All members at once.
    Group,
}

impl Distribution {
    /// The name in JSON, which is the device's own.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Circular => "circular",
            Self::Group => "group",
        }
    }
}

/// A time of day, by the device's clock: `06:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WakeUp {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

impl std::fmt::Display for WakeUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl std::str::FromStr for WakeUp {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a time of day is written HH:MM";
        let (hour, minute) = text.trim().split_once(':').ok_or(WRONG)?;
        let (hour, minute) = (hour.parse().map_err(|_| WRONG)?, minute.parse().map_err(|_| WRONG)?);
        if hour < 24 && minute < 60 { Ok(Self { hour, minute }) } else { Err(WRONG) }
    }
}

impl Serialize for WakeUp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WakeUp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `null` and absent are two things.
mod double_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::option_option, reason = "absent, null and a value are three things")]
    pub(super) fn serialize<S: Serializer, T: Serialize>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    #[expect(clippy::option_option, reason = "absent, null and a value are three things")]
    pub(super) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}

impl ExtensionSettings {
    /// These, and over them what is set in `newer`.
    #[must_use]
    pub fn with(self, newer: Self) -> Self {
        Self {
            id: newer.id.or(self.id),
            staff_id: newer.staff_id.or(self.staff_id),
            mobile: newer.mobile.or(self.mobile),
            email: newer.email.or(self.email),
            groups: newer.groups.or(self.groups),
            voice_file: newer.voice_file.or(self.voice_file),
            call_restriction: newer.call_restriction.or(self.call_restriction),
            call_pickup: newer.call_pickup.or(self.call_pickup),
            do_not_disturb: newer.do_not_disturb.or(self.do_not_disturb),
            forward: match (self.forward, newer.forward) {
                (Some(before), Some(now)) => {
                    Some(Forward { kind: now.kind.or(before.kind), number: now.number.or(before.number) })
                }
                (before, now) => now.or(before),
            },
            fork: newer.fork.or(self.fork),
            wake_up: newer.wake_up.or(self.wake_up),
            record: newer.record.or(self.record),
            auto_answer: newer.auto_answer.or(self.auto_answer),
            api: newer.api.or(self.api),
        }
    }

    pub(super) fn check(&self) -> Result<(), BadCommand> {
        let digits = |text: &Text| text.bytes().all(|b| b.is_ascii_digit());
        if self.id.as_ref().is_some_and(|id| id.is_empty() || id.len() > 32 || !digits(id)) {
            return bad("settings.id", "1 to 32 digits");
        }
        if self.staff_id.as_ref().is_some_and(|id| id.len() > 32 || !digits(id)) {
            return bad("settings.staff_id", "at most 32 digits");
        }
        for (field, text) in [
            ("settings.mobile", &self.mobile),
            ("settings.fork", &self.fork),
            ("settings.email", &self.email),
            ("settings.voice_file", &self.voice_file),
        ] {
            if text.as_ref().is_some_and(|text| text.len() > 256 || text.chars().any(char::is_control)) {
                return bad(field, "at most 256 bytes, without control characters");
            }
        }
        if self.groups.as_ref().is_some_and(|groups| groups.iter().any(|group| !(1..=50).contains(group))) {
            return bad("settings.groups", "groups are 1 to 50");
        }
        if self.call_restriction.is_some_and(|level| level > 3) {
            return bad("settings.call_restriction", "0 internal, 1 local, 2 national, 3 international");
        }
        if self.wake_up == Some(Some(WakeUp { hour: 0, minute: 0 })) {
            return bad(
                "settings.wake_up",
                "00:00 turns the device's alarm off; use null for that, or 00:01",
            );
        }
        match &self.forward {
            Some(Forward { kind: Some(ForwardType::All | ForwardType::BusyOrNoAnswer), number: None }) => {
                bad("settings.forward", "a number to forward to")
            }
            Some(Forward { kind: None, number: None }) => {
                bad("settings.forward", "a type, a number, or both")
            }
            Some(Forward { number: Some(number), .. })
                if number.len() > 64 || number.chars().any(char::is_control) =>
            {
                bad("settings.forward", "a number has at most 64 characters")
            }
            _ => Ok(()),
        }
    }
}
