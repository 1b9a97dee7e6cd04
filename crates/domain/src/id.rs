//! Ids. What a device calls a thing (`visitor`, `callid`, …) is only valid for a while and only on that
//! device; the ids here are ours, and last.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::Text;
use crate::time::Timestamp;

/// A device as users name it: letters, digits, `.`, `_` and `-`, at most 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct DeviceId(Text);

/// Why a text cannot be a device's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a device id has 1 to 64 letters, digits, '.', '_' or '-', and does not begin with '.'; got {0:?}")]
pub struct BadDeviceId(pub String);

impl DeviceId {
    /// The id, or why not.
    ///
    /// # Errors
    /// When the text is empty, too long, or has a character that would not survive a URL or a file name.
    pub fn new(text: impl AsRef<str>) -> Result<Self, BadDeviceId> {
        let text = text.as_ref();
        let fits = (1..=64).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if fits { Ok(Self(text.into())) } else { Err(BadDeviceId(text.chars().take(80).collect())) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A hash that is the same in every release (FNV-1a): it goes into ids that a log must give again.
    #[must_use]
    pub fn stable_hash(&self) -> u64 {
        let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        self.0.bytes().fold(0xCBF2_9CE4_8422_2325, add)
    }
}

impl TryFrom<Text> for DeviceId {
    type Error = BadDeviceId;
    fn try_from(text: Text) -> Result<Self, BadDeviceId> {
        Self::new(text)
    }
}

impl From<DeviceId> for Text {
    fn from(id: DeviceId) -> Self {
        id.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A call, from its first report to its last record; ours, never a device's.
    CallId
);
uuid_id!(
    /// One party's part in a call.
    LegId
);
uuid_id!(
    /// An event; who sees an id twice has seen the event twice.
    EventId
);
uuid_id!(
    /// A raw report in the log.
    ReportId
);
uuid_id!(
    /// A call record.
    CdrId
);
uuid_id!(
    /// A command to a device.
    #[derive(Default)]
    CommandId
);

/// What ids are made from: the receive time and a random number that were logged with the report. State
/// mints no randomness of its own, so the same log gives the same ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdSeed {
    /// Receive time of the report.
    pub at: Timestamp,
    /// Random, drawn when the report came in.
    pub entropy: u64,
}

/// Mints the ids that one report causes, in a fixed order.
#[derive(Debug, Clone)]
pub struct Minter {
    seed: IdSeed,
    next: u64,
}

impl Minter {
    /// A minter for one report. Its first id is the report's own.
    #[must_use]
    pub const fn new(seed: IdSeed) -> Self {
        Self { seed, next: 0 }
    }

    /// The id of the report itself (the first of its ids, always the same).
    #[must_use]
    pub fn report_id(seed: IdSeed) -> ReportId {
        ReportId(Self::nth(seed, 0))
    }

    /// Was this id minted of that seed?
    #[must_use]
    pub fn has_minted(seed: IdSeed, id: Uuid) -> bool {
        // The count stands in it.
        let bytes = id.as_bytes();
        let n = (u64::from(bytes[6] & 0x0F) << 8) | u64::from(bytes[7]);
        Self::nth(seed, n) == id
    }

    /// The next UUIDv7: time from the seed, the rest mixed from the seed and a count.
    pub fn mint(&mut self) -> Uuid {
        self.next += 1;
        Self::nth(self.seed, self.next)
    }

    fn nth(seed: IdSeed, n: u64) -> Uuid {
        let low = mix(seed.entropy ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let high = mix(low ^ seed.entropy.rotate_left(32));
        let mut random = [0; 10];
        random[..8].copy_from_slice(&low.to_be_bytes());
        random[8..].copy_from_slice(&high.to_be_bytes()[..2]);
        // `rand_a` holds the count, so that the ids of one report sort in the order they were minted.
        random[0] = (n >> 8) as u8 & 0x0F;
        random[1] = n as u8;
        Builder::from_unix_timestamp_millis(seed.at.0.max(0) as u64, &random).into_uuid()
    }
}

/// The finaliser of SplitMix64: every bit of the input reaches every bit of the output.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_id_survives_urls_and_file_names() {
        for good in ["sim-1", "a", "00:0E".replace(':', "-").as_str(), "hotel_7.om"] {
            assert!(DeviceId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "..", ".x", "ü", "a b", &"x".repeat(65)] {
            assert!(DeviceId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_same_seed_mints_the_same_ids_in_order() {
        let seed = IdSeed { at: Timestamp(1_795_264_245_123), entropy: 42 };
        let ids = |mut m: Minter| (0..300).map(|_| m.mint()).collect::<Vec<_>>();
        let (first, second) = (ids(Minter::new(seed)), ids(Minter::new(seed)));
        assert_eq!(first, second);
        assert!(first.is_sorted() && first.windows(2).all(|w| w[0] != w[1]));
        assert!(first.iter().all(|id| id.get_version_num() == 7));
        let other = ids(Minter::new(IdSeed { entropy: 43, ..seed }));
        assert!(first.iter().all(|id| !other.contains(id)));
        assert!(first.iter().all(|id| Minter::has_minted(seed, *id)));
        assert!(other.iter().all(|id| !Minter::has_minted(seed, *id)));
    }
}
