//! Which writes were acknowledged to buyers and are missing: orders, and payments that belong to them.
//!
//! A place in a queue is no such write: who loses it queues again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use record::history::{Operation, Outcome};
use ticketing::buyers::operation;

use super::facts::{Change, Facts};
use super::invariants::liveness;
use crate::system::LostWrite;

/// When records went that were there, as far as they have not come back.
#[derive(Debug, Default)]
pub(super) struct Losses {
    gone: BTreeMap<String, Duration>,
}

impl Losses {
    /// Follows the changes of a store that has changed as a whole.
    pub(super) fn rebase(&mut self, facts: &Facts, changes: &[Change], at: Duration) {
        for change in changes {
            let (id, is_there) = match change {
                Change::Order { id, .. } => (id, liveness::is_kept(facts, id)),
                Change::Payment { id, .. } => (id, facts.payments.contains_key(id)),
                _ => continue,
            };
            match is_there {
                true => _ = self.gone.remove(id),
                false => _ = self.gone.insert(id.clone(), at),
            }
        }
    }

    /// What is missing of that which buyers were told, each order and payment once. What never was in the store that
    /// counts was lost when it was acknowledged.
    pub(super) fn of(&self, facts: &Facts, operations: &[Operation]) -> Vec<LostWrite> {
        let mut seen = BTreeSet::new();
        let mut lost = Vec::new();
        for operation in operations.iter().filter(|operation| operation.outcome == Some(Outcome::Ok)) {
            let (Some(id), Some(acknowledged)) = (&operation.value, operation.completed) else { continue };
            let is_there = match operation.name {
                operation::SUBMIT => liveness::is_kept(facts, id),
                operation::CREATE_PAYMENT => facts.payments.contains_key(id),
                _ => continue,
            };
            if !is_there && seen.insert(id) {
                let gone = self.gone.get(id).copied().unwrap_or(acknowledged);
                lost.push(LostWrite {
                    operation: operation.id,
                    subject: id.clone(),
                    acknowledged,
                    lost: gone.max(acknowledged),
                });
            }
        }
        lost
    }
}
