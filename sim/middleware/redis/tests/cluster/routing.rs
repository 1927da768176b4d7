//! Which node a command is for.

use redis_middleware::cluster::{Access, Redirection, key_slot};

use crate::net::{Net, options};

/// A key that a master serves.
fn key_of(net: &Net, master: usize) -> String {
    let mut keys = (0..).map(|number| format!("key:{number}"));
    keys.find(|key| net.node(master).me().slots().contains(key_slot(key.as_bytes())))
        .expect("there are many keys")
}

fn route(net: &Net, host: usize, keys: &[&str], access: Access, here: &[&str]) -> Result<(), String> {
    let keys = keys.iter().map(|key| key.as_bytes());
    let exists = |key: &[u8]| here.iter().any(|known| known.as_bytes() == key);
    net.node(host).route(keys, access, exists).map(|_| ()).map_err(|error| error.to_string())
}

fn writing() -> Access {
    Access { writes: true, ..Access::default() }
}

#[test]
fn a_command_goes_to_the_master_of_its_slot() {
    let net = Net::cluster(1, 3, 1, &options(2000));
    for master in 0..3 {
        let key = &key_of(&net, master);
        for host in 0..6 {
            let result = route(&net, host, &[key], writing(), &[]);
            if host == master {
                assert_eq!(result, Ok(()));
            } else {
                let slot = key_slot(key.as_bytes());
                assert_eq!(result, Err(format!("MOVED {slot} 10.0.0.{}:6379", master + 1)));
            }
        }
        // Its replica reads for those who want it to.
        let reading = Access { read_only: true, ..Access::default() };
        assert_eq!(route(&net, master + 3, &[key], reading, &[]), Ok(()));
        for wrong in [
            Access::default(),
            Access { read_only: true, writes: true, ..Access::default() },
            Access { read_only: true, transaction_writes: true, ..Access::default() },
        ] {
            assert!(route(&net, master + 3, &[key], wrong, &[]).is_err());
        }
        let channel = Access { shard_channel: true, ..Access::default() };
        assert_eq!(route(&net, master + 3, &[key], channel, &[]), Ok(()));
    }
    assert_eq!(route(&net, 3, &[], writing(), &[]), Ok(()));
    let cross = "CROSSSLOT Keys in request don't hash to the same slot";
    assert_eq!(route(&net, 0, &["hello", "foo"], writing(), &[]), Err(cross.into()));
    assert_eq!(route(&net, 0, &["hello", "{hello}2", "hello"], writing(), &[]), Ok(()));
}

#[test]
fn a_slot_on_its_way_is_served_key_by_key() {
    let mut net = Net::cluster(2, 3, 0, &options(2000));
    let slot = key_slot(b"hello");
    let (source, target) = (net.id(0), net.id(1));
    net.hosts[0].keys.add("hello");
    assert_eq!(net.command(1, &format!("SETSLOT {slot} IMPORTING {source}")), "+OK\r\n");
    assert_eq!(net.command(0, &format!("SETSLOT {slot} MIGRATING {target}")), "+OK\r\n");
    let ask = Err(format!("ASK {slot} 10.0.0.2:6379"));
    let again = Err("TRYAGAIN Multiple keys request during rehashing of slot".to_owned());
    let moved = |to: u8| Err(format!("MOVED {slot} 10.0.0.{to}:6379"));
    // The source serves what it still has.
    assert_eq!(route(&net, 0, &["hello"], writing(), &["hello"]), Ok(()));
    assert_eq!(route(&net, 0, &["{hello}new"], writing(), &["hello"]), ask);
    assert_eq!(route(&net, 0, &["hello", "{hello}new"], writing(), &["hello"]), again);
    // The target serves those that were sent by the source.
    let asking = Access { asking: true, ..writing() };
    assert_eq!(route(&net, 1, &["{hello}new"], writing(), &[]), moved(1));
    assert_eq!(route(&net, 1, &["{hello}new"], asking, &[]), Ok(()));
    assert_eq!(route(&net, 1, &["{hello}new", "hello"], asking, &["{hello}new"]), again);
    assert_eq!(route(&net, 1, &["{hello}new", "hello"], asking, &["{hello}new", "hello"]), Ok(()));
    let migrating = Access { migrate: true, ..writing() };
    assert_eq!(route(&net, 0, &["{hello}new"], migrating, &[]), Ok(()));
    assert_eq!(route(&net, 1, &["{hello}new"], migrating, &[]), Ok(()));
    // With the keys gone, the slot goes.
    let refused = format!(
        "-ERR Can't assign hashslot {slot} to a different node while I still hold keys for this hash slot.\r\n"
    );
    assert_eq!(net.command(0, &format!("SETSLOT {slot} NODE {target}")), refused);
    net.hosts[0].keys.clear();
    let epoch = net.node(1).me().config_epoch();
    assert_eq!(net.command(1, &format!("SETSLOT {slot} NODE {target}")), "+OK\r\n");
    assert_eq!(net.command(0, &format!("SETSLOT {slot} NODE {target}")), "+OK\r\n");
    assert!(net.node(1).me().config_epoch() > epoch);
    net.settle(5_000);
    assert_eq!(net.node(2).owner(slot).map(|owner| owner.id()), Some(target));
    assert_eq!(route(&net, 0, &["hello"], writing(), &[]), moved(2));
}

#[test]
fn keys_of_slots_that_were_taken_are_dropped() {
    let mut net = Net::cluster(3, 3, 0, &options(2000));
    let slot = key_slot(b"hello");
    let (source, target) = (net.id(0), net.id(1));
    assert_eq!(net.command(1, &format!("SETSLOT {slot} IMPORTING {source}")), "+OK\r\n");
    assert_eq!(net.command(1, &format!("SETSLOT {slot} NODE {target}")), "+OK\r\n");
    net.settle(5_000);
    assert_eq!(net.hosts[0].dropped.iter().collect::<Vec<_>>(), [slot]);
    assert!(net.is_master(0));
}

#[test]
fn a_cluster_that_is_down_serves_what_it_is_told_to() {
    let mut net = Net::cluster(4, 3, 0, &options(2000));
    let channel = Access { shard_channel: true, ..Access::default() };
    net.crash(2, false);
    net.run_until(20_000, |net| !net.node(0).is_up());
    let down = Err("CLUSTERDOWN The cluster is down".to_owned());
    assert_eq!(route(&net, 0, &["hello"], Access::default(), &[]), down);
    assert_eq!(route(&net, 0, &[], Access::default(), &[]), Ok(()));
    assert_eq!(route(&net, 0, &["hello"], channel, &[]), Ok(()));
    assert_eq!(net.node(0).route_blocked(b"hello", false), Err(Redirection::Down));
    net.configure(0, |options| {
        options.allow_reads_when_down = true;
        options.allow_shard_channels_when_down = false;
    });
    assert_eq!(route(&net, 0, &["hello"], Access::default(), &[]), Ok(()));
    let read_only = "CLUSTERDOWN The cluster is down and only accepts read commands";
    assert_eq!(route(&net, 0, &["hello"], writing(), &[]), Err(read_only.into()));
    assert_eq!(route(&net, 0, &["hello"], channel, &[]), down);
    // Without full coverage, a majority is enough.
    net.configure(0, |options| options.require_full_coverage = false);
    net.run(1_000);
    assert!(net.node(0).is_up());
    assert_eq!(route(&net, 0, &["hello"], writing(), &[]), Ok(()));
    let slot = key_slot(b"hello");
    assert_eq!(net.command(0, &format!("DELSLOTS {slot}")), "+OK\r\n");
    let unbound = "CLUSTERDOWN Hash slot not served";
    assert_eq!(route(&net, 0, &["hello"], writing(), &[]), Err(unbound.into()));
    assert_eq!(net.node(0).route_blocked(b"hello", false), Err(Redirection::Unbound));
}

#[test]
fn a_blocked_client_is_sent_on_when_its_slot_moves() {
    let net = Net::cluster(5, 3, 1, &options(2000));
    assert_eq!(net.node(0).route_blocked(b"hello", false), Ok(()));
    let moved = Redirection::Moved { slot: key_slot(b"hello"), ip: "10.0.0.1".into(), port: 6379 };
    assert_eq!(net.node(1).route_blocked(b"hello", false), Err(moved.clone()));
    assert_eq!(net.node(3).route_blocked(b"hello", false), Err(moved));
    assert_eq!(net.node(3).route_blocked(b"hello", true), Ok(()));
}
