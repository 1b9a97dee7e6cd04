//! New Rock's digital signature (chapters 4.4.2 and 4.5): `md5(password + nonce + timestamp)` in hex.
//!
//! The body is not part of what is signed, so a captured `<Auth>` fits any message for as long as its
//! timestamp is accepted; freshness and nonces are for the receiver to judge.

use std::fmt;

use subtle::ConstantTimeEq;
use switchroom_domain::Text;

use crate::digest::md5_hex;

/// The `<Auth>` of a message, as written. What is missing is empty, and verifies with no password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// A random text, at most 32 characters by the document.
    pub nonce: Text,
    /// Seconds since 1970 by the sender's clock.
    pub timestamp: Text,
    /// 32 hex digits.
    pub signature: Text,
}

/// Leaves the signature out: without a time limit on the device it is as good as the password.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("nonce", &self.nonce)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

/// Whether `auth` was made with `password`. Takes the same time whether it fails early or late; upper-case
/// hex digits are taken as lower-case ones.
#[must_use]
pub fn verify(password: &str, auth: &Auth) -> bool {
    let expected = digest(password, &auth.nonce, &auth.timestamp);
    let given = auth.signature.to_ascii_lowercase();
    bool::from(expected[..].ct_eq(given.as_bytes()))
}

/// The signature for a message: 32 lower-case hex digits.
#[must_use]
pub fn sign(password: &str, nonce: &str, timestamp: &str) -> Text {
    digest(password, nonce, timestamp).iter().map(|digit| char::from(*digit)).collect()
}

fn digest(password: &str, nonce: &str, timestamp: &str) -> [u8; 32] {
    md5_hex([password.as_bytes(), nonce.as_bytes(), timestamp.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Password, nonce, timestamp, signature: chapter 4.5, and a command of a working client.
    const VECTORS: [(&str, &str, &str, &str); 2] = [
        ("123456", "2E8E52C6", "1498542290", "24fe6019c3f284789f8cfacc3446e7ed"),
        ("123456", "23", "23", "f42c335f75c1ea8577e98cbe3eeffbb3"),
    ];

    #[test]
    fn signs_as_the_devices_do() {
        for (password, nonce, timestamp, signature) in VECTORS {
            assert_eq!(sign(password, nonce, timestamp), signature);
            let mut auth =
                Auth { nonce: nonce.into(), timestamp: timestamp.into(), signature: signature.into() };
            assert!(verify(password, &auth));
            auth.signature.make_ascii_uppercase();
            assert!(verify(password, &auth));
            assert!(!verify("1234567", &auth));
        }
    }

    #[test]
    fn what_is_missing_or_of_another_length_fails() {
        assert!(!verify("", &Auth::default()));
        let forty = "890b422b75c1c5cb706e4f7921df1d94e69c17f4";
        let auth = Auth { nonce: "14314".into(), timestamp: "1455433892".into(), signature: forty.into() };
        assert!(!verify("123456", &auth));
    }

    #[test]
    fn debug_keeps_the_signature_to_itself() {
        let auth = Auth { signature: "24fe6019".into(), ..Auth::default() };
        assert!(!format!("{auth:?}").contains("24fe"));
    }
}
