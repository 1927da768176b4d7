//! The latencies of a run as the page draws them: of the whole run, and by window.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use record::result::RunResult;
use record::timeline::Timeline;

use crate::latency_log::{self, Interval};

/// How long the operations took that completed in one window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WindowLatency {
    /// The median latency in microseconds.
    pub p50_us: u64,
    /// The latency in microseconds that 95 % stay within.
    pub p95_us: u64,
    /// The latency in microseconds that 99 % stay within.
    pub p99_us: u64,
    /// The longest latency in microseconds.
    pub max_us: u64,
    /// How many operations took how long: the lower bound of each bucket in microseconds, and its count. A bucket is an
    /// eighth of a decade wide; empty ones are left out. Without any, nothing completed.
    pub buckets: Vec<(u64, u64)>,
}

impl WindowLatency {
    const BUCKETS_PER_DECADE: f64 = 8.0;

    /// That of one window, in microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
        for recorded in histogram.iter_recorded() {
            let value = recorded.value_iterated_to().max(1) as f64;
            let index = (value.log10() * Self::BUCKETS_PER_DECADE).floor();
            let lower = 10_f64.powf(index / Self::BUCKETS_PER_DECADE).round() as u64;
            *buckets.entry(lower).or_default() += recorded.count_since_last_iteration();
        }
        Self {
            p50_us: histogram.value_at_quantile(0.5),
            p95_us: histogram.value_at_quantile(0.95),
            p99_us: histogram.value_at_quantile(0.99),
            max_us: histogram.max(),
            buckets: buckets.into_iter().collect(),
        }
    }

    /// The upper bound of the bucket with this lower bound, in microseconds.
    pub(super) fn upper_us(lower_us: u64) -> f64 {
        lower_us.max(1) as f64 * 10_f64.powf(1.0 / Self::BUCKETS_PER_DECADE)
    }
}

/// The latencies of a run, by the names of operations.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    /// Over the whole run, in microseconds.
    pub whole: BTreeMap<String, Histogram<u64>>,
    /// By window of the timeline.
    pub windows: BTreeMap<String, Vec<WindowLatency>>,
}

impl Latencies {
    /// Those of a log, cut into the windows of the run's timeline; operations are called as the result calls them.
    ///
    /// # Errors
    /// A sentence, as [`latency_log::read`].
    pub fn of_log(log: &[u8], result: &RunResult, timeline: &Timeline) -> Result<Self, String> {
        let names: BTreeMap<String, &String> =
            result.operations.keys().map(|name| (latency_log::tag(name), name)).collect();
        let named = |tag: &str| names.get(tag).map_or_else(|| tag.to_owned(), |name| (*name).clone());
        let mut windows: BTreeMap<String, Vec<WindowLatency>> = BTreeMap::new();
        latency_log::read(log, |Interval { operation, from, latencies, .. }| {
            // Times in a log are rounded to milliseconds: the middle of the first millisecond is in the right window.
            let window = ((from.as_secs_f64() + ROUNDED_S) / timeline.window_s) as usize;
            let all = windows
                .entry(named(operation))
                .or_insert_with(|| vec![WindowLatency::default(); timeline.windows]);
            if let Some(place) = all.get_mut(window) {
                *place = WindowLatency::of(latencies);
            }
        })?;
        let whole = latency_log::read_merged(log)?
            .into_iter()
            .map(|(tag, histogram)| (named(&tag), histogram))
            .collect();
        Ok(Self { whole, windows })
    }
}

/// Half of what times in a log are rounded to, in seconds.
const ROUNDED_S: f64 = 0.000_5;
