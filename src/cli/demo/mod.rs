//! `switchroom demo`: the server on a temporary store, a simulated fleet that makes calls, and a live view.
//! Nothing is left behind, and nothing goes further than this machine.

mod fleet;
mod panels;
mod plain;
mod screen;
mod snapshot;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use switchroom_simulator::Fleet;

use super::signals::Stop;
use super::{duration, output, ports};
use crate::app::App;
use crate::config::Config;
use crate::devices::DeviceSecrets;

const API: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
const REPORTS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8989);

/// Options of `switchroom demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  switchroom demo\n  switchroom demo --seed 7 --for 30s\n\n\
    It prints an address with a ready login link. q or Ctrl-C ends it; nothing is left behind.")]
pub(super) struct Args {
    /// The same seed makes the same calls.
    #[arg(long, default_value_t = 42, value_name = "N")]
    seed: u64,
    /// Ends by itself after this time.
    #[arg(long = "for", value_parser = duration::parse, value_name = "TIME")]
    run_for: Option<Duration>,
    /// Where the API and the console listen [default: 127.0.0.1:8080, or any free port]
    #[arg(long, value_name = "ADDR")]
    api: Option<SocketAddr>,
    /// Where the devices report to [default: 127.0.0.1:8989, or any free port]
    #[arg(long, value_name = "ADDR")]
    reports: Option<SocketAddr>,
    /// How many devices: sim-1, sim-2 …
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=200), value_name = "N")]
    devices: u16,
    /// Calls in a minute, all devices together.
    #[arg(long, default_value_t = 60.0, value_parser = calls_per_minute, value_name = "N")]
    calls_per_minute: f64,
}

fn calls_per_minute(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.0..=60_000.0).contains(rate));
    rate.ok_or_else(|| "give a number from 0 to 60000".to_owned())
}

impl Args {
    /// Whether the live view covers the terminal.
    pub(super) fn takes_the_screen(&self) -> bool {
        std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
    }
}

/// What a running demo consists of.
struct Demo {
    app: App,
    fleets: Vec<Fleet>,
    token: String,
    started: Instant,
}

/// Runs the demo to its end.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("switchroom-demo-").tempdir();
    let folder = folder.context("no temporary folder can be made; set TMPDIR to one that can be written")?;
    // The fleet has a thread of its own, so that drawing and serving do not slow its calls.
    let others = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let result = actix_rt::System::new().block_on(demonstrate(args, folder.path(), others.handle()));
    others.shutdown_timeout(Duration::from_secs(1));
    folder.close().context("the temporary folder could not be removed")?;
    result
}

async fn demonstrate(args: Args, folder: &Path, others: &tokio::runtime::Handle) -> anyhow::Result<()> {
    let mut stop = Stop::listen_on_terminal()?;
    let demo = start(&args, folder, others).await?;
    let shown = match greet(&demo) {
        Err(error) => Err(error),
        Ok(()) if args.takes_the_screen() => screen::show(&demo, &args, &mut stop).await,
        Ok(()) => plain::show(&demo, &args, &mut stop).await,
    };
    let farewell = snapshot::Snapshot::farewell(&demo).await;
    let stopped = stop.finish(demo.stop()).await;
    shown?;
    stopped.context("stopped at once")?;
    output::say(&farewell)
}

/// Starts the server, registers the devices, and has them make calls.
async fn start(args: &Args, folder: &Path, others: &tokio::runtime::Handle) -> anyhow::Result<Demo> {
    let token = crate::random::token(24);
    let mut config = Config::default();
    config.api.listen = address("--api", args.api, API)?;
    config.reports.listen = address("--reports", args.reports, REPORTS)?;
    // Who gives an address that others can reach wants it to be reached.
    config.api.insecure = !config.api.listen.ip().is_loopback();
    config.api.admin_token = Some(token.clone());
    config.store.url = format!("sqlite://{}", folder.join("switchroom.db").display());
    let app = App::start(config).await?;
    for (settings, secrets) in fleet::devices(args.devices)? {
        app.services.put_device(settings, secrets, false).await?;
    }
    let mut fleets = Vec::new();
    for config in fleet::configs(args.devices, args.seed, args.calls_per_minute, app.reports_address) {
        let started =
            others.spawn(Fleet::start(config)).await.context("the simulated fleet did not start")?;
        let fleet = started?;
        take_commands(&app, &fleet).await?;
        fleets.push(fleet);
    }
    Ok(Demo { app, fleets, token, started: Instant::now() })
}

/// Tells the server where the fleet's devices take commands.
async fn take_commands(app: &App, fleet: &Fleet) -> anyhow::Result<()> {
    for device in app.services.registry.all() {
        let Some(address) = fleet.command_address(device.settings.id.as_str()) else { continue };
        let mut settings = device.settings.clone();
        settings.address = Some(format!("http://{address}"));
        let secrets = DeviceSecrets { web_password: Some("admin".into()), ..device.secrets.clone() };
        app.services.put_device(settings, secrets, false).await?;
    }
    Ok(())
}

/// The address that was given, which must be free; or the default one, or any free one in its stead.
fn address(option: &str, given: Option<SocketAddr>, default: SocketAddr) -> anyhow::Result<SocketAddr> {
    if let Some(given) = given {
        ports::must_be_free(option, given)?;
        return Ok(given);
    }
    let free = ports::free_or_any(default);
    if free != default {
        output::say(&format!("{default} is taken, so another port is used ({option} chooses one)"))?;
    }
    Ok(free)
}

/// Says where everything is.
fn greet(demo: &Demo) -> anyhow::Result<()> {
    let base = demo.base();
    output::say(&format!(
        "Switchroom demo: {} simulated exchanges make calls\n\
         Console:  {}\n\
         API:      {base}/api/v1\n\
         Docs:     {base}/docs\n\
         Reports:  http://{}\n\
         Token:    {}",
        demo.app.services.registry.all().len(),
        demo.login(),
        demo.app.reports_address,
        demo.token,
    ))
}

impl Demo {
    /// Where the API is.
    fn base(&self) -> String {
        format!("http://{}", self.app.api_address)
    }

    /// A link that logs in.
    fn login(&self) -> String {
        format!("{}/login?token={}", self.base(), self.token)
    }

    /// The fleet first, so that what it sent is taken in; then the server.
    async fn stop(self) {
        for fleet in &self.fleets {
            fleet.stop().await;
        }
        self.app.stop().await;
    }
}
