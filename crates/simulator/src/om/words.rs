//! The words of a device's replies, as the vendor's document prints them.

use crate::dialect::om::{element, escaped, ext, wire};
use crate::engine::happening::FAILURES;
use crate::engine::wire::Wire;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n";

/// Why a command was not done: who was concerned, and one of the eight codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    code: u8,
    parties: String,
}

/// A reply's body, which may be empty.
pub(crate) type Reply = Result<String, Refused>;

impl Refused {
    pub(crate) fn new(code: u8, parties: impl Into<String>) -> Self {
        Self { code, parties: parties.into() }
    }

    pub(crate) fn extension(code: u8, number: &str) -> Self {
        Self::new(code, ext(number))
    }

    pub(crate) fn body(&self) -> String {
        let reason = FAILURES.iter().find(|(code, _)| *code == self.code).map_or("", |(_, reason)| reason);
        event("FAILED", &format!("{}  <err code=\"{}\" reason=\"{reason}\" />\n", self.parties, self.code))
    }
}

pub(crate) fn event(attribute: &str, body: &str) -> String {
    format!("{DECLARATION}<Event attribute=\"{attribute}\">\n{body}</Event>\n")
}

pub(crate) fn status(body: &str) -> String {
    format!("{DECLARATION}<Status>\n{body}</Status>\n")
}

pub(crate) fn document(root: &str, body: &str) -> String {
    format!("{DECLARATION}<{root}>\n{body}</{root}>\n")
}

/// Two roots, as the vendor prints them.
pub(crate) fn unauthorized(code: u16) -> String {
    let reason = match code {
        100 => "authentication failed",
        101 => "mandatory parameter missing",
        102 => "password validation failure",
        103 => "nonce timeout",
        _ => "unspecified",
    };
    format!("{DECLARATION}<unauthorized/>\n<err code=\"{code}\" reason=\"{reason}\"/>\n")
}

/// What a query tells of a call over a trunk, even if reports say less.
pub(crate) fn known(kind: &str, of: &Wire) -> String {
    let told = wire(kind, &Wire { bare: false, ..of.clone() });
    told.trim().trim_start_matches('<').trim_end_matches("/>").trim().to_owned()
}

pub(crate) fn nested(indent: usize, opening: &str, inside: &str) -> String {
    let blanks = " ".repeat(indent);
    let name = opening.split(' ').next().unwrap_or("");
    if inside.is_empty() {
        format!("{blanks}<{opening}/>\n")
    } else {
        format!("{blanks}<{opening}>\n{inside}{blanks}</{name}>\n")
    }
}

/// A member that holds only text.
pub(crate) fn member(indent: usize, name: &str, text: &str) -> String {
    let mut xml = " ".repeat(indent.saturating_sub(2));
    element(&mut xml, name, text);
    xml
}

pub(crate) fn with_id(name: &str, id: &str) -> String {
    format!("{name} id=\"{}\"", escaped(id))
}
