//! The admission law (ticketing spec, admission queue): who waits for a train leaves the queue at
//! min(2 % of what remains, 2000) orders per second.
//!
//! `admission.lua` applies it to the queue of a run; [`Law`] says the same in Rust, to estimate waits.
use std::time::Duration;

use crate::{
    config::QueueRules,
    keys,
    service::{Instance, Outcome, request, script},
};

script!(ADMISSION, "admission.lua");

/// At which rate places leave a queue.
#[derive(Debug, Clone)]
pub(super) struct Law {
    share_per_second: f64,
    leave_per_second_max: f64,
    wait_max: Duration,
}

impl Law {
    pub(super) fn new(rules: &QueueRules) -> Law {
        Law {
            share_per_second: rules.share_per_second,
            leave_per_second_max: rules.leave_per_second_max,
            wait_max: rules.wait_max,
        }
    }

    /// Orders that leave per second while this many seats of segments remain, over all classes of the run.
    pub(super) fn orders_per_second(&self, remaining: u64) -> f64 {
        (self.share_per_second * remaining as f64).min(self.leave_per_second_max)
    }

    /// How long a place waits that has `ahead` waiting places before it, if nothing changes; `None` without end.
    pub(super) fn wait(&self, ahead: u64, remaining: u64) -> Option<Duration> {
        let seconds = (ahead + 1) as f64 / self.orders_per_second(remaining);
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Whether a place is offered standby that has waited so long and still has to wait so long.
    pub(super) fn is_too_long(&self, waited: Duration, wait: Option<Duration>) -> bool {
        wait.is_none_or(|wait| waited.saturating_add(wait) > self.wait_max)
    }
}

/// Where a queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// The last place that is admitted.
    pub(super) head: u64,
    /// The last place that is taken.
    pub(super) tail: u64,
    /// Free seats of segments, over all classes of the run.
    pub(super) remaining: u64,
    /// The clock of Redis, in ms.
    pub(super) now_ms: u64,
}

/// Lets those leave the queue of a run whose time has come.
pub(super) async fn advance(instance: &Instance, run: &str) -> Outcome<Standing> {
    let config = &instance.config;
    let on_sale = config.sale.run(run).ok_or_else(|| request::not_found("there is no such train on sale"))?;
    let mut script = ADMISSION.prepare_invoke();
    let shard = config.shards.of_run(run);
    script.key(keys::queue(shard, run));
    for class in &on_sale.classes {
        script.key(keys::stock(shard, run, class.class));
    }
    script.arg(config.queue.share_per_second).arg(config.queue.leave_per_second_max);
    let (head, tail, remaining, now_ms) = instance.store.run(&script).await?;
    Ok(Standing { head, tail, remaining, now_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_percent_of_what_remains_but_at_most_2000() {
        let law = Law::new(&QueueRules::default());
        assert_eq!(law.orders_per_second(5_000), 100.0);
        assert_eq!(law.orders_per_second(100_000), 2_000.0);
        assert_eq!(law.orders_per_second(1_000_000), 2_000.0);
        assert_eq!(law.orders_per_second(0), 0.0);
    }

    #[test]
    fn the_wait_grows_with_the_places_ahead() {
        let law = Law::new(&QueueRules::default());
        assert_eq!(law.wait(0, 50), Some(Duration::from_secs(1)));
        assert_eq!(law.wait(99, 5_000), Some(Duration::from_secs(1)));
        assert_eq!(law.wait(0, 0), None);
    }

    #[test]
    fn standby_is_offered_beyond_a_minute_in_all() {
        let law = Law::new(&QueueRules::default());
        let seconds = Duration::from_secs;
        assert!(!law.is_too_long(seconds(20), Some(seconds(40))));
        assert!(law.is_too_long(seconds(21), Some(seconds(40))));
        assert!(law.is_too_long(seconds(0), None));
    }
}
