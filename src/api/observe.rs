//! `/metrics`, `/metrics/devices/{device}`, `/healthz`, `/readyz`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use actix_web::{FromRequest, dev::Payload};
use actix_web::{HttpRequest, HttpResponse, web};
use prometheus::{Encoder, Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use switchroom_actors::device::messages::{GetCalls, GetExtensions, GetGroups, GetTrunks};
use utoipa::{IntoParams, ToSchema};

use super::State;
use super::auth::Caller;
use super::error::{Problem, ProblemBody};
use super::input::Params;
use super::view::{ask, device};
use crate::devices::Device;
use crate::link::yeastar::LoginState;
use crate::metrics::{Detail, DeviceGauges, EXTENSION_STATES, TRUNK_STATES};

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
    let (metrics, census) = (&state.services.metrics, &state.services.census);
    let (devices, vitals) = (state.services.registry.all(), census.vitals());
    let mut by_site: BTreeMap<String, i64> = BTreeMap::new();
    let mut all = Vec::with_capacity(devices.len());
    for device in &devices {
        let settings = &device.settings;
        let in_queues = by_site.entry(settings.site.clone()).or_default();
        // Of one whose cell is being rebuilt nothing is known for a moment.
        let Some(vitals) = vitals.get(&settings.id) else { continue };
        *in_queues += vitals.waiting();
        all.push(DeviceGauges {
            id: settings.id.to_string(),
            up: vitals.is_up(),
            last_report: vitals.last_report_at().map(|time| time.0 as f64 / 1000.0),
            boots: vitals.boots(),
            clock_skew: device.clock_offset(),
            trunks: vitals.trunks(),
            site: settings.site.clone(),
            dialect: settings.dialect.as_str(),
            facts: device.info.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            commands_waiting: device.handle.commands_waiting(),
            is_silent: device.handle.is_silent(),
            logged_in: device.login().map(|login| login.state == LoginState::LoggedIn),
        });
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
    let text = metrics.scrape(census, &all)?;
    Ok(HttpResponse::Ok().content_type(TEXT).body(text))
}

/// Which devices are listed for Prometheus.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DiscoveryQuery {
    /// Only those of this site.
    site: Option<String>,
    /// Only these, separated by commas.
    device: Option<String>,
}

/// Devices as Prometheus' HTTP service discovery takes them (`http_sd_configs`): each is scraped in detail, at the address
/// at which this was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Discovered {
    /// Where.
    #[schema(example = json!(["switchroom.example:8080"]))]
    targets: [String; 1],
    /// `__metrics_path__`, and the device's labels.
    labels: BTreeMap<&'static str, String>,
}

/// The devices, for Prometheus' HTTP service discovery.
#[utoipa::path(get, path = "/metrics/devices", tag = "operation", params(DiscoveryQuery),
    responses((status = 200, body = Vec<Discovered>), (status = 401, body = ProblemBody)))]
pub(super) async fn discovery(
    state: web::Data<State>,
    request: HttpRequest,
    Params(query): Params<DiscoveryQuery>,
) -> Result<web::Json<Vec<Discovered>>, Problem> {
    let devices = match caller(&request).await {
        Some(caller) => super::view::devices(&state, &caller),
        None => state.services.registry.all(),
    };
    let named = query.device.as_ref().map(|names| super::input::list(Some(names)));
    let is_wanted = |device: &Arc<Device>| {
        query.site.as_ref().is_none_or(|site| device.settings.site == *site)
            && named.as_ref().is_none_or(|names| names.contains(&device.settings.id.as_str()))
    };
    let here = request.connection_info().host().to_owned();
    let found = devices.iter().filter(|device| is_wanted(device)).map(|device| {
        let id = device.settings.id.to_string();
        let labels = BTreeMap::from([
            ("__metrics_path__", format!("/metrics/devices/{id}")),
            ("device", id),
            ("site", device.settings.site.clone()),
        ]);
        Discovered { targets: [here.clone()], labels }
    });
    Ok(web::Json(found.collect()))
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
        Some(caller) => {
            caller.require_all_extensions()?;
            device(&state, &caller, &path)?
        }
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
    let detail = Detail::register(&registry)?;
    for state in EXTENSION_STATES {
        detail.extensions.with_label_values(&[id, state]);
    }
    for view in ask(device, GetExtensions(None)).await? {
        let state = word(&view.state);
        detail.extensions.with_label_values(&[id, &state]).inc();
        detail.extension_state.with_label_values(&[id, view.number.as_str(), &state]).set(1);
    }
    for state in TRUNK_STATES {
        detail.trunks.with_label_values(&[id, state]);
    }
    for view in ask(device, GetTrunks(None)).await? {
        detail.trunks.with_label_values(&[id, &word(&view.state)]).inc();
    }
    for view in ask(device, GetGroups).await? {
        let count = i64::try_from(view.waiting_count).unwrap_or(i64::MAX);
        detail.waiting.with_label_values(&[id, view.queue_id.as_str()]).set(count);
    }
    for direction in switchroom_domain::view::Direction::ALL {
        detail.calls.with_label_values(&[id, direction.as_str()]);
    }
    for view in ask(device, GetCalls(None)).await? {
        detail.calls.with_label_values(&[id, view.direction.as_str()]).inc();
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
