//! What may be written of a target, and what is refused of it.

use serde::Deserialize;
use utoipa::ToSchema;

use super::State;
use super::auth::Caller;
use super::device_input::missing;
use super::error::Problem;
use super::input::given;
use super::webhook_input::{
    WebhookState, bounded, checked_description, checked_devices, checked_url, invalid,
};
use crate::metrics::REPORTS;
use crate::targets::{Confirm, Connection, Method, Secrets, Target};

/// The longest password, in bytes; a device's has at most 16.
const LONGEST_PASSWORD: usize = 64;

/// A target to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTarget {
    /// Where reports are passed on to: `http` or `https`, to a public address or one that `outward.allow` allows.
    #[schema(example = "http://crm.example:8260/om/report")]
    url: Option<String>,
    /// Only of these devices; without them of all that the token may see.
    #[serde(default)]
    devices: Vec<String>,
    /// Only these reports, as the vendor names them; without them all.
    #[serde(default)]
    #[schema(example = json!(["RING", "BYE", "Cdr"]))]
    kinds: Vec<String>,
    /// `get` or `post`; without it as the vendor's devices do by themselves: GET by an OM, POST by the others.
    method: Option<Method>,
    /// `short`: a connection for each report. `long`: one is kept, and the reports follow one another on it.
    #[serde(default)]
    connection: Connection,
    /// `answer`: an HTTP answer 2xx to 4xx, or an orderly close, says that a report was taken. `written`: that it could be
    /// written, for receivers that neither answer nor close.
    #[serde(default)]
    confirm: Confirm,
    /// Reports of OM devices are signed anew with it; without it they carry no `<Auth>`. Never read back.
    password: Option<String>,
    /// For people.
    #[serde(default)]
    description: String,
}

/// What may be changed of a target. What is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetChange {
    /// Where reports are passed on to.
    url: Option<String>,
    /// Only of these devices; an empty list: all.
    devices: Option<Vec<String>>,
    /// Only these reports; an empty list: all.
    kinds: Option<Vec<String>>,
    /// `get`, `post`, or null: as the vendor's devices do.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Method>)]
    method: Option<Option<Method>>,
    /// `short` or `long`.
    connection: Option<Connection>,
    /// `answer` or `written`.
    confirm: Option<Confirm>,
    /// Signs from now on; null: no more.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    password: Option<Option<String>>,
    /// For people.
    description: Option<String>,
    /// `enabled` passes on again from where it stood; `disabled` passes nothing on until then.
    pub(super) state: Option<WebhookState>,
}

impl NewTarget {
    /// The target, within what the caller may see, and its secrets.
    ///
    /// # Errors
    /// Names what is missing or cannot be.
    pub(super) async fn read(self, state: &State, caller: &Caller) -> Result<(Target, Secrets), Problem> {
        let url = self.url.ok_or_else(|| missing("url", "where reports are passed on to"))?;
        let target = Target {
            id: format!("tg_{}", hex::encode(crate::random::bytes::<8>())),
            url: checked_url(state, &url).await?,
            devices: checked_devices(state, caller, self.devices)?,
            kinds: checked_kinds(self.kinds)?,
            method: self.method,
            connection: self.connection,
            confirm: self.confirm,
            description: checked_description(self.description)?,
            created_at: crate::clock::now(),
        };
        Ok((target, Secrets { password: self.password.map(checked_password).transpose()? }))
    }
}

impl TargetChange {
    /// What it changes, all of it looked at; and the new secrets, if they are to be other ones.
    ///
    /// # Errors
    /// Names what cannot be.
    pub(super) async fn read(
        self,
        state: &State,
        caller: &Caller,
    ) -> Result<(impl FnOnce(&mut Target) + Send + use<>, Option<Secrets>), Problem> {
        let url = match self.url {
            Some(url) => Some(checked_url(state, &url).await?),
            None => None,
        };
        let devices = self.devices.map(|devices| checked_devices(state, caller, devices)).transpose()?;
        let kinds = self.kinds.map(checked_kinds).transpose()?;
        let description = self.description.map(checked_description).transpose()?;
        let secrets = match self.password {
            Some(password) => Some(Secrets { password: password.map(checked_password).transpose()? }),
            None => None,
        };
        let (method, connection, confirm) = (self.method, self.connection, self.confirm);
        let change = move |target: &mut Target| {
            target.url = url.unwrap_or_else(|| std::mem::take(&mut target.url));
            target.devices = devices.unwrap_or_else(|| std::mem::take(&mut target.devices));
            target.kinds = kinds.unwrap_or_else(|| std::mem::take(&mut target.kinds));
            target.method = method.unwrap_or(target.method);
            target.connection = connection.unwrap_or(target.connection);
            target.confirm = confirm.unwrap_or(target.confirm);
            target.description = description.unwrap_or_else(|| std::mem::take(&mut target.description));
        };
        Ok((change, secrets))
    }
}

/// Reports that some device sends, as its vendor names them.
fn checked_kinds(kinds: Vec<String>) -> Result<Vec<String>, Problem> {
    bounded("kinds", &kinds)?;
    let is_known = |kind: &String| REPORTS.iter().any(|known| known.eq_ignore_ascii_case(kind));
    match kinds.iter().find(|kind| !is_known(kind)) {
        Some(unknown) => {
            Err(invalid("kinds", format!("{unknown:?} is no report; there are {}", REPORTS.join(", "))))
        }
        None => Ok(kinds),
    }
}

fn checked_password(password: String) -> Result<String, Problem> {
    let fits =
        (1..=LONGEST_PASSWORD).contains(&password.len()) && password.bytes().all(|b| b.is_ascii_graphic());
    if !fits {
        let detail = format!("a password has 1 to {LONGEST_PASSWORD} letters, digits and signs of ASCII");
        return Err(invalid("password", detail));
    }
    Ok(password)
}
