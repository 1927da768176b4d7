//! What is sent as a whole: a command, or a transaction; and what the replies to it ask the client to do.

use std::sync::Arc;

use redis::{Cmd, Pipeline, RedisError, RedisResult, ServerError, ServerErrorKind, Value};
use world::time::Instant;

use super::{command, node::Node, topology::Route};
use crate::redis::driver::Parcel;

/// Replies to an attempt, or why there are none.
pub(super) type Outcome = RedisResult<Vec<Value>>;

#[derive(Debug, Clone, Copy)]
pub(super) enum Work<'a> {
    Command(&'a Cmd),
    /// With `MULTI` and `EXEC` around it.
    Transaction(&'a Pipeline),
}

/// A command or a transaction, from its first attempt until it is done.
#[derive(Debug)]
pub(super) struct Unit<'a> {
    pub(super) work: Work<'a>,
    pub(super) route: Route,
    /// Where the next attempt goes instead, behind `ASKING`: the node that the slot is being migrated to.
    pub(super) importing: Option<Arc<Node>>,
    /// The script that the next attempt has to load first.
    pub(super) script: Option<Arc<[u8]>>,
    /// When the next attempt may be made.
    pub(super) not_before: Option<Instant>,
    pub(super) redirects: u32,
    pub(super) retries: u32,
    /// How the latest attempt ended.
    pub(super) outcome: Option<Outcome>,
    /// Is that how it all ends?
    pub(super) is_done: bool,
}

/// Why a server did not execute a unit, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The slot belongs to another node.
    Moved,
    /// The key is, or would be, at the node that the slot is being migrated to.
    Ask,
    /// Later.
    Busy,
    /// The script has to be loaded.
    NoScript,
}

impl<'a> Unit<'a> {
    pub(super) fn new(work: Work<'a>, route: Route) -> Self {
        Self {
            work,
            route,
            importing: None,
            script: None,
            not_before: None,
            redirects: 0,
            retries: 0,
            outcome: None,
            is_done: false,
        }
    }

    /// Do other commands go before it?
    pub(super) fn is_preceded(&self) -> bool {
        self.importing.is_some() || self.script.is_some()
    }

    /// Replies that an attempt gives, those to what goes before it left out.
    pub(super) fn replies(&self) -> usize {
        match self.work {
            Work::Command(_) => 1,
            // To `MULTI` and the queueing too: they say why a transaction is refused.
            Work::Transaction(pipeline) => pipeline.len() + 2,
        }
    }

    /// Appends everything that the next attempt sends.
    pub(super) fn append_to(&self, parcel: &mut Parcel) {
        if let Some(script) = &self.script {
            redis::cmd("SCRIPT").arg("LOAD").arg(&script[..]).write_packed_command(&mut parcel.bytes);
            parcel.skip += 1;
        }
        // Right before what it is about: it holds for one command, or up to the end of a transaction.
        if self.importing.is_some() {
            redis::cmd("ASKING").write_packed_command(&mut parcel.bytes);
            parcel.skip += 1;
        }
        match self.work {
            Work::Command(command) => command.write_packed_command(&mut parcel.bytes),
            Work::Transaction(pipeline) => {
                parcel.bytes.extend_from_slice(&pipeline.get_packed_pipeline());
                parcel.is_transaction = true;
            }
        }
        parcel.keep += self.replies();
    }

    /// May it be executed twice?
    pub(super) fn is_read_only(&self) -> bool {
        match self.work {
            Work::Command(command) => command::is_read_only(command),
            Work::Transaction(pipeline) => pipeline.cmd_iter().all(command::is_read_only),
        }
    }

    /// If the replies of an attempt say that a server refused to execute it: why.
    pub(super) fn refusal<'r>(&self, replies: &'r [Value]) -> Option<(Refusal, &'r ServerError)> {
        let error = match self.work {
            Work::Command(_) => error_in(replies.first()?)?,
            Work::Transaction(_) => discarded(replies)?,
        };
        let refusal = match error.kind()? {
            ServerErrorKind::Moved => Refusal::Moved,
            ServerErrorKind::Ask => Refusal::Ask,
            ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::BusyLoading => Refusal::Busy,
            ServerErrorKind::NoScript => Refusal::NoScript,
            _ => return None,
        };
        Some((refusal, error))
    }

    /// What the caller gets: the reply to a command, or to a transaction's `EXEC`.
    pub(super) fn into_reply(self) -> RedisResult<Value> {
        let mut replies = match self.outcome {
            Some(outcome) => outcome?,
            None => Vec::new(),
        };
        if let Work::Transaction(_) = self.work
            && let Some(Value::ServerError(_)) = replies.last()
            // `EXEC` says only that there was an error before.
            && let Some(error) = replies.iter().find_map(error_in)
        {
            return Err(error.clone().into());
        }
        replies.pop().ok_or_else(|| RedisError::from((redis::ErrorKind::Client, "no attempt was made")))
    }
}

fn error_in(reply: &Value) -> Option<&ServerError> {
    match reply {
        Value::ServerError(error) => Some(error),
        _ => None,
    }
}

/// The error for which a transaction was discarded, as far as it is certain that it was.
fn discarded(replies: &[Value]) -> Option<&ServerError> {
    let (Some(Value::Okay), Some(Value::ServerError(exec))) = (replies.first(), replies.last()) else {
        return None;
    };
    match exec.kind()? {
        ServerErrorKind::ExecAbort => replies.iter().find_map(error_in),
        _ => Some(exec),
    }
}
