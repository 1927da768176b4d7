//! HTTP/1.1 between services: a server for an `axum::Router`, a client with a keep-alive pool, one error body.
//!
//! - [`server`]: [`serve`] and [`serve_connection`], one task per connection, handlers run inside it.
//! - [`client`]: [`Client`], the pool of connections per address, and JSON calls.
//! - [`connection`]: [`Connection`], one client connection over any stream.
//! - [`error`]: what a failed request says about its effect: [`Error::NotSent`] or [`Error::Unknown`].
//! - [`api_error`]: [`ApiError`], the error body that all services share.
//! - [`trace`]: the trace id of the request being handled, passed along to every request made for it.
//!
//! `hyper` does the protocol; everything is generic over `AsyncRead + AsyncWrite`, so that tests run over
//! `tokio::io::duplex` and the rest over `world::net`.
pub mod api_error;
pub mod client;
pub mod connection;
pub mod error;
pub mod server;
pub mod trace;

pub use api_error::ApiError;
pub use client::{CallError, Client, Options, json_request, read_json};
pub use connection::Connection;
pub use error::Error;
pub use server::{serve, serve_connection};

/// The largest request or response body that either side accepts, in bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;
