//! Sockets and datagrams: each arrives whole, or not at all, or twice, or late.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Poll, Waker};

use super::connection::os_error;
use super::link::{Gate, LinkId};
use super::{NetEvent, Network, Wakes};
use crate::common::hosts::{HostId, Hosts};
use crate::engine::kernel::fingerprint::Mark;
use crate::engine::kernel::slab::Slab;
use crate::engine::kernel::{self, Kernel};

/// The largest payload: 65 535 less the headers of IPv4 (20) and UDP (8).
const DATAGRAM_MAX: usize = 65_507;
/// What a socket holds unread (Linux: `net.core.rmem_default`); what arrives beyond that is dropped.
const RECEIVE_BUFFER: usize = 212_992;
/// What a datagram takes of that beside its bytes (Linux: the least `truesize` of a socket buffer).
const OVERHEAD: usize = 768;

/// A host and a port.
type Place = (HostId, u16);

/// A datagram on its way.
pub(crate) type DatagramId = u32;

struct Datagram {
    link: LinkId,
    from: Place,
    to: Place,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    /// Nobody listens on the port that one was sent to (ICMP, destination unreachable: port).
    Unreachable,
}

struct Socket {
    generation: u64,
    place: Place,
    peer: Option<Place>,
    received: VecDeque<(Place, Vec<u8>)>,
    received_bytes: usize,
    /// To be reported by the next call.
    error: i32,
    readers: Vec<Waker>,
}

/// A socket, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketId {
    index: u32,
    generation: u64,
}

/// All sockets, and the datagrams on their way.
#[derive(Default)]
pub(super) struct Sockets {
    sockets: Slab<Socket>,
    next_generation: u64,
    /// By host: ports, ascending, with their sockets.
    ports: Vec<Vec<(u16, u32)>>,
    datagrams: Slab<Datagram>,
}

impl Sockets {
    fn find(&self, (host, port): Place) -> Option<u32> {
        let ports = self.ports.get(host.0 as usize)?;
        ports.binary_search_by_key(&port, |entry| entry.0).ok().map(|at| ports[at].1)
    }

    fn get_mut(&mut self, id: SocketId) -> io::Result<&mut Socket> {
        let found = self.sockets.get_mut(id.index).filter(|socket| socket.generation == id.generation);
        found.ok_or_else(|| os_error(libc::EBADF))
    }

    fn insert(&mut self, place: Place) -> SocketId {
        let generation = self.next_generation;
        self.next_generation += 1;
        let index = self.sockets.insert(Socket {
            generation,
            place,
            peer: None,
            received: VecDeque::new(),
            received_bytes: 0,
            error: 0,
            readers: Vec::new(),
        });
        let row = place.0.0 as usize;
        if self.ports.len() <= row {
            self.ports.resize_with(row + 1, Vec::new);
        }
        let at = self.ports[row].partition_point(|entry| entry.0 < place.1);
        self.ports[row].insert(at, (place.1, index));
        SocketId { index, generation }
    }

    fn remove(&mut self, id: SocketId) {
        let Ok(socket) = self.get_mut(id) else { return };
        let (host, port) = socket.place;
        self.ports[host.0 as usize].retain(|entry| entry.0 != port);
        self.sockets.remove(id.index);
    }

    pub(super) fn clear(&mut self) -> Vec<Waker> {
        let indices: Vec<u32> = self.sockets.iter().map(|(index, _)| index).collect();
        let sockets = indices.into_iter().filter_map(|index| self.sockets.remove(index));
        let wakers = sockets.flat_map(|socket| socket.readers).collect();
        *self = Sockets::default();
        wakers
    }
}

impl Network {
    /// Opens a socket; port 0 takes a free one.
    fn open_socket(&mut self, host: HostId, port: u16) -> io::Result<SocketId> {
        let port = match port {
            0 => self.free_port(|network, port| network.sockets.find((host, port)).is_some())?,
            port => port,
        };
        if self.sockets.find((host, port)).is_some() {
            return Err(os_error(libc::EADDRINUSE));
        }
        Ok(self.sockets.insert((host, port)))
    }

    /// The sockets of a host are gone, with its processes.
    pub(super) fn forget_sockets(&mut self, host: HostId) {
        let Some(ports) = self.sockets.ports.get_mut(host.0 as usize) else { return };
        for (_, index) in std::mem::take(ports) {
            self.sockets.sockets.remove(index);
        }
    }

    fn send_datagram(
        &mut self,
        kernel: &Kernel,
        id: SocketId,
        to: Option<Place>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let socket = self.sockets.get_mut(id)?;
        let error = std::mem::take(&mut socket.error);
        if error != 0 {
            return Err(os_error(error));
        }
        let Some(to) = to.or(socket.peer) else { return Err(os_error(libc::EDESTADDRREQ)) };
        if bytes.len() > DATAGRAM_MAX {
            return Err(os_error(libc::EMSGSIZE));
        }
        let from = socket.place;
        self.dispatch(kernel, from, to, bytes.len(), || Content::Bytes(bytes.to_vec()));
        Ok(bytes.len())
    }

    fn dispatch(
        &mut self,
        kernel: &Kernel,
        from: Place,
        to: Place,
        length: usize,
        content: impl Fn() -> Content,
    ) {
        let link = self.links.between(from.0, to.0);
        let arrivals = self.links.pass_datagram(link, length, kernel.now_ns());
        if arrivals == [None, None] {
            Network::mark_datagram(kernel, "datagram lost", from, to, &[]);
        }
        for at_ns in arrivals.into_iter().flatten() {
            let datagram = self.sockets.datagrams.insert(Datagram { link, from, to, content: content() });
            self.schedule(kernel, at_ns, NetEvent::Datagram(datagram));
        }
    }

    fn mark_datagram(kernel: &Kernel, kind: &'static str, from: Place, to: Place, payload: &[u8]) {
        let ports = u32::from(from.1) << 16 | u32::from(to.1);
        kernel.mark(Mark::Delivery { kind, from: from.0, to: to.0, connection: ports, payload });
    }

    pub(super) fn on_datagram(&mut self, kernel: &Kernel, id: DatagramId, wakes: &mut Wakes) {
        let Some(link) = self.sockets.datagrams.get(id).map(|datagram| datagram.link) else { return };
        let gate = self.gate(link, NetEvent::Datagram(id));
        if gate == Gate::Held {
            return;
        }
        let Some(Datagram { from, to, content, .. }) = self.sockets.datagrams.remove(id) else { return };
        if gate == Gate::Cut || !self.is_powered(to.0) {
            return Network::mark_datagram(kernel, "datagram lost", from, to, &[]);
        }
        self.arrivals += 1;
        self.links.count(link, if let Content::Bytes(bytes) = &content { bytes.len() } else { 0 });
        let socket = self.sockets.find(to).and_then(|index| self.sockets.sockets.get_mut(index));
        match (content, socket) {
            (Content::Unreachable, socket) => {
                Network::mark_datagram(kernel, "unreachable", from, to, &[]);
                // Only a connected socket is told (Linux, udp(7)).
                if let Some(socket) = socket.filter(|socket| socket.peer == Some(from)) {
                    socket.error = libc::ECONNREFUSED;
                    socket.readers.drain(..).for_each(|waker| wakes.add(Some(waker)));
                }
            }
            (Content::Bytes(_), None) => {
                Network::mark_datagram(kernel, "datagram refused", from, to, &[]);
                self.dispatch(kernel, to, from, 0, || Content::Unreachable);
            }
            (Content::Bytes(bytes), Some(socket)) => {
                let room = RECEIVE_BUFFER.saturating_sub(socket.received_bytes);
                if socket.peer.is_some_and(|peer| peer != from) || bytes.len() + OVERHEAD > room {
                    return Network::mark_datagram(kernel, "datagram dropped", from, to, &[]);
                }
                Network::mark_datagram(kernel, "datagram", from, to, &bytes);
                socket.received_bytes += bytes.len() + OVERHEAD;
                socket.received.push_back((from, bytes));
                socket.readers.drain(..).for_each(|waker| wakes.add(Some(waker)));
            }
        }
    }

    /// The next datagram goes into `take`, as much of it as there is room for; the rest of it is lost.
    fn poll_receive(
        &mut self,
        id: SocketId,
        mut take: impl FnMut(&[u8]) -> usize,
        waker: &Waker,
    ) -> Poll<io::Result<(usize, Place)>> {
        let socket = match self.sockets.get_mut(id) {
            Ok(socket) => socket,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let error = std::mem::take(&mut socket.error);
        if error != 0 {
            return Poll::Ready(Err(os_error(error)));
        }
        let Some((from, bytes)) = socket.received.pop_front() else {
            if !socket.readers.iter().any(|reader| reader.will_wake(waker)) {
                socket.readers.push(waker.clone());
            }
            return Poll::Pending;
        };
        socket.received_bytes -= bytes.len() + OVERHEAD;
        if socket.received.is_empty() {
            socket.received.shrink_to(16);
        }
        Poll::Ready(Ok((take(&bytes), from)))
    }
}

/// A socket as its application holds it.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    id: SocketId,
}

fn address((host, port): Place) -> SocketAddr {
    SocketAddr::new(Hosts::ip(host), port)
}

impl UdpSocket {
    /// Opens a socket on the current host; port 0 takes a free one.
    pub(crate) fn bind(port: u16) -> io::Result<UdpSocket> {
        let id = kernel::with(|kernel| {
            kernel.network.borrow_mut().open_socket(kernel.common.current_host(), port)
        })?;
        Ok(UdpSocket { id })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Socket) -> R) -> io::Result<R> {
        kernel::with(|kernel| kernel.network.borrow_mut().sockets.get_mut(self.id).map(f))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with(|socket| address(socket.place))
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.with(|socket| socket.peer)?.map(address).ok_or_else(|| os_error(libc::ENOTCONN))
    }

    /// From now on it sends there, and receives from there only.
    pub(crate) fn connect(&self, to: HostId, port: u16) -> io::Result<()> {
        self.with(|socket| socket.peer = Some((to, port)))
    }

    pub(crate) fn send(&self, to: Option<(HostId, u16)>, bytes: &[u8]) -> io::Result<usize> {
        kernel::with(|kernel| kernel.network.borrow_mut().send_datagram(kernel, self.id, to, bytes))
    }

    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, from) = poll_fn(|context| {
            kernel::with(|kernel| {
                let take = |bytes: &[u8]| {
                    let count = bytes.len().min(buffer.len());
                    buffer[..count].copy_from_slice(&bytes[..count]);
                    count
                };
                kernel.network.borrow_mut().poll_receive(self.id, take, context.waker())
            })
        })
        .await?;
        Ok((count, address(from)))
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        kernel::try_with(|kernel| kernel.network.borrow_mut().sockets.remove(self.id));
    }
}
