//! Datagrams.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use super::{Counted, address, kind, on_tokio};
use crate::common::hosts::HostId;
use crate::engine::foreign;
use crate::engines::EngineKind;

enum Native {
    Turmoil(turmoil::net::UdpSocket),
    #[cfg(madsim)]
    Madsim(madsim::net::UdpSocket),
    Tokio(tokio::net::UdpSocket),
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Native")
    }
}

/// The largest payload: 65 535 less the headers of IPv4 (20) and UDP (8).
const DATAGRAM_MAX: usize = 65_507;

/// A socket as its application holds it.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    native: Native,
    counted: Counted,
    local: SocketAddr,
    /// Kept here: turmoil and madsim receive from anybody all the same.
    peer: Mutex<Option<(HostId, u16)>>,
}

impl UdpSocket {
    /// Opens a socket on the current host; port 0 takes a free one.
    pub(crate) async fn bind(port: u16) -> io::Result<UdpSocket> {
        let counted = Counted::new();
        let (native, port) = match kind() {
            EngineKind::Turmoil => {
                let socket = turmoil::net::UdpSocket::bind(("0.0.0.0", port)).await?;
                let port = socket.local_addr()?.port();
                (Native::Turmoil(socket), port)
            }
            #[cfg(madsim)]
            EngineKind::Madsim => {
                let socket = madsim::net::UdpSocket::bind(address(counted.host, port)).await?;
                let port = socket.local_addr()?.port();
                (Native::Madsim(socket), port)
            }
            _ => {
                let real = on_tokio(|tokio| tokio.real(counted.host, port));
                let socket = tokio::net::UdpSocket::bind(real).await?;
                let real = socket.local_addr()?;
                (Native::Tokio(socket), on_tokio(|tokio| tokio.world(real)).port())
            }
        };
        let local = address(counted.host, port);
        foreign::with(|foreign| counted.note(foreign, "udp bind", local.to_string().as_bytes()));
        Ok(UdpSocket { native, counted, local, peer: Mutex::default() })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer(&self) -> Option<(HostId, u16)> {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        let peer = self.peer().map(|(host, port)| address(host, port));
        peer.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTCONN))
    }

    /// From now on it sends there, and receives from there only.
    pub(crate) async fn connect(&self, to: HostId, port: u16) -> io::Result<()> {
        if let Native::Tokio(socket) = &self.native {
            socket.connect(on_tokio(|tokio| tokio.real(to, port))).await?;
        }
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = Some((to, port));
        Ok(())
    }

    pub(crate) async fn send(&self, to: Option<(HostId, u16)>, bytes: &[u8]) -> io::Result<usize> {
        let (host, port) =
            to.or(self.peer()).ok_or_else(|| io::Error::from_raw_os_error(libc::EDESTADDRREQ))?;
        if bytes.len() > DATAGRAM_MAX {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        foreign::with(|foreign| self.counted.note(foreign, "udp send", bytes));
        match &self.native {
            Native::Turmoil(socket) => socket.send_to(bytes, address(host, port)).await,
            #[cfg(madsim)]
            Native::Madsim(socket) => {
                socket.send_to(address(host, port), bytes).await?;
                Ok(bytes.len())
            }
            Native::Tokio(socket) if to.is_none() => socket.send(bytes).await,
            Native::Tokio(socket) => socket.send_to(bytes, on_tokio(|tokio| tokio.real(host, port))).await,
        }
    }

    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let (count, from) = match &self.native {
                Native::Turmoil(socket) => socket.recv_from(buffer).await?,
                #[cfg(madsim)]
                Native::Madsim(socket) => socket.recv_from(buffer).await?,
                Native::Tokio(socket) => {
                    let (count, from) = socket.recv_from(buffer).await?;
                    (count, on_tokio(|tokio| tokio.world(from)))
                }
            };
            if self.peer().is_some_and(|(host, port)| address(host, port) != from) {
                continue;
            }
            foreign::with(|foreign| {
                self.counted.note(foreign, "udp receive", &buffer[..count]);
                foreign.count_message();
            });
            return Ok((count, from));
        }
    }
}
