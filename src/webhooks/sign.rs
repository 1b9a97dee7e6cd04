//! Signatures of [Standard Webhooks](https://www.standardwebhooks.com): HMAC-SHA256 over id, time and body.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use switchroom_domain::time::{Millis, Timestamp};

/// What a secret begins with where people see it.
const PREFIX: &str = "whsec_";
/// How long the secret of before goes on signing after a new one was made.
const BOTH: Millis = Millis::from_secs(24 * 3600);
/// So many secrets sign at a time.
pub const MOST: usize = 5;

/// The secrets of a webhook, as they are encrypted. Only a receiver is to know them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// In base64, as the receiver has it after `whsec_`.
    current: String,
    /// The one of before, and until when it signs too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<(String, i64)>,
    /// Those before that one, in the same way, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<(String, i64)>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// A random secret of 32 bytes.
    #[must_use]
    pub fn random() -> Self {
        Self { current: STANDARD.encode(crate::random::bytes::<32>()), previous: None, earlier: Vec::new() }
    }

    /// The secret as the receiver is shown it, once.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{PREFIX}{}", self.current)
    }

    /// A new secret; the one of before signs too for 24 hours, as those before it do that are not as old yet. None if
    /// too many would.
    #[must_use]
    pub fn rotated(&self, now: Timestamp) -> Option<Self> {
        let earlier: Vec<_> = self.before(now).cloned().collect();
        // With the new one, and the one that was current.
        let fits = earlier.len() + 2 <= MOST;
        let previous = Some((self.current.clone(), now.plus(BOTH).0));
        fits.then(|| Self { previous, earlier, ..Self::random() })
    }

    /// Those of before that still sign, the newest first.
    fn before(&self, now: Timestamp) -> impl Iterator<Item = &(String, i64)> {
        self.previous.iter().chain(&self.earlier).filter(move |(_, until)| now.0 < *until)
    }

    /// The value of `webhook-signature`: a signature by each secret that counts at this time. `at` is the value of
    /// `webhook-timestamp`, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, id: &str, at: i64, body: &str, now: Timestamp) -> String {
        let mut signatures = one(&self.current, id, at, body);
        for (secret, _) in self.before(now) {
            signatures.push(' ');
            signatures.push_str(&one(secret, id, at, body));
        }
        signatures
    }
}

fn one(secret: &str, id: &str, at: i64, body: &str) -> String {
    // It was made here, so it is base64; another would only make a signature that does not fit.
    let key = STANDARD.decode(secret).unwrap_or_default();
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    context.update(format!("{id}.{at}.").as_bytes());
    context.update(body.as_bytes());
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(current: &str) -> Secrets {
        Secrets { current: current.to_owned(), previous: None, earlier: Vec::new() }
    }

    /// The example of the specification.
    #[test]
    fn it_signs_as_the_specification_does() {
        let secrets = secrets("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature = secrets.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            Timestamp(0),
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn after_a_rotation_both_sign_for_a_day() {
        let old = secrets("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let new = old.rotated(Timestamp(1000)).expect("a new one");
        assert_ne!(new.shown(), old.shown());
        let sign = |secrets: &Secrets, now| secrets.sign("a", 1, "{}", Timestamp(now));
        let (both, later) = (sign(&new, 1000 + BOTH.0 - 1), sign(&new, 1000 + BOTH.0));
        assert_eq!(both, format!("{later} {}", sign(&old, 0)));
    }

    #[test]
    fn each_of_several_rotations_leaves_its_day_to_the_secrets_of_before() {
        let sign = |secrets: &Secrets, now| secrets.sign("a", 1, "{}", Timestamp(now));
        let first = secrets("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let mut now = first.clone();
        for n in 1..MOST {
            now = now.rotated(Timestamp(n as i64)).expect("a new one");
            let text = sign(&now, 10);
            assert_eq!(text.split(' ').count(), n + 1);
            assert!(text.ends_with(&sign(&first, 0)), "the first signs still");
        }
        assert!(now.rotated(Timestamp(10)).is_none(), "one more would be too many");
        // The first has had its day.
        let later = now.rotated(Timestamp(BOTH.0 + 1)).expect("a new one");
        assert_eq!(sign(&later, BOTH.0 + 1).split(' ').count(), MOST);
        assert!(!sign(&later, BOTH.0 + 1).contains(&sign(&first, 0)));
        // As it was written by versions that knew one secret of before.
        let old: Secrets =
            serde_json::from_str(r#"{"current":"YQ==","previous":["Yg==",5]}"#).expect("it is read");
        assert_eq!(sign(&old, 4).split(' ').count(), 2);
    }

    #[test]
    fn a_secret_is_shown_only_when_asked_for() {
        let secrets = Secrets::random();
        assert_eq!(STANDARD.decode(&secrets.current).map(|bytes| bytes.len()), Ok(32));
        assert_eq!(secrets.shown(), format!("whsec_{}", secrets.current));
        assert!(!format!("{secrets:?}").contains(&secrets.current));
    }
}
