//! The hub: where committed events are published, once, and every subscriber is a cursor over them.
//!
//! The last events are kept in memory up to a bound; who is further behind reads the store. Nothing is copied
//! for a subscriber, and a slow one holds nobody up.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use switchroom_actors::ports::SealedEvent;
use switchroom_domain::event::write_with_cursor;
use switchroom_domain::id::{CallId, DeviceId};
use tokio::sync::watch;

/// How many events stay in memory: a second's worth at full speed, minutes' worth in an ordinary house.
const KEPT: usize = 16_384;

/// An event that is committed.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its place in commit order.
    pub cursor: u64,
    /// The event.
    pub sealed: Arc<SealedEvent>,
}

impl Published {
    /// Writes its envelope with the cursor, as every stream gives it.
    pub fn write_json(&self, out: &mut String) {
        write_with_cursor(out, &self.sealed.envelope, self.cursor);
    }

    /// About how long its JSON is; never too short.
    #[must_use]
    pub fn json_len(&self) -> usize {
        self.sealed.envelope.len() + 40
    }
}

/// The hub; see the module.
#[derive(Debug)]
pub struct Hub {
    tail: RwLock<VecDeque<Published>>,
    latest: watch::Sender<u64>,
    /// The last report that is committed; it may have caused no event.
    logged: watch::Sender<u64>,
}

/// What a subscriber finds from its cursor on.
#[derive(Debug)]
pub enum Tail {
    /// These come next; none when it has seen everything.
    Events(Vec<Published>),
    /// The memory does not reach back so far: read the store.
    TooOld,
}

impl Hub {
    /// A hub that goes on after this cursor.
    #[must_use]
    pub fn new(latest: u64) -> Arc<Self> {
        Arc::new(Self {
            tail: RwLock::new(VecDeque::new()),
            latest: watch::Sender::new(latest),
            logged: watch::Sender::new(0),
        })
    }

    /// Publishes events that were just committed; their cursors go on from the last ones without a hole.
    pub fn publish(&self, events: Vec<Published>) {
        let Some(last) = events.last().map(|last| last.cursor) else { return };
        let mut dropped = Vec::new();
        {
            let mut tail = self.tail.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            tail.extend(events);
            let surplus = tail.len().saturating_sub(KEPT);
            dropped.extend(tail.drain(..surplus));
        }
        self.latest.send_replace(last);
        // Freed after everyone was told.
        drop(dropped);
    }

    /// The cursor of the last event.
    #[must_use]
    pub fn latest(&self) -> u64 {
        *self.latest.borrow()
    }

    /// Keeps nothing in memory: the store was changed, and is to be read instead.
    pub fn forget(&self) {
        let forgotten =
            std::mem::take(&mut *self.tail.write().unwrap_or_else(std::sync::PoisonError::into_inner));
        drop(forgotten);
    }

    /// Tells when there is more.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// Reports up to this one are committed.
    pub fn log(&self, report: u64) {
        self.logged.send_if_modified(|last| std::mem::replace(last, report) != report);
    }

    /// Tells when there are more reports in the log.
    #[must_use]
    pub fn watch_reports(&self) -> watch::Receiver<u64> {
        self.logged.subscribe()
    }

    /// Which device a call is on, if an event of it is still in memory: looked for from the last one backwards.
    #[must_use]
    pub fn device_of_call(&self, call: CallId) -> Option<DeviceId> {
        let tail = self.tail.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let of_call = |published: &&Published| published.sealed.event.data.call == Some(call);
        tail.iter().rev().find(of_call).map(|published| published.sealed.event.device.clone())
    }

    /// Up to `limit` events after this cursor.
    #[must_use]
    pub fn after(&self, cursor: u64, limit: usize) -> Tail {
        let tail = self.tail.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        match tail.front() {
            None if cursor >= self.latest() => Tail::Events(Vec::new()),
            None => Tail::TooOld,
            Some(first) if cursor + 1 < first.cursor => Tail::TooOld,
            Some(first) => {
                let skip = usize::try_from(cursor + 1 - first.cursor).unwrap_or(usize::MAX);
                Tail::Events(tail.iter().skip(skip).take(limit).cloned().collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchroom_domain::event::{Event, EventData, EventKind};
    use switchroom_domain::id::{EventId, IdSeed, Minter};
    use switchroom_domain::time::Timestamp;

    fn events(from: u64, to: u64) -> Vec<Published> {
        let event = |cursor| {
            let id = EventId(Minter::new(IdSeed { at: Timestamp(1), entropy: cursor }).mint());
            let event = Event {
                id,
                device: DeviceId::new("d").expect("a device id"),
                kind: EventKind::CallEnded,
                at: Timestamp(1),
                sequence: cursor,
                subject: "x".into(),
                data: EventData::default(),
            };
            Published { cursor, sealed: SealedEvent::new(event) }
        };
        (from..=to).map(event).collect()
    }

    #[test]
    fn a_subscriber_gets_what_comes_after_its_cursor() {
        let hub = Hub::new(10);
        let cursors = |tail| match tail {
            Tail::Events(events) => events.iter().map(|e: &Published| e.cursor).collect::<Vec<_>>(),
            Tail::TooOld => vec![0],
        };
        assert!(cursors(hub.after(10, 9)).is_empty());
        assert_eq!(cursors(hub.after(9, 9)), [0], "what came before the start is in the store");
        hub.publish(events(11, 14));
        assert_eq!(cursors(hub.after(10, 9)), [11, 12, 13, 14]);
        assert_eq!(cursors(hub.after(12, 1)), [13]);
        assert!(cursors(hub.after(14, 9)).is_empty());
        assert_eq!(cursors(hub.after(9, 9)), [0]);
        assert_eq!(hub.latest(), 14);
    }

    #[test]
    fn the_memory_is_bounded() {
        let hub = Hub::new(0);
        hub.publish(events(1, KEPT as u64 + 5));
        assert!(matches!(hub.after(0, 1), Tail::TooOld));
        assert!(matches!(hub.after(5, 1), Tail::Events(e) if e[0].cursor == 6));
    }
}
