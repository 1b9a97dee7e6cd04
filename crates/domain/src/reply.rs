//! What a device answers to a command, typed, without any vendor.
//!
//! A device says the same thing in many shapes, and its HTTP status says nothing; whoever talks to it
//! (`protocol`) tells the shapes apart and gives one of these.

use serde::{Deserialize, Serialize};

use crate::Text;
use crate::command::{Distribution, ExtensionSettings};

/// A device's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reply {
    /// It was done, or begun.
    Done,
    /// It was begun, and these are the parties (OM TRANSIENT); their ids are what later reports speak of.
    Begun {
        /// Who, as far as the device knows yet.
        parties: Vec<Partner>,
        /// The visitor waits: who it is for is busy.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        waiting: bool,
    },
    /// The state and settings that were asked for, or that the assignment led to.
    Status(Box<Status>),
    /// The device itself.
    Device(Box<DeviceInfo>),
    /// A parameter.
    Parameter {
        /// Its value; none if the device does not know the parameter.
        value: Option<Text>,
        /// A written value takes effect after the next restart.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        after_restart: bool,
    },
    /// It was not done (OM FAILED).
    Failed {
        /// 1 to 8; what they mean is in [`Failure`].
        code: Option<u32>,
        /// The device's words.
        reason: Option<Text>,
    },
    /// The device does not take commands from us (OM 100 to 104).
    Unauthorized {
        /// Why.
        code: Option<u32>,
        /// The device's words.
        reason: Option<Text>,
    },
}

impl Reply {
    /// Did the device do, or begin, what it was asked?
    #[must_use]
    pub const fn is_success(&self) -> bool {
        !matches!(self, Self::Failed { .. } | Self::Unauthorized { .. })
    }
}

/// A party of a call, as a reply names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partner {
    /// `extension`, `visitor`, `outer`, `menu`, `group`.
    pub kind: PartnerKind,
    /// The extension's number, the menu's or group's id, the visitor's or outer's wire id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Text>,
    /// Calling number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Text>,
    /// Called number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Text>,
    /// Trunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<Text>,
    /// The wire's id of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callid: Option<Text>,
    /// What the connection with it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TalkState>,
    /// Whom it is with, for a visitor or an outer that was asked about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<Self>,
}

/// What a party is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartnerKind {
    /// A telephone.
    #[default]
    Extension,
    /// An outside caller.
    Visitor,
    /// An outside party that was called.
    Outer,
    /// A voice menu.
    Menu,
    /// A ring group.
    Group,
}

/// What a connection does (OM 2.1.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TalkState {
    /// They talk.
    Talk,
    /// It is being set up.
    Progress,
    /// It waits.
    Wait,
}

/// What a device says of what it was asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Extensions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<ExtensionStatus>,
    /// Trunks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trunks: Vec<TrunkStatus>,
    /// Visitors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub visitors: Vec<Partner>,
    /// Outers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outers: Vec<Partner>,
    /// Ring groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupStatus>,
    /// Menus.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub menus: Vec<MenuStatus>,
    /// Voice files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice_files: Option<Vec<Text>>,
}

/// An extension, as its device describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionStatus {
    /// Its number.
    pub number: Text,
    /// Its line.
    pub line_id: Option<Text>,
    /// Its line's state.
    pub state: Option<LineState>,
    /// Its settings, as far as the device tells: what is at its default is left out.
    pub settings: ExtensionSettings,
    /// Where calls go while it is not registered (`Off_Line_Num`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_number: Option<Text>,
    /// Whom it is in a call with.
    #[serde(default)]
    pub with: Vec<Partner>,
}

/// A line's state (OM 2.1.1.2, 2.1.1.3), of an extension or a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    /// Free.
    Ready,
    /// Rings, hears ringback, or talks.
    Active,
    /// Off hook and dialling.
    Progress,
    /// Not registered.
    Offline,
    /// Off hook and reminded of it.
    Offhook,
    /// Nothing is plugged in.
    Unwired,
}

/// A trunk, as its device describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkStatus {
    /// Its number.
    pub number: Text,
    /// Its line.
    pub line_id: Option<Text>,
    /// Its state; of a trunk that carries several calls it is `ready` as long as one more fits.
    pub state: Option<LineState>,
    /// The outside parties on it.
    #[serde(default)]
    pub with: Vec<Partner>,
}

/// A ring group, as its device describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// 1 to 50.
    pub group: u16,
    /// Members, in order.
    pub members: Vec<Text>,
    /// How it spreads its calls; none: the device's default.
    pub distribution: Option<Distribution>,
    /// What callers hear who wait.
    pub voice_file: Option<Text>,
    /// Who waits, the first one first.
    pub waiting: Vec<Partner>,
}

/// A voice menu, as its device describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MenuStatus {
    /// 1 to 50.
    pub menu: u16,
    /// What it plays.
    pub voice_file: Option<Text>,
    /// How often, 0 for ever.
    pub repeat: Option<u16>,
    /// Keys until a report.
    pub info_length: Option<u8>,
    /// The key that ends the input.
    pub exit: Option<Text>,
    /// Who hears it.
    pub with: Vec<Partner>,
}

/// What a device says of itself (OM 2.1.1.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Who made it.
    pub manufacturer: Option<Text>,
    /// `Rev 6.0.0 OM20-2S/2`.
    pub model: Option<Text>,
    /// Its firmware, `Rev 2.1.5.111`.
    pub version: Option<Text>,
    /// Its hardware address, if it tells.
    pub mac: Option<Text>,
    /// Its telephones.
    pub extensions: Vec<Line>,
    /// Its outside lines.
    pub trunks: Vec<Line>,
    /// Its ring groups with their members.
    pub groups: Vec<GroupStatus>,
}

/// A line of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The line, `IPPhone 50`.
    pub line_id: Option<Text>,
    /// Its number; none if it has none yet.
    pub number: Option<Text>,
}

/// What a FAILED means (OM 2.5.3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// 1: it could not be done now.
    Temporary,
    /// 2: the caller may not call that.
    Restricted,
    /// 3: who is called is not registered.
    CalledOffline,
    /// 4: who is called is in another call.
    OtherCall,
    /// 5: no trunk is free.
    NoCircuit,
    /// 6: who is called is busy.
    Busy,
    /// 7: there is no such extension.
    NotExist,
    /// 8: the caller is not registered.
    CallerOffline,
}

impl Failure {
    /// By the wire's code.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Temporary,
            2 => Self::Restricted,
            3 => Self::CalledOffline,
            4 => Self::OtherCall,
            5 => Self::NoCircuit,
            6 => Self::Busy,
            7 => Self::NotExist,
            8 => Self::CallerOffline,
            _ => return None,
        })
    }

    /// For people.
    #[must_use]
    pub const fn explain(self) -> &'static str {
        match self {
            Self::Temporary => "the device could not do it now",
            Self::Restricted => "the caller may not call that number",
            Self::CalledOffline => "who is called is not registered",
            Self::OtherCall => "who is called is in another call",
            Self::NoCircuit => "no trunk is free",
            Self::Busy => "who is called is busy",
            Self::NotExist => "the device has no such extension, visitor, outer, group or menu",
            Self::CallerOffline => "the caller is not registered",
        }
    }
}
