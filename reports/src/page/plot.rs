//! The marks of a chart, drawn by plotters. What is written around them is HTML: a chart is stretched to the width of
//! the page, and its text must not be.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::{
    AreaSeries, Cartesian2d, ChartBuilder, ChartContext, DrawingArea, IntoDrawingArea as _, LineSeries,
    PathElement, Rectangle, SVGBackend,
};
use plotters::style::{Color as _, ShapeStyle};

use super::theme::{Ink, restyle};

/// Units across a chart: 240 windows are 10 units each.
const WIDTH: u32 = 2400;

/// Units for each pixel of height: plotters draws at whole units.
const UNITS_PER_PIXEL: u32 = 3;

/// How strong the area below a line is.
const AREA_OPACITY: f64 = 0.16;

/// A mark of a chart. `x` is in the units of the axis, `y` from 0 at the bottom to 1 at the top.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    /// A line across the chart.
    Across { y: f64, ink: Ink },
    /// A line from top to bottom.
    Down { x: f64, ink: Ink },
    /// What lies below a line.
    Area { points: Vec<(f64, f64)>, ink: Ink },
    /// A line; `bold` are those that matter most.
    Line { points: Vec<(f64, f64)>, ink: Ink, bold: bool },
    /// A cell of a heat map; `strength` is above 0 and at most 1.
    Cell { from: (f64, f64), to: (f64, f64), ink: Ink, strength: f64 },
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The chart as an element of the page, in the colours of its theme. Marks are drawn one over the other.
pub(super) fn draw(height_px: u32, x: (f64, f64), marks: &[Mark]) -> String {
    let mut svg = String::new();
    {
        let backend = SVGBackend::with_string(&mut svg, (WIDTH, height_px * UNITS_PER_PIXEL));
        let root: DrawingArea<_, Shift> = backend.into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .build_cartesian_2d(x.0..x.1, 0.0..1.0)
            .expect("a chart without labels has no text to measure");
        for mark in marks {
            draw_mark(&mut chart, x, mark).expect("a string takes all that is drawn into it");
        }
        root.present().expect("a string takes all that is drawn into it");
    }
    restyle(&svg)
}

fn draw_mark(
    chart: &mut Chart<'_, '_>,
    (start, end): (f64, f64),
    mark: &Mark,
) -> Result<(), Box<dyn std::error::Error>> {
    let stroke = |ink: Ink, width: u32| ShapeStyle::from(&ink.placeholder()).stroke_width(width);
    match mark {
        Mark::Across { y, ink } => {
            chart.draw_series([PathElement::new(vec![(start, *y), (end, *y)], stroke(*ink, 1))])?;
        }
        Mark::Down { x, ink } => {
            chart.draw_series([PathElement::new(vec![(*x, 0.0), (*x, 1.0)], stroke(*ink, 1))])?;
        }
        Mark::Area { points, ink } => {
            let fill = ink.placeholder().mix(AREA_OPACITY);
            chart.draw_series(AreaSeries::new(points.iter().copied(), 0.0, fill))?;
        }
        Mark::Line { points, ink, bold } => {
            let width = if *bold { 2 } else { 1 };
            chart.draw_series(LineSeries::new(points.iter().copied(), stroke(*ink, width)))?;
        }
        Mark::Cell { from, to, ink, strength } => {
            let fill = ink.placeholder().mix(*strength).filled();
            chart.draw_series([Rectangle::new([*from, *to], fill)])?;
        }
    }
    Ok(())
}

/// The lines through values that may be missing, one for each stretch without a gap. A value between two gaps is as
/// wide as `apart`, the distance between values, so that it can be seen.
pub(super) fn stretches(
    values: impl IntoIterator<Item = (f64, Option<f64>)>,
    apart: f64,
) -> Vec<Vec<(f64, f64)>> {
    let mut lines: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for (x, value) in values {
        match (value, lines.last_mut()) {
            (Some(y), Some(line)) => line.push((x, y)),
            _ => lines.push(Vec::new()),
        }
    }
    lines.retain(|line| !line.is_empty());
    for line in &mut lines {
        if let [(x, y)] = line[..] {
            *line = vec![(x - apart / 2.0, y), (x + apart / 2.0, y)];
        }
    }
    lines
}
