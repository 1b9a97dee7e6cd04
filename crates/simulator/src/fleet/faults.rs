//! What can be wrong with one device's command endpoint while the device itself is well.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// A way in which commands go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandFault {
    /// Nothing is wrong.
    None,
    /// The device does what it is told, and answers, but later.
    Slow,
    /// The connection is reset and the command is not done.
    ResetBefore,
    /// The command is done, and the connection is reset without an answer.
    ResetAfter,
    /// The command is done, and the connection is reset in the middle of the answer.
    ResetMid,
    /// The command is refused as if its signature were wrong.
    Unauthorized,
    /// The command is refused with the code for busy.
    Busy,
}

/// A fault as it is asked for: `{"command": "slow", "delay_ms": 2000, "count": 1}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceFault {
    /// What goes wrong.
    pub command: CommandFault,
    /// For how long a slow device thinks before it acts.
    #[serde(default)]
    pub delay_ms: u64,
    /// How many commands it hits; 0: all, until it is set to `none`.
    #[serde(default)]
    pub count: u64,
}

impl Default for DeviceFault {
    fn default() -> Self {
        Self { command: CommandFault::None, delay_ms: 0, count: 0 }
    }
}

impl DeviceFault {
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.delay_ms > 600_000 {
            bail!("delay_ms is {}: give 600000 at most", self.delay_ms);
        }
        Ok(())
    }

    pub(crate) fn read(body: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(body).context(
            "send {\"command\": \"slow\", \"delay_ms\": 2000, \"count\": 1}; commands go wrong as slow, reset_before, \
             reset_after, reset_mid, unauthorized, busy or none",
        )
    }

    /// What is wrong with the command that is here now.
    pub(crate) fn take(&mut self) -> (CommandFault, Duration) {
        let taken = (self.command, Duration::from_millis(self.delay_ms));
        if self.count == 1 {
            *self = Self::default();
        }
        self.count = self.count.saturating_sub(1);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_as_many_commands_as_it_is_to() {
        let mut twice = DeviceFault::read(b"{\"command\": \"busy\", \"count\": 2}").unwrap();
        let taken: Vec<CommandFault> = (0..3).map(|_| twice.take().0).collect();
        assert_eq!(taken, [CommandFault::Busy, CommandFault::Busy, CommandFault::None]);
        let mut always = DeviceFault::read(b"{\"command\": \"slow\", \"delay_ms\": 5}").unwrap();
        assert!((0..9).all(|_| always.take() == (CommandFault::Slow, Duration::from_millis(5))));
        assert!(DeviceFault::read(b"{\"command\": \"sloow\"}").is_err());
    }
}
