//! The streams of the bus. Each node opens one to each other node for its own heartbeats; the answers come back on
//! the same stream.

use std::net::IpAddr;

use bytes::BytesMut;

use super::{Action, Cluster, Facts, Flags, message, node::Handle};

/// A link of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(super) u64);

/// What is known of a link.
#[derive(Debug)]
pub(super) struct Link {
    /// To whom, or from whom once that is known.
    pub(super) node: Option<Handle>,
    /// Was it opened by the other side?
    pub(super) inbound: bool,
    pub(super) created_ms: i64,
    /// The other side's address.
    peer_ip: String,
    /// This side's address; empty while it is being opened.
    pub(super) local_ip: String,
    /// The beginning of a message.
    received: BytesMut,
}

impl Cluster {
    /// Another node opened a link to this one; returns the link's number.
    pub fn on_accepted(&mut self, now_ms: i64, peer: IpAddr, local: IpAddr) -> LinkId {
        self.add_link(Link {
            node: None,
            inbound: true,
            created_ms: now_ms,
            peer_ip: peer.to_string(),
            local_ip: local.to_string(),
            received: BytesMut::new(),
        })
    }

    /// A link that was asked for is up, from this own address.
    pub fn on_link_up(&mut self, now_ms: i64, facts: &Facts, link: LinkId, local: IpAddr) {
        self.begin(now_ms, facts);
        if let Some(Link { node: Some(node), local_ip, .. }) = self.links.get_mut(&link) {
            *local_ip = local.to_string();
            let node = *node;
            let waiting_since = self.nodes[node].ping_sent_ms;
            let meet = self.nodes[node].flags.any(Flags::MEET);
            self.send_heartbeat(link, if meet { message::Kind::Meet } else { message::Kind::Ping });
            let node = &mut self.nodes[node];
            if waiting_since != 0 {
                // A ping was under way when the link broke: it is still not answered.
                node.ping_sent_ms = waiting_since;
            }
            node.flags.clear(Flags::MEET);
        }
        self.finish();
    }

    /// A link could not be opened, was closed by the other side, or broke.
    pub fn on_link_down(&mut self, link: LinkId) {
        self.forget_link(link);
    }

    /// Bytes came over a link.
    pub fn on_data(&mut self, now_ms: i64, facts: &Facts, link: LinkId, bytes: &[u8]) {
        self.begin(now_ms, facts);
        if let Some(state) = self.links.get_mut(&link) {
            state.received.extend_from_slice(bytes);
        }
        // A message may be the end of its link.
        while let Some(state) = self.links.get_mut(&link) {
            match message::length(&state.received) {
                Ok(Some(length)) if state.received.len() >= length => {
                    let message = state.received.split_to(length).freeze();
                    self.process(link, &message);
                }
                Ok(_) => break,
                Err(_) => {
                    world::reachable!("redis.cluster.bus-garbage");
                    self.close(link);
                }
            }
        }
        self.finish();
    }

    /// Opens a link to a node.
    pub(super) fn connect(&mut self, node: Handle) {
        let Self { nodes, now_ms, .. } = self;
        let target = &mut nodes[node];
        let (ip, port) = (target.ip.clone(), target.bus_port);
        if ip.is_empty() || port == 0 {
            // There will be no ping, but the node is not there either: it is to time out.
            if target.ping_sent_ms == 0 {
                target.ping_sent_ms = *now_ms;
            }
            return;
        }
        let link = Link {
            node: Some(node),
            inbound: false,
            created_ms: *now_ms,
            peer_ip: ip.clone(),
            local_ip: String::new(),
            received: BytesMut::new(),
        };
        let link = self.add_link(link);
        self.nodes[node].link = Some(link);
        self.push(Action::Connect { link, ip, port });
    }

    fn add_link(&mut self, link: Link) -> LinkId {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        self.links.insert(id, link);
        id
    }

    /// Closes a link, if there is one.
    pub(super) fn close(&mut self, link: impl Into<Option<LinkId>>) {
        if let Some(link) = link.into()
            && self.forget_link(link)
        {
            self.push(Action::Close { link });
        }
    }

    /// Forgets a link; true if it was known.
    fn forget_link(&mut self, link: LinkId) -> bool {
        let Some(state) = self.links.remove(&link) else { return false };
        if let Some(node) = state.node {
            let node = &mut self.nodes[node];
            node.link = node.link.filter(|known| *known != link);
            node.inbound = node.inbound.filter(|known| *known != link);
        }
        true
    }

    /// A link turns out to come from this node. A node has one such link: the older one is probably a dead one.
    pub(super) fn bind_inbound(&mut self, link: LinkId, node: Handle) {
        self.close(self.nodes[node].inbound);
        if let Some(state) = self.links.get_mut(&link) {
            state.node = Some(node);
            self.nodes[node].inbound = Some(link);
        }
    }

    /// The address that the sender of a message can be reached at: the one that it announces, or where it comes from.
    pub(super) fn address_of(&self, link: LinkId, header: &message::Header) -> String {
        if !header.ip.is_empty() {
            return header.ip.clone();
        }
        self.links.get(&link).map(|link| link.peer_ip.clone()).unwrap_or_default()
    }
}
