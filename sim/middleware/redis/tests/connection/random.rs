//! Random scripts of clients that wait, listen, write and unblock each other, played to our server and to a real one:
//! after each step every connection has heard the same.

use std::time::Duration;

use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    common::{Raw, Reply, pause},
    duet::with_both,
};

const CLIENTS: usize = 4;
const SCRIPTS: u64 = 30;
const STEPS: usize = 40;
/// Enough for a request to be taken and answered on the same machine.
const A_MOMENT: Duration = Duration::from_millis(6);

/// What waits, or may. `K` is a key, `G` what creates or reads a group.
const WAITS: &[&str] = &[
    "BLPOP K 0",
    "BLPOP K K K 0",
    "BRPOP K K 0",
    "BLMOVE K K LEFT RIGHT 0",
    "BLMOVE K K RIGHT RIGHT 0",
    "BRPOPLPUSH K K 0",
    "BLMPOP 0 2 K K LEFT",
    "BLMPOP 0 1 K RIGHT COUNT 2",
    "BZPOPMIN K K 0",
    "BZPOPMAX K 0",
    "BZMPOP 0 2 K K MIN COUNT 2",
    "XREAD BLOCK 0 STREAMS K $",
    "XREAD COUNT 1 BLOCK 0 STREAMS K K 0 $",
    "XREADGROUP GROUP g me BLOCK 0 STREAMS K >",
    "XREADGROUP GROUP g you BLOCK 0 NOACK STREAMS K >",
];

/// What those who wait may be served by, or what takes it from them.
const WRITES: &[&str] = &[
    "RPUSH K a",
    "RPUSH K a b",
    "LPUSH K a b c d",
    "ZADD K 1 a",
    "ZADD K 1 a 2 b 3 c",
    "XADD K * f v",
    "XGROUP CREATE K g $ MKSTREAM",
    "XGROUP DESTROY K g",
    "DEL K",
    "DEL K",
    "DEL K K",
    "SET K v",
    "RENAME K K",
    "COPY K K REPLACE",
    "LMOVE K K LEFT LEFT",
    "ZUNIONSTORE K 2 K K",
    "ZRANGESTORE K K 0 -1",
    "LPOP K",
    "ZPOPMIN K",
    "UNLINK K",
    "FLUSHALL",
    "EVAL redis.call('RPUSH',KEYS[1],1,2)return(redis.call('DEL',KEYS[2])) 2 K K",
    "EVAL redis.call('ZADD',KEYS[1],1,2)return(redis.call('RPUSH',KEYS[2],1)) 2 K K",
    "EXPIRE K 100",
    "TYPE K",
];

const OTHERS: &[&str] = &[
    "CLIENT UNBLOCK {I}",
    "CLIENT UNBLOCK {I} ERROR",
    "SUBSCRIBE c",
    "PSUBSCRIBE c*",
    "UNSUBSCRIBE c",
    "PUNSUBSCRIBE c*",
    "PUBLISH c x",
    "PUBLISH c x",
    "PUBSUB NUMSUB c",
    "PUBSUB NUMPAT",
    "PING",
    "RESET",
    "CLIENT REPLY SKIP",
];

/// A step: the connection and its requests, which are sent at once.
fn draw(random: &mut ChaCha8Rng) -> (usize, Vec<String>) {
    let fill = |template: &str, random: &mut ChaCha8Rng| -> String {
        let words = template.split(' ').map(|word| match word {
            "K" => ["k", "l", "m"].choose(random).copied().unwrap_or("k").to_owned(),
            "{I}" => format!("{{{}}}", random.random_range(1..=CLIENTS)),
            word => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let pick = |list: &[&'static str], random: &mut ChaCha8Rng| *list.choose(random).unwrap_or(&"PING");
    let requests = match random.random_range(0..10) {
        0..3 => vec![pick(WAITS, random)],
        3..7 => vec![pick(WRITES, random)],
        7 => vec![pick(OTHERS, random)],
        8 => vec!["MULTI", pick(WRITES, random), pick(WRITES, random), pick(WAITS, random), "EXEC"],
        _ => vec![pick(WRITES, random), pick(WAITS, random)],
    };
    let requests = requests.into_iter().map(|template| fill(template, random)).collect();
    (random.random_range(0..CLIENTS), requests)
}

struct Side {
    connections: Vec<Raw>,
    ids: Vec<i64>,
}

impl Side {
    async fn connect(port: u16) -> Self {
        let mut side = Self { connections: vec![], ids: vec![] };
        for number in 0..CLIENTS {
            let mut connection = Raw::connect(port).await;
            side.ids.push(connection.words("CLIENT ID").await.integer().expect("an id"));
            if number == 0 {
                connection.words("FLUSHALL").await;
                connection.words("HELLO 3").await;
            }
            side.connections.push(connection);
        }
        side
    }

    async fn send(&mut self, connection: usize, requests: &[String]) {
        let mut bytes = Vec::new();
        for request in requests {
            let mut request = request.clone();
            for (number, id) in self.ids.iter().enumerate() {
                request = request.replace(&format!("{{{}}}", number + 1), &id.to_string());
            }
            let words: Vec<Vec<u8>> = request.split(' ').map(|word| word.as_bytes().to_vec()).collect();
            bytes.extend(crate::common::encode(&words));
        }
        self.connections[connection].write(&bytes).await;
    }

    /// What each connection has heard; ids of entries come from the clock and are left out.
    async fn hear(&mut self) -> Vec<Vec<Reply>> {
        let mut heard = Vec::new();
        for connection in &mut self.connections {
            heard.push(connection.pending().await.into_iter().map(without_ids).collect());
        }
        heard
    }
}

fn without_ids(reply: Reply) -> Reply {
    let is_id = |bytes: &[u8]| {
        let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
        digits > 10 && bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-')
    };
    match reply {
        Reply::Bulk(kind, Some(bytes)) if is_id(&bytes) => Reply::Bulk(kind, Some(b"id".to_vec())),
        Reply::Many(kind, Some(items)) => {
            Reply::Many(kind, Some(items.into_iter().map(without_ids).collect()))
        }
        other => other,
    }
}

async fn play(seed: u64, ours: u16, real: u16) -> Option<String> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut ours, mut real) = (Side::connect(ours).await, Side::connect(real).await);
    let mut log = String::new();
    for _ in 0..STEPS {
        let (connection, requests) = draw(&mut random);
        ours.send(connection, &requests).await;
        real.send(connection, &requests).await;
        pause(A_MOMENT).await;
        let (one, other) = (ours.hear().await, real.hear().await);
        log.push_str(&format!("  {}: {}\n", connection + 1, requests.join(" | ")));
        if one != other {
            return Some(format!("seed {seed}:\n{log}  ours: {one:?}\n  redis-server: {other:?}\n"));
        }
    }
    None
}

#[test]
fn random_scripts_are_heard_alike_by_all() {
    let seeds = std::env::var("CONFORMANCE_SEEDS").ok();
    let seeds = seeds.as_deref().and_then(|seeds| seeds.split_once(".."));
    let seeds = seeds.map_or(0..SCRIPTS, |(first, end)| {
        first.parse().expect("a first seed")..end.parse().expect("the seed after the last")
    });
    let differences = with_both(move |ours, real| async move {
        let mut differences = Vec::new();
        for seed in seeds {
            differences.extend(play(seed, ours, real).await);
            if differences.len() == 3 {
                break;
            }
        }
        differences
    });
    let differences = differences.unwrap_or_default();
    assert!(differences.is_empty(), "what is heard differs:\n{}", differences.join("\n"));
}
