//! `world` on its own kernel.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::sync::mpsc;
use world::net::{Latency, TcpListener, TcpStream};
use world::sim::{self, Config, Outcome};

use super::{Engine, Host, LATENCY, PORT, SEED};

/// `world` on its own kernel.
pub(crate) struct Kernel;

impl Engine for Kernel {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn run(hosts: Vec<Host>) -> Duration {
        play(hosts).simulated
    }

    async fn listen() -> io::Result<TcpListener> {
        TcpListener::bind(&format!("0.0.0.0:{PORT}")).await
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().await.map(|(stream, _)| stream)
    }

    async fn connect(host: usize) -> io::Result<TcpStream> {
        TcpStream::connect(&format!("{}:{PORT}", name(host))).await
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send {
        world::time::sleep(duration)
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        world::task::spawn(task);
    }
}

/// As [`Engine::run`], with all that the kernel can say about the run.
pub(crate) fn play(hosts: Vec<Host>) -> Outcome<()> {
    let mut config = Config::new(SEED);
    config.latency = Latency::uniform(LATENCY.0, LATENCY.1);
    let outcome = sim::run(config, move || async move {
        let (ended, mut clients) = mpsc::unbounded_channel();
        let mut running = 0;
        for (number, host) in hosts.into_iter().enumerate() {
            let name = name(number);
            match host {
                Host::Server(program) => world::host::add(&name, program),
                Host::Client(program) => {
                    running += 1;
                    let ended = ended.clone();
                    world::host::add(&name, move || {
                        let (client, ended) = (program(), ended.clone());
                        async move {
                            client.await;
                            ended.send(()).expect("the director waits for the clients");
                        }
                    })
                }
            };
        }
        for _ in 0..running {
            clients.recv().await;
        }
    });
    assert!(outcome.panics.is_empty(), "{:?}", outcome.panics);
    if let Err(error) = &outcome.result {
        panic!("{error}");
    }
    outcome
}

fn name(host: usize) -> String {
    format!("host-{host}")
}
