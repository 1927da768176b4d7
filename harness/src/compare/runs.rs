//! Where runs to be compared come from: run folders, folders of them, and baselines.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use record::comparison::{Baseline, BaselineRun, SCHEMA};
use record::result;
use reports::run_folder::{self, RESULT};
use serde::Deserialize;

/// Why there are no runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A run folder cannot be read.
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
    /// The file is no baseline.
    #[error("{}:{}:{}: not a baseline: {source}", path.display(), source.line(), source.column())]
    NoBaseline {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The baseline, or a result in it, is of a version that this program does not know.
    #[error("{}: a baseline of schema {found}, expected {expected}: make it again", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version that it is of.
        found: u32,
        /// The version that this program knows.
        expected: u32,
    },
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
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let text = fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let no_baseline = |source| Error::NoBaseline { path: path.to_owned(), source };
    let is_of = |found: u32, expected: u32| match found == expected {
        true => Ok(()),
        false => Err(Error::Schema { path: path.to_owned(), found, expected }),
    };
    // Before the rest, which may look otherwise in another version.
    let Version { schema } = serde_json::from_str(&text).map_err(no_baseline)?;
    is_of(schema, SCHEMA)?;
    let baseline: Baseline = serde_json::from_str(&text).map_err(no_baseline)?;
    baseline.runs.iter().try_for_each(|run| is_of(run.result.schema, result::SCHEMA))?;
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
