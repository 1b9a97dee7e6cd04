//! What streams and WebSockets share: the bound on how many there are, and when to look for more.
//!
//! A few subscribers look whenever something was committed. Where there are many, each looks at most every few
//! milliseconds, the less often the more there are: one look then takes many events, and commits do not wake everyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::web;
use prometheus::{Histogram, IntGauge};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::State;
use super::error::{Kind, Problem};
use super::feed::{Feed, PAGE};
use super::filter::Wish;
use crate::storage::{Published, StorageError};

/// How often a subscriber's token is looked at again.
const CHECK: Duration = Duration::from_secs(9);

/// What a subscriber may ask for in the query.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// After this cursor; without it from now.
    pub(super) since: Option<String>,
    /// Only of these devices, comma-separated.
    device: Option<String>,
    /// Only of these kinds, comma-separated; `call.*` is all of a family.
    #[param(example = "call.*,queue.entered")]
    kind: Option<String>,
    /// Only those that concern these extensions, comma-separated: as `extension`, `from` or `to`.
    extension: Option<String>,
    /// The token, where a browser cannot set the header `Authorization`.
    #[expect(dead_code, reason = "it was read before the handler; it stands here to be allowed")]
    access_token: Option<String>,
}

impl StreamQuery {
    /// Its filter.
    pub(super) fn wish(&self) -> Wish {
        Wish { device: self.device.clone(), kind: self.kind.clone(), extension: self.extension.clone() }
    }
}

/// A place among the streams that may be open; freed when it is dropped.
pub(super) struct Place {
    open: Arc<AtomicUsize>,
    gauge: IntGauge,
    /// How long after they happened its events were given.
    delivery: Histogram,
}

impl Place {
    /// Takes a place.
    ///
    /// # Errors
    /// 503 when all are taken, or the service is stopping.
    pub(super) fn take(state: &State, transport: &str) -> Result<Self, Problem> {
        if *state.ending.borrow() {
            let detail = "the service is stopping; connect again in a moment";
            return Err(Problem::new(Kind::Unavailable, detail).retry_after(2));
        }
        let bound = state.services.config.api.streams;
        if state.streams.fetch_add(1, Ordering::Relaxed) >= bound {
            state.streams.fetch_sub(1, Ordering::Relaxed);
            let detail = format!("{bound} event streams are open, as many as api.streams allows; close one");
            return Err(Problem::new(Kind::Unavailable, detail).retry_after(10));
        }
        let gauge = state.services.metrics.event_clients.with_label_values(&[transport]);
        gauge.inc();
        let delivery = state.services.metrics.event_delivery.with_label_values(&[transport]);
        Ok(Self { open: Arc::clone(&state.streams), gauge, delivery })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
    }
}

/// What a subscriber comes to.
pub(super) enum Next {
    /// These are wanted.
    Items(Vec<Published>),
    /// Nothing for this long.
    Quiet,
    /// The service is stopping, and everything was given.
    Ending,
}

/// A subscriber that waits for its events.
pub(super) struct Subscriber {
    state: web::Data<State>,
    /// Its place in the events.
    pub(super) feed: Feed,
    latest: watch::Receiver<u64>,
    ending: watch::Receiver<bool>,
    removals: watch::Receiver<u64>,
    looked: Instant,
    /// When its token was last looked at; none when that is due at once.
    checked: Option<Instant>,
    /// It has been at the end: what it is given from now on has just happened.
    is_live: bool,
    place: Place,
}

impl Subscriber {
    /// A subscriber at this place.
    pub(super) fn new(state: web::Data<State>, feed: Feed, place: Place) -> Self {
        let latest = state.services.store.hub().watch();
        let ending = state.ending.subscribe();
        let removals = state.tokens.removals();
        let now = Instant::now();
        Self { state, feed, latest, ending, removals, looked: now, checked: Some(now), is_live: false, place }
    }

    /// What the whole API shares.
    pub(super) const fn state(&self) -> &web::Data<State> {
        &self.state
    }

    /// The next events, or word that none came until the deadline. It can be dropped at any point and called
    /// again: the cursor moves only with what is given.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn next(&mut self, until: Instant) -> Result<Next, StorageError> {
        loop {
            self.latest.mark_unchanged();
            self.looked = Instant::now();
            while !self.feed.is_at_end(&self.state) {
                let items = self.feed.next(&self.state, PAGE).await?;
                if let Some(oldest) = items.first() {
                    if self.is_live {
                        let after = crate::clock::now().since(oldest.sealed.event.at);
                        self.place.delivery.observe(after.seconds().max(0.0));
                    }
                    return Ok(Next::Items(items));
                }
                if Instant::now() >= until {
                    return Ok(Next::Quiet);
                }
                // Looking through many that are not wanted must not keep others from their turn.
                tokio::task::yield_now().await;
            }
            if *self.ending.borrow() {
                return Ok(Next::Ending);
            }
            self.is_live = true;
            let spaced = self.looked + self.spacing();
            tokio::select! {
                changed = self.latest.changed() => {
                    if changed.is_err() {
                        return Ok(Next::Ending);
                    }
                    // The clock of timers ticks in milliseconds: a shorter sleep would be a longer one.
                    if spaced > Instant::now() {
                        tokio::time::sleep_until(spaced).await;
                    }
                }
                changed = self.ending.changed() => {
                    if changed.is_err() {
                        return Ok(Next::Ending);
                    }
                }
                // Word of a removed token must not wait for the next event.
                _ = self.removals.changed() => {
                    self.checked = None;
                    return Ok(Next::Quiet);
                }
                () = tokio::time::sleep_until(until) => return Ok(Next::Quiet),
            }
        }
    }

    /// Is the token still good that this was opened with? Asks at most every few seconds.
    pub(super) async fn may_go_on(&mut self) -> bool {
        if self.checked.is_some_and(|at| at.elapsed() < CHECK) {
            return true;
        }
        self.checked = Some(Instant::now());
        self.state.tokens.still_good(self.feed.filter().caller()).await
    }

    fn spacing(&self) -> Duration {
        let open = u64::try_from(self.state.streams.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        Duration::from_millis((open / 20).min(50))
    }
}
