//! The kernel: a single-threaded, event-driven executor with its own clock and network.
//!
//! | file | holds |
//! | --- | --- |
//! | `executor` | tasks, ready set, the seeded choice among ready tasks |
//! | `waker` | wakers that are plain numbers |
//! | `events` | timers and scheduled events, ordered by time |
//! | `net` | listeners, connections, latency |
//! | `sleep` | waiting for a moment |
//! | `fingerprint` | the rolling hash over all that happened |
//!
//! Every part sits in its own `RefCell`. The rule that keeps borrows apart: no part runs foreign code (a poll, a
//! destructor of a task, a wake) while it is borrowed; it returns what is to be woken or dropped, and the kernel does
//! that. One exception: the network drops a waker that it replaces by another while it is borrowed.

pub(crate) mod events;
pub(crate) mod executor;
pub(crate) mod fingerprint;
pub(crate) mod net;
mod slab;
pub(crate) mod sleep;
mod waker;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use self::events::{Event, Events, TimerId};
use self::executor::{PollEnd, TaskId, Tasks};
use self::fingerprint::{Fingerprint, Mark};
use self::net::Network;
use super::{Engine, RunEnd};
use crate::common::hosts::HostId;
use crate::common::{BoxFuture, Common, generator};
use crate::interpose;
use crate::sim::{Config, Progress};

/// All state of one simulation.
pub(crate) struct Kernel {
    pub(crate) common: Rc<Common>,
    now_ns: Cell<u64>,
    /// Set while the simulation is being torn down: nothing can be started any more.
    closing: Cell<bool>,
    polls: Cell<u64>,
    progress: Progress,
    pub(crate) events: RefCell<Events>,
    pub(crate) tasks: RefCell<Tasks>,
    pub(crate) network: RefCell<Network>,
    pub(crate) fingerprint: RefCell<Fingerprint>,
}

/// Runs `f` on this thread's kernel, if there is one.
pub(crate) fn try_with<R>(f: impl FnOnce(&Kernel) -> R) -> Option<R> {
    super::try_with(|world| match &world.engine {
        Engine::Kernel(kernel) => Some(f(kernel)),
        Engine::Foreign(_) => None,
    })
    .flatten()
}

/// Runs `f` on this thread's kernel.
///
/// # Panics
/// When no simulation runs on this thread, or on another engine: `world` was called from outside.
#[track_caller]
pub(crate) fn with<R>(f: impl FnOnce(&Kernel) -> R) -> R {
    super::with(|world| match &world.engine {
        Engine::Kernel(kernel) => f(kernel),
        Engine::Foreign(_) => panic!("what belongs to the kernel was used on another engine"),
    })
}

impl Kernel {
    pub(crate) fn new(config: &Config, common: Rc<Common>) -> Kernel {
        Kernel {
            common,
            now_ns: Cell::new(0),
            closing: Cell::new(false),
            polls: Cell::new(0),
            progress: config.progress.clone(),
            events: RefCell::default(),
            tasks: RefCell::new(Tasks::new(generator(config.seed, "scheduler"))),
            network: RefCell::new(Network::new(generator(config.seed, "network"), config.latency.clone())),
            fingerprint: RefCell::new(Fingerprint::new(config.trace.clone())),
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns.get()
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
        if self.closing.get() || !self.common.hosts.borrow().is_up(host) {
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
        self.common.on_host(host, || drop(future));
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
        let rest = self.common.on_host(host, || {
            let end = executor::poll_guarded(&mut future, task);
            if let PollEnd::Panicked(message) = &end {
                self.common.report_panic(host, self.now_ns(), message.clone());
            }
            self.tasks.borrow_mut().end_poll(task, future, matches!(end, PollEnd::Pending))
        });
        self.drop_on(Some(host), rest);
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

    /// The host loses power: its tasks are dropped without running on, and its network is silent.
    pub(crate) fn crash(&self, host: HostId) {
        if !self.common.hosts.borrow_mut().set_down(host) {
            return;
        }
        self.mark(Mark::Fault { kind: "crash", host });
        // The network first: destructors that run below must not say goodbye to peers.
        self.network.borrow_mut().power_off(host);
        self.abort_all_of(host);
    }

    /// The processes of a host die: connections are reset, tasks are dropped without running on.
    pub(crate) fn kill(&self, host: HostId) {
        if !self.common.hosts.borrow_mut().set_down(host) {
            return;
        }
        self.mark(Mark::Fault { kind: "kill", host });
        self.network.borrow_mut().kill(self, host);
        self.abort_all_of(host);
    }

    fn abort_all_of(&self, host: HostId) {
        let ids = self.tasks.borrow().of_host(host);
        for id in ids {
            self.abort(id);
        }
    }

    /// Starts the processes of a host that is down.
    pub(crate) fn boot(&self, host: HostId) {
        let Some(boot) = self.common.hosts.borrow_mut().set_up(host) else { return };
        self.mark(Mark::Fault { kind: "boot", host });
        self.network.borrow_mut().power_on(host);
        let future = self.common.on_host(host, boot);
        self.spawn(host, future);
    }

    /// Drops everything that could run foreign code, while the kernel still answers (with refusals).
    pub(crate) fn tear_down(&self) {
        self.closing.set(true);
        let ids = self.tasks.borrow().all();
        for id in ids {
            self.abort(id);
        }
        let boots = self.common.hosts.borrow_mut().take_boots();
        drop(boots);
        let wakers = self.events.borrow_mut().clear();
        drop(wakers);
        let wakers = self.network.borrow_mut().clear();
        drop(wakers);
    }
}
