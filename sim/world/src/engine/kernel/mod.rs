//! The kernel: a single-threaded, event-driven executor with its own clock and network.
//!
//! | file | holds |
//! | --- | --- |
//! | `executor` | tasks, ready set, the seeded choice among ready tasks |
//! | `waker` | wakers that are plain numbers |
//! | `events` | timers and scheduled events, ordered by time |
//! | `hosts` | hosts, their randomness, crash and boot |
//! | `net` | listeners, connections, latency |
//! | `fingerprint` | the rolling hash over all that happened |
//!
//! Every part sits in its own `RefCell`. The rule that keeps borrows apart: no part runs foreign code (a poll, a
//! destructor of a task, a wake) while it is borrowed; it returns what is to be woken or dropped, and the kernel does
//! that. One exception: the network drops a waker that it replaces by another while it is borrowed.

pub(crate) mod events;
pub(crate) mod executor;
pub(crate) mod fingerprint;
pub(crate) mod hosts;
pub(crate) mod net;
mod waker;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use self::events::{Event, Events, TimerId};
use self::executor::{PollEnd, TaskId, Tasks};
use self::fingerprint::{Fingerprint, Mark};
use self::hosts::{HostId, Hosts};
use self::net::Network;
use crate::interpose;
use crate::sim::{Config, Progress};

/// A task's future: tasks are `Send` as on tokio, so that the same code can run there.
pub(crate) type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    /// One simulation to a thread, for the thread's whole life: no state can leak from one run into the next.
    static KERNEL: OnceCell<Kernel> = const { OnceCell::new() };
}

/// All state of one simulation.
pub(crate) struct Kernel {
    now_ns: Cell<u64>,
    current_host: Cell<HostId>,
    /// Set while the simulation is being torn down: nothing can be started any more.
    closing: Cell<bool>,
    polls: Cell<u64>,
    progress: Progress,
    pub(crate) events: RefCell<Events>,
    pub(crate) tasks: RefCell<Tasks>,
    pub(crate) hosts: RefCell<Hosts>,
    pub(crate) network: RefCell<Network>,
    pub(crate) fingerprint: RefCell<Fingerprint>,
    pub(crate) panics: RefCell<Vec<crate::sim::TaskPanic>>,
    pub(crate) mutants: BTreeSet<String>,
}

/// How the run loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// The main task completed or ended in a panic.
    MainEnded,
    /// Nothing is ready and nothing is scheduled: no task can ever run again.
    Deadlock,
}

/// Puts a new kernel on this thread.
pub(crate) fn install(config: &Config) {
    let kernel = Kernel {
        now_ns: Cell::new(0),
        current_host: Cell::new(HostId::DIRECTOR),
        closing: Cell::new(false),
        polls: Cell::new(0),
        progress: config.progress.clone(),
        events: RefCell::default(),
        tasks: RefCell::new(Tasks::new(generator(config.seed, "scheduler"))),
        hosts: RefCell::new(Hosts::new(config.seed)),
        network: RefCell::new(Network::new(generator(config.seed, "network"), config.latency.clone())),
        fingerprint: RefCell::new(Fingerprint::new(config.trace.clone())),
        panics: RefCell::default(),
        mutants: config.mutants.clone(),
    };
    let fresh = KERNEL.with(|cell| cell.set(kernel).is_ok());
    assert!(fresh, "a thread runs one simulation in its life");
}

/// A generator for one purpose, independent of all others of the same seed.
pub(crate) fn generator(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..24].copy_from_slice(&xxhash_rust::xxh3::xxh3_128(purpose.as_bytes()).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Runs `f` on this thread's kernel, if there is one.
pub(crate) fn try_with<R>(f: impl FnOnce(&Kernel) -> R) -> Option<R> {
    KERNEL.try_with(|cell| cell.get().map(f)).ok().flatten()
}

/// Runs `f` on this thread's kernel.
///
/// # Panics
/// When no simulation runs on this thread: `world` was called from outside.
#[track_caller]
pub(crate) fn with<R>(f: impl FnOnce(&Kernel) -> R) -> R {
    match try_with(f) {
        Some(result) => result,
        None => panic!("no simulation on this thread: the world can only be used inside Simulation::run"),
    }
}

impl Kernel {
    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    pub(crate) fn current_host(&self) -> HostId {
        self.current_host.get()
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.get()
    }

    /// Adds one observation to the fingerprint.
    pub(crate) fn mark(&self, mark: Mark<'_>) {
        self.fingerprint.borrow_mut().add(self.now_ns(), mark);
    }

    /// Starts a task on a host. `None`, and the future is dropped, when the host is down or the run is over.
    pub(crate) fn spawn(&self, host: HostId, future: BoxFuture) -> Option<TaskId> {
        if self.closing.get() || !self.hosts.borrow().is_up(host) {
            return None;
        }
        Some(self.tasks.borrow_mut().insert(host, future))
    }

    /// Makes a task ready, if it still exists.
    pub(crate) fn wake(&self, task: TaskId) {
        if !self.closing.get() {
            self.tasks.borrow_mut().wake(task);
        }
    }

    /// Drops a task without running it on.
    pub(crate) fn abort(&self, task: TaskId) {
        let future = self.tasks.borrow_mut().remove(task);
        self.drop_on(future.as_ref().map(|f| f.0), future.map(|f| f.1));
    }

    /// Drops a future as its own host, so that what its destructors do is attributed to that host.
    fn drop_on(&self, host: Option<HostId>, future: Option<BoxFuture>) {
        let (Some(host), Some(future)) = (host, future) else { return };
        let before = self.current_host.replace(host);
        drop(future);
        self.current_host.set(before);
    }

    /// Runs until the main task has ended or nothing can happen any more.
    pub(crate) fn run(&self, main: TaskId) -> RunEnd {
        loop {
            while let Some(task) = self.next_task() {
                self.poll(task);
                if !self.tasks.borrow().exists(main) {
                    return RunEnd::MainEnded;
                }
            }
            if !self.advance() {
                return RunEnd::Deadlock;
            }
        }
    }

    fn next_task(&self) -> Option<TaskId> {
        let (task, choices) = self.tasks.borrow_mut().choose()?;
        self.mark(Mark::Choice { task, choices });
        Some(task)
    }

    fn poll(&self, task: TaskId) {
        let Some((host, mut future)) = self.tasks.borrow_mut().begin_poll(task) else { return };
        self.polls.set(self.polls.get() + 1);
        let before = self.current_host.replace(host);
        let end = executor::poll_guarded(&mut future, task);
        if let PollEnd::Panicked(message) = &end {
            let name = self.hosts.borrow().name(host).to_owned();
            self.panics.borrow_mut().push(crate::sim::TaskPanic {
                host: name,
                at: std::time::Duration::from_nanos(self.now_ns()),
                message: message.clone(),
            });
        }
        let rest = self.tasks.borrow_mut().end_poll(task, future, matches!(end, PollEnd::Pending));
        drop(rest);
        self.current_host.set(before);
    }

    /// Moves the clock to the next event and carries out everything due at that instant. False if there is nothing.
    fn advance(&self) -> bool {
        let Some(at) = self.events.borrow_mut().next_time() else { return false };
        self.now_ns.set(at);
        interpose::set_now(at);
        self.progress.set(at);
        while let Some((number, event)) = self.next_due(at) {
            self.carry_out(number, event);
        }
        true
    }

    fn next_due(&self, at: u64) -> Option<(u64, Event)> {
        self.events.borrow_mut().pop_due(at)
    }

    fn carry_out(&self, number: u64, event: Event) {
        match event {
            Event::Timer(timer) => {
                let fired = self.events.borrow_mut().fire(timer);
                if let Some(waker) = fired {
                    self.mark(Mark::Timer { number });
                    waker.wake();
                }
            }
            Event::Net(event) => {
                let wake = self.network.borrow_mut().carry_out(self, event);
                wake.wake_all();
            }
        }
    }

    pub(crate) fn cancel_timer(&self, timer: TimerId) {
        let waker = self.events.borrow_mut().cancel(timer);
        drop(waker);
    }

    /// The processes of a host die: connections are reset, tasks are dropped without running on.
    pub(crate) fn crash(&self, host: HostId) {
        if !self.hosts.borrow_mut().set_down(host) {
            return;
        }
        self.mark(Mark::Fault { kind: "crash", host });
        // The network first: destructors that run below must not say goodbye to peers.
        self.network.borrow_mut().crash(self, host);
        let ids = self.tasks.borrow().of_host(host);
        for id in ids {
            self.abort(id);
        }
    }

    /// Starts the processes of a host that is down.
    pub(crate) fn boot(&self, host: HostId) {
        let Some(boot) = self.hosts.borrow_mut().set_up(host) else { return };
        self.mark(Mark::Fault { kind: "boot", host });
        let before = self.current_host.replace(host);
        let future = boot();
        self.current_host.set(before);
        self.spawn(host, future);
    }

    /// Drops everything that could run foreign code, while the kernel still answers (with refusals).
    pub(crate) fn tear_down(&self) {
        self.closing.set(true);
        let ids = self.tasks.borrow().all();
        for id in ids {
            self.abort(id);
        }
        let boots = self.hosts.borrow_mut().take_boots();
        drop(boots);
        let wakers = self.events.borrow_mut().clear();
        drop(wakers);
        let wakers = self.network.borrow_mut().clear();
        drop(wakers);
    }
}
