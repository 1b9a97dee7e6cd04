//! What is known of a queue.

use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::id::CallId;
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{Basis, GroupView, WaitingView};

use crate::entity::{Doubt, Reply, Told};

/// A call that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Waiting {
    call: CallId,
    from: Option<Text>,
    since: Timestamp,
    /// The device's own count when it entered.
    count: Option<u32>,
}

/// A queue's state; see the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueState {
    id: Text,
    group: Option<u32>,
    waiting: Vec<Waiting>,
    heard_at: Option<Timestamp>,
}

impl QueueState {
    /// A queue in which, as far as is known, nobody waits.
    #[must_use]
    pub fn new(id: Text) -> Self {
        Self { id, group: None, waiting: Vec::new(), heard_at: None }
    }

    /// What the device calls it.
    #[must_use]
    pub fn id(&self) -> &Text {
        &self.id
    }

    /// The class it is counted in: how many wait, at most 255.
    #[must_use]
    pub fn class(&self) -> u8 {
        u8::try_from(self.waiting.len()).unwrap_or(u8::MAX)
    }

    /// The group's number, once it is known.
    #[must_use]
    pub fn group(&self) -> Option<u32> {
        self.group
    }

    /// Takes what it is told and says what changed.
    pub fn apply(&mut self, now: Timestamp, doubt: &Doubt, told: Told) -> Reply {
        let before = self.class();
        let mut reply = Reply::default();
        match told {
            Told::CallEntered { call, from, count } => self.entered(now, doubt, call, from, count),
            Told::CallLeft { call } => {
                if let Some(i) = self.waiting.iter().position(|w| w.call == call) {
                    reply.waited = Some(now.since(self.waiting.remove(i).since));
                }
            }
            Told::GroupLearned { group } => self.group = Some(group),
            Told::DeviceRestarted => self.waiting.clear(),
            _ => {}
        }
        self.heard_at = Some(now);
        reply.group = self.group;
        if self.class() != before {
            reply.class = Some((before, self.class()));
        }
        reply
    }

    fn entered(
        &mut self,
        now: Timestamp,
        doubt: &Doubt,
        call: CallId,
        from: Option<Text>,
        count: Option<u32>,
    ) {
        if self.waiting.iter().any(|w| w.call == call) {
            return;
        }
        // Two that entered at nearly the same time may have overtaken each other on the way; the device's
        // count knows who was first.
        let overtaken =
            |w: &Waiting| count.is_some() && w.count > count && now.since(w.since) <= doubt.overtake;
        let mut place = self.waiting.len();
        while place > 0 && overtaken(&self.waiting[place - 1]) {
            place -= 1;
        }
        self.waiting.insert(place, Waiting { call, from, since: now, count });
    }

    /// The place of a call, from 1, and how many wait.
    #[must_use]
    pub fn place(&self, call: CallId) -> (Option<usize>, usize) {
        (self.waiting.iter().position(|w| w.call == call).map(|i| i + 1), self.waiting.len())
    }

    /// What a reader sees.
    #[must_use]
    pub fn view(&self, fresh_from: Timestamp) -> GroupView {
        let stale = self.heard_at.is_some_and(|at| at < fresh_from);
        let waiting: Vec<_> = self
            .waiting
            .iter()
            .enumerate()
            .map(|(i, w)| WaitingView { call: w.call, from: w.from.clone(), position: i + 1, since: w.since })
            .collect();
        GroupView {
            group: self.group,
            queue_id: self.id.clone(),
            members: None,
            distribution: None,
            voice_file: None,
            waiting_count: waiting.len(),
            waiting,
            basis: if stale { Basis::Stale } else { Basis::Inferred },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchroom_domain::id::{IdSeed, Minter};

    fn froms(queue: &QueueState) -> Vec<String> {
        let view = queue.view(Timestamp(0));
        view.waiting.iter().map(|w| w.from.clone().unwrap_or_default().to_string()).collect()
    }

    #[test]
    fn keeps_the_order_that_the_device_counted() {
        let mut ids = Minter::new(IdSeed { at: Timestamp(5), entropy: 3 });
        let mut queue = QueueState::new("6".into());
        let mut enter = |queue: &mut QueueState, at, from: &str, count| {
            let call = CallId(ids.mint());
            let told = Told::CallEntered { call, from: Some(from.into()), count: Some(count) };
            queue.apply(Timestamp(at), &Doubt::default(), told);
            call
        };
        let second = enter(&mut queue, 1000, "second", 2);
        enter(&mut queue, 1400, "first", 1);
        enter(&mut queue, 9000, "third", 3);
        assert_eq!(froms(&queue), ["first", "second", "third"]);
        let reply = queue.apply(Timestamp(31_000), &Doubt::default(), Told::CallLeft { call: second });
        assert_eq!(reply.waited.map(switchroom_domain::time::Millis::seconds), Some(30.0));
        assert_eq!(froms(&queue), ["first", "third"]);
        let again = queue.apply(Timestamp(31_000), &Doubt::default(), Told::CallLeft { call: second });
        assert_eq!(again.waited, None);
    }
}
