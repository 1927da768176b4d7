//! Where times and values stand in a chart, and what is written beside them.

use record::result::RunResult;
use record::timeline::Timeline;

use crate::units;

/// More windows than any run has: a file that says so is damaged, and would make an endless page.
pub(crate) const WINDOWS_MAX: usize = 10_000;

/// Marks of time on an axis, at most.
const TIME_TICKS: f64 = 11.0;

/// The distances between marks of time, in seconds; longer ones are whole days.
const TIME_STEPS: [f64; 20] = [
    0.001, 0.01, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0, 7200.0,
    14_400.0, 28_800.0, 86_400.0,
];

/// The axis of simulated time that all charts of a run share.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeAxis {
    /// Where it ends, in seconds; it begins with 0.
    pub(super) end_s: f64,
    /// Seconds of a window.
    pub(super) window_s: f64,
    /// How many windows there are.
    pub(super) windows: usize,
}

impl TimeAxis {
    /// That of a run; `None` if its time was not recorded.
    pub(super) fn of(result: &RunResult, timeline: &Timeline) -> Option<Self> {
        let (window_s, windows) = (timeline.window_s, timeline.windows);
        let is_recorded = window_s.is_finite() && window_s > 0.0 && (1..=WINDOWS_MAX).contains(&windows);
        let recorded_s = window_s * windows as f64;
        let end_s =
            if result.simulated_s.is_finite() { result.simulated_s.max(recorded_s) } else { recorded_s };
        (is_recorded && end_s.is_finite()).then_some(Self { end_s, window_s, windows })
    }

    /// How far along the axis a time is, in percent of its length; times outside are at its ends.
    pub(super) fn percent(&self, at_s: f64) -> f64 {
        let percent = at_s / self.end_s * 100.0;
        if percent.is_nan() { 0.0 } else { (percent.clamp(0.0, 100.0) * 1e3).round() / 1e3 }
    }

    /// The middle of a window, in seconds.
    pub(super) fn middle(&self, window: usize) -> f64 {
        (window as f64 + 0.5) * self.window_s
    }

    /// Times to be written below a chart, in seconds, with what is written.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let fits = |step: &f64| self.end_s / step <= TIME_TICKS;
        let days = 86_400.0 * (self.end_s / 86_400.0 / TIME_TICKS).ceil().max(1.0);
        let step = TIME_STEPS.into_iter().find(fits).unwrap_or(days);
        let count = (self.end_s / step).floor() as usize;
        (0..=count).map(|index| index as f64 * step).map(|at| (at, time(at, step))).collect()
    }
}

/// A time on an axis with marks that far apart, in seconds.
fn time(at_s: f64, step_s: f64) -> String {
    if step_s < 60.0 {
        return units::seconds(at_s);
    }
    let minutes = (at_s / 60.0).round() as u64;
    if step_s < 3600.0 && minutes < 60 {
        format!("{minutes} min")
    } else {
        format!("{}:{:02} h", minutes / 60, minutes % 60)
    }
}

/// What the values of a chart are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unit {
    /// Microseconds.
    Latency,
    /// Anything else, by its name: `seats`, `/s`.
    Named(String),
}

impl Unit {
    /// A value with its unit.
    pub(super) fn show(&self, value: f64) -> String {
        match self {
            Self::Latency => units::latency(value.round() as u64),
            Self::Named(name) if name.starts_with('/') => format!("{}{name}", compact(value)),
            Self::Named(name) if name.starts_with("bytes") => {
                let (scaled, prefix) = scaled(value);
                format!("{scaled} {prefix}B{}", &name["bytes".len()..])
            }
            Self::Named(name) if name.is_empty() => compact(value),
            Self::Named(name) if name == "%" => format!("{} %", compact(value)),
            Self::Named(name) => format!("{} {name}", compact(value)),
        }
    }

    /// A value beside the axis, where the unit is said already.
    fn tick(&self, value: f64) -> String {
        match self {
            Self::Latency => units::latency(value.round() as u64),
            Self::Named(_) => compact(value),
        }
    }
}

/// Three digits and a power of a thousand: `950`, `12.4 k`.
fn compact(value: f64) -> String {
    let (digits, prefix) = scaled(value);
    if prefix.is_empty() { digits } else { format!("{digits} {prefix}") }
}

fn scaled(value: f64) -> (String, &'static str) {
    let size = value.abs();
    let (divisor, prefix) = match size {
        ..9_999.5 => (1.0, ""),
        ..999_500.0 => (1e3, "k"),
        ..999_500_000.0 => (1e6, "M"),
        _ => (1e9, "G"),
    };
    (units::three_digits(value / divisor), prefix)
}

/// How values are laid out from the bottom of a chart to its top.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scale {
    /// From 0 evenly.
    Linear { max: f64 },
    /// By powers; both are above 0.
    Log { min: f64, max: f64 },
}

impl Scale {
    /// From 0 to a round number that all values stay below.
    pub(super) fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let highest = values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let max = if highest > 0.0 { highest * 1.05 } else { 1.0 };
        Self::Linear { max }
    }

    /// Around the values above 0, with some room.
    pub(super) fn log(values: &[f64]) -> Self {
        let positive = || values.iter().copied().filter(|value| value.is_finite() && *value > 0.0);
        let (min, max) = (positive().fold(f64::INFINITY, f64::min), positive().fold(0.0, f64::max));
        if max > 0.0 {
            Self::Log { min: min / 1.25, max: max * 1.25 }
        } else {
            Self::Log { min: 1.0, max: 10.0 }
        }
    }

    /// How high a value stands, 0 to 1; values outside are at the edges.
    pub(super) fn height(&self, value: f64) -> f64 {
        let height = match *self {
            Self::Linear { max } => value / max,
            Self::Log { min, max } => (value.max(min) / min).ln() / (max / min).ln(),
        };
        if height.is_nan() { 0.0 } else { height.clamp(0.0, 1.0) }
    }

    /// Values to be written beside a chart, with what is written.
    pub(super) fn ticks(&self, unit: &Unit) -> Vec<(f64, String)> {
        let values: Vec<f64> = match *self {
            Self::Linear { max } => {
                let power = 10_f64.powf((max / 4.0).log10().floor());
                let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
                let step = step.into_iter().find(|step| max / step <= 4.0).unwrap_or(max);
                (0..=4).map(|index| f64::from(index) * step).filter(|value| *value <= max).collect()
            }
            Self::Log { min, max } => {
                let decades = (min.log10().floor() as i32)..=(max.log10().ceil() as i32);
                let spread = (max / min).log10();
                let factors: &[f64] = if spread < 1.3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let step = if spread > 5.5 { 2 } else { 1 };
                let values = decades.filter(|power| power % step == 0);
                let values =
                    values.flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
                values.filter(|value| (min..=max).contains(value)).collect()
            }
        };
        values.into_iter().map(|value| (value, unit.tick(value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_time_are_few_and_round() {
        for (end_s, last) in
            [(0.05, "0.05 s"), (94.1, "90 s"), (500.0, "8 min"), (172_800.0, "48:00 h"), (1e7, "2640:00 h")]
        {
            let axis = TimeAxis { end_s, window_s: 1.0, windows: 1 };
            let ticks = axis.ticks();
            assert!((3..=12).contains(&ticks.len()), "{ticks:?}");
            assert_eq!(ticks.last().map(|(_, text)| text.as_str()), Some(last));
        }
        let axis = TimeAxis { end_s: 90.0, window_s: 1.0, windows: 90 };
        assert_eq!([-1.0, 45.0, 1e9, f64::NAN].map(|at| axis.percent(at)), [0.0, 50.0, 100.0, 0.0]);
    }

    #[test]
    fn values_stay_within_the_chart() {
        for scale in [
            Scale::linear([3.0, 7.0]),
            Scale::log(&[3.0, 7_000.0]),
            Scale::log(&[5.0, 5.0]),
            Scale::linear([]),
        ] {
            for value in [f64::NEG_INFINITY, -1.0, 0.0, 3.0, 1e12, f64::NAN] {
                assert!((0.0..=1.0).contains(&scale.height(value)), "{scale:?} {value}");
            }
            assert!((1..=6).contains(&scale.ticks(&Unit::Latency).len()), "{scale:?}");
        }
        let ticks = Scale::log(&[900.0, 2_000_000.0]).ticks(&Unit::Latency);
        assert_eq!(
            ticks.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
            ["1 ms", "10 ms", "100 ms", "1 s"]
        );
        let ticks = Scale::linear([212.0]).ticks(&Unit::Named("/s".to_owned()));
        assert_eq!(ticks.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["0", "100", "200"]);
    }

    #[test]
    fn values_have_units() {
        let show = |unit: &str, value| Unit::Named(unit.to_owned()).show(value);
        assert_eq!(show("/s", 12_345.0), "12.3 k/s");
        assert_eq!(show("bytes/s", 1_234_567.0), "1.23 MB/s");
        assert_eq!(show("seats", 3.0), "3 seats");
        assert_eq!(Unit::Latency.show(1_500_000.0), "1.5 s");
    }
}
