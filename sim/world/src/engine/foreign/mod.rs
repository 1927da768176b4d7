//! Engines that others wrote, behind the interface of this crate.
//!
//! | file | holds |
//! | --- | --- |
//! | `task` | tasks: what an engine polls, and what a crash or an abort takes away |
//! | `sleep` | waiting for a moment |
//! | `net` | streams, listeners and datagrams |
//! | `links` | which links are impaired, and how |
//! | `turmoil`, `madsim`, `tokio` | one engine each: how it starts, keeps time, and treats hosts |
//!
//! An engine polls our tasks wherever it likes; around every poll the current host, the clocks and the observation of
//! the run are kept here, so that all of `common` works alike on every engine. What the facade sees goes into the
//! fingerprint: spawns, polls, timers, connections and every byte read or written, in the order in which it happened.

mod links;
#[cfg(madsim)]
mod madsim;
pub(crate) mod net;
pub(crate) mod sleep;
pub(crate) mod task;
mod tokio;
mod turmoil;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, SystemTime};

use self::links::{Link, Links};
#[cfg(madsim)]
use self::madsim::Madsim;
use self::task::{Hosted, Task};
use self::tokio::Tokio;
use self::turmoil::Turmoil;
use super::kernel::fingerprint::{Fingerprint, Mark};
use super::{Engine, Note, RunEnd};
use crate::common::hosts::{HostId, Power};
use crate::common::{BoxFuture, Common};
use crate::engines::EngineKind;
use crate::interpose;
use crate::sim::{Config, Progress, Strategy, WaitingTask};

/// What a foreign engine does for its world.
trait Native {
    /// Runs `main`, the director's first task, to its end.
    fn run(&self, foreign: &Foreign, config: &Config, main: Hosted) -> RunEnd;

    /// Time since the start as the code that runs now sees it. `in_task`: is that code a task's?
    fn now_ns(&self, in_task: bool) -> u64;

    /// Has a task polled on a host that is up. `from` is the host whose task asks for it.
    fn start(&self, host: HostId, from: Option<HostId>, task: Hosted);

    /// May tasks of one host be dropped by code that runs on another?
    fn drops_anywhere(&self) -> bool {
        true
    }

    /// A host that was down, or is new, comes up.
    fn host_up(&self, host: HostId, name: &str);

    /// A host goes down; its tasks are gone, if they may be dropped anywhere. Does its machine go on?
    fn host_down(&self, host: HostId, machine_goes_on: bool);

    /// Changes what a link does in one direction.
    fn set_link(&self, from: HostId, to: HostId, before: &Link, after: &Link) -> Result<(), Cannot>;

    /// Are all hosts that were added known to the engine?
    fn is_settled(&self) -> bool {
        true
    }
}

/// What an engine cannot do, in words that complete "the engine cannot give …".
type Cannot = &'static str;

enum AnyNative {
    Turmoil(Turmoil),
    #[cfg(madsim)]
    Madsim(Madsim),
    Tokio(Tokio),
}

/// A foreign engine with what all of them share.
pub(crate) struct Foreign {
    kind: EngineKind,
    common: Rc<Common>,
    native: AnyNative,
    /// Latest time that anybody saw: hosts of some engines take turns, and time must not go back in between.
    seen_ns: Cell<u64>,
    /// The main task has ended: nothing runs, starts or counts any more.
    closing: Cell<bool>,
    /// Number of the main task, and who waits for its end.
    main: Cell<u64>,
    main_waiter: RefCell<Option<Waker>>,
    /// The host whose task is being polled.
    polling: Cell<Option<HostId>>,
    polls: Cell<u64>,
    messages: Cell<u64>,
    /// Timers that are being waited for: by which host, and who is to be woken when its clock is changed.
    timers: RefCell<BTreeMap<u64, (HostId, Waker)>>,
    /// Times that a clock's speed was changed.
    clock_changes: Cell<u64>,
    /// Streams and listeners that exist.
    sockets: Cell<usize>,
    next_number: Cell<u64>,
    tasks: RefCell<BTreeMap<u64, Arc<Task>>>,
    links: RefCell<Links>,
    progress: Progress,
    unsupported: RefCell<BTreeSet<&'static str>>,
    /// The tasks that were left at a deadlock.
    left: RefCell<Vec<WaitingTask>>,
    pub(super) fingerprint: RefCell<Fingerprint>,
}

/// Runs `f` on this thread's foreign engine, if there is one.
fn try_with<R>(f: impl FnOnce(&Foreign) -> R) -> Option<R> {
    super::try_with(|world| match &world.engine {
        Engine::Foreign(foreign) => Some(f(foreign)),
        Engine::Kernel(_) => None,
    })
    .flatten()
}

/// Runs `f` on this thread's foreign engine.
///
/// # Panics
/// When none runs on this thread: what belongs to a simulation was used outside of it.
fn with<R>(f: impl FnOnce(&Foreign) -> R) -> R {
    match try_with(f) {
        Some(result) => result,
        None => panic!("what belongs to a simulation was used outside of it"),
    }
}

impl Foreign {
    pub(super) fn new(kind: EngineKind, config: &Config, common: Rc<Common>) -> Foreign {
        let native = match kind {
            EngineKind::Turmoil => AnyNative::Turmoil(Turmoil::default()),
            #[cfg(madsim)]
            EngineKind::Madsim => AnyNative::Madsim(Madsim::default()),
            _ => AnyNative::Tokio(Tokio::default()),
        };
        let foreign = Foreign {
            kind,
            common,
            native,
            seen_ns: Cell::new(0),
            closing: Cell::new(false),
            main: Cell::new(u64::MAX),
            main_waiter: RefCell::default(),
            polling: Cell::new(None),
            polls: Cell::new(0),
            messages: Cell::new(0),
            timers: RefCell::default(),
            clock_changes: Cell::new(0),
            sockets: Cell::new(0),
            next_number: Cell::new(0),
            tasks: RefCell::default(),
            links: RefCell::default(),
            progress: config.progress.clone(),
            unsupported: RefCell::default(),
            left: RefCell::default(),
            fingerprint: RefCell::new(Fingerprint::new(config.trace.clone())),
        };
        if config.strategy != Strategy::default() {
            foreign.cannot("strategies of scheduling");
        }
        if config.record || config.replay.is_some() {
            foreign.cannot("recording and replay of its own choices");
        }
        foreign
    }

    fn native(&self) -> &dyn Native {
        match &self.native {
            AnyNative::Turmoil(native) => native,
            #[cfg(madsim)]
            AnyNative::Madsim(native) => native,
            AnyNative::Tokio(native) => native,
        }
    }

    /// Runs until the main task has ended.
    pub(super) fn run(&self, config: &Config, site: &'static Location<'static>, main: BoxFuture) -> RunEnd {
        let (task, hosted) = self.new_task(HostId::DIRECTOR, site, main);
        self.main.set(task.number);
        self.native().run(self, config, hosted)
    }

    /// Waits until the main task has ended.
    async fn main_ended(&self) {
        poll_fn(|context| {
            if self.closing.get() {
                return Poll::Ready(());
            }
            *self.main_waiter.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(super) fn polls(&self) -> u64 {
        self.polls.get()
    }

    /// Reads that gave something, and connections that were accepted.
    pub(super) fn messages(&self) -> u64 {
        self.messages.get()
    }

    /// What the run asked for and the engine cannot give.
    pub(super) fn unsupported(&self) -> Vec<String> {
        self.unsupported.borrow().iter().map(|what| (*what).to_owned()).collect()
    }

    /// Time since the start: never goes back, whichever host asks.
    pub(super) fn now_ns(&self) -> u64 {
        if !self.closing.get() {
            let native_ns = self.native_ns();
            self.seen_ns.set(self.seen_ns.get().max(native_ns));
        }
        self.seen_ns.get()
    }

    /// Time since the start as the engine tells it to the code that runs now.
    fn native_ns(&self) -> u64 {
        self.native().now_ns(self.polling.get().is_some())
    }

    /// Lets observers and, where it is ours, the C library's clock see the time.
    fn show_time(&self) {
        let now_ns = self.now_ns();
        if self.kind == EngineKind::Turmoil {
            self.common.set_now(now_ns);
        }
        self.progress.set(now_ns);
    }

    /// The wall clock of the current host.
    #[expect(clippy::disallowed_methods, reason = "the machine's clock, on tokio")]
    pub(super) fn wall(&self) -> SystemTime {
        let now_ns = self.now_ns();
        let wall_ns = self.common.wall_ns(now_ns);
        if self.kind != EngineKind::Tokio {
            let start = SystemTime::UNIX_EPOCH + Duration::from_secs(interpose::EPOCH_S);
            return shifted(start, wall_ns);
        }
        shifted(SystemTime::now(), wall_ns.saturating_sub(i64::try_from(now_ns).unwrap_or(i64::MAX)))
    }

    /// Adds one observation to the fingerprint.
    pub(super) fn note(&self, note: Note<'_>) {
        if !self.closing.get() {
            let now_ns = self.now_ns();
            self.fingerprint.borrow_mut().add(now_ns, Mark::Note(note));
        }
    }

    fn note_number(&self, kind: &'static str, host: HostId, number: u64) {
        self.note(Note { kind, host, number, payload: &[] });
    }

    fn count_message(&self) {
        self.messages.set(self.messages.get() + u64::from(!self.closing.get()));
    }

    fn new_number(&self) -> u64 {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        number
    }

    /// Notes that the run asked for something that the engine cannot give.
    pub(super) fn cannot(&self, what: Cannot) {
        self.unsupported.borrow_mut().insert(what);
    }

    /// The machine of a host loses power.
    pub(super) fn crash(&self, host: HostId) {
        self.down(host, "crash", false);
    }

    /// The processes of a host die; its machine goes on.
    pub(super) fn kill(&self, host: HostId) {
        self.down(host, "kill", true);
    }

    fn down(&self, host: HostId, kind: &'static str, machine_goes_on: bool) {
        let power = if machine_goes_on { Power::Killed } else { Power::Off };
        let mut hosts = self.common.hosts.borrow_mut();
        let was_up = hosts.is_up(host);
        if (machine_goes_on && !was_up) || hosts.set_power(host, power).is_none() {
            return;
        }
        let was_paused = hosts.set_paused(host, false);
        drop(hosts);
        self.note_number(kind, host, 0);
        self.end_tasks_of(host);
        if was_paused {
            self.wake_tasks_of(host);
        }
        self.native().host_down(host, machine_goes_on);
    }

    /// The processes of a host that is down start.
    pub(super) fn boot(&self, host: HostId, site: &'static Location<'static>) {
        if self.common.hosts.borrow_mut().set_power(host, Power::Up).is_none() {
            return;
        }
        self.note_number("boot", host, 0);
        let name = self.common.hosts.borrow().name(host).to_owned();
        self.native().host_up(host, &name);
        let boot = self.common.hosts.borrow().boot_of(host);
        if let Some(boot) = boot {
            let future = self.common.on_host(host, boot);
            self.spawn(host, site, future);
        }
    }

    /// The processes of a host stop where they stand: their tasks are not polled.
    pub(super) fn pause(&self, host: HostId) {
        if self.common.hosts.borrow_mut().set_paused(host, true) {
            self.note_number("pause", host, 0);
        }
    }

    /// The processes of a paused host run on.
    pub(super) fn resume(&self, host: HostId) {
        if self.common.hosts.borrow_mut().set_paused(host, false) {
            self.note_number("resume", host, 0);
            self.wake_tasks_of(host);
        }
    }

    pub(super) fn set_clock_drift(&self, host: HostId, drift_ppb: i32) {
        self.note_number("clock-drift", host, drift_ppb as u64);
        self.common.set_clock(host, |clock| clock.set_drift(self.now_ns(), drift_ppb));
        self.clock_changes.set(self.clock_changes.get() + 1);
        // Deadlines on that clock lie at other moments now: those who wait for them set their timers anew.
        let timers = self.timers.borrow();
        let wakers: Vec<Waker> =
            timers.values().filter(|timer| timer.0 == host).map(|timer| timer.1.clone()).collect();
        drop(timers);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn set_clock_skew(&self, host: HostId, skew_ns: i64) {
        self.note_number("clock-skew", host, skew_ns as u64);
        self.common.set_clock(host, |clock| clock.set_skew(self.now_ns(), skew_ns));
    }

    pub(super) fn jump_clock(&self, host: HostId, by_ns: i64) {
        self.note_number("clock-jump", host, by_ns as u64);
        self.common.set_clock(host, |clock| clock.jump(by_ns));
    }

    /// Drops everything that could run code of tasks.
    pub(super) fn tear_down(&self) {
        self.closing.set(true);
        let tasks: Vec<Arc<Task>> = self.tasks.borrow().values().map(Arc::clone).collect();
        for task in tasks {
            self.cancel(&task);
        }
        let boots = self.common.hosts.borrow_mut().take_boots();
        drop(boots);
    }
}

fn shifted(time: SystemTime, by_ns: i64) -> SystemTime {
    let by = Duration::from_nanos(by_ns.unsigned_abs());
    if by_ns < 0 { time - by } else { time + by }
}
