//! Where a run's files go: `runs/<scenario>/<time>-<seed>/`, and `runs/latest` pointing at the last one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use record::capacity::Capacity;
use record::comparison::Comparison;
use record::result::RunResult;
use record::story::Line;
use reports::page::Language;
use reports::run_folder::Record;
use world::sim::Checkpoint;

use crate::rehearsal::{Played, Request};
use crate::timeline::{Windows, stories};

/// The file of a capsule.
pub(super) const CAPSULE: &str = "capsule.json";

/// The variable that names the file of a job's summary.
const JOB_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// The folder that a run gets unless the user names one.
pub(super) fn of(request: &Request) -> PathBuf {
    default_folder(&request.scenario.name, request.seed)
}

/// All that there is to know of a run; `story` is what was told of its violations, if that was asked for.
///
/// # Errors
/// A sentence: it does not fit the formats.
pub(super) fn record(
    request: &Request,
    played: &Played,
    size: &str,
    replay: &str,
    story: &[Line],
) -> Result<Record, String> {
    let watch = played.watch.clone().unwrap_or_default();
    let mut timeline = watch.timeline(request, played, size, replay);
    if !story.is_empty() {
        timeline.stories = stories::of(&stories::matters(played), story);
    }
    let latency_log = Windows::of_run(played).latency_log(&played.history)?;
    // As it can be read back: rounded in the file, it is told the same from memory and from the folder.
    let result = RunResult::from_json(&played.result.to_json()).map_err(|error| error.to_string())?;
    Ok(Record { result, timeline, latency_log })
}

/// Writes the files of a run, and points `runs/latest` at it.
///
/// # Errors
/// A sentence: which file cannot be written.
pub(super) fn write_all(
    folder: &Path,
    played: &Played,
    record: &Record,
    language: Language,
) -> Result<(), String> {
    reports::run_folder::write(folder, record, language).map_err(|error| error.to_string())?;
    let io = |error: io::Error| format!("cannot write the run folder {}: {error}", folder.display());
    write_trace(folder, &played.checkpoints, &played.trace).map_err(io)?;
    point_latest_at(folder).map_err(io)
}

/// Appends the summary of a run to that of a job of GitHub Actions, where it is one; a warning if that fails.
pub(super) fn add_to_job_summary(record: &Record) {
    add_to_job(|file| reports::run_folder::append_summary(file, &record.report()));
}

/// The same for what has changed between two sets of runs.
pub(super) fn add_comparison_to_job_summary(comparison: &Comparison) {
    add_to_job(|file| reports::run_folder::append_comparison(file, comparison));
}

/// The same for what a system carries.
pub(super) fn add_capacity_to_job_summary(capacity: &Capacity) {
    add_to_job(|file| reports::run_folder::append_capacity(file, capacity));
}

fn add_to_job(append: impl FnOnce(&Path) -> Result<(), reports::run_folder::Error>) {
    let Some(file) = std::env::var_os(JOB_SUMMARY).filter(|file| !file.is_empty()) else { return };
    if let Err(error) = append(Path::new(&file)) {
        eprintln!("warning: no job summary ({JOB_SUMMARY}): {error}");
    }
}

/// Leaves the capsule of a run of another machine in a run folder here, and points `runs/latest` at it; where it is.
///
/// # Errors
/// A sentence: it cannot be written.
pub(super) fn keep_capsule(scenario: &str, seed: u64, capsule: &[u8]) -> Result<PathBuf, String> {
    let folder = default_folder(scenario, seed);
    let path = folder.join(CAPSULE);
    let written = fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, capsule))
        .and_then(|()| point_latest_at(&folder));
    written.map(|()| path.clone()).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Times are UTC.
fn default_folder(scenario: &str, seed: u64) -> PathBuf {
    let now = jiff::Timestamp::try_from(world::time::system_now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let time = now.strftime("%Y%m%dT%H%M%S");
    // A scenario's name is its own folder structure, but never leads out of runs/.
    let parts = scenario.split('/').filter(|part| !part.is_empty() && *part != "." && *part != "..");
    Path::new("runs").join(parts.collect::<PathBuf>()).join(format!("{time}-{seed}"))
}

/// Points `runs/latest` at a folder inside `runs/`.
///
/// # Errors
/// It cannot be pointed there.
pub(super) fn point_latest_at(folder: &Path) -> io::Result<()> {
    let Ok(target) = folder.strip_prefix("runs") else { return Ok(()) };
    let latest = Path::new("runs/latest");
    match fs::remove_file(latest) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(target, latest)
}

/// The file `trace`: the fingerprint at regular distances, then the marks that were asked for.
fn write_trace(folder: &Path, checkpoints: &[Checkpoint], marks: &[String]) -> io::Result<()> {
    let mut text = String::new();
    for checkpoint in checkpoints {
        text += &checkpoint_line(checkpoint);
        text.push('\n');
    }
    for mark in marks {
        text += mark;
        text.push('\n');
    }
    fs::write(folder.join("trace"), text)
}

fn checkpoint_line(checkpoint: &Checkpoint) -> String {
    let seconds = checkpoint.at_ns as f64 / 1e9;
    format!("{CHECKPOINT}{} {seconds:.9}s {:032x}", checkpoint.marks, checkpoint.fingerprint)
}

/// What the line of a checkpoint begins with; the number of marks follows.
pub(super) const CHECKPOINT: &str = "checkpoint ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_s_name_does_not_lead_out_of_runs() {
        let folder = default_folder("../../etc//peak", 7);
        assert!(folder.starts_with("runs/etc/peak"), "{}", folder.display());
        assert!(folder.to_string_lossy().ends_with("-7"));
    }
}
