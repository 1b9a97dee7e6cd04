//! Randomness that nobody can guess: tokens, paths, seeds.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

/// So many random bytes.
///
/// # Panics
/// When the operating system has no randomness: nothing that is meant to be secret could be then.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "without randomness no token may be made; better to stop")]
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// A URL-safe token of this many random bytes (at most 32), beginning with a letter or digit.
#[must_use]
pub fn token(length: usize) -> String {
    loop {
        let text = URL_SAFE_NO_PAD.encode(&bytes::<32>()[..length.min(32)]);
        if text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return text;
        }
    }
}

/// A random number.
#[must_use]
pub fn number() -> u64 {
    u64::from_le_bytes(bytes())
}
