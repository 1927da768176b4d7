//! The hosts and who talked to whom: tiers from left to right, coloured by load, lines as wide as there were messages.

use std::collections::BTreeMap;

use maud::{Markup, html};
use record::timeline::{HostRecord, LinkRecord, Timeline};

use super::Input;
use super::axis::Unit;
use super::charts::id;
use super::figure::percent;
use super::language::Words;
use crate::units;

const NODE_WIDTH: f64 = 136.0;
const NODE_HEIGHT: f64 = 40.0;
const GAP_DOWN: f64 = 12.0;
const GAP_RIGHT: f64 = 88.0;
const MARGIN: f64 = 12.0;

/// The widest line between two hosts.
const LINK_WIDTH_MAX: f64 = 7.0;

/// Lines that are drawn, those with the most messages: more would hide each other.
const LINKS_MAX: usize = 400;

/// Shades of load, as the style sheet has them.
const SHADES: f64 = 5.0;

/// Characters of a name that fit into a host.
const NAME_MAX: usize = 19;

/// Where a host is drawn, by its upper left corner.
struct Place<'a> {
    host: &'a HostRecord,
    x: f64,
    y: f64,
}

/// What two hosts sent each other.
struct Pair<'a> {
    from: &'a Place<'a>,
    to: &'a Place<'a>,
    messages: u64,
    bytes: u64,
}

/// The picture; nothing if no hosts were recorded.
pub(super) fn render(input: &Input<'_>, words: &Words) -> Markup {
    let timeline = input.timeline;
    let places = places(&timeline.hosts);
    let width = places.values().map(|place| place.x + NODE_WIDTH).fold(0.0, f64::max) + MARGIN;
    let height = places.values().map(|place| place.y + NODE_HEIGHT).fold(0.0, f64::max) + MARGIN;
    let pairs = pairs(&timeline.links, &places);
    let most = pairs.iter().map(|pair| pair.messages).max().unwrap_or(1);
    html! {
        div.topology tabindex="0" role="group" aria-label=(words.topology) {
            svg width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(words.topology) {
                @for pair in &pairs { (link(pair, most, words)) }
                @for host in &timeline.hosts {
                    @if let Some(place) = places.get(host.name.as_str()) { (node(place, timeline, words)) }
                }
            }
        }
        p.legend-line {
            span { (words.load) }
            @for shade in 0..=SHADES as usize { i class={ "swatch load-" (shade) } {} }
            span.note { "0 – 100 %" }
            span.note { (words.link_note) }
            @if pairs.len() == LINKS_MAX { span.note { (words.links_left_out) } }
        }
    }
}

/// A column for each tier; in each the hosts from top to bottom, in the middle of the picture.
fn places(hosts: &[HostRecord]) -> BTreeMap<&str, Place<'_>> {
    let mut tiers: BTreeMap<u32, Vec<&HostRecord>> = BTreeMap::new();
    for host in hosts {
        tiers.entry(host.tier).or_default().push(host);
    }
    let tallest = tiers.values().map(Vec::len).max().unwrap_or(0) as f64;
    let mut places = BTreeMap::new();
    for (column, hosts) in tiers.into_values().enumerate() {
        let top = MARGIN + (tallest - hosts.len() as f64) / 2.0 * (NODE_HEIGHT + GAP_DOWN);
        for (row, host) in hosts.into_iter().enumerate() {
            let x = MARGIN + column as f64 * (NODE_WIDTH + GAP_RIGHT);
            let y = top + row as f64 * (NODE_HEIGHT + GAP_DOWN);
            places.insert(host.name.as_str(), Place { host, x, y });
        }
    }
    places
}

/// Both directions between two hosts as one, from left to right; the fewest messages first, below the others.
fn pairs<'a>(links: &[LinkRecord], places: &'a BTreeMap<&str, Place<'a>>) -> Vec<Pair<'a>> {
    let mut sums: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for link in links {
        let (Some(from), Some(to)) = (places.get(link.from.as_str()), places.get(link.to.as_str())) else {
            continue;
        };
        let is_forth = (from.x, from.y) <= (to.x, to.y);
        let ends = if is_forth { (from, to) } else { (to, from) };
        let sum = sums.entry((&ends.0.host.name, &ends.1.host.name)).or_default();
        sum.0 = sum.0.saturating_add(link.messages);
        sum.1 = sum.1.saturating_add(link.bytes);
    }
    let pair = |((from, to), (messages, bytes)): (_, (u64, u64))| Pair {
        from: &places[from],
        to: &places[to],
        messages,
        bytes,
    };
    let mut pairs: Vec<Pair<'_>> = sums.into_iter().map(pair).collect();
    pairs.sort_by_key(|pair| pair.messages);
    pairs.split_off(pairs.len().saturating_sub(LINKS_MAX))
}

fn link(pair: &Pair<'_>, most: u64, words: &Words) -> Markup {
    let width = 0.75 + (LINK_WIDTH_MAX - 0.75) * (pair.messages as f64 / most.max(1) as f64).sqrt();
    let (from, to) = (pair.from, pair.to);
    let (y0, y1) = (from.y + NODE_HEIGHT / 2.0, to.y + NODE_HEIGHT / 2.0);
    let path = if from.x == to.x {
        // Neighbours in a column are joined on their right side.
        let (x, out) = (from.x + NODE_WIDTH, from.x + NODE_WIDTH + GAP_RIGHT * 0.4);
        format!("M{x} {y0}C{out} {y0} {out} {y1} {x} {y1}")
    } else {
        let (x0, x1) = (from.x + NODE_WIDTH, to.x);
        let half = (x1 - x0) / 2.0;
        format!("M{x0} {y0}C{} {y0} {} {y1} {x1} {y1}", x0 + half, x1 - half)
    };
    html! {
        path.link data-from=(id(&from.host.name)) data-to=(id(&to.host.name)) d=(path) stroke-width={ (format!("{width:.2}")) } {
            title { (from.host.name) " ↔ " (to.host.name) ": " (units::count(pair.messages)) " " (words.messages) ", " (bytes(pair.bytes)) }
        }
    }
}

fn node(place: &Place<'_>, timeline: &Timeline, words: &Words) -> Markup {
    let host = place.host;
    let busy = load(host, timeline);
    let shade = busy.map_or(0.0, |(mean, _)| (mean * SHADES).round());
    let line = match busy {
        Some((mean, highest)) => format!(
            "{} % · {} {} %",
            units::decimal(mean * 100.0, 0),
            words.peak,
            units::decimal(highest * 100.0, 0)
        ),
        None => format!("{} {}", units::count(host.messages_in), words.received),
    };
    let name: String = if host.name.chars().count() > NAME_MAX {
        host.name.chars().take(NAME_MAX - 1).chain(['…']).collect()
    } else {
        host.name.clone()
    };
    html! {
        g.host data-host=(id(&host.name)) data-name=(host.name) transform={ "translate(" (place.x) " " (place.y) ")" } {
            title {
                (host.name) " (" (host.role) "): " (units::count(host.messages_in)) " " (words.messages) ", " (bytes(host.bytes_in)) " " (words.received)
                @if let Some((mean, highest)) = busy {
                    "; " (words.load) " " (percent(mean)) " %, " (words.peak) " " (percent(highest)) " %"
                }
            }
            rect class={ "box load-" (shade) } width=(NODE_WIDTH) height=(NODE_HEIGHT) rx="6" {}
            @if let Some((mean, _)) = busy {
                rect.gauge x="0" y=(NODE_HEIGHT - 3.0) width=(format!("{:.1}", NODE_WIDTH * mean)) height="3" {}
            }
            text.name x="9" y="17" { (name) }
            text.figure x="9" y="32" { (line) }
        }
    }
}

/// The mean and the highest load of a host while customers came, 0 to 1; `None` if its cores are not modelled.
fn load(host: &HostRecord, timeline: &Timeline) -> Option<(f64, f64)> {
    let until = (timeline.load_until_s / timeline.window_s).ceil();
    let until = if until >= 1.0 { until as usize } else { host.busy.len() };
    let busy =
        || host.busy.iter().take(until).filter(|share| share.is_finite()).map(|share| share.clamp(0.0, 1.0));
    let count = busy().count();
    (count > 0).then(|| (busy().sum::<f64>() / count as f64, busy().fold(0.0, f64::max)))
}

fn bytes(bytes: u64) -> String {
    Unit::Named("bytes".to_owned()).show(bytes as f64)
}
