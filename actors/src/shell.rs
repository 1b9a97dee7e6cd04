//! The actor around an entity's state: receive, apply, reply. All entities share it, so that each of them is
//! only its state.

use actix::prelude::*;
use switchroom_domain::time::Timestamp;

use crate::entity::{Doubt, Reply, Told};

/// What the shell asks of a state.
pub trait EntityState: Clone + Unpin + 'static {
    /// What a reader sees of it.
    type View: Send + 'static;

    /// Takes what it is told and says what changed.
    fn apply(&mut self, now: Timestamp, doubt: &Doubt, told: Told) -> Reply;

    /// The class it is counted in; see [`crate::census`].
    fn class(&self) -> u8;

    /// What a reader sees; what was heard before `fresh_from` is stale.
    fn view(&self, fresh_from: Timestamp) -> Self::View;
}

/// An entity as an actor.
///
/// Its mailbox holds actix's default of 16 messages. Only its device writes to it, and waits for each reply,
/// so there is one at a time, and a reader's question now and then.
pub struct Shell<S> {
    state: S,
}

impl<S: EntityState> Shell<S> {
    /// The actor of this state.
    pub fn new(state: S) -> Self {
        Self { state }
    }
}

impl<S: EntityState> Actor for Shell<S> {
    type Context = Context<Self>;
}

/// Told by the device while it applies a report.
#[derive(Message)]
#[rtype(result = "Reply")]
pub struct Tell {
    /// The time of the input.
    pub now: Timestamp,
    /// How doubtful reports are weighed.
    pub doubt: Doubt,
    /// What happened.
    pub told: Told,
}

/// A reader's question.
#[derive(Message)]
#[rtype(result = "V")]
pub struct Observe<V: Send + 'static> {
    /// What was heard before is stale.
    pub fresh_from: Timestamp,
    /// The kind of view that is asked for.
    pub view: std::marker::PhantomData<V>,
}

/// Asks for the state itself, for the cell's snapshot.
#[derive(Message)]
#[rtype(result = "S")]
pub struct TakeSnapshot<S: Send + 'static>(pub std::marker::PhantomData<S>);

/// Ends the actor: its leg is over, or its cell is dropped.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave;

impl<S: EntityState> Handler<Tell> for Shell<S> {
    type Result = MessageResult<Tell>;

    fn handle(&mut self, tell: Tell, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.apply(tell.now, &tell.doubt, tell.told))
    }
}

impl<S: EntityState> Handler<Observe<S::View>> for Shell<S> {
    type Result = MessageResult<Observe<S::View>>;

    fn handle(&mut self, ask: Observe<S::View>, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.view(ask.fresh_from))
    }
}

impl<S: EntityState + Send> Handler<TakeSnapshot<S>> for Shell<S> {
    type Result = MessageResult<TakeSnapshot<S>>;

    fn handle(&mut self, _: TakeSnapshot<S>, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.clone())
    }
}

impl<S: EntityState> Handler<Leave> for Shell<S> {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
