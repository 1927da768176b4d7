//! The network, as tokio's: streams and listeners between the hosts of a simulation.
//!
//! Addresses are `host:port`, where the host is a name or an IP address of the simulation.
#![doc = include_str!("tcp.md")]

mod impair;
mod options;
mod placement;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::common::{self, Common, hosts::HostId, waits};
use crate::engine;
pub use crate::engine::kernel::net::Latency;
use crate::host::Host;
use crate::limits::{self, Descriptor};
use crate::sim::WaitsFor;
use crate::time;

/// Time that an accept takes that fails at the limit of open files: who tries again at once must not stand still.
const FAILED_ACCEPT: Duration = Duration::from_micros(10);

pub use self::impair::{Impaired, Impairment, heal_all, impair, impair_both, reset_connections};
pub use self::options::Keepalive;
pub use self::placement::{Distance, LinkProfile, Placement, set_link};
pub use self::udp::{ToAddress, UdpSocket};

/// What has been delivered from one host to another so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// The sender.
    pub from: Host,
    /// The receiver.
    pub to: Host,
    /// Segments, datagrams and handshake steps.
    pub messages: u64,
    /// Bytes of applications, without headers.
    pub bytes: u64,
}

/// What has been delivered so far between any two hosts that have had to do with each other; for observers, not for
/// services. Empty on engines other than the kernel, which do not tell.
pub fn traffic() -> Vec<Traffic> {
    engine::with(|world| world.traffic(|traffic| traffic.collect()))
}

/// Messages and bytes delivered so far between all hosts; `None` where [`traffic`] is not told.
pub fn delivered() -> Option<(u64, u64)> {
    engine::with(|world| {
        world.traffic(|traffic| {
            traffic.map(|link| (link.messages, link.bytes)).reduce(|a, b| (a.0 + b.0, a.1 + b.1))
        })
    })
}

/// Sets the latency of both directions of the link between two hosts, from the next segment on.
pub fn set_latency(a: Host, b: Host, latency: &Latency) {
    engine::with(|world| world.set_latency(a.0, b.0, latency));
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
    common::with(|common| {
        let hosts = common.hosts.borrow();
        let ip = host.parse::<IpAddr>();
        if host == "localhost" || ip.as_ref().is_ok_and(IpAddr::is_loopback) {
            return Ok(common.current_host());
        }
        if let Ok(ip) = ip {
            let unreachable = || io::Error::new(io::ErrorKind::HostUnreachable, format!("no route to {ip}"));
            return hosts.by_ip(ip).ok_or_else(unreachable);
        }
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no host is named {host:?}"));
        hosts.find(host).ok_or_else(unknown)
    })
}

/// The port of an address to listen at, which must be the current host's own.
fn own_port(address: &str) -> io::Result<u16> {
    let (host, port) = split(address)?;
    if host != "0.0.0.0" && resolve(host)? != common::with(Common::current_host) {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    }
    Ok(port)
}

/// An ordered stream of bytes between two hosts.
///
/// Dropping it closes both halves: the peer reads to the end, or gets a reset if bytes were left unread here.
#[derive(Debug)]
pub struct TcpStream(engine::net::TcpStream, #[expect(dead_code, reason = "held")] Descriptor);

impl TcpStream {
    /// Connects from the current host.
    ///
    /// # Errors
    /// `InvalidInput` for what is no address, `NotFound` for an unknown name, `HostUnreachable` for an unknown
    /// IP address, `ConnectionRefused` when nobody listens there, `TimedOut` when nothing was heard for 127 seconds,
    /// `EMFILE` at the limit of open files.
    pub async fn connect(address: &str) -> io::Result<TcpStream> {
        let (host, port) = split(address)?;
        let to = resolve(host)?;
        let descriptor = limits::open()?;
        let connected = engine::net::TcpStream::connect(to, port);
        let stream = waits::noting(connected, || WaitsFor::Connect(address.to_owned())).await?;
        Ok(TcpStream(stream, descriptor))
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// `NotConnected` when the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// `NotConnected` when the connection is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// How long written bytes may stay unacknowledged before the connection fails with `TimedOut` (RFC 5482; Linux:
    /// `TCP_USER_TIMEOUT`). `None` or zero: the system's default, about a quarter of an hour.
    ///
    /// # Errors
    /// `Unsupported` on engines that cannot, those of the operating system on tokio.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_user_timeout(timeout)
    }

    /// Probes the connection while nothing is heard; `None`, the default, does not.
    ///
    /// # Errors
    /// `Unsupported` on engines that cannot, those of the operating system on tokio.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        self.0.set_keepalive(keepalive)
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.0).poll_read(context, buffer);
        waits::note(poll, || WaitsFor::Read(self.peer_addr().ok()))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.0).poll_write(context, bytes);
        waits::note(poll, || WaitsFor::Write(self.peer_addr().ok()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.0).poll_write_vectored(context, slices);
        waits::note(poll, || WaitsFor::Write(self.peer_addr().ok()))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Accepts connections on a port of a host.
#[derive(Debug)]
pub struct TcpListener(engine::net::TcpListener, #[expect(dead_code, reason = "held")] Descriptor);

impl TcpListener {
    /// Listens on the current host. The host part may be `0.0.0.0`, `localhost` or the host's own name or address;
    /// port 0 takes a free one.
    ///
    /// # Errors
    /// `InvalidInput` for what is no address, `AddrInUse` for a taken port, `AddrNotAvailable` for another host's
    /// address, `NotFound` for an unknown name, `EMFILE` at the limit of open files.
    pub async fn bind(address: &str) -> io::Result<TcpListener> {
        let port = own_port(address)?;
        let descriptor = limits::open()?;
        Ok(TcpListener(engine::net::TcpListener::bind(port).await?, descriptor))
    }

    /// The next connection, and the address of its other end.
    ///
    /// # Errors
    /// `NotConnected` when the listener is gone; `EMFILE` at the limit of open files: the connection goes on waiting to
    /// be accepted, as on Linux.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        waits::noting(self.0.acceptable(), || WaitsFor::Accept(Some(self.0.local_addr()))).await?;
        let descriptor = match limits::open() {
            Ok(descriptor) => descriptor,
            Err(error) => {
                time::sleep(FAILED_ACCEPT).await;
                return Err(error);
            }
        };
        let (stream, peer) = self.0.accept().await?;
        Ok((TcpStream(stream, descriptor), peer))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// None today; the signature is tokio's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.local_addr())
    }
}
