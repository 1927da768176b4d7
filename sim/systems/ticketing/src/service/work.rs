//! Work that must be done even if the one who does it crashes.
//!
//! A script that makes work necessary puts its id into a sorted set in the same step, scored by the time when it is
//! due. Every instance of the service looks for due work from time to time and takes it for the length of a lease.
//! The id leaves the set only when all of the work is done. So work may be done twice, but never not at all: each
//! piece must be idempotent.
use std::{future::Future, sync::Arc, time::Duration};

use super::{Instance, Outcome, script, store::millis};

script!(CLAIM, "claim.lua");
script!(POSTPONE, "postpone.lua");

/// One sorted set of persisted work.
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

    /// Does due work for as long as the host lives; the pieces of a batch are done concurrently. `handle` takes
    /// care of its own failures: work that it does not remove comes back when the lease ends.
    pub(crate) async fn drain<S, F, Fut>(self, service: Arc<S>, handle: F)
    where
        S: Send + Sync + 'static,
        F: Fn(Arc<S>, String) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        loop {
            world::time::sleep(self.until_next_look()).await;
            // When Redis does not answer there is nothing to do but to look again later.
            let Ok(ids) = self.claim().await else { continue };
            let tasks: Vec<_> =
                ids.into_iter().map(|id| world::task::spawn(handle(Arc::clone(&service), id))).collect();
            for task in tasks {
                // A handler that panicked is our bug; its work comes back when the lease ends.
                let _ = task.await;
            }
        }
    }

    /// Spread over ±25 %, so that instances that booted together do not stay in step.
    fn until_next_look(&self) -> Duration {
        self.instance.config.work.sweep_every.mul_f64(0.75 + world::rand::f64() / 2.0)
    }

    async fn claim(&self) -> Outcome<Vec<String>> {
        let rules = &self.instance.config.work;
        self.instance.store.run(CLAIM.key(self.name).arg(millis(rules.lease)).arg(rules.batch)).await
    }

    /// Makes a piece of work due again after the steady wait. If even that fails it comes back with its lease.
    pub(crate) async fn postpone(&self, id: &str) {
        let wait = millis(self.instance.config.work.retry_steady);
        let _: Outcome<i64> = self.instance.store.run(POSTPONE.key(self.name).arg(id).arg(wait)).await;
    }

    /// Takes a piece of work off the list: all of it is done.
    pub(crate) async fn done(&self, id: &str) -> Outcome<()> {
        self.instance.store.command(redis::cmd("ZREM").arg(self.name).arg(id)).await
    }
}
