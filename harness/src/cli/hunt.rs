//! `rehearse hunt`: many seeds, and what they found.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use reports::page::Language;
use scenarios::{Size, catalogue};

use super::progress::{Line, stop_on_ctrl_c};
use super::run::draw_seed;
use super::{
    Exit, Format, PlayArgs, capsule, hunt_report as report, key_value, length_of_time, run, run_folder,
};
use crate::hunt::document::{self, Conclusion, Document};
use crate::hunt::{self, Allowance, Ended, Hunt, Hunted, Mix};
use crate::place::Place;
use crate::rehearsal::Request;
use crate::system::System;
use crate::target::Target;
use crate::timeline::Watch;

/// How long a hunt lasts unless told otherwise.
const BUDGET: Duration = Duration::from_secs(60);
/// Kinds of failure that a capsule is left of in a place for results: other shards may show them more often.
const KEPT_GROUPS: usize = 100;

#[derive(Debug, Args)]
pub(super) struct HuntArgs {
    /// Name (ticketing/peak) or path of a scenario, or a folder of scenarios (ticketing)
    scenario: String,
    /// The seeds to play, the last one excluded; A.. plays from A until the budget ends, and without it so does a hunt
    /// from a seed that is drawn and printed
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
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Leaves the results for `rehearse merge` in a folder or an object store (s3://…, gs://…, az://…)
    #[arg(long, value_name = "PLACE")]
    out: Option<String>,
}

fn seed_range(text: &str) -> Result<Range<u64>, String> {
    let to = |text: &str| if text.is_empty() { Some(u64::MAX) } else { text.parse().ok() };
    let ends = text.split_once("..").and_then(|(from, end)| Some((from.parse().ok()?, to(end)?)));
    match ends {
        Some((from, to)) if from < to => Ok(from..to),
        Some(_) => Err("there is no seed in this range".to_owned()),
        None => Err("expected A..B, two whole numbers, or A..".to_owned()),
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
    let planned = plan(systems, args).and_then(|plan| Ok((outbox(args, &plan)?, plan)));
    let (outbox, plan) = match planned {
        Ok(planned) => planned,
        Err(message) => {
            eprintln!("{message}");
            return Exit::Usage;
        }
    };
    // A place that cannot be written to is found out before the hunt, and a hunt that dies is no hunt that never was.
    if let Some(outbox) = &outbox
        && let Err(message) = outbox.leave(&Document::new(&plan, &Hunted::default()))
    {
        eprintln!("{message}");
        return Exit::Internal;
    }
    if args.seeds.is_none() {
        eprintln!("from seed {}", plan.seeds.start);
    }
    let (stop, line) = (stop_on_ctrl_c(), Line::new());
    let hunted = hunt::hunt(&plan, &stop, &|hunted| line.show(|| progress_line(hunted)));
    line.clear();
    let concluded = hunted
        .map_err(|message| format!("internal error: {message}"))
        .and_then(|hunted| conclude(systems, args, &plan, &hunted, outbox.as_ref()));
    concluded.unwrap_or_else(|message| {
        eprintln!("{message}");
        Exit::Internal
    })
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
    let seeds = args.seeds.clone().unwrap_or_else(|| draw_seed()..u64::MAX);
    let is_endless = seeds.end == u64::MAX;
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Ok(Hunt {
        targets,
        seeds,
        shard: args.shard.unwrap_or((0, 1)),
        budget: args.budget.or(is_endless.then_some(BUDGET)),
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
    let per_second = report::per_second(hunted.played, hunted.wall.as_secs_f64());
    format!("{} seeds, {per_second:.1} per second, {kinds}", hunted.played)
}

/// Leaves what was found, and says it.
///
/// # Errors
/// A sentence: the results cannot be left.
fn conclude(
    systems: &[&dyn System],
    args: &HuntArgs,
    plan: &Hunt,
    hunted: &Hunted,
    outbox: Option<&Outbox>,
) -> Result<Exit, String> {
    let mut document = Document::new(plan, hunted);
    let is_whole = document.of == 1;
    let mut conclusion = document.conclusion(is_whole);
    if let Some(outbox) = outbox {
        // Making capsules takes a while, and may not come to its end: until then there are none, and it is not over.
        outbox.leave(&Document::new(plan, &Hunted { ended: Ended::Interrupted, ..hunted.clone() }))?;
    } else if conclusion == Conclusion::Interrupted {
        // Who stops their own hunt has seen enough; nobody else waits for the rest.
        conclusion = if hunted.played == 0 { Conclusion::NothingPlayed } else { Conclusion::Held };
        document.verdict = conclusion.verdict();
    }
    let most = if outbox.is_some() { KEPT_GROUPS } else { report::SHOWN_GROUPS };
    for group in document.findings.iter_mut().take(most).filter(|group| group.has_end()) {
        let target = &plan.targets[group.task.scenario];
        match keep(systems, target, &report::again(&target.given, &target.set, group)) {
            Ok(path) => group.capsule = Some(path),
            Err(message) => eprintln!("no capsule for seed {}: {message}", group.task.seed),
        }
    }
    if let Some(outbox) = outbox {
        outbox.leave_with_capsules(&document)?;
    }
    report::print(&document, conclusion, is_whole, args.format)
}

/// Where a hunt leaves its results: in a folder of its own.
struct Outbox {
    place: Place,
    folder: String,
}

/// Where to leave the results, if anywhere.
///
/// # Errors
/// The whole message for the user.
fn outbox(args: &HuntArgs, plan: &Hunt) -> Result<Option<Outbox>, String> {
    let Some(given) = &args.out else { return Ok(None) };
    if args.shard.is_some() && args.seeds.is_none() {
        return Err(
            "--shard with --out: all shards of a hunt need the same --seeds (A..B, or A..)".to_owned()
        );
    }
    let place = Place::create(given).map_err(|error| format!("--out {error}"))?;
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = args.scenario.chars().map(plain).collect();
    let (remainder, of) = plan.shard;
    let (name, first) = (name.trim_matches(['-', '.']), plan.seeds.start);
    Ok(Some(Outbox { place, folder: format!("{name}-{}-of-{of}-from-{first}", remainder + 1) }))
}

impl Outbox {
    fn leave(&self, document: &Document) -> Result<(), String> {
        let json = document.to_json().map_err(|error| error.to_string())?;
        self.put(document::FILE, json.into_bytes())
    }

    /// The capsules, which are files so far, and the document, which then says where they are beside it.
    fn leave_with_capsules(&self, document: &Document) -> Result<(), String> {
        let mut document = document.clone();
        for (place, group) in document.findings.iter_mut().enumerate() {
            let Some(path) = group.capsule.take() else { continue };
            let capsule = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
            let name = format!("{}/{}", place + 1, run_folder::CAPSULE);
            self.put(&name, capsule)?;
            group.capsule = Some(name);
        }
        self.leave(&document)
    }

    fn put(&self, name: &str, content: Vec<u8>) -> Result<(), String> {
        self.place.put(&format!("{}/{name}", self.folder), content).map_err(|error| error.to_string())
    }
}

/// Plays a failure again, here, and leaves its folder; the path of its capsule.
fn keep(systems: &[&dyn System], target: &Target, play: &PlayArgs) -> Result<String, String> {
    let (system, scenario) = run::find(systems, target, Size::Hunt, &play.mutant)?;
    let seed = play.seed.unwrap_or_default();
    let watch = Some(Watch::default());
    let request = Request { watch, ..run::request(scenario, play, seed) };
    let folder = run_folder::of(&request);
    let played = crate::rehearsal::play(system, &request, world::sim::Progress::default())
        .map_err(|error| error.to_string())?;
    let retold = capsule::play_again(system, &request, &played, true, &world::sim::Progress::default())?;
    let written = capsule::write(&folder, target, play.size.name(), &request, &played, retold.as_ref())?;
    let replay = run::replay_line(play, seed);
    let story = retold.map(|retold| retold.story).unwrap_or_default();
    let record = run_folder::record(&request, &played, play.size.name(), &replay, &story)?;
    run_folder::write_all(&folder, &played, &record, Language::default())?;
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
        assert_eq!(seed_range("3.."), Ok(3..u64::MAX));
        assert!(seed_range("9..3").is_err_and(|what| what.contains("no seed")));
        assert!(seed_range("9").is_err_and(|what| what.contains("A..B")));
    }
}
