//! HTTP on `cdr_forward.listen`: the URL that sets the forwarding up, and the files.
//!
//! A device has both on plain HTTP under the web administrator's password, and so it is here: it is off unless it is
//! wanted. Files hold telephone numbers: they are for whoever has a password, for addresses that the configuration names,
//! and for the application server that the same records are sent to. Whatever changes something or is taken out is in the
//! audit log, before it is answered.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::Bytes;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context;
use futures_util::Stream;
use futures_util::stream;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::files::{self, Named};
use super::request;
use crate::api::auth::{Role, Tokens};
use crate::app::Services;
use crate::storage::audit::{self, Note};
use crate::storage::{StorageError, forwarding as store, tokens};

/// How long requests under way may take when the service stops.
const DRAIN: u64 = 5;
/// Connections at a time.
const CONNECTIONS: usize = 256;
/// So many records of a file are read at a time.
const PAGE: usize = 500;
/// So many wrong passwords of one address are looked at within this time; and so many are remembered.
const WRONG: usize = 10;
const WITHIN: Duration = Duration::from_secs(60);
const REMEMBERED: usize = 1000;

/// What listens.
pub struct Server {
    /// Where.
    pub address: SocketAddr,
    handle: ServerHandle,
}

/// What every request shares.
struct State {
    services: Arc<Services>,
    tokens: Tokens,
    wrong: Mutex<VecDeque<(Instant, IpAddr)>>,
}

/// An answer that is not what was asked for.
struct Refusal(StatusCode, String);

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        tracing::error!(%error, "a request to the forwarding could not be answered");
        Self(StatusCode::SERVICE_UNAVAILABLE, "not now; try again".to_owned())
    }
}

impl Refusal {
    fn answer(self) -> HttpResponse {
        text(self.0, format!("fail: {}\n", self.1))
    }
}

fn text(status: StatusCode, text: impl Into<String>) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/plain; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(text.into())
}

impl Server {
    /// Starts it.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub fn start(services: Arc<Services>, address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .with_context(|| format!("cdr_forward.listen = \"{address}\" cannot be opened"))?;
        let address = listener.local_addr()?;
        let config = &services.config;
        let tokens = Tokens::new(config.api.admin_token.as_deref(), &config.privacy, services.reader.clone());
        let state = web::Data::new(State { services, tokens, wrong: Mutex::default() });
        let server = HttpServer::new(move || {
            App::new()
                .app_data(state.clone())
                .service(web::resource("/Auth").route(web::get().to(set)).route(web::post().to(set)))
                .service(web::resource("/APICdr").route(web::get().to(list)))
                .service(web::resource("/APICdr/{name:.*}").route(web::get().to(file)))
                .default_service(web::to(nothing))
        })
        .workers(1)
        .max_connections(CONNECTIONS)
        .shutdown_timeout(DRAIN)
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        actix_rt::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the forwarding's server failed");
            }
        });
        Ok(Self { address, handle })
    }

    /// Stops it; requests under way finish.
    pub async fn stop(self) {
        self.handle.stop(true).await;
    }
}

async fn nothing() -> HttpResponse {
    let detail = "there are /Auth?method=gw.config.set and /APICdr/; see docs/cdr-forwarding.md";
    Refusal(StatusCode::NOT_FOUND, detail.to_owned()).answer()
}

fn source(request: &HttpRequest) -> IpAddr {
    let unknown = IpAddr::from([0, 0, 0, 0]);
    request.peer_addr().map_or(unknown, |address| address.ip().to_canonical())
}

/// Sets the forwarding up.
async fn set(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let (source, query) = (source(&request), request.query_string().to_owned());
    // It goes on to its end also when the client does not wait for it: store and memory are to stay the same.
    match actix_rt::spawn(async move { state.set(source, &query).await }).await {
        Ok(Ok(())) => text(StatusCode::OK, "ok"),
        Ok(Err(refusal)) => refusal.answer(),
        Err(error) => {
            tracing::error!(%error, "the forwarding of call records could not be set");
            Refusal(StatusCode::INTERNAL_SERVER_ERROR, "it could not be set; the log says why".to_owned())
                .answer()
        }
    }
}

async fn list(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    state.file(&request, "").await.unwrap_or_else(Refusal::answer)
}

async fn file(state: web::Data<State>, request: HttpRequest, path: web::Path<String>) -> HttpResponse {
    state.file(&request, &path).await.unwrap_or_else(Refusal::answer)
}

impl State {
    /// Whose password this is: the id of a token, or a name for the configuration's. Who guesses has few guesses.
    async fn proven(&self, source: IpAddr, pass: &str) -> Result<String, Refusal> {
        let now = Instant::now();
        if self.guesses(source, now) >= WRONG {
            let detail = "too many wrong passwords came from this address; wait a minute";
            return Err(Refusal(StatusCode::TOO_MANY_REQUESTS, detail.to_owned()));
        }
        if let Some(password) = &self.services.config.cdr_forward.password
            && bool::from(tokens::hash(password).ct_eq(&tokens::hash(pass)))
        {
            return Ok("cdr_forward.password".to_owned());
        }
        let caller = self.tokens.caller(pass).await.map_err(|problem| {
            tracing::error!(%problem, "a password could not be looked up");
            Refusal(StatusCode::SERVICE_UNAVAILABLE, "not now; try again".to_owned())
        })?;
        let is_admin = |caller: &crate::api::auth::Caller| {
            let of_all = caller.devices().is_none() && caller.extensions().is_none();
            caller.role == Role::Admin && of_all && !caller.is_masked()
        };
        if let Some(caller) = caller.filter(is_admin) {
            return Ok(caller.token_id().to_owned());
        }
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= REMEMBERED {
            wrong.pop_front();
        }
        wrong.push_back((now, source));
        drop(wrong);
        tracing::warn!(%source, "a wrong password came for the forwarding of call records");
        let detail = "pass is wrong: it is cdr_forward.password, or the token of an admin who is not limited to \
                      devices or extensions";
        Err(Refusal(StatusCode::UNAUTHORIZED, detail.to_owned()))
    }

    fn guesses(&self, source: IpAddr, now: Instant) -> usize {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        while wrong.front().is_some_and(|(at, _)| now.duration_since(*at) > WITHIN) {
            wrong.pop_front();
        }
        wrong.iter().filter(|(_, of)| *of == source).count()
    }

    async fn set(&self, source: IpAddr, query: &str) -> Result<(), Refusal> {
        // Who has no password learns nothing of the rest.
        let Some(pass) = request::pass_of(query) else {
            return Err(Refusal(StatusCode::UNAUTHORIZED, "pass is missing: the password".to_owned()));
        };
        let by = self.proven(source, &pass).await?;
        let bad = |detail| Refusal(StatusCode::BAD_REQUEST, detail);
        let wanted = request::read(query).map_err(bad)?.wanted;
        if let Some(target) = wanted.as_ref().and_then(request::Wanted::target) {
            let checked = self.services.outward.check(&target).await;
            checked.map_err(|refused| bad(format!("api_server_addr: {refused}")))?;
        }
        let details = json!({"path": "/Auth", "wanted": wanted});
        self.services.forwarding.set(wanted).await?;
        self.note(source, by, "GET /Auth", details).await?;
        tracing::info!(%source, "the forwarding of call records was set");
        Ok(())
    }

    /// Who may have files: see the module.
    async fn may_read(&self, source: IpAddr, request: &HttpRequest) -> Result<String, Refusal> {
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer =
            header.and_then(|value| value.strip_prefix("Bearer ")).map(|token| token.trim().to_owned());
        if let Some(pass) = bearer.or_else(|| request::pass_of(request.query_string())) {
            return self.proven(source, &pass).await;
        }
        let config = &self.services.config.cdr_forward;
        if config.clients.iter().any(|range| range.contains(source)) {
            return Ok("cdr_forward.clients".to_owned());
        }
        let known = self.services.forwarding.known();
        let target = known.map(|known| known.settings().target).unwrap_or_default();
        if self.services.outward.leads_to(&target, source).await {
            return Ok("api_server_addr".to_owned());
        }
        let detail = "files are for the application server that records are forwarded to, for cdr_forward.clients, \
                      and with pass=";
        Err(Refusal(StatusCode::UNAUTHORIZED, detail.to_owned()))
    }

    async fn file(&self, asked: &HttpRequest, path: &str) -> Result<HttpResponse, Refusal> {
        let source = source(asked);
        let by = self.may_read(source, asked).await?;
        let absent =
            || Refusal(StatusCode::NOT_FOUND, "there is no such file; /APICdr/ lists them".to_owned());
        let named = files::named(path).ok_or_else(absent)?;
        if let Some(name) = request::beside(asked.query_string(), &["pass", "device"]) {
            let detail = format!("{name:.40?} is no parameter; there are pass and device");
            return Err(Refusal(StatusCode::BAD_REQUEST, detail));
        }
        let device = crate::api::auth::query_value(asked.query_string(), "device");
        let reader = &self.services.reader;
        let day = match named {
            Named::Root => Some(None),
            Named::Day(day) => Some(Some(day)),
            Named::Failed(_) | Named::Kept { .. } => None,
        };
        if let Some(day) = day {
            let found = reader.query(move |connection| store::files(connection, day)).await?;
            let name = |place: &files::Place| match day {
                None => Some(place.name()),
                // What could not be forwarded is not in the folder of its day.
                Some(_) => place.name().split_once('/').map(|(_, name)| name.to_owned()),
            };
            let mut names: Vec<String> =
                found.iter().filter_map(|(place, _)| Some(format!("{}\n", name(place)?))).collect();
            names.dedup();
            return Ok(text(StatusCode::OK, names.concat()));
        }
        let of = device.clone();
        let first =
            reader.query(move |connection| store::page(connection, named, of.as_deref(), 0, PAGE)).await?;
        if first.is_empty() {
            return Err(absent());
        }
        let details = json!({"path": format!("/APICdr/{path}"), "device": device});
        self.note(source, by, "GET /APICdr", details).await?;
        Ok(HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .streaming(records(Arc::clone(&self.services), named, device, first)))
    }

    async fn note(&self, source: IpAddr, by: String, action: &str, details: Value) -> Result<(), Refusal> {
        let note = Note {
            at: crate::clock::now(),
            token: by,
            role: Role::Admin.as_str().to_owned(),
            address: source.to_string(),
            action: action.to_owned(),
            device: None,
            status: 200,
            details: details.to_string(),
            salt: crate::random::bytes(),
        };
        self.services.store.write(move |transaction| audit::append(transaction, &note)).await?;
        Ok(())
    }
}

/// The records of a file, a page at a time; nothing is held that nobody has taken.
fn records(
    services: Arc<Services>,
    file: Named,
    device: Option<String>,
    first: Vec<(i64, Vec<u8>)>,
) -> impl Stream<Item = Result<Bytes, StorageError>> {
    stream::try_unfold(Some(first), move |page| {
        let (services, device) = (Arc::clone(&services), device.clone());
        async move {
            let Some(page) = page.filter(|page| !page.is_empty()) else { return Ok(None) };
            let more = page.len() == PAGE;
            let after = page.last().map_or(i64::MAX, |(cursor, _)| *cursor);
            let bytes: Vec<u8> = page.into_iter().flat_map(|(_, body)| body).collect();
            let next = match more {
                true => {
                    let read = move |connection: &crate::storage::db::Connection| {
                        store::page(connection, file, device.as_deref(), after, PAGE)
                    };
                    Some(services.reader.query(read).await?)
                }
                false => None,
            };
            Ok(Some((Bytes::from(bytes), next)))
        }
    })
}
