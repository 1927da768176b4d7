//! The slots of a cluster: which key is in which, which master serves which, and what servers say about it.

use std::sync::Arc;

use redis::{ServerError, Value};

use super::node::Node;

/// Slots of a cluster.
const COUNT: usize = 16_384;
/// Marks a slot of which no master is known.
const NOBODY: u16 = u16::MAX;

/// One of the 16 384 slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u16);

impl Slot {
    /// The slot that a key is in: CRC16 of the key, or of its part in braces.
    pub(super) fn of_key(key: &[u8]) -> Self {
        Self(redis_protocol::redis_keyslot(key))
    }

    fn parse(number: i64) -> Option<Self> {
        u16::try_from(number).ok().filter(|number| usize::from(*number) < COUNT).map(Self)
    }
}

/// Which master serves which slot, as far as the client knows.
#[derive(Debug)]
pub(super) struct SlotMap {
    /// For each slot, the index of its master.
    owners: Box<[u16]>,
    masters: Vec<Arc<Node>>,
}

impl SlotMap {
    /// Knows nothing.
    pub(super) fn new() -> Self {
        Self { owners: vec![NOBODY; COUNT].into_boxed_slice(), masters: Vec::new() }
    }

    /// The master of a slot; of one that nobody serves, any master, which will say so.
    pub(super) fn master_of(&self, slot: Slot) -> Option<&Arc<Node>> {
        let owner = self.owners.get(usize::from(slot.0)).copied().unwrap_or(NOBODY);
        self.masters.get(usize::from(owner)).or_else(|| self.masters.first())
    }

    /// The masters, and those that were until slots moved away from them one by one.
    pub(super) fn masters(&self) -> &[Arc<Node>] {
        &self.masters
    }

    /// The masters that serve slots. Looks at all slots.
    pub(super) fn serving_masters(&self) -> Vec<Arc<Node>> {
        let mut is_serving = vec![false; self.masters.len()];
        for owner in &self.owners {
            if let Some(is_serving) = is_serving.get_mut(usize::from(*owner)) {
                *is_serving = true;
            }
        }
        let serving = self.masters.iter().zip(is_serving).filter(|(_, is_serving)| *is_serving);
        serving.map(|(node, _)| Arc::clone(node)).collect()
    }

    /// From now on, the node serves the slot.
    pub(super) fn assign(&mut self, slot: Slot, node: &Arc<Node>) {
        self.assign_range(slot, slot, node);
    }

    /// From now on, the node serves the slots of a range, its ends included.
    pub(super) fn assign_range(&mut self, first: Slot, last: Slot, node: &Arc<Node>) {
        let known = self.masters.iter().position(|master| Arc::ptr_eq(master, node));
        let index = known.unwrap_or_else(|| {
            self.masters.push(Arc::clone(node));
            self.masters.len() - 1
        });
        let owner = u16::try_from(index).unwrap_or(NOBODY);
        if let Some(owners) = self.owners.get_mut(usize::from(first.0)..=usize::from(last.0)) {
            owners.fill(owner);
        }
    }
}

/// A range of slots and the addresses of those who serve it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotRange {
    pub(super) first: Slot,
    pub(super) last: Slot,
    pub(super) master: String,
    pub(super) replicas: Vec<String>,
}

/// Reads the reply of `CLUSTER SLOTS`. Ranges whose master's address is not known to the server are left out. `None`
/// if it is no such reply.
///
/// `asked` is the address that the reply came from: nodes that give no host have the same.
pub(super) fn parse_slots(reply: &Value, asked: &str) -> Option<Vec<SlotRange>> {
    let Value::Array(entries) = reply else { return None };
    let mut ranges = Vec::with_capacity(entries.len());
    for entry in entries {
        let Value::Array(parts) = entry else { return None };
        let [Value::Int(first), Value::Int(last), master, replicas @ ..] = parts.as_slice() else {
            return None;
        };
        let (first, last) = (Slot::parse(*first)?, Slot::parse(*last)?);
        if first.0 > last.0 {
            return None;
        }
        let Some(master) = parse_node(master, asked) else { continue };
        let replicas = replicas.iter().filter_map(|replica| parse_node(replica, asked)).collect();
        ranges.push(SlotRange { first, last, master, replicas });
    }
    Some(ranges)
}

/// A node of `CLUSTER SLOTS`: host, port, and more that is of no use here.
fn parse_node(node: &Value, asked: &str) -> Option<String> {
    let Value::Array(parts) = node else { return None };
    let [host, Value::Int(port), ..] = parts.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        Value::Nil => "",
        _ => return None,
    };
    address(host, u16::try_from(*port).ok()?, asked)
}

/// `?` stands for a host that is not known, no name for the host that was asked.
fn address(host: &str, port: u16, asked: &str) -> Option<String> {
    let host = match host {
        "?" => return None,
        "" => asked.rsplit_once(':')?.0,
        host => host,
    };
    Some(format!("{host}:{port}"))
}

/// Reads the slot and the address of a redirection (`MOVED 3999 127.0.0.1:6381`), sent by the node at `asked`.
pub(super) fn parse_redirection(error: &ServerError, asked: &str) -> Option<(Slot, String)> {
    let (slot, node) = error.details()?.split_once(' ')?;
    let (host, port) = node.trim_end().rsplit_once(':')?;
    Some((Slot::parse(slot.parse().ok()?)?, address(host, port.parse().ok()?, asked)?))
}

#[cfg(test)]
mod tests {
    use super::{super::Options, *};

    fn parse(reply: &[u8]) -> Option<Vec<SlotRange>> {
        parse_slots(&redis::parse_redis_value(reply).expect("a reply"), "asked:7000")
    }

    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(Slot::of_key(b"foo"), Slot(12_182));
        assert_eq!(Slot::of_key(b"123456789"), Slot(0x31c3));
        assert_eq!(Slot::of_key(b"{user1000}.following"), Slot::of_key(b"user1000"));
        assert_eq!(Slot::of_key(b"foo{{bar}}zap"), Slot::of_key(b"{bar"));
        assert_ne!(Slot::of_key(b"foo{}bar"), Slot::of_key(b""));
        assert_eq!(Slot::of_key(b""), Slot(0));
    }

    #[test]
    fn the_reply_of_cluster_slots_is_read() {
        let ranges = parse(
            b"*3\r\n\
              *4\r\n:0\r\n:5460\r\n*4\r\n$2\r\na1\r\n:7000\r\n$1\r\nx\r\n*0\r\n*4\r\n$2\r\na2\r\n:7001\r\n$1\r\ny\r\n*0\r\n\
              *3\r\n:5461\r\n:5461\r\n*3\r\n$-1\r\n:7002\r\n$1\r\nz\r\n\
              *3\r\n:5462\r\n:16383\r\n*3\r\n$1\r\n?\r\n:7003\r\n$1\r\nw\r\n",
        );
        let range = |first, last, master: &str, replicas: &[&str]| SlotRange {
            first: Slot(first),
            last: Slot(last),
            master: master.to_owned(),
            replicas: replicas.iter().map(|replica| (*replica).to_owned()).collect(),
        };
        let expected = vec![range(0, 5460, "a1:7000", &["a2:7001"]), range(5461, 5461, "asked:7002", &[])];
        assert_eq!(ranges, Some(expected));
    }

    #[test]
    fn what_is_no_slot_map_is_refused() {
        for reply in [
            &b"+OK\r\n"[..],
            b"*1\r\n:1\r\n",
            b"*1\r\n*2\r\n:0\r\n:1\r\n",
            b"*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:1\r\n",
            b"*1\r\n*3\r\n:-1\r\n:1\r\n*2\r\n$1\r\na\r\n:1\r\n",
            b"*1\r\n*3\r\n:2\r\n:1\r\n*2\r\n$1\r\na\r\n:1\r\n",
        ] {
            assert_eq!(parse(reply), None, "{:?}", String::from_utf8_lossy(reply));
        }
        assert_eq!(parse(b"*0\r\n"), Some(vec![]));
    }

    #[test]
    fn redirections_are_read() {
        let redirection = |line: &str| {
            let Ok(Value::ServerError(error)) = redis::parse_redis_value(format!("-{line}\r\n").as_bytes())
            else {
                panic!("no error: {line}")
            };
            parse_redirection(&error, "asked:7000")
        };
        assert_eq!(redirection("MOVED 3999 10.0.0.3:6381"), Some((Slot(3999), "10.0.0.3:6381".into())));
        assert_eq!(redirection("ASK 0 ::1:6381"), Some((Slot(0), "::1:6381".into())));
        assert_eq!(redirection("MOVED 3999 :6381"), Some((Slot(3999), "asked:6381".into())));
        for wrong in [
            "MOVED",
            "MOVED 1",
            "MOVED 16384 a:1",
            "MOVED x a:1",
            "MOVED 1 a",
            "MOVED 1 a:99999",
            "ASK 1 ?:1",
        ] {
            assert_eq!(redirection(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_slot_moves_alone() {
        let node = |address: &str| Arc::new(Node::new(address, &Options::default()));
        let mut map = SlotMap::new();
        assert!(map.master_of(Slot(0)).is_none());
        let (a, b) = (node("a:1"), node("b:1"));
        map.assign_range(Slot(0), Slot(99), &a);
        map.assign(Slot(50), &b);
        let owner = |map: &SlotMap, slot| map.master_of(Slot(slot)).map(|node| node.address().to_owned());
        assert_eq!(owner(&map, 49).as_deref(), Some("a:1"));
        assert_eq!(owner(&map, 50).as_deref(), Some("b:1"));
        assert_eq!(owner(&map, 51).as_deref(), Some("a:1"));
        assert_eq!(owner(&map, 16_383).as_deref(), Some("a:1"), "nobody serves it: any master says so");
    }
}
