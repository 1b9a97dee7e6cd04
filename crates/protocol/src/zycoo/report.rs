//! What a ZYCOO says, typed but not yet interpreted: the fields of both revisions of its document.

use switchroom_domain::Text;

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZycooMessage {
    /// `mac`, trimmed; absent from dialend, hangup, extensionstatus and cdr.
    pub mac: Option<Text>,
    /// What it reports.
    pub report: ZycooReport,
}

/// The report itself, by its `event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZycooReport {
    /// `dialbegein` (so spelt): a party is dialled.
    DialBegin(Box<Dial>),
    /// `dialend`: dialling it ended, by answer or otherwise.
    DialEnd(Box<Dial>),
    /// `hangup`: a channel is gone.
    Hangup(Box<Hangup>),
    /// `extensionstatus`.
    ExtensionStatus(LineReport),
    /// `ivr`, `cc_cdr`, `cdr`: a record, with all its fields.
    Record(Record),
    /// Unknown, by its name as written.
    Other {
        /// Its name; `unnamed` when it has none.
        name: Text,
    },
}

/// `dialbegein` and `dialend`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dial {
    /// Caller's channel: `DAHDI/i1/18782985586-51`, `SIP/808-00000012`.
    pub channel: Option<Text>,
    /// Caller's number.
    pub caller: Option<Text>,
    /// Callee's channel.
    pub dest_channel: Option<Text>,
    /// Callee's number.
    pub callee: Option<Text>,
    /// `destexten`.
    pub dest_exten: Option<Text>,
    /// Id of the callee's channel.
    pub dest_uniqueid: Option<Text>,
    /// What is dialled: `SIP/886`.
    pub dial_string: Option<Text>,
    /// Id of the call, which is that of the caller's channel.
    pub uniqueid: Option<Text>,
    /// How dialling ended: ANSWER, BUSY, NOANSWER, CANCEL, …, or `hangup`.
    pub dial_status: Option<Text>,
    /// `timestamp`: epoch with microseconds, or in an older revision the id of a channel.
    pub timestamp: Option<Text>,
}

/// `hangup`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hangup {
    /// `calleridnum`.
    pub caller: Option<Text>,
    /// `calleridname`.
    pub caller_name: Option<Text>,
    /// `connectedlinenum`.
    pub callee: Option<Text>,
    /// `connectedlinename`.
    pub callee_name: Option<Text>,
    /// Id of the call.
    pub uniqueid: Option<Text>,
}

/// `extensionstatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineReport {
    /// `exten`.
    pub exten: Option<Text>,
    /// `status`: hint bits, in one revision only.
    pub status: Option<Text>,
    /// `statustext`.
    pub status_text: Option<Text>,
}

/// Which record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// A passed menu.
    Ivr,
    /// A call of the call centre.
    CcCdr,
    /// A call.
    Cdr,
}

impl RecordKind {
    /// Its `event`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ivr => "ivr",
            Self::CcCdr => "cc_cdr",
            Self::Cdr => "cdr",
        }
    }
}

/// A record: what it is, and its fields that say something, in order and by the vendor's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which one.
    pub kind: RecordKind,
    /// `callType`, `calltype`: named even when it is empty, which on a `cdr` means internal.
    pub call_type: Option<Text>,
    /// The other fields. Empty ones are left out.
    pub fields: Vec<(Text, Text)>,
}

impl Record {
    /// The text of a field; case does not matter.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Text> {
        self.fields.iter().find_map(|(known, text)| known.eq_ignore_ascii_case(name).then_some(text))
    }
}
