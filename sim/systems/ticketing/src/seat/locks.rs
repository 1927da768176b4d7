//! The locks of concrete seats: what can be done with them, each a script.
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    api::{AboutOrder, GiveBack, LockOutcome, LockSeats, Moved},
    domain::Trip,
    ids::{Id, OrderId},
    inventory::stock::moved,
    keys,
    records::SeatLock,
    service::{
        Instance, Outcome, script,
        store::{millis, unexpected},
        work::WorkList,
    },
};

use super::{map::SEATS_PER_CAR, mutants};

script!(LOCK, "lock.lua");
script!(TICKET, "ticket.lua");
script!(FREE, "free.lua");

/// The seats of all runs.
pub(super) struct Locks {
    pub(super) instance: Instance,
    pub(super) expiry: WorkList,
    /// Number of the seat where each trip was last found: where to look first. Nothing depends on it but speed.
    hints: Mutex<BTreeMap<Trip, i64>>,
}

impl Locks {
    pub(super) fn new(instance: &Instance) -> Locks {
        let expiry = WorkList::new(instance, keys::SEAT_LOCK_EXPIRY);
        Locks { instance: instance.clone(), expiry, hints: Mutex::default() }
    }

    /// Picks and locks a seat for each passenger, free on every segment of the trip.
    pub(super) async fn lock(&self, request: &LockSeats) -> Outcome<LockOutcome> {
        let (order, trip) = (request.order, &request.trip);
        let seats_on_sale = self.instance.config.sale.class_for(trip)?.seats;
        let lock = if world::mutant!("ticketing.seat-picked-by-first-segment") {
            &mutants::LOCK_BY_FIRST_SEGMENT
        } else {
            &LOCK
        };
        let mut script = lock.prepare_invoke();
        script
            .key(keys::seat_lock(order))
            .key(keys::seats(order.shard(), &trip.run, trip.class))
            .key(keys::work(order.shard(), keys::SEAT_LOCK_EXPIRY));
        script.arg(order.to_string()).arg(&trip.run).arg(trip.class.as_str()).arg(trip.from).arg(trip.to);
        script
            .arg(request.seats)
            .arg(request.expires_ms)
            .arg(seats_on_sale)
            .arg(self.hint(trip))
            .arg(SEATS_PER_CAR);
        let reply: Vec<String> = self.instance.store.run(&script).await?;
        match reply.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["locked", labels, last] => {
                self.remember(trip, last.parse().unwrap_or(-1));
                Ok(LockOutcome::Locked(labels.split(',').map(str::to_owned).collect()))
            }
            ["fragmented"] => {
                world::reachable!("ticketing.seat.no-seat-for-the-whole-trip");
                Ok(LockOutcome::Fragmented)
            }
            ["freed"] => {
                world::reachable!("ticketing.seat.asked-for-after-freeing");
                Ok(LockOutcome::Freed)
            }
            _ => Err(unexpected("lock.lua", reply)),
        }
    }

    /// Makes locked seats ticketed.
    pub(super) async fn ticket(&self, request: &AboutOrder) -> Outcome<Moved> {
        let mut script = TICKET.prepare_invoke();
        let expiry = keys::work(request.order.shard(), keys::SEAT_LOCK_EXPIRY);
        script.key(keys::seat_lock(request.order)).key(expiry).arg(request.order.to_string());
        let reply: String = self.instance.store.run(&script).await?;
        moved("ticket.lua", &reply)
    }

    /// Frees what an order has locked, once, and keeps it from locking anything later.
    pub(super) async fn free(&self, request: &GiveBack) -> Outcome<Moved> {
        self.run_free(request.order, &request.trip, request.even_sold, false).await
    }

    /// Frees the seats of an order whose lock has expired.
    pub(super) async fn expire(&self, order: OrderId) -> Outcome<()> {
        let lock =
            self.instance.store.record(keys::seat_lock(order), |fields| SeatLock::parse(fields)).await?;
        match lock.and_then(|lock| lock.trip) {
            Some(trip) => self.run_free(order, &trip, false, true).await.map(|_| ()),
            None => self.expiry.done(order).await,
        }
    }

    async fn run_free(
        &self,
        order: OrderId,
        trip: &Trip,
        even_ticketed: bool,
        only_expired: bool,
    ) -> Outcome<Moved> {
        let free = if world::mutant!("ticketing.seat-freed-again") { &mutants::FREE_AGAIN } else { &*FREE };
        let mut script = free.prepare_invoke();
        script
            .key(keys::seat_lock(order))
            .key(keys::seats(order.shard(), &trip.run, trip.class))
            .key(keys::work(order.shard(), keys::SEAT_LOCK_EXPIRY));
        script.arg(order.to_string()).arg(u8::from(even_ticketed)).arg(u8::from(only_expired));
        // A tombstone must outlive every copy of the request that it refuses.
        script.arg(millis(self.instance.config.idempotency_kept));
        let reply: String = self.instance.store.run(&script).await?;
        moved("free.lua", &reply)
    }

    fn hint(&self, trip: &Trip) -> i64 {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner).get(trip).copied().unwrap_or(0)
    }

    fn remember(&self, trip: &Trip, last: i64) {
        if last >= 0 {
            self.hints.lock().unwrap_or_else(PoisonError::into_inner).insert(trip.clone(), last);
        }
    }
}
