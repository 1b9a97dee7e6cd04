//! Who asks, and what they may do.
//!
//! A token comes as `Authorization: Bearer TOKEN`. A browser cannot set headers on an event stream or a
//! WebSocket, so these also take `?access_token=`; and any route takes the cookie that `GET /login?token=` sets.
//! A request by cookie that changes something, or opens a WebSocket, must come from a page of this server.
//!
//! | role | may |
//! | --- | --- |
//! | viewer, supervisor | read |
//! | agent | read; of calls, records and events those of its own extensions |
//! | operator | read, see report paths, change devices' `name` and `site`, have webhooks |
//! | admin | everything |
//!
//! A scope of devices limits every role: what is outside does not exist for it.

use std::collections::{HashMap, HashSet};
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use subtle::ConstantTimeEq;
use switchroom_domain::Text;
use switchroom_domain::event::EventData;
use switchroom_domain::id::DeviceId;
use switchroom_domain::view::{CallView, LegKind};
use tokio::sync::watch;

use super::error::{Kind, Problem};
use crate::config::PrivacyConfig;
pub use crate::storage::tokens::{Role, Scope};
use crate::storage::{Reader, tokens};
use crate::{numbers, privacy};

/// The cookie that `/login` sets.
pub(super) const COOKIE_NAME: &str = "switchroom_token";
/// How long a token that was found is believed without asking the store again: a token that is removed by
/// another process is refused after this time.
const BELIEVED: Duration = Duration::from_secs(5);
/// And so long while the store cannot be asked.
const BELIEVED_WITHOUT: Duration = Duration::from_secs(3600);
/// A store that does not answer by then is away.
const ASKED: Duration = Duration::from_millis(500);
/// Tokens that are remembered; beyond it all are asked for anew.
const REMEMBERED: usize = 1024;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What they may do.
    pub role: Role,
    devices: Option<Arc<HashSet<String>>>,
    extensions: Option<Arc<HashSet<String>>>,
    hash: [u8; 32],
    token: Arc<str>,
    masked: bool,
}

impl Caller {
    fn new(role: Role, scope: Scope, hash: [u8; 32], token: &str, masked: bool) -> Self {
        let set = |list: Vec<String>| Arc::new(list.into_iter().collect::<HashSet<_>>());
        let devices = (!scope.devices.is_empty()).then(|| set(scope.devices));
        let limited = role == Role::Agent || !scope.extensions.is_empty();
        let extensions = limited.then(|| set(scope.extensions));
        Self { role, devices, extensions, hash, token: token.into(), masked }
    }

    /// The id of their token; `admin` for the one of the configuration.
    #[must_use]
    pub fn token_id(&self) -> &str {
        &self.token
    }

    /// Are they given telephone numbers masked?
    #[must_use]
    pub const fn is_masked(&self) -> bool {
        self.masked
    }

    /// Refuses to look for what they may not see: an answer would tell whether it is there.
    ///
    /// # Errors
    /// 403, naming the field.
    pub(super) fn may_look_for(&self, field: &'static str, value: &str) -> Result<(), Problem> {
        let is_part = matches!(field, "number_prefix" | "number_suffix");
        // It is looked for without its separators, whatever these are.
        let is_compact = || numbers::compact(value).is_some_and(|compact| privacy::is_masked(&compact));
        if self.masked && (is_part || privacy::mask_written(value) != value || is_compact()) {
            let detail =
                format!("telephone numbers are masked for the role {}, and cannot be looked for", self.role);
            return Err(Problem::new(Kind::Forbidden, detail).field(field));
        }
        Ok(())
    }

    /// The hash of their token.
    #[must_use]
    pub(super) const fn token_hash(&self) -> [u8; 32] {
        self.hash
    }

    /// May they see this device?
    #[must_use]
    pub fn sees(&self, device: &DeviceId) -> bool {
        self.devices.as_ref().is_none_or(|devices| devices.contains(device.as_str()))
    }

    /// Are they limited to some devices?
    #[must_use]
    pub const fn is_scoped(&self) -> bool {
        self.devices.is_some()
    }

    /// The devices that they are limited to.
    #[must_use]
    pub fn devices(&self) -> Option<&HashSet<String>> {
        self.devices.as_deref()
    }

    /// The extensions whose calls alone they may see.
    #[must_use]
    pub fn extensions(&self) -> Option<&HashSet<String>> {
        self.extensions.as_deref()
    }

    /// May they see a device's report path where that is its proof?
    #[must_use]
    pub const fn sees_report_paths(&self) -> bool {
        matches!(self.role, Role::Operator | Role::Admin)
    }

    /// May they see this call?
    #[must_use]
    pub fn sees_call(&self, call: &CallView) -> bool {
        let own =
            |extensions: &HashSet<String>| call_has_extension(call, |number| extensions.contains(number));
        self.sees(&call.device) && self.extensions.as_deref().is_none_or(own)
    }

    /// May they see a record of this device with these numbers?
    #[must_use]
    pub fn sees_record<'a>(
        &self,
        device: &DeviceId,
        numbers: impl IntoIterator<Item = &'a Option<Text>>,
    ) -> bool {
        let own = |extensions: &HashSet<String>| {
            let mut named = numbers.into_iter().flatten();
            named.any(|number| extensions.contains(number.as_str()))
        };
        self.sees(device) && self.extensions.as_deref().is_none_or(own)
    }

    /// Refuses all but these roles.
    ///
    /// # Errors
    /// 403, naming the roles that may.
    pub fn require(&self, roles: &[Role]) -> Result<(), Problem> {
        if roles.contains(&self.role) {
            return Ok(());
        }
        let may = roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" or ");
        let is = self.role;
        Err(Problem::new(
            Kind::Forbidden,
            format!("this needs a token with the role {may}; this one is {is}"),
        ))
    }

    /// Refuses who is limited to some devices or extensions.
    ///
    /// # Errors
    /// 403.
    pub fn require_unscoped(&self) -> Result<(), Problem> {
        if self.is_scoped() {
            let detail = "this concerns all devices; it needs a token that is not limited to some of them";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        self.require_all_extensions()
    }

    /// Refuses who is limited to some extensions.
    ///
    /// # Errors
    /// 403.
    pub fn require_all_extensions(&self) -> Result<(), Problem> {
        if self.extensions().is_some() {
            let detail = "this concerns all extensions; it needs a token that is not limited to some of them";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        Ok(())
    }
}

/// Is one of the call's extensions such a number?
pub(super) fn call_has_extension(call: &CallView, mut is: impl FnMut(&str) -> bool) -> bool {
    let legs =
        call.legs.iter().filter(|leg| leg.kind == LegKind::Extension).filter_map(|leg| leg.number.as_ref());
    legs.chain(&call.from).chain(&call.to).any(|number| is(number))
}

/// Does the event concern such an extension: by `extension`, `from` or `to`?
pub(super) fn event_has_extension(data: &EventData, mut is: impl FnMut(&str) -> bool) -> bool {
    [&data.extension, &data.from, &data.to].into_iter().flatten().any(|number| is(number))
}

/// Whoever is allowed in; the middleware has put them there.
impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(unauthorized))
    }
}

/// No token, or none that is known.
pub(super) fn unauthorized() -> Problem {
    let detail = "no token came, or none that is known here (mistyped, removed, or of another store); send the header \
                  `Authorization: Bearer TOKEN`; `switchroom token create` makes a token";
    Problem::new(Kind::Unauthorized, detail)
}

/// Knows the tokens.
pub struct Tokens {
    admin: Option<[u8; 32]>,
    masked: Vec<Role>,
    reader: Reader,
    known: Mutex<HashMap<[u8; 32], Remembered>>,
    removed: watch::Sender<u64>,
}

/// A token that was found to be good.
#[derive(Clone)]
struct Remembered {
    /// When the store was last asked.
    asked: Instant,
    /// When it last said so.
    found: Instant,
    caller: Caller,
}

impl Tokens {
    /// Those of the store, and the admin's from the configuration.
    #[must_use]
    pub fn new(admin: Option<&str>, privacy: &PrivacyConfig, reader: Reader) -> Self {
        Self {
            admin: admin.map(tokens::hash),
            masked: privacy.mask_numbers_for.clone(),
            reader,
            known: Mutex::default(),
            removed: watch::Sender::new(0),
        }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn caller(&self, token: &str) -> Result<Option<Caller>, Problem> {
        self.by_hash(tokens::hash(token)).await
    }

    /// Is the caller's token still good?
    pub async fn still_good(&self, caller: &Caller) -> bool {
        match self.by_hash(caller.hash).await {
            Ok(found) => found.is_some(),
            // Not being able to ask is no reason to end a stream.
            Err(_) => true,
        }
    }

    async fn by_hash(&self, hash: [u8; 32]) -> Result<Option<Caller>, Problem> {
        // Hashes are compared, in constant time: how far a guess is right cannot be measured.
        if self.admin.as_ref().is_some_and(|admin| bool::from(admin.ct_eq(&hash))) {
            return Ok(Some(Caller::new(Role::Admin, Scope::default(), hash, "admin", false)));
        }
        let before = self.lock().get(&hash).cloned();
        if let Some(remembered) = before.as_ref().filter(|remembered| remembered.asked.elapsed() < BELIEVED) {
            return Ok(Some(remembered.caller.clone()));
        }
        let query = self.reader.query(move |connection| tokens::find(connection, &hash));
        let found = match before.filter(|remembered| remembered.found.elapsed() < BELIEVED_WITHOUT) {
            None => query.await?,
            // State that is in memory is given also while the store is away.
            Some(remembered) => match tokio::time::timeout(ASKED, query).await {
                Ok(Ok(found)) => found,
                Ok(Err(_)) | Err(_) => {
                    let caller = remembered.caller.clone();
                    // Not if it was removed meanwhile.
                    if let Some(known) = self.lock().get_mut(&hash) {
                        known.asked = Instant::now();
                    }
                    return Ok(Some(caller));
                }
            },
        };
        let mut known = self.lock();
        let Some(token) = found else {
            known.remove(&hash);
            return Ok(None);
        };
        if known.len() >= REMEMBERED {
            known.clear();
        }
        let masked = self.masked.contains(&token.role);
        let caller = Caller::new(token.role, token.scope, hash, &token.id, masked);
        let now = Instant::now();
        known.insert(hash, Remembered { asked: now, found: now, caller: caller.clone() });
        Ok(Some(caller))
    }

    /// Forgets what is remembered: a token was removed. Streams ask again whether theirs is good.
    pub fn forget(&self) {
        self.lock().clear();
        self.removed.send_modify(|count| *count += 1);
    }

    /// Tells when a token was removed.
    pub(super) fn removals(&self) -> watch::Receiver<u64> {
        self.removed.subscribe()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Remembered>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token that a request carries, and whether it came by cookie.
pub(super) fn token_of(request: &HttpRequest) -> Option<(String, bool)> {
    if let Some(header) = request.headers().get(AUTHORIZATION) {
        let text = header.to_str().ok()?;
        let (scheme, token) = text.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| (token.trim().to_owned(), false));
    }
    if takes_token_in_query(request.path())
        && let Some(token) = query_value(request.query_string(), "access_token")
    {
        return Some((token, false));
    }
    cookie(request).map(|token| (token, true))
}

/// Only where a browser cannot set headers.
fn takes_token_in_query(path: &str) -> bool {
    matches!(path, "/api/v1/events/stream" | "/api/v1/events/ws")
}

/// The value of a query parameter, decoded.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    let pairs = actix_web::web::Query::<Vec<(String, String)>>::from_query(query).ok()?.into_inner();
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn cookie(request: &HttpRequest) -> Option<String> {
    let cookies = request.headers().get_all(COOKIE).filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, value)| value.to_owned())
}

/// A browser says which page a request comes from; with a cookie it must be one of ours. A page on another
/// port of the same host counts as the same site, so that `SameSite` alone does not keep it out.
pub(super) fn comes_from_own_page(request: &HttpRequest) -> bool {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    match header(ORIGIN) {
        None => true,
        Some(origin) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some() && authority == header(HOST)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_token_is_found_where_it_may_stand() {
        let bearer = TestRequest::get().insert_header((AUTHORIZATION, "bearer  abc ")).to_http_request();
        assert_eq!(token_of(&bearer), Some(("abc".into(), false)));
        let basic = TestRequest::get().insert_header((AUTHORIZATION, "Basic abc")).to_http_request();
        assert_eq!(token_of(&basic), None);
        let query = |path: &str| TestRequest::get().uri(path).to_http_request();
        assert_eq!(
            token_of(&query("/api/v1/events/stream?kind=a&access_token=a%2Bb")),
            Some(("a+b".into(), false))
        );
        assert_eq!(token_of(&query("/api/v1/devices?access_token=abc")), None);
        let cookies =
            TestRequest::get().insert_header((COOKIE, "x=1; switchroom_token=abc")).to_http_request();
        assert_eq!(token_of(&cookies), Some(("abc".into(), true)));
    }

    #[test]
    fn a_foreign_page_is_told_from_our_own() {
        let from = |origin: &str| {
            let request = TestRequest::post().insert_header((HOST, "localhost:8080"));
            comes_from_own_page(&request.insert_header((ORIGIN, origin)).to_http_request())
        };
        assert!(from("http://localhost:8080"));
        assert!(!from("http://localhost:3000") && !from("https://evil.example") && !from("null"));
        assert!(comes_from_own_page(&TestRequest::post().to_http_request()));
    }

    #[test]
    fn an_agent_without_extensions_sees_no_call() {
        let agent = Caller::new(Role::Agent, Scope::default(), [0; 32], "test", false);
        assert!(agent.extensions().is_some_and(HashSet::is_empty));
        let viewer = Caller::new(Role::Viewer, Scope::default(), [0; 32], "test", false);
        assert!(viewer.extensions().is_none() && !viewer.is_scoped());
    }
}
