//! The command line: what `rehearse` understands, and its exit codes.

mod capsule;
mod catalogue;
mod compare;
mod exit;
mod hunt;
mod hunt_report;
mod merge;
mod progress;
mod report;
mod run;
mod run_folder;
mod serve;
mod shrink;
mod sweep;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use reports::page::Language;
use scenarios::{Size, Strategy};
use world::engines::{EngineKind, UnknownEngine};

pub use self::exit::Exit;
use crate::system::System;

/// Rehearse the peak before the peak: play a whole commerce system by seed, and check that no sale goes wrong.
#[derive(Debug, Parser)]
#[command(name = "rehearse", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a scenario once and judge it
    Run(RunArgs),
    /// Play a seed twice, in two processes, and compare fingerprint and verdict
    Verify(VerifyArgs),
    /// Play many seeds of small worlds on all cores, and show what they find
    Hunt(hunt::HuntArgs),
    /// What the shards of a hunt found together, from where `hunt --out` left their results
    Merge(merge::MergeArgs),
    /// Play a failure again from its capsule
    Replay(capsule::ReplayArgs),
    /// Render a run's report again, from its folder, without playing it
    Report(report::ReportArgs),
    /// What has changed between two sets of runs of the same seeds: regressed, improved, no change
    Compare(compare::CompareArgs),
    /// Keep the figures of runs in one file, to compare others with
    Baseline(compare::BaselineArgs),
    /// Shrink a failure to the smallest scenario that still fails the same way
    Shrink(shrink::ShrinkArgs),
    /// Serve a simulated server for real, for any client, until Ctrl-C
    Serve(serve::ServeArgs),
    /// The scenarios that come along
    List(ListArgs),
    /// The planted mistakes, and the scenario that finds each
    Mutants(ListArgs),
    #[command(name = crate::hunt::SUBCOMMAND, hide = true)]
    HuntWorker,
}

/// What is played: shared by all commands that play.
#[derive(Debug, Clone, Args)]
struct PlayArgs {
    /// Name (ticketing/peak) or path of a scenario
    scenario: String,
    /// Decides every random choice; the scenario's, or drawn and printed, when left out
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Overrides a setting of the scenario (`--set timetable=feed.zip`)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Full size, or the small size of the scenario's [hunt] section
    #[arg(long, value_enum, default_value_t = SizeArg::Full)]
    size: SizeArg,
    /// Switches a planted mistake on (see `rehearse mutants`), instead of those of the scenario
    #[arg(long = "mutant", value_name = "NAME")]
    mutant: Vec<String>,
    /// What carries the simulated world: kernel, turmoil, or, in builds that have it, madsim
    #[arg(long, value_name = "ENGINE", default_value_t = EngineKind::Kernel, value_parser = simulator)]
    engine: EngineKind,
    /// Who runs next among tasks that are ready in the same instant: random, fifo, or pct:DEPTH:POLLS [default: the
    /// scenario's, or random]
    #[arg(long, value_name = "STRATEGY")]
    strategy: Option<Strategy>,
}

impl PlayArgs {
    /// A scenario and a seed, with the defaults of everything else.
    fn of(scenario: &str, seed: u64) -> Self {
        Self {
            scenario: scenario.to_owned(),
            seed: Some(seed),
            set: Vec::new(),
            size: SizeArg::Full,
            mutant: Vec::new(),
            engine: EngineKind::default(),
            strategy: None,
        }
    }
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    play: PlayArgs,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Folder for the run's files [default: runs/SCENARIO/TIME-SEED]
    #[arg(long, value_name = "DIR")]
    out: Option<std::path::PathBuf>,
    /// Language of report.html, or of a sweep's capacity.html
    #[arg(long, value_name = "LANGUAGE", default_value = Language::default().code(), value_parser = languages())]
    lang: Language,
    #[command(flatten)]
    sweep: sweep::SweepArgs,
    /// Writes the marks FROM..TO of the fingerprint into the run's trace (`verify` uses it to show a divergence)
    #[arg(long, value_name = "FROM..TO", value_parser = mark_range, hide = true)]
    trace: Option<std::ops::Range<u64>>,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    #[command(flatten)]
    play: PlayArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SizeArg {
    Full,
    Hunt,
}

impl SizeArg {
    /// As a capsule and a timeline have it.
    fn name(self) -> &'static str {
        match self {
            SizeArg::Full => "full",
            SizeArg::Hunt => "hunt",
        }
    }

    fn size(self) -> Size {
        match self {
            SizeArg::Full => Size::Full,
            SizeArg::Hunt => Size::Hunt,
        }
    }
}

/// The languages of reports, by their codes.
fn languages() -> impl TypedValueParser<Value = Language> {
    PossibleValuesParser::new(Language::ALL.map(Language::code)).map(|code| {
        let found = Language::ALL.into_iter().find(|language| language.code() == code);
        found.expect("only the codes of languages are possible")
    })
}

/// An engine that simulates, and that this build has.
fn simulator(name: &str) -> Result<EngineKind, String> {
    let engine: EngineKind = name.parse().map_err(|error: UnknownEngine| error.to_string())?;
    if !engine.is_deterministic() {
        return Err(format!("{engine} runs for real: it does not simulate"));
    }
    engine.check().map_err(|error| error.to_string())?;
    Ok(engine)
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// A length of time that is not zero.
fn length_of_time(text: &str) -> Result<Duration, String> {
    match scenarios::duration::parse(text) {
        Ok(Duration::ZERO) => Err("no time at all".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error}; expected a number with its unit, such as 90s or 10m")),
    }
}

fn mark_range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let ends = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.ok_or_else(|| "expected FROM..TO, two whole numbers".to_owned())
}

/// Runs the command line of this process on these systems.
pub fn main(systems: &[&dyn System]) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is wrong usage. A closed stdout is not ours to mend.
            drop(error.print());
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Held.into() };
        }
    };
    let exit = match &cli.command {
        Command::Run(args) if !args.sweep.sweep.is_empty() => sweep::sweep(systems, args),
        Command::Run(args) => run::run(systems, args),
        Command::Verify(args) => verify::verify(systems, &args.play),
        Command::Hunt(args) => hunt::hunt(systems, args),
        Command::Merge(args) => merge::merge(args),
        Command::HuntWorker => hunt::work(systems),
        Command::Replay(args) => capsule::replay(systems, args),
        Command::Report(args) => report::report(args),
        Command::Compare(args) => compare::compare(args),
        Command::Baseline(args) => compare::baseline(args),
        Command::Shrink(args) => shrink::shrink(systems, args),
        Command::Serve(args) => serve::serve(args),
        Command::List(args) => catalogue::list(systems, args.format),
        Command::Mutants(args) => catalogue::mutants(systems, args.format),
    };
    exit.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn lengths_of_time_say_what_is_wrong_with_them() {
        assert_eq!(length_of_time("90s"), Ok(Duration::from_secs(90)));
        assert!(length_of_time("90").is_err_and(|what| what.contains("unit")));
        assert!(length_of_time("0s").is_err());
    }
}
