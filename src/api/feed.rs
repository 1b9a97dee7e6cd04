//! A subscriber's cursor over the one log of events: from memory as far as that reaches back, before that from
//! the store, in pages, without gap or double. Cursors only go up, and each event has one.

use super::State;
use super::error::{Kind, Problem};
use super::filter::Filter;
use crate::storage::hub::Tail;
use crate::storage::{EventQuery, Published, StorageError, block};

/// How many events are looked at in one go.
pub(super) const PAGE: usize = 500;

/// Why a subscriber does not go on where it asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(super) struct Reset {
    /// `expired`: events after that cursor are no longer kept; `unknown`: it is beyond the last event.
    pub(super) reason: &'static str,
    /// The cursor after which it goes on.
    #[serde(serialize_with = "as_text")]
    pub(super) cursor: u64,
}

fn as_text<S: serde::Serializer>(cursor: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cursor)
}

/// A subscriber's place; see the module.
pub(super) struct Feed {
    cursor: u64,
    filter: Filter,
}

/// The cursor that a client gave back.
///
/// # Errors
/// When it is none of ours.
pub(super) fn parse_cursor(text: &str) -> Result<u64, Problem> {
    let is_ours = !text.is_empty() && text.len() <= 19 && text.bytes().all(|b| b.is_ascii_digit());
    let detail = "use the `cursor` of an event (the `id` of a server-sent one), as it is";
    is_ours
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| Problem::new(Kind::BadCursor, detail).field("since"))
}

/// The cursor before the oldest event that is kept.
pub(super) async fn oldest(state: &State) -> Result<u64, StorageError> {
    state.services.reader.query(block::oldest).await
}

impl Feed {
    /// From this cursor on.
    pub(super) const fn new(cursor: u64, filter: Filter) -> Self {
        Self { cursor, filter }
    }

    /// From where a client asks to go on, or from now. Says so when that place is not there.
    ///
    /// # Errors
    /// When the cursor is none of ours.
    pub(super) async fn resume(
        state: &State,
        since: Option<&str>,
        filter: Filter,
    ) -> Result<(Self, Option<Reset>), Problem> {
        let latest = state.services.store.hub().latest();
        let Some(since) = since else { return Ok((Self::new(latest, filter), None)) };
        let cursor = parse_cursor(since)?;
        let reset = Self::reset(state, cursor, latest).await?;
        Ok((Self::new(reset.map_or(cursor, |reset| reset.cursor), filter), reset))
    }

    async fn reset(state: &State, cursor: u64, latest: u64) -> Result<Option<Reset>, Problem> {
        if cursor > latest {
            return Ok(Some(Reset { reason: "unknown", cursor: latest }));
        }
        if matches!(state.services.store.hub().after(cursor, 0), Tail::Events(_)) {
            return Ok(None);
        }
        let oldest = oldest(state).await?;
        Ok((cursor < oldest).then_some(Reset { reason: "expired", cursor: oldest }))
    }

    /// How far it has come: every event up to here was given or is not wanted.
    pub(super) const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Its filter.
    pub(super) const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Goes on with another filter from the same place.
    pub(super) fn set_filter(&mut self, filter: Filter) {
        self.filter = filter;
    }

    /// Has it seen everything that is published?
    pub(super) fn is_at_end(&self, state: &State) -> bool {
        self.cursor >= state.services.store.hub().latest()
    }

    /// Looks at the next events, up to [`PAGE`] of them and `limit` wanted ones; gives those that are wanted.
    /// An empty answer does not mean the end: see [`Self::is_at_end`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn next(&mut self, state: &State, limit: usize) -> Result<Vec<Published>, StorageError> {
        match state.services.store.hub().after(self.cursor, PAGE) {
            Tail::Events(events) => {
                let mut items = Vec::new();
                for published in events {
                    self.cursor = published.cursor;
                    if self.filter.wants(&published.sealed.event) {
                        items.push(published);
                        if items.len() >= limit {
                            break;
                        }
                    }
                }
                Ok(items)
            }
            Tail::TooOld => self.read_store(state, limit).await,
        }
    }

    async fn read_store(&mut self, state: &State, limit: usize) -> Result<Vec<Published>, StorageError> {
        // Everything up to here is committed, so that a query that begins now sees it.
        let latest = state.services.store.hub().latest();
        let query = EventQuery { after: self.cursor, limit: PAGE, device: self.filter.only_device() };
        let (found, reached) = state.services.reader.events(query).await?;
        let mut items = Vec::new();
        for published in found {
            self.cursor = published.cursor;
            if self.filter.wants(&published.sealed.event) {
                items.push(published);
                if items.len() >= limit {
                    return Ok(items);
                }
            }
        }
        self.cursor = self.cursor.max(reached.unwrap_or(latest));
        Ok(items)
    }
}

/// The end of events after a cursor that are asked for by page, not by stream.
pub(super) fn expired(oldest: u64) -> Problem {
    let detail = format!("begin again with since={oldest}, or without `since`; what was before is lost");
    Problem::new(Kind::CursorExpired, detail).field("since")
}
