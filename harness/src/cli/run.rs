//! `rehearse run`: one rehearsal, judged.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use record::result::Verdict;
use reports::page::Language;
use reports::run_folder::Record;
use reports::terminal::Style;
use scenarios::{Expect, Scenario, Size, catalogue};
use world::engines::EngineKind;
use world::sim::Progress;

use super::progress::Shown;
use super::{Exit, Format, PlayArgs, RunArgs, SizeArg, capsule, run_folder};
use crate::rehearsal::{self, Error, Played, Request};
use crate::system::System;
use crate::target::Target;
use crate::timeline::Watch;

/// Seeds drawn for the user stay below this: short enough to be read out.
const DRAWN_SEEDS: u64 = 1_000_000;

pub(super) fn run(systems: &[&dyn System], args: &RunArgs) -> Exit {
    let (system, scenario, target) = match load(systems, &args.play) {
        Ok(loaded) => loaded,
        Err(message) => {
            eprintln!("{message}");
            return Exit::Usage;
        }
    };
    let given = args.play.seed.or(scenario.play.seed);
    let seed = given.unwrap_or_else(draw_seed);
    if given.is_none() {
        eprintln!("seed {seed}");
    }
    let replay = replay_line(&args.play, seed);
    let trace = args.trace.clone().unwrap_or(0..0);
    let watch = Watch::default();
    let request = Request { trace, watch: Some(watch.clone()), ..request(scenario, &args.play, seed) };
    let progress = Progress::default();
    let play = || rehearsal::play(system, &request, progress.clone());
    let expected = request.scenario.duration + request.scenario.settle / 2;
    let shown = Shown { progress: &progress, watch: Some(&watch), purpose: "", expected };
    let played = catch_unwind(AssertUnwindSafe(|| shown.during(play)));
    let played = match played {
        Ok(Ok(played)) => played,
        Ok(Err(Error::Setting(message))) => {
            eprintln!("{message}");
            return Exit::Usage;
        }
        Ok(Err(Error::Internal(message))) => {
            eprintln!("internal error: {message}\nreplay: {replay}");
            return Exit::Internal;
        }
        // The panic's own message has been printed.
        Err(_) => {
            eprintln!("internal error: a panic\nreplay: {replay}");
            return Exit::Internal;
        }
    };
    let folder = args.out.clone().unwrap_or_else(|| run_folder::of(&request));
    let size = args.play.size.name();
    let again = capsule::play_again_shown(system, &request, &played, true).and_then(|again| {
        capsule::write(&folder, &target, size, &request, &played, again.as_ref())?;
        Ok(again)
    });
    let again = again.unwrap_or_else(|message| {
        eprintln!("no capsule: {message}");
        None
    });
    let story = again.map(|again| again.story).unwrap_or_default();
    let record = run_folder::record(&request, &played, size, &replay, &story);
    show(&request, &played, record, args.format, &folder, args.lang)
}

/// Reads the scenario that the user names.
///
/// The error is the whole message for the user.
pub(super) fn load<'a>(
    systems: &[&'a dyn System],
    play: &PlayArgs,
) -> Result<(&'a dyn System, Scenario, Target), String> {
    let source = catalogue::find(&play.scenario).map_err(|error| error.to_string())?;
    let given = play.scenario.clone();
    let target = Target { given, file: source.file, text: source.text, set: play.set.clone() };
    let (system, scenario) = find(systems, &target, play.size.size(), &play.mutant)?;
    Ok((system, scenario, target))
}

/// Expands a scenario, finds its system and checks the names of the mutants.
///
/// The error is the whole message for the user.
pub(super) fn find<'a>(
    systems: &[&'a dyn System],
    target: &Target,
    size: Size,
    mutants: &[String],
) -> Result<(&'a dyn System, Scenario), String> {
    let (system, scenario) = target.read(systems, size)?;
    for name in mutants {
        if !system.mutants().iter().any(|mutant| mutant.name == name) {
            return Err(unknown_mutant(system, name));
        }
    }
    Ok((system, scenario))
}

/// What these flags ask for; what they leave out is as the scenario says.
pub(super) fn request(scenario: Scenario, play: &PlayArgs, seed: u64) -> Request {
    let mut request = Request { engine: play.engine, ..Request::new(scenario, seed) };
    if !play.mutant.is_empty() {
        request.mutants = play.mutant.iter().cloned().collect();
    }
    if let Some(strategy) = play.strategy {
        request.strategy = strategy;
    }
    request
}

fn unknown_mutant(system: &dyn System, name: &str) -> String {
    let names = system.mutants().iter().map(|mutant| mutant.name);
    let nearest = names.min_by_key(|known| strsim::damerau_levenshtein(known, name));
    let hint = nearest.map(|nearest| format!("; did you mean {nearest:?}?")).unwrap_or_default();
    format!(
        "--mutant {name}: {} has no such mutant{hint}\n`rehearse mutants` lists them",
        system.vocabulary().name
    )
}

/// A seed from the randomness that the standard library keys its hash maps with.
pub(super) fn draw_seed() -> u64 {
    RandomState::new().hash_one("seed") % DRAWN_SEEDS
}

/// The shell line that plays the same again.
pub(super) fn replay_line(play: &PlayArgs, seed: u64) -> String {
    let mut words = vec!["rehearse".to_owned(), "run".to_owned(), play.scenario.clone()];
    words.extend(["--seed".to_owned(), seed.to_string()]);
    words.extend(shared_flags(play));
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The flags that decide what is played, apart from the seed.
pub(super) fn shared_flags(play: &PlayArgs) -> Vec<String> {
    let mut words = Vec::new();
    if play.size == SizeArg::Hunt {
        words.extend(["--size".to_owned(), "hunt".to_owned()]);
    }
    if play.engine != EngineKind::default() {
        words.extend(["--engine".to_owned(), play.engine.to_string()]);
    }
    if let Some(strategy) = play.strategy {
        words.extend(["--strategy".to_owned(), strategy.to_string()]);
    }
    for (key, value) in &play.set {
        words.extend(["--set".to_owned(), format!("{key}={value}")]);
    }
    for mutant in play.mutant.iter().collect::<BTreeSet<_>>() {
        words.extend(["--mutant".to_owned(), mutant.clone()]);
    }
    words
}

/// A word as a POSIX shell needs it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Writes the run's files and prints the report.
pub(super) fn show(
    request: &Request,
    played: &Played,
    record: Result<Record, String>,
    format: Format,
    folder: &Path,
    language: Language,
) -> Exit {
    let record = match record {
        Ok(record) => record,
        Err(message) => {
            eprintln!("{message}");
            return Exit::Internal;
        }
    };
    let written = run_folder::write_all(folder, played, &record, language);
    if let Err(message) = &written {
        eprintln!("{message}");
    }
    run_folder::add_to_job_summary(&record);
    for what in &played.unsupported {
        eprintln!("the engine {} cannot give {what}: the run went without", request.engine);
    }
    let text = match format {
        Format::Json => played.result.to_json(),
        Format::Human => reports::terminal::render(&record.report(), terminal_style()),
    };
    let printed = print(&text);
    if let Some(expect) = &request.scenario.expect {
        eprintln!("{}", expectation(expect, played));
    }
    match (written, printed) {
        (Ok(()), Exit::Held) => exit_code(&request.scenario, played),
        _ => Exit::Internal,
    }
}

fn expectation(expect: &Expect, played: &Played) -> String {
    let of = expect.invariant.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let met =
        if rehearsal::is_as_expected(expect, &played.result) { "and so it is" } else { "but it is not" };
    format!("the scenario expects the verdict {}{of}, {met}", expect.verdict)
}

fn exit_code(scenario: &Scenario, played: &Played) -> Exit {
    match &scenario.expect {
        Some(expect) if rehearsal::is_as_expected(expect, &played.result) => Exit::Held,
        // It was to fail and did not: what it teaches no longer holds.
        Some(_) if played.result.verdict == Verdict::Held => Exit::Invalid,
        _ if played.result.operations.is_empty() => Exit::NothingRan,
        _ => played.result.verdict.into(),
    }
}

/// How stdout wants to be written to.
pub(super) fn terminal_style() -> Style {
    let stdout = std::io::stdout();
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Style { color: wanted && stdout.is_terminal(), ..Style::default() }
}

/// Prints to stdout; a reader who has gone away (`| head`) is no error.
pub(super) fn print(text: &str) -> Exit {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("cannot write to stdout: {error}");
            Exit::Internal
        }
        _ => Exit::Held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted("ticketing/peak"), "ticketing/peak");
        assert_eq!(quoted("date=2017-03-31"), "date=2017-03-31");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
