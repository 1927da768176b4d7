//! `rehearse compare` and `rehearse baseline`: has anything become worse?

use std::fs;
use std::path::PathBuf;

use clap::Args;
use record::comparison::{Comparison, Judgement, Metric};

use super::run::{print, terminal_style};
use super::{Exit, Format, run_folder};
use crate::compare;

#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// The runs before: a run folder, a folder of run folders, or a baseline (`rehearse baseline`)
    before: PathBuf,
    /// The runs after, of the same seeds
    after: PathBuf,
    /// Changes below it count as none
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = share)]
    threshold: f64,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct BaselineArgs {
    /// A run folder, or a folder of run folders
    runs: PathBuf,
    /// The file to keep their figures in
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// A share of 1, written in percent.
fn share(text: &str) -> Result<f64, String> {
    let percent: Option<f64> = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
    let share = percent.filter(|percent| (0.0..=1000.0).contains(percent)).map(|percent| percent / 100.0);
    share.ok_or_else(|| "expected a share in percent, such as 5% or 0.5%".to_owned())
}

pub(super) fn compare(args: &CompareArgs) -> Exit {
    let read = |path| compare::read(path).map_err(|error| error.to_string());
    let compared =
        read(&args.before).and_then(|before| compare::compare(&before, &read(&args.after)?, args.threshold));
    let comparison = match compared {
        Ok(comparison) => comparison,
        Err(message) => {
            eprintln!("{message}");
            return Exit::Usage;
        }
    };
    run_folder::add_comparison_to_job_summary(&comparison);
    let text = match args.format {
        Format::Human => reports::terminal::render_comparison(&comparison, terminal_style()),
        Format::Json => comparison.to_json(),
    };
    match print(&text) {
        Exit::Held => exit_code(&comparison),
        failed => failed,
    }
}

/// A new violation or loss is one, whatever else has become slower.
fn exit_code(comparison: &Comparison) -> Exit {
    let regressed = comparison.changes.iter().filter(|change| change.judgement == Judgement::Regressed);
    let is_wrong = |metric| matches!(metric, Metric::Violated | Metric::LostAcknowledged);
    regressed.fold(Exit::Held, |exit, change| match exit {
        Exit::Violated => exit,
        _ if is_wrong(change.metric) => Exit::Violated,
        _ => Exit::Slow,
    })
}

pub(super) fn baseline(args: &BaselineArgs) -> Exit {
    let runs = match compare::read(&args.runs) {
        Ok(runs) => runs,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage;
        }
    };
    let count = runs.len();
    match fs::write(&args.out, compare::to_baseline(runs)) {
        Ok(()) => {
            eprintln!("{count} run{} kept in {}", if count == 1 { "" } else { "s" }, args.out.display());
            Exit::Held
        }
        Err(error) => {
            eprintln!("cannot write {}: {error}", args.out.display());
            Exit::Internal
        }
    }
}
