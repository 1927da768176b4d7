//! What led to a violation, as a sequence diagram: a lane for each host, time from top to bottom, messages as arrows
//! between lanes, and what happened written on them.

use std::collections::BTreeMap;

use maud::{Markup, html};
use record::result::Violation;
use record::story::{Kind, Line};
use record::timeline::{HostRecord, ViolationStory};

use super::language::Words;
use crate::story::{self, Focus};
use crate::units;

/// Lines that are shown; what says least goes first.
const LINES_MAX: usize = 400;

const LANE_WIDTH: usize = 128;
const ROW_HEIGHT: usize = 30;
/// Where the first lane stands: left of it are the times.
const FIRST_LANE: usize = 84;
/// Characters of a line that are written beside its arrow; a tooltip has them all.
const TEXT_MAX: usize = 80;

/// Room for so many characters.
const TEXT_WIDTH: usize = 490;

/// Between a lane and what is written beside it.
const TEXT_AWAY: usize = 9;

/// From this lane on there is room for text on the left.
const ROOM_ON_LEFT: usize = 4;

/// Seconds within which two things happen at once: results round to microseconds.
const SAME_MOMENT_S: f64 = 5e-7;

/// The story as a diagram that scrolls within its own bounds.
pub(super) fn render(
    told: &ViolationStory,
    violation: Option<&Violation>,
    hosts: &[HostRecord],
    words: &Words,
) -> Markup {
    let focus = Focus { most: Some(LINES_MAX), ..Focus::default() };
    let lines = story::select(&told.lines, &focus);
    let lanes = lanes(&lines, hosts);
    // The violation has a row of its own, after all that had happened by then.
    let moment = violation.map(|violation| {
        let had_happened = |line: &&Line| line.at.as_secs_f64() <= violation.at_s + SAME_MOMENT_S;
        (lines.partition_point(had_happened), violation)
    });
    let row_of = |index: usize| index + usize::from(moment.is_some_and(|(row, _)| row <= index));
    let last = lanes.len().saturating_sub(1);
    let last_toward_right = (0..=last).rev().find(|lane| !is_toward_left(*lane, lanes.len())).unwrap_or(0);
    let width = (middle(last) + LANE_WIDTH / 2).max(middle(last_toward_right) + TEXT_WIDTH);
    let height = ROW_HEIGHT * (row_of(lines.len()) + 1);
    let left_out = told.lines.len() - lines.len();
    html! {
        @if left_out > 0 { p.note { (words.lines_left_out(left_out)) } }
        div.sequence tabindex="0" role="group" aria-label={ (words.story) " " (told.invariant) } data-lines=(lines.len()) {
            div.lanes style={ "width:" (width) "px" } {
                @for (name, lane) in &lanes { span style={ "left:" (middle(*lane)) "px" } { (name) } }
            }
            svg width=(width) height=(height) role="img" aria-label={ (words.story) " " (told.invariant) } {
                @for lane in lanes.values() {
                    line.lane x1=(middle(*lane)) x2=(middle(*lane)) y1="0" y2=(height) {}
                }
                @for (index, line) in lines.iter().enumerate() { (drawn(row_of(index), line, &lanes)) }
                @if let Some((row, violation)) = moment {
                    @let text = format!("✗ {}: {}", told.invariant, violation.what);
                    (across(row, violation.at_s, "moment", &text))
                }
            }
        }
    }
}

/// The hosts of the story and where they stand: as far from the clients as in the system, then by name. Faults happen to
/// all of them, and have no lane.
fn lanes<'a>(lines: &[&'a Line], hosts: &[HostRecord]) -> BTreeMap<&'a str, usize> {
    let tier =
        |name: &str| hosts.iter().position(|host| host.name == name).map(|index| (hosts[index].tier, index));
    let told = lines.iter().filter(|line| line.kind != Kind::Fault);
    let mut names: Vec<&str> =
        told.flat_map(|line| [Some(line.host.as_str()), line.peer.as_deref()]).flatten().collect();
    names.sort_by_key(|name| (tier(name).unwrap_or((u32::MAX, 0)), *name));
    names.dedup();
    names.into_iter().enumerate().map(|(lane, name)| (name, lane)).collect()
}

fn middle(lane: usize) -> usize {
    FIRST_LANE + lane * LANE_WIDTH + LANE_WIDTH / 2
}

/// Is what stands at a lane of so many written to the left of it? On the right it would stand beyond the last one.
fn is_toward_left(lane: usize, lanes: usize) -> bool {
    lane >= ROOM_ON_LEFT && lane * 2 >= lanes
}

/// Where the text of a row stands on.
fn base(row: usize) -> usize {
    row * ROW_HEIGHT + ROW_HEIGHT - 8
}

/// One line of the story.
fn drawn(row: usize, line: &Line, lanes: &BTreeMap<&str, usize>) -> Markup {
    let at_s = line.at.as_secs_f64();
    let lane = lanes.get(line.host.as_str()).copied().filter(|_| line.kind != Kind::Fault);
    let Some(here) = lane else {
        return across(row, at_s, "fault", &line.text);
    };
    let there = line.peer.as_deref().and_then(|peer| lanes.get(peer)).copied().unwrap_or(here);
    let (left, right) = (here.min(there), here.max(there));
    let (from, to) =
        if line.is_answer { (middle(there), middle(here)) } else { (middle(here), middle(there)) };
    let toward_left = is_toward_left(left, lanes.len());
    let text_x = if toward_left { middle(right) - TEXT_AWAY } else { middle(left) + TEXT_AWAY };
    let y = base(row);
    let text = short(said(line));
    let kind = match line.kind {
        Kind::Fault => "fault",
        Kind::Operation => "operation",
        Kind::State => "state",
        Kind::Message => "message",
        Kind::Command => "command",
    };
    html! {
        g class={ "step " (kind) @if line.is_answer { " answer" } } {
            title { (units::decimal(at_s, 6)) " s  " (line.host) ": " (line.text) }
            text.at x="8" y=(y) { (format!("{at_s:.6}")) }
            @if from == to {
                circle cx=(from) cy=(y - 4) r="4" {}
            } @else {
                line x1=(from) y1=(y) x2=(to) y2=(y) {}
                path.head d=(head(from, to, y)) {}
            }
            text.what.toward-left[toward_left] x=(text_x) y={ @if from == to { (y) } @else { (y - 4) } } { (text) }
        }
    }
}

/// What happens to all lanes.
fn across(row: usize, at_s: f64, kind: &str, text: &str) -> Markup {
    let y = base(row);
    html! {
        g class={ "step " (kind) } {
            title { (units::decimal(at_s, 6)) " s  " (text) }
            rect.flash x="0" y=(y - 17) width="100%" height=(ROW_HEIGHT - 6) {}
            text.at x="8" y=(y) { (format!("{at_s:.6}")) }
            text.what x=(FIRST_LANE) y=(y) { (story::shortened(text)) }
        }
    }
}

/// What a line says beyond its arrow: whom it is for, or from, is drawn already.
fn said(line: &Line) -> &str {
    let Some(peer) = &line.peer else { return &line.text };
    let text = line.text.trim_start_matches(['→', '←']).trim_start();
    match text.split_once(' ') {
        Some((address, said)) if address.split(':').next() == Some(peer) => said,
        _ => text,
    }
}

fn short(text: &str) -> String {
    let mut characters = text.chars();
    let short: String = characters.by_ref().take(TEXT_MAX).collect();
    if characters.next().is_some() { short + "…" } else { short }
}

/// The head of an arrow.
fn head(from: usize, to: usize, y: usize) -> String {
    let back = if from < to { to - 7 } else { to + 7 };
    format!("M{to} {y}L{back} {}L{back} {}Z", y - 3, y + 3)
}
