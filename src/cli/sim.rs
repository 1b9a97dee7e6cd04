//! `switchroom sim`: simulated devices as a process of their own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use switchroom_simulator::{Close, Connection, Dialect, Faults, Fleet, FleetConfig, Method, Mix};

use super::signals::Stop;
use super::{duration, usage_error};

/// Options of `switchroom sim`.
#[derive(Debug, clap::Parser)]
#[command(after_help = "Example:\n  switchroom sim --dialect om --devices 3 --calls-per-minute 120 \
    --report-to http://127.0.0.1:8989 --for 60s\n\n\
    The server must know the devices: sim-1, sim-2 … with the report paths sim-1, sim-2 …\n\
    `curl http://127.0.0.1:9100/truth` tells what the devices know of themselves.")]
pub(super) struct Args {
    /// Whose devices they pretend to be: om, yeastar or zycoo.
    #[arg(long, default_value = "om", value_parser = read::<Dialect>)]
    dialect: Dialect,
    /// How many devices: sim-1, sim-2 …
    #[arg(long, default_value_t = 3, value_name = "N")]
    devices: usize,
    /// Extensions on each device.
    #[arg(long, default_value_t = 20, value_name = "N")]
    extensions: usize,
    /// Trunks on each device.
    #[arg(long, default_value_t = 4, value_name = "N")]
    trunks: usize,
    /// Calls in a minute, all devices together.
    #[arg(long, default_value_t = 60.0, value_name = "N")]
    calls_per_minute: f64,
    /// Where reports go; device N reports to URL/sim-N.
    #[arg(long, default_value = "http://127.0.0.1:8989", value_name = "URL")]
    report_to: String,
    /// The first device's command endpoint; the others follow on the next ports.
    #[arg(long, default_value = "127.0.0.1:9000", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where the truth is told and faults are taken.
    #[arg(long, default_value = "127.0.0.1:9100", value_name = "ADDR")]
    admin: SocketAddr,
    /// The same seed makes the same calls.
    #[arg(long, default_value_t = 42, value_name = "N")]
    seed: u64,
    /// How long people talk, on average.
    #[arg(long, default_value = "5s", value_parser = duration::parse, value_name = "TIME")]
    talk: Duration,
    /// Which calls are made, as weights; what is not named keeps its own.
    #[arg(long, default_value = "inbound=40,outbound=30,internal=30", value_parser = read::<Mix>)]
    mix: Mix,
    /// How much faster than the clock on the wall.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    speed: f64,
    /// The reports' HTTP method, get or post; by default the vendor's own.
    #[arg(long, value_parser = read::<Method>)]
    method: Option<Method>,
    /// A connection for each report (short), or one for all (long).
    #[arg(long, default_value = "short", value_parser = read::<Connection>)]
    connection: Connection,
    /// Close before the answer (early) or after it (late).
    #[arg(long, default_value = "late", value_parser = read::<Close>)]
    close: Close,
    /// How likely a report never leaves the device, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    drop: f64,
    /// How likely a report is sent twice, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    duplicate: f64,
    /// How likely a report is overtaken by later ones, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    reorder: f64,
    /// What commands must be signed with (API_PASSWORD); without it everybody may give them.
    #[arg(long, value_name = "PASSWORD")]
    api_password: Option<String>,
    /// The password of the devices' web interface, where their system parameters are.
    #[arg(long, default_value = "admin", value_name = "PASSWORD")]
    web_password: String,
    /// Yeastars report only while somebody is logged in (name api, the web password), who may say where to.
    #[arg(long)]
    require_login: bool,
    /// What every trunk's API switch is set to, 0x07, 0x17 (asks before a call is let in), 0x27 (after), 0x37; then no
    /// application is pretended.
    #[arg(long, value_parser = api_switch, value_name = "BITS")]
    trunk_api: Option<u8>,
    /// The devices' firmware, which decides what they know.
    #[arg(long, default_value = "Rev 2.1.5.124", value_name = "REVISION")]
    firmware: String,
    /// Ends by itself after this time; otherwise Ctrl-C ends it.
    #[arg(long = "for", value_parser = duration::parse, value_name = "TIME")]
    run_for: Option<Duration>,
}

/// A trunk's API switch, as the devices write it.
fn api_switch(text: &str) -> Result<u8, String> {
    let bits = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u8::from_str_radix(hex, 16));
    bits.map_err(|_| "one of 0x07, 0x17, 0x27 and 0x37".to_owned())
}

/// Reads one of the simulator's words; for clap.
fn read<T: std::str::FromStr<Err = anyhow::Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: anyhow::Error| format!("{error:#}"))
}

impl Args {
    fn fleet(&self) -> FleetConfig {
        FleetConfig {
            dialect: self.dialect,
            devices: self.devices,
            extensions: self.extensions,
            trunks: self.trunks,
            calls_per_minute: self.calls_per_minute,
            report_to: self.report_to.clone(),
            listen: (self.dialect == Dialect::Om || self.require_login).then_some(self.listen),
            require_login: self.require_login,
            admin: Some(self.admin),
            seed: self.seed,
            talk: self.talk,
            mix: self.mix,
            speed: self.speed,
            method: self.method,
            connection: self.connection,
            close: self.close,
            faults: Faults { drop: self.drop, duplicate: self.duplicate, reorder: self.reorder },
            run_for: self.run_for,
            api_password: self.api_password.clone(),
            web_password: self.web_password.clone(),
            trunk_api: self.trunk_api,
            firmware: self.firmware.clone(),
            ..FleetConfig::default()
        }
    }
}

/// Runs the fleet to its end.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let config = args.fleet();
    if let Err(error) = config.check() {
        // Numbers that cannot be are wrong usage: said as clap says it, with exit status 2.
        usage_error(&["sim"], &format!("{error:#}"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(simulate(config))
}

async fn simulate(config: FleetConfig) -> anyhow::Result<()> {
    let mut stop = Stop::listen_on_terminal()?;
    let report_to = config.report_to.clone();
    let names =
        if config.devices == 1 { "sim-1".to_owned() } else { format!("sim-1 to sim-{}", config.devices) };
    let admin = config.admin;
    let fleet = Fleet::start(config).await.with_context(|| {
        format!("the fleet did not start (--admin {})", admin.map(|a| a.to_string()).unwrap_or_default())
    })?;
    if let Some(address) = fleet.admin_addr() {
        super::output::say(&format!(
            "{names} report to {report_to}; the truth is at http://{address}/truth"
        ))?;
    }
    let interrupted = tokio::select! {
        () = fleet.wait() => false,
        () = stop.requested() => true,
    };
    if interrupted && stop.finish(fleet.stop()).await.is_none() {
        anyhow::bail!("stopped at once; reports may not have been sent");
    }
    super::output::say(&summary(&fleet))
}

/// One line about what was sent.
fn summary(fleet: &Fleet) -> String {
    let truth = fleet.truth();
    let sum =
        |value: fn(&switchroom_simulator::DeviceTruth) -> u64| truth.devices.values().map(value).sum::<u64>();
    format!(
        "{} devices: {} reports sent ({} doubled, {} repeated), {} lost, {} pending; {} call records sent, {} lost; {} calls live",
        truth.devices.len(),
        fleet.reports_sent(),
        sum(|device| device.reports_doubled),
        sum(|device| device.reports_repeated),
        sum(|device| device.reports_dropped),
        sum(|device| device.reports_pending),
        sum(|device| device.cdrs_sent),
        sum(|device| device.cdrs_dropped.len() as u64),
        sum(|device| device.calls.len() as u64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn args(words: &str) -> Args {
        Args::try_parse_from(std::iter::once("sim").chain(words.split_whitespace())).expect("they parse")
    }

    #[test]
    fn without_options_it_is_the_simulators_default() {
        let (ours, theirs) = (args("").fleet(), FleetConfig::default());
        let theirs = FleetConfig { admin: ours.admin, listen: ours.listen, ..theirs };
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        assert_eq!(ours.admin, Some(SocketAddr::from(([127, 0, 0, 1], 9100))));
        assert_eq!(ours.listen, Some(SocketAddr::from(([127, 0, 0, 1], 9000))));
    }

    #[test]
    fn every_option_reaches_the_fleet() {
        let fleet = args(
            "--dialect yeastar --devices 4 --extensions 21 --trunks 5 --calls-per-minute 61 \
             --report-to http://a:1 --listen 127.0.0.1:9001 --admin 127.0.0.1:9101 --seed 43 --talk 500ms \
             --mix inbound=1,busy=0 --speed 2 --method post --connection long --close early --drop 0.1 \
             --duplicate 0.2 --reorder 0.3 --for 1m",
        )
        .fleet();
        assert_eq!(
            (fleet.dialect, fleet.devices, fleet.extensions, fleet.trunks),
            (Dialect::Yeastar, 4, 21, 5)
        );
        assert_eq!((fleet.report_to.as_str(), fleet.listen, fleet.seed), ("http://a:1", None, 43));
        let yeastar = args("--dialect yeastar --require-login --listen 127.0.0.1:9001").fleet();
        assert!(yeastar.require_login && yeastar.listen.is_some());
        let om = args("--listen 127.0.0.1:9001 --api-password secret --trunk-api 0x37").fleet();
        assert_eq!(om.listen, Some(SocketAddr::from(([127, 0, 0, 1], 9001))));
        assert_eq!((om.api_password.as_deref(), om.trunk_api), (Some("secret"), Some(0x37)));
        assert_eq!((fleet.talk, fleet.run_for), (Duration::from_millis(500), Some(Duration::from_secs(60))));
        assert_eq!((fleet.mix.inbound, fleet.mix.busy, fleet.mix.outbound), (1, 0, 30));
        assert_eq!(
            (fleet.method, fleet.connection, fleet.close),
            (Some(Method::Post), Connection::Long, Close::Early)
        );
        assert_eq!(fleet.faults, Faults { drop: 0.1, duplicate: 0.2, reorder: 0.3 });
        assert!(
            (fleet.speed - 2.0).abs() < f64::EPSILON && (fleet.calls_per_minute - 61.0).abs() < f64::EPSILON
        );
    }

    #[test]
    fn wrong_words_are_wrong_usage() {
        for wrong in ["--dialect x", "--talk 5", "--mix inbounds=1", "--close never", "--devices x"] {
            assert!(Args::try_parse_from(std::iter::once("sim").chain(wrong.split(' '))).is_err(), "{wrong}");
        }
    }
}
