//! The engines that can carry the world's interface. The facade modules (`net`, `time`, …) are all that the rest of
//! the workspace sees, so a further engine is a sibling of `kernel`.

pub(crate) mod kernel;
mod resources;

use std::cell::OnceCell;
use std::rc::Rc;

use self::kernel::Kernel;
use self::kernel::fingerprint::Mark;
use crate::common::Common;
use crate::common::hosts::HostId;

/// Waits for a moment of true simulated time: for devices and processors, which no host's clock drives.
pub(crate) type Wait = kernel::sleep::Sleep;

/// Waits until so many nanoseconds after the start of the simulation.
pub(crate) fn wait_until(at_ns: u64) -> Wait {
    kernel::sleep::Sleep::until(at_ns)
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
pub(crate) enum Engine {
    Kernel(Kernel),
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
    /// True simulated time since the start, in nanoseconds.
    pub(crate) fn now_ns(&self) -> u64 {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.now_ns(),
        }
    }

    /// Adds to the fingerprint what happened outside the engine.
    pub(crate) fn note(&self, note: Note<'_>) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.mark(Mark::Note(note)),
        }
    }

    /// The machine of a host loses power.
    pub(crate) fn crash(&self, host: HostId) {
        if host != HostId::DIRECTOR {
            // Before the tasks go: what their destructors do must not reach the disk.
            self.power_lost(host);
        }
        match &self.engine {
            Engine::Kernel(kernel) => kernel.crash(host),
        }
    }

    /// The processes of a host that is down start.
    pub(crate) fn boot(&self, host: HostId) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.boot(host),
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
