//! What the server has to know about a command before it runs it, beside its row in the table. The lists are those of
//! Redis 7.0, as far as the table has the commands.

/// Flags of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags(u8);

impl Flags {
    /// It is answered while the data is loaded.
    pub(crate) const LOADING: Flags = Flags(1);
    /// It is answered by a replica that has lost its master, whatever the configuration.
    pub(crate) const STALE: Flags = Flags(1 << 1);
    /// It cannot be part of a transaction.
    pub(crate) const NO_MULTI: Flags = Flags(1 << 2);
    /// It acts on the transaction instead of being part of it.
    pub(crate) const IMMEDIATE: Flags = Flags(1 << 3);

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
    (Flags::NO_MULTI, &["bgsave", "psync", "save", "ssubscribe", "sunsubscribe", "sync"]),
    (Flags::IMMEDIATE, &["discard", "exec", "multi", "quit", "reset", "watch"]),
];
