//! Every metric: name, unit, labels, help. This file reads as their manual.
//!
//! Counters and histograms are moved where things happen; gauges are read at the scrape from counts that the
//! cells keep as they change ([`switchroom_actors::census`]). Labels are few and bounded: what a device calls
//! its report is only used as a label when it is a known name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use switchroom_actors::census::Census;
use switchroom_actors::ports::{INTERNAL, Observer};
use switchroom_domain::command::Command;
use switchroom_domain::event::{Event, EventKind};
use switchroom_domain::outcome::Outcome;
use switchroom_domain::view::{Basis, Direction};

/// Processing times; 5 s stays an edge, it is the devices' own deadline.
const PROCESSING: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// How long receivers on the Internet take.
const REQUESTS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0];
/// How long people wait and telephones ring.
const WAITING: &[f64] = &[1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0];
/// How long people talk.
const TALKING: &[f64] = &[5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0];

/// States of extensions, in the order of their numbers.
const EXTENSION_STATES: [&str; 5] = ["idle", "ringing", "busy", "offline", "unknown"];
/// States of trunks, in the order of their numbers.
const TRUNK_STATES: [&str; 5] = ["ready", "active", "unwired", "offline", "unknown"];

/// All metrics; see the module.
pub struct Metrics {
    registry: Registry,
    /// `switchroom_reports_total{dialect, kind, outcome}`: messages from devices; the sum over `outcome` is
    /// all that came in.
    reports: IntCounterVec,
    /// `switchroom_report_publish_seconds{dialect}`: from a report's last byte to its events' publication.
    publish: HistogramVec,
    /// `switchroom_gaps_total{kind, outcome}`: things that must have been missed.
    gaps: IntCounterVec,
    /// `switchroom_device_up{device}`: 1 once a device was heard of, 0 when it no longer answers.
    device_up: GaugeVec,
    /// `switchroom_device_last_report_timestamp_seconds{device}`.
    device_last_report: GaugeVec,
    /// `switchroom_device_logged_in{device}`: 1 while a device that wants a login reports here, else 0.
    logged_in: IntGaugeVec,
    /// `switchroom_actor_restarts_total{actor}`: actors that died and were rebuilt.
    restarts: IntCounterVec,
    /// `switchroom_mailbox_depth{actor}`: messages that wait before an actor, where that can be seen.
    pub mailbox_depth: IntGaugeVec,
    actors: IntGaugeVec,
    calls_active: IntGaugeVec,
    /// `switchroom_calls_total{direction, outcome}`: calls that ended.
    calls: IntCounterVec,
    /// `switchroom_call_setup_seconds{direction}`: from a call's first report to its first ringing.
    setup: HistogramVec,
    /// `switchroom_call_answer_seconds{direction}`: from a call's first report to its answer.
    answer: HistogramVec,
    /// `switchroom_call_talk_seconds{direction}`: from its answer to its end.
    talk: HistogramVec,
    queue_waiting: IntGaugeVec,
    /// `switchroom_queue_wait_seconds{outcome}`: how long callers waited in a queue.
    queue_wait: HistogramVec,
    extensions: IntGaugeVec,
    trunks: IntGaugeVec,
    /// `switchroom_cdrs_total{type}`.
    cdrs: IntCounterVec,
    /// `switchroom_event_clients{transport}`: streams that are open now.
    pub event_clients: IntGaugeVec,
    /// `switchroom_store_commit_seconds`: one batch of inputs with their effects, on disk.
    pub store_commit_seconds: Histogram,
    /// `switchroom_ingress_connections`: connections from devices that are open now.
    pub ingress_connections: IntGauge,
    /// `switchroom_ingress_refused_total{reason}`: connections and requests that were ended by a limit.
    pub ingress_refused: IntCounterVec,
    /// `switchroom_unadopted_reports_dropped_total`: of devices that nobody adopted, beyond what is kept.
    pub unadopted_dropped: IntCounter,
    /// `switchroom_command_queue_depth{device}`: commands that wait for their turn.
    command_depth: IntGaugeVec,
    /// `switchroom_command_queue_seconds{command, outcome}`: from acceptance until it went to the device.
    command_queue: HistogramVec,
    /// `switchroom_command_duration_seconds{command, outcome}`: from then until its outcome was known.
    command_duration: HistogramVec,
    /// `switchroom_om_endpoint_requests_total{outcome}`: requests of OM applications.
    om_requests: IntCounterVec,
    /// `switchroom_webhook_deliveries_total{outcome}`: attempts to deliver events, and what else became of them.
    webhook_deliveries: IntCounterVec,
    /// `switchroom_webhook_delivery_seconds`: one attempt.
    pub webhook_delivery_seconds: Histogram,
    /// `switchroom_webhook_pending{webhook}`: events that are read and not settled.
    webhook_pending: IntGaugeVec,
    /// `switchroom_webhook_lag_seconds{webhook}`: how long ago the oldest of them happened.
    webhook_lag: GaugeVec,
    /// `switchroom_target_deliveries_total{outcome}`: attempts to pass reports on, and what else became of them.
    target_deliveries: IntCounterVec,
    /// `switchroom_target_delivery_seconds`: one attempt.
    pub target_delivery_seconds: Histogram,
    /// `switchroom_target_pending{target}`: reports that are read and not settled.
    target_pending: IntGaugeVec,
    /// `switchroom_target_lag_seconds{target}`: how long ago the oldest of them came in.
    target_lag: GaugeVec,
    /// `switchroom_target_lost{target}`: reports that were too old, or left the log, before it took them.
    target_lost: IntGaugeVec,
    /// `switchroom_cdr_forwarding_total{outcome}`: attempts to forward reports, and what else became of them.
    forwarding: IntCounterVec,
    /// `switchroom_cdr_forwarding_pending`: reports that are read and not settled.
    forwarding_pending: IntGauge,
    /// `switchroom_cdr_forwarding_lag_seconds`: how long ago the oldest of them came in.
    forwarding_lag: Gauge,
    /// `switchroom_recordings_total{outcome}`: tries to fetch a recording.
    recordings: IntCounterVec,
    /// `switchroom_recording_bytes_total`: bytes of recordings that were fetched.
    pub recording_bytes: IntCounter,
    /// `switchroom_recordings_pending`: recordings that wait for a try or are being fetched.
    pub recordings_pending: IntGauge,
    /// `switchroom_retention_removed_total{kind}`: what was removed with age.
    pub retention_removed: IntCounterVec,
    memory: Gauge,
    per_device: bool,
}

macro_rules! build {
    ($registry:ident, $metric:expr) => {{
        let metric = $metric?;
        $registry.register(Box::new(metric.clone()))?;
        metric
    }};
}

impl Metrics {
    /// All metrics, at zero where their labels are known.
    ///
    /// # Errors
    /// When two metrics have one name: a mistake in this file, found by its test.
    pub fn new(per_device: bool) -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let counter =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let gauge = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let histogram = |name: &str, help: &str, labels: &[&str], buckets: &[f64]| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)
        };
        let metrics = Self {
            reports: build!(
                registry,
                counter(
                    "switchroom_reports_total",
                    "Messages from devices, by what became of them.",
                    &["dialect", "kind", "outcome"]
                )
            ),
            publish: build!(
                registry,
                histogram(
                    "switchroom_report_publish_seconds",
                    "From a report's last byte to the publication of its events.",
                    &["dialect"],
                    PROCESSING
                )
            ),
            gaps: build!(
                registry,
                counter(
                    "switchroom_gaps_total",
                    "Reports that must have been missed, by how that was seen.",
                    &["kind", "outcome"]
                )
            ),
            device_up: build!(
                registry,
                GaugeVec::new(
                    Opts::new("switchroom_device_up", "Whether a device is heard of."),
                    &["device"]
                )
            ),
            device_last_report: build!(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "switchroom_device_last_report_timestamp_seconds",
                        "When a device's last report came."
                    ),
                    &["device"]
                )
            ),
            logged_in: build!(
                registry,
                gauge(
                    "switchroom_device_logged_in",
                    "Whether a device that wants a login is logged in to.",
                    &["device"]
                )
            ),
            restarts: build!(
                registry,
                counter(
                    "switchroom_actor_restarts_total",
                    "Actors that died and were rebuilt with their cell.",
                    &["actor"]
                )
            ),
            mailbox_depth: build!(
                registry,
                gauge("switchroom_mailbox_depth", "Messages that wait before an actor.", &["actor"])
            ),
            actors: build!(registry, gauge("switchroom_actors", "Actors that live.", &["kind"])),
            calls_active: build!(registry, gauge("switchroom_calls_active", "Live calls.", &["direction"])),
            calls: build!(
                registry,
                counter("switchroom_calls_total", "Calls that ended.", &["direction", "outcome"])
            ),
            setup: build!(
                registry,
                histogram(
                    "switchroom_call_setup_seconds",
                    "From a call's first report to its first ringing.",
                    &["direction"],
                    WAITING
                )
            ),
            answer: build!(
                registry,
                histogram(
                    "switchroom_call_answer_seconds",
                    "From a call's first report to its answer.",
                    &["direction"],
                    WAITING
                )
            ),
            talk: build!(
                registry,
                histogram(
                    "switchroom_call_talk_seconds",
                    "From a call's answer to its end.",
                    &["direction"],
                    TALKING
                )
            ),
            queue_waiting: build!(
                registry,
                gauge("switchroom_queue_waiting", "Callers that wait in queues.", &["site"])
            ),
            queue_wait: build!(
                registry,
                histogram(
                    "switchroom_queue_wait_seconds",
                    "How long callers waited in a queue.",
                    &["outcome"],
                    WAITING
                )
            ),
            extensions: build!(registry, gauge("switchroom_extensions", "Extensions by state.", &["state"])),
            trunks: build!(registry, gauge("switchroom_trunks", "Trunks by state.", &["state"])),
            cdrs: build!(registry, counter("switchroom_cdrs_total", "Call records.", &["type"])),
            event_clients: build!(
                registry,
                gauge("switchroom_event_clients", "Event streams that are open.", &["transport"])
            ),
            store_commit_seconds: build!(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "switchroom_store_commit_seconds",
                        "One batch of inputs with their effects, on disk."
                    )
                    .buckets(PROCESSING.to_vec())
                )
            ),
            ingress_connections: build!(
                registry,
                IntGauge::new("switchroom_ingress_connections", "Connections from devices that are open.")
            ),
            ingress_refused: build!(
                registry,
                counter(
                    "switchroom_ingress_refused_total",
                    "Connections and requests that a limit ended.",
                    &["reason"]
                )
            ),
            unadopted_dropped: build!(
                registry,
                IntCounter::new(
                    "switchroom_unadopted_reports_dropped_total",
                    "Reports of unadopted devices that were not kept."
                )
            ),
            command_depth: build!(
                registry,
                gauge("switchroom_command_queue_depth", "Commands that wait for their turn.", &["device"])
            ),
            command_queue: build!(
                registry,
                histogram(
                    "switchroom_command_queue_seconds",
                    "From a command's acceptance until it went to the device.",
                    &["command", "outcome"],
                    PROCESSING
                )
            ),
            command_duration: build!(
                registry,
                histogram(
                    "switchroom_command_duration_seconds",
                    "From when a command went to the device until its outcome was known.",
                    &["command", "outcome"],
                    PROCESSING
                )
            ),
            om_requests: build!(
                registry,
                counter(
                    "switchroom_om_endpoint_requests_total",
                    "Requests of OM applications, by what became of them.",
                    &["outcome"]
                )
            ),
            webhook_deliveries: build!(
                registry,
                counter(
                    "switchroom_webhook_deliveries_total",
                    "Attempts to deliver events to webhooks, by what became of them.",
                    &["outcome"]
                )
            ),
            webhook_delivery_seconds: build!(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "switchroom_webhook_delivery_seconds",
                        "One attempt to deliver an event to a webhook."
                    )
                    .buckets(REQUESTS.to_vec())
                )
            ),
            webhook_pending: build!(
                registry,
                gauge("switchroom_webhook_pending", "Events that a webhook has open.", &["webhook"])
            ),
            webhook_lag: build!(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "switchroom_webhook_lag_seconds",
                        "How long ago the oldest event happened that a webhook has open."
                    ),
                    &["webhook"]
                )
            ),
            target_deliveries: build!(
                registry,
                counter(
                    "switchroom_target_deliveries_total",
                    "Attempts to pass devices' reports on to targets, by what became of them.",
                    &["outcome"]
                )
            ),
            target_delivery_seconds: build!(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "switchroom_target_delivery_seconds",
                        "One attempt to pass a report on to a target."
                    )
                    .buckets(REQUESTS.to_vec())
                )
            ),
            target_pending: build!(
                registry,
                gauge("switchroom_target_pending", "Reports that a target has open.", &["target"])
            ),
            target_lag: build!(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "switchroom_target_lag_seconds",
                        "How long ago the oldest report came in that a target has open."
                    ),
                    &["target"]
                )
            ),
            forwarding: build!(
                registry,
                counter(
                    "switchroom_cdr_forwarding_total",
                    "Attempts to forward call records and reports, by what became of them.",
                    &["outcome"]
                )
            ),
            forwarding_pending: build!(
                registry,
                IntGauge::new(
                    "switchroom_cdr_forwarding_pending",
                    "Reports that are open in the forwarding."
                )
            ),
            forwarding_lag: build!(
                registry,
                Gauge::new(
                    "switchroom_cdr_forwarding_lag_seconds",
                    "How long ago the oldest report came in that is open in the forwarding."
                )
            ),
            target_lost: build!(
                registry,
                gauge(
                    "switchroom_target_lost",
                    "Reports that were too old, or left the log, before a target took them.",
                    &["target"]
                )
            ),
            recordings: build!(
                registry,
                counter(
                    "switchroom_recordings_total",
                    "Tries to fetch a recording, by what became of them.",
                    &["outcome"]
                )
            ),
            recording_bytes: build!(
                registry,
                IntCounter::new("switchroom_recording_bytes_total", "Bytes of recordings that were fetched.")
            ),
            retention_removed: build!(
                registry,
                counter("switchroom_retention_removed_total", "What was removed with age.", &["kind"])
            ),
            recordings_pending: build!(
                registry,
                IntGauge::new(
                    "switchroom_recordings_pending",
                    "Recordings that wait for a try or are being fetched."
                )
            ),
            memory: build!(registry, Gauge::new("process_resident_memory_bytes", "Resident memory.")),
            per_device,
            registry,
        };
        let revision = option_env!("SWITCHROOM_REVISION").unwrap_or("unknown");
        let info = IntGaugeVec::new(
            Opts::new("switchroom_build_info", "Always 1; what was built."),
            &["version", "revision"],
        )?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        metrics.registry.register(Box::new(info))?;
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
        }
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

    /// How many commands wait for a device.
    pub fn command_depth(&self, device: &str, waiting: usize) {
        if self.per_device {
            self.command_depth.with_label_values(&[device]).set(i64::try_from(waiting).unwrap_or(i64::MAX));
        }
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
            EventKind::DeviceWentUp if self.per_device => {
                self.device_up.with_label_values(&[event.device.as_str()]).set(1.0);
            }
            EventKind::DeviceWentDown if self.per_device => {
                self.device_up.with_label_values(&[event.device.as_str()]).set(0.0);
            }
            _ => {}
        }
    }

    /// A record was committed.
    pub fn on_cdr(&self, kind: &str) {
        self.cdrs.with_label_values(&[known_cdr(kind)]).inc();
    }

    /// A device is known, and when its last report came; called at the scrape.
    pub fn device(&self, device: &str, up: bool, last_report_seconds: Option<f64>) {
        if !self.per_device {
            return;
        }
        self.device_up.with_label_values(&[device]).set(f64::from(u8::from(up)));
        if let Some(seconds) = last_report_seconds {
            self.device_last_report.with_label_values(&[device]).set(seconds);
        }
    }

    /// Whether a device is logged in to, none if it is not meant to be; called at the scrape.
    pub fn login(&self, device: &str, is_logged_in: Option<bool>) {
        match is_logged_in {
            Some(yes) if self.per_device => self.logged_in.with_label_values(&[device]).set(yes.into()),
            // Absent with all devices that are not.
            _ => drop(self.logged_in.remove_label_values(&[device])),
        }
    }

    /// A device was removed: its series end.
    pub fn forget_device(&self, device: &str) {
        // Absent when it was never heard of.
        let _ = self.device_up.remove_label_values(&[device]);
        let _ = self.device_last_report.remove_label_values(&[device]);
        let _ = self.command_depth.remove_label_values(&[device]);
        let _ = self.logged_in.remove_label_values(&[device]);
    }

    /// Are there series by device?
    #[must_use]
    pub fn per_device(&self) -> bool {
        self.per_device
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

    /// The text format, with gauges read from the census.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn scrape(&self, census: &Census) -> Result<String, prometheus::Error> {
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
        self.memory.set(resident_bytes());
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
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

fn known_cdr(kind: &str) -> &'static str {
    const KINDS: &[&str] = &[
        "IN", "OU", "FI", "FW", "LO", "CB", "Inbound", "Outbound", "Internal", "Callback", "Transfer", "cdr",
        "cc_cdr", "ivr",
    ];
    KINDS.iter().find(|known| **known == kind).copied().unwrap_or("other")
}

/// Resident memory from `/proc`, 0 where there is none.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes =
        line.and_then(|line| line.split_whitespace().next()).and_then(|count| count.parse::<f64>().ok());
    kibibytes.unwrap_or_default() * 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_there_from_the_start() {
        let metrics = Metrics::new(true).expect("no two metrics of one name");
        let text = metrics.scrape(&Census::default()).expect("it encodes");
        for name in [
            "switchroom_reports_total",
            "switchroom_report_publish_seconds_bucket",
            "switchroom_actor_restarts_total",
            "switchroom_actors",
            "switchroom_calls_active",
            "switchroom_calls_total",
            "switchroom_call_setup_seconds_sum",
            "switchroom_queue_waiting",
            "switchroom_queue_wait_seconds_count",
            "switchroom_extensions",
            "switchroom_trunks",
            "switchroom_event_clients",
            "switchroom_webhook_deliveries_total",
            "switchroom_webhook_delivery_seconds_count",
            "switchroom_target_deliveries_total",
            "switchroom_target_delivery_seconds_count",
            "switchroom_store_commit_seconds_sum",
            "switchroom_build_info",
        ] {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing:\n{text}");
        }
    }

    #[test]
    fn a_login_has_a_series_by_device_while_there_is_one() {
        let series = |metrics: &Metrics| {
            let text = metrics.scrape(&Census::default()).expect("it encodes");
            text.lines().find(|line| line.starts_with("switchroom_device_logged_in")).map(str::to_owned)
        };
        let metrics = Metrics::new(true).expect("no two metrics of one name");
        metrics.login("office", Some(true));
        assert_eq!(series(&metrics).as_deref(), Some("switchroom_device_logged_in{device=\"office\"} 1"));
        metrics.login("office", None);
        assert_eq!(series(&metrics), None);
        metrics.login("office", Some(false));
        metrics.forget_device("office");
        assert_eq!(series(&metrics), None);
        let metrics = Metrics::new(false).expect("no two metrics of one name");
        metrics.login("office", Some(true));
        assert_eq!(series(&metrics), None, "not by device");
    }

    #[test]
    fn what_a_stranger_writes_is_no_label() {
        let metrics = Metrics::new(true).expect("no two metrics of one name");
        metrics.report("om", "evil\"} 1\n", Outcome::Accepted);
        let text = metrics.scrape(&Census::default()).expect("it encodes");
        assert!(text.contains(r#"switchroom_reports_total{dialect="om",kind="other",outcome="accepted"} 1"#));
    }
}
