//! The deterministic world: the only place that knows time, network, tasks, hosts and randomness.
//!
//! Code under rehearsal uses [`net`], [`time`], [`task`], [`rand`] and [`host`] where production code would use
//! tokio's modules of the same names. [`sim::Simulation`] plays such code on a simulated clock and network: the same
//! seed always gives the same run, whatever the machine, the process or the build profile.
//!
//! | module | mirrors | what it gives |
//! | --- | --- | --- |
//! | [`net`] | `tokio::net` | ordered byte streams between hosts, with latency, back-pressure, resets |
//! | [`time`] | `tokio::time` | nanosecond clock that jumps to the next event |
//! | [`task`] | `tokio::task` | tasks that belong to a host and die with it |
//! | [`rand`] | `rand` | one generator per host |
//! | [`host`] | – | hosts, their crash and their boot |
//! | [`mutant`] | – | planted mistakes, switched on by name |
//! | [`sim`] | – | one simulation: seed in, outcome and fingerprint out |
//!
//! How it works inside: [`sim`] starts a thread; `interpose` makes the C library's clock and randomness
//! deterministic on that thread; `engine/kernel` is the executor, the event queue and the network.

mod engine;
pub mod host;
mod interpose;
pub mod mutant;
pub mod net;
pub mod rand;
pub mod sim;
pub mod task;
pub mod time;
