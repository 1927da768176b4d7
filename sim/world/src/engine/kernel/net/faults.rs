//! Faults of hosts and links, as far as the network goes.

use std::collections::BTreeSet;

use super::connection::{Life, Phase};
use super::impair::Pairs;
use super::link::LinkId;
use super::{Network, Wakes};
use crate::common::hosts::HostId;
use crate::engine::kernel::Kernel;
use crate::engine::kernel::fingerprint::Mark;
use crate::net::Impairment;

fn mark_all(kernel: &Kernel, kind: &'static str, hosts: &[HostId]) {
    for host in hosts {
        kernel.mark(Mark::Fault { kind, host: *host });
    }
}

impl Network {
    /// The processes of a host die; its operating system tells their peers, by resets.
    pub(crate) fn kill(&mut self, kernel: &Kernel, host: HostId) {
        self.forget_listeners(host);
        self.forget_sockets(host);
        for id in self.connections.select(|connection| connection.hosts.contains(&host)) {
            for side in [0, 1] {
                let Some(connection) = self.connections.get_mut(id) else { break };
                if connection.hosts[side] == host && connection.ends[side].life == Life::Open {
                    self.reset(kernel, id, side);
                }
            }
        }
    }

    /// A host loses power: nobody is told, and until [`Network::power_on`] nobody gets an answer. What it has sent is
    /// still on its way.
    pub(crate) fn power_off(&mut self, host: HostId) {
        self.forget_listeners(host);
        self.forget_sockets(host);
        let number = host.0 as usize;
        if self.without_power.len() <= number {
            self.without_power.resize(number + 1, false);
        }
        self.without_power[number] = true;
        for id in self.connections.select(|connection| connection.hosts.contains(&host)) {
            for side in [0, 1] {
                let Some(connection) = self.connections.get_mut(id) else { break };
                if connection.hosts[side] != host {
                    continue;
                }
                if side == 0 && connection.phase != Phase::Established {
                    self.connections.remove(id);
                } else if connection.ends[side].life != Life::Embryo {
                    self.kill_end(id, side);
                    self.free_if_over(id);
                }
            }
        }
    }

    /// A host has power again: it answers, and knows nothing of earlier connections.
    pub(crate) fn power_on(&mut self, host: HostId) {
        if let Some(without_power) = self.without_power.get_mut(host.0 as usize) {
            *without_power = false;
        }
    }

    pub(super) fn is_powered(&self, host: HostId) -> bool {
        !self.without_power.get(host.0 as usize).copied().unwrap_or(false)
    }

    /// Begins an impairment; returns its number.
    pub(crate) fn impair(
        &mut self,
        kernel: &Kernel,
        from: Vec<HostId>,
        to: Vec<HostId>,
        both: bool,
        impairment: Impairment,
    ) -> u64 {
        let name = impairment.name();
        mark_all(kernel, name, &from);
        mark_all(kernel, if both { "both ways" } else { "one way" }, &to);
        let (number, closed) = self.links.impair(&Pairs { from, to, both }, impairment);
        if !closed.is_empty() {
            self.cut(kernel, &closed);
        }
        number
    }

    /// Ends an impairment, if it is going on.
    pub(crate) fn heal(&mut self, kernel: &Kernel, number: u64) {
        let Some(healed) = self.links.heal(number) else { return };
        mark_all(kernel, "heal", &healed.pairs.from);
        mark_all(kernel, healed.name, &healed.pairs.to);
        if !healed.released.is_empty() {
            self.release(kernel, &healed.released);
        }
    }

    pub(crate) fn heal_all(&mut self, kernel: &Kernel) {
        for number in self.links.active() {
            self.heal(kernel, number);
        }
    }

    /// Links that were open no longer are: acknowledgements on them do not arrive as if by themselves any more.
    fn cut(&mut self, kernel: &Kernel, links: &BTreeSet<LinkId>) {
        for id in self.connections.select(|connection| connection.links.iter().any(|id| links.contains(id))) {
            for side in [0, 1] {
                let connection = self.connections.get_mut(id);
                if connection.is_some_and(|connection| links.contains(&connection.links[1 - side])) {
                    self.cut_acknowledgements(kernel, id, side);
                }
            }
        }
    }

    /// Links that were held are open, or cut: what waited goes on, in order.
    fn release(&mut self, kernel: &Kernel, links: &BTreeSet<LinkId>) {
        let held = std::mem::take(&mut self.held);
        for (link, event) in held {
            if links.contains(&link) {
                self.schedule(kernel, kernel.now_ns(), event);
            } else {
                self.held.push((link, event));
            }
        }
        // Acknowledgements that were on their way when the hold began.
        for id in self.connections.select(|connection| connection.links.iter().any(|id| links.contains(id))) {
            for side in [0, 1] {
                let connection = self.connections.get_mut(id);
                if connection.is_some_and(|connection| {
                    links.contains(&connection.links[1 - side]) && connection.ends[1 - side].works()
                }) {
                    self.acknowledge(kernel, id, side, 0);
                }
            }
        }
    }

    /// Ends the established connections between two sets of hosts at both ends. Returns how many there were.
    pub(crate) fn reset_connections(
        &mut self,
        kernel: &Kernel,
        a: &[HostId],
        b: &[HostId],
    ) -> (usize, Wakes) {
        mark_all(kernel, "reset connections from", a);
        mark_all(kernel, "reset connections to", b);
        let (a, b): (BTreeSet<_>, BTreeSet<_>) = (a.iter().collect(), b.iter().collect());
        let met = self.connections.select(|connection| {
            let [client, server] = &connection.hosts;
            let between =
                a.contains(client) && b.contains(server) || b.contains(client) && a.contains(server);
            between
                && connection.ends.iter().any(|end| end.receives())
                && connection.phase == Phase::Established
        });
        let mut wakes = Wakes::default();
        for id in &met {
            for side in [0, 1] {
                self.fail(*id, side, libc::ECONNRESET, &mut wakes);
            }
        }
        (met.len(), wakes)
    }
}
