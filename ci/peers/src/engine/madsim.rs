//! madsim 0.2.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use madsim::net::{TcpListener, TcpStream};
use madsim::runtime::Runtime;
use madsim::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Engine, Host, LATENCY, PORT, SEED};

/// madsim.
pub(crate) struct Madsim;

impl Engine for Madsim {
    type Stream = FlushAfterWrite;
    type Listener = TcpListener;

    #[expect(clippy::disallowed_methods, reason = "inside madsim, its clock is the simulated one")]
    fn run(hosts: Vec<Host>) -> Duration {
        let mut config = madsim::Config::default();
        config.net.send_latency = LATENCY.0..LATENCY.1;
        let runtime = Runtime::with_seed_and_config(SEED, config);
        let mut clients = Vec::new();
        for (number, host) in hosts.into_iter().enumerate() {
            let node = runtime.create_node().ip(ip(number)).build();
            match host {
                Host::Server(program) => drop(node.spawn(program())),
                Host::Client(program) => clients.push(node.spawn(program())),
            }
        }
        runtime.block_on(async {
            let start = Instant::now();
            for client in clients {
                client.await.expect("clients do not panic");
            }
            start.elapsed()
        })
    }

    async fn listen() -> io::Result<TcpListener> {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await
    }

    async fn accept(listener: &TcpListener) -> io::Result<FlushAfterWrite> {
        listener.accept().await.map(|(stream, _)| FlushAfterWrite::new(stream))
    }

    async fn connect(host: usize) -> io::Result<FlushAfterWrite> {
        TcpStream::connect(SocketAddr::new(ip(host), PORT)).await.map(FlushAfterWrite::new)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send {
        madsim::time::sleep(duration)
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        madsim::task::spawn(task);
    }
}

fn ip(host: usize) -> IpAddr {
    let number = u16::try_from(host + 1).expect("at most 65 535 hosts");
    let [high, low] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 0, high, low))
}

/// A stream that passes a flush on only when something was written since the last one.
///
/// madsim sends an empty message at every flush, and each takes its latency: with hyper, which flushes whenever it
/// has nothing better to do, the connection comes to a crawl of 2 000 requests/s without this.
pub(crate) struct FlushAfterWrite {
    stream: TcpStream,
    written: bool,
}

impl FlushAfterWrite {
    fn new(stream: TcpStream) -> FlushAfterWrite {
        FlushAfterWrite { stream, written: false }
    }
}

impl AsyncRead for FlushAfterWrite {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for FlushAfterWrite {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written = true;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::take(&mut self.written) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
