//! The network, as tokio's: streams and listeners between the hosts of a simulation.
//!
//! Addresses are `host:port`, where the host is a name or an IP address of the simulation.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use crate::engine::kernel::net::Latency;
use crate::engine::kernel::{self, hosts::HostId, hosts::Hosts, net::ConnectionId, net::ListenerId};
use crate::host::Host;

/// Sets the latency of both directions of the link between two hosts, from the next segment on.
pub fn set_latency(a: Host, b: Host, latency: &Latency) {
    kernel::with(|kernel| {
        let mut network = kernel.network.borrow_mut();
        network.set_latency(a.0, b.0, latency.clone());
        network.set_latency(b.0, a.0, latency.clone());
    });
}

fn split(address: &str) -> io::Result<(&str, u16)> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{address:?} is not an address: expected host:port"),
        )
    })
}

fn resolve(host: &str) -> io::Result<HostId> {
    kernel::with(|kernel| {
        let hosts = kernel.hosts.borrow();
        if host == "localhost" || host == "127.0.0.1" {
            return Ok(kernel.current_host());
        }
        if let Ok(ip) = host.parse::<IpAddr>() {
            let unreachable = || io::Error::new(io::ErrorKind::HostUnreachable, format!("no route to {ip}"));
            return hosts.by_ip(ip).ok_or_else(unreachable);
        }
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no host is named {host:?}"));
        hosts.find(host).ok_or_else(unknown)
    })
}

/// An ordered stream of bytes between two hosts.
///
/// Dropping it closes both halves: the peer reads to the end, or gets a reset if bytes were left unread here.
#[derive(Debug)]
pub struct TcpStream {
    id: ConnectionId,
    side: usize,
}

/// A connection that is being made; dropped midway, it is given up.
struct Connecting(Option<TcpStream>);

impl TcpStream {
    /// Connects from the current host.
    ///
    /// # Errors
    /// `InvalidInput` for what is no address, `NotFound` for an unknown name, `HostUnreachable` for an unknown
    /// IP address, `ConnectionRefused` when nobody listens there.
    pub async fn connect(address: &str) -> io::Result<TcpStream> {
        let (host, port) = split(address)?;
        let to = resolve(host)?;
        let id = kernel::with(|kernel| {
            let from = kernel.current_host();
            kernel.network.borrow_mut().connect(kernel, from, to, port)
        });
        let mut connecting = Connecting(Some(TcpStream { id, side: 0 }));
        poll_fn(|context| {
            kernel::with(|kernel| kernel.network.borrow_mut().poll_connected(id, context.waker()))
        })
        .await?;
        connecting.0.take().ok_or_else(|| io::ErrorKind::ConnectionAborted.into())
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// `NotConnected` when the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        kernel::with(|kernel| kernel.network.borrow_mut().address(self.id, 1 - self.side))
    }

    /// The address of this end.
    ///
    /// # Errors
    /// `NotConnected` when the connection is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        kernel::with(|kernel| kernel.network.borrow_mut().address(self.id, self.side))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        kernel::try_with(|kernel| kernel.network.borrow_mut().close(kernel, self.id, self.side));
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        if room == 0 {
            return Poll::Ready(Ok(()));
        }
        kernel::with(|kernel| {
            let take = |bytes: &[u8]| buffer.put_slice(bytes);
            kernel.network.borrow_mut().poll_read(kernel, (self.id, self.side), room, take, context.waker())
        })
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        kernel::with(|kernel| {
            kernel.network.borrow_mut().poll_write(kernel, (self.id, self.side), slices, context.waker())
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing is held back: every write is sent at once.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        kernel::with(|kernel| kernel.network.borrow_mut().shut_down(kernel, self.id, self.side));
        Poll::Ready(Ok(()))
    }
}

/// Accepts connections on a port of a host.
#[derive(Debug)]
pub struct TcpListener {
    id: ListenerId,
    ip: IpAddr,
}

impl TcpListener {
    /// Listens on the current host. The host part may be `0.0.0.0`, `localhost` or the host's own name or address;
    /// port 0 takes a free one.
    ///
    /// # Errors
    /// `InvalidInput` for what is no address, `AddrInUse` for a taken port, `AddrNotAvailable` for another host's
    /// address, `NotFound` for an unknown name.
    pub async fn bind(address: &str) -> io::Result<TcpListener> {
        let (host, port) = split(address)?;
        let here = kernel::with(kernel::Kernel::current_host);
        if host != "0.0.0.0" && resolve(host)? != here {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let id = kernel::with(|kernel| kernel.network.borrow_mut().bind(here, port))?;
        Ok(TcpListener { id, ip: Hosts::ip(here) })
    }

    /// The next connection, and the address of its other end.
    ///
    /// # Errors
    /// `NotConnected` when the listener is gone.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let id = poll_fn(|context| {
            kernel::with(|kernel| kernel.network.borrow_mut().poll_accept(self.id, context.waker()))
        })
        .await?;
        let stream = TcpStream { id, side: 1 };
        let peer = stream.peer_addr()?;
        Ok((stream, peer))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// None today; the signature is tokio's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(self.ip, self.id.port))
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        kernel::try_with(|kernel| kernel.network.borrow_mut().close_listener(kernel, self.id));
    }
}
