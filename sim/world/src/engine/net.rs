//! Ends of connections, and listeners, of whichever engine carries the world.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Engine, foreign, kernel};
use crate::common::hosts::HostId;
use crate::net::Keepalive;

fn is_foreign() -> bool {
    super::with(|world| matches!(world.engine, Engine::Foreign(_)))
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) enum TcpStream {
    Kernel(kernel::net::TcpStream),
    Foreign(Box<foreign::net::TcpStream>),
}

impl TcpStream {
    /// Connects from the current host. Dropped midway, the connection is given up.
    pub(crate) async fn connect(to: HostId, port: u16) -> io::Result<TcpStream> {
        if is_foreign() {
            let stream = foreign::net::TcpStream::connect(to, port).await?;
            return Ok(TcpStream::Foreign(Box::new(stream)));
        }
        kernel::net::TcpStream::connect(to, port).await.map(TcpStream::Kernel)
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            TcpStream::Kernel(stream) => stream.peer_addr(),
            TcpStream::Foreign(stream) => Ok(stream.peer_addr()),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            TcpStream::Kernel(stream) => stream.local_addr(),
            TcpStream::Foreign(stream) => Ok(stream.local_addr()),
        }
    }
}

impl TcpStream {
    pub(crate) fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            TcpStream::Kernel(stream) => {
                stream.set_user_timeout(timeout);
                Ok(())
            }
            TcpStream::Foreign(stream) => stream.set_user_timeout(timeout),
        }
    }

    pub(crate) fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        match self {
            TcpStream::Kernel(stream) => {
                stream.set_keepalive(keepalive);
                Ok(())
            }
            TcpStream::Foreign(stream) => stream.set_keepalive(keepalive),
        }
    }
}

/// Calls a method of `AsyncRead` or `AsyncWrite` on the engine's stream.
macro_rules! forward {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            TcpStream::Kernel(stream) => Pin::new(stream).$method($($argument),*),
            TcpStream::Foreign(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self.poll_read(context, buffer))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self.poll_shutdown(context))
    }
}

/// Accepts connections on a port of the host that bound it.
#[derive(Debug)]
pub(crate) enum TcpListener {
    Kernel(kernel::net::TcpListener),
    Foreign(Box<foreign::net::TcpListener>),
}

impl TcpListener {
    /// Listens on the current host; port 0 takes a free one.
    pub(crate) async fn bind(port: u16) -> io::Result<TcpListener> {
        if is_foreign() {
            let listener = foreign::net::TcpListener::bind(port).await?;
            return Ok(TcpListener::Foreign(Box::new(listener)));
        }
        kernel::net::TcpListener::bind(port).map(TcpListener::Kernel)
    }

    /// Waits until there is a connection to accept.
    pub(crate) async fn acceptable(&self) -> io::Result<()> {
        match self {
            TcpListener::Kernel(listener) => listener.acceptable().await,
            TcpListener::Foreign(listener) => listener.acceptable().await,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self {
            TcpListener::Kernel(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((TcpStream::Kernel(stream), peer))
            }
            TcpListener::Foreign(listener) => {
                let stream = listener.accept().await?;
                let peer = stream.peer_addr();
                Ok((TcpStream::Foreign(Box::new(stream)), peer))
            }
        }
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        match self {
            TcpListener::Kernel(listener) => listener.local_addr(),
            TcpListener::Foreign(listener) => listener.local_addr(),
        }
    }
}

/// Sends and receives datagrams.
#[derive(Debug)]
pub(crate) enum UdpSocket {
    Kernel(kernel::net::UdpSocket),
    Foreign(Box<foreign::net::UdpSocket>),
}

impl UdpSocket {
    /// Opens a socket on the current host; port 0 takes a free one.
    pub(crate) async fn bind(port: u16) -> io::Result<UdpSocket> {
        if is_foreign() {
            let socket = foreign::net::UdpSocket::bind(port).await?;
            return Ok(UdpSocket::Foreign(Box::new(socket)));
        }
        kernel::net::UdpSocket::bind(port).map(UdpSocket::Kernel)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            UdpSocket::Kernel(socket) => socket.local_addr(),
            UdpSocket::Foreign(socket) => Ok(socket.local_addr()),
        }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            UdpSocket::Kernel(socket) => socket.peer_addr(),
            UdpSocket::Foreign(socket) => socket.peer_addr(),
        }
    }

    /// From now on it sends there, and receives from there only.
    pub(crate) async fn connect(&self, to: HostId, port: u16) -> io::Result<()> {
        match self {
            UdpSocket::Kernel(socket) => socket.connect(to, port),
            UdpSocket::Foreign(socket) => socket.connect(to, port).await,
        }
    }

    pub(crate) async fn send(&self, to: Option<(HostId, u16)>, bytes: &[u8]) -> io::Result<usize> {
        match self {
            UdpSocket::Kernel(socket) => socket.send(to, bytes),
            UdpSocket::Foreign(socket) => socket.send(to, bytes).await,
        }
    }

    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            UdpSocket::Kernel(socket) => socket.receive(buffer).await,
            UdpSocket::Foreign(socket) => socket.receive(buffer).await,
        }
    }
}
