//! Whom a command is about, as JSON names them: `{"extension": "200"}`, `{"number": "…"}`, `{"group": 1}`.
//!
//! Ids of a device are strings; whoever writes them as numbers is understood.

use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::Text;

/// A party of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PartyRef {
    /// A telephone of the device.
    Extension {
        /// Its number.
        extension: Text,
    },
    /// An outside number that is to be called.
    Number {
        /// With a prefix before a comma, and keys to press after two (OM 2.2.1.2).
        number: Text,
        /// The trunk to use.
        #[serde(skip_serializing_if = "Option::is_none")]
        trunk: Option<Text>,
        /// The calling number to show; for a callback, the trunk to use (OM 2.2.1.11).
        #[serde(skip_serializing_if = "Option::is_none")]
        display: Option<Text>,
    },
    /// An outside caller, by the device's id of it.
    Visitor {
        /// 1 to 4096, recycled.
        visitor: Text,
    },
    /// An outside party that was called, by the device's id of it.
    Outer {
        /// 1 to 4096, recycled.
        outer: Text,
    },
    /// A voice menu.
    Menu {
        /// 1 to 50.
        menu: u16,
    },
    /// A ring group.
    Group {
        /// 1 to 50.
        group: u16,
    },
}

/// Longest prefix that gets an outside line.
const LONGEST_PREFIX: usize = 2;

/// The number that is called: without the prefix before a comma and the keys after two (OM 2.2.1.2). What stands before a
/// comma and is too long for a prefix is part of the number.
#[must_use]
pub fn dialled(number: &str) -> Text {
    let called = number.split_once(",,").map_or(number, |(called, _)| called);
    let number = match called.split_once(',') {
        Some((prefix, number)) if prefix.len() <= LONGEST_PREFIX => number,
        _ => called,
    };
    number.chars().filter(|c| *c != ',').collect()
}

impl PartyRef {
    /// An extension.
    #[must_use]
    pub fn extension(number: impl Into<Text>) -> Self {
        Self::Extension { extension: number.into() }
    }

    /// An outside number, on any trunk.
    #[must_use]
    pub fn number(number: impl Into<Text>) -> Self {
        Self::Number { number: number.into(), trunk: None, display: None }
    }

    /// Its name in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Extension { .. } => "extension",
            Self::Number { .. } => "number",
            Self::Visitor { .. } => "visitor",
            Self::Outer { .. } => "outer",
            Self::Menu { .. } => "menu",
            Self::Group { .. } => "group",
        }
    }

    /// Is it rung for the command, rather than in a call already?
    #[must_use]
    pub const fn is_called(&self) -> bool {
        matches!(self, Self::Extension { .. } | Self::Number { .. })
    }
}

/// What a query asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The device itself, its lines and groups.
    Device,
    /// One of a kind, or all of them.
    Of {
        /// `extension`, `trunk`, `visitor`, `outer`, `group` or `menu`.
        kind: TargetKind,
        /// Which; none for all.
        id: Option<Text>,
    },
}

macro_rules! target_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What can be asked about beside the device.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum TargetKind { $($(#[$doc])* $name,)* }

        impl TargetKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

target_kinds! {
    /// A telephone.
    Extension = "extension",
    /// An outside line.
    Trunk = "trunk",
    /// An outside caller.
    Visitor = "visitor",
    /// An outside party that was called.
    Outer = "outer",
    /// A ring group.
    Group = "group",
    /// A voice menu.
    Menu = "menu",
}

impl Target {
    /// One of a kind.
    #[must_use]
    pub fn one(kind: TargetKind, id: impl Into<Text>) -> Self {
        Self::Of { kind, id: Some(id.into()) }
    }

    /// All of a kind.
    #[must_use]
    pub const fn all(kind: TargetKind) -> Self {
        Self::Of { kind, id: None }
    }

    /// Which one it is about.
    #[must_use]
    pub const fn id(&self) -> Option<&Text> {
        match self {
            Self::Device => None,
            Self::Of { id, .. } => id.as_ref(),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Device => map.serialize_entry("device", &true)?,
            Self::Of { kind, id } => map.serialize_entry(kind.as_str(), id)?,
        }
        map.end()
    }
}

/// A string, or a number that is meant as one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(Text),
    Number(u64),
}

impl Id {
    fn text(self) -> Text {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => compact_str::format_compact!("{number}"),
        }
    }

    fn number<E: Error>(self, field: &str) -> Result<u16, E> {
        let number = match &self {
            Self::Text(text) => text.parse().ok(),
            Self::Number(number) => u16::try_from(*number).ok(),
        };
        number.ok_or_else(|| E::custom(format_args!("{field} is a number from 1 to 50")))
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Target;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{\"device\": true}, or one of extension, trunk, visitor, outer, group, menu with an id or null")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Target, A::Error> {
                let Some(key) = map.next_key::<Text>()? else {
                    return Err(A::Error::custom("a target names one thing; got none"));
                };
                let target = if key == "device" {
                    match map.next_value::<bool>()? {
                        true => Target::Device,
                        false => return Err(A::Error::custom("\"device\" is only ever true")),
                    }
                } else {
                    let kind = TargetKind::ALL.iter().find(|kind| kind.as_str() == key).copied();
                    let Some(kind) = kind else {
                        return Err(A::Error::custom(format_args!(
                            "unknown target {key:?}, expected one of device, extension, trunk, visitor, outer, group, menu"
                        )));
                    };
                    Target::Of { kind, id: map.next_value::<Option<Id>>()?.map(Id::text) }
                };
                match map.next_key::<Text>()? {
                    None => Ok(target),
                    Some(more) => Err(A::Error::custom(format_args!(
                        "a target names one thing; {more:?} is one too many"
                    ))),
                }
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl<'de> Deserialize<'de> for PartyRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            extension: Option<Id>,
            number: Option<Id>,
            trunk: Option<Id>,
            display: Option<Id>,
            visitor: Option<Id>,
            outer: Option<Id>,
            menu: Option<Id>,
            group: Option<Id>,
        }
        let fields = Fields::deserialize(deserializer)?;
        let only_with_number =
            fields.number.is_none() && (fields.trunk.is_some() || fields.display.is_some());
        if only_with_number {
            return Err(D::Error::custom("trunk and display go with a number only"));
        }
        let (trunk, display) = (fields.trunk.map(Id::text), fields.display.map(Id::text));
        let mut parties = [
            fields.extension.map(|id| Ok(Self::Extension { extension: id.text() })),
            fields.number.map(|id| Ok(Self::Number { number: id.text(), trunk, display })),
            fields.visitor.map(|id| Ok(Self::Visitor { visitor: id.text() })),
            fields.outer.map(|id| Ok(Self::Outer { outer: id.text() })),
            fields.menu.map(|id| id.number("menu").map(|menu| Self::Menu { menu })),
            fields.group.map(|id| id.number("group").map(|group| Self::Group { group })),
        ]
        .into_iter()
        .flatten();
        match (parties.next(), parties.next()) {
            (Some(party), None) => party,
            _ => Err(D::Error::custom(
                "a party is exactly one of extension, number, visitor, outer, menu, group",
            )),
        }
    }
}
