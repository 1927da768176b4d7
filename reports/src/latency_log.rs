//! `latency.hlog`: the latencies as an HdrHistogram interval log, an interval for each window and operation, tagged with
//! the operation.
//!
//! The payload is the deflated V2 encoding, as HdrHistogram's own log writers use it; the values are microseconds. All
//! intervals of one tag together are exactly the histogram of the whole run.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, LogIteratorError, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

/// Interval logs show the longest latency of an interval in milliseconds.
const MICROSECONDS_PER_MILLISECOND: f64 = 1000.0;
/// What a payload of the deflated V2 encoding begins with.
const COOKIE: [u8; 4] = 0x1c84_9314_u32.to_be_bytes();
/// What stands before the deflated part of a payload: the cookie and a length, four bytes each.
const DEFLATED_FROM: usize = 8;
/// What stands before the counts once they are inflated: cookie, length, and the shape of the histogram.
const COUNTS_FROM: usize = 40;
/// The most bytes of a payload once it is inflated; one of an hour in microseconds with 3 digits has 240 KB at most.
const INFLATED_MAX: u64 = 16 << 20;

/// What operations of one name took that completed in one window.
#[derive(Debug, Clone, Copy)]
pub struct Interval<'a> {
    /// The name of the operations.
    pub operation: &'a str,
    /// When the window begins, since the start of the simulation.
    pub from: Duration,
    /// How long it is.
    pub length: Duration,
    /// Latencies in microseconds.
    pub latencies: &'a Histogram<u64>,
}

/// The text of a log, interval by interval. Memory is needed for one histogram at a time.
///
/// # Errors
/// A sentence: an interval does not fit the format.
pub fn write(fill: impl FnOnce(&mut dyn FnMut(Interval<'_>))) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(
            "[Latencies in microseconds, an interval per window and operation, in simulated seconds since the start]",
        )
        .with_max_value_divisor(MICROSECONDS_PER_MILLISECOND)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|error| error.to_string())?;
    let mut written = Ok(());
    fill(&mut |Interval { operation, from, length, latencies }| {
        if written.is_ok() {
            written = log.write_histogram(latencies, from, length, Tag::new(&tag(operation)));
        }
    });
    written.map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The name without what separates the fields of the log.
pub fn tag(operation: &str) -> String {
    let separates = |character: char| character == ',' || character.is_whitespace() || character.is_control();
    operation.replace(separates, "_")
}

/// Reads a log, interval by interval, in the order of the log.
///
/// # Errors
/// A sentence, with the line where the text is not an interval log of latencies that have tags.
pub fn read(bytes: &[u8], mut show: impl FnMut(Interval<'_>)) -> Result<(), String> {
    let mut deserializer = Deserializer::new();
    let mut number = 0;
    for entry in IntervalLogIterator::new(bytes) {
        let entry = entry.map_err(|LogIteratorError::ParseError { offset }| {
            let line = 1 + bytes[..offset.min(bytes.len())].iter().filter(|byte| **byte == b'\n').count();
            format!("line {line} is no line of an interval log")
        })?;
        let LogEntry::Interval(interval) = entry else { continue };
        number += 1;
        let wrong = |what: String| format!("interval {number} {what}");
        let tag = interval
            .tag()
            .ok_or_else(|| wrong("has no tag, expected the name of an operation".to_owned()))?;
        let latencies = decode(interval.encoded_histogram(), &mut deserializer)
            .map_err(|what| wrong(format!("of {} {what}", tag.as_str())))?;
        let (from, length) = (interval.start_timestamp(), interval.duration());
        show(Interval { operation: tag.as_str(), from, length, latencies: &latencies });
    }
    Ok(())
}

/// The histograms of the whole run, by tag.
///
/// # Errors
/// As [`read`]; also when the histograms of a tag do not fit together.
pub fn read_merged(bytes: &[u8]) -> Result<BTreeMap<String, Histogram<u64>>, String> {
    let mut merged: BTreeMap<String, Histogram<u64>> = BTreeMap::new();
    let mut misfit = None;
    read(bytes, |Interval { operation, latencies, .. }| match merged.get_mut(operation) {
        Some(sum) => {
            if sum.add(latencies).is_err() {
                misfit = Some(format!("the intervals of {operation} do not fit together"));
            }
        }
        None => _ = merged.insert(operation.to_owned(), latencies.clone()),
    })?;
    misfit.map_or(Ok(merged), Err)
}

/// The histogram of a payload. What it says about its own size is not believed before it is seen.
fn decode(payload: &str, deserializer: &mut Deserializer) -> Result<Histogram<u64>, String> {
    let wrong = "holds no HdrHistogram of the deflated V2 encoding";
    let bytes = BASE64_STANDARD.decode(payload).map_err(|error| format!("{wrong}: {error}"))?;
    let deflated = bytes.get(DEFLATED_FROM..).filter(|_| bytes.starts_with(&COOKIE)).ok_or(wrong)?;
    let mut inflated = Vec::new();
    let inflating = ZlibDecoder::new(deflated).take(INFLATED_MAX).read_to_end(&mut inflated);
    inflating.map_err(|error| format!("{wrong}: {error}"))?;
    let said: [u8; 4] = inflated.get(4..8).and_then(|length| length.try_into().ok()).ok_or(wrong)?;
    let counts = inflated.len().checked_sub(COUNTS_FROM).ok_or(wrong)?;
    if u32::from_be_bytes(said) as usize > counts {
        return Err(wrong.to_owned());
    }
    deserializer.deserialize(&mut inflated.as_slice()).map_err(|error| format!("{wrong}: {error}"))
}
