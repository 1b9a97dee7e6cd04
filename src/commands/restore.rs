//! Giving a device back what it forgets when it starts again.
//!
//! An OM keeps what commands assign in memory only (2.1.2), so after each BOOTUP all of it is assigned once more, in
//! order: extensions, groups, menus. A device that has just started may not take commands yet, so what did not reach it
//! is tried again for a while. What came of it stands beside each setting (`GET /devices/{device}/desired`).

use std::sync::Arc;
use std::time::Duration;

use switchroom_actors::device::messages::GetStatus;
use switchroom_domain::id::DeviceId;
use switchroom_domain::view::CommandState;
use tokio::sync::mpsc;

use super::By;
use crate::app::Services;
use crate::devices::Device;
use crate::storage::desired::{self, Desired};

/// How long it is waited before what did not reach the device is tried again; each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How often.
const TRIES: u32 = 7;
/// How long one assignment may take.
const WAIT: Duration = Duration::from_secs(30);
/// Under which these commands are counted: nobody's token.
const NOBODY: [u8; 32] = [0; 32];

/// Gives devices back what they forgot, as they are told to have started, until the service stops.
pub async fn restore_all(services: Arc<Services>, mut booted: mpsc::UnboundedReceiver<DeviceId>) {
    let mut stopping = services.stopping.subscribe();
    if let Err(error) = take_up(&services).await {
        tracing::error!(%error, "what devices forgot before the service stopped cannot be given back");
    }
    loop {
        let device = tokio::select! {
            device = booted.recv() => device,
            // An error means that the service has gone.
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        let Some(id) = device else { return };
        let Some(device) = services.registry.get(&id) else { continue };
        actix_rt::spawn(restore(Arc::clone(&services), device));
    }
}

/// Devices that started before the service did, and were not given everything back since.
async fn take_up(services: &Arc<Services>) -> Result<(), crate::storage::StorageError> {
    for (id, given) in services.reader.query(desired::devices).await? {
        let Some(device) = services.registry.get(&id) else { continue };
        let Some(cell) = device.handle.addr() else { continue };
        let booted_at = cell.send(GetStatus).await.ok().and_then(|status| status.booted_at);
        if booted_at.is_some_and(|at| given < at) {
            actix_rt::spawn(restore(Arc::clone(services), device));
        }
    }
    Ok(())
}

/// The same as it is wanted now: somebody may have assigned something else since it was read.
async fn as_it_is_now(services: &Services, device: &Device, desired: Desired) -> Option<Desired> {
    let id = device.settings.id.clone();
    let place = (desired.kind.clone(), desired.key.clone());
    let now = services.reader.query(move |connection| {
        // On its way to the device: it is remembered once that has taken it.
        let on_its_way = crate::storage::commands::open(connection)?
            .iter()
            .any(|open| open.view.device == id && desired::is_of(&open.view.request, &place.0, &place.1));
        if on_its_way { Ok(Vec::new()) } else { desired::of_device(connection, &id) }
    });
    match now.await {
        Ok(now) => now.into_iter().find(|now| now.kind == desired.kind && now.key == desired.key),
        Err(_) => Some(desired),
    }
}

async fn restore(services: Arc<Services>, device: Arc<Device>) {
    // Once more at a time: a device may start again while it is given its settings.
    let _one = device.restoring.lock().await;
    let id = device.settings.id.clone();
    let wanted = services.reader.query(move |connection| desired::of_device(connection, &id)).await;
    let mut wanted = match wanted {
        Ok(wanted) if wanted.is_empty() => return,
        Ok(wanted) => wanted,
        Err(error) => {
            tracing::error!(device.id = %device.settings.id, %error, "what the device forgot cannot be read");
            return;
        }
    };
    let all = wanted.len();
    let mut pause = FIRST_PAUSE;
    for _ in 0..TRIES {
        let mut left = Vec::new();
        for desired in wanted {
            let Some(desired) = as_it_is_now(&services, &device, desired).await else { continue };
            if let Err((desired, may_still)) = give_back(&services, &device, desired).await {
                note(&services, &device, &desired);
                if may_still {
                    left.push(desired);
                }
            }
        }
        wanted = left;
        if wanted.is_empty() {
            break;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    let missing = wanted.len();
    tracing::info!(device.id = %device.settings.id, all, missing, "the device was given back what it forgot");
}

/// Assigns one thing again. Gives it back with why not, and whether it may succeed later.
async fn give_back(
    services: &Services,
    device: &Arc<Device>,
    mut desired: Desired,
) -> Result<(), (Desired, bool)> {
    let by = By { token: NOBODY, key: None };
    match services.post_command(device, desired.command.clone(), &by, Some(WAIT)).await {
        Ok(posted) if posted.view.state == CommandState::Succeeded => Ok(()),
        Ok(posted) => {
            let error = posted.view.error;
            let refused = error.as_ref().is_some_and(|error| error.kind == "refused");
            desired.error = Some(error.map_or_else(|| "no answer in time".into(), |e| e.reason.to_string()));
            Err((desired, !refused))
        }
        Err(error) => {
            desired.error = Some(error.to_string());
            Err((desired, matches!(error, super::NotTaken::Refused(_))))
        }
    }
}

fn note(services: &Services, device: &Device, failed: &Desired) {
    let (id, failed) = (device.settings.id.clone(), failed.clone());
    let error = failed.error.as_deref().unwrap_or_default();
    tracing::warn!(device.id = %id, kind = failed.kind, key = failed.key, error, "a setting could not be given back");
    let written = services.store.write(move |transaction| desired::failed(transaction, &id, &failed));
    actix_rt::spawn(async move {
        if let Err(error) = written.await {
            tracing::error!(%error, "it could not be noted that a setting was not given back");
        }
    });
}
