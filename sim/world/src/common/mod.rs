//! What a simulation has whichever engine carries it: hosts, randomness, mutants, findings.
//!
//! Engines hold it behind an `Rc`; the facade reaches it through [`with`]. As in the kernel, every part sits in its
//! own `RefCell`, and no foreign code runs while a part is borrowed.

mod clock;
pub(crate) mod hosts;
pub(crate) mod waits;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use self::clock::Clock;
use self::hosts::{HostId, Hosts};
use crate::choice::Source;
use crate::cpu::Cpus;
use crate::disk::Disks;
use crate::engine;
use crate::interpose;
use crate::limits::Limits;
use crate::marks::Marks;
use crate::rand::Scopes;
use crate::sim::{Config, TaskPanic};

/// A task's future: tasks are `Send` as on tokio, so that the same code can run there.
pub(crate) type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The engine-neutral state of one simulation.
pub(crate) struct Common {
    current_host: Cell<HostId>,
    /// Does any host's clock show something else than the true time?
    clocks_differ: Cell<bool>,
    pub(crate) hosts: RefCell<Hosts>,
    pub(crate) panics: RefCell<Vec<TaskPanic>>,
    pub(crate) disks: RefCell<Disks>,
    pub(crate) cpus: RefCell<Cpus>,
    pub(crate) limits: RefCell<Limits>,
    pub(crate) mutants: BTreeSet<String>,
    pub(crate) marks: RefCell<Marks>,
    seed: u64,
    /// The scope of randomness whose future is being polled.
    pub(crate) random_scope: Cell<Option<u64>>,
    pub(crate) random_scopes: RefCell<Scopes>,
}

impl Common {
    pub(crate) fn new(config: &Config) -> Common {
        Common {
            current_host: Cell::new(HostId::DIRECTOR),
            clocks_differ: Cell::new(false),
            hosts: RefCell::new(Hosts::new(config.seed, config.progress.clone())),
            panics: RefCell::default(),
            disks: RefCell::new(Disks::new(config.seed)),
            cpus: RefCell::default(),
            limits: RefCell::default(),
            mutants: config.mutants.clone(),
            marks: RefCell::new(Marks::new(config.seed, config.buggify)),
            seed: config.seed,
            random_scope: Cell::new(None),
            random_scopes: RefCell::default(),
        }
    }

    /// A generator for one purpose of this simulation; see [`generator`].
    pub(crate) fn generator(&self, purpose: &str) -> Source {
        generator(self.seed, purpose)
    }

    /// The host whose code runs at this moment.
    pub(crate) fn current_host(&self) -> HostId {
        self.current_host.get()
    }

    /// Runs code as a host's own: what it starts, draws and opens belongs to that host.
    pub(crate) fn on_host<R>(&self, host: HostId, run: impl FnOnce() -> R) -> R {
        let before = self.current_host.replace(host);
        self.show_clocks();
        let result = run();
        self.current_host.set(before);
        self.show_clocks();
        result
    }

    /// Moves the true time.
    pub(crate) fn set_now(&self, now_ns: u64) {
        interpose::set_now(now_ns);
        self.show_clocks();
    }

    /// Lets the C library's clocks be those of the current host.
    #[inline]
    fn show_clocks(&self) {
        if self.clocks_differ.get() {
            self.show_differing_clocks();
        }
    }

    #[cold]
    fn show_differing_clocks(&self) {
        let now_ns = interpose::now_ns();
        let hosts = self.hosts.borrow();
        let clock = hosts.clock(self.current_host());
        interpose::show_clocks(clock.monotonic_ns(now_ns), clock.wall_ns(now_ns));
    }

    /// Changes a host's clock at a moment of the true time.
    pub(crate) fn set_clock(&self, host: HostId, change: impl FnOnce(&mut Clock)) {
        change(self.hosts.borrow_mut().clock_mut(host));
        self.clocks_differ.set(true);
        self.show_clocks();
    }

    /// What the current host's monotonic clock shows at a moment of the true time.
    #[inline]
    pub(crate) fn monotonic_ns(&self, now_ns: u64) -> u64 {
        if self.clocks_differ.get() {
            self.hosts.borrow().clock(self.current_host()).monotonic_ns(now_ns)
        } else {
            now_ns
        }
    }

    /// What the current host's wall clock shows at a moment of the true time, since its start.
    pub(crate) fn wall_ns(&self, now_ns: u64) -> i64 {
        self.hosts.borrow().clock(self.current_host()).wall_ns(now_ns)
    }

    /// The true time at which the current host's monotonic clock will show this.
    #[inline]
    pub(crate) fn true_ns(&self, monotonic_ns: u64) -> u64 {
        if self.clocks_differ.get() {
            self.hosts.borrow().clock(self.current_host()).true_ns(monotonic_ns)
        } else {
            monotonic_ns
        }
    }

    /// Notes that a task panicked, while it ran or while it was dropped: a finding.
    pub(crate) fn report_panic(&self, host: HostId, site: &Location<'_>, at_ns: u64, message: String) {
        let host = self.hosts.borrow().name(host).to_owned();
        let at = std::time::Duration::from_nanos(at_ns);
        self.panics.borrow_mut().push(TaskPanic { host, spawned_at: site.to_string(), at, message });
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
/// Takes part in the recording and the replay of choices.
pub(crate) fn generator(seed: u64, purpose: &str) -> Source {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..24].copy_from_slice(&xxhash_rust::xxh3::xxh3_128(purpose.as_bytes()).to_le_bytes());
    Source::new(ChaCha8Rng::from_seed(key), purpose)
}
