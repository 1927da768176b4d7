//! One measurement per process: a workload on an engine, its result as one line of JSON on stdout.
//!
//! `ci/bench` starts this again and again, the engines in turns, and makes figures of the lines.
//!
//! | file | holds |
//! | --- | --- |
//! | `engine/` | what a workload needs of a simulator, and the simulators: the kernel, turmoil, madsim |
//! | `stage` | 10 clients, 10 servers, connections between them |
//! | `frame` | the request and the reply that `rpc`, `idle` and `events` exchange |
//! | `rpc` | request/reply over many connections |
//! | `idle` | many simulated hours in which almost nothing happens |
//! | `http` | HTTP/1.1 through hyper |
//! | `redis_cluster` | Redis commands through client, network and a cluster of six (kernel only) |
//! | `events` | what an event costs beside idle hosts, connections, timers (kernel only) |
//! | `memory` | what remains resident after a million finished timers, tasks, connections |
//! | `measure` | clocks, memory, and the line that is printed |
//!
//! madsim overrides the C library's `getrandom`, as the kernel does: they cannot share an executable. The ordinary
//! build has the kernel and turmoil, the build with `RUSTFLAGS="--cfg madsim"` has madsim.

mod engine;
#[cfg(not(madsim))]
mod events;
mod frame;
mod http;
mod idle;
mod measure;
mod memory;
#[cfg(not(madsim))]
mod redis_cluster;
mod rpc;
mod stage;

use clap::{Parser, Subcommand, ValueEnum};

use self::measure::Measurement;
use self::stage::Load;

/// The allocator of the `rehearse` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Times one workload on one simulator.
#[derive(Debug, Parser)]
#[command(name = "rehearse-peers")]
struct Arguments {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Debug, Subcommand)]
enum Workload {
    /// Requests and replies of 100 bytes between 10 clients and 10 servers.
    Rpc {
        #[arg(long)]
        engine: EngineName,
        /// Connections in all.
        #[arg(long, default_value_t = 100)]
        connections: u64,
        /// Requests in all.
        #[arg(long, default_value_t = 200_000)]
        requests: u64,
    },
    /// 30 hosts, each sends one request a minute.
    Idle {
        #[arg(long)]
        engine: EngineName,
        /// Simulated hours.
        #[arg(long, default_value_t = 48)]
        hours: u64,
    },
    /// HTTP/1.1 through hyper between 10 clients and 10 servers.
    Http {
        #[arg(long)]
        engine: EngineName,
        /// Connections in all.
        #[arg(long, default_value_t = 100)]
        connections: u64,
        /// Requests in all.
        #[arg(long, default_value_t = 50_000)]
        requests: u64,
    },
    /// The cost of an event on the kernel beside things that rest.
    #[cfg(not(madsim))]
    Events {
        /// What rests.
        #[arg(long)]
        beside: events::Resting,
        /// How many of it.
        #[arg(long)]
        count: u64,
        /// Requests of the active hosts, in all.
        #[arg(long, default_value_t = 200_000)]
        requests: u64,
    },
    /// Redis commands through the cluster client, the network and a cluster of six, on the kernel.
    #[cfg(not(madsim))]
    RedisCluster {
        /// Commands in all.
        #[arg(long, default_value_t = 400_000)]
        commands: u64,
    },
    /// Memory that remains resident after many finished things.
    Memory {
        #[arg(long)]
        engine: EngineName,
        /// What finished.
        #[arg(long)]
        after: memory::Finished,
        /// How many of it.
        #[arg(long, default_value_t = 1_000_000)]
        count: u64,
    },
}

/// The simulators of this build.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum EngineName {
    /// `world`'s default.
    #[cfg(not(madsim))]
    Kernel,
    /// turmoil 0.7 at ticks of 1 ms.
    #[cfg(not(madsim))]
    Turmoil,
    /// madsim 0.2, behind a wrapper that flushes only after writes.
    #[cfg(madsim)]
    Madsim,
}

/// Calls a workload with the engine as its type parameter.
macro_rules! on {
    ($engine:expr, $workload:ident :: $run:ident ( $($argument:expr),* )) => {
        match $engine {
            #[cfg(not(madsim))]
            EngineName::Kernel => $workload::$run::<engine::kernel::Kernel>($($argument),*),
            #[cfg(not(madsim))]
            EngineName::Turmoil => $workload::$run::<engine::turmoil::Turmoil>($($argument),*),
            #[cfg(madsim)]
            EngineName::Madsim => $workload::$run::<engine::madsim::Madsim>($($argument),*),
        }
    };
}

fn measure(workload: &Workload) -> Measurement {
    match *workload {
        Workload::Rpc { engine, connections, requests } => {
            on!(engine, rpc::run(Load::new(connections, requests)))
        }
        Workload::Idle { engine, hours } => on!(engine, idle::run(hours)),
        Workload::Http { engine, connections, requests } => {
            on!(engine, http::run(Load::new(connections, requests)))
        }
        #[cfg(not(madsim))]
        Workload::Events { beside, count, requests } => events::run(beside, count, requests),
        #[cfg(not(madsim))]
        Workload::RedisCluster { commands } => redis_cluster::run(commands),
        Workload::Memory { engine, after, count } => on!(engine, memory::run(after, count)),
    }
}

#[expect(clippy::print_stdout, reason = "the measurement is the output")]
fn main() {
    let measurement = measure(&Arguments::parse().workload);
    println!("{}", serde_json::to_string(&measurement).expect("a measurement is plain data"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Finished;

    /// Workloads panic when anything goes unanswered: here every engine carries each of them to its end.
    #[test]
    fn every_engine_of_this_build_carries_every_workload() {
        for &engine in EngineName::value_variants() {
            let workloads = [
                Workload::Rpc { engine, connections: 25, requests: 100 },
                Workload::Http { engine, connections: 25, requests: 100 },
                Workload::Memory { engine, after: Finished::Timers, count: 1000 },
                Workload::Memory { engine, after: Finished::Tasks, count: 1000 },
                Workload::Memory { engine, after: Finished::Connections, count: 1000 },
            ];
            for workload in workloads {
                let measurement = measure(&workload);
                assert!(measurement.simulated_s > 0.0, "{workload:?}: {measurement:?}");
            }
        }
    }

    /// Not on turmoil, which plays every millisecond of it.
    #[test]
    fn an_idle_hour_passes() {
        #[cfg(not(madsim))]
        let engine = EngineName::Kernel;
        #[cfg(madsim)]
        let engine = EngineName::Madsim;
        let measurement = measure(&Workload::Idle { engine, hours: 1 });
        assert!(measurement.simulated_s >= 3600.0, "{measurement:?}");
    }
}
