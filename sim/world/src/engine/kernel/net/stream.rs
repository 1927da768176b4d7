//! What applications hold: ends of connections, and listeners.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ConnectionId, ListenerId};
use crate::common::hosts::{HostId, Hosts};
use crate::engine::kernel;
use crate::net::Keepalive;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct TcpStream {
    id: ConnectionId,
    side: usize,
}

impl TcpStream {
    /// Connects from the current host. Dropped midway, the connection is given up.
    pub(crate) async fn connect(to: HostId, port: u16) -> io::Result<TcpStream> {
        let id = kernel::with(|kernel| {
            let from = kernel.common.current_host();
            kernel.network.borrow_mut().connect(kernel, from, to, port)
        });
        let stream = TcpStream { id, side: 0 };
        poll_fn(|context| {
            kernel::with(|kernel| kernel.network.borrow_mut().poll_connected(id, context.waker()))
        })
        .await?;
        Ok(stream)
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        kernel::with(|kernel| kernel.network.borrow_mut().address(self.id, 1 - self.side))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        kernel::with(|kernel| kernel.network.borrow_mut().address(self.id, self.side))
    }

    pub(crate) fn set_user_timeout(&self, timeout: Option<Duration>) {
        kernel::with(|kernel| {
            kernel.network.borrow_mut().set_user_timeout(kernel, (self.id, self.side), timeout);
        });
    }

    pub(crate) fn set_keepalive(&self, keepalive: Option<Keepalive>) {
        kernel::with(|kernel| {
            kernel.network.borrow_mut().set_keepalive(kernel, (self.id, self.side), keepalive);
        });
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

/// Accepts connections on a port of the host that bound it.
#[derive(Debug)]
pub(crate) struct TcpListener {
    id: ListenerId,
}

impl TcpListener {
    /// Listens on the current host; port 0 takes a free one.
    pub(crate) fn bind(port: u16) -> io::Result<TcpListener> {
        let id = kernel::with(|kernel| {
            let host = kernel.common.current_host();
            kernel.network.borrow_mut().bind(host, port)
        })?;
        Ok(TcpListener { id })
    }

    /// Waits until there is a connection to accept.
    pub(crate) async fn acceptable(&self) -> io::Result<()> {
        poll_fn(|context| {
            kernel::with(|kernel| kernel.network.borrow_mut().poll_acceptable(self.id, context.waker()))
        })
        .await
    }

    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let id = poll_fn(|context| {
            kernel::with(|kernel| kernel.network.borrow_mut().poll_accept(self.id, context.waker()))
        })
        .await?;
        let stream = TcpStream { id, side: 1 };
        let peer = stream.peer_addr()?;
        Ok((stream, peer))
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        SocketAddr::new(Hosts::ip(self.id.host), self.id.port)
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        kernel::try_with(|kernel| kernel.network.borrow_mut().close_listener(kernel, self.id));
    }
}
