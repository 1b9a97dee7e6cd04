//! The admin port: tells the truth and takes faults. A small HTTP/1.1 server of one request a
//! connection, with bounds on everything a client can send.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tracing::debug;

use super::DeviceAction;
use super::faults::DeviceFault;
use super::recordings::RecordingFault;
use super::shared::Shared;
use crate::config::Faults;
use crate::engine::Watching;

const HEAD_LIMIT: usize = 8 * 1024;
const BODY_LIMIT: usize = 64 * 1024;
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 64;

/// Serves until the fleet stops.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error means that the fleet was dropped.
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: others will be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let shared = shared.clone();
        tokio::spawn(async move {
            if tokio::time::timeout(REQUEST_WITHIN, converse(stream, &shared)).await.is_err() {
                debug!("an admin client took too long");
            }
            drop(permit);
        });
    }
}

/// One request and its answer.
async fn converse(mut stream: TcpStream, shared: &Shared) {
    let (status, body) = match read_request(&mut stream).await {
        Ok(Some(request)) => respond(shared, &request),
        Ok(None) => return,
        Err((status, detail)) => (status, json!({ "error": detail })),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        status,
        reason(status),
        body.len()
    );
    // A client that has gone does not want its answer.
    let _ = stream.write_all((head + &body).as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        _ => "Error",
    }
}

struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
}

type Refusal = (u16, &'static str);

/// Reads one request; `None` if the client left before there was one.
async fn read_request(stream: &mut TcpStream) -> Result<Option<Request>, Refusal> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if bytes.len() > HEAD_LIMIT {
            return Err((431, "the request's head is too long: send fewer headers"));
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(read) => bytes.extend_from_slice(buffer.get(..read).unwrap_or_default()),
        }
    };
    let body_so_far = bytes.split_off(head_end);
    let head = String::from_utf8(bytes).map_err(|_| (400, "the request's head is not text"))?;
    let mut words = head.lines().next().unwrap_or_default().split_ascii_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !path.starts_with('/') {
        return Err((400, "this is no HTTP request: send METHOD /path HTTP/1.1"));
    }
    let path = path.split('?').next().unwrap_or_default();
    let (method, path) = (method.to_owned(), path.to_owned());
    let body = read_body(stream, &head, body_so_far).await?;
    Ok(Some(Request { method, path, body }))
}

async fn read_body(stream: &mut TcpStream, head: &str, mut body: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    let field = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    if field("transfer-encoding").is_some() {
        return Err((400, "chunked bodies are not taken here: send a Content-Length"));
    }
    let length: usize = match field("content-length").map(str::parse) {
        None => 0,
        Some(Ok(length)) => length,
        Some(Err(_)) => return Err((400, "the Content-Length is no number")),
    };
    if length > BODY_LIMIT {
        return Err((413, "the body is too long: 64 KiB at most"));
    }
    if length > body.len() && field("expect").is_some() {
        // A client that asks before it sends may go away before it is told; the read will show.
        let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    }
    let mut buffer = [0; 4096];
    while body.len() < length {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return Err((400, "the body ended before its Content-Length")),
            Ok(read) => body.extend_from_slice(buffer.get(..read).unwrap_or_default()),
        }
    }
    body.truncate(length);
    Ok(body)
}

fn respond(shared: &Shared, request: &Request) -> (u16, Value) {
    let segments: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET" | "HEAD", ["healthz"]) => (200, json!({ "status": "ok" })),
        ("GET", ["truth"]) => match serde_json::to_value(shared.truth()) {
            Ok(truth) => (200, truth),
            Err(error) => (500, json!({ "error": error.to_string() })),
        },
        ("GET", ["faults"]) => (200, json!(shared.faults())),
        ("POST", ["faults"]) => set_faults(shared, &request.body),
        ("POST", ["pause"]) => {
            shared.pause();
            (200, json!({ "status": "paused" }))
        }
        ("POST", ["resume"]) => {
            shared.resume();
            (200, json!({ "status": "running" }))
        }
        ("POST", ["devices", device, "calls"]) => place_call(shared, device, &request.body),
        ("POST", ["devices", device, "fault"]) => set_device_fault(shared, device, &request.body),
        ("POST", ["devices", device, "recordings"]) => set_recording_fault(shared, device, &request.body),
        ("POST", ["devices", device, "watching"]) => set_watching(shared, device, &request.body),
        ("POST", ["devices", device, action]) => act(shared, device, action),
        (_, ["truth" | "healthz" | "faults" | "pause" | "resume"] | ["devices", _, _]) => (
            405,
            json!({ "error": "this path takes another method: GET /truth and /healthz, POST the others" }),
        ),
        _ => (
            404,
            json!({ "error": "no such path: use GET /truth, GET /healthz, POST /pause, /resume, /faults, \
                              /devices/{device}/{reboot|hang|resume|unplug|plug|calls|fault|recordings|watching}" }),
        ),
    }
}

fn set_faults(shared: &Shared, body: &[u8]) -> (u16, Value) {
    // What is not named stays as it is.
    let mut faults = json!(shared.faults());
    let Ok(Value::Object(wanted)) = serde_json::from_slice::<Value>(body) else {
        return refused("send {\"drop\": 0.05, \"duplicate\": 0.05, \"reorder\": 0.05}");
    };
    if let Value::Object(faults) = &mut faults {
        faults.extend(wanted);
    }
    let set = serde_json::from_value::<Faults>(faults)
        .map_err(anyhow::Error::from)
        .and_then(|faults| shared.set_faults(faults));
    match set {
        Ok(()) => (200, json!(shared.faults())),
        Err(error) => refused(&error.to_string()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Placed {
    from: String,
    to_trunk: String,
}

fn place_call(shared: &Shared, device: &str, body: &[u8]) -> (u16, Value) {
    let Ok(placed) = serde_json::from_slice::<Placed>(body) else {
        return refused("send {\"from\": \"13012345678\", \"to_trunk\": \"888\"}");
    };
    match shared.place_call(device, &placed.from, &placed.to_trunk) {
        Ok(()) => (202, json!({ "status": "ringing in" })),
        Err(error) => (409, json!({ "error": error.to_string() })),
    }
}

fn set_device_fault(shared: &Shared, device: &str, body: &[u8]) -> (u16, Value) {
    let fault = match DeviceFault::read(body) {
        Ok(fault) => fault,
        Err(error) => return refused(&error.to_string()),
    };
    match shared.set_device_fault(device, fault) {
        Ok(()) => (200, json!(fault)),
        Err(error) => (404, json!({ "error": error.to_string() })),
    }
}

/// `{"fault": "cut", "count": 1}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Downloads {
    fault: RecordingFault,
    #[serde(default)]
    count: u64,
}

fn set_recording_fault(shared: &Shared, device: &str, body: &[u8]) -> (u16, Value) {
    let Ok(Downloads { fault, count }) = serde_json::from_slice(body) else {
        return refused(
            "send {\"fault\": \"cut\", \"count\": 1}; downloads go wrong as missing, cut or none",
        );
    };
    match shared.set_recording_fault(device, fault, count) {
        Ok(()) => (200, json!({ "fault": fault, "count": count })),
        Err(error) => (404, json!({ "error": error.to_string() })),
    }
}

fn set_watching(shared: &Shared, device: &str, body: &[u8]) -> (u16, Value) {
    let read = || {
        let mut fields: serde_json::Map<String, Value> = serde_json::from_slice(body).ok()?;
        let Value::String(extension) = fields.remove("extension")? else { return None };
        Some((extension, serde_json::from_value::<Watching>(Value::Object(fields)).ok()?))
    };
    let Some((extension, switches)) = read() else {
        return refused("send {\"extension\": \"201\", \"monitors\": false}");
    };
    match shared.set_watching(device, &extension, switches) {
        Ok(()) => (200, json!(switches)),
        Err(error) => (404, json!({ "error": error.to_string() })),
    }
}

fn act(shared: &Shared, device: &str, action: &str) -> (u16, Value) {
    let known = match action {
        "reboot" => DeviceAction::Reboot,
        "hang" => DeviceAction::Hang,
        "resume" => DeviceAction::Resume,
        "unplug" => DeviceAction::Unplug,
        "plug" => DeviceAction::Plug,
        _ => {
            return (
                404,
                json!({ "error": "no such action: use reboot, hang, resume, unplug, plug, calls, fault, watching" }),
            );
        }
    };
    match shared.act(device, known) {
        Ok(()) => (200, json!({ "device": device, "done": action })),
        Err(error) => (404, json!({ "error": error.to_string() })),
    }
}

fn refused(detail: &str) -> (u16, Value) {
    (400, json!({ "error": detail }))
}
