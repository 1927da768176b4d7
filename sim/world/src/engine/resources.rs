//! What becomes of a host's disk, processor and limits when the host goes down: the same for every engine.

use std::task::Waker;

use super::{Note, World};
use crate::common::hosts::HostId;

impl World {
    /// The machine loses power: its disk keeps what was synced and, by seeded choice, some of what was not.
    pub(super) fn power_lost(&self, host: HostId) {
        let now_ns = self.now_ns();
        let losses = self.common.disks.borrow_mut().power_lost(host, now_ns);
        if let Some(losses) = losses {
            let payload = losses.to_bytes();
            self.note(Note { kind: "disk power loss", host, number: 0, payload: &payload });
        }
        self.processes_gone(host);
    }

    /// The processes die and the machine stays: all that was written is kept, open files are closed.
    pub(crate) fn processes_gone(&self, host: HostId) {
        self.common.disks.borrow_mut().processes_gone(host);
        self.common.limits.borrow_mut().processes_gone(host);
        let wakers = self.common.cpus.borrow_mut().processes_gone(host, self.now_ns());
        drop(wakers);
    }

    /// The processes stand still, or go on: so does their work on the cores.
    pub(crate) fn processes_paused(&self, host: HostId, paused: bool) {
        let wakers = self.common.cpus.borrow_mut().set_paused(host, paused, self.now_ns());
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;

    use crate::sim::{self, Config};
    use crate::{cpu, disk, engine, host, limits, memory, time};

    #[test]
    fn a_kill_closes_files_and_keeps_what_was_written() {
        let outcome = sim::run(Config::new(1), || async {
            let machine = host::add("machine", || async {});
            let written = machine.spawn(async {
                let mut file = disk::File::create("/log").await.expect("creates");
                file.write_all(b"never synced").await.expect("writes");
                let memory = memory::reserve(100).expect("there is no limit");
                (file, memory)
            });
            let (file, memory) = written.await.expect("ends");
            assert_eq!((limits::open_files(machine), memory::used(machine)), (1, 100));
            engine::with(|world| world.processes_gone(machine.0));
            assert_eq!((limits::open_files(machine), memory::used(machine)), (0, 0));
            let error = file.sync_all().await.expect_err("the process that had it open is gone");
            assert_eq!(error.raw_os_error(), Some(libc::EBADF));
            drop((file, memory));
            assert_eq!((limits::open_files(machine), memory::used(machine)), (0, 0));
            let read = machine.spawn(async { disk::read("/log").await.expect("reads") });
            assert_eq!(read.await, Ok(b"never synced".to_vec()));
        });
        assert_eq!(outcome.result, Ok(()));
    }

    #[test]
    fn work_stands_still_on_a_paused_host() {
        let outcome = sim::run(Config::new(1), || async {
            let machine = host::add("machine", || async {});
            let work = machine.spawn(async {
                cpu::work(Duration::from_millis(10)).await;
                sim::elapsed()
            });
            time::sleep(Duration::from_millis(4)).await;
            machine.pause();
            time::sleep(Duration::from_secs(1)).await;
            machine.resume();
            assert_eq!(work.await, Ok(Duration::from_millis(1010)));
            assert_eq!(cpu::usage(machine).busy, Duration::from_millis(10));
        });
        assert_eq!(outcome.result, Ok(()));
    }
}
