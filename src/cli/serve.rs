//! `switchroom serve`: the server. SIGTERM and SIGINT drain it, SIGHUP has it read its devices again.

use std::path::{Path, PathBuf};

use super::signals::{self, Stop};
use super::{check_config, output, ports, reload};
use crate::app::App;
use crate::config::Config;

/// Options of `switchroom serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  switchroom serve --config switchroom.toml\n  \
    SWITCHROOM_API__LISTEN=127.0.0.1:9999 switchroom serve\n\n\
    Without --config, the environment and the defaults count. SIGHUP reads [[device]] tables again; \
    SIGTERM finishes what was accepted and ends.")]
pub(super) struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Serves until it is told to stop.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let config = check_config::load(args.config.as_deref())?;
    actix_rt::System::new().block_on(serve(config, args.config.as_deref()))
}

async fn serve(mut config: Config, path: Option<&Path>) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let mut hangup = signals::reload()?;
    ports::must_be_free("reports.listen", config.reports.listen)?;
    ports::must_be_free("api.listen", config.api.listen)?;
    if let Some(om) = config.om_endpoint.listen {
        ports::must_be_free("om_endpoint.listen", om)?;
    }
    if let Some(forward) = config.cdr_forward.listen {
        ports::must_be_free("cdr_forward.listen", forward)?;
    }
    let app = App::start(config.clone()).await?;
    let scheme = if config.api.tls_certificate.is_some() { "https" } else { "http" };
    output::say(&format!("API, docs and metrics:    {scheme}://{}", app.api_address))?;
    let reports = app.reports_address;
    let place = if reports.ip().is_unspecified() {
        format!("THIS-HOST:{}", reports.port())
    } else {
        reports.to_string()
    };
    output::say(&format!("Devices report to:        http://{place}/"))?;
    if let Some(om) = app.om_address {
        output::say(&format!("OM applications command:  http://{om}/DEVICE/xml"))?;
    }
    if let Some(forward) = app.forward_address {
        output::say(&format!(
            "CDR forwarding is set up: http://{forward}/Auth?method=gw.config.set&pass=..."
        ))?;
    }
    tracing::info!(api = %app.api_address, reports = %app.reports_address, "switchroom serves");
    loop {
        tokio::select! {
            () = stop.requested() => break,
            _ = hangup.recv() => match check_config::load(path) {
                Ok(new) => config = reload::apply(&app.services, &config, new).await,
                Err(error) => tracing::error!("nothing was reloaded: {error:#}"),
            },
        }
    }
    tracing::info!("stopping: what was accepted is finished; a second signal ends it at once");
    if stop.finish(app.stop()).await.is_none() {
        tracing::warn!("stopped at once; what was not written down is read from the log at the next start");
        std::process::exit(1);
    }
    tracing::info!("stopped");
    Ok(())
}
