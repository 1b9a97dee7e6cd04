//! `/devices/{device}/extensions`, `/trunks`, `/groups`: live state.

use actix_web::web;
use serde::Deserialize;
use switchroom_actors::device::messages::{GetExtensions, GetGroups, GetTrunks};
use switchroom_domain::view::{ExtensionView, GroupView, TrunkView};
use utoipa::IntoParams;

use super::State;
use super::auth::Caller;
use super::error::{Kind, Problem, ProblemBody};
use super::input::{Page, Params, limit, page};
use super::view::{ask, device};

/// Paging alone.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// How many items a page has: 1 to 1000, 100 if not given.
    pub(super) limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

fn by_length(text: &str) -> (usize, String) {
    (text.len(), text.to_owned())
}

fn none(what: &str, name: &str, device: &str) -> Problem {
    let name: String = name.chars().take(80).collect();
    Problem::new(Kind::NotFound, format!("no report of device {device} has named {what} {name:?} yet"))
}

/// The extensions that a device's reports have named.
#[utoipa::path(get, path = "/api/v1/devices/{device}/extensions", tag = "live state",
    params(("device" = String, Path), Paging),
    responses((status = 200, body = Page<ExtensionView>), (status = 404, body = ProblemBody)))]
pub(super) async fn extensions(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Params(query): Params<Paging>,
) -> Result<web::Json<Page<ExtensionView>>, Problem> {
    let limit = limit(query.limit)?;
    let device = device(&state, &caller, &path)?;
    let all = ask(&device, GetExtensions(None)).await?;
    let name = |view: &ExtensionView| view.number.to_string();
    page(all, "extensions", query.cursor.as_deref(), limit, by_length, name).map(web::Json)
}

/// One extension.
#[utoipa::path(get, path = "/api/v1/devices/{device}/extensions/{number}", tag = "live state",
    params(("device" = String, Path), ("number" = String, Path)),
    responses((status = 200, body = ExtensionView), (status = 404, body = ProblemBody)))]
pub(super) async fn extension(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<web::Json<ExtensionView>, Problem> {
    let (id, number) = path.into_inner();
    let device = device(&state, &caller, &id)?;
    let found = ask(&device, GetExtensions(Some(number.as_str().into()))).await?;
    found.into_iter().next().map(web::Json).ok_or_else(|| none("extension", &number, &id))
}

/// The trunks that a device's reports have named.
#[utoipa::path(get, path = "/api/v1/devices/{device}/trunks", tag = "live state",
    params(("device" = String, Path), Paging),
    responses((status = 200, body = Page<TrunkView>), (status = 404, body = ProblemBody)))]
pub(super) async fn trunks(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Params(query): Params<Paging>,
) -> Result<web::Json<Page<TrunkView>>, Problem> {
    let limit = limit(query.limit)?;
    let device = device(&state, &caller, &path)?;
    let all = ask(&device, GetTrunks(None)).await?;
    let name = |view: &TrunkView| view.number.to_string();
    page(all, "trunks", query.cursor.as_deref(), limit, str::to_owned, name).map(web::Json)
}

/// One trunk.
#[utoipa::path(get, path = "/api/v1/devices/{device}/trunks/{number}", tag = "live state",
    params(("device" = String, Path), ("number" = String, Path)),
    responses((status = 200, body = TrunkView), (status = 404, body = ProblemBody)))]
pub(super) async fn trunk(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<web::Json<TrunkView>, Problem> {
    let (id, number) = path.into_inner();
    let device = device(&state, &caller, &id)?;
    let found = ask(&device, GetTrunks(Some(number.as_str().into()))).await?;
    found.into_iter().next().map(web::Json).ok_or_else(|| none("trunk", &number, &id))
}

/// The queues that a device's reports have named. Whoever sees only the calls of some extensions sees how many
/// wait, not who.
#[utoipa::path(get, path = "/api/v1/devices/{device}/groups", tag = "live state",
    params(("device" = String, Path), Paging),
    responses((status = 200, body = Page<GroupView>), (status = 404, body = ProblemBody)))]
pub(super) async fn groups(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Params(query): Params<Paging>,
) -> Result<web::Json<Page<GroupView>>, Problem> {
    let limit = limit(query.limit)?;
    let device = device(&state, &caller, &path)?;
    let mut all = ask(&device, GetGroups).await?;
    all.iter_mut().for_each(|group| veil(group, &caller));
    let name = |view: &GroupView| view.queue_id.to_string();
    page(all, "groups", query.cursor.as_deref(), limit, by_length, name).map(web::Json)
}

/// One group: by its number, or by its queue's id as long as the number is not known.
#[utoipa::path(get, path = "/api/v1/devices/{device}/groups/{group}", tag = "live state",
    params(("device" = String, Path), ("group" = String, Path)),
    responses((status = 200, body = GroupView), (status = 404, body = ProblemBody)))]
pub(super) async fn group(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<web::Json<GroupView>, Problem> {
    let (id, name) = path.into_inner();
    let device = device(&state, &caller, &id)?;
    let all = ask(&device, GetGroups).await?;
    let is_named = |view: &&GroupView| match view.group {
        Some(number) => number.to_string() == name,
        None => view.queue_id == name,
    };
    let mut found = all.iter().find(is_named).cloned().ok_or_else(|| none("group", &name, &id))?;
    veil(&mut found, &caller);
    Ok(web::Json(found))
}

fn veil(group: &mut GroupView, caller: &Caller) {
    if caller.extensions().is_some() {
        group.waiting.clear();
    }
}
