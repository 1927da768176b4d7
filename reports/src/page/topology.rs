//! The hosts and who talked to whom: tiers from left to right, coloured by load, lines as wide as there were messages.

use std::collections::{BTreeMap, BTreeSet};

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

/// How far a line between two hosts of one column bulges, as a share of the gap.
const BULGE: f64 = 0.4;

/// The share of the other roles that must talk to a role before it stands behind all of them.
const ASKED_BY_MOST: f64 = 0.7;

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
    let places = places(timeline);
    let width = places.values().map(|place| place.x + NODE_WIDTH).fold(0.0, f64::max) + GAP_RIGHT * BULGE;
    let height = places.values().map(|place| place.y + NODE_HEIGHT).fold(0.0, f64::max) + MARGIN;
    let pairs = pairs(&timeline.links, &places);
    let most = pairs.iter().map(|pair| pair.messages).max().unwrap_or(1);
    let loads = Loads::of(timeline);
    html! {
        div.topology tabindex="0" role="group" aria-label=(words.topology) {
            svg width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(words.topology) {
                @for pair in &pairs { (link(pair, most, words)) }
                @for host in &timeline.hosts {
                    @if let Some(place) = places.get(host.name.as_str()) { (node(place, &loads, words)) }
                }
            }
        }
        p.legend-line {
            span { @if loads.is_cpu { (words.load) } @else { (words.received_share) } }
            @for shade in 0..=SHADES as usize { i class={ "swatch load-" (shade) } {} }
            span.note { "0 – 100 %" }
            span.note { (words.link_note) }
            @if pairs.len() == LINKS_MAX { span.note { (words.links_left_out) } }
        }
    }
}

/// A column for each tier, and one for a store that most others ask; in each the hosts from top to bottom, in the middle of
/// the picture.
fn places(timeline: &Timeline) -> BTreeMap<&str, Place<'_>> {
    let store = store(timeline);
    let mut columns: BTreeMap<(bool, u32), Vec<&HostRecord>> = BTreeMap::new();
    for host in &timeline.hosts {
        columns.entry((store == Some(host.role.as_str()), host.tier)).or_default().push(host);
    }
    let tallest = columns.values().map(Vec::len).max().unwrap_or(0) as f64;
    let mut places = BTreeMap::new();
    for (column, hosts) in columns.into_values().enumerate() {
        let top = MARGIN + (tallest - hosts.len() as f64) / 2.0 * (NODE_HEIGHT + GAP_DOWN);
        for (row, host) in hosts.into_iter().enumerate() {
            let x = MARGIN + column as f64 * (NODE_WIDTH + GAP_RIGHT);
            let y = top + row as f64 * (NODE_HEIGHT + GAP_DOWN);
            places.insert(host.name.as_str(), Place { host, x, y });
        }
    }
    places
}

/// The role of a store that most others ask: it stands behind all of them, although one that clients ask may ask it at
/// once. `None` if none is asked by most, or if it asks nobody in its own tier and stands well where it is.
fn store(timeline: &Timeline) -> Option<&str> {
    let hosts: BTreeMap<&str, &HostRecord> =
        timeline.hosts.iter().map(|host| (host.name.as_str(), host)).collect();
    let mut roles: BTreeMap<&str, Role<'_>> = BTreeMap::new();
    for host in timeline.hosts.iter().filter(|host| host.tier > 0) {
        let role = roles.entry(&host.role).or_default();
        role.messages_in = role.messages_in.saturating_add(host.messages_in);
    }
    for link in &timeline.links {
        let (Some(one), Some(other)) = (hosts.get(link.from.as_str()), hosts.get(link.to.as_str())) else {
            continue;
        };
        for (one, other) in [(one, other), (other, one)] {
            if let Some(role) = roles.get_mut(one.role.as_str()).filter(|_| other.tier > 0) {
                role.partners.insert(&other.role);
                role.has_partner_beside |= one.tier == other.tier && one.role != other.role;
            }
        }
    }
    let needed = (roles.len() as f64 - 1.0) * ASKED_BY_MOST;
    let (name, role) = roles.into_iter().max_by_key(|(_, role)| (role.partners.len(), role.messages_in))?;
    (role.has_partner_beside && role.partners.len() as f64 >= needed).then_some(name)
}

/// What hosts of one role have to do with others.
#[derive(Default)]
struct Role<'a> {
    messages_in: u64,
    partners: BTreeSet<&'a str>,
    has_partner_beside: bool,
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
        let (x, out) = (from.x + NODE_WIDTH, from.x + NODE_WIDTH + GAP_RIGHT * BULGE);
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

fn node(place: &Place<'_>, loads: &Loads, words: &Words) -> Markup {
    let host = place.host;
    let busy = loads.busy(host);
    let load = loads.share(host);
    let shade = (load * SHADES).round();
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
            rect.gauge x="0" y=(NODE_HEIGHT - 3.0) width=(format!("{:.1}", NODE_WIDTH * load)) height="3" {}
            text.name x="9" y="17" { (name) }
            text.figure x="9" y="32" { (line) }
        }
    }
}

/// How much the hosts had to do while customers came: the share of their cores' time, or, where no cores are modelled,
/// their messages beside those of the host that was delivered the most.
struct Loads {
    /// Windows in which customers came.
    windows: usize,
    is_cpu: bool,
    most_messages: u64,
}

impl Loads {
    fn of(timeline: &Timeline) -> Self {
        let until = (timeline.load_until_s / timeline.window_s).ceil();
        let is_cpu = timeline.hosts.iter().any(|host| !host.busy.is_empty());
        let most_messages = timeline.hosts.iter().map(|host| host.messages_in).max().unwrap_or(0);
        Self { windows: if until >= 1.0 { until as usize } else { usize::MAX }, is_cpu, most_messages }
    }

    /// The mean and the highest load of a host's cores, 0 to 1; `None` if they are not modelled.
    fn busy(&self, host: &HostRecord) -> Option<(f64, f64)> {
        let shares = host.busy.iter().take(self.windows).filter(|share| share.is_finite());
        let shares: Vec<f64> = shares.map(|share| share.clamp(0.0, 1.0)).collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        (!shares.is_empty()).then(|| (mean, shares.iter().copied().fold(0.0, f64::max)))
    }

    /// What a host is coloured by, 0 to 1.
    fn share(&self, host: &HostRecord) -> f64 {
        match self.busy(host) {
            Some((mean, _)) => mean,
            None if self.is_cpu => 0.0,
            None => host.messages_in as f64 / self.most_messages.max(1) as f64,
        }
    }
}

fn bytes(bytes: u64) -> String {
    Unit::Named("bytes".to_owned()).show(bytes as f64)
}
