//! What a system carries: one scenario at several loads, and what follows from the levels.
//!
//! | to find | look in |
//! | --- | --- |
//! | which loads and settings are played | [`levels`] |
//! | what counts of a run | [`measure`] |
//! | what follows: the highest rate that meets the service levels, who saturates first | [`analysis`] |
//! | the universal scalability law, its intervals, its knee | [`law`] |
//!
//! Every run is a rehearsal like any other, in a simulation of its own; several go at once, a thread each.

mod analysis;
mod law;
pub mod levels;
mod measure;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use record::capacity::{Capacity, Curve, SCHEMA};
use record::result::Verdict;
use world::sim::Progress;

use self::levels::Load;
use self::measure::Measured;
use crate::lock;
use crate::rehearsal::{self, Request};
use crate::system::System;
use crate::timeline::Watch;

/// What to play.
#[derive(Debug, Clone)]
pub struct Plan {
    /// A request for each combination of the settings that are swept, with the settings; never empty. Their scenarios
    /// differ in settings only, and their seeds do not matter.
    pub curves: Vec<(BTreeMap<String, String>, Request)>,
    /// From the lowest load to the highest, as factors of the rates of the scenario.
    pub factors: Vec<f64>,
    /// Each level is played with each of them.
    pub seeds: Vec<u64>,
    /// Left out at the beginning of the load.
    pub warm_up: Duration,
    /// The shell line that plays the same again.
    pub replay: String,
}

impl Plan {
    /// A plan of these loads.
    ///
    /// # Errors
    /// A sentence for the user: a load that the scenario cannot be scaled to, or a time that leaves nothing to measure.
    pub fn new(
        curves: Vec<(BTreeMap<String, String>, Request)>,
        loads: &[Load],
        seeds: Vec<u64>,
        warm_up: Option<Duration>,
        replay: String,
    ) -> Result<Plan, String> {
        let scenario = &curves[0].1.scenario;
        let factors: Result<Vec<f64>, String> = loads.iter().map(|load| load.factor(scenario)).collect();
        let mut factors = factors?;
        factors.sort_by(f64::total_cmp);
        factors.dedup();
        for factor in &factors {
            levels::scaled(scenario, *factor)?;
        }
        let warm_up = levels::warm_up(warm_up, scenario.duration)?;
        Ok(Plan { curves, factors, seeds, warm_up, replay })
    }

    /// How many runs it takes.
    pub fn runs(&self) -> usize {
        self.curves.len() * self.factors.len() * self.seeds.len()
    }

    /// The request of a run, by its number.
    fn run(&self, number: usize) -> Result<Run<'_>, String> {
        let seeds = self.seeds.len();
        let (curve, level) = (number / seeds / self.factors.len(), number / seeds % self.factors.len());
        let (_, request) = &self.curves[curve];
        let scenario = levels::scaled(&request.scenario, self.factors[level])?;
        let watch = Watch::default();
        let seed = self.seeds[number % seeds];
        let request = Request { scenario, seed, watch: Some(watch.clone()), ..request.clone() };
        Ok(Run { plan: self, request, watch })
    }
}

/// One run of a plan.
struct Run<'a> {
    plan: &'a Plan,
    request: Request,
    watch: Watch,
}

impl Run<'_> {
    fn play(&self, system: &dyn System) -> Result<Measured, rehearsal::Error> {
        let play = || rehearsal::play(system, &self.request, Progress::default());
        let played = catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|_| {
            // The panic's own message has been printed.
            Err(rehearsal::Error::Internal(format!("a panic at seed {}", self.request.seed)))
        })?;
        Ok(measure::measure(&played, &self.watch, self.request.scenario.duration, self.plan.warm_up))
    }
}

/// Plays everything, `jobs` runs at a time; `shown` hears of every run that is done, with how many are by then. Once
/// `stop` is true no further run begins: what there is of the levels that were played to their end is the result.
///
/// # Errors
/// The first run that could not be played; the others are not waited for.
pub fn play(
    system: &dyn System,
    plan: &Plan,
    jobs: usize,
    stop: &AtomicBool,
    shown: &(dyn Fn(usize) + Sync),
) -> Result<Capacity, rehearsal::Error> {
    let runs = plan.runs();
    let measured: Mutex<Vec<Option<Measured>>> = Mutex::new(vec![None; runs]);
    let failed: Mutex<Option<rehearsal::Error>> = Mutex::new(None);
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while !stop.load(Ordering::Acquire) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            // The highest loads take longest: they come first, so that no core is left with one at the end.
            let Some(number) = runs.checked_sub(place + 1) else { break };
            let run = plan.run(number).map_err(rehearsal::Error::Setting);
            match run.and_then(|run| run.play(system)) {
                Ok(seen) => {
                    lock(&measured)[number] = Some(seen);
                    shown(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
                Err(error) => {
                    lock(&failed).get_or_insert(error);
                    stop.store(true, Ordering::Release);
                }
            }
        }
    };
    on_threads(jobs.clamp(1, runs.max(1)), &work);
    if let Some(error) = lock(&failed).take() {
        return Err(error);
    }
    let measured = std::mem::take(&mut *lock(&measured));
    Ok(conclude(plan, &measured))
}

/// Threads outside of every simulation: each run has one of its own beside.
fn on_threads(count: usize, work: &(dyn Fn() + Sync)) {
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(work);
        }
    });
}

/// What was measured, by number of the run, as the document. A level counts if all of its runs were played.
fn conclude(plan: &Plan, measured: &[Option<Measured>]) -> Capacity {
    let request = &plan.curves[0].1;
    let scenario = &request.scenario;
    let customers_per_s = levels::customers_per_s(scenario);
    let by_level: Vec<Option<Vec<Measured>>> =
        measured.chunks(plan.seeds.len()).map(|runs| runs.iter().cloned().collect()).collect();
    let levels_not_played = by_level.iter().filter(|runs| runs.is_none()).count();
    let curves = plan.curves.iter().zip(by_level.chunks(plan.factors.len()));
    let curves: Vec<Curve> = curves
        .map(|((settings, request), levels)| {
            let levels = plan.factors.iter().zip(levels).filter_map(|(factor, runs)| {
                let runs = runs.as_ref()?;
                Some(analysis::level(*factor, customers_per_s, runs, &request.scenario.limits))
            });
            analysis::curve(settings.clone(), levels.collect())
        })
        .collect();
    let mut levels = curves.iter().flat_map(|curve| &curve.levels);
    let verdict = if measured.iter().flatten().all(|measured| measured.is_empty) {
        Verdict::Invalid
    } else if levels.clone().any(|level| !level.violated.is_empty()) {
        Verdict::Violated
    } else if levels.any(|level| level.met) {
        Verdict::Held
    } else if levels_not_played > 0 {
        Verdict::Invalid
    } else {
        Verdict::Slow
    };
    Capacity {
        schema: SCHEMA,
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        system: scenario.system.clone(),
        engine: request.engine.to_string(),
        seeds: plan.seeds.clone(),
        mutants: request.mutants.iter().cloned().collect(),
        replay: plan.replay.clone(),
        load_s: scenario.duration.as_secs_f64(),
        warm_up_s: plan.warm_up.as_secs_f64(),
        levels_not_played,
        verdict,
        curves,
    }
}
