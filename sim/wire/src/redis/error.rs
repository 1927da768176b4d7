//! How a caller learns whether a failed command may have had an effect.

use std::{error::Error, fmt, io, sync::Arc};

use redis::RedisError;

/// The command was never written to a connection: it certainly had no effect.
///
/// It is the inner error of the `io::Error` that a [`Client`](super::Client) returns in this case; every other
/// io error of the client means that the command may or may not have been executed.
#[derive(Debug, Clone)]
pub struct NotSent {
    reason: String,
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the command was not sent: {}", self.reason)
    }
}

impl Error for NotSent {}

/// Is it certain that the command behind this error was never executed?
///
/// True for a [`NotSent`] error. A server's error reply (`WRONGTYPE …`) is a different thing: look at
/// [`RedisError::kind`].
pub fn was_not_sent(error: &RedisError) -> bool {
    // The `redis` crate keeps an io error in an Arc, and that Arc is what it gives as the source.
    error
        .source()
        .and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>())
        .and_then(|inner| inner.downcast_ref::<io::Error>())
        .and_then(io::Error::get_ref)
        .is_some_and(|inner| inner.is::<NotSent>())
}

/// An error for a command that never left this host.
pub(super) fn not_sent(kind: io::ErrorKind, reason: impl fmt::Display) -> RedisError {
    io::Error::new(kind, NotSent { reason: reason.to_string() }).into()
}

/// An error for a command whose reply will never come: the outcome is unknown.
pub(super) fn reply_lost(kind: io::ErrorKind, reason: impl fmt::Display) -> RedisError {
    io::Error::new(kind, format!("the reply was lost: {reason}")).into()
}
