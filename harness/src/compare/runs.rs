//! Where runs to be compared come from: run folders, folders of them, and baselines.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use record::comparison::{Baseline, BaselineRun, SCHEMA};
use record::result;
use reports::run_folder::{self, RESULT};

/// Why there are no runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A run folder or a baseline cannot be read.
    #[error(transparent)]
    RunFolder(#[from] run_folder::Error),
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// There is no run in it.
    #[error("{}: no run in it: expected a run folder (with {RESULT}), a folder of run folders, or a baseline", .0.display())]
    NoRun(PathBuf),
}

/// The runs of a run folder, of all run folders in a folder, or of a baseline.
///
/// # Errors
/// See [`Error`]: each names the place, what is wrong, and what was expected.
pub fn read(path: &Path) -> Result<Vec<BaselineRun>, Error> {
    let found = fs::metadata(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    if found.is_file() {
        return read_baseline(path);
    }
    let mut runs = Vec::new();
    gather(path, &mut runs)?;
    if runs.is_empty() { Err(Error::NoRun(path.to_owned())) } else { Ok(runs) }
}

/// The text of the file of a baseline.
pub fn to_baseline(mut runs: Vec<BaselineRun>) -> String {
    runs.sort_by_key(|run| run.result.seed);
    let text = serde_json::to_string(&Baseline { schema: SCHEMA, runs });
    text.expect("a baseline has only string keys and cannot fail to be written as JSON") + "\n"
}

fn read_baseline(path: &Path) -> Result<Vec<BaselineRun>, Error> {
    let baseline: Baseline = run_folder::read_json(path, "baseline", u64::from(SCHEMA))?;
    if let Some(run) = baseline.runs.iter().find(|run| run.result.schema != result::SCHEMA) {
        return Err(Error::RunFolder(run_folder::Error::Schema {
            path: path.to_owned(),
            what: "baseline with a result",
            found: u64::from(run.result.schema),
            expected: u64::from(result::SCHEMA),
        }));
    }
    if baseline.runs.is_empty() { Err(Error::NoRun(path.to_owned())) } else { Ok(baseline.runs) }
}

/// Goes through a folder in the order of names. Links are not followed: `runs/latest` is a run that is there already.
fn gather(folder: &Path, runs: &mut Vec<BaselineRun>) -> Result<(), Error> {
    if folder.join(RESULT).exists() {
        let record = run_folder::read(folder)?;
        let (size, settings) = (record.timeline.size, record.timeline.settings);
        runs.push(BaselineRun { size, settings, result: record.result });
        return Ok(());
    }
    let failed = |source| Error::Io { path: folder.to_owned(), source };
    let mut within: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            within.push(entry.path());
        }
    }
    within.sort();
    within.iter().try_for_each(|folder| gather(folder, runs))
}
