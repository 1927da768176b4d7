//! What was seen of the gauges, at moments that come closer together in short runs than in long ones.

use std::collections::BTreeMap;
use std::time::Duration;

use record::timeline::Gauge;
use world::host::Host;

use super::{Busy, Windows};
use crate::system::{Reading, ReadingKind};

/// Looks are at least so far apart.
const PERIOD_MIN: Duration = Duration::from_micros(2_500);
/// When there are so many samples, every other one is dropped, and looks are twice as far apart from then on: of a run
/// there are at least half as many, four to a window.
const SAMPLES_MAX: usize = 2_048;

/// What was seen at one moment.
#[derive(Debug)]
pub(super) struct Sample {
    /// Since the start of the simulation.
    pub(super) at: Duration,
    /// Operations that were under way.
    pub(super) under_way: u64,
    /// Messages and bytes that had been delivered so far, where the engine tells.
    pub(super) delivered: Option<(u64, u64)>,
    /// Seconds that all cores of a host had worked so far.
    pub(super) busy: Vec<(Host, f64)>,
    /// What the system's own gauges showed.
    pub(super) readings: Vec<Reading>,
}

/// The samples of a run, in order of time.
#[derive(Debug)]
pub(super) struct Samples {
    taken: Vec<Sample>,
    period: Duration,
    due: Duration,
}

impl Default for Samples {
    fn default() -> Self {
        Samples { taken: Vec::new(), period: PERIOD_MIN, due: Duration::ZERO }
    }
}

/// The values of one quantity, in order of time (seconds since the start).
type Points = Vec<(f64, f64)>;

impl Samples {
    /// Is it time for another look?
    pub(super) fn is_due(&self, now: Duration) -> bool {
        now >= self.due
    }

    pub(super) fn add(&mut self, sample: Sample) {
        self.due = sample.at + self.period;
        self.taken.push(sample);
        if self.taken.len() >= SAMPLES_MAX {
            let mut number = 0;
            self.taken.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.period *= 2;
        }
    }

    /// The gauges of the harness and of the system, by window.
    pub(super) fn gauges(&self, windows: &Windows) -> Vec<Gauge> {
        let under_way = self.points(|sample| Some(sample.under_way as f64));
        let messages = self.points(|sample| sample.delivered.map(|(messages, _)| messages as f64));
        let bytes = self.points(|sample| sample.delivered.map(|(_, bytes)| bytes as f64));
        let gauge = |(group, name, unit): (&str, &str, &str), values: Vec<Option<f64>>| Gauge {
            group: group.to_owned(),
            name: name.to_owned(),
            unit: unit.to_owned(),
            values: values.into_iter().map(|value| value.map(rounded)).collect(),
        };
        let mut gauges = vec![gauge(("operations", "under way", "operations"), levels(&under_way, windows))];
        for (name, unit, points) in [("messages", "/s", messages), ("bytes", "bytes/s", bytes)] {
            if !points.is_empty() {
                gauges.push(gauge(("network", name, unit), rates(&points, windows)));
            }
        }
        // In the order in which the system names them.
        let mut shown: Vec<(&Reading, Points)> = Vec::new();
        let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for sample in &self.taken {
            for reading in &sample.readings {
                let place = *places.entry((reading.group, reading.name.as_str())).or_insert_with(|| {
                    shown.push((reading, Points::new()));
                    shown.len() - 1
                });
                shown[place].1.push((sample.at.as_secs_f64(), reading.value));
            }
        }
        gauges.extend(shown.into_iter().map(|(reading, points)| {
            let values = match reading.kind {
                ReadingKind::Level => levels(&points, windows),
                ReadingKind::Total => rates(&points, windows),
            };
            gauge((reading.group, reading.name.as_str(), reading.unit), values)
        }));
        gauges
    }

    /// The share of their cores' time that hosts worked, by window; hosts whose cores did nothing are not in it.
    pub(super) fn busy(&self, windows: &Windows) -> Busy {
        let share = |value: Option<f64>| rounded(value.unwrap_or(0.0)).clamp(0.0, 1.0);
        let by_window = |points: &Points| rates(points, windows).into_iter().map(share).collect();
        self.worked().iter().map(|(host, points)| (*host, by_window(points))).collect()
    }

    /// The same over one stretch of time.
    pub(super) fn busy_between(&self, from: Duration, to: Duration) -> BTreeMap<Host, f64> {
        let (from_s, to_s) = (from.as_secs_f64(), to.as_secs_f64());
        let share = |points: &Points| {
            let worked_s = total_at(points, to_s) - total_at(points, from_s);
            (worked_s / (to_s - from_s).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
        };
        self.worked().iter().map(|(host, points)| (*host, share(points))).collect()
    }

    /// The seconds that all cores of a host had worked, over time.
    fn worked(&self) -> BTreeMap<Host, Points> {
        let mut points: BTreeMap<Host, Points> = BTreeMap::new();
        let mut before = 0.0;
        for sample in &self.taken {
            let at_s = sample.at.as_secs_f64();
            for (host, busy_s) in &sample.busy {
                // Before its first work it had none.
                points.entry(*host).or_insert_with(|| vec![(before, 0.0)]).push((at_s, *busy_s));
            }
            before = at_s;
        }
        points
    }

    fn points(&self, value: impl Fn(&Sample) -> Option<f64>) -> Points {
        let points = self.taken.iter().filter_map(|sample| Some((sample.at.as_secs_f64(), value(sample)?)));
        points.collect()
    }
}

/// To a thousandth: nobody reads more, and every digit is in the file.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The last value that was seen up to the end of each window; `None` before the first.
fn levels(points: &[(f64, f64)], windows: &Windows) -> Vec<Option<f64>> {
    let value = |window| {
        let (_, to_s) = windows.span_s(window);
        let seen = points.partition_point(|(at_s, _)| *at_s <= to_s);
        seen.checked_sub(1).map(|last| points[last].1)
    };
    (0..windows.count()).map(value).collect()
}

/// The growth of a total over each window, per second; between two looks it is taken to have grown evenly. `None` where
/// nothing of the window was seen.
fn rates(points: &[(f64, f64)], windows: &Windows) -> Vec<Option<f64>> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return vec![None; windows.count()];
    };
    let value = |window| {
        let (from_s, to_s) = windows.span_s(window);
        let (from_s, to_s) = (from_s.max(first.0), to_s.min(last.0));
        (to_s > from_s).then(|| (total_at(points, to_s) - total_at(points, from_s)) / (to_s - from_s))
    };
    (0..windows.count()).map(value).collect()
}

fn total_at(points: &[(f64, f64)], at_s: f64) -> f64 {
    let after = points.partition_point(|(seen_s, _)| *seen_s <= at_s);
    match (after.checked_sub(1).map(|before| points[before]), points.get(after)) {
        (Some((from_s, from)), Some((to_s, to))) => from + (to - from) * (at_s - from_s) / (to_s - from_s),
        (Some((_, total)), None) | (None, Some(&(_, total))) => total,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Duration) -> Sample {
        Sample { at, under_way: 0, delivered: None, busy: Vec::new(), readings: Vec::new() }
    }

    #[test]
    fn a_long_run_has_as_many_samples_as_a_short_one() {
        for end_s in [1, 100, 10_000] {
            let mut samples = Samples::default();
            let end = Duration::from_secs(end_s);
            let mut now = Duration::ZERO;
            while now < end {
                if samples.is_due(now) {
                    samples.add(sample(now));
                }
                now += Duration::from_micros(2_500 * end_s.div_ceil(10));
            }
            let taken = samples.taken.len();
            assert!((300..SAMPLES_MAX).contains(&taken), "{taken} samples of {end_s} s");
            let windows = Windows::over(end);
            let values = levels(&samples.points(|sample| Some(sample.at.as_secs_f64())), &windows);
            // Each window has seen something of its own.
            let fresh = |(window, value): (usize, &Option<f64>)| {
                value.is_some_and(|seen_s| seen_s >= windows.span_s(window).0)
            };
            assert!(values.iter().enumerate().all(fresh), "{end_s} s: {values:?}");
        }
    }

    #[test]
    fn a_level_holds_until_it_is_seen_to_change_and_a_total_grows_evenly() {
        let windows = Windows::over(Duration::from_millis(50));
        let points = [(0.012, 4.0), (0.03, 7.0), (0.045, 7.0)];
        assert_eq!(levels(&points, &windows), [None, Some(4.0), Some(7.0), Some(7.0), Some(7.0)]);
        let rates = rates(&points, &windows);
        assert_eq!(rates[0], None);
        let near = |value: Option<f64>, expected: f64| {
            assert!(value.is_some_and(|value| (value - expected).abs() < 1e-6), "{value:?}, not {expected}");
        };
        near(rates[1], 3.0 / 0.018);
        near(rates[2], 3.0 / 0.018);
        near(rates[3], 0.0);
        near(rates[4], 0.0);
    }
}
