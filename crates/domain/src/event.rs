//! Events: what changed, as everyone outside is told of it. One envelope everywhere: CloudEvents 1.0 JSON.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use crate::Text;
use crate::conversation::Conversation;
use crate::id::{CallId, CdrId, DeviceId, EventId, LegId, ReportId};
use crate::time::Timestamp;
use crate::view::{Basis, Direction};

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What an event tells.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
        }

        impl EventKind {
            /// Every kind, in the order of the reference pages.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The dotted name, as filters and webhooks use it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The CloudEvents `type`.
            #[must_use]
            pub const fn type_name(self) -> &'static str {
                match self { $(Self::$name => concat!("switchroom.", $text),)* }
            }
        }
    };
}

event_kinds! {
    /// The device has started.
    DeviceBooted = "device.booted",
    /// The device's configuration changed.
    DeviceConfigChanged = "device.config_changed",
    /// The device was heard of for the first time, or again.
    DeviceWentUp = "device.went_up",
    /// The device no longer answers.
    DeviceWentDown = "device.went_down",
    /// An extension's state changed.
    ExtensionStateChanged = "extension.state_changed",
    /// An extension registered, or registered from another address.
    ExtensionRegistered = "extension.registered",
    /// A trunk's state changed.
    TrunkStateChanged = "trunk.state_changed",
    /// A call asks to come in.
    CallInvited = "call.invited",
    /// A call came in and waits to be routed.
    CallIncoming = "call.incoming",
    /// An extension, a menu or the exchange itself dials.
    CallDialed = "call.dialed",
    /// The caller hears ringback.
    CallAlerting = "call.alerting",
    /// A telephone rings.
    CallRinging = "call.ringing",
    /// Somebody answered.
    CallAnswered = "call.answered",
    /// The call was diverted.
    CallDiverted = "call.diverted",
    /// The call has another party now.
    CallTransferred = "call.transferred",
    /// The call is held.
    CallHeld = "call.held",
    /// The call could not be made.
    CallFailed = "call.failed",
    /// The call is over.
    CallEnded = "call.ended",
    /// Keys were pressed.
    CallDigitsReceived = "call.digits_received",
    /// A menu's announcement ended.
    CallAnnouncementEnded = "call.announcement_ended",
    /// A call entered a queue.
    QueueEntered = "queue.entered",
    /// A call left a queue: `reason` is `answered`, `abandoned` or `unknown`.
    QueueLeft = "queue.left",
    /// A queue did not take a call: `reason` is `offline` or `full`.
    QueueRefused = "queue.refused",
    /// A call record came in.
    CdrRecorded = "cdr.recorded",
    /// A call's records and events were joined.
    ConversationCompleted = "conversation.completed",
    /// A recording can be played.
    RecordingAvailable = "recording.available",
    /// A recording was announced and could not be fetched.
    RecordingMissing = "recording.missing",
    /// A command settled.
    CommandCompleted = "command.completed",
    /// Something must have been missed.
    GapDetected = "gap.detected",
    /// What was missed is known again.
    GapRepaired = "gap.repaired",
    /// A report came in that nothing here knows; the raw report is kept.
    ReportUnrecognized = "report.unrecognized",
}

impl EventKind {
    /// The kind of a dotted name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// Does a filter's pattern name this kind? `call.*` names all of a family, `*` everything.
    #[must_use]
    pub fn matches(self, pattern: &str) -> bool {
        match pattern.strip_suffix('*') {
            Some(prefix) => self.as_str().starts_with(prefix),
            None => self.as_str() == pattern,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an event says. Only what applies is present in JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each field is the one of the same name in the event reference")]
pub struct EventData {
    pub basis: Basis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leg: Option<LegId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<Text>,
    /// The state now, of whatever the subject is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Text>,
    /// The state before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<f64>,
    /// From the first report of a call to its first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_seconds: Option<f64>,
    /// From the first report of a call to its first ringing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup_seconds: Option<f64>,
    /// From a call's answer to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub talk_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digits: Option<Text>,
    #[serde(skip_serializing_if = "is_false")]
    pub timed_out: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub menu: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// For a call that ended: `answered`, `no_answer`, `abandoned`, `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cdr: Option<CdrId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportId>,
    /// The whole of it, where the event completes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Box<Conversation>>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// An event, stamped by its cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// The device it is of.
    pub device: DeviceId,
    /// What it tells.
    pub kind: EventKind,
    /// When the report came in that caused it.
    pub at: Timestamp,
    /// The device's own count, without holes.
    pub sequence: u64,
    /// What it is about: `extensions/200`, `calls/<id>`, `device`.
    pub subject: Text,
    /// What it says.
    pub data: EventData,
}

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: EventId,
    source: Source<'a>,
    #[serde(rename = "type")]
    type_name: &'static str,
    time: Timestamp,
    subject: &'a str,
    sequence: u64,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    device: &'a DeviceId,
    #[serde(flatten)]
    data: Flat<'a>,
}

/// `#[serde(flatten)]` without its buffering: the fields are written straight into the outer object.
struct Flat<'a>(&'a EventData);

impl Serialize for Flat<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

struct Source<'a>(&'a DeviceId);

impl Serialize for Source<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("/devices/{}", self.0))
    }
}

impl Event {
    /// The CloudEvents envelope as JSON, without its `cursor`: that is only known once it is committed, and
    /// is put in front by [`write_with_cursor`].
    ///
    /// # Panics
    /// Never: every field has a JSON form, and a `String` takes whatever is written.
    #[must_use]
    pub fn envelope(&self) -> String {
        let envelope = Envelope {
            specversion: "1.0",
            id: self.id,
            source: Source(&self.device),
            type_name: self.kind.type_name(),
            time: self.at,
            subject: &self.subject,
            sequence: self.sequence,
            datacontenttype: "application/json",
            data: Data { device: &self.device, data: Flat(&self.data) },
        };
        let mut out = Vec::with_capacity(640);
        // Writing to a Vec cannot fail, and no field of an event has a shape that JSON lacks.
        match serde_json::to_writer(&mut out, &envelope) {
            Ok(()) => String::from_utf8(out).unwrap_or_default(),
            Err(_) => String::new(),
        }
    }
}

/// Writes an envelope with its cursor: `{"cursor":"17",` and the rest.
pub fn write_with_cursor(out: &mut String, envelope: &str, cursor: u64) {
    out.push_str("{\"cursor\":\"");
    // A String takes whatever is written.
    let _ = write!(out, "{cursor}");
    out.push_str("\",");
    out.push_str(envelope.strip_prefix('{').unwrap_or(envelope));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{IdSeed, Minter};

    #[test]
    fn every_kind_is_found_by_its_name_and_its_family() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.as_str()), Some(*kind));
            let family = kind.as_str().split('.').next().expect("a dotted name");
            assert!(kind.matches(&format!("{family}.*")) && kind.matches("*") && kind.matches(kind.as_str()));
        }
        assert!(!EventKind::CallEnded.matches("queue.*"));
    }

    #[test]
    fn an_envelope_is_a_cloudevent_with_only_what_applies() {
        let mut ids = Minter::new(IdSeed { at: Timestamp(1_795_264_245_123), entropy: 7 });
        let event = Event {
            id: EventId(ids.mint()),
            device: DeviceId::new("sim-1").expect("a device id"),
            kind: EventKind::ExtensionStateChanged,
            at: Timestamp(1_795_264_245_123),
            sequence: 9,
            subject: "extensions/200".into(),
            data: EventData {
                extension: Some("200".into()),
                state: Some("busy".into()),
                ..EventData::default()
            },
        };
        let mut text = String::new();
        write_with_cursor(&mut text, &event.envelope(), 17);
        let json: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
        assert_eq!(json["cursor"], "17");
        assert_eq!(json["source"], "/devices/sim-1");
        assert_eq!(json["type"], "switchroom.extension.state_changed");
        assert_eq!(json["sequence"], 9);
        assert_eq!(
            json["data"],
            serde_json::json!({"device": "sim-1", "basis": "observed", "extension": "200", "state": "busy"})
        );
    }
}
