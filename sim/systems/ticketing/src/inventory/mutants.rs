//! Wrong ways to handle stock, for the mutants of this service. Nothing else uses them.
use crate::{
    api::{Deduct, DeductOutcome},
    ids::{Id, OrderId},
    keys,
    service::{Instance, Outcome},
};

/// Writes the hold that a right deduction would write.
async fn hold(instance: &Instance, request: &Deduct) -> Outcome<DeductOutcome> {
    let trip = &request.trip;
    let mut command = redis::cmd("HSET");
    command.arg(keys::hold(request.order)).arg("state").arg("HELD").arg("run").arg(&trip.run);
    command.arg("class").arg(trip.class.as_str()).arg("from").arg(trip.from).arg("to").arg(trip.to);
    command.arg("seats").arg(request.seats).arg("at_ms").arg(0);
    instance.store.command::<()>(&command).await?;
    Ok(DeductOutcome::Held)
}

/// What was decided for the order before; looked at, so that the mutants have one mistake only.
async fn decided(instance: &Instance, request: &Deduct) -> Outcome<Option<DeductOutcome>> {
    let command = redis::cmd("HGET").arg(keys::hold(request.order)).arg("state").take();
    let state: Option<String> = instance.store.command(&command).await?;
    Ok(state.map(|state| if state == "RELEASED" { DeductOutcome::Released } else { DeductOutcome::Held }))
}

/// `ticketing.deduct-check-then-set`: reads the stock, and writes what it has computed from it in a second step.
pub(super) async fn check_then_set(instance: &Instance, request: &Deduct) -> Outcome<DeductOutcome> {
    if let Some(decided) = decided(instance, request).await? {
        return Ok(decided);
    }
    let trip = &request.trip;
    let key = keys::stock(request.order.shard(), &trip.run, trip.class);
    let segments: Vec<u32> = (trip.from..trip.to).collect();
    let read = redis::cmd("HMGET").arg(&key).arg(&segments).take();
    let remaining: Vec<u32> = instance.store.command(&read).await?;
    if remaining.iter().any(|remaining| *remaining < request.seats) {
        return Ok(DeductOutcome::SoldOut);
    }
    let mut write = redis::cmd("HSET");
    write.arg(&key);
    for (segment, remaining) in segments.iter().zip(&remaining) {
        write.arg(segment).arg(remaining - request.seats);
    }
    instance.store.command::<()>(&write).await?;
    hold(instance, request).await
}

/// `ticketing.segments-deducted-one-by-one`: each segment is right in itself, but a crash leaves some done.
pub(super) async fn one_by_one(instance: &Instance, request: &Deduct) -> Outcome<DeductOutcome> {
    if let Some(decided) = decided(instance, request).await? {
        return Ok(decided);
    }
    let trip = &request.trip;
    let key = keys::stock(request.order.shard(), &trip.run, trip.class);
    let change = |segment: u32, by: i64| redis::cmd("HINCRBY").arg(&key).arg(segment).arg(by).take();
    let seats = i64::from(request.seats);
    for segment in trip.from..trip.to {
        let remaining: i64 = instance.store.command(&change(segment, -seats)).await?;
        if remaining < 0 {
            for done in trip.from..=segment {
                instance.store.command::<i64>(&change(done, seats)).await?;
            }
            return Ok(DeductOutcome::SoldOut);
        }
    }
    hold(instance, request).await
}

/// `ticketing.release-not-idempotent`: makes a hold look as if it had never been released.
pub(super) async fn forget_release(instance: &Instance, order: OrderId) -> Outcome<()> {
    let key = keys::hold(order);
    let run: Option<String> = instance.store.command(redis::cmd("HGET").arg(&key).arg("run")).await?;
    match run {
        Some(_) => instance.store.command(redis::cmd("HSET").arg(&key).arg("state").arg("HELD")).await,
        None => Ok(()),
    }
}

/// `ticketing.release-leaves-no-tombstone`: where nothing was held, nothing is left that a late deduction would find.
pub(super) async fn forget_tombstone(instance: &Instance, order: OrderId) -> Outcome<()> {
    let key = keys::hold(order);
    let run: Option<String> = instance.store.command(redis::cmd("HGET").arg(&key).arg("run")).await?;
    match run {
        Some(_) => Ok(()),
        None => instance.store.command(redis::cmd("DEL").arg(&key)).await,
    }
}
