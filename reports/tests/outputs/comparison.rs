//! What people read of a comparison.

use record::comparison::{Change, Comparison, Judgement, Metric, SCHEMA};
use reports::run_folder;
use reports::terminal::{Style, render_comparison};

fn change(of: &str, metric: Metric, (before, after): (f64, f64), judgement: Judgement) -> Change {
    let change = if metric.is_relative() { after / before - 1.0 } else { after - before };
    let interval = (judgement != Judgement::Unclear).then_some((change * 0.9, change * 1.2));
    Change { of: of.to_owned(), metric, before, after, change, interval, p: Some(0.01), judgement }
}

fn comparison() -> Comparison {
    let changes = vec![
        change("zero-oversell", Metric::Violated, (0.0, 0.25), Judgement::Regressed),
        change("partition 0", Metric::Rto, (12.5, 31.75), Judgement::Regressed),
        change("order.submit", Metric::P95, (61_200.0, 124_000.0), Judgement::Regressed),
        change("queue.join", Metric::P99, (812.0, 1_010.0), Judgement::Unclear),
        change("order.status", Metric::Errors, (0.012_5, 0.002_5), Judgement::Improved),
        change("partition 0", Metric::LostAcknowledged, (2.5, 0.5), Judgement::Improved),
        change("order.status", Metric::P50, (1_000.0, 1_010.0), Judgement::NoChange),
    ];
    Comparison {
        schema: SCHEMA,
        scenario: "ticketing/redis-split-brain".to_owned(),
        size: "full".to_owned(),
        seeds: (1..=12).collect(),
        confidence: 0.95,
        threshold: 0.05,
        judgement: Judgement::Regressed,
        changes,
        settings: [
            ("redis.replicas_to_wait".to_owned(), (Some("1".to_owned()), Some("0".to_owned()))),
            ("queue.share".to_owned(), (None, Some("0.02".to_owned()))),
        ]
        .into(),
        mutants: (Vec::new(), vec!["ticketing.seat-freed-again".to_owned()]),
    }
}

#[test]
fn the_terminal_tells_the_worst_first() {
    insta::assert_snapshot!(render_comparison(&comparison(), Style::default()));
}

#[test]
fn where_nothing_has_changed_there_is_little_to_tell() {
    let mut comparison = comparison();
    comparison.changes.retain(|change| change.judgement == Judgement::NoChange);
    comparison.judgement = Judgement::NoChange;
    comparison.settings.clear();
    comparison.mutants = Default::default();
    insta::assert_snapshot!(render_comparison(&comparison, Style::default()));
}

#[test]
fn the_summary_of_a_job_gets_a_table() {
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("summary.md");
    run_folder::append_comparison(&file, &comparison()).expect("writable");
    insta::assert_snapshot!(std::fs::read_to_string(&file).expect("written"));
}
