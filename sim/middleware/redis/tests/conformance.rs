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
/// One that cannot be queued spoils its whole transaction: few at a time.
const COMMANDS_PER_TRANSACTION: usize = 4;
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
        let request = drawn.request();
        let ours = self.ours[connection].command(&request).await;
        let real = self.real[connection].command(&request).await;
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

/// How a command reaches the server.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Within {
    /// By itself.
    Nothing,
    /// A few at a time between `MULTI` and `EXEC`.
    Transactions,
    /// As `redis.call` or `redis.pcall` of a script.
    Scripts,
}

/// What is compared.
#[derive(Debug, Clone, Copy)]
struct Setting {
    resp3: bool,
    mostly_streams: bool,
    within: Within,
}

impl Setting {
    fn draw(self, seed: u64) -> Draw {
        let random = ChaCha8Rng::seed_from_u64(seed);
        if self.mostly_streams { Draw::mostly_streams(random) } else { Draw::new(random) }
    }

    /// The commands of one sequence, each with the connection that it goes over.
    fn sequence(self, seed: u64) -> Vec<(usize, Drawn)> {
        let mut draw = self.draw(seed);
        let mut sequence = Vec::new();
        let mut connection = 0;
        for number in 0..COMMANDS_PER_SEQUENCE {
            let is_first = self.within != Within::Transactions || number % COMMANDS_PER_TRANSACTION == 0;
            if is_first {
                connection = usize::from(draw.random.random_bool(0.3));
            }
            if is_first && self.within == Within::Transactions {
                sequence.push((connection, Drawn::of("MULTI")));
            }
            let mut drawn = draw.command();
            if self.within == Within::Scripts {
                drawn.is_called_as = Some(if draw.random.random_bool(0.8) { "call" } else { "pcall" });
                drawn.is_resp3 = self.resp3;
            }
            sequence.push((connection, drawn));
            if self.within == Within::Transactions
                && number % COMMANDS_PER_TRANSACTION == COMMANDS_PER_TRANSACTION - 1
            {
                sequence.push((connection, Drawn::of("EXEC")));
            }
        }
        sequence
    }
}

/// Plays the sequences of some seeds, and compares every reply.
fn compare(seeds: std::ops::Range<u64>, setting: Setting) {
    block_on(async {
        let Some(real) = RealRedis::start().await else { return };
        let ours = serve(Server::new(Options::default())).await;
        let mut differences = Vec::new();
        let mut compared = 0;
        for seed in seeds.clone() {
            let mut pair = Pair::connect(ours, real.port, setting.resp3).await;
            let mut log = String::new();
            for (connection, drawn) in setting.sequence(seed) {
                let (ours, real) = pair.send(connection, &drawn).await;
                log.push_str(&format!("  [{connection}] {drawn}\n"));
                if ours != real {
                    differences.push(format!(
                        "seed {seed}, {setting:?}:\n{log}  ours: {ours:?}\n  redis-server: {real:?}\n"
                    ));
                    break;
                }
                compared += executed(&drawn, &real);
            }
            if differences.len() == MAX_DIFFERENCES {
                break;
            }
        }
        eprintln!("seeds {seeds:?}, {setting:?}: the replies of {compared} commands compared");
        assert!(differences.is_empty(), "replies differ:\n{}", differences.join("\n"));
    });
}

/// How many commands this reply is about: those of a transaction, none for one that was only queued.
fn executed(drawn: &Drawn, reply: &Reply) -> usize {
    match (drawn.name().as_str(), reply) {
        ("exec", Reply::Many(_, Some(replies))) => replies.len(),
        (_, Reply::Line(b'+', text)) if text == "QUEUED" => 0,
        _ => 1,
    }
}

const PLAIN: Setting = Setting { resp3: false, mostly_streams: false, within: Within::Nothing };

#[test]
fn random_sequences_get_the_replies_of_redis_in_resp2() {
    compare(seeds(0..1500), PLAIN);
}

#[test]
fn random_sequences_get_the_replies_of_redis_in_resp3() {
    compare(seeds(1_000_000..1_000_750), Setting { resp3: true, ..PLAIN });
}

#[test]
fn random_commands_on_streams_get_the_replies_of_redis_in_resp2() {
    compare(seeds(2_000_000..2_001_000), Setting { mostly_streams: true, ..PLAIN });
}

#[test]
fn random_commands_on_streams_get_the_replies_of_redis_in_resp3() {
    compare(seeds(3_000_000..3_000_500), Setting { resp3: true, mostly_streams: true, ..PLAIN });
}

const IN_TRANSACTIONS: Setting = Setting { within: Within::Transactions, ..PLAIN };

#[test]
fn random_transactions_get_the_replies_of_redis_in_resp2() {
    compare(seeds(4_000_000..4_002_000), IN_TRANSACTIONS);
}

#[test]
fn random_transactions_get_the_replies_of_redis_in_resp3() {
    compare(seeds(5_000_000..5_001_000), Setting { resp3: true, ..IN_TRANSACTIONS });
}

#[test]
fn random_transactions_on_streams_get_the_replies_of_redis() {
    compare(seeds(6_000_000..6_001_000), Setting { mostly_streams: true, ..IN_TRANSACTIONS });
}

const IN_SCRIPTS: Setting = Setting { within: Within::Scripts, ..PLAIN };

#[test]
fn random_calls_of_scripts_get_the_replies_of_redis_in_resp2() {
    compare(seeds(7_000_000..7_001_500), IN_SCRIPTS);
}

#[test]
fn random_calls_of_scripts_get_the_replies_of_redis_in_resp3() {
    compare(seeds(8_000_000..8_000_750), Setting { resp3: true, ..IN_SCRIPTS });
}

#[test]
fn random_calls_of_scripts_on_streams_get_the_replies_of_redis() {
    compare(seeds(9_000_000..9_000_750), Setting { mostly_streams: true, ..IN_SCRIPTS });
}
