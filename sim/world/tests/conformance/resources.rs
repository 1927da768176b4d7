//! Disks, cores, limits.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use world::engines::EngineKind;
use world::net::TcpListener;
use world::time::Instant;
use world::{cpu, disk, host, time};

use crate::{Check, Seen, play, seen};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("disk: what was synced survives a crash", synced),
    ("disk: what was not synced is lost in a crash", unsynced),
    ("disk: all that was written survives a kill", killed),
    ("cores", cores),
    ("limits", limits),
];

#[test]
fn resources_conform() {
    crate::conform(CHECKS);
}

/// A host that is crashed or killed once it has written to two files, of which it has synced one; gives what the
/// files hold when it has booted again.
async fn written_and_down(down: fn(host::Host)) -> [Vec<u8>; 2] {
    let machine = host::add("machine", || async {});
    let written = machine.spawn(async {
        let mut synced = disk::File::create("/synced").await.expect("creates");
        synced.write_all(b"kept").await.expect("writes");
        synced.sync_all().await.expect("syncs");
        disk::sync_dir("/").await.expect("syncs");
        let mut unsynced = disk::File::create("/unsynced").await.expect("creates");
        disk::sync_dir("/").await.expect("syncs");
        unsynced.write_all(&[7; 100_000]).await.expect("writes");
    });
    written.await.expect("up");
    down(machine);
    time::sleep(Duration::from_millis(20)).await;
    machine.boot();
    let read = machine.spawn(async {
        let unsynced = disk::read("/unsynced").await.unwrap_or_default();
        [disk::read("/synced").await.unwrap_or_default(), unsynced]
    });
    read.await.expect("up")
}

fn synced(engine: EngineKind) -> Seen {
    play(engine, || async {
        let [synced, _] = written_and_down(host::Host::crash).await;
        if synced == b"kept" { Ok(()) } else { Err(format!("{synced:?}")) }
    })
}

fn unsynced(engine: EngineKind) -> Seen {
    play(engine, || async {
        let [_, unsynced] = written_and_down(host::Host::crash).await;
        if unsynced != [7; 100_000] { Ok(()) } else { seen("it is all there") }
    })
}

fn killed(engine: EngineKind) -> Seen {
    play(engine, || async {
        let [synced, unsynced] = written_and_down(host::Host::kill).await;
        if synced == b"kept" && unsynced == [7; 100_000] { Ok(()) } else { seen("not all is there") }
    })
}

fn cores(engine: EngineKind) -> Seen {
    play(engine, || async {
        let machine = host::add("machine", || async {});
        machine.set_cores(2);
        let start = Instant::now();
        let work = [0; 4].map(|_| {
            machine.spawn(async move {
                cpu::work(Duration::from_millis(100)).await;
                start.elapsed()
            })
        });
        let mut ends = Vec::new();
        for work in work {
            ends.push(work.await.expect("up"));
        }
        ends.sort_unstable();
        // Two at a time.
        let first = ends[1] >= Duration::from_millis(100) && ends[1] < Duration::from_millis(190);
        if first && ends[2] >= Duration::from_millis(200) { Ok(()) } else { Err(format!("{ends:?}")) }
    })
}

fn limits(engine: EngineKind) -> Seen {
    play(engine, || async {
        host::current().set_open_files_limit(Some(1));
        let _first = TcpListener::bind("0.0.0.0:80").await.expect("free");
        let second = TcpListener::bind("0.0.0.0:81").await.map(|_| ()).map_err(|error| error.raw_os_error());
        if second == Err(Some(24)) { Ok(()) } else { Err(format!("{second:?}")) }
    })
}
