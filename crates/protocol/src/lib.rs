//! The wire dialects of the exchanges, without I/O: bytes in, facts out, and back.
//!
//! A body goes three steps: it is *decoded* to a typed report of its dialect ([`om::report`]), and
//! *translated* to [`Statement`]s that no longer know a vendor; *encoding* is the way back from a typed report
//! to bytes. [`decode`] does the first two at once and is all that an ingress needs.
//!
//! Devices are not ours to correct, so reading is tolerant: unknown elements, fields and reports are no
//! errors, blanks are trimmed, empty values are absent, misspelt names are known. What is not well formed is
//! an error that says where. Numbers and ids stay strings: leading zeros mean something.
//!
//! No clock, no random numbers, no sockets: the same body gives the same facts, at any time, on any node.

mod digest;
mod error;
mod limits;
pub mod mac;
mod object;
pub mod om;
mod redact;
pub mod sign;
mod sniff;
mod text;
mod time;
pub mod yeastar;
pub mod zycoo;

use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::fact::Statement;

pub use error::DecodeError;
pub use redact::redact;
pub use sniff::{is_om_command, sniff};
pub use text::decode_body;

/// A vendor's way of speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// New Rock OM: XML.
    Om,
    /// Yeastar S-series: JSON, in four generations.
    Yeastar,
    /// ZYCOO: objects as JSON, form or JavaScript literal.
    Zycoo,
}

impl Dialect {
    /// The name that configuration, interfaces and metrics use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Om => "om",
            Self::Yeastar => "yeastar",
            Self::Zycoo => "zycoo",
        }
    }
}

/// One message, understood: its statement, and what it says of its sender.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// What it states.
    pub statement: Statement,
    /// The device's hardware address as written, trimmed; [`mac::normalise`] makes it comparable.
    pub mac: Option<Text>,
    /// The device's serial number (Yeastar).
    pub sn: Option<Text>,
    /// The device's signature (OM).
    pub auth: Option<sign::Auth>,
    /// It is a call record: it must be on disk before it is answered.
    pub is_record: bool,
}

/// What decoding needs to know beyond the bytes.
#[derive(Debug, Clone, Copy)]
pub struct DecodeContext<'a> {
    /// The device's zone, for the local times in its records.
    pub time_zone: &'a jiff::tz::TimeZone,
}

/// Understands one body: every message in it, in order. Usually one; an OM may send several documents, and a
/// document with its signature beside it counts as one message.
///
/// The content type decides nothing: devices leave it out or set it by habit, and the bytes tell more surely.
///
/// # Errors
/// When the body is not well formed or exceeds a limit; then nothing of it is taken.
pub fn decode(
    dialect: Dialect,
    _content_type: Option<&str>,
    body: &[u8],
    cx: &DecodeContext<'_>,
) -> Result<Vec<Decoded>, DecodeError> {
    match dialect {
        Dialect::Om => Ok(om::decode(body)?.into_iter().map(|message| om::translate(message, cx)).collect()),
        Dialect::Yeastar => {
            Ok(yeastar::decode(body)?.into_iter().map(|message| yeastar::translate(message, cx)).collect())
        }
        Dialect::Zycoo => {
            Ok(zycoo::decode(body)?.into_iter().map(|message| zycoo::translate(message, cx)).collect())
        }
    }
}
