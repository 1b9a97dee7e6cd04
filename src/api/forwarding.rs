//! `/cdr-forwarding`: how the forwarding of call records stands; it is set up by the vendor's URL ([`crate::forwarding`]).
//! `/devices/{device}/cdr-files` and `/devices/{device}/completeness`: records from files that a device has kept itself, and
//! whether all that it has is here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use switchroom_actors::ingress::Arrived;
use switchroom_actors::ports::INTERNAL;
use switchroom_domain::Text;
use switchroom_domain::fact::Fact;
use switchroom_domain::id::CallId;
use switchroom_domain::time::Timestamp;
use switchroom_protocol::Dialect;
use tokio::sync::oneshot;
use utoipa::{IntoParams, ToSchema};

use super::State;
use super::auth::{Caller, Role};
use super::deliveries::{DeliveriesQuery, log_of};
use super::device_input::missing;
use super::error::{Kind, Problem, ProblemBody};
use super::input::{self, Page, Params, limit};
use super::targets::{PASSED_ON, PassedOnView};
use super::{timeline, view};
use crate::devices::Device;
use crate::forwarding::files::number;
use crate::forwarding::import::{self, Filed};
use crate::forwarding::request::Wanted;
use crate::storage::forwarding::{self as store, Completeness};

/// The longest file that is fetched, and how long that may take.
const FILE_BYTES: usize = 64 * 1024 * 1024;
const FETCH: Duration = Duration::from_secs(60);
/// So many records are looked up and handed to the device's cell at a time.
const AT_A_TIME: usize = 200;
/// How long those may take to be on disk.
const COMMIT: Duration = Duration::from_secs(20);

/// How the forwarding stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ForwardingView {
    /// `forwarding`, `keeping` (with `savecall`), or `off`.
    #[schema(example = "forwarding")]
    state: &'static str,
    /// Where `/Auth` and `/APICdr/` are; null: `cdr_forward.listen` is not set.
    listens: bool,
    /// As it was set, by the vendor's names; null while it is off.
    setting: Option<Wanted>,
    /// Since when every attempt has failed; null when the last one did not.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// How many reports are read and not settled yet.
    pending: usize,
    /// How long ago the oldest of them came in.
    lag_seconds: f64,
    /// How many the application server took.
    delivered: u64,
    /// How many records are or were in files.
    kept: u64,
    /// How many reports that are no records were given up.
    failed: u64,
    /// How many left the log before they were forwarded or kept.
    lost: u64,
}

/// It is of all devices.
fn allow(caller: &Caller) -> Result<(), Problem> {
    caller.require(&[Role::Admin, Role::Operator])?;
    caller.require_unscoped()
}

/// How the forwarding of call records stands. It is set up with the vendor's URL at `cdr_forward.listen`.
#[utoipa::path(get, path = "/api/v1/cdr-forwarding", tag = "forwarding",
    responses((status = 200, body = ForwardingView), (status = 403, body = ProblemBody)))]
pub(super) async fn one(
    state: web::Data<State>,
    caller: Caller,
) -> Result<web::Json<ForwardingView>, Problem> {
    allow(&caller)?;
    let known = state.services.forwarding.known();
    let setting = known.as_ref().map(|known| known.settings().wanted);
    let standing = known.map(|known| known.standing()).unwrap_or_default();
    Ok(web::Json(ForwardingView {
        state: match &setting {
            None => "off",
            Some(wanted) if wanted.savecall => "keeping",
            Some(_) => "forwarding",
        },
        listens: state.services.config.cdr_forward.listen.is_some(),
        setting,
        failing_since: standing.failing_since,
        pending: standing.pending,
        lag_seconds: standing.lag(crate::clock::now()),
        delivered: standing.counts.delivered,
        kept: standing.counts.kept,
        failed: standing.counts.failed,
        lost: standing.counts.lost,
    }))
}

/// What became of records and reports that were to be forwarded, the newest first.
#[utoipa::path(get, path = "/api/v1/cdr-forwarding/deliveries", tag = "forwarding", params(DeliveriesQuery),
    responses((status = 200, body = Page<PassedOnView>), (status = 403, body = ProblemBody),
        (status = 404, description = "It is off", body = ProblemBody)))]
pub(super) async fn deliveries(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<DeliveriesQuery>,
) -> Result<web::Json<Page<PassedOnView>>, Problem> {
    allow(&caller)?;
    let off = || Problem::new(Kind::NotFound, "nothing is forwarded or kept: see docs/cdr-forwarding.md");
    let known = state.services.forwarding.known().ok_or_else(off)?;
    log_of(&state, &known, PASSED_ON, query).await.map(web::Json)
}

/// Where a file is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileUrl {
    /// Its URL, at a public address or one that `outward.allow` allows.
    #[schema(example = "http://10.0.0.20:8787/APICdr/cdr_20261121.txt")]
    url: Option<String>,
}

/// What a file held.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportView {
    /// Whose it is.
    #[schema(value_type = String)]
    device: Text,
    /// Records in it, each counted once.
    records: usize,
    /// How many of them were here already: as reports, or from a file before.
    known: usize,
    /// How many were not, and were taken from it now.
    taken: usize,
    /// Pieces that begin like a record and cannot be read.
    unreadable: usize,
    /// The first twenty of these.
    problems: Vec<FilePlace>,
    /// How complete the days are that it names, all their files together.
    days: Vec<Completeness>,
}

/// A place in a file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FilePlace {
    /// In bytes from its beginning.
    at: usize,
    /// What is wrong there.
    reason: String,
}

/// Takes a file in which a device has kept its call records, and imports those that never came: as the body (of up to 256
/// KiB, as `text/plain`, `application/xml` or `application/octet-stream`), or from where it is (`{"url"}`).
#[utoipa::path(post, path = "/api/v1/devices/{device}/cdr-files", tag = "forwarding",
    params(("device" = String, Path)), request_body = FileUrl,
    responses((status = 200, body = ImportView), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 413, description = "The file is too long to be sent; give its URL", body = ProblemBody),
        (status = 422, description = "It is no device with such files, the file cannot be fetched, or holds no call record", body = ProblemBody)))]
pub(super) async fn import(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    body: web::Bytes,
) -> Result<web::Json<ImportView>, Problem> {
    caller.require(&[Role::Admin])?;
    caller.require_all_extensions()?;
    let device = view::device(&state, &caller, &path)?;
    if device.settings.dialect != Dialect::Om {
        return Err(Problem::new(Kind::Invalid, "only OM devices keep such files"));
    }
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_file =
        kind.starts_with("text/") || matches!(kind.as_str(), "application/xml" | "application/octet-stream");
    let file = if is_file {
        body.to_vec()
    } else {
        if !matches!(kind.as_str(), "" | "application/json") {
            let detail = "send the file itself as text/plain, application/xml or application/octet-stream, or where \
                          it is (`{\"url\"}`) as application/json";
            return Err(Problem::new(Kind::BadBody, detail));
        }
        let FileUrl { url } = input::read_body(&request, &body)?;
        let url = url.ok_or_else(|| {
            missing("url", "where the file is; or send the file itself with `Content-Type: text/plain`")
        })?;
        let fetched = state.services.outward.get(&url, FILE_BYTES, FETCH).await;
        fetched.map_err(|failed| {
            Problem::new(Kind::Invalid, format!("the file cannot be fetched: {failed}")).field("url")
        })?
    };
    let zone = device.time_zone.clone();
    let contents =
        web::block(move || import::read(&file, &zone)).await.map_err(|error| Problem::internal(&error))?;
    if contents.records.is_empty() && contents.unreadable_count == 0 {
        let detail = "no call record is in it: one begins with `<Cdr` and ends with `</Cdr>`";
        return Err(Problem::new(Kind::Invalid, detail));
    }
    let now = crate::clock::now();
    let today = jiff::Timestamp::from_millisecond(now.0).unwrap_or_default();
    let today = number(today.to_zoned(device.time_zone.clone()).date());
    let mut seen = HashSet::new();
    let records: Vec<Filed> =
        contents.records.into_iter().filter(|record| seen.insert(record.wire_id.clone())).collect();
    let (mut present, mut taken, mut days) = (0, 0, HashSet::new());
    for records in records.chunks(AT_A_TIME) {
        let known = known(&state, &device, records).await?;
        let new: Vec<&Filed> =
            records.iter().zip(&known).filter(|(_, known)| !**known).map(|(record, _)| record).collect();
        take(&state, &device, &new).await?;
        present += records.len() - new.len();
        taken += new.len();
        let note: Vec<(u32, String, bool)> = records
            .iter()
            .zip(&known)
            .map(|(record, known)| (record.day.unwrap_or(today), record.wire_id.to_string(), !known))
            .collect();
        days.extend(note.iter().map(|(day, ..)| *day));
        let of = device.settings.id.to_string();
        state.services.store.run(move |connection| store::note(connection, &of, &note, now)).await?;
    }
    let (first, last) = (days.iter().min().copied().unwrap_or(1), days.iter().max().copied().unwrap_or(0));
    let mut all = complete(&state, &device, first, last, input::LIMIT_MAX).await?;
    let names: HashSet<String> = days
        .iter()
        .map(|day| format!("{:04}-{:02}-{:02}", day / 10_000, day / 100 % 100, day % 100))
        .collect();
    all.retain(|day| names.contains(&day.day));
    tracing::info!(device.id = %device.settings.id, known = present, taken, "a file of call records was imported");
    Ok(web::Json(ImportView {
        device: device.settings.id.as_str().into(),
        records: records.len(),
        known: present,
        taken,
        unreadable: contents.unreadable_count,
        problems: contents.unreadable.into_iter().map(|(at, reason)| FilePlace { at, reason }).collect(),
        days: all,
    }))
}

/// Which of these records are here.
async fn known(state: &State, device: &Device, records: &[Filed]) -> Result<Vec<bool>, Problem> {
    let ids: Vec<String> = records.iter().map(|record| record.wire_id.to_string()).collect();
    let of = device.settings.id.to_string();
    // Tables are a moment behind the log.
    state.services.reader.settle().await;
    Ok(state.services.reader.query(move |connection| store::known(connection, &of, &ids)).await?)
}

/// Hands records to the device's cell, as notes of ours: it is not the device that is heard of. They are on disk then.
async fn take(state: &State, device: &Arc<Device>, records: &[&Filed]) -> Result<(), Problem> {
    let late = || {
        let detail = "the device's cell is busy, or the disk; what was imported stays, send the file again";
        Problem::new(Kind::Unavailable, detail).retry_after(5)
    };
    let mut waiting = Vec::new();
    for record in records {
        let Some(fact) = fact(state, device, record).await? else { continue };
        let body = serde_json::to_vec(&[&fact]).map_err(|error| Problem::internal(&error))?;
        let (ack, on_disk) = oneshot::channel();
        let arrived = Arrived {
            device: Arc::clone(&device.handle),
            source: Text::const_new("cdr-files"),
            dialect: INTERNAL,
            name: Text::const_new(timeline::FILED),
            content_type: None,
            body: body.into(),
            facts: vec![fact],
            received: Instant::now(),
            ack: Some(ack),
        };
        // The word of the disk is what counts.
        drop(state.services.gate_of(&device.handle).pass(arrived));
        waiting.push(on_disk);
    }
    let deadline = tokio::time::Instant::now() + COMMIT;
    for on_disk in waiting {
        match tokio::time::timeout_at(deadline, on_disk).await {
            Ok(Ok(())) => {}
            _ => return Err(late()),
        }
    }
    Ok(())
}

/// A record with the call that it is of, if its reports came.
async fn fact(state: &State, device: &Device, record: &Filed) -> Result<Option<Fact>, Problem> {
    let cdr = record.facts.iter().find_map(|fact| match fact {
        Fact::Cdr(cdr) => Some(cdr.clone()),
        _ => None,
    });
    let Some(cdr) = cdr else { return Ok(None) };
    let mut call = None;
    if let (Some(began), Some(from), Some(to)) = (cdr.started_at, cdr.from.clone(), cdr.to.clone()) {
        let of = device.settings.id.to_string();
        let find = move |connection: &crate::storage::db::Connection| {
            store::conversation_of(connection, &of, began, &from, &to)
        };
        let found = state.services.reader.query(find).await?;
        call = found.and_then(|id| uuid::Uuid::from_slice(&id).ok()).map(CallId);
    }
    Ok(Some(Fact::CdrFiled { cdr, call }))
}

async fn complete(
    state: &State,
    device: &Device,
    since: u32,
    until: u32,
    limit: usize,
) -> Result<Vec<Completeness>, Problem> {
    let of = device.settings.id.to_string();
    state.services.reader.settle().await;
    let query = move |connection: &crate::storage::db::Connection| {
        store::completeness(connection, &of, since, until, limit)
    };
    Ok(state.services.reader.query(query).await?)
}

/// Which days are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DaysQuery {
    /// From this day on.
    #[param(example = "2026-11-01")]
    since: Option<String>,
    /// Up to this day.
    until: Option<String>,
    /// How many at most: 1 to 1000, 100 if not given.
    limit: Option<usize>,
}

/// How complete the days of a device are by the files that were looked at, the latest first.
#[utoipa::path(get, path = "/api/v1/devices/{device}/completeness", tag = "forwarding",
    params(("device" = String, Path), DaysQuery),
    responses((status = 200, body = Page<Completeness>), (status = 404, body = ProblemBody)))]
pub(super) async fn completeness(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Params(query): Params<DaysQuery>,
) -> Result<web::Json<Page<Completeness>>, Problem> {
    caller.require(&[Role::Admin, Role::Operator])?;
    caller.require_all_extensions()?;
    let device = view::device(&state, &caller, &path)?;
    let limit = limit(query.limit)?;
    let day = |name: &'static str, text: Option<&str>, other: u32| {
        let wrong = || {
            let detail = format!("{name} is a day, for example 2026-11-21");
            Problem::new(Kind::BadParameter, detail).field(name)
        };
        text.map_or(Ok(other), |text| text.parse().map(number).map_err(|_| wrong()))
    };
    let since = day("since", query.since.as_deref(), 0)?;
    let until = day("until", query.until.as_deref(), u32::MAX)?;
    if until < since {
        return Err(input::reversed("until"));
    }
    let items = complete(&state, &device, since, until, limit).await?;
    Ok(web::Json(Page { items, next_cursor: None }))
}
