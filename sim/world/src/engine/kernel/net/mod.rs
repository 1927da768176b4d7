//! The network: links between hosts, and the TCP and UDP that run on them.
//!
//! | file | holds |
//! | --- | --- |
//! | `latency` | distributions of latency |
//! | `link` | links: profile by placement, what passes and when |
//! | `impair` | impairments that lie on links |
//! | `connection` | a connection: its ends, its pipes, what is on its way |
//! | `handshake` | listeners, connecting |
//! | `transfer` | segments, reading, writing, closing, resets |
//! | `recovery` | acknowledgements, retransmission, giving up |
//! | `keepalive` | user timeout and keepalive |
//! | `faults` | kill, power, impairing and healing, reset storms |
//! | `udp` | sockets and datagrams |
//! | `stream` | what applications hold |
//!
//! A segment that nothing happens to is one event, its arrival. All else costs only where something is wrong.
//! Deviations from a real TCP are listed in `tcp.md` of the facade.

mod connection;
mod faults;
mod handshake;
mod impair;
mod keepalive;
mod latency;
mod link;
mod recovery;
mod stream;
mod transfer;
mod udp;

use std::collections::BTreeMap;
use std::io;
use std::task::Waker;

use self::connection::Connections;
use self::handshake::Listener;
pub use self::latency::Latency;
use self::link::{Gate, LinkId, Links};
pub(crate) use self::stream::{TcpListener, TcpStream};
use self::transfer::Spare;
pub(crate) use self::udp::UdpSocket;
use self::udp::{DatagramId, Sockets};
use super::Kernel;
use super::fingerprint::Mark;
use crate::choice::Source;
use crate::common::hosts::HostId;
use crate::net::{LinkProfile, Placement, Traffic};

/// What the network draws from.
type Random = Source;

/// Ports below are for services.
const FIRST_EPHEMERAL_PORT: u16 = 32_768;

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
    port: u16,
    generation: u64,
}

/// A scheduled step of the network. A side is the one that sent it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NetEvent {
    /// The request to connect reaches the server's host.
    Syn(ConnectionId),
    /// The server's consent reaches the client.
    SynAck(ConnectionId),
    /// The refusal reaches the client.
    Refusal(ConnectionId),
    /// The client has had no answer.
    SynTimer(ConnectionId),
    /// The segment of this number reaches the other side.
    Arrival(ConnectionId, u8, u32),
    /// News of free window reaches this side, the writer.
    WindowUpdate(ConnectionId, u8),
    /// The acknowledgement of this number reaches this side, the writer.
    Acknowledgement(ConnectionId, u8, u32),
    /// This side, the writer, has had no acknowledgement.
    RetransmitTimer(ConnectionId, u8),
    /// This side may have heard nothing for long; with the number of the setting.
    Keepalive(ConnectionId, u8, u32),
    /// A question whether anybody is there reaches the other side.
    Probe(ConnectionId, u8),
    /// The answer reaches the other side.
    ProbeAnswer(ConnectionId, u8),
    /// A reset reaches the other side.
    Reset(ConnectionId, u8),
    /// A datagram arrives.
    Datagram(DatagramId),
}

/// Wakers to be called once the network is no longer borrowed. Hardly ever more than one.
#[derive(Default)]
pub(crate) struct Wakes {
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakes {
    #[inline]
    fn add(&mut self, waker: Option<Waker>) {
        match waker {
            Some(waker) if self.first.is_some() => self.more.push(waker),
            Some(waker) => self.first = Some(waker),
            None => {}
        }
    }

    #[inline]
    pub(crate) fn wake_all(self) {
        if let Some(first) = self.first {
            first.wake();
        }
        for waker in self.more {
            waker.wake();
        }
    }
}

fn store(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(current) if current.will_wake(waker) => {}
        _ => *slot = Some(waker.clone()),
    }
}

/// All network state of a simulation.
pub(crate) struct Network {
    links: Links,
    connections: Connections,
    listeners: BTreeMap<(HostId, u16), Listener>,
    next_listener: u64,
    sockets: Sockets,
    next_port: u16,
    /// Arrivals that wait on held links, in order.
    held: Vec<(LinkId, NetEvent)>,
    /// By host: has it lost power?
    without_power: Vec<bool>,
    spare: Spare,
    arrivals: u64,
}

impl Network {
    pub(super) fn new(random: Random, default_latency: Latency) -> Network {
        Network {
            links: Links::new(random, default_latency),
            connections: Connections::default(),
            listeners: BTreeMap::new(),
            next_listener: 0,
            sockets: Sockets::default(),
            next_port: FIRST_EPHEMERAL_PORT,
            held: Vec::new(),
            without_power: Vec::new(),
            spare: Spare::default(),
            arrivals: 0,
        }
    }

    /// Segments, datagrams and handshake steps that have arrived so far.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// What has been delivered, by hosts.
    pub(crate) fn traffic(&self) -> impl Iterator<Item = Traffic> {
        self.links.traffic()
    }

    pub(crate) fn set_latency(&mut self, from: HostId, to: HostId, latency: Latency) {
        self.links.set_latency(from, to, latency);
    }

    pub(crate) fn set_link(&mut self, from: HostId, to: HostId, profile: &LinkProfile) {
        self.links.set_profile(from, to, profile.clone());
    }

    pub(crate) fn place(&mut self, host: HostId, placement: Placement) {
        self.links.place(host, placement);
    }

    fn ephemeral_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
        port
    }

    /// The next port that is not taken.
    fn free_port(&mut self, is_taken: impl Fn(&Network, u16) -> bool) -> io::Result<u16> {
        for _ in FIRST_EPHEMERAL_PORT..=u16::MAX {
            let port = self.ephemeral_port();
            if !is_taken(self, port) {
                return Ok(port);
            }
        }
        Err(connection::os_error(libc::EADDRINUSE))
    }

    fn schedule(&self, kernel: &Kernel, at_ns: u64, event: NetEvent) {
        kernel.events.borrow_mut().schedule(at_ns, event);
    }

    /// What becomes of an arrival on this link; on a held one it waits from now on.
    fn gate(&mut self, link: LinkId, event: NetEvent) -> Gate {
        let gate = self.links.gate(link);
        if gate == Gate::Held {
            self.hold(link, event);
        }
        gate
    }

    fn hold(&mut self, link: LinkId, event: NetEvent) {
        self.held.push((link, event));
    }

    /// Carries out one scheduled step.
    pub(super) fn carry_out(&mut self, kernel: &Kernel, event: NetEvent) -> Wakes {
        let mut wakes = Wakes::default();
        match event {
            NetEvent::Arrival(id, side, number) => {
                self.on_arrival(kernel, (id, usize::from(side), number), &mut wakes);
            }
            NetEvent::Syn(id) => self.on_syn(kernel, id),
            NetEvent::SynAck(id) => self.on_syn_ack(kernel, id, &mut wakes),
            NetEvent::Refusal(id) => self.on_refusal(kernel, id, &mut wakes),
            NetEvent::SynTimer(id) => self.on_syn_timer(kernel, id, &mut wakes),
            NetEvent::WindowUpdate(id, side) => {
                self.on_window_update(kernel, id, usize::from(side), &mut wakes);
            }
            NetEvent::Acknowledgement(id, side, number) => {
                self.on_acknowledgement(kernel, (id, usize::from(side), number), &mut wakes);
            }
            NetEvent::RetransmitTimer(id, side) => {
                self.on_retransmit_timer(kernel, id, usize::from(side), &mut wakes);
            }
            NetEvent::Keepalive(id, side, epoch) => {
                self.on_keepalive(kernel, (id, usize::from(side), epoch), &mut wakes);
            }
            NetEvent::Probe(id, side) => self.on_probe(kernel, id, usize::from(side)),
            NetEvent::ProbeAnswer(id, side) => self.on_probe_answer(kernel, id, usize::from(side)),
            NetEvent::Reset(id, side) => self.on_reset(kernel, id, usize::from(side), &mut wakes),
            NetEvent::Datagram(id) => self.on_datagram(kernel, id, &mut wakes),
        }
        wakes
    }

    /// Puts what has happened to something that `side` sent into the fingerprint.
    fn mark(&mut self, kernel: &Kernel, kind: &'static str, id: ConnectionId, side: usize) {
        if let Some(connection) = self.connections.get_mut(id) {
            let (from, to) = (connection.hosts[side], connection.hosts[1 - side]);
            kernel.mark(Mark::Delivery { kind, from, to, connection: id.index, payload: &[] });
        }
    }

    /// As [`Network::mark`], for what has arrived.
    fn arrived(&mut self, kernel: &Kernel, kind: &'static str, id: ConnectionId, side: usize) {
        self.arrivals += 1;
        if let Some(connection) = self.connections.get_mut(id) {
            self.links.count(connection.links[side], 0);
        }
        self.mark(kernel, kind, id, side);
    }

    /// Forgets everything; returns the wakers to be dropped.
    pub(super) fn clear(&mut self) -> Vec<Waker> {
        let acceptors = self.listeners.values_mut().filter_map(|listener| listener.acceptor.take());
        let mut wakers: Vec<Waker> = acceptors.collect();
        self.listeners.clear();
        self.held.clear();
        wakers
            .extend(self.connections.take_all().into_iter().flat_map(|connection| connection.take_wakers()));
        wakers.extend(self.sockets.clear());
        wakers
    }
}
