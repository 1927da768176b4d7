//! The simulated Redis server: version 7.0 as its clients see it, on one node with one database.
//!
//! It answers RESP2 and RESP3 over any stream, so every client that speaks to Redis can check it; the crate's
//! tests compare it reply by reply with a real one. Where to look:
//!
//! - `server`: connections, active expiry, the [`Observer`] that invariants are checked through.
//! - `session`: how requests become atomic units; what `MULTI` and `WATCH` keep per connection.
//! - `keyspace`, `sorted_set`, `stream`: the data.
//! - `extended`: the arithmetic of floating-point increments, with 80 bits as on x86-64.
//! - `commands`: the table of commands, one file per data type.
//! - `scripting`: Lua 5.1 in a sandbox.
//!
//! What it leaves out: persistence, replication, publish/subscribe, blocking commands (`XREAD` and `XREADGROUP` refuse
//! `BLOCK`), HyperLogLog, geo commands, `SORT`, access control, and `OBJECT` (values have no encodings here).

mod commands;
mod error;
mod extended;
mod keyspace;
mod number;
mod scripting;
mod server;
mod session;
mod sorted_set;
mod stream;

pub use keyspace::{Blob, Hash, Keyspace, List, Set, Value};
pub use scripting::Limits;
pub use server::{Changes, Observer, Options, Server};
pub use sorted_set::{ScoreBound, SortedSet};
pub use stream::{Consumer, Fields, Group, Log, Pending, Stream, StreamId};
