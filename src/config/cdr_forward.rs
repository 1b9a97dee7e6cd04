//! `[cdr_forward]`: call records forwarded as the vendor's devices do it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::om_endpoint::AddressRange;
use super::span::Span;

/// The shortest password.
const SHORTEST: usize = 5;

/// The vendor's interface for forwarding call records.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CdrForwardConfig {
    /// Where it listens; off without it.
    pub listen: Option<SocketAddr>,
    /// The password that sets it up, beside every token of an admin; `file:` reads it from a file.
    pub password: Option<String>,
    /// Addresses that may fetch files without a password.
    pub clients: Vec<AddressRange>,
    /// How long after a failed attempt the next one is made; after the last one a record goes into its file.
    pub retry_schedule: Vec<Span>,
}

impl Default for CdrForwardConfig {
    fn default() -> Self {
        Self {
            listen: None,
            password: None,
            clients: Vec::new(),
            retry_schedule: vec![Span(Duration::from_secs(1))],
        }
    }
}

impl fmt::Debug for CdrForwardConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CdrForwardConfig").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl CdrForwardConfig {
    /// What could not work.
    ///
    /// # Errors
    /// Says what, and how to mend it.
    pub fn check(&self) -> Result<(), String> {
        if self.password.as_ref().is_some_and(|password| password.len() < SHORTEST) {
            return Err(format!("cdr_forward.password has at least {SHORTEST} characters"));
        }
        let steps = &self.retry_schedule;
        if steps.is_empty() || steps.len() > 20 || steps.iter().any(|step| step.0 > Duration::from_secs(3600))
        {
            return Err("cdr_forward.retry_schedule has 1 to 20 steps of at most 1h".to_owned());
        }
        Ok(())
    }
}
