//! `/targets`: application servers that get the devices' own reports. How these are passed on is in [`crate::targets`].

use std::sync::Arc;

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use switchroom_domain::id::ReportId;
use switchroom_domain::time::Timestamp;
use utoipa::ToSchema;

use super::State;
use super::auth::{Caller, Role};
use super::deliveries::{DeliveriesQuery, log_of, not_now, range_again};
use super::entities::Paging;
use super::error::{Kind, Problem, ProblemBody};
use super::input::{Body, Page, Params, limit, page};
use super::target_input::{NewTarget, TargetChange};
use super::webhook_input::WebhookState;
use crate::delivery::{Item, MOST};
use crate::storage::deliveries::{Attempt, Delivery, State as DeliveryState};
use crate::targets::{Confirm, Connection, Known, Method};

/// The list of what was passed on.
pub(super) const PASSED_ON: &str = "passed_on";

/// A target. Its password is never read back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TargetView {
    /// Its id.
    #[schema(example = "tg_5f0c1d2e3a4b5c6d")]
    id: String,
    /// Where reports are passed on to.
    #[schema(example = "http://crm.example:8260/om/report")]
    url: String,
    /// Only of these devices; none: all.
    devices: Vec<String>,
    /// Only these reports; none: all.
    #[schema(example = json!(["RING", "BYE", "Cdr"]))]
    kinds: Vec<String>,
    /// How they are sent; null: as the vendor's devices do.
    method: Option<Method>,
    /// How many a connection carries.
    connection: Connection,
    /// What says that a report was taken.
    confirm: Confirm,
    /// Reports of OM devices are signed anew.
    signs: bool,
    /// For people.
    description: String,
    /// Whether reports are passed on.
    state: WebhookState,
    /// Why they are not.
    reason: Option<String>,
    /// Since when they are not.
    #[schema(value_type = Option<String>, format = DateTime)]
    disabled_at: Option<Timestamp>,
    /// Since when every attempt has failed; null when the last one did not.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// How many reports are read and not taken yet.
    pending: usize,
    /// How long ago the oldest report came in that it has not had yet; while it is disabled, since when it has been.
    lag_seconds: f64,
    /// How many reports it has taken since it was made, those that were passed on again counted again.
    delivered: u64,
    /// How many were given up because it refused them.
    failed: u64,
    /// How many were too old, or left the log of reports, before it took them.
    lost: u64,
    /// A range of the log is being passed on again.
    redelivering: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl TargetView {
    fn new(known: &Known) -> Self {
        let (wish, standing) = (known.wish(), known.standing());
        let target = wish.settings.clone();
        let state = if standing.disabled.is_some() { WebhookState::Disabled } else { WebhookState::Enabled };
        let (lag_seconds, counts) = (standing.lag(crate::clock::now()), standing.counts);
        let (reason, disabled_at) = standing.disabled.map(|disabled| (disabled.reason, disabled.at)).unzip();
        Self {
            id: target.id,
            url: target.url,
            devices: target.devices,
            kinds: target.kinds,
            method: target.method,
            connection: target.connection,
            confirm: target.confirm,
            signs: wish.secrets.password.is_some(),
            description: target.description,
            state,
            reason,
            disabled_at,
            failing_since: standing.failing_since,
            pending: standing.pending,
            lag_seconds,
            delivered: counts.delivered,
            failed: counts.failed,
            lost: counts.lost,
            redelivering: standing.redelivering,
            created_at: target.created_at,
        }
    }
}

/// A raw report says everything of its device, with the numbers in it: who is limited to extensions, or is given numbers
/// masked, gets none.
fn allow(caller: &Caller) -> Result<(), Problem> {
    caller.require(&[Role::Admin, Role::Operator])?;
    if caller.is_masked() {
        let detail = format!(
            "telephone numbers are masked for the role {}, and targets are given the devices' own reports with theirs; \
             make a webhook instead",
            caller.role
        );
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    caller.require_all_extensions()
}

/// May the caller see it? It must not get more than they may.
fn sees(caller: &Caller, known: &Known) -> bool {
    let devices = known.settings().devices;
    let within = |own: &std::collections::HashSet<String>| {
        !devices.is_empty() && devices.iter().all(|device| own.contains(device))
    };
    caller.devices().is_none_or(within)
}

/// The target of this id, if the caller may see it.
fn find(state: &State, caller: &Caller, id: &str) -> Result<Arc<Known>, Problem> {
    allow(caller)?;
    let known = state.services.targets.get(id).filter(|known| sees(caller, known));
    known.ok_or_else(|| {
        Problem::new(Kind::NotFound, "there is no such target; GET /api/v1/targets lists them")
    })
}

/// All targets that the token may see.
#[utoipa::path(get, path = "/api/v1/targets", tag = "targets", params(Paging),
    responses((status = 200, body = Page<TargetView>), (status = 403, body = ProblemBody)))]
pub(super) async fn list(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<Paging>,
) -> Result<web::Json<Page<TargetView>>, Problem> {
    allow(&caller)?;
    let limit = limit(query.limit)?;
    let all = state.services.targets.all();
    let all = all.iter().filter(|known| sees(&caller, known));
    let all = all.map(|known| TargetView::new(known)).collect();
    let name = |view: &TargetView| view.id.clone();
    page(all, "targets", query.cursor.as_deref(), limit, str::to_owned, name).map(web::Json)
}

/// Makes a target, which gets the reports from now on.
#[utoipa::path(post, path = "/api/v1/targets", tag = "targets", request_body = NewTarget,
    responses((status = 201, body = TargetView), (status = 403, body = ProblemBody),
        (status = 404, description = "A device that is not there", body = ProblemBody),
        (status = 422, description = "A URL that may not be reached, an unknown kind", body = ProblemBody)))]
pub(super) async fn create(
    state: web::Data<State>,
    caller: Caller,
    Body(new): Body<NewTarget>,
) -> Result<HttpResponse, Problem> {
    allow(&caller)?;
    let (target, secrets) = new.read(&state, &caller).await?;
    let Some(known) = state.services.targets.add(target, secrets).await? else {
        return Err(Problem::new(
            Kind::Conflict,
            format!("there are {MOST} targets, as many as there may be"),
        ));
    };
    tracing::info!(target.id = %known.id, "a target was made");
    let location = format!("/api/v1/targets/{}", known.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(TargetView::new(&known)))
}

/// One target.
#[utoipa::path(get, path = "/api/v1/targets/{target}", tag = "targets", params(("target" = String, Path)),
    responses((status = 200, body = TargetView), (status = 404, body = ProblemBody)))]
pub(super) async fn one(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<TargetView>, Problem> {
    Ok(web::Json(TargetView::new(&*find(&state, &caller, &path)?)))
}

/// Changes a target; what is absent stays. `{"state": "enabled"}` passes on again from where it stood.
#[utoipa::path(patch, path = "/api/v1/targets/{target}", tag = "targets", params(("target" = String, Path)),
    request_body = TargetChange,
    responses((status = 200, body = TargetView), (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn change(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Body(change): Body<TargetChange>,
) -> Result<web::Json<TargetView>, Problem> {
    let known = find(&state, &caller, &path)?;
    let wanted = change.state;
    let (change, secrets) = change.read(&state, &caller).await?;
    state.services.targets.change(&known, change).await?;
    if let Some(secrets) = secrets {
        state.services.targets.change_secrets(&known, |_| secrets).await?;
    }
    if let Some(wanted) = wanted {
        known.enable(wanted == WebhookState::Enabled).await.map_err(|error| not_now(&error))?;
        tracing::info!(target.id = %known.id, target.state = ?wanted, "a target's state was set");
    }
    Ok(web::Json(TargetView::new(&known)))
}

/// Removes a target with its log of deliveries.
#[utoipa::path(delete, path = "/api/v1/targets/{target}", tag = "targets", params(("target" = String, Path)),
    responses((status = 204), (status = 404, body = ProblemBody)))]
pub(super) async fn remove(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let known = find(&state, &caller, &path)?;
    if !state.services.targets.remove(&known).await? {
        return Err(Problem::new(Kind::NotFound, "somebody else has just removed it"));
    }
    tracing::info!(target.id = %known.id, "a target was removed");
    Ok(HttpResponse::NoContent().finish())
}

/// A report that is passed on, or a gap.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PassedOnView {
    /// The report's id; null for a gap of several.
    #[schema(value_type = Option<String>)]
    report: Option<ReportId>,
    /// What its vendor calls it.
    #[schema(value_type = Option<String>, example = "RING")]
    kind: Option<switchroom_domain::Text>,
    /// Its device.
    #[schema(value_type = Option<String>)]
    device: Option<switchroom_domain::Text>,
    /// When it came in.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// Its place in the log of reports.
    cursor: String,
    /// What became of it.
    state: DeliveryState,
    /// The last attempts, the oldest first.
    attempts: Vec<Attempt>,
    /// When the next one is due.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    /// What a gap is.
    note: Option<String>,
}

impl From<Delivery> for PassedOnView {
    fn from(delivery: Delivery) -> Self {
        let body = delivery.body;
        let filled = |text: switchroom_domain::Text| Some(text).filter(|text| !text.is_empty());
        Self {
            report: delivery.item.map(ReportId),
            kind: filled(body.kind),
            device: filled(body.lane),
            time: delivery.at,
            cursor: delivery.cursor.to_string(),
            state: delivery.state,
            attempts: body.attempts,
            next_attempt_at: body.next_attempt_at,
            note: body.note,
        }
    }
}

/// What became of reports, the newest first. Kept as long as `targets.log_entries` and `log_days` say.
#[utoipa::path(get, path = "/api/v1/targets/{target}/deliveries", tag = "targets",
    params(("target" = String, Path), DeliveriesQuery),
    responses((status = 200, body = Page<PassedOnView>), (status = 404, body = ProblemBody)))]
pub(super) async fn deliveries(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Params(query): Params<DeliveriesQuery>,
) -> Result<web::Json<Page<PassedOnView>>, Problem> {
    let known = find(&state, &caller, &path)?;
    log_of(&state, &known, PASSED_ON, query).await.map(web::Json)
}

/// What is to be passed on again: one report of the delivery log, or those of a time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PassOnAgain {
    /// A report's id, as the delivery log has it.
    report: Option<String>,
    /// All wanted reports from this time on.
    #[schema(value_type = Option<String>, format = DateTime, example = "2026-11-21T10:00:00Z")]
    since: Option<String>,
    /// Up to this time; until now if not given.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
}

/// What is passed on again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PassedAgainView {
    /// The report.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    report: Option<ReportId>,
    /// Reports from this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Up to this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// Passes a report, or those of a time, on again from the log, in the order of each device, whatever became of them
/// before.
#[utoipa::path(post, path = "/api/v1/targets/{target}/deliveries/redeliver", tag = "targets",
    params(("target" = String, Path)), request_body = PassOnAgain,
    responses((status = 202, body = PassedAgainView), (status = 404, body = ProblemBody),
        (status = 409, description = "Another range is being passed on again", body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn redeliver(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Body(wish): Body<PassOnAgain>,
) -> Result<HttpResponse, Problem> {
    let known = find(&state, &caller, &path)?;
    let view = match (wish.report, wish.since) {
        (Some(report), None) if wish.until.is_none() => one_again(&state, &known, &report).await?,
        (None, Some(since)) => {
            let targets = &state.services.targets;
            let (since, until) = range_again(targets, &known, &since, wish.until.as_deref()).await?;
            PassedAgainView { report: None, since: Some(since), until: Some(until) }
        }
        _ => {
            let detail =
                "give `report` (a report's id), or `since` and, if need be, `until` (RFC 3339 times)";
            return Err(Problem::new(Kind::Invalid, detail));
        }
    };
    Ok(HttpResponse::Accepted().json(view))
}

async fn one_again(state: &State, known: &Known, report: &str) -> Result<PassedAgainView, Problem> {
    let absent = || {
        let detail = "there is no such report in this target's delivery log that is still in the log of reports; for \
                      others give `since` and `until`";
        Problem::new(Kind::NotFound, detail).field("report")
    };
    let id: uuid::Uuid = report.parse().map_err(|_| absent())?;
    known.flush().await.map_err(|error| not_now(&error))?;
    let delivery = state.services.targets.of_report(known, id).await?.ok_or_else(absent)?;
    let found = state.services.targets.report(delivery.cursor).await?;
    // What it wants may have changed since.
    found
        .filter(|received| received.delivery().item == Some(id) && known.wants(received))
        .ok_or_else(absent)?;
    known.again(delivery).await.map_err(|error| not_now(&error))?;
    Ok(PassedAgainView { report: Some(ReportId(id)), since: None, until: None })
}
