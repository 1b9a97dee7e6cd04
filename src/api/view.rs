//! Asking the devices' cells. A cell that is being rebuilt, or does not answer in time, is said to be so.

use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Handler, Message};
use futures_util::StreamExt;
use switchroom_actors::device::Device as Cell;
use switchroom_domain::id::DeviceId;

use super::State;
use super::auth::Caller;
use super::error::{Kind, Problem};
use super::input::device_id;
use crate::devices::Device;

/// How long a cell may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many cells are asked at a time.
const AT_A_TIME: usize = 256;

/// The device of this id, if the caller may see it.
///
/// # Errors
/// 404 when there is none for them.
pub(super) fn device(state: &State, caller: &Caller, id: &str) -> Result<Arc<Device>, Problem> {
    let id: DeviceId = device_id(id)?;
    let seen = state.services.registry.get(&id).filter(|_| caller.sees(&id));
    seen.ok_or_else(|| Problem::no_device(id.as_str()))
}

/// The devices that the caller may see, in their natural order.
pub(super) fn devices(state: &State, caller: &Caller) -> Vec<Arc<Device>> {
    let mut all = state.services.registry.all();
    all.retain(|device| caller.sees(&device.settings.id));
    all
}

/// Asks a device's cell; none when it does not answer in time.
pub(super) async fn try_ask<M>(device: &Device, message: M) -> Option<M::Result>
where
    M: Message + Send + 'static,
    M::Result: Send,
    Cell: Handler<M>,
    <Cell as actix::Actor>::Context: ToEnvelope<Cell, M>,
{
    let addr = device.handle.addr()?;
    tokio::time::timeout(PATIENCE, addr.send(message)).await.ok()?.ok()
}

/// Asks a device's cell.
///
/// # Errors
/// 503 when it does not answer in time.
pub(super) async fn ask<M>(device: &Device, message: M) -> Result<M::Result, Problem>
where
    M: Message + Send + 'static,
    M::Result: Send,
    Cell: Handler<M>,
    <Cell as actix::Actor>::Context: ToEnvelope<Cell, M>,
{
    try_ask(device, message).await.ok_or_else(|| {
        let id = &device.settings.id;
        let detail = format!("device {id} is being loaded or is very busy; try again in a moment");
        Problem::new(Kind::Unavailable, detail).retry_after(1)
    })
}

/// Asks many cells the same; answers come in the order of the devices, none for a cell that does not answer.
pub(super) async fn ask_all<M>(
    devices: Vec<Arc<Device>>,
    message: impl Fn() -> M,
) -> Vec<(Arc<Device>, Option<M::Result>)>
where
    M: Message + Send + 'static,
    M::Result: Send,
    Cell: Handler<M>,
    <Cell as actix::Actor>::Context: ToEnvelope<Cell, M>,
{
    let questions = devices.into_iter().map(|device| {
        let message = message();
        async move {
            let answer = try_ask(&device, message).await;
            (device, answer)
        }
    });
    futures_util::stream::iter(questions).buffered(AT_A_TIME).collect().await
}
