//! Whatever happens to links and machines: the bytes read are the first of the bytes written, in order; nothing is
//! missing once all is healed, unless an error has said so; and the end of a stream is its end.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{ms, secs};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::net::{self, Impairment, Keepalive, Latency, TcpListener, TcpStream};
use world::sim::{self, Config};
use world::{host, time};

/// What one side means to do.
#[derive(Debug, Clone)]
struct Plan {
    writes: Vec<usize>,
    /// Between writes.
    pause: Duration,
    reads: usize,
    shuts_down: bool,
    keepalive: bool,
}

#[derive(Debug, Clone)]
enum Fault {
    OneWay(bool, Impairment),
    BothWays(Impairment),
    Heal(usize),
    Pause(bool),
    Resume(bool),
    Kill(bool),
    Crash(bool),
    Boot(bool),
    Storm,
}

impl Fault {
    /// May it end the connection?
    fn is_violent(&self) -> bool {
        matches!(self, Fault::Kill(_) | Fault::Crash(_) | Fault::Storm)
    }
}

/// What one side has done and seen.
#[derive(Debug, Default, Clone, PartialEq)]
struct Seen {
    connect_error: Option<ErrorKind>,
    written: usize,
    shut_down: bool,
    write_error: Option<ErrorKind>,
    read: usize,
    /// A byte was not the one written at this place.
    wrong: bool,
    end: bool,
    read_error: Option<ErrorKind>,
}

type Notes = Arc<Mutex<Seen>>;

fn note(notes: &Notes, f: impl FnOnce(&mut Seen)) {
    f(&mut notes.lock().expect("not poisoned"));
}

/// The byte at a place of a stream.
fn byte(place: usize) -> u8 {
    ((place as u32).wrapping_mul(2_654_435_761) >> 24) as u8
}

async fn converse(stream: TcpStream, plan: Plan, notes: Notes) {
    if plan.keepalive {
        let keepalive = Keepalive { idle: secs(20), interval: secs(5), probes: 100 };
        stream.set_keepalive(Some(keepalive)).expect("set");
    }
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        let mut place = 0;
        for size in plan.writes {
            let bytes: Vec<u8> = (place..place + size).map(byte).collect();
            place += size;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                match writer.write(rest).await {
                    Ok(count) => {
                        note(&notes, |seen| seen.written += count);
                        rest = &rest[count..];
                    }
                    Err(error) => return note(&notes, |seen| seen.write_error = Some(error.kind())),
                }
            }
            time::sleep(plan.pause).await;
        }
        if plan.shuts_down {
            // Noted first: the peer may see the end before this task runs again.
            note(&notes, |seen| seen.shut_down = true);
            writer.shutdown().await.expect("always possible");
        }
    };
    let reading = async {
        let mut buffer = vec![0; plan.reads];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) => return note(&notes, |seen| seen.end = true),
                Ok(count) => note(&notes, |seen| {
                    let right = buffer[..count].iter().enumerate().all(|(i, b)| *b == byte(seen.read + i));
                    seen.wrong |= !right;
                    seen.read += count;
                }),
                Err(error) => return note(&notes, |seen| seen.read_error = Some(error.kind())),
            }
        }
    };
    tokio::join!(writing, reading);
    // Held for ever: letting go would close, and that is another matter.
    std::future::pending::<()>().await;
}

fn stage(plans: [Plan; 2], notes: &[Notes; 2]) -> [host::Host; 2] {
    let [client_plan, server_plan] = plans.map(|plan| Mutex::new(Some(plan)));
    let [client_notes, server_notes] = notes.clone();
    // Either runs once: after a crash the host is up and empty.
    let server = host::add("server", move || {
        let plan = server_plan.lock().expect("not poisoned").take();
        let notes = server_notes.clone();
        async move {
            let Some(plan) = plan else { return };
            let listener = TcpListener::bind("0.0.0.0:80").await.expect("free");
            let (stream, _) = listener.accept().await.expect("listening");
            converse(stream, plan, notes).await;
        }
    });
    let client = host::add("client", move || {
        let plan = client_plan.lock().expect("not poisoned").take();
        let notes = client_notes.clone();
        async move {
            let Some(plan) = plan else { return };
            time::sleep(ms(1)).await;
            match TcpStream::connect("server:80").await {
                Ok(stream) => converse(stream, plan, notes).await,
                Err(error) => note(&notes, |seen| seen.connect_error = Some(error.kind())),
            }
        }
    });
    [client, server]
}

fn run(seed: u64, plans: [Plan; 2], faults: Vec<(Duration, Fault)>) -> (u128, [Seen; 2]) {
    let notes: [Notes; 2] = Default::default();
    let seen = notes.clone();
    let outcome = sim::run(Config::new(seed), move || async move {
        let hosts = stage(plans, &notes);
        let ends = |side: bool| ([hosts[usize::from(side)]], [hosts[usize::from(!side)]]);
        let mut going_on = Vec::new();
        // A server that stands still before it listens refuses.
        time::sleep(Duration::from_micros(1)).await;
        for (after, fault) in faults {
            time::sleep(after).await;
            match fault {
                Fault::OneWay(side, impairment) => {
                    let (from, to) = ends(side);
                    going_on.push(net::impair(&from, &to, impairment));
                }
                Fault::BothWays(impairment) => {
                    going_on.push(net::impair_both(&hosts[..1], &hosts[1..], impairment));
                }
                Fault::Heal(number) if !going_on.is_empty() => {
                    going_on.swap_remove(number % going_on.len()).heal();
                }
                Fault::Heal(_) => {}
                Fault::Pause(side) => hosts[usize::from(side)].pause(),
                Fault::Resume(side) => hosts[usize::from(side)].resume(),
                Fault::Kill(side) => hosts[usize::from(side)].kill(),
                Fault::Crash(side) => hosts[usize::from(side)].crash(),
                Fault::Boot(side) => hosts[usize::from(side)].boot(),
                Fault::Storm => {
                    net::reset_connections(&hosts[..1], &hosts[1..]);
                }
            }
        }
        net::heal_all();
        for host in hosts {
            host.resume();
            host.boot();
        }
        time::sleep(secs(3_000)).await;
    });
    assert!(outcome.panics.is_empty() && outcome.result.is_ok(), "{outcome:?}");
    let seen = seen.map(|notes| notes.lock().expect("not poisoned").clone());
    (outcome.fingerprint, seen)
}

fn check(violent: bool, plans: &[Plan; 2], seen: &[Seen; 2]) -> Result<(), TestCaseError> {
    for side in [0, 1] {
        let (writer, reader, plan) = (&seen[side], &seen[1 - side], &plans[side]);
        prop_assert!(!reader.wrong, "bytes in another order");
        prop_assert!(reader.read <= writer.written);
        if reader.end {
            prop_assert!(writer.shut_down && reader.read == writer.written, "an end that is none");
        }
        let errors = [writer.connect_error, writer.write_error, writer.read_error];
        for error in errors.into_iter().flatten() {
            prop_assert!(violent, "{error:?} though all was healed");
            let possible = [
                ErrorKind::ConnectionReset,
                ErrorKind::ConnectionRefused,
                ErrorKind::BrokenPipe,
                ErrorKind::TimedOut,
            ];
            prop_assert!(possible.contains(&error), "{error:?}");
        }
        if !violent {
            prop_assert_eq!(writer.written, plan.writes.iter().sum::<usize>());
            prop_assert_eq!(reader.read, writer.written, "bytes are missing");
            prop_assert_eq!(reader.end, plan.shuts_down);
        }
    }
    Ok(())
}

fn latency() -> impl Strategy<Value = Latency> {
    (0_u64..300, 0_u64..300).prop_map(|(least, more)| Latency::uniform(ms(least), ms(least + more)))
}

fn impairment() -> impl Strategy<Value = Impairment> {
    prop_oneof![
        3 => Just(Impairment::Partition),
        2 => Just(Impairment::Hold),
        1 => latency().prop_map(Impairment::Delay),
        2 => (0.0..0.6).prop_map(Impairment::Loss),
        1 => (0.0..1.0).prop_map(Impairment::Duplicate),
        1 => (0.0..1.0, latency()).prop_map(|(probability, by)| Impairment::Reorder { probability, by }),
        1 => (100_000_u64..100_000_000).prop_map(Impairment::Bandwidth),
    ]
}

fn gentle() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => (any::<bool>(), impairment()).prop_map(|(side, impairment)| Fault::OneWay(side, impairment)),
        2 => impairment().prop_map(Fault::BothWays),
        4 => any::<usize>().prop_map(Fault::Heal),
        1 => any::<bool>().prop_map(Fault::Pause),
        1 => any::<bool>().prop_map(Fault::Resume),
    ]
}

fn violent() -> impl Strategy<Value = Fault> {
    prop_oneof![
        1 => any::<bool>().prop_map(Fault::Kill),
        1 => any::<bool>().prop_map(Fault::Crash),
        2 => any::<bool>().prop_map(Fault::Boot),
        1 => Just(Fault::Storm),
    ]
}

fn pause() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        (0_u64..2_000).prop_map(Duration::from_micros),
        (0_u64..3_000).prop_map(ms)
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let size = prop_oneof![1_usize..200, 1_usize..20_000, 1_usize..400_000];
    (vec(size, 0..12), pause(), 1_usize..50_000, any::<bool>(), any::<bool>()).prop_map(
        |(writes, pause, reads, shuts_down, keepalive)| Plan { writes, pause, reads, shuts_down, keepalive },
    )
}

fn plans() -> impl Strategy<Value = [Plan; 2]> {
    [plan(), plan()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Faults of links, and processes that stand still, cost time only.
    #[test]
    fn links_fail_and_processes_stand_still_and_nothing_is_lost(
        seed: u64,
        plans in plans(),
        faults in vec((pause(), gentle()), 0..16),
    ) {
        let (_, seen) = run(seed, plans.clone(), faults);
        check(false, &plans, &seen)?;
    }

    /// Faults of machines, and middleboxes, cost what they must.
    #[test]
    fn machines_fail_and_errors_say_so(
        seed: u64,
        plans in plans(),
        faults in vec((pause(), prop_oneof![2 => gentle(), 1 => violent()]), 1..16),
    ) {
        let violent = faults.iter().any(|(_, fault)| fault.is_violent());
        let (fingerprint, seen) = run(seed, plans.clone(), faults.clone());
        check(violent, &plans, &seen)?;
        prop_assert_eq!((fingerprint, seen), run(seed, plans, faults), "the same seed, another run");
    }
}
