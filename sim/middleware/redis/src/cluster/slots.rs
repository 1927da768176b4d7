//! Who serves which slots, and how news about that changes it: the highest configuration epoch that claims a slot
//! has it.

use std::collections::BTreeMap;

use super::{
    Action, Cluster, Flags,
    node::Handle,
    slot_set::{SLOTS, Slot, SlotSet},
};

/// The table of slots. The sets of slots that the nodes have are kept in step with it by [`Cluster::assign`],
/// [`Cluster::unassign`] and [`Cluster::rebind`].
#[derive(Debug)]
pub(super) struct SlotTable {
    owners: Box<[Option<Handle>]>,
    /// Slots with an owner.
    pub(super) assigned: u32,
    /// Slots on their way out of this node, and to whom.
    pub(super) migrating: BTreeMap<Slot, Handle>,
    /// Slots on their way to this node, and from whom.
    pub(super) importing: BTreeMap<Slot, Handle>,
    /// Slots whose owner does not claim them any more: it moved them away, but the new owner was not heard of yet.
    /// They are not spread in updates.
    pub(super) abandoned: SlotSet,
}

impl Default for SlotTable {
    fn default() -> Self {
        Self {
            owners: vec![None; usize::from(SLOTS)].into(),
            assigned: 0,
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
            abandoned: SlotSet::default(),
        }
    }
}

impl SlotTable {
    pub(super) fn owner(&self, slot: Slot) -> Option<Handle> {
        self.owners.get(usize::from(slot)).copied().flatten()
    }

    /// Is the slot anybody's who comes, whatever the epoch?
    fn is_unclaimed(&self, slot: Slot) -> bool {
        self.owner(slot).is_none() || self.abandoned.contains(slot)
    }

    /// Ends all migrations.
    pub(super) fn close_all(&mut self) {
        self.migrating.clear();
        self.importing.clear();
    }
}

impl Cluster {
    /// Gives a slot that has no owner to a node; false if it has one.
    pub(super) fn assign(&mut self, slot: Slot, node: Handle) -> bool {
        match self.slots.owners.get_mut(usize::from(slot)) {
            Some(owner @ None) => *owner = Some(node),
            _ => return false,
        }
        self.slots.assigned += 1;
        let first = {
            let node = &mut self.nodes[node];
            node.slots.insert(slot);
            node.slot_count += 1;
            node.slot_count == 1
        };
        // A master with its first slot may take in replicas, if the cluster has any at all.
        if first && self.nodes.iter().any(|(_, node)| !node.is_replica() && !node.replicas.is_empty()) {
            self.nodes[node].flags.set(Flags::MIGRATE_TO);
        }
        true
    }

    /// Takes a slot from its owner, which is returned.
    pub(super) fn unassign(&mut self, slot: Slot) -> Option<Handle> {
        let owner = self.slots.owner(slot)?;
        self.take_from(owner, &SlotSet::from_iter([slot]));
        Some(owner)
    }

    /// Takes slots from a node that has all of them.
    fn take_from(&mut self, owner: Handle, slots: &SlotSet) {
        for (from, to) in slots.ranges() {
            self.slots.owners[usize::from(from)..=usize::from(to)].fill(None);
        }
        let count = slots.len();
        self.slots.assigned -= count;
        let node = &mut self.nodes[owner];
        node.slots.subtract(slots);
        node.slot_count -= count;
        let shard = if node.is_master() { Some(owner) } else { node.master };
        if shard == Some(self.myself) || (shard.is_some() && shard == self.me().master) {
            self.lost_channels.add(slots);
        }
    }

    /// Takes all slots from a node.
    pub(super) fn unassign_all_of(&mut self, node: Handle) {
        let slots = self.nodes[node].slots.clone();
        self.take_from(node, &slots);
    }

    /// Takes slots from whoever has them and gives them to a node: [`Cluster::unassign`] and [`Cluster::assign`] for
    /// many slots at once, as a cluster that forms or fails over does.
    pub(super) fn rebind(&mut self, slots: &SlotSet, node: Handle) {
        let Some(first) = slots.iter().next() else { return };
        for owner in self.nodes.handles() {
            let taken = self.nodes[owner].slots.intersection(slots);
            if !taken.is_empty() {
                self.take_from(owner, &taken);
            }
        }
        self.assign(first, node);
        let mut others = slots.clone();
        others.remove(first);
        for (from, to) in others.ranges() {
            self.slots.owners[usize::from(from)..=usize::from(to)].fill(Some(node));
        }
        self.slots.assigned += others.len();
        let node = &mut self.nodes[node];
        node.slots.add(&others);
        node.slot_count += others.len();
    }

    /// A node claims slots under an epoch: rebinds those that it claims with a higher epoch than their owners', and
    /// follows it if that leaves this node, or its master, without any.
    pub(super) fn update_slots(&mut self, claimer: Handle, epoch: u64, claimed: &SlotSet) {
        if claimer == self.myself {
            return;
        }
        // Whoever takes the last slots of this one is to be replicated from.
        let shard_master = if self.me().is_master() { Some(self.myself) } else { self.me().master };
        let was_master = self.me().is_master();
        let held = self.nodes[claimer].slots.clone();
        // Claims of what it has already confirm it; what it has and does not claim any more is in doubt.
        self.slots.abandoned.subtract(&held.intersection(claimed));
        self.slots.abandoned.add(&held.without(claimed));
        let taken = self.won_by(epoch, claimed.without(&held));
        let lost = taken.intersection(&self.me().slots);
        let taken_from_shard =
            shard_master.map_or(0, |master| taken.intersection(&self.nodes[master].slots).len());
        if !taken.is_empty() {
            self.rebind(&taken, claimer);
            self.slots.abandoned.subtract(&taken);
            self.save(true);
            self.todo.update_state = true;
        }
        let left_without = shard_master.is_some_and(|master| self.nodes[master].slot_count == 0);
        if taken_from_shard > 0
            && left_without
            && (self.options.allow_replica_migration || claimed.len() == taken_from_shard)
        {
            if was_master {
                world::reachable!("redis.cluster.demoted");
                let by = self.nodes[claimer].id;
                self.push(Action::Demoted { by, offset: self.facts.offset });
            }
            self.set_master(claimer);
            self.save(true);
            self.todo.update_state = true;
        } else if let Some(grand_master) = self.grand_master() {
            // The master became a replica itself, and nobody took its slots that could be followed.
            world::reachable!("redis.cluster.sub-replica");
            self.set_master(grand_master);
            self.save(true);
            self.todo.update_state = true;
        } else if !lost.is_empty() {
            world::reachable!("redis.cluster.slots-lost");
            self.push(Action::DropKeysOfSlots(lost));
        }
    }

    /// Those of the claimed slots that a claim under this epoch wins: nobody's, and those of owners with an older epoch.
    fn won_by(&self, epoch: u64, mut claimed: SlotSet) -> SlotSet {
        // What this node is importing is changed by commands only.
        for slot in self.slots.importing.keys() {
            claimed.remove(*slot);
        }
        let mine = claimed.intersection(&self.me().slots);
        if !mine.is_empty() && world::mutant!("redis.cluster.replaced-master-stays") {
            claimed.subtract(&mine);
        }
        let defended = self.nodes.iter().filter(|(_, owner)| owner.config_epoch >= epoch);
        for (_, owner) in defended {
            claimed.subtract(&owner.slots.without(&self.slots.abandoned));
        }
        claimed
    }

    /// The master of this node's master, unless that is this node.
    fn grand_master(&self) -> Option<Handle> {
        let above = self.nodes[self.me().master?].master?;
        (above != self.myself).then_some(above)
    }

    /// A slot that a node claims and that another one has with a higher epoch: the first of them, and its owner.
    pub(super) fn stale_claim(&self, claimer: Handle, epoch: u64, claimed: &SlotSet) -> Option<Handle> {
        let doubtful = claimed.without(&self.nodes[claimer].slots);
        let newer = |slot: Slot| {
            let owner = self.slots.owner(slot).filter(|_| !self.slots.is_unclaimed(slot))?;
            (self.nodes[owner].config_epoch > epoch).then_some(owner)
        };
        doubtful.iter().find_map(newer)
    }

    /// The epoch of a slot's owner, if the slot is one that an owner claims.
    pub(super) fn epoch_of(&self, slot: Slot) -> Option<u64> {
        let owner = self.slots.owner(slot).filter(|_| !self.slots.is_unclaimed(slot))?;
        Some(self.nodes[owner].config_epoch)
    }

    /// A node turned from replica to master.
    pub(super) fn set_as_master(&mut self, node: Handle) {
        if self.nodes[node].is_master() {
            return;
        }
        if let Some(master) = self.nodes[node].master {
            self.remove_replica(master, node);
            if node != self.myself {
                self.nodes[node].flags.set(Flags::MIGRATE_TO);
            }
        }
        let state = &mut self.nodes[node];
        state.flags.clear(Flags::REPLICA);
        state.flags.set(Flags::MASTER);
        state.master = None;
        self.save(false);
        self.todo.update_state = true;
    }

    /// Makes this node a replica of another one.
    pub(super) fn set_master(&mut self, master: Handle) {
        // It has none, unless a command gave slots to a replica.
        self.unassign_all_of(self.myself);
        if self.me().is_master() {
            let me = self.me_mut();
            me.flags.clear(Flags::MASTER | Flags::MIGRATE_TO);
            me.flags.set(Flags::REPLICA);
            self.slots.close_all();
        } else if let Some(before) = self.me().master {
            self.remove_replica(before, self.myself);
        }
        self.me_mut().master = Some(master);
        self.add_replica(master, self.myself);
        self.replicate();
        self.reset_manual_failover();
    }

    /// Has this node replicate from its master.
    pub(super) fn replicate(&mut self) {
        if let Some(master) = self.me().master {
            self.replicating = true;
            let master = &self.nodes[master];
            let (id, ip, port) = (master.id, master.ip.clone(), master.port);
            self.push(Action::ReplicateFrom { master: id, ip, port });
        }
    }

    /// Has this node replicate from nobody.
    pub(super) fn stop_replicating(&mut self) {
        self.replicating = false;
        self.push(Action::BecomeMaster);
    }

    pub(super) fn add_replica(&mut self, master: Handle, replica: Handle) {
        let master = &mut self.nodes[master];
        if !master.replicas.contains(&replica) {
            master.replicas.push(replica);
            master.flags.set(Flags::MIGRATE_TO);
        }
    }

    pub(super) fn remove_replica(&mut self, master: Handle, replica: Handle) {
        let master = &mut self.nodes[master];
        master.replicas.retain(|known| *known != replica);
        if master.replicas.is_empty() {
            master.flags.clear(Flags::MIGRATE_TO);
        }
    }

    /// Forgets a node and all that refers to it.
    pub(super) fn remove_node(&mut self, node: Handle) {
        self.slots.migrating.retain(|_, target| *target != node);
        self.slots.importing.retain(|_, source| *source != node);
        self.unassign_all_of(node);
        for other in self.nodes.handles() {
            let other = &mut self.nodes[other];
            other.reports.retain(|(by, _)| *by != node);
            other.master = other.master.filter(|master| *master != node);
        }
        if let Some(master) = self.nodes[node].master {
            self.remove_replica(master, node);
        }
        self.election.manual_replica = self.election.manual_replica.filter(|replica| *replica != node);
        self.close(self.nodes[node].link);
        self.close(self.nodes[node].inbound);
        self.nodes.remove(node);
    }

    /// At the start, after the data was loaded: these are the slots that have keys. A master takes those that nobody
    /// serves; those of others it marks as being imported, so that a person can see what is wrong.
    pub fn on_data_loaded(&mut self, now_ms: i64, facts: &super::Facts, with_keys: &SlotSet) {
        self.begin(now_ms, facts);
        if self.me().is_master() {
            for slot in with_keys.without(&self.me().slots).iter() {
                if self.slots.importing.contains_key(&slot) {
                    continue;
                }
                match self.slots.owner(slot) {
                    None => {
                        self.assign(slot, self.myself);
                    }
                    Some(owner) => {
                        self.slots.importing.insert(slot, owner);
                    }
                }
                self.save(true);
            }
        }
        self.finish();
    }
}
