//! Memory that remains resident after a million finished timers, tasks, connections.
//!
//! The same things are done three times in one simulation, a tenth of them the first two times: what the simulator and
//! the allocator keep for re-use is there by then (mimalloc opens more pages when a load begins anew, once), so that
//! what is added later is what each finished thing leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use clap::ValueEnum;

use crate::engine::{Engine, Host};
use crate::frame;
use crate::measure::{self, Measurement};
use crate::stage::{self, Tally};

/// What finishes.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Finished {
    /// A sleep of 1 ms that ends, under a timeout of 30 s that is given up.
    Timers,
    /// A task that is started, sleeps 1 ms and ends.
    Tasks,
    /// A connection: one request, one reply, closed.
    Connections,
}

/// How many are under way at a time.
const AT_A_TIME: u64 = 100;
const WARM_UPS: u64 = 2;
/// Until the last goodbyes have arrived.
const AFTERMATH: Duration = Duration::from_secs(1);
const MIB: f64 = 1024.0 * 1024.0;

/// MiB that are resident after so many finished things and were not before.
pub(crate) fn run<E: Engine>(finished: Finished, count: u64) -> Measurement {
    let (tally, growth) = (Tally::default(), Arc::new(AtomicI64::new(0)));
    let (done, grown) = (tally.clone(), Arc::clone(&growth));
    let client = Host::client(move || {
        let (done, grown) = (done.clone(), Arc::clone(&grown));
        async move {
            E::sleep(stage::SETTLE).await;
            for _ in 0..WARM_UPS {
                rounds::<E>(finished, count / 10, &done).await;
                // What was closed last is still on its way.
                E::sleep(AFTERMATH).await;
            }
            let before = measure::resident_bytes();
            rounds::<E>(finished, count, &done).await;
            E::sleep(AFTERMATH).await;
            grown.store(measure::resident_bytes() as i64 - before as i64, Ordering::Relaxed);
        }
    });
    let hosts = vec![Host::server(|| stage::serve::<E, _>(frame::answer)), client];
    let figure = |_| growth.load(Ordering::Relaxed) as f64 / MIB;
    let measurement = measure::whole("MiB", || E::run(hosts), figure);
    let whole_rounds = |count: u64| count / AT_A_TIME * AT_A_TIME;
    tally.expect(WARM_UPS * whole_rounds(count / 10) + whole_rounds(count));
    measurement
}

async fn rounds<E: Engine>(finished: Finished, count: u64, done: &Tally) {
    for _ in 0..count / AT_A_TIME {
        match finished {
            Finished::Timers => stage::join::<E, _>(AT_A_TIME, |_| timers::<E>()).await,
            Finished::Tasks => stage::join::<E, _>(AT_A_TIME, |_| E::sleep(Duration::from_millis(1))).await,
            Finished::Connections => stage::join::<E, _>(AT_A_TIME, |_| connection::<E>()).await,
        }
        done.add(AT_A_TIME);
    }
}

async fn timers<E: Engine>() {
    tokio::select! {
        biased;
        () = E::sleep(Duration::from_millis(1)) => {}
        () = E::sleep(Duration::from_secs(30)) => panic!("the longer sleep ended first"),
    }
}

async fn connection<E: Engine>() {
    let stream = E::connect(0).await.expect("the server listens");
    frame::ask(stream, 1).await;
}
