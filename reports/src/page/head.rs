//! What a reader sees first: the verdict and why, what was run and how to run it again, and the limits.

use maud::{Markup, html};
use record::result::{RunResult, Verdict};

use super::axis::Unit;
use super::language::Words;
use super::{Input, section};
use crate::limits::limits;
use crate::sections::verdict_mark;
use crate::units;

/// Where in its bar a limit stands, in percent: what is above it has room to be seen.
const LIMIT_AT: f64 = 70.0;

/// Verdict, facts and the line that replays the run.
pub(super) fn render(input: &Input<'_>, words: &Words) -> Markup {
    let result = input.result;
    let mark = verdict_mark(result.verdict).symbol();
    html! {
        header.top {
            div.bar { span.brand { "Rehearse" } span { (words.report) } (theme_switch(words)) }
            div.title {
                span.verdict data-verdict=(result.verdict) { (mark) " " (words.verdict(result.verdict)) }
                h1 { (result.scenario) }
            }
            p.why { (words.sentence(result)) }
            @if !input.timeline.about.is_empty() { p.about { (input.timeline.about) } }
            (figures(input, words))
            (facts(input, words))
            @if !input.timeline.replay.is_empty() {
                div.replay {
                    span.label { (words.replay) }
                    code #replay { (input.timeline.replay) }
                    button.copy type="button" hidden data-copy="replay" data-done=(words.copied) { (words.copy) }
                }
            }
            nav { (contents(input, words)) }
        }
    }
}

/// Chooses the theme by the style sheet alone; the page remembers it as long as it is open.
pub(super) fn theme_switch(words: &Words) -> Markup {
    html! {
        fieldset.theme {
            legend { (words.theme) }
            @for (value, text) in [("auto", words.auto), ("light", words.light), ("dark", words.dark)] {
                label { input type="radio" name="theme" id={ "theme-" (value) } value=(value) autocomplete="off" checked[value == "auto"]; span { (text) } }
            }
        }
    }
}

/// The run in a few large figures.
fn figures(input: &Input<'_>, words: &Words) -> Markup {
    let result = input.result;
    let sum = |count: fn(&record::result::OperationStats) -> u64| {
        result.operations.values().map(count).fold(0_u64, u64::saturating_add)
    };
    let checks = result.invariants.iter().fold(0_u64, |sum, invariant| sum.saturating_add(invariant.checks));
    let counts = [
        (words.acknowledged, sum(|stats| stats.ok)),
        (words.refused, sum(|stats| stats.refused)),
        (words.failed, sum(|stats| stats.failed)),
        (words.unknown, sum(|stats| stats.unknown)),
        (words.checks_made, checks),
    ];
    html! {
        dl.figures {
            @for (name, count) in counts {
                div { dt { (name) } dd { (units::count(count)) } }
            }
            @if let Some(rate) = peak_rate(input) {
                div { dt { (words.peak_rate) } dd { (Unit::Named("/s".to_owned()).show(rate)) } }
            }
            @if !result.recovery.is_empty() {
                @let never = result.recovery.iter().any(|recovery| recovery.rto_s.is_none());
                @let slowest = result.recovery.iter().filter_map(|recovery| recovery.rto_s).fold(0.0, f64::max);
                div { dt { (words.worst_recovery) } dd { @if never { (words.never) } @else { (units::seconds(slowest)) } } }
                @let lost = result.recovery.iter().fold(0_u64, |sum, recovery| sum.saturating_add(recovery.lost_acknowledged));
                div.missed[lost > 0] { dt { (words.lost) } dd { (units::count(lost)) } }
            }
        }
    }
}

/// The most that was acknowledged in a second, over the mean of a window.
fn peak_rate(input: &Input<'_>) -> Option<f64> {
    let timeline = input.timeline;
    let of = |window: usize| {
        timeline
            .operations
            .values()
            .filter_map(|series| series.ok.get(window))
            .fold(0_u64, |sum, ok| sum.saturating_add(*ok))
    };
    let windows = timeline.operations.values().map(|series| series.ok.len()).max()?;
    let rate = (0..windows).map(of).max()? as f64 / timeline.window_s;
    rate.is_finite().then_some(rate)
}

/// What was run, and on what.
fn facts(input: &Input<'_>, words: &Words) -> Markup {
    let result = input.result;
    let mutants = if result.mutants.is_empty() { words.none.to_owned() } else { result.mutants.join(", ") };
    let wall = match units::ratio(result.simulated_s, result.wall_s) {
        Some(factor) => format!("{} ({factor}×)", units::seconds(result.wall_s)),
        None => units::seconds(result.wall_s),
    };
    html! {
        dl.facts {
            div { dt { (words.seed) } dd #seed { (result.seed) } }
            div { dt { (words.engine) } dd { (result.engine) } }
            @if !input.timeline.size.is_empty() { div { dt { (words.size) } dd { (input.timeline.size) } } }
            div { dt { (words.simulated) } dd { (units::seconds(result.simulated_s)) } }
            div { dt { (words.wall) } dd { (wall) } }
            div { dt { (words.messages_delivered) } dd { (units::count(result.messages)) } }
            div.warned[!result.mutants.is_empty()] { dt { (words.mutants) } dd { (mutants) } }
            div { dt { (words.fingerprint) } dd { code { (result.fingerprint) } } }
        }
    }
}

fn contents(input: &Input<'_>, words: &Words) -> Markup {
    let parts = [
        ("limits", words.limits, true),
        ("over-time", words.over_time, true),
        ("percentiles", words.percentiles, !input.latencies.whole.is_empty()),
        ("lost", words.lost_operations, !input.timeline.lost.is_empty()),
        ("invariants", words.invariants, !input.result.invariants.is_empty()),
        ("topology", words.topology, !input.timeline.hosts.is_empty()),
        ("operations", words.operations, !input.result.operations.is_empty()),
        ("settings", words.settings, true),
        ("coverage", words.coverage, !input.result.coverage.is_empty()),
    ];
    html! {
        @for (id, text, _) in parts.into_iter().filter(|(_, _, is_there)| *is_there) { a href={ "#" (id) } { (text) } }
    }
}

/// The limits, observed beside allowed.
pub(super) fn limits_section(result: &RunResult, words: &Words) -> Markup {
    let limits = limits(result);
    let body = html! {
        @if limits.is_empty() {
            p.note { (words.no_limits) }
        } @else {
            div.scroll { table.limits {
                thead { tr { th {} th.figure { (words.observed) } th.figure { (words.limit) } th.bullet-head { (words.share) } } }
                tbody {
                    @for limit in &limits {
                        @let at = (limit.share * LIMIT_AT).min(100.0);
                        tr.missed[!limit.met] {
                            th scope="row" { span.mark { @if limit.met { "✓" } @else { "✗" } } " " (words.limit_name(limit)) }
                            td.figure { (limit.observed.as_deref().unwrap_or(words.never)) }
                            td.figure { (limit.limit) }
                            td.bullet-cell {
                                div.bullet title={ @if limit.met { (words.met) } @else { (words.missed) } } {
                                    i style={ "width:" (format!("{at:.1}")) "%" } {}
                                    b style={ "left:" (LIMIT_AT) "%" } {}
                                }
                                span.share { (share(limit.share)) }
                            }
                        }
                    }
                }
            } }
        }
    };
    let note = if result.verdict == Verdict::Invalid { words.invalid } else { "" };
    section("limits", words.limits, note, &body)
}

fn share(share: f64) -> String {
    match share {
        _ if !share.is_finite() => "∞".to_owned(),
        ..9.995 => format!("{} %", units::decimal(share * 100.0, 0)),
        _ => format!("{}×", units::decimal(share, 0)),
    }
}
