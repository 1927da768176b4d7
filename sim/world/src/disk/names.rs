//! Names that have changed and whose directories have not been synced.
//!
//! Every change of the tree (create, rename, remove) sets at most two names, all or none of them. The device learns of
//! a change when its directory is synced, or by itself later; a power loss chooses which of the others it knew. A
//! change is never known without the earlier changes of the names that it sets.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;

use rand::Rng;

use super::content::{Losses, Survival};

/// A file or directory, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) u64);

/// A name in a directory, and what it is to stand for.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) directory: NodeId,
    pub(super) name: OsString,
    pub(super) node: Option<NodeId>,
}

/// One change of the tree.
#[derive(Debug)]
pub(super) struct NameChange {
    pub(super) number: u64,
    pub(super) at_ns: u64,
    pub(super) entries: Vec<Entry>,
    /// A directory moves into another: such changes keep their order, so that no directory ends up inside itself.
    pub(super) moves_directory: bool,
}

/// The changes that the device does not know yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct NameLog {
    changes: VecDeque<NameChange>,
    next: u64,
}

/// Something that two changes may have in common.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Name(NodeId, &'a OsString),
    Tree,
}

fn keys(change: &NameChange) -> impl Iterator<Item = Key<'_>> {
    let names = change.entries.iter().map(|entry| Key::Name(entry.directory, &entry.name));
    names.chain(change.moves_directory.then_some(Key::Tree))
}

impl NameLog {
    pub(super) fn push(&mut self, at_ns: u64, entries: Vec<Entry>, moves_directory: bool) {
        self.changes.push_back(NameChange { number: self.next, at_ns, entries, moves_directory });
        self.next += 1;
    }

    /// A number above all changes so far.
    pub(super) fn mark(&self) -> u64 {
        self.next
    }

    pub(super) fn oldest_ns(&self) -> Option<u64> {
        self.changes.front().map(|change| change.at_ns)
    }

    /// Takes all changes made at or before a moment.
    pub(super) fn take_until(&mut self, at_ns: u64) -> Vec<NameChange> {
        let count = self.changes.iter().take_while(|change| change.at_ns <= at_ns).count();
        self.changes.drain(..count).collect()
    }

    /// Are there changes of names in this directory?
    pub(super) fn touches(&self, directory: NodeId) -> bool {
        self.changes.iter().any(|change| change.entries.iter().any(|entry| entry.directory == directory))
    }

    /// Takes the changes below the mark that concern a directory, and those that they rest on.
    pub(super) fn take_directory(&mut self, directory: NodeId, mark: u64) -> Vec<NameChange> {
        let mut wanted = BTreeSet::new();
        let mut chosen = vec![false; self.changes.len()];
        for (index, change) in self.changes.iter().enumerate().rev() {
            let here = change.number < mark && change.entries.iter().any(|e| e.directory == directory);
            if here || keys(change).any(|key| wanted.contains(&key)) {
                chosen[index] = true;
                wanted.extend(keys(change));
            }
        }
        self.take(&chosen)
    }

    /// The power fails: takes the changes that the device knew, by choice, and forgets the others.
    pub(super) fn lose_power(
        &mut self,
        how: &Survival,
        random: &mut impl Rng,
        losses: &mut Losses,
    ) -> Vec<NameChange> {
        let mut unknown = BTreeSet::new();
        let mut chosen = vec![false; self.changes.len()];
        for (index, change) in self.changes.iter().enumerate() {
            let known = how.survives(random) && !keys(change).any(|key| unknown.contains(&key));
            if known {
                losses.survived += 1;
                chosen[index] = true;
            } else {
                losses.names_lost += 1;
                unknown.extend(keys(change));
            }
        }
        let known = self.take(&chosen);
        self.changes.clear();
        known
    }

    /// Takes the chosen changes out.
    fn take(&mut self, chosen: &[bool]) -> Vec<NameChange> {
        let mut taken = Vec::new();
        let mut rest = VecDeque::new();
        for (change, chosen) in std::mem::take(&mut self.changes).into_iter().zip(chosen) {
            if *chosen {
                taken.push(change);
            } else {
                rest.push_back(change);
            }
        }
        self.changes = rest;
        taken
    }
}
