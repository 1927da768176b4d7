//! The network: listeners, connections and the links between hosts.
//!
//! A connection behaves as TCP does for the services that use it: a handshake of one round trip, ordered bytes,
//! a bounded window, half-close, and a reset when the peer's process is gone. Segments are never lost here.

mod connection;
mod latency;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::task::{Poll, Waker};

use rand_chacha::ChaCha8Rng;

use self::connection::{Connection, End, Pipe, Segment, Stage};
pub use self::latency::Latency;
use super::Kernel;
use super::events::Event;
use super::fingerprint::Mark;
use super::hosts::{HostId, Hosts};

/// Connections that may wait to be accepted; one more is refused (Linux: `net.core.somaxconn`).
const BACKLOG: usize = 4096;
/// Ports below are for services.
const FIRST_EPHEMERAL_PORT: u16 = 32_768;
/// Emptied buffers kept for reuse, and how large they may be.
const SPARE_BUFFERS: usize = 256;
const SPARE_BUFFER_BYTES: usize = 16 * 1024;

/// A connection, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    index: u32,
    generation: u32,
}

/// A listener, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenerId {
    host: HostId,
    pub(crate) port: u16,
    generation: u64,
}

/// A scheduled step of the network.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NetEvent {
    /// The request to connect reaches the server's host.
    Syn(ConnectionId),
    /// The server's consent reaches the client.
    SynAck(ConnectionId),
    /// The refusal reaches the client.
    Refusal(ConnectionId, io::ErrorKind),
    /// The first segment in flight, written by this side, reaches the other.
    Arrival(ConnectionId, u8),
    /// News of free window reaches this side, the writer.
    WindowUpdate(ConnectionId, u8),
}

/// Wakers to be called once the network is no longer borrowed.
#[derive(Default)]
pub(crate) struct Wakes([Option<Waker>; 2], Vec<Waker>);

impl Wakes {
    fn add(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        match self.0.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(waker),
            None => self.1.push(waker),
        }
    }

    pub(crate) fn wake_all(self) {
        self.0.into_iter().flatten().chain(self.1).for_each(Waker::wake);
    }
}

fn store(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(current) if current.will_wake(waker) => {}
        _ => *slot = Some(waker.clone()),
    }
}

struct Listener {
    generation: u64,
    queue: VecDeque<ConnectionId>,
    acceptor: Option<Waker>,
}

/// All network state of a simulation.
pub(crate) struct Network {
    random: ChaCha8Rng,
    default_latency: Latency,
    same_host: Latency,
    links: BTreeMap<(HostId, HostId), Latency>,
    connections: Vec<Connection>,
    free: Vec<u32>,
    listeners: BTreeMap<(HostId, u16), Listener>,
    next_listener: u64,
    next_port: u16,
    spare: Vec<Vec<u8>>,
    arrivals: u64,
}

impl Network {
    pub(super) fn new(random: ChaCha8Rng, default_latency: Latency) -> Network {
        Network {
            random,
            default_latency,
            same_host: Latency::same_host(),
            links: BTreeMap::new(),
            connections: Vec::new(),
            free: Vec::new(),
            listeners: BTreeMap::new(),
            next_listener: 0,
            next_port: FIRST_EPHEMERAL_PORT,
            spare: Vec::new(),
            arrivals: 0,
        }
    }

    /// Segments and handshake steps that have arrived so far.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    pub(crate) fn set_latency(&mut self, from: HostId, to: HostId, latency: Latency) {
        self.links.insert((from, to), latency);
    }

    pub(crate) fn bind(&mut self, host: HostId, port: u16) -> io::Result<ListenerId> {
        let port = if port == 0 { self.ephemeral_port() } else { port };
        if self.listeners.contains_key(&(host, port)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let generation = self.next_listener;
        self.next_listener += 1;
        self.listeners.insert((host, port), Listener { generation, queue: VecDeque::new(), acceptor: None });
        Ok(ListenerId { host, port, generation })
    }

    fn ephemeral_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
        port
    }

    fn listener(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.listeners.get_mut(&(id.host, id.port)).filter(|listener| listener.generation == id.generation)
    }

    pub(crate) fn poll_accept(&mut self, id: ListenerId, waker: &Waker) -> Poll<io::Result<ConnectionId>> {
        let Some(listener) = self.listener(id) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        match listener.queue.pop_front() {
            Some(connection) => Poll::Ready(Ok(connection)),
            None => {
                store(&mut listener.acceptor, waker);
                Poll::Pending
            }
        }
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

    fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(id.index as usize).filter(|c| c.generation == id.generation)
    }

    /// Sends a request to connect; the answer comes by [`Network::poll_connected`].
    pub(crate) fn connect(&mut self, kernel: &Kernel, from: HostId, to: HostId, port: u16) -> ConnectionId {
        let client = SocketAddr::new(Hosts::ip(from), self.ephemeral_port());
        let server = SocketAddr::new(Hosts::ip(to), port);
        let index = self.free.pop().unwrap_or(self.connections.len() as u32);
        let generation = self.connections.get(index as usize).map_or(0, |old| old.generation);
        let connection = Connection {
            generation,
            hosts: [from, to],
            addresses: [client, server],
            stage: Stage::Connecting,
            connecting: None,
            ends: [End { present: true, failed: false }, End::default()],
            pipes: [Pipe::default(), Pipe::default()],
        };
        match self.connections.get_mut(index as usize) {
            Some(slot) => *slot = connection,
            None => self.connections.push(connection),
        }
        let id = ConnectionId { index, generation };
        let at_ns = kernel.now_ns() + self.draw_latency(from, to);
        self.schedule(kernel, at_ns, NetEvent::Syn(id));
        id
    }

    pub(crate) fn poll_connected(&mut self, id: ConnectionId, waker: &Waker) -> Poll<io::Result<()>> {
        let Some(connection) = self.get(id) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        match connection.stage {
            Stage::Established => Poll::Ready(Ok(())),
            Stage::Failed(kind) => Poll::Ready(Err(kind.into())),
            Stage::Connecting => {
                store(&mut connection.connecting, waker);
                Poll::Pending
            }
        }
    }

    /// The address of one side.
    pub(crate) fn address(&mut self, id: ConnectionId, side: usize) -> io::Result<SocketAddr> {
        let found = self.get(id).map(|connection| connection.addresses[side]);
        found.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn draw_latency(&mut self, from: HostId, to: HostId) -> u64 {
        let latency = if from == to {
            &self.same_host
        } else {
            self.links.get(&(from, to)).unwrap_or(&self.default_latency)
        };
        latency.draw(&mut self.random)
    }

    fn schedule(&self, kernel: &Kernel, at_ns: u64, event: NetEvent) {
        kernel.events.borrow_mut().schedule(at_ns, Event::Net(event));
    }

    /// Puts a segment on its way, behind all earlier ones of its direction.
    fn send(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, segment: Segment) {
        let Some(hosts) = self.get(id).map(|connection| connection.hosts) else { return };
        let latency_ns = self.draw_latency(hosts[side], hosts[1 - side]);
        let Some(connection) = self.get(id) else { return };
        let pipe = &mut connection.pipes[side];
        let at_ns = pipe.last_arrival_ns.max(kernel.now_ns() + latency_ns);
        pipe.last_arrival_ns = at_ns;
        pipe.send(segment);
        self.schedule(kernel, at_ns, NetEvent::Arrival(id, side as u8));
    }

    /// Writes from the given slices what fits into the window, as one segment.
    pub(crate) fn poll_write(
        &mut self,
        kernel: &Kernel,
        (id, side): (ConnectionId, usize),
        slices: &[io::IoSlice<'_>],
        waker: &Waker,
    ) -> Poll<io::Result<usize>> {
        let Some(connection) = self.get(id) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let count = match connection.writable(side, wanted, waker) {
            Poll::Ready(Ok(count)) => count,
            other => return other,
        };
        if count > 0 {
            let mut buffer = self.spare.pop().unwrap_or_default();
            for slice in slices {
                buffer.extend_from_slice(&slice[..slice.len().min(count - buffer.len())]);
            }
            self.send(kernel, id, side, Segment::Data(buffer));
        }
        Poll::Ready(Ok(count))
    }

    /// Reads what has arrived into `take`, at most `room` bytes; nothing at the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        kernel: &Kernel,
        (id, side): (ConnectionId, usize),
        room: usize,
        take: impl FnMut(&[u8]),
        waker: &Waker,
    ) -> Poll<io::Result<()>> {
        let slot = self.connections.get_mut(id.index as usize).filter(|c| c.generation == id.generation);
        let Some(connection) = slot else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        match connection.readable(side, waker) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        let spare = &mut self.spare;
        let pipe = &mut connection.pipes[1 - side];
        pipe.read(room, take, |mut buffer| {
            if spare.len() < SPARE_BUFFERS && buffer.capacity() <= SPARE_BUFFER_BYTES {
                buffer.clear();
                spare.push(buffer);
            }
        });
        if pipe.writer.is_some() && !pipe.window_update && pipe.free_window() > 0 {
            pipe.window_update = true;
            let hosts = connection.hosts;
            let at_ns = kernel.now_ns() + self.draw_latency(hosts[side], hosts[1 - side]);
            self.schedule(kernel, at_ns, NetEvent::WindowUpdate(id, (1 - side) as u8));
        }
        Poll::Ready(Ok(()))
    }

    /// Closes the writing half of a side.
    pub(crate) fn shut_down(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        let Some(connection) = self.get(id) else { return };
        if !connection.ends[side].failed && !std::mem::replace(&mut connection.pipes[side].fin_sent, true) {
            self.send(kernel, id, side, Segment::Fin);
        }
    }

    /// The application lets go of its end: a FIN, or a reset when it leaves bytes unread (RFC 1122, 4.2.2.13).
    pub(crate) fn close(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        let Some(connection) = self.get(id) else { return };
        if connection.pipes[1 - side].received_bytes > 0 {
            self.reset(kernel, id, side);
            return;
        }
        if connection.can_send(side) {
            self.shut_down(kernel, id, side);
        }
        if let Some(connection) = self.get(id) {
            connection.ends[side].present = false;
        }
        self.free_if_over(id);
    }

    /// A side goes away without a goodbye; the peer learns of it by a reset.
    fn reset(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        let Some(connection) = self.get(id) else { return };
        let was_failed = std::mem::replace(&mut connection.ends[side].failed, true);
        connection.ends[side].present = false;
        connection.pipes[1 - side].discard_received();
        let both_closed = connection.pipes[side].fin_sent && connection.pipes[1 - side].fin_received;
        if !was_failed && !both_closed && connection.can_send(side) {
            self.send(kernel, id, side, Segment::Reset);
        }
        self.free_if_over(id);
    }

    fn free_if_over(&mut self, id: ConnectionId) {
        let Some(connection) = self.get(id).filter(|connection| connection.is_over()) else { return };
        connection.generation = connection.generation.wrapping_add(1);
        // The slot keeps no memory of the connection.
        connection.pipes = [Pipe::default(), Pipe::default()];
        connection.connecting = None;
        self.free.push(id.index);
    }

    /// Carries out one scheduled step.
    pub(super) fn carry_out(&mut self, kernel: &Kernel, event: NetEvent) -> Wakes {
        let mut wakes = Wakes::default();
        match event {
            NetEvent::Syn(id) => self.on_syn(kernel, id, &mut wakes),
            NetEvent::SynAck(id) => self.on_syn_ack(kernel, id, &mut wakes),
            NetEvent::Refusal(id, kind) => self.on_refusal(kernel, id, kind, &mut wakes),
            NetEvent::Arrival(id, side) => self.on_arrival(kernel, id, usize::from(side), &mut wakes),
            NetEvent::WindowUpdate(id, side) => {
                if let Some(connection) = self.get(id) {
                    let pipe = &mut connection.pipes[usize::from(side)];
                    pipe.window_update = false;
                    wakes.add(pipe.writer.take());
                    self.free_if_over(id);
                }
            }
        }
        wakes
    }

    fn mark(&mut self, kernel: &Kernel, kind: &'static str, id: ConnectionId, side: usize) {
        self.arrivals += 1;
        if let Some(connection) = self.get(id) {
            let (from, to) = (connection.hosts[side], connection.hosts[1 - side]);
            kernel.mark(Mark::Delivery { kind, from, to, connection: id.index, payload: &[] });
        }
    }

    fn on_syn(&mut self, kernel: &Kernel, id: ConnectionId, wakes: &mut Wakes) {
        self.mark(kernel, "syn", id, 0);
        let Some(connection) = self.get(id) else { return };
        let ([client, server], port) = (connection.hosts, connection.addresses[1].port());
        if !connection.ends[0].present {
            connection.stage = Stage::Failed(io::ErrorKind::ConnectionAborted);
            self.free_if_over(id);
            return;
        }
        let back_ns = kernel.now_ns() + self.draw_latency(server, client);
        match self.listeners.get_mut(&(server, port)).filter(|listener| listener.queue.len() < BACKLOG) {
            Some(listener) => {
                listener.queue.push_back(id);
                wakes.add(listener.acceptor.take());
                if let Some(connection) = self.get(id) {
                    connection.ends[1].present = true;
                    connection.pipes[1].last_arrival_ns = back_ns;
                }
                self.schedule(kernel, back_ns, NetEvent::SynAck(id));
            }
            None => self.schedule(kernel, back_ns, NetEvent::Refusal(id, io::ErrorKind::ConnectionRefused)),
        }
    }

    fn on_syn_ack(&mut self, kernel: &Kernel, id: ConnectionId, wakes: &mut Wakes) {
        self.mark(kernel, "syn-ack", id, 1);
        let Some(connection) = self.get(id) else { return };
        connection.stage = Stage::Established;
        wakes.add(connection.connecting.take());
        if !connection.ends[0].present {
            connection.ends[0].failed = false;
            self.reset(kernel, id, 0);
        }
    }

    fn on_refusal(&mut self, kernel: &Kernel, id: ConnectionId, kind: io::ErrorKind, wakes: &mut Wakes) {
        self.mark(kernel, "refusal", id, 1);
        let Some(connection) = self.get(id) else { return };
        connection.stage = Stage::Failed(kind);
        wakes.add(connection.connecting.take());
        self.free_if_over(id);
    }

    fn on_arrival(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, wakes: &mut Wakes) {
        self.arrivals += 1;
        let Some(connection) = self.get(id) else { return };
        let Some(segment) = connection.pipes[side].arrive() else { return };
        let (from, to) = (connection.hosts[side], connection.hosts[1 - side]);
        let payload: &[u8] = if let Segment::Data(bytes) = &segment { bytes } else { &[] };
        kernel.mark(Mark::Delivery { kind: segment.kind(), from, to, connection: id.index, payload });
        let receiver = 1 - side;
        match segment {
            Segment::Data(bytes) if connection.ends[receiver].present => {
                connection.pipes[side].receive(bytes);
                wakes.add(connection.pipes[side].reader.take());
                return;
            }
            // Bytes for an end that is gone are answered by a reset (RFC 9293, 3.10.7.1).
            Segment::Data(_) => self.reset(kernel, id, receiver),
            Segment::Fin => {
                connection.pipes[side].fin_received = true;
                wakes.add(connection.pipes[side].reader.take());
            }
            Segment::Reset => connection.fail(receiver, wakes),
        }
        self.free_if_over(id);
    }

    /// All connections and listeners of a host die with its processes.
    pub(super) fn crash(&mut self, kernel: &Kernel, host: HostId) {
        let gone: Vec<u16> =
            self.listeners.range((host, 0)..=(host, u16::MAX)).map(|((_, port), _)| *port).collect();
        for port in gone {
            self.listeners.remove(&(host, port));
        }
        for index in 0..self.connections.len() as u32 {
            let connection = &self.connections[index as usize];
            let id = ConnectionId { index, generation: connection.generation };
            let sides = [0, 1].map(|side| connection.hosts[side] == host && connection.ends[side].present);
            for side in [0, 1] {
                if sides[side] {
                    self.reset(kernel, id, side);
                }
            }
        }
    }

    /// Forgets everything; returns the wakers to be dropped.
    pub(super) fn clear(&mut self) -> Vec<Waker> {
        let acceptors = self.listeners.values_mut().filter_map(|listener| listener.acceptor.take());
        let wakers: Vec<Waker> = acceptors.collect();
        let connections = std::mem::take(&mut self.connections);
        self.listeners.clear();
        wakers.into_iter().chain(connections.into_iter().flat_map(|mut c| c.take_wakers())).collect()
    }
}
