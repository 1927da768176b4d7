//! What happens by itself, ten times a second.

use super::{Cluster, Facts, Flags, message::Kind, node::Handle};

/// Runs of the cron between two pings to a node drawn at random.
const RANDOM_PING_EVERY: u64 = 10;
/// Nodes of which the one that was silent the longest is pinged.
const RANDOM_PING_SAMPLE: usize = 5;
/// A handshake is given up after the node timeout, but not before this. Milliseconds.
const MIN_HANDSHAKE_MS: i64 = 1000;

/// What a look at all nodes finds about masters and their working replicas.
#[derive(Debug, Default)]
struct Census {
    /// Is there a master with slots that had replicas and has none that works?
    orphans: bool,
    /// The most working replicas that a master has.
    most: usize,
    /// Those of this node's master.
    ours: usize,
    /// A node may have failed.
    suspicion: bool,
}

impl Cluster {
    /// To be called every 100 ms.
    pub fn cron(&mut self, now_ms: i64, facts: &Facts) {
        self.begin(now_ms, facts);
        self.cron_runs += 1;
        self.reconnect();
        if self.cron_runs.is_multiple_of(RANDOM_PING_EVERY) {
            self.ping_at_random();
        }
        let census = self.check_nodes();
        let me = self.me();
        if me.is_replica()
            && !self.replicating
            && me.master.is_some_and(|master| !self.nodes[master].flags.any(Flags::NOADDR))
        {
            // After a restart, or when the master's address was not known at first.
            self.replicate();
        }
        self.end_manual_failover_in_time();
        if self.me().is_replica() {
            self.handle_manual_failover();
            self.handle_failover();
            // It makes no sense to leave a master that has no other replica.
            if census.orphans
                && census.most >= 2
                && census.ours == census.most
                && self.options.allow_replica_migration
            {
                self.migrate_to_orphan(census.most);
            }
        }
        if census.suspicion || !self.up {
            self.update_state();
        }
        self.finish();
    }

    /// Connects to all nodes that there is no link to, and gives up handshakes that take too long.
    fn reconnect(&mut self) {
        let handshake_ms = self.options.node_timeout_ms.max(MIN_HANDSHAKE_MS);
        self.pfail_nodes = 0;
        for handle in self.nodes.handles() {
            let node = &self.nodes[handle];
            if node.flags.any(Flags::MYSELF | Flags::NOADDR) {
                continue;
            }
            self.pfail_nodes += usize::from(node.flags.any(Flags::PFAIL));
            if node.in_handshake() && self.now_ms - node.created_ms > handshake_ms {
                self.remove_node(handle);
            } else if node.link.is_none() {
                self.connect(handle);
            }
        }
    }

    /// Of a few nodes drawn at random, pings the one that answered last the longest ago.
    fn ping_at_random(&mut self) {
        let mut silent: Option<Handle> = None;
        for _ in 0..RANDOM_PING_SAMPLE {
            let place = self.draw(self.nodes.len());
            let Some(drawn) = self.nodes.nth(place) else { continue };
            let node = &self.nodes[drawn];
            if node.link.is_none()
                || node.ping_sent_ms != 0
                || node.flags.any(Flags::MYSELF | Flags::HANDSHAKE)
            {
                continue;
            }
            let longer = |other: Handle| self.nodes[other].pong_received_ms > node.pong_received_ms;
            if silent.is_none_or(longer) {
                silent = Some(drawn);
            }
        }
        if let Some(link) = silent.and_then(|node| self.nodes[node].link) {
            self.send_heartbeat(link, Kind::Ping);
        }
    }

    /// Pings those that were silent for long, flags those that do not answer, and counts replicas.
    fn check_nodes(&mut self) -> Census {
        let mut census = Census::default();
        for handle in self.nodes.handles() {
            if self.nodes[handle].flags.any(Flags::MYSELF | Flags::NOADDR | Flags::HANDSHAKE) {
                continue;
            }
            if self.me().is_replica() {
                self.count_replicas(handle, &mut census);
            }
            census.suspicion |= self.check_node(handle);
        }
        census
    }

    fn count_replicas(&self, handle: Handle, census: &mut Census) {
        let node = &self.nodes[handle];
        if !node.is_master() || node.has_failed() {
            return;
        }
        let working = self.working_replicas(handle);
        census.orphans |= working == 0 && node.slot_count > 0 && node.flags.any(Flags::MIGRATE_TO);
        census.most = census.most.max(working);
        if self.me().master == Some(handle) {
            census.ours = working;
        }
    }

    /// True if the node may have failed since the last look.
    fn check_node(&mut self, handle: Handle) -> bool {
        let timeout_ms = self.options.node_timeout_ms;
        let now_ms = self.now_ms;
        let node = &self.nodes[handle];
        let ping_delay = now_ms - node.ping_sent_ms;
        let data_delay = now_ms - node.data_received_ms;
        let link_age = node.link.and_then(|link| self.links.get(&link)).map(|link| now_ms - link.created_ms);
        if link_age.is_some_and(|age| age > timeout_ms)
            && node.ping_sent_ms != 0
            && ping_delay > timeout_ms / 2
            && data_delay > timeout_ms / 2
        {
            // Maybe it is the link only.
            self.close(node.link);
        }
        let node = &self.nodes[handle];
        if let Some(link) = node.link {
            let overdue = node.ping_sent_ms == 0 && now_ms - node.pong_received_ms > timeout_ms / 2;
            // A replica that takes over by hand waits to hear that this master has paused.
            let waits = self.election.manual_until_ms != 0
                && self.me().is_master()
                && self.election.manual_replica == Some(handle);
            if overdue || waits {
                self.send_heartbeat(link, Kind::Ping);
                return false;
            }
        }
        if node.ping_sent_ms == 0 || ping_delay.min(data_delay) <= timeout_ms {
            return false;
        }
        let suspicion = !node.flags.any(Flags::PFAIL | Flags::FAIL);
        if suspicion {
            world::reachable!("redis.cluster.pfail");
            self.nodes[handle].flags.set(Flags::PFAIL);
        }
        suspicion
    }
}
