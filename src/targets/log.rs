//! The log of reports, as feeds read it that pass reports on: to targets, and as the vendor's forwarding.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use switchroom_domain::id::Minter;
use switchroom_domain::time::{Millis, Timestamp};
use tokio::sync::watch;

use crate::delivery::{Item, Log, Page};
use crate::storage::block::{self, Received};
use crate::storage::db::Connection;
use crate::storage::deliveries::{Delivery, DeliveryBody, State};
use crate::storage::{DatabaseStore, StorageError};

/// Reports of a time lie no further apart in the log.
const SLACK: Millis = Millis::from_secs(60);

impl Item for Received {
    fn cursor(&self) -> u64 {
        self.cursor
    }

    fn at(&self) -> Timestamp {
        self.report.seed.at
    }

    fn delivery(&self) -> Delivery {
        let report = &self.report;
        let lane = self.device.as_str().into();
        let body = DeliveryBody { kind: report.name.clone(), lane, ..Default::default() };
        let id = Minter::report_id(report.seed).0;
        Delivery { cursor: self.cursor, state: State::Pending, item: Some(id), at: report.seed.at, body }
    }

    fn watch(store: &DatabaseStore) -> watch::Receiver<u64> {
        store.hub().watch_reports()
    }

    fn page(log: Log, after: u64, limit: usize) -> BoxFuture<'static, Result<Page<Self>, StorageError>> {
        // Everything up to here is committed, so that a query that begins now sees it.
        let latest = *log.store.hub().watch_reports().borrow();
        let query = move |connection: &Connection| {
            let oldest = block::oldest_report(connection)?;
            let (items, reached) = block::reports(connection, after.max(oldest), limit)?;
            let last = items.last().map_or_else(|| after.max(oldest), |last| last.cursor);
            Ok(Page { oldest, items, reached: reached.unwrap_or(latest).max(last) })
        };
        async move { log.reader.query(query).await }.boxed()
    }

    fn find(log: Log, cursor: u64) -> BoxFuture<'static, Result<Option<Self>, StorageError>> {
        let query = move |connection: &Connection| {
            let (found, _) = block::reports(connection, cursor.saturating_sub(1), 1)?;
            Ok(found.into_iter().find(|received| received.cursor == cursor))
        };
        async move { log.reader.query(query).await }.boxed()
    }

    fn before(log: Log, at: Timestamp) -> BoxFuture<'static, Result<u64, StorageError>> {
        let query = move |connection: &Connection| block::report_before(connection, at.minus(SLACK));
        async move { log.reader.query(query).await }.boxed()
    }
}
