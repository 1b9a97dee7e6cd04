//! OM bytes to replies: what a device answers to a command (chapters 2.1 to 2.4, 2.5.3.7 and 4.4.2).
//!
//! Its HTTP status says nothing, it is 200 even when the command failed; the body tells.

use switchroom_domain::Text;
use switchroom_domain::command::Command;
use switchroom_domain::reply::{
    DeviceInfo, ExtensionStatus, GroupStatus, Line, LineState, MenuStatus, Partner, PartnerKind, Reply,
    Status, TalkState, TrunkStatus,
};

use super::request::names;
use super::tree::{self, Element};
use super::{parameters, settings};
use crate::error::DecodeError;
use crate::text::{decode_body, number};

/// The lowest of the codes that say that the device does not take our commands (4.4.2).
const FIRST_UNAUTHORIZED: u32 = 100;

/// Reads what a device answered to `command`.
///
/// An empty body is how most commands succeed, and no answer at all to a question. Values that make no sense
/// are absent rather than errors, as long as the document is one that devices send. The answers to the
/// parameter commands come from the web interface; their `fail` becomes [`Reply::Failed`] without a code.
///
/// # Errors
/// When the body is not well-formed XML, exceeds a limit, is no reply of a device, or is empty though something
/// was asked.
pub fn decode_reply(command: &Command, body: &[u8]) -> Result<Reply, DecodeError> {
    if matches!(command, Command::ReadParameter { .. } | Command::WriteParameter { .. }) {
        return parameters::decode_response(body).map(Into::into);
    }
    // Chapter 1.4.1 says that the device responds "Unauthorized"; 4.4.2 shows the document for it.
    if decode_body(body).trim().eq_ignore_ascii_case("unauthorized") {
        return Ok(Reply::Unauthorized { code: None, reason: None });
    }
    let roots = tree::read(body)?;
    if let Some(refused) = roots.iter().find(|root| root.is("unauthorized")) {
        return Ok(unauthorized(refused, &roots));
    }
    match roots.first() {
        None if command.only_asks() => {
            Err(DecodeError::new(body.len(), "the device was asked, and told nothing"))
        }
        None => Ok(Reply::Done),
        Some(root) if root.is("Event") => event(root, body.len()),
        Some(root) if root.is("Status") => Ok(Reply::Status(Box::new(status(root)))),
        Some(root) if root.is("DeviceInfo") => Ok(Reply::Device(Box::new(device(root)))),
        Some(root) if is_error(root) => {
            let (code, reason) = error(Some(root));
            Ok(match code {
                Some(FIRST_UNAUTHORIZED..=104) => Reply::Unauthorized { code, reason },
                _ => Reply::Failed { code, reason },
            })
        }
        Some(root) => {
            let reason = format!("a <{}> is no reply of a device", root.name);
            Err(DecodeError::new(body.len(), reason))
        }
    }
}

/// `<unauthorized/>` with its `<err>` beside it, or in it.
fn unauthorized(refused: &Element, roots: &[Element]) -> Reply {
    let inside = refused.children.iter().find(|child| is_error(child));
    let (code, reason) = error(inside.or_else(|| roots.iter().find(|root| is_error(root))));
    Reply::Unauthorized { code, reason }
}

fn event(root: &Element, length: usize) -> Result<Reply, DecodeError> {
    let name = root.attribute("attribute").unwrap_or_default();
    if name.eq_ignore_ascii_case("OK") {
        Ok(Reply::Done)
    } else if name.eq_ignore_ascii_case("TRANSIENT") {
        let waiting = root.child("state").and_then(talk_state) == Some(TalkState::Wait);
        Ok(Reply::Begun { parties: partners(root), waiting })
    } else if name.eq_ignore_ascii_case("FAILED") {
        let (code, reason) = error(root.children.iter().find(|child| is_error(child)));
        Ok(Reply::Failed { code, reason })
    } else {
        Err(DecodeError::new(length, format!("a {name:?} is an event and no reply")))
    }
}

fn is_error(element: &Element) -> bool {
    element.is("err") || element.is("error")
}

fn error(element: Option<&Element>) -> (Option<u32>, Option<Text>) {
    let attribute = |name| element.and_then(|element| element.attribute(name));
    (number(attribute("code").as_ref()), attribute("reason"))
}

fn status(root: &Element) -> Status {
    let mut status = Status::default();
    for object in &root.children {
        if object.is("ext") {
            status.extensions.push(extension(object));
        } else if object.is("trunk") || object.is("line") {
            status.trunks.push(trunk(object));
        } else if object.is("visitor") {
            status.visitors.extend(partner(object));
        } else if object.is("outer") {
            status.outers.extend(partner(object));
        } else if object.is("group") {
            status.groups.extend(group(object));
        } else if object.is("menu") {
            status.menus.extend(menu(object));
        } else if object.is("voicefile") {
            status.voice_files = Some(names(&object.trimmed(), '|'));
        }
    }
    status
}

fn extension(ext: &Element) -> ExtensionStatus {
    let (settings, _) = settings::read(ext, settings::Empty::IsAbsent);
    let number = ext.attribute("id").or_else(|| settings.id.clone()).unwrap_or_default();
    ExtensionStatus {
        number,
        line_id: line_id(ext),
        state: ext.child("state").and_then(line_state),
        offline_number: ext.text_of("Off_Line_Num"),
        // A group in here is one that the extension is in.
        with: partners(ext).into_iter().filter(|partner| partner.kind != PartnerKind::Group).collect(),
        settings,
    }
}

fn trunk(trunk: &Element) -> TrunkStatus {
    TrunkStatus {
        number: trunk.attribute("id").unwrap_or_default(),
        line_id: line_id(trunk),
        state: trunk.child("state").and_then(line_state),
        with: partners(trunk),
    }
}

/// In queries an element, in the device's description an attribute.
fn line_id(element: &Element) -> Option<Text> {
    element.text_of("lineid").or_else(|| element.attribute("lineid"))
}

fn group(group: &Element) -> Option<GroupStatus> {
    Some(GroupStatus {
        group: group.attribute("id")?.parse().ok()?,
        members: group.all("ext").filter_map(Element::id).collect(),
        distribution: group.text_of("distribution").and_then(|how| settings::distribution(&how)),
        voice_file: group.text_of("voicefile"),
        waiting: partners(group)
            .into_iter()
            .filter(|partner| partner.kind != PartnerKind::Extension)
            .collect(),
    })
}

fn menu(menu: &Element) -> Option<MenuStatus> {
    let parsed = |name: &str| menu.text_of(name).and_then(|text| text.parse().ok());
    Some(MenuStatus {
        menu: menu.attribute("id")?.parse().ok()?,
        voice_file: menu.text_of("voicefile"),
        repeat: parsed("repeat"),
        info_length: parsed("infolength").and_then(|length| u8::try_from(length).ok()),
        exit: menu.text_of("exit"),
        with: partners(menu),
    })
}

/// The parties that an element holds, in order.
fn partners(parent: &Element) -> Vec<Partner> {
    parent.children.iter().filter_map(partner).collect()
}

fn partner(element: &Element) -> Option<Partner> {
    let kind = if element.is("ext") || element.is("called") {
        PartnerKind::Extension
    } else if element.is("visitor") {
        PartnerKind::Visitor
    } else if element.is("outer") {
        PartnerKind::Outer
    } else if element.is("menu") {
        PartnerKind::Menu
    } else if element.is("group") {
        PartnerKind::Group
    } else {
        return None;
    };
    let mut partner = Partner {
        kind,
        id: element.attribute("id"),
        from: element.attribute("from"),
        to: element.attribute("to"),
        trunk: element.attribute("trunk"),
        callid: element.attribute("callid"),
        state: element.child("state").and_then(talk_state),
        with: partners(element),
    };
    // An outer that was asked about is named in itself once more (2.1.1.5); it is not in a call with itself.
    let (state, with) = (&mut partner.state, &mut partner.with);
    let (kind, id) = (partner.kind, partner.id.as_ref());
    with.retain(|inner| {
        let same = inner.kind == kind && inner.id.is_some() && inner.id.as_ref() == id;
        if same {
            *state = state.or(inner.state);
        }
        !same
    });
    Some(partner)
}

fn talk_state(state: &Element) -> Option<TalkState> {
    let text = state.text()?;
    let all = [("talk", TalkState::Talk), ("progress", TalkState::Progress), ("wait", TalkState::Wait)];
    all.into_iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, state)| state)
}

fn line_state(state: &Element) -> Option<LineState> {
    let text = state.text()?;
    let all = [
        ("ready", LineState::Ready),
        ("active", LineState::Active),
        ("progress", LineState::Progress),
        ("offline", LineState::Offline),
        ("offhook", LineState::Offhook),
        ("unwired", LineState::Unwired),
    ];
    all.into_iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, state)| state)
}

fn device(root: &Element) -> DeviceInfo {
    let mut info = DeviceInfo {
        manufacturer: root.text_of("manufacturer"),
        model: root.text_of("model"),
        version: root.text_of("version"),
        mac: root.text_of("mac"),
        ..DeviceInfo::default()
    };
    for object in root.all("devices").flat_map(|devices| &devices.children).chain(&root.children) {
        if object.is("ext") {
            info.extensions.push(line(object));
        } else if object.is("line") || object.is("trunk") {
            info.trunks.push(line(object));
        } else if object.is("group") {
            info.groups.extend(group(object));
        }
    }
    info
}

fn line(element: &Element) -> Line {
    Line { line_id: line_id(element), number: element.attribute("id") }
}
