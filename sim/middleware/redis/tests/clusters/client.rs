//! The cluster client of `wire` against six real servers: over all slots, through a migration, and through the death of
//! a master under load.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use redis::{AsyncCommands, Pipeline, RedisError, Script, Value};
use redis_protocol::redis_keyslot;
use wire::redis::{Durability, cluster::ClusterClient, was_not_executed, was_not_replicated, was_not_sent};
use world::{
    engines::EngineKind,
    sim, task,
    time::{self, Instant},
};

use crate::{
    common,
    real::{RealCluster, ask, command, port_of, until},
    stage::NODE_TIMEOUT,
};

const SLOTS: usize = 16_384;

/// The master of a slot, as the node of a port says.
async fn master_of(asked: u16, slot: u16) -> u16 {
    let ranges: Vec<Vec<Value>> = ask(asked, "CLUSTER SLOTS").await.expect("the slots");
    let port = ranges.iter().find_map(|range| match range.as_slice() {
        [Value::Int(first), Value::Int(last), Value::Array(master), ..]
            if (*first..=*last).contains(&slot.into()) =>
        {
            master.get(1)
        }
        _ => None,
    });
    redis::from_redis_value(port.expect("the slot is served").clone()).expect("a port")
}

/// A key for every slot.
fn a_key_per_slot() -> Vec<String> {
    let mut keys = vec![String::new(); SLOTS];
    let mut missing = SLOTS;
    for number in 0.. {
        let key = format!("key:{number}");
        let place = &mut keys[usize::from(redis_keyslot(key.as_bytes()))];
        if place.is_empty() {
            *place = key;
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
    }
    keys
}

/// A key in a slot that this master serves.
async fn key_at(port: u16, keys: &[String]) -> String {
    for key in keys {
        if master_of(port, redis_keyslot(key.as_bytes())).await == port {
            return key.clone();
        }
    }
    panic!("it serves nothing");
}

#[test]
fn six_real_servers() {
    if !common::has_real_redis() {
        return;
    }
    let config = sim::Config { engine: EngineKind::Tokio, ..sim::Config::new(1) };
    let outcome = sim::run(config, || async {
        let cluster = Arc::new(RealCluster::start(NODE_TIMEOUT, &[]).await);
        let keys = a_key_per_slot();
        let client = cluster.client(None);
        all_slots(&client, &keys).await;
        scripts_and_transactions(&client, &keys).await;
        a_slot_migrates(&client, &keys).await;
        a_master_dies(&cluster, &keys).await;
    });
    assert!(outcome.result.is_ok(), "{:?} {:?}", outcome.result.err(), outcome.panics);
    for mark in ["moved", "ask", "backing-off", "refresh-after-failure", "not-replicated", "script-loaded"] {
        assert!(outcome.coverage[&format!("redis.client.{mark}")].hits > 0, "{mark}");
    }
}

async fn all_slots(client: &ClusterClient, keys: &[String]) {
    let mut redis = client.connection();
    for part in keys.chunks(2048) {
        let mut pipeline = Pipeline::new();
        for key in part {
            pipeline.set(key, format!("value of {key}")).ignore().get(key);
        }
        let values: Vec<String> = pipeline.query_async(&mut redis).await.expect("a pipeline");
        let expected: Vec<String> = part.iter().map(|key| format!("value of {key}")).collect();
        assert_eq!(values, expected);
    }
    for key in keys.iter().step_by(100) {
        let value: String = redis.get(key).await.expect("GET");
        assert_eq!(value, format!("value of {key}"));
    }
    let size: usize = command("DBSIZE").query_async(&mut redis).await.expect("DBSIZE");
    assert_eq!(size, SLOTS);
    let all: BTreeSet<String> = redis.keys("*").await.expect("KEYS");
    assert_eq!(all.len(), SLOTS);
    let error = redis.del::<_, i64>(&keys[..2]).await.expect_err("two slots");
    assert!(error.code() == Some("CROSSSLOT") && was_not_executed(&error), "{error}");
}

async fn scripts_and_transactions(client: &ClusterClient, keys: &[String]) {
    let mut redis = client.connection();
    let script = Script::new("return redis.call('APPEND', KEYS[1], ARGV[1])");
    for key in keys.iter().step_by(1000) {
        let length: usize = script.key(key).arg("!").invoke_async(&mut redis).await.expect("a script");
        assert_eq!(length, format!("value of {key}!").len());
        let (first, second): (i64, i64) = Pipeline::new()
            .atomic()
            .incr(format!("{{{key}}}:n"), 1)
            .incr(format!("{{{key}}}:n"), 1)
            .query_async(&mut redis)
            .await
            .expect("a transaction");
        assert_eq!((first, second), (1, 2));
    }
}

/// Moves a slot with some keys while commands go on.
async fn a_slot_migrates(client: &ClusterClient, keys: &[String]) {
    let mut redis = client.connection();
    let names: Vec<String> = (0..20).map(|number| format!("{{moving}}:{number}")).collect();
    for name in &names {
        let () = redis.set(name, 0).await.expect("SET");
    }
    let slot = redis_keyslot(b"moving");
    let masters: Vec<u16> = client.masters().await.expect("masters").iter().map(port_of).collect();
    let source = master_of(masters[0], slot).await;
    let target = *masters.iter().find(|port| **port != source).expect("another");
    let source_id: String = ask(source, "CLUSTER MYID").await.expect("an id");
    let target_id: String = ask(target, "CLUSTER MYID").await.expect("an id");
    let set_slot = |port, what: String| async move {
        let () = ask(port, &format!("CLUSTER SETSLOT {slot} {what}")).await.expect("SETSLOT");
    };
    set_slot(target, format!("IMPORTING {source_id}")).await;
    set_slot(source, format!("MIGRATING {target_id}")).await;
    let migrate = |name: &str| format!("MIGRATE 127.0.0.1 {target} {name} 0 1000");
    let moved: String = ask(source, &migrate(&keys[usize::from(slot)])).await.expect("MIGRATE");
    assert_eq!(moved, "OK");
    // One key after the other; in between, all of them are written, and so is one that did not exist before.
    for (round, name) in names.iter().enumerate() {
        let moved: String = ask(source, &migrate(name)).await.expect("MIGRATE");
        assert_eq!(moved, "OK");
        let mut pipeline = Pipeline::new();
        for name in &names {
            pipeline.incr(name, 1);
        }
        let values: Vec<usize> = pipeline.query_async(&mut redis).await.expect("a pipeline");
        assert_eq!(values, vec![round + 1; names.len()]);
        let fresh: i64 = redis.incr(format!("{{moving}}:fresh-{round}"), 1).await.expect("INCR");
        assert_eq!(fresh, 1);
    }
    // Several keys of which some are there and some are not: later, as long as this lasts.
    let (both, mut other) = ([names[0].clone(), "{moving}:nowhere".to_owned()], client.connection());
    let put_off = task::spawn(async move { other.mget::<_, Vec<Option<i64>>>(&both[..]).await });
    time::sleep(Duration::from_millis(300)).await;
    assert!(!put_off.is_finished());
    for port in [target, source] {
        set_slot(port, format!("NODE {target_id}")).await;
    }
    let values = put_off.await.expect("not aborted");
    assert_eq!(values, Ok(vec![Some(20), None]));
    let value: i64 = redis.get(&names[3]).await.expect("GET");
    assert_eq!(value, 20);
}

/// What a writer saw.
#[derive(Default)]
struct Written {
    acknowledged: BTreeSet<String>,
    errors: Vec<RedisError>,
}

/// Writes fresh keys, which begin alike, until it is time to stop.
async fn write(client: ClusterClient, prefix: String, pause: Duration, stop: Instant) -> Written {
    let mut redis = client.connection();
    let mut written = Written::default();
    for number in 0.. {
        if Instant::now() > stop {
            break;
        }
        let name = format!("{prefix}:{number}");
        match redis.set::<_, _, ()>(&name, number).await {
            Ok(()) => {
                written.acknowledged.insert(name);
            }
            Err(error) => written.errors.push(error),
        }
        time::sleep(pause).await;
    }
    written
}

async fn a_master_dies(cluster: &Arc<RealCluster>, keys: &[String]) {
    let durability = Some(Durability { replicas: 1, timeout: Duration::from_millis(500) });
    let client = cluster.client(durability);
    let masters = client.masters().await.expect("masters");
    let (victim, survivor) = (port_of(&masters[0]), port_of(&masters[1]));
    let near = key_at(victim, keys).await;
    let slot = redis_keyslot(near.as_bytes());
    let started = Instant::now();
    let stop = started + Duration::from_secs(14);
    // Some all over the cluster, and some that always have a write under way at the master that will die.
    let all_over = keys.iter().step_by(700).map(|key| (key, Duration::from_millis(5)));
    let busy = std::iter::repeat_n((&near, Duration::from_micros(100)), 4);
    let writers: Vec<_> = all_over
        .chain(busy)
        .enumerate()
        .map(|(writer, (key, pause))| {
            task::spawn(write(client.clone(), format!("{{{key}}}:{writer}"), pause, stop))
        })
        .collect();
    time::sleep(Duration::from_secs(2)).await;
    cluster.kill(victim);
    until("a replica is elected", || async { master_of(survivor, slot).await != victim }).await;
    // The new master has no replica until the old one is back.
    time::sleep(Duration::from_secs(2)).await;
    cluster.boot(victim);
    let mut written = Vec::new();
    for writer in writers {
        written.push(writer.await.expect("not aborted"));
    }
    let errors: Vec<&RedisError> = written.iter().flat_map(|written| &written.errors).collect();
    let count = |is_so: &dyn Fn(&RedisError) -> bool| errors.iter().filter(|error| is_so(error)).count();
    let not_replicated = count(&was_not_replicated);
    let lost = count(&|error| error.is_io_error() && !was_not_replicated(error) && !was_not_sent(error));
    let acknowledged: usize = written.iter().map(|written| written.acknowledged.len()).sum();
    eprintln!("{acknowledged} acknowledged, {not_replicated} not replicated, {lost} lost");
    // What was certainly not executed was sent again until it was.
    assert_eq!(
        not_replicated + lost,
        errors.len(),
        "{:?}",
        errors.iter().map(|e| e.to_string()).collect::<BTreeSet<_>>()
    );
    assert!(lost <= written.len(), "at most one for each writer, when the master died");
    let reader = cluster.client(None);
    for name in written.iter().flat_map(|written| &written.acknowledged).collect::<Vec<_>>().chunks(1000) {
        let mut pipeline = Pipeline::new();
        for name in name {
            pipeline.exists(*name);
        }
        let found: Vec<bool> = pipeline.query_async(&mut reader.connection()).await.expect("a pipeline");
        assert!(found.iter().all(|found| *found), "an acknowledged write is lost");
    }
    // All is durable again, and scripts run on the new master, which nobody loaded them into.
    let mut redis = client.connection();
    let () = redis.set(&near, "back").await.expect("a durable write");
    let script = Script::new("return redis.call('GET', KEYS[1])");
    for key in [&keys[0], &near] {
        let _: String = script.key(key).invoke_async(&mut redis).await.expect("a script");
    }
}
