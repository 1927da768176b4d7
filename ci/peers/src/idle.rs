//! Long simulated hours in which almost nothing happens: 30 hosts, each asks its neighbour once a minute.

use std::time::Duration;

use crate::engine::{Engine, Host};
use crate::frame;
use crate::measure::{self, Measurement};
use crate::stage::{self, Tally};

const HOSTS: usize = 30;
const BETWEEN_REQUESTS: Duration = Duration::from_secs(60);

/// Seconds of processor time for so many simulated hours.
pub(crate) fn run<E: Engine>(hours: u64) -> Measurement {
    let tally = Tally::default();
    let requests = hours * 60;
    let hosts = (0..HOSTS).map(|number| {
        let (tally, neighbour) = (tally.clone(), (number + 1) % HOSTS);
        Host::client(move || once_a_minute::<E>(neighbour, requests, tally.clone()))
    });
    let hosts = hosts.collect();
    let measurement = measure::whole("s", || E::run(hosts), |cpu_s| cpu_s);
    tally.expect(requests * HOSTS as u64);
    measurement
}

/// A host's program: answers, and asks its neighbour once a minute.
pub(crate) async fn once_a_minute<E: Engine>(neighbour: usize, requests: u64, tally: Tally) {
    E::spawn(stage::serve::<E, _>(frame::answer));
    E::sleep(stage::SETTLE).await;
    let mut stream = E::connect(neighbour).await.expect("the neighbour listens");
    for _ in 0..requests {
        E::sleep(BETWEEN_REQUESTS).await;
        frame::ask_on(&mut stream, 1).await;
        tally.add(1);
    }
    // The neighbour on the other side may still have a request to send.
    E::sleep(BETWEEN_REQUESTS).await;
}
