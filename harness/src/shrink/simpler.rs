//! What is simpler than what.

use std::collections::BTreeMap;
use std::time::Duration;

use scenarios::{
    Arrivals, Fault, HostEffect, Jump, Kind, LinkEffect, Links, Scenario, Setting, Side, Size, Strike,
    SystemVocabulary, Value, Vocabulary,
};

/// Candidates for a scenario, the simplest first.
pub(super) type Step = fn(&Scenario) -> Vec<Scenario>;
/// Candidates for a fault within a load of this duration, the simplest first.
pub(super) type OfAFault = fn(&Fault, Duration) -> Vec<Fault>;

/// What is tried on the whole.
pub(super) const STEPS: &[Step] = &[without_patience, from_zero, rounder, shorter_load, without_limits];
/// What is tried on each fault.
pub(super) const OF_A_FAULT: &[OfAFault] = &[on_fewer, shorter, later, weaker, rounder_fault];

/// The sizes that times are rounded to, in milliseconds.
const ROUND_MS: [u64; 5] = [1000, 500, 100, 10, 1];

/// Does the language accept it?
pub(super) fn is_valid(scenario: &Scenario, system: &SystemVocabulary) -> bool {
    let vocabulary = Vocabulary { systems: vec![system.clone()] };
    let text = scenarios::write(scenario, system);
    !scenario.load.is_empty() && scenarios::parse("shrunk.toml", &text, &vocabulary, Size::Full, &[]).is_ok()
}

/// The same with none of the planted mistakes.
pub(super) fn without_mutants(scenario: &Scenario) -> Scenario {
    let mut candidate = scenario.clone();
    candidate.play.mutants.clear();
    candidate
}

pub(super) fn with_counts(scenario: &Scenario, most: i64, system: &SystemVocabulary) -> Scenario {
    let mut candidate = scenario.clone();
    for (key, value, least) in counts(scenario, system) {
        candidate.settings.set(key, Value::Integer(value.min(least.max(most))));
    }
    candidate
}

fn with_setting(scenario: &Scenario, key: &'static str, value: Value) -> Scenario {
    let mut candidate = scenario.clone();
    candidate.settings.set(key, value);
    candidate
}

/// Whole numbers count things of the world: each that is not as the system has it, with smaller ones.
pub(super) fn smaller_worlds(
    scenario: &Scenario,
    system: &SystemVocabulary,
) -> BTreeMap<&'static str, Vec<Scenario>> {
    let mut worlds = BTreeMap::new();
    for (key, value, least) in counts(scenario, system) {
        let mut smaller = vec![least, value / 8, value / 4, value / 2, value - 1];
        smaller.retain(|smaller| (least..value).contains(smaller));
        smaller.sort_unstable();
        smaller.dedup();
        let candidate = |smaller| with_setting(scenario, key, Value::Integer(smaller));
        worlds.insert(key, smaller.into_iter().map(candidate).collect());
    }
    worlds
}

/// With the settings that make the story of a run shortest.
pub(super) fn with_simplest(scenario: &Scenario, system: &SystemVocabulary) -> Scenario {
    let mut candidate = scenario.clone();
    for setting in &system.settings {
        if let Some(value) = &setting.simplest {
            candidate.settings.set(setting.key, value.clone());
        }
    }
    candidate
}

/// One of everything.
pub(super) fn smallest_world(scenario: &Scenario, system: &SystemVocabulary) -> Scenario {
    with_counts(scenario, 1, system)
}

/// Keys, values and least values of the settings that are whole numbers and not as the system has them.
fn counts(scenario: &Scenario, system: &SystemVocabulary) -> Vec<(&'static str, i64, i64)> {
    let unusual = unusual(scenario, system);
    unusual
        .filter_map(|setting| match (&setting.kind, scenario.settings.get(setting.key)) {
            (Kind::Integer { min, .. }, Some(Value::Integer(value))) => Some((setting.key, *value, *min)),
            _ => None,
        })
        .collect()
}

/// The settings that are not as the system has them and may be taken away. What protects the data may not where nothing
/// else explains the failure: data that is lost without it was lost for another reason.
fn unusual<'a>(scenario: &'a Scenario, system: &'a SystemVocabulary) -> impl Iterator<Item = &'a Setting> {
    let is_explained = !scenario.play.mutants.is_empty();
    let all = system.settings.iter().filter(move |setting| is_explained || !setting.is_guard);
    all.filter(|setting| scenario.settings.get(setting.key) != Some(&setting.default))
}

/// The settings that are not as the system has them, but for counts that are smaller than the system's: to have more of
/// something is not simpler.
pub(super) fn unusual_settings(scenario: &Scenario, system: &SystemVocabulary) -> Vec<&'static str> {
    let unusual = unusual(scenario, system);
    unusual
        .filter(|setting| {
            let (Value::Integer(default), Some(Value::Integer(value))) =
                (&setting.default, scenario.settings.get(setting.key))
            else {
                return true;
            };
            default <= value
        })
        .map(|setting| setting.key)
        .collect()
}

/// Of these settings, only some as they are, the others as the system has them.
pub(super) fn with_settings_of(
    scenario: &Scenario,
    all: &[&'static str],
    kept: &[&'static str],
    system: &SystemVocabulary,
) -> Scenario {
    let mut candidate = scenario.clone();
    for setting in &system.settings {
        if all.contains(&setting.key) && !kept.contains(&setting.key) {
            candidate.settings.set(setting.key, setting.default.clone());
        }
    }
    candidate
}

fn without_patience(scenario: &Scenario) -> Vec<Scenario> {
    let mut candidate = scenario.clone();
    candidate.load.values_mut().for_each(|journey| journey.patience = None);
    vec![candidate]
}

fn without_limits(scenario: &Scenario) -> Vec<Scenario> {
    vec![Scenario { limits: Default::default(), ..scenario.clone() }]
}

fn times(scenario: &Scenario) -> impl Iterator<Item = Duration> {
    let arrivals = scenario.load.values().flat_map(|journey| match &journey.arrivals {
        Arrivals::Listed(listed) => listed.as_slice(),
        Arrivals::Rate(_) => &[],
    });
    arrivals.map(|arrival| arrival.at).chain(scenario.faults.iter().map(|fault| fault.at))
}

/// The scenario with every moment of its plan moved.
fn with_times(scenario: &Scenario, moved: impl Fn(Duration) -> Duration) -> Scenario {
    let mut candidate = scenario.clone();
    for journey in candidate.load.values_mut() {
        if let Arrivals::Listed(listed) = &mut journey.arrivals {
            listed.iter_mut().for_each(|arrival| arrival.at = moved(arrival.at));
            listed.sort_by_key(|arrival| arrival.at);
        }
    }
    candidate.faults.iter_mut().for_each(|fault| fault.at = moved(fault.at));
    candidate.faults.sort_by_key(|fault| fault.at);
    candidate
}

/// The first thing happens at once.
fn from_zero(scenario: &Scenario) -> Vec<Scenario> {
    let first = times(scenario).min().unwrap_or_default();
    vec![with_times(scenario, |at| at - first)]
}

pub(super) fn round(duration: Duration, to_ms: u64) -> Duration {
    let ms = (duration.as_nanos() + u128::from(to_ms) * 500_000) / (u128::from(to_ms) * 1_000_000);
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX / to_ms.max(1)).saturating_mul(to_ms))
}

fn rounder(scenario: &Scenario) -> Vec<Scenario> {
    ROUND_MS.iter().map(|ms| with_times(scenario, |at| round(at, *ms))).collect()
}

/// The load ends soon after the last thing of the plan, when all faults heal.
fn shorter_load(scenario: &Scenario) -> Vec<Scenario> {
    let last = times(scenario).max().unwrap_or_default();
    let healed = scenario.faults.iter().filter_map(|fault| Some(fault.at + fault.for_?)).max();
    let ends = [last, healed.unwrap_or_default().max(last)];
    let mut lengths: Vec<Duration> = ends
        .iter()
        .flat_map(|end| [1, 5].map(|more| Duration::from_secs(end.as_secs() + more)))
        .filter(|length| *length < scenario.duration)
        .collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
        .into_iter()
        .map(|duration| {
            let mut candidate = Scenario { duration, ..scenario.clone() };
            // What would last beyond the end lasts until the end.
            for fault in &mut candidate.faults {
                if fault.for_.is_some_and(|lasts| fault.at + lasts > duration) {
                    fault.for_ = None;
                }
            }
            candidate
        })
        .collect()
}

/// One host instead of several.
fn on_fewer(fault: &Fault, _: Duration) -> Vec<Fault> {
    let each = |on: &[String]| -> Vec<Vec<String>> {
        if on.len() < 2 { Vec::new() } else { on.iter().map(|host| vec![host.clone()]).collect() }
    };
    let with = |strike| Fault { strike, ..fault.clone() };
    match &fault.strike {
        Strike::Hosts { on, effect } => {
            each(on).into_iter().map(|on| with(Strike::Hosts { on, effect: *effect })).collect()
        }
        Strike::Links { links: Links::Of(on), effect } => {
            let fewer = each(on).into_iter();
            fewer.map(|on| with(Strike::Links { links: Links::Of(on), effect: *effect })).collect()
        }
        Strike::Links { links: Links::Between { sides, direction }, effect } => {
            let mut candidates = Vec::new();
            for (index, side) in sides.iter().enumerate() {
                let Side::Hosts(on) = side else { continue };
                for on in each(on) {
                    let mut sides = sides.clone();
                    sides[index] = Side::Hosts(on);
                    let links = Links::Between { sides, direction: *direction };
                    candidates.push(with(Strike::Links { links, effect: *effect }));
                }
            }
            candidates
        }
    }
}

fn shorter(fault: &Fault, load: Duration) -> Vec<Fault> {
    if fault.kind().is_momentary() {
        return Vec::new();
    }
    let lasts = fault.until(load).saturating_sub(fault.at);
    let parts = [64, 16, 4, 2].map(|part| Fault { for_: Some(round(lasts / part, 1)), ..fault.clone() });
    parts.into_iter().filter(|fault| fault.for_.is_some_and(|lasts| !lasts.is_zero())).collect()
}

/// As late as its end allows.
fn later(fault: &Fault, load: Duration) -> Vec<Fault> {
    let Some(lasts) = fault.for_ else { return Vec::new() };
    [2, 4]
        .map(|part| Fault { at: fault.at + lasts / part, for_: Some(lasts - lasts / part), ..fault.clone() })
        .into_iter()
        .filter(|fault| fault.until(load) <= load)
        .collect()
}

fn weaker(fault: &Fault, _: Duration) -> Vec<Fault> {
    let with = |strike| Fault { strike, ..fault.clone() };
    let divisors = [16_u32, 4, 2];
    match &fault.strike {
        Strike::Hosts { on, effect } => divisors
            .iter()
            .filter_map(|part| {
                let effect = match effect {
                    HostEffect::ClockJump { by: Jump::Forward(by) } => {
                        HostEffect::ClockJump { by: Jump::Forward(round(*by / *part, 1)) }
                    }
                    HostEffect::ClockJump { by: Jump::Back(by) } => {
                        HostEffect::ClockJump { by: Jump::Back(round(*by / *part, 1)) }
                    }
                    HostEffect::ClockDrift { ppm } => HostEffect::ClockDrift { ppm: ppm / *part as i32 },
                    HostEffect::SlowDisk { slowness } => HostEffect::SlowDisk { slowness: slowness / part },
                    HostEffect::Kill | HostEffect::Crash | HostEffect::Pause => return None,
                };
                Some(with(Strike::Hosts { on: on.clone(), effect }))
            })
            .collect(),
        Strike::Links { links, effect } => divisors
            .iter()
            .filter_map(|part| {
                let effect = match effect {
                    LinkEffect::Slow { latency } => LinkEffect::Slow { latency: round(*latency / *part, 1) },
                    LinkEffect::Lossy { loss } => LinkEffect::Lossy { loss: loss / f64::from(*part) },
                    _ => return None,
                };
                Some(with(Strike::Links { links: links.clone(), effect }))
            })
            .collect(),
    }
}

fn rounder_fault(fault: &Fault, _: Duration) -> Vec<Fault> {
    let rounded = |ms: &u64| Fault { for_: fault.for_.map(|lasts| round(lasts, *ms)), ..fault.clone() };
    ROUND_MS.iter().map(rounded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_protects_data_goes_only_where_a_planted_mistake_explains_the_failure() {
        let system = SystemVocabulary {
            name: "shop".to_owned(),
            journeys: vec!["buy".to_owned()],
            settings: vec![
                Setting::integer("trains", 4, 1..=16, "trains"),
                Setting::integer("replicas_to_wait", 0, 0..=2, "replicas to wait for").guard(),
                Setting::text("appendfsync", "off", "when the disk has it").guard(),
            ],
            ..SystemVocabulary::default()
        };
        let text = r#"
            name = "shop"
            system = "shop"
            about = "A shop that waits for its replicas."
            duration = "1s"
            settle = "1s"
            load.journey.buy.rate = 1
            settings = { trains = 8, replicas_to_wait = 2, appendfsync = "always" }
        "#;
        let known = Vocabulary { systems: vec![system.clone()] };
        let mut scenario = scenarios::parse("shop.toml", text, &known, Size::Full, &[])
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(unusual_settings(&scenario, &system), ["trains"]);
        assert_eq!(smallest_world(&scenario, &system).settings.integer("replicas_to_wait"), 2);
        scenario.play.mutants.push("shop.forgets".to_owned());
        assert_eq!(unusual_settings(&scenario, &system), ["trains", "replicas_to_wait", "appendfsync"]);
        assert_eq!(smallest_world(&scenario, &system).settings.integer("replicas_to_wait"), 1);
    }
}
