//! `/calls`: live calls with their legs; an ended one is still found by its id.

use std::sync::Arc;

use actix_web::web;
use serde::Deserialize;
use switchroom_actors::device::messages::GetCalls;
use switchroom_domain::id::CallId;
use switchroom_domain::view::{CallState, CallView, Direction};
use utoipa::IntoParams;

use super::State;
use super::auth::{Caller, call_has_extension};
use super::entities::Paging;
use super::error::{Kind, Problem, ProblemBody};
use super::input::{Page, Params, limit, page};
use super::view::{ask, ask_all, device, devices, try_ask};
use crate::devices::Device;

/// Which calls are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CallQuery {
    /// Only of this device.
    device: Option<String>,
    /// Only in this direction.
    #[param(inline)]
    direction: Option<Direction>,
    /// Only in this state.
    #[param(inline)]
    state: Option<CallState>,
    /// Only those that this extension is part of.
    extension: Option<String>,
    /// How many items a page has: 1 to 1000, 100 if not given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl CallQuery {
    fn wants(&self, call: &CallView) -> bool {
        self.direction.is_none_or(|direction| call.direction == direction)
            && self.state.is_none_or(|state| call.state == state)
            && self
                .extension
                .as_ref()
                .is_none_or(|wanted| call_has_extension(call, |number| number == wanted))
    }
}

/// All live calls, the oldest first.
#[utoipa::path(get, path = "/api/v1/calls", tag = "calls", params(CallQuery),
    responses((status = 200, body = Page<CallView>), (status = 400, body = ProblemBody)))]
pub(super) async fn list(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<CallQuery>,
) -> Result<web::Json<Page<CallView>>, Problem> {
    let limit = limit(query.limit)?;
    let asked = match &query.device {
        Some(id) => vec![device(&state, &caller, id)?],
        None => devices(&state, &caller),
    };
    let answers = ask_all(asked, || GetCalls(None)).await;
    let calls = answers.into_iter().filter_map(|(_, calls)| calls).flatten();
    let calls = calls.filter(|call| caller.sees_call(call) && query.wants(call)).collect();
    in_pages(calls, query.cursor.as_deref(), limit)
}

/// The live calls of one device, the oldest first.
#[utoipa::path(get, path = "/api/v1/devices/{device}/calls", tag = "live state",
    params(("device" = String, Path), Paging),
    responses((status = 200, body = Page<CallView>), (status = 404, body = ProblemBody)))]
pub(super) async fn of_device(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Params(query): Params<Paging>,
) -> Result<web::Json<Page<CallView>>, Problem> {
    let limit = limit(query.limit)?;
    let device = device(&state, &caller, &path)?;
    let mut calls = ask(&device, GetCalls(None)).await?;
    calls.retain(|call| caller.sees_call(call));
    in_pages(calls, query.cursor.as_deref(), limit)
}

/// A call's id begins with the time of its first report, so that ids sort by age.
fn in_pages(
    mut calls: Vec<CallView>,
    after: Option<&str>,
    limit: usize,
) -> Result<web::Json<Page<CallView>>, Problem> {
    calls.retain(|call| call.state != CallState::Ended);
    calls.sort_by_key(|call| call.id);
    let name = |call: &CallView| call.id.to_string();
    page(calls, "calls", after, limit, str::to_owned, name).map(web::Json)
}

/// A call: live, or ended.
#[utoipa::path(get, path = "/api/v1/calls/{call}", tag = "calls", params(("call" = String, Path)),
    responses((status = 200, body = CallView), (status = 404, body = ProblemBody)))]
pub(super) async fn one(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<CallView>, Problem> {
    let none = || {
        let id: String = path.chars().take(80).collect();
        Problem::new(Kind::NotFound, format!("there is no call {id:?} that this token may see"))
    };
    let id: CallId = path.parse().map_err(|_| none())?;
    let found = find(&state, &caller, id).await?;
    found.filter(|call| caller.sees_call(call)).map(web::Json).ok_or_else(none)
}

/// One of which an event is still in memory is asked of its device. Ended calls are one look into the store; for another
/// live one every device is asked. It may end in between, so the
/// store is looked at once more.
pub(super) async fn find(state: &State, caller: &Caller, id: CallId) -> Result<Option<CallView>, Problem> {
    // A live call has mostly been told of a moment ago; its device knows it best.
    if let Some(device) = state.services.store.hub().device_of_call(id)
        && let Some(device) = state.services.registry.get(&device)
        && let Some(call) =
            try_ask(&device, GetCalls(Some(id))).await.and_then(|calls| calls.into_iter().next())
    {
        return Ok(Some(call));
    }
    if let Some(call) = state.services.reader.call(id).await? {
        return Ok(Some(call));
    }
    let asked: Vec<Arc<Device>> = devices(state, caller);
    let answers = ask_all(asked, || GetCalls(Some(id))).await;
    match answers.into_iter().filter_map(|(_, calls)| calls).flatten().next() {
        Some(call) => Ok(Some(call)),
        None => Ok(state.services.reader.call(id).await?),
    }
}
