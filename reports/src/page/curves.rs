//! How long the slowest of so many took: latency by percentile, both logarithmic, as HdrHistogram's plotter draws it.
//! One small chart for each operation; all have the same axes, and the others' curves behind their own.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use maud::{Markup, PreEscaped, html};
use serde_json::{Map, Value, json};

use super::Input;
use super::axis::{Scale, Unit};
use super::charts::{id, limited};
use super::figure::{digits, percent, value_labels};
use super::language::Words;
use super::plot::{self, Mark};
use super::theme::Ink;
use crate::units;

const HEIGHT: u32 = 130;

/// Points of a curve for each further nine of the percentile.
const POINTS_PER_NINE: u32 = 16;

/// Nines beyond which no run has enough operations to tell.
const NINES_MAX: f64 = 7.0;

/// Other curves that are drawn behind one: more could not be told apart.
const CONTEXT_MAX: usize = 12;

/// A curve: how many nines its percentiles have (90 % has one, 99 % two), and the latencies in microseconds.
struct Curve<'a> {
    operation: &'a str,
    points: Vec<(f64, u64)>,
}

/// The charts, and what their script will be told.
pub(super) fn render(input: &Input<'_>, words: &Words, data: &mut Map<String, Value>) -> Markup {
    let curves = curves(&input.latencies.whole);
    let nines =
        curves.iter().flat_map(|curve| curve.points.last()).map(|(nines, _)| *nines).fold(1.0, f64::max);
    let latencies = curves.iter().flat_map(|curve| &curve.points).map(|(_, latency)| *latency as f64);
    let limits = input.result.service_levels.iter().map(|level| level.limit_us as f64);
    let scale = Scale::log(&latencies.chain(limits).collect::<Vec<_>>());
    html! {
        @for curve in &curves {
            @let name = format!("curve-{}", id(curve.operation));
            (figure(input, words, &curves, curve, &name, nines, &scale))
            @let () = { data.insert(name, curve_data(curve, nines)); };
        }
    }
}

fn curves(latencies: &BTreeMap<String, Histogram<u64>>) -> Vec<Curve<'_>> {
    let curve = |operation, histogram: &_| Curve { operation, points: points(histogram) };
    latencies
        .iter()
        .filter(|(_, histogram)| !histogram.is_empty())
        .map(|(name, histogram)| curve(name.as_str(), histogram))
        .collect()
}

/// From the fastest to the slowest: the last point is the percentile that one operation alone is above.
fn points(histogram: &Histogram<u64>) -> Vec<(f64, u64)> {
    let last = (histogram.len() as f64).log10().clamp(0.1, NINES_MAX);
    let steps = (last * f64::from(POINTS_PER_NINE)).ceil() as u32;
    let nines = (0..=steps).map(|step| (f64::from(step) / f64::from(POINTS_PER_NINE)).min(last));
    let mut points: Vec<(f64, u64)> =
        nines.map(|nines| (nines, histogram.value_at_quantile(1.0 - 10_f64.powf(-nines)).max(1))).collect();
    if let Some(slowest) = points.last_mut() {
        slowest.1 = histogram.max().max(1);
    }
    points
}

fn figure(
    input: &Input<'_>,
    words: &Words,
    curves: &[Curve<'_>],
    curve: &Curve<'_>,
    name: &str,
    nines: f64,
    scale: &Scale,
) -> Markup {
    let levels = input.result.service_levels.iter().filter_map(|level| Some((level, limited(level)?)));
    let levels: Vec<_> = levels.filter(|(_, (operation, _))| *operation == curve.operation).collect();
    let limits: Vec<(f64, f64)> = levels
        .iter()
        .map(|(level, (_, share))| (nines_of(*share).min(nines), level.limit_us as f64))
        .collect();
    let svg = plot::draw(HEIGHT, (0.0, nines), &marks(curves, curve, &limits, nines, scale));
    let resting = input
        .result
        .operations
        .get(curve.operation)
        .map(|stats| format!("p99 {}", units::latency(stats.p99_us)));
    html! {
        figure.curve #(name) data-curve=(name) {
            figcaption { h3 { (curve.operation) } output { (resting.unwrap_or_default()) } }
            div.plot {
                (value_labels(scale, &Unit::Latency))
                div.area style={ "height:" (HEIGHT) "px" } {
                    (PreEscaped(svg))
                    @for ((level, _), (at, limit)) in levels.iter().zip(&limits) {
                        span.limit-dot.missed[!level.met] style={ "left:" (percent(at / nines)) "%;bottom:" (percent(scale.height(*limit))) "%" } {}
                        span.limit-label style={ "bottom:" (percent(scale.height(*limit))) "%" } {
                            (level.name.trim_start_matches(curve.operation).trim()) " ≤ " (units::latency(level.limit_us))
                            @if level.met { " ✓" } @else { " ✗ " (words.missed) }
                        }
                    }
                    i.cursor {}
                }
                div.times aria-hidden="true" {
                    @for (at, text) in percentile_ticks(nines) {
                        span.end[at / nines > 0.97] style={ "left:" (percent(at / nines)) "%" } { (text) }
                    }
                }
            }
        }
    }
}

fn marks(
    curves: &[Curve<'_>],
    curve: &Curve<'_>,
    limits: &[(f64, f64)],
    nines: f64,
    scale: &Scale,
) -> Vec<Mark> {
    let grid = scale.ticks(&Unit::Latency);
    let mut marks: Vec<Mark> =
        grid.iter().map(|(value, _)| Mark::Across { y: scale.height(*value), ink: Ink::Grid }).collect();
    marks.extend(percentile_ticks(nines).iter().map(|(at, _)| Mark::Down { x: *at, ink: Ink::Grid }));
    let line = |curve: &Curve<'_>, ink, bold| {
        let points = curve.points.iter().map(|(nines, latency)| (*nines, scale.height(*latency as f64)));
        Mark::Line { points: points.collect(), ink, bold }
    };
    let others = curves.iter().filter(|other| other.operation != curve.operation);
    marks.extend(others.take(CONTEXT_MAX).map(|other| line(other, Ink::Context, false)));
    marks.push(line(curve, Ink::Series(0), true));
    for (at, limit) in limits {
        marks.push(Mark::Across { y: scale.height(*limit), ink: Ink::Limit });
        marks.push(Mark::Down { x: *at, ink: Ink::Limit });
    }
    marks
}

/// The percentiles below a chart: 50 %, and one for each nine.
fn percentile_ticks(nines: f64) -> Vec<(f64, String)> {
    let mut ticks = vec![(nines_of(0.5), "50 %".to_owned())];
    for nine in 1..=(nines.floor() as usize) {
        let text = match nine {
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            more => format!("99.{} %", "9".repeat(more - 2)),
        };
        ticks.push((nine as f64, text));
    }
    ticks.retain(|(at, _)| *at <= nines);
    ticks
}

/// How many nines a share has: 0.9 has one, 0.99 two.
fn nines_of(share: f64) -> f64 {
    -(1.0 - share).max(10_f64.powf(-NINES_MAX)).log10()
}

/// What the script shows at the cursor: how far to the right each point stands, its percentile, its latency.
fn curve_data(curve: &Curve<'_>, nines: f64) -> Value {
    let points = curve.points.iter().map(|(at, latency)| {
        let percentile = (1.0 - 10_f64.powf(-at)) * 100.0;
        json!([digits(at / nines, 4), (percentile * 1e5).round() / 1e5, latency])
    });
    Value::Array(points.collect())
}
