//! The engines that can carry the world's interface. The facade modules (`net`, `time`, …) are all that the rest of
//! the workspace sees, so a further engine is a sibling of `kernel`.

pub(crate) mod kernel;

use std::cell::OnceCell;
use std::panic::Location;
use std::rc::Rc;

use self::kernel::Kernel;
use crate::common::Common;
use crate::common::hosts::HostId;

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

impl World {
    /// True time since the start.
    pub(crate) fn now_ns(&self) -> u64 {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.now_ns(),
        }
    }

    /// A host loses power.
    pub(crate) fn crash(&self, host: HostId) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.crash(host),
        }
    }

    /// The processes of a host are killed.
    pub(crate) fn kill(&self, host: HostId) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.kill(host),
        }
    }

    /// The processes of a host that is down start.
    pub(crate) fn boot(&self, host: HostId, site: &'static Location<'static>) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.boot(host, site),
        }
    }

    /// The processes of a host stop where they stand.
    pub(crate) fn pause(&self, host: HostId) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.pause(host),
        }
    }

    /// The processes of a paused host run on.
    pub(crate) fn resume(&self, host: HostId) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.resume(host),
        }
    }

    /// The clocks of a host run fast or slow.
    pub(crate) fn set_clock_drift(&self, host: HostId, drift_ppb: i32) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.set_clock_drift(host, drift_ppb),
        }
    }

    /// The wall clock of a host is set to a distance from the true time.
    pub(crate) fn set_clock_skew(&self, host: HostId, skew_ns: i64) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.set_clock_skew(host, skew_ns),
        }
    }

    /// The wall clock of a host is moved.
    pub(crate) fn jump_clock(&self, host: HostId, by_ns: i64) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.jump_clock(host, by_ns),
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
