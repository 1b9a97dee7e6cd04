//! `/quarantine`: reports that a device's cell could not survive and that were set aside.

use crate::storage::db::params;
use actix_web::web;
use serde::Serialize;
use switchroom_domain::id::{DeviceId, IdSeed, Minter};
use switchroom_domain::time::Timestamp;
use utoipa::ToSchema;

use super::State;
use super::auth::{Caller, Role};
use super::entities::Paging;
use super::error::{Problem, ProblemBody};
use super::input::{Page, Params, limit, page};

/// A report that was set aside.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SetAside {
    /// The report's id.
    report: String,
    /// The device that sent it.
    device: String,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What the device calls it.
    name: String,
    /// The report, secrets struck out; empty when it is in the log alone.
    body: String,
}

/// Reports that were set aside.
#[utoipa::path(get, path = "/api/v1/quarantine", tag = "devices", params(Paging),
    responses((status = 200, body = Page<SetAside>), (status = 403, body = ProblemBody)))]
pub(super) async fn list(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<Paging>,
) -> Result<web::Json<Page<SetAside>>, Problem> {
    // They hold the numbers of any call.
    caller.require(&[Role::Viewer, Role::Operator, Role::Supervisor, Role::Admin])?;
    let limit = limit(query.limit)?;
    let mut all = state.services.reader.query(all).await?;
    all.retain(|report| {
        caller.extensions().is_none() && DeviceId::new(&report.device).is_ok_and(|id| caller.sees(&id))
    });
    let name = |report: &SetAside| report.report.clone();
    page(all, "quarantine", query.cursor.as_deref(), limit, str::to_owned, name).map(web::Json)
}

/// There are few: each is a defect. Ids begin with the time, so they sort by age.
fn all(connection: &crate::storage::db::Connection) -> Result<Vec<SetAside>, crate::storage::StorageError> {
    let mut statement = connection
        .prepare_cached("SELECT device, at, entropy, name, substr(body, 1, 65536) FROM quarantine LIMIT ?")?;
    let mut rows = statement.query(params![10_000])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (at, entropy): (i64, i64) = (row.get(1)?, row.get(2)?);
        let at = Timestamp(at);
        let seed = IdSeed { at, entropy: entropy.cast_unsigned() };
        let body: Vec<u8> = row.get(4)?;
        all.push(SetAside {
            report: Minter::report_id(seed).to_string(),
            device: row.get(0)?,
            at,
            name: row.get(3)?,
            body: String::from_utf8_lossy(&body).into_owned(),
        });
    }
    all.sort_by(|a, b| a.report.cmp(&b.report));
    Ok(all)
}
