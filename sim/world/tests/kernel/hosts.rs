//! Hosts that pause, die and come back.

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::net::{TcpListener, TcpStream};
use world::sim;
use world::task::JoinError;
use world::time::Instant;
use world::{host, task, time};

use crate::support::under_every_strategy;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_paused_host_does_nothing_and_its_timers_fire_late() {
    under_every_strategy(|| async {
        let host = host::add("host", || async {});
        let slept = host.spawn(async {
            time::sleep(SECOND).await;
            (sim::elapsed(), Instant::now())
        });
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&ticks);
        host.spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                task::yield_now().await;
                time::sleep(SECOND / 10).await;
            }
        });
        time::sleep(SECOND / 2).await;
        host.pause();
        assert!(host.is_paused() && host.is_up());
        let before = ticks.load(Ordering::Relaxed);
        // Also what is started there meanwhile waits.
        let started = host.spawn(async { sim::elapsed() });
        time::sleep(10 * SECOND).await;
        assert_eq!(ticks.load(Ordering::Relaxed), before);
        host.resume();
        let (woken, instant) = slept.await.expect("sleeps");
        assert_eq!((woken, instant), (10 * SECOND + SECOND / 2, Instant::now()));
        assert_eq!(started.await, Ok(10 * SECOND + SECOND / 2));
        time::sleep(SECOND).await;
        assert!(ticks.load(Ordering::Relaxed) > before);
    });
}

#[test]
fn the_network_stack_of_a_paused_host_accepts_bytes() {
    under_every_strategy(|| async {
        let read = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&read);
        let server = host::add("server", move || {
            let read = Arc::clone(&keep);
            async move {
                let listener = TcpListener::bind("0.0.0.0:80").await.expect("free");
                while let Ok((mut stream, _)) = listener.accept().await {
                    let read = Arc::clone(&read);
                    task::spawn(async move {
                        while let Ok(byte) = stream.read_u8().await {
                            read.lock().expect("not poisoned").push((byte, sim::elapsed()));
                        }
                    });
                }
            }
        });
        time::sleep(SECOND).await;
        server.pause();
        let mut stream = TcpStream::connect("server:80").await.expect("the backlog takes it");
        stream.write_all(b"abc").await.expect("the window takes it");
        time::sleep(SECOND).await;
        assert!(read.lock().expect("not poisoned").is_empty());
        server.resume();
        let resumed = sim::elapsed();
        time::sleep(SECOND / 10).await;
        let expected: Vec<(u8, Duration)> = b"abc".iter().map(|byte| (*byte, resumed)).collect();
        assert_eq!(*read.lock().expect("not poisoned"), expected);
    });
}

#[test]
fn a_host_can_die_while_it_is_paused() {
    for kill in [false, true] {
        under_every_strategy(move || async move {
            let host = host::add("host", || async {});
            let stuck = host.spawn(pending::<()>());
            let ready = host.spawn(async {});
            host.pause();
            if kill {
                host.kill();
            } else {
                host.crash();
            }
            assert_eq!(stuck.await, Err(JoinError::Cancelled));
            assert_eq!(ready.await, Err(JoinError::Cancelled));
            assert!(!host.is_paused() && !host.is_up());
            host.boot();
            assert_eq!(host.spawn(async { 7 }).await, Ok(7));
        });
    }
}

#[test]
fn a_host_that_pauses_itself_stops_at_its_next_wait() {
    under_every_strategy(|| async {
        let host = host::add("host", || async {});
        let paused = host.spawn(async {
            host::current().pause();
            let before = sim::elapsed();
            task::yield_now().await;
            (before, sim::elapsed())
        });
        time::sleep(SECOND).await;
        host.resume();
        assert_eq!(paused.await, Ok((Duration::ZERO, SECOND)));
    });
}

#[test]
fn what_does_not_apply_does_nothing() {
    under_every_strategy(|| async {
        let director = host::current();
        director.pause();
        director.kill();
        director.crash();
        assert!(director.is_up() && !director.is_paused());
        let host = host::add("host", || async {});
        host.resume();
        host.kill();
        host.kill();
        host.pause();
        assert!(!host.is_paused());
        host.resume();
        // A machine whose processes are gone can still lose power; what is dead cannot be killed.
        host.crash();
        host.kill();
        host.boot();
        host.boot();
        assert!(host.is_up());
    });
}
