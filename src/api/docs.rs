//! The OpenAPI document, its pages at `/docs`, and the login link.

use actix_web::http::header::{LOCATION, SET_COOKIE};
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::auth::{COOKIE_NAME, unauthorized};
use super::error::{Problem, ProblemBody};
use super::input::Params;
use super::{
    State, adoption, audit, call_actions, calls, commands, configure, devices, entities, erasures, events,
    forwarding, observe, quarantine, recordings, records, statistics, stream, targets, timeline, tokens,
    webhooks, websocket,
};

/// The whole API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Switchroom",
        description = "The control plane for a fleet of telephone exchanges: live state, calls, records, events.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
    ),
    paths(
        devices::list, devices::create, devices::one, devices::change, devices::remove, adoption::adopt,
        entities::extensions, entities::extension, entities::trunks, entities::trunk, entities::groups,
        entities::group, calls::of_device, calls::list, calls::one, records::cdrs, records::cdrs_csv, records::cdr,
        records::conversations, records::conversation,
        recordings::list, recordings::play, recordings::meta, recordings::fetch, statistics::statistics, timeline::timeline, timeline::reports, events::past,
        call_actions::dial, call_actions::hang_up, call_actions::act,
        commands::post, commands::of_device, commands::one, configure::change_extension, configure::put_group,
        configure::desired, configure::menus, configure::menu, configure::put_menu, configure::remove_menu, configure::voice_files,
        configure::remove_voice_file, configure::parameters, configure::parameter, configure::put_parameter,
        stream::stream, websocket::open, tokens::list, tokens::create, tokens::remove,
        webhooks::list, webhooks::create, webhooks::one, webhooks::change, webhooks::remove, webhooks::ping,
        webhooks::rotate, webhooks::deliveries, webhooks::redeliver,
        targets::list, targets::create, targets::one, targets::change, targets::remove, targets::deliveries,
        targets::redeliver, forwarding::one, forwarding::deliveries, forwarding::import, forwarding::completeness,
        quarantine::list, audit::list, audit::verify, erasures::create, erasures::list, erasures::one,
        observe::metrics, observe::discovery, observe::device_metrics, observe::healthz, observe::readyz,
    ),
    components(schemas(ProblemBody, events::EventEnvelope)),
    modifiers(&Bearer),
    security(("token" = [])),
    tags(
        (name = "devices", description = "The fleet"),
        (name = "live state", description = "What the devices' reports say, now"),
        (name = "calls", description = "Live and ended calls"),
        (name = "commands", description = "What devices are told to do, and what became of it"),
        (name = "configuration", description = "Extensions, ring groups, menus, voice files, parameters"),
        (name = "records", description = "Call records"),
        (name = "recordings", description = "Recordings of calls"),
        (name = "events", description = "What changed: past, as a stream, over WebSocket"),
        (name = "webhooks", description = "Events delivered to URLs"),
        (name = "targets", description = "The devices' own reports, passed on to application servers"),
        (name = "forwarding", description = "Call records forwarded as the vendor's devices do, and how complete devices' own files find us"),
        (name = "tokens", description = "Who may use the API"),
        (name = "audit", description = "Who did what and who heard what; erasing a number"),
        (name = "operation", description = "Health and metrics"),
    )
)]
struct Api;

/// Every route takes a bearer token.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let scheme = scheme.description(Some("`switchroom token create` makes one")).build();
        document
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The OpenAPI document of this build; the same for the same build.
#[must_use]
pub fn openapi() -> Document {
    Api::openapi()
}

/// `/docs` without its slash, and the root as long as it has no page of its own.
pub(super) async fn to_docs() -> HttpResponse {
    HttpResponse::Found().insert_header((LOCATION, "/docs/")).finish()
}

/// A login link.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    token: String,
}

/// `GET /login?token=`: keeps the token as a cookie that scripts cannot read and other sites cannot use.
pub(super) async fn login(
    state: web::Data<State>,
    Params(login): Params<Login>,
) -> Result<HttpResponse, Problem> {
    // What a header cannot hold is no token of ours.
    let fits = login.token.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b';' | b',' | b'"' | b'\\'));
    if !fits || state.tokens.caller(&login.token).await?.is_none() {
        return Err(unauthorized());
    }
    let secure = if state.tls { "; Secure" } else { "" };
    let cookie = format!("{COOKIE_NAME}={}; Path=/; HttpOnly; SameSite=Strict{secure}", login.token);
    Ok(HttpResponse::SeeOther().insert_header((SET_COOKIE, cookie)).insert_header((LOCATION, "/")).finish())
}
