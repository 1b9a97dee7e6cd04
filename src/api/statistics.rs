//! `/statistics`: how many calls, how many answered and in time, how long they rang, waited and talked.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};

use actix_web::web;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use switchroom_domain::id::DeviceId;
use switchroom_domain::time::Timestamp;
use utoipa::{IntoParams, ToSchema};

use super::State;
use super::auth::{Caller, Role};
use super::error::{Kind, Problem, ProblemBody};
use super::input::{self, Params};
use super::view;
use crate::storage::statistics::{DAY, Dimension, HOUR, Line, Query, Sums};

/// The time of which statistics are given if none is said.
const SPAN: i64 = DAY;
/// For so many days at once days of a zone are given: they are summed from hours.
const LOCAL_DAYS: i64 = 100;
/// Most lines of one answer.
const LINES: usize = 10_000;

/// By what calls are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    Hour,
    Day,
    Device,
    Direction,
    Extension,
    Trunk,
    Queue,
}

/// Which statistics are wanted.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StatisticsQuery {
    /// From this time (RFC 3339), by whole hours; a day ago if not given.
    since: Option<String>,
    /// Until this time (RFC 3339); now if not given.
    until: Option<String>,
    /// Only of this device.
    device: Option<String>,
    /// Only of this site.
    site: Option<String>,
    /// The zone in which days begin, as `Asia/Shanghai`; UTC if not given. Sums are of whole hours: where a zone's days begin
    /// within an hour of UTC, that hour counts to the day in which it begins.
    timezone: Option<String>,
    /// `hour`, `day`, `device`, `direction`, `extension`, `trunk`, `queue`; several with commas, but only one of
    /// the last four. None: one line for all.
    group_by: Option<String>,
}

/// Sums of calls.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatisticsLine {
    /// When the hour or day begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// The device.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    device: Option<DeviceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trunk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    calls: i64,
    answered: i64,
    abandoned: i64,
    no_answer: i64,
    busy: i64,
    rejected: i64,
    failed: i64,
    /// How many waited in a queue.
    queued: i64,
    /// Answered of all calls (answer-seizure ratio), 0 to 1.
    answer_ratio: f64,
    /// Answered within 20 s of ringing and waiting, of all calls that were answered or abandoned; null without such.
    service_level: Option<f64>,
    /// Seconds of waiting in queues, for each that waited.
    average_wait_seconds: Option<f64>,
    /// Seconds of ringing, for each call.
    average_ring_seconds: f64,
    /// Seconds of talk, for each that was answered (average call duration).
    average_talk_seconds: Option<f64>,
    /// All talk.
    talk_seconds: f64,
}

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Statistics {
    /// From this time.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Until this time.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    items: Vec<StatisticsLine>,
}

fn each(sum: i64, of: i64) -> Option<f64> {
    (of > 0).then(|| sum as f64 / of as f64)
}

fn seconds(ms: f64) -> f64 {
    ms.round() / 1000.0
}

impl StatisticsLine {
    fn new(line: Line, device: Option<DeviceId>, dimension: Dimension) -> Self {
        let Sums { calls, answered, abandoned, no_answer, busy, rejected, failed, .. } = line.sums;
        let Sums { in_time, queued, ring_ms, queue_ms, talk_ms, .. } = line.sums;
        let of = |wanted: Dimension| line.key.clone().filter(|_| dimension == wanted);
        Self {
            at: line.at.map(Timestamp),
            device,
            direction: of(Dimension::Direction),
            extension: of(Dimension::Extension),
            trunk: of(Dimension::Trunk),
            queue: of(Dimension::Queue),
            calls,
            answered,
            abandoned,
            no_answer,
            busy,
            rejected,
            failed,
            queued,
            answer_ratio: each(answered, calls).unwrap_or(0.0),
            service_level: each(in_time, answered + abandoned),
            average_wait_seconds: each(queue_ms, queued).map(seconds),
            average_ring_seconds: each(ring_ms, calls).map_or(0.0, seconds),
            average_talk_seconds: each(talk_ms, answered).map(seconds),
            talk_seconds: seconds(talk_ms as f64),
        }
    }
}

fn groups(text: Option<&str>) -> Result<Vec<By>, Problem> {
    let wrong = |detail: &str| Problem::new(Kind::BadParameter, detail).field("group_by");
    let known = "group_by is hour, day, device, direction, extension, trunk, queue, or several with commas";
    let read = |name: &str| {
        By::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name))
            .map_err(|_| wrong(known))
    };
    let groups = input::list(text).into_iter().map(read).collect::<Result<Vec<By>, _>>()?;
    let keys = groups.iter().filter(|by| !matches!(by, By::Hour | By::Day | By::Device)).count();
    if keys > 1 {
        return Err(wrong("group_by takes one of direction, extension, trunk, queue at a time"));
    }
    if groups.contains(&By::Hour) && groups.contains(&By::Day) {
        return Err(wrong("group_by takes hour or day, not both"));
    }
    Ok(groups)
}

/// A zone that is not UTC.
fn zone(name: Option<&str>) -> Result<Option<TimeZone>, Problem> {
    let Some(name) = name else { return Ok(None) };
    let wrong = |_| {
        let name: String = name.chars().take(60).collect();
        let detail = format!("{name:?} is no timezone; use a name as Asia/Shanghai or Europe/Berlin");
        Problem::new(Kind::BadParameter, detail).field("timezone")
    };
    let zone = TimeZone::get(name).map_err(wrong)?;
    Ok(Some(zone).filter(|zone| *zone != TimeZone::UTC))
}

/// Sums of hours as sums of a zone's days.
fn local_days(hours: Vec<(Line, Option<DeviceId>)>, zone: &TimeZone) -> Vec<(Line, Option<DeviceId>)> {
    let mut days: BTreeMap<_, (Line, Option<DeviceId>)> = BTreeMap::new();
    for (mut line, device) in hours {
        line.at = line.at.map(|at| day_of(at, zone).unwrap_or(at));
        match days.entry((line.at, line.device, line.key.clone())) {
            Entry::Occupied(mut day) => day.get_mut().0.sums.add(&line.sums, 1),
            Entry::Vacant(place) => {
                place.insert((line, device));
            }
        }
    }
    days.into_values().collect()
}

/// When the day of the zone begins that this time is in.
fn day_of(at: i64, zone: &TimeZone) -> Option<i64> {
    let local = jiff::Timestamp::from_millisecond(at).ok()?.to_zoned(zone.clone());
    Some(local.start_of_day().ok()?.timestamp().as_millisecond())
}

/// Statistics of calls, from sums that are kept with the conversations.
#[utoipa::path(get, path = "/api/v1/statistics", tag = "records", params(StatisticsQuery),
    responses((status = 200, body = Statistics), (status = 400, body = ProblemBody)))]
pub(super) async fn statistics(
    state: web::Data<State>,
    caller: Caller,
    Params(query): Params<StatisticsQuery>,
) -> Result<web::Json<Statistics>, Problem> {
    caller.require(&[Role::Viewer, Role::Operator, Role::Supervisor, Role::Admin])?;
    if caller.extensions().is_some() {
        let detail =
            "statistics are of all calls of a device; this token may see those of its own extensions only";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    let groups = groups(query.group_by.as_deref())?;
    let (since, until) = input::times(query.since.as_deref(), query.until.as_deref())?;
    let until = until.unwrap_or_else(crate::clock::now);
    let since = since.unwrap_or_else(|| Timestamp(until.0.saturating_sub(SPAN)));
    if until < since {
        return Err(input::reversed("since"));
    }
    input::not_empty("site", query.site.as_deref())?;
    let is_here = |device: &crate::devices::Device| {
        query.site.as_ref().is_none_or(|site| device.settings.site == *site)
    };
    let devices = match &query.device {
        Some(id) => {
            let device = view::device(&state, &caller, id)?;
            Some(HashSet::from_iter(is_here(&device).then(|| device.settings.id.clone())))
        }
        None if query.site.is_some() || caller.is_scoped() => {
            let all = view::devices(&state, &caller).into_iter();
            Some(all.filter(|device| is_here(device)).map(|device| device.settings.id.clone()).collect())
        }
        None => None,
    };
    let has = |by| groups.contains(&by);
    let zone = zone(query.timezone.as_deref())?;
    // Days of another zone are summed from hours.
    let by_local_day = zone.filter(|_| has(By::Day));
    if by_local_day.is_some() && until.0.saturating_sub(since.0) > LOCAL_DAYS * DAY {
        let detail = format!(
            "days of a timezone are given for {LOCAL_DAYS} days at once; ask for less time, or in UTC"
        );
        return Err(Problem::new(Kind::BadParameter, detail).field("timezone"));
    }
    let keys =
        [(By::Extension, Dimension::Extension), (By::Trunk, Dimension::Trunk), (By::Queue, Dimension::Queue)];
    let by_key = keys.into_iter().find(|(by, _)| has(*by)).map(|(_, dimension)| dimension);
    let dimension = by_key.unwrap_or(Dimension::Direction);
    let sums = Query {
        since: since.0,
        until: until.0,
        devices: Vec::new(),
        dimension,
        grain: if has(By::Hour) || by_local_day.is_some() { Some(HOUR) } else { has(By::Day).then_some(DAY) },
        by_device: has(By::Device),
        by_key: by_key.is_some() || has(By::Direction),
    };
    let devices = devices.map(|devices: HashSet<DeviceId>| devices.into_iter().collect());
    // A day is summed from its hours.
    let most = if by_local_day.is_some() { 25 * LINES } else { LINES };
    let mut found = state.services.reader.statistics(sums, devices, most).await?;
    if let Some(zone) = by_local_day {
        found = found.map(|found| local_days(found, &zone));
    }
    let Some(found) = found.filter(|found| found.len() <= LINES) else {
        let detail =
            format!("these are more than {LINES} lines; ask for less time, one device, or fewer groups");
        return Err(Problem::new(Kind::BadParameter, detail).field("group_by"));
    };
    let items =
        found.into_iter().map(|(line, device)| StatisticsLine::new(line, device, dimension)).collect();
    Ok(web::Json(Statistics { since, until, items }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_a_zone_are_summed_from_their_hours() {
        let zone = zone(Some("Asia/Shanghai")).expect("there is one").expect("it is not UTC");
        let at = |text: &str| text.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
        let line = |hour: &str, calls| Line {
            at: Some(at(hour)),
            device: None,
            key: None,
            sums: Sums { calls, ..Sums::default() },
        };
        let hours =
            ["2026-11-20T15:00:00Z", "2026-11-20T16:00:00Z", "2026-11-21T15:00:00Z", "2026-11-21T16:00:00Z"];
        let hours = hours.iter().zip([1, 2, 4, 8]).map(|(hour, calls)| (line(hour, calls), None)).collect();
        let days: Vec<(i64, i64)> = local_days(hours, &zone)
            .iter()
            .map(|(line, _)| (line.at.expect("a day"), line.sums.calls))
            .collect();
        let expected =
            [("2026-11-19T16:00:00Z", 1), ("2026-11-20T16:00:00Z", 6), ("2026-11-21T16:00:00Z", 8)];
        assert_eq!(days, expected.map(|(day, calls)| (at(day), calls)));
        // A day of 23 hours.
        let berlin = super::zone(Some("Europe/Berlin")).expect("there is one").expect("it is not UTC");
        assert_eq!(day_of(at("2026-03-29T21:30:00Z"), &berlin), Some(at("2026-03-28T23:00:00Z")));
        assert!(super::zone(Some("UTC")).expect("there is one").is_none());
        assert_eq!(super::zone(Some("Mars/Base")).expect_err("there is none").kind(), Kind::BadParameter);
    }
}
