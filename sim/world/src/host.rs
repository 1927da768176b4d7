//! Hosts: machines with a name, an address, and processes that can crash and boot.
//!
//! Everything that runs belongs to a host: its tasks, its streams, its randomness.

use std::future::Future;
use std::net::IpAddr;

use crate::engine::kernel::{self, BoxFuture, hosts::HostId, hosts::Hosts};
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
    let id = kernel::with(|kernel| kernel.hosts.borrow_mut().add(name, Some(boot)));
    let Some(id) = id else { panic!("a host named {name:?} exists already") };
    let host = Host(id);
    host.boot();
    host
}

/// The host that the current task runs on.
pub fn current() -> Host {
    Host(kernel::with(kernel::Kernel::current_host))
}

/// The name of the host that the current task runs on.
pub fn name() -> String {
    current().name()
}

/// Finds a host by its name.
pub fn find(name: &str) -> Option<Host> {
    kernel::with(|kernel| kernel.hosts.borrow().find(name)).map(Host)
}

impl Host {
    /// Its name.
    pub fn name(self) -> String {
        kernel::with(|kernel| kernel.hosts.borrow().name(self.0).to_owned())
    }

    /// Its address.
    pub fn ip(self) -> IpAddr {
        Hosts::ip(self.0)
    }

    /// Do its processes run?
    pub fn is_up(self) -> bool {
        kernel::with(|kernel| kernel.hosts.borrow().is_up(self.0))
    }

    /// Kills all its processes at once: tasks are dropped without running on, peers get resets, connection requests
    /// are refused from now on. Does nothing to a host that is down, or to the director.
    pub fn crash(self) {
        kernel::with(|kernel| kernel.crash(self.0));
    }

    /// Starts its processes again. Does nothing to a host that is up.
    pub fn boot(self) {
        kernel::with(|kernel| kernel.boot(self.0));
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
