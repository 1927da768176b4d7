//! Listeners, and how a connection comes about.
//!
//! A request that gets no answer is sent again after 1 s, 2 s, 4 s, … up to six times; after 127 s connecting fails
//! with `TimedOut` (Linux: `net.ipv4.tcp_syn_retries` = 6, without the linear timeouts that kernel 6.5 brought). The
//! server's application gets the connection when the last step of the handshake has reached it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Poll, Waker};

use super::connection::{Connection, End, Life, Payload, Phase, Pipe, os_error};
use super::link::Gate;
use super::{ConnectionId, ListenerId, NetEvent, Network, Wakes, store};
use crate::common::hosts::{HostId, Hosts};
use crate::engine::kernel::Kernel;

/// Connections that may wait to be accepted; while there are so many, further requests get no answer, and are sent
/// again (Linux: `net.core.somaxconn`, `net.ipv4.tcp_abort_on_overflow` = 0).
const BACKLOG: usize = 4096;
/// Linux: `net.ipv4.tcp_syn_retries`.
const RETRIES: u32 = 6;
const SECOND: u64 = 1_000_000_000;

pub(super) struct Listener {
    generation: u64,
    queue: VecDeque<ConnectionId>,
    pub(super) acceptor: Option<Waker>,
}

/// What a server says to the last step of a handshake.
pub(super) enum Consent {
    Accepted,
    /// Its queue is full: the step is as if lost.
    NotNow,
    /// Its listener is gone.
    Never,
}

impl Network {
    pub(crate) fn bind(&mut self, host: HostId, port: u16) -> io::Result<ListenerId> {
        let port = match port {
            0 => self.free_port(|network, port| network.listeners.contains_key(&(host, port)))?,
            port => port,
        };
        if self.listeners.contains_key(&(host, port)) {
            return Err(os_error(libc::EADDRINUSE));
        }
        // Zero is no listener's.
        self.next_listener += 1;
        let generation = self.next_listener;
        self.listeners.insert((host, port), Listener { generation, queue: VecDeque::new(), acceptor: None });
        Ok(ListenerId { host, port, generation })
    }

    fn listener(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.listeners.get_mut(&(id.host, id.port)).filter(|listener| listener.generation == id.generation)
    }

    pub(crate) fn poll_accept(&mut self, id: ListenerId, waker: &Waker) -> Poll<io::Result<ConnectionId>> {
        let Some(listener) = self.listener(id) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        match listener.queue.pop_front() {
            Some(connection) => {
                if listener.queue.is_empty() {
                    listener.queue.shrink_to(16);
                }
                Poll::Ready(Ok(connection))
            }
            None => {
                store(&mut listener.acceptor, waker);
                Poll::Pending
            }
        }
    }

    pub(crate) fn poll_acceptable(&mut self, id: ListenerId, waker: &Waker) -> Poll<io::Result<()>> {
        let Some(listener) = self.listener(id) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if listener.queue.is_empty() {
            store(&mut listener.acceptor, waker);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends a listener; connections that nobody has accepted are reset.
    pub(crate) fn close_listener(&mut self, kernel: &Kernel, id: ListenerId) {
        if self.listener(id).is_none() {
            return;
        }
        let Some(listener) = self.listeners.remove(&(id.host, id.port)) else { return };
        for connection in listener.queue {
            self.reset(kernel, connection, 1);
        }
    }

    /// Ends all listeners of a host; what waits in their queues is left to the caller.
    pub(super) fn forget_listeners(&mut self, host: HostId) {
        let ports = self.listeners.range((host, 0)..=(host, u16::MAX));
        let ports: Vec<u16> = ports.map(|((_, port), _)| *port).collect();
        for port in ports {
            self.listeners.remove(&(host, port));
        }
    }

    /// Sends a request to connect; the answer comes by [`Network::poll_connected`].
    pub(crate) fn connect(&mut self, kernel: &Kernel, from: HostId, to: HostId, port: u16) -> ConnectionId {
        let (links, ports) =
            ([self.links.between(from, to), self.links.between(to, from)], [self.ephemeral_port(), port]);
        let id = self.connections.insert(Connection {
            generation: 0,
            hosts: [from, to],
            links,
            ports,
            phase: Phase::Connecting { attempt: 0, timer: false },
            connecting: None,
            started_ns: kernel.now_ns(),
            listener: 0,
            ends: [End::open(), End::default()],
            pipes: [Pipe::default(), Pipe::default()],
        });
        self.send_handshake(kernel, id, 0, NetEvent::Syn(id));
        id
    }

    pub(crate) fn poll_connected(&mut self, id: ConnectionId, waker: &Waker) -> Poll<io::Result<()>> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Poll::Ready(Err(os_error(libc::ECONNABORTED)));
        };
        match connection.phase {
            Phase::Established => Poll::Ready(Ok(())),
            Phase::Failed(error) => Poll::Ready(Err(os_error(error))),
            Phase::Connecting { .. } => {
                store(&mut connection.connecting, waker);
                Poll::Pending
            }
        }
    }

    /// The address of one side.
    pub(crate) fn address(&mut self, id: ConnectionId, side: usize) -> io::Result<SocketAddr> {
        let found = self.connections.get_mut(id);
        let found = found.map(|c| SocketAddr::new(Hosts::ip(c.hosts[side]), c.ports[side]));
        found.ok_or_else(|| os_error(libc::ENOTCONN))
    }

    fn send_handshake(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, event: NetEvent) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match self.links.pass(connection.links[side], 0, kernel.now_ns()) {
            Some(at_ns) => {
                connection.pipes[side].last_trip_ns = at_ns - kernel.now_ns();
                connection.pipes[side].last_arrival_ns = at_ns;
                self.schedule(kernel, at_ns, event);
            }
            None => self.on_handshake_lost(kernel, id, side),
        }
    }

    /// A step of the handshake comes to nothing: the client will try again.
    fn on_handshake_lost(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        self.mark(kernel, "handshake lost", id, side);
        self.try_again_later(kernel, id);
    }

    fn try_again_later(&mut self, kernel: &Kernel, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Phase::Connecting { attempt, timer } = &mut connection.phase else { return };
        if !std::mem::replace(timer, true) {
            let at_ns = connection.started_ns + ((2 << *attempt) - 1) * SECOND;
            self.schedule(kernel, at_ns.max(kernel.now_ns()), NetEvent::SynTimer(id));
        }
    }

    /// May a step of the handshake go on?
    fn passes(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, event: NetEvent) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let (link, receiver) = (connection.links[side], connection.hosts[1 - side]);
        match self.gate(link, event) {
            Gate::Open if self.is_powered(receiver) => return true,
            Gate::Open | Gate::Cut => self.on_handshake_lost(kernel, id, side),
            Gate::Held => self.try_again_later(kernel, id),
        }
        false
    }

    pub(super) fn on_syn_timer(&mut self, kernel: &Kernel, id: ConnectionId, wakes: &mut Wakes) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Phase::Connecting { attempt, timer } = &mut connection.phase else { return };
        *timer = false;
        *attempt += 1;
        if *attempt > RETRIES {
            return self.on_connected(kernel, id, Err(libc::ETIMEDOUT), wakes);
        }
        self.send_handshake(kernel, id, 0, NetEvent::Syn(id));
    }

    pub(super) fn on_syn(&mut self, kernel: &Kernel, id: ConnectionId) {
        if !self.passes(kernel, id, 0, NetEvent::Syn(id)) {
            return;
        }
        self.arrived(kernel, "syn", id, 0);
        let Some(connection) = self.connections.get_mut(id) else { return };
        match self.listeners.get(&(connection.hosts[1], connection.ports[1])) {
            Some(listener) if listener.queue.len() < BACKLOG => {
                connection.listener = listener.generation;
                self.send_handshake(kernel, id, 1, NetEvent::SynAck(id));
            }
            Some(_) => self.on_handshake_lost(kernel, id, 0),
            None => self.send_handshake(kernel, id, 1, NetEvent::Refusal(id)),
        }
    }

    pub(super) fn on_syn_ack(&mut self, kernel: &Kernel, id: ConnectionId, wakes: &mut Wakes) {
        if self.passes(kernel, id, 1, NetEvent::SynAck(id)) {
            self.arrived(kernel, "syn-ack", id, 1);
            self.on_connected(kernel, id, Ok(()), wakes);
        }
    }

    pub(super) fn on_refusal(&mut self, kernel: &Kernel, id: ConnectionId, wakes: &mut Wakes) {
        if self.passes(kernel, id, 1, NetEvent::Refusal(id)) {
            self.arrived(kernel, "refusal", id, 1);
            self.on_connected(kernel, id, Err(libc::ECONNREFUSED), wakes);
        }
    }

    /// Connecting is over at the client.
    fn on_connected(
        &mut self,
        kernel: &Kernel,
        id: ConnectionId,
        result: Result<(), i32>,
        wakes: &mut Wakes,
    ) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        // The answer to a request that was sent twice comes twice.
        if !matches!(connection.phase, Phase::Connecting { .. }) {
            return;
        }
        wakes.add(connection.connecting.take());
        match result {
            Ok(()) => {
                connection.phase = Phase::Established;
                self.send(kernel, id, 0, Payload::Handshake);
            }
            Err(error) => {
                connection.phase = Phase::Failed(error);
                connection.ends[1].life = Life::Dead;
            }
        }
    }

    /// The last step of the handshake has reached the server.
    pub(super) fn consent(&mut self, id: ConnectionId, wakes: &mut Wakes) -> Consent {
        let Some(connection) = self.connections.get_mut(id) else { return Consent::Never };
        let place = (connection.hosts[1], connection.ports[1]);
        let listener = self.listeners.get_mut(&place);
        let Some(listener) = listener.filter(|listener| listener.generation == connection.listener) else {
            return Consent::Never;
        };
        if listener.queue.len() >= BACKLOG {
            return Consent::NotNow;
        }
        listener.queue.push_back(id);
        wakes.add(listener.acceptor.take());
        connection.ends[1].life = Life::Open;
        Consent::Accepted
    }
}
