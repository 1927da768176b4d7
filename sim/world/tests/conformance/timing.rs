//! Time: timers, clocks, latencies.

use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::engines::EngineKind;
use world::net::{self, Latency, TcpStream};
use world::sim::{self, Config};
use world::time::Instant;
use world::{host, task, time};

use crate::{Check, Seen, echo, play, seen, serve};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("order of timers", timer_order),
    ("resolution of timers", resolution),
    ("time", time_passes),
    ("timeouts and intervals", timeouts),
    ("latency", latency),
    ("latency of single links", link_latency),
    ("`std`'s clocks", standard_clocks),
    ("one time for all hosts", one_time),
];

#[test]
fn timing_conforms() {
    crate::conform(CHECKS);
}

fn timer_order(engine: EngineKind) -> Seen {
    play(engine, || async {
        let ends = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let tasks: Vec<_> = [60_u64, 20, 40]
            .map(|ms| {
                let ends = std::sync::Arc::clone(&ends);
                task::spawn(async move {
                    time::sleep(Duration::from_millis(ms)).await;
                    ends.lock().expect("not poisoned").push(ms);
                })
            })
            .into();
        for task in tasks {
            task.await.expect("ends");
        }
        let ends = ends.lock().expect("not poisoned").clone();
        if ends == [20, 40, 60] { Ok(()) } else { Err(format!("{ends:?}")) }
    })
}

fn resolution(engine: EngineKind) -> Seen {
    play(engine, move || async move {
        let mut late = Vec::new();
        for ns in [1, 1_500, 2_000_007, 3_100_000] {
            let deadline = Instant::now() + Duration::from_nanos(ns);
            time::sleep_until(deadline).await;
            assert!(Instant::now() >= deadline, "never early");
            late.push((deadline.elapsed(), ns));
        }
        let within = |most: Duration| late.iter().all(|(late, _)| *late <= most);
        let at_least_1_ms = late.iter().all(|(late, ns)| {
            *ns >= 1_000_000 || *late + Duration::from_nanos(*ns) >= Duration::from_millis(1)
        });
        match engine {
            _ if within(Duration::ZERO) => Ok(()),
            EngineKind::Turmoil if within(Duration::from_millis(1)) => {
                seen("whole milliseconds, up to one late")
            }
            EngineKind::Madsim if at_least_1_ms && within(Duration::from_micros(1100)) => {
                seen("a wait takes a millisecond at least, and ends some nanoseconds late")
            }
            // How late is up to the machine's load.
            EngineKind::Tokio if within(Duration::from_secs(5)) => seen("as late as the machine is"),
            _ => Err(format!("{late:?}")),
        }
    })
}

fn time_passes(engine: EngineKind) -> Seen {
    // Two hours where time is simulated.
    let wait =
        if engine == EngineKind::Tokio { Duration::from_millis(200) } else { Duration::from_secs(100) };
    let outcome = sim::run(Config { engine, ..Config::new(1) }, move || async move {
        time::sleep(wait).await;
        sim::elapsed()
    });
    let passed = outcome.result.expect("runs");
    assert!(passed >= wait && passed < wait + Duration::from_secs(5), "{passed:?}");
    if outcome.wall < wait { Ok(()) } else { seen("real") }
}

fn timeouts(engine: EngineKind) -> Seen {
    play(engine, || async {
        let slow = time::timeout(Duration::from_millis(20), time::sleep(Duration::from_millis(500))).await;
        let quick = time::timeout(Duration::from_millis(500), async { 7 }).await;
        let start = Instant::now();
        let mut interval = time::interval(Duration::from_millis(50));
        for _ in 0..3 {
            interval.tick().await;
        }
        let third = start.elapsed();
        let as_told = slow.is_err() && quick == Ok(7);
        if as_told && third >= Duration::from_millis(100) && third < Duration::from_secs(2) {
            Ok(())
        } else {
            Err(format!("{slow:?} {quick:?} {third:?}"))
        }
    })
}

fn latency(engine: EngineKind) -> Seen {
    let config = Config { engine, latency: Latency::constant(Duration::from_millis(5)), ..Config::new(1) };
    let outcome = sim::run(config, move || async move {
        serve("server", echo).await;
        let start = Instant::now();
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        let handshake = start.elapsed();
        let start = Instant::now();
        stream.write_all(b"x").await.expect("open");
        stream.read_u8().await.expect("echoed");
        (handshake, start.elapsed())
    });
    let (handshake, exchange) = outcome.result.expect("runs");
    let between = |duration: Duration, least, most| {
        duration >= Duration::from_millis(least) && duration <= Duration::from_millis(most)
    };
    match engine {
        _ if handshake == Duration::from_millis(10) && exchange == Duration::from_millis(10) => Ok(()),
        EngineKind::Turmoil if between(handshake, 5, 7) && between(exchange, 10, 14) => {
            seen("a handshake takes it once; whole milliseconds")
        }
        EngineKind::Madsim if between(handshake, 1, 4) && between(exchange, 10, 12) => {
            seen("a handshake takes 3 ms, whatever the latency; spread evenly, with the same least and mean")
        }
        EngineKind::Tokio if handshake < Duration::from_secs(1) => seen("the loopback network's"),
        _ => Err(format!("{handshake:?} {exchange:?}")),
    }
}

fn link_latency(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        let spread = Latency::uniform(Duration::from_millis(20), Duration::from_millis(60));
        net::set_latency(host::current(), server, &spread);
        time::sleep(Duration::from_millis(2)).await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        let mut took = Vec::new();
        for _ in 0..10 {
            let start = Instant::now();
            stream.write_all(b"x").await.expect("open");
            stream.read_u8().await.expect("echoed");
            took.push(start.elapsed());
        }
        took.sort_unstable();
        let (least, most) = (took[0], took[9]);
        let ms = Duration::from_millis;
        if least >= ms(40) && most <= ms(124) && most - least > ms(5) {
            Ok(())
        } else if least >= ms(80) && most <= ms(84) {
            seen("the median of what was set, always")
        } else if most < ms(40) {
            seen("unsupported, and the outcome says so")
        } else {
            Err(format!("{took:?}"))
        }
    })
}

#[expect(clippy::disallowed_methods, reason = "third-party code calls them")]
fn standard_clocks(engine: EngineKind) -> Seen {
    play(engine, move || async move {
        let (instant, system) = (std::time::Instant::now(), SystemTime::now());
        time::sleep(Duration::from_millis(700)).await;
        let moved = [instant.elapsed(), system.elapsed().expect("the clock moves on")];
        assert!(moved.iter().all(|moved| moved.as_millis() >= 700 && moved.as_millis() < 5000), "{moved:?}");
        let since_1970 = system.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let from_2022 = 1_640_995_200 - 30 * 86_400..1_672_531_200;
        match engine {
            _ if since_1970 == 1_767_225_600 => Ok(()),
            EngineKind::Tokio if since_1970 > 1_767_225_600 => seen("the machine's"),
            _ if cfg!(madsim) && from_2022.contains(&since_1970) => {
                seen("simulated, from a moment of the year 2022 on")
            }
            _ => Err(format!("{since_1970}")),
        }
    })
}

fn one_time(engine: EngineKind) -> Seen {
    play(engine, || async {
        let other = host::add("other", || async {});
        for _ in 0..20 {
            let before = Instant::now();
            let there = other.spawn(async { Instant::now() }).await.expect("up");
            let after = Instant::now();
            assert!(before <= there && there <= after, "{before:?} {there:?} {after:?}");
            time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    })
}
