//! Logs: to stderr, for a person or as JSON, at the level that `SWITCHROOM_LOG` asks for.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// What decides how this process logs.
#[derive(Debug)]
pub(super) struct Logging {
    pub(super) format: LogFormat,
    /// The level when `SWITCHROOM_LOG` is not set.
    pub(super) default_level: &'static str,
    /// The terminal is drawn on: log lines there would spoil the picture.
    pub(super) full_screen: bool,
}

impl Logging {
    /// Logs from here on.
    pub(super) fn start(&self) -> anyhow::Result<()> {
        let filter = match std::env::var("SWITCHROOM_LOG") {
            Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).with_context(|| {
                format!("SWITCHROOM_LOG={text:?} is no filter; try info, or switchroom=debug")
            })?,
            _ => EnvFilter::new(self.default_level),
        };
        if self.full_screen && std::io::stderr().is_terminal() {
            return Ok(());
        }
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        // When stderr is gone, a complaint about that would go there too, and end the process.
        let builder = builder.log_internal_errors(false);
        match self.format {
            LogFormat::Json => builder.json().flatten_event(true).init(),
            LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        }
        Ok(())
    }
}
