//! The kernel: a single-threaded, event-driven executor with its own clock and network.
//!
//! | file | holds |
//! | --- | --- |
//! | `executor` | tasks, and how one is polled |
//! | `schedule` | the choice among ready tasks, by one of three strategies |
//! | `waker` | wakers that are plain numbers |
//! | `events`, `wheel` | timers and scheduled events, ordered by time |
//! | `slab` | numbered slots whose memory goes back |
//! | `net` | listeners, connections, latency |
//! | `sleep` | waiting for a moment |
//! | `fingerprint` | the rolling hash over all that happened |
//!
//! Every part sits in its own `RefCell`. The rule that keeps borrows apart: no part runs foreign code (a poll, a
//! destructor of a task, a wake) while it is borrowed; it returns what is to be woken or dropped, and the kernel does
//! that. One exception: the network drops a waker that it replaces by another while it is borrowed.
//!
//! Foreign code may call back at any moment: a destructor may wake, spawn, abort, send, or crash its own host. A
//! panic in a task, or in a destructor of one, is caught and reported as a finding.

pub(crate) mod events;
pub(crate) mod executor;
pub(crate) mod fingerprint;
pub(crate) mod net;
mod schedule;
pub(crate) mod slab;
pub(crate) mod sleep;
mod waker;
mod wheel;

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::Rc;

use self::events::{Event, Events, TimerId};
use self::executor::{Origin, PollEnd, TaskId, Tasks};
use self::fingerprint::{Fingerprint, Mark};
use self::net::Network;
use super::{Engine, RunEnd};
use crate::common::hosts::{HostId, Power};
use crate::common::{BoxFuture, Common, generator, waits};
use crate::sim::{Config, Progress, WaitingTask, WaitsFor};

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
    /// Futures that were polled after the run was over; see [`Kernel::waiting_tasks`].
    ended: RefCell<Vec<(Origin, BoxFuture)>>,
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
            tasks: RefCell::new(Tasks::new(config.strategy, generator(config.seed, "scheduler"))),
            network: RefCell::new(Network::new(generator(config.seed, "network"), config.latency.clone())),
            fingerprint: RefCell::new(Fingerprint::new(config.trace.clone())),
            ended: RefCell::default(),
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
    /// `site` is where in the source it is started.
    pub(crate) fn spawn(
        &self,
        host: HostId,
        site: &'static Location<'static>,
        future: BoxFuture,
    ) -> Option<TaskId> {
        let origin = Origin { host, site };
        if self.closing.get() || !self.common.hosts.borrow().is_up(host) {
            self.drop_as(origin, future);
            return None;
        }
        Some(self.tasks.borrow_mut().insert(origin, future))
    }

    /// Makes a task ready, if it still exists.
    pub(crate) fn wake(&self, task: TaskId) {
        if !self.closing.get() {
            self.tasks.borrow_mut().wake(task);
        }
    }

    /// Drops a task without running it on.
    pub(crate) fn abort(&self, task: TaskId) {
        let removed = self.tasks.borrow_mut().remove(task);
        if let Some((origin, future)) = removed {
            self.drop_as(origin, future);
        }
    }

    /// Drops a future as its own host, so that what its destructors do is attributed to that host.
    fn drop_as(&self, origin: Origin, future: BoxFuture) {
        let turn = self.progress.turn();
        self.progress.set_turn(origin.host, origin.site);
        let dropped = self.common.on_host(origin.host, || crate::sim::catch_task_panic(|| drop(future)));
        self.progress.return_turn(turn);
        if let Err(message) = dropped {
            self.report_panic(origin, message);
        }
    }

    fn report_panic(&self, origin: Origin, message: String) {
        self.common.report_panic(origin.host, origin.site, self.now_ns(), message);
    }

    /// Runs until the main task has ended or nothing can happen any more.
    pub(crate) fn run(&self, main: TaskId) -> RunEnd {
        loop {
            while let Some(task) = self.next_task() {
                self.poll(task);
                // Nobody else can end it: its host never goes down, and nobody holds a handle.
                if task == main && !self.tasks.borrow().exists(main) {
                    return RunEnd::MainEnded;
                }
            }
            if !self.advance() {
                return RunEnd::Deadlock;
            }
        }
    }

    fn next_task(&self) -> Option<TaskId> {
        let (task, choices) = self.tasks.borrow_mut().choose(self.now_ns())?;
        self.mark(Mark::Choice { task, choices });
        Some(task)
    }

    fn poll(&self, task: TaskId) {
        let Some((origin, mut future)) = self.tasks.borrow_mut().begin_poll(task) else { return };
        let polls = self.polls.get() + 1;
        self.polls.set(polls);
        self.progress.set_polls(polls);
        self.progress.set_turn(origin.host, origin.site);
        let end = self.common.on_host(origin.host, || executor::poll_guarded(&mut future, task));
        let pending = matches!(end, PollEnd::Pending);
        if let PollEnd::Panicked(message) = end {
            self.report_panic(origin, message);
        }
        let rest = self.tasks.borrow_mut().end_poll(task, future, pending);
        if let Some(future) = rest {
            self.drop_as(origin, future);
        }
    }

    /// The tasks that are left, each with what it waits for. Polls them once more: the run must be over.
    pub(crate) fn waiting_tasks(&self) -> Vec<WaitingTask> {
        let tasks = self.tasks.borrow().by_age();
        tasks.into_iter().filter_map(|task| self.waiting_task(task)).collect()
    }

    fn waiting_task(&self, task: TaskId) -> Option<WaitingTask> {
        let held = self.tasks.borrow().is_queued(task);
        let (origin, mut future) = self.tasks.borrow_mut().begin_poll(task)?;
        let host = self.common.hosts.borrow().name(origin.host).to_owned();
        let waits_for = if self.common.hosts.borrow().is_paused(origin.host) && held {
            vec![WaitsFor::Resume]
        } else {
            let asked =
                waits::ask(|| self.common.on_host(origin.host, || executor::poll_guarded(&mut future, task)));
            match asked {
                // Not so if only the poll of another task that was asked has woken it.
                (PollEnd::Completed, _) if !held => vec![WaitsFor::Wake],
                (_, noted) if noted.is_empty() => vec![WaitsFor::Other],
                (_, noted) => noted,
            }
        };
        // Its end must not wake others to whom the same question is still to be put.
        self.ended.borrow_mut().push((origin, future));
        Some(WaitingTask { host, spawned_at: origin.site.to_string(), waits_for })
    }

    /// Moves the clock to the next event and carries out everything due at that instant. False if there is nothing.
    fn advance(&self) -> bool {
        let Some(at) = self.events.borrow_mut().next_time() else { return false };
        self.now_ns.set(at);
        self.common.set_now(at);
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
            Event::Timer(waker) => {
                self.mark(Mark::Timer { number });
                waker.wake();
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

    /// A host loses power: what was on its way out is all that others will hear of it.
    pub(crate) fn crash(&self, host: HostId) {
        let before = self.common.hosts.borrow_mut().set_power(host, Power::Off);
        if before.is_none() {
            return;
        }
        self.mark(Mark::Fault { kind: "crash", host });
        // The network first: destructors that run below must not say goodbye to peers.
        self.network.borrow_mut().power_off(host);
        self.end_tasks_of(host);
    }

    /// The processes of a host are killed; its machine goes on and answers for them.
    pub(crate) fn kill(&self, host: HostId) {
        if !self.common.hosts.borrow().is_up(host)
            || self.common.hosts.borrow_mut().set_power(host, Power::Killed).is_none()
        {
            return;
        }
        self.mark(Mark::Fault { kind: "kill", host });
        self.network.borrow_mut().kill(self, host);
        self.end_tasks_of(host);
    }

    fn end_tasks_of(&self, host: HostId) {
        let ids = self.tasks.borrow().of_host(host);
        for id in ids {
            self.abort(id);
        }
        if self.common.hosts.borrow_mut().set_paused(host, false) {
            self.tasks.borrow_mut().release_held(host);
        }
    }

    /// Starts the processes of a host that is down, and the machine if that has no power.
    pub(crate) fn boot(&self, host: HostId, site: &'static Location<'static>) {
        let before = self.common.hosts.borrow_mut().set_power(host, Power::Up);
        let Some(before) = before else { return };
        self.mark(Mark::Fault { kind: "boot", host });
        if before == Power::Off {
            self.network.borrow_mut().power_on(host);
        }
        let boot = self.common.hosts.borrow().boot_of(host);
        if let Some(boot) = boot {
            let future = self.common.on_host(host, boot);
            self.spawn(host, site, future);
        }
    }

    /// Stops the processes of a host where they stand.
    pub(crate) fn pause(&self, host: HostId) {
        if self.common.hosts.borrow_mut().set_paused(host, true) {
            self.mark(Mark::Fault { kind: "pause", host });
            self.tasks.borrow_mut().hold(host);
        }
    }

    /// Lets them run on: what would have run meanwhile is ready now.
    pub(crate) fn resume(&self, host: HostId) {
        if self.common.hosts.borrow_mut().set_paused(host, false) {
            self.mark(Mark::Fault { kind: "resume", host });
            self.tasks.borrow_mut().release_held(host);
        }
    }

    /// From now on a host's clocks run this much fast or slow.
    pub(crate) fn set_clock_drift(&self, host: HostId, drift_ppb: i32) {
        self.mark(Mark::Setting { kind: "clock-drift", host, value: i64::from(drift_ppb) });
        self.common.set_clock(host, |clock| clock.set_drift(self.now_ns(), drift_ppb));
        // Deadlines on that clock lie at other moments now: those who wait for them set their timers anew.
        let wakers = self.events.borrow_mut().take_timers_of(host);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }

    /// Sets a host's wall clock to this distance from the true time.
    pub(crate) fn set_clock_skew(&self, host: HostId, skew_ns: i64) {
        self.mark(Mark::Setting { kind: "clock-skew", host, value: skew_ns });
        self.common.set_clock(host, |clock| clock.set_skew(self.now_ns(), skew_ns));
    }

    /// Moves a host's wall clock.
    pub(crate) fn jump_clock(&self, host: HostId, by_ns: i64) {
        self.mark(Mark::Setting { kind: "clock-jump", host, value: by_ns });
        self.common.set_clock(host, |clock| clock.jump(by_ns));
    }

    /// Drops everything that could run foreign code, while the kernel still answers (with refusals).
    pub(crate) fn tear_down(&self) {
        self.closing.set(true);
        let ended = self.ended.take();
        for (origin, future) in ended {
            self.drop_as(origin, future);
        }
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
