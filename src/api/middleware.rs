//! What stands around every handler: the request's id, who asks, panics, and the headers of every answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError, web};
use futures_util::FutureExt;
use tracing::Instrument;

use super::State;
use super::audit::Audited;
use super::auth::{self, Caller};
use super::error::{Kind, Problem};
use super::mask::{Form, Masked};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Nothing that an answer of the API holds is to be run or framed.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// Pages of our own load what they need from this server alone.
const PAGE_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// Wraps every request; see the module.
pub(super) async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = request_id(&request);
    let is_page = is_page(path(&request));
    // Whatever is logged on the way carries the request's id, as the answer does.
    let span =
        tracing::error_span!("request", request.id = id, method = %request.method(), path = request.path());
    let answered = AssertUnwindSafe(answer(request, next, &id)).catch_unwind().instrument(span).await;
    let problem = match answered {
        Ok(Ok(mut response)) => {
            if response.status().is_client_error() || response.status().is_server_error() {
                response = explain(response, &id);
            }
            mark(response.headers_mut(), &id, is_page);
            return Ok(response);
        }
        Ok(Err(error)) => problem_of(&error),
        // The panic's own message has been logged by the panic hook.
        Err(_) => Problem::internal(&format_args!("a handler panicked; request {id}")),
    };
    // The request is gone, and with it what a `ServiceResponse` is made of.
    let mut response = problem.respond(&id);
    mark(response.headers_mut(), &id, is_page);
    Err(InternalError::from_response(problem, response).into())
}

/// The headers of every answer.
fn mark(headers: &mut HeaderMap, id: &str, is_page: bool) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    let policy = if is_page { PAGE_POLICY } else { POLICY };
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !is_page && !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    id: &str,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut request = request;
    if let Err(problem) = admit(&request).await {
        return Ok(request.into_response(problem.respond(id)));
    }
    let is_masked = request.extensions().get::<Caller>().is_some_and(Caller::is_masked);
    let audited = match Audited::of(&mut request).await {
        Ok(audited) => audited.zip(request.app_data::<web::Data<State>>().cloned()),
        Err(problem) => return Ok(request.into_response(problem.respond(id))),
    };
    let called = match audited {
        None => next.call(request).await,
        Some((audited, state)) => to_the_end(request, next, audited, state).await,
    };
    let response = match called {
        Ok(response) => response.map_into_boxed_body(),
        Err(error) if is_masked => return Err(problem_of(&error).masked().into()),
        Err(error) => return Err(error),
    };
    Ok(if is_masked { masked(response, id) } else { response })
}

/// A request that is noted goes on to its end, and into the audit log, also when the client does not wait for it: what has
/// begun to change something must not stop half-way, nor unnoted.
async fn to_the_end<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
    audited: Audited,
    state: web::Data<State>,
) -> Result<ServiceResponse<B>, Error> {
    let whole = async move {
        let called = AssertUnwindSafe(next.call(request)).catch_unwind().await;
        // The panic's own message has been logged by the panic hook.
        let called = called.unwrap_or_else(|_| Err(Problem::internal(&"a handler panicked").into()));
        let (pattern, device, status) = match &called {
            Ok(response) => {
                let request = response.request();
                let device = request.match_info().get("device").map(str::to_owned);
                (request.match_pattern(), device, response.status())
            }
            Err(error) => (None, None, error.as_response_error().status_code()),
        };
        audited.answered(&state, pattern, device, status).await?;
        called
    };
    let ended = actix_web::rt::spawn(whole.in_current_span()).await;
    ended.unwrap_or_else(|error| Err(Problem::internal(&error).into()))
}

/// The path as routes see it: what is escaped for no reason is not.
pub(super) fn path(request: &ServiceRequest) -> &str {
    request.match_info().as_str()
}

/// The answer for those who may not see telephone numbers.
fn masked(mut response: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    if response.status().is_client_error() || response.status().is_server_error() {
        response = explain(response, id);
    }
    match Form::of(response.headers()) {
        Some(form) => {
            response.headers_mut().remove(CONTENT_LENGTH);
            response.map_body(|_, body| Masked::new(body, form).boxed())
        }
        None => response,
    }
}

/// Finds out who asks; refuses whom no route without a token is meant for.
async fn admit(request: &ServiceRequest) -> Result<(), Problem> {
    let Some(state) = request.app_data::<web::Data<State>>() else {
        return Err(Problem::internal(&"the server was started without its state"));
    };
    let caller = match auth::token_of(request.request()) {
        Some((token, by_cookie)) => {
            let changes = !matches!(*request.method(), Method::GET | Method::HEAD)
                || path(request) == "/api/v1/events/ws";
            if by_cookie && changes && !auth::comes_from_own_page(request.request()) {
                let detail =
                    "a page of another origin may not use this browser's login; use a token of its own";
                return Err(Problem::new(Kind::Forbidden, detail));
            }
            state.tokens.caller(&token).await?
        }
        None => None,
    };
    match caller {
        Some(caller) => {
            request.extensions_mut().insert::<Caller>(caller);
            Ok(())
        }
        None if is_open(path(request), state) => Ok(()),
        None => Err(auth::unauthorized()),
    }
}

/// Routes without a token.
fn is_open(path: &str, state: &Arc<State>) -> bool {
    match path {
        "/" | "/healthz" | "/readyz" | "/openapi.json" | "/docs" | "/login" => true,
        "/metrics" => state.open_metrics,
        _ => path.starts_with("/docs/") || (path.starts_with("/metrics/") && state.open_metrics),
    }
}

fn is_page(path: &str) -> bool {
    path == "/" || path == "/docs" || path.starts_with("/docs/")
}

fn request_id(request: &ServiceRequest) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let sane = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/'))
    };
    given.filter(sane).map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

/// An error of a handler or an extractor as a problem.
fn problem_of(error: &Error) -> Problem {
    if let Some(problem) = error.as_error::<Problem>() {
        return problem.clone();
    }
    let response = error.as_response_error();
    let status = ResponseError::status_code(response);
    if status.is_server_error() {
        return Problem::internal(error);
    }
    Problem::new(Kind::of_status(status), error.to_string())
}

/// An error that is no problem document yet becomes one; the id is put into those that have none.
fn explain(response: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    if let Some(problem) = response.response().error().map(problem_of) {
        return response.into_response(problem.respond(id));
    }
    let has_body = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.starts_with("application/")));
    if has_body {
        return response;
    }
    let status = response.status();
    let kind = Kind::of_status(status);
    let detail = match kind {
        Kind::NotFound => "nothing is served under this path; /docs shows what is",
        _ => kind.title(),
    };
    let answer: HttpResponse = Problem::new(kind, detail).respond(id);
    response.into_response(answer)
}
