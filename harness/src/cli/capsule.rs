//! Capsules: written when a run fails, and played again by `rehearse replay`.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use clap::Args;
use reports::page::Language;
use reports::story::Focus;
use scenarios::Size;
use world::sim::Progress;

use super::progress::Shown;
use super::run::{self, find};
use super::{Exit, Format, run_folder};
use crate::capsule::{Build, Capsule, SCHEMA};
use crate::rehearsal::{self, Error, Played, Request, Story};
use crate::system::System;
use crate::target::Target;
use crate::timeline::{Watch, stories};

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The capsule of a run that failed: runs/latest/capsule.json
    capsule: PathBuf,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Folder for the run's files [default: runs/SCENARIO/TIME-SEED]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Tells the story until then, instead of the report: 12.3s since the start
    #[arg(long, value_name = "TIME", value_parser = super::length_of_time)]
    until: Option<Duration>,
    /// Tells the story of this, through all services, instead of the report: order=ID, buyer=N, …
    #[arg(long, value_name = "WHAT=ID", value_parser = super::key_value)]
    focus: Vec<(String, String)>,
}

/// Plays a run again that failed, to record its choices, or with a violated invariant, to tell what led to it. `None`
/// when nothing of it calls for that; `with_choices` is false where there is no capsule to be made.
///
/// # Errors
/// A sentence: it did not go the same way again.
pub(super) fn play_again(
    system: &dyn System,
    request: &Request,
    played: &Played,
    with_choices: bool,
    progress: &Progress,
) -> Result<Option<Played>, String> {
    let record = with_choices && !rehearsal::failures(&request.scenario, &played.result).is_empty();
    let matters = stories::matters(played);
    if !record && matters.is_empty() {
        return Ok(None);
    }
    let story = if matters.is_empty() { Story::Untold } else { Story::About(matters) };
    let again = Request { record, story, watch: None, ..request.clone() };
    let again = rehearsal::play(system, &again, progress.clone()).map_err(|error| error.to_string())?;
    if again.result.fingerprint != played.result.fingerprint {
        return Err("it went another way when it was played again: see `rehearse verify`".to_owned());
    }
    Ok(Some(again))
}

/// As [`play_again`], with its progress shown.
pub(super) fn play_again_shown(
    system: &dyn System,
    request: &Request,
    played: &Played,
    with_choices: bool,
) -> Result<Option<Played>, String> {
    let progress = Progress::default();
    let expected = Duration::try_from_secs_f64(played.result.simulated_s).unwrap_or_default();
    let purpose = "once more, for its story and capsule";
    let shown = Shown { progress: &progress, watch: None, purpose, expected };
    shown.during(|| play_again(system, request, played, with_choices, &progress))
}

/// Leaves the capsule of a run that was not as its scenario expects, with the choices of the run that was played again;
/// where. Of a run that was, it takes away the capsule that an earlier run has left in the folder.
///
/// # Errors
/// A sentence: it cannot be written.
pub(super) fn write(
    folder: &Path,
    target: &Target,
    size: &str,
    request: &Request,
    played: &Played,
    again: Option<&Played>,
) -> Result<Option<PathBuf>, String> {
    let failures = rehearsal::failures(&request.scenario, &played.result);
    let path = folder.join(run_folder::CAPSULE);
    let io = |error: io::Error| format!("cannot write {}: {error}", path.display());
    let Some(choices) = again.and_then(|again| again.choices.as_ref()).filter(|_| !failures.is_empty())
    else {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io(error)),
            _ => Ok(None),
        };
    };
    let mut capsule = Capsule {
        schema: SCHEMA,
        build: Build::current(),
        scenario: target.clone(),
        size: size.to_owned(),
        engine: request.engine.to_string(),
        seed: request.seed,
        strategy: request.strategy,
        mutants: request.mutants.iter().cloned().collect(),
        verdict: played.result.verdict,
        failures,
        fingerprint: played.result.fingerprint.clone(),
        faults: played.result.faults.clone(),
        choices: String::new(),
    };
    capsule.set_choices(choices);
    fs::create_dir_all(folder).map_err(io)?;
    fs::write(&path, capsule.to_json().map_err(|error| error.to_string())?).map_err(io)?;
    Ok(Some(path))
}

/// Plays a capsule, and says whether it went as it did then.
pub(super) fn replay(systems: &[&dyn System], args: &ReplayArgs) -> Exit {
    let (system, request, capsule) = match open(systems, &args.capsule) {
        Ok(opened) => opened,
        Err(message) => {
            eprintln!("{message}");
            return Exit::Usage;
        }
    };
    let told = match focus(system, args) {
        Ok(told) => told,
        Err(message) => {
            eprintln!("{message}");
            return Exit::Usage;
        }
    };
    let story = if told.is_some() { Story::Whole } else { Story::Untold };
    let watch = Watch::default();
    let request = Request { story, watch: Some(watch.clone()), ..request };
    let progress = Progress::default();
    let expected = request.scenario.duration + request.scenario.settle / 2;
    let shown = Shown { progress: &progress, watch: Some(&watch), purpose: "", expected };
    let played = match shown.during(|| rehearsal::play(system, &request, progress.clone())) {
        Ok(played) => played,
        Err(Error::Setting(message)) => {
            eprintln!("{message}");
            return Exit::Usage;
        }
        Err(Error::Internal(message)) => {
            eprintln!("internal error: {message}");
            return Exit::Internal;
        }
    };
    if let Some(focus) = told {
        let printed = run::print(&reports::story::render(&played.story, &focus));
        eprintln!("{}", comparison(&capsule, &request, &played));
        return printed;
    }
    let line = format!("rehearse replay {}", run::quoted(&args.capsule.display().to_string()));
    let folder = args.out.clone().unwrap_or_else(|| run_folder::of(&request));
    let retold = play_again_shown(system, &request, &played, false).unwrap_or_else(|message| {
        eprintln!("no story: {message}");
        None
    });
    let story = retold.map(|retold| retold.story).unwrap_or_default();
    let record = run_folder::record(&request, &played, &capsule.size, &line, &story);
    let shown = run::show(&request, &played, record, args.format, &folder, Language::default());
    eprintln!("{}", comparison(&capsule, &request, &played));
    let is_the_build = capsule.build == Build::current();
    match shown {
        Exit::Internal => Exit::Internal,
        // The same program and the same choices cannot go two ways.
        _ if is_the_build && played.result.fingerprint != capsule.fingerprint => Exit::Invalid,
        exit => exit,
    }
}

/// Which story is to be told, if one is.
fn focus(system: &dyn System, args: &ReplayArgs) -> Result<Option<Focus>, String> {
    if args.until.is_none() && args.focus.is_empty() {
        return Ok(None);
    }
    let mut ids = Vec::new();
    for (what, id) in &args.focus {
        let known = system.focuses().iter().find(|(name, _)| name == what);
        let Some((_, prefix)) = known else {
            let names: Vec<&str> = system.focuses().iter().map(|(name, _)| *name).collect();
            return Err(format!("--focus {what}={id}: expected one of {}", names.join(", ")));
        };
        ids.push(format!("{prefix}{id}"));
    }
    Ok(Some(Focus { ids, until: args.until, most: None }))
}

/// Reads a capsule, and what it asks for.
///
/// # Errors
/// The whole message for the user.
pub(super) fn open<'a>(
    systems: &[&'a dyn System],
    path: &Path,
) -> Result<(&'a dyn System, Request, Capsule), String> {
    let capsule = Capsule::read(path).map_err(|error| error.to_string())?;
    let size: Size = capsule.size()?;
    let (system, scenario) = find(systems, &capsule.scenario, size, &capsule.mutants)?;
    let engine = super::simulator(&capsule.engine)?;
    let request = Request {
        engine,
        mutants: capsule.mutants.iter().cloned().collect(),
        strategy: capsule.strategy,
        replay: Some(capsule.choices()?),
        ..Request::new(scenario, capsule.seed)
    };
    Ok((system, request, capsule))
}

/// How the replay went beside what the capsule holds.
fn comparison(capsule: &Capsule, request: &Request, played: &Played) -> String {
    let build = Build::current();
    let mut lines = Vec::new();
    if played.result.fingerprint == capsule.fingerprint {
        lines.push(format!("the same run as the capsule's: fingerprint {}", capsule.fingerprint));
    } else {
        lines.push(format!(
            "another run than the capsule's: fingerprint {}, then {}",
            played.result.fingerprint, capsule.fingerprint
        ));
    }
    if build != capsule.build {
        let version = |build: &Build| format!("{} ({})", build.version, build.executable);
        lines.push(format!("this is another build: {}, then {}", version(&build), version(&capsule.build)));
    }
    if let Some(replayed) = &played.replayed
        && !replayed.is_exact()
    {
        let at = replayed.first_mismatch.as_ref().map(|mismatch| {
            format!("; the first that did not fit is number {} of {}", mismatch.position, mismatch.stream)
        });
        lines.push(format!(
            "{} of {} recorded choices fitted{}",
            replayed.taken,
            replayed.recorded,
            at.unwrap_or_default()
        ));
    }
    let now = rehearsal::failures(&request.scenario, &played.result);
    for then in &capsule.failures {
        if !now.iter().any(|failure| failure.of == then.of) {
            lines.push(format!("no longer so: {}: {}", then.of, then.what));
        }
    }
    lines.join("\n")
}
