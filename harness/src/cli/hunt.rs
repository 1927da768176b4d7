//! `rehearse hunt`: many seeds, and what they found.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use record::result::Verdict;
use scenarios::{Size, catalogue};

use super::progress::{Line, stop_on_ctrl_c};
use super::run::{draw_seed, print};
use super::{Exit, PlayArgs, SizeArg, capsule, key_value, length_of_time, run, run_folder};
use crate::hunt::{self, Allowance, Group, Hunt, Hunted, Mix};
use crate::rehearsal::Failure;
use crate::system::System;
use crate::target::Target;

/// How long a hunt lasts unless told otherwise.
const BUDGET: Duration = Duration::from_secs(60);
/// Groups of failures that are shown, each with its capsule.
const SHOWN_GROUPS: usize = 10;
/// Marks that are named; of the others, how many.
const SHOWN_MARKS: usize = 8;

#[derive(Debug, Args)]
pub(super) struct HuntArgs {
    /// Name (ticketing/peak) or path of a scenario, or a folder of scenarios (ticketing)
    scenario: String,
    /// The seeds to play, the last one excluded; without it, from a seed that is drawn and printed, until the budget ends
    #[arg(long, value_name = "A..B", value_parser = seed_range)]
    seeds: Option<Range<u64>>,
    /// How long to hunt: 90s, 10m [default: 1m, or until the seeds end]
    #[arg(long, value_name = "TIME", value_parser = length_of_time)]
    budget: Option<Duration>,
    /// How many processes play at once [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Plays only every N-th seed, the I-th of them: N machines with I from 1 to N play all
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<(u64, u64)>,
    /// Overrides a setting of the scenario
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Switches a planted mistake on (see `rehearse mutants`)
    #[arg(long = "mutant", value_name = "NAME")]
    mutant: Vec<String>,
    /// Who runs next among tasks that are ready in the same instant: any, by PCT, or half of the seeds each
    #[arg(long, value_enum, default_value_t)]
    strategy: Mix,
    /// Stops at the first failure
    #[arg(long)]
    first: bool,
}

fn seed_range(text: &str) -> Result<Range<u64>, String> {
    let ends = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match ends {
        Some((from, to)) if from < to => Ok(from..to),
        Some(_) => Err("there is no seed in this range".to_owned()),
        None => Err("expected A..B, two whole numbers".to_owned()),
    }
}

/// Remainder and divisor of the seeds of a shard.
fn shard(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse::<u64>().ok()?, n.parse().ok()?)));
    match parts {
        Some((i, n)) if 1 <= i && i <= n => Ok((i - 1, n)),
        _ => Err("expected I/N with I from 1 to N, such as 2/8".to_owned()),
    }
}

pub(super) fn hunt(systems: &[&dyn System], args: &HuntArgs) -> Exit {
    let plan = match plan(systems, args) {
        Ok(plan) => plan,
        Err(message) => {
            eprintln!("{message}");
            return Exit::Usage;
        }
    };
    if args.seeds.is_none() {
        eprintln!("from seed {}", plan.seeds.start);
    }
    let (stop, line) = (stop_on_ctrl_c(), Line::new());
    let hunted = hunt::hunt(&plan, &stop, &|hunted| line.show(|| progress_line(hunted)));
    line.clear();
    match hunted {
        Ok(hunted) => conclude(systems, &plan, &hunted),
        Err(message) => {
            eprintln!("internal error: {message}");
            Exit::Internal
        }
    }
}

/// A worker of a hunt: a hidden command.
pub(super) fn work(systems: &[&dyn System]) -> Exit {
    match hunt::work(systems) {
        Ok(()) => Exit::Held,
        Err(error) => {
            eprintln!("{error}");
            Exit::Internal
        }
    }
}

fn plan(systems: &[&dyn System], args: &HuntArgs) -> Result<Hunt, String> {
    let mut targets = Vec::new();
    let mut canaries = Vec::new();
    for given in scenarios_of(&args.scenario)? {
        let source = catalogue::find(&given).map_err(|error| error.to_string())?;
        let target = Target { given, file: source.file, text: source.text, set: args.set.clone() };
        let (system, scenario) = run::find(systems, &target, Size::Hunt, &args.mutant)?;
        // One that the scenario is said to find; a system of one's own may have none.
        let mutant = system.mutants().iter().find(|mutant| mutant.scenario == scenario.name);
        // A hunt for planted mistakes proves itself.
        let needs_proof = scenario.expect.is_none() && args.mutant.is_empty();
        canaries.push(mutant.filter(|_| needs_proof).map(|mutant| mutant.name.to_owned()));
        targets.push(target);
    }
    let first = draw_seed();
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Ok(Hunt {
        targets,
        seeds: args.seeds.clone().unwrap_or(first..u64::MAX),
        shard: args.shard.unwrap_or((0, 1)),
        budget: args.budget.or(args.seeds.is_none().then_some(BUDGET)),
        jobs: args.jobs.map_or(cores, NonZeroUsize::get),
        mutants: args.mutant.clone(),
        canaries,
        mix: args.strategy,
        first: args.first,
        allowance: Allowance::default(),
    })
}

/// The scenarios that a name or a path stands for: one, those of a folder, or the shipped ones of a system.
fn scenarios_of(given: &str) -> Result<Vec<String>, String> {
    let shipped: Vec<String> = catalogue::ENTRIES
        .iter()
        .filter(|entry| {
            entry.name.strip_prefix(given.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
        })
        .map(|entry| entry.name.to_owned())
        .collect();
    if !shipped.is_empty() {
        return Ok(shipped);
    }
    let path = Path::new(given);
    if !path.is_dir() {
        return Ok(vec![given.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(format!("{given}: there is no scenario (*.toml) in this folder"));
    }
    Ok(found)
}

fn progress_line(hunted: &Hunted) -> String {
    let kinds = match hunted.findings.len() {
        0 => "nothing found".to_owned(),
        1 => "1 kind of failure".to_owned(),
        many => format!("{many} kinds of failure"),
    };
    format!("{} seeds, {:.1} per second, {kinds}", hunted.played, per_second(hunted))
}

fn per_second(hunted: &Hunted) -> f64 {
    hunted.played as f64 / hunted.wall.as_secs_f64().max(1e-9)
}

fn conclude(systems: &[&dyn System], plan: &Hunt, hunted: &Hunted) -> Exit {
    let (exit, verdict) = judge(hunted);
    let mut text = format!("{verdict}\n\n");
    let (wall, simulated) = (hunted.wall.as_secs_f64(), hunted.simulated.as_secs_f64());
    text += &format!(
        "  seeds        {} in {wall:.1} s, {:.1} per second with {} at once; {:.0} s simulated, {:.0}× real time\n",
        hunted.played,
        per_second(hunted),
        plan.jobs,
        simulated,
        simulated / wall.max(1e-9),
    );
    for (canary, seed) in &hunted.canaries {
        text += &match seed {
            Some(seed) => format!("  canary       {canary} is found, at seed {seed}\n"),
            None => format!("  canary       {canary} is NOT found: this hunt proves nothing\n"),
        };
    }
    for (scenario, (shown, of)) in &hunted.taught {
        let name = &plan.targets[*scenario].given;
        text += &format!("  teaching     {name} fails as it says on {shown} of {of} seeds\n");
    }
    text += &format!("  reached      {} places; {}\n", hunted.reached, never_reached(&hunted.never_reached));
    let groups = hunted.findings.groups();
    for (number, group) in groups.iter().take(SHOWN_GROUPS).enumerate() {
        text += &format!("\n{}", shown(systems, plan, group, number + 1));
    }
    if groups.len() > SHOWN_GROUPS {
        text += &format!("\n… and {} more kinds of failure\n", groups.len() - SHOWN_GROUPS);
    }
    match print(&text) {
        Exit::Held => exit,
        other => other,
    }
}

fn judge(hunted: &Hunted) -> (Exit, String) {
    let kinds = hunted.findings.len();
    if kinds > 0 {
        let kinds = if kinds == 1 { "1 kind".to_owned() } else { format!("{kinds} kinds") };
        let is_slow = |group: &&Group| group.failure.verdict == Verdict::Slow;
        return match hunted.findings.groups().iter().all(is_slow) {
            true => (Exit::Slow, format!("slow: {kinds} of limit missed")),
            false => (Exit::Violated, format!("violated: {kinds} of failure")),
        };
    }
    if hunted.played == 0 {
        return (Exit::NothingRan, "nothing was played".to_owned());
    }
    if hunted.canaries.iter().any(|(_, seed)| seed.is_none()) {
        return (Exit::Invalid, "invalid: a planted mistake was not found, so nothing is proved".to_owned());
    }
    if hunted.taught.values().any(|(shown, _)| *shown == 0) {
        return (Exit::Invalid, "invalid: a scenario that is made to fail did not".to_owned());
    }
    (Exit::Held, "held: nothing found".to_owned())
}

fn never_reached(marks: &[String]) -> String {
    if marks.is_empty() {
        return "all that there are".to_owned();
    }
    let named: Vec<&str> = marks.iter().take(SHOWN_MARKS).map(String::as_str).collect();
    let more = marks.len().saturating_sub(SHOWN_MARKS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("never {}{more}", named.join(", "))
}

/// A kind of failure, and how to play it again.
fn shown(systems: &[&dyn System], plan: &Hunt, group: &Group, number: usize) -> String {
    let Failure { of, what, at_s, .. } = &group.failure;
    let target = &plan.targets[group.task.scenario];
    let at = at_s.map(|at| format!(" at {at:.3} s")).unwrap_or_default();
    let seeds = if group.seeds == 1 { "1 seed".to_owned() } else { format!("{} seeds", group.seeds) };
    let mut text =
        format!("{number}. {of}: {seeds} of {}, first {}{at}\n   {what}\n", target.given, group.task.seed);
    if !group.with_it.is_empty() {
        text += &format!("   with it: {}\n", group.with_it.join(", "));
    }
    let again = PlayArgs {
        set: target.set.clone(),
        size: SizeArg::Hunt,
        mutant: group.task.mutants.clone(),
        strategy: Some(group.task.strategy),
        ..PlayArgs::of(&target.given, group.task.seed)
    };
    match keep(systems, target, &again) {
        Ok(path) => text += &format!("   rehearse replay {path}\n"),
        Err(message) => eprintln!("no capsule for seed {}: {message}", group.task.seed),
    }
    text += &format!("   {}\n", run::replay_line(&again, group.task.seed));
    text
}

/// Plays a failure again, here, and leaves its folder; the path of its capsule.
fn keep(systems: &[&dyn System], target: &Target, play: &PlayArgs) -> Result<String, String> {
    let (system, scenario) = run::find(systems, target, Size::Hunt, &play.mutant)?;
    let seed = play.seed.unwrap_or_default();
    let request = run::request(scenario, play, seed);
    let folder = run_folder::of(&request);
    let played = crate::rehearsal::play(system, &request, world::sim::Progress::default())
        .map_err(|error| error.to_string())?;
    let written = capsule::write(&folder, system, target, play.size, &request, &played)?;
    run_folder::write_all(&folder, &played, &run::replay_line(play, seed))?;
    written.map(|path| path.display().to_string()).ok_or_else(|| "it did not fail again".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_part_the_seeds() {
        assert_eq!(shard("1/4"), Ok((0, 4)));
        assert_eq!(shard("4/4"), Ok((3, 4)));
        for wrong in ["0/4", "5/4", "1", "a/b", "1/0"] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_say_what_is_wrong_with_them() {
        assert_eq!(seed_range("3..9"), Ok(3..9));
        assert!(seed_range("9..3").is_err_and(|what| what.contains("no seed")));
        assert!(seed_range("9").is_err_and(|what| what.contains("A..B")));
    }
}
