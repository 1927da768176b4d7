//! What a workload needs of a simulator. One file per simulator.

#[cfg(not(madsim))]
pub(crate) mod kernel;
#[cfg(madsim)]
pub(crate) mod madsim;
#[cfg(not(madsim))]
pub(crate) mod turmoil;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

/// Where every server listens.
const PORT: u16 = 80;
/// One-way latency of every link: any from the first to the second, as far as the simulator draws so.
const LATENCY: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(2));
/// Every run has the same seed: the figures compare simulators, not seeds.
const SEED: u64 = 7;

/// What runs on a host.
pub(crate) type Program = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A host to be staged.
pub(crate) enum Host {
    /// Runs as long as there are clients.
    Server(Program),
    /// Runs to its end.
    Client(Program),
}

impl Host {
    pub(crate) fn server<F: Future<Output = ()> + Send + 'static>(
        program: impl Fn() -> F + Send + Sync + 'static,
    ) -> Host {
        Host::Server(Box::new(move || Box::pin(program())))
    }

    pub(crate) fn client<F: Future<Output = ()> + Send + 'static>(
        program: impl Fn() -> F + Send + Sync + 'static,
    ) -> Host {
        Host::Client(Box::new(move || Box::pin(program())))
    }

    /// Does nothing, for ever.
    pub(crate) fn idle() -> Host {
        Host::server(std::future::pending)
    }
}

/// A simulator.
pub(crate) trait Engine: 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    type Listener: Send + Sync;

    /// Stages the hosts, whose numbers are their places in the list, runs until all clients have ended, and gives the
    /// simulated time that took.
    fn run(hosts: Vec<Host>) -> Duration;

    /// Listens on the current host.
    fn listen() -> impl Future<Output = io::Result<Self::Listener>> + Send;

    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Connects from the current host to the one of this number.
    fn connect(host: usize) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send;

    /// Starts a task on the current host.
    fn spawn(task: impl Future<Output = ()> + Send + 'static);
}
