//! What a Yeastar says, typed but not yet interpreted.

use switchroom_domain::Text;

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YeastarMessage {
    /// The device's serial number; early firmware leaves it out.
    pub sn: Option<Text>,
    /// It named its report by `event` instead of `action`: generation v2, where `Registered` also means idle.
    pub is_v2: bool,
    /// What it reports.
    pub report: YeastarReport,
}

/// The report itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum YeastarReport {
    /// `BootUp`.
    BootUp,
    /// `ConfigChange`.
    ConfigChange(ConfigChange),
    /// `ExtensionStatus`.
    ExtensionStatus {
        /// The extension's number.
        extension: Option<Text>,
        /// `Registered`, `Unregistered`, `Idle`, `Busy`, `Ringing`.
        status: Option<Text>,
    },
    /// What happened in a call.
    Call(Box<CallReport>),
    /// `CallStatus` (v2): all members of a call, each with its state.
    CallStatus {
        /// The call.
        callid: Option<Text>,
        /// Its members.
        members: Vec<YeastarParty>,
    },
    /// `NewCdr`.
    NewCdr(Box<Record>),
    /// Known, and nothing about telephony (`sms-send`).
    Noted {
        /// Its name as written.
        name: Text,
    },
    /// Unknown, by its name as written.
    Other {
        /// Its name; `unnamed` when it has none.
        name: Text,
    },
}

/// What a device changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigChange {
    /// `type`: trunk, extension, …
    pub kind: Option<Text>,
    /// Which one: `trunkname`, or the like of another type.
    pub name: Option<Text>,
    /// `operation`: add, modify, del.
    pub operation: Option<Text>,
}

/// The reports that are about a call, by their `action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the actions are")]
pub enum Action {
    Invite,
    Incoming,
    Ring,
    Alert,
    Answer,
    Answered,
    Bye,
    Hold,
    Transfer,
    CallFailed,
    Dtmf,
    PlayPromptEnd,
    Satisfaction,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Invite,
        Self::Incoming,
        Self::Ring,
        Self::Alert,
        Self::Answer,
        Self::Answered,
        Self::Bye,
        Self::Hold,
        Self::Transfer,
        Self::CallFailed,
        Self::Dtmf,
        Self::PlayPromptEnd,
        Self::Satisfaction,
    ];

    /// The name as the tables of the documents write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invite => "Invite",
            Self::Incoming => "Incoming",
            Self::Ring => "RING",
            Self::Alert => "ALERT",
            Self::Answer => "ANSWER",
            Self::Answered => "ANSWERED",
            Self::Bye => "BYE",
            Self::Hold => "HOLD",
            Self::Transfer => "Transfer",
            Self::CallFailed => "CallFailed",
            Self::Dtmf => "DTMF",
            Self::PlayPromptEnd => "PlayPromptEnd",
            Self::Satisfaction => "satisfaction",
        }
    }
}

/// Something that happened in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReport {
    /// What.
    pub action: Action,
    /// The call.
    pub callid: Option<Text>,
    /// Who, in the order of the document: the reporting side first.
    pub parties: Vec<YeastarParty>,
    /// `info`: keys pressed.
    pub info: Option<Text>,
    /// `reason` of a failure.
    pub reason: Option<Text>,
    /// `prompt`: the voice file that ended.
    pub prompt: Option<Text>,
    /// `surveyresult`: the score.
    pub survey_result: Option<Text>,
}

impl CallReport {
    /// A report of this action that says nothing else yet.
    #[must_use]
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            callid: None,
            parties: Vec::new(),
            info: None,
            reason: None,
            prompt: None,
            survey_result: None,
        }
    }
}

/// Someone in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum YeastarParty {
    /// `ext`.
    Ext {
        /// `extid`, or `number` in v2.
        number: Text,
        /// `memberstatus` (v2).
        status: Option<Text>,
    },
    /// `inbound`: who calls in.
    Inbound(YeastarOutside),
    /// `outbound`: who is called outside.
    Outbound(YeastarOutside),
}

/// An `inbound` or `outbound`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct YeastarOutside {
    /// `inboundid` or `outboundid`; `channelid` in v2.
    pub id: Option<Text>,
    /// Calling number.
    pub from: Option<Text>,
    /// Called number.
    pub to: Option<Text>,
    /// `trunk`, or `trunkname`.
    pub trunk: Option<Text>,
    /// `memberstatus` (v2).
    pub status: Option<Text>,
}

/// A `NewCdr`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// `cdrid`: in the tables, but in no sample.
    pub cdrid: Option<Text>,
    /// The call.
    pub callid: Option<Text>,
    /// `timestart`, local time, `yyyy-mm-dd hh:mm:ss`.
    pub time_start: Option<Text>,
    /// `callfrom`.
    pub from: Option<Text>,
    /// `callto`.
    pub to: Option<Text>,
    /// `srctrunkname`.
    pub source_trunk: Option<Text>,
    /// `desttrunkname`, which the tables misspell in two ways.
    pub destination_trunk: Option<Text>,
    /// `callduraction` (so spelt): seconds from the first ring to the end.
    pub call_duration: Option<Text>,
    /// `talkduraction` (so spelt): seconds of talk.
    pub talk_duration: Option<Text>,
    /// `status`: ANSWERED, NO ANSWER, BUSY, FAILED, VOICEMAIL.
    pub status: Option<Text>,
    /// `type`: Inbound, Outbound, Internal, Callback, Transfer.
    pub kind: Option<Text>,
    /// `recording`.
    pub recording: Option<Text>,
    /// Everything else, by name: `didnumber`, `agentringtime`, `pincode`, …
    pub extra: Vec<(Text, Text)>,
}
