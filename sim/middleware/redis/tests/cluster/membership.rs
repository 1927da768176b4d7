//! Nodes that join, change and leave.

use std::collections::BTreeSet;

use redis_middleware::cluster::{Cluster, Flags, NodeId};

use crate::net::{Net, options};

#[test]
fn nodes_that_start_with_the_same_epoch_end_with_different_ones() {
    for seed in 0..10 {
        let mut net = Net::new(seed, 5, &options(2000));
        for host in 0..5 {
            let range = format!(
                "ADDSLOTSRANGE {} {}",
                host * 3000,
                if host == 4 { 16_383 } else { host * 3000 + 2999 }
            );
            assert_eq!(net.command(host, &range), "+OK\r\n");
        }
        for host in 1..5 {
            net.meet(host - 1, host);
        }
        net.settle(60_000);
        let epochs: BTreeSet<u64> = (0..5).map(|host| net.node(host).me().config_epoch()).collect();
        assert_eq!(epochs.len(), 5);
    }
}

#[test]
fn whoever_is_met_learns_of_all_by_gossip() {
    let mut net = Net::new(3, 8, &options(5000));
    for host in 1..8 {
        net.meet(0, host);
    }
    let took = net.run_until(30_000, |net| (0..8).all(|host| net.node(host).nodes().count() == 8));
    assert!(took < 15_000, "{took} ms");
    net.run(2_000);
    for host in 0..8 {
        let nodes = net.command(host, "NODES");
        assert_eq!(nodes.matches(" connected").count(), 8, "{nodes}");
        assert!(!nodes.contains("handshake"), "{nodes}");
    }
}

#[test]
fn nobody_at_an_address_is_forgotten_and_oneself_is_not_met_twice() {
    let mut net = Net::new(5, 2, &options(2000));
    net.crash(1, false);
    net.meet(0, 1);
    net.meet(0, 1);
    assert_eq!(net.node(0).nodes().count(), 2);
    assert!(net.command(0, "NODES").contains("handshake"));
    // A handshake is not written down.
    assert!(!net.node(0).nodes_conf().contains("handshake"));
    net.run(2_500);
    assert_eq!(net.node(0).nodes().count(), 1);
    net.meet(0, 0);
    net.run(2_500);
    assert_eq!(net.node(0).nodes().count(), 1);
    assert_eq!(net.node(0).me().ip(), "10.0.0.1");
}

#[test]
fn a_forgotten_node_does_not_come_back_by_gossip() {
    let mut net = Net::cluster(7, 3, 1, &options(2000));
    let gone = net.id(5);
    for host in 0..5 {
        assert_eq!(net.command(host, &format!("FORGET {gone}")), "+OK\r\n");
        net.run(100);
    }
    net.run(30_000);
    for host in 0..5 {
        assert!(net.node(host).node(&gone).is_none(), "{host} still knows it");
    }
    // The others can still be heard of from it; a minute later it is taken in again.
    net.run(60_000);
    net.meet(5, 0);
    net.run(20_000);
    assert!((0..5).all(|host| net.node(host).node(&gone).is_some()));
    let master = net.id(2);
    let refused = "-ERR Can't forget my master!\r\n";
    assert_eq!(net.command(5, &format!("FORGET {master}")), refused);
    let me = net.id(0);
    assert_eq!(net.command(0, &format!("FORGET {me}")), "-ERR I tried hard but I can't forget myself...\r\n");
}

#[test]
fn a_node_that_was_reset_hard_is_another_one() {
    let mut net = Net::cluster(9, 3, 1, &options(2000));
    let before = net.id(5);
    net.hosts[5].keys.add("left");
    assert_eq!(net.command(5, "RESET HARD"), "+OK\r\n");
    assert_eq!(net.hosts[5].flushed, 1, "a replica's data goes");
    assert_ne!(net.id(5), before);
    assert!(net.node(5).me().is_master());
    assert_eq!((net.node(5).current_epoch(), net.node(5).nodes().count()), (0, 1));
    net.run(10_000);
    for host in 0..5 {
        let node = net.node(host).node(&before).expect("not forgotten");
        assert!(node.flags().any(Flags::NOADDR), "{}", net.dump());
    }
    net.hosts[0].keys.add("kept");
    let refused = "-ERR CLUSTER RESET can't be called with master nodes containing keys\r\n";
    assert_eq!(net.command(0, "RESET"), refused);
}

#[test]
fn a_restarted_node_is_who_it_was() {
    let mut net = Net::cluster(11, 3, 1, &options(2000));
    let target = net.id(1);
    assert_eq!(net.command(0, &format!("SETSLOT 7 MIGRATING {target}")), "+OK\r\n");
    assert_eq!(net.command(0, &format!("SETSLOT 6000 IMPORTING {target}")), "+OK\r\n");
    assert_eq!(net.command(0, "SAVECONFIG"), "+OK\r\n");
    let before = net.node(0).nodes_conf();
    assert!(before.contains(&format!(" 0-5460 [7->-{target}] [6000-<-{target}]\n")), "{before}");
    let timeless = |text: &str| {
        let line = |line: &str| {
            let fields: Vec<&str> = line.split(' ').collect();
            let times = fields.len() > 8 || fields.contains(&"slave");
            let keep = |place: &usize| !(times && [4, 5, 7].contains(place));
            (0..fields.len()).filter(keep).map(|place| fields[place]).collect::<Vec<_>>().join(" ")
        };
        text.lines().map(line).collect::<Vec<_>>()
    };
    net.crash(0, true);
    net.restart(0);
    assert_eq!(timeless(&net.node(0).nodes_conf()), timeless(&before));
    // A master waits before it serves: it might have been replaced.
    net.run(1_500);
    assert!(!net.node(0).is_up());
    net.settle(20_000);
}

#[test]
fn a_file_that_no_node_wrote_is_refused() {
    let me =
        "0000000000000000000000000000000000000001 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-5";
    let load = |text: &str| {
        Cluster::load(options(2000), Box::new(|| 4), 1, text).map(|cluster| cluster.nodes_conf())
    };
    assert_eq!(
        load(&format!("{me}\nvars currentEpoch 3 lastVoteEpoch 2\n")).expect("good"),
        format!("{me}\nvars currentEpoch 3 lastVoteEpoch 2\n")
    );
    assert!(load(me).expect("good").ends_with("vars currentEpoch 1 lastVoteEpoch 0\n"));
    for (bad, line) in [
        ("", 0),
        ("vars currentEpoch 3 lastVoteEpoch 2", 0),
        (&format!("{me}\nvars currentEpoch\n"), 2),
        (&format!("{me}\nvars currentEpoch x\n"), 2),
        (&format!("\n{me}-9\n"), 2),
        (&format!("{me} 16384\n"), 1),
        (&format!("{me} [5->-x]\n"), 1),
        (&format!("{me} [5]\n"), 1),
        (&me.replace("myself,master", "myself,leader"), 1),
        (&me.replace("6379@", "x@"), 1),
        (&format!("{me}\n{}\n", me.replace("01 10", "02 10")), 2),
        (&me.replace("01 10", "0X 10"), 0),
    ] {
        assert_eq!(load(bad).expect_err(bad).line, line, "{bad}");
    }
}

#[test]
fn publications_reach_all_nodes_and_those_of_a_shard_its_nodes() {
    let mut net = Net::cluster(13, 3, 1, &options(2000));
    net.publish(3, false, "news", "for all");
    net.publish(3, true, "{a}", "for the shard");
    net.run(100);
    let (news, shard) =
        ((false, b"news".to_vec(), b"for all".to_vec()), (true, b"{a}".to_vec(), b"for the shard".to_vec()));
    assert_eq!(net.hosts[0].published, [news.clone(), shard]);
    assert!(net.hosts[3].published.is_empty(), "who publishes has its own subscribers served already");
    for host in [1, 2, 4, 5] {
        assert_eq!(net.hosts[host].published, std::slice::from_ref(&news));
    }
}

#[test]
fn names_are_hexadecimal_and_differ() {
    let net = Net::new(1, 5, &options(2000));
    let names: BTreeSet<NodeId> = (0..5).map(|host| net.id(host)).collect();
    assert_eq!(names.len(), 5);
    assert!(names.iter().all(|name| name.as_str().bytes().all(|byte| byte.is_ascii_hexdigit())));
}
