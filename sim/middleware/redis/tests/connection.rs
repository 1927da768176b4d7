//! What a connection is beside its own requests: messages, waiting, being seen and sent away by others.
//!
//! - `duet`: the same script over several connections to our server and to a real redis-server 7.0.
//! - `publish`, `waiting`, `clients`, `memory`, `server`: such scripts; `random`: drawn ones.
//! - `simulated`: what depends on time, other servers and slow readers, in a simulation; `cluster`: the same in a
//!   cluster; `line`: a client for that.

mod common;

#[path = "connection/clients.rs"]
mod clients;
#[path = "connection/cluster.rs"]
mod cluster;
#[path = "connection/duet.rs"]
mod duet;
#[path = "connection/line.rs"]
mod line;
#[path = "connection/memory.rs"]
mod memory;
#[path = "connection/publish.rs"]
mod publish;
#[path = "connection/random.rs"]
mod random;
#[path = "connection/server.rs"]
mod server;
#[path = "connection/simulated.rs"]
mod simulated;
#[path = "connection/waiting.rs"]
mod waiting;
