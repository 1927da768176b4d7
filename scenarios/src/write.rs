//! The way back: a scenario as a file that people read, and that reads as the same scenario.

use std::fmt::{Display, Write};

use crate::duration;
use crate::fault::{Direction, Fault, HostEffect, LinkEffect, Links, Side, Strike};
use crate::scenario::{Arrival, Arrivals, Journey, Limits, Play, Rate, Scenario};
use crate::settings::{Settings, Value};
use crate::vocabulary::SystemVocabulary;
use crate::{Jump, Swarm};

/// Longer lists stand one item to a line.
const LINE_MAX: usize = 100;

/// Writes a scenario as its file. What is as the system has it by default is left out; a file that a setting names is
/// written with its path as it is, which a reader takes as relative to the folder of the scenario's file.
pub fn write(scenario: &Scenario, system: &SystemVocabulary) -> String {
    let mut file = String::new();
    line(&mut file, "name", text(&scenario.name));
    line(&mut file, "system", text(&scenario.system));
    if !scenario.about.is_empty() {
        line(&mut file, "about", text(&scenario.about));
    }
    line(&mut file, "duration", time(scenario.duration));
    line(&mut file, "settle", time(scenario.settle));
    file.push_str("\n[load]\n");
    for (name, journey) in &scenario.load {
        line(&mut file, &format!("journey.{}", key(name)), self::journey(journey));
    }
    settings(&mut file, &scenario.settings, &Settings::defaults(&system.settings));
    for fault in &scenario.faults {
        self::fault(&mut file, fault);
    }
    swarm(&mut file, scenario.swarm.as_ref());
    play(&mut file, &scenario.play);
    if let Some(expect) = &scenario.expect {
        file.push_str("\n[expect]\n");
        line(&mut file, "verdict", text(&expect.verdict.to_string()));
        if let Some(invariant) = &expect.invariant {
            line(&mut file, "invariant", text(invariant));
        }
    }
    limits(&mut file, &scenario.limits);
    file
}

fn line(file: &mut String, key: &str, value: impl Display) {
    // Writing to a text does not fail.
    let _ = writeln!(file, "{key} = {value}");
}

fn text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn time(duration: std::time::Duration) -> String {
    text(&duration::format(duration))
}

/// A key, in quotes where it needs them.
fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { text(name) }
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    let length: usize = items.iter().map(|item| item.len() + 2).sum();
    if items.is_empty() {
        "[]".to_owned()
    } else if length <= LINE_MAX {
        format!("[{}]", items.join(", "))
    } else {
        format!("[\n    {},\n]", items.join(",\n    "))
    }
}

fn journey(journey: &Journey) -> String {
    let arrivals = match &journey.arrivals {
        Arrivals::Rate(rate) => format!("rate = {}", self::rate(rate)),
        Arrivals::Listed(arrivals) => format!("arrive = {}", list(arrivals.iter().map(arrival))),
    };
    match journey.patience {
        Some(patience) => format!("{{ {arrivals}, patience = {} }}", time(patience)),
        None => format!("{{ {arrivals} }}"),
    }
}

fn rate(rate: &Rate) -> String {
    match rate.steps() {
        [(_, per_second)] => format!("{per_second:?}"),
        steps => list(steps.iter().map(|(from, per_second)| format!("[{}, {per_second:?}]", time(*from)))),
    }
}

fn arrival(arrival: &Arrival) -> String {
    if arrival.customer.is_none() && arrival.operations.is_none() {
        return time(arrival.at);
    }
    let number = |key: &str, number: Option<u64>| number.map(|number| format!(", {key} = {number}"));
    let customer = number("customer", arrival.customer).unwrap_or_default();
    let operations = number("operations", arrival.operations).unwrap_or_default();
    format!("{{ at = {}{customer}{operations} }}", time(arrival.at))
}

fn settings(file: &mut String, settings: &Settings, defaults: &Settings) {
    let given = settings.iter().filter(|(key, value)| defaults.get(key) != Some(*value));
    let lines: Vec<String> = given
        .map(|(key, value)| {
            let value = match value {
                Value::Text(value) => text(value),
                Value::List(values) => list(values.iter().map(|value| text(value))),
                Value::File(Some(path)) => text(&path.display().to_string()),
                other => other.to_string(),
            };
            format!("{key} = {value}\n")
        })
        .collect();
    if !lines.is_empty() {
        file.push_str("\n[settings]\n");
        file.extend(lines);
    }
}

fn fault(file: &mut String, fault: &Fault) {
    file.push_str("\n[[fault]]\n");
    line(file, "at", time(fault.at));
    if let Some(lasts) = fault.for_ {
        line(file, "for", time(lasts));
    }
    line(file, "kind", text(fault.kind().name()));
    let hosts = |hosts: &[String]| list(hosts.iter().map(|host| text(host)));
    match &fault.strike {
        Strike::Hosts { on, effect } => {
            line(file, "on", hosts(on));
            host_effect(file, *effect);
        }
        Strike::Links { links, effect } => {
            match links {
                Links::Of(on) => line(file, "on", hosts(on)),
                Links::Between { sides, direction } => {
                    let side = |side: &Side| match side {
                        Side::Hosts(on) => hosts(on),
                        Side::Rest => "[\"*\"]".to_owned(),
                    };
                    line(file, "sides", list(sides.iter().map(side)));
                    if *direction == Direction::OneWay {
                        line(file, "direction", text("one-way"));
                    }
                }
            }
            link_effect(file, *effect);
        }
    }
}

fn host_effect(file: &mut String, effect: HostEffect) {
    match effect {
        HostEffect::ClockJump { by: Jump::Forward(by) } => line(file, "by", time(by)),
        HostEffect::ClockJump { by: Jump::Back(by) } => {
            line(file, "by", text(&format!("-{}", duration::format(by))));
        }
        HostEffect::ClockDrift { ppm } => line(file, "ppm", ppm),
        HostEffect::SlowDisk { slowness } => line(file, "slowness", slowness),
        HostEffect::Kill | HostEffect::Crash | HostEffect::Pause => {}
    }
}

fn link_effect(file: &mut String, effect: LinkEffect) {
    match effect {
        LinkEffect::Slow { latency } => line(file, "latency", time(latency)),
        LinkEffect::Lossy { loss } => line(file, "loss", format!("{loss:?}")),
        LinkEffect::Narrow { bandwidth } => line(file, "bandwidth", text(&bandwidth.to_string())),
        LinkEffect::Partition | LinkEffect::Hold | LinkEffect::ResetConnections => {}
    }
}

fn swarm(file: &mut String, swarm: Option<&Swarm>) {
    if let Some(swarm) = swarm {
        file.push_str("\n[swarm]\n");
        line(file, "faults", list(swarm.faults.iter().map(|kind| text(kind.name()))));
        line(file, "count", format!("[{}, {}]", swarm.count_min, swarm.count_max));
    }
}

fn play(file: &mut String, play: &Play) {
    if *play == Play::default() {
        return;
    }
    file.push_str("\n[play]\n");
    if let Some(seed) = play.seed {
        line(file, "seed", seed);
    }
    if let Some(strategy) = play.strategy {
        line(file, "strategy", text(&strategy.to_string()));
    }
    if !play.mutants.is_empty() {
        line(file, "mutants", list(play.mutants.iter().map(|name| text(name))));
    }
}

fn limits(file: &mut String, limits: &Limits) {
    if *limits == Limits::default() {
        return;
    }
    file.push_str("\n[limits]\n");
    for (key, limit) in [("rto", limits.rto), ("rpo", limits.rpo)] {
        if let Some(limit) = limit {
            line(file, key, time(limit));
        }
    }
    for (operation, percentiles) in &limits.latency {
        let percentiles: Vec<String> = percentiles
            .iter()
            .map(|(percentile, limit)| format!("{percentile} = {}", time(*limit)))
            .collect();
        line(file, &format!("latency.{}", key(operation)), format!("{{ {} }}", percentiles.join(", ")));
    }
}
