//! Work that must be done even if the one who does it crashes.
//!
//! A script that makes work necessary puts its id into a sorted set of its shard in the same step, scored by the time
//! when it is due. Every instance of the service looks for due work in every shard from time to time and takes it for
//! the length of a lease. The id leaves the set only when all of the work is done. So work may be done twice, but never
//! not at all: each piece must be idempotent. Nobody depends on an instance that is down, since none has shards of its
//! own.
use std::{future::Future, sync::Arc, time::Duration};

use super::{Instance, Outcome, script, store::millis};
use crate::{ids::Id, keys, shards::Shard};

script!(CLAIM, "claim.lua");
script!(POSTPONE, "postpone.lua");

/// A sorted set of persisted work in every shard.
#[derive(Clone)]
pub(crate) struct WorkList {
    instance: Instance,
    name: &'static str,
}

impl WorkList {
    /// The list of this name, one of [`crate::keys::WORK`].
    pub(crate) fn new(instance: &Instance, name: &'static str) -> WorkList {
        WorkList { instance: instance.clone(), name }
    }

    /// Does due work for as long as the host lives. `handle` takes care of its own failures: work that it does not
    /// remove comes back when the lease ends.
    pub(crate) fn drain<S, I, F, Fut>(&self, service: &Arc<S>, handle: F)
    where
        S: Send + Sync + 'static,
        I: Id + Send + 'static,
        F: Fn(Arc<S>, I) -> Fut + Copy + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        // Each shard has a task: work that takes its time in one holds up no other.
        for shard in self.instance.config.shards.all() {
            world::task::spawn(self.clone().drain_shard(shard, Arc::clone(service), handle));
        }
    }

    /// Does due work of one shard; the pieces of a batch are done concurrently.
    async fn drain_shard<S, I, F, Fut>(self, shard: Shard, service: Arc<S>, handle: F)
    where
        S: Send + Sync + 'static,
        I: Id,
        F: Fn(Arc<S>, I) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        world::time::sleep(self.interval().mul_f64(world::rand::f64())).await;
        loop {
            // When Redis does not answer there is nothing to do but to look again later.
            let ids = self.claim(shard).await.unwrap_or_default();
            // What is no id is nothing that could be done: it stays in the list, where it can be seen.
            let ids = ids.iter().filter_map(|id| id.parse().ok());
            let tasks: Vec<_> = ids.map(|id| world::task::spawn(handle(Arc::clone(&service), id))).collect();
            for task in tasks {
                // A handler that panicked is our bug; its work comes back when the lease ends.
                let _ = task.await;
            }
            // Spread over ±25 %, so that instances that booted together do not stay in step.
            world::time::sleep(self.interval().mul_f64(0.75 + world::rand::f64() / 2.0)).await;
        }
    }

    /// The time between two looks into the list of one shard.
    fn interval(&self) -> Duration {
        let config = &self.instance.config;
        config.work.sweep_every * u32::from(config.shards.count())
    }

    async fn claim(&self, shard: Shard) -> Outcome<Vec<String>> {
        let rules = &self.instance.config.work;
        let list = keys::work(shard, self.name);
        let mut script = CLAIM.key(&list);
        let ids: Vec<String> =
            self.instance.store.run(script.arg(millis(rules.lease)).arg(rules.batch)).await?;
        if world::mutant!("ticketing.work-removed-when-claimed") && !ids.is_empty() {
            self.instance.store.command::<i64>(redis::cmd("ZREM").arg(&list).arg(&ids)).await?;
        }
        Ok(ids)
    }

    /// Makes a piece of work due again after the steady wait. If even that fails it comes back with its lease.
    pub(crate) async fn postpone(&self, id: impl Id) {
        let wait = millis(self.instance.config.work.retry_steady);
        let list = keys::work(id.shard(), self.name);
        let _: Outcome<i64> = self.instance.store.run(POSTPONE.key(list).arg(id.to_string()).arg(wait)).await;
    }

    /// Takes a piece of work off the list: all of it is done.
    pub(crate) async fn done(&self, id: impl Id) -> Outcome<()> {
        let list = keys::work(id.shard(), self.name);
        self.instance.store.command(redis::cmd("ZREM").arg(list).arg(id.to_string())).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        ids::OrderId,
        service::testing::{config, on_sale},
    };

    #[test]
    fn work_of_every_shard_is_done_in_time() {
        on_sale(config(1), |instance| async move {
            let list = WorkList::new(&instance, keys::ORDER_CLEANUP);
            let orders: Vec<OrderId> =
                instance.config.shards.all().map(|shard| OrderId::new(shard, 7)).collect();
            for order in &orders {
                let add = redis::cmd("ZADD")
                    .arg(keys::work(order.shard(), keys::ORDER_CLEANUP))
                    .arg(1)
                    .arg(order.to_string())
                    .take();
                instance.store.command::<i64>(&add).await.expect("an answer");
            }
            let done: Arc<Mutex<Vec<OrderId>>> = Arc::default();
            list.drain(&done, |done, order: OrderId| async move {
                done.lock().expect("a lock").push(order);
            });
            world::time::sleep(list.interval()).await;
            let mut seen = done.lock().expect("a lock").clone();
            seen.sort_unstable();
            assert_eq!(seen, orders);
            // Nobody has taken them off: they are due again when the lease ends.
            world::time::sleep(instance.config.work.lease + list.interval().mul_f64(1.25)).await;
            assert_eq!(done.lock().expect("a lock").len(), 2 * orders.len());
            for order in &orders {
                list.postpone(*order).await;
                list.done(*order).await.expect("an answer");
                list.postpone(*order).await;
            }
            world::time::sleep(instance.config.work.lease * 2).await;
            assert_eq!(done.lock().expect("a lock").len(), 2 * orders.len());
        });
    }
}
