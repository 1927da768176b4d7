//! Invariant 7: once faults heal, every order reaches a final state within its deadlines, all persisted work gets
//! done, and the dead letters drain on replay. And of invariant 9: an order that was acknowledged to its buyer is
//! not lost.

use std::time::Duration;

use record::history::{Operation, Outcome};
use ticketing::domain::OrderState;

use crate::check::Invariant;
use crate::check::liveness::{Deadline, Liveness as Endings};
use crate::systems::ticketing::facts::Facts;

pub(in crate::systems::ticketing) const NAME: &str = "liveness";
pub(in crate::systems::ticketing) const NO_LOST_ORDER: &str = "no-lost-order";

/// Does the store have an order that its buyer can have been told of?
pub(in crate::systems::ticketing) fn is_kept(facts: &Facts, order: &str) -> bool {
    let state = facts.orders.get(order).map(|order| order.state);
    state.is_some_and(|state| !matches!(state, OrderState::Placing | OrderState::Rejected))
}

pub(in crate::systems::ticketing) struct Liveness {
    invariant: Invariant,
    no_lost_order: Invariant,
}

impl Liveness {
    pub(in crate::systems::ticketing) fn new() -> Liveness {
        Liveness { invariant: Invariant::new(NAME), no_lost_order: Invariant::new(NO_LOST_ORDER) }
    }

    /// Follows the history: an acknowledged order must be in the store at that moment.
    pub(in crate::systems::ticketing) fn on_operation(
        &mut self,
        facts: &Facts,
        operation: &Operation,
        at: Duration,
    ) {
        if let (Some(Outcome::Ok), "order.submit", Some(order)) =
            (operation.outcome, operation.name, &operation.value)
        {
            self.check_kept(facts, order, operation.id.0, at);
        }
    }

    fn check_kept(&mut self, facts: &Facts, order: &str, operation: u64, at: Duration) {
        self.no_lost_order.check(at, is_kept(facts, order), || {
            let state = facts.orders.get(order).map(|order| order.state);
            let state = state.map_or("not in the store".to_owned(), |state| format!("only {state}"));
            (format!("order {order} was acknowledged to its buyer but is {state}"), vec![operation])
        });
    }

    /// The system has had its time to come to rest.
    pub(in crate::systems::ticketing) fn conclude(
        &mut self,
        facts: &Facts,
        operations: &[Operation],
        at: Duration,
    ) {
        // Whatever was begun before the faults healed: the system has had its time.
        let mut orders = Endings::new();
        for (id, order) in &facts.orders {
            orders.began(id.as_str(), Duration::ZERO);
            if order.state.is_final() {
                orders.ended(id.as_str(), at);
            }
        }
        let deadline = Deadline { healed: at, within: Duration::ZERO, end: at };
        orders.conclude(&mut self.invariant, deadline, |id| {
            let state = facts.orders[*id].state;
            (format!("order {id} is still {state} after all faults have healed"), facts.operations_of(id))
        });
        for (name, left) in facts.work.iter().chain(&facts.dead_letters) {
            self.invariant
                .check(at, *left == 0, || (format!("{left} pieces of work are left in {name}"), Vec::new()));
        }
        let submitted =
            operations.iter().filter(|o| o.name == "order.submit" && o.outcome == Some(Outcome::Ok));
        for operation in submitted {
            if let Some(order) = &operation.value {
                self.check_kept(facts, order, operation.id.0, at);
            }
        }
    }

    pub(in crate::systems::ticketing) fn invariants(&self) -> [&Invariant; 2] {
        [&self.invariant, &self.no_lost_order]
    }
}
