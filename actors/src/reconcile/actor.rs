//! The actor: asks what [`Rounds`] says, has the cell compare, and sends corrections through the gate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchroom_domain::Text;
use switchroom_domain::fact::{Correction, Fact};
use switchroom_domain::time::Timestamp;

use super::state::{Next, Question, Rounds};
use crate::command::CommandSupervisor;
use crate::command::messages::Ask;
use crate::device::messages::{Compare, Doubts, GetDoubts};
use crate::directory::DeviceHandle;
use crate::ingress::{Arrived, Gate};
use crate::ports::{Clock, INTERNAL};

/// A device's reconciler; see the module.
pub struct Reconciler {
    device: Arc<DeviceHandle>,
    supervisor: Addr<CommandSupervisor>,
    rounds: Rounds,
    boots: Option<u64>,
    clock: Arc<dyn Clock>,
    gate: Gate,
}

/// What one step brought.
enum Brought {
    /// What there is to ask; none while the cell is being rebuilt.
    Doubts(Option<Doubts>),
    /// What is wrong by an answer; none when there was no answer.
    Wrong(Question, Option<Vec<Correction>>),
}

impl Reconciler {
    /// Starts one on this arbiter; it begins after `delay`, so that a fleet is not asked all at once.
    pub fn start_here(
        device: Arc<DeviceHandle>,
        supervisor: Addr<CommandSupervisor>,
        clock: Arc<dyn Clock>,
        gate: Gate,
        delay: Duration,
    ) -> Addr<Self> {
        Self::create(move |ctx| {
            let rounds = Rounds::new(clock.now());
            ctx.run_later(delay, Self::step);
            Self { device, supervisor, rounds, boots: None, clock, gate }
        })
    }

    /// One step, and then the next.
    fn step(&mut self, ctx: &mut Context<Self>) {
        if !self.supervisor.connected() || self.device.is_retired() {
            // The device was removed, or its commands have another supervisor by now, which has a reconciler of its own.
            ctx.stop();
            return;
        }
        let now = self.clock.now();
        match self.rounds.next(now, self.device.reported_at()) {
            Next::Wait(until) => {
                let wait = Duration::from_millis(until.since(now).0.max(1).unsigned_abs());
                ctx.run_later(wait, Self::step);
            }
            Next::Look => {
                let cell = self.device.addr();
                let look = async move {
                    match cell {
                        Some(cell) => Brought::Doubts(cell.send(GetDoubts).await.ok()),
                        None => Brought::Doubts(None),
                    }
                };
                ctx.spawn(look.into_actor(self).map(Self::brought));
            }
            Next::Ask(question) => {
                self.rounds.asked(now, &question);
                let (supervisor, device) = (self.supervisor.clone(), Arc::clone(&self.device));
                let ask = async move {
                    let wrong = ask(&supervisor, &device, &question, now).await;
                    Brought::Wrong(question, wrong)
                };
                ctx.spawn(ask.into_actor(self).map(Self::brought));
            }
        }
    }

    fn brought(brought: Brought, reconciler: &mut Self, ctx: &mut Context<Self>) {
        let now = reconciler.clock.now();
        match brought {
            Brought::Doubts(Some(doubts)) => {
                if reconciler.boots.is_some_and(|boots| boots != doubts.boots) {
                    reconciler.rounds.ask_everything();
                }
                reconciler.boots = Some(doubts.boots);
                reconciler.rounds.look_through(now, doubts);
            }
            Brought::Doubts(None) => reconciler.rounds.unanswered(now, &Question::Device),
            Brought::Wrong(question, Some(wrong)) => {
                for correction in reconciler.rounds.answered(now, &question, wrong) {
                    reconciler.correct(correction);
                }
            }
            Brought::Wrong(question, None) => reconciler.rounds.unanswered(now, &question),
        }
        reconciler.step(ctx);
    }

    /// Through the gate, like a report, so that it is logged and comes in turn.
    fn correct(&self, correction: Correction) {
        tracing::debug!(device.id = %self.device.id, ?correction, "the device says otherwise");
        let facts = vec![Fact::Corrected(Box::new(correction))];
        let body = match serde_json::to_vec(&facts) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "a correction cannot be written");
                return;
            }
        };
        let arrived = Arrived {
            device: Arc::clone(&self.device),
            source: "reconciler".into(),
            dialect: INTERNAL,
            name: Text::const_new("corrected"),
            content_type: None,
            body: body.into(),
            facts,
            received: Instant::now(),
            ack: None,
        };
        // Whether the cell takes it now or in a moment is all the same here.
        drop(self.gate.pass(arrived));
    }
}

/// What is wrong by the device's answer; none when it does not answer, or its cell does not.
async fn ask(
    supervisor: &Addr<CommandSupervisor>,
    device: &DeviceHandle,
    question: &Question,
    asked_at: Timestamp,
) -> Option<Vec<Correction>> {
    let answer = match supervisor.send(Ask { question: question.command(), soon: false }).await.ok()? {
        Ok(answer) => answer.reply,
        Err(error) => {
            tracing::debug!(device.id = %device.id, %error, "a question has no answer");
            return None;
        }
    };
    let compare = Compare { question: question.clone(), answer, asked_at };
    device.addr()?.send(compare).await.ok()
}

impl Actor for Reconciler {
    type Context = Context<Self>;
}
