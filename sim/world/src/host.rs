//! Hosts: machines with a name, an address, and processes that can crash and boot.
//!
//! Everything that runs belongs to a host: its tasks, its streams, its randomness, its clocks.

use std::future::Future;
use std::net::IpAddr;
use std::panic::Location;
use std::time::Duration;

use crate::common::hosts::{HostId, Hosts};
use crate::common::{self, BoxFuture, Common};
use crate::engine;
use crate::task::JoinHandle;

/// A host of the running simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(pub(crate) HostId);

/// A distance between clocks, or a step of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// To later times.
    Forward(Duration),
    /// To earlier times.
    Backward(Duration),
}

impl Shift {
    /// Saturating: 292 years.
    fn nanos(self) -> i64 {
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        match self {
            Shift::Forward(by) => nanos(by),
            Shift::Backward(by) => -nanos(by),
        }
    }
}

/// Adds a host and boots it: `boot` is called now and at every later [`Host::boot`], and what it returns runs as the
/// host's first task. State that lives in that future is lost when the host crashes, as a process's memory is.
///
/// # Panics
/// When a host of this name exists.
#[track_caller]
pub fn add<F, Fut>(name: &str, boot: F) -> Host
where
    F: Fn() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let boot = Box::new(move || -> BoxFuture { Box::pin(boot()) });
    let id = common::with(|common| common.hosts.borrow_mut().add(name, Some(boot)));
    let Some(id) = id else { panic!("a host named {name:?} exists already") };
    let host = Host(id);
    host.boot();
    host
}

/// The host that the current task runs on.
pub fn current() -> Host {
    Host(common::with(Common::current_host))
}

/// The name of the host that the current task runs on.
pub fn name() -> String {
    current().name()
}

/// Finds a host by its name.
pub fn find(name: &str) -> Option<Host> {
    common::with(|common| common.hosts.borrow().find(name)).map(Host)
}

/// All hosts but the director, in the order in which they were added.
pub fn all() -> Vec<Host> {
    common::with(|common| common.hosts.borrow().all().map(Host).collect())
}

impl Host {
    /// Its name.
    pub fn name(self) -> String {
        common::with(|common| common.hosts.borrow().name(self.0).to_owned())
    }

    /// Its address.
    pub fn ip(self) -> IpAddr {
        Hosts::ip(self.0)
    }

    /// Do its processes run?
    pub fn is_up(self) -> bool {
        common::with(|common| common.hosts.borrow().is_up(self.0))
    }

    /// The machine loses power: tasks are dropped without running on, whatever was not on disk is gone, and its network
    /// is silent until it boots. Then it answers what comes for its old connections with resets. Does nothing to a
    /// host without power, or to the director.
    pub fn crash(self) {
        engine::with(|world| world.crash(self.0));
    }

    /// Kills its processes at once, as `kill -9` does: tasks are dropped without running on; the machine goes on and
    /// answers for them: peers get resets, connection requests are refused. Does nothing to a host that is down, or
    /// to the director.
    pub fn kill(self) {
        engine::with(|world| world.kill(self.0));
    }

    /// Starts its processes again, and the machine if it had crashed. Does nothing to a host that is up.
    #[track_caller]
    pub fn boot(self) {
        let site = Location::caller();
        engine::with(|world| world.boot(self.0, site));
    }

    /// Stops its processes where they stand, as a frozen virtual machine or a long collection of garbage does: no
    /// task runs until [`Host::resume`]; timers that are due meanwhile fire then. Its network stack goes on: bytes
    /// are accepted as far as the window allows, connections as far as the backlog does. A task that pauses its own
    /// host runs on to its next wait. Does nothing to a host that is down, or to the director.
    pub fn pause(self) {
        engine::with(|world| world.pause(self.0));
    }

    /// Lets its processes run on. Does nothing to a host that is not paused.
    pub fn resume(self) {
        engine::with(|world| world.resume(self.0));
    }

    /// Are its processes stopped?
    pub fn is_paused(self) -> bool {
        common::with(|common| common.hosts.borrow().is_paused(self.0))
    }

    /// From now on its clocks, the monotonic one as well as the wall clock, run fast (positive) or slow by so many
    /// parts per billion; 1000 are one part per million. Clamped to ± 500 000 000: half to one and a half times true
    /// speed. Timers under way end when the clock shows their time. Does nothing to the director.
    pub fn set_clock_drift(self, ppb: i32) {
        if self.0 != HostId::DIRECTOR {
            engine::with(|world| world.set_clock_drift(self.0, ppb));
        }
    }

    /// Sets its wall clock to this distance from the true time. Does nothing to the director.
    pub fn set_clock_skew(self, skew: Shift) {
        if self.0 != HostId::DIRECTOR {
            engine::with(|world| world.set_clock_skew(self.0, skew.nanos()));
        }
    }

    /// Moves its wall clock; the monotonic clock does not jump. Does nothing to the director.
    pub fn jump_clock(self, by: Shift) {
        if self.0 != HostId::DIRECTOR {
            engine::with(|world| world.jump_clock(self.0, by.nanos()));
        }
    }

    /// Starts a task on this host; on a host that is down the task ends at once, cancelled.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        crate::task::spawn_on(self.0, future)
    }
}
