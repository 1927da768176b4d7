//! The admission law (ticketing spec, admission queue): per train and day at most 50 000 wait, and orders leave at
//! `min(2 % of what remains, 2000)` per second; both numbers are settings.
//!
//! The bound is the law integrated over the run: whoever was let in faster than that was let in too fast.

use std::collections::BTreeMap;
use std::time::Duration;

use ticketing::config::QueueRules;
use ticketing::domain::Class;

use crate::check::Invariant;
use crate::systems::ticketing::facts::{Change, Facts};

pub(in crate::systems::ticketing) const NAME: &str = "admission-law";

/// What the law may be off by: the service reads the stock a moment before it lets somebody in.
const TOLERANCE: f64 = 1.05;
/// Orders that may leave at once on top of that: whole orders leave, the law counts fractions.
const SLACK: f64 = 3.0;

/// The law, integrated up to a moment.
struct Integral {
    allowed: f64,
    since: Duration,
    remaining: i64,
}

pub(in crate::systems::ticketing) struct Admission {
    invariant: Invariant,
    rules: QueueRules,
    integrals: BTreeMap<String, Integral>,
}

impl Admission {
    pub(in crate::systems::ticketing) fn new(rules: QueueRules) -> Admission {
        Admission { invariant: Invariant::new(NAME), rules, integrals: BTreeMap::new() }
    }

    /// Follows a change of the stock or of a queue.
    pub(in crate::systems::ticketing) fn on_change(&mut self, facts: &Facts, change: &Change, at: Duration) {
        match change {
            Change::Stock { run, .. } => {
                let coaches = Class::ALL.iter().filter_map(|class| facts.stock.get(&(run.clone(), *class)));
                let remaining = coaches.flat_map(BTreeMap::values).sum();
                self.integrate(run, at).remaining = remaining;
            }
            Change::Queue { run } => {
                let Some((tail, head)) = facts.queues.get(run).copied() else { return };
                let allowed = self.integrate(run, at).allowed * TOLERANCE + SLACK;
                self.invariant.check(at, head as f64 <= allowed, || {
                    let what = format!(
                        "{run}: {head} orders have left the queue, the law allows {allowed:.1} by now"
                    );
                    (what, Vec::new())
                });
                let (waiting, most) = (tail.saturating_sub(head), self.rules.waiting_max);
                self.invariant.check(at, waiting <= most, || {
                    (format!("{run}: {waiting} wait in the queue, at most {most} may"), Vec::new())
                });
            }
            _ => {}
        }
    }

    fn integrate(&mut self, run: &str, at: Duration) -> &mut Integral {
        let fresh = || Integral { allowed: 0.0, since: at, remaining: 0 };
        let integral = self.integrals.entry(run.to_owned()).or_insert_with(fresh);
        let rate = (integral.remaining.max(0) as f64 * self.rules.share_per_second)
            .min(self.rules.leave_per_second_max);
        integral.allowed += rate * at.saturating_sub(integral.since).as_secs_f64();
        integral.since = at;
        integral
    }

    pub(in crate::systems::ticketing) fn invariant(&self) -> &Invariant {
        &self.invariant
    }
}
