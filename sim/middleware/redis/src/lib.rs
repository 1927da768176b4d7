//! The simulated Redis server: version 7.0 as its clients see it, with one database, alone, with replicas, or as a node
//! of a cluster.
//!
//! It answers RESP2 and RESP3 over any stream, so every client that speaks to Redis can check it; the crate's
//! tests compare it reply by reply with a real one. Where to look:
//!
//! - `server`: what runs beside the connections, the [`Observer`] that invariants are checked through; `config`.
//! - `connection`, `session`: how requests become atomic units; what `MULTI` and `WATCH` keep per connection.
//! - `clients`: who is connected, and what others send to a connection; `pubsub`: to whom messages go; `waiting`: who
//!   waits for data; `pause`: who is held back.
//! - `memory`: what the data takes; `eviction`: what goes when that is too much.
//! - `keyspace`, `sorted_set`, `stream`: the data.
//! - `extended`: the arithmetic of floating-point increments, with 80 bits as on x86-64.
//! - `commands`: the table of commands, one file per data type.
//! - `scripting`: Lua 5.1 in a sandbox.
//! - `propagation`, `replication`: what replicas get, and how they come into step.
//! - [`cluster`]: a node's part in a Redis Cluster, as a state machine; `bus`: that part played over streams.
//! - [`rdb`]: snapshots, in Redis's own format.
//! - [`persistence`]: the append-only file and snapshots on a host's disk.
//!
//! # Commands
//!
//! There are the commands of Redis 7.0 on strings, bitmaps, hashes, lists, sets, sorted sets and streams with consumer
//! groups, those that block among them, on keys and their expiry, `SCAN` and its like, transactions, scripts,
//! publish/subscribe, clients, replication, the cluster, and what tells about a server (`INFO`, `COMMAND`, `CONFIG`,
//! `SLOWLOG`, which is empty: commands take no time here). Not there, and answered as unknown: HyperLogLog, geo
//! commands, `SORT`, functions, access control, `CLIENT TRACKING` and its like, `MIGRATE`, `SAVE`, `OBJECT` and `MEMORY`
//! (values have no encodings here), `DEBUG`, `LATENCY`, `MONITOR`. Scripts have no header (`#!lua flags=…`).
//!
//! The memory that `maxmemory` limits is an estimate of what the data takes, as the module `memory` says; buffers do not
//! count. The stream from a master is no client: `CLIENT LIST` does not show it, and no pause holds it back.

mod bell;
mod bus;
mod clients;
pub mod cluster;
mod commands;
mod config;
mod connection;
mod error;
mod eviction;
mod extended;
mod keyspace;
mod memory;
mod number;
mod pause;
pub mod persistence;
mod propagation;
mod pubsub;
pub mod rdb;
mod replication;
mod scripting;
mod server;
mod session;
mod sorted_set;
mod stats;
mod stream;
mod waiting;

pub use config::{Config, OutputLimit, OutputLimits, SetError};
pub use eviction::EvictionPolicy;
pub use keyspace::{Blob, Hash, Keyspace, List, Set, Value};
pub use scripting::Limits;
pub use server::{Alarm, Alert, Changes, Observer, Options, Server};
pub use sorted_set::{ScoreBound, SortedSet};
pub use stream::{Consumer, Fields, Group, Log, Pending, Stream, StreamId};
