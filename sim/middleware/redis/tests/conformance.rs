//! Random sequences of commands, drawn by seed, sent to our server and to a real redis-server 7.0, and compared
//! reply by reply, byte by byte where Redis promises an order.

mod common;

use common::{Raw, RealRedis, Reply, block_on, serve};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redis_middleware::{Options, Server};

#[path = "conformance/commands.rs"]
mod commands;
#[path = "conformance/streams.rs"]
mod streams;
#[path = "conformance/values.rs"]
mod values;
use commands::{Draw, Drawn};

const COMMANDS_PER_SEQUENCE: usize = 40;
/// After so many sequences with a difference, the others are not played.
const MAX_DIFFERENCES: usize = 10;

/// The same connections to both servers.
struct Pair {
    ours: Vec<Raw>,
    real: Vec<Raw>,
    /// Per connection: the commands queued since MULTI.
    queued: Vec<Option<Vec<Drawn>>>,
}

impl Pair {
    async fn connect(ours: u16, real: u16, resp3: bool) -> Self {
        let mut pair = Self { ours: vec![], real: vec![], queued: vec![None, None] };
        for _ in 0..2 {
            for (port, connections) in [(ours, &mut pair.ours), (real, &mut pair.real)] {
                let mut connection = Raw::connect(port).await;
                if resp3 {
                    connection.words("HELLO 3").await;
                }
                connections.push(connection);
            }
        }
        for connection in [&mut pair.ours[0], &mut pair.real[0]] {
            connection.words("FLUSHALL").await;
            connection.words("SCRIPT FLUSH").await;
        }
        pair
    }

    /// Sends a command over one of the connections; both replies, made comparable.
    async fn send(&mut self, connection: usize, drawn: &Drawn) -> (Reply, Reply) {
        let ours = self.ours[connection].command(&drawn.args).await;
        let real = self.real[connection].command(&drawn.args).await;
        let queued = &mut self.queued[connection];
        let is_queued = |reply: &Reply| *reply == Reply::Line(b'+', "QUEUED".into());
        match (drawn.name().as_str(), &real) {
            ("multi", Reply::Line(b'+', _)) => *queued = Some(vec![]),
            ("discard", Reply::Line(b'+', _)) => *queued = None,
            ("exec", _) => {
                let Some(queued) = queued.take() else { return (ours, real) };
                return (comparable_all(&queued, ours), comparable_all(&queued, real));
            }
            _ if is_queued(&real) => {
                queued.get_or_insert_default().push(drawn.clone());
                return (ours, real);
            }
            _ => {}
        }
        (comparable(drawn, ours), comparable(drawn, real))
    }
}

/// The replies of a transaction.
fn comparable_all(queued: &[Drawn], reply: Reply) -> Reply {
    match reply {
        Reply::Many(kind, Some(items)) if items.len() == queued.len() => {
            let items = queued.iter().zip(items).map(|(drawn, item)| comparable(drawn, item)).collect();
            Reply::Many(kind, Some(items))
        }
        other => other,
    }
}

/// Sorts what has no order and rounds what depends on the clock.
fn comparable(drawn: &Drawn, reply: Reply) -> Reply {
    let sorted = |kind, mut items: Vec<Reply>, size: usize| {
        let mut chunks: Vec<Vec<Reply>> = items.chunks(size).map(<[Reply]>::to_vec).collect();
        chunks.sort();
        items = chunks.concat();
        Reply::Many(kind, Some(items))
    };
    match (drawn.name().as_str(), reply) {
        ("hgetall", Reply::Many(kind, Some(items))) => sorted(kind, items, 2),
        ("srandmember" | "hrandfield" | "zrandmember", reply) => chosen(drawn, reply),
        (
            "hkeys" | "hvals" | "smembers" | "keys" | "sinter" | "sunion" | "sdiff" | "spop",
            Reply::Many(kind, Some(items)),
        ) => sorted(kind, items, 1),
        (name @ ("scan" | "hscan" | "sscan" | "zscan"), Reply::Many(kind, Some(mut items))) => {
            if let Some(Reply::Many(inner, Some(list))) = items.pop() {
                let size = if matches!(name, "hscan" | "zscan") { 2 } else { 1 };
                items.push(sorted(inner, list, size));
            }
            Reply::Many(kind, Some(items))
        }
        // Which encoding a value has is each server's own.
        ("dump", Reply::Bulk(kind, Some(_))) => Reply::Bulk(kind, Some(vec![])),
        // Times that are left, in coarse steps; those that are over or missing, exactly.
        ("pttl", reply) => coarse(reply, 100_000),
        ("ttl", reply) => coarse(reply, 100),
        ("pexpiretime", reply) => coarse(reply, 100_000),
        ("expiretime", reply) => coarse(reply, 100),
        ("time", Reply::Many(kind, Some(items))) => {
            Reply::Many(kind, Some(items.into_iter().map(|_| Reply::Closed).collect()))
        }
        (name, reply) if name.starts_with('x') || name.starts_with("eval") => {
            streams::without_clock(drawn, reply)
        }
        (_, reply) => reply,
    }
}

/// Elements chosen at random, if they are all; otherwise, how many.
fn chosen(drawn: &Drawn, reply: Reply) -> Reply {
    let takes_all = drawn.args.get(2).is_some_and(|count| count == b"1000");
    match reply {
        Reply::Many(kind, Some(items)) if takes_all => {
            // In RESP2, a field and its value come in one row.
            let pairs = drawn.args.len() > 3 && matches!(items.first(), Some(Reply::Bulk(..)));
            let mut chunks: Vec<Vec<Reply>> =
                items.chunks(if pairs { 2 } else { 1 }).map(<[Reply]>::to_vec).collect();
            chunks.sort();
            Reply::Many(kind, Some(chunks.concat()))
        }
        Reply::Many(kind, Some(items)) => {
            Reply::Many(kind, Some(items.into_iter().map(|_| Reply::Closed).collect()))
        }
        Reply::Bulk(kind, Some(_)) => Reply::Bulk(kind, Some(vec![])),
        other => other,
    }
}

/// Relative expiries are drawn so that rounding to the middle of a step cannot tell the servers apart.
fn coarse(reply: Reply, step: i64) -> Reply {
    match reply.integer() {
        Some(time) if time > 0 => Reply::Line(b':', ((time + step / 2) / step).to_string()),
        _ => reply,
    }
}

/// `CONFORMANCE_SEEDS=A..B` plays other seeds than the usual ones.
fn seeds(usual: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let given = std::env::var("CONFORMANCE_SEEDS").ok();
    given.as_deref().and_then(|given| given.split_once("..")).map_or(usual, |(first, end)| {
        first.parse().expect("a first seed")..end.parse().expect("the seed after the last")
    })
}

fn compare(seeds: std::ops::Range<u64>, resp3: bool, mostly_streams: bool) {
    block_on(async {
        let Some(real) = RealRedis::start().await else { return };
        let ours = serve(Server::new(Options::default())).await;
        let mut differences = Vec::new();
        for seed in seeds {
            let random = ChaCha8Rng::seed_from_u64(seed);
            let mut draw = if mostly_streams { Draw::mostly_streams(random) } else { Draw::new(random) };
            let mut pair = Pair::connect(ours, real.port, resp3).await;
            let mut log = String::new();
            for _ in 0..COMMANDS_PER_SEQUENCE {
                let connection = usize::from(draw.random.random_bool(0.3));
                let drawn = draw.command();
                let (ours, real) = pair.send(connection, &drawn).await;
                log.push_str(&format!("  [{connection}] {drawn}\n"));
                if ours != real {
                    differences.push(format!(
                        "seed {seed}, resp3 {resp3}:\n{log}  ours: {ours:?}\n  redis-server: {real:?}\n"
                    ));
                    break;
                }
            }
            if differences.len() == MAX_DIFFERENCES {
                break;
            }
        }
        assert!(differences.is_empty(), "replies differ:\n{}", differences.join("\n"));
    });
}

#[test]
fn random_sequences_get_the_replies_of_redis_in_resp2() {
    compare(seeds(0..1500), false, false);
}

#[test]
fn random_sequences_get_the_replies_of_redis_in_resp3() {
    compare(seeds(1_000_000..1_000_750), true, false);
}

#[test]
fn random_commands_on_streams_get_the_replies_of_redis_in_resp2() {
    compare(seeds(2_000_000..2_001_000), false, true);
}

#[test]
fn random_commands_on_streams_get_the_replies_of_redis_in_resp3() {
    compare(seeds(3_000_000..3_000_500), true, true);
}
