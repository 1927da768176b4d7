//! Masters that fail, and replicas that take over.

use redis_middleware::cluster::{Flags, SLOTS};

use crate::net::{Net, options};

const TIMEOUT_MS: i64 = 2000;

/// Slots of a master of three: enough to tell them apart.
fn slots_of(net: &Net, host: usize) -> u32 {
    net.node(host).me().slots().len()
}

#[test]
fn a_failed_master_is_replaced_in_the_time_that_redis_takes() {
    for seed in 0..10 {
        let mut net = Net::cluster(seed, 3, 1, &options(TIMEOUT_MS));
        net.partition(&[&[0], &[1, 2, 3, 4, 5]]);
        let suspected = net.run_until(60_000, |net| net.view(1, 0).flags().any(Flags::PFAIL | Flags::FAIL));
        let failed = suspected + net.run_until(60_000, |net| net.view(3, 0).has_failed());
        let won = failed + net.run_until(60_000, |net| net.is_master(3));
        // A ping is on its way at the latest half a timeout after the last pong, and must be late by a timeout;
        // a second master may see it later. Then come half a second, up to another half at random, and a cron.
        assert!(
            (TIMEOUT_MS..=TIMEOUT_MS * 3 / 2 + 200).contains(&suspected),
            "suspected after {suspected} ms"
        );
        assert!(failed <= TIMEOUT_MS * 2 + 300, "failed after {failed} ms");
        assert_eq!(net.hosts[3].held_for_failed, [net.id(0)], "told once");
        assert!((500..=1200).contains(&(won - failed)), "elected after {} ms", won - failed);
        let all = net.run_until(2000, |net| [1, 2, 3, 4, 5].iter().all(|host| net.node(*host).is_up()));
        assert!(all <= 500, "{all}");
        assert_eq!(slots_of(&net, 3), u32::from(SLOTS) / 3);
        assert!(net.node(3).me().config_epoch() > 6);
    }
}

#[test]
fn a_master_in_a_minority_stops_and_follows_its_successor() {
    let mut net = Net::cluster(7, 3, 1, &options(TIMEOUT_MS));
    net.partition(&[&[0], &[1, 2, 3, 4, 5]]);
    let stopped = net.run_until(60_000, |net| !net.node(0).is_up());
    assert!((TIMEOUT_MS..=TIMEOUT_MS * 2).contains(&stopped), "stopped after {stopped} ms");
    net.run_until(10_000, |net| net.is_master(3));
    net.run(5_000);
    // Nobody told it yet.
    assert!(net.is_master(0));
    let (lost, winner) = (net.hosts[0].offset, net.id(3));
    net.heal();
    let demoted = net.run_until(5_000, |net| !net.is_master(0));
    assert!(demoted <= 1_000, "{demoted}");
    assert_eq!(net.hosts[0].demotions, [(winner, lost)]);
    net.settle(10_000);
    assert!(net.node(0).me().is_replica());
}

#[test]
fn the_replica_with_more_data_wins() {
    for seed in 0..10 {
        let mut net = Net::cluster(seed, 3, 2, &options(TIMEOUT_MS));
        let (ahead, behind) = if seed % 2 == 0 { (3, 6) } else { (6, 3) };
        net.crash(0, false);
        net.hosts[behind].offset -= 1;
        let won = net.run_until(20_000, |net| net.is_master(ahead) || net.is_master(behind));
        assert!(net.is_master(ahead), "seed {seed}: the one with less data won after {won} ms");
        net.run(5_000);
        let follows = net.node(behind).master_of(net.node(behind).me()).map(|master| master.id());
        assert_eq!(follows, Some(net.id(ahead)));
        net.restart(0);
        net.settle(20_000);
        assert!(net.node(0).me().is_replica());
    }
}

#[test]
fn replicas_with_the_same_data_do_not_win_both() {
    for seed in 100..120 {
        let mut net = Net::cluster(seed, 3, 2, &options(TIMEOUT_MS));
        net.crash(0, false);
        net.run_until(60_000, |net| net.is_master(3) || net.is_master(6));
        for _ in 0..100 {
            net.run(50);
            net.assert_epochs_are_unique();
            assert!(!(net.is_master(3) && net.is_master(6)), "seed {seed}: both are masters");
        }
    }
}

#[test]
fn without_a_majority_nobody_takes_over() {
    let mut net = Net::cluster(3, 3, 1, &options(TIMEOUT_MS));
    net.crash(0, false);
    net.crash(1, false);
    net.run(60_000);
    for host in [2, 3, 4, 5] {
        assert!(!net.node(host).is_up());
        // One master of three cannot say that another has failed.
        assert!(net.node(host).nodes().all(|node| !node.has_failed()));
    }
    assert!(!net.is_master(3) && !net.is_master(4));
    net.restart(0);
    net.restart(1);
    net.settle(30_000);
    assert!(net.is_master(0) && net.is_master(1));
}

#[test]
fn a_replica_that_was_without_its_master_for_too_long_does_not_take_over() {
    let mut options = options(TIMEOUT_MS);
    options.replica_validity_factor = 2;
    options.repl_ping_replica_period_s = 1;
    let mut net = Net::cluster(5, 3, 1, &options);
    net.partition(&[&[0], &[3]]);
    net.run(10_000);
    net.crash(0, false);
    net.run(30_000);
    assert!(!net.is_master(3));
    assert!(net.view(3, 0).has_failed());
    // A person can insist.
    assert_eq!(net.command(3, "FAILOVER FORCE"), "+OK\r\n");
    net.run_until(5_000, |net| net.is_master(3));
    net.heal();
    net.restart(0);
    net.settle(20_000);
}

#[test]
fn a_replica_that_is_told_not_to_does_not_take_over() {
    let mut net = Net::cluster(5, 3, 2, &options(TIMEOUT_MS));
    net.configure(3, |options| options.replica_no_failover = true);
    net.run(3_000);
    assert!(net.view(1, 3).flags().any(Flags::NO_FAILOVER));
    // It has more data, and yet the other one does not wait for it.
    net.crash(0, false);
    net.hosts[3].offset += 10;
    net.run_until(10_000, |net| net.view(6, 0).has_failed());
    let won = net.run_until(60_000, |net| net.is_master(6));
    assert!(won < 1300, "elected after {won} ms");
    assert!(!net.is_master(3));
}

#[test]
fn a_replica_is_well_again_at_once_and_a_master_that_nobody_replaced_after_two_timeouts() {
    let mut net = Net::cluster(11, 3, 0, &options(TIMEOUT_MS));
    net.crash(2, true);
    net.run_until(20_000, |net| net.view(0, 2).has_failed() && net.view(1, 2).has_failed());
    assert!(!net.node(0).is_up());
    net.restart(2);
    let back = net.run_until(20_000, |net| !net.view(0, 2).has_failed());
    assert!((TIMEOUT_MS * 2 - 100..=TIMEOUT_MS * 3 + 300).contains(&back), "a master after {back} ms");
    net.settle(20_000);

    let mut net = Net::cluster(11, 3, 1, &options(TIMEOUT_MS));
    net.crash(5, true);
    net.run_until(20_000, |net| net.view(0, 5).has_failed());
    assert!(net.node(0).is_up());
    net.restart(5);
    let back = net.run_until(20_000, |net| !net.view(0, 5).has_failed());
    assert!(back <= 500, "a replica after {back} ms");
}

#[test]
fn a_vote_survives_a_loss_of_power() {
    let mut net = Net::cluster(13, 3, 1, &options(TIMEOUT_MS));
    net.crash(0, true);
    net.run_until(20_000, |net| net.node(1).last_vote_epoch() > 0);
    let voted = net.node(1).last_vote_epoch();
    net.crash(1, true);
    net.restart(1);
    assert_eq!(net.node(1).last_vote_epoch(), voted);
    assert!(net.node(1).current_epoch() >= voted);
    net.restart(0);
    net.settle(30_000);
}

#[test]
fn a_replica_moves_to_a_master_that_has_none_left() {
    let mut net = Net::cluster(17, 3, 2, &options(TIMEOUT_MS));
    let orphan = net.id(1);
    net.crash(4, false);
    net.crash(7, false);
    net.run_until(20_000, |net| net.view(0, 4).has_failed() && net.view(0, 7).has_failed());
    let followers = |net: &Net| {
        let follows =
            |host: &&usize| net.node(**host).master_of(net.node(**host).me()).map(|m| m.id()) == Some(orphan);
        [3, 5, 6, 8].iter().filter(follows).count()
    };
    let moved = net.run_until(20_000, |net| followers(net) > 0);
    assert!(moved >= 5_000, "after {moved} ms");
    net.run(20_000);
    assert_eq!(followers(&net), 1);
    net.restart(4);
    net.restart(7);
    net.settle(20_000);
}

#[test]
fn replicas_stay_where_they_are_told_to() {
    let mut options = options(TIMEOUT_MS);
    options.allow_replica_migration = false;
    let mut net = Net::cluster(17, 3, 2, &options);
    net.crash(4, false);
    net.crash(7, false);
    net.run(40_000);
    assert!([3, 5, 6, 8].iter().all(|host| {
        let node = net.node(*host);
        node.master_of(node.me()).map(|master| master.id()) == Some(net.id(host % 3))
    }));
}

#[test]
fn a_manual_failover_loses_nothing() {
    for seed in 0..10 {
        let mut net = Net::cluster(seed, 3, 1, &options(TIMEOUT_MS));
        assert_eq!(net.command(3, "FAILOVER"), "+OK\r\n");
        let took = net.run_until(3_000, |net| net.is_master(3) && !net.is_master(0));
        assert!(took < 500, "{took} ms");
        let written = net.hosts[0].paused_at[0];
        assert_eq!(net.hosts[0].demotions, [(net.id(3), written)], "nothing was written during the pause");
        assert!(net.hosts[3].offset >= written);
        assert_eq!(net.hosts[0].paused_until_ms, 0, "its clients may go on");
        net.settle(10_000);
    }
}

#[test]
fn a_manual_failover_that_gets_nowhere_is_given_up() {
    let mut net = Net::cluster(23, 3, 1, &options(TIMEOUT_MS));
    // The voters cannot hear the replica.
    net.partition(&[&[3], &[1, 2, 4, 5]]);
    assert_eq!(net.command(3, "FAILOVER"), "+OK\r\n");
    net.run_until(100, |net| !net.hosts[0].paused_at.is_empty());
    let resumed = net.run_until(20_000, |net| net.hosts[0].paused_until_ms == 0);
    assert!((4_900..=5_300).contains(&resumed), "{resumed} ms");
    net.run(1_000);
    assert!(net.is_master(0) && !net.is_master(3));
    net.heal();
    net.settle(20_000);
}

/// What Redis 7.0.15 does, too: seen with four real servers.
#[test]
fn votes_are_taken_for_those_of_the_next_election_for_two_timeouts() {
    const SLOW_MS: i64 = 5000;
    for (pause_ms, stale) in [(0, true), (2 * SLOW_MS, false)] {
        let mut net = Net::cluster(31, 3, 1, &options(SLOW_MS));
        assert_eq!(net.command(3, "FAILOVER"), "+OK\r\n");
        // Until the voters know whose replica it is now.
        net.run(1_500);
        assert_eq!(net.command(0, "FAILOVER"), "+OK\r\n");
        net.run(500);
        assert!(net.is_master(0) && !net.is_master(3));
        net.run(pause_ms);
        net.crash(0, false);
        net.run_until(20_000, |net| net.is_master(3));
        net.run(10_000);
        let believed = net.node(1).owner(0).map(|owner| owner.id()) == Some(net.id(3));
        assert_eq!(believed, !stale);
        assert_eq!(net.node(1).is_up(), !stale);
        assert!(net.node(3).me().slots().contains(0));
        // Only the old master can end it.
        net.restart(0);
        net.settle(20_000);
        assert_eq!(net.is_master(0), stale);
    }
}

#[test]
fn failover_is_refused_where_it_makes_no_sense() {
    let mut net = Net::cluster(29, 3, 1, &options(TIMEOUT_MS));
    assert_eq!(net.command(0, "FAILOVER"), "-ERR You should send CLUSTER FAILOVER to a replica\r\n");
    assert_eq!(net.command(3, "FAILOVER NOW"), "-ERR syntax error\r\n");
    net.configure(3, |options| options.replica_no_failover = true);
    net.crash(0, false);
    net.run(20_000);
    let refused = "-ERR Master is down or failed, please use CLUSTER FAILOVER FORCE\r\n";
    assert_eq!(net.command(3, "FAILOVER"), refused);
}

#[test]
fn a_takeover_asks_nobody_and_yet_all_agree_afterwards() {
    for seed in 0..10 {
        let mut net = Net::cluster(seed, 3, 1, &options(TIMEOUT_MS));
        net.partition(&[&[3, 4], &[0, 1, 2, 5]]);
        net.run(1_000);
        // Both take the next epoch, each for itself.
        assert_eq!(net.command(3, "FAILOVER TAKEOVER"), "+OK\r\n");
        assert_eq!(net.command(4, "FAILOVER TAKEOVER"), "+OK\r\n");
        assert!(net.is_master(3) && net.is_master(4));
        net.run(1_000);
        net.heal();
        net.settle(30_000);
        assert!(net.is_master(3) && net.is_master(4));
        assert!(!net.is_master(0) && !net.is_master(1));
    }
}
