//! Any bytes, to each part of the server that reads bytes from the world.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use redis_middleware::{
    Config, Options, Server,
    cluster::{self, Cluster, Facts, message},
    rdb,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::{disk, host, sim, time};

/// How long a server may be silent before a client hangs up, in simulated time: what waits longer waits for ever.
const SILENCE: Duration = Duration::from_secs(60);

/// Gives a part of the server, chosen by the first byte, the others.
pub(crate) fn play(data: &[u8]) {
    let Some((part, bytes)) = data.split_first() else { return };
    match part {
        b'r' => requests(bytes),
        b'c' => client(bytes),
        b's' => drop(rdb::decode(bytes, None)),
        b'd' => drop(rdb::restore(bytes)),
        b'b' => bus(bytes),
        b'n' => drop(node(&String::from_utf8_lossy(bytes))),
        b'a' => append_only_file(bytes),
        _ => {}
    }
}

/// Requests on a connection, sent in two pieces.
fn requests(bytes: &[u8]) {
    // A string may have half a gigabyte, in Redis too.
    let grows = |word: &[u8]| {
        [&b"setrange"[..], b"setbit", b"bitfield"].iter().any(|name| word.eq_ignore_ascii_case(name))
    };
    if (6..=8).any(|length| bytes.windows(length).any(grows)) {
        return;
    }
    let (first, second) = bytes.split_at(bytes.len() / 2);
    feed(&[first.to_vec(), second.to_vec()]);
}

/// Feeds bytes to a server in pieces, in a simulation, since a command may wait for time to pass; what it answered until
/// it closed the connection or fell silent.
pub(crate) fn feed(pieces: &[Vec<u8>]) -> Vec<u8> {
    let pieces = pieces.to_vec();
    let talk = || async move {
        let (mut client, stream) = tokio::io::duplex(1 << 20);
        let server = Server::new(Options::default());
        let talk = async move {
            let mut answer = Vec::new();
            for piece in pieces {
                if client.write_all(&piece).await.is_err() {
                    break;
                }
            }
            while let Ok(Ok(1..)) = time::timeout(SILENCE, client.read_buf(&mut answer)).await {}
            let _ = client.shutdown().await;
            let _ = client.read_to_end(&mut answer).await;
            answer
        };
        let (_, answer) = tokio::join!(server.serve(stream), talk);
        answer
    };
    sim::run(sim::Config::new(1), talk).result.unwrap_or_else(|failure| panic!("{failure}"))
}

/// Replies, as the client reads them.
fn client(bytes: &[u8]) {
    let mut buffer = bytes::BytesMut::from(bytes);
    let mut decoder = wire::redis::frame::Decoder::default();
    while let Ok(Some(_)) = decoder.decode(&mut buffer) {}
}

/// A node that knows two others, and the slots of all.
const NODES: &str = "\
0000000000000000000000000000000000000000 10.0.0.9:6379@16379 myself,master - 0 0 1 connected 0-5999
0000000000000000000000000000000000000001 10.0.0.2:6379@16379 master - 0 0 2 connected 6000-16383
0000000000000000000000000000000000000002 10.0.0.3:6379@16379 slave 0000000000000000000000000000000000000001 0 0 0 connected
vars currentEpoch 3 lastVoteEpoch 0
";
const NOW_MS: i64 = 1_700_000_000_000;

fn node(file: &str) -> Option<Cluster> {
    Cluster::load(cluster::Options::default(), Box::new(|| 9), NOW_MS, file).ok()
}

/// Messages of the cluster bus: what the node sends is well-formed, and its file can be loaded.
fn bus(bytes: &[u8]) {
    let here = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
    let mut node = node(NODES).expect("a good file");
    let link = node.on_accepted(NOW_MS, here, here);
    let facts = Facts::default();
    node.on_data(NOW_MS, &facts, link, bytes);
    node.cron(NOW_MS + 1000, &facts);
    while let Some(action) = node.next_action() {
        if let cluster::Action::Send { bytes, .. } = action {
            message::decode(&bytes).expect("well-formed");
        }
    }
    let file = node.nodes_conf();
    let again = Cluster::load(cluster::Options::default(), Box::new(|| 9), NOW_MS, &file);
    assert!(again.is_ok(), "{again:?}\n{file}");
}

/// An append-only file that a server starts with.
fn append_only_file(bytes: &[u8]) {
    let bytes = bytes.to_vec();
    let start = || async move {
        let redis = host::add("redis", move || {
            let bytes = bytes.clone();
            async move {
                disk::create_dir_all("/appendonlydir").await.expect("creates");
                let manifest = "file appendonly.aof.1.incr.aof seq 1 type i\n";
                disk::write("/appendonlydir/appendonly.aof.manifest", manifest).await.expect("writes");
                disk::write("/appendonlydir/appendonly.aof.1.incr.aof", bytes).await.expect("writes");
                let config = Config { appendonly: true, ..Config::default() };
                // It refuses what it cannot read.
                let _ = Server::new(Options { config, ..Options::default() }).listen("0.0.0.0:6379").await;
            }
        });
        time::sleep(Duration::from_secs(5)).await;
        redis.kill();
    };
    let outcome = sim::run(sim::Config::new(1), start);
    assert!(outcome.result.is_ok() && outcome.panics.is_empty(), "{:?}", outcome.panics);
}
