//! `INFO`: what clients, exporters and people ask a server about itself.

use std::fmt::{self, Write as _};

use super::{Args, VERSION, is};
use crate::{error::Outcome, persistence::Persistence, pubsub::Kind, replication, session::Unit};

/// A section: its name, whether it is among those that are given without being asked for, and what writes it.
type Section = (&'static str, bool, fn(&Unit<'_>, &mut Fields));

/// In the order in which Redis gives them.
const SECTIONS: &[Section] = &[
    ("Server", true, server),
    ("Clients", true, clients),
    ("Memory", true, memory),
    ("Persistence", true, persistence),
    ("Stats", true, stats),
    ("Replication", true, replicas),
    ("CPU", true, cpu),
    ("Modules", true, |_, _| {}),
    ("Commandstats", false, command_stats),
    ("Errorstats", true, error_stats),
    ("Cluster", true, cluster),
    ("Keyspace", true, keyspace),
];

/// Lines of a section.
#[derive(Default)]
struct Fields(String);

impl Fields {
    fn add(&mut self, name: &str, value: impl fmt::Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    fn add_bool(&mut self, name: &str, value: bool) {
        self.add(name, u8::from(value));
    }

    fn add_bytes(&mut self, name: &str, bytes: usize) {
        self.add(name, bytes);
        self.add(&format!("{name}_human"), human(bytes));
    }

    fn add_zeros(&mut self, names: &[&str]) {
        for name in names {
            self.add(name, 0);
        }
    }
}

/// Bytes as people read them.
fn human(bytes: usize) -> String {
    let scaled = |shift: u32| bytes as f64 / f64::from(1u32 << shift);
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..0x10_0000 => format!("{:.2}K", scaled(10)),
        0x10_0000..0x4000_0000 => format!("{:.2}M", scaled(20)),
        _ => format!("{:.2}G", scaled(30)),
    }
}

/// `INFO [section…]`
pub(super) fn info(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    let used = unit.state.db.keyspace.used_memory();
    let peak = &mut unit.state.db.stats.memory_peak;
    *peak = used.max(*peak);
    let asked = |name: &str, is_usual: bool| {
        let names = |section: &&[u8]| {
            is(section, name)
                || is(section, "ALL")
                || is(section, "EVERYTHING")
                || (is_usual && is(section, "DEFAULT"))
        };
        if a.len() == 1 { is_usual } else { a[1..].iter().any(names) }
    };
    let mut text = String::new();
    for (name, is_usual, write) in SECTIONS {
        if asked(name, *is_usual) {
            let mut fields = Fields::default();
            write(unit, &mut fields);
            let gap = if text.is_empty() { "" } else { "\r\n" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{gap}# {name}\r\n{}", fields.0);
        }
    }
    unit.reply.text(&text);
    Ok(())
}

fn server(unit: &Unit<'_>, fields: &mut Fields) {
    let state = &*unit.state;
    let uptime_s = (state.db.now_ms() / 1000).saturating_sub(state.started_ms / 1000);
    fields.add("redis_version", VERSION);
    fields.add("redis_git_sha1", "00000000");
    fields.add("redis_git_dirty", 0);
    fields.add("redis_build_id", "0");
    fields.add("redis_mode", if state.config.cluster_enabled { "cluster" } else { "standalone" });
    fields.add("os", "Linux");
    fields.add("arch_bits", 64);
    fields.add("process_id", 1);
    fields.add("process_supervised", "no");
    fields.add("run_id", &state.run_id);
    fields.add("tcp_port", state.port);
    fields.add("server_time_usec", state.db.now_us);
    fields.add("uptime_in_seconds", uptime_s);
    fields.add("uptime_in_days", uptime_s / 86_400);
    fields.add("hz", 10);
    fields.add("configured_hz", 10);
    fields.add("lru_clock", (state.db.now_ms() / 1000) & 0xff_ffff);
    fields.add("executable", "/usr/bin/redis-server");
    fields.add("config_file", "");
    fields.add("io_threads_active", 0);
}

fn clients(unit: &Unit<'_>, fields: &mut Fields) {
    let db = &unit.state.db;
    let all = db.clients.iter();
    let (replicas, normal): (Vec<_>, Vec<_>) = all.partition(|client| client.face.is_replica);
    fields.add("connected_clients", normal.len());
    fields.add("cluster_connections", unit.state.links.len());
    fields.add("maxclients", 10_000);
    fields.add("client_recent_max_input_buffer", 0);
    fields.add(
        "client_recent_max_output_buffer",
        normal.iter().chain(&replicas).map(|client| client.unsent()).max().unwrap_or(0),
    );
    fields.add("blocked_clients", normal.iter().filter(|client| client.face.is_blocked).count());
    fields.add_zeros(&["tracking_clients", "clients_in_timeout_table"]);
}

fn memory(unit: &Unit<'_>, fields: &mut Fields) {
    let state = &*unit.state;
    let used = state.db.keyspace.used_memory();
    let peak = state.db.stats.memory_peak;
    let limit = usize::try_from(state.config.maxmemory).unwrap_or(usize::MAX);
    fields.add_bytes("used_memory", used);
    fields.add_bytes("used_memory_rss", used);
    fields.add_bytes("used_memory_peak", peak);
    let percent = if peak == 0 { 100.0 } else { used as f64 * 100.0 / peak as f64 };
    fields.add("used_memory_peak_perc", format_args!("{percent:.2}%"));
    fields.add_zeros(&["used_memory_overhead", "used_memory_startup"]);
    fields.add("used_memory_dataset", used);
    fields.add("used_memory_dataset_perc", "100.00%");
    fields.add("number_of_cached_scripts", state.scripts.len());
    fields.add_zeros(&["number_of_functions", "number_of_libraries"]);
    fields.add_bytes("maxmemory", limit);
    fields.add("maxmemory_policy", state.config.text_of("maxmemory-policy"));
    fields.add("mem_fragmentation_ratio", "1.00");
    fields.add("mem_fragmentation_bytes", 0);
    fields.add("mem_not_counted_for_evict", 0);
    fields.add("mem_replication_backlog", state.replication.backlog().map_or(0, |(_, length)| length));
    let unsent: usize = state.db.clients.iter().map(|client| client.unsent()).sum();
    fields.add("mem_clients_normal", unsent);
    fields.add_zeros(&["mem_clients_slaves", "mem_cluster_links", "mem_aof_buffer"]);
    fields.add_zeros(&["active_defrag_running", "lazyfree_pending_objects", "lazyfreed_objects"]);
}

fn persistence(unit: &Unit<'_>, fields: &mut Fields) {
    let state = &*unit.state;
    let files = state.persistence.as_ref();
    let status = files.map(Persistence::status);
    let ok = |is_ok: bool| if is_ok { "ok" } else { "err" };
    let flag = |is: fn(&crate::persistence::Status) -> bool| status.as_ref().is_some_and(is);
    let number = |of: fn(&crate::persistence::Status) -> u64| status.as_ref().map_or(0, of);
    fields.add_bool("loading", state.is_loading);
    fields.add("async_loading", 0);
    fields.add("rdb_changes_since_last_save", number(|status| status.changes));
    fields.add_bool("rdb_bgsave_in_progress", flag(|status| status.is_saving));
    let last_save_s = files.map_or(state.started_ms / 1000, Persistence::last_save_s);
    fields.add("rdb_last_save_time", last_save_s);
    fields.add("rdb_last_bgsave_status", ok(status.as_ref().is_none_or(|status| status.last_save_ok)));
    fields.add("rdb_last_bgsave_time_sec", -1);
    fields.add("rdb_current_bgsave_time_sec", -1);
    fields.add("rdb_saves", number(|status| status.saves));
    let has_log = state.config.appendonly;
    fields.add_bool("aof_enabled", has_log);
    fields.add_bool("aof_rewrite_in_progress", flag(|status| status.is_rewriting));
    fields.add_bool("aof_rewrite_scheduled", flag(|status| status.is_rewrite_scheduled));
    fields.add("aof_last_rewrite_time_sec", -1);
    fields.add("aof_current_rewrite_time_sec", -1);
    fields.add("aof_last_bgrewrite_status", ok(status.as_ref().is_none_or(|status| status.last_rewrite_ok)));
    fields.add("aof_rewrites", number(|status| status.rewrites));
    fields.add("aof_rewrites_consecutive_failures", number(|status| status.failed_rewrites));
    fields.add("aof_last_write_status", ok(status.as_ref().is_none_or(|status| status.last_write_ok)));
    if has_log {
        fields.add("aof_current_size", number(|status| status.size));
        fields.add("aof_base_size", number(|status| status.base_size));
        fields.add("aof_pending_rewrite", 0);
        fields.add("aof_buffer_length", number(|status| status.buffered));
        fields.add_bool("aof_pending_bio_fsync", flag(|status| status.is_syncing));
        fields.add("aof_delayed_fsync", number(|status| status.delayed_syncs));
    }
}

fn stats(unit: &Unit<'_>, fields: &mut Fields) {
    let db = &unit.state.db;
    let stats = &db.stats;
    fields.add("total_connections_received", stats.connections);
    fields.add("total_commands_processed", stats.commands);
    fields.add("instantaneous_ops_per_sec", stats.commands_per_second);
    fields.add("total_net_input_bytes", stats.bytes_in);
    fields.add("total_net_output_bytes", stats.bytes_out);
    fields.add("instantaneous_input_kbps", "0.00");
    fields.add("instantaneous_output_kbps", "0.00");
    fields.add("rejected_connections", 0);
    fields.add("sync_full", stats.full_syncs);
    fields.add("sync_partial_ok", stats.partial_syncs);
    fields.add("sync_partial_err", stats.refused_partial_syncs);
    fields.add("expired_keys", stats.expired);
    fields.add("expired_stale_perc", "0.00");
    fields.add("expired_time_cap_reached_count", 0);
    fields.add("evicted_keys", stats.evicted);
    fields.add("evicted_clients", 0);
    let (hits, misses) = db.keyspace.lookups();
    fields.add("keyspace_hits", hits);
    fields.add("keyspace_misses", misses);
    fields.add("pubsub_channels", db.pubsub.names(Kind::Channel).len());
    fields.add("pubsub_patterns", db.pubsub.names(Kind::Pattern).len());
    fields.add("pubsubshard_channels", db.pubsub.names(Kind::Shard).len());
    fields.add_zeros(&["latest_fork_usec", "total_forks", "migrate_cached_sockets"]);
    fields.add_zeros(&["slave_expires_tracked_keys", "tracking_total_keys", "tracking_total_items"]);
    fields.add_zeros(&["tracking_total_prefixes", "unexpected_error_replies"]);
    fields.add("total_error_replies", stats.error_replies);
    fields.add("dump_payload_sanitizations", 0);
}

fn replicas(unit: &Unit<'_>, fields: &mut Fields) {
    fields.0.push_str(&replication::commands::info(unit));
}

/// Simulated commands take no time of a processor.
fn cpu(_: &Unit<'_>, fields: &mut Fields) {
    for name in ["used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children"] {
        fields.add(name, "0.000000");
    }
}

fn command_stats(unit: &Unit<'_>, fields: &mut Fields) {
    for (name, calls) in unit.state.db.stats.calls() {
        fields.add(
            &format!("cmdstat_{name}"),
            format_args!(
                "calls={},usec=0,usec_per_call=0.00,rejected_calls={},failed_calls={}",
                calls.calls, calls.rejected, calls.failed
            ),
        );
    }
}

fn error_stats(unit: &Unit<'_>, fields: &mut Fields) {
    for (code, count) in unit.state.db.stats.errors() {
        fields.add(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn cluster(unit: &Unit<'_>, fields: &mut Fields) {
    fields.add_bool("cluster_enabled", unit.state.config.cluster_enabled);
}

fn keyspace(unit: &Unit<'_>, fields: &mut Fields) {
    let db = &unit.state.db;
    if !db.keyspace.is_empty() {
        let left_ms = db.keyspace.middle_expiry_ms().map_or(0, |ms| ms.saturating_sub(db.now_ms()));
        fields.add(
            "db0",
            format_args!("keys={},expires={},avg_ttl={left_ms}", db.keyspace.len(), db.keyspace.expiring()),
        );
    }
}
