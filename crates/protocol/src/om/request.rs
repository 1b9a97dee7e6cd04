//! OM bytes to commands: what an application asks of a device, in the words of chapters 2.1 to 2.4.
//!
//! Whoever speaks to applications in a device's place must know what their requests do. Applications write
//! them by hand: blanks before the declaration, CRLF, tabs, attributes in any order, and whatever the
//! vendor's examples got wrong are all known to work on devices, and are read here.

use std::str::FromStr;

use switchroom_domain::Text;
use switchroom_domain::command::{Command, PartyRef, Target, TargetKind};

use super::command::element as name_of;
use super::decode::close_in_auth;
use super::settings;
use super::tree::{self, Element};
use crate::error::DecodeError;
use crate::sign::Auth;
use crate::text::value;

/// A request of an application.
#[derive(Debug, Clone, PartialEq)]
pub struct OmCommand {
    /// How it is signed; whatever is missing in it is empty.
    pub auth: Option<Auth>,
    /// The root element, as written.
    pub root: Text,
    /// Its `attribute`, as written but for blanks around it.
    pub attribute: Option<Text>,
    /// What it asks for. [`Command::check`] has not seen it yet.
    pub command: Result<Command, Misunderstood>,
}

/// Why a well-formed request is no command that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Misunderstood {
    /// What is missing or unknown, for a person.
    pub reason: String,
}

impl Misunderstood {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Reads the request that a body holds.
///
/// An extension's assignment without `<group>` gives an empty list of groups, as that is what it does
/// (2.1.2.1).
///
/// # Errors
/// When the body is not well-formed XML, holds no element beside `<Auth>` or several, or exceeds a limit. A
/// request that is well formed and unknown is no error here; see [`OmCommand::command`].
pub fn decode_command(body: &[u8]) -> Result<OmCommand, DecodeError> {
    let mut auth = None;
    let mut request = None;
    for root in tree::read(body)? {
        if root.is("Auth") {
            auth = Some(read_auth(&root));
        } else if request.replace(root).is_some() {
            return Err(DecodeError::new(body.len(), "more than one command"));
        }
    }
    let Some(root) = request else {
        return Err(DecodeError::new(body.len(), "the body holds no command"));
    };
    let attribute = root.attribute("attribute");
    let command = command(&root, attribute.as_deref().unwrap_or(""));
    Ok(OmCommand { auth, root: root.name, attribute, command })
}

fn read_auth(element: &Element) -> Auth {
    let mut auth = Auth::default();
    for part in &element.children {
        if let Some(text) = part.text() {
            close_in_auth(&mut auth, &part.name, text);
        }
    }
    auth
}

/// Root, attribute, and the command, for those that only name an extension.
type OfExtension = (&'static str, &'static str, fn(Text) -> Command);

fn command(root: &Element, attribute: &str) -> Result<Command, Misunderstood> {
    let is = |name: &str, what: &str| root.is(name) && attribute.eq_ignore_ascii_case(what);
    if is("Control", "Query") {
        return Ok(Command::Query { target: target(root)? });
    }
    if is("Control", "Assign") {
        return assign(root);
    }
    if is("Control", "Clear") {
        return Ok(Command::Clear { party: only_party(root)? });
    }
    if is("Transfer", "Connect") {
        return connect(root);
    }
    if is("Transfer", "Queue") {
        return queue(root);
    }
    if is("Manage", "Query") {
        let asked = root.child("voicefile").map(|_| Command::QueryVoiceFiles {});
        return asked.ok_or_else(|| Misunderstood::new("only voice files can be asked for so"));
    }
    if is("Manage", "Remove") {
        let files = names(&root.text_of("voicefile").unwrap_or_default(), '|');
        return Ok(Command::RemoveVoiceFiles { files });
    }
    if is("Notify", "Accept") {
        return Ok(Command::Accept { visitor: id_of(root, "visitor")? });
    }
    if is("Control", "Monitor") || is("Control", "Bargein") {
        let mut extensions = root.all("ext").filter_map(Element::id);
        let (Some(extension), Some(target), None) = (extensions.next(), extensions.next(), extensions.next())
        else {
            return Err(Misunderstood::new(format!("{attribute} names two extensions")));
        };
        return Ok(match is("Control", "Monitor") {
            true => Command::Monitor { extension, target },
            false => Command::Barge { extension, target },
        });
    }
    let of_extension: [OfExtension; 7] = [
        ("Control", "Hold", |extension| Command::Hold { extension }),
        ("Control", "Unhold", |extension| Command::Unhold { extension }),
        ("Control", "Mute", |extension| Command::Mute { extension }),
        ("Control", "Unmute", |extension| Command::Unmute { extension }),
        ("Control", "Talk", |extension| Command::Talk { extension }),
        ("Control", "Listen", |extension| Command::Listen { extension }),
        ("Transfer", "Conference", |extension| Command::Conference { extension }),
    ];
    match of_extension.into_iter().find(|(name, what, _)| is(name, what)) {
        Some((_, _, make)) => Ok(make(id_of(root, "ext")?)),
        None => Err(Misunderstood::new(format!("unknown command: {} {attribute:?}", root.name))),
    }
}

fn target(root: &Element) -> Result<Target, Misunderstood> {
    let [asked] = root.children.as_slice() else {
        return Err(Misunderstood::new("a query asks about one thing"));
    };
    if asked.is("DeviceInfo") {
        return Ok(Target::Device);
    }
    let Some(kind) = TargetKind::ALL.iter().copied().find(|kind| asked.is(name_of(*kind))) else {
        return Err(Misunderstood::new(format!("nothing is known of a {}", asked.name)));
    };
    match (kind, asked.id()) {
        (TargetKind::Extension | TargetKind::Trunk, None) => {
            Err(Misunderstood::new(format!("a query for a {} names it", asked.name)))
        }
        (kind, id) => Ok(Target::Of { kind, id }),
    }
}

fn assign(root: &Element) -> Result<Command, Misunderstood> {
    let [object] = root.children.as_slice() else {
        return Err(Misunderstood::new("an assignment is about one thing"));
    };
    let voice_file = object.text_of("voicefile");
    if object.is("ext") {
        let line_id = object.attribute("lineid");
        let line_id = line_id.ok_or_else(|| Misunderstood::new("an extension is assigned by its lineid"))?;
        let (mut settings, problem) = settings::read(object, settings::Empty::IsAValue);
        if let Some(reason) = problem {
            return Err(Misunderstood { reason });
        }
        settings.groups.get_or_insert_default();
        Ok(Command::AssignExtension { line_id, settings: Box::new(settings) })
    } else if object.is("group") {
        let distribution = match object.text_of("distribution") {
            None => None,
            Some(how) => {
                let known = settings::distribution(&how);
                Some(known.ok_or_else(|| Misunderstood::new(format!("unknown distribution {how:?}")))?)
            }
        };
        let group = number(object)?;
        let members = object.all("ext").filter_map(Element::id).collect();
        Ok(Command::AssignGroup { group, members, distribution, voice_file })
    } else if object.is("menu") {
        Ok(Command::AssignMenu {
            menu: number(object)?,
            voice_file,
            repeat: parsed(object, "repeat")?,
            info_length: parsed(object, "infolength")?,
            exit: object.child("exit").map(Element::trimmed),
        })
    } else {
        Err(Misunderstood::new(format!("nothing can be assigned to a {}", object.name)))
    }
}

/// Dials, transfers, or, when only one party is named, plays to it.
fn connect(root: &Element) -> Result<Command, Misunderstood> {
    let mut parties = parties(root)?.into_iter();
    let voice_file = names(&root.text_of("voicefile").unwrap_or_default(), '+');
    match (parties.next(), parties.next(), parties.next()) {
        (Some(party), None, None) if !voice_file.is_empty() => Ok(Command::Announce { party, voice_file }),
        (Some(from), Some(mut to), None) => {
            if let PartyRef::Number { trunk, .. } = &mut to
                && !matches!(from, PartyRef::Number { .. })
            {
                *trunk = root.child("trunk").and_then(Element::id);
            }
            let auto_answer = root.child("AutoAnswer").is_some_and(|tag| !tag.text().is_some_and(is_no));
            Ok(Command::Connect { from, to, voice_file, auto_answer })
        }
        _ => Err(Misunderstood::new("a connection has two parties, or one and a voice file")),
    }
}

/// Carrying the tag is what counts (2.2.1.3); only a plain no is none.
fn is_no(text: Text) -> bool {
    ["no", "off", "0", "false"].iter().any(|no| text.eq_ignore_ascii_case(no))
}

fn queue(root: &Element) -> Result<Command, Misunderstood> {
    let visitor = id_of(root, "visitor")?;
    let mut others = parties(root)?.into_iter().filter(|party| !matches!(party, PartyRef::Visitor { .. }));
    match (others.next(), others.next()) {
        (Some(to), None) => Ok(Command::Queue { visitor, to }),
        _ => Err(Misunderstood::new("a visitor waits for one extension or group")),
    }
}

fn only_party(root: &Element) -> Result<PartyRef, Misunderstood> {
    let mut parties = parties(root)?.into_iter();
    match (parties.next(), parties.next()) {
        (Some(party), None) => Ok(party),
        _ => Err(Misunderstood::new("one party is to be named")),
    }
}

/// The parties in a command, in order; what is none of them is passed over.
fn parties(root: &Element) -> Result<Vec<PartyRef>, Misunderstood> {
    root.children.iter().filter_map(party).collect()
}

fn party(element: &Element) -> Option<Result<PartyRef, Misunderstood>> {
    let id = || {
        let id = element.id();
        id.ok_or_else(|| Misunderstood::new(format!("a {} is named by its id", element.name)))
    };
    Some(if element.is("ext") {
        id().map(|extension| PartyRef::Extension { extension })
    } else if element.is("visitor") {
        id().map(|visitor| PartyRef::Visitor { visitor })
    } else if element.is("outer") {
        match (element.attribute("id"), element.attribute("to")) {
            // With an id it is in a call already, whatever else is said of it.
            (Some(outer), _) => Ok(PartyRef::Outer { outer }),
            (None, Some(number)) => {
                Ok(PartyRef::Number { number, trunk: None, display: element.attribute("display") })
            }
            (None, None) => Err(Misunderstood::new("an outer has an id, or a number to call")),
        }
    } else if element.is("menu") {
        number(element).map(|menu| PartyRef::Menu { menu })
    } else if element.is("group") {
        number(element).map(|group| PartyRef::Group { group })
    } else {
        return None;
    })
}

fn id_of(root: &Element, name: &str) -> Result<Text, Misunderstood> {
    let id = root.child(name).and_then(Element::id);
    id.ok_or_else(|| Misunderstood::new(format!("no id of the {name}")))
}

fn number(element: &Element) -> Result<u16, Misunderstood> {
    let number = element.attribute("id").and_then(|id| id.parse().ok());
    number.ok_or_else(|| Misunderstood::new(format!("the id of a {} is a number", element.name)))
}

/// The number that an element holds; none when there is none.
fn parsed<T: FromStr>(parent: &Element, name: &str) -> Result<Option<T>, Misunderstood> {
    let Some(text) = parent.text_of(name) else { return Ok(None) };
    let number = text.parse().ok();
    number.map(Some).ok_or_else(|| Misunderstood::new(format!("{name} cannot be {text:?}")))
}

/// A list as the device writes it in one text.
pub(super) fn names(text: &str, separator: char) -> Vec<Text> {
    text.split(separator).filter_map(value).collect()
}
