//! Replicas that leave a master with several of them for one that has none left.

use super::{Cluster, Flags, node::Handle};

/// A master must have been without working replicas for so long: its own may be about to come back. Milliseconds.
const MIGRATION_DELAY_MS: i64 = 5000;

impl Cluster {
    /// Replicas of a master that have not failed.
    pub(super) fn working_replicas(&self, master: Handle) -> usize {
        self.nodes[master].replicas.iter().filter(|replica| !self.nodes[**replica].has_failed()).count()
    }

    /// Moves this replica to a master without working ones, if it is the one to go: the one with the smallest name
    /// of all replicas of masters with the `most` working ones.
    pub(super) fn migrate_to_orphan(&mut self, most: usize) {
        let Some(master) = self.me().master.filter(|_| self.up) else { return };
        let works = |replica: &&Handle| !self.nodes[**replica].flags.any(Flags::FAIL | Flags::PFAIL);
        if self.nodes[master].replicas.iter().filter(works).count() <= self.options.migration_barrier {
            return;
        }
        let mut target = None;
        let mut candidate = self.myself;
        for handle in self.nodes.handles() {
            let node = &self.nodes[handle];
            let working = if node.is_master() { self.working_replicas(handle) } else { 0 };
            let orphaned =
                !node.is_replica() && !node.has_failed() && node.flags.any(Flags::MIGRATE_TO) && working == 0;
            if working == most {
                for replica in &node.replicas {
                    if self.nodes[*replica].id < self.nodes[candidate].id {
                        candidate = *replica;
                    }
                }
            }
            if orphaned && target.is_none() && node.slot_count > 0 {
                target = Some(handle);
            }
            let now_ms = self.now_ms;
            let since_ms = &mut self.nodes[handle].orphaned_ms;
            *since_ms = match (orphaned, *since_ms) {
                (false, _) => 0,
                (true, 0) => now_ms,
                (true, since_ms) => since_ms,
            };
        }
        if let Some(target) = target
            && candidate == self.myself
            && self.now_ms - self.nodes[target].orphaned_ms > MIGRATION_DELAY_MS
        {
            world::reachable!("redis.cluster.replica-migrated");
            self.set_master(target);
        }
    }
}
