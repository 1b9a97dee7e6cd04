//! The page `docs/metrics.md`, made of the list.

use std::fmt::Write;

use super::declare::{Entry, Series};
use super::list::{DETAIL, METRICS, PROCESSING, REQUESTS, TALKING, WAITING};

const BEFORE: &str = "\
# Metrics

`GET /metrics`, Prometheus text format. On loopback, and with `metrics.public = true`, it needs no token; elsewhere any \
token that is not limited to some devices or extensions. Counters and histograms begin at zero with every start of the \
process; gauges are read from the live model at the scrape. This page is made of `src/metrics/list.rs`.

`dialect` is `om`, `yeastar`, `zycoo`, or `unknown` where the message could not be read. `kind` of a report is the \
dialect's own name of it (`RING`, `Cdr`, `NewCdr`, `dialend`, …) if it is a known one, else `other`. `direction` is \
`inbound`, `outbound`, `internal`, `callback`. All durations of calls are by the times at which the reports came in, not \
by the device's clock. What a stranger writes is never a label.
";

const DETAILS: &str = "
`GET /metrics/devices/{device}` gives the series of one device. It is meant to be looked at, or scraped for the devices \
that matter: `GET /metrics/devices` lists them for Prometheus (`http_sd_configs`), with `?site=` those of one site.
";

/// The page.
#[must_use]
pub fn manual() -> String {
    let mut page = BEFORE.to_owned();
    for (section, entries) in METRICS {
        table(&mut page, section, entries, "");
    }
    for (section, entries) in DETAIL {
        table(&mut page, section, entries, DETAILS);
    }
    buckets(&mut page);
    series(&mut page);
    page
}

fn table(page: &mut String, section: &str, entries: &[Entry], about: &str) {
    let _ = writeln!(page, "\n## {section}\n{about}");
    page.push_str("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for entry in entries {
        let labels: Vec<String> = entry.labels.iter().map(|label| format!("`{label}`")).collect();
        let doc: Vec<&str> = entry.doc.iter().map(|line| line.trim()).collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            entry.name,
            entry.kind,
            labels.join(", "),
            doc.join(" ")
        );
    }
}

fn buckets(page: &mut String) {
    page.push_str("\n## Buckets\n\n| histograms | upper bounds in seconds |\n| --- | --- |\n");
    for bounds in [PROCESSING, REQUESTS, WAITING, TALKING] {
        let of =
            METRICS.iter().flat_map(|(_, entries)| entries.iter()).filter(|entry| entry.buckets == bounds);
        let names: Vec<String> = of.map(|entry| format!("`{}`", entry.name)).collect();
        let bounds: Vec<String> = bounds.iter().map(ToString::to_string).collect();
        let _ = writeln!(page, "| {} | {} |", names.join(", "), bounds.join(", "));
    }
}

/// How many series a histogram has for each set of labels: its buckets, `+Inf`, sum and count.
fn each(entry: &Entry) -> usize {
    if entry.buckets.is_empty() { 1 } else { entry.buckets.len() + 3 }
}

/// How many series there are at most, with so many devices, sites, webhooks and targets.
#[must_use]
pub(super) fn most(devices: usize, sites: usize, webhooks: usize, targets: usize) -> usize {
    let count = |entry: &Entry| {
        let sets = match entry.series {
            Series::Fixed(count) => count,
            Series::EachDevice(count) => count * devices,
            Series::EachWebhook(count) => count * webhooks,
            Series::EachTarget(count) => count * targets,
            Series::EachSite(count) => count * sites.max(1),
            Series::EachExtension(_) | Series::EachQueue(_) => 0,
        };
        sets * each(entry)
    };
    METRICS.iter().flat_map(|(_, entries)| entries.iter()).map(count).sum()
}

fn series(page: &mut String) {
    let fixed = most(0, 0, 0, 0) - 1;
    let by = |devices, webhooks, targets| most(devices, 0, webhooks, targets) - most(0, 0, 0, 0);
    let detail: usize = DETAIL
        .iter()
        .flat_map(|(_, entries)| entries.iter())
        .map(|entry| if let Series::Fixed(count) = entry.series { count } else { 0 })
        .sum();
    let _ = write!(
        page,
        "\n## How many series\n\n\
         A histogram has its buckets, `+Inf`, sum and count. With *D* devices, *S* sites, *W* webhooks and *T* targets \
         there are at most\n\n\
         > {} × *D* + *S* + {} × *W* + {} × *T* + {fixed}\n\n\
         With `metrics.per_device = false` the first part is not there. Of the last part most stand only once they \
         happened: each command with each outcome, each kind of report. With 5,000 devices at 100 sites, 20 webhooks and \
         20 targets that is {} at most.\n\n\
         One device in detail, with *E* extensions and *Q* queues: {detail} + *E* + *Q*.\n",
        by(1, 0, 0),
        by(0, 1, 0),
        by(0, 0, 1),
        most(5000, 100, 20, 20),
    );
}
