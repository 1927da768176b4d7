//! What has changed between two sets of runs, for the terminal and for a CI job's summary.

use record::comparison::{Change, Comparison, Judgement, Metric};

use crate::sections::{Column, Mark, Row, Section, left, listed, right};
use crate::units;

/// The worst of all in a word.
pub(crate) fn headline(comparison: &Comparison) -> (Mark, &'static str) {
    (mark(comparison.judgement).unwrap_or(Mark::Good), word(comparison.judgement))
}

/// What was found, in one sentence.
pub(crate) fn sentence(comparison: &Comparison) -> String {
    let count = |judgement| comparison.changes.iter().filter(|change| change.judgement == judgement).count();
    let parts = [Judgement::Regressed, Judgement::Unclear, Judgement::Improved, Judgement::NoChange]
        .map(|judgement| (count(judgement), word(judgement)))
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", units::count(count as u64)));
    format!(
        "Of {}: {}; over {} of each side, changes below {} count as none.",
        units::counted(comparison.changes.len(), "figure"),
        listed(parts),
        units::counted(comparison.seeds.len(), "run"),
        percent(comparison.threshold, false),
    )
}

/// What to do about figures that are unclear; `None` when there is none.
pub(crate) fn advice(comparison: &Comparison) -> Option<String> {
    let is_unclear = |change: &Change| change.judgement == Judgement::Unclear;
    comparison.changes.iter().any(is_unclear).then(|| {
        "Unclear: the seeds do not tell whether it has changed; play more of them on both sides.".to_owned()
    })
}

/// What changed, figure by figure, worst first. What has not changed is only counted.
pub(crate) fn changes(comparison: &Comparison) -> Section {
    let told = comparison.changes.iter().filter(|change| change.judgement != Judgement::NoChange);
    let columns: Vec<Column> = vec![
        left(""),
        left("figure"),
        right("before"),
        right("after"),
        right("change"),
        right("95 % between"),
    ];
    let mut section = Section::new("Changes", columns, told.map(row).collect());
    if let Some(interval) = section.columns.last_mut() {
        interval.head = format!("{:.0} % between", comparison.confidence * 100.0);
    }
    section
}

fn row(change: &Change) -> Row {
    let interval = change.interval.map(|(low, high)| {
        format!("{} and {}", difference(change.metric, low), difference(change.metric, high))
    });
    Row {
        mark: mark(change.judgement),
        cells: vec![
            change.of.clone(),
            name(change.metric).to_owned(),
            value(change.metric, change.before),
            value(change.metric, change.after),
            difference(change.metric, change.change),
            interval.unwrap_or_else(|| units::NOTHING.to_owned()),
        ],
        notes: Vec::new(),
    }
}

/// What differs between the sides beside their figures.
pub(crate) fn circumstances(comparison: &Comparison) -> Section {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| units::NOTHING.to_owned());
    let setting = |(name, (before, after)): (&String, &(Option<String>, Option<String>))| Row {
        mark: None,
        cells: vec![name.clone(), shown(before), shown(after)],
        notes: Vec::new(),
    };
    let mut rows: Vec<Row> = comparison.settings.iter().map(setting).collect();
    let (before, after) = &comparison.mutants;
    if before != after {
        let shown = |names: &Vec<String>| match names.is_empty() {
            true => units::NOTHING.to_owned(),
            false => listed(names.iter().cloned()),
        };
        let cells = vec!["planted bugs".to_owned(), shown(before), shown(after)];
        rows.push(Row { mark: None, cells, notes: Vec::new() });
    }
    Section::new("What differs", vec![left(""), left("before"), left("after")], rows)
}

fn mark(judgement: Judgement) -> Option<Mark> {
    match judgement {
        Judgement::Regressed => Some(Mark::Bad),
        Judgement::Unclear => Some(Mark::Unclear),
        Judgement::Improved => Some(Mark::Good),
        Judgement::NoChange => None,
    }
}

fn word(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Regressed => "regressed",
        Judgement::Unclear => "unclear",
        Judgement::Improved => "improved",
        Judgement::NoChange => "no change",
    }
}

fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Violated => "runs violated",
        Metric::Missed => "runs over the limit",
        Metric::NotBack => "runs not back",
        Metric::Errors => "failed or unknown",
        Metric::LostAcknowledged => "acknowledged but lost",
        Metric::Rto => "RTO",
        Metric::P50 => "p50",
        Metric::P95 => "p95",
        Metric::P99 => "p99",
    }
}

fn value(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Violated | Metric::Missed | Metric::NotBack | Metric::Errors => percent(value, false),
        Metric::LostAcknowledged => units::decimal(value, 2),
        Metric::Rto => units::seconds(value),
        Metric::P50 | Metric::P95 | Metric::P99 => units::latency(value.round() as u64),
    }
}

fn difference(metric: Metric, difference: f64) -> String {
    match metric {
        Metric::LostAcknowledged => {
            let sign = if difference > 0.0 { "+" } else { "" };
            format!("{sign}{}", units::decimal(difference, 2))
        }
        // A difference of shares is in percentage points.
        Metric::Violated | Metric::Missed | Metric::NotBack | Metric::Errors => {
            percent(difference, true).replace(" %", " pp")
        }
        Metric::Rto | Metric::P50 | Metric::P95 | Metric::P99 => percent(difference, true),
    }
}

fn percent(share: f64, with_sign: bool) -> String {
    let text = units::decimal(share * 100.0, 2);
    let sign = if with_sign && share > 0.0 && text != "0" { "+" } else { "" };
    format!("{sign}{text} %")
}
