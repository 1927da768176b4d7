//! The deterministic world: the only place that knows time, network, tasks, hosts and randomness.
//!
//! Code under rehearsal uses [`net`], [`time`], [`task`], [`rand`] and [`host`] where production code would use
//! tokio's modules of the same names. [`sim::run`] plays such code on a simulated clock and network: the same
//! seed always gives the same run, whatever the machine, the process or the build profile.
//!
//! | module | mirrors | what it gives |
//! | --- | --- | --- |
//! | [`net`] | `tokio::net` | ordered byte streams between hosts, with latency, back-pressure, resets |
//! | [`time`] | `tokio::time` | nanosecond clocks that jump to the next event |
//! | [`task`] | `tokio::task` | tasks that belong to a host and die with it |
//! | [`rand`] | `rand` | one generator per host |
//! | [`host`] | – | hosts: crash, kill, boot, pause, clocks |
//! | [`disk`] | `tokio::fs` | files that keep what was synced when the power fails, and disks that fail |
//! | [`cpu`] | – | cores, and work that queues for them |
//! | [`limits`], [`memory`] | – | open files and memory run out as errors |
//! | [`choice`] | – | recorded choices, to replay a run from |
//! | [`marks`] | – | forced rare turns, coverage, what must always hold |
//! | [`mod@mutant`] | – | planted mistakes, switched on by name |
//! | [`sim`] | – | one simulation: seed in, outcome and fingerprint out |
//! | [`engines`] | – | what carries all this: our kernel, turmoil, madsim or tokio, and how they differ |
//!
//! How it works inside: [`sim`] starts a thread; `interpose` makes the C library's clock and randomness
//! deterministic on that thread; `engine/kernel` is the executor, the event queue and the network of our own engine,
//! `engine/foreign` what the others share; `common` is what every engine needs.

pub mod choice;
mod common;
pub mod cpu;
pub mod disk;
mod engine;
pub mod engines;
pub mod host;
mod interpose;
pub mod limits;
pub mod marks;
pub mod memory;
pub mod mutant;
pub mod net;
pub mod rand;
pub mod sim;
pub mod task;
pub mod time;
