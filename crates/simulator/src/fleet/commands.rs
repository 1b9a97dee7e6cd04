//! A device's command endpoint: one listener, one request at a time. Whoever comes meanwhile waits
//! in the listener's backlog, as on the device, whose server is a single loop.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::boa::{self, Read};
use super::faults::CommandFault;
use super::login;
use super::recordings;
use super::shared::Shared;
use crate::config::{Dialect, FleetConfig};
use crate::om;

/// Connections that a hung device keeps at once; the oldest goes when there are more.
const KEPT: usize = 256;

/// One listener for each device, on ports one after another, or any free ones.
pub(crate) async fn listen(config: &FleetConfig) -> anyhow::Result<Vec<TcpListener>> {
    let Some(first) = config.listen.filter(|_| config.dialect != Dialect::Zycoo) else {
        return Ok(Vec::new());
    };
    let mut listeners = Vec::with_capacity(config.devices);
    for index in 0..config.devices {
        let port = match first.port() {
            0 => Some(0),
            port => u16::try_from(index).ok().and_then(|index| port.checked_add(index)),
        };
        let port = port.with_context(|| format!("port {} leaves no room for all devices", first.port()))?;
        let address = SocketAddr::new(first.ip(), port);
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address} for the commands to sim-{}", index + 1))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Serves one device until the fleet stops.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    index: usize,
    mut stopping: watch::Receiver<bool>,
) {
    let mut turns = shared.turns(index);
    // Clients of a device that does not answer: it has their connections, and says nothing.
    let mut kept: Vec<TcpStream> = Vec::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error means that the fleet was dropped.
            _ = stopping.wait_for(|stop| *stop) => return,
            turned = turns.changed() => {
                if turned.is_err() {
                    return;
                }
                if !shared.is_silent(index) {
                    kept.clear();
                }
                continue;
            }
        };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors, most likely: others will be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let unanswered = tokio::select! {
            unanswered = converse(stream, peer.ip().to_canonical(), &shared, index) => unanswered,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        if let Some(stream) = unanswered {
            if kept.len() >= KEPT {
                kept.remove(0);
            }
            kept.push(stream);
        }
    }
}

/// One request and its answer; the connection, if the device does not answer.
async fn converse(mut stream: TcpStream, peer: IpAddr, shared: &Shared, index: usize) -> Option<TcpStream> {
    if shared.is_silent(index) {
        return Some(stream);
    }
    // A device that boots has no server yet.
    if !shared.is_up(index) {
        return None;
    }
    let is_yeastar = shared.takes_logins();
    let read = boa::read(&mut stream, usize::from(!is_yeastar)).await;
    if shared.is_silent(index) {
        return Some(stream);
    }
    let request = match read {
        Read::Whole(request) => request,
        Read::Bad => {
            boa::send(stream, &boa::answer(400, "", unix_ms())).await;
            return None;
        }
        Read::Gone => return None,
    };
    if is_yeastar {
        let asked = login::Request { peer, path: &request.path, query: &request.query, body: &request.body };
        let answer = match (request.method.as_str(), shared.login(index, &asked)) {
            ("POST", Some(body)) => boa::answer(200, &body, unix_ms()),
            ("POST" | "GET" | "HEAD", _) => boa::answer(404, "", unix_ms()),
            _ => boa::answer(501, "", unix_ms()),
        };
        boa::send(stream, &answer).await;
        return None;
    }
    let fault = match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/xml") => shared.take_fault(index),
        ("GET", "/xml") => {
            if let Some(body) = shared.web(index, &request.query) {
                boa::send(stream, &boa::answer(200, &body, unix_ms())).await;
            }
            return None;
        }
        ("GET", _) if recordings::name(&shared.recordings, &request.path).is_some() => {
            give_recording(stream, shared, index, &request).await;
            return None;
        }
        ("POST" | "GET" | "HEAD", _) => {
            boa::send(stream, &boa::answer(404, "", unix_ms())).await;
            return None;
        }
        _ => {
            boa::send(stream, &boa::answer(501, "", unix_ms())).await;
            return None;
        }
    };
    let body = String::from_utf8_lossy(&request.body);
    let refusal = match fault.0 {
        CommandFault::ResetBefore => {
            boa::reset(stream, b"").await;
            return None;
        }
        CommandFault::Unauthorized => Some(om::unauthorized(102)),
        CommandFault::Busy => Some(om::busy()),
        CommandFault::Slow => {
            tokio::time::sleep(fault.1).await;
            None
        }
        _ => None,
    };
    let reply = match refusal {
        Some(refusal) => refusal,
        // It went down in the meantime.
        None => shared.command(index, &om::Request { peer, body: &body, unix_ms: unix_ms() })?,
    };
    let answer = boa::answer(200, &reply, unix_ms());
    match fault.0 {
        CommandFault::ResetAfter => boa::reset(stream, b"").await,
        CommandFault::ResetMid => {
            boa::reset(stream, answer.get(..answer.len() / 2).unwrap_or_default()).await;
        }
        _ => boa::send(stream, &answer).await,
    }
    None
}

/// A recording, to who may have it.
async fn give_recording(stream: TcpStream, shared: &Shared, index: usize, request: &boa::Request) {
    if !recordings::may(&shared.recordings, request) {
        let asks = "WWW-Authenticate: Basic realm=\"Recorder\"\r\n";
        boa::send(stream, &boa::file(401, asks, b"", unix_ms())).await;
        return;
    }
    let name = recordings::name(&shared.recordings, &request.path).unwrap_or_default();
    let (Some(plays), fault) = shared.recording(index, &name) else {
        boa::send(stream, &boa::answer(404, "", unix_ms())).await;
        return;
    };
    let (answer, sent) = recordings::answer(plays, request, fault, unix_ms());
    // Cut off, it still ends in order: a reset might take back what was sent.
    boa::send(stream, answer.get(..sent).unwrap_or_default()).await;
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}
