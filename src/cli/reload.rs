//! Reload: what of a changed configuration file can be applied while the server runs. These are the
//! `[[device]]` tables, `[outward]`, `[webhooks]` and `[targets]`; of everything else the log says that it needs a restart.

use std::collections::BTreeSet;

use anyhow::Context;

use crate::app::Services;
use crate::config::{Config, DeviceConfig};

/// What of it is applied.
const APPLIED: [&str; 4] = ["device", "outward", "webhooks", "targets"];

/// Applies the new configuration as far as that can be; gives the one that is in force now.
pub(super) async fn apply(services: &Services, old: &Config, new: Config) -> Config {
    let sections = need_restart(old, &new);
    if !sections.is_empty() {
        tracing::warn!("changed, but only a restart applies it: {}", sections.join(", "));
    }
    let changes = Changes::between(&old.device, &new.device);
    services.outward.allow(&new.outward);
    services.webhooks.configure(&new.webhooks);
    services.targets.configure(&new.targets);
    let mut in_force = Config {
        device: new.device.clone(),
        outward: new.outward.clone(),
        webhooks: new.webhooks.clone(),
        targets: new.targets.clone(),
        ..old.clone()
    };
    // What goes makes room first: a device may have got another id and kept its report path.
    for device in &changes.removed {
        let id = &device.settings.id;
        match services.remove_device(id).await {
            Ok(_) => {
                tracing::info!(device.id = %id, "device removed: it is no longer in the configuration file")
            }
            Err(error) => {
                tracing::error!(device.id = %id, "device not removed: {error:#}");
                in_force.device.push((*device).clone());
            }
        }
    }
    for device in &changes.put {
        let id = &device.settings.id;
        match put(services, device).await {
            Ok(()) => tracing::info!(device.id = %id, "device put as the configuration file says"),
            Err(error) => {
                tracing::error!(device.id = %id, "device not changed: {error:#}");
                // It counts as changed at the next reload as well.
                in_force.device.retain(|other| other.settings.id != *id);
                in_force.device.extend(old.device.iter().find(|other| other.settings.id == *id).cloned());
            }
        }
    }
    tracing::info!(put = changes.put.len(), removed = changes.removed.len(), "configuration reloaded");
    in_force
}

/// Adds or changes a device; one whose table names no report path keeps the one it has.
async fn put(services: &Services, config: &DeviceConfig) -> anyhow::Result<()> {
    let mut settings = config.settings.clone();
    if settings.report_path.is_empty()
        && let Some(known) = services.registry.get(&settings.id)
    {
        settings.report_path.clone_from(&known.settings.report_path);
    }
    let settings = settings.complete(&config.secrets)?;
    services.registry.check_unique(&settings).context("it clashes with another device")?;
    services.put_device(settings, config.secrets.clone(), true).await?;
    Ok(())
}

/// What two lists of `[[device]]` tables differ in.
#[derive(Debug)]
struct Changes<'a> {
    put: Vec<&'a DeviceConfig>,
    removed: Vec<&'a DeviceConfig>,
}

impl<'a> Changes<'a> {
    fn between(old: &'a [DeviceConfig], new: &'a [DeviceConfig]) -> Self {
        let of = |list: &'a [DeviceConfig], id| list.iter().find(|device| device.settings.id == id);
        let same = |a: &DeviceConfig, b: &DeviceConfig| a.settings == b.settings && a.secrets == b.secrets;
        let is_put = |device: &&DeviceConfig| {
            !of(old, device.settings.id.clone()).is_some_and(|known| same(known, device))
        };
        let is_gone = |device: &&DeviceConfig| of(new, device.settings.id.clone()).is_none();
        Self { put: new.iter().filter(is_put).collect(), removed: old.iter().filter(is_gone).collect() }
    }
}

/// The sections that changed and are only read at the start.
fn need_restart(old: &Config, new: &Config) -> Vec<String> {
    let sections = |config: &Config| toml::Table::try_from(config).unwrap_or_default();
    let (old, new) = (sections(old), sections(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differ = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    differ.filter(|name| !APPLIED.contains(&name.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).expect("it parses")
    }

    #[test]
    fn only_what_changed_is_applied() {
        let table = |id: &str, name: &str| {
            format!("[[device]]\nid = \"{id}\"\ndialect = \"om\"\nname = \"{name}\"\n")
        };
        let old = config(&[table("a", "1"), table("b", "1"), table("c", "1")].concat());
        let new = config(&[table("a", "1"), table("b", "2"), table("d", "1")].concat());
        let changes = Changes::between(&old.device, &new.device);
        let ids = |list: &[&DeviceConfig]| list.iter().map(|d| d.settings.id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&changes.put), ["b", "d"]);
        assert_eq!(ids(&changes.removed), ["c"]);
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let new = config("[api]\nlisten = \"127.0.0.1:9\"\n[metrics]\nper_device = false\n");
        assert_eq!(need_restart(&Config::default(), &new), ["api", "metrics"]);
        assert!(need_restart(&new, &new).is_empty());
        let kept = config("[retention]\nreports_days = 1\n[webhooks]\ntimeout_seconds = 2\n");
        assert_eq!(need_restart(&Config::default(), &kept), ["retention"]);
    }
}
