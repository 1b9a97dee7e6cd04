//! Commands: everything that a device can be asked to do, typed, without any vendor.
//!
//! The JSON form is the one of the REST interface: `{"command": "hold", "extension": "200"}`. What a command
//! may name (parties, targets) is checked when it is read, so that a device never gets what cannot be.

mod party;
mod settings;

use serde::{Deserialize, Serialize};

pub use party::{PartyRef, Target, TargetKind, dialled};
pub use settings::{Distribution, ExtensionSettings, Forward, ForwardType, WakeUp};

use crate::Text;
use crate::fact::CommandSent;
use crate::id::CommandId;

/// One command for one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Asks for the state and settings of something (OM 2.1.1).
    Query {
        /// Of what.
        target: Target,
    },
    /// Sets settings of the extension on a line (OM 2.1.2.1).
    AssignExtension {
        /// The line: the extension's fixed identity (`IPPhone 50`).
        line_id: Text,
        /// What to set; what is absent keeps its value.
        settings: Box<ExtensionSettings>,
    },
    /// Sets a ring group (OM 2.1.2.2). No members: the group is cleared.
    AssignGroup {
        /// 1 to 50.
        group: u16,
        /// Its members, at most 20.
        #[serde(default)]
        members: Vec<Text>,
        /// How it rings them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        distribution: Option<Distribution>,
        /// What waiting callers hear.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        voice_file: Option<Text>,
    },
    /// Sets a voice menu (OM 2.1.2.3).
    AssignMenu {
        /// 1 to 50.
        menu: u16,
        /// What it plays; several are joined with `+`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        voice_file: Option<Text>,
        /// How often it plays, 0 for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repeat: Option<u16>,
        /// After how many keys the input is reported, 1 to 255.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        info_length: Option<u8>,
        /// The key that ends the input.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<Text>,
    },
    /// Puts the extension's call on hold (OM 2.1.3.1).
    Hold {
        /// Whose call.
        extension: Text,
    },
    /// Takes the held call back (OM 2.1.3.2).
    Unhold {
        /// Whose call.
        extension: Text,
    },
    /// The extension is not heard any more (OM 2.1.4.1).
    Mute {
        /// Whose microphone.
        extension: Text,
    },
    /// The extension is heard again (OM 2.1.4.2).
    Unmute {
        /// Whose microphone.
        extension: Text,
    },
    /// From listening to speaking to the monitored extension (OM 2.1.5.2).
    Talk {
        /// Who monitors.
        extension: Text,
    },
    /// From speaking back to listening (OM 2.1.5.3).
    Listen {
        /// Who monitors.
        extension: Text,
    },
    /// Joins the extension, whom it talks to, and whom it holds (OM 2.2.3).
    Conference {
        /// Who leads it.
        extension: Text,
    },
    /// Listens to a call (OM 2.1.5.1).
    Monitor {
        /// Who listens.
        extension: Text,
        /// Whose call.
        target: Text,
    },
    /// Breaks into a call (OM 2.1.6).
    Barge {
        /// Who breaks in.
        extension: Text,
        /// Whose call.
        target: Text,
    },
    /// Hangs up (OM 2.1.7).
    Clear {
        /// An extension, a visitor or an outer.
        party: PartyRef,
    },
    /// Dials, or transfers: connects the two (OM 2.2.1).
    Connect {
        /// Who is connected: an extension, a visitor, an outer, a menu, or an outside number that is called first.
        from: PartyRef,
        /// With whom: an extension, an outside number, or a menu.
        to: PartyRef,
        /// Played instead of the usual announcement of the transfer, at most 10 files.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        voice_file: Vec<Text>,
        /// An IP telephone answers by itself.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        auto_answer: bool,
    },
    /// Plays to one side of a call that goes on (OM 2.2.1.12).
    Announce {
        /// To an extension, a visitor or an outer.
        party: PartyRef,
        /// What, at most 10 files.
        voice_file: Vec<Text>,
    },
    /// Lets a visitor wait for an extension or a ring group (OM 2.2.2).
    Queue {
        /// Who waits.
        visitor: Text,
        /// For an extension or a group.
        to: PartyRef,
    },
    /// Lets a call in that asks to (OM 2.4).
    Accept {
        /// Who calls.
        visitor: Text,
    },
    /// Lists the voice files (OM 2.3.1).
    QueryVoiceFiles {},
    /// Removes voice files (OM 2.3.2).
    RemoveVoiceFiles {
        /// Their names.
        files: Vec<Text>,
    },
    /// Reads a system parameter (OM 6.2.1).
    ReadParameter {
        /// Its name (`API_MAC`) or number.
        name: Text,
        /// The line, for a parameter that each line has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line_id: Option<Text>,
    },
    /// Writes a system parameter (OM 6.2.2).
    WriteParameter {
        /// Its name or number.
        name: Text,
        /// The value, in the device's own words.
        value: Text,
        /// The line, for a parameter that each line has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line_id: Option<Text>,
    },
    /// An application's own words, in the device's own language. Only the endpoint for such applications makes it; it is
    /// in the command log, but nobody may post it.
    Verbatim {
        /// What goes to the device, but for who signs it.
        document: Text,
        /// Every number that it may call, and every visitor and outer that it names.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parties: Vec<PartyRef>,
    },
}

/// Longest document that is passed on.
const LONGEST_DOCUMENT: usize = 64 * 1024;
/// Most files that one command may play (OM 2.2.1.3).
pub const MOST_VOICE_FILES: usize = 10;
/// Most members of a ring group (OM 2.1.2.2).
pub const MOST_MEMBERS: usize = 20;
/// Highest group and menu (OM 2.1.2.2, 2.1.2.3).
pub const HIGHEST_GROUP: u16 = 50;

/// Why a command cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct BadCommand {
    /// The field that is wrong.
    pub field: &'static str,
    /// What is wrong with it, and what it should be.
    pub problem: String,
}

fn bad<T>(field: &'static str, problem: impl Into<String>) -> Result<T, BadCommand> {
    Err(BadCommand { field, problem: problem.into() })
}

impl Command {
    /// The name in JSON, in metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Query { .. } => "query",
            Self::AssignExtension { .. } => "assign_extension",
            Self::AssignGroup { .. } => "assign_group",
            Self::AssignMenu { .. } => "assign_menu",
            Self::Hold { .. } => "hold",
            Self::Unhold { .. } => "unhold",
            Self::Mute { .. } => "mute",
            Self::Unmute { .. } => "unmute",
            Self::Talk { .. } => "talk",
            Self::Listen { .. } => "listen",
            Self::Conference { .. } => "conference",
            Self::Monitor { .. } => "monitor",
            Self::Barge { .. } => "barge",
            Self::Clear { .. } => "clear",
            Self::Connect { .. } => "connect",
            Self::Announce { .. } => "announce",
            Self::Queue { .. } => "queue",
            Self::Accept { .. } => "accept",
            Self::QueryVoiceFiles {} => "query_voice_files",
            Self::RemoveVoiceFiles { .. } => "remove_voice_files",
            Self::ReadParameter { .. } => "read_parameter",
            Self::WriteParameter { .. } => "write_parameter",
            Self::Verbatim { .. } => "verbatim",
        }
    }

    /// Every name that can be posted.
    pub const NAMES: [&'static str; 22] = [
        "query",
        "assign_extension",
        "assign_group",
        "assign_menu",
        "hold",
        "unhold",
        "mute",
        "unmute",
        "talk",
        "listen",
        "conference",
        "monitor",
        "barge",
        "clear",
        "connect",
        "announce",
        "queue",
        "accept",
        "query_voice_files",
        "remove_voice_files",
        "read_parameter",
        "write_parameter",
    ];

    /// Does it only ask? Then it may be sent again, and nothing is lost if it is not.
    #[must_use]
    pub const fn only_asks(&self) -> bool {
        matches!(self, Self::Query { .. } | Self::QueryVoiceFiles {} | Self::ReadParameter { .. })
    }

    /// Is it for the device's web interface, not for its API?
    #[must_use]
    pub const fn is_of_web(&self) -> bool {
        matches!(self, Self::ReadParameter { .. } | Self::WriteParameter { .. })
    }

    /// Does the same once more change nothing? Settings do not; whatever rings a telephone does.
    #[must_use]
    pub const fn is_idempotent(&self) -> bool {
        match self {
            Self::Query { .. }
            | Self::QueryVoiceFiles {}
            | Self::ReadParameter { .. }
            | Self::AssignExtension { .. }
            | Self::AssignGroup { .. }
            | Self::AssignMenu { .. }
            | Self::RemoveVoiceFiles { .. }
            | Self::WriteParameter { .. }
            | Self::Mute { .. }
            | Self::Unmute { .. }
            | Self::Accept { .. } => true,
            Self::Hold { .. }
            | Self::Unhold { .. }
            | Self::Talk { .. }
            | Self::Listen { .. }
            | Self::Conference { .. }
            | Self::Monitor { .. }
            | Self::Barge { .. }
            | Self::Clear { .. }
            | Self::Connect { .. }
            | Self::Announce { .. }
            | Self::Queue { .. }
            | Self::Verbatim { .. } => false,
        }
    }

    /// Does a caller wait for it, with the device's own deadline running (OM 2.5.4)? It goes first.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        match self {
            Self::Accept { .. } | Self::Clear { .. } | Self::Queue { .. } => true,
            Self::Connect { from, .. } => matches!(from, PartyRef::Visitor { .. }),
            Self::Verbatim { parties, .. } => {
                parties.iter().any(|party| matches!(party, PartyRef::Visitor { .. }))
            }
            _ => false,
        }
    }

    /// The outside numbers that it dials.
    pub fn dials(&self) -> impl Iterator<Item = &Text> {
        let (two, all): (_, &[PartyRef]) = match self {
            Self::Connect { from, to, .. } => ([Some(from), Some(to)], &[]),
            Self::Verbatim { parties, .. } => ([None, None], parties),
            _ => ([None, None], &[]),
        };
        two.into_iter().flatten().chain(all).filter_map(|party| match party {
            PartyRef::Number { number, .. } => Some(number),
            _ => None,
        })
    }

    /// The numbers that it has calls passed on to.
    pub fn forwards(&self) -> impl Iterator<Item = &Text> {
        let settings = match self {
            Self::AssignExtension { settings, .. } => Some(settings),
            _ => None,
        };
        let numbers = settings.map(|settings| {
            let forward = settings.forward.as_ref().and_then(|forward| forward.number.as_ref());
            [forward, settings.fork.as_ref(), settings.mobile.as_ref()]
        });
        numbers.into_iter().flatten().flatten().filter(|number| !number.is_empty())
    }

    /// By what the call is known that it makes, or that it is about.
    #[must_use]
    pub fn sent(&self, id: CommandId) -> Option<CommandSent> {
        let mut sent = CommandSent { command: id, ..CommandSent::default() };
        let mut named: Vec<&PartyRef> = Vec::new();
        match self {
            Self::Connect { from, to, .. } => {
                sent.makes_call = !matches!(from, PartyRef::Visitor { .. } | PartyRef::Outer { .. });
                named.push(from);
                // Who is already in a call is known by the visitor or outer; whom it is sent to is not there yet.
                if sent.makes_call {
                    named.push(to);
                }
            }
            Self::Clear { party } => {
                sent.ends_call = true;
                named.push(party);
            }
            Self::Announce { party, .. } => named.push(party),
            Self::Queue { visitor, .. } | Self::Accept { visitor } => sent.visitor = Some(visitor.clone()),
            Self::Hold { extension }
            | Self::Unhold { extension }
            | Self::Mute { extension }
            | Self::Unmute { extension }
            | Self::Talk { extension }
            | Self::Listen { extension }
            | Self::Conference { extension } => sent.extensions.push(extension.clone()),
            Self::Monitor { target, .. } | Self::Barge { target, .. } => sent.extensions.push(target.clone()),
            _ => return None,
        }
        for party in named {
            match party {
                PartyRef::Extension { extension } => sent.extensions.push(extension.clone()),
                PartyRef::Number { number, .. } => sent.numbers.push(dialled(number)),
                PartyRef::Visitor { visitor } => sent.visitor = Some(visitor.clone()),
                PartyRef::Outer { outer } => sent.outer = Some(outer.clone()),
                PartyRef::Menu { .. } | PartyRef::Group { .. } => {}
            }
        }
        Some(sent)
    }

    /// The extensions that it acts for: who may use only their own must be all of them.
    #[must_use]
    pub fn extensions(&self) -> Vec<&Text> {
        match self {
            Self::Hold { extension }
            | Self::Unhold { extension }
            | Self::Mute { extension }
            | Self::Unmute { extension }
            | Self::Talk { extension }
            | Self::Listen { extension }
            | Self::Conference { extension } => vec![extension],
            Self::Monitor { extension, target } | Self::Barge { extension, target } => {
                vec![extension, target]
            }
            Self::Clear { party: PartyRef::Extension { extension } }
            | Self::Announce { party: PartyRef::Extension { extension }, .. }
            | Self::Connect { from: PartyRef::Extension { extension }, .. } => vec![extension],
            _ => Vec::new(),
        }
    }

    /// Checks what the types leave open: ranges, counts, which parties can stand where.
    ///
    /// # Errors
    /// Names the field, and what it should be.
    pub fn check(&self) -> Result<(), BadCommand> {
        match self {
            Self::AssignExtension { line_id, settings } => {
                printable("line_id", line_id)?;
                settings.check()
            }
            Self::AssignGroup { group, members, voice_file, .. } => {
                in_range("group", *group)?;
                if members.len() > MOST_MEMBERS {
                    return bad("members", format!("a group has at most {MOST_MEMBERS} members"));
                }
                members.iter().try_for_each(|member| printable("members", member))?;
                voice_file.iter().try_for_each(|file| printable("voice_file", file))
            }
            Self::AssignMenu { menu, voice_file, info_length, exit, .. } => {
                in_range("menu", *menu)?;
                voice_file.iter().try_for_each(|file| printable("voice_file", file))?;
                if *info_length == Some(0) {
                    return bad("info_length", "1 to 255");
                }
                match exit.as_deref() {
                    None | Some("") => Ok(()),
                    Some(key) if key.len() == 1 && key.bytes().all(is_key) => Ok(()),
                    Some(_) => bad("exit", "one of 0 to 9, A to D, * and #"),
                }
            }
            Self::Hold { extension }
            | Self::Unhold { extension }
            | Self::Mute { extension }
            | Self::Unmute { extension }
            | Self::Talk { extension }
            | Self::Listen { extension }
            | Self::Conference { extension } => printable("extension", extension),
            Self::Monitor { extension, target } | Self::Barge { extension, target } => {
                printable("extension", extension)?;
                printable("target", target)
            }
            Self::Clear { party } => one_of("party", party, &["extension", "visitor", "outer"]),
            Self::Connect { from, to, voice_file, .. } => {
                one_of("from", from, &["extension", "visitor", "outer", "menu", "number"])?;
                one_of("to", to, &["extension", "number", "menu"])?;
                let from_menu = matches!(from, PartyRef::Menu { .. });
                if matches!(to, PartyRef::Menu { .. }) && (from_menu || from.is_called()) {
                    return bad("to", "only a visitor or an outer can be sent to a menu");
                }
                if matches!(from, PartyRef::Number { .. }) && !matches!(to, PartyRef::Number { .. }) {
                    return bad(
                        "from",
                        "an outside number is only called first to be joined to another outside number",
                    );
                }
                voice_files(voice_file)
            }
            Self::Announce { party, voice_file } => {
                one_of("party", party, &["extension", "visitor", "outer"])?;
                if voice_file.is_empty() {
                    return bad("voice_file", "at least one voice file");
                }
                voice_files(voice_file)
            }
            Self::Queue { visitor, to } => {
                printable("visitor", visitor)?;
                one_of("to", to, &["extension", "group"])
            }
            Self::Accept { visitor } => printable("visitor", visitor),
            Self::RemoveVoiceFiles { files } if files.is_empty() => bad("files", "at least one name"),
            Self::RemoveVoiceFiles { files } if files.len() > 100 => bad("files", "at most 100 names"),
            Self::RemoveVoiceFiles { files } => files.iter().try_for_each(|file| {
                if file.contains(['|', '/']) {
                    return bad("files", "the name of a file has no '|' and no '/'");
                }
                printable("files", file)
            }),
            Self::ReadParameter { name, line_id } => {
                printable("name", name)?;
                line_id.iter().try_for_each(|line| printable("line_id", line))
            }
            Self::WriteParameter { name, value, line_id } => {
                printable("name", name)?;
                if value.len() > 256 || value.chars().any(char::is_control) {
                    return bad("value", "at most 256 bytes, without control characters");
                }
                line_id.iter().try_for_each(|line| printable("line_id", line))
            }
            Self::Verbatim { document, .. } if document.len() > LONGEST_DOCUMENT => {
                bad("document", format!("at most {LONGEST_DOCUMENT} bytes"))
            }
            Self::Verbatim { parties, .. } => {
                parties.iter().try_for_each(|party| one_of("parties", party, &["visitor", "outer", "number"]))
            }
            Self::Query { target } => target.id().map_or(Ok(()), |id| printable("target", id)),
            Self::QueryVoiceFiles {} => Ok(()),
        }
    }
}

const fn is_key(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'D' | b'*' | b'#')
}

fn in_range(field: &'static str, number: u16) -> Result<(), BadCommand> {
    if (1..=HIGHEST_GROUP).contains(&number) { Ok(()) } else { bad(field, format!("1 to {HIGHEST_GROUP}")) }
}

fn voice_files(files: &[Text]) -> Result<(), BadCommand> {
    if files.len() > MOST_VOICE_FILES {
        return bad("voice_file", format!("at most {MOST_VOICE_FILES} files: a device plays no more"));
    }
    files.iter().try_for_each(|file| {
        if file.contains('+') {
            return bad("voice_file", "one file each: the device takes a '+' for the start of the next one");
        }
        printable("voice_file", file)
    })
}

/// What goes to a device as an id, a number or a name: something, of a sane length, in one line.
fn printable(field: &'static str, text: &str) -> Result<(), BadCommand> {
    if text.trim().is_empty() {
        return bad(field, "must not be empty");
    }
    if text.len() > 256 || text.chars().any(char::is_control) {
        return bad(field, "at most 256 bytes, without control characters");
    }
    Ok(())
}

fn one_of(field: &'static str, party: &PartyRef, kinds: &[&str]) -> Result<(), BadCommand> {
    if !kinds.contains(&party.kind()) {
        return bad(field, format!("one of {}; not {}", kinds.join(", "), party.kind()));
    }
    match party {
        PartyRef::Extension { extension: text }
        | PartyRef::Visitor { visitor: text }
        | PartyRef::Outer { outer: text } => printable(field, text),
        PartyRef::Menu { menu: number } | PartyRef::Group { group: number } => in_range(field, *number),
        PartyRef::Number { number, trunk, display } => {
            dialable(field, number)?;
            trunk.iter().chain(display).try_for_each(|text| printable(field, text))
        }
    }
}

/// An outside number: digits, `*`, `#`, `+`, hyphens, and commas (a prefix before one, keys after two; OM 2.2.1.2).
fn dialable(field: &'static str, number: &str) -> Result<(), BadCommand> {
    let fits = (1..=64).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#' | b'+' | b'-' | b','))
        && number.bytes().any(|b| b.is_ascii_digit());
    if fits {
        return Ok(());
    }
    bad(field, "a number has 1 to 64 digits; '*', '#', '+', '-' and ',' may stand between them")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Command, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn commands_read_and_write_as_the_interface_has_them() {
        for json in [
            r#"{"command":"query","target":{"device":true}}"#,
            r#"{"command":"query","target":{"visitor":null}}"#,
            r#"{"command":"query","target":{"menu":"1"}}"#,
            r#"{"command":"hold","extension":"200"}"#,
            r#"{"command":"connect","from":{"extension":"208"},"to":{"number":"13012345678","trunk":"50017"}}"#,
            r#"{"command":"connect","from":{"visitor":"14"},"to":{"extension":"200"},"voice_file":["silence","connect"],"auto_answer":true}"#,
            r#"{"command":"queue","visitor":"1","to":{"group":1}}"#,
            r#"{"command":"query_voice_files"}"#,
        ] {
            let command = read(json).unwrap_or_else(|error| panic!("{json}: {error}"));
            assert_eq!(serde_json::to_string(&command).unwrap_or_default(), json);
            assert_eq!(command.check(), Ok(()), "{json}");
            assert!(Command::NAMES.contains(&command.name()));
        }
        assert_eq!(
            read(r#"{"command":"queue","visitor":"1","to":{"group":"1"}}"#).ok(),
            read(r#"{"command":"queue","visitor":"1","to":{"group":1}}"#).ok(),
        );
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (json, word) in [
            (r#"{"command":"hold"}"#, "extension"),
            (r#"{"command":"hold","extension":"200","more":1}"#, "more"),
            (r#"{"command":"dance"}"#, "dance"),
            (r#"{"command":"clear","party":{"extension":"1","visitor":"2"}}"#, "one of"),
            (r#"{"command":"clear","party":{"nobody":"1"}}"#, "nobody"),
        ] {
            let error = read(json).expect_err(json).to_string();
            assert!(error.contains(word), "{json}: {error}");
        }
        for (json, field) in [
            (r#"{"command":"clear","party":{"menu":1}}"#, "party"),
            (r#"{"command":"connect","from":{"extension":"200"},"to":{"number":"12x"}}"#, "to"),
            (r#"{"command":"connect","from":{"extension":"200"},"to":{"menu":1}}"#, "to"),
            (r#"{"command":"connect","from":{"number":"13"},"to":{"extension":"200"}}"#, "from"),
            (r#"{"command":"assign_menu","menu":51}"#, "menu"),
            (r#"{"command":"assign_menu","menu":1,"exit":"5#x"}"#, "exit"),
            (r#"{"command":"remove_voice_files","files":["a|b"]}"#, "files"),
            (r#"{"command":"announce","party":{"visitor":"1"},"voice_file":["a+b"]}"#, "voice_file"),
            (
                r#"{"command":"assign_extension","line_id":"Phone 1","settings":{"forward":{}}}"#,
                "settings.forward",
            ),
            (r#"{"command":"accept","visitor":" "}"#, "visitor"),
        ] {
            let command = read(json).unwrap_or_else(|error| panic!("{json}: {error}"));
            assert_eq!(command.check().expect_err(json).field, field);
        }
    }

    #[test]
    fn nothing_that_rings_a_phone_may_be_sent_twice() {
        let dial = read(r#"{"command":"connect","from":{"extension":"200"},"to":{"extension":"201"}}"#);
        assert!(!dial.expect("a command").is_idempotent());
        let hold = read(r#"{"command":"hold","extension":"200"}"#).expect("a command");
        assert!(!hold.only_asks() && !hold.is_urgent());
        assert!(read(r#"{"command":"accept","visitor":"1"}"#).expect("a command").is_urgent());
    }
}
