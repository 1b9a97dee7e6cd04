//! Reading the log of events for webhooks: in pages, by cursor, by id, by time.

use switchroom_domain::id::EventId;
use switchroom_domain::time::{Millis, Timestamp};

use super::TABLES;
use crate::delivery::{Log, Page};
use crate::storage::hub::Tail;
use crate::storage::{EventQuery, Published, StorageError, block};

/// Events of a time lie no further apart in the log.
const SLACK: Millis = Millis::from_secs(60);

/// Up to `limit` events after this cursor, from the store.
pub(super) async fn page(log: Log, after: u64, limit: usize) -> Result<Page<Published>, StorageError> {
    // Everything up to here is committed, so that a query that begins now sees it.
    let latest = log.store.hub().latest();
    let oldest = log.reader.query(block::oldest).await?;
    let after = after.max(oldest);
    let (events, reached) = log.reader.events(EventQuery { after, limit, device: None }).await?;
    let last = events.last().map_or(after, |last| last.cursor);
    Ok(Page { oldest, items: events, reached: reached.unwrap_or(latest).max(last) })
}

/// The event at this cursor, if it is still there.
pub(super) async fn event(log: &Log, cursor: u64) -> Result<Option<Published>, StorageError> {
    let after = cursor.saturating_sub(1);
    let found = match log.store.hub().after(after, 1) {
        Tail::Events(events) => events,
        Tail::TooOld => log.reader.events(EventQuery { after, limit: 1, device: None }).await?.0,
    };
    Ok(found.into_iter().find(|published| published.cursor == cursor))
}

/// The event of this id, if it is still there.
pub(super) async fn find(log: &Log, webhook: i64, id: EventId) -> Result<Option<Published>, StorageError> {
    let logged = log.reader.query(move |connection| TABLES.of_item(connection, webhook, id.0)).await?;
    if let Some(delivery) = logged {
        return event(log, delivery.cursor).await;
    }
    // An id tells its time.
    let Some((seconds, nanoseconds)) = id.0.get_timestamp().map(|time| time.to_unix()) else {
        return Ok(None);
    };
    let ms = seconds.saturating_mul(1000).saturating_add(u64::from(nanoseconds) / 1_000_000);
    let at = Timestamp(i64::try_from(ms).unwrap_or(i64::MAX));
    let mut after = before(log, at).await?;
    loop {
        let (events, reached) = log.reader.events(EventQuery { after, limit: 1000, device: None }).await?;
        let beyond = events.last().is_some_and(|last| last.sealed.event.at > at.plus(SLACK));
        if let Some(found) = events.into_iter().find(|published| published.sealed.event.id == id) {
            return Ok(Some(found));
        }
        match reached {
            Some(reached) if !beyond => after = reached,
            _ => return Ok(None),
        }
    }
}

/// A cursor that lies before every event of this time.
pub(super) async fn before(log: &Log, at: Timestamp) -> Result<u64, StorageError> {
    log.reader.query(move |connection| block::cursor_before(connection, at.minus(SLACK))).await
}
