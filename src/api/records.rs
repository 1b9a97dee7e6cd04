//! `/cdrs`, `/conversations`: what is on record, the newest first, as JSON, CSV or NDJSON.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use actix_web::http::header::{ACCEPT, CONTENT_DISPOSITION, VARY};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::Stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::conversation::{Conversation, Outcome};
use switchroom_domain::fact::CdrSide;
use switchroom_domain::id::{CdrId, DeviceId};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{CdrView, Direction};
use utoipa::{IntoParams, ToSchema};

use super::State;
use super::auth::Caller;
use super::error::{Kind as Wrong, Problem, ProblemBody};
use super::input::{self, LIMIT_MAX, Page, Params, bad_cursor, cursor, limit, place};
use super::view;
use crate::numbers::{self, Beginning};
use crate::storage::records::{Kind, Number, Query};

/// Pages that hold nothing of what is wanted, or nothing the caller may see, are read on, so often and so long. Then the
/// page is given as it is, with where to go on.
const PAGES: usize = 100;
const PATIENCE: Duration = Duration::from_millis(50);

/// In which spellings numbers are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Spelling {
    Any,
    AsWritten,
}

/// Which records are wanted.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RecordQuery {
    /// Only of this device.
    device: Option<String>,
    /// Only of this site.
    site: Option<String>,
    /// At or after this time (RFC 3339): conversations by their begin, call records by when they came in.
    since: Option<String>,
    /// Before this time (RFC 3339).
    until: Option<String>,
    /// Of this extension.
    extension: Option<String>,
    /// Over this trunk.
    trunk: Option<String>,
    /// `inbound`, `outbound`, `internal` or `callback`.
    direction: Option<String>,
    /// `answered`, `abandoned`, `no_answer`, `busy`, `rejected` or `failed`.
    outcome: Option<String>,
    /// Call records of this type: `IN`, `OU`, …
    #[serde(rename = "type")]
    kind: Option<String>,
    /// This number is in it, in whatever spelling of the place (`[numbers]` of the configuration).
    number: Option<String>,
    /// A number that begins so is in it; an international or national beginning (`+86…`, `021…`) in every spelling.
    number_prefix: Option<String>,
    /// A number that ends so is in it.
    number_suffix: Option<String>,
    /// `any`, or `as_written`: numbers only as devices wrote them. `any` if not given.
    spelling: Option<Spelling>,
    /// How many items a page has: 1 to 1000, 100 if not given. In an export: all if not given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl RecordQuery {
    /// Refuses what can find nothing.
    fn check(&mut self) -> Result<(), Problem> {
        let given = [
            ("device", &self.device),
            ("site", &self.site),
            ("extension", &self.extension),
            ("trunk", &self.trunk),
            ("type", &self.kind),
            ("number", &self.number),
            ("number_prefix", &self.number_prefix),
            ("number_suffix", &self.number_suffix),
        ];
        for (name, value) in given {
            input::not_empty(name, value.as_deref())?;
        }
        // In a query a `+` that was not escaped has become a space.
        for number in [&mut self.number, &mut self.number_prefix].into_iter().flatten() {
            if let Some(rest) = number.strip_prefix(' ') {
                *number = format!("+{}", rest.trim_start());
            }
        }
        let numbers = [
            ("number", &self.number),
            ("number_prefix", &self.number_prefix),
            ("number_suffix", &self.number_suffix),
        ];
        let is_number = |text: &str| text.chars().any(|c| c.is_ascii_digit() || matches!(c, '+' | '*' | '#'));
        for (name, value) in numbers {
            let is_none = value.as_deref().is_some_and(|value| !is_number(value));
            if is_none && self.spelling != Some(Spelling::AsWritten) {
                let detail = format!(
                    "{name} is a telephone number; with spelling=as_written any text is looked for, as devices wrote it"
                );
                return Err(Problem::new(Wrong::BadParameter, detail).field(name));
            }
        }
        Ok(())
    }
}

/// What is kept and searched.
pub(super) trait Record: DeserializeOwned + Serialize + Send + 'static {
    /// Which of the two it is.
    const KIND: Kind;
    /// Its list's name.
    const LIST: &'static str;
    /// The first line of a file of them.
    const CSV_HEADER: &'static str;
    /// The cells of a line.
    fn cells(&self) -> Vec<String>;
    /// May they see it?
    fn is_seen_by(&self, caller: &Caller) -> bool;
}

/// A search that goes on page by page.
struct Search {
    caller: Caller,
    query: Query,
    devices: Option<Vec<DeviceId>>,
}

impl Search {
    fn new<T: Record>(state: &State, caller: Caller, mut query: RecordQuery) -> Result<Self, Problem> {
        query.check()?;
        let of_site = |site: &String| {
            let all = view::devices(state, &caller);
            let here = all.into_iter().filter(|device| device.settings.site == *site);
            here.map(|device| device.settings.id.clone()).collect::<HashSet<_>>()
        };
        let mut devices = query.site.as_ref().map(of_site);
        let mut site = None;
        if let Some(id) = &query.device {
            let device = view::device(state, &caller, id)?;
            site = Some(device.settings.site.clone());
            let id = device.settings.id.clone();
            let is_there = devices.as_ref().is_none_or(|devices| devices.contains(&id));
            devices = Some(HashSet::from_iter(is_there.then_some(id)));
        }
        if devices.is_none() && caller.is_scoped() {
            let all = view::devices(state, &caller);
            devices = Some(all.into_iter().map(|device| device.settings.id.clone()).collect());
        }
        if query.kind.is_some() && T::KIND == Kind::Conversation {
            return Err(Problem::new(Wrong::BadParameter, "`type` is of call records").field("type"));
        }
        let sought = [
            ("extension", &query.extension),
            ("trunk", &query.trunk),
            ("number", &query.number),
            ("number_prefix", &query.number_prefix),
            ("number_suffix", &query.number_suffix),
        ];
        for (field, value) in sought {
            value.as_deref().map_or(Ok(()), |value| caller.may_look_for(field, value))?;
        }
        let rules = &state.services.config.numbers;
        let site = query.site.clone().or(site);
        let as_written = query.spelling == Some(Spelling::AsWritten);
        let spelled = |number: String| match as_written {
            true => vec![number],
            false => numbers::spellings(&number, rules, site.as_deref()),
        };
        let begun = |start: String| match as_written {
            true => vec![Beginning::any(start)],
            false => numbers::beginnings(&start, rules, site.as_deref()),
        };
        let spellings = query.number.map(spelled);
        for spelling in spellings.iter().flatten() {
            // A short number may be the end of a long one.
            caller.may_look_for("number", spelling)?;
        }
        let ends = |end: String| numbers::compact(&end).filter(|_| !as_written).unwrap_or(end);
        let numbers = [
            query.extension.map(|number| Number::Is(vec![number])),
            spellings.map(Number::Is),
            query.number_prefix.map(|start| Number::Begins(begun(start))),
            query.number_suffix.map(|end| Number::Ends(vec![ends(end)])),
        ];
        let before = query.cursor.as_deref().map(|text| place(T::LIST, text)).transpose()?;
        let (since, until) = input::times(query.since.as_deref(), query.until.as_deref())?;
        let time = |time: Option<Timestamp>| time.map(|time| time.0);
        Ok(Self {
            query: Query {
                before: before.map(|place| place.parse().map_err(|_| bad_cursor())).transpose()?,
                limit: 0,
                devices: Vec::new(),
                since: time(since),
                until: time(until),
                kind: query.kind,
                direction: one_of("direction", query.direction, &Direction::ALL.map(Direction::as_str))?,
                outcome: one_of("outcome", query.outcome, &Outcome::ALL.map(Outcome::as_str))?,
                trunk: query.trunk,
                numbers: numbers.into_iter().flatten().collect(),
            },
            devices: devices.map(|devices| devices.into_iter().collect()),
            caller,
        })
    }

    /// The next records, up to so many, and whether there may be more.
    async fn next<T: Record>(&mut self, state: &State, limit: usize) -> Result<(Vec<T>, bool), Problem> {
        let mut wanted = Vec::new();
        let begun = Instant::now();
        for _ in 0..PAGES {
            self.query.limit = limit - wanted.len();
            let (found, next) =
                state.services.reader.records::<T>(T::KIND, self.query.clone(), self.devices.clone()).await?;
            let seen = found.into_iter().filter(|(_, record)| record.is_seen_by(&self.caller));
            wanted.extend(seen.map(|(_, record)| record));
            match next {
                None => return Ok((wanted, false)),
                Some(next) => self.query.before = Some(next),
            }
            if wanted.len() >= limit || begun.elapsed() > PATIENCE {
                break;
            }
        }
        Ok((wanted, true))
    }
}

fn one_of(field: &'static str, given: Option<String>, known: &[&str]) -> Result<Option<String>, Problem> {
    match given {
        Some(given) if !known.contains(&given.as_str()) => {
            let detail = format!("{field} is one of {}", known.join(", "));
            Err(Problem::new(Wrong::BadParameter, detail).field(field))
        }
        given => Ok(given),
    }
}

/// In which form records are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Csv,
    Ndjson,
}

impl Form {
    fn wanted(request: &HttpRequest) -> Self {
        let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let named = |name: &str| accept.split(',').any(|part| part.trim().starts_with(name));
        if named("text/csv") {
            Self::Csv
        } else if named("application/x-ndjson") {
            Self::Ndjson
        } else {
            Self::Json
        }
    }
}

async fn search<T: Record + ToSchema>(
    state: web::Data<State>,
    caller: Caller,
    query: RecordQuery,
    form: Form,
) -> Result<HttpResponse, Problem> {
    let mut search = Search::new::<T>(&state, caller, query.clone())?;
    if form != Form::Json {
        let left = query.limit.unwrap_or(usize::MAX);
        let (content_type, ending) = match form {
            Form::Csv => ("text/csv; charset=utf-8", "csv"),
            _ => ("application/x-ndjson", "ndjson"),
        };
        let name = format!("attachment; filename=\"{}.{ending}\"", T::LIST);
        return Ok(HttpResponse::Ok()
            .content_type(content_type)
            .insert_header((CONTENT_DISPOSITION, name))
            .insert_header((VARY, "Accept"))
            .streaming(pages::<T>(state, search, left, form)));
    }
    let limit = limit(query.limit)?;
    let (items, more) = search.next::<T>(&state, limit).await?;
    let next_cursor = search.query.before.filter(|_| more).map(|before| cursor(T::LIST, &before.to_string()));
    Ok(HttpResponse::Ok().insert_header((VARY, "Accept")).json(Page { items, next_cursor }))
}

fn pages<T: Record>(
    state: web::Data<State>,
    search: Search,
    left: usize,
    form: Form,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    let header = (form == Form::Csv).then(|| Bytes::from_static(T::CSV_HEADER.as_bytes()));
    futures_util::stream::unfold((Some((state, search, left)), header), move |(rest, header)| async move {
        let (state, mut search, left) = rest?;
        if let Some(header) = header {
            return Some((Ok(header), (Some((state, search, left)), None)));
        }
        if left == 0 {
            return None;
        }
        match search.next::<T>(&state, left.min(LIMIT_MAX)).await {
            Ok((records, more)) => {
                let line = |record: &T| match form {
                    Form::Csv => {
                        let cells: Vec<String> = record.cells().iter().map(|cell| csv_cell(cell)).collect();
                        cells.join(",") + "\r\n"
                    }
                    _ => serde_json::to_string(record).unwrap_or_default() + "\n",
                };
                let rows: String = records.iter().map(line).collect();
                let rest = more.then(|| (state, search, left - records.len()));
                Some((Ok(rows.into()), (rest, None)))
            }
            Err(problem) => Some((Err(problem), (None, None))),
        }
    })
}

/// Call records, the newest first; `Accept: text/csv` or `application/x-ndjson` gives all of them. A page that looked
/// through many without finding enough may hold fewer than `limit`: only a `next_cursor` of null says that there are no
/// more.
#[utoipa::path(get, path = "/api/v1/cdrs", tag = "records", params(RecordQuery),
    responses((status = 200, body = Page<CdrView>), (status = 400, body = ProblemBody)))]
pub(super) async fn cdrs(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    Params(query): Params<RecordQuery>,
) -> Result<HttpResponse, Problem> {
    search::<CdrView>(state, caller, query, Form::wanted(&request)).await
}

/// The same records as comma-separated values, all of them.
#[utoipa::path(get, path = "/api/v1/cdrs.csv", tag = "records", params(RecordQuery),
    responses((status = 200, content_type = "text/csv", body = String), (status = 400, body = ProblemBody)))]
pub(super) async fn cdrs_csv(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<RecordQuery>,
) -> Result<HttpResponse, Problem> {
    search::<CdrView>(state, caller, query, Form::Csv).await
}

/// One call record.
#[utoipa::path(get, path = "/api/v1/cdrs/{cdr}", tag = "records", params(("cdr" = String, Path)),
    responses((status = 200, body = CdrView), (status = 404, body = ProblemBody)))]
pub(super) async fn cdr(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<CdrView>, Problem> {
    one(&state, &caller, "call record", &path).await
}

/// Conversations, the newest first: all that is known of a call in one record. Exports as with call records.
#[utoipa::path(get, path = "/api/v1/conversations", tag = "records", params(RecordQuery),
    responses((status = 200, body = Page<Conversation>), (status = 400, body = ProblemBody)))]
pub(super) async fn conversations(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    Params(query): Params<RecordQuery>,
) -> Result<HttpResponse, Problem> {
    search::<Conversation>(state, caller, query, Form::wanted(&request)).await
}

/// The conversation of one call, by the call's id; it is there a few seconds after the call's end.
#[utoipa::path(get, path = "/api/v1/conversations/{call}", tag = "records", params(("call" = String, Path)),
    responses((status = 200, body = Conversation), (status = 404, body = ProblemBody)))]
pub(super) async fn conversation(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<Conversation>, Problem> {
    one(&state, &caller, "conversation", &path).await
}

async fn one<T: Record>(
    state: &State,
    caller: &Caller,
    what: &str,
    id: &str,
) -> Result<web::Json<T>, Problem> {
    let none = || {
        let id: String = id.chars().take(80).collect();
        Problem::new(Wrong::NotFound, format!("there is no {what} {id:?}"))
    };
    let id = id.parse().map_err(|_| none())?;
    let found = state.services.reader.record::<T>(T::KIND, id).await?;
    found.filter(|record| record.is_seen_by(caller)).map(web::Json).ok_or_else(none)
}

fn text(field: &Option<Text>) -> String {
    field.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn time(field: &Option<Timestamp>) -> String {
    field.map(|time| time.to_string()).unwrap_or_default()
}

/// Several things in one cell.
fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

impl Record for CdrView {
    const KIND: Kind = Kind::Cdr;
    const LIST: &'static str = "cdrs";
    const CSV_HEADER: &'static str = "id,device,wire_id,call,type,route,direction,outcome,side,from,to,trunk,\
                                      started_at,ended_at,duration,recording,received_at\r\n";

    fn cells(&self) -> Vec<String> {
        let side = match self.side {
            CdrSide::Extension => "extension",
            CdrSide::Trunk => "trunk",
        };
        vec![
            self.id.to_string(),
            self.device.to_string(),
            self.wire_id.to_string(),
            self.call.map(|call| call.to_string()).unwrap_or_default(),
            self.kind.to_string(),
            text(&self.route),
            self.direction.map(Direction::as_str).unwrap_or_default().to_owned(),
            self.outcome.map(Outcome::as_str).unwrap_or_default().to_owned(),
            side.to_owned(),
            text(&self.from),
            text(&self.to),
            text(&self.trunk),
            time(&self.started_at),
            time(&self.ended_at),
            self.duration.map(|seconds| seconds.to_string()).unwrap_or_default(),
            text(&self.recording),
            self.received_at.to_string(),
        ]
    }

    fn is_seen_by(&self, caller: &Caller) -> bool {
        caller.sees_record(&self.device, [&self.from, &self.to])
    }
}

impl Record for Conversation {
    const KIND: Kind = Kind::Conversation;
    const LIST: &'static str = "conversations";
    const CSV_HEADER: &'static str = "id,device,direction,from,to,answered_by,trunk,started_at,answered_at,ended_at,ring_seconds,queue_seconds,\
         talk_seconds,outcome,confidence,basis,queue,menus,digits,score,transfers,recordings,cdrs\r\n";

    fn cells(&self) -> Vec<String> {
        let seconds = |field: Option<f64>| field.map(|seconds| seconds.to_string()).unwrap_or_default();
        vec![
            self.id.to_string(),
            self.device.to_string(),
            self.direction.as_str().to_owned(),
            text(&self.from),
            text(&self.to),
            text(&self.answered_by),
            text(&self.trunk),
            self.started_at.to_string(),
            time(&self.answered_at),
            self.ended_at.to_string(),
            seconds(self.ring_seconds),
            seconds(self.queue_seconds),
            seconds(self.talk_seconds),
            self.outcome.as_str().to_owned(),
            self.confidence.as_str().to_owned(),
            self.basis.as_str().to_owned(),
            text(&self.queue),
            joined(&self.menus),
            joined(&self.digits),
            text(&self.score),
            joined(
                self.transfers
                    .iter()
                    .map(|transfer| format!("{}>{}", text(&transfer.by), text(&transfer.to))),
            ),
            joined(self.recordings.iter().map(|recording| &recording.file)),
            joined::<&CdrId>(&self.cdrs),
        ]
    }

    fn is_seen_by(&self, caller: &Caller) -> bool {
        let transfers = self.transfers.iter().flat_map(|transfer| [&transfer.by, &transfer.to]);
        caller
            .sees_record(&self.device, [&self.from, &self.to, &self.answered_by].into_iter().chain(transfers))
    }
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
