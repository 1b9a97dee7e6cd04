//! `/cdrs` and `/cdrs.csv`: call records, the newest first.

use std::collections::HashSet;

use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use futures_util::Stream;
use serde::Deserialize;
use switchroom_domain::fact::CdrSide;
use switchroom_domain::id::DeviceId;
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::CdrView;
use utoipa::IntoParams;

use super::State;
use super::auth::Caller;
use super::error::{Problem, ProblemBody};
use super::input::{self, LIMIT_MAX, Page, Params, bad_cursor, cursor, limit, place};
use super::view;
use crate::storage::CdrQuery;

/// A filter may look through so many records for a page before it gives what it has, with a cursor to go on.
const LOOKED_AT: usize = 20_000;

/// Which records are wanted.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RecordQuery {
    /// Only of this device.
    device: Option<String>,
    /// Only of this site.
    site: Option<String>,
    /// Received at or after this time (RFC 3339).
    since: Option<String>,
    /// Received before this time (RFC 3339).
    until: Option<String>,
    /// Of this extension, as `from` or `to`.
    extension: Option<String>,
    /// Over this trunk.
    trunk: Option<String>,
    /// Of this type: `IN`, `OU`, …
    #[serde(rename = "type")]
    kind: Option<String>,
    /// `from` or `to` is this number.
    number: Option<String>,
    /// `from` or `to` begins so.
    number_prefix: Option<String>,
    /// `from` or `to` ends so.
    number_suffix: Option<String>,
    /// How many items a page has: 1 to 1000, 100 if not given. For `/cdrs.csv`: all if not given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A query that can be run, page by page.
struct Search {
    caller: Caller,
    query: RecordQuery,
    device: Option<DeviceId>,
    /// Devices of the site that is asked for.
    site: Option<HashSet<DeviceId>>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    before: Option<i64>,
}

impl Search {
    fn new(state: &State, caller: Caller, query: RecordQuery) -> Result<Self, Problem> {
        let device = query.device.as_deref().map(|id| view::device(state, &caller, id)).transpose()?;
        let of_site = |site: &String| {
            let all = view::devices(state, &caller);
            let here = all.into_iter().filter(|device| device.settings.site == *site);
            here.map(|device| device.settings.id.clone()).collect()
        };
        let place = query.cursor.as_deref().map(|text| place("cdrs", text)).transpose()?;
        Ok(Self {
            device: device.map(|device| device.settings.id.clone()),
            site: query.site.as_ref().map(of_site),
            since: input::time("since", query.since.as_deref())?,
            until: input::time("until", query.until.as_deref())?,
            before: place.map(|place| place.parse().map_err(|_| bad_cursor())).transpose()?,
            caller,
            query,
        })
    }

    fn wants(&self, cdr: &CdrView) -> bool {
        let query = &self.query;
        let number = |fits: &dyn Fn(&str) -> bool| {
            [&cdr.from, &cdr.to].into_iter().flatten().any(|number| fits(number.as_str()))
        };
        self.caller.sees_cdr(cdr)
            && self.site.as_ref().is_none_or(|site| site.contains(&cdr.device))
            && query.extension.as_ref().is_none_or(|wanted| number(&|number| number == wanted))
            && query
                .trunk
                .as_ref()
                .is_none_or(|wanted| cdr.trunk.as_ref().is_some_and(|trunk| trunk == wanted))
            && query.kind.as_ref().is_none_or(|wanted| cdr.kind == *wanted)
            && query.number.as_ref().is_none_or(|wanted| number(&|number| number == wanted))
            && query.number_prefix.as_ref().is_none_or(|start| number(&|number| number.starts_with(start)))
            && query.number_suffix.as_ref().is_none_or(|end| number(&|number| number.ends_with(end)))
    }

    /// The next records, up to so many; says whether there may be more.
    async fn next(&mut self, state: &State, limit: usize) -> Result<(Vec<CdrView>, bool), Problem> {
        let (mut wanted, mut looked_at) = (Vec::new(), 0);
        loop {
            let query = CdrQuery {
                before: self.before,
                limit: LIMIT_MAX,
                device: self.device.clone(),
                since: self.since.map(|time| time.0),
                until: self.until.map(|time| time.0),
            };
            let found = state.services.reader.cdrs(query).await?;
            let is_last = found.len() < LIMIT_MAX;
            looked_at += found.len();
            for (seq, cdr) in found {
                if !self.wants(&cdr) {
                    self.before = Some(seq);
                    continue;
                }
                if wanted.len() == limit {
                    return Ok((wanted, true));
                }
                self.before = Some(seq);
                wanted.push(cdr);
            }
            if is_last {
                return Ok((wanted, false));
            }
            if looked_at >= LOOKED_AT {
                return Ok((wanted, true));
            }
        }
    }
}

/// Call records, the newest first. A page that looked through many without finding enough may hold fewer than
/// `limit`; only a `next_cursor` of null says that there are no more.
#[utoipa::path(get, path = "/api/v1/cdrs", tag = "records", params(RecordQuery),
    responses((status = 200, body = Page<CdrView>), (status = 400, body = ProblemBody)))]
pub(super) async fn list(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<RecordQuery>,
) -> Result<web::Json<Page<CdrView>>, Problem> {
    let limit = limit(query.limit)?;
    let mut search = Search::new(&state, caller, query)?;
    let (items, more) = search.next(&state, limit).await?;
    let next_cursor = search.before.filter(|_| more).map(|before| cursor("cdrs", &before.to_string()));
    Ok(web::Json(Page { items, next_cursor }))
}

/// The same records as comma-separated values, all of them.
#[utoipa::path(get, path = "/api/v1/cdrs.csv", tag = "records", params(RecordQuery),
    responses((status = 200, content_type = "text/csv", body = String), (status = 400, body = ProblemBody)))]
pub(super) async fn csv(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<RecordQuery>,
) -> Result<HttpResponse, Problem> {
    let left = query.limit.unwrap_or(usize::MAX);
    let search = Search::new(&state, caller, query)?;
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"cdrs.csv\""))
        .streaming(csv_pages(state, search, left)))
}

fn csv_pages(
    state: web::Data<State>,
    search: Search,
    left: usize,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    let header = Some(Bytes::from_static(CSV_HEADER.as_bytes()));
    futures_util::stream::unfold((Some((state, search, left)), header), |(rest, header)| async move {
        let (state, mut search, left) = rest?;
        if let Some(header) = header {
            return Some((Ok(header), (Some((state, search, left)), None)));
        }
        if left == 0 {
            return None;
        }
        match search.next(&state, left.min(LIMIT_MAX)).await {
            Ok((records, more)) => {
                let rows: String = records.iter().map(csv_row).collect();
                let rest = more.then(|| (state, search, left - records.len()));
                Some((Ok(rows.into()), (rest, None)))
            }
            Err(problem) => Some((Err(problem), (None, None))),
        }
    })
}

const CSV_HEADER: &str = "id,device,wire_id,call,type,route,side,from,to,trunk,started_at,ended_at,duration,\
                          recording,received_at\r\n";

fn csv_row(cdr: &CdrView) -> String {
    let text =
        |field: &Option<switchroom_domain::Text>| field.as_ref().map(ToString::to_string).unwrap_or_default();
    let time = |field: &Option<Timestamp>| field.map(|time| time.to_string()).unwrap_or_default();
    let side = match cdr.side {
        CdrSide::Extension => "extension",
        CdrSide::Trunk => "trunk",
    };
    let cells = [
        cdr.id.to_string(),
        cdr.device.to_string(),
        cdr.wire_id.to_string(),
        cdr.call.map(|call| call.to_string()).unwrap_or_default(),
        cdr.kind.to_string(),
        text(&cdr.route),
        side.to_owned(),
        text(&cdr.from),
        text(&cdr.to),
        text(&cdr.trunk),
        time(&cdr.started_at),
        time(&cdr.ended_at),
        cdr.duration.map(|seconds| seconds.to_string()).unwrap_or_default(),
        text(&cdr.recording),
        cdr.received_at.to_string(),
    ];
    cells.map(|cell| csv_cell(&cell)).join(",") + "\r\n"
}

/// Quoted where it must be. What a caller put into a number must not run as a formula where the file is
/// opened; a number with its `+` stays as it is.
fn csv_cell(text: &str) -> String {
    let is_number = text.bytes().skip(1).all(|b| b.is_ascii_digit());
    let formula = match text.as_bytes().first() {
        Some(b'=' | b'@' | b'\t' | b'\r') => true,
        Some(b'+' | b'-') => !is_number,
        _ => false,
    };
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_and_never_a_formula() {
        assert_eq!(csv_cell("+8613012345678"), "+8613012345678");
        assert_eq!(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_cell("=1+1"), "'=1+1");
        assert_eq!(csv_cell("+cmd|'x'!A1"), "'+cmd|'x'!A1");
        assert_eq!(csv_cell(""), "");
    }
}
