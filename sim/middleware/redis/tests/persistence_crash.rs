//! What a loss of power or a kill at any moment takes, by policy: never more than Redis promises, and never something
//! before something that is kept.

mod common;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use common::store::Store;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redis_middleware::persistence::{self, Config, FsyncPolicy, Repair, SavePoint, StartError};
use world::{
    host::{self, Host},
    sim, time,
};

/// What is remembered of a server from outside of it.
#[derive(Debug, Default)]
struct Seen {
    /// The last number that was answered, and when.
    answered: Vec<(Duration, u64)>,
    /// The last numbers of all units.
    ends: BTreeSet<u64>,
    /// What the last start found, and whether it needed a repair.
    found: Option<(Vec<u64>, bool)>,
}

#[derive(Debug, Clone, Default)]
struct Watcher(Arc<Mutex<Seen>>);

impl Watcher {
    fn see(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the power is lost, and how often that led to what.
#[derive(Debug, Default)]
struct Tally {
    starts: usize,
    repairs: usize,
    garbled: usize,
    lost: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    PowerLoss,
    Kill,
}

/// A server that starts, repairs its file if it must, and then takes pushes from several clients, rewriting now and
/// then.
async fn serve(config: Config, seed: u64, watcher: Watcher) {
    let mut repaired = false;
    let (store, task) = loop {
        match Store::open(config.clone()).await {
            Ok(opened) => break opened,
            Err(StartError::BadFormat(_)) if !repaired => {
                let repair = persistence::repair(&config.directory).await;
                assert!(matches!(repair, Ok(Repair::Cut(_))), "{repair:?}");
                repaired = true;
            }
            Err(error) => panic!("does not start: {error}"),
        }
    };
    watcher.see().found = Some((store.numbers(), repaired));
    for client in 0..4 {
        let (store, watcher) = (store.clone(), watcher.clone());
        let mut random = ChaCha8Rng::seed_from_u64(seed * 10 + client);
        world::task::spawn(async move {
            loop {
                // Bursts and pauses.
                let pause = if random.random_bool(0.02) { 700_000 } else { 15_000 };
                time::sleep(Duration::from_micros(random.random_range(0..pause))).await;
                store.persistence.unblocked().await;
                let (last, offset) = store.push(if random.random_bool(0.3) { 3 } else { 1 });
                watcher.see().ends.insert(last);
                if random.random_bool(0.005) {
                    let _ = store.persistence.rewrite_in_background(false);
                }
                store.persistence.flushed(offset).await;
                watcher.see().answered.push((sim::elapsed(), last));
            }
        });
    }
    let end = task.await;
    panic!("Redis exits: {end:?}");
}

/// Plays some lives of a server; each time, `may_lose` says whether a number may be missing that was answered so long
/// before the end.
fn play(seed: u64, config: Config, end: End, may_lose: impl Fn(Duration) -> bool + Send + 'static) -> Tally {
    let outcome = sim::run(sim::Config::new(seed), move || async move {
        let watcher = Watcher::default();
        let mut tally = Tally::default();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let server = host::add("redis", {
            let watcher = watcher.clone();
            move || serve(config.clone(), seed, watcher.clone())
        });
        for _ in 0..4 {
            time::sleep(Duration::from_micros(random.random_range(0..5_000_000))).await;
            stop(server, end);
            let ended_at = sim::elapsed();
            time::sleep(Duration::from_millis(random.random_range(0..2000))).await;
            let Seen { answered, ends, .. } = std::mem::take(&mut *watcher.see());
            server.boot();
            while watcher.see().found.is_none() {
                time::sleep(Duration::from_millis(1)).await;
            }
            let mut seen = watcher.see();
            let (mut found, repaired) = seen.found.clone().expect("started");
            tally.starts += 1;
            tally.repairs += usize::from(repaired);
            if found.last() == Some(&0) {
                // Redis does not notice a hole within an argument.
                found.pop();
                tally.garbled += 1;
                assert_eq!(end, End::PowerLoss);
            } else {
                let last = found.len() as u64;
                assert!(last == 0 || ends.contains(&last), "a part of a unit is there: {last}");
            }
            let expected: Vec<u64> = (1..=found.len() as u64).collect();
            assert!(found == expected, "seed {seed}: not a prefix: {found:?}");
            let is_lost = |(_, last): &&(Duration, u64)| *last > found.len() as u64;
            for (at, last) in answered.iter().filter(is_lost) {
                tally.lost += 1;
                let age = ended_at - *at;
                assert!(may_lose(age), "{last} is lost, which was answered {age:?} before the end");
            }
            // What is lost will be numbered anew; a damaged number stays, and would be in the way.
            if found.len() != seen.found.as_ref().map_or(0, |(numbers, _)| numbers.len()) {
                return tally;
            }
            let count = found.len() as u64;
            seen.ends.extend(ends.range(..=count));
        }
        tally
    });
    assert!(outcome.panics.is_empty(), "seed {seed}: {:?}", outcome.panics);
    outcome.result.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"))
}

fn stop(server: Host, end: End) {
    match end {
        End::PowerLoss => server.crash(),
        End::Kill => server.kill(),
    }
}

fn config(fsync: FsyncPolicy) -> Config {
    Config { append_only: true, fsync, ..Config::default() }
}

fn play_all(
    seeds: u64,
    config: &Config,
    end: End,
    may_lose: impl Fn(Duration) -> bool + Copy + Send + 'static,
) -> Tally {
    let mut all = Tally::default();
    for seed in 0..seeds {
        let tally = play(seed, config.clone(), end, may_lose);
        all.starts += tally.starts;
        all.repairs += tally.repairs;
        all.garbled += tally.garbled;
        all.lost += tally.lost;
    }
    eprintln!("{:?}, {end:?}: {all:?}", config.fsync);
    all
}

#[test]
fn always_loses_nothing_that_was_answered() {
    play_all(60, &config(FsyncPolicy::Always), End::PowerLoss, |_| false);
}

#[test]
fn everysec_loses_little_more_than_a_second() {
    let tally = play_all(60, &config(FsyncPolicy::EverySecond), End::PowerLoss, |age| {
        age <= Duration::from_millis(1200)
    });
    assert!(tally.lost > 0, "a test that loses nothing shows nothing");
}

#[test]
fn no_loses_what_the_system_has_not_written_back() {
    let tally = play_all(40, &config(FsyncPolicy::No), End::PowerLoss, |_| true);
    assert!(tally.lost > 0 && tally.repairs > 0, "{tally:?}");
}

#[test]
fn a_killed_process_loses_nothing_that_was_written() {
    for fsync in [FsyncPolicy::Always, FsyncPolicy::EverySecond, FsyncPolicy::No] {
        let tally = play_all(20, &config(fsync), End::Kill, |_| false);
        assert_eq!((tally.repairs, tally.garbled), (0, 0));
    }
}

#[test]
fn rewrites_under_way_are_no_danger() {
    // All the time: the file doubles in no time.
    let config = Config { rewrite_min_bytes: 1000, rewrite_percentage: 20, ..config(FsyncPolicy::Always) };
    play_all(40, &config, End::PowerLoss, |_| false);
    play_all(20, &config, End::Kill, |_| false);
}

#[test]
fn a_snapshot_is_the_new_one_or_the_one_before() {
    let save = vec![SavePoint { seconds: 1, changes: 1 }];
    let config = Config { save, ..Config::default() };
    // One begins when the last one was more than a second ago.
    let tally = play_all(60, &config, End::PowerLoss, |age| age <= Duration::from_millis(2200));
    assert!(tally.lost > 0 && tally.repairs + tally.garbled == 0, "{tally:?}");
}
