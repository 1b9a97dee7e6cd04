//! Recordings in a bucket: Amazon S3, or what speaks as it does.
//!
//! The store blocks, as every [`Store`] does, and the library does not: what it has to do runs on a small runtime of its
//! own, and whoever asked waits for it.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::path::Path as Name;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;

use super::store::{Reading, Store};
use crate::config::S3Config;

/// What is larger goes up in parts of this size.
const PART: usize = 8 * 1024 * 1024;
/// So much is read at a time: whoever listens hears the beginning soon.
const BLOCK: u64 = 256 * 1024;
/// How long one request may take, and how long it is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A bucket.
pub struct S3(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    prefix: Name,
    /// None once it is dropped.
    runtime: Option<Runtime>,
}

impl Inner {
    fn name(&self, name: &str) -> Name {
        name.split('/').fold(self.prefix.clone(), Name::join)
    }

    /// Waits for what the library does. Not for a thread that runs asynchronous tasks.
    fn wait<T>(&self, task: impl Future<Output = Result<T, object_store::Error>>) -> io::Result<T> {
        let runtime = self.runtime.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        runtime.block_on(task).map_err(|error| match error {
            object_store::Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
            error => io::Error::other(error),
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The last may let go of it on any thread, also on one that may not block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3({})", self.0.prefix)
    }
}

impl S3 {
    /// As it is configured. Nobody is asked yet: a bucket that cannot be reached keeps no service from starting.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    pub fn new(config: &S3Config) -> anyhow::Result<Self> {
        let mut builder = match &config.access_key_id {
            Some(_) => AmazonS3Builder::new(),
            None => AmazonS3Builder::from_env(),
        };
        builder = builder.with_bucket_name(&config.bucket);
        if let (Some(id), Some(secret)) = (&config.access_key_id, &config.secret_access_key) {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        }
        if let Some(region) = &config.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let options =
            ClientOptions::new().with_timeout(PATIENCE).with_connect_timeout(Duration::from_secs(10));
        // The keeper tries again later; whoever listens is not to wait for long.
        let retry =
            RetryConfig { backoff: BackoffConfig::default(), max_retries: 3, retry_timeout: PATIENCE };
        let allow_http = config.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let store = builder
            .with_client_options(options.with_allow_http(allow_http))
            .with_retry(retry)
            .build()
            .context("recordings.s3 cannot be used")?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("s3")
            .enable_all()
            .build()
            .context("no thread for recordings.s3")?;
        let prefix = Name::from(config.prefix.as_str());
        Ok(Self(Arc::new(Inner { store: Arc::new(store), prefix, runtime: Some(runtime) })))
    }
}

impl Store for S3 {
    fn put(&self, file: &Path, name: &str) -> io::Result<()> {
        let to = BufWriter::with_capacity(Arc::clone(&self.0.store), self.0.name(name), PART);
        self.0.wait(async {
            let sent = send(file, to).await;
            sent.map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })
        })?;
        fs::remove_file(file)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Reading>> {
        let name = self.0.name(name);
        let size = self.0.wait(self.0.store.head(&name))?.size;
        Ok(Box::new(Object { inner: Arc::clone(&self.0), name, size, at: 0, block: Vec::new(), block_at: 0 }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.0.wait(self.0.store.delete(&self.0.name(name))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

async fn send(file: &Path, mut to: BufWriter) -> io::Result<()> {
    let mut from = tokio::fs::File::open(file).await?;
    if let Err(error) = tokio::io::copy(&mut from, &mut to).await {
        // What lies there in parts costs money.
        if let Err(error) = to.abort().await {
            tracing::warn!(%error, "parts of a recording may be left in the bucket");
        }
        return Err(error);
    }
    to.shutdown().await
}

/// A recording that is read, a block at a time.
struct Object {
    inner: Arc<Inner>,
    name: Name,
    size: u64,
    at: u64,
    block: Vec<u8>,
    block_at: u64,
}

impl Object {
    /// What of the block lies at and after the place.
    fn rest(&self) -> &[u8] {
        let skip = self.at.checked_sub(self.block_at).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.block.get(skip..)).unwrap_or_default()
    }
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        if self.rest().is_empty() {
            let range = self.at..self.size.min(self.at + BLOCK);
            self.block = self.inner.wait(self.inner.store.get_range(&self.name, range))?.to_vec();
            self.block_at = self.at;
        }
        let count = self.rest().read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Object {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
