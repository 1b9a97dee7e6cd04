//! Ports: found taken before anything is started.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;

/// Fails when somebody listens there already. The report listeners share their port among threads, so a second
/// server would silently take half of the first one's reports.
pub(super) fn must_be_free(what: &str, address: SocketAddr) -> anyhow::Result<()> {
    let probe = TcpListener::bind(address).map(drop);
    probe.with_context(|| {
        format!(
            "{what} {address} cannot be opened; give another address, or stop what listens there (ss -ltnp)"
        )
    })
}

/// The address, or the same one with port 0 (any free one) when its port is taken.
pub(super) fn free_or_any(address: SocketAddr) -> SocketAddr {
    match TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let taken = listener.local_addr().expect("an address");
        let error = must_be_free("--api", taken).expect_err("it is taken");
        assert!(error.to_string().contains("give another address"));
        assert_eq!(free_or_any(taken).port(), 0);
        drop(listener);
        assert_eq!(free_or_any(taken), taken);
    }
}
