//! `rehearse run --sweep`: one scenario at several loads and settings, and what the system carries.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use record::capacity::Capacity;
use record::result::Verdict;
use reports::page::Language;
use reports::run_folder::{CAPACITY, read_capacity, render_capacity, write_capacity};

use super::progress::{Line, stop_or_end_on_ctrl_c};
use super::run::{draw_seed, find, load, print, quoted, request, shared_flags, terminal_style};
use super::{Exit, Format, PlayArgs, RunArgs, length_of_time, run_folder};
use crate::capacity::levels::{Load, Sweep};
use crate::capacity::{self, Plan};
use crate::rehearsal::Error;
use crate::system::System;
use crate::target::Target;

/// More combinations of settings than anybody reads.
const CURVES_MAX: usize = 64;

/// What is played at several loads.
#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    /// Plays the scenario at several loads, and says what the system carries: load=FROM..TO[/LEVELS] or load=A,B,…, in
    /// multiples of the scenario's rates (load=0.25x..4x/8) or customers/s (load=50..400). SETTING=A,B,… plays them
    /// with each value of a setting. May be given for the load and for several settings
    #[arg(long = "sweep", value_name = "WHAT=VALUES")]
    pub(super) sweep: Vec<Sweep>,
    /// How many seeds each level is played with: the seed and those that follow [default: 1]
    #[arg(long, value_name = "N", requires = "sweep", value_parser = clap::value_parser!(u64).range(1..=100))]
    repeat: Option<u64>,
    /// Left out at the beginning of the load of each level [default: a third of it]
    #[arg(long, value_name = "TIME", requires = "sweep", value_parser = length_of_time)]
    warm_up: Option<Duration>,
    /// How many runs of a sweep go at once [default: one for each core]
    #[arg(long, value_name = "N", requires = "sweep")]
    jobs: Option<NonZeroUsize>,
}

/// Plays a sweep.
pub(super) fn sweep(systems: &[&dyn System], args: &RunArgs) -> Exit {
    let (system, plan) = match plan(systems, args) {
        Ok(planned) => planned,
        Err(message) => {
            eprintln!("{message}");
            return Exit::Usage;
        }
    };
    let runs = plan.runs();
    let jobs = args.sweep.jobs.or(std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let (stop, line) = (stop_or_end_on_ctrl_c(), Line::new());
    let show = |done: usize| line.show(|| format!("{done} of {runs} runs"));
    show(0);
    let played = capacity::play(system, &plan, jobs, &stop, &show);
    line.clear();
    let capacity = match played {
        Ok(capacity) => capacity,
        Err(Error::Setting(message)) => {
            eprintln!("{message}");
            return Exit::Usage;
        }
        Err(Error::Internal(message)) => {
            eprintln!("internal error: {message}\nreplay: {}", plan.replay);
            return Exit::Internal;
        }
    };
    let folder = args.out.clone().unwrap_or_else(|| run_folder::of(&plan.curves[0].1));
    let written = write(&folder, &capacity, args.lang);
    if let Err(message) = &written {
        eprintln!("{message}");
    }
    run_folder::add_capacity_to_job_summary(&capacity);
    let text = match args.format {
        Format::Json => capacity.to_json(),
        Format::Human => reports::capacity::render(&capacity, terminal_style()),
    };
    match (written, print(&text)) {
        (Ok(()), Exit::Held) => exit_code(&capacity),
        _ => Exit::Internal,
    }
}

fn exit_code(capacity: &Capacity) -> Exit {
    match capacity.verdict {
        Verdict::Invalid if capacity.levels_not_played == 0 => Exit::NothingRan,
        verdict => verdict.into(),
    }
}

/// Is it the folder of a sweep?
pub(super) fn is_of_one(folder: &Path) -> bool {
    folder.join(CAPACITY).is_file()
}

/// Renders a sweep again, from its folder.
pub(super) fn report(folder: &Path, language: Language) -> Exit {
    let capacity = match read_capacity(folder) {
        Ok(capacity) => capacity,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage;
        }
    };
    let written = render_capacity(folder, &capacity, language);
    if let Err(error) = &written {
        eprintln!("{error}");
    }
    let printed = print(&reports::capacity::render(&capacity, terminal_style()));
    if written.is_err() { Exit::Internal } else { printed }
}

/// Writes the files of a sweep, and points `runs/latest` at it.
fn write(folder: &Path, capacity: &Capacity, language: Language) -> Result<(), String> {
    write_capacity(folder, capacity, language).map_err(|error| error.to_string())?;
    run_folder::point_latest_at(folder)
        .map_err(|error| format!("cannot write the run folder {}: {error}", folder.display()))
}

/// What the flags ask for. The error is the whole message for the user.
fn plan<'a>(systems: &[&'a dyn System], args: &RunArgs) -> Result<(&'a dyn System, Plan), String> {
    if args.trace.is_some() {
        return Err("--trace is about one run: it does not go with --sweep".to_owned());
    }
    let (system, scenario, target) = load(systems, &args.play)?;
    if scenario.expect.is_some() {
        return Err(format!("{} is made to fail ([expect]): it says nothing about capacity", scenario.name));
    }
    let given = args.play.seed.or(scenario.play.seed);
    let seed = given.unwrap_or_else(draw_seed);
    if given.is_none() {
        eprintln!("seed {seed}");
    }
    let (loads, settings) = swept(&args.sweep.sweep)?;
    let seeds = (0..args.sweep.repeat.unwrap_or(1)).map(|number| seed.wrapping_add(number)).collect();
    let mut curves = Vec::new();
    for settings in combinations(&settings)? {
        let overriding = settings.iter().map(|(key, value)| (key.clone(), value.clone()));
        let set = target.set.iter().cloned().chain(overriding).collect();
        let target = Target { set, ..target.clone() };
        let (_, scenario) = find(systems, &target, args.play.size.size(), &args.play.mutant)?;
        curves.push((settings, request(scenario, &args.play, seed)));
    }
    let plan = Plan::new(curves, &loads, seeds, args.sweep.warm_up, replay(args, seed));
    Ok((system, plan.map_err(|message| format!("--sweep: {message}"))?))
}

type Values<'a> = (&'a str, &'a [String]);

/// The loads, as they are by the scenario where none are swept, and the settings with their values.
fn swept(sweeps: &[Sweep]) -> Result<(Vec<Load>, Vec<Values<'_>>), String> {
    let mut loads = None;
    let mut settings: Vec<Values<'_>> = Vec::new();
    for sweep in sweeps {
        match sweep {
            Sweep::Load(_) if loads.is_some() => return Err("--sweep load is given twice".to_owned()),
            Sweep::Load(levels) => loads = Some(levels.clone()),
            Sweep::Setting(key, _) if settings.iter().any(|(known, _)| known == key) => {
                return Err(format!("--sweep {key} is given twice"));
            }
            Sweep::Setting(key, values) => settings.push((key, values)),
        }
    }
    Ok((loads.unwrap_or_else(|| vec![Load::Factor(1.0)]), settings))
}

/// Every value of each setting with every value of the others.
fn combinations(settings: &[Values<'_>]) -> Result<Vec<BTreeMap<String, String>>, String> {
    let mut all = vec![BTreeMap::new()];
    for (key, values) in settings {
        let with = |before: &BTreeMap<String, String>, value: &String| {
            let mut after = before.clone();
            after.insert((*key).to_owned(), value.clone());
            after
        };
        all = all.iter().flat_map(|before| values.iter().map(move |value| with(before, value))).collect();
        if all.len() > CURVES_MAX {
            return Err(format!("--sweep: more than {CURVES_MAX} combinations of settings"));
        }
    }
    Ok(all)
}

/// The shell line that plays the same again.
fn replay(args: &RunArgs, seed: u64) -> String {
    let PlayArgs { scenario, .. } = &args.play;
    let mut words = ["rehearse", "run", scenario, "--seed", &seed.to_string()].map(str::to_owned).to_vec();
    words.extend(shared_flags(&args.play));
    for sweep in &args.sweep.sweep {
        words.extend(["--sweep".to_owned(), sweep.to_string()]);
    }
    if let Some(repeat) = args.sweep.repeat {
        words.extend(["--repeat".to_owned(), repeat.to_string()]);
    }
    if let Some(warm_up) = args.sweep.warm_up {
        words.extend(["--warm-up".to_owned(), scenarios::duration::format(warm_up)]);
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}
