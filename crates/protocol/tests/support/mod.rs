//! What the tests of the dialects share: decoding in one zone, and short names for facts.
#![allow(dead_code, reason = "each test binary uses its part")]

use jiff::tz::{TimeZone, offset};
use switchroom_domain::Text;
use switchroom_domain::fact::{
    CallFact, CdrFact, ExtensionStatus, Fact, Happening, LineStatus, OutsideParty, Party,
};
use switchroom_protocol::{DecodeContext, DecodeError, Decoded, Dialect, decode};

/// Decodes in the zone of Shanghai, without its history: eight hours ahead.
pub(crate) fn try_decode(dialect: Dialect, body: &[u8]) -> Result<Vec<Decoded>, DecodeError> {
    let time_zone = TimeZone::fixed(offset(8));
    decode(dialect, None, body, &DecodeContext { time_zone: &time_zone })
}

/// The only message of a body.
#[track_caller]
pub(crate) fn one(dialect: Dialect, body: &[u8]) -> Decoded {
    let mut messages = try_decode(dialect, body).expect("well formed");
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

#[track_caller]
pub(crate) fn om(body: &str) -> Decoded {
    one(Dialect::Om, body.as_bytes())
}

#[track_caller]
pub(crate) fn om_facts(body: &str) -> Vec<Fact> {
    om(body).statement.facts
}

/// The record that a message is.
#[track_caller]
pub(crate) fn cdr(decoded: &Decoded) -> CdrFact {
    match decoded.statement.facts.as_slice() {
        [Fact::Cdr(cdr)] => (**cdr).clone(),
        other => panic!("one record expected, not {other:?}"),
    }
}

pub(crate) fn text(text: &str) -> Option<Text> {
    (!text.is_empty()).then(|| text.into())
}

pub(crate) fn call(happening: Happening, parties: Vec<Party>) -> CallFact {
    CallFact::new(happening, parties)
}

pub(crate) fn ext(number: &str) -> Party {
    Party::extension(number)
}

pub(crate) fn menu(id: &str) -> Party {
    Party::Menu { id: id.into() }
}

pub(crate) fn outside() -> OutsideParty {
    OutsideParty::default()
}

/// An outside caller; empty texts are absent.
pub(crate) fn visitor(id: &str, from: &str, to: &str, trunk: &str, callid: &str) -> Party {
    Party::Visitor(party(id, from, to, trunk, callid))
}

/// An outside number called; empty texts are absent.
pub(crate) fn outer(id: &str, from: &str, to: &str, trunk: &str, callid: &str) -> Party {
    Party::Outer(party(id, from, to, trunk, callid))
}

fn party(id: &str, from: &str, to: &str, trunk: &str, callid: &str) -> OutsideParty {
    OutsideParty {
        id: text(id),
        from: text(from),
        to: text(to),
        trunk: text(trunk),
        callid: text(callid),
        state: None,
    }
}

pub(crate) fn status(extension: &str, status: LineStatus, address: Option<&str>) -> Fact {
    Fact::ExtensionStatus(ExtensionStatus {
        extension: extension.into(),
        status,
        address: address.map(Into::into),
    })
}
