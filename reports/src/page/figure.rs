//! A chart over the time of the run, with all that is written around it: title, legend, values beside it, times below
//! it, faults as bands, moments as lines. All of them are as wide, so that one moment is one place on the page.

use maud::{Markup, PreEscaped, html};
use serde_json::{Map, Value, json};

use super::axis::{Scale, TimeAxis, Unit};
use super::language::Words;
use super::plot::{self, Mark, stretches};
use super::theme::Ink;

/// Digits of the values that a reader sees when hovering: charts show no more.
const HOVER_DIGITS: usize = 4;

/// A chart of one or more panels, one below the other.
pub(super) struct Figure {
    /// How the page calls it: `chart-throughput`.
    pub(super) id: String,
    pub(super) title: String,
    /// What a reader needs to know to read it.
    pub(super) note: String,
    pub(super) panels: Vec<Panel>,
}

/// Quantities of one unit over time.
pub(super) struct Panel {
    pub(super) unit: Unit,
    pub(super) scale: Scale,
    pub(super) height_px: u32,
    /// What lies below the lines.
    pub(super) cells: Vec<Mark>,
    pub(super) series: Vec<Series>,
    /// Values that must not be passed, with what is written on their lines.
    pub(super) limits: Vec<(f64, String)>,
    pub(super) look: Look,
}

/// How a panel shows its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// As lines over the middles of windows.
    Means,
    /// As lines over the ends of windows.
    Ends,
    /// Not at all: its cells do, a row for each series, the first at the top.
    Rows,
}

/// One quantity, by window.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) ink: Ink,
    pub(super) values: Vec<Option<f64>>,
    /// Whether the area below the line is filled.
    pub(super) filled: bool,
}

impl Series {
    fn highest(&self) -> Option<f64> {
        self.values.iter().flatten().copied().filter(|value| value.is_finite()).reduce(f64::max)
    }

    fn is_zero(&self) -> bool {
        self.highest().is_none_or(|highest| highest <= 0.0)
    }
}

/// What all charts of a page have in common, and what their script will be told.
pub(super) struct Stack<'a> {
    pub(super) words: &'a Words,
    pub(super) axis: TimeAxis,
    /// Faults and moments, drawn over each panel.
    pub(super) overlay: Markup,
    /// The same for the first panel, whose bands are what the list of faults jumps to.
    pub(super) first_overlay: Option<Markup>,
    /// The values of the panels, by their names.
    pub(super) panels: Map<String, Value>,
}

impl Stack<'_> {
    /// The figure as an element of the page.
    pub(super) fn render(&mut self, figure: &Figure) -> Markup {
        let panels: Vec<Markup> = figure
            .panels
            .iter()
            .enumerate()
            .map(|(index, panel)| self.panel(&format!("{}-{index}", figure.id), panel))
            .collect();
        html! {
            figure.chart id=(figure.id) {
                figcaption { h3 { (figure.title) } span.note { (figure.note) } }
                @for panel in &panels { (panel) }
            }
        }
    }

    fn panel(&mut self, name: &str, panel: &Panel) -> Markup {
        self.panels.insert(name.to_owned(), panel_data(panel));
        let overlay = self.first_overlay.take().unwrap_or_else(|| self.overlay.clone());
        let svg = plot::draw(panel.height_px, (0.0, self.axis.end_s), &marks(panel, &self.axis));
        html! {
            div.panel data-panel=(name) {
                (self.legend(panel))
                div.plot {
                    @if panel.look != Look::Rows { (value_labels(&panel.scale, &panel.unit)) }
                    div.area style={ "height:" (panel.height_px) "px" } {
                        (overlay)
                        (PreEscaped(svg))
                        @for (value, text) in &panel.limits {
                            span.limit-label style={ "bottom:" (percent(panel.scale.height(*value))) "%" } { (text) }
                        }
                        i.cursor {}
                    }
                    (self.time_labels())
                }
            }
        }
    }

    fn legend(&self, panel: &Panel) -> Markup {
        let resting = |series: &Series| match series.highest() {
            Some(highest) if !series.is_zero() => format!("{} {}", self.words.peak, panel.unit.show(highest)),
            Some(_) => panel.unit.show(0.0),
            None => String::new(),
        };
        let rows = panel.look == Look::Rows;
        html! {
            ul.legend.rows[rows] {
                @for series in &panel.series {
                    li.zero[series.is_zero()] {
                        @if !rows { (key(series.ink)) }
                        span.name { (series.name) }
                        output { (resting(series)) }
                    }
                }
            }
        }
    }

    /// The times below a chart.
    pub(super) fn time_labels(&self) -> Markup {
        html! {
            div.times aria-hidden="true" {
                @for (at, text) in self.axis.ticks() {
                    @let left = self.axis.percent(at);
                    span.end[left > 97.0] style={ "left:" (left) "%" } { (text) }
                }
            }
        }
    }
}

/// What a line of a chart looks like.
pub(super) fn key(ink: Ink) -> Markup {
    html! {
        svg.key width="18" height="8" aria-hidden="true" {
            line x1="0" y1="4" x2="18" y2="4" stroke=(ink.css()) stroke-width="2" {}
        }
    }
}

/// The values beside a chart.
pub(super) fn value_labels(scale: &Scale, unit: &Unit) -> Markup {
    html! {
        div.values aria-hidden="true" {
            @for (value, text) in scale.ticks(unit) {
                span style={ "bottom:" (percent(scale.height(value))) "%" } { (text) }
            }
        }
    }
}

/// A share in percent, to a hundredth.
pub(super) fn percent(share: f64) -> f64 {
    (share * 1e4).round() / 100.0
}

fn marks(panel: &Panel, axis: &TimeAxis) -> Vec<Mark> {
    let scale = panel.scale;
    let mut marks = panel.cells.clone();
    if panel.look == Look::Rows {
        return marks;
    }
    let grid = scale.ticks(&panel.unit);
    marks.extend(grid.iter().map(|(value, _)| Mark::Across { y: scale.height(*value), ink: Ink::Grid }));
    let all_zero = panel.series.iter().all(Series::is_zero);
    for series in panel.series.iter().filter(|series| all_zero || !series.is_zero()) {
        let at = |window: usize| match panel.look {
            Look::Ends => (window + 1) as f64 * axis.window_s,
            _ => axis.middle(window),
        };
        let values = series.values.iter().enumerate();
        let points = values.map(|(window, value)| (at(window), value.map(|value| scale.height(value))));
        for line in stretches(points, axis.window_s) {
            if series.filled {
                marks.push(Mark::Area { points: line.clone(), ink: series.ink });
            }
            marks.push(Mark::Line { points: line, ink: series.ink, bold: true });
        }
    }
    marks.extend(
        panel.limits.iter().map(|(value, _)| Mark::Across { y: scale.height(*value), ink: Ink::Limit }),
    );
    marks
}

/// What the script shows at the cursor.
fn panel_data(panel: &Panel) -> Value {
    let unit = match &panel.unit {
        Unit::Latency => Value::Null,
        Unit::Named(name) => json!(name),
    };
    let series: Vec<Vec<Option<f64>>> = panel
        .series
        .iter()
        .map(|series| {
            series.values.iter().map(|value| value.map(|value| digits(value, HOVER_DIGITS))).collect()
        })
        .collect();
    json!({ "unit": unit, "series": series })
}

/// A number with at most so many significant digits.
pub(super) fn digits(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value)
}
