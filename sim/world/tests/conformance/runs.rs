//! Runs: seeds, randomness, verification.

use std::collections::BTreeSet;

use world::engines::EngineKind;
use world::sim::{self, Config, Outcome, Strategy};
use world::{host, rand, task};

use crate::support::busy_clients;
use crate::{Check, Seen, echo, outcome, seen, serve, unsupported};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("a seed gives the same run", same_run),
    ("another seed gives another run", other_runs),
    ("randomness of hosts", randomness),
    ("mutants", mutants),
    ("strategies of scheduling", strategies),
    ("recording and replay of choices", recording),
];

#[test]
fn runs_conform() {
    crate::conform(CHECKS);
}

/// A small busy world.
fn busy(engine: EngineKind, seed: u64) -> Outcome<Vec<u64>> {
    sim::run(Config { engine, ..Config::new(seed) }, || async {
        serve("server", echo).await;
        busy_clients(10).await
    })
}

fn same_run(engine: EngineKind) -> Seen {
    for seed in 0..3 {
        let (first, second) = (busy(engine, seed), busy(engine, seed));
        let alike = (&first.result, first.fingerprint, first.simulated, &first.checkpoints)
            == (&second.result, second.fingerprint, second.simulated, &second.checkpoints);
        if !alike {
            return seen("no: real time and real sockets differ every time");
        }
    }
    Ok(())
}

fn other_runs(engine: EngineKind) -> Seen {
    let fingerprints: BTreeSet<u128> = (0..8).map(|seed| busy(engine, seed).fingerprint).collect();
    if fingerprints.len() == 8 {
        Ok(())
    } else {
        Err(format!("{} fingerprints of 8 seeds", fingerprints.len()))
    }
}

fn randomness(engine: EngineKind) -> Seen {
    let draw = |seed| {
        let outcome = sim::run(Config { engine, ..Config::new(seed) }, || async {
            host::add("one", || async {}).spawn(async { (rand::u64(), rand::range(0..1000)) }).await
        });
        outcome.result.expect("runs").expect("up")
    };
    if draw(5) == draw(5) && draw(5) != draw(6) { Ok(()) } else { seen("not by the seed") }
}

fn mutants(engine: EngineKind) -> Seen {
    let with = |names: &[&str]| {
        let mutants = names.iter().map(ToString::to_string).collect();
        sim::run(Config { engine, mutants, ..Config::new(1) }, || async { world::mutant!("a.b") }).result
    };
    if (with(&[]), with(&["a.b"])) == (Ok(false), Ok(true)) { Ok(()) } else { seen("not as switched") }
}

fn strategies(engine: EngineKind) -> Seen {
    let strategy = Strategy::Pct { depth: 3, steps: 100 };
    let outcome = sim::run(Config { engine, strategy, ..Config::new(1) }, || async {
        task::yield_now().await;
    });
    assert_eq!(outcome.result, Ok(()));
    unsupported(&outcome.unsupported)
}

fn recording(engine: EngineKind) -> Seen {
    let outcome = sim::run(Config { engine, record: true, ..Config::new(1) }, || async { rand::u64() });
    assert!(outcome.result.is_ok());
    unsupported(&outcome.unsupported)
}

#[test]
fn an_engine_that_the_build_lacks_is_refused_with_a_reason() {
    for engine in EngineKind::ALL {
        let outcome = outcome(engine, || async {});
        match engine.check() {
            Ok(()) => assert_eq!(outcome.result, Ok(()), "{engine}"),
            Err(unavailable) => {
                assert_eq!(outcome.result, Err(sim::RunError::EngineUnavailable(unavailable)));
            }
        }
    }
}
