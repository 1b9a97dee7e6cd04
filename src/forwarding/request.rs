//! The URL by which the vendor's forwarding is set up: `/Auth?method=gw.config.set&api_server_addr=…&cdr=1&…&pass=…`
//! (chapter 3.11 of the vendor's manual). Pure.
//!
//! Each request is the whole setting: what is absent has its default. Its example has `&&`, so empty pieces are passed
//! over; what is no parameter is refused by name, because a misspelt one would be a record less.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The key for a satisfaction survey, unless said otherwise.
pub const VOICE_KEY: &str = "*88";
/// For so many days files are kept, unless said otherwise; and the most.
pub const DAYS: u32 = 30;
const MOST_DAYS: u32 = 365;
/// Minutes of one file, the default last.
const SPANS: [u32; 4] = [10, 20, 30, 60];
/// The longest parameter, in bytes.
const LONGEST: usize = 1024;
/// The longest survey key.
const LONGEST_KEY: usize = 16;

/// What is to be forwarded or kept, by the vendor's own names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Wanted {
    /// The application server, `host:port`; none: only kept.
    #[schema(example = "192.168.130.119:8888")]
    pub api_server_addr: Option<String>,
    /// The path there.
    #[schema(example = "api/call.html")]
    pub url: String,
    /// Call records are forwarded.
    pub cdr: bool,
    /// Reports that an extension is there.
    pub online: bool,
    /// Reports that an extension is gone.
    pub offline: bool,
    /// All reports.
    pub all: bool,
    /// A record counts as taken only when `success` came back within 3 s.
    pub wait: bool,
    /// The key for a satisfaction survey, as it was given; only a device itself uses it.
    #[schema(example = "*88")]
    pub voicekey: String,
    /// Records are kept in files and not forwarded.
    pub savecall: bool,
    /// For so many days files are kept.
    #[schema(example = 30)]
    pub callday: u32,
    /// So many minutes go into a file of `savecall`: 10, 20, 30 or 60.
    #[schema(example = 60)]
    pub filemin: u32,
}

impl Wanted {
    /// Where reports are forwarded to; none: nowhere.
    #[must_use]
    pub fn target(&self) -> Option<String> {
        let address = self.api_server_addr.as_ref()?;
        Some(format!("http://{address}/{}", self.url.trim_start_matches('/')))
    }
}

/// A request, understood. It holds a password, and is not to be printed.
pub struct Request {
    /// The password that it brings.
    pub pass: String,
    /// What is wanted; none: nothing any more.
    pub wanted: Option<Wanted>,
}

/// The pieces of a query, decoded, without empty ones.
fn pieces(query: &str) -> Vec<(String, String)> {
    // Only its query is looked at.
    let Ok(mut url) = reqwest::Url::parse("http://host/") else { return Vec::new() };
    url.set_query(Some(query));
    let pairs = url.query_pairs().filter(|(name, value)| !name.is_empty() || !value.is_empty());
    pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// The password of a query that is about files.
#[must_use]
pub fn pass_of(query: &str) -> Option<String> {
    pieces(query).into_iter().find(|(name, _)| name == "pass").map(|(_, value)| value)
}

/// A parameter of a query beside those that are known.
#[must_use]
pub fn beside(query: &str, known: &[&str]) -> Option<String> {
    pieces(query).into_iter().map(|(name, _)| name).find(|name| !known.contains(&name.as_str()))
}

/// Reads a request. The password is looked for first, so that who has none learns nothing of the rest.
///
/// # Errors
/// Says what is wrong with it, and how to mend it.
pub fn read(query: &str) -> Result<Request, String> {
    let mut given: Vec<(String, String)> = Vec::new();
    for (name, value) in pieces(query) {
        if value.len() > LONGEST {
            return Err(format!("{name:.20} is longer than {LONGEST} bytes"));
        }
        if given.iter().any(|(known, _)| *known == name) {
            return Err(format!("{name:.20} is given twice"));
        }
        given.push((name, value));
    }
    let mut take = |name: &str| {
        let at = given.iter().position(|(known, _)| known == name)?;
        Some(given.swap_remove(at).1)
    };
    match take("method").as_deref() {
        Some("gw.config.set") => {}
        _ => return Err("only method=gw.config.set is known here".to_owned()),
    }
    let Some(pass) = take("pass") else { return Err("pass is missing: the password".to_owned()) };
    let switch = |name: &str, text: Option<String>| match text.as_deref() {
        None => Ok(None),
        Some("1") => Ok(Some(true)),
        Some("0") => Ok(Some(false)),
        Some(_) => Err(format!("{name} is 1 or 0")),
    };
    let api_server_addr = take("api_server_addr").filter(|address| !address.is_empty());
    let url = take("url").unwrap_or_default();
    let cdr = switch("cdr", take("cdr"))?.unwrap_or(false);
    let online = switch("online", take("online"))?.unwrap_or(false);
    let offline = switch("offline", take("offline"))?.unwrap_or(false);
    // As the vendor has it: if nothing else is wanted, everything is.
    let all = switch("all", take("all"))?.unwrap_or(!(cdr || online || offline));
    let wait = switch("wait", take("wait"))?.unwrap_or(false);
    let savecall = switch("savecall", take("savecall"))?.unwrap_or(false);
    let voicekey = take("voicekey").unwrap_or_else(|| VOICE_KEY.to_owned());
    if voicekey.len() > LONGEST_KEY
        || !voicekey.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'))
    {
        return Err(format!("voicekey has up to {LONGEST_KEY} of 0 to 9, * and # (write # as %23)"));
    }
    let number = |name: &str, text: Option<String>, usually: u32| {
        text.map_or(Ok(usually), |text| text.parse::<u32>().map_err(|_| format!("{name} is a number")))
    };
    let callday = number("callday", take("callday"), DAYS)?;
    if !(1..=MOST_DAYS).contains(&callday) {
        return Err(format!("callday is 1 to {MOST_DAYS} days"));
    }
    let filemin = number("filemin", take("filemin"), 60)?;
    if !SPANS.contains(&filemin) {
        return Err("filemin is 10, 20, 30 or 60 minutes".to_owned());
    }
    if let Some((name, _)) = given.first() {
        return Err(format!("{name:.40?} is no parameter; see docs/cdr-forwarding.md"));
    }
    let wanted = match (&api_server_addr, savecall) {
        (Some(_), true) => {
            return Err(
                "savecall=1 keeps records without forwarding them; leave out api_server_addr or savecall"
                    .into(),
            );
        }
        (Some(_), false) if !(cdr || online || offline || all) => {
            return Err("nothing is to be forwarded; set cdr, online, offline or all to 1".to_owned());
        }
        (Some(address), false) => {
            check_address(address)?;
            true
        }
        (None, true) => true,
        (None, false) if cdr || online || offline || wait || !url.is_empty() => {
            return Err(
                "api_server_addr is missing: the application server, as ip:port or name:port".to_owned()
            );
        }
        (None, false) => false,
    };
    let wanted = wanted.then_some(Wanted {
        api_server_addr,
        url,
        cdr,
        online,
        offline,
        all: all && !savecall,
        wait,
        voicekey,
        savecall,
        callday,
        filemin,
    });
    Ok(Request { pass, wanted })
}

/// A host with its port, and nothing that would make another URL of it.
fn check_address(address: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if !address.bytes().all(fits) {
        return Err("api_server_addr is ip:port or name:port, without http:// and without a path".to_owned());
    }
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
    let has_port = address.rsplit_once(':').is_some_and(|(host, port)| {
        // The colons of an IPv6 address stand in brackets.
        let is_host =
            !host.is_empty() && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
        is_host && is_port(port)
    });
    if !has_port {
        return Err(
            "api_server_addr has no port; it is ip:port or name:port, for example 192.168.130.119:8888"
                .to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted(query: &str) -> Option<Wanted> {
        let query = format!("method=gw.config.set&{query}&pass=admin");
        let request = read(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(request.pass, "admin");
        request.wanted
    }

    /// The example of the manual, with its doubled ampersand.
    #[test]
    fn the_manuals_example_is_read() {
        let wanted =
            wanted("api_server_addr=192.168.130.119:8888&&url=api/call.html&cdr=1&online=1&offline=1")
                .expect("it forwards");
        let expected = Wanted {
            api_server_addr: Some("192.168.130.119:8888".into()),
            url: "api/call.html".into(),
            cdr: true,
            online: true,
            offline: true,
            all: false,
            wait: false,
            voicekey: "*88".into(),
            savecall: false,
            callday: 30,
            filemin: 60,
        };
        assert_eq!(wanted, expected);
        assert_eq!(wanted.target().as_deref(), Some("http://192.168.130.119:8888/api/call.html"));
    }

    #[test]
    fn what_is_absent_has_its_default() {
        assert!(
            wanted("api_server_addr=a:1").is_some_and(|wanted| wanted.all && !wanted.cdr),
            "all, if nothing else"
        );
        assert!(wanted("api_server_addr=a:1&cdr=1").is_some_and(|wanted| wanted.cdr && !wanted.all));
        assert!(wanted("api_server_addr=a:1&cdr=1&all=1").is_some_and(|wanted| wanted.all));
        let kept = wanted("savecall=1&callday=365&filemin=10&voicekey=%2377").expect("it keeps");
        assert_eq!(
            (kept.callday, kept.filemin, kept.voicekey.as_str(), kept.target()),
            (365, 10, "#77", None)
        );
        assert_eq!(wanted("callday=3"), None, "switched off");
        let v6 = wanted("api_server_addr=[::1]:80").and_then(|wanted| wanted.target());
        assert_eq!(v6.as_deref(), Some("http://[::1]:80/"));
        assert_eq!(
            wanted("url=/x&api_server_addr=h:80").and_then(|w| w.target()).as_deref(),
            Some("http://h:80/x")
        );
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        for (query, word) in [
            ("", "method"),
            ("method=gw.config.get&pass=a", "method"),
            ("method=gw.config.set", "pass"),
            ("method=gw.config.set&pass=a&cdr=2", "cdr"),
            ("method=gw.config.set&pass=a&cdr=1", "api_server_addr"),
            ("method=gw.config.set&pass=a&cdr=1&cdr=1", "twice"),
            ("method=gw.config.set&pass=a&savecall=1&api_server_addr=a:1", "savecall"),
            ("method=gw.config.set&pass=a&api_server_addr=a:1&all=0", "nothing"),
            ("method=gw.config.set&pass=a&api_server_addr=http://a/", "api_server_addr"),
            ("method=gw.config.set&pass=a&api_server_addr=a:1%40b", "api_server_addr"),
            ("method=gw.config.set&pass=a&api_server_addr=127.0.0.1", "no port"),
            ("method=gw.config.set&pass=a&api_server_addr=[::1]", "no port"),
            ("method=gw.config.set&pass=a&api_server_addr=a:0", "no port"),
            ("method=gw.config.set&pass=a&api_server_addr=:80", "no port"),
            ("method=gw.config.set&pass=a&savecall=1&callday=0", "callday"),
            ("method=gw.config.set&pass=a&savecall=1&callday=366", "callday"),
            ("method=gw.config.set&pass=a&savecall=1&callday=-1", "callday"),
            ("method=gw.config.set&pass=a&savecall=1&filemin=15", "filemin"),
            ("method=gw.config.set&pass=a&savecall=1&voicekey=abc", "voicekey"),
            ("method=gw.config.set&pass=a&savecal=1", "savecal"),
        ] {
            let error = read(query).err().unwrap_or_default();
            assert!(error.contains(word), "{query}: {error}");
        }
        let long = format!("method=gw.config.set&pass={}", "x".repeat(LONGEST + 1));
        assert!(read(&long).is_err_and(|error| !error.contains("xxx")), "no password in an error");
    }

    proptest! {
        #[test]
        fn any_query_is_answered(query in "(method=gw.config.set|pass=x|&|cdr=1|savecall=1|[ -~\u{4e00}]{0,6}){0,9}") {
            if let Ok(Request { wanted: Some(wanted), .. }) = read(&query) {
                prop_assert!(wanted.savecall != wanted.api_server_addr.is_some());
            }
        }
    }
}
