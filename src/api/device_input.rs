//! What may be written of a device: every field by its name, so that an unknown one is refused by name.

use serde::Deserialize;
use switchroom_domain::id::DeviceId;
use switchroom_protocol::Dialect;
use utoipa::ToSchema;

use super::error::{Kind, Problem};
use super::input::given;
use crate::devices::{Connection, DeviceSecrets, DeviceSettings, Proof};
use crate::link::tls::Tls;

/// Fields of a device. What is absent stays as it is, null clears it; a new device needs `id` and `dialect`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DeviceFields {
    /// Its id; cannot be changed.
    #[schema(example = "hotel-1")]
    pub(super) id: Option<String>,
    /// Its name for people.
    pub(super) name: Option<String>,
    /// Its site.
    pub(super) site: Option<String>,
    /// Its time zone, `UTC` unless given.
    #[schema(example = "Asia/Shanghai")]
    pub(super) timezone: Option<String>,
    /// What it speaks: `om`, `yeastar`, `zycoo`.
    #[schema(value_type = Option<String>, example = "om")]
    pub(super) dialect: Option<Dialect>,
    /// Where it takes commands, `http://host:port`.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) address: Option<Option<String>>,
    /// Where its web interface is, if not at `address`.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) web_address: Option<Option<String>>,
    /// Where its recordings are fetched, if not at `address`.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) recording_address: Option<Option<String>>,
    /// Who the device lets have its recordings, with `recording_password`; `user` unless given.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) recording_user: Option<Option<String>>,
    /// Whether its recordings are fetched, where recordings are on at all; true unless given.
    pub(super) fetch_recordings: Option<bool>,
    /// Who logs in to a Yeastar, with `web_password`; `api` unless given.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) api_user: Option<Option<String>>,
    /// Where a Yeastar is told to report to: our `http://host:port/report_path`, as the device reaches it.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "http://10.0.0.5:8989/Zm9vYmFyYmF6")]
    pub(super) report_url: Option<Option<String>>,
    /// With `https` addresses: whom to believe that it is the device.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Tls>)]
    pub(super) tls: Option<Option<Tls>>,
    /// Its MAC.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) mac: Option<Option<String>>,
    /// Its serial number.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) sn: Option<Option<String>>,
    /// The first segment of the path it reports to; random unless given, and again when null.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) report_path: Option<Option<String>>,
    /// The address it reports from, when that is not the host of `address`.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) source: Option<Option<String>>,
    /// How its connections are treated; `auto` unless given.
    pub(super) connection: Option<Connection>,
    /// How it proves its reports; by its path unless given.
    pub(super) proof: Option<Proof>,
    /// Signs commands.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, write_only)]
    pub(super) command_password: Option<Option<String>>,
    /// Proves reports.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, write_only)]
    pub(super) report_password: Option<Option<String>>,
    /// Opens its web interface.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, write_only)]
    pub(super) web_password: Option<Option<String>>,
    /// Gets its recordings; `user`, as the device itself has it, unless given.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, write_only)]
    pub(super) recording_password: Option<Option<String>>,
}

/// The id of a new device.
///
/// # Errors
/// Says what an id is.
pub(super) fn new_id(text: &str) -> Result<DeviceId, Problem> {
    DeviceId::new(text).map_err(|error| Problem::new(Kind::Invalid, error.to_string()).field("id"))
}

/// A field that has to be there.
pub(super) fn missing(field: &'static str, what: &str) -> Problem {
    Problem::new(Kind::Invalid, format!("{field} is missing: {what}")).field(field)
}

impl DeviceFields {
    /// The settings and secrets of a new device.
    ///
    /// # Errors
    /// When `id` or `dialect` are missing, or the id cannot be one.
    pub(super) fn new_device(self) -> Result<(DeviceSettings, DeviceSecrets), Problem> {
        let id = self.id.as_deref().ok_or_else(|| missing("id", "letters, digits, '.', '_' and '-'"))?;
        let dialect = self.dialect.ok_or_else(|| missing("dialect", "\"om\", \"yeastar\" or \"zycoo\""))?;
        let settings = DeviceSettings::new(new_id(id)?, dialect);
        self.apply(settings, DeviceSecrets::default())
    }

    /// A field that an operator may not change.
    pub(super) fn beyond_an_operator(&self) -> Option<&'static str> {
        [
            ("id", self.id.is_some()),
            ("timezone", self.timezone.is_some()),
            ("dialect", self.dialect.is_some()),
            ("address", self.address.is_some()),
            ("web_address", self.web_address.is_some()),
            ("recording_address", self.recording_address.is_some()),
            ("recording_user", self.recording_user.is_some()),
            ("fetch_recordings", self.fetch_recordings.is_some()),
            ("api_user", self.api_user.is_some()),
            ("report_url", self.report_url.is_some()),
            ("tls", self.tls.is_some()),
            ("mac", self.mac.is_some()),
            ("sn", self.sn.is_some()),
            ("report_path", self.report_path.is_some()),
            ("source", self.source.is_some()),
            ("connection", self.connection.is_some()),
            ("proof", self.proof.is_some()),
            ("command_password", self.command_password.is_some()),
            ("report_password", self.report_password.is_some()),
            ("web_password", self.web_password.is_some()),
            ("recording_password", self.recording_password.is_some()),
        ]
        .into_iter()
        .find_map(|(field, is_given)| is_given.then_some(field))
    }

    /// Puts what is given over what is there.
    ///
    /// # Errors
    /// When it would change the id.
    pub(super) fn apply(
        self,
        mut settings: DeviceSettings,
        mut secrets: DeviceSecrets,
    ) -> Result<(DeviceSettings, DeviceSecrets), Problem> {
        if self.id.is_some_and(|id| id != settings.id.as_str()) {
            let detail = "an id cannot be changed; add a device of the new id and remove this one";
            return Err(Problem::new(Kind::Invalid, detail).field("id"));
        }
        put(&mut settings.name, self.name);
        put(&mut settings.site, self.site);
        put(&mut settings.timezone, self.timezone);
        put(&mut settings.dialect, self.dialect);
        put(&mut settings.address, self.address);
        put(&mut settings.web_address, self.web_address);
        put(&mut settings.recording_address, self.recording_address);
        put(&mut settings.recording_user, self.recording_user);
        put(&mut settings.fetch_recordings, self.fetch_recordings);
        put(&mut settings.api_user, self.api_user);
        put(&mut settings.report_url, self.report_url);
        put(&mut settings.tls, self.tls);
        put(&mut settings.mac, self.mac);
        put(&mut settings.sn, self.sn);
        put(&mut settings.report_path, self.report_path.map(Option::unwrap_or_default));
        put(&mut settings.source, self.source);
        put(&mut settings.connection, self.connection);
        put(&mut settings.proof, self.proof);
        put(&mut secrets.command_password, self.command_password);
        put(&mut secrets.report_password, self.report_password);
        put(&mut secrets.web_password, self.web_password);
        put(&mut secrets.recording_password, self.recording_password);
        Ok((settings, secrets))
    }
}

fn put<T>(place: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *place = given;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(json: &str) -> Result<DeviceFields, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn what_is_absent_stays_and_null_clears() {
        let mut settings = DeviceSettings::new(new_id("a").expect("an id"), Dialect::Om);
        settings.mac = Some("00:0E:A9:3D:00:0C".into());
        settings.sn = Some("7".into());
        let secrets = DeviceSecrets { web_password: Some("x".into()), ..DeviceSecrets::default() };
        let change = change(r#"{"name": "Hotel", "mac": null, "web_password": null}"#).expect("it reads");
        let (settings, secrets) = change.apply(settings, secrets).expect("it applies");
        assert_eq!(
            (settings.name.as_str(), settings.mac, settings.sn.as_deref()),
            ("Hotel", None, Some("7"))
        );
        assert_eq!(secrets.web_password, None);
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = change(r#"{"colour": "red"}"#).expect_err("unknown").to_string();
        assert!(error.contains("`colour`"), "{error}");
    }

    #[test]
    fn an_operator_changes_name_and_site_only() {
        let beyond = |json| change(json).expect("it reads").beyond_an_operator();
        assert_eq!(beyond(r#"{"name": "a", "site": "b"}"#), None);
        assert_eq!(beyond(r#"{"name": "a", "mac": null}"#), Some("mac"));
        assert_eq!(beyond(r#"{"web_password": "x"}"#), Some("web_password"));
    }
}
