//! `POST /devices/{id}/adopt`: a sender that reports without being known becomes a device with one call.
//!
//! What was seen of it says how it will be found again. A sender that names a MAC or SN is found by that; one
//! that names none, by the path that it already reports to. A path of its own is then its proof; where the
//! path may be shared or guessed (a short one beside a MAC or SN, or none), its address is. The body may say
//! otherwise in any field.

use actix_web::{HttpResponse, web};

use super::State;
use super::auth::{Caller, Role};
use super::device_input::{DeviceFields, missing, new_id};
use super::devices::{DeviceView, add};
use super::error::{Problem, ProblemBody};
use super::input::Body;
use crate::devices::{DeviceSecrets, DeviceSettings, Proof, ProofKind, Unadopted};

/// A path of so many characters is not shared by accident, nor guessed.
const OWN_PATH: usize = 16;

/// Adopts a sender: `dialect`, `mac`, `sn`, and the path or address it reports with come from what was seen.
/// The fields to set, `id` among them, are in the body; none has to be.
#[utoipa::path(post, path = "/api/v1/devices/{device}/adopt", tag = "devices",
    params(("device" = String, Path, description = "an id of `GET /devices?state=unadopted`")),
    request_body = DeviceFields,
    responses((status = 201, body = DeviceView), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(super) async fn adopt(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    Body(fields): Body<DeviceFields>,
) -> Result<HttpResponse, Problem> {
    caller.require(&[Role::Admin])?;
    caller.require_unscoped()?;
    let seen = state.services.unadopted.get(&path).ok_or_else(|| Problem::no_device(&path))?;
    let (settings, secrets) = settings(&state, &seen, fields)?;
    let response = add(&state, &caller, settings, secrets).await?;
    state.services.unadopted.remove(&seen.id);
    Ok(response)
}

fn settings(
    state: &State,
    seen: &Unadopted,
    mut fields: DeviceFields,
) -> Result<(DeviceSettings, DeviceSecrets), Problem> {
    let id = match fields.id.take() {
        Some(id) => new_id(&id)?,
        None => new_id(&seen.id.replacen("unadopted", "device", 1))?,
    };
    let known = seen.dialect.as_deref();
    let by_name = |name: &str| serde_json::from_value(serde_json::Value::from(name)).ok();
    let dialect = fields.dialect.or_else(|| known.and_then(by_name));
    let dialect = dialect.ok_or_else(|| missing("dialect", "\"om\", \"yeastar\" or \"zycoo\""))?;
    let mut settings = DeviceSettings::new(id, dialect);
    settings.mac.clone_from(&seen.mac);
    settings.sn.clone_from(&seen.sn);
    let says_how = fields.proof.is_some();
    let found_by_path = own_path(seen).filter(|path| state.services.registry.by_path(path).is_none());
    let (mut settings, secrets) = fields.apply(settings, DeviceSecrets::default())?;
    match found_by_path {
        Some(path) if settings.report_path.is_empty() => settings.report_path = path,
        None if !says_how && settings.report_path.is_empty() => {
            settings.proof = Proof { kind: ProofKind::Source, ..Proof::default() }
        }
        _ => {}
    }
    let is_found = settings.mac.is_some() || settings.sn.is_some() || !settings.report_path.is_empty();
    // Several devices may stand behind one address, so it is only noted where it is needed.
    if (settings.proof.kind == ProofKind::Source || !is_found) && settings.source_address().is_none() {
        settings.source = Some(seen.source.clone());
    }
    Ok((settings, secrets))
}

/// The first segment of the path that it reports to, if that will do as its own.
fn own_path(seen: &Unadopted) -> Option<String> {
    let path = seen.path.split(['?', '#']).next()?.trim_start_matches('/');
    let segment = path.split('/').next()?;
    let names_itself = seen.mac.is_some() || seen.sn.is_some();
    let fits = (1..=128).contains(&segment.len())
        && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (fits && (!names_itself || segment.len() >= OWN_PATH)).then(|| segment.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchroom_domain::time::Timestamp;

    fn seen(path: &str, mac: Option<&str>) -> Unadopted {
        Unadopted {
            id: "unadopted-1".into(),
            dialect: Some("om".into()),
            source: "192.0.2.7".into(),
            path: path.into(),
            mac: mac.map(Into::into),
            sn: None,
            reports: 1,
            last_report_at: Timestamp(0),
            sample: String::new(),
            state: "unadopted",
        }
    }

    #[test]
    fn a_path_is_its_own_where_nothing_else_names_it_or_nobody_shares_it() {
        assert_eq!(own_path(&seen("/sim-3/x?y", None)).as_deref(), Some("sim-3"));
        assert_eq!(own_path(&seen("/", None)), None);
        assert_eq!(own_path(&seen("/a%20b", None)), None);
        assert_eq!(own_path(&seen("/app.php", Some("00:0E:A9:3D:00:0C"))), None);
        let long = "/Zm9vYmFyYmF6cXV4";
        assert_eq!(own_path(&seen(long, Some("00:0E:A9:3D:00:0C"))).as_deref(), Some(&long[1..]));
    }
}
