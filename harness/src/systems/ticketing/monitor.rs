//! The monitor: hears every change of the store, every movement at the bank and every answer to a buyer, at the
//! moment when it happens, and lets the invariants look.
//!
//! On a Redis Cluster, what stands in the store is what the master says that has the slots: of two that both think so,
//! the one with the higher epoch. When another one takes over, or one comes back from its disk, the facts become those
//! that it has: what it has never heard of has not happened, as far as the store goes. What buyers and the bank know
//! stays known.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use record::history::{History, Operation};
use record::result::InvariantResult;
use redis_middleware::cluster::key_slot;
use redis_middleware::{Alert, Changes, Keyspace, Value};
use rustc_hash::FxHashSet;
use ticketing::Config;
use ticketing::domain::{OrderState, TicketState};
use ticketing::keys::Key;
use world::{host, sim};

use super::facts::{Change, Facts, Stored, capacities};
use super::invariants::admission::Admission;
use super::invariants::conservation::Conservation;
use super::invariants::liveness::Liveness;
use super::invariants::money::{Money, Movement};
use super::invariants::no_double_seat::NoDoubleSeat;
use super::invariants::one_outcome::OneOutcome;
use super::invariants::zero_oversell::ZeroOversell;
use super::losses::Losses;
use super::redis;
use super::telling::Teller;
use crate::check::Invariant;
use crate::system::{Failover, LostWrite};

/// All invariants and the facts that they look at; clones are the same monitor.
#[derive(Clone)]
pub(super) struct Monitor(Arc<Mutex<State>>);

/// A node of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    /// The part of the slots that it serves or keeps a copy of.
    pub(super) part: usize,
    /// Its number within the part, from 1: the first is the master when the sale opens.
    pub(super) number: usize,
}

/// Who has a part of the slots.
#[derive(Debug)]
struct Leader {
    number: usize,
    epoch: u64,
    /// It has booted since it was heard last.
    booted: bool,
}

struct State {
    /// Masters of the cluster; 0 without one.
    masters: usize,
    leaders: Vec<Leader>,
    /// The keys that the facts follow and that are there, by part.
    keys: Vec<FxHashSet<Vec<u8>>>,
    facts: Facts,
    losses: Losses,
    /// When a node came to hold another one for failed.
    noticed: Vec<Duration>,
    failovers: Vec<Failover>,
    teller: Teller,
    zero_oversell: ZeroOversell,
    no_double_seat: NoDoubleSeat,
    conservation: Conservation,
    money: Money,
    one_outcome: OneOutcome,
    admission: Admission,
    liveness: Liveness,
}

fn stored(value: &Value) -> Stored<'_> {
    match value {
        Value::Hash(hash) => Stored::Hash(hash.iter().map(|(field, value)| (&**field, &**value)).collect()),
        Value::SortedSet(set) => Stored::Members(set.len()),
        Value::List(list) => Stored::Members(list.len()),
        Value::Set(set) => Stored::Members(set.len()),
        Value::Stream(stream) => Stored::Members(stream.log().len()),
        Value::String(_) => Stored::Members(1),
    }
}

fn now() -> Duration {
    sim::elapsed()
}

impl State {
    /// All of them, in the order of [`super::invariants::NAMES`].
    fn invariants(&self) -> [&Invariant; 8] {
        let [liveness, no_lost_order] = self.liveness.invariants();
        [
            self.zero_oversell.invariant(),
            self.no_double_seat.invariant(),
            self.conservation.invariant(),
            self.money.invariant(),
            self.one_outcome.invariant(),
            self.admission.invariant(),
            liveness,
            no_lost_order,
        ]
    }

    /// Takes in what changed, and lets the invariants look.
    fn step<'a>(&mut self, part: usize, changed: impl Iterator<Item = (&'a [u8], Option<&'a Value>)>) {
        let at = now();
        let State {
            facts,
            keys,
            zero_oversell,
            no_double_seat,
            conservation,
            money,
            one_outcome,
            admission,
            teller,
            ..
        } = self;
        let present = &mut keys[part];
        let changes: Vec<_> = changed
            .filter_map(|(bytes, value)| {
                let key = Key::parse(bytes).filter(|key| Facts::follows(*key))?;
                match value {
                    None => _ = present.remove(bytes),
                    Some(_) if present.contains(bytes) => {}
                    Some(_) => _ = present.insert(bytes.to_vec()),
                }
                facts.apply(key, value.map_or(Stored::Gone, stored))
            })
            .collect();
        for change in &changes {
            teller.tell(facts, change);
            zero_oversell.on_change(facts, change, at);
            no_double_seat.on_change(facts, change, at);
            conservation.on_change(facts, change, at);
            money.on_change(facts, change, at);
            one_outcome.on_change(facts, change, at);
            admission.on_change(facts, change, at);
        }
    }

    /// Another data set counts from now on for a part of the slots.
    fn rebase(&mut self, part: usize, keyspace: &Keyspace) {
        let at = now();
        let State {
            masters,
            facts,
            losses,
            keys,
            zero_oversell,
            no_double_seat,
            conservation,
            one_outcome,
            ..
        } = self;
        let sold: Vec<_> =
            facts.tickets.values().filter(|ticket| ticket.state == TicketState::Valid).cloned().collect();
        let mut changes = Vec::new();
        let mut before: Vec<_> = std::mem::take(&mut keys[part]).into_iter().collect();
        before.sort_unstable();
        for bytes in before {
            if keyspace.get(&bytes).is_none()
                && let Some(key) = Key::parse(&bytes)
            {
                changes.extend(facts.apply(key, Stored::Gone));
            }
        }
        for (bytes, value) in keyspace.iter() {
            if redis::part_of(key_slot(bytes), *masters) == part
                && let Some(key) = Key::parse(bytes).filter(|key| Facts::follows(*key))
            {
                keys[part].insert(bytes.to_vec());
                changes.extend(facts.apply(key, stored(value)));
            }
        }
        losses.rebase(facts, &changes, at);
        // A ticket that a buyer has seen is in his hands, whatever the store says now.
        for ticket in sold {
            let order = ticket.order.to_string();
            if facts.valid_tickets(&order).all(|(_, valid)| valid.seat != ticket.seat)
                && one_outcome.was_told(&order, OrderState::Success)
            {
                facts.lost_tickets.entry(order).or_default().push(ticket);
            }
        }
        zero_oversell.rebase(facts, at);
        no_double_seat.rebase(facts, at);
        for change in
            changes.iter().filter(|change| matches!(change, Change::Stock { .. } | Change::Unreadable { .. }))
        {
            conservation.on_change(facts, change, at);
            self.admission.on_change(facts, change, at);
        }
    }
}

impl Monitor {
    /// For a cluster with so many masters; 0: a single server.
    pub(super) fn new(config: &Config, masters: usize) -> Monitor {
        let capacities = capacities(&config.sale);
        let parts = masters.max(1);
        Monitor(Arc::new(Mutex::new(State {
            masters,
            leaders: (0..parts).map(|_| Leader { number: 1, epoch: 0, booted: false }).collect(),
            keys: vec![FxHashSet::default(); parts],
            facts: Facts::default(),
            losses: Losses::default(),
            noticed: Vec::new(),
            failovers: Vec::new(),
            teller: Teller::new(&capacities),
            zero_oversell: ZeroOversell::new(capacities.clone()),
            no_double_seat: NoDoubleSeat::new(),
            conservation: Conservation::new(capacities),
            money: Money::new(),
            one_outcome: OneOutcome::new(),
            admission: Admission::new(config.queue.clone()),
            liveness: Liveness::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        crate::lock(&self.0)
    }

    /// A node begins with what is on its disk.
    pub(super) fn booted(&self, node: Node) {
        let leader = &mut self.lock().leaders[node.part];
        leader.booted |= leader.number == node.number;
    }

    /// One atomic step of a node of the store: all its changes are taken in before the invariants look.
    pub(super) fn on_store(&self, node: Node, changes: &Changes<'_>) {
        if changes.is_replica() {
            return;
        }
        let mut state = self.lock();
        let leader = &mut state.leaders[node.part];
        let leads = leader.number == node.number;
        if leads && !leader.booted {
            leader.epoch = changes.epoch();
            state.step(node.part, changes.iter());
        } else if leads || changes.epoch() > leader.epoch {
            *leader = Leader { number: node.number, epoch: changes.epoch(), booted: false };
            state.rebase(node.part, changes.keyspace());
        }
        // Otherwise a master that does not know that it has been replaced.
    }

    /// A node of the store, on the current host, has something to tell of the cluster.
    pub(super) fn on_alarm(&self, alert: Alert) {
        let mut state = self.lock();
        match alert {
            Alert::HeldForFailed => state.noticed.push(now()),
            Alert::TookOver => {
                state.failovers.push(Failover { at: now(), host: host::current().name() });
            }
        }
    }

    /// Money moved at the bank.
    pub(super) fn on_movement(&self, payment: &str, movement: Movement) {
        let at = now();
        let mut state = self.lock();
        let State { facts, money, .. } = &mut *state;
        money.on_movement(facts, payment, movement, at);
    }

    /// A buyer asked or was answered.
    pub(super) fn on_operation(&self, operation: &Operation) {
        if operation.completed.is_none() {
            return;
        }
        let at = now();
        let mut state = self.lock();
        let State { facts, one_outcome, liveness, .. } = &mut *state;
        let order = match (operation.name, &operation.value) {
            ("order.submit", Some(order)) => Some(order),
            _ => operation.subject.as_ref(),
        };
        if let Some(order) = order {
            facts.operations.entry(order.clone()).or_default().push(operation.id.0);
        }
        one_outcome.on_operation(operation, at);
        liveness.on_operation(facts, operation, at);
    }

    /// Has the system nothing left to do?
    pub(super) fn at_rest(&self) -> bool {
        self.lock().facts.at_rest()
    }

    /// Payments waiting for an operator.
    pub(super) fn dead_letters(&self) -> usize {
        self.lock().facts.dead_letters()
    }

    /// When Redis noticed that a node of it had failed.
    pub(super) fn noticed(&self) -> Vec<Duration> {
        self.lock().noticed.clone()
    }

    /// When replicas of Redis took over from their masters.
    pub(super) fn failovers(&self) -> Vec<Failover> {
        self.lock().failovers.clone()
    }

    /// The acknowledged writes that are missing.
    pub(super) fn lost(&self, operations: &[Operation]) -> Vec<LostWrite> {
        let state = self.lock();
        state.losses.of(&state.facts, operations)
    }

    /// Looks at the facts.
    pub(super) fn with_facts<R>(&self, look: impl FnOnce(&Facts) -> R) -> R {
        look(&self.lock().facts)
    }

    /// The first in order of the invariants that have been violated so far.
    pub(super) fn violated(&self) -> Option<&'static str> {
        let state = self.lock();
        state.invariants().into_iter().find(|invariant| invariant.is_violated()).map(Invariant::name)
    }

    /// Checks what can be checked at rest only, and gives all results in the order of
    /// [`super::invariants::NAMES`].
    pub(super) fn conclude(&self, history: &History) -> Vec<InvariantResult> {
        let at = now();
        let mut state = self.lock();
        let State { facts, conservation, money, liveness, .. } = &mut *state;
        conservation.conclude(facts, at);
        money.conclude(facts, at);
        history.with_operations(|operations| liveness.conclude(facts, operations, at));
        state.invariants().map(Invariant::result).to_vec()
    }
}
