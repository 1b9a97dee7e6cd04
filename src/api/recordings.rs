//! `/recordings`: what became of each recording that a call record named, and its audio for those who may hear it.

use std::io::{ErrorKind, Read, SeekFrom};

use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, ETAG, HeaderMap, IF_NONE_MATCH,
    IF_RANGE, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::Stream;
use serde::Deserialize;
use switchroom_domain::id::CdrId;
use switchroom_domain::view::CdrView;
use utoipa::{IntoParams, ToSchema};

use super::State;
use super::auth::{Caller, Role};
use super::error::{Kind, Problem, ProblemBody};
use super::input::{self, Page, Params, bad_cursor, cursor, limit, place};
use super::view;
use crate::recordings::name;
use crate::recordings::store::Reading;
use crate::recordings::take::{self, HALVES};
use crate::storage::recordings::{self as table, Query, Recording, RecordingState};
use crate::storage::records;

/// The list's name in its cursors.
const LIST: &str = "recordings";
/// Pages that hold nothing the caller may see are read on, so often.
const PAGES: usize = 20;
/// How much is read and sent at a time.
const CHUNK: u64 = 64 * 1024;

/// Which recordings are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only of this device.
    device: Option<String>,
    /// Only of this call.
    call: Option<String>,
    /// `announced`, `fetching`, `available` or `missing`.
    state: Option<String>,
    /// Announced at or after this time (RFC 3339).
    since: Option<String>,
    /// Announced before this time.
    until: Option<String>,
    /// How many items a page has: 1 to 1000, 100 if not given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Recordings, the newest first: what is known of each, not its audio.
#[utoipa::path(get, path = "/api/v1/recordings", tag = "recordings", params(ListQuery),
    responses((status = 200, body = Page<Recording>), (status = 400, body = ProblemBody)))]
pub(super) async fn list(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<ListQuery>,
) -> Result<web::Json<Page<Recording>>, Problem> {
    let devices = match &query.device {
        Some(id) => Some(vec![view::device(&state, &caller, id)?.settings.id.clone()]),
        None if caller.is_scoped() => {
            Some(view::devices(&state, &caller).iter().map(|device| device.settings.id.clone()).collect())
        }
        None => None,
    };
    let wrong = |field, detail: &str| Problem::new(Kind::BadParameter, detail).field(field);
    let wanted = query.state.as_deref().map(|name| {
        let state = RecordingState::ALL.into_iter().find(|state| state.as_str() == name);
        state.ok_or_else(|| wrong("state", "state is announced, fetching, available or missing"))
    });
    let call =
        query.call.as_deref().map(|call| call.parse().map_err(|_| wrong("call", "call is a call's id")));
    let before = query.cursor.as_deref().map(|text| place(LIST, text)).transpose()?;
    let (since, until) = input::times(query.since.as_deref(), query.until.as_deref())?;
    let limit = limit(query.limit)?;
    let mut search = Query {
        before: before.map(|place| place.parse().map_err(|_| bad_cursor())).transpose()?,
        limit,
        devices,
        call: call.transpose()?,
        state: wanted.transpose()?,
        since: since.map(|time| time.0),
        until: until.map(|time| time.0),
    };
    let (mut items, mut more) = (Vec::new(), false);
    for _ in 0..PAGES {
        search.limit = limit - items.len();
        let asked = search.clone();
        let found = state.services.reader.query(move |connection| table::find(connection, &asked)).await?;
        more = found.len() >= search.limit;
        search.before = found.last().map(Recording::place).or(search.before);
        items.extend(found.into_iter().filter(|recording| is_seen(&caller, recording)));
        if !more || items.len() >= limit {
            break;
        }
    }
    let next_cursor = search.before.filter(|_| more).map(|place| cursor(LIST, &place.to_string()));
    Ok(web::Json(Page { items, next_cursor }))
}

/// What is known of one recording.
#[utoipa::path(get, path = "/api/v1/recordings/{recording}/meta", tag = "recordings",
    params(("recording" = String, Path, description = "Its id: that of the call record that named it")),
    responses((status = 200, body = Recording, example = json!({
            "id": "01a1fff3-766e-7001-8882-24882a850412", "device": "hotel-1",
            "call": "01a1fff3-66da-7001-b727-ce4978e6265c",
            "file": "20171116/18201008888_200_20171116_163550_85_cd.wav", "direction": "inbound",
            "from": "18201008888", "to": "200", "trunk": "02161208234", "duration": 6.0,
            "announced_at": "2017-11-16T08:35:56.412Z", "state": "available", "tries": 1, "next_try_at": null,
            "error": null, "content_type": "audio/wav", "size": 48044,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "seconds": 6.0,
            "matches_duration": true, "fetched_at": "2017-11-16T08:36:06.531Z",
            "stored_as": "2017/11/16/01a1fff3-766e-7001-8882-24882a850412.wav", "parts": []})), (status = 404, body = ProblemBody)))]
pub(super) async fn meta(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<Recording>, Problem> {
    one(&state, &caller, &path).await.map(web::Json)
}

/// Bytes of audio, for the document alone.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only described")]
struct AudioBytes(Vec<u8>);

/// How the audio is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PlayQuery {
    /// `send` or `recv`: one half of a G.729 recording, as the device made it.
    part: Option<String>,
}

/// The audio. One range of it may be asked for (`Range`, `If-Range`), HEAD gives its size. For supervisors and admins,
/// and for agents the recordings whose record names an extension of theirs.
#[utoipa::path(get, path = "/api/v1/recordings/{recording}", tag = "recordings",
    params(("recording" = String, Path, description = "Its id: that of the call record that named it"), PlayQuery),
    responses(
        (status = 200, content_type = "audio/wav", body = AudioBytes, description = "All of it"),
        (status = 206, content_type = "audio/wav", body = AudioBytes, description = "The range that was asked for"),
        (status = 304, description = "It is what `If-None-Match` names"),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "There are only halves, which `part` gives"),
        (status = 416, body = ProblemBody, description = "It has no such range; `Content-Range` tells its size")))]
pub(super) async fn play(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    Params(query): Params<PlayQuery>,
) -> Result<HttpResponse, Problem> {
    caller.require(&[Role::Agent, Role::Supervisor, Role::Admin])?;
    let recording = one(&state, &caller, &path).await?;
    let (stored, content_type, ending) = what(&recording, query.part.as_deref())?;
    let store = std::sync::Arc::clone(&state.services.recordings.store);
    let name = stored.clone();
    let opened = web::block(move || {
        let mut file = store.open(&name)?;
        let size = file.seek(SeekFrom::End(0))?;
        Ok::<_, std::io::Error>((file, size))
    });
    let opened = opened.await.map_err(|_| Problem::new(Kind::Unavailable, "the service is stopping"))?;
    let (file, size) = opened.map_err(|error| gone(&recording, &stored, &error))?;
    let etag = recording.sha256.as_ref().filter(|_| query.part.is_none()).map(|hash| format!("\"{hash}\""));
    if let Some(etag) = etag.as_deref().filter(|etag| is_known(request.headers(), etag)) {
        let mut response = HttpResponse::NotModified();
        return Ok(response.insert_header((ETAG, etag)).insert_header((CACHE_CONTROL, "private")).finish());
    }
    let (status, from, to) = match range(request.headers(), etag.as_deref(), size) {
        Wanted::All => (StatusCode::OK, 0, size),
        Wanted::Part(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
        Wanted::Nothing => return Err(Problem::no_such_range(size)),
    };
    let mut response = HttpResponse::build(status);
    response.insert_header((ACCEPT_RANGES, "bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        response.insert_header((CONTENT_RANGE, format!("bytes {from}-{}/{size}", to.saturating_sub(1))));
    }
    let is_head = request.method() == Method::HEAD;
    if !is_head {
        tracing::info!(
            recording = %recording.id, device.id = %recording.device, token = caller.token_id(),
            role = caller.role.as_str(), from, to, "recording heard"
        );
    }
    if let Some(etag) = etag {
        response.insert_header((ETAG, etag));
    }
    // Devices name it by who called whom.
    let mut name = if caller.is_masked() {
        format!("{}.{ending}", recording.id)
    } else {
        name::file_name(&recording.file, ending)
    };
    if let Some(part) = &query.part {
        name = name.replace(".dat", &format!("_{part}.dat"));
    }
    response
        .content_type(content_type)
        .insert_header((CONTENT_DISPOSITION, format!("inline; filename=\"{name}\"")))
        .insert_header((CACHE_CONTROL, "private"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    let length = to - from;
    if is_head {
        return Ok(response.body(actix_web::body::SizedStream::new(
            length,
            futures_util::stream::empty::<Result<Bytes, std::io::Error>>(),
        )));
    }
    Ok(response.body(actix_web::body::SizedStream::new(length, bytes(file, from, to))))
}

/// What is played: its name in the store, its type, and the ending of the name that it is given out under.
fn what<'a>(
    recording: &'a Recording,
    part: Option<&str>,
) -> Result<(String, &'a str, &'static str), Problem> {
    if recording.state != RecordingState::Available {
        let state = recording.state.as_str();
        let why = recording.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        let detail = format!("the recording is not here; it is {state}{why}");
        return Err(Problem::new(Kind::NotFound, detail));
    }
    match (part, &recording.stored_as) {
        (Some(part), _) if !HALVES.contains(&part) => {
            Err(Problem::new(Kind::BadParameter, "part is send or recv").field("part"))
        }
        (Some(part), _) if recording.parts.iter().any(|there| there == part) => {
            Ok((take::half(recording, part), "application/octet-stream", "dat"))
        }
        (Some(_), _) => Err(Problem::new(Kind::NotFound, "the recording has no such half")),
        (None, Some(stored)) => {
            let content_type = recording.content_type.as_deref().unwrap_or("audio/wav");
            Ok((stored.clone(), content_type, if content_type == "audio/mpeg" { "mp3" } else { "wav" }))
        }
        (None, None) => Err(Problem::new(
            Kind::Conflict,
            "the device made two halves in G.729, and there was no ffmpeg to join them; `part=send` and `part=recv` \
             give them as they are",
        )),
    }
}

fn gone(recording: &Recording, stored: &str, error: &std::io::Error) -> Problem {
    tracing::error!(recording = %recording.id, stored, %error, "a recording cannot be read");
    if error.kind() == ErrorKind::NotFound {
        let detail =
            "the recording's file is no longer there; POST …/fetch gets it again, if the device still has it";
        return Problem::new(Kind::NotFound, detail);
    }
    Problem::new(Kind::Unavailable, "the recording cannot be read now; the log says why")
}

/// Does who asks have it already (`If-None-Match`)?
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    let mut tags = given.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// What of the audio is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    /// From here to before there.
    Part(u64, u64),
    /// A range that it does not have.
    Nothing,
}

/// Reads `Range`. What is no single range of bytes is as if nothing was said (RFC 9110, 14.2).
fn range(headers: &HeaderMap, etag: Option<&str>, size: u64) -> Wanted {
    let text =
        |name| headers.get(name).and_then(|value: &actix_web::http::header::HeaderValue| value.to_str().ok());
    let Some(range) = text(RANGE).and_then(|range| range.trim().strip_prefix("bytes=")) else {
        return Wanted::All;
    };
    // Of another version of it nobody wants a part.
    if headers.contains_key(IF_RANGE) && (etag.is_none() || text(IF_RANGE) != etag) {
        return Wanted::All;
    }
    let Some((first, last)) = range.split_once('-') else { return Wanted::All };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // What is larger than any number is beyond every end.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first.trim()), number(last.trim()), first.trim().is_empty(), last.trim().is_empty()) {
        (Some(from), None, _, true) if from < size => Wanted::Part(from, size),
        (Some(from), Some(to), ..) if from <= to && from < size => {
            Wanted::Part(from, to.saturating_add(1).min(size))
        }
        (Some(from), Some(to), ..) if from > to => Wanted::All,
        (None, Some(last), true, _) if last > 0 && size > 0 => Wanted::Part(size - last.min(size), size),
        (Some(_), None, _, true) | (Some(_), Some(_), ..) | (None, Some(_), true, _) => Wanted::Nothing,
        _ => Wanted::All,
    }
}

/// A part of a file, read where blocking harms nobody.
fn bytes(file: Box<dyn Reading>, from: u64, to: u64) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    futures_util::stream::unfold((Some(file), from), move |(file, at)| async move {
        let mut file = file.filter(|_| at < to)?;
        let read = web::block(move || {
            file.seek(SeekFrom::Start(at))?;
            let mut chunk = Vec::with_capacity(CHUNK as usize);
            file.by_ref().take(CHUNK.min(to - at)).read_to_end(&mut chunk)?;
            if chunk.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            Ok((file, Bytes::from(chunk)))
        });
        match read.await.unwrap_or_else(|_| Err(ErrorKind::Interrupted.into())) {
            Ok((file, chunk)) => {
                let next = at + chunk.len() as u64;
                Some((Ok(chunk), (Some(file), next)))
            }
            Err(error) => Some((Err(error), (None, at))),
        }
    })
}

/// Tries to get a recording again, now, from the first try on. It may also be one that was never announced, because
/// recordings were off when its call record came.
#[utoipa::path(post, path = "/api/v1/recordings/{recording}/fetch", tag = "recordings",
    params(("recording" = String, Path, description = "Its id: that of the call record that named it")),
    responses((status = 202, body = Recording, description = "It is tried; `/meta` tells what becomes of it"),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It is here already, it was erased, or recordings are off")))]
pub(super) async fn fetch(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    caller.require(&[Role::Operator, Role::Admin])?;
    let recordings = &state.services.recordings;
    if !recordings.enabled {
        return Err(Problem::new(Kind::Conflict, "recordings are off; set recordings.enabled = true"));
    }
    let recording = match one(&state, &caller, &path).await {
        Err(problem) if problem.kind() == Kind::NotFound => of_record(&state, &caller, &path).await?,
        found => found?,
    };
    if recording.is_erased() {
        let detail =
            "the recording was erased with a telephone number in it, and so was its name on the device";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    if recording.state == RecordingState::Available {
        let (store, stored) = (std::sync::Arc::clone(&recordings.store), recording.stored_as.clone());
        let half = recording.parts.first().map(|half| take::half(&recording, half));
        let is_there = web::block(move || stored.or(half).is_some_and(|name| store.open(&name).is_ok()));
        if is_there.await.unwrap_or(true) {
            return Err(Problem::new(Kind::Conflict, "the recording is here already"));
        }
    }
    let id = recording.id;
    let recording = state.services.store.run(move |connection| {
        let transaction = connection.transaction()?;
        // As it is now: a number in it may have been erased since.
        let known = table::get(&transaction, id)?;
        let is_new = known.is_none();
        let mut recording = known.unwrap_or(recording);
        // One that is being fetched is.
        if recording.state != RecordingState::Fetching {
            recording.state = RecordingState::Announced;
            recording.tries = 0;
            recording.next_try_at = Some(crate::clock::now());
            if is_new {
                table::announce(&transaction, &recording)?;
            } else {
                table::update(&transaction, &recording)?;
            }
        }
        transaction.commit()?;
        Ok(recording)
    });
    let recording = recording.await?;
    recordings.wake.notify_one();
    Ok(HttpResponse::Accepted().json(recording))
}

/// The recording that a call record names and that was never announced.
async fn of_record(state: &State, caller: &Caller, id: &str) -> Result<Recording, Problem> {
    let uuid = id.parse().map_err(|_| none(id))?;
    let cdr = state.services.reader.record::<CdrView>(records::Kind::Cdr, uuid).await?;
    let cdr =
        cdr.filter(|cdr| caller.sees_record(&cdr.device, [&cdr.from, &cdr.to])).ok_or_else(|| none(id))?;
    let file = cdr.recording.filter(|file| !file.is_empty());
    let file = file.ok_or_else(|| Problem::new(Kind::NotFound, "the call record names no recording"))?;
    let duration = cdr.duration.map(f64::from);
    let about = Recording::new(cdr.id, cdr.device, file, cdr.received_at);
    Ok(Recording {
        call: cdr.call,
        direction: cdr.direction,
        from: cdr.from,
        to: cdr.to,
        trunk: cdr.trunk,
        duration,
        ..about
    })
}

fn none(id: &str) -> Problem {
    let id: String = id.chars().take(80).collect();
    Problem::new(Kind::NotFound, format!("there is no recording {id:?} that this token may see"))
}

async fn one(state: &State, caller: &Caller, id: &str) -> Result<Recording, Problem> {
    let parsed: CdrId = id.parse().map_err(|_| none(id))?;
    let found = state.services.reader.query(move |connection| table::get(connection, parsed)).await?;
    found.filter(|recording| is_seen(caller, recording)).ok_or_else(|| none(id))
}

/// As with its record: whoever is limited to extensions sees those that name one of them.
fn is_seen(caller: &Caller, recording: &Recording) -> bool {
    caller.sees_record(&recording.device, [&recording.from, &recording.to])
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn wanted(range_text: &'static str, if_range: Option<&'static str>) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static(range_text));
        if let Some(etag) = if_range {
            headers.insert(IF_RANGE, HeaderValue::from_static(etag));
        }
        range(&headers, Some("\"e\""), 100)
    }

    #[test]
    fn one_range_is_given_and_what_is_none_is_not_looked_at() {
        let given = [
            ("bytes=0-9", Wanted::Part(0, 10)),
            ("bytes=90-", Wanted::Part(90, 100)),
            ("bytes=90-500", Wanted::Part(90, 100)),
            ("bytes=-10", Wanted::Part(90, 100)),
            ("bytes=-500", Wanted::Part(0, 100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=100-200", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=9-0", Wanted::All),
            ("bytes=0-1,5-6", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("lines=0-9", Wanted::All),
        ];
        for (text, expected) in given {
            assert_eq!(wanted(text, None), expected, "{text}");
        }
        assert_eq!(wanted("bytes=0-9", Some("\"e\"")), Wanted::Part(0, 10));
        assert_eq!(wanted("bytes=0-9", Some("\"other\"")), Wanted::All);
    }
}
