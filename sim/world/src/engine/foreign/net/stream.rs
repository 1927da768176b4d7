//! One end of a connection.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
#[cfg(madsim)]
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpSocket;

use super::{Counted, address, kind, on_tokio};
use crate::common::hosts::HostId;
use crate::engine::foreign;
use crate::engine::sleep::Sleep;
use crate::engines::EngineKind;
use crate::net::Keepalive;

/// Bytes of one write at most: these engines make one message of it.
const WRITE_MAX: usize = 64 * 1024;

pub(super) enum Native {
    Turmoil(turmoil::net::TcpStream),
    /// Behind a lock that is never taken, since it cannot be shared.
    #[cfg(madsim)]
    Madsim(Mutex<madsim::net::TcpStream>),
    Tokio(tokio::net::TcpStream),
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Native")
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct TcpStream {
    native: Native,
    counted: Counted,
    local: SocketAddr,
    peer: SocketAddr,
    shut_down: bool,
}

impl TcpStream {
    pub(super) fn new(native: Native, local: SocketAddr, peer: SocketAddr) -> TcpStream {
        TcpStream { native, counted: Counted::new(), local, peer, shut_down: false }
    }

    /// Connects from the current host.
    pub(crate) async fn connect(to: HostId, port: u16) -> io::Result<TcpStream> {
        let peer = address(to, port);
        let stream = match kind() {
            EngineKind::Turmoil => {
                settled().await;
                let native = turmoil::net::TcpStream::connect(peer).await?;
                let local = native.local_addr()?;
                TcpStream::new(Native::Turmoil(native), local, peer)
            }
            #[cfg(madsim)]
            EngineKind::Madsim => {
                let native = madsim::net::TcpStream::connect(peer).await?;
                let local = native.local_addr()?;
                TcpStream::new(Native::Madsim(Mutex::new(native)), local, peer)
            }
            _ => {
                let native = connect_really(to, port).await?;
                let (local, peer) = (native.local_addr()?, native.peer_addr()?);
                let (local, peer) = on_tokio(|tokio| (tokio.world(local), tokio.world(peer)));
                TcpStream::new(Native::Tokio(native), local, peer)
            }
        };
        foreign::with(|foreign| stream.counted.note(foreign, "connected", peer.to_string().as_bytes()));
        Ok(stream)
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.native {
            Native::Tokio(stream) => socket2::SockRef::from(stream).set_tcp_user_timeout(timeout),
            _ => Err(unsupported("a user timeout")),
        }
    }

    pub(crate) fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        let Native::Tokio(stream) = &self.native else { return Err(unsupported("keepalive")) };
        let socket = socket2::SockRef::from(stream);
        let Some(keepalive) = keepalive else { return socket.set_keepalive(false) };
        let parameters = socket2::TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.probes);
        socket.set_tcp_keepalive(&parameters)
    }

    fn poll_write_native(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.native {
            Native::Turmoil(stream) => Pin::new(stream).poll_write(context, bytes),
            #[cfg(madsim)]
            Native::Madsim(stream) => {
                let stream = stream.get_mut().unwrap_or_else(PoisonError::into_inner);
                let written = ready!(Pin::new(&mut *stream).poll_write(context, bytes))?;
                // Sent at once, as by any other: what waits for a flush might wait for ever. And only here, since
                // madsim makes a message of every flush, even of nothing, each a millisecond long.
                ready!(Pin::new(stream).poll_flush(context)).map_err(|_| io::ErrorKind::BrokenPipe)?;
                Poll::Ready(Ok(written))
            }
            Native::Tokio(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }
}

/// Until turmoil knows all hosts: it refuses connections to others.
async fn settled() {
    while !foreign::with(|foreign| foreign.native().is_settled()) {
        let next_tick_ns = foreign::with(|foreign| foreign.now_ns()) + 1;
        Sleep::until(next_tick_ns).await;
    }
}

async fn connect_really(to: HostId, port: u16) -> io::Result<tokio::net::TcpStream> {
    let here = foreign::with(|foreign| foreign.common.current_host());
    let (from, to) = on_tokio(|tokio| (tokio.real(here, 0), tokio.real(to, port)));
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn unsupported(what: &str) -> io::Error {
    let engine = kind();
    io::Error::new(io::ErrorKind::Unsupported, format!("the engine {engine} cannot give {what}"))
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let this = &mut *self;
        ready!(match &mut this.native {
            Native::Turmoil(stream) => Pin::new(stream).poll_read(context, buffer),
            #[cfg(madsim)]
            Native::Madsim(stream) => {
                Pin::new(stream.get_mut().unwrap_or_else(PoisonError::into_inner)).poll_read(context, buffer)
            }
            Native::Tokio(stream) => Pin::new(stream).poll_read(context, buffer),
        })?;
        let read = &buffer.filled()[before..];
        foreign::with(|foreign| {
            this.counted.note(foreign, "read", read);
            if !read.is_empty() {
                foreign.count_message();
            }
        });
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.shut_down {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let bytes = &bytes[..bytes.len().min(WRITE_MAX)];
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let written = ready!(self.poll_write_native(context, bytes))?;
        foreign::with(|foreign| self.counted.note(foreign, "write", &bytes[..written]));
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut slices = slices.iter().filter(|slice| !slice.is_empty());
        let (Some(first), second) = (slices.next(), slices.next()) else { return Poll::Ready(Ok(0)) };
        let Some(second) = second else { return self.poll_write(context, first) };
        let mut bytes = [&first[..], second].concat();
        for slice in slices.take_while(|slice| slice.len() < WRITE_MAX) {
            bytes.extend_from_slice(slice);
        }
        self.poll_write(context, &bytes)
    }

    /// Nothing is held back: every write is sent at once.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.shut_down, true) {
            return Poll::Ready(Ok(()));
        }
        foreign::with(|foreign| self.counted.note(foreign, "shutdown", &[]));
        // A connection that is gone is shut down; neither does the kernel's complain.
        drop(match &mut self.native {
            Native::Turmoil(stream) => Pin::new(stream).poll_shutdown(context),
            #[cfg(madsim)]
            Native::Madsim(stream) => {
                Pin::new(stream.get_mut().unwrap_or_else(PoisonError::into_inner)).poll_shutdown(context)
            }
            Native::Tokio(stream) => Pin::new(stream).poll_shutdown(context),
        });
        Poll::Ready(Ok(()))
    }
}
