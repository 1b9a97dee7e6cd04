//! `switchroom hangup`.

use reqwest::Method;

use super::act::show;
use super::{Client, ServerArgs, block_on};

/// Options of `switchroom hangup`.
#[derive(Debug, clap::Args)]
// Of its own, clap names in a mistake what the environment gave as if it had to be given.
#[command(
    override_usage = "switchroom hangup [OPTIONS] <CALL>",
    after_help = "Example:\n  switchroom hangup 01a1fe07-b7f4-764b-8571-e5ca14f4fabc\n\n\
    `switchroom calls` lists the live calls with their ids; `switchroom dial` prints the id of the call it made."
)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// The call's id; whoever is in it is hung up.
    call: String,
}

/// Hangs up.
pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    show(&args.server, &block_on(client.act(Method::DELETE, &["calls", &args.call], None))?)
}
