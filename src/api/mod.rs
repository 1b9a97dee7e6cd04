//! REST, event streams, metrics: what people and programs read the model through.
//!
//! One file a resource. [`middleware`] finds out who asks ([`auth`]) before any handler runs and turns every
//! error into problem details ([`error`]); [`input`] reads parameters, bodies and cursors; [`view`] asks the
//! devices' cells; [`feed`] is a subscriber's cursor over the one log of events, which [`events`], [`stream`] and
//! [`websocket`] give out.
//!
//! The server runs on threads of its own, so that a slow client never keeps a report waiting.

#![allow(unused_qualifications, reason = "the macros that describe routes qualify what they are given")]

mod adoption;
mod audit;
pub mod auth;
mod call_actions;
mod calls;
mod commands;
mod configure;
mod deliveries;
mod device_input;
mod devices;
mod docs;
mod entities;
mod erasures;
pub mod error;
mod events;
mod feed;
mod filter;
mod forwarding;
mod input;
mod mask;
mod middleware;
mod observe;
mod quarantine;
mod recordings;
mod records;
mod statistics;
mod stream;
mod subscriber;
mod target_input;
mod targets;
#[cfg(test)]
mod tests;
pub(crate) mod timeline;
mod tls;
mod tokens;
mod view;
mod webhook_input;
mod webhooks;
mod websocket;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpRequest, HttpServer, web};
use anyhow::Context;
use tokio::sync::watch;
use utoipa_swagger_ui::SwaggerUi;

pub use docs::openapi;

use crate::app::Services;
use auth::Tokens;
use error::{Kind, Problem};

/// Threads that serve requests.
const WORKERS: usize = 2;
/// How long requests under way may take to finish when the service stops.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a connection may be silent between requests.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// What every handler shares.
pub(crate) struct State {
    services: Arc<Services>,
    tokens: Tokens,
    /// Streams that are open.
    streams: Arc<AtomicUsize>,
    /// True once streams are to end.
    ending: watch::Sender<bool>,
    /// Held while the fleet changes.
    fleet: tokio::sync::Mutex<()>,
    /// Whether `/metrics` is for everyone.
    open_metrics: bool,
    /// Whether it is served by TLS.
    tls: bool,
}

impl State {
    fn new(services: Arc<Services>, address: SocketAddr) -> Self {
        let config = &services.config;
        Self {
            tokens: Tokens::new(config.api.admin_token.as_deref(), &config.privacy, services.reader.clone()),
            streams: Arc::default(),
            ending: watch::Sender::new(false),
            fleet: tokio::sync::Mutex::default(),
            open_metrics: address.ip().is_loopback() || config.metrics.public,
            tls: config.api.tls_certificate.is_some(),
            services,
        }
    }
}

/// The API's HTTP server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    handle: ServerHandle,
    ending: watch::Sender<bool>,
}

impl Server {
    /// Starts it.
    ///
    /// # Errors
    /// When the port cannot be opened, or the certificate or key cannot be used.
    pub async fn start(services: Arc<Services>) -> anyhow::Result<Self> {
        let config = services.config.api.clone();
        let listener = TcpListener::bind(config.listen)
            .with_context(|| format!("api.listen = \"{}\" cannot be opened", config.listen))?;
        // A stream writes small chunks, and none may wait for the acknowledgement of the one before. Accepted
        // connections inherit it.
        socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
        let address = listener.local_addr()?;
        let tls = match (&config.tls_certificate, &config.tls_key) {
            (Some(certificate), Some(key)) => Some(tls::config(certificate, key)?),
            _ => None,
        };
        let state = web::Data::new(State::new(services, address));
        let ending = state.ending.clone();
        let document = openapi();
        let server = HttpServer::new(move || {
            let pages = SwaggerUi::new("/docs/{_:.*}").url("/openapi.json", document.clone());
            App::new()
                .app_data(state.clone())
                .app_data(web::PayloadConfig::new(input::BODY_BYTES))
                .wrap(from_fn(middleware::around))
                .configure(routes)
                .service(pages)
                .default_service(web::to(nothing))
        })
        .workers(WORKERS)
        .keep_alive(KEEP_ALIVE)
        // A client that closes its side has gone: its stream is freed at once, not at the next heartbeat.
        .h1_allow_half_closed(false)
        .shutdown_timeout(DRAIN.as_secs())
        .disable_signals();
        let server = match tls {
            Some(tls) => server.listen_rustls_0_23(listener, tls)?,
            None => server.listen(listener)?,
        };
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the API's server failed");
            }
        });
        Ok(Self { address, handle, ending })
    }

    /// Stops it: streams give what there is and end, requests under way finish.
    pub async fn stop(self) {
        self.ending.send_replace(true);
        self.handle.stop(true).await;
    }
}

/// Every route. A path that is known and a method that is not are told apart from a path that is not.
fn routes(app: &mut web::ServiceConfig) {
    macro_rules! route {
        ($path:literal, $allow:literal, $($method:ident => $handler:path),+) => {
            app.service(
                web::resource($path)
                    $(.route(web::$method().to($handler)))+
                    .default_service(web::to(|request: HttpRequest| refuse(request, $allow))),
            )
        };
    }
    route!("/", "GET", get => docs::to_docs);
    route!("/docs", "GET", get => docs::to_docs);
    route!("/login", "GET", get => docs::login);
    route!("/healthz", "GET, HEAD", get => observe::healthz, head => observe::healthz);
    route!("/readyz", "GET, HEAD", get => observe::readyz, head => observe::readyz);
    route!("/metrics", "GET", get => observe::metrics);
    route!("/metrics/devices", "GET", get => observe::discovery);
    route!("/metrics/devices/{device}", "GET", get => observe::device_metrics);
    route!("/api/v1/devices", "GET, POST", get => devices::list, post => devices::create);
    route!("/api/v1/devices/{device}", "GET, PATCH, DELETE",
        get => devices::one, patch => devices::change, delete => devices::remove);
    route!("/api/v1/devices/{device}/adopt", "POST", post => adoption::adopt);
    route!("/api/v1/devices/{device}/extensions", "GET", get => entities::extensions);
    route!("/api/v1/devices/{device}/extensions/{number}", "GET, PATCH",
        get => entities::extension, patch => configure::change_extension);
    route!("/api/v1/devices/{device}/trunks", "GET", get => entities::trunks);
    route!("/api/v1/devices/{device}/trunks/{number}", "GET", get => entities::trunk);
    route!("/api/v1/devices/{device}/groups", "GET", get => entities::groups);
    route!("/api/v1/devices/{device}/groups/{group}", "GET, PUT",
        get => entities::group, put => configure::put_group);
    route!("/api/v1/devices/{device}/calls", "GET", get => calls::of_device);
    route!("/api/v1/devices/{device}/reports", "GET", get => timeline::reports);
    route!("/api/v1/devices/{device}/commands", "GET, POST", get => commands::of_device, post => commands::post);
    route!("/api/v1/commands/{command}", "GET", get => commands::one);
    route!("/api/v1/devices/{device}/desired", "GET", get => configure::desired);
    route!("/api/v1/devices/{device}/menus", "GET", get => configure::menus);
    route!("/api/v1/devices/{device}/menus/{menu}", "GET, PUT, DELETE",
        get => configure::menu, put => configure::put_menu, delete => configure::remove_menu);
    route!("/api/v1/devices/{device}/voice-files", "GET", get => configure::voice_files);
    route!("/api/v1/devices/{device}/voice-files/{name}", "DELETE", delete => configure::remove_voice_file);
    route!("/api/v1/devices/{device}/parameters", "GET", get => configure::parameters);
    route!("/api/v1/devices/{device}/parameters/{name}", "GET, PUT",
        get => configure::parameter, put => configure::put_parameter);
    route!("/api/v1/calls", "GET, POST", get => calls::list, post => call_actions::dial);
    route!("/api/v1/calls/{call}", "GET, DELETE", get => calls::one, delete => call_actions::hang_up);
    route!("/api/v1/calls/{call}/timeline", "GET", get => timeline::timeline);
    route!("/api/v1/calls/{call}/{action}", "POST", post => call_actions::act);
    route!("/api/v1/cdrs", "GET", get => records::cdrs);
    route!("/api/v1/cdrs.csv", "GET", get => records::cdrs_csv);
    route!("/api/v1/cdrs/{cdr}", "GET", get => records::cdr);
    route!("/api/v1/conversations", "GET", get => records::conversations);
    route!("/api/v1/conversations/{call}", "GET", get => records::conversation);
    route!("/api/v1/recordings", "GET", get => recordings::list);
    route!("/api/v1/recordings/{recording}", "GET, HEAD", get => recordings::play, head => recordings::play);
    route!("/api/v1/recordings/{recording}/meta", "GET", get => recordings::meta);
    route!("/api/v1/recordings/{recording}/fetch", "POST", post => recordings::fetch);
    route!("/api/v1/statistics", "GET", get => statistics::statistics);
    route!("/api/v1/events", "GET", get => events::past);
    route!("/api/v1/events/stream", "GET", get => stream::stream);
    route!("/api/v1/events/ws", "GET", get => websocket::open);
    route!("/api/v1/tokens", "GET, POST", get => tokens::list, post => tokens::create);
    route!("/api/v1/tokens/{token}", "DELETE", delete => tokens::remove);
    route!("/api/v1/webhooks", "GET, POST", get => webhooks::list, post => webhooks::create);
    route!("/api/v1/webhooks/{webhook}", "GET, PATCH, DELETE",
        get => webhooks::one, patch => webhooks::change, delete => webhooks::remove);
    route!("/api/v1/webhooks/{webhook}/ping", "POST", post => webhooks::ping);
    route!("/api/v1/webhooks/{webhook}/rotate-secret", "POST", post => webhooks::rotate);
    route!("/api/v1/webhooks/{webhook}/deliveries", "GET", get => webhooks::deliveries);
    route!("/api/v1/webhooks/{webhook}/deliveries/redeliver", "POST", post => webhooks::redeliver);
    route!("/api/v1/targets", "GET, POST", get => targets::list, post => targets::create);
    route!("/api/v1/targets/{target}", "GET, PATCH, DELETE",
        get => targets::one, patch => targets::change, delete => targets::remove);
    route!("/api/v1/targets/{target}/deliveries", "GET", get => targets::deliveries);
    route!("/api/v1/targets/{target}/deliveries/redeliver", "POST", post => targets::redeliver);
    route!("/api/v1/cdr-forwarding", "GET", get => forwarding::one);
    route!("/api/v1/cdr-forwarding/deliveries", "GET", get => forwarding::deliveries);
    route!("/api/v1/devices/{device}/cdr-files", "POST", post => forwarding::import);
    route!("/api/v1/devices/{device}/completeness", "GET", get => forwarding::completeness);
    route!("/api/v1/audit", "GET", get => audit::list);
    route!("/api/v1/audit/verify", "GET", get => audit::verify);
    route!("/api/v1/erasures", "GET, POST", get => erasures::list, post => erasures::create);
    route!("/api/v1/erasures/{erasure}", "GET", get => erasures::one);
    route!("/api/v1/quarantine", "GET", get => quarantine::list);
}

async fn refuse(request: HttpRequest, allow: &'static str) -> Result<actix_web::HttpResponse, Problem> {
    Err(Problem::method_not_allowed(request.method(), allow))
}

/// What no route is for.
async fn nothing(method: Method) -> Result<actix_web::HttpResponse, Problem> {
    let detail = format!("nothing is served under this path for {method}; /docs shows what is");
    Err(Problem::new(Kind::NotFound, detail))
}
