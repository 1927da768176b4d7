//! The scene of the workloads: 10 clients, 10 servers, connections between them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::engine::{Engine, Host};

/// Clients, and also servers, of a scene; servers have the numbers from 0, clients those that follow.
const PAIRS: usize = 10;
/// How long clients wait for servers to listen.
pub(crate) const SETTLE: Duration = Duration::from_millis(10);

/// What clients do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Connections of all clients together.
    pub(crate) connections: u64,
    /// Requests that each connection sends, one after another.
    pub(crate) requests_each: u64,
    /// When they begin, since the start of the simulation.
    pub(crate) starts: Duration,
}

impl Load {
    /// Shares requests out among connections; what cannot be shared evenly is left out.
    pub(crate) fn new(connections: u64, requests: u64) -> Load {
        assert!(connections > 0 && requests >= connections, "at least one request for each connection");
        Load { connections, requests_each: requests / connections, starts: SETTLE }
    }

    /// Requests of all connections together.
    pub(crate) fn requests(self) -> u64 {
        self.connections * self.requests_each
    }
}

/// 10 servers and 10 clients: `answer` is the servers' side of a connection, `ask` the clients'. Client and server of
/// the connections are all pairs in turn.
pub(crate) fn clients_and_servers<E: Engine, A, C>(
    load: Load,
    tally: &Tally,
    answer: fn(E::Stream) -> A,
    ask: fn(E::Stream, u64) -> C,
) -> Vec<Host>
where
    A: Future<Output = ()> + Send + 'static,
    C: Future<Output = ()> + Send + 'static,
{
    let servers = (0..PAIRS).map(|_| Host::server(move || serve::<E, A>(answer)));
    let clients = (0..PAIRS).map(|client| {
        let tally = tally.clone();
        Host::client(move || {
            let tally = tally.clone();
            async move {
                E::sleep(load.starts).await;
                let connections = (client as u64..load.connections).step_by(PAIRS).count() as u64;
                join::<E, _>(connections, |number| {
                    let tally = tally.clone();
                    async move {
                        let stream = E::connect(number as usize % PAIRS).await.expect("the server listens");
                        ask(stream, load.requests_each).await;
                        tally.add(load.requests_each);
                    }
                })
                .await;
            }
        })
    });
    servers.chain(clients).collect()
}

/// Listens on the current host and starts a task for every connection.
pub(crate) async fn serve<E: Engine, A>(answer: fn(E::Stream) -> A)
where
    A: Future<Output = ()> + Send + 'static,
{
    let listener = E::listen().await.expect("the port is free");
    loop {
        let stream = E::accept(&listener).await.expect("the listener lives");
        E::spawn(answer(stream));
    }
}

/// Starts so many tasks on the current host and waits until all have ended.
pub(crate) async fn join<E: Engine, F>(count: u64, task: impl Fn(u64) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (running, mut ended) = mpsc::channel::<()>(1);
    for number in 0..count {
        let (task, running) = (task(number), running.clone());
        E::spawn(async move {
            task.await;
            drop(running);
        });
    }
    drop(running);
    // Nobody sends: the channel closes when the last task has ended.
    ended.recv().await;
}

/// Counts what was done: not every simulator ends its run when a task panics.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<AtomicU64>);

impl Tally {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// # Panics
    /// When not exactly so much was done.
    pub(crate) fn expect(&self, count: u64) {
        assert_eq!(self.count(), count, "things that were done");
    }
}
