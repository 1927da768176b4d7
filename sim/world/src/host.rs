//! Hosts: machines with a name, an address, and processes that can crash and boot.
//!
//! Everything that runs belongs to a host: its tasks, its streams, its randomness.

use std::future::Future;
use std::net::IpAddr;

use crate::common::hosts::{HostId, Hosts};
use crate::common::{self, BoxFuture, Common};
use crate::engine;
use crate::task::JoinHandle;

/// A host of the running simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(pub(crate) HostId);

/// Adds a host and boots it: `boot` is called now and at every later [`Host::boot`], and what it returns runs as the
/// host's first task. State that lives in that future is lost when the host crashes, as a process's memory is.
///
/// # Panics
/// When a host of this name exists.
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

    /// Kills all its processes at once, as `kill -9` does: tasks are dropped without running on, peers get resets as
    /// soon as they can be reached, connection requests are refused from now on. Does nothing to a host that is
    /// down, or to the director.
    pub fn kill(self) {
        engine::with(|world| world.kill(self.0));
    }

    /// The machine loses power: tasks are dropped without running on, and its network is silent until it boots. Then
    /// it answers what comes for its old connections with resets. Does nothing to a host that is down, or to the
    /// director.
    pub fn crash(self) {
        engine::with(|world| world.crash(self.0));
    }

    /// Starts its processes again. Does nothing to a host that is up.
    pub fn boot(self) {
        engine::with(|world| world.boot(self.0));
    }

    /// Starts a task on this host; on a host that is down the task ends at once, cancelled.
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        crate::task::spawn_on(self.0, future)
    }
}
