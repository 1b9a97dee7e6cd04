//! What may be written of a webhook, and what is refused of it.

use serde::Deserialize;
use switchroom_domain::event::EventKind;
use utoipa::ToSchema;

use super::State;
use super::auth::Caller;
use super::device_input::missing;
use super::error::{Kind, Problem};
use super::input::device_id;
use crate::webhooks::{Webhook, names_a_kind};

/// The longest description, in bytes.
const LONGEST_DESCRIPTION: usize = 1000;
/// The most kinds, devices and extensions.
const LONGEST_LIST: usize = 1000;

/// A webhook to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWebhook {
    /// Where events are delivered: `https` or `http`, to a public address or one that `outward.allow` allows.
    #[schema(example = "https://crm.example/hooks/switchroom")]
    url: Option<String>,
    /// Which events: kinds, or families.
    #[schema(example = json!(["call.*", "cdr.recorded"]))]
    kinds: Option<Vec<String>>,
    /// Only of these devices; without them of all that the token may see.
    #[serde(default)]
    devices: Vec<String>,
    /// Only those that concern these extensions: as `extension`, `from` or `to`.
    #[serde(default)]
    #[schema(value_type = Vec<String>, example = json!(["200"]))]
    extensions: Vec<Number>,
    /// For people.
    #[serde(default)]
    description: String,
    /// Whether telephone numbers are masked in what is delivered; always, if they are for the token's role.
    mask_numbers: Option<bool>,
}

/// What may be changed of a webhook. What is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookChange {
    /// Where events are delivered.
    url: Option<String>,
    /// Which events.
    kinds: Option<Vec<String>>,
    /// Only of these devices; an empty list: all.
    devices: Option<Vec<String>>,
    /// Only those that concern these extensions; an empty list: all.
    #[schema(value_type = Option<Vec<String>>)]
    extensions: Option<Vec<Number>>,
    /// For people.
    description: Option<String>,
    /// Whether telephone numbers are masked in what is delivered.
    mask_numbers: Option<bool>,
    /// `enabled` delivers again from where it stood; `disabled` delivers nothing until then.
    pub(super) state: Option<WebhookState>,
}

/// Whether events are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum WebhookState {
    /// They are.
    Enabled,
    /// They wait in the log.
    Disabled,
}

/// An extension's number, written as text or as a number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Number(u64),
}

impl From<Number> for String {
    fn from(number: Number) -> Self {
        match number {
            Number::Text(text) => text,
            Number::Number(number) => number.to_string(),
        }
    }
}

fn numbers(list: Vec<Number>) -> Vec<String> {
    list.into_iter().map(String::from).collect()
}

impl NewWebhook {
    /// The webhook, within what the caller may see.
    ///
    /// # Errors
    /// Names what is missing or cannot be.
    pub(super) async fn read(self, state: &State, caller: &Caller) -> Result<Webhook, Problem> {
        let url = self.url.ok_or_else(|| missing("url", "where events are delivered"))?;
        let kinds = self.kinds.ok_or_else(|| missing("kinds", "for example [\"call.*\"]"))?;
        Ok(Webhook {
            id: format!("wh_{}", hex::encode(crate::random::bytes::<8>())),
            url: checked_url(state, &url).await?,
            kinds: checked_kinds(kinds)?,
            devices: checked_devices(state, caller, self.devices)?,
            extensions: checked_extensions(caller, numbers(self.extensions))?,
            description: checked_description(self.description)?,
            mask_numbers: checked_mask(caller, self.mask_numbers)?.unwrap_or_else(|| caller.is_masked()),
            created_at: crate::clock::now(),
        })
    }
}

impl WebhookChange {
    /// What it changes, all of it looked at.
    ///
    /// # Errors
    /// Names what cannot be.
    pub(super) async fn read(
        self,
        state: &State,
        caller: &Caller,
    ) -> Result<impl FnOnce(&mut Webhook) + Send + use<>, Problem> {
        let url = match self.url {
            Some(url) => Some(checked_url(state, &url).await?),
            None => None,
        };
        let kinds = self.kinds.map(checked_kinds).transpose()?;
        let devices = self.devices.map(|devices| checked_devices(state, caller, devices)).transpose()?;
        let extensions = self.extensions.map(|list| checked_extensions(caller, numbers(list))).transpose()?;
        let description = self.description.map(checked_description).transpose()?;
        let mask_numbers = checked_mask(caller, self.mask_numbers)?;
        Ok(move |webhook: &mut Webhook| {
            webhook.url = url.unwrap_or_else(|| std::mem::take(&mut webhook.url));
            webhook.kinds = kinds.unwrap_or_else(|| std::mem::take(&mut webhook.kinds));
            webhook.devices = devices.unwrap_or_else(|| std::mem::take(&mut webhook.devices));
            webhook.extensions = extensions.unwrap_or_else(|| std::mem::take(&mut webhook.extensions));
            webhook.description = description.unwrap_or_else(|| std::mem::take(&mut webhook.description));
            webhook.mask_numbers = mask_numbers.unwrap_or(webhook.mask_numbers);
        })
    }
}

pub(super) fn invalid(field: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(Kind::Invalid, detail).field(field)
}

fn checked_mask(caller: &Caller, mask: Option<bool>) -> Result<Option<bool>, Problem> {
    if caller.is_masked() && mask == Some(false) {
        let role = caller.role;
        return Err(invalid(
            "mask_numbers",
            format!("telephone numbers are masked for the role {role}; leave it out"),
        ));
    }
    Ok(mask)
}

pub(super) async fn checked_url(state: &State, url: &str) -> Result<String, Problem> {
    let checked = state.services.outward.check(url).await;
    checked.map(String::from).map_err(|refused| invalid("url", refused.to_string()))
}

pub(super) fn bounded<T>(field: &'static str, list: &[T]) -> Result<(), Problem> {
    match list.len() {
        0..=LONGEST_LIST => Ok(()),
        _ => Err(invalid(field, format!("{field} has at most {LONGEST_LIST} entries"))),
    }
}

fn checked_kinds(kinds: Vec<String>) -> Result<Vec<String>, Problem> {
    bounded("kinds", &kinds)?;
    let known = || EventKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    if kinds.is_empty() {
        return Err(invalid(
            "kinds",
            format!("name a kind of event, or a family such as call.*: {}", known()),
        ));
    }
    match kinds.iter().find(|kind| !names_a_kind(kind)) {
        Some(unknown) => {
            let detail = format!(
                "{unknown:?} is no kind of event; there are * and families such as call.*, and {}",
                known()
            );
            Err(invalid("kinds", detail))
        }
        None => Ok(kinds),
    }
}

/// Devices that are there and that the caller may see; who is limited to some gets no others.
pub(super) fn checked_devices(
    state: &State,
    caller: &Caller,
    devices: Vec<String>,
) -> Result<Vec<String>, Problem> {
    bounded("devices", &devices)?;
    for device in &devices {
        let id = device_id(device)?;
        if !caller.sees(&id) || state.services.registry.get(&id).is_none() {
            return Err(Problem::no_device(device).field("devices"));
        }
    }
    match caller.devices() {
        Some(own) if devices.is_empty() => Ok(sorted(own.iter().cloned())),
        _ => Ok(devices),
    }
}

fn checked_extensions(caller: &Caller, extensions: Vec<String>) -> Result<Vec<String>, Problem> {
    bounded("extensions", &extensions)?;
    if extensions.iter().any(|number| number.is_empty() || number.len() > 64) {
        return Err(invalid("extensions", "an extension is a number such as \"200\""));
    }
    let Some(own) = caller.extensions() else { return Ok(extensions) };
    if let Some(other) = extensions.iter().find(|number| !own.contains(*number)) {
        let detail = format!("this token is limited to other extensions than {other:?}");
        return Err(Problem::new(Kind::Forbidden, detail).field("extensions"));
    }
    Ok(if extensions.is_empty() { sorted(own.iter().cloned()) } else { extensions })
}

fn sorted(list: impl Iterator<Item = String>) -> Vec<String> {
    let mut list: Vec<String> = list.collect();
    list.sort();
    list
}

pub(super) fn checked_description(description: String) -> Result<String, Problem> {
    if description.len() > LONGEST_DESCRIPTION {
        return Err(invalid("description", format!("a description has at most {LONGEST_DESCRIPTION} bytes")));
    }
    Ok(description)
}
