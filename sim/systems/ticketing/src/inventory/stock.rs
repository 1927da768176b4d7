//! The stock of segments: what can be done with it, each a script.
use crate::{
    api::{AboutOrder, Deduct, DeductOutcome, GiveBack, Moved},
    config::RunOnSale,
    domain::Trip,
    ids::Id,
    keys,
    service::{
        Instance, Outcome, script,
        store::{millis, unexpected},
    },
};

use super::mutants;

script!(DEDUCT, "deduct.lua");
script!(RELEASE, "release.lua");
script!(SELL, "sell.lua");

/// The stock of all runs.
pub(super) struct Stock {
    pub(super) instance: Instance,
}

impl Stock {
    /// Seats that remain on each segment of the run and class of a trip.
    pub(super) async fn segments(&self, trip: &Trip) -> Outcome<Vec<u32>> {
        let config = &self.instance.config;
        let segments: Vec<u32> = (0..config.sale.run(&trip.run).map_or(0, RunOnSale::segments)).collect();
        let key = keys::stock(config.shards.of_run(&trip.run), &trip.run, trip.class);
        let command = redis::cmd("HMGET").arg(key).arg(segments).take();
        let remaining: Vec<Option<u32>> = self.instance.store.command(&command).await?;
        Ok(remaining.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Takes stock on every segment of a trip, or on none.
    pub(super) async fn deduct(&self, request: &Deduct) -> Outcome<DeductOutcome> {
        if world::mutant!("ticketing.deduct-check-then-set") {
            return mutants::check_then_set(&self.instance, request).await;
        }
        if world::mutant!("ticketing.segments-deducted-one-by-one") {
            return mutants::one_by_one(&self.instance, request).await;
        }
        let (order, trip) = (request.order, &request.trip);
        let mut script = DEDUCT.prepare_invoke();
        script.key(keys::hold(order)).key(keys::stock(order.shard(), &trip.run, trip.class));
        script.arg(&trip.run).arg(trip.class.as_str()).arg(trip.from).arg(trip.to).arg(request.seats);
        script.arg(self.tombstone_ms());
        let reply: String = self.instance.store.run(&script).await?;
        match reply.as_str() {
            "held" => Ok(DeductOutcome::Held),
            "sold_out" => Ok(DeductOutcome::SoldOut),
            "released" => {
                world::reachable!("ticketing.stock.asked-for-after-release");
                Ok(DeductOutcome::Released)
            }
            _ => Err(unexpected("deduct.lua", reply)),
        }
    }

    /// Returns what an order has taken, once, and keeps it from taking anything later.
    pub(super) async fn release(&self, request: &GiveBack) -> Outcome<Moved> {
        if world::mutant!("ticketing.release-not-idempotent") {
            mutants::forget_release(&self.instance, request.order).await?;
        }
        let (order, trip) = (request.order, &request.trip);
        let mut script = RELEASE.prepare_invoke();
        script.key(keys::hold(order)).key(keys::stock(order.shard(), &trip.run, trip.class));
        script.arg(u8::from(request.even_sold)).arg(self.tombstone_ms());
        let reply: String = self.instance.store.run(&script).await?;
        if world::mutant!("ticketing.release-leaves-no-tombstone") {
            mutants::forget_tombstone(&self.instance, request.order).await?;
        }
        moved("release.lua", &reply)
    }

    /// Makes the hold of an order a sale.
    pub(super) async fn sell(&self, request: &AboutOrder) -> Outcome<Moved> {
        let reply: String = self.instance.store.run(&SELL.key(keys::hold(request.order))).await?;
        moved("sell.lua", &reply)
    }

    /// A tombstone must outlive every copy of the request that it refuses: it lives as long as an idempotency key.
    fn tombstone_ms(&self) -> u64 {
        millis(self.instance.config.idempotency_kept)
    }
}

/// Reads the reply of a script that moves a record.
pub(crate) fn moved(script: &str, reply: &str) -> Outcome<Moved> {
    match reply {
        "done" => Ok(Moved::Done),
        "refused" => Ok(Moved::Refused),
        _ => Err(unexpected(script, reply)),
    }
}
