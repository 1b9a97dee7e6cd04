//! What acts on a device: posts a command, waits for its end, and shows what became of it.

use std::time::{Duration, Instant};

use anyhow::bail;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Client, ServerArgs, refused, text};
use crate::cli::output;
use crate::cli::table::Table;

/// How long one request asks the server to wait for a command's end; less than an answer may take.
const WAIT_HEADER: &str = "wait=20";
/// How long a command's end is waited for: its turn, the exchange, and finding out what became of it.
const END_WITHIN: Duration = Duration::from_secs(90);
/// How long the call that a command makes is waited for; reports tell it.
const CALL_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Client {
    /// Sends a command, and gives it as it is once it has settled. A connection that breaks is tried once more, under the
    /// same `Idempotency-Key`: nothing is done twice.
    pub(super) async fn act(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let url = self.url(path, &[])?;
        let key = uuid::Uuid::now_v7().to_string();
        let send = async || {
            let request = self.http.request(method.clone(), url.clone()).timeout(super::ANSWER_WITHIN);
            let request = request.header("Idempotency-Key", &key).header("Prefer", WAIT_HEADER);
            let request = match body {
                Some(body) => request.json(body),
                None => request,
            };
            request.send().await
        };
        let response = match send().await {
            Err(error) if !error.is_connect() => send().await,
            first => first,
        };
        let response = refused(response.map_err(|error| self.unreachable(error))?).await?;
        self.settled(self.body(response).await?).await
    }

    /// Waits for a command's end.
    async fn settled(&self, mut command: Value) -> anyhow::Result<Value> {
        let until = Instant::now() + END_WITHIN;
        while matches!(text(&command, "state").as_str(), "accepted" | "sent") && Instant::now() < until {
            let id = text(&command, "id");
            let request = self.http.get(self.url(&["commands", &id], &[])?).header("Prefer", WAIT_HEADER);
            let response = request.timeout(super::ANSWER_WITHIN).send().await;
            let response = refused(response.map_err(|error| self.unreachable(error))?).await?;
            command = self.body(response).await?;
        }
        Ok(command)
    }

    /// Waits a moment for the call that a command made to be known.
    pub(super) async fn with_call(&self, command: Value) -> anyhow::Result<Value> {
        let (id, until) = (text(&command, "id"), Instant::now() + CALL_WITHIN);
        let mut now = command;
        while text(&now, "state") == "succeeded" && text(&now, "call").is_empty() && Instant::now() < until {
            tokio::time::sleep(LOOK_AGAIN).await;
            now = self.get(&["commands", &id], &[]).await?;
        }
        Ok(now)
    }

    async fn body(&self, response: reqwest::Response) -> anyhow::Result<Value> {
        let answer = response.json().await;
        answer.map_err(|_| anyhow::anyhow!("{} does not answer as a Switchroom does", self.server))
    }

    /// The device that is meant: the one that is named, or the only one that takes commands and has this extension. Says
    /// on stderr which it took.
    pub(super) async fn device_for(
        &self,
        named: Option<&str>,
        extension: Option<&str>,
    ) -> anyhow::Result<String> {
        if let Some(named) = named {
            return Ok(named.to_owned());
        }
        let devices = self.list(&["devices"], &[], usize::MAX).await?;
        let takes_commands = |device: &&Value| {
            text(device, "dialect") == "om"
                && !text(device, "address").is_empty()
                && text(device, "state") != "unadopted"
        };
        let mut fit: Vec<String> =
            devices.iter().filter(takes_commands).map(|device| text(device, "id")).collect();
        let mut why = "takes commands";
        if let (Some(extension), true) = (extension, fit.len() > 1) {
            let mut have = Vec::new();
            for device in &fit {
                if self.has_reported(device, extension).await? {
                    have.push(device.clone());
                }
            }
            if have.len() == 1 {
                fit = have;
                why = "has that extension";
            }
        }
        match fit.as_slice() {
            [one] => {
                eprintln_quietly(&format!("on {one}, the only device that {why}"));
                Ok(one.clone())
            }
            [] => bail!("no device takes commands: give an OM its `address`, then try again"),
            [..] => {
                let shown = fit.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if fit.len() > 5 { " …" } else { "" };
                bail!("{} devices take commands ({shown}{more}): say which with --device", fit.len())
            }
        }
    }

    /// Whether reports have named this extension.
    async fn has_reported(&self, device: &str, extension: &str) -> anyhow::Result<bool> {
        let url = self.url(&["devices", device, "extensions", extension], &[])?;
        let response = self.http.get(url).timeout(super::ANSWER_WITHIN).send().await;
        let response = response.map_err(|error| self.unreachable(error))?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        refused(response).await.map(|_| true)
    }

    /// Whether the device has this extension: by its reports, or else because it says so itself.
    pub(super) async fn has_extension(&self, device: &str, number: &str) -> anyhow::Result<bool> {
        if self.has_reported(device, number).await? {
            return Ok(true);
        }
        let question = json!({"command": "query", "target": {"extension": number}});
        let unclear = || {
            anyhow::anyhow!(
                "whether {number} is an extension of {device} cannot be found out: write ext:{number}, or out:{number} for \
                 an outside number"
            )
        };
        let asked = self.act(Method::POST, &["devices", device, "commands"], Some(&question)).await;
        let asked = asked.map_err(|error| error.context(unclear()))?;
        match (text(&asked, "state").as_str(), asked["error"]["code"].as_u64()) {
            ("succeeded", _) => Ok(true),
            // There is no such extension.
            ("failed", Some(7)) => Ok(false),
            _ => Err(unclear()),
        }
    }
}

/// A remark for a person beside what the command prints; nobody is left to tell when stderr is gone.
fn eprintln_quietly(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints what became of a command; an error unless it was done.
pub(super) fn show(args: &ServerArgs, command: &Value) -> anyhow::Result<()> {
    if args.json {
        output::say(&serde_json::to_string_pretty(command)?)?;
    }
    if text(command, "state") != "succeeded" {
        bail!(why_not(command));
    }
    if args.json {
        return Ok(());
    }
    output::say(&table(command).render(""))?;
    match command["reply"]["kind"].as_str() {
        Some("status" | "device") => output::say(&serde_json::to_string_pretty(&command["reply"])?),
        _ => Ok(()),
    }
}

/// Why a command was not done, and what to do.
fn why_not(command: &Value) -> String {
    let (name, device, id) = (text(command, "command"), text(command, "device"), text(command, "id"));
    let reason = command["error"]["reason"].as_str().unwrap_or("no reason is known");
    match text(command, "state").as_str() {
        "failed" => format!("{name} was not done on {device}: {reason}"),
        "unknown" => format!(
            "whether {name} was done on {device} is not known: {reason}; look at its calls before you try again"
        ),
        _ => format!(
            "{name} has not ended on {device} yet: ask for it at /api/v1/commands/{id}, and do not send it again"
        ),
    }
}

fn table(command: &Value) -> Table {
    let mut table = Table::new(&["command", "device", "state", "call", "reply", "id"]);
    table.row([
        text(command, "command"),
        text(command, "device"),
        text(command, "state"),
        text(command, "call"),
        told(&command["reply"]),
        text(command, "id"),
    ]);
    table
}

/// A reply in a few words.
fn told(reply: &Value) -> String {
    match reply["kind"].as_str() {
        Some("begun") => {
            let parties = reply["parties"].as_array().map(Vec::as_slice).unwrap_or_default();
            let named = |party: &Value| {
                let known = ["id", "to"].iter().map(|field| text(party, field)).find(|text| !text.is_empty());
                format!("{} {}", text(party, "kind"), known.unwrap_or_default()).trim().to_owned()
            };
            let mut words: Vec<String> = parties.iter().map(named).collect();
            if reply["waiting"] == true {
                words.push("waits".to_owned());
            }
            words.join(", ")
        }
        Some("parameter") if reply["after_restart"] == true => "after the next restart".to_owned(),
        Some("parameter") => text(reply, "value"),
        Some(kind) => kind.to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_line_with_its_reply_in_a_few_words() {
        let begun = json!({"kind": "begun", "waiting": true,
            "parties": [{"kind": "visitor", "id": "14"}, {"kind": "outer", "to": "130"}, {"kind": "extension"}]});
        assert_eq!(told(&begun), "visitor 14, outer 130, extension, waits");
        assert_eq!(told(&json!({"kind": "parameter", "value": "yes"})), "yes");
        let restart = json!({"kind": "parameter", "value": null, "after_restart": true});
        assert_eq!((told(&restart).as_str(), told(&Value::Null).as_str()), ("after the next restart", ""));
        let command = json!({"id": "c", "device": "a", "command": "hold", "state": "succeeded", "call": null,
            "reply": {"kind": "done"}});
        assert!(table(&command).render("").ends_with("hold     a       succeeded        done   c"));
    }

    #[test]
    fn what_was_not_done_says_why_and_what_to_do() {
        let command = |state: &str, reason: Value| json!({"id": "c", "device": "a", "command": "connect", "state": state, "error": reason});
        let busy = why_not(&command("failed", json!({"code": 6, "reason": "the device refused: busy"})));
        assert_eq!(busy, "connect was not done on a: the device refused: busy");
        assert!(why_not(&command("unknown", json!({"reason": "cut off"}))).contains("before you try again"));
        assert!(why_not(&command("sent", Value::Null)).contains("/api/v1/commands/c"));
    }
}
