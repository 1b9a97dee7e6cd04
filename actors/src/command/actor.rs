//! The actor: sends what [`QueueState`] says is next, and settles what became of it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use compact_str::format_compact;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use switchroom_domain::Text;
use switchroom_domain::command::{Command, Target};
use switchroom_domain::fact::{CommandSettled, Fact};
use switchroom_domain::id::CommandId;
use switchroom_domain::reply::{Failure, Reply};
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_domain::view::{CommandError, CommandState, CommandView};
use tokio::sync::oneshot;

use super::messages::{Ask, Await, CallFound, CommandRecord, Dismiss, NoAnswer, Recover, Submit};
use super::state::{QueueState, Refusal, Settings, Step, Ticket};
use super::verify;
use crate::directory::DeviceHandle;
use crate::ingress::Arrived;
use crate::ports::{Answer, CommandPorts, INTERNAL, LinkError, RawReport, StoreError};

/// Bound of the mailbox: more than can wait in the queue.
const MAILBOX: usize = 1024;
/// A store that has stalled keeps a command no longer than this.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
/// How many settled commands are remembered: their end may not be on disk yet, and their call may still be found.
const REMEMBERED: usize = 64;
/// How long a question of our own waits for its turn.
const ASIDE_WAITS: Millis = Millis::from_secs(10);
/// So long after a command was sent "it is not there" means that it was not done.
const NO_COUNTS: Millis = Millis::from_secs(20);
/// How long it is waited between two questions about what became of a command: the first time, and at most.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

/// A device's command supervisor; see the module.
pub struct CommandSupervisor {
    device: Arc<DeviceHandle>,
    settings: Settings,
    state: QueueState,
    jobs: HashMap<CommandId, Job>,
    /// Questions of our own.
    asides: HashMap<CommandId, Aside>,
    /// Settled a moment ago.
    recent: VecDeque<Box<CommandRecord>>,
    ports: CommandPorts,
    wake: Option<(Timestamp, SpawnHandle)>,
}

type Stored = Shared<BoxFuture<'static, Result<(), StoreError>>>;

/// A command that has not settled.
struct Job {
    record: Box<CommandRecord>,
    accepted: Instant,
    sent: Option<Instant>,
    /// Lives depend on it.
    emergency: bool,
    /// The command log has it as it is now.
    stored: Stored,
    waiters: Vec<oneshot::Sender<Box<CommandView>>>,
    answer: Option<oneshot::Sender<Bytes>>,
}

/// A question of our own.
struct Aside {
    question: Command,
    answer: oneshot::Sender<Result<Answer, NoAnswer>>,
}

/// What became of an exchange.
enum Became {
    Answered(Answer),
    Failed(LinkError),
    /// It was not sent, because the disk did not take it.
    NotKept,
}

impl CommandSupervisor {
    /// Starts one on this arbiter.
    pub fn start_here(device: Arc<DeviceHandle>, settings: Settings, ports: CommandPorts) -> Addr<Self> {
        Self::create(|ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            let state = QueueState::new(settings);
            Self {
                device,
                settings,
                state,
                jobs: HashMap::new(),
                asides: HashMap::new(),
                recent: VecDeque::new(),
                ports,
                wake: None,
            }
        })
    }

    fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    fn store(&self, record: &CommandRecord) -> Stored {
        self.ports.log.put(record).shared()
    }

    /// Does whatever is to be done now.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        while let Some(step) = self.state.next(self.now()) {
            match step {
                Step::Send(id) => match self.asides.remove(&id) {
                    Some(aside) => self.ask(aside, ctx),
                    None => self.send(id, ctx),
                },
                Step::Expired(id) => {
                    if let Some(aside) = self.asides.remove(&id) {
                        // It may have given up.
                        let _ = aside.answer.send(Err(NoAnswer::Expired));
                        continue;
                    }
                    self.expired(id);
                }
                Step::Test => self.test(ctx),
            }
        }
        self.schedule(ctx);
    }

    fn expired(&mut self, id: CommandId) {
        let was_sent = self.jobs.get(&id).is_some_and(|job| job.sent.is_some());
        let (state, kind, reason) = if was_sent {
            let reason = "it was sent before the service was restarted, and could not be sent again in time";
            (CommandState::Unknown, "lost", reason)
        } else {
            (CommandState::Failed, "expired", "its turn did not come in time; nothing was done")
        };
        self.settle(id, state, None, Some(error(kind, reason)));
    }

    /// Wakes up when something is due although nothing happens.
    fn schedule(&mut self, ctx: &mut Context<Self>) {
        self.device.count_commands(self.state.waiting(), self.state.is_open());
        let next = self.state.next_wake();
        if self.wake.as_ref().map(|(at, _)| *at) == next {
            return;
        }
        if let Some((_, timer)) = self.wake.take() {
            ctx.cancel_future(timer);
        }
        let Some(at) = next else { return };
        let wait = Duration::from_millis(at.since(self.now()).0.max(1).unsigned_abs());
        let handle = ctx.run_later(wait, |supervisor, ctx| {
            supervisor.wake = None;
            supervisor.pump(ctx);
        });
        self.wake = Some((at, handle));
    }

    fn send(&mut self, id: CommandId, ctx: &mut Context<Self>) {
        let now = self.now();
        let Some(job) = self.jobs.get_mut(&id) else {
            self.state.release();
            return;
        };
        job.record.view.state = CommandState::Sent;
        job.record.view.sent_at = Some(now);
        job.sent = Some(Instant::now());
        let command = job.record.view.request.clone();
        let stored = self.ports.log.put(&job.record).shared();
        job.stored = stored.clone();
        // A restart, or a repeat under the same key, would do it again unless the log says that it was sent.
        let must_be_kept = !job.emergency && !command.is_idempotent();
        self.tell_cell(command.sent(id).map(|sent| Fact::CommandSent(Box::new(sent))), "command_sent");
        let (link, device) = (Arc::clone(&self.ports.link), self.device.id.clone());
        let exchange = async move {
            // A question may go out before it is on disk: nothing is lost if it is not asked again.
            if !command.only_asks() && !on_disk(stored).await && must_be_kept {
                return Became::NotKept;
            }
            let mut became = link.exchange(&device, &command).await;
            if matches!(became, Err(LinkError::Lost(_))) && command.is_idempotent() {
                became = link.exchange(&device, &command).await;
            }
            match became {
                Ok(answer) => Became::Answered(answer),
                Err(error) => Became::Failed(error),
            }
        };
        ctx.spawn(exchange.into_actor(self).map(move |became, supervisor, ctx| {
            supervisor.exchanged(id, became, ctx);
        }));
    }

    /// The disk does not take it: it waits on, and comes first when its turn is next. So it is said to be what the log
    /// has it to be, whatever happens meanwhile.
    fn wait_on(&mut self, id: CommandId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.record.view.state = CommandState::Accepted;
        job.record.view.sent_at = None;
        job.sent = None;
        job.stored = self.ports.log.put(&job.record).shared();
        let urgent = job.emergency || job.record.view.request.is_urgent();
        let deadline = job.record.deadline;
        self.state.put_back(Ticket { id, urgent, emergency: job.emergency, deadline });
    }

    /// The exchange is over.
    fn exchanged(&mut self, id: CommandId, became: Became, ctx: &mut Context<Self>) {
        // Parameters are of the web interface, which may be elsewhere.
        let tells = self.jobs.get(&id).is_none_or(|job| !job.record.view.request.is_of_web());
        match became {
            Became::NotKept => self.wait_on(id),
            Became::Answered(answer) => {
                if tells {
                    self.heard(true);
                }
                self.answered(id, answer);
            }
            Became::Failed(LinkError::Impossible(reason)) => {
                self.settle(id, CommandState::Failed, None, Some(error("impossible", &reason)));
            }
            Became::Failed(LinkError::Refused(reason)) => {
                // Whoever says so answers.
                if tells {
                    self.heard(true);
                }
                self.settle(id, CommandState::Failed, None, Some(error("refused", &reason)));
            }
            Became::Failed(failed @ LinkError::NotSent(_)) => {
                if tells {
                    self.heard(false);
                }
                let reason = format!("{failed}; check that the device is on and that its `address` is right");
                self.settle(id, CommandState::Failed, None, Some(error("not_sent", &reason)));
            }
            Became::Failed(LinkError::Lost(reason)) => {
                if tells {
                    self.heard(false);
                }
                // That takes a while; others have their turn meanwhile.
                self.find_out(id, reason, ctx);
            }
        }
        self.state.release();
        self.pump(ctx);
    }

    fn answered(&mut self, id: CommandId, answer: Answer) {
        let Answer { reply, body } = answer;
        if let Some(wanted) = self.jobs.get_mut(&id).and_then(|job| job.answer.take()) {
            // It may have given up.
            let _ = wanted.send(body.clone());
        }
        if let Reply::Begun { parties, .. } = &reply
            && parties.iter().any(|party| party.callid.is_some() && party.id.is_some())
        {
            self.tell_answer(body);
        }
        let (state, error) = match &reply {
            Reply::Failed { code, reason } => {
                let meaning = code.and_then(Failure::from_code).map(Failure::explain);
                let words = reason.as_deref().unwrap_or("no reason given");
                let reason = match meaning {
                    Some(meaning) => format_compact!("the device refused: {meaning} ({words})"),
                    None => format_compact!("the device refused: {words}"),
                };
                (CommandState::Failed, Some(CommandError { code: *code, kind: "refused".into(), reason }))
            }
            Reply::Unauthorized { code, reason } => {
                let words = reason.as_deref().unwrap_or("no reason given");
                let reason = format_compact!(
                    "the device takes no commands from here ({words}); allow this server's address on it, or set \
                     `command_password` to its API password"
                );
                (
                    CommandState::Failed,
                    Some(CommandError { code: *code, kind: "unauthorized".into(), reason }),
                )
            }
            _ => (CommandState::Succeeded, None),
        };
        self.settle(id, state, Some(reply), error);
    }

    /// It may have been done: the cell and the device are asked, as anybody asks, in turn.
    fn find_out(&mut self, id: CommandId, reason: String, ctx: &mut Context<Self>) {
        let Some(job) = self.jobs.get(&id) else { return };
        let command = job.record.view.request.clone();
        let sent_at = job.record.view.sent_at.unwrap_or(job.record.view.created_at);
        let (clock, me) = (Arc::clone(&self.ports.clock), ctx.address());
        let until = Instant::now() + Duration::from_millis(self.settings.find_out_within.0.unsigned_abs());
        let asking = async move {
            let question = verify::question(&command)?;
            let mut pause = ASK_AGAIN.0;
            // What was done a moment ago may not show yet: a "no" counts the second time. What was done a while ago may
            // be over again: then it counts nothing.
            let mut said_no = false;
            loop {
                let view = me.send(Await { id, settled: None }).await.ok().flatten()?;
                if was_seen(&view) {
                    return Some(true);
                }
                let is_fresh = clock.now().since(sent_at) <= NO_COUNTS;
                match me.send(Ask { question: question.clone(), soon: true }).await {
                    Ok(Ok(answer)) => match verify::was_done(&command, &answer.reply) {
                        Some(true) => return Some(true),
                        Some(false) if said_no && is_fresh => return Some(false),
                        Some(false) if is_fresh => said_no = true,
                        Some(false) => return None,
                        None => {}
                    },
                    Ok(Err(error)) => tracing::debug!(%error, "what became of a command is not known yet"),
                    Err(_) => return None,
                }
                if Instant::now() + pause > until {
                    return None;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ASK_AGAIN.1);
            }
        };
        ctx.spawn(asking.into_actor(self).map(move |done, supervisor, ctx| {
            supervisor.found_out(id, done, &reason);
            supervisor.pump(ctx);
        }));
    }

    fn found_out(&mut self, id: CommandId, done: Option<bool>, reason: &str) {
        let was_seen = self.jobs.get(&id).is_some_and(|job| was_seen(&job.record.view));
        let settled = match done {
            _ if was_seen => (CommandState::Succeeded, None),
            Some(true) => (CommandState::Succeeded, None),
            Some(false) => {
                let reason = format!("{reason}; the device was asked: it was not done");
                (CommandState::Failed, Some(error("not_done", &reason)))
            }
            None => {
                let reason = format!(
                    "it may have reached the device, but {reason}; what became of it cannot be known"
                );
                (CommandState::Unknown, Some(error("lost", &reason)))
            }
        };
        self.settle(id, settled.0, None, settled.1);
    }

    fn ask(&self, Aside { question, answer }: Aside, ctx: &mut Context<Self>) {
        let (link, device) = (Arc::clone(&self.ports.link), self.device.id.clone());
        let exchange = async move { link.exchange(&device, &question).await };
        ctx.spawn(exchange.into_actor(self).map(move |became, supervisor, ctx| {
            supervisor.heard(!is_silence(&became));
            // It may have given up.
            let _ = answer.send(became.map_err(NoAnswer::Link));
            supervisor.state.release();
            supervisor.pump(ctx);
        }));
    }

    /// The device has answered, or not: when it stops to, or begins again, its cell is told.
    fn heard(&mut self, answered: bool) {
        let was_open = self.state.is_open();
        self.state.exchanged(self.now(), answered);
        let is_open = self.state.is_open();
        if was_open != is_open {
            self.tell_cell(Some(Fact::Reachable { reachable: !is_open }), "reachable");
        }
    }

    /// Asks a silent device whether it is there.
    fn test(&self, ctx: &mut Context<Self>) {
        let (link, device) = (Arc::clone(&self.ports.link), self.device.id.clone());
        let test = async move {
            !is_silence(&link.exchange(&device, &Command::Query { target: Target::Device }).await)
        };
        ctx.spawn(test.into_actor(self).map(|answered, supervisor, ctx| {
            supervisor.heard(answered);
            supervisor.state.release();
            supervisor.pump(ctx);
        }));
    }

    fn settle(
        &mut self,
        id: CommandId,
        state: CommandState,
        reply: Option<Reply>,
        error: Option<CommandError>,
    ) {
        let now = self.now();
        let Some(mut job) = self.jobs.remove(&id) else { return };
        let view = &mut job.record.view;
        view.state = state;
        view.reply = reply;
        view.error = error;
        view.settled_at = Some(now);
        let sent = job.sent.unwrap_or_else(Instant::now);
        self.ports.log.settled(view, sent.duration_since(job.accepted), sent.elapsed());
        let fact = CommandSettled {
            command: id,
            name: view.command.clone(),
            state: state.as_str().into(),
            code: view.error.as_ref().and_then(|error| error.code),
            reason: view.error.as_ref().map(|error| error.reason.clone()),
        };
        // What only asks is no news.
        if !view.request.only_asks() || state != CommandState::Succeeded {
            self.tell_cell(Some(Fact::CommandSettled(Box::new(fact))), "command_settled");
        }
        for waiter in job.waiters {
            // It may have given up.
            let _ = waiter.send(Box::new(job.record.view.clone()));
        }
        let stored = self.store(&job.record);
        actix::spawn(on_disk(stored));
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(job.record);
    }

    /// Through the gate, like a report, so that it is logged and comes in turn.
    fn tell_cell(&self, fact: Option<Fact>, name: &'static str) {
        let Some(fact) = fact else { return };
        let facts = vec![fact];
        match serde_json::to_vec(&facts) {
            Ok(body) => self.pass(Text::const_new(name), INTERNAL, body.into(), facts),
            Err(error) => tracing::error!(%error, "a command's fact cannot be written"),
        }
    }

    /// The ids in an answer are what later reports speak of: it is a report, too.
    fn tell_answer(&self, body: Bytes) {
        let raw = RawReport {
            seed: switchroom_domain::id::IdSeed { at: self.now(), entropy: 0 },
            source: "answer".into(),
            dialect: "om",
            name: "TRANSIENT".into(),
            content_type: None,
            body: body.clone(),
        };
        let facts = self.ports.interpreter.facts(&self.device.id, &raw);
        self.pass(raw.name, raw.dialect, body, facts);
    }

    fn pass(&self, name: Text, dialect: &'static str, body: Bytes, facts: Vec<Fact>) {
        let arrived = Arrived {
            device: Arc::clone(&self.device),
            source: "command".into(),
            dialect,
            name,
            content_type: None,
            body,
            facts,
            received: Instant::now(),
            ack: None,
        };
        // Whether the cell takes it now or in a moment is all the same here.
        drop(self.ports.gate.pass(arrived));
    }
}

/// Did nothing that answers come back?
const fn is_silence<T>(became: &Result<T, LinkError>) -> bool {
    matches!(became, Err(LinkError::NotSent(_) | LinkError::Lost(_)))
}

/// Has the cell seen the call that it was to make? The call that a command is about was there before, and proves nothing.
fn was_seen(view: &CommandView) -> bool {
    view.call.is_some() && view.request.sent(view.id).is_some_and(|sent| sent.makes_call)
}

fn error(kind: &'static str, reason: &str) -> CommandError {
    CommandError { code: None, kind: kind.into(), reason: reason.into() }
}

/// Waits until it is on disk, or the store has stalled for too long. Is it there?
async fn on_disk(stored: Stored) -> bool {
    match tokio::time::timeout(STORE_PATIENCE, stored).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => tracing::error!(%error, "a command could not be kept"),
        Err(_) => tracing::error!("the store takes too long to keep a command"),
    }
    false
}

impl Actor for CommandSupervisor {
    type Context = Context<Self>;
}

impl Handler<Submit> for CommandSupervisor {
    type Result = ResponseFuture<Result<(), Refusal>>;

    fn handle(
        &mut self,
        Submit { record, emergency, settled, answer }: Submit,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        if !self.ports.link.reaches(&self.device.id) {
            return Box::pin(async { Err(Refusal::NoAddress) });
        }
        let view = &record.view;
        let (id, asks) = (view.id, view.request.only_asks());
        let urgent = emergency || view.request.is_urgent();
        let ticket = Ticket { id, urgent, emergency, deadline: record.deadline };
        if let Err(refusal) = self.state.submit(self.now(), ticket) {
            return Box::pin(async move { Err(refusal) });
        }
        let waits = settled.is_some();
        let nothing: BoxFuture<'static, Result<(), StoreError>> = Box::pin(async { Ok(()) });
        let job = Job {
            record,
            accepted: Instant::now(),
            sent: None,
            emergency,
            stored: nothing.shared(),
            waiters: settled.into_iter().collect(),
            answer,
        };
        self.jobs.insert(id, job);
        self.pump(ctx);
        // If it is its turn at once it is kept as sent already; else as it waits.
        let Some(job) = self.jobs.get(&id) else { return Box::pin(async { Ok(()) }) };
        if job.record.view.state == CommandState::Accepted {
            let stored = self.ports.log.put(&job.record).shared();
            if let Some(job) = self.jobs.get_mut(&id) {
                job.stored = stored;
            }
        }
        let stored = self.jobs.get(&id).map(|job| job.stored.clone());
        Box::pin(async move {
            // Who waits for the answer to a question need not wait for the disk.
            if let Some(stored) = stored.filter(|_| !(asks && waits)) {
                on_disk(stored).await;
            }
            Ok(())
        })
    }
}

impl Handler<Ask> for CommandSupervisor {
    type Result = ResponseFuture<Result<Answer, NoAnswer>>;

    fn handle(&mut self, Ask { question, soon }: Ask, ctx: &mut Self::Context) -> Self::Result {
        if !self.ports.link.reaches(&self.device.id) {
            return Box::pin(async { Err(Refusal::NoAddress.into()) });
        }
        let now = self.now();
        let id = CommandId(uuid::Uuid::now_v7());
        let ticket = Ticket { id, urgent: false, emergency: false, deadline: now + ASIDE_WAITS };
        if let Err(refusal) = self.state.submit_aside(now, ticket, soon) {
            return Box::pin(async move { Err(refusal.into()) });
        }
        let (answer, answered) = oneshot::channel();
        self.asides.insert(id, Aside { question, answer });
        self.pump(ctx);
        Box::pin(async move { answered.await.unwrap_or(Err(NoAnswer::Expired)) })
    }
}

impl Handler<Dismiss> for CommandSupervisor {
    type Result = ();

    fn handle(&mut self, _: Dismiss, ctx: &mut Self::Context) {
        let all: Vec<CommandId> = self.jobs.keys().copied().collect();
        for id in all {
            let sent = self.jobs.get(&id).is_some_and(|job| job.sent.is_some());
            let state = if sent { CommandState::Unknown } else { CommandState::Failed };
            let kind = if sent { "lost" } else { "not_sent" };
            self.settle(id, state, None, Some(error(kind, "the device was removed")));
        }
        ctx.stop();
    }
}

impl Handler<Recover> for CommandSupervisor {
    type Result = ();

    fn handle(&mut self, Recover { record, emergency }: Recover, ctx: &mut Self::Context) {
        let view = &record.view;
        let (id, urgent, now) = (view.id, emergency || view.request.is_urgent(), Instant::now());
        let was_sent = view.state == CommandState::Sent;
        let may_be_sent = !was_sent || (view.request.is_idempotent() && record.deadline > self.now());
        let ticket = Ticket { id, urgent, emergency, deadline: record.deadline };
        let nothing: BoxFuture<'static, Result<(), StoreError>> = Box::pin(async { Ok(()) });
        let job = Job {
            record,
            accepted: now,
            sent: was_sent.then_some(now),
            emergency,
            stored: nothing.shared(),
            waiters: Vec::new(),
            answer: None,
        };
        self.jobs.insert(id, job);
        if may_be_sent {
            self.state.enqueue(ticket);
            self.pump(ctx);
        } else {
            self.find_out(id, "the service was restarted before an answer came".into(), ctx);
        }
    }
}

impl Handler<Await> for CommandSupervisor {
    type Result = MessageResult<Await>;

    fn handle(&mut self, Await { id, settled }: Await, _: &mut Self::Context) -> Self::Result {
        let job = self.jobs.get_mut(&id).map(|job| {
            job.waiters.retain(|waiter| !waiter.is_closed());
            job.waiters.extend(settled);
            Box::new(job.record.view.clone())
        });
        let recent =
            || self.recent.iter().find(|record| record.view.id == id).map(|r| Box::new(r.view.clone()));
        MessageResult(job.or_else(recent))
    }
}

impl Handler<CallFound> for CommandSupervisor {
    type Result = ();

    fn handle(&mut self, CallFound { command, call }: CallFound, _: &mut Self::Context) {
        if let Some(job) = self.jobs.get_mut(&command) {
            job.record.view.call = Some(call);
            // After a restart it tells what became of the command.
            job.stored = self.ports.log.put(&job.record).shared();
            actix::spawn(on_disk(job.stored.clone()));
            return;
        }
        if let Some(record) = self.recent.iter_mut().find(|record| record.view.id == command) {
            record.view.call = Some(call);
            actix::spawn(on_disk(self.ports.log.put(record).shared()));
        }
    }
}
