//! What a fault does and to whom: the keys that depend on its kind.

use crate::diagnostic::{Problem, quoted, unknown_name};
use crate::document::{
    At, Entry, Findings, Section, Span, array, bandwidth_value, duration_value, integer, jump_value,
    name_among, number, texts,
};
use crate::fault::{Direction, FaultKind, HostEffect, LinkEffect, Links, Side, Strike};
use crate::vocabulary::SystemVocabulary;

/// All hosts that no other side names.
const REST: &str = "*";

/// What a fault does, and the place of the hosts that it does it to.
#[derive(Debug, Clone)]
pub(super) struct Struck {
    pub(super) strike: Strike,
    pub(super) place: Span,
}

/// How messages call a fault.
pub(super) fn title(kind: FaultKind) -> String {
    format!("a fault of kind {}", quoted(kind.name()))
}

/// The keys of a kind beside those of every fault.
pub(super) fn keys(kind: FaultKind) -> impl Iterator<Item = &'static str> {
    let targets: &[&str] = match (kind.is_of_links(), kind.is_momentary()) {
        (false, _) => &["on"],
        (true, false) => &["sides", "direction", "on"],
        // What is between two ends is reset at both.
        (true, true) => &["sides", "on"],
    };
    targets.iter().copied().chain(strength(kind).map(|(key, _)| key))
}

/// The key that says how badly a kind strikes, and how it is written.
fn strength(kind: FaultKind) -> Option<(&'static str, &'static str)> {
    match kind {
        FaultKind::ClockDrift => Some(("ppm", "200, or -200 for a slow clock")),
        FaultKind::ClockJump => Some(("by", "\"5s\", or \"-5s\" for a jump into the past")),
        FaultKind::LossyLink => Some(("loss", "0.05, the share of packets that get lost")),
        FaultKind::NarrowLink => Some(("bandwidth", "\"1Mbit/s\"")),
        FaultKind::SlowDisk => Some(("slowness", "100, how many times as long everything takes")),
        FaultKind::SlowLink => Some(("latency", "\"200ms\", added each way")),
        FaultKind::Crash
        | FaultKind::Hold
        | FaultKind::Kill
        | FaultKind::Partition
        | FaultKind::Pause
        | FaultKind::ResetConnections => None,
    }
}

/// Reads what a fault of this kind does.
pub(super) fn read(
    findings: &mut Findings<'_>,
    section: &Section<'_, '_>,
    kind: FaultKind,
    system: &SystemVocabulary,
) -> Option<Struck> {
    if kind.is_of_links() {
        let links = links(findings, section, system);
        let effect = link_effect(findings, section, kind);
        let (links, effect) = (links?, effect?);
        return Some(Struck { strike: Strike::Links { links: links.value, effect }, place: links.span });
    }
    let on = section.require(findings, "on", "[\"host\", …]");
    let on = on.and_then(|entry| Some(At { value: hosts(findings, &entry, system)?, span: entry.span }));
    let effect = host_effect(findings, section, kind);
    let (on, effect) = (on?, effect?);
    Some(Struck { strike: Strike::Hosts { on: on.value, effect }, place: on.span })
}

/// The value of the key that says how badly the kind strikes.
fn strength_entry<'a, 't>(
    findings: &mut Findings<'_>,
    section: &Section<'a, 't>,
    kind: FaultKind,
) -> Option<Entry<'a, 't>> {
    let (key, written) = strength(kind)?;
    section.require(findings, key, written)
}

fn host_effect(
    findings: &mut Findings<'_>,
    section: &Section<'_, '_>,
    kind: FaultKind,
) -> Option<HostEffect> {
    match kind {
        FaultKind::Kill => return Some(HostEffect::Kill),
        FaultKind::Crash => return Some(HostEffect::Crash),
        FaultKind::Pause => return Some(HostEffect::Pause),
        _ => {}
    }
    let entry = strength_entry(findings, section, kind)?;
    let read = match kind {
        FaultKind::ClockJump => jump_value(entry.value).map(|by| HostEffect::ClockJump { by }),
        FaultKind::SlowDisk => slow_disk(entry.value),
        _ => drift(entry.value),
    };
    findings.keep(&entry.span, read)
}

fn slow_disk(value: &toml::de::DeValue<'_>) -> Result<HostEffect, Problem> {
    let slowness = integer(value, 2, i64::from(HostEffect::SLOWNESS_MAX))?;
    Ok(HostEffect::SlowDisk { slowness: u32::try_from(slowness).unwrap_or(HostEffect::SLOWNESS_MAX) })
}

fn drift(value: &toml::de::DeValue<'_>) -> Result<HostEffect, Problem> {
    let max = i64::from(HostEffect::DRIFT_MAX_PPM);
    match i32::try_from(integer(value, -max, max)?) {
        Ok(ppm) if ppm != 0 => Ok(HostEffect::ClockDrift { ppm }),
        _ => Err(Problem::new("a clock that drifts by nothing").expected("parts per million, such as 200")),
    }
}

fn link_effect(
    findings: &mut Findings<'_>,
    section: &Section<'_, '_>,
    kind: FaultKind,
) -> Option<LinkEffect> {
    match kind {
        FaultKind::Partition => return Some(LinkEffect::Partition),
        FaultKind::Hold => return Some(LinkEffect::Hold),
        FaultKind::ResetConnections => return Some(LinkEffect::ResetConnections),
        _ => {}
    }
    let entry = strength_entry(findings, section, kind)?;
    let read = match kind {
        FaultKind::SlowLink => duration_value(entry.value, true).map(|latency| LinkEffect::Slow { latency }),
        FaultKind::LossyLink => {
            number(entry.value, LinkEffect::LOSS_MIN, 1.0).map(|loss| LinkEffect::Lossy { loss })
        }
        _ => bandwidth_value(entry.value).map(|bandwidth| LinkEffect::Narrow { bandwidth }),
    };
    findings.keep(&entry.span, read)
}

/// The links that are meant: between `sides`, or all of the hosts that it is `on`.
fn links(
    findings: &mut Findings<'_>,
    section: &Section<'_, '_>,
    system: &SystemVocabulary,
) -> Option<At<Links>> {
    if let Some(on) = section.get("on") {
        for other in ["sides", "direction"].into_iter().filter_map(|key| section.get(key)) {
            let problem = Problem::new(format!("{} beside \"on\"", quoted(other.key)));
            let expected = "either sides, between which the links are, or on, for all links of these hosts";
            findings.at(&other.key_span, problem.expected(expected));
        }
        let hosts = hosts(findings, &on, system)?;
        return Some(At { value: Links::Of(hosts), span: on.span });
    }
    if section.means("on") {
        // Misspelt, and reported as such: sides are not missing as well.
        return None;
    }
    let entry = section.require(findings, "sides", "[ [\"host\", …], [\"*\"] ]")?;
    let sides = sides(findings, &entry, system);
    let names = Direction::NAMES.map(|(name, _)| name);
    let direction = match section.get("direction") {
        None => Direction::default(),
        Some(given) => {
            let name = findings.keep(&given.span, name_among(given.value, "direction", &names))?;
            let named = Direction::NAMES.iter().find(|(known, _)| *known == name);
            let direction = named.map(|(_, direction)| *direction)?;
            if direction == Direction::OneWay && sides.as_ref().is_some_and(|sides| sides.len() > 2) {
                let problem = Problem::new("one way between more than two sides");
                findings.at(&given.span, problem.expected("two sides: the first cannot reach the second"));
            }
            direction
        }
    };
    Some(At { value: Links::Between { sides: sides?, direction }, span: entry.span })
}

/// Two or more sides, no host on two of them.
fn sides(findings: &mut Findings<'_>, entry: &Entry<'_, '_>, system: &SystemVocabulary) -> Option<Vec<Side>> {
    let expected = "two or more sides, such as [ [\"host\"], [\"*\"] ]";
    let items = array(entry.value).map_err(|problem| problem.expected(expected));
    let items = findings.keep(&entry.span, items)?;
    if items.len() < 2 {
        let problem = Problem::new(format!("{} side only", if items.is_empty() { "no" } else { "one" }));
        findings.at(&entry.span, problem.expected(expected));
        return None;
    }
    let mut taken = Vec::new();
    let sides: Vec<Side> = items.iter().filter_map(|item| side(findings, item, system, &mut taken)).collect();
    (sides.len() == items.len()).then_some(sides)
}

fn side(
    findings: &mut Findings<'_>,
    item: &toml::Spanned<toml::de::DeValue<'_>>,
    system: &SystemVocabulary,
    taken: &mut Vec<String>,
) -> Option<Side> {
    let expected = "a list of hosts, or [\"*\"] for all others";
    let named = texts(item.as_ref()).map_err(|problem| problem.expected(expected));
    let named = findings.keep(&item.span(), named)?;
    match &named[..] {
        [] => {
            findings.at(&item.span(), Problem::new("a side without hosts").expected(expected));
            None
        }
        [rest] if rest.value == REST => {
            let first = !taken.iter().any(|host| host == REST);
            if !first {
                let problem = Problem::new("all other hosts are on two sides");
                findings.at(&rest.span, problem.expected("\"*\" on one side only"));
            }
            taken.push(REST.to_owned());
            first.then_some(Side::Rest)
        }
        _ => {
            if let Some(rest) = named.iter().find(|host| host.value == REST) {
                let problem = Problem::new("all other hosts, and hosts by name, on one side");
                findings.at(&rest.span, problem.expected(expected));
                return None;
            }
            distinct(findings, named, system, taken).map(Side::Hosts)
        }
    }
}

/// Hosts of the system, each named once, at least one.
fn hosts(
    findings: &mut Findings<'_>,
    entry: &Entry<'_, '_>,
    system: &SystemVocabulary,
) -> Option<Vec<String>> {
    let named = findings.keep(&entry.span, texts(entry.value))?;
    if named.is_empty() {
        let expected = format!("at least one host of system {}", system.name);
        findings.at(&entry.span, Problem::new("a fault on no host").expected(expected));
        return None;
    }
    distinct(findings, named, system, &mut Vec::new())
}

/// Hosts of the system that are not among those `taken` already.
fn distinct(
    findings: &mut Findings<'_>,
    named: Vec<At<String>>,
    system: &SystemVocabulary,
    taken: &mut Vec<String>,
) -> Option<Vec<String>> {
    let valid: Vec<&str> = system.hosts.iter().map(String::as_str).collect();
    let (mut hosts, count) = (Vec::new(), named.len());
    for host in named {
        if !valid.contains(&host.value.as_str()) {
            let what = format!("host of system {}", system.name);
            findings.at(&host.span, unknown_name(&what, &host.value, &valid));
        } else if taken.contains(&host.value) {
            let problem = Problem::new(format!("host {} is named twice", quoted(&host.value)));
            findings.at(&host.span, problem.expected("each host once"));
        } else {
            taken.push(host.value.clone());
            hosts.push(host.value);
        }
    }
    (hosts.len() == count).then_some(hosts)
}
