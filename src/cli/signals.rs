//! Signals: the first request to stop is obeyed in good order, a second one at once.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Requests to stop: SIGTERM, or SIGINT (Ctrl-C).
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Stop {
    /// Listens from here on; the signals no longer end the process by themselves.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be listened to")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT cannot be listened to")?,
            hangup: None,
        })
    }

    /// The same for a program of a terminal: a terminal that is closed (SIGHUP) asks to stop as well.
    pub(super) fn listen_on_terminal() -> anyhow::Result<Self> {
        Ok(Self { hangup: Some(reload()?), ..Self::listen()? })
    }

    /// Waits for the next request to stop.
    pub(super) async fn requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hung_up(self.hangup.as_mut()) => {}
        }
    }

    /// Does `work` to its end, unless a second request comes first: then there is nothing.
    pub(super) async fn finish<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.requested() => None,
        }
    }
}

async fn hung_up(hangup: Option<&mut Signal>) -> Option<()> {
    match hangup {
        Some(hangup) => hangup.recv().await,
        None => std::future::pending().await,
    }
}

/// Requests to read the configuration again: SIGHUP.
pub(super) fn reload() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("SIGHUP cannot be listened to")
}
