//! What an OM says, typed but not yet interpreted: the elements of the document by name, in its order.

use switchroom_domain::Text;

use crate::sign::Auth;

/// One message: a document, and the `<Auth>` beside it (chapter 4.5).
#[derive(Debug, Clone, PartialEq)]
pub struct OmMessage {
    /// The document.
    pub report: OmReport,
    /// `<MAC>` of the device, as written and trimmed; only sent with `API_MAC=yes`.
    pub mac: Option<Text>,
    /// The signature, where the device has a server password.
    pub auth: Option<Auth>,
}

/// The document itself, by its root.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are events: a box would cost each an allocation")]
pub enum OmReport {
    /// `<Event>` (chapter 2.5).
    Event(OmEvent),
    /// `<Cdr>` (chapter 2.6).
    Cdr(Box<OmCdr>),
    /// Any other root.
    Other {
        /// The root's name.
        root: Text,
    },
}

/// Which event, by its `attribute`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the events are, chapter 2.5")]
pub enum EventKind {
    Bootup,
    ConfigChange,
    Busy,
    Idle,
    Online,
    Offline,
    Ring,
    Alert,
    Answer,
    Answered,
    Bye,
    Divert,
    Transient,
    Failed,
    Invite,
    Incoming,
    Dtmf,
    EndOfAnn,
    Queue,
    /// An event that the documents do not know, by its name as written; `Event` when it has none.
    Other(Text),
}

/// The names of all known events, as the documents write them.
static NAMES: [(EventKind, &str); 19] = [
    (EventKind::Ring, "RING"),
    (EventKind::Alert, "ALERT"),
    (EventKind::Answer, "ANSWER"),
    (EventKind::Answered, "ANSWERED"),
    (EventKind::Bye, "BYE"),
    (EventKind::Busy, "BUSY"),
    (EventKind::Idle, "IDLE"),
    (EventKind::Dtmf, "DTMF"),
    (EventKind::Invite, "INVITE"),
    (EventKind::Incoming, "INCOMING"),
    (EventKind::EndOfAnn, "EndOfAnn"),
    (EventKind::Queue, "QUEUE"),
    (EventKind::Online, "ONLINE"),
    (EventKind::Offline, "OFFLINE"),
    (EventKind::Transient, "TRANSIENT"),
    (EventKind::Divert, "DIVERT"),
    (EventKind::Failed, "FAILED"),
    (EventKind::Bootup, "BOOTUP"),
    (EventKind::ConfigChange, "CONFIG_CHANGE"),
];

impl EventKind {
    /// The kind that a name means: whole word, blanks around it and case ignored.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let name = name.trim();
        NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map_or_else(
            || Self::Other(if name.is_empty() { Text::const_new("Event") } else { Text::new(name) }),
            |(kind, _)| kind.clone(),
        )
    }

    /// The event's name as the documents write it.
    #[must_use]
    pub fn name(&self) -> Text {
        match self {
            Self::Other(name) => name.clone(),
            known => NAMES
                .iter()
                .find(|(kind, _)| kind == known)
                .map_or(Text::const_new("Event"), |(_, name)| Text::const_new(name)),
        }
    }
}

/// An `<Event>`.
#[derive(Debug, Clone, PartialEq)]
pub struct OmEvent {
    /// Which one.
    pub kind: EventKind,
    /// `RegisterIP`: from where an extension registered (ONLINE).
    pub register_ip: Option<Text>,
    /// Extensions, outside parties and menus in document order; a menu inside a party follows it.
    pub parties: Vec<OmParty>,
    /// `<trunk id>` (INVITE, INCOMING).
    pub trunk: Option<Text>,
    /// `<info>`: the keys pressed (DTMF).
    pub info: Option<Text>,
    /// `<recording>`: a path (BYE).
    pub recording: Option<Text>,
    /// `<err>` (FAILED).
    pub error: Option<OmFailure>,
    /// `<waiting>` (QUEUE).
    pub waiting: Option<OmWaiting>,
    /// `<divert>` of old firmware (DIVERT).
    pub divert: Option<OmDivert>,
}

impl OmEvent {
    /// An event of this kind that says nothing else yet.
    #[must_use]
    pub const fn new(kind: EventKind) -> Self {
        Self {
            kind,
            register_ip: None,
            parties: Vec::new(),
            trunk: None,
            info: None,
            recording: None,
            error: None,
            waiting: None,
            divert: None,
        }
    }
}

/// Someone or something in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OmParty {
    /// `<ext id>`: an extension, or the number of a group when a waiting party leaves its queue (4.12).
    Ext(Text),
    /// `<visitor>`: who calls in.
    Visitor(OmOutside),
    /// `<outer>`: who is called outside.
    Outer(OmOutside),
    /// `<menu id>`.
    Menu(Text),
    /// `<called id>` (FAILED).
    Called(Text),
}

/// A `<visitor>` or `<outer>`; everything may be missing (5.6: the trunk's API switch is off).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OmOutside {
    /// 1 to 4096, recycled.
    pub id: Option<Text>,
    /// Calling number.
    pub from: Option<Text>,
    /// Called number.
    pub to: Option<Text>,
    /// Number of the trunk.
    pub trunk: Option<Text>,
    /// The device's number of this part of the call; not unique.
    pub callid: Option<Text>,
}

/// An `<err>` (or `<error>`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OmFailure {
    /// 1 to 8 for calls.
    pub code: Option<Text>,
    /// In words.
    pub reason: Option<Text>,
}

/// A `<waiting>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OmWaiting {
    /// The queue's id, which is not the group's number.
    pub group: Option<Text>,
    /// How many wait.
    pub count: Option<Text>,
    /// `offline` or `full`, when the call was not taken into the queue.
    pub reason: Option<Text>,
}

/// A `<divert>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OmDivert {
    /// Who diverted.
    pub from: Option<Text>,
    /// Where to.
    pub to: Option<Text>,
}

/// A `<Cdr>` (chapter 2.6).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OmCdr {
    /// `id`: a running number, `TimeEnd`, and `-0`.
    pub id: Option<Text>,
    /// `<callid>`; often another than in the call's events.
    pub callid: Option<Text>,
    /// `<visitor id>`.
    pub visitor: Option<Text>,
    /// `<outer id>`.
    pub outer: Option<Text>,
    /// `<TimeStart>`, `yyyymmddhhmmss`, local time.
    pub time_start: Option<Text>,
    /// `<TimeEnd>`.
    pub time_end: Option<Text>,
    /// `<Type>`: IN, OU, FI, FW, LO, CB.
    pub kind: Option<Text>,
    /// `<Route>`: IP, XO, IC, OP.
    pub route: Option<Text>,
    /// `<CPN>`: calling number.
    pub cpn: Option<Text>,
    /// `<CDPN>`: called number.
    pub cdpn: Option<Text>,
    /// `<Duration>` in seconds.
    pub duration: Option<Text>,
    /// `<TrunkNumber>`.
    pub trunk_number: Option<Text>,
    /// `<Recording>`.
    pub recording: Option<Text>,
    /// `<RecCodec>`.
    pub rec_codec: Option<Text>,
    /// Elements that the documents do not know, by name.
    pub extra: Vec<(Text, Text)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_words() {
        assert_eq!(EventKind::from_name("RING "), EventKind::Ring);
        assert_eq!(EventKind::from_name("answered"), EventKind::Answered);
        assert_eq!(EventKind::from_name("ANSWER"), EventKind::Answer);
        assert_eq!(EventKind::from_name("ANSWERING"), EventKind::Other("ANSWERING".into()));
        assert_eq!(EventKind::from_name(" "), EventKind::Other("Event".into()));
    }

    #[test]
    fn every_kind_knows_its_name() {
        for (kind, name) in &NAMES {
            assert_eq!(kind.name(), *name);
            assert_eq!(EventKind::from_name(name), *kind);
        }
    }
}
