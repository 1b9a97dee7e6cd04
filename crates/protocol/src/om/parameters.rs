//! The system parameters of an OM (chapter 6 of the vendor's manual), which no command sets: they are read and
//! written through the URLs of its web interface, with the administrator's password in them.
//!
//! Which of them take effect only after a restart, the manual does not say; the answer to a write does
//! ([`Stat::Restart`]).

use std::fmt::Write;

use switchroom_domain::Text;
use switchroom_domain::command::BadCommand;
use switchroom_domain::reply::Reply;

use super::capabilities::Revision;
use super::tree::{self, Element};
use crate::error::DecodeError;

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// As the manual writes it, `API_MAC`.
    pub name: &'static str,
    /// Its number, by which devices know it.
    pub id: u16,
    /// Each line has its own value; otherwise the device has one.
    pub per_line: bool,
    /// What it can be.
    pub kind: Kind,
    /// What it is until it is set.
    pub default: &'static str,
    /// What it does, in a line.
    pub meaning: &'static str,
    /// The firmware that brought it, where the manual says so.
    pub since: Option<Revision>,
}

/// What a parameter can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`.
    YesNo,
    /// `on` or `off`.
    OnOff,
    /// A number of seconds.
    Seconds {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// One of these numbers.
    OneOf(&'static [u8]),
    /// Bits of one byte, in hex with `0x` or decimal. These are the known ones; the manual itself uses others
    /// now and then (`0xF` in 3.15), so any are taken.
    Bits(&'static [(u8, &'static str)]),
    /// 1 to 16 letters and digits, or nothing for none. Not to be shown.
    Password,
}

impl Parameter {
    /// Is its value one that must not be shown or logged?
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Password)
    }

    /// Can it have this value?
    ///
    /// # Errors
    /// Says what it can be.
    pub fn check(&self, value: &str) -> Result<(), BadCommand> {
        let number = || value.parse::<u32>().ok().filter(|_| value.bytes().all(|b| b.is_ascii_digit()));
        let fits = match self.kind {
            Kind::YesNo => matches!(value, "yes" | "no"),
            Kind::OnOff => matches!(value, "on" | "off"),
            Kind::Seconds { min, max } => number().is_some_and(|seconds| (min..=max).contains(&seconds)),
            Kind::OneOf(numbers) => {
                number().is_some_and(|one| numbers.iter().any(|of| u32::from(*of) == one))
            }
            Kind::Bits(_) => match value.strip_prefix("0x") {
                Some(hex) => (1..=2).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit()),
                None => number().is_some_and(|bits| bits <= 0xFF),
            },
            Kind::Password => value.len() <= 16 && value.bytes().all(|b| b.is_ascii_alphanumeric()),
        };
        if fits { Ok(()) } else { Err(self.bad("value", self.kind.range())) }
    }

    fn bad(&self, field: &'static str, what: impl std::fmt::Display) -> BadCommand {
        BadCommand { field, problem: format!("{}: {what}", self.name) }
    }

    /// The `line_id` of the URL; only for a parameter that each line has.
    fn line<'a>(&self, line: Option<&'a str>) -> Result<Option<&'a str>, BadCommand> {
        match line {
            Some(_) if !self.per_line => Err(self.bad("line_id", "the device has one value for all lines")),
            None if self.per_line => Err(self.bad("line_id", "each line has its own value; name one")),
            line => Ok(line.map(line_number)),
        }
    }
}

impl Kind {
    /// What it can be, for a person.
    #[must_use]
    pub fn range(&self) -> String {
        match self {
            Self::YesNo => "yes or no".to_owned(),
            Self::OnOff => "on or off".to_owned(),
            Self::Seconds { min, max } => format!("{min} to {max} seconds"),
            Self::OneOf(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(u8::to_string).collect();
                format!("one of {}", numbers.join(", "))
            }
            Self::Bits(_) => "bits: 0x00 to 0xff, or 0 to 255".to_owned(),
            Self::Password => "1 to 16 letters and digits, or nothing".to_owned(),
        }
    }
}

/// What reports a line makes, and who handles its calls (4.6). The manual sets 0x01, 0x02 and 0x04 together
/// only; 0x08 came with Rev 2.1.5.94.
const LINE_BITS: &[(u8, &str)] = &[
    (0x01, "state, with the next two"),
    (0x02, "state"),
    (0x04, "state"),
    (0x08, "single keys of an extension"),
    (0x10, "asks before a call is answered (INVITE)"),
    (0x20, "asks after a call is answered (INCOMING)"),
];

const FLAG_BITS: &[(u8, &str)] =
    &[(0x01, "who is called rings, without BUSY"), (0x04, "settings made by commands survive a restart")];

macro_rules! parameters {
    ($($name:literal $id:literal $scope:ident $kind:expr, $default:literal, $meaning:literal $(, since $since:expr)?;)*) => {
        /// All parameters (6.1), in the manual's order.
        pub const ALL: &[Parameter] = &[$(Parameter {
            name: $name,
            id: $id,
            per_line: parameters!(@ $scope),
            kind: $kind,
            default: $default,
            meaning: $meaning,
            since: parameters!(@ since $($since)?),
        }),*];
    };
    (@ device) => { false };
    (@ line) => { true };
    (@ since) => { None };
    (@ since $since:expr) => { Some($since) };
}

parameters! {
    "API_MAC" 349 device Kind::YesNo, "no", "reports carry the device's hardware address";
    "API_RESPONSE_TO" 526 device Kind::Seconds { min: 1, max: 120 }, "5",
        "how long a call waits for the application before the device handles it itself; at most 30 is advised";
    "CONTROL_TYPE" 554 device Kind::OneOf(&[0, 1]), "0", "reports come over a connection each (0), or over lasting ones (1)";
    "FT_API_1" 599 line Kind::Bits(LINE_BITS), "0x00", "what the line reports, and whether the application handles its calls";
    "CB_TYPE" 615 device Kind::OneOf(&[0, 1]), "0", "the first call of a callback goes over an IP trunk (0), or an analog one (1)";
    "API_DISPLAY" 624 device Kind::YesNo, "yes", "outside calls show the number given as display, if the operator lets them";
    "CONFIG_CHANGE" 883 device Kind::OneOf(&[0, 2]), "0", "changes through the web interface are reported (2)";
    "API_CALLING" 978 device Kind::YesNo, "no", "a dial rings the caller before the called";
    "FT_ALERT_INFO_X" 986 line Kind::OnOff, "off", "asks the IP telephone on the line to answer by itself";
    "API_CPN" 991 device Kind::YesNo, "no", "the application sets the calling number, if the operator lets it";
    "API_CDR" 1058 device Kind::YesNo, "yes", "call records are sent, whatever the lines report";
    "API_OUTBOUND_TRANSFER" 1070 device Kind::OneOf(&[0, 1]), "0", "two outside parties may be connected (1)",
        since Revision::of(92);
    "API_TIMEOUT" 1088 device Kind::Seconds { min: 0, max: 86_400 }, "0", "how long a signature is accepted, 0 for ever",
        since Revision::of(99);
    "API_PASSWORD" 1089 device Kind::Password, "", "what applications sign their commands with",
        since Revision::of(99);
    "API_METHOD" 1125 device Kind::OneOf(&[0, 1]), "0", "reports come by GET (0), or by POST (1)";
    "API_SERVER_PASSWORD" 1153 device Kind::Password, "", "what the device signs its reports with; empty, it does not",
        since Revision::of(116);
    "API_FLAG" 1198 device Kind::Bits(FLAG_BITS), "0x00", "how calls by command ring, and whether settings survive a restart";
}

/// The parameter with this name or number. Case does not matter.
#[must_use]
pub fn find(name_or_id: &str) -> Option<&'static Parameter> {
    let asked = name_or_id.trim();
    let id = asked.parse().ok();
    ALL.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(asked) || Some(parameter.id) == id)
}

/// Path and query of the URL that reads a parameter (6.2.1). It holds the administrator's password: not to be
/// logged.
///
/// `line` may be the number or the whole `IPPhone 50`, of which the number goes out: the manual says "the
/// line's number", and its lines' numbers differ whatever kind they are of.
///
/// # Errors
/// When a line is named for a parameter that the device has, or none for one that each line has.
pub fn read_path(parameter: &Parameter, line: Option<&str>, password: &str) -> Result<String, BadCommand> {
    let mut path = String::from("/xml?method=gw.config.get");
    if let Some(line) = parameter.line(line)? {
        query(&mut path, "line_id", line);
    }
    let _ = write!(path, "&id={}", parameter.id);
    query(&mut path, "pass", password);
    Ok(path)
}

/// Path and query of the URL that writes a parameter (6.2.2, where `get` is printed for what 4.8 calls `set`). It
/// holds the administrator's password: not to be logged. `line` as for [`read_path`].
///
/// # Errors
/// When the parameter cannot have this value, or as for [`read_path`].
pub fn write_path(
    parameter: &Parameter,
    line: Option<&str>,
    value: &str,
    password: &str,
) -> Result<String, BadCommand> {
    parameter.check(value)?;
    let mut path = String::from("/xml?method=gw.config.set");
    if let Some(line) = parameter.line(line)? {
        query(&mut path, "line_id", line);
    }
    query(&mut path, &format!("id{}", parameter.id), value);
    query(&mut path, "pass", password);
    Ok(path)
}

/// The number of a line, `50` of `IPPhone 50`.
fn line_number(line: &str) -> &str {
    let line = line.trim();
    match line.rsplit_once(' ') {
        Some((_, number)) if number.bytes().all(|b| b.is_ascii_digit()) => number,
        _ => line,
    }
}

fn query(path: &mut String, key: &str, value: &str) {
    path.push('&');
    path.push_str(key);
    path.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
}

/// What the web interface answers (6.2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterReply {
    /// How it went.
    pub stat: Stat,
    /// The value, which may be empty; none after a write, and when the device does not know the parameter.
    pub value: Option<Text>,
    /// The device does not know the parameter: its firmware is too old for it, or the number is wrong.
    pub is_unknown: bool,
}

/// How reading or writing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stat {
    /// Done.
    Ok,
    /// Done, and takes effect after the next restart.
    Restart,
    /// Not done.
    Fail,
}

/// Reads the answer of the web interface: `<rsp stat="ok">` with an `<item id="…" value="…"/>` in it.
///
/// # Errors
/// When the body is not well-formed XML, or holds no `<rsp>` with a `stat` that is known.
pub fn decode_response(body: &[u8]) -> Result<ParameterReply, DecodeError> {
    let roots = tree::read(body)?;
    let Some(rsp) = roots.iter().find_map(|root| find_element(root, "rsp")) else {
        return Err(DecodeError::new(body.len(), "the body holds no <rsp>"));
    };
    let stat = match rsp.attribute("stat").unwrap_or_default() {
        ok if ok.eq_ignore_ascii_case("ok") => Stat::Ok,
        restart if restart.eq_ignore_ascii_case("restart") => Stat::Restart,
        fail if fail.eq_ignore_ascii_case("fail") => Stat::Fail,
        other => return Err(DecodeError::new(body.len(), format!("unknown stat {other:?}"))),
    };
    let item = find_element(rsp, "item");
    let value = item.map(|item| item.raw_attribute("value").map_or_else(|| item.trimmed(), Text::new));
    let is_unknown = value.as_ref().is_some_and(|value| value.trim().eq_ignore_ascii_case("not defined"));
    Ok(ParameterReply { stat, value: value.filter(|_| !is_unknown), is_unknown })
}

/// The element itself, or the first one in it, with this name.
fn find_element<'a>(element: &'a Element, name: &str) -> Option<&'a Element> {
    if element.is(name) {
        return Some(element);
    }
    element.children.iter().find_map(|child| find_element(child, name))
}

impl From<ParameterReply> for Reply {
    fn from(reply: ParameterReply) -> Self {
        match reply.stat {
            Stat::Fail => Self::Failed { code: None, reason: None },
            Stat::Ok | Stat::Restart => {
                Self::Parameter { value: reply.value, after_restart: reply.stat == Stat::Restart }
            }
        }
    }
}
