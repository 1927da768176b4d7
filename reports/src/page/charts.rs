//! Which charts a run has over its time: throughput, latencies, what was watched, and how busy the hosts were.

use std::collections::BTreeSet;

use record::result::{OperationStats, RunResult, ServiceLevel};
use record::timeline::{Gauge, HostRecord, OperationSeries};

use super::axis::{Scale, TimeAxis, Unit};
use super::figure::{Figure, Look, Panel, Series};
use super::language::Words;
use super::plot::Mark;
use super::theme::Ink;
use super::{Input, WindowLatency};

/// The height of a chart, in pixels.
const HEIGHT: u32 = 150;

/// The height of a chart of one operation among many, in pixels.
const SMALL: u32 = 110;

/// The height of a host's row, in pixels.
const ROW: u32 = 18;

/// How many shades a heat map has. Neighbours of one shade are one element, which keeps the page small.
const SHADES: f64 = 6.0;

/// The operations that a reader looks at first: those with a limit, else the one that was asked for most.
pub(super) fn leading(result: &RunResult) -> Vec<&str> {
    let has_limit = |name: &str| {
        result.service_levels.iter().any(|level| limited(level).is_some_and(|(of, _)| of == name))
    };
    let leading: Vec<&str> =
        result.operations.keys().map(String::as_str).filter(|name| has_limit(name)).collect();
    if leading.is_empty() {
        let asked = |stats: &OperationStats| {
            [stats.ok, stats.refused, stats.failed, stats.unknown].into_iter().fold(0, u64::saturating_add)
        };
        result
            .operations
            .iter()
            .max_by_key(|(_, stats)| asked(stats))
            .map(|(name, _)| name.as_str())
            .into_iter()
            .collect()
    } else {
        leading
    }
}

/// The operation and the share of it that a service level limits: `order.submit p95` is of `order.submit`, 0.95.
pub(super) fn limited(level: &ServiceLevel) -> Option<(&str, f64)> {
    let (operation, percentile) = level.name.rsplit_once(' ')?;
    if percentile == "max" {
        return Some((operation, 1.0));
    }
    let digits = percentile.strip_prefix('p')?;
    let (whole, rest) = match digits.split_once('.') {
        Some(parts) => parts,
        // p999 is how some write p99.9.
        None => digits.split_at_checked(2).unwrap_or((digits, "")),
    };
    let share: f64 = format!("{whole}.{rest}").parse().ok()?;
    (0.0..=100.0).contains(&share).then_some((operation, share / 100.0))
}

/// What was asked and answered in a second: of one operation, or of all.
pub(super) fn throughput(
    input: &Input<'_>,
    axis: &TimeAxis,
    words: &Words,
    operation: Option<&str>,
) -> Figure {
    let series: Vec<&OperationSeries> = match operation {
        Some(name) => input.timeline.operations.get(name).into_iter().collect(),
        None => input.timeline.operations.values().collect(),
    };
    let rate = |counts: fn(&OperationSeries) -> &Vec<u64>| -> Vec<Option<f64>> {
        let of = |window| {
            series
                .iter()
                .filter_map(|series| counts(series).get(window))
                .fold(0_u64, |sum, count| sum.saturating_add(*count))
        };
        (0..axis.windows).map(|window| Some(of(window) as f64 / axis.window_s)).collect()
    };
    let line = |name: &str, ink, values, filled| Series { name: name.to_owned(), ink, values, filled };
    let series = vec![
        line(words.achieved, Ink::Ok, rate(|series| &series.ok), true),
        line(words.offered, Ink::Offered, rate(|series| &series.invoked), false),
        line(words.refused, Ink::Refused, rate(|series| &series.refused), false),
        line(words.failed, Ink::Failed, rate(|series| &series.failed), false),
        line(words.unknown, Ink::Unknown, rate(|series| &series.unknown), false),
    ];
    let scale = Scale::linear(series.iter().flat_map(|series| &series.values).flatten().copied());
    let unit = Unit::Named("/s".to_owned());
    let height_px = if operation.is_some() { SMALL } else { HEIGHT };
    Figure {
        id: operation
            .map_or_else(|| "chart-throughput".to_owned(), |name| format!("chart-throughput-{}", id(name))),
        title: words.throughput.to_owned(),
        note: words.per_second.to_owned(),
        panels: vec![Panel {
            unit,
            scale,
            height_px,
            cells: Vec::new(),
            series,
            limits: Vec::new(),
            look: Look::Means,
        }],
    }
}

/// The latencies of one operation: percentiles over a heat map. `None` if nothing was answered.
pub(super) fn latency(input: &Input<'_>, axis: &TimeAxis, words: &Words, operation: &str) -> Option<Figure> {
    let windows = input.latencies.windows.get(operation)?;
    let line = |name: &str, ink, value: fn(&WindowLatency) -> u64| {
        let value = |window: &WindowLatency| (!window.buckets.is_empty()).then(|| value(window) as f64);
        let values = (0..axis.windows).map(|index| windows.get(index).and_then(value)).collect();
        Series { name: name.to_owned(), ink, values, filled: false }
    };
    let series = vec![
        line("max", Ink::Max, |window| window.max_us),
        line("p99", Ink::P99, |window| window.p99_us),
        line("p95", Ink::P95, |window| window.p95_us),
        line("p50", Ink::P50, |window| window.p50_us),
    ];
    let levels = input
        .result
        .service_levels
        .iter()
        .filter(|level| limited(level).is_some_and(|(of, _)| of == operation));
    let limits: Vec<(f64, String)> = levels
        .map(|level| {
            (level.limit_us as f64, format!("{} {}", words.limit, crate::units::latency(level.limit_us)))
        })
        .collect();
    let buckets = windows.iter().flat_map(|window| &window.buckets).map(|(lower, _)| *lower as f64);
    let highest = series[0].values.iter().flatten().copied();
    let shown: Vec<f64> = buckets.chain(highest).chain(limits.iter().map(|(limit, _)| *limit)).collect();
    if series.iter().all(|series| series.values.iter().all(Option::is_none)) {
        return None;
    }
    let scale = Scale::log(&shown);
    let cells = heat(windows, axis, &scale);
    Some(Figure {
        id: format!("chart-latency-{}", id(operation)),
        title: format!("{} · {operation}", words.latency),
        note: words.latency_note.to_owned(),
        panels: vec![Panel {
            unit: Unit::Latency,
            scale,
            height_px: HEIGHT,
            cells,
            series,
            limits,
            look: Look::Means,
        }],
    })
}

/// The heat map: how many operations took how long, by window. Few and many differ by powers, so shades do as well.
fn heat(windows: &[WindowLatency], axis: &TimeAxis, scale: &Scale) -> Vec<Mark> {
    let windows = &windows[..windows.len().min(axis.windows)];
    let lowers: BTreeSet<u64> =
        windows.iter().flat_map(|window| &window.buckets).map(|(lower, _)| *lower).collect();
    let counts = windows.iter().flat_map(|window| &window.buckets).map(|(_, count)| *count);
    let most = (counts.max().unwrap_or(0) as f64).ln_1p();
    let shade = |count: u64| ((count as f64).ln_1p() / most * SHADES).ceil() / SHADES;
    let mut cells = Vec::new();
    for lower in lowers {
        let count = |window: &WindowLatency| {
            window.buckets.iter().find(|(bucket, _)| *bucket == lower).map_or(0, |(_, count)| *count)
        };
        let shades = windows.iter().map(|window| shade(count(window)));
        let (bottom, top) = (scale.height(lower.max(1) as f64), scale.height(WindowLatency::upper_us(lower)));
        cells.extend(row(shades, axis, (bottom, top), 0.75));
    }
    cells
}

/// A row of a heat map: a cell for each stretch of windows of one shade; `full` is how strong the strongest is.
fn row(
    shades: impl Iterator<Item = f64>,
    axis: &TimeAxis,
    (bottom, top): (f64, f64),
    full: f64,
) -> Vec<Mark> {
    let mut cells: Vec<(usize, usize, f64)> = Vec::new();
    for (window, shade) in shades.enumerate() {
        match cells.last_mut() {
            Some((_, end, last)) if *last == shade && *end == window => *end = window + 1,
            _ => cells.push((window, window + 1, shade)),
        }
    }
    let seen = cells.into_iter().filter(|(_, _, shade)| *shade > 0.0);
    let at = |window: usize| window as f64 * axis.window_s;
    let cell = |(start, end, shade): (usize, usize, f64)| {
        let strength = (shade * full * 100.0).round() / 100.0;
        Mark::Cell { from: (at(start), bottom), to: (at(end), top), ink: Ink::Heat, strength }
    };
    seen.map(cell).collect()
}

/// The groups that every reader looks for, in the order in which they are shown; others follow, as they were watched.
const GROUPS: [&str; 6] = ["stock", "orders", "queue", "operations", "redis", "network"];

/// A chart for each group of what was watched, with a panel for each unit in it.
pub(super) fn gauges(gauges: &[Gauge], axis: &TimeAxis, words: &Words) -> Vec<Figure> {
    let mut groups: Vec<&str> = Vec::new();
    for gauge in gauges {
        if !groups.contains(&gauge.group.as_str()) {
            groups.push(&gauge.group);
        }
    }
    groups.sort_by_key(|group| GROUPS.iter().position(|known| known == group).unwrap_or(GROUPS.len()));
    let figure = |group: &str| {
        let members: Vec<&Gauge> = gauges.iter().filter(|gauge| gauge.group == group).collect();
        let mut units: Vec<&str> = Vec::new();
        for gauge in &members {
            if !units.contains(&gauge.unit.as_str()) {
                units.push(&gauge.unit);
            }
        }
        let panels = units.iter().map(|unit| gauge_panel(&members, unit, axis, units.len())).collect();
        Figure {
            id: format!("gauge-{}", id(group)),
            title: words.group(group),
            note: units.join(" · "),
            panels,
        }
    };
    groups.into_iter().map(figure).collect()
}

fn gauge_panel(members: &[&Gauge], unit: &str, axis: &TimeAxis, panels: usize) -> Panel {
    let members = members.iter().filter(|gauge| gauge.unit == unit);
    let series: Vec<Series> = members
        .enumerate()
        .map(|(index, gauge)| Series {
            name: gauge.name.clone(),
            ink: Ink::series(index),
            values: gauge
                .values
                .iter()
                .take(axis.windows)
                .map(|value| value.filter(|value| value.is_finite()))
                .collect(),
            filled: false,
        })
        .collect();
    let scale = Scale::linear(series.iter().flat_map(|series| &series.values).flatten().copied());
    let is_rate = unit.ends_with("/s");
    Panel {
        unit: Unit::Named(unit.to_owned()),
        scale,
        height_px: if panels > 1 { SMALL } else { HEIGHT },
        cells: Vec::new(),
        series,
        limits: Vec::new(),
        look: if is_rate { Look::Means } else { Look::Ends },
    }
}

/// How busy the hosts were whose cores are modelled, a row for each. `None` if there are none.
pub(super) fn busy(hosts: &[HostRecord], axis: &TimeAxis, words: &Words) -> Option<Figure> {
    let hosts: Vec<&HostRecord> = hosts.iter().filter(|host| !host.busy.is_empty()).collect();
    let height = 1.0 / hosts.len().max(1) as f64;
    let mut cells = Vec::new();
    let mut series = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let busy = || {
            host.busy
                .iter()
                .take(axis.windows)
                .map(|share| if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 })
        };
        let top = 1.0 - index as f64 * height;
        cells.extend(row(
            busy().map(|share| (share * 10.0).ceil() / 10.0),
            axis,
            (top - height * 0.94, top),
            0.95,
        ));
        let values = busy().map(|share| Some(share * 100.0)).collect();
        series.push(Series { name: host.name.clone(), ink: Ink::Heat, values, filled: false });
    }
    let panel = Panel {
        unit: Unit::Named("%".to_owned()),
        scale: Scale::Linear { max: 100.0 },
        height_px: ROW * hosts.len() as u32,
        cells,
        series,
        limits: Vec::new(),
        look: Look::Rows,
    };
    (!hosts.is_empty()).then(|| Figure {
        id: "chart-busy".to_owned(),
        title: words.busy.to_owned(),
        note: words.busy_note.to_owned(),
        panels: vec![panel],
    })
}

/// A name as a part of an id of the page: letters, digits and hyphens; others are written as their numbers, so that
/// two names never give one id.
pub(super) fn id(name: &str) -> String {
    let mut id = String::new();
    for character in name.chars() {
        match character {
            '.' => id.push('-'),
            _ if character.is_ascii_alphanumeric() => id.push(character),
            _ => id += &format!("_{:x}", u32::from(character)),
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_levels_say_what_they_limit() {
        let limited_by = |name: &str| {
            let level = ServiceLevel { name: name.to_owned(), limit_us: 1, observed_us: 1, met: true };
            limited(&level).map(|(operation, share)| (operation.to_owned(), (share * 1e5).round() / 1e5))
        };
        for (name, operation, share) in [
            ("a p95", "a", 0.95),
            ("a b p99.9", "a b", 0.999),
            ("a p999", "a", 0.999),
            ("a max", "a", 1.0),
            ("a p50", "a", 0.5),
        ] {
            assert_eq!(limited_by(name), Some((operation.to_owned(), share)), "{name}");
        }
        for name in ["", "a", "a px", "a é", "a p", "a pinf"] {
            assert_eq!(limited_by(name), None, "{name}");
        }
    }
}
