//! Clusters of six servers: ours in simulations, real ones on loopback, and one beside the other.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod failover;
mod real;
mod servers;
mod stage;
