//! Logging in to a Yeastar, and staying so.
//!
//! The device reports only to who is logged in. A login gives a token, a heartbeat keeps it alive; when it
//! lapses, reports stop without a word. Documented at help.yeastar.com (`s-series-developer`: Login, Heartbeat
//! Packet, Logout, Error Code; `s-series-developer-v2`: Get API token, Keep API token alive).

use std::fmt;
use std::time::Duration;

use switchroom_domain::Text;

use crate::digest::md5_hex;
use crate::error::DecodeError;
use crate::object::{self, write_json_string};
use crate::text::{bom_length, decode_body, number, push_percent_encoded};

/// How long a token lives after the login, a heartbeat, or any other request with it.
pub const TOKEN_LIFE: Duration = Duration::from_secs(30 * 60);

/// How often to send a heartbeat: late enough to be cheap, with time for another one if it fails.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(12 * 60);

/// Wrong passwords in a row after which the device locks the application's address out.
pub const ATTEMPTS: u32 = 5;

/// How long it locks it out.
pub const LOCKED_OUT_FOR: Duration = Duration::from_secs(10 * 60);

/// A version of the device's interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Api {
    /// 1.1.0. Reports are asked for in the form of 1.0.2, the first that is well-formed JSON.
    #[default]
    V1,
    /// 2.0.0: calls are reported as `CallStatus`.
    V2,
}

impl Api {
    /// Its part of the path.
    const fn path(self) -> &'static str {
        match self {
            Self::V1 => "v1.1.0",
            Self::V2 => "v2.0.0",
        }
    }

    /// The form of the reports.
    const fn reports(self) -> &'static str {
        match self {
            Self::V1 => "1.0.2",
            Self::V2 => "2.0.0",
        }
    }
}

/// A request, to be sent by `POST` as `application/json`. Path and body hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// JSON; empty when there is nothing to say.
    pub body: String,
}

/// Leaves the query and the body out: they hold the token and the password.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        f.debug_struct("Request").field("path", &path).finish_non_exhaustive()
    }
}

/// Asks for a token.
///
/// Reports go to `port` of the address that the request comes from; to `report_url` if there is one, which is a
/// path there (`/report`), or, not starting with a slash, an address of its own (`192.168.5.122:8260/report`).
/// The password is not sent, but its MD5, which is as good to whoever finds it.
#[must_use]
pub fn login(api: Api, username: &str, password: &str, port: u16, report_url: Option<&str>) -> Request {
    let digest = md5_hex([password.as_bytes()]).map(char::from);
    let mut body = Members::default();
    body.add("username", username);
    body.add("password", &String::from_iter(digest));
    body.add("port", &port.to_string());
    body.add("version", api.reports());
    body.add_url(report_url, &["urltag"]);
    Request { path: format!("/api/{}/login", api.path()), body: body.finish() }
}

/// Where reports are to go from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener<'a> {
    /// The address that the device reaches us by.
    pub address: &'a str,
    /// The port of it.
    pub port: u16,
    /// As for [`login`].
    pub report_url: Option<&'a str>,
}

/// Keeps the token alive for another [`TOKEN_LIFE`], and moves the reports to `listener`. Version 1 documents the
/// listener as mandatory; version 2 has been seen to take a heartbeat without one.
#[must_use]
pub fn heartbeat(api: Api, token: &str, listener: Option<Listener<'_>>) -> Request {
    let mut body = String::new();
    if let Some(Listener { address, port, report_url }) = listener {
        let mut members = Members::default();
        members.add("ipaddr", address);
        members.add("port", &port.to_string());
        // Version 1 calls the tag by another name on its English page than on the Chinese one and in the example.
        let tags: &[&str] = match api {
            Api::V1 => &["urltag", "urlflag"],
            Api::V2 => {
                members.add("version", api.reports());
                &["urltag"]
            }
        };
        members.add_url(report_url, tags);
        body = members.finish();
    }
    Request { path: with_token(api, "heartbeat", token), body }
}

/// Gives the token back; no reports come after that. (Logout, for 2.0.0 on the pages of `cloudpbx-developer-v2`.)
#[must_use]
pub fn logout(api: Api, token: &str) -> Request {
    Request { path: with_token(api, "logout", token), body: String::new() }
}

fn with_token(api: Api, what: &str, token: &str) -> String {
    let mut path = format!("/api/{}/{what}?token=", api.path());
    push_percent_encoded(&mut path, token);
    path
}

/// The members of a JSON object, all of them strings, as the device wants even its numbers.
#[derive(Default)]
struct Members(String);

impl Members {
    fn add(&mut self, key: &str, text: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        write_json_string(&mut self.0, key);
        self.0.push(':');
        write_json_string(&mut self.0, text);
    }

    /// The URL for reports, and whether it stands by itself.
    fn add_url(&mut self, url: Option<&str>, tags: &[&str]) {
        let Some(url) = url else { return };
        let (url, is_absolute) = match url.strip_prefix('/') {
            Some(path) => (path, "0"),
            None => (url, "1"),
        };
        self.add("url", url);
        for tag in tags {
            self.add(tag, is_absolute);
        }
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// What the device answers.
#[derive(Clone, PartialEq, Eq)]
pub enum SessionReply {
    /// Logged in, with this token.
    Token(Text),
    /// Done.
    Ok,
    /// Not done.
    Refused {
        /// Why; what it means is in [`explain`].
        errno: Option<u32>,
    },
}

/// Leaves the token out.
impl fmt::Debug for SessionReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token(..)"),
            Self::Ok => f.write_str("Ok"),
            Self::Refused { errno } => f.debug_struct("Refused").field("errno", errno).finish(),
        }
    }
}

impl SessionReply {
    /// Is the token gone, so that only a new login helps?
    #[must_use]
    pub const fn wants_login(&self) -> bool {
        matches!(self, Self::Refused { errno: Some(20_004..=20_006) })
    }

    /// Are we locked out, so that another try before [`LOCKED_OUT_FOR`] is in vain?
    #[must_use]
    pub const fn is_locked_out(&self) -> bool {
        matches!(self, Self::Refused { errno: Some(20_002) })
    }
}

/// Reads the answer to any of the requests here. The HTTP status is 200 whatever it says.
///
/// # Errors
/// When the body is no JSON object, or one that says neither how it went nor what the token is.
pub fn decode(body: &[u8]) -> Result<SessionReply, DecodeError> {
    let text = decode_body(body);
    let before = bom_length(body);
    let objects = object::read_all(&text, 1)
        .map_err(|error| DecodeError { offset: error.offset.saturating_add(before), ..error })?;
    let member = |key| objects.first().and_then(|object| object.text(key));
    let (status, token, errno) = (member("status"), member("token"), member("errno"));
    match (status, errno, token) {
        (Some(status), _, token) if status.eq_ignore_ascii_case("Success") => {
            Ok(token.map_or(SessionReply::Ok, SessionReply::Token))
        }
        (None, None, Some(token)) => Ok(SessionReply::Token(token)),
        (None, None, None) => Err(DecodeError::new(body.len(), "neither a status nor a token")),
        // Some pages write `Failed`, some `Failure`.
        (_, errno, _) => Ok(SessionReply::Refused { errno: number(errno.as_ref()) }),
    }
}

/// What the `errno` of a refusal means; none for those that only commands get.
#[must_use]
pub const fn explain(errno: u32) -> Option<&'static str> {
    Some(match errno {
        10_003 => "the device does not know this request",
        10_004 => "something that must be given is missing",
        10_025 => "settings are applied too often",
        10_032 | 20_003 => "the name or the password is wrong",
        20_000 => "the device takes JSON only",
        20_001 => "the device takes POST only",
        20_002 => "too many wrong passwords: the device takes no login from this address for ten minutes",
        20_004 => "the device does not know the token: it has restarted, or somebody else is logged in",
        20_005 => "the token is missing",
        20_006 => "the token has expired",
        20_007 => "the request is empty",
        20_008 => "the port is wrong",
        20_009 => "the request does not say what it wants",
        20_010 => "the device could not pass the request on",
        20_011 => "the device could not take the heartbeat's settings",
        20_015 => "this address is not among those that the device lets in",
        30_001 => "the device is out of memory",
        30_003 => "the device's interface is not running",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "48a7d7481a5355aa4fb5dc285edeb40e";

    #[test]
    fn logins_are_written_as_the_documents_write_them() {
        let request = login(Api::V1, "api", "message digest", 8260, Some("192.168.5.122:8260/report"));
        assert_eq!(request.path, "/api/v1.1.0/login");
        assert_eq!(
            request.body,
            r#"{"username":"api","password":"f96b697d7cb7938d525a2f31aaf161d0","port":"8260","version":"1.0.2","url":"192.168.5.122:8260/report","urltag":"1"}"#
        );
        let request = login(Api::V2, "a\"b", "", 1, Some("/report"));
        assert_eq!(request.path, "/api/v2.0.0/login");
        assert_eq!(
            request.body,
            r#"{"username":"a\"b","password":"d41d8cd98f00b204e9800998ecf8427e","port":"1","version":"2.0.0","url":"report","urltag":"0"}"#
        );
        assert!(!login(Api::V1, "api", "x", 1, None).body.contains("url"));
    }

    #[test]
    fn heartbeats_keep_or_move() {
        assert_eq!(heartbeat(Api::V2, TOKEN, None).path, format!("/api/v2.0.0/heartbeat?token={TOKEN}"));
        assert_eq!(heartbeat(Api::V2, TOKEN, None).body, "");
        assert_eq!(logout(Api::V1, "a&b").path, "/api/v1.1.0/logout?token=a%26b");
        let listener = Listener { address: "192.168.5.150", port: 8260, report_url: Some("/r") };
        assert_eq!(
            heartbeat(Api::V1, TOKEN, Some(listener)).body,
            r#"{"ipaddr":"192.168.5.150","port":"8260","url":"r","urltag":"0","urlflag":"0"}"#
        );
        let listener = Listener { report_url: None, ..listener };
        assert_eq!(
            heartbeat(Api::V2, TOKEN, Some(listener)).body,
            r#"{"ipaddr":"192.168.5.150","port":"8260","version":"2.0.0"}"#
        );
        assert!(HEARTBEAT_EVERY * 2 < TOKEN_LIFE);
    }

    #[test]
    fn answers_are_told_apart() {
        let token = SessionReply::Token(TOKEN.into());
        assert_eq!(decode(format!(r#"{{"status":"Success","token":"{TOKEN}"}}"#).as_bytes()), Ok(token));
        assert_eq!(decode(b"\xef\xbb\xbf {\"status\": \"Success\"}\n"), Ok(SessionReply::Ok));
        for body in [
            r#"{"status":"Failed","errno":"20004"}"#,
            r#"{"status":"Failure","errno":20004}"#,
            r#"{"errno":"20004"}"#,
            r#"{"status":"Failed","errno":"20004","token":"old"}"#,
        ] {
            let refused = decode(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"));
            assert_eq!(refused, SessionReply::Refused { errno: Some(20_004) }, "{body}");
            assert!(refused.wants_login() && !refused.is_locked_out());
        }
        let locked = decode(br#"{"status":"Failed","errno":"20002"}"#).expect("an answer");
        assert!(locked.is_locked_out() && !locked.wants_login());
        assert_eq!(decode(br#"{"status":"Failed"}"#), Ok(SessionReply::Refused { errno: None }));
        for body in ["", "{}", "<html>", "{\"status\"", "{}{}"] {
            assert!(decode(body.as_bytes()).is_err(), "{body}");
        }
        assert!(explain(20_006).is_some() && explain(10_012).is_none());
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!(
            "{:?} {:?} {:?}",
            login(Api::V1, "api", "secret", 1, None),
            heartbeat(Api::V1, TOKEN, None),
            SessionReply::Token(TOKEN.into())
        );
        assert!(!shown.contains(TOKEN) && !shown.contains("5ebe2294"), "{shown}");
    }
}
