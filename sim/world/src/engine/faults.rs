//! Faults of hosts and links, handed to the engine.

use std::panic::Location;

use super::{Engine, World};
use crate::common::hosts::HostId;
use crate::net::{Impairment, Latency, LinkProfile, Placement};

impl World {
    /// The machine of a host loses power.
    pub(crate) fn crash(&self, host: HostId) {
        if host != HostId::DIRECTOR {
            // Before the tasks go: what their destructors do must not reach the disk.
            self.power_lost(host);
        }
        match &self.engine {
            Engine::Kernel(kernel) => kernel.crash(host),
            Engine::Foreign(foreign) => foreign.crash(host),
        }
    }

    /// The processes of a host die; its machine goes on.
    pub(crate) fn kill(&self, host: HostId) {
        if host != HostId::DIRECTOR && self.common.hosts.borrow().is_up(host) {
            self.processes_gone(host);
        }
        match &self.engine {
            Engine::Kernel(kernel) => kernel.kill(host),
            Engine::Foreign(foreign) => foreign.kill(host),
        }
    }

    /// The processes of a host that is down start.
    pub(crate) fn boot(&self, host: HostId, site: &'static Location<'static>) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.boot(host, site),
            Engine::Foreign(foreign) => foreign.boot(host, site),
        }
    }

    /// The processes of a host stop where they stand.
    pub(crate) fn pause(&self, host: HostId) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.pause(host),
            Engine::Foreign(foreign) => foreign.pause(host),
        }
        self.processes_paused(host, self.common.hosts.borrow().is_paused(host));
    }

    /// The processes of a paused host run on.
    pub(crate) fn resume(&self, host: HostId) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.resume(host),
            Engine::Foreign(foreign) => foreign.resume(host),
        }
        self.processes_paused(host, self.common.hosts.borrow().is_paused(host));
    }

    /// The clocks of a host run fast or slow.
    pub(crate) fn set_clock_drift(&self, host: HostId, drift_ppb: i32) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.set_clock_drift(host, drift_ppb),
            Engine::Foreign(foreign) => foreign.set_clock_drift(host, drift_ppb),
        }
    }

    /// The wall clock of a host is set to a distance from the true time.
    pub(crate) fn set_clock_skew(&self, host: HostId, skew_ns: i64) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.set_clock_skew(host, skew_ns),
            Engine::Foreign(foreign) => foreign.set_clock_skew(host, skew_ns),
        }
    }

    /// The wall clock of a host is moved.
    pub(crate) fn jump_clock(&self, host: HostId, by_ns: i64) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.jump_clock(host, by_ns),
            Engine::Foreign(foreign) => foreign.jump_clock(host, by_ns),
        }
    }

    /// The latency of both directions of a link, from now on.
    pub(crate) fn set_latency(&self, a: HostId, b: HostId, latency: &Latency) {
        match &self.engine {
            Engine::Kernel(kernel) => {
                let mut network = kernel.network.borrow_mut();
                network.set_latency(a, b, latency.clone());
                network.set_latency(b, a, latency.clone());
            }
            Engine::Foreign(foreign) => foreign.set_link(a, b, &LinkProfile::with_latency(latency.clone())),
        }
    }

    /// What both directions of a link do, from now on.
    pub(crate) fn set_link(&self, a: HostId, b: HostId, profile: &LinkProfile) {
        match &self.engine {
            Engine::Kernel(kernel) => {
                let mut network = kernel.network.borrow_mut();
                network.set_link(a, b, profile);
                network.set_link(b, a, profile);
            }
            Engine::Foreign(foreign) => foreign.set_link(a, b, profile),
        }
    }

    /// Says where a host stands.
    pub(crate) fn place(&self, host: HostId, placement: Placement) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.network.borrow_mut().place(host, placement),
            Engine::Foreign(foreign) => foreign.place(host, placement),
        }
    }

    /// Begins an impairment of all links from one set of hosts to another; returns its number.
    pub(crate) fn impair(
        &self,
        from: Vec<HostId>,
        to: Vec<HostId>,
        both: bool,
        impairment: Impairment,
    ) -> u64 {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.network.borrow_mut().impair(kernel, from, to, both, impairment),
            Engine::Foreign(foreign) => foreign.impair(from, to, both, impairment),
        }
    }

    /// Ends an impairment.
    pub(crate) fn heal(&self, number: u64) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.network.borrow_mut().heal(kernel, number),
            Engine::Foreign(foreign) => foreign.heal(number),
        }
    }

    /// Ends every impairment.
    pub(crate) fn heal_all(&self) {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.network.borrow_mut().heal_all(kernel),
            Engine::Foreign(foreign) => foreign.heal_all(),
        }
    }

    /// Resets every connection between two sets of hosts; returns how many there were.
    pub(crate) fn reset_connections(&self, a: &[HostId], b: &[HostId]) -> usize {
        match &self.engine {
            Engine::Kernel(kernel) => {
                let (count, wakes) = kernel.network.borrow_mut().reset_connections(kernel, a, b);
                wakes.wake_all();
                count
            }
            Engine::Foreign(foreign) => {
                foreign.cannot("resetting connections");
                0
            }
        }
    }
}
