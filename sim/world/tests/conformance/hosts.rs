//! Hosts: crash, kill, boot, pause, clocks.

use std::future::pending;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::engines::EngineKind;
use world::host::Shift;
use world::net::TcpStream;
use world::task::JoinError;
use world::time::Instant;
use world::{host, sim, task, time};

use crate::{Check, Seen, asks, echo, outcome, play, seen, serve};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("crash: tasks", crash_drops_tasks),
    ("crash: the network falls silent", crash_is_silent),
    ("crash: connecting", crash_and_connect),
    ("kill: peers", kill_resets),
    ("kill: connecting", kill_refuses),
    ("boot", boot),
    ("crash and boot at once", boot_at_once),
    ("a host that crashes itself", own_crash),
    ("what destructors start on a host that is down", destructors),
    ("pause", pause),
    ("clocks of hosts", clocks),
    ("`std`'s clocks on a host whose clocks differ", standard_clocks_differ),
];

#[test]
fn hosts_conform() {
    crate::conform(CHECKS);
}

const PATIENCE: Duration = Duration::from_millis(500);

/// Counts how often it is dropped.
struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn crash_drops_tasks(engine: EngineKind) -> Seen {
    play(engine, || async {
        let (drops, steps) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (task_drops, task_steps) = (Arc::clone(&drops), Arc::clone(&steps));
        let machine = host::add("machine", move || {
            let (guard, steps) = (Dropped(Arc::clone(&task_drops)), Arc::clone(&task_steps));
            async move {
                let _guard = guard;
                loop {
                    steps.fetch_add(1, Ordering::Relaxed);
                    time::sleep(Duration::from_millis(10)).await;
                }
            }
        });
        time::sleep(Duration::from_millis(55)).await;
        machine.crash();
        let (at_once, steps_then) = (drops.load(Ordering::Relaxed), steps.load(Ordering::Relaxed));
        assert!(steps_then > 0, "it ran before");
        time::sleep(Duration::from_millis(50)).await;
        assert_eq!(steps.load(Ordering::Relaxed), steps_then, "nothing runs on");
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        if at_once == 1 {
            Ok(())
        } else {
            seen("they stand still at once and are dropped at the end of the tick")
        }
    })
}

/// What the peer of a host that goes down reads.
async fn read_after(stream: &mut TcpStream) -> Result<(), ErrorKind> {
    match time::timeout(PATIENCE, stream.read_u8()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.kind()),
        Err(_) => Err(ErrorKind::TimedOut),
    }
}

fn crash_is_silent(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        assert!(asks(&mut stream, PATIENCE).await);
        server.crash();
        let while_down = read_after(&mut stream).await;
        if while_down == Err(ErrorKind::UnexpectedEof) {
            return seen("peers read an end at once");
        }
        server.boot();
        time::sleep(Duration::from_millis(50)).await;
        stream.write_all(b"x").await.expect("not known to be gone");
        // Sent again after the timeout that the crash has doubled a few times.
        let after_boot = time::timeout(Duration::from_secs(60), stream.read_u8()).await;
        match (while_down, after_boot.map(|read| read.map_err(|error| error.kind()))) {
            (Err(ErrorKind::TimedOut), Ok(Err(ErrorKind::ConnectionReset))) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

fn crash_and_connect(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        server.crash();
        time::sleep(Duration::from_millis(10)).await;
        match time::timeout(PATIENCE, TcpStream::connect("server:80")).await {
            Err(_) => Ok(()),
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => seen("refused at once"),
            other => Err(format!("{other:?}")),
        }
    })
}

fn kill_resets(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        assert!(asks(&mut stream, PATIENCE).await);
        server.kill();
        match read_after(&mut stream).await {
            Err(ErrorKind::ConnectionReset) => Ok(()),
            Err(ErrorKind::UnexpectedEof) => seen("peers read an end instead of a reset"),
            other => Err(format!("{other:?}")),
        }
    })
}

fn kill_refuses(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        server.kill();
        time::sleep(Duration::from_millis(10)).await;
        match time::timeout(PATIENCE, TcpStream::connect("server:80")).await {
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

fn boot(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        for down in [host::Host::crash, host::Host::kill] {
            down(server);
            assert!(!server.is_up());
            time::sleep(Duration::from_millis(20)).await;
            server.boot();
            assert!(server.is_up());
            time::sleep(Duration::from_millis(20)).await;
            let mut stream = TcpStream::connect("server:80").await.expect("up again");
            if !asks(&mut stream, PATIENCE).await {
                return seen("no answer after a boot");
            }
        }
        Ok(())
    })
}

fn boot_at_once(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        for down in [host::Host::crash, host::Host::kill] {
            down(server);
            server.boot();
            time::sleep(Duration::from_millis(50)).await;
            let mut stream = TcpStream::connect("server:80").await.expect("up again");
            if !asks(&mut stream, PATIENCE).await {
                return seen("no answer after a boot");
            }
        }
        Ok(())
    })
}

fn own_crash(engine: EngineKind) -> Seen {
    play(engine, || async {
        let drops = Arc::new(AtomicU32::new(0));
        let machine = host::add("machine", || async {});
        let guard = Dropped(Arc::clone(&drops));
        let crashing = machine.spawn(async move {
            let _guard = guard;
            host::current().crash();
            time::sleep(Duration::from_millis(1)).await;
            unreachable!("a crashed host does not run on");
        });
        let ended = crashing.await;
        if ended == Err(JoinError::Cancelled) && drops.load(Ordering::Relaxed) == 1 && !machine.is_up() {
            Ok(())
        } else {
            Err(format!("{ended:?}"))
        }
    })
}

/// Starts a task when it is dropped.
struct Spawns;

impl Drop for Spawns {
    fn drop(&mut self) {
        let handle = task::spawn(async { panic!("runs on a host that is down") });
        assert!(handle.is_finished());
    }
}

fn destructors(engine: EngineKind) -> Seen {
    let outcome = outcome(engine, || async {
        let machine = host::add("machine", || async {
            let _guard = Spawns;
            pending::<()>().await;
        });
        time::sleep(Duration::from_millis(20)).await;
        machine.crash();
        time::sleep(Duration::from_millis(20)).await;
    });
    if outcome.result == Ok(()) && outcome.panics.is_empty() { Ok(()) } else { Err(format!("{outcome:?}")) }
}

fn pause(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        let timer = server.spawn(async {
            time::sleep(Duration::from_millis(30)).await;
            Instant::now()
        });
        time::sleep(Duration::from_millis(5)).await;
        let start = Instant::now();
        server.pause();
        let answered = asks(&mut stream, Duration::from_millis(200)).await;
        server.resume();
        let answer = time::timeout(PATIENCE, stream.read_u8()).await;
        let late = timer.await.expect("ends").duration_since(start);
        if !answered && matches!(answer, Ok(Ok(b'x'))) && late >= Duration::from_millis(200) {
            Ok(())
        } else {
            Err(format!("{answered} {answer:?} {late:?}"))
        }
    })
}

fn clocks(engine: EngineKind) -> Seen {
    play(engine, || async {
        let machine = host::add("machine", || async {});
        machine.set_clock_drift(500_000_000);
        machine.set_clock_skew(Shift::Backward(Duration::from_secs(3600)));
        let (wall, here) = machine
            .spawn(async { (time::system_now(), ()) })
            .await
            .map(|(wall, ())| (wall, time::system_now()))
            .expect("up");
        let behind = here.duration_since(wall).expect("it is behind");
        assert!(behind > Duration::from_secs(3599) && behind < Duration::from_secs(3605), "{behind:?}");
        let start = sim::elapsed();
        // A second on a clock that runs at one and a half times true speed.
        let waited = machine.spawn(async {
            let start = Instant::now();
            time::sleep(Duration::from_millis(300)).await;
            start.elapsed()
        });
        let waited = waited.await.expect("up");
        let truly = sim::elapsed() - start;
        assert!(waited >= Duration::from_millis(300), "{waited:?}");
        if truly >= Duration::from_millis(199) && truly < waited {
            Ok(())
        } else {
            Err(format!("{waited:?} {truly:?}"))
        }
    })
}

#[expect(clippy::disallowed_methods, reason = "third-party code calls it")]
fn standard_clocks_differ(engine: EngineKind) -> Seen {
    play(engine, || async {
        let machine = host::add("machine", || async {});
        machine.set_clock_skew(Shift::Forward(Duration::from_secs(3600)));
        let there = machine.spawn(async { std::time::SystemTime::now() }).await.expect("up");
        match there.duration_since(std::time::SystemTime::now()) {
            Ok(ahead) if ahead > Duration::from_secs(3590) => Ok(()),
            _ => seen("they show the true time"),
        }
    })
}
