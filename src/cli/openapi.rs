//! `switchroom openapi`: the OpenAPI document.

use super::output;

/// Options of `switchroom openapi`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  switchroom openapi > openapi.json")]
pub(super) struct Args {}

/// Prints the document.
pub(super) fn run(_: &Args) -> anyhow::Result<()> {
    output::say(&serde_json::to_string_pretty(&crate::api::openapi())?)
}
