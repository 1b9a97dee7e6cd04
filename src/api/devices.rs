//! `/devices`: the fleet. [`super::adoption`] takes in what reports without being known.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use switchroom_actors::device::messages::{DeviceStatus, GetStatus};
use switchroom_domain::time::Timestamp;
use utoipa::{IntoParams, ToSchema};

use super::State;
use super::auth::{Caller, Role};
use super::device_input::DeviceFields;
use super::error::{Kind, Problem, ProblemBody};
use super::input::{self, Body, Page, Params, limit, page};
use super::view::{ask_all, device, devices, try_ask};
use crate::devices::{
    Connection, Device, DeviceSecrets, DeviceSettings, Proof, ProofKind, Unadopted, natural,
};
use crate::link::tls::Tls;
use crate::link::yeastar::Login;

/// Whether a device is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeviceState {
    /// It reports.
    Up,
    /// It no longer answers.
    Down,
    /// It has not reported yet.
    Unknown,
    /// It reports, and nobody has adopted it.
    Unadopted,
}

/// A device. Its passwords are written, never read back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeviceView {
    /// Its id.
    #[schema(example = "hotel-1")]
    id: String,
    /// Its name for people.
    name: String,
    /// Its site.
    site: String,
    /// Its time zone.
    #[schema(example = "Asia/Shanghai")]
    timezone: String,
    /// What it speaks: `om`, `yeastar`, `zycoo`.
    dialect: &'static str,
    /// Where it takes commands.
    address: Option<String>,
    /// Where its web interface is, if not at `address`.
    web_address: Option<String>,
    /// Where its recordings are, if not at `address`.
    recording_address: Option<String>,
    /// Who the device lets have its recordings; null: `user`.
    recording_user: Option<String>,
    /// Whether its recordings are fetched, where recordings are on at all.
    fetch_recordings: bool,
    /// Who logs in to a Yeastar; `api` unless given.
    api_user: Option<String>,
    /// Where a Yeastar is told to report to. Null for whom its path is a secret.
    report_url: Option<String>,
    /// With `https` addresses: whom to believe that it is the device.
    tls: Option<Tls>,
    /// Its MAC.
    mac: Option<String>,
    /// Its serial number.
    sn: Option<String>,
    /// The first segment of the path it reports to. Null for whom it is a secret: where the path is the proof,
    /// only operators and admins see it.
    report_path: Option<String>,
    /// The address it reports from, where that is not the host of `address`.
    source: Option<String>,
    /// How its connections are treated.
    connection: Connection,
    /// Whether it is heard of.
    state: DeviceState,
    /// Its model, once it is known.
    model: Option<String>,
    /// Its firmware's revision, once it is known.
    firmware: Option<String>,
    /// When its last report came.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_report_at: Option<Timestamp>,
    /// By how many seconds its clock is ahead, where that was learned.
    clock_offset: Option<i64>,
    /// How it stands with the login to it; only with those that are logged in to.
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<Login>,
    /// How it proves its reports.
    proof: Proof,
    /// Whether it stands in the configuration file, which then has the last word.
    from_file: bool,
}

impl DeviceView {
    /// A device as this caller may see it.
    fn new(device: &Device, caller: &Caller, status: Option<&DeviceStatus>) -> Self {
        let last_report_at = status.and_then(|status| status.last_report_at);
        let state = match status {
            Some(status) if status.unreachable => DeviceState::Down,
            Some(DeviceStatus { last_report_at: Some(_), .. }) => DeviceState::Up,
            _ => DeviceState::Unknown,
        };
        let settings = device.settings.clone();
        let facts = device.info.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let secret = settings.proof.kind == ProofKind::Path && !caller.sees_report_paths();
        Self {
            id: settings.id.to_string(),
            name: settings.name,
            site: settings.site,
            timezone: settings.timezone,
            dialect: settings.dialect.as_str(),
            address: settings.address,
            web_address: settings.web_address,
            recording_address: settings.recording_address,
            recording_user: settings.recording_user,
            fetch_recordings: settings.fetch_recordings,
            api_user: settings.api_user,
            report_url: settings.report_url.filter(|_| !secret),
            tls: settings.tls,
            mac: settings.mac,
            sn: settings.sn,
            report_path: (!secret).then_some(settings.report_path),
            source: settings.source,
            connection: settings.connection,
            state,
            model: facts.model,
            firmware: facts.firmware,
            last_report_at,
            clock_offset: device.clock_offset(),
            login: device.login(),
            proof: settings.proof,
            from_file: device.from_file,
        }
    }

    /// With what its cell says.
    pub(super) async fn ask(device: &Device, caller: &Caller) -> Self {
        let status = try_ask(device, GetStatus).await;
        Self::new(device, caller, status.as_ref())
    }
}

/// A device, or a sender that nobody adopted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum DeviceItem {
    /// A device.
    Device(Box<DeviceView>),
    /// A sender that nobody adopted.
    Unadopted(Box<Unadopted>),
}

impl DeviceItem {
    fn id(&self) -> String {
        match self {
            Self::Device(device) => device.id.clone(),
            Self::Unadopted(sender) => sender.id.clone(),
        }
    }
}

/// Which devices are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeviceQuery {
    /// Only in this state; `unadopted` lists who reports without being known.
    #[param(inline)]
    state: Option<DeviceState>,
    /// Only of this site.
    site: Option<String>,
    /// How many items a page has: 1 to 1000, 100 if not given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The fleet.
#[utoipa::path(get, path = "/api/v1/devices", tag = "devices", params(DeviceQuery),
    responses((status = 200, body = Page<DeviceItem>), (status = 400, body = ProblemBody)))]
pub(super) async fn list(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<DeviceQuery>,
) -> Result<web::Json<Page<DeviceItem>>, Problem> {
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref();
    if query.state == Some(DeviceState::Unadopted) {
        let all = unadopted(&state, &caller, query.site.as_deref());
        return page(all, "unadopted", after, limit, str::to_owned, DeviceItem::id).map(web::Json);
    }
    let mut wanted = devices(&state, &caller);
    wanted.retain(|device| query.site.as_ref().is_none_or(|site| device.settings.site == *site));
    // Without a filter on what the cells say, only those of this page are asked.
    let (all, next_cursor) = if query.state.is_none() {
        let names = wanted.iter().map(|device| device.settings.id.to_string()).collect();
        let names: Page<String> = page(names, "devices", after, limit, natural, Clone::clone)?;
        let here: HashSet<&str> = names.items.iter().map(String::as_str).collect();
        wanted.retain(|device| here.contains(device.settings.id.as_str()));
        (views(wanted, &caller).await, names.next_cursor)
    } else {
        let mut all = views(wanted, &caller).await;
        all.retain(|device| Some(device.state) == query.state);
        let page = page(all, "devices", after, limit, natural, |device| device.id.clone())?;
        (page.items, page.next_cursor)
    };
    let items = all.into_iter().map(|device| DeviceItem::Device(Box::new(device))).collect();
    Ok(web::Json(Page { items, next_cursor }))
}

async fn views(devices: Vec<Arc<Device>>, caller: &Caller) -> Vec<DeviceView> {
    let answers = ask_all(devices, || GetStatus).await;
    let view = |(device, status): (Arc<Device>, Option<_>)| {
        let status: Option<switchroom_actors::device::messages::DeviceStatus> = status;
        DeviceView::new(&device, caller, status.as_ref())
    };
    answers.into_iter().map(view).collect()
}

/// Unknown senders are of no device and of no site, so who is limited to some sees none of them.
fn unadopted(state: &State, caller: &Caller, site: Option<&str>) -> Vec<DeviceItem> {
    if caller.is_scoped() || caller.extensions().is_some() || site.is_some_and(|site| !site.is_empty()) {
        return Vec::new();
    }
    let mut all = state.services.unadopted.all();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let view = |mut sender: Unadopted| {
        if !caller.sees_report_paths() {
            // It may be the path of a device that was removed, and will be its proof again.
            sender.path.clear();
        }
        DeviceItem::Unadopted(Box::new(sender))
    };
    all.into_iter().map(view).collect()
}

/// One device.
#[utoipa::path(get, path = "/api/v1/devices/{device}", tag = "devices", params(("device" = String, Path)),
    responses((status = 200, body = DeviceItem), (status = 404, body = ProblemBody)))]
pub(super) async fn one(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<DeviceItem>, Problem> {
    let found = match device(&state, &caller, &path) {
        Ok(device) => DeviceItem::Device(Box::new(DeviceView::ask(&device, &caller).await)),
        Err(none) => {
            let senders = unadopted(&state, &caller, None);
            senders.into_iter().find(|sender| sender.id() == *path).ok_or(none)?
        }
    };
    Ok(web::Json(found))
}

/// Adds a device.
#[utoipa::path(post, path = "/api/v1/devices", tag = "devices", request_body = DeviceFields,
    responses((status = 201, body = DeviceView), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn create(
    state: web::Data<State>,
    caller: Caller,
    Body(new): Body<DeviceFields>,
) -> Result<HttpResponse, Problem> {
    caller.require(&[Role::Admin])?;
    caller.require_all_extensions()?;
    let (settings, secrets) = new.new_device()?;
    add(&state, &caller, settings, secrets).await
}

/// Checks a new device against the others, and adds it.
pub(super) async fn add(
    state: &State,
    caller: &Caller,
    settings: DeviceSettings,
    secrets: DeviceSecrets,
) -> Result<HttpResponse, Problem> {
    if !caller.sees(&settings.id) {
        let detail = format!("this token is limited to some devices, and {} is not one of them", settings.id);
        return Err(Problem::new(Kind::Forbidden, detail).field("id"));
    }
    // One change of the fleet at a time, so that what is unique stays so.
    let _turn = state.fleet.lock().await;
    if state.services.registry.get(&settings.id).is_some() {
        let detail = format!("there is a device {} already; PATCH changes it", settings.id);
        return Err(Problem::new(Kind::Conflict, detail).field("id"));
    }
    let settings = settings.complete(&secrets)?;
    unique(state, &settings)?;
    let device = state.services.put_device(settings, secrets, false).await?;
    tracing::info!(device.id = %device.settings.id, "a device was added");
    let view = DeviceView::ask(&device, caller).await;
    let location = format!("/api/v1/devices/{}", view.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(view))
}

fn unique(state: &State, settings: &DeviceSettings) -> Result<(), Problem> {
    state.services.registry.check_unique(settings).map_err(|taken| {
        let detail = format!("{taken}; two devices cannot share it");
        Problem::new(Kind::Conflict, detail).field(taken.field)
    })
}

/// Changes a device: what is given, null clears it. An operator may change `name` and `site`.
#[utoipa::path(patch, path = "/api/v1/devices/{device}", tag = "devices", params(("device" = String, Path)),
    request_body = DeviceFields,
    responses((status = 200, body = DeviceView), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(super) async fn change(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Body(change): Body<DeviceFields>,
) -> Result<web::Json<DeviceView>, Problem> {
    caller.require(&[Role::Operator, Role::Admin])?;
    caller.require_all_extensions()?;
    if caller.role == Role::Operator
        && let Some(field) = change.beyond_an_operator()
    {
        let detail =
            format!("an operator may change name and site; {field} needs a token with the role admin");
        return Err(Problem::new(Kind::Forbidden, detail).field(field));
    }
    let _turn = state.fleet.lock().await;
    let device = device(&state, &caller, &path)?;
    not_from_file(&device)?;
    let (settings, secrets) = change.apply(device.settings.clone(), device.secrets.clone())?;
    let settings = settings.complete(&secrets)?;
    unique(&state, &settings)?;
    let device = state.services.put_device(settings, secrets, false).await?;
    tracing::info!(device.id = %device.settings.id, "a device was changed");
    Ok(web::Json(DeviceView::ask(&device, &caller).await))
}

/// Removes a device. What was recorded of it stays.
#[utoipa::path(delete, path = "/api/v1/devices/{device}", tag = "devices", params(("device" = String, Path)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(super) async fn remove(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    caller.require(&[Role::Admin])?;
    caller.require_all_extensions()?;
    let _turn = state.fleet.lock().await;
    let device = device(&state, &caller, &path)?;
    not_from_file(&device)?;
    let id = input::device_id(&path)?;
    state.services.remove_device(&id).await?;
    // Its last events were committed while it was removed, and may have begun its series anew.
    tracing::info!(device.id = %device.settings.id, "a device was removed");
    Ok(HttpResponse::NoContent().finish())
}

fn not_from_file(device: &Device) -> Result<(), Problem> {
    if device.from_file {
        let id = &device.settings.id;
        let detail = format!("device {id} stands in the configuration file; change it there and restart");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    Ok(())
}
