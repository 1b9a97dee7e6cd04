//! `switchroom send`.

use std::io::Read;

use anyhow::Context;
use reqwest::Method;
use serde_json::Value;

use super::act::show;
use super::{Client, ServerArgs, block_on};

/// Options of `switchroom send`.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "switchroom send [OPTIONS] <DEVICE> <JSON>",
    after_help = "Examples:\n  switchroom send hotel-1 '{\"command\": \"hold\", \"extension\": \"200\"}'\n  \
    switchroom send hotel-1 '{\"command\": \"query\", \"target\": {\"extension\": \"200\"}}' --json\n  \
    switchroom send hotel-1 - < command.json\n\nEvery command and its fields are in docs/commands.md."
)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// The device's id.
    device: String,
    /// The command, or - to read it from stdin.
    #[arg(value_name = "JSON")]
    command: String,
}

/// Sends one typed command.
pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<()> {
    let mut text = args.command.clone();
    if text == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text).context("stdin cannot be read as text")?;
    }
    let command: Value = serde_json::from_str(&text).context(
        "the command is no JSON: write it like {\"command\": \"hold\", \"extension\": \"200\"}, in single quotes for a shell",
    )?;
    let client = Client::new(&args.server)?;
    let path = ["devices", args.device.as_str(), "commands"];
    show(&args.server, &block_on(client.act(Method::POST, &path, Some(&command)))?)
}
