//! What became of a report. Every report gets exactly one outcome, so that "received" is always the sum of
//! the outcomes.

use serde::{Deserialize, Serialize};

/// What became of a report that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Logged and applied.
    Accepted,
    /// Known to be a repeat: a record with the same id and body, a resend, a nonce under strict proof.
    Duplicate,
    /// From a device that nobody adopted.
    Unadopted,
    /// Its proof failed.
    Unauthorized,
    /// It could not be read, as the answer says, or its cell died of it twice and it was set aside.
    Malformed,
    /// Its device sent faster than it could be followed, or the store was stalled for too long.
    Shed,
}

impl Outcome {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 6] =
        [Self::Accepted, Self::Duplicate, Self::Unadopted, Self::Unauthorized, Self::Malformed, Self::Shed];

    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Unadopted => "unadopted",
            Self::Unauthorized => "unauthorized",
            Self::Malformed => "malformed",
            Self::Shed => "shed",
        }
    }
}
