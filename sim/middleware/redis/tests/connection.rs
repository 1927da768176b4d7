//! What a connection is beside its own requests: messages, waiting, being seen and sent away by others.
//!
//! - `duet`: the same script over several connections to our server and to a real redis-server 7.0.
//! - `publish`, `waiting`, `clients`: such scripts.
//! - `simulated`: what depends on time, other servers and slow readers, in a simulation.

mod common;

#[path = "connection/clients.rs"]
mod clients;
#[path = "connection/duet.rs"]
mod duet;
#[path = "connection/publish.rs"]
mod publish;
#[path = "connection/simulated.rs"]
mod simulated;
#[path = "connection/waiting.rs"]
mod waiting;
