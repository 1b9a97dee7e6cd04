//! What became of a command that got no answer: which question tells, and what the answer to it means.
//!
//! Pure. What cannot be told by asking (whether a held call was held by this command, say) is left unknown.

use switchroom_domain::Text;
use switchroom_domain::command::{Command, PartyRef, Target, TargetKind, dialled};
use switchroom_domain::reply::{LineState, Partner, PartnerKind, Reply, Status};

/// The question that tells whether the command was done; none if no question does.
#[must_use]
pub fn question(command: &Command) -> Option<Command> {
    let ask = |kind, id: &Text| Some(Command::Query { target: Target::one(kind, id.clone()) });
    let of_party = |party: &PartyRef| match party {
        PartyRef::Extension { extension } => ask(TargetKind::Extension, extension),
        PartyRef::Visitor { visitor } => ask(TargetKind::Visitor, visitor),
        PartyRef::Outer { outer } => ask(TargetKind::Outer, outer),
        PartyRef::Number { .. } => Some(Command::Query { target: Target::all(TargetKind::Outer) }),
        PartyRef::Menu { .. } | PartyRef::Group { .. } => None,
    };
    match command {
        Command::Connect { from: PartyRef::Menu { .. }, to, .. } => of_party(to),
        Command::Connect { from, .. } => of_party(from),
        Command::Clear { party } => of_party(party),
        Command::Queue { visitor, .. } => ask(TargetKind::Visitor, visitor),
        Command::Monitor { extension, .. } | Command::Barge { extension, .. } => {
            ask(TargetKind::Extension, extension)
        }
        _ => None,
    }
}

/// Whether the command was done, by the device's answer to [`question`]; none if that does not tell.
///
/// A telephone that is in no call was not rung, or its call is over already: the caller of this weighs in what the
/// model saw.
#[must_use]
pub fn was_done(command: &Command, answer: &Reply) -> Option<bool> {
    let status = match answer {
        Reply::Status(status) => status,
        // There is no such visitor or outer any more.
        Reply::Failed { code: Some(7), .. } if matches!(command, Command::Clear { .. }) => return Some(true),
        _ => return None,
    };
    match command {
        Command::Connect { from, to, .. } => connected(from, to, status),
        Command::Clear { party } => Some(!in_call(party, status)),
        Command::Queue { visitor, .. } => {
            let visitor = status.visitors.iter().find(|v| v.id.as_ref() == Some(visitor))?;
            Some(!visitor.with.is_empty() || visitor.state == Some(switchroom_domain::reply::TalkState::Wait))
        }
        Command::Monitor { extension, .. } | Command::Barge { extension, .. } => {
            let (watcher, target) = (extension_of(extension, status)?, watched(command)?);
            let sees = |partner: &Partner| partner.id.as_ref() == Some(target);
            match watcher.state {
                _ if watcher.with.iter().any(sees) => Some(true),
                Some(LineState::Ready | LineState::Offline) => Some(false),
                // It rings for this, or is in another call.
                _ => None,
            }
        }
        _ => None,
    }
}

fn connected(from: &PartyRef, to: &PartyRef, status: &Status) -> Option<bool> {
    let called = |partner: &Partner| match to {
        PartyRef::Extension { extension } => {
            partner.kind == PartnerKind::Extension && partner.id.as_ref() == Some(extension)
        }
        PartyRef::Number { number, .. } => {
            partner.kind == PartnerKind::Outer && partner.to.as_deref() == Some(dialled(number).as_str())
        }
        PartyRef::Menu { menu } => {
            partner.kind == PartnerKind::Menu
                && partner.id.as_deref().is_some_and(|id| id.parse() == Ok(*menu))
        }
        _ => false,
    };
    match from {
        PartyRef::Extension { extension } => {
            let extension = extension_of(extension, status)?;
            if extension.with.iter().any(called) {
                return Some(true);
            }
            // It rings or dials and has nobody on the other side yet: that may be this.
            match extension.state {
                Some(LineState::Ready | LineState::Offline) => Some(false),
                _ if extension.with.is_empty() => None,
                // In a call that is not recognised as this one: it may have been passed on.
                _ => None,
            }
        }
        PartyRef::Visitor { visitor } => {
            let visitor = status.visitors.iter().find(|v| v.id.as_ref() == Some(visitor))?;
            passed_on(&visitor.with, called)
        }
        PartyRef::Outer { outer } => {
            let outer = status.outers.iter().find(|o| o.id.as_ref() == Some(outer))?;
            passed_on(&outer.with, called)
        }
        PartyRef::Number { number, .. } => {
            let number = dialled(number);
            let mut of_number = status.outers.iter().filter(|o| o.to.as_deref() == Some(number.as_str()));
            // Somebody else may be in a call with the same number.
            match of_number.next() {
                None => Some(false),
                Some(first)
                    if first.with.iter().any(called) || of_number.any(|o| o.with.iter().any(called)) =>
                {
                    Some(true)
                }
                Some(_) => None,
            }
        }
        PartyRef::Menu { .. } => match to {
            PartyRef::Extension { extension } => {
                let extension = extension_of(extension, status)?;
                Some(extension.with.iter().any(|partner| partner.kind == PartnerKind::Menu))
            }
            PartyRef::Number { .. } => Some(status.outers.iter().any(called)),
            _ => None,
        },
        PartyRef::Group { .. } => None,
    }
}

/// Is who was to be passed on with whom it was passed to? Somebody else may have taken the call since.
fn passed_on(with: &[Partner], called: impl Fn(&Partner) -> bool) -> Option<bool> {
    match with {
        [] => Some(false),
        with if with.iter().any(called) => Some(true),
        _ => None,
    }
}

/// Whose call it watches.
const fn watched(command: &Command) -> Option<&Text> {
    match command {
        Command::Monitor { target, .. } | Command::Barge { target, .. } => Some(target),
        _ => None,
    }
}

fn in_call(party: &PartyRef, status: &Status) -> bool {
    match party {
        PartyRef::Extension { extension } => {
            extension_of(extension, status).is_some_and(|found| !found.with.is_empty())
        }
        PartyRef::Visitor { visitor } => status.visitors.iter().any(|v| v.id.as_ref() == Some(visitor)),
        PartyRef::Outer { outer } => status.outers.iter().any(|o| o.id.as_ref() == Some(outer)),
        _ => false,
    }
}

fn extension_of<'a>(
    number: &str,
    status: &'a Status,
) -> Option<&'a switchroom_domain::reply::ExtensionStatus> {
    status.extensions.iter().find(|extension| extension.number == number)
}
