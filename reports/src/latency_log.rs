//! `latency.hlog`: the latencies as an HdrHistogram interval log, one tagged interval per operation.
//!
//! The payload is the deflated V2 encoding, as HdrHistogram's own log writers use it; the values are microseconds.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::Report;

/// Interval logs show the longest latency of an interval in milliseconds.
const MICROSECONDS_PER_MILLISECOND: f64 = 1000.0;

/// The bytes of the log. Each interval covers the simulated time of the whole run.
pub(crate) fn render(report: &Report<'_>) -> Result<Vec<u8>, String> {
    let whole_run = Duration::try_from_secs_f64(report.result.simulated_s).unwrap_or_default();
    write(report.latencies, whole_run).map_err(|error| error.to_string())
}

fn write(
    latencies: &BTreeMap<String, Histogram<u64>>,
    whole_run: Duration,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(
            "[Latencies in microseconds, an interval per operation, in simulated seconds since the start]",
        )
        .with_max_value_divisor(MICROSECONDS_PER_MILLISECOND)
        .begin_log_with(&mut bytes, &mut serializer)?;
    for (name, histogram) in latencies {
        let name = tag_text(name);
        log.write_histogram(histogram, Duration::ZERO, whole_run, Tag::new(&name))?;
    }
    Ok(bytes)
}

/// The name without what separates the fields of the log.
fn tag_text(name: &str) -> String {
    let separates = |character: char| character == ',' || character.is_whitespace() || character.is_control();
    name.replace(separates, "_")
}
