//! Snapshots and dumps: ours come back as they were, a real redis-server 7.0 loads them, and we load its own.

mod common;

use std::process::Command;

use common::{
    Raw, RealRedis, Reply, block_on,
    contents::{contents, describe, difference, different_part, keys, restore_all, snapshot},
    serve,
};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use redis_middleware::{
    Options, Server,
    rdb::{self, RdbError, ReplicationPoint},
};

#[allow(dead_code, reason = "shared with the conformance test")]
#[path = "conformance/commands.rs"]
mod commands;
#[allow(dead_code, reason = "shared with the conformance test")]
#[path = "conformance/streams.rs"]
mod streams;
#[allow(dead_code, reason = "shared with the conformance test")]
#[path = "conformance/values.rs"]
mod values;
use commands::Draw;

/// Commands whose values have every encoding of Redis: small and large aggregates, integers of all widths, text that
/// is compressed, nodes of streams with deleted entries.
fn larger_values() -> Vec<Vec<Vec<u8>>> {
    let words = |line: String| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let many = |command: &str, count: usize, word: &dyn Fn(usize) -> String| {
        words(format!("{command} {}", (0..count).map(word).collect::<Vec<_>>().join(" ")))
    };
    let long = "lorem ipsum dolor ".repeat(40).replace(' ', "_");
    let mut all = vec![
        words("SET integer8 -128".into()),
        words("SET integer16 32767".into()),
        words("SET integer32 -2147483648".into()),
        words("SET integer64 9223372036854775807".into()),
        words("SET almost 012".into()),
        words(format!("SET long {long}")),
        words(format!("PSETEX expiring 100000000 {long}")),
        vec![b"SET".to_vec(), b"binary".to_vec(), (0..=255).collect()],
        words("SADD intset16 -1 2 3".into()),
        words("SADD intset32 70000 -70000".into()),
        words("SADD intset64 1 9223372036854775807 -9223372036854775808".into()),
        many("SADD large-set", 1000, &|i| format!("member{i}")),
        many("SADD large-intset", 600, &|i| (i * 3).to_string()),
        words(format!("HSET small-hash a 1 b -2 c {long} 12 12345678901234567890")),
        words("HSET packed-hash a 1 b -2 c 4096 d 70000 e 9000000 f 3000000000 g 9223372036854775807".into()),
        many("HSET large-hash", 700, &|i| format!("field{i} value{i}")),
        words("ZADD small-zset 1 a 1.5 b -inf c inf d 0.1 e 3e300 f 5e-324 g -0 h".into()),
        many("ZADD large-zset", 300, &|i| format!("{}.5 member{i}", 1000 - i)),
        words("RPUSH small-list a 1 b 2".into()),
        many("RPUSH large-list", 5000, &|i| format!("element{i}")),
        words(format!("RPUSH list-of-long {}", long.repeat(20))),
        words("XGROUP CREATE empty-stream group 0 MKSTREAM".into()),
        words("XGROUP CREATECONSUMER empty-stream group nobody".into()),
    ];
    for id in 1..=250 {
        let fields = if id % 7 == 0 { "other x" } else { "field" };
        let fields = if id % 7 == 0 { format!("{fields} {fields}") } else { format!("{fields} {id}") };
        all.push(words(format!("XADD stream {id}000-{} {fields}", id % 3)));
    }
    for line in [
        "XGROUP CREATE stream group 0",
        "XGROUP CREATE stream late $ ENTRIESREAD 7",
        "XREADGROUP GROUP group alice COUNT 30 STREAMS stream >",
        "XREADGROUP GROUP group bob COUNT 5 STREAMS stream >",
        "XACK stream group 1000-1 31000-1",
        "XDEL stream 2000-2 150000-0 249000-0 250000-1",
        "XTRIM stream MAXLEN 200",
        "XSETID stream 999999-5 ENTRIESADDED 400 MAXDELETEDID 260000-0",
    ] {
        all.push(words(line.into()));
    }
    all
}

async fn run(connection: &mut Raw, commands: &[Vec<Vec<u8>>]) {
    for command in commands {
        let reply = connection.command(command).await;
        assert!(!matches!(reply, Reply::Line(b'-', _)), "{command:?} gives {reply:?}");
    }
}

/// Draws commands and runs them, whatever they reply.
async fn run_drawn(connection: &mut Raw, seed: u64, count: usize) {
    let random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = if seed.is_multiple_of(2) { Draw::new(random) } else { Draw::mostly_streams(random) };
    for _ in 0..count {
        let drawn = draw.command();
        // Data for the next command is to be left, and it is to be run at once.
        if !matches!(drawn.name().as_str(), "flushall" | "multi" | "watch") {
            connection.command(&drawn.args).await;
        }
    }
}

async fn our_server() -> (Server, Raw) {
    let server = Server::new(Options::default());
    let port = serve(server.clone()).await;
    (server, Raw::connect(port).await)
}

#[test]
fn snapshots_come_back_as_they_were() {
    block_on(async {
        let (server, mut connection) = our_server().await;
        for seed in 0..60 {
            connection.words("FLUSHALL").await;
            if seed == 0 {
                run(&mut connection, &larger_values()).await;
            }
            run_drawn(&mut connection, seed, 150).await;
            let bytes = snapshot(&server);
            let decoded = rdb::decode(&bytes, None).expect("our own snapshot");
            assert_eq!(decoded.length, bytes.len());
            assert!(rdb::encode(&decoded.keyspace, &decoded.origin) == bytes, "seed {seed}");
            let (_, mut copy) = our_server().await;
            restore_all(&mut copy, &decoded.keyspace).await;
            let names = keys(&mut connection).await;
            assert!(keys(&mut copy).await == names, "seed {seed}");
            for name in names {
                let (here, there) =
                    (describe(&mut connection, &name, false).await, describe(&mut copy, &name, false).await);
                let pairs = here.iter().zip(&there);
                let differs = pairs.into_iter().find_map(|(here, there)| different_part(here, there));
                assert_eq!(differs, None, "seed {seed}, {:?}", String::from_utf8_lossy(&name));
            }
        }
    });
}

#[test]
fn what_a_snapshot_says_about_itself_comes_back() {
    let origin = rdb::Origin {
        created_s: 1_700_000_000,
        used_memory: 1 << 33,
        replication: Some(ReplicationPoint {
            id: "0123456789abcdef".repeat(3)[..40].into(),
            offset: 1 << 40,
        }),
        aof_base: true,
    };
    let decoded = rdb::decode(&rdb::encode(&Default::default(), &origin), None).expect("a snapshot");
    assert_eq!(decoded.origin, origin);
    assert!(decoded.keyspace.is_empty());
}

#[test]
fn a_master_leaves_out_keys_whose_time_has_come() {
    block_on(async {
        let (server, mut connection) = our_server().await;
        run(&mut connection, &larger_values()).await;
        connection.words("SET soon x PXAT 4000000000000").await;
        let bytes = snapshot(&server);
        let kept = |before_ms| {
            let decoded = rdb::decode(&bytes, before_ms).expect("our own snapshot");
            (
                decoded.keyspace.get(b"soon").is_some(),
                decoded.keyspace.get(b"long").is_some(),
                decoded.expired,
            )
        };
        assert_eq!(kept(None), (true, true, 0));
        assert_eq!(kept(Some(4_000_000_000_000)), (true, true, 1));
        assert_eq!(kept(Some(4_000_000_000_001)), (false, true, 2));
    });
}

#[test]
fn a_real_server_loads_our_snapshots() {
    block_on(async {
        for seed in 0..6 {
            let (server, mut connection) = our_server().await;
            run(&mut connection, &larger_values()).await;
            run_drawn(&mut connection, seed, 400).await;
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("dump.rdb");
            std::fs::write(&path, snapshot(&server)).expect("writes");
            let Some(real) = RealRedis::start_in(directory.path(), "no").await else { return };
            let mut real = Raw::connect(real.port).await;
            let (ours, theirs) = (contents(&mut connection).await, contents(&mut real).await);
            assert_eq!(difference(&ours, &theirs), None, "seed {seed}");
            let check = Command::new("redis-check-rdb").arg(&path).output().expect("redis-check-rdb");
            assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        }
    });
}

#[test]
fn we_load_the_snapshots_of_a_real_server() {
    block_on(async {
        for seed in 0..6 {
            let directory = tempfile::tempdir().expect("a directory");
            let Some(real) = RealRedis::start_in(directory.path(), "no").await else { return };
            let mut real = Raw::connect(real.port).await;
            if seed == 0 {
                // As large elements as a node of their own has.
                real.words("CONFIG SET list-max-listpack-size -1").await;
            }
            run(&mut real, &larger_values()).await;
            run_drawn(&mut real, seed, 400).await;
            let huge = [b"RPUSH".to_vec(), b"huge".to_vec(), vec![b'x'; 100], vec![7; 1 << 21]];
            run(&mut real, &[huge.to_vec(), vec![b"SAVE".to_vec()]]).await;
            let bytes = std::fs::read(directory.path().join("dump.rdb")).expect("reads");
            let decoded = rdb::decode(&bytes, None).expect("a real server's snapshot");
            let (_, mut connection) = our_server().await;
            restore_all(&mut connection, &decoded.keyspace).await;
            let (theirs, ours) = (contents(&mut real).await, contents(&mut connection).await);
            assert_eq!(difference(&theirs, &ours), None, "seed {seed}");
        }
    });
}

#[test]
fn dumps_are_exchanged_with_a_real_server() {
    block_on(async {
        let Some(real) = RealRedis::start().await else { return };
        for seed in 10..22 {
            let mut real = Raw::connect(real.port).await;
            real.words("FLUSHALL").await;
            let (_, mut ours) = our_server().await;
            for connection in [&mut real, &mut ours] {
                run(connection, &larger_values()).await;
                run_drawn(connection, seed, 200).await;
            }
            let (_, mut ours_restored) = our_server().await;
            carry(&mut real, &mut ours_restored).await;
            let theirs = contents(&mut real).await;
            assert_eq!(
                difference(&theirs, &contents(&mut ours_restored).await),
                None,
                "seed {seed}, from Redis"
            );
            real.words("FLUSHALL").await;
            carry(&mut ours, &mut real).await;
            let all_ours = contents(&mut ours).await;
            assert_eq!(difference(&all_ours, &contents(&mut real).await), None, "seed {seed}, to Redis");
        }
    });
}

/// Carries every key by `DUMP` and `RESTORE`.
async fn carry(from: &mut Raw, to: &mut Raw) {
    for key in keys(from).await {
        let payload = from.command(&[b"DUMP".to_vec(), key.clone()]).await;
        let expires = from.command(&[b"PEXPIRETIME".to_vec(), key.clone()]).await;
        let Reply::Bulk(_, Some(payload)) = payload else { panic!("{payload:?}") };
        let ttl = expires.integer().unwrap_or(0).max(0).to_string();
        let command = [b"RESTORE".to_vec(), key.clone(), ttl.into_bytes(), payload, b"ABSTTL".to_vec()];
        let reply = to.command(&command).await;
        assert_eq!(reply, Reply::Line(b'+', "OK".into()), "{:?}", String::from_utf8_lossy(&key));
    }
}

#[test]
fn what_cannot_be_held_is_refused_with_a_reason() {
    let with = |body: &[u8]| {
        let bytes = [b"REDIS0010".as_slice(), body, &[255], &[0; 8]].concat();
        rdb::decode(&bytes, None).map(|_| ())
    };
    assert_eq!(with(b""), Ok(()));
    for body in
        [&b"\xf5\x03lib"[..], b"\xf7\x01\x02\x00", b"\xfe\x01", b"\x06\x01k", b"\x07\x01k", b"\x0d\x01k\x01x"]
    {
        assert!(matches!(with(body), Err(RdbError::Unsupported(_))), "{body:?}");
    }
    assert!(matches!(with(b"\x00\x01k\x01v\x00\x01k\x01v"), Err(RdbError::Corrupt { .. })));
    assert_eq!(rdb::decode(b"RADIS0010", None).map(|_| ()), Err(RdbError::WrongSignature));
    assert_eq!(rdb::decode(b"REDIS0011", None).map(|_| ()), Err(RdbError::UnsupportedVersion(11)));
    let mut bytes = rdb::encode(&Default::default(), &rdb::Origin::default());
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(matches!(rdb::decode(&bytes, None), Err(RdbError::WrongChecksum { .. })));
}

/// A snapshot and a dump of every kind of value, from our server.
fn samples() -> Vec<Vec<u8>> {
    block_on(async {
        let (server, mut connection) = our_server().await;
        run(&mut connection, &larger_values()).await;
        let dumps =
            server.inspect(|keyspace| keyspace.iter().map(|(_, value)| rdb::dump(value)).collect::<Vec<_>>());
        [vec![snapshot(&server)], dumps].concat()
    })
}

/// Sets the checksum right, so that what is wrong is looked at.
fn with_checksum(bytes: &[u8]) -> Vec<u8> {
    let Some(end) = bytes.len().checked_sub(8) else { return bytes.to_vec() };
    let checksum = crc::Crc::<u64>::new(&crc::CRC_64_REDIS).checksum(&bytes[..end]);
    [&bytes[..end], &checksum.to_le_bytes()].concat()
}

fn decode_both(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), with_checksum(bytes)] {
        if let Ok(decoded) = rdb::decode(&bytes, None) {
            rdb::encode(&decoded.keyspace, &decoded.origin);
        }
        if let Ok(value) = rdb::restore(&bytes) {
            assert!(rdb::restore(&rdb::dump(&value)).is_ok());
        }
    }
}

#[test]
fn mutated_snapshots_and_dumps_never_panic() {
    let samples = samples();
    let mutated = (
        proptest::sample::select(samples),
        proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        any::<Option<proptest::sample::Index>>(),
    );
    let config = ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |((mut bytes, changes, cut) in mutated)| {
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        decode_both(&bytes);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..20_u8) {
        decode_both(&bytes);
        decode_both(&[b"REDIS0010".as_slice(), &bytes].concat());
        decode_both(&[&[kind], bytes.as_slice(), &[10, 0], &[0; 8]].concat());
    }
}

#[test]
fn announced_sizes_are_not_reserved() {
    let huge = [0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for kind in 0..20 {
        let body = [&[kind, 1, b'k'], &huge[..], &huge, &huge].concat();
        decode_both(&[b"REDIS0010".as_slice(), &body].concat());
        decode_both(&[&[kind], &huge[..], &huge, &[10, 0], &[0; 8]].concat());
        // Compressed: three bytes that announce the largest string.
        decode_both(&[&[kind, 0xc3, 3], &huge[..], b"aaa", &[10, 0], &[0; 8]].concat());
    }
}
