//! tokio: real sockets on the loopback network, real time.
//!
//! Every run takes a block of 4096 addresses of 127.77.0.0 and above, so that runs beside each other do not meet, and
//! every host one address of it; or all hosts share one address that others know ([`Config::listen_at`]). Outside of this module the addresses are the world's. Ports below 1024, for which
//! one may need privileges, are moved to above 61 000, which Linux leaves alone when it picks ports.

use std::cell::OnceCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use super::links::Link;
use super::task::Hosted;
use super::{Cannot, Foreign, Native};
use crate::common::hosts::{HostId, Hosts};
use crate::engine::RunEnd;
use crate::sim::Config;

const BLOCK: u32 = 4096;
const FIRST_BLOCK: u32 = Ipv4Addr::new(127, 77, 0, 0).to_bits();
const BEYOND: u32 = Ipv4Addr::new(127, 255, 240, 0).to_bits();
/// Bound on the last address of a block that is in use.
const LOCK_PORT: u16 = 62_999;
const PRIVILEGED: u16 = 1024;
const MOVED_BY: u16 = 61_000;
/// How often a run without anything to do is looked for.
const IDLE_CHECK: Duration = Duration::from_millis(250);

/// A block of addresses, ours as long as it is locked.
struct Block {
    first: u32,
    _lock: TcpListener,
}

#[derive(Default)]
pub(super) struct Tokio {
    started: OnceCell<Instant>,
    block: OnceCell<Block>,
    /// All hosts share this address ([`Config::listen_at`]).
    shared: OnceCell<Ipv4Addr>,
}

impl Native for Tokio {
    #[expect(clippy::disallowed_methods, reason = "real time")]
    fn run(&self, foreign: &Foreign, config: &Config, main: Hosted) -> RunEnd {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return RunEnd::Failed(error.to_string()),
        };
        match config.listen_at {
            Some(shared) => _ = self.shared.set(shared).ok(),
            None => match lock_block() {
                Ok(block) => _ = self.block.set(block).ok(),
                Err(error) => return RunEnd::Failed(error.to_string()),
            },
        }
        self.started.set(Instant::now()).ok();
        let local = LocalSet::new();
        let end = local.block_on(&runtime, async {
            self.start(HostId::DIRECTOR, None, main);
            tokio::select! {
                biased;
                () = foreign.main_ended() => RunEnd::MainEnded,
                () = nothing_to_do(foreign) => {
                    foreign.keep_waiting_tasks();
                    RunEnd::Deadlock
                }
            }
        });
        // Inside the runtime that the sockets belong to.
        let _inside = runtime.enter();
        foreign.tear_down();
        end
    }

    fn now_ns(&self, _: bool) -> u64 {
        self.started.get().map_or(0, |started| started.elapsed().as_nanos() as u64)
    }

    #[expect(clippy::disallowed_methods, reason = "this engine is tokio")]
    fn start(&self, _: HostId, _: Option<HostId>, task: Hosted) {
        tokio::task::spawn_local(task);
    }

    fn host_up(&self, _: HostId, _: &str) {}

    fn host_down(&self, _: HostId, _: bool) {}

    fn set_link(&self, _: HostId, _: HostId, before: &Link, after: &Link) -> Result<(), Cannot> {
        if before.partitioned != after.partitioned {
            return Err("partitions");
        }
        if before.held != after.held {
            return Err("holding packets");
        }
        if before.loss != after.loss {
            return Err("loss on a single link");
        }
        Err("the latency of a single link")
    }
}

/// Ends when no task ran for a while, none waits for a timer, and there is no socket to wake one.
#[expect(clippy::disallowed_methods, reason = "real time")]
async fn nothing_to_do(foreign: &Foreign) {
    loop {
        let polls = foreign.polls();
        tokio::time::sleep(IDLE_CHECK).await;
        // A world that only waits is not stuck.
        foreign.progress.set(foreign.now_ns());
        if foreign.polls() == polls && foreign.timers.borrow().is_empty() && foreign.sockets.get() == 0 {
            return;
        }
    }
}

/// The first block that no run uses, on this machine.
fn lock_block() -> io::Result<Block> {
    for first in (FIRST_BLOCK..BEYOND).step_by(BLOCK as usize) {
        let last = Ipv4Addr::from_bits(first + BLOCK - 1);
        match TcpListener::bind((last, LOCK_PORT)) {
            Ok(lock) => return Ok(Block { first, _lock: lock }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "too many runs on real sockets at once"))
}

impl Tokio {
    fn first(&self) -> u32 {
        self.block.get().map_or(FIRST_BLOCK, |block| block.first)
    }

    /// The real address of a host's port; port 0 stays 0.
    pub(super) fn real(&self, host: HostId, port: u16) -> SocketAddr {
        if let Some(shared) = self.shared.get() {
            return SocketAddr::new(IpAddr::V4(*shared), port);
        }
        let ip = Ipv4Addr::from_bits(self.first() + 1 + host.0);
        let port = if (1..PRIVILEGED).contains(&port) { port + MOVED_BY } else { port };
        SocketAddr::new(IpAddr::V4(ip), port)
    }

    /// The world's address for a real one.
    pub(super) fn world(&self, real: SocketAddr) -> SocketAddr {
        if self.shared.get().is_some() {
            return real;
        }
        let IpAddr::V4(ip) = real.ip() else { return real };
        let Some(host) = ip.to_bits().checked_sub(self.first() + 1) else { return real };
        let port = real.port();
        let port = if (MOVED_BY..MOVED_BY + PRIVILEGED).contains(&port) { port - MOVED_BY } else { port };
        SocketAddr::new(Hosts::ip(HostId(host)), port)
    }
}
