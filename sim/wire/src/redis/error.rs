//! How a caller learns whether a failed command may have had an effect.

use std::{error::Error, fmt, io, sync::Arc};

use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind};

/// The command was never written to a connection: it certainly had no effect.
///
/// It is the inner error of the `io::Error` that a [`Client`](super::Client) returns in this case; every other
/// io error of the client means that the command was executed ([`NotReplicated`]) or may have been.
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

/// The master executed the command, and too few replicas acknowledged it in time: it has its effect now, and loses it
/// if another node that does not know of it becomes the master.
///
/// It is the inner error of the `io::Error` that a client with a [`Durability`](super::Durability) returns in this
/// case. Of a pipeline's commands, those whose reply was an error had no effect.
#[derive(Debug, Clone)]
pub struct NotReplicated {
    reason: String,
}

impl fmt::Display for NotReplicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "executed by the master, but not replicated: {}", self.reason)
    }
}

impl Error for NotReplicated {}

/// Is it certain that the command behind this error was never sent?
///
/// True for a [`NotSent`] error. A server's error reply (`WRONGTYPE …`) is a different thing: look at
/// [`RedisError::kind`], or ask [`was_not_executed`].
pub fn was_not_sent(error: &RedisError) -> bool {
    is_caused_by::<NotSent>(error)
}

/// Was the command behind this error executed by its master, while too few replicas acknowledged it?
///
/// True for a [`NotReplicated`] error.
pub fn was_not_replicated(error: &RedisError) -> bool {
    is_caused_by::<NotReplicated>(error)
}

/// Is it certain that no server executed the command behind this error?
///
/// True for what [was not sent](was_not_sent), and for the replies by which a server refuses a command: redirections
/// and states of a cluster, a server that is loading or not a master, a script that it does not have. False for the
/// joined error of a pipeline, whose other commands may have been executed.
pub fn was_not_executed(error: &RedisError) -> bool {
    let kind = match error.source().and_then(|source| source.downcast_ref::<ServerError>()) {
        Some(reply) => reply.kind(),
        // A client's own refusal; the joined errors of a pipeline are no server's reply either, but they hold some.
        None => match error.kind() {
            ErrorKind::Client => return true,
            ErrorKind::Server(kind) if error.clone().into_server_errors().is_none() => Some(kind),
            _ => None,
        },
    };
    was_not_sent(error) || kind.is_some_and(is_refusal)
}

/// Does a server reply this instead of executing the command?
fn is_refusal(kind: ServerErrorKind) -> bool {
    use ServerErrorKind::{
        Ask, BusyLoading, ClusterDown, CrossSlot, MasterDown, Moved, NoScript, ReadOnly, TryAgain,
    };
    matches!(
        kind,
        Moved | Ask | TryAgain | ClusterDown | CrossSlot | BusyLoading | MasterDown | ReadOnly | NoScript
    )
}

fn is_caused_by<E: Error + 'static>(error: &RedisError) -> bool {
    // The `redis` crate keeps an io error in an Arc, and that Arc is what it gives as the source.
    error
        .source()
        .and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>())
        .and_then(|inner| inner.downcast_ref::<io::Error>())
        .and_then(io::Error::get_ref)
        .is_some_and(|inner| inner.is::<E>())
}

/// An error for a command that never left this host.
pub(super) fn not_sent(kind: io::ErrorKind, reason: impl fmt::Display) -> RedisError {
    io::Error::new(kind, NotSent { reason: reason.to_string() }).into()
}

/// An error for a command whose reply will never come: the outcome is unknown.
pub(super) fn reply_lost(kind: io::ErrorKind, reason: impl fmt::Display) -> RedisError {
    io::Error::new(kind, format!("the reply was lost: {reason}")).into()
}

/// An error for a command that too few replicas acknowledged.
pub(super) fn not_replicated(reason: impl fmt::Display) -> RedisError {
    io::Error::other(NotReplicated { reason: reason.to_string() }).into()
}
