//! What requests carry: query parameters, JSON bodies, cursors. Whatever is unknown or cannot be is refused by
//! its name.

use std::future::{Ready, ready};
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use switchroom_domain::id::DeviceId;
use switchroom_domain::time::Timestamp;
use utoipa::ToSchema;

use super::error::{Kind, Problem};

/// The largest body that is read, in bytes.
pub(super) const BODY_BYTES: usize = 256 * 1024;
/// How many items a page has unless `limit` says otherwise.
const LIMIT: usize = 100;
/// How many items a page has at most.
pub(super) const LIMIT_MAX: usize = 1000;

/// The query parameters, all of them known.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest for Params<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read_query(request.query_string()).map(Self))
    }
}

fn read_query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let parts = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(parts).map_err(|error| {
        let text = error.inner().to_string();
        match place_of(error.path()) {
            // A number that is none is not named by the parser.
            Some(field) if !text.contains("field `") => {
                let detail = format!("{field} cannot be read: {text}; numbers are written in digits");
                Problem::new(Kind::BadParameter, detail).field(field)
            }
            _ => named(Problem::new(Kind::BadParameter, &text), &text),
        }
    })
}

/// Where in a body or query something is, if it is not all of it.
fn place_of(path: &serde_path_to_error::Path) -> Option<String> {
    let place: String = path.to_string().chars().take(80).collect();
    (!matches!(place.as_str(), "" | "." | "?")).then_some(place)
}

/// A JSON body with known fields only.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest for Body<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let bytes = web::Bytes::from_request(&request, payload);
        Box::pin(async move {
            let bytes = bytes.await.map_err(|error| body_problem(&error))?;
            read_body(&request, &bytes).map(Self)
        })
    }
}

/// Reads a body that is there as a whole.
///
/// # Errors
/// When it is no JSON of the expected shape.
pub(super) fn read_body<T: DeserializeOwned>(request: &HttpRequest, bytes: &[u8]) -> Result<T, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // A form is what a foreign page can send without asking; nothing of it is JSON anyway.
    let is_form = matches!(kind.as_str(), "application/x-www-form-urlencoded" | "multipart/form-data");
    // Without a body every field has its default.
    let bytes: &[u8] = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    if is_form && bytes != b"{}" {
        let detail = format!("send JSON with `Content-Type: application/json`, not {kind}");
        return Err(Problem::new(Kind::BadBody, detail));
    }
    // A struct can be read from an array, by the order of its fields, which is nobody's business.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::new(Kind::BadBody, "the body is a JSON object, as {\"field\": \"value\"}"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let text = error.inner().to_string();
        match place_of(error.path()) {
            // One that is unknown, or missing, is named by the text.
            Some(field) if !text.contains("field `") && error.inner().is_data() => {
                Problem::new(Kind::BadBody, format!("{field}: {text}")).field(field)
            }
            _ => named(Problem::new(Kind::BadBody, &text), &text),
        }
    })?;
    json.end().map_err(|error| Problem::new(Kind::BadBody, error.to_string()))?;
    Ok(read)
}

pub(super) fn body_problem(error: &actix_web::Error) -> Problem {
    if error.as_response_error().status_code() == actix_web::http::StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(Kind::TooLarge, format!("a body has at most {BODY_BYTES} bytes"));
    }
    Problem::new(Kind::BadBody, format!("the body cannot be read: {error}"))
}

/// serde names a field in backticks; that name goes into the problem's `field`.
fn named(problem: Problem, text: &str) -> Problem {
    match text.split('`').nth(1) {
        Some(field) if text.contains("field `") => problem.field(field),
        _ => problem,
    }
}

/// Tells an absent field (`None`) from one that is null (`Some(None)`), which clears it.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T: ToSchema> {
    /// What is on this page.
    pub(super) items: Vec<T>,
    /// `cursor` of the next page; null when this is the last.
    pub(super) next_cursor: Option<String>,
}

/// How many items a page may have.
///
/// # Errors
/// When it is none or too many.
pub(super) fn limit(given: Option<usize>) -> Result<usize, Problem> {
    match given.unwrap_or(LIMIT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        _ => Err(Problem::new(Kind::BadParameter, format!("limit is 1 to {LIMIT_MAX}")).field("limit")),
    }
}

/// Makes a cursor: which list it is of, and the place in it.
pub(super) fn cursor(list: &str, place: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{place}"))
}

/// The place that a cursor of this list names.
///
/// # Errors
/// When it is no cursor of this list.
pub(super) fn place(list: &str, cursor: &str) -> Result<String, Problem> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.and_then(|text| Some(text.strip_prefix(list)?.strip_prefix(':')?.to_owned()));
    place.ok_or_else(bad_cursor)
}

/// It is not one of ours.
pub(super) fn bad_cursor() -> Problem {
    let detail = "use `next_cursor` of the page before, as it is; leave it out for the first page";
    Problem::new(Kind::BadCursor, detail).field("cursor")
}

/// Cuts a page out of a list that is in memory and in order. The cursor is the key of the last item given.
///
/// # Errors
/// When the cursor is not one of this list.
pub(super) fn page<T: ToSchema, K: Ord>(
    mut all: Vec<T>,
    list: &str,
    after: Option<&str>,
    limit: usize,
    key: impl Fn(&str) -> K,
    name: impl Fn(&T) -> String,
) -> Result<Page<T>, Problem> {
    if let Some(after) = after {
        let after = key(&place(list, after)?);
        let skip = all.partition_point(|item| key(&name(item)) <= after);
        all.drain(..skip);
    }
    let more = all.len() > limit;
    all.truncate(limit);
    let next_cursor = all.last().filter(|_| more).map(|last| cursor(list, &name(last)));
    Ok(Page { items: all, next_cursor })
}

/// A device's id as a request names it; what cannot be one is simply not there.
pub(super) fn device_id(text: &str) -> Result<DeviceId, Problem> {
    DeviceId::new(text).map_err(|_| Problem::no_device(text))
}

/// A comma-separated list; empty parts do not count.
pub(super) fn list(text: Option<&str>) -> Vec<&str> {
    text.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// A point in time of a query parameter.
///
/// # Errors
/// Names the parameter when it is no RFC 3339 time.
pub(super) fn time(name: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    // In a query a `+` that was not escaped has become a space.
    let parsed = text.map(|text| text.replace(' ', "+").parse::<jiff::Timestamp>()).transpose();
    let wrong = |_| {
        let detail = format!("{name} is an RFC 3339 time, for example 2026-11-21T10:00:00Z");
        Problem::new(Kind::BadParameter, detail).field(name)
    };
    Ok(parsed.map_err(wrong)?.map(|time| Timestamp(time.as_millisecond())))
}

/// A range of time of a query: at or after `since`, before `until`, as far as they are given.
///
/// # Errors
/// Names the parameter that is no RFC 3339 time, or `until` when it lies before `since`.
pub(super) fn times(
    since: Option<&str>,
    until: Option<&str>,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
    let (since, until) = (time("since", since)?, time("until", until)?);
    if since.zip(until).is_some_and(|(since, until)| until < since) {
        return Err(reversed("until"));
    }
    Ok((since, until))
}

/// Time goes on from `since` to `until`.
pub(super) fn reversed(field: &'static str) -> Problem {
    Problem::new(Kind::BadParameter, "until lies before since").field(field)
}

/// What is looked for must be something: an empty value is a mistake of whoever fills in the query.
///
/// # Errors
/// Names the parameter.
pub(super) fn not_empty(name: &'static str, value: Option<&str>) -> Result<(), Problem> {
    match value {
        Some(value) if value.trim().is_empty() => {
            let detail = format!("{name} is empty; leave it out, or say what is looked for");
            Err(Problem::new(Kind::BadParameter, detail).field(name))
        }
        _ => Ok(()),
    }
}

/// A range of time in a body: from `since` until `until`, which is now if it is not given.
///
/// # Errors
/// Says how a time is written.
pub(super) fn range(since: &str, until: Option<&str>) -> Result<(Timestamp, Timestamp), Problem> {
    let read = |name: &'static str, text: &str| match time(name, Some(text)) {
        Ok(Some(time)) => Ok(time),
        _ => {
            let detail = format!("{name} is an RFC 3339 time, for example 2026-11-21T10:00:00Z");
            Err(Problem::new(Kind::Invalid, detail).field(name))
        }
    };
    let since = read("since", since)?;
    let until = until.map(|text| read("until", text)).transpose()?.unwrap_or_else(crate::clock::now);
    if until < since {
        return Err(Problem::new(Kind::Invalid, "until lies before since").field("until"));
    }
    Ok((since, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_double() {
        let all: Vec<String> = (0..25).map(|i| format!("{i:02}")).collect();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page =
                page(all.clone(), "x", after.as_deref(), 10, str::to_owned, Clone::clone).expect("ours");
            seen.extend(page.items);
            after = page.next_cursor;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        let exact = page(all[..10].to_vec(), "x", None, 10, str::to_owned, Clone::clone).expect("ours");
        assert_eq!(exact.next_cursor, None, "there is nothing after an exact page");
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let cursor = cursor("calls", "7");
        assert_eq!(place("calls", &cursor).expect("ours"), "7");
        for bad in [cursor.as_str(), "", "garbage!", "YWJj"] {
            assert_eq!(place("devices", bad).expect_err("not ours").kind(), Kind::BadCursor);
        }
    }

    #[test]
    fn a_mistake_in_a_query_or_body_names_its_field() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only read")]
        struct Asked {
            limit: Option<usize>,
            kinds: Option<Vec<String>>,
            nested: Option<Box<Self>>,
        }
        let query = |text: &str| read_query::<Asked>(text).expect_err("wrong");
        let request = actix_web::test::TestRequest::post().to_http_request();
        let body = |text: &str| read_body::<Asked>(&request, text.as_bytes()).expect_err("wrong");
        for (problem, field) in [
            (query("limit=abc"), "limit"),
            (query("limt=1"), "limt"),
            (query("limit=1&limit=2"), "limit"),
            (body(r#"{"kinds": "call.*"}"#), "kinds"),
            (body(r#"{"kinds": ["a", 5]}"#), "kinds[1]"),
            (body(r#"{"nested": {"limit": -1}}"#), "nested.limit"),
            (body(r#"{"kind": 1}"#), "kind"),
        ] {
            assert_eq!(problem.named(), Some(field), "{problem:?}");
        }
        for text in ["[]", "hello", "5", "{", "{} {}"] {
            assert!(read_body::<Asked>(&request, text.as_bytes()).is_err(), "{text}");
        }
        assert!(body("[]").detail().contains("JSON object"));
        assert!(read_query::<Asked>("limit=5").is_ok() && read_body::<Asked>(&request, b"").is_ok());
    }

    #[test]
    fn times_are_read_with_and_without_a_zone() {
        let ms = |text| time("since", Some(text)).map(|time| time.map(|time| time.0)).ok().flatten();
        assert_eq!(ms("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(ms("1970-01-01T08:00:01 08:00"), Some(1000));
        assert_eq!(ms("yesterday"), None);
    }
}
