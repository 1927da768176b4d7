//! Windows of time: how wide they are, and which operation belongs into which.

use std::collections::BTreeMap;
use std::time::Duration;

use record::history::{History, Operation, Outcome};
use record::timeline::OperationSeries;
use reports::latency_log::{self, Interval};

use crate::rehearsal::Played;

/// The most windows that a run is cut into.
const WINDOWS_MAX: u64 = 240;
/// The narrowest window.
const WIDTH_MIN_NS: u64 = 10_000_000;
/// The widths that people can read, in tenths of a power of ten.
const STEPS: [u64; 4] = [10, 20, 25, 50];

/// The time of a run, cut into windows of equal width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    width_ns: u64,
    count: usize,
    end_ns: u64,
}

impl Windows {
    /// At most 240 windows of 1, 2, 2.5 or 5 times a power of ten seconds, at least 10 ms, up to `end`.
    pub fn over(end: Duration) -> Windows {
        let end_ns = nanos(end);
        let powers = std::iter::successors(Some(WIDTH_MIN_NS / 10), |power| power.checked_mul(10));
        let widths = powers.flat_map(|power| STEPS.map(|step| power.saturating_mul(step)));
        let mut widths = widths.filter(|width| end_ns.div_ceil(*width) <= WINDOWS_MAX);
        let width_ns = widths.next().unwrap_or(u64::MAX);
        let count = usize::try_from(end_ns.div_ceil(width_ns)).unwrap_or(1).max(1);
        Windows { width_ns, count, end_ns }
    }

    /// Those of a run that was played.
    pub fn of_run(played: &Played) -> Windows {
        Windows::over(Duration::try_from_secs_f64(played.result.simulated_s).unwrap_or_default())
    }

    /// How wide a window is.
    pub fn width(&self) -> Duration {
        Duration::from_nanos(self.width_ns)
    }

    /// How many there are; at least one.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The window that a moment since the start belongs to; what comes after the end belongs to the last one.
    pub fn of(&self, at: Duration) -> usize {
        usize::try_from(nanos(at) / self.width_ns).unwrap_or(usize::MAX).min(self.count - 1)
    }

    /// From when to when a window goes, in seconds; the last one ends with the run.
    pub(super) fn span_s(&self, window: usize) -> (f64, f64) {
        let from_ns = (window as u64).saturating_mul(self.width_ns);
        let to_ns = from_ns.saturating_add(self.width_ns).min(self.end_ns);
        (from_ns as f64 / 1e9, to_ns as f64 / 1e9)
    }

    /// Counts operations by name and window.
    pub(super) fn operations(&self, operations: &[Operation]) -> BTreeMap<String, OperationSeries> {
        let mut series: BTreeMap<&'static str, OperationSeries> = BTreeMap::new();
        for operation in operations {
            let series = series.entry(operation.name).or_insert_with(|| self.empty());
            series.invoked[self.of(operation.invoked)] += 1;
            let completed = operation.completed.map_or(self.count - 1, |at| self.of(at));
            let counts = match operation.outcome {
                Some(Outcome::Ok) => &mut series.ok,
                Some(Outcome::Refused) => &mut series.refused,
                Some(Outcome::Failed) => &mut series.failed,
                Some(Outcome::Unknown) | None => &mut series.unknown,
            };
            counts[completed] += 1;
        }
        series.into_iter().map(|(name, series)| (name.to_owned(), series)).collect()
    }

    /// The latencies of a run as an interval log, see [`latency_log`].
    ///
    /// # Errors
    /// A sentence: an interval does not fit the format.
    pub fn latency_log(&self, history: &History) -> Result<Vec<u8>, String> {
        latency_log::write(|show| {
            history.latencies_by_window(
                |at| self.of(at),
                |window, operation, latencies| {
                    let (from_s, to_s) = self.span_s(window);
                    let from = Duration::try_from_secs_f64(from_s).unwrap_or_default();
                    let to = Duration::try_from_secs_f64(to_s).unwrap_or_default();
                    show(Interval { operation, from, length: to.saturating_sub(from), latencies });
                },
            );
        })
    }

    fn empty(&self) -> OperationSeries {
        let zeros = || vec![0; self.count];
        OperationSeries { invoked: zeros(), ok: zeros(), refused: zeros(), failed: zeros(), unknown: zeros() }
    }
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_of_widths_that_people_can_read() {
        for (end_s, width_s, count) in [
            (0.0, 0.01, 1),
            (0.009, 0.01, 1),
            (2.4, 0.01, 240),
            (2.400_000_001, 0.02, 121),
            (5.9, 0.025, 236),
            (6.1, 0.05, 122),
            (94.062, 0.5, 189),
            (3_600.0, 20.0, 180),
            (172_800.0, 1_000.0, 173),
        ] {
            let windows = Windows::over(Duration::from_secs_f64(end_s));
            assert_eq!((windows.width().as_secs_f64(), windows.count()), (width_s, count), "{end_s}");
        }
        assert!(Windows::over(Duration::MAX).count() <= 240);
    }

    #[test]
    fn the_end_belongs_to_the_last_window() {
        let windows = Windows::over(Duration::from_secs(1));
        assert_eq!(windows.of(Duration::ZERO), 0);
        assert_eq!(windows.of(Duration::from_millis(10)), 1);
        assert_eq!(windows.of(Duration::from_millis(999)), 99);
        assert_eq!(windows.of(Duration::from_secs(1)), 99);
        assert_eq!(windows.span_s(99), (0.99, 1.0));
    }
}
