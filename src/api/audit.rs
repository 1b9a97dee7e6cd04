//! `/audit`: who did what and who heard what. What is asked of the API is noted around all handlers, so that none can
//! forget it: every request that is not a mere question, what is taken out as a file, and every recording that is heard.

use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::header::ACCEPT;
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, web};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::auth::{Caller, Role};
use super::error::{Kind, Problem, ProblemBody};
use super::input::{self, Page, Params, bad_cursor, body_problem, cursor, limit, place};
use super::{State, erasures, middleware};
use crate::privacy;
use crate::storage::audit::{self as log, Entry, Note, Verdict};

/// The list's name in its cursors.
const LIST: &str = "audit";
/// A larger body is noted by its size alone.
const NOTED: usize = 8 * 1024;

/// A request that is noted once it is answered.
pub(super) struct Audited {
    note: Note,
    /// Nothing of the answer leaves before the note is on disk.
    waits: bool,
}

impl Audited {
    /// What is to be noted of this request, if anything is. Its body is read here, and given back to it.
    ///
    /// # Errors
    /// When the body cannot be read.
    pub(super) async fn of(request: &mut ServiceRequest) -> Result<Option<Self>, Problem> {
        let path = middleware::path(request).to_owned();
        let is_heard = is_recording(&path) && request.method() == Method::GET;
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if !path.starts_with("/api/v1/") || !(changes || is_heard || is_export(request)) {
            return Ok(None);
        }
        let Some((token, role)) = caller(request) else { return Ok(None) };
        let body = if changes { read_body(request).await? } else { web::Bytes::new() };
        // As the routes see it, however it was written.
        let is_erasure = path.starts_with("/api/v1/erasures");
        let mut details = json!({ "path": &path });
        if is_erasure {
            // Here of all places the number must not be kept.
            details["path"] = privacy::mask_written(&path).into();
            details["body"] = erasures::noted(&body);
        } else {
            if !request.query_string().is_empty() {
                details["query"] = request.query_string().into();
            }
            if !body.is_empty() {
                details["body"] = noted(&body);
            }
        }
        let note = Note {
            at: crate::clock::now(),
            token,
            role,
            address: request.peer_addr().map(|address| address.ip().to_string()).unwrap_or_default(),
            action: request.method().to_string(),
            device: None,
            status: 0,
            details: details.to_string(),
            salt: crate::random::bytes(),
        };
        // A command is in the command log, with its token, before it is sent: it need not wait for a second line.
        let is_command = path.ends_with("/commands") || path.starts_with("/api/v1/calls");
        Ok(Some(Self { note, waits: !is_command }))
    }

    /// Notes what was answered.
    ///
    /// # Errors
    /// When a recording was to be heard, and it could not be noted.
    pub(super) async fn answered(
        mut self,
        state: &State,
        pattern: Option<String>,
        device: Option<String>,
        status: StatusCode,
    ) -> Result<(), Problem> {
        self.note.action = format!("{} {}", self.note.action, pattern.as_deref().unwrap_or("(no such path)"));
        self.note.device = device;
        self.note.status = status.as_u16();
        let is_heard = self.note.action.starts_with("GET ");
        let note = self.note;
        let written = state.services.store.write(move |transaction| log::append(transaction, &note));
        if !self.waits {
            actix_web::rt::spawn(async move {
                if let Err(error) = written.await {
                    tracing::error!(%error, "what was done could not be noted in the audit log");
                }
            });
            return Ok(());
        }
        let Err(error) = written.await else { return Ok(()) };
        tracing::error!(%error, "what was done could not be noted in the audit log");
        if is_heard {
            let detail = "it cannot be noted now that you hear this, and so it cannot be given; try again";
            return Err(Problem::new(Kind::Unavailable, detail).retry_after(2));
        }
        Ok(())
    }
}

fn caller(request: &ServiceRequest) -> Option<(String, String)> {
    use actix_web::HttpMessage;
    let extensions = request.extensions();
    let caller = extensions.get::<Caller>()?;
    Some((caller.token_id().to_owned(), caller.role.as_str().to_owned()))
}

fn is_recording(path: &str) -> bool {
    let name = path.strip_prefix("/api/v1/recordings/").unwrap_or_default();
    !name.is_empty() && !name.contains('/')
}

/// Is everything asked for at once, to be taken away?
fn is_export(request: &ServiceRequest) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_file = accept.contains("text/csv") || accept.contains("application/x-ndjson");
    *request.method() == Method::GET && (is_file || middleware::path(request) == "/api/v1/cdrs.csv")
}

async fn read_body(request: &mut ServiceRequest) -> Result<web::Bytes, Problem> {
    let (parts, payload) = request.parts_mut();
    let body = web::Bytes::from_request(parts, payload).await.map_err(|error| body_problem(&error))?;
    let again = stream::iter([Ok(body.clone())]);
    request.set_payload(Payload::Stream { payload: Box::pin(again) });
    Ok(body)
}

/// What is noted of a body: no secret, and nothing that is large.
fn noted(body: &[u8]) -> Value {
    let parsed = (body.len() <= NOTED).then(|| serde_json::from_slice::<Value>(body).ok()).flatten();
    match parsed {
        Some(mut value) => {
            strike(&mut value);
            value
        }
        None => json!({ "bytes": body.len() }),
    }
}

/// Takes secrets out.
fn strike(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_secret = ["password", "secret", "token", "signature", "key", "pass"]
                    .iter()
                    .any(|part| name.to_ascii_lowercase().contains(part))
                    // Of a system parameter: some are passwords.
                    || name == "value";
                match value {
                    Value::String(text) if is_secret => *text = "****".to_owned(),
                    Value::Number(_) if is_secret => *value = "****".into(),
                    // Receivers are often known by a secret path.
                    Value::String(text) if name == "url" => {
                        let origin = reqwest::Url::parse(text).map(|url| url.origin().ascii_serialization());
                        *text = origin.unwrap_or_else(|_| "****".to_owned());
                    }
                    other => strike(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strike),
        _ => {}
    }
}

/// Only an admin of all devices.
fn allow(caller: &Caller) -> Result<(), Problem> {
    caller.require(&[Role::Admin])?;
    caller.require_unscoped()
}

/// Which entries are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// By this token.
    token: Option<String>,
    /// Whose `action` holds this.
    #[param(example = "/recordings/")]
    action: Option<String>,
    /// With this device.
    device: Option<String>,
    /// At or after this time (RFC 3339).
    since: Option<String>,
    /// Before this time.
    until: Option<String>,
    /// How many items a page has: 1 to 1000, 100 if not given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Who did what and who heard what, the newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = Page<Entry>), (status = 403, body = ProblemBody)))]
pub(super) async fn list(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<AuditQuery>,
) -> Result<web::Json<Page<Entry>>, Problem> {
    allow(&caller)?;
    let limit = limit(query.limit)?;
    let before = query.cursor.as_deref().map(|text| place(LIST, text)).transpose()?;
    let (since, until) = input::times(query.since.as_deref(), query.until.as_deref())?;
    let search = log::Query {
        before: before.map(|place| place.parse().map_err(|_| bad_cursor())).transpose()?,
        limit: limit + 1,
        token: query.token,
        action: query.action,
        device: query.device,
        since: since.map(|time| time.0),
        until: until.map(|time| time.0),
    };
    let mut items = state.services.reader.query(move |connection| log::find(connection, &search)).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(|entry| cursor(LIST, &entry.seq.to_string()));
    Ok(web::Json(Page { items, next_cursor }))
}

/// An entry that was noted elsewhere.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VerifyQuery {
    /// Its place, as `last` of an earlier check gave it.
    seq: Option<i64>,
    /// Its hash.
    hash: Option<String>,
}

/// Checks the chain of hashes: whether an entry was changed, taken out or put in. That entries were cut off at its end
/// shows against an entry that was noted elsewhere.
#[utoipa::path(get, path = "/api/v1/audit/verify", tag = "audit", params(VerifyQuery),
    responses((status = 200, body = Verdict), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody)))]
pub(super) async fn verify(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<VerifyQuery>,
) -> Result<web::Json<Verdict>, Problem> {
    allow(&caller)?;
    let noted = match (query.seq, query.hash) {
        (Some(seq), Some(hash)) => Some((seq, hash)),
        (None, None) => None,
        _ => {
            return Err(Problem::new(
                Kind::BadParameter,
                "seq and hash belong together; give both or neither",
            )
            .field("hash"));
        }
    };
    let check = move |connection: &crate::storage::db::Connection| {
        log::verify(connection, noted.as_ref().map(|(seq, hash)| (*seq, hash.as_str())))
    };
    Ok(web::Json(state.services.reader.query(check).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_noted() {
        let body = json!({"command_password": "abc", "web_password": 12, "value": "def", "url": "https://u:p@hooks.example/T0/secret?k=1",
            "nested": [{"Token": "x", "number": "13012345678"}], "proof": {"kind": "path"}});
        assert_eq!(
            noted(body.to_string().as_bytes()),
            json!({"command_password": "****", "web_password": "****", "value": "****", "url": "https://hooks.example",
                "nested": [{"Token": "****", "number": "13012345678"}], "proof": {"kind": "path"}})
        );
        assert_eq!(noted(b"password=abc"), json!({"bytes": 12}));
        assert_eq!(noted(&vec![b'1'; NOTED + 1]), json!({"bytes": NOTED + 1}));
    }

    #[test]
    fn hearing_is_told_from_looking() {
        assert!(is_recording("/api/v1/recordings/01a1fff3-766e-7001-8882-24882a850412"));
        assert!(!is_recording("/api/v1/recordings") && !is_recording("/api/v1/recordings/"));
        assert!(!is_recording("/api/v1/recordings/01a1/meta"));
    }
}
