//! Plans that are written out: each fault, each customer. The smallest ones that may fail the same way.

use std::collections::BTreeMap;
use std::time::Duration;

use record::history::History;
use scenarios::{Arrival, Arrivals, Fault, Journey, Scenario, Settings, SystemVocabulary, Value};

use super::simpler;
use crate::rehearsal::Played;

/// The scenario with the faults and customers of its run; what they were drawn from, and what is expected, is left out.
pub(super) fn written_out(scenario: &Scenario, played: &Played) -> Scenario {
    let arrived = played.plan.arrived.iter().map(|arrived| {
        let arrival =
            Arrival { at: arrived.at, customer: Some(arrived.number), operations: arrived.operations };
        (arrived.journey.clone(), arrival)
    });
    Scenario {
        faults: played.plan.faults.clone(),
        swarm: None,
        expect: None,
        settings: with_absolute_paths(&scenario.settings),
        ..with_customers(scenario, &arrived.collect::<Vec<_>>())
    }
}

/// Settings whose files do not depend on where a scenario's file lies.
fn with_absolute_paths(settings: &Settings) -> Settings {
    let mut absolute = settings.clone();
    for (key, value) in settings.iter() {
        if let Value::File(Some(path)) = value
            && let Ok(path) = std::path::absolute(path)
        {
            absolute.set(key, Value::File(Some(path)));
        }
    }
    absolute
}

/// All customers of a plan that is written out, by their time.
pub(super) fn customers(scenario: &Scenario) -> Vec<(String, Arrival)> {
    let mut all: Vec<(String, Arrival)> = Vec::new();
    for (name, journey) in &scenario.load {
        if let Arrivals::Listed(listed) = &journey.arrivals {
            all.extend(listed.iter().map(|arrival| (name.clone(), *arrival)));
        }
    }
    all.sort_by_key(|(_, arrival)| arrival.at);
    all
}

/// The scenario with these customers instead of its own.
pub(super) fn with_customers(scenario: &Scenario, customers: &[(String, Arrival)]) -> Scenario {
    let mut load: BTreeMap<String, Journey> = BTreeMap::new();
    for (name, arrival) in customers {
        let patience = scenario.load.get(name).and_then(|journey| journey.patience);
        let journey = load
            .entry(name.clone())
            .or_insert_with(|| Journey { arrivals: Arrivals::Listed(Vec::new()), patience });
        if let Arrivals::Listed(listed) = &mut journey.arrivals {
            listed.push(*arrival);
        }
    }
    load.values_mut().for_each(|journey| {
        if let Arrivals::Listed(listed) = &mut journey.arrivals {
            listed.sort_by_key(|arrival| arrival.at);
        }
    });
    Scenario { load, ..scenario.clone() }
}

/// Whole numbers of the smallest plans are at most these.
const SMALL_COUNTS: [i64; 4] = [1, 2, 4, i64::MAX];
/// The same where each fault is tried by itself.
const FEWER_COUNTS: [i64; 2] = [1, 4];
/// Their customers see it through, or leave early.
const SMALL_OPERATIONS: [Option<u64>; 4] = [Some(3), None, Some(4), Some(5)];

/// When the customers of a small plan come.
#[derive(Debug, Clone, Copy)]
enum Coming {
    /// All at the begin.
    Together,
    /// One after the other, all over the load.
    InTurn,
    /// As in the plan: that matters beside faults.
    AsPlanned,
}

/// Plans of so many customers: those who are involved in the failure, else any; when they came, or together at the
/// begin, or one after the other; in worlds of several sizes; without the faults, with all of them, with each by itself.
pub(super) fn smallest_plans(
    planned: &Scenario,
    involved: &[u64],
    count: usize,
    system: &SystemVocabulary,
) -> Vec<Scenario> {
    use Coming::{AsPlanned, InTurn, Together};
    let few = few(planned, involved, count, 0);
    let simplest = simpler::with_simplest(planned, system);
    let mut candidates = Vec::new();
    let mut add = |faults: &[Fault], counts: &[i64], coming: &[Coming], operations: &[Option<u64>]| {
        let come = |coming: &Coming, made: &Option<u64>| coming_as(*coming, &few, planned.duration, *made);
        let crowds = coming.iter().flat_map(|coming| operations.iter().map(move |made| come(coming, made)));
        let crowds: Vec<_> = crowds.collect();
        for (most, crowd) in counts.iter().flat_map(|most| crowds.iter().map(move |crowd| (*most, crowd))) {
            let plan = Scenario { faults: faults.to_vec(), ..with_customers(&simplest, crowd) };
            let candidate = simpler::with_counts(&plan, most, system);
            // The world may be no bigger than the smaller ones, and one customer comes in one order only.
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
    };
    let operations = if count == 1 { &SMALL_OPERATIONS[..] } else { &SMALL_OPERATIONS[..2] };
    add(&[], &SMALL_COUNTS, &[Together, InTurn], operations);
    let faults = &planned.faults;
    add(faults, &SMALL_COUNTS, &[Together, InTurn, AsPlanned], operations);
    if faults.len() > 1 {
        for fault in faults.chunks(1) {
            add(fault, &FEWER_COUNTS, &[Together, InTurn, AsPlanned], &[None]);
        }
    }
    candidates
}

/// The customers, coming differently within a load of this duration, and making so many operations.
fn coming_as(
    coming: Coming,
    customers: &[(String, Arrival)],
    load: Duration,
    operations: Option<u64>,
) -> Vec<(String, Arrival)> {
    let step = load / (customers.len() as u32 + 1);
    let moved = |(index, (journey, arrival)): (usize, &(String, Arrival))| {
        let at = match coming {
            Coming::Together => Duration::ZERO,
            Coming::InTurn => simpler::round(step * index as u32, 1),
            Coming::AsPlanned => arrival.at,
        };
        (journey.clone(), Arrival { at, operations, ..*arrival })
    };
    customers.iter().enumerate().map(moved).collect()
}

/// So many customers: those who are involved in the failure, else any, the first of them or, another time, others.
fn few(planned: &Scenario, involved: &[u64], count: usize, time: usize) -> Vec<(String, Arrival)> {
    let all = customers(planned);
    let is_involved =
        |arrival: &Arrival| arrival.customer.is_some_and(|customer| involved.contains(&customer));
    // Of those who are involved, the last ones: what fails, fails when they come.
    let (some, mut others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, arrival)| is_involved(arrival));
    let first = time * count.saturating_sub(some.len()) % others.len().max(1);
    others.rotate_left(first);
    some.into_iter().rev().chain(others).take(count).collect()
}

/// Two customers or a handful who come together, in small worlds. Beside those who are involved come others each time:
/// not all of them want what those want.
pub(super) fn small_crowds(
    planned: &Scenario,
    involved: &[u64],
    time: usize,
    system: &SystemVocabulary,
) -> Vec<Scenario> {
    let simplest = simpler::with_simplest(planned, system);
    let mut plans = Vec::new();
    for (count, most) in [(2, 1), (2, 2), (6, 1), (6, 3)] {
        let mut crowd = few(planned, involved, count, time);
        crowd
            .iter_mut()
            .for_each(|(_, arrival)| *arrival = Arrival { at: Duration::ZERO, operations: None, ..*arrival });
        let plan = Scenario { faults: Vec::new(), ..with_customers(&simplest, &crowd) };
        plans.push(simpler::with_counts(&plan, most, system));
    }
    plans
}

/// How far from each other customers do what they do in the same instant, in microseconds.
const APART_US: [u64; 4] = [0, 500, 1000, 2000];

/// The plan with its customers coming so that, for each operation that all of them make, they make it together.
pub(super) fn meetings(plan: &Scenario, history: &History) -> Vec<Scenario> {
    let customers = customers(plan);
    // When each made an operation first, by its name.
    let mut made: BTreeMap<&'static str, BTreeMap<u64, Duration>> = BTreeMap::new();
    history.with_operations(|operations| {
        for operation in operations {
            made.entry(operation.name).or_default().entry(operation.process).or_insert(operation.invoked);
        }
    });
    let by_all = made.into_values().filter(|when| when.len() == customers.len());
    let mut plans = Vec::new();
    for when in by_all {
        let Some(last) = when.values().max().copied() else { continue };
        for apart in APART_US {
            let mut moved = customers.clone();
            for (index, (_, arrival)) in moved.iter_mut().enumerate() {
                let made = arrival.customer.and_then(|customer| when.get(&customer)).copied().unwrap_or(last);
                arrival.at += last - made + Duration::from_micros(apart * index as u64);
            }
            plans.push(with_customers(plan, &moved));
        }
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::{Setting, Size, Vocabulary};

    const SCENARIO: &str = r#"
        name = "shop"
        system = "shop"
        about = "Three faults and three customers, written out."
        duration = "10s"
        settle = "1m"
        load.journey.buy = { arrive = [{ at = "10ms", customer = 1 }, { at = "20ms", customer = 2 }, { at = "30ms", customer = 3 }] }
        settings.trains = 8
        fault = [
            { at = "1s", for = "2s", kind = "pause", on = ["order-1"] },
            { at = "2s", kind = "reset-connections", sides = [["order-1"], ["*"]] },
            { at = "3s", for = "1s", kind = "lossy-link", on = ["order-2"], loss = 0.1 },
        ]
    "#;

    fn shop() -> SystemVocabulary {
        let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        SystemVocabulary {
            name: "shop".to_owned(),
            journeys: text(&["buy"]),
            hosts: text(&["order-1", "order-2"]),
            settings: vec![
                Setting::integer("trains", 4, 1..=16, "trains"),
                Setting::share("look_first", 0.5, "who look first").simplest(Value::Number(0.0)),
            ],
            ..SystemVocabulary::default()
        }
    }

    #[test]
    fn the_smallest_plans_are_all_different_and_try_each_fault_by_itself() {
        let system = shop();
        let known = Vocabulary { systems: vec![system.clone()] };
        let planned = scenarios::parse("shop.toml", SCENARIO, &known, Size::Full, &[])
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((planned.faults.len(), planned.settings.number("look_first")), (3, 0.5));
        for count in [1, 2] {
            let plans = smallest_plans(&planned, &[3], count, &system);
            for (index, plan) in plans.iter().enumerate() {
                assert!(!plans[..index].contains(plan), "twice: {plan:?}");
                assert_eq!(customers(plan).len(), count);
                assert!(customers(plan).iter().any(|(_, arrival)| arrival.customer == Some(3)), "{plan:?}");
                assert_eq!(plan.settings.number("look_first"), 0.0, "who looks first tells more");
                assert!(simpler::is_valid(plan, &system), "{plan:?}");
            }
            for faults in planned.faults.chunks(1).chain([&[][..], &planned.faults]) {
                assert!(plans.iter().any(|plan| plan.faults == faults), "{faults:?}");
            }
            let trains: Vec<i64> = plans.iter().map(|plan| plan.settings.integer("trains")).collect();
            assert!([1, 2, 4, 8].iter().all(|count| trains.contains(count)), "{trains:?}");
        }
    }
}
