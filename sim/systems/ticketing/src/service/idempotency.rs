//! Idempotency keys (ticketing spec, idempotency: the same key always gets the same outcome).
//!
//! A key belongs to an account and lives in the account's slot; what the request is about lives in the slot of its
//! shard. No script can touch both, so a request takes steps, each idempotent by itself:
//!
//! 1. *Bind* the key, in the account's slot, to the digest of the request and to the id of the order that it is about.
//!    For a submission that is the id of an order that does not exist yet: every repetition is given the same id.
//! 2. *Act*, in the shard, idempotent by that id.
//! 3. *Conclude*, in the account's slot, where the answer depends on when it was asked for: the first outcome that is
//!    kept is the answer, also for those who came to another one. A submission needs no such step, since what became
//!    of it stands in its order.
//!
//! What can happen between the steps:
//!
//! - A crash or a lost reply: the repetition binds to the same id, and goes on where the first got to.
//! - Two copies of a request at the same time: both are bound to the same id, and the second finds done what the first
//!   did.
//! - The act is refused for now, because the queue token is not admitted yet or has expired: the key stays bound, to
//!   nothing but the request that it was sent with. The same request with the same key, with any token, is carried
//!   out later; another request is a conflict. The binding is not taken back: a copy may meanwhile have been admitted
//!   with it, and the next repetition would then make a second order.
//! - The id of the new order is another's (the random part of a snowflake can repeat): the key is bound to a new id in
//!   place of that one, unless a copy of the request has done so.
//! - The key is forgotten while its request is under way: each step gives it its whole life again, which is longer than
//!   any copy of a request lives.
//!
//! A key that was bound and never led to anything takes up space for its life. The gateway limits how fast an account
//! can make these.
use super::{
    ApiError, Instance, Outcome, request, script,
    store::{millis, unexpected},
};
use crate::{api::code, ids::OrderId, keys};

script!(BIND, "bind.lua");

/// A request with an idempotency key.
pub(crate) struct Idempotent<'a> {
    pub(crate) account: &'a str,
    pub(crate) key: &'a str,
    /// What is asked for; the same for repetitions only.
    pub(crate) digest: String,
}

/// What a key is bound to.
pub(crate) struct Bound {
    /// The order that the request is about.
    pub(crate) order: OrderId,
    /// What came of the request, once that is concluded.
    pub(crate) outcome: Option<String>,
}

impl Idempotent<'_> {
    /// Binds the key to this order, unless it is bound to one already.
    ///
    /// # Errors
    /// 409 when the key was used for another request.
    pub(crate) async fn bind(&self, instance: &Instance, order: OrderId) -> Outcome<Bound> {
        self.run(instance, order, "", None).await
    }

    /// Binds the key to this order in place of one whose id is another's.
    ///
    /// # Errors
    /// 409 when the key was used for another request.
    pub(crate) async fn bind_anew(
        &self,
        instance: &Instance,
        order: OrderId,
        taken: OrderId,
    ) -> Outcome<Bound> {
        self.run(instance, order, "", Some(taken)).await
    }

    /// Keeps what came of the request, unless a copy of it came first: the outcome that is kept.
    ///
    /// # Errors
    /// The request has been acted upon, so nothing that goes wrong here promises that nothing happened.
    pub(crate) async fn conclude(
        &self,
        instance: &Instance,
        order: OrderId,
        outcome: &str,
    ) -> Outcome<String> {
        let bound = self.run(instance, order, outcome, None).await;
        let bound = bound.map_err(|error| ApiError::unknown(error.message))?;
        bound.outcome.ok_or_else(|| unexpected("bind.lua", "no outcome"))
    }

    async fn run(
        &self,
        instance: &Instance,
        order: OrderId,
        outcome: &str,
        taken: Option<OrderId>,
    ) -> Outcome<Bound> {
        let mut script = BIND.prepare_invoke();
        script.key(keys::idempotency(self.account, self.key)).arg(&self.digest).arg(order.to_string());
        script.arg(outcome).arg(taken.map(|order| order.to_string()).unwrap_or_default());
        script.arg(millis(instance.config.idempotency_kept));
        let reply: Vec<String> = instance.store.run(&script).await?;
        match reply.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["bound", order, outcome] => Ok(Bound {
                order: order.parse().map_err(|_| unexpected("bind.lua", &reply))?,
                outcome: (!outcome.is_empty()).then(|| (*outcome).to_owned()),
            }),
            ["conflict"] => Err(request::conflict(
                code::IDEMPOTENCY_CONFLICT,
                "the idempotency key was used for something else",
            )),
            _ => Err(unexpected("bind.lua", reply)),
        }
    }
}
