//! Where a command goes: found from its name and its first key, by the command table of Redis 7.0.
//!
//! Only the first key is looked at. That the others are in the same slot is checked by the server, which refuses the
//! command with `CROSSSLOT` otherwise.

use redis::{Arg, Cmd};

use super::slots::Slot;

/// Where a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// To the master of this slot.
    Slot(Slot),
    /// It has no key: to any master.
    AnyMaster,
    /// To all masters, whose replies are merged.
    AllMasters(Merge),
    /// It is about the connection that it is sent on, or about one node only: not for a client that has many.
    Refused,
}

/// How the replies of all masters become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merge {
    /// All must succeed; the first reply is returned.
    First,
    /// The numbers are added.
    Sum,
    /// The arrays are joined.
    Concatenation,
}

/// Where the first key of a command is, among its arguments; the command's name is argument 0.
#[derive(Clone, Copy)]
enum Keys {
    At(usize),
    /// Behind their number, which is this argument. None if that is zero.
    Counted(usize),
    /// Behind the word `STREAMS`.
    Streams,
}

/// Longest name in the command table: `GEORADIUSBYMEMBER_RO`.
const LONGEST_NAME: usize = 20;

/// A command's name, or a subcommand's, in upper case.
struct Name {
    letters: [u8; LONGEST_NAME],
    length: usize,
}

impl Name {
    /// `None` if it is longer than any that is known here.
    fn new(argument: &[u8]) -> Option<Self> {
        let mut letters = [0; LONGEST_NAME];
        letters.get_mut(..argument.len())?.copy_from_slice(argument);
        letters.make_ascii_uppercase();
        Some(Self { letters, length: argument.len() })
    }

    fn as_bytes(&self) -> &[u8] {
        self.letters.get(..self.length).unwrap_or_default()
    }
}

fn argument(command: &Cmd, index: usize) -> Option<&[u8]> {
    match command.args_iter().nth(index)? {
        Arg::Simple(bytes) => Some(bytes),
        _ => None,
    }
}

fn name(command: &Cmd, index: usize) -> Option<Name> {
    argument(command, index).and_then(Name::new)
}

/// Where to send a command.
pub(super) fn target(command: &Cmd) -> Target {
    // Names that are too long to be known belong to modules, and have a key like most commands.
    let Some(name) = name(command, 0) else { return by_key(command, Keys::At(1)) };
    match name.as_bytes() {
        b"EVAL" | b"EVALSHA" | b"EVAL_RO" | b"EVALSHA_RO" | b"FCALL" | b"FCALL_RO" | b"BLMPOP"
        | b"BZMPOP" => by_key(command, Keys::Counted(2)),
        b"LMPOP" | b"ZMPOP" | b"SINTERCARD" | b"ZDIFF" | b"ZINTER" | b"ZINTERCARD" | b"ZUNION" => {
            by_key(command, Keys::Counted(1))
        }
        b"BITOP" | b"MEMORY" | b"OBJECT" | b"PFDEBUG" | b"XGROUP" | b"XINFO" => by_key(command, Keys::At(2)),
        b"MIGRATE" => by_key(command, Keys::At(3)),
        b"XREAD" | b"XREADGROUP" => by_key(command, Keys::Streams),
        b"SCRIPT" | b"FUNCTION" => of_all_nodes(command),
        b"FLUSHALL" | b"FLUSHDB" => Target::AllMasters(Merge::First),
        b"DBSIZE" => Target::AllMasters(Merge::Sum),
        b"KEYS" => Target::AllMasters(Merge::Concatenation),
        b"ACL" | b"BGREWRITEAOF" | b"BGSAVE" | b"CLUSTER" | b"COMMAND" | b"CONFIG" | b"DEBUG" | b"ECHO"
        | b"INFO" | b"LASTSAVE" | b"LATENCY" | b"LOLWUT" | b"MODULE" | b"PFSELFTEST" | b"PING"
        | b"PUBLISH" | b"PUBSUB" | b"RANDOMKEY" | b"ROLE" | b"SAVE" | b"SLOWLOG" | b"TIME" => {
            Target::AnyMaster
        }
        b"ASKING" | b"AUTH" | b"CLIENT" | b"DISCARD" | b"EXEC" | b"FAILOVER" | b"HELLO" | b"MONITOR"
        | b"MULTI" | b"PSUBSCRIBE" | b"PSYNC" | b"PUNSUBSCRIBE" | b"QUIT" | b"READONLY" | b"READWRITE"
        | b"REPLCONF" | b"REPLICAOF" | b"RESET" | b"SCAN" | b"SELECT" | b"SHUTDOWN" | b"SLAVEOF"
        | b"SSUBSCRIBE" | b"SUBSCRIBE" | b"SUNSUBSCRIBE" | b"SWAPDB" | b"SYNC" | b"UNSUBSCRIBE"
        | b"UNWATCH" | b"WAIT" | b"WATCH" => Target::Refused,
        _ => by_key(command, Keys::At(1)),
    }
}

/// Scripts and functions: every node has its own.
fn of_all_nodes(command: &Cmd) -> Target {
    let Some(name) = name(command, 1) else { return Target::AnyMaster };
    match name.as_bytes() {
        b"FLUSH" | b"DELETE" | b"RESTORE" => Target::AllMasters(Merge::First),
        // A function is loaded everywhere; a script where it is missed.
        b"LOAD" if !is_script(command, b"LOAD") => Target::AllMasters(Merge::First),
        _ => Target::AnyMaster,
    }
}

fn by_key(command: &Cmd, keys: Keys) -> Target {
    let key = match keys {
        Keys::At(index) => argument(command, index),
        Keys::Counted(index) => match argument(command, index) {
            Some(b"0") | None => None,
            Some(_) => argument(command, index + 1),
        },
        Keys::Streams => {
            let is_streams =
                |arg: Arg<&[u8]>| matches!(arg, Arg::Simple(word) if word.eq_ignore_ascii_case(b"STREAMS"));
            let index = command.args_iter().position(is_streams);
            index.and_then(|index| argument(command, index + 1))
        }
    };
    // Without its key, the command is wrong: any node will say so.
    key.map_or(Target::AnyMaster, |key| Target::Slot(Slot::of_key(key)))
}

fn is_script(command: &Cmd, subcommand: &[u8]) -> bool {
    let is = |index, word: &[u8]| argument(command, index).is_some_and(|arg| arg.eq_ignore_ascii_case(word));
    is(0, b"SCRIPT") && is(1, subcommand)
}

/// The script of `SCRIPT LOAD`.
pub(super) fn loaded_script(command: &Cmd) -> Option<&[u8]> {
    if is_script(command, b"LOAD") { argument(command, 2) } else { None }
}

/// Is it `SCRIPT FLUSH`?
pub(super) fn is_script_flush(command: &Cmd) -> bool {
    is_script(command, b"FLUSH")
}

/// The digest of the script that `EVALSHA` runs.
pub(super) fn script_digest(command: &Cmd) -> Option<&[u8]> {
    match name(command, 0)?.as_bytes() {
        b"EVALSHA" | b"EVALSHA_RO" => argument(command, 1),
        _ => None,
    }
}

/// Does it change nothing, so that it may be sent once more when its reply was lost? Those that the command table of
/// Redis 7.0 flags `readonly`, and `PING`, `ECHO` and `TIME`.
pub(super) fn is_read_only(command: &Cmd) -> bool {
    let Some(name) = name(command, 0) else { return false };
    match name.as_bytes() {
        b"BITCOUNT"
        | b"BITFIELD_RO"
        | b"BITPOS"
        | b"DBSIZE"
        | b"DUMP"
        | b"ECHO"
        | b"EVALSHA_RO"
        | b"EVAL_RO"
        | b"EXISTS"
        | b"EXPIRETIME"
        | b"FCALL_RO"
        | b"GEODIST"
        | b"GEOHASH"
        | b"GEOPOS"
        | b"GEORADIUS_RO"
        | b"GEORADIUSBYMEMBER_RO"
        | b"GEOSEARCH"
        | b"GET"
        | b"GETBIT"
        | b"GETRANGE"
        | b"HEXISTS"
        | b"HGET"
        | b"HGETALL"
        | b"HKEYS"
        | b"HLEN"
        | b"HMGET"
        | b"HRANDFIELD"
        | b"HSCAN"
        | b"HSTRLEN"
        | b"HVALS"
        | b"KEYS"
        | b"LCS"
        | b"LINDEX"
        | b"LLEN"
        | b"LOLWUT"
        | b"LPOS"
        | b"LRANGE"
        | b"MGET"
        | b"OBJECT"
        | b"PEXPIRETIME"
        | b"PFCOUNT"
        | b"PING"
        | b"PTTL"
        | b"RANDOMKEY"
        | b"SCARD"
        | b"SDIFF"
        | b"SINTER"
        | b"SINTERCARD"
        | b"SISMEMBER"
        | b"SMEMBERS"
        | b"SMISMEMBER"
        | b"SORT_RO"
        | b"SRANDMEMBER"
        | b"SSCAN"
        | b"STRLEN"
        | b"SUBSTR"
        | b"SUNION"
        | b"TIME"
        | b"TOUCH"
        | b"TTL"
        | b"TYPE"
        | b"XINFO"
        | b"XLEN"
        | b"XPENDING"
        | b"XRANGE"
        | b"XREAD"
        | b"XREVRANGE"
        | b"ZCARD"
        | b"ZCOUNT"
        | b"ZDIFF"
        | b"ZINTER"
        | b"ZINTERCARD"
        | b"ZLEXCOUNT"
        | b"ZMSCORE"
        | b"ZRANDMEMBER"
        | b"ZRANGE"
        | b"ZRANGEBYLEX"
        | b"ZRANGEBYSCORE"
        | b"ZRANK"
        | b"ZREVRANGE"
        | b"ZREVRANGEBYLEX"
        | b"ZREVRANGEBYSCORE"
        | b"ZREVRANK"
        | b"ZSCAN"
        | b"ZSCORE"
        | b"ZUNION" => true,
        b"MEMORY" => self::name(command, 1).is_some_and(|sub| sub.as_bytes() == b"USAGE"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &str) -> Cmd {
        let mut command = Cmd::new();
        for word in words.split(' ') {
            command.arg(word);
        }
        command
    }

    #[test]
    fn commands_go_to_the_slot_of_their_first_key() {
        let slot = Target::Slot(Slot::of_key(b"k"));
        for words in [
            "GET k",
            "get k",
            "SET k v",
            "MSET k v l w",
            "HSCAN k 0",
            "GEORADIUSBYMEMBER_RO k m 1 km",
            "A.COMMAND.OF.SOME.MODULE k",
            "EVAL return 2 k l",
            "evalsha 0123 1 k",
            "FCALL f 1 k",
            "BLMPOP 0 1 k LEFT",
            "LMPOP 2 k l LEFT",
            "ZUNION 1 k",
            "ZUNIONSTORE k 1 l",
            "BITOP AND k l m",
            "OBJECT ENCODING k",
            "MEMORY USAGE k",
            "XGROUP CREATE k g $",
            "XADD k * f v",
            "XREAD COUNT 1 streams k l 0 0",
            "XREADGROUP GROUP g c STREAMS k >",
            "MIGRATE host 6379 k 0 100",
            "SPUBLISH k message",
        ] {
            assert_eq!(target(&command(words)), slot, "{words}");
        }
    }

    #[test]
    fn commands_without_a_key_go_to_any_or_to_all_masters() {
        for words in
            ["PING", "INFO all", "EVAL return 0", "EVALSHA 0123 0 a", "XREAD", "GET", "SCRIPT LOAD x"]
        {
            assert_eq!(target(&command(words)), Target::AnyMaster, "{words}");
        }
        assert_eq!(target(&command("FLUSHALL ASYNC")), Target::AllMasters(Merge::First));
        assert_eq!(target(&command("script flush")), Target::AllMasters(Merge::First));
        assert_eq!(target(&command("FUNCTION LOAD x")), Target::AllMasters(Merge::First));
        assert_eq!(target(&command("DBSIZE")), Target::AllMasters(Merge::Sum));
        assert_eq!(target(&command("KEYS *")), Target::AllMasters(Merge::Concatenation));
        for words in ["MULTI", "WATCH k", "SCAN 0", "SUBSCRIBE c", "WAIT 1 0", "CLIENT REPLY OFF"] {
            assert_eq!(target(&command(words)), Target::Refused, "{words}");
        }
        assert_eq!(target(&Cmd::new()), Target::AnyMaster);
    }

    #[test]
    fn only_what_changes_nothing_is_read_only() {
        for words in ["GET k", "hgetall k", "MEMORY USAGE k", "EVAL_RO x 0", "PING", "GEORADIUSBYMEMBER_RO k"]
        {
            assert!(is_read_only(&command(words)), "{words}");
        }
        for words in
            ["SET k v", "GETDEL k", "GETEX k", "EVAL x 0", "SORT k", "XREADGROUP", "MEMORY PURGE", "X"]
        {
            assert!(!is_read_only(&command(words)), "{words}");
        }
    }
}
