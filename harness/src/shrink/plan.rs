//! Plans that are written out: each fault, each customer. The smallest ones that may fail the same way.

use std::collections::BTreeMap;
use std::time::Duration;

use record::history::History;
use scenarios::{Arrival, Arrivals, Journey, Scenario, Settings, SystemVocabulary, Value};

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
/// Their customers see it through, or leave early.
const SMALL_OPERATIONS: [Option<u64>; 4] = [Some(3), None, Some(4), Some(5)];

/// Plans of so many customers: those who are involved in the failure, else any; when they came, or together at the
/// begin, or one after the other; in worlds of several sizes; with the faults and without.
pub(super) fn smallest_plans(
    planned: &Scenario,
    involved: &[u64],
    count: usize,
    system: &SystemVocabulary,
) -> Vec<Scenario> {
    let few = few(planned, involved, count, 0);
    let step = planned.duration / (count as u32 + 1);
    let mut places: Vec<&dyn Fn(usize, Duration) -> Duration> = vec![&|_, _| Duration::ZERO];
    let one_by_one = |index: usize, _| simpler::round(step * index as u32, 1);
    if count > 1 {
        places.push(&one_by_one);
    }
    let as_they_came = |_, at| at;
    let mut candidates = Vec::new();
    for faults in [Vec::new(), planned.faults.clone()] {
        if !candidates.is_empty() {
            if faults.is_empty() {
                break;
            }
            // When they come matters beside faults.
            places.push(&as_they_came);
        }
        for (most, place) in
            SMALL_COUNTS.into_iter().flat_map(|most| places.iter().map(move |place| (most, place)))
        {
            for operations in if count == 1 { &SMALL_OPERATIONS[..] } else { &SMALL_OPERATIONS[..2] } {
                let customer = |(index, (journey, arrival)): (usize, &(String, Arrival))| {
                    let at = place(index, arrival.at);
                    (journey.clone(), Arrival { at, operations: *operations, ..*arrival })
                };
                let crowd: Vec<_> = few.iter().enumerate().map(customer).collect();
                let plan = Scenario { faults: faults.clone(), ..with_customers(planned, &crowd) };
                candidates.push(simpler::with_counts(&plan, most, system));
            }
        }
    }
    candidates
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
    let mut plans = Vec::new();
    for (count, most) in [(2, 1), (2, 2), (6, 1), (6, 3)] {
        let mut crowd = few(planned, involved, count, time);
        crowd
            .iter_mut()
            .for_each(|(_, arrival)| *arrival = Arrival { at: Duration::ZERO, operations: None, ..*arrival });
        let plan = Scenario { faults: Vec::new(), ..with_customers(planned, &crowd) };
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
