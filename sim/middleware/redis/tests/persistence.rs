//! What the persistence does while a server runs: errors, slow disks, snapshots, rewrites, and files that are exchanged
//! with a real redis-server 7.0.

mod common;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use common::{
    Raw, RealRedis, block_on,
    contents::{contents, difference, restore_all},
    serve,
    store::{Numbers, Store},
};
use proptest::prelude::*;
use redis_middleware::{
    Options, Server,
    persistence::{self, Config, FsyncPolicy, Repair, SavePoint, StartError, Target},
    rdb::{self, Snapshot},
};
use world::{
    disk::{self, Device},
    host::{self, Host},
    net::Latency,
    sim, time,
};

/// Runs a test on a machine with a disk of its own.
fn simulate<F, Fut>(test: F)
where
    F: FnOnce(Host) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let outcome = sim::run(sim::Config::new(1), || async {
        let machine = host::add("machine", || async {});
        machine.spawn(test(machine)).await
    });
    assert!(outcome.panics.is_empty(), "{:?}", outcome.panics);
    outcome.result.expect("ends").expect("does not panic");
}

fn config(fsync: FsyncPolicy) -> Config {
    Config { append_only: true, fsync, save: vec![], ..Config::default() }
}

const FULL: &str = "MISCONF Errors writing to the AOF file: No space left on device";

/// The numbers that a server finds that is started now.
async fn loaded(config: &Config) -> Vec<u64> {
    let mut numbers = Numbers::default();
    persistence::open(config.clone(), &mut numbers).await.expect("opens");
    numbers.0
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room_and_loses_nothing() {
    for fsync in [FsyncPolicy::EverySecond, FsyncPolicy::No] {
        simulate(move |machine| async move {
            let config = config(fsync);
            let (store, _task) = Store::open(config.clone()).await.expect("opens");
            store.push_and_wait().await;
            assert_eq!(store.persistence.refusal(), None);
            // Room for a part of what is written at once.
            machine.disk().set_capacity(Some(machine.disk().used_bytes() + 4096));
            for _ in 0..200 {
                store.push(3);
            }
            store.push_and_wait().await;
            assert_eq!(store.persistence.refusal().as_deref(), Some(FULL));
            time::sleep(Duration::from_secs(5)).await;
            assert_eq!(store.persistence.refusal().as_deref(), Some(FULL));
            assert!(!store.persistence.status().last_write_ok);
            // The part was taken out again: the file ends with a whole command.
            assert_eq!(loaded(&config).await, [1]);
            machine.disk().set_capacity(None);
            time::sleep(Duration::from_secs(1)).await;
            assert_eq!(store.persistence.refusal(), None);
            assert_eq!(loaded(&config).await, store.numbers());
        });
    }
}

#[test]
fn with_always_redis_exits_when_it_cannot_keep_its_promise() {
    for fails_sync in [false, true] {
        simulate(move |machine| async move {
            let (store, task) = Store::open(config(FsyncPolicy::Always)).await.expect("opens");
            store.push_and_wait().await;
            let reason = if fails_sync {
                machine.disk().fail_syncs(1);
                "Can't persist AOF for fsync error when the AOF fsync policy is 'always': Input/output error. Exiting..."
            } else {
                machine.disk().set_capacity(Some(machine.disk().used_bytes()));
                for _ in 0..200 {
                    store.push(1);
                }
                "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting..."
            };
            let (_, offset) = store.push(1);
            let answered = time::timeout(Duration::from_secs(60), store.persistence.flushed(offset)).await;
            assert!(answered.is_err(), "a reply goes out");
            let fatal = task.await.expect("ends").expect_err("fails");
            assert_eq!(fatal.to_string(), reason);
        });
    }
}

#[test]
fn with_everysec_a_failed_sync_refuses_writes_until_one_succeeds() {
    simulate(|machine| async move {
        let (store, _task) = Store::open(config(FsyncPolicy::EverySecond)).await.expect("opens");
        time::sleep(Duration::from_secs(2)).await;
        machine.disk().fail_syncs(1);
        store.push_and_wait().await;
        time::sleep(Duration::from_secs(3)).await;
        let refusal = "MISCONF Errors writing to the AOF file: Input/output error";
        assert_eq!(store.persistence.refusal().as_deref(), Some(refusal));
        // As in Redis, only something new to write leads to another sync: an expiry, for example.
        store.push_and_wait().await;
        time::sleep(Duration::from_secs(2)).await;
        assert_eq!(store.persistence.refusal(), None);
    });
}

#[test]
fn a_slow_sync_holds_up_the_server_after_two_seconds() {
    simulate(|machine| async move {
        let (store, _task) = Store::open(config(FsyncPolicy::EverySecond)).await.expect("opens");
        time::sleep(Duration::from_millis(1500)).await;
        let slow = Latency::constant(Duration::from_secs(10));
        machine.disk().set_device(Device { write: slow, ..Device::cloud_ssd() });
        store.push_and_wait().await;
        let started = sim::elapsed();
        let mut longest = (Duration::ZERO, Duration::ZERO);
        while sim::elapsed() - started < Duration::from_secs(15) {
            let asked = sim::elapsed();
            store.persistence.unblocked().await;
            store.push_and_wait().await;
            longest = longest.max((sim::elapsed() - asked, asked - started));
            time::sleep(Duration::from_millis(10)).await;
        }
        let (held_up, after) = longest;
        assert!((2000..3200).contains(&after.as_millis()), "held up after {after:?}");
        assert!(held_up > Duration::from_secs(6), "held up for {held_up:?}");
        assert_eq!(store.persistence.status().delayed_syncs, 1);
        // A read is held up as well while the thread is within the system call, but nothing that was written is missing.
        assert_eq!(store.persistence.status().buffered, 0);
    });
}

#[test]
fn always_waits_for_the_device_and_the_others_do_not() {
    for (fsync, waits) in
        [(FsyncPolicy::Always, true), (FsyncPolicy::EverySecond, false), (FsyncPolicy::No, false)]
    {
        simulate(move |machine| async move {
            let device = Device { write: Latency::constant(Duration::from_millis(7)), ..Device::cloud_ssd() };
            machine.disk().set_device(device);
            let (store, _task) = Store::open(config(fsync)).await.expect("opens");
            store.persistence.flushed(store.persistence.appended()).await;
            let started = sim::elapsed();
            store.push_and_wait().await;
            assert_eq!(sim::elapsed() - started >= Duration::from_millis(7), waits, "{fsync:?}");
            // What is read has to wait as well as long as it may show what is not synced.
            let syncs = machine.disk().stats().syncs;
            for _ in 0..100 {
                store.push(1);
            }
            store.persistence.flushed(store.persistence.appended()).await;
            assert!(machine.disk().stats().syncs - syncs <= 2, "a sync for all that came at once");
        });
    }
}

#[test]
fn everysec_syncs_once_a_second_and_not_without_need() {
    simulate(|machine| async move {
        let (store, _task) = Store::open(config(FsyncPolicy::EverySecond)).await.expect("opens");
        time::sleep(Duration::from_millis(300)).await;
        let syncs = machine.disk().stats().syncs;
        for _ in 0..1000 {
            store.push_and_wait().await;
            time::sleep(Duration::from_millis(10)).await;
        }
        let while_busy = machine.disk().stats().syncs - syncs;
        assert!((9..=11).contains(&while_busy), "{while_busy} syncs in ten seconds");
        time::sleep(Duration::from_secs(2)).await;
        let syncs = machine.disk().stats().syncs;
        time::sleep(Duration::from_secs(1000)).await;
        assert_eq!(machine.disk().stats().syncs, syncs);
    });
}

#[test]
fn snapshots_are_taken_when_they_are_due() {
    simulate(|_| async {
        let save = vec![SavePoint { seconds: 60, changes: 1 }, SavePoint { seconds: 10, changes: 100 }];
        let config = Config { save, ..Config::default() };
        let (store, _task) = Store::open(config.clone()).await.expect("opens");
        let start = store.persistence.last_save_s();
        store.push_and_wait().await;
        time::sleep(Duration::from_secs(59)).await;
        assert_eq!((store.persistence.last_save_s(), loaded(&config).await), (start, vec![]));
        time::sleep(Duration::from_secs(3)).await;
        let first = store.persistence.last_save_s();
        assert!((60..=62).contains(&(first - start)), "{}", first - start);
        assert_eq!(loaded(&config).await, [1]);
        assert_eq!(store.persistence.status().changes, 0);
        time::sleep(Duration::from_secs(100)).await;
        assert_eq!(store.persistence.last_save_s(), first, "there is nothing to save");
        store.push(99);
        time::sleep(Duration::from_secs(1)).await;
        assert_eq!(loaded(&config).await.len(), 100, "the longer time has passed already");
        store.push(100);
        time::sleep(Duration::from_secs(9)).await;
        assert_eq!(loaded(&config).await.len(), 100);
        time::sleep(Duration::from_secs(3)).await;
        assert_eq!(loaded(&config).await.len(), 200);
        assert_eq!(store.persistence.status().saves, 3);
    });
}

#[test]
fn a_failed_snapshot_refuses_writes_until_one_succeeds() {
    simulate(|machine| async move {
        let config = Config::default();
        let (store, _task) = Store::open(config.clone()).await.expect("opens");
        store.push(500);
        assert_eq!(store.persistence.save_in_background(false, false), Ok("Background saving started"));
        assert_eq!(
            store.persistence.save_in_background(false, false),
            Err("ERR Background save already in progress")
        );
        time::sleep(Duration::from_secs(1)).await;
        machine.disk().set_capacity(Some(0));
        let _ = store.persistence.save_in_background(false, false);
        time::sleep(Duration::from_secs(1)).await;
        let refusal = store.persistence.refusal().expect("refuses");
        assert!(refusal.starts_with("MISCONF Redis is configured to save RDB snapshots, but"), "{refusal}");
        assert!(!store.persistence.status().last_save_ok);
        assert_eq!(loaded(&config).await.len(), 500, "the one before is still there");
        store.persistence.configure(|config| config.stop_writes_on_save_error = false);
        assert_eq!(store.persistence.refusal(), None);
        store.persistence.configure(|config| config.stop_writes_on_save_error = true);
        machine.disk().set_capacity(None);
        let snapshot = rdb::encode(&Default::default(), &rdb::Origin::default());
        assert_eq!(store.persistence.save(&snapshot).await, Ok(true));
        assert_eq!(store.persistence.refusal(), None);
        assert!(loaded(&config).await.is_empty());
        // Nothing is left of those that failed.
        assert_eq!(names("/").await, ["dump.rdb"]);
    });
}

async fn names(directory: &str) -> Vec<String> {
    let mut entries = disk::read_dir(directory).await.expect("lists");
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await.expect("lists") {
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names
}

#[test]
fn the_append_only_file_is_rewritten_when_it_has_grown() {
    simulate(|_| async {
        let config =
            Config { rewrite_min_bytes: 2000, rewrite_percentage: 100, ..config(FsyncPolicy::EverySecond) };
        let (store, _task) = Store::open(config.clone()).await.expect("opens");
        for _ in 0..1000 {
            store.push_and_wait().await;
            time::sleep(Duration::from_millis(5)).await;
        }
        time::sleep(Duration::from_secs(2)).await;
        let status = store.persistence.status();
        // The base is small, so this is how often the commands come to 2000 bytes.
        assert!((14..=18).contains(&status.rewrites), "{status:?}");
        assert!(status.last_rewrite_ok && !status.is_rewriting);
        let number = status.rewrites + 1;
        assert_eq!(
            names("/appendonlydir").await,
            [
                format!("appendonly.aof.{number}.base.rdb"),
                format!("appendonly.aof.{number}.incr.aof"),
                "appendonly.aof.manifest".into()
            ]
        );
        let lengths = [0, 1].map(|place| names_length(place, number));
        let [base, increment] = [lengths[0].clone(), lengths[1].clone()];
        let length = |name: String| async move { disk::metadata(name).await.expect("is there").len() };
        assert_eq!(status.size, length(base).await + length(increment).await);
        assert_eq!(names("/").await, ["appendonlydir"]);
        assert_eq!(loaded(&config).await, store.numbers());
    });
}

fn names_length(place: usize, number: u64) -> String {
    let kind = ["base.rdb", "incr.aof"][place];
    format!("/appendonlydir/appendonly.aof.{number}.{kind}")
}

#[test]
fn rewrites_that_fail_leave_all_as_it_was_and_are_put_off() {
    simulate(|machine| async move {
        let config =
            Config { rewrite_min_bytes: 1000, rewrite_percentage: 50, ..config(FsyncPolicy::EverySecond) };
        let (store, _task) = Store::open(config.clone()).await.expect("opens");
        assert_eq!(
            store.persistence.rewrite_in_background(true),
            Ok("Background append only file rewriting scheduled")
        );
        time::sleep(Duration::from_secs(2)).await;
        assert_eq!(store.persistence.status().rewrites, 1);
        // Room for what is pushed and for new increments, not for the base.
        machine.disk().set_capacity(Some(machine.disk().used_bytes() + 1_200_000));
        store.push(30_000);
        time::sleep(Duration::from_secs(30)).await;
        let failed = store.persistence.status();
        assert!(failed.failed_rewrites >= 3 && !failed.last_rewrite_ok, "{failed:?}");
        time::sleep(Duration::from_secs(20)).await;
        assert_eq!(store.persistence.status().failed_rewrites, failed.failed_rewrites, "put off by a minute");
        assert_eq!(loaded(&config).await, store.numbers());
        machine.disk().set_capacity(None);
        assert_eq!(
            store.persistence.rewrite_in_background(false),
            Ok("Background append only file rewriting started"),
        );
        assert_eq!(
            store.persistence.rewrite_in_background(false),
            Err("ERR Background append only file rewriting already in progress"),
        );
        assert!(store.persistence.save_in_background(false, false).is_err());
        assert_eq!(store.persistence.save_in_background(true, false), Ok("Background saving scheduled"));
        time::sleep(Duration::from_secs(1)).await;
        assert!(store.persistence.status().last_rewrite_ok);
        assert_eq!((store.persistence.status().saves, loaded(&config).await), (1, store.numbers()));
        assert_eq!(names("/").await, ["appendonlydir", "dump.rdb"]);
    });
}

#[test]
fn closing_writes_and_syncs_all() {
    for fsync in [FsyncPolicy::Always, FsyncPolicy::EverySecond, FsyncPolicy::No] {
        let outcome = sim::run(sim::Config::new(3), move || async move {
            let machine = host::add("machine", || async {});
            let pushed = machine.spawn(async move {
                let (store, task) = Store::open(config(fsync)).await.expect("opens");
                for _ in 0..500 {
                    store.push(1);
                }
                let _ = store.persistence.rewrite_in_background(false);
                store.persistence.close().await;
                assert_eq!(task.await, Ok(Ok(())));
                store.numbers()
            });
            let pushed = pushed.await.expect("ends");
            machine.crash();
            machine.boot();
            let found = machine.spawn(async move { loaded(&config(fsync)).await }).await.expect("ends");
            assert!(found == pushed, "{} of {}", found.len(), pushed.len());
        });
        outcome.result.expect("holds");
    }
}

#[test]
fn a_server_without_append_only_file_can_leave_a_base_for_later() {
    simulate(|_| async {
        let (store, task) = Store::open(Config::default()).await.expect("opens");
        store.push(10);
        assert_eq!(store.persistence.appended(), 0);
        store.push_and_wait().await;
        assert!(store.persistence.rewrite_in_background(false).is_ok());
        time::sleep(Duration::from_secs(1)).await;
        assert!(store.persistence.status().last_rewrite_ok);
        task.abort();
        assert_eq!(loaded(&config(FsyncPolicy::Always)).await.len(), 11);
    });
}

/// Writes the file of a server that has pushed three numbers, and returns it.
async fn increment_of_three() -> Vec<u8> {
    let (store, task) = Store::open(config(FsyncPolicy::Always)).await.expect("opens");
    store.push_and_wait().await;
    store.push(2);
    store.persistence.close().await;
    task.await.expect("ends").expect("ends well");
    disk::read(INCREMENT).await.expect("reads")
}

const INCREMENT: &str = "/appendonlydir/appendonly.aof.1.incr.aof";

async fn start_error(config: Config) -> String {
    let started = persistence::open(config, &mut Numbers::default()).await;
    started.map(|_| ()).expect_err("does not start").to_string()
}

#[test]
fn a_damaged_append_only_file_stops_the_start_and_can_be_repaired() {
    simulate(|_| async {
        let whole = increment_of_three().await;
        let strict = Config { load_truncated: false, ..config(FsyncPolicy::Always) };
        // Within the transaction: all of it is undone.
        let cut = whole.len() - 20;
        disk::write(INCREMENT, &whole[..cut]).await.expect("writes");
        let error = start_error(strict.clone()).await;
        assert!(
            error.starts_with(
                "Unexpected end of file reading the append only file appendonly.aof.1.incr.aof."
            )
        );
        assert_eq!(loaded(&config(FsyncPolicy::Always)).await, [1]);
        let sound = disk::metadata(INCREMENT).await.expect("is there").len();
        assert!(sound < cut as u64);
        assert_eq!(loaded(&strict).await, [1], "what was incomplete is cut off");

        let mut broken = whole.clone();
        broken[sound as usize] = b'x';
        disk::write(INCREMENT, &broken).await.expect("writes");
        let error = start_error(config(FsyncPolicy::Always)).await;
        assert!(
            error.starts_with("Bad file format reading the append only file appendonly.aof.1.incr.aof: make")
        );
        let lost = whole.len() as u64 - sound;
        assert_eq!(persistence::repair("/").await, Ok(Repair::Cut(lost)));
        assert_eq!(persistence::repair("/").await, Ok(Repair::Sound));
        assert_eq!(loaded(&strict).await, [1]);

        disk::write(INCREMENT, b"*1\r\n$4\r\nNOPE\r\n").await.expect("writes");
        let error = start_error(strict.clone()).await;
        assert_eq!(error, "Unknown command 'NOPE' reading the append only file appendonly.aof.1.incr.aof");

        disk::remove_file(INCREMENT).await.expect("removes");
        let error = start_error(strict.clone()).await;
        assert!(error.ends_with("No such file or directory"), "{error}");
        disk::write("/appendonlydir/appendonly.aof.manifest", "file x\n").await.expect("writes");
        let error = start_error(strict).await;
        assert!(error.ends_with("at line 1: Invalid AOF manifest file format"), "{error}");
    });
}

#[test]
fn a_cut_file_that_others_follow_stops_the_start() {
    simulate(|_| async {
        let whole = increment_of_three().await;
        disk::write("/appendonlydir/appendonly.aof.2.incr.aof", &whole).await.expect("writes");
        let manifest = "file appendonly.aof.1.base.rdb seq 1 type b\n\
                        file appendonly.aof.1.incr.aof seq 1 type i\n\
                        file appendonly.aof.2.incr.aof seq 2 type i\n";
        disk::write("/appendonlydir/appendonly.aof.manifest", manifest).await.expect("writes");
        disk::write(INCREMENT, &whole[..whole.len() - 1]).await.expect("writes");
        let error = start_error(config(FsyncPolicy::Always)).await;
        assert_eq!(error, "Fatal error: the truncated file is not the last file");
    });
}

#[test]
fn a_damaged_snapshot_stops_the_start() {
    simulate(|_| async {
        let bytes = rdb::encode(&Default::default(), &rdb::Origin::default());
        disk::write("/dump.rdb", &bytes[..bytes.len() - 9]).await.expect("writes");
        let error = start_error(Config::default()).await;
        assert_eq!(error, "Fatal error loading the DB: Unexpected EOF reading RDB file. Exiting.");
        disk::write("/dump.rdb", "nonsense").await.expect("writes");
        let started = persistence::open(Config::default(), &mut Numbers::default()).await;
        assert!(matches!(started, Err(StartError::Dump(_))));
    });
}

#[test]
fn loading_takes_the_time_of_the_disk_and_the_processor() {
    let outcome = sim::run(sim::Config::new(1), || async {
        let machine = host::add("machine", || async {});
        let writing = machine.spawn(async {
            let (store, _task) = Store::open(config(FsyncPolicy::No)).await.expect("opens");
            for _ in 0..20_000 {
                store.push(10);
            }
            store.persistence.close().await;
            disk::metadata(INCREMENT).await.expect("is there").len()
        });
        let bytes = writing.await.expect("ends");
        machine.crash();
        machine.boot();
        machine
            .disk()
            .set_device(Device { read: Latency::constant(Duration::from_millis(10)), ..Device::cloud_ssd() });
        let (before, busy) = (sim::elapsed(), world::cpu::usage(machine).busy);
        let found = machine.spawn(async { loaded(&config(FsyncPolicy::No)).await }).await.expect("ends");
        assert_eq!(found.len(), 200_000);
        let busy = world::cpu::usage(machine).busy - busy;
        assert!(
            busy > Duration::from_nanos(bytes * 10) && busy < Duration::from_nanos(bytes * 20),
            "{busy:?}"
        );
        let reading = sim::elapsed() - before - busy;
        let reads = bytes.div_ceil(128 * 1024);
        assert!(reading >= Duration::from_millis(10) * reads as u32, "{reading:?} for {bytes} bytes");
    });
    outcome.result.expect("holds");
}

/// Files of a directory and of those in it, by path within it.
type Files = BTreeMap<PathBuf, Vec<u8>>;

async fn files_on_disk() -> Files {
    let mut files = Files::new();
    for directory in ["/", "/appendonlydir"] {
        for name in names(directory).await {
            let path = Path::new(directory).join(name);
            if disk::metadata(&path).await.expect("is there").is_file() {
                let bytes = disk::read(&path).await.expect("reads");
                files.insert(path.strip_prefix("/").expect("absolute").to_path_buf(), bytes);
            }
        }
    }
    files
}

/// What was loaded, to be given to a server of ours.
#[derive(Default)]
struct Collected {
    snapshot: Option<Snapshot>,
    commands: Vec<Vec<Vec<u8>>>,
}

impl Target for Collected {
    fn restore(&mut self, snapshot: Snapshot) {
        self.snapshot = Some(snapshot);
    }

    fn run(&mut self, args: &[&[u8]]) -> bool {
        self.commands.push(args.iter().map(|arg| arg.to_vec()).collect());
        true
    }
}

/// Commands as a server propagates them; each line is a unit of one or more.
const UNITS: &[&str] = &[
    "SET a 1",
    "INCRBY a 41; APPEND b text",
    "RPUSH l 1 2 3; LPOP l",
    "HSET h f v g w",
    "SADD s 1 2 x; SREM s 2",
    "ZADD z 1.5 one 2 two",
    "XADD x 1-1 f v; XADD x 1-2 f w; XGROUP CREATE x g 0; XSETID x 5-5",
    "SET expiring 1 PXAT 4000000000000",
    "DEL b",
];

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn propagated(unit: &str) -> Vec<u8> {
    let commands: Vec<Vec<u8>> = unit.split("; ").map(|line| common::encode(&words(line))).collect();
    match commands.as_slice() {
        [one] => one.clone(),
        _ => [common::encode(&words("MULTI")), commands.concat(), common::encode(&words("EXEC"))].concat(),
    }
}

async fn run_units(connection: &mut Raw) {
    for line in UNITS.iter().flat_map(|unit| unit.split("; ")) {
        connection.command(&words(line)).await;
    }
}

#[test]
fn a_real_server_loads_our_append_only_file() {
    // A base of what the first half has done, and an increment of the second half.
    let base = block_on(async {
        let server = Server::new(Options::default());
        let mut connection = Raw::connect(serve(server.clone()).await).await;
        run_units(&mut connection).await;
        server
            .inspect(|keyspace| rdb::encode(keyspace, &rdb::Origin { aof_base: true, ..Default::default() }))
    });
    let outcome = sim::run(sim::Config::new(1), move || async move {
        let machine = host::add("machine", || async {});
        let files = machine.spawn(async move {
            let mut nothing = Collected::default();
            let (persistence, driver) =
                persistence::open(config(FsyncPolicy::Always), &mut nothing).await.expect("opens");
            world::task::spawn(driver.run(move |_| base.clone()));
            persistence.append(&propagated("SET never seen"));
            assert!(persistence.rewrite_in_background(false).is_ok());
            time::sleep(Duration::from_secs(1)).await;
            persistence.append(&propagated("SELECT 0"));
            for unit in UNITS {
                persistence.append(&propagated(unit));
            }
            persistence.close().await;
            files_on_disk().await
        });
        files.await.expect("ends")
    });
    let files = outcome.result.expect("ends");
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("appendonlydir")).expect("creates");
        for (path, bytes) in &files {
            std::fs::write(directory.path().join(path), bytes).expect("writes");
        }
        let Some(real) = RealRedis::start_in(directory.path(), "yes").await else { return };
        let mut real = Raw::connect(real.port).await;
        let ours = serve(Server::new(Options::default())).await;
        let mut ours = Raw::connect(ours).await;
        run_units(&mut ours).await;
        run_units(&mut ours).await;
        assert_eq!(difference(&contents(&mut ours).await, &contents(&mut real).await), None);
        let manifest = directory.path().join("appendonlydir/appendonly.aof.manifest");
        let check = Command::new("redis-check-aof").arg(&manifest).output().expect("redis-check-aof");
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    });
}

#[test]
fn we_load_the_append_only_file_of_a_real_server() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let Some(server) = RealRedis::start_in(directory.path(), "yes").await else { return };
        let mut real = Raw::connect(server.port).await;
        run_units(&mut real).await;
        real.words("BGREWRITEAOF").await;
        while !real.words("INFO persistence").await.text().contains("aof_rewrite_in_progress:0") {
            common::pause(Duration::from_millis(50)).await;
        }
        real.words("MULTI").await;
        run_units(&mut real).await;
        real.words("EXEC").await;
        let theirs = contents(&mut real).await;
        let mut files = Files::new();
        for entry in std::fs::read_dir(directory.path().join("appendonlydir")).expect("lists") {
            let path = entry.expect("lists").path();
            let bytes = std::fs::read(&path).expect("reads");
            files.insert(path.strip_prefix(directory.path()).expect("is within").to_path_buf(), bytes);
        }
        let collected = load(files);
        let mut ours = Raw::connect(serve(Server::new(Options::default())).await).await;
        restore_all(&mut ours, &collected.snapshot.expect("a base").keyspace).await;
        for command in &collected.commands {
            ours.command(command).await;
        }
        assert_eq!(difference(&theirs, &contents(&mut ours).await), None);
    });
}

/// What a simulated machine with these files loads.
fn load(files: Files) -> Collected {
    let outcome = sim::run(sim::Config::new(1), move || async move {
        let machine = host::add("machine", || async {});
        let loading = machine.spawn(async move {
            write_files(&files).await;
            let mut collected = Collected::default();
            persistence::open(config(FsyncPolicy::Always), &mut collected).await.expect("opens");
            collected
        });
        loading.await.expect("ends")
    });
    outcome.result.expect("ends")
}

async fn write_files(files: &Files) {
    disk::create_dir_all("/appendonlydir").await.expect("creates");
    for (path, bytes) in files {
        disk::write(Path::new("/").join(path), bytes).await.expect("writes");
    }
}

/// The files of a server that has rewritten its append-only file once and goes on.
fn sample_files() -> Files {
    let outcome = sim::run(sim::Config::new(1), || async {
        let machine = host::add("machine", || async {});
        let files = machine.spawn(async {
            let (store, _task) = Store::open(config(FsyncPolicy::Always)).await.expect("opens");
            store.push(5);
            let _ = store.persistence.rewrite_in_background(false);
            time::sleep(Duration::from_secs(1)).await;
            store.push(1);
            store.push(3);
            store.persistence.close().await;
            files_on_disk().await
        });
        files.await.expect("ends")
    });
    outcome.result.expect("ends")
}

#[test]
fn damaged_files_never_panic() {
    let sample = sample_files();
    assert_eq!(sample.len(), 3);
    let names: Vec<PathBuf> = sample.keys().cloned().collect();
    let change = (proptest::sample::select(names), any::<proptest::sample::Index>(), any::<u8>());
    let changes = proptest::collection::vec(change, 1..4);
    let damages = proptest::collection::vec((changes, any::<bool>(), any::<bool>()), 40);
    let config = ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(damages in damages)| {
        let sample = sample.clone();
        simulate(move |_| async move {
            for (changes, cuts, load_truncated) in damages {
                let mut files = sample.clone();
                for (name, place, byte) in changes {
                    let bytes = files.get_mut(&name).expect("is there");
                    let place = place.index(bytes.len().max(1));
                    if cuts {
                        bytes.truncate(place);
                    } else if let Some(at) = bytes.get_mut(place) {
                        *at = byte;
                    }
                }
                write_files(&files).await;
                let config = Config { load_truncated, ..self::config(FsyncPolicy::Always) };
                let _ = persistence::open(config.clone(), &mut Numbers::default()).await;
                write_files(&files).await;
                let _ = persistence::repair("/").await;
                let _ = persistence::open(config, &mut Numbers::default()).await;
            }
        });
    });
}
