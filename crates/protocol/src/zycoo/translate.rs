//! What a ZYCOO's report means: typed report to facts.
//!
//! It reports the channels of an Asterisk. Whether a party is an extension or outside is not said, but a
//! channel is named after the peer it belongs to: `SIP/886-00000065` with the number 886 is the extension
//! 886, with any other number it is the trunk 886 and a number behind it.

use switchroom_domain::Text;
use switchroom_domain::fact::{
    CallFact, ExtensionStatus, Fact, Happening, LineStatus, OutsideParty, Party, Statement,
};

use super::record;
use super::report::{Dial, Hangup, LineReport, ZycooMessage, ZycooReport};
use crate::{DecodeContext, Decoded};

/// Longest number that is taken for an extension where nothing but the number is said (`hangup`).
const LONGEST_EXTENSION: usize = 6;

/// Turns a report into its statement.
#[must_use]
pub fn translate(message: ZycooMessage, cx: &DecodeContext<'_>) -> Decoded {
    let ZycooMessage { mac, report } = message;
    let is_record = matches!(report, ZycooReport::Record(_));
    let (name, fact) = match report {
        ZycooReport::DialBegin(dial) => (Text::const_new("dialbegein"), call(Happening::Ringing, *dial)),
        ZycooReport::DialEnd(dial) => (Text::const_new("dialend"), dial_end(*dial)),
        ZycooReport::Hangup(hangup) => (Text::const_new("hangup"), hangup_fact(*hangup)),
        ZycooReport::ExtensionStatus(line) => (Text::const_new("extensionstatus"), line_fact(line)),
        ZycooReport::Record(record) => {
            (Text::const_new(record.kind.as_str()), Fact::Cdr(Box::new(record::translate(record, cx))))
        }
        ZycooReport::Other { name } => (name.clone(), Fact::Unrecognized { name }),
    };
    let statement = Statement { name, facts: vec![fact] };
    Decoded { statement, mac, sn: None, auth: None, is_record }
}

/// Callee first: it is the one that rings, or answers.
fn call(happening: Happening, dial: Dial) -> Fact {
    let parties = [callee(&dial), caller(&dial)].into_iter().flatten().collect();
    Fact::Call(Box::new(CallFact { key: dial.uniqueid, ..CallFact::new(happening, parties) }))
}

/// Dialling ends by answer, or in vain; then the reason is how. On CANCEL it is the caller who gave up.
fn dial_end(dial: Dial) -> Fact {
    let status = dial.dial_status.clone();
    let is = |word: &str| status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case(word));
    if is("ANSWER") || is("ANSWERED") {
        return call(Happening::Answered, dial);
    }
    let caller_gave_up = is("CANCEL");
    match call(Happening::Ended, dial) {
        Fact::Call(mut fact) => {
            if caller_gave_up {
                fact.parties.reverse();
            }
            fact.reason = status;
            Fact::Call(fact)
        }
        other => other,
    }
}

fn hangup_fact(hangup: Hangup) -> Fact {
    let Hangup { caller, callee, uniqueid, .. } = hangup;
    let caller = caller.map(|number| {
        if is_short(&number) {
            return Party::extension(number);
        }
        Party::Visitor(OutsideParty { from: Some(number), ..OutsideParty::default() })
    });
    // Of an outside number that it was connected with nothing tells whether it called or was called; it has a report of its
    // own.
    let callee = callee.filter(|number| is_short(number)).map(Party::extension);
    let parties = [caller, callee].into_iter().flatten().collect();
    Fact::Call(Box::new(CallFact { key: uniqueid, ..CallFact::new(Happening::Ended, parties) }))
}

fn is_short(number: &str) -> bool {
    number.len() <= LONGEST_EXTENSION && number.bytes().all(|b| b.is_ascii_digit())
}

fn caller(dial: &Dial) -> Option<Party> {
    let channel = Channel::parse(dial.channel.as_deref());
    if channel.is_extension(dial.caller.as_deref()) {
        return dial.caller.clone().map(|number| Party::Extension { number, state: None });
    }
    if dial.caller.is_none() && channel.peer.is_none() {
        return None;
    }
    Some(Party::Visitor(OutsideParty {
        id: dial.uniqueid.clone(),
        from: dial.caller.clone(),
        trunk: channel.peer.map(Text::new),
        ..OutsideParty::default()
    }))
}

fn callee(dial: &Dial) -> Option<Party> {
    let channel = Channel::parse(dial.dest_channel.as_deref().or(dial.dial_string.as_deref()));
    let number = dial.callee.clone().or_else(|| dial.dest_exten.clone()).or_else(|| dialled(dial));
    if channel.is_extension(number.as_deref()) {
        return number.map(|number| Party::Extension { number, state: None });
    }
    if number.is_none() && channel.peer.is_none() {
        return None;
    }
    Some(Party::Outer(OutsideParty {
        id: dial.dest_uniqueid.clone(),
        from: dial.caller.clone(),
        to: number,
        trunk: channel.peer.map(Text::new),
        ..OutsideParty::default()
    }))
}

/// The number at the end of a dial string: `SIP/886`, `SIP/trunk/13012345678`.
fn dialled(dial: &Dial) -> Option<Text> {
    let (_, number) = dial.dial_string.as_deref()?.rsplit_once('/')?;
    crate::text::value(number)
}

/// What the name of a channel tells.
struct Channel<'a> {
    /// The peer or span it belongs to.
    peer: Option<&'a str>,
    /// It is of a technology by which telephones register, so that its peer can be an extension.
    can_be_extension: bool,
}

impl<'a> Channel<'a> {
    /// `SIP/886-00000065`, `DAHDI/i1/18782985586-51`, `Local/809@from-internal-0001;2`.
    fn parse(name: Option<&'a str>) -> Self {
        let Some((technology, rest)) = name.and_then(|name| name.split_once('/')) else {
            return Self { peer: None, can_be_extension: true };
        };
        let of_telephones = ["SIP", "PJSIP", "IAX2", "SCCP", "Local"];
        let can_be_extension = of_telephones.iter().any(|known| known.eq_ignore_ascii_case(technology));
        let peer = match rest.split_once('/') {
            // A peer and what is dialled through it: `DAHDI/i1/1878…`, `SIP/trunk/1301…`.
            Some((peer, _)) => peer,
            None => rest.rsplit_once('-').map_or(rest, |(peer, _)| peer),
        };
        let peer = peer.split_once('@').map_or(peer, |(user, _)| user);
        Self { peer: (!peer.is_empty()).then_some(peer), can_be_extension }
    }

    /// Whether a party with this number on this channel is an extension.
    fn is_extension(&self, number: Option<&str>) -> bool {
        match (number, self.peer) {
            (Some(number), Some(peer)) => self.can_be_extension && number == peer,
            (Some(number), None) => is_short(number),
            (None, _) => false,
        }
    }
}

fn line_fact(line: LineReport) -> Fact {
    let LineReport { exten, status, status_text } = line;
    let status = status
        .and_then(|bits| status_of_bits(&bits))
        .or_else(|| status_text.and_then(|text| status_of_text(&text)));
    match (exten, status) {
        (Some(extension), Some(status)) => {
            Fact::ExtensionStatus(ExtensionStatus { extension, status, address: None })
        }
        _ => Fact::Unrecognized { name: Text::const_new("extensionstatus") },
    }
}

/// Asterisk's hint bits: 1 in use, 2 busy, 4 unavailable, 8 ringing, 16 on hold; they add up. Below zero the
/// extension was removed.
fn status_of_bits(bits: &str) -> Option<LineStatus> {
    Some(match bits.parse::<i32>().ok()? {
        ..0 => LineStatus::Offline,
        0 => LineStatus::Idle,
        bits if bits & 4 != 0 => LineStatus::Offline,
        bits if bits & 16 != 0 => LineStatus::OnHold,
        bits if bits & 3 != 0 => LineStatus::Busy,
        bits if bits & 8 != 0 => LineStatus::Ringing,
        _ => return None,
    })
}

/// The same in words, in any case and spacing: `Idle`, `InUse&Ringing`, `In Use`.
fn status_of_text(text: &str) -> Option<LineStatus> {
    let plain: Text = text.chars().filter(|c| c.is_alphabetic()).map(|c| c.to_ascii_lowercase()).collect();
    Some(match plain.as_str() {
        "idle" | "notinuse" => LineStatus::Idle,
        "inuse" | "busy" | "inuseringing" => LineStatus::Busy,
        "ringing" => LineStatus::Ringing,
        "hold" | "onhold" | "inusehold" | "inuseonhold" => LineStatus::OnHold,
        "unavailable" | "removed" | "deactivated" => LineStatus::Offline,
        _ => return None,
    })
}
