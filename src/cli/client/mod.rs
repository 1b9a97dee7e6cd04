//! The client: asks a running server over its REST API. One file a command; what they share is here.

mod act;
pub(super) mod calls;
pub(super) mod cdrs;
pub(super) mod devices;
pub(super) mod dial;
pub(super) mod events;
pub(super) mod extensions;
mod follow;
pub(super) mod hangup;
pub(super) mod queues;
pub(super) mod send;
mod sse;

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode, Url};
use serde_json::Value;

use super::output;
use super::table::Table;

/// The largest page that the server gives.
const PAGE: usize = 1000;
/// How long a connection, and one answer, may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Options that every client command has.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// Where the server is.
    #[arg(long, env = "SWITCHROOM_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL",
        value_parser = server_url)]
    server: Url,
    /// The token to ask with.
    #[arg(long, env = "SWITCHROOM_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// JSON for a program, in place of a table.
    #[arg(long)]
    json: bool,
}

/// Reads the server's address; `http://` may be left out.
fn server_url(text: &str) -> Result<Url, String> {
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let wrong = || format!("{text:?} is no address of a server: write it like http://127.0.0.1:8080");
    let url: Url = full.parse().map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong());
    }
    Ok(url)
}

/// Reads how many items are wanted; for clap.
fn limit(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| "give a number from 1 up".to_owned())
}

/// Query parameters by name; those without a value are left out.
type Query<'a> = [(&'a str, Option<&'a str>)];

/// A connection to the server.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    server: Url,
}

impl Client {
    fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        // Fails only when a provider is installed already, which will do as well.
        crate::link::tls::install_provider();
        let mut headers = HeaderMap::new();
        if let Some(token) = args.token.as_deref().map(str::trim).filter(|token| !token.is_empty()) {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .context("the token has characters in it that no token has; copy it again")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("switchroom/", env!("CARGO_PKG_VERSION")));
        if is_local(&args.server) {
            builder = builder.no_proxy();
        }
        Ok(Self { http: builder.build()?, server: args.server.clone() })
    }

    /// The address of a resource: path segments are escaped.
    fn url(&self, path: &[&str], query: &Query<'_>) -> anyhow::Result<Url> {
        let mut url = self.server.clone();
        {
            let mut segments =
                url.path_segments_mut().map_err(|()| anyhow::anyhow!("{} has no paths", self.server))?;
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let given: Vec<_> = query.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
        if !given.is_empty() {
            url.query_pairs_mut().extend_pairs(given);
        }
        Ok(url)
    }

    async fn get(&self, path: &[&str], query: &Query<'_>) -> anyhow::Result<Value> {
        let request = self.http.get(self.url(path, query)?).header(ACCEPT, "application/json");
        let response =
            request.timeout(ANSWER_WITHIN).send().await.map_err(|error| self.unreachable(error))?;
        let response = refused(response).await?;
        response.json().await.with_context(|| format!("{} does not answer as a Switchroom does", self.server))
    }

    /// The items of a list, page after page, up to a limit.
    async fn list(&self, path: &[&str], query: &Query<'_>, limit: usize) -> anyhow::Result<Vec<Value>> {
        let mut items: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        while items.len() < limit {
            let page_size = (limit - items.len()).min(PAGE).to_string();
            let mut query = query.to_vec();
            query.push(("limit", Some(&page_size)));
            if let Some(cursor) = &cursor {
                query.retain(|(name, _)| *name != "cursor");
                query.push(("cursor", Some(cursor)));
            }
            let mut page = self.get(path, &query).await?;
            match page.get_mut("items").map(Value::take) {
                Some(Value::Array(more)) => items.extend(more),
                _ => bail!("{} does not answer as a Switchroom does: no items in a list", self.server),
            }
            cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        items.truncate(limit);
        Ok(items)
    }

    /// No answer came: what to do about it.
    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        let server = &self.server;
        if error.is_connect() {
            return anyhow::anyhow!(
                "no server answers at {server}: start one with `switchroom serve` or `switchroom demo`, or say \
                 where it is with --server"
            );
        }
        if error.is_timeout() {
            return anyhow::anyhow!("{server} did not answer in time: try again, or look at its /readyz");
        }
        anyhow::Error::new(error.without_url()).context(format!("asking {server} failed"))
    }
}

fn is_local(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

/// An answer that is not a success becomes an error that says what to do.
async fn refused(response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let problem: Value = response.json().await.unwrap_or_default();
    let detail = text(&problem, "detail");
    if status == StatusCode::UNAUTHORIZED {
        bail!(
            "the server wants a good token: give it with --token or SWITCHROOM_TOKEN; `switchroom token create \
             --name me --role viewer` on the server makes one"
        );
    }
    let reason = status.canonical_reason().unwrap_or("refused");
    let said = if detail.is_empty() { "it gave no reason".to_owned() } else { detail };
    bail!("the server said {} {reason}: {said}", status.as_u16())
}

/// Runs a client command.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Prints a list: as one JSON document, or as a table.
fn print(
    json: bool,
    items: &[Value],
    table: impl FnOnce(&[Value]) -> Table,
    empty: &str,
) -> anyhow::Result<()> {
    if json {
        return output::say(&serde_json::to_string_pretty(items)?);
    }
    output::say(&table(items).render(empty))
}

/// A field as text; empty when it is absent or null.
fn text(item: &Value, field: &str) -> String {
    match item.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A time of the API as a person's: local, to the second.
fn local_time(item: &Value, field: &str) -> String {
    let Some(time) = item.get(field).and_then(Value::as_str) else { return String::new() };
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => time.to_owned(),
    }
}

/// How long ago a time of the API is.
fn age(item: &Value, field: &str) -> String {
    let time = item.get(field).and_then(Value::as_str).and_then(|time| time.parse::<jiff::Timestamp>().ok());
    let seconds = time.map(|time| jiff::Timestamp::now().as_second() - time.as_second());
    seconds.map(super::duration::clock).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str) -> Client {
        let args = ServerArgs { server: server_url(server).expect("an address"), token: None, json: false };
        Client::new(&args).expect("a client")
    }

    #[test]
    fn addresses_are_put_together_with_their_parts_escaped() {
        let url = client("127.0.0.1:8080").url(&["devices", "a/b", "extensions"], &[]).expect("an address");
        assert_eq!(url.as_str(), "http://127.0.0.1:8080/api/v1/devices/a%2Fb/extensions");
        let query = [("device", Some("a&b")), ("kind", None), ("limit", Some("5"))];
        let url = client("https://host/base/").url(&["events"], &query).expect("an address");
        assert_eq!(url.as_str(), "https://host/base/api/v1/events?device=a%26b&limit=5");
    }

    #[test]
    fn an_address_without_a_host_or_of_another_scheme_is_refused() {
        assert!(
            server_url("ftp://host").is_err() && server_url("http://").is_err() && server_url("").is_err()
        );
    }

    #[test]
    fn a_proxy_is_not_asked_for_this_machine() {
        for (server, local) in
            [("http://localhost:1", true), ("http://[::1]:1", true), ("http://10.0.0.1", false)]
        {
            assert_eq!(is_local(&server_url(server).expect("an address")), local, "{server}");
        }
    }
}
