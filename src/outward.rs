//! The one guard for every URL that a user may set: nobody reaches through this service what only this service may reach
//! (server-side request forgery).
//!
//! Names are resolved here, and the connection is made to the very addresses that were looked at: public ones, and those
//! that the configuration allows (`outward.allow`). A URL is looked at when it is set ([`Outward::check`]) and with every
//! request ([`Outward::post`]), because names change. No redirect is followed, no proxy is asked, and of an answer only
//! a little is read.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use tokio::net::TcpStream;

use crate::config::{AddressRange, OutwardConfig};

/// The longest URL that is taken, in bytes.
const LONGEST_URL: usize = 2048;
/// How long a name may take to be resolved when a URL is set.
const RESOLUTION: Duration = Duration::from_secs(5);
/// Connections to one host that are kept between requests, and for how long.
const IDLE_CONNECTIONS: usize = 8;
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Of an answer's body so much is read, for the connection to be used again.
const ANSWER_BYTES: usize = 16 * 1024;

/// Why a URL may not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no URL that could be used.
    #[error("{0}")]
    Url(&'static str),
    /// It leads to addresses that are not public.
    #[error(
        "{host} is not public ({what}); if the receiver is meant to be there, add its range to \
         outward.allow in the configuration, for example outward.allow = [\"{address}\"]"
    )]
    Address {
        /// As it stands in the URL, with its address if it is a name.
        host: String,
        /// The address.
        address: IpAddr,
        /// What that address is.
        what: &'static str,
    },
    /// Its host is not known.
    #[error("{host} cannot be resolved: {error}")]
    Unknown {
        /// As it stands in the URL.
        host: String,
        /// Why.
        error: String,
    },
}

/// Ranges that are not for everybody. Of IPv6 only what is handed out as global unicast is public at all.
const NOT_PUBLIC: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this host"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a carrier's customers"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "for protocols"),
    ("192.0.2.0/24", "for documentation"),
    ("192.88.99.0/24", "a relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "for benchmarks"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("ff00::/8", "multicast"),
    ("2001::/23", "for protocols"),
    ("2001:db8::/32", "for documentation"),
    ("2002::/16", "an IPv4 address in disguise"),
    ("3fff::/20", "for documentation"),
];

static RANGES: LazyLock<Vec<(AddressRange, &str)>> = LazyLock::new(|| {
    let parsed = NOT_PUBLIC.iter().map(|(range, what)| range.parse().map(|range| (range, *what)));
    // A test reads them all.
    parsed.filter_map(Result::ok).collect()
});

/// What an address is, if it is not public.
fn not_public(address: IpAddr) -> Option<&'static str> {
    if let IpAddr::V6(v6) = address {
        let segments = v6.segments();
        // Networks without IPv4 write an IPv4 address so.
        if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = segments {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            return not_public(IpAddr::from([a, b, c, d]));
        }
        let is_global = segments[0] & 0xe000 == 0x2000;
        let known = RANGES.iter().find(|(range, _)| range.contains(address)).map(|(_, what)| *what);
        // `contains` has looked at what a mapped IPv4 address means.
        return match v6.to_ipv4_mapped() {
            Some(v4) => not_public(IpAddr::V4(v4)),
            None => known.or_else(|| (!is_global).then_some("reserved")),
        };
    }
    RANGES.iter().find(|(range, _)| range.contains(address)).map(|(_, what)| *what)
}

/// Which addresses may be reached, and the names that are being resolved.
struct Guard {
    allow: RwLock<Vec<AddressRange>>,
    /// One question at a time for a name: a name that hangs keeps one thread from its work, not many.
    lookups: Mutex<HashMap<String, Lookup>>,
}

type Lookup = Shared<BoxFuture<'static, Result<Vec<IpAddr>, String>>>;

impl Guard {
    /// Refuses an address that is neither public nor allowed.
    fn admit(&self, host: &str, address: IpAddr) -> Result<(), Refused> {
        let Some(what) = not_public(address) else { return Ok(()) };
        let allow = self.allow.read().unwrap_or_else(PoisonError::into_inner);
        if allow.iter().any(|range| range.contains(address)) {
            return Ok(());
        }
        let address = address.to_canonical();
        let host = match literal(host) {
            Some(_) => host.to_owned(),
            None => format!("{host} ({address})"),
        };
        Err(Refused::Address { host, address, what })
    }

    /// The addresses of a name that may be reached.
    async fn resolve(self: &Arc<Self>, host: &str) -> Result<Vec<IpAddr>, Refused> {
        let all = self.look_up(host).await;
        let unknown = |error| Refused::Unknown { host: host.to_owned(), error };
        let (mut admitted, mut refused) = (Vec::new(), None);
        for address in all.map_err(unknown)? {
            match self.admit(host, address) {
                Ok(()) => admitted.push(address),
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) if admitted.is_empty() => Err(error),
            _ if admitted.is_empty() => Err(unknown("it has no address".to_owned())),
            _ => Ok(admitted),
        }
    }

    fn look_up(self: &Arc<Self>, host: &str) -> Lookup {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = lookups.get(host) {
            return lookup.clone();
        }
        let (guard, name) = (Arc::clone(self), host.to_owned());
        // It goes on when whoever asked has given up, and makes room when it ends.
        let task = tokio::spawn(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            guard.lookups.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            found.map(|all| all.map(|address| address.ip()).collect()).map_err(|error| error.to_string())
        });
        let lookup = async move { task.await.unwrap_or_else(|_| Err("the question was dropped".to_owned())) };
        let lookup = lookup.boxed().shared();
        lookups.insert(host.to_owned(), lookup.clone());
        lookup
    }
}

/// The client's way to addresses.
struct Resolver(Arc<Guard>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = guard.resolve(name.as_str()).await?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// The way out; see the module.
pub struct Outward {
    guard: Arc<Guard>,
    /// The client, or why there is none.
    client: RwLock<Result<Client, String>>,
}

impl fmt::Debug for Outward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outward").finish_non_exhaustive()
    }
}

impl Outward {
    /// A way out to public addresses and to those that the configuration allows.
    #[must_use]
    pub fn new(config: &OutwardConfig) -> Self {
        let guard = Arc::new(Guard { allow: RwLock::new(config.allow.clone()), lookups: Mutex::default() });
        let client = RwLock::new(client(&guard));
        Self { guard, client }
    }

    /// Allows other addresses from now on; connections that are open are not used again.
    pub fn allow(&self, config: &OutwardConfig) {
        let mut allow = self.guard.allow.write().unwrap_or_else(PoisonError::into_inner);
        if *allow != config.allow {
            allow.clone_from(&config.allow);
            drop(allow);
            *self.client.write().unwrap_or_else(PoisonError::into_inner) = client(&self.guard);
        }
    }

    /// Reads a URL and refuses what can never be used; asks for no name.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(&self, text: &str) -> Result<Url, Refused> {
        if text.len() > LONGEST_URL {
            return Err(Refused::Url("a URL has at most 2048 bytes"));
        }
        let no_url = Refused::Url("this is no URL; write it like https://receiver.example/path");
        let url = Url::parse(text).map_err(|_| no_url.clone())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Url("a URL begins with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Url("a URL may not have a user or password; deliveries are signed instead"));
        }
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else { return Err(no_url) };
        if let Some(address) = literal(host) {
            self.guard.admit(host, address)?;
        }
        Ok(url)
    }

    /// Reads a URL, and resolves its host to see whether it may be used.
    ///
    /// # Errors
    /// Says what is wrong with it, and how it could be allowed.
    pub async fn check(&self, text: &str) -> Result<Url, Refused> {
        let url = self.parse(text)?;
        if let Some(host) = url.host_str().filter(|host| literal(host).is_none()) {
            let late = |_| Refused::Unknown { host: host.to_owned(), error: "no answer in time".to_owned() };
            tokio::time::timeout(RESOLUTION, self.guard.resolve(host)).await.map_err(late)??;
        }
        Ok(url)
    }

    /// May this address, which a URL's host had a while ago, still be reached?
    ///
    /// # Errors
    /// Says what it is.
    pub fn admit(&self, host: &str, address: IpAddr) -> Result<(), Refused> {
        self.guard.admit(host, address)
    }

    /// A bare connection to a URL's host, for what no HTTP client sends. Whoever asks sets the time.
    ///
    /// # Errors
    /// When the URL may not be used (any more), or nobody answers.
    pub async fn connect(&self, url: &Url) -> Result<TcpStream, Failed> {
        let no_url = || Failed("this URL has no host to connect to".to_owned());
        let host = url.host_str().ok_or_else(no_url)?;
        let port = url.port_or_known_default().ok_or_else(no_url)?;
        let addresses = match literal(host) {
            Some(address) => {
                self.guard.admit(host, address)?;
                vec![address]
            }
            None => self.guard.resolve(host).await?,
        };
        let mut failed = no_url();
        for address in addresses {
            match TcpStream::connect((address, port)).await {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(|error| Failed(error.to_string()))?;
                    return Ok(stream);
                }
                Err(error) => failed = Failed(error.to_string()),
            }
        }
        Err(failed)
    }

    /// Does this URL lead to this address now?
    pub async fn leads_to(&self, url: &str, address: IpAddr) -> bool {
        let Ok(url) = self.parse(url) else { return false };
        let host = url.host_str().unwrap_or_default();
        match literal(host) {
            Some(of) => of.to_canonical() == address,
            None => {
                let found = tokio::time::timeout(RESOLUTION, self.guard.resolve(host)).await;
                found.is_ok_and(|found| {
                    found.is_ok_and(|all| all.iter().any(|of| of.to_canonical() == address))
                })
            }
        }
    }

    /// A request to this URL, which ends at the latest after this time.
    ///
    /// # Errors
    /// When the URL may not be used (any more).
    pub fn post(&self, url: &str, timeout: Duration) -> Result<RequestBuilder, Failed> {
        let url = self.parse(url)?;
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner);
        let client = client.as_ref().map_err(|error| Failed(error.clone()))?;
        Ok(client.post(url).timeout(timeout))
    }

    /// What is at this URL, up to so many bytes, within this time.
    ///
    /// # Errors
    /// When the URL may not be used (any more), nobody answers with 200, or it is longer.
    pub async fn get(&self, url: &str, most: usize, timeout: Duration) -> Result<Vec<u8>, Failed> {
        let url = self.parse(url)?;
        let client = {
            let client = self.client.read().unwrap_or_else(PoisonError::into_inner);
            client.as_ref().map_err(|error| Failed(error.clone()))?.clone()
        };
        let mut answer = client.get(url).timeout(timeout).send().await?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(Failed(format!("it was answered with {}", answer.status().as_u16())));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if bytes.len() + chunk.len() > most {
                return Err(Failed(format!("it is longer than {most} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// Why a request was not answered, without the URL: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self(refused.to_string())
    }
}

impl From<reqwest::Error> for Failed {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self("no whole answer in time".to_owned());
        }
        let error = error.without_url();
        // The outer errors say that something failed, the innermost one what.
        let mut innermost: &dyn std::error::Error = &error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        Self(innermost.to_string())
    }
}

/// Reads an answer to its end if it is short, so that its connection can be used again; else the connection is closed.
///
/// # Errors
/// When it breaks off.
pub async fn finish(mut answer: Response) -> Result<(), Failed> {
    let mut read = 0;
    while let Some(chunk) = answer.chunk().await? {
        read += chunk.len();
        if read > ANSWER_BYTES {
            break;
        }
    }
    Ok(())
}

/// The address that a URL's host is, if it is no name.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

fn client(guard: &Arc<Guard>) -> Result<Client, String> {
    crate::link::tls::install_provider();
    Client::builder()
        .user_agent(concat!("Switchroom/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(Resolver(Arc::clone(guard))))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_TIME)
        .tcp_nodelay(true)
        .build()
        .map_err(|error| Failed::from(error).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outward(allow: &[&str]) -> Outward {
        let allow = allow.iter().map(|range| range.parse().expect("a range")).collect();
        Outward::new(&OutwardConfig { allow })
    }

    #[test]
    fn all_ranges_are_read() {
        assert_eq!(RANGES.len(), NOT_PUBLIC.len());
    }

    #[test]
    fn only_public_addresses_are_reached() {
        let none = outward(&[]);
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://2130706433/",
            "http://0/",
            "http://0.0.0.0/",
            "http://10.0.0.1/",
            "http://172.16.0.1/",
            "http://172.31.255.255/",
            "http://192.168.1.1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://100.64.0.1/",
            "http://100.127.255.255/",
            "http://192.0.0.1/",
            "http://192.0.2.1/",
            "http://192.88.99.1/",
            "http://198.18.0.1/",
            "http://198.51.100.1/",
            "http://203.0.113.1/",
            "http://224.0.0.1/",
            "http://240.0.0.1/",
            "http://255.255.255.255/",
            "http://[::]/",
            "http://[::1]/",
            "http://[::127.0.0.1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:0:127.0.0.1]/",
            "http://[64:ff9b::127.0.0.1]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[64:ff9b:1::1]/",
            "http://[100::1]/",
            "http://[2001::1]/",
            "http://[2001:2::1]/",
            "http://[2001:db8::1]/",
            "http://[2002:7f00:1::]/",
            "http://[3fff::1]/",
            "http://[5f00::1]/",
            "http://[fc00::1]/",
            "http://[fd00:ec2::254]/",
            "http://[fe80::1]/",
            "http://[fec0::1]/",
            "http://[ff02::1]/",
            "http://１２７.0.0.1/",
        ] {
            let refused = none.parse(url).expect_err(url);
            assert!(refused.to_string().contains("outward.allow"), "{url}: {refused}");
        }
        for url in [
            "http://1.1.1.1/",
            "https://172.32.0.1/hook?x=1",
            "http://100.128.0.1/",
            "http://192.0.1.1/",
            "http://[2606:4700::1111]/",
            "http://[64:ff9b::1.1.1.1]/",
            "http://[::ffff:1.1.1.1]:8080/",
        ] {
            none.parse(url).expect(url);
        }
    }

    #[test]
    fn what_is_no_url_for_a_receiver_is_refused() {
        let all = outward(&["0.0.0.0/0", "::/0"]);
        let long = format!("http://127.0.0.1/{}", "x".repeat(LONGEST_URL));
        for url in [
            "",
            "127.0.0.1",
            "/hook",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "gopher://127.0.0.1/",
            "unix:/run/x",
            "http://",
            "http://user@127.0.0.1/",
            "http://:secret@127.0.0.1/",
            "http://127.0.0.1:99999/",
            "http://[fe80::1%25eth0]/",
            &long,
        ] {
            assert!(matches!(all.parse(url), Err(Refused::Url(_))), "{url}");
        }
    }

    #[test]
    fn the_configuration_allows_more() {
        let some = outward(&["127.0.0.0/8", "fd00::/8"]);
        for url in ["http://127.0.0.1:9/", "http://[::ffff:127.0.0.1]/", "http://[fd00::1]/"] {
            some.parse(url).expect(url);
        }
        assert!(some.parse("http://10.0.0.1/").is_err());
        assert!(some.parse("http://[::1]/").is_err());
        some.allow(&OutwardConfig::default());
        assert!(some.parse("http://127.0.0.1:9/").is_err());
    }

    #[tokio::test]
    async fn names_are_held_to_their_addresses() {
        let refused = outward(&[]).check("http://localhost:1/").await.expect_err("it is loopback");
        assert!(matches!(refused, Refused::Address { .. }), "{refused}");
        outward(&["127.0.0.0/8", "::1"]).check("http://localhost:1/").await.expect("it is allowed");
        let unknown = outward(&[]).check("http://no-such-host.invalid/").await.expect_err("there is none");
        assert!(matches!(unknown, Refused::Unknown { .. }), "{unknown}");
    }

    /// The client itself resolves by the guard: what a name means at the time of the request counts.
    #[tokio::test]
    async fn a_request_is_held_to_the_addresses_that_were_looked_at() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://localhost:{}/", listener.local_addr().expect("an address").port());
        listener.set_nonblocking(true).expect("it can be set");
        let request = outward(&[]).post(&url, Duration::from_secs(5)).expect("a name may be meant");
        let error = Failed::from(request.send().await.expect_err("it is loopback"));
        assert!(error.0.contains("outward.allow"), "{error}");
        let bare = outward(&[]).connect(&url.parse().expect("a URL")).await.expect_err("it is loopback");
        assert!(bare.0.contains("outward.allow"), "{bare}");
        assert!(listener.accept().is_err(), "nobody came");
        let allowed = outward(&["127.0.0.0/8"]);
        allowed.connect(&url.parse().expect("a URL")).await.expect("it is allowed");
        listener.accept().expect("somebody came");
    }
}
