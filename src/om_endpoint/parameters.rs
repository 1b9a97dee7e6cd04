//! System parameters, asked for as a device's web interface is asked (chapter 6.2 of the vendor's manual):
//! `GET /xml?method=gw.config.get&id=1070&pass=…`.
//!
//! There the administrator's password is all that a device wants. Here a client must also be one that may, as in the REST
//! interface only an admin may. Whatever speaks against a request is answered with the one refusal that the manual has,
//! `<rsp stat="fail">`; the log says which it was, without what was set and without the password.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use switchroom_domain::Text;
use switchroom_domain::command::Command;
use switchroom_domain::id::DeviceId;
use switchroom_domain::view::CommandState;
use switchroom_protocol::Dialect;
use switchroom_protocol::om::parameters::{self, Parameter, Stat};
use switchroom_protocol::om::web::{self, Asks};
use tokio::sync::oneshot;

use super::clients::Client;
use super::{Busy, Endpoint, Outcome, Way, reply};
use crate::commands::{By, NotTaken};
use crate::devices::Device;

/// Why something was not done: how it counts, and what the log says.
struct Refused(Outcome, String);

type Result<T> = std::result::Result<T, Refused>;

fn refused<T>(outcome: Outcome, why: impl Into<String>) -> Result<T> {
    Err(Refused(outcome, why.into()))
}

/// One request, on its way to a device.
struct Errand<'a> {
    endpoint: &'a Endpoint,
    device: Arc<Device>,
    by: By,
    line_id: Option<Text>,
    /// Its commands are waited for until then, all together.
    until: Instant,
}

/// What a device said to one command.
struct Said {
    /// Byte for byte; none if that was lost and asking showed that it was done.
    bytes: Option<Bytes>,
    stat: Stat,
    value: Option<Text>,
}

impl Endpoint {
    /// Takes a request for parameters, the query of a URL, and gives the whole answer.
    pub(super) async fn parameters(&self, source: IpAddr, way: &Way, query: &str) -> Vec<u8> {
        let _busy = Busy::enter(&self.busy);
        let (device, done) = match self.admitted(source, way) {
            Ok((client, id)) => {
                let done = self.carry(&client, &id, query).await;
                (Some(id), done)
            }
            Err(refused) => (way.device.clone(), Err(refused)),
        };
        let (outcome, body) = match done {
            Ok(body) => (Outcome::Answered, body),
            Err(Refused(outcome, why)) => {
                let device = device.as_ref().map(tracing::field::display);
                tracing::warn!(%source, device.id = device, "a request for system parameters was refused: {why}");
                (outcome, web::encode_response(Stat::Fail, &[]).into())
            }
        };
        self.count(outcome);
        reply::http(200, &body, self.allowed(way.origin.as_deref()))
    }

    fn admitted(&self, source: IpAddr, way: &Way) -> Result<(Arc<Client>, DeviceId)> {
        if self.is_strange(way) {
            return refused(Outcome::Unauthorized, "om_endpoint.origins has not the web page's origin");
        }
        match self.clients.admit(source, way.device.as_ref(), None, crate::clock::now()) {
            Ok((client, _)) if !client.may_set_parameters() => {
                let why = format!("{} has no `parameters = true` in om_endpoint.clients", client.name);
                refused(Outcome::Unauthorized, why)
            }
            Ok(admitted) => Ok(admitted),
            Err(_) => refused(Outcome::Unauthorized, "no client that this address and device belong to"),
        }
    }

    async fn carry(&self, client: &Client, id: &DeviceId, query: &str) -> Result<Bytes> {
        let Some(request) = web::decode_request(query) else {
            let why = format!("it names no parameter, more than {}, or no known method", web::MOST);
            return refused(Outcome::Misunderstood, why);
        };
        let errand = Errand {
            endpoint: self,
            device: self.device(id, &request.pass)?,
            by: By { token: client.token, key: None },
            line_id: request.line_id,
            until: Instant::now() + self.patience,
        };
        match &request.asks {
            Asks::Get(ids) => errand.get(ids).await,
            Asks::Set(values) => errand.set(values).await,
        }
    }

    /// The device, if its password is this one.
    fn device(&self, id: &DeviceId, pass: &str) -> Result<Arc<Device>> {
        let device = self.services.registry.get(id);
        let Some(device) = device.filter(|device| device.settings.dialect == Dialect::Om) else {
            return refused(
                Outcome::Failed,
                "om_endpoint.clients names a device that is not there, or no OM",
            );
        };
        let Some(password) = &device.secrets.web_password else {
            return refused(Outcome::Failed, "the device has no `web_password` here; set it with PATCH");
        };
        // Digests are compared, so that not even the length can be measured.
        let of = |password: &str| digest(&SHA256, password.as_bytes());
        if !bool::from(of(password).as_ref().ct_eq(of(pass).as_ref())) {
            return refused(Outcome::Unauthorized, "`pass` is not the device's `web_password`");
        }
        Ok(device)
    }
}

impl Errand<'_> {
    async fn get(&self, ids: &[Text]) -> Result<Bytes> {
        let mut items = Vec::with_capacity(ids.len());
        for id in ids {
            let said = match known(id) {
                Some(parameter) => {
                    let name = Text::const_new(parameter.name);
                    self.post(Command::ReadParameter { name, line_id: self.line_of(parameter) }).await?
                }
                None => None,
            };
            match said {
                // A refusal is the device's last word.
                Some(Said { bytes: Some(bytes), stat, .. }) if ids.len() == 1 || stat == Stat::Fail => {
                    return Ok(bytes);
                }
                Some(Said { bytes: None, .. }) => {
                    return refused(Outcome::Failed, "the device's answer was lost");
                }
                said => items.push((id.clone(), said.and_then(|said| said.value))),
            }
        }
        Ok(web::encode_response(Stat::Ok, &items).into())
    }

    /// Nothing is set if one of them cannot be, as far as that is known here.
    async fn set(&self, values: &[(Text, Text)]) -> Result<Bytes> {
        let mut writes = Vec::with_capacity(values.len());
        for (id, value) in values {
            let Some(parameter) = known(id) else {
                return refused(Outcome::Misunderstood, format!("{id:?} is no system parameter"));
            };
            let line_id = self.line_of(parameter);
            if parameter.per_line && line_id.is_none() {
                return refused(Outcome::Misunderstood, format!("{} wants a line_id", parameter.name));
            }
            if let Err(bad) = parameter.check(value) {
                return refused(Outcome::Misunderstood, bad.to_string());
            }
            let name = Text::const_new(parameter.name);
            writes.push(Command::WriteParameter { name, value: value.clone(), line_id });
        }
        let (mut stat, is_one) = (Stat::Ok, writes.len() == 1);
        for write in writes {
            match self.post(write).await? {
                Some(Said { bytes: Some(bytes), stat, .. }) if is_one || stat == Stat::Fail => {
                    return Ok(bytes);
                }
                Some(Said { stat: Stat::Restart, .. }) => stat = Stat::Restart,
                Some(Said { .. }) => {}
                None => return refused(Outcome::Failed, "the device has not got this parameter"),
            }
        }
        Ok(web::encode_response(stat, &[]).into())
    }

    /// A line that is named for a parameter that the device has one of says nothing.
    fn line_of(&self, parameter: &Parameter) -> Option<Text> {
        self.line_id.clone().filter(|_| parameter.per_line)
    }

    /// Has the device do one; none if it cannot: its firmware is too old, or that is no line.
    async fn post(&self, command: Command) -> Result<Option<Said>> {
        let (said, mut answer) = oneshot::channel();
        let wait = self.until.saturating_duration_since(Instant::now());
        let services = &self.endpoint.services;
        let posted = services.pass_command(&self.device, command, &self.by, Some(wait), Some(said)).await;
        let view = match posted {
            Ok(posted) => posted.view,
            Err(NotTaken::Bad(_) | NotTaken::Incapable(_)) => return Ok(None),
            Err(error) => return refused(Outcome::Failed, error.to_string()),
        };
        if let Ok(bytes) = answer.try_recv() {
            return match parameters::decode_response(&bytes) {
                Ok(read) => Ok(Some(Said { bytes: Some(bytes), stat: read.stat, value: read.value })),
                Err(error) => {
                    refused(Outcome::Failed, format!("the device's answer cannot be read: {error}"))
                }
            };
        }
        if view.state == CommandState::Succeeded {
            return Ok(Some(Said { bytes: None, stat: Stat::Ok, value: None }));
        }
        let why = view.error.map(|error| error.reason).unwrap_or_default();
        refused(Outcome::Failed, format!("the device gave no answer: {why}"))
    }
}

/// Devices know parameters by number only.
fn known(id: &str) -> Option<&'static Parameter> {
    id.parse::<u16>().ok().and_then(|_| parameters::find(id))
}
