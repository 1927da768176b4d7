//! What `CLUSTER INFO`, `SLOTS`, `SHARDS` and `LINKS` reply.

use std::fmt::Write;

use wire::redis::reply::Writer;

use super::{
    Cluster, Flags,
    links::Link,
    message::Kind,
    node::{Handle, Node},
    slot_set::Slot,
};

impl Cluster {
    /// The reply of `CLUSTER INFO`.
    pub(super) fn info(&self) -> String {
        let slots = |wanted: fn(Flags) -> bool| -> u32 {
            self.nodes().filter(|node| wanted(node.flags)).map(|node| node.slot_count).sum()
        };
        let me = self.me();
        let speaker = self.master_of(me).filter(|_| me.is_replica()).unwrap_or(me);
        let mut info = format!(
            "cluster_state:{}\r\ncluster_slots_assigned:{}\r\ncluster_slots_ok:{}\r\n\
             cluster_slots_pfail:{}\r\ncluster_slots_fail:{}\r\ncluster_known_nodes:{}\r\ncluster_size:{}\r\n\
             cluster_current_epoch:{}\r\ncluster_my_epoch:{}\r\n",
            if self.up { "ok" } else { "fail" },
            self.slots.assigned,
            slots(|flags| !flags.any(Flags::FAIL | Flags::PFAIL)),
            slots(|flags| flags.any(Flags::PFAIL) && !flags.any(Flags::FAIL)),
            slots(|flags| flags.any(Flags::FAIL)),
            self.nodes.len(),
            self.size,
            self.current_epoch,
            speaker.config_epoch,
        );
        for (direction, counts) in [("sent", &self.sent), ("received", &self.received)] {
            for (kind, count) in Kind::ALL.iter().zip(counts).filter(|(_, count)| **count > 0) {
                // Writing to a string cannot fail.
                let _ = write!(info, "cluster_stats_messages_{}_{direction}:{count}\r\n", kind.name());
            }
            let all: u64 = counts.iter().sum();
            let _ = write!(info, "cluster_stats_messages_{direction}:{all}\r\n");
        }
        info.push_str("total_cluster_links_buffer_limit_exceeded:0\r\n");
        info
    }

    /// Writes the reply of `CLUSTER SLOTS`: per range of slots, its master and those of its replicas that can serve.
    pub(super) fn reply_slots(&self, reply: &mut Writer) {
        let mut ranges: Vec<(Slot, Slot, Handle)> = Vec::new();
        for (handle, node) in self.nodes.iter() {
            ranges.extend(node.slots.ranges().map(|(first, last)| (first, last, handle)));
        }
        ranges.sort_by_key(|(first, _, _)| *first);
        reply.array(ranges.len());
        for (first, last, owner) in ranges {
            let owner = &self.nodes[owner];
            let serving = |replica: &&Node| !replica.has_failed() && self.offset_of(replica) != 0;
            let replicas = owner.replicas.iter().map(|replica| &self.nodes[*replica]);
            let replicas: Vec<_> = replicas.filter(serving).collect();
            reply.array(3 + replicas.len());
            reply.integer(first.into());
            reply.integer(last.into());
            reply_endpoint(owner, reply);
            for replica in replicas {
                reply_endpoint(replica, reply);
            }
        }
    }

    /// Writes the reply of `CLUSTER SHARDS`.
    pub(super) fn reply_shards(&self, reply: &mut Writer) {
        let masters: Vec<_> = self.nodes.iter().filter(|(_, node)| node.is_master()).collect();
        reply.array(masters.len());
        for (handle, master) in masters {
            reply.map(2);
            reply.bulk(b"slots");
            let ranges: Vec<_> = master.slots.ranges().collect();
            reply.array(ranges.len() * 2);
            for (first, last) in ranges {
                reply.integer(first.into());
                reply.integer(last.into());
            }
            reply.bulk(b"nodes");
            let shard = self.shard_of(handle);
            reply.array(shard.len());
            for node in shard {
                self.reply_member(&self.nodes[node], reply);
            }
        }
    }

    fn reply_member(&self, node: &Node, reply: &mut Writer) {
        let offset = self.offset_of(node);
        let health = if node.has_failed() {
            "fail"
        } else if node.is_replica() && offset == 0 {
            "loading"
        } else {
            "online"
        };
        let role = if node.is_replica() { "replica" } else { "master" };
        let (port, hostname) = (node.port != 0, !node.hostname.is_empty());
        reply.map(6 + usize::from(port) + usize::from(hostname));
        reply.bulk(b"id");
        reply.bulk(node.id.as_bytes());
        if port {
            reply.bulk(b"port");
            reply.integer(node.port.into());
        }
        reply_text(reply, "ip", &node.ip);
        reply_text(reply, "endpoint", &node.ip);
        if hostname {
            reply_text(reply, "hostname", &node.hostname);
        }
        reply_text(reply, "role", role);
        reply.bulk(b"replication-offset");
        reply.integer(offset);
        reply_text(reply, "health", health);
    }

    /// A node's replication offset as far as it is known; nodes do not tell themselves.
    fn offset_of(&self, node: &Node) -> i64 {
        if node.flags.any(Flags::MYSELF) { self.facts.offset } else { node.offset }
    }

    /// Writes the reply of `CLUSTER LINKS`. What waits to be sent is not this module's to know: none.
    pub(super) fn reply_links(&self, reply: &mut Writer) {
        let ids = self.nodes().flat_map(|node| node.link.into_iter().chain(node.inbound));
        let links: Vec<&Link> = ids.filter_map(|id| self.links.get(&id)).collect();
        reply.array(links.len());
        for link in links {
            reply.map(6);
            reply_text(reply, "direction", if link.inbound { "from" } else { "to" });
            let node = link.node.map(|node| self.nodes[node].id);
            reply_text(reply, "node", node.as_ref().map_or("", |id| id.as_str()));
            reply.bulk(b"create-time");
            reply.integer(link.created_ms);
            // Of a link that is still being opened, nothing is read.
            reply_text(reply, "events", if link.local_ip.is_empty() { "" } else { "r" });
            for buffer in ["send-buffer-allocated", "send-buffer-used"] {
                reply.bulk(buffer.as_bytes());
                reply.integer(0);
            }
        }
    }
}

/// A node as clients are told where to go.
fn reply_endpoint(node: &Node, reply: &mut Writer) {
    reply.array(4);
    reply.bulk(node.ip.as_bytes());
    reply.integer(node.port.into());
    reply.bulk(node.id.as_bytes());
    if node.hostname.is_empty() {
        reply.map(0);
    } else {
        reply.map(1);
        reply_text(reply, "hostname", &node.hostname);
    }
}

fn reply_text(reply: &mut Writer, name: &str, text: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(text.as_bytes());
}
