//! `rehearse serve`: the simulated servers for real, and the clients that people use.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use redis::{AsyncCommands, RedisResult, cluster::ClusterClient};

const NODES: u16 = 6;
/// A node's bus listens so far above its port.
const BUS: u16 = 10_000;

/// Servers that end with this value.
struct Served {
    child: Child,
    port: u16,
}

impl Served {
    fn start(what: &str) -> Self {
        let port = free_port();
        let mut child = serve(what, &format!("127.0.0.1:{port}"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut listening = Vec::new();
        let is_ready = loop {
            match lines.next().as_deref() {
                Some("ready") => break true,
                Some(line) => listening.push(line.to_owned()),
                None => break false,
            }
        };
        assert!(is_ready, "it ended after {listening:?}");
        let names = if what == "redis" {
            vec!["redis".to_owned()]
        } else {
            (1..=6).map(|n| format!("redis-{n}")).collect()
        };
        let expected: Vec<String> =
            (port..).zip(names).map(|(port, name)| format!("listening {name} 127.0.0.1:{port}")).collect();
        assert_eq!(listening, expected);
        Self { child, port }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(what: &str, address: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rehearse"));
    command.args(["serve", what, "--listen", address]).stdin(Stdio::null());
    command
}

/// The first of six free ports, whose bus ports are free too.
fn free_port() -> u16 {
    static ASKED: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let start = 16_000 + u16::try_from(std::process::id() % 500).expect("small") * 6;
    (start + ASKED.fetch_add(1, Ordering::Relaxed) * 600..22_000)
        .step_by(usize::from(NODES))
        .find(|first| (*first..*first + NODES).all(|port| is_free(port) && is_free(port + BUS)))
        .expect("enough free ports")
}

/// Runs a program of somebody else; `None`, with a clear word, where it is not installed.
fn run(program: &str, words: &[&str]) -> Option<String> {
    let Ok(Output { status, stdout, stderr }) =
        Command::new(program).args(words).stdin(Stdio::null()).output()
    else {
        eprintln!("SKIPPED: {program} is not installed (ci/test installs it)");
        return None;
    };
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{program} {words:?}: {status}\n{stdout}{stderr}");
    Some(stdout.into_owned())
}

#[test]
fn redis_cli_finds_its_way_through_the_cluster() {
    let cluster = Served::start("redis-cluster");
    let port = cluster.port.to_string();
    let cli = |words: &str| {
        let all: Vec<&str> = ["-c", "-p", &port].into_iter().chain(words.split(' ')).collect();
        run("redis-cli", &all)
    };
    for number in 0..12 {
        let Some(set) = cli(&format!("SET key-{number} {number}")) else { return };
        assert_eq!(set.trim(), "OK");
        assert_eq!(cli(&format!("GET key-{number}")).expect("installed").trim(), number.to_string());
    }
    let address = format!("127.0.0.1:{port}");
    let check = run("redis-cli", &["--cluster", "check", &address]).expect("installed");
    for said in ["[OK] All nodes agree about slots configuration.", "[OK] All 16384 slots covered."] {
        assert!(check.contains(said), "{check}");
    }
}

#[test]
fn redis_benchmark_plays_on_the_cluster_and_on_one_server() {
    for (what, mode) in [("redis-cluster", &["--cluster"][..]), ("redis", &[])] {
        let served = Served::start(what);
        let port = served.port.to_string();
        let words = [
            "-p",
            &port,
            "-n",
            "2000",
            "-c",
            "20",
            "-r",
            "1000",
            "-q",
            "-t",
            "set,get,incr,lpush,sadd,hset,zadd,mset",
        ];
        let Some(said) = run("redis-benchmark", &[&words[..], mode].concat()) else { return };
        assert_eq!(said.matches("requests per second").count(), 8, "{said}");
        assert!(!said.contains("rror"), "{said}");
    }
}

const REDIS_PY: &str = r#"
import sys
try:
    from redis.cluster import RedisCluster
except ImportError:
    print("missing")
    sys.exit()
cluster = RedisCluster(host="127.0.0.1", port=int(sys.argv[1]))
assert len(cluster.get_primaries()) == 3 and len(cluster.get_replicas()) == 3
for number in range(300):
    assert cluster.set(f"key-{number}", number)
assert [int(cluster.get(f"key-{number}")) for number in range(300)] == list(range(300))
pipe = cluster.pipeline()
for number in range(300):
    pipe.incr(f"key-{number}")
assert pipe.execute() == list(range(1, 301))
assert cluster.mget_nonatomic("key-1", "key-2") == [b"2", b"3"]
script = cluster.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
assert script(keys=["{key-7}:n"], args=[5]) == 5
cluster.hset("hash", mapping={"a": 1, "b": 2})
assert cluster.hgetall("hash") == {b"a": b"1", b"b": b"2"}
assert cluster.xadd("stream", {"n": 1}) and cluster.xlen("stream") == 1
assert cluster.cluster_info(target_nodes=cluster.get_random_node())["cluster_state"] == "ok"
replica = cluster.get_replicas()[0]
assert cluster.cluster_failover(replica)
for number in range(300):
    cluster.set(f"key-{number}", -number)
assert [int(cluster.get(f"key-{number}")) for number in range(300)] == [-number for number in range(300)]
print("fine")
"#;

#[test]
fn the_cluster_client_of_redis_py_works() {
    let cluster = Served::start("redis-cluster");
    let port = cluster.port.to_string();
    for python in ["python3", "/usr/bin/python3"] {
        match run(python, &["-c", REDIS_PY, &port]).as_deref().map(str::trim) {
            Some("missing") | None => {}
            said => return assert_eq!(said, Some("fine")),
        }
    }
    eprintln!("SKIPPED: redis-py is not installed (ci/test installs python3-redis)");
}

#[test]
fn the_cluster_client_of_the_redis_crate_works() {
    let cluster = Served::start("redis-cluster");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let used: RedisResult<()> = runtime.block_on(async {
        let client = ClusterClient::new([format!("redis://127.0.0.1:{}", cluster.port)])?;
        let mut redis = client.get_async_connection().await?;
        for number in 0..300 {
            let () = redis.set(format!("key-{number}"), number).await?;
        }
        for number in 0..300 {
            assert_eq!(redis.get::<_, i64>(format!("key-{number}")).await?, number);
        }
        let script = redis::Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
        assert_eq!(script.key("{key-7}:n").arg(5).invoke_async::<i64>(&mut redis).await?, 5);
        let (first, second): (i64, i64) =
            redis::pipe().atomic().incr("{key-7}:n", 1).incr("{key-7}:n", 1).query_async(&mut redis).await?;
        assert_eq!((first, second), (6, 7));
        let size: i64 = redis::cmd("DBSIZE").query_async(&mut redis).await?;
        assert_eq!(size, 301);
        Ok(())
    });
    used.expect("the client is content");
}

#[test]
fn what_cannot_be_served_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    for (address, code, said) in [
        (&*address, 1, "cannot listen at"),
        ("192.0.2.1:7000", 2, "is not a loopback address"),
        ("127.0.0.1", 2, "expected ADDRESS:PORT"),
        ("127.0.0.1:0", 2, "expected a port from 1"),
    ] {
        let output = serve("redis", address).output().expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{address}: {stderr}");
        assert!(stderr.contains(said), "{address}: {stderr}");
    }
}
