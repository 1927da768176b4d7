//! The same seed gives the same run; another seed gives another.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use world::sim::{self, Config, Outcome};
use world::{host, rand, task, time};

use crate::support::{busy_clients, echo, serve};

/// A small busy world: a server echoes, clients wait, draw, and iterate a hash map.
fn busy(seed: u64) -> Outcome<Vec<u64>> {
    sim::run(Config::new(seed), || async {
        serve("server", echo);
        busy_clients(20).await
    })
}

#[test]
fn a_seed_replays_to_the_bit() {
    for seed in 0..10 {
        let (first, second) = (busy(seed), busy(seed));
        assert_eq!(first.result, second.result, "seed {seed}");
        assert_eq!(first.fingerprint, second.fingerprint, "seed {seed}");
        assert_eq!(first.simulated, second.simulated, "seed {seed}");
        assert_eq!(first.checkpoints, second.checkpoints, "seed {seed}");
    }
}

#[test]
fn other_seeds_give_other_runs() {
    let fingerprints: BTreeSet<u128> = (0..50).map(|seed| busy(seed).fingerprint).collect();
    assert_eq!(fingerprints.len(), 50);
}

#[test]
fn seeds_explore_interleavings() {
    let order = |seed| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&order);
        let outcome = sim::run(Config::new(seed), move || async move {
            let tasks: Vec<_> = (0..3)
                .map(|number| {
                    let order = Arc::clone(&written);
                    task::spawn(async move {
                        for _ in 0..5 {
                            order.lock().expect("not poisoned").push(number);
                            task::yield_now().await;
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
    let orders: BTreeSet<Vec<i32>> = (0..100).map(order).collect();
    assert!(orders.len() >= 95, "only {} different interleavings in 100 seeds", orders.len());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "third-party code calls them: they must be simulated")]
fn the_standard_clocks_are_simulated() {
    let outcome = sim::run(Config::new(1), || async {
        let (instant, system) = (std::time::Instant::now(), std::time::SystemTime::now());
        time::sleep(Duration::from_secs(86_400)).await;
        let since_1970 = system.duration_since(UNIX_EPOCH).expect("after 1970");
        (instant.elapsed(), system.elapsed().expect("the clock moves on"), since_1970)
    });
    let day = Duration::from_secs(86_400);
    assert_eq!(outcome.result, Ok((day, day, Duration::from_secs(1_767_225_600))));
    assert_eq!(outcome.simulated, day);
    assert!(outcome.wall < Duration::from_secs(10));
}

#[test]
fn another_host_does_not_change_the_randomness_of_the_first() {
    let draw = |with_other: bool| {
        sim::run(Config::new(5), move || async move {
            if with_other {
                host::add("other", || async {
                    rand::u64();
                });
            }
            let one = host::add("one", || async {});
            one.spawn(async { (rand::u64(), rand::range(0..10), rand::chance(0.5)) }).await.expect("runs")
        })
        .result
    };
    assert_eq!(draw(false), draw(true));
}

#[test]
fn a_trace_writes_out_the_marks_asked_for() {
    let run = || {
        sim::run(Config { trace: 10..15, ..Config::new(3) }, || async {
            for _ in 0..20 {
                time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    let trace = run().trace;
    assert_eq!(trace.len(), 5);
    assert!(trace[0].starts_with("10 "), "{trace:?}");
    assert_eq!(trace, run().trace);
}
