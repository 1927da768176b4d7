//! What a server tells about itself, compared with a real one.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    common::{Raw, Reply},
    duet::{compare, with_both},
};

/// The elements of an array or a set.
fn elements(reply: &Reply) -> Vec<Reply> {
    match reply {
        Reply::Many(_, Some(elements)) => elements.clone(),
        other => panic!("{other:?} has no elements"),
    }
}

/// Name, arity, flags, places of keys and categories of a command; then its subcommands.
fn known(described: &Reply) -> (Vec<Reply>, BTreeSet<Reply>, BTreeSet<Reply>, Vec<Reply>) {
    let parts = elements(described);
    let plain = [&parts[..2], &parts[3..6]].concat();
    (
        plain,
        elements(&parts[2]).into_iter().collect(),
        elements(&parts[6]).into_iter().collect(),
        elements(&parts[9]),
    )
}

#[test]
fn commands_are_described_as_redis_describes_them() {
    with_both(|ours, real| async move {
        let (mut ours, mut real) = (Raw::connect(ours).await, Raw::connect(real).await);
        let names = elements(&ours.words("COMMAND LIST").await);
        assert!(names.len() > 190);
        for name in names {
            let request = format!("COMMAND INFO {}", name.text());
            let (one, other) = (ours.words(&request).await, real.words(&request).await);
            let (one, other) = (known(&elements(&one)[0]), known(&elements(&other)[0]));
            assert_eq!((one.0, one.1, one.2), (other.0, other.1, other.2), "{request}");
            let theirs: BTreeMap<String, Reply> =
                other.3.into_iter().map(|sub| (elements(&sub)[0].text(), sub)).collect();
            for sub in one.3 {
                let name = elements(&sub)[0].text();
                let (one, other) = (known(&sub), known(&theirs[&name]));
                assert_eq!((&one.0[..2], one.1, one.2), (&other.0[..2], other.1, other.2), "{name}");
            }
        }
    });
}

#[test]
fn keys_are_found_and_the_configuration_is_changed_as_redis_does() {
    compare(&[
        "
        1: COMMAND GETKEYS MSET a 1 b 2
        1: COMMAND GETKEYS BLPOP a b 0
        1: COMMAND GETKEYS XREAD BLOCK 0 STREAMS a b 0 0
        1: COMMAND GETKEYS ZUNIONSTORE d 2 a b
        1: COMMAND GETKEYS EVAL x 2 a b c
        1: COMMAND GETKEYS EVAL x 0
        1: COMMAND GETKEYS PING
        1: COMMAND GETKEYS PING x
        1: COMMAND GETKEYS NOPE x
        1: COMMAND GETKEYS GET a b
        1: COMMAND GETKEYS ZUNIONSTORE a
        1: COMMAND GETKEYS NOPE
        1: COMMAND GETKEYS GET
        1: COMMAND GETKEYS SUBSCRIBE a
        1: COMMAND GETKEYS
        1: COMMAND INFO nope
        1: COMMAND LIST FILTERBY MODULE x
        1: COMMAND LIST FILTERBY NOPE x
        1: COMMAND LIST FILTERBY ACLCAT
        1: COMMAND LIST NOPE
        1: COMMAND LIST FILTERBY PATTERN blp*
        1: COMMAND NOPE
        1: COMMAND COUNT 1
        ",
        "
        1: SLOWLOG LEN
        1: SLOWLOG GET
        1: SLOWLOG GET 5
        1: SLOWLOG GET -2
        1: SLOWLOG GET x
        1: SLOWLOG GET 1 2
        1: SLOWLOG RESET
        1: SLOWLOG NOPE
        1: SLOWLOG HELP
        1: CONFIG REWRITE
        1: CONFIG RESETSTAT
        1: CONFIG HELP
        1: CONFIG NOPE
        1: CONFIG SET maxmemory
        1: CONFIG SET nope 1
        1: CONFIG SET maxmemory 1x
        1: CONFIG SET maxmemory 10mb maxmemory 1
        1: CONFIG SET maxmemory 10mb Nope 1
        1: CONFIG SET maxmemory 10mb maxmemory-policy nope
        1: CONFIG GET maxmemory
        1: CONFIG SET maxmemory 10mb maxmemory-policy allkeys-lru maxmemory-samples 7
        1: CONFIG GET maxmemory
        1: CONFIG GET maxmemory-policy
        1: CONFIG GET nope
        1: CONFIG SET maxmemory 0 maxmemory-policy noeviction maxmemory-samples 5
        1: CONFIG GET client-output-buffer-limit
        1: CONFIG SET client-output-buffer-limit pubsub
        1: CONFIG SET client-output-buffer-limit nope_1_1_1
        1: CONFIG SET client-output-buffer-limit pubsub_1_x_1
        1: CONFIG SET client-output-buffer-limit pubsub_1mb_1kb_10
        1: CONFIG GET client-output-buffer-limit
        1: CONFIG SET client-output-buffer-limit pubsub_32mb_8mb_60
        ",
    ]);
}

/// The fields of `INFO` by section.
fn fields(info: &str) -> BTreeMap<String, Vec<String>> {
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in info.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("# ") {
            Some(name) => section = name.to_owned(),
            None => {
                let name = line.split(':').next().unwrap_or_default().to_owned();
                sections.entry(section.clone()).or_default().push(name);
            }
        }
    }
    sections
}

#[test]
fn info_has_the_sections_and_no_fields_that_redis_does_not_have() {
    with_both(|ours, real| async move {
        let (mut ours, mut real) = (Raw::connect(ours).await, Raw::connect(real).await);
        for connection in [&mut ours, &mut real] {
            for words in ["SET k v EX 100", "GET k", "GET nope", "LPUSH k 1", "CONFIG GET dir", "NOPE", "GET"]
            {
                connection.words(words).await;
            }
        }
        for request in [
            "INFO",
            "INFO everything",
            "INFO commandstats errorstats",
            "INFO default",
            "INFO nope",
            "INFO clients",
        ] {
            let (one, other) = (ours.words(request).await.text(), real.words(request).await.text());
            let headings = |info: &str| -> Vec<String> {
                let headings = info.lines().filter(|line| line.starts_with("# "));
                headings.filter(|line| *line != "# Latencystats").map(str::to_owned).collect()
            };
            assert_eq!(headings(&one), headings(&other), "{request}");
            let (one, other) = (fields(&one), fields(&other));
            for (section, names) in &one {
                let theirs: BTreeSet<&String> = other[section].iter().collect();
                for name in
                    names.iter().filter(|name| *name != "cmdstat_info" && *name != "cmdstat_client|id")
                {
                    assert!(theirs.contains(name), "{request}: {section} has no {name}");
                }
            }
        }
        // Counts, and values that do not depend on the machine.
        let line = |info: &str, name: &str| {
            let line = info.lines().find(|line| line.starts_with(name));
            line.unwrap_or_else(|| panic!("{name} in {info}")).to_owned()
        };
        let (one, other) = (ours.words("INFO all").await.text(), real.words("INFO all").await.text());
        for name in [
            "redis_version:",
            "redis_mode:",
            "connected_clients:",
            "blocked_clients:",
            "maxmemory:",
            "maxmemory_human:",
            "maxmemory_policy:",
            "keyspace_hits:",
            "keyspace_misses:",
            "expired_keys:",
            "evicted_keys:",
            "role:",
            "errorstat_WRONGTYPE:",
            "errorstat_ERR:",
            "total_error_replies:",
            "loading:",
            "aof_enabled:",
        ] {
            assert_eq!(line(&one, name), line(&other, name));
        }
        let calls = |info: &str, name: &str| {
            let line = line(info, &format!("cmdstat_{name}:"));
            let counts: Vec<&str> = line.split(',').filter(|part| !part.contains("usec")).collect();
            counts.join(",")
        };
        for name in ["get", "set", "lpush", "config|get"] {
            assert_eq!(calls(&one, name), calls(&other, name));
        }
        ours.words("CONFIG RESETSTAT").await;
        let after = ours.words("INFO all").await.text();
        assert_eq!(line(&after, "keyspace_misses:"), "keyspace_misses:0");
        assert!(!after.contains("cmdstat_get"));
    });
}
