//! `/tokens`: who may use the API. A token itself is shown once, when it is made.

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use switchroom_domain::time::Timestamp;
use utoipa::ToSchema;

use super::State;
use super::auth::{Caller, Role, Scope};
use super::device_input::missing;
use super::entities::Paging;
use super::error::{Kind, Problem, ProblemBody};
use super::input::{self, Body, Page, Params, limit, page};
use crate::storage::tokens::{self, Token};

/// A token, without itself.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenView {
    /// Its id.
    id: String,
    /// Whose it is.
    name: String,
    /// What it may do.
    role: Role,
    /// Only these devices; none: all.
    devices: Vec<String>,
    /// Only the calls of these extensions; none: all, but for an agent none.
    extensions: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The token: given this once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenView {
    fn new(token: Token, secret: Option<String>) -> Self {
        let Token { id, name, role, scope, created_at } = token;
        let Scope { devices, extensions } = scope;
        Self { id, name, role, devices, extensions, created_at, token: secret }
    }
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// Whose it is.
    name: Option<String>,
    /// What it may do.
    role: Option<Role>,
    /// Only these devices.
    #[serde(default)]
    devices: Vec<String>,
    /// Only the calls of these extensions; an agent needs one.
    #[serde(default)]
    extensions: Vec<String>,
}

/// Only an admin of all devices may give rights away.
fn allow(caller: &Caller) -> Result<(), Problem> {
    caller.require(&[Role::Admin])?;
    caller.require_unscoped()
}

/// All tokens.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", params(Paging),
    responses((status = 200, body = Page<TokenView>), (status = 403, body = ProblemBody)))]
pub(super) async fn list(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<Paging>,
) -> Result<web::Json<Page<TokenView>>, Problem> {
    allow(&caller)?;
    let limit = limit(query.limit)?;
    let mut all = state.services.reader.query(tokens::all).await?;
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let all = all.into_iter().map(|token| TokenView::new(token, None)).collect();
    let name = |token: &TokenView| token.id.clone();
    page(all, "tokens", query.cursor.as_deref(), limit, str::to_owned, name).map(web::Json)
}

/// Makes a token; it is in the answer, this once.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, body = TokenView), (status = 403, body = ProblemBody),
        (status = 404, description = "There is no such device", body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(super) async fn create(
    state: web::Data<State>,
    caller: Caller,
    Body(new): Body<NewToken>,
) -> Result<HttpResponse, Problem> {
    allow(&caller)?;
    let name = new.name.filter(|name| !name.trim().is_empty() && name.len() <= 200);
    let name = name.ok_or_else(|| missing("name", "whose token it is, at most 200 bytes"))?;
    let role = new.role.ok_or_else(|| missing("role", "viewer, agent, operator, supervisor or admin"))?;
    if role == Role::Agent && new.extensions.is_empty() {
        return Err(missing("extensions", "an agent sees the calls of its own extensions only"));
    }
    for device in &new.devices {
        let known = input::device_id(device).map_err(|problem| problem.field("devices"))?;
        if state.services.registry.get(&known).is_none() {
            return Err(Problem::no_device(device).field("devices"));
        }
    }
    let scope = Scope { devices: new.devices, extensions: new.extensions };
    let made = state.services.store.run(move |connection| tokens::create(connection, &name, role, scope));
    let (token, secret) = made.await?;
    tracing::info!(token.id = token.id, token.role = %role, "a token was made");
    let location = format!("/api/v1/tokens/{}", token.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(TokenView::new(token, Some(secret))))
}

/// Removes a token; what it has open ends.
#[utoipa::path(delete, path = "/api/v1/tokens/{token}", tag = "tokens", params(("token" = String, Path)),
    responses((status = 204), (status = 404, body = ProblemBody)))]
pub(super) async fn remove(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    allow(&caller)?;
    let id = path.into_inner();
    let removed = state.services.store.run(move |connection| tokens::remove(connection, &id)).await?;
    state.tokens.forget();
    if !removed {
        return Err(Problem::new(Kind::NotFound, "there is no such token; GET /api/v1/tokens lists them"));
    }
    Ok(HttpResponse::NoContent().finish())
}
