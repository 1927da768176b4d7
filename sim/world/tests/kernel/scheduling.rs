//! Strategies find the races that they promise to find.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use world::sim::{self, Config, Strategy};
use world::{task, time};

/// Runs tasks of so many steps each; gives the order of the steps as (task, step).
fn order(strategy: Strategy, seed: u64, lengths: &[u32]) -> Vec<(usize, u32)> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let (written, lengths) = (Arc::clone(&order), lengths.to_vec());
    let outcome = sim::run(Config { strategy, ..Config::new(seed) }, move || async move {
        let tasks = lengths.into_iter().enumerate().map(|(task, length)| {
            let order = Arc::clone(&written);
            task::spawn(async move {
                for step in 0..length {
                    order.lock().expect("not poisoned").push((task, step));
                    task::yield_now().await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("does not panic");
        }
    });
    assert_eq!(outcome.result, Ok(()));
    Arc::try_unwrap(order).expect("the simulation is over").into_inner().expect("not poisoned")
}

/// In how many of so many seeds the steps were in the order for which `is_bug` holds.
fn found(
    strategy: Strategy,
    seeds: u64,
    lengths: &[u32],
    is_bug: impl Fn(&dyn Fn(usize, u32) -> usize) -> bool,
) -> u32 {
    let is_found = |seed| {
        let order = order(strategy, seed, lengths);
        let at = |task, step| order.iter().position(|done| *done == (task, step)).expect("every step runs");
        is_bug(&at)
    };
    (0..seeds).map(|seed| u32::from(is_found(seed))).sum()
}

#[test]
fn first_in_first_out_takes_turns_whatever_the_seed() {
    let turns = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)];
    for seed in 0..5 {
        assert_eq!(order(Strategy::Fifo, seed, &[2, 2, 2]), turns);
    }
}

/// Outside of its time there is one order whatever the seed, within it any.
#[test]
fn random_within_a_time_is_first_in_first_out_before_and_after_it() {
    let ms = Duration::from_millis;
    let strategy = Strategy::RandomWithin { from: ms(1), until: ms(2) };
    let rounds = |seed| {
        let order = Arc::new(Mutex::new(vec![Vec::new(); 3]));
        let written = Arc::clone(&order);
        let outcome = sim::run(Config { strategy, ..Config::new(seed) }, move || async move {
            let tasks: Vec<_> = (0..5)
                .map(|task| {
                    let order = Arc::clone(&written);
                    task::spawn(async move {
                        for round in 0..3 {
                            if round > 0 {
                                time::sleep(ms(1)).await;
                            }
                            order.lock().expect("not poisoned")[round].push(task);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("does not panic");
            }
        });
        assert_eq!(outcome.result, Ok(()));
        Arc::try_unwrap(order).expect("the simulation is over").into_inner().expect("not poisoned")
    };
    let mut within = BTreeSet::new();
    for seed in 0..20 {
        let [before, during, after] = &rounds(seed)[..] else { panic!("three rounds") };
        assert_eq!(before, &[0, 1, 2, 3, 4]);
        // What the disorder has turned round stays so: timers of one instant go off in the order in which they were set.
        assert_eq!(after, during);
        within.insert(during.clone());
    }
    assert!(within.len() > 10, "{within:?}");
}

/// One constraint: all 40 steps of one task come before the first of the other. Chance finds that once in 2⁴⁰ runs.
#[test]
fn pct_finds_bugs_of_depth_1_that_chance_does_not() {
    let is_bug = |at: &dyn Fn(usize, u32) -> usize| at(1, 39) < at(0, 0);
    assert_eq!(found(Strategy::Random, 200, &[1, 40], is_bug), 0);
    let pct = Strategy::Pct { depth: 1, steps: 50 };
    // Three tasks, the main task among them: at least a third of 200; half is what two competitors give.
    let hits = found(pct, 200, &[1, 40], is_bug);
    assert!((67..140).contains(&hits), "{hits} of 200");
}

/// Two constraints: one task runs whole between two given steps of the other. The paper promises 1 / (n · k).
#[test]
fn pct_finds_bugs_of_depth_2() {
    let is_bug = |at: &dyn Fn(usize, u32) -> usize| at(0, 10) < at(1, 0) && at(1, 19) < at(0, 11);
    let steps = 3 + 21 + 21;
    let hits = found(Strategy::Pct { depth: 2, steps }, 2_000, &[20, 20], is_bug);
    let promised = 2_000 / (3 * steps) as u32;
    assert!(hits >= promised, "{hits} of 2000, promised {promised}");
    assert_eq!(found(Strategy::Pct { depth: 1, steps }, 500, &[20, 20], is_bug), 0, "depth 1 cannot");
}

/// Three constraints, which switch between two tasks at given steps three times. The paper promises 1 / (n · k²).
#[test]
fn pct_finds_bugs_of_depth_3() {
    let is_bug =
        |at: &dyn Fn(usize, u32) -> usize| at(1, 2) < at(0, 0) && at(0, 2) < at(1, 3) && at(1, 4) < at(0, 3);
    let steps = 15;
    let hits = found(Strategy::Pct { depth: 3, steps }, 3_000, &[5, 5], is_bug);
    let promised = 3_000 / (3 * steps * steps) as u32;
    assert!(hits >= promised, "{hits} of 3000, promised {promised}");
}

#[test]
fn pct_starves_nobody_for_ever() {
    for seed in 0..20 {
        let strategy = Strategy::Pct { depth: 2, steps: 100 };
        let outcome = sim::run(Config { strategy, ..Config::new(seed) }, || async {
            let (is_set, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
            // Two tasks that wake each other in circles, one that spins, and the one that they wait for.
            let circle = [0, 1].map(|own| {
                let (is_set, turns) = (Arc::clone(&is_set), Arc::clone(&turns));
                task::spawn(async move {
                    while !is_set.load(Ordering::Relaxed) {
                        if turns.load(Ordering::Relaxed) % 2 == own {
                            turns.fetch_add(1, Ordering::Relaxed);
                        }
                        task::yield_now().await;
                    }
                })
            });
            task::spawn({
                let is_set = Arc::clone(&is_set);
                async move { is_set.store(true, Ordering::Relaxed) }
            });
            for task in circle {
                task.await.expect("ends");
            }
        });
        assert_eq!(outcome.result, Ok(()));
    }
}

#[test]
fn every_strategy_replays_by_seed_and_explores_by_seed() {
    let run = |strategy, seed| {
        let outcome = sim::run(Config { strategy, ..Config::new(seed) }, || async {
            let tasks: Vec<_> = (0..10_u64)
                .map(|number| {
                    task::spawn(async move {
                        for step in 0..10 {
                            time::sleep(Duration::from_nanos((number * 7 + step) % 3)).await;
                            task::yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("ends");
            }
        });
        assert_eq!(outcome.result, Ok(()));
        outcome.fingerprint
    };
    for (strategy, orders) in
        [(Strategy::Fifo, 1), (Strategy::Random, 20), (Strategy::Pct { depth: 3, steps: 200 }, 20)]
    {
        let fingerprints: BTreeSet<u128> = (0..20).map(|seed| run(strategy, seed)).collect();
        assert_eq!(fingerprints.len(), orders, "{strategy:?}");
        assert_eq!(run(strategy, 7), run(strategy, 7), "{strategy:?}");
    }
}
