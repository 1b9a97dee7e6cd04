//! What happens on a device, in words that belong to no vendor. The engine says these; a dialect
//! turns each into the reports its vendor sends, which may be none or several.

use std::sync::Arc;

use super::wire::Wire;

/// One side of a call as reports name it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Party<'a> {
    /// An extension.
    Extension(&'a str),
    /// A call that came in over a trunk.
    Visitor(&'a Wire),
    /// A call that went out over a trunk.
    Outer(&'a Wire),
    /// A voice menu.
    Menu(u8),
    /// A group, by its own number (not the queue's).
    Group(u32),
}

/// A change on the device or in one of its calls.
#[derive(Debug)]
pub(crate) enum Happening<'a> {
    BootedUp,
    ConfigChanged {
        trunk: &'a str,
    },
    PhoneOnline {
        extension: &'a str,
        address: [u8; 4],
    },
    PhoneOffline {
        extension: &'a str,
    },
    /// A call wants in and an application may refuse it.
    Invited {
        visitor: &'a Wire,
    },
    /// A call was let in and an application may route it.
    CameIn {
        visitor: &'a Wire,
    },
    /// An idle extension dials.
    WentOffHook {
        extension: &'a str,
    },
    /// An extension is free again.
    WentOnHook {
        extension: &'a str,
    },
    /// An extension starts to ring, called by `caller`.
    Rings {
        extension: &'a str,
        caller: Party<'a>,
    },
    /// An extension rings because the device itself wakes it.
    RingsAlone {
        extension: &'a str,
    },
    /// It was woken.
    AnswersAlone {
        extension: &'a str,
    },
    /// An extension rings because a command has it call; `with` rings already.
    RingsToCall {
        extension: &'a str,
        with: Option<Party<'a>>,
    },
    /// It picks up, and what it wants to call is called.
    PicksUp {
        extension: &'a str,
        with: Option<Party<'a>>,
    },
    /// A ringing extension answers.
    Answers {
        extension: &'a str,
        caller: Party<'a>,
    },
    /// An analog line was taken and dialled on; how it goes on is often not told on such lines.
    LineDials {
        outer: &'a Wire,
        caller: Option<Party<'a>>,
    },
    /// An analog trunk took the call that an extension dialled.
    SentOut {
        outer: &'a Wire,
        caller: &'a str,
    },
    /// The outside party's telephone rings; no caller: a menu or the device itself called.
    OuterRings {
        outer: &'a Wire,
        caller: Option<Party<'a>>,
    },
    OuterAnswers {
        outer: &'a Wire,
        caller: Option<Party<'a>>,
    },
    /// An extension's calls are forwarded, and this one is.
    Diverted {
        caller: Party<'a>,
        extension: &'a str,
    },
    /// An extension has passed its call on to somebody else.
    Transferred {
        by: &'a str,
        caller: Party<'a>,
    },
    /// A group cannot serve a caller now: he waits, or is refused for a reason.
    Queued {
        caller: Party<'a>,
        queue: u32,
        count: usize,
        refused: Option<Refusal>,
    },
    /// Keys, typed in a menu or (by an extension) during a call.
    Digits {
        party: Party<'a>,
        info: &'a str,
        with: Party<'a>,
    },
    PromptEnded {
        party: Party<'a>,
        menu: u8,
    },
    MenuLeft {
        caller: &'a str,
        menu: u8,
        from: u64,
        digits: &'a str,
        queue: Option<u32>,
        trunk: &'a str,
    },
    /// One path ends. `first` hung up, or is all that is left.
    Released {
        first: Party<'a>,
        second: Option<Party<'a>>,
        recording: Option<&'a str>,
    },
    /// The trunk of an extension's call out is free as well.
    TrunkReleased {
        outer: &'a Wire,
    },
    Failed {
        caller: &'a str,
        called: Option<Called<'a>>,
        code: u8,
    },
    /// One leg's record, as an OM writes it.
    LegRecord(&'a LegRecord),
    /// The whole call's record, as the others write it.
    CallRecord(&'a CallRecord),
}

/// What a failed call was for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Called<'a> {
    Extension(&'a str),
    Outside(&'a str),
}

/// Why a queue takes no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Offline,
    Full,
}

/// The eight codes of a failed call and their words.
pub(crate) const FAILURES: [(u8, &str); 8] = [
    (1, "temp failure"),
    (2, "restricted"),
    // The blank is the vendor's.
    (3, "offline "),
    (4, "other call"),
    (5, "no circuit"),
    (6, "busy"),
    (7, "not exist"),
    (8, "offline"),
];

/// An OM's record of one leg.
#[derive(Debug, Clone)]
pub(crate) struct LegRecord {
    pub(crate) id: String,
    pub(crate) callid: u32,
    /// `visitor` or `outer`, and its id.
    pub(crate) party: Option<(&'static str, u32)>,
    pub(crate) kind: &'static str,
    pub(crate) route: &'static str,
    pub(crate) from: Arc<str>,
    pub(crate) to: Arc<str>,
    pub(crate) started: u64,
    pub(crate) ended: u64,
    pub(crate) seconds: u64,
    pub(crate) trunk: Arc<str>,
    pub(crate) recording: Option<String>,
}

/// How a call ended, for the vendors that write one record for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    NoAnswer,
    Busy,
    Failed,
}

/// The record of a whole call.
#[derive(Debug, Clone)]
pub(crate) struct CallRecord {
    pub(crate) direction: super::Direction,
    pub(crate) outcome: Outcome,
    pub(crate) from: Arc<str>,
    pub(crate) to: Arc<str>,
    pub(crate) agent: Arc<str>,
    pub(crate) source_trunk: Arc<str>,
    pub(crate) target_trunk: Arc<str>,
    pub(crate) forwarded_to: Arc<str>,
    pub(crate) started: u64,
    pub(crate) answered: Option<u64>,
    pub(crate) ended: u64,
    pub(crate) queue: Option<u32>,
    pub(crate) queue_ms: u64,
    pub(crate) ring_ms: u64,
    pub(crate) menu: Option<u8>,
    pub(crate) menu_ms: u64,
    pub(crate) digits: String,
    /// The caller left before anybody answered.
    pub(crate) caller_left: bool,
}
