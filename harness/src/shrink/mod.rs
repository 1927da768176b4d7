//! From a failure to the smallest scenario that still fails the same way: few faults, few customers who do little, a
//! small world, a simple schedule.
//!
//! | to find | look in |
//! | --- | --- |
//! | in which order what is tried | here |
//! | plans that are written out, and the smallest of them | `plan` |
//! | the search among the smallest, and for races | `smallest` |
//! | what is simpler than what | `simpler` |
//! | delta debugging | `ddmin` |
//! | how candidates are played | `trials` |
//!
//! The plan is written out first: the faults that the seed drew, and each customer who came. Customers draw what they
//! want and do by their own number, so that leaving one out leaves the others as they were, and the written plan goes
//! exactly as the run that failed. From then on a candidate counts when it fails the same way, by the same invariant and
//! in the same words but for their numbers, with its own seed or with one of a few others: whatever changes, changes
//! what comes after it. Where a planted mistake is switched on, it must hold without that mistake.

mod ddmin;
mod plan;
mod simpler;
mod smallest;
mod trials;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use scenarios::{Arrival, Fault, Play, Scenario, Strategy, SystemVocabulary};
use world::sim::Progress as Simulated;

use self::ddmin::ddmin;
use self::trials::{Aim, Trial, Trials};
use crate::hunt::now;
use crate::rehearsal::{self, Failure, Played, Request, Story};
use crate::system::System;
use crate::timeline::Watch;

/// The longest that one step may look for a seed that fails, beside its own.
const STEP_MAX: Duration = Duration::from_secs(4);
/// One step gets no more than this part of what is left of the budget.
const STEP_SHARE: u32 = 12;
/// Seeds that a candidate is tried with at most.
const SEEDS_MAX: usize = 200;
/// The part of the budget that is held back for the schedule when one order of the tasks does not do.
const NARROW_SHARE: u32 = 8;
/// The stretch of time in which tasks run in any order is cut by one of at most so many parts of it.
const PARTS_MAX: u64 = 16;
/// Seeds that a shorter stretch is tried with.
const NARROW_SEEDS: Range<usize> = 0..6;
/// Operations that are few enough: a purchase as far as its payment.
const FEW: u64 = 5;
/// Seeds that are looked through for a customer who is simpler, or alone.
const RARE_SEEDS: usize = 10_000;
/// So few customers are tried one by one.
const HANDFUL: usize = 4;
/// More customers are a crowd.
const CROWD: usize = 24;
/// A load that waits for whatever is under way.
const WAITING: Duration = Duration::from_secs(30);
/// A run that takes longer is first looked for at hunting size.
const SLOW_RUN: Duration = Duration::from_millis(700);
/// Seeds at hunting size until the full size is shrunk after all.
const HUNTING_SEEDS: u64 = 200;

/// What to shrink.
pub struct Start<'a> {
    /// The system.
    pub system: &'a dyn System,
    /// The run that failed.
    pub request: Request,
    /// The same scenario at hunting size, if that is another size.
    pub hunting: Option<Scenario>,
    /// How it failed.
    pub failure: Failure,
    /// Processes that play at once.
    pub jobs: usize,
    /// How long to go on.
    pub budget: Duration,
}

/// The smallest scenario that was found.
#[derive(Debug)]
pub struct Shrunk {
    /// The scenario, with its seed: it fails by itself.
    pub scenario: Scenario,
    /// How it fails.
    pub failure: Failure,
    /// Its run.
    pub played: Played,
    /// Candidates that were played.
    pub tried: usize,
    /// Real time that it took.
    pub wall: Duration,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Candidates that were played.
    pub tried: usize,
    /// Faults that are left.
    pub faults: usize,
    /// Customers who are left.
    pub customers: u64,
    /// Operations that they make.
    pub operations: u64,
}

/// Why nothing can be shrunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The failure is not there any more.
    #[error("{0}")]
    Gone(String),
    /// It cannot be played.
    #[error("{0}")]
    Internal(String),
}

impl From<String> for Error {
    fn from(what: String) -> Self {
        Error::Internal(what)
    }
}

/// Shrinks until nothing gets simpler, the budget ends, or `stop` is set: then the best so far is the result.
///
/// # Errors
/// See [`Error`].
pub fn shrink(start: &Start<'_>, stop: &AtomicBool, show: &dyn Fn(Progress)) -> Result<Shrunk, Error> {
    let started = now();
    let system = start.system.vocabulary();
    let aim = Aim::new(&start.failure);
    let trials = Trials::new(&system, aim.clone(), start.jobs, stop, start.budget);
    let mut shrinker = Shrinker {
        start,
        system: &system,
        aim,
        trials,
        best: start.request.scenario.clone(),
        seed: start.request.seed,
        operations: 0,
        show,
    };
    shrinker.write_out()?;
    shrinker.simplify()?;
    let played = shrinker.survey(true)?;
    let failures = rehearsal::failures(&shrinker.best, &played.result);
    let failure = shrinker.aim.hit(&failures).cloned().ok_or_else(|| {
        Error::Internal("the shrunk scenario fails in a worker and holds here: see `rehearse verify`".into())
    })?;
    let tried = shrinker.trials.played();
    let mut scenario = shrinker.best;
    scenario.play.seed = Some(shrinker.seed);
    Ok(Shrunk { scenario, failure, played, tried, wall: started.elapsed() })
}

struct Shrinker<'a> {
    start: &'a Start<'a>,
    system: &'a SystemVocabulary,
    aim: Aim,
    trials: Trials<'a>,
    /// What fails so far, with this seed, and how many operations it makes.
    best: Scenario,
    seed: u64,
    operations: u64,
    show: &'a dyn Fn(Progress),
}

impl Shrinker<'_> {
    /// Plays the best so far, here; with `story`, it is watched and its story is kept.
    fn survey(&mut self, story: bool) -> Result<Played, Error> {
        let (story, watch) = match story {
            true => (Story::Whole, Some(Watch::default())),
            false => (Story::Untold, None),
        };
        let request = Request { story, watch, ..Request::new(self.best.clone(), self.seed) };
        let played = play(self.start, &request)?;
        self.operations = played.history.len() as u64;
        Ok(played)
    }

    fn fails(&self, scenario: &Scenario, played: &Played) -> bool {
        self.aim.hit(&rehearsal::failures(scenario, &played.result)).is_some()
    }

    /// From what the seed draws to what stands in the plan.
    fn write_out(&mut self) -> Result<(), Error> {
        let mut request = self.start.request.clone();
        let choices = request.replay.take();
        // What is expected of a scenario, and its limits, are kept only as far as they make the failure.
        let mut played = play(self.start, &request)?;
        if !self.fails(&request.scenario, &played) {
            request.replay = choices;
            played = play(self.start, &request)?;
        }
        if !self.fails(&request.scenario, &played) {
            let what =
                format!("it does not fail any more: {}: {}", self.start.failure.of, self.start.failure.what);
            return Err(Error::Gone(what));
        }
        self.trials.set_cost(Duration::from_secs_f64(played.result.wall_s));
        let strategy = request.strategy;
        let as_played = Play {
            seed: None,
            strategy: (strategy != Strategy::default()).then_some(strategy),
            mutants: request.mutants.iter().cloned().collect(),
        };
        self.best = Scenario { play: as_played.clone(), ..request.scenario.clone() };
        self.operations = played.history.len() as u64;
        let planned = plan::written_out(&self.best, &played);
        let involved = self.involved(&played);
        self.begin(planned)?;
        if !self.best.play.mutants.is_empty() {
            let control = Request::new(simpler::without_mutants(&self.best), self.seed);
            let mended = play(self.start, &control)?;
            if rehearsal::failures(&control.scenario, &mended.result).is_empty() {
                self.trials.control();
            }
        }
        if self.smallest_first(&involved)? {
            return Ok(());
        }
        if self.trials.cost() > SLOW_RUN
            && let Some(mut hunting) = self.start.hunting.clone()
        {
            hunting.play = Play { strategy: None, ..as_played };
            let trial = |seed| Trial { scenario: hunting.clone(), seed };
            let trials: Vec<Trial> = (0..HUNTING_SEEDS).map(trial).collect();
            if let Some(found) = self.trials.first(&trials)? {
                let before = (self.best.clone(), self.seed);
                (self.best, self.seed) = (hunting, found as u64);
                let played = self.survey(false)?;
                let planned = plan::written_out(&self.best, &played);
                let involved = self.involved(&played);
                if self.begin(planned).is_err() {
                    (self.best, self.seed) = before;
                } else {
                    self.smallest_first(&involved)?;
                }
            }
        }
        Ok(())
    }

    /// Takes over the plan, without what a plan does not need.
    fn begin(&mut self, planned: Scenario) -> Result<(), Error> {
        let bare = Scenario { limits: Default::default(), ..planned.clone() };
        if self.attempt(&[bare, planned])?.is_none() {
            let what = "with its faults and customers written out it does not fail any more";
            return Err(Error::Gone(what.to_owned()));
        }
        Ok(())
    }

    /// A simpler plan, and a simpler schedule before and after that.
    fn simplify(&mut self) -> Result<(), Error> {
        self.schedule()?;
        let is_ordered = self.best.play.strategy == Some(Strategy::Fifo);
        let held_back = if is_ordered { Duration::ZERO } else { self.trials.left() / NARROW_SHARE };
        self.trials.end_sooner(held_back);
        self.simplify_plan()?;
        self.trials.end_later(held_back);
        self.narrow()
    }

    /// Everything that makes the plan simpler, again and again until nothing does.
    fn simplify_plan(&mut self) -> Result<(), Error> {
        if plan::customers(&self.best).len() > CROWD {
            self.customers()?;
        }
        let mut is_first = true;
        loop {
            let before = (self.best.clone(), self.operations);
            self.faults()?;
            self.world()?;
            self.customers()?;
            if is_first {
                self.alone()?;
            }
            // Operations go before settings: how the scenario sets them may be what makes a short story possible.
            self.operations()?;
            if is_first && self.other_seeds(self.trials.left() / 4)? {
                self.operations()?;
            }
            self.settings()?;
            self.tidy()?;
            is_first = false;
            let is_at_rest = before == (self.best.clone(), self.operations);
            if self.trials.is_over() || (is_at_rest && !self.other_seeds(self.trials.left())?) {
                return Ok(());
            }
        }
    }

    /// Where other ways lead no further, a rare seed may: one with which a customer gets to the point at once. Looks for
    /// about so long.
    fn other_seeds(&mut self, time: Duration) -> Result<bool, Error> {
        if self.granted().is_none_or(|operations| operations <= FEW) {
            return Ok(false);
        }
        let simplest = simpler::with_simplest(&self.best, self.system);
        let all = plan::customers(&self.best);
        let began = now();
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by_key(|index| Reverse(all[*index].1.operations));
        for (tried, index) in order.iter().enumerate() {
            // A seed with which still fewer are enough fails with these as well: the rest goes afterwards.
            let Some(fewer @ 1..) = all[*index].1.operations.map(|made| FEW.min(made.saturating_sub(1)))
            else {
                continue;
            };
            let mut customers = all.clone();
            customers[*index].1.operations = Some(fewer);
            let duration = self.best.duration.max(WAITING);
            let candidate = Scenario { duration, ..plan::with_customers(&simplest, &customers) };
            let left = time.saturating_sub(began.elapsed());
            let seeds = self.trials.fit_into(left / (order.len() - tried) as u32);
            if self.attempt_with(&[candidate], 0..seeds.clamp(1, RARE_SEEDS))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tries candidates, the better ones first, each with its own seed before any with others. The one that fails
    /// becomes the best; its index.
    fn attempt(&mut self, candidates: &[Scenario]) -> Result<Option<usize>, Error> {
        let time = (self.trials.left() / STEP_SHARE).min(STEP_MAX);
        let seeds = self.trials.fit_into(time) / candidates.len().max(1);
        // A crowd is slow to play, and with its own seed those who stay do the same without those who go.
        let is_crowd = plan::customers(&self.best).len() > CROWD;
        self.attempt_with(candidates, 0..seeds.clamp(1, if is_crowd { 2 } else { SEEDS_MAX }))
    }

    /// As [`Self::attempt`], with some of the seeds: its own is the first.
    fn attempt_with(&mut self, candidates: &[Scenario], seeds: Range<usize>) -> Result<Option<usize>, Error> {
        let is_new = |scenario: &Scenario| *scenario != self.best || self.trials.played() == 0;
        let valid: Vec<usize> = (0..candidates.len())
            .filter(|index| {
                is_new(&candidates[*index]) && simpler::is_valid(&candidates[*index], self.system)
            })
            .collect();
        if valid.is_empty() || self.trials.is_over() {
            return Ok(None);
        }
        let own = self.seed;
        let others = (0..).filter(|seed| *seed != own);
        let seeds = std::iter::once(own).chain(others).skip(seeds.start).take(seeds.len());
        let trials = seeds.flat_map(|seed| {
            let trial = move |index: &usize| Trial { scenario: candidates[*index].clone(), seed };
            valid.iter().map(move |index| (*index, trial(index)))
        });
        let (indices, trials): (Vec<usize>, Vec<Trial>) = trials.unzip();
        let Some(hit) = self.trials.first(&trials)? else {
            self.report();
            return Ok(None);
        };
        self.best = trials[hit].scenario.clone();
        self.seed = trials[hit].seed;
        self.report();
        Ok(Some(indices[hit]))
    }

    fn report(&self) {
        let customers = plan::customers(&self.best);
        (self.show)(Progress {
            tried: self.trials.played(),
            faults: self.best.faults.len(),
            customers: customers.len() as u64,
            operations: self.granted().unwrap_or(self.operations),
        });
    }

    /// How many operations the customers make at most, where that is said of each.
    fn granted(&self) -> Option<u64> {
        plan::customers(&self.best).iter().map(|(_, arrival)| arrival.operations).sum()
    }

    /// The fewest items of a plan, by delta debugging.
    fn fewest<T: Clone>(
        &mut self,
        items: Vec<T>,
        with: impl Fn(&Scenario, &[T]) -> Scenario,
    ) -> Result<(), Error> {
        let mut error = None;
        ddmin(items, |parts| {
            let candidates: Vec<Scenario> = parts.iter().map(|part| with(&self.best, part)).collect();
            match self.attempt(&candidates) {
                Ok(hit) => hit,
                Err(what) => {
                    error = Some(what);
                    None
                }
            }
        });
        error.map_or(Ok(()), Err)
    }

    fn with_strategy(&self, strategy: Option<Strategy>) -> Scenario {
        Scenario { play: Play { strategy, ..self.best.play.clone() }, ..self.best.clone() }
    }

    /// One order of the tasks that are ready, if that will do; else any.
    fn schedule(&mut self) -> Result<(), Error> {
        let with = |strategy| self.with_strategy(strategy);
        let candidates = match self.best.play.strategy {
            Some(Strategy::Fifo) => vec![],
            None | Some(Strategy::Random) => vec![with(Some(Strategy::Fifo))],
            Some(Strategy::RandomWithin { .. } | Strategy::Pct { .. }) => {
                vec![with(Some(Strategy::Fifo)), with(None)]
            }
        };
        self.attempt(&candidates).map(drop)
    }

    /// Where one order will not do, it will before and after the choices that make the failure: delta debugging on the
    /// choices, as a stretch of time outside of which there are none.
    fn narrow(&mut self) -> Result<(), Error> {
        self.schedule()?;
        if matches!(self.best.play.strategy, None | Some(Strategy::Random)) {
            let end = self.survey(false)?.result.simulated_s.ceil();
            let until = Duration::try_from_secs_f64(end).unwrap_or(scenarios::duration::MAX);
            let whole = Strategy::RandomWithin { from: Duration::ZERO, until };
            self.attempt(&[self.with_strategy(Some(whole))])?;
        }
        let mut parts = 2;
        while parts <= PARTS_MAX {
            let Some(Strategy::RandomWithin { from, until }) = self.best.play.strategy else { return Ok(()) };
            let width_ms = until.saturating_sub(from).as_millis() as u64;
            if width_ms < 2 {
                return Ok(());
            }
            let part = Duration::from_millis((width_ms / parts).max(1));
            let candidates = [(from + part, until), (from, until - part)]
                .map(|(from, until)| self.with_strategy(Some(Strategy::RandomWithin { from, until })));
            let is_narrower = self.attempt_with(&candidates, NARROW_SEEDS)?.is_some();
            parts = if is_narrower { 2 } else { parts * 2 };
        }
        Ok(())
    }

    fn faults(&mut self) -> Result<(), Error> {
        let with = |best: &Scenario, faults: &[Fault]| Scenario { faults: faults.to_vec(), ..best.clone() };
        self.fewest(self.best.faults.clone(), with)
    }

    /// Fewer customers: first those of whole journeys, then those who have nothing to do with the failure.
    fn customers(&mut self) -> Result<(), Error> {
        let journeys: Vec<String> = self.best.load.keys().cloned().collect();
        for journey in journeys.iter().filter(|_| journeys.len() > 1) {
            let mut candidate = self.best.clone();
            candidate.load.remove(journey);
            self.attempt(&[candidate])?;
        }
        let played = self.survey(false)?;
        let involved = self.involved(&played);
        let all = plan::customers(&self.best);
        let few: Vec<_> = all
            .iter()
            .filter(|(_, arrival)| arrival.customer.is_some_and(|c| involved.contains(&c)))
            .cloned()
            .collect();
        if !few.is_empty() && few.len() < all.len() {
            let candidate = plan::with_customers(&self.best, &few);
            self.attempt(&[candidate])?;
        }
        self.fewest(plan::customers(&self.best), plan::with_customers)
    }

    /// One customer instead of a few: what takes two with most seeds, one of them may do by himself with a rare one.
    fn alone(&mut self) -> Result<(), Error> {
        let all = plan::customers(&self.best);
        if !(2..=HANDFUL).contains(&all.len()) {
            return Ok(());
        }
        let simplest = simpler::with_simplest(&self.best, self.system);
        let candidates: Vec<Scenario> =
            all.chunks(1).rev().map(|customer| plan::with_customers(&simplest, customer)).collect();
        let seeds = self.trials.fit_into(self.trials.left() / 4) / candidates.len();
        self.attempt_with(&candidates, 0..seeds.clamp(1, RARE_SEEDS)).map(drop)
    }

    /// The customers whose operations the failures of a run name.
    fn involved(&self, played: &Played) -> Vec<u64> {
        let failures = rehearsal::failures(&self.best, &played.result);
        let named = failures.iter().flat_map(|failure| &failure.operations);
        played.history.with_operations(|operations| {
            let process = |id: &u64| operations.get(*id as usize).map(|operation| operation.process);
            named.filter_map(process).collect()
        })
    }

    /// Fewer operations of each customer: those at the end go first.
    fn operations(&mut self) -> Result<(), Error> {
        let played = self.survey(false)?;
        let mut made: BTreeMap<u64, u64> = BTreeMap::new();
        played.history.with_operations(|operations| {
            operations.iter().for_each(|operation| *made.entry(operation.process).or_default() += 1);
        });
        // Whoever makes no operation is not needed; who makes some makes no more from now on.
        let all: Vec<(String, Arrival)> = plan::customers(&self.best)
            .into_iter()
            .filter_map(|(journey, arrival)| {
                let operations = made.get(&arrival.customer?).copied()?;
                Some((journey, Arrival { operations: Some(operations), ..arrival }))
            })
            .collect();
        let pinned = plan::with_customers(&self.best, &all);
        if pinned != self.best && self.attempt(&[pinned])?.is_none() {
            return Ok(());
        }
        for index in (0..all.len()).rev() {
            let mut current = plan::customers(&self.best);
            let Some(operations) = current.get(index).and_then(|(_, arrival)| arrival.operations) else {
                continue;
            };
            // Some customers are only needed to keep the world going, until a late message arrives: a longer load does
            // that as well.
            let longer = self.best.duration.max(WAITING);
            let mut candidates = Vec::new();
            for fewer in 1..operations {
                current[index].1.operations = Some(fewer);
                let candidate = plan::with_customers(&self.best, &current);
                let simplest = simpler::with_simplest(&candidate, self.system);
                candidates.push(Scenario { duration: longer, ..candidate.clone() });
                if simplest.settings != candidate.settings {
                    candidates.push(Scenario { duration: longer, ..simplest });
                }
                candidates.push(candidate);
            }
            self.attempt(&candidates)?;
        }
        Ok(())
    }

    /// Fewer trains, seats and instances.
    fn world(&mut self) -> Result<(), Error> {
        let all = simpler::smaller_worlds(&self.best, self.system);
        self.attempt(&[simpler::smallest_world(&self.best, self.system)])?;
        for key in all.keys() {
            // Against the best as it is by now.
            let candidates = simpler::smaller_worlds(&self.best, self.system).remove(key).unwrap_or_default();
            self.attempt(&candidates)?;
        }
        Ok(())
    }

    /// As few settings as possible that are not as the system has them.
    fn settings(&mut self) -> Result<(), Error> {
        let keys = simpler::unusual_settings(&self.best, self.system);
        let (all, system) = (keys.clone(), self.system);
        self.fewest(keys, |best, kept| simpler::with_settings_of(best, &all, kept, system))
    }

    /// Rounder, shorter, later, weaker, one at a time.
    fn tidy(&mut self) -> Result<(), Error> {
        for step in simpler::STEPS {
            let candidates = step(&self.best);
            self.attempt(&candidates)?;
        }
        for index in 0..self.best.faults.len() {
            for variation in simpler::OF_A_FAULT {
                let fault = |fault| {
                    let mut candidate = self.best.clone();
                    candidate.faults[index] = fault;
                    candidate
                };
                let Some(now) = self.best.faults.get(index) else { break };
                let candidates: Vec<Scenario> =
                    variation(now, self.best.duration).into_iter().map(fault).collect();
                self.attempt(&candidates)?;
            }
        }
        Ok(())
    }
}

fn play(start: &Start<'_>, request: &Request) -> Result<Played, Error> {
    rehearsal::play(start.system, request, Simulated::default())
        .map_err(|error| Error::Internal(error.to_string()))
}
