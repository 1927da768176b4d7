//! What a server holds, as its clients can see it: to compare servers, and to carry values from one to another.

use std::collections::BTreeMap;

use redis_middleware::{Keyspace, Server, rdb};

use super::{Raw, Reply};

/// All that can be asked about a value, by key.
pub(crate) type Contents = BTreeMap<Vec<u8>, Vec<Reply>>;

/// The keys of a server, in its order.
pub(crate) async fn keys(connection: &mut Raw) -> Vec<Vec<u8>> {
    let reply = connection.words("KEYS *").await;
    let Reply::Many(_, Some(keys)) = reply else { panic!("{reply:?} is no list of keys") };
    let bytes = |key| if let Reply::Bulk(_, Some(bytes)) = key { bytes } else { panic!("{key:?} is no key") };
    keys.into_iter().map(bytes).collect()
}

/// What a server holds. What has no order in Redis is sorted.
pub(crate) async fn contents(connection: &mut Raw) -> Contents {
    let mut contents = Contents::new();
    for key in keys(connection).await {
        let about = describe(connection, &key, true).await;
        contents.insert(key, about);
    }
    contents
}

/// All about a value, in the server's own order or sorted where Redis promises none.
pub(crate) async fn describe(connection: &mut Raw, key: &[u8], sorted: bool) -> Vec<Reply> {
    let ask = |words: &str| -> Vec<Vec<u8>> {
        words
            .split(' ')
            .map(|word| if word == "K" { key.to_vec() } else { word.as_bytes().to_vec() })
            .collect()
    };
    let kind = connection.command(&ask("TYPE K")).await;
    let questions: &[&str] = match kind.text().as_str() {
        "string" => &["GET K"],
        "hash" => &["HGETALL K"],
        "list" => &["LRANGE K 0 -1"],
        "set" => &["SMEMBERS K"],
        // A cursor goes over the table, not in the order of scores.
        "zset" => &["ZRANGE K 0 -1 WITHSCORES", "ZSCAN K 0 COUNT 100000"],
        "stream" => &["XRANGE K - +", "XINFO STREAM K", "XINFO STREAM K FULL COUNT 0"],
        other => panic!("{other:?} is no type"),
    };
    let mut about = vec![kind, connection.command(&ask("PEXPIRETIME K")).await];
    for question in questions {
        let reply = connection.command(&ask(question)).await;
        let size = if question.starts_with('S') { 1 } else { 2 };
        let has_order = !["HGETALL", "SMEMBERS", "ZSCAN"].iter().any(|name| question.starts_with(name));
        about.push(if sorted && !has_order { in_chunks(reply, size) } else { reply });
    }
    about
}

/// Sorts a list of pairs or of single elements; for a cursor, the list after it.
fn in_chunks(reply: Reply, size: usize) -> Reply {
    match reply {
        Reply::Many(kind, Some(mut items)) => {
            if let Some(Reply::Many(..)) = items.last() {
                let list = items.pop().map(|list| in_chunks(list, size));
                items.extend(list);
            } else {
                let mut chunks: Vec<Vec<Reply>> = items.chunks(size).map(<[Reply]>::to_vec).collect();
                chunks.sort();
                items = chunks.concat();
            }
            Reply::Many(kind, Some(items))
        }
        other => other,
    }
}

/// Says where two servers differ, for a message.
pub(crate) fn difference(one: &Contents, other: &Contents) -> Option<String> {
    let missing =
        one.keys().chain(other.keys()).find(|key| !one.contains_key(*key) || !other.contains_key(*key));
    if let Some(key) = missing {
        return Some(format!("only one of them has {:?}", String::from_utf8_lossy(key)));
    }
    one.iter().find_map(|(key, about)| {
        let pairs = about.iter().zip(&other[key]);
        let differs = pairs.into_iter().find_map(|(here, there)| different_part(here, there))?;
        Some(format!("{:?}: {differs}", String::from_utf8_lossy(key)))
    })
}

/// The first part of two replies that differs.
pub(crate) fn different_part(here: &Reply, there: &Reply) -> Option<String> {
    match (here, there) {
        _ if here == there => None,
        (Reply::Many(_, Some(here)), Reply::Many(_, Some(there))) if here.len() == there.len() => {
            let parts = here.iter().zip(there).enumerate();
            parts.into_iter().find_map(|(place, (here, there))| {
                Some(format!("{place} > {}", different_part(here, there)?))
            })
        }
        (Reply::Many(_, Some(here)), Reply::Many(_, Some(there))) => {
            Some(format!("{} and {} elements", here.len(), there.len()))
        }
        _ => Some(format!("{:?} and {:?}", here.text(), there.text())),
    }
}

/// Puts what a snapshot held into an empty server, value by value, in order.
pub(crate) async fn restore_all(connection: &mut Raw, keyspace: &Keyspace) {
    for (key, value) in keyspace.iter() {
        let ttl = keyspace.expires_ms(key).unwrap_or(0).to_string().into_bytes();
        let command = [b"RESTORE".to_vec(), key.to_vec(), ttl, rdb::dump(value), b"ABSTTL".to_vec()];
        assert_eq!(connection.command(&command).await, Reply::Line(b'+', "OK".into()), "{value:?}");
    }
}

/// A snapshot of a server of ours.
pub(crate) fn snapshot(server: &Server) -> Vec<u8> {
    server.inspect(|keyspace| rdb::encode(keyspace, &rdb::Origin::default()))
}
