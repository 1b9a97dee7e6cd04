//! Proving that a report is its device's own.
//!
//! The vendor's `Auth` is `md5(password + nonce + timestamp)`; the body is not part of it. A device may use one
//! for as long as its `API_TIMEOUT` allows, for ever by default, and its clock may be years off. So a signature
//! is accepted again, but only from the address that it was first proven from, and the difference of the
//! clocks is learned from the first message that carries a new one. With `strict`, each nonce counts once, and
//! must be fresh by the learned offset.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::time::Timestamp;
use switchroom_protocol::sign::{self, Auth};

use crate::devices::{Device, ProofKind};

/// How many signatures are remembered for one device.
const REMEMBERED: usize = 4096;
/// How many of them are written down.
const KEPT: usize = 256;
/// The difference of clocks may drift so far, in seconds, before it is taken for another one.
const DRIFT: i64 = 5;

/// What a device's proof remembers.
#[derive(Debug, Default)]
pub struct ProofState {
    proven: HashMap<Text, IpAddr>,
    order: VecDeque<Text>,
    offset: Option<i64>,
    /// It knows more than was written down.
    changed: bool,
}

/// What is written down of it, so that a restart forgets nothing that matters.
#[derive(Serialize, Deserialize)]
struct Kept {
    offset: Option<i64>,
    proven: Vec<(Text, IpAddr)>,
}

/// How a proof went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the device's own.
    Proven,
    /// It is not, or cannot be told; the text says why.
    Refused(&'static str),
    /// Under strict proof: the nonce was used before.
    Repeated,
}

impl ProofState {
    /// The device's clock minus ours, in seconds.
    #[must_use]
    pub fn clock_offset(&self) -> Option<i64> {
        self.offset
    }

    /// What is to be written down, if anything has changed since the last time: the clock's offset and the signatures
    /// that came last. Under strict proof older ones are refused by their age.
    pub fn take_changes(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let last = self.order.iter().skip(self.order.len().saturating_sub(KEPT));
        let proven = last.filter_map(|s| self.proven.get(s).map(|source| (s.clone(), *source))).collect();
        serde_json::to_string(&Kept { offset: self.offset, proven }).ok()
    }

    /// As it was written down.
    #[must_use]
    pub fn restore(kept: &str) -> Self {
        let mut state = Self::default();
        match serde_json::from_str(kept) {
            Ok(Kept { offset, proven }) => {
                state.offset = offset;
                proven.into_iter().for_each(|(key, source)| state.remember(key, source));
                state.changed = false;
            }
            Err(error) => tracing::error!(%error, "what a device's proof remembered cannot be read"),
        }
        state
    }

    fn remember(&mut self, key: Text, source: IpAddr) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.proven.remove(&oldest);
        }
        self.changed = true;
        self.order.push_back(key.clone());
        self.proven.insert(key, source);
    }

    fn check(&mut self, auth: &Auth, source: IpAddr, now: Timestamp, strict: bool, max_age: u32) -> Verdict {
        // The signature covers nonce and timestamp, so it names the pair.
        let key = key(&auth.signature);
        let known = self.proven.get(&key).copied();
        match known {
            Some(_) if strict => return Verdict::Repeated,
            Some(first) if first != source => {
                return Verdict::Refused("this signature was first proven from another address");
            }
            Some(_) => return Verdict::Proven,
            None => {}
        }
        let ahead =
            auth.timestamp.parse::<i64>().ok().map(|theirs| theirs.saturating_sub(now.0.div_euclid(1000)));
        if strict {
            let Some(ahead) = ahead else { return Verdict::Refused("the timestamp is no number of seconds") };
            let offset = *self.offset.get_or_insert(ahead);
            if ahead.abs_diff(offset) > u64::from(max_age) {
                return Verdict::Refused("the signature is not fresh");
            }
        }
        match (self.offset, ahead) {
            (Some(known), Some(ahead)) if known.abs_diff(ahead) <= DRIFT.unsigned_abs() => {}
            // Under strict proof the offset only moves with the clock's drift; an old message must not move it.
            (Some(_), _) if strict => {}
            (_, Some(ahead)) => self.offset = Some(ahead),
            (_, None) => {}
        }
        self.remember(key, source);
        Verdict::Proven
    }
}

/// What a signature is remembered by: a hash, because whoever reads what is written down must not be able to send it.
fn key(signature: &str) -> Text {
    let hash = ring::digest::digest(&ring::digest::SHA256, signature.as_bytes());
    hex::encode(hash.as_ref().get(..16).unwrap_or_default()).into()
}

/// Proves a report.
#[must_use]
pub fn prove(device: &Device, by_path: bool, source: IpAddr, auth: Option<&Auth>, now: Timestamp) -> Verdict {
    let proof = device.settings.proof;
    match proof.kind {
        ProofKind::None => Verdict::Proven,
        ProofKind::Path if by_path => Verdict::Proven,
        ProofKind::Path => {
            Verdict::Refused("this device proves itself by its report path; send to that path")
        }
        ProofKind::Source if device.settings.source_address() == Some(source) => Verdict::Proven,
        ProofKind::Source => {
            Verdict::Refused("this device proves itself by its address; this is another one")
        }
        ProofKind::Signature => {
            let Some(auth) = auth else {
                return Verdict::Refused("this device signs its reports; this one is not signed");
            };
            let password = device.secrets.report_password.as_deref().unwrap_or_default();
            if password.is_empty() || !sign::verify(password, auth) {
                return Verdict::Refused("the signature does not fit the password");
            }
            let mut state = device.proof.lock().unwrap_or_else(PoisonError::into_inner);
            state.check(auth, source, now, proof.strict, proof.max_age)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(nonce: &str, timestamp: i64) -> Auth {
        let timestamp = timestamp.to_string();
        let signature = sign::sign("123456", nonce, &timestamp);
        Auth { nonce: nonce.into(), timestamp: timestamp.into(), signature }
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    #[test]
    fn a_signature_is_accepted_again_from_where_it_was_proven() {
        let mut state = ProofState::default();
        let one = auth("23", 23);
        assert_eq!(state.check(&one, HERE, at(1_700_000_000), false, 300), Verdict::Proven);
        assert_eq!(state.check(&one, HERE, at(1_900_000_000), false, 300), Verdict::Proven, "for ever");
        assert!(matches!(state.check(&one, ELSEWHERE, at(1_700_000_001), false, 300), Verdict::Refused(_)));
        assert_eq!(state.clock_offset(), Some(23 - 1_700_000_000));
    }

    #[test]
    fn strict_takes_a_nonce_once_and_fresh() {
        let mut state = ProofState::default();
        // The device's clock is a year behind: that is learned.
        let year = 31_536_000;
        let now = 1_700_000_000;
        assert_eq!(state.check(&auth("a", now - year), HERE, at(now), true, 300), Verdict::Proven);
        assert_eq!(state.check(&auth("a", now - year), HERE, at(now), true, 300), Verdict::Repeated);
        assert_eq!(state.check(&auth("b", now - year + 60), HERE, at(now + 61), true, 300), Verdict::Proven);
        let old = state.check(&auth("c", now - year), HERE, at(now + 301), true, 300);
        assert!(matches!(old, Verdict::Refused(_)));
        assert_eq!(state.clock_offset(), Some(-year));
    }

    #[test]
    fn a_restart_forgets_neither_the_clock_nor_what_was_used() {
        let (year, now) = (31_536_000, 1_700_000_000);
        let mut state = ProofState::default();
        assert_eq!(state.take_changes(), None);
        assert_eq!(state.check(&auth("a", now - year), HERE, at(now), true, 300), Verdict::Proven);
        let mut again = ProofState::restore(&state.take_changes().expect("it has changed"));
        assert_eq!((again.take_changes(), again.clock_offset()), (None, Some(-year)));
        assert_eq!(again.check(&auth("a", now - year), HERE, at(now + 1), true, 300), Verdict::Repeated);
        let captured = auth("b", now - year - 600);
        assert!(matches!(again.check(&captured, HERE, at(now + 1), true, 300), Verdict::Refused(_)));
        // Nor, without strict proof, from where a signature came first.
        let mut state = ProofState::default();
        assert_eq!(state.check(&auth("c", 5), HERE, at(5), false, 300), Verdict::Proven);
        let mut again = ProofState::restore(&state.take_changes().expect("it has changed"));
        assert!(matches!(again.check(&auth("c", 5), ELSEWHERE, at(6), false, 300), Verdict::Refused(_)));
        assert_eq!(ProofState::restore("nonsense").clock_offset(), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut state = ProofState::default();
        for i in 0..REMEMBERED + 100 {
            assert_eq!(state.check(&auth(&i.to_string(), 5), HERE, at(5), false, 300), Verdict::Proven);
        }
        assert_eq!((state.proven.len(), state.order.len()), (REMEMBERED, REMEMBERED));
    }
}
