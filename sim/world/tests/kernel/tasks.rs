//! Tasks, timers and hosts: the executor's own promises.

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use world::sim::{self, Config, RunError};
use world::task::JoinError;
use world::time::Instant;
use world::{host, task, time};

use crate::support::simulate;

/// Counts how often it is dropped.
struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn sleeps_end_in_order_and_on_the_nanosecond() {
    simulate(|| async {
        let ends = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = [3_000_000_007_u64, 1, 2_500]
            .map(|ns| {
                let ends = Arc::clone(&ends);
                task::spawn(async move {
                    time::sleep(Duration::from_nanos(ns)).await;
                    ends.lock().expect("not poisoned").push(sim::elapsed().as_nanos());
                })
            })
            .into();
        for task in tasks {
            task.await.expect("ends");
        }
        assert_eq!(*ends.lock().expect("not poisoned"), [1, 2_500, 3_000_000_007]);
    });
}

#[test]
fn a_timeout_ends_what_takes_too_long_and_only_that() {
    simulate(|| async {
        let slow = time::timeout(Duration::from_millis(5), time::sleep(Duration::from_millis(6))).await;
        assert!(slow.is_err());
        let quick = time::timeout(Duration::from_millis(5), async { 7 }).await;
        assert_eq!(quick, Ok(7));
        assert_eq!(sim::elapsed(), Duration::from_millis(5));
    });
}

#[test]
fn an_interval_keeps_its_period() {
    simulate(|| async {
        let start = Instant::now();
        let mut interval = time::interval(Duration::from_secs(1));
        let mut ticks = Vec::new();
        for _ in 0..4 {
            ticks.push((interval.tick().await - start).as_secs());
            time::sleep(Duration::from_millis(300)).await;
        }
        assert_eq!(ticks, [0, 1, 2, 3]);
    });
}

#[test]
fn cancelled_timers_neither_move_the_clock_nor_stay() {
    let outcome = sim::run(Config::new(1), || async {
        for _ in 0..100_000 {
            let waiting = time::timeout(Duration::from_secs(3_600), task::yield_now());
            waiting.await.expect("yields at once");
        }
    });
    assert_eq!(outcome.simulated, Duration::ZERO);
}

#[test]
fn a_crash_drops_tasks_without_running_them_on() {
    simulate(|| async {
        let (drops, steps) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (task_drops, task_steps) = (Arc::clone(&drops), Arc::clone(&steps));
        let machine = host::add("machine", move || {
            let (guard, steps) = (Dropped(Arc::clone(&task_drops)), Arc::clone(&task_steps));
            async move {
                let _guard = guard;
                steps.fetch_add(1, Ordering::Relaxed);
                time::sleep(Duration::from_secs(1)).await;
                steps.fetch_add(100, Ordering::Relaxed);
            }
        });
        time::sleep(Duration::from_millis(500)).await;
        machine.crash();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        time::sleep(Duration::from_secs(5)).await;
        assert_eq!(steps.load(Ordering::Relaxed), 1);
        machine.boot();
        time::sleep(Duration::from_secs(5)).await;
        assert_eq!((steps.load(Ordering::Relaxed), drops.load(Ordering::Relaxed)), (102, 2));
    });
}

#[test]
fn destructors_cannot_start_anything_on_a_crashed_host() {
    struct Spawns;
    impl Drop for Spawns {
        fn drop(&mut self) {
            let handle = task::spawn(async { panic!("runs on a host that is down") });
            assert!(handle.is_finished());
        }
    }
    let outcome = sim::run(Config::new(1), || async {
        let machine = host::add("machine", || async {
            let _guard = Spawns;
            pending::<()>().await;
        });
        task::yield_now().await;
        time::sleep(Duration::from_millis(1)).await;
        machine.crash();
        time::sleep(Duration::from_millis(1)).await;
    });
    assert_eq!((outcome.result, outcome.panics), (Ok(()), Vec::new()));
}

#[test]
fn a_host_may_crash_itself() {
    simulate(|| async {
        let drops = Arc::new(AtomicU32::new(0));
        let machine = host::add("machine", || async {});
        let guard = Dropped(Arc::clone(&drops));
        let handle = machine.spawn(async move {
            let _guard = guard;
            host::current().crash();
            time::sleep(Duration::from_millis(1)).await;
            unreachable!("a crashed host does not run on");
        });
        assert_eq!(handle.await, Err(JoinError::Cancelled));
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn join_handles_tell_how_a_task_ended() {
    let outcome = sim::run(Config::new(1), || async {
        let value = task::spawn(async { 5 }).await;
        let aborted = task::spawn(pending::<()>());
        aborted.abort();
        let panicked = task::spawn(async { panic!("seat {} is gone", 12) });
        let down = host::add("down", || async {});
        down.crash();
        (value, aborted.await, panicked.await, down.spawn(async {}).await)
    });
    let expected = (Ok(5), Err(JoinError::Cancelled), Err(JoinError::Panicked), Err(JoinError::Cancelled));
    assert_eq!(outcome.result, Ok(expected));
    assert_eq!(outcome.panics.len(), 1);
    assert_eq!(outcome.panics[0].host, "director");
    assert!(outcome.panics[0].message.starts_with("seat 12 is gone ("), "{:?}", outcome.panics);
    assert!(outcome.panics[0].message.contains("tasks.rs"), "{:?}", outcome.panics);
}

#[test]
fn wakers_that_outlive_their_task_are_harmless() {
    simulate(|| async {
        let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
        let keeper = Arc::clone(&kept);
        let first = task::spawn(poll_fn(move |context| {
            *keeper.lock().expect("not poisoned") = Some(context.waker().clone());
            Poll::Ready(())
        }));
        first.await.expect("ends");
        // The next task takes the slot; the stale waker must not wake it.
        let polls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&polls);
        let _second = task::spawn(poll_fn(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Poll::<()>::Pending
        }));
        task::yield_now().await;
        time::sleep(Duration::from_millis(1)).await;
        kept.lock().expect("not poisoned").take().expect("kept").wake();
        time::sleep(Duration::from_millis(1)).await;
        assert_eq!(polls.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn waiting_for_nothing_is_a_deadlock() {
    let outcome = sim::run(Config::new(1), pending::<()>);
    assert!(matches!(outcome.result, Err(RunError::Deadlock(_))), "{:?}", outcome.result);
}

#[test]
fn a_panic_of_the_main_task_is_a_result() {
    let outcome = sim::run(Config::new(1), || async { panic!("no timetable") });
    let Err(RunError::MainPanicked(message)) = outcome.result else { panic!("{:?}", outcome.result) };
    assert!(message.starts_with("no timetable ("), "{message}");
}

#[test]
fn mutants_are_off_unless_switched_on() {
    let with = |names: &[&str]| {
        let mutants = names.iter().map(ToString::to_string).collect();
        sim::run(Config { mutants, ..Config::new(1) }, || async { world::mutant!("a.b") }).result
    };
    assert_eq!((with(&[]), with(&["a.c"]), with(&["a.b"])), (Ok(false), Ok(false), Ok(true)));
    assert!(!world::mutant!("a.b"), "never outside a simulation");
}
