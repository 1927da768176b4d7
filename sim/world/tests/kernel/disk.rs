//! Files: their semantics, their errors, and the time that they take.

use std::future::Future;
use std::io::{ErrorKind, SeekFrom};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use world::disk::{self, Device, Durability, File, OpenOptions, Torn, Unsynced};
use world::host::{self, Host};
use world::net::Latency;
use world::sim::{self, Config, Outcome};
use world::{task, time};

use crate::support::simulate;

fn simulate_with<F, Fut>(seed: u64, main: F) -> Outcome<Fut::Output>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    sim::run(Config::new(seed), main)
}

/// Runs as a process of the host.
async fn on<F>(host: Host, future: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    host.spawn(future).await.expect("ends")
}

fn code<T: std::fmt::Debug>(result: std::io::Result<T>) -> Option<i32> {
    result.expect_err("fails").raw_os_error()
}

#[test]
fn files_hold_what_is_written_where_it_is_written() {
    simulate(|| async {
        let mut file = File::options().read(true).write(true).create(true).open("/a").await.expect("opens");
        file.write_all(b"hello world").await.expect("writes");
        file.write_all_at(b"W", 6).await.expect("writes");
        file.write_all_at(&[7; 5000], 10_000).await.expect("writes over a hole and two pages");
        assert_eq!(file.metadata().await.expect("knows").len(), 15_000);
        let mut bytes = [1; 12];
        file.read_exact_at(&mut bytes, 0).await.expect("reads");
        assert_eq!(&bytes, b"hello World\0");
        let mut end = vec![0; 100];
        assert_eq!(file.read_at(&mut end, 14_990).await.expect("reads"), 10);
        assert_eq!(file.read_at(&mut end, 15_000).await.expect("reads"), 0);
        assert_eq!(
            file.read_exact_at(&mut end, 14_990).await.expect_err("short").kind(),
            ErrorKind::UnexpectedEof
        );
        assert_eq!(file.seek(SeekFrom::End(-2)).await.expect("seeks"), 14_998);
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).await.expect("reads");
        assert_eq!(rest, [7, 7]);
        file.set_len(10_001).await.expect("cuts");
        file.set_len(10_003).await.expect("lengthens");
        let all = disk::read("/a").await.expect("reads");
        assert_eq!((all.len(), &all[9_999..]), (10_003, &[0, 7, 0, 0][..]));
        assert_eq!(file.seek(SeekFrom::Current(-20_000)).await.expect_err("before").raw_os_error(), Some(22));
    });
}

#[test]
fn who_appends_writes_at_the_end() {
    simulate(|| async {
        disk::write("/log", b"one ").await.expect("writes");
        let mut log = OpenOptions::new().append(true).open("/log").await.expect("opens");
        log.write_all(b"two ").await.expect("writes");
        log.write_at(b"three", 0).await.expect("appends, as pwrite does with O_APPEND");
        assert_eq!(disk::read("/log").await.expect("reads"), b"one two three");
        assert_eq!(code(log.read_at(&mut [0], 0).await), Some(9));
    });
}

#[test]
fn open_follows_the_file_not_the_name() {
    simulate(|| async {
        let file = File::options().read(true).write(true).create_new(true).open("/a").await.expect("opens");
        disk::rename("/a", "/b").await.expect("renames");
        file.write_all_at(b"moved", 0).await.expect("writes");
        assert_eq!(disk::read("/b").await.expect("reads"), b"moved");
        disk::remove_file("/b").await.expect("removes");
        let mut bytes = [0; 5];
        file.read_exact_at(&mut bytes, 0).await.expect("still there for who has it open");
        assert_eq!(&bytes, b"moved");
        assert!(!disk::try_exists("/b").await.expect("looks"));
        assert!(host::current().disk().used_bytes() > 4096);
        drop(file);
        // The name's removal has yet to reach the device: until then the room is taken.
        time::sleep(Duration::from_secs(6)).await;
        assert_eq!(host::current().disk().used_bytes(), 4096);
    });
}

#[test]
fn directories_list_their_names_in_order() {
    simulate(|| async {
        disk::create_dir_all("/data/wal/old").await.expect("creates");
        disk::create_dir_all("/data/wal").await.expect("exists");
        for name in ["10", "2", "base"] {
            disk::write(format!("/data/wal/{name}"), b"").await.expect("writes");
        }
        let mut names = disk::read_dir("/data/wal").await.expect("lists");
        let mut found = Vec::new();
        while let Some(entry) = names.next_entry().await.expect("goes on") {
            found.push((entry.path().display().to_string(), entry.is_dir()));
        }
        let expected = [("10", false), ("2", false), ("base", false), ("old", true)];
        assert_eq!(found, expected.map(|(name, is_dir)| (format!("/data/wal/{name}"), is_dir)));
        disk::rename("/data/wal", "/wal").await.expect("moves all");
        assert!(disk::metadata("/wal/base").await.expect("is there").is_file());
        disk::remove_dir_all("/wal").await.expect("removes");
        assert!(!disk::try_exists("/wal").await.expect("looks"));
    });
}

#[test]
fn errors_are_those_of_linux() {
    simulate(|| async {
        disk::create_dir_all("/d/e").await.expect("creates");
        disk::write("/f", b"x").await.expect("writes");
        assert_eq!(code(File::open("/missing").await), Some(libc::ENOENT));
        assert_eq!(code(File::create("/missing/f").await), Some(libc::ENOENT));
        assert_eq!(code(File::create("/f/g").await), Some(libc::ENOTDIR));
        assert_eq!(code(File::create("/d").await), Some(libc::EISDIR));
        assert_eq!(code(File::options().write(true).create_new(true).open("/f").await), Some(libc::EEXIST));
        assert_eq!(code(File::options().open("/f").await), Some(libc::EINVAL));
        assert_eq!(code(File::options().read(true).create(true).open("/f").await), Some(libc::EINVAL));
        assert_eq!(code(disk::create_dir("/d").await), Some(libc::EEXIST));
        assert_eq!(code(disk::remove_file("/d").await), Some(libc::EISDIR));
        assert_eq!(code(disk::remove_dir("/f").await), Some(libc::ENOTDIR));
        assert_eq!(code(disk::remove_dir("/d").await), Some(libc::ENOTEMPTY));
        assert_eq!(code(disk::rename("/d", "/d/e/x").await), Some(libc::EINVAL));
        assert_eq!(code(disk::rename("/d", "/f").await), Some(libc::ENOTDIR));
        assert_eq!(code(disk::rename("/f", "/d").await), Some(libc::EISDIR));
        assert_eq!(code(File::create("x".repeat(256)).await), Some(libc::ENAMETOOLONG));
        assert_eq!(File::create("a\0b").await.expect_err("refused").kind(), ErrorKind::InvalidInput);
        let file = File::open("/f").await.expect("opens");
        assert_eq!(code(file.write_at(b"x", 0).await), Some(libc::EBADF));
        assert_eq!(code(file.set_len(0).await), Some(libc::EINVAL));
        assert_eq!(
            code(File::open("/d").await.expect("opens").read_at(&mut [0], 0).await),
            Some(libc::EISDIR)
        );
        assert_eq!(code(File::create("/g").await.expect("opens").set_len(1 << 50).await), Some(libc::EFBIG));
        host::current().disk().set_read_only(true);
        assert_eq!(code(File::create("/g").await), Some(libc::EROFS));
        assert_eq!(code(disk::remove_file("/f").await), Some(libc::EROFS));
        assert_eq!(disk::read("/f").await.expect("reads"), b"x");
    });
}

#[test]
fn a_full_disk_takes_what_fits_and_room_comes_back() {
    simulate(|| async {
        let here = host::current().disk();
        here.set_capacity(Some(4 * 4096));
        let file = File::create("/big").await.expect("creates");
        assert_eq!(file.write_at(&[1; 20_000], 0).await.expect("a part fits"), 3 * 4096);
        let error = file.write_at(&[1; 10], 3 * 4096).await.expect_err("full");
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::StorageFull, Some(28)));
        file.write_all_at(&[2; 4096], 0).await.expect("overwriting takes no room");
        assert_eq!(code(File::create("/other").await), Some(libc::ENOSPC));
        assert_eq!(code(disk::create_dir("/other").await), Some(libc::ENOSPC));
        assert_eq!(here.stats().out_of_space, 3);
        drop(file);
        disk::remove_file("/big").await.expect("removes");
        disk::write("/other", [3; 3 * 4096]).await.expect("room is back");
    });
}

#[test]
fn a_failed_sync_is_reported_once_to_each_and_its_bytes_are_lost() {
    simulate(|| async {
        let machine = host::add("machine", || async {});
        machine.disk().set_durability(Durability { unsynced: Unsynced::Lost, ..Durability::default() });
        on(machine, async {
            let file = File::create("/table").await.expect("creates");
            let other = File::open("/table").await.expect("opens");
            file.write_all_at(&[1; 8192], 0).await.expect("writes");
            file.sync_all().await.expect("syncs");
            disk::sync_dir("/").await.expect("syncs");
            file.write_all_at(&[2; 4096], 0).await.expect("writes");
            host::current().disk().fail_syncs(1);
            assert_eq!(code(file.sync_all().await), Some(libc::EIO));
            assert_eq!(disk::read("/table").await.expect("reads")[0], 2, "memory keeps what was written");
            file.sync_all().await.expect("the pages count as clean");
            assert_eq!(code(other.sync_data().await), Some(libc::EIO), "it had not been told yet");
            other.sync_all().await.expect("it has been told");
            File::open("/table").await.expect("opens").sync_all().await.expect("was opened after the report");
            // The second page's write-back brings nothing of the first to the device.
            file.write_all_at(&[3; 4096], 4096).await.expect("writes");
            file.sync_all().await.expect("syncs");
        })
        .await;
        machine.crash();
        machine.boot();
        let bytes = on(machine, async { disk::read("/table").await.expect("reads") }).await;
        assert_eq!((bytes[0], bytes[4096]), (1, 3));
        on(machine, async {
            let file = File::options().write(true).open("/table").await.expect("opens");
            file.write_all_at(&[4; 4096], 0).await.expect("writes");
            host::current().disk().fail_syncs(1);
            file.sync_all().await.expect_err("fails");
            file.write_all_at(&[5], 9).await.expect("makes the whole page dirty again");
            file.sync_all().await.expect("syncs");
        })
        .await;
        machine.crash();
        machine.boot();
        let bytes = on(machine, async { disk::read("/table").await.expect("reads") }).await;
        assert_eq!((bytes[0], bytes[9]), (4, 5));
        on(machine, async {
            let file = File::options().write(true).open("/table").await.expect("opens");
            file.write_all_at(&[6; 4096], 0).await.expect("writes");
            host::current().disk().fail_syncs(1);
            file.sync_all().await.expect_err("fails");
            file.write_all_at(&[7], 9).await.expect("makes the whole page dirty again");
            let during = async {
                time::sleep(Duration::from_micros(1)).await;
                file.write_all_at(&[8], 10).await.expect("writes while the device works");
            };
            let (synced, ()) = tokio::join!(file.sync_all(), during);
            synced.expect("syncs");
        })
        .await;
        machine.crash();
        machine.boot();
        let bytes = on(machine, async { disk::read("/table").await.expect("reads") }).await;
        assert_eq!((bytes[0], bytes[9]), (6, 7), "the page goes to the device as a whole");
        assert_eq!(machine.disk().stats().sync_errors, 3);
    });
}

#[test]
fn a_broken_journal_stops_all_change_until_the_next_boot() {
    simulate(|| async {
        let machine = host::add("machine", || async {});
        on(machine, async {
            disk::write("/a", b"x").await.expect("writes");
            host::current().disk().fail_syncs(1);
            assert_eq!(code(disk::sync_dir("/").await), Some(libc::EIO));
            assert_eq!(code(disk::write("/b", b"x").await), Some(libc::EROFS));
            assert_eq!(code(disk::sync_dir("/").await), Some(libc::EROFS));
        })
        .await;
        machine.crash();
        machine.boot();
        on(machine, async { disk::write("/b", b"x").await.expect("writes") }).await;
    });
}

#[test]
fn background_write_back_keeps_what_nobody_synced_and_reports_its_errors_later() {
    simulate(|| async {
        let machine = host::add("machine", || async {});
        machine.disk().set_durability(Durability { unsynced: Unsynced::Lost, ..Durability::default() });
        on(machine, async {
            disk::write("/old", b"old").await.expect("writes");
            time::sleep(Duration::from_secs(31)).await;
            disk::write("/new", b"new").await.expect("writes");
            time::sleep(Duration::from_secs(6)).await;
        })
        .await;
        machine.crash();
        machine.boot();
        on(machine, async {
            assert_eq!(disk::read("/old").await.expect("is there"), b"old");
            assert_eq!(disk::read("/new").await.expect("its name is there"), b"");
            disk::write("/old", b"lost").await.expect("writes");
            host::current().disk().fail_syncs(1);
            time::sleep(Duration::from_secs(31)).await;
            let file = File::open("/old").await.expect("opens");
            assert_eq!(code(file.sync_all().await), Some(libc::EIO), "nobody had been told");
            file.sync_all().await.expect("has been told");
        })
        .await;
    });
}

#[test]
fn a_file_of_before_the_crash_is_of_no_use() {
    simulate(|| async {
        let machine = host::add("machine", || async {});
        let file = on(machine, async {
            let file = File::create("/f").await.expect("creates");
            disk::sync_dir("/").await.expect("syncs");
            file
        })
        .await;
        machine.crash();
        assert_eq!(code(file.write_at(b"x", 0).await), Some(libc::EBADF));
        machine.boot();
        assert_eq!(code(file.sync_all().await), Some(libc::EBADF));
        assert_eq!(code(file.metadata().await), Some(libc::EBADF));
        drop(file);
        on(machine, async { File::open("/f").await.expect("opens") }).await;
    });
}

#[test]
fn reads_fail_and_lie_and_devices_rot() {
    simulate(|| async {
        let here = host::current().disk();
        let file = File::options().read(true).write(true).create(true).open("/f").await.expect("opens");
        file.write_all_at(&[0; 64], 0).await.expect("writes");
        let read = || async {
            let mut bytes = [0; 64];
            file.read_exact_at(&mut bytes, 0)
                .await
                .map(|()| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>())
        };
        here.set_read_error_rate(0.3);
        let mut failed = 0;
        for _ in 0..1000 {
            failed += read().await.map_or_else(|error| u32::from(error.raw_os_error() == Some(5)), |_| 0);
        }
        assert!((250..350).contains(&failed), "{failed}");
        here.set_read_error_rate(0.0);
        here.set_read_corruption_rate(0.3);
        let mut flipped = 0;
        for _ in 0..1000 {
            flipped += read().await.expect("reads");
        }
        assert!((250..350).contains(&flipped), "{flipped}");
        here.set_read_corruption_rate(0.0);
        assert_eq!(read().await.expect("reads"), 0, "only the answers were wrong");
        here.set_write_corruption_rate(1.0);
        file.sync_all().await.expect("notices nothing");
        assert_eq!(read().await.expect("reads"), 1);
        here.set_write_corruption_rate(0.0);
        assert!(here.corrupt("/f", 63).expect("exists"));
        assert_eq!(read().await.expect("reads"), 2, "for good");
        assert!(!here.corrupt("/f", 64).expect("exists"));
        assert_eq!(here.stats().corruptions, u64::from(flipped) + 2);
        assert_eq!(here.stats().read_errors, u64::from(failed));
    });
}

fn steady() -> Device {
    let latency = Latency::constant(Duration::from_micros(200));
    Device { read: latency.clone(), write: latency, iops: 1000, bytes_per_second: 1 << 20 }
}

/// How long a future takes.
async fn timed<F: Future>(future: F) -> Duration {
    let start = time::Instant::now();
    future.await;
    start.elapsed()
}

#[test]
fn syncs_take_the_device_and_queue_for_it() {
    simulate(|| async {
        let here = host::current().disk();
        here.set_device(steady());
        let file = File::create("/f").await.expect("creates");
        let write = timed(file.write_all_at(&[0; 1024], 0)).await;
        assert_eq!(write, Duration::ZERO);
        // The data and two pages of the journal at 1 MiB/s, and three ways of 0.2 ms.
        assert_eq!(timed(file.sync_all()).await.as_micros(), 8789 + 600);
        disk::sync_dir("/").await.expect("syncs");
        file.write_all_at(&[1; 1024], 0).await.expect("writes");
        assert_eq!(timed(file.sync_data()).await, Duration::from_micros(1200), "the length is the same");
        assert_eq!(timed(file.sync_data()).await, Duration::from_micros(1200), "a flush");
        // 1 MiB at 1 MiB/s.
        file.write_all_at(&[1; 1 << 20], 0).await.expect("writes");
        file.sync_all().await.expect("syncs");
        file.write_all_at(&[1; 1 << 20], 0).await.expect("writes");
        assert_eq!(timed(file.sync_data()).await.as_millis(), 1000);
        here.set_slowness(10.0);
        assert_eq!(timed(file.sync_data()).await, Duration::from_millis(12));
        here.set_slowness(1.0);
        let queued: Vec<_> =
            (0..10).map(|_| task::spawn(async { timed(disk::sync_dir("/")).await.as_micros() })).collect();
        let mut waits = Vec::new();
        for task in queued {
            waits.push(task.await.expect("ends"));
        }
        waits.sort_unstable();
        assert_eq!(waits, (1..=10).map(|place| place * 1000 + 200).collect::<Vec<_>>());
    });
}

#[test]
fn reads_after_a_boot_wait_for_the_device_once() {
    simulate(|| async {
        let machine = host::add("machine", || async {});
        machine.disk().set_device(steady());
        on(machine, async {
            disk::write("/f", [1; 100_000]).await.expect("writes");
            File::open("/f").await.expect("opens").sync_all().await.expect("syncs");
            disk::sync_dir("/").await.expect("syncs");
        })
        .await;
        machine.crash();
        machine.boot();
        on(machine, async {
            let file = File::open("/f").await.expect("opens");
            let mut bytes = [0; 4096];
            let first = timed(file.read_exact_at(&mut bytes, 0)).await;
            assert_eq!(first.as_micros(), 3906 + 200);
            assert_eq!(bytes, [1; 4096]);
            assert_eq!(timed(file.read_exact_at(&mut bytes, 0)).await, Duration::ZERO);
            assert!(timed(disk::read("/f")).await > Duration::from_millis(90));
            assert_eq!(timed(disk::read("/f")).await, Duration::ZERO);
        })
        .await;
    });
}

#[test]
fn writers_wait_when_too_much_is_dirty() {
    simulate(|| async {
        let here = host::current().disk();
        here.set_device(steady());
        here.set_durability(Durability { dirty_limit: 1 << 20, ..Durability::default() });
        let file = File::create("/f").await.expect("creates");
        let mut total = Duration::ZERO;
        for part in 0..64_u64 {
            total += timed(file.write_all_at(&[1; 65_536], part * 65_536)).await;
        }
        assert!((3..=4).contains(&total.as_secs()), "4 MiB at 1 MiB/s with 1 MiB of slack: {total:?}");
    });
}

#[test]
fn torn_and_lost_writes_are_seen_over_the_seeds() {
    let mut seen = [0; 4];
    for seed in 0..200 {
        let outcome = simulate_with(seed, || async {
            let machine = host::add("machine", || async {});
            machine.disk().set_durability(Durability { torn: Torn::Sector, ..Durability::default() });
            on(machine, async {
                disk::write("/f", [1; 4096]).await.expect("writes");
                File::open("/f").await.expect("opens").sync_all().await.expect("syncs");
                disk::sync_dir("/").await.expect("syncs");
                let file = File::options().write(true).open("/f").await.expect("opens");
                file.write_all_at(&[2; 4096], 0).await.expect("writes");
            })
            .await;
            machine.crash();
            machine.boot();
            (on(machine, async { disk::read("/f").await.expect("is there") }).await, machine.disk().stats())
        });
        let (bytes, stats) = outcome.result.expect("ends");
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(
            bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])),
            "sectors are whole"
        );
        let new = sectors.iter().filter(|byte| **byte == 2).count();
        match new {
            0 => seen[0] += 1,
            8 => seen[1] += 1,
            _ => seen[2] += 1,
        }
        seen[3] += stats.writes_torn;
        assert!(stats.writes_torn == 1 || new == 0 || new == 8);
    }
    assert!(seen.iter().all(|count| *count >= 20), "old, new, torn, counted as torn: {seen:?}");
}

/// A log that is emptied and used again: what is written then must not stand before the rest of the old log.
#[test]
fn nothing_written_after_a_cut_survives_without_the_cut() {
    let mut seen = [0; 3];
    for seed in 0..200 {
        let outcome = simulate_with(seed, || async {
            let machine = host::add("machine", || async {});
            on(machine, async {
                disk::write("/log", [1; 6000]).await.expect("writes");
                File::open("/log").await.expect("opens").sync_all().await.expect("syncs");
                disk::sync_dir("/").await.expect("syncs");
                disk::write("/log", [2; 100]).await.expect("empties and writes");
            })
            .await;
            machine.crash();
            machine.boot();
            on(machine, async { disk::read("/log").await.expect("is there") }).await
        });
        let bytes = outcome.result.expect("ends");
        match bytes.len() {
            6000 => assert!(bytes.iter().all(|byte| *byte == 1), "the old log, whole"),
            100 => assert!(bytes.iter().all(|byte| *byte != 1), "nothing of the old log"),
            len => assert_eq!(len, 0, "cut and not lengthened yet"),
        }
        seen[usize::from(bytes.len() < 6000) + usize::from(bytes.is_empty())] += 1;
    }
    assert!(seen.iter().all(|count| *count >= 10), "{seen:?}");
}

#[test]
fn the_same_seed_loses_the_same_and_disks_are_in_the_fingerprint() {
    let run = |seed, byte: u8| {
        simulate_with(seed, move || async move {
            let machine = host::add("machine", || async {});
            on(machine, async move {
                for name in 0..20 {
                    disk::write(format!("/{name}"), [byte; 9000]).await.expect("writes");
                }
            })
            .await;
            machine.crash();
            machine.disk().used_bytes()
        })
    };
    let (first, again, other, bytes) = (run(1, 1), run(1, 1), run(2, 1), run(1, 2));
    assert_eq!((&first.result, first.fingerprint), (&again.result, again.fingerprint));
    assert_ne!(first.fingerprint, other.fingerprint);
    assert_ne!(first.fingerprint, bytes.fingerprint);
    assert!((0..10).any(|seed| run(seed, 1).result != first.result));
}
