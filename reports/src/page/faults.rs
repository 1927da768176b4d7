//! The faults of a run: as bands over every chart, and as a list on the same axis, in which recovery (RTO) and loss (RPO)
//! are drawn where they happened, measured against what is allowed.

use maud::{Markup, html};
use record::result::{FaultRecord, Recovery, RunResult};
use record::timeline::{FailoverRecord, LostOperation};

use super::Input;
use super::axis::TimeAxis;
use super::language::Words;
use crate::units;

/// Hosts of a fault that are named in its line; a tooltip has them all.
const HOSTS_SHOWN: usize = 8;

/// Whether the bands of a chart are what the list of faults jumps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Yes,
    No,
}

/// Faults, detection, recovery, violations and the end of the load, as they lie over each chart.
pub(super) fn overlay(input: &Input<'_>, axis: &TimeAxis, words: &Words, target: Target) -> Markup {
    let result = input.result;
    let violations = result
        .invariants
        .iter()
        .filter_map(|invariant| Some((invariant, invariant.first_violation.as_ref()?)));
    let load_until_s = input.timeline.load_until_s;
    html! {
        @for (index, fault) in result.faults.iter().enumerate() {
            i.band id=[(target == Target::Yes).then(|| format!("band-{index}"))] data-fault=(index) style={ (span(axis, fault.from_s, fault.to_s)) } {}
        }
        @if load_until_s > 0.0 && load_until_s < axis.end_s {
            i.moment.rest title=(words.load_ends) style={ "left:" (axis.percent(load_until_s)) "%" } {}
        }
        @for failover in &input.timeline.failovers {
            i.moment.failover title={ (words.failover_long) ": " (failover.host) } style={ "left:" (axis.percent(failover.at_s)) "%" } {}
        }
        @for (recovery, fault) in recoveries(result) {
            @if let Some(at) = recovery.detected_s {
                i.moment.detected title=(words.noticed) style={ "left:" (axis.percent(at)) "%" } {}
            }
            @if let Some(after) = recovery.rto_s {
                i.moment.recovered title=(words.back) style={ "left:" (axis.percent(fault.from_s + after)) "%" } {}
            }
        }
        @for (invariant, violation) in violations {
            @let left = axis.percent(violation.at_s);
            i.moment.violation.end[left > 97.0] title=(invariant.name) style={ "left:" (left) "%" } {}
        }
    }
}

/// What the lines and bands of the charts mean.
pub(super) fn legend(input: &Input<'_>, words: &Words) -> Markup {
    let result = input.result;
    html! {
        p.marks-legend {
            @if !result.faults.is_empty() { span { i.swatch.band {} (words.fault) } }
            @if result.recovery.iter().any(|recovery| recovery.detected_s.is_some()) { span { i.swatch.detected {} (words.noticed) } }
            @if !input.timeline.failovers.is_empty() { span title=(words.failover_long) { i.swatch.failover {} (words.failover) } }
            @if result.recovery.iter().any(|recovery| recovery.rto_s.is_some()) { span { i.swatch.recovered {} (words.back) } }
            @if result.invariants.iter().any(|invariant| invariant.first_violation.is_some()) { span { i.swatch.violation {} (words.violation) } }
            @if input.timeline.load_until_s > 0.0 { span { i.swatch.rest {} (words.load_ends) } }
            @if !result.recovery.is_empty() {
                span title=(words.rto_long) { i.swatch.rto-swatch {} "RTO" }
                span title=(words.rpo_long) { i.swatch.rpo-swatch {} "RPO" }
                span { i.swatch.allowed-swatch {} (words.allowed) }
            }
            @if !input.timeline.lost.is_empty() { span { b.lost { "×" } (words.lost) } }
        }
    }
}

/// The list of faults; `times` is written below it.
pub(super) fn list(input: &Input<'_>, axis: Option<&TimeAxis>, times: &Markup, words: &Words) -> Markup {
    let result = input.result;
    html! {
        div.faults {
            ol {
                @for (index, fault) in result.faults.iter().enumerate() {
                    @let recovery = result.recovery.iter().find(|recovery| recovery.fault == index as u64);
                    li.fault #{ "fault-" (index) } data-fault=(index) {
                        (headline(index, fault, axis.is_some(), words))
                        @if let Some(axis) = axis { (track(input, axis, fault, recovery, words)) }
                        @if let Some(recovery) = recovery { (sentence(input, recovery, words)) }
                    }
                }
            }
            div.plot { (times) }
        }
    }
}

fn headline(index: usize, fault: &FaultRecord, is_drawn: bool, words: &Words) -> Markup {
    let shown = fault.on.iter().take(HOSTS_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = fault.on.len().saturating_sub(HOSTS_SHOWN);
    let lasting = if fault.to_s == fault.from_s {
        units::seconds(fault.from_s)
    } else {
        format!("{} – {}", units::seconds(fault.from_s), units::seconds(fault.to_s))
    };
    html! {
        a.jump href={ "#" @if is_drawn { "band-" } @else { "fault-" } (index) } data-fault=(index) title={ (fault.on.join(", ")) } {
            span.number { (index + 1) }
            b { (fault.kind) }
            span.when { (lasting) }
            span.where { (shown) @if more > 0 { " " (words.and_more(more)) } }
        }
    }
}

/// The fault, the way back and what was lost, on the axis of the charts.
fn track(
    input: &Input<'_>,
    axis: &TimeAxis,
    fault: &FaultRecord,
    recovery: Option<&Recovery>,
    words: &Words,
) -> Markup {
    html! {
        div.plot { div.area.track {
            i.cursor {}
            i.bar.fault-bar style={ (span(axis, fault.from_s, fault.to_s)) } title=(fault.kind) {}
            @if let Some(recovery) = recovery {
                @let back_s = recovery.rto_s.map_or(axis.end_s, |after| fault.from_s + after);
                i.bar.rto.missed[!rto_met(recovery)].open[recovery.rto_s.is_none()] style={ (span(axis, fault.from_s, back_s)) } title=(words.rto_long) {}
                @if let Some(limit_s) = recovery.rto_limit_s {
                    i.allowed style={ "left:" (axis.percent(fault.from_s + limit_s)) "%" } title={ (words.allowed) " " (units::seconds(limit_s)) } {}
                }
                @if let Some(at) = recovery.detected_s {
                    i.glyph.detected style={ "left:" (axis.percent(at)) "%" } title={ (words.noticed) " " (units::seconds(at)) } { "◇" }
                }
                @for failover in failovers_after(input, recovery.fault) {
                    i.glyph.failover style={ "left:" (axis.percent(failover.at_s)) "%" } title={ (words.failover) " " (units::seconds(failover.at_s)) " " (failover.host) } { "▲" }
                }
                @if recovery.rto_s.is_some() {
                    i.glyph.recovered style={ "left:" (axis.percent(back_s)) "%" } title={ (words.back) " " (units::seconds(back_s)) } { "●" }
                }
                @if recovery.rpo_s > 0.0 {
                    i.bar.rpo style={ (span(axis, fault.from_s - recovery.rpo_s, fault.from_s)) } title=(words.rpo_long) {}
                }
                @for lost in lost_by(input, recovery) {
                    i.glyph.lost style={ "left:" (axis.percent(lost.acknowledged_s)) "%" } title={ (lost.name) " " (lost.subject) } { "×" }
                }
            }
        } }
    }
}

/// What was gone after this fault and before the next one that took something away.
fn lost_by<'a>(input: &'a Input<'_>, recovery: &'a Recovery) -> impl Iterator<Item = &'a LostOperation> {
    let taking = |at_s: f64| {
        let before = recoveries(input.result)
            .filter(|(other, fault)| other.lost_acknowledged > 0 && fault.from_s <= at_s);
        before
            .max_by(|(_, one), (_, other)| one.from_s.total_cmp(&other.from_s))
            .map(|(other, _)| other.fault)
    };
    input.timeline.lost.iter().filter(move |lost| taking(lost.lost_s) == Some(recovery.fault))
}

/// The failovers between the beginning of this fault and that of the next one.
fn failovers_after<'a>(input: &'a Input<'_>, fault: u64) -> impl Iterator<Item = &'a FailoverRecord> {
    let last_before = |at_s: f64| {
        let before = (0_u64..).zip(&input.result.faults).filter(|(_, fault)| fault.from_s <= at_s);
        before.max_by(|(_, one), (_, other)| one.from_s.total_cmp(&other.from_s)).map(|(index, _)| index)
    };
    input.timeline.failovers.iter().filter(move |failover| last_before(failover.at_s) == Some(fault))
}

/// How the system came back, in figures beside what is allowed.
fn sentence(input: &Input<'_>, recovery: &Recovery, words: &Words) -> Markup {
    let allowed =
        |limit: Option<f64>| limit.map(|limit| format!("{} {}", words.allowed, units::seconds(limit)));
    let rpo_met = recovery.rpo_limit_s.is_none_or(|limit| recovery.rpo_s <= limit);
    html! {
        dl.recovery data-recovery-of=(recovery.fault) {
            div {
                dt { "◇ " (words.noticed) }
                dd data-field="detected_s" data-value=[recovery.detected_s] { (recovery.detected_s.map_or_else(|| words.never.to_owned(), units::seconds)) }
            }
            @for failover in failovers_after(input, recovery.fault) {
                div {
                    dt title=(words.failover_long) { "▲ " (words.failover) }
                    dd data-field="failover_s" data-value=(failover.at_s) { (units::seconds(failover.at_s)) " " (failover.host) }
                }
            }
            div {
                dt title=(words.rto_long) { "RTO" }
                dd.missed[!rto_met(recovery)] {
                    b data-field="rto_s" data-value=[recovery.rto_s] { (recovery.rto_s.map_or_else(|| words.not_back.to_owned(), units::seconds)) }
                    @if let Some(allowed) = allowed(recovery.rto_limit_s) {
                        " " span.limit-of data-field="rto_limit_s" data-value=[recovery.rto_limit_s] { (allowed) } " " (symbol(rto_met(recovery)))
                    }
                }
            }
            div {
                dt title=(words.rpo_long) { "RPO" }
                dd.missed[!rpo_met] {
                    b data-field="rpo_s" data-value=(recovery.rpo_s) { (units::seconds(recovery.rpo_s)) }
                    @if let Some(allowed) = allowed(recovery.rpo_limit_s) {
                        " " span.limit-of data-field="rpo_limit_s" data-value=[recovery.rpo_limit_s] { (allowed) } " " (symbol(rpo_met))
                    }
                }
            }
            div {
                dt { (words.lost) }
                dd.missed[recovery.lost_acknowledged > 0] data-field="lost_acknowledged" data-value=(recovery.lost_acknowledged) { (units::count(recovery.lost_acknowledged)) }
            }
        }
    }
}

fn rto_met(recovery: &Recovery) -> bool {
    recovery.rto_limit_s.is_none_or(|limit| recovery.rto_s.is_some_and(|observed| observed <= limit))
}

fn symbol(met: bool) -> &'static str {
    if met { "✓" } else { "✗" }
}

/// The recoveries with their faults.
fn recoveries(result: &RunResult) -> impl Iterator<Item = (&Recovery, &FaultRecord)> {
    let fault = |recovery: &Recovery| result.faults.get(usize::try_from(recovery.fault).ok()?);
    result.recovery.iter().filter_map(move |recovery| Some((recovery, fault(recovery)?)))
}

/// Where a stretch of time lies, as a style. What is over at once is still as wide as can be seen.
fn span(axis: &TimeAxis, from_s: f64, to_s: f64) -> String {
    let (left, right) = (axis.percent(from_s), axis.percent(to_s));
    format!("left:{left}%;width:{}%", super::figure::percent((right - left).max(0.0) / 100.0))
}
