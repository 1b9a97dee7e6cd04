//! Whose turn it is. Pure: no clock, no socket.

use std::collections::VecDeque;

use switchroom_domain::id::CommandId;
use switchroom_domain::time::{Millis, Timestamp};

/// How commands of a device are treated.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many may wait.
    pub capacity: usize,
    /// How many may be with the device at a time.
    pub at_once: usize,
    /// After so many exchanges without an answer, one after the other, the breaker opens.
    pub silences: u32,
    /// How long it waits before it asks the device again, the first time; each time twice as long.
    pub first_pause: Millis,
    /// And at most.
    pub longest_pause: Millis,
    /// How long it is tried to find out what became of a command.
    pub find_out_within: Millis,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: 256,
            at_once: 1,
            silences: 3,
            first_pause: Millis(1000),
            longest_pause: Millis::from_secs(30),
            find_out_within: Millis::from_secs(60),
        }
    }
}

/// How many questions of our own may wait.
const ASIDES: usize = 8;

/// A command in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Which.
    pub id: CommandId,
    /// A caller waits for it, or lives depend on it.
    pub urgent: bool,
    /// Lives depend on it: it is let in although the device is silent or too many wait, and the device is tried at once.
    pub emergency: bool,
    /// If its turn has not come by then it is not done.
    pub deadline: Timestamp,
}

/// Why a command is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many wait.
    #[error("{waiting} commands wait for this device already; try again when some are done")]
    Full {
        /// So many.
        waiting: usize,
    },
    /// The device does not answer.
    #[error("the device has not answered for {seconds} s; it is asked again in {again} s")]
    Silent {
        /// So long.
        seconds: i64,
        /// When it is tried again.
        again: i64,
    },
    /// There is nothing to send commands to.
    #[error("the device has no `address`, so it takes no commands; set it with PATCH /api/v1/devices/ID")]
    NoAddress,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send this one.
    Send(CommandId),
    /// This one's turn did not come in time.
    Expired(CommandId),
    /// Ask the device whether it is there.
    Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaker {
    Closed { silences: u32 },
    Open { since: Timestamp, again_at: Timestamp, pause: Millis },
    Testing { since: Timestamp, pause: Millis },
}

/// The queue of one device.
#[derive(Debug)]
pub struct QueueState {
    settings: Settings,
    urgent: VecDeque<Ticket>,
    ordinary: VecDeque<Ticket>,
    /// Questions of our own, for when nobody else wants anything.
    asides: VecDeque<Ticket>,
    with_device: usize,
    breaker: Breaker,
}

impl QueueState {
    /// Nothing waits.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self {
            settings,
            urgent: VecDeque::new(),
            ordinary: VecDeque::new(),
            asides: VecDeque::new(),
            with_device: 0,
            breaker: Breaker::Closed { silences: 0 },
        }
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.urgent.len() + self.ordinary.len()
    }

    /// Is the device taken for silent?
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self.breaker, Breaker::Closed { .. })
    }

    /// Takes a command, or says why not.
    ///
    /// # Errors
    /// When too many wait, or the device is silent.
    pub fn submit(&mut self, now: Timestamp, ticket: Ticket) -> Result<(), Refusal> {
        if ticket.emergency {
            return self.submit_emergency(now, ticket);
        }
        self.may_enter(now)?;
        // A caller who waits is let in beyond the bound, as long as few do.
        let spare = if ticket.urgent { self.settings.capacity / 4 } else { 0 };
        if self.waiting() >= self.settings.capacity + spare {
            return Err(Refusal::Full { waiting: self.waiting() });
        }
        self.enqueue(ticket);
        Ok(())
    }

    fn submit_emergency(&mut self, now: Timestamp, ticket: Ticket) -> Result<(), Refusal> {
        if self.urgent.iter().filter(|waiting| waiting.emergency).count() >= self.settings.capacity {
            return Err(Refusal::Full { waiting: self.waiting() });
        }
        self.enqueue(ticket);
        if let Breaker::Open { again_at, .. } = &mut self.breaker {
            *again_at = now.min(*again_at);
        }
        Ok(())
    }

    /// Takes a question of our own, for when nobody else wants anything; or `soon`, before all but callers who wait.
    ///
    /// # Errors
    /// When the device is silent, or enough of them wait.
    pub fn submit_aside(&mut self, now: Timestamp, ticket: Ticket, soon: bool) -> Result<(), Refusal> {
        self.may_enter(now)?;
        if soon {
            self.ordinary.push_front(ticket);
            return Ok(());
        }
        if self.asides.len() >= ASIDES {
            return Err(Refusal::Full { waiting: self.asides.len() });
        }
        self.asides.push_back(ticket);
        Ok(())
    }

    fn may_enter(&self, now: Timestamp) -> Result<(), Refusal> {
        let (since, again_at) = match self.breaker {
            Breaker::Closed { .. } => return Ok(()),
            Breaker::Open { since, again_at, .. } => (since, again_at),
            Breaker::Testing { since, .. } => (since, now + Millis(1000)),
        };
        let again = (again_at.since(now).0.max(0) + 999) / 1000;
        Err(Refusal::Silent { seconds: now.since(since).0 / 1000, again })
    }

    /// Takes a command whose turn it was, and that could not be sent: it is the next of its kind.
    pub fn put_back(&mut self, ticket: Ticket) {
        if !ticket.urgent {
            self.ordinary.push_front(ticket);
            return;
        }
        let emergencies = self.urgent.iter().take_while(|waiting| waiting.emergency).count();
        self.urgent.insert(if ticket.emergency { 0 } else { emergencies }, ticket);
    }

    /// Takes a command that was accepted before a restart.
    pub fn enqueue(&mut self, ticket: Ticket) {
        if ticket.emergency {
            let emergencies = self.urgent.iter().take_while(|waiting| waiting.emergency).count();
            self.urgent.insert(emergencies, ticket);
        } else if ticket.urgent {
            self.urgent.push_back(ticket);
        } else {
            self.ordinary.push_back(ticket);
        }
    }

    /// What is to be done now, if anything is.
    pub fn next(&mut self, now: Timestamp) -> Option<Step> {
        for queue in [&mut self.urgent, &mut self.ordinary, &mut self.asides] {
            if let Some(late) = queue.iter().position(|ticket| ticket.deadline <= now) {
                return queue.remove(late).map(|ticket| Step::Expired(ticket.id));
            }
        }
        match self.breaker {
            Breaker::Open { since, again_at, pause } if again_at <= now && self.with_device == 0 => {
                self.breaker = Breaker::Testing { since, pause };
                self.with_device += 1;
                Some(Step::Test)
            }
            Breaker::Open { .. } | Breaker::Testing { .. } => None,
            Breaker::Closed { .. } if self.with_device >= self.settings.at_once => None,
            Breaker::Closed { .. } => {
                let lanes = [&mut self.urgent, &mut self.ordinary, &mut self.asides];
                let ticket = lanes.into_iter().find_map(VecDeque::pop_front)?;
                self.with_device += 1;
                Some(Step::Send(ticket.id))
            }
        }
    }

    /// An exchange is over: the device answered something, or did not.
    pub fn exchanged(&mut self, now: Timestamp, answered: bool) {
        self.breaker = match (self.breaker, answered) {
            (_, true) => Breaker::Closed { silences: 0 },
            (Breaker::Closed { silences }, false) if silences + 1 < self.settings.silences => {
                Breaker::Closed { silences: silences + 1 }
            }
            (Breaker::Closed { .. }, false) => {
                let pause = self.settings.first_pause;
                Breaker::Open { since: now, again_at: now + pause, pause }
            }
            (Breaker::Testing { since, pause }, false) => {
                let pause = Millis((pause.0 * 2).min(self.settings.longest_pause.0));
                // Lives may depend on its being there again.
                let hurry = self.urgent.front().is_some_and(|waiting| waiting.emergency);
                let again = if hurry { self.settings.first_pause.min(pause) } else { pause };
                Breaker::Open { since, again_at: now + again, pause }
            }
            (open, false) => open,
        };
    }

    /// The device is free for the next one.
    pub const fn release(&mut self) {
        self.with_device = self.with_device.saturating_sub(1);
    }

    /// When [`QueueState::next`] may have something to do although nothing happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        let tickets = self.urgent.iter().chain(&self.ordinary).chain(&self.asides);
        let deadlines = tickets.map(|ticket| ticket.deadline);
        let again = match self.breaker {
            Breaker::Open { again_at, .. } if self.with_device == 0 => Some(again_at),
            _ => None,
        };
        deadlines.chain(again).min()
    }
}
