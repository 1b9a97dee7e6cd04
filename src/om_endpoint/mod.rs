//! The OM-compatible endpoint: existing OM applications command devices through here as they would directly, unchanged.
//!
//! An OM lets one application in, by its address, and takes one command at a time; it has no idea of who may call
//! whom. Here several applications reach a device through its one command queue, beside the REST interface, under the
//! same policy for numbers, each with what it may command ([`clients`]), and each call controlled by one of them at a
//! time ([`crate::commands::lease`]).
//!
//! A command is understood before it goes on, and goes on as it was understood: what is made of odd bytes is not left to
//! the device. One that is not known here is passed on in its own words, but written anew
//! ([`switchroom_protocol::om::restate_command`]), so that no number goes past the policy. A device's answer comes back
//! byte for byte. Where none came, or none was asked for, what is
//! answered is what a device would say ([`reply`]). System parameters, which a device has in its web interface, go the
//! same way (`parameters`). [`server`] is the HTTP around it, as the device's own server speaks it;
//! commands that arrive on the port of the reports (the vendor's middleware takes both on one) come in by
//! [`crate::ingress`].

pub mod clients;
mod parameters;
pub mod reply;
pub mod server;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use switchroom_domain::command::Command;
use switchroom_domain::id::DeviceId;
use switchroom_domain::view::CommandState;
use switchroom_protocol::om::{self, OmCommand};
use tokio::sync::oneshot;

use self::clients::Clients;
use crate::app::Services;
use crate::commands::policy::Denied;
use crate::commands::{By, NotTaken};

/// What became of a request; the label of its metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The device answered, and that was passed on.
    Answered,
    /// The device did not answer, or the command could not be passed on.
    Failed,
    /// It names what may not be dialled, or a call that another application has.
    Denied,
    /// The sender may not command this device.
    Unauthorized,
    /// It is no command that is known.
    Misunderstood,
    /// It is no request that a device would take, or too many came at once.
    Refused,
    /// A browser asked whether it may.
    Preflight,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Answered,
        Self::Failed,
        Self::Denied,
        Self::Unauthorized,
        Self::Misunderstood,
        Self::Refused,
        Self::Preflight,
    ];

    /// As it stands in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Unauthorized => "unauthorized",
            Self::Misunderstood => "misunderstood",
            Self::Refused => "refused",
            Self::Preflight => "preflight",
        }
    }
}

/// The endpoint; see the module.
pub struct Endpoint {
    services: Arc<Services>,
    clients: Clients,
    origins: Vec<String>,
    /// How long a command may take until something is answered: its turn, and one exchange.
    patience: Duration,
    /// Requests that are under way.
    busy: AtomicUsize,
}

/// Where a command came from, and where it is to go.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// The device that its path names.
    pub device: Option<DeviceId>,
    /// The web page that sent it.
    pub origin: Option<String>,
}

impl Endpoint {
    /// The endpoint, if it is configured.
    #[must_use]
    pub fn new(services: &Arc<Services>) -> Option<Arc<Self>> {
        let config = &services.config;
        config.om_endpoint.listen?;
        let seconds = u64::from(config.commands.wait_seconds) + u64::from(config.commands.timeout_seconds);
        Some(Arc::new(Self {
            services: Arc::clone(services),
            clients: Clients::new(&config.om_endpoint),
            origins: config.om_endpoint.origins.clone(),
            patience: Duration::from_secs(seconds),
            busy: AtomicUsize::new(0),
        }))
    }

    /// How many requests are under way.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.busy.load(Relaxed)
    }

    /// What a page of this origin is told of who may read an answer; none if it may not.
    fn allowed<'a>(&'a self, origin: Option<&'a str>) -> Option<&'a str> {
        let origin = origin?;
        if self.origins.iter().any(|allowed| allowed == "*") {
            return Some("*");
        }
        self.origins.iter().find(|allowed| allowed.eq_ignore_ascii_case(origin)).map(String::as_str)
    }

    /// Is it of a web page that may not? A browser sends a command before it asks who may read the answer.
    fn is_strange(&self, way: &Way) -> bool {
        way.origin.is_some() && self.allowed(way.origin.as_deref()).is_none()
    }

    /// Counts what became of a request.
    fn count(&self, outcome: Outcome) {
        self.services.metrics.om_request(outcome.as_str());
    }

    /// Takes the command that a body holds, and gives the whole answer. It goes on although the sender may have gone.
    ///
    /// Nothing when it is not known what became of the command: then the connection is to end without a word.
    pub async fn answer(&self, source: IpAddr, way: &Way, body: &[u8]) -> Vec<u8> {
        let _busy = Busy::enter(&self.busy);
        let origin = self.allowed(way.origin.as_deref());
        let (outcome, body) = if self.is_strange(way) {
            let origin = way.origin.as_deref().unwrap_or_default();
            tracing::warn!(%source, ?origin, "a command of a web page was refused: om_endpoint.origins has not its origin");
            (Outcome::Unauthorized, Bytes::from(reply::unauthorized(104)))
        } else {
            match self.take(source, way.device.as_ref(), body).await {
                (outcome, Some(body)) => (outcome, body),
                (outcome, None) => {
                    self.count(outcome);
                    return Vec::new();
                }
            }
        };
        self.count(outcome);
        reply::http(200, &body, origin)
    }

    async fn take(&self, source: IpAddr, wanted: Option<&DeviceId>, body: &[u8]) -> (Outcome, Option<Bytes>) {
        let request = om::decode_command(body);
        let auth = request.as_ref().ok().and_then(|request| request.auth.as_ref());
        let admitted = self.clients.admit(source, wanted, auth, crate::clock::now());
        let (client, id) = match admitted {
            Ok(admitted) => admitted,
            Err(refused) => {
                let device = wanted.map(tracing::field::display);
                tracing::warn!(%source, device.id = device, code = refused.code, "a command was refused: {}", refused.why);
                return (Outcome::Unauthorized, Some(reply::unauthorized(refused.code).into()));
            }
        };
        let client_name = client.name.as_str();
        let not_now = || Some(Bytes::from(reply::failed(reply::NOT_NOW)));
        let command = match request {
            // Of an application's group a device takes the members as additions; of ours, as the whole group.
            Ok(OmCommand { command: Ok(command), .. })
                if !matches!(command, Command::AssignGroup { .. }) && command.check().is_ok() =>
            {
                command
            }
            // A device may know more than is known here.
            Ok(OmCommand { root, attribute, .. }) => match om::restate_command(body) {
                Some(command) => command,
                None => {
                    let attribute = attribute.unwrap_or_default();
                    tracing::warn!(client = client_name, device.id = %id, ?root, ?attribute, "a command is not one of an OM");
                    return (Outcome::Misunderstood, not_now());
                }
            },
            Err(error) => {
                tracing::warn!(client = client_name, device.id = %id, %error, "a command cannot be read");
                return (Outcome::Misunderstood, not_now());
            }
        };
        let Some(device) = self.services.registry.get(&id) else {
            tracing::warn!(client = client_name, device.id = %id, "om_endpoint.clients names a device that is not there");
            return (Outcome::Failed, not_now());
        };
        let name = command.name();
        let by = By { token: client.token, key: None };
        let (said, mut answer) = oneshot::channel();
        let posted = self.services.pass_command(&device, command, &by, Some(self.patience), Some(said)).await;
        match posted {
            Ok(posted) => {
                if let Ok(answer) = answer.try_recv() {
                    return (Outcome::Answered, Some(answer));
                }
                // It was done, as asking the device has shown; nobody may be led to do it again.
                if posted.view.state == CommandState::Succeeded {
                    return (Outcome::Answered, Some(Bytes::new()));
                }
                let view = posted.view;
                // Nobody knows yet: the connection ends without a word, as a device's would. "Not now" would have it done
                // again.
                let is_open = matches!(view.state, CommandState::Sent | CommandState::Unknown);
                if is_open && !view.request.is_idempotent() {
                    tracing::warn!(client = client_name, device.id = %id, command = name, "it is not known what became of a command");
                    return (Outcome::Failed, None);
                }
                let why = view.error.map(|error| error.reason).unwrap_or_default();
                tracing::warn!(client = client_name, device.id = %id, command = name, %why, "a command got no answer");
                (Outcome::Failed, not_now())
            }
            Err(error) => {
                tracing::warn!(client = client_name, device.id = %id, command = name, %error, "a command was not taken");
                match error {
                    NotTaken::Denied(Denied::Number { .. }) => {
                        (Outcome::Denied, Some(reply::failed(reply::RESTRICTED).into()))
                    }
                    NotTaken::Held(_) => (Outcome::Denied, Some(reply::failed(reply::HELD).into())),
                    NotTaken::Denied(_) => (Outcome::Denied, not_now()),
                    _ => (Outcome::Failed, not_now()),
                }
            }
        }
    }
}

/// A request that is under way, counted until it is over.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
