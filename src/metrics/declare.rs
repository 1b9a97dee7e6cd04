//! What a metric is declared with, and how it becomes one.

use std::fmt::Write;

use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// How many series a metric has at most, by what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    /// So many, whatever there is.
    Fixed(usize),
    /// So many for each device; none with `metrics.per_device = false`.
    EachDevice(usize),
    /// So many for each webhook.
    EachWebhook(usize),
    /// So many for each target.
    EachTarget(usize),
    /// So many for each site.
    EachSite(usize),
    /// So many for each extension of the device.
    EachExtension(usize),
    /// So many for each queue of the device.
    EachQueue(usize),
}

/// A metric as it is declared.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its name, with its unit.
    pub name: &'static str,
    /// What it is: its first line is the help that a scrape gives.
    pub doc: &'static [&'static str],
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// The upper bounds of a histogram, in seconds.
    pub buckets: &'static [f64],
    /// How many series it has at most; a histogram so many times its buckets and three.
    pub series: Series,
}

impl Entry {
    /// The help that a scrape gives.
    #[must_use]
    pub fn help(&self) -> &'static str {
        self.doc.first().map_or("", |line| line.trim())
    }

    fn opts(&self) -> Opts {
        Opts::new(self.name, self.help())
    }

    fn histogram(&self) -> HistogramOpts {
        HistogramOpts::new(self.name, self.help()).buckets(self.buckets.to_vec())
    }
}

/// A kind of metric.
pub(super) trait Metric: Sized {
    /// What Prometheus calls it.
    const KIND: &'static str;

    /// One of this kind, of which scrapes know.
    fn register(registry: &Registry, entry: &Entry) -> Result<Self, prometheus::Error>;
}

macro_rules! metric {
    ($($type:ident $kind:literal |$entry:ident| $build:expr;)*) => {
        $(impl Metric for $type {
            const KIND: &'static str = $kind;

            fn register(registry: &Registry, $entry: &Entry) -> Result<Self, prometheus::Error> {
                let metric: Self = $build?;
                registry.register(Box::new(metric.clone()))?;
                Ok(metric)
            }
        })*
    };
}

metric! {
    Counter "counter" |entry| Self::with_opts(entry.opts());
    IntCounter "counter" |entry| Self::with_opts(entry.opts());
    IntCounterVec "counter" |entry| Self::new(entry.opts(), entry.labels);
    IntGauge "gauge" |entry| Self::with_opts(entry.opts());
    IntGaugeVec "gauge" |entry| Self::new(entry.opts(), entry.labels);
    Gauge "gauge" |entry| Self::with_opts(entry.opts());
    GaugeVec "gauge" |entry| Self::new(entry.opts(), entry.labels);
    Histogram "histogram" |entry| Self::with_opts(entry.histogram());
    HistogramVec "histogram" |entry| Self::new(entry.histogram(), entry.labels);
}

/// A metric of which each device has series, written down at the scrape from how the devices do then: thousands of them
/// cost a fraction of what they would in a registry, and those of a removed device end by themselves.
#[derive(Debug, Clone, Copy)]
pub struct ByDevice<const COUNTER: bool>(Entry);

impl<const COUNTER: bool> Metric for ByDevice<COUNTER> {
    const KIND: &'static str = if COUNTER { "counter" } else { "gauge" };

    fn register(_: &Registry, entry: &Entry) -> Result<Self, prometheus::Error> {
        Ok(Self(*entry))
    }
}

impl<const COUNTER: bool> ByDevice<COUNTER> {
    /// Writes what `series` gives for each of the devices: values of its labels, and the value.
    pub(super) fn write<T, const LABELS: usize>(
        &self,
        text: &mut String,
        devices: &[T],
        series: impl Fn(&T, &mut dyn FnMut([&str; LABELS], f64)),
    ) {
        let Entry { name, labels, .. } = self.0;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {}", self.0.help(), Self::KIND);
        for device in devices {
            series(device, &mut |values, value| {
                text.push_str(name);
                for (i, (label, value)) in labels.iter().zip(values).enumerate() {
                    text.push(if i == 0 { '{' } else { ',' });
                    text.push_str(label);
                    text.push_str("=\"");
                    escape(value, text);
                    text.push('"');
                }
                let _ = writeln!(text, "}} {value}");
            });
        }
    }
}

/// A label's value as the format wants it.
fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

/// Declares metrics: the struct that holds them, and the list of them by section, which is their manual.
macro_rules! metrics {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident, $list:ident;
        $(
            section $section:literal;
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ident = $metric:literal [$($label:literal),*] $series:ident($count:literal)
                    $(, $buckets:ident)?;
            )+
        )+
    ) => {
        $(#[$attribute])*
        pub struct $name {
            $($(
                $(#[doc = $doc])+
                pub $field: $type,
            )+)+
        }

        /// The metrics by section, as they are declared.
        pub const $list: &[(&str, &[Entry])] = &[
            $(($section, &[
                $(Entry {
                    name: $metric,
                    doc: &[$($doc),+],
                    kind: <$type as Metric>::KIND,
                    labels: &[$($label),*],
                    buckets: metrics!(@buckets $($buckets)?),
                    series: Series::$series($count),
                },)+
            ]),)+
        ];

        impl $name {
            /// All of them, registered.
            ///
            /// # Errors
            /// When two have one name.
            pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
                let entry = |name: &str| {
                    let all = $list.iter().flat_map(|(_, entries)| entries.iter());
                    let found = all.copied().find(|entry| entry.name == name);
                    found.ok_or_else(|| prometheus::Error::Msg(format!("{name} is not declared")))
                };
                Ok(Self {
                    $($($field: <$type as Metric>::register(registry, &entry($metric)?)?,)+)+
                })
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}
pub(super) use metrics;
