//! Clusters of six servers: ours in simulations, real ones on loopback, and one beside the other.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod failover;
mod nodes;
mod real;
mod returned;
mod servers;
mod stage;
