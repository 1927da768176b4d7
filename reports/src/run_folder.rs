//! The files that a run leaves behind: `result.json`, `summary.md`, `junit.xml`, `latency.hlog`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::{Report, junit, latency_log, markdown};

/// Why a run folder could not be written.
#[derive(Debug, Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `create`, `write`.
        action: &'static str,
        /// The folder or file that it was tried on.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// The content does not fit the format of the file.
    #[error("cannot put this run into {}: {reason}", path.display())]
    Format {
        /// The file that was to be written.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

/// Writes the files of a run into `folder`, which is created if need be. Files of the same names are replaced.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be created or a file cannot be written, [`Error::Format`] if the run
/// cannot be expressed in one of the formats.
pub fn write(folder: &Path, report: &Report<'_>) -> Result<(), Error> {
    let at = |name: &str| folder.join(name);
    let misfit = |name: &str| {
        let path = at(name);
        move |reason| Error::Format { path, reason }
    };
    // Everything is rendered before anything is written: what does not fit a format leaves no half a folder.
    let files = [
        ("result.json", report.result.to_json().into_bytes()),
        ("summary.md", markdown::render(report).into_bytes()),
        ("junit.xml", junit::render(report).map_err(misfit("junit.xml"))?.into_bytes()),
        ("latency.hlog", latency_log::render(report).map_err(misfit("latency.hlog"))?),
    ];
    fs::create_dir_all(folder).map_err(|source| Error::Io {
        action: "create",
        path: folder.to_owned(),
        source,
    })?;
    for (name, bytes) in files {
        let path = at(name);
        fs::write(&path, bytes).map_err(|source| Error::Io { action: "write", path, source })?;
    }
    Ok(())
}
