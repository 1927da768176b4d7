//! From a missing pong to a failed node, and whether the cluster is up for this node.
//!
//! A node that does not answer for the node timeout is flagged PFAIL by whoever waits. Masters tell of that in their
//! heartbeats; who counts such reports from a majority of the masters with slots flags the node FAIL and tells all.

use super::{Action, Cluster, Flags, message::Body, node::Handle};

/// A report counts for so many node timeouts.
const REPORT_VALIDITY: i64 = 2;
/// A master that is back and that nobody replaced is taken in again after so many node timeouts.
const UNDO_TIME: i64 = 2;
/// After its start, a master waits so long before it serves: it may have been replaced. Milliseconds.
const WRITABLE_DELAY_MS: i64 = 2000;
/// After it was among a minority, a master waits for the node timeout before it serves, within these bounds.
const REJOIN_DELAY_MS: (i64, i64) = (500, 5000);

impl Cluster {
    /// A node answered a ping.
    pub(super) fn answered(&mut self, node: Handle) {
        let state = &mut self.nodes[node];
        state.pong_received_ms = self.now_ms;
        state.ping_sent_ms = 0;
        if state.flags.any(Flags::PFAIL) {
            state.flags.clear(Flags::PFAIL);
            self.save(false);
            self.todo.update_state = true;
        } else if state.has_failed() {
            self.clear_failure_if_due(node);
        }
    }

    /// A failed node can be reached again. A replica, or a master without slots, is taken in at once; a master with
    /// slots when nobody has taken them over for some time.
    fn clear_failure_if_due(&mut self, node: Handle) {
        let state = &mut self.nodes[node];
        let idle = state.is_replica() || state.slot_count == 0;
        let undo_ms = self.options.node_timeout_ms.saturating_mul(UNDO_TIME);
        if idle || (state.is_master() && self.now_ms - state.failed_ms > undo_ms) {
            world::sometimes!(!idle, "redis.cluster.failed-master-back-unreplaced");
            state.flags.clear(Flags::FAIL);
            self.save(false);
            self.todo.update_state = true;
        }
    }

    /// A master reports a node as failing.
    pub(super) fn add_report(&mut self, failing: Handle, by: Handle) {
        let now_ms = self.now_ms;
        let reports = &mut self.nodes[failing].reports;
        match reports.iter_mut().find(|(known, _)| *known == by) {
            Some((_, at_ms)) => *at_ms = now_ms,
            None => reports.push((by, now_ms)),
        }
    }

    /// A master reports a node as well.
    pub(super) fn remove_report(&mut self, node: Handle, by: Handle) {
        self.nodes[node].reports.retain(|(known, _)| *known != by);
    }

    /// Number of masters that lately reported a node as failing.
    pub(super) fn count_reports(&mut self, node: Handle) -> usize {
        let (now_ms, validity_ms) =
            (self.now_ms, self.options.node_timeout_ms.saturating_mul(REPORT_VALIDITY));
        let reports = &mut self.nodes[node].reports;
        reports.retain(|(_, at_ms)| now_ms - at_ms <= validity_ms);
        reports.len()
    }

    /// Masters with slots that make a majority.
    pub(super) fn quorum(&self) -> usize {
        self.size / 2 + 1
    }

    /// Flags a node as failed if a majority of the masters cannot reach it, and tells all.
    pub(super) fn fail_if_agreed(&mut self, node: Handle) {
        if !self.nodes[node].flags.any(Flags::PFAIL) || self.nodes[node].has_failed() {
            return;
        }
        let votes = self.count_reports(node) + usize::from(self.me().is_master());
        if votes < self.quorum() {
            return;
        }
        world::reachable!("redis.cluster.fail");
        let state = &mut self.nodes[node];
        state.flags.clear(Flags::PFAIL);
        state.flags.set(Flags::FAIL);
        state.failed_ms = self.now_ms;
        let id = state.id;
        self.push(Action::HeldForFailed { node: id });
        self.broadcast(&self.header(), &Body::Fail(id));
        self.todo.update_state = true;
        self.save(false);
    }

    /// Decides whether the cluster is up: every slot is served (if that is required), and this node can reach a
    /// majority of the masters.
    pub(super) fn update_state(&mut self) {
        if self.first_update_ms == 0 {
            self.first_update_ms = self.now_ms;
        }
        let is_master = self.me().is_master();
        if is_master && !self.up && self.now_ms - self.first_update_ms < WRITABLE_DELAY_MS {
            return;
        }
        let serving = || self.nodes.iter().map(|(_, node)| node).filter(|node| node.slot_count > 0);
        let covered =
            self.slots.assigned == u32::from(super::SLOTS) && !serving().any(|node| node.has_failed());
        let masters = || serving().filter(|node| node.is_master());
        let reachable = masters().filter(|node| !node.flags.any(Flags::FAIL | Flags::PFAIL)).count();
        self.size = masters().count();
        let minority = reachable < self.quorum();
        if minority {
            self.minority_ms = self.now_ms;
        }
        let up = !minority && (covered || !self.options.require_full_coverage);
        if up == self.up {
            return;
        }
        let (least, most) = REJOIN_DELAY_MS;
        let rejoin_ms = self.options.node_timeout_ms.clamp(least, most);
        if up && is_master && self.now_ms - self.minority_ms < rejoin_ms {
            return;
        }
        world::sometimes!(
            !up && minority && is_master && self.size > 0,
            "redis.cluster.minority-master-stopped"
        );
        self.up = up;
    }
}
