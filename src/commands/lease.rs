//! Which application controls a call.
//!
//! A device takes commands from whoever may command it, and two applications that both see a caller come in would both
//! act on it. So the first one that does has the call for itself, until the call ends or nothing was heard of that
//! application for [`LASTS`]. Pure: the time, and the call that is live under the device's id, are given.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use switchroom_domain::Text;
use switchroom_domain::command::{Command, PartyRef};
use switchroom_domain::id::{CallId, DeviceId};

/// So long after its last command an application's call is free again.
pub const LASTS: Duration = Duration::from_secs(60);
/// Leases that are kept; what has run out is forgotten first.
const MOST: usize = 4096;

/// What the device calls a party of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Wire {
    /// Who called in.
    Visitor(Text),
    /// Who was called outside.
    Outer(Text),
}

/// Who has a call.
#[derive(Debug, Clone)]
struct Lease {
    holder: [u8; 32],
    until: Instant,
    /// The call, if it is known: wire ids are used again.
    call: Option<CallId>,
}

/// Another application has the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this call is controlled by another application; it is free when the call ends, or {seconds} s after that one's last command"
)]
pub struct Held {
    /// Until it is free at the latest.
    pub seconds: u64,
}

/// All leases.
#[derive(Debug, Default)]
pub struct Leases(HashMap<(DeviceId, Wire), Lease>);

/// By whom the calls are named that a command controls.
#[must_use]
pub fn controls(command: &Command) -> Vec<Wire> {
    let named = |party: &PartyRef| match party {
        PartyRef::Visitor { visitor } => Some(Wire::Visitor(visitor.clone())),
        PartyRef::Outer { outer } => Some(Wire::Outer(outer.clone())),
        _ => None,
    };
    match command {
        Command::Accept { visitor } | Command::Queue { visitor, .. } => vec![Wire::Visitor(visitor.clone())],
        Command::Connect { from: party, .. } | Command::Clear { party } | Command::Announce { party, .. } => {
            named(party).into_iter().collect()
        }
        Command::Verbatim { parties, .. } => parties.iter().filter_map(named).collect(),
        _ => Vec::new(),
    }
}

impl Leases {
    /// Takes the call for this application, or renews that. `call`: the one that is live under this id now. Says whether
    /// it is newly taken.
    ///
    /// # Errors
    /// When another application has it.
    pub fn take(
        &mut self,
        device: &DeviceId,
        wire: Wire,
        call: Option<CallId>,
        holder: [u8; 32],
        now: Instant,
    ) -> Result<bool, Held> {
        if self.0.len() >= MOST {
            self.0.retain(|_, lease| lease.until > now);
        }
        let place = (device.clone(), wire);
        let mut new = true;
        if let Some(lease) = self.0.get(&place) {
            let same_call = lease.call.is_none() || lease.call == call;
            if lease.holder != holder && same_call && lease.until > now {
                return Err(Held { seconds: lease.until.duration_since(now).as_secs() + 1 });
            }
            new = lease.holder != holder || !same_call;
        } else if self.0.len() >= MOST {
            // So many calls at once are not told apart any more; each may act on what it knows.
            return Ok(false);
        }
        self.0.insert(place, Lease { holder, until: now + LASTS, call });
        Ok(new)
    }

    /// Gives it back, if this application has it.
    fn give_back(&mut self, place: &(DeviceId, Wire), holder: [u8; 32]) {
        if self.0.get(place).is_some_and(|lease| lease.holder == holder) {
            self.0.remove(place);
        }
    }
}

/// A call that was taken for a command; given back unless that was done, because whoever did nothing controls nothing.
pub struct Taken<'a> {
    leases: &'a Mutex<Leases>,
    place: (DeviceId, Wire),
    holder: [u8; 32],
    kept: bool,
}

impl<'a> Taken<'a> {
    /// A call that was newly taken.
    pub const fn new(leases: &'a Mutex<Leases>, device: DeviceId, wire: Wire, holder: [u8; 32]) -> Self {
        Self { leases, place: (device, wire), holder, kept: false }
    }

    /// The command is done, or may be.
    pub const fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
            leases.give_back(&self.place, self.holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRM: [u8; 32] = [1; 32];
    const PMS: [u8; 32] = [2; 32];

    fn device() -> DeviceId {
        DeviceId::new("hotel-1").expect("an id")
    }

    fn call() -> CallId {
        CallId(uuid::Uuid::now_v7())
    }

    fn visitor(id: &str) -> Wire {
        Wire::Visitor(id.into())
    }

    #[test]
    fn a_call_is_one_applications_until_a_minute_after_its_last_command() {
        let (mut leases, start, one) = (Leases::default(), Instant::now(), Some(call()));
        let mut take = |wire: Wire, holder, at: u64| {
            leases.take(&device(), wire, one, holder, start + Duration::from_secs(at)).map(drop)
        };
        assert_eq!(take(visitor("1"), CRM, 0), Ok(()));
        assert_eq!(take(visitor("1"), PMS, 30), Err(Held { seconds: 31 }));
        assert_eq!(take(visitor("2"), PMS, 30), Ok(()), "another caller");
        assert_eq!(take(Wire::Outer("1".into()), PMS, 30), Ok(()), "an outer has ids of its own");
        assert_eq!(take(visitor("1"), CRM, 50), Ok(()));
        assert!(take(visitor("1"), PMS, 109).is_err(), "renewed");
        assert_eq!(take(visitor("1"), PMS, 110), Ok(()), "it has run out");
        assert!(take(visitor("1"), CRM, 111).is_err());
    }

    #[test]
    fn a_call_that_has_ended_is_nobodys() {
        let (mut leases, now, first, second) =
            (Leases::default(), Instant::now(), Some(call()), Some(call()));
        assert_eq!(leases.take(&device(), visitor("1"), first, CRM, now), Ok(true));
        assert!(leases.take(&device(), visitor("1"), first, PMS, now).is_err());
        assert_eq!(leases.take(&device(), visitor("1"), second, PMS, now), Ok(true), "the id was used again");
        // A call that no report has told of yet.
        assert_eq!(leases.take(&device(), visitor("2"), None, CRM, now), Ok(true));
        assert!(leases.take(&device(), visitor("2"), second, PMS, now).is_err());
        assert_eq!(leases.take(&device(), visitor("1"), None, CRM, now), Ok(true), "it is gone");
    }

    #[test]
    fn what_controls_a_call_names_it() {
        let read = |json: &str| controls(&serde_json::from_str(json).expect(json));
        assert_eq!(read(r#"{"command":"accept","visitor":"1"}"#), [visitor("1")]);
        assert_eq!(read(r#"{"command":"clear","party":{"outer":"2"}}"#), [Wire::Outer("2".into())]);
        let transfer = r#"{"command":"connect","from":{"visitor":"1"},"to":{"extension":"200"}}"#;
        assert_eq!(read(transfer), [visitor("1")]);
        assert_eq!(read(r#"{"command":"connect","from":{"extension":"1"},"to":{"extension":"200"}}"#), []);
        assert_eq!(read(r#"{"command":"query","target":{"visitor":"1"}}"#), []);
        let parties = vec![
            PartyRef::Visitor { visitor: "1".into() },
            PartyRef::number("130"),
            PartyRef::Outer { outer: "2".into() },
        ];
        let verbatim = Command::Verbatim { document: "<Transfer/>".into(), parties };
        assert_eq!(controls(&verbatim), [visitor("1"), Wire::Outer("2".into())]);
    }

    #[test]
    fn who_did_nothing_controls_nothing() {
        let (leases, now, one) = (Mutex::new(Leases::default()), Instant::now(), Some(call()));
        let take =
            |holder| leases.lock().expect("nobody panicked").take(&device(), visitor("1"), one, holder, now);
        assert_eq!(take(CRM), Ok(true));
        drop(Taken::new(&leases, device(), visitor("1"), CRM));
        assert_eq!(take(PMS), Ok(true), "it was given back");
        drop(Taken::new(&leases, device(), visitor("1"), CRM));
        assert_eq!(take(PMS), Ok(false), "it is not another's to give back");
        let mut kept = Taken::new(&leases, device(), visitor("1"), PMS);
        kept.keep();
        drop(kept);
        assert!(take(CRM).is_err());
    }

    #[test]
    fn leases_are_bounded() {
        let (mut leases, now) = (Leases::default(), Instant::now());
        for n in 0..MOST + 10 {
            assert!(leases.take(&device(), visitor(&n.to_string()), None, CRM, now).is_ok());
        }
        assert_eq!(leases.0.len(), MOST);
        assert_eq!(leases.take(&device(), visitor("new"), None, CRM, now + LASTS), Ok(true));
        assert_eq!(leases.0.len(), 1);
    }
}
