//! Protocol codecs and clients over any byte stream: redis, http.
pub mod http;
pub mod redis;
mod story;
