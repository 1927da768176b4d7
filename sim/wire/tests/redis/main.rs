//! The clients of Redis against scripted servers, in a simulation.
mod cluster;
mod durability;
mod fake;
