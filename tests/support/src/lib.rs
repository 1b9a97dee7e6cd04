//! A real service, real sockets and the comparison with the simulator's truth, for tests and benchmarks.

pub mod conversations;
pub mod offline;
pub mod postgres;
pub mod postgres_between;
pub mod prometheus;
pub mod raw;
pub mod receiver;
pub mod s3;
pub mod service;
pub mod store;
pub mod truth;

pub use prometheus::promtool;
pub use receiver::{Heard, Receiver, Reply};
pub use service::Service;

/// An admin token for tests.
pub const TOKEN: &str = "a-token-that-only-tests-use";

/// Waits until a condition holds; says whether it came to hold in time. It looks often, so it costs little
/// more than the condition takes.
pub async fn eventually(within: std::time::Duration, mut condition: impl AsyncFnMut() -> bool) -> bool {
    let deadline = std::time::Instant::now() + within;
    loop {
        if condition().await {
            return true;
        }
        if std::time::Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
