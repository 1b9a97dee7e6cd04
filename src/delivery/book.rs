//! What a subscription has open, and in which order it goes out. Pure: the time is an argument.
//!
//! What is of one lane (for webhooks a call, or an entity of a device where there is no call; for targets a device) is
//! delivered one after the other, in the order of the log: as long as one is open those behind it wait. Lanes do not wait
//! for each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use switchroom_domain::Text;
use switchroom_domain::time::{Millis, Timestamp};

use crate::storage::deliveries::{Attempt, Delivery, State};

/// What is open for longer gets a row of its own in the store, so that the cursor there need not wait for it.
const ROW_AFTER: Millis = Millis(1000);

/// What is open; see the module.
#[derive(Debug, Default)]
pub struct Book {
    /// Every wanted event up to here was entered.
    read: u64,
    entries: BTreeMap<u64, Entry>,
    lanes: HashMap<Text, Lane>,
    /// First in their lane and not under way: when they are due.
    due: BTreeSet<(Timestamp, u64)>,
    under_way: usize,
    /// Settled beyond what was read: before a restart, or of what was open then.
    settled_before: BTreeSet<u64>,
    /// Entries without a row, in order; in the order in which they came.
    rowless: BTreeSet<u64>,
    /// Entries whose row is no longer true.
    changed: BTreeSet<u64>,
    /// Open because they were read, not because somebody asked for them again.
    first_time: BTreeSet<u64>,
    /// Deliveries that are settled and not yet written so.
    settled: Vec<Delivery>,
}

#[derive(Debug)]
struct Entry {
    delivery: Delivery,
    entered: Timestamp,
    due: Timestamp,
    under_way: bool,
}

#[derive(Debug, Default)]
struct Lane {
    open: BTreeSet<u64>,
    busy: bool,
}

impl Book {
    /// As it was written down: how far it was read, what was open, what was settled beyond.
    #[must_use]
    pub fn restored(
        read: u64,
        open: Vec<Delivery>,
        settled: impl IntoIterator<Item = u64>,
        now: Timestamp,
    ) -> Self {
        let mut book = Self { read, settled_before: settled.into_iter().collect(), ..Self::default() };
        for delivery in open {
            let (cursor, due) = (delivery.cursor, delivery.body.next_attempt_at.unwrap_or(now));
            book.insert(delivery, due, now);
            book.rowless.remove(&cursor);
        }
        book
    }

    /// How far the log was read.
    #[must_use]
    pub const fn read(&self) -> u64 {
        self.read
    }

    /// How many events are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.entries.len()
    }

    /// How many attempts are under way.
    #[must_use]
    pub const fn under_way(&self) -> usize {
        self.under_way
    }

    /// When the oldest event happened that is open, redeliveries apart.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        let first = self.first_time.first()?;
        self.entries.get(first).map(|entry| entry.delivery.at)
    }

    /// Are so many due now?
    #[must_use]
    pub fn has_due(&self, count: usize, now: Timestamp) -> bool {
        self.due.range(..=(now, u64::MAX)).nth(count.saturating_sub(1)).is_some()
    }

    /// When the next attempt is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How much would be written now.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.settled.len() + self.changed.len()
    }

    /// The log was read up to here; what was wanted of it was entered.
    pub fn read_up_to(&mut self, cursor: u64) {
        self.read = self.read.max(cursor);
        if self.settled_before.last().is_some_and(|last| *last <= self.read) {
            self.settled_before.clear();
        }
    }

    /// Enters an event that was read and is wanted; says whether it is new.
    pub fn enter(&mut self, delivery: Delivery, now: Timestamp) -> bool {
        let cursor = delivery.cursor;
        let known = cursor <= self.read
            || self.entries.contains_key(&cursor)
            || self.settled_before.contains(&cursor);
        if !known {
            self.insert(delivery, now, now);
        }
        self.read_up_to(cursor);
        !known
    }

    /// Opens an event that is to be delivered (again); one that is open is due now.
    pub fn again(&mut self, mut delivery: Delivery, now: Timestamp) {
        let cursor = delivery.cursor;
        if let Some(entry) = self.entries.get_mut(&cursor) {
            entry.delivery.body.failed = 0;
            self.changed.insert(cursor);
            self.reschedule(cursor, now);
            return;
        }
        delivery.state = State::Pending;
        delivery.body.failed = 0;
        delivery.body.again = true;
        delivery.body.next_attempt_at = None;
        delivery.body.note = None;
        self.insert(delivery, now, now);
        // Its row is written at once: nobody reads it from the log again.
        self.rowless.remove(&cursor);
        self.changed.insert(cursor);
    }

    fn insert(&mut self, delivery: Delivery, due: Timestamp, now: Timestamp) {
        let (cursor, name) = (delivery.cursor, delivery.body.lane.clone());
        if !delivery.body.again {
            self.first_time.insert(cursor);
        }
        self.entries.insert(cursor, Entry { delivery, entered: now, due, under_way: false });
        self.rowless.insert(cursor);
        self.in_lane(&name, |lane| {
            lane.open.insert(cursor);
        });
    }

    /// Changes a lane, and with it what of it is due.
    fn in_lane(&mut self, name: &Text, change: impl FnOnce(&mut Lane)) {
        let entries = &self.entries;
        let first = |lane: &Lane| {
            let cursor = lane.open.first().filter(|_| !lane.busy)?;
            Some((entries.get(cursor)?.due, *cursor))
        };
        let lane = self.lanes.entry(name.clone()).or_default();
        if let Some(before) = lane.open.first() {
            // Whenever it was due.
            if let Some(entry) = entries.get(before) {
                self.due.remove(&(entry.due, *before));
            }
        }
        change(lane);
        self.due.extend(first(lane));
        if lane.open.is_empty() && !lane.busy {
            self.lanes.remove(name);
        }
    }

    /// Makes an entry due at another time.
    fn reschedule(&mut self, cursor: u64, due: Timestamp) {
        let Some(entry) = self.entries.get_mut(&cursor) else { return };
        self.due.remove(&(entry.due, cursor));
        entry.due = due;
        entry.delivery.body.next_attempt_at = (!entry.delivery.body.attempts.is_empty()).then_some(due);
        let name = entry.delivery.body.lane.clone();
        self.in_lane(&name, |_| {});
    }

    /// Everything that waits is due now; with `anew` its schedule begins anew as well.
    pub fn forward(&mut self, anew: bool, now: Timestamp) {
        let waiting = self.entries.iter_mut().filter(|(_, entry)| !entry.under_way);
        let mut moved = Vec::new();
        for (cursor, entry) in waiting {
            if anew {
                entry.delivery.body.failed = 0;
            }
            if entry.due > now {
                moved.push(*cursor);
            }
        }
        for cursor in moved {
            self.reschedule(cursor, now);
            self.mark_changed(cursor);
        }
    }

    fn mark_changed(&mut self, cursor: u64) {
        if !self.rowless.contains(&cursor) {
            self.changed.insert(cursor);
        }
    }

    /// Begins the attempt that is due first; none when none is due.
    pub fn start(&mut self, now: Timestamp) -> Option<&Delivery> {
        let (at, cursor) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.due.remove(&(at, cursor));
        let entry = self.entries.get_mut(&cursor)?;
        entry.under_way = true;
        self.under_way += 1;
        if let Some(lane) = self.lanes.get_mut(&entry.delivery.body.lane) {
            lane.busy = true;
        }
        Some(&entry.delivery)
    }

    /// An attempt ended, and is made again at this time. Gives how often it has failed now; `attempt` is none when it was
    /// not for the receiver that it did not succeed.
    pub fn failed(&mut self, cursor: u64, attempt: Option<Attempt>) -> u32 {
        let Some(entry) = self.entries.get_mut(&cursor) else { return 0 };
        if let Some(attempt) = attempt {
            entry.delivery.attempted(attempt);
            entry.delivery.body.failed += 1;
        }
        entry.delivery.body.failed
    }

    /// When it happened that is open at this cursor; none for what is delivered again.
    #[must_use]
    pub fn happened(&self, cursor: u64) -> Option<Timestamp> {
        self.entries.get(&cursor).filter(|entry| !entry.delivery.body.again).map(|entry| entry.delivery.at)
    }

    /// After [`Self::failed`]: there is another attempt at this time.
    pub fn retry(&mut self, cursor: u64, at: Timestamp) {
        let Some(entry) = self.entries.get_mut(&cursor) else { return };
        entry.due = at;
        entry.delivery.body.next_attempt_at = Some(at);
        if std::mem::take(&mut entry.under_way) {
            self.under_way -= 1;
        }
        let name = entry.delivery.body.lane.clone();
        self.in_lane(&name, |lane| lane.busy = false);
        self.rowless.remove(&cursor);
        self.changed.insert(cursor);
    }

    /// An event is settled: the next of its lane may go.
    pub fn settle(&mut self, cursor: u64, state: State, attempt: Option<Attempt>, note: Option<String>) {
        let Some(entry) = self.entries.get(&cursor) else { return };
        let name = entry.delivery.body.lane.clone();
        self.in_lane(&name, |lane| {
            lane.open.remove(&cursor);
            lane.busy = false;
        });
        let Some(mut entry) = self.entries.remove(&cursor) else { return };
        if entry.under_way {
            self.under_way -= 1;
        }
        // It was open before a restart, and the log is not yet read again so far: it must not be entered anew then.
        if cursor > self.read {
            self.settled_before.insert(cursor);
        }
        self.first_time.remove(&cursor);
        self.rowless.remove(&cursor);
        self.changed.remove(&cursor);
        if let Some(attempt) = attempt {
            entry.delivery.attempted(attempt);
        }
        entry.delivery.state = state;
        entry.delivery.body.next_attempt_at = None;
        entry.delivery.body.note = note;
        self.settled.push(entry.delivery);
    }

    /// Notes events that are no longer in the log, and goes on after them.
    pub fn gap(&mut self, gap: Delivery) {
        self.read_up_to(gap.cursor);
        self.settled.push(gap);
    }

    /// What is to be written now: how far it has come, and the rows. They count as written from now on.
    pub fn changes(&mut self, now: Timestamp) -> (u64, Vec<Delivery>) {
        let mut rows = std::mem::take(&mut self.settled);
        let old = now.minus(ROW_AFTER);
        // They were entered in this order, so the first that is young ends it.
        while let Some(cursor) = self.rowless.first().copied() {
            if self.entries.get(&cursor).is_some_and(|entry| entry.entered > old) {
                break;
            }
            self.rowless.remove(&cursor);
            self.changed.insert(cursor);
        }
        for cursor in std::mem::take(&mut self.changed) {
            rows.extend(self.entries.get(&cursor).map(|entry| entry.delivery.clone()));
        }
        (self.rowless.first().map_or(self.read, |first| first - 1), rows)
    }
}
