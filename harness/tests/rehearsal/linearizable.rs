//! The simulated Redis, looked at by clients who do not trust it: registers, sequences and locks with leases, by seed.
//!
//! One server is linearizable, whatever the network does. A cluster is not: what a master acknowledges that was cut off
//! is lost. Who waits for a replica with every command (`WAIT`) gets no such answer, and loses nothing to that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harness::check::Invariant;
use harness::check::linearizable::lock::Holder;
use harness::check::linearizable::{Call, Counter, Linearizable, Lock, Register, counter, lock, register};
use record::result::InvariantResult;
use redis::{Cmd, FromRedisValue, RedisError, RedisResult, cmd};
use redis_middleware::{Config, Options, Server};
use wire::redis::cluster::{self, ClusterClient};
use wire::redis::{Client, Durability, Options as ClientOptions, was_not_executed, was_not_sent};
use world::host::{self, Host};
use world::net::{self, Impairment};
use world::{sim, task, time};

const CLIENTS: u64 = 6;
const KEYS: u64 = 3;
const LEASE: Duration = Duration::from_millis(40);
/// The owner of a lock that was asked for without an answer: nobody has this number.
const NOBODY_KNOWS: u64 = 0;
/// Redis keeps the ends of leases in whole ms.
const GRAIN: Duration = Duration::from_millis(1);
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// Deletes a lock of its owner only.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";

/// What the clients play on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// One server; the network to it is cut now and then.
    Server,
    /// A cluster whose first master is cut off with half of the clients, and replaced.
    Cluster,
    /// The same; clients believe what a replica has.
    ClusterWithWait,
}

/// What the clients saw.
struct Seen {
    operations: u64,
    unanswered: u64,
    registers: Linearizable<String, Register<u64>>,
    counters: Linearizable<String, Counter>,
    locks: Linearizable<String, Lock<u64>>,
}

impl Seen {
    fn new() -> Seen {
        Seen {
            operations: 0,
            unanswered: 0,
            registers: Linearizable::new(Register::new()),
            counters: Linearizable::new(Counter::new(0)),
            locks: Linearizable::new(Lock::new()),
        }
    }

    /// One invariant over all three.
    fn judge(&self) -> InvariantResult {
        let mut invariant = Invariant::new("linearizable");
        self.registers.conclude(&mut invariant);
        self.counters.conclude(&mut invariant);
        self.locks.conclude(&mut invariant);
        invariant.result()
    }
}

#[derive(Clone)]
enum Link {
    Server(Client),
    Cluster(ClusterClient),
}

impl Link {
    fn new(stage: Stage) -> Link {
        let durability = (stage == Stage::ClusterWithWait)
            .then_some(Durability { replicas: 1, timeout: Duration::from_millis(100) });
        let node = ClientOptions {
            connect_timeout: Duration::from_millis(200),
            response_timeout: Duration::from_millis(100),
            connections: 1,
            durability,
        };
        match stage {
            Stage::Server => Link::Server(Client::new("redis-1:6379", node)),
            Stage::Cluster | Stage::ClusterWithWait => {
                let seeds = (1..=6).map(|number| format!("redis-{number}:6379"));
                let options =
                    cluster::Options { node, deadline: Duration::from_millis(300), ..Default::default() };
                Link::Cluster(ClusterClient::new(seeds, options))
            }
        }
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self {
            Link::Server(client) => command.query_async(&mut client.connection()).await,
            Link::Cluster(client) => command.query_async(&mut client.connection()).await,
        }
    }
}

/// One who asks one thing after the other, and writes down what came of it.
struct Asker {
    link: Link,
    seen: Arc<Mutex<Seen>>,
    /// Values that nobody else writes.
    next: u64,
    holds: Option<(u64, u64)>,
}

/// What came of an operation, seen by its client.
struct Asked<T> {
    operation: u64,
    invoked: Duration,
    answer: Option<T>,
}

impl<T> Asked<T> {
    fn call<A>(&self, action: A) -> Call<A> {
        match self.answer {
            Some(_) => Call::answered(self.operation, action, self.invoked, sim::elapsed()),
            None => Call::unanswered(self.operation, action, self.invoked),
        }
    }
}

fn nothing_happened(error: &RedisError) -> bool {
    was_not_sent(error) || was_not_executed(error)
}

impl Asker {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if it certainly was not done.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Option<Asked<T>> {
        let invoked = sim::elapsed();
        let operation = self.seen().operations;
        self.seen().operations += 1;
        let answer = match self.link.ask(command).await {
            Ok(answer) => Some(answer),
            Err(error) if nothing_happened(&error) => return None,
            Err(_) => {
                self.seen().unanswered += 1;
                None
            }
        };
        Some(Asked { operation, invoked, answer })
    }

    async fn live(mut self, until: Duration) {
        while sim::elapsed() < until {
            let key = world::rand::range(0..KEYS);
            match world::rand::range(0..5) {
                0 => self.read_register(key).await,
                1 => self.write_register(key).await,
                2 => self.count(key).await,
                3 => self.read_counter(key).await,
                _ => self.lock_or_release(key).await,
            };
            time::sleep(Duration::from_micros(world::rand::range(0..20_000))).await;
        }
    }

    async fn read_register(&self, key: u64) -> Option<()> {
        let asked = self.ask::<Option<u64>>(cmd("GET").arg(format!("register-{key}"))).await?;
        let value = asked.answer?.unwrap_or(0);
        let call = asked.call(register::Action::Read(value));
        self.seen().registers.record(format!("register-{key}"), call);
        Some(())
    }

    async fn write_register(&mut self, key: u64) -> Option<()> {
        self.next += CLIENTS;
        let asked = self.ask::<()>(cmd("SET").arg(format!("register-{key}")).arg(self.next)).await?;
        let call = asked.call(register::Action::Write(self.next));
        self.seen().registers.record(format!("register-{key}"), call);
        Some(())
    }

    async fn count(&self, key: u64) -> Option<()> {
        let asked = self.ask::<i64>(cmd("INCR").arg(format!("counter-{key}"))).await?;
        let action =
            asked.answer.map_or(counter::Action::Put(1), |now| counter::Action::Added { by: 1, now });
        let call = asked.call(action);
        self.seen().counters.record(format!("counter-{key}"), call);
        Some(())
    }

    async fn read_counter(&self, key: u64) -> Option<()> {
        let asked = self.ask::<Option<i64>>(cmd("GET").arg(format!("counter-{key}"))).await?;
        let value = asked.answer?.unwrap_or(0);
        let call = asked.call(counter::Action::Read(value));
        self.seen().counters.record(format!("counter-{key}"), call);
        Some(())
    }

    /// Releases the lock that it has, or had until its lease ended; otherwise tries to get this one.
    async fn lock_or_release(&mut self, key: u64) -> Option<()> {
        if let Some((key, owner)) = self.holds.take() {
            let mut command = cmd("EVAL");
            command.arg(RELEASE).arg(1).arg(format!("lock-{key}")).arg(owner);
            let asked = self.ask::<bool>(&command).await?;
            let is_released = asked.answer.unwrap_or(true);
            let action =
                if is_released { lock::Action::Released(owner) } else { lock::Action::NotHeld(owner) };
            let call = asked.call(action);
            self.seen().locks.record(format!("lock-{key}"), call);
            return Some(());
        }
        self.next += CLIENTS;
        let owner = self.next;
        let mut command = cmd("SET");
        command.arg(format!("lock-{key}")).arg(owner).arg("NX").arg("PX").arg(LEASE.as_millis() as u64);
        let asked = self.ask::<Option<String>>(&command).await?;
        let now = sim::elapsed();
        // Those who were not answered and do not know whether they hold it are all alike.
        let holder = match asked.answer {
            Some(_) => Holder { owner, until: Some(now + LEASE) },
            None => Holder { owner: NOBODY_KNOWS, until: None },
        };
        let is_denied = matches!(asked.answer, Some(None));
        let action = if is_denied { lock::Action::Denied } else { lock::Action::Acquired(holder.clone()) };
        let call = asked.call(action);
        let mut seen = self.seen();
        seen.locks.record(format!("lock-{key}"), call);
        if !is_denied {
            // The server has begun to count somewhere between the question and the answer.
            let (from, to) = (asked.invoked + LEASE - GRAIN, now + LEASE + GRAIN);
            let completed = asked.answer.is_some().then_some(to);
            let expired = lock::Action::Expired(holder);
            let end = Call { action: expired, invoked: from, completed, operation: asked.operation };
            seen.locks.record(format!("lock-{key}"), end);
        }
        drop(seen);
        if asked.answer.is_some() && !is_denied {
            self.holds = Some((key, owner));
        }
        Some(())
    }
}

fn add_servers(number: usize, config: &Config) -> Vec<Host> {
    let server = |number| {
        let config = config.clone();
        host::add(&format!("redis-{number}"), move || {
            let options = Options { seed: world::rand::u64(), config: config.clone(), ..Options::default() };
            let server = Server::new(options);
            async move {
                server.listen("0.0.0.0:6379").await.expect("the port of a fresh host is free");
            }
        })
    };
    (1..=number).map(server).collect()
}

/// Six clients under whatever befalls this stage.
async fn play(stage: Stage) -> Arc<Mutex<Seen>> {
    let is_cluster = stage != Stage::Server;
    let config = Config {
        cluster_enabled: is_cluster,
        cluster_node_timeout: NODE_TIMEOUT,
        repl_diskless_sync_delay: Duration::ZERO,
        ..Config::default()
    };
    let servers = add_servers(if is_cluster { 6 } else { 1 }, &config);
    time::sleep(Duration::from_millis(100)).await;
    if is_cluster {
        let addresses: Vec<String> = (1..=6).map(|number| format!("redis-{number}:6379")).collect();
        cluster::form(&addresses, 1).await.expect("the nodes come together");
        time::sleep(Duration::from_secs(1)).await;
    }
    let seen = Arc::new(Mutex::new(Seen::new()));
    let began = sim::elapsed();
    let until = began + Duration::from_secs(if is_cluster { 9 } else { 3 });
    let clients: Vec<Host> =
        (1..=CLIENTS).map(|number| host::add(&format!("client-{number}"), || async {})).collect();
    for (number, client) in (1..).zip(&clients) {
        let seen = Arc::clone(&seen);
        client.spawn(async move {
            Asker { link: Link::new(stage), seen, next: number, holds: None }.live(until).await;
        });
    }
    if is_cluster {
        time::sleep(Duration::from_secs(1)).await;
        // With the old master half of the clients, among the others the replicas and a majority of masters.
        let (near, far) = clients.split_at(clients.len() / 2);
        let cut_off = [&servers[..1], near].concat();
        let others = [&servers[1..], far].concat();
        let cut = net::impair_both(&cut_off, &others, Impairment::Partition);
        time::sleep(Duration::from_secs(5)).await;
        cut.heal();
    } else {
        while sim::elapsed() < until {
            let cut_off = clients[world::rand::range(0..CLIENTS) as usize];
            let cut = net::impair_both(&[cut_off], &servers, Impairment::Partition);
            time::sleep(Duration::from_millis(world::rand::range(50..400))).await;
            cut.heal();
        }
    }
    time::sleep((until + Duration::from_secs(2)).saturating_sub(sim::elapsed())).await;
    seen
}

/// What the clients saw, and how many operations have no answer.
fn judged(stage: Stage, seed: u64, mutant: Option<&str>) -> (InvariantResult, u64) {
    let mutants = mutant.into_iter().map(str::to_owned).collect();
    let config = sim::Config { mutants, ..sim::Config::new(seed) };
    let outcome = sim::run(config, move || async move { task::spawn(play(stage)).await.expect("no panic") });
    let seen = outcome.result.unwrap_or_else(|error| panic!("seed {seed}: {error}: {:?}", outcome.panics));
    assert!(outcome.panics.is_empty(), "seed {seed}: {:?}", outcome.panics);
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    (seen.judge(), seen.unanswered)
}

#[test]
fn one_server_is_linearizable_whatever_the_network_does() {
    let mut unanswered = 0;
    for seed in 0..12 {
        let (result, without_answer) = judged(Stage::Server, seed, None);
        assert!(result.held && result.checks > 800, "seed {seed}: {result:?}");
        unanswered += without_answer;
    }
    assert!(unanswered > 20, "only {unanswered} operations without an answer: the network is too good");
}

#[test]
fn a_client_that_takes_a_late_reply_for_the_next_one_is_found_out() {
    let mutant = "redis.client.connection-kept-after-timeout";
    let violations = (0..12).filter_map(|seed| judged(Stage::Server, seed, Some(mutant)).0.first_violation);
    let first = violations.take(1).next().expect("a wrong answer on some seed");
    assert!(first.what.contains("the answer") && !first.operations.is_empty(), "{first:?}");
}

#[test]
fn a_cluster_that_splits_loses_what_it_has_acknowledged() {
    let held = (0..12).filter(|seed| judged(Stage::Cluster, *seed, None).0.held).count();
    // Who is beside the old master may be waiting for the others' keys until it stops: then nothing is lost.
    assert!(held <= 3, "the split was not seen on {held} of 12 seeds");
}

#[test]
fn who_waits_for_a_replica_loses_nothing_to_a_split() {
    for seed in 0..12 {
        let (result, unanswered) = judged(Stage::ClusterWithWait, seed, None);
        assert!(
            result.held && result.checks > 800 && unanswered > 10,
            "seed {seed}: {unanswered} {result:?}"
        );
    }
}
