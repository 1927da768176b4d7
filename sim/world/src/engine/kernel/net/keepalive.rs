//! What an application asks of a connection: a user timeout, and probes while nothing is heard.

use std::time::Duration;

use super::connection::{Life, Options};
use super::link::Gate;
use super::{ConnectionId, NetEvent, Network, Wakes};
use crate::engine::kernel::Kernel;
use crate::net::Keepalive;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Network {
    fn options(&mut self, id: ConnectionId, side: usize) -> Option<&mut Options> {
        let connection = self.connections.get_mut(id)?;
        Some(connection.ends[side].options.get_or_insert_default())
    }

    pub(crate) fn set_user_timeout(
        &mut self,
        kernel: &Kernel,
        (id, side): (ConnectionId, usize),
        timeout: Option<Duration>,
    ) {
        if let Some(options) = self.options(id, side) {
            // As for Linux, zero means the system's default.
            options.user_timeout_ns = timeout.map(nanos).filter(|timeout| *timeout > 0);
            self.shorten_timer(kernel, id, side);
        }
    }

    pub(crate) fn set_keepalive(
        &mut self,
        kernel: &Kernel,
        (id, side): (ConnectionId, usize),
        keepalive: Option<Keepalive>,
    ) {
        let Some(options) = self.options(id, side) else { return };
        options.keepalive = keepalive;
        options.epoch = options.epoch.wrapping_add(1);
        options.probes_unanswered = 0;
        let epoch = options.epoch;
        if let Some(keepalive) = keepalive {
            let at_ns = kernel.now_ns().saturating_add(nanos(keepalive.idle));
            self.schedule(kernel, at_ns, NetEvent::Keepalive(id, side as u8, epoch));
        }
    }

    /// Nothing may have been heard for as long as keepalive allows.
    pub(super) fn on_keepalive(
        &mut self,
        kernel: &Kernel,
        (id, side, epoch): (ConnectionId, usize, u32),
        wakes: &mut Wakes,
    ) {
        let now_ns = kernel.now_ns();
        let Some(connection) = self.connections.get_mut(id) else { return };
        let end = &mut connection.ends[side];
        if end.life != Life::Open || end.error != 0 {
            return;
        }
        let Some(options) = end.options.as_mut().filter(|options| options.epoch == epoch) else { return };
        let Some(Keepalive { idle, interval, probes }) = options.keepalive else { return };
        // At least a nanosecond, or time would stand still.
        let (idle_ns, interval_ns) = (nanos(idle).max(1), nanos(interval).max(1));
        let heard = connection.pipes.iter().map(|pipe| pipe.delivered.last_ns).max().unwrap_or(0);
        let heard_ns = heard.max(options.answered_ns).max(connection.started_ns);
        let silent_ns = now_ns - heard_ns;
        // While something is unacknowledged, retransmission finds out (RFC 9293, 3.8.4).
        let busy = connection.pipes[side].recovery.is_some() || !connection.pipes[side].queue.is_empty();
        let next_ns = if busy {
            now_ns.saturating_add(idle_ns)
        } else if silent_ns < idle_ns {
            options.probes_unanswered = 0;
            heard_ns.saturating_add(idle_ns)
        } else {
            // A user timeout decides instead of the count of probes (RFC 5482, 4.2; Linux, tcp(7)).
            let over = match options.user_timeout_ns {
                Some(timeout_ns) => options.probes_unanswered > 0 && silent_ns >= timeout_ns,
                None => options.probes_unanswered >= probes,
            };
            if over {
                self.mark(kernel, "timeout", id, side);
                self.send_reset(kernel, id, side);
                return self.fail(id, side, libc::ETIMEDOUT, wakes);
            }
            options.probes_unanswered += 1;
            self.send_probe(kernel, id, side, NetEvent::Probe(id, side as u8));
            now_ns.saturating_add(interval_ns)
        };
        self.schedule(kernel, next_ns, NetEvent::Keepalive(id, side as u8, epoch));
    }

    fn send_probe(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, event: NetEvent) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match self.links.pass(connection.links[side], 0, kernel.now_ns()) {
            Some(at_ns) => self.schedule(kernel, at_ns, event),
            None => self.mark(kernel, "probe lost", id, side),
        }
    }

    /// A probe, or the answer to one, reaches the other side.
    fn probe_arrives(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, event: NetEvent) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let (link, host) = (connection.links[side], connection.hosts[1 - side]);
        match self.gate(link, event) {
            Gate::Open if self.is_powered(host) => {
                self.arrived(kernel, "probe", id, side);
                true
            }
            Gate::Held => false,
            Gate::Open | Gate::Cut => {
                self.mark(kernel, "probe lost", id, side);
                false
            }
        }
    }

    pub(super) fn on_probe(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        if !self.probe_arrives(kernel, id, side, NetEvent::Probe(id, side as u8)) {
            return;
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        let end = &connection.ends[1 - side];
        if end.works() || end.life == Life::Embryo {
            self.send_probe(kernel, id, 1 - side, NetEvent::ProbeAnswer(id, (1 - side) as u8));
        } else {
            self.send_reset(kernel, id, 1 - side);
        }
    }

    pub(super) fn on_probe_answer(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        if !self.probe_arrives(kernel, id, side, NetEvent::ProbeAnswer(id, side as u8)) {
            return;
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        if let Some(options) = &mut connection.ends[1 - side].options {
            options.answered_ns = kernel.now_ns();
            options.probes_unanswered = 0;
        }
    }
}
