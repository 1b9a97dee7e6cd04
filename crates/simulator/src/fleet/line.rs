//! One device's line to the server: its reports in order, except those that the faults hold back
//! or double. A device has one such task; its queue is bounded, and what does not fit is lost, as
//! on a device whose network is too slow for it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::http::{Answer, Style, Target, Wire};
use super::kept::Kept;
use super::ledger::{Ledger, Parcel};
use crate::config::{Close, Dialect, FleetConfig};
use crate::dice::Dice;

/// Reports that may wait for one device's line.
pub(crate) const QUEUE: usize = 16_384;
/// Held-back reports under way at once, on connections of their own.
const AT_ONCE: usize = 64;
/// Messages that a kept connection may carry in one packet.
const IN_ONE_WRITE: usize = 4;
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Yeastar repeats this often at most, each time after twice the pause.
pub(crate) const REPEATS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A report to be sent, at once or after a while.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) parcel: Arc<Parcel>,
    pub(crate) hold: Option<Duration>,
}

/// What one device needs to send.
#[derive(Debug)]
pub(crate) struct Line {
    sender: Arc<Sender>,
    kept: Kept,
    /// An OM sends its records on a connection of their own (6.1, `CONTROL_TYPE`).
    kept_for_records: Kept,
    held: BinaryHeap<Reverse<(Instant, u64)>>,
    parcels: std::collections::HashMap<u64, Arc<Parcel>>,
    count: u64,
    dice: Dice,
}

/// The part that connections under way at once share.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) style: Style,
    pub(crate) target: Target,
    close: Close,
    separates_records: bool,
    /// Repeats a report until it is answered 200.
    pub(crate) repeats: bool,
    pub(crate) ledger: Arc<Ledger>,
}

impl Line {
    pub(crate) fn new(config: &FleetConfig, target: &Target, index: usize, ledger: Arc<Ledger>) -> Self {
        let repeats = config.dialect == Dialect::Yeastar;
        let sender = Sender {
            style: Style::new(config, target, index),
            target: target.clone(),
            // Who repeats until it is answered cannot leave before the answer.
            close: if repeats { Close::Late } else { config.close },
            separates_records: config.dialect == Dialect::Om,
            repeats,
            ledger,
        };
        Self {
            sender: Arc::new(sender),
            kept: Kept::default(),
            kept_for_records: Kept::default(),
            held: BinaryHeap::new(),
            parcels: std::collections::HashMap::new(),
            count: 0,
            dice: Dice::fork(config.seed ^ 0x11E5, index as u64),
        }
    }

    /// Sends until the queue is closed and nothing is held back any more.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Outgoing>) {
        let mut aside = JoinSet::new();
        let mut open = true;
        while open || !self.held.is_empty() {
            let due = self.held.peek().map(|Reverse((due, _))| *due);
            tokio::select! {
                biased;
                () = until(due), if due.is_some() => self.send_held(&mut aside).await,
                Some(_) = aside.join_next(), if !aside.is_empty() => {}
                outgoing = queue.recv(), if open => match outgoing {
                    Some(outgoing) => self.take(outgoing, &mut queue).await,
                    None => open = false,
                },
            }
        }
        while aside.join_next().await.is_some() {}
        self.hang_up().await;
    }

    /// Closes the kept connections, once what is owed on them has come.
    async fn hang_up(&mut self) {
        for mut kept in [std::mem::take(&mut self.kept), std::mem::take(&mut self.kept_for_records)] {
            kept.finish(&self.sender).await;
        }
    }

    async fn take(&mut self, outgoing: Outgoing, queue: &mut mpsc::Receiver<Outgoing>) {
        let Some(first) = self.hold_or_give(outgoing) else { return };
        if !first.long {
            self.send_alone(&first).await;
            return;
        }
        let mut batch = vec![first];
        let wanted = self.dice.between(1, IN_ONE_WRITE as u64) as usize;
        while batch.len() < wanted
            && let Ok(outgoing) = queue.try_recv()
        {
            batch.extend(self.hold_or_give(outgoing));
        }
        // Where a boot has changed the manner within the batch, the kept ones are the older ones.
        let (kept, alone): (Vec<_>, Vec<_>) = batch.into_iter().partition(|parcel| parcel.long);
        self.send_kept(kept).await;
        for parcel in alone {
            self.send_alone(&parcel).await;
        }
    }

    async fn send_alone(&mut self, parcel: &Parcel) {
        self.hang_up().await;
        let half = self.dice.chance(0.5);
        self.sender.send_short(parcel, half).await;
    }

    async fn send_kept(&mut self, batch: Vec<Arc<Parcel>>) {
        let of_their_own = |parcel: &Arc<Parcel>| self.sender.separates_records && parcel.report.is_cdr;
        let (records, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(of_their_own);
        self.kept.send(&self.sender, others).await;
        self.kept_for_records.send(&self.sender, records).await;
    }

    /// A report to be held is put aside; any other is given back.
    fn hold_or_give(&mut self, outgoing: Outgoing) -> Option<Arc<Parcel>> {
        let Some(hold) = outgoing.hold else { return Some(outgoing.parcel) };
        self.count += 1;
        self.held.push(Reverse((Instant::now() + hold, self.count)));
        self.parcels.insert(self.count, outgoing.parcel);
        None
    }

    /// Sends the report whose time has come, on a connection of its own if it can have one.
    async fn send_held(&mut self, aside: &mut JoinSet<()>) {
        let Some(Reverse((_, number))) = self.held.pop() else { return };
        let Some(parcel) = self.parcels.remove(&number) else { return };
        if parcel.long {
            self.send_kept(vec![parcel]).await;
            return;
        }
        let half = self.dice.chance(0.5);
        let sender = self.sender.clone();
        if aside.len() < AT_ONCE {
            aside.spawn(async move { sender.send_short(&parcel, half).await });
        } else {
            sender.send_short(&parcel, half).await;
        }
    }
}

impl Sender {
    /// Where a report goes.
    pub(crate) fn target<'a>(&'a self, parcel: &'a Parcel) -> &'a Target {
        parcel.to.as_deref().unwrap_or(&self.target)
    }

    /// One report on one connection; Yeastar tries again until it is answered 200.
    async fn send_short(&self, parcel: &Parcel, half: bool) {
        let mut written = false;
        for attempt in 0..=REPEATS {
            if attempt > 0 {
                tokio::time::sleep(pause(attempt)).await;
            }
            let answer = self.exchange(parcel, half, &mut written).await;
            if !self.repeats || answer.is_some_and(|code| code == 200) {
                break;
            }
        }
        if !written {
            self.ledger.failed(parcel);
        }
    }

    /// Connects, writes, and reads as much as the device cares to; the status, if one came.
    async fn exchange(&self, parcel: &Parcel, half: bool, written: &mut bool) -> Option<u16> {
        use tokio::io::AsyncWriteExt;
        let mut wire = Wire::open(self.target(parcel)).await.ok()?;
        wire.write(&self.style.request_by(parcel)).await.ok()?;
        if std::mem::replace(written, true) {
            self.ledger.repeated()
        } else {
            self.ledger.sent(parcel)
        }
        if self.close == Close::Early && !half {
            drop(wire);
            // The next connection shall not overtake this one on the way.
            tokio::time::sleep(Duration::from_millis(2)).await;
            return None;
        }
        if self.close == Close::Early {
            wire.stream.shutdown().await.ok()?;
        }
        match wire.answer(ANSWER_WITHIN).await {
            Answer::Status { code, .. } => Some(code),
            Answer::Closed | Answer::Silence => None,
        }
    }
}

pub(crate) fn pause(attempt: u32) -> Duration {
    FIRST_PAUSE * 2u32.saturating_pow(attempt.saturating_sub(1))
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
