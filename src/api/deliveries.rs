//! What webhooks, targets and the forwarding of records have in common: the log of deliveries, and a range of it again.

use serde::Deserialize;
use switchroom_domain::time::Timestamp;
use utoipa::{IntoParams, ToSchema};

use super::State;
use super::error::{Kind, Problem};
use super::input::{self, Page, limit, time};
use crate::delivery::{Deliveries, Feed, Known};
use crate::storage::StorageError;
use crate::storage::deliveries::{self as store, Delivery, State as DeliveryState};

/// Which deliveries are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// Only in this state: `pending`, `delivered`, `failed`, `gap`; of the forwarding of records also `kept`.
    state: Option<String>,
    /// Only of what happened from this time on.
    #[param(example = "2026-11-21T10:00:00Z")]
    since: Option<String>,
    /// How many at most: 1 to 1000, 100 if not given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What became of deliveries, the newest first; each list's cursors are its own.
pub(super) async fn log_of<F: Feed, V: From<Delivery> + ToSchema>(
    state: &State,
    known: &Known<F>,
    list: &'static str,
    query: DeliveriesQuery,
) -> Result<Page<V>, Problem> {
    let limit = limit(query.limit)?;
    let wanted = query.state.as_deref().map(|name| {
        let detail = format!("{name:?} is no state of a delivery; pending, delivered, failed, kept or gap");
        let unknown = || Problem::new(Kind::BadParameter, detail).field("state");
        DeliveryState::parse(name).ok_or_else(unknown)
    });
    let before = query
        .cursor
        .as_deref()
        .map(|cursor| input::place(list, cursor)?.parse::<u64>().map_err(|_| input::bad_cursor()));
    let wish = store::Query {
        state: wanted.transpose()?,
        since: time("since", query.since.as_deref())?,
        before: before.transpose()?,
        limit: limit + 1,
    };
    // What happened a moment ago is shown, too; if that is not to be had, what is written down.
    if let Err(error) = known.flush().await {
        tracing::warn!(%error, list, "deliveries are shown as they were written down");
    }
    let key = known.key;
    let mut found =
        state.services.reader.query(move |connection| F::TABLES.deliveries(connection, key, &wish)).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|last| input::cursor(list, &last.cursor.to_string()));
    Ok(Page { items: found.into_iter().map(V::from).collect(), next_cursor })
}

/// Delivers a range of time again, from `since` until `until` or now. Answers with the range.
///
/// # Errors
/// When these are no times, another range is under way, or the endpoint is not at work.
pub(super) async fn range_again<F: Feed>(
    deliveries: &Deliveries<F>,
    known: &Known<F>,
    since: &str,
    until: Option<&str>,
) -> Result<(Timestamp, Timestamp), Problem> {
    let (since, until) = input::range(since, until)?;
    let range = deliveries.range(since, until).await?;
    if !known.replay(range).await.map_err(|error| not_now(&error))? {
        let detail = "another range is being delivered again here; wait until `redelivering` is false";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    // Once it is promised it goes on after a restart, too.
    known.flush().await.map_err(|error| not_now(&error))?;
    Ok((since, until))
}

/// It is being started again, or the service is stopping.
pub(super) fn not_now(error: &StorageError) -> Problem {
    tracing::warn!(%error, "a webhook or target could not be asked");
    Problem::new(Kind::Unavailable, "it is not at work now; try again").retry_after(2)
}
