//! Staying logged in to Yeastars: such a device reports only to who is, and stops without a word when the token lapses.
//!
//! When to do what is decided in [`state`]; a keeper for each device does it.

mod state;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use switchroom_actors::directory::DeviceHandle;
use switchroom_actors::ingress::{Arrived, Gate};
use switchroom_actors::ports::{INTERNAL, LinkError};
use switchroom_domain::Text;
use switchroom_domain::fact::Fact;
use switchroom_domain::id::DeviceId;
use switchroom_domain::time::Timestamp;
use switchroom_protocol::Dialect;
use switchroom_protocol::yeastar::session::{self, Listener, SessionReply};
use tokio::sync::{oneshot, watch};
use utoipa::ToSchema;

use self::state::{Session, Step};
use super::http::{self, Address, Content, Limits, Request};
use super::tls::Tls;
use crate::config::CommandsConfig;
use crate::devices::Device;

/// The name of the interface's user, unless the device says otherwise.
const USER: &str = "api";
/// The longest sleep between two looks: a report in between may change what is to be done.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long a logout may take: a stop waits for it.
const LOGOUT: Duration = Duration::from_secs(2);

/// How it stands with the login to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Login {
    /// Whether it reports here.
    pub state: LoginState,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// What went wrong last; null while somebody is logged in.
    pub error: Option<String>,
}

/// Whether a device that wants a login reports here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginState {
    /// It does.
    LoggedIn,
    /// It does not: nobody has logged in yet, or the login lapsed and is made anew.
    LoggedOut,
    /// It does not: it refused the last login.
    Refused,
    /// It does not, as far as is known: it gave no answer.
    Silent,
}

impl Login {
    fn new() -> Self {
        Self { state: LoginState::LoggedOut, since: crate::clock::now(), error: None }
    }
}

/// What a device's keeper says of the login; none for a device that is not logged in to.
pub type LoginNews = Arc<Mutex<Option<watch::Receiver<Login>>>>;

/// What it takes to log in to a device.
#[derive(Clone, PartialEq, Eq)]
struct Account {
    address: Address,
    tls: Option<Tls>,
    user: String,
    password: String,
    /// Where the device is to report to.
    report_to: Address,
}

impl Account {
    /// None for a device that is not logged in to.
    fn of(device: &Device) -> Option<Self> {
        let settings = &device.settings;
        if settings.dialect != Dialect::Yeastar {
            return None;
        }
        let address = Address::parse(settings.address.as_deref()?).ok()?;
        let password = device.secrets.web_password.clone().filter(|password| !password.is_empty())?;
        let Some(report_url) = &settings.report_url else {
            tracing::warn!(
                device.id = %settings.id,
                "the device is not logged in to: set `report_url` to http://THIS-HOST:PORT/ and its report_path"
            );
            return None;
        };
        let report_to = Address::parse(report_url).ok()?;
        let user = settings.api_user.clone().unwrap_or_else(|| USER.to_owned());
        Some(Self { address, tls: settings.tls.clone(), user, password, report_to })
    }

    fn report_url(&self) -> String {
        format!("{}{}", self.report_to.authority(), self.report_to.base)
    }
}

/// A keeper that runs.
struct Running {
    account: Account,
    handle: Arc<DeviceHandle>,
    /// Dropped, it ends the keeper.
    _end: oneshot::Sender<()>,
    /// When the keeper has ended, and logged out.
    ended: oneshot::Receiver<()>,
}

/// The keepers of all devices.
pub struct Keepers {
    running: Mutex<HashMap<DeviceId, Running>>,
    limits: Limits,
    silence: Duration,
    stopping: watch::Receiver<bool>,
}

impl Keepers {
    /// None yet; they will end when `stopping` says so.
    #[must_use]
    pub fn new(config: &CommandsConfig, stopping: watch::Receiver<bool>) -> Self {
        let limits = Limits {
            connect: Duration::from_secs(config.connect_seconds.into()),
            whole: Duration::from_secs(config.timeout_seconds.into()),
            body: 64 * 1024,
        };
        let silence = Duration::from_secs(config.yeastar_silence_seconds.max(1).into());
        Self { running: Mutex::default(), limits, silence, stopping }
    }

    /// Ends the device's keeper if its login has changed; gives the one that is to run now, if it does not yet.
    pub fn attend_to(&self, device: &Device, gate: &Gate) -> Option<impl Future<Output = ()> + Send + use<>> {
        let id = &device.settings.id;
        let account = Account::of(device);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = running.get(id)
            && Some(&known.account) == account.as_ref()
            && Arc::ptr_eq(&known.handle, &device.handle)
        {
            return None;
        }
        // The old login is given back before there is a new one, which might be to the same device.
        let before = running.remove(id).map(|known| known.ended);
        // From now on nobody hears the old keeper.
        let (login, news) = watch::channel(Login::new());
        let news = account.is_some().then_some(news);
        *device.login.lock().unwrap_or_else(PoisonError::into_inner) = news;
        let account = account?;
        let handle = Arc::clone(&device.handle);
        let keeper = Keeper {
            account: account.clone(),
            handle: Arc::clone(&handle),
            login,
            limits: self.limits,
            gate: gate.clone(),
            session: Session::new(self.silence),
            complaint: None,
        };
        let ((end, ending), (has_ended, ended)) = (oneshot::channel(), oneshot::channel());
        let stopping = self.stopping.clone();
        running.insert(id.clone(), Running { account, handle, _end: end, ended });
        Some(async move {
            // Dropped when this is over.
            let _has_ended = has_ended;
            if let Some(before) = before {
                // It says nothing, it only ends.
                let _ = before.await;
            }
            keeper.keep(stopping, ending).await;
        })
    }

    /// Ends a device's keeper, which logs out.
    pub fn forget(&self, id: &DeviceId) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

struct Keeper {
    account: Account,
    handle: Arc<DeviceHandle>,
    login: watch::Sender<Login>,
    limits: Limits,
    gate: Gate,
    session: Session,
    /// What was last complained of: the same is not said again and again.
    complaint: Option<String>,
}

impl Keeper {
    /// Stays logged in until the device is removed or its login changed, and then logs out. A service that stops stays
    /// logged in: the device repeats its reports until they are answered, so a restart loses none.
    async fn keep(mut self, mut stopping: watch::Receiver<bool>, end: oneshot::Receiver<()>) {
        tokio::select! {
            biased;
            // An error means that the service has gone.
            _ = stopping.wait_for(|stopping| *stopping) => return,
            // Nothing is ever sent on it.
            _ = end => {}
            () = self.stay() => {}
        }
        self.log_out().await;
    }

    /// Stays logged in until the device is removed, or the password was wrong too often.
    async fn stay(&mut self) {
        while !self.handle.is_retired() {
            match self.session.next(crate::clock::now(), self.handle.reported_at()) {
                Step::Wait(wait) => tokio::time::sleep(wait.min(LONGEST_SLEEP)).await,
                Step::Login => self.login().await,
                Step::Heartbeat(token) => self.heartbeat(&token).await,
                Step::GiveUp => {
                    let given_up = "the device refused the password again and again, and would lock this address \
                        out: nobody logs in to it until its settings are changed; check api_user and web_password";
                    tracing::error!(device.id = %self.handle.id, "{given_up}");
                    self.note(LoginState::Refused, Some(given_up.to_owned()));
                    return;
                }
            }
        }
    }

    /// Gives the token back, so that the device stops reporting.
    async fn log_out(&self) {
        let Some(token) = self.session.token() else { return };
        let request = session::logout(self.session.api(), token);
        let id = &self.handle.id;
        match tokio::time::timeout(LOGOUT, self.exchange(&request)).await {
            Ok(Ok(SessionReply::Ok | SessionReply::Token(_))) => {
                tracing::info!(device.id = %id, "logged out: the device no longer reports here");
            }
            Ok(Ok(refused)) => tracing::warn!(device.id = %id, "{}", complaint(&refused, "logout")),
            Ok(Err(error)) => tracing::warn!(device.id = %id, "the device did not take a logout: {error}"),
            Err(_) => tracing::warn!(device.id = %id, "the device did not answer a logout in time"),
        }
    }

    async fn login(&mut self) {
        let account = &self.account;
        let (user, password) = (&account.user, &account.password);
        let (port, url) = (account.report_to.port, account.report_url());
        let request = session::login(self.session.api(), user, password, port, Some(&url));
        let answer = self.exchange(&request).await;
        let now = crate::clock::now();
        let news = match answer {
            Ok(reply) => {
                let complaint = complaint(&reply, "login");
                let news = self.session.logged_in(now, reply);
                if self.session.is_logged_in() {
                    self.complaint = None;
                    self.note(LoginState::LoggedIn, None);
                    tracing::info!(device.id = %self.handle.id, "logged in: the device reports here now");
                } else {
                    self.complain(LoginState::Refused, complaint);
                }
                news
            }
            Err(error) => {
                self.complain(LoginState::Silent, format!("the device cannot be logged in to: {error}"));
                self.session.unanswered(now)
            }
        };
        self.tell_cell(news);
    }

    async fn heartbeat(&mut self, token: &str) {
        let (report_to, url) = (&self.account.report_to, self.account.report_url());
        let listener = Listener { address: &report_to.host, port: report_to.port, report_url: Some(&url) };
        let request = session::heartbeat(self.session.api(), token, Some(listener));
        let answer = self.exchange(&request).await;
        let now = crate::clock::now();
        let news = match answer {
            Ok(reply) => {
                if matches!(reply, SessionReply::Refused { .. }) {
                    self.complain(LoginState::LoggedOut, complaint(&reply, "heartbeat"));
                }
                self.session.kept_alive(now, &reply)
            }
            Err(error) => {
                self.complain(LoginState::Silent, format!("the device did not take a heartbeat: {error}"));
                self.session.unanswered(now)
            }
        };
        self.tell_cell(news);
    }

    async fn exchange(&self, request: &session::Request) -> Result<SessionReply, LinkError> {
        let Account { address, tls, .. } = &self.account;
        let request =
            Request { path: &request.path, body: Some(request.body.as_bytes()), content: Content::Json };
        let body = http::exchange(address, tls.as_ref(), request, self.limits).await?;
        session::decode(&body).map_err(|error| LinkError::Lost(format!("its answer cannot be read: {error}")))
    }

    fn note(&self, state: LoginState, error: Option<String>) {
        self.login.send_modify(|login| {
            if login.state != state {
                login.since = crate::clock::now();
            }
            login.state = state;
            login.error = error;
        });
    }

    /// Nobody is logged in: says why, and logs it, once.
    fn complain(&mut self, state: LoginState, complaint: String) {
        self.note(state, Some(complaint.clone()));
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::warn!(device.id = %self.handle.id, "{complaint}");
            self.complaint = Some(complaint);
        }
    }

    /// The device answers, or has stopped to.
    fn tell_cell(&self, news: Option<bool>) {
        let Some(reachable) = news else { return };
        let facts = vec![Fact::Reachable { reachable }];
        let body = match serde_json::to_vec(&facts) {
            Ok(body) => body.into(),
            Err(error) => {
                tracing::error!(%error, "it cannot be written whether a device answers");
                return;
            }
        };
        let arrived = Arrived {
            device: Arc::clone(&self.handle),
            source: Text::const_new("login"),
            dialect: INTERNAL,
            name: Text::const_new("reachable"),
            content_type: None,
            body,
            facts,
            received: Instant::now(),
            ack: None,
        };
        // Whether the cell takes it now or in a moment is all the same here.
        drop(self.gate.pass(arrived));
    }
}

/// What a refusal means, for the log.
fn complaint(reply: &SessionReply, what: &str) -> String {
    match reply {
        SessionReply::Refused { errno: Some(errno) } => {
            let meaning = session::explain(*errno).unwrap_or("no meaning is documented");
            format!("the device refused the {what}: {meaning} ({errno})")
        }
        SessionReply::Refused { errno: None } => format!("the device refused the {what} and gave no reason"),
        SessionReply::Token(_) | SessionReply::Ok => {
            format!("the device answered the {what} without a token")
        }
    }
}
