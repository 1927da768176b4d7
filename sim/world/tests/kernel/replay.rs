//! A recording of a run gives that run again, under any seed.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::choice::{Choice, Choices, Misfit};
use world::net::{TcpListener, TcpStream};
use world::sim::{self, Config, Outcome, Strategy};
use world::{host, rand as random, task, time};

/// Uses every source of randomness: network, scheduler, hosts, and the hash maps' own.
fn busy(config: Config) -> Outcome<u64> {
    sim::run(config, || async {
        host::add("server", || async {
            let listener = TcpListener::bind("0.0.0.0:80").await.expect("port 80 is free");
            while let Ok((mut stream, _)) = listener.accept().await {
                task::spawn(async move {
                    while let Ok(number) = stream.read_u64_le().await {
                        if stream.write_u64_le(number ^ random::u64()).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        let clients = host::add("clients", || async {});
        let handles: Vec<_> = (0..10).map(|number| clients.spawn(client(number))).collect();
        let mut sum = 0_u64;
        for handle in handles {
            sum = sum.wrapping_mul(31).wrapping_add(handle.await.expect("clients do not panic"));
        }
        sum
    })
}

async fn client(number: u64) -> u64 {
    time::sleep(Duration::from_micros(random::range(0..2_000))).await;
    let mut stream = TcpStream::connect("server:80").await.expect("the server is up");
    let mut bytes = [0; 21];
    random::rng().fill_bytes(&mut bytes);
    let map: HashMap<u64, u8> = (0..20).zip(bytes).collect();
    let mut sum = number + u64::from(random::rng().next_u32());
    for (position, (key, value)) in map.iter().enumerate() {
        sum = sum.wrapping_mul(31).wrapping_add(*key ^ u64::from(*value) ^ position as u64);
    }
    for _ in 0..3 {
        stream.write_u64_le(sum).await.expect("the server reads");
        sum = sum.wrapping_add(stream.read_u64_le().await.expect("the server answers"));
    }
    sum
}

fn recorded(seed: u64, strategy: Strategy) -> Outcome<u64> {
    busy(Config { record: true, strategy, ..Config::new(seed) })
}

const PCT: Strategy = Strategy::Pct { depth: 3, steps: 300 };

#[test]
fn a_recording_replays_under_another_seed() {
    for strategy in [Strategy::Fifo, Strategy::Random, PCT] {
        for seed in 0..5 {
            let first = recorded(seed, strategy);
            let choices = first.choices.expect("recorded");
            let read = Choices::from_bytes(&choices.to_bytes()).expect("just written");
            let config = Config { replay: Some(read), record: true, strategy, ..Config::new(seed + 1_000) };
            let second = busy(config);
            assert_eq!((first.result, first.fingerprint), (second.result, second.fingerprint));
            let replayed = second.replayed.expect("replayed");
            assert!(replayed.is_exact(), "{replayed:?}");
            assert_eq!(second.choices, Some(choices), "what is replayed can be recorded again");
        }
    }
}

#[test]
fn recording_changes_nothing() {
    let (plain, recorded) = (busy(Config::new(3)), recorded(3, Strategy::Random));
    assert_eq!((plain.result, plain.fingerprint), (recorded.result, recorded.fingerprint));
    assert!(plain.choices.is_none() && plain.replayed.is_none());
    let choices = recorded.choices.expect("recorded");
    let purposes: Vec<&str> = choices.streams().map(|stream| stream.0).collect();
    assert_eq!(purposes, ["entropy", "host clients", "host server", "network", "scheduler"]);
    assert_eq!(choices.count(), choices.streams().map(|stream| stream.1).sum());
}

#[test]
fn an_empty_recording_falls_back_to_the_seed() {
    let plain = busy(Config::new(4));
    let empty = busy(Config { replay: Some(Choices::default()), ..Config::new(4) });
    assert_eq!((plain.result, plain.fingerprint), (empty.result, empty.fingerprint));
    let replayed = empty.replayed.expect("replayed");
    assert_eq!((replayed.recorded, replayed.taken), (0, 0));
    assert_eq!(replayed.first_mismatch.expect("nothing fits").why, Misfit::Ended);
}

#[test]
fn the_first_choice_that_does_not_fit_is_reported() {
    let mut choices = recorded(5, Strategy::Random).choices.expect("recorded");
    let mut scheduler = choices.of("scheduler");
    scheduler[10] = Choice::Index(1 << 40);
    choices.set("scheduler", scheduler);
    let outcome = busy(Config { replay: Some(choices), ..Config::new(5) });
    outcome.result.expect("the run goes on");
    let mismatch = outcome.replayed.expect("replayed").first_mismatch.expect("one does not fit");
    assert_eq!((mismatch.stream.as_str(), mismatch.position), ("scheduler", 10));
    assert!(
        matches!(mismatch.why, Misfit::OutOfRange { index, among: 2.. } if index == 1 << 40),
        "{mismatch:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a recording holds, the run goes on as one of the runs that could have been.
    #[test]
    fn any_recording_can_be_replayed(
        cut in prop::collection::vec(any::<prop::sample::Index>(), 5),
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..20),
    ) {
        let mut choices = recorded(6, Strategy::Random).choices.expect("recorded");
        let purposes: Vec<String> = choices.streams().map(|stream| stream.0.to_owned()).collect();
        for (purpose, cut) in purposes.iter().zip(cut) {
            let mut stream = choices.of(purpose);
            for (at, value) in &noise {
                let at = at.index(stream.len());
                stream[at] = if value % 2 == 0 { Choice::Index(value >> 3) } else { Choice::Bits64(*value) };
            }
            stream.truncate(cut.index(stream.len() + 1));
            choices.set(purpose, stream);
        }
        let run = || busy(Config { replay: Some(choices.clone()), ..Config::new(7) });
        let (first, second) = (run(), run());
        prop_assert!(first.result.is_ok() && first.panics.is_empty());
        prop_assert_eq!(first.fingerprint, second.fingerprint);
        prop_assert_eq!(first.replayed, second.replayed);
    }
}
