//! Candidates are played by processes of their own, on all cores: one that hangs or dies does not fail the same way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use scenarios::{Scenario, SystemVocabulary};

use crate::hunt::{Allowance, Answer, Lost, Player, Session, Task, now};
use crate::lock;
use crate::rehearsal::Failure;
use crate::shrink::simpler;
use crate::target::Target;

/// What a candidate must fail by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Aim {
    of: String,
    kind: String,
}

impl Aim {
    pub(super) fn new(failure: &Failure) -> Self {
        Self { of: failure.of.clone(), kind: failure.kind() }
    }

    /// The failure among these that is the same.
    pub(super) fn hit<'a>(&self, failures: &'a [Failure]) -> Option<&'a Failure> {
        failures.iter().find(|failure| failure.of == self.of && failure.kind() == self.kind)
    }
}

/// A scenario with the seed that it is played with.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
}

/// Plays trials.
pub(super) struct Trials<'a> {
    system: &'a SystemVocabulary,
    aim: Aim,
    jobs: usize,
    allowance: Allowance,
    stop: &'a AtomicBool,
    until: Instant,
    /// Must a candidate hold without the planted mistakes?
    has_control: bool,
    idle: Mutex<Vec<Player>>,
    played: AtomicUsize,
    /// How long the last trials took, in nanoseconds: a moving average.
    cost_ns: Mutex<f64>,
}

/// How a run may be slower than those before it until it is given up.
const SLOWER: u32 = 20;
/// A run that takes longer is ended when it does not matter any more.
const WORTH_ENDING: Duration = Duration::from_millis(500);
/// What every run may take at least.
const WALL_MIN: Duration = Duration::from_secs(2);

impl<'a> Trials<'a> {
    pub(super) fn new(
        system: &'a SystemVocabulary,
        aim: Aim,
        jobs: usize,
        stop: &'a AtomicBool,
        budget: Duration,
    ) -> Self {
        Self {
            system,
            aim,
            jobs: jobs.max(1),
            allowance: Allowance::default(),
            stop,
            until: now() + budget,
            has_control: false,
            idle: Mutex::default(),
            played: AtomicUsize::new(0),
            cost_ns: Mutex::new(0.0),
        }
    }

    /// From now on a candidate must hold without the planted mistakes: what fails as well without them shows something
    /// else, a world too small or a time too short for the system to come to rest.
    pub(super) fn control(&mut self) {
        self.has_control = true;
    }

    /// Tells what a run took.
    pub(super) fn set_cost(&self, wall: Duration) {
        *lock(&self.cost_ns) = wall.as_secs_f64() * 1e9;
    }

    /// About what a run takes.
    pub(super) fn cost(&self) -> Duration {
        Duration::from_nanos(*lock(&self.cost_ns) as u64)
    }

    /// Trials so far.
    pub(super) fn played(&self) -> usize {
        self.played.load(Ordering::Relaxed)
    }

    /// What is left of the budget.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(now())
    }

    /// Holds a part of the budget back.
    pub(super) fn end_sooner(&mut self, by: Duration) {
        self.until -= by;
    }

    /// Gives back what was held back.
    pub(super) fn end_later(&mut self, by: Duration) {
        self.until += by;
    }

    /// Has the budget ended, or somebody stopped it?
    pub(super) fn is_over(&self) -> bool {
        self.left().is_zero() || self.stop.load(Ordering::Acquire)
    }

    /// How many trials fit into a time.
    pub(super) fn fit_into(&self, time: Duration) -> usize {
        let runs = time.as_secs_f64() / self.cost().as_secs_f64().max(1e-4);
        (runs * self.jobs as f64) as usize
    }

    /// The first of the trials that fails the same way. Those after it may not have been played.
    ///
    /// # Errors
    /// A sentence: there are no processes to be had.
    pub(super) fn first(&self, trials: &[Trial]) -> Result<Option<usize>, String> {
        let (next, hit) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
        let broken = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.min(trials.len()) {
                scope.spawn(|| {
                    while !self.is_over() && lock(&broken).is_none() {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        // What comes after a hit does not matter; what comes before it does.
                        if index >= trials.len() || index > hit.load(Ordering::Relaxed) {
                            return;
                        }
                        // To wait for a short run is better than to start another process.
                        let is_needless =
                            || hit.load(Ordering::Relaxed) < index && self.cost() > WORTH_ENDING;
                        match self.play(&trials[index], is_needless) {
                            Ok(true) => _ = hit.fetch_min(index, Ordering::Relaxed),
                            Ok(false) => {}
                            Err(what) => _ = lock(&broken).get_or_insert(what),
                        }
                    }
                });
            }
        });
        match broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(what) => Err(what),
            None => Ok(Some(hit.into_inner()).filter(|index| *index < trials.len())),
        }
    }

    /// Does it fail the same way, and, where a planted mistake is switched on, because of that mistake?
    fn play(&self, trial: &Trial, is_needless: impl Fn() -> bool) -> Result<bool, String> {
        let failures = self.ask(&trial.scenario, trial.seed, &is_needless)?;
        let is_hit = failures.is_some_and(|failures| self.aim.hit(&failures).is_some());
        if !is_hit || !self.has_control {
            return Ok(is_hit);
        }
        let control = simpler::without_mutants(&trial.scenario);
        let failures = self.ask(&control, trial.seed, is_needless)?;
        Ok(failures.is_some_and(|failures| failures.is_empty()))
    }

    /// What fails; `None` when it hung, died or was stopped.
    fn ask(
        &self,
        scenario: &Scenario,
        seed: u64,
        is_needless: impl Fn() -> bool,
    ) -> Result<Option<Vec<Failure>>, String> {
        let broken = |error: &dyn std::fmt::Display| format!("a worker: {error}");
        let text = scenarios::write(scenario, self.system);
        let file = "shrunk.toml".to_owned();
        let target = Target { given: file.clone(), file, text, set: Vec::new() };
        let session = Session { scenarios: vec![target], is_full_size: true };
        let mut player = match lock(&self.idle).pop() {
            Some(player) => player,
            None => Player::start(&Session::default()).map_err(|error| broken(&error))?,
        };
        player.tell(&session).map_err(|error| broken(&error))?;
        let strategy = scenario.play.strategy.unwrap_or_default();
        let task = Task { scenario: 0, seed, mutants: scenario.play.mutants.clone(), strategy };
        let wall = (self.cost() * SLOWER).clamp(WALL_MIN, self.allowance.wall.max(WALL_MIN));
        let started = now();
        let answer =
            player.play(&task, Allowance { wall, ..self.allowance }, || is_needless() || self.is_over());
        self.played.fetch_add(1, Ordering::Relaxed);
        match answer {
            Ok(Answer { failures, .. }) => {
                let mut cost = lock(&self.cost_ns);
                *cost += (started.elapsed().as_secs_f64() * 1e9 - *cost) / 8.0;
                drop(cost);
                lock(&self.idle).push(player);
                Ok(Some(failures))
            }
            Err(Lost::Broken(what)) => Err(what),
            Err(Lost::Stopped | Lost::Finding(_)) => Ok(None),
        }
    }
}
