//! The way out to the devices: one short-lived connection a command, signed where a password is set.
//!
//! [`http`] carries bytes; this says them in the device's dialect and reads the answer. A few commands are more than one
//! exchange on an OM, because its assignments have traps (2.1.2): an extension's assignment without its groups takes it
//! out of them, and a group's only ever adds members. Such a command is completed here with what the device says of
//! itself, so that whoever posts it may think in sets.

pub mod http;
pub mod tls;
pub mod yeastar;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use switchroom_actors::ports::{Answer, DeviceLink, LinkError};
use switchroom_domain::Text;
use switchroom_domain::command::{Command, ExtensionSettings, Target, TargetKind};
use switchroom_domain::id::DeviceId;
use switchroom_domain::reply::{DeviceInfo, GroupStatus, Reply, Status};
use switchroom_protocol::Dialect;
use switchroom_protocol::om::{self, parameters};
use switchroom_protocol::sign::{self, Auth};

use self::http::{Address, Content, Limits, Request};
use crate::devices::{Device, Registry};
use switchroom_protocol::om::parameters::Stat;

/// What a refusal of the web interface mostly means; it says no more itself.
const PARAMETER_REFUSED: &str = "the web interface refused: check web_password and the value";
/// The device's code for what it does not have (2.5.3.7).
const NOT_EXIST: u32 = 7;
/// Where an OM takes commands.
const OM_PATH: &str = "/xml";

/// The link to all devices.
pub struct Link {
    registry: Arc<Registry>,
    limits: Limits,
}

impl Link {
    /// A link to the devices of the registry.
    #[must_use]
    pub const fn new(registry: Arc<Registry>, connect: Duration, whole: Duration) -> Self {
        Self { registry, limits: Limits { connect, whole, body: 4 * 1024 * 1024 } }
    }
}

impl DeviceLink for Link {
    fn exchange(
        &self,
        device: &DeviceId,
        command: &Command,
    ) -> BoxFuture<'static, Result<Answer, LinkError>> {
        let (device, limits, command) = (self.registry.get(device), self.limits, command.clone());
        Box::pin(async move {
            let device = device.ok_or_else(|| LinkError::Impossible("the device was removed".into()))?;
            match (Exchange { device: &device, limits }).carry(&command).await {
                Ok(answer) | Err(Stop::Answered(answer)) => Ok(answer),
                Err(Stop::Link(error)) => Err(error),
            }
        })
    }

    fn reaches(&self, device: &DeviceId) -> bool {
        self.registry.get(device).is_some_and(|device| device.settings.address.is_some())
    }
}

/// Why a command of several steps ended before its last.
enum Stop {
    /// The device answered one of them so that the others make no sense.
    Answered(Answer),
    /// There was no answer.
    Link(LinkError),
}

impl From<LinkError> for Stop {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// Of a command of several steps, the first of which have been done.
fn begun(stop: Stop) -> Stop {
    match stop {
        Stop::Link(LinkError::NotSent(why) | LinkError::Refused(why)) => {
            Stop::Link(LinkError::Lost(format!("only part of it was done: {why}")))
        }
        other => other,
    }
}

struct Exchange<'a> {
    device: &'a Device,
    limits: Limits,
}

impl Exchange<'_> {
    async fn carry(&self, command: &Command) -> Result<Answer, Stop> {
        if self.device.settings.dialect != Dialect::Om {
            let dialect = self.device.settings.dialect.as_str();
            return Err(LinkError::Impossible(format!("{dialect} devices take no commands here")).into());
        }
        match command {
            Command::ReadParameter { name, line_id } => {
                Ok(self.parameter(name, line_id.as_deref(), None).await?)
            }
            Command::WriteParameter { name, value, line_id } => {
                Ok(self.parameter(name, line_id.as_deref(), Some(value)).await?)
            }
            Command::AssignExtension { line_id, settings } if settings.groups.is_none() => {
                let groups = self.groups_of_line(line_id).await?;
                let settings = Box::new(ExtensionSettings { groups: Some(groups), ..(**settings).clone() });
                Ok(self.send(&Command::AssignExtension { line_id: line_id.clone(), settings }).await?)
            }
            Command::AssignGroup { group, members, .. } => {
                let touched = self.take_out_of_group(*group, members).await?;
                let sent = self.send(command).await.map_err(Stop::from);
                if touched { sent.map_err(begun) } else { sent }
            }
            _ => Ok(self.send(command).await?),
        }
    }

    /// One command, one connection.
    async fn send(&self, command: &Command) -> Result<Answer, LinkError> {
        let address = self.device.settings.address.as_deref();
        let address = address.ok_or_else(|| LinkError::Impossible("the device has no address".into()))?;
        let auth = self.device.secrets.command_password.as_deref().map(|password| self.sign(password));
        let body = om::encode_command(command, auth.as_ref())
            .ok_or_else(|| LinkError::Impossible("this command has no form on an OM".into()))?;
        let response = self.exchange(address, OM_PATH, Some(body)).await?;
        let reply = match om::decode_reply(command, &response) {
            Ok(reply) => reply,
            // Who asked in its own words reads the answer itself.
            Err(_) if matches!(command, Command::Verbatim { .. }) => Reply::Done,
            Err(error) => return Err(LinkError::Lost(format!("its answer cannot be read: {error}"))),
        };
        if let Reply::Device(info) = &reply {
            let mut facts = self.device.info.lock().unwrap_or_else(PoisonError::into_inner);
            facts.model = info.model.as_ref().map(ToString::to_string);
            facts.firmware = info.version.as_ref().map(ToString::to_string);
        }
        Ok(Answer { reply, body: response.into() })
    }

    /// Each command with a nonce of its own, by the device's own clock as far as it is known.
    fn sign(&self, password: &str) -> Auth {
        let nonce: Text = hex::encode_upper(crate::random::bytes::<8>()).into();
        let seconds = crate::clock::now().0 / 1000 + self.device.clock_offset().unwrap_or(0);
        let timestamp: Text = compact_str::format_compact!("{seconds}");
        let signature = sign::sign(password, &nonce, &timestamp);
        Auth { nonce, timestamp, signature }
    }

    async fn exchange(&self, address: &str, path: &str, body: Option<Vec<u8>>) -> Result<Vec<u8>, LinkError> {
        let address = Address::parse(address).map_err(LinkError::Impossible)?;
        let tls = self.device.settings.tls.as_ref();
        http::exchange(
            &address,
            tls,
            Request { path, body: body.as_deref(), content: Content::Xml },
            self.limits,
        )
        .await
    }

    /// Reads a system parameter over the web interface, or writes one.
    async fn parameter(
        &self,
        name: &str,
        line: Option<&str>,
        value: Option<&str>,
    ) -> Result<Answer, LinkError> {
        let settings = &self.device.settings;
        let address = settings.web_address.as_deref().or(settings.address.as_deref());
        let address = address.ok_or_else(|| LinkError::Impossible("the device has no address".into()))?;
        let password = self.device.secrets.web_password.as_deref().ok_or_else(|| {
            LinkError::Impossible("parameters need the device's `web_password`; set it with PATCH".into())
        })?;
        let parameter = parameters::find(name)
            .ok_or_else(|| LinkError::Impossible(format!("{name:?} is no system parameter of an OM")))?;
        let path = match value {
            None => parameters::read_path(parameter, line, password),
            Some(value) => parameters::write_path(parameter, line, value, password),
        };
        let path = path.map_err(|bad| LinkError::Impossible(bad.to_string()))?;
        let response = self.exchange(address, &path, None).await?;
        let answer = parameters::decode_response(&response)
            .map_err(|error| LinkError::Lost(format!("its answer cannot be read: {error}")))?;
        let reply = match answer.stat {
            Stat::Fail => Reply::Failed { code: None, reason: Some(Text::const_new(PARAMETER_REFUSED)) },
            stat => Reply::Parameter { value: answer.value, after_restart: stat == Stat::Restart },
        };
        Ok(Answer { reply, body: response.into() })
    }

    async fn query(&self, target: Target) -> Result<Answer, LinkError> {
        self.send(&Command::Query { target }).await
    }

    async fn status(&self, kind: TargetKind, id: impl Into<Text>) -> Result<Status, Stop> {
        let answer = self.query(Target::one(kind, id)).await?;
        match answer.reply {
            Reply::Status(status) => Ok(*status),
            // A group that was never set does not exist.
            Reply::Failed { code: Some(NOT_EXIST), .. } => Ok(Status::default()),
            // What it says to the question it says to the command.
            _ => Err(Stop::Answered(answer)),
        }
    }

    /// The groups that the extension of a line is in.
    async fn groups_of_line(&self, line: &str) -> Result<Vec<u16>, Stop> {
        let answer = self.query(Target::Device).await?;
        let Reply::Device(info) = answer.reply else { return Err(Stop::Answered(answer)) };
        let DeviceInfo { extensions, groups, .. } = *info;
        let of_line = extensions.iter().find(|extension| extension.line_id.as_deref() == Some(line));
        let Some(number) = of_line.and_then(|extension| extension.number.as_ref()) else {
            return Ok(Vec::new());
        };
        let has = |group: &&GroupStatus| group.members.contains(number);
        Ok(groups.iter().filter(has).map(|group| group.group).collect())
    }

    /// Takes out of a group who is not to be in it; the group itself is not cleared, because somebody may wait in it. Says
    /// whether anything was done.
    async fn take_out_of_group(&self, group: u16, members: &[Text]) -> Result<bool, Stop> {
        let id = Text::from(group.to_string());
        let status = self.status(TargetKind::Group, id).await?;
        let Some(now) = status.groups.into_iter().find(|found| found.group == group) else {
            return Ok(false);
        };
        let mut touched = false;
        for gone in now.members.iter().filter(|member| !members.contains(member)) {
            let taken_out = self.take_out(group, gone).await;
            touched |= if touched { taken_out.map_err(begun)? } else { taken_out? };
        }
        Ok(touched)
    }

    async fn take_out(&self, group: u16, member: &Text) -> Result<bool, Stop> {
        let status = self.status(TargetKind::Extension, member.clone()).await?;
        let Some(extension) = status.extensions.into_iter().next() else { return Ok(false) };
        let line_id = extension.line_id.ok_or_else(|| {
            LinkError::Impossible(format!(
                "the device does not tell the line of {member}, who is to leave the group"
            ))
        })?;
        let mut groups = extension.settings.groups.unwrap_or_default();
        groups.retain(|of| *of != group);
        let settings = Box::new(ExtensionSettings { groups: Some(groups), ..ExtensionSettings::default() });
        let answer = self.send(&Command::AssignExtension { line_id, settings }).await?;
        if answer.reply.is_success() { Ok(true) } else { Err(Stop::Answered(answer)) }
    }
}
