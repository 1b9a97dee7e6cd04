//! An S3 service for tests: moto, from the Python package index. `./test` installs it.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use object_store::ObjectStoreExt;
use object_store::aws::AmazonS3Builder;

use crate::eventually;

/// A running S3 service with one bucket, `calls`. It forgets everything when it is stopped.
pub struct Bucket {
    address: SocketAddr,
    process: Option<Child>,
}

impl Bucket {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When it is not installed, or does not come up.
    pub async fn start() -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut bucket = Self { address, process: None };
        bucket.resume().await?;
        Ok(bucket)
    }

    /// Its URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What is in the bucket under a name.
    ///
    /// # Errors
    /// When there is nothing.
    pub async fn get(&self, name: &str) -> Result<Vec<u8>> {
        let client = AmazonS3Builder::new().with_bucket_name("calls").with_endpoint(self.endpoint());
        let client = client.with_allow_http(true).with_access_key_id("id").with_secret_access_key("secret");
        let found = client.build()?.get(&name.into()).await?;
        Ok(found.bytes().await?.to_vec())
    }

    /// Stops it: nothing answers there any more.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself; then there is nothing to stop.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again, empty.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn resume(&mut self) -> Result<()> {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/moto/bin/moto_server");
        let program = if installed.exists() { installed } else { "moto_server".into() };
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let process = Command::new(&program)
            .args(["-H", &host, "-p", &port])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} cannot be started; ./test installs it", program.display()))?;
        self.process = Some(process);
        let client = reqwest::Client::new();
        let url = format!("{}/calls", self.endpoint());
        let is_up = eventually(Duration::from_secs(60), async || {
            client.put(&url).send().await.is_ok_and(|answer| answer.status().is_success())
        });
        ensure!(is_up.await, "moto_server does not answer");
        Ok(())
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.stop();
    }
}
