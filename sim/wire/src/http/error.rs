//! What a failed request says about its effect.
use std::{io, time::Duration};

/// Why there is no answer. The variants tell what the caller must know: may the request have had an effect?
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No byte of the request left: it certainly had no effect.
    #[error("{addr}: not sent: {reason}")]
    NotSent {
        /// The address asked for, "host:port".
        addr: String,
        /// Why it could not be sent.
        reason: NotSent,
    },
    /// The request was written, at least in part, and there is no answer: it may or may not have had its effect.
    #[error("{addr}: outcome unknown: {reason}")]
    Unknown {
        /// The address asked, "host:port".
        addr: String,
        /// What happened to the answer.
        reason: Unknown,
    },
}

/// Why a request could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// The connection was refused, or the host is unreachable or unknown.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The time ran out while connecting.
    #[error("not connected after {0:?}")]
    ConnectTimeout(Duration),
    /// The connection turned out to be closed before anything was written to it.
    #[error("the connection was already closed")]
    Closed,
    /// The request cannot be put on the wire (an address that is no `Host` header, a body above the limit).
    #[error("invalid request: {0}")]
    InvalidRequest(&'static str),
}

/// What happened to an answer that did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The time ran out after the request was written.
    #[error("no answer after {0:?}")]
    Timeout(Duration),
    /// The connection was closed or reset, or it carried something that is not HTTP.
    #[error("connection lost: {0}")]
    Lost(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer's body is larger than the limit, in bytes.
    #[error("the answer is larger than {0} bytes")]
    BodyTooLarge(usize),
}

impl Error {
    /// May the request have had an effect?
    pub fn is_unknown(&self) -> bool {
        matches!(self, Error::Unknown { .. })
    }
}
