//! The live view where stdout is no terminal: a line every few seconds.

use std::time::Duration;

use super::snapshot::Snapshot;
use super::{Args, Demo};
use crate::cli::duration::clock;
use crate::cli::output;
use crate::cli::signals::Stop;

const EVERY: Duration = Duration::from_secs(3);

/// Shows it until it is told to stop.
pub(super) async fn show(demo: &Demo, args: &Args, stop: &mut Stop) -> anyhow::Result<()> {
    let mut snapshot = Snapshot::default();
    let end = args.run_for.map(|run_for| tokio::time::Instant::from_std(demo.started) + run_for);
    loop {
        snapshot.refresh(demo).await;
        let seconds = i64::try_from(demo.started.elapsed().as_secs()).unwrap_or_default();
        output::say(&format!("{:>6}   {}", clock(seconds), snapshot.summary("   ")))?;
        let next = tokio::time::Instant::now() + EVERY;
        tokio::select! {
            () = tokio::time::sleep_until(end.map_or(next, |end| end.min(next))) => {}
            () = stop.requested() => return Ok(()),
        }
        if end.is_some_and(|end| tokio::time::Instant::now() >= end) {
            return Ok(());
        }
    }
}
