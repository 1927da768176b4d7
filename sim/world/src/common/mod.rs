//! What a simulation has whichever engine carries it: hosts, randomness, mutants, findings.
//!
//! Engines hold it behind an `Rc`; the facade reaches it through [`with`]. As in the kernel, every part sits in its
//! own `RefCell`, and no foreign code runs while a part is borrowed.

pub(crate) mod hosts;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use self::hosts::{HostId, Hosts};
use crate::cpu::Cpus;
use crate::disk::Disks;
use crate::engine;
use crate::limits::Limits;
use crate::sim::{Config, TaskPanic};

/// A task's future: tasks are `Send` as on tokio, so that the same code can run there.
pub(crate) type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The engine-neutral state of one simulation.
pub(crate) struct Common {
    current_host: Cell<HostId>,
    pub(crate) hosts: RefCell<Hosts>,
    pub(crate) panics: RefCell<Vec<TaskPanic>>,
    pub(crate) disks: RefCell<Disks>,
    pub(crate) cpus: RefCell<Cpus>,
    pub(crate) limits: RefCell<Limits>,
    pub(crate) mutants: BTreeSet<String>,
}

impl Common {
    pub(crate) fn new(config: &Config) -> Common {
        Common {
            current_host: Cell::new(HostId::DIRECTOR),
            hosts: RefCell::new(Hosts::new(config.seed)),
            panics: RefCell::default(),
            disks: RefCell::new(Disks::new(config.seed)),
            cpus: RefCell::default(),
            limits: RefCell::default(),
            mutants: config.mutants.clone(),
        }
    }

    /// The host whose code runs at this moment.
    pub(crate) fn current_host(&self) -> HostId {
        self.current_host.get()
    }

    /// Runs code as a host's own: what it starts, draws and opens belongs to that host.
    pub(crate) fn on_host<R>(&self, host: HostId, run: impl FnOnce() -> R) -> R {
        let before = self.current_host.replace(host);
        let result = run();
        self.current_host.set(before);
        result
    }

    /// Notes that a task ended in a panic: a finding.
    pub(crate) fn report_panic(&self, host: HostId, at_ns: u64, message: String) {
        let host = self.hosts.borrow().name(host).to_owned();
        let at = std::time::Duration::from_nanos(at_ns);
        self.panics.borrow_mut().push(TaskPanic { host, at, message });
    }
}

/// Runs `f` on this thread's simulation, if there is one.
pub(crate) fn try_with<R>(f: impl FnOnce(&Common) -> R) -> Option<R> {
    engine::try_with(|world| f(&world.common))
}

/// Runs `f` on this thread's simulation.
///
/// # Panics
/// When no simulation runs on this thread: `world` was called from outside.
#[track_caller]
pub(crate) fn with<R>(f: impl FnOnce(&Common) -> R) -> R {
    engine::with(|world| f(&world.common))
}

/// A generator for one purpose, independent of all others of the same seed.
pub(crate) fn generator(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..24].copy_from_slice(&xxhash_rust::xxh3::xxh3_128(purpose.as_bytes()).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}
