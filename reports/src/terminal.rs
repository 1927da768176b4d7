//! What a run prints: the verdict first, then limits, tables, operations, invariants and faults, and at the end
//! the line that replays it.

use std::fmt::Write as _;

use record::comparison::Comparison;
use record::result::Verdict;
use record::table::Table;

use crate::Report;
use crate::comparison;
use crate::sections::{self, Mark, Section};

mod grid;
mod paint;

use paint::Paint;

/// How a terminal shows text. The caller decides, from the terminal and `NO_COLOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether to use ANSI colours.
    pub color: bool,
    /// The number of columns to keep within, where the content allows it.
    pub width: usize,
}

impl Default for Style {
    /// No colours, 100 columns: for pipes and files.
    fn default() -> Self {
        Self { color: false, width: 100 }
    }
}

/// The report of a run. The last line is the one that replays it, to be pasted as it is.
pub fn render(report: &Report<'_>, style: Style) -> String {
    let result = report.result;
    let mut parts = vec![opening(report, style)];
    let mut add = |section: Section| {
        if !section.rows.is_empty() {
            parts.push(grid::render(&section, style));
        }
    };
    add(sections::limits_section(result));
    for table in report.tables {
        add(sections::system_table(table));
    }
    let operations = sections::operations(result);
    if grid::width(&operations) <= style.width {
        add(operations);
    } else {
        add(sections::operation_counts(result));
        add(sections::operation_latencies(result));
    }
    add(sections::invariants(result));
    add(sections::faults(result));
    parts.push(closing(report, style));
    parts.join("\n")
}

/// What has changed between two sets of runs: the worst of it first.
pub fn render_comparison(comparison: &Comparison, style: Style) -> String {
    let (mark, word) = comparison::headline(comparison);
    let verdict = format!("{} {}", mark.symbol(), word.to_uppercase());
    let verdict = style.paint(&verdict, &[Paint::Bold, mark_paint(mark)]);
    let scenario = style.paint(&grid::clean(&comparison.scenario), &[Paint::Bold]);
    let mut text = format!("{verdict}  {scenario}\n");
    let sentences = [Some(comparison::sentence(comparison)), comparison::advice(comparison)];
    for line in sentences.iter().flatten().flat_map(|line| grid::wrap(line, style.width.saturating_sub(2))) {
        let _ = writeln!(text, "  {line}");
    }
    let sections = [comparison::changes(comparison), comparison::circumstances(comparison)];
    for section in sections.iter().filter(|section| !section.rows.is_empty()) {
        text.push('\n');
        text += &grid::render(section, style);
    }
    text
}

/// One table, as a report shows it.
pub fn render_table(table: &Table, style: Style) -> String {
    grid::render(&sections::system_table(table), style)
}

/// A section as a terminal shows it.
pub(crate) fn section(section: &Section, style: Style) -> String {
    grid::render(section, style)
}

/// The title of what follows.
pub(crate) fn heading(title: &str, style: Style) -> String {
    style.paint(title, &[Paint::Bold])
}

/// Text broken between words into lines of at most `width`.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    grid::wrap(text, width)
}

/// The first line: the verdict, and what was played.
pub(crate) fn headline(mark: Mark, verdict: &str, scenario: &str, played: &str, style: Style) -> String {
    let verdict = style.paint(&format!("{} {verdict}", mark.symbol()), &[Paint::Bold, mark_paint(mark)]);
    let scenario = style.paint(&grid::clean(scenario), &[Paint::Bold]);
    format!("{verdict}  {scenario} · {}\n", style.paint(&grid::clean(played), &[Paint::Dim]))
}

/// The verdict, what was played, and the reason.
fn opening(report: &Report<'_>, style: Style) -> String {
    let result = report.result;
    let verdict = result.verdict.to_string().to_uppercase();
    let played = format!("seed {} · {} engine", result.seed, result.engine);
    let mark = sections::verdict_mark(result.verdict);
    let mut text = headline(mark, &verdict, &result.scenario, &played, style);
    let width = style.width.saturating_sub(2);
    for line in grid::wrap(&sections::verdict_sentence(result), width) {
        let _ = writeln!(text, "  {line}");
    }
    for line in sections::mutants(result).iter().flat_map(|mutants| grid::wrap(mutants, width)) {
        let _ = writeln!(text, "  {}", style.paint(&line, &[Paint::Yellow]));
    }
    text
}

/// The fingerprint, the speed and the line that replays the run.
fn closing(report: &Report<'_>, style: Style) -> String {
    let facts = sections::facts(report.result);
    let widest = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = style.paint("Run", &[Paint::Bold]);
    text.push('\n');
    for (name, value) in facts {
        let name = style.paint(&format!("{name:widest$}"), &[Paint::Dim]);
        let indent = widest + 4;
        let lines = grid::wrap(&value, style.width.saturating_sub(indent));
        let _ = writeln!(text, "  {name}  {}", lines.join(&format!("\n{:indent$}", "")));
    }
    let _ = write!(text, "\n{}", style.paint("Replay", &[Paint::Bold]));
    // An invalid run may be one whose replay diverged.
    if report.result.verdict != Verdict::Invalid {
        let _ = write!(text, "  {}", style.paint("the same line gives the same fingerprint", &[Paint::Dim]));
    }
    let _ = writeln!(text, "\n  {}", report.replay);
    text
}

fn mark_paint(mark: Mark) -> Paint {
    match mark {
        Mark::Good => Paint::Green,
        Mark::Bad => Paint::Red,
        Mark::Unclear => Paint::Yellow,
    }
}
