//! A wrong way to take orders, for the mutant of this service. Nothing else uses it.
use crate::{
    ids::QueueToken,
    keys,
    service::{Instance, Outcome},
};

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
