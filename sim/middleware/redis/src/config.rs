//! The parameters of `redis.conf` that this server has, with the names, units and defaults of Redis 7.0.

mod output_limits;

use std::{fmt::Write as _, time::Duration};

pub use self::output_limits::{OutputLimit, OutputLimits};

use crate::{
    commands::glob,
    eviction::EvictionPolicy,
    number::{natural, parse_i64},
    persistence::{self, FsyncPolicy, SavePoint},
};

/// The configuration of a server. [`Config::set`] and [`Config::get`] know each field by its name in `redis.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Directory of the server's files on the disk of its host.
    pub dir: String,
    /// Is there an append-only file?
    pub appendonly: bool,
    /// When it is synced.
    pub appendfsync: FsyncPolicy,
    /// Growth of the append-only file since it was last rewritten, in percent, at which it is rewritten; 0: never.
    pub auto_aof_rewrite_percentage: u64,
    /// Bytes below which the append-only file is not rewritten.
    pub auto_aof_rewrite_min_size: u64,
    /// Is a broken end of the append-only file cut off when it is loaded? Otherwise the server does not start.
    pub aof_load_truncated: bool,
    /// When a snapshot is written; empty: never by itself.
    pub save: Vec<SavePoint>,
    /// Are writes refused after a snapshot could not be written?
    pub stop_writes_on_bgsave_error: bool,
    /// Replicas that must be heard of within [`Config::min_replicas_max_lag`] for writes to be taken; 0: none.
    pub min_replicas_to_write: u64,
    /// Seconds since the last acknowledgement within which a replica counts as good.
    pub min_replicas_max_lag: u64,
    /// Bytes of the replication stream that are kept for replicas that come back.
    pub repl_backlog_size: u64,
    /// Time without a word after which the link between master and replica is given up.
    pub repl_timeout: Duration,
    /// Distance of the pings that a master puts into the replication stream.
    pub repl_ping_replica_period: Duration,
    /// How long a master waits for more replicas before it makes the snapshot for a full resynchronisation.
    pub repl_diskless_sync_delay: Duration,
    /// Do replicas refuse the writes of clients?
    pub replica_read_only: bool,
    /// Do replicas answer while they have lost their master?
    pub replica_serve_stale_data: bool,
    /// The address that a node tells the others of itself; without it, they find it out.
    pub cluster_announce_ip: Option<String>,
    /// Is the server a node of a cluster? Set at the start only.
    pub cluster_enabled: bool,
    /// Silence after which a node of the cluster counts as failing.
    pub cluster_node_timeout: Duration,
    /// Multiple of the node timeout beyond which a replica's data is too old to be elected; 0: never.
    pub cluster_replica_validity_factor: u64,
    /// Replicas that a master keeps when one of them moves to a master without any.
    pub cluster_migration_barrier: u64,
    /// Do replicas move to masters without any?
    pub cluster_allow_replica_migration: bool,
    /// Does the cluster stop when a slot has no master?
    pub cluster_require_full_coverage: bool,
    /// Does this replica never try to be elected?
    pub cluster_replica_no_failover: bool,
    /// Are reads answered while the cluster is down?
    pub cluster_allow_reads_when_down: bool,
    /// Bytes that the data may take; 0: as many as it wants.
    pub maxmemory: u64,
    /// Which keys go when it takes more.
    pub maxmemory_policy: EvictionPolicy,
    /// Keys that are looked at to find one that goes.
    pub maxmemory_samples: u64,
    /// How hard it is for a key to count as used more often.
    pub lfu_log_factor: u64,
    /// Minutes without a use after which a key counts as used once less often; 0: never.
    pub lfu_decay_time: u64,
    /// How much may wait to be read by a client before it is closed.
    pub client_output_buffer_limit: OutputLimits,
}

impl Default for Config {
    /// As the `redis.conf` that comes with Redis 7.0, without snapshots.
    fn default() -> Self {
        Self {
            dir: "/var/lib/redis".to_owned(),
            appendonly: false,
            appendfsync: FsyncPolicy::default(),
            auto_aof_rewrite_percentage: 100,
            auto_aof_rewrite_min_size: 64 << 20,
            aof_load_truncated: true,
            save: Vec::new(),
            stop_writes_on_bgsave_error: true,
            min_replicas_to_write: 0,
            min_replicas_max_lag: 10,
            repl_backlog_size: 1 << 20,
            repl_timeout: Duration::from_secs(60),
            repl_ping_replica_period: Duration::from_secs(10),
            repl_diskless_sync_delay: Duration::from_secs(5),
            replica_read_only: true,
            replica_serve_stale_data: true,
            cluster_announce_ip: None,
            cluster_enabled: false,
            cluster_node_timeout: Duration::from_secs(15),
            cluster_replica_validity_factor: 10,
            cluster_migration_barrier: 1,
            cluster_allow_replica_migration: true,
            cluster_require_full_coverage: true,
            cluster_replica_no_failover: false,
            cluster_allow_reads_when_down: false,
            maxmemory: 0,
            maxmemory_policy: EvictionPolicy::default(),
            maxmemory_samples: 5,
            lfu_log_factor: 10,
            lfu_decay_time: 1,
            client_output_buffer_limit: OutputLimits::default(),
        }
    }
}

/// A kind of value, with the way from and to its text.
trait Parameter: Sized {
    fn parse(text: &str) -> Result<Self, String>;
    fn print(&self) -> String;
}

impl Parameter for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err("argument must be 'yes' or 'no'".to_owned()),
        }
    }

    fn print(&self) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }
}

impl Parameter for u64 {
    /// With the units of `redis.conf`: `k`, `kb`, `m`, `mb`, `g`, `gb`.
    fn parse(text: &str) -> Result<Self, String> {
        let number_ends = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(number_ends);
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" => 1000,
            "kb" => 1 << 10,
            "m" => 1_000_000,
            "mb" => 1 << 20,
            "g" => 1_000_000_000,
            "gb" => 1 << 30,
            _ => 0,
        };
        let number = natural(number.as_bytes()).and_then(|number| u64::try_from(number).ok());
        let value = number.filter(|_| factor > 0).and_then(|number| number.checked_mul(factor));
        value.ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl Parameter for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn print(&self) -> String {
        self.clone()
    }
}

impl Parameter for Option<String> {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    fn print(&self) -> String {
        self.clone().unwrap_or_default()
    }
}

impl Parameter for Vec<SavePoint> {
    fn parse(text: &str) -> Result<Self, String> {
        let invalid = || "Invalid save parameters".to_owned();
        let number = |word: &str| {
            parse_i64(word.as_bytes()).and_then(|number| u64::try_from(number).ok()).ok_or_else(invalid)
        };
        let numbers = text.split_whitespace().map(number).collect::<Result<Vec<u64>, String>>()?;
        let (pairs, rest) = numbers.as_chunks::<2>();
        if !rest.is_empty() || pairs.iter().any(|[seconds, _]| *seconds == 0) {
            return Err(invalid());
        }
        Ok(pairs
            .iter()
            .map(|[seconds, changes]| SavePoint { seconds: *seconds, changes: *changes })
            .collect())
    }

    fn print(&self) -> String {
        let mut text = String::new();
        for SavePoint { seconds, changes } in self {
            let gap = if text.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{gap}{seconds} {changes}");
        }
        text
    }
}

macro_rules! choices {
    ($type:ty { $($variant:ident = $text:literal),* $(,)? }) => {
        impl Parameter for $type {
            fn parse(text: &str) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(format!(
                        "argument(s) must be one of the following: {}",
                        [$($text),*].join(", ")
                    )),
                }
            }

            fn print(&self) -> String {
                match self {
                    $(Self::$variant => $text,)*
                }
                .to_owned()
            }
        }
    };
}

choices!(FsyncPolicy { EverySecond = "everysec", Always = "always", No = "no" });
choices!(EvictionPolicy {
    VolatileLru = "volatile-lru",
    VolatileLfu = "volatile-lfu",
    VolatileRandom = "volatile-random",
    VolatileTtl = "volatile-ttl",
    AllKeysLru = "allkeys-lru",
    AllKeysLfu = "allkeys-lfu",
    AllKeysRandom = "allkeys-random",
    NoEviction = "noeviction",
});

/// A duration that is given in whole milliseconds or seconds.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One parameter of the table.
struct Entry {
    name: &'static str,
    /// Can `CONFIG SET` change it?
    mutable: bool,
    print: fn(&Config) -> String,
    set: fn(&mut Config, &str) -> Result<(), String>,
}

macro_rules! entry {
    ($name:literal, $field:ident, $mutable:literal) => {
        Entry {
            name: $name,
            mutable: $mutable,
            print: |config| config.$field.print(),
            set: |config, text| {
                config.$field = Parameter::parse(text)?;
                Ok(())
            },
        }
    };
    ($name:literal, $field:ident in bytes) => {
        Entry {
            name: $name,
            mutable: true,
            print: |config| config.$field.print(),
            set: |config, text| {
                config.$field =
                    Parameter::parse(text).map_err(|_| "argument must be a memory value".to_owned())?;
                Ok(())
            },
        }
    };
    ($name:literal, $field:ident in milliseconds) => {
        entry!($name, $field, milliseconds, Duration::from_millis)
    };
    ($name:literal, $field:ident in seconds) => {
        entry!($name, $field, |duration: Duration| duration.as_secs(), Duration::from_secs)
    };
    ($name:literal, $field:ident, $to:expr, $from:expr) => {
        Entry {
            name: $name,
            mutable: true,
            print: |config| ($to)(config.$field).to_string(),
            set: |config, text| {
                config.$field = ($from)(Parameter::parse(text)?);
                Ok(())
            },
        }
    };
    ($name:literal always $value:literal) => {
        Entry {
            name: $name,
            mutable: false,
            print: |_| $value.to_owned(),
            set: |_, _| Err("it is fixed".to_owned()),
        }
    };
}

/// Sorted by name.
static TABLE: &[Entry] = &[
    entry!("aof-load-truncated", aof_load_truncated, true),
    entry!("appendfsync", appendfsync, true),
    entry!("appendonly", appendonly, false),
    entry!("auto-aof-rewrite-min-size", auto_aof_rewrite_min_size, true),
    entry!("auto-aof-rewrite-percentage", auto_aof_rewrite_percentage, true),
    Entry {
        name: "client-output-buffer-limit",
        mutable: true,
        print: |config| config.client_output_buffer_limit.to_string(),
        set: |config, text| config.client_output_buffer_limit.update(text),
    },
    entry!("cluster-allow-pubsubshard-when-down" always "yes"),
    entry!("cluster-allow-reads-when-down", cluster_allow_reads_when_down, true),
    entry!("cluster-allow-replica-migration", cluster_allow_replica_migration, true),
    entry!("cluster-announce-ip", cluster_announce_ip, true),
    entry!("cluster-enabled", cluster_enabled, false),
    entry!("cluster-migration-barrier", cluster_migration_barrier, true),
    entry!("cluster-node-timeout", cluster_node_timeout in milliseconds),
    entry!("cluster-replica-no-failover", cluster_replica_no_failover, true),
    entry!("cluster-replica-validity-factor", cluster_replica_validity_factor, true),
    entry!("cluster-require-full-coverage", cluster_require_full_coverage, true),
    entry!("databases" always "1"),
    entry!("dir", dir, false),
    entry!("lazyfree-lazy-eviction" always "no"),
    entry!("lfu-decay-time", lfu_decay_time, true),
    entry!("lfu-log-factor", lfu_log_factor, true),
    entry!("lua-time-limit" always "5000"),
    entry!("maxmemory", maxmemory in bytes),
    entry!("maxmemory-policy", maxmemory_policy, true),
    entry!("maxmemory-samples", maxmemory_samples, true),
    entry!("min-replicas-max-lag", min_replicas_max_lag, true),
    entry!("min-replicas-to-write", min_replicas_to_write, true),
    entry!("notify-keyspace-events" always ""),
    entry!("proto-max-bulk-len" always "536870912"),
    entry!("repl-backlog-size", repl_backlog_size, true),
    entry!("repl-diskless-sync-delay", repl_diskless_sync_delay in seconds),
    entry!("repl-ping-replica-period", repl_ping_replica_period in seconds),
    entry!("repl-timeout", repl_timeout in seconds),
    entry!("replica-ignore-maxmemory" always "yes"),
    entry!("replica-read-only", replica_read_only, true),
    entry!("replica-serve-stale-data", replica_serve_stale_data, true),
    entry!("requirepass" always ""),
    entry!("save", save, false),
    entry!("stop-writes-on-bgsave-error", stop_writes_on_bgsave_error, true),
    entry!("timeout" always "0"),
];

/// Names of old, which `CONFIG` still takes and gives.
static ALIASES: &[(&str, &str)] = &[
    ("cluster-slave-no-failover", "cluster-replica-no-failover"),
    ("cluster-slave-validity-factor", "cluster-replica-validity-factor"),
    ("min-slaves-max-lag", "min-replicas-max-lag"),
    ("min-slaves-to-write", "min-replicas-to-write"),
    ("repl-ping-slave-period", "repl-ping-replica-period"),
    ("slave-read-only", "replica-read-only"),
    ("slave-serve-stale-data", "replica-serve-stale-data"),
];

/// Why a parameter cannot be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetError {
    /// There is none of this name.
    Unknown,
    /// It cannot be changed while the server runs.
    Immutable,
    /// The value is wrong: how.
    Invalid(String),
}

fn find(name: &str) -> Option<&'static Entry> {
    let name = name.to_ascii_lowercase();
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name.as_str(), |(_, real)| real);
    TABLE.iter().find(|entry| entry.name == name)
}

impl Config {
    /// What of it concerns the files; `None` when nothing is kept.
    pub(crate) fn persistence(&self) -> Option<persistence::Config> {
        let keeps = self.appendonly || !self.save.is_empty();
        keeps.then(|| persistence::Config {
            directory: self.dir.clone().into(),
            append_only: self.appendonly,
            fsync: self.appendfsync,
            load_truncated: self.aof_load_truncated,
            rewrite_percentage: self.auto_aof_rewrite_percentage,
            rewrite_min_bytes: self.auto_aof_rewrite_min_size,
            save: self.save.clone(),
            stop_writes_on_save_error: self.stop_writes_on_bgsave_error,
            ..persistence::Config::default()
        })
    }

    /// Sets a parameter by its name in `redis.conf`, also one that cannot be changed later.
    ///
    /// # Errors
    /// When there is no such parameter, or the value is wrong; nothing is changed then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SetError> {
        (find(name).ok_or(SetError::Unknown)?.set)(self, value).map_err(SetError::Invalid)
    }

    /// The text of a parameter that there is.
    pub(crate) fn text_of(&self, name: &str) -> String {
        find(name).map(|entry| (entry.print)(self)).unwrap_or_default()
    }

    /// Can a parameter of a running server be set?
    pub(crate) fn check_change(&self, name: &str) -> Result<(), SetError> {
        if find(name).ok_or(SetError::Unknown)?.mutable { Ok(()) } else { Err(SetError::Immutable) }
    }

    /// Sets a parameter of a running server.
    pub(crate) fn change(&mut self, name: &str, value: &str) -> Result<(), SetError> {
        let entry = find(name).ok_or(SetError::Unknown)?;
        if !entry.mutable {
            return Err(SetError::Immutable);
        }
        (entry.set)(self, value).map_err(SetError::Invalid)
    }

    /// The parameters whose names match a glob pattern, with their values, sorted by name.
    pub fn get(&self, pattern: &str) -> Vec<(&'static str, String)> {
        let pattern = pattern.to_ascii_lowercase();
        let matches = |name: &str| glob::matches(pattern.as_bytes(), name.as_bytes());
        let own = TABLE.iter().map(|entry| (entry.name, entry));
        let aliases = ALIASES.iter().filter_map(|(alias, real)| Some((*alias, find(real)?)));
        let wanted = own.chain(aliases).filter(|(name, _)| matches(name));
        let mut found: Vec<_> = wanted.map(|(name, entry)| (name, (entry.print)(self))).collect();
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_read_back_as_it_was_printed() {
        assert!(TABLE.is_sorted_by(|a, b| a.name < b.name));
        let default = Config::default();
        for (name, value) in default.get("*") {
            let mut config = Config::default();
            if config.set(name, &value) != Err(SetError::Invalid("it is fixed".to_owned())) {
                assert_eq!(config.set(name, &value), Ok(()), "{name}");
            }
            assert_eq!(config, default, "{name}");
        }
    }

    #[test]
    fn values_have_units_and_are_checked() {
        let mut config = Config::default();
        config.set("repl-backlog-size", "16mb").expect("valid");
        assert_eq!(config.repl_backlog_size, 16 << 20);
        config.set("cluster-node-timeout", "2500").expect("valid");
        assert_eq!(config.cluster_node_timeout, Duration::from_millis(2500));
        config.set("save", "3600 1 300 100").expect("valid");
        assert_eq!(config.save.print(), "3600 1 300 100");
        assert_eq!(config.set("nope", "1"), Err(SetError::Unknown));
        assert_eq!(config.change("dir", "/"), Err(SetError::Immutable));
        for (name, value) in [
            ("appendonly", "maybe"),
            ("appendfsync", "sometimes"),
            ("repl-backlog-size", "-1"),
            ("repl-backlog-size", "1tb"),
            ("repl-backlog-size", "99999999999999999999"),
            ("save", "1"),
            ("save", "0 1"),
        ] {
            let before = config.clone();
            assert!(matches!(config.set(name, value), Err(SetError::Invalid(_))), "{name} {value}");
            assert_eq!(config, before);
        }
    }
}
