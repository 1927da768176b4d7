//! Request/reply over many connections, each sending its requests one after another; 10 of the 30 hosts rest.

use std::iter;

use crate::engine::{Engine, Host};
use crate::frame;
use crate::measure::{self, Measurement};
use crate::stage::{self, Load, Tally};

/// Requests per second of processor time.
pub(crate) fn run<E: Engine>(load: Load) -> Measurement {
    let tally = Tally::default();
    let mut hosts = stage::clients_and_servers::<E, _, _>(load, &tally, frame::answer, frame::ask);
    hosts.extend(iter::repeat_with(Host::idle).take(10));
    let requests = load.requests();
    let measurement = measure::whole("requests/s", || E::run(hosts), |cpu_s| requests as f64 / cpu_s);
    tally.expect(requests);
    measurement
}
