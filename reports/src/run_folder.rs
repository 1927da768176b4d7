//! The files that a run leaves behind: what programs read (`result.json`, `timeline.json`, `latency.hlog`), and what is
//! made of it (`report.html`, `summary.md`, `junit.xml`), which [`render`] makes again at any time. A sweep of many runs
//! leaves `capacity.json`, and of it [`render_capacity`] makes `capacity.html` and `summary.md`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use record::capacity::{self, Capacity};
use record::comparison::Comparison;
use record::result::{self, OperationStats, RunResult};
use record::timeline::{self, Timeline};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::page::{self, Language, Latencies, WINDOWS_MAX};
use crate::{Report, junit, latency_log, markdown};

/// The verdict of a run and the figures behind it.
pub const RESULT: &str = "result.json";
/// How the run went over its time.
pub const TIMELINE: &str = "timeline.json";
/// The latencies.
pub const LATENCY_LOG: &str = "latency.hlog";
/// For people, see [`page`].
pub const PAGE: &str = "report.html";
/// What a system carries.
pub const CAPACITY: &str = "capacity.json";
/// The same for people.
pub const CAPACITY_PAGE: &str = "capacity.html";
/// For a pull request.
pub const SUMMARY: &str = "summary.md";
/// For CI.
pub const JUNIT: &str = "junit.xml";

/// All that is known of a run.
#[derive(Debug, Clone)]
pub struct Record {
    /// The verdict and the figures behind it.
    pub result: RunResult,
    /// How the run went over its time.
    pub timeline: Timeline,
    /// The text of the latency log, see [`latency_log`].
    pub latency_log: Vec<u8>,
}

impl Record {
    /// What people read of it.
    pub fn report(&self) -> Report<'_> {
        Report { result: &self.result, tables: &self.timeline.tables, replay: &self.timeline.replay }
    }
}

/// Why a run folder cannot be written or read.
#[derive(Debug, Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `create`, `write`, `read`.
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
    /// There is no such folder, or it is none.
    #[error(
        "{} {what}: expected the folder of a run, with {RESULT}, {TIMELINE} and {LATENCY_LOG}",
        path.display()
    )]
    NoFolder {
        /// What was given.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file of the folder is missing: the run was not finished, or played by an older program.
    #[error("{} is missing: the folder is half-written, or of an older rehearse; play the run again", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is of a version that this program does not know.
    #[error(
        "{}: a {what} of schema {found}, expected {expected}: {}",
        path.display(),
        if found > expected { "read it with the newer rehearse that wrote it" } else { "play the run again" }
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it holds: `result`.
        what: &'static str,
        /// The version that it is of.
        found: u64,
        /// The version that this program knows.
        expected: u64,
    },
    /// A file is not what it should be.
    #[error("{}{place}: not a {what}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line and column, where they are known: `:3:17`.
        place: String,
        /// What it should be: `result`.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Writes the files of a run into `folder`, which is created if need be. Files of the same names are replaced. The page is
/// in `language`.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be created or a file cannot be written, [`Error::Format`] if the run
/// cannot be expressed in one of the formats.
pub fn write(folder: &Path, record: &Record, language: Language) -> Result<(), Error> {
    // Everything is rendered before anything is written: what does not fit a format leaves no half a folder.
    let mut files = vec![
        (RESULT, record.result.to_json().into_bytes()),
        (TIMELINE, record.timeline.to_json().into_bytes()),
        (LATENCY_LOG, record.latency_log.clone()),
    ];
    files.extend(rendered(folder, record, language)?);
    create(folder)?;
    write_files(folder, files)
}

/// Writes what is made for people and CI into the folder of a run again, the page in `language`.
///
/// # Errors
/// As [`write`].
pub fn render(folder: &Path, record: &Record, language: Language) -> Result<(), Error> {
    write_files(folder, rendered(folder, record, language)?)
}

type File = (&'static str, Vec<u8>);

/// What is made of a record.
fn rendered(folder: &Path, record: &Record, language: Language) -> Result<Vec<File>, Error> {
    let report = record.report();
    let junit = junit::render(&report);
    let junit = junit.map_err(|reason| Error::Format { path: folder.join(JUNIT), reason })?;
    let Record { result, timeline, latency_log } = record;
    let latencies = Latencies::of_log(latency_log, result, timeline);
    let latencies = latencies.map_err(|reason| Error::Format { path: folder.join(PAGE), reason })?;
    let page = page::render(&page::Input { result, timeline, latencies: &latencies }, language);
    Ok(vec![
        (PAGE, page.into_bytes()),
        (SUMMARY, markdown::render(&report).into_bytes()),
        (JUNIT, junit.into_bytes()),
    ])
}

fn create(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|source| Error::Io {
        action: "create",
        path: folder.to_owned(),
        source,
    })
}

fn write_files(folder: &Path, files: Vec<File>) -> Result<(), Error> {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|source| Error::Io { action: "write", path, source })?;
    }
    Ok(())
}

/// Appends the summary of a run to a file that collects them, as CI systems offer one.
///
/// # Errors
/// [`Error::Io`]: the file cannot be written.
pub fn append_summary(file: &Path, report: &Report<'_>) -> Result<(), Error> {
    append(file, &markdown::render(report))
}

/// The same for what has changed between two sets of runs.
///
/// # Errors
/// [`Error::Io`]: the file cannot be written.
pub fn append_comparison(file: &Path, comparison: &Comparison) -> Result<(), Error> {
    append(file, &markdown::render_comparison(comparison))
}

/// The same for what a system carries.
///
/// # Errors
/// [`Error::Io`]: the file cannot be written.
pub fn append_capacity(file: &Path, capacity: &Capacity) -> Result<(), Error> {
    append(file, &markdown::render_capacity(capacity))
}

/// Writes the files of a sweep into `folder`, which is created if need be. The page is in `language`.
///
/// # Errors
/// [`Error::Io`]: the folder cannot be created, or a file cannot be written.
pub fn write_capacity(folder: &Path, capacity: &Capacity, language: Language) -> Result<(), Error> {
    create(folder)?;
    write_files(folder, vec![(CAPACITY, capacity.to_json().into_bytes())])?;
    render_capacity(folder, capacity, language)
}

/// Reads what [`write_capacity`] left in a folder.
///
/// # Errors
/// As [`read_json`].
pub fn read_capacity(folder: &Path) -> Result<Capacity, Error> {
    read_json(&folder.join(CAPACITY), "capacity", u64::from(capacity::SCHEMA))
}

/// Writes what is made for people of a sweep into its folder: its page, in `language`, and its summary.
///
/// # Errors
/// [`Error::Io`]: a file cannot be written.
pub fn render_capacity(folder: &Path, capacity: &Capacity, language: Language) -> Result<(), Error> {
    let files = vec![
        (CAPACITY_PAGE, page::capacity::render(capacity, language).into_bytes()),
        (SUMMARY, markdown::render_capacity(capacity).into_bytes()),
    ];
    write_files(folder, files)
}

fn append(file: &Path, summary: &str) -> Result<(), Error> {
    let opened = fs::OpenOptions::new().create(true).append(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(summary.as_bytes()));
    written.map_err(|source| Error::Io { action: "write", path: file.to_owned(), source })
}

/// Reads what [`write`] left in a folder, and makes sure that it fits together.
///
/// # Errors
/// All but [`Error::Format`]: each names the file, what is wrong with it, and what was expected.
pub fn read(folder: &Path) -> Result<Record, Error> {
    let no_folder = |what| Error::NoFolder { path: folder.to_owned(), what };
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(no_folder("is a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_folder("does not exist")),
        Err(source) => return Err(Error::Io { action: "read", path: folder.to_owned(), source }),
    }
    let result: RunResult = read_json(&folder.join(RESULT), "result", u64::from(result::SCHEMA))?;
    let path = folder.join(TIMELINE);
    let timeline: Timeline = read_json(&path, "timeline", u64::from(timeline::SCHEMA))?;
    let damaged = |path, what, reason| Error::Damaged { path, place: String::new(), what, reason };
    check_timeline(&timeline).map_err(|reason| damaged(path, "timeline", reason))?;
    let path = folder.join(LATENCY_LOG);
    let latency_log = read_bytes(&path)?;
    latency_log::read_merged(&latency_log)
        .and_then(|latencies| check_latencies(&latencies, &result))
        .map_err(|reason| damaged(path, "latency log of this run", reason))?;
    Ok(Record { result, timeline, latency_log })
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing { path: path.to_owned() },
        _ => Error::Io { action: "read", path: path.to_owned(), source },
    })
}

/// What every JSON file of a folder says of itself.
#[derive(Deserialize)]
struct Versioned {
    schema: u64,
}

/// Reads a JSON file that names its schema, as all do that a run or a sweep leaves. `what` is what it holds: `result`.
///
/// # Errors
/// [`Error::Io`], [`Error::Missing`], [`Error::Schema`] when it is not of the `expected` one, [`Error::Damaged`] with line
/// and column.
pub fn read_json<T: DeserializeOwned>(path: &Path, what: &'static str, expected: u64) -> Result<T, Error> {
    let bytes = read_bytes(path)?;
    let damaged = |error: serde_json::Error| {
        let place =
            if error.line() > 0 { format!(":{}:{}", error.line(), error.column()) } else { String::new() };
        let said = error.to_string();
        // The place is named once.
        let end = said.rfind(" at line ").unwrap_or(said.len());
        Error::Damaged { path: path.to_owned(), place, what, reason: said[..end].to_owned() }
    };
    let Versioned { schema: found } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if found != expected {
        return Err(Error::Schema { path: path.to_owned(), what, found, expected });
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}

/// Has it the windows that it says it has?
fn check_timeline(timeline: &Timeline) -> Result<(), String> {
    let Timeline { windows, window_s, .. } = timeline;
    if !(1..=WINDOWS_MAX).contains(windows) {
        return Err(format!("windows is {windows}, expected 1 to {WINDOWS_MAX}"));
    }
    if !(window_s.is_finite() && *window_s > 0.0) {
        return Err(format!("window_s is {window_s}, expected more than 0"));
    }
    let check = |length: usize, what: &dyn Fn() -> String| match length == *windows {
        true => Ok(()),
        false => Err(format!("{} has {length} windows, expected {windows}", what())),
    };
    for (name, series) in &timeline.operations {
        let lists = [&series.invoked, &series.ok, &series.refused, &series.failed, &series.unknown];
        for list in lists {
            check(list.len(), &|| format!("the operation {name:?}"))?;
        }
    }
    for gauge in &timeline.gauges {
        check(gauge.values.len(), &|| format!("the gauge {:?} of {:?}", gauge.name, gauge.group))?;
    }
    for host in timeline.hosts.iter().filter(|host| !host.busy.is_empty()) {
        check(host.busy.len(), &|| format!("the host {:?}", host.name))?;
    }
    let known = |name: &str| timeline.hosts.iter().any(|host| host.name == name);
    let mut ends = timeline.links.iter().flat_map(|link| [&link.from, &link.to]);
    match ends.find(|name| !known(name)) {
        Some(name) => Err(format!("a link names the host {name:?}, which is not among the hosts")),
        None => Ok(()),
    }
}

/// Are these the latencies of the operations of this result?
fn check_latencies(latencies: &BTreeMap<String, Histogram<u64>>, result: &RunResult) -> Result<(), String> {
    let of_operation = |name: &String, stats: &OperationStats| {
        // What is unknown may have completed, or not.
        let completed = [stats.ok, stats.refused, stats.failed].into_iter().fold(0, u64::saturating_add);
        (latency_log::tag(name), completed..=completed.saturating_add(stats.unknown))
    };
    let counts: BTreeMap<_, _> =
        result.operations.iter().map(|(name, stats)| of_operation(name, stats)).collect();
    if let Some(name) = latencies.keys().find(|name| !counts.contains_key(*name)) {
        return Err(format!("{RESULT} knows no operation {name}"));
    }
    for (name, known) in counts {
        let found = latencies.get(&name).map_or(0, Histogram::len);
        if !known.contains(&found) {
            let (least, most) = known.into_inner();
            return Err(format!("it has {found} operations {name}, but {RESULT} has {least} to {most}"));
        }
    }
    Ok(())
}
