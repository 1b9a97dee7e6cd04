//! What the live view shows, gathered from the running server a few times a second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use switchroom_actors::device::messages::{GetCalls, GetExtensions, GetGroups, GetStatus};
use switchroom_domain::view::{CallView, ExtensionState, GroupView};

use super::Demo;
use crate::cli::duration::clock;
use crate::devices::Device;
use crate::storage::Published;
use crate::storage::hub::Tail;

/// Rates are over this long.
const WINDOW: Duration = Duration::from_secs(10);
/// Events that stay to be shown.
const EVENTS: usize = 200;

/// One device's line.
#[derive(Debug, Clone)]
pub(super) struct DeviceLine {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) dialect: &'static str,
    pub(super) up: bool,
    pub(super) idle: usize,
    pub(super) ringing: usize,
    pub(super) busy: usize,
    pub(super) offline: usize,
    pub(super) calls: usize,
    pub(super) waiting: usize,
}

/// One queue with callers in it.
#[derive(Debug, Clone)]
pub(super) struct QueueLine {
    pub(super) device: String,
    pub(super) queue: GroupView,
}

/// Counts that go up, at a point in time.
#[derive(Debug, Clone, Copy)]
struct Counts {
    at: Instant,
    reports: f64,
    events: u64,
}

/// Everything that is shown.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) devices: Vec<DeviceLine>,
    /// Live calls, the latest first.
    pub(super) calls: Vec<CallView>,
    pub(super) queues: Vec<QueueLine>,
    /// The last events, the latest last.
    pub(super) events: VecDeque<Published>,
    pub(super) reports: f64,
    pub(super) reports_per_second: f64,
    pub(super) events_per_second: f64,
    /// p50 and p99 of report → published event, in seconds.
    pub(super) latency: Option<(f64, f64)>,
    cursor: u64,
    window: VecDeque<Counts>,
}

impl Snapshot {
    /// Brings it up to now.
    pub(super) async fn refresh(&mut self, demo: &Demo) {
        self.devices.clear();
        self.calls.clear();
        self.queues.clear();
        for device in demo.app.services.registry.all() {
            self.take_device(&device).await;
        }
        self.calls.sort_by(|a, b| b.started_at.cmp(&a.started_at).then_with(|| b.id.0.cmp(&a.id.0)));
        self.take_events(demo);
        self.take_metrics(demo);
    }

    async fn take_device(&mut self, device: &Device) {
        // A cell that is just being rebuilt answers nothing; the next look shows it.
        let Some(cell) = device.handle.addr() else { return };
        let status = cell.send(GetStatus).await.ok();
        let extensions = cell.send(GetExtensions(None)).await.unwrap_or_default();
        let calls = cell.send(GetCalls(None)).await.unwrap_or_default();
        let queues = cell.send(GetGroups).await.unwrap_or_default();
        let count = |state| extensions.iter().filter(|extension| extension.state == state).count();
        self.devices.push(DeviceLine {
            id: device.settings.id.to_string(),
            name: device.settings.name.clone(),
            dialect: device.settings.dialect.as_str(),
            up: status.is_some_and(|status| status.last_report_at.is_some()),
            idle: count(ExtensionState::Idle),
            ringing: count(ExtensionState::Ringing),
            busy: count(ExtensionState::Busy),
            offline: count(ExtensionState::Offline),
            calls: calls.len(),
            waiting: queues.iter().map(|queue| queue.waiting_count).sum(),
        });
        self.calls.extend(calls);
        let id = device.settings.id.to_string();
        let waiting = queues.into_iter().filter(|queue| queue.waiting_count > 0);
        self.queues.extend(waiting.map(|queue| QueueLine { device: id.clone(), queue }));
    }

    fn take_events(&mut self, demo: &Demo) {
        let hub = demo.app.services.store.hub();
        // Only the last ones are shown, however many came.
        let from = self.cursor.max(hub.latest().saturating_sub(EVENTS as u64));
        if let Tail::Events(events) = hub.after(from, EVENTS) {
            for event in events {
                self.cursor = event.cursor;
                self.events.push_back(event);
            }
        }
        while self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    fn take_metrics(&mut self, demo: &Demo) {
        let services = &demo.app.services;
        let text = services.metrics.scrape(&services.census, &[]).unwrap_or_default();
        self.reports = samples(&text, "switchroom_reports_total").map(|(_, value)| value).sum();
        self.latency = latency(&text);
        let now = Counts { at: Instant::now(), reports: self.reports, events: services.store.hub().latest() };
        self.window.push_back(now);
        while self.window.len() > 2 && self.window.front().is_some_and(|first| now.at - first.at > WINDOW) {
            self.window.pop_front();
        }
        if let Some(first) = self.window.front() {
            let seconds = (now.at - first.at).as_secs_f64().max(0.1);
            self.reports_per_second = (now.reports - first.reports) / seconds;
            self.events_per_second = now.events.saturating_sub(first.events) as f64 / seconds;
        }
    }

    /// How many callers wait.
    pub(super) fn waiting(&self) -> usize {
        self.devices.iter().map(|device| device.waiting).sum()
    }

    /// The counts in one line.
    pub(super) fn summary(&self, gap: &str) -> String {
        let latency = self.latency.map_or_else(String::new, |(p50, p99)| {
            format!("{gap}published p50 {} p99 {} ms", milliseconds(p50), milliseconds(p99))
        });
        format!(
            "calls {}{gap}waiting {}{gap}reports {:.1}/s{gap}events {:.1}/s{latency}",
            self.calls.len(),
            self.waiting(),
            self.reports_per_second,
            self.events_per_second
        )
    }

    /// What the whole run came to.
    pub(super) async fn farewell(demo: &Demo) -> String {
        let mut last = Self::default();
        last.refresh(demo).await;
        format!(
            "The demo ran {}: {} reports became {} events; nothing of it is left behind.",
            clock(i64::try_from(demo.started.elapsed().as_secs()).unwrap_or_default()),
            last.reports,
            demo.app.services.store.hub().latest()
        )
    }
}

/// Seconds as milliseconds for people.
fn milliseconds(seconds: f64) -> String {
    match seconds * 1000.0 {
        ms if ms < 10.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

/// The samples of one metric in Prometheus text: labels and value.
fn samples<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        (labels.is_empty() || labels.starts_with('{')).then_some((labels, value.parse().ok()?))
    })
}

/// p50 and p99 of the publish histogram, over all dialects, straight lines within a bucket.
fn latency(text: &str) -> Option<(f64, f64)> {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for (labels, count) in samples(text, "switchroom_report_publish_seconds_bucket") {
        let edge = labels.split("le=\"").nth(1)?.split('"').next()?;
        let edge: f64 = if edge == "+Inf" { f64::INFINITY } else { edge.parse().ok()? };
        match buckets.iter_mut().find(|(known, _)| *known == edge) {
            Some((_, sum)) => *sum += count,
            None => buckets.push((edge, count)),
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    Some((quantile(&buckets, 0.5)?, quantile(&buckets, 0.99)?))
}

fn quantile(buckets: &[(f64, f64)], q: f64) -> Option<f64> {
    let total = buckets.last().map(|(_, count)| *count).filter(|total| *total > 0.0)?;
    let rank = q * total;
    let (mut edge_before, mut count_before) = (0.0, 0.0);
    for &(edge, count) in buckets {
        if count >= rank {
            let part =
                if count > count_before { (rank - count_before) / (count - count_before) } else { 1.0 };
            return Some(if edge.is_finite() {
                edge_before + (edge - edge_before) * part
            } else {
                edge_before
            });
        }
        (edge_before, count_before) = (edge, count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_read_from_the_histograms_of_all_dialects() {
        let text = "# HELP x\nswitchroom_report_publish_seconds_bucket{dialect=\"om\",le=\"0.01\"} 50\n\
                    switchroom_report_publish_seconds_bucket{dialect=\"om\",le=\"0.02\"} 99\n\
                    switchroom_report_publish_seconds_bucket{dialect=\"om\",le=\"+Inf\"} 99\n\
                    switchroom_report_publish_seconds_bucket{dialect=\"zycoo\",le=\"0.01\"} 0\n\
                    switchroom_report_publish_seconds_bucket{dialect=\"zycoo\",le=\"0.02\"} 0\n\
                    switchroom_report_publish_seconds_bucket{dialect=\"zycoo\",le=\"+Inf\"} 1\n";
        let (p50, p99) = latency(text).expect("there are samples");
        assert!((p50 - 0.01).abs() < 1e-9 && (p99 - 0.02).abs() < 1e-9, "{p50} {p99}");
        assert!(latency("").is_none());
    }

    #[test]
    fn only_the_metric_of_that_name_counts() {
        let text = "a_total{x=\"1\"} 2\na_total{x=\"2\"} 3\na_total_other 9\na 4\n";
        assert_eq!(samples(text, "a_total").map(|(_, value)| value).sum::<f64>(), 5.0);
    }
}
