//! The engines that can carry the world's interface. The facade modules (`net`, `time`, …) are all that the rest of
//! the workspace sees; they call what is here, and here it is handed to the kernel or to a foreign engine.
//!
//! | module | holds |
//! | --- | --- |
//! | `kernel` | our own engine |
//! | `foreign` | turmoil, madsim and tokio, and what they share |
//! | `net`, `sleep`, `task` | what the facade holds: the kernel's, or a foreign engine's |

mod faults;
pub(crate) mod foreign;
pub(crate) mod kernel;
pub(crate) mod net;
mod resources;
pub(crate) mod sleep;
pub(crate) mod task;

use std::cell::OnceCell;
use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use self::foreign::Foreign;
use self::kernel::Kernel;
use self::kernel::fingerprint::Mark;
use self::sleep::Sleep;
use crate::common::hosts::HostId;
use crate::common::{BoxFuture, Common};
use crate::engines::EngineKind;
use crate::interpose;
use crate::net::Traffic;
use crate::sim::{Checkpoint, Config, WaitingTask};

/// Waits for a moment of true simulated time: for devices and processors, which no host's clock drives.
pub(crate) type Wait = Sleep;

/// Waits until so many nanoseconds after the start of the simulation.
pub(crate) fn wait_until(at_ns: u64) -> Wait {
    Sleep::until_true(at_ns)
}

thread_local! {
    /// One simulation to a thread, for the thread's whole life: no state can leak from one run into the next.
    static WORLD: OnceCell<World> = const { OnceCell::new() };
}

/// The simulation of a thread.
pub(crate) struct World {
    pub(crate) common: Rc<Common>,
    pub(crate) engine: Engine,
}

/// What carries it.
#[expect(clippy::large_enum_variant, reason = "one to a thread; the kernel must be at hand")]
pub(crate) enum Engine {
    Kernel(Kernel),
    Foreign(Foreign),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// The main task completed or ended in a panic.
    MainEnded,
    /// Nothing is ready and nothing is scheduled: no task can ever run again.
    Deadlock,
    /// The engine itself broke.
    Failed(String),
}

/// What a run leaves behind.
pub(crate) struct Finish {
    pub(crate) simulated: Duration,
    pub(crate) fingerprint: u128,
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) trace: Vec<String>,
    pub(crate) messages: u64,
    pub(crate) polls: u64,
    pub(crate) unsupported: Vec<String>,
}

/// Something that happened outside the engine: an operation of a disk, work of a processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Note<'a> {
    pub(crate) kind: &'static str,
    pub(crate) host: HostId,
    /// What it was about: an offset, a length, an error number; the kind says which.
    pub(crate) number: u64,
    pub(crate) payload: &'a [u8],
}

impl World {
    pub(crate) fn new(config: &Config) -> World {
        let common = Rc::new(Common::new(config));
        let engine = match config.engine {
            EngineKind::Kernel => Engine::Kernel(Kernel::new(config, Rc::clone(&common))),
            kind => Engine::Foreign(Foreign::new(kind, config, Rc::clone(&common))),
        };
        World { common, engine }
    }

    /// Runs until the main task has ended.
    #[track_caller]
    pub(crate) fn run(&self, config: &Config, main: BoxFuture) -> RunEnd {
        let site = Location::caller();
        match &self.engine {
            Engine::Kernel(kernel) => {
                let task = kernel.spawn(HostId::DIRECTOR, site, main).expect("the director is up");
                kernel.run(task)
            }
            Engine::Foreign(foreign) => foreign.run(config, site, main),
        }
    }

    /// What has been delivered, by hosts; nothing where the engine does not tell.
    pub(crate) fn traffic<R>(&self, read: impl FnOnce(&mut dyn Iterator<Item = Traffic>) -> R) -> R {
        match &self.engine {
            Engine::Kernel(kernel) => read(&mut kernel.network.borrow().traffic()),
            Engine::Foreign(_) => read(&mut std::iter::empty()),
        }
    }

    /// What the run leaves behind.
    pub(crate) fn finish(&self) -> Finish {
        let now_ns = self.now_ns();
        let simulated = Duration::from_nanos(now_ns);
        let (fingerprint, messages, polls, unsupported) = match &self.engine {
            Engine::Kernel(kernel) => {
                (&kernel.fingerprint, kernel.network.borrow().arrivals(), kernel.polls(), Vec::new())
            }
            Engine::Foreign(foreign) => {
                (&foreign.fingerprint, foreign.messages(), foreign.polls(), foreign.unsupported())
            }
        };
        let (fingerprint, checkpoints, trace) = fingerprint.borrow_mut().finish(now_ns);
        Finish { simulated, fingerprint, checkpoints, trace, messages, polls, unsupported }
    }

    /// The tasks that are left when nothing can happen any more.
    pub(crate) fn waiting_tasks(&self) -> Vec<WaitingTask> {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.waiting_tasks(),
            Engine::Foreign(foreign) => foreign.waiting_tasks(),
        }
    }

    /// Drops everything that could run code of tasks.
    pub(crate) fn tear_down(&self) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.tear_down(),
            Engine::Foreign(foreign) => foreign.tear_down(),
        }
    }

    /// True time since the start of the run, in nanoseconds.
    pub(crate) fn now_ns(&self) -> u64 {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.now_ns(),
            Engine::Foreign(foreign) => foreign.now_ns(),
        }
    }

    /// The wall clock of the current host.
    pub(crate) fn wall(&self) -> SystemTime {
        match &self.engine {
            Engine::Kernel(_) => interpose::wall(|| self.common.wall_ns(self.now_ns())),
            Engine::Foreign(foreign) => foreign.wall(),
        }
    }

    /// Adds to the fingerprint what happened outside the engine.
    pub(crate) fn note(&self, note: Note<'_>) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.mark(Mark::Note(note)),
            Engine::Foreign(foreign) => foreign.note(note),
        }
    }
}

/// Puts a new simulation on this thread.
pub(crate) fn install(world: World) {
    let fresh = WORLD.with(|cell| cell.set(world).is_ok());
    assert!(fresh, "a thread runs one simulation in its life");
}

/// Runs `f` on this thread's simulation, if there is one.
pub(crate) fn try_with<R>(f: impl FnOnce(&World) -> R) -> Option<R> {
    WORLD.try_with(|cell| cell.get().map(f)).ok().flatten()
}

/// Runs `f` on this thread's simulation.
///
/// # Panics
/// When no simulation runs on this thread: `world` was called from outside.
#[track_caller]
pub(crate) fn with<R>(f: impl FnOnce(&World) -> R) -> R {
    match try_with(f) {
        Some(result) => result,
        None => panic!("no simulation on this thread: the world can only be used inside sim::run"),
    }
}
