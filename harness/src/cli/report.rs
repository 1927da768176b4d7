//! `rehearse report`: what a run left behind, rendered again without playing it.

use std::path::PathBuf;

use clap::Args;
use reports::page::Language;
use reports::run_folder;

use super::run::{print, terminal_style};
use super::{Exit, languages, run_folder as ours, sweep};

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The folder of a run or a sweep: runs/latest
    #[arg(value_name = "RUN-DIR")]
    folder: PathBuf,
    /// Language of report.html, or of a sweep's capacity.html
    #[arg(long, value_name = "LANGUAGE", default_value = Language::default().code(), value_parser = languages())]
    lang: Language,
}

/// Writes what people read of a run again, and prints its report. The run was judged when it was played: that it can be
/// rendered is all that the exit code says.
pub(super) fn report(args: &ReportArgs) -> Exit {
    if sweep::is_of_one(&args.folder) {
        return sweep::report(&args.folder, args.lang);
    }
    let record = match run_folder::read(&args.folder) {
        Ok(record) => record,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage;
        }
    };
    let written = run_folder::render(&args.folder, &record, args.lang);
    if let Err(error) = &written {
        eprintln!("{error}");
    }
    ours::add_to_job_summary(&record);
    let printed = print(&reports::terminal::render(&record.report(), terminal_style()));
    if written.is_err() { Exit::Internal } else { printed }
}
