//! Every metric: name, unit, labels, help. This file reads as their manual, and `docs/metrics.md` is made of it.
//!
//! Of each the first line is the help that a scrape gives; the rest says more. After the labels stands how many series
//! there are at most: the labels' values come from fixed lists, but for devices, sites, webhooks and targets.

use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry,
};

use super::declare::{ByDevice, Entry, Metric, Series, metrics};

type DeviceGauge = ByDevice<false>;
type DeviceCounter = ByDevice<true>;

/// Processing times; 5 s stays an edge, it is the devices' own deadline.
pub(super) const PROCESSING: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// How long receivers on the Internet take.
pub(super) const REQUESTS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0];
/// How long people wait and telephones ring.
pub(super) const WAITING: &[f64] = &[1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0];
/// How long people talk.
pub(super) const TALKING: &[f64] = &[5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0];

metrics! {
    /// The metrics of the service.
    pub struct List, METRICS;

    section "Reports";
    /// Messages from devices, by what became of them.
    /// `accepted`: logged and applied. `duplicate`: a known repeat: a record that is there already, or a nonce under strict proof. `unadopted`: from a sender that nobody adopted. `unauthorized`: its proof failed. `malformed`: it could not be read, exceeded a limit, or was a command; or its device's cell died of it twice, and it was set aside. `shed`: its device was busy for longer than `reports.wait_seconds`, or 1,024 reports of it waited already. The sum over `outcome` is all that came in.
    reports: IntCounterVec = "switchroom_reports_total" ["dialect", "kind", "outcome"] Fixed(960);
    /// From a report's last byte to the publication of its events.
    publish: HistogramVec = "switchroom_report_publish_seconds" ["dialect"] Fixed(3), PROCESSING;
    /// Connections from devices that are open.
    ingress_connections: IntGauge = "switchroom_ingress_connections" [] Fixed(1);
    /// Connections and requests that a limit ended.
    /// `head_too_large`, `body_too_large`, `timeout`, `too_many`.
    ingress_refused: IntCounterVec = "switchroom_ingress_refused_total" ["reason"] Fixed(4);
    /// Reports of unadopted devices that were not kept.
    /// Their senders had to make room for others.
    unadopted_dropped: IntCounter = "switchroom_unadopted_reports_dropped_total" [] Fixed(1);
    /// Reports that must have been missed, by how that was seen.
    /// `open`: seen by the reports themselves (`bye_missing`, `recycled_id`, …). `repaired`: the device was asked and the model corrected (`call_missing`, `end_missing`, `leave_missing`, `line_missing`).
    gaps: IntCounterVec = "switchroom_gaps_total" ["kind", "outcome"] Fixed(24);

    section "Devices";
    /// Whether a device is heard of.
    /// 1 once it was; 0 before, and while it does not answer. Use the time of its last report to see a silence.
    device_up: DeviceGauge = "switchroom_device_up" ["device"] EachDevice(1);
    /// When a device's last report came.
    /// Absent before the first.
    device_last_report: DeviceGauge = "switchroom_device_last_report_timestamp_seconds" ["device"] EachDevice(1);
    /// Always 1; where a device stands, and what it says it is.
    /// `model` and `firmware` are empty until it was asked.
    device_info: DeviceGauge = "switchroom_device_info" ["device", "site", "dialect", "model", "firmware"] EachDevice(1);
    /// Starts that a device reported.
    device_boots: DeviceCounter = "switchroom_device_boots_total" ["device"] EachDevice(1);
    /// How far a device's clock is ahead of ours.
    /// Negative: it is behind. Learned from signed reports; absent for devices that do not sign.
    clock_skew: DeviceGauge = "switchroom_device_clock_skew_seconds" ["device"] EachDevice(1);
    /// Trunks of a device by state.
    /// `ready`, `active`, `unwired`, `offline`, `unknown`. Absent for a device of which no trunk is known.
    device_trunks: DeviceGauge = "switchroom_device_trunks" ["device", "state"] EachDevice(5);
    /// Whether a device that wants a login is logged in to.
    /// Absent for all devices that are not meant to be ([devices.md](devices.md#logging-in-to-a-yeastar)).
    logged_in: DeviceGauge = "switchroom_device_logged_in" ["device"] EachDevice(1);
    /// Extensions by state.
    /// `idle`, `ringing`, `busy`, `offline`, `unknown`.
    extensions: IntGaugeVec = "switchroom_extensions" ["state"] Fixed(5);
    /// Trunks by state.
    /// `ready`, `active`, `unwired`, `offline`, `unknown`.
    trunks: IntGaugeVec = "switchroom_trunks" ["state"] Fixed(5);

    section "Calls and queues";
    /// Live calls.
    calls_active: IntGaugeVec = "switchroom_calls_active" ["direction"] Fixed(4);
    /// Calls that ended.
    /// `answered`, `no_answer`, `abandoned`, `failed`.
    calls: IntCounterVec = "switchroom_calls_total" ["direction", "outcome"] Fixed(16);
    /// From a call's first report to its first ringing.
    setup: HistogramVec = "switchroom_call_setup_seconds" ["direction"] Fixed(4), WAITING;
    /// From a call's first report to its answer.
    answer: HistogramVec = "switchroom_call_answer_seconds" ["direction"] Fixed(4), WAITING;
    /// From a call's answer to its end.
    talk: HistogramVec = "switchroom_call_talk_seconds" ["direction"] Fixed(4), TALKING;
    /// Callers that wait in queues.
    /// Devices without a site are together under the empty one.
    queue_waiting: IntGaugeVec = "switchroom_queue_waiting" ["site"] EachSite(1);
    /// How long callers waited in a queue.
    /// `answered`, `abandoned`, `unknown`.
    queue_wait: HistogramVec = "switchroom_queue_wait_seconds" ["outcome"] Fixed(3), WAITING;

    section "Records and recordings";
    /// Call records that were stored.
    /// `type` is the vendor's own (`IN`, `OU`, `LO`, `Inbound`, `cc_cdr`, …) if it is a known one, else `other`.
    cdrs: IntCounterVec = "switchroom_cdrs_total" ["type"] Fixed(15);
    /// Attempts to forward call records and reports, by what became of them.
    /// See [cdr-forwarding.md](cdr-forwarding.md). `delivered`: taken. `retried`: there is another attempt. `kept`: it went into a file. `failed`: a report that is no record was given up. And beside them `gap`: reports left the log before they were forwarded.
    forwarding: IntCounterVec = "switchroom_cdr_forwarding_total" ["outcome"] Fixed(5);
    /// Reports that are open in the forwarding.
    forwarding_pending: IntGauge = "switchroom_cdr_forwarding_pending" [] Fixed(1);
    /// How long ago the oldest report came in that is open in the forwarding.
    forwarding_lag: Gauge = "switchroom_cdr_forwarding_lag_seconds" [] Fixed(1);
    /// Tries to fetch a recording, by what became of them.
    /// See [recordings.md](recordings.md). `available`. `failed`: it is tried again. `missing`: it was the last try.
    recordings: IntCounterVec = "switchroom_recordings_total" ["outcome"] Fixed(3);
    /// Bytes of recordings that were fetched.
    recording_bytes: IntCounter = "switchroom_recording_bytes_total" [] Fixed(1);
    /// Recordings that wait for a try or are being fetched.
    /// 0 while `recordings.enabled` is false.
    recordings_pending: IntGauge = "switchroom_recordings_pending" [] Fixed(1);
    /// What was removed with age.
    /// Rows of the log (`reports`), `calls`, `cdrs`, `conversations`, `recordings`, `commands`, entries of the `audit` log, records kept in files (`kept_cdrs`) and what devices' files named (`filed_cdrs`).
    retention_removed: IntCounterVec = "switchroom_retention_removed_total" ["kind"] Fixed(9);

    section "Commands";
    /// Commands that wait for their turn.
    command_depth: DeviceGauge = "switchroom_command_queue_depth" ["device"] EachDevice(1);
    /// Whether a device is asked nothing more because it was silent.
    /// 1 while its breaker is open: new commands are refused at once, and it is asked now and then until it answers.
    breaker: DeviceGauge = "switchroom_command_breaker_open" ["device"] EachDevice(1);
    /// From a command's acceptance until it went to the device.
    command_queue: HistogramVec = "switchroom_command_queue_seconds" ["command", "outcome"] Fixed(150), PROCESSING;
    /// From when a command went to the device until its outcome was known.
    /// `succeeded`, `failed`, `unknown`.
    command_duration: HistogramVec = "switchroom_command_duration_seconds" ["command", "outcome"] Fixed(150), PROCESSING;
    /// Requests of OM applications, by what became of them.
    /// See [om-endpoint.md](om-endpoint.md). `answered`, `failed`, `denied`, `unauthorized`, `misunderstood`, `refused`, `preflight`.
    om_requests: IntCounterVec = "switchroom_om_endpoint_requests_total" ["outcome"] Fixed(7);

    section "Events and their subscribers";
    /// Event streams that are open.
    /// `sse`, `websocket`.
    event_clients: IntGaugeVec = "switchroom_event_clients" ["transport"] Fixed(2);
    /// From when an event happened until a subscriber had it.
    /// `webhook`: until the receiver took it, whatever attempts that needed (not what was asked for again). `sse` and `websocket`: until it was handed to the connection, of each batch the oldest (not what a client fetched that was away).
    event_delivery: HistogramVec = "switchroom_event_delivery_seconds" ["transport"] Fixed(3), PROCESSING;
    /// Attempts to deliver events to webhooks, by what became of them.
    /// `delivered`: taken. `retried`: there is another attempt. `failed`: the last one, the event was given up. And beside them `gap`: events left the log before they were delivered; `disabled`: a webhook was disabled because of its receiver.
    webhook_deliveries: IntCounterVec = "switchroom_webhook_deliveries_total" ["outcome"] Fixed(5);
    /// One attempt to deliver an event to a webhook.
    /// From the name's resolution to the end of the answer.
    webhook_delivery_seconds: Histogram = "switchroom_webhook_delivery_seconds" [] Fixed(1), REQUESTS;
    /// Events that a webhook has open.
    /// Read and not settled. `webhook` is its id; its series end when it is removed ([webhooks.md](webhooks.md)).
    webhook_pending: IntGaugeVec = "switchroom_webhook_pending" ["webhook"] EachWebhook(1);
    /// How long ago the oldest event happened that a webhook has open.
    /// Those that were asked for again apart; 0 without any.
    webhook_lag: GaugeVec = "switchroom_webhook_lag_seconds" ["webhook"] EachWebhook(1);
    /// Attempts to pass devices' reports on to targets, by what became of them.
    /// See [middleware.md](middleware.md). `delivered`: taken. `retried`: there is another attempt. `failed`: the report was given up. And beside them `gap`: reports were too old or left the log before they were taken.
    target_deliveries: IntCounterVec = "switchroom_target_deliveries_total" ["outcome"] Fixed(4);
    /// One attempt to pass a report on to a target.
    /// From the name's resolution to the answer.
    target_delivery_seconds: Histogram = "switchroom_target_delivery_seconds" [] Fixed(1), REQUESTS;
    /// Reports that a target has open.
    /// Read and not settled.
    target_pending: IntGaugeVec = "switchroom_target_pending" ["target"] EachTarget(1);
    /// How long ago the oldest report came in that a target has open.
    /// While it is disabled: since when it has been, if anything waits.
    target_lag: GaugeVec = "switchroom_target_lag_seconds" ["target"] EachTarget(1);
    /// Reports that were too old, or left the log, before a target took them.
    /// Since it was made.
    target_lost: IntGaugeVec = "switchroom_target_lost" ["target"] EachTarget(1);

    section "The service";
    /// Actors that live.
    /// `device`, `extension`, `trunk`, `call_leg`, `group_queue`.
    actors: IntGaugeVec = "switchroom_actors" ["kind"] Fixed(5);
    /// Actors that died and were rebuilt with their cell.
    /// `device`, `extension`, `trunk`, `call_leg`, `group_queue`; and `command_supervisor`, `webhook`, `target`, `forwarding` (the task of one), which are started again alone.
    restarts: IntCounterVec = "switchroom_actor_restarts_total" ["actor"] Fixed(9);
    /// Messages that wait before an actor.
    /// `device`: reports before all devices together. `store`: records before the writer.
    mailbox_depth: IntGaugeVec = "switchroom_mailbox_depth" ["actor"] Fixed(2);
    /// One batch of inputs with their effects, on disk.
    store_commit_seconds: Histogram = "switchroom_store_commit_seconds" [] Fixed(1), PROCESSING;
    /// Always 1; what was built.
    build_info: IntGaugeVec = "switchroom_build_info" ["version", "revision"] Fixed(1);
    /// Resident memory.
    /// This and the next come from `/proc`, and are absent where there is none.
    memory: Gauge = "process_resident_memory_bytes" [] Fixed(1);
    /// Virtual memory.
    virtual_memory: Gauge = "process_virtual_memory_bytes" [] Fixed(1);
    /// Time on processors, of the process and the system for it.
    cpu: Counter = "process_cpu_seconds_total" [] Fixed(1);
    /// Threads of the process.
    threads: IntGauge = "process_threads" [] Fixed(1);
    /// Open file descriptors.
    open_files: IntGauge = "process_open_fds" [] Fixed(1);
    /// How many file descriptors may be open.
    max_files: IntGauge = "process_max_fds" [] Fixed(1);
    /// When the process began.
    started: Gauge = "process_start_time_seconds" [] Fixed(1);
}

metrics! {
    /// The metrics of one device, at `/metrics/devices/{device}`.
    pub struct Detail, DETAIL;

    section "One device in detail";
    /// The device's extensions by state.
    extensions: IntGaugeVec = "switchroom_device_extensions" ["device", "state"] Fixed(5);
    /// 1 for the state of each extension.
    extension_state: IntGaugeVec = "switchroom_extension_state" ["device", "extension", "state"] EachExtension(1);
    /// The device's trunks by state.
    trunks: IntGaugeVec = "switchroom_device_trunks" ["device", "state"] Fixed(5);
    /// Callers that wait, by the device's own queue.
    waiting: IntGaugeVec = "switchroom_group_waiting" ["device", "queue_id"] EachQueue(1);
    /// The device's live calls by direction.
    calls: IntGaugeVec = "switchroom_device_calls" ["device", "direction"] Fixed(4);
}
