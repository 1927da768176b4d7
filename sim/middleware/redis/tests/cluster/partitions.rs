//! Whatever is cut, crashes or is told to take over: never two masters of a slot in one epoch, never two votes in an
//! epoch, and in the end all agree.

use std::collections::BTreeMap;

use rand::RngExt;
use world::sim::{self, Config};

use crate::net::{Net, options};

/// Steps of a run, each a disturbance and some time.
const STEPS: usize = 40;
const SEEDS: u64 = 40;
/// What the disturbances are to bring about.
const MET: [&str; 16] = [
    "demoted",
    "election-expired",
    "election-started",
    "election-won",
    "fail",
    "failed-master-back-unreplaced",
    "manual-failover-timed-out",
    "minority-master-stopped",
    "paused-for-failover",
    "pfail",
    "replica-migrated",
    "stale-claim",
    "vote-given",
    "vote-refused-already-voted",
    "vote-refused-master-up",
    "vote-refused-voted-lately",
];

#[test]
fn all_agree_after_any_partitions_crashes_and_failovers() {
    let mut reached: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        // As a simulation, for the marks: the nodes' time and randomness are their net's.
        let config = Config { watchdog: None, ..Config::new(seed) };
        let outcome = sim::run(config, move || async move { disturb(seed) });
        assert_eq!(outcome.result, Ok(()), "seed {seed}");
        for (name, coverage) in outcome.coverage {
            *reached.entry(name).or_default() += coverage.hits;
        }
    }
    for name in MET {
        let name = format!("redis.cluster.{name}");
        assert!(reached[&name] > 0, "{name} was never met: the disturbances are too tame");
    }
}

fn disturb(seed: u64) {
    let mut options = options([800, 1500, 3000][seed as usize % 3]);
    // Else a long partition can leave a master without anybody who may replace it.
    options.replica_validity_factor = 0;
    options.allow_replica_migration = !seed.is_multiple_of(4);
    let mut net = Net::cluster(seed, 3, 1 + seed as usize % 2, &options);
    let hosts = net.hosts.len();
    for _ in 0..STEPS {
        let host = net.random.random_range(0..hosts);
        match net.random.random_range(0..12) {
            0..=2 => {
                let mut groups = [vec![], vec![], vec![]];
                for host in 0..hosts {
                    groups[net.random.random_range(0..3)].push(host);
                }
                net.partition(&[&groups[0], &groups[1], &groups[2]]);
            }
            3 => net.partition(&[&[host], &(0..hosts).filter(|other| *other != host).collect::<Vec<_>>()]),
            4..=5 => net.heal(),
            6..=7 => match net.hosts[host].cluster {
                Some(_) => {
                    let power = net.random.random_bool(0.5);
                    net.crash(host, power);
                }
                None => net.restart(host),
            },
            8 if net.hosts[host].cluster.is_some() => {
                let how = ["FAILOVER", "FAILOVER FORCE"][net.random.random_range(0..2)];
                net.command(host, how);
            }
            9 => net.hosts[host].skew_ms = net.random.random_range(-400..400),
            _ => {}
        }
        for _ in 0..net.random.random_range(1..40) {
            net.run(100);
            net.assert_epochs_are_unique();
        }
    }
    net.heal();
    for host in 0..hosts {
        if net.hosts[host].cluster.is_none() {
            net.restart(host);
        }
    }
    net.settle(120_000);
    net.run(10_000);
    net.assert_at_rest();
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = |seed| {
        let mut net = Net::cluster(seed, 3, 1, &options(1500));
        net.crash(0, true);
        net.run(10_000);
        net.restart(0);
        net.run(10_000);
        net.dump()
    };
    assert_eq!(history(1), history(1));
    assert_ne!(history(1), history(2));
}
