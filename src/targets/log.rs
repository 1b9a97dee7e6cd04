//! The log of reports, as feeds read it that pass reports on.

use std::sync::Arc;

use switchroom_domain::time::{Millis, Timestamp};

use crate::delivery::{Feed, Page, Shared};
use crate::storage::StorageError;
use crate::storage::block::{self, Received};

/// Reports of a time lie no further apart in the log.
const SLACK: Millis = Millis::from_secs(60);

/// Up to so many reports after a cursor.
pub(crate) async fn page<F: Feed>(
    shared: Arc<Shared<F>>,
    after: u64,
    limit: usize,
) -> Result<Page<Received>, StorageError> {
    // Everything up to here is committed, so that a query that begins now sees it.
    let latest = *shared.store.hub().watch_reports().borrow();
    let query = move |connection: &crate::storage::db::Connection| {
        let oldest = block::oldest_report(connection)?;
        let (items, reached) = block::reports(connection, after.max(oldest), limit)?;
        let last = items.last().map_or_else(|| after.max(oldest), |last| last.cursor);
        Ok(Page { oldest, items, reached: reached.unwrap_or(latest).max(last) })
    };
    shared.reader.query(query).await
}

/// The report at a cursor, if it is still there.
pub(crate) async fn item<F: Feed>(
    shared: Arc<Shared<F>>,
    cursor: u64,
) -> Result<Option<Received>, StorageError> {
    let query = move |connection: &crate::storage::db::Connection| {
        let (found, _) = block::reports(connection, cursor.saturating_sub(1), 1)?;
        Ok(found.into_iter().find(|received| received.cursor == cursor))
    };
    shared.reader.query(query).await
}

/// A cursor that lies before every report of this time.
pub(crate) async fn before<F: Feed>(shared: Arc<Shared<F>>, at: Timestamp) -> Result<u64, StorageError> {
    shared.reader.query(move |connection| block::report_before(connection, at.minus(SLACK))).await
}
