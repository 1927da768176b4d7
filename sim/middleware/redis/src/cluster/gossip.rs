//! Heartbeats: pings, pongs and meets, each with news of a few other nodes.

use super::{
    Cluster, Flags, LinkId,
    message::{Body, Gossip, Kind},
    node::{Handle, Node},
};

impl Cluster {
    /// Sends a heartbeat over a link.
    pub(super) fn send_heartbeat(&mut self, link: LinkId, kind: Kind) {
        let Some(state) = self.links.get(&link) else { return };
        if kind == Kind::Ping
            && !state.inbound
            && let Some(node) = state.node
        {
            self.nodes[node].ping_sent_ms = self.now_ms;
        }
        self.heartbeats += 1;
        let gossip = self.choose_gossip();
        self.send(Some(link), &Body::Heartbeat { kind, gossip, hostname: None });
    }

    /// News of some nodes drawn at random, a tenth of all but three at least, and of all that may have failed: so
    /// that a majority hears of a failure soon.
    fn choose_gossip(&mut self) -> Vec<Gossip> {
        let known = self.nodes.len();
        // Neither this node nor the one that is told.
        let mut fresh = known.saturating_sub(2);
        let wanted = (known / 10).max(3).min(fresh);
        let mut gossip = Vec::with_capacity(wanted + self.pfail_nodes.min(known));
        let mut tries = wanted * 3;
        while fresh > 0 && gossip.len() < wanted && tries > 0 {
            tries -= 1;
            let place = self.draw(known);
            let Some(handle) = self.nodes.nth(place) else { break };
            let heartbeat = self.heartbeats;
            let node = &mut self.nodes[handle];
            if node.flags.any(Flags::MYSELF | Flags::PFAIL) {
                continue;
            }
            if node.flags.any(Flags::HANDSHAKE | Flags::NOADDR)
                || (node.link.is_none() && node.slot_count == 0)
            {
                fresh -= 1;
                continue;
            }
            if node.gossiped_in == heartbeat {
                continue;
            }
            node.gossiped_in = heartbeat;
            fresh -= 1;
            gossip.push(entry(node));
        }
        if self.pfail_nodes > 0 {
            let doubtful = self.nodes.iter().map(|(_, node)| node).filter(|node| {
                node.flags.any(Flags::PFAIL) && !node.flags.any(Flags::HANDSHAKE | Flags::NOADDR)
            });
            gossip.extend(doubtful.take(self.pfail_nodes).map(entry));
        }
        gossip
    }

    /// Sends a pong that nobody asked for: news of this node, to all that it is connected to, or to those only that
    /// the filter lets through.
    pub(super) fn broadcast_pong(&mut self, to: impl Fn(&Node) -> bool) {
        let wanted = |(handle, node): (Handle, &Node)| {
            node.link.filter(|_| handle != self.myself && !node.in_handshake() && to(node))
        };
        let links: Vec<_> = self.nodes.iter().filter_map(wanted).collect();
        for link in links {
            self.send_heartbeat(link, Kind::Pong);
        }
    }
}

fn entry(node: &Node) -> Gossip {
    let seconds = |ms: i64| u32::try_from(ms / 1000).unwrap_or(0);
    Gossip {
        id: node.id,
        ping_sent_s: seconds(node.ping_sent_ms),
        pong_received_s: seconds(node.pong_received_ms),
        ip: node.ip.clone(),
        port: node.port,
        bus_port: node.bus_port,
        flags: node.flags,
        plain_port: node.plain_port,
    }
}
