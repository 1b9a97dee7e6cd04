//! `/erasures`: a telephone number that is to be nowhere any more, and what came of it.

use std::cmp::Reverse;

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use switchroom_actors::device::messages::GetCalls;
use utoipa::ToSchema;
use uuid::Uuid;

use super::State;
use super::auth::{Caller, Role};
use super::device_input::missing;
use super::entities::Paging;
use super::error::{Kind, Problem, ProblemBody};
use super::input::{Body, Page, Params, limit, page};
use super::view;
use crate::keeping::ERASURES;
use crate::numbers::is_separator;
use crate::privacy::{self, LEAST_DIGITS};
use crate::storage::keeping::{self as store, Erasure};

/// The longest number, in digits.
const MOST_DIGITS: usize = 32;
/// The longest reason, in bytes.
const LONGEST_REASON: usize = 1000;

/// A number to erase.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewErasure {
    /// The number, at least 7 digits; also what was dialled before it goes with it. A `+` and what separates groups of
    /// digits (spaces, hyphens, dots, slashes, parentheses) are passed over.
    #[schema(example = "13012345678")]
    number: Option<String>,
    /// Why, for whoever asks later; numbers in it are kept masked.
    #[schema(example = "request of 2026-11-20")]
    reason: Option<String>,
}

/// Only an admin of all devices.
fn allow(caller: &Caller) -> Result<(), Problem> {
    caller.require(&[Role::Admin])?;
    caller.require_unscoped()
}

/// What is noted in the audit log of a body that asks for an erasure: the number masked, however it was written, and
/// nothing else. It is there before it is known whether the body makes sense.
pub(super) fn noted(body: &[u8]) -> serde_json::Value {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let given = match parsed.as_ref().and_then(|body| body.get("number")) {
        Some(serde_json::Value::String(number)) => number.clone(),
        Some(serde_json::Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    match digits(&given) {
        Ok(number) => serde_json::json!({ "number": privacy::mask(&number) }),
        Err(_) => serde_json::json!({ "bytes": body.len() }),
    }
}

fn digits(number: &str) -> Result<String, Problem> {
    let plain: String = number.chars().filter(|c| *c != '+' && !is_separator(*c)).collect();
    let fits = (LEAST_DIGITS..=MOST_DIGITS).contains(&plain.len())
        && plain.bytes().all(|byte| byte.is_ascii_digit());
    fits.then_some(plain).ok_or_else(|| {
        let detail = format!(
            "number has {LEAST_DIGITS} to {MOST_DIGITS} digits; a shorter one is an extension, and would be found in others"
        );
        Problem::new(Kind::Invalid, detail).field("number")
    })
}

/// Erases a number from everything that is kept: the log, calls, records, conversations, commands, recordings with their
/// audio, what the audit log says of it. Where it stood stand as many `x`. It is done in the background.
#[utoipa::path(post, path = "/api/v1/erasures", tag = "audit", request_body = NewErasure,
    responses((status = 202, body = Erasure), (status = 403, body = ProblemBody),
        (status = 409, description = "The number is in a call", body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn create(
    state: web::Data<State>,
    caller: Caller,
    Body(new): Body<NewErasure>,
) -> Result<HttpResponse, Problem> {
    allow(&caller)?;
    let number = digits(&new.number.ok_or_else(|| missing("number", "the number that is to be erased"))?)?;
    let reason = new.reason.filter(|reason| !reason.trim().is_empty());
    if reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
        let detail = format!("reason has at most {LONGEST_REASON} bytes");
        return Err(Problem::new(Kind::Invalid, detail).field("reason"));
    }
    let names = |text: &Option<switchroom_domain::Text>| {
        text.as_ref().is_some_and(|text| privacy::names(text.as_bytes(), &number))
    };
    for (device, calls) in view::ask_all(view::devices(&state, &caller), || GetCalls(None)).await {
        let is_in = |call: &switchroom_domain::view::CallView| {
            names(&call.from) || names(&call.to) || call.legs.iter().any(|leg| names(&leg.number))
        };
        if let Some(call) = calls.iter().flatten().find(|call| is_in(call)) {
            let (call, device) = (call.id, &device.settings.id);
            let detail = format!("the number is in call {call} on {device}; ask again when it has ended");
            return Err(Problem::new(Kind::Conflict, detail));
        }
    }
    let webhooks = state.services.webhooks.all().into_iter().map(|known| known.id.clone());
    let targets = state.services.targets.all().into_iter().map(|known| known.id.clone());
    let forwarding = state.services.forwarding.known().filter(|known| !known.settings().target.is_empty());
    let receivers = webhooks.chain(targets).chain(forwarding.map(|known| known.id.clone())).collect();
    let reason = reason.map(|reason| privacy::mask_written(&reason));
    let erasure = state.services.erase(number, reason, receivers).await?;
    let location = format!("/api/v1/erasures/{}", erasure.id);
    Ok(HttpResponse::Accepted().insert_header((LOCATION, location)).json(erasure))
}

async fn all(state: &State) -> Result<Vec<Erasure>, Problem> {
    let all = state.services.reader.query(|connection| store::erasures(connection, ERASURES)).await?;
    Ok(all.into_iter().map(|(erasure, _)| erasure).collect())
}

/// Erasures and what came of them, the newest first.
#[utoipa::path(get, path = "/api/v1/erasures", tag = "audit", params(Paging),
    responses((status = 200, body = Page<Erasure>), (status = 403, body = ProblemBody)))]
pub(super) async fn list(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<Paging>,
) -> Result<web::Json<Page<Erasure>>, Problem> {
    allow(&caller)?;
    let limit = limit(query.limit)?;
    let name = |erasure: &Erasure| erasure.id.to_string();
    // The newest first: their ids fall.
    let order = |id: &str| Reverse(id.to_owned());
    page(all(&state).await?, "erasures", query.cursor.as_deref(), limit, order, name).map(web::Json)
}

/// One erasure: how far it is, and how much was found.
#[utoipa::path(get, path = "/api/v1/erasures/{erasure}", tag = "audit", params(("erasure" = String, Path)),
    responses((status = 200, body = Erasure), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn one(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<Erasure>, Problem> {
    allow(&caller)?;
    let id = path.parse::<Uuid>().ok();
    let found = all(&state).await?.into_iter().find(|erasure| Some(erasure.id) == id);
    let none = || Problem::new(Kind::NotFound, "there is no such erasure; GET /api/v1/erasures lists them");
    found.map(web::Json).ok_or_else(none)
}
