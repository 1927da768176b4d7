//! The promises of the world on the kernel, the default engine.
//!
//! One program: each further one would be built from, and linked with, the same code again. The conformance of all
//! engines is a program of its own because it is built and played on madsim too, where there is no kernel.

mod clocks;
mod cpu;
mod determinism;
mod disk;
mod disk_crash;
mod hosts;
mod limits;
mod marks;
mod network;
mod placement;
mod replay;
mod robustness;
mod scheduling;
mod stream_faults;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
mod tcp_faults;
mod udp;
