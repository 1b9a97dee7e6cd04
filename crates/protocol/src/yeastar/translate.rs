//! What a Yeastar's report means: typed report to facts.
//!
//! Its prose says that the calling party comes first; every sample puts the reporting side first, which is
//! also the order of facts. The samples are believed.

use switchroom_domain::Text;
use switchroom_domain::fact::{
    CallFact, CallWay, CdrFact, CdrSide, ExtensionStatus, Fact, Happening, LineStatus, OutsideParty, Party,
    PartyState, Statement,
};
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_domain::view::Direction;

use super::report::{
    Action, CallReport, ConfigChange, Record, YeastarMessage, YeastarOutside, YeastarParty, YeastarReport,
};
use crate::digest::content_id;
use crate::text::number;
use crate::{DecodeContext, Decoded, time};

/// Turns a report into its statement.
#[must_use]
pub fn translate(message: YeastarMessage, cx: &DecodeContext<'_>) -> Decoded {
    let YeastarMessage { sn, is_v2, report } = message;
    let is_record = matches!(report, YeastarReport::NewCdr(_));
    let statement = match report {
        YeastarReport::BootUp => state("BootUp", Fact::DeviceBooted),
        YeastarReport::ConfigChange(change) => {
            state("ConfigChange", Fact::ConfigChanged { what: what_changed(&change) })
        }
        YeastarReport::ExtensionStatus { extension, status } => {
            state("ExtensionStatus", extension_fact(extension, status.as_deref(), is_v2))
        }
        YeastarReport::Call(report) => state(report.action.as_str(), call_fact(*report)),
        YeastarReport::CallStatus { callid, members } => {
            let parties = members.into_iter().map(party).collect();
            let fact = CallFact::new(Happening::Mentioned, parties);
            state("CallStatus", Fact::Call(Box::new(CallFact { key: callid, complete: true, ..fact })))
        }
        YeastarReport::NewCdr(record) => state("NewCdr", Fact::Cdr(Box::new(record_fact(*record, cx)))),
        YeastarReport::Noted { name } => Statement { name: name.clone(), facts: vec![Fact::Noted { name }] },
        YeastarReport::Other { name } => {
            Statement { name: name.clone(), facts: vec![Fact::Unrecognized { name }] }
        }
    };
    Decoded { statement, mac: None, sn, auth: None, is_record }
}

fn state(name: &'static str, fact: Fact) -> Statement {
    Statement { name: Text::const_new(name), facts: vec![fact] }
}

/// `trunk SIP-142 del`.
fn what_changed(change: &ConfigChange) -> Option<Text> {
    let words = [&change.kind, &change.name, &change.operation];
    let words: Vec<&str> = words.into_iter().filter_map(Option::as_deref).collect();
    (!words.is_empty()).then(|| words.join(" ").into())
}

/// In v2 there is no `Idle`: the end of a call is reported as `Registered`.
fn extension_fact(extension: Option<Text>, status: Option<&str>, is_v2: bool) -> Fact {
    let word = |known: &str| status.is_some_and(|status| status.eq_ignore_ascii_case(known));
    let status = if word("Registered") && is_v2 {
        LineStatus::RegisteredIdle
    } else if word("Registered") {
        LineStatus::Online
    } else if word("Unregistered") || word("Unreachable") || word("Unavailable") {
        LineStatus::Offline
    } else if word("Idle") {
        LineStatus::Idle
    } else if word("Busy") {
        LineStatus::Busy
    } else if word("Ringing") || word("Ring") {
        LineStatus::Ringing
    } else if word("Hold") {
        LineStatus::OnHold
    } else {
        return Fact::Unrecognized { name: Text::const_new("ExtensionStatus") };
    };
    match extension {
        Some(extension) => Fact::ExtensionStatus(ExtensionStatus { extension, status, address: None }),
        None => Fact::Unrecognized { name: Text::const_new("ExtensionStatus") },
    }
}

fn call_fact(report: CallReport) -> Fact {
    let happening = match report.action {
        Action::Invite => Happening::Invited,
        Action::Incoming => Happening::Incoming,
        Action::Ring => Happening::Ringing,
        Action::Alert => Happening::Alerting,
        Action::Answer => Happening::Answered,
        Action::Answered => Happening::PeerAnswered,
        Action::Bye => Happening::Ended,
        Action::Hold => Happening::Held,
        Action::Transfer => Happening::Transferred,
        Action::CallFailed => Happening::Failed,
        Action::Dtmf => Happening::Digits,
        Action::PlayPromptEnd => Happening::AnnouncementEnded,
        Action::Satisfaction => Happening::Surveyed,
    };
    let digits = match report.action {
        Action::Dtmf => report.info,
        Action::Satisfaction => report.survey_result,
        _ => None,
    };
    let parties = report.parties.into_iter().map(party).collect();
    let fact = CallFact::new(happening, parties);
    Fact::Call(Box::new(CallFact { key: report.callid, digits, reason: report.reason, ..fact }))
}

fn party(party: YeastarParty) -> Party {
    match party {
        YeastarParty::Ext { number, status } => {
            Party::Extension { number, state: status.as_deref().and_then(party_state) }
        }
        YeastarParty::Inbound(outside) => Party::Visitor(outside_party(outside)),
        YeastarParty::Outbound(outside) => Party::Outer(outside_party(outside)),
    }
}

fn outside_party(party: YeastarOutside) -> OutsideParty {
    let YeastarOutside { id, from, to, trunk, status } = party;
    OutsideParty { id, from, to, trunk, callid: None, state: status.as_deref().and_then(party_state) }
}

/// `memberstatus` of v2. What it does not know is left open.
fn party_state(status: &str) -> Option<PartyState> {
    const STATES: [(&str, PartyState); 6] = [
        ("ALERT", PartyState::Alerting),
        ("RING", PartyState::Ringing),
        ("ANSWER", PartyState::Talking),
        ("ANSWERED", PartyState::Talking),
        ("HOLD", PartyState::Held),
        ("BYE", PartyState::Gone),
    ];
    STATES.iter().find_map(|(name, state)| name.eq_ignore_ascii_case(status).then_some(*state))
}

fn record_fact(record: Record, cx: &DecodeContext<'_>) -> CdrFact {
    let direction = direction(record.kind.as_deref());
    let wire_id = record.cdrid.clone().unwrap_or_else(|| derived_id(&record));
    let started_at = record.time_start.as_deref().and_then(|text| time::local(text, cx.time_zone));
    let ended_at = started_at.zip(number(record.call_duration.as_ref())).map(end);
    let (trunk, other_trunk) = match direction {
        Some(Direction::Outbound) => (record.destination_trunk, ("srctrunkname", record.source_trunk)),
        _ if record.source_trunk.is_some() => {
            (record.source_trunk, ("desttrunkname", record.destination_trunk))
        }
        _ => (record.destination_trunk, ("srctrunkname", None)),
    };
    let did =
        record.extra.iter().find(|(name, text)| name.eq_ignore_ascii_case("didnumber") && !text.is_empty());
    let dialled = did.map(|(_, number)| number.clone()).filter(|_| direction == Some(Direction::Inbound));
    let named = [("status", record.status), ("callduraction", record.call_duration), other_trunk];
    let named = named.into_iter().filter_map(|(name, text)| Some((Text::const_new(name), text?)));
    CdrFact {
        wire_id,
        callid: record.callid,
        kind: record.kind.unwrap_or_default(),
        from: record.from,
        to: record.to,
        trunk,
        side: CdrSide::Extension,
        direction,
        started_at_local: record.time_start,
        started_at,
        ended_at,
        duration: number(record.talk_duration.as_ref()),
        recording: record.recording,
        // A call back or a transfer gives further records of the same call.
        closes_call: matches!(
            direction,
            Some(Direction::Inbound | Direction::Outbound | Direction::Internal)
        ),
        way: CallWay { dialled, ..CallWay::default() },
        extra: named.chain(record.extra).collect(),
        ..CdrFact::default()
    }
}

/// The record tells its begin and its length, not its end.
fn end((started_at, seconds): (Timestamp, u32)) -> Timestamp {
    started_at.plus(Millis::from_secs(seconds.into()))
}

fn direction(kind: Option<&str>) -> Option<Direction> {
    const KINDS: [(&str, Direction); 4] = [
        ("Inbound", Direction::Inbound),
        ("Outbound", Direction::Outbound),
        ("Internal", Direction::Internal),
        ("Callback", Direction::Callback),
    ];
    KINDS.iter().find_map(|(name, direction)| name.eq_ignore_ascii_case(kind?).then_some(*direction))
}

/// The same for a record that is sent again, because nothing of when it was sent is in it.
fn derived_id(record: &Record) -> Text {
    let fields = [
        &record.callid,
        &record.kind,
        &record.time_start,
        &record.from,
        &record.to,
        &record.source_trunk,
        &record.destination_trunk,
        &record.call_duration,
        &record.talk_duration,
        &record.status,
        &record.recording,
    ];
    content_id(fields.into_iter().map(|field| field.as_deref().unwrap_or_default()))
}
