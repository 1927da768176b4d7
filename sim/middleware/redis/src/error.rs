//! Error replies, letter for letter those of Redis 7.0.

use std::borrow::Cow;

/// The text of an error reply, its code first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplyError(pub(crate) Cow<'static, str>);

pub(crate) const WRONG_TYPE: ReplyError =
    fixed("WRONGTYPE Operation against a key holding the wrong kind of value");
pub(crate) const SYNTAX: ReplyError = fixed("ERR syntax error");
pub(crate) const NOT_INTEGER: ReplyError = fixed("ERR value is not an integer or out of range");
pub(crate) const NOT_FLOAT: ReplyError = fixed("ERR value is not a valid float");
pub(crate) const NO_SUCH_KEY: ReplyError = fixed("ERR no such key");
pub(crate) const INDEX_OUT_OF_RANGE: ReplyError = fixed("ERR index out of range");
pub(crate) const OUT_OF_RANGE: ReplyError = fixed("ERR value is out of range");
pub(crate) const OUT_OF_RANGE_POSITIVE: ReplyError = fixed("ERR value is out of range, must be positive");
/// Where Redis has a C `int`.
pub(crate) const INT_OUT_OF_RANGE: ReplyError =
    fixed("ERR value is out of range, value must between -2147483648 and 2147483647");
/// Where Redis needs to negate a count.
pub(crate) const COUNT_OUT_OF_RANGE: ReplyError =
    fixed("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
pub(crate) const OVERFLOW: ReplyError = fixed("ERR increment or decrement would overflow");
pub(crate) const MIN_MAX_NOT_FLOAT: ReplyError = fixed("ERR min or max is not a float");
pub(crate) const MIN_MAX_NOT_STRING: ReplyError = fixed("ERR min or max not valid string range item");
pub(crate) const INVALID_CURSOR: ReplyError = fixed("ERR invalid cursor");
pub(crate) const STRING_TOO_LONG: ReplyError =
    fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

pub(crate) const OUT_OF_MEMORY: ReplyError = fixed("OOM command not allowed when used memory > 'maxmemory'.");

pub(crate) const UNKNOWN_FROM_SCRIPT: ReplyError = fixed("ERR Unknown Redis command called from script");
pub(crate) const WRONG_ARITY_FROM_SCRIPT: ReplyError =
    fixed("ERR Wrong number of args calling Redis command from script");

/// An error with a text that never varies.
pub(crate) const fn fixed(text: &'static str) -> ReplyError {
    ReplyError(Cow::Borrowed(text))
}

impl ReplyError {
    /// An error with a text made for the occasion.
    pub(crate) fn new(text: String) -> Self {
        Self(Cow::Owned(text))
    }

    pub(crate) fn wrong_arity(command: &str) -> Self {
        Self::new(format!("ERR wrong number of arguments for '{command}' command"))
    }

    pub(crate) fn unknown_subcommand(given: &[u8], command: &str) -> Self {
        let given = String::from_utf8_lossy(&given[..given.len().min(128)]);
        Self::new(format!("ERR unknown subcommand '{given}'. Try {command} HELP."))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// What a command ends with: its reply was written, or this error is to be.
pub(crate) type Outcome = Result<(), ReplyError>;
