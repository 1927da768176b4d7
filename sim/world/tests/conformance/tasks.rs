//! Tasks.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use world::engines::EngineKind;
use world::sim::{self, Config, RunError};
use world::task::JoinError;
use world::{host, task, time};

use crate::{Check, Seen, outcome, play, seen};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("join and abort", join_and_abort),
    ("panics", panics),
    ("interleavings", interleavings),
    ("deadlock", deadlock),
    ("deadlock beside an open socket", deadlock_with_socket),
];

#[test]
fn tasks_conform() {
    crate::conform(CHECKS);
}

fn join_and_abort(engine: EngineKind) -> Seen {
    play(engine, || async {
        let value = task::spawn(async { 5 }).await;
        let aborted = task::spawn(pending::<()>());
        aborted.abort();
        let elsewhere = host::add("elsewhere", || async {}).spawn(pending::<()>());
        elsewhere.abort();
        let down = host::add("down", || async {});
        down.crash();
        let joined = (value, aborted.await, elsewhere.await, down.spawn(async {}).await);
        let cancelled = Err(JoinError::Cancelled);
        if joined == (Ok(5), cancelled, cancelled, cancelled) { Ok(()) } else { Err(format!("{joined:?}")) }
    })
}

fn panics(engine: EngineKind) -> Seen {
    let outcome = outcome(engine, || async {
        let machine = host::add("machine", || async {});
        let ended = machine.spawn(async { panic!("seat {} is gone", 12) }).await;
        time::sleep(Duration::from_millis(5)).await;
        ended
    });
    assert_eq!(outcome.result, Ok(Err(JoinError::Panicked)));
    assert_eq!(outcome.panics.len(), 1, "{:?}", outcome.panics);
    let panic = &outcome.panics[0];
    let as_told = panic.host == "machine"
        && panic.message.starts_with("seat 12 is gone (")
        && panic.message.contains("tasks.rs");
    let main = sim::run(Config { engine, ..Config::new(1) }, || async { panic!("no timetable") });
    let main =
        matches!(main.result, Err(RunError::MainPanicked(message)) if message.starts_with("no timetable ("));
    if as_told && main { Ok(()) } else { Err(format!("{panic:?} {main}")) }
}

fn interleavings(engine: EngineKind) -> Seen {
    let order = |seed| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&order);
        let outcome = sim::run(Config { engine, ..Config::new(seed) }, move || async move {
            let tasks = [0, 1, 2].map(|number| {
                let order = Arc::clone(&written);
                task::spawn(async move {
                    for _ in 0..5 {
                        order.lock().expect("not poisoned").push(number);
                        task::yield_now().await;
                    }
                })
            });
            for task in tasks {
                task.await.expect("does not panic");
            }
        });
        assert_eq!(outcome.result, Ok(()));
        Arc::try_unwrap(order).expect("the run is over").into_inner().expect("not poisoned")
    };
    let orders: BTreeSet<Vec<i32>> = (0..30).map(order).collect();
    match orders.len() {
        25.. => Ok(()),
        1 => seen("one order only, whatever the seed"),
        other => Err(format!("{other} orders in 30 seeds")),
    }
}

fn deadlock(engine: EngineKind) -> Seen {
    let outcome = outcome(engine, || async {
        let machine = host::add("machine", pending::<()>);
        machine.spawn(pending::<()>()).await
    });
    match outcome.result {
        Err(RunError::Deadlock(tasks)) if tasks.len() == 3 => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn deadlock_with_socket(engine: EngineKind) -> Seen {
    let outcome = outcome(engine, move || async move {
        let listener = world::net::TcpListener::bind("0.0.0.0:80").await.expect("free");
        if engine == EngineKind::Tokio {
            // Ends the run that would not end.
            let waited = time::timeout(Duration::from_secs(1), listener.accept()).await;
            return waited.is_err();
        }
        listener.accept().await.is_err()
    });
    match outcome.result {
        Err(RunError::Deadlock(_)) => Ok(()),
        Ok(true) if engine == EngineKind::Tokio => seen("never noticed"),
        other => Err(format!("{other:?}")),
    }
}
