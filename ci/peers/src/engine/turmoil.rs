//! turmoil 0.7 at ticks of 1 ms, its default: latencies are cut to whole ticks.
#![expect(
    clippy::disallowed_methods,
    reason = "inside turmoil, tokio's tasks and time are the simulated ones"
)]

use std::future::Future;
use std::io;
use std::time::Duration;

use turmoil::net::{TcpListener, TcpStream};

use super::{Engine, Host, LATENCY, PORT, SEED};

/// Longer than any workload: turmoil's default is 10 s.
const DURATION: Duration = Duration::from_secs(1_000_000);

/// Segments that a socket holds. The default of 64 also bounds the connections that wait to be accepted: at 1000
/// connections the run would end in a panic.
const CAPACITY: usize = 4096;

/// turmoil.
pub(crate) struct Turmoil;

impl Engine for Turmoil {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn run(hosts: Vec<Host>) -> Duration {
        let mut simulation = turmoil::Builder::new()
            .rng_seed(SEED)
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(LATENCY.0)
            .max_message_latency(LATENCY.1)
            .simulation_duration(DURATION)
            .tcp_capacity(CAPACITY)
            .build();
        for (number, host) in hosts.into_iter().enumerate() {
            match host {
                Host::Server(program) => simulation.host(name(number), move || succeed(program())),
                Host::Client(program) => simulation.client(name(number), succeed(program())),
            }
        }
        simulation.run().expect("programs do not fail");
        simulation.elapsed()
    }

    async fn listen() -> io::Result<TcpListener> {
        TcpListener::bind(("0.0.0.0", PORT)).await
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().await.map(|(stream, _)| stream)
    }

    async fn connect(host: usize) -> io::Result<TcpStream> {
        TcpStream::connect((name(host), PORT)).await
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(duration)
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }
}

async fn succeed(program: impl Future<Output = ()>) -> turmoil::Result {
    program.await;
    Ok(())
}

fn name(host: usize) -> String {
    format!("host-{host}")
}
