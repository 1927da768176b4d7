//! `rehearse shrink`: from a capsule to the smallest scenario that fails the same way.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use record::result::Verdict;
use reports::page::Language;
use reports::story::Focus;
use scenarios::{Arrivals, Expect, Scenario, Size, SystemVocabulary};

use super::progress::{Line, stop_on_ctrl_c};
use super::run::{print, quoted};
use super::{Exit, SizeArg, capsule, length_of_time, run_folder};
use crate::capsule::Capsule;
use crate::rehearsal::{Failure, Played, Request};
use crate::shrink::{self, Error, Progress, Shrunk, Start};
use crate::system::System;
use crate::timeline::stories;

/// How long to shrink unless told otherwise.
const BUDGET: &str = "2m";
/// The most lines of a story.
const STORY_MAX: usize = 58;

#[derive(Debug, Args)]
pub(super) struct ShrinkArgs {
    /// The capsule of a run that failed: runs/latest/capsule.json
    capsule: PathBuf,
    /// How long to go on: 90s, 10m; Ctrl-C ends it at any time with the best so far
    #[arg(long, value_name = "TIME", value_parser = length_of_time, default_value = BUDGET)]
    budget: Duration,
    /// How many processes play at once [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Folder for the shrunk scenario and its story [default: runs/SCENARIO-shrunk/TIME-SEED]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn shrink(systems: &[&dyn System], args: &ShrinkArgs) -> Exit {
    let (start, capsule) = match open(systems, args) {
        Ok(opened) => opened,
        Err(message) => {
            eprintln!("{message}");
            return Exit::Usage;
        }
    };
    let (stop, line) = (stop_on_ctrl_c(), Line::new());
    let result = shrink::shrink(&start, &stop, &|progress| line.show(|| progress_line(progress)));
    line.clear();
    let shrunk = match result {
        Ok(shrunk) => shrunk,
        Err(Error::Gone(what)) => {
            eprintln!("there is nothing to shrink: {what}");
            return Exit::Invalid;
        }
        Err(Error::Internal(what)) => {
            eprintln!("internal error: {what}");
            return Exit::Internal;
        }
    };
    match leave(&start, &capsule, shrunk, args.out.as_deref()) {
        Ok(text) => print(&text),
        Err(message) => {
            eprintln!("{message}");
            Exit::Internal
        }
    }
}

fn open<'a>(systems: &[&'a dyn System], args: &ShrinkArgs) -> Result<(Start<'a>, Capsule), String> {
    let (system, request, capsule) = capsule::open(systems, &args.capsule)?;
    let is_at_hunting_size = capsule.size()? == Size::Hunt;
    let hunting = match is_at_hunting_size {
        true => None,
        false => Some(capsule.scenario.read(systems, Size::Hunt)?.1),
    };
    let hunting = hunting.filter(|hunting| *hunting != request.scenario);
    let earliest = capsule.failures.iter().min_by(|a, b| {
        let time = |failure: &Failure| failure.at_s.unwrap_or(f64::INFINITY);
        time(a).total_cmp(&time(b))
    });
    let failure = earliest.cloned().ok_or_else(|| format!("{}: nothing failed", args.capsule.display()))?;
    if request.scenario.expect.is_some() {
        let shown = args.capsule.display();
        return Err(format!("{shown}: the scenario is made to fail and did not: there is nothing to shrink"));
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let jobs = args.jobs.map_or(cores, NonZeroUsize::get);
    Ok((Start { system, request, hunting, failure, jobs, budget: args.budget }, capsule))
}

/// Writes the scenario and the files of its run; what people read.
fn leave(start: &Start<'_>, capsule: &Capsule, shrunk: Shrunk, out: Option<&Path>) -> Result<String, String> {
    let system = start.system.vocabulary();
    let Shrunk { mut scenario, failure, played, tried, wall } = shrunk;
    name(&mut scenario, capsule, &failure, &system);
    let seed = scenario.play.seed.unwrap_or_default();
    let request = Request::new(scenario.clone(), seed);
    let folder = out.map_or_else(|| run_folder::of(&request), Path::to_owned);
    let path = folder.join("shrunk.toml");
    let text = scenarios::write(&scenario, &system);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, &text))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    let line = format!("rehearse run {}", quoted(&path.display().to_string()));
    let record = run_folder::record(&request, &played, SizeArg::Full.name(), &line, &played.story)?;
    run_folder::write_all(&folder, &played, &record, Language::default())?;
    let story = story(&failure, &played);
    let story_path = folder.join("story.txt");
    fs::write(&story_path, &story)
        .map_err(|error| format!("cannot write {}: {error}", story_path.display()))?;
    let mut shown = format!("shrunk: {}: {}\n\n", failure.of, failure.what);
    shown += &format!("  faults      {}\n", scenario.faults.len());
    shown += &format!("  customers   {}\n", customers(&scenario));
    shown += &format!("  operations  {}\n", played.history.len());
    shown += &format!("  schedule    {}\n", scenario.play.strategy.unwrap_or_default());
    shown += &format!("  tried       {tried} candidates in {:.1} s\n\n{text}\n", wall.as_secs_f64());
    shown += &format!("{story}\n{line}\n");
    Ok(shown)
}

/// Says what it is and, where a planted mistake makes the failure, that it must fail.
fn name(scenario: &mut Scenario, capsule: &Capsule, failure: &Failure, system: &SystemVocabulary) {
    scenario.about = format!("Shrunk from {} at seed {}: {}", scenario.name, capsule.seed, failure.kind());
    scenario.name = format!("{}-shrunk", scenario.name);
    let is_invariant = system.invariants.contains(&failure.of);
    let is_teaching = !scenario.play.mutants.is_empty() && failure.verdict != Verdict::Invalid;
    scenario.expect = is_teaching
        .then(|| Expect { verdict: failure.verdict, invariant: is_invariant.then(|| failure.of.clone()) });
}

/// What led to the failure: what its operations and the ids that it names have to do with.
fn story(failure: &Failure, played: &Played) -> String {
    let ids = stories::ids(&failure.what, &failure.operations, &played.history).into_iter().collect();
    // What comes after it does not explain it.
    let until = failure.at_s.and_then(|at| Duration::try_from_secs_f64(at + 1e-6).ok());
    let focus = Focus { ids, most: Some(STORY_MAX), until };
    let at = failure.at_s.map(|at| format!(" at {at:.6} s")).unwrap_or_default();
    // What is small enough is told as a whole.
    let is_short = played.story.len() <= STORY_MAX;
    let focus = if is_short { Focus { until, ..Focus::default() } } else { focus };
    let told = reports::story::render(&played.story, &focus);
    format!("{}{at}: {}\n\n{told}", failure.of, failure.what)
}

fn customers(scenario: &Scenario) -> usize {
    let listed = scenario.load.values().map(|journey| match &journey.arrivals {
        Arrivals::Listed(listed) => listed.len(),
        Arrivals::Rate(_) => 0,
    });
    listed.sum()
}

fn progress_line(progress: Progress) -> String {
    let Progress { tried, faults, customers, operations } = progress;
    format!("{tried} candidates tried; left: {faults} faults, {customers} customers, {operations} operations")
}
