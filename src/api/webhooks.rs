//! `/webhooks`: subscriptions, the log of deliveries, redelivery. How events are delivered is in [`crate::webhooks`].

use std::sync::Arc;

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use switchroom_domain::id::{CallId, EventId};
use switchroom_domain::time::Timestamp;
use utoipa::ToSchema;

use super::State;
use super::auth::{Caller, Role};
use super::deliveries::{DeliveriesQuery, log_of, not_now, range_again};
use super::entities::Paging;
use super::error::{Kind, Problem, ProblemBody};
use super::input::{Body, Page, Params, limit, page};
use super::webhook_input::{NewWebhook, WebhookChange, WebhookState};
use crate::delivery::{Item, MOST};
use crate::storage::deliveries::{Attempt, Delivery, State as DeliveryState};
use crate::webhooks::Known;

/// A webhook. Its secret is shown once, when it is made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookView {
    /// Its id.
    #[schema(example = "wh_5f0c1d2e3a4b5c6d")]
    id: String,
    /// Where events are delivered.
    #[schema(example = "https://crm.example/hooks/switchroom")]
    url: String,
    /// Which events.
    #[schema(example = json!(["call.*"]))]
    kinds: Vec<String>,
    /// Only of these devices; none: all.
    devices: Vec<String>,
    /// Only those that concern these extensions; none: all.
    extensions: Vec<String>,
    /// For people.
    description: String,
    /// Telephone numbers are masked in what is delivered.
    mask_numbers: bool,
    /// Whether events are delivered.
    state: WebhookState,
    /// Why they are not.
    reason: Option<String>,
    /// Since when they are not.
    #[schema(value_type = Option<String>, format = DateTime)]
    disabled_at: Option<Timestamp>,
    /// Since when every attempt has failed; null when the last one did not.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// How many events are read and not delivered yet.
    pending: usize,
    /// A range of the log is being delivered again.
    redelivering: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The secret that deliveries are signed with: given this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazfRL5XyNqQ=")]
    secret: Option<String>,
}

impl WebhookView {
    fn new(known: &Known, secret: Option<String>) -> Self {
        let (webhook, standing) = (known.settings(), known.standing());
        let state = if standing.disabled.is_some() { WebhookState::Disabled } else { WebhookState::Enabled };
        let (reason, disabled_at) = standing.disabled.map(|disabled| (disabled.reason, disabled.at)).unzip();
        Self {
            id: webhook.id,
            url: webhook.url,
            kinds: webhook.kinds,
            devices: webhook.devices,
            extensions: webhook.extensions,
            description: webhook.description,
            mask_numbers: webhook.mask_numbers,
            state,
            reason,
            disabled_at,
            failing_since: standing.failing_since,
            pending: standing.pending,
            redelivering: standing.redelivering,
            created_at: webhook.created_at,
            secret,
        }
    }
}

fn allow(caller: &Caller) -> Result<(), Problem> {
    caller.require(&[Role::Admin, Role::Operator])
}

/// May the caller see it? It must not get more than they may.
fn sees(caller: &Caller, known: &Known) -> bool {
    let webhook = known.settings();
    let within = |own: Option<&std::collections::HashSet<String>>, list: &[String]| {
        own.is_none_or(|own| !list.is_empty() && list.iter().all(|item| own.contains(item)))
    };
    (webhook.mask_numbers || !caller.is_masked())
        && within(caller.devices(), &webhook.devices)
        && within(caller.extensions(), &webhook.extensions)
}

/// The webhook of this id, if the caller may see it.
fn find(state: &State, caller: &Caller, id: &str) -> Result<Arc<Known>, Problem> {
    allow(caller)?;
    let known = state.services.webhooks.get(id).filter(|known| sees(caller, known));
    known.ok_or_else(|| {
        Problem::new(Kind::NotFound, "there is no such webhook; GET /api/v1/webhooks lists them")
    })
}

/// All webhooks that the token may see.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "webhooks", params(Paging),
    responses((status = 200, body = Page<WebhookView>), (status = 403, body = ProblemBody)))]
pub(super) async fn list(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<Paging>,
) -> Result<web::Json<Page<WebhookView>>, Problem> {
    allow(&caller)?;
    let limit = limit(query.limit)?;
    let all = state.services.webhooks.all();
    let all = all.iter().filter(|known| sees(&caller, known));
    let all = all.map(|known| WebhookView::new(known, None)).collect();
    let name = |view: &WebhookView| view.id.clone();
    page(all, "webhooks", query.cursor.as_deref(), limit, str::to_owned, name).map(web::Json)
}

/// Makes a webhook, which gets the events from now on. Its secret is in the answer, this once.
#[utoipa::path(post, path = "/api/v1/webhooks", tag = "webhooks", request_body = NewWebhook,
    responses((status = 201, body = WebhookView), (status = 403, body = ProblemBody),
        (status = 404, description = "A device that is not there", body = ProblemBody),
        (status = 422, description = "A URL that may not be reached, an unknown kind", body = ProblemBody)))]
pub(super) async fn create(
    state: web::Data<State>,
    caller: Caller,
    Body(new): Body<NewWebhook>,
) -> Result<HttpResponse, Problem> {
    allow(&caller)?;
    let webhook = new.read(&state, &caller).await?;
    let Some((known, secret)) = state.services.webhooks.make(webhook).await? else {
        return Err(Problem::new(
            Kind::Conflict,
            format!("there are {MOST} webhooks, as many as there may be"),
        ));
    };
    tracing::info!(webhook.id = %known.id, "a webhook was made");
    let location = format!("/api/v1/webhooks/{}", known.id);
    let view = WebhookView::new(&known, Some(secret));
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(view))
}

/// One webhook.
#[utoipa::path(get, path = "/api/v1/webhooks/{webhook}", tag = "webhooks", params(("webhook" = String, Path)),
    responses((status = 200, body = WebhookView), (status = 404, body = ProblemBody)))]
pub(super) async fn one(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<WebhookView>, Problem> {
    Ok(web::Json(WebhookView::new(&*find(&state, &caller, &path)?, None)))
}

/// Changes a webhook; what is absent stays. `{"state": "enabled"}` delivers again from where it stood.
#[utoipa::path(patch, path = "/api/v1/webhooks/{webhook}", tag = "webhooks", params(("webhook" = String, Path)),
    request_body = WebhookChange,
    responses((status = 200, body = WebhookView), (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn change(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Body(change): Body<WebhookChange>,
) -> Result<web::Json<WebhookView>, Problem> {
    let known = find(&state, &caller, &path)?;
    let wanted = change.state;
    let change = change.read(&state, &caller).await?;
    state.services.webhooks.change(&known, change).await?;
    if let Some(wanted) = wanted {
        known.enable(wanted == WebhookState::Enabled).await.map_err(|error| not_now(&error))?;
        tracing::info!(webhook.id = %known.id, webhook.state = ?wanted, "a webhook's state was set");
    }
    Ok(web::Json(WebhookView::new(&known, None)))
}

/// Removes a webhook with its log of deliveries.
#[utoipa::path(delete, path = "/api/v1/webhooks/{webhook}", tag = "webhooks", params(("webhook" = String, Path)),
    responses((status = 204), (status = 404, body = ProblemBody)))]
pub(super) async fn remove(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let known = find(&state, &caller, &path)?;
    if !state.services.webhooks.remove(&known).await? {
        return Err(Problem::new(Kind::NotFound, "somebody else has just removed it"));
    }
    tracing::info!(webhook.id = %known.id, "a webhook was removed");
    Ok(HttpResponse::NoContent().finish())
}

/// A new secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewSecret {
    /// The secret: given this once. Deliveries are signed with it and, for 24 hours, with the one of before.
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazfRL5XyNqQ=")]
    secret: String,
}

/// Makes a new secret; the one of before signs too for 24 hours. At most five sign at a time.
#[utoipa::path(post, path = "/api/v1/webhooks/{webhook}/rotate-secret", tag = "webhooks",
    params(("webhook" = String, Path)),
    responses((status = 200, body = NewSecret), (status = 404, body = ProblemBody),
        (status = 409, description = "Five secrets sign already", body = ProblemBody)))]
pub(super) async fn rotate(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<NewSecret>, Problem> {
    let known = find(&state, &caller, &path)?;
    let too_many = || {
        let most = crate::webhooks::sign::MOST;
        let detail = format!("{most} secrets sign already; wait until the oldest of them is 24 hours old");
        Problem::new(Kind::Conflict, detail)
    };
    let secret = state.services.webhooks.rotate(&known).await?.ok_or_else(too_many)?;
    tracing::info!(webhook.id = %known.id, "a webhook was given a new secret");
    Ok(web::Json(NewSecret { secret }))
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PingView {
    /// The receiver took it.
    delivered: bool,
    /// The attempt.
    #[serde(flatten)]
    attempt: Attempt,
}

/// Delivers an event of the kind `webhook.ping` at once, also to a disabled webhook, and says what came of it.
#[utoipa::path(post, path = "/api/v1/webhooks/{webhook}/ping", tag = "webhooks", params(("webhook" = String, Path)),
    responses((status = 200, body = PingView), (status = 404, body = ProblemBody)))]
pub(super) async fn ping(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<PingView>, Problem> {
    let known = find(&state, &caller, &path)?;
    let (attempt, delivered) = state.services.webhooks.ping(&known).await?;
    Ok(web::Json(PingView { delivered, attempt }))
}

/// A delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryView {
    /// The event's id, which is its `webhook-id`; null for a gap of several.
    #[schema(value_type = Option<String>)]
    event: Option<EventId>,
    /// The event's kind.
    #[schema(value_type = Option<String>, example = "call.ended")]
    kind: Option<switchroom_domain::Text>,
    /// Its call.
    #[schema(value_type = Option<String>)]
    call: Option<CallId>,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// The event's place in the log.
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

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        let body = delivery.body;
        Self {
            event: delivery.item.map(EventId),
            kind: Some(body.kind).filter(|kind| !kind.is_empty()),
            call: body.call,
            time: delivery.at,
            cursor: delivery.cursor.to_string(),
            state: delivery.state,
            attempts: body.attempts,
            next_attempt_at: body.next_attempt_at,
            note: body.note,
        }
    }
}

/// What became of deliveries, the newest event first. Kept as long as `webhooks.log_entries` and `log_days` say.
#[utoipa::path(get, path = "/api/v1/webhooks/{webhook}/deliveries", tag = "webhooks",
    params(("webhook" = String, Path), DeliveriesQuery),
    responses((status = 200, body = Page<DeliveryView>), (status = 404, body = ProblemBody)))]
pub(super) async fn deliveries(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Params(query): Params<DeliveriesQuery>,
) -> Result<web::Json<Page<DeliveryView>>, Problem> {
    let known = find(&state, &caller, &path)?;
    log_of(&state, &known, "deliveries", query).await.map(web::Json)
}

/// What is to be delivered again: one event, or those of a time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Redelivery {
    /// An event's id.
    event: Option<String>,
    /// All wanted events from this time on.
    #[schema(value_type = Option<String>, format = DateTime, example = "2026-11-21T10:00:00Z")]
    since: Option<String>,
    /// Up to this time; until now if not given.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
}

/// What is delivered again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RedeliveryView {
    /// The event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    event: Option<EventId>,
    /// Events from this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Up to this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// Delivers an event, or those of a time, again from the log: with the same ids, in the order of each call, whatever
/// became of them before.
#[utoipa::path(post, path = "/api/v1/webhooks/{webhook}/deliveries/redeliver", tag = "webhooks",
    params(("webhook" = String, Path)), request_body = Redelivery,
    responses((status = 202, body = RedeliveryView), (status = 404, body = ProblemBody),
        (status = 409, description = "Another range is being delivered again", body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn redeliver(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Body(wish): Body<Redelivery>,
) -> Result<HttpResponse, Problem> {
    let known = find(&state, &caller, &path)?;
    let view = match (wish.event, wish.since) {
        (Some(event), None) if wish.until.is_none() => redeliver_one(&state, &known, &event).await?,
        (None, Some(since)) => {
            let webhooks = &state.services.webhooks;
            let (since, until) = range_again(webhooks, &known, &since, wish.until.as_deref()).await?;
            RedeliveryView { event: None, since: Some(since), until: Some(until) }
        }
        _ => {
            let detail = "give `event` (an event's id), or `since` and, if need be, `until` (RFC 3339 times)";
            return Err(Problem::new(Kind::Invalid, detail));
        }
    };
    Ok(HttpResponse::Accepted().json(view))
}

async fn redeliver_one(state: &State, known: &Known, event: &str) -> Result<RedeliveryView, Problem> {
    let absent = || {
        Problem::new(Kind::NotFound, "there is no such event in the log that this webhook gets")
            .field("event")
    };
    let id: EventId = event.parse().map_err(|_| absent())?;
    let found = state.services.webhooks.find(known, id).await?;
    // It may have been wanted once, or asked for by somebody who may not have it.
    let published = found.filter(|published| known.wants(published)).ok_or_else(absent)?;
    known.flush().await.map_err(|error| not_now(&error))?;
    let known_of = state.services.webhooks.delivery(known, published.cursor).await?;
    let delivery = known_of.unwrap_or_else(|| published.delivery());
    known.again(delivery).await.map_err(|error| not_now(&error))?;
    Ok(RedeliveryView { event: Some(id), since: None, until: None })
}
