//! The smallest plans first: most failures need one or two customers in a tiny world, some of them in the same instant.

use std::ops::Range;
use std::time::Duration;

use scenarios::Scenario;
use world::sim::Progress as Simulated;

use super::trials::Trial;
use super::{Error, Shrinker, plan};
use crate::rehearsal::{self, Request};

/// How many customers the smallest plans have, and the seeds that they are tried with: the fewer customers, the more.
const SMALL_PLANS: &[(usize, Range<usize>)] = &[
    (1, 0..6),
    (2, 0..6),
    (1, 6..30),
    (3, 0..6),
    (2, 6..30),
    (1, 30..150),
    (5, 0..6),
    (8, 0..6),
    (3, 6..30),
    (2, 30..150),
    (5, 6..30),
    (8, 6..30),
];
/// The number of those after which races are looked for.
const BEFORE_RACES: usize = 5;
/// Seeds that are looked through for races.
const MEETING_SEEDS: u64 = 60;

impl Shrinker<'_> {
    /// Looks among the smallest plans: most failures need one or two customers in a tiny world, which takes
    /// milliseconds to play, whereas to take a crowd apart takes as many runs of the crowd.
    pub(super) fn smallest_first(&mut self, involved: &[u64]) -> Result<bool, Error> {
        let planned = self.best.clone();
        let until = self.trials.left() / 5 * 3;
        for (index, (count, seeds)) in SMALL_PLANS.iter().enumerate() {
            let left = self.trials.left();
            // Not every failure is a race: some of the time is enough.
            if index == BEFORE_RACES
                && self.meeting(&planned, involved, left - left.saturating_sub(until) / 4)?
            {
                return Ok(true);
            }
            let candidates = plan::smallest_plans(&planned, involved, *count, self.system);
            if self.trials.left() < until {
                return Ok(false);
            }
            if self.attempt_with(&candidates, seeds.clone())?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Looks for races: customers who do the same thing in the same instant. What they do hangs on their numbers and
    /// not on when they come, so it takes one run to see when each does it, and to let them come so that they meet.
    fn meeting(&mut self, planned: &Scenario, involved: &[u64], until: Duration) -> Result<bool, Error> {
        for seed in 0..MEETING_SEEDS {
            let mut trials = Vec::new();
            for plan in plan::small_crowds(planned, involved, seed as usize, self.system) {
                let request = Request::new(plan.clone(), seed);
                // A plan that cannot be played, with nothing on sale for example, is no candidate.
                let Ok(played) = rehearsal::play(self.start.system, &request, Simulated::default()) else {
                    continue;
                };
                let meetings = plan::meetings(&plan, &played.history);
                trials.extend(meetings.into_iter().map(|scenario| Trial { scenario, seed }));
            }
            if self.trials.left() < until {
                return Ok(false);
            }
            if let Some(hit) = self.trials.first(&trials)? {
                self.best = trials[hit].scenario.clone();
                self.seed = seed;
                self.report();
                return Ok(true);
            }
            self.report();
        }
        Ok(false)
    }
}
