//! The service, in this process on threads of its own, with a store in a temporary folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use anyhow::Context;
use switchroom::app::{App, Services};
use switchroom::config::Config;
use switchroom::devices::{Device, DeviceSecrets, DeviceSettings};
use switchroom_domain::id::DeviceId;
use switchroom_protocol::Dialect;
use tokio::sync::oneshot;

/// A service that runs; it is stopped in order when dropped.
pub struct Service {
    /// What its parts share: tests may look at everything.
    pub services: Arc<Services>,
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where devices report to.
    pub reports: SocketAddr,
    /// Where OM applications send commands, if they may.
    pub om: Option<SocketAddr>,
    /// Where the forwarding of call records is set up, if it may be.
    pub forward: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    folder: PathBuf,
    owned: Option<tempfile::TempDir>,
}

impl Service {
    /// Starts one in a folder of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut service = Self::start_in(folder.path(), |_| {})?;
        service.owned = Some(folder);
        Ok(service)
    }

    /// Starts one with its store in this folder, and the configuration changed.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_in(folder: &Path, change: impl FnOnce(&mut Config)) -> anyhow::Result<Self> {
        let mut config = Config::default();
        config.api.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.api.admin_token = Some(crate::TOKEN.to_owned());
        config.reports.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        crate::store::place(&mut config, folder);
        change(&mut config);
        let (started, report) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("service".into()).spawn(move || {
            actix::System::new().block_on(async move {
                match App::start(config).await {
                    Ok(app) => {
                        let parts = (
                            Arc::clone(&app.services),
                            app.api_address,
                            app.reports_address,
                            (app.om_address, app.forward_address),
                        );
                        if started.send(Ok(parts)).is_ok() {
                            // Dropped or told: both mean stop.
                            let _ = stopped.await;
                        }
                        app.stop().await;
                    }
                    Err(error) => {
                        // The starter waits for it.
                        let _ = started.send(Err(error));
                    }
                }
            });
        })?;
        let (services, api, reports, (om, forward)) =
            report.recv().context("the service's thread died")??;
        let folder = folder.to_owned();
        Ok(Self {
            services,
            api,
            reports,
            om,
            forward,
            stop: Some(stop),
            thread: Some(thread),
            folder,
            owned: None,
        })
    }

    /// The folder of its store.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a device whose report path is its id.
    ///
    /// # Errors
    /// When it cannot be added.
    pub async fn add(&self, id: &str, dialect: Dialect) -> anyhow::Result<Arc<Device>> {
        self.add_with(id, dialect, DeviceSecrets::default(), |_| {}).await
    }

    /// Adds a device whose report path is its id, with its settings changed.
    ///
    /// # Errors
    /// When it cannot be added.
    pub async fn add_with(
        &self,
        id: &str,
        dialect: Dialect,
        secrets: DeviceSecrets,
        change: impl FnOnce(&mut DeviceSettings),
    ) -> anyhow::Result<Arc<Device>> {
        let mut settings = DeviceSettings::new(DeviceId::new(id)?, dialect);
        settings.report_path = id.to_owned();
        change(&mut settings);
        let settings = settings.complete(&secrets)?;
        self.services.put_device(settings, secrets, false).await
    }

    /// Stops it in order, and keeps its folder.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the service's thread died");
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}
