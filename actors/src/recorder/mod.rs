//! The recorder: hands records to the store in order, and waits when the store is full.
//!
//! One per arbiter. Takes [`crate::ports::Record`]s of the devices of its arbiter. When the store has no
//! room it takes nothing more from its mailbox until there is; then the mailbox fills, devices wait with their
//! next report, their mailboxes fill, and the senders of reports wait: nothing that was accepted is dropped.
//! It has no state of its own, so a restart needs nothing.

use std::sync::Arc;

use actix::prelude::*;

use crate::ports::{Full, Record, Store};

/// Bound of the mailbox: a few commits' worth of one arbiter's reports at full speed.
const MAILBOX: usize = 4096;

/// The recorder; see the module.
pub struct Recorder {
    store: Arc<dyn Store>,
}

impl Recorder {
    /// Starts one on this arbiter.
    pub fn start_here(store: Arc<dyn Store>) -> Addr<Self> {
        Self::create(|ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            Self { store }
        })
    }
}

impl Actor for Recorder {
    type Context = Context<Self>;
}

/// A record to commit.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Commit(pub Box<Record>);

impl Handler<Commit> for Recorder {
    type Result = ();

    fn handle(&mut self, Commit(record): Commit, ctx: &mut Self::Context) {
        let Err(Full(record)) = self.store.submit(record) else { return };
        let store = Arc::clone(&self.store);
        let retry = async move {
            let mut record = record;
            loop {
                store.room().await;
                match store.submit(record) {
                    Ok(()) => return,
                    Err(Full(back)) => record = back,
                }
            }
        };
        ctx.wait(retry.into_actor(self));
    }
}

/// Answered when everything that was sent before is with the store.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Passed;

impl Handler<Passed> for Recorder {
    type Result = ();

    fn handle(&mut self, _: Passed, _: &mut Self::Context) {}
}
