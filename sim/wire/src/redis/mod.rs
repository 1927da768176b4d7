//! Redis over any byte stream: the codec of both sides and the client.
//!
//! - [`request`]: what a server reads: RESP arrays of bulk strings, and inline commands.
//! - [`reply`]: what a server writes, in RESP2 or RESP3.
//! - [`frame`]: what a client reads; decoded by `redis-protocol` after the sizes were checked.
//! - [`Connection`]: one exchange at a time over one stream.
//! - [`Client`]: many callers over a few connections to one address, reconnecting by itself.
//!
//! Commands, pipelines and scripts are those of the `redis` crate: both [`Connection`] and [`Client`] implement
//! its [`ConnectionLike`](redis::aio::ConnectionLike).

mod client;
mod connection;
mod driver;
mod error;
pub mod frame;
pub mod reply;
pub mod request;

pub use client::{Client, Options};
pub use connection::Connection;
pub use error::{NotSent, was_not_sent};
