//! A hunt: many seeds of small worlds on all cores, and what they found.
//!
//! | to find | look in |
//! | --- | --- |
//! | what is played in which order, until when | here |
//! | what was found, without saying it a hundred times | `findings` |
//! | what a hunt leaves, and what many of them come to | [`document`] |
//! | the processes that play, so that one that hangs is a finding | `player`, `worker` |
//! | what they say to each other | `message` |

//! ## Why seeds are drawn blindly
//! Guided hunting (after AFL, and Antithesis' forks) was tried and dropped; commit 78d2510 has it. Runs that came by
//! something new were kept with the moment: marks and how often, the way that each order's records took, changes of two
//! orders within 2 ms, all of them under each set of faults. Half of the seeds went on from there, the same up to
//! 0 to 64 ms before it, with another seed's choices from then on. Seeds until a planted mistake was found, medians of
//! five starting seeds (`hunt SCENARIO --mutant NAME --first --strategy mixed|guided --seeds 1000..`, 2000.., …):
//!
//! | mutant | mixed | guided |
//! | --- | --- | --- |
//! | `ticketing.deduct-check-then-set` | 6 | 6 |
//! | `ticketing.refund-reference-per-attempt` | 8 | 12 |
//! | `ticketing.expiry-overwrites-payment` | 13 | 27 |
//! | `ticketing.release-not-idempotent` | 18 | 85 |
//! | `redis.client.connection-kept-after-timeout` | 74 | 131 |
//! | `redis.client.wait-answer-ignored` | 6 | 7 |
//! | `redis.wait-counts-linked-replicas` | 11 | 11 |
//!
//! It was never better. A run of a small world takes some 50 ms and is short: another customer or fault tells more than
//! another end of the same one, which takes a whole run to be played, too.

pub mod document;
mod findings;
mod message;
mod player;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use record::result::Verdict;
use scenarios::Strategy;
use serde::{Deserialize, Serialize};

pub use self::findings::{Findings, Group};
pub use self::message::Task;
pub(crate) use self::message::{Answer, Session};
pub use self::player::Allowance;
pub(crate) use self::player::{Lost, Player, SUBCOMMAND, now};
pub(crate) use self::worker::work;

use crate::rehearsal::Failure;
use crate::target::Target;

/// What is not as it should be when a run hangs, dies or eats memory.
const NO_END: &str = "a run that ends";
/// Seeds that the canary has to be found in.
const CANARY_SEEDS: u64 = 20;

/// What to hunt through.
#[derive(Debug, Clone)]
pub struct Hunt {
    /// The scenarios: each seed is played on all of them.
    pub targets: Vec<Target>,
    /// The seeds, in this order.
    pub seeds: Range<u64>,
    /// Of the seeds, only those that leave this remainder: (remainder, divisor).
    pub shard: (u64, u64),
    /// When to stop although there are seeds left.
    pub budget: Option<Duration>,
    /// Processes that play, each on a core.
    pub jobs: usize,
    /// Planted mistakes that are switched on.
    pub mutants: Vec<String>,
    /// For each scenario a mistake that it finds, to prove that it would have found one.
    pub canaries: Vec<Option<String>>,
    /// Who runs next among tasks that are ready in the same instant.
    pub mix: Mix,
    /// Stop at the first failure?
    pub first: bool,
    /// What one seed may take.
    pub allowance: Allowance,
}

/// Which strategies the seeds of a hunt are played with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mix {
    /// Any ready task, equally likely.
    Random,
    /// PCT, with depth 2 and 3 in turn: finds bugs that need two or three things to happen in a certain order, however
    /// rare that order is otherwise.
    Pct,
    /// Half of the seeds the one, half of them the other.
    #[default]
    Mixed,
}

impl Mix {
    /// How to play a seed of a scenario whose runs have about so many polls.
    fn strategy(self, seed: u64, polls: u64) -> Strategy {
        let pct = |depth| Strategy::Pct { depth, steps: polls };
        match (self, seed % 4) {
            (Mix::Random, _) | (Mix::Mixed, 0 | 2) => Strategy::Random,
            (Mix::Pct, 0 | 2) | (Mix::Mixed, 1) => pct(2),
            (Mix::Pct | Mix::Mixed, _) => pct(3),
        }
    }
}

/// Why a hunt ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// All seeds were played.
    Seeds,
    /// Its time was over.
    Budget,
    /// It was to stop at the first failure.
    First,
    /// Somebody stopped it, or it never came to its end.
    #[default]
    Interrupted,
}

/// What a hunt came to.
#[derive(Debug, Clone, Default)]
pub struct Hunted {
    /// Why it ended.
    pub ended: Ended,
    /// Seeds that were played to an end, each scenario counted.
    pub played: u64,
    /// Simulated time of all of them.
    pub simulated: Duration,
    /// Real time of the hunt, from the first seed that counts.
    pub wall: Duration,
    /// What was found.
    pub findings: Findings,
    /// For each scenario with a canary, the seed that found it; `None`: no seed did, so the hunt proves nothing.
    pub canaries: Vec<(String, Option<u64>)>,
    /// For each scenario that is made to fail, by its place: on how many seeds it did as it says, and of how many.
    pub taught: BTreeMap<usize, (u64, u64)>,
    /// Marks that some seed came by.
    pub reached: BTreeSet<String>,
    /// Marks that no seed came by.
    pub never_reached: BTreeSet<String>,
    /// For each scenario that was measured, how often its first seed polls a task: what the priorities of PCT are spread
    /// over.
    pub polls: Vec<u64>,
}

/// What the jobs share.
struct Shared<'a> {
    hunt: &'a Hunt,
    session: Session,
    stop: &'a AtomicBool,
    state: Mutex<State>,
    started: std::time::Instant,
    /// When the first seed that counts was handed out.
    proved: std::time::Instant,
}

#[derive(Default)]
struct State {
    /// The next seed to hand out, and the next scenario for it.
    next: (u64, usize),
    /// A seed was handed out and not played to its end.
    is_cut: bool,
    hunted: Hunted,
    missed: BTreeSet<String>,
    /// There is no worker to be had.
    broken: Option<String>,
}

/// Plays until the seeds or the budget are at an end, or `stop` is set. `show` is called after every seed.
///
/// # Errors
/// A sentence: no worker can be started, or one says what it should not.
pub fn hunt(hunt: &Hunt, stop: &AtomicBool, show: &(dyn Fn(&Hunted) + Sync)) -> Result<Hunted, String> {
    let mut shared = Shared {
        hunt,
        session: Session { scenarios: hunt.targets.clone(), is_full_size: false },
        stop,
        state: Mutex::new(State { next: (hunt.seeds.start, 0), ..State::default() }),
        started: now(),
        proved: now(),
    };
    shared.prove()?;
    shared.proved = now();
    std::thread::scope(|scope| {
        for _ in 0..hunt.jobs.max(1) {
            scope.spawn(|| shared.job(show));
        }
    });
    let is_exhausted = shared.next().is_none();
    let State { mut hunted, missed, broken, is_cut, .. } =
        shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(broken) = broken {
        return Err(broken);
    }
    hunted.ended = if is_exhausted && !is_cut {
        Ended::Seeds
    } else if stop.load(Ordering::Acquire) {
        Ended::Interrupted
    } else if hunt.first && !hunted.findings.is_empty() {
        Ended::First
    } else {
        Ended::Budget
    };
    hunted.never_reached = missed.difference(&hunted.reached).cloned().collect();
    hunted.wall = shared.proved.elapsed();
    Ok(hunted)
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        crate::lock(&self.state)
    }

    fn is_over(&self) -> bool {
        let is_late = self.hunt.budget.is_some_and(|budget| self.started.elapsed() >= budget);
        let is_found = self.hunt.first && !self.lock().hunted.findings.is_empty();
        is_late || is_found || self.stop.load(Ordering::Acquire)
    }

    /// Measures each scenario, and proves that a failure would be seen: with a planted mistake, one is.
    fn prove(&self) -> Result<(), String> {
        let mut player = self.start()?;
        for (scenario, canary) in self.hunt.canaries.iter().enumerate() {
            let mut task = Task {
                scenario,
                seed: self.hunt.seeds.start,
                mutants: Vec::new(),
                strategy: Strategy::Random,
            };
            let measured = self.ask(&mut player, &task)?;
            if self.stop.load(Ordering::Acquire) {
                return Ok(());
            }
            self.lock().hunted.polls.push(measured.map_or(0, |answer| answer.polls));
            let Some(canary) = canary else { continue };
            task.mutants = vec![canary.clone()];
            let mut found = None;
            for seed in (self.hunt.seeds.start..).take(CANARY_SEEDS as usize) {
                task.seed = seed;
                let answer = self.ask(&mut player, &task)?;
                if self.stop.load(Ordering::Acquire) {
                    return Ok(());
                }
                if answer.is_none_or(|answer| !answer.failures.is_empty()) {
                    found = Some(seed);
                    break;
                }
            }
            self.lock().hunted.canaries.push((canary.clone(), found));
        }
        Ok(())
    }

    /// Plays a seed that does not count; `None` when it hung or died.
    fn ask(&self, player: &mut Player, task: &Task) -> Result<Option<Answer>, String> {
        match player.play(task, self.hunt.allowance, || self.stop.load(Ordering::Acquire)) {
            Ok(answer) => Ok(Some(answer)),
            Err(Lost::Broken(what)) => Err(what),
            Err(Lost::Stopped | Lost::Finding(_)) => {
                *player = self.start()?;
                Ok(None)
            }
        }
    }

    fn start(&self) -> Result<Player, String> {
        Player::start(&self.session).map_err(|error| format!("cannot start a worker: {error}"))
    }

    /// The next seed and scenario.
    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        let (remainder, divisor) = self.hunt.shard;
        let (mut seed, scenario) = state.next;
        while divisor > 1 && seed % divisor != remainder {
            seed += 1;
        }
        if seed >= self.hunt.seeds.end || state.broken.is_some() {
            return None;
        }
        state.next =
            if scenario + 1 < self.hunt.targets.len() { (seed, scenario + 1) } else { (seed + 1, 0) };
        let polls = state.hunted.polls.get(scenario).copied().unwrap_or_default();
        let strategy = self.hunt.mix.strategy(seed, polls);
        Some(Task { scenario, seed, mutants: self.hunt.mutants.clone(), strategy })
    }

    fn job(&self, show: &(dyn Fn(&Hunted) + Sync)) {
        let mut player = None;
        while !self.is_over()
            && let Some(task) = self.next()
        {
            let started = match player.take() {
                Some(player) => Ok(player),
                None => self.start(),
            };
            let mut worker = match started {
                Ok(worker) => worker,
                Err(what) => {
                    self.lock().broken.get_or_insert(what);
                    return;
                }
            };
            match worker.play(&task, self.hunt.allowance, || self.is_over()) {
                Ok(answer) => {
                    self.note(&task, answer, show);
                    player = Some(worker);
                }
                Err(Lost::Stopped) => self.lock().is_cut = true,
                Err(Lost::Finding(what)) => {
                    let failure = Failure::new(NO_END, what, Verdict::Violated);
                    self.note(&task, Answer { failures: vec![failure], ..Answer::default() }, show);
                }
                Err(Lost::Broken(what)) => {
                    self.lock().broken.get_or_insert(what);
                }
            }
        }
    }

    fn note(&self, task: &Task, answer: Answer, show: &(dyn Fn(&Hunted) + Sync)) {
        let mut state = self.lock();
        state.hunted.reached.extend(answer.reached);
        state.missed.extend(answer.missed);
        state.hunted.played += 1;
        state.hunted.simulated += Duration::try_from_secs_f64(answer.simulated_s).unwrap_or_default();
        state.hunted.wall = self.proved.elapsed();
        if let Some(is_as_expected) = answer.is_as_expected {
            let (shown, of) = state.hunted.taught.entry(task.scenario).or_default();
            *shown += u64::from(is_as_expected);
            *of += 1;
        }
        if !answer.failures.is_empty() {
            state.hunted.findings.add(task, &answer.failures);
        }
        show(&state.hunted);
    }
}
