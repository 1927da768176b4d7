//! `summary.md`: the report for a pull request or a CI job summary.

use std::fmt::Write as _;

use record::capacity::Capacity;
use record::comparison::Comparison;
use record::result::Verdict;

use crate::Report;
use crate::capacity;
use crate::comparison;
use crate::sections::{self, Align, Section};

/// The text of the file.
pub(crate) fn render(report: &Report<'_>) -> String {
    let result = report.result;
    let mark = sections::verdict_mark(result.verdict).symbol();
    let mut text = format!("# {mark} {}: {}\n\n", escape(&result.scenario), result.verdict);
    let _ = writeln!(text, "{}\n", escape(&sections::verdict_sentence(result)));
    let _ = writeln!(text, "- seed: {}\n- engine: {}", result.seed, escape(&result.engine));
    for (name, value) in sections::facts(result) {
        let _ = writeln!(text, "- {name}: {}", escape(&value));
    }
    if let Some(mutants) = sections::mutants(result) {
        let _ = writeln!(text, "\n{}", escape(&mutants));
    }
    let mut all = vec![sections::limits_section(result)];
    all.extend(report.tables.iter().map(sections::system_table));
    all.push(sections::operations(result));
    all.push(sections::invariants(result));
    all.push(sections::faults(result));
    all.push(sections::coverage(result));
    for section in all.iter().filter(|section| !section.rows.is_empty()) {
        table(&mut text, section);
    }
    let _ = writeln!(text, "\n## Replay\n\n```sh\n{}\n```", report.replay);
    text
}

/// What has changed between two sets of runs.
pub(crate) fn render_comparison(comparison: &Comparison) -> String {
    let (mark, word) = comparison::headline(comparison);
    let mut text = format!("# {} {}: {word}\n\n", mark.symbol(), escape(&comparison.scenario));
    let _ = writeln!(text, "{}", escape(&comparison::sentence(comparison)));
    if let Some(advice) = comparison::advice(comparison) {
        let _ = writeln!(text, "\n{}", escape(&advice));
    }
    let sections = [comparison::changes(comparison), comparison::circumstances(comparison)];
    for section in sections.iter().filter(|section| !section.rows.is_empty()) {
        table(&mut text, section);
    }
    text
}

/// What a system carries.
pub(crate) fn render_capacity(capacity: &Capacity) -> String {
    let mark = sections::verdict_mark(capacity.verdict).symbol();
    let mut text = format!("# {mark} Capacity of {}", escape(&capacity.scenario));
    if capacity.verdict != Verdict::Held {
        let _ = write!(text, ": {}", capacity::verdict(capacity).to_lowercase());
    }
    text.push_str("\n\n");
    let answers = capacity.curves.iter().map(capacity::named_answer);
    for line in answers.chain(capacity::stopped(capacity)) {
        let _ = writeln!(text, "{}\n", escape(&line));
    }
    let _ = writeln!(text, "{}", escape(&capacity::measured(capacity)));
    if !capacity.mutants.is_empty() {
        let _ = writeln!(text, "\nPlanted bugs switched on: {}.", escape(&capacity.mutants.join(", ")));
    }
    for curve in &capacity.curves {
        table(&mut text, &capacity::levels(curve));
        if let Some(fit) = &curve.fit {
            table(&mut text, &capacity::law(fit));
        }
    }
    let _ = writeln!(text, "\n## Again\n\n```sh\n{}\n```", capacity.replay);
    text
}

fn table(text: &mut String, section: &Section) {
    let _ = writeln!(text, "\n## {}\n", escape(&section.title));
    let heads: Vec<_> = section.columns.iter().map(|column| escape(&column.head)).collect();
    let rules = section.columns.iter().map(|column| match column.align {
        Align::Left => "---",
        Align::Right => "---:",
    });
    let _ = writeln!(text, "| {} |\n| {} |", heads.join(" | "), rules.collect::<Vec<_>>().join(" | "));
    for row in &section.rows {
        let mut cells: Vec<_> = row.cells.iter().map(|cell| escape(cell)).collect();
        cells.resize(section.columns.len(), String::new());
        if let (Some(mark), Some(first)) = (row.mark, cells.first_mut()) {
            first.insert_str(0, &format!("{} ", mark.symbol()));
        }
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    if let Some(legend) = section.legend {
        let _ = writeln!(text, "\n{legend}");
    }
    let noted: Vec<_> = section.rows.iter().filter(|row| !row.notes.is_empty()).collect();
    if !noted.is_empty() {
        text.push('\n');
    }
    for row in noted {
        let name = row.cells.first().map_or("", String::as_str);
        let _ = writeln!(text, "- {}: {}", escape(name), escape(&row.notes.join("; ")));
    }
}

/// Text as Markdown shows it: one line, no markup of its own.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' | '~' => {
                escaped.extend(['\\', character]);
            }
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}
