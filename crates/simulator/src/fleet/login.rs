//! Logging in to a Yeastar: tokens that lapse, wrong passwords that lock out, and where reports go.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::http::Target;
use crate::om::signature;

/// How long a token lives after the last request with it, in virtual milliseconds.
const TOKEN_LIFE_MS: u64 = 30 * 60 * 1000;
/// Wrong passwords in a row after which an address is locked out.
const ATTEMPTS: u32 = 5;
/// For how long, in virtual milliseconds.
const LOCKED_OUT_MS: u64 = 10 * 60 * 1000;
/// The interface's only user.
const USER: &str = "api";

/// The path of a version's requests.
const VERSIONS: [&str; 3] = ["/api/v1.0.2/", "/api/v1.1.0/", "/api/v2.0.0/"];

/// A request to one device's interface.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) peer: IpAddr,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) body: &'a [u8],
}

#[derive(Debug, Default)]
struct Client {
    wrong: u32,
    locked_until: u64,
}

#[derive(Debug)]
struct Token {
    text: String,
    lives_until: u64,
}

/// Who is logged in to one device.
#[derive(Debug)]
pub(crate) struct Login {
    name: String,
    password: String,
    clients: HashMap<IpAddr, Client>,
    token: Option<Token>,
    report_to: Option<Arc<Target>>,
    logins: u64,
    heartbeats: u64,
}

impl Login {
    pub(crate) fn new(name: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: signature(&[password]),
            clients: HashMap::new(),
            token: None,
            report_to: None,
            logins: 0,
            heartbeats: 0,
        }
    }

    /// Is somebody logged in?
    pub(crate) fn is_alive(&self, now: u64) -> bool {
        self.token.as_ref().is_some_and(|token| now < token.lives_until)
    }

    /// Where reports go, if that was said.
    pub(crate) fn report_to(&self) -> Option<Arc<Target>> {
        self.report_to.clone()
    }

    /// Forgets the token, as when it restarts.
    pub(crate) fn revoke(&mut self) {
        self.token = None;
    }

    /// Logins and heartbeats that were taken.
    pub(crate) const fn counts(&self) -> (u64, u64) {
        (self.logins, self.heartbeats)
    }

    /// Answers a request; none if there is no such path.
    pub(crate) fn answer(&mut self, request: &Request<'_>, now: u64) -> Option<String> {
        let action = VERSIONS.iter().find_map(|version| request.path.strip_prefix(version))?;
        let done = match action {
            "login" => self.login(request, now),
            "heartbeat" => self.heartbeat(request, now),
            "logout" => self.renew(request.query, now).map(|()| {
                self.token = None;
                json!({ "status": "Success" })
            }),
            _ => Err(10_003),
        };
        let answer =
            done.unwrap_or_else(|errno: u32| json!({ "status": "Failed", "errno": errno.to_string() }));
        Some(answer.to_string())
    }

    fn login(&mut self, request: &Request<'_>, now: u64) -> Result<Value, u32> {
        let client = self.clients.entry(request.peer).or_default();
        if now < client.locked_until {
            return Err(20_002);
        }
        let body = members(request.body)?;
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let (Some(user), Some(password)) = (text("username"), text("password")) else { return Err(10_004) };
        if user != USER || password != self.password {
            client.wrong += 1;
            if client.wrong >= ATTEMPTS {
                *client = Client { wrong: 0, locked_until: now + LOCKED_OUT_MS };
                return Err(20_002);
            }
            return Err(20_003);
        }
        client.wrong = 0;
        self.report_to = listener(&body, request.peer)?;
        self.logins += 1;
        let token = signature(&[&self.name, &self.logins.to_string(), &now.to_string()]);
        self.token = Some(Token { text: token.clone(), lives_until: now + TOKEN_LIFE_MS });
        Ok(json!({ "status": "Success", "token": token }))
    }

    fn heartbeat(&mut self, request: &Request<'_>, now: u64) -> Result<Value, u32> {
        self.renew(request.query, now)?;
        if !request.body.is_empty() {
            let body = members(request.body)?;
            let address = body.get("ipaddr").and_then(Value::as_str).and_then(|text| text.parse().ok());
            if let Some(target) = listener(&body, address.unwrap_or(request.peer))? {
                self.report_to = Some(target);
            }
        }
        self.heartbeats += 1;
        Ok(json!({ "status": "Success" }))
    }

    /// The token of a request, which lives on by that.
    fn renew(&mut self, query: &str, now: u64) -> Result<(), u32> {
        let given = query.split('&').find_map(|pair| pair.strip_prefix("token=")).ok_or(20_005_u32)?;
        let token = self.token.as_mut().filter(|token| token.text == given).ok_or(20_004_u32)?;
        if now >= token.lives_until {
            self.token = None;
            return Err(20_006);
        }
        token.lives_until = now + TOKEN_LIFE_MS;
        Ok(())
    }
}

fn members(body: &[u8]) -> Result<Map<String, Value>, u32> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(20_000),
    }
}

/// Where reports are to go: a path at the address that the client comes from, or an address of its own.
fn listener(body: &Map<String, Value>, peer: IpAddr) -> Result<Option<Arc<Target>>, u32> {
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let Some(url) = text("url") else { return Ok(None) };
    let url = if text("urltag").or_else(|| text("urlflag")) == Some("1") {
        format!("http://{url}")
    } else {
        let port = text("port").and_then(|port| port.parse().ok()).ok_or(20_008_u32)?;
        format!("http://{}/{}", SocketAddr::new(peer, port), url.trim_start_matches('/'))
    };
    Target::parse(&url).map(|target| Some(Arc::new(target))).map_err(|_| 10_004)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn ask(login: &mut Login, path: &str, body: &str, now: u64) -> Value {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let request = Request { peer: PEER, path, query, body: body.as_bytes() };
        serde_json::from_str(&login.answer(&request, now).unwrap()).unwrap()
    }

    fn with(password: &str) -> String {
        let password = signature(&[password]);
        json!({ "username": "api", "password": password, "port": "9", "url": "a:1/r", "urltag": "1" })
            .to_string()
    }

    #[test]
    fn a_token_lives_for_half_an_hour_after_its_last_use() {
        let mut login = Login::new("sim-1", "secret");
        assert!(!login.is_alive(0));
        let token = ask(&mut login, "/api/v1.1.0/login", &with("secret"), 0);
        let token = token["token"].as_str().unwrap().to_owned();
        assert_eq!(login.report_to().as_deref(), Some(&Target::parse("http://a:1/r").unwrap()));
        let beat = format!("/api/v2.0.0/heartbeat?token={token}");
        assert_eq!(ask(&mut login, &beat, "", TOKEN_LIFE_MS - 1)["status"], "Success");
        let moved = r#"{"ipaddr":"127.0.0.2","port":"7","url":"x","urltag":"0"}"#;
        assert_eq!(ask(&mut login, &beat, moved, TOKEN_LIFE_MS)["status"], "Success");
        assert_eq!(login.report_to().as_deref(), Some(&Target::parse("http://127.0.0.2:7/x").unwrap()));
        assert!(login.is_alive(2 * TOKEN_LIFE_MS - 1) && !login.is_alive(2 * TOKEN_LIFE_MS));
        assert_eq!(ask(&mut login, &beat, "", 2 * TOKEN_LIFE_MS)["errno"], "20006");
        assert_eq!(ask(&mut login, &beat, "", 2 * TOKEN_LIFE_MS)["errno"], "20004");
        assert_eq!(login.counts(), (1, 2));
    }

    #[test]
    fn five_wrong_passwords_lock_out() {
        let mut login = Login::new("sim-1", "secret");
        for errno in ["20003", "20003", "20003", "20003", "20002"] {
            assert_eq!(ask(&mut login, "/api/v1.1.0/login", &with("wrong"), 0)["errno"], errno);
        }
        assert_eq!(
            ask(&mut login, "/api/v1.1.0/login", &with("secret"), LOCKED_OUT_MS - 1)["errno"],
            "20002"
        );
        assert_eq!(ask(&mut login, "/api/v1.1.0/login", &with("secret"), LOCKED_OUT_MS)["status"], "Success");
        assert_eq!(ask(&mut login, "/api/v1.1.0/login", "x", LOCKED_OUT_MS)["errno"], "20000");
        assert_eq!(ask(&mut login, "/api/v1.1.0/other", "", LOCKED_OUT_MS)["errno"], "10003");
        let other = Request { peer: PEER, path: "/xml", query: "", body: b"" };
        assert_eq!(login.answer(&other, 0), None);
    }
}
