//! The command line: one file a command.
//!
//! Exit status: 0 done, 1 it failed (one line on stderr says why and what to do), 2 wrong usage. What a person
//! reads goes to stdout as a table, what a program reads with `--json`; logs go to stderr.

mod check_config;
mod client;
mod demo;
mod duration;
mod logging;
mod migrate_store;
mod openapi;
mod output;
mod ports;
mod reload;
mod replay;
mod serve;
mod signals;
mod sim;
mod table;
mod token;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use logging::{LogFormat, Logging};

/// The control plane for a fleet of telephone exchanges.
#[derive(Debug, Parser)]
#[command(
    name = "switchroom",
    version,
    about,
    after_help = "Example:\n  switchroom demo\n\nEvery command has its own --help with an example."
)]
struct Cli {
    /// How logs are written to stderr.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The server with a simulated fleet that makes calls, and a live view of it.
    Demo(demo::Args),
    /// The server.
    Serve(serve::Args),
    /// Simulated devices that report to a server.
    Sim(sim::Args),
    /// Says what is wrong with a configuration file, or prints what it amounts to.
    CheckConfig(check_config::Args),
    /// API tokens.
    Token(token::Args),
    /// Moves all that is kept into another database: from SQLite to PostgreSQL, or back.
    MigrateStore(migrate_store::Args),
    /// Lists the devices of a server.
    Devices(client::devices::Args),
    /// Lists extensions with their live state.
    Extensions(client::extensions::Args),
    /// Lists live calls.
    Calls(client::calls::Args),
    /// Lists queues and who waits in them.
    Queues(client::queues::Args),
    /// Lists call records, the newest first.
    Cdrs(client::cdrs::Args),
    /// Lists past events, the oldest first, or follows them as they happen.
    Events(client::events::Args),
    /// Makes a call.
    Dial(client::dial::Args),
    /// Hangs up a live call.
    Hangup(client::hangup::Args),
    /// Gives a device one command, as JSON.
    Send(client::send::Args),
    /// Runs recorded reports of a device again, offline, and says whether they lead to the same.
    Replay(replay::Args),
    /// Prints the OpenAPI document of the REST API.
    Openapi(openapi::Args),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let default_level = match cli.command {
        Command::Serve(_) | Command::Sim(_) => "info",
        _ => "warn",
    };
    let full_screen = matches!(&cli.command, Command::Demo(args) if args.takes_the_screen());
    let logging = Logging { format: cli.log_format, default_level, full_screen };
    let result = logging.start().and_then(|()| run(cli.command));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Token(args) => token::run(&args),
        Command::MigrateStore(args) => migrate_store::run(&args),
        Command::Devices(args) => client::devices::run(&args),
        Command::Extensions(args) => client::extensions::run(&args),
        Command::Calls(args) => client::calls::run(&args),
        Command::Queues(args) => client::queues::run(&args),
        Command::Cdrs(args) => client::cdrs::run(&args),
        Command::Events(args) => client::events::run(&args),
        Command::Dial(args) => client::dial::run(&args),
        Command::Hangup(args) => client::hangup::run(&args),
        Command::Send(args) => client::send::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Openapi(args) => openapi::run(&args),
    }
}

/// Ends the program as clap does for what it can see itself: what is wrong, the usage, exit status 2.
fn usage_error(path: &[&str], problem: &str) -> ! {
    let mut cli = Cli::command().bin_name("switchroom");
    cli.build();
    let named = path.iter().fold(&cli, |command, name| command.find_subcommand(name).unwrap_or(command));
    named.clone().error(clap::error::ErrorKind::ValueValidation, problem).exit()
}

/// Whoever read our output has gone (`| head`): nothing failed.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Why it failed, in one line.
fn say_error(error: &anyhow::Error) {
    use std::io::Write;
    // Nobody is left to tell when stderr is gone too.
    let _ = writeln!(std::io::stderr(), "switchroom: {}", one_line(&format!("{error:#}")));
}

/// A text without line ends.
fn one_line(text: &str) -> String {
    text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_command_shows_an_example() {
        let command = Cli::command();
        command.clone().debug_assert();
        let mut all: Vec<_> = command.get_subcommands().collect();
        while let Some(command) = all.pop() {
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains("switchroom "), "{} has no example", command.get_name());
            all.extend(command.get_subcommands());
        }
    }

    #[test]
    fn an_error_is_one_line() {
        assert_eq!(one_line("a\n  b\r\n\nc\n"), "a; b; c");
    }
}
