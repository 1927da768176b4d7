//! What the server has to know about a command before it runs it, beside its row in the table. The lists are those of
//! Redis 7.0, as far as the table has the commands.

/// Flags of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags(u16);

impl Flags {
    /// It is answered while the data is loaded.
    pub(crate) const LOADING: Flags = Flags(1);
    /// It is answered by a replica that has lost its master, whatever the configuration.
    pub(crate) const STALE: Flags = Flags(1 << 1);
    /// It cannot be part of a transaction.
    pub(crate) const NO_MULTI: Flags = Flags(1 << 2);
    /// It acts on the transaction instead of being part of it.
    pub(crate) const IMMEDIATE: Flags = Flags(1 << 3);
    /// It may block the connection that says it.
    pub(crate) const BLOCKING: Flags = Flags(1 << 4);
    /// Scripts may not call it although it works on data only.
    pub(crate) const NO_SCRIPT: Flags = Flags(1 << 5);
    /// It may give something to replicas although it is none that writes.
    pub(crate) const MAY_REPLICATE: Flags = Flags(1 << 6);
    /// It may need more memory: it is refused when there is none.
    pub(crate) const DENY_OOM: Flags = Flags(1 << 7);
    /// It is answered in RESP2 while the connection is subscribed to something.
    pub(crate) const SUBSCRIBER: Flags = Flags(1 << 8);
    /// Its "keys" are channels that belong to slots.
    pub(crate) const SHARD_CHANNELS: Flags = Flags(1 << 9);
    /// What it replies is pushed: `CLIENT REPLY OFF` does not hold it back.
    pub(crate) const PUSHES: Flags = Flags(1 << 10);
    /// It has to do with publish/subscribe.
    pub(crate) const PUBSUB: Flags = Flags(1 << 11);
    /// It is for whoever looks after the server.
    pub(crate) const ADMIN: Flags = Flags(1 << 12);
    /// It has subcommands.
    pub(crate) const CONTAINER: Flags = Flags(1 << 14);
    /// It never takes long.
    pub(crate) const FAST: Flags = Flags(1 << 13);

    pub(crate) const fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    /// The flags of the command of this name.
    pub(super) const fn of(name: &str) -> Flags {
        let mut flags = 0;
        let mut list = 0;
        while list < LISTS.len() {
            let (flag, names) = LISTS[list];
            let mut at = 0;
            while at < names.len() {
                if equal(names[at], name) {
                    flags |= flag.0;
                }
                at += 1;
            }
            list += 1;
        }
        Flags(flags)
    }
}

const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

const LISTS: &[(Flags, &[&str])] = &[
    (
        Flags::LOADING,
        &[
            "asking",
            "auth",
            "client",
            "command",
            "config",
            "discard",
            "exec",
            "hello",
            "info",
            "lastsave",
            "multi",
            "psubscribe",
            "psync",
            "publish",
            "pubsub",
            "punsubscribe",
            "quit",
            "replconf",
            "reset",
            "role",
            "shutdown",
            "spublish",
            "ssubscribe",
            "subscribe",
            "sunsubscribe",
            "time",
            "unsubscribe",
            "unwatch",
            "watch",
        ],
    ),
    (
        Flags::STALE,
        &[
            "asking",
            "auth",
            "client",
            "cluster",
            "command",
            "config",
            "discard",
            "echo",
            "eval",
            "eval_ro",
            "evalsha",
            "evalsha_ro",
            "exec",
            "hello",
            "info",
            "lastsave",
            "multi",
            "ping",
            "psubscribe",
            "publish",
            "pubsub",
            "punsubscribe",
            "quit",
            "readonly",
            "readwrite",
            "replconf",
            "replicaof",
            "reset",
            "role",
            "script",
            "select",
            "shutdown",
            "slaveof",
            "spublish",
            "ssubscribe",
            "subscribe",
            "sunsubscribe",
            "time",
            "unsubscribe",
            "unwatch",
            "watch",
        ],
    ),
    (Flags::NO_MULTI, &["bgsave", "psync", "save", "sync"]),
    (
        Flags::CONTAINER,
        &["client", "cluster", "command", "config", "pubsub", "script", "slowlog", "xgroup", "xinfo"],
    ),
    (Flags::IMMEDIATE, &["discard", "exec", "multi", "quit", "reset", "watch"]),
    (
        Flags::BLOCKING,
        &[
            "blmove",
            "blmpop",
            "blpop",
            "brpop",
            "brpoplpush",
            "bzmpop",
            "bzpopmax",
            "bzpopmin",
            "xread",
            "xreadgroup",
        ],
    ),
    (Flags::NO_SCRIPT, &["blmove", "blpop", "brpop", "brpoplpush", "bzpopmax", "bzpopmin"]),
    (Flags::MAY_REPLICATE, &["eval", "evalsha", "publish", "spublish"]),
    (
        Flags::DENY_OOM,
        &[
            "append",
            "bitfield",
            "bitop",
            "blmove",
            "brpoplpush",
            "copy",
            "decr",
            "decrby",
            "getset",
            "hincrby",
            "hincrbyfloat",
            "hmset",
            "hset",
            "hsetnx",
            "incr",
            "incrby",
            "incrbyfloat",
            "linsert",
            "lmove",
            "lpush",
            "lpushx",
            "lset",
            "mset",
            "msetnx",
            "psetex",
            "restore",
            "rpoplpush",
            "rpush",
            "rpushx",
            "sadd",
            "sdiffstore",
            "set",
            "setbit",
            "setex",
            "setnx",
            "setrange",
            "sinterstore",
            "sunionstore",
            "xadd",
            "xsetid",
            "zadd",
            "zdiffstore",
            "zincrby",
            "zinterstore",
            "zrangestore",
            "zunionstore",
        ],
    ),
    (
        Flags::SUBSCRIBER,
        &[
            "ping",
            "psubscribe",
            "punsubscribe",
            "quit",
            "reset",
            "ssubscribe",
            "subscribe",
            "sunsubscribe",
            "unsubscribe",
        ],
    ),
    (Flags::SHARD_CHANNELS, &["spublish", "ssubscribe", "sunsubscribe"]),
    (
        Flags::PUSHES,
        &["psubscribe", "punsubscribe", "ssubscribe", "subscribe", "sunsubscribe", "unsubscribe"],
    ),
    (
        Flags::PUBSUB,
        &[
            "psubscribe",
            "publish",
            "punsubscribe",
            "spublish",
            "ssubscribe",
            "subscribe",
            "sunsubscribe",
            "unsubscribe",
        ],
    ),
    (Flags::ADMIN, &["bgrewriteaof", "bgsave", "psync", "replconf", "replicaof", "slaveof", "sync"]),
    (
        Flags::FAST,
        &[
            "append",
            "asking",
            "auth",
            "bitfield_ro",
            "bzpopmax",
            "bzpopmin",
            "dbsize",
            "decr",
            "decrby",
            "discard",
            "echo",
            "exists",
            "expire",
            "expireat",
            "expiretime",
            "get",
            "getbit",
            "getdel",
            "getex",
            "getset",
            "hdel",
            "hello",
            "hexists",
            "hget",
            "hincrby",
            "hincrbyfloat",
            "hlen",
            "hmget",
            "hmset",
            "hset",
            "hsetnx",
            "hstrlen",
            "incr",
            "incrby",
            "incrbyfloat",
            "lastsave",
            "llen",
            "lpop",
            "lpush",
            "lpushx",
            "mget",
            "multi",
            "persist",
            "pexpire",
            "pexpireat",
            "pexpiretime",
            "ping",
            "pttl",
            "publish",
            "quit",
            "readonly",
            "readwrite",
            "renamenx",
            "reset",
            "role",
            "rpop",
            "rpush",
            "rpushx",
            "sadd",
            "scard",
            "select",
            "setnx",
            "sismember",
            "smismember",
            "smove",
            "spop",
            "spublish",
            "srem",
            "strlen",
            "time",
            "touch",
            "ttl",
            "type",
            "unlink",
            "unwatch",
            "watch",
            "xack",
            "xadd",
            "xautoclaim",
            "xclaim",
            "xdel",
            "xlen",
            "xsetid",
            "zadd",
            "zcard",
            "zcount",
            "zincrby",
            "zlexcount",
            "zmscore",
            "zpopmax",
            "zpopmin",
            "zrank",
            "zrem",
            "zrevrank",
            "zscore",
        ],
    ),
];
