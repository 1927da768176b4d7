//! Datagrams.

use std::io;
use std::net::SocketAddr;

use super::{own_port, resolve, split};
use crate::engine;
use crate::limits::{self, Descriptor};

/// What names a port of a host: `"host:port"`, or a socket address.
pub trait ToAddress {
    /// The address that it names.
    ///
    /// # Errors
    /// `InvalidInput` for what is no address, `NotFound` for an unknown name, `HostUnreachable` for an unknown IP
    /// address.
    fn to_address(&self) -> io::Result<SocketAddr>;
}

impl ToAddress for str {
    fn to_address(&self) -> io::Result<SocketAddr> {
        let (host, port) = split(self)?;
        Ok(SocketAddr::new(crate::host::Host(resolve(host)?).ip(), port))
    }
}

impl ToAddress for String {
    fn to_address(&self) -> io::Result<SocketAddr> {
        self.as_str().to_address()
    }
}

impl ToAddress for SocketAddr {
    fn to_address(&self) -> io::Result<SocketAddr> {
        Ok(*self)
    }
}

impl<A: ToAddress + ?Sized> ToAddress for &A {
    fn to_address(&self) -> io::Result<SocketAddr> {
        (**self).to_address()
    }
}

/// Sends and receives datagrams, as tokio's `UdpSocket`.
///
/// A datagram arrives whole or not at all. On links without impairments they arrive in order; what is lost,
/// duplicated or overtaken is up to [`Impairment`](super::Impairment)s and to
/// [`LinkProfile::loss`](super::LinkProfile). One that finds the receiver's buffer (208 KiB, of which it takes its
/// length and 768 bytes) full is dropped, as is one that finds more than 1 MiB queued before a link. There is no
/// broadcast and no multicast.
#[derive(Debug)]
pub struct UdpSocket(engine::net::UdpSocket, #[expect(dead_code, reason = "held")] Descriptor);

impl UdpSocket {
    /// Opens a socket on the current host. The host part may be `0.0.0.0`, `localhost` or the host's own name or
    /// address; port 0 takes a free one.
    ///
    /// # Errors
    /// `InvalidInput` for what is no address, `AddrInUse` for a taken port, `AddrNotAvailable` for another host's
    /// address, `NotFound` for an unknown name, `EMFILE` at the limit of open files.
    pub async fn bind(address: &str) -> io::Result<UdpSocket> {
        let port = own_port(address)?;
        let descriptor = limits::open()?;
        Ok(UdpSocket(engine::net::UdpSocket::bind(port).await?, descriptor))
    }

    /// The address of this socket.
    ///
    /// # Errors
    /// Of the operating system (`EBADF`) when the host has crashed since.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The address that the socket is connected to.
    ///
    /// # Errors
    /// `NotConnected` when it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// From now on [`UdpSocket::send`] sends there, and what comes from elsewhere is not received. If nobody listens
    /// there, a later call fails with `ConnectionRefused`.
    ///
    /// # Errors
    /// As [`ToAddress::to_address`].
    pub async fn connect(&self, target: impl ToAddress) -> io::Result<()> {
        let target = target.to_address()?;
        self.0.connect(resolve(&target.ip().to_string())?, target.port()).await
    }

    /// Sends a datagram to where the socket is connected to; returns its length.
    ///
    /// # Errors
    /// `EDESTADDRREQ` when it is not connected, `EMSGSIZE` for more than 65 507 bytes, `ConnectionRefused` when an
    /// earlier one found nobody.
    pub async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        self.0.send(None, datagram).await
    }

    /// Sends a datagram; returns its length.
    ///
    /// # Errors
    /// As [`ToAddress::to_address`] and [`UdpSocket::send`].
    pub async fn send_to(&self, datagram: &[u8], target: impl ToAddress) -> io::Result<usize> {
        let target = target.to_address()?;
        self.0.send(Some((resolve(&target.ip().to_string())?, target.port())), datagram).await
    }

    /// Waits for a datagram; returns how much of it went into the buffer. What does not fit is lost.
    ///
    /// # Errors
    /// `ConnectionRefused` when the socket is connected and nobody listens there.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive(buffer).await.map(|(count, _)| count)
    }

    /// As [`UdpSocket::recv`], and says who sent it.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.receive(buffer).await
    }
}
