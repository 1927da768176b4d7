//! What happens when memory runs out.

use std::{collections::BTreeSet, time::Duration};

use redis_middleware::{Config, EvictionPolicy, Keyspace};
use world::time;

use crate::{
    duet::compare,
    line::{A_MOMENT, Line, boot, quick, simulate, until_linked},
};

#[test]
fn without_eviction_what_needs_memory_is_refused_as_redis_does() {
    compare(&["
        1: RPUSH l 1
        1: SET k v
        1: CONFIG SET maxmemory nope
        1: CONFIG SET maxmemory-policy nope
        1: CONFIG SET maxmemory 1
        1: GET k
        1: SET k w
        1: DEL nothing
        1: RPUSH l 2
        1: LPOP l
        1: BLMOVE a b LEFT RIGHT 0
        1: BLPOP a 0.01
        1: EXPIRE k 100
        1: EVAL return(redis.call('SET','k','x')) 0
        1: EVAL return(redis.call('GET','k')) 0
        1: EVAL redis.call('DEL','k')return(redis.call('SET','k','x')) 0
        1: GET k
        1: XGROUP CREATE x g $ MKSTREAM
        1: XGROUP DESTROY x g
        1: PUBLISH a b
        1: WATCH k
        1: MULTI
        1: GET k
        1: EXEC
        1: CONFIG SET maxmemory 0
        1: MULTI
        1: SET k y
        2: CONFIG SET maxmemory 1
        1: EXEC
        1: GET k
        1: MULTI
        1: DISCARD
        2: CONFIG SET maxmemory 0
        1: SET k z
    "]);
}

/// Writes keys to a server that has no room for all, some of them with an expiry; uses those with a small number.
async fn fill(line: &mut Line) {
    for number in 0..300 {
        let expiry = if number % 2 == 0 { format!("EX {}", 1000 + number) } else { String::new() };
        line.ask(format!("SET key:{number:03} {} {expiry}", "x".repeat(1000)).trim_end()).await;
        for used in 0..10 {
            line.say(&format!("GET key:00{used}")).await;
        }
        if number % 20 == 0 {
            // Recency is counted in seconds.
            time::sleep(Duration::from_secs(2)).await;
        }
        line.hear(A_MOMENT).await;
    }
}

#[test]
fn every_policy_keeps_the_memory_and_the_keys_that_it_promises() {
    use EvictionPolicy::{
        AllKeysLfu, AllKeysLru, AllKeysRandom, NoEviction, VolatileLfu, VolatileLru, VolatileRandom,
        VolatileTtl,
    };
    for policy in [
        VolatileLru,
        VolatileLfu,
        VolatileRandom,
        VolatileTtl,
        AllKeysLru,
        AllKeysLfu,
        AllKeysRandom,
        NoEviction,
    ] {
        simulate(policy as u64, move || async move {
            let limit = 200 * 1100;
            let config = Config { maxmemory: limit, maxmemory_policy: policy, ..quick() };
            let servers = boot(2, &config);
            Line::to(2).await.ask("REPLICAOF redis-1 6379").await;
            until_linked(2).await;
            let mut line = Line::to(1).await;
            fill(&mut line).await;
            time::sleep(Duration::from_millis(100)).await;
            let names = |number: usize| -> BTreeSet<String> {
                servers[number - 1].0.inspect(|keyspace| {
                    keyspace.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
                })
            };
            let kept = names(1);
            assert_eq!(names(2), kept, "{policy:?}: the replica has what the master has");
            let used = servers[0].0.inspect(Keyspace::used_memory) as u64;
            assert!(used <= limit + 1200 && used > limit / 2, "{policy:?}: {used}");
            let is_volatile = |name: &String| name.ends_with(['0', '2', '4', '6', '8']);
            let used_often = |name: &&String| name.starts_with("key:00");
            let full = line.ask(&format!("SET more {}", "x".repeat(2000))).await;
            match policy {
                NoEviction => {
                    assert!(full.starts_with("-OOM"), "{full}");
                    assert!(kept.contains("key:000") && !kept.contains("key:299"));
                }
                AllKeysLru | AllKeysLfu => {
                    assert_eq!(kept.iter().filter(used_often).count(), 10, "{policy:?}: {kept:?}");
                    assert_eq!(full, "+OK");
                }
                AllKeysRandom => assert_eq!(full, "+OK"),
                _ => {
                    let lasting = kept.iter().filter(|name| !is_volatile(name)).count();
                    assert_eq!(lasting, 150, "{policy:?} takes only what expires");
                    if policy == VolatileTtl {
                        assert!(!kept.contains("key:000") && kept.contains("key:298"), "{kept:?}");
                    } else if policy != VolatileRandom {
                        assert_eq!(kept.iter().filter(used_often).count(), 10, "{policy:?}: {kept:?}");
                    }
                }
            }
        });
    }
}
