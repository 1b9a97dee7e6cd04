//! What is measured. [`list`] declares every metric and reads as their manual; here is when each of them moves.
//!
//! Counters and histograms are moved where things happen; gauges are read at the scrape from counts that the
//! cells keep as they change ([`switchroom_actors::census`]). Labels are few and bounded: what a device calls
//! its report is only used as a label when it is a known name.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prometheus::{Encoder, IntGaugeVec, Registry, TextEncoder};
use switchroom_actors::census::Census;
use switchroom_actors::ports::{INTERNAL, Observer};
use switchroom_domain::command::Command;
use switchroom_domain::event::{Event, EventKind};
use switchroom_domain::outcome::Outcome;
use switchroom_domain::view::{Basis, Direction};

use crate::devices::DeviceFacts;

mod declare;
mod list;
mod manual;
mod process;

pub use declare::{Entry, Series};
pub use list::{DETAIL, Detail, List, METRICS};
pub use manual::manual;

/// States of extensions, in the order of their numbers.
pub(crate) const EXTENSION_STATES: [&str; 5] = ["idle", "ringing", "busy", "offline", "unknown"];
/// States of trunks, in the order of their numbers.
pub(crate) const TRUNK_STATES: [&str; 5] = ["ready", "active", "unwired", "offline", "unknown"];

/// All metrics; see the module.
pub struct Metrics {
    registry: Registry,
    list: List,
    per_device: bool,
}

impl Deref for Metrics {
    type Target = List;

    fn deref(&self) -> &List {
        &self.list
    }
}

/// How a device is, as a scrape tells it.
#[derive(Debug, Clone)]
pub struct DeviceGauges {
    /// Its id.
    pub id: String,
    /// It was heard of, and answers.
    pub up: bool,
    /// When its last report came, in seconds.
    pub last_report: Option<f64>,
    /// How often it was reported to have started.
    pub boots: u64,
    /// How far its clock is ahead, in seconds.
    pub clock_skew: Option<i64>,
    /// Its trunks, by state.
    pub trunks: [i64; 5],
    /// Its site.
    pub site: String,
    /// Its dialect.
    pub dialect: &'static str,
    /// What it says it is.
    pub facts: DeviceFacts,
    /// Commands that wait for their turn.
    pub commands_waiting: usize,
    /// It is asked nothing more because it was silent.
    pub is_silent: bool,
    /// Whether it is logged in to; none: it is not meant to be.
    pub logged_in: Option<bool>,
}

impl Metrics {
    /// All metrics, at zero where their labels are known.
    ///
    /// # Errors
    /// When two metrics have one name: a mistake in the list, found by its test.
    pub fn new(per_device: bool) -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let list = List::register(&registry)?;
        let metrics = Self { registry, list, per_device };
        let revision = option_env!("SWITCHROOM_REVISION").unwrap_or("unknown");
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        metrics.begin_at_zero();
        Ok(Arc::new(metrics))
    }

    fn begin_at_zero(&self) {
        for direction in Direction::ALL {
            let direction = direction.as_str();
            self.calls_active.with_label_values(&[direction]).set(0);
            for outcome in ["answered", "no_answer", "abandoned", "failed"] {
                self.calls.with_label_values(&[direction, outcome]);
            }
            self.setup.with_label_values(&[direction]);
            self.answer.with_label_values(&[direction]);
            self.talk.with_label_values(&[direction]);
        }
        for outcome in ["answered", "abandoned", "unknown"] {
            self.queue_wait.with_label_values(&[outcome]);
        }
        for transport in ["sse", "websocket"] {
            self.event_clients.with_label_values(&[transport]).set(0);
            self.event_delivery.with_label_values(&[transport]);
        }
        self.event_delivery.with_label_values(&["webhook"]);
        for actor in [
            "device",
            "extension",
            "trunk",
            "call_leg",
            "group_queue",
            "command_supervisor",
            "webhook",
            "target",
            "forwarding",
        ] {
            self.restarts.with_label_values(&[actor]);
        }
        for dialect in ["om", "yeastar", "zycoo"] {
            self.publish.with_label_values(&[dialect]);
            for outcome in Outcome::ALL {
                self.reports.with_label_values(&[dialect, "other", outcome.as_str()]);
            }
        }
        for command in Command::NAMES.into_iter().chain(["verbatim"]) {
            self.command_queue.with_label_values(&[command, "succeeded"]);
            self.command_duration.with_label_values(&[command, "succeeded"]);
        }
        for outcome in crate::om_endpoint::Outcome::ALL {
            self.om_requests.with_label_values(&[outcome.as_str()]);
        }
        for outcome in ["delivered", "retried", "failed", "disabled", "gap"] {
            self.webhook_deliveries.with_label_values(&[outcome]);
        }
        for outcome in ["delivered", "retried", "failed", "kept", "gap"] {
            self.forwarding.with_label_values(&[outcome]);
        }
        for outcome in ["delivered", "retried", "failed", "gap"] {
            self.target_deliveries.with_label_values(&[outcome]);
        }
        for kind in crate::keeping::kinds() {
            self.retention_removed.with_label_values(&[kind]);
        }
        for outcome in ["available", "failed", "missing"] {
            self.recordings.with_label_values(&[outcome]);
        }
        for actor in ["device", "store"] {
            self.mailbox_depth.with_label_values(&[actor]);
        }
        for kind in CDRS.iter().chain(&["other"]) {
            self.cdrs.with_label_values(&[kind]);
        }
        for (kind, outcome) in GAPS {
            self.gaps.with_label_values(&[kind, outcome]);
        }
        self.waiting(&BTreeMap::new());
        for reason in ["head_too_large", "body_too_large", "timeout", "too_many"] {
            self.ingress_refused.with_label_values(&[reason]);
        }
    }

    /// What became of a try to fetch a recording: `available`, `failed` or `missing`.
    pub fn recording(&self, outcome: &'static str) {
        self.recordings.with_label_values(&[outcome]).inc();
    }

    /// What became of a request of an OM application.
    pub fn om_request(&self, outcome: &'static str) {
        self.om_requests.with_label_values(&[outcome]).inc();
    }

    /// What became of an attempt to deliver an event.
    pub fn webhook_outcome(&self, outcome: &'static str) {
        self.webhook_deliveries.with_label_values(&[outcome]).inc();
    }

    /// How many events a webhook has open, and how many seconds ago the oldest happened; called at the scrape.
    pub fn webhook(&self, webhook: &str, pending: usize, lag: f64) {
        let pending = i64::try_from(pending).unwrap_or(i64::MAX);
        self.webhook_pending.with_label_values(&[webhook]).set(pending);
        self.webhook_lag.with_label_values(&[webhook]).set(lag);
    }

    /// A webhook was removed: its series end.
    pub fn forget_webhook(&self, webhook: &str) {
        // Absent before the first scrape.
        let _ = self.webhook_pending.remove_label_values(&[webhook]);
        let _ = self.webhook_lag.remove_label_values(&[webhook]);
    }

    /// What became of an attempt to forward a report.
    pub fn forwarding_outcome(&self, outcome: &'static str) {
        self.forwarding.with_label_values(&[outcome]).inc();
    }

    /// How many reports the forwarding has open, and how many seconds ago the oldest came in; called at the scrape.
    pub fn forwarding(&self, pending: usize, lag: f64) {
        self.forwarding_pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.forwarding_lag.set(lag);
    }

    /// What became of an attempt to pass a report on.
    pub fn target_outcome(&self, outcome: &'static str) {
        self.target_deliveries.with_label_values(&[outcome]).inc();
    }

    /// How many reports a target has open, how many seconds ago the oldest came in, and how many it lost; called at the
    /// scrape.
    pub fn target(&self, target: &str, pending: usize, lag: f64, lost: u64) {
        self.target_lost.with_label_values(&[target]).set(i64::try_from(lost).unwrap_or(i64::MAX));
        let pending = i64::try_from(pending).unwrap_or(i64::MAX);
        self.target_pending.with_label_values(&[target]).set(pending);
        self.target_lag.with_label_values(&[target]).set(lag);
    }

    /// A target was removed: its series end.
    pub fn forget_target(&self, target: &str) {
        // Absent before the first scrape.
        let _ = self.target_pending.remove_label_values(&[target]);
        let _ = self.target_lag.remove_label_values(&[target]);
        let _ = self.target_lost.remove_label_values(&[target]);
    }

    /// A command settled.
    pub fn command_settled(&self, command: &str, outcome: &str, waited: Duration, took: Duration) {
        self.command_queue.with_label_values(&[command, outcome]).observe(waited.as_secs_f64());
        self.command_duration.with_label_values(&[command, outcome]).observe(took.as_secs_f64());
    }

    /// A report's events were published this long after its last byte.
    pub fn published(&self, dialect: &str, after: Duration) {
        if dialect == INTERNAL {
            return;
        }
        self.publish.with_label_values(&[dialect]).observe(after.as_secs_f64());
    }

    /// Counts what an event tells.
    pub fn on_event(&self, event: &Event) {
        let data = &event.data;
        let direction = data.direction.unwrap_or_default().as_str();
        match event.kind {
            EventKind::CallEnded => {
                let outcome = data.outcome.as_deref().unwrap_or("no_answer");
                self.calls.with_label_values(&[direction, outcome]).inc();
                if let Some(seconds) = data.talk_seconds {
                    self.talk.with_label_values(&[direction]).observe(seconds);
                }
            }
            EventKind::CallRinging => {
                if let Some(seconds) = data.setup_seconds {
                    self.setup.with_label_values(&[direction]).observe(seconds);
                }
            }
            EventKind::CallAnswered => {
                if let Some(seconds) = data.answer_seconds {
                    self.answer.with_label_values(&[direction]).observe(seconds);
                }
            }
            EventKind::QueueLeft => {
                let outcome = data.reason.as_deref().unwrap_or("unknown");
                self.queue_wait.with_label_values(&[outcome]).observe(data.wait_seconds.unwrap_or_default());
            }
            // What was corrected by asking is counted with its repair.
            EventKind::GapDetected if data.basis != Basis::Reconciled => {
                self.gaps.with_label_values(&[data.reason.as_deref().unwrap_or("other"), "open"]).inc();
            }
            EventKind::GapRepaired => {
                self.gaps.with_label_values(&[data.reason.as_deref().unwrap_or("other"), "repaired"]).inc();
            }
            _ => {}
        }
    }

    /// A record was committed.
    pub fn on_cdr(&self, kind: &str) {
        self.cdrs.with_label_values(&[known_cdr(kind)]).inc();
    }

    /// Callers that wait, by site; sites that are not named have gone.
    pub fn waiting(&self, by_site: &BTreeMap<String, i64>) {
        self.queue_waiting.reset();
        if by_site.is_empty() {
            self.queue_waiting.with_label_values(&[""]).set(0);
        }
        for (site, count) in by_site {
            self.queue_waiting.with_label_values(&[site]).set(*count);
        }
    }

    /// Writes the series of each device.
    fn write_devices(&self, text: &mut String, devices: &[DeviceGauges]) {
        type One<'a, const N: usize> = &'a mut dyn FnMut([&str; N], f64);
        let all = devices;
        self.device_up.write(text, all, |d, one: One<'_, 1>| one([&d.id], f64::from(u8::from(d.up))));
        self.device_last_report.write(text, all, |d, one: One<'_, 1>| {
            d.last_report.into_iter().for_each(|seconds| one([&d.id], seconds));
        });
        self.device_info.write(text, all, |d, one: One<'_, 5>| {
            let (model, firmware) = (d.facts.model.as_deref(), d.facts.firmware.as_deref());
            one([&d.id, &d.site, d.dialect, model.unwrap_or_default(), firmware.unwrap_or_default()], 1.0);
        });
        self.device_boots.write(text, all, |d, one: One<'_, 1>| one([&d.id], d.boots as f64));
        self.clock_skew.write(text, all, |d, one: One<'_, 1>| {
            d.clock_skew.into_iter().for_each(|seconds| one([&d.id], seconds as f64));
        });
        self.device_trunks.write(text, all, |d, one: One<'_, 2>| {
            if d.trunks.iter().any(|count| *count > 0) {
                for (state, count) in TRUNK_STATES.iter().zip(d.trunks) {
                    one([&d.id, state], count as f64);
                }
            }
        });
        self.logged_in.write(text, all, |d, one: One<'_, 1>| {
            d.logged_in.into_iter().for_each(|yes| one([&d.id], f64::from(u8::from(yes))));
        });
        self.command_depth.write(text, all, |d, one: One<'_, 1>| one([&d.id], d.commands_waiting as f64));
        self.breaker.write(text, all, |d, one: One<'_, 1>| one([&d.id], f64::from(u8::from(d.is_silent))));
    }

    /// The text format, with gauges read from the census, and those of each device.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn scrape(&self, census: &Census, devices: &[DeviceGauges]) -> Result<String, prometheus::Error> {
        let set = |gauge: &IntGaugeVec, names: &[&str], counts: &[std::sync::atomic::AtomicI64]| {
            for (name, count) in names.iter().zip(counts) {
                gauge.with_label_values(&[name]).set(count.load(Relaxed));
            }
        };
        set(&self.extensions, &EXTENSION_STATES, &census.extensions);
        set(&self.trunks, &TRUNK_STATES, &census.trunks);
        set(&self.calls_active, &Direction::ALL.map(Direction::as_str), &census.calls);
        let sum = |counts: &[std::sync::atomic::AtomicI64]| counts.iter().map(|c| c.load(Relaxed)).sum();
        for (kind, count) in [
            ("device", census.devices.load(Relaxed)),
            ("extension", sum(&census.extensions)),
            ("trunk", sum(&census.trunks)),
            ("call_leg", census.legs.load(Relaxed)),
            ("group_queue", census.queues.load(Relaxed)),
        ] {
            self.actors.with_label_values(&[kind]).set(count);
        }
        process::read(self);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        let mut text = String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))?;
        if self.per_device && !devices.is_empty() {
            self.write_devices(&mut text, devices);
        }
        Ok(text)
    }
}

impl Observer for Metrics {
    fn report(&self, dialect: &str, name: &str, outcome: Outcome) {
        if dialect == INTERNAL {
            return;
        }
        self.reports.with_label_values(&[dialect, known_report(name), outcome.as_str()]).inc();
    }

    fn restarted(&self, actor: &'static str) {
        self.restarts.with_label_values(&[actor]).inc();
    }
}

/// Names that devices use, so that a label never holds what a stranger wrote.
pub(crate) const REPORTS: &[&str] = &[
    "BOOTUP",
    "CONFIG_CHANGE",
    "BUSY",
    "IDLE",
    "ONLINE",
    "OFFLINE",
    "RING",
    "ALERT",
    "ANSWER",
    "ANSWERED",
    "BYE",
    "DIVERT",
    "TRANSIENT",
    "FAILED",
    "INVITE",
    "INCOMING",
    "DTMF",
    "EndOfAnn",
    "QUEUE",
    "Cdr",
    "BootUp",
    "ConfigChange",
    "ExtensionStatus",
    "Invite",
    "Incoming",
    "Transfer",
    "CallFailed",
    "PlayPromptEnd",
    "satisfaction",
    "sms-send",
    "NewCdr",
    "CallStatus",
    "dialbegin",
    "dialend",
    "hangup",
    "extensionstatus",
    "ivr",
    "cc_cdr",
    "cdr",
];

fn known_report(name: &str) -> &'static str {
    REPORTS.iter().find(|known| **known == name).copied().unwrap_or("other")
}

/// The types of records.
const CDRS: &[&str] = &[
    "IN", "OU", "FI", "FW", "LO", "CB", "Inbound", "Outbound", "Internal", "Callback", "Transfer", "cdr",
    "cc_cdr", "ivr",
];
/// How it is seen that a report was missed, and what becomes of it.
const GAPS: [(&str, &str); 6] = [
    ("bye_missing", "open"),
    ("recycled_id", "open"),
    ("call_missing", "repaired"),
    ("end_missing", "repaired"),
    ("leave_missing", "repaired"),
    ("line_missing", "repaired"),
];

fn known_cdr(kind: &str) -> &'static str {
    CDRS.iter().find(|known| **known == kind).copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page is made of the list: `UPDATE_DOCS=1 cargo test --lib metrics` writes it.
    #[test]
    fn the_page_of_metrics_is_the_list() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, manual()).expect("it is written");
        }
        let page = std::fs::read_to_string(path).expect("it is there");
        assert!(
            page == manual(),
            "docs/metrics.md is not of this list; UPDATE_DOCS=1 cargo test --lib metrics"
        );
    }

    #[test]
    fn metrics_are_named_and_described_as_is_usual() {
        let mut names = std::collections::BTreeSet::new();
        for entry in METRICS.iter().flat_map(|(_, entries)| entries.iter()) {
            let Entry { name, kind, .. } = entry;
            assert!(names.insert(*name), "{name} is declared twice");
            assert_eq!(name.ends_with("_total"), *kind == "counter", "{name}");
            assert_eq!(entry.buckets.is_empty(), *kind != "histogram", "{name}");
            assert!(entry.help().ends_with('.') && entry.help().len() > 10, "{name}: {}", entry.help());
            assert!(entry.help().len() < 100, "{name}: the help is one short sentence");
        }
    }

    #[test]
    fn every_metric_is_there_from_the_start() {
        let metrics = Metrics::new(true).expect("no two metrics of one name");
        let text = metrics.scrape(&Census::default(), &[]).expect("it encodes");

        for entry in METRICS.iter().flat_map(|(_, entries)| entries.iter()) {
            let is_fixed = matches!(entry.series, Series::Fixed(_) | Series::EachSite(_));
            if is_fixed {
                assert!(text.lines().any(|line| line.starts_with(entry.name)), "{} is missing", entry.name);
            }
        }
    }

    fn office() -> DeviceGauges {
        DeviceGauges {
            id: "office".to_owned(),
            up: true,
            last_report: Some(1.5),
            boots: 1,
            clock_skew: Some(0),
            trunks: [1; 5],
            site: "no\"rth".to_owned(),
            dialect: "om",
            facts: DeviceFacts { model: Some("OM20".to_owned()), firmware: None },
            commands_waiting: 2,
            is_silent: true,
            logged_in: Some(true),
        }
    }

    #[test]
    fn there_are_no_more_series_than_is_said() {
        let metrics = Metrics::new(true).expect("no two metrics of one name");
        let count = |metrics: &Metrics, devices: &[DeviceGauges]| {
            let text = metrics.scrape(&Census::default(), devices).expect("it encodes");
            text.lines().filter(|line| !line.starts_with('#')).count()
        };
        let before = count(&metrics, &[]);
        metrics.webhook("wh", 1, 1.0);
        metrics.target("tg", 1, 1.0, 0);
        let by = manual::most(1, 1, 1, 1) - manual::most(0, 1, 0, 0);
        assert_eq!(count(&metrics, &[office()]) - before, by);
        for kind in REPORTS.iter().chain(&["other"]) {
            for dialect in ["om", "yeastar", "zycoo", "unknown"] {
                for outcome in Outcome::ALL {
                    metrics.report(dialect, kind, outcome);
                }
            }
        }
        for command in Command::NAMES.into_iter().chain(["verbatim"]) {
            for outcome in ["succeeded", "failed", "unknown"] {
                metrics.command_settled(command, outcome, Duration::ZERO, Duration::ZERO);
            }
        }
        let all = count(&metrics, &[office()]);
        assert!(all <= manual::most(1, 1, 1, 1), "{all} series");
        metrics.forget_webhook("wh");
        metrics.forget_target("tg");
        let text = metrics.scrape(&Census::default(), &[]).expect("it encodes");
        assert!(!text.contains("\"wh\"") && !text.contains("\"tg\""), "{text}");
    }

    #[test]
    fn a_device_has_its_series_while_it_is_there() {
        let metrics = Metrics::new(true).expect("no two metrics of one name");
        let text = metrics.scrape(&Census::default(), &[office()]).expect("it encodes");
        for line in [
            r#"switchroom_device_up{device="office"} 1"#,
            r#"switchroom_device_last_report_timestamp_seconds{device="office"} 1.5"#,
            r#"switchroom_device_info{device="office",site="no\"rth",dialect="om",model="OM20",firmware=""} 1"#,
            r#"switchroom_device_trunks{device="office",state="active"} 1"#,
            r#"switchroom_device_logged_in{device="office"} 1"#,
            r#"switchroom_command_queue_depth{device="office"} 2"#,
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is missing:\n{text}");
        }
        let nothing = DeviceGauges { last_report: None, logged_in: None, trunks: [0; 5], ..office() };
        let text = metrics.scrape(&Census::default(), &[nothing]).expect("it encodes");
        for name in ["last_report", "logged_in", "trunks"] {
            assert!(!text.contains(&format!("\nswitchroom_device_{name}")), "{name}:\n{text}");
        }
        let metrics = Metrics::new(false).expect("no two metrics of one name");
        let text = metrics.scrape(&Census::default(), &[office()]).expect("it encodes");
        assert!(!text.contains("office"), "not by device: {text}");
    }

    #[test]
    fn what_a_stranger_writes_is_no_label() {
        let metrics = Metrics::new(true).expect("no two metrics of one name");
        metrics.report("om", "evil\"} 1\n", Outcome::Accepted);
        let text = metrics.scrape(&Census::default(), &[]).expect("it encodes");
        assert!(text.contains(r#"switchroom_reports_total{dialect="om",kind="other",outcome="accepted"} 1"#));
    }
}
