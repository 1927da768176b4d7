//! Wrong ways to take and to end orders, for the mutants of this service. Nothing else uses them.
use std::sync::LazyLock;

use redis::Script;

use super::moves::{CLOSE, Due, Orders};
use crate::{
    api::MoveOutcome,
    domain::OrderState,
    ids::{Id, OrderId, QueueToken},
    keys,
    service::{Instance, Outcome, request, store::new_script},
};

/// What `transition.lua` compares, and what the mutant is content with.
const COMPARED: &str = "state ~= ARGV[2]";
const UNCOMPARED: &str = "not state";

static UNSEEN: LazyLock<Script> =
    LazyLock::new(|| new_script(&include_str!("transition.lua").replace(COMPARED, UNCOMPARED)));

/// `ticketing.expiry-overwrites-payment`: closes an order that was on the list of unpaid ones a moment ago.
pub(super) async fn close_unseen(
    orders: &Orders,
    order: OrderId,
    fields: &[(&str, String)],
) -> Outcome<MoveOutcome> {
    let due = Due::In(orders.instance.config.work.lease);
    orders.make_by(&UNSEEN, &CLOSE, order, fields, due).await
}

/// `ticketing.cancel-left-to-expiry`: says that an unpaid order is closed, and has the sweep of unpaid orders close it.
pub(super) async fn close_at_the_next_sweep(orders: &Orders, order: OrderId) -> Outcome<MoveOutcome> {
    let record = orders.read(order).await?.ok_or_else(|| request::not_found("there is no such order"))?;
    if record.state != OrderState::WaitPay {
        return Ok(MoveOutcome { moved: false, state: record.state });
    }
    let list = keys::work(order.shard(), keys::ORDER_EXPIRY);
    let due_now = redis::cmd("ZADD").arg(list).arg("XX").arg(0).arg(order.to_string()).take();
    orders.instance.store.command::<()>(&due_now).await?;
    Ok(MoveOutcome { moved: false, state: OrderState::Closed })
}

/// `ticketing.idempotency-key-ignored`: makes a submission look as if its key and its token had never been used.
pub(super) async fn forget_key(
    instance: &Instance,
    account: &str,
    key: &str,
    token: QueueToken,
) -> Outcome<()> {
    instance.store.command::<()>(redis::cmd("DEL").arg(keys::idempotency(account, key))).await?;
    instance.store.command(redis::cmd("HDEL").arg(keys::queue_token(token)).arg("order")).await
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_mutant_differs_from_the_script() {
        assert_eq!(include_str!("transition.lua").matches(super::COMPARED).count(), 1);
    }
}
