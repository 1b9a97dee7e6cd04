//! A kept connection. Who repeats until it is answered 200 waits for each answer; the others write
//! on, and look at the answers only to learn that the server wants to close.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::http::{Answer, Life, Target, Wire};
use super::ledger::Parcel;
use super::line::{ANSWER_WITHIN, REPEATS, Sender, pause};

/// How long to wait for a server of which it is not known whether it answers at all.
const PATIENCE: Duration = Duration::from_millis(300);
/// Answers that may be owed before the line waits for one.
const OWED: usize = 64;
/// Connections tried for one batch.
const TRIES: usize = 3;

/// The connection, if there is one, and what was written on it without an answer yet.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    wire: Option<Wire>,
    /// Where it goes, if a login said so.
    to: Option<Arc<Target>>,
    owed: VecDeque<Arc<Parcel>>,
    /// This server does not answer.
    silent: bool,
}

/// A report to be written, and whether that is the first time.
type Todo = (Arc<Parcel>, bool);

impl Kept {
    /// Writes reports, several in one packet.
    pub(crate) async fn send(&mut self, sender: &Sender, batch: Vec<Arc<Parcel>>) {
        if sender.repeats {
            for parcel in batch {
                self.send_until_taken(sender, &parcel).await;
            }
        } else {
            self.push(sender, batch.into_iter().map(|parcel| (parcel, true)).collect()).await;
        }
    }

    /// Waits for the answers still owed, for as long as the server is known to give them.
    pub(crate) async fn finish(&mut self, sender: &Sender) {
        while !self.owed.is_empty() && !self.silent {
            let again = self.wait().await;
            if !again.is_empty() {
                self.push(sender, again).await;
            }
        }
    }

    /// The first report on a connection goes alone, and its answer tells what the server is like;
    /// after that they are written as they come.
    async fn push(&mut self, sender: &Sender, mut todo: Vec<Todo>) {
        let mut failures = 0;
        while failures < TRIES {
            let mut all = self.settle();
            all.append(&mut todo);
            if all.is_empty() {
                return;
            }
            let fresh = self.wire.is_none();
            if fresh {
                self.silent = false;
                self.wire = Wire::open(&sender.target).await.ok();
                todo = all.split_off(1);
            }
            let unwritten = self.write(sender, all).await;
            failures += usize::from(!unwritten.is_empty());
            let again = if unwritten.is_empty() && (fresh || self.owed.len() > OWED) && !self.silent {
                self.wait().await
            } else {
                Vec::new()
            };
            todo = again.into_iter().chain(unwritten).chain(todo).collect();
            if todo.is_empty() {
                return;
            }
        }
        let lost = todo.iter().filter(|(_, first)| *first);
        lost.for_each(|(parcel, _)| sender.ledger.failed(parcel));
    }

    /// Looks at what has come in. A server that closes has not taken what it has not answered: that
    /// is to be written again. Of a connection that just ended, a device knows nothing.
    fn settle(&mut self) -> Vec<Todo> {
        let Some(wire) = &mut self.wire else { return Vec::new() };
        let (answers, life) = wire.collect();
        self.owed.drain(..answers.min(self.owed.len()));
        match life {
            Life::Open => Vec::new(),
            Life::Closing => self.give_up(),
            Life::Gone => {
                self.wire = None;
                self.owed.clear();
                Vec::new()
            }
        }
    }

    fn give_up(&mut self) -> Vec<Todo> {
        self.wire = None;
        self.owed.drain(..).map(|parcel| (parcel, false)).collect()
    }

    /// Waits for one answer; gives back what is to be written again.
    async fn wait(&mut self) -> Vec<Todo> {
        let Some(wire) = &mut self.wire else {
            self.owed.clear();
            return Vec::new();
        };
        match wire.answer(PATIENCE).await {
            Answer::Status { closes, .. } => {
                self.owed.pop_front();
                if closes { self.give_up() } else { Vec::new() }
            }
            Answer::Silence => {
                self.silent = true;
                self.owed.clear();
                Vec::new()
            }
            Answer::Closed => {
                self.wire = None;
                self.owed.clear();
                Vec::new()
            }
        }
    }

    /// Writes all in one piece; gives back what could not be written.
    async fn write(&mut self, sender: &Sender, all: Vec<Todo>) -> Vec<Todo> {
        let Some(wire) = &mut self.wire else { return all };
        let bytes: Vec<u8> = all.iter().flat_map(|(parcel, _)| sender.style.request_by(parcel)).collect();
        if wire.write(&bytes).await.is_err() {
            self.wire = None;
            self.owed.clear();
            return all;
        }
        for (parcel, first) in all {
            count(sender, &parcel, first);
            if !self.silent {
                self.owed.push_back(parcel);
            }
        }
        Vec::new()
    }

    async fn send_until_taken(&mut self, sender: &Sender, parcel: &Arc<Parcel>) {
        let mut first = true;
        for attempt in 0..=REPEATS {
            if attempt > 0 {
                tokio::time::sleep(pause(attempt)).await;
            }
            if self.exchange(sender, parcel, &mut first).await {
                return;
            }
        }
        if first {
            sender.ledger.failed(parcel);
        }
    }

    /// One report and its answer; whether that was 200.
    async fn exchange(&mut self, sender: &Sender, parcel: &Parcel, first: &mut bool) -> bool {
        if self.wire.as_mut().is_some_and(|wire| wire.collect().1 != Life::Open) {
            self.wire = None;
        }
        if self.to != parcel.to {
            self.wire = None;
            self.to.clone_from(&parcel.to);
        }
        if self.wire.is_none() {
            self.wire = Wire::open(sender.target(parcel)).await.ok();
        }
        let Some(mut wire) = self.wire.take() else { return false };
        if wire.write(&sender.style.request_by(parcel)).await.is_err() {
            return false;
        }
        count(sender, parcel, std::mem::take(first));
        match wire.answer(ANSWER_WITHIN).await {
            Answer::Status { code, closes } => {
                self.wire = (!closes).then_some(wire);
                code == 200
            }
            Answer::Closed | Answer::Silence => false,
        }
    }
}

fn count(sender: &Sender, parcel: &Parcel, first: bool) {
    if first {
        sender.ledger.sent(parcel);
    } else {
        sender.ledger.repeated();
    }
}
