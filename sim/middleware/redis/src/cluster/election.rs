//! How a replica takes over from its master: when a majority of the masters holds the master for failed and votes for
//! the replica, or by hand (`CLUSTER FAILOVER`), then without losing a write.

use super::{
    Action, Cluster, LinkId, MasterLink,
    message::{Body, Header, Kind},
    node::Handle,
};

/// From a master's failure to the request for votes: so that others hear of the failure. Milliseconds.
const FIXED_DELAY_MS: i64 = 500;
/// And a random part below this, against ties. Milliseconds.
const RANDOM_DELAY_MS: usize = 500;
/// And this for every replica of the same master with more data. Milliseconds.
const RANK_DELAY_MS: i64 = 1000;
/// Votes are waited for at least so long. Milliseconds.
const MIN_ELECTION_MS: i64 = 2000;
/// A manual failover is given up after this. Milliseconds.
const MANUAL_TIMEOUT_MS: i64 = 5000;
/// A master's clients are paused for so many times as long.
const MANUAL_PAUSE: i64 = 2;

/// The state of elections and of manual failovers.
#[derive(Debug, Default)]
pub(super) struct Election {
    /// When the votes of the last election were, or those of the next are, to be asked for; 0: never.
    at_ms: i64,
    votes: usize,
    asked: bool,
    rank: usize,
    epoch: u64,
    /// Why this replica has not taken over from its failed master yet.
    waits_for: Option<Obstacle>,
    /// When the manual failover is given up; 0: there is none.
    pub(super) manual_until_ms: i64,
    /// On a master: the replica that is to take over.
    pub(super) manual_replica: Option<Handle>,
    /// On a replica: what the paused master has written.
    manual_offset: Option<i64>,
    /// On a replica: it may ask for votes.
    manual_may_start: bool,
}

/// What keeps a replica from taking over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    DataTooOld,
    Delay,
    Expired,
    Votes,
}

impl Cluster {
    /// Takes over from the failed master if it is time, this replica's data is recent enough, and it was elected.
    pub(super) fn handle_failover(&mut self) {
        let manual = self.election.manual_until_ms != 0 && self.election.manual_may_start;
        let due = self.me().is_replica()
            && self.me().master.is_some_and(|master| {
                (self.nodes[master].has_failed() || manual) && self.nodes[master].slot_count > 0
            })
            && (!self.options.replica_no_failover || manual);
        if !due {
            self.election.waits_for = None;
            return;
        }
        if !manual && self.data_is_too_old() {
            self.hindered_by(Obstacle::DataTooOld);
            return;
        }
        let age_ms = self.now_ms - self.election.at_ms;
        let timeout_ms = self.options.node_timeout_ms.saturating_mul(2).max(MIN_ELECTION_MS);
        if age_ms > timeout_ms.saturating_mul(2) {
            self.schedule_election();
            return;
        }
        if !self.election.asked && self.election.manual_until_ms == 0 {
            let rank = self.rank();
            if rank > self.election.rank {
                // Another replica turns out to have more data.
                self.election.at_ms += (rank - self.election.rank) as i64 * RANK_DELAY_MS;
                self.election.rank = rank;
            }
        }
        if self.now_ms < self.election.at_ms {
            self.hindered_by(Obstacle::Delay);
        } else if age_ms > timeout_ms {
            self.hindered_by(Obstacle::Expired);
        } else if !self.election.asked {
            self.ask_for_votes();
        } else if self.election.votes >= self.quorum() {
            world::reachable!("redis.cluster.election-won");
            self.note_old_votes();
            let epoch = self.me().config_epoch.max(self.election.epoch);
            self.me_mut().config_epoch = epoch;
            self.replace_master();
        } else {
            self.hindered_by(Obstacle::Votes);
        }
    }

    /// As in Redis, votes stay valid for two node timeouts although they were used: a replica that was elected, gave the
    /// role back, and sees its master fail again within that time takes over at once, under an epoch that is older than
    /// the master's. The others do not believe it, and it does not step back: a master that nobody knows of.
    fn note_old_votes(&self) {
        let newer = |master: Handle| self.nodes[master].config_epoch >= self.election.epoch;
        world::sometimes!(self.me().master.is_some_and(newer), "redis.cluster.elected-by-old-votes");
    }

    /// Notes a hindrance; the marks count each one once, not every look at it.
    fn hindered_by(&mut self, obstacle: Obstacle) {
        if self.election.waits_for == Some(obstacle) {
            return;
        }
        self.election.waits_for = Some(obstacle);
        match obstacle {
            Obstacle::DataTooOld => world::reachable!("redis.cluster.replica-too-old-to-take-over"),
            Obstacle::Expired => world::reachable!("redis.cluster.election-expired"),
            Obstacle::Delay | Obstacle::Votes => {}
        }
    }

    /// Was this replica without its master for too long? Redis counts in whole seconds.
    fn data_is_too_old(&self) -> bool {
        let since_ms = match self.facts.master_link {
            MasterLink::Up { last_heard_ms } => last_heard_ms,
            MasterLink::Down { since_ms } => since_ms,
        };
        let timeout_ms = self.options.node_timeout_ms;
        let mut age_ms = (self.now_ms / 1000 - since_ms / 1000) * 1000;
        if age_ms > timeout_ms {
            // The master was gone for so long before anybody noticed.
            age_ms -= timeout_ms;
        }
        let factor = self.options.replica_validity_factor;
        let longest_ms = self
            .options
            .repl_ping_replica_period_s
            .saturating_mul(1000)
            .saturating_add(timeout_ms.saturating_mul(factor));
        factor != 0 && age_ms > longest_ms
    }

    /// Number of replicas of this node's master with more data, not counting those that will not take over.
    fn rank(&self) -> usize {
        if world::mutant!("redis.cluster.rank-ignored") {
            return 0;
        }
        let Some(master) = self.me().master else { return 0 };
        let ahead = |replica: &&Handle| {
            let node = &self.nodes[**replica];
            **replica != self.myself
                && !node.flags.any(super::Flags::NO_FAILOVER)
                && node.offset > self.facts.offset
        };
        self.nodes[master].replicas.iter().filter(ahead).count()
    }

    /// Sets the time of the next election.
    fn schedule_election(&mut self) {
        self.election.votes = 0;
        self.election.asked = false;
        if self.election.manual_until_ms != 0 {
            self.election.at_ms = self.now_ms;
            self.election.rank = 0;
            self.todo.failover = true;
        } else {
            self.election.rank = self.rank();
            let delay_ms = FIXED_DELAY_MS
                + self.draw(RANDOM_DELAY_MS) as i64
                + self.election.rank as i64 * RANK_DELAY_MS;
            self.election.at_ms = self.now_ms + delay_ms;
        }
        // The other replicas of this master learn this one's offset, for their ranks.
        let (myself, master) = (self.myself, self.me().master);
        self.broadcast_pong(|node| {
            node.is_replica()
                && node.master.is_some()
                && (node.master == Some(myself) || node.master == master)
        });
    }

    fn ask_for_votes(&mut self) {
        world::reachable!("redis.cluster.election-started");
        self.current_epoch = self.current_epoch.saturating_add(1);
        self.election.epoch = self.current_epoch;
        self.election.asked = true;
        let mut header = self.header();
        header.force_ack = self.election.manual_until_ms != 0;
        self.broadcast(&header, &Body::AuthRequest);
        self.save(true);
        self.todo.update_state = true;
    }

    /// A vote came in.
    pub(super) fn count_vote(&mut self, from: Handle, current_epoch: u64) {
        let voter = &self.nodes[from];
        if voter.is_master() && voter.slot_count > 0 && current_epoch >= self.election.epoch {
            self.election.votes += 1;
            self.todo.failover = true;
        }
    }

    /// Turns this replica into the master of its master's slots; it has a new configuration epoch already.
    fn replace_master(&mut self) {
        let Some(master) = self.me().master.filter(|_| !self.me().is_master()) else { return };
        self.set_as_master(self.myself);
        self.stop_replicating();
        self.rebind(&self.nodes[master].slots.clone(), self.myself);
        self.update_state();
        self.save(true);
        self.broadcast_pong(|_| true);
        self.push(Action::TookOver);
        self.reset_manual_failover();
    }

    /// Votes for a replica that asks for it, if that is right. The vote is on disk before it is given: no master votes
    /// twice in an epoch.
    pub(super) fn vote_if_due(&mut self, candidate: Handle, request: &Header) {
        if self.me().is_replica() || self.me().slot_count == 0 {
            return;
        }
        if request.current_epoch < self.current_epoch {
            world::reachable!("redis.cluster.vote-refused-stale-epoch");
            return;
        }
        if self.last_vote_epoch == self.current_epoch {
            world::reachable!("redis.cluster.vote-refused-already-voted");
            return;
        }
        let node = &self.nodes[candidate];
        let Some(master) = node.master.filter(|_| !node.is_master()) else {
            world::reachable!("redis.cluster.vote-refused-no-replica");
            return;
        };
        if !self.nodes[master].has_failed() && !request.force_ack {
            world::reachable!("redis.cluster.vote-refused-master-up");
            return;
        }
        let voted_ms = self.nodes[master].voted_ms;
        if self.now_ms - voted_ms < self.options.node_timeout_ms.saturating_mul(2) {
            world::reachable!("redis.cluster.vote-refused-voted-lately");
            return;
        }
        let newer = |slot| self.epoch_of(slot).is_some_and(|epoch| epoch > request.config_epoch);
        if request.slots.iter().any(newer) {
            world::reachable!("redis.cluster.vote-refused-stale-slots");
            return;
        }
        world::reachable!("redis.cluster.vote-given");
        self.last_vote_epoch = self.current_epoch;
        self.nodes[master].voted_ms = self.now_ms;
        self.save(true);
        self.send(self.nodes[candidate].link, &Body::AuthAck);
    }

    /// Starts a manual failover from this replica: in agreement with its master, or (`force`) without asking it.
    pub(super) fn start_manual_failover(&mut self, force: bool) {
        self.reset_manual_failover();
        self.election.manual_until_ms = self.now_ms + MANUAL_TIMEOUT_MS;
        if force {
            self.election.manual_may_start = true;
        } else if let Some(master) = self.me().master {
            self.send(self.nodes[master].link, &Body::MfStart);
        }
    }

    /// Takes over from the master at once, whatever the others think (`CLUSTER FAILOVER TAKEOVER`).
    pub(super) fn take_over(&mut self) {
        world::reachable!("redis.cluster.takeover");
        self.reset_manual_failover();
        self.election.manual_until_ms = self.now_ms + MANUAL_TIMEOUT_MS;
        self.bump_epoch();
        self.replace_master();
    }

    /// Gives this node the highest configuration epoch of all, without asking anybody; false if it has it already.
    pub(super) fn bump_epoch(&mut self) -> bool {
        let highest = self.nodes.iter().map(|(_, node)| node.config_epoch).max().unwrap_or(0);
        let mine = self.me().config_epoch;
        if mine != 0 && mine == highest.max(self.current_epoch) {
            return false;
        }
        self.current_epoch = self.current_epoch.saturating_add(1);
        self.me_mut().config_epoch = self.current_epoch;
        self.save(true);
        true
    }

    /// On a master: a replica wants to take over by hand. Writes are paused, and the replica is told the offset at
    /// which they were.
    pub(super) fn pause_for_failover(&mut self, link: LinkId, replica: Handle) {
        if self.nodes[replica].master != Some(self.myself) {
            return;
        }
        world::reachable!("redis.cluster.paused-for-failover");
        self.reset_manual_failover();
        self.election.manual_until_ms = self.now_ms + MANUAL_TIMEOUT_MS;
        self.election.manual_replica = Some(replica);
        self.push(Action::PauseWrites { until_ms: self.now_ms + MANUAL_TIMEOUT_MS * MANUAL_PAUSE });
        self.send_heartbeat(link, Kind::Ping);
    }

    /// On a replica that takes over by hand: the first message of the paused master tells the offset to wait for.
    pub(super) fn note_paused_master(&mut self, sender: Handle, header: &Header) {
        if self.election.manual_until_ms != 0
            && self.me().is_replica()
            && self.me().master == Some(sender)
            && header.paused
            && self.election.manual_offset.is_none()
        {
            self.election.manual_offset = Some(header.offset);
            self.todo.manual_failover = true;
        }
    }

    /// On a replica: once it has processed all that its paused master wrote, it may ask for votes.
    pub(super) fn handle_manual_failover(&mut self) {
        let election = &mut self.election;
        if election.manual_until_ms == 0 || election.manual_may_start {
            return;
        }
        let Some(offset) = election.manual_offset else { return };
        if offset == self.facts.offset {
            election.manual_may_start = true;
            self.todo.failover = true;
        } else {
            self.todo.manual_failover = true;
        }
    }

    pub(super) fn end_manual_failover_in_time(&mut self) {
        if self.election.manual_until_ms != 0 && self.election.manual_until_ms < self.now_ms {
            world::reachable!("redis.cluster.manual-failover-timed-out");
            self.reset_manual_failover();
        }
    }

    /// Forgets about a manual failover; a master's clients go on.
    pub(super) fn reset_manual_failover(&mut self) {
        if self.election.manual_replica.is_some() {
            self.push(Action::ResumeWrites);
        }
        let election = &mut self.election;
        election.manual_until_ms = 0;
        election.manual_replica = None;
        election.manual_offset = None;
        election.manual_may_start = false;
    }
}
