//! `/metrics`, `/metrics/devices/{device}`, `/healthz`, `/readyz`.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::{FromRequest, dev::Payload};
use actix_web::{HttpRequest, HttpResponse, web};
use prometheus::{Encoder, IntGaugeVec, Opts, Registry, TextEncoder};
use serde::Serialize;
use switchroom_actors::device::messages::{GetCalls, GetExtensions, GetGroups, GetStatus, GetTrunks};
use utoipa::ToSchema;

use super::State;
use super::auth::Caller;
use super::error::{Problem, ProblemBody};
use super::view::{ask, ask_all, device};
use crate::devices::Device;
use crate::link::yeastar::LoginState;

/// The Prometheus text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// A commit that takes longer means that the disk does not keep up.
const SLOW_COMMIT: Duration = Duration::from_secs(2);

/// Whoever asks, if a token was sent: these routes may be open.
async fn caller(request: &HttpRequest) -> Option<Caller> {
    Caller::from_request(request, &mut Payload::None).await.ok()
}

/// All metrics, in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, content_type = "text/plain", body = String), (status = 401, body = ProblemBody)))]
pub(super) async fn metrics(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    if let Some(caller) = caller(&request).await {
        caller.require_unscoped()?;
    }
    let metrics = &state.services.metrics;
    if metrics.per_device() {
        for (device, status) in ask_all(state.services.registry.all(), || GetStatus).await {
            let last = status.and_then(|status| status.last_report_at);
            // A device that was never heard of is not up; one whose cell is busy keeps what it had.
            metrics.device(
                device.settings.id.as_str(),
                last.is_some(),
                last.map(|time| time.0 as f64 / 1000.0),
            );
        }
    }
    for device in state.services.registry.all() {
        metrics.command_depth(device.settings.id.as_str(), device.handle.commands_waiting());
        let login = device.login().map(|login| login.state == LoginState::LoggedIn);
        metrics.login(device.settings.id.as_str(), login);
    }
    let census = &state.services.census;
    let devices = state.services.registry.all();
    let waiting = census.waiting();
    let mut by_site = BTreeMap::new();
    for device in &devices {
        let count = waiting.get(&device.settings.id).copied().unwrap_or(0);
        *by_site.entry(device.settings.site.clone()).or_insert(0) += count;
    }
    metrics.waiting(&by_site);
    let depth: usize = devices.iter().map(|device| device.handle.depth()).sum();
    metrics.mailbox_depth.with_label_values(&["device"]).set(i64::try_from(depth).unwrap_or(i64::MAX));
    let depth = state.services.store.backlog();
    metrics.mailbox_depth.with_label_values(&["store"]).set(i64::try_from(depth).unwrap_or(i64::MAX));
    let now = crate::clock::now();
    for webhook in state.services.webhooks.all() {
        let standing = webhook.standing();
        let lag = standing.oldest.map_or(0.0, |oldest| now.since(oldest).seconds());
        metrics.webhook(&webhook.id, standing.pending, lag);
    }
    for target in state.services.targets.all() {
        let standing = target.standing();
        metrics.target(&target.id, standing.pending, standing.lag(now), standing.counts.lost);
    }
    let standing = state.services.forwarding.known().map(|known| known.standing()).unwrap_or_default();
    metrics.forwarding(standing.pending, standing.lag(now));
    let text = metrics.scrape(census)?;
    Ok(HttpResponse::Ok().content_type(TEXT).body(text))
}

/// One device in detail, in the Prometheus text format.
#[utoipa::path(get, path = "/metrics/devices/{device}", tag = "operation", params(("device" = String, Path)),
    responses((status = 200, content_type = "text/plain", body = String), (status = 404, body = ProblemBody)))]
pub(super) async fn device_metrics(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let device = match caller(&request).await {
        Some(caller) => device(&state, &caller, &path)?,
        None => {
            let id = super::input::device_id(&path)?;
            state.services.registry.get(&id).ok_or_else(|| Problem::no_device(&path))?
        }
    };
    let registry = detail(&device).await?;
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(HttpResponse::Ok().content_type(TEXT).body(text))
}

/// The series of one device.
async fn detail(device: &Device) -> Result<Registry, Problem> {
    let id = device.settings.id.as_str();
    let registry = Registry::new();
    let gauge = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
        let gauge = IntGaugeVec::new(Opts::new(name, help).const_label("device", id), labels)?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    };
    let by_state = gauge("switchroom_device_extensions", "The device's extensions by state.", &["state"])?;
    let each =
        gauge("switchroom_extension_state", "1 for the state of each extension.", &["extension", "state"])?;
    for state in ["idle", "ringing", "busy", "offline", "unknown"] {
        by_state.with_label_values(&[state]);
    }
    for view in ask(device, GetExtensions(None)).await? {
        let state = word(&view.state);
        by_state.with_label_values(&[&state]).inc();
        each.with_label_values(&[view.number.as_str(), &state]).set(1);
    }
    let trunks = gauge("switchroom_device_trunks", "The device's trunks by state.", &["state"])?;
    for state in ["ready", "active", "unwired", "offline", "unknown"] {
        trunks.with_label_values(&[state]);
    }
    for view in ask(device, GetTrunks(None)).await? {
        trunks.with_label_values(&[&word(&view.state)]).inc();
    }
    let waiting =
        gauge("switchroom_group_waiting", "Callers that wait, by the device's own queue.", &["queue_id"])?;
    for view in ask(device, GetGroups).await? {
        let count = i64::try_from(view.waiting_count).unwrap_or(i64::MAX);
        waiting.with_label_values(&[view.queue_id.as_str()]).set(count);
    }
    let calls = gauge("switchroom_device_calls", "The device's live calls by direction.", &["direction"])?;
    for direction in switchroom_domain::view::Direction::ALL {
        calls.with_label_values(&[direction.as_str()]);
    }
    for view in ask(device, GetCalls(None)).await? {
        calls.with_label_values(&[view.direction.as_str()]).inc();
    }
    Ok(registry)
}

/// A state's name as it stands in JSON.
fn word(state: &impl Serialize) -> String {
    let json = serde_json::to_value(state).ok();
    json.as_ref().and_then(serde_json::Value::as_str).unwrap_or("unknown").to_owned()
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = Health)), security(()))]
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ok", reasons: Vec::new(), checks: BTreeMap::new() })
}

/// How the service does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`, or `unavailable`.
    status: &'static str,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    /// Each part that was looked at.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    checks: BTreeMap<&'static str, bool>,
}

/// Whether it takes work: the store commits, and it is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses((status = 200, body = Health), (status = 503, body = Health)), security(()))]
pub(super) async fn readyz(state: web::Data<State>) -> HttpResponse {
    let store = state.services.store.health();
    let mut reasons = Vec::new();
    if let Some(error) = &store.error {
        tracing::debug!(error, "not ready");
        reasons.push("the store cannot commit; the log says why".to_owned());
    }
    if let Some(busy) = store.busy_since.map(|since| since.elapsed()).filter(|busy| *busy > SLOW_COMMIT) {
        reasons.push(format!("the store has been at one commit for {} seconds", busy.as_secs()));
    }
    let store_is_good = reasons.is_empty();
    let lost = state.services.listeners.lost.load(std::sync::atomic::Ordering::Relaxed);
    if lost > 0 {
        reasons.push(format!("{lost} report listeners have ended; restart the service"));
    }
    let stopping = *state.services.stopping.borrow() || *state.ending.borrow();
    if stopping {
        reasons.push("the service is stopping".to_owned());
    }
    let checks = BTreeMap::from([("store", store_is_good), ("reports", lost == 0), ("running", !stopping)]);
    if reasons.is_empty() {
        HttpResponse::Ok().json(Health { status: "ok", reasons, checks })
    } else {
        HttpResponse::ServiceUnavailable().json(Health { status: "unavailable", reasons, checks })
    }
}
