//! The tables of the page: operations, invariants, what was lost, the system's own, settings, coverage. Figures stand in
//! attributes as well, as they are in `result.json`, for whoever reads the page by program.

use std::collections::BTreeMap;

use maud::{Markup, html};
use record::result::{InvariantResult, OperationStats, RunResult};
use record::table::Table;
use record::timeline::LostOperation;

use super::language::Words;
use super::{Input, section, sequence};
use crate::sections::{self, Align, Mark};
use crate::units;

/// Lost operations that are listed.
const LOST_MAX: usize = 200;

/// Ids of operations that are shown with a violation; `result.json` has them all.
const IDS_MAX: usize = 24;

/// Counts by outcome and latencies, by operation.
pub(super) fn operations(result: &RunResult, words: &Words) -> Markup {
    if result.operations.is_empty() {
        return html! {};
    }
    let body = html! {
        div.scroll { table.operations {
            thead { tr {
                th {}
                @for head in ["ok", "refused", "failed", "unknown", "p50", "p95", "p99", "p99.9", "max"] { th.figure { (head) } }
            } }
            tbody {
                @for (name, stats) in &result.operations { (operation(name, stats)) }
            }
        } }
    };
    section("operations", words.operations, words.outcomes, &body)
}

fn operation(name: &str, stats: &OperationStats) -> Markup {
    let counts =
        [("ok", stats.ok), ("refused", stats.refused), ("failed", stats.failed), ("unknown", stats.unknown)];
    let latencies = [
        ("p50_us", stats.p50_us),
        ("p95_us", stats.p95_us),
        ("p99_us", stats.p99_us),
        ("p999_us", stats.p999_us),
        ("max_us", stats.max_us),
    ];
    html! {
        tr data-operation=(name) {
            th scope="row" { (name) }
            @for (field, count) in counts {
                td.figure.zero[count == 0] data-field=(field) data-value=(count) { (units::count(count)) }
            }
            @for (field, latency) in latencies {
                // Nothing takes no time at all: without a longest latency, none was recorded.
                td.figure.zero[stats.max_us == 0] data-field=(field) data-value=(latency) {
                    @if stats.max_us == 0 { (units::NOTHING) } @else { (units::latency(latency)) }
                }
            }
        }
    }
}

/// The invariants with their checks, and what led to each violation.
pub(super) fn invariants(input: &Input<'_>, words: &Words) -> Markup {
    let result = input.result;
    if result.invariants.is_empty() {
        return html! {};
    }
    let body = html! {
        div.scroll { table.invariants {
            thead { tr { th {} th.figure { (words.checks) } th {} } }
            tbody { @for one in &result.invariants { (invariant(one, words)) } }
        } }
        @for told in &input.timeline.stories {
            @let violation = result.invariants.iter().find(|one| one.name == told.invariant).and_then(|one| one.first_violation.as_ref());
            div.story data-invariant=(told.invariant) {
                h3 { (words.story) " " (told.invariant) }
                p.note { (words.story_note) }
                (sequence::render(told, violation, &input.timeline.hosts, words))
            }
        }
    };
    section("invariants", words.invariants, "", &body)
}

fn invariant(invariant: &InvariantResult, words: &Words) -> Markup {
    let mark = sections::invariant_mark(invariant);
    html! {
        tr.missed[mark == Mark::Bad] data-invariant=(invariant.name) data-held=(invariant.held) {
            th scope="row" { span.mark { (mark.symbol()) } " " (invariant.name) }
            td.figure data-field="checks" data-value=(invariant.checks) { (units::count(invariant.checks)) }
            td.what {
                @if let Some(violation) = &invariant.first_violation {
                    span.when data-field="at_s" data-value=(violation.at_s) { (words.at) " " (units::seconds(violation.at_s)) } " "
                    (violation.what)
                    @if !violation.operations.is_empty() {
                        br;
                        span.note {
                            (words.operations_of) " "
                            @for (index, id) in violation.operations.iter().take(IDS_MAX).enumerate() { @if index > 0 { ", " } "#" (id) }
                            @let more = violation.operations.len().saturating_sub(IDS_MAX);
                            @if more > 0 { " " (words.and_more(more)) }
                        }
                    }
                } @else if invariant.checks == 0 {
                    span.note { (words.never_checked) }
                }
            }
        }
    }
}

/// The operations that were acknowledged, and whose effect is missing.
pub(super) fn lost(lost: &[LostOperation], words: &Words) -> Markup {
    if lost.is_empty() {
        return html! {};
    }
    let body = html! {
        div.scroll { table.lost {
            thead { tr {
                th.figure { "#" } th { (words.operation) } th { (words.subject) }
                th.figure { (words.acknowledged_at) } th.figure { (words.lost_at) }
            } }
            tbody {
                @for lost in lost.iter().take(LOST_MAX) {
                    tr data-lost=(lost.operation) {
                        td.figure { (lost.operation) }
                        th scope="row" { (lost.name) }
                        td { (lost.subject) }
                        td.figure data-field="acknowledged_s" data-value=(lost.acknowledged_s) { (units::seconds(lost.acknowledged_s)) }
                        td.figure data-field="lost_s" data-value=(lost.lost_s) { (units::seconds(lost.lost_s)) }
                    }
                }
            }
        } }
        @if lost.len() > LOST_MAX { p.note { (words.and_more(lost.len() - LOST_MAX)) } }
    };
    section("lost", words.lost_operations, "", &body)
}

/// A system's own table, as it is.
pub(super) fn system(table: &Table) -> Markup {
    let shown = sections::system_table(table);
    if shown.rows.is_empty() {
        return html! {};
    }
    let is_figure =
        |index: usize| shown.columns.get(index).is_some_and(|column| column.align == Align::Right);
    html! {
        section.system {
            header { h2 { (shown.title) } }
            div.scroll { table {
                thead { tr { @for (index, column) in shown.columns.iter().enumerate() { th.figure[is_figure(index)] { (column.head) } } } }
                tbody {
                    @for row in &shown.rows {
                        tr {
                            @for index in 0..shown.columns.len() {
                                td.figure[is_figure(index)] { (row.cells.get(index).map_or("", String::as_str)) }
                            }
                        }
                    }
                }
            } }
        }
    }
}

/// The settings, in columns, so that two pages can be compared line by line.
pub(super) fn settings(settings: &BTreeMap<String, String>, words: &Words) -> Markup {
    let body = html! {
        dl.settings {
            @for (name, value) in settings { div { dt { (name) } dd { (value) } } }
        }
    };
    section("settings", words.settings, if settings.is_empty() { words.no_settings } else { "" }, &body)
}

/// How often the run came by the places that the scenario wants to reach.
pub(super) fn coverage(result: &RunResult, words: &Words) -> Markup {
    if result.coverage.is_empty() {
        return html! {};
    }
    let reached = result.coverage.iter().filter(|place| place.hits > 0).count();
    let body = html! {
        ul.coverage {
            @for place in &result.coverage {
                li.zero[place.hits == 0] data-place=(place.name) {
                    span.mark title={ @if place.hits > 0 { (words.reached) } @else { (words.never) } } { @if place.hits > 0 { "✓" } @else { "·" } }
                    span.name { (place.name) }
                    span.figure data-field="hits" data-value=(place.hits) title=(words.hits) { (units::count(place.hits)) }
                }
            }
        }
    };
    section("coverage", words.coverage, &words.places(reached, result.coverage.len()), &body)
}
