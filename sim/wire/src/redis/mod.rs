//! Redis over any byte stream: the codec of both sides and the client.
//!
//! - [`request`]: what a server reads: RESP arrays of bulk strings, and inline commands.
//! - [`reply`]: what a server writes, in RESP2 or RESP3.
//! - [`frame`]: what a client reads; decoded by `redis-protocol` after the sizes were checked.
//! - [`Connection`]: one exchange at a time over one stream.
//! - [`Client`]: many callers over a few connections to one address, reconnecting by itself.
//! - [`ClusterClient`](cluster::ClusterClient): the same for a cluster; [`cluster::form`] makes one of single nodes.
//!
//! Commands, pipelines and scripts are those of the `redis` crate: [`Connection`], [`Client`] and
//! [`ClusterClient`](cluster::ClusterClient) implement its [`ConnectionLike`](redis::aio::ConnectionLike).

mod client;
pub mod cluster;
mod commit;
mod connection;
mod driver;
mod error;
pub mod frame;
pub mod reply;
pub mod request;

pub use client::{Client, Durability, Options};
pub use connection::Connection;
pub use error::{NotReplicated, NotSent, was_not_executed, was_not_replicated, was_not_sent};
