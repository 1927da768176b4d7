//! What tasks do wrong ends as a finding with its task and its time; the executor itself stays whole.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use world::host::{self, Host};
use world::net::{TcpListener, TcpStream};
use world::sim::{self, Config, Outcome, RunError, WaitingTask, WaitsFor};
use world::task::{self, JoinError};
use world::time;

use crate::support::under_every_strategy;

const SECOND: Duration = Duration::from_secs(1);

/// Calls a function when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

async fn idle_host(name: &str) -> Host {
    let host = host::add(name, || async {});
    task::yield_now().await;
    host
}

#[test]
fn a_destructor_may_wake_spawn_abort_and_crash() {
    under_every_strategy(|| async {
        let host = idle_host("host").await;
        let woken = Arc::new(AtomicU32::new(0));
        let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
        let (count, slot) = (Arc::clone(&woken), Arc::clone(&waker));
        let sleeper = task::spawn(poll_fn(move |context| {
            *slot.lock().expect("not poisoned") = Some(context.waker().clone());
            if count.fetch_add(1, Ordering::Relaxed) == 1 { Poll::Ready(()) } else { Poll::Pending }
        }));
        let other = Arc::new(host.spawn(pending::<()>()));
        let seen = Arc::clone(&other);
        let victim = host.spawn(async move {
            let _guard = OnDrop(move || {
                if let Some(waker) = waker.lock().expect("not poisoned").take() {
                    waker.wake();
                }
                seen.abort();
                drop(host.spawn(async {}));
                host.crash();
                host.boot();
            });
            pending::<()>().await;
        });
        time::sleep(SECOND).await;
        victim.abort();
        assert_eq!(victim.await, Err(JoinError::Cancelled));
        assert_eq!(sleeper.await, Ok(()));
        assert!(other.is_finished() && host.is_up());
        assert_eq!(host.spawn(async { 1 }).await, Ok(1));
    });
}

#[test]
fn a_kill_during_a_poll_and_spawns_during_the_kill() {
    under_every_strategy(|| async {
        let host = idle_host("host").await;
        let refused = Arc::new(AtomicU32::new(0));
        let guard = || {
            let refused = Arc::clone(&refused);
            OnDrop(move || {
                let task = task::spawn(async { unreachable!("its host is down") });
                refused.fetch_add(u32::from(task.is_finished()), Ordering::Relaxed);
            })
        };
        let (first, second) = (guard(), guard());
        let other = host.spawn(async move {
            let _guard = first;
            pending::<()>().await;
        });
        let suicide = host.spawn(async move {
            let _guard = second;
            task::yield_now().await;
            host::current().kill();
            assert!(!host::current().is_up());
            assert!(task::spawn(async {}).is_finished());
            task::yield_now().await;
            unreachable!("a killed task does not run on");
        });
        assert_eq!(suicide.await, Err(JoinError::Cancelled));
        assert_eq!(other.await, Err(JoinError::Cancelled));
        assert_eq!(refused.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_slot_that_is_used_again_belongs_to_its_new_task() {
    under_every_strategy(|| async {
        let stale: Arc<Mutex<Vec<Waker>>> = Arc::default();
        for round in 0..50 {
            let keep = Arc::clone(&stale);
            let first = task::spawn(poll_fn(move |context| {
                keep.lock().expect("not poisoned").push(context.waker().clone());
                Poll::Ready(())
            }));
            first.await.expect("ends");
            let polls = Arc::new(AtomicU32::new(0));
            let counted = Arc::clone(&polls);
            let second = task::spawn(poll_fn(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                Poll::<()>::Pending
            }));
            time::sleep(Duration::from_nanos(1)).await;
            stale.lock().expect("not poisoned").iter().for_each(Waker::wake_by_ref);
            time::sleep(Duration::from_nanos(1)).await;
            assert_eq!(polls.load(Ordering::Relaxed), 1, "round {round}");
            second.abort();
        }
    });
}

#[test]
fn wakers_outlive_their_simulation_and_their_thread() {
    let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
    let slot = Arc::clone(&waker);
    let outcome = sim::run(Config::new(1), move || {
        poll_fn(move |context| {
            *slot.lock().expect("not poisoned") = Some(context.waker().clone());
            Poll::Ready(())
        })
    });
    assert_eq!(outcome.result, Ok(()));
    waker.lock().expect("not poisoned").take().expect("kept").wake();
}

#[test]
fn panics_are_findings_with_host_time_and_place() {
    let outcome = sim::run(Config::new(1), || async {
        let host = idle_host("seller").await;
        time::sleep(SECOND).await;
        let task = host.spawn(async { panic!("sold twice") });
        assert_eq!(task.await, Err(JoinError::Panicked));
        // In a destructor: of a task that ends, that is aborted, and whose host crashes.
        let guard = || OnDrop(|| panic!("cannot be dropped"));
        let (first, second, third) = (guard(), guard(), guard());
        let aborted = host.spawn(async move {
            let _guard = first;
            pending::<()>().await;
        });
        host.spawn(async move {
            let _guard = second;
            pending::<()>().await;
        });
        time::sleep(SECOND).await;
        aborted.abort();
        host.crash();
        let down = host.spawn(async move {
            let _guard = third;
        });
        assert!(down.is_finished());
        host.boot();
        host.spawn(async { 5 }).await
    });
    assert_eq!(outcome.result, Ok(Ok(5)));
    let found: Vec<(&str, u64, &str)> = outcome
        .panics
        .iter()
        .map(|p| (p.host.as_str(), p.at.as_secs(), p.message.split(" (").next().expect("a text")))
        .collect();
    let cannot = "cannot be dropped";
    let expected =
        [("seller", 1, "sold twice"), ("seller", 2, cannot), ("seller", 2, cannot), ("seller", 2, cannot)];
    assert_eq!(found, expected);
    assert!(outcome.panics.iter().all(|p| p.spawned_at.contains("robustness.rs")), "{:?}", outcome.panics);
}

#[test]
fn panics_that_a_task_catches_itself_are_its_own() {
    let outcome = sim::run(Config::new(1), || async {
        for _ in 0..100 {
            let caught = std::panic::catch_unwind(|| panic!("inner"));
            assert!(caught.is_err());
        }
        task::spawn(async { panic!("outer") }).await
    });
    assert_eq!(outcome.result, Ok(Err(JoinError::Panicked)));
    assert!(
        outcome.panics.len() == 1 && outcome.panics[0].message.starts_with("outer ("),
        "{:?}",
        outcome.panics
    );
}

#[test]
fn a_panic_while_another_unwinds_does_not_abort_the_process() {
    let outcome: Outcome<()> = sim::run(Config::new(1), || async {
        let host = idle_host("seller").await;
        time::sleep(SECOND).await;
        let task = host.spawn(async {
            let _guard = OnDrop(|| panic!("second"));
            panic!("first");
        });
        let _ = task.await;
    });
    let Err(RunError::Aborted(panic)) = outcome.result else { panic!("{:?}", outcome.result) };
    assert_eq!((panic.host.as_str(), panic.at), ("seller", SECOND));
    assert!(panic.spawned_at.contains("robustness.rs"), "{panic:?}");
    assert!(panic.message.starts_with("first (") && panic.message.contains("then second ("), "{panic:?}");
}

#[test]
fn a_task_that_never_yields_is_named_by_the_watchdog() {
    let config = Config { watchdog: Some(Duration::from_millis(200)), ..Config::new(1) };
    // The thread that is left behind must not keep a core from the tests beside this one.
    let is_given_up = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_given_up);
    let outcome: Outcome<()> = sim::run(config, || async move {
        let host = idle_host("seller").await;
        time::sleep(SECOND).await;
        let _ = host
            .spawn(async move {
                while !ends.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
            .await;
    });
    is_given_up.store(true, Ordering::Relaxed);
    let Err(RunError::Stuck { host, spawned_at, at, waited }) = outcome.result else {
        panic!("{:?}", outcome.result)
    };
    assert_eq!((host.as_str(), at), ("seller", SECOND));
    assert!(spawned_at.contains("robustness.rs"), "{spawned_at}");
    assert!(waited >= Duration::from_millis(200));
}

#[test]
fn the_watchdog_lets_long_runs_be() {
    let config = Config { watchdog: Some(Duration::from_secs(1)), ..Config::new(1) };
    let outcome = sim::run(config, || async {
        for _ in 0..4_000_000 {
            task::yield_now().await;
        }
    });
    assert_eq!(outcome.result, Ok(()));
}

fn deadlock<F, Fut>(main: F) -> Vec<WaitingTask>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    match sim::run(Config::new(1), main).result {
        Err(RunError::Deadlock(tasks)) => tasks,
        other => panic!("no deadlock: {other:?}"),
    }
}

/// What the tasks of a host wait for, in the order of their start.
fn waits_of(tasks: &[WaitingTask], host: &str) -> Vec<Vec<WaitsFor>> {
    tasks.iter().filter(|task| task.host == host).map(|task| task.waits_for.clone()).collect()
}

#[test]
fn a_deadlock_names_what_each_task_waits_for() {
    let tasks = deadlock(|| async {
        let server = host::add("server", || async {
            let listener = TcpListener::bind("0.0.0.0:80").await.expect("free");
            let (mut stream, _) = listener.accept().await.expect("a client");
            task::spawn(async move {
                let _ = stream.write_all(&[0; 1 << 22]).await;
            });
            let _ = listener.accept().await;
        });
        time::sleep(SECOND).await;
        let client = host::add("client", || async {
            let mut stream = TcpStream::connect("server:80").await.expect("up");
            let _keep = stream.read_u8().await.expect("written");
            task::spawn(async { time::sleep(Duration::MAX).await });
            let (sender, mut receiver) = mpsc::channel::<()>(1);
            task::spawn(async move {
                let _sender = sender;
                receiver.recv().await;
            });
            let never = task::spawn(pending::<()>());
            let listener = TcpListener::bind("0.0.0.0:81").await.expect("free");
            let _ = tokio::join!(never, listener.accept());
        });
        time::sleep(SECOND).await;
        let paused = host::add("paused", || async {});
        paused.pause();
        assert!(server.is_up() && client.is_up());
        let _ = paused.spawn(async {}).await;
    });
    let address = |host: &str, port| -> SocketAddr { format!("10.0.0.{host}:{port}").parse().expect("one") };
    let server = waits_of(&tasks, "server");
    assert_eq!(server[0], [WaitsFor::Accept(Some(address("2", 80)))]);
    assert!(
        matches!(server[1][..], [WaitsFor::Write(Some(to))] if to.ip() == address("3", 0).ip()),
        "{server:?}"
    );
    let client = waits_of(&tasks, "client");
    // `join!` polls in any order.
    let ([WaitsFor::Join(site), WaitsFor::Accept(Some(on))]
    | [WaitsFor::Accept(Some(on)), WaitsFor::Join(site)]) = &client[0][..]
    else {
        panic!("{client:?}")
    };
    assert!(site.contains("robustness.rs") && *on == address("3", 81));
    assert_eq!(client[1..], [vec![WaitsFor::Timer], vec![WaitsFor::Other], vec![WaitsFor::Other]]);
    assert_eq!(waits_of(&tasks, "paused")[0], [WaitsFor::Resume]);
    assert!(matches!(waits_of(&tasks, "director")[0][..], [WaitsFor::Join(_)]));
    assert!(RunError::Deadlock(tasks).to_string().contains("waits for somebody to connect to 10.0.0.2:80"));
}

#[test]
fn a_lost_wake_is_told_from_a_wait() {
    let tasks = deadlock(|| async {
        let is_set = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&is_set);
        // Forgets to keep the waker.
        let forgetful =
            poll_fn(move |_| if seen.load(Ordering::Relaxed) == 1 { Poll::Ready(()) } else { Poll::Pending });
        let (_sender, receiver) = oneshot::channel::<()>();
        task::spawn(async move {
            forgetful.await;
        });
        task::yield_now().await;
        time::sleep(SECOND).await;
        is_set.store(1, Ordering::Relaxed);
        let _ = receiver.await;
    });
    assert_eq!(waits_of(&tasks, "director"), [vec![WaitsFor::Other], vec![WaitsFor::Wake]]);
}

#[test]
fn a_simulation_can_run_inside_another() {
    thread_local! {
        static CALLS: RefCell<u32> = const { RefCell::new(0) };
    }
    let outcome = sim::run(Config::new(1), || async {
        let inner = sim::run(Config::new(2), || async {
            time::sleep(SECOND).await;
            CALLS.with(|calls| *calls.borrow_mut() += 1);
        });
        (inner.result, sim::elapsed(), CALLS.with(|calls| *calls.borrow()))
    });
    assert_eq!(outcome.result, Ok((Ok(()), Duration::ZERO, 0)));
}
