//! Commands to OM bytes: what an application sends to `/xml` (chapters 2.1 to 2.4 of the vendor's manual).
//!
//! Laid out as the manual prints it, because devices were only ever tried with that: a declaration, the
//! `<Auth>` before the command, two blanks of indentation, LF line ends. The way back is
//! [`decode_command`](super::decode_command()).

use std::borrow::Cow;

use switchroom_domain::Text;
use switchroom_domain::command::{
    Command, ExtensionSettings, Forward, ForwardType, PartyRef, Target, TargetKind, WakeUp,
};

use super::encode::Xml;
use crate::sign::Auth;

/// Writes the body that asks a device for `command`; none for what does not go over `/xml`: parameters have
/// [paths of their own](super::parameters).
///
/// It is written whatever it says; [`Command::check`] tells whether a device can take it. Three things are
/// not as they look:
///
/// * There is no query for all extensions or all trunks (2.1.1.2, 2.1.1.3 want an id). [`Target::Of`] one of
///   them without an id becomes the query for the device, whose answer lists them (2.1.1.1).
/// * An [`AssignExtension`](Command::AssignExtension) without groups takes the extension out of all its ring
///   groups (2.1.2.1), the only setting that does not keep its value. Whoever wants it to stay in them names
///   them.
/// * When both sides are outside numbers that the device calls (2.2.1.11), a trunk is named by `display`
///   (3.6.2), so a number's `trunk` goes there if it shows nothing else.
#[must_use]
pub fn encode_command(command: &Command, auth: Option<&Auth>) -> Option<Vec<u8>> {
    let own = match command {
        Command::Verbatim { .. } => None,
        _ => Some(root(command)?),
    };
    let mut xml = Xml::with_declaration();
    if let Some(auth) = auth {
        xml.open("Auth", &[]);
        xml.leaf("Timestamp", Some(&auth.timestamp));
        xml.leaf("nonce", Some(&auth.nonce));
        xml.leaf("Signature", Some(&auth.signature));
        xml.close("Auth");
    }
    match own {
        Some((root, attribute)) => {
            xml.open(root, &[("attribute", Some(&Text::const_new(attribute)))]);
            xml.content(command);
            xml.close(root);
        }
        None => xml.content(command),
    }
    Some(xml.into_bytes())
}

/// The root element and its `attribute`.
const fn root(command: &Command) -> Option<(&'static str, &'static str)> {
    Some(match command {
        Command::Query { .. } => ("Control", "Query"),
        Command::AssignExtension { .. } | Command::AssignGroup { .. } | Command::AssignMenu { .. } => {
            ("Control", "Assign")
        }
        Command::Hold { .. } => ("Control", "Hold"),
        Command::Unhold { .. } => ("Control", "Unhold"),
        Command::Mute { .. } => ("Control", "Mute"),
        Command::Unmute { .. } => ("Control", "Unmute"),
        Command::Monitor { .. } => ("Control", "Monitor"),
        Command::Talk { .. } => ("Control", "Talk"),
        Command::Listen { .. } => ("Control", "Listen"),
        Command::Barge { .. } => ("Control", "Bargein"),
        Command::Clear { .. } => ("Control", "Clear"),
        Command::Connect { .. } | Command::Announce { .. } => ("Transfer", "Connect"),
        Command::Queue { .. } => ("Transfer", "Queue"),
        Command::Conference { .. } => ("Transfer", "Conference"),
        Command::QueryVoiceFiles {} => ("Manage", "Query"),
        Command::RemoveVoiceFiles { .. } => ("Manage", "Remove"),
        Command::Accept { .. } => ("Notify", "Accept"),
        Command::ReadParameter { .. } | Command::WriteParameter { .. } | Command::Verbatim { .. } => {
            return None;
        }
    })
}

impl Xml {
    fn content(&mut self, command: &Command) {
        match command {
            Command::Query { target } => self.target(target),
            Command::AssignExtension { line_id, settings } => {
                self.open("ext", &[("lineid", Some(line_id))]);
                self.settings(settings);
                self.close("ext");
            }
            Command::AssignGroup { group, members, distribution, voice_file } => {
                self.open("group", &[("id", Some(&decimal(*group)))]);
                self.leaf("voicefile", voice_file.as_ref());
                self.leaf("distribution", distribution.map(|how| Text::const_new(how.as_str())).as_ref());
                for member in members {
                    self.leaf("ext", Some(member));
                }
                self.close("group");
            }
            Command::AssignMenu { menu, voice_file, repeat, info_length, exit } => {
                self.open("menu", &[("id", Some(&decimal(*menu)))]);
                let nothing = repeat.is_none() && info_length.is_none() && exit.is_none();
                // A menu is deleted by giving it no voice file (4.11.6).
                let deleted = nothing.then_some(Text::const_new(""));
                self.leaf("voicefile", voice_file.as_ref().or(deleted.as_ref()));
                self.leaf("repeat", repeat.map(decimal).as_ref());
                self.leaf("infolength", info_length.map(decimal).as_ref());
                self.leaf("exit", exit.as_ref());
                self.close("menu");
            }
            Command::Hold { extension }
            | Command::Unhold { extension }
            | Command::Mute { extension }
            | Command::Unmute { extension }
            | Command::Talk { extension }
            | Command::Listen { extension }
            | Command::Conference { extension } => self.with_id("ext", extension),
            Command::Monitor { extension, target } | Command::Barge { extension, target } => {
                self.with_id("ext", extension);
                self.with_id("ext", target);
            }
            Command::Clear { party } => self.party(party),
            Command::Connect { from, to, voice_file, auto_answer } => {
                self.connect(from, to);
                self.leaf("voicefile", joined(voice_file, "+").as_ref());
                self.leaf("AutoAnswer", auto_answer.then_some(Text::const_new("yes")).as_ref());
            }
            Command::Announce { party, voice_file } => {
                self.party(party);
                self.leaf("voicefile", joined(voice_file, "+").as_ref());
            }
            Command::Queue { visitor, to } => {
                self.with_id("visitor", visitor);
                self.party(to);
            }
            Command::Accept { visitor } => self.with_id("visitor", visitor),
            Command::QueryVoiceFiles {} => self.empty("voicefile", &[]),
            Command::RemoveVoiceFiles { files } => self.leaf("voicefile", joined(files, "|").as_ref()),
            Command::Verbatim { document, .. } => self.raw(document),
            Command::ReadParameter { .. } | Command::WriteParameter { .. } => {}
        }
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Device | Target::Of { kind: TargetKind::Extension | TargetKind::Trunk, id: None } => {
                self.empty("DeviceInfo", &[]);
            }
            // "An empty value lists all" (2.1.1.4 to 2.1.1.7).
            Target::Of { kind, id } => {
                let id = id.as_ref().map_or(Cow::Owned(Text::const_new("")), Cow::Borrowed);
                self.with_id(element(*kind), &id);
            }
        }
    }

    /// In the order of 2.1.2.1. `No_Disturb` is `on` or `off`, as its table says and devices answer; the
    /// example beside the table, and chapter 5.4, write `no` and `yes`.
    fn settings(&mut self, settings: &ExtensionSettings) {
        self.leaf("id", settings.id.as_ref());
        self.leaf("staffid", settings.staff_id.as_ref());
        self.leaf("mobile", settings.mobile.as_ref());
        for group in settings.groups.iter().flatten() {
            self.leaf("group", Some(&decimal(*group)));
        }
        self.leaf("voicefile", settings.voice_file.as_ref());
        self.leaf("email", settings.email.as_ref());
        self.leaf("Call_Restriction", settings.call_restriction.map(decimal).as_ref());
        self.leaf("Call_Pickup", settings.call_pickup.map(yes_no).as_ref());
        self.leaf("No_Disturb", settings.do_not_disturb.map(on_off).as_ref());
        if let Some(Forward { kind, number }) = &settings.forward {
            self.leaf("Fwd_Type", kind.map(forward_type).as_ref());
            self.leaf("Fwd_Number", number.as_ref());
        }
        self.leaf("Fork", settings.fork.as_ref());
        // 00:00 turns the alarm off.
        let wake_up = settings.wake_up.map(|time| time.unwrap_or(WakeUp { hour: 0, minute: 0 }));
        self.leaf("WAKEUP", wake_up.map(|time| compact(&time)).as_ref());
        self.leaf("record", settings.record.map(on_off).as_ref());
        self.leaf("autoAnswer", settings.auto_answer.map(yes_no).as_ref());
        self.leaf("api", settings.api.map(decimal).as_ref());
    }

    fn connect(&mut self, from: &PartyRef, to: &PartyRef) {
        match (from, to) {
            (PartyRef::Number { .. }, PartyRef::Number { .. }) => {
                self.called_back(from);
                self.called_back(to);
            }
            _ => {
                self.party(from);
                self.party(to);
            }
        }
    }

    fn called_back(&mut self, party: &PartyRef) {
        if let PartyRef::Number { number, trunk, display } = party {
            let shown = display.as_ref().or(trunk.as_ref());
            self.empty("outer", &[("to", Some(number)), ("display", shown)]);
        }
    }

    /// A party; the trunk that it is to be called by goes before it (3.6.2).
    fn party(&mut self, party: &PartyRef) {
        match party {
            PartyRef::Extension { extension } => self.with_id("ext", extension),
            PartyRef::Visitor { visitor } => self.with_id("visitor", visitor),
            PartyRef::Outer { outer } => self.with_id("outer", outer),
            PartyRef::Menu { menu } => self.with_id("menu", &decimal(*menu)),
            PartyRef::Group { group } => self.with_id("group", &decimal(*group)),
            PartyRef::Number { number, trunk, display } => {
                if let Some(trunk) = trunk {
                    self.with_id("trunk", trunk);
                }
                self.empty("outer", &[("to", Some(number)), ("display", display.as_ref())]);
            }
        }
    }

    fn with_id(&mut self, name: &str, id: &Text) {
        self.empty(name, &[("id", Some(id))]);
    }
}

/// The element of a kind, in queries and statuses.
pub(super) const fn element(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Extension => "ext",
        TargetKind::Trunk => "trunk",
        TargetKind::Visitor => "visitor",
        TargetKind::Outer => "outer",
        TargetKind::Group => "group",
        TargetKind::Menu => "menu",
    }
}

/// Names in a row; none when there are none.
fn joined(names: &[Text], separator: &str) -> Option<Text> {
    (!names.is_empty()).then(|| Text::from(names.join(separator)))
}

fn compact(value: &impl std::fmt::Display) -> Text {
    Text::from(value.to_string())
}

fn decimal(number: impl Into<u16>) -> Text {
    compact(&number.into())
}

const fn yes_no(yes: bool) -> Text {
    Text::const_new(if yes { "yes" } else { "no" })
}

const fn on_off(on: bool) -> Text {
    Text::const_new(if on { "on" } else { "off" })
}

const fn forward_type(kind: ForwardType) -> Text {
    Text::const_new(match kind {
        ForwardType::Off => "0",
        ForwardType::All => "1",
        ForwardType::BusyOrNoAnswer => "2",
    })
}
