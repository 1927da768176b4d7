//! Listeners.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use tokio::net::TcpSocket;

use super::stream::Native as NativeStream;
use super::{Counted, TcpStream, address, kind, on_tokio};
use crate::engine::foreign;
use crate::engines::EngineKind;

/// Connections that may wait to be accepted; the kernel's.
const BACKLOG: u32 = 4096;

enum Native {
    Turmoil(turmoil::net::TcpListener),
    #[cfg(madsim)]
    Madsim(madsim::net::TcpListener),
    Tokio(tokio::net::TcpListener),
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Native")
    }
}

/// Accepts connections on a port of the host that bound it.
#[derive(Debug)]
pub(crate) struct TcpListener {
    native: Native,
    counted: Counted,
    local: SocketAddr,
    /// Taken from the engine, and not yet accepted.
    accepted: Mutex<Option<TcpStream>>,
}

impl TcpListener {
    /// Listens on the current host; port 0 takes a free one.
    pub(crate) async fn bind(port: u16) -> io::Result<TcpListener> {
        let counted = Counted::new();
        let (native, local) = match kind() {
            EngineKind::Turmoil => {
                let listener = turmoil::net::TcpListener::bind(("0.0.0.0", port)).await?;
                let port = listener.local_addr()?.port();
                (Native::Turmoil(listener), address(counted.host, port))
            }
            #[cfg(madsim)]
            EngineKind::Madsim => {
                let listener = madsim::net::TcpListener::bind(address(counted.host, port)).await?;
                let port = listener.local_addr()?.port();
                (Native::Madsim(listener), address(counted.host, port))
            }
            _ => {
                let socket = TcpSocket::new_v4()?;
                socket.set_reuseaddr(true)?;
                socket.bind(on_tokio(|tokio| tokio.real(counted.host, port)))?;
                let listener = socket.listen(BACKLOG)?;
                let real = listener.local_addr()?;
                (Native::Tokio(listener), on_tokio(|tokio| tokio.world(real)))
            }
        };
        foreign::with(|foreign| counted.note(foreign, "listen", local.to_string().as_bytes()));
        Ok(TcpListener { native, counted, local, accepted: Mutex::default() })
    }

    /// Waits until there is a connection to accept.
    pub(crate) async fn acceptable(&self) -> io::Result<()> {
        if self.accepted.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            let stream = self.accept_native().await?;
            *self.accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        }
        Ok(())
    }

    pub(crate) async fn accept(&self) -> io::Result<TcpStream> {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner).take();
        match accepted {
            Some(stream) => Ok(stream),
            None => self.accept_native().await,
        }
    }

    async fn accept_native(&self) -> io::Result<TcpStream> {
        let (stream, peer) = match &self.native {
            Native::Turmoil(listener) => {
                let (stream, peer) = listener.accept().await?;
                (NativeStream::Turmoil(stream), peer)
            }
            #[cfg(madsim)]
            Native::Madsim(listener) => {
                let (stream, peer) = listener.accept().await?;
                (NativeStream::Madsim(Mutex::new(stream)), peer)
            }
            Native::Tokio(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                (NativeStream::Tokio(stream), on_tokio(|tokio| tokio.world(peer)))
            }
        };
        foreign::with(|foreign| {
            self.counted.note(foreign, "accept", peer.to_string().as_bytes());
            foreign.count_message();
        });
        Ok(TcpStream::new(stream, self.local, peer))
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }
}
