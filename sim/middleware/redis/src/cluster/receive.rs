//! What the messages of other nodes do to this one.

use super::{
    Action, Cluster, Flags, LinkId, NodeId,
    message::{self, Body, Gossip, Header, Kind},
    node::{Handle, MAX_NODES, Node},
    slot_set::SlotSet,
};

impl Cluster {
    /// Handles a whole message. The link may be closed afterwards.
    pub(super) fn process(&mut self, link: LinkId, bytes: &[u8]) {
        if let Some(kind) = Kind::of(bytes) {
            self.received[kind as usize] += 1;
        }
        let Ok((header, body)) = message::decode(bytes) else {
            world::reachable!("redis.cluster.malformed-message");
            return;
        };
        let sender = self.sender_of(link, header.sender);
        if let Some(sender) = sender {
            self.nodes[sender].data_received_ms = self.now_ms;
            if sender != self.myself && !self.nodes[sender].in_handshake() {
                self.learn_epochs(sender, &header);
            }
        }
        match (body, sender) {
            (Body::Heartbeat { kind, gossip, hostname }, _) => {
                let heartbeat = Heartbeat { link, kind, header, gossip, hostname };
                self.process_heartbeat(sender, &heartbeat);
            }
            // Nothing else is taken from strangers.
            (_, None) => {}
            (Body::Fail(failed), Some(_)) => self.process_fail(&failed),
            (Body::Publish { shard, channel, message }, Some(_)) => {
                let (channel, message) = (channel.to_vec().into(), message.to_vec().into());
                self.push(Action::Publish { shard, channel, message });
            }
            (Body::AuthRequest, Some(sender)) => self.vote_if_due(sender, &header),
            (Body::AuthAck, Some(sender)) => self.count_vote(sender, header.current_epoch),
            (Body::MfStart, Some(sender)) => self.pause_for_failover(link, sender),
            (Body::Update { config_epoch, node, slots }, Some(_)) => {
                self.process_update(config_epoch, &node, &slots);
            }
            (Body::Other, Some(_)) => {}
        }
    }

    /// The known node that a message comes from.
    fn sender_of(&mut self, link: LinkId, name: NodeId) -> Option<Handle> {
        let bound = self.links.get(&link).and_then(|link| link.node);
        if let Some(node) = bound
            && !self.nodes[node].in_handshake()
        {
            return Some(node);
        }
        let sender = self.nodes.find(&name);
        if let Some(sender) = sender
            && bound.is_none()
        {
            // Only of inbound links is it not known whose they are.
            self.bind_inbound(link, sender);
        }
        sender
    }

    fn learn_epochs(&mut self, sender: Handle, header: &Header) {
        self.current_epoch = self.current_epoch.max(header.current_epoch);
        if header.config_epoch > self.nodes[sender].config_epoch {
            self.nodes[sender].config_epoch = header.config_epoch;
            self.save(true);
        }
        self.nodes[sender].offset = header.offset;
        self.note_paused_master(sender, header);
    }

    fn process_heartbeat(&mut self, sender: Option<Handle>, heartbeat: &Heartbeat) {
        let Heartbeat { link, kind, header, .. } = heartbeat;
        if *kind != Kind::Pong {
            self.learn_own_address(*link, *kind);
            if sender.is_none() && *kind == Kind::Meet {
                self.add_stranger(*link, header);
                self.process_gossip(None, &heartbeat.gossip);
            }
            self.send_heartbeat(*link, Kind::Pong);
        }
        if !self.confirm_identity(sender, heartbeat) {
            return;
        }
        // This node can meet itself; it has nothing to learn from itself beyond that.
        let sender = sender.filter(|sender| *sender != self.myself);
        if let Some(sender) = sender {
            self.nodes[sender].flags.clear(Flags::NO_FAILOVER);
            self.nodes[sender].flags.set(header.flags & Flags::NO_FAILOVER);
            if *kind == Kind::Ping
                && !self.nodes[sender].in_handshake()
                && self.update_address(sender, *link, header)
            {
                self.save(false);
                self.todo.update_state = true;
            }
        }
        if *kind == Kind::Pong
            && let Some(state) = self.links.get(link)
            && !state.inbound
            && let Some(node) = state.node
        {
            self.answered(node);
        }
        if let Some(sender) = sender {
            self.update_role(sender, header);
            self.compare_slots(sender, header);
            if self.me().is_master()
                && self.nodes[sender].is_master()
                && header.config_epoch == self.me().config_epoch
            {
                self.resolve_collision(sender);
            }
            self.process_gossip(Some(sender), &heartbeat.gossip);
            self.nodes[sender].hostname = heartbeat.hostname.clone().unwrap_or_default();
        }
    }

    /// This node's address is where another one meets it; without any, where it is pinged.
    fn learn_own_address(&mut self, link: LinkId, kind: Kind) {
        if self.options.announce_ip.is_some() || (kind != Kind::Meet && !self.me().ip.is_empty()) {
            return;
        }
        let Some(ip) = self.links.get(&link).map(|link| link.local_ip.clone()) else { return };
        if !ip.is_empty() && ip != self.me().ip {
            self.me_mut().ip = ip;
            self.save(false);
        }
    }

    /// Somebody unknown wants to be met: this node connects to it, and its answer will tell its name.
    fn add_stranger(&mut self, link: LinkId, header: &Header) {
        let ip = self.address_of(link, header);
        let mut node = Node::new(NodeId::draw(&mut self.random), Flags::HANDSHAKE, self.now_ms);
        node.ip = ip;
        (node.port, node.plain_port, node.bus_port) = (header.port, header.plain_port, header.bus_port);
        self.nodes.add(node);
        self.save(false);
    }

    /// On a link that this node opened: is the other side who it should be? False when the link was closed.
    fn confirm_identity(&mut self, sender: Option<Handle>, heartbeat: &Heartbeat) -> bool {
        let Heartbeat { link, header, .. } = heartbeat;
        let Some(state) = self.links.get(link) else { return false };
        let Some(node) = state.node.filter(|_| !state.inbound) else { return true };
        if self.nodes[node].in_handshake() {
            if let Some(sender) = sender {
                // An old acquaintance, maybe at a new address.
                if self.update_address(sender, *link, header) {
                    self.save(false);
                    self.todo.update_state = true;
                }
                self.remove_node(node);
                return false;
            }
            self.nodes.rename(node, header.sender);
            let flags = &mut self.nodes[node].flags;
            flags.clear(Flags::HANDSHAKE);
            flags.set(header.flags & (Flags::MASTER | Flags::REPLICA));
            self.save(false);
        } else if self.nodes[node].id != header.sender {
            // Another node lives at this address now.
            world::reachable!("redis.cluster.another-at-the-address");
            let state = &mut self.nodes[node];
            state.flags.set(Flags::NOADDR);
            state.ip.clear();
            (state.port, state.plain_port, state.bus_port) = (0, 0, 0);
            self.close(*link);
            self.save(false);
            return false;
        }
        true
    }

    /// A node that pings over another link than this node's own tells its address that way; true if it is a new one.
    fn update_address(&mut self, node: Handle, link: LinkId, header: &Header) -> bool {
        if self.nodes[node].link == Some(link) {
            return false;
        }
        let ip = self.address_of(link, header);
        let state = &mut self.nodes[node];
        let ports = (header.port, header.plain_port, header.bus_port);
        if ip.is_empty() || (ip == state.ip && ports == (state.port, state.plain_port, state.bus_port)) {
            return false;
        }
        state.ip = ip;
        (state.port, state.plain_port, state.bus_port) = ports;
        state.flags.clear(Flags::NOADDR);
        self.close(self.nodes[node].link);
        if self.me().is_replica() && self.me().master == Some(node) {
            self.replicate();
        }
        true
    }

    /// Takes over whether the sender is a master or a replica, and whose.
    fn update_role(&mut self, sender: Handle, header: &Header) {
        let Some(master) = &header.master else {
            self.set_as_master(sender);
            return;
        };
        if self.nodes[sender].is_master() {
            self.unassign_all_of(sender);
            let flags = &mut self.nodes[sender].flags;
            flags.clear(Flags::MASTER | Flags::MIGRATE_TO);
            flags.set(Flags::REPLICA);
            self.save(false);
            self.todo.update_state = true;
        }
        let Some(master) = self.nodes.find(master).filter(|master| *master != sender) else { return };
        let before = self.nodes[sender].master;
        if before != Some(master) {
            if let Some(before) = before {
                self.remove_replica(before, sender);
            }
            self.add_replica(master, sender);
            self.nodes[sender].master = Some(master);
            self.save(false);
        }
    }

    /// Compares the slots that the sender (a replica: for its master) claims with what is known.
    fn compare_slots(&mut self, sender: Handle, header: &Header) {
        let is_master = self.nodes[sender].is_master();
        let speaks_for = if is_master { Some(sender) } else { self.nodes[sender].master };
        if speaks_for.is_none_or(|node| self.nodes[node].slots == header.slots) {
            return;
        }
        if is_master {
            self.update_slots(sender, header.config_epoch, &header.slots);
        }
        // The sender may have missed that another one has a newer configuration: a master that comes back after a
        // partition, above all, when the new owner of its slots cannot reach it.
        if let Some(owner) = self.stale_claim(sender, header.config_epoch, &header.slots) {
            world::reachable!("redis.cluster.stale-claim");
            let owner = &self.nodes[owner];
            let body = Body::Update {
                config_epoch: owner.config_epoch,
                node: owner.id,
                slots: owner.slots.without(&self.slots.abandoned),
            };
            self.send(self.nodes[sender].link, &body);
        }
    }

    /// Two masters have the same configuration epoch: the one with the smaller name takes a new one.
    fn resolve_collision(&mut self, sender: Handle) {
        let same = self.nodes[sender].config_epoch == self.me().config_epoch;
        if !same || self.nodes[sender].id <= self.me().id {
            return;
        }
        world::reachable!("redis.cluster.epoch-collision");
        self.current_epoch = self.current_epoch.saturating_add(1);
        self.me_mut().config_epoch = self.current_epoch;
        self.save(true);
    }

    fn process_fail(&mut self, failed: &NodeId) {
        let Some(failed) = self.nodes.find(failed) else { return };
        let node = &mut self.nodes[failed];
        if !node.flags.any(Flags::FAIL | Flags::MYSELF) {
            node.flags.clear(Flags::PFAIL);
            node.flags.set(Flags::FAIL);
            node.failed_ms = self.now_ms;
            let id = node.id;
            self.push(Action::HeldForFailed { node: id });
            self.save(false);
            self.todo.update_state = true;
        }
    }

    fn process_update(&mut self, config_epoch: u64, node: &NodeId, slots: &SlotSet) {
        let Some(node) = self.nodes.find(node).filter(|node| *node != self.myself) else { return };
        if self.nodes[node].config_epoch >= config_epoch {
            return;
        }
        self.set_as_master(node);
        self.nodes[node].config_epoch = config_epoch;
        self.save(true);
        self.update_slots(node, config_epoch, slots);
    }

    /// Takes over what a heartbeat says of third nodes; only addresses of known nodes if the sender is unknown.
    fn process_gossip(&mut self, sender: Option<Handle>, gossip: &[Gossip]) {
        for entry in gossip {
            match self.nodes.find(&entry.id) {
                Some(node) => self.process_gossip_about(node, sender, entry),
                None => self.learn_node(sender, entry),
            }
        }
    }

    fn process_gossip_about(&mut self, node: Handle, sender: Option<Handle>, entry: &Gossip) {
        let failing = entry.flags.any(Flags::FAIL | Flags::PFAIL);
        if let Some(sender) = sender
            && self.nodes[sender].is_master()
            && node != self.myself
        {
            if failing {
                self.add_report(node, sender);
                self.fail_if_agreed(node);
            } else {
                self.remove_report(node, sender);
            }
        }
        if !failing && self.nodes[node].ping_sent_ms == 0 && self.count_reports(node) == 0 {
            // Somebody else heard of it: it need not be pinged so soon. Its clock may be a little ahead.
            let heard_ms = i64::from(entry.pong_received_s) * 1000;
            let state = &mut self.nodes[node];
            if heard_ms <= self.now_ms.saturating_add(500) && heard_ms > state.pong_received_ms {
                state.pong_received_ms = heard_ms;
            }
        }
        let state = &mut self.nodes[node];
        let ports = (entry.port, entry.plain_port, entry.bus_port);
        if state.flags.any(Flags::FAIL | Flags::PFAIL)
            && !failing
            && !entry.flags.any(Flags::NOADDR)
            && (!state.ip.eq_ignore_ascii_case(&entry.ip)
                || (state.port, state.bus_port) != (entry.port, entry.bus_port))
        {
            // The sender can reach it, and at another address.
            state.ip.clone_from(&entry.ip);
            (state.port, state.plain_port, state.bus_port) = ports;
            state.flags.clear(Flags::NOADDR);
            self.close(self.nodes[node].link);
        }
    }

    /// Adds a node that a known one told of. Its name is taken on trust: a handshake by its address alone might join
    /// two clusters.
    fn learn_node(&mut self, sender: Option<Handle>, entry: &Gossip) {
        if sender.is_none()
            || entry.flags.any(Flags::NOADDR)
            || self.is_forgotten(&entry.id)
            || self.nodes.len() >= MAX_NODES
        {
            return;
        }
        // These three say how the sender stands to it.
        let flags = entry.flags & !(Flags::MYSELF | Flags::HANDSHAKE | Flags::MEET);
        let mut node = Node::new(entry.id, flags, self.now_ms);
        node.ip.clone_from(&entry.ip);
        (node.port, node.plain_port, node.bus_port) = (entry.port, entry.plain_port, entry.bus_port);
        self.nodes.add(node);
    }

    /// Is this a node that was forgotten a short while ago?
    fn is_forgotten(&mut self, id: &NodeId) -> bool {
        let now_s = self.now_ms / 1000;
        self.forgotten.retain(|_, until_s| *until_s >= now_s);
        self.forgotten.contains_key(id)
    }
}

/// A ping, a pong or a meet, and where it came from.
struct Heartbeat {
    link: LinkId,
    kind: Kind,
    header: Header,
    gossip: Vec<Gossip>,
    hostname: Option<String>,
}
