//! What an event costs on the kernel while hosts, connections or timers rest beside the active ones.
//!
//! The load is that of `rpc`. A request makes four events: it is delivered, the server is polled, the reply is
//! delivered, the client is polled. Their cost is taken from the moment when everything that rests is in place to the
//! last reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use tokio::io::AsyncReadExt;

use crate::engine::kernel::Kernel;
use crate::engine::{Engine, Host};
use crate::frame;
use crate::idle;
use crate::measure::{self, Measurement};
use crate::stage::{self, Load, Tally};

/// What rests.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Resting {
    /// Hosts that ask a neighbour once a minute; that minute ends while the load runs.
    Hosts,
    /// Tasks that sleep for an hour.
    Timers,
    /// Connections on which both ends wait for bytes.
    Connections,
}

const EVENTS_PER_REQUEST: u64 = 4;
const CONNECTIONS: u64 = 100;
/// Since the start of the simulation.
const LOAD_STARTS: Duration = Duration::from_secs(59);
/// Hosts that hold the connections at rest.
const HOLDERS: u64 = 10;

/// Nanoseconds of processor time for an event of the load.
pub(crate) fn run(resting: Resting, count: u64, requests: u64) -> Measurement {
    let load = Load { starts: LOAD_STARTS, ..Load::new(CONNECTIONS, requests) };
    let (tally, at_rest, cost_ns) = (Tally::default(), Tally::default(), Arc::new(AtomicU64::new(0)));
    let mut hosts = stage::clients_and_servers::<Kernel, _, _>(load, &tally, frame::answer, frame::ask);
    add_resting(&mut hosts, resting, count, &at_rest);
    let (answered, rest, cost) = (tally.clone(), at_rest.clone(), Arc::clone(&cost_ns));
    hosts.push(Host::client(move || {
        let (answered, rest, cost) = (answered.clone(), rest.clone(), Arc::clone(&cost));
        async move {
            Kernel::sleep(LOAD_STARTS).await;
            rest.expect(count);
            let start = measure::cpu_time();
            while answered.count() < load.requests() {
                Kernel::sleep(Duration::from_millis(10)).await;
            }
            cost.store((measure::cpu_time() - start).as_nanos() as u64, Ordering::Relaxed);
        }
    }));
    let events = load.requests() * EVENTS_PER_REQUEST;
    let figure = |_| cost_ns.load(Ordering::Relaxed) as f64 / events as f64;
    measure::whole("ns", || Kernel::run(hosts), figure)
}

fn add_resting(hosts: &mut Vec<Host>, resting: Resting, count: u64, at_rest: &Tally) {
    let first = hosts.len();
    match resting {
        Resting::Hosts => hosts.extend((0..count).map(|number| {
            let (neighbour, at_rest) = (first + ((number + 1) % count) as usize, at_rest.clone());
            Host::server(move || {
                at_rest.add(1);
                idle::once_a_minute::<Kernel>(neighbour, u64::MAX, Tally::default())
            })
        })),
        Resting::Timers => {
            let at_rest = at_rest.clone();
            hosts.push(Host::server(move || sleep_long(count, at_rest.clone())));
        }
        Resting::Connections => {
            hosts.push(Host::server(|| stage::serve::<Kernel, _>(frame::answer)));
            hosts.extend((0..HOLDERS).map(|_| {
                let at_rest = at_rest.clone();
                Host::server(move || hold_connections(first, count / HOLDERS, at_rest.clone()))
            }));
        }
    }
}

async fn sleep_long(count: u64, at_rest: Tally) {
    for number in 0..count {
        Kernel::spawn(Kernel::sleep(Duration::from_hours(1) + Duration::from_micros(number)));
        at_rest.add(1);
    }
}

async fn hold_connections(server: usize, count: u64, at_rest: Tally) {
    for _ in 0..count {
        let mut stream = Kernel::connect(server).await.expect("the server listens");
        Kernel::spawn(async move {
            stream.read_u8().await.expect_err("the server sends nothing of its own accord");
        });
        at_rest.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernel;

    #[test]
    fn a_request_makes_four_events() {
        let events = |requests| {
            let (load, tally) = (Load::new(CONNECTIONS, requests), Tally::default());
            let hosts = stage::clients_and_servers::<Kernel, _, _>(load, &tally, frame::answer, frame::ask);
            let outcome = kernel::play(hosts);
            tally.expect(requests);
            outcome.messages + outcome.polls
        };
        // How many goodbyes are still delivered before the last client ends differs: at most a few per connection.
        let more = events(21_000) - events(1_000);
        assert!(more.abs_diff(20_000 * EVENTS_PER_REQUEST) < 4 * CONNECTIONS, "{more} events");
    }

    #[test]
    fn the_load_is_measured_beside_each_kind_of_rest() {
        for resting in [Resting::Hosts, Resting::Timers, Resting::Connections] {
            let measurement = run(resting, 20, 1000);
            assert!(measurement.value > 0.0, "{resting:?}: {measurement:?}");
        }
    }
}
