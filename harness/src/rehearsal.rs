//! One rehearsal: stage the system, drive the load, inject the faults, let it come to rest, judge.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use hdrhistogram::Histogram;
use record::history::{History, Operation, Outcome as Ending};
use record::result::{Coverage, InvariantResult, RunResult, SCHEMA, ServiceLevel, Verdict, Violation};
use record::story::{self, Line};
use record::table::Table;
use scenarios::{Expect, Fault, Limits, Percentile, Scenario, Strategy};
use serde::{Deserialize, Serialize};
use world::choice::{Choices, Replayed};
use world::engines::EngineKind;
use world::marks::{self, Broken, Kind};
use world::sim::{self, Checkpoint, Config, Outcome, Progress, TaskPanic};
use world::time;

use crate::drive::{self, Arrived, Crowd};
use crate::faults::Faults;
use crate::recovery::{self, Evidence};
use crate::system::{Conclusion, Production, System};
use crate::timeline::stories::{self, Matter};
use crate::timeline::{Watch, Watcher};

/// How often operators look for what is left to do. What a third party that fails half of the time has failed at once
/// more is no fault of the system's; what is still there after this is.
const WIND_UPS: u32 = 3;

/// What to play.
#[derive(Debug, Clone)]
pub struct Request {
    /// The scenario, expanded and validated.
    pub scenario: Scenario,
    /// What carries the simulated world.
    pub engine: EngineKind,
    /// Decides every random choice.
    pub seed: u64,
    /// Mutants to switch on, by name.
    pub mutants: BTreeSet<String>,
    /// Marks of the fingerprint to write out.
    pub trace: Range<u64>,
    /// Who runs next among tasks that are ready in the same instant.
    pub strategy: Strategy,
    /// Record every choice?
    pub record: bool,
    /// Take the choices from a recording, as far as they fit.
    pub replay: Option<Choices>,
    /// What is kept of what happens, line by line. The run goes the same with and without.
    pub story: Story,
    /// Who watches, if anybody does. The run goes the same with and without.
    pub watch: Option<Watch>,
}

/// What is kept of what happens in a run.
#[derive(Debug, Clone, Default)]
pub enum Story {
    /// Nothing.
    #[default]
    Untold,
    /// Everything.
    Whole,
    /// What has to do with violations that are known to come, up to the last of them.
    About(Vec<Matter>),
}

impl Request {
    /// A scenario and a seed on the kernel, as the scenario says and otherwise with nothing out of the ordinary.
    pub fn new(scenario: Scenario, seed: u64) -> Request {
        Request {
            engine: EngineKind::default(),
            seed,
            mutants: scenario.play.mutants.iter().cloned().collect(),
            strategy: scenario.play.strategy.unwrap_or_default(),
            scenario,
            trace: 0..0,
            record: false,
            replay: None,
            story: Story::Untold,
            watch: None,
        }
    }
}

/// A rehearsal that was played to its end.
#[derive(Debug)]
pub struct Played {
    /// The verdict and its figures.
    pub result: RunResult,
    /// The system's own summary.
    pub tables: Vec<Table>,
    /// Latencies by operation, in microseconds.
    pub latencies: BTreeMap<String, Histogram<u64>>,
    /// Every operation of the customers.
    pub history: History,
    /// What the seed made of the scenario.
    pub plan: Plan,
    /// The fingerprint at regular distances.
    pub checkpoints: Vec<Checkpoint>,
    /// The marks asked for.
    pub trace: Vec<String>,
    /// What the run asked for and the engine cannot give.
    pub unsupported: Vec<String>,
    /// Times that a task was polled.
    pub polls: u64,
    /// Every choice, if the request asked for them.
    pub choices: Option<Choices>,
    /// How far the choices of the request fitted.
    pub replayed: Option<Replayed>,
    /// What happened, if the request asked for it.
    pub story: Vec<Line>,
    /// Who watched.
    pub watch: Option<Watch>,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting names something that cannot be used: the user's to mend.
    #[error("{0}")]
    Setting(String),
    /// The system did not come up, or the simulation broke: ours to mend.
    #[error("{0}")]
    Internal(String),
}

/// What the simulation hands out.
struct Shown {
    conclusion: Conclusion,
    history: History,
    faults: Faults,
    plan: Plan,
    story: Vec<Line>,
}

/// What a run came to be of what its scenario leaves to the seed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The faults: those of the list, and those that were drawn. Ordered by start.
    pub faults: Vec<Fault>,
    /// The customers, in the order in which they came.
    pub arrived: Vec<Arrived>,
}

/// Plays one rehearsal.
///
/// # Errors
/// See [`Error`]; a violated invariant is a result, not an error.
pub fn play(system: &dyn System, request: &Request, progress: Progress) -> Result<Played, Error> {
    let production = system.prepare(&request.scenario).map_err(Error::Setting)?;
    let config = Config {
        engine: request.engine,
        mutants: request.mutants.clone(),
        trace: request.trace.clone(),
        progress,
        strategy: scheduling(request.strategy),
        record: request.record,
        replay: request.replay.clone(),
        ..Config::new(request.seed)
    };
    let scenario = request.scenario.clone();
    let survivable = system.survivable_hosts();
    let audience = Audience { story: request.story.clone(), watch: request.watch.clone() };
    let outcome = sim::run(config, move || perform(production, scenario, survivable, audience));
    judge(request, outcome)
}

fn scheduling(strategy: Strategy) -> sim::Strategy {
    match strategy {
        Strategy::Fifo => sim::Strategy::Fifo,
        Strategy::Random => sim::Strategy::Random,
        Strategy::RandomWithin { from, until } => sim::Strategy::RandomWithin { from, until },
        Strategy::Pct { depth, steps } => sim::Strategy::Pct { depth, steps },
    }
}

/// Who looks on.
struct Audience {
    story: Story,
    watch: Option<Watch>,
}

async fn perform(
    mut production: Box<dyn Production>,
    scenario: Scenario,
    survivable: Vec<String>,
    audience: Audience,
) -> Result<Shown, String> {
    let history = History::default();
    match &audience.story {
        Story::Untold => {}
        Story::Whole => story::begin(),
        Story::About(matters) => story::begin_sifted(stories::sieve(matters)),
    }
    if story::is_told() {
        history.observe(Box::new(tell));
    }
    production.stage(&history).await?;
    let faults = Faults::default();
    let watcher = audience.watch.map(|watch| Watcher::begin(&watch, production.as_ref(), &history, &faults));
    let mut planned = scenario.faults.clone();
    faults.schedule(&scenario.faults);
    if let Some(swarm) = &scenario.swarm {
        let drawn = swarm.draw(scenario.duration, &survivable, |below| world::rand::range(0..below));
        faults.schedule(&drawn);
        planned.extend(drawn);
        planned.sort_by_key(|fault| fault.at);
    }
    let crowd = Crowd::default();
    drive::drive(production.as_ref(), &scenario.load, scenario.duration, &crowd).await;
    faults.heal_all();
    if let Some(watcher) = &watcher {
        watcher.load_ended();
    }
    let deadline = time::Instant::now() + scenario.settle;
    settle(production.as_ref(), &crowd, deadline, watcher.as_ref()).await;
    // Replayed dead letters are work like any other: the system rests again afterwards, or it does not.
    for _ in 0..WIND_UPS {
        if !production.wind_up().await {
            break;
        }
        settle(production.as_ref(), &crowd, deadline, watcher.as_ref()).await;
    }
    let conclusion = production.conclude();
    if let Some(watcher) = &watcher {
        watcher.end(&crowd.hosts(), &conclusion);
    }
    let plan = Plan { faults: planned, arrived: crowd.arrived() };
    Ok(Shown { conclusion, history, faults, plan, story: story::end() })
}

/// Tells what a client asks, and what it is answered.
fn tell(operation: &Operation) {
    story::tell(|| {
        let Operation { id, process, name, subject, value, outcome, .. } = operation;
        let about = subject.as_deref().unwrap_or_default();
        let text = match outcome {
            None => format!("customer {process} asks: {name} {id} of {about}"),
            Some(outcome) => {
                let value = value.as_deref().map(|value| format!(": {value}")).unwrap_or_default();
                format!("customer {process} is answered: {name} {id} {}{value}", outcome_text(*outcome))
            }
        };
        Line {
            at: sim::elapsed(),
            host: world::host::name(),
            peer: None,
            is_answer: false,
            kind: story::Kind::Operation,
            trace: String::new(),
            text,
        }
    });
}

fn outcome_text(outcome: Ending) -> &'static str {
    match outcome {
        Ending::Ok => "ok",
        Ending::Refused => "refused",
        Ending::Failed => "failed",
        Ending::Unknown => "unanswered",
    }
}

/// Waits until all customers are gone and the system is at rest, at most until the deadline.
async fn settle(
    production: &dyn Production,
    crowd: &Crowd,
    deadline: time::Instant,
    watcher: Option<&Watcher>,
) {
    while time::Instant::now() < deadline && (crowd.present() > 0 || !production.at_rest()) {
        if let Some(watcher) = watcher {
            watcher.look();
        }
        time::sleep(Duration::from_secs(1)).await;
    }
}

fn judge(request: &Request, outcome: Outcome<Result<Shown, String>>) -> Result<Played, Error> {
    let broken = |error: String| Error::Internal(format!("{error}{}", panics_text(&outcome.panics)));
    let shown = match outcome.result {
        Ok(Ok(shown)) => shown,
        Ok(Err(error)) => return Err(broken(error)),
        Err(error) => return Err(broken(error.to_string())),
    };
    let Conclusion { mut invariants, tables, noticed, lost, .. } = shown.conclusion;
    invariants.extend(always(&outcome.coverage, &outcome.broken));
    invariants.push(no_panic(&outcome.panics, outcome.polls));
    let latencies = shown.history.latencies();
    let limits = &request.scenario.limits;
    let operations = shown.history.stats();
    let service_levels = service_levels(limits, |operation, percentile| {
        let observed_us = latencies
            .get(operation)
            .map_or(0, |histogram| histogram.value_at_quantile(percentile.quantile()));
        // The histogram answers with the upper end of a bucket, which may lie above every recorded value.
        observed_us.min(operations.get(operation).map_or(0, |stats| stats.max_us))
    });
    let faults = shown.faults.records();
    let recovery = shown.history.with_operations(|operations| {
        let evidence = Evidence { operations, faults: &faults, noticed: &noticed, lost: &lost };
        recovery::measure(&evidence, limits)
    });
    let verdict = if shown.plan.arrived.is_empty() {
        Verdict::Invalid
    } else if invariants.iter().any(|invariant| !invariant.held) {
        Verdict::Violated
    } else if service_levels.iter().any(|level| !level.met) || !recovery.iter().all(recovery::is_met) {
        Verdict::Slow
    } else {
        Verdict::Held
    };
    let result = RunResult {
        schema: SCHEMA,
        scenario: request.scenario.name.clone(),
        system: request.scenario.system.clone(),
        engine: request.engine.to_string(),
        seed: request.seed,
        mutants: request.mutants.iter().cloned().collect(),
        fingerprint: format!("{:032x}", outcome.fingerprint),
        verdict,
        simulated_s: outcome.simulated.as_secs_f64(),
        wall_s: outcome.wall.as_secs_f64(),
        messages: outcome.messages,
        operations,
        invariants,
        faults,
        recovery,
        service_levels,
        coverage: coverage(&outcome.coverage),
    };
    Ok(Played {
        result,
        tables,
        latencies,
        history: shown.history,
        plan: shown.plan,
        checkpoints: outcome.checkpoints,
        trace: outcome.trace,
        unsupported: outcome.unsupported,
        polls: outcome.polls,
        choices: outcome.choices,
        replayed: outcome.replayed,
        story: shown.story,
        watch: request.watch.clone(),
    })
}

/// What was not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The name of the invariant or the service level; a word for anything else.
    pub of: String,
    /// One sentence.
    pub what: String,
    /// How bad it is: violated, or slow.
    pub verdict: Verdict,
    /// Simulated seconds since the start, where there is such a moment.
    pub at_s: Option<f64>,
    /// The operations of the history that belong to it.
    #[serde(default)]
    pub operations: Vec<u64>,
}

impl Failure {
    /// A failure of the whole run, at no moment of it.
    pub fn new(of: &str, what: String, verdict: Verdict) -> Failure {
        Failure { of: of.to_owned(), what, verdict, at_s: None, operations: Vec::new() }
    }

    /// The sentence without what differs from seed to seed: numbers, and ids that are made of them.
    pub fn kind(&self) -> String {
        let mut kind = String::new();
        for word in self.what.split_inclusive(' ') {
            if word.contains(|c: char| c.is_ascii_digit()) {
                if !kind.ends_with("… ") {
                    kind.push_str("… ");
                }
            } else {
                kind.push_str(word);
            }
        }
        kind.trim_end().to_owned()
    }
}

/// What was not as the scenario expects it; empty when all was.
pub fn failures(scenario: &Scenario, result: &RunResult) -> Vec<Failure> {
    if let Some(expect) = &scenario.expect {
        let what = format!("the verdict was to be {}, and it is {}", expect.verdict, result.verdict);
        return if is_as_expected(expect, result) {
            Vec::new()
        } else {
            vec![Failure::new("expectation", what, Verdict::Violated)]
        };
    }
    if result.verdict == Verdict::Invalid {
        return vec![Failure::new("load", "no customer came".to_owned(), Verdict::Invalid)];
    }
    let violated = result.invariants.iter().filter(|invariant| !invariant.held).map(|invariant| {
        let first = invariant.first_violation.as_ref();
        let what = first.map_or_else(|| "it did not hold".to_owned(), |first| first.what.clone());
        Failure {
            of: invariant.name.clone(),
            what,
            verdict: Verdict::Violated,
            at_s: first.map(|first| first.at_s),
            operations: first.map(|first| first.operations.clone()).unwrap_or_default(),
        }
    });
    let missed = result.service_levels.iter().filter(|level| !level.met).map(|level| {
        let what = format!("{} µs observed, {} µs allowed", level.observed_us, level.limit_us);
        Failure::new(&level.name, what, Verdict::Slow)
    });
    let late = result.recovery.iter().filter(|recovery| !recovery::is_met(recovery)).map(|recovery| {
        let rto = recovery.rto_s.map_or_else(|| "never".to_owned(), |rto| format!("after {rto:.3} s"));
        let what = format!(
            "fault {}: back {rto}, {} acknowledged writes lost, the oldest of them {:.3} s old",
            recovery.fault, recovery.lost_acknowledged, recovery.rpo_s
        );
        Failure::new("recovery", what, Verdict::Slow)
    });
    violated.chain(missed).chain(late).collect()
}

/// Did exactly that happen which a teaching scenario is made to show?
pub(crate) fn is_as_expected(expect: &Expect, result: &RunResult) -> bool {
    let violated = |name: &String| result.invariants.iter().any(|i| &i.name == name && !i.held);
    result.verdict == expect.verdict && expect.invariant.as_ref().is_none_or(violated)
}

/// No task of any host may panic. Every poll of a task is a check.
fn no_panic(panics: &[TaskPanic], polls: u64) -> InvariantResult {
    let first_violation = panics.first().map(|panic| Violation {
        at_s: panic.at.as_secs_f64(),
        what: format!(
            "A task on {}, started at {}, panicked: {}",
            panic.host, panic.spawned_at, panic.message
        ),
        operations: Vec::new(),
    });
    InvariantResult { name: NO_PANIC.to_owned(), held: panics.is_empty(), checks: polls, first_violation }
}

/// Every `always!` in the code holds. `None` when the program has none.
fn always(coverage: &BTreeMap<String, marks::Coverage>, broken: &[Broken]) -> Option<InvariantResult> {
    let checks: Vec<u64> =
        coverage.values().filter(|mark| mark.kind == Kind::Always).map(|mark| mark.reached).collect();
    let first_violation = broken.first().map(|broken| Violation {
        at_s: broken.at.as_secs_f64(),
        what: match broken.message.as_str() {
            "" => format!("{} did not hold on {}", broken.name, broken.host),
            message => format!("{} did not hold on {}: {message}", broken.name, broken.host),
        },
        operations: Vec::new(),
    });
    let held = broken.is_empty();
    (!checks.is_empty()).then(|| InvariantResult {
        name: ALWAYS.to_owned(),
        held,
        checks: checks.iter().sum(),
        first_violation,
    })
}

/// How often the code came by its marks. What `buggify!` would have done is left out: it never strikes here.
fn coverage(coverage: &BTreeMap<String, marks::Coverage>) -> Vec<Coverage> {
    let reachable = coverage.iter().filter(|(_, mark)| mark.kind != Kind::Buggify);
    reachable.map(|(name, mark)| Coverage { name: name.clone(), hits: mark.hits }).collect()
}

/// The invariant that every system has: no task of any host panics.
pub const NO_PANIC: &str = "no-panic";

/// The invariant of a system whose code has `always!` marks: all of them hold.
pub const ALWAYS: &str = "always";

fn panics_text(panics: &[TaskPanic]) -> String {
    let line = |panic: &TaskPanic| {
        let TaskPanic { host, spawned_at, at, message } = panic;
        format!("\n  {host} at {at:?}, a task started at {spawned_at}: {message}")
    };
    panics.iter().take(5).map(line).collect()
}

/// The limits on latencies beside what was observed: `observed_us` of an operation and a percentile, in microseconds.
pub(crate) fn service_levels(
    limits: &Limits,
    observed_us: impl Fn(&str, Percentile) -> u64,
) -> Vec<ServiceLevel> {
    let mut levels = Vec::new();
    for (operation, percentiles) in &limits.latency {
        for (percentile, limit) in percentiles {
            let observed_us = observed_us(operation, *percentile);
            let limit_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
            let name = format!("{operation} {}", percentile.name());
            levels.push(ServiceLevel { name, limit_us, observed_us, met: observed_us <= limit_us });
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_kind_differ_in_numbers_only() {
        let failure = |what: &str| Failure::new("zero-oversell", what.to_owned(), Verdict::Violated);
        let first = failure("ICE-7 on 2017-03-31 sold 12 seats of 11 in 2nd class");
        let second = failure("ICE-9 on 2017-03-31 sold 4 seats of 3 in 1st class");
        assert_eq!(first.kind(), second.kind());
        assert_eq!(first.kind(), "… on … sold … seats of … in … class");
        assert_ne!(first.kind(), failure("order A1 was charged twice").kind());
    }
}
