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
const LINES_MAX: usize = 160;

const LANE_WIDTH: usize = 128;
const ROW_HEIGHT: usize = 30;
/// Where the first lane stands: left of it are the times.
const FIRST_LANE: usize = 128;
/// Room to the right of the last lane, for what is written there.
const RIGHT: usize = 460;

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
    let width = FIRST_LANE + lanes.len() * LANE_WIDTH + RIGHT;
    let height = ROW_HEIGHT * (lines.len() + 1);
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
                @for (row, line) in lines.iter().enumerate() {
                    (drawn(row, line, &lanes, violation))
                }
            }
        }
    }
}

/// The hosts of the story and where they stand: as far from the clients as in the system, then by name.
fn lanes<'a>(lines: &[&'a Line], hosts: &[HostRecord]) -> BTreeMap<&'a str, usize> {
    let tier =
        |name: &str| hosts.iter().position(|host| host.name == name).map(|index| (hosts[index].tier, index));
    let mut names: Vec<&str> =
        lines.iter().flat_map(|line| [Some(line.host.as_str()), line.peer.as_deref()]).flatten().collect();
    names.sort_by_key(|name| (tier(name).unwrap_or((u32::MAX, 0)), *name));
    names.dedup();
    names.into_iter().enumerate().map(|(lane, name)| (name, lane)).collect()
}

fn middle(lane: usize) -> usize {
    FIRST_LANE + lane * LANE_WIDTH + LANE_WIDTH / 2
}

fn drawn(row: usize, line: &Line, lanes: &BTreeMap<&str, usize>, violation: Option<&Violation>) -> Markup {
    let y = row * ROW_HEIGHT + ROW_HEIGHT - 8;
    let at_s = line.at.as_secs_f64();
    let here = middle(lanes[line.host.as_str()]);
    let ends = line.peer.as_deref().map(|peer| {
        let there = middle(lanes[peer]);
        if line.is_answer { (there, here) } else { (here, there) }
    });
    let kind = match line.kind {
        Kind::Fault => "fault",
        Kind::Operation => "operation",
        Kind::State => "state",
        Kind::Message => "message",
        Kind::Command => "command",
    };
    // What happened when the invariant broke.
    let is_moment = violation.is_some_and(|violation| (violation.at_s - at_s).abs() < 5e-7);
    html! {
        g.step.answer[line.is_answer].moment[is_moment] class=(kind) {
            title { (units::decimal(at_s, 6)) " s  " (line.host) ": " (line.text) }
            @if is_moment { rect.flash x="0" y=(y - 18) width="100%" height=(ROW_HEIGHT - 4) {} }
            text.at x="8" y=(y) { (format!("{at_s:.6}")) }
            @match ends {
                Some((from, to)) if from != to => {
                    line x1=(from) y1=(y) x2=(to) y2=(y) {}
                    path.head d=(head(from, to, y)) {}
                    text.what x=(from.min(to) + 6) y=(y - 4) { (story::shortened(&line.text)) }
                }
                _ => {
                    circle cx=(here) cy=(y - 4) r="4" {}
                    text.what x=(here + 9) y=(y) { (story::shortened(&line.text)) }
                }
            }
        }
    }
}

/// The head of an arrow.
fn head(from: usize, to: usize, y: usize) -> String {
    let back = if from < to { to - 7 } else { to + 7 };
    format!("M{to} {y}L{back} {}L{back} {}Z", y - 3, y + 3)
}
